/* examples/c/message-count where a script can't look: metrics, accounts that are deleted, guests, reads that fail, and the n-th read
 * that fails while the counts are stored. */
#include "modules_world.h"

#include "xmpp/xmpp_guest.h"

#define COUNTS "message-count/counts"
#define SAYS(to) "<message type='chat' to='" to "'><body>x</body></message>"
#define MODULES "\"message\", \"message-count\""

enum { AT = 1, SENT = 0, RECEIVED = 1, UNCOUNTED = 2, UNSAVED = 3 };
#define SECOND_US 1000000

static char examples[TESTING_PATH];

static world *counted_with(svi_logins logins, const char *more)
{
    world *w = world_new();
    halt(w, false);
    w->logins = logins;
    testing_path("examples", examples);
    w->paths[2] = examples;
    w->path_count = 3;
    boot(w, MODULES, more);
    account(w, "romeo");
    account(w, "juliet");
    return w;
}

static world *counted(const char *more)
{
    return counted_with(SVI_LOGINS_ACCOUNTS, more);
}

static int64_t metric_of(const world *w, size_t which)
{
    const sv_metric *metric;
    int64_t value;
    assert_true(svi_mods_metric(w->mods, AT, which, &metric, &value));
    return value;
}

static void assert_shown(world *w, const char *name, int sent, int received)
{
    char members[128], wanted[128];
    snprintf(members, sizeof members, "'address':'%s@" HERE "'", name);
    snprintf(wanted, sizeof wanted, "\"sent\":%d,\"received\":%d", sent, received);
    const char *answer = run_command(w, "message-count show", members);
    if (!strstr(answer, wanted)) fail_msg("\"%s\" does not hold \"%s\"", answer, wanted);
}

static void figures(void **state)
{
    (void)state;
    world *w = counted("");
    client *c = join(w, "romeo@" HERE "/a");
    for (int i = 0; i < 3; i++) say(w, c, SAYS("juliet@" HERE));
    assert_int_equal(metric_of(w, SENT), 3);
    assert_int_equal(metric_of(w, RECEIVED), 3);
    assert_int_equal(metric_of(w, UNSAVED), 2);
    pass_time(w, 11 * SECOND_US);
    turn(w);
    assert_int_equal(metric_of(w, UNSAVED), 0);
    assert_int_equal(row_count(w, COUNTS, "romeo"), 2);
    assert_shown(w, "romeo", 3, 0);
    assert_shown(w, "juliet", 0, 3);
    halt(w, true); /* what was stored is there again */
    boot(w, MODULES, "");
    assert_shown(w, "romeo", 3, 0);
    leave(w);
}

static void more_accounts_than_may_wait(void **state)
{
    (void)state;
    world *w = counted("message_count_accounts = 1");
    say(w, join(w, "romeo@" HERE "/a"), SAYS("juliet@" HERE));
    assert_int_equal(metric_of(w, UNCOUNTED), 1);
    assert_shown(w, "romeo", 1, 0);
    assert_shown(w, "juliet", 0, 0);
    leave(w);
}

/* Neither what is stored nor what is not yet is there for an account of the same name. */
static void an_account_goes(void **state)
{
    (void)state;
    world *w = counted("");
    client *c = join(w, "romeo@" HERE "/a");
    say(w, c, SAYS("juliet@" HERE));
    pass_time(w, 11 * SECOND_US);
    say(w, c, SAYS("juliet@" HERE));
    assert_shown(w, "juliet", 0, 2);
    int status = 1;
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), SV_STR("juliet"), w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    assert_int_equal(row_count(w, COUNTS, "juliet"), 0);
    account(w, "juliet");
    assert_shown(w, "juliet", 0, 0);
    pass_time(w, 11 * SECOND_US);
    assert_shown(w, "juliet", 0, 0);
    leave(w);
}

static void guests(void **state)
{
    (void)state;
    world *w = counted_with(SVI_LOGINS_BOTH, "");
    char name[SVI_GUEST_NAME_BYTES + 1], full[128];
    svi_guest_name(svi_host_find(w->server, SV_STR(HERE)), name);
    snprintf(full, sizeof full, "%s@" HERE "/g", name);
    say(w, join(w, full), SAYS("juliet@" HERE));
    assert_int_equal(metric_of(w, SENT), 0);
    assert_int_equal(metric_of(w, RECEIVED), 1);
    leave(w);
}

/* Whatever read fails while counts are stored or shown: nothing is counted twice or lost, and who asked is told. */
static void reads_that_fail(void **state)
{
    (void)state;
    bool has_failed = true;
    int refused = 0, runs = 0;
    for (int64_t n = 1; has_failed; n++, runs++) {
        assert_in_range(n, 1, 20);
        world *w = counted("");
        client *c = join(w, "romeo@" HERE "/a");
        say(w, c, SAYS("juliet@" HERE));
        pass_time(w, 11 * SECOND_US);
        halt(w, false);
        boot(w, MODULES, "");
        c = join(w, "romeo@" HERE "/a");
        say(w, c, SAYS("juliet@" HERE));
        svi_engine_sim_plan(w->engine)->fail_read = n;
        const char *answer = run_command(w, "message-count show", "'address':'juliet@" HERE "'");
        refused += strstr(answer, "the counts can't be read; try again") != NULL;
        pass_time(w, 11 * SECOND_US); /* the rows are read to be added to */
        has_failed = svi_engine_sim_plan(w->engine)->fail_read == 0;
        svi_engine_sim_plan(w->engine)->fail_read = 0;
        pass_time(w, 11 * SECOND_US);
        assert_shown(w, "romeo", 2, 0);
        assert_shown(w, "juliet", 0, 2);
        leave(w);
    }
    assert_true(runs > 1);
    assert_true(refused > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures), cmocka_unit_test(more_accounts_than_may_wait), cmocka_unit_test(an_account_goes),
        cmocka_unit_test(guests),  cmocka_unit_test(reads_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
