/* Tests of presence: who hears of a session that comes, changes and ends, whatever the way it ends;
 * probes; directed presence. */
#include <stave/roster.h>

#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define NURSE "nurse@" HERE

static void subscribe(world *w, const char *owner, const char *contact, unsigned flags)
{
    char record[32];
    snprintf(record, sizeof record, "R1%02x\n\n", flags | SV_ROSTER_LISTED);
    write_row(w, "roster/items", owner, contact, record);
}

/* --- the end of a session ------------------------------------------------------------------ */

/* RFC 6121 4.5: how a session can end. */
typedef enum ending {
    UNAVAILABLE,
    VANISHED,
    STREAM_END,
    STREAM_ERROR,
    CONFLICT,
    KICKED,
    DISABLED, /* this and the next end all sessions of the account */
    DELETED
} ending;

static void end_account(world *w, ending how)
{
    svi_host *host = svi_host_find(w->server, SV_STR(HERE));
    int status = 1;
    if (how == DELETED)
        svi_account_remove(host, SV_STR("romeo"), w_status, &status);
    else
        svi_account_disable(host, SV_STR("romeo"), SV_STR("x"), false, w_status, &status);
    for (int i = 0; i < 1000 && status == 1; i++) turn(w);
    assert_int_equal(status, SV_OK);
}

static void make_end(world *w, client *orchard, ending how)
{
    if (how > VANISHED)
        listens(w, orchard, false); /* the end of its stream would be readable for ever */
    switch (how) {
    case UNAVAILABLE: say(w, orchard, "<presence type='unavailable'/>"); break;
    case STREAM_END: say(w, orchard, "</stream:stream>"); break;
    case VANISHED: part(w, orchard); break;
    case STREAM_ERROR: say(w, orchard, "<unheard-of xmlns='urn:example:x'/>"); break;
    case CONFLICT: part(w, join(w, ROMEO "/orchard")); break;
    case KICKED:
        svi_session_kick(svi_session_find(w->server, SV_STR(ROMEO "/orchard")), "policy-violation");
        turn(w);
        break;
    case DISABLED:
    case DELETED: end_account(w, how); break;
    }
    pass_time(w, 2000000); /* for last words */
}

static unsigned told(world *w, const client *c)
{
    return SEEN(w, c, .name = "presence", .type = "unavailable", .from = ROMEO "/orchard");
}

/* Subscribers, the account's other sessions and those who got directed presence hear of it, once
 * each; nobody else does. */
static void check_ending(ending how)
{
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    subscribe(w, "romeo", JULIET, SV_ROSTER_FROM);
    subscribe(w, "romeo", NURSE, SV_ROSTER_TO | SV_ROSTER_PENDING_IN);
    client *street = online(w, ROMEO "/street"), *juliet = online(w, JULIET "/balcony");
    client *nurse = online(w, NURSE "/house"), *orchard = online(w, ROMEO "/orchard");
    forget(w);
    say(w, orchard,
        "<presence to='" JULIET "'/><presence to='" NURSE "/house'/>"
        "<presence to='" NURSE "/house'/>");
    assert_int_equal(SEEN(w, juliet, .from = ROMEO "/orchard"), 1);
    assert_int_equal(SEEN(w, nurse, .from = ROMEO "/orchard"), 2);
    forget(w);
    if (how >= DISABLED) listens(w, street, false);
    make_end(w, orchard, how);
    if (told(w, street) != (how < DISABLED) || told(w, juliet) != 1 || told(w, nurse) != 1)
        fail_msg("ending %d: street %u, juliet %u, nurse %u", (int)how, told(w, street),
                 told(w, juliet), told(w, nurse));
    forget(w);
    if (how == UNAVAILABLE)
        part(w, orchard); /* the end of a session that is unavailable is no news */
    assert_int_equal(told(w, street) + told(w, juliet) + told(w, nurse), 0);
    assert_int_equal(SEEN(w, street) + SEEN(w, juliet) + SEEN(w, nurse), 0);
    leave(w);
}

static void every_end_is_told(void **state)
{
    (void)state;
    for (int how = UNAVAILABLE; how <= DELETED; how++) check_ending((ending)how);
}

