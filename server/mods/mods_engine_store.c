/* A store engine that is a module: stands between the store's engine table (store_engine.h) and the public one.
 *
 * A job of the store gets a public one beside it, which the module ends on whatever thread; what it says is checked,
 * since rows that are wrong would be taken for what was stored. */
#include "mods/mods_engine_impl.h"

#include <pthread.h>
#include <signal.h>

#include "base/base_log.h"

enum { STORE_MAGIC = 0x53454e47, JOB_MAGIC = 0x4a4f4245, PLACE_MAX = 8192, CHANGE_MAX = 4096, FIRST_ROWS = 16 };

typedef struct store_bridge {
    svi_engine engine; /* first: what the store knows */
    uint32_t magic;
    svi_engine_ops ops;
    svi_acct *acct;
    svi_group *group; /* of the module alone */
    sv_mod *mod;
    svi_engine_part *part;
    pthread_mutex_t lock; /* of calls to start */
    _Atomic int64_t out;  /* jobs that are not done */
} store_bridge;

/* Where a RANGE job is waited for. */
typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_done;
} waiter;

typedef struct bridge_job {
    sv_store_job job; /* first: what the module knows */
    uint32_t magic;
    store_bridge *bridge;
    svi_job *of;
    size_t cap;
    bool is_prepared;
    int64_t begun_us;
    waiter *waiter; /* NULL: the store is told by `done` */
} bridge_job;

struct sv_recovery {
    uint32_t magic;
    sv_status (*unit)(void *ctx, uint64_t number, sv_str record);
    void *ctx;
    uint64_t folded;
    sv_status status;
};

static store_bridge *bridge_of(svi_engine *e)
{
    store_bridge *bridge = (store_bridge *)e;
    SV_CHECK(bridge, STORE_MAGIC);
    return bridge;
}

static int64_t now_us(const store_bridge *bridge)
{
    const svi_plat *plat = bridge->group->plat;
    return plat->mono_us(plat->ctx);
}

/* --- jobs ----------------------------------------------------------------------------------------------- */

static sv_store_kind kind_of(svi_job_kind kind)
{
    switch (kind) {
    case SVI_JOB_COMMIT: return SV_STORE_COMMIT;
    case SVI_JOB_FOLD: return SV_STORE_FOLD;
    case SVI_JOB_GET: return SV_STORE_GET;
    case SVI_JOB_SCAN: return SV_STORE_SCAN;
    case SVI_JOB_OWNERS: return SV_STORE_OWNERS;
    case SVI_JOB_RANGE: return SV_STORE_RANGE;
    case SVI_JOB_CUT: break; /* asked as SCAN */
    }
    return SV_STORE_COMMIT;
}

static void start(store_bridge *bridge, svi_job *of, waiter *w)
{
    bridge_job *b = svi_alloc(bridge->acct, sizeof *b);
    *b = (bridge_job){.job = {.size = sizeof b->job,
                              .kind = kind_of(of->kind),
                              .first = of->first,
                              .last = of->last,
                              .records = of->records,
                              .record_count = of->record_count,
                              .map = of->key.map,
                              .owner = of->key.owner,
                              .key = of->key.key,
                              .max = of->max,
                              .max_bytes = of->max_bytes,
                              .from = of->from},
                      .magic = JOB_MAGIC,
                      .bridge = bridge,
                      .of = of,
                      .begun_us = now_us(bridge),
                      .waiter = w};
    of->rows = NULL;
    of->row_count = 0;
    of->more = false;
    atomic_fetch_add(&bridge->out, 1);
    pthread_mutex_lock(&bridge->lock);
    svi_exec *now = svi_exec_now();
    const svi_exec saved = *now;
    now->module = bridge->mod->file->name;
    now->hook = "store";
    bridge->part->store.start(&b->job, bridge->mod->self);
    *now = saved;
    pthread_mutex_unlock(&bridge->lock);
}

static bridge_job *job_of(sv_store_job *job)
{
    bridge_job *b = (bridge_job *)job;
    SV_CHECK(b, JOB_MAGIC);
    return b;
}

