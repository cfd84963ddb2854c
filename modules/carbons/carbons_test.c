/* Tests of carbons: who gets a copy of what, and what is never copied (XEP-0280). */
#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE "/orchard"
#define JULIET "juliet@" HERE
#define CARBONS "\"roster\", \"presence\", \"message\", \"offline\", \"blocking\", \"disco\", \"caps\", \"ping\", \"carbons\""
#define ENABLE "<iq type='set' id='on'><enable xmlns='urn:xmpp:carbons:2'/></iq>"
#define RECEIVED "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
#define SENT "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"

/* Romeo, and Juliet with a phone and a desk; the desk has carbons on. */
typedef struct scene {
    world *w;
    client *romeo, *phone, *desk;
} scene;

static void enable(world *w, client *c)
{
    say(w, c, ENABLE);
    assert_int_equal(SEEN(w, c, .name = "iq", .type = "result", .id = "on"), 1);
    forget(w);
}

static scene set_scene(void)
{
    scene s = {.w = stage(CARBONS, "")};
    account(s.w, "juliet");
    account(s.w, "romeo");
    s.romeo = online(s.w, ROMEO);
    s.phone = online(s.w, JULIET "/phone");
    s.desk = online(s.w, JULIET "/desk");
    enable(s.w, s.desk);
    return s;
}

#define COPIES(w, c, way) SEEN(w, c, .name = "message", .from = JULIET, .holds = way)

/* --- which messages ------------------------------------------------------------------------ */

typedef struct kind {
    const char *type, *content;
    bool is_copied;
} kind;

#define BODY "<body>x</body>"

static const kind kinds[] = {
    /* 6.1: of type chat, whatever is in it */
    {"chat", BODY, true},
    {"chat", "", true},
    {"chat", "<x xmlns='urn:example:x'/>", true},
    /* of type normal with a body; RFC 6121 5.2.2: no type, and types that nobody knows, are normal */
    {"", BODY, true},
    {"normal", BODY, true},
    {"unheard-of", BODY, true},
    {"normal", "", false},
    {"", "<subject>x</subject>", false},
    {"", "<body xmlns='urn:example:x'>x</body>", false},
    /* payload of chats, without a body */
    {"", "<received xmlns='urn:xmpp:receipts' id='1'/>", true},
    {"normal", "<request xmlns='urn:xmpp:receipts'/>", true},
    {"", "<composing xmlns='http://jabber.org/protocol/chatstates'/>", true},
    {"", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", true},
    {"", "<encrypted xmlns='urn:xmpp:omemo:2'/>", true},
    {"", "<encrypted xmlns='eu.siacs.conversations.axolotl'/>", true},
    {"", "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>", true},
    {"", "<propose xmlns='urn:xmpp:jingle-message:0' id='c'/>", true},
    {"", "<x xmlns='urn:example:x'/>", false},
    /* invitations (XEP-0249, XEP-0045 7.8.2) */
    {"", "<x xmlns='jabber:x:conference' jid='room@muc.example'/>", true},
    {"", "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@b.example'/></x>", true},
    /* never */
    {"groupchat", BODY, false},
    {"groupchat", "<received xmlns='urn:xmpp:receipts' id='1'/>", false},
    {"headline", BODY, false},
    {"headline", "", false},
    {"error", BODY "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", false},
    /* 9, each of the two marks alone; XEP-0313: results of archives */
    {"chat", BODY "<private xmlns='urn:xmpp:carbons:2'/>", false},
    {"chat", BODY "<no-copy xmlns='urn:xmpp:hints'/>", false},
    {"chat", BODY "<private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>", false},
    {"chat", BODY "<private xmlns='urn:example:x'/><no-copy xmlns='urn:example:x'/>", true},
    {"chat", BODY "<no-store xmlns='urn:xmpp:hints'/>", true},
};

/* Each kind, to one device and from one: the other has a copy, or nothing. */
static void which_messages(void **state)
{
    (void)state;
    scene s = set_scene();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const kind *k = &kinds[i];
        char to[512], from[512], id[16];
        snprintf(id, sizeof id, "m%zu", i);
        static const char form[] = "<message to='%s' id='%s'%s%s%s>%s</message>";
        const char *const q1 = *k->type ? " type='" : "", *const q2 = *k->type ? "'" : "";
        snprintf(to, sizeof to, form, JULIET "/phone", id, q1, k->type, q2, k->content);
        snprintf(from, sizeof from, form, ROMEO, id, q1, k->type, q2, k->content);
        forget(s.w);
        say(s.w, s.romeo, to);
        /* what a copy is of, it has as it was, marks and all (9: <private/> stays) */
        if (SEEN(s.w, s.phone, .id = id, .from = ROMEO) != 1 || SEEN(s.w, s.phone) != 1)
            fail_msg("%s %s: the phone", k->type, k->content);
        if (COPIES(s.w, s.desk, RECEIVED) != k->is_copied || SEEN(s.w, s.desk) != k->is_copied)
            fail_msg("received: %s %s", k->type, k->content);
        forget(s.w);
        say(s.w, s.phone, from);
        if (COPIES(s.w, s.desk, SENT) != k->is_copied || SEEN(s.w, s.desk) != k->is_copied)
            fail_msg("sent: %s %s", k->type, k->content);
        assert_int_equal(SEEN(s.w, s.romeo, .id = id), 1);
    }
    leave(s.w);
}

