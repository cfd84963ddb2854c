/* The watch over a router that stands in a handler: told while it stands there. */
#include <stdatomic.h>

#include "bus/bus_test_world.h"
#include "main/main_stall.h"
#include "main/main_watch.h"

/* What the log's sink saw, on the watching thread. */
typedef struct seen {
    world *w;
    atomic_int stalls;
    char line[SVI_LOG_BYTES];
    bool has_waited;
    bool is_stuck; /* the handler was left by time, not since it was told */
} seen;

static void on_line(void *ctx, sv_level level, sv_str line)
{
    (void)level;
    seen *s = ctx;
    const sv_str name = SV_STR("handler-stalls");
    if (memmem(line.p, line.n, name.p, name.n) == NULL) return;
    snprintf(s->line, sizeof s->line, "%.*s", (int)line.n, line.p);
    atomic_fetch_add(&s->stalls, 1);
}

static sv_verdict stand(sv_event *ev, void *self)
{
    seen *s = self;
    svi_event_dispose(ev, SVI_HANDED_OVER, NULL);
    for (int i = 0; i < 20000 && atomic_load(&s->stalls) == 0; i++) usleep(1000);
    s->is_stuck = atomic_load(&s->stalls) == 0;
    usleep(200000); /* it is told once */
    return SV_DONE;
}

/* In the loop's second turn: the watch counts from the first wait on. */
static void on_turn(uv_timer_t *timer)
{
    seen *s = timer->data;
    if (s->has_waited)
        run(s->w, "");
    else
        (void)uv_timer_start(timer, on_turn, 1, 0);
    s->has_waited = true;
}

static int64_t no_time(void *ctx)
{
    (void)ctx;
    return 0;
}

static void told_while_it_stands(void **state)
{
    static seen s;
    s = (seen){.w = *state};
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, on_line, &s, no_time, NULL);
    (void)add(s.w, SVI_POINT_MESSAGE_OUT, SV_NORMAL, "stands", SV_DONE);
    s.w->handlers[0].call = stand;
    s.w->handlers[0].self = &s;
    table(s.w);
    svi_stall_install();
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    uv_timer_t timer = {.data = &s};
    (void)uv_timer_init(&loop, &timer);
    timer.data = &s;
    (void)uv_timer_start(&timer, on_turn, 0, 0);
    svi_watch *watch;
    sv_err err;
    assert_int_equal(svi_watch_start(&s.w->acct, &loop, s.w->bus, &watch, &err), SV_OK);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    svi_watch_stop(&watch);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_false(s.is_stuck);
    assert_int_equal(atomic_load(&s.stalls), 1);
    assert_non_null(strstr(s.line, "module=stands"));
    assert_non_null(strstr(s.line, "hook=message/out"));
    assert_non_null(strstr(s.line, "host=a.example"));
    assert_non_null(strstr(s.line, "main_watch_test+0x"));
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, sink, s.w, no_time, NULL);
    s.w->notes[0] = '\0';
}

/* What is over when the signal comes is nobody's. */
static void nothing_to_say(void **state)
{
    world *w = *state;
    svi_stall stall;
    svi_stall_install();
    svi_exec_now()->module = "late";
    svi_stall_ask(pthread_self(), w->bus, svi_bus_calls(w->bus) + 1);
    assert_false(svi_stall_take(&stall));
    svi_stall_ask(pthread_self(), w->bus, svi_bus_calls(w->bus));
    assert_true(svi_stall_take(&stall));
    assert_string_equal(stall.module, "late");
    assert_false(svi_stall_take(&stall)); /* once */
    svi_exec_now()->module = NULL;
    svi_stall_ask(pthread_self(), w->bus, svi_bus_calls(w->bus));
    assert_false(svi_stall_take(&stall)); /* the core's own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(told_while_it_stands), TEST(nothing_to_say)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
