/* Tests of messages to accounts: the whole table of RFC 6121 8.5.4, and what becomes of what was
 * never written. */
#include "../../tests/modules/modules_world.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_recorder.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define NO_OFFLINE "\"roster\", \"presence\", \"message\", \"disco\", \"ping\""
#define CHAT(id, body)                                                                             \
    "<message type='chat' to='" JULIET "' id='" id "'><body>" body "</body></message>"

/* --- the table ----------------------------------------------------------------------------- */

/* Which of Juliet's sessions there are: none of hers with a negative priority is ever asked. */
typedef enum condition { NOBODY, IDLE, NEGATIVE, ONE, SEVERAL } condition;

/* D: to the session it names; A: to all with a priority of 0 or more; O: kept; E: an error; S:
 * nothing at all; N: what the sender sees of O, for nobody is to be told from somebody away. */
typedef struct row {
    condition condition;
    const char *to;
    const char *normal, *chat, *groupchat, *headline, *error;
} row;

#define BARE JULIET
#define MATCH                                                                                      \
    JULIET "/tomb" /* on line, with a negative priority; with ONE and SEVERAL another one */
#define NO_MATCH JULIET "/gone"

static const row table[] = {
    /* account does not exist */
    {NOBODY, "nobody@" HERE, "N", "N", "E", "S", "S"},
    {NOBODY, "nobody@" HERE "/x", "E", "N", "E", "S", "S"},
    /* account exists, but no active resources */
    {IDLE, BARE, "O", "O", "E", "S", "S"},
    {IDLE, NO_MATCH, "E", "O", "E", "S", "S"},
    /* 1+ negative resources but zero non-negative resources */
    {NEGATIVE, BARE, "O", "O", "E", "S", "S"},
    {NEGATIVE, MATCH, "D", "D", "D", "D", "D"},
    {NEGATIVE, NO_MATCH, "E", "O", "E", "S", "S"},
    /* 1 non-negative resource */
    {ONE, BARE, "A", "A", "E", "A", "S"},
    {ONE, JULIET "/balcony", "D", "D", "D", "D", "D"},
    {ONE, NO_MATCH, "E", "A", "E", "S", "S"},
    /* 1+ non-negative resources */
    {SEVERAL, BARE, "A", "A", "E", "A", "S"},
    {SEVERAL, JULIET "/chamber", "D", "D", "D", "D", "D"},
    {SEVERAL, MATCH, "D", "D", "D", "D", "D"},
    {SEVERAL, NO_MATCH, "E", "A", "E", "S", "S"},
};

typedef struct scene {
    world *w;
    bool has_offline;
    client *romeo, *tomb, *balcony, *chamber;
    int sent;
} scene;

static void set_scene(scene *s, condition c)
{
    if (c >= NEGATIVE) {
        s->tomb = join(s->w, JULIET "/tomb");
        say(s->w, s->tomb, "<presence><priority>-1</priority></presence>");
    }
    if (c >= ONE) s->balcony = online(s->w, JULIET "/balcony");
    if (c >= SEVERAL) {
        s->chamber = join(s->w, JULIET "/chamber");
        say(s->w, s->chamber, "<presence><priority>7</priority></presence>");
    }
}

static void clear_scene(scene *s)
{
    client **const all[] = {&s->tomb, &s->balcony, &s->chamber};
    for (size_t i = 0; i < 3; i++) {
        if (*all[i] != NULL) part(s->w, *all[i]);
        *all[i] = NULL;
    }
}

static unsigned got(const scene *s, const client *c, const char *id, const char *to)
{
    return c != NULL
               ? SEEN(s->w, c, .name = "message", .id = id, .from = ROMEO "/orchard", .to = to)
               : 0;
}

static bool is_named(const client *c, const char *resource, const char *to)
{
    const char *slash = strchr(to, '/');
    return c != NULL && slash != NULL && strcmp(slash + 1, resource) == 0;
}

/* One cell: sends it and compares who got what, with the address as it was (8.5.2.1.1: never
 * rewritten). */
