/* Queries of an account's own sessions (XEP-0313 4 and 5).
 *
 * A page is sent before its <fin/>, both when the query's event is over. Requests of a session to its own account pass one
 * at a time (they are of one lane), so it has one query under way; a page is bounded in bytes, so that what waits for the session is. */
#include "archive.h"

#define PAGE_BYTES 65536u

/* --- results ------------------------------------------------------------------------------ */

static const sv_stanza *result(sv_event *ev, const sv_archive_item *item)
{
    const sv_str queryid = sv->attr(sv->payload(ev), SV_STR("queryid"));
    sv_draft *message = sv->draft(ev, SV_STR("message"), SV_STR(NS_CLIENT));
    sv->set(message, SV_STR("from"), sv->to(ev)->bare);
    sv->set(message, SV_STR("to"), sv->from(ev)->full);
    sv_draft *entry = sv->child(message, SV_STR("result"), SV_STR(NS_MAM));
    if (queryid.p) sv->set(entry, SV_STR("queryid"), queryid);
    sv->set(entry, SV_STR("id"), item->id);
    sv_draft *forwarded = sv->child(entry, SV_STR("forwarded"), SV_STR(NS_FORWARD));
    sv_draft *delay = sv->child(forwarded, SV_STR("delay"), SV_STR(NS_DELAY));
    sv->set(delay, SV_STR("stamp"), sv->stamp(ev, item->when_ms));
    sv->graft(forwarded, item->stanza, sv->stanza_root(item->stanza));
    return sv->freeze(ev, message);
}

static void push_results(sv_event *ev, const sv_archive_page *page, bool is_flipped)
{
    sv_session *session = sv->session(ev);
    sv->fleeting(ev); /* they are in the archive */
    for (size_t i = 0; session && i < page->count; i++) {
        const sv_archive_item *item = &page->items[is_flipped ? page->count - 1 - i : i];
        if (item->stanza) sv->push(ev, session, result(ev, item)); /* else it was purged meanwhile */
    }
}

/* XEP-0059 2.2: the position of the first one, and how many there are, where that is known for nothing. */
static void fill_set(sv_draft *set, const sv_archive_page *page, const asked *a)
{
    const bool starts = !a->has_bound && (!a->query.is_backward || page->is_complete);
    if (a->counts_only) {
        sv_draft *count = sv->child(set, SV_STR("count"), SV_STR_NONE);
        char text[24];
        size_t n = sizeof text;
        int64_t left = page->total;
        do text[--n] = (char)('0' + left % 10);
        while ((left /= 10) > 0);
        sv->add_text(count, (sv_str){text + n, sizeof text - n});
        return;
    }
    if (page->count == 0) return;
    sv_draft *first = sv->child(set, SV_STR("first"), SV_STR_NONE);
    if (starts) sv->set(first, SV_STR("index"), SV_STR("0"));
    sv->add_text(first, page->items[0].id);
    sv->add_text(sv->child(set, SV_STR("last"), SV_STR_NONE), page->items[page->count - 1].id);
}

/* Tells who keeps the same messages elsewhere that the session has them (archive/read). */
static void tell_read(sv_event *ev, const sv_archive_page *page)
{
    char *ids = sv->scratch(ev, page->count * (SV_ARCHIVE_ID + 1) + 1);
    size_t n = 0;
    for (size_t i = 0; i < page->count; i++) {
        if (!page->items[i].stanza || (page->items[i].flags & ENTRY_OUTGOING) != 0) continue;
        memcpy(ids + n, page->items[i].id.p, SV_ARCHIVE_ID);
        n += SV_ARCHIVE_ID;
        ids[n++] = ' ';
    }
    if (n > 0) sv->fire_after(ev, "archive/read", sv->to(ev), (sv_str){ids, n});
}

