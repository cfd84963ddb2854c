/* Ticket keys behind OpenSSL's callback, which I/O threads call in their handshakes. */
#include "net/net_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>

#include "base/base_assert.h"

#define TICKETS_MAGIC 0x54434b54u

struct svi_tickets {
    uint32_t magic;
    pthread_mutex_t lock; /* a handshake costs a thousand times more than this */
    svi_ticket_key keys[SVI_TICKET_KEYS_MAX];
    size_t count;
};

/* lint: allow global (OpenSSL's number for our data on its contexts; set once) */
static int tickets_index = -1;
/* lint: allow global (that it is set once) */
static pthread_once_t tickets_once = PTHREAD_ONCE_INIT;

static void get_index(void)
{
    tickets_index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, NULL);
}

svi_tickets *svi_tickets_new(svi_acct *acct)
{
    svi_tickets *tickets = svi_alloc(acct, sizeof *tickets);
    tickets->magic = TICKETS_MAGIC;
    SV_ASSERT(pthread_mutex_init(&tickets->lock, NULL) == 0);
    return tickets;
}

void svi_tickets_free(svi_tickets **tickets)
{
    svi_tickets *t = *tickets;
    *tickets = NULL;
    if (t == NULL) return;
    SV_CHECK(t, TICKETS_MAGIC);
    OPENSSL_cleanse(t->keys, sizeof t->keys);
    (void)pthread_mutex_destroy(&t->lock);
    t->magic = 0;
    svi_free(t);
}

void svi_tickets_set(svi_tickets *tickets, const svi_ticket_key *keys, size_t count)
{
    SV_CHECK(tickets, TICKETS_MAGIC);
    SV_ASSERT(count <= SVI_TICKET_KEYS_MAX);
    (void)pthread_mutex_lock(&tickets->lock);
    OPENSSL_cleanse(tickets->keys, sizeof tickets->keys);
    if (count > 0) memcpy(tickets->keys, keys, count * sizeof *keys);
    tickets->count = count;
    (void)pthread_mutex_unlock(&tickets->lock);
}

/* The key to encrypt with, or the one of that name; its number, -1 if there is none. */
static int find(svi_tickets *tickets, const unsigned char *name, svi_ticket_key *key_out)
{
    int found = -1;
    (void)pthread_mutex_lock(&tickets->lock);
    for (size_t i = 0; i < tickets->count && found < 0; i++)
        if (name == NULL || memcmp(tickets->keys[i].name, name, sizeof key_out->name) == 0)
            found = (int)i;
    if (found >= 0) *key_out = tickets->keys[found];
    (void)pthread_mutex_unlock(&tickets->lock);
    return found;
}

static bool set_mac(EVP_MAC_CTX *mac, svi_ticket_key *key)
{
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof key->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's contract: 0 no ticket, 1 good, 2 good but give a new one (an older key), -1 failed. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_new)
{
    svi_tickets *tickets = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
    svi_ticket_key key;
    SV_CHECK(tickets, TICKETS_MAGIC);
    const int number = find(tickets, is_new ? NULL : name, &key);
    if (number < 0) return 0;
    bool ok = true;
    if (is_new) {
        memcpy(name, key.name, sizeof key.name);
        ok = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1;
    }
    ok = ok && EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv, is_new) == 1 &&
         set_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof key);
    if (!ok) return -1;
    return number == 0 ? 1 : 2;
}

void svi_tickets_use(svi_tickets *tickets, SSL_CTX *ctx)
{
    SV_CHECK(tickets, TICKETS_MAGIC);
    (void)pthread_once(&tickets_once, get_index);
    SV_ASSERT(SSL_CTX_set_ex_data(ctx, tickets_index, tickets) == 1);
    SV_ASSERT(SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1);
}
