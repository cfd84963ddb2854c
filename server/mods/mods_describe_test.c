/* What is told of a module's file, good or refused. */
#include "mods/mods_describe.h"

#include "mods/mods_testing.h"

static json_t *describe(svi_acct *acct, const char *below)
{
    char path[TESTING_PATH];
    testing_path(below, path);
    json_t *answer = svi_mods_describe(acct, path);
    assert_non_null(answer);
    assert_string_equal(json_string_value(json_object_get(answer, "file")), path);
    return answer;
}

static const char *text_of(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    if (text == NULL) fail_msg("there is no %s", name);
    return text;
}

/* The member of a list whose `name` is `value`. */
static json_t *with(const json_t *list, const char *name, const char *value)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(text_of(item, name), value) == 0) return item;
    }
    fail_msg("nothing has the %s %s", name, value);
    return NULL;
}

static bool holds(const json_t *list, const char *word)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(json_string_value(item), word) == 0) return true;
    }
    return false;
}

static void good_modules_are_told_whole(void **state)
{
    (void)state;
    svi_acct acct = {.name = "test"};
    json_t *roster = describe(&acct, "modules/roster.so");
    assert_true(json_is_true(json_object_get(roster, "ok")));
    assert_string_equal(text_of(roster, "name"), "roster");
    assert_string_equal(text_of(roster, "interface"), "0.1");
    assert_string_equal(text_of(roster, "stream-features"), "<ver xmlns='urn:xmpp:features:rosterver'/>");
    const json_t *hook = with(json_object_get(roster, "hooks"), "on", "iq-set/self {jabber:iq:roster}query");
    assert_string_equal(text_of(hook, "band"), "normal");
    assert_true(holds(json_object_get(hook, "flags"), "guard"));
    assert_true(holds(json_object_get(hook, "flags"), "stores"));
    (void)with(json_object_get(roster, "options"), "name", "roster_max_items");
    (void)with(json_object_get(roster, "commands"), "name", "roster show");
    assert_true(holds(json_object_get(roster, "calls"), "qsort"));
    assert_false(holds(json_object_get(roster, "calls"), "sv_module_entry"));
    assert_true(json_integer_value(json_object_get(roster, "self-bytes")) > 0);
    json_decref(roster);

    json_t *presence = describe(&acct, "modules/presence.so");
    assert_true(holds(json_object_get(presence, "needs"), "roster"));
    json_decref(presence);
    json_t *unruly = describe(&acct, "tests/mods/unruly.so");
    hook = with(json_object_get(unruly, "hooks"), "on", "iq-get/host {urn:stave:unruly}open");
    assert_true(holds(json_object_get(hook, "flags"), "open"));
    json_decref(unruly);
    json_t *needs = describe(&acct, "tests/mods/needs.so");
    assert_string_equal(text_of(needs, "groups"), "store 1,commands 1, hooks 1");
    assert_true(holds(json_object_get(needs, "needs"), "probe"));
    json_decref(needs);
    json_t *gens = describe(&acct, "tests/mods/gens.so");
    hook = with(json_object_get(gens, "hooks"), "on", "iq-get/host {urn:stave:gens}stay");
    assert_true(holds(json_object_get(hook, "flags"), "finishes"));
    assert_true(json_is_false(json_object_get(gens, "engine")));
    json_decref(gens);
    json_t *store = describe(&acct, "tests/mods/bad_store.so");
    assert_true(json_is_true(json_object_get(store, "engine")));
    const json_t *starts = with(json_object_get(store, "metrics"), "name", "bad_store_starts");
    assert_string_equal(text_of(starts, "kind"), "counter");
    assert_int_equal(json_integer_value(json_object_get(store, "shared-bytes")), sizeof(int));
    json_decref(store);
    json_t *ping = describe(&acct, "modules/ping.so");
    assert_true(holds(json_object_get(ping, "features"), "urn:xmpp:ping"));
    json_decref(ping);
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

static void bad_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"tests/mods/bad_tls.so", "it has thread-local variables"},
        {"tests/mods/bad_constructor.so", "it has a constructor"},
        {"tests/mods/bad_abi.so", "made for module interface 9.0, this server has 0.1"},
        {"tests/mods/bad_point.so", "did you mean \"message/account\"?"},
        {"tests/mods/bad_command.so", "bad command"},
        {"tests/mods/bad_features.so", "its stream features are not XML elements"},
        {"tests/mods/no_such.so", "it can't be opened: No such file or directory"},
        {"tests/mods", "the file of a module is called NAME.so"},
        {"tests/mods/.so", "the file of a module is called NAME.so"},
        {"stave", "the file of a module is called NAME.so"},
    };
    svi_acct acct = {.name = "test"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *answer = describe(&acct, bad[i][0]);
        assert_true(json_is_false(json_object_get(answer, "ok")));
        if (strstr(text_of(answer, "error"), bad[i][1]) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", bad[i][0], text_of(answer, "error"), bad[i][1]);
        assert_null(json_object_get(answer, "hooks"));
        json_decref(answer);
    }
    assert_int_equal(atomic_load(&acct.live_count), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_modules_are_told_whole),
        cmocka_unit_test(bad_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
