/* Tests of service discovery: what modules offer and what not, nodes, items, contact addresses. */
#include "../../tests/modules/modules_world.h"

#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ITEMS "http://jabber.org/protocol/disco#items"
#define NS "urn:stave:offers"
#define WITH_OFFERS "\"disco\", \"roster\", \"offers\""

/* The answer to a request as text; .p ends with a NUL until the client speaks again. */
static const char *ask(world *w, client *c, const char *to, const char *ns, const char *node)
{
    char text[512];
    snprintf(text, sizeof text, "<iq type='get'%s%s%s id='q'><query xmlns='%s'%s%s%s/></iq>",
             to ? " to='" : "", to ? to : "", to ? "'" : "", ns, node ? " node='" : "",
             node ? node : "", node ? "'" : "");
    say(w, c, text);
    assert_int_equal(SEEN(w, c, .name = "iq", .id = "q"), 1);
    svi_buf_putc(&c->in, 0);
    return c->in.data;
}

static unsigned times(const char *text, const char *part_of)
{
    unsigned count = 0;
    while ((text = strstr(text, part_of)) != NULL) {
        count++;
        text += strlen(part_of);
    }
    return count;
}

/* XEP-0030 3.1: an identity of the same category, type and language, and a feature, stand there once;
 * XEP-0128 2 (and XEP-0115 5.4 rule 3.5): a form of one type, too. What is none of these is left out and
 * told. */
static void the_host_with_offers(void **state)
{
    (void)state;
    world *w = stage(WITH_OFFERS, "");
    client *c = join(w, "romeo@" HERE "/a");
    const char *info = ask(w, c, HERE, NS_INFO, NULL);
    assert_int_equal(times(info, "<identity "), 3);
    assert_int_equal(times(info, "category='server' type='im'"), 2);
    assert_int_equal(times(info, "name='&lt;&amp;'"), 1);
    assert_int_equal(times(info, "<feature var='" NS "'/>"), 1);
    assert_int_equal(times(info, "<feature var='" NS_INFO "'/>"), 1);
    assert_int_equal(times(info, "<feature "), 3);
    assert_int_equal(times(info, "<x xmlns='jabber:x:data'"), 1);
    assert_int_equal(times(info, "<value>1</value>"), 1);
    assert_null(strstr(info, "<item "));
    assert_null(strstr(info, "node="));
    assert_has(&w->log, "disco-offer-refused point=disco/host line=<feature/>");
    info = ask(w, c, HERE, NS_INFO, NULL);
    assert_null(strstr(info, "#more"));
    say(w, c, "<iq type='set' to='" HERE "' id='m'><more xmlns='" NS "'/></iq>");
    info = ask(w, c, HERE, NS_INFO, NULL);
    assert_int_equal(times(info, "<feature var='" NS "#more'/>"), 1);
    leave(w);
}

static void accounts_with_offers(void **state)
{
    (void)state;
    world *w = stage(WITH_OFFERS, "");
    account(w, "juliet");
    client *c = join(w, "romeo@" HERE "/a");
    const char *info = ask(w, c, NULL, NS_INFO, NULL);
    assert_int_equal(times(info, "<identity "), 2);
    assert_int_equal(times(info, "<identity category='account' type='registered'/>"), 1);
    assert_int_equal(times(info, "<feature var='" NS "#romeo@" HERE "'/>"), 1);
    write_row(w, "roster/items", "juliet", "romeo@" HERE, "R121\n\n");
    info = ask(w, c, "juliet@" HERE, NS_INFO, NULL);
    assert_int_equal(times(info, "<feature var='" NS "#juliet@" HERE "'/>"), 1);
    assert_int_equal(times(ask(w, c, "juliet@" HERE, NS_ITEMS, NULL), "<item "), 2);
    info = ask(w, c, "juliet@" HERE, NS_INFO, "n");
    assert_int_equal(times(info, "<identity category='pubsub' type='leaf'/>"), 1);
    /* who does not see the presence learns nothing of nodes either (XEP-0030 8) */
    write_row(w, "roster/items", "juliet", "romeo@" HERE, "R122\n\n");
    static const char *const ns[] = {NS_INFO, NS_ITEMS};
    for (size_t i = 0; i < 2; i++) {
        assert_non_null(strstr(ask(w, c, "juliet@" HERE, ns[i], "n"), "<service-unavailable "));
        assert_non_null(strstr(ask(w, c, "juliet@" HERE, ns[i], "none"), "<service-unavailable "));
        assert_non_null(strstr(ask(w, c, "nobody@" HERE, ns[i], "n"), "<service-unavailable "));
    }
    leave(w);
}