/* 4.6.3, case 3: a session that never was available owes it to those it sent presence to, and to
 * nobody else. */
static void directed_without_initial_presence(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    subscribe(w, "romeo", JULIET, SV_ROSTER_FROM);
    client *juliet = online(w, JULIET "/balcony"), *nurse = online(w, NURSE "/house");
    client *orchard = join(w, ROMEO "/orchard");
    say(w, orchard, "<presence to='" NURSE "'><show>chat</show></presence>");
    assert_int_equal(SEEN(w, nurse, .from = ROMEO "/orchard", .holds = "<show>chat</show>"), 1);
    part(w, orchard);
    assert_int_equal(told(w, nurse), 1);
    assert_int_equal(SEEN(w, juliet), 0);
    leave(w);
}

/* 4.6.1: who got directed presence and says itself that it is gone hears of no end: by the session it
 * names, or by all; one that was not told, or is elsewhere, changes nothing. */
static void who_left_is_told_no_more(void **state)
{
    (void)state;
    static const struct {
        const char *to;
        bool orchard, street; /* whose end is still told */
    } cases[] = {{ROMEO, false, false},
                 {ROMEO "/orchard", false, true},
                 {ROMEO "/gone", true, true},
                 {JULIET "/balcony", true, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world *w = stage(ALL_MODULES, "");
        client *nurse = online(w, NURSE "/house"), *juliet = online(w, JULIET "/balcony");
        client *orchard = online(w, ROMEO "/orchard"), *street = online(w, ROMEO "/street");
        static const char hello[] =
            "<presence to='" JULIET "/balcony'/><presence to='" NURSE "/house'/>";
        say(w, orchard, hello);
        say(w, street, hello);
        char text[128];
        snprintf(text, sizeof text, "<presence type='unavailable' to='%s'/>", cases[i].to);
        say(w, nurse, text);
        forget(w);
        say(w, nurse, "<presence type='probe' to='" ROMEO "/orchard'/>"); /* nor may it ask */
        assert_int_equal(SEEN(w, nurse, .from = ROMEO "/orchard", .type = ""), cases[i].orchard);
        part(w, orchard);
        assert_int_equal(told(w, nurse), cases[i].orchard);
        assert_int_equal(told(w, juliet), 1);
        part(w, street);
        assert_int_equal(SEEN(w, nurse, .type = "unavailable", .from = ROMEO "/street"),
                         cases[i].street);
        assert_int_equal(SEEN(w, juliet, .type = "unavailable", .from = ROMEO "/street"), 1);
        leave(w);
    }
}

/* --- broadcasts ---------------------------------------------------------------------------- */

/* 4.2.2, 4.4.2: the whole stanza to subscribers and own sessions; a probe at the start of a
 * presence session, and again when it starts anew (4.5.2). */
static void broadcasts(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    subscribe(w, "romeo", JULIET, SV_ROSTER_FROM | SV_ROSTER_TO);
    subscribe(w, "juliet", ROMEO, SV_ROSTER_FROM | SV_ROSTER_TO);
    client *juliet = online(w, JULIET "/balcony"), *street = online(w, ROMEO "/street");
    client *orchard = join(w, ROMEO "/orchard");
    for (int round = 0; round < 2; round++) {
        forget(w);
        say(w, orchard,
            "<presence id='p1'><status>s</status><x xmlns='urn:example:x'/></presence>");
        assert_int_equal(SEEN(w, juliet, .from = ROMEO "/orchard", .to = JULIET, .id = "p1",
                              .holds = "<x xmlns='urn:example:x'"),
                         1);
        assert_int_equal(SEEN(w, street, .from = ROMEO "/orchard", .id = "p1"), 1);
        assert_int_equal(SEEN(w, orchard, .from = ROMEO "/orchard", .id = "p1"), 1);
        assert_int_equal(SEEN(w, orchard, .from = ROMEO "/street"), 1);
        assert_int_equal(SEEN(w, orchard, .from = JULIET "/balcony"), 1);
        assert_int_equal(SEEN(w, street, .from = JULIET "/balcony"), 0); /* it asked long ago */
        forget(w);
        say(w, orchard, "<presence id='p2'/>");
        assert_int_equal(SEEN(w, orchard), 1); /* no answers to probes */
        say(w, orchard, "<presence type='unavailable' id='p3'><status>bye</status></presence>");
        assert_int_equal(SEEN(w, juliet, .id = "p3", .holds = "<status>bye</status>"), 1);
        assert_int_equal(SEEN(w, street, .id = "p3"), 1);
        assert_int_equal(SEEN(w, orchard, .id = "p3"), 1); /* 4.5.2: also to the one that sent it */
    }
    leave(w);
}

/* 4.7.2.3: an integer from -128 to 127; 4.7.1: no other types. */
static void refuses_what_is_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *priority;
        int value; /* 1000: refused */
    } cases[] = {{"0", 0},       {"5", 5},      {"+5", 5},      {"-0", 0},      {"127", 127},
                 {"-128", -128}, {"128", 1000}, {"-129", 1000}, {"1000", 1000}, {"", 1000},
                 {"-", 1000},    {"x", 1000},   {"1x", 1000},   {"1.5", 1000}};
    world *w = stage(ALL_MODULES, "");
    client *romeo = join(w, ROMEO "/orchard");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        snprintf(text, sizeof text, "<presence id='p'><priority>%s</priority></presence>",
                 cases[i].priority);
        say(w, romeo, text);
        const bool refused = SEEN(w, romeo, .type = "error", .id = "p", .holds = "<bad-request ");
        const sv_session *s = svi_session_find(w->server, SV_STR(ROMEO "/orchard"));
        if (refused != (cases[i].value == 1000) ||
            (!refused && svi_session_priority(s) != cases[i].value))
            fail_msg("priority '%s'", cases[i].priority);
        say(w, romeo, "<presence type='unavailable'/>");
    }
    say(w, romeo, "<presence type='available' to='" JULIET "' id='t'/>");
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "t", .holds = "<bad-request "), 1);
    static const char *const kinds[] = {"subscribe", "unsubscribe", "subscribed", "unsubscribed"};
    for (size_t i = 0; i < 4; i++) { /* 3.1.2: the address, before anything is done */
        char text[128];
        snprintf(text, sizeof text, "<presence type='%s' to='@" HERE "' id='m'/>", kinds[i]);
        say(w, romeo, text);
        assert_int_equal(SEEN(w, romeo, .type = "error", .id = "m", .holds = "<jid-malformed "), 1);
        assert_int_equal(SEEN(w, romeo), 1);
        assert_int_equal(row_count(w, "roster/items", "romeo"), 0);
    }
    say(w, romeo, "<presence type='available' id='b'/><presence type='x' to='" ROMEO "' id='o'/>");
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "b", .holds = "<bad-request "), 1);
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "o", .holds = "<bad-request "), 1);
    assert_int_equal(SEEN(w, romeo), 2);
    leave(w);
}

