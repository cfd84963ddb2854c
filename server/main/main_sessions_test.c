/* `stave sessions` and `stave kick`: pages, hosts, sessions that go meanwhile. */
#include "main/main_command.h"

#include "mods/mods_world_test.h"

static void run_core(void *ctx, svi_request *request)
{
    svi_core_find(sv_str_of(svi_request_args(request)->command->name))->run(ctx, request);
}

static command_answer answered;

/* Asks and returns the answer's text; `members` are those of the request, with ' for ". */
static const char *ask(world *w, const char *name, const char *members)
{
    char text[500];
    snprintf(text, sizeof text, "{%s}", members);
    for (char *at = text; *at; at++)
        if (*at == '\'') *at = '"';
    json_t *request = json_loads(text, 0, NULL);
    assert_non_null(request);
    json_decref(answered.json);
    answered = (command_answer){.count = 0};
    svi_request_run(w->server, &svi_core_find(sv_str_of(name))->what, request, run_core, NULL,
                    command_came, &answered);
    json_decref(request);
    turn(w);
    assert_int_equal(answered.count, 1);
    return answered.text;
}

/* The addresses of the rows, with a blank behind each. */
static const char *addresses(void)
{
    static char text[2000];
    text[0] = '\0';
    const json_t *rows = json_object_get(answered.json, "rows");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s ",
                 json_string_value(json_object_get(json_array_get(rows, i), "address")));
    }
    return text;
}

static void leave_world(world *w)
{
    json_decref(answered.json);
    answered.json = NULL;
    world_free(w);
}

static world *busy_world(client *clients[4])
{
    world *w = world_new();
    add_host(w, "two.example");
    start(w, "VirtualHost \"one.example\"\nVirtualHost \"two.example\"\n");
    clients[0] = join(w, "a@one.example/1");
    clients[1] = join(w, "b@two.example/1");
    clients[2] = join(w, "a@one.example/2");
    clients[3] = join(w, "c@one.example/1");
    return w;
}

static void lists(void **state)
{
    (void)state;
    client *clients[4];
    world *w = busy_world(clients);
    pass_time(w, 5000000);
    (void)ask(w, "sessions", "");
    assert_string_equal(addresses(), "a@one.example/1 b@two.example/1 a@one.example/2 c@one.example/1 ");
    const json_t *row = json_array_get(json_object_get(answered.json, "rows"), 0);
    assert_int_equal(json_integer_value(json_object_get(row, "silent")), 5000);
    assert_string_equal(json_string_value(json_object_get(row, "show")), "unavailable");
    (void)ask(w, "sessions", "'host':'two.example'");
    assert_string_equal(addresses(), "b@two.example/1 ");
    (void)ask(w, "sessions", "'user':'A@one.example'");
    assert_string_equal(addresses(), "a@one.example/1 a@one.example/2 ");
    assert_non_null(strstr(ask(w, "sessions", "'host':'three.example'"), "no host of this server"));
    (void)ask(w, "sessions", "'user':'nobody@one.example'");
    assert_string_equal(addresses(), "");
    part(w, clients[1]);
    (void)ask(w, "sessions", "");
    assert_string_equal(addresses(), "a@one.example/1 a@one.example/2 c@one.example/1 ");
    part(w, clients[0]);
    part(w, clients[3]);
    (void)ask(w, "sessions", "");
    assert_string_equal(addresses(), "a@one.example/2 ");
    leave_world(w);
}

/* A page begins behind a session, also behind one that has gone, and behind nonsense from the front. */
static void goes_on(void **state)
{
    (void)state;
    client *clients[4];
    world *w = busy_world(clients);
    char from[100];
    const sv_session *b = svi_session_find(w->server, SV_STR("b@two.example/1"));
    snprintf(from, sizeof from, "'from':'%llu b@two.example/1'", (unsigned long long)svi_session_number(b));
    (void)ask(w, "sessions", from);
    assert_string_equal(addresses(), "a@one.example/2 c@one.example/1 ");
    part(w, clients[1]);
    (void)ask(w, "sessions", from);
    assert_string_equal(addresses(), "a@one.example/2 c@one.example/1 ");
    client *again = join(w, "b@two.example/1"); /* the same address, but a later session */
    (void)ask(w, "sessions", from);
    assert_string_equal(addresses(), "a@one.example/2 c@one.example/1 b@two.example/1 ");
    part(w, again);
    (void)ask(w, "sessions", "'from':'nonsense'");
    assert_string_equal(addresses(), "a@one.example/1 a@one.example/2 c@one.example/1 ");
    leave_world(w);
}