/* XEP-0030 3.2, 4.2: the answer names the node; one that nobody offers anything for is not there. */
static void nodes(void **state)
{
    (void)state;
    world *w = stage(WITH_OFFERS, "");
    client *c = join(w, "romeo@" HERE "/a");
    const char *info = ask(w, c, HERE, NS_INFO, "n");
    assert_int_equal(times(info, "<query xmlns='" NS_INFO "' node='n'>"), 1);
    assert_int_equal(times(info, "<identity "), 1);
    assert_int_equal(times(info, "<feature "), 2);
    assert_int_equal(times(info, "<feature var='" NS_INFO "'/>"), 1);
    const char *items = ask(w, c, HERE, NS_ITEMS, "n");
    assert_int_equal(times(items, "<query xmlns='" NS_ITEMS "' node='n'>"), 1);
    assert_int_equal(times(items, "<item "), 2);
    static const struct {
        const char *to, *ns, *node;
    } missing[] = {{HERE, NS_INFO, "none"},  {HERE, NS_INFO, "nameless"}, {HERE, NS_ITEMS, "none"},
                   {NULL, NS_INFO, "none"},  {NULL, NS_ITEMS, "none"}};
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++)
        assert_non_null(strstr(ask(w, c, missing[i].to, missing[i].ns, missing[i].node),
                               "<item-not-found "));
    leave(w);
}

/* What the operator names comes first; the same address and node stand there once. */
static void items(void **state)
{
    (void)state;
    world *w = stage(WITH_OFFERS,
                     "disco_items = { \"chat.example Rooms & more\", \"up@files.example\" }");
    client *c = join(w, "romeo@" HERE "/a");
    const char *text = ask(w, c, HERE, NS_ITEMS, NULL);
    assert_int_equal(times(text, "<item "), 3);
    assert_int_equal(times(text, "<item jid='chat.example' name='Rooms &amp; more'/>"), 1);
    assert_int_equal(times(text, "<item jid='up@files.example'/>"), 1);
    assert_int_equal(times(text, "<item jid='a.example' node='n' name='N'/>"), 1);
    assert_int_equal(times(ask(w, c, NULL, NS_ITEMS, NULL), "<item "), 2);
    halt(w, false);
    boot(w, "\"disco\"", "");
    c = join(w, "romeo@" HERE "/a");
    text = ask(w, c, HERE, NS_ITEMS, NULL); /* XEP-0030 7: empty, no error */
    assert_int_equal(times(text, "type='result'"), 1);
    assert_int_equal(times(text, "<item "), 0);
    leave(w);
}

/* XEP-0157 3, by the module contact: the host alone has the form, and none of its nodes. */
static void contact_addresses(void **state)
{
    (void)state;
    world *w = stage("\"disco\", \"roster\", \"offers\", \"contact\"",
                     "contact_abuse = { \"mailto:abuse@one.example\", \"xmpp:abuse@one.example\" }");
    client *c = join(w, "romeo@" HERE "/a");
    const char *form = "<x xmlns='jabber:x:data' type='result'><field type='hidden' var='FORM_TYPE'><value>"
                       "http://jabber.org/network/serverinfo</value></field><field type='list-multi' var='abuse-addresses'>"
                       "<value>mailto:abuse@one.example</value><value>xmpp:abuse@one.example</value></field></x>";
    assert_int_equal(times(ask(w, c, HERE, NS_INFO, NULL), form), 1);
    assert_int_equal(times(ask(w, c, HERE, NS_INFO, "n"), "jabber:x:data"), 0);
    assert_int_equal(times(ask(w, c, NULL, NS_INFO, NULL), "jabber:x:data"), 0);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_host_with_offers), cmocka_unit_test(accounts_with_offers),
        cmocka_unit_test(nodes),                cmocka_unit_test(items),
        cmocka_unit_test(contact_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