/* 8.5.2.1.2 holds for the own account, too. */
static void to_the_own_account(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *street = online(w, ROMEO "/street"), *orchard = join(w, ROMEO "/orchard");
    say(w, orchard, "<presence to='" ROMEO "' id='d'/>");
    assert_int_equal(SEEN(w, street, .id = "d", .from = ROMEO "/orchard"), 1);
    assert_int_equal(SEEN(w, orchard), 0);
    /* nobody subscribes to himself, by whichever address: it could never be answered */
    static const char *const to[] = {ROMEO, ROMEO "/street", ROMEO "/orchard", ROMEO "/gone"};
    for (size_t i = 0; i < 4; i++) {
        static const char *const types[] = {"subscribe", "subscribed", "unsubscribe", "unsubscribed"};
        for (size_t t = 0; t < 4; t++) {
            char text[128];
            snprintf(text, sizeof text, "<presence to='%s' type='%s'/>", to[i], types[t]);
            say(w, orchard, text);
            assert_int_equal(SEEN(w, street, .type = types[t]) + SEEN(w, orchard), 0);
        }
    }
    assert_int_equal(row_count(w, "roster/items", "romeo"), 0);
    assert_int_equal(row_count(w, "presence/requests", "romeo"), 0);
    leave(w);
}

/* --- probes -------------------------------------------------------------------------------- */

