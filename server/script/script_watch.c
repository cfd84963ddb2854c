/* Ends functions of Lua that run too long: a signal at each few ms of the thread's processor time counts, and arms a hook in the
 * state that has outlived its time. While all is well nothing is counted in Lua at all (house-style C.5). */
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/base_log.h"
#include "script/script_impl.h"
#include "script/script_lib.h"

#define TICK_US 5000
#define FOREIGN_TIMES 4

/* What the signal handler sees of its thread. */
typedef struct watch_state {
    svi_running *volatile now; /* NULL: no Lua runs */
    unsigned users;
    bool has_timer;
    timer_t timer;
} watch_state;
static _Thread_local watch_state here; /* lint: allow global (a signal handler has no other context) */

static int watch_signal(void)
{
    return SIGRTMIN + 5;
}

/* Raised again at each further instruction, so that no pcall holds it for long. The place is the script's, also where one of our
 * functions runs. */
static void over(lua_State *L, lua_Debug *ar)
{
    lua_Debug at;
    bool is_lua = false;
    (void)ar;
    for (int level = 0; !is_lua && lua_getstack(L, level, &at); level++) is_lua = lua_getinfo(L, "Sl", &at) != 0 && *at.what != 'C';
    lua_pushfstring(L, "%s:%d: ended: it ran for more than %d ms without a wait", is_lua ? at.short_src : "?", is_lua ? at.currentline : 0,
                    (int)(here.now->max_us / 1000));
    (void)lua_error(L);
}

static void arm(lua_State *L)
{
    lua_sethook(L, over, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* What others take counts only when it is much more than one of them may take: else who fires an occasion would be ended with
 * who hangs in it. */
static bool is_used_up(const svi_running *r)
{
    const int64_t own = (int64_t)r->ticks * TICK_US, all = own + (int64_t)r->foreign_ticks * TICK_US;
    return own > r->max_us || all > FOREIGN_TIMES * r->max_us;
}

static void on_tick(int signal)
{
    (void)signal;
    svi_running *run = here.now;
    if (run == NULL) return;
    run->ticks++;
    if (!is_used_up(run)) return;
    run->script->is_over = true;
    arm(run->L); /* which Lua lets a signal do */
}

static bool start_timer(watch_state *w)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(watch_signal(), &action, NULL);
    sigset_t ours;
    (void)sigemptyset(&ours);
    (void)sigaddset(&ours, watch_signal());
    (void)pthread_sigmask(SIG_UNBLOCK, &ours, NULL); /* threads of the pool may have been begun with signals blocked */
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = watch_signal()};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &w->timer) != 0) return false;
    const struct itimerspec each = {.it_interval = {.tv_nsec = TICK_US * 1000}, .it_value = {.tv_nsec = TICK_US * 1000}};
    (void)timer_settime(w->timer, 0, &each, NULL);
    return true;
}

bool svi_script_watch(void)
{
    watch_state *w = &here;
    if (w->users++ > 0) return w->has_timer;
    w->has_timer = start_timer(w);
    if (!w->has_timer)
        SV_LOG(SV_ERROR, "script-unwatched", LF_TXT("reason", "no timer can be had: a script that loops stops the server"));
    return w->has_timer;
}

void svi_script_unwatch(void)
{
    watch_state *w = &here;
    SV_ASSERT(w->users > 0);
    if (--w->users > 0 || !w->has_timer) return;
    (void)timer_delete(w->timer);
    w->has_timer = false;
}

/* PERF: a handler's run is entered and left with one store each. The fences keep the compiler from moving what a signal sees. */
void svi_script_enter(svi_running *run)
{
    run->outer = here.now;
    atomic_signal_fence(memory_order_release);
    here.now = run;
}

/* What ran inside counts for who made it run: or one would fire an occasion a thousand times, each with time of its own. */
static void charge(svi_running *outer, const svi_running *inner)
{
    if (outer->script == inner->script)
        outer->ticks += inner->ticks;
    else
        outer->foreign_ticks += inner->ticks;
    outer->foreign_ticks += inner->foreign_ticks;
}

/* It has used up some time, or all that it had. */
static void settle(const svi_running *run)
{
    svi_running *outer = run->outer;
    if (run->script->is_over) {
        run->script->is_over = false;
        lua_sethook(run->L, NULL, 0, 0);
    }
    if (outer == NULL) return;
    charge(outer, run);
    if (!is_used_up(outer)) return;
    outer->script->is_over = true;
    arm(outer->L);
}

void svi_script_leave(svi_running *run)
{
    SV_ASSERT(here.now == run);
    here.now = run->outer;
    atomic_signal_fence(memory_order_acquire);
    if ((run->ticks | run->foreign_ticks) != 0) settle(run);
}

/* A script's own coroutine runs, inside the one that resumed it; what has run out of time has no right to more. */
void svi_script_coroutine_enters(lua_State *L, lua_State *co)
{
    (void)L;
    svi_running *run = here.now;
    if (run == NULL) return;
    run->L = co;
    if (run->script->is_over)
        arm(co);
    else if (lua_gethook(co) != NULL)
        lua_sethook(co, NULL, 0, 0); /* of an earlier run */
}

void svi_script_coroutine_left(lua_State *L, lua_State *co)
{
    (void)co;
    svi_running *run = here.now;
    if (run == NULL) return;
    run->L = L;
    if (run->script->is_over) arm(L);
}
