/* Tables of handlers: order by band, `after` and config; circles; matching on atoms; points. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bus/bus_hooks.h"
#include "bus/bus_points.h"

enum { POINT = SVI_POINT_MESSAGE_ACCOUNT };

typedef struct world {
    svi_acct acct;
    svi_atoms *atoms;
    svi_hooks *hooks;
    char order[256];
} world;

static int setup(void **state)
{
    world *w = calloc(1, sizeof *w);
    w->acct.name = "hooks-test";
    const sv_str names[] = {SV_STR_INIT("jabber:client"), SV_STR_INIT("body"), SV_STR_INIT("urn:a"),
                            SV_STR_INIT("urn:b"),         SV_STR_INIT("x"),    SV_STR_INIT("y")};
    w->atoms = svi_atoms_extend(&w->acct, NULL, names, 6);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    svi_hooks_unref(&w->hooks);
    svi_atoms_free(&w->atoms);
    assert_int_equal(w->acct.live_bytes, 0);
    free(w);
    return 0;
}

static sv_verdict never(sv_event *ev, void *self)
{
    (void)ev;
    (void)self;
    return SV_PASS;
}

/* A handler in config order; `after` may be NULL. */
static svi_handler handler(const char *module, sv_band band, uint32_t order, const char *after)
{
    return (svi_handler){.point = POINT,
                         .band = band,
                         .order = order,
                         .after = after,
                         .call = never,
                         .module = module,
                         .text = "message/account"};
}

/* The order at POINT as names with blanks between; NULL if the table is refused. */
static const char *built(world *w, const svi_handler *handlers, size_t count, sv_err *err)
{
    svi_hooks_unref(&w->hooks);
    if (svi_hooks_build(&w->acct, handlers, count, &w->hooks, err) != SV_OK) {
        assert_null(w->hooks);
        return NULL;
    }
    size_t n;
    const svi_handler *at = svi_hooks_at(w->hooks, POINT, &n);
    w->order[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(w->order);
        snprintf(w->order + len, sizeof w->order - len, "%s%s", i > 0 ? " " : "", at[i].module);
    }
    return w->order;
}

static void test_bands_then_config_order(void **state)
{
    svi_handler handlers[] = {
        handler("monitor", SV_MONITOR, 0, NULL), handler("late", SV_LATE, 1, NULL),
        handler("n2", SV_NORMAL, 7, NULL),       handler("n1", SV_NORMAL, 3, NULL),
        handler("early", SV_EARLY, 8, NULL),     handler("first", SV_FIRST, 9, NULL),
        handler("elsewhere", SV_FIRST, 0, NULL), handler("n2b", SV_NORMAL, 7, NULL),
    };
    handlers[6].point = SVI_POINT_MESSAGE_OUT;
    assert_string_equal(built(*state, handlers, 8, NULL), "first early n1 n2 n2b late monitor");
    size_t n;
    svi_hooks_at(((world *)*state)->hooks, SVI_POINT_MESSAGE_OUT, &n);
    assert_int_equal(n, 1);
    svi_hooks_at(((world *)*state)->hooks, SVI_POINT_ACCOUNT_REMOVED, &n);
    assert_int_equal(n, 0);
}

static void test_after(void **state)
{
    const svi_handler chain[] = {handler("a", SV_NORMAL, 0, "b"), handler("b", SV_NORMAL, 1, "c"),
                                 handler("c", SV_NORMAL, 2, NULL),
                                 handler("d", SV_NORMAL, 3, NULL)};
    assert_string_equal(built(*state, chain, 4, NULL), "c b a d");
    /* all handlers of that module, and one that is not there does not matter */
    const svi_handler two[] = {handler("a", SV_NORMAL, 0, "b"),
                               handler("x", SV_NORMAL, 1, "absent"),
                               handler("b", SV_NORMAL, 2, NULL), handler("b", SV_NORMAL, 3, NULL)};
    assert_string_equal(built(*state, two, 4, NULL), "x b b a");
    /* several; a part of a name is none */
    const svi_handler more[] = {handler("a", SV_NORMAL, 0, "bb absent c"), handler("b", SV_NORMAL, 1, NULL),
                                handler("bb", SV_NORMAL, 2, NULL), handler("c", SV_NORMAL, 3, NULL)};
    assert_string_equal(built(*state, more, 4, NULL), "b bb c a");
    const svi_handler part[] = {handler("a", SV_NORMAL, 0, "bb cb"), handler("b", SV_NORMAL, 1, NULL)};
    assert_string_equal(built(*state, part, 2, NULL), "a b");
    /* inside one band only: a band is stronger */
    const svi_handler bands[] = {handler("a", SV_FIRST, 0, "b"), handler("b", SV_NORMAL, 1, NULL)};
    assert_string_equal(built(*state, bands, 2, NULL), "a b");
}

static void test_circles(void **state)
{
    sv_err err = {0};
    const svi_handler two[] = {handler("a", SV_NORMAL, 0, "b"), handler("b", SV_NORMAL, 1, "a"),
                               handler("c", SV_NORMAL, 2, NULL)};
    assert_null(built(*state, two, 3, &err));
    assert_int_equal(err.code, SV_EINVAL);
    assert_non_null(strstr(err.text, "circle"));
    assert_non_null(strstr(err.text, "\"b\""));
    const svi_handler self[] = {handler("a", SV_NORMAL, 0, "a")};
    assert_null(built(*state, self, 1, &err));
    const svi_handler apart[] = {handler("a", SV_NORMAL, 0, "b"), handler("b", SV_LATE, 1, "a")};
    assert_string_equal(built(*state, apart, 2, NULL), "a b");
}

