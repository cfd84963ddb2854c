/* Tests of rosters: what a set may hold and what each mistake brings (RFC 6121 2.3.3, 2.5.3),
 * pushes, bounds, what outlives the server. */
#include <stave/roster.h>

#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define ITEMS "roster/items"

/* Sends a set with this inside the query; the client gets answer "s". */
static void set(world *w, client *c, const char *items)
{
    static char text[20000];
    snprintf(text, sizeof text,
             "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>%s</query></iq>", items);
    say(w, c, text);
}

/* --- sets ---------------------------------------------------------------------------------- */

static void mistakes(void **state)
{
    (void)state;
    static const char long_name[] = "0123456789abcdef!"; /* 17 bytes, one more than the limit */
    static const struct {
        const char *items, *condition;
    } cases[] = {
        {"", "bad-request"},
        {"<item jid='a@b.example'/><item jid='c@b.example'/>", "bad-request"},
        {"<other jid='a@b.example'/>", "bad-request"},
        {"<item xmlns='urn:example:x' jid='a@b.example'/>", "bad-request"},
        {"<item name='x'/>", "bad-request"},
        {"<item jid=''/>", "jid-malformed"},
        {"<item jid='@b.example'/>", "jid-malformed"},
        {"<item jid='a@b@c'/>", "jid-malformed"},
        {"<item jid='" ROMEO "'/>", "not-allowed"},
        {"<item jid='ROMEO@" HERE "/x'/>", "not-allowed"},
        {"<item jid='a@b.example' name='0123456789abcdef!'/>", "not-acceptable"},
        {"<item jid='a@b.example' name='two&#10;lines'/>", "not-acceptable"},
        {"<item jid='a@b.example'><group/></item>", "not-acceptable"},
        {"<item jid='a@b.example'><group>0123456789abcdef!</group></item>", "not-acceptable"},
        {"<item jid='a@b.example'><group>a&#10;b</group></item>", "not-acceptable"},
        {"<item jid='a@b.example'><group>a</group><group>b</group><group>a</group></item>",
         "bad-request"},
        {"<item jid='a@b.example' subscription='remove'/>", "item-not-found"},
        {"<item jid='waits@b.example' subscription='remove'/>", "item-not-found"}, /* no item yet */
    };
    assert_int_equal(strlen(long_name), 17);
    world *w = stage(ALL_MODULES, "roster_name_bytes = 16");
    write_row(w, ITEMS, "romeo", "waits@b.example", "R108\n\n");
    client *romeo = online(w, ROMEO "/orchard");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char holds[64];
        snprintf(holds, sizeof holds, "<%s xmlns=", cases[i].condition);
        set(w, romeo, cases[i].items);
        if (SEEN(w, romeo, .type = "error", .id = "s", .holds = holds) != 1 || SEEN(w, romeo) != 1)
            fail_msg("%s: %.*s", cases[i].items, (int)romeo->in.len, romeo->in.data);
        assert_int_equal(state_count(w, "romeo"), 1);
    }
    leave(w);
}

/* 2.1.2.1, 2.1.2.2, 2.1.2.5: what a client says of states is not taken; 2.4.1: an update replaces
 * name and groups whole; names keep every other character. */
static void updates(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *romeo = online(w, ROMEO "/orchard"), *street = online(w, ROMEO "/street");
    client *quiet =
        join(w, ROMEO "/quiet"); /* has not asked for the roster: gets no pushes (2.2) */
    set(w, romeo,
        "<item jid='A@B.example/x' name='&lt;&amp;&apos;&quot; \xc3\xa9' subscription='both' "
        "ask='subscribe' approved='true'><group>g1</group><group>&gt;g2</group></item>");
    static const char item[] = "<item jid='a@b.example' name='&lt;&amp;&apos;\" \xc3\xa9' "
                               "subscription='none'><group>g1</group><group>&gt;g2</group></item>";
    assert_int_equal(SEEN(w, romeo, .type = "result", .id = "s"), 1);
    assert_int_equal(
        SEEN(w, romeo, .type = "set", .to = ROMEO "/orchard", .from = ROMEO, .holds = item), 1);
    assert_int_equal(
        SEEN(w, street, .type = "set", .to = ROMEO "/street", .from = ROMEO, .holds = item), 1);
    assert_int_equal(SEEN(w, quiet), 0);
    write_row(w, ITEMS, "romeo", "a@b.example", "R123\nOld\ng\n");
    set(w, romeo, "<item jid='a@b.example' name=''/>");
    assert_int_equal(
        SEEN(w, romeo, .type = "set", .holds = "<item jid='a@b.example' subscription='both'/>"), 1);
    char record[64];
    assert_true(read_record(w, "romeo", "a@b.example", record, sizeof record));
    assert_string_equal(record, "R123\n\n");
    leave(w);
}

