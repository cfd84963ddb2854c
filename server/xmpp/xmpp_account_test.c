/* Tests of accounts: making, changing, deleting, what shares the unit, looking up, failures of
 * the store. */
#include "xmpp/xmpp_stream_testing.h"

static int remove_account(world *w, const char *user)
{
    int status = 1;
    svi_account_remove(w->host, sv_str_of(user), on_status, &status);
    assert_int_equal(status, 1);
    run(w);
    return status;
}

/* -1: not known at once. */
static int check_now(world *w, const char *user)
{
    static int ignored;
    bool exists;
    if (!svi_account_check(w->host, sv_str_of(user), &exists, on_status, &ignored)) return -1;
    return exists;
}

static int check_account(world *w, const char *user)
{
    int status = 1;
    bool exists;
    if (svi_account_check(w->host, sv_str_of(user), &exists, on_status, &status))
        return exists ? SV_OK : SV_ENOTFOUND;
    assert_int_equal(status, 1);
    run(w);
    return status;
}

static void makes_changes_deletes(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    assert_int_equal(set_account(w, "juliet", "capulet", false), SV_OK);
    assert_int_equal(set_account(w, "juliet", "other", false), SV_EEXIST);
    assert_int_equal(set_account(w, "nurse", "x", true), SV_ENOTFOUND);
    client *c = opened(w);
    log_in(w, c, "juliet", "capulet");
    assert_has(bind_resource(w, c, "r"), "type='result'");
    /* a new password ends no session, and the old one opens none */
    assert_int_equal(set_account(w, "juliet", "montague", true), SV_OK);
    assert_false(c->at_end);
    client *d = opened(w);
    assert_has(authenticate(w, d, "juliet", "capulet"), "<not-authorized/>");
    log_in(w, d, "juliet", "montague");
    assert_has(bind_resource(w, d, "s"), "type='result'");
    assert_int_equal(remove_account(w, "juliet"), SV_OK);
    assert_has(heard(w, c), "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    assert_has(heard(w, d), "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    assert_int_equal(check_account(w, "juliet"), SV_ENOTFOUND);
    assert_int_equal(remove_account(w, "juliet"), SV_ENOTFOUND);
    client *e = opened(w);
    assert_has(authenticate(w, e, "juliet", "montague"), "<not-authorized/>");
    assert_int_equal(set_account(w, "juliet", "capulet", false), SV_OK);
    world_free(w);
}

static void keys_came(void *ctx, sv_status status, svi_rows *rows)
{
    unsigned *found = ctx;
    sv_str value;
    assert_int_equal(status, SV_OK);
    *found = svi_rows_find(rows, SV_STR("SCRAM-SHA-1"), &value) ? 1u : 0u;
    *found += svi_rows_find(rows, SV_STR("SCRAM-SHA-256"), &value) ? 10u : 0u;
    svi_rows_unref(&rows);
}

/* Keys of a mechanism that a new password has none for are those of the old one. */
static void no_key_of_an_old_password(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    svi_scram_keys keys[2];
    int status = 1;
    unsigned found = 0;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys[0]), SV_OK);
    assert_int_equal(svi_scram_derive("SCRAM-SHA-1", SV_STR("x"), SV_STR("salt"), 1, &keys[1]), SV_OK);
    svi_account_set(w->host, SV_STR("juliet"), keys, 2, false, on_status, &status);
    run(w);
    svi_rows_load(svi_host_accounts(w->host), SV_STR("juliet"), keys_came, &found);
    run(w);
    assert_int_equal(found, 11);
    svi_account_set(w->host, SV_STR("juliet"), keys, 1, true, on_status, &status);
    run(w);
    assert_int_equal(status, SV_OK);
    svi_rows_load(svi_host_accounts(w->host), SV_STR("juliet"), keys_came, &found);
    run(w);
    assert_int_equal(found, 10);
    world_free(w);
}

/* Two at once: the first look-up decides, the second finds the account. */
static void one_of_two_makes_it(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    svi_scram_keys keys;
    int one = 1, two = 1;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys),
                     SV_OK);
    svi_account_set(w->host, SV_STR("juliet"), &keys, 1, false, on_status, &one);
    svi_account_set(w->host, SV_STR("juliet"), &keys, 1, false, on_status, &two);
    run(w);
    assert_int_equal(one, SV_OK);
    assert_int_equal(two, SV_EEXIST);
    world_free(w);
}

