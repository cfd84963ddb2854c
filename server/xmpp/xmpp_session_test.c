/* Sessions: binding, conflicts, limits, queues and their bounds, every way of ending. */
#include "xmpp/xmpp_testing.h"

#define ERROR_OF(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
#define STREAM_ERROR_OF(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"

/* Notes occasions and stanzas as words. */
typedef struct diary {
    char text[1024];
} diary;

static void write_down(diary *d, const char *what, sv_str who)
{
    const size_t n = strlen(d->text);
    snprintf(d->text + n, sizeof d->text - n, "%s:%.*s ", what, (int)who.n, who.p);
}

static sv_verdict note(sv_event *ev, void *self)
{
    const svi_xevent *x = svi_xevent_of(ev);
    write_down(self, svi_point_name(svi_event_point_now(ev)) + strlen("session/"),
               x->from.resource);
    return SV_PASS;
}

static sv_verdict note_stanza(sv_event *ev, void *self)
{
    write_down(self, "stanza", svi_xevent_of(ev)->from.resource);
    return SV_PASS;
}

static void note_sessions(world *w, diary *d)
{
    on(w, "stanza/inbound", note_stanza, d);
    on(w, "session/bound", note, d);
    on(w, "session/gone", note, d);
    on(w, "session/unsent", note, d);
}

#define WROTE(d, expected)                                                                         \
    do {                                                                                           \
        assert_string_equal((d)->text, expected);                                                  \
        (d)->text[0] = '\0';                                                                       \
    } while (0)

/* --- binding ---------------------------------------------------------------------------------- */

static void tables(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    note_sessions(w, &d);
    use_handlers(w, w->host);
    client *a = join(w, "romeo", "a");
    client *b = join(w, "romeo", "b");
    client *c = join(w, "romeo", "c");
    client *other = join_host(w, "romeo", "example.net", "a");
    WROTE(&d, "bound:a bound:b bound:c ");
    assert_int_equal(svi_session_count(w->server), 4);
    assert_ptr_equal(svi_session_find(w->server, SV_STR("romeo@example.org/b")), b->session);
    assert_ptr_equal(svi_session_find(w->server, SV_STR("romeo@example.net/a")), other->session);
    assert_null(svi_session_find(w->server, SV_STR("romeo@example.org")));
    /* in order of binding */
    const sv_str bare = SV_STR("romeo@example.org");
    sv_session *s = svi_session_next(w->server, bare, NULL);
    assert_ptr_equal(s, a->session);
    s = svi_session_next(w->server, bare, s);
    assert_ptr_equal(s, b->session);
    cut(b);
    WROTE(&d, "gone:b ");
    assert_ptr_equal(svi_session_next(w->server, bare, a->session), c->session);
    assert_null(svi_session_next(w->server, bare, c->session));
    cut(a);
    cut(c);
    WROTE(&d, "gone:a gone:c ");
    assert_null(svi_session_next(w->server, bare, NULL));
    assert_null(svi_session_find(w->server, SV_STR("romeo@example.org/a")));
    assert_int_equal(svi_session_count(w->server), 1);
    BALANCED(w);
    world_free(&w);
}

/* RFC 6120 7.6: made up by the server; two are never alike. */
static void made_up_resources(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *a = join(w, "romeo", "");
    client *b = join(w, "romeo", "");
    const sv_jid *one = svi_session_jid(a->session), *two = svi_session_jid(b->session);
    assert_int_equal(one->resource.n, 24);
    assert_int_equal(two->resource.n, 24);
    assert_false(sv_str_eq(one->resource, two->resource));
    assert_text(one->bare, "romeo@example.org");
    world_free(&w);
}

