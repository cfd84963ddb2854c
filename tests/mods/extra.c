/* Adds rows to a map of its own, as a stanza says: tests of overlays and of the list of accounts. */
#include <stave/module.h>
#include <stdio.h>

#define NS "urn:stave:extra"

typedef struct extra {
    sv_mod *mod;
    sv_store *notes;
    char text[200]; /* "key=value key=value"; what is added for everybody */
    int64_t made, asked;
    char names[200];
    int64_t pages;
} extra;

static sv_str source(sv_event *ev, sv_str owner, void *self)
{
    extra *me = self;
    me->asked++;
    /* whoever answers may read the map: he sees what is stored */
    const sv_rows *rows = sv->rows(ev, me->notes, owner);
    if (rows && sv->rows_mark(rows) != 0) return SV_STR("loop=1");
    return sv_str_of(me->text);
}

static sv_str word(sv_str *rest, char end)
{
    const char *at = rest->n ? memchr(rest->p, end, rest->n) : NULL;
    const sv_str head = {rest->p, at ? (size_t)(at - rest->p) : rest->n};
    *rest = at ? (sv_str){at + 1, rest->n - head.n - 1} : SV_STR_NONE;
    return head;
}

static void rows(sv_event *ev, sv_str text, sv_added *to, void *self)
{
    (void)ev;
    ((extra *)self)->made++;
    while (text.n) {
        sv_str value = word(&text, ' ');
        const sv_str key = word(&value, '=');
        sv->overlay_add(to, key, value);
    }
}

static sv_str merge(sv_event *ev, sv_str stored, sv_str added, void *self)
{
    (void)self;
    return sv->format(ev, "%.*s+%.*s", (int)stored.n, stored.p, (int)added.n, added.p);
}

static const sv_overlay overlay = {
    .size = sizeof overlay, .source = source, .rows = rows, .merge = merge, .changed = "roster/reshared"};

static void list(sv_event *ev, sv_status status, sv_rows *held, void *self)
{
    const extra *me = self;
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_INTERNAL_SERVER_ERROR);
        return;
    }
    sv_draft *out = sv->reply(ev, SV_STR("list"), SV_STR(NS));
    sv_str key = SV_STR_NONE, value, found;
    while (sv->row_next(held, &key, &value)) {
        sv_draft *row = sv->child(out, SV_STR("row"), SV_STR_NONE);
        sv->set(row, SV_STR("key"), key);
        sv->set(row, SV_STR("same"),
                sv->row(held, key, &found) && sv_str_eq(found, value) ? SV_STR("1") : SV_STR("0"));
        if (sv->row_stored(held, key, &found)) sv->set(row, SV_STR("stored"), found);
        if (sv->row_added(held, key, &found)) sv->set(row, SV_STR("added"), found);
        sv->add_text(row, value);
    }
    sv->set_int(out, SV_STR("count"), (int64_t)sv->row_count(held));
    sv->set_int(out, SV_STR("mark"), (int64_t)(sv->rows_mark(held) & 0x7fffffff));
    sv->set_int(out, SV_STR("made"), me->made);
    (void)sv->send(ev);
}

static sv_verdict on_list(sv_event *ev, void *self)
{
    sv->rows_load(ev, ((extra *)self)->notes, sv->from(ev)->node, list);
    return SV_LATER;
}

static void got(sv_event *ev, sv_status status, sv_str value, void *self)
{
    (void)self;
    if (status != SV_OK) {
        (void)sv->refuse(ev, SV_ITEM_NOT_FOUND);
        return;
    }
    sv->add_text(sv->reply(ev, SV_STR("get"), SV_STR(NS)), value);
    (void)sv->send(ev);
}

static sv_verdict on_get(sv_event *ev, void *self)
{
    const sv_str key = sv->attr(sv->payload(ev), SV_STR("key"));
    sv->get(ev, ((extra *)self)->notes, sv->from(ev)->node, key, got);
    return SV_LATER;
}

static sv_verdict on_put(sv_event *ev, void *self)
{
    const sv_node *payload = sv->payload(ev);
    (void)sv->put(ev, ((extra *)self)->notes, sv->from(ev)->node,
                  sv->attr(payload, SV_STR("key")), sv->text(ev, payload));
    return sv->send(ev);
}