bool svi_engine_job_change(sv_store_job *job, size_t i, sv_store_change *change_out)
{
    bridge_job *b = job_of(job);
    if (b->of->kind != SVI_JOB_FOLD) return false;
    const sv_status prepared = b->is_prepared ? SV_OK : b->of->prepare(b->of);
    SV_ASSERT(prepared == SV_OK); /* what rows have that something is appended to was read before */
    b->is_prepared = true;
    if (i >= b->of->change_count) return false;
    const svi_row_change *c = &b->of->changes[i];
    const size_t least = offsetof(sv_store_change, all) + sizeof c->all, size = change_out->size;
    SV_ASSERT(size >= least && size <= CHANGE_MAX); /* a change that was not told would be lost */
    const sv_store_change change = {.size = change_out->size,
                                    .map = c->key.map,
                                    .owner = c->key.owner,
                                    .key = c->key.key,
                                    .value = c->value,
                                    .all = c->all};
    memcpy(change_out, &change, size < sizeof change ? size : sizeof change);
    return true;
}

/* A copy that is there even if it is empty: a value without a place would be a row that is not. */
static sv_str copy(svi_arena *arena, sv_str s)
{
    return s.n > 0 ? svi_arena_str(arena, s) : (sv_str){"", 0};
}

void svi_engine_job_row(sv_store_job *job, sv_str owner, sv_str key, sv_str value)
{
    bridge_job *b = job_of(job);
    svi_job *of = b->of;
    SV_ASSERT(of->kind >= SVI_JOB_GET); /* what is asked to be kept has no rows */
    if (of->row_count == b->cap) {
        b->cap = b->cap > 0 ? b->cap * 2 : FIRST_ROWS;
        svi_row_change *rows = svi_arena_get(of->arena, b->cap * sizeof *rows);
        if (of->row_count > 0) memcpy(rows, of->rows, of->row_count * sizeof *rows);
        of->rows = rows;
    }
    of->rows[of->row_count++] = (svi_row_change){.key = {.map = of->key.map,
                                                         .owner = copy(of->arena, owner),
                                                         .key = copy(of->arena, key)},
                                                 .value = copy(of->arena, value)};
}

void svi_engine_job_more(sv_store_job *job, sv_str from)
{
    svi_job *of = job_of(job)->of;
    SV_ASSERT(of->kind == SVI_JOB_OWNERS || of->kind == SVI_JOB_RANGE);
    of->more = true;
    if (of->kind == SVI_JOB_RANGE) of->from = copy(of->arena, from);
}

/* What is wrong with an answer; NULL if nothing is. */
static const char *fault_of(const svi_job *of, sv_str asked_from)
{
    if (of->kind == SVI_JOB_GET && of->row_count > 1) return "it gave several rows of one key";
    if (of->kind == SVI_JOB_OWNERS && of->row_count > of->max) return "it gave more owners than asked for";
    for (size_t i = 1; of->kind == SVI_JOB_OWNERS && i < of->row_count; i++)
        if (svi_str_cmp(of->rows[i - 1].key.owner, of->rows[i].key.owner) >= 0)
            return "it gave owners out of order";
    if (of->kind == SVI_JOB_RANGE && of->more &&
        (of->from.n == 0 || of->from.n > PLACE_MAX || sv_str_eq(of->from, asked_from)))
        return "it gave no place where the rows go on";
    return NULL;
}

static void tell(waiter *w)
{
    pthread_mutex_lock(&w->lock);
    w->is_done = true;
    pthread_cond_signal(&w->cond); /* under the lock: whoever waits frees it */
    pthread_mutex_unlock(&w->lock);
}

void svi_engine_job_done(sv_store_job *job, sv_status status, const char *text)
{
    bridge_job *b = job_of(job);
    store_bridge *bridge = b->bridge;
    svi_job *of = b->of;
    waiter *w = b->waiter;
    const char *fault = status == SV_OK ? fault_of(of, job->from) : NULL;
    of->status = fault != NULL ? SV_EIO : status;
    of->took_us = now_us(bridge) - b->begun_us;
    if (of->status != SV_OK) {
        const char *why = fault != NULL ? fault : text != NULL ? text : svi_status_name(status);
        (void)svi_err(&of->err, of->status, "store engine \"%s\": %s", bridge->ops.name, why);
        of->row_count = 0;
        of->more = false;
    }
    b->magic = 0;
    svi_free(b);
    atomic_fetch_sub(&bridge->out, 1); /* before the store hears of its last one and closes */
    if (w != NULL)
        tell(w);
    else
        of->done(of);
}

/* --- the store's side ----------------------------------------------------------------------------------- */

static void bridge_start(svi_engine *e, svi_job *job)
{
    start(bridge_of(e), job, NULL);
}

