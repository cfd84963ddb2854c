/* Versions of rosters (RFC 6121 2.6): each change gets a number that is higher than all before, and stands
 * in the record of its item, so that it is stored with it. What was removed leaves a record, too, the
 * newest ones; the row of the key " " has the version below which that record is no more complete. */
#include "roster.h"
#include <stdlib.h>

#define FLOOR SV_STR(" ")

/* --- numbers ------------------------------------------------------------------------------- */

/* Reads hex digits; false if it is nothing else, or too long. */
static bool read_version(sv_str text, uint64_t *version_out)
{
    *version_out = 0;
    if (text.n == 0 || text.n > 16) return false;
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i];
        const bool is_digit = c >= '0' && c <= '9';
        if (!is_digit && !(c >= 'a' && c <= 'f')) return false;
        *version_out = *version_out << 4 | (unsigned)(is_digit ? c - '0' : c - 'a' + 10);
    }
    return true;
}

static uint64_t version_of(sv_str record)
{
    uint64_t version;
    return read_version(sv_roster_version(record), &version) ? version : 0;
}

static sv_str write_version(sv_event *ev, uint64_t version)
{
    return sv->format(ev, "%llx", (unsigned long long)version);
}

static uint64_t newest_of(const sv_rows *rows)
{
    uint64_t newest = 0;
    sv_str key = SV_STR_NONE, record;
    while (sv->row_next(rows, &key, &record))
        if (version_of(record) > newest) newest = version_of(record);
    return newest;
}

static uint64_t floor_of(const sv_rows *rows)
{
    sv_str record;
    return sv->row(rows, FLOOR, &record) ? version_of(record) : 0;
}

/* What is shared with the account has a mark, which stands behind the number. */
static sv_str with_mark(sv_event *ev, const sv_rows *rows, uint64_t version)
{
    const unsigned long long mark = rows ? sv->rows_mark(rows) : 0;
    if (mark == 0) return write_version(ev, version);
    return sv->format(ev, "%llx.%llx", (unsigned long long)version, mark);
}

sv_str roster_version(sv_event *ev, const sv_rows *rows)
{
    return with_mark(ev, rows, newest_of(rows));
}

/* The next version: higher than any of the roster, than any given in this event (which its rows do not
 * show), and than those of an account that had the name before. */
static uint64_t next_version(roster *me, uint64_t newest)
{
    const uint64_t now = (uint64_t)sv->now_ms();
    if (newest < me->newest) newest = me->newest;
    me->newest = newest < now ? now : newest + 1;
    return me->newest;
}

/* --- changes ------------------------------------------------------------------------------- */

static sv_str removal(sv_event *ev, uint64_t version)
{
    return sv->format(ev, "R100%llx\n\n", (unsigned long long)version);
}

static bool is_removal(sv_str key, sv_str record)
{
    return sv_roster_version(record).n && sv_roster_flags(record) == 0 && !sv_str_eq(key, FLOOR) &&
           sv_roster_rest(record).n <= 1;
}

/* The oldest removal above a version; false if there is none. */
static bool oldest_removal(const sv_rows *rows, uint64_t above, sv_str *key_out,
                           uint64_t *version_out)
{
    bool found = false;
    sv_str key = SV_STR_NONE, record;
    while (sv->row_next(rows, &key, &record)) {
        const uint64_t version = version_of(record);
        if (!is_removal(key, record) || version <= above || (found && version >= *version_out))
            continue;
        *key_out = key;
        *version_out = version;
        found = true;
    }
    return found;
}

/* Makes room for one more removal. Who knows no more than what is forgotten here gets the whole
 * roster. */
static void forget_removals(sv_event *ev, const roster *me, sv_str owner, const sv_rows *rows)
{
    int64_t count = 1;
    uint64_t forgotten = 0, version = 0;
    sv_str key = SV_STR_NONE, record;
    while (sv->row_next(rows, &key, &record)) count += is_removal(key, record);
    for (; count > me->max_removed && oldest_removal(rows, forgotten, &key, &version); count--) {
        (void)sv->del(ev, me->items, owner, key);
        forgotten = version;
    }
    if (forgotten) (void)sv->put(ev, me->items, owner, FLOOR, removal(ev, forgotten));
}

/* The record as it is stored. The first change of a roster is the floor: what was known of it before may
 * be of an earlier account of that name. */
static sv_str stamp(sv_event *ev, roster *me, const sv_jid *account, const sv_rows *rows,
                    sv_str contact, sv_str record, sv_str *version_out)
{
    const uint64_t newest = rows ? newest_of(rows) : 0, version = next_version(me, newest);
    *version_out = with_mark(ev, rows, version);
    if (newest == 0) (void)sv->put(ev, me->items, account->node, FLOOR, removal(ev, version));
    if (rows && !record.n) forget_removals(ev, me, account->node, rows);
    const sv_str rest = sv_roster_rest(record);
    const sv_str stamped =
        record.n ? sv->format(ev, "R1%02x%llx\n%.*s", sv_roster_flags(record),
                              (unsigned long long)version, (int)rest.n, rest.p)
                 : removal(ev, version);
    (void)sv->put(ev, me->items, account->node, contact, stamped);
    return stamped;
}

