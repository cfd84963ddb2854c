/* Tests of which modules are enabled, and in which order: the server starts or says what is
 * missing, disco tells what there is, and what nobody handles is answered. */
#include "modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ITEMS "http://jabber.org/protocol/disco#items"

/* Sends a request; it must be answered once, with this type. */
static void ask(world *w, client *c, const char *to, const char *payload, const char *type)
{
    char text[512];
    snprintf(text, sizeof text, "<iq type='get'%s%s%s id='q'>%s</iq>", to ? " to='" : "",
             to ? to : "", to ? "'" : "", payload);
    say(w, c, text);
    if (SEEN(w, c, .name = "iq", .id = "q", .type = type) != 1 || SEEN(w, c, .id = "q") != 1)
        fail_msg("%s to %s: %.*s", payload, to ? to : "nobody", (int)c->in.len, c->in.data);
}

/* What disco says of the host and of the own account. */
static void assert_features(world *w, client *c, const char *host, const char *own)
{
    static const char *const all[] = {NS_INFO, NS_ITEMS, "msgoffline", "urn:xmpp:ping",
                                      "urn:xmpp:blocking"};
    ask(w, c, HERE, "<query xmlns='" NS_INFO "'/>", "result");
    for (int of_account = 0; of_account < 2; of_account++) {
        if (of_account) ask(w, c, NULL, "<query xmlns='" NS_INFO "'/>", "result");
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            char feature[128];
            snprintf(feature, sizeof feature, "<feature var='%s'/>", all[i]);
            const bool wanted = strstr(of_account ? own : host, all[i]) != NULL;
            if (SEEN(w, c, .id = "q", .holds = feature) != wanted)
                fail_msg("%s is%s told", all[i], wanted ? " not" : "");
        }
    }
    assert_int_equal(SEEN(w, c, .holds = "<identity category='account' type='registered'/>"), 1);
}

/* Threats U7: of what is enabled every subset that may start does, answers what it has, and refuses
 * what it has not. */
static void single_modules_missing(void **state)
{
    (void)state;
    static const struct {
        const char *modules, *host, *own;
    } cases[] = {
        {ALL_MODULES, NS_INFO NS_ITEMS "msgoffline urn:xmpp:ping urn:xmpp:blocking",
         NS_INFO NS_ITEMS "urn:xmpp:ping"},
        {"\"disco\"", NS_INFO NS_ITEMS, NS_INFO NS_ITEMS},
        {"\"disco\", \"ping\"", NS_INFO NS_ITEMS "urn:xmpp:ping", NS_INFO NS_ITEMS "urn:xmpp:ping"},
        {"\"disco\", \"message\"", NS_INFO NS_ITEMS, NS_INFO NS_ITEMS},
        {"\"disco\", \"message\", \"offline\"", NS_INFO NS_ITEMS "msgoffline", NS_INFO NS_ITEMS},
        {"\"disco\", \"blocking\"", NS_INFO NS_ITEMS "urn:xmpp:blocking", NS_INFO NS_ITEMS},
        {"\"disco\", \"roster\"", NS_INFO NS_ITEMS, NS_INFO NS_ITEMS},
        {"\"disco\", \"roster\", \"presence\"", NS_INFO NS_ITEMS, NS_INFO NS_ITEMS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world *w = stage(cases[i].modules, "");
        account(w, "juliet");
        const char *modules = cases[i].modules;
        client *c = join(w, ROMEO "/orchard");
        assert_features(w, c, cases[i].host, cases[i].own);
        const bool roster = strstr(modules, "roster") != NULL,
                   ping = strstr(modules, "ping") != NULL;
        ask(w, c, NULL, "<query xmlns='jabber:iq:roster'/>", roster ? "result" : "error");
        ask(w, c, NULL, "<blocklist xmlns='urn:xmpp:blocking'/>",
            strstr(modules, "blocking") != NULL ? "result" : "error");
        ask(w, c, HERE, "<ping xmlns='urn:xmpp:ping'/>", ping ? "result" : "error");
        ask(w, c, NULL, "<ping xmlns='urn:xmpp:ping'/>", ping ? "result" : "error");
        say(w, c,
            "<presence/><presence to='" JULIET "'/><presence type='subscribe' to='" JULIET "'/>"
            "<message to='" JULIET "' id='m'><body>x</body></message>"
            "<message to='" ROMEO "/orchard' id='f'><body>x</body></message>");
        assert_int_equal(SEEN(w, c, .id = "m", .type = "error"),
                         strstr(modules, "offline") == NULL);
        assert_int_equal(SEEN(w, c, .id = "f", .type = ""), 1);
        leave(w);
    }
}

/* The config's order decides nothing that matters: bands and `after` do. */
static void any_order(void **state)
{
    (void)state;
    static const char *const orders[] = {
        ALL_MODULES,
        "\"ping\", \"disco\", \"blocking\", \"offline\", \"message\", \"presence\", \"roster\"",
        "\"offline\", \"presence\", \"message\", \"ping\", \"roster\", \"disco\", \"blocking\"",
        "\"blocking\", \"disco\", \"roster\", \"message\", \"presence\", \"offline\", \"ping\"",
    };
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        world *w = stage(orders[i], "roster_max_items = 1");
        account(w, "juliet");
        client *romeo = online(w, ROMEO "/orchard");
        say(w, romeo,
            "<message type='chat' to='" JULIET "' id='m'><body>x</body></message>"
            "<message type='groupchat' to='" JULIET "' id='g'/>");
        assert_int_equal(SEEN(w, romeo, .id = "g", .type = "error"), 1);
        say(w, romeo,
            "<presence type='subscribe' to='" JULIET "'/>"
            "<presence type='subscribe' to='nurse@" HERE "' id='full'/>");
        assert_int_equal(SEEN(w, romeo, .id = "full", .type = "error"), 1);
        assert_int_equal(SEEN(w, romeo, .type = "set", .holds = "ask='subscribe'"), 1);
        client *juliet = join(w, JULIET "/balcony");
        say(w, juliet, "<presence/>");
        assert_int_equal(SEEN(w, juliet, .id = "m"), 1);
        assert_int_equal(SEEN(w, juliet, .type = "subscribe"), 1);
        say(w, romeo, "<message type='chat' to='" JULIET "' id='live'><body>x</body></message>");
        assert_int_equal(SEEN(w, juliet, .id = "live"), 1);
        assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
        leave(w);
    }
}

