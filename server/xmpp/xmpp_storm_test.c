/* A long random run: sessions come, go, are cut, kicked and deaf; handlers wait, write, refuse
 * and are late; the disk holds. After each round of it everything must be accounted for. The
 * seed is printed; STAVE_SEED repeats a run. */
#include "xmpp/xmpp_testing.h"

#define ROUNDS 12
#define STEPS 1500
#define WAITERS 64

typedef struct storm {
    world *w;
    svi_map *map;
    uint64_t seed;
    sv_event *waiting[WAITERS];
    size_t wait_count;
    uint64_t bound, gone;
} storm;

static uint32_t roll(storm *s, uint32_t sides)
{
    s->seed ^= s->seed << 13;
    s->seed ^= s->seed >> 7;
    s->seed ^= s->seed << 17;
    return (uint32_t)(s->seed >> 33) % sides;
}

static sv_session *any_session(storm *s)
{
    const client *c = &s->w->clients[roll(s, CLIENTS)];
    return c->session;
}

static void send_some(storm *s, sv_event *ev)
{
    svi_server *server = s->w->server;
    sv_session *to = any_session(s);
    sv_draft *draft = svi_draft_new(svi_event_arena(ev), SV_STR("message"), SV_STR(SVI_NS_CLIENT));
    svi_draft_attr(draft, SV_STR("from"), SV_STR("example.org"));
    svi_draft_attr(draft, SV_STR("to"),
                   roll(s, 2) ? SV_STR("b@example.org") : SV_STR("nobody@example.org"));
    sv_stanza *stanza = svi_draft_freeze(svi_server_acct(server), svi_server_atoms(server), draft);
    if (roll(s, 2))
        svi_x_route(ev, stanza);
    else if (to != NULL && roll(s, 2))
        svi_x_push_stored(ev, to, stanza, s->map, SV_STR("a"), SV_STR("k"));
    else if (to != NULL)
        svi_x_push(ev, to, stanza, SVI_MADE_PUSH);
    svi_stanza_unref(&stanza);
}

/* Disposes in a way that fits: in a handler, or for an event that waited. */
static sv_verdict decide(storm *s, sv_event *ev)
{
    sv_session *to;
    switch (roll(s, 7)) {
    case 0: return svi_x_refuse(ev, SV_FORBIDDEN, SV_STR_NONE);
    case 1: return svi_x_drop(ev, "storm");
    case 2: return svi_event_is_request(ev) ? svi_x_send(ev) : svi_x_consume(ev);
    case 3: return svi_event_is_request(ev) ? svi_x_send(ev) : svi_x_stored(ev);
    case 4:
    case 5:
        if ((to = any_session(s)) == NULL) return svi_x_drop(ev, "storm");
        (void)svi_x_deliver(ev, to);
        if (roll(s, 2) && (to = any_session(s)) != NULL) (void)svi_x_deliver(ev, to);
        return SV_DONE;
    default: return SV_PASS;
    }
}

static sv_verdict handle(sv_event *ev, void *self)
{
    storm *s = self;
    if (roll(s, 3) == 0)
        (void)svi_unit_put(svi_event_unit(ev), s->map, SV_STR("a"), SV_STR("k"), SV_STR("v"));
    if (roll(s, 4) == 0) send_some(s, ev);
    if (roll(s, 4) == 0 && s->wait_count < WAITERS) {
        s->waiting[s->wait_count++] = svi_event_hold(ev);
        return SV_LATER;
    }
    if (roll(s, 3)) return SV_PASS;
    return decide(s, ev);
}

static void wake_one(storm *s)
{
    if (s->wait_count == 0) return;
    const size_t i = roll(s, (uint32_t)s->wait_count);
    sv_event *ev = s->waiting[i];
    s->waiting[i] = s->waiting[--s->wait_count];
    if (svi_event_is_open(ev) && decide(s, ev) == SV_PASS) svi_x_pass(ev);
    svi_event_let_go(&ev);
}

static sv_verdict count(sv_event *ev, void *self)
{
    (void)ev;
    ++*(uint64_t *)self;
    return SV_PASS;
}

static void reopen(storm *s, uint32_t i)
{
    static const char *const names[] = {"a", "b", "c"};
    world *w = s->w;
    client *c = &w->clients[i];
    settle(w);
    if (c->conn == NULL) cut(c); /* the server has closed it */
    if (c->conn != NULL || c->link != NULL) return;
    svi_buf_free(&c->in);
    svi_buf_free(&c->out);
    const size_t had = w->client_count;
    w->client_count = i;
    w->link_bytes = roll(s, 3) ? 1u << 20 : 300;
    (void)join(w, names[roll(s, 3)], roll(s, 4) ? "r" : "");
    w->client_count = had;
}

