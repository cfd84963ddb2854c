/* Shared contacts: what other modules offer (<stave/roster.h>) as rows besides those that are stored, so
 * that everybody who reads a roster sees them; and what a change of them makes. */
#include "roster.h"
#include <stdlib.h>

#define SHARED_STATE (SV_ROSTER_LISTED | SV_ROSTER_FROM | SV_ROSTER_TO | SV_ROSTER_SHARED)

#define SHARED_COST 480 /* bytes that a shared contact may take on an average, see roster_item_cost */

/* --- what is offered ----------------------------------------------------------------------- */

static bool has_line(sv_str text, sv_str wanted)
{
    sv_str line;
    while (roster_next_line(&text, &line))
        if (sv_str_eq(line, wanted)) return true;
    return false;
}

static sv_str source(sv_event *ev, sv_str owner, void *self)
{
    const roster *me = self;
    const sv_str host = sv->host(me->mod);
    sv_jid account;
    const sv_str text =
        sv->format(ev, "%.*s@%.*s", (int)owner.n, owner.p, (int)host.n, host.p);
    if (!sv->jid_parse(ev, text, &account) || sv->is_guest(ev, &account)) return SV_STR_NONE;
    const sv_str offers = sv->gather(ev, SV_ROSTER_ASK_SHARED, &account, SV_STR_NONE);
    return has_line(offers, SV_STR(SV_ROSTER_NOT_YET)) ? SV_OVERLAY_UNKNOWN : offers;
}

typedef struct offered {
    sv_str jid, name, group;
    size_t place;
} offered;

static int by_jid(const void *a, const void *b)
{
    const offered *left = a, *right = b;
    const size_t n = left->jid.n < right->jid.n ? left->jid.n : right->jid.n;
    const int order = memcmp(left->jid.p, right->jid.p, n);
    if (order != 0) return order;
    if (left->jid.n != right->jid.n) return left->jid.n < right->jid.n ? -1 : 1;
    return left->place < right->place ? -1 : 1;
}

/* Takes what stands before the next tab off the front; false at the end. */
static bool next_field(sv_str *rest, sv_str *field_out)
{
    if (rest->p == NULL) return false;
    const char *tab = rest->n ? memchr(rest->p, '\t', rest->n) : NULL;
    *field_out = (sv_str){rest->p, tab ? (size_t)(tab - rest->p) : rest->n};
    *rest = tab ? (sv_str){tab + 1, rest->n - field_out->n - 1} : SV_STR_NONE;
    return true;
}

static size_t count_tabs(sv_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.n; i++) count += text.p[i] == '\t';
    return count;
}

/* All contacts of all lines, those of one address together. */
static offered *read_offers(sv_event *ev, const roster *me, sv_str text, size_t *count_out)
{
    offered *list = sv->scratch(ev, (count_tabs(text) / 2 + 1) * sizeof *list);
    size_t count = 0;
    sv_str line, group, jid, name;
    while (roster_next_line(&text, &line)) {
        if (!next_field(&line, &group) || (int64_t)group.n > me->name_bytes) continue;
        while (next_field(&line, &jid) && next_field(&line, &name)) {
            if (jid.n == 0 || (int64_t)name.n > me->name_bytes) continue;
            list[count] = (offered){jid, name, group, count};
            count++;
        }
    }
    qsort(list, count, sizeof *list, by_jid);
    *count_out = count;
    return list;
}

/* The record of one contact from what was offered of it: the first name, each group once. */
static sv_str make_record(sv_event *ev, const offered *list, size_t count)
{
    sv_str name = SV_STR_NONE, groups = SV_STR("");
    for (size_t i = 0; i < count; i++) {
        if (!name.n) name = list[i].name;
        bool is_new = list[i].group.n > 0;
        for (size_t j = 0; j < i && is_new; j++) is_new = !sv_str_eq(list[j].group, list[i].group);
        if (is_new)
            groups = sv->format(ev, "%.*s%.*s\n", (int)groups.n, groups.p, (int)list[i].group.n,
                                list[i].group.p);
    }
    return sv->format(ev, "R1%02x\n%.*s\n%.*s", SHARED_STATE, (int)name.n, name.n ? name.p : "",
                      (int)groups.n, groups.p);
}

