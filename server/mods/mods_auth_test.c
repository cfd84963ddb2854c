/* Tests of a module that keeps a host's accounts: registration, questions in its context, its end. */
#include "mods/mods_world_test.h"
#include "xmpp/xmpp_provider.h"

#define CONFIG(answers)                                                                            \
    "VirtualHost \"one.example\"\nmodules_enabled = { \"backend\" }\n"                             \
    "backend_users = { \"romeo orchard\" }\nbackend_answers = \"" answers "\"\n"

static void on_status(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static svi_host *host_of(world *w)
{
    return svi_host_find(w->server, SV_STR("one.example"));
}

static int find(world *w, const char *name)
{
    static int status;
    status = 1;
    svi_provider_find(host_of(w), sv_str_of(name), on_status, &status);
    assert_int_equal(status, 1); /* never before the call has returned */
    turn(w);
    return status;
}

static int check(world *w, const char *name, const char *password)
{
    int status = 1;
    svi_provider_check(host_of(w), sv_str_of(name), sv_str_of(password), on_status, &status);
    turn(w);
    return status;
}

static void is_asked(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, CONFIG("now"));
    assert_string_equal(svi_provider_name(host_of(w)), "backend");
    assert_string_equal(svi_provider_mechanisms(host_of(w)), "");
    assert_int_equal(find(w, "romeo"), SV_OK);
    assert_int_equal(find(w, "juliet"), SV_ENOTFOUND);
    assert_int_equal(check(w, "romeo", "orchard"), SV_OK);
    assert_int_equal(check(w, "romeo", "balcony"), SV_EDENIED);
    svi_mods_free(&w->mods);
    assert_null(svi_provider_name(host_of(w))); /* the accounts are the server's again */
    world_free(w);
}

static void answers_later(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, CONFIG("later"));
    int status = 1;
    svi_provider_find(host_of(w), SV_STR("romeo"), on_status, &status);
    turn(w);
    assert_int_equal(status, 1);
    pass_time(w, 60000);
    assert_int_equal(status, SV_OK);
    world_free(w);
}

static void fails(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, CONFIG("fails"));
    assert_int_equal(find(w, "romeo"), SV_EIO);
    assert_has(&w->log, "auth-failed");
    world_free(w);
}

/* Its end answers what it never did, and takes the rest of the questions with it. */
static void ends_with_questions(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, CONFIG("never"));
    int first = 1, second = 1;
    svi_provider_find(host_of(w), SV_STR("romeo"), on_status, &first);
    pass_time(w, SVI_PROVIDER_WAIT_US + 1);
    assert_int_equal(first, SV_ETIMEOUT);
    assert_has(&w->log, "auth-slow");
    svi_provider_find(host_of(w), SV_STR("romeo"), on_status, &second);
    turn(w);
    assert_int_equal(second, 1);
    svi_mods_free(&w->mods);
    turn(w);
    assert_int_equal(second, SV_ECANCELED);
    world_free(w);
}

/* --- keys and names --------------------------------------------------------------------------------------- */

typedef struct keys_answer {
    int status;
    svi_scram_keys keys;
} keys_answer;

static void on_keys(void *ctx, sv_status status, const svi_scram_keys *keys)
{
    keys_answer *answer = ctx;
    answer->status = status;
    if (keys != NULL) answer->keys = *keys;
}

static void on_names(void *ctx, sv_status status, const sv_str *names, size_t count, bool more)
{
    char *text = ctx;
    snprintf(text, 256, "%d", status);
    for (size_t i = 0; i < count; i++) snprintf(text + strlen(text), 256 - strlen(text), " %.*s", (int)names[i].n, names[i].p);
    snprintf(text + strlen(text), 256 - strlen(text), "%s", more ? " ..." : "");
}

static const char *names_after(world *w, const char *after, size_t max)
{
    static char text[256];
    text[0] = '\0';
    svi_provider_list(host_of(w), sv_str_of(after), max, on_names, text);
    turn(w);
    return text;
}

