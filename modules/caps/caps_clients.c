/* What clients show in their presence, and asking them what it means.
 *
 * A session's item says which info it claims. If that info is not known, the first session that claims it is
 * asked, others wait for what it answers; a wrong answer, an error, silence and the end of the session let
 * the next one be asked. What an answer has proved is everybody's; what it has not is the session's own. */
#include "caps.h"

#define ID_START "caps-"
#define HOUR_MS (3600 * INT64_C(1000))

/* How often a session was asked: new hashes in an endless row are not followed. */
typedef struct asked {
    int64_t since_ms; /* of this hour */
    int64_t count;
} asked;

/* --- claims -------------------------------------------------------------------------------- */

static bool is_function(sv_event *ev, sv_str name)
{
    return sv->digest(ev, name, SV_STR("")).n > 0;
}

/* XEP-0390 4.2, 4.4: the first hash by a function that we have. */
static bool read_new(sv_event *ev, const sv_node *c, caps_claim *claim_out)
{
    for (const sv_node *hash = sv->first(c); hash; hash = sv->next(c, hash)) {
        const sv_str function = sv->attr(hash, SV_STR("algo")), digest = sv->text(ev, hash);
        if (!sv->is(hash, SV_STR("hash"), SV_STR(NS_HASHES)) || digest.n == 0 ||
            !is_function(ev, function))
            continue;
        *claim_out = (caps_claim){.function = function,
                                  .digest = digest,
                                  .is_new = true,
                                  .is_checked = true};
        claim_out->node = sv->format(ev, NODE_CAPS2 "%.*s.%.*s", (int)function.n, function.p,
                                     (int)digest.n, digest.p);
        claim_out->key = sv->format(ev, "/390:%.*s:%.*s", (int)function.n, function.p,
                                    (int)digest.n, digest.p);
        return true;
    }
    return false;
}

/* XEP-0115 4; without `hash` it is the legacy format, which proves nothing (5.4 rule 1). */
static bool read_old(sv_event *ev, const sv_node *c, caps_claim *claim_out)
{
    const sv_str function = sv->attr(c, SV_STR("hash")), ver = sv->attr(c, SV_STR("ver")),
                 node = sv->attr(c, SV_STR("node"));
    if (function.n == 0 || ver.n == 0 || node.n == 0 || node.n > 1023) return false;
    *claim_out = (caps_claim){
        .function = function, .digest = ver, .is_checked = is_function(ev, function)};
    claim_out->node =
        sv->format(ev, "%.*s#%.*s", (int)node.n, node.p, (int)ver.n, ver.p); /* 6.2 */
    claim_out->key = sv->format(ev, "/115:%.*s:%.*s", (int)function.n, function.p, (int)ver.n,
                                ver.p);
    return true;
}

/* What a presence claims; what is newer proves more. */
static bool read_claim(sv_event *ev, const sv_node *presence, caps_claim *claim_out)
{
    const sv_node *c = sv->find(presence, SV_STR("c"), SV_STR(NS_CAPS2)),
                  *old = sv->find(presence, SV_STR("c"), SV_STR(NS_CAPS));
    if (!(c && read_new(ev, c, claim_out)) && !(old && read_old(ev, old, claim_out))) return false;
    return claim_out->key.n < CAPS_KEY_BYTES;
}

/* The claim of a key, without the node. */
static caps_claim claim_of(sv_event *ev, const char *key)
{
    const char *colon = strchr(key + 5, ':');
    const sv_str function = {key + 5, (size_t)(colon - key - 5)};
    return (caps_claim){.key = sv_str_of(key),
                        .function = function,
                        .digest = sv_str_of(colon + 1),
                        .is_new = key[1] == '3',
                        .is_checked = is_function(ev, function)};
}

/* --- questions ----------------------------------------------------------------------------- */

static sv_str attr_of(const caps_question *q, const char *name)
{
    return sv->attr(sv->stanza_root(q->iq), sv_str_of(name));
}

