/* What an account wants to have archived (XEP-0441).
 *
 * The record is "A1", a letter for the default (a, n, r), then lines: '+' or '-' and an address for each that is always or never
 * archived. */
#include "archive.h"

#define PREFS_KEY SV_STR("prefs")
#define JIDS_MAX 1000u
#define RECORD_MAX 65536u

static const char letters[] = "anr"; /* in the order of by_default */
static const char *const words[] = {"always", "never", "roster"};

/* The next line behind the head; false at the end. */
static bool next_line(sv_str record, size_t *pos, sv_str *line_out)
{
    if (*pos == 0) *pos = 3;
    if (*pos >= record.n) return false;
    const char *const begin = record.p + *pos;
    const char *stop = memchr(begin, '\n', record.n - *pos);
    if (!stop) return false;
    *line_out = (sv_str){begin, (size_t)(stop - begin)};
    *pos += line_out->n + 1;
    return true;
}

static by_default default_of(const archive *me, sv_str record)
{
    for (int i = 0; record.n >= 3 && i < 3; i++)
        if (record.p[2] == letters[i]) return (by_default)i;
    return (by_default)me->preset;
}

/* 2.3.1: an address with a resource is compared as it is, one without with the bare address. */
static bool names(sv_str jid, const sv_jid *with)
{
    const bool is_full = memchr(jid.p, '/', jid.n) != NULL;
    return sv_str_eq(jid, is_full ? with->full : with->bare);
}

/* '+', '-', or 0 if no line names it. An address in both lists is not archived. */
static char listed(sv_str record, const sv_jid *with)
{
    char found = 0;
    sv_str line;
    for (size_t pos = 0; next_line(record, &pos, &line);)
        if (line.n > 1 && found != '-' && names((sv_str){line.p + 1, line.n - 1}, with)) found = line.p[0];
    return found;
}

static wish in_roster(sv_event *ev, const archive *me, const sv_jid *account, const sv_jid *with)
{
    if (!me->roster) return WISH_NO;
    sv_rows *rows = sv->rows(ev, me->roster, account->node);
    sv_str record;
    if (!rows) return WISH_ROSTER;
    if (!sv->row(rows, with->bare, &record)) return WISH_NO;
    return (sv_roster_flags(record) & (SV_ROSTER_LISTED | SV_ROSTER_SHARED)) != 0 ? WISH_YES : WISH_NO;
}

wish archive_wish(sv_event *ev, const archive *me, const sv_jid *account, const sv_jid *with)
{
    sv_str record = SV_STR_NONE;
    if (me->has_prefs) {
        sv_rows *rows = sv->rows(ev, me->prefs, account->node);
        if (!rows) return WISH_UNKNOWN;
        (void)sv->row(rows, PREFS_KEY, &record);
    }
    const char sign = listed(record, with);
    if (sign) return sign == '+' ? WISH_YES : WISH_NO;
    switch (default_of(me, record)) {
    case DEFAULT_NEVER: return WISH_NO;
    case DEFAULT_ROSTER: return in_roster(ev, me, account, with);
    default: return WISH_YES;
    }
}

void archive_wish_load(sv_event *ev, archive *me, wish lacks, const sv_jid *account, sv_rows_fn done)
{
    sv->rows_load(ev, lacks == WISH_ROSTER ? me->roster : me->prefs, account->node, done);
}

static void kept(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)status, (void)rows, (void)self; /* if they can't be read, each message tries again */
    sv->pass(ev);
}

sv_verdict archive_on_bound(sv_event *ev, void *self)
{
    const archive *me = self;
    if (!me->has_prefs || !sv->session(ev)) return SV_PASS;
    sv->rows_keep(ev, me->prefs, sv->session(ev), kept);
    return SV_LATER;
}

/* --- asked and set ---------------------------------------------------------------------------- */

