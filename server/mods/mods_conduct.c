/* How modules behave: their faults and budgets, quarantine and the way out of it. */
#include "base/base_log.h"
#include "mods/mods_impl.h"
#include "mods/mods_script.h"

#define LOOK_US INT64_C(1000000)
#define CPU_WINDOW_US INT64_C(10000000)
#define RULE_MEMORY "its memory stays within the budget"
#define RULE_CPU "its processor time stays within the budget"

static int64_t now_us(const sv_mod *mod)
{
    return mod->group->plat->mono_us(mod->group->plat->ctx);
}

/* What it took so far, in all generations. */
static int64_t cpu_ns(const sv_mod *mod)
{
    return svi_costs_sum(mod->costs).cpu_ns;
}

int64_t svi_mod_memory_bytes(const sv_mod *mod)
{
    const svi_script *script = mod->file->script;
    const int64_t of_state = script != NULL ? svi_script_bytes(script) : 0;
    return atomic_load(&mod->acct.live_bytes) + atomic_load(&mod->memory->acct.live_bytes) + of_state;
}

/* --- life ------------------------------------------------------------------------------------------- */

static void begin_window(sv_mod *mod)
{
    mod->conduct.window_us = now_us(mod);
    mod->conduct.window_ns = cpu_ns(mod);
}

void svi_conduct_begin(sv_mod *mod)
{
    svi_conduct *c = &mod->conduct;
    svi_faults_init(&c->faults, mod->group->acct, (size_t)c->budget.faults_max,
                    c->budget.faults_within_ms * 1000);
    begin_window(mod);
}

void svi_conduct_end(sv_mod *mod)
{
    svi_faults_free(&mod->conduct.faults);
}

/* The window begins anew if its size changes. */
void svi_conduct_set_budget(sv_mod *mod, const svi_budget *budget)
{
    svi_conduct *c = &mod->conduct;
    const bool is_same = c->budget.faults_max == budget->faults_max &&
                         c->budget.faults_within_ms == budget->faults_within_ms;
    c->budget = *budget;
    c->memory_level = c->cpu_level = SVI_WITHIN;
    if (is_same) return;
    const uint64_t total = c->faults.total;
    svi_faults_free(&c->faults);
    svi_faults_init(&c->faults, mod->group->acct, (size_t)budget->faults_max,
                    budget->faults_within_ms * 1000);
    c->faults.total = total;
}

void svi_conduct_hand_over(sv_mod *mod, const sv_mod *before)
{
    svi_conduct *c = &mod->conduct;
    const svi_conduct *b = &before->conduct;
    c->faults.total = b->faults.total;
    if (!b->ward.is_closed) return;
    c->ward = b->ward;
    c->is_held = b->is_held;
    c->missed_ready = true;
    c->since_us = b->since_us;
    c->sessions = b->sessions;
    c->why = b->why;
    svi_conduct_close(mod);
}

void svi_conduct_renewed(sv_mod *mod, const sv_mod *before)
{
    const svi_conduct *c = &before->conduct;
    if (!c->ward.is_closed) return;
    mod->conduct.sessions = c->sessions;
    mod->conduct.has_missed = true;
    SV_LOG(SV_INFO, "module-released", LF_TXT("module", before->file->name),
           LF_STR("host", before->group->host_name), LF_TXT("by", "new code"),
           LF_INT("refused", (int64_t)c->ward.refused), LF_INT("skipped", (int64_t)c->ward.skipped));
}

/* --- quarantine ------------------------------------------------------------------------------------- */

static void stop_timers(sv_mod *mod)
{
    for (sv_timer *t = mod->timers; t != NULL; t = t->next) svi_timer_cancel(&t->timer);
}

void svi_conduct_close(sv_mod *mod)
{
    mod->conduct.ward.is_closed = true;
    stop_timers(mod);
    if (mod->provider != NULL) svi_provider_suspend(mod->provider, true);
}

static void tell_closed(const sv_mod *mod)
{
    const svi_conduct *c = &mod->conduct;
    SV_LOG(SV_ERROR, "module-quarantined", LF_TXT("module", mod->file->name),
           LF_STR("host", mod->group->host_name), LF_TXT("reason", c->why.text),
           LF_INT("faults", (int64_t)c->faults.total),
           LF_TXT("next", "stave modules release, when the cause is gone"));
}

