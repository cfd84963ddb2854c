/* The way of stanzas: addressing, defaults, the rules of IQ, senders, accounts, admission,
 * order. */
#include "xmpp/xmpp_testing.h"

#define ERROR_OF(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
#define UNAVAILABLE ERROR_OF("service-unavailable")

/* --- handlers that only note where they were asked -------------------------------------------- */

typedef struct trace {
    char text[512];
} trace;

static sv_verdict note(sv_event *ev, void *self)
{
    trace *t = self;
    const size_t n = strlen(t->text);
    snprintf(t->text + n, sizeof t->text - n, "%s@%s ", svi_point_name(svi_event_point_now(ev)),
             svi_host_name(svi_xevent_of(ev)->host));
    return SV_PASS;
}

static void note_all(world *w, trace *t, const char *kind)
{
    static const char *const scopes[] = {"out", "self", "account", "resource", "host", "remote"};
    char name[64];
    on(w, "stanza/inbound", note, t);
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        snprintf(name, sizeof name, "%s/%s", kind, scopes[i]);
        on(w, name, note, t)->text = "noting";
    }
}

#define WENT(t, expected)                                                                          \
    do {                                                                                           \
        assert_string_equal((t)->text, expected);                                                  \
        (t)->text[0] = '\0';                                                                       \
    } while (0)

typedef struct stage_set {
    world *w;
    client *romeo, *juliet, *nurse;
    trace t;
} stage_set;

/* romeo/orchard on example.org; juliet/balcony on example.org; nurse/room on example.net;
 * account "tybalt" is not on line. */
static stage_set *set_up(const char *kind)
{
    stage_set *s = calloc(1, sizeof *s);
    s->w = world_new(NULL);
    if (kind != NULL) {
        note_all(s->w, &s->t, kind);
        svi_handler copy[HANDLERS];
        const size_t count = s->w->handler_count;
        memcpy(copy, s->w->handlers, sizeof copy);
        use_handlers(s->w, s->w->host);
        memcpy(s->w->handlers, copy, sizeof copy);
        s->w->handler_count = count;
        use_handlers(s->w, s->w->other);
    }
    add_account(s->w, s->w->host, "tybalt");
    s->romeo = join(s->w, "romeo", "orchard");
    s->juliet = join(s->w, "juliet", "balcony");
    s->nurse = join_host(s->w, "nurse", "example.net", "room");
    return s;
}

static void tear_down(stage_set **s_)
{
    stage_set *s = *s_;
    *s_ = NULL;
    BALANCED(s->w);
    world_free(&s->w);
    free(s);
}

/* --- scopes ----------------------------------------------------------------------------------- */

static void message_scopes(void **state)
{
    (void)state;
    stage_set *s = set_up("message");
    tell(s->romeo,
         "<message><body>a</body></message>"); /* RFC 6120 10.3.1: as if to the own bare JID */
    WENT(&s->t, "stanza/inbound@example.org message/self@example.org ");
    tell(s->romeo, "<message to='romeo@example.org'/>");
    WENT(&s->t, "stanza/inbound@example.org message/self@example.org ");
    tell(s->romeo, "<message to='romeo@example.org/elsewhere'/>"); /* 10.5.4 */
    WENT(&s->t, "stanza/inbound@example.org message/self@example.org ");
    tell(s->romeo,
         "<message to='ROMEO@Example.org/orchard'/>"); /* prepared before it is compared */
    WENT(&s->t, "stanza/inbound@example.org message/resource@example.org ");
    tell(s->romeo, "<message to='juliet@example.org'/>");
    WENT(&s->t, "stanza/inbound@example.org message/out@example.org message/account@example.org ");
    tell(s->romeo, "<message to='juliet@example.org/attic'/>");
    WENT(&s->t, "stanza/inbound@example.org message/out@example.org message/account@example.org ");
    tell(s->romeo, "<message to='juliet@example.org/balcony'/>");
    WENT(&s->t, "stanza/inbound@example.org message/out@example.org message/resource@example.org ");
    tell(s->romeo, "<message to='tybalt@example.org'/>");
    WENT(&s->t, "stanza/inbound@example.org message/out@example.org message/account@example.org ");
    tell(s->romeo, "<message to='nurse@example.net/room'/>"); /* the recipient's host is asked */
    WENT(&s->t, "stanza/inbound@example.org message/out@example.org message/resource@example.net ");
    tell(s->romeo, "<message to='example.net'/>");
    WENT(&s->t, "stanza/inbound@example.org message/out@example.org message/host@example.net ");
    tell(s->romeo, "<message to='example.org/thing'/>");
    WENT(&s->t, "stanza/inbound@example.org message/out@example.org message/host@example.org ");
    tell(s->romeo, "<message to='x@far.example'/>");
    WENT(&s->t, "stanza/inbound@example.org message/out@example.org message/remote@example.org ");
    tear_down(&s);
}

