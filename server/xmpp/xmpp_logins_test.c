/* Tests of what is kept of logins: that it comes behind them, once for many, and goes with the account. */
#include "xmpp/xmpp_logins.h"
#include "xmpp/xmpp_stream_testing.h"

typedef struct got {
    int status;
    svi_logins_info info;
    char from[64];
} got;

static void on_got(void *ctx, sv_status status, const svi_logins_info *info)
{
    got *g = ctx;
    g->status = status;
    if (!info) return;
    g->info = *info;
    (void)snprintf(g->from, sizeof g->from, "%.*s", (int)info->from.n,
                   info->from.n ? info->from.p : "");
}

static got ask(world *w, const char *user)
{
    got g = {.status = 1};
    svi_logins_get(w->host, sv_str_of(user), on_got, &g);
    assert_int_equal(g.status, 1);
    run(w);
    assert_int_equal(g.status, SV_OK);
    return g;
}

static int64_t now_s(world *w)
{
    return w->clock.plat.wall_us(w->clock.plat.ctx) / 1000000;
}

static uint64_t units_of(world *w)
{
    svi_store_stats stats;
    svi_store_stats_get(svi_server_store(w->server), &stats);
    return stats.units;
}

static client *logged_in(world *w, const char *peer, const char *resource)
{
    client *c = client_from(w, peer);
    say(w, c, STREAM);
    log_in(w, c, "romeo", "rosaline");
    assert_has(bind_resource(w, c, resource), "type='result'");
    return c;
}

static void keeps_the_last_times(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    got g = ask(w, "romeo");
    assert_true(g.info.in_s == 0 && g.info.out_s == 0);
    pass_time(w, 20000000);
    const int64_t first_s = now_s(w);
    client *c = logged_in(w, "192.0.2.1", "r");
    g = ask(w, "romeo");
    assert_true(g.info.in_s == first_s && g.info.out_s == 0);
    assert_string_equal(g.from, ""); /* kept only where the host says so */
    pass_time(w, 5000000);
    say(w, c, "</stream:stream>");
    assert_ended(w, c);
    const int64_t out_s = now_s(w);
    pass_time(w, 5000000);
    client *wrong = opened(w); /* a failure is no login */
    assert_has(authenticate(w, wrong, "romeo", "x"), "<not-authorized/>");
    g = ask(w, "romeo");
    assert_true(g.info.in_s == first_s && g.info.out_s == out_s);
    world_free(w);
}

static void keeps_addresses_if_asked(void **state)
{
    (void)state;
    world *w = world_new((setting){.mode = SVI_TLS_NONE, .keeps_addresses = true});
    (void)logged_in(w, "192.0.2.1:4711", "a");
    assert_string_equal(ask(w, "romeo").from, "192.0.2.1");
    (void)logged_in(w, "[2001:db8::9]:4711", "a");
    assert_string_equal(ask(w, "romeo").from, "2001:db8::9");
    (void)logged_in(w, "2001:db8::7", "b");
    assert_string_equal(ask(w, "romeo").from, "2001:db8::7");
    world_free(w);
}

/* Architecture 8: no unit for each login, which would be a sync; one some seconds later for all. */
static void writes_behind_the_logins(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    const uint64_t before = units_of(w);
    (void)logged_in(w, "192.0.2.1", "a");
    (void)logged_in(w, "192.0.2.1", "b");
    (void)logged_in(w, "192.0.2.1", "a");
    assert_int_equal(units_of(w), before);
    pass_time(w, 11000000);
    assert_int_equal(units_of(w), before + 1);
    pass_time(w, 60000000);
    assert_int_equal(units_of(w), before + 1);
    world_free(w);
}

/* However many log in, what waits in memory is bounded. */
static void writes_when_there_are_many(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    char name[1024];
    const uint64_t before = units_of(w);
    memset(name, 'x', sizeof name);
    for (int i = 0; i < 1025; i++) { /* the longest names, too, are one unit together */
        (void)snprintf(name + 1000, sizeof name - 1000, "%023d", i);
        svi_logins_in(w->host, (sv_str){name, 1023}, "");
        svi_logins_out(w->host, (sv_str){name, 1023});
    }
    assert_int_equal(units_of(w), before + 1);
    world_free(w);
}

static void goes_with_the_account(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    int status = 1;
    (void)ask(w, "romeo");
    (void)logged_in(w, "192.0.2.1", "a");
    (void)ask(w, "romeo"); /* which writes it */
    pass_time(w, 3000000);
    svi_account_remove(w->host, SV_STR("romeo"), on_status, &status);
    run(w);
    assert_int_equal(status, SV_OK);
    pass_time(w, 60000000); /* its session's end was noted, too */
    const got g = ask(w, "romeo");
    assert_true(g.info.in_s == 0 && g.info.out_s == 0);
    world_free(w);
}

static void loses_them_while_space_is_short(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    svi_engine_sim_plan(w->engine)->full = true;
    pass_time(w, 60000000);
    assert_int_equal(svi_store_admit(svi_server_store(w->server)), SV_ENOSPC);
    const uint64_t before = units_of(w);
    (void)logged_in(w, "192.0.2.1", "a");
    pass_time(w, 60000000);
    assert_int_equal(units_of(w), before);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_last_times),      cmocka_unit_test(keeps_addresses_if_asked),
        cmocka_unit_test(writes_behind_the_logins),  cmocka_unit_test(writes_when_there_are_many),
        cmocka_unit_test(goes_with_the_account),     cmocka_unit_test(loses_them_while_space_is_short),
    };
    make_certificate();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
