/* Threads of engine modules: started and joined by the core, with a bounded queue each way.
 *
 * `lock` guards both queues and the flags. The thread sleeps on a descriptor that is readable while there is
 * something to take or it shall end; the router hears of results through its loop. */
#include "mods/mods_engine_impl.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/base_log.h"

enum {
    WORKER_MAGIC = 0x574f524b,
    NAME_MAX_BYTES = 15, /* of a thread's name on Linux */
    QUEUE = 1024,
    AT_ONCE = 256 /* results of one worker, then others have their turn */
};

typedef struct item {
    struct item *next;
    void *what;
} item;

typedef struct queue {
    item *first, **end;
    uint32_t count, max;
} queue;

struct sv_worker {
    svi_wake wake; /* first: its handle is what the loop hands back */
    uint32_t magic;
    sv_worker *next;
    svi_engine_part *part;
    svi_engines *engines;
    sv_worker_desc desc;
    char name[NAME_MAX_BYTES + 1];
    const char *module, *host;
    pthread_t thread;
    int told; /* an eventfd */
    pthread_mutex_t lock;
    pthread_cond_t room;
    queue given, posted;
    uint32_t taken; /* things that the thread works on: since it last asked for more. The thread's */
    bool ends, is_over, is_joined;
};

/* --- queues: under the lock ----------------------------------------------------------------------------- */

static void put(queue *q, item *it)
{
    *q->end = it;
    q->end = &it->next;
    q->count++;
}

static item *get(queue *q)
{
    item *it = q->first;
    if (it == NULL) return NULL;
    q->first = it->next;
    if (q->first == NULL) q->end = &q->first;
    q->count--;
    return it;
}

static item *item_new(const sv_worker *worker, void *what)
{
    item *it = svi_alloc(worker->engines->config.acct, sizeof *it);
    it->what = what;
    return it;
}

/* The thing, NULL if there is none; frees what held it. */
static void *item_take(item *it)
{
    void *what = it != NULL ? it->what : NULL;
    svi_free(it);
    return what;
}

static void tell(const sv_worker *worker)
{
    const uint64_t one = 1;
    ssize_t done;
    do done = write(worker->told, &one, sizeof one);
    while (done < 0 && errno == EINTR);
}

static void untell(const sv_worker *worker)
{
    uint64_t count;
    const ssize_t done = read(worker->told, &count, sizeof count);
    SV_ASSERT(done == (ssize_t)sizeof count || errno == EAGAIN || errno == EINTR);
}

static void count(const sv_worker *worker, int64_t by)
{
    worker->engines->under_way += by;
}

/* --- the thread's side ---------------------------------------------------------------------------------- */

/* What it has taken is done; the stage, which waits for that, hears of it. */
static void is_done(sv_worker *worker)
{
    if (worker->taken == 0) return;
    count(worker, -(int64_t)worker->taken);
    worker->taken = 0;
    if (worker->engines->config.is_staged) svi_wake_send(&worker->wake);
}

