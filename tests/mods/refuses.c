/* Test module: refuses or drops messages that ask for it, or has them wait for rows, at the recipient's side, behind those that come
 * before it. */
#include <stave/module.h>

#define NS_REFUSES "urn:stave:refuses"

typedef struct refuses {
    sv_store *notes; /* nobody writes it */
    int left;        /* of the waits of one that waits for long */
} refuses;

static sv_verdict on_refuse(sv_event *ev, void *self)
{
    (void)self;
    return sv->refuse(ev, SV_POLICY_VIOLATION);
}

static sv_verdict on_drop(sv_event *ev, void *self)
{
    (void)self;
    return sv->drop(ev, "refuses-dropped");
}

/* A fault: what was delivered can't be refused. */
static sv_verdict on_both(sv_event *ev, void *self)
{
    (void)self;
    sv_session *session = sv->session_next(ev, sv->to(ev), NULL);
    if (session) (void)sv->deliver(ev, session);
    return sv->refuse(ev, SV_POLICY_VIOLATION);
}

static void go_on(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)status, (void)rows, (void)self;
    sv->pass(ev);
}

static sv_verdict on_wait(sv_event *ev, void *self)
{
    const refuses *me = self;
    sv->rows_load(ev, me->notes, sv->to(ev)->node, go_on);
    return SV_LATER;
}

/* Outlasts what others do meanwhile. */
static void wait_on(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    refuses *me = self;
    (void)status, (void)rows;
    if (me->left-- > 0)
        sv->rows_load(ev, me->notes, sv->format(ev, "x%d", me->left), wait_on);
    else
        sv->pass(ev);
}

static sv_verdict on_wait_long(sv_event *ev, void *self)
{
    refuses *me = self;
    me->left = 300;
    sv->rows_load(ev, me->notes, sv->to(ev)->node, wait_on);
    return SV_LATER;
}

static sv_status start(sv_mod *mod, void *self)
{
    refuses *me = self;
    return sv->store_open(mod, NULL, "notes", 1, &me->notes);
}

static const sv_hook hooks[] = {
    {.on = "message/account {" NS_REFUSES "}refuse", .call = on_refuse, .after = "archive"},
    {.on = "message/account {" NS_REFUSES "}drop", .call = on_drop, .after = "archive"},
    {.on = "message/account {" NS_REFUSES "}both", .call = on_both, .after = "archive"},
    {.on = "message/account {" NS_REFUSES "}wait-long", .call = on_wait_long, .after = "archive"},
    {.on = "presence/account {" NS_REFUSES "}wait-long", .call = on_wait_long, .band = SV_EARLY},
    {.on = "message/resource {" NS_REFUSES "}wait", .call = on_wait, .after = "archive"},
    {0},
};

SV_MODULE(.name = "refuses", .summary = "Refuses messages on request", .self_size = sizeof(refuses), .hooks = hooks, .start = start)
