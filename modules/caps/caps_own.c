/* What the host shows of itself: hashes among the stream features (XEP-0115 6.3, XEP-0390 5.2), and answers
 * for them, also those before the newest (XEP-0390 6.1). */
#include "caps.h"

#define OWNER SV_STR("/")

static const char *const functions[] = {"sha-256", "sha3-256"}; /* XEP-0390 4.2, XEP-0414 */

static void set_node(caps_self *to, size_t i, sv_str text)
{
    const size_t n = text.n < CAPS_KEY_BYTES ? text.n : 0; /* it never is: start() has looked */
    if (n > 0) memcpy(to->nodes[i], text.p, n);
    memset(to->nodes[i] + n, 0, CAPS_KEY_BYTES - n);
}

static bool next_line(sv_str *rest, sv_str *line_out)
{
    const char *end = rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!end) return false;
    *line_out = (sv_str){rest->p, (size_t)(end - rest->p)};
    *rest = (sv_str){end + 1, rest->n - line_out->n - 1};
    return true;
}

/* A row: a line for each node, then the <query/>. False if it is none. */
static bool read_row(sv_event *ev, const caps *me, sv_str row, caps_self *self_out)
{
    sv_str line;
    const sv_stanza *info;
    for (size_t i = 0; i < CAPS_NODES; i++) {
        if (!next_line(&row, &line)) return false;
        set_node(self_out, i, line);
    }
    if (sv->stanza_parse(ev, row, &info) != SV_OK) return false;
    self_out->info = sv->stanza_ref(me->mod, info);
    return true;
}

/* --- from before --------------------------------------------------------------------------- */

static void push_front(caps *me, const caps_self *take)
{
    sv->stanza_unref(me->mod, &me->self[CAPS_SETS - 1].info);
    memmove(&me->self[1], &me->self[0], (CAPS_SETS - 1) * sizeof me->self[0]);
    me->self[0] = *take;
}

/* The number of a key: hexadecimal digits. */
static int64_t number(sv_str key)
{
    int64_t value = 0;
    for (size_t i = 0; i < key.n && i < 15; i++) {
        const char c = key.p[key.n - (key.n < 15 ? key.n : 15) + i];
        value = value << 4 | (c >= 'a' ? c - 'a' + 10 : c - '0');
    }
    return value;
}

/* What the host told while the rows were read is newer than they are, or one of them. */
static void put_back(caps *me, caps_self *take_told)
{
    const caps_self *newest = &me->self[0];
    if (newest->info && memcmp(newest->nodes, take_told->nodes, sizeof newest->nodes) == 0)
        sv->stanza_unref(me->mod, &take_told->info);
    else
        push_front(me, take_told);
}

/* The newest rows, in order of time; older ones go. */
static void rows_came(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    caps *me = self;
    caps_self told = me->self[0];
    memmove(&me->self[0], &me->self[1], (CAPS_SETS - 1) * sizeof me->self[0]);
    me->self[CAPS_SETS - 1] = (caps_self){.info = NULL};
    size_t left = status == SV_OK ? sv->row_count(rows) : 0;
    sv_str key = SV_STR_NONE, row;
    while (left > 0 && sv->row_next(rows, &key, &row)) {
        if (number(key) > me->newest_ms) me->newest_ms = number(key);
        caps_self before = {.info = NULL};
        if (left-- > CAPS_SETS || !read_row(ev, me, row, &before))
            (void)sv->del(ev, me->own, OWNER, key);
        else
            push_front(me, &before);
    }
    if (told.info) put_back(me, &told);
    sv->pass(ev);
}

/* Before the host tells of itself (disco does in band LATE). Once: again when another module was loaded anew. */
sv_verdict caps_on_ready(sv_event *ev, void *self)
{
    caps *me = self;
    if (me->self[0].info) return SV_PASS;
    sv->rows_load(ev, me->own, OWNER, rows_came);
    return SV_LATER;
}

/* --- the newest ---------------------------------------------------------------------------- */

