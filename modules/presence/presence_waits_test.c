/* Tests of what happens between what a subscription stanza has written and what it has its effect by: others change the same rows,
 * or the server is killed. */
#include <stave/roster.h>

#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define MODULES "\"again\", \"roster\", \"presence\"" /* the first lets what has the id "wait" wait on the contact's side */
#define ITEM(jid, rest)                                                                                                    \
    "<iq type='set' id='i'><query xmlns='jabber:iq:roster'><item jid='" jid "' " rest "/></query></iq>"
#define LISTED SV_ROSTER_LISTED
#define BOTH (SV_ROSTER_FROM | SV_ROSTER_TO)

static void item(world *w, const char *map, const char *owner, const char *contact, unsigned flags)
{
    char record[16];
    snprintf(record, sizeof record, "R1%02x\n\n", flags);
    write_row(w, map, owner, contact, record);
}
#define HERE_ITEMS "roster/items"
#define THERE_ITEMS THERE "/roster/items"

static unsigned flags_at(world *w, const char *map, const char *owner, const char *contact)
{
    char record[256];
    if (!read_row(w, map, owner, contact, record, sizeof record)) return 0;
    return sv_roster_flags(sv_str_of(record));
}

static void hold_store(world *w, bool hold)
{
    svi_engine_sim_plan(w->engine)->hold = hold;
    if (!hold) svi_engine_sim_step(w->engine, 1000);
    turn(w);
}

/* --- the sender's row changes while it waits -------------------------------------------------- */

typedef struct pair {
    world *w;
    client *romeo, *second, *juliet;
} pair;

static pair two_on_line(void)
{
    pair p = {.w = stage(MODULES, "")};
    account(p.w, "romeo");
    account(p.w, "juliet");
    p.romeo = online(p.w, ROMEO "/orchard");
    p.second = online(p.w, ROMEO "/street");
    p.juliet = online(p.w, JULIET "/balcony");
    return p;
}

/* RFC 6121 2.3: what was answered is stored. */
static void a_name_that_is_set_meanwhile_stays(void **state)
{
    (void)state;
    pair p = two_on_line();
    char record[64];
    hold_store(p.w, true);
    say(p.w, p.romeo, "<presence type='subscribe' id='wait' to='" JULIET "'/>");
    say(p.w, p.second, ITEM(JULIET, "name='Juliet'"));
    hold_store(p.w, false);
    assert_int_equal(SEEN(p.w, p.second, .name = "iq", .type = "result", .id = "i"), 1);
    assert_true(read_record(p.w, "romeo", JULIET, record, sizeof record));
    assert_string_equal(record, "R124\nJuliet\n");
    assert_int_equal(SEEN(p.w, p.romeo, .name = "iq", .type = "set", .holds = "name='Juliet' subscription='none' ask='subscribe'"), 1);
    assert_int_equal(flags_at(p.w, HERE_ITEMS, "juliet", ROMEO), SV_ROSTER_PENDING_IN);
    leave(p.w);
}

