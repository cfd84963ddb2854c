/* The SCRAM exchange on the server's side: parses both client messages by the grammar of RFC
 * 5802 7, answers, verifies. */
#include "xmpp/xmpp_scram.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_jid.h"
#include "xmpp/xmpp_scram_keys.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define SCRAM_MAGIC 0x5c7a3001u
#define MESSAGE_MAX 8192u /* bytes of one client message; its name is at most 3 x 1023 of them */
#define OFFERED_MAX 16u /* mechanisms of one stream */
#define SERVER_NONCE_BYTES 18u /* base64 of 18 bytes has no padding */

typedef enum state { FIRST, KEYS, FINAL, ENDED } state;

struct svi_scram {
    uint32_t magic;
    state state;
    const svi_scram_hash *hash;
    bool plus, real;
    svi_sasl_env env;
    svi_arena *arena; /* everything the exchange keeps */
    svi_buf out;
    sv_str gs2;        /* header as received: part of what c= must hold */
    const svi_binding *binding; /* that the client named; NULL: none */
    sv_str first_bare; /* as received: "MUST use it as received in hash calculations" */
    sv_str name;       /* prepared */
    sv_str nonce;      /* the client's, then both */
    sv_str server_first;
    svi_scram_keys keys;
};

svi_scram *svi_scram_new(svi_acct *acct, const svi_scram_hash *hash, bool plus,
                         const svi_sasl_env *env)
{
    svi_scram *scram = svi_alloc(acct, sizeof *scram);
    scram->magic = SCRAM_MAGIC;
    scram->hash = hash;
    scram->plus = plus;
    scram->env = *env;
    scram->arena = svi_arena_new(acct, 1024);
    svi_buf_init(&scram->out, acct);
    return scram;
}

void svi_scram_free(svi_scram **scram)
{
    svi_scram *s = *scram;
    if (!s) return;
    SV_CHECK(s, SCRAM_MAGIC);
    svi_scram_keys_wipe(&s->keys);
    svi_buf_free(&s->out);
    svi_arena_free(&s->arena);
    s->magic = 0;
    svi_free(s);
    *scram = NULL;
}

static svi_sasl_result fail(svi_scram *scram, svi_sasl_fault fault)
{
    scram->state = ENDED;
    return (svi_sasl_result){.next = SVI_SASL_FAILURE, .fault = fault, .name = scram->name};
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* printable = %x21-2B / %x2D-7E, at least one. */
static bool is_printable(sv_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x21 || s.p[i] > 0x7e || s.p[i] == ',') return false;
    return s.n > 0;
}

/* Takes "X=value" off the front, up to the next comma or the end; false if it is another
 * attribute or empty. `*more_out`: a comma follows. The rest stands behind it. */
static bool take(sv_str *rest, char name, sv_str *value_out, bool *more_out)
{
    size_t end = svi_str_find(*rest, ',');
    if (end < 3 || rest->p[0] != name || rest->p[1] != '=') return false;
    *value_out = svi_str_sub(*rest, 2, end - 2);
    *more_out = end < rest->n;
    *rest = svi_str_sub(*rest, end + (*more_out ? 1 : 0), rest->n);
    return true;
}

/* Optional extensions are ignored, "m" is not (RFC 5802 5.1): attr-val *("," attr-val). */
static bool extensions_fit(sv_str rest)
{
    sv_str value;
    bool more = true;
    while (more) {
        if (rest.n == 0 || !is_alpha(rest.p[0]) || rest.p[0] == 'm') return false;
        if (!take(&rest, rest.p[0], &value, &more)) return false;
    }
    return true;
}

/* saslname: "=2C" and "=3D" only; anything else behind '=' fails (RFC 5802 5.1). */
static bool unescape(svi_arena *arena, sv_str text, sv_str *out)
{
    char *to = svi_arena_get(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '=') {
            to[n++] = text.p[i];
            continue;
        }
        sv_str code = svi_str_sub(text, i, 3);
        if (sv_str_eq(code, SV_STR("=2C")))
            to[n++] = ',';
        else if (sv_str_eq(code, SV_STR("=3D")))
            to[n++] = '=';
        else
            return false;
        i += 2;
    }
    *out = (sv_str){to, n};
    return n > 0;
}

