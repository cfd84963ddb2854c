/* Tests of client states: what waits while nobody looks, what goes, and when what waits is let go (XEP-0352). */
#include "../../tests/modules/modules_world.h"

#include "xmpp/xmpp_hold.h"

#define JULIET "juliet@" HERE
#define PHONE JULIET "/phone"
#define OTHER "romeo@far.example/orchard"
#define USUAL "\"roster\", \"presence\", \"message\", \"offline\", \"blocking\", \"disco\", \"caps\", \"ping\""
#define CSI USUAL ", \"carbons\", \"csi\""
#define LINES_ "csi_held_max = 5\ncsi_held_bytes = \"8k\"\ncsi_held_time = \"10m\"\n"

typedef struct scene {
    world *w;
    client *phone;
} scene;

static sv_session *session(const scene *s)
{
    return svi_session_find(s->w->server, SV_STR(PHONE));
}

/* The clients of this world speak no elements beside stanzas (csi.flow does): what <inactive/> comes to, as a session that was
 * inactive before a restart comes to it, too. */
static void be_inactive(const scene *s, const char *more)
{
    char text[512];
    svi_session_set_item(session(s), "csi", SV_STR("inactive"));
    snprintf(text, sizeof text, "VirtualHost \"" HERE "\"\nmodules_enabled = { %s }\n", USUAL ", \"carbons\"");
    reloaded(s->w, text);
    snprintf(text, sizeof text, "VirtualHost \"" HERE "\"\nmodules_enabled = { %s }\n%s", CSI, more);
    reloaded(s->w, text);
    say(s->w, s->phone, "<iq type='get' id='p' to='" HERE "'><ping xmlns='urn:xmpp:ping'/></iq>"); /* the module hears of it now */
    forget(s->w);
}

static scene set_scene(const char *more)
{
    scene s = {.w = stage(CSI, more)};
    account(s.w, "juliet");
    s.phone = online(s.w, PHONE);
    be_inactive(&s, more);
    return s;
}

static size_t held(const scene *s)
{
    return svi_session_held(session(s));
}

/* --- what waits ---------------------------------------------------------------------------- */

typedef enum fate { GOES, WAITS } fate;

#define MESSAGE(attrs, content) "<message from='" OTHER "' to='" PHONE "' " attrs ">" content "</message>"
#define CHAT(content) MESSAGE("type='chat'", content)
#define PRESENCE(attrs, content) "<presence from='" OTHER "' to='" PHONE "' " attrs ">" content "</presence>"
#define COPY(way, content) \
    "<message from='" JULIET "' to='" PHONE "' type='chat'><" way " xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>" \
    "<message xmlns='jabber:client' from='" OTHER "' to='" OTHER "' type='chat'>" content "</message></forwarded></" way "></message>"
#define STATE "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
#define RECEIPT "<received xmlns='urn:xmpp:receipts' id='1'/>"
#define DISPLAYED "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
#define ITEMS(content) "<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='n'>" content "</items></event>"
#define ROOM(content) "<x xmlns='http://jabber.org/protocol/muc#user'>" content "</x>"

static const struct {
    const char *xml;
    fate fate;
} stanzas[] = {
    {PRESENCE("", ""), WAITS},
    {PRESENCE("", "<show>away</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='v'/>"), WAITS},
    {PRESENCE("type='unavailable'", ""), WAITS},
    {PRESENCE("", ROOM("<item role='participant'/>")), WAITS},
    {PRESENCE("", ROOM("<item role='participant'/><status code='110'/>")), GOES},
    {PRESENCE("type='error'", "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"), GOES},
    {CHAT("<body>x</body>"), GOES},
    {MESSAGE("", "<body>x</body>"), GOES},
    {CHAT("<body>x</body>" STATE), GOES},
    {CHAT(STATE), WAITS},
    {CHAT(STATE "<thread>t</thread><no-store xmlns='urn:xmpp:hints'/>"), WAITS},
    {CHAT(STATE "<x xmlns='urn:example:x'/>"), GOES},
    {CHAT(RECEIPT), WAITS},
    {CHAT("<request xmlns='urn:xmpp:receipts'/>"), GOES},
    {CHAT(DISPLAYED), WAITS},
    {CHAT("<received xmlns='urn:xmpp:chat-markers:0' id='1'/>"), WAITS},
    {CHAT(""), GOES},
    {CHAT("<subject>x</subject>"), GOES},
    {CHAT("<encrypted xmlns='urn:xmpp:omemo:2'/>"), GOES},
    {CHAT("<encrypted xmlns='eu.siacs.conversations.axolotl'/>"), GOES},
    {CHAT("<reactions xmlns='urn:xmpp:reactions:0' id='1'/>"), GOES},
    {CHAT("<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"), GOES},
    {CHAT("<x xmlns='jabber:x:conference' jid='r@muc.example'/>"), GOES},
    {MESSAGE("", ROOM("<invite from='a@b.example'/>")), GOES},
    {MESSAGE("type='error'", STATE "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"), GOES},
    {MESSAGE("type='headline'", "<body>x</body>"), WAITS},
    {MESSAGE("type='headline'", ITEMS("<item id='1'/>")), WAITS},
    {MESSAGE("", ITEMS("<retract id='1'/>")), WAITS},
    {MESSAGE("", "<body>x</body>" ITEMS("<item id='1'/>")), GOES},
    {MESSAGE("type='groupchat'", "<body>x</body>"), GOES},
    {MESSAGE("type='groupchat'", "<subject>x</subject>"), GOES},
    /* copies are judged by what they are of; what was read elsewhere is no news here any more */
    {COPY("received", "<body>x</body>"), GOES},
    {COPY("received", STATE), WAITS},
    {COPY("received", DISPLAYED), WAITS},
    {COPY("sent", "<body>x</body>"), GOES},
    {COPY("sent", STATE), WAITS},
    {COPY("sent", DISPLAYED), GOES},
    {COPY("sent", RECEIPT), WAITS},
    {"<iq type='get' id='q' from='" OTHER "' to='" PHONE "'><x xmlns='urn:example:x'/></iq>", GOES},
    {"<iq type='result' id='q' from='" OTHER "' to='" PHONE "'/>", GOES},
};

