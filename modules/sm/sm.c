/* Stream Management (XEP-0198): acknowledgements both ways, and resumption. What is counted and kept is the core's
 * (<stave/stream.h>); here is what client and server say of it.
 *
 * The id of a resumable session is an item of the session, so it outlives a reload of this module; it is looked for among the sessions
 * of the account that has logged in alone, so nobody learns of others'. Of sessions that ended while they were away the number is
 * kept for a while that says what of theirs was handled (XEP-0198 5, Example 14). */
#include <stave/stream.h>

#include <stdio.h>

#define NS_SM "urn:xmpp:sm:3"
#define NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"
#define NS_DELAY "urn:xmpp:delay"
#define NS_CLIENT "jabber:client"

#define ITEM "sm/id"
#define ID_BYTES 16 /* at random: 128 bits */
#define ID_MAX 64u  /* a client's, longer than any of ours */
/* A request is answered with what is handled by then (durability rule 1); the rest is told when it is. */
#define HANDLED_MS 2000
#define ENDED_AT_ONCE 64u /* of an account's ended sessions, at most as many are remembered */
#define ROUND_MS 60000

/* Places in `metrics`. */
enum { ENABLED, RESUMED, FAILED };

typedef struct sm {
    sv_mod *mod;
    const sv_stream_api *stream;
    sv_store *ended; /* localpart -> id -> "h until" */
    int64_t window_ms, window_max_ms, remember_ms;
    int64_t max_stanzas, max_bytes;
    int64_t ask_stanzas, ask_bytes, ask_idle_ms, answer_ms;
} sm;

/* --- numbers ------------------------------------------------------------------------------------- */

/* An unsigned 32-bit number (xs:unsignedInt); false if it is none. */
static bool number_of(sv_str text, uint32_t *number_out)
{
    uint64_t number = 0;
    if (text.n == 0 || text.n > 10) return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return false;
        number = number * 10 + (uint64_t)(text.p[i] - '0');
    }
    *number_out = (uint32_t)number;
    return number <= UINT32_MAX;
}

/* XML Schema's two ways to say so (XEP-0198 3, note). */
static bool is_true(sv_str text)
{
    return sv_str_eq(text, SV_STR("true")) || sv_str_eq(text, SV_STR("1"));
}

static sv_tally tally_of(const sm *me, const sv_session *session)
{
    sv_tally tally = {.size = sizeof tally};
    (void)me->stream->tally(session, &tally);
    return tally;
}

static bool is_counted(const sm *me, const sv_session *session)
{
    sv_tally tally = {.size = sizeof tally};
    return me->stream->tally(session, &tally);
}

/* --- what is said ---------------------------------------------------------------------------------- */

static void say_h(sv_event *ev, const sm *me, const char *name, sv_str previd, uint32_t h)
{
    sv_draft *element = sv->draft(ev, sv_str_of(name), SV_STR(NS_SM));
    if (previd.n > 0) sv->set(element, SV_STR("previd"), previd);
    sv->set_int(element, SV_STR("h"), h);
    me->stream->write(ev, element);
}

/* XEP-0198 6. `h` may be NULL. */
static sv_verdict say_failed(sv_event *ev, const sm *me, const char *condition, const uint32_t *h)
{
    sv_draft *failed = sv->draft(ev, SV_STR("failed"), SV_STR(NS_SM));
    if (h) sv->set_int(failed, SV_STR("h"), *h);
    (void)sv->child(failed, sv_str_of(condition), SV_STR(NS_STANZAS));
    me->stream->write(ev, failed);
    sv->metric_add(me->mod, FAILED, 1);
    return SV_DONE;
}

/* XEP-0198 6, Example 17. */
static sv_verdict too_high(sv_event *ev, const sm *me, uint32_t h, uint32_t sent)
{
    sv_draft *specific = sv->draft(ev, SV_STR("handled-count-too-high"), SV_STR(NS_SM));
    sv->set_int(specific, SV_STR("h"), h);
    sv->set_int(specific, SV_STR("send-count"), sent);
    me->stream->fail(ev, "undefined-condition", specific,
                     sv->format(ev, "You acknowledged %u stanzas, but I only sent you %u so far.",
                                (unsigned)h, (unsigned)sent));
    return SV_DONE;
}

static void ask(sv_event *ev, const sm *me)
{
    me->stream->write(ev, sv->draft(ev, SV_STR("r"), SV_STR(NS_SM)));
}

