/* The stage's hosts are those it was told of, and other configurations take their place while it runs. */
#include "stage.h"

#include "base/base_testing.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static svi_acct test_acct = {.name = "stage"}; /* lint: allow global (the tests' one account) */

static const svi_stage_host three[] = {
    {"a.example", "offline_max_messages = 5\n"}, {"b.example", ""}, {"c.example", "modules_enabled = { \"ping\" }\n"}};

/* build/KIND/modules, where the test lies in build/KIND/sdk/stage. */
static const char *modules_dir(char *to, size_t bytes)
{
    const ssize_t n = readlink("/proc/self/exe", to, bytes - 1);
    assert_true(n > 0);
    to[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(to, '/') = 0;
    (void)snprintf(to + strlen(to), bytes - strlen(to), "/modules");
    return to;
}

static svi_stage *open_stage(const char *const *dir)
{
    const svi_stage_config config = {.core = &test_acct,
                                     .peers = &test_acct,
                                     .paths = dir,
                                     .path_count = 1,
                                     .seed = 1,
                                     .hosts = three,
                                     .host_count = 3,
                                     .window_bytes = 100};
    svi_stage *stage = svi_stage_new(&config);
    assert_true(svi_stage_start(stage));
    return stage;
}

static void close_stage(svi_stage *stage)
{
    svi_stage_free(&stage);
    assert_int_equal(atomic_load(&test_acct.live_bytes), 0);
}

static bool is_served(svi_stage *stage, const char *domain)
{
    return svi_host_find(svi_stage_server(stage), sv_str_of(domain)) != NULL;
}

/* Modules on a host, by the loader. */
static unsigned count_modules(svi_stage *stage, const char *domain)
{
    svi_mod_info info;
    unsigned count = 0;
    for (size_t i = 0; svi_mods_info(svi_stage_mods(stage), i, &info); i++) count += strcmp(info.host, domain) == 0;
    return count;
}

static void hosts_are_those_of_the_config(void **state)
{
    (void)state;
    char path[1100];
    const char *dir = modules_dir(path, sizeof path);
    svi_stage *stage = open_stage(&dir);
    assert_true(is_served(stage, "a.example") && is_served(stage, "c.example"));
    assert_false(is_served(stage, "localhost"));
    assert_int_equal(count_modules(stage, "a.example"), 10);
    assert_int_equal(count_modules(stage, "c.example"), 1);
    svi_link *link = svi_stage_connect(stage); /* a small window */
    char text[200];
    memset(text, ' ', sizeof text);
    assert_int_equal(link->ops->write(link, text, sizeof text), 100);
    link->ops->close(link);
    close_stage(stage);
}

static void another_configuration_is_taken_over(void **state)
{
    (void)state;
    char path[1100];
    const char *dir = modules_dir(path, sizeof path);
    svi_stage *stage = open_stage(&dir);
    svi_buf why;
    svi_buf_init(&why, &test_acct);
    assert_true(svi_stage_reconfigure(stage, three, 2, &why));
    assert_true(is_served(stage, "b.example"));
    assert_false(is_served(stage, "c.example"));
    assert_true(svi_stage_reconfigure(stage, three, 3, &why));
    assert_true(is_served(stage, "c.example"));
    assert_int_equal(why.len, 0);
    svi_buf_free(&why);
    close_stage(stage);
}

static void a_wrong_one_changes_nothing(void **state)
{
    (void)state;
    char path[1100];
    const char *dir = modules_dir(path, sizeof path);
    static const svi_stage_host wrong[] = {{"a.example", "modules_enabled = { \"nowhere\" }\n"}};
    svi_stage *stage = open_stage(&dir);
    svi_buf why;
    svi_buf_init(&why, &test_acct);
    assert_false(svi_stage_reconfigure(stage, wrong, 1, &why));
    assert_non_null(memmem(why.data, why.len, "nowhere", 7));
    assert_true(is_served(stage, "c.example"));
    assert_int_equal(count_modules(stage, "a.example"), 10);
    assert_string_equal(svi_stage_problem(stage), "");
    svi_stage_kill(stage); /* what runs next has the hosts of before */
    assert_true(svi_stage_start(stage));
    assert_true(is_served(stage, "c.example"));
    svi_buf_free(&why);
    close_stage(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_are_those_of_the_config),
        cmocka_unit_test(another_configuration_is_taken_over),
        cmocka_unit_test(a_wrong_one_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