/* RFC 6121 8.5.3.2.3: an IQ for a resource that is not there is not for the account, so no
 * handler of the account may answer. */
static void iq_scopes(void **state)
{
    (void)state;
    stage_set *s = set_up("iq-get");
    tell(s->romeo, "<iq type='get' id='1'><q xmlns='x:y'/></iq>");
    WENT(&s->t, "stanza/inbound@example.org iq-get/self@example.org ");
    tell(s->romeo, "<iq type='get' id='2' to='juliet@example.org'><q xmlns='x:y'/></iq>");
    WENT(&s->t, "stanza/inbound@example.org iq-get/out@example.org iq-get/account@example.org ");
    tell(s->romeo, "<iq type='get' id='3' to='juliet@example.org/attic'><q xmlns='x:y'/></iq>");
    WENT(&s->t, "stanza/inbound@example.org iq-get/out@example.org ");
    HAS_N(s->romeo, UNAVAILABLE, 3);
    HAS(s->romeo, "from='juliet@example.org/attic'");
    tear_down(&s);
}

/* RFC 6121 8.5.1: where there is no account, none of its handlers is asked, but those who answer for
 * nobody are; an IQ is nobody's. Also behind a handler that changes the recipient. */
static sv_verdict to_nobody(sv_event *ev, void *self)
{
    (void)self;
    const svi_attr_set to = {.name = SV_STR("to"), .value = SV_STR("nobody@example.org")};
    const svi_edit edit = {.attrs = &to, .attr_count = 1};
    svi_server *server = svi_xevent_of(ev)->server;
    sv_stanza *changed = svi_stanza_edit(svi_server_acct(server), svi_server_atoms(server),
                                         svi_event_stanza(ev), &edit);
    svi_x_replace(ev, changed);
    svi_stanza_unref(&changed);
    return SV_PASS;
}

static void nobody_scopes(void **state)
{
    (void)state;
    static const char *const kinds[] = {"message", "presence", "iq-get"};
    static const char *const stanzas[] = {"<message to='nobody@example.org'/>",
                                          "<presence to='nobody@example.org/x'/>",
                                          ("<iq type='get' id='1' to='nobody@example.org'>"
                                           "<q xmlns='x:y'/></iq>")};
    for (size_t i = 0; i < 3; i++) {
        world *w = world_new(NULL);
        trace t = {.text = ""};
        char expected[256];
        note_all(w, &t, kinds[i]);
        if (i < 2) {
            snprintf(expected, sizeof expected, "%s/nobody", kinds[i]);
            on(w, expected, note, &t)->text = "noting";
        }
        use_handlers(w, w->host);
        client *romeo = join(w, "romeo", "orchard");
        tell(romeo, stanzas[i]);
        snprintf(expected, sizeof expected, "stanza/inbound@example.org %s/out@example.org %s%s",
                 kinds[i], i < 2 ? kinds[i] : "", i < 2 ? "/nobody@example.org " : "");
        WENT(&t, expected);
        BALANCED(w);
        world_free(&w);
    }
    world *w = world_new(NULL);
    trace t = {.text = ""};
    on(w, "message/out", to_nobody, NULL);
    on(w, "message/account", note, &t);
    on(w, "message/nobody", note, &t);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    tell(romeo, "<message to='juliet@example.org'/>");
    WENT(&t, "message/nobody@example.org ");
    HAS(romeo, UNAVAILABLE);
    BALANCED(w);
    world_free(&w);
}

/* --- who sent it ------------------------------------------------------------------------------ */

/* Threats U1; RFC 6120 8.1.2.1 rule 1. */
static void forged_sender(void **state)
{
    (void)state;
    stage_set *s = set_up(NULL);
    tell(s->romeo, "<message from='nurse@example.net/room' "
                   "to='juliet@example.org/balcony'><body>x</body></message>");
    HAS(s->juliet, "from='romeo@example.org/orchard'");
    HAS_NOT(s->juliet, "nurse");
    QUIET(s->romeo);
    /* subscription-related presence carries the bare JID */
    forget(s->juliet);
    tell(s->romeo, "<presence to='juliet@example.org/balcony' from='juliet@example.org'/>");
    HAS(s->juliet, "from='romeo@example.org/orchard'");
    tear_down(&s);
}

