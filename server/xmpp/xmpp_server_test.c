/* The shard: hosts, atoms, what is deferred, its turn, its end. */
#include "xmpp/xmpp_testing.h"

/* --- deferred work ---------------------------------------------------------------------------- */

typedef struct task {
    world *w;
    const char *name;
    char *diary;
    struct task *then;
} task;

static void put(char *diary, const char *what)
{
    const size_t n = strlen(diary);
    snprintf(diary + n, 128 - n, "%s ", what);
}

static void drop_task(void *ctx)
{
    const task *t = ctx;
    put(t->diary, "dropped");
}

static void run_task(void *ctx)
{
    const task *t = ctx;
    put(t->diary, t->name);
    if (t->then != NULL) svi_server_defer(t->w->server, run_task, drop_task, t->then);
}

static void deferred(void **state)
{
    (void)state;
    char diary[128] = "";
    world *w = world_new(NULL);
    settle(w);
    task c = {w, "c", diary, NULL}, a = {w, "a", diary, &c}, b = {w, "b", diary, NULL};
    assert_true(svi_server_due_us(w->server) > w->clock.now_us);
    svi_server_defer(w->server, run_task, drop_task, &a);
    svi_server_defer(w->server, run_task, drop_task, &b);
    assert_string_equal(diary, ""); /* never at once */
    assert_int_equal(svi_server_due_us(w->server), w->clock.now_us);
    assert_true(svi_server_turn(w->server));
    assert_string_equal(diary, "a b "); /* what a turn defers comes in the next */
    settle(w);
    assert_string_equal(diary, "a b c ");
    world_free(&w);
}

static void deferred_for_ever(void *ctx)
{
    task *t = ctx;
    svi_server_defer(t->w->server, deferred_for_ever, drop_task, t);
}

/* Work that always makes more work ends with the server. */
static void deferred_at_the_end(void **state)
{
    (void)state;
    char diary[128] = "";
    world *w = world_new(NULL);
    task t = {w, "t", diary, NULL};
    svi_server_defer(w->server, deferred_for_ever, drop_task, &t);
    world_free(&w);
    assert_string_equal(diary, "dropped ");
}

/* --- a store that can't be opened ------------------------------------------------------------- */

typedef struct broken_engine {
    svi_engine engine;
    bool closed;
} broken_engine;

static sv_status recover_not(svi_engine *e,
                             sv_status (*unit)(void *ctx, uint64_t number, sv_str record),
                             void *ctx, uint64_t *folded_out, sv_err *err)
{
    (void)e;
    (void)unit;
    (void)ctx;
    (void)folded_out;
    return svi_err(err, SV_EBUSY, "another process has it");
}

static void close_broken(svi_engine *e)
{
    ((broken_engine *)e)->closed = true;
}

static void store_is_taken(void **state)
{
    (void)state;
    static const svi_engine_ops ops = {
        .name = "broken", .recover = recover_not, .close = close_broken};
    broken_engine broken = {.engine = {.ops = &ops}};
    svi_acct acct = {.name = "test"};
    svi_plat_virtual clock;
    svi_plat_virtual_init(&clock, 1);
    const svi_server_config config = {.acct = &acct,
                                      .plat = &clock.plat,
                                      .engine = &broken.engine,
                                      .limits = svi_limits_default(),
                                      .salt_secret = SV_STR("s")};
    svi_server *server = NULL;
    sv_err err;
    assert_int_equal(svi_server_new(&config, &server, &err), SV_EBUSY);
    assert_string_equal(err.text, "another process has it");
    assert_null(server);
    assert_true(broken.closed);
    assert_int_equal(atomic_load(&acct.live_bytes), 0);
}

/* --- hosts and names -------------------------------------------------------------------------- */

static void hosts(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    const sv_str admins[] = {SV_STR_INIT("a@example.com"), SV_STR_INIT("b@example.com")};
    const svi_host_config config = {
        .domain = SV_STR("example.com"), .admins = admins, .admin_count = 2, .require_tls = true};
    svi_host *host;
    sv_err err;
    assert_int_equal(svi_host_add(w->server, &config, &host, &err), SV_OK);
    assert_ptr_equal(svi_host_find(w->server, SV_STR("example.com")), host);
    assert_null(svi_host_find(w->server, SV_STR("www.example.com")));
    assert_string_equal(svi_host_name(host), "example.com");
    assert_true(svi_host_is_admin(host, SV_STR("b@example.com")));
    assert_false(svi_host_is_admin(host, SV_STR("b@example.org")));
    assert_false(svi_host_is_admin(w->host, SV_STR("a@example.com")));
    assert_true(svi_host_requires_tls(host));
    assert_false(svi_host_requires_tls(w->host));
    /* in the order of adding */
    assert_ptr_equal(svi_host_next(w->server, NULL), w->host);
    assert_ptr_equal(svi_host_next(w->server, w->host), w->other);
    assert_ptr_equal(svi_host_next(w->server, w->other), host);
    assert_null(svi_host_next(w->server, host));
    assert_int_equal(svi_host_add(w->server, &config, &host, &err), SV_EEXIST);
    assert_non_null(strstr(err.text, "example.com"));
    world_free(&w);
}

