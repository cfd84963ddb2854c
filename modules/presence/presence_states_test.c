/* Tests of the subscription states: every row of the tables of RFC 6121 appendix A, on the real
 * server. */
#include <stave/roster.h>

#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define ELSEWHERE "juliet@elsewhere.example"

enum {
    L = SV_ROSTER_LISTED,
    F = SV_ROSTER_FROM,
    T = SV_ROSTER_TO,
    O = SV_ROSTER_PENDING_OUT,
    I = SV_ROSTER_PENDING_IN,
    A = SV_ROSTER_APPROVED
};

/* RFC 6121 A.1: the nine states, in the order of the tables. */
static const unsigned nine[] = {0, O, I, O | I, T, T | I, F, F | O, F | T};
enum { NONE, OUT, IN, OUT_IN, TO, TO_IN, FROM, FROM_OUT, BOTH, SAME };

/* The nine as items; two that need no item (a state of "None" includes the contact that is not in the
 * roster; rule 3 of A.1); those in which a request is or was approved before (3.4.2). */
static const unsigned states[] = {
    0,         I,         L,         L | O,     L | I,     L | O | I,     L | T,        L | T | I,
    L | F,     L | F | O, L | F | T, L | A,     L | O | A, L | T | A,     L | F | A,    L | F | O | A,
    L | F | T | A};
enum { STATES = sizeof states / sizeof *states };

static size_t number_of(unsigned s)
{
    for (size_t i = 0; i < 9; i++)
        if (nine[i] == (s & (F | T | O | I))) return i;
    fail_msg("%02x is none of the nine states", s);
    return 0;
}

static const char *const types[] = {"subscribe", "unsubscribe", "subscribed", "unsubscribed"};

static void set_state(world *w, const char *owner, const char *contact, unsigned flags)
{
    char record[32];
    snprintf(record, sizeof record, "R1%02x\nNick\nGroup\n", flags);
    write_row(w, "roster/items", owner, contact, flags ? record : NULL);
    write_row(w, "presence/requests", owner, contact,
              flags & I ? "<presence xmlns='jabber:client' type='subscribe' id='kept'/>" : NULL);
}

static unsigned state_of(world *w, const char *owner, const char *contact)
{
    char record[64];
    if (!read_row(w, "roster/items", owner, contact, record, sizeof record)) return 0;
    return sv_roster_flags(sv_str_of(record));
}

/* What a push of that state holds (RFC 6121 2.1.2.2, 2.1.2.5). */
static void push_text(char *to, size_t size, const char *contact, unsigned flags)
{
    snprintf(to, size, "jid='%s' name='Nick' subscription='%.*s'%s>", contact,
             (int)sv_roster_subscription(flags).n, sv_roster_subscription(flags).p,
             flags & A && flags & O ? " approved='true' ask='subscribe'"
             : flags & A            ? " approved='true'"
             : flags & O            ? " ask='subscribe'"
                                    : "");
}

/* A.3 [no push for what a client cannot see] and 2.1.6: one push if the item changed, none else. */
static void check_pushes(world *w, const client *c, const char *contact, unsigned before,
                         unsigned after)
{
    const bool changed = (before & ~(unsigned)I) != (after & ~(unsigned)I);
    assert_int_equal(SEEN(w, c, .name = "iq", .type = "set"), changed);
    if (!changed) return;
    char wanted[200];
    push_text(wanted, sizeof wanted, contact, after);
    if (!(before & L)) wanted[0] = 0; /* a new item has no name */
    assert_int_equal(SEEN(w, c, .name = "iq", .type = "set", .holds = wanted), 1);
}

/* --- A.2: outbound ------------------------------------------------------------------------- */

typedef struct out_row {
    bool routed;
    unsigned state;
} out_row;

/* Tables 2 to 5: is it routed, what is the new state. */
static const struct table_row {
    bool goes_on;
    int state;
} tables_out[4][9] = {
    {{true, OUT}, /* subscribe */
     {true, SAME},
     {true, OUT_IN},
     {true, SAME},
     {true, SAME},
     {true, SAME},
     {true, FROM_OUT},
     {true, SAME},
     {true, SAME}},
    {{true, SAME}, /* unsubscribe */
     {true, NONE},
     {true, SAME},
     {true, IN},
     {true, NONE},
     {true, IN},
     {true, SAME},
     {true, FROM},
     {true, FROM}},
    {{false, SAME}, /* subscribed; "pre-approval" changes none of the nine */
     {false, SAME},
     {true, FROM},
     {true, FROM_OUT},
     {false, SAME},
     {true, BOTH},
     {false, SAME},
     {false, SAME},
     {false, SAME}},
    {{false, SAME}, /* unsubscribed */
     {false, SAME},
     {true, NONE},
     {true, OUT},
     {false, SAME},
     {true, TO},
     {true, NONE},
     {true, OUT},
     {true, TO}},
};