/* --- enabling ---------------------------------------------------------------------------------------- */

/* The client may wish for a shorter or longer time (XEP-0198 3), within bounds. */
static int64_t window_of(const sm *me, const sv_node *enable)
{
    uint32_t wish_s;
    if (!is_true(sv->attr(enable, SV_STR("resume")))) return 0;
    if (!number_of(sv->attr(enable, SV_STR("max")), &wish_s) || wish_s == 0) return me->window_ms;
    const int64_t wish_ms = (int64_t)wish_s * 1000;
    return me->window_ms > 0 && wish_ms > me->window_max_ms ? me->window_max_ms
           : me->window_ms > 0                              ? wish_ms
                                                            : 0;
}

static sv_verdict on_enable(sv_event *ev, void *self)
{
    const sm *me = self;
    sv_session *session = sv->session(ev);
    /* not before a resource is bound (Example 5), and once (Example 6) */
    if (!session || is_counted(me, session)) return say_failed(ev, me, "unexpected-request", NULL);
    const int64_t keep_ms = window_of(me, sv->root(ev));
    const sv_counting how = {.size = sizeof how,
                             .keep_ms = keep_ms,
                             .max_stanzas = me->max_stanzas,
                             .max_bytes = me->max_bytes,
                             .ask_stanzas = me->ask_stanzas,
                             .ask_bytes = me->ask_bytes,
                             .ask_idle_ms = me->ask_idle_ms,
                             .answer_ms = me->answer_ms};
    me->stream->count(ev, &how);
    sv_draft *enabled = sv->draft(ev, SV_STR("enabled"), SV_STR(NS_SM));
    if (tally_of(me, session).is_kept) {
        const sv_str id = sv->random_hex(ev, ID_BYTES);
        sv->session_set_item(session, ITEM, id);
        sv->set(enabled, SV_STR("id"), id);
        sv->set(enabled, SV_STR("resume"), SV_STR("true"));
        sv->set_int(enabled, SV_STR("max"), keep_ms / 1000);
    }
    me->stream->write(ev, enabled);
    sv->metric_add(me->mod, ENABLED, 1);
    return SV_DONE;
}

/* --- acknowledging ----------------------------------------------------------------------------------- */

/* Never ahead of what is handled, and at once if all is. */
static sv_verdict on_request(sv_event *ev, void *self)
{
    const sm *me = self;
    sv_session *session = sv->session(ev);
    if (!session || !is_counted(me, session)) return say_failed(ev, me, "unexpected-request", NULL);
    const sv_tally tally = tally_of(me, session);
    if (tally.handled == tally.received)
        say_h(ev, me, "a", SV_STR_NONE, tally.handled);
    else
        me->stream->want_handled(session, HANDLED_MS);
    return SV_DONE;
}

static sv_verdict on_handled(sv_event *ev, void *self)
{
    const sm *me = self;
    if (sv->session(ev) && is_counted(me, sv->session(ev)))
        say_h(ev, me, "a", SV_STR_NONE, tally_of(me, sv->session(ev)).handled);
    return SV_PASS;
}

static sv_verdict on_ack(sv_event *ev, void *self)
{
    const sm *me = self;
    sv_session *session = sv->session(ev);
    uint32_t h;
    if (!session || !is_counted(me, session)) return say_failed(ev, me, "unexpected-request", NULL);
    if (!number_of(sv->attr(sv->root(ev), SV_STR("h")), &h)) return say_failed(ev, me, "bad-request", NULL);
    if (me->stream->acked(session, h) == SV_EINVAL)
        return too_high(ev, me, h, tally_of(me, session).sent);
    return SV_DONE;
}

static sv_verdict on_unacked(sv_event *ev, void *self)
{
    if (sv->session(ev)) ask(ev, self);
    return SV_PASS;
}

/* In place of a ping: it costs a client less, and its answer says more. */
static sv_verdict on_silent(sv_event *ev, void *self)
{
    if (!sv->session(ev) || !is_counted(self, sv->session(ev))) return SV_PASS;
    ask(ev, self);
    return SV_DONE;
}

/* --- resuming ---------------------------------------------------------------------------------------- */

