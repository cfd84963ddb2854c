/* Tests of roster versions (RFC 6121 2.6): what a client gets that knows an older roster, whatever changed it
 * meanwhile, and that no version means two rosters. */
#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE

static void set(world *w, client *c, const char *item)
{
    char text[1024];
    snprintf(text, sizeof text,
             "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>%s</query></iq>", item);
    say(w, c, text);
    assert_int_equal(SEEN(w, c, .type = "result", .id = "s"), 1);
}

static void get(world *w, client *c, const char *ver)
{
    char text[256];
    snprintf(text, sizeof text,
             "<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='%s'/></iq>", ver);
    say(w, c, text);
}

/* The version that stands at the `n`-th `ver` of what the client got; the last one for n < 0. */
static void version(const client *c, int n, char to[32])
{
    const char *at = c->in.data, *end = c->in.data + c->in.len, *found = NULL;
    while (n != 0 && (at = memmem(at, (size_t)(end - at), " ver='", 6)) != NULL) {
        found = at += 6;
        n--;
    }
    assert_non_null(found);
    snprintf(to, 32, "%.*s", (int)((const char *)memchr(found, '\'', (size_t)(end - found)) - found),
             found);
}

static bool is_empty_result(world *w, const client *c)
{
    return SEEN(w, c, .type = "result", .id = "g") == 1 &&
           SEEN(w, c, .type = "result", .id = "g", .holds = "<query") == 0;
}

static bool is_whole(world *w, const client *c)
{
    return SEEN(w, c, .type = "result", .id = "g", .holds = "<query") == 1 && SEEN(w, c) == 1;
}

/* Enough that a few changes are less than all. */
static void fill(world *w, client *c)
{
    for (int i = 0; i < 20; i++) {
        char item[128];
        snprintf(item, sizeof item, "<item jid='c%02d@b.example' name='Contact'/>", i);
        set(w, c, item);
    }
}

