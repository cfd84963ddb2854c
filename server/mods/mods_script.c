/* What scripts are lent beside the module table: waits, timers, work, their files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mods/mods_api.h"
#include "mods/mods_record.h"
#include "mods/mods_script.h"

enum { PATH_BYTES = 1024, REQUIRED_BYTES_MAX = 1 << 20, REST_US = 1000000, PACE_US = 50000 };

/* --- files ------------------------------------------------------------------------------------------- */

/* What its `read` needs. */
typedef struct script_files {
    svi_mod_file *file;
    const char *folder; /* the script's own; NULL: it has none */
    const svi_mods_probe *probe;
} script_files;

static uint64_t hash_of(const char *bytes, size_t n)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)bytes[i]) * UINT64_C(1099511628211);
    return h ^ n;
}

/* The whole of a small file, and what it was before it was read; errno says why not. */
static char *read_file(svi_acct *acct, const char *path, size_t *size_out, uint64_t *mark_out)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return NULL;
    char *text = NULL;
    errno = EFBIG;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= REQUIRED_BYTES_MAX) {
        text = svi_alloc_raw(acct, (size_t)st.st_size + 1);
        *mark_out = svi_file_mark(&st);
        const ssize_t got = read(fd, text, (size_t)st.st_size);
        *size_out = got > 0 ? (size_t)got : 0;
    }
    close(fd);
    return text;
}

static sv_status env_read(void *ctx, const char *name, char **text_out, size_t *size_out, sv_err *err)
{
    script_files *f = ctx;
    char path[PATH_BYTES];
    if (f->folder == NULL)
        return svi_err(err, SV_EDENIED, "a script that requires others is a folder of its own: %s/%s.lua", f->file->name, f->file->name);
    (void)snprintf(path, sizeof path, "%s/%s", f->folder, name);
    uint64_t mark = 0;
    *text_out = read_file(f->file->acct, path, size_out, &mark);
    if (*text_out == NULL) return svi_err(err, SV_EIO, "%s can't be read: %s", path, strerror(errno));
    if (f->file->recorded.n > 0 && !svi_record_list_has(f->file->recorded, sv_str_of(name), (sv_str){*text_out, *size_out})) {
        svi_free(*text_out);
        *text_out = NULL;
        return svi_err(err, SV_EDENIED, "%s has changed since its module was installed", path);
    }
    svi_script_source *source = svi_arena_get(f->file->arena, sizeof *source);
    *source = (svi_script_source){.next = f->file->sources, .path = svi_arena_str(f->file->arena, sv_str_of(path)).p,
                                  .hash = hash_of(*text_out, *size_out), .mark = mark};
    f->file->sources = source;
    return SV_OK;
}

static bool env_is_over_quota(void *ctx)
{
    const script_files *f = ctx;
    return f->probe->is_over_quota(f->probe->ctx, f->file->name);
}

bool svi_mod_script_is_stale(const svi_mod_file *file)
{
    bool is_stale = false;
    for (const svi_script_source *s = file->sources; s != NULL && !is_stale; s = s->next) {
        size_t size;
        uint64_t mark;
        char *text = read_file(file->acct, s->path, &size, &mark);
        is_stale = text != NULL && hash_of(text, size) != s->hash;
        svi_free(text);
    }
    return is_stale;
}

const char *svi_mod_script_differs(const svi_mod_file *file, sv_str folder)
{
    for (const svi_script_source *s = file->sources; s != NULL; s = s->next) {
        char path[PATH_BYTES];
        size_t size = 0;
        const char *name = strrchr(s->path, '/') + 1;
        (void)snprintf(path, sizeof path, "%.*s/%s", (int)folder.n, folder.p, name);
        uint64_t mark;
        char *text = read_file(file->acct, path, &size, &mark);
        const bool is_same = text != NULL && hash_of(text, size) == s->hash;
        svi_free(text);
        if (!is_same) return name;
    }
    return NULL;
}

/* --- words to the loader ----------------------------------------------------------------------------- */

static void env_fault(sv_mod *mod, const char *rule)
{
    svi_mod_fault(mod, rule);
}