static bool is_for(const caps_question *q, sv_str key)
{
    return q->iq && sv_str_eq(sv_str_of(q->key), key);
}

static void forget(caps *me, caps_question *q)
{
    sv->stanza_unref(me->mod, &q->iq);
    q->is_sent = false;
}

/* A question to a session in a free place; NULL if there is none. */
static caps_question *note_question(sv_event *ev, caps *me, const sv_session *session,
                                    const caps_claim *claim)
{
    caps_question *q = me->questions;
    while (q < me->questions + CAPS_QUESTIONS && q->iq) q++;
    if (q == me->questions + CAPS_QUESTIONS) return NULL;
    const sv_str unique = sv->random_hex(ev, 16); /* nobody else can answer */
    sv_draft *iq = sv->draft(ev, SV_STR("iq"), SV_STR("jabber:client"));
    sv->set(iq, SV_STR("type"), SV_STR("get"));
    sv->set(iq, SV_STR("id"), sv->format(ev, ID_START "%.*s", (int)unique.n, unique.p));
    sv->set(iq, SV_STR("from"), sv->host(me->mod));
    sv->set(iq, SV_STR("to"), sv->session_jid(session)->full);
    sv_draft *query = sv->child(iq, SV_STR("query"), SV_STR(SV_DISCO_INFO));
    sv->set(query, SV_STR("node"), claim->node);
    q->iq = sv->stanza_ref(me->mod, sv->freeze(ev, iq));
    memcpy(q->key, claim->key.p, claim->key.n);
    q->key[claim->key.n] = 0;
    return q;
}

static sv_session *session_of(sv_event *ev, const caps_question *q)
{
    sv_jid jid;
    return sv->jid_parse(ev, attr_of(q, "to"), &jid) ? sv->session_find(ev, &jid) : NULL;
}

static void send_question(sv_event *ev, caps_question *q, sv_session *session)
{
    q->is_sent = true;
    q->since_ms = sv->now_ms();
    sv->push(ev, session, q->iq);
}

static bool is_asked(const caps *me, sv_str key)
{
    for (size_t i = 0; i < CAPS_QUESTIONS; i++)
        if (is_for(&me->questions[i], key) && me->questions[i].is_sent) return true;
    return false;
}

static sv_str bare_of(sv_str full)
{
    const char *slash = memchr(full.p, '/', full.n);
    return (sv_str){full.p, slash ? (size_t)(slash - full.p) : full.n};
}

/* Who waits for that key; one of another account than the last if there is. */
static caps_question *next_waiting(caps *me, sv_str key, sv_str last)
{
    caps_question *found = NULL;
    for (size_t i = 0; i < CAPS_QUESTIONS; i++) {
        caps_question *q = &me->questions[i];
        if (!is_for(q, key) || q->is_sent) continue;
        if (!sv_str_eq(bare_of(attr_of(q, "to")), bare_of(last))) return q;
        if (!found) found = q;
    }
    return found;
}

/* One question for a key at a time: asks the next that waits. `last` is the address of who was asked. */
static void ask_next(sv_event *ev, caps *me, sv_str key, sv_str last)
{
    caps_question *q;
    while (!is_asked(me, key) && (q = next_waiting(me, key, last))) {
        sv_session *session = session_of(ev, q);
        if (session)
            send_question(ev, q, session);
        else
            forget(me, q);
    }
}

/* A question has come to its end without a proof. */
static void give_up(sv_event *ev, caps *me, caps_question *q)
{
    const sv_str key = sv->format(ev, "%s", q->key), to = attr_of(q, "to"),
                 last = sv->format(ev, "%.*s", (int)to.n, to.p);
    const bool was_sent = q->is_sent;
    forget(me, q);
    if (was_sent) ask_next(ev, me, key, last);
}