void svi_conduct_quarantine(sv_mod *mod, const char *why)
{
    svi_conduct *c = &mod->conduct;
    if (c->ward.is_closed) return;
    const svi_plat *plat = mod->group->plat;
    (void)svi_err(&c->why, SV_ELIMIT, "%s", why);
    c->ward = (svi_ward){.is_closed = false};
    c->missed_ready = !mod->group->is_ready;
    c->since_us = plat->wall_us(plat->ctx);
    c->sessions = svi_server_newest_session(mod->group->server);
    svi_conduct_close(mod);
    tell_closed(mod);
}

static void no_more(void *ctx)
{
    sv_mod *mod = ctx;
    mod->conduct.is_due = false;
    svi_mod_unref(&mod);
}

static void enter(void *ctx)
{
    sv_mod *mod = ctx;
    SV_CHECK(mod, SVI_MOD_MAGIC);
    if (!mod->is_retired) svi_conduct_quarantine(mod, mod->conduct.due_why);
    no_more(mod);
}

/* Between two events: the one that runs now still sees all its handlers. */
static void quarantine_soon(sv_mod *mod, const char *why)
{
    svi_conduct *c = &mod->conduct;
    if (c->is_due || mod->is_retired) return;
    if (mod->group->host == NULL) return; /* it keeps the store: without it there is no server */
    c->is_due = true;
    (void)snprintf(c->due_why, sizeof c->due_why, "%s", why);
    (void)svi_mod_ref(mod);
    svi_server_defer(mod->group->server, enter, no_more, mod);
}

/* --- faults ----------------------------------------------------------------------------------------- */

static void too_many(sv_mod *mod, const char *rule)
{
    char why[sizeof mod->conduct.due_why];
    (void)snprintf(why, sizeof why, "%lld faults in %lld s, the last against the rule: %s",
                   (long long)mod->conduct.budget.faults_max,
                   (long long)mod->conduct.budget.faults_within_ms / 1000, rule);
    quarantine_soon(mod, why);
}

void svi_mod_fault(sv_mod *mod, const char *rule)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    svi_conduct *c = &mod->conduct;
    const svi_mods_probe *probe = svi_mod_probe(mod);
    if (mod->tries != NULL) {
        svi_trial_fault(mod);
        return;
    }
    if (probe != NULL && probe->faults != NULL) probe->faults(probe->ctx, mod->file->name, rule);
    if (c->ward.is_closed) { /* of what waits in it */
        c->faults.total++;
        return;
    }
    const int64_t now = now_us(mod);
    const bool is_too_much = svi_faults_add(&c->faults, now);
    SV_LOG(SV_WARN, "module-fault", LF_TXT("module", mod->file->name),
           LF_STR("host", mod->group->host_name), LF_TXT("rule", rule),
           LF_INT("recent", (int64_t)svi_faults_count(&c->faults, now)),
           LF_INT("allowed", c->budget.faults_max));
    if (is_too_much) too_many(mod, rule);
}

void svi_mods_on_fault(void *ctx, const svi_handler *handler, const char *rule)
{
    (void)ctx;
    if (handler->generation != NULL) svi_mod_fault(handler->generation, rule);
}

/* --- budgets ---------------------------------------------------------------------------------------- */

static void tell_budget(const sv_mod *mod, const char *what, int64_t used, int64_t max)
{
    SV_LOG(SV_WARN, "module-budget", LF_TXT("module", mod->file->name),
           LF_STR("host", mod->group->host_name), LF_TXT("what", what), LF_INT("used", used),
           LF_INT("max", max), LF_INT("percent", used * 100 / max));
}

static svi_strain strain_of(const svi_budget *budget, int64_t used, int64_t max)
{
    if (used > max) return SVI_OVER;
    return used * 100 >= max * budget->warn_percent ? SVI_NEAR : SVI_WITHIN;
}

/* Once a crossing, in whichever step it comes. */
static void note_strain(const sv_mod *mod, const char *what, svi_strain *level, svi_strain now,
                        int64_t used, int64_t max)
{
    if (now > *level) tell_budget(mod, what, used, max);
    *level = now;
}

/* What a script has let go of is its own only until it is collected. */
static int64_t memory_without_waste(const sv_mod *mod, int64_t max)
{
    int64_t used = svi_mod_memory_bytes(mod);
    if (used <= max || mod->file->script == NULL) return used;
    svi_script_collect(mod->file->script);
    return svi_mod_memory_bytes(mod);
}