/* What a module cannot do without is named at the start. */
static void says_what_is_missing(void **state)
{
    (void)state;
    world *w = stage("\"ping\"", "");
    svi_mods_free(&w->mods);
    assert_start_fails(w, "\"presence\", \"message\"", "roster");
    assert_start_fails(w, "\"offline\"", "message");
    halt(w, false);
    boot(w, "\"ping\"", "");
    leave(w);
}

/* --- disco and ping ------------------------------------------------------------------------ */

/* XEP-0030 8, RFC 6121 8.5.2.1.3, threats U7: those who see the presence are told, all others what
 * nobody would tell them. */
static void disco_of_accounts(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard");
    static const struct {
        const char *record; /* Juliet's, of Romeo */
        const char *type;
    } cases[] = {{NULL, "error"},       {"R120\n\n", "error"},  {"R122\n\n", "error"},
                 {"R128\n\n", "error"}, {"R121\n\n", "result"}, {"R123\n\n", "result"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_row(w, "roster/items", "juliet", ROMEO, cases[i].record);
        ask(w, romeo, JULIET, "<query xmlns='" NS_INFO "'/>", cases[i].type);
        ask(w, romeo, JULIET, "<query xmlns='" NS_ITEMS "'/>", cases[i].type);
        ask(w, romeo, JULIET "/gone", "<query xmlns='" NS_INFO "'/>", "error");
    }
    static const char *const strangers[] = {"<query xmlns='" NS_INFO "'/>",
                                            "<ping xmlns='urn:xmpp:ping'/>",
                                            "<query xmlns='jabber:iq:unheard-of'/>"};
    write_row(w, "roster/items", "juliet", ROMEO, NULL);
    for (size_t i = 0; i < 3; i++) {
        char there[512], nobody[512];
        ask(w, romeo, JULIET, strangers[i], "error");
        snprintf(there, sizeof there, "%.*s", (int)romeo->in.len, romeo->in.data);
        ask(w, romeo, "nobody@" HERE, strangers[i], "error");
        snprintf(nobody, sizeof nobody, "%.*s", (int)romeo->in.len, romeo->in.data);
        char *name = strstr(there, JULIET);
        assert_non_null(name);
        memcpy(name, "nobody", 6); /* as long as the other name */
        assert_string_equal(there, nobody);
    }
    leave(w);
}

/* XEP-0030 3.2: there are no nodes. */
static void disco_of_nodes(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *romeo = join(w, ROMEO "/orchard");
    ask(w, romeo, HERE, "<query xmlns='" NS_INFO "' node='n'/>", "error");
    assert_int_equal(SEEN(w, romeo, .holds = "<item-not-found "), 1);
    ask(w, romeo, NULL, "<query xmlns='" NS_ITEMS "' node='n'/>", "error");
    assert_int_equal(SEEN(w, romeo, .holds = "<item-not-found "), 1);
    ask(w, romeo, HERE, "<query xmlns='" NS_ITEMS "'/>", "result");
    leave(w);
}

/* --- requests for another account (threats, conclusion 7) ---------------------------------- */

/* Whatever a bundled module answers its own account from, for somebody else's account it does not answer
 * from the asker's data: each payload, to an account on line, to one that is not and to nobody. */
static void another_accounts_data(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "<query xmlns='jabber:iq:roster'/>",
        "<query xmlns='jabber:iq:roster'><item jid='mine@far.example'/></query>",
        "<ping xmlns='urn:xmpp:ping'/>",
        "<query xmlns='" NS_INFO "'/>",
        "<query xmlns='" NS_ITEMS "'/>",
        "<query xmlns='jabber:iq:private'><x xmlns='urn:example:mine'/></query>",
        "<vCard xmlns='vcard-temp'/>",
        "<blocklist xmlns='urn:xmpp:blocking'/>",
        "<block xmlns='urn:xmpp:blocking'><item jid='mine@far.example'/></block>",
        "<query xmlns='urn:xmpp:mam:2'/>",
        "<enable xmlns='urn:xmpp:carbons:2'/>"};
    static const char *const to[] = {JULIET, "nurse@" HERE, "nobody@" HERE};
    world *w = stage(ALL_MODULES, "");
    account(w, "nurse");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    say(w, romeo, "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>"
                  "<item jid='mine@far.example' name='mine'/></query></iq>");
    assert_int_equal(state_count(w, "romeo"), 1);
    for (size_t p = 0; p < sizeof payloads / sizeof *payloads; p++) {
        for (size_t t = 0; t < 3; t++) {
            for (int is_set = 0; is_set < 2; is_set++) {
                char text[512];
                snprintf(text, sizeof text, "<iq type='%s' id='q' to='%s'>%s</iq>",
                         is_set ? "set" : "get", to[t], payloads[p]);
                forget(w);
                say(w, romeo, text);
                if (SEEN(w, romeo) != 1 ||
                    SEEN(w, romeo, .name = "iq", .type = "error", .id = "q", .from = to[t]) != 1 ||
                    SEEN(w, romeo, .holds = "mine") != 0)
                    fail_msg("%s: %.*s", text, (int)romeo->in.len, romeo->in.data);
                assert_int_equal(SEEN(w, juliet), 0); /* 8.5.2.1.3: nor is it delivered */
            }
        }
    }
    assert_int_equal(state_count(w, "romeo"), 1);
    assert_int_equal(row_count(w, "roster/items", "juliet"), 0);
    leave(w);
}

