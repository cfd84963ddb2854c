/* Tests of what is taken off a stanza (threats, conclusion 6, U4, M3): what it is, whoever looks at the
 * stanza, and that nothing else is touched. */
#include "xmpp/xmpp_testing.h"

#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_sanitise.h"

/* One child, from which sender, in what. */
typedef struct probe {
    const char *child;
    bool goes_from_client, goes_from_peer;
} probe;

#define STAMP " stamp='2026-01-01T00:00:00Z'/>"
#define DELAY(from) "<delay xmlns='urn:xmpp:delay' from='" from "'" STAMP
#define OLD_DELAY(from) "<x xmlns='jabber:x:delay' from='" from "' stamp='20260101T00:00:00'/>"
#define SID(by) "<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='" by "'/>"
#define MUC(inside) "<x xmlns='http://jabber.org/protocol/muc#user'>" inside "</x>"

static const probe in_messages[] = {
    /* XEP-0203 5: a delay noted by us, however the address is written; by an account that is not the
     * sender's */
    {DELAY("example.org"), true, true},
    {DELAY("EXAMPLE.org"), true, true},
    {DELAY("example.org."), true, true},
    {DELAY("example.net"), true, true}, /* another host of ours */
    {DELAY("example.org/x"), true, true},
    {DELAY("juliet@example.org"), true, true},
    {DELAY("juliet@example.org/balcony"), true, true},
    {OLD_DELAY("example.org"), true, true},
    /* ... a sender may be late by itself; and what others note is theirs */
    {DELAY("romeo@example.org"), false, false},
    {DELAY("Romeo@example.org/orchard"), false, false},
    {DELAY("far.example"), false, false},
    {DELAY("room@far.example/nick"), false, false},
    {DELAY(""), false, false},
    {DELAY("@@"), false, false},
    {"<delay xmlns='urn:xmpp:delay'" STAMP, false, false},
    {"<delay xmlns='urn:example:delay' from='example.org'/>", false, false},
    {"<stamp xmlns='urn:xmpp:delay' from='example.org'/>", false, false},
    {OLD_DELAY("far.example"), false, false},
    /* XEP-0359 3 rule 2, and rule 3: no other element of that namespace */
    {SID("juliet@example.org"), true, true},
    {SID("JULIET@Example.ORG"), true, true},
    {SID("romeo@example.org"), true, true}, /* the sender's own archive is ours too */
    {SID("example.org"), true, true},
    {SID("room@example.net"), true, true},
    {SID("room@far.example"), false, false},
    {"<origin-id xmlns='urn:xmpp:sid:0' id='1'/>", false, false},
    {"<referenced-stanza xmlns='urn:xmpp:sid:0' id='1' by='juliet@example.org'/>", false, false},
    {"<archived xmlns='urn:xmpp:mam:tmp' id='1' by='juliet@example.org'/>", true, true},
    {"<archived xmlns='urn:xmpp:mam:tmp' id='1' by='juliet@far.example'/>", false, false},
    /* what only rooms and archives say */
    {"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='1'/>", true, false},
    {"<result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'/></result>", true,
     false},
    {MUC("<item affiliation='owner' role='moderator'/>"), true, false},
    {MUC("<status code='110'/>"), true, false},
    {MUC("<invite from='juliet@example.org'/>"), true, false},
    {MUC("<invite to='a@example.org'/><password>x</password>"), true, false},
    {MUC("<decline from='juliet@example.org'/>"), true, false},
    {MUC("<destroy jid='r@example.org'/>"), true, false},
    /* XEP-0045 7.5, 7.8.2 */
    {MUC(""), false, false},
    {MUC("<invite to='juliet@example.org'><reason>x</reason></invite>"), false, false},
    {MUC("<decline to='juliet@example.org'/>"), false, false},
    {"<x xmlns='http://jabber.org/protocol/muc'/>", false, false},
    /* XEP-0280 11: carbons come from nobody but the own server */
    {"<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></sent>", true, true},
    {"<received xmlns='urn:xmpp:carbons:2'/>", true, true},
    {"<private xmlns='urn:xmpp:carbons:2'/>", false, false},
    /* XEP-0297: anybody may forward, and what is inside is only told */
    {"<forwarded xmlns='urn:xmpp:forward:0'>" DELAY("example.org") "</forwarded>", false, false},
    {"<body>x</body>", false, false},
};

static const probe in_presence[] = {
    {DELAY("example.org"), true, true},
    {MUC("<item affiliation='owner' role='moderator'/>"), true, false},
    {MUC(""), true, false},
    {MUC("<invite to='juliet@example.org'/>"), true, false},
    {"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='1'/>", true, false},
    {"<x xmlns='http://jabber.org/protocol/muc'/>", false, false},
};

static sv_stanza *parse(world *w, const char *xml)
{
    sv_stanza *stanza = NULL;
    assert_int_equal(svi_stanza_parse(&w->acct, svi_server_atoms(w->server), sv_str_of(xml),
                                      SV_STR("jabber:client"), &stanza, NULL),
                     SV_OK);
    return stanza;
}