void svi_conduct_look_memory(sv_mod *mod, bool is_look)
{
    svi_conduct *c = &mod->conduct;
    const int64_t max = c->budget.memory_max;
    if (max == 0 || c->ward.is_closed) return;
    const int64_t used = is_look ? memory_without_waste(mod, max) : svi_mod_memory_bytes(mod);
    const svi_strain before = c->memory_level;
    note_strain(mod, "memory", &c->memory_level, strain_of(&c->budget, used, max), used, max);
    if (c->memory_level != SVI_OVER) return;
    if (is_look || before != SVI_OVER) svi_mod_fault(mod, RULE_MEMORY);
    if (used > max + max / 2) quarantine_soon(mod, "it uses half as much memory again as it may");
}

void svi_conduct_exceed(sv_mod *mod)
{
    svi_mod_fault(mod, RULE_MEMORY);
    quarantine_soon(mod, "it uses more memory than it may");
}

static void look_cpu(sv_mod *mod)
{
    svi_conduct *c = &mod->conduct;
    const int64_t took_us = now_us(mod) - c->window_us;
    if (took_us < CPU_WINDOW_US) return;
    const int64_t percent = (cpu_ns(mod) - c->window_ns) / 10 / took_us, max = c->budget.cpu_max;
    begin_window(mod);
    if (max == 0 || c->ward.is_closed) return;
    const svi_strain now = strain_of(&c->budget, percent, max);
    note_strain(mod, "cpu", &c->cpu_level, now, percent, max);
    if (now == SVI_OVER) svi_mod_fault(mod, RULE_CPU);
}

static void look(void *ctx)
{
    svi_mods *mods = ctx;
    SV_CHECK(mods, SVI_MODS_MAGIC);
    for (svi_group *group = mods->groups; group != NULL; group = group->next)
        for (size_t i = 0; i < group->count; i++) {
            svi_conduct_look_memory(group->mods[i], true);
            look_cpu(group->mods[i]);
        }
    mods->look = svi_timer_start(svi_server_timers(mods->config.server), LOOK_US, look, mods);
}

static void on_later(void *ctx, const svi_handler *handler, sv_event *ev)
{
    const svi_mods_probe *probe = ctx;
    const sv_mod *mod = handler->generation;
    if (mod != NULL && svi_mod_probe(mod) != NULL) probe->waits(probe->ctx, handler->module, ev);
}

void svi_mods_watch(svi_mods *mods)
{
    const svi_mods_probe *probe = mods->past->probe;
    if (probe != NULL && probe->waits != NULL)
        svi_bus_on_later(svi_server_bus(mods->config.server), on_later, (void *)(uintptr_t)probe);
    svi_bus_on_fault(svi_server_bus(mods->config.server), svi_mods_on_fault, NULL);
    if (mods->look == NULL)
        mods->look = svi_timer_start(svi_server_timers(mods->config.server), LOOK_US, look, mods);
}

void svi_mods_unwatch(svi_mods *mods)
{
    svi_timer_cancel(&mods->look);
}

/* --- what was not started --------------------------------------------------------------------------- */

/* Of a back end that is suspended for ever: nobody calls them. */
static void find_nobody(sv_auth_ask *ask, sv_str name, void *self)
{
    (void)name;
    (void)self;
    svi_auth_done(ask, SV_EIO);
}

static void check_nobody(sv_auth_ask *ask, sv_str name, sv_str password, void *self)
{
    (void)password;
    find_nobody(ask, name, self);
}

static void call_nobody(void *ctx, void (*run)(void *arg), void *arg)
{
    (void)ctx;
    run(arg);
}

/* A module without hooks may be what keeps the host's accounts: that is known only when it has started. Until then those
 * in the server's own store must not count in their place. */
static void stand_for_accounts(sv_mod *mod)
{
    static const sv_auth auth = {.size = sizeof auth, .find = find_nobody, .check = check_nobody};
    const svi_provider_config config = {
        .auth = &auth, .name = mod->file->name, .acct = &mod->acct, .call = call_nobody};
    const sv_status status = svi_provider_new(mod->group->host, &config, &mod->provider);
    SV_ASSERT(status == SV_OK);
    svi_provider_suspend(mod->provider, true);
}

static bool has_hooks(const sv_mod *mod)
{
    const sv_hook *hooks = mod->file->desc.hooks;
    return hooks != NULL && hooks->on != NULL;
}