static void *thread_main(void *ctx)
{
    sv_worker *worker = ctx;
    svi_exec *now = svi_exec_now();
    now->module = worker->module; /* whom a crash in here is of */
    now->hook = "worker";
    now->host = worker->host;
    svi_plat_enter(worker->engines->config.plat);
    worker->desc.run(worker, worker->desc.ctx);
    is_done(worker);
    pthread_mutex_lock(&worker->lock);
    worker->is_over = true;
    count(worker, -(int64_t)worker->given.count); /* nobody does it any more */
    svi_wake_send(&worker->wake); /* under the lock: whoever joins closes it */
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

void *svi_engine_take(sv_worker *worker, int64_t ms)
{
    SV_CHECK(worker, WORKER_MAGIC);
    is_done(worker);
    pthread_mutex_lock(&worker->lock);
    if (!worker->ends && worker->given.first == NULL && ms != 0) {
        pthread_mutex_unlock(&worker->lock);
        struct pollfd fd = {.fd = worker->told, .events = POLLIN};
        (void)poll(&fd, 1, ms < 0 ? -1 : ms > INT32_MAX ? INT32_MAX : (int)ms);
        pthread_mutex_lock(&worker->lock);
    }
    item *it = worker->ends ? NULL : get(&worker->given);
    if (!worker->ends && worker->given.first == NULL) untell(worker);
    pthread_mutex_unlock(&worker->lock);
    if (it != NULL) worker->taken++;
    return item_take(it);
}

int svi_engine_worker_fd(const sv_worker *worker)
{
    SV_CHECK(worker, WORKER_MAGIC);
    return worker->told;
}

bool svi_engine_worker_ends(const sv_worker *worker)
{
    SV_CHECK(worker, WORKER_MAGIC);
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&worker->lock;
    pthread_mutex_lock(lock);
    const bool ends = worker->ends;
    pthread_mutex_unlock(lock);
    return ends;
}

bool svi_engine_post(sv_worker *worker, void *what)
{
    SV_CHECK(worker, WORKER_MAGIC);
    SV_ASSERT(worker->desc.result != NULL);
    item *it = item_new(worker, what);
    pthread_mutex_lock(&worker->lock);
    while (worker->posted.count >= worker->posted.max && !worker->ends)
        pthread_cond_wait(&worker->room, &worker->lock);
    const bool has_room = worker->posted.count < worker->posted.max;
    if (has_room) {
        put(&worker->posted, it);
        count(worker, 1);
        svi_wake_send(&worker->wake);
    }
    pthread_mutex_unlock(&worker->lock);
    if (!has_room) svi_free(it);
    return has_room;
}

/* --- the router's side ---------------------------------------------------------------------------------- */

sv_status svi_engine_give(sv_worker *worker, void *what)
{
    SV_CHECK(worker, WORKER_MAGIC);
    SV_ASSERT(what != NULL && worker->desc.undone != NULL);
    item *it = item_new(worker, what);
    pthread_mutex_lock(&worker->lock);
    sv_status status = worker->given.count < worker->given.max ? SV_OK : SV_ELIMIT;
    if (worker->ends || worker->is_over) status = SV_ECLOSED;
    if (status == SV_OK) {
        put(&worker->given, it);
        count(worker, 1);
        if (worker->given.count == 1) tell(worker);
    }
    pthread_mutex_unlock(&worker->lock);
    if (status != SV_OK) svi_free(it);
    return status;
}

/* The next result. */
static bool next_result(sv_worker *worker, void **what_out)
{
    pthread_mutex_lock(&worker->lock);
    item *it = get(&worker->posted);
    if (it != NULL) pthread_cond_signal(&worker->room);
    pthread_mutex_unlock(&worker->lock);
    *what_out = it != NULL ? it->what : NULL;
    if (it != NULL) count(worker, -1);
    svi_free(it);
    return it != NULL;
}

static bool is_over(const sv_worker *worker)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&worker->lock;
    pthread_mutex_lock(lock);
    const bool over = worker->is_over;
    pthread_mutex_unlock(lock);
    return over;
}

static void join_now(sv_worker *worker)
{
    const int failed = pthread_join(worker->thread, NULL);
    SV_ASSERT(failed == 0);
    worker->is_joined = true;
}

static void on_wake(void *ctx)
{
    sv_worker *worker = ctx;
    SV_CHECK(worker, WORKER_MAGIC);
    svi_engine_part *part = worker->part;
    const bool was_over = is_over(worker);
    void *what;
    size_t n = 0;
    svi_engine_call now = svi_engine_enter(part, "result");
    for (; n < AT_ONCE && next_result(worker, &what); n++) worker->desc.result(what, part->mod->self);
    if (n == AT_ONCE || (was_over && n > 0)) svi_wake_send(&worker->wake); /* comes again for what is left */
    const bool is_end = was_over && n == 0 && !worker->is_joined;
    if (is_end) {
        join_now(worker);
        if (!worker->ends)
            SV_LOG(SV_ERROR, "engine-ended", LF_TXT("module", worker->module),
                   LF_TXT("worker", worker->name));
    }
    const bool is_awaited = now.kept == NULL; /* else what is left of the module may be gone with the call */
    svi_engine_leave(&now);
    if (is_end && is_awaited) svi_engine_worker_over(part);
}

/* --- life ----------------------------------------------------------------------------------------------- */

static bool is_good(const sv_worker_desc *desc)
{
    const size_t least = offsetof(sv_worker_desc, post_max) + sizeof desc->post_max;
    return desc != NULL && desc->size >= least && desc->run != NULL && desc->name != NULL &&
           desc->name[0] != '\0' && strlen(desc->name) <= NAME_MAX_BYTES;
}

/* With all signals blocked but those of a fault, which are the thread's own. */
static int start_thread(sv_worker *worker)
{
    sigset_t all, before;
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    (void)sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) (void)sigdelset(&all, faults[i]);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&worker->thread, NULL, thread_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed == 0) (void)pthread_setname_np(worker->thread, worker->name);
    return failed;
}

static sv_worker *worker_new(svi_engine_part *part, const sv_worker_desc *desc)
{
    sv_worker *worker = svi_alloc(part->mod->group->acct, sizeof *worker);
    worker->magic = WORKER_MAGIC;
    worker->part = part;
    worker->engines = part->engines;
    worker->desc = *desc;
    memcpy(worker->name, desc->name, strlen(desc->name) + 1);
    worker->desc.name = worker->name;
    worker->module = part->mod->file->name;
    worker->host = part->mod->group->host != NULL ? part->mod->group->host_name.p : NULL;
    worker->given.end = &worker->given.first;
    worker->posted.end = &worker->posted.first;
    worker->given.max = desc->give_max > 0 ? desc->give_max : QUEUE;
    worker->posted.max = desc->post_max > 0 ? desc->post_max : QUEUE;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->room, NULL);
    worker->told = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return worker;
}

