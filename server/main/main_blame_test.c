/* Who is blamed for the ends of workers, from when, until when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "main/main_blame.h"

enum { MINUTE = 60000000 };

static svi_acct acct = {.name = "test"};

static const svi_blamed *of(const svi_blame *blame, const char *module)
{
    for (size_t i = 0; i < SVI_BLAME_MAX; i++)
        if (strcmp(blame->modules[i].module, module) == 0) return &blame->modules[i];
    return NULL;
}

static void three_in_ten_minutes(void **state)
{
    (void)state;
    svi_blame b;
    svi_blame_init(&b, &acct);
    assert_false(svi_blame_end(&b, "bad", "message/out", 1 * (int64_t)MINUTE));
    assert_false(svi_blame_end(&b, "", "", 2 * (int64_t)MINUTE)); /* the core's */
    assert_false(svi_blame_end(&b, "--config", "start", 2 * (int64_t)MINUTE));
    assert_null(of(&b, "--config"));
    assert_false(svi_blame_end(&b, "other", "message/out", 3 * (int64_t)MINUTE));
    assert_false(svi_blame_end(&b, "bad", "message/out", 4 * (int64_t)MINUTE));
    assert_false(svi_blame_end(&b, "bad", "message/out", 11 * (int64_t)MINUTE)); /* the first is ten ago */
    assert_false(of(&b, "bad")->is_held);
    assert_true(svi_blame_end(&b, "bad", "message/out", 13 * (int64_t)MINUTE));
    assert_true(of(&b, "bad")->is_held);
    assert_false(of(&b, "bad")->is_in_start);
    assert_false(svi_blame_end(&b, "bad", "start", 14 * (int64_t)MINUTE)); /* it was before */
    assert_true(of(&b, "bad")->is_in_start);
    assert_false(of(&b, "other")->is_held);
    svi_blame_forget(&b, "bad");
    assert_null(of(&b, "bad"));
    assert_false(svi_blame_end(&b, "bad", "message/out", 14 * (int64_t)MINUTE)); /* counted anew */
    assert_false(svi_blame_end(&b, "bad", "message/out", 14 * (int64_t)MINUTE));
    assert_true(svi_blame_end(&b, "bad", "message/out", 14 * (int64_t)MINUTE));
    svi_blame_free(&b);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

static void bounded(void **state)
{
    (void)state;
    svi_blame b;
    svi_blame_init(&b, &acct);
    for (unsigned i = 0; i < SVI_BLAME_MAX + 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "m%u", i);
        (void)svi_blame_end(&b, name, "start", i + 1);
    }
    assert_null(of(&b, "m0")); /* blamed longest ago */
    assert_null(of(&b, "m3"));
    assert_non_null(of(&b, "m4"));
    assert_non_null(of(&b, "m19"));
    svi_blame_free(&b);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(three_in_ten_minutes), cmocka_unit_test(bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
