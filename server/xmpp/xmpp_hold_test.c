/* Holding back what goes to a session: order, replacement, bounds, time, ends. */
#include "xmpp/xmpp_hold.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_testing.h"

#define TO_JULIET "to='juliet@example.org/balcony'"
#define SHOW(what) "<presence " TO_JULIET "><show>" what "</show></presence>"

static const svi_hold_limits wide = {.stanzas = 100, .bytes = 1u << 20, .age_us = 60000000};

typedef struct scene {
    world *w;
    client *juliet, *romeo, *nurse;
    unsigned asked;
} scene;

static bool is_about(const sv_event *ev, const char *name, const char *ns)
{
    return svi_node_find(svi_stanza_root(svi_event_stanza(ev)), sv_str_of(name), sv_str_of(ns)) != NULL;
}

/* Availability waits by its sender; messages say themselves what shall become of them. */
static sv_verdict on_sending(sv_event *ev, void *self)
{
    scene *s = self;
    const sv_node *root = svi_stanza_root(svi_event_stanza(ev));
    s->asked++;
    assert_string_equal(svi_xevent_of(ev)->from.full.p, "juliet@example.org/balcony");
    assert_ptr_equal(svi_xevent_of(ev)->session, s->juliet->session);
    assert_false(svi_event_may_wait(ev));
    if (svi_sender_of_availability(svi_event_stanza(ev)).p != NULL)
        return svi_x_hold(ev, svi_node_attr(root, SV_STR("from")));
    if (is_about(ev, "wait", "urn:t")) return svi_x_hold(ev, SV_STR_NONE);
    if (is_about(ev, "drop", "urn:t")) return svi_x_drop(ev, "by-test");
    if (is_about(ev, "later", "urn:t")) return SV_LATER;
    if (is_about(ev, "done", "urn:t")) return SV_DONE;
    if (is_about(ev, "release", "urn:t")) svi_session_release(s->juliet->session);
    return SV_PASS;
}

static scene set_scene(const svi_hold_limits *limits)
{
    scene s = {.w = world_new(NULL)};
    s.juliet = join(s.w, "juliet", "balcony");
    s.romeo = join(s.w, "romeo", "orchard");
    s.nurse = join(s.w, "nurse", "room");
    if (limits != NULL) svi_session_hold(s.juliet->session, limits);
    return s;
}

static void ask_handlers(scene *s)
{
    on(s->w, "session/sending", on_sending, s);
    use_handlers(s->w, s->w->host);
}

#define MESSAGE(id, content) "<message " TO_JULIET " id='" id "'>" content "</message>"
#define WAIT(id) MESSAGE(id, "<wait xmlns='urn:t'/>")

/* The text stands before the other in what was read. */
static void assert_order(const client *c, const char *first, const char *second)
{
    const char *a = memmem(c->in.data, c->in.len, first, strlen(first));
    const char *b = memmem(c->in.data, c->in.len, second, strlen(second));
    if (a == NULL || b == NULL || a > b) fail_msg("%s, %s: %.*s", first, second, (int)c->in.len, c->in.len > 0 ? c->in.data : "");
}

/* The newest of each sender, and all that waits ahead of what may not wait. */
static void newest_of_each(void **state)
{
    (void)state;
    scene s = set_scene(&wide);
    ask_handlers(&s);
    tell(s.romeo, SHOW("one"));
    tell(s.nurse, SHOW("two"));
    tell(s.romeo, SHOW("three"));
    QUIET(s.juliet);
    assert_int_equal(svi_session_held(s.juliet->session), 2);
    assert_int_equal(dropped_by(s.w, "held-replaced"), 1);
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(s.w->server)), 2);
    tell(s.romeo, MESSAGE("m", "<body>x</body>"));
    HAS_NOT(s.juliet, "one");
    assert_order(s.juliet, "two", "three");
    assert_order(s.juliet, "three", "id='m'");
    assert_int_equal(svi_session_held(s.juliet->session), 0);
    assert_int_equal(s.asked, 4);
    BALANCED(s.w);
    world_free(&s.w);
}

