/* What is stored of a password for SCRAM: derivation, the record, and made-up keys for names
 * without an account. */
#include "xmpp/xmpp_scram_keys.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_precis.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

/* A further hash is a line here, and two in xmpp_sasl.c. */
static const svi_scram_hash hashes[] = {
    {.mechanism = "SCRAM-SHA-512", .digest = "SHA512", .bytes = 64},
    {.mechanism = "SCRAM-SHA-256", .digest = "SHA256", .bytes = 32},
    {.mechanism = "SCRAM-SHA-1", .digest = "SHA1", .bytes = 20},
};
_Static_assert(sizeof hashes / sizeof hashes[0] == SVI_SCRAM_HASHES, "as xmpp_sasl.h says");

const svi_scram_hash *svi_scram_hash_find(sv_str mechanism)
{
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++)
        if (sv_str_eq(mechanism, sv_str_of(hashes[i].mechanism))) return &hashes[i];
    return NULL;
}

void svi_scram_hmac(const svi_scram_hash *hash, const void *key, size_t key_bytes, sv_str text,
                    uint8_t *out)
{
    size_t n = 0;
    unsigned char *done = EVP_Q_mac(NULL, "HMAC", NULL, hash->digest, NULL, key, key_bytes,
                                    (const unsigned char *)text.p, text.n, out, hash->bytes, &n);
    SV_ASSERT(done && n == hash->bytes);
}

void svi_scram_digest(const svi_scram_hash *hash, const void *data, size_t bytes, uint8_t *out)
{
    size_t n = 0;
    int done = EVP_Q_digest(NULL, hash->digest, NULL, data, bytes, out, &n);
    SV_ASSERT(done == 1 && n == hash->bytes);
}

/* RFC 5802 3: SaltedPassword, ClientKey, StoredKey, ServerKey. */
static void derive(const svi_scram_hash *hash, sv_str password, svi_scram_keys *keys)
{
    uint8_t salted[64], client[64];
    const EVP_MD *md = EVP_get_digestbyname(hash->digest);
    SV_ASSERT(md && password.n <= SVI_PRECIS_MAX * 3);
    int done = PKCS5_PBKDF2_HMAC(password.p, (int)password.n, keys->salt, (int)keys->salt_bytes,
                                 (int)keys->iterations, md, (int)hash->bytes, salted);
    SV_ASSERT(done == 1);
    svi_scram_hmac(hash, salted, hash->bytes, SV_STR("Client Key"), client);
    svi_scram_digest(hash, client, hash->bytes, keys->stored_key);
    svi_scram_hmac(hash, salted, hash->bytes, SV_STR("Server Key"), keys->server_key);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
}

sv_status svi_scram_derive(const char *mechanism, sv_str password, sv_str salt, uint32_t iterations,
                           svi_scram_keys *keys_out)
{
    svi_acct acct = {.name = "scram"};
    const svi_scram_hash *hash = svi_scram_hash_find(sv_str_of(mechanism));
    if (!hash) return SV_ENOTFOUND;
    if (salt.n == 0 || salt.n > sizeof keys_out->salt) return SV_EINVAL;
    if (iterations == 0 || iterations > SVI_SCRAM_MAX_ITERATIONS) return SV_EINVAL;
    *keys_out =
        (svi_scram_keys){.salt_bytes = salt.n, .iterations = iterations, .key_bytes = hash->bytes};
    (void)snprintf(keys_out->mechanism, sizeof keys_out->mechanism, "%s", hash->mechanism);
    memcpy(keys_out->salt, salt.p, salt.n);
    svi_arena *arena = svi_arena_new(&acct, 64 * 1024);
    sv_str prepared;
    sv_status status = svi_precis_opaque(arena, password, &prepared);
    if (status == SV_OK) derive(hash, prepared, keys_out);
    svi_arena_free(&arena);
    return status;
}

sv_status svi_scram_derive_all(const svi_plat *plat, sv_str password,
                               svi_scram_keys keys_out[SVI_SCRAM_HASHES])
{
    sv_status status = SV_OK;
    for (size_t i = 0; i < SVI_SCRAM_HASHES && status == SV_OK; i++) {
        char salt[SVI_SCRAM_SALT_BYTES];
        plat->random(plat->ctx, salt, sizeof salt);
        status = svi_scram_derive(hashes[i].mechanism, password, (sv_str){salt, sizeof salt},
                                  SVI_SCRAM_ITERATIONS, &keys_out[i]);
    }
    return status;
}