static void check(scene *s, const row *r, const char *type, const char *outcome)
{
    char id[32], text[512];
    const size_t kept = row_count(s->w, "offline/messages", "juliet");
    snprintf(id, sizeof id, "m%d", ++s->sent);
    snprintf(text, sizeof text, "<message to='%s' id='%s'%s%s%s><body>x</body></message>", r->to,
             id, *type ? " type='" : "", type, *type ? "'" : "");
    forget(s->w);
    say(s->w, s->romeo, text);
    char o = *outcome;
    if ((o == 'O' || o == 'N') && !s->has_offline) o = 'E';
    const unsigned balcony = o == 'A' ? s->balcony != NULL : is_named(s->balcony, "balcony", r->to);
    const unsigned chamber = o == 'A' ? s->chamber != NULL : is_named(s->chamber, "chamber", r->to);
    const unsigned tomb = o == 'D' && is_named(s->tomb, "tomb", r->to);
    if (got(s, s->balcony, id, r->to) != balcony || got(s, s->chamber, id, r->to) != chamber ||
        got(s, s->tomb, id, r->to) != tomb)
        fail_msg("condition %d, %s, type '%s': balcony %u, chamber %u, tomb %u", (int)r->condition,
                 r->to, type, got(s, s->balcony, id, r->to), got(s, s->chamber, id, r->to),
                 got(s, s->tomb, id, r->to));
    const unsigned bounced = SEEN(s->w, s->romeo, .name = "message", .type = "error", .id = id,
                                  .from = r->to, .holds = "<service-unavailable ");
    if (bounced != (o == 'E') || SEEN(s->w, s->romeo) != bounced)
        fail_msg("condition %d, %s, type '%s': %u errors", (int)r->condition, r->to, type, bounced);
    assert_int_equal(row_count(s->w, "offline/messages", "juliet"), kept + (o == 'O'));
}

static void check_table(const char *modules, bool has_offline)
{
    scene s = {.w = stage(modules, ""), .has_offline = has_offline};
    account(s.w, "juliet");
    s.romeo = join(s.w, ROMEO "/orchard");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const row *r = &table[i];
        set_scene(&s, r->condition);
        check(&s, r, "", r->normal);
        check(&s, r, "normal", r->normal);
        check(&s, r, "unheard-of", r->normal); /* 5.2.2: taken as normal */
        check(&s, r, "chat", r->chat);
        check(&s, r, "groupchat", r->groupchat);
        check(&s, r, "headline", r->headline);
        check(&s, r, "error", r->error);
        clear_scene(&s);
    }
    leave(s.w);
}

static void delivery_rules(void **state)
{
    (void)state;
    check_table(ALL_MODULES, true);
}

/* What finds no session then comes back. */
static void delivery_rules_without_offline(void **state)
{
    (void)state;
    check_table(NO_OFFLINE, false);
}

/* The same rules for messages to one's own account. */
static void to_oneself(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *tomb = join(w, JULIET "/tomb");
    say(w, tomb, "<presence><priority>-1</priority></presence>" CHAT("a", "kept"));
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 1);
    client *balcony = online(w, JULIET "/balcony");
    say(w, tomb, CHAT("b", "x") "<message type='groupchat' to='" JULIET "' id='g'/>");
    assert_int_equal(SEEN(w, balcony, .id = "b"), 1);
    assert_int_equal(SEEN(w, tomb, .id = "g", .type = "error"), 1);
    assert_int_equal(SEEN(w, tomb), 1);
    leave(w);
}

/* --- what was never written ---------------------------------------------------------------- */

static const char *long_chat(char to[1024], const char *id, const char *jid)
{
    snprintf(to, 1024, "<message type='chat' to='%s' id='%s'><body>%0600d</body></message>", jid,
             id, 0);
    return to;
}

/* A session that came after a message was sent has not got it: it is given what comes back from a
 * broken one. */
