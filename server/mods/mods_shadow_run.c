/* Samples: what the live version was called for, its rehearsal by the shadow, and what is counted of both. */
#include "mods/mods_shadow_impl.h"

#include <stdio.h>

enum {
    SECOND_US = 1000000,
    LOOK_US = 100000, /* how often it is looked how late timers are */
    BATCH = 8,        /* samples in one turn of the server */
    NO_MATCH = -1,
    NOT_TOLD = -2
};

static const svi_plat *plat_of(const svi_shadow *shadow)
{
    return svi_server_plat(shadow->server);
}

static const sv_hook *hook_at(const sv_mod *mod, size_t i)
{
    const sv_hook *hook = mod->file->desc.hooks != NULL ? &mod->file->desc.hooks[i] : NULL;
    return hook != NULL && hook->on != NULL ? hook : NULL;
}

static svi_point point_of(const sv_hook *hook)
{
    const sv_str on = sv_str_of(hook->on);
    return svi_point_find(svi_str_sub(on, 0, svi_str_find(on, ' ')));
}

/* --- its time ---------------------------------------------------------------------------------------- */

static int64_t cpu_now_us(const svi_shadow *shadow)
{
    const svi_plat *plat = plat_of(shadow);
    return plat->cpu_us != NULL ? plat->cpu_us(plat->ctx) : plat->mono_us(plat->ctx);
}

/* The router's own measure: how late its timers have been since the last look, on an average; what was long ago says nothing. */
void svi_shadow_look(svi_shadow *shadow, int64_t now_us)
{
    svi_timers_stats stats;
    svi_timers_stats_get(svi_server_timers(shadow->server), &stats);
    const uint64_t fired = stats.fired - shadow->timers_fired;
    const int64_t late_us = stats.late_us - shadow->timers_late_us;
    shadow->is_late = now_us - shadow->look_us <= SECOND_US && fired > 0 && late_us / (int64_t)fired > SVI_SHADOW_LATE_US;
    shadow->timers_fired = stats.fired;
    shadow->timers_late_us = stats.late_us;
    shadow->look_us = now_us;
}

bool svi_shadow_is_short(svi_shadow *shadow)
{
    const svi_plat *plat = plat_of(shadow);
    const int64_t now_us = plat->mono_us(plat->ctx);
    if (now_us - shadow->window_us >= SECOND_US) {
        shadow->window_us = now_us;
        shadow->window_used_us = 0;
    }
    if (now_us - shadow->look_us >= LOOK_US) svi_shadow_look(shadow, now_us);
    return shadow->is_late || shadow->window_used_us >= SVI_SHADOW_US;
}

static void on_runs(void *run, bool is_running)
{
    const svi_sample *s = run;
    if (s->trial == NULL) return; /* it has ended, and this is the last of it */
    svi_shadow *shadow = s->trial->shadow;
    const int64_t now_us = cpu_now_us(shadow);
    if (is_running) {
        shadow->began_us = now_us;
        return;
    }
    shadow->cpu_us += now_us - shadow->began_us;
    shadow->window_used_us += now_us - shadow->began_us;
}

/* --- samples ----------------------------------------------------------------------------------------- */

static svi_sample *sample_new(svi_trial *trial)
{
    svi_shadow *shadow = trial->shadow;
    svi_sample *s = svi_alloc(shadow->acct, sizeof *s);
    s->trial = trial;
    s->refs = 1;
    s->arena = svi_arena_new(shadow->acct, 256);
    s->before = shadow->last;
    *(s->before != NULL ? &s->before->next : &shadow->first) = s;
    shadow->last = s;
    shadow->sample_count++;
    return s;
}

static void take_off(svi_shadow *shadow, svi_sample *s)
{
    *(s->before != NULL ? &s->before->next : &shadow->first) = s->next;
    *(s->next != NULL ? &s->next->before : &shadow->last) = s->before;
    s->next = s->before = NULL;
    shadow->sample_count--;
    if (s->stage == SVI_SAMPLE_QUEUED) shadow->queued--;
    s->trial = NULL;
}