/* A login that is under way when the account goes, or gets another password, does not end well. */
static void changes_end_what_is_under_way(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *begun = opened(w), *logged_in = opened(w), *other = opened(w);
    (void)heard(w, begun);
    say_auth(w, begun, "romeo");
    sv_str first = sasl_data(w, heard(w, begun), "challenge");
    assert_int_equal(set_account(w, "romeo", "juliet", true), SV_OK);
    say(w, begun, sasl_text(w, "response", "", scram_final(w, "romeo", "rosaline", first, NULL)));
    assert_failed(w, begun, "reset");
    log_in(w, logged_in, "romeo", "juliet"); /* no resource bound yet */
    say_auth(w, other, "nobody");
    assert_int_equal(remove_account(w, "romeo"), SV_OK);
    assert_failed(w, logged_in, "not-authorized");
    assert_false(other->at_end);
    world_free(w);
}

/* --- disabled -------------------------------------------------------------------------------- */

static int disable(world *w, const char *user, const char *reason, bool is_told)
{
    int status = 1;
    svi_account_disable(w->host, sv_str_of(user), sv_str_of(reason), is_told, on_status, &status);
    assert_int_equal(status, 1);
    run(w);
    return status;
}

static int enable(world *w, const char *user)
{
    int status = 1;
    svi_account_enable(w->host, sv_str_of(user), on_status, &status);
    assert_int_equal(status, 1);
    run(w);
    return status;
}

/* RFC 6120 6.5.1, 4.9.3.12: streams end, exchanges under way, too, and none begins; the reason is told
 * only if it is meant for the user. */
static void disables_and_enables(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    client *bound = opened(w), *unbound = opened(w), *begun = opened(w), *other = opened(w);
    log_in(w, bound, "romeo", "rosaline");
    assert_has(bind_resource(w, bound, "r"), "type='result'");
    log_in(w, unbound, "romeo", "rosaline");
    say_auth(w, begun, "romeo");
    say_auth(w, other, "nobody");
    (void)heard(w, begun);
    assert_int_equal(disable(w, "romeo", "Call <us>", true), SV_OK);
    assert_has(heard(w, bound), "<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                                "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' "
                                "xml:lang='en'>Call &lt;us");
    assert_has(heard(w, unbound), "<not-authorized");
    assert_has(heard(w, begun), "<reset");
    assert_false(other->at_end);
    assert_null(svi_session_next(w->server, SV_STR("romeo@localhost"), NULL));
    client *late = opened(w);
    const char *answer = authenticate(w, late, "romeo", "rosaline");
    assert_has(answer, "<account-disabled/><text xml:lang='en'>Call &lt;us");
    assert_has(authenticate(w, late, "romeo", "wrong"), "<failure xmlns='" SASL_NS
                                                        "'><not-authorized/></failure>");
    /* another password leaves it disabled, and a second reason is the one that counts */
    assert_int_equal(set_account(w, "romeo", "juliet", true), SV_OK);
    assert_int_equal(disable(w, "romeo", "secret", false), SV_OK);
    assert_has(authenticate(w, late, "romeo", "juliet"),
               "<failure xmlns='" SASL_NS "'><account-disabled/></failure>");
    assert_int_equal(check_account(w, "romeo"), SV_OK); /* what is sent to it waits */
    assert_int_equal(enable(w, "romeo"), SV_OK);
    assert_int_equal(enable(w, "romeo"), SV_EEXIST);
    client *again = opened(w);
    log_in(w, again, "romeo", "juliet");
    world_free(w);
}

