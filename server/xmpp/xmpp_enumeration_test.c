/* Threats A4: whether an account exists can't be told from the answers to a login, nor from the work that
 * they cost.
 *
 * As a test it compares answers and derivations. With arguments (MECHANISM known|unknown TRIES) it makes that many tries
 * with wrong passwords through a whole stream and prints the form of the answers: the suite `enumeration`
 * runs it so under valgrind, which counts the instructions inside `enumeration_try`, and compares both
 * kinds of names. */
#include <ctype.h>

#include "xmpp/xmpp_stream_testing.h"

#define DIRECT ((setting){.mode = SVI_TLS_DIRECT, .is_public = true, .require_tls = true})
#define NAMES 200u
#define TRIES_A_STREAM 4u
#define FORM_BYTES 1024

/* In place of OpenSSL's, since the program's own name comes first: how much of it was asked for. (One
 * derivation takes as many instructions as 200 tries without it, and beside it nothing else would be
 * seen.) No key that it gives fits any stored one. */
static struct {
    unsigned long calls, iterations, bytes; /* of password, salt and key */
} derived;

int PKCS5_PBKDF2_HMAC(const char *pass, int passlen, const unsigned char *salt, int saltlen,
                      int iter, const EVP_MD *digest, int keylen, unsigned char *out)
{
    (void)pass, (void)salt, (void)digest;
    derived.calls++;
    derived.iterations += (unsigned long)iter;
    derived.bytes += (unsigned long)(passlen + saltlen + keylen);
    memset(out, 7, (size_t)keylen);
    return 1;
}

static const char *const mechanisms[] = {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN",
                                         "SCRAM-SHA-256-PLUS"};
#define KINDS (sizeof mechanisms / sizeof mechanisms[0])
#define BINDING "p=tls-server-end-point,,"

/* Accounts "known000" and so on, as `stave user add` makes them but for the passwords: no proof fits
 * keys that are random bytes. In the index, as they are half a minute after they were made. */
static void add_accounts(world *w)
{
    svi_scram_keys keys[3];
    for (size_t i = 0; i < 3; i++) {
        svi_scram_keys_fake(mechanisms[i], SV_STR("test"), SV_STR("any"), &keys[i]);
        assert_int_equal(keys[i].iterations, SVI_SCRAM_ITERATIONS);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        char name[16];
        int status = 1;
        (void)snprintf(name, sizeof name, "known%03u", i);
        svi_account_set(w->host, sv_str_of(name), keys, 3, false, on_status, &status);
        run(w);
        assert_int_equal(status, SV_OK);
    }
    pass_time(w, 60 * 1000000);
}

/* A stream of a client of its own address: failures must not add up to a penalty. */
static client *come(world *w, unsigned from)
{
    client *c = &w->clients[0];
    svi_link *server = NULL;
    char address[32];
    (void)snprintf(address, sizeof address, "192.0.2.%u:5222", from % 256);
    svi_buf_init(&c->in, &w->acct);
    svi_buf_init(&c->out, &w->acct);
    w->client_count = 1;
    svi_link_pair(w->pairs, 1u << 20, &c->link, &server);
    svi_net_attach(svi_server_net(w->server), w->listener, server, address);
    start_tls_layer(w, c);
    say(w, c, STREAM);
    (void)heard(w, c);
    return c;
}

static void go(world *w, client *c)
{
    client_close(c);
    run(w);
    svi_buf_free(&c->in);
    svi_buf_free(&c->out);
    *c = (client){.link = NULL};
    w->client_count = 0;
}

/* One login that fails; the answers are what the client hears. Not inlined: it is counted by its name. */
void enumeration_try(world *w, client *c, const char *said);
__attribute__((noinline)) void enumeration_try(world *w, client *c, const char *said)
{
    say(w, c, said);
}

static bool is_plus(const char *mechanism)
{
    return svi_str_ends(sv_str_of(mechanism), SV_STR("-PLUS"));
}

/* What stands behind c=: the header, and for -PLUS what is no hash of the certificate but as long. */
static sv_str binding_of(world *w, const char *mechanism)
{
    static const char wrong[sizeof BINDING - 1 + 32] = BINDING;
    return to_base64(w, is_plus(mechanism) ? (sv_str){wrong, sizeof wrong} : SV_STR("n,,"));
}

/* The final message of a client that does no work: all in it is in its place, but the proof is zeros. */
static const char *wrong_final(world *w, const char *mechanism, const char *challenge)
{
    static const char zeros[64];
    const sv_str server_first = sasl_data(w, challenge, "challenge"),
                 hash = svi_str_sub(sv_str_of(mechanism), 0,
                                    strlen(mechanism) - (is_plus(mechanism) ? 5 : 0));
    const size_t n = svi_scram_hash_find(hash)->bytes, nonce = svi_str_find(server_first, ',');
    return sasl_text(w, "response", "",
                     svi_arena_printf(w->arena, "c=%s,%.*s,p=%s", binding_of(w, mechanism).p,
                                      (int)nonce, server_first.p,
                                      to_base64(w, (sv_str){zeros, n}).p));
}

