/* Counts messages by sender in a row, which is read and written before others wait; `id` says what else happens:
 * "wait" reads rows of the recipient before it goes on. */
#include <stave/module.h>

typedef struct again {
    sv_mod *mod;
    sv_store *notes; /* localpart -> what -> text */
} again;

static bool is_id(const sv_event *ev, const char *id)
{
    return sv_str_eq(sv->attr(sv->root(ev), SV_STR("id")), sv_str_of(id));
}

/* One more than the row says, with how it came to that. */
static void count(sv_event *ev, const again *me, const sv_rows *rows, const char *how)
{
    sv_str value = SV_STR_NONE;
    (void)sv->row(rows, SV_STR("count"), &value);
    const int number = value.n ? value.p[0] - '0' : 0;
    (void)sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("count"), sv->format(ev, "%d %s", number + 1, how));
}

static void count_again(sv_event *ev, void *ctx, void *self)
{
    const again *me = self;
    const sv_str *how = ctx;
    sv_rows *rows = sv->rows(ev, me->notes, sv->from(ev)->node);
    if (rows) count(ev, me, rows, sv->format(ev, "%.*s%c", (int)how->n, how->p, 0).p);
    sv->fire(ev, "account/added", sv->from(ev), *how);
}

static void count_rows(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    const again *me = self;
    if (status == SV_OK) count(ev, me, rows, "at once");
    sv_str *how = sv->scratch(ev, sizeof *how);
    *how = SV_STR("again");
    sv->after_wait(me->mod, ev, count_again, how);
    sv->pass(ev);
}

static sv_verdict on_out(sv_event *ev, void *self)
{
    const again *me = self;
    sv->rows_load(ev, me->notes, sv->from(ev)->node, count_rows);
    return SV_LATER;
}

static void go_on(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)status, (void)rows, (void)self;
    sv->pass(ev);
}

static sv_verdict on_account(sv_event *ev, void *self)
{
    const again *me = self;
    if (!is_id(ev, "wait")) return SV_PASS;
    sv->rows_load(ev, me->notes, sv->to(ev)->node, go_on);
    return SV_LATER;
}

static sv_verdict on_removing(sv_event *ev, void *self)
{
    const again *me = self;
    sv->rows_load(ev, me->notes, sv->from(ev)->node, go_on);
    return SV_LATER;
}

/* A part of another event can't wait. */
static sv_verdict on_added(sv_event *ev, void *self)
{
    const again *me = self;
    (void)sv->put(ev, me->notes, sv->from(ev)->node, SV_STR("heard at"), sv->host(me->mod));
    sv->after_wait(me->mod, ev, count_again, NULL);
    return SV_PASS;
}

static sv_status start(sv_mod *mod, void *self)
{
    again *me = self;
    me->mod = mod;
    return sv->store_open(mod, NULL, "notes", 1, &me->notes);
}

static const sv_hook hooks[] = {
    {.on = "message/out", .call = on_out, .flags = SV_HOOK_STORES},
    {.on = "message/account", .call = on_account, .band = SV_EARLY},
    {.on = "presence/account", .call = on_account, .band = SV_EARLY},
    {.on = "account/removing", .call = on_removing, .band = SV_LATE},
    {.on = "account/added", .call = on_added},
    {0},
};

SV_MODULE(.name = "again", .summary = "Counts", .self_size = sizeof(again), .hooks = hooks, .start = start)