/* What a probe brings by what stands in the roster of the one probed (4.3.2). */
static void probes(void **state)
{
    (void)state;
    enum { FROM = SV_ROSTER_FROM, TO = SV_ROSTER_TO, IN = SV_ROSTER_PENDING_IN };
    static const struct {
        unsigned flags;
        const char *to;
        const char *from, *type; /* of the answer; NULL: none is seen */
        bool is_bare;            /* it tells no more than that */
    } cases[] = {
        {FROM, JULIET, JULIET "/balcony", "", false},
        {FROM | TO, JULIET "/balcony", JULIET "/balcony", "", true},
        {FROM, JULIET "/gone", JULIET "/gone", "unavailable", true},
        {FROM, JULIET "/tomb", JULIET "/tomb", "unavailable", true}, /* connected, not available */
        {FROM, NURSE, NURSE, "unavailable", true},                   /* nobody there */
        {TO, JULIET, JULIET, "unsubscribed", true},
        {0, JULIET "/balcony", JULIET, "unsubscribed", true},
        {0, NURSE, NURSE, "unsubscribed", true},
        {IN, JULIET, NULL, NULL, true}, /* a request that waits is not ended */
        {IN, NURSE, NULL, NULL, true},
        {SV_ROSTER_APPROVED, JULIET, JULIET, "unsubscribed", true}, /* nor is an approval (rule 1) */
    };
    world *w = stage(ALL_MODULES, "");
    account(w, "nurse");
    client *juliet = online(w, JULIET "/balcony"), *tomb = join(w, JULIET "/tomb");
    say(w, juliet, "<presence id='last'><status>s</status></presence>");
    client *romeo = online(w, ROMEO "/orchard");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        subscribe(w, "juliet", ROMEO, cases[i].flags);
        subscribe(w, "nurse", ROMEO, cases[i].flags);
        subscribe(w, "romeo", JULIET,
                  SV_ROSTER_PENDING_OUT); /* else an 'unsubscribed' is not shown */
        subscribe(w, "romeo", NURSE, SV_ROSTER_PENDING_OUT);
        forget(w);
        snprintf(text, sizeof text, "<presence type='probe' to='%s' id='p'/>", cases[i].to);
        say(w, romeo, text);
        char record[64];
        assert_true(read_row(w, "roster/items", "juliet", ROMEO, record, sizeof record));
        assert_int_equal(sv_roster_flags(sv_str_of(record)), cases[i].flags | SV_ROSTER_LISTED);
        const bool any = cases[i].from != NULL;
        const unsigned count = SEEN(w, romeo, .name = "presence");
        if (count != any ||
            (any && SEEN(w, romeo, .from = cases[i].from, .type = cases[i].type) != 1))
            fail_msg("probe %zu brings %u: %.*s", i, count, (int)romeo->in.len, romeo->in.data);
        /* 4.3.2.1: the probe's id, or that of the presence itself */
        if (any) assert_int_equal(SEEN(w, romeo, .id = cases[i].is_bare ? "p" : "last"), 1);
        assert_int_equal(SEEN(w, romeo, .holds = "<status>"), any && !cases[i].is_bare);
    }
    assert_int_equal(SEEN(w, tomb) + SEEN(w, juliet), 0);
    leave(w);
}

/* Threats U7: a stranger learns the same of an account that is there as of one that is not:
 * nothing. */
