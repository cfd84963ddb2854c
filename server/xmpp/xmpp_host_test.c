/* Hosts that are added, removed and changed while sessions are bound. What their streams hear before they
 * are bound is in xmpp_host_login_test.c. */
#define CLIENTS 80
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_testing.h"

#define ERROR_OF(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
#define STREAM_ERROR_OF(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"

/* What handlers heard, as words. */
typedef struct diary {
    char text[2048];
} diary;

static sv_verdict note(sv_event *ev, void *self)
{
    diary *d = self;
    const size_t n = strlen(d->text);
    const sv_str who = svi_xevent_of(ev)->from.resource;
    snprintf(d->text + n, sizeof d->text - n, "%s:%.*s ",
             svi_point_name(svi_event_point_now(ev)), (int)who.n, who.p);
    return SV_PASS;
}

#define WROTE(d, expected)                                                                         \
    do {                                                                                           \
        assert_string_equal((d)->text, expected);                                                  \
        (d)->text[0] = '\0';                                                                       \
    } while (0)

static svi_hooks *hooks_of(world *w)
{
    svi_hooks *hooks;
    assert_int_equal(svi_hooks_build(&w->acct, w->handlers, w->handler_count, &hooks, NULL), SV_OK);
    w->handler_count = 0;
    return hooks;
}

static sv_stanza *parsed(world *w, const char *text)
{
    sv_stanza *stanza;
    assert_int_equal(svi_stanza_parse(&w->acct, svi_server_atoms(w->server), sv_str_of(text),
                                      SV_STR(SVI_NS_CLIENT), &stanza, NULL),
                     SV_OK);
    return stanza;
}

static size_t handlers_at(svi_host *host, const char *point)
{
    size_t count;
    (void)svi_hooks_at(svi_host_hooks(host), svi_point_find(sv_str_of(point)), &count);
    return count;
}

static void serve(svi_host *host, svi_logins logins)
{
    svi_host_serve(host, &(svi_host_config){.logins = logins, .guests_max = 10});
}

/* --- a host goes ------------------------------------------------------------------------------ */

static void its_sessions_end_and_nobody_elses(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    on(w, "session/gone", note, &d);
    use_handlers(w, w->host);
    client *a = join(w, "romeo", "a"), *b = join(w, "juliet", "b");
    client *other = join_host(w, "romeo", "example.net", "c");
    assert_int_equal(svi_host_session_count(w->host), 2);
    svi_host_retire(w->host);
    svi_host_retire(w->host); /* once is enough */
    settle(w);
    assert_read(a, STREAM_ERROR_OF("host-gone") "</stream:error></stream:stream>", 1, __LINE__);
    assert_read(b, STREAM_ERROR_OF("host-gone") "</stream:error></stream:stream>", 1, __LINE__);
    cut(a);
    WROTE(&d, "session/gone:a session/gone:b "); /* by the handlers that the host had */
    assert_int_equal(handlers_at(w->host, "session/gone"), 1);
    cut(b);
    assert_int_equal(svi_host_session_count(w->host), 0);
    assert_int_equal(handlers_at(w->host, "session/gone"), 0); /* nobody is left whom they serve */
    assert_false(svi_host_is_served(w->host));
    assert_true(svi_host_was_served(w->host));
    assert_null(svi_host_find(w->server, SV_STR("example.org")));
    assert_ptr_equal(svi_host_next(w->server, NULL), w->other);
    assert_null(svi_host_next(w->server, w->other));

    tell(other, "<message to='juliet@example.org' id='m'/>"); /* remote from now on */
    assert_read(other, ERROR_OF("remote-server-not-found"), 1, __LINE__);
    BALANCED(w);
    world_free(&w);
}

static void what_comes_before_the_end_is_not_routed(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *a = join(w, "romeo", "a"), *other = join_host(w, "romeo", "example.net", "c");
    svi_host_retire(w->host);
    const uint64_t before = dropped_by(w, "stream-ended");
    say(a, "<message to='romeo@example.net/c' id='late'/>"); /* heard before it is looked at */
    assert_true(svi_link_pairs_run(w->pairs) > 0);
    settle(w);
    assert_read(a, STREAM_ERROR_OF("host-gone"), 1, __LINE__);
    assert_read(other, "late", 0, __LINE__);
    assert_int_equal(dropped_by(w, "stream-ended"), before + 1);
    BALANCED(w);
    world_free(&w);
}

/* What comes for an account while it is looked up waits behind that, also when its host has gone meanwhile. */
static void a_host_goes_during_a_look_up(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *romeo = join_host(w, "romeo", "example.net", "c");
    svi_engine_sim_plan(w->engine)->hold = true;
    tell(romeo, "<message to='tybalt@example.org' id='m1'/>");
    svi_host_retire(w->host);
    tell(romeo, "<message to='tybalt@example.org' id='m2'/>");
    assert_read(romeo, "<error", 0, __LINE__);
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 100);
    settle(w);
    assert_read(romeo, ERROR_OF("remote-server-not-found"), 2, __LINE__);
    BALANCED(w);
    world_free(&w);
}

