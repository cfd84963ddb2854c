/* Fuzzes SASL: lines of input are a client's messages to one exchange. A final message may be
 * left to the harness ("!" and what is to stand before the proof), which knows the password;
 * only then may the exchange succeed. In a message behind "?" it fills in the nonce alone. */
#include <stdio.h>
#include <stdlib.h>

#include "xmpp/xmpp_jid.h"
#include "xmpp/xmpp_sasl.h"
#include "xmpp/xmpp_scram_keys.h"

static svi_acct acct = {.name = "fuzz"};

#define MUST(e)                                                                                    \
    do {                                                                                           \
        if (!(e)) {                                                                                \
            fprintf(stderr, "fuzz_sasl.c:%d: does not hold: %s\n", __LINE__, #e);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Keys of which the client's is all sevens: no PBKDF2 in a fuzzer. */
static void known_keys(const svi_scram_hash *hash, svi_scram_keys *keys, uint8_t client[64])
{
    memset(client, 7, 64);
    *keys = (svi_scram_keys){.salt_bytes = 16, .iterations = 4096, .key_bytes = hash->bytes};
    (void)snprintf(keys->mechanism, sizeof keys->mechanism, "%s", hash->mechanism);
    svi_scram_digest(hash, client, hash->bytes, keys->stored_key);
}

typedef struct talk {
    svi_arena *arena;
    const svi_scram_hash *hash;
    svi_scram_keys keys;
    uint8_t client[64];
    sv_str first, server_first, final;
    bool real, has_bindings, plus, is_ours;
} talk;

static sv_str nonce_of(const talk *t)
{
    return svi_str_sub(t->server_first, 2, svi_str_find(t->server_first, ',') - 2);
}

/* "%" stands for the nonce. */
static sv_str with_nonce(talk *t, sv_str text)
{
    svi_buf buf;
    svi_buf_init(&buf, &acct);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '%')
            svi_buf_put(&buf, nonce_of(t));
        else
            svi_buf_putc(&buf, text.p[i]);
    }
    const sv_str all = svi_arena_str(t->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return all;
}

/* The message with the right proof for exactly this text. */
static sv_str with_proof(talk *t, sv_str text)
{
    svi_buf buf;
    uint8_t signature[64];
    svi_buf_init(&buf, &acct);
    const sv_str without = with_nonce(t, text);
    /* client-first-message-bare: behind the second comma */
    sv_str bare = t->first, word;
    svi_str_split(&bare, ',', &word);
    svi_str_split(&bare, ',', &word);
    svi_buf_put(&buf, bare);
    svi_buf_putc(&buf, ',');
    svi_buf_put(&buf, t->server_first);
    svi_buf_putc(&buf, ',');
    svi_buf_put(&buf, without);
    svi_scram_hmac(t->hash, t->keys.stored_key, t->hash->bytes, svi_buf_str(&buf), signature);
    for (size_t i = 0; i < t->hash->bytes; i++) signature[i] ^= t->client[i];
    svi_buf_clear(&buf);
    svi_buf_put(&buf, without);
    svi_buf_put(&buf, SV_STR(",p="));
    svi_base64_put(&buf, (sv_str){(const char *)signature, t->hash->bytes});
    const sv_str all = svi_arena_str(t->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return all;
}

/* RFC 5802 5.1: the final message repeats the gs2 header, with the channel binding's data behind it, and
 * the whole nonce. */
static void check_final(const talk *t)
{
    svi_buf buf;
    sv_str rest = t->first, word;
    svi_str_split(&rest, ',', &word);
    svi_str_split(&rest, ',', &word);
    svi_buf_init(&buf, &acct);
    svi_buf_put(&buf, svi_str_sub(t->first, 0, t->first.n - rest.n));
    if (t->plus) svi_buf_put(&buf, SV_STR("data"));
    const sv_str input = svi_arena_str(t->arena, svi_buf_str(&buf));
    svi_buf_clear(&buf);
    svi_buf_put(&buf, SV_STR("c="));
    svi_base64_put(&buf, input);
    svi_buf_put(&buf, SV_STR(",r="));
    svi_buf_put(&buf, nonce_of(t));
    svi_buf_putc(&buf, ',');
    MUST(svi_str_starts(t->final, svi_buf_str(&buf)));
    svi_buf_free(&buf);
}

/* What a success says about the messages before it. */
static void check_success(const talk *t, const svi_sasl_result *r)
{
    sv_str again;
    MUST(t->is_ours && t->real);
    check_final(t);
    if (t->plus)
        MUST(svi_str_starts(t->first, SV_STR("p=tls-exporter,")));
    else
        MUST(t->first.p[0] == 'n' || (t->first.p[0] == 'y' && !t->has_bindings));
    MUST(svi_jid_prep_node(t->arena, r->name, &again) == SV_OK && sv_str_eq(again, r->name));
    MUST(svi_str_starts(r->out, SV_STR("v=")));
}

/* A certificate's two names; the message chooses one, if anything. */
static const sv_str cert_names[] = {SV_STR_INIT("romeo"), SV_STR_INIT("nurse")};

static void by_certificate(talk *t, svi_sasl *sasl, sv_str message)
{
    sv_jid jid;
    svi_sasl_result r = svi_sasl_step(sasl, message);
    if (r.next == SVI_SASL_FAILURE) return;
    MUST(r.next == SVI_SASL_NEED_ACCOUNT);
    MUST(svi_jid_parse(t->arena, message, &jid) == SV_OK && svi_jid_is_bare(&jid));
    MUST(sv_str_eq(jid.node, r.name) && sv_str_eq(jid.domain, SV_STR("localhost")));
    MUST(sv_str_eq(r.name, cert_names[0]) || sv_str_eq(r.name, cert_names[1]));
    r = svi_sasl_account(sasl, t->real ? SVI_SASL_OK : SVI_SASL_NOT_AUTHORIZED);
    MUST(r.next == (t->real ? SVI_SASL_SUCCESS : SVI_SASL_FAILURE));
}

static void as_guest(svi_sasl *sasl, sv_str message)
{
    const svi_sasl_result r = svi_sasl_step(sasl, message);
    MUST(r.next == SVI_SASL_GUEST || r.next == SVI_SASL_FAILURE);
    MUST(r.next == SVI_SASL_FAILURE || (message.n <= 1020 && svi_utf8_valid(message)));
    MUST(r.name.n == 0);
}

static void converse(talk *t, svi_sasl *sasl, sv_str rest)
{
    sv_str line;
    if (strcmp(svi_sasl_mechanism(sasl), "EXTERNAL") == 0) {
        by_certificate(t, sasl, rest);
        return;
    }
    if (strcmp(svi_sasl_mechanism(sasl), "ANONYMOUS") == 0) {
        as_guest(sasl, rest);
        return;
    }
    while (svi_str_split(&rest, '\n', &line)) {
        t->is_ours = t->server_first.n > 0 && line.n > 0 && line.p[0] == '!';
        if (t->is_ours) line = with_proof(t, svi_str_sub(line, 1, line.n));
        if (t->server_first.n > 0 && line.n > 0 && line.p[0] == '?')
            line = with_nonce(t, svi_str_sub(line, 1, line.n));
        t->final = line;
        if (t->first.n == 0) t->first = line;
        svi_sasl_result r = svi_sasl_step(sasl, line);
        if (r.next == SVI_SASL_NEED_KEYS) {
            MUST(r.name.n > 0 && r.keys && svi_scram_hash_find(sv_str_of(r.keys)));
            r = svi_sasl_keys(sasl, &t->keys, t->real);
            if (r.next == SVI_SASL_CHALLENGE) t->server_first = svi_arena_str(t->arena, r.out);
        }
        if (r.next == SVI_SASL_NEED_WORK) { /* not done here: PBKDF2 */
            MUST(r.name.n > 0);
            svi_sasl_work_free(&r.work);
            return;
        }
        if (r.next == SVI_SASL_SUCCESS) check_success(t, &r);
        if (r.next != SVI_SASL_CHALLENGE) return;
    }
}

static void record(sv_str text)
{
    svi_scram_keys keys;
    if (svi_scram_keys_read(text, &keys)) return;
    svi_buf buf;
    svi_buf_init(&buf, &acct);
    svi_scram_keys_write(&buf, &keys);
    svi_scram_keys again;
    MUST(svi_scram_keys_read(svi_buf_str(&buf), &again) == SV_OK);
    MUST(memcmp(&keys, &again, sizeof keys) == 0);
    svi_buf_free(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    svi_plat_virtual clock;
    svi_plat_virtual_init(&clock, data[0]);
    const sv_str text = {(const char *)data + 1, size - 1};
    /* the first byte chooses: bit 0 a real account, 1 channel bindings, 2 and 3 the hash, 4 -PLUS, 5 PLAIN,
     * 6 EXTERNAL, 7 ANONYMOUS */
    static const char *const hashes[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "SCRAM-SHA-512",
                                         "SCRAM-SHA-256"};
    static const svi_binding binding = {.type = "tls-exporter", .data = "data", .n = 4};
    const char *const name = hashes[data[0] >> 2 & 3];
    talk t = {.arena = svi_arena_new(&acct, 0),
              .hash = svi_scram_hash_find(sv_str_of(name)),
              .real = data[0] & 1,
              .has_bindings = data[0] & 2,
              .plus = (data[0] & 2) && (data[0] & 16)};
    known_keys(t.hash, &t.keys, t.client);
    const svi_sasl_env env = {.plat = &clock.plat,
                              .host = SV_STR("localhost"),
                              .is_secure = true,
                              .bindings = &binding,
                              .binding_count = t.has_bindings,
                              .cert_names = cert_names,
                              .cert_name_count = 2,
                              .has_guests = true};
    char mechanism[32];
    (void)snprintf(mechanism, sizeof mechanism, "%s%s", data[0] & 32 ? "PLAIN" : name,
                   t.plus && !(data[0] & 32) ? "-PLUS" : "");
    if (data[0] & 64) (void)snprintf(mechanism, sizeof mechanism, "EXTERNAL");
    if (data[0] & 128) (void)snprintf(mechanism, sizeof mechanism, "ANONYMOUS");
    svi_sasl_fault fault;
    svi_sasl *sasl = svi_sasl_new(&acct, sv_str_of(mechanism), &env, &fault);
    MUST(sasl && fault == SVI_SASL_OK);
    converse(&t, sasl, text);
    svi_sasl_free(&sasl);
    record(text);
    svi_arena_free(&t.arena);
    MUST(atomic_load(&acct.live_bytes) == 0);
    return 0;
}