/* 2.5.2: which stanzas an end of the item brings, by its state; the contact's side follows. */
static void removals(void **state)
{
    (void)state;
    enum { F = SV_ROSTER_FROM, T = SV_ROSTER_TO, O = SV_ROSTER_PENDING_OUT, L = SV_ROSTER_LISTED };
    static const struct {
        unsigned mine, theirs, left; /* states before, and the contact's after */
        bool unsubscribe, unsubscribed;
    } cases[] = {
        {L, L, L, false, false},
        {L | T, L | F, L, true, false},
        {L | F, L | T, L, false, true},
        {L | F | T, L | F | T, L, true, true},
        {L | O, SV_ROSTER_PENDING_IN, 0, true, false},
    };
    world *w = stage(ALL_MODULES, "");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char record[32];
        snprintf(record, sizeof record, "R1%02x\n\n", cases[i].mine);
        write_row(w, ITEMS, "romeo", JULIET, record);
        snprintf(record, sizeof record, "R1%02x\n\n", cases[i].theirs);
        write_row(w, ITEMS, "juliet", ROMEO, record);
        forget(w);
        set(w, romeo, "<item jid='" JULIET "/x' subscription='remove'/>");
        assert_int_equal(SEEN(w, romeo, .type = "result", .id = "s"), 1);
        assert_int_equal(SEEN(w, romeo, .type = "set",
                              .holds = "<item jid='" JULIET "' subscription='remove'/>"),
                         1);
        assert_int_equal(SEEN(w, juliet, .type = "unsubscribe", .from = ROMEO),
                         cases[i].unsubscribe);
        assert_int_equal(SEEN(w, juliet, .type = "unsubscribed", .from = ROMEO),
                         cases[i].unsubscribed);
        assert_int_equal(SEEN(w, juliet, .type = "unavailable"), (cases[i].mine & F) != 0);
        assert_int_equal(state_count(w, "romeo"), 0);
        const bool found = read_row(w, ITEMS, "juliet", ROMEO, record, sizeof record);
        assert_int_equal(found ? sv_roster_flags(sv_str_of(record)) : 0, cases[i].left);
    }
    leave(w);
}

/* RFC 6121 2.2: a roster that cannot be read is an error, no empty one. */
static void unreadable(void **state)
{
    (void)state;
    world *w = stage("\"roster\"", "");
    account(w, "romeo");
    write_row(w, ITEMS, "romeo", "a@b.example", "R120\n\n");
    halt(w, false);
    boot(w, "\"roster\"", "");
    svi_sim_plan *plan = svi_engine_sim_plan(w->engine);
    plan->fail_read = 1; /* what keeps the roster in memory while the session lives */
    client *romeo = join(w, ROMEO "/orchard");
    assert_int_equal(plan->fail_read, 0);
    plan->fail_read = 1;
    say(w, romeo, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
    assert_int_equal(plan->fail_read, 0);
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "g", .holds = "<internal-server-error "), 1);
    assert_int_equal(SEEN(w, romeo), 1);
    say(w, romeo, "<iq type='get' id='g2'><query xmlns='jabber:iq:roster'/></iq>");
    assert_int_equal(SEEN(w, romeo, .type = "result", .id = "g2", .holds = "jid='a@b.example'"), 1);
    leave(w);
}

/* --- whose --------------------------------------------------------------------------------- */

/* Threats U5: nobody reads or writes somebody else's roster; a push from a client reaches nobody as
 * one of ours. */
static void of_others(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    write_row(w, ITEMS, "juliet", "secret@b.example", "R120\nSecret\n");
    client *eve = online(w, "eve@" HERE "/x"), *juliet = online(w, JULIET "/balcony");
    static const char *const targets[] = {JULIET, JULIET "/gone", HERE};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "<iq type='get' to='%s' id='g'><query xmlns='jabber:iq:roster'/></iq>"
                 "<iq type='set' to='%s' id='s'><query xmlns='jabber:iq:roster'>"
                 "<item jid='secret@b.example' subscription='remove'/></query></iq>",
                 targets[i], targets[i]);
        say(w, eve, text);
        assert_int_equal(SEEN(w, eve, .type = "error", .id = "g"), 1);
        assert_int_equal(SEEN(w, eve, .type = "error", .id = "s"), 1);
        assert_int_equal(SEEN(w, eve), 2);
    }
    assert_int_equal(state_count(w, "juliet"), 1);
    assert_int_equal(SEEN(w, juliet), 0);
    leave(w);
}