static sv_verdict keep_from(sv_event *ev, void *self)
{
    const sv_str from = svi_node_attr(svi_stanza_root(svi_event_stanza(ev)), SV_STR("from"));
    snprintf(self, 64, "%.*s", (int)from.n, from.p);
    return SV_PASS;
}

static void subscription_sender_is_bare(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    char from[64] = "";
    on(w, "presence/account", keep_from, from);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    join(w, "juliet", "balcony");
    tell(romeo, "<presence type='subscribe' to='juliet@example.org'/>");
    assert_string_equal(from, "romeo@example.org");
    tell(romeo, "<presence to='juliet@example.org'/>");
    assert_string_equal(from, "romeo@example.org/orchard");
    BALANCED(w);
    world_free(&w);
}

/* --- what it must look like ------------------------------------------------------------------- */

/* Threats U2; RFC 6120 8.3.3.8, and 8.3.1 rule 2: the malformed address is not mirrored. */
static void malformed_recipient(void **state)
{
    (void)state;
    stage_set *s = set_up("message");
    static const char *const bad[] = {"", "@example.org", "a@@example.org", "example.org/",
                                      "a b@example.org"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        snprintf(text, sizeof text, "<message id='m%zu' to='%s'/>", i, bad[i]);
        tell(s->romeo, text);
        HAS(s->romeo, ERROR_OF("jid-malformed"));
        HAS(s->romeo, "from='example.org'");
        HAS(s->romeo, "type='modify'");
        snprintf(text, sizeof text, "id='m%zu'", i);
        HAS(s->romeo, text);
        forget(s->romeo);
    }
    WENT(&s->t, "");                                                    /* before any hook */
    tell(s->romeo, "<message type='error' to='@x'><error/></message>"); /* never answered */
    tell(s->romeo, "<iq type='result' id='r' to='@x'/>"); /* RFC 6120 8.2.3 rule 4: nor this */
    QUIET(s->romeo);
    assert_int_equal(dropped_by(s->w, "refused-not-answered"), 2);
    assert_int_equal(disposed(s->w, SVI_REFUSED), 5);
    tear_down(&s);
}

/* Threats U3; RFC 6120 8.2.3. */
static void iq_rules(void **state)
{
    (void)state;
    stage_set *s = set_up("iq-get");
    static const char *const bad[] = {
        "<iq type='get'><q xmlns='x:y'/></iq>",                       /* no id */
        "<iq type='get' id=''><q xmlns='x:y'/></iq>",                 /* an empty one */
        "<iq id='a'><q xmlns='x:y'/></iq>",                           /* no type */
        "<iq id='a' type='subscribe'><q xmlns='x:y'/></iq>",          /* no such type */
        "<iq id='a' type='get'/>",                                    /* no child */
        "<iq id='a' type='set'>text</iq>",                            /* no child element */
        "<iq id='a' type='get'><q xmlns='x:y'/><q xmlns='x:y'/></iq>" /* two */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tell(s->romeo, bad[i]);
        HAS(s->romeo, ERROR_OF("bad-request"));
        HAS(s->romeo, "id='");
        forget(s->romeo);
    }
    WENT(&s->t, "");
    static const char *const bad_answers[] = {
        "<iq type='result' to='juliet@example.org/balcony'/>",
        "<iq type='result' id='a' to='example.org'><q xmlns='x:y'/><q xmlns='x:y'/></iq>",
        "<iq type='error' id='a' to='juliet@example.org/balcony'><q xmlns='x:y'/></iq>",
        "<iq type='error' to='juliet@example.org/balcony'><error/></iq>"};
    for (size_t i = 0; i < sizeof bad_answers / sizeof *bad_answers; i++)
        tell(s->romeo, bad_answers[i]);
    assert_int_equal(dropped_by(s->w, "iq-malformed"), 4);
    tell(s->romeo, "<iq type='error' id='a' to='juliet@example.org/balcony'><error/></iq>");
    HAS(s->juliet, "type='error'");
    QUIET(s->romeo);
    tear_down(&s);
}