static bool may_ask(const caps *me, sv_session *session)
{
    asked *a = sv->session_data(me->mod, session, sizeof *a);
    const int64_t now = sv->now_ms();
    if (now - a->since_ms >= HOUR_MS || now < a->since_ms) *a = (asked){.since_ms = now};
    return a->count++ < me->questions_per_hour;
}

/* The session's own question for that key, if it has one. */
static bool is_noted(const caps *me, sv_str key, sv_str full)
{
    for (size_t i = 0; i < CAPS_QUESTIONS; i++)
        if (is_for(&me->questions[i], key) && sv_str_eq(attr_of(&me->questions[i], "to"), full))
            return true;
    return false;
}

static void ask(sv_event *ev, caps *me, sv_session *session, const caps_claim *claim)
{
    if (is_noted(me, claim->key, sv->session_jid(session)->full) || !may_ask(me, session)) return;
    caps_question *q = note_question(ev, me, session, claim);
    if (q && !is_asked(me, claim->key)) send_question(ev, q, session);
}

/* --- presence ------------------------------------------------------------------------------ */

static void tell(sv_event *ev, const sv_jid *who)
{
    sv->fire_after(ev, SV_CAPS_KNOWN, who, who->full); /* what is written now can be read then */
}

static void claim_came(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    caps *me = self;
    sv_session *session = sv->session(ev);
    caps_claim claim;
    sv_str record;
    if (status == SV_OK && session && sv->root(ev) && read_claim(ev, sv->root(ev), &claim) &&
        sv_str_eq(sv->session_item(session, SV_CAPS_ITEM), claim.key)) {
        sv->rows_hold(ev, me->infos, claim.key, session);
        if (sv->row(rows, SV_STR(SV_CAPS_ROW), &record)) {
            caps_cache_touch(ev, me, claim.key, rows);
            tell(ev, sv->session_jid(session));
        } else {
            ask(ev, me, session, &claim);
        }
    }
    sv->pass(ev);
}

static bool has_info(sv_event *ev, const caps *me, sv_session *session)
{
    return sv_caps_record(ev, me->infos, session).n > 0;
}

/* A session's own presence has changed. One without a claim changes nothing (XEP-0115 8.4); who is no
 * more available claims nothing. */
sv_verdict caps_on_presence(sv_event *ev, void *self)
{
    caps *me = self;
    sv_session *session = sv->session(ev);
    caps_claim claim;
    if (!session) return SV_PASS;
    if (!sv->session_presence(session)) {
        sv->session_set_item(session, SV_CAPS_ITEM, SV_STR_NONE);
        sv->session_set_item(session, SV_CAPS_ITEM_OWN, SV_STR_NONE);
        return SV_PASS;
    }
    if (!sv->root(ev) || !read_claim(ev, sv->root(ev), &claim)) return SV_PASS;
    const bool is_same = sv_str_eq(sv->session_item(session, SV_CAPS_ITEM), claim.key);
    if (is_same && has_info(ev, me, session)) return SV_PASS;
    if (!is_same) sv->session_set_item(session, SV_CAPS_ITEM_OWN, SV_STR_NONE);
    sv->session_set_item(session, SV_CAPS_ITEM, claim.key);
    sv->rows_load(ev, me->infos, claim.key, claim_came);
    return SV_LATER;
}

/* --- answers ------------------------------------------------------------------------------- */

/* All that waited for the key learn that it is known. */
static void proved(sv_event *ev, caps *me, sv_str key)
{
    for (size_t i = 0; i < CAPS_QUESTIONS; i++) {
        caps_question *q = &me->questions[i];
        if (!is_for(q, key)) continue;
        sv_jid jid;
        const bool is_address = sv->jid_parse(ev, attr_of(q, "to"), &jid);
        const sv_session *session = is_address ? sv->session_find(ev, &jid) : NULL;
        const bool claims = session && sv_str_eq(sv->session_item(session, SV_CAPS_ITEM), key);
        forget(me, q);
        if (claims) tell(ev, &jid);
    }
}