static void sample_free(svi_sample *s)
{
    if (s->trial != NULL) take_off(s->trial->shadow, s);
    if (s->stanza != NULL) svi_stanza_unref((sv_stanza **)(uintptr_t)&s->stanza);
    svi_arena_free(&s->arena);
    svi_free(s);
}

static sv_jid keep_jid(svi_arena *arena, const sv_jid *jid)
{
    return jid->domain.n > 0 ? svi_jid_copy(arena, jid) : (sv_jid){.node = SV_STR_NONE};
}

/* The event as it is now: what handlers make of the stanza later is another one. */
static void remember(svi_sample *s, const sv_event *ev)
{
    const svi_xevent *x = svi_xevent_of(ev);
    const svi_plat *plat = plat_of(s->trial->shadow);
    if (svi_event_stanza(ev) != NULL) s->stanza = svi_stanza_ref(svi_event_stanza(ev));
    s->from = keep_jid(s->arena, &x->from);
    s->to = keep_jid(s->arena, &x->to);
    s->subject = svi_arena_str(s->arena, x->subject);
    s->account_exists = x->account_exists;
    s->may_wait = svi_event_may_wait(ev);
    s->at_us = plat->wall_us(plat->ctx);
    if (x->session == NULL) return;
    s->session = keep_jid(s->arena, svi_session_jid(x->session));
    s->session_number = svi_session_number(x->session);
}

/* --- counting ---------------------------------------------------------------------------------------- */

static const char *hook_of(const svi_trial *trial, size_t hook)
{
    return hook_at(trial->live, hook)->on;
}

static svi_shadow_count *count_of(svi_shadow *shadow, const char *hook, const char *live, const char *mine, const char *result)
{
    for (size_t i = 0; i < shadow->count_count; i++) {
        svi_shadow_count *c = &shadow->counts[i];
        if (strcmp(c->result, result) == 0 && strcmp(c->live, live) == 0 && strcmp(c->mine, mine) == 0 && strcmp(c->hook, hook) == 0)
            return c;
    }
    const bool is_last = shadow->count_count >= SVI_SHADOW_COUNTS_MAX - 1;
    if (shadow->count_count == SVI_SHADOW_COUNTS_MAX) return &shadow->counts[SVI_SHADOW_COUNTS_MAX - 1];
    svi_shadow_count *c = &shadow->counts[shadow->count_count++];
    c->hook = is_last ? "other" : svi_arena_str(shadow->file->arena, sv_str_of(hook)).p;
    c->result = is_last ? "" : result;
    (void)snprintf(c->live, sizeof c->live, "%s", is_last ? "" : live);
    (void)snprintf(c->mine, sizeof c->mine, "%s", is_last ? "" : mine);
    return c;
}

static void count(const svi_trial *trial, size_t hook, const char *live, const char *mine, const char *result)
{
    count_of(trial->shadow, hook_of(trial, hook), live, mine, result)->count++;
}

static void skip(const svi_trial *trial, size_t hook)
{
    trial->shadow->skipped++;
    count(trial, hook, "-", "-", "skipped");
}

static void put(char *to, size_t size, sv_str text)
{
    (void)snprintf(to, size, "%.*s", (int)(text.n < size ? text.n : size), text.p != NULL ? text.p : "");
}

static void keep_difference(const svi_sample *s)
{
    svi_shadow *shadow = s->trial->shadow;
    svi_difference *d = &shadow->differences[shadow->difference_count++ % SVI_DIFFERENCES_MAX];
    *d = (svi_difference){.at_us = s->at_us};
    d->hook = count_of(shadow, hook_of(s->trial, s->hook), s->live_text, s->has_raised ? "error" : s->mine_text, "differing")->hook;
    put(d->host, sizeof d->host, s->trial->live->group->host_name);
    put(d->from, sizeof d->from, s->from.full);
    put(d->to, sizeof d->to, s->to.full);
    put(d->live, sizeof d->live, sv_str_of(s->live_text));
    put(d->mine, sizeof d->mine, sv_str_of(s->mine_text));
    if (s->stanza == NULL) return;
    const sv_node *root = svi_stanza_root(s->stanza);
    const sv_str name = svi_node_name(root), type = svi_node_attr(root, SV_STR("type"));
    (void)snprintf(d->kind, sizeof d->kind, "%.*s%s%.*s", (int)name.n, name.p, type.n > 0 ? " " : "", (int)(type.n < 20 ? type.n : 20),
                   type.n > 0 ? type.p : "");
}