/* RFC 6120 4.9.3.24. */
static void no_stanza_at_all(void **state)
{
    (void)state;
    stage_set *s = set_up(NULL);
    tell(s->romeo, "<message to='juliet@example.org/balcony'/><unknown xmlns='x:y'/><message "
                   "to='juliet@example.org/balcony'/>");
    HAS(s->romeo, "<unsupported-stanza-type xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    HAS(s->romeo, "</stream:stream>");
    HAS(s->juliet, "<message"); /* nothing behind it is looked at */
    assert_int_equal(dropped_by(s->w, "unsupported-stanza-type"), 1);
    cut(s->romeo);
    assert_null(s->romeo->session);
    tear_down(&s);
}

/* --- what nobody claims ----------------------------------------------------------------------- */

static void to_resources(void **state)
{
    (void)state;
    stage_set *s = set_up(NULL);
    tell(s->romeo, "<iq type='get' id='1' to='juliet@example.org/balcony'><q xmlns='x:y'/></iq>"
                   "<iq type='result' id='2' to='juliet@example.org/balcony'/>"
                   "<message type='groupchat' to='juliet@example.org/balcony'/>"
                   "<message type='error' to='juliet@example.org/balcony'><error/></message>"
                   "<presence to='juliet@example.org/balcony'/>"
                   "<presence type='unavailable' to='juliet@example.org/balcony'/>"
                   "<presence type='error' to='juliet@example.org/balcony'><error/></presence>");
    HAS_N(s->juliet, "from='romeo@example.org/orchard'", 7);
    forget(s->juliet);
    /* RFC 6121 8.5.3.1: not what is about subscriptions, nor probes */
    tell(s->romeo, "<presence type='subscribe' to='juliet@example.org/balcony'/>"
                   "<presence type='probe' to='juliet@example.org/balcony'/>");
    QUIET(s->juliet);
    assert_int_equal(dropped_by(s->w, "presence-unclaimed"), 2);
    QUIET(s->romeo);
    assert_int_equal(disposed(s->w, SVI_HANDED_OVER), 7);
    tear_down(&s);
}

static sv_verdict pass(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

/* What is ignored of an account that does not exist is ignored here, too; only one's own server tells that a
 * subscription could not be asked for. */
static void presence_in_quarantine(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    svi_ward out = {.is_closed = false}, in = {.is_closed = true};
    on(w, "presence/out", pass, NULL)->ward = &out;
    on(w, "presence/account", pass, NULL)->ward = &in;
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    (void)join(w, "juliet", "balcony");
    static const char said[] = "<presence id='p' type='subscribe' to='juliet@example.org'/>"
                               "<presence to='juliet@example.org'/>";
    tell(romeo, said);
    QUIET(romeo);
    assert_int_equal(dropped_by(w, "quarantined"), 2);
    out.is_closed = true;
    tell(romeo, said);
    HAS_N(romeo, UNAVAILABLE, 1);
    HAS(romeo, "id='p'");
    assert_int_equal(dropped_by(w, "quarantined"), 3);
    BALANCED(w);
    world_free(&w);
}

/* A default by kind, type and recipient: what the sender gets. */
typedef struct fate {
    const char *stanza;
    const char *error; /* NULL: nothing comes */
    const char *rule;  /* of the drop; NULL: none */
} fate;

static void check_fates(const fate *fates, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        stage_set *s = set_up(NULL);
        const uint64_t answered = disposed(s->w, SVI_ANSWERED) + disposed(s->w, SVI_BOUNCED);
        tell(s->romeo, fates[i].stanza);
        if (fates[i].error != NULL) {
            HAS(s->romeo, fates[i].error);
            HAS(s->romeo, "type='error'");
            assert_int_equal(disposed(s->w, SVI_ANSWERED) + disposed(s->w, SVI_BOUNCED),
                             answered + 1);
        } else {
            if (s->romeo->in.len > 0) print_error("%s\n", fates[i].stanza);
            QUIET(s->romeo);
        }
        if (fates[i].rule != NULL) {
            if (dropped_by(s->w, fates[i].rule) != 1) print_error("%s\n", fates[i].stanza);
            assert_int_equal(dropped_by(s->w, fates[i].rule), 1);
        }
        QUIET(s->juliet);
        tear_down(&s);
    }
}

/* RFC 6120 10.3.3, 10.4.3, 10.5; RFC 6121 8.5.1, 8.5.2, 8.5.3.2. */
static void unclaimed_iq(void **state)
{
    (void)state;
    static const fate fates[] = {
        {"<iq type='set' id='1'><q xmlns='x:y'/></iq>", UNAVAILABLE, NULL},
        {"<iq type='get' id='1' to='romeo@example.org'><q xmlns='x:y'/></iq>", UNAVAILABLE, NULL},
        {"<iq type='get' id='1' to='romeo@example.org/gone'><q xmlns='x:y'/></iq>", UNAVAILABLE,
         NULL},
        {"<iq type='get' id='1' to='juliet@example.org'><q xmlns='x:y'/></iq>", UNAVAILABLE, NULL},
        {"<iq type='get' id='1' to='tybalt@example.org'><q xmlns='x:y'/></iq>", UNAVAILABLE, NULL},
        {"<iq type='get' id='1' to='nobody@example.org'><q xmlns='x:y'/></iq>", UNAVAILABLE, NULL},
        {"<iq type='get' id='1' to='nobody@example.org/x'><q xmlns='x:y'/></iq>", UNAVAILABLE,
         NULL},
        {"<iq type='get' id='1' to='example.org'><q xmlns='x:y'/></iq>", UNAVAILABLE, NULL},
        {"<iq type='set' id='1' to='far.example'><q xmlns='x:y'/></iq>",
         ERROR_OF("remote-server-not-found"), NULL},
        {"<iq type='result' id='1'/>", NULL, "answer-unclaimed"},
        {"<iq type='result' id='1' to='juliet@example.org'/>", NULL, "answer-unclaimed"},
        {"<iq type='result' id='1' to='juliet@example.org/gone'/>", NULL, "answer-unclaimed"},
        {"<iq type='error' id='1' to='nobody@example.org'><error/></iq>", NULL, "answer-unclaimed"},
        {"<iq type='error' id='1' to='example.org'><error/></iq>", NULL, "answer-unclaimed"},
        {"<iq type='result' id='1' to='far.example'/>", NULL, "answer-unclaimed"},
    };
    check_fates(fates, sizeof fates / sizeof *fates);
}

static void unclaimed_message(void **state)
{
    (void)state;
    static const fate fates[] = {
        {"<message to='juliet@example.org'/>", UNAVAILABLE, NULL},
        {"<message to='tybalt@example.org' type='chat'/>", UNAVAILABLE, NULL},
        {"<message to='tybalt@example.org/gone' type='chat'/>", UNAVAILABLE, NULL},
        {"<message to='tybalt@example.org' type='groupchat'/>", UNAVAILABLE, NULL},
        {"<message to='tybalt@example.org' type='odd'/>", UNAVAILABLE, NULL},
        {"<message to='tybalt@example.org' type='headline'/>", NULL, "headline-unclaimed"},
        {"<message to='tybalt@example.org' type='error'><error/></message>", NULL,
         "error-unclaimed"},
        {"<message to='nobody@example.org'/>", UNAVAILABLE, NULL},
        {"<message to='nobody@example.org' type='headline'/>", NULL, "headline-unclaimed"},
        {"<message to='nobody@example.org' type='error'><error/></message>", NULL,
         "error-unclaimed"},
        {"<message/>", UNAVAILABLE, NULL},
        {"<message to='example.org'/>", UNAVAILABLE, NULL},
        {"<message to='example.org' type='error'><error/></message>", NULL, "error-unclaimed"},
        {"<message to='a@far.example'/>", ERROR_OF("remote-server-not-found"), NULL},
        {"<message to='a@far.example' type='headline'/>", ERROR_OF("remote-server-not-found"),
         NULL},
        {"<message to='a@far.example' type='error'><error/></message>", NULL, "error-unclaimed"},
    };
    check_fates(fates, sizeof fates / sizeof *fates);
}

static void unclaimed_presence(void **state)
{
    (void)state;
    static const fate fates[] = {
        {"<presence/>", NULL, "presence-unclaimed"},
        {"<presence to='juliet@example.org'/>", NULL, "presence-unclaimed"},
        {"<presence to='tybalt@example.org' type='subscribe'/>", NULL, "presence-unclaimed"},
        {"<presence to='nobody@example.org'/>", NULL, "presence-to-nobody"},
        {"<presence to='nobody@example.org' type='subscribe'/>", NULL, "presence-to-nobody"},
        {"<presence to='nobody@example.org' type='probe'/>", NULL, "presence-to-nobody"},
        {"<presence to='example.org'/>", NULL, "presence-unclaimed"},
        {"<presence to='a@far.example' type='subscribe'/>", ERROR_OF("remote-server-not-found"),
         NULL},
        {"<presence to='a@far.example' type='error'><error/></presence>", NULL,
         "presence-unclaimed"},
    };
    check_fates(fates, sizeof fates / sizeof *fates);
}

/* RFC 6120 8.3.1: same kind, same id, addresses swapped, and an `error` of the recommended type. */
static void shape_of_errors(void **state)
{
    (void)state;
    stage_set *s = set_up(NULL);
    tell(s->romeo, "<message id='m&amp;1' to='tybalt@example.org/hall' "
                   "type='chat'><body>secret</body></message>");
    HAS(s->romeo,
        "<message to='romeo@example.org/orchard' type='error' id='m&amp;1' "
        "from='tybalt@example.org/hall'><error type='cancel'>" UNAVAILABLE "</error></message>");
    forget(s->romeo);
    tell(s->romeo, "<message to='tybalt@example.org'/>"); /* no id, none made up */
    HAS_NOT(s->romeo, "id=");
    forget(s->romeo);
    tell(
        s->romeo,
        "<iq type='get' id='q'><q xmlns='x:y'/></iq>"); /* for the own account: no from (8.1.2.1) */
    HAS(s->romeo, "<iq to='romeo@example.org/orchard' type='error' id='q'>");
    tear_down(&s);
}

/* --- accounts that must be looked up ---------------------------------------------------------- */

static void accounts_are_looked_up_in_order(void **state)
{
    (void)state;
    trace t = {""};
    world *w = world_new(NULL);
    add_account(w, w->host, "tybalt");
    settle(w);
    on(w, "message/account", note, &t);
    on(w, "iq-set/account", note, &t);
    on(w, "message/resource", note, &t);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    svi_engine_sim_plan(w->engine)->hold = true;
    tell(romeo, "<message id='m1' to='tybalt@example.org'/>"
                "<iq type='set' id='i2' to='tybalt@example.org'><q xmlns='x:y'/></iq>"
                "<message id='m3' to='nobody@example.org'/>"
                "<message id='m4' to='juliet@example.org/balcony'/>");
    HAS(juliet, "id='m4'"); /* other lanes go on */
    QUIET(romeo);
    /* he comes on line before the disk has answered: what is behind the look-up stays behind it */
    client *tybalt = join(w, "tybalt", "hall");
    tell(romeo, "<message id='m5' to='tybalt@example.org/hall'/>");
    QUIET(tybalt);
    t.text[0] = '\0';
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 100);
    settle(w);
    assert_string_equal(t.text, "message/account@example.org iq-set/account@example.org "
                                "message/resource@example.org ");
    HAS(tybalt, "id='m5'");
    HAS_N(romeo, UNAVAILABLE, 3);
    BALANCED(w);
    world_free(&w);
}