static void worker_free(sv_worker *worker)
{
    if (worker->told >= 0) (void)close(worker->told);
    pthread_cond_destroy(&worker->room);
    pthread_mutex_destroy(&worker->lock);
    worker->magic = 0;
}

static void worker_gone(uv_handle_t *handle)
{
    svi_wake *of = handle->data;
    sv_worker *worker = of->ctx;
    svi_engine_handle_gone(worker->engines, worker);
}

sv_status svi_engine_worker(sv_mod *mod, const sv_worker_desc *desc, sv_worker **worker_out)
{
    sv_status status;
    svi_engine_part *part = svi_engine_part_of(mod, &status);
    *worker_out = NULL;
    if (part == NULL) return status;
    if (!is_good(desc)) return SV_EINVAL;
    if (part->worker_count == SVI_ENGINE_WORKERS) return SV_ELIMIT;
    sv_worker *worker = worker_new(part, desc);
    const bool is_awake =
        worker->told >= 0 &&
        svi_wake_init(&worker->wake, part->engines->config.loop, on_wake, worker) == 0;
    if (is_awake) part->engines->open++;
    *worker_out = worker; /* the thread may look for it at once */
    if (!is_awake || start_thread(worker) != 0) {
        *worker_out = NULL;
        worker_free(worker);
        if (is_awake)
            svi_wake_close(&worker->wake, worker_gone);
        else
            svi_free(worker);
        return SV_ELIMIT;
    }
    worker->next = part->workers;
    part->workers = worker;
    part->worker_count++;
    return SV_OK;
}

/* --- the end -------------------------------------------------------------------------------------------- */

void svi_workers_tell(svi_engine_part *part)
{
    for (sv_worker *w = part != NULL ? part->workers : NULL; w != NULL; w = w->next) {
        pthread_mutex_lock(&w->lock);
        w->ends = true;
        tell(w);
        pthread_cond_broadcast(&w->room);
        pthread_mutex_unlock(&w->lock);
    }
}

bool svi_workers_are_over(const svi_engine_part *part)
{
    for (const sv_worker *w = part != NULL ? part->workers : NULL; w != NULL; w = w->next)
        if (!w->is_joined) return false;
    return true;
}

/* Waits by what the loop would wait for: each time it hears of something, but the end, the time begins anew; what comes
 * from a thread that ends is little. */
static bool is_over_soon(sv_worker *worker, int wait_ms)
{
    struct pollfd fd = {.fd = worker->wake.fd, .events = POLLIN};
    while (!is_over(worker)) {
        uint64_t count;
        const int ready = poll(&fd, 1, wait_ms);
        if (ready == 0) return is_over(worker);
        if (ready > 0 && read(fd.fd, &count, sizeof count) > 0)
            (void)atomic_exchange(&worker->wake.pending, false);
    }
    return true;
}

bool svi_workers_join(svi_engine_part *part)
{
    bool all = true;
    for (sv_worker *w = part != NULL ? part->workers : NULL; w != NULL; w = w->next) {
        if (w->is_joined) continue;
        /* all were told at once: when one had its time, so had the others */
        if (is_over_soon(w, part->engines->stuck > 0 ? 0 : part->engines->config.join_ms)) {
            join_now(w);
            continue;
        }
        SV_LOG(SV_ERROR, "engine-stuck", LF_TXT("module", w->module), LF_TXT("worker", w->name));
        part->engines->stuck++;
        all = false;
    }
    return all;
}

void svi_workers_rest(svi_engine_part *part)
{
    for (sv_worker *w = part->workers; w != NULL; w = w->next) {
        void *what;
        SV_ASSERT(w->is_joined);
        const svi_mod_visit visit = svi_mod_enter(part->mod, "result");
        while (next_result(w, &what)) w->desc.result(what, part->mod->self);
        for (item *it = get(&w->given); it != NULL; it = get(&w->given))
            w->desc.undone(item_take(it), part->mod->self);
        svi_mod_leave(&visit);
    }
}

void svi_workers_close(svi_engine_part *part)
{
    while (part->workers != NULL) {
        sv_worker *worker = part->workers;
        part->workers = worker->next;
        SV_ASSERT(worker->is_joined && worker->given.first == NULL && worker->posted.first == NULL);
        worker_free(worker);
        svi_wake_close(&worker->wake, worker_gone);
    }
}