static const svi_binding *find_binding(const svi_sasl_env *env, sv_str type)
{
    for (size_t i = 0; i < env->binding_count; i++)
        if (sv_str_eq(type, sv_str_of(env->bindings[i].type))) return &env->bindings[i];
    return NULL;
}

/* The flag of the gs2 header up to and with its comma. 'p' belongs to -PLUS and must name a binding
 * that the connection has; 'y' is refused when a -PLUS mechanism was offered: somebody has taken it
 * out of the list (RFC 5802 6). */
static svi_sasl_fault take_flag(svi_scram *scram, sv_str *rest)
{
    sv_str type;
    bool more;
    if (take(rest, 'p', &type, &more)) {
        if (!more) return SVI_SASL_MALFORMED_REQUEST;
        scram->binding = scram->plus ? find_binding(&scram->env, type) : NULL;
        return scram->binding ? SVI_SASL_OK : SVI_SASL_NOT_AUTHORIZED;
    }
    if (rest->n < 2 || rest->p[1] != ',') return SVI_SASL_MALFORMED_REQUEST;
    char flag = rest->p[0];
    if (flag != 'n' && flag != 'y') return SVI_SASL_MALFORMED_REQUEST;
    if (scram->plus || (flag == 'y' && scram->env.binding_count > 0))
        return SVI_SASL_NOT_AUTHORIZED;
    *rest = svi_str_sub(*rest, 2, rest->n);
    return SVI_SASL_OK;
}

const char *svi_scram_binding(const svi_scram *scram)
{
    SV_CHECK(scram, SCRAM_MAGIC);
    return scram->binding ? scram->binding->type : NULL;
}

/* [ "a=" saslname ] "," */
static svi_sasl_fault take_authzid(svi_scram *scram, sv_str *rest, sv_str *authzid_out)
{
    sv_str text;
    bool more;
    *authzid_out = SV_STR_NONE;
    if (rest->n > 0 && rest->p[0] == ',') {
        *rest = svi_str_sub(*rest, 1, rest->n);
        return SVI_SASL_OK;
    }
    if (!take(rest, 'a', &text, &more) || !more) return SVI_SASL_MALFORMED_REQUEST;
    return unescape(scram->arena, text, authzid_out) ? SVI_SASL_OK : SVI_SASL_INVALID_AUTHZID;
}

/* client-first-message-bare = username "," nonce ["," extensions]; a reserved-mext in front is
 * no username, so it fails. */
static svi_sasl_fault take_bare(svi_scram *scram, sv_str rest)
{
    sv_str escaped, name, nonce;
    bool more;
    scram->first_bare = svi_arena_str(scram->arena, rest);
    rest = scram->first_bare;
    if (!take(&rest, 'n', &escaped, &more) || !more) return SVI_SASL_MALFORMED_REQUEST;
    if (!take(&rest, 'r', &nonce, &more) || !is_printable(nonce)) return SVI_SASL_MALFORMED_REQUEST;
    if (more && !extensions_fit(rest)) return SVI_SASL_MALFORMED_REQUEST;
    if (!unescape(scram->arena, escaped, &name)) return SVI_SASL_MALFORMED_REQUEST;
    if (svi_jid_prep_node(scram->arena, name, &scram->name)) return SVI_SASL_NOT_AUTHORIZED;
    scram->nonce = nonce;
    return SVI_SASL_OK;
}

static svi_sasl_result on_first(svi_scram *scram, sv_str message)
{
    sv_str rest = message, authzid;
    svi_sasl_fault fault = take_flag(scram, &rest);
    if (!fault) fault = take_authzid(scram, &rest, &authzid);
    if (!fault)
        scram->gs2 = svi_arena_str(scram->arena, svi_str_sub(message, 0, message.n - rest.n));
    if (!fault) fault = take_bare(scram, rest);
    if (!fault && !svi_sasl_authzid_fits(scram->arena, authzid, scram->name, scram->env.host))
        fault = SVI_SASL_INVALID_AUTHZID;
    if (fault) return fail(scram, fault);
    scram->state = KEYS;
    return (svi_sasl_result){
        .next = SVI_SASL_NEED_KEYS, .name = scram->name, .keys = scram->hash->mechanism};
}