/* RFC 6121 2.1.6: it has the roster as it was, and is told of the change. */
static void a_session_that_asks_meanwhile_hears_of_it(void **state)
{
    (void)state;
    pair p = two_on_line();
    hold_store(p.w, true);
    say(p.w, p.romeo, "<presence type='subscribe' id='wait' to='" JULIET "'/>");
    client *third = join(p.w, ROMEO "/cell");
    say(p.w, third, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
    hold_store(p.w, false);
    const unsigned got = PLACE(p.w, third, .type = "result", .id = "g"),
                   told = PLACE(p.w, third, .type = "set", .holds = "jid='" JULIET "' subscription='none' ask='subscribe'");
    assert_true(got > 0 && got < told);
    leave(p.w);
}

/* RFC 6121 A.2.3: what would be an approval is none any more, and the contact, which is in the same state, takes it for none. */
static void a_request_that_is_taken_back_meanwhile(void **state)
{
    (void)state;
    pair p = two_on_line();
    say(p.w, p.juliet, "<presence type='subscribe' to='" ROMEO "'/>");
    hold_store(p.w, true);
    say(p.w, p.romeo, "<presence type='subscribed' id='wait' to='" JULIET "'/>");
    say(p.w, p.juliet, "<presence type='unsubscribe' to='" ROMEO "'/>");
    forget(p.w);
    hold_store(p.w, false);
    assert_int_equal(flags_at(p.w, HERE_ITEMS, "romeo", JULIET), 0);
    assert_int_equal(flags_at(p.w, HERE_ITEMS, "juliet", ROMEO), LISTED);
    assert_int_equal(SEEN(p.w, p.juliet, .type = "subscribed"), 0);
    /* the sessions that were shown an item see it go */
    const unsigned shown = PLACE(p.w, p.second, .type = "set", .holds = "jid='" JULIET "' subscription='from'"),
                   gone = PLACE(p.w, p.second, .type = "set", .holds = "jid='" JULIET "' subscription='remove'");
    assert_true(shown > 0 && shown < gone);
    leave(p.w);
}

/* It did nothing to the sender's row at first, and does now. */
static void a_subscription_that_ends_meanwhile(void **state)
{
    (void)state;
    pair p = two_on_line();
    item(p.w, HERE_ITEMS, "romeo", JULIET, SV_ROSTER_TO | LISTED);
    item(p.w, HERE_ITEMS, "juliet", ROMEO, SV_ROSTER_FROM | LISTED);
    hold_store(p.w, true);
    say(p.w, p.romeo, "<presence type='subscribe' id='wait' to='" JULIET "'/>");
    say(p.w, p.second, "<presence type='unsubscribe' to='" JULIET "'/>");
    hold_store(p.w, false);
    assert_int_equal(flags_at(p.w, HERE_ITEMS, "romeo", JULIET), SV_ROSTER_PENDING_OUT | LISTED);
    assert_int_equal(flags_at(p.w, HERE_ITEMS, "juliet", ROMEO), SV_ROSTER_PENDING_IN | LISTED);
    leave(p.w);
}

/* An account goes, and another module reads something before it is gone. */
static void a_contact_of_who_goes_sets_a_name_meanwhile(void **state)
{
    (void)state;
    pair p = two_on_line();
    char record[64];
    int removed = 1;
    item(p.w, HERE_ITEMS, "romeo", JULIET, BOTH | LISTED);
    item(p.w, HERE_ITEMS, "juliet", ROMEO, BOTH | LISTED);
    svi_store *store = svi_server_store(p.w->server);
    const uint64_t marked = svi_store_committed(store) + 1;
    svi_account_remove(svi_host_find(p.w->server, SV_STR(HERE)), SV_STR("romeo"), w_status, &removed);
    for (int i = 0; i < 100 && svi_store_committed(store) < marked; i++) {
        svi_store_hurry(store);
        (void)svi_server_turn(p.w->server);
    }
    hold_store(p.w, true);
    say(p.w, p.juliet, ITEM(ROMEO, "name='Montague'"));
    hold_store(p.w, false);
    for (int i = 0; i < 100 && removed == 1; i++) turn(p.w);
    assert_int_equal(removed, SV_OK);
    assert_true(read_record(p.w, "juliet", ROMEO, record, sizeof record));
    assert_string_equal(record, "R120\nMontague\n");
    leave(p.w);
}

/* What was to be shown to one session, which goes before the commit, has had its effect: it is not passed once more. */
static void a_request_that_nobody_is_shown_any_more(void **state)
{
    (void)state;
    pair p = two_on_line();
    hold_store(p.w, true);
    say(p.w, p.romeo, "<presence type='subscribe' to='" JULIET "'/>");
    part(p.w, p.juliet);
    say(p.w, p.romeo, "<presence type='unsubscribe' to='" JULIET "'/>");
    hold_store(p.w, false);
    assert_int_equal(flags_at(p.w, HERE_ITEMS, "romeo", JULIET), LISTED);
    assert_int_equal(flags_at(p.w, HERE_ITEMS, "juliet", ROMEO), 0);
    assert_int_equal(row_count(p.w, "presence/requests", "juliet"), 0);
    leave(p.w);
}

/* --- a kill behind what caused it -------------------------------------------------------------- */

#define TWO_HOSTS "VirtualHost \"" THERE "\"\nmodules_enabled = { \"roster\", \"presence\" }"
#define FAR "juliet@" THERE

typedef void cause(world *w);
typedef void outcome(world *w, bool has_begun);

/* The disk takes `commits` batches of what happens, then the server is killed. True if it had more to do. */
static bool is_killed_behind(world *w, int commits, cause *happens)
{
    const svi_store *store = svi_server_store(w->server);
    const uint64_t last = svi_store_committed(store) + (uint64_t)commits;
    svi_engine_sim_plan(w->engine)->hold = true;
    happens(w);
    for (int i = 0; i < 100 && svi_store_committed(store) < last; i++) {
        svi_engine_sim_step(w->engine, 1);
        turn(w);
    }
    return svi_store_submitted(store) > svi_store_committed(store) || svi_ledger_in_flight(svi_server_ledger(w->server)) > 0;
}

/* At each commit: both sides say the same once the server runs again, and nothing is due any more. */
static int at_each_kill(void (*begins)(world *w), cause *happens, outcome *holds)
{
    bool was_killed = true;
    int commits = 0;
    for (; was_killed; commits++) {
        world *w = stage(MODULES, TWO_HOSTS);
        account(w, "romeo");
        account(w, "juliet");
        account_at(w, THERE, "juliet");
        begins(w);
        was_killed = is_killed_behind(w, commits, happens);
        halt(w, true);
        boot(w, MODULES, TWO_HOSTS);
        for (int i = 0; i < 100; i++) turn(w);
        holds(w, commits > 0);
        static const char *const owners[] = {"/subscribed", "/unsubscribe", "/unsubscribed"};
        for (size_t i = 0; i < 3; i++) assert_int_equal(row_count(w, "presence/owed", owners[i]), 0);
        leave(w);
    }
    return commits;
}

static client *sender;

static void juliet_has_approved(world *w)
{
    item(w, HERE_ITEMS, "juliet", ROMEO, SV_ROSTER_APPROVED | LISTED);
    sender = online(w, ROMEO "/orchard");
}

static void romeo_asks(world *w)
{
    say(w, sender, "<presence type='subscribe' to='" JULIET "'/>");
}

static void he_is_subscribed(world *w, bool has_begun)
{
    const unsigned his = flags_at(w, HERE_ITEMS, "romeo", JULIET), hers = flags_at(w, HERE_ITEMS, "juliet", ROMEO);
    assert_int_equal(his, has_begun ? SV_ROSTER_TO | LISTED : 0);
    assert_int_equal(hers, (has_begun ? SV_ROSTER_FROM : 0) | SV_ROSTER_APPROVED | LISTED);
}

/* RFC 6121 3.4.2, A.3.1: the answer to a request that was approved beforehand. */
static void an_approval_survives_a_kill(void **state)
{
    (void)state;
    assert_true(at_each_kill(juliet_has_approved, romeo_asks, he_is_subscribed) >= 3); /* before, in between, behind */
}

static void they_are_subscribed(world *w)
{
    item(w, HERE_ITEMS, "romeo", FAR, BOTH | LISTED);
    item(w, THERE_ITEMS, "juliet", ROMEO, BOTH | LISTED);
    halt(w, false); /* of her rows nothing is in memory */
    boot(w, MODULES, TWO_HOSTS);
    sender = join(w, ROMEO "/orchard"); /* and not available, so that none are probed */
}

static void romeo_removes_her(world *w)
{
    say(w, sender, ITEM(FAR, "subscription='remove'"));
}

static void nobody_is_subscribed(world *w, bool has_begun)
{
    assert_int_equal(flags_at(w, HERE_ITEMS, "romeo", FAR), has_begun ? 0 : BOTH | LISTED);
    assert_int_equal(flags_at(w, THERE_ITEMS, "juliet", ROMEO), has_begun ? LISTED : BOTH | LISTED);
}

/* RFC 6121 2.5.2, where the contact is another host's. */
static void a_removal_survives_a_kill(void **state)
{
    (void)state;
    assert_int_equal(at_each_kill(they_are_subscribed, romeo_removes_her, nobody_is_subscribed), 2); /* one unit */
}

/* RFC 6121 2.5.2, 3.2.2: her sessions hear all of it, in order, and his other ones. */
static void a_removal_is_told_on_the_other_host(void **state)
{
    (void)state;
    world *w = stage(MODULES, TWO_HOSTS);
    account(w, "romeo");
    account_at(w, THERE, "juliet");
    they_are_subscribed(w);
    say(w, sender, "<presence/>");
    client *juliet = online(w, FAR "/balcony");
    forget(w);
    romeo_removes_her(w);
    const unsigned asked = PLACE(w, juliet, .type = "unsubscribe", .from = ROMEO, .to = FAR),
                   gone = PLACE(w, juliet, .type = "unavailable", .from = ROMEO "/orchard"),
                   told = PLACE(w, juliet, .type = "unsubscribed", .from = ROMEO, .to = FAR),
                   push = PLACE(w, juliet, .name = "iq", .type = "set", .holds = "jid='" ROMEO "' subscription='none'");
    assert_true(asked > 0 && asked < gone && gone < told && told < push);
    assert_int_equal(SEEN(w, juliet), 4);
    assert_int_equal(SEEN(w, sender, .type = "unavailable", .from = FAR "/balcony"), 1);
    assert_int_equal(flags_at(w, THERE_ITEMS, "juliet", ROMEO), LISTED);
    leave(w);
}

/* Both accounts' rows have to be read first. */
static void an_account_that_goes_ends_what_it_has_on_the_other_host(void **state)
{
    (void)state;
    world *w = stage(MODULES, TWO_HOSTS);
    account(w, "romeo");
    account_at(w, THERE, "juliet");
    item(w, HERE_ITEMS, "romeo", FAR, BOTH | LISTED);
    item(w, THERE_ITEMS, "juliet", ROMEO, BOTH | LISTED);
    halt(w, false);
    boot(w, MODULES, TWO_HOSTS);
    int removed = 1;
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), SV_STR("romeo"), w_status, &removed);
    for (int i = 0; i < 100 && removed == 1; i++) turn(w);
    assert_int_equal(removed, SV_OK);
    assert_int_equal(flags_at(w, THERE_ITEMS, "juliet", ROMEO), LISTED);
    assert_int_equal(row_count(w, "presence/owed", "/unsubscribe"), 0);
    leave(w);
}