/* When all are started that are to be: then it is known whether one of them keeps the accounts. */
void svi_conduct_stand_in(svi_group *group)
{
    sv_mod *maybe = NULL;
    for (size_t i = group->count; i > 0; i--) {
        sv_mod *mod = group->mods[i - 1];
        if (mod->provider != NULL) return;
        if (mod->conduct.is_held && !has_hooks(mod)) maybe = mod;
    }
    if (maybe != NULL) stand_for_accounts(maybe);
}

static void stand_back(svi_group *group)
{
    for (size_t i = 0; i < group->count; i++)
        if (group->mods[i]->conduct.is_held) svi_provider_free(&group->mods[i]->provider);
}

static void attach(svi_group *group)
{
    for (size_t i = 0; i < group->count; i++)
        if (group->mods[i]->provider != NULL) svi_provider_attach(group->mods[i]->provider);
}

/* --- the way out ------------------------------------------------------------------------------------ */

static sv_status start_late(sv_mod *mod, sv_err *err)
{
    stand_back(mod->group);
    const sv_status status = svi_mod_start(mod);
    mod->conduct.is_held = status != SV_OK;
    svi_conduct_stand_in(mod->group);
    attach(mod->group);
    if (status != SV_OK)
        return svi_err(err, status, "module \"%s\" does not start on %s: %s%s%s", mod->file->name, mod->group->host_name.p,
                       svi_status_name(status), mod->why != NULL ? ": " : "", mod->why != NULL ? mod->why : "");
    svi_group_stream_features(mod->group);
    return SV_OK;
}

void svi_conduct_introduce(sv_mod *mod)
{
    svi_conduct *c = &mod->conduct;
    svi_hooks *hooks = NULL;
    sv_err err = {.text = ""};
    const sv_status status = svi_mod_hooks_build(mod, &hooks, &err);
    SV_ASSERT(status == SV_OK); /* they were built before, among the others */
    if (c->missed_ready) svi_host_tell_ready(mod->group->host, hooks);
    svi_host_introduce(mod->group->host, hooks, c->sessions);
    svi_hooks_unref(&hooks);
}

static sv_status release(sv_mod *mod, sv_err *err)
{
    svi_conduct *c = &mod->conduct;
    const sv_status status = c->is_held ? start_late(mod, err) : SV_OK;
    if (status != SV_OK) return status;
    c->ward.is_closed = false;
    svi_faults_clear(&c->faults);
    c->memory_level = c->cpu_level = SVI_WITHIN;
    begin_window(mod);
    for (sv_timer *t = mod->timers; t != NULL; t = t->next) svi_timer_resume(t);
    if (mod->provider != NULL) svi_provider_suspend(mod->provider, false);
    SV_LOG(SV_INFO, "module-released", LF_TXT("module", mod->file->name),
           LF_STR("host", mod->group->host_name), LF_TXT("by", "an operator"),
           LF_INT("refused", (int64_t)c->ward.refused), LF_INT("skipped", (int64_t)c->ward.skipped));
    svi_conduct_introduce(mod);
    return SV_OK;
}

sv_status svi_mods_release(svi_mods *mods, sv_str name, const svi_host *host, sv_err *err)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    size_t found = 0, released = 0;
    const int n = (int)(name.n < 60 ? name.n : 60);
    for (svi_group *group = mods->groups; group != NULL; group = group->next) {
        sv_mod *mod = host == NULL || group->host == host ? svi_group_find(group, name) : NULL;
        if (mod == NULL) continue;
        found++;
        if (!mod->conduct.ward.is_closed) continue;
        const sv_status status = release(mod, err);
        if (status != SV_OK) return status;
        released++;
    }
    if (found == 0)
        return svi_err(err, SV_ENOTFOUND, "module \"%.*s\" is not enabled%s%s; `stave modules` shows those that are",
                       n, name.p, host != NULL ? " on " : "", host != NULL ? svi_host_name(host) : "");
    return released > 0 ? SV_OK : svi_err(err, SV_EINVAL, "module \"%.*s\" is not in quarantine", n, name.p);
}

bool svi_mods_quarantines(const svi_mods *mods, const char *name)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    for (svi_group *group = mods->groups; group != NULL; group = group->next) {
        const sv_mod *mod = svi_group_find(group, sv_str_of(name));
        if (mod != NULL && mod->conduct.ward.is_closed) return true;
    }
    return false;
}