static unsigned next_state(const struct table_row *row, unsigned s)
{
    return row->state == SAME ? s : (s & (L | A)) | nine[row->state];
}

/* The tables, and what they leave to the text: 3.1.2 and 3.1.5 make an item, 3.4.2 rules 3 and 4 note an
 * approval, [1] of table 5 and 3.4.2 take it back. */
static out_row expect_out(size_t type, unsigned s)
{
    const struct table_row *row = &tables_out[type][number_of(s)];
    out_row wanted = {row->goes_on, next_state(row, s)};
    if ((type == 0 || type == 2) && wanted.state != s) wanted.state |= L;
    if (type == 2 && !(s & (F | I))) wanted.state |= A | L;
    if (type == 3) wanted.state &= ~(unsigned)A;
    return wanted;
}

/* The contact is on a domain that can't be reached: what was routed comes back as an error. */
static void outbound(world *w, client *romeo, size_t number, unsigned before)
{
    const out_row wanted = expect_out(number, before);
    const char *type = types[number];
    char text[200];
    set_state(w, "romeo", ELSEWHERE, before);
    snprintf(text, sizeof text, "<presence type='%s' to='" ELSEWHERE "/x' id='out'/>", type);
    say(w, romeo, text);
    const unsigned after = state_of(w, "romeo", ELSEWHERE);
    if (after != wanted.state)
        fail_msg("%s in state %02x: state is %02x, not %02x", type, before, after, wanted.state);
    const unsigned routed = SEEN(w, romeo, .name = "presence", .type = "error", .id = "out",
                                 .from = ELSEWHERE, .holds = "remote-server-not-found");
    if (routed != wanted.routed)
        fail_msg("%s in state %02x: routed %u times", type, before, routed);
    check_pushes(w, romeo, ELSEWHERE, before, after);
    /* 3.2.2: who loses the subscription is told before that each session is gone */
    const bool lost = strcmp(type, "unsubscribed") == 0 && (before & F);
    /* 3.1.5: who gains it is sent each session's presence behind the approval */
    const bool gained = strcmp(type, "subscribed") == 0 && !(before & F) && (after & F);
    assert_int_equal(SEEN(w, romeo, .type = "error", .to = ROMEO "/orchard", .id = ""), lost || gained);
    if (gained)
        assert_true(PLACE(w, romeo, .type = "error", .id = "out") <
                    PLACE(w, romeo, .type = "error", .to = ROMEO "/orchard", .id = ""));
    assert_int_equal(row_count(w, "presence/requests", "romeo"), (after & I) ? 1 : 0);
}

static void outbound_tables(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    client *romeo = online(w, ROMEO "/orchard");
    for (size_t t = 0; t < 4; t++)
        for (size_t s = 0; s < STATES; s++) outbound(w, romeo, t, states[s]);
    leave(w);
}

/* --- A.3: inbound -------------------------------------------------------------------------- */

typedef struct in_row {
    bool delivered;
    unsigned state;
    const char *reply; /* auto-reply */
} in_row;

/* Tables 6 to 9: is it delivered, what is the new state. */
static const struct table_row tables_in[4][9] = {
    {{true, IN}, /* subscribe */
     {true, OUT_IN},
     {false, SAME},
     {false, SAME},
     {true, TO_IN},
     {false, SAME},
     {false, SAME},
     {false, SAME},
     {false, SAME}},
    {{false, SAME}, /* unsubscribe */
     {false, SAME},
     {true, NONE},
     {true, OUT},
     {false, SAME},
     {true, TO},
     {true, NONE},
     {true, OUT},
     {true, TO}},
    {{false, SAME}, /* subscribed */
     {true, TO},
     {false, SAME},
     {true, TO_IN},
     {false, SAME},
     {false, SAME},
     {false, SAME},
     {true, BOTH},
     {false, SAME}},
    {{false, SAME}, /* unsubscribed */
     {true, NONE},
     {false, SAME},
     {true, IN},
     {true, NONE},
     {true, IN},
     {false, SAME},
     {true, FROM},
     {true, FROM}},
};

/* The tables; [1] and [2] of table 6, [1] of table 7, and 3.4.2: who was approved before is answered
 * and subscribed, and the user is not asked. */