/* --- bounds -------------------------------------------------------------------------------- */

/* Every way to a new item meets the bound: a set, a request, an approval. What waits only takes no
 * room. */
static void the_number_is_bounded(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "roster_max_items = 2");
    account(w, "romeo");
    write_row(w, ITEMS, "romeo", "waits@" HERE, "R108\n\n");
    client *romeo = online(w, ROMEO "/orchard");
    set(w, romeo, "<item jid='one@b.example'/>");
    assert_int_equal(SEEN(w, romeo, .type = "result"), 1);
    say(w, romeo, "<presence type='subscribe' to='two@" HERE "'/>");
    assert_int_equal(SEEN(w, romeo, .type = "error"), 0);
    set(w, romeo, "<item jid='three@b.example'/>");
    assert_int_equal(SEEN(w, romeo, .type = "error", .holds = "<resource-constraint "), 1);
    say(w, romeo, "<presence type='subscribe' to='three@" HERE "' id='p'/>");
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "p", .holds = "<resource-constraint "),
                     1);
    say(w, romeo, "<presence type='subscribed' to='waits@" HERE "' id='p'/>");
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "p", .holds = "<resource-constraint "),
                     1);
    assert_int_equal(state_count(w, "romeo"), 3);
    set(w, romeo,
        "<item jid='one@b.example' name='changed'/>"); /* what is there can be changed ... */
    assert_int_equal(SEEN(w, romeo, .type = "result"), 1);
    set(w, romeo, "<item jid='one@b.example' subscription='remove'/>"); /* ... and go */
    say(w, romeo, "<presence type='subscribed' to='waits@" HERE "' id='p'/>");
    assert_int_equal(SEEN(w, romeo, .type = "error"), 0);
    assert_int_equal(SEEN(w, romeo, .type = "set", .holds = "subscription='from'"), 1);
    leave(w);
}

/* Groups of one item: 64. */
static void groups_are_bounded(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *romeo = online(w, ROMEO "/orchard");
    for (int count = 64; count <= 65; count++) {
        char text[4096];
        int n = snprintf(text, sizeof text, "<item jid='a@b.example'>");
        for (int i = 0; i < count; i++)
            n += snprintf(text + n, sizeof text - (size_t)n, "<group>g%d</group>", i);
        snprintf(text + n, sizeof text - (size_t)n, "</item>");
        set(w, romeo, text);
        assert_int_equal(SEEN(w, romeo, .type = "result"), count == 64);
        assert_int_equal(SEEN(w, romeo, .type = "error", .holds = "<not-acceptable "), count == 65);
    }
    leave(w);
}

/* --- what lasts ---------------------------------------------------------------------------- */

/* What was answered is there after a kill; what is not yet committed was not answered. Goes with
 * the account. */
static void answered_means_stored(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    client *romeo = online(w, ROMEO "/orchard"), *street = online(w, ROMEO "/street");
    set(w, romeo, "<item jid='one@b.example' name='One'/>");
    assert_int_equal(SEEN(w, romeo, .type = "result"), 1);
    forget(w);
    svi_engine_sim_plan(w->engine)->hold = true;
    set(w, romeo, "<item jid='two@b.example'/>");
    assert_int_equal(SEEN(w, romeo) + SEEN(w, street),
                     0); /* neither answer nor push before the commit */
    halt(w, true);
    boot(w, ALL_MODULES, "");
    romeo = join(w, ROMEO "/orchard");
    say(w, romeo, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
    assert_int_equal(SEEN(w, romeo, .id = "g",
                          .holds = "'><item jid='one@b.example' "
                                   "name='One' subscription='none'/></query>"),
                     1);
    svi_engine_sim_plan(w->engine)->hold = true;
    set(w, romeo, "<item jid='two@b.example'/>");
    assert_int_equal(SEEN(w, romeo), 0);
    (void)svi_engine_sim_step(w->engine, 100);
    turn(w);
    assert_int_equal(SEEN(w, romeo, .type = "result", .id = "s"), 1);
    svi_engine_sim_plan(w->engine)->hold = false;
    part(w, romeo);
    int status = 1;
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), SV_STR("romeo"), w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    assert_int_equal(row_count(w, ITEMS, "romeo"), 0);
    leave(w);
}