static void check(world *w, const char *name, const probe *p, svi_sender sender)
{
    char text[512];
    snprintf(text, sizeof text, "<%s>text%s<body>last</body></%s>", name, p->child, name);
    sv_stanza *stanza = parse(w, text);
    sv_jid from;
    svi_arena *arena = w->server->scratch;
    const svi_mark mark = svi_arena_mark(arena);
    assert_int_equal(svi_jid_parse(arena, SV_STR("romeo@example.org/orchard"), &from), SV_OK);
    if (sender == SVI_SENDER_PEER)
        assert_int_equal(svi_jid_parse(arena, SV_STR("romeo@far.example/orchard"), &from), SV_OK);
    const size_t *strip;
    const size_t count = svi_sanitise_find(w->server, sender, &from, stanza, arena, &strip);
    const bool goes = sender == SVI_SENDER_PEER ? p->goes_from_peer : p->goes_from_client;
    if (count != goes) fail_msg("%s, sender %d: %zu taken off", text, (int)sender, count);
    if (count == 1) assert_int_equal(strip[0], 1); /* behind the text */
    svi_arena_reset(arena, mark);
    svi_stanza_unref(&stanza);
}

/* Each claim by a client and by another server's sender. A peer that speaks in the name of one of ours
 * is no `own account`: what a client may say of itself nobody elsewhere may say of it. */
static void what_goes(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    for (size_t i = 0; i < sizeof in_messages / sizeof *in_messages; i++) {
        const probe *p = &in_messages[i];
        check(w, "message", p, SVI_SENDER_CLIENT);
        probe peer = *p;
        if (strstr(p->child, "romeo@example.org") || strstr(p->child, "Romeo@example.org"))
            peer.goes_from_peer = true;
        check(w, "message", &peer, SVI_SENDER_PEER);
    }
    for (size_t i = 0; i < sizeof in_presence / sizeof *in_presence; i++) {
        check(w, "presence", &in_presence[i], SVI_SENDER_CLIENT);
        check(w, "presence", &in_presence[i], SVI_SENDER_PEER);
    }
    /* the payload of an IQ is the request itself */
    const probe iq = {DELAY("example.org"), false, false};
    check(w, "iq", &iq, SVI_SENDER_CLIENT);
    world_free(&w);
}

/* --- who sees it ------------------------------------------------------------------------------ */

typedef struct sight {
    unsigned seen, forged;
    const sv_stanza *stanza;
} sight;

static sv_verdict look_at(sv_event *ev, void *self)
{
    sight *s = self;
    const sv_node *root = svi_stanza_root(svi_event_stanza(ev));
    s->seen++;
    s->stanza = svi_event_stanza(ev);
    if (svi_node_find(root, SV_STR("delay"), SV_STR("urn:xmpp:delay")) != NULL) s->forged++;
    if (svi_node_find(root, SV_STR("stanza-id"), SV_STR("urn:xmpp:sid:0")) != NULL) s->forged++;
    return SV_PASS;
}

/* Every handler and the recipient have the stanza without the marks, and with all the rest in its
 * order; several go at once. */
static void nobody_sees_it(void **state)
{
    (void)state;
    static const char *const points[] = {"stanza/inbound", "message/out", "message/resource",
                                         "presence/out", "presence/resource"};
    world *w = world_new(NULL);
    sight s = {.seen = 0};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) on(w, points[i], look_at, &s);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard"), *juliet = join(w, "juliet", "balcony");
    tell(romeo, "<message to='juliet@example.org/balcony' id='m'>" SID("juliet@example.org")
                    "<body>one</body>" DELAY("example.org") "<thread>two</thread>"
                    SID("romeo@example.org") "</message>");
    assert_int_equal(s.seen, 3);
    HAS(juliet, "<body>one</body><thread>two</thread></message>");
    HAS_NOT(juliet, "stanza-id");
    HAS_NOT(juliet, "delay");
    HAS(juliet, "id='m'");
    tell(romeo, "<presence to='juliet@example.org/balcony'>" DELAY("example.org")
                "<status>x</status></presence>");
    HAS(juliet, "<status>x</status></presence>");
    HAS_NOT(juliet, "delay");
    assert_int_equal(s.seen, 6);
    assert_int_equal(s.forged, 0);
    /* a request is left as it is: without its payload it would be none */
    tell(romeo, "<iq type='set' id='i' to='juliet@example.org/balcony'>" DELAY("example.org")
                "</iq>");
    HAS(juliet, "<delay ");
    QUIET(romeo);
    BALANCED(w);
    world_free(&w);
}

/* What needs no change is passed on itself, not a copy. */
static void what_is_fine_is_not_copied(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    sight s = {.seen = 0};
    on(w, "stanza/inbound", look_at, &s);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    join(w, "juliet", "balcony");
    sv_stanza *fine = parse(w, "<message from='romeo@example.org/orchard' "
                               "to='juliet@example.org/balcony'><body>x</body>"
                               DELAY("romeo@example.org") "</message>");
    svi_inbound(romeo->session, svi_stanza_ref(fine), 0);
    settle(w);
    assert_int_equal(s.seen, 1);
    assert_ptr_equal(s.stanza, fine);
    sv_stanza *forged = parse(w, "<message from='romeo@example.org/orchard' "
                                 "to='juliet@example.org/balcony'><body>x</body>"
                                 DELAY("example.org") "</message>");
    svi_inbound(romeo->session, svi_stanza_ref(forged), 0);
    settle(w);
    assert_int_equal(s.seen, 2);
    assert_ptr_not_equal(s.stanza, forged);
    svi_stanza_unref(&fine);
    svi_stanza_unref(&forged);
    BALANCED(w);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes),
        cmocka_unit_test(nobody_sees_it),
        cmocka_unit_test(what_is_fine_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