/* Both verdicts are known. */
static void compare(const svi_sample *s)
{
    svi_shadow *shadow = s->trial->shadow;
    const char *mine = s->has_raised ? "error" : s->mine_text;
    shadow->errors += s->has_raised;
    if (s->mine.is_unknown || s->mine_text[0] == '\0') { /* or it never came to its end */
        shadow->unknown++;
        count(s->trial, s->hook, s->live_text, "-", "not comparable");
    } else if (strcmp(s->live_text, mine) == 0 && s->live.content == s->mine.content) {
        shadow->same++;
        count(s->trial, s->hook, s->live_text, mine, "same");
    } else {
        shadow->differing++;
        keep_difference(s);
        count(s->trial, s->hook, s->live_text, mine, "differing");
    }
}

/* --- rehearsing -------------------------------------------------------------------------------------- */

/* The last who waits for it compares. */
static void sample_unref(svi_sample *s)
{
    SV_ASSERT(s->refs > 0);
    if (--s->refs > 0) return;
    if (s->trial != NULL && !s->is_timer) compare(s);
    sample_free(s);
}

static void rehearsed(void *ctx)
{
    sample_unref(ctx);
}

bool svi_trial_may_wait(const sv_event *ev)
{
    const svi_sample *s = svi_rehearsal_of(ev);
    return s->may_wait;
}

static void *my_begin(void *ctx, sv_event *ev, size_t hook)
{
    (void)ctx;
    (void)hook;
    svi_sample *s = svi_rehearsal_of(ev);
    s->refs++;
    s->ev = ev;
    svi_xevent_of(ev)->outcome = &s->mine;
    return s;
}

static void decided(svi_sample *s, const svi_script_end *end)
{
    svi_outcome_text(&s->mine, end, s->mine_text);
    s->mine.is_unknown |= end->is_unknown;
    s->has_raised = end->error != NULL && !s->mine.is_unknown;
    if (s->has_raised) (void)snprintf(s->mine_text, sizeof s->mine_text, "error: %.100s", end->error);
}

static void my_end(void *run, const svi_script_end *end)
{
    svi_sample *s = run;
    if (!end->is_dropped) decided(s, end);
    if (!end->is_dropped && strcmp(s->mine.verdict, "deliver") == 0) (void)svi_x_end(s->ev);
    sample_unref(s);
}

static void run_one(svi_sample *s)
{
    const svi_trial *trial = s->trial;
    const int match = trial->match[s->hook];
    s->stage = SVI_SAMPLE_RUNS;
    s->ev = NULL;
    trial->shadow->queued--;
    if (match == NO_MATCH) { /* it passes, as whoever has no such hook */
        decided(s, &(svi_script_end){.verdict = SV_PASS});
        sample_unref(s);
        return;
    }
    sv_session *session = NULL;
    if (s->session_number != 0) session = svi_session_find_number(trial->shadow->server, s->session.full, s->session_number);
    svi_rehearse(&(svi_rehearsal){.host = trial->live->group->host,
                                  .hooks = trial->tables[match],
                                  .point = point_of(hook_at(trial->mine, (size_t)match)),
                                  .session = session,
                                  .stanza = s->stanza,
                                  .from = s->from,
                                  .to = s->to,
                                  .subject = s->subject,
                                  .account_exists = s->account_exists,
                                  .over = rehearsed,
                                  .ctx = s});
}

static svi_sample *first_queued(const svi_shadow *shadow)
{
    svi_sample *s = shadow->first;
    while (s != NULL && s->stage != SVI_SAMPLE_QUEUED) s = s->next;
    return s;
}