static void unsent_goes_to_who_came_later(void **state)
{
    (void)state;
    char text[1024];
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard"), *train = join_narrow(w, JULIET "/train");
    say(w, train, "<presence/>");
    listens(w, train, false);
    static const char *const ids[] = {"m1", "m2", "m3"};
    for (size_t i = 0; i < 3; i++) say(w, romeo, long_chat(text, ids[i], JULIET));
    client *balcony = online(w, JULIET "/balcony");
    assert_int_equal(SEEN(w, balcony, .name = "message"), 0);
    part(w, train);
    for (size_t i = 0; i < 3; i++) assert_int_equal(SEEN(w, balcony, .id = ids[i]), 1);
    assert_true(PLACE(w, balcony, .id = "m1") < PLACE(w, balcony, .id = "m2"));
    assert_true(PLACE(w, balcony, .id = "m2") < PLACE(w, balcony, .id = "m3"));
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
    leave(w);
}

/* Who was there before got its own copy, and no second one; what was for the broken session alone
 * goes to the others. */
static void unsent_is_not_repeated(void **state)
{
    (void)state;
    char text[1024];
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard"), *balcony = online(w, JULIET "/balcony");
    client *train = join_narrow(w, JULIET "/train");
    say(w, train, "<presence/>");
    listens(w, train, false);
    say(w, romeo, long_chat(text, "both", JULIET));
    say(w, romeo, long_chat(text, "one", JULIET "/train"));
    part(w, train);
    assert_int_equal(SEEN(w, balcony, .id = "both"), 1);
    assert_int_equal(SEEN(w, balcony, .id = "one", .to = JULIET "/train"), 1);
    leave(w);
}

/* Who came first is known over a reload, which begins the module anew: what came later lacks it still. */
static void unsent_over_a_reload(void **state)
{
    (void)state;
    char text[1024];
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard"), *balcony = online(w, JULIET "/balcony");
    client *train = join_narrow(w, JULIET "/train");
    say(w, train, "<presence/>");
    listens(w, train, false);
    say(w, romeo, long_chat(text, "before", JULIET));
    reloaded(w, "VirtualHost \"" HERE "\"\nmodules_enabled = { " ALL_MODULES " }\nroster_max_items = 7\n");
    say(w, romeo, long_chat(text, "behind", JULIET));
    part(w, balcony);
    client *garden = online(w, JULIET "/garden");
    part(w, train);
    assert_int_equal(SEEN(w, garden, .id = "before"), 1);
    assert_int_equal(SEEN(w, garden, .id = "behind"), 1);
    leave(w);
}

/* Two sessions that both have it unwritten end before either gives it back: it is kept once. Another message of the same contents is
 * another message. */
static void unsent_by_two_is_kept_once(void **state)
{
    (void)state;
    char text[1024];
    world *w = stage(ALL_MODULES, "");
    int status = 1;
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard");
    static const char *const jids[] = {JULIET "/train", JULIET "/coach"};
    client *narrow[2];
    for (size_t i = 0; i < 2; i++) {
        narrow[i] = join_narrow(w, jids[i]);
        say(w, narrow[i], "<presence/>");
        listens(w, narrow[i], false);
    }
    for (size_t i = 0; i < 6; i++) say(w, romeo, long_chat(text, "same", JULIET));
    svi_account_disable(svi_host_find(w->server, SV_STR(HERE)), SV_STR("juliet"), SV_STR("x"), true, w_status, &status);
    for (int i = 0; i < 20; i++) turn(w);
    assert_int_equal(status, SV_OK); /* nobody finds them any more */
    for (size_t i = 0; i < 2; i++) part(w, narrow[i]);
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 6);
    pass_time(w, 120000000); /* what was remembered of them goes, too */
    leave(w);
}