static void page_came(sv_event *ev, sv_status status, const sv_archive_page *page, void *self)
{
    const archive *me = self;
    asked *a = sv->scratch(ev, sizeof *a);
    if (status == SV_ENOTFOUND) { /* 4.1.3, 4.3.2 */
        (void)sv->refuse_text(ev, SV_ITEM_NOT_FOUND, SV_STR("The archive has no message of an id in the query"));
        return;
    }
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    if (!archive_form_read(ev, me, sv->payload(ev), a)) return; /* once more: nothing else of it was kept */
    push_results(ev, page, a->is_flipped);
    sv_draft *fin = sv->reply(ev, SV_STR("fin"), SV_STR(NS_MAM));
    if (page->is_complete && !a->counts_only) sv->set(fin, SV_STR("complete"), SV_STR("true"));
    fill_set(sv->child(fin, SV_STR("set"), SV_STR(NS_RSM)), page, a);
    sv->metric_add(me->mod, PAGES, 1);
    sv->metric_add(me->mod, RESULTS, (int64_t)page->count);
    tell_read(ev, page);
    (void)sv->send(ev);
}

sv_verdict archive_on_query(sv_event *ev, void *self)
{
    archive *me = self;
    asked *a = sv->scratch(ev, sizeof *a);
    if (!archive_form_read(ev, me, sv->payload(ev), a)) return SV_DONE;
    a->query.max_bytes = PAGE_BYTES;
    me->api->read(ev, me->messages, &a->query, page_came);
    return SV_LATER;
}

sv_verdict archive_on_unsent(sv_event *ev, void *self)
{
    (void)self;
    return sv->drop(ev, "archive-result-unsent");
}

/* --- the form (4.1.5) --------------------------------------------------------------------- */

static sv_draft *field(sv_draft *form, const char *var, const char *type)
{
    sv_draft *made = sv->child(form, SV_STR("field"), SV_STR_NONE);
    sv->set(made, SV_STR("var"), sv_str_of(var));
    sv->set(made, SV_STR("type"), sv_str_of(type));
    return made;
}

sv_verdict archive_on_form(sv_event *ev, void *self)
{
    (void)self;
    sv_draft *query = sv->reply(ev, SV_STR("query"), SV_STR(NS_MAM));
    sv_draft *form = sv->child(query, SV_STR("x"), SV_STR(NS_FORM));
    sv->set(form, SV_STR("type"), SV_STR("form"));
    sv_draft *type = field(form, "FORM_TYPE", "hidden");
    sv->add_text(sv->child(type, SV_STR("value"), SV_STR_NONE), SV_STR(NS_MAM));
    (void)field(form, "with", "jid-single");
    (void)field(form, "start", "text-single");
    (void)field(form, "end", "text-single");
    (void)field(form, "before-id", "text-single");
    (void)field(form, "after-id", "text-single");
    sv_draft *validate = sv->child(field(form, "ids", "list-multi"), SV_STR("validate"),
                                   SV_STR("http://jabber.org/protocol/xdata-validate"));
    sv->set(validate, SV_STR("datatype"), SV_STR("xs:string"));
    (void)sv->child(validate, SV_STR("open"), SV_STR_NONE);
    (void)field(form, "include-groupchat", "boolean");
    return sv->send(ev);
}

/* --- metadata (5) ------------------------------------------------------------------------- */

static void set_end(sv_event *ev, sv_draft *metadata, const char *name, sv_str id, int64_t ms)
{
    sv_draft *end = sv->child(metadata, sv_str_of(name), SV_STR_NONE);
    sv->set(end, SV_STR("id"), id);
    sv->set(end, SV_STR("timestamp"), sv->stamp(ev, ms));
}

static void figures_came(sv_event *ev, sv_status status, const sv_archive_figures *f, void *self)
{
    (void)self;
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    sv_draft *metadata = sv->reply(ev, SV_STR("metadata"), SV_STR(NS_MAM));
    if (f->first.n > 0) {
        set_end(ev, metadata, "start", f->first, f->first_ms);
        set_end(ev, metadata, "end", f->last, f->last_ms);
    }
    (void)sv->send(ev);
}

sv_verdict archive_on_metadata(sv_event *ev, void *self)
{
    archive *me = self;
    me->api->measure(ev, me->messages, sv->to(ev)->node, false, figures_came);
    return SV_LATER;
}