/* The disk fails: neither "exists" nor "does not" is known. */
static void account_look_up_fails(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *romeo = join(w, "romeo", "orchard");
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    tell(romeo, "<message id='m1' to='tybalt@example.org'/>");
    HAS(romeo, ERROR_OF("internal-server-error"));
    LOGGED("store-read-failed");
    BALANCED(w);
    world_free(&w);
}

static void sender_leaves_during_look_up(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *romeo = join(w, "romeo", "orchard");
    svi_engine_sim_plan(w->engine)->hold = true;
    tell(romeo, "<message id='m1' to='tybalt@example.org'/>");
    cut(romeo);
    assert_null(romeo->session);
    client *again = join(w, "romeo", "orchard"); /* the same address, but somebody else's answer */
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 100);
    settle(w);
    QUIET(again);
    assert_int_equal(dropped_by(w, "session-gone"), 1);
    BALANCED(w);
    world_free(&w);
}

static void stopped_during_look_up(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *romeo = join(w, "romeo", "orchard");
    svi_engine_sim_plan(w->engine)->hold = true;
    tell(romeo,
         "<message id='m1' to='tybalt@example.org'/><message id='m2' to='tybalt@example.org'/>");
    world_free(&w); /* asserts that the ledger balances and nothing leaks */
}