static int by_octets(const void *a, const void *b)
{
    return svi_str_cmp(*(const sv_str *)a, *(const sv_str *)b);
}

/* Appends the words in order of their octets, with 0x1E between them. */
static void put_sorted(svi_buf *buf, sv_str *words, size_t count)
{
    qsort(words, count, sizeof *words, by_octets);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) svi_buf_putc(buf, 0x1e);
        svi_buf_put(buf, words[i]);
    }
}

/* XEP-0474 6.1: a hash of all that was offered, signed by the exchange, so that a client sees if
 * somebody has taken the better half out. */
static void put_offer_hash(svi_scram *scram)
{
    const svi_sasl_env *env = &scram->env;
    sv_str words[OFFERED_MAX], types[SVI_BINDINGS_MAX];
    uint8_t digest[64];
    size_t count = 0;
    const char *name;
    while ((name = svi_sasl_offered(env, count)) != NULL) {
        SV_ASSERT(count < OFFERED_MAX);
        words[count++] = sv_str_of(name);
    }
    size_t type_count = 0;
    for (size_t i = 0; i < env->binding_count; i++)
        if (!env->bindings[i].is_silent) types[type_count++] = sv_str_of(env->bindings[i].type);
    svi_buf text;
    svi_buf_init(&text, scram->out.acct);
    put_sorted(&text, words, count);
    if (env->binding_count > 0) svi_buf_putc(&text, 0x1f);
    put_sorted(&text, types, type_count);
    svi_scram_digest(scram->hash, text.data, text.len, digest);
    svi_buf_free(&text);
    svi_buf_put(&scram->out, SV_STR(",h="));
    svi_base64_put(&scram->out, (sv_str){(const char *)digest, scram->hash->bytes});
}

svi_sasl_result svi_scram_keys_given(svi_scram *scram, const svi_scram_keys *keys, bool real)
{
    SV_CHECK(scram, SCRAM_MAGIC);
    SV_ASSERT(scram->state == KEYS);
    SV_ASSERT(keys->key_bytes == scram->hash->bytes && keys->salt_bytes <= sizeof keys->salt);
    char ours[SERVER_NONCE_BYTES];
    scram->keys = *keys;
    scram->real = real;
    scram->env.plat->random(scram->env.plat->ctx, ours, sizeof ours);
    svi_buf_clear(&scram->out);
    svi_buf_put(&scram->out, SV_STR("r="));
    svi_buf_put(&scram->out, scram->nonce);
    svi_base64_put(&scram->out, (sv_str){ours, sizeof ours});
    size_t nonce_end = scram->out.len;
    svi_buf_put(&scram->out, SV_STR(",s="));
    svi_base64_put(&scram->out, (sv_str){(const char *)keys->salt, keys->salt_bytes});
    svi_buf_put(&scram->out, SV_STR(",i="));
    svi_buf_int(&scram->out, keys->iterations);
    put_offer_hash(scram);
    scram->server_first = svi_arena_str(scram->arena, svi_buf_str(&scram->out));
    scram->nonce = svi_str_sub(scram->server_first, 2, nonce_end - 2);
    scram->state = FINAL;
    return (svi_sasl_result){
        .next = SVI_SASL_CHALLENGE, .out = scram->server_first, .name = scram->name};
}

/* The whole value that c= must have: the gs2 header, and behind it the data of the channel binding or
 * nothing (RFC 5802 5.1, threats A3). */
static bool binding_fits(svi_scram *scram, sv_str value)
{
    const size_t data_n = scram->binding ? scram->binding->n : 0;
    char *input = svi_arena_get(scram->arena, scram->gs2.n + data_n);
    memcpy(input, scram->gs2.p, scram->gs2.n);
    if (data_n > 0) memcpy(input + scram->gs2.n, scram->binding->data, data_n);
    svi_buf_clear(&scram->out);
    svi_base64_put(&scram->out, (sv_str){input, scram->gs2.n + data_n});
    return svi_str_eq_secret(value, svi_buf_str(&scram->out));
}