/* RFC 7677 3: the keys are those of its password. */
static void gives_keys_and_names(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"backend_keys\" }\n");
    assert_string_equal(svi_provider_mechanisms(host_of(w)), "SCRAM-SHA-256");
    keys_answer known = {.status = 1}, unknown = {.status = 1};
    svi_provider_keys(host_of(w), SV_STR("user"), "SCRAM-SHA-256", on_keys, &known);
    svi_provider_keys(host_of(w), SV_STR("nobody"), "SCRAM-SHA-256", on_keys, &unknown);
    turn(w);
    assert_int_equal(known.status, SV_OK);
    assert_int_equal(unknown.status, SV_ENOTFOUND);
    svi_scram_keys wanted;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("pencil"),
                                      SV_STR("\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81"), 4096, &wanted),
                     SV_OK);
    assert_int_equal(known.keys.iterations, 4096);
    assert_memory_equal(known.keys.stored_key, wanted.stored_key, 32);
    assert_memory_equal(known.keys.server_key, wanted.server_key, 32);
    assert_string_equal(names_after(w, "", 9), "0 benvolio juliet user");
    assert_string_equal(names_after(w, "benvolio", 1), "0 juliet ...");
    assert_string_equal(names_after(w, "user", 9), "0");
    world_free(w);
}

/* --- reload ------------------------------------------------------------------------------------------- */

#define WITHOUT "VirtualHost \"one.example\"\nmodules_enabled = { \"probe\" }\n"
#define TO(name) "<message type='chat' id='" name "' to='" name "@one.example'><body>x</body></message>"

static void balances(const world *w)
{
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
}

/* A stanza that waits for the old one's answer goes on with the new one's. */
static void is_replaced_while_asked(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, CONFIG("never"));
    client *c = join(w, "ben@one.example/a");
    say(w, c, TO("romeo"));
    assert_has_not(&c->in, "id='romeo'");
    reloaded(w, CONFIG("now"));
    turn(w);
    assert_has(&c->in, "id='romeo'");
    assert_has(&c->in, "service-unavailable"); /* of an account that is not on line */
    assert_int_equal(check(w, "romeo", "orchard"), SV_OK);
    balances(w);

    reloaded(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"backend\" }\n"
                "backend_users = { \"juliet balcony\" }\nbackend_answers = \"now\"\n");
    assert_int_equal(find(w, "romeo"), SV_ENOTFOUND);
    assert_int_equal(find(w, "juliet"), SV_OK);
    world_free(w);
}

/* A password is not checked twice: the client is to try again. */
static void is_not_asked_twice(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, CONFIG("never"));
    int status = 1;
    svi_provider_check(host_of(w), SV_STR("romeo"), SV_STR("orchard"), on_status, &status);
    turn(w);
    reloaded(w, CONFIG("now"));
    turn(w);
    assert_int_equal(status, SV_EIO);
    world_free(w);
}

/* The accounts are the server's own at once, and what waits is refused. */
static void is_taken_away_while_asked(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, CONFIG("never"));
    client *c = join(w, "ben@one.example/a");
    say(w, c, TO("romeo"));
    reloaded(w, WITHOUT);
    assert_null(svi_provider_name(host_of(w)));
    turn(w);
    assert_has(&c->in, "id='romeo'");
    assert_has(&c->in, "internal-server-error");
    svi_buf_clear(&c->in);
    say(w, c, TO("romeo"));
    pass_time(w, SVI_PROVIDER_WAIT_US + 1);
    assert_has_not(&c->in, "internal-server-error");
    assert_has_not(&w->log, "auth-slow"); /* nobody is asked any more */
    balances(w);
    reloaded(w, CONFIG("now"));
    assert_string_equal(svi_provider_name(host_of(w)), "backend");
    world_free(w);
}

/* The server ends while a stanza waits for the answer. */
static void ends_with_a_stanza(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, CONFIG("never"));
    client *c = join(w, "ben@one.example/a");
    say(w, c, TO("romeo"));
    svi_mods_free(&w->mods);
    turn(w);
    balances(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_asked),
        cmocka_unit_test(answers_later),
        cmocka_unit_test(fails),
        cmocka_unit_test(ends_with_questions),
        cmocka_unit_test(gives_keys_and_names),
        cmocka_unit_test(is_replaced_while_asked),
        cmocka_unit_test(is_not_asked_twice),
        cmocka_unit_test(is_taken_away_while_asked),
        cmocka_unit_test(ends_with_a_stanza),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