/* A roster as large as it may become is still told: an account must not be shut out by its own. */
static void a_full_roster_is_told(void **state)
{
    (void)state;
    static const struct {
        int items, groups, name_bytes;
    } cases[] = {{1000, 2, 30}, {1000, 64, 1}, {1000, 1, 1000}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        world *w = stage(ALL_MODULES, "");
        client *romeo = online(w, ROMEO "/orchard");
        int made = 0;
        for (bool room = true; room && made < cases[c].items; made += room) {
            static char text[16384];
            int n = snprintf(text, sizeof text, "<item jid='contact%d@b.example' name='%0*d'>",
                             made, cases[c].name_bytes, 0);
            for (int g = 0; g < cases[c].groups; g++)
                n += snprintf(text + n, sizeof text - (size_t)n, "<group>%d</group>", g);
            snprintf(text + n, sizeof text - (size_t)n, "</item>");
            set(w, romeo, text);
            room = SEEN(w, romeo, .type = "result") == 1;
        }
        if (c == 0) assert_int_equal(made, cases[c].items);
        client *street = join(w, ROMEO "/street");
        static const char get[] = "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>";
        assert_true(street->link->ops->write(street->link, get, sizeof get - 1) > 0);
        turn(w);
        if (svi_session_find(w->server, SV_STR(ROMEO "/street")) == NULL)
            fail_msg("case %zu: cut off for %d items", c, made);
        assert_int_equal(SEEN(w, street, .type = "result", .id = "g"), 1);
        leave(w);
    }
}

/* `stave roster show`: every item, requests that wait as well, in pages. */
static void shown_to_operators(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    assert_string_equal(run_command(w, "roster show", "'address':'romeo@" HERE "'"), "{\"ok\":true,\"rows\":[]}");
    write_row(w, ITEMS, "romeo", "asks@b.example", "R108\n\n");
    write_row(w, ITEMS, "romeo", JULIET, "R1331a\nJuliet\nFriends\nVerona\n");
    write_row(w, ITEMS, "romeo", "gone@b.example", "R1001b\n\n"); /* is no item any more */
    assert_string_equal(
        run_command(w, "roster show", "'address':'Romeo@" HERE "'"),
        "{\"ok\":true,\"rows\":["
        "{\"contact\":\"asks@b.example\",\"subscription\":\"none\",\"asked\":false,\"asks\":true,"
        "\"listed\":false,\"approved\":false,\"shared\":false,\"name\":\"\",\"groups\":[]},"
        "{\"contact\":\"" JULIET "\",\"subscription\":\"both\",\"asked\":false,\"asks\":false,"
        "\"listed\":true,\"approved\":true,\"shared\":false,\"name\":\"Juliet\",\"groups\":[\"Friends\",\"Verona\"]}]}");
    for (int i = 0; i < 600; i++) {
        char contact[32];
        snprintf(contact, sizeof contact, "c%03d@b.example", i);
        svi_unit *unit = svi_unit_new(svi_server_store(w->server));
        assert_int_equal(svi_unit_put(unit, map_of(w, ITEMS), SV_STR("romeo"), sv_str_of(contact), SV_STR("R120\n\n")),
                         SV_OK);
        (void)svi_unit_submit(&unit);
    }
    turn(w);
    const char *text = run_command(w, "roster show", "'address':'romeo@" HERE "'");
    const char *more = strstr(text, "\"more\":\"c498@b.example\""); /* 500 rows, asks@ the first */
    if (!more) fail_msg("%s", text + strlen(text) - 100);
    text = run_command(w, "roster show", "'address':'romeo@" HERE "','from':'c498@b.example'");
    assert_non_null(strstr(text, "\"rows\":[{\"contact\":\"c499@b.example\""));
    assert_null(strstr(text, "\"more\""));
    assert_non_null(strstr(text, JULIET));
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes),
        cmocka_unit_test(updates),
        cmocka_unit_test(removals),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(of_others),
        cmocka_unit_test(the_number_is_bounded),
        cmocka_unit_test(groups_are_bounded),
        cmocka_unit_test(a_full_roster_is_told),
        cmocka_unit_test(answered_means_stored),
        cmocka_unit_test(shown_to_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