/* Without another session they are kept, in their order; errors and headlines are not. */
static void unsent_is_kept(void **state)
{
    (void)state;
    char text[1024];
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard"), *train = join_narrow(w, JULIET "/train");
    say(w, train, "<presence/>");
    listens(w, train, false);
    static const char *const ids[] = {"m1", "m2", "m3"};
    for (size_t i = 0; i < 3; i++) say(w, romeo, long_chat(text, ids[i], JULIET));
    say(w, romeo, "<message type='headline' to='" JULIET "' id='h'><body>x</body></message>");
    part(w, train);
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 3);
    client *balcony = online(w, JULIET "/balcony");
    part(w, balcony); /* `online` has forgotten what came: it was handed over */
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
    leave(w);
}

/* --- calls (XEP-0353) ----------------------------------------------------------------------- */

#define CALL(name, to, id, type)                                                                   \
    "<message type='" type "' to='" to "' id='" id "'><" name                                      \
    " xmlns='urn:xmpp:jingle-message:0' id='c1'/><store xmlns='urn:xmpp:hints'/></message>"

/* Three devices: each hears of each step once, whichever is addressed; the one with a negative priority
 * only what names it. */
static void calls_reach_every_device(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard");
    client *phone = online(w, JULIET "/phone"), *laptop = online(w, JULIET "/laptop");
    client *tablet = online(w, JULIET "/tablet"), *tomb = join(w, JULIET "/tomb");
    say(w, tomb, "<presence><priority>-1</priority></presence>");
    static const char *const names[] = {"propose", "ringing", "retract", "proceed",
                                        "reject",  "finish",  "accept"};
    static const char *const to[] = {JULIET, JULIET "/phone", JULIET "/tomb", JULIET "/gone"};
    for (size_t n = 0; n < 7; n++) {
        for (size_t t = 0; t < 4; t++) {
            char text[512];
            snprintf(text, sizeof text,
                     "<message type='chat' to='%s' id='m'><%s xmlns='urn:xmpp:jingle-message:0' "
                     "id='c1'/><store xmlns='urn:xmpp:hints'/></message>",
                     to[t], names[n]);
            forget(w);
            say(w, romeo, text);
            const client *const all[] = {phone, laptop, tablet};
            for (size_t i = 0; i < 3; i++)
                if (SEEN(w, all[i], .id = "m", .to = to[t]) != 1)
                    fail_msg("%s to %s: device %zu", names[n], to[t], i);
            assert_int_equal(SEEN(w, tomb, .id = "m"), t == 2);
            assert_int_equal(SEEN(w, romeo), 0);
        }
    }
    leave(w);
}

/* Nothing else that names a session goes to others: other types, other elements, what a room says. */
static void only_calls_do(void **state)
{
    (void)state;
    static const char *const others[] = {
        CALL("propose", JULIET "/phone", "m", "normal"),
        CALL("propose", JULIET "/phone", "m", "headline"),
        CALL("propose", JULIET "/phone", "m", "groupchat"),
        CALL("unheard-of", JULIET "/phone", "m", "chat"),
        "<message type='chat' to='" JULIET "/phone' id='m'><body>x</body></message>",
        "<message type='chat' to='" JULIET "/phone' id='m'><propose xmlns='urn:example:x'/></message>",
        "<message type='chat' to='" JULIET "/phone' id='m'><propose "
        "xmlns='urn:xmpp:jingle-message:0' id='c1'/><x xmlns='http://jabber.org/protocol/muc#user'/>"
        "</message>"};
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard");
    client *phone = online(w, JULIET "/phone"), *laptop = online(w, JULIET "/laptop");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        forget(w);
        say(w, romeo, others[i]);
        assert_int_equal(SEEN(w, phone, .id = "m"), 1);
        assert_int_equal(SEEN(w, laptop), 0);
    }
    leave(w);
}

/* With no device on line a call waits in the order in which it was made; what was on its way to a device
 * that broke is not heard twice by those who had it. */