static void env_refuses(sv_mod *mod, sv_cond cond, const char *file, int line)
{
    const svi_mods_probe *probe = svi_mod_probe(mod);
    if (probe == NULL || probe->refuses == NULL) return;
    const svi_mods_site site = {.file = file, .place = (uintptr_t)line};
    probe->refuses(probe->ctx, mod->file->name, cond, &site);
}

static void env_say_why(sv_mod *mod, const char *text)
{
    mod->why = svi_arena_printf(mod->texts, "%s", text).p;
}

static bool env_may_wait(const sv_event *ev)
{
    return svi_event_may_wait(ev) && (svi_rehearsal_of(ev) == NULL || svi_trial_may_wait(ev));
}

static void env_end(sv_event *ev)
{
    (void)svi_x_end(ev);
}

static bool env_is_undisposed(const sv_event *ev)
{
    if (svi_rehearsal_of(ev) != NULL) return svi_event_stanza(ev) != NULL;
    return svi_event_entry(ev) != 0 && !svi_event_is_disposed(ev);
}

static void env_random(sv_mod *mod, void *to, size_t n)
{
    const svi_plat *plat = mod->group->plat;
    plat->random(plat->ctx, to, n);
}

/* --- pace -------------------------------------------------------------------------------------------- */

static int64_t ran_us(const sv_mod *mod)
{
    const svi_plat *plat = mod->group->plat;
    return plat->cpu_us != NULL ? plat->cpu_us(plat->ctx) : plat->mono_us(plat->ctx);
}

/* What a script goes on with by itself, each within its own limit, must not fill the router together: a thousand timers that are
 * due at once would keep it for a minute. So all that takes half of its time at most; 0, or how long the script has to rest. */
static int64_t rest_us(sv_mod *mod)
{
    const svi_plat *plat = mod->group->plat;
    const int64_t now_us = plat->mono_us(plat->ctx), passed_us = now_us - mod->paced_at_us;
    mod->pace_us = passed_us < mod->pace_us ? mod->pace_us - passed_us : 0;
    mod->paced_at_us = now_us;
    return mod->pace_us > PACE_US ? mod->pace_us - PACE_US / 2 : 0;
}

/* Counts what ran since then. */
static void pace(sv_mod *mod, int64_t from_us)
{
    mod->pace_us += 2 * (ran_us(mod) - from_us);
}

/* --- waits ------------------------------------------------------------------------------------------- */

/* Lives as long as the event's memory, so that its end, whatever the reason, ends the wait. */
struct svi_script_wait {
    sv_mod *mod; /* in flight; NULL: it is over */
    sv_event *ev;
    uint32_t turn;
    svi_timer *timer;
    svi_hook_stats *stats;
    void (*back)(void *ctx);
    void (*gone)(void *ctx);
    void *ctx;
};

static void call_back(void *ctx)
{
    const svi_script_wait *w = ctx;
    sv_mod *mod = w->mod;
    const sv_event *const saved = mod->acting;
    svi_plat_enter(mod->group->plat);
    mod->acting = w->ev;
    w->back(w->ctx);
    mod->acting = saved;
}

static void start_wait(svi_script_wait *w, int64_t in_us);

static void go_on(svi_script_wait *w)
{
    sv_event *ev = svi_event_hold(w->ev);
    const int64_t from_us = ran_us(w->mod);
    if (!svi_event_is_open(ev) || svi_event_turn(ev) != w->turn)
        w->gone(w->ctx);
    else
        svi_event_call(ev, w->stats, call_back, w);
    pace(w->mod, from_us);
    svi_mod_end(&w->mod);
    svi_event_let_go(&ev); /* w may go with it */
}

/* Its time has come, or what it was for. */
static void wait_fired(void *ctx)
{
    svi_script_wait *w = ctx;
    const int64_t in_us = rest_us(w->mod);
    w->timer = NULL;
    if (in_us > 0)
        start_wait(w, in_us);
    else
        go_on(w);
}

