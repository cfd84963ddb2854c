/* `stave explain` and `stave ledger`: what became of stanzas that passed the real modules. */
#include "main/main_command.h"
#include "main/main_explain.h"

#include "mods/mods_world_test.h"
#include "xmpp/xmpp_account.h"

#define CONFIG                                                                                                        \
    "VirtualHost \"one.example\"\nmodules_enabled = { \"roster\", \"presence\", \"message\", \"offline\", \"ping\" }\n"

static world *new_world(const char *config)
{
    world *w = world_new();
    svi_server_set_explain(w->server, 1 << 16);
    start(w, config);
    return w;
}

/* Nothing is left open, for nobody. */
static void end_world(world *w)
{
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    world_free(w);
}

static void account_made(void *ctx, sv_status status)
{
    *(sv_status *)ctx = status;
}

static void add_user(world *w, const char *name)
{
    svi_scram_keys keys;
    sv_status status = SV_EIO;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys), SV_OK);
    svi_account_set(svi_host_find(w->server, SV_STR("one.example")), sv_str_of(name), &keys, 1, false, account_made, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
}

static void hold_store(world *w, bool hold)
{
    svi_engine_sim_plan(w->engine)->hold = hold;
    if (hold) return;
    svi_engine_sim_step(w->engine, 1000);
    pass_time(w, 10000);
}

/* --- asking ------------------------------------------------------------------------------------------- */

static json_t *answered;

static const json_t *stanzas_of(world *w, const char *what, const char *kind, size_t count, uint64_t before)
{
    json_decref(answered);
    answered = svi_explain(w->server, sv_str_of(what), sv_str_of(kind), count, before);
    return json_object_get(answered, "stanzas");
}

/* The one that has the id. */
static const json_t *the(world *w, const char *what)
{
    const json_t *list = stanzas_of(w, what, "", 10, 0);
    if (json_array_size(list) != 1) fail_msg("%zu of %s: %s", json_array_size(list), what, json_dumps(list, 0));
    return json_array_get(list, 0);
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value != NULL ? value : "";
}

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* The way in short: "point:message/out asked:roster:pass waits sent:A disposed:stored". */
static const char *way(const json_t *s)
{
    static const char *const more[] = {"point", "module", "verdict", "session", "why", "outcome", "rule", "to"};
    static char all[4000];
    const json_t *step;
    size_t i;
    all[0] = '\0';
    json_array_foreach(json_object_get(s, "way"), i, step)
    {
        size_t n = strlen(all);
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? " | " : "", text(step, "step"));
        for (size_t k = 0; k < sizeof more / sizeof *more; k++)
            if (*text(step, more[k])) n += (size_t)snprintf(all + n, sizeof all - n, " %s", text(step, more[k]));
    }
    return all;
}

static void assert_way(const json_t *s, const char *part_of)
{
    if (strstr(way(s), part_of) == NULL) fail_msg("\"%s\" does not hold \"%s\"", way(s), part_of);
}

static const json_t *step_of(const json_t *s, const char *step)
{
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(s, "way"), i, one) if (strcmp(text(one, "step"), step) == 0) return one;
    fail_msg("no step %s: %s", step, way(s));
    return NULL;
}

/* --- ways --------------------------------------------------------------------------------------------- */