static size_t kicked(world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->client_count; i++)
        count += svi_session_find(w->server, svi_session_jid(w->clients[i].session)->full) == NULL;
    return count;
}

/* Others are not kept waiting while thousands end. */
static void some_sessions_each_turn(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    char name[16];
    for (int i = 0; i < 70; i++) {
        snprintf(name, sizeof name, "user%d", i);
        (void)join(w, name, "r");
    }
    svi_host_retire(w->host);
    assert_int_equal(kicked(w), 0);
    (void)svi_server_turn(w->server); /* they are told */
    (void)svi_server_turn(w->server); /* and taken out of the tables, while others are told */
    assert_int_equal(kicked(w), 32);
    cut(&w->clients[64]); /* the one whose turn is next goes by itself */
    for (int i = 0; i < 70; i++) cut(&w->clients[i]);
    assert_int_equal(svi_session_count(w->server), 0);
    BALANCED(w);
    world_free(&w);
}

static void it_comes_back_as_it_was(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    add_account(w, w->host, "romeo");
    client *a = join(w, "romeo", "a");
    svi_host_retire(w->host);
    settle(w);
    cut(a);
    svi_host *again = NULL;
    assert_int_equal(svi_host_prepare(w->server, SV_STR("example.org"), &again, NULL), SV_OK);
    assert_ptr_equal(again, w->host);
    assert_false(svi_host_is_served(again)); /* not yet */
    serve(again, SVI_LOGINS_ACCOUNTS);
    assert_ptr_equal(svi_host_find(w->server, SV_STR("example.org")), w->host);
    assert_ptr_equal(svi_host_next(w->server, w->other), w->host);
    on(w, "message/account", note, &d);
    use_handlers(w, w->host);
    client *b = join_host(w, "juliet", "example.net", "b");
    tell(b, "<message to='romeo@example.org' id='m'/>"); /* the account is there again */
    WROTE(&d, "message/account:b ");
    tell(b, "<message to='nobody@example.org' id='m'/>");
    WROTE(&d, "");
    client *c = join(w, "romeo", "a");
    assert_int_equal(c->bound, SV_OK);
    BALANCED(w);
    world_free(&w);
}

/* It is served again before all have heard that it was gone: the rest stays. */
static void it_comes_back_at_once(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *a = join(w, "romeo", "a");
    svi_host_retire(w->host);
    serve(w->host, SVI_LOGINS_ACCOUNTS);
    settle(w);
    assert_ptr_equal(svi_session_find(w->server, SV_STR("romeo@example.org/a")), a->session);
    tell(a, "<iq type='get' id='i' to='example.org'><q xmlns='x:y'/></iq>");
    assert_read(a, ERROR_OF("service-unavailable"), 1, __LINE__);
    BALANCED(w);
    world_free(&w);
}

/* Events that wait when the host goes finish; what they pass on finds it remote. */
static void waiting_events_go_on(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    on(w, "message/resource", wait_for_test, &all);
    use_handlers(w, w->host);
    on(w, "message/out", wait_for_test, &all);
    use_handlers(w, w->other);
    client *a = join(w, "romeo", "a"), *b = join_host(w, "juliet", "example.net", "b");
    tell(b, "<message to='romeo@example.org/a' id='first'/>");
    tell(a, "<message to='romeo@example.org/a' id='second'/>");
    assert_int_equal(all.count, 2); /* one at its sender's side, one at its recipient's */
    svi_host_retire(w->host);
    settle(w);
    cut(a);
    for (size_t i = 0; i < all.count; i++) assert_true(svi_event_resume(all.ev[i], SV_PASS));
    let_all_go(&all);
    settle(w);
    assert_read(b, ERROR_OF("remote-server-not-found"), 1, __LINE__);
    BALANCED(w);
    world_free(&w);
}

static void a_prepared_host_is_nobodys(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    svi_host *host, *same;
    assert_int_equal(svi_host_prepare(w->server, SV_STR("new.example"), &host, NULL), SV_OK);
    assert_int_equal(svi_host_prepare(w->server, SV_STR("new.example"), &same, NULL), SV_OK);
    assert_ptr_equal(host, same);
    assert_null(svi_host_find(w->server, SV_STR("new.example")));
    assert_ptr_equal(svi_host_known(w->server, SV_STR("new.example")), host);
    assert_null(svi_host_known(w->server, SV_STR("no.example")));
    assert_false(svi_host_was_served(host));
    client *a = join(w, "romeo", "a");
    tell(a, "<message to='new.example' id='m'/>"); /* looked up while it was remote */
    assert_read(a, ERROR_OF("remote-server-not-found"), 1, __LINE__);
    serve(host, SVI_LOGINS_ACCOUNTS);
    tell(a, "<message to='new.example' id='m'/>");
    assert_read(a, ERROR_OF("service-unavailable"), 1, __LINE__);
    BALANCED(w);
    world_free(&w);
}

