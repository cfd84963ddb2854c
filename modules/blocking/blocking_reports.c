/* Reports with a block (XEP-0377): told to the operator by a line in the log and, if he wishes, by a
 * message. What was said to the account is not looked at. */
#include "blocking.h"

#define REPORTS_DAY "day" /* key of the one row of an account */
#define DAY_S 86400
#define REASON_BYTES 128u
#define TEXT_BYTES 1024u

/* Without a reason it is no report (XEP-0377 4), which does not keep the block from being done (6). */
static sv_str reason_of(const blocking_item *item)
{
    return item->report ? sv->attr(item->report, SV_STR("reason")) : SV_STR_NONE;
}

bool blocking_has_reports(const blocking_items *items)
{
    for (size_t i = 0; i < items->count; i++)
        if (reason_of(&items->items[i]).n) return true;
    return false;
}

/* Not longer than that, in whole characters. */
static sv_str cut(sv_str text, size_t most)
{
    if (text.n <= most) return text;
    while (most > 0 && ((unsigned char)text.p[most] & 0xc0) == 0x80) most--;
    return (sv_str){text.p, most};
}

/* The registered reasons by their short names (XEP-0377 11.4); another as it is. */
static sv_str reason_name(sv_str reason)
{
    if (sv_str_eq(reason, SV_STR("urn:xmpp:reporting:spam"))) return SV_STR("spam");
    if (sv_str_eq(reason, SV_STR("urn:xmpp:reporting:abuse"))) return SV_STR("abuse");
    return cut(reason, REASON_BYTES);
}

static const char *zero_ended(sv_event *ev, sv_str text)
{
    return sv->format(ev, "%.*s", (int)text.n, text.n ? text.p : "").p;
}

/* --- how many there may be ----------------------------------------------------------------- */

static int64_t read_number(sv_str *rest)
{
    int64_t number = 0;
    while (rest->n > 0 && *rest->p >= '0' && *rest->p <= '9') {
        number = number * 10 + (*rest->p - '0');
        *rest = (sv_str){rest->p + 1, rest->n - 1};
    }
    if (rest->n > 0) *rest = (sv_str){rest->p + 1, rest->n - 1};
    return number;
}

/* How many of the account were taken today. */
static int64_t taken_today(sv_event *ev, const blocking *me, int64_t today)
{
    sv_str row;
    const sv_rows *rows = sv->rows(ev, me->reports, sv->from(ev)->node);
    if (!rows || !sv->row(rows, SV_STR(REPORTS_DAY), &row)) return 0;
    const int64_t day = read_number(&row);
    return day == today ? read_number(&row) : 0;
}

/* --- telling ------------------------------------------------------------------------------- */

static sv_str text_of(sv_event *ev, const sv_node *report)
{
    const sv_node *text = sv->find(report, SV_STR("text"), SV_STR("urn:xmpp:reporting:1"));
    return text ? cut(sv->text(ev, text), TEXT_BYTES) : SV_STR_NONE;
}

/* XEP-0377 5: MUST NOT be given to others without the author's consent. */
static bool may_have_it(sv_event *ev, const sv_jid *reader, const sv_node *report)
{
    return sv->is_local(ev, reader) ||
           sv->find(report, SV_STR("third-party"), SV_STR("urn:xmpp:reporting:1"));
}

static void send_report(sv_event *ev, const blocking *me, const sv_jid *reader,
                        const blocking_item *item)
{
    const sv_str reason = reason_name(reason_of(item)), text = text_of(ev, item->report);
    const sv_str by = sv->from(ev)->bare, about = item->jid.full;
    sv_draft *message = sv->draft(ev, SV_STR("message"), SV_STR("jabber:client"));
    sv->set(message, SV_STR("from"), sv->host(me->mod));
    sv->set(message, SV_STR("to"), reader->bare);
    sv->set(message, SV_STR("id"), sv->random_hex(ev, 8));
    sv->add_text(sv->child(message, SV_STR("body"), SV_STR_NONE),
                 sv->format(ev, "%.*s blocked %.*s and reports: %.*s%s%.*s", (int)by.n, by.p,
                            (int)about.n, about.p, (int)reason.n, reason.p, text.n ? "\n" : "",
                            (int)text.n, text.n ? text.p : ""));
    sv->route(ev, sv->freeze(ev, message));
}

static void take_report(sv_event *ev, const blocking *me, const blocking_item *item)
{
    sv->log(me->mod, SV_INFO, "abuse-report", "account", zero_ended(ev, sv->from(ev)->bare), "jid",
            zero_ended(ev, item->jid.full), "reason",
            zero_ended(ev, reason_name(reason_of(item))), NULL);
    for (size_t i = 0; i < me->reports_to.count; i++) {
        sv_jid reader;
        if (sv->jid_parse(ev, me->reports_to.items[i], &reader) &&
            may_have_it(ev, &reader, item->report))
            send_report(ev, me, &reader, item);
    }
}

void blocking_take_reports(sv_event *ev, blocking *me, const blocking_items *items)
{
    if (!blocking_has_reports(items)) return;
    const int64_t today = sv->now_s() / DAY_S, before = taken_today(ev, me, today);
    int64_t taken = before;
    for (size_t i = 0; i < items->count && taken < me->max_reports; i++) {
        if (reason_of(&items->items[i]).n == 0) continue;
        take_report(ev, me, &items->items[i]);
        taken++;
    }
    if (taken > before)
        (void)sv->put(ev, me->reports, sv->from(ev)->node, SV_STR(REPORTS_DAY),
                      sv->format(ev, "%lld %lld", (long long)today, (long long)taken));
}