/* Passed to the session as it is: how it comes there is of no matter. */
static void hand(const scene *s, const char *xml)
{
    sv_stanza *stanza = NULL;
    assert_int_equal(svi_stanza_parse(&s->w->acct, svi_server_atoms(s->w->server), sv_str_of(xml), SV_STR("jabber:client"), &stanza, NULL),
                     SV_OK);
    svi_host *host = svi_host_find(s->w->server, SV_STR(HERE));
    svi_session_deliver(session(s), stanza, svi_ledger_open(svi_server_ledger(s->w->server), SVI_RECEIVED, svi_host_ledger(host)));
    svi_stanza_unref(&stanza);
    turn(s->w);
}

static void what_waits(void **state)
{
    (void)state;
    scene s = set_scene("");
    for (size_t i = 0; i < sizeof stanzas / sizeof *stanzas; i++) {
        forget(s.w);
        hand(&s, stanzas[i].xml);
        const bool waits = held(&s) == 1 && SEEN(s.w, s.phone) == 0, goes = held(&s) == 0 && SEEN(s.w, s.phone) == 1;
        if (waits != (stanzas[i].fate == WAITS) || goes != (stanzas[i].fate == GOES)) fail_msg("%s", stanzas[i].xml);
        hand(&s, CHAT("<body>all go</body>"));
        assert_int_equal(held(&s), 0);
    }
    leave(s.w);
}

/* Subscriptions come by the module presence. */
static void requests_go(void **state)
{
    (void)state;
    scene s = set_scene("");
    arrives(s.w, "<presence type='subscribe' from='romeo@far.example' to='" JULIET "'/>");
    assert_int_equal(SEEN(s.w, s.phone, .type = "subscribe"), 1);
    leave(s.w);
}

/* --- what is replaced ---------------------------------------------------------------------- */

static void replaced(void **state)
{
    (void)state;
    scene s = set_scene("");
    hand(&s, PRESENCE("id='1'", ""));
    hand(&s, "<presence from='romeo@far.example/garden' to='" PHONE "' id='2'/>"); /* another session */
    hand(&s, PRESENCE("id='3' type='unavailable'", ""));
    assert_int_equal(held(&s), 2);
    hand(&s, CHAT("<composing xmlns='http://jabber.org/protocol/chatstates'/>"));
    hand(&s, CHAT("<paused xmlns='http://jabber.org/protocol/chatstates'/>"));
    hand(&s, COPY("sent", STATE)); /* the user's own to the same one is another matter */
    hand(&s, MESSAGE("", "<body>x</body>"));
    assert_int_equal(SEEN(s.w, s.phone, .id = "1"), 0);
    assert_int_equal(PLACE(s.w, s.phone, .id = "2"), 1);
    assert_int_equal(PLACE(s.w, s.phone, .id = "3"), 2);
    assert_int_equal(SEEN(s.w, s.phone, .holds = "<composing ", .from = OTHER), 0);
    assert_int_equal(PLACE(s.w, s.phone, .holds = "<paused "), 3);
    assert_int_equal(PLACE(s.w, s.phone, .from = JULIET, .holds = "<composing "), 4);
    assert_int_equal(PLACE(s.w, s.phone, .holds = "<body>"), 5);
    assert_int_equal(SEEN(s.w, s.phone), 5);
    leave(s.w);
}