/* RFC 6120 7.7.2.2 (third way), 4.9.3.3. */
static void conflict(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    note_sessions(w, &d);
    use_handlers(w, w->host);
    client *old = join(w, "romeo", "orchard");
    const uint64_t number = svi_session_number(old->session);
    client *young = join(w, "romeo", "orchard");
    WROTE(&d, "bound:orchard gone:orchard bound:orchard ");
    HAS(old, STREAM_ERROR_OF("conflict"));
    HAS(old, "</stream:stream>");
    const sv_str full = SV_STR("romeo@example.org/orchard");
    assert_ptr_equal(svi_session_find(w->server, full), young->session);
    assert_null(svi_session_find_number(w->server, full, number));
    tell(old, "<message to='romeo@example.org/orchard'/>"); /* not heard any more */
    QUIET(young);
    cut(old);
    WROTE(&d, ""); /* gone once */
    assert_ptr_equal(svi_session_find(w->server, full), young->session);
    assert_int_equal(svi_session_count(w->server), 1);
    BALANCED(w);
    world_free(&w);
}

/* RFC 6120 7.6.2.1; a conflict takes no place of its own. */
static void too_many(void **state)
{
    (void)state;
    svi_limits limits = svi_limits_default();
    limits.sessions_per_account = 2;
    world *w = world_new(&limits);
    join(w, "romeo", "a");
    join(w, "romeo", "b");
    client *third = join(w, "romeo", "c");
    assert_int_equal(third->bound, SV_ELIMIT);
    assert_null(third->session);
    client *again = join(w, "romeo", "a");
    assert_int_equal(again->bound, SV_OK);
    client *juliet = join(w, "juliet", "c");
    assert_int_equal(juliet->bound, SV_OK);
    world_free(&w);
}

/* session/bound comes before the first stanza is looked at, even when both come in one turn. */
static void bound_comes_first(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    note_sessions(w, &d);
    use_handlers(w, w->host);
    client *c = &w->clients[w->client_count++];
    *c = (client){.world = w, .host = "example.org", .node = "romeo", .resource = "a"};
    c->first = "<presence/>";
    svi_buf_init(&c->in, &w->acct);
    svi_buf_init(&c->out, &w->acct);
    svi_link *there;
    svi_link_pair(w->pairs, w->link_bytes, &c->link, &there);
    c->link->ready = t_ready;
    c->link->ctx = c;
    svi_net_attach(svi_server_net(w->server), w->listener, there, "memory");
    tell(c, "<stream:stream xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'><presence/>");
    WROTE(&d, "bound:a stanza:a stanza:a ");
    tell(c, "<presence/></stream:stream>");
    cut(c);
    WROTE(&d, "stanza:a gone:a ");
    BALANCED(w);
    world_free(&w);
}

/* --- what hangs on one ------------------------------------------------------------------------ */

static void belongings(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *romeo = join(w, "romeo", "a");
    sv_session *s = romeo->session;
    svi_acct acct = {.name = "modules"};
    svi_session_blocks me = {.acct = &acct}, you = {.acct = &acct};
    int *mine = svi_session_data(s, &me, sizeof *mine);
    assert_int_equal(*mine, 0);
    *mine = 5;
    assert_ptr_equal(svi_session_data(s, &me, sizeof *mine), mine);
    int *yours = svi_session_data(s, &you, sizeof *yours);
    assert_int_equal(*yours, 0);
    client *other = join(w, "romeo", "b");
    (void)svi_session_data(other->session, &me, sizeof *mine);
    assert_int_equal(atomic_load(&acct.live_count), 3);
    svi_session_data_drop(&me); /* the module goes: on every session */
    assert_int_equal(atomic_load(&acct.live_count), 1);
    mine = svi_session_data(s, &me, sizeof *mine);
    assert_int_equal(*mine, 0);
    assert_null(svi_session_item(s, "interested").p);
    svi_session_set_item(s, "interested", SV_STR("yes"));
    svi_session_set_item(s, "interested", SV_STR("very"));
    assert_text(svi_session_item(s, "interested"), "very");
    svi_session_set_item(s, "interested", SV_STR_NONE);
    assert_null(svi_session_item(s, "interested").p);
    sv_stanza *presence;
    assert_int_equal(svi_stanza_parse(&w->acct, NULL, SV_STR("<presence/>"), SV_STR(SVI_NS_CLIENT),
                                      &presence, NULL),
                     SV_OK);
    svi_session_set_presence(s, presence, 7);
    assert_int_equal(svi_session_priority(s), 7);
    svi_session_set_presence(s, presence, -1);
    svi_stanza_unref(&presence);
    assert_non_null(svi_session_presence(s));
    svi_session_set_presence(s, NULL, 9); /* unavailable has no priority */
    assert_int_equal(svi_session_priority(s), 0);
    world_free(&w); /* gives all of it back */
    assert_int_equal(atomic_load(&acct.live_count), 0);
    assert_null(me.first);
}