/* What is on its way is not sent again by a module that is loaded anew; at a start it is, once. */
static void what_is_owed_is_sent_once_in_a_life(void **state)
{
    (void)state;
    world *w = stage("\"roster\", \"presence\"", "");
    account(w, "romeo");
    account(w, "juliet");
    item(w, HERE_ITEMS, "romeo", JULIET, SV_ROSTER_PENDING_OUT | LISTED);
    item(w, HERE_ITEMS, "juliet", ROMEO, SV_ROSTER_FROM | LISTED);
    write_row(w, "presence/owed", "/subscribed", "romeo " JULIET, "1"); /* of a state that does not ask for it */
    write_row(w, "presence/owed", "/subscribed", "juliet " ROMEO, "1");
    reloaded(w, "VirtualHost \"" HERE "\"\nmodules_enabled = { \"roster\", \"presence\", \"ping\" }\n");
    turn(w);
    assert_int_equal(row_count(w, "presence/owed", "/subscribed"), 2);
    halt(w, false);
    boot(w, "\"roster\", \"presence\"", "");
    for (int i = 0; i < 100; i++) turn(w);
    assert_int_equal(row_count(w, "presence/owed", "/subscribed"), 0);
    assert_int_equal(flags_at(w, HERE_ITEMS, "romeo", JULIET), SV_ROSTER_TO | LISTED);
    assert_int_equal(flags_at(w, HERE_ITEMS, "juliet", ROMEO), SV_ROSTER_FROM | LISTED);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_that_is_set_meanwhile_stays),
        cmocka_unit_test(a_session_that_asks_meanwhile_hears_of_it),
        cmocka_unit_test(a_request_that_is_taken_back_meanwhile),
        cmocka_unit_test(a_subscription_that_ends_meanwhile),
        cmocka_unit_test(a_contact_of_who_goes_sets_a_name_meanwhile),
        cmocka_unit_test(a_request_that_nobody_is_shown_any_more),
        cmocka_unit_test(an_approval_survives_a_kill),
        cmocka_unit_test(a_removal_survives_a_kill),
        cmocka_unit_test(a_removal_is_told_on_the_other_host),
        cmocka_unit_test(an_account_that_goes_ends_what_it_has_on_the_other_host),
        cmocka_unit_test(what_is_owed_is_sent_once_in_a_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
