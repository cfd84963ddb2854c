/* What a query asks for: its form (XEP-0313 4.1) and its page (XEP-0059). What is wrong is refused with what is. */
#include "archive.h"

/* --- times: XEP-0082 3.2, "1969-07-21T02:56:15.123Z" or with an offset such as "-05:00" --------- */

static bool digits(sv_str text, size_t at, size_t n, int64_t *out)
{
    if (text.n < at + n) return false;
    for (*out = 0; n > 0; n--, at++) {
        if (text.p[at] < '0' || text.p[at] > '9') return false;
        *out = *out * 10 + (text.p[at] - '0');
    }
    return true;
}

/* Days since 1970 of a date of the Gregorian calendar: years begin in March, so that the leap day is their last. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    const int64_t y = month > 2 ? year : year - 1;
    const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

static bool is_date(int64_t year, int64_t month, int64_t day)
{
    static const int64_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || month < 1 || month > 12 || day < 1) return false;
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= lengths[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

/* The fraction of a second at `*at`, if there is one: three digits count, the others are looked at. */
static bool fraction(sv_str text, size_t *at, int64_t *ms_out)
{
    int64_t weight = 100;
    *ms_out = 0;
    if (*at >= text.n || text.p[*at] != '.') return true;
    const size_t from = ++*at;
    for (; *at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9'; ++*at, weight /= 10) *ms_out += (text.p[*at] - '0') * weight;
    return *at > from;
}

/* Minutes that the zone is ahead of UTC. */
static bool zone(sv_str text, size_t at, int64_t *minutes_out)
{
    int64_t hours, minutes;
    *minutes_out = 0;
    if (text.n == at + 1 && text.p[at] == 'Z') return true;
    if (text.n != at + 6 || (text.p[at] != '+' && text.p[at] != '-') || text.p[at + 3] != ':') return false;
    if (!digits(text, at + 1, 2, &hours) || !digits(text, at + 4, 2, &minutes) || hours > 14 || minutes > 59) return false;
    *minutes_out = (hours * 60 + minutes) * (text.p[at] == '-' ? -1 : 1);
    return true;
}

bool archive_time_read(sv_str t, int64_t *ms_out)
{
    int64_t year, month, day, hour, minute, second, ms, ahead;
    size_t at = 19;
    const bool has_form = digits(t, 0, 4, &year) && t.p[4] == '-' && digits(t, 5, 2, &month) && t.p[7] == '-' &&
                          digits(t, 8, 2, &day) && t.p[10] == 'T' && digits(t, 11, 2, &hour) && t.p[13] == ':' &&
                          digits(t, 14, 2, &minute) && t.p[16] == ':' && digits(t, 17, 2, &second);
    if (!has_form || !is_date(year, month, day) || hour > 23 || minute > 59 || second > 60) return false;
    if (!fraction(t, &at, &ms) || !zone(t, at, &ahead)) return false;
    const int64_t minutes = (days_of(year, month, day) * 24 + hour) * 60 + minute - ahead;
    *ms_out = (minutes * 60 + second) * 1000 + ms;
    return true;
}

/* --- the form -------------------------------------------------------------------------------- */

static bool wrong(sv_event *ev, sv_cond cond, const char *what)
{
    (void)sv->refuse_text(ev, cond, sv_str_of(what));
    return false;
}

static bool value_of(sv_event *ev, const sv_node *field, sv_str *value_out)
{
    const sv_node *value = sv->find(field, SV_STR("value"), SV_STR(NS_FORM));
    *value_out = value ? sv->text(ev, value) : SV_STR_NONE;
    return value_out->n > 0;
}

static bool read_with(sv_event *ev, const sv_node *field, asked *a)
{
    sv_str value;
    if (!value_of(ev, field, &value) || !sv->jid_parse(ev, value, &a->with))
        return wrong(ev, SV_JID_MALFORMED, "The field 'with' is no address");
    a->query.with = &a->with;
    return true;
}

static bool read_start(sv_event *ev, const sv_node *field, asked *a)
{
    sv_str value;
    if (value_of(ev, field, &value) && archive_time_read(value, &a->query.start_ms)) return true;
    return wrong(ev, SV_BAD_REQUEST, "The field 'start' is no time as XEP-0082 writes it: 2026-01-31T12:00:00Z");
}

static bool read_end(sv_event *ev, const sv_node *field, asked *a)
{
    sv_str value;
    if (value_of(ev, field, &value) && archive_time_read(value, &a->query.end_ms)) return true;
    return wrong(ev, SV_BAD_REQUEST, "The field 'end' is no time as XEP-0082 writes it: 2026-01-31T12:00:00Z");
}

static bool read_after_id(sv_event *ev, const sv_node *field, asked *a)
{
    if (value_of(ev, field, &a->query.after_too)) return true;
    return wrong(ev, SV_BAD_REQUEST, "The field 'after-id' has no value");
}

static bool read_before_id(sv_event *ev, const sv_node *field, asked *a)
{
    if (value_of(ev, field, &a->query.before_too)) return true;
    return wrong(ev, SV_BAD_REQUEST, "The field 'before-id' has no value");
}

static bool read_ids(sv_event *ev, const sv_node *field, asked *a)
{
    for (const sv_node *value = sv->first(field); value; value = sv->next(field, value)) {
        if (!sv->is(value, SV_STR("value"), SV_STR(NS_FORM))) continue;
        if (a->query.id_count == SV_ARCHIVE_IDS_MAX)
            return wrong(ev, SV_POLICY_VIOLATION, "The field 'ids' has more values than are answered at a time (256): ask for them in parts");
        a->ids[a->query.id_count++] = sv->text(ev, value);
    }
    a->query.ids = a->ids;
    return a->query.id_count > 0 || wrong(ev, SV_BAD_REQUEST, "The field 'ids' has no value");
}

static bool read_rooms(sv_event *ev, const sv_node *field, asked *a)
{
    sv_str value;
    (void)value_of(ev, field, &value);
    const bool is_true = sv_str_eq(value, SV_STR("true")) || sv_str_eq(value, SV_STR("1"));
    const bool is_false = sv_str_eq(value, SV_STR("false")) || sv_str_eq(value, SV_STR("0"));
    if (!is_true && !is_false) return wrong(ev, SV_BAD_REQUEST, "The field 'include-groupchat' is 'true' or 'false'");
    a->query.without = is_true ? 0 : ENTRY_ROOM;
    return true;
}

static bool read_type(sv_event *ev, const sv_node *field, asked *a)
{
    sv_str value;
    (void)a;
    if (value_of(ev, field, &value) && sv_str_eq(value, SV_STR(NS_MAM))) return true;
    return wrong(ev, SV_BAD_REQUEST, "The form's FORM_TYPE is not 'urn:xmpp:mam:2'");
}

typedef struct known_field {
    const char *var;
    bool (*read)(sv_event *ev, const sv_node *field, asked *a);
} known_field;

static const known_field fields[] = {
    {"FORM_TYPE", read_type},       {"with", read_with},     {"start", read_start}, {"end", read_end},
    {"before-id", read_before_id},  {"after-id", read_after_id}, {"ids", read_ids}, {"include-groupchat", read_rooms},
};

/* 4.1: a field that is not known is refused, since what it leaves out would be sent. */
static bool read_field(sv_event *ev, const sv_node *field, asked *a)
{
    const sv_str var = sv->attr(field, SV_STR("var"));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (sv_str_eq(var, sv_str_of(fields[i].var))) return fields[i].read(ev, field, a);
    return wrong(ev, SV_FEATURE_NOT_IMPLEMENTED, "The form has a field that is not known here: ask for the form first");
}

static bool read_form(sv_event *ev, const sv_node *form, asked *a)
{
    bool has_type = false;
    if (!sv_str_eq(sv->attr(form, SV_STR("type")), SV_STR("submit")))
        return wrong(ev, SV_BAD_REQUEST, "The form's type is not 'submit'");
    for (const sv_node *child = sv->first(form); child; child = sv->next(form, child)) {
        if (!sv->is(child, SV_STR("field"), SV_STR(NS_FORM))) continue;
        has_type |= sv_str_eq(sv->attr(child, SV_STR("var")), SV_STR("FORM_TYPE"));
        if (!read_field(ev, child, a)) return false;
    }
    return has_type || wrong(ev, SV_BAD_REQUEST, "The form has no FORM_TYPE");
}

/* --- the page -------------------------------------------------------------------------------- */

/* A number that is larger than what may be asked for is cut to it. */
static bool read_max(sv_event *ev, const sv_node *max, asked *a)
{
    const sv_str text = sv->text(ev, max);
    size_t value = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') return wrong(ev, SV_BAD_REQUEST, "<max/> is no number of messages");
        value = value * 10 + (size_t)(text.p[i] - '0');
        if (value > a->query.max) value = a->query.max;
    }
    if (text.n == 0) return wrong(ev, SV_BAD_REQUEST, "<max/> is empty");
    a->counts_only = value == 0; /* XEP-0059 2.7 */
    a->query.max = value;
    return true;
}

