/* Penalties for failed logins: delays that grow, locks, who is spared, what is forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "xmpp/xmpp_penalty.h"

#define FAR at("192.0.2.1:4000")
#define ROMEO SV_STR("romeo@localhost")

static svi_acct acct = {.name = "test"};
static svi_plat_virtual v;
static svi_penalties *p;

static int set_up(void **state)
{
    (void)state;
    svi_plat_virtual_init(&v, 7);
    p = svi_penalties_new(&acct, &v.plat);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    svi_penalties_free(&p);
    return acct.live_bytes == 0 ? 0 : -1;
}

static svi_whence at(const char *address)
{
    return (svi_whence){.address = sv_str_of(address)};
}

static svi_whence relayed(const char *address)
{
    return (svi_whence){.address = sv_str_of(address), .is_relayed = true};
}

static void note_times(svi_whence whence, sv_str account, unsigned times)
{
    for (unsigned i = 0; i < times; i++) (void)svi_penalty_note(p, whence, account);
}

/* The first are free, then 0.5 s, twice as long each time, up to a bound. */
static void delays_grow(void **state)
{
    (void)state;
    static const int64_t ms[] = {0, 0,   0,    0,    0,    0,    0,     0,    0,
                                 0, 500, 1000, 2000, 4000, 8000, 16000, 16000};
    for (size_t i = 0; i < sizeof ms / sizeof ms[0]; i++)
        assert_int_equal(svi_penalty_note(p, FAR, SV_STR_NONE), ms[i] * 1000);
    /* by account as well, from however many addresses */
    for (size_t i = 0; i < sizeof ms / sizeof ms[0]; i++) {
        char from[32];
        (void)snprintf(from, sizeof from, "198.51.100.%zu:1", i);
        assert_int_equal(svi_penalty_note(p, at(from), ROMEO), ms[i] * 1000);
    }
}

/* A port, or another address of the same network of 64 bits, is nobody else. */
static void networks_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"192.0.2.1:1", "192.0.2.1:2", true},
        {"192.0.2.1:1", "192.0.2.2:1", false},
        {"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:2", true},
        {"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
        {"[2001:db8::1]:1", "[2001:db8:0:0:1::]:1", true},
        {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
        {"[::ffff:192.0.2.1]:1", "192.0.2.1:1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        note_times(at(cases[i].one), SV_STR_NONE, SVI_PENALTY_LOCK);
        assert_true(svi_penalty_is_locked(p, at(cases[i].one), SV_STR_NONE));
        if (svi_penalty_is_locked(p, at(cases[i].other), SV_STR_NONE) != cases[i].same)
            fail_msg("%s and %s", cases[i].one, cases[i].other);
        svi_penalties_free(&p);
        p = svi_penalties_new(&acct, &v.plat);
    }
    /* this machine may be a proxy for everybody */
    static const char *const here[] = {"127.0.0.1:1", "[::1]:1", "unix", "memory", ""};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        note_times(at(here[i]), SV_STR_NONE, 2 * SVI_PENALTY_LOCK);
        assert_false(svi_penalty_is_locked(p, at(here[i]), SV_STR_NONE));
    }
    assert_int_equal(svi_penalty_locked(p), 0);
}

static void locks_and_forgets(void **state)
{
    (void)state;
    note_times(FAR, SV_STR_NONE, SVI_PENALTY_LOCK - 1);
    assert_true(svi_penalty_is_locked(p, FAR, ROMEO)); /* while the last answer is held back */
    assert_int_equal(svi_penalty_locked(p), 0);
    svi_plat_virtual_advance(&v, SVI_PENALTY_DELAY_MAX_US);
    assert_false(svi_penalty_is_locked(p, FAR, ROMEO));
    note_times(FAR, SV_STR_NONE, 1);
    assert_true(svi_penalty_is_locked(p, FAR, ROMEO));
    assert_int_equal(svi_penalty_locked(p), 1);
    svi_plat_virtual_advance(&v, SVI_PENALTY_FORGET_US - 1);
    assert_true(svi_penalty_is_locked(p, FAR, ROMEO));
    svi_plat_virtual_advance(&v, 1);
    assert_false(svi_penalty_is_locked(p, FAR, ROMEO));
    assert_int_equal(svi_penalty_locked(p), 0);
    assert_int_equal(svi_penalty_note(p, FAR, ROMEO), 0);
}

/* A stranger can't lock the owner out of where the account was used last. */
static void the_owner_is_spared(void **state)
{
    (void)state;
    const svi_whence home = at("203.0.113.5:1000"), other = at("203.0.113.6:1000");
    svi_penalty_forgive(p, home, ROMEO);
    for (unsigned i = 0; i < SVI_PENALTY_LOCK; i++) {
        char from[32];
        (void)snprintf(from, sizeof from, "198.51.100.%u:1", i);
        (void)svi_penalty_note(p, at(from), ROMEO);
    }
    assert_true(svi_penalty_is_locked(p, other, ROMEO));
    assert_false(svi_penalty_is_locked(p, home, ROMEO));
    svi_penalty_forgive(p, home, ROMEO);
    assert_false(svi_penalty_is_locked(p, other, ROMEO));
}

/* What a proxy's header names is somewhere else, though it be called loopback there: it is locked as any
 * other, and who has no address there is not taken for this machine. */