/* Of an item of a node the newest; receipts, markers, several items at once: each. */
static void not_replaced(void **state)
{
    (void)state;
    scene s = set_scene("");
    hand(&s, MESSAGE("id='1'", ITEMS("<item id='a'/>")));
    hand(&s, MESSAGE("id='2'", ITEMS("<item id='a'/>")));
    hand(&s, MESSAGE("id='3'", ITEMS("<item id='b'/>")));
    hand(&s, MESSAGE("id='4'", ITEMS("<retract id='a'/>")));
    hand(&s, MESSAGE("id='5'", ITEMS("<item id='a'/><item id='b'/>")));
    hand(&s, MESSAGE("id='6'", ITEMS("<item id='a'/><item id='b'/>")));
    hand(&s, CHAT(RECEIPT));
    hand(&s, CHAT(RECEIPT));
    hand(&s, CHAT("<body>x</body>"));
    assert_int_equal(SEEN(s.w, s.phone, .id = "1"), 0);
    assert_int_equal(SEEN(s.w, s.phone, .id = "2"), 0);
    for (const char *id = "3456"; *id; id++) assert_int_equal(SEEN(s.w, s.phone, .id = (char[]){*id, '\0'}), 1);
    assert_int_equal(SEEN(s.w, s.phone, .holds = RECEIPT), 2);
    leave(s.w);
}

/* --- bounds and options -------------------------------------------------------------------- */

static void bounds(void **state)
{
    (void)state;
    scene s = set_scene(LINES_);
    char text[4096];
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "<presence from='c%d@far.example/x' to='" PHONE "'/>", i);
        assert_int_equal(SEEN(s.w, s.phone), 0);
        hand(&s, text);
    }
    assert_int_equal(SEEN(s.w, s.phone), 5); /* count */
    forget(s.w);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "<presence from='c%d@far.example/x' to='" PHONE "'><status>%03000d</status></presence>", i, 0);
        assert_int_equal(SEEN(s.w, s.phone), 0);
        hand(&s, text);
    }
    assert_int_equal(SEEN(s.w, s.phone), 3); /* bytes */
    forget(s.w);
    hand(&s, PRESENCE("", ""));
    pass_time(s.w, (int64_t)599 * 1000000);
    assert_int_equal(SEEN(s.w, s.phone), 0);
    pass_time(s.w, 1000000);
    assert_int_equal(SEEN(s.w, s.phone), 1); /* time */
    leave(s.w);
}

#define IN_ROOM(content) "<message from='room@muc.example/x' to='" PHONE "' type='groupchat'>" content "</message>"

static void rooms(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        fate fate;
    } said[] = {
        {"<body>what's up</body>", WAITS},
        {"<body>Juliet: what's up</body>", GOES},
        {"<body>where is @juliet?</body>", GOES},
        {"<body>JULIET</body>", GOES},
        {"<body>juliette</body>", WAITS},
        {"<body>mejuliet</body>", WAITS},
        {"<body>\xc3\xa9juliet</body>", WAITS},
        {"<body>juliet2 and juliet</body>", GOES},
        {"<body>she</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:" JULIET "'/>", GOES},
        {"<body>she</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:romeo@" HERE "'/>", WAITS},
        {"<subject>x</subject>", GOES},
    };
    scene s = set_scene("csi_groupchat = \"mentions\"\n");
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        char text[1024];
        snprintf(text, sizeof text, IN_ROOM("%s"), said[i].content);
        hand(&s, text);
        if (held(&s) != (said[i].fate == WAITS)) fail_msg("%s", said[i].content);
        hand(&s, CHAT("<body>all go</body>"));
    }
    leave(s.w);
}

/* --- reloads, ends ------------------------------------------------------------------------- */

/* A session stays inactive over a reload, and what waits stays. Without the module all goes. */
static void over_a_reload(void **state)
{
    (void)state;
    scene s = set_scene("");
    hand(&s, PRESENCE("id='1'", ""));
    reloaded(s.w, "VirtualHost \"" HERE "\"\nmodules_enabled = { " CSI " }\nroster_max_items = 7\n");
    assert_int_equal(held(&s), 1);
    hand(&s, PRESENCE("id='2'", ""));
    assert_int_equal(held(&s), 1);
    assert_int_equal(SEEN(s.w, s.phone), 0);
    reloaded(s.w, "VirtualHost \"" HERE "\"\nmodules_enabled = { " USUAL " }\n");
    hand(&s, "<presence from='c@far.example/x' to='" PHONE "' id='3'/>");
    assert_int_equal(PLACE(s.w, s.phone, .id = "2"), 1);
    assert_int_equal(PLACE(s.w, s.phone, .id = "3"), 2);
    leave(s.w);
}

/* What waits for a session that ends: presence goes with it, nothing else does without a word. */
static void the_end(void **state)
{
    (void)state;
    scene s = set_scene("");
    hand(&s, PRESENCE("", ""));
    hand(&s, CHAT(RECEIPT));
    part(s.w, s.phone);
    size_t pos = 0;
    const char *rule;
    uint64_t count, of_presence = 0;
    while (svi_ledger_rules(svi_server_ledger(s.w->server), &pos, &rule, &count))
        if (strcmp(rule, "held-until-the-end") == 0) of_presence = count;
    assert_int_equal(of_presence, 1);
    assert_int_equal(row_count(s.w, "offline/messages", "juliet"), 1); /* as if it had never been written */
    leave(s.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits), cmocka_unit_test(requests_go), cmocka_unit_test(replaced),
        cmocka_unit_test(not_replaced), cmocka_unit_test(bounds), cmocka_unit_test(rooms),
        cmocka_unit_test(over_a_reload), cmocka_unit_test(the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