static bool read_page(sv_event *ev, const sv_node *set, asked *a)
{
    const sv_node *max = sv->find(set, SV_STR("max"), SV_STR(NS_RSM));
    const sv_node *after = sv->find(set, SV_STR("after"), SV_STR(NS_RSM));
    const sv_node *before = sv->find(set, SV_STR("before"), SV_STR(NS_RSM));
    if (sv->find(set, SV_STR("index"), SV_STR(NS_RSM))) /* XEP-0059 2.6 */
        return wrong(ev, SV_FEATURE_NOT_IMPLEMENTED, "Pages are found by ids and times, not by <index/>");
    if (max && !read_max(ev, max, a)) return false;
    a->query.is_backward = before != NULL;
    if (after && sv->text(ev, after).n > 0) a->query.after = sv->text(ev, after);
    if (before && sv->text(ev, before).n > 0) a->query.before = sv->text(ev, before);
    a->has_bound = a->query.after.n > 0 || a->query.before.n > 0;
    if (a->counts_only) a->query.after = a->query.before = SV_STR_NONE;
    return true;
}

bool archive_form_read(sv_event *ev, const archive *me, const sv_node *query, asked *out)
{
    *out = (asked){.query = {.size = sizeof out->query,
                             .owner = sv->to(ev)->node,
                             .start_ms = INT64_MIN,
                             .end_ms = INT64_MAX,
                             .max = (size_t)me->page_max}};
    const sv_node *form = sv->find(query, SV_STR("x"), SV_STR(NS_FORM));
    const sv_node *set = sv->find(query, SV_STR("set"), SV_STR(NS_RSM));
    if (sv->attr(query, SV_STR("node")).n > 0) /* XEP-0442: an account has none */
        return wrong(ev, SV_ITEM_NOT_FOUND, "An account's archive has no nodes");
    if (form && !read_form(ev, form, out)) return false;
    if (set && !read_page(ev, set, out)) return false;
    out->is_flipped = sv->find(query, SV_STR("flip-page"), SV_STR(NS_MAM)) != NULL;
    out->query.counts = out->counts_only;
    return true;
}