/* Whose handlers were asked is the router's: one for `self` never sees a stanza for somebody else, by
 * whatever address it names the own account in vain. */
static void own_handlers_see_own_requests(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = join(w, ROMEO "/orchard");
    static const char *const own[] = {NULL, ROMEO, "ROMEO@ONE.example"};
    static const char *const others[] = {JULIET, "romeo2@" HERE, ROMEO "/gone", "romeo@two.example"};
    for (size_t i = 0; i < 3; i++)
        ask(w, romeo, own[i], "<ping xmlns='urn:xmpp:ping'/>", "result");
    for (size_t i = 0; i < 4; i++)
        ask(w, romeo, others[i], "<ping xmlns='urn:xmpp:ping'/>", "error");
    leave(w);
}

/* A session that ends while what is kept for it is read: whoever comes next has none to keep it for. */
static void goes_while_it_is_bound(void **state)
{
    (void)state;
    static const char *const orders[] = {"\"blocking\", \"roster\"", "\"roster\", \"blocking\""};
    for (size_t i = 0; i < 2; i++) {
        world *w = stage(orders[i], "");
        svi_engine_sim_plan(w->engine)->hold = true;
        part(w, join(w, ROMEO "/orchard"));
        assert_int_equal(svi_session_count(w->server), 0);
        svi_engine_sim_plan(w->engine)->hold = false;
        turn(w);
        client *again = join(w, ROMEO "/orchard");
        ask(w, again, NULL, "<query xmlns='jabber:iq:roster'/>", "result");
        leave(w);
    }
}

/* The end of a session is told whatever other modules wait for then, in every order. */
static void end_is_told_while_others_wait(void **state)
{
    (void)state;
    static const char *const orders[] = {ALL_MODULES, "\"message\", \"offline\", \"roster\", \"presence\"",
                                         ("\"lingers\", " ALL_MODULES)};
    for (size_t i = 0; i < 3; i++) {
        world *w = stage(orders[i], "");
        account(w, "juliet");
        client *juliet = online(w, JULIET "/balcony"), *romeo = online(w, ROMEO "/orchard");
        (void)online(w, ROMEO "/street"); /* who might get what the other has not got */
        say(w, romeo, "<presence to='" JULIET "'/>");
        svi_engine_sim_plan(w->engine)->hold = true;
        part(w, romeo);
        svi_engine_sim_plan(w->engine)->hold = false;
        turn(w);
        assert_int_equal(
            SEEN(w, juliet, .name = "presence", .type = "unavailable", .from = ROMEO "/orchard"), 1);
        leave(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_modules_missing), cmocka_unit_test(any_order),
        cmocka_unit_test(says_what_is_missing),   cmocka_unit_test(disco_of_accounts),
        cmocka_unit_test(disco_of_nodes),
        cmocka_unit_test(another_accounts_data),
        cmocka_unit_test(own_handlers_see_own_requests),
        cmocka_unit_test(goes_while_it_is_bound),
        cmocka_unit_test(end_is_told_while_others_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