/* --- admission -------------------------------------------------------------------------------- */

static sv_verdict store_it(sv_event *ev, void *self)
{
    ++*(int *)self;
    return svi_x_stored(ev);
}

/* Architecture 8: below the watermark, what stores is refused before any hook runs. */
static void shortage(void **state)
{
    (void)state;
    int stored = 0;
    trace t = {""};
    world *w = world_new(NULL);
    on(w, "stanza/inbound", note, &t);
    on(w, "message/account", store_it, &stored)->stores = true;
    on(w, "presence/account", store_it, &stored)->stores = true;
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = join(w, "juliet", "balcony");
    svi_engine_sim_plan(w->engine)->full = true;
    pass_time(w, 5000000);
    tell(romeo, "<message to='juliet@example.org'/>");
    HAS(romeo, ERROR_OF("resource-constraint"));
    HAS(romeo, "type='wait'");
    assert_int_equal(stored, 0);
    assert_string_equal(t.text, "");
    tell(romeo, "<presence type='subscribe' to='juliet@example.org'/>");
    HAS_N(romeo, ERROR_OF("resource-constraint"), 2);
    tell(romeo,
         "<message to='juliet@example.org/balcony'><body>1</body></message>"); /* stores nothing */
    HAS(juliet, "<body>1</body>");
    tell(romeo, "<presence to='juliet@example.org'/>"); /* availability is volatile */
    assert_int_equal(stored, 1);
    svi_engine_sim_plan(w->engine)->full = false;
    pass_time(w, 5000000);
    tell(romeo, "<message to='juliet@example.org'/>");
    assert_int_equal(stored, 2);
    BALANCED(w);
    world_free(&w);
}