static in_row expect_in(size_t type, unsigned s)
{
    const struct table_row *row = &tables_in[type][number_of(s)];
    in_row wanted = {row->goes_on, next_state(row, s), NULL};
    if (type == 0 && (s & A)) wanted = (in_row){false, s | F, NULL};
    if (type == 0 && (s & (A | F))) wanted.reply = "subscribed";
    if (type == 1 && row->goes_on) wanted.reply = "unsubscribed";
    return wanted;
}

static const char *reply_of(world *w, const client *juliet)
{
    for (size_t t = 0; t < 4; t++)
        if (SEEN(w, juliet, .name = "presence", .type = types[t], .from = ROMEO)) return types[t];
    return NULL;
}

/* Juliet waits for an answer all the time, so that an automatic one is shown to her. */
static void inbound(world *w, client *romeo, client *juliet, size_t number, unsigned before)
{
    const in_row wanted = expect_in(number, before);
    const char *type = types[number];
    char text[200];
    set_state(w, "romeo", JULIET, before);
    set_state(w, "juliet", ROMEO, L | O);
    forget(w);
    snprintf(text, sizeof text, "<presence type='%s' from='" JULIET "' to='" ROMEO "' id='in'/>",
             type);
    arrives(w, text);
    const unsigned after = state_of(w, "romeo", JULIET);
    if (after != wanted.state)
        fail_msg("%s in state %02x: state is %02x, not %02x", type, before, after, wanted.state);
    const unsigned shown = SEEN(w, romeo, .name = "presence", .type = type, .id = "in");
    if (shown != wanted.delivered)
        fail_msg("%s in state %02x: shown %u times", type, before, shown);
    check_pushes(w, romeo, JULIET, before, after);
    if (shown && SEEN(w, romeo, .name = "iq")) /* 3.1.6, 3.2.3, 3.3.3: the stanza before the push */
        assert_true(PLACE(w, romeo, .id = "in") < PLACE(w, romeo, .name = "iq"));
    const char *reply = reply_of(w, juliet);
    if ((reply == NULL) != (wanted.reply == NULL) || (reply && strcmp(reply, wanted.reply) != 0))
        fail_msg("%s in state %02x: answered %s", type, before, reply ? reply : "by nothing");
    /* 3.3.3: who stops seeing the presence is told that each session is gone */
    const bool lost = strcmp(type, "unsubscribe") == 0 && (before & F);
    assert_int_equal(
        SEEN(w, juliet, .name = "presence", .type = "unavailable", .from = ROMEO "/orchard"), lost);
    assert_int_equal(row_count(w, "presence/requests", "romeo"), (after & I) ? 1 : 0);
}

static void inbound_tables(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    for (size_t t = 0; t < 4; t++)
        for (size_t s = 0; s < STATES; s++) inbound(w, romeo, juliet, t, states[s]);
    leave(w);
}

/* 3.4.2, 3.1.5: a contact of another server that was approved before is sent the answer and then the
 * presence, once; to one that sees it already goes the answer alone (A.3.1 [2]). */
static void approved_elsewhere(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    client *romeo = online(w, ROMEO "/orchard"), *street = online(w, ROMEO "/street");
    set_state(w, "romeo", ELSEWHERE, L | A);
    for (int round = 0; round < 2; round++) {
        const unsigned first = round == 0;
        forget(w);
        arrives(w, "<presence type='subscribe' from='" ELSEWHERE "' to='" ROMEO "' id='in'/>");
        assert_int_equal(state_of(w, "romeo", ELSEWHERE), L | A | F);
        assert_int_equal(SEEN(w, romeo, .type = "error", .from = ELSEWHERE, .to = ROMEO "/orchard"), first);
        assert_int_equal(SEEN(w, street, .type = "error", .from = ELSEWHERE, .to = ROMEO "/street"), first);
    }
    leave(w);
}

/* --- both sides at once -------------------------------------------------------------------- */

/* Requests that cross: none undoes the other's half (one event reads and writes both sides without
 * a pause). */
static void requests_that_cross(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    static const char to_juliet[] = "<presence type='subscribe' to='" JULIET "'/>";
    static const char to_romeo[] = "<presence type='subscribe' to='" ROMEO "'/>";
    romeo->link->ops->write(romeo->link, to_juliet, sizeof to_juliet - 1);
    juliet->link->ops->write(juliet->link, to_romeo, sizeof to_romeo - 1);
    turn(w);
    assert_int_equal(state_of(w, "romeo", JULIET), L | O | I);
    assert_int_equal(state_of(w, "juliet", ROMEO), L | O | I);
    assert_int_equal(SEEN(w, romeo, .type = "subscribe"), 1);
    assert_int_equal(SEEN(w, juliet, .type = "subscribe"), 1);
    leave(w);
}

