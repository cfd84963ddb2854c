/* The generated table of bindings: it has each function of the module table, and what glue needs of each. */
#include "script/script_bindings.h"

#include <stave/module.h>

#include "base/base_testing.h"

enum { FIRST = offsetof(sv_api, now_s) };

static const svi_binding *find(const char *member)
{
    for (size_t i = 0; i < svi_binding_count; i++)
        if (strcmp(svi_bindings[i].member, member) == 0) return &svi_bindings[i];
    fail_msg("no binding for %s", member);
    return NULL;
}

static size_t count_role(const svi_binding *binding, svi_role role)
{
    size_t count = 0;
    for (size_t i = 0; i < binding->value_count; i++) count += binding->values[i].role == role;
    return count;
}

/* Each pointer of the table in its place, none left out, none twice. */
static void test_has_each_function(void **state)
{
    (void)state;
    assert_int_equal(FIRST + svi_binding_count * sizeof(void (*)(void)), sizeof(sv_api));
    for (size_t i = 0; i < svi_binding_count; i++)
        assert_int_equal(svi_bindings[i].offset, FIRST + i * sizeof(void (*)(void)));
}

static void test_says_what_it_takes(void **state)
{
    (void)state;
    for (size_t i = 0; i < svi_binding_count; i++) {
        const svi_binding *binding = &svi_bindings[i];
        assert_true(binding->mark >= SVI_MARK_LOCAL && binding->mark <= SVI_MARK_NATIVE);
        assert_true(binding->since >= 1 && binding->since <= SV_ABI_MINOR && binding->group[0] != '\0');
        if (binding->owner == NULL) continue;
        assert_true(binding->value_count <= SVI_BINDING_VALUES_MAX && binding->given_count <= SVI_BINDING_GIVEN_MAX);
        assert_non_null(strstr(binding->signature, binding->name));
        const bool is_method = strcmp(binding->owner, "sv") != 0;
        assert_int_equal(count_role(binding, SVI_ROLE_RECEIVER), is_method);
        assert_int_equal(count_role(binding, SVI_ROLE_CALLBACK), binding->yields);
        for (size_t v = 0; v < binding->value_count; v++)
            assert_true(binding->values[v].kind >= SVI_LUA_STR && binding->values[v].role >= SVI_ROLE_GIVEN);
    }
}

static void test_names_are_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < svi_binding_count; i++)
        for (size_t k = 0; k < i; k++) {
            const svi_binding *a = &svi_bindings[i], *b = &svi_bindings[k];
            if (a->owner == NULL || b->owner == NULL || strcmp(a->owner, b->owner) != 0) continue;
            if (strcmp(a->name, b->name) == 0) fail_msg("%s:%s twice", a->owner, a->name);
        }
}

/* In C: void rows_load(sv_event *ev, sv_store *store, sv_str owner, sv_rows_fn done). */
static void test_of_one_that_waits(void **state)
{
    (void)state;
    const svi_binding *load = find("rows_load");
    assert_string_equal(load->owner, "event");
    assert_true(load->yields && load->mark == SVI_MARK_MESSAGE);
    assert_int_equal(load->value_count, 4);
    assert_int_equal(load->values[1].kind, SVI_LUA_STORE);
    assert_int_equal(load->values[2].kind, SVI_LUA_STR);
    assert_int_equal(load->values[3].role, SVI_ROLE_CALLBACK);
    assert_int_equal(load->given[0].kind, SVI_LUA_ROWS);
    assert_true(load->given[0].may_be_nil && !load->given[1].may_be_nil);
    assert_int_equal(load->given[1].kind, SVI_LUA_STATUS);
}

/* In C: bool row_next(const sv_rows *rows, sv_str *key, sv_str *value_out). */
static void test_of_one_that_walks(void **state)
{
    (void)state;
    const svi_binding *next = find("row_next");
    assert_string_equal(next->owner, "rows");
    assert_string_equal(next->name, "next");
    assert_int_equal(next->values[1].role, SVI_ROLE_BOTH);
    assert_int_equal(next->values[2].role, SVI_ROLE_RESULT);
    assert_int_equal(next->given_count, 2);
}

static void test_of_one_that_is_not_open(void **state)
{
    (void)state;
    const svi_binding *data = find("session_data");
    assert_null(data->owner);
    assert_int_equal(data->mark, SVI_MARK_NATIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_has_each_function),   cmocka_unit_test(test_says_what_it_takes),
        cmocka_unit_test(test_names_are_unique),    cmocka_unit_test(test_of_one_that_waits),
        cmocka_unit_test(test_of_one_that_walks),   cmocka_unit_test(test_of_one_that_is_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