/* In a time that does not depend on how much of it is right. */
static bool is_id(sv_str id, sv_str wanted)
{
    unsigned differs = id.n != wanted.n || id.n == 0;
    for (size_t i = 0; i < id.n && i < wanted.n; i++) differs |= (unsigned)(id.p[i] ^ wanted.p[i]);
    return differs == 0;
}

static sv_session *find(sv_event *ev, sv_str id)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, sv->from(ev), session)))
        if (is_id(sv->session_item(session, ITEM), id)) return session;
    return NULL;
}

/* XEP-0203; a request has its answer, and needs no time. */
static const sv_stanza *late(sv_event *ev, const sv_stanza *stanza, int64_t since_ms, void *self)
{
    const sm *me = self;
    const sv_node *root = sv->stanza_root(stanza);
    if (sv->is(root, SV_STR("iq"), SV_STR(NS_CLIENT)) || sv->find(root, SV_STR("delay"), SV_STR(NS_DELAY)))
        return stanza;
    sv_draft *delay = sv->draft(ev, SV_STR("delay"), SV_STR(NS_DELAY));
    sv->set(delay, SV_STR("from"), sv->host(me->mod));
    sv->set(delay, SV_STR("stamp"), sv->stamp(ev, since_ms));
    return sv->with_child(ev, stanza, delay);
}

/* Example 14: what of an ended session's was handled, if that is remembered. */
static void not_found(sv_event *ev, sv_status status, sv_str value, void *self)
{
    const sm *me = self;
    unsigned h = 0;
    long long until = 0;
    const bool is_known = status == SV_OK && value.n > 0 &&
                          sscanf(sv->format(ev, "%.*s%c", (int)value.n, value.p, 0).p, "%u %lld", &h, &until) == 2 &&
                          until > sv->now_ms();
    const uint32_t told = h;
    (void)say_failed(ev, me, "item-not-found", is_known ? &told : NULL);
    (void)sv->consume(ev);
}

static sv_verdict on_resume(sv_event *ev, void *self)
{
    const sm *me = self;
    const sv_str id = sv->attr(sv->root(ev), SV_STR("previd"));
    uint32_t h;
    if (sv->session(ev)) return say_failed(ev, me, "unexpected-request", NULL);
    if (id.n == 0 || id.n > ID_MAX || !number_of(sv->attr(sv->root(ev), SV_STR("h")), &h))
        return say_failed(ev, me, "bad-request", NULL);
    sv_session *session = find(ev, id);
    const sv_status status = session ? me->stream->resume(ev, session, h, late) : SV_ENOTFOUND;
    if (status == SV_OK) {
        say_h(ev, me, "resumed", id, tally_of(me, session).handled);
        sv->metric_add(me->mod, RESUMED, 1);
        return SV_DONE;
    }
    if (status == SV_EINVAL) return too_high(ev, me, h, tally_of(me, session).sent);
    sv->get(ev, me->ended, sv->from(ev)->node, id, not_found);
    return SV_LATER;
}

/* --- what is remembered ------------------------------------------------------------------------------ */

static sv_verdict on_gone(sv_event *ev, void *self)
{
    const sm *me = self;
    const sv_session *session = sv->session(ev);
    if (!session) return SV_PASS;
    const sv_str id = sv->session_item(session, ITEM);
    const sv_tally tally = tally_of(me, session);
    if (id.n == 0 || tally.away_since_ms == 0 || me->remember_ms == 0) return SV_PASS;
    (void)sv->put(ev, me->ended, sv->from(ev)->node, id,
                  sv->format(ev, "%u %lld", (unsigned)tally.handled,
                             (long long)(sv->now_ms() + me->remember_ms)));
    return SV_PASS;
}

static bool is_over(sv_event *ev, sv_str value)
{
    unsigned h;
    long long until;
    const char *text = sv->format(ev, "%.*s%c", (int)value.n, value.p, 0).p;
    return sscanf(text, "%u %lld", &h, &until) != 2 || until <= sv->now_ms();
}

static void sweep_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const sm *me = self;
    sv_str key = SV_STR_NONE, value;
    size_t left = status == SV_OK ? sv->row_count(rows) : 0;
    while (status == SV_OK && sv->row_next(rows, &key, &value)) {
        if (!is_over(ev, value) && left <= ENDED_AT_ONCE) continue;
        (void)sv->del(ev, me->ended, sv->from(ev)->node, key);
        left--;
    }
    sv->pass(ev);
}