static void a_message(void **state)
{
    (void)state;
    world *w = new_world(CONFIG);
    client *romeo = join(w, "romeo@one.example/a"), *juliet = join(w, "juliet@one.example/b");
    say(w, juliet, "<presence/>");
    svi_plat_virtual_advance(&w->plat, 2500000);
    say(w, romeo,
        "<message id='m1' type='chat' to='Juliet@ONE.example'><body>o swear not by the moon</body>"
        "<origin-id xmlns='urn:xmpp:sid:0' id='o1'/></message>");
    const json_t *s = the(w, "m1");
    assert_string_equal(text(s, "time"), "2026-01-01T00:00:02.500Z");
    assert_string_equal(text(s, "element"), "message");
    assert_string_equal(text(s, "type"), "chat");
    assert_string_equal(text(s, "from"), "romeo@one.example/a");
    assert_string_equal(text(s, "to"), "juliet@one.example"); /* as it was prepared */
    assert_string_equal(text(s, "origin"), "received");
    assert_string_equal(text(s, "outcome"), "handed-over");
    assert_true(json_is_true(json_object_get(s, "is-whole")) && json_object_get(s, "caused-by") == NULL);
    assert_way(s, "point stanza/inbound | point message/out");
    assert_way(s, "point message/account");
    assert_way(s, "sent juliet@one.example/b | asked message done | disposed handed-over");
    assert_string_equal(text(step_of(s, "asked"), "hook"), "message/account");
    char line[32];
    (void)snprintf(line, sizeof line, "stanza=%d", (int)number(s, "stanza"));
    assert_string_equal(text(the(w, "o1"), "id"), "m1");
    assert_string_equal(text(the(w, line), "id"), "m1");
    assert_int_equal(json_array_size(stanzas_of(w, "juliet@one.example", "message", 10, 0)), 1);
    assert_int_equal(json_array_size(stanzas_of(w, "juliet@one.example/b", "message", 10, 0)), 1); /* it went there */
    assert_int_equal(json_array_size(stanzas_of(w, "juliet@one.example/c", "", 10, 0)), 0);
    assert_int_equal(json_array_size(stanzas_of(w, "stanza=99999", "", 10, 0)), 0);
    (void)the(w, "m1");
    char *all = json_dumps(answered, 0);
    assert_null(strstr(all, "swear")); /* architecture 11: never a body */
    free(all);
    end_world(w);
}

static void what_it_caused(void **state)
{
    (void)state;
    world *w = new_world(CONFIG);
    client *romeo = join(w, "romeo@one.example/a");
    say(w, romeo, "<message id='far' to='x@far.example'><body>x</body></message>");
    const json_t *list = stanzas_of(w, "far", "", 10, 0);
    assert_int_equal(json_array_size(list), 2); /* the newest first: the error has the id, too */
    const json_t *error = json_array_get(list, 0), *s = json_array_get(list, 1);
    assert_string_equal(text(s, "outcome"), "bounced");
    assert_string_equal(text(error, "error"), "remote-server-not-found");
    assert_string_equal(text(error, "origin"), "made-answer");
    assert_int_equal(number(error, "caused-by"), number(s, "stanza"));
    assert_int_equal(number(s, "caused-count"), 1);
    const json_t *child = json_array_get(json_object_get(s, "caused"), 0);
    assert_int_equal(number(child, "stanza"), number(error, "stanza"));
    assert_string_equal(text(child, "error"), "remote-server-not-found");
    assert_string_equal(text(child, "session"), "romeo@one.example/a");
    assert_string_equal(text(child, "outcome"), "handed-over");
    /* refused before any handler was asked */
    say(w, romeo, "<message id='bad' to='@'><body>x</body></message>");
    list = stanzas_of(w, "bad", "", 10, 0);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(text(json_array_get(list, 1), "outcome"), "refused");
    assert_int_equal(number(json_array_get(list, 0), "caused-by"), number(json_array_get(list, 1), "stanza"));
    end_world(w);
}

/* Copies, and what is done in an occasion within the event: pushes to one's own sessions. */
static void copies_and_occasions(void **state)
{
    (void)state;
    world *w = new_world(CONFIG);
    client *one = join(w, "juliet@one.example/1"), *two = join(w, "juliet@one.example/2"), *romeo = join(w, "romeo@one.example/a");
    say(w, one, "<presence id='first'/>");
    say(w, two, "<presence id='p'/>");
    const json_t *s = json_array_get(stanzas_of(w, "juliet@one.example/2", "presence", 30, 0), 0);
    while (s != NULL && strcmp(text(s, "origin"), "received") != 0)
        s = json_array_get(stanzas_of(w, "juliet@one.example/2", "presence", 30, (uint64_t)number(s, "stanza")), 0);
    assert_non_null(s);
    assert_way(s, "point session/presence");
    assert_true(number(s, "caused-count") >= 2); /* to both sessions, at least */
    bool is_inside = false;
    const json_t *step;
    size_t i;
    json_array_foreach(json_object_get(s, "way"), i, step)
        is_inside = is_inside || (strcmp(text(step, "point"), "session/presence") == 0 && json_is_true(json_object_get(step, "inside")));
    assert_true(is_inside);
    say(w, romeo, "<message id='h' type='headline' to='juliet@one.example'><body>x</body></message>");
    const json_t *list = stanzas_of(w, "h", "", 10, 0);
    assert_int_equal(json_array_size(list), 2);
    const json_t *copy = json_array_get(list, 0);
    assert_string_equal(text(copy, "origin"), "made-copy");
    assert_string_equal(text(copy, "by"), "message");
    assert_int_equal(number(copy, "caused-by"), number(json_array_get(list, 1), "stanza"));
    end_world(w);
}

