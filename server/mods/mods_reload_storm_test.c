/* Generations of modules for long, and under load: nothing is lost and nothing is left. */
#include "mods/mods_world_test.h"

#define HOST(modules) "VirtualHost \"one.example\"\nmodules_enabled = { " modules " }\n"
#define ASK_MISC "<iq type='get' id='1' to='one.example'><misc xmlns='urn:stave:probe'/></iq>"
#define ASK_LIST "<iq type='get' id='g' to='one.example'><list xmlns='urn:stave:probe'/></iq>"
#define ASK_SESSION "<iq type='set' id='s' to='one.example'><session xmlns='urn:stave:probe'/></iq>"
#define ASK_HELLO "<iq type='get' id='h' to='one.example'><ask xmlns='urn:stave:hello'/></iq>"

static const char *const variants[] = {
    HOST("\"probe\", \"hello\""),
    HOST("\"probe\", \"hello\"") "probe_words = { \"a\", \"b\" }\nhello_word = \"x\"\n",
    HOST("\"hello\""),
    HOST("\"probe\""),
};

static void a_thousand_leave_nothing(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, variants[0]);
    client *c = join(w, "romeo@one.example/a");
    int64_t before = 0;
    for (int i = 0; i < 1000; i++) {
        reloaded(w, variants[i % 4]);
        say(w, c, ASK_HELLO);
        say(w, c, ASK_MISC);
        svi_buf_free(&w->log);
        svi_buf_free(&c->in);
        if (i == 39) before = live(w); /* caches are warm, all files loaded */
    }
    assert_int_equal(live(w), before);
    world_free(w);
}

/* Every request is answered once, whatever takes whose place meanwhile. */
static void nothing_is_lost_under_load(void **state)
{
    (void)state;
    static const char *const requests[] = {ASK_LIST, ASK_MISC, ASK_SESSION, ASK_HELLO,
                                           "<message type='chat' id='drop' to='one.example'/>"};
    world *w = world_new();
    start(w, variants[0]);
    client *clients[] = {join(w, "romeo@one.example/a"), join(w, "romeo@one.example/b"),
                         join(w, "juliet@one.example/c")};
    size_t asked = 0;
    for (int round = 0; round < 200; round++) {
        svi_engine_sim_plan(w->engine)->hold = round % 3 != 0;
        for (size_t i = 0; i < 3; i++) {
            const char *request = requests[(size_t)round * 7 % 5 + i < 5 ? (size_t)round * 7 % 5 + i : i];
            const ssize_t n = clients[i]->link->ops->write(clients[i]->link, request, strlen(request));
            assert_int_equal(n, strlen(request));
            asked += request[1] == 'i';
        }
        turn(w);
        svi_engine_sim_step(w->engine, (unsigned)round % 2);
        reloaded(w, variants[round % 4]);
    }
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 1000);
    turn(w);
    size_t answered = 0;
    for (size_t i = 0; i < 3; i++)
        answered += count_of(&clients[i]->in, "<iq ");
    assert_int_equal(answered, asked);
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_leave_nothing),
        cmocka_unit_test(nothing_is_lost_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