static void event_gone(void *ctx)
{
    svi_script_wait *w = ctx;
    if (w->mod != NULL) {
        svi_timer_cancel(&w->timer);
        w->gone(w->ctx);
        svi_mod_end(&w->mod);
    }
    svi_free(w);
}

static svi_hook_stats *stats_of(const sv_event *ev, const sv_mod *mod)
{
    const svi_handler *handler = svi_event_handler(ev);
    return handler != NULL && handler->generation == mod ? handler->stats : svi_costs_line(mod->costs, "callback");
}

static void start_wait(svi_script_wait *w, int64_t in_us)
{
    w->timer = svi_timer_start(svi_server_timers(w->mod->group->server), in_us, wait_fired, w);
}

static svi_script_wait *env_wait(sv_mod *mod, sv_event *ev, int64_t in_us, void (*back)(void *ctx), void (*gone)(void *ctx), void *ctx)
{
    svi_script_wait *w = svi_alloc(mod->group->acct, sizeof *w);
    *w = (svi_script_wait){.mod = svi_mod_begin(mod), .ev = ev, .turn = svi_event_turn(ev), .stats = stats_of(ev, mod), .back = back, .gone = gone, .ctx = ctx};
    svi_event_at_end(ev, event_gone, w);
    start_wait(w, in_us);
    return w;
}

static void env_wake(svi_script_wait *w)
{
    if (w->timer == NULL) return;
    svi_timer_cancel(&w->timer);
    start_wait(w, 0);
}

/* --- sending outside an event ------------------------------------------------------------------------ */

typedef struct sending {
    sv_mod *mod; /* in flight */
    sv_stanza *stanza;
} sending;

static void sending_over(sending *s)
{
    sv_mod *mod = s->mod;
    svi_stanza_unref(&s->stanza);
    svi_free(s);
    svi_mod_end(&mod);
}

static void send_now(void *ctx)
{
    sending *s = ctx;
    const svi_group *group = s->mod->group;
    const uint64_t entry = svi_ledger_open(svi_server_ledger(group->server), SVI_MADE_PUSH, svi_host_ledger(group->host));
    svi_route(group->server, group->host, s->stanza, entry);
    sending_over(s);
}

static void send_dropped(void *ctx)
{
    sending_over(ctx);
}

static void env_send(sv_mod *mod, const sv_stanza *stanza)
{
    sending *s = svi_alloc(mod->group->acct, sizeof *s);
    *s = (sending){.mod = svi_mod_begin(mod), .stanza = svi_stanza_ref(stanza)};
    svi_server_defer(mod->group->server, send_now, send_dropped, s);
}

/* --- timers ------------------------------------------------------------------------------------------ */

typedef struct shot {
    sv_mod *mod;
    svi_timer *timer;
    void (*fire)(void *ctx);
    void *ctx;
} shot;

static void shot_fired(void *ctx);

static void arm(shot *s, int64_t in_us)
{
    s->timer = svi_timer_start(svi_server_timers(s->mod->group->server), in_us, shot_fired, s);
}

/* In quarantine it rests, and goes on when that is over; so does that of a shadow without time. */
static void shot_fired(void *ctx)
{
    shot *s = ctx;
    sv_mod *mod = s->mod;
    const bool is_off = mod->conduct.ward.is_closed || svi_trial_is_short(mod);
    const int64_t in_us = is_off ? REST_US : rest_us(mod);
    if (in_us > 0) {
        arm(s, in_us);
        return;
    }
    const shot copy = *s;
    svi_free(s);
    const int64_t from_us = ran_us(mod);
    const svi_stretch stretch = svi_mod_stretch(mod);
    const svi_mod_visit visit = svi_mod_enter(mod, "timer");
    copy.fire(copy.ctx);
    svi_mod_leave(&visit);
    svi_mod_judge_time(mod, "timer", &stretch);
    pace(mod, from_us);
}

static void *env_timer(sv_mod *mod, int64_t in_us, void (*fire)(void *ctx), void *ctx)
{
    if (mod->group->host == NULL || mod->is_retired) return NULL;
    shot *s = svi_alloc(&mod->acct, sizeof *s);
    *s = (shot){.mod = mod, .fire = fire, .ctx = ctx};
    arm(s, in_us);
    return s;
}

