/* Keeps a host's accounts as a directory would that is asked through a library whose calls block: a thread looks up, the
 * answers come by the routing thread. While the file `directory_gate` is there, a look-up does not end. */
#include <stave/engine.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAME_BYTES = 1024 };

typedef struct directory {
    sv_mod *mod;
    sv_str_list users; /* "name password" */
    sv_str gate;
    int64_t look_up_ms;
    const sv_engine_api *engine;
    sv_worker *worker;
    bool has_ended; /* the thread: written in it, read when it was joined */
} directory;

typedef struct question {
    sv_auth_ask *ask; /* only the routing thread touches it */
    bool with_password;
    size_t name_n, password_n;
    char name[NAME_BYTES], password[NAME_BYTES];
    sv_status status;
} question;

static sv_status look_up(const directory *me, const question *q)
{
    for (size_t i = 0; i < me->users.count; i++) {
        const sv_str user = me->users.items[i];
        if (user.n <= q->name_n || memcmp(user.p, q->name, q->name_n) != 0 || user.p[q->name_n] != ' ')
            continue;
        const sv_str known = {user.p + q->name_n + 1, user.n - q->name_n - 1};
        return !q->with_password || sv_str_eq(known, (sv_str){q->password, q->password_n}) ? SV_OK : SV_EDENIED;
    }
    return SV_ENOTFOUND;
}

/* As a library's call that waits for a server; it has a time limit only in that the worker shall end. */
static void block(const directory *me, const sv_worker *worker)
{
    (void)poll(NULL, 0, (int)me->look_up_ms);
    if (me->gate.n > 0 && access(me->gate.p, F_OK) == 0)
        sv->log(me->mod, SV_INFO, "directory-waits", (char *)NULL);
    while (me->gate.n > 0 && access(me->gate.p, F_OK) == 0 && !me->engine->worker_ends(worker))
        (void)poll(NULL, 0, 10);
}

static void run(sv_worker *worker, void *ctx)
{
    directory *me = ctx;
    while (!me->engine->worker_ends(worker)) {
        question *q = me->engine->take(worker, -1);
        if (q == NULL) continue;
        block(me, worker);
        q->status = look_up(me, q);
        if (!me->engine->post(worker, q)) free(q);
    }
    me->has_ended = true;
}

static void on_result(void *item, void *self)
{
    (void)self;
    question *q = item;
    sv->auth_done(q->ask, q->status);
    free(q);
}

static void on_undone(void *item, void *self)
{
    (void)self;
    question *q = item;
    sv->auth_done(q->ask, SV_EIO);
    free(q);
}

static void ask(directory *me, sv_auth_ask *of, sv_str name, sv_str password, bool with_password)
{
    question *q = calloc(1, sizeof *q);
    if (q == NULL || name.n > NAME_BYTES || password.n > NAME_BYTES) {
        free(q);
        sv->auth_done(of, SV_EIO);
        return;
    }
    q->ask = of;
    q->with_password = with_password;
    q->name_n = name.n;
    q->password_n = password.n;
    if (name.n > 0) memcpy(q->name, name.p, name.n);
    if (password.n > 0) memcpy(q->password, password.p, password.n);
    if (me->engine->give(me->worker, q) == SV_OK) return;
    free(q);
    sv->auth_done(of, SV_EBUSY);
}

static void find(sv_auth_ask *of, sv_str name, void *self)
{
    ask(self, of, name, SV_STR_NONE, false);
}

static void check(sv_auth_ask *of, sv_str name, sv_str password, void *self)
{
    ask(self, of, name, password, true);
}

static sv_status start(sv_mod *mod, void *self)
{
    directory *me = self;
    static const sv_auth auth = {.size = sizeof auth, .find = find, .check = check};
    me->mod = mod;
    me->engine = (const sv_engine_api *)sv->query("engine", 1);
    if (me->engine == NULL) return SV_EVERSION;
    const sv_worker_desc desc = {.size = sizeof desc,
                                 .name = "directory",
                                 .run = run,
                                 .ctx = me,
                                 .result = on_result,
                                 .undone = on_undone};
    const sv_status status = me->engine->worker(mod, &desc, &me->worker);
    return status == SV_OK ? sv->auth_register(mod, &auth) : status;
}

static void stop(void *self)
{
    const directory *me = self;
    sv->log(me->mod, SV_INFO, "directory-stop", "thread", me->has_ended ? "ended" : "runs", (char *)NULL);
}

static const sv_option options[] = {
    SV_OPT_LIST(directory, users, "directory_users", "Names and passwords."),
    SV_OPT_STRING(directory, gate, "directory_gate", NULL, "While this file is there nothing is answered."),
    SV_OPT_PERIOD(directory, look_up_ms, "directory_look_up", "1ms", "0s", "1h", "How long a look-up takes."),
    {0},
};

SV_ENGINE(.name = "directory", .summary = "Keeps accounts behind a library that blocks",
          .self_size = sizeof(directory), .options = options, .start = start, .stop = stop)
