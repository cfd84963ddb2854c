/* Tests of SCRAM: the vector of RFC 7677 3, full exchanges by a client of our own, every
 * refusal, stored and made-up keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "xmpp/xmpp_sasl.h"
#include "xmpp/xmpp_scram_keys.h"

#include <openssl/evp.h>
#include <stdio.h>

static svi_acct acct = {.name = "test"};
static svi_arena *arena;
static svi_plat_virtual clock_;

/* A platform whose next random bytes are given, so that an exchange from a text can be repeated. */
static char fixed[64];
static size_t fixed_n;

static void fixed_random(void *ctx, void *to, size_t n)
{
    (void)ctx;
    assert_int_equal(n, fixed_n);
    memcpy(to, fixed, n);
}

static const svi_binding bindings[] = {
    {.type = "tls-exporter", .data = "exported\0bytes", .n = 14},
    {.type = "tls-server-end-point", .data = "hash of a certificate", .n = 21},
    {.type = "tls-unique", .data = "not told of", .n = 11, .is_silent = true},
};

static svi_sasl *sasl_of(const char *mechanism, const svi_sasl_env *env)
{
    svi_sasl_fault fault;
    svi_sasl *sasl = svi_sasl_new(&acct, sv_str_of(mechanism), env, &fault);
    assert_int_equal(fault == SVI_SASL_OK, sasl != NULL);
    return sasl;
}

/* Of a connection with channel bindings or without. */
static svi_sasl_env env_of(bool has_bindings)
{
    return (svi_sasl_env){.plat = &clock_.plat,
                          .host = SV_STR("localhost"),
                          .bindings = bindings,
                          .binding_count = has_bindings ? 3 : 0};
}

static sv_str base64(sv_str raw)
{
    svi_buf buf;
    svi_buf_init(&buf, &acct);
    svi_base64_put(&buf, raw);
    sv_str out = svi_arena_str(arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return out;
}

static sv_str unbase64(const char *text)
{
    svi_buf buf;
    svi_buf_init(&buf, &acct);
    assert_int_equal(svi_base64_get(&buf, sv_str_of(text)), SV_OK);
    sv_str out = svi_arena_str(arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return out;
}

static sv_str text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static sv_str text_of(const char *format, ...)
{
    char room[16384];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(room, sizeof room, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof room);
    return svi_arena_str(arena, (sv_str){room, (size_t)n});
}

static svi_scram_keys keys_for(const char *mechanism, const char *password)
{
    svi_scram_keys keys;
    assert_int_equal(svi_scram_derive(mechanism, sv_str_of(password), SV_STR("0123456789abcdef"),
                                      4096, &keys),
                     SV_OK);
    return keys;
}

static svi_scram_keys keys_of(const char *password)
{
    return keys_for("SCRAM-SHA-256", password);
}

/* The proof a client computes (RFC 5802 3) for a password and the three messages. */
static sv_str proof_of(const svi_scram_keys *keys, const char *password, sv_str auth)
{
    const svi_scram_hash *hash = svi_scram_hash_find(sv_str_of(keys->mechanism));
    const size_t n = hash->bytes;
    uint8_t salted[64], client[64], stored[64], signature[64];
    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), keys->salt, (int)keys->salt_bytes,
                      (int)keys->iterations, EVP_get_digestbyname(hash->digest), (int)n, salted);
    svi_scram_hmac(hash, salted, n, SV_STR("Client Key"), client);
    svi_scram_digest(hash, client, n, stored);
    svi_scram_hmac(hash, stored, n, auth, signature);
    for (size_t i = 0; i < n; i++) client[i] ^= signature[i];
    return base64((sv_str){(const char *)client, n});
}