static void bridge_range(svi_engine *e, svi_job *job)
{
    waiter w = {.is_done = false};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.cond, NULL);
    start(bridge_of(e), job, &w);
    pthread_mutex_lock(&w.lock);
    while (!w.is_done) pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_cond_destroy(&w.cond);
    pthread_mutex_destroy(&w.lock);
}

static void bridge_space(svi_engine *e, uint64_t *free_out, uint64_t *journal_out, uint64_t *index_out)
{
    const store_bridge *bridge = bridge_of(e);
    sv_store_space space = {.size = sizeof space, .free = UINT64_MAX};
    const svi_mod_visit visit = svi_mod_enter(bridge->mod, "store");
    bridge->part->store.space(&space, bridge->mod->self);
    svi_mod_leave(&visit);
    *free_out = space.free;
    *journal_out = space.journal;
    *index_out = space.rows;
}

sv_status svi_engine_recover_unit(sv_recovery *to, uint64_t number, sv_str record)
{
    SV_CHECK(to, STORE_MAGIC);
    if (to->status == SV_OK) to->status = to->unit(to->ctx, number, record);
    return to->status;
}

/* The worker has TERM blocked, and hears of it in its loop, which does not run yet. */
bool svi_engine_recover_ends(const sv_recovery *to)
{
    sigset_t waiting;
    SV_CHECK(to, STORE_MAGIC);
    return sigpending(&waiting) == 0 && sigismember(&waiting, SIGTERM) == 1;
}

void svi_engine_recover_folded(sv_recovery *to, uint64_t last)
{
    SV_CHECK(to, STORE_MAGIC);
    to->folded = last;
}

static sv_status bridge_recover(svi_engine *e, sv_status (*unit)(void *ctx, uint64_t number, sv_str record),
                                void *ctx, uint64_t *folded_out, sv_err *err)
{
    const store_bridge *bridge = bridge_of(e);
    sv_recovery to = {.magic = STORE_MAGIC, .unit = unit, .ctx = ctx};
    sv_err why = {.text = ""};
    const svi_mod_visit visit = svi_mod_enter(bridge->mod, "store");
    sv_status status = bridge->part->store.recover(&to, (sv_durability)e->durability, &why, bridge->mod->self);
    svi_mod_leave(&visit);
    why.text[sizeof why.text - 1] = '\0';
    if (status == SV_OK && to.status != SV_OK) {
        status = to.status;
        (void)snprintf(why.text, sizeof why.text, "a record that it gave makes no sense, or one is missing");
    }
    *folded_out = to.folded;
    if (status == SV_OK) return SV_OK;
    return svi_err(err, status, "store engine \"%s\": %.180s", bridge->ops.name,
                   why.text[0] != '\0' ? why.text : svi_status_name(status));
}

static void bridge_close(svi_engine *e)
{
    store_bridge *bridge = bridge_of(e);
    SV_ASSERT(atomic_load(&bridge->out) == 0); /* the store has waited for all */
    bridge->group->is_ending = true;
    svi_group_let_go(bridge->group);
    svi_group_unref(&bridge->group);
    pthread_mutex_destroy(&bridge->lock);
    bridge->magic = 0;
    svi_free(bridge);
}

/* --- the module's side ---------------------------------------------------------------------------------- */

sv_status svi_engine_store_register(sv_mod *mod, const sv_store_engine *engine)
{
    sv_status status;
    svi_engine_part *part = svi_engine_part_of(mod, &status);
    const size_t least = offsetof(sv_store_engine, space) + sizeof engine->space;
    if (part == NULL && status == SV_EDENIED) return status;
    if (part == NULL || !part->may_store) {
        SV_LOG(SV_ERROR, "module-refused", LF_TXT("module", mod->file->name),
               LF_TXT("reason", "it keeps the server's store: name it in store_engine, not in modules_enabled"));
        return SV_EDENIED;
    }
    if (part->does_store) return SV_EEXIST;
    if (engine == NULL || engine->size < least || engine->recover == NULL || engine->start == NULL ||
        engine->space == NULL)
        return SV_EINVAL;
    memcpy(&part->store, engine, engine->size < sizeof part->store ? engine->size : sizeof part->store);
    part->does_store = true;
    return SV_OK;
}

/* What only a module of a host can have. */
static bool is_of_hosts(const sv_module_desc *desc)
{
    return (desc->hooks != NULL && desc->hooks->on != NULL) ||
           (desc->commands != NULL && desc->commands->name != NULL) ||
           (desc->features != NULL && desc->features[0] != '\0') ||
           (desc->stream_features != NULL && desc->stream_features[0] != '\0');
}