static void probes_by_strangers(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *juliet = online(w, JULIET "/balcony"), *eve = online(w, "eve@" HERE "/x");
    static const char *const targets[] = {JULIET, "nobody@" HERE};
    for (size_t i = 0; i < 2; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "<presence type='probe' to='%s'/><presence type='probe' to='%s/balcony'/>"
                 "<presence type='subscribed' to='%s'/><presence type='unsubscribe' to='%s'/>",
                 targets[i], targets[i], targets[i], targets[i]);
        say(w, eve, text);
        assert_int_equal(SEEN(w, eve, .name = "iq", .holds = "approved='true'"), 1); /* her own note */
        assert_int_equal(SEEN(w, eve), 1);
        snprintf(text, sizeof text, "<presence type='subscribe' to='%s'/>", targets[i]);
        say(w, eve, text);
        assert_int_equal(SEEN(w, eve, .name = "presence"), 0);
        snprintf(text, sizeof text, "<presence type='probe' to='%s'/>", targets[i]);
        say(w, eve, text); /* the request waits, or there is nobody */
        assert_int_equal(SEEN(w, eve), 0);
    }
    assert_int_equal(SEEN(w, juliet, .type = "subscribe"), 1);
    leave(w);
}

/* 4.3.2 rule 1: who believes to be subscribed to nobody learns better at its next login; a request that
 * waits goes on waiting, as it would if there were somebody. */
