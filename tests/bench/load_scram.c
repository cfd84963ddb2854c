/* The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), with the keys of each salt remembered. */
#include "load.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HASH = 32, SALT_MAX = 64 };

typedef struct keys {
    struct keys *next;
    char salt[SALT_MAX * 2]; /* base64, as it came */
    char password[32];
    long iterations;
    uint8_t client[HASH], stored[HASH], server[HASH];
} keys;

static void hmac(const uint8_t key[HASH], const char *text, size_t n, uint8_t out[HASH])
{
    unsigned size = HASH;
    if (!HMAC(EVP_sha256(), key, HASH, (const uint8_t *)text, n, out, &size)) load_die("HMAC");
}

/* Decodes base64; returns the number of bytes, 0 if malformed. */
static size_t unbase64(const char *text, uint8_t *out, size_t size)
{
    const size_t n = strlen(text);
    if (n == 0 || n % 4 != 0 || n / 4 * 3 > size) return 0;
    const int got = EVP_DecodeBlock(out, (const uint8_t *)text, (int)n);
    if (got < 0) return 0;
    return (size_t)got - (text[n - 1] == '=') - (text[n - 2] == '=');
}

static const keys *keys_of(const char *password, const char *salt, long iterations)
{
    static keys *known[4096];
    size_t slot = (size_t)iterations;
    for (const char *p = salt; *p; p++) slot = slot * 31 + (uint8_t)*p;
    keys **head = &known[slot % 4096];
    for (const keys *k = *head; k; k = k->next)
        if (k->iterations == iterations && !strcmp(k->salt, salt) && !strcmp(k->password, password))
            return k;
    uint8_t raw[SALT_MAX], salted[HASH];
    const size_t raw_n = unbase64(salt, raw, sizeof raw);
    if (raw_n == 0) return NULL;
    keys *k = calloc(1, sizeof *k);
    if (!k) load_die("no memory");
    (void)snprintf(k->salt, sizeof k->salt, "%s", salt);
    (void)snprintf(k->password, sizeof k->password, "%s", password);
    k->iterations = iterations;
    if (PKCS5_PBKDF2_HMAC(password, (int)strlen(password), raw, (int)raw_n, (int)iterations,
                          EVP_sha256(), HASH, salted) != 1)
        load_die("PBKDF2");
    hmac(salted, "Client Key", 10, k->client);
    hmac(salted, "Server Key", 10, k->server);
    if (!EVP_Digest(k->client, HASH, k->stored, NULL, EVP_sha256(), NULL)) load_die("SHA-256");
    k->next = *head;
    *head = k;
    return k;
}

/* "r=NONCE,s=SALT,i=COUNT" */
static bool split(const char *challenge, char nonce[128], char salt[SALT_MAX * 2], long *iterations)
{
    return sscanf(challenge, "r=%127[^,],s=%64[^,],i=%ld", nonce, salt, iterations) == 3 &&
           *iterations > 0;
}

bool load_scram_final(const char *password, const char *first_bare, const char *challenge, size_t n,
                      char *out, size_t out_size, uint8_t signature_out[32])
{
    char first[512], nonce[128], salt[SALT_MAX * 2], auth[1024];
    long iterations;
    if (n >= sizeof first) return false;
    memcpy(first, challenge, n);
    first[n] = 0;
    if (!split(first, nonce, salt, &iterations)) return false;
    const keys *k = keys_of(password, salt, iterations);
    if (!k) return false;
    char bare[160];
    (void)snprintf(bare, sizeof bare, "c=biws,r=%s", nonce); /* biws: "n,," */
    const int auth_n = snprintf(auth, sizeof auth, "%s,%s,%s", first_bare, first, bare);
    if (auth_n < 0 || (size_t)auth_n >= sizeof auth) return false;
    uint8_t proof[HASH];
    hmac(k->stored, auth, (size_t)auth_n, proof);
    for (size_t i = 0; i < HASH; i++) proof[i] ^= k->client[i];
    hmac(k->server, auth, (size_t)auth_n, signature_out);
    char text[64];
    (void)EVP_EncodeBlock((uint8_t *)text, proof, HASH);
    const int done = snprintf(out, out_size, "%s,p=%s", bare, text);
    return done > 0 && (size_t)done < out_size;
}