/* Every session comes once, whatever the size of the pages and how few of them are meant. */
static void turns_pages(void **state)
{
    (void)state;
    client *clients[4];
    world *w = busy_world(clients);
    client *more[] = {join(w, "d@two.example/1"), join(w, "e@one.example/1")};
    char request[200] = "'host':'one.example'", all[500] = "";
    size_t pages = 0;
    for (bool is_over = false; !is_over; pages++) {
        assert_in_range(pages, 0, 20);
        (void)ask(w, "sessions", request);
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s", addresses());
        const char *from = json_string_value(json_object_get(answered.json, "more"));
        is_over = from == NULL;
        if (from) snprintf(request, sizeof request, "'host':'one.example','from':'%s'", from);
    }
    assert_string_equal(all, "a@one.example/1 a@one.example/2 c@one.example/1 e@one.example/1 ");
#ifdef SVI_DEBUG
    assert_in_range(pages, 2, 20);
#endif
    assert_non_null(more[0]);
    leave_world(w);
}

static void kicks(void **state)
{
    (void)state;
    client *clients[4];
    world *w = busy_world(clients);
    (void)ask(w, "kick", "'address':'a@one.example/2','reason':'why'");
    assert_string_equal(addresses(), "a@one.example/2 ");
    assert_has(&clients[2]->in, "<policy-violation ");
    assert_has(&w->log, "session-kicked jid=a@one.example/2 reason=why");
    assert_null(svi_session_find(w->server, SV_STR("a@one.example/2")));
    assert_non_null(svi_session_find(w->server, SV_STR("a@one.example/1")));
    client *other = join(w, "a@one.example/3");
    (void)ask(w, "kick", "'address':'a@one.example'");
    assert_string_equal(addresses(), "a@one.example/1 a@one.example/3 ");
    assert_has(&other->in, "<policy-violation ");
    assert_non_null(strstr(ask(w, "kick", "'address':'a@one.example'"), "\"class\":\"not-found\""));
    assert_non_null(strstr(ask(w, "kick", "'address':'c@one.example/none'"), "is not logged in"));
    assert_non_null(svi_session_find(w->server, SV_STR("c@one.example/1")));
    leave_world(w);
}

/* Its last sessions may still be ending. */
static void shows_removed_hosts(void **state)
{
    (void)state;
    client *clients[4];
    svi_host *never;
    sv_err err;
    world *w = busy_world(clients);
    assert_int_equal(svi_host_prepare(w->server, SV_STR("three.example"), &never, &err), SV_OK);
    svi_host_retire(svi_host_find(w->server, SV_STR("two.example")));
    json_t *request = json_pack("{s:s}", "host", "Two.Example");
    json_decref(answered.json);
    answered = (command_answer){.count = 0}; /* before its sessions have ended */
    svi_request_run(w->server, &svi_core_find(SV_STR("sessions"))->what, request, run_core, NULL, command_came,
                    &answered);
    json_decref(request);
    assert_string_equal(addresses(), "b@two.example/1 ");
    turn(w);
    (void)ask(w, "sessions", "'host':'two.example'");
    assert_string_equal(addresses(), "");
    (void)ask(w, "sessions", "'user':'b@two.example'");
    assert_string_equal(addresses(), "");
    assert_true(json_is_true(json_object_get(answered.json, "ok")));
    assert_non_null(strstr(ask(w, "sessions", "'host':'three.example'"), "no host of this server")); /* nor was it one */
    assert_non_null(strstr(ask(w, "kick", "'address':'b@two.example'"), "no host of this server"));
    leave_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(goes_on),
        cmocka_unit_test(turns_pages),
        cmocka_unit_test(kicks),
        cmocka_unit_test(shows_removed_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