static void refuses_what_cannot_be_disabled(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    char long_reason[SVI_REASON_MAX + 2];
    memset(long_reason, 'x', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = 0;
    assert_int_equal(disable(w, "nobody", "", false), SV_ENOTFOUND);
    assert_int_equal(enable(w, "nobody"), SV_ENOTFOUND);
    assert_int_equal(disable(w, "romeo", "a\nb", false), SV_EINVAL);
    assert_int_equal(disable(w, "romeo", "\xff", false), SV_EINVAL);
    assert_int_equal(disable(w, "romeo", long_reason, false), SV_EINVAL);
    assert_int_equal(disable(w, "romeo", long_reason + 1, false), SV_OK);
    /* no space: nobody is let in for that, but somebody may be kept out */
    svi_engine_sim_plan(w->engine)->full = true;
    pass_time(w, 60000000);
    assert_int_equal(disable(w, "romeo", "", true), SV_OK);
    world_free(w);
}

typedef struct shown {
    int status;
    svi_account_info info;
    char reason[64];
} shown;

static void on_shown(void *ctx, sv_status status, const svi_account_info *info)
{
    shown *s = ctx;
    s->status = status;
    if (!info) return;
    s->info = *info;
    (void)snprintf(s->reason, sizeof s->reason, "%.*s", (int)info->reason.n,
                   info->reason.n ? info->reason.p : "");
}

static void shows_what_is_stored(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    shown s = {.status = 1}, none = {.status = 1};
    const int64_t now_s = w->clock.plat.wall_us(w->clock.plat.ctx) / 1000000;
    assert_int_equal(set_account(w, "juliet", "x", false), SV_OK);
    svi_account_show(w->host, SV_STR("juliet"), on_shown, &s);
    svi_account_show(w->host, SV_STR("nobody"), on_shown, &none);
    run(w);
    assert_int_equal(none.status, SV_ENOTFOUND);
    assert_int_equal(s.status, SV_OK);
    assert_int_equal(s.info.kind, SVI_ACCOUNT_ACTIVE);
    assert_in_range(s.info.created_s, now_s, now_s + 60);
    assert_int_equal(s.info.mechanism_count, 1);
    assert_int_equal(disable(w, "juliet", "who  knows", true), SV_OK);
    assert_int_equal(set_account(w, "juliet", "y", true), SV_OK);
    svi_account_show(w->host, SV_STR("juliet"), on_shown, &s);
    run(w);
    assert_int_equal(s.info.kind, SVI_ACCOUNT_DISABLED);
    assert_true(s.info.is_told);
    assert_string_equal(s.reason, "who  knows");
    assert_in_range(s.info.since_s, now_s, now_s + 60);
    assert_in_range(s.info.created_s, now_s, now_s + 60);
    world_free(w);
}

/* --- what modules do with it ----------------------------------------------------------------- */

typedef struct seen {
    world *w;
    svi_map *map;
    int added, removed;
    char subject[64];
} seen;

static sv_verdict on_added(sv_event *ev, void *self)
{
    seen *s = self;
    s->added++;
    sv_str account = svi_xevent_of(ev)->subject;
    (void)snprintf(s->subject, sizeof s->subject, "%.*s", (int)account.n, account.p);
    assert_int_equal(
        svi_unit_put(svi_event_unit(ev), s->map, SV_STR("juliet"), SV_STR("k"), SV_STR("v")),
        SV_OK);
    return SV_PASS;
}

static sv_verdict on_removed(sv_event *ev, void *self)
{
    seen *s = self;
    s->removed++;
    assert_int_equal(svi_unit_del_owner(svi_event_unit(ev), s->map, SV_STR("juliet")), SV_OK);
    return SV_PASS;
}

static uint64_t units_of(world *w)
{
    svi_store_stats stats;
    svi_store_stats_get(svi_server_store(w->server), &stats);
    return stats.units;
}

/* The account's rows and what modules write for it are one unit, and `done` comes after its
 * commit. */
static void modules_share_the_unit(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    sv_err err;
    seen s = {.w = w};
    assert_int_equal(
        svi_store_map(svi_server_store(w->server), SV_STR("localhost/test/m"), 1, &s.map, &err),
        SV_OK);
    const svi_handler handlers[] = {{.point = SVI_POINT_ACCOUNT_ADDED,
                                     .call = on_added,
                                     .self = &s,
                                     .module = "test",
                                     .text = "account/added"},
                                    {.point = SVI_POINT_ACCOUNT_REMOVED,
                                     .call = on_removed,
                                     .self = &s,
                                     .module = "test",
                                     .text = "account/removed"}};
    svi_hooks *hooks = NULL;
    assert_int_equal(svi_hooks_build(&w->acct, handlers, 2, &hooks, &err), SV_OK);
    svi_host_set_hooks(w->host, hooks);
    svi_hooks_unref(&hooks);

    uint64_t before = units_of(w);
    assert_int_equal(set_account(w, "juliet", "capulet", false), SV_OK);
    assert_int_equal(units_of(w), before + 1);
    assert_int_equal(s.added, 1);
    assert_string_equal(s.subject, "juliet@localhost");
    assert_int_equal(set_account(w, "juliet", "x", true), SV_OK);
    assert_int_equal(s.added, 1); /* a password is no new account */

    before = units_of(w);
    assert_int_equal(remove_account(w, "juliet"), SV_OK);
    assert_int_equal(units_of(w), before + 2); /* its end is marked, then all of it goes together */
    assert_int_equal(s.removed, 1);
    world_free(w);
}

static void done_comes_after_the_commit(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    svi_scram_keys keys;
    int status = 1;
    assert_int_equal(check_account(w, "juliet"), SV_ENOTFOUND); /* its rows are in memory now */
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys),
                     SV_OK);
    svi_engine_sim_plan(w->engine)->hold = true;
    svi_account_set(w->host, SV_STR("juliet"), &keys, 1, false, on_status, &status);
    run(w);
    assert_int_equal(check_now(w, "juliet"), 1); /* seen at once, not yet on disk */
    assert_int_equal(status, 1);
    svi_engine_sim_plan(w->engine)->hold = false;
    run(w);
    assert_int_equal(status, SV_OK);
    world_free(w);
}

/* --- looking up ------------------------------------------------------------------------------ */