static sv_verdict on_sweep(sv_event *ev, void *self)
{
    const sm *me = self;
    if (!sv_str_eq(sv->subject(ev), SV_STR("sm/ended"))) return SV_PASS;
    sv->rows_load(ev, me->ended, sv->from(ev)->node, sweep_rows);
    return SV_LATER;
}

/* --- life -------------------------------------------------------------------------------------------- */

static sv_status start(sv_mod *mod, void *self)
{
    sm *me = self;
    me->mod = mod;
    me->stream = sv->query("stream", SV_STREAM_VERSION);
    if (!me->stream) return SV_EVERSION;
    if (me->window_max_ms < me->window_ms) me->window_max_ms = me->window_ms;
    const sv_status status = sv->store_open(mod, NULL, "ended", 1, &me->ended);
    return status == SV_OK ? sv->sweep(mod, me->ended, ROUND_MS) : status;
}

static const sv_hook hooks[] = {
    {.on = "stream/element {" NS_SM "}enable", .call = on_enable, .flags = SV_HOOK_GUARD},
    {.on = "stream/element {" NS_SM "}r", .call = on_request, .flags = SV_HOOK_GUARD},
    {.on = "stream/element {" NS_SM "}a", .call = on_ack, .flags = SV_HOOK_GUARD},
    {.on = "stream/element {" NS_SM "}resume", .call = on_resume, .flags = SV_HOOK_GUARD},
    {.on = "session/handled", .call = on_handled},
    {.on = "session/unacked", .call = on_unacked},
    {.on = "session/silent", .call = on_silent, .band = SV_FIRST},
    {.on = "session/gone", .call = on_gone, .flags = SV_HOOK_STORES},
    {.on = "store/sweep", .call = on_sweep},
    {0},
};

static const sv_option options[] = {
    SV_OPT_PERIOD(sm, window_ms, "sm_window", "10m", "0s", "1d",
                  "How long a session outlives a connection that was lost, if its client wants to resume it and "
                  "does not say how long. 0s: no session can be resumed."),
    SV_OPT_PERIOD(sm, window_max_ms, "sm_window_max", "1h", "0s", "7d",
                  "How long at most if a client asks for a longer time."),
    SV_OPT_INT(sm, max_stanzas, "sm_max_stanzas", "2000", "10", "100000",
               "How many stanzas a session's client may leave unacknowledged; above, the session ends and what "
               "was not acknowledged is treated as if it had not been there."),
    SV_OPT_SIZE(sm, max_bytes, "sm_max_bytes", "2M", "64k", "64M", "How many bytes of memory they may take."),
    SV_OPT_INT(sm, ask_stanzas, "sm_ask_stanzas", "10", "1", "1000",
               "After how many stanzas a client is asked to acknowledge them."),
    SV_OPT_SIZE(sm, ask_bytes, "sm_ask_bytes", "64k", "1k", "1M", "After how many bytes it is."),
    SV_OPT_PERIOD(sm, ask_idle_ms, "sm_ask_idle", "500ms", "10ms", "1m",
                  "When nothing more was sent for so long, it is asked to acknowledge what there was."),
    SV_OPT_PERIOD(sm, answer_ms, "sm_answer_timeout", "1m", "1s", "1h",
                  "How long a client has to acknowledge when it is asked; if nothing else comes from it either, its "
                  "connection is taken for lost."),
    SV_OPT_PERIOD(sm, remember_ms, "sm_remember", "1d", "0s", "30d",
                  "How long it is remembered of a session that ended while it was away how much of what it had sent was "
                  "handled, so that its client can tell. 0s: it is not."),
    {0},
};

static const sv_metric metrics[] = {
    [ENABLED] = {.name = "sm_enabled", .kind = SV_METRIC_COUNTER, .manual = "Sessions that are counted."},
    [RESUMED] = {.name = "sm_resumed", .kind = SV_METRIC_COUNTER, .manual = "Sessions that were taken up again."},
    [FAILED] = {.name = "sm_failed", .kind = SV_METRIC_COUNTER, .manual = "Requests that were refused."},
    {0},
};

SV_MODULE(.name = "sm", .summary = "Stream management (XEP-0198)", .self_size = sizeof(sm), .hooks = hooks,
          .options = options, .metrics = metrics, .start = start,
          .stream_features = "<sm xmlns='" NS_SM "'/>")