/* RFC 5802 5: the example of SCRAM-SHA-1. */
static void vector_of_rfc5802(void **state)
{
    (void)state;
    svi_scram_keys keys;
    sv_str salt = unbase64("QSXCR+Q6sek8bf92");
    assert_int_equal(svi_scram_derive("SCRAM-SHA-1", SV_STR("pencil"), salt, 4096, &keys), SV_OK);
    sv_str nonce = SV_STR("fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j");
    sv_str auth =
        text_of("n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=%s,s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=%s",
                nonce.p, nonce.p);
    assert_string_equal(proof_of(&keys, "pencil", auth).p, "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
    uint8_t server[20];
    svi_scram_hmac(svi_scram_hash_find(SV_STR("SCRAM-SHA-1")), keys.server_key, 20, auth, server);
    assert_string_equal(base64((sv_str){(const char *)server, 20}).p,
                        "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
}

/* RFC 7677 3: proof and signature of the example, by the functions that the engine uses. The
 * engine's own nonces are base64, the example's is not, so the flow of messages is tested below
 * with ours. */
static void vector_of_rfc7677(void **state)
{
    (void)state;
    svi_scram_keys keys;
    sv_str salt = unbase64("W22ZaJ0SNY7soEsUEjb6gQ==");
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("pencil"), salt, 4096, &keys), SV_OK);
    sv_str nonce = SV_STR("rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    sv_str auth =
        text_of("n=user,r=rOprNGfwEbeRWgbNEkqO,r=%s,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=%s",
                nonce.p, nonce.p);
    assert_string_equal(proof_of(&keys, "pencil", auth).p,
                        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    uint8_t server[32];
    const svi_scram_hash *hash = svi_scram_hash_find(SV_STR("SCRAM-SHA-256"));
    svi_scram_hmac(hash, keys.server_key, 32, auth, server);
    assert_string_equal(base64((sv_str){(const char *)server, 32}).p,
                        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    /* StoredKey: H of the client's key that the example's proof gives back */
    sv_str proof = unbase64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    uint8_t signature[32], stored[32];
    svi_scram_hmac(hash, keys.stored_key, 32, auth, signature);
    for (size_t i = 0; i < 32; i++) signature[i] ^= (uint8_t)proof.p[i];
    svi_scram_digest(hash, signature, 32, stored);
    assert_memory_equal(stored, keys.stored_key, 32);
}

/* One exchange by the engine. */
typedef struct run {
    svi_sasl *sasl;
    svi_sasl_result r;
    sv_str bare, server_first, nonce;
} run;

static run begin_as(const char *mechanism, bool has_bindings, const char *first,
                    const svi_scram_keys *keys, bool real)
{
    svi_sasl_env env = env_of(has_bindings);
    run t = {.sasl = sasl_of(mechanism, &env)};
    assert_non_null(t.sasl);
    t.r = svi_sasl_step(t.sasl, sv_str_of(first));
    if (t.r.next != SVI_SASL_NEED_KEYS) return t;
    t.r = svi_sasl_keys(t.sasl, keys, real);
    assert_int_equal(t.r.next, SVI_SASL_CHALLENGE);
    t.server_first = svi_arena_str(arena, t.r.out);
    t.nonce = svi_str_sub(t.server_first, 2, svi_str_find(t.server_first, ',') - 2);
    t.bare = sv_str_of(strstr(first, "n="));
    return t;
}

static run begin(const char *first, const svi_scram_keys *keys, bool real)
{
    return begin_as("SCRAM-SHA-256", false, first, keys, real);
}

static void finish(run *t, const svi_scram_keys *keys, const char *password,
                   const char *without_proof)
{
    sv_str auth = text_of("%s,%s,%s", t->bare.p, t->server_first.p, without_proof);
    sv_str proof = proof_of(keys, password, auth);
    t->r = svi_sasl_step(t->sasl, text_of("%s,p=%s", without_proof, proof.p));
}

static sv_str hash_of(const char *mechanism, const char *text)
{
    const svi_scram_hash *hash = svi_scram_hash_find(sv_str_of(mechanism));
    uint8_t digest[64];
    svi_scram_digest(hash, text, strlen(text), digest);
    return base64((sv_str){(const char *)digest, hash->bytes});
}

/* XEP-0474 6.1 and its example 1: a hash of all mechanisms and channel bindings that were offered, in
 * order of octets, by the mechanism's own hash. */
static void tells_a_hash_of_what_was_offered(void **state)
{
    (void)state;
    assert_string_equal(hash_of("SCRAM-SHA-1", "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1e"
                                               "tls-server-end-point").p,
                        "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    static const char *const mechanisms[] = {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    for (size_t i = 0; i < 3; i++) {
        svi_scram_keys keys = keys_for(mechanisms[i], "pencil");
        run t = begin_as(mechanisms[i], true, "n,,n=user,r=x", &keys, true);
        sv_str want = hash_of(mechanisms[i], "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1eSCRAM-SHA-256\x1e"
                                             "SCRAM-SHA-256-PLUS\x1eSCRAM-SHA-512\x1e"
                                             "SCRAM-SHA-512-PLUS\x1ftls-exporter\x1e"
                                             "tls-server-end-point");
        assert_true(svi_str_ends(t.server_first, text_of(",h=%s", want.p)));
        svi_sasl_free(&t.sasl);
    }
}

/* The data of a channel binding stands behind the gs2 header in c= (RFC 5802 5.1, 6). */
static sv_str bound(const char *gs2, const svi_binding *b)
{
    char room[256];
    const size_t n = strlen(gs2);
    memcpy(room, gs2, n);
    if (b) memcpy(room + n, b->data, b->n);
    return base64((sv_str){room, n + (b ? b->n : 0)});
}

/* Every mechanism, with each binding the connection has; the right data, the other's, a byte more,
 * none. */
static void binds_to_the_channel(void **state)
{
    (void)state;
    static const char *const hashes[] = {"SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"};
    svi_binding longer = bindings[0];
    longer.n++;
    const svi_binding *const datas[] = {&bindings[0], &bindings[1], &bindings[2], &longer, NULL};
    for (size_t i = 0; i < 3 * 3 * 5; i++) {
        const char *hash = hashes[i % 3];
        const svi_binding *named = &bindings[i / 3 % 3], *data = datas[i / 9];
        svi_scram_keys keys = keys_for(hash, "pencil");
        sv_str gs2 = text_of("p=%s,,", named->type);
        run t = begin_as(text_of("%s-PLUS", hash).p, true, text_of("%sn=user,r=x", gs2.p).p, &keys,
                         true);
        finish(&t, &keys, "pencil",
               text_of("c=%s,r=%.*s", bound(gs2.p, data).p, (int)t.nonce.n, t.nonce.p).p);
        if ((t.r.next == SVI_SASL_SUCCESS) != (data == named))
            fail_msg("%zu: %s %s gave %s", i, hash, gs2.p, svi_sasl_fault_name(t.r.fault));
        svi_sasl_free(&t.sasl);
    }
}

/* What a -PLUS mechanism refuses: no binding named, one that the connection has not; and 'p' outside
 * of -PLUS. */
static void judges_bindings(void **state)
{
    (void)state;
    static const struct {
        const char *mechanism, *first;
    } cases[] = {
        {"SCRAM-SHA-256-PLUS", "n,,n=user,r=x"},
        {"SCRAM-SHA-256-PLUS", "y,,n=user,r=x"},
        {"SCRAM-SHA-256-PLUS", "p=tls-unique-for-telnet,,n=user,r=x"},
        {"SCRAM-SHA-256-PLUS", "p=tls-exporte,,n=user,r=x"},
        {"SCRAM-SHA-256", "p=tls-exporter,,n=user,r=x"},
    };
    svi_sasl_env env = env_of(true);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        svi_sasl *sasl = sasl_of(cases[i].mechanism, &env);
        svi_sasl_result result = svi_sasl_step(sasl, sv_str_of(cases[i].first));
        if (result.fault != SVI_SASL_NOT_AUTHORIZED) fail_msg("%zu: %s", i, cases[i].first);
        svi_sasl_free(&sasl);
    }
    env = env_of(false); /* not offered, so not known */
    assert_null(sasl_of("SCRAM-SHA-256-PLUS", &env));
}

static void offers_the_strongest_first(void **state)
{
    (void)state;
    static const char *const all[] = {"SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS",
                                      "SCRAM-SHA-1-PLUS",   "SCRAM-SHA-512",
                                      "SCRAM-SHA-256",      "SCRAM-SHA-1",
                                      "PLAIN"};
    svi_sasl_env tls = env_of(true), none = env_of(false);
    tls.is_secure = true;
    for (size_t i = 0; i < 7; i++) assert_string_equal(svi_sasl_offered(&tls, i), all[i]);
    for (size_t i = 0; i < 3; i++) assert_string_equal(svi_sasl_offered(&none, i), all[3 + i]);
    assert_null(svi_sasl_offered(&tls, 7));
    assert_null(svi_sasl_offered(&none, 3));
}

static void logs_in(void **state)
{
    (void)state;
    svi_scram_keys keys = keys_of("pencil");
    run t = begin("n,,n=Romeo,r=abc", &keys, true);
    assert_true(sv_str_eq(t.r.name, SV_STR("romeo"))); /* the prepared form (threats A9) */
    assert_true(svi_str_starts(t.nonce, SV_STR("abc")) && t.nonce.n == 3 + 24);
    assert_true(svi_str_ends(
        t.server_first, text_of(",s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096,h=%s",
                                hash_of("SCRAM-SHA-256", "SCRAM-SHA-1\x1eSCRAM-SHA-256\x1e"
                                                         "SCRAM-SHA-512").p)));
    sv_str final = text_of("c=biws,r=%.*s", (int)t.nonce.n, t.nonce.p);
    finish(&t, &keys, "pencil", final.p);
    assert_int_equal(t.r.next, SVI_SASL_SUCCESS);
    assert_true(sv_str_eq(t.r.name, SV_STR("romeo")));
    /* the server proves itself */
    uint8_t server[32];
    sv_str auth = text_of("n=Romeo,r=abc,%s,%s", t.server_first.p, final.p);
    svi_scram_hmac(svi_scram_hash_find(SV_STR("SCRAM-SHA-256")), keys.server_key, 32, auth, server);
    assert_true(sv_str_eq(t.r.out, text_of("v=%s", base64((sv_str){(const char *)server, 32}).p)));
    svi_sasl_free(&t.sasl);
}

/* The engine's own part with random bytes from outside: two exchanges never have one nonce. */
static void nonces_come_from_the_platform(void **state)
{
    (void)state;
    svi_scram_keys keys = keys_of("pencil");
    run a = begin("n,,n=user,r=x", &keys, true), b = begin("n,,n=user,r=x", &keys, true);
    assert_false(sv_str_eq(a.nonce, b.nonce));
    svi_sasl_free(&a.sasl);
    svi_sasl_free(&b.sasl);
    svi_plat plat = clock_.plat;
    plat.random = fixed_random;
    fixed_n = 18;
    memset(fixed, 0, sizeof fixed);
    svi_sasl_env env = {.plat = &plat, .host = SV_STR("localhost")};
    svi_sasl *sasl = sasl_of("SCRAM-SHA-256", &env);
    (void)svi_sasl_step(sasl, SV_STR("n,,n=user,r=x"));
    svi_sasl_result r = svi_sasl_keys(sasl, &keys, true);
    assert_true(svi_str_starts(r.out, SV_STR("r=xAAAAAAAAAAAAAAAAAAAAAAAA,s=")));
    svi_sasl_free(&sasl);
}

typedef struct final_case {
    const char *first, *password;
    const char *final; /* %N stands for the nonce */
    svi_sasl_fault fault;
} final_case;

static sv_str with_nonce(const char *text, sv_str nonce)
{
    const char *at = strstr(text, "%N");
    if (!at) return sv_str_of(text);
    return text_of("%.*s%.*s%s", (int)(at - text), text, (int)nonce.n, nonce.p, at + 2);
}

/* What follows a right first message; the proof is computed for exactly what is sent, so only
 * the named flaw can be the reason. */
static const final_case finals[] = {
    {"n,,n=user,r=x", "pencil", "c=biws,r=%N", SVI_SASL_OK},
    {"y,,n=user,r=x", "pencil", "c=eSws,r=%N", SVI_SASL_OK},
    {"n,,n=user,r=x", "pencil", "c=biws,r=%N,z=ignored", SVI_SASL_OK},
    {"n,,n=user,r=x,a=b,b=c=d", "pencil", "c=biws,r=%N", SVI_SASL_OK},
    {"n,a=user@localhost,n=user,r=x", "pencil", "c=bixhPXVzZXJAbG9jYWxob3N0LA==,r=%N", SVI_SASL_OK},
    {"n,,n=user,r=x", "pencil2", "c=biws,r=%N", SVI_SASL_NOT_AUTHORIZED},
    /* the whole c= value: other flag, more behind it, authzid left out, none, not base64
     * (threats A3) */
    {"n,,n=user,r=x", "pencil", "c=eSws,r=%N", SVI_SASL_NOT_AUTHORIZED},
    {"y,,n=user,r=x", "pencil", "c=biws,r=%N", SVI_SASL_NOT_AUTHORIZED},
    {"n,,n=user,r=x", "pencil", "c=biwsAAAA,r=%N", SVI_SASL_NOT_AUTHORIZED},
    {"n,a=user@localhost,n=user,r=x", "pencil", "c=biws,r=%N", SVI_SASL_NOT_AUTHORIZED},
    {"n,,n=user,r=x", "pencil", "c=,r=%N", SVI_SASL_MALFORMED_REQUEST},
    {"n,,n=user,r=x", "pencil", "c=%%%%,r=%N", SVI_SASL_NOT_AUTHORIZED},
    /* nonce: the client's only, changed at the end, longer, none, another order */
    {"n,,n=user,r=x", "pencil", "c=biws,r=x", SVI_SASL_NOT_AUTHORIZED},
    {"n,,n=user,r=x", "pencil", "c=biws,r=%Nx", SVI_SASL_NOT_AUTHORIZED},
    {"n,,n=user,r=x", "pencil", "c=biws,r=y%N", SVI_SASL_NOT_AUTHORIZED},
    {"n,,n=user,r=x", "pencil", "c=biws,r=", SVI_SASL_MALFORMED_REQUEST},
    {"n,,n=user,r=x", "pencil", "c=biws", SVI_SASL_MALFORMED_REQUEST},
    {"n,,n=user,r=x", "pencil", "r=%N,c=biws", SVI_SASL_MALFORMED_REQUEST},
    /* a mandatory extension nobody knows */
    {"n,,n=user,r=x", "pencil", "c=biws,r=%N,m=x", SVI_SASL_MALFORMED_REQUEST},
    {"n,,n=user,r=x", "pencil", "c=biws,r=%N,1=x", SVI_SASL_MALFORMED_REQUEST},
    {"n,,n=user,r=x", "pencil", "c=biws,r=%N,z=", SVI_SASL_MALFORMED_REQUEST},
};

static void judges_final_messages(void **state)
{
    (void)state;
    svi_scram_keys keys = keys_of("pencil");
    for (size_t i = 0; i < sizeof finals / sizeof finals[0]; i++) {
        const final_case *c = &finals[i];
        run t = begin(c->first, &keys, true);
        finish(&t, &keys, c->password, with_nonce(c->final, t.nonce).p);
        if (t.r.fault != c->fault || (t.r.next == SVI_SASL_SUCCESS) != (c->fault == SVI_SASL_OK))
            fail_msg("%zu: %s gave %s", i, c->final, svi_sasl_fault_name(t.r.fault));
        svi_sasl_free(&t.sasl);
    }
}

/* Proofs that are none, whatever stands before them. */
static void refuses_bad_proofs(void **state)
{
    (void)state;
    static const struct {
        const char *tail;
        svi_sasl_fault fault;
    } tails[] = {
        {"", SVI_SASL_MALFORMED_REQUEST},
        {",p=", SVI_SASL_MALFORMED_REQUEST},
        {",p=AAAA", SVI_SASL_NOT_AUTHORIZED},
        {",p=!", SVI_SASL_MALFORMED_REQUEST},
        {",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", SVI_SASL_NOT_AUTHORIZED},
        {",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SVI_SASL_NOT_AUTHORIZED},
        {",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,z=y", SVI_SASL_MALFORMED_REQUEST},
    };
    svi_scram_keys keys = keys_of("pencil");
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        run t = begin("n,,n=user,r=x", &keys, true);
        t.r = svi_sasl_step(t.sasl,
                            text_of("c=biws,r=%.*s%s", (int)t.nonce.n, t.nonce.p, tails[i].tail));
        assert_int_equal(t.r.next, SVI_SASL_FAILURE);
        assert_int_equal(t.r.fault, tails[i].fault);
        svi_sasl_free(&t.sasl);
    }
    /* the right proof with a byte behind it */
    run t = begin("n,,n=user,r=x", &keys, true);
    sv_str without = text_of("c=biws,r=%.*s", (int)t.nonce.n, t.nonce.p);
    sv_str auth = text_of("%s,%s,%s", t.bare.p, t.server_first.p, without.p);
    sv_str proof = unbase64(proof_of(&keys, "pencil", auth).p);
    char longer[33] = {0};
    assert_int_equal(proof.n, 32);
    memcpy(longer, proof.p, proof.n);
    t.r = svi_sasl_step(t.sasl,
                        text_of("%s,p=%s", without.p, base64((sv_str){longer, sizeof longer}).p));
    assert_int_equal(t.r.next, SVI_SASL_FAILURE);
    assert_int_equal(t.r.fault, SVI_SASL_NOT_AUTHORIZED);
    svi_sasl_free(&t.sasl);
}

typedef struct first_case {
    const char *text;
    svi_sasl_fault fault;
    const char *name;
} first_case;

static const first_case firsts[] = {
    {"n,,n=user,r=x", SVI_SASL_OK, "user"},
    {"n,,n=a=3Db=2Cc,r=x", SVI_SASL_OK, "a=b,c"},
    {"n,,n=fu\u00dfball,r=x", SVI_SASL_OK, "fu\u00dfball"},
    {"n,a=USER@LocalHost,n=user,r=x", SVI_SASL_OK, "user"},
    /* gs2 flag: unknown, channel binding that is not there, broken */
    {"p=tls-exporter,,n=user,r=x", SVI_SASL_NOT_AUTHORIZED, NULL},
    {"p=,,n=user,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"p=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"q,,n=user,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"nn,,n=user,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,", SVI_SASL_MALFORMED_REQUEST, NULL},
    {",,n=user,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"F,n,,n=user,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    /* authzid: somebody else, elsewhere, a resource, no node, not quoted right, empty */
    {"n,a=eve@localhost,n=user,r=x", SVI_SASL_INVALID_AUTHZID, NULL},
    {"n,a=user@other.host,n=user,r=x", SVI_SASL_INVALID_AUTHZID, NULL},
    {"n,a=user@localhost/r,n=user,r=x", SVI_SASL_INVALID_AUTHZID, NULL},
    {"n,a=user,n=user,r=x", SVI_SASL_INVALID_AUTHZID, NULL},
    {"n,a=localhost,n=user,r=x", SVI_SASL_INVALID_AUTHZID, NULL},
    {"n,a=user=40localhost,n=user,r=x", SVI_SASL_INVALID_AUTHZID, NULL},
    {"n,a=,n=user,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,b=user,n=user,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    /* name: empty, wrong quoting, what no account can be called */
    {"n,,n=,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=us=er,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=us=2cer,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=us=3,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=us=,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=us er,r=x", SVI_SASL_NOT_AUTHORIZED, NULL},
    {"n,,n=us@er,r=x", SVI_SASL_NOT_AUTHORIZED, NULL},
    {"n,,n=us\ner,r=x", SVI_SASL_NOT_AUTHORIZED, NULL},
    {"n,,n=\xff,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=user", SVI_SASL_MALFORMED_REQUEST, NULL},
    /* nonce: none, not printable, not ASCII */
    {"n,,n=user,r=", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=user,r=a b", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=user,r=\u00e9", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,r=x,n=user", SVI_SASL_MALFORMED_REQUEST, NULL},
    /* mandatory extensions (RFC 5802 5.1), in front and behind; broken optional ones */
    {"n,,m=x,n=user,r=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=user,r=x,m=x", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=user,r=x,", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=user,r=x,z", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"n,,n=user,r=x,z=,y=1", SVI_SASL_MALFORMED_REQUEST, NULL},
    {"", SVI_SASL_MALFORMED_REQUEST, NULL},
};

static void judges_first_messages(void **state)
{
    (void)state;
    svi_sasl_env env = env_of(false);
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        svi_sasl *sasl = sasl_of("SCRAM-SHA-256", &env);
        svi_sasl_result r = svi_sasl_step(sasl, sv_str_of(firsts[i].text));
        if (r.fault != firsts[i].fault ||
            (r.next == SVI_SASL_NEED_KEYS) != (firsts[i].name != NULL))
            fail_msg("%zu: %s gave %s", i, firsts[i].text, svi_sasl_fault_name(r.fault));
        if (firsts[i].name) assert_true(sv_str_eq(r.name, sv_str_of(firsts[i].name)));
        svi_sasl_free(&sasl);
    }
    svi_sasl *sasl = sasl_of("SCRAM-SHA-256", &env);
    assert_int_equal(svi_sasl_step(sasl, SV_STR("n,,n=us\0er,r=x")).fault,
                     SVI_SASL_MALFORMED_REQUEST);
    svi_sasl_free(&sasl);
    char *big = svi_arena_get(arena, 9001);
    memset(big, 'a', 9000);
    sasl = sasl_of("SCRAM-SHA-256", &env);
    assert_int_equal(svi_sasl_step(sasl, text_of("n,,n=user,r=%s", big)).fault,
                     SVI_SASL_MALFORMED_REQUEST);
    svi_sasl_free(&sasl);
}

/* RFC 5802 6: 'y' while -PLUS was offered is a downgrade by somebody in between; 'n' is not. */
static void refuses_y_when_plus_was_offered(void **state)
{
    (void)state;
    svi_sasl_env env = env_of(true);
    svi_sasl *sasl = sasl_of("SCRAM-SHA-256", &env);
    assert_int_equal(svi_sasl_step(sasl, SV_STR("y,,n=user,r=x")).fault, SVI_SASL_NOT_AUTHORIZED);
    svi_sasl_free(&sasl);
    sasl = sasl_of("SCRAM-SHA-256", &env);
    assert_int_equal(svi_sasl_step(sasl, SV_STR("n,,n=user,r=x")).next, SVI_SASL_NEED_KEYS);
    svi_sasl_free(&sasl);
}

/* Threats A4: a name without an account gets a challenge of the same shape, the same each time,
 * and fails only at the end, even with a proof that would fit. */
static void unknown_names_look_known(void **state)
{
    (void)state;
    svi_scram_keys fake, again, other, real = keys_of("pencil");
    svi_scram_keys_fake("SCRAM-SHA-256", SV_STR("secret"), SV_STR("nobody"), &fake);
    svi_scram_keys_fake("SCRAM-SHA-256", SV_STR("secret"), SV_STR("nobody"), &again);
    svi_scram_keys_fake("SCRAM-SHA-256", SV_STR("secret"), SV_STR("nobody2"), &other);
    assert_memory_equal(&fake, &again, sizeof fake);
    assert_memory_not_equal(fake.salt, other.salt, SVI_SCRAM_SALT_BYTES);
    assert_memory_not_equal(fake.salt, fake.stored_key, SVI_SCRAM_SALT_BYTES);
    assert_int_equal(fake.salt_bytes, SVI_SCRAM_SALT_BYTES);
    assert_int_equal(fake.iterations, SVI_SCRAM_ITERATIONS);
    run a = begin("n,,n=nobody,r=x", &fake, false), b = begin("n,,n=user,r=x", &real, true);
    assert_int_equal(a.nonce.n, b.nonce.n);
    assert_int_equal(a.server_first.n, b.server_first.n + 1); /* i=10000 against the test's 4096 */
    svi_sasl_free(&a.sasl);
    svi_sasl_free(&b.sasl);
    run c = begin("n,,n=nobody,r=x", &real, false);
    finish(&c, &real, "pencil", text_of("c=biws,r=%.*s", (int)c.nonce.n, c.nonce.p).p);
    assert_int_equal(c.r.next, SVI_SASL_FAILURE);
    assert_int_equal(c.r.fault, SVI_SASL_NOT_AUTHORIZED);
    svi_sasl_free(&c.sasl);
}

static void keeps_keys_as_records(void **state)
{
    (void)state;
    svi_scram_keys keys = keys_of("pencil"), back;
    svi_buf buf;
    svi_buf_init(&buf, &acct);
    svi_scram_keys_write(&buf, &keys);
    assert_int_equal(svi_scram_keys_read(svi_buf_str(&buf), &back), SV_OK);
    assert_memory_equal(&keys, &back, sizeof keys);
    /* cut anywhere it is refused */
    for (size_t n = 0; n < buf.len; n++)
        assert_int_equal(svi_scram_keys_read((sv_str){buf.data, n}, &back), SV_EINVAL);
    svi_buf_putc(&buf, ' ');
    svi_buf_putc(&buf, 'x');
    assert_int_equal(svi_scram_keys_read(svi_buf_str(&buf), &back), SV_EINVAL);
    assert_int_equal(svi_scram_keys_read(SV_STR("2 whatever"), &back), SV_EVERSION);
    assert_int_equal(svi_scram_keys_read(SV_STR("1 SCRAM-MD5 4096 AAAA AAAA AAAA"), &back),
                     SV_EINVAL);
    svi_buf_free(&buf);
}

static void derives_only_what_it_can(void **state)
{
    (void)state;
    svi_scram_keys a, b;
    sv_str salt = SV_STR("0123456789abcdef");
    assert_int_equal(svi_scram_derive("SCRAM-MD5", SV_STR("x"), salt, 1, &a), SV_ENOTFOUND);
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR(""), salt, 1, &a), SV_EINVAL);
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("a\tb"), salt, 1, &a), SV_EINVAL);
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR(""), 1, &a), SV_EINVAL);
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), salt, 0, &a), SV_EINVAL);
    assert_int_equal(
        svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), salt, SVI_SCRAM_MAX_ITERATIONS + 1, &a),
        SV_EINVAL);
    /* RFC 8265 4.2: one password however its accents and spaces are typed */
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("e\u0301\u00a0x"), salt, 1, &a),
                     SV_OK);
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("\u00e9 x"), salt, 1, &b), SV_OK);
    assert_memory_equal(&a, &b, sizeof a);
    svi_sasl_env env = env_of(false);
    svi_sasl_fault fault;
    assert_null(svi_sasl_new(&acct, SV_STR("PLAIN"), &env, &fault)); /* RFC 6120 6.5.3 */
    assert_int_equal(fault, SVI_SASL_ENCRYPTION_REQUIRED);
    assert_null(sasl_of("scram-sha-256", &env));
    assert_null(sasl_of("", &env));
}

static int set_up(void **state)
{
    (void)state;
    svi_plat_virtual_init(&clock_, 7);
    arena = svi_arena_new(&acct, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    svi_arena_free(&arena);
    return acct.live_bytes == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(vector_of_rfc5802, set_up, tear_down),
        cmocka_unit_test_setup_teardown(vector_of_rfc7677, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tells_a_hash_of_what_was_offered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(binds_to_the_channel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(judges_bindings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(offers_the_strongest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(logs_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonces_come_from_the_platform, set_up, tear_down),
        cmocka_unit_test_setup_teardown(judges_final_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_proofs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(judges_first_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_y_when_plus_was_offered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_names_look_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_keys_as_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(derives_only_what_it_can, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