static void talk(storm *s, client *c)
{
    static const char *const stanzas[] = {
        "<presence/>",
        "<presence to='b@example.org/r'/>",
        "<presence type='unavailable' to='a@example.org/r'/>",
        "<message to='a@example.org/r'><body>x</body></message>",
        "<message to='b@example.org/r' type='groupchat'><body>x</body></message>",
        "<message to='c@example.org'><body>x</body></message>",
        "<message to='nobody@example.org'><body>x</body></message>",
        "<message to='x@far.example' type='error'><error/></message>",
        "<iq type='get' id='1'><q xmlns='x:y'/></iq>",
        "<iq type='set' id='2' to='a@example.org/r'><q xmlns='x:y'/></iq>",
        "<iq type='get' id='3' to='b@example.org'><q xmlns='x:y'/></iq>",
        "<iq type='result' id='4' to='b@example.org/r'/>",
        "<iq type='get'/>",
        "<message to='@'/>",
    };
    if (c->link == NULL) return;
    const uint32_t many = 1 + roll(s, 5);
    for (uint32_t i = 0; i < many; i++) say(c, stanzas[roll(s, sizeof stanzas / sizeof *stanzas)]);
}

static void step(storm *s)
{
    world *w = s->w;
    const uint32_t i = roll(s, CLIENTS);
    client *c = &w->clients[i];
    const uint32_t what = roll(s, 100);
    if (what < 50)
        talk(s, c);
    else if (what < 65)
        settle(w);
    else if (what < 75)
        wake_one(s);
    else if (what < 80)
        cut(c);
    else if (what < 88)
        reopen(s, i);
    else if (what < 90 && c->session != NULL)
        svi_session_kick(c->session, "reset");
    else if (what < 92 && c->link != NULL)
        go_deaf(c);
    else if (what < 94 && c->link != NULL)
        listen_again(c);
    else if (what < 96)
        svi_engine_sim_plan(w->engine)->hold = roll(s, 2) != 0;
    else if (what < 98)
        (void)svi_engine_sim_step(w->engine, roll(s, 4));
    else
        pass_time(w, roll(s, 2) ? 1000 : 20000000);
    forget(c);
}

static void hook_up(storm *s)
{
    static const char *const kinds[] = {"message", "presence", "iq-get", "iq-set", "iq-result"};
    static const char *const scopes[] = {"self", "account", "resource", "out"};
    char name[32];
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
            snprintf(name, sizeof name, "%s/%s", kinds[k], scopes[i]);
            on(s->w, name, handle, s)->text = "storm";
        }
    }
    on(s->w, "session/unsent", handle, s);
    on(s->w, "session/bound", count, &s->bound);
    on(s->w, "session/gone", count, &s->gone);
    use_handlers(s->w, s->w->host);
}

static void run_round(uint64_t seed)
{
    storm s = {.seed = seed};
    svi_limits limits = svi_limits_default();
    limits.queue_soft_bytes = 8000;
    limits.queue_hard_bytes = 90000;
    limits.sessions_per_account = 4;
    limits.credit_bytes = 3000;
    s.w = world_new(&limits);
    sv_err err;
    assert_int_equal(
        svi_store_map(svi_server_store(s.w->server), SV_STR("example.org/storm"), 1, &s.map, &err),
        SV_OK);
    for (const char *const *name = (const char *const[]){"a", "b", "c", NULL}; *name != NULL;
         name++)
        add_account(s.w, s.w->host, *name);
    hook_up(&s);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        s.w->client_count = i + 1;
        reopen(&s, i);
    }
    s.w->client_count = CLIENTS;
    for (int i = 0; i < STEPS; i++) step(&s);

    svi_engine_sim_plan(s.w->engine)->hold = false;
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (s.w->clients[i].link != NULL && roll(&s, 2)) cut(&s.w->clients[i]);
    for (int i = 0; i < 200; i++) {
        for (uint32_t k = 0; k < CLIENTS; k++)
            if (s.w->clients[k].link != NULL) listen_again(&s.w->clients[k]);
        while (s.wait_count > 0) wake_one(&s);
        pass_time(s.w, 70000000);
        if (svi_ledger_in_flight(svi_server_ledger(s.w->server)) == 0) break;
    }
    BALANCED(s.w);
    print_message("  received %u, answers %u, copies %u, recovered %u; unsent %u, session-gone %u, "
                  "coalesced %u, timeout %u\n",
                  (unsigned)made(s.w, SVI_RECEIVED), (unsigned)made(s.w, SVI_MADE_ANSWER),
                  (unsigned)made(s.w, SVI_MADE_COPY), (unsigned)made(s.w, SVI_MADE_RECOVERED),
                  (unsigned)dropped_by(s.w, "unsent"), (unsigned)dropped_by(s.w, "session-gone"),
                  (unsigned)dropped_by(s.w, "presence-coalesced"),
                  (unsigned)dropped_by(s.w, "timeout"));
    assert_true(made(s.w, SVI_RECEIVED) > 100);
    assert_true(made(s.w, SVI_MADE_COPY) > 0 && made(s.w, SVI_MADE_RECOVERED) > 0);
    assert_int_equal(s.bound - s.gone, svi_session_count(s.w->server));
    world_free(&s.w);
}

static void storms(void **state)
{
    (void)state;
    const char *given = getenv("STAVE_SEED");
    const uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20260101;
    for (uint64_t i = 0; i < (given != NULL ? 1 : ROUNDS); i++) {
        print_message("seed %llu\n", (unsigned long long)(seed + i));
        run_round(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(storms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
