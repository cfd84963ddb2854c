/* Harm on request: occasions are counted where they come, and the n-th is harmed there, or, if that can't be inside a pass of the
 * bus, as soon as it is over. Until then the disk does nothing, so that what waits for it still waits. */
#include "stage_impl.h"

#include "xmpp/xmpp_event.h"
#include <stdio.h>

#define LATE_US INT64_C(10000000)

const char *svi_harm_name(svi_harm_kind kind)
{
    static const char *const names[SVI_HARM_KINDS] = {[SVI_HARM_NONE] = "none",
                                                      [SVI_HARM_STORE_FAILS] = "store-fails",
                                                      [SVI_HARM_STORE_LATE] = "store-late",
                                                      [SVI_HARM_SHORTAGE] = "shortage",
                                                      [SVI_HARM_QUOTA] = "quota",
                                                      [SVI_HARM_SESSION_GONE] = "session-gone",
                                                      [SVI_HARM_RELOAD] = "reload",
                                                      [SVI_HARM_HOST_GONE] = "host-gone",
                                                      [SVI_HARM_KILL] = "kill",
                                                      [SVI_HARM_KILL_BEHIND] = "kill-behind"};
    SV_ASSERT((unsigned)kind < SVI_HARM_KINDS);
    return names[kind];
}

static void begin(svi_stage *st, svi_harm_step step)
{
    st->harm.step = step;
}

/* The disk goes on as it would have. */
static void let_go(svi_stage *st)
{
    if (st->engine != NULL) svi_stage_plan(st)->hold = st->harm.was_held;
    svi_str_free(&st->harm.subject);
    begin(st, SVI_HARM_RESTS);
}

void svi_harm_drop(svi_stage *st)
{
    svi_str_free(&st->harm.subject);
    begin(st, SVI_HARM_RESTS);
}

void svi_stage_harm(svi_stage *st, svi_harm_kind kind, const char *module, uint64_t n)
{
    SV_ASSERT((unsigned)kind < SVI_HARM_KINDS && (kind == SVI_HARM_NONE || n > 0));
    if (st->harm.step != SVI_HARM_RESTS) let_go(st);
    st->harm = (svi_harm){.kind = kind, .n = n};
    (void)snprintf(st->harm.module, sizeof st->harm.module, "%s", module != NULL ? module : "");
}

bool svi_stage_harmed(const svi_stage *st)
{
    return st->harm.is_done;
}

/* --- occasions ---------------------------------------------------------------------------------------------- */

/* One more of that kind; true if it is the one. */
static bool is_it(svi_stage *st, svi_harm_kind kind)
{
    svi_harm *h = &st->harm;
    return h->kind == kind && !st->is_ending && ++h->seen == h->n;
}

static bool is_of(const svi_stage *st, const char *module)
{
    return st->harm.module[0] == 0 || strcmp(st->harm.module, module) == 0;
}

static bool is_harmed(svi_stage *st, svi_harm_kind kind, const char *module)
{
    if (!is_of(st, module) || !is_it(st, kind)) return false;
    st->harm.is_done = true;
    return true;
}

static bool read_fails(void *ctx, const char *module)
{
    return is_harmed(ctx, SVI_HARM_STORE_FAILS, module);
}

bool svi_harm_lacks_space(void *ctx, const char *module)
{
    return is_harmed(ctx, SVI_HARM_SHORTAGE, module);
}

static bool is_over_quota(void *ctx, const char *module)
{
    return is_harmed(ctx, SVI_HARM_QUOTA, module);
}

static bool waits_kind(svi_harm_kind kind)
{
    return kind == SVI_HARM_SESSION_GONE || kind == SVI_HARM_RELOAD || kind == SVI_HARM_HOST_GONE;
}

/* The network forgets the connection at once; the server hears of it when it looks next. */
static void lose_session(const svi_xevent *x)
{
    svi_conn *conn = x->session != NULL ? svi_session_conn(x->session) : NULL;
    svi_link *link = conn != NULL ? svi_conn_link(conn) : NULL;
    if (link != NULL) svi_link_cut(link);
}

static void waits(void *ctx, const char *module, sv_event *ev)
{
    svi_stage *st = ctx;
    svi_harm *h = &st->harm;
    const svi_xevent *x = svi_xevent_of(ev);
    if (!waits_kind(h->kind) || !is_of(st, module)) return;
    if (h->kind == SVI_HARM_SESSION_GONE && (x->session == NULL || svi_session_conn(x->session) == NULL)) return;
    if (!is_it(st, h->kind)) return;
    svi_sim_plan *plan = svi_stage_plan(st);
    h->was_held = plan->hold;
    plan->hold = true;
    if (h->kind == SVI_HARM_SESSION_GONE) lose_session(x);
    if (h->kind == SVI_HARM_RELOAD) h->subject = svi_str_dup(st->how.peers, sv_str_of(module));
    if (h->kind == SVI_HARM_HOST_GONE) h->subject = svi_str_dup(st->how.peers, svi_host_domain(x->host));
    begin(st, SVI_HARM_BEGINS);
}