/* Two sessions of one account that change the same contact in one turn, the contact being off line:
 * neither is lost. */
static void sessions_that_cross(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    client *orchard = online(w, ROMEO "/orchard"), *street = online(w, ROMEO "/street");
    static const char ask[] = "<presence type='subscribe' to='" JULIET "'/>";
    static const char name[] = "<iq type='set' id='n'><query xmlns='jabber:iq:roster'>"
                               "<item jid='" JULIET "' name='Jule'/></query></iq>";
    orchard->link->ops->write(orchard->link, ask, sizeof ask - 1);
    street->link->ops->write(street->link, name, sizeof name - 1);
    turn(w);
    char record[64];
    assert_true(read_record(w, "romeo", JULIET, record, sizeof record));
    assert_string_equal(record, "R124\nJule\n");
    assert_int_equal(state_of(w, "juliet", ROMEO), I);
    leave(w);
}

/* 3.2.2: unavailable presence comes while the contact is still subscribed; then the cancellation,
 * and 3.2.3 the push. */
static void cancellation_comes_last(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    set_state(w, "romeo", JULIET, L | F | T);
    set_state(w, "juliet", ROMEO, L | F | T);
    client *juliet = online(w, JULIET "/balcony"), *romeo = online(w, ROMEO "/orchard");
    const char *const ends[] = {"<presence type='unsubscribed' to='" JULIET "'/>",
                                "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>"
                                "<item jid='" JULIET "' subscription='remove'/></query></iq>"};
    for (size_t i = 0; i < 2; i++) {
        set_state(w, "romeo", JULIET, L | F);
        set_state(w, "juliet", ROMEO, L | T);
        forget(w);
        say(w, romeo, ends[i]);
        assert_int_equal(PLACE(w, juliet, .type = "unavailable", .from = ROMEO "/orchard"), 1);
        assert_int_equal(PLACE(w, juliet, .type = "unsubscribed", .from = ROMEO), 2);
        assert_int_equal(PLACE(w, juliet, .name = "iq", .holds = "subscription='none'"), 3);
    }
    leave(w);
}

/* --- requests that wait -------------------------------------------------------------------- */

/* A contact that is removed from the roster is answered: its request waits no more. */
static void removal_answers_the_request(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    client *juliet = online(w, JULIET "/balcony");
    set_state(w, "romeo", JULIET, L | O);
    set_state(w, "juliet", ROMEO, L | I);
    client *romeo = online(w, ROMEO "/orchard");
    say(w, juliet,
        "<iq type='set' id='x'><query xmlns='jabber:iq:roster'>"
        "<item jid='" ROMEO "' subscription='remove'/></query></iq>");
    assert_int_equal(SEEN(w, juliet, .name = "iq", .type = "result"), 1);
    assert_int_equal(SEEN(w, romeo, .type = "unsubscribed", .from = JULIET), 1);
    assert_int_equal(state_of(w, "romeo", JULIET), L);
    assert_int_equal(row_count(w, "presence/requests", "juliet"), 0);
    client *again = join(w, JULIET "/chamber");
    say(w, again, "<presence/>");
    assert_int_equal(SEEN(w, again, .type = "subscribe"), 0);
    leave(w);
}

/* Requests are kept over a restart with all they hold, shown to each session that comes, once to
 * each, until answered. */
static void requests_outlive_the_server(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "presence_max_requests = 2\npresence_request_bytes = 256");
    account(w, "romeo");
    client *nurse = online(w, "nurse@" HERE "/x"), *juliet = online(w, JULIET "/balcony");
    client *tybalt = online(w, "tybalt@" HERE "/x");
    say(w, nurse, "<presence type='subscribe' to='" ROMEO "'><status>hi</status></presence>");
    say(w, nurse, "<presence type='subscribe' to='" ROMEO "'><status>again</status></presence>");
    char large[600];
    snprintf(large, sizeof large,
             "<presence type='subscribe' to='" ROMEO "'><status>%0400d</status></presence>", 1);
    say(w, juliet, large);
    say(w, tybalt,
        "<presence type='subscribe' to='" ROMEO "'/>"); /* 3.1.3: their number is bounded */
    assert_int_equal(SEEN(w, tybalt, .type = "error", .holds = "resource-constraint"), 1);
    halt(w, true);
    boot(w, ALL_MODULES, "");
    for (int round = 0; round < 2; round++) {
        client *romeo = join(w, ROMEO "/orchard");
        say(w, romeo, "<presence/>");
        assert_int_equal(SEEN(w, romeo, .type = "subscribe"), 2);
        assert_int_equal(SEEN(w, romeo, .from = "nurse@" HERE, .holds = "<status>hi</status>"), 1);
        assert_int_equal(SEEN(w, romeo, .from = JULIET, .holds = "<status>"), 0);
        say(w, romeo, "<presence><show>away</show></presence>");
        assert_int_equal(SEEN(w, romeo, .type = "subscribe"), 0);
        part(w, romeo);
    }
    client *romeo = online(w, ROMEO "/orchard");
    say(w, romeo,
        "<presence type='subscribed' to='nurse@" HERE "'/>"
        "<presence type='unsubscribed' to='" JULIET "'/>");
    assert_int_equal(row_count(w, "presence/requests", "romeo"), 0);
    leave(w);
}

