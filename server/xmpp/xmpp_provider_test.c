/* Tests of hosts whose accounts a back end keeps: one that is quick, slow, silent, failing, that has keys
 * or only checks passwords, and that forgets accounts by itself. */
#include "xmpp/xmpp_provider.h"
#include "xmpp/xmpp_stream_testing.h"

#define USERS 8
#define WAITING 8

typedef enum mode { NOW, LATER, FAILS } mode;

typedef struct backend {
    world *w;
    svi_provider *provider;
    mode mode;
    struct {
        char name[32], password[32];
        bool is_disabled;
    } users[USERS];
    sv_auth_ask *waiting[WAITING]; /* questions that are not answered */
    size_t waiting_count;
    unsigned finds, checks, keys, removes;
} backend;

static int place_of(const backend *b, sv_str name)
{
    for (int i = 0; i < USERS; i++)
        if (b->users[i].name[0] && sv_str_eq(name, sv_str_of(b->users[i].name))) return i;
    return -1;
}

static void answer(backend *b, sv_auth_ask *ask, sv_status status)
{
    if (b->mode == LATER)
        b->waiting[b->waiting_count++] = ask;
    else
        svi_auth_done(ask, b->mode == FAILS ? SV_EIO : status);
}

static void find(sv_auth_ask *ask, sv_str name, void *self)
{
    backend *b = self;
    const int at = place_of(b, name);
    b->finds++;
    answer(b, ask, at < 0 ? SV_ENOTFOUND : b->users[at].is_disabled ? SV_EDENIED : SV_OK);
}

static void check(sv_auth_ask *ask, sv_str name, sv_str password, void *self)
{
    backend *b = self;
    const int at = place_of(b, name);
    b->checks++;
    const bool fits = at >= 0 && sv_str_eq(password, sv_str_of(b->users[at].password));
    answer(b, ask, at < 0 ? SV_ENOTFOUND : fits ? SV_OK : SV_EDENIED);
}

static void keys(sv_auth_ask *ask, sv_str name, sv_str mechanism, void *self)
{
    backend *b = self;
    const int at = place_of(b, name);
    const svi_scram_hash *hash = svi_scram_hash_find(mechanism);
    b->keys++;
    if (at < 0 || b->mode != NOW) {
        answer(b, ask, SV_ENOTFOUND);
        return;
    }
    svi_scram_keys k;
    const sv_str salt = SV_STR("a longer salt, 20 b.");
    assert_int_equal(svi_scram_derive(hash->mechanism, sv_str_of(b->users[at].password), salt,
                                      ITERATIONS, &k),
                     SV_OK);
    const sv_auth_keys out = {.size = sizeof out,
                              .iterations = k.iterations,
                              .salt = salt,
                              .stored_key = {(const char *)k.stored_key, k.key_bytes},
                              .server_key = {(const char *)k.server_key, k.key_bytes}};
    svi_auth_give_keys(ask, &out);
}

static void set(sv_auth_ask *ask, sv_str name, sv_str password, bool is_new, void *self)
{
    backend *b = self;
    int at = place_of(b, name);
    if (is_new == (at >= 0)) {
        svi_auth_done(ask, is_new ? SV_EEXIST : SV_ENOTFOUND);
        return;
    }
    for (at = at < 0 ? 0 : at; is_new && b->users[at].name[0]; at++) assert_true(at < USERS - 1);
    (void)snprintf(b->users[at].name, 32, "%.*s", (int)name.n, name.p);
    (void)snprintf(b->users[at].password, 32, "%.*s", (int)password.n, password.p);
    svi_auth_done(ask, SV_OK);
}

static void drop_user(backend *b, sv_str name)
{
    const int at = place_of(b, name);
    if (at >= 0) b->users[at].name[0] = 0;
}

static void remove_user(sv_auth_ask *ask, sv_str name, void *self)
{
    backend *b = self;
    b->removes++;
    drop_user(b, name);
    svi_auth_done(ask, SV_OK);
}

static void list(sv_auth_ask *ask, sv_str after, size_t max, void *self)
{
    const backend *b = self;
    (void)after, (void)max;
    svi_auth_give_name(ask, SV_STR("no name"));
    for (int i = 0; i < USERS; i++)
        if (b->users[i].name[0]) svi_auth_give_name(ask, sv_str_of(b->users[i].name));
    svi_auth_done(ask, SV_OK);
}