static sv_verdict on_add(sv_event *ev, void *self)
{
    extra *me = self;
    const sv_str text = sv->text(ev, sv->payload(ev));
    (void)snprintf(me->text, sizeof me->text, "%.*s", (int)text.n, text.n ? text.p : "");
    sv->overlay_changed(me->notes);
    return sv->send(ev);
}

static void tell(sv_event *ev, sv_str key, sv_str before, sv_str after, size_t left, void *self)
{
    (void)self;
    sv_session *session = sv->session_next(ev, sv->from(ev), NULL);
    sv_draft *message = sv->draft(ev, SV_STR("message"), SV_STR("jabber:client"));
    sv_draft *difference = sv->child(message, SV_STR("difference"), SV_STR(NS));
    sv->set(difference, SV_STR("key"), key);
    sv->set(difference, SV_STR("before"), before);
    sv->set(difference, SV_STR("after"), after);
    sv->set_int(difference, SV_STR("left"), (int64_t)left);
    sv->push(ev, session, sv->freeze(ev, message));
}

static void differ(sv_event *ev, sv_status status, sv_rows *held, void *self)
{
    (void)held;
    if (status == SV_OK)
        sv->overlay_differences(ev, ((extra *)self)->notes, sv->from(ev)->node, tell);
    sv->pass(ev);
}

static sv_verdict on_reshared(sv_event *ev, void *self)
{
    sv->rows_load(ev, ((extra *)self)->notes, sv->from(ev)->node, differ);
    return SV_LATER;
}

/* --- accounts ------------------------------------------------------------------------------ */

static void got_names(sv_status status, const sv_str *names, size_t count, bool more, void *self)
{
    extra *me = self;
    size_t n = strlen(me->names);
    me->pages++;
    if (status != SV_OK) n += (size_t)snprintf(me->names + n, sizeof me->names - n, "failed ");
    for (size_t i = 0; i < count && n < sizeof me->names; i++)
        n += (size_t)snprintf(me->names + n, sizeof me->names - n, "%.*s ", (int)names[i].n,
                              names[i].p);
    if (more) sv->accounts(me->mod, names[count - 1], 2, got_names);
}

static sv_verdict on_accounts(sv_event *ev, void *self)
{
    extra *me = self;
    if (me->pages == 0) sv->accounts(me->mod, SV_STR_NONE, 2, got_names);
    sv_draft *out = sv->reply(ev, SV_STR("accounts"), SV_STR(NS));
    sv->set_int(out, SV_STR("pages"), me->pages);
    sv->add_text(out, sv_str_of(me->names));
    return sv->send(ev);
}

static sv_status start(sv_mod *mod, void *self)
{
    static const sv_overlay lacking = {.size = sizeof lacking, .source = source, .rows = rows, .changed = "roster/reshared"};
    static const sv_overlay nameless = {
        .size = sizeof nameless, .source = source, .rows = rows, .merge = merge, .changed = "no/such"};
    extra *me = self;
    me->mod = mod;
    sv_status status = sv->store_open(mod, NULL, "notes", 1, &me->notes);
    if (status != SV_OK) return status;
    static const sv_overlay small = {
        .size = offsetof(sv_overlay, changed), .source = source, .rows = rows, .merge = merge, .changed = "roster/reshared"};
    if (sv->store_overlay(mod, me->notes, &lacking) != SV_EINVAL ||
        sv->store_overlay(mod, me->notes, &nameless) != SV_EINVAL || sv->store_overlay(mod, me->notes, &small) != SV_EINVAL)
        return SV_EDENIED;
    sv_overlay passing = overlay; /* it is copied */
    status = sv->store_overlay(mod, me->notes, &passing);
    passing = (sv_overlay){.size = 0};
    if (status == SV_OK && sv->store_overlay(mod, me->notes, &overlay) != SV_EEXIST)
        return SV_EDENIED;
    return status;
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" NS "}list", .call = on_list},
    {.on = "iq-get/host {" NS "}get", .call = on_get},
    {.on = "iq-set/host {" NS "}put", .call = on_put},
    {.on = "iq-set/host {" NS "}add", .call = on_add},
    {.on = "iq-get/host {" NS "}accounts", .call = on_accounts},
    {.on = "roster/reshared", .call = on_reshared},
    {0},
};

SV_MODULE(.name = "extra", .summary = "Rows that are not stored, for tests",
          .self_size = sizeof(extra), .hooks = hooks, .start = start)