/* Any order without circles is kept: random `after` to modules of smaller number. */
static void test_after_at_random(void **state)
{
    world *w = *state;
    static const char *const names[] = {"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"};
    uint64_t random = 11;
    for (int run = 0; run < 300; run++) {
        svi_handler handlers[8];
        for (uint32_t i = 0; i < 8; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            const uint32_t r = (uint32_t)(random >> 33);
            handlers[i] =
                handler(names[i], SV_NORMAL, r % 100, i > 0 && r % 3 ? names[r % i] : NULL);
        }
        assert_non_null(built(w, handlers, 8, NULL));
        size_t n;
        const svi_handler *at = svi_hooks_at(w->hooks, POINT, &n);
        assert_int_equal(n, 8);
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++)
                assert_true(at[i].after == NULL || strcmp(at[i].after, at[j].module) != 0);
    }
}

static sv_stanza *parse(world *w, const char *xml)
{
    sv_stanza *stanza = NULL;
    assert_int_equal(
        svi_stanza_parse(&w->acct, w->atoms, sv_str_of(xml), SV_STR(SVI_NS_CLIENT), &stanza, NULL),
        SV_OK);
    return stanza;
}

static bool matches(world *w, const char *ns, const char *name, const sv_stanza *stanza)
{
    svi_handler h = handler("m", SV_NORMAL, 0, NULL);
    h.ns = svi_atoms_find(w->atoms, sv_str_of(ns));
    h.name = svi_atoms_find(w->atoms, sv_str_of(name));
    return svi_handler_matches(&h, stanza);
}

static void test_matching(void **state)
{
    world *w = *state;
    sv_stanza *stanza =
        parse(w, "<message><body>x</body><x xmlns='urn:a'><y xmlns='urn:b'/></x><z/></message>");
    assert_true(matches(w, "", "", stanza));
    assert_true(matches(w, "", "", NULL));
    assert_true(matches(w, "urn:a", "x", stanza));
    assert_true(matches(w, "jabber:client", "body", stanza));
    assert_false(matches(w, "urn:b", "x", stanza));
    assert_false(matches(w, "urn:a", "y", stanza));
    assert_false(matches(w, "urn:b", "y", stanza)); /* a grandchild */
    assert_false(matches(w, "urn:a", "x", NULL));
    assert_true(matches(w, "urn:a", "", stanza)); /* any element of the namespace */
    assert_false(matches(w, "urn:b", "", stanza));
    svi_stanza_unref(&stanza);
}

static void test_may_store(void **state)
{
    world *w = *state;
    svi_handler handlers[] = {handler("reader", SV_NORMAL, 0, NULL),
                              handler("writer", SV_NORMAL, 1, NULL)};
    handlers[1].stores = true;
    handlers[1].ns = svi_atoms_find(w->atoms, SV_STR("urn:a"));
    handlers[1].name = svi_atoms_find(w->atoms, SV_STR("x"));
    assert_non_null(built(w, handlers, 2, NULL));
    sv_stanza *with = parse(w, "<message><x xmlns='urn:a'/></message>");
    sv_stanza *without = parse(w, "<message><body/></message>");
    assert_true(svi_hooks_may_store(w->hooks, POINT, with));
    assert_false(svi_hooks_may_store(w->hooks, POINT, without));
    assert_false(svi_hooks_may_store(w->hooks, SVI_POINT_MESSAGE_OUT, with));
    assert_false(svi_hooks_may_store(NULL, POINT, with));
    svi_stanza_unref(&with);
    svi_stanza_unref(&without);
}

static void test_points(void **state)
{
    (void)state;
    assert_int_equal(svi_point_find(SV_STR("message/account")), SVI_POINT_MESSAGE_ACCOUNT);
    assert_int_equal(svi_point_find(SV_STR("message/accounts")), SVI_POINT_NONE);
    assert_int_equal(svi_point_find(SV_STR("none")), SVI_POINT_NONE);
    assert_string_equal(svi_point_nearest(SV_STR("mesage/accuont")), "message/account");
    assert_string_equal(svi_point_nearest(SV_STR("iq-gett/host")), "iq-get/host");
    for (svi_point p = 1; p < SVI_POINT_COUNT; p++)
        assert_int_equal(svi_point_find(sv_str_of(svi_point_name(p))), p);
}

static void count_gone(void *ctx)
{
    ++*(int *)ctx;
}

static void test_told_when_gone(void **state)
{
    world *w = *state;
    int gone = 0;
    assert_int_equal(svi_hooks_build(&w->acct, NULL, 0, &w->hooks, NULL), SV_OK);
    svi_hooks_on_free(w->hooks, count_gone, &gone);
    svi_hooks *other = svi_hooks_ref(w->hooks);
    svi_hooks_unref(&w->hooks);
    assert_int_equal(gone, 0);
    svi_hooks_unref(&other);
    assert_int_equal(gone, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bands_then_config_order),
        TEST(test_after),
        TEST(test_circles),
        TEST(test_after_at_random),
        TEST(test_matching),
        TEST(test_may_store),
        TEST(test_points),
        TEST(test_told_when_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