void svi_scram_keys_wipe(svi_scram_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof *keys);
}

static void put_base64(svi_buf *buf, const uint8_t *data, size_t bytes)
{
    svi_buf_putc(buf, ' ');
    svi_base64_put(buf, (sv_str){(const char *)data, bytes});
}

void svi_scram_keys_write(svi_buf *buf, const svi_scram_keys *keys)
{
    svi_buf_printf(buf, "1 %s %u", keys->mechanism, keys->iterations);
    put_base64(buf, keys->salt, keys->salt_bytes);
    put_base64(buf, keys->stored_key, keys->key_bytes);
    put_base64(buf, keys->server_key, keys->key_bytes);
}

/* The next word as base64 into `to`: its length, 0 if it is missing, broken or longer than
 * `room`. */
static size_t get_base64(sv_str *rest, uint8_t *to, size_t room)
{
    svi_acct acct = {.name = "scram"};
    svi_buf buf;
    sv_str word;
    size_t n = 0;
    svi_buf_init(&buf, &acct);
    if (svi_str_split(rest, ' ', &word) && svi_base64_get(&buf, word) == SV_OK && buf.len <= room) {
        n = buf.len;
        if (n) memcpy(to, buf.data, n);
    }
    if (buf.data) OPENSSL_cleanse(buf.data, buf.cap);
    svi_buf_free(&buf);
    return n;
}

sv_status svi_scram_keys_read(sv_str record, svi_scram_keys *keys_out)
{
    sv_str rest = record, word;
    int64_t number;
    if (!svi_str_split(&rest, ' ', &word) || svi_str_int(word, 1, INT32_MAX, &number))
        return SV_EINVAL;
    if (number != 1) return SV_EVERSION;
    const svi_scram_hash *hash =
        svi_str_split(&rest, ' ', &word) ? svi_scram_hash_find(word) : NULL;
    if (!hash) return SV_EINVAL;
    *keys_out = (svi_scram_keys){.key_bytes = hash->bytes};
    (void)snprintf(keys_out->mechanism, sizeof keys_out->mechanism, "%s", hash->mechanism);
    if (!svi_str_split(&rest, ' ', &word) ||
        svi_str_int(word, 1, SVI_SCRAM_MAX_ITERATIONS, &number))
        return SV_EINVAL;
    keys_out->iterations = (uint32_t)number;
    keys_out->salt_bytes = get_base64(&rest, keys_out->salt, sizeof keys_out->salt);
    bool whole = keys_out->salt_bytes > 0;
    whole = get_base64(&rest, keys_out->stored_key, sizeof keys_out->stored_key) == hash->bytes &&
            whole;
    whole = get_base64(&rest, keys_out->server_key, sizeof keys_out->server_key) == hash->bytes &&
            whole;
    return whole && rest.n == 0 ? SV_OK : SV_EINVAL;
}

void svi_scram_keys_fake(const char *mechanism, sv_str secret, sv_str account,
                         svi_scram_keys *keys_out)
{
    static const char *const purposes[] = {"salt", "stored", "server"};
    const svi_scram_hash *hash = svi_scram_hash_find(sv_str_of(mechanism));
    uint8_t parts[3][64];
    char text[3 * 1023 + 64];
    SV_ASSERT(hash && account.n <= 3 * 1023);
    for (size_t i = 0; i < 3; i++) {
        int head = snprintf(text, 64, "%s %s ", purposes[i], hash->mechanism);
        SV_ASSERT(head > 0 && head < 64);
        if (account.n) memcpy(text + head, account.p, account.n);
        svi_scram_hmac(hash, secret.p, secret.n, (sv_str){text, (size_t)head + account.n},
                       parts[i]);
    }
    *keys_out = (svi_scram_keys){.salt_bytes = SVI_SCRAM_SALT_BYTES,
                                 .iterations = SVI_SCRAM_ITERATIONS,
                                 .key_bytes = hash->bytes};
    (void)snprintf(keys_out->mechanism, sizeof keys_out->mechanism, "%s", hash->mechanism);
    memcpy(keys_out->salt, parts[0], 20); /* more than it tells, for back ends whose salts are longer */
    memcpy(keys_out->stored_key, parts[1], hash->bytes);
    memcpy(keys_out->server_key, parts[2], hash->bytes);
}