/* Without a key each waits, in order; nobody's but hers. */
static void without_keys(void **state)
{
    (void)state;
    scene s = set_scene(&wide);
    ask_handlers(&s);
    tell(s.romeo, WAIT("a") WAIT("b"));
    tell(s.nurse, WAIT("c"));
    tell(s.juliet, "<message to='romeo@example.org/orchard' id='out'><wait xmlns='urn:t'/></message>");
    HAS(s.romeo, "id='out'");
    QUIET(s.juliet);
    svi_session_release(s.juliet->session);
    settle(s.w);
    assert_order(s.juliet, "id='a'", "id='b'");
    assert_order(s.juliet, "id='b'", "id='c'");
    forget(s.juliet);
    tell(s.romeo, WAIT("d")); /* nobody is asked any more */
    HAS(s.juliet, "id='d'");
    assert_int_equal(s.asked, 3);
    BALANCED(s.w);
    world_free(&s.w);
}

/* Each bound lets all go: count, bytes, time. */
static void bounds(void **state)
{
    (void)state;
    scene s = set_scene(&(svi_hold_limits){.stanzas = 3, .bytes = 1u << 20, .age_us = 60000000});
    ask_handlers(&s);
    tell(s.romeo, WAIT("a") WAIT("b"));
    QUIET(s.juliet);
    tell(s.romeo, WAIT("c"));
    assert_order(s.juliet, "id='a'", "id='c'");
    forget(s.juliet);
    svi_session_hold(s.juliet->session, &(svi_hold_limits){.stanzas = 100, .bytes = 5000, .age_us = 60000000});
    tell(s.romeo, WAIT("d"));
    QUIET(s.juliet);
    char text[6000];
    snprintf(text, sizeof text, MESSAGE("e", "<wait xmlns='urn:t'>%05000d</wait>"), 0);
    tell(s.romeo, text);
    assert_order(s.juliet, "id='d'", "id='e'");
    forget(s.juliet);
    svi_session_hold(s.juliet->session, &wide);
    tell(s.romeo, WAIT("f"));
    pass_time(s.w, 40000000);
    tell(s.romeo, WAIT("g")); /* the time is the oldest's */
    QUIET(s.juliet);
    pass_time(s.w, 20000000);
    assert_order(s.juliet, "id='f'", "id='g'");
    forget(s.juliet);
    tell(s.romeo, WAIT("h")); /* the next one's time begins anew */
    pass_time(s.w, 59000000);
    QUIET(s.juliet);
    pass_time(s.w, 1000000);
    HAS(s.juliet, "id='h'");
    BALANCED(s.w);
    world_free(&s.w);
}

/* A handler may drop; one that can't be asked, or does what it must not, holds nothing up. */
static void verdicts(void **state)
{
    (void)state;
    scene s = set_scene(&wide);
    ask_handlers(&s);
    tell(s.romeo, MESSAGE("a", "<drop xmlns='urn:t'/>"));
    QUIET(s.juliet);
    assert_int_equal(dropped_by(s.w, "by-test"), 1);
    svi_ledger_set_strict(svi_server_ledger(s.w->server), false);
    tell(s.romeo, WAIT("b") MESSAGE("c", "<later xmlns='urn:t'/>") MESSAGE("d", "<done xmlns='urn:t'/>"));
    LOGGED("what is asked here cannot wait");
    assert_order(s.juliet, "id='b'", "id='c'");
    assert_order(s.juliet, "id='c'", "id='d'");
    svi_ledger_set_strict(svi_server_ledger(s.w->server), true);
    forget(s.juliet);
    tell(s.romeo, WAIT("e") MESSAGE("f", "<release xmlns='urn:t'/>") WAIT("g"));
    assert_order(s.juliet, "id='e'", "id='f'");
    assert_order(s.juliet, "id='f'", "id='g'");
    BALANCED(s.w);
    world_free(&s.w);
}