/* --- what was never written ------------------------------------------------------------------- */

#define BULK(n)                                                                                    \
    "<message id='" n "' to='juliet@example.org/balcony'><body>0123456789</body></message>"

/* A deaf juliet with messages on their way to her. */
static client *deaf_juliet(world *w, client *romeo, int messages)
{
    w->link_bytes = 512;
    client *juliet = join(w, "juliet", "balcony");
    go_deaf(juliet);
    for (int i = 0; i < messages; i++) say(romeo, BULK("m"));
    settle(w);
    return juliet;
}

typedef struct unsent {
    int count, stored_from;
    const sv_session *session;
    char to[64];
} unsent;

static sv_verdict take_unsent(sv_event *ev, void *self)
{
    unsent *u = self;
    const svi_xevent *x = svi_xevent_of(ev);
    u->count++;
    /* it can't be found any more: nothing is sent to it again */
    assert_null(svi_session_find(x->server, SV_STR("juliet@example.org/balcony")));
    assert_non_null(x->session);
    snprintf(u->to, sizeof u->to, "%.*s", (int)x->to.full.n, x->to.full.p);
    if (u->count <= u->stored_from) return SV_PASS;
    return svi_x_stored(ev);
}

static void unsent_come_back(void **state)
{
    (void)state;
    diary d = {""};
    unsent u = {.stored_from = 2};
    world *w = world_new(NULL);
    on(w, "session/unsent", take_unsent, &u);
    on(w, "session/gone", note, &d);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = deaf_juliet(w, romeo, 50);
    tell(romeo, "<iq type='get' id='asked' to='juliet@example.org/balcony'><q xmlns='x:y'/></iq>");
    const uint64_t written = disposed(w, SVI_HANDED_OVER);
    assert_in_range(written, 1, 20);
    cut(juliet);
    assert_string_equal(u.to, "juliet@example.org/balcony");
    assert_int_equal(u.count, 51 - (int)written);
    assert_int_equal(dropped_by(w, "unsent"), 2);
    assert_int_equal(disposed(w, SVI_STORED), (uint64_t)u.count - 2);
    WROTE(&d, "gone:balcony ");
    QUIET(romeo);
    BALANCED(w);
    world_free(&w);
}

/* RFC 6120 8.2.3 rule 3: who asked a session that went gets an answer; an answer that was not
 * written is nobody's. */
static void unsent_requests(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = deaf_juliet(w, romeo, 50);
    tell(romeo, "<iq type='get' id='asked' to='juliet@example.org/balcony'><q xmlns='x:y'/></iq>"
                "<iq type='result' id='answered' to='juliet@example.org/balcony'/>");
    QUIET(romeo);
    const uint64_t written = disposed(w, SVI_HANDED_OVER);
    cut(juliet);
    HAS(romeo, ERROR_OF("service-unavailable"));
    HAS(romeo, "id='asked'");
    assert_int_equal(disposed(w, SVI_BOUNCED), 1);
    assert_int_equal(dropped_by(w, "unsent"), 51 - written);
    BALANCED(w);
    world_free(&w);
}

static sv_verdict refuse_unsent(sv_event *ev, void *self)
{
    (void)self;
    return svi_x_refuse(ev, SV_RECIPIENT_UNAVAILABLE, SV_STR_NONE);
}