/* XEP-0115 5.4 rules 2.3 and 3.9: what the answer has not proved holds for who gave it, and for no one
 * else. */
static void keep_own(sv_event *ev, const caps *me, sv_str key, sv_str record)
{
    sv_session *session = sv->session(ev);
    if (!session || (int64_t)record.n > me->info_bytes ||
        !sv_str_eq(sv->session_item(session, SV_CAPS_ITEM), key))
        return;
    sv->session_set_item(session, SV_CAPS_ITEM_OWN, record);
    tell(ev, sv->session_jid(session));
}

static void use_answer(sv_event *ev, caps *me, caps_question *q)
{
    const sv_node *query = sv->payload(ev);
    const sv_str key = sv->format(ev, "%s%c", q->key, 0);
    const caps_claim claim = claim_of(ev, key.p);
    if (!sv_str_eq(sv->type(ev), SV_STR("result")) || !query ||
        !sv->is(query, SV_STR("query"), SV_STR(SV_DISCO_INFO))) {
        give_up(ev, me, q);
        return;
    }
    caps_info info;
    caps_info_read(ev, sv->root(ev), query, &info);
    const sv_str record = caps_info_verified(ev, &info, &claim);
    if (record.n == 0 || (int64_t)record.n > me->info_bytes || !sv->has_space(ev)) {
        keep_own(ev, me, claim.key, caps_info_record(ev, &info));
        give_up(ev, me, q);
        return;
    }
    caps_cache_put(ev, me, claim.key, record);
    proved(ev, me, claim.key);
}

/* The question that this is the answer of: by its id, from who was asked. */
static caps_question *answered(sv_event *ev, caps *me)
{
    const sv_str id = sv->attr(sv->root(ev), SV_STR("id"));
    for (size_t i = 0; i < CAPS_QUESTIONS; i++) {
        caps_question *q = &me->questions[i];
        if (q->iq && q->is_sent && sv_str_eq(attr_of(q, "id"), id) &&
            sv_str_eq(attr_of(q, "to"), sv->from(ev)->full))
            return q;
    }
    return NULL;
}

static void index_came(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    caps *me = self;
    (void)rows; /* of the index */
    caps_question *q = answered(ev, me);
    if (q && status == SV_OK)
        use_answer(ev, me, q);
    else if (q)
        give_up(ev, me, q);
    (void)sv->consume(ev);
}

sv_verdict caps_on_answer(sv_event *ev, void *self)
{
    caps *me = self;
    caps_question *q = answered(ev, me);
    if (!q) return SV_PASS;
    if (!caps_cache_is_at_hand(ev, me)) {
        sv->rows_load(ev, me->index, SV_STR("/"), index_came);
        return SV_LATER;
    }
    use_answer(ev, me, q);
    return sv->consume(ev);
}

/* --- ends ---------------------------------------------------------------------------------- */

sv_verdict caps_on_gone(sv_event *ev, void *self)
{
    caps *me = self;
    for (size_t i = 0; i < CAPS_QUESTIONS; i++) {
        caps_question *q = &me->questions[i];
        if (q->iq && sv_str_eq(attr_of(q, "to"), sv->from(ev)->full)) give_up(ev, me, q);
    }
    return SV_PASS;
}

/* Who does not answer in time is asked no more. */
sv_verdict caps_on_timer(sv_event *ev, void *self)
{
    caps *me = self;
    if (!sv_str_eq(sv->subject(ev), SV_STR(SV_CAPS_MODULE))) return SV_PASS;
    for (size_t i = 0; i < CAPS_QUESTIONS; i++) {
        caps_question *q = &me->questions[i];
        if (q->iq && q->is_sent && sv->now_ms() - q->since_ms >= me->answer_ms)
            give_up(ev, me, q);
    }
    return SV_PASS;
}

void caps_clients_stop(caps *me)
{
    for (size_t i = 0; i < CAPS_QUESTIONS; i++) forget(me, &me->questions[i]);
}