/* Requests to her wait for nobody, answers and errors neither, unless the handler says so. */
static void nobody_at_the_point(void **state)
{
    (void)state;
    scene s = set_scene(NULL);
    ask_handlers(&s);
    tell(s.romeo, WAIT("a")); /* not held back: not asked */
    HAS(s.juliet, "id='a'");
    assert_int_equal(s.asked, 0);
    svi_session_hold(s.juliet->session, &wide);
    tell(s.romeo, WAIT("b"));
    HAS_NOT(s.juliet, "id='b'");
    use_handlers(s.w, s.w->host); /* the module is gone */
    tell(s.romeo, WAIT("c"));
    assert_order(s.juliet, "id='b'", "id='c'");
    assert_int_equal(svi_session_held(s.juliet->session), 0);
    BALANCED(s.w);
    world_free(&s.w);
}

/* What is kept in a row goes, and what waits ahead of it. */
static void stored_stanzas_go(void **state)
{
    (void)state;
    scene s = set_scene(&wide);
    ask_handlers(&s);
    tell(s.romeo, WAIT("a"));
    svi_map *map = NULL;
    sv_err err;
    assert_int_equal(svi_store_map(svi_server_store(s.w->server), SV_STR("example.org/t"), 1, &map, &err), SV_OK);
    sv_stanza *stanza = NULL;
    assert_int_equal(svi_stanza_parse(&s.w->acct, svi_server_atoms(s.w->server), SV_STR("<message id='r'><wait xmlns='urn:t'/></message>"),
                                      SV_STR(SVI_NS_CLIENT), &stanza, NULL),
                     SV_OK);
    const uint64_t entry = svi_ledger_open(svi_server_ledger(s.w->server), SVI_MADE_RECOVERED, svi_host_ledger(s.w->host));
    svi_session_keep(s.juliet->session, entry, stanza, map, SV_STR("juliet"), SV_STR("k"));
    svi_session_send(s.juliet->session, stanza, SV_STR_NONE, entry);
    svi_stanza_unref(&stanza);
    settle(s.w);
    assert_order(s.juliet, "id='a'", "id='r'");
    assert_int_equal(s.asked, 1);
    BALANCED(s.w);
    world_free(&s.w);
}

static sv_verdict note_unsent(sv_event *ev, void *self)
{
    const sv_str id = svi_node_attr(svi_stanza_root(svi_event_stanza(ev)), SV_STR("id"));
    char *text = self;
    snprintf(text + strlen(text), 64 - strlen(text), "%.*s ", (int)id.n, id.p);
    return SV_PASS;
}

/* At the end availability is dropped, everything else comes back, in its order, behind what was on its way. */
static void ends(void **state)
{
    (void)state;
    char unsent[64] = "";
    scene s = set_scene(&wide);
    on(s.w, "session/unsent", note_unsent, unsent);
    ask_handlers(&s);
    tell(s.romeo, SHOW("one") WAIT("a") "<presence type='unavailable' " TO_JULIET "/>" WAIT("b"));
    assert_int_equal(svi_session_held(s.juliet->session), 3);
    cut(s.juliet);
    assert_string_equal(unsent, "a b ");
    assert_int_equal(dropped_by(s.w, "held-until-the-end"), 1);
    assert_int_equal(dropped_by(s.w, "held-replaced"), 1);
    assert_int_equal(dropped_by(s.w, "unsent"), 2);
    BALANCED(s.w);
    world_free(&s.w);
}

/* A server that stops with something waiting. */
static void stops(void **state)
{
    (void)state;
    scene s = set_scene(&wide);
    ask_handlers(&s);
    tell(s.romeo, SHOW("one") WAIT("a"));
    world_free(&s.w); /* under the sanitizer */
}

/* Her session is ended from here: what comes then is not asked about. */
static void kicked(void **state)
{
    (void)state;
    scene s = set_scene(&wide);
    ask_handlers(&s);
    tell(s.romeo, SHOW("one"));
    svi_session_kick(s.juliet->session, "conflict");
    settle(s.w);
    pass_time(s.w, 10000000);
    assert_null(s.juliet->session);
    assert_int_equal(dropped_by(s.w, "held-until-the-end"), 1);
    BALANCED(s.w);
    world_free(&s.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_of_each), cmocka_unit_test(without_keys),
        cmocka_unit_test(bounds),         cmocka_unit_test(verdicts),
        cmocka_unit_test(nobody_at_the_point), cmocka_unit_test(stored_stanzas_go),
        cmocka_unit_test(ends),           cmocka_unit_test(stops),
        cmocka_unit_test(kicked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