static void env_timer_cancel(void *timer)
{
    shot *s = timer;
    svi_timer_cancel(&s->timer);
    svi_free(s);
}

/* --- work -------------------------------------------------------------------------------------------- */

typedef struct labour {
    sv_mod *mod; /* in flight */
    void (*run)(void *ctx);
    void (*done)(void *ctx, bool is_over);
    void *ctx;
} labour;

static void labour_run(void *ctx)
{
    const labour *l = ctx;
    l->run(l->ctx);
}

static void labour_done(void *ctx, bool is_over)
{
    labour *l = ctx;
    sv_mod *mod = l->mod;
    l->done(l->ctx, is_over);
    svi_free(l);
    svi_mod_end(&mod);
}

static void env_work(sv_mod *mod, void (*run)(void *ctx), void (*done)(void *ctx, bool is_over), void *ctx)
{
    labour *l = svi_alloc(mod->group->acct, sizeof *l);
    *l = (labour){.mod = svi_mod_begin(mod), .run = run, .done = done, .ctx = ctx};
    svi_server_work(mod->group->server, labour_run, labour_done, l);
}

/* --- loading ----------------------------------------------------------------------------------------- */

/* The folder of "PATH/NAME/NAME.lua"; NULL for "PATH/NAME.lua". */
static const char *folder_of(svi_mod_file *file, const char *path)
{
    const char *slash = strrchr(path, '/');
    const sv_str folder = {path, slash != NULL ? (size_t)(slash - path) : 0};
    const size_t n = strlen(file->name);
    const bool is_own = folder.n > n && memcmp(folder.p + folder.n - n, file->name, n) == 0 && folder.p[folder.n - n - 1] == '/';
    return is_own ? svi_arena_str(file->arena, folder).p : NULL;
}

static int64_t bytes_of(const svi_mods_config *config)
{
    return config->script_bytes > 0 ? config->script_bytes : SVI_SCRIPT_BYTES;
}

static int64_t cpu_us_of(const svi_mods_config *config)
{
    return config->script_cpu_us > 0 ? config->script_cpu_us : SVI_SCRIPT_CPU_US;
}

void svi_mod_script_limit(const svi_mod_file *file, const svi_mods_config *config)
{
    if (file->script != NULL) svi_script_set_limits(file->script, bytes_of(config), cpu_us_of(config));
}

sv_status svi_mod_script_load(svi_mod_file *file, const svi_mods_config *config, const char *path, sv_str text, sv_err *err)
{
    script_files *files = svi_arena_get(file->arena, sizeof *files);
    *files = (script_files){.file = file, .folder = folder_of(file, path), .probe = config->probe};
    const bool has_quota_probe = config->probe != NULL && config->probe->is_over_quota != NULL;
    const svi_script_env env = {.sv = config->script_api != NULL ? config->script_api : svi_mods_api(),
                                .acct = file->acct,
                                .release = config->release != NULL ? config->release : "",
                                .random = env_random,
                                .max_bytes = bytes_of(config),
                                .max_cpu_us = cpu_us_of(config),
                                .read = env_read,
                                .ctx = files,
                                .is_over_quota = has_quota_probe ? env_is_over_quota : NULL,
                                .fault = env_fault,
                                .refuses = config->probe != NULL ? env_refuses : NULL,
                                .say_why = env_say_why,
                                .may_wait = env_may_wait,
                                .is_open = svi_event_is_open,
                                .is_undisposed = env_is_undisposed,
                                .end = env_end,
                                .wait = env_wait,
                                .wake = env_wake,
                                .at_end = svi_event_at_end,
                                .timer = env_timer,
                                .timer_cancel = env_timer_cancel,
                                .work = env_work,
                                .send = env_send};
    const char *slash = strrchr(path, '/');
    const char *name = svi_arena_str(file->arena, sv_str_of(slash != NULL ? slash + 1 : path)).p;
    return svi_script_load(&env, file->name, name, text, &file->script, err);
}
