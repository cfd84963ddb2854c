/* Tells of the sessions it hears of: for tests of modules that are enabled, changed and removed while sessions are bound. */
#include <stave/module.h>

#define NS "urn:stave:hello"

typedef struct hello {
    sv_mod *mod;
    sv_str word;  /* option */
    bool refuses; /* option: does not start */
} hello;

static void tell(const hello *me, sv_event *ev, const char *event)
{
    sv->log(me->mod, SV_INFO, event, "jid",
            sv->format(ev, "%.*s", (int)sv->from(ev)->full.n, sv->from(ev)->full.p).p, NULL);
}

static sv_verdict on_bound(sv_event *ev, void *self)
{
    tell(self, ev, "hello-bound");
    return SV_PASS;
}

static sv_verdict on_presence(sv_event *ev, void *self)
{
    tell(self, ev, "hello-presence");
    return SV_PASS;
}

static sv_verdict on_gone(sv_event *ev, void *self)
{
    tell(self, ev, "hello-gone");
    return SV_PASS;
}

/* How often the session has asked, by all generations. */
static sv_verdict on_ask(sv_event *ev, void *self)
{
    const hello *me = self;
    if (!sv_str_eq(sv->from(ev)->domain, sv->host(me->mod))) return sv->refuse(ev, SV_FORBIDDEN);
    int64_t *times = sv->session_data(me->mod, sv->session(ev), sizeof *times);
    ++*times;
    sv_draft *out = sv->reply(ev, SV_STR("ask"), SV_STR(NS));
    sv->set(out, SV_STR("word"), me->word);
    sv->set_int(out, SV_STR("times"), *times);
    return sv->send(ev);
}

static void round_over(void *self)
{
    sv->log(((hello *)self)->mod, SV_INFO, "hello-round", NULL);
}

static sv_status start(sv_mod *mod, void *self)
{
    hello *me = self;
    me->mod = mod;
    return me->refuses ? SV_EINVAL : sv->every(mod, 1000, round_over);
}

static const sv_hook hooks[] = {{.on = "session/bound", .call = on_bound},
                                {.on = "session/presence", .call = on_presence},
                                {.on = "session/gone", .call = on_gone},
                                {.on = "iq-get/host {" NS "}ask", .call = on_ask},
                                {0}};

static const sv_option options[] = {
    SV_OPT_STRING(hello, word, "hello_word", "hello", "What it says."),
    SV_OPT_BOOL(hello, refuses, "hello_refuses", "false", "Does not start."),
    {0}};

SV_MODULE(.name = "hello", .summary = "Tells of sessions", .features = NS,
          .self_size = sizeof(hello), .hooks = hooks, .options = options, .start = start)