/* What a handler waits for, and the commit. */
static void waits_and_commits(void **state)
{
    (void)state;
    world *w = new_world(CONFIG);
    add_user(w, "juliet");
    client *romeo = join(w, "romeo@one.example/a");
    hold_store(w, true);
    say(w, romeo, "<message id='m' type='chat' to='juliet@one.example'><body>x</body></message>");
    const json_t *s = the(w, "m");
    assert_way(s, "asked offline later | waits the module said LATER");
    say(w, romeo, "<message id='behind' type='chat' to='juliet@one.example'><body>x</body></message>");
    assert_string_equal(way(the(w, "behind")), "waits an earlier stanza of its lane waits");
    svi_plat_virtual_advance(&w->plat, 100000);
    while (svi_engine_sim_step(w->engine, 1) > 0 && *text(the(w, "m"), "outcome") == '\0') turn(w);
    s = the(w, "m");
    assert_string_equal(text(s, "outcome"), "stored"); /* decided; nothing says so to anybody yet */
    assert_true(json_real_value(json_object_get(step_of(s, "goes-on"), "waited-ms")) >= 100);
    const int64_t commit = number(step_of(s, "writes"), "commit");
    assert_null(strstr(way(s), "committed"));
    assert_int_equal(number(step_of(the(w, "behind"), "writes"), "commit"), commit + 1);
    assert_int_equal(commit + 1, svi_store_submitted(svi_server_store(w->server)));
    svi_plat_virtual_advance(&w->plat, 250000);
    hold_store(w, false);
    s = the(w, "m");
    assert_way(s, "disposed offline stored");
    const double waited = json_real_value(json_object_get(step_of(s, "committed"), "waited-ms"));
    assert_true(waited >= 250 && waited < 300);
    client *juliet = join(w, "juliet@one.example/b");
    say(w, juliet, "<presence/>");
    const json_t *list = stanzas_of(w, "behind", "", 10, 0);
    assert_int_equal(json_array_size(list), 2);
    assert_way(json_array_get(list, 1), "waits an earlier stanza of its lane waits | point stanza/inbound");
    list = stanzas_of(w, "m", "", 10, 0);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(text(json_array_get(list, 0), "origin"), "made-recovered");
    assert_string_equal(text(json_array_get(list, 0), "by"), "offline");
    assert_string_equal(text(json_array_get(list, 0), "outcome"), "handed-over");
    end_world(w);
}

/* A generation goes while a stanza waits in it: asked anew, and what the former one was called is still told. */
static void over_a_reload(void **state)
{
    (void)state;
    world *w = new_world("VirtualHost \"one.example\"\nmodules_enabled = { \"gens\" }\n");
    client *c = join(w, "romeo@one.example/a");
    hold_store(w, true);
    say(w, c, "<iq type='get' id='w' to='one.example'><wait xmlns='urn:stave:gens'/></iq>");
    assert_way(the(w, "w"), "asked gens later | waits the module said LATER");
    assert_true(json_is_null(json_object_get(the(w, "w"), "outcome")));
    const sv_str name = SV_STR("gens");
    svi_mods_reloaded done;
    const svi_mods_reloading how = {.names = &name, .count = 1, .report = w_report, .report_ctx = w};
    svi_plat_virtual_advance(&w->plat, 1000000);
    assert_int_equal(svi_mods_reload(w->mods, &how, &done), SV_OK);
    turn(w);
    const json_t *s = the(w, "w");
    assert_way(s, "goes-on the module was reloaded and is asked anew | asked gens");
    assert_true(json_real_value(json_object_get(step_of(s, "goes-on"), "waited-ms")) >= 1000);
    pass_time(w, 61000000); /* its deadline */
    hold_store(w, false);
    const json_t *list = stanzas_of(w, "w", "", 10, 0);
    s = json_array_get(list, json_array_size(list) - 1);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(text(s, "outcome"), "answered");
    assert_way(s, "goes-on nothing came before the deadline");
    end_world(w);
}

