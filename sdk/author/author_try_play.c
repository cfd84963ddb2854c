/* One run in a child: a script on a stage of its own, with other timing or with harm, and what must hold behind it. */
#include "author_try.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base_assert.h"
#include "base/base_log.h"

#define SUFFIX ".again"
#define IN_THE_WAY                                                                                                              \
    "\n(what the first run left is in the way: if it is the host's, and may stay, a line of the script says so: # once: why)"

enum { SCRAM_ROUNDS = 16, SECOND_US = 1000000, REST_US = 120 * SECOND_US }; /* longer than anybody waits for anything */

typedef struct play {
    const svi_try_run *run;
    svi_try_outcome *out;
    svi_acct core, peers;
    flow_world *world;
    svi_stage *stage;
} play;

static bool end(play *p, svi_try_fate fate, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool end(play *p, svi_try_fate fate, const char *format, ...)
{
    va_list args;
    if (p->out->fate != SVI_TRY_FINE) return false; /* the first is told */
    p->out->fate = fate;
    va_start(args, format);
    (void)vsnprintf(p->out->text, sizeof p->out->text, format, args);
    va_end(args);
    return false;
}

svi_stage_config svi_try_stage(const svi_try_run *run, svi_acct *acct, svi_cover *cover)
{
    svi_stage_config config = {.core = acct,
                               .peers = acct,
                               .paths = run->t->paths,
                               .path_count = sizeof run->t->paths / sizeof *run->t->paths,
                               .modules = run->t->modules,
                               .seed = run->seed,
                               .scram_rounds = SCRAM_ROUNDS};
    svi_cover_attach(cover, &config);
    return config;
}

/* --- what must hold ------------------------------------------------------------------------------------- */

static bool is_at_rest(play *p)
{
    const char *fault = svi_stage_fault(p->stage);
    return fault[0] ? end(p, SVI_TRY_LEDGER, "%s", fault) : true;
}

/* The first line of the log that tells of a fault. */
static sv_str line_of_fault(const play *p)
{
    sv_str log = svi_stage_log(p->stage), line;
    while (svi_str_split(&log, '\n', &line))
        if (svi_str_starts(line, SV_STR("handler-fault")) || svi_str_starts(line, SV_STR("script-error")) || svi_str_starts(line, SV_STR("module-fault")))
            return line;
    return SV_STR("stave modules would tell");
}

/* Faults count from the first start on, through restarts, kills and reloads. A module's memory may be at its end by what is done to
 * it; then it need not do what it should. */
static bool keeps_rules(play *p)
{
    svi_mod_info info;
    const svi_mods *mods = svi_stage_mods(p->stage);
    for (size_t i = 0; mods && svi_mods_info(mods, i, &info); i++) {
        if (strcmp(info.name, p->run->t->name) != 0 || p->run->harm == SVI_HARM_QUOTA) continue;
        if (info.reason[0]) return end(p, SVI_TRY_RULE, "it is in quarantine: %s", info.reason);
    }
    const sv_str line = line_of_fault(p);
    if (p->out->cover.faults > 0) return end(p, SVI_TRY_RULE, "it broke a rule: %.*s", (int)line.n, line.p);
    return true;
}

/* What may have been prevented from starting starts now. */
static bool is_up(play *p)
{
    if (svi_stage_problem(p->stage)[0]) svi_stage_stop(p->stage);
    if (p->run->clean && p->run->clean->is_down) return true;
    return svi_stage_start(p->stage) ? true : end(p, SVI_TRY_START, "the server does not start: %s", svi_stage_problem(p->stage));
}

/* --- scripts -------------------------------------------------------------------------------------------- */

static bool told(play *p, const flow_result *result, svi_try_fate fate)
{
    if (result->skipped) return end(p, SVI_TRY_SKIPPED, "%s", result->text);
    return result->failed ? end(p, fate, "%s", result->text) : true;
}

/* Who reads it is to know that it is no step of the run with harm. */
static bool told_again(play *p, const flow_result *result)
{
    if (result->failed && p->run->harm != SVI_HARM_NONE)
        return end(p, SVI_TRY_AGAIN, "run again behind it, without harm: %s" IN_THE_WAY, result->text);
    return told(p, result, SVI_TRY_AGAIN);
}

/* As it stands. */
static bool play_strictly(play *p, const char *suffix, bool is_again)
{
    flow_result result;
    flow_play *script = flow_play_new(p->world, suffix);
    if (is_again) flow_play_again(script);
    if (p->run->is_timed) flow_play_in_order(script);
    (void)flow_play_run(script, p->run->name, 1, p->run->text, &result);
    const bool ok = !is_again ? told(p, &result, SVI_TRY_STEP) : told_again(p, &result);
    if (ok) flow_play_leave(script);
    flow_play_free(&script);
    return ok;
}

/* A script that ended early has not taken back what it did to the network and the disk. */
static void put_right(svi_stage *stage)
{
    static const svi_link_nature prompt = {.max_read = 0};
    svi_stage_set_network(stage, &prompt);
    svi_stage_set_disk_late(stage, 0, 0);
    svi_stage_hold_disk(stage, false);
    svi_stage_fill_disk(stage, false);
}

/* With harm; false: nothing more is to be looked at. */
static bool play_harmed(play *p)
{
    flow_result result;
    char why[300];
    flow_play *script = flow_play_new(p->world, "");
    svi_stage_harm(p->stage, p->run->harm, p->run->t->name, p->run->n);
    flow_play_be_lenient(script);
    (void)flow_play_run(script, p->run->name, 1, p->run->text, &result);
    bool ok = told(p, &result, SVI_TRY_STEP);
    put_right(p->stage);
    svi_stage_pass(p->stage, REST_US);
    p->out->is_harmed = svi_stage_harmed(p->stage);
    svi_stage_harm(p->stage, SVI_HARM_NONE, NULL, 0);
    ok = ok && p->out->is_harmed && is_up(p);
    (void)svi_stage_settle(p->stage);
    if (ok && !flow_play_is_answered(script, why, sizeof why)) ok = end(p, SVI_TRY_UNANSWERED, "%s", why);
    if (ok) flow_play_leave(script);
    flow_play_free(&script);
    svi_stage_pass(p->stage, REST_US); /* what waited for one of them waits no more */
    return ok && is_at_rest(p) && keeps_rules(p);
}

/* Everybody has left, and what is only for a while is over. */
static bool ends_clean(play *p)
{
    svi_stage_pass(p->stage, REST_US);
    p->out->held = svi_cover_holds(p->stage, p->run->t->name);
    return is_at_rest(p) && keeps_rules(p);
}

/* A script's state has no exact size: strings are shared, tables grow by doubling. */
static bool is_no_more(const svi_cover_held *held, const svi_cover_held *clean)
{
    return held->bytes <= clean->bytes && held->script_bytes <= clean->script_bytes + clean->script_bytes / 8 + 8192;
}

/* What is held for a while only, such as the place of a round over a store, is gone at one time or another of the next hours. */
static bool holds_no_more(play *p, const svi_cover_held *clean)
{
    svi_cover_held held = svi_cover_holds(p->stage, p->run->t->name);
    for (int64_t wait_s = 97; wait_s < 10000 && !is_no_more(&held, clean); wait_s += wait_s / 2) {
        svi_stage_pass(p->stage, wait_s * SECOND_US);
        held = svi_cover_holds(p->stage, p->run->t->name);
    }
    if (is_no_more(&held, clean)) return true;
    return end(p, SVI_TRY_MEMORY, "it holds %lld bytes in %lld blocks at the end%s; without harm %lld in %lld",
               (long long)(held.bytes + held.script_bytes), (long long)held.count,
               held.script_bytes ? ", those of its state with them" : "", (long long)(clean->bytes + clean->script_bytes),
               (long long)clean->count);
}

/* Over its quota it may be in quarantine, where its timers rest, which give back what is due: an operator lets it out. */
static void let_out(play *p)
{
    sv_err err;
    if (p->run->harm == SVI_HARM_QUOTA && svi_stage_mods(p->stage) && svi_mods_quarantines(svi_stage_mods(p->stage), p->run->t->name))
        (void)svi_mods_release(svi_stage_mods(p->stage), sv_str_of(p->run->t->name), NULL, &err);
}

static bool is_engine(const play *p)
{
    svi_mod_info info;
    const svi_mods *mods = svi_stage_mods(p->stage);
    for (size_t i = 0; mods && svi_mods_info(mods, i, &info); i++)
        if (info.is_engine && strcmp(info.name, p->run->t->name) == 0) return true;
    return false;
}

/* Over its quota it may not have done what it does at its start: an operator loads it anew, an engine with a restart. */
static bool begin_anew(play *p)
{
    svi_buf why;
    const sv_str name = sv_str_of(p->run->t->name);
    if (p->run->harm != SVI_HARM_QUOTA || p->run->clean->is_down) return true;
    if (is_engine(p)) {
        svi_stage_stop(p->stage);
        return is_up(p);
    }
    svi_buf_init(&why, &p->peers);
    const bool ok = svi_stage_reload(p->stage, name, &why);
    if (!ok) (void)end(p, SVI_TRY_START, "it can't be loaded anew: %.*s", (int)why.len, why.data);
    svi_buf_free(&why);
    return ok;
}

static void play_with_harm(play *p)
{
    const svi_try_flow *clean = p->run->clean;
    if (!play_harmed(p)) return;
    let_out(p);
    if (!clean || !holds_no_more(p, &clean->once) || !clean->is_twice) return;
    if (begin_anew(p) && play_strictly(p, SUFFIX, true) && ends_clean(p)) (void)holds_no_more(p, &clean->twice);
}

/* Now, or before it was loaded anew or the server ended: a run that breaks off at harm does not come to what made it forget. */
static svi_cover_held most(const play *p)
{
    svi_cover_held held = p->out->held;
    svi_cover_most(&held, &p->out->cover.forgot);
    return held;
}

static void play_all(play *p)
{
    if (p->run->harm != SVI_HARM_NONE) {
        play_with_harm(p);
        return;
    }
    if (!play_strictly(p, "", false) || !ends_clean(p)) return;
    p->out->passed_once = true;
    p->out->ended = p->out->held;
    p->out->once = most(p);
    p->out->is_down = !svi_stage_server(p->stage) || svi_stage_problem(p->stage)[0];
    if (!p->run->is_double || !play_strictly(p, SUFFIX, true) || !ends_clean(p)) return;
    p->out->grown = p->out->cover.forgot.count > 0 ? 0 : p->out->held.bytes - p->out->ended.bytes;
    p->out->twice = most(p);
}

/* --- the world ------------------------------------------------------------------------------------------ */

/* Nothing that a script could tell from a moment. */
static void slow_down(svi_stage *stage)
{
    static const svi_link_nature nature = {.late_min_us = 0, .late_max_us = 3000, .max_read = 97, .max_write = 61};
    svi_stage_set_network(stage, &nature);
    svi_stage_set_disk_late(stage, 0, 5000);
}

static void close_world(play *p)
{
    char why[300];
    const bool is_clean = p->world->close(&p->world, why, sizeof why);
    if (!is_clean) (void)end(p, SVI_TRY_LEDGER, "%s", why);
    if (p->core.live_bytes != 0)
        (void)end(p, SVI_TRY_LEDGER, "%lld bytes are left behind by the server", (long long)p->core.live_bytes);
}

void svi_try_play(const svi_try_run *run, svi_try_outcome *out)
{
    play p = {.run = run, .out = out, .core = {.name = "core"}, .peers = {.name = "peers"}};
    svi_stage_config config = svi_try_stage(run, &p.core, &out->cover);
    config.peers = &p.peers;
    p.world = flow_stage_with(&p.peers, &config);
    p.world->trace = run->is_traced;
    p.stage = flow_stage_of(p.world);
    if (!svi_try_keeps_store(run->t, run->text)) (void)svi_stage_enable(p.stage, sv_str_of(run->t->name));
    if (run->is_timed) slow_down(p.stage);
    const svi_plat *plat = &svi_stage_plat(p.stage)->plat;
    svi_log_setup(run->is_traced ? SV_INFO : SV_ERROR, SVI_LOG_TEXT, NULL, NULL, plat->wall_us, plat->ctx); /* its time, which repeats */
    const int64_t from = svi_stage_plat(p.stage)->now_us;
    play_all(&p);
    out->virtual_us = svi_stage_plat(p.stage)->now_us - from;
    close_world(&p);
}