static void rows(sv_event *ev, sv_str text, sv_added *to, void *self)
{
    const roster *me = self;
    size_t count, same;
    int64_t taken = 0, left_out = 0, cost = 0;
    const offered *list = read_offers(ev, me, text, &count);
    for (size_t i = 0; i < count; i += same) {
        for (same = 1; i + same < count && sv_str_eq(list[i].jid, list[i + same].jid);) same++;
        const sv_str record = make_record(ev, list + i, same);
        cost += roster_item_cost(list[i].jid, record);
        if (taken == me->max_shared || cost > me->max_shared * SHARED_COST) {
            left_out++;
            continue;
        }
        sv->overlay_add(to, list[i].jid, record);
        taken++;
    }
    if (left_out)
        sv->log(me->mod, SV_WARN, "roster-shared-cut", "shared",
                sv->format(ev, "%lld", (long long)taken).p, "left_out",
                sv->format(ev, "%lld", (long long)left_out).p, NULL);
}

/* --- beside what is stored ----------------------------------------------------------------- */

sv_str roster_own_groups(sv_event *ev, sv_str groups, sv_str added)
{
    sv_str theirs = sv_roster_rest(added), line, own = SV_STR("");
    (void)roster_next_line(&theirs, &line); /* the name */
    while (roster_next_line(&groups, &line))
        if (!has_line(theirs, line))
            own = sv->format(ev, "%.*s%.*s\n", (int)own.n, own.p, (int)line.n, line.p);
    return own;
}

sv_str roster_merge(sv_event *ev, sv_str stored, sv_str added, void *self)
{
    (void)self;
    sv_str own = sv_roster_rest(stored), theirs = sv_roster_rest(added), name = SV_STR_NONE, their_name;
    (void)roster_next_line(&own, &name);
    if (roster_next_line(&theirs, &their_name) && !name.n) name = their_name;
    own = roster_own_groups(ev, own, added);
    const sv_str version = sv_roster_version(stored);
    const unsigned flags = SHARED_STATE | (sv_roster_flags(stored) & SV_ROSTER_APPROVED);
    return sv->format(ev, "R1%02x%.*s\n%.*s\n%.*s%.*s", flags, (int)version.n,
                      version.n ? version.p : "", (int)name.n, name.n ? name.p : "", (int)own.n,
                      own.p, (int)theirs.n, theirs.n ? theirs.p : "");
}

const sv_overlay roster_overlay = {
    .size = sizeof roster_overlay, .source = source, .rows = rows, .merge = roster_merge, .changed = "roster/reshared"};

/* --- changes ------------------------------------------------------------------------------- */

/* Presence goes to who sees it from now on, and its end to who does no more; the other side does the
 * same. */
static void exchange(sv_event *ev, const sv_jid *account, sv_str contact, bool sees)
{
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session))) {
        const sv_stanza *known = sv->session_presence(session);
        if (!known) continue;
        sv_draft *gone = sv->draft(ev, SV_STR("presence"), SV_STR("jabber:client"));
        sv->set(gone, SV_STR("type"), SV_STR("unavailable"));
        sv->set(gone, SV_STR("from"), sv->session_jid(session)->full);
        const sv_str pairs[] = {SV_STR("to"), contact};
        sv->route(ev, sv->with_attrs(ev, sees ? known : sv->freeze(ev, gone), pairs, 2));
    }
}

/* Versions of the pushes before the last are nobody's: who gets no more of them gets the whole roster. */
static void tell_difference(sv_event *ev, sv_str contact, sv_str before, sv_str after, size_t left,
                            void *self)
{
    const roster *me = self;
    const sv_jid *account = sv->from(ev);
    const sv_rows *now = sv->rows(ev, me->items, account->node);
    sv_str version = roster_version(ev, now);
    if (left) version = sv->format(ev, "%.*s-%zu", (int)version.n, version.p, left);
    roster_push(ev, account, contact, after, version);
    const bool saw = sv_roster_flags(before) & SV_ROSTER_FROM;
    const bool sees = sv_roster_flags(after) & SV_ROSTER_FROM;
    if (saw != sees) exchange(ev, account, contact, sees);
}

static void reshared_rows(sv_event *ev, sv_status status, sv_rows *now, void *self)
{
    const roster *me = self;
    (void)now;
    if (status == SV_OK)
        sv->overlay_differences(ev, me->items, sv->from(ev)->node, tell_difference);
    sv->pass(ev);
}

sv_verdict roster_on_reshared(sv_event *ev, void *self)
{
    const roster *me = self;
    const sv_str owner = sv->from(ev)->node;
    if (!sv->rows(ev, me->items, owner)) {
        sv->rows_load(ev, me->items, owner, reshared_rows);
        return SV_LATER;
    }
    sv->overlay_differences(ev, me->items, owner, tell_difference);
    return SV_PASS;
}

sv_verdict roster_on_ready(sv_event *ev, void *self)
{
    const roster *me = self;
    (void)ev;
    sv->overlay_changed(me->items);
    return SV_PASS;
}