/* Whether the recipient exists is looked up before anything else. */
static void a_look_up(void **state)
{
    (void)state;
    world *w = new_world(CONFIG);
    client *romeo = join(w, "romeo@one.example/a");
    hold_store(w, true);
    say(w, romeo, "<message id='m' to='nobody@one.example'><body>x</body></message>");
    const json_t *s = the(w, "m");
    assert_string_equal(way(s), "waits whether the account exists is looked up");
    assert_string_equal(text(step_of(s, "waits"), "for"), "nobody@one.example");
    hold_store(w, false);
    s = the(w, "m");
    assert_way(s, "waits whether the account exists is looked up | point stanza/inbound");
    assert_string_equal(text(s, "outcome"), "dropped");
    assert_string_equal(text(s, "rule"), "message-to-nobody");
    end_world(w);
}

/* A host that is not served any more: what became of its stanzas is still told. */
static void over_the_end_of_a_host(void **state)
{
    (void)state;
    world *w = new_world(CONFIG);
    client *romeo = join(w, "romeo@one.example/a");
    say(w, romeo, "<iq type='get' id='q' to='one.example'><ping xmlns='urn:xmpp:ping'/></iq>");
    svi_host_retire(svi_host_find(w->server, SV_STR("one.example")));
    turn(w);
    const json_t *list = stanzas_of(w, "q", "", 10, 0);
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(text(json_array_get(list, 1), "outcome"), "answered");
    assert_string_equal(text(step_of(json_array_get(list, 1), "asked"), "module"), "ping");
    end_world(w);
}

/* Pages: the newest first, and the one before them. */
static void pages(void **state)
{
    (void)state;
    enum { MESSAGES = 45 };
    world *w = new_world(CONFIG);
    client *romeo = join(w, "romeo@one.example/a"), *juliet = join(w, "juliet@one.example/b");
    char stanza[200];
    for (int i = 0; i < MESSAGES; i++) {
        (void)snprintf(stanza, sizeof stanza, "<message id='n%d' to='juliet@one.example/b'><body>x</body></message>", i);
        say(w, romeo, stanza);
    }
    (void)juliet;
    uint64_t before = 0;
    for (int left = MESSAGES; left > 0;) {
        const json_t *list = stanzas_of(w, "romeo@one.example", "message", 20, before), *s;
        size_t i;
        assert_int_equal(json_array_size(list), left < 20 ? left : 20);
        json_array_foreach(list, i, s)
        {
            char id[16];
            (void)snprintf(id, sizeof id, "n%d", --left);
            assert_string_equal(text(s, "id"), id);
        }
        before = (uint64_t)number(answered, "older-before");
        assert_int_equal(before == 0, left == 0);
    }
    assert_int_equal(json_array_size(stanzas_of(w, "one.example", "iq", 10, 0)), 0);
    assert_int_equal(json_array_size(stanzas_of(w, "one.example", "", 10, 0)), 10); /* a whole host's */
    end_world(w);
}

/* So little room that the beginning of what waits is lost: told, not guessed. */
static void a_lost_beginning(void **state)
{
    (void)state;
    world *w = new_world("VirtualHost \"one.example\"\nmodules_enabled = { \"gens\", \"message\" }\n");
    client *romeo = join(w, "romeo@one.example/a"), *juliet = join(w, "juliet@one.example/b");
    svi_server_set_explain(w->server, 4096);
    hold_store(w, true);
    say(w, romeo, "<iq type='get' id='w' to='one.example'><wait xmlns='urn:stave:gens'/></iq>");
    char name[32];
    (void)snprintf(name, sizeof name, "stanza=%d", (int)number(the(w, "w"), "stanza"));
    for (int i = 0; i < 50; i++) say(w, juliet, "<message to='romeo@one.example/a'><body>x</body></message>");
    assert_int_equal(json_array_size(stanzas_of(w, name, "", 10, 0)), 0);
    hold_store(w, false);
    const json_t *s = the(w, name);
    assert_false(json_is_true(json_object_get(s, "is-whole")));
    assert_string_equal(text(s, "outcome"), "answered");
    svi_server_set_explain(w->server, 0);
    say(w, juliet, "<message id='off' to='romeo@one.example/a'><body>x</body></message>");
    assert_int_equal(json_array_size(stanzas_of(w, "off", "", 10, 0)), 0);
    end_world(w);
}

/* --- the ledger --------------------------------------------------------------------------------------- */

static command_answer ledger;

static void run_core(void *ctx, svi_request *request)
{
    svi_core_find(sv_str_of(svi_request_args(request)->command->name))->run(ctx, request);
}