static void show(sv_event *ev, caps *me, sv_str ver, const sv_str digests[2])
{
    sv_draft *old = sv->draft(ev, SV_STR("c"), SV_STR(NS_CAPS));
    sv->set(old, SV_STR("hash"), SV_STR("sha-1"));
    sv->set(old, SV_STR("node"), me->node);
    sv->set(old, SV_STR("ver"), ver);
    sv_str xml = sv->stanza_bytes(ev, sv->freeze(ev, old));
    sv_draft *c = sv->draft(ev, SV_STR("c"), SV_STR(NS_CAPS2));
    for (size_t i = 0; i < 2; i++) {
        sv_draft *hash = sv->child(c, SV_STR("hash"), SV_STR(NS_HASHES));
        sv->set(hash, SV_STR("algo"), sv_str_of(functions[i]));
        sv->add_text(hash, digests[i]);
    }
    const sv_str more = sv->stanza_bytes(ev, sv->freeze(ev, c));
    xml = sv->format(ev, "%.*s%.*s", (int)xml.n, xml.p, (int)more.n, more.p);
    if (sv->set_stream_feature(me->mod, xml) != SV_OK)
        sv->log(me->mod, SV_ERROR, "caps-not-shown", NULL);
}

/* The host tells something else of itself from now on. */
sv_verdict caps_on_told(sv_event *ev, void *self)
{
    caps *me = self;
    const sv_stanza *stanza;
    const sv_str text = sv->subject(ev);
    if (sv->stanza_parse(ev, text, &stanza) != SV_OK) return SV_PASS;
    caps_info info;
    const sv_node *query = sv->stanza_root(stanza);
    caps_info_read(ev, query, query, &info);
    const sv_str ver = sv->digest(ev, SV_STR("sha-1"), info.old);
    caps_self now = {.info = NULL};
    set_node(&now, 0, sv->format(ev, "%.*s#%.*s", (int)me->node.n, me->node.p, (int)ver.n, ver.p));
    sv_str digests[2];
    for (size_t i = 0; i < 2; i++) {
        digests[i] = sv->digest(ev, sv_str_of(functions[i]), info.now);
        set_node(&now, i + 1, sv->format(ev, NODE_CAPS2 "%s.%.*s", functions[i],
                                         (int)digests[i].n, digests[i].p));
    }
    show(ev, me, ver, digests);
    if (me->self[0].info && memcmp(me->self[0].nodes, now.nodes, sizeof now.nodes) == 0)
        return SV_PASS;
    now.info = sv->stanza_ref(me->mod, stanza);
    push_front(me, &now);
    if (!sv->has_space(ev)) return SV_PASS; /* not known over a restart; clients ask anew */
    const int64_t ms = sv->now_ms();
    me->newest_ms = ms > me->newest_ms ? ms : me->newest_ms + 1;
    (void)sv->put(ev, me->own, OWNER, sv->format(ev, "%016llx", (long long)me->newest_ms),
                  sv->format(ev, "%s\n%s\n%s\n%.*s", now.nodes[0], now.nodes[1], now.nodes[2],
                             (int)text.n, text.p));
    return SV_PASS;
}

/* --- answering ----------------------------------------------------------------------------- */

static const caps_self *find(const caps *me, sv_str node)
{
    for (size_t i = 0; i < CAPS_SETS; i++)
        for (size_t k = 0; me->self[i].info && k < CAPS_NODES; k++)
            if (sv_str_eq(sv_str_of(me->self[i].nodes[k]), node)) return &me->self[i];
    return NULL;
}

/* XEP-0115 6.2, XEP-0390 5.5: a request with a caps node; others are disco's. */
sv_verdict caps_on_query(sv_event *ev, void *self)
{
    const caps *me = self;
    const sv_str node = sv->attr(sv->payload(ev), SV_STR("node"));
    const caps_self *shown = node.n > 0 ? find(me, node) : NULL;
    if (!shown) return SV_PASS;
    sv_draft *query = sv->reply(ev, SV_STR("query"), SV_STR(SV_DISCO_INFO));
    sv->set(query, SV_STR("node"), node);
    const sv_node *info = sv->stanza_root(shown->info);
    for (const sv_node *at = sv->first(info); at; at = sv->next(info, at))
        sv->graft(query, shown->info, at);
    return sv->send(ev);
}

void caps_own_stop(caps *me)
{
    for (size_t i = 0; i < CAPS_SETS; i++) sv->stanza_unref(me->mod, &me->self[i].info);
}