static const sv_auth whole = {.size = sizeof(sv_auth), .mechanisms = "SCRAM-SHA-256",
                              .iterations = ITERATIONS, .salt_bytes = 20, .find = find, .keys = keys,
                              .set = set, .remove = remove_user, .list = list};
static const sv_auth plain_only = {.size = sizeof(sv_auth), .find = find, .check = check};

static void call(void *ctx, void (*run_)(void *arg), void *arg)
{
    (void)ctx;
    run_(arg);
}

static sv_status put_behind(world *w, const sv_auth *auth, backend *b)
{
    const svi_provider_config config = {
        .auth = auth, .name = "backend", .self = b, .acct = &w->acct, .call = call};
    b->w = w;
    const sv_status status = svi_provider_new(w->host, &config, &b->provider);
    if (status == SV_OK) svi_provider_attach(b->provider);
    return status;
}

static world *world_behind(const sv_auth *auth, backend *b)
{
    world *w = world_new((setting){.mode = SVI_TLS_DIRECT});
    *b = (backend){.users = {{"romeo", "orchard", false}, {"tybalt", "cats", true}}};
    assert_int_equal(put_behind(w, auth, b), SV_OK);
    return w;
}

static void leave(world *w, backend *b)
{
    svi_provider_free(&b->provider);
    world_free(w);
}

static client *secured(world *w)
{
    client *c = client_new(w);
    start_tls_layer(w, c);
    say(w, c, STREAM);
    return c;
}

static const char *plain(world *w, client *c, const char *user, const char *password)
{
    (void)heard(w, c);
    svi_buf buf;
    svi_buf_init(&buf, &w->acct);
    svi_buf_putc(&buf, 0);
    svi_buf_put(&buf, sv_str_of(user));
    svi_buf_putc(&buf, 0);
    svi_buf_put(&buf, sv_str_of(password));
    say(w, c, sasl_text(w, "auth", " mechanism='PLAIN'", svi_buf_str(&buf)));
    svi_buf_free(&buf);
    return heard(w, c);
}

/* --- logging in ------------------------------------------------------------------------------- */

/* A back end that only checks passwords: PLAIN alone is offered; the local account of that name, with
 * another password, counts for nothing. */
static void checks_passwords(void **state)
{
    (void)state;
    backend b;
    world *w = world_behind(&plain_only, &b);
    client *c = secured(w), *d = secured(w);
    const char *offer = heard(w, c);
    assert_has(offer, "<mechanism>PLAIN</mechanism></mechanisms>");
    assert_lacks(offer, "SCRAM");
    say(w, c, sasl_text(w, "auth", " mechanism='SCRAM-SHA-256'", SV_STR("n,,n=romeo,r=x")));
    assert_has(heard(w, c), "<invalid-mechanism/>");
    assert_has(plain(w, c, "romeo", "rosaline"), "<not-authorized/>");
    assert_has(plain(w, c, "nobody", "x"), "<not-authorized/>");
    assert_int_equal(b.checks, 2);
    assert_has(plain(w, c, "romeo", "orchard"), "<success");
    say(w, c, STREAM);
    assert_has(bind_resource(w, c, "r"), "romeo@localhost/r");
    assert_has(plain(w, d, "tybalt", "cats"), "<account-disabled/>");
    assert_has(plain(w, d, "tybalt", "dogs"), "<not-authorized/>");
    leave(w, &b);
}

/* One with keys; an unknown name is shown what its accounts show (threats A4). */
static void has_keys(void **state)
{
    (void)state;
    backend b;
    world *w = world_behind(&whole, &b);
    client *c = secured(w), *d = secured(w);
    const char *offer = heard(w, c);
    assert_has(offer, "<mechanism>SCRAM-SHA-256</mechanism><mechanism>PLAIN</mechanism>");
    assert_lacks(offer, "SHA-1<");
    assert_lacks(offer, "SHA-512");
    (void)heard(w, d);
    say_auth(w, d, "romeo");
    const sv_str real = sasl_data(w, heard(w, d), "challenge");
    say(w, d, "<abort xmlns='" SASL_NS "'/>");
    (void)heard(w, d);
    say_auth(w, d, "nobody");
    const sv_str fake = sasl_data(w, heard(w, d), "challenge");
    assert_int_equal(real.n, fake.n);
    assert_memory_equal(real.p + real.n - 5, fake.p + fake.n - 5, 5); /* ",i=64" */
    assert_has(plain(w, c, "romeo", "rosaline"), "<not-authorized/>");
    assert_has(plain(w, c, "nobody", "orchard"), "<not-authorized/>");
    log_in(w, c, "romeo", "orchard");
    leave(w, &b);
}