static void atoms(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    const svi_atoms *before = svi_server_atoms(w->server);
    const sv_atom message = svi_atoms_find(before, SV_STR("message"));
    assert_int_not_equal(message, 0);
    assert_int_equal(svi_atoms_find(before, SV_STR("x:y")), 0);
    const sv_str names[] = {SV_STR_INIT("x:y"), SV_STR_INIT("message")};
    svi_server_declare(w->server, names, 2);
    const svi_atoms *after = svi_server_atoms(w->server);
    assert_int_not_equal(svi_atoms_find(after, SV_STR("x:y")), 0);
    assert_int_equal(svi_atoms_find(after, SV_STR("message")), message);
    assert_int_equal(svi_atoms_find(before, SV_STR("x:y")), 0); /* the old one stays as it was */
    world_free(&w);
}

/* A host's hooks are replaced while one of them waits: it goes on with those it began with. */
static sv_verdict take(sv_event *ev, void *self)
{
    ++*(int *)self;
    return svi_x_consume(ev);
}

static void hooks_are_swapped(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    int old_took = 0, new_took = 0;
    world *w = world_new(NULL);
    on(w, "message/self", wait_for_test, &all);
    on(w, "message/self", take, &old_took);
    use_handlers(w, w->host);
    client *romeo = join(w, "romeo", "a");
    tell(romeo, "<message/>");
    on(w, "message/self", take, &new_took);
    use_handlers(w, w->host);
    svi_x_pass(all.ev[0]);
    let_all_go(&all);
    tell(romeo, "<message/>");
    assert_int_equal(old_took, 1);
    assert_int_equal(new_took, 1);
    world_free(&w);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void drained(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    client *romeo = join(w, "romeo", "a");
    client *juliet = join(w, "juliet", "b");
    assert_false(svi_server_is_idle(w->server));
    assert_false(svi_server_is_draining(w->server));
    svi_server_drain(w->server);
    svi_server_drain(w->server);
    assert_true(svi_server_is_draining(w->server));
    settle(w);
    HAS(romeo, "<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    HAS(juliet, "</stream:stream>");
    cut(romeo);
    assert_false(svi_server_is_idle(w->server));
    cut(juliet);
    assert_true(svi_server_is_idle(w->server));
    world_free(&w);
}

/* Every client still there, deaf, with much on its way: nothing leaks, all is accounted for
 * (asserted inside). */
static void ended_in_the_middle(void **state)
{
    (void)state;
    waiters all = {.count = 0};
    world *w = world_new(NULL);
    on(w, "iq-get/self", wait_for_test, &all);
    use_handlers(w, w->host);
    w->link_bytes = 256;
    client *romeo = join(w, "romeo", "a");
    client *juliet = join(w, "juliet", "b");
    go_deaf(juliet);
    go_deaf(romeo);
    for (int i = 0; i < 50; i++) {
        say(romeo, "<message to='juliet@example.org/b'><body>0123456789</body></message>");
        say(juliet, "<message to='romeo@example.org/a'/><message to='nobody@example.org'/>");
    }
    tell(romeo, "<iq type='get' id='1'><q xmlns='x:y'/></iq>");
    assert_int_equal(all.count, 1);
    assert_true(svi_ledger_in_flight(svi_server_ledger(w->server)) > 0);
    let_all_go(&all);
    world_free(&w);
}

/* Never retried: the worker must end (durability rule 8). */
static void store_fails(void **state)
{
    (void)state;
    world *w = world_new(NULL);
    settle(w);
    svi_engine_sim_plan(w->engine)->fail_commit = 1;
    add_account(w, w->host, "romeo");
    pass_time(w, 1000000);
    assert_true(w->failed);
    LOGGED("store-failed");
    world_free(&w);
}

static void limits_are_sane(void **state)
{
    (void)state;
    const svi_limits limits = svi_limits_default();
    assert_true(limits.queue_soft_bytes < limits.queue_hard_bytes);
    assert_true(limits.stranger.stanza_bytes < limits.user.stanza_bytes);
    assert_true(limits.user.stanza_bytes < limits.queue_hard_bytes);
    assert_in_range(limits.auth_tries, 3, 6); /* RFC 6120 6.4.5: 2 to 5 retries */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deferred),       cmocka_unit_test(deferred_at_the_end),
        cmocka_unit_test(store_is_taken), cmocka_unit_test(hosts),
        cmocka_unit_test(atoms),          cmocka_unit_test(hooks_are_swapped),
        cmocka_unit_test(drained),        cmocka_unit_test(ended_in_the_middle),
        cmocka_unit_test(store_fails),    cmocka_unit_test(limits_are_sane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
