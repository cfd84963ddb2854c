/* Tests of what guests may do (XEP-0175 3, 5): talk on this server; nothing is kept for them, nothing
 * outlives them. */
#include "modules_world.h"
#include "xmpp/xmpp_guest.h"

#define JULIET "juliet@" HERE
#define NS_INFO "http://jabber.org/protocol/disco#info"
#define NS_ROSTER "jabber:iq:roster"

static char name[SVI_GUEST_NAME_BYTES + 1], bare[64], full[80], text[512];

/* A world where juliet and a guest are on line. */
static world *play_with(const char *modules, client **guest, client **juliet)
{
    world *w = world_new();
    halt(w, false);
    w->logins = SVI_LOGINS_BOTH;
    boot(w, modules, "");
    account(w, "juliet");
    svi_guest_name(svi_host_find(w->server, SV_STR(HERE)), name);
    snprintf(bare, sizeof bare, "%s@" HERE, name);
    snprintf(full, sizeof full, "%s/web", bare);
    *guest = online(w, full);
    *juliet = online(w, JULIET "/balcony");
    forget(w);
    return w;
}

static world *play(client **guest, client **juliet)
{
    return play_with(ALL_MODULES, guest, juliet);
}

/* The stanza with the address in place of "TO". */
static void says(world *w, client *c, const char *stanza, const char *to)
{
    const char *at = strstr(stanza, "TO");
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - stanza), stanza, to, at + 2);
    say(w, c, text);
}

static void assert_nothing_kept(world *w)
{
    static const char *const maps[] = {"roster/items",  "presence/requests", "offline/messages",
                                       "blocking/list", "blocking/reports",  "accounts"};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if (row_count(w, maps[i], name) != 0) fail_msg("a row in %s", maps[i]);
}

static void talks_here_and_not_elsewhere(void **state)
{
    (void)state;
    client *guest, *juliet;
    world *w = play(&guest, &juliet);
    says(w, guest, "<message to='TO' type='chat' id='m1'><body>hi</body></message>", JULIET);
    assert_int_equal(SEEN(w, juliet, .id = "m1", .from = full), 1);
    says(w, juliet, "<message to='TO' type='chat' id='m2'><body>hi</body></message>", bare);
    assert_int_equal(SEEN(w, guest, .id = "m2"), 1);
    says(w, guest, "<presence to='TO/balcony' id='p'/>", JULIET);
    assert_int_equal(SEEN(w, juliet, .id = "p"), 1);
    static const char *const forms[] = {
        "<message to='TO' id='e'><body>x</body></message>", "<presence to='TO' id='e'/>",
        "<iq type='get' to='TO' id='e'><query xmlns='" NS_INFO "'/></iq>"};
    for (size_t i = 0; i < 3; i++) {
        forget(w);
        says(w, guest, forms[i], "example.org");
        assert_int_equal(SEEN(w, guest, .id = "e", .type = "error", .holds = "<forbidden "), 1);
        says(w, juliet, forms[i], "example.org"); /* an account may; but there is no way yet */
        assert_int_equal(SEEN(w, juliet, .id = "e", .holds = "<forbidden "), 0);
    }
    leave(w);
}

static void has_no_block_list(void **state)
{
    (void)state;
    client *guest, *juliet;
    world *w = play(&guest, &juliet);
    say(w, guest,
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='" JULIET "'/></block></iq>"
        "<iq type='set' id='u'><unblock xmlns='urn:xmpp:blocking'/></iq>"
        "<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>");
    assert_int_equal(SEEN(w, guest, .id = "b", .type = "error", .holds = "<not-allowed "), 1);
    assert_int_equal(SEEN(w, guest, .id = "u", .type = "error", .holds = "<not-allowed "), 1);
    assert_int_equal(SEEN(w, guest, .id = "l", .type = "result"), 1);
    assert_nothing_kept(w);
    /* but a guest can be blocked */
    says(w, juliet,
         "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='TO'/></block></iq>", bare);
    says(w, guest, "<message to='TO' id='m'><body>x</body></message>", JULIET);
    assert_int_equal(SEEN(w, guest, .id = "m", .type = "error"), 1);
    assert_int_equal(SEEN(w, juliet, .id = "m"), 0);
    leave(w);
}

static void has_no_roster(void **state)
{
    (void)state;
    client *guest, *juliet;
    world *w = play(&guest, &juliet);
    say(w, guest, "<iq type='get' id='g'><query xmlns='" NS_ROSTER "'/></iq>");
    assert_int_equal(SEEN(w, guest, .id = "g", .type = "result"), 1);
    says(w, guest, "<iq type='set' id='s'><query xmlns='" NS_ROSTER "'><item jid='TO'/></query></iq>",
         JULIET);
    assert_int_equal(SEEN(w, guest, .id = "s", .type = "error", .holds = "<not-allowed "), 1);
    assert_nothing_kept(w);
    leave(w);
}