/* client-final-message = c "," r ["," extensions] "," p; finds the proof and what stands before
 * it. */
static bool split_final(sv_str message, sv_str *binding_out, sv_str *nonce_out, sv_str *proof_out,
                        sv_str *without_proof_out)
{
    sv_str rest = message;
    bool more;
    if (!take(&rest, 'c', binding_out, &more) || !more) return false;
    if (!take(&rest, 'r', nonce_out, &more) || !more) return false;
    while (rest.n > 0 && rest.p[0] != 'p') {
        sv_str value;
        if (!is_alpha(rest.p[0]) || rest.p[0] == 'm') return false;
        if (!take(&rest, rest.p[0], &value, &more) || !more) return false;
    }
    *without_proof_out = svi_str_sub(message, 0, message.n - rest.n - 1);
    return take(&rest, 'p', proof_out, &more) && !more;
}

/* Always does the whole work, then says if the proof is right; `server_out` gets the server's
 * signature. */
static bool proof_fits(svi_scram *scram, sv_str auth, sv_str proof, uint8_t *server_out)
{
    const svi_scram_hash *hash = scram->hash;
    uint8_t signature[64], stored[64];
    svi_scram_hmac(hash, scram->keys.stored_key, hash->bytes, auth, signature);
    svi_scram_hmac(hash, scram->keys.server_key, hash->bytes, auth, server_out);
    if (proof.n != hash->bytes) return false;
    for (size_t i = 0; i < hash->bytes; i++) signature[i] ^= (uint8_t)proof.p[i];
    svi_scram_digest(hash, signature, hash->bytes, stored); /* signature is now the client's key */
    bool same = CRYPTO_memcmp(stored, scram->keys.stored_key, hash->bytes) == 0;
    OPENSSL_cleanse(signature, sizeof signature);
    return same;
}

static svi_sasl_result on_final(svi_scram *scram, sv_str message)
{
    sv_str binding, nonce, proof, without_proof;
    uint8_t server[64];
    if (!split_final(message, &binding, &nonce, &proof, &without_proof))
        return fail(scram, SVI_SASL_MALFORMED_REQUEST);
    svi_buf_clear(&scram->out);
    if (svi_base64_get(&scram->out, proof)) return fail(scram, SVI_SASL_MALFORMED_REQUEST);
    sv_str raw = svi_arena_str(scram->arena, svi_buf_str(&scram->out));
    sv_str auth = svi_arena_printf(scram->arena, "%.*s,%.*s,%.*s", (int)scram->first_bare.n,
                                   scram->first_bare.p, (int)scram->server_first.n,
                                   scram->server_first.p, (int)without_proof.n, without_proof.p);
    bool fits = proof_fits(scram, auth, raw, server);
    fits = binding_fits(scram, binding) && fits;
    fits = svi_str_eq_secret(nonce, scram->nonce) && fits;
    if (!fits || !scram->real) return fail(scram, SVI_SASL_NOT_AUTHORIZED);
    scram->state = ENDED;
    svi_buf_clear(&scram->out);
    svi_buf_put(&scram->out, SV_STR("v="));
    svi_base64_put(&scram->out, (sv_str){(const char *)server, scram->hash->bytes});
    return (svi_sasl_result){
        .next = SVI_SASL_SUCCESS, .out = svi_buf_str(&scram->out), .name = scram->name};
}

svi_sasl_result svi_scram_step(svi_scram *scram, sv_str message)
{
    SV_CHECK(scram, SCRAM_MAGIC);
    SV_ASSERT(scram->state == FIRST || scram->state == FINAL);
    if (message.n == 0 || message.n > MESSAGE_MAX || memchr(message.p, 0, message.n) ||
        !svi_utf8_valid(message))
        return fail(scram, SVI_SASL_MALFORMED_REQUEST);
    return scram->state == FIRST ? on_first(scram, message) : on_final(scram, message);
}