static void step(void *ctx);

static void step_dropped(void *ctx)
{
    svi_shadow *shadow = ctx;
    shadow->is_deferred = false;
    svi_shadow_unref(&shadow);
}

static void schedule(svi_shadow *shadow)
{
    if (shadow->is_deferred || shadow->queued == 0) return;
    shadow->is_deferred = true;
    shadow->refs++;
    svi_server_defer(shadow->server, step, step_dropped, shadow);
}

/* Some of what is queued, in order; without time all of it is left out. */
static void step(void *ctx)
{
    svi_shadow *shadow = ctx;
    svi_sample *s;
    shadow->is_deferred = false;
    for (int i = 0; (s = first_queued(shadow)) != NULL && !svi_shadow_is_short(shadow) && i < BATCH; i++) run_one(s);
    while (svi_shadow_is_short(shadow) && (s = first_queued(shadow)) != NULL) {
        skip(s->trial, s->hook);
        sample_free(s);
    }
    schedule(shadow);
    svi_shadow_unref(&shadow);
}

/* --- the live version -------------------------------------------------------------------------------- */

static void *live_begin(void *ctx, sv_event *ev, size_t hook)
{
    svi_trial *trial = ctx;
    svi_shadow *shadow = trial->shadow;
    if (trial->match[hook] == NOT_TOLD) return NULL;
    if (shadow->sample_count >= SVI_SAMPLES_MAX || svi_shadow_is_short(shadow)) {
        skip(trial, hook);
        return NULL;
    }
    svi_sample *s = sample_new(trial);
    s->hook = hook;
    s->ev = ev;
    remember(s, ev);
    svi_xevent_of(ev)->outcome = &s->live;
    return s;
}

static void live_end(void *run, const svi_script_end *end)
{
    svi_sample *s = run;
    svi_shadow *shadow = s->trial->shadow;
    if (end->is_dropped) { /* its deadline, or the server's end: what it would have said nobody knows */
        shadow->unknown++;
        count(s->trial, s->hook, "-", "-", "not comparable");
        sample_free(s);
        return;
    }
    if (svi_event_is_open(s->ev)) svi_xevent_of(s->ev)->outcome = NULL;
    svi_outcome_text(&s->live, end, s->live_text);
    s->stage = SVI_SAMPLE_QUEUED;
    shadow->queued++;
    schedule(shadow);
}

/* --- timers ------------------------------------------------------------------------------------------ */

void svi_trial_begin(sv_mod *mod, const char *on, sv_str subject)
{
    svi_trial *trial = mod->tries;
    if (trial == NULL || trial->live == NULL || trial->timers == NULL || strcmp(on, "host/timer") != 0) return;
    svi_sample *s = sample_new(trial);
    s->is_timer = s->may_wait = true;
    s->stage = SVI_SAMPLE_RUNS;
    svi_rehearse(&(svi_rehearsal){.host = mod->group->host,
                                  .hooks = trial->timers,
                                  .point = SVI_POINT_HOST_TIMER,
                                  .subject = subject,
                                  .over = rehearsed,
                                  .ctx = s});
}

/* --- tables ------------------------------------------------------------------------------------------ */

static size_t hook_count(const sv_mod *mod)
{
    size_t count = 0;
    while (hook_at(mod, count) != NULL) count++;
    return count;
}

static bool is_handler(const sv_mod *mod, size_t i)
{
    return svi_script_is_handler(mod->file->script, i);
}

/* The place of a hook among those of the same text. */
static int place_among(const sv_mod *mod, size_t hook)
{
    int place = 0;
    for (size_t i = 0; i < hook; i++) place += is_handler(mod, i) && strcmp(hook_at(mod, i)->on, hook_at(mod, hook)->on) == 0;
    return place;
}

static int match_of(const svi_trial *trial, size_t hook)
{
    const sv_mod *live = trial->live, *mine = trial->mine;
    int left = place_among(live, hook);
    if (!is_handler(live, hook)) return NOT_TOLD;
    for (size_t i = 0; hook_at(mine, i) != NULL; i++)
        if (is_handler(mine, i) && strcmp(hook_at(mine, i)->on, hook_at(live, hook)->on) == 0 && left-- == 0) return (int)i;
    return NO_MATCH;
}