/* --- pushes (RFC 6121 2.1.6) --------------------------------------------------------------- */

/* 2.1.6 has a push with the account's address in `from`, or without: COMPAT(profanity, 0.15.0, until Debian 13's end) it
 * takes no push without. */
static const sv_stanza *make_push(sv_event *ev, const sv_jid *account, sv_str contact, sv_str record,
                                  sv_str version)
{
    sv_draft *iq = sv->draft(ev, SV_STR("iq"), SV_STR("jabber:client"));
    sv->set(iq, SV_STR("type"), SV_STR("set"));
    sv->set(iq, SV_STR("from"), account->bare);
    sv->set(iq, SV_STR("id"), sv->random_hex(ev, 8));
    sv_draft *query = sv->child(iq, SV_STR("query"), SV_STR(NS_ROSTER));
    sv->set(query, SV_STR("ver"), version);
    roster_add_item(query, contact, record);
    return sv->freeze(ev, iq);
}

void roster_push(sv_event *ev, const sv_jid *account, sv_str contact, sv_str record, sv_str version)
{
    const sv_stanza *iq = NULL;
    sv_session *session = NULL;
    while ((session = sv->session_next(ev, account, session))) {
        if (!sv->session_item(session, INTERESTED).p) continue;
        if (!iq) iq = make_push(ev, account, contact, record, version);
        sv->push(ev, session, iq);
    }
}

sv_verdict roster_on_changed(sv_event *ev, void *self)
{
    roster *me = self;
    const sv_jid *account = sv->from(ev);
    sv_str record = sv->subject(ev), contact, version;
    if (!roster_next_line(&record, &contact)) return SV_PASS;
    const sv_rows *rows = sv->rows(ev, me->items, account->node);
    record = stamp(ev, me, account, rows, contact, record, &version);
    sv_str added;
    if (rows && sv->row_added(rows, contact, &added)) record = roster_merge(ev, record, added, me);
    roster_push(ev, account, contact, record, version);
    return SV_PASS;
}

/* --- what changed since (RFC 6121 2.6.3) --------------------------------------------------- */

typedef struct changed {
    uint64_t version;
    sv_str contact, record;
} changed;

static int by_version(const void *a, const void *b)
{
    const uint64_t left = ((const changed *)a)->version, right = ((const changed *)b)->version;
    return left < right ? -1 : left > right;
}

#define PUSH_COST 190 /* of a push besides its item, in bytes on the wire */

/* The items changed since a version, oldest first; NULL if it is less to send all. */
static const changed *changes_since(sv_event *ev, const sv_rows *rows, uint64_t since,
                                    size_t *count_out)
{
    int64_t part = 0, whole = PUSH_COST;
    sv_str key = SV_STR_NONE, record;
    size_t count = 0;
    changed *list = sv->scratch(ev, (sv->row_count(rows) + 1) * sizeof *list);
    while (sv->row_next(rows, &key, &record)) {
        const int64_t cost = 64 + (int64_t)(key.n + record.n);
        const bool is_item = sv_roster_flags(record) & SV_ROSTER_LISTED;
        if (is_item) whole += cost;
        if (version_of(record) <= since || !(is_item || is_removal(key, record))) continue;
        part += cost + PUSH_COST;
        list[count++] = (changed){version_of(record), key, record};
    }
    *count_out = count;
    if (part > whole) return NULL;
    qsort(list, count, sizeof *list, by_version);
    return list;
}

/* Leaves the number of a version that knows what is shared now. */
static bool take_number(sv_event *ev, const sv_rows *rows, sv_str *version)
{
    const sv_str mark = with_mark(ev, rows, 0); /* "0" or "0.MARK" */
    if (version->n < mark.n) return false;
    const sv_str end = {version->p + version->n - (mark.n - 1), mark.n - 1};
    if (!sv_str_eq(end, (sv_str){mark.p + 1, mark.n - 1})) return false;
    version->n -= mark.n - 1;
    return true;
}

bool roster_send_changes(sv_event *ev, const sv_rows *rows)
{
    uint64_t since;
    size_t count = 0;
    sv_session *session = sv->session(ev);
    sv_str known = sv->attr(sv->payload(ev), SV_STR("ver"));
    if (!session || !take_number(ev, rows, &known) || !read_version(known, &since)) return false;
    if (since < floor_of(rows) || since > newest_of(rows)) return false;
    const changed *list = changes_since(ev, rows, since, &count);
    if (!list) return false;
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    (void)sv->send(ev);
    for (size_t i = 0; i < count; i++)
        sv->push(ev, session,
                 make_push(ev, sv->from(ev), list[i].contact, list[i].record,
                           with_mark(ev, rows, list[i].version)));
    return true;
}