static void tell(sv_event *ev, const archive *me, sv_str record)
{
    sv_draft *prefs = sv->reply(ev, SV_STR("prefs"), SV_STR(NS_MAM));
    sv->set(prefs, SV_STR("default"), sv_str_of(words[default_of(me, record)]));
    sv_draft *always = sv->child(prefs, SV_STR("always"), SV_STR_NONE);
    sv_draft *never = sv->child(prefs, SV_STR("never"), SV_STR_NONE);
    sv_str line;
    for (size_t pos = 0; next_line(record, &pos, &line);) {
        sv_draft *jid = sv->child(line.p[0] == '+' ? always : never, SV_STR("jid"), SV_STR_NONE);
        sv->add_text(jid, (sv_str){line.p + 1, line.n - 1});
    }
    (void)sv->send(ev);
}

static void tell_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    sv_str record = SV_STR_NONE;
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    (void)sv->row(rows, PREFS_KEY, &record);
    tell(ev, self, record);
}

sv_verdict archive_on_prefs_get(sv_event *ev, void *self)
{
    const archive *me = self;
    if (!me->has_prefs) return sv->refuse(ev, SV_FEATURE_NOT_IMPLEMENTED); /* 2.1, example 3 */
    sv->rows_load(ev, me->prefs, sv->to(ev)->node, tell_rows);
    return SV_LATER;
}

/* A record under construction. */
typedef struct writing {
    char *text;
    size_t n, jids;
} writing;

static bool put_line(writing *w, char sign, sv_str jid)
{
    if (w->jids == JIDS_MAX || w->n + jid.n + 2 > RECORD_MAX) return false;
    w->text[w->n++] = sign;
    memcpy(w->text + w->n, jid.p, jid.n);
    w->n += jid.n;
    w->text[w->n++] = '\n';
    w->jids++;
    return true;
}

/* False: it was refused. */
static bool put_list(sv_event *ev, writing *w, const sv_node *prefs, const char *name, char sign)
{
    const sv_node *list = sv->find(prefs, sv_str_of(name), SV_STR(NS_MAM));
    for (const sv_node *child = list ? sv->first(list) : NULL; child; child = sv->next(list, child)) {
        sv_jid jid;
        if (!sv->is(child, SV_STR("jid"), SV_STR(NS_MAM))) continue;
        if (!sv->jid_parse(ev, sv->text(ev, child), &jid)) {
            (void)sv->refuse_text(ev, SV_JID_MALFORMED, SV_STR("A <jid/> of the lists is no address"));
            return false;
        }
        if (put_line(w, sign, jid.full)) continue;
        (void)sv->refuse_text(ev, SV_RESOURCE_CONSTRAINT, SV_STR("The lists have more addresses than are kept (1000, 64 KiB)"));
        return false;
    }
    return true;
}

static char letter_of(sv_str word)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sv_str_eq(word, sv_str_of(words[i]))) return letters[i];
    return 0;
}

sv_verdict archive_on_prefs_set(sv_event *ev, void *self)
{
    archive *me = self;
    const sv_node *prefs = sv->payload(ev);
    const char letter = letter_of(sv->attr(prefs, SV_STR("default")));
    if (!me->has_prefs) return sv->refuse(ev, SV_FEATURE_NOT_IMPLEMENTED);
    if (!letter)
        return sv->refuse_text(ev, SV_BAD_REQUEST, SV_STR("The attribute 'default' is 'always', 'never' or 'roster'"));
    writing w = {.text = sv->scratch(ev, RECORD_MAX + 3), .n = 3};
    w.text[0] = 'A';
    w.text[1] = '1';
    w.text[2] = letter;
    if (!put_list(ev, &w, prefs, "always", '+') || !put_list(ev, &w, prefs, "never", '-')) return SV_DONE;
    const sv_str record = {w.text, w.n};
    const sv_status status = sv->put(ev, me->prefs, sv->to(ev)->node, PREFS_KEY, record);
    if (status != SV_OK) return sv->refuse(ev, status == SV_EDENIED ? SV_NOT_ALLOWED : SV_RESOURCE_CONSTRAINT);
    tell(ev, me, record);
    return SV_DONE;
}