static void table_gone(void *ctx)
{
    sv_mod *mod = ctx;
    svi_mod_unref(&mod);
}

/* Without their filters: the live version's have let pass what comes. */
static svi_handler handler_of(sv_mod *mod, size_t i)
{
    const sv_hook *hook = hook_at(mod, i);
    return (svi_handler){.point = point_of(hook),
                         .band = hook->band,
                         .call = hook->call,
                         .self = svi_mod_hook_self(mod, i),
                         .module = mod->tries->label,
                         .text = hook->on,
                         .stats = svi_costs_line(mod->costs, hook->on),
                         .generation = mod};
}

static svi_hooks *table_of(sv_mod *mod, const svi_handler *handlers, size_t count)
{
    svi_hooks *hooks = NULL;
    if (count == 0) return NULL;
    const sv_status status = svi_hooks_build(mod->group->acct, handlers, count, &hooks, NULL);
    SV_ASSERT(status == SV_OK);
    svi_hooks_on_free(hooks, table_gone, svi_mod_ref(mod));
    return hooks;
}

static void make_tables(svi_trial *trial)
{
    sv_mod *mine = trial->mine;
    svi_acct *acct = trial->shadow->acct;
    (void)snprintf(trial->label, sizeof trial->label, "%s (shadow)", mine->file->name);
    trial->match_count = hook_count(trial->live);
    trial->table_count = hook_count(mine);
    trial->match = svi_alloc(acct, (trial->match_count + 1) * sizeof *trial->match);
    trial->tables = svi_alloc(acct, (trial->table_count + 1) * sizeof *trial->tables);
    svi_handler *timers = svi_alloc(acct, (trial->table_count + 1) * sizeof *timers);
    size_t timer_count = 0;
    for (size_t i = 0; i < trial->match_count; i++) trial->match[i] = match_of(trial, i);
    for (size_t i = 0; i < trial->table_count; i++) {
        const svi_handler handler = handler_of(mine, i);
        trial->tables[i] = table_of(mine, &handler, 1);
        if (handler.point == SVI_POINT_HOST_TIMER) timers[timer_count++] = handler;
    }
    trial->timers = table_of(mine, timers, timer_count);
    svi_free(timers);
}

void svi_trial_listen(svi_trial *trial)
{
    make_tables(trial);
    trial->live_tap = (svi_script_tap){.begin = live_begin, .end = live_end, .ctx = trial};
    trial->my_tap = (svi_script_tap){.begin = my_begin, .runs = on_runs, .end = my_end, .ctx = trial};
    svi_script_set_tap(trial->mine->self, &trial->my_tap);
    svi_script_set_tap(trial->live->self, &trial->live_tap);
    svi_script_set_api(trial->live->file->script, &trial->shadow->live_api);
}

/* What is under way ends by itself, and is compared no more. */
static void drop_samples(const svi_trial *trial)
{
    svi_shadow *shadow = trial->shadow;
    for (svi_sample *s = shadow->first, *next; s != NULL; s = next) {
        next = s->next;
        if (s->trial != trial) continue;
        if (s->stage == SVI_SAMPLE_LIVE && svi_event_is_open(s->ev)) svi_xevent_of(s->ev)->outcome = NULL;
        if (s->stage == SVI_SAMPLE_RUNS)
            take_off(shadow, s);
        else
            sample_free(s);
    }
}

void svi_trial_deafen(svi_trial *trial)
{
    svi_script_set_tap(trial->live->self, NULL);
    drop_samples(trial);
    for (size_t i = 0; i < trial->table_count; i++) svi_hooks_unref(&trial->tables[i]);
    svi_hooks_unref(&trial->timers);
    svi_free(trial->tables);
    svi_free(trial->match);
    trial->tables = NULL;
    trial->match = NULL;
    trial->table_count = trial->match_count = 0;
}
