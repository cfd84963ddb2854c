/* The scripts in doc/lua.md do what the page says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mods/mods_script_world_test.h"

/* The block whose head has that summary, as a script of that name in the world's folder. */
static void write_block(world *w, const char *summary, const char *name)
{
    static char page[65536];
    char path[TESTING_PATH], block[4096], begin[200];
    testing_path("../../doc/lua.md", path);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
    snprintf(begin, sizeof begin, "```lua\nsv.script {summary = \"%s\"", summary);
    const char *from = strstr(page, begin);
    if (from == NULL) fail_msg("doc/lua.md has no block that begins with %s", begin);
    from += strlen("```lua\n");
    const char *to = strstr(from, "```");
    assert_non_null(to);
    assert_in_range(to - from, 10, sizeof block - 1);
    snprintf(block, sizeof block, "%.*s", (int)(to - from), from);
    write_script(w, name, block);
}

static void notes(void **state)
{
    (void)state;
    world *w = script_world();
    write_block(w, "Notes that accounts leave", "note");
    start_scripts(w, "\"note\"", "note_length = 10");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    const char *const ask = "<iq type='get' id='1' to='a@one.example'><note xmlns='urn:example:note'/></iq>";
    say(w, b, ask);
    assert_has(&b->in, "item-not-found");
    say(w, a, "<iq type='set' id='2'><note xmlns='urn:example:note'>back soon, or later</note></iq>");
    assert_has(&a->in, "not-acceptable");
    assert_has(&a->in, "The note is too long.");
    say(w, a, "<iq type='set' id='3'><note xmlns='urn:example:note'>back soon</note></iq>");
    assert_has(&a->in, "type='result'");
    say(w, b, ask);
    assert_has(&b->in, "<note xmlns='urn:example:note'>back soon</note>");
    assert_has_not(&w->log, "script-error");
    remove_script(w, "note");
    world_free(w);
}

static void counts(void **state)
{
    (void)state;
    world *w = script_world();
    write_block(w, "A counter that operators ask for", "counted");
    start_scripts(w, "\"counted\"", "counted_kinds = { \"chat\" }");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, "<message type='chat' to='b@one.example/r'/>");
    say(w, a, "<message type='normal' to='b@one.example/r'/>");
    assert_has(&b->in, "normal");
    assert_non_null(strstr(run_command(w, "counted show", ""), "\"count\":1"));
    remove_script(w, "counted");
    world_free(w);
}

static void saves(void **state)
{
    (void)state;
    world *w = script_world();
    write_block(w, "Counts what it has seen, over reloads", "seen");
    start_scripts(w, "\"seen\"", "");
    client *a = join(w, "a@one.example/r");
    for (int generation = 1; generation <= 2; generation++) {
        say(w, a, "<message to='b@one.example/r'/>");
        const sv_str names[] = {SV_STR_INIT("seen")};
        const svi_mods_reloading how = {.names = names, .count = 1, .report = w_report, .report_ctx = w};
        svi_mods_reloaded reloaded;
        if (generation == 2) { /* a generation that tells what it was given */
            remove_script(w, "seen");
            write_script(w, "seen", "sv.script {summary = 'tells'}\nsv.start(function() sv.log('info', 'given', {count = sv.saved().count}) end)\n");
        }
        if (svi_mods_reload(w->mods, &how, &reloaded) != SV_OK) fail_msg("%.*s", (int)w->reports.len, w->reports.data);
    }
    assert_has(&w->log, "given count=2");
    remove_script(w, "seen");
    world_free(w);
}

static void asks(void **state)
{
    (void)state;
    world *w = script_world();
    write_block(w, "Asks a gateway who somebody is", "gate");
    start_scripts(w, "\"gate\"", "");
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    say(w, a, "<message type='chat' to='b@one.example'><body>hello</body></message>");
    assert_has(&a->in, "not-authorized"); /* what the answer for a domain that is not reached leads to */
    assert_has_not(&w->log, "script-error");
    remove_script(w, "gate");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notes),
        cmocka_unit_test(counts),
        cmocka_unit_test(saves),
        cmocka_unit_test(asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