/* --- made here -------------------------------------------------------------------------------- */

static void route_text(world *w, const char *text)
{
    sv_stanza *stanza;
    sv_err err;
    svi_server *server = w->server;
    assert_int_equal(svi_stanza_parse(&w->acct, svi_server_atoms(server), sv_str_of(text),
                                      SV_STR(SVI_NS_CLIENT), &stanza, &err),
                     SV_OK);
    const uint64_t entry =
        svi_ledger_open(svi_server_ledger(server), SVI_MADE_PUSH, svi_host_ledger(w->host));
    svi_route(server, w->host, stanza, entry);
    svi_stanza_unref(&stanza);
    settle(w);
}

static void routed_stanzas(void **state)
{
    (void)state;
    stage_set *s = set_up("message");
    route_text(
        s->w,
        "<message from='example.org' to='juliet@example.org/balcony'><body>news</body></message>");
    WENT(&s->t, "message/resource@example.org "); /* only the recipient's side */
    HAS(s->juliet, "<body>news</body>");
    route_text(s->w, "<message from='example.org' to='nurse@example.net'/>");
    /* its error goes back through the hooks of its sender, and is not answered in its turn */
    WENT(&s->t, "message/account@example.net message/host@example.org ");
    assert_int_equal(dropped_by(s->w, "error-unclaimed"), 1);
    /* an answer to a bare JID finds the account, not a session */
    route_text(s->w, "<iq type='get' id='p' from='romeo@example.org' "
                     "to='juliet@example.org/gone'><q xmlns='x:y'/></iq>");
    assert_int_equal(dropped_by(s->w, "answer-unclaimed"), 1);
    /* a request of a session's, made here: the answer goes to it */
    route_text(s->w, "<iq type='get' id='p' from='romeo@example.org/orchard' "
                     "to='juliet@example.org'><q xmlns='x:y'/></iq>");
    HAS(s->romeo, UNAVAILABLE);
    route_text(s->w, "<message to='@@'/>");
    route_text(s->w, "<message/>");
    route_text(s->w, "<message from='@@' to='juliet@example.org'/>");
    assert_int_equal(dropped_by(s->w, "route-malformed"), 3);
    route_text(s->w, "<message from='a@example.org/b' to='nobody@example.net'/>");
    route_text(s->w, "<presence from='a@example.org/b' to='nobody@example.net'/>");
    assert_int_equal(dropped_by(s->w, "presence-to-nobody"), 1);
    tear_down(&s);
}

/* --- errors about errors ---------------------------------------------------------------------- */

/* A handler that refuses whatever it is asked, as a full queue or a block would. */
static sv_verdict refuse_all(sv_event *ev, void *self)
{
    (void)self;
    return svi_x_refuse(ev, SV_SERVICE_UNAVAILABLE, SV_STR_NONE);
}