/* Text with each run of base64 replaced by its length, so that only nonces and salts may differ. */
static void put_form(char *form, const char *text)
{
    size_t at = strlen(form);
    while (*text) {
        size_t n = 0;
        while (isalnum((unsigned char)text[n]) || text[n] == '+' || text[n] == '/') n++;
        if (n < 16) n = n ? n : 1;
        const int put = n < 16 ? snprintf(form + at, FORM_BYTES - at, "%.*s", (int)n, text)
                               : snprintf(form + at, FORM_BYTES - at, "[%zu]", n);
        assert_in_range(put, 1, FORM_BYTES - at - 1);
        at += (size_t)put;
        text += n;
    }
}

/* A try with `name`; appends the form of all that was heard. */
static void attempt(world *w, client *c, const char *mechanism, const char *name, char *form)
{
    const bool plain = strcmp(mechanism, "PLAIN") == 0;
    const char *attr = svi_arena_printf(w->arena, " mechanism='%s'", mechanism).p;
    *form = 0;
    if (plain) {
        char message[64] = {0};
        const int n = snprintf(message + 1, sizeof message - 1, "%s%cwrong password", name, 0);
        enumeration_try(w, c, sasl_text(w, "auth", attr, (sv_str){message, (size_t)n + 1}));
        put_form(form, heard(w, c));
        return;
    }
    const sv_str first = svi_arena_printf(w->arena, "%sn=%s,r=clientnonce",
                                          is_plus(mechanism) ? BINDING : "n,,", name);
    enumeration_try(w, c, sasl_text(w, "auth", attr, first));
    const char *challenge = heard(w, c);
    put_form(form, sasl_data(w, challenge, "challenge").p);
    enumeration_try(w, c, wrong_final(w, mechanism, challenge));
    put_form(form, heard(w, c));
}

/* `tries` of them, on streams of a few each from the address `from` on; all must have the same form, which
 * goes to `form`, with the work that was asked for. */
static void attempts(world *w, const char *mechanism, bool known, unsigned from, unsigned tries,
                     char *form)
{
    client *c = NULL;
    memset(&derived, 0, sizeof derived);
    for (unsigned i = 0; i < tries; i++) {
        char name[16], one[FORM_BYTES];
        const svi_mark mark = svi_arena_mark(w->arena);
        if (i % TRIES_A_STREAM == 0) c = come(w, from + i / TRIES_A_STREAM);
        (void)snprintf(name, sizeof name, "%s%03u", known ? "known" : "other", i % NAMES);
        attempt(w, c, mechanism, name, one);
        if (i == 0) (void)snprintf(form, FORM_BYTES, "%s", one);
        assert_string_equal(one, form);
        svi_arena_reset(w->arena, mark);
        if (i % TRIES_A_STREAM == TRIES_A_STREAM - 1 || i + 1 == tries) go(w, c);
    }
    assert_int_equal(svi_server_locked(w->server), 0);
    assert_int_equal(derived.calls, strcmp(mechanism, "PLAIN") == 0 ? tries : 0);
    const size_t n = strlen(form);
    (void)snprintf(form + n, FORM_BYTES - n, " %lu %lu %lu", derived.calls, derived.iterations,
                   derived.bytes);
}

static void answers_have_one_form(void **state)
{
    (void)state;
    world *w = world_new(DIRECT);
    add_accounts(w);
    for (unsigned i = 0; i < KINDS; i++) {
        char known[FORM_BYTES], unknown[FORM_BYTES];
        attempts(w, mechanisms[i], true, 4 * i, 8, known);
        attempts(w, mechanisms[i], false, 4 * i + 2, 8, unknown);
        assert_string_equal(known, unknown);
        assert_has(known, "<not-authorized/>");
    }
    world_free(w);
}

static int set_up(void **state)
{
    (void)state;
    make_certificate();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_certificate();
    return 0;
}

/* What the suite counts. */
static int counted(const char *mechanism, bool known, unsigned tries)
{
    char form[FORM_BYTES];
    make_certificate();
    world *w = world_new(DIRECT);
    add_accounts(w);
    attempts(w, mechanism, known, 0, tries, form);
    world_free(w);
    remove_certificate();
    printf("form %s\n", form);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_have_one_form)};
    if (argc == 4)
        return counted(argv[1], strcmp(argv[2], "known") == 0, (unsigned)strtoul(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