/* Guesses cost what they cost elsewhere (threats A6). */
static void guesses_are_counted(void **state)
{
    (void)state;
    backend b;
    world *w = world_behind(&plain_only, &b);
    client *c = NULL;
    for (int i = 0; i < 51; i++) { /* two on each stream: they have 60 s */
        if (i % 2 == 0) {
            if (c) client_close(c);
            c = secured(w);
        }
        (void)plain(w, c, "romeo", "guess");
        if (i >= 10) pass_time(w, 16000000);
    }
    const unsigned checks = b.checks;
    client_close(c);
    c = secured(w);
    assert_has(plain(w, c, "romeo", "orchard"), "<temporary-auth-failure/>");
    assert_int_equal(b.checks, checks); /* not even asked */
    leave(w, &b);
}

/* --- when it does not answer ------------------------------------------------------------------- */

static void failing_is_temporary(void **state)
{
    (void)state;
    backend b;
    world *w = world_behind(&plain_only, &b);
    b.mode = FAILS;
    client *c = secured(w);
    assert_has(plain(w, c, "romeo", "orchard"), "<temporary-auth-failure/>");
    assert_has(plain(w, c, "nobody", "orchard"), "<temporary-auth-failure/>");
    b.mode = NOW;
    assert_has(plain(w, c, "romeo", "orchard"), "<success");
    leave(w, &b);
}

static void silence_is_temporary(void **state)
{
    (void)state;
    backend b;
    world *w = world_behind(&plain_only, &b);
    b.mode = LATER;
    client *c = secured(w), *gone = secured(w), *slow = secured(w);
    assert_string_equal(plain(w, c, "romeo", "orchard"), "");
    assert_string_equal(plain(w, gone, "romeo", "orchard"), "");
    client_close(gone); /* who asked has gone; the answer comes all the same */
    run(w);
    assert_int_equal(b.waiting_count, 2);
    pass_time(w, SVI_PROVIDER_WAIT_US - 1000000);
    assert_string_equal(heard(w, c), "");
    svi_auth_done(b.waiting[1], SV_OK);
    pass_time(w, 1000001);
    assert_has(heard(w, c), "<temporary-auth-failure/>");
    svi_auth_done(b.waiting[0], SV_OK); /* too late: it lets nobody in */
    run(w);
    assert_string_equal(heard(w, c), "");
    /* an answer in time does; and the module's end is one */
    b.waiting_count = 0;
    assert_string_equal(plain(w, c, "romeo", "orchard"), "");
    b.mode = NOW;
    svi_auth_done(b.waiting[0], SV_OK);
    run(w);
    assert_has(heard(w, c), "<success");
    b.mode = LATER;
    assert_string_equal(plain(w, slow, "romeo", "orchard"), "");
    pass_time(w, SVI_PROVIDER_WAIT_US + 1);
    assert_has(heard(w, slow), "<temporary-auth-failure/>");
    client *last = secured(w);
    assert_string_equal(plain(w, last, "romeo", "orchard"), "");
    svi_provider_free(&b.provider);
    run(w);
    assert_has(heard(w, last), "<temporary-auth-failure/>");
    assert_string_equal(heard(w, slow), ""); /* it has heard of it */
    assert_null(svi_provider_name(w->host));
    world_free(w);
}

static void waiting_questions_are_bounded(void **state)
{
    (void)state;
    backend b;
    world *w = world_behind(&plain_only, &b);
    static sv_auth_ask *all[SVI_PROVIDER_ASKS];
    static int results[SVI_PROVIDER_ASKS + 1];
    for (size_t i = 0; i <= SVI_PROVIDER_ASKS; i++) {
        b.mode = LATER;
        b.waiting_count = 0;
        results[i] = 1;
        svi_provider_find(w->host, SV_STR("romeo"), on_status, &results[i]);
        if (i < SVI_PROVIDER_ASKS) all[i] = b.waiting[0];
    }
    assert_int_equal(b.finds, SVI_PROVIDER_ASKS);
    run(w);
    assert_int_equal(results[SVI_PROVIDER_ASKS], SV_EBUSY);
    assert_int_equal(results[0], 1);
    for (size_t i = 0; i < SVI_PROVIDER_ASKS; i++) svi_auth_done(all[i], SV_OK);
    run(w);
    assert_int_equal(results[SVI_PROVIDER_ASKS - 1], SV_OK);
    leave(w, &b);
}

