/* Misdeeds of a module that the worker outlives: each request is answered once, the module is blamed, others go on. The suite
 * zoo does the same to real servers, and what the worker does not outlive. */
#include "mods/mods_world_test.h"

#define ONE "VirtualHost \"one.example\"\nmodules_enabled = { \"roster\", \"message\", \"ping\", \"zoo\" }\n"

static void misdeeds(void **state)
{
    (void)state;
    static const struct {
        const char *what, *type, *holds, *logged;
    } cases[] = {
        {"answer-twice", "result", "value='1'", "a request is answered once"},
        {"refuse-too", "result", "value='1'", "a request is answered once"},
        {"done-without-answer", "error", "<internal-server-error ", "handler-fault"},
        {"later-twice", "result", "value='1'", NULL}, /* what comes behind the answer is not called */
        {"answer-twice-behind", "result", "value='1'", "a request is answered once"},
        {"pass-too", "result", "value='1'", "only a waiting event is passed on"},
        {"monitor-acts", "result", "value='0'", "a MONITOR handler only looks"},
        {"fire", "result", "<done ", "hooks fire hooks at most 16 deep"},
        {"write-elsewhere", "result", "value='-10'", "a module opens maps of those only that it names in `after`"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        world *w = world_new();
        svi_ledger_set_strict(svi_server_ledger(w->server), false); /* as in production */
        start(w, ONE);
        client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
        svi_buf_clear(&w->log);
        snprintf(text, sizeof text, "<iq type='set' id='z' to='one.example'><do xmlns='urn:stave:zoo' what='%s'/></iq>",
                 cases[i].what);
        say(w, romeo, text);
        snprintf(text, sizeof text, "type='%s'", cases[i].type);
        assert_has(&romeo->in, text);
        assert_has(&romeo->in, cases[i].holds);
        assert_int_equal(count_of(&romeo->in, "id='z'"), 1);
        if (cases[i].logged) {
            assert_has(&w->log, cases[i].logged);
            assert_has(&w->log, "zoo");
        } else {
            assert_int_equal(w->log.len, 0);
        }
        say(w, romeo, "<message to='juliet@one.example/y' id='m'><body>x</body></message>");
        assert_int_equal(count_of(&juliet->in, "id='m'"), 1);
        assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
        world_free(w);
    }
}

/* Who asked what is never answered waits until the deadline; others do not. */
static void an_answer_that_never_comes(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, ONE);
    client *romeo = join(w, "romeo@one.example/x"), *juliet = join(w, "juliet@one.example/y");
    say(w, romeo, "<iq type='set' id='z' to='one.example'><do xmlns='urn:stave:zoo' what='never'/></iq>");
    say(w, juliet, "<message to='romeo@one.example/x' id='m'><body>x</body></message>");
    assert_has(&romeo->in, "id='m'");
    assert_has_not(&romeo->in, "id='z'");
    pass_time(w, 61000000);
    assert_int_equal(count_of(&romeo->in, "id='z'"), 1);
    assert_has(&romeo->in, "<internal-server-error ");
    assert_has(&w->log, "event-timeout");
    assert_has(&w->log, "by=zoo");
    world_free(w);
}

/* What the operator allows a module is not its own to say. */
static void a_budget_is_the_operators(void **state)
{
    (void)state;
    world *w = world_new();
    assert_start_fails(w, "\"zoo_budget\"", "option \"zoo_budget_memory_max\": the server has an option of that name");
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misdeeds),
        cmocka_unit_test(an_answer_that_never_comes),
        cmocka_unit_test(a_budget_is_the_operators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
