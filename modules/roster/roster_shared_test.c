/* Tests of contacts that modules supply by the occasion roster/shared (<stave/roster.h>): of a module that is
 * not the bundled one, and of two together. */
#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define NURSE "nurse@" HERE
#define LATER "<iq type='set' to='" HERE "' id='l'><later xmlns='urn:stave:shares'/></iq>"

static void get(world *w, client *c)
{
    say(w, c, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>");
    assert_int_equal(SEEN(w, c, .id = "g", .type = "result"), 1);
}

/* What a module offers is in rosters, is subscribed, and comes and goes while sessions are on line. */
static void another_module_supplies(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES ", \"shares\"",
                     "shares_lines = { \"Staff\\t" ROMEO "\\tRomeo M.\\t" JULIET "\\t\" }\n"
                     "shares_later = { \"Staff\\t" ROMEO "\\tRomeo M.\\t" NURSE "\\tAngelica\" }\n");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony"),
           *nurse = online(w, NURSE "/x");
    assert_int_equal(SEEN(w, romeo, .name = "presence", .type = "", .from = JULIET "/balcony"), 1);
    get(w, romeo);
    get(w, juliet);
    assert_int_equal(SEEN(w, romeo, .id = "g", .holds = "<item jid='" JULIET "' subscription='both'>"
                                                        "<group>Staff</group></item></query>"),
                     1);
    assert_int_equal(SEEN(w, juliet, .id = "g", .holds = "<item jid='" ROMEO "' name='Romeo M.' "), 1);
    forget(w);
    say(w, romeo, LATER);
    pass_time(w, 1000000);
    assert_int_equal(SEEN(w, romeo, .type = "set"), 2);
    assert_int_equal(SEEN(w, romeo, .holds = "<item jid='" JULIET "' subscription='remove'/>"), 1);
    assert_int_equal(SEEN(w, romeo, .type = "set", .holds = "<item jid='" NURSE "' name='Angelica' "
                                                            "subscription='both'>"),
                     1);
    assert_int_equal(SEEN(w, juliet, .type = "unavailable", .from = ROMEO "/orchard"), 1);
    assert_int_equal(SEEN(w, nurse, .type = "", .name = "presence", .from = ROMEO "/orchard"), 1);
    assert_int_equal(row_count(w, "roster/items", "romeo"), 0);
    leave(w);
}

/* Two that name the same contact: it is there once, in all groups, by the first name; lines and fields
 * that are none are left out, and what stands beside them is not. */
static void two_supply(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES ", \"groups\", \"shares\"",
                     "groups_list = { \"Verona: " ROMEO ", " JULIET "=Juliet\" }\n"
                     "shares_lines = { \"Staff\\t" JULIET "\\tMiss C.\", \"\", \"Alone\", \"Half\\t" NURSE
                     "\", \"\\t" NURSE "\\tAngelica\", \"Empty\\t\\tNobody\" }\n");
    client *romeo = online(w, ROMEO "/orchard");
    get(w, romeo);
    assert_int_equal(SEEN(w, romeo, .id = "g",
                          .holds = "'><item jid='" JULIET "' name='Juliet' subscription='both'>"
                                   "<group>Verona</group><group>Staff</group></item>"
                                   "<item jid='" NURSE "' name='Angelica' subscription='both'/></query>"),
                     1);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_module_supplies),
        cmocka_unit_test(two_supply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