static void checks_from_memory_if_it_can(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    assert_int_equal(check_now(w, ""), 0);
    assert_int_equal(check_account(w, "nobody"), SV_ENOTFOUND);
    assert_int_equal(check_now(w, "nobody"), 0);
    assert_int_equal(check_account(w, "romeo"), SV_OK);
    assert_int_equal(check_now(w, "romeo"), 1);
    world_free(w);
}

typedef struct got {
    int calls, status;
    bool has_keys;
    svi_scram_keys keys;
} got;

static void on_keys(void *ctx, sv_status status, const svi_scram_keys *keys)
{
    got *g = ctx;
    g->calls++;
    g->status = status;
    g->has_keys = keys != NULL;
    if (keys) g->keys = *keys;
}

static void finds_keys_or_makes_them_up(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    got real = {0}, fake = {0}, again = {0}, broken = {0};
    svi_account_keys(w->host, SV_STR("romeo"), "SCRAM-SHA-256", on_keys, &real);
    svi_account_keys(w->host, SV_STR("nobody"), "SCRAM-SHA-256", on_keys, &fake);
    assert_int_equal(real.calls + fake.calls, 0);
    run(w);
    assert_int_equal(real.status, SV_OK);
    assert_int_equal(real.keys.iterations, ITERATIONS);
    assert_int_equal(fake.status, SV_ENOTFOUND);
    assert_true(fake.has_keys && fake.keys.salt_bytes == SVI_SCRAM_SALT_BYTES);
    svi_account_keys(w->host, SV_STR("nobody"), "SCRAM-SHA-256", on_keys, &again);
    run(w);
    assert_memory_equal(&fake.keys, &again.keys, sizeof fake.keys);
    /* a damaged record is an error, not an account with other keys */
    svi_unit *unit = svi_unit_new(svi_server_store(w->server));
    assert_int_equal(svi_unit_put(unit, svi_host_accounts(w->host), SV_STR("romeo"),
                                  SV_STR("SCRAM-SHA-256"), SV_STR("1 SCRAM-SHA-256 9 x")),
                     SV_OK);
    (void)svi_unit_submit(&unit);
    svi_account_keys(w->host, SV_STR("romeo"), "SCRAM-SHA-256", on_keys, &broken);
    run(w);
    assert_int_equal(broken.status, SV_EIO);
    assert_false(broken.has_keys);
    world_free(w);
}

/* --- failures -------------------------------------------------------------------------------- */

static void tells_when_the_store_fails(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    assert_int_equal(set_account(w, "juliet", "x", false), SV_EIO);
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    assert_int_equal(check_account(w, "nurse"), SV_EIO);
    assert_int_equal(set_account(w, "juliet", "x", false), SV_OK);
    /* short of space: nothing new, but deleting goes on (architecture 8) */
    svi_engine_sim_plan(w->engine)->full = true;
    run(w);
    pass_time(w, 10 * 1000000);
    assert_int_equal(set_account(w, "tybalt", "x", false), SV_ENOSPC);
    assert_int_equal(remove_account(w, "juliet"), SV_OK);
    world_free(w);
}

/* Whoever waits when the server ends is told so. */
static void the_end_cancels(void **state)
{
    (void)state;
    world *w = world_new(PLAIN);
    svi_scram_keys keys;
    int set = 1, check = 1;
    bool exists;
    got asked = {0};
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys),
                     SV_OK);
    svi_engine_sim_plan(w->engine)->hold = true;
    svi_account_set(w->host, SV_STR("juliet"), &keys, 1, false, on_status, &set);
    assert_false(svi_account_check(w->host, SV_STR("nurse"), &exists, on_status, &check));
    svi_account_keys(w->host, SV_STR("tybalt"), "SCRAM-SHA-256", on_keys, &asked);
    svi_server_free(&w->server, 0);
    assert_int_not_equal(set, 1);
    assert_int_not_equal(check, 1);
    assert_int_equal(asked.calls, 1);
    w->server = NULL;
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_changes_deletes),
        cmocka_unit_test(no_key_of_an_old_password),
        cmocka_unit_test(one_of_two_makes_it),
        cmocka_unit_test(disables_and_enables),
        cmocka_unit_test(refuses_what_cannot_be_disabled),
        cmocka_unit_test(shows_what_is_stored),
        cmocka_unit_test(changes_end_what_is_under_way),
        cmocka_unit_test(modules_share_the_unit),
        cmocka_unit_test(done_comes_after_the_commit),
        cmocka_unit_test(checks_from_memory_if_it_can),
        cmocka_unit_test(finds_keys_or_makes_them_up),
        cmocka_unit_test(tells_when_the_store_fails),
        cmocka_unit_test(the_end_cancels),
    };
    make_certificate();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