static void probes_of_nobody(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    static const struct {
        unsigned flags;
        bool is_told;
    } cases[] = {{SV_ROSTER_TO, true},
                 {SV_ROSTER_TO | SV_ROSTER_FROM, true},
                 {SV_ROSTER_PENDING_OUT, false},
                 {SV_ROSTER_FROM, false},
                 {0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        subscribe(w, "romeo", "nobody@" HERE, cases[i].flags);
        client *romeo = join(w, ROMEO "/orchard");
        say(w, romeo, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>"
                      "<presence type='probe' to='nobody@" HERE "/x'/>");
        const unsigned told = SEEN(w, romeo, .name = "presence", .from = "nobody@" HERE);
        if (told != cases[i].is_told) fail_msg("flags %x: told %u times", cases[i].flags, told);
        assert_int_equal(SEEN(w, romeo, .type = "unsubscribed"), told);
        part(w, romeo);
    }
    /* to another server the word goes without a look: it is not known what it has */
    const uint64_t made = svi_ledger_total(svi_server_ledger(w->server))->origin[SVI_MADE_PUSH];
    arrives(w, "<presence type='probe' from='a@far.example' to='nobody@" HERE "'/>");
    arrives(w, "<presence from='a@far.example/x' to='nobody@" HERE "'/>");
    assert_int_equal(svi_ledger_total(svi_server_ledger(w->server))->origin[SVI_MADE_PUSH],
                     made + 1);
    leave(w);
}

/* 8.5.3.2.2: an answer or farewell to a session that is gone changes nothing; a request does. */
static void subscriptions_to_lost_sessions(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *juliet = online(w, JULIET "/balcony");
    char record[64], before[64];
    subscribe(w, "juliet", "a@far.example", SV_ROSTER_PENDING_OUT | SV_ROSTER_FROM);
    assert_true(read_row(w, "roster/items", "juliet", "a@far.example", before, sizeof before));
    static const char *const types[] = {"subscribed", "unsubscribe", "unsubscribed"};
    for (size_t i = 0; i < 3; i++) {
        char text[128];
        snprintf(text, sizeof text,
                 "<presence type='%s' from='a@far.example' to='" JULIET "/gone'/>", types[i]);
        arrives(w, text);
        assert_true(read_row(w, "roster/items", "juliet", "a@far.example", record, sizeof record));
        assert_string_equal(record, before);
    }
    assert_int_equal(SEEN(w, juliet), 0);
    arrives(w, "<presence type='subscribe' from='b@far.example' to='" JULIET "/gone'/>");
    assert_int_equal(SEEN(w, juliet, .type = "subscribe", .from = "b@far.example"), 1);
    leave(w);
}

/* 4.6.6: who was sent presence may ask that session, and no other, as long as it lasts. */
static void probes_after_directed_presence(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *romeo = online(w, ROMEO "/orchard"), *street = online(w, ROMEO "/street");
    client *nurse = online(w, NURSE "/house");
    say(w, romeo, "<presence to='" NURSE "'><show>dnd</show></presence>");
    say(w, nurse, "<presence type='probe' to='" ROMEO "/orchard' id='p'/>");
    assert_int_equal(SEEN(w, nurse, .from = ROMEO "/orchard", .type = "", .id = "p"), 1);
    assert_int_equal(SEEN(w, nurse, .holds = "<show>"), 0);
    say(w, nurse,
        "<presence type='probe' to='" ROMEO "/street'/>"
        "<presence type='probe' to='" ROMEO "'/>");
    assert_int_equal(SEEN(w, nurse), 0);
    say(w, romeo, "<presence to='" NURSE "' type='unavailable'/>");
    say(w, nurse, "<presence type='probe' to='" ROMEO "/orchard'/>");
    assert_int_equal(SEEN(w, nurse), 0);
    assert_int_equal(SEEN(w, street), 0);
    leave(w);
}

/* --- bounds -------------------------------------------------------------------------------- */

/* The list of those who got directed presence is bounded; who is on it already, or leaves it, is
 * never refused. */
static void directed_presence_is_bounded(void **state)
{
    (void)state;
    char text[256];
    int n = 0;
    world *w = stage(ALL_MODULES, "presence_directed_bytes = \"1k\"");
    client *romeo = join(w, ROMEO "/orchard");
    do {
        snprintf(text, sizeof text, "<presence to='nobody%04d@" HERE "/x' id='d'/>", n++);
        say(w, romeo, text);
    } while (n < 1000 && SEEN(w, romeo, .type = "error") == 0);
    assert_int_equal(SEEN(w, romeo, .id = "d", .holds = "<resource-constraint "), 1);
    assert_int_equal(n - 1, 1024 / (int)strlen("nobody0000@" HERE "/x\n"));
    say(w, romeo, "<presence to='nobody0000@" HERE "/x'/>");
    assert_int_equal(SEEN(w, romeo), 0);
    say(w, romeo, "<presence to='nobody0003@" HERE "/x' type='unavailable'/>");
    assert_int_equal(SEEN(w, romeo), 0);
    say(w, romeo, text);
    assert_int_equal(SEEN(w, romeo), 0);
    leave(w);
}

enum { CROWD = 300, ROUNDS = 20 };

/* A session that sees many contacts, none of them in memory, with the store standing still: it comes
 * and goes, and each time all of them are asked; then it sends a message. */
static client *floods(world *w, client **juliet_out)
{
    account(w, "romeo");
    account(w, "juliet");
    for (int i = 0; i < CROWD; i++) {
        char name[16], jid[64];
        snprintf(name, sizeof name, "c%03d", i);
        snprintf(jid, sizeof jid, "%s@" HERE, name);
        account(w, name);
        subscribe(w, "romeo", jid, SV_ROSTER_TO);
        subscribe(w, name, ROMEO, SV_ROSTER_FROM);
    }
    halt(w, false);
    boot(w, ALL_MODULES, "");
    *juliet_out = online(w, JULIET "/balcony");
    client *romeo = join(w, ROMEO "/orchard");
    svi_engine_sim_plan(w->engine)->hold = true;
    static char text[ROUNDS * 64];
    int n = 0;
    for (int i = 0; i < ROUNDS; i++)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "<presence/><presence type='unavailable'/>");
    snprintf(text + n, sizeof text - (size_t)n,
             "<message type='chat' id='m1' to='" JULIET "'><body>x</body></message>");
    say(w, romeo, text);
    return romeo;
}

/* Threats U9: what one session caused and is not done is bounded; what it sends behind it waits, in
 * order. */
static void floods_are_bounded(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *juliet, *romeo = floods(w, &juliet);
    const size_t most = svi_limits_default().caused_events + CROWD + 10;
    uint64_t now = svi_ledger_in_flight(svi_server_ledger(w->server));
    assert_in_range(now, CROWD, most);
    bool has_said = false;
    while (svi_engine_sim_step(w->engine, 20) > 0) {
        turn(w);
        now = svi_ledger_in_flight(svi_server_ledger(w->server));
        assert_in_range(now, 0, most);
        if (has_said || now >= svi_limits_default().caused_events) continue;
        has_said = true;
        say(w, romeo, "<message type='chat' id='m2' to='" JULIET "/balcony'/>");
        assert_int_equal(SEEN(w, juliet, .name = "message"), 0);
    }
    assert_true(has_said);
    assert_int_equal(SEEN(w, juliet, .name = "message"), 2);
    assert_true(PLACE(w, juliet, .id = "m1") < PLACE(w, juliet, .id = "m2"));
    leave(w);
}

