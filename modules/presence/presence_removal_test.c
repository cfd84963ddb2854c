/* Tests of what becomes of contacts, stores and names when an account is deleted. */
#include <stave/roster.h>

#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE

static int removed; /* status of the deletion; 1: not yet */

static void begin_removal(world *w, const char *name)
{
    removed = 1;
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), sv_str_of(name), w_status, &removed);
}

/* One turn, whatever else there is to do. */
static void step(world *w)
{
    svi_store_hurry(svi_server_store(w->server));
    (void)svi_link_pairs_run(w->pairs);
    (void)svi_server_turn(w->server);
}

static void remove_account(world *w, const char *name)
{
    begin_removal(w, name);
    for (int i = 0; i < 100000 && removed == 1; i++) step(w);
    assert_int_equal(removed, SV_OK);
}

static void item(world *w, const char *owner, const char *contact, unsigned flags)
{
    char record[16];
    snprintf(record, sizeof record, "R1%02x\n\n", flags);
    write_row(w, "roster/items", owner, contact, record);
}

static unsigned flags_at(world *w, const char *owner, const char *contact)
{
    char record[256];
    if (!read_row(w, "roster/items", owner, contact, record, sizeof record)) return 0;
    return sv_roster_flags(sv_str_of(record));
}

#define BOTH (SV_ROSTER_FROM | SV_ROSTER_TO)
#define LISTED SV_ROSTER_LISTED

/* RFC 6121 3.2, 3.3: a contact on line sees him go, then both directions end, then its roster. */
static void a_contact_is_unsubscribed(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    item(w, "romeo", JULIET, BOTH | LISTED);
    item(w, "juliet", ROMEO, BOTH | LISTED);
    client *juliet = online(w, JULIET "/balcony"), *second = online(w, JULIET "/garden"),
           *romeo = online(w, ROMEO "/orchard");
    forget(w);
    remove_account(w, "romeo");
    assert_true(has(&romeo->in, "<not-authorized"));
    part(w, romeo);
    const unsigned gone = PLACE(w, juliet, .type = "unavailable", .from = ROMEO "/orchard"),
                   first = PLACE(w, juliet, .type = "unsubscribe", .from = ROMEO, .to = JULIET),
                   last = PLACE(w, juliet, .type = "unsubscribed", .from = ROMEO, .to = JULIET),
                   push = PLACE(w, juliet, .name = "iq", .type = "set",
                                .holds = "jid='" ROMEO "' subscription='none'");
    assert_true(gone > 0 && gone < first && first < last && last < push);
    assert_int_equal(SEEN(w, second, .type = "unsubscribed", .from = ROMEO), 1);
    assert_int_equal(flags_at(w, "juliet", ROMEO), LISTED);
    assert_int_equal(row_count(w, "roster/items", "romeo"), 0);
    assert_int_equal(row_count(w, "accounts", "romeo"), 0);
    leave(w);
}