/* --- accounts ---------------------------------------------------------------------------------- */

static int exists(world *w, const char *name)
{
    bool is_there = false;
    int status = 1;
    if (svi_account_check(w->host, sv_str_of(name), &is_there, on_status, &status))
        return is_there ? SV_OK : SV_ENOTFOUND;
    run(w);
    return status;
}

static int elsewhere(world *w, const char *name, const char *password, bool replace)
{
    int status = 1;
    svi_account_set_elsewhere(w->host, sv_str_of(name), sv_str_of(password), replace, on_status,
                              &status);
    assert_int_equal(status, 1);
    run(w);
    return status;
}

static int removal(world *w, const char *name)
{
    int status = 1;
    svi_account_remove(w->host, sv_str_of(name), on_status, &status);
    assert_int_equal(status, 1);
    run(w);
    return status;
}

static void on_info(void *ctx, sv_status status, const svi_account_info *info)
{
    *(int *)ctx = status ? status : (int)info->kind + 100;
}

static int kind_of(world *w, const char *name)
{
    int kind = 1;
    svi_account_show(w->host, sv_str_of(name), on_info, &kind);
    run(w);
    return kind;
}

static void on_names(void *ctx, sv_status status, const sv_str *names, size_t count, bool more)
{
    if (status != SV_OK) (void)snprintf(ctx, 20, "%s", svi_status_name(status));
    for (size_t i = 0; i < count; i++)
        (void)snprintf((char *)ctx + strlen(ctx), 20, "%.*s ", (int)names[i].n, names[i].p);
    if (more) (void)snprintf((char *)ctx + strlen(ctx), 20, "...");
}

static void operators_reach_it(void **state)
{
    (void)state;
    backend b;
    char names[128] = "";
    world *w = world_behind(&whole, &b);
    assert_int_equal(exists(w, "romeo"), SV_OK);
    assert_int_equal(exists(w, "tybalt"), SV_OK); /* what is sent to it waits */
    assert_int_equal(exists(w, "juliet"), SV_ENOTFOUND);
    assert_int_equal(elsewhere(w, "juliet", "balcony", false), SV_OK);
    assert_int_equal(elsewhere(w, "juliet", "x", false), SV_EEXIST);
    assert_int_equal(elsewhere(w, "nurse", "x", true), SV_ENOTFOUND);
    assert_int_equal(elsewhere(w, "juliet", "tomb", true), SV_OK);
    assert_int_equal(exists(w, "juliet"), SV_OK);
    svi_provider_list(w->host, SV_STR_NONE, 10, on_names, names);
    run(w);
    assert_string_equal(names, "romeo tybalt juliet ");
    client *c = secured(w);
    log_in(w, c, "juliet", "tomb");
    /* disabled here, or there */
    assert_int_equal(kind_of(w, "romeo"), SVI_ACCOUNT_ACTIVE + 100);
    assert_int_equal(kind_of(w, "tybalt"), SVI_ACCOUNT_DISABLED + 100);
    assert_int_equal(kind_of(w, "nobody"), SV_ENOTFOUND);
    int status = 1;
    svi_account_disable(w->host, SV_STR("juliet"), SV_STR(""), false, on_status, &status);
    run(w);
    assert_int_equal(status, SV_OK);
    assert_has(heard(w, c), "<not-authorized");
    client *d = secured(w);
    assert_has(authenticate(w, d, "juliet", "tomb"), "<account-disabled/>");
    svi_account_disable(w->host, SV_STR("nobody"), SV_STR(""), false, on_status, &status);
    run(w);
    assert_int_equal(status, SV_ENOTFOUND);
    assert_int_equal(removal(w, "juliet"), SV_OK);
    assert_int_equal(b.removes, 1);
    assert_int_equal(exists(w, "juliet"), SV_ENOTFOUND);
    leave(w, &b);
}

static size_t rows_left(world *w, const char *name)
{
    svi_rows *rows = svi_rows_get(svi_host_accounts(w->host), sv_str_of(name));
    const size_t count = rows ? svi_rows_count(rows) : 0;
    if (rows) svi_rows_unref(&rows);
    return count;
}

