/* Keeps a host's accounts, as its options say: names and passwords, and whether it answers at once, later,
 * never, or fails. It checks passwords; an operator can't change anything there. */
#include <stave/module.h>

enum { NOW, LATER, NEVER, FAILS, WAITING_MAX = 64 };

typedef struct backend {
    sv_mod *mod;
    sv_str_list users; /* "name password" */
    int64_t answers;
    struct {
        sv_auth_ask *ask;
        sv_status status;
    } waiting[WAITING_MAX];
    size_t count;
} backend;

/* The password of a name; .p NULL if it is not known. */
static sv_str password_of(const backend *me, sv_str name)
{
    for (size_t i = 0; i < me->users.count; i++) {
        const sv_str user = me->users.items[i];
        if (user.n > name.n && memcmp(user.p, name.p, name.n) == 0 && user.p[name.n] == ' ')
            return (sv_str){user.p + name.n + 1, user.n - name.n - 1};
    }
    return SV_STR_NONE;
}

static void answer(backend *me, sv_auth_ask *ask, sv_status status)
{
    if (me->answers == FAILS) status = SV_EIO;
    if (me->answers == NOW || me->answers == FAILS || me->count == WAITING_MAX) {
        sv->auth_done(ask, status);
        return;
    }
    me->waiting[me->count].ask = ask;
    me->waiting[me->count++].status = status;
}

static void tick(void *self)
{
    backend *me = self;
    for (size_t i = 0; i < me->count && me->answers == LATER; i++)
        sv->auth_done(me->waiting[i].ask, me->waiting[i].status);
    if (me->answers == LATER) me->count = 0;
}

static void find(sv_auth_ask *ask, sv_str name, void *self)
{
    answer(self, ask, password_of(self, name).p ? SV_OK : SV_ENOTFOUND);
}

static void check(sv_auth_ask *ask, sv_str name, sv_str password, void *self)
{
    const sv_str known = password_of(self, name);
    answer(self, ask, !known.p ? SV_ENOTFOUND : sv_str_eq(known, password) ? SV_OK : SV_EDENIED);
}

/* As a module may that closes a connection to its back end: what is not answered is answered now. */
static void stop(void *self)
{
    const backend *me = self;
    for (size_t i = 0; i < me->count; i++) sv->auth_done(me->waiting[i].ask, SV_EIO);
}

static sv_status start(sv_mod *mod, void *self)
{
    backend *me = self;
    static const sv_auth auth = {.size = sizeof auth, .find = find, .check = check};
    static const sv_auth blind = {.size = sizeof blind, .check = check};
    me->mod = mod;
    if (sv->auth_register(mod, &blind) != SV_EINVAL) return SV_EVERSION;
    const sv_status status = sv->auth_register(mod, &auth);
    if (status != SV_OK) return status;
    if (sv->auth_register(mod, &auth) != SV_EEXIST) return SV_EVERSION;
    return sv->every(mod, 50, tick);
}

static const sv_option options[] = {
    SV_OPT_LIST(backend, users, "backend_users", "Names and passwords."),
    SV_OPT_ENUM(backend, answers, "backend_answers", "now", "now later never fails",
                "When it answers."),
    {0},
};

SV_MODULE(.name = "backend", .summary = "Keeps accounts", .self_size = sizeof(backend),
          .options = options, .start = start, .stop = stop)