/* Each state of appendix A.1, as the two hold it, and what is left with the contact. */
static void every_state_ends(void **state)
{
    (void)state;
    static const struct {
        unsigned his, hers, left;
    } rows[] = {
        {LISTED, LISTED, LISTED},
        {SV_ROSTER_TO | LISTED, SV_ROSTER_FROM | LISTED, LISTED},
        {SV_ROSTER_FROM | LISTED, SV_ROSTER_TO | LISTED, LISTED},
        {SV_ROSTER_PENDING_OUT | LISTED, SV_ROSTER_PENDING_IN, 0},
        {SV_ROSTER_PENDING_IN, SV_ROSTER_PENDING_OUT | LISTED, LISTED},
        {SV_ROSTER_TO | SV_ROSTER_PENDING_IN | LISTED, SV_ROSTER_FROM | SV_ROSTER_PENDING_OUT | LISTED,
         LISTED},
        {SV_ROSTER_FROM | SV_ROSTER_PENDING_OUT | LISTED, SV_ROSTER_TO | SV_ROSTER_PENDING_IN | LISTED,
         LISTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        world *w = stage(ALL_MODULES, "");
        account(w, "romeo");
        account(w, "juliet");
        item(w, "romeo", JULIET, rows[i].his);
        item(w, "juliet", ROMEO, rows[i].hers);
        if (rows[i].hers & SV_ROSTER_PENDING_IN)
            write_row(w, "presence/requests", "juliet", ROMEO, "<presence type='subscribe'/>");
        remove_account(w, "romeo");
        assert_int_equal(flags_at(w, "juliet", ROMEO), rows[i].left);
        assert_int_equal(row_count(w, "presence/requests", "juliet"), 0);
        leave(w);
    }
}

/* What a contact had itself of an account that the operator shares with it ends, too: it would be seen
 * again when that is shared no more, and a new account of the name would see the contact's presence. */
static void what_is_stored_below_a_shared_contact_ends(void **state)
{
    (void)state;
    const char *modules = ALL_MODULES ", \"groups\"";
    world *w = stage(modules, "groups_list = { \"All: *\" }");
    account(w, "romeo");
    account(w, "juliet");
    account(w, "nurse");
    item(w, "romeo", JULIET, BOTH | LISTED);
    item(w, "juliet", ROMEO, BOTH | LISTED);
    item(w, "romeo", "nurse@" HERE, SV_ROSTER_PENDING_OUT | LISTED);
    item(w, "nurse", ROMEO, SV_ROSTER_PENDING_IN);
    write_row(w, "presence/requests", "nurse", ROMEO, "<presence type='subscribe'/>");
    client *juliet = online(w, JULIET "/balcony");
    say(w, juliet, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
    pass_time(w, 1000000);
    forget(w);
    remove_account(w, "romeo");
    pass_time(w, 1000000);
    assert_int_equal(SEEN(w, juliet, .type = "unsubscribed"), 0); /* they saw each other till the end */
    assert_int_equal(SEEN(w, juliet, .name = "iq", .type = "set",
                          .holds = "jid='" ROMEO "' subscription='none'"), 1);
    assert_int_equal(flags_at(w, "juliet", ROMEO), LISTED);
    assert_int_equal(flags_at(w, "nurse", ROMEO), 0);
    assert_int_equal(row_count(w, "presence/requests", "nurse"), 0);
    leave(w);
}

/* More than one event has room for: a contact that is not on line, one that is none of a JID. */
static void many_contacts(void **state)
{
    (void)state;
    enum { CONTACTS = 1000 };
    world *w = stage(ALL_MODULES, "");
    char name[32], jid[64];
    account(w, "romeo");
    svi_unit *unit = svi_unit_new(svi_server_store(w->server));
    for (int i = 0; i < CONTACTS; i++) {
        snprintf(name, sizeof name, "c%d", i);
        snprintf(jid, sizeof jid, "c%d@" HERE, i);
        assert_int_equal(svi_unit_put(unit, map_of(w, "roster/items"), SV_STR("romeo"),
                                      sv_str_of(jid), SV_STR("R123\n\n")),
                         SV_OK);
        assert_int_equal(svi_unit_put(unit, map_of(w, "roster/items"), sv_str_of(name),
                                      SV_STR(ROMEO), SV_STR("R123\n\n")),
                         SV_OK);
    }
    assert_int_equal(svi_unit_put(unit, map_of(w, "roster/items"), SV_STR("romeo"), SV_STR("@"),
                                  SV_STR("R123\n\n")),
                     SV_OK);
    (void)svi_unit_submit(&unit);
    turn(w);
    remove_account(w, "romeo");
    for (int i = 0; i < CONTACTS; i += 37) {
        snprintf(name, sizeof name, "c%d", i);
        assert_int_equal(flags_at(w, name, ROMEO), LISTED);
    }
    assert_int_equal(row_count(w, "roster/items", "romeo"), 0);
    leave(w);
}

/* --- nothing is left --------------------------------------------------------------------------- */

static void forget_names(void *ctx, sv_status status, const sv_str *owners, size_t count, bool more)
{
    assert_int_equal(status, SV_OK);
    assert_false(more);
    int *found = ctx;
    for (size_t i = 0; i < count; i++)
        if (sv_str_eq(owners[i], SV_STR("romeo"))) (*found)++;
    *found |= 0x1000;
}

/* In how many of the host's maps the account owns a row. */
static int maps_with_romeo(world *w, int *maps_out)
{
    int all = 0;
    size_t pos = 0;
    *maps_out = 0;
    svi_map *map;
    while ((map = svi_store_map_next(svi_server_store(w->server), SV_STR(HERE "/"), &pos))) {
        int found = 0;
        svi_store_owners(map, SV_STR_NONE, 100, forget_names, &found);
        for (int i = 0; i < 100 && found < 0x1000; i++) turn(w);
        assert_true(found >= 0x1000);
        all += found & 0xfff;
        (*maps_out)++;
    }
    return all;
}

/* Every module has been used, and a map is left of one that is not enabled any more. */
static world *used_world(const char *modules)
{
    world *w = stage(modules, "");
    account(w, "romeo");
    account(w, "juliet");
    item(w, "romeo", JULIET, BOTH | LISTED);
    item(w, "juliet", ROMEO, BOTH | LISTED);
    item(w, "romeo", "nurse@" HERE, SV_ROSTER_PENDING_IN);
    write_row(w, "presence/requests", "romeo", "nurse@" HERE, "<presence type='subscribe'/>");
    write_row(w, "formerly/things", "romeo", "k", "v");
    write_row(w, "formerly/things", "juliet", "k", "v");
    client *juliet = online(w, JULIET "/balcony");
    say(w, juliet, "<message to='" ROMEO "' type='chat'><body>late</body></message>");
    assert_int_equal(row_count(w, "offline/messages", "romeo"), 1);
    return w;
}

static void nothing_is_left(void **state)
{
    (void)state;
    world *w = used_world(ALL_MODULES);
    int maps, others;
    assert_true(maps_with_romeo(w, &maps) >= 5);
    remove_account(w, "romeo");
    assert_int_equal(maps_with_romeo(w, &others), 0);
    assert_int_equal(maps, others);
    assert_int_equal(row_count(w, "formerly/things", "juliet"), 1); /* another account's */

    account(w, "romeo"); /* of the same name, who inherits nothing */
    client *romeo = online(w, ROMEO "/orchard");
    assert_int_equal(SEEN(w, romeo, .name = "message"), 0);
    assert_int_equal(row_count(w, "roster/items", "romeo"), 0);
    assert_int_equal(SEEN(w, romeo, .type = "subscribe"), 0);
    leave(w);
}

/* --- a kill at any commit ----------------------------------------------------------------------- */

/* The disk takes `commits` units more, then the server is killed. */
static bool killed_after(world *w, int commits)
{
    svi_store *store = svi_server_store(w->server);
    svi_sim_plan *plan = svi_engine_sim_plan(w->engine);
    begin_removal(w, "romeo");
    const uint64_t last = svi_store_committed(store) + (uint64_t)commits;
    for (int i = 0; i < 1000 && removed == 1; i++) {
        plan->hold = svi_store_committed(store) >= last && svi_store_submitted(store) > last;
        step(w);
    }
    return removed == 1;
}

static void a_kill_leaves_what_goes_on(void **state)
{
    (void)state;
    int commits = 0;
    bool was_killed = true;
    for (; was_killed; commits++) {
        world *w = used_world(ALL_MODULES);
        int maps;
        was_killed = killed_after(w, commits);
        halt(w, true);
        boot(w, ALL_MODULES, "");
        const size_t before = row_count(w, "accounts", "romeo");
        if (commits == 0) assert_true(before > 0);
        svi_removals_resume(svi_host_find(w->server, SV_STR(HERE)));
        for (int i = 0; i < 200; i++) turn(w);
        if (commits == 0) /* its end was not on disk: the account is whole */
            assert_int_equal(flags_at(w, "juliet", ROMEO), BOTH | LISTED);
        else
            assert_int_equal(flags_at(w, "juliet", ROMEO), LISTED);
        if (commits > 0) assert_int_equal(maps_with_romeo(w, &maps), 0);
        leave(w);
    }
    assert_true(commits >= 4); /* marked, contacts, erased, and once to the end */
}

/* --- while it goes ------------------------------------------------------------------------------ */

/* In between nobody can make another of the name, or end it twice; what is sent to it is for nobody. */
static void while_it_is_deleted(void **state)
{
    (void)state;
    /* no module that has to read something first, which is held up as well */
    world *w = used_world("\"roster\", \"presence\", \"message\", \"offline\"");
    svi_host *host = svi_host_find(w->server, SV_STR(HERE));
    svi_scram_keys keys;
    int again = 1, made = 1, disabled = 1;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys), SV_OK);
    client *juliet = &w->clients[0];
    svi_engine_sim_plan(w->engine)->hold = true;
    begin_removal(w, "romeo");
    turn(w);
    svi_account_remove(host, SV_STR("romeo"), w_status, &again);
    svi_account_set(host, SV_STR("romeo"), &keys, 1, false, w_status, &made);
    svi_account_disable(host, SV_STR("romeo"), SV_STR("x"), false, w_status, &disabled);
    say(w, juliet, "<message id='m' to='" ROMEO "' type='chat'><body>too late</body></message>");
    for (int i = 0; i < 20; i++) turn(w);
    assert_int_equal(again, SV_EBUSY);
    assert_int_equal(made, SV_EBUSY);
    assert_int_equal(disabled, SV_EBUSY);
    bool exists = true;
    assert_true(svi_account_check(host, SV_STR("romeo"), &exists, w_status, &again));
    assert_false(exists);
    svi_engine_sim_plan(w->engine)->hold = false;
    for (int i = 0; i < 1000 && removed == 1; i++) turn(w);
    assert_int_equal(removed, SV_OK);
    assert_int_equal(row_count(w, "offline/messages", "romeo"), 0);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_contact_is_unsubscribed), cmocka_unit_test(every_state_ends),
        cmocka_unit_test(what_is_stored_below_a_shared_contact_ends),
        cmocka_unit_test(many_contacts),             cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(a_kill_leaves_what_goes_on), cmocka_unit_test(while_it_is_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