/* Names that are left out count: behind them there may be more. */
static void pages_of_names_go_on(void **state)
{
    (void)state;
    backend b;
    char two[128] = "", one[128] = "";
    world *w = world_behind(&whole, &b);
    svi_provider_list(w->host, SV_STR_NONE, 2, on_names, two);
    svi_provider_list(w->host, SV_STR_NONE, 1, on_names, one);
    run(w);
    assert_string_equal(two, "romeo ...");
    assert_string_equal(one, svi_status_name(SV_EIO)); /* nobody could go on behind none */
    leave(w, &b);
}

/* It can't be deleted from here; once it is gone there, what is stored here can. */
static void it_forgets_accounts(void **state)
{
    (void)state;
    backend b;
    world *w = world_behind(&plain_only, &b);
    assert_int_equal(removal(w, "romeo"), SV_EDENIED);
    assert_int_equal(elsewhere(w, "juliet", "x", false), SV_EVERSION);
    drop_user(&b, SV_STR("romeo"));
    client *c = secured(w);
    assert_has(plain(w, c, "romeo", "orchard"), "<not-authorized/>");
    assert_int_equal(exists(w, "romeo"), SV_ENOTFOUND);
    assert_true(rows_left(w, "romeo") > 0);
    assert_int_equal(removal(w, "romeo"), SV_OK);
    assert_int_equal(rows_left(w, "romeo"), 0);
    b.mode = FAILS;
    assert_int_equal(removal(w, "romeo"), SV_EIO);
    leave(w, &b);
}

/* --- what may be a back end -------------------------------------------------------------------- */

static void refuses_what_is_none(void **state)
{
    (void)state;
    backend b, c = {.mode = NOW};
    world *w = world_behind(&whole, &b);
    svi_provider_free(&b.provider);
    const sv_auth none = {.size = sizeof none, .find = find},
                  blind = {.size = sizeof blind, .check = check},
                  keyless = {.size = sizeof keyless, .find = find, .mechanisms = "SCRAM-SHA-1"},
                  tiny = {.size = 2},
                  slow = {.size = sizeof slow, .find = find, .check = check, .iterations = 10000000};
    const sv_auth *const wrong[] = {&none, &blind, &keyless, &tiny, &slow};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(put_behind(w, wrong[i], &c), SV_EINVAL);
    /* one of an older header, which has no `list` */
    sv_auth older = plain_only;
    older.size = offsetof(sv_auth, list);
    assert_int_equal(put_behind(w, &older, &c), SV_OK);
    leave(w, &c);
}

/* Keys that break a rule let nobody in. */
static void bad_keys(sv_auth_ask *ask, sv_str name, sv_str mechanism, void *self)
{
    const backend *b = self;
    (void)name, (void)mechanism;
    const sv_str key = SV_STR("0123456789abcdef0123456789abcdef");
    sv_auth_keys out = {.size = sizeof out, .iterations = 64, .salt = SV_STR("salt"),
                        .stored_key = key, .server_key = key};
    switch (b->finds) {
    case 0: out.iterations = 0; break;
    case 1: out.iterations = 100000000; break;
    case 2: out.salt = SV_STR_NONE; break;
    case 3: out.stored_key.n--; break;
    case 4: out.server_key.n = 0; break;
    default: out.size = 4; break;
    }
    svi_auth_give_keys(ask, &out);
}

static void bad_keys_are_a_failure(void **state)
{
    (void)state;
    backend b;
    sv_auth auth = whole;
    auth.keys = bad_keys;
    world *w = world_behind(&auth, &b);
    for (b.finds = 0; b.finds < 6; b.finds++) {
        client *c = secured(w);
        (void)heard(w, c);
        say_auth(w, c, "romeo");
        assert_has(heard(w, c), "<temporary-auth-failure/>");
    }
    leave(w, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_passwords),     cmocka_unit_test(has_keys),
        cmocka_unit_test(guesses_are_counted),  cmocka_unit_test(failing_is_temporary),
        cmocka_unit_test(silence_is_temporary), cmocka_unit_test(waiting_questions_are_bounded),
        cmocka_unit_test(operators_reach_it),   cmocka_unit_test(it_forgets_accounts),
        cmocka_unit_test(pages_of_names_go_on),
        cmocka_unit_test(refuses_what_is_none), cmocka_unit_test(bad_keys_are_a_failure),
    };
    make_certificate();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_certificate();
    return failed;
}