static sv_status check_file(const svi_mod_file *file, sv_err *err)
{
    if (!file->is_engine)
        return svi_err(err, SV_EINVAL,
                       "module \"%s\" is no store engine (it is not declared with SV_ENGINE): correct "
                       "store_engine, or leave it out for the server's own store",
                       file->name);
    if (is_of_hosts(&file->desc) || file->desc.start == NULL)
        return svi_err(err, SV_EINVAL,
                       "module \"%s\" can't keep the store: it has hooks, commands or features of "
                       "hosts, or no start; correct store_engine",
                       file->name);
    return SV_OK;
}

static sv_status start_module(sv_mod *mod, sv_err *err)
{
    sv_status status;
    svi_engine_part *part = svi_engine_part_of(mod, &status);
    SV_ASSERT(part != NULL);
    part->may_store = true;
    status = svi_mod_start(mod);
    if (status != SV_OK)
        return svi_err(err, status, "store engine \"%s\" does not start: %s%s%s", mod->file->name,
                       svi_status_name(status), mod->why != NULL ? ": " : "", mod->why != NULL ? mod->why : "");
    if (!part->does_store)
        return svi_err(err, SV_EINVAL,
                       "module \"%s\" is no store engine (its start registers none): correct "
                       "store_engine, or leave it out for the server's own store",
                       mod->file->name);
    return SV_OK;
}

static svi_engine *bridge_new(svi_acct *acct, svi_group *group)
{
    store_bridge *bridge = svi_alloc(acct, sizeof *bridge);
    bridge->magic = STORE_MAGIC;
    bridge->acct = acct;
    bridge->group = group;
    bridge->mod = group->mods[0];
    bridge->part = bridge->mod->engine;
    bridge->ops = (svi_engine_ops){.name = bridge->mod->file->name,
                                   .recover = bridge_recover,
                                   .start = bridge_start,
                                   .space = bridge_space,
                                   .close = bridge_close,
                                   .range = bridge_range};
    bridge->engine.ops = &bridge->ops;
    pthread_mutex_init(&bridge->lock, NULL);
    return &bridge->engine;
}

sv_status svi_store_module_open(svi_acct *acct, const svi_mods_config *config, sv_str name, bool is_check,
                                svi_store_module *module_out, sv_err *err)
{
    svi_mod_file *file = NULL;
    const svi_section *global = svi_config_section(config->config, 0);
    SV_ASSERT(config->engines != NULL && config->server == NULL);
    *module_out = (svi_store_module){.engine = NULL};
    sv_status status = svi_mod_file_load(acct, config, name, &file, err);
    if (status != SV_OK) return status;
    status = check_file(file, err);
    if (status != SV_OK) {
        svi_mod_file_unref(&file);
        return status;
    }
    svi_group *group = svi_group_bare(acct, config->engines->config.plat);
    group->engines = config->engines;
    sv_mod *mod = svi_mod_new(group, file, NULL, NULL);
    svi_group_put(group, mod);
    module_out->file = file;
    const sv_module_desc *desc = &mod->file->desc;
    status = svi_options_fill(config->config, global, desc->options, desc->option_stride, mod->self,
                              config->report, config->report_ctx);
    if (status == SV_OK) svi_mod_filled(mod);
    if (status == SV_OK && !is_check) status = start_module(mod, err);
    module_out->options = desc->options;
    module_out->option_stride = desc->option_stride;
    if (status == SV_OK && !is_check) {
        module_out->engine = bridge_new(acct, group);
        return SV_OK;
    }
    group->is_ending = true;
    svi_group_let_go(group);
    svi_group_unref(&group);
    if (status != SV_OK) svi_store_module_free(module_out);
    return status;
}

sv_status svi_store_module_check(svi_acct *acct, const svi_store_module *module, const svi_mods_config *config)
{
    const sv_module_desc *desc = &module->file->desc;
    void *self = svi_alloc(acct, desc->self_size);
    const sv_status status =
        svi_options_fill(config->config, svi_config_section(config->config, 0), desc->options,
                         desc->option_stride, self, config->report, config->report_ctx);
    svi_free(self);
    return status;
}

void svi_store_module_free(svi_store_module *module)
{
    svi_mod_file_unref(&module->file);
    *module = (svi_store_module){.engine = NULL};
}