static void relayed_addresses_have_no_privileges(void **state)
{
    (void)state;
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"192.0.2.1:1", "192.0.2.1:2", true},
        {"127.0.0.1:1", "127.0.0.1:2", true},
        {"127.0.0.1:1", "127.0.0.2:1", false},
        {"[::1]:1", "[::1]:2", true},
        {"[::ffff:127.0.0.1]:1", "127.0.0.1:1", true},
        {"[::1]:1", "127.0.0.1:1", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        note_times(relayed(cases[i].one), SV_STR_NONE, SVI_PENALTY_LOCK);
        assert_true(svi_penalty_is_locked(p, relayed(cases[i].one), SV_STR_NONE));
        if (svi_penalty_is_locked(p, relayed(cases[i].other), SV_STR_NONE) != cases[i].same)
            fail_msg("%s and %s", cases[i].one, cases[i].other);
        assert_false(svi_penalty_is_locked(p, at("127.0.0.1:1"), SV_STR_NONE));
        svi_penalties_free(&p);
        p = svi_penalties_new(&acct, &v.plat);
    }
    /* a proxy's and a direct client's address are one */
    note_times(relayed("192.0.2.1:1"), SV_STR_NONE, SVI_PENALTY_LOCK);
    assert_true(svi_penalty_is_locked(p, FAR, SV_STR_NONE));
    /* whoever has none is nobody in particular */
    note_times(relayed("unix"), SV_STR_NONE, 2 * SVI_PENALTY_LOCK);
    assert_false(svi_penalty_is_locked(p, relayed("unix"), SV_STR_NONE));
    static const char *const here[] = {"127.0.0.1:1", "[::1]:1", "unix"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        svi_penalty_forgive(p, at("unix"), ROMEO); /* used last on this machine */
        note_times(at("memory"), ROMEO, SVI_PENALTY_LOCK);
        assert_false(svi_penalty_is_locked(p, at(here[i]), ROMEO));
        assert_true(svi_penalty_is_locked(p, relayed(here[i]), ROMEO));
        svi_penalty_forgive(p, relayed("unix"), ROMEO);
        note_times(at("memory"), ROMEO, SVI_PENALTY_LOCK);
        assert_true(svi_penalty_is_locked(p, relayed("unix"), ROMEO));
        assert_true(svi_penalty_is_locked(p, at(here[i]), ROMEO));
    }
    /* but an owner is known by an address behind a proxy, too */
    svi_penalty_forgive(p, relayed("198.51.100.1:1"), ROMEO);
    note_times(at("memory"), ROMEO, SVI_PENALTY_LOCK);
    assert_false(svi_penalty_is_locked(p, relayed("198.51.100.1:2"), ROMEO));
}

/* One failure, or a success, for each of so many accounts that nobody knows. */
static void fill(unsigned first, unsigned count, bool with_success)
{
    for (unsigned i = first; i < first + count; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "u%u@localhost", i);
        if (with_success)
            svi_penalty_forgive(p, at("memory"), sv_str_of(name));
        else
            (void)svi_penalty_note(p, at("memory"), sv_str_of(name));
    }
}

/* Threats, conclusion on tables that peers make grow: bounded, the oldest goes; but no crowd of names, and no
 * crowd of users, opens what is locked. */
static void the_table_is_bounded(void **state)
{
    (void)state;
    const svi_whence near = at("198.51.100.1:1");
    note_times(near, SV_STR_NONE, SVI_PENALTY_FREE);
    note_times(FAR, SV_STR_NONE, SVI_PENALTY_LOCK);
    fill(0, SVI_PENALTY_KEYS, false);
    assert_true(svi_penalty_is_locked(p, FAR, SV_STR_NONE));
    assert_int_equal(svi_penalty_note(p, near, SV_STR_NONE), 0); /* was forgotten */
    fill(SVI_PENALTY_KEYS, 2 * SVI_PENALTY_KEYS, true);
    assert_true(svi_penalty_is_locked(p, FAR, SV_STR_NONE));
    assert_true(acct.live_bytes < (int64_t)SVI_PENALTY_KEYS * 256);
    svi_plat_virtual_advance(&v, SVI_PENALTY_FORGET_US);
    fill(0, 1, true);
    assert_int_equal(svi_penalty_locked(p), 0);
}

/* Where all are locked, the oldest goes all the same. */
static void a_table_of_locked_ones_is_bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= SVI_PENALTY_KEYS; i++) {
        char from[40];
        (void)snprintf(from, sizeof from, "10.%u.%u.1:1", i / 256, i % 256);
        note_times(at(from), SV_STR_NONE, SVI_PENALTY_LOCK);
    }
    assert_int_equal(svi_penalty_locked(p), SVI_PENALTY_KEYS);
    assert_false(svi_penalty_is_locked(p, at("10.0.0.1:1"), SV_STR_NONE));
    assert_true(svi_penalty_is_locked(p, at("10.0.1.1:1"), SV_STR_NONE));
    assert_true(acct.live_bytes < (int64_t)SVI_PENALTY_KEYS * 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(delays_grow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(networks_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(locks_and_forgets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_owner_is_spared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(relayed_addresses_have_no_privileges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_table_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_table_of_locked_ones_is_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