/* Requests full of small elements, as many and as large as are kept: a stranger's means to cut a session off at each login
 * (threats U9). */
static void many_requests_harm_nobody(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    static char text[8192];
    for (int i = 0; i < 100; i++) {
        int n = snprintf(text, sizeof text,
                         "<presence xmlns='jabber:client' type='subscribe' from='x%03d@" HERE
                         "' to='" ROMEO "'>",
                         i);
        while (n < 4000) n += snprintf(text + n, sizeof text - (size_t)n, "<a/>");
        snprintf(text + n, sizeof text - (size_t)n, "</presence>");
        arrives(w, text);
    }
    assert_int_equal(row_count(w, "presence/requests", "romeo"), 100);
    client *romeo = join(w, ROMEO "/orchard");
    static const char presence[] = "<presence/>";
    assert_true(romeo->link->ops->write(romeo->link, presence, sizeof presence - 1) > 0);
    turn(w);
    assert_non_null(svi_session_find(w->server, SV_STR(ROMEO "/orchard")));
    assert_int_equal(SEEN(w, romeo, .type = "subscribe"), 100);
    leave(w);
}

/* Who asks and takes it back, over and over, by whichever way and session, is refused (and the contact is shown
 * no more) until time has passed; what was granted may be asked for and given up. */
static void toggling_is_bounded(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "presence_max_withdrawn = 4");
    account(w, "romeo");
    account(w, "juliet");
    client *orchard = online(w, ROMEO "/orchard"), *street = online(w, ROMEO "/street"),
           *juliet = online(w, JULIET "/balcony");
    static const char ask[] = "<presence type='subscribe' to='" JULIET "' id='a'/>";
    static const char take_back[] = "<presence type='unsubscribe' to='" JULIET "'/>";
    static const char take_off[] = "<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='" JULIET
                                   "' subscription='remove'/></query></iq>";
    for (int i = 0; i < 4; i++) {
        client *romeo = i < 2 ? orchard : street;
        forget(w);
        say(w, romeo, ask);
        assert_int_equal(SEEN(w, juliet, .type = "subscribe"), 1);
        say(w, romeo, i % 2 ? take_off : take_back);
        assert_int_equal(SEEN(w, juliet, .type = "unsubscribe"), 1);
    }
    for (int i = 0; i < 2; i++) {
        client *romeo = i ? orchard : street;
        forget(w);
        say(w, romeo, ask);
        assert_int_equal(SEEN(w, romeo, .type = "error", .id = "a",
                              .holds = "<error type='wait'><resource-constraint "), 1);
        assert_int_equal(SEEN(w, juliet), 0);
        assert_int_equal(state_of(w, "romeo", JULIET) & O, 0);
        assert_int_equal(row_count(w, "presence/requests", "juliet"), 0);
    }
    pass_time(w, INT64_C(10000000));
    forget(w);
    say(w, orchard, ask);
    assert_int_equal(SEEN(w, juliet, .type = "subscribe"), 1);
    for (int i = 0; i < 6; i++) { /* granted */
        forget(w);
        say(w, juliet, "<presence type='subscribed' to='" ROMEO "'/>");
        say(w, orchard, take_back);
        assert_int_equal(SEEN(w, juliet, .type = "unsubscribe"), 1);
        say(w, orchard, ask);
        assert_int_equal(SEEN(w, juliet, .type = "subscribe"), 1);
    }
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outbound_tables),
        cmocka_unit_test(inbound_tables), cmocka_unit_test(approved_elsewhere),
        cmocka_unit_test(requests_that_cross),
        cmocka_unit_test(toggling_is_bounded),
        cmocka_unit_test(sessions_that_cross),
        cmocka_unit_test(cancellation_comes_last),
        cmocka_unit_test(removal_answers_the_request),
        cmocka_unit_test(requests_outlive_the_server),
        cmocka_unit_test(many_requests_harm_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