static void unsent_refused(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    on(w, "session/unsent", refuse_unsent, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = deaf_juliet(w, romeo, 30);
    const uint64_t written = disposed(w, SVI_HANDED_OVER);
    cut(juliet);
    HAS_N(romeo, ERROR_OF("recipient-unavailable"), 30 - (size_t)written);
    HAS_N(romeo, "from='juliet@example.org/balcony'", 30 - (size_t)written);
    BALANCED(w);
    world_free(&w);
}

/* Who wrote or asked is told; an answer, and what the server made itself, is dropped. */
static void unsent_in_quarantine(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    svi_ward ward = {.is_closed = true};
    on(w, "session/unsent", refuse_unsent, NULL)->ward = &ward;
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = deaf_juliet(w, romeo, 30);
    const uint64_t written = disposed(w, SVI_HANDED_OVER);
    tell(romeo, "<iq type='get' id='asked' to='juliet@example.org/balcony'><q xmlns='x:y'/></iq>"
                "<iq type='result' id='answered' to='juliet@example.org/balcony'/>"
                "<message type='headline' to='juliet@example.org/balcony'><body>h</body></message>");
    cut(juliet);
    HAS_N(romeo, ERROR_OF("service-unavailable"), 30 - (size_t)written + 1);
    HAS(romeo, "id='asked'");
    HAS_NOT(romeo, "recipient-unavailable");
    assert_int_equal(dropped_by(w, "quarantined"), 2);
    assert_int_equal(ward.refused, 30 - written + 3);
    BALANCED(w);
    world_free(&w);
}

/* --- bounds ----------------------------------------------------------------------------------- */

static svi_limits small_queues(void)
{
    svi_limits limits = svi_limits_default();
    limits.queue_soft_bytes = 100000;
    limits.queue_hard_bytes = 200000;
    limits.credit_bytes = 1u << 20;
    return limits;
}

static void say_bulk(client *from, const char *head, size_t bytes)
{
    char *text = malloc(bytes + 256);
    int n = snprintf(text, 200, "%s<body>", head);
    memset(text + n, 'x', bytes);
    snprintf(text + (size_t)n + bytes, 50, "</body></message>");
    say(from, text);
    free(text);
}

/* Above the soft bound only the newest presence of each sender waits (architecture 3.7). */
static void presence_is_coalesced(void **state)
{
    (void)state;
    const svi_limits limits = small_queues();
    world *w = world_new(&limits);
    client *romeo = join(w, "romeo", "orchard");
    client *nurse = join(w, "nurse", "room");
    client *juliet = deaf_juliet(w, romeo, 0);
    const char *to_juliet = "<presence to='juliet@example.org/balcony'/>";
    tell(nurse, "<presence to='juliet@example.org/balcony'><status>early</status></presence>");
    for (int i = 0; i < 12; i++)
        say_bulk(romeo, "<message to='juliet@example.org/balcony'>", 10000);
    settle(w);
    assert_int_equal(dropped_by(w, "presence-coalesced"), 0);
    for (int i = 0; i < 20; i++) {
        tell(romeo, to_juliet);
        tell(nurse, to_juliet);
    }
    tell(romeo, "<presence type='unavailable' "
                "to='juliet@example.org/balcony'><status>last</status></presence>");
    assert_non_null(juliet->conn);
    assert_int_equal(dropped_by(w, "presence-coalesced"), 39);
    listen_again(juliet);
    HAS(juliet, "<status>last</status>");
    HAS_N(juliet, "<presence",
          1 + 1 + 1); /* nurse's first had left the router before; her last; romeo's last */
    HAS_N(juliet, "<message", 12);
    BALANCED(w);
    world_free(&w);
}

/* Above the hard one its stream ends; what waited comes back, its sender never waits. */
static void hard_bound(void **state)
{
    (void)state;
    diary d = {""};
    const svi_limits limits = small_queues();
    world *w = world_new(&limits);
    on(w, "session/gone", note, &d);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = deaf_juliet(w, romeo, 0);
    client *attic = join(w, "juliet", "attic");
    for (int i = 0; i < 25; i++)
        say_bulk(romeo, "<message to='juliet@example.org/balcony'>", 10000);
    settle(w);
    WROTE(&d, "gone:balcony ");
    assert_null(svi_session_find(w->server, SV_STR("juliet@example.org/balcony")));
    assert_ptr_equal(svi_session_next(w->server, SV_STR("juliet@example.org"), NULL),
                     attic->session);
    assert_int_equal(made(w, SVI_RECEIVED), 25);
    pass_time(w, 6000000); /* the last words are never read: given up */
    assert_null(juliet->conn);
    WROTE(&d, "");
    assert_in_range(disposed(w, SVI_BOUNCED), 1, 24); /* those that came behind the end */
    HAS_N(romeo, ERROR_OF("service-unavailable"), (size_t)disposed(w, SVI_BOUNCED));
    assert_in_range(dropped_by(w, "unsent"), 1, 25);
    BALANCED(w);
    world_free(&w);
}

/* Who logs in to more stored stanzas than the hard bound gets them all; what others send still
 * counts. */
static void stored_beyond_the_hard_bound(void **state)
{
    (void)state;
    char text[10000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text, "<message id='kept'>", 19);
    memcpy(text + sizeof text - 11, "</message>", 10);
    const svi_limits limits = small_queues();
    world *w = world_new(&limits);
    table t = open_table(w);
    sending push = {.text = text, .map = t.map};
    on(w, "iq-get/self", send_more, &push);
    on(w, "iq-get/self", send_result, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = deaf_juliet(w, romeo, 0);
    push.to = juliet;
    for (int i = 0; i < 30; i++) tell(romeo, "<iq type='get' id='a'><q xmlns='x:y'/></iq>");
    assert_int_equal(made(w, SVI_MADE_RECOVERED), 30);
    assert_non_null(svi_session_find(w->server, SV_STR("juliet@example.org/balcony")));
    listen_again(juliet);
    HAS_N(juliet, "id='kept'", 30);
    BALANCED(w);
    go_deaf(juliet);
    for (int i = 0; i < 25; i++)
        say_bulk(romeo, "<message to='juliet@example.org/balcony'>", 10000);
    settle(w);
    assert_null(svi_session_find(w->server, SV_STR("juliet@example.org/balcony")));
    pass_time(w, 6000000);
    BALANCED(w);
    world_free(&w);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void kicked(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    note_sessions(w, &d);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "a");
    client *b = join(w, "romeo", "b");
    /* whoever walks the sessions while ending them sees them all */
    sv_session *s = NULL;
    int count = 0;
    while ((s = svi_session_next(w->server, SV_STR("romeo@example.org"), s)) != NULL) {
        svi_session_kick(s, "not-authorized");
        svi_session_kick(s, "reset"); /* the first one stands */
        count++;
    }
    assert_int_equal(count, 2);
    /* what was read before and comes late is not processed (RFC 6120 4.9.1.1) */
    sv_stanza *late = NULL;
    assert_int_equal(svi_stanza_parse(&w->acct, svi_server_atoms(w->server), SV_STR("<message/>"),
                                      SV_STR(SVI_NS_CLIENT), &late, NULL),
                     SV_OK);
    svi_inbound(romeo->session, late, 0);
    assert_int_equal(dropped_by(w, "stream-ended"), 1);
    settle(w);
    HAS(romeo, STREAM_ERROR_OF("not-authorized"));
    HAS_NOT(romeo, "reset");
    WROTE(&d, "bound:a bound:b gone:a gone:b ");
    cut(romeo);
    cut(b);
    WROTE(&d, "");
    assert_int_equal(svi_session_count(w->server), 0);
    BALANCED(w);
    world_free(&w);
}

static sv_verdict kick_the_ended(sv_event *ev, void *self)
{
    (void)self;
    svi_session_kick(svi_xevent_of(ev)->session, "policy-violation");
    return SV_PASS;
}

/* What a session had sent last is heard while it ends, and may be what ends it. */
static void kicked_at_its_end(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    note_sessions(w, &d);
    on(w, "session/gone", kick_the_ended, NULL);
    use_handlers(w, w->host);
    cut(join(w, "romeo", "a"));
    settle(w);
    (void)join(w, "romeo", "a"); /* what is due next is asked for */
    WROTE(&d, "bound:a gone:a bound:a ");
    BALANCED(w);
    world_free(&w);
}

/* A handler that still works on the end of a session which is long freed. */
static void gone_may_wait(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    on(w, "session/gone", wait_for_test, &all);
    use_handlers(w, w->host);
    cut(join(w, "romeo", "a"));
    assert_int_equal(all.count, 1);
    assert_null(svi_xevent_of(all.ev[0])->session);
    assert_text(svi_xevent_of(all.ev[0])->from.full, "romeo@example.org/a");
    svi_x_pass(all.ev[0]);
    let_all_go(&all);
    BALANCED(w);
    world_free(&w);
}

/* A module that sends the unsent message to the account's other session, as mod message does. */
static sv_verdict send_to_others(sv_event *ev, void *self)
{
    (void)self;
    const svi_xevent *x = svi_xevent_of(ev);
    sv_session *other = svi_session_next(x->server, x->to.bare, NULL);
    return other != NULL ? svi_x_deliver(ev, other) : SV_PASS;
}

static void unsent_goes_to_others(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    on(w, "session/unsent", send_to_others, NULL);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "orchard");
    client *juliet = deaf_juliet(w, romeo, 40);
    w->link_bytes = 1u << 20;
    client *attic = join(w, "juliet", "attic");
    const uint64_t written = disposed(w, SVI_HANDED_OVER);
    cut(juliet);
    HAS_N(attic, "<message", 40 - (size_t)written);
    HAS_N(attic, "to='juliet@example.org/balcony'", 40 - (size_t)written);
    assert_int_equal(disposed(w, SVI_HANDED_OVER), 40);
    BALANCED(w);
    world_free(&w);
}

/* --- who watches ------------------------------------------------------------------------------ */

static void note_seen(void *ctx, const svi_seen *seen)
{
    diary *d = ctx;
    const sv_jid *jid = seen->jid;
    const sv_str id = svi_node_attr(svi_stanza_root(seen->stanza), SV_STR("id"));
    const size_t n = strlen(d->text);
    (void)snprintf(d->text + n, sizeof d->text - n, "%s:%.*s:%.*s ",
                   seen->what == SVI_SEEN_OUT  ? "out"
                   : seen->what == SVI_SEEN_IN ? "in"
                                               : seen->rule,
                   (int)jid->resource.n, jid->resource.p, (int)id.n, id.p);
}

/* Each stanza once, as it came in and for each session that gets it; nothing more when nobody watches. */
static void watched(void **state)
{
    (void)state;
    diary d = {""};
    world *w = world_new(NULL);
    const svi_watcher watcher = {.stanza = note_seen, .ctx = &d};
    use_handlers(w, w->host);
    client *a = join(w, "romeo", "a");
    (void)join(w, "juliet", "b");
    tell(a, "<message to='juliet@example.org/b' id='1'/>");
    WROTE(&d, "");
    svi_server_set_watcher(w->server, &watcher);
    tell(a, "<message to='juliet@example.org/b' id='2'/>");
    WROTE(&d, "in:a:2 out:b:2 ");
    tell(a, "<iq type='get' to='juliet@example.org/none' id='3'><q xmlns='x'/></iq>");
    WROTE(&d, "in:a:3 out:a:3 "); /* the error */
    tell(a, "<iq type='result' to='juliet@example.org/b' id='5'><x/><y/></iq>");
    WROTE(&d, "in:a:5 iq-malformed:a:5 "); /* before any handler */
    tell(a, "<iq type='result' to='juliet@example.org/none' id='6'/>");
    WROTE(&d, "in:a:6 answer-unclaimed:a:6 "); /* on its way */
    svi_server_set_watcher(w->server, NULL);
    tell(a, "<message to='juliet@example.org/b' id='4'/>");
    WROTE(&d, "");
    BALANCED(w);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),
        cmocka_unit_test(made_up_resources),
        cmocka_unit_test(conflict),
        cmocka_unit_test(too_many),
        cmocka_unit_test(bound_comes_first),
        cmocka_unit_test(belongings),
        cmocka_unit_test(unsent_come_back),
        cmocka_unit_test(unsent_requests),
        cmocka_unit_test(unsent_refused),
        cmocka_unit_test(unsent_in_quarantine),
        cmocka_unit_test(unsent_goes_to_others),
        cmocka_unit_test(presence_is_coalesced),
        cmocka_unit_test(hard_bound),
        cmocka_unit_test(stored_beyond_the_hard_bound),
        cmocka_unit_test(kicked),
        cmocka_unit_test(kicked_at_its_end),
        cmocka_unit_test(gone_may_wait),
        cmocka_unit_test(watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