static bool is_job_of(const svi_stage *st, const svi_job *job)
{
    return st->harm.module[0] == 0 || svi_job_is_of(job, sv_str_of(st->harm.module)); /* the core's, too */
}

static int64_t delay(void *ctx, const svi_job *job)
{
    svi_stage *st = ctx;
    if (st->harm.kind != SVI_HARM_STORE_LATE || !is_job_of(st, job) || !is_it(st, SVI_HARM_STORE_LATE)) return 0;
    st->harm.is_done = true;
    return LATE_US;
}

static svi_sim_fate fate(void *ctx, const svi_job *job)
{
    svi_stage *st = ctx;
    const svi_harm_kind kind = st->harm.kind;
    if (kind != SVI_HARM_KILL && kind != SVI_HARM_KILL_BEHIND) return SVI_SIM_DONE;
    if (job->kind != SVI_JOB_COMMIT || !is_job_of(st, job) || !is_it(st, kind)) return SVI_SIM_DONE;
    begin(st, SVI_HARM_BEGINS);
    return kind == SVI_HARM_KILL ? SVI_SIM_DIES : SVI_SIM_DIES_BEHIND;
}

void svi_harm_init(svi_stage *st)
{
    st->probe = (svi_mods_probe){.ctx = st,
                                 .read_fails = read_fails,
                                 .is_full = svi_harm_lacks_space,
                                 .is_over_quota = is_over_quota,
                                 .waits = waits};
    st->plan.plat = &st->plat.plat;
    st->plan.delay = delay;
    st->plan.fate = fate;
    st->plan.ctx = st;
}

void svi_harm_free(svi_stage *st)
{
    svi_harm_drop(st);
}

/* --- what is due -------------------------------------------------------------------------------------------- */

static void note(svi_stage *st, const char *what, const svi_buf *why)
{
    if (!st->problem[0])
        (void)snprintf(st->problem, sizeof st->problem, "%s: %.*s", what, (int)why->len, why->len > 0 ? why->data : "");
}

static void load_anew(svi_stage *st, svi_buf *why)
{
    svi_mods_reloaded reloaded;
    char text[sizeof st->problem];
    (void)snprintf(text, sizeof text, "%s", st->problem);
    st->problem[0] = 0;
    const svi_mods_reloading how = {.names = &st->harm.subject, .count = 1, .report = svi_stage_note, .report_ctx = st};
    if (svi_mods_reload(st->mods, &how, &reloaded) != SV_OK) svi_buf_put(why, sv_str_of(st->problem));
    (void)snprintf(st->problem, sizeof st->problem, "%s", text);
    if (why->len > 0) note(st, "the module was not loaded anew", why);
}

static void change_host(svi_stage *st, bool is_gone, svi_buf *why)
{
    if (!svi_stage_set_host(st, st->harm.subject, is_gone, why)) note(st, "the host neither goes nor comes", why);
}

static void die(svi_stage *st)
{
    svi_stage_kill(st);
    (void)svi_stage_start(st); /* a reason why not is a problem of the stage */
}

/* What is left to be done when the server has had its say. */
static void end(svi_stage *st, svi_buf *why)
{
    if (st->harm.kind == SVI_HARM_HOST_GONE) change_host(st, false, why);
    let_go(st);
}

static void act(svi_stage *st, svi_buf *why)
{
    st->harm.is_done = true;
    switch (st->harm.kind) {
    case SVI_HARM_KILL:
    case SVI_HARM_KILL_BEHIND: die(st); return;
    case SVI_HARM_RELOAD: load_anew(st, why); break;
    case SVI_HARM_HOST_GONE: change_host(st, true, why); break;
    default: break;
    }
    begin(st, SVI_HARM_ENDS);
}

bool svi_harm_act(svi_stage *st, bool is_quiet)
{
    if (st->harm.step == SVI_HARM_RESTS || (st->harm.step == SVI_HARM_ENDS && !is_quiet)) return false;
    svi_buf why;
    svi_buf_init(&why, st->how.peers);
    if (st->harm.step == SVI_HARM_ENDS)
        end(st, &why);
    else
        act(st, &why);
    svi_buf_free(&why);
    return true;
}