/* 7: type and addresses of the wrapping; the message in it is whole. */
static void form_of_a_copy(void **state)
{
    (void)state;
    scene s = set_scene();
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/phone' id='m' xml:lang='it'>" BODY "<y xmlns='urn:y'><z a='b'/></y></message>");
    assert_int_equal(SEEN(s.w, s.desk, .name = "message", .type = "chat", .from = JULIET, .to = JULIET "/desk", .id = "",
                          .holds = RECEIVED "<message xmlns='jabber:client' type='chat' to='" JULIET "/phone' id='m' xml:lang='it' from='" ROMEO
                                            "'>" BODY "<y xmlns='urn:y'><z a='b'/></y></message></forwarded></received></message>"),
                     1);
    say(s.w, s.romeo, "<message to='" JULIET "/phone' id='n'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, s.desk, .type = "", .holds = "id='n'"), 1);
    leave(s.w);
}

/* --- rooms --------------------------------------------------------------------------------- */

#define OCCUPANT "room@muc.example/tybalt"
#define IN_ROOM "<x xmlns='http://jabber.org/protocol/muc#user'/>"

/* 6.1: what an occupant says in private reaches each session that is in the room by itself; what a session says to
 * one is copied; the room's own words are no private message. */
static void private_messages_of_rooms(void **state)
{
    (void)state;
    scene s = set_scene();
    arrives(s.w, "<message type='chat' from='" OCCUPANT "' to='" JULIET "/phone' id='1'>" BODY IN_ROOM "</message>");
    arrives(s.w, "<message from='" OCCUPANT "' to='" JULIET "/phone' id='2'>" BODY IN_ROOM "</message>");
    arrives(s.w, "<message type='groupchat' from='" OCCUPANT "' to='" JULIET "/phone' id='3'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, s.phone), 3);
    assert_int_equal(SEEN(s.w, s.desk), 0);
    arrives(s.w, "<message from='room@muc.example' to='" JULIET "/phone' id='4'>" BODY IN_ROOM "</message>");
    assert_int_equal(COPIES(s.w, s.desk, RECEIVED), 1);
    forget(s.w);
    say(s.w, s.phone, "<message type='chat' to='" OCCUPANT "' id='5'>" BODY IN_ROOM "</message>");
    assert_int_equal(COPIES(s.w, s.desk, SENT), 1);
    leave(s.w);
}

/* --- who has it anyway --------------------------------------------------------------------- */

/* All that take messages have what is sent to the account; whoever takes none is not left out (7). */
static void to_the_account(void **state)
{
    (void)state;
    scene s = set_scene();
    client *tomb = join(s.w, JULIET "/tomb"), *mute = join(s.w, JULIET "/mute");
    say(s.w, tomb, "<presence><priority>-1</priority></presence>");
    enable(s.w, tomb);
    enable(s.w, mute);
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "' id='m'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, s.phone, .id = "m"), 1);
    assert_int_equal(SEEN(s.w, s.desk, .id = "m"), 1);
    assert_int_equal(SEEN(s.w, s.desk), 1);
    assert_int_equal(COPIES(s.w, tomb, RECEIVED), 1);
    assert_int_equal(SEEN(s.w, tomb), 1);
    assert_int_equal(COPIES(s.w, mute, RECEIVED), 1); /* bound is enough: 7 says resource */
    assert_int_equal(SEEN(s.w, mute), 1);
    leave(s.w);
}

/* To a session that has gone: what goes on to the others is as to the account; what is refused is not received. */
static void to_a_session_that_has_gone(void **state)
{
    (void)state;
    scene s = set_scene();
    client *tomb = join(s.w, JULIET "/tomb");
    say(s.w, tomb, "<presence><priority>-1</priority></presence>");
    enable(s.w, tomb);
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/gone' id='m'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, s.desk, .id = "m"), 1);
    assert_int_equal(SEEN(s.w, s.desk), 1);
    assert_int_equal(COPIES(s.w, tomb, RECEIVED), 1);
    forget(s.w);
    say(s.w, s.romeo, "<message to='" JULIET "/gone' id='n'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, s.romeo, .type = "error", .id = "n"), 1);
    assert_int_equal(SEEN(s.w, s.desk) + SEEN(s.w, tomb), 0);
    leave(s.w);
}

/* Kept for the account, and copied to whoever has carbons on but takes no messages. */
static void kept_and_copied(void **state)
{
    (void)state;
    world *w = stage(CARBONS, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO), *tomb = join(w, JULIET "/tomb");
    say(w, tomb, "<presence><priority>-1</priority></presence>");
    enable(w, tomb);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m'>" BODY "</message>");
    assert_int_equal(COPIES(w, tomb, RECEIVED), 1);
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 1);
    leave(w);
}

/* To one's own account: each session has it once, as a copy of what was sent if at all. */
static void to_oneself(void **state)
{
    (void)state;
    scene s = set_scene();
    client *tomb = join(s.w, JULIET "/tomb");
    say(s.w, tomb, "<presence><priority>-1</priority></presence>");
    enable(s.w, tomb);
    enable(s.w, s.phone);
    say(s.w, s.phone, "<message type='chat' to='" JULIET "' id='m'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, s.desk, .id = "m"), 1);
    assert_int_equal(SEEN(s.w, s.desk), 1);
    assert_int_equal(SEEN(s.w, s.phone), 1); /* the message itself (RFC 6121 8.5.2.1.1), no copy */
    assert_int_equal(COPIES(s.w, tomb, SENT), 1);
    forget(s.w);
    say(s.w, s.phone, "<message type='chat' to='" JULIET "/tomb' id='n'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, tomb, .id = "n"), 1);
    assert_int_equal(SEEN(s.w, tomb), 1);
    assert_int_equal(COPIES(s.w, s.desk, SENT), 1);
    assert_int_equal(SEEN(s.w, s.desk), 1);
    assert_int_equal(SEEN(s.w, s.phone), 0);
    leave(s.w);
}

/* Calls reach all that take messages (XEP-0353); nobody has one twice. */
static void calls(void **state)
{
    (void)state;
    scene s = set_scene();
    client *tomb = join(s.w, JULIET "/tomb");
    say(s.w, tomb, "<presence><priority>-1</priority></presence>");
    enable(s.w, tomb);
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/phone' id='m'><propose xmlns='urn:xmpp:jingle-message:0' id='c'/></message>");
    assert_int_equal(SEEN(s.w, s.desk, .id = "m"), 1);
    assert_int_equal(SEEN(s.w, s.desk), 1);
    assert_int_equal(COPIES(s.w, tomb, RECEIVED), 1);
    leave(s.w);
}

/* --- errors -------------------------------------------------------------------------------- */

#define GONE "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

/* 6.1: an error is copied if it is about a message that was, in both directions; 32 messages are remembered. */
static void errors(void **state)
{
    (void)state;
    scene s = set_scene();
    say(s.w, s.phone, "<message type='chat' to='" ROMEO "' id='m'>" BODY "</message>");
    say(s.w, s.phone, "<message to='" ROMEO "' id='n'><x xmlns='urn:example:x'/></message>"); /* none that is copied */
    forget(s.w);
    say(s.w, s.romeo, "<message type='error' to='" JULIET "/phone' id='m'>" GONE "</message>"
                      "<message type='error' to='" JULIET "/phone' id='n'>" GONE "</message>"
                      "<message type='error' to='" JULIET "/phone' id='never'>" GONE "</message>"
                      "<message type='error' to='" JULIET "/phone'>" GONE "</message>");
    assert_int_equal(SEEN(s.w, s.phone, .type = "error"), 4);
    assert_int_equal(SEEN(s.w, s.desk, .type = "error", .from = JULIET, .holds = RECEIVED), 1);
    assert_int_equal(SEEN(s.w, s.desk), 1);
    assert_int_equal(SEEN(s.w, s.desk, .holds = "id='m'"), 1);
    /* one of somebody else about the same id is another matter */
    forget(s.w);
    arrives(s.w, "<message type='error' from='tybalt@other.example' to='" JULIET "/phone' id='m'>" GONE "</message>");
    assert_int_equal(SEEN(s.w, s.desk), 0);
    /* the other way round */
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/phone' id='r'>" BODY "</message>");
    forget(s.w);
    say(s.w, s.phone, "<message type='error' to='" ROMEO "' id='r'>" GONE "</message>"
                      "<message type='error' to='" ROMEO "' id='q'>" GONE "</message>");
    assert_int_equal(SEEN(s.w, s.desk, .type = "error", .from = JULIET, .holds = SENT), 1);
    assert_int_equal(SEEN(s.w, s.desk), 1);
    /* a message that 32 others came behind is forgotten */
    for (int i = 0; i < 32; i++) say(s.w, s.phone, "<message type='chat' to='" ROMEO "' id='more'>" BODY "</message>");
    forget(s.w);
    say(s.w, s.romeo, "<message type='error' to='" JULIET "/phone' id='m'>" GONE "</message>");
    assert_int_equal(SEEN(s.w, s.desk), 0);
    leave(s.w);
}

/* Errors that the server makes are errors: for nobody, for another server, for somebody blocked. What was never copied is not. */
static void errors_of_the_server(void **state)
{
    (void)state;
    scene s = set_scene();
    say(s.w, s.phone, "<message type='chat' to='x@far.example' id='1'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, s.phone, .type = "error", .id = "1"), 1);
    assert_int_equal(COPIES(s.w, s.desk, SENT), 1);
    assert_int_equal(SEEN(s.w, s.desk, .type = "error", .from = JULIET, .holds = RECEIVED "<message xmlns='jabber:client'"), 1);
    assert_int_equal(SEEN(s.w, s.desk), 2);
    forget(s.w);
    say(s.w, s.phone, "<message to='x@far.example' id='2'><x xmlns='urn:example:x'/></message>");
    assert_int_equal(SEEN(s.w, s.phone, .type = "error", .id = "2"), 1);
    assert_int_equal(SEEN(s.w, s.desk), 0);
    forget(s.w);
    say(s.w, s.phone, "<message type='chat' to='" ROMEO "x' id='3'><body/><private xmlns='urn:xmpp:carbons:2'/></message>"
                      "<message type='chat' to='x@far.example' id='4'>" BODY "<no-copy xmlns='urn:xmpp:hints'/></message>");
    assert_int_equal(SEEN(s.w, s.desk), 0);
    leave(s.w);
}

/* 10.3: an error that comes back of a copy reaches nobody. */
static void errors_of_copies(void **state)
{
    (void)state;
    scene s = set_scene();
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/phone' id='m'>" BODY "</message>");
    forget(s.w);
    say(s.w, s.desk, "<message type='error' to='" JULIET "'>" GONE "</message>"
                     "<message type='error' to='" JULIET "' id='m'>" RECEIVED "<message xmlns='jabber:client' from='" ROMEO "' id='m'/>"
                     "</forwarded></received>" GONE "</message>");
    assert_int_equal(SEEN(s.w, s.romeo) + SEEN(s.w, s.phone) + SEEN(s.w, s.desk), 0);
    leave(s.w);
}

/* --- forgeries ----------------------------------------------------------------------------- */

#define FORGED(id) "<message type='chat' to='" JULIET "' id='" id "'>" RECEIVED "<message xmlns='jabber:client' type='chat' from='mum@" HERE \
    "' to='" JULIET "/phone'><body>Thou shall meet me tonite</body></message></forwarded></received></message>"

/* 11: what others say in the form of a copy is never shown as one, and never copied; from elsewhere, too. */
static void copies_of_others(void **state)
{
    (void)state;
    scene s = set_scene();
    say(s.w, s.romeo, FORGED("f"));
    assert_int_equal(SEEN(s.w, s.desk, .holds = "carbons") + SEEN(s.w, s.phone, .holds = "carbons"), 0);
    assert_int_equal(SEEN(s.w, s.phone, .id = "f", .from = ROMEO), 1); /* what is left of it */
    forget(s.w);
    say(s.w, s.phone, "<message type='chat' to='" ROMEO "' id='s'>" SENT "<message xmlns='jabber:client' from='" JULIET "' to='a@b.example'/></forwarded></sent></message>");
    assert_int_equal(SEEN(s.w, s.romeo, .holds = "carbons"), 0);
    forget(s.w);
    arrives(s.w, "<message type='chat' from='tybalt@other.example/x' to='" JULIET "/phone' id='a'>" RECEIVED "<message xmlns='jabber:client' from='mum@" HERE
                 "' to='" JULIET "/phone'>" BODY "</message></forwarded></received></message>");
    assert_int_equal(SEEN(s.w, s.desk), 0); /* no copy of a copy */
    leave(s.w);
}

/* Nobody turns on for another account or another session; who asks there learns no more than of a server without it. */
static void only_for_oneself(void **state)
{
    (void)state;
    scene s = set_scene();
    static const char *const others[] = {JULIET, "nobody@" HERE, JULIET "/phone", HERE};
    for (size_t i = 0; i < 4; i++) {
        char text[256];
        snprintf(text, sizeof text, "<iq type='set' id='on' to='%s'><enable xmlns='urn:xmpp:carbons:2'/></iq>", others[i]);
        forget(s.w);
        say(s.w, s.romeo, text);
        assert_int_equal(SEEN(s.w, s.romeo, .type = "error", .id = "on", .holds = "<service-unavailable "), 1);
    }
    say(s.w, s.phone, "<message type='chat' to='romeo@" HERE "' id='m'>" BODY "</message>");
    client *other = online(s.w, "romeo@" HERE "/garden");
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/phone' id='n'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, other), 0);
    assert_int_equal(COPIES(s.w, s.desk, RECEIVED), 1); /* and not to Romeo's */
    leave(s.w);
}

/* --- blocks, refusals ---------------------------------------------------------------------- */

/* What is refused on the way is neither sent nor received. */
static void blocked(void **state)
{
    (void)state;
    scene s = set_scene();
    say(s.w, s.desk, "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='romeo@" HERE "'/></block></iq>");
    forget(s.w);
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/phone' id='m'>" BODY "</message>"
                      "<message type='chat' to='" JULIET "' id='n'>" BODY "</message>");
    say(s.w, s.phone, "<message type='chat' to='" ROMEO "' id='o'>" BODY "</message>");
    assert_int_equal(SEEN(s.w, s.desk), 0);
    assert_int_equal(SEEN(s.w, s.romeo, .type = "error"), 2);
    assert_int_equal(SEEN(s.w, s.phone, .type = "error", .id = "o"), 1);
    leave(s.w);
}

/* --- what was never written ---------------------------------------------------------------- */

/* A copy that could not be written is nobody else's: not kept, and not given to who has carbons off. */
static void unsent_copies(void **state)
{
    (void)state;
    world *w = stage(CARBONS, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO), *phone = online(w, JULIET "/phone");
    client *train = join_narrow(w, JULIET "/train");
    say(w, train, "<presence/>" ENABLE);
    listens(w, train, false);
    char text[2048];
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "<message type='chat' to='" JULIET "/phone' id='m%d'><body>%01000d</body></message>", i, 0);
        say(w, romeo, text);
    }
    client *late = online(w, JULIET "/late");
    forget(w);
    part(w, train);
    assert_int_equal(SEEN(w, late, .name = "message") + SEEN(w, phone, .name = "message"), 0);
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
    leave(w);
}

/* Each copy is one in the books. */
static void in_the_books(void **state)
{
    (void)state;
    scene s = set_scene();
    client *third = online(s.w, JULIET "/third");
    enable(s.w, third);
    const svi_ledger_counts *counts = svi_ledger_total(svi_server_ledger(s.w->server));
    const uint64_t before = counts->origin[SVI_MADE_COPY];
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/phone' id='m'>" BODY "</message>");
    assert_int_equal(counts->origin[SVI_MADE_COPY] - before, 2);
    leave(s.w);
}

/* --- with an archive ----------------------------------------------------------------------- */

/* A copy has the mark under which the message is kept for its account, and of no other (XEP-0359 3). */
static void marks_of_the_archive(void **state)
{
    (void)state;
    world *w = stage(CARBONS ", \"archive\"", "");
    account(w, "juliet");
    account(w, "romeo");
    client *romeo = online(w, ROMEO), *phone = online(w, JULIET "/phone"), *desk = online(w, JULIET "/desk");
    enable(w, desk);
    say(w, romeo, "<message type='chat' to='" JULIET "/phone' id='m'>" BODY "</message>");
    assert_int_equal(SEEN(w, phone, .id = "m", .holds = "<stanza-id xmlns='urn:xmpp:sid:0' by='" JULIET "' id='"), 1);
    assert_int_equal(SEEN(w, desk, .holds = RECEIVED), 1);
    assert_int_equal(SEEN(w, desk, .holds = "<stanza-id xmlns='urn:xmpp:sid:0' by='" JULIET "' id='"), 1);
    forget(w);
    say(w, phone, "<message type='chat' to='" ROMEO "' id='n'>" BODY "</message>");
    assert_int_equal(SEEN(w, desk, .holds = SENT), 1);
    assert_int_equal(SEEN(w, desk, .holds = "<stanza-id xmlns='urn:xmpp:sid:0' by='" JULIET "' id='"), 1);
    assert_int_equal(SEEN(w, desk, .holds = "by='romeo@" HERE "'"), 0);
    assert_int_equal(SEEN(w, romeo, .holds = "by='" JULIET "'"), 0);
    forget(w);
    say(w, phone, "<message type='chat' to='" JULIET "/desk' id='o'>" BODY "</message>");
    assert_int_equal(SEEN(w, desk, .id = "o", .holds = "<stanza-id "), 1);
    leave(w);
}

/* --- reloads ------------------------------------------------------------------------------- */

/* Who has carbons on, has them on behind a reload. */
static void over_a_reload(void **state)
{
    (void)state;
    scene s = set_scene();
    reloaded(s.w, "VirtualHost \"" HERE "\"\nmodules_enabled = { " CARBONS " }\nroster_max_items = 7\n");
    say(s.w, s.romeo, "<message type='chat' to='" JULIET "/phone' id='m'>" BODY "</message>");
    assert_int_equal(COPIES(s.w, s.desk, RECEIVED), 1);
    leave(s.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_messages),
        cmocka_unit_test(form_of_a_copy),
        cmocka_unit_test(private_messages_of_rooms),
        cmocka_unit_test(to_the_account),
        cmocka_unit_test(to_a_session_that_has_gone),
        cmocka_unit_test(kept_and_copied),
        cmocka_unit_test(to_oneself),
        cmocka_unit_test(calls),
        cmocka_unit_test(errors),
        cmocka_unit_test(errors_of_the_server),
        cmocka_unit_test(errors_of_copies),
        cmocka_unit_test(copies_of_others),
        cmocka_unit_test(only_for_oneself),
        cmocka_unit_test(blocked),
        cmocka_unit_test(unsent_copies),
        cmocka_unit_test(in_the_books),
        cmocka_unit_test(marks_of_the_archive),
        cmocka_unit_test(over_a_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