/* Threats U3, RFC 6120 8.3.1 rule 8: whatever refuses an error, wherever, makes no answer; so an error
 * makes none however often it is sent to and fro. */
static void errors_never_breed(void **state)
{
    (void)state;
    static const char *const points[] = {"stanza/inbound", "message/out",      "message/account",
                                         "message/resource", "message/remote", "message/nobody",
                                         "message/host",   "message/self"};
    static const char *const to[] = {"juliet@example.org",  "juliet@example.org/balcony",
                                     "tybalt@example.org",  "nobody@example.org",
                                     "nobody@example.org/x", "far.example", "example.org", ""};
    for (size_t p = 0; p <= sizeof points / sizeof *points; p++) {
        stage_set *s = set_up(NULL);
        if (p < sizeof points / sizeof *points) {
            on(s->w, points[p], refuse_all, NULL);
            use_handlers(s->w, s->w->host);
        }
        for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
            char text[256];
            snprintf(text, sizeof text,
                     "<message type='error' id='x'%s%s%s><error type='cancel'/></message>",
                     *to[i] ? " to='" : "", to[i], *to[i] ? "'" : "");
            tell(s->romeo, text);
            QUIET(s->romeo);
        }
        assert_int_equal(made(s->w, SVI_MADE_ANSWER), 0);
        tear_down(&s);
    }
    /* one that waited until its deadline is as mute */
    stage_set *s = set_up(NULL);
    waiters all = {.count = 0};
    on(s->w, "message/account", wait_for_test, &all);
    use_handlers(s->w, s->w->host);
    tell(s->romeo, "<message type='error' to='juliet@example.org'><error type='cancel'/></message>");
    pass_time(s->w, 61 * INT64_C(1000000));
    QUIET(s->romeo);
    assert_int_equal(dropped_by(s->w, "timeout"), 1);
    assert_int_equal(made(s->w, SVI_MADE_ANSWER), 0);
    let_all_go(&all);
    tear_down(&s);
}

/* Two clients that return everything: each error crosses once, nothing is added, and when one leaves it
 * is over. The same for an error whose recipient was replaced by its own sender. */
static void two_faulty_clients(void **state)
{
    (void)state;
    stage_set *s = set_up(NULL);
    static const char to_juliet[] = "<message type='error' to='juliet@example.org/balcony' id='x'>"
                                    "<error type='cancel'/></message>";
    static const char to_romeo[] = "<message type='error' to='romeo@example.org/orchard' id='x'>"
                                   "<error type='cancel'/></message>";
    for (int i = 0; i < 100; i++) {
        tell(s->romeo, to_juliet);
        HAS_N(s->juliet, "<error type='cancel'/>", 1);
        forget(s->juliet);
        tell(s->juliet, to_romeo);
        HAS_N(s->romeo, "<error type='cancel'/>", 1);
        forget(s->romeo);
    }
    assert_int_equal(made(s->w, SVI_MADE_ANSWER), 0);
    assert_int_equal(disposed(s->w, SVI_HANDED_OVER), 200);
    go_deaf(s->juliet); /* one on its way to her when she breaks does not come back */
    tell(s->romeo, to_juliet);
    cut(s->juliet);
    tell(s->romeo, to_juliet);
    QUIET(s->romeo);
    assert_int_equal(made(s->w, SVI_MADE_ANSWER), 0);
    tear_down(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_scopes),
        cmocka_unit_test(iq_scopes),
        cmocka_unit_test(nobody_scopes),
        cmocka_unit_test(errors_never_breed),
        cmocka_unit_test(two_faulty_clients),
        cmocka_unit_test(forged_sender),
        cmocka_unit_test(subscription_sender_is_bare),
        cmocka_unit_test(presence_in_quarantine),
        cmocka_unit_test(malformed_recipient),
        cmocka_unit_test(iq_rules),
        cmocka_unit_test(no_stanza_at_all),
        cmocka_unit_test(to_resources),
        cmocka_unit_test(unclaimed_iq),
        cmocka_unit_test(unclaimed_message),
        cmocka_unit_test(unclaimed_presence),
        cmocka_unit_test(shape_of_errors),
        cmocka_unit_test(accounts_are_looked_up_in_order),
        cmocka_unit_test(account_look_up_fails),
        cmocka_unit_test(sender_leaves_during_look_up),
        cmocka_unit_test(stopped_during_look_up),
        cmocka_unit_test(shortage),
        cmocka_unit_test(routed_stanzas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