static void ask_ledger(world *w, const char *members)
{
    json_t *request = json_loads(members, 0, NULL);
    json_decref(ledger.json);
    ledger = (command_answer){.count = 0};
    svi_request_run(w->server, &svi_core_find(SV_STR("ledger"))->what, request, run_core, NULL, command_came, &ledger);
    json_decref(request);
    assert_int_equal(ledger.count, 1);
}

static const json_t *row_of(const char *of, const char *name)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(ledger.json, "rows"), i, row)
        if (strcmp(text(row, "of"), of) == 0 && strcmp(text(row, "name"), name) == 0) return row;
    return NULL;
}

static void ledger_rows(void **state)
{
    (void)state;
    world *w = new_world(CONFIG);
    add_host(w, "two.example");
    client *romeo = join(w, "romeo@one.example/a"), *juliet = join(w, "juliet@one.example/b");
    say(w, romeo, "<message to='juliet@one.example/b'><body>x</body></message>");
    say(w, romeo, "<message to='x@far.example'><body>x</body></message>");
    say(w, juliet, "<presence to='nobody@one.example' type='unavailable'/>");
    ask_ledger(w, "{}");
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(ledger.json, "rows"), i, row)
        assert_true(json_is_true(json_object_get(row, "balanced")) || strcmp(text(row, "of"), "rule") == 0);
    row = row_of("host", "one.example");
    assert_int_equal(number(row, "received"), 3);
    assert_int_equal(number(row, "bounced"), 1);
    assert_int_equal(number(row, "in-flight"), 0);
    assert_int_equal(number(row_of("host", "two.example"), "received"), 0);
    assert_int_equal(number(row_of("peer", "far.example"), "bounced"), 1);
    assert_int_equal(number(row_of("peer", "(local)"), "received"), 2);
    assert_int_equal(number(row_of("all", ""), "made-answer"), 1);
    row = row_of("rule", "presence-to-nobody");
    assert_non_null(row);
    assert_int_equal(number(row, "dropped"), 1);
    ask_ledger(w, "{\"of\": \"rule\", \"host\": \"one.example\"}");
    assert_int_equal(json_array_size(json_object_get(ledger.json, "rows")), 1);
    assert_non_null(row_of("rule", "presence-to-nobody"));
    ask_ledger(w, "{\"of\": \"rule\", \"host\": \"two.example\"}");
    assert_int_equal(json_array_size(json_object_get(ledger.json, "rows")), 0);
    ask_ledger(w, "{\"of\": \"elsewhere\"}");
    assert_non_null(strstr(ledger.text, "host module peer rule"));
    json_decref(ledger.json);
    ledger.json = NULL;
    end_world(w);
}

/* More rows than a page has: each comes once. */
static void ledger_pages(void **state)
{
    (void)state;
    enum { PEERS = 700 };
    world *w = new_world(CONFIG);
    client *romeo = join(w, "romeo@one.example/a");
    char stanza[200], members[100] = "{\"of\": \"peer\"}";
    for (int i = 0; i < PEERS; i++) {
        (void)snprintf(stanza, sizeof stanza, "<message to='x@d%d.example'><body>x</body></message>", i);
        say(w, romeo, stanza);
    }
    size_t rows = 0, asked = 0;
    for (const char *more = ""; more != NULL; asked++) {
        if (*more) (void)snprintf(members, sizeof members, "{\"of\": \"peer\", \"from\": \"%s\"}", more);
        ask_ledger(w, members);
        rows += json_array_size(json_object_get(ledger.json, "rows"));
        more = json_string_value(json_object_get(ledger.json, "more"));
    }
    assert_int_equal(rows, PEERS + 1);
    assert_int_equal(asked, 2);
    json_decref(ledger.json);
    ledger.json = NULL;
    end_world(w);
}

static int forget(void **state)
{
    (void)state;
    json_decref(answered);
    answered = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message),         cmocka_unit_test(what_it_caused),
        cmocka_unit_test(copies_and_occasions), cmocka_unit_test(waits_and_commits),
        cmocka_unit_test(over_a_reload),     cmocka_unit_test(over_the_end_of_a_host),
        cmocka_unit_test(a_look_up),
        cmocka_unit_test(pages),             cmocka_unit_test(a_lost_beginning),
        cmocka_unit_test(ledger_rows),       cmocka_unit_test(ledger_pages),
    };
    return cmocka_run_group_tests(tests, NULL, forget);
}