/* --- requests to sessions (RFC 6121 8.5.3.1) ------------------------------------------------- */

#define ASK(type, id) "<iq type='" type "' id='" id "' to='" JULIET "/balcony'><q xmlns='x:y'/></iq>"

/* Does a request arrive? If not, the answer is that of a session that is not there, but for its
 * address. */
static bool is_heard(world *w, client *asker, client *juliet)
{
    forget(w);
    say(w, asker, ASK("get", "g") ASK("set", "s") "<iq type='get' id='gone' to='" JULIET "/gone'>"
                  "<q xmlns='x:y'/></iq>");
    const unsigned heard =
        SEEN(w, juliet, .name = "iq", .id = "g") + SEEN(w, juliet, .name = "iq", .id = "s");
    static const char *const ids[] = {"g", "s", "gone"};
    for (size_t i = heard == 2 ? 2 : 0; i < 3; i++)
        assert_int_equal(SEEN(w, asker, .name = "iq", .type = "error", .id = ids[i],
                              .from = i < 2 ? JULIET "/balcony" : JULIET "/gone",
                              .holds = "><error type='cancel'><service-unavailable xmlns='urn:ietf:"
                                       "params:xml:ns:xmpp-stanzas'/></error></iq>"),
                         1);
    assert_int_equal(SEEN(w, asker), heard == 2 ? 1 : 3);
    assert_true(heard == 0 || heard == 2);
    return heard == 2;
}

static void requests_by_strangers(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *juliet = online(w, JULIET "/balcony"), *romeo = online(w, ROMEO "/orchard");
    assert_false(is_heard(w, romeo, juliet));
    static const struct {
        unsigned flags;
        bool is_heard;
    } states[] = {{0, false},
                  {SV_ROSTER_TO, false},
                  {SV_ROSTER_PENDING_IN, false},
                  {SV_ROSTER_TO | SV_ROSTER_PENDING_IN, false},
                  {SV_ROSTER_FROM, true},
                  {SV_ROSTER_FROM | SV_ROSTER_TO, true},
                  {SV_ROSTER_FROM | SV_ROSTER_PENDING_OUT, true}};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        subscribe(w, "juliet", ROMEO, states[i].flags);
        if (is_heard(w, romeo, juliet) != states[i].is_heard)
            fail_msg("flags %x: heard", states[i].flags);
    }
    /* what the sender thinks of the recipient does not count */
    write_row(w, "roster/items", "juliet", ROMEO, NULL);
    subscribe(w, "romeo", JULIET, SV_ROSTER_FROM | SV_ROSTER_TO);
    assert_false(is_heard(w, romeo, juliet));
    leave(w);
}

/* Who was sent presence may ask that session, from any resource, as long as it was not taken back;
 * no account whose name only begins alike. */
static void requests_after_directed_presence(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *juliet = online(w, JULIET "/balcony"), *romeo = online(w, ROMEO "/orchard");
    client *street = online(w, ROMEO "/street");
    client *chamber = online(w, JULIET "/chamber");
    say(w, juliet, "<presence to='" ROMEO ".far/orchard'/>");
    assert_false(is_heard(w, romeo, juliet));
    say(w, juliet, "<presence to='" ROMEO "/orchard'/>");
    assert_true(is_heard(w, romeo, juliet));
    assert_true(is_heard(w, street, juliet));
    forget(w);
    say(w, romeo, "<iq type='get' id='c' to='" JULIET "/chamber'><q xmlns='x:y'/></iq>");
    assert_int_equal(SEEN(w, chamber), 0); /* the other session told nobody */
    say(w, juliet, "<presence type='unavailable' to='" ROMEO "/orchard'/>");
    assert_false(is_heard(w, romeo, juliet));
    say(w, juliet, "<presence to='" ROMEO "'/>");
    assert_true(is_heard(w, romeo, juliet));
    leave(w);
}

