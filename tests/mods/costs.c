/* Spends what a test can count: each line "costs-..." of the log moves the test's clock. */
#include <stave/module.h>

#define NS "urn:stave:costs"

enum { ASKED, LEVEL };

typedef struct costs {
    sv_mod *mod;
    sv_store *notes;
    int64_t unused; /* an option that makes another generation */
} costs;

static void spend(const costs *me, const char *event)
{
    sv->log(me->mod, SV_INFO, event, NULL);
}

static sv_verdict on_work(sv_event *ev, void *self)
{
    costs *me = self;
    spend(me, "costs-work");
    sv->metric_add(me->mod, ASKED, 1);
    sv->metric_set(me->mod, LEVEL, -5);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static void loaded(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    (void)status;
    (void)rows;
    spend(self, "costs-back");
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    (void)sv->send(ev);
}

/* Two puts, one of them refused, a delete, a read, a load. */
static sv_verdict on_store(sv_event *ev, void *self)
{
    costs *me = self;
    static char big[1 << 21];
    (void)sv->put(ev, me->notes, SV_STR("romeo"), SV_STR("key"), SV_STR("value"));
    (void)sv->put(ev, me->notes, SV_STR("romeo"), SV_STR("big"), (sv_str){big, sizeof big});
    (void)sv->del(ev, me->notes, SV_STR("romeo"), SV_STR("none"));
    (void)sv->rows(ev, me->notes, SV_STR("romeo"));
    sv->rows_load(ev, me->notes, SV_STR("romeo"), loaded);
    return SV_LATER;
}

static sv_verdict on_memory(sv_event *ev, void *self)
{
    costs *me = self;
    (void)sv->session_data(me->mod, sv->session(ev), 100000);
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static sv_verdict on_wrong(sv_event *ev, void *self)
{
    costs *me = self;
    sv->metric_add(me->mod, ASKED, -1);
    sv->metric_set(me->mod, ASKED, 1000);
    sv->metric_add(me->mod, 2, 1);
    sv->metric_add(me->mod, LEVEL, -2); /* a gauge may fall */
    (void)sv->reply(ev, SV_STR_NONE, SV_STR_NONE);
    return sv->send(ev);
}

static sv_verdict on_command(sv_event *ev, void *self)
{
    spend(self, "costs-work");
    return sv->answer(ev);
}

static void on_timer(void *self)
{
    spend(self, "costs-timer");
}

static sv_status start(sv_mod *mod, void *self)
{
    costs *me = self;
    me->mod = mod;
    spend(me, "costs-start");
    const sv_status status = sv->store_open(mod, NULL, "notes", 1, &me->notes);
    return status == SV_OK ? sv->every(mod, 1000, on_timer) : status;
}

static const sv_hook hooks[] = {{.on = "iq-get/host {" NS "}work", .call = on_work},
                                {.on = "iq-set/host {" NS "}store", .call = on_store, .flags = SV_HOOK_STORES},
                                {.on = "iq-get/host {" NS "}memory", .call = on_memory},
                                {.on = "iq-get/host {" NS "}wrong", .call = on_wrong},
                                {0}};

static const sv_option options[] = {
    SV_OPT_INT(costs, unused, "costs_unused", "0", "0", "9", "Nothing."), {0}};

static const sv_command commands[] = {
    {.name = "costs work", .summary = "works", .run = on_command}, {0}};

static const sv_metric metrics[] = {
    [ASKED] = {"costs_asked", SV_METRIC_COUNTER, "Requests for work that were answered."},
    [LEVEL] = {"costs_level", SV_METRIC_GAUGE, "Nothing but a number."},
    {0}};

SV_MODULE(.name = "costs", .summary = "spends time and room", .self_size = sizeof(costs),
          .hooks = hooks, .options = options, .commands = commands, .metrics = metrics, .start = start)