static void has_no_subscriptions(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "<presence to='TO' type='subscribe' id='e'/>", "<presence to='TO' type='subscribed' id='e'/>",
        "<presence to='TO' type='unsubscribe' id='e'/>",
        "<presence to='TO' type='unsubscribed' id='e'/>"};
    client *guest, *juliet;
    world *w = play(&guest, &juliet);
    for (size_t i = 0; i < 4; i++) {
        forget(w);
        says(w, guest, forms[i], JULIET);
        assert_int_equal(SEEN(w, guest, .id = "e", .type = "error", .holds = "<not-allowed "), 1);
        assert_int_equal(SEEN(w, juliet, .name = "presence"), 0);
        says(w, juliet, forms[i], bare);
        assert_int_equal(SEEN(w, juliet, .id = "e", .type = "error", .holds = "<not-allowed "), 1);
        assert_int_equal(SEEN(w, guest, .from = JULIET), 1); /* the error */
    }
    assert_nothing_kept(w);
    assert_int_equal(row_count(w, "roster/items", "juliet"), 0);
    assert_int_equal(row_count(w, "presence/requests", "juliet"), 0);
    /* from elsewhere, where no other server asks us first */
    snprintf(text, sizeof text, "<presence from='x@example.org' to='%s' type='subscribe'/>", bare);
    arrives(w, text);
    assert_nothing_kept(w);
    leave(w);
}

/* No queue: what he can't have now, he never gets (RFC 6121 8.5.2.2.1). */
static void has_no_offline_messages(void **state)
{
    (void)state;
    client *guest, *juliet;
    world *w = play(&guest, &juliet);
    say(w, guest, "<presence type='unavailable'/>");
    says(w, juliet, "<message to='TO' type='chat' id='m1'><body>hi</body></message>", bare);
    assert_int_equal(
        SEEN(w, juliet, .id = "m1", .type = "error", .holds = "<service-unavailable "), 1);
    part(w, guest);
    says(w, juliet, "<message to='TO' type='chat' id='m2'><body>hi</body></message>", bare);
    assert_int_equal(
        SEEN(w, juliet, .id = "m2", .type = "error", .holds = "<service-unavailable "), 1);
    assert_nothing_kept(w);
    leave(w);
}

/* What a module would write for one, now or when he has gone, is refused below the modules. */
static void is_never_written_for(void **state)
{
    (void)state;
    client *guest, *juliet;
    static const char put[] = "<iq type='set' id='p' to='TO'><put xmlns='urn:stave:probe' key='k'>v</put></iq>";
    world *w = play_with(ALL_MODULES ", \"probe\"", &guest, &juliet);
    says(w, juliet, put, HERE);
    assert_int_equal(SEEN(w, juliet, .id = "p", .type = "result"), 1);
    says(w, guest, put, HERE);
    assert_int_equal(SEEN(w, guest, .id = "p", .type = "error"), 1);
    assert_int_equal(row_count(w, "probe/notes", "juliet"), 1);
    assert_int_equal(row_count(w, "probe/notes", name), 0);
    leave(w);
}

static void says_what_it_is(void **state)
{
    (void)state;
    static const char identity[] = "<identity category='account' type='anonymous'/>";
    client *guest, *juliet;
    world *w = play(&guest, &juliet);
    says(w, guest, "<iq type='get' id='d1' to='TO'><query xmlns='" NS_INFO "'/></iq>", bare);
    assert_int_equal(SEEN(w, guest, .id = "d1", .type = "result", .holds = identity), 1);
    says(w, juliet, "<iq type='get' id='d2' to='TO'><query xmlns='" NS_INFO "'/></iq>", bare);
    assert_int_equal(SEEN(w, juliet, .id = "d2", .type = "result", .holds = identity), 1);
    part(w, guest);
    says(w, juliet, "<iq type='get' id='d3' to='TO'><query xmlns='" NS_INFO "'/></iq>", bare);
    assert_int_equal(SEEN(w, juliet, .id = "d3", .type = "error"), 1);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talks_here_and_not_elsewhere),
        cmocka_unit_test(has_no_roster),
        cmocka_unit_test(has_no_subscriptions),
        cmocka_unit_test(has_no_block_list),
        cmocka_unit_test(has_no_offline_messages),
        cmocka_unit_test(is_never_written_for),
        cmocka_unit_test(says_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