static void calls_are_kept(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard");
    say(w, romeo, CALL("propose", JULIET, "m1", "chat") CALL("retract", JULIET, "m2", "chat"));
    client *phone = join(w, JULIET "/phone");
    say(w, phone, "<presence/>");
    assert_int_equal(SEEN(w, phone, .id = "m1", .holds = "<propose "), 1);
    assert_true(PLACE(w, phone, .id = "m1") < PLACE(w, phone, .id = "m2"));
    client *train = join_narrow(w, JULIET "/train");
    say(w, train, "<presence/>");
    listens(w, train, false);
    char text[1024];
    snprintf(text, sizeof text,
             "<message type='chat' to='" JULIET "/train' id='big'><proceed "
             "xmlns='urn:xmpp:jingle-message:0' id='c1'/><body>%0600d</body></message>",
             0);
    forget(w);
    say(w, romeo, text);
    assert_int_equal(SEEN(w, phone, .id = "big"), 1);
    part(w, train);
    assert_int_equal(SEEN(w, phone, .id = "big"), 1);
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
    leave(w);
}

/* --- records of sessions ----------------------------------------------------------------------- */

/* A session that is counted and recorded, as XEP-0198 has it. */
static client *recorded(world *w, const char *jid)
{
    const svi_counting how = {.keep_us = 1, .max_stanzas = 1000, .max_bytes = 1u << 20, .ask_stanzas = 1000,
                              .ask_bytes = 1u << 20, .ask_idle_us = 1000000000, .answer_us = 1000000000};
    client *c = online(w, jid);
    sv_session *session = svi_session_find(w->server, sv_str_of(jid));
    svi_session_count_in(session, &how);
    svi_session_count_out(session);
    return c;
}

typedef struct worth {
    const char *content;
    bool is_kept;
} worth;

/* Architecture 8: a chat state and no-store are volatile; what else a message has is not. */
static void fleeting_is_not_recorded(void **state)
{
    (void)state;
#define STATE(name) "<" name " xmlns='http://jabber.org/protocol/chatstates'/>"
    static const worth all[] = {
        {STATE("composing"), false},
        {STATE("paused"), false},
        {STATE("active"), false},
        {STATE("inactive"), false},
        {STATE("gone") "<thread>t</thread>", false},
        {STATE("active") "<body>x</body>", true},
        {"<body>x</body>", true},
        {"<thread>t</thread>", true},
        {"<body>x</body><no-store xmlns='urn:xmpp:hints'/>", false},
        {"<body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/>", true},
    };
    static const char *const whom[] = {JULIET, JULIET "/phone", ROMEO, ROMEO "/other"};
    char text[1024];
    sv_err err;
    world *w = stage(NO_OFFLINE ", \"carbons\"", "");
    w->server->keeps_records = true;
    assert_int_equal(svi_records_open(svi_host_find(w->server, SV_STR(HERE)), &err), SV_OK);
    client *romeo = join(w, ROMEO "/orchard"), *phone = recorded(w, JULIET "/phone"), *other = recorded(w, ROMEO "/other");
    say(w, other, "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            pass_time(w, 2000000); /* nothing is left to be written */
            forget(w);
            const uint64_t before = svi_store_submitted(svi_server_store(w->server));
            snprintf(text, sizeof text, "<message type='chat' to='%s' id='m'>%s</message>", whom[k], all[i].content);
            say(w, romeo, text);
            assert_int_equal(SEEN(w, k < 2 ? phone : other, .id = "m"), 1);
            const bool is_written = svi_store_submitted(svi_server_store(w->server)) > before;
            if (is_written != all[i].is_kept) fail_msg("%s: %s", whom[k], all[i].content);
        }
    }
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivery_rules),
        cmocka_unit_test(delivery_rules_without_offline),
        cmocka_unit_test(to_oneself),
        cmocka_unit_test(unsent_goes_to_who_came_later),
        cmocka_unit_test(unsent_is_not_repeated),
        cmocka_unit_test(unsent_over_a_reload),
        cmocka_unit_test(unsent_by_two_is_kept_once),
        cmocka_unit_test(unsent_is_kept),
        cmocka_unit_test(calls_reach_every_device),
        cmocka_unit_test(only_calls_do),
        cmocka_unit_test(calls_are_kept),
        cmocka_unit_test(fleeting_is_not_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