/* --- a host changes --------------------------------------------------------------------------- */

static void admins_change(void **state)
{
    (void)state;
    static const sv_str first[] = {SV_STR_INIT("a@example.org"), SV_STR_INIT("b@example.org")},
                        second[] = {SV_STR_INIT("c@example.org")};
    world *w = world_new(NULL);
    svi_host_serve(w->host, &(svi_host_config){.admins = first, .admin_count = 2});
    assert_true(svi_host_is_admin(w->host, first[1]));
    svi_host_serve(w->host, &(svi_host_config){.admins = second, .admin_count = 1, .require_tls = true});
    assert_false(svi_host_is_admin(w->host, first[1]));
    assert_true(svi_host_is_admin(w->host, second[0]));
    assert_true(svi_host_requires_tls(w->host));
    svi_host_serve(w->host, &(svi_host_config){.admin_count = 0});
    assert_false(svi_host_is_admin(w->host, second[0]));
    world_free(&w);
}

/* Newly enabled modules hear of the sessions that are there, they alone and each once. */
static void newcomers_are_introduced(void **state)
{
    (void)state;
    diary old = {""}, new = {""};
    world *w = world_new(NULL);
    on(w, "session/bound", note, &old);
    use_handlers(w, w->host);
    client *a = join(w, "romeo", "a"), *b = join(w, "romeo", "b");
    WROTE(&old, "session/bound:a session/bound:b ");
    sv_stanza *presence = parsed(w, "<presence/>");
    svi_session_set_presence(b->session, presence, 1);
    svi_stanza_unref(&presence);

    on(w, "session/bound", note, &new);
    on(w, "session/presence", note, &new);
    on(w, "stanza/inbound", note, &new);
    svi_hooks *newcomers = hooks_of(w);
    on(w, "session/bound", note, &old);
    on(w, "session/bound", note, &new);
    on(w, "stanza/inbound", note, &new);
    svi_hooks *hooks = hooks_of(w);
    svi_host_change_hooks(w->host, hooks, newcomers);
    svi_hooks_unref(&newcomers);
    WROTE(&new, ""); /* not within the change */
    svi_inbound(b->session, parsed(w, "<message to='example.org'/>"), 0);
    WROTE(&new, "session/bound:b session/presence:b stanza/inbound:b ");
    settle(w);
    WROTE(&new, "session/bound:a ");
    (void)join(w, "romeo", "c");
    WROTE(&new, "session/bound:c ");
    WROTE(&old, "session/bound:c ");

    svi_host_change_hooks(w->host, hooks, NULL); /* nobody new */
    settle(w);
    WROTE(&new, "");
    svi_hooks_unref(&hooks);
    cut(a);
    world_free(&w);
}

/* Two changes in one turn: each module hears of all sessions. */
static void no_newcomer_is_forgotten(void **state)
{
    (void)state;
    diary first = {""}, second = {""};
    world *w = world_new(NULL);
    client *a = join(w, "romeo", "a");
    on(w, "session/bound", note, &first);
    svi_hooks *hooks = hooks_of(w);
    svi_host_change_hooks(w->host, hooks, hooks);
    svi_hooks_unref(&hooks);
    on(w, "session/bound", note, &second);
    hooks = hooks_of(w);
    svi_host_change_hooks(w->host, hooks, hooks);
    svi_hooks_unref(&hooks);
    WROTE(&first, "session/bound:a ");
    settle(w);
    WROTE(&second, "session/bound:a ");
    WROTE(&first, "");
    cut(a);
    world_free(&w);
}

/* A session that is gone before its turn came: newcomers hear both or nothing. */
static void gone_never_comes_without_bound(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    client *a = join(w, "romeo", "a");
    on(w, "session/bound", note, &d);
    on(w, "session/gone", note, &d);
    svi_hooks *hooks = hooks_of(w);
    svi_host_change_hooks(w->host, hooks, hooks);
    svi_session_kick(a->session, "conflict");
    svi_host_retire(w->host);
    svi_hooks_unref(&hooks);
    settle(w);
    WROTE(&d, "session/bound:a session/gone:a ");
    BALANCED(w);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_sessions_end_and_nobody_elses),
        cmocka_unit_test(what_comes_before_the_end_is_not_routed),
        cmocka_unit_test(a_host_goes_during_a_look_up),
        cmocka_unit_test(some_sessions_each_turn),
        cmocka_unit_test(it_comes_back_as_it_was),
        cmocka_unit_test(it_comes_back_at_once),
        cmocka_unit_test(waiting_events_go_on),
        cmocka_unit_test(a_prepared_host_is_nobodys),
        cmocka_unit_test(admins_change),
        cmocka_unit_test(newcomers_are_introduced),
        cmocka_unit_test(no_newcomer_is_forgotten),
        cmocka_unit_test(gone_never_comes_without_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