/* The account's own sessions and the server ask without more; answers pass, whoever sends them. */
static void requests_that_need_no_presence(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *juliet = join(w, JULIET "/balcony"), *chamber = join(w, JULIET "/chamber");
    client *romeo = join(w, ROMEO "/orchard");
    assert_true(is_heard(w, chamber, juliet));
    forget(w);
    arrives(w, "<iq type='get' id='h' from='" HERE "' to='" JULIET "/balcony'><q xmlns='x:y'/></iq>");
    assert_int_equal(SEEN(w, juliet, .id = "h"), 1);
    arrives(w, "<iq type='get' id='f' from='far.example' to='" JULIET "/balcony'>"
               "<q xmlns='x:y'/></iq>");
    assert_int_equal(SEEN(w, juliet, .id = "f"), 0);
    say(w, romeo, "<iq type='result' id='r' to='" JULIET "/balcony'/>"
                  "<iq type='error' id='e' to='" JULIET "/balcony'><error type='cancel'/></iq>");
    assert_int_equal(SEEN(w, juliet, .id = "r") + SEEN(w, juliet, .id = "e"), 2);
    leave(w);
}

/* The roster may have to be read first; one that cannot be read says no. */
static void requests_while_the_roster_is_read(void **state)
{
    (void)state;
    static const char without_blocking[] = "\"roster\", \"presence\", \"message\""; /* it reads, too */
    world *w = stage(without_blocking, "");
    account(w, "juliet");
    subscribe(w, "juliet", ROMEO, SV_ROSTER_FROM);
    client *romeo = join(w, ROMEO "/orchard");
    halt(w, false);
    boot(w, without_blocking, "");
    romeo = join(w, ROMEO "/orchard");
    svi_sim_plan *plan = svi_engine_sim_plan(w->engine);
    plan->fail_read = 1; /* what keeps the roster in memory while the session lives */
    client *juliet = join(w, JULIET "/balcony");
    assert_int_equal(plan->fail_read, 0);
    plan->fail_read = 1;
    say(w, romeo, ASK("get", "g1"));
    assert_int_equal(plan->fail_read, 0);
    assert_int_equal(SEEN(w, romeo, .id = "g1", .holds = "<service-unavailable "), 1);
    assert_int_equal(SEEN(w, juliet), 0);
    say(w, romeo, ASK("get", "g2"));
    assert_int_equal(SEEN(w, juliet, .id = "g2"), 1);
    leave(w);
}

/* What waits behind the flood when the connection ends was sent before its end. */
static void a_flood_swallows_nothing(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *juliet, *romeo = floods(w, &juliet);
    assert_int_equal(SEEN(w, juliet, .name = "message"), 0);
    part(w, romeo);
    assert_int_equal(SEEN(w, juliet, .name = "message", .id = "m1"), 1);
    assert_in_range(svi_ledger_in_flight(svi_server_ledger(w->server)), CROWD,
                    svi_limits_default().caused_events + CROWD + 10);
    while (svi_engine_sim_step(w->engine, 20) > 0) turn(w);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_end_is_told),
        cmocka_unit_test(directed_without_initial_presence),
        cmocka_unit_test(who_left_is_told_no_more),
        cmocka_unit_test(broadcasts),
        cmocka_unit_test(refuses_what_is_malformed),
        cmocka_unit_test(to_the_own_account),
        cmocka_unit_test(probes),
        cmocka_unit_test(probes_by_strangers),
        cmocka_unit_test(probes_of_nobody),
        cmocka_unit_test(subscriptions_to_lost_sessions),
        cmocka_unit_test(probes_after_directed_presence),
        cmocka_unit_test(directed_presence_is_bounded),
        cmocka_unit_test(floods_are_bounded),
        cmocka_unit_test(requests_by_strangers),
        cmocka_unit_test(requests_after_directed_presence),
        cmocka_unit_test(requests_that_need_no_presence),
        cmocka_unit_test(requests_while_the_roster_is_read),
        cmocka_unit_test(a_flood_swallows_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