static void every_change_has_its_version(void **state)
{
    (void)state;
    char first[32], second[32], third[32], told[32];
    world *w = stage(ALL_MODULES, "");
    client *romeo = online(w, ROMEO "/orchard"), *street = online(w, ROMEO "/street");
    get(w, romeo, "");
    assert_true(is_whole(w, romeo));
    version(romeo, 1, first);
    assert_string_equal(first, "0");
    set(w, romeo, "<item jid='a@b.example'/>");
    version(romeo, -1, first);
    version(street, -1, told);
    assert_string_equal(first, told);
    set(w, romeo, "<item jid='a@b.example'/>"); /* also one that changes nothing is pushed */
    version(romeo, -1, second);
    say(w, romeo, "<presence type='subscribe' to='a@b.example'/>");
    version(romeo, -1, third);
    assert_true(strcmp(first, second) < 0 && strcmp(second, third) < 0);
    say(w, romeo, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
    version(romeo, -1, told); /* 2.6.3: also for who does not ask */
    assert_string_equal(told, third);
    get(w, street, third);
    assert_true(is_empty_result(w, street));
    assert_int_equal(SEEN(w, street), 1);
    leave(w);
}

/* 2.6.3: one push for each item that changed, in order, whoever changed it; what is pushed last has the
 * newest version. Over restarts and kills. */
static void changes_are_pushed(void **state)
{
    (void)state;
    char known[32], last[32], newest[32];
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard");
    fill(w, romeo);
    say(w, romeo, "<presence type='subscribe' to='" JULIET "'/>");
    version(romeo, -1, known);
    part(w, romeo);
    client *juliet = online(w, JULIET "/balcony"), *street = online(w, ROMEO "/street");
    say(w, juliet, "<presence type='subscribed' to='" ROMEO "'/>"); /* changes both rosters */
    set(w, street, "<item jid='c07@b.example' name='Seven'/>");
    set(w, street, "<item jid='c03@b.example' subscription='remove'/>");
    set(w, street, "<item jid='c07@b.example' name='7'/>");
    version(street, -1, newest);
    for (int killed = 0; killed < 2; killed++) {
        halt(w, killed);
        boot(w, ALL_MODULES, "");
        romeo = join(w, ROMEO "/orchard");
        get(w, romeo, known);
        assert_int_equal(SEEN(w, romeo), 4);
        assert_true(is_empty_result(w, romeo));
        assert_int_equal(PLACE(w, romeo, .type = "result"), 1);
        assert_int_equal(PLACE(w, romeo, .holds = "jid='" JULIET "' subscription='to'/>"), 2);
        assert_int_equal(PLACE(w, romeo, .holds = "jid='c03@b.example' subscription='remove'/>"), 3);
        assert_int_equal(PLACE(w, romeo, .holds = "jid='c07@b.example' name='7' "), 4);
        version(romeo, -1, last);
        assert_string_equal(last, newest);
        version(romeo, 2, last); /* as if the connection had broken behind the second push */
        get(w, romeo, last);
        assert_true(is_empty_result(w, romeo));
        assert_int_equal(SEEN(w, romeo), 2);
        assert_int_equal(SEEN(w, romeo, .holds = "name='7'"), 1);
        set(w, romeo, "<item jid='c07@b.example' name='7'/>"); /* it counts as interested */
        assert_int_equal(SEEN(w, romeo, .type = "set", .holds = "name='7'"), 1);
        version(romeo, -1, last);
        assert_true(strcmp(newest, last) < 0);
        snprintf(newest, sizeof newest, "%s", last);
    }
    leave(w);
}

/* What can't be associated with anything gets the whole roster, and so does who lacks nearly all. */
static void what_is_unknown_gets_all(void **state)
{
    (void)state;
    char first[32], newest[32];
    world *w = stage(ALL_MODULES, "");
    client *romeo = online(w, ROMEO "/orchard");
    fill(w, romeo);
    version(romeo, -1, newest);
    static const char *const unknown[] = {"", "x", "0", "1", "ffffffffffffffff", "10000000000000000",
                                          "-1", "ver14"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        get(w, romeo, unknown[i]);
        if (!is_whole(w, romeo)) fail_msg("ver='%s'", unknown[i]);
        version(romeo, -1, first);
        assert_string_equal(first, newest);
    }
    for (int i = 0; i < 20; i++) {
        char item[128];
        snprintf(item, sizeof item, "<item jid='c%02d@b.example' name='New'/>", i);
        set(w, romeo, item);
    }
    get(w, romeo, newest);
    assert_true(is_whole(w, romeo));
    leave(w);
}

/* The removals that are remembered are bounded, and who would miss one gets the whole. */
static void removals_are_bounded(void **state)
{
    (void)state;
    char first[32], known[4][32];
    world *w = stage(ALL_MODULES, "roster_max_removed = 2");
    client *romeo = online(w, ROMEO "/orchard");
    fill(w, romeo);
    version(romeo, -1, first);
    for (int i = 0; i < 4; i++) {
        char item[128];
        snprintf(item, sizeof item, "<item jid='c%02d@b.example' subscription='remove'/>", i);
        set(w, romeo, item);
        version(romeo, -1, known[i]);
    }
    assert_int_equal(state_count(w, "romeo"), 16);
    assert_int_equal(row_count(w, "roster/items", "romeo"), 16 + 2 + 1);
    get(w, romeo, first);
    assert_true(is_whole(w, romeo));
    get(w, romeo, known[0]);
    assert_true(is_whole(w, romeo));
    get(w, romeo, known[1]);
    assert_true(is_empty_result(w, romeo));
    assert_int_equal(SEEN(w, romeo, .holds = "subscription='remove'"), 2);
    leave(w);
}

/* A request that waits is no change of the roster, and makes nobody forget one. */
static void requests_change_nothing(void **state)
{
    (void)state;
    char known[32], newest[32];
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    fill(w, romeo);
    set(w, romeo, "<item jid='" JULIET "' name='Juliet'/>");
    version(romeo, -1, known);
    set(w, romeo, "<item jid='" JULIET "' subscription='remove'/>");
    version(romeo, -1, newest);
    say(w, juliet, "<presence type='subscribe' to='" ROMEO "'/>");
    get(w, romeo, newest);
    assert_true(is_empty_result(w, romeo));
    assert_int_equal(SEEN(w, romeo), 1);
    say(w, juliet, "<presence type='unsubscribe' to='" ROMEO "'/>");
    get(w, romeo, known);
    assert_int_equal(SEEN(w, romeo, .holds = "jid='" JULIET "' subscription='remove'"), 1);
    get(w, romeo, newest);
    assert_int_equal(SEEN(w, romeo), 1);
    leave(w);
}

/* An account of the same name, made anew, knows nothing of the old one's versions. */
static void a_new_account_begins_anew(void **state)
{
    (void)state;
    char old[32];
    int status = 1;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    client *romeo = online(w, ROMEO "/orchard");
    fill(w, romeo);
    version(romeo, -1, old);
    part(w, romeo);
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), SV_STR("romeo"), w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    account(w, "romeo");
    halt(w, false);
    boot(w, ALL_MODULES, "");
    pass_time(w, 1000000);
    romeo = join(w, ROMEO "/orchard");
    get(w, romeo, old);
    assert_true(is_whole(w, romeo));
    fill(w, romeo);
    get(w, romeo, old);
    assert_true(is_whole(w, romeo));
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_has_its_version),
        cmocka_unit_test(changes_are_pushed),
        cmocka_unit_test(what_is_unknown_gets_all),
        cmocka_unit_test(removals_are_bounded),
        cmocka_unit_test(requests_change_nothing),
        cmocka_unit_test(a_new_account_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
