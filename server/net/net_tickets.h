/* Keys of TLS session tickets (RFC 5077, RFC 8446 4.6.1), shared by all contexts of a process: the
 * newest encrypts, all decrypt, so that a rotation or a restart costs no client its session. */
#ifndef SVI_NET_TICKETS_H
#define SVI_NET_TICKETS_H

#include <openssl/ssl.h>

#include "base/base_mem.h"

#define SVI_TICKET_KEYS_MAX 4u

/* Random bytes, as they are kept: name, AES-256, HMAC-SHA-256. */
typedef struct svi_ticket_key {
    uint8_t name[16], cipher[32], mac[32];
} svi_ticket_key;

typedef struct svi_tickets svi_tickets;

/* An empty set: without keys no ticket is given or taken. */
svi_tickets *svi_tickets_new(svi_acct *acct);

/* Wipes the keys and frees; no context may use them any more. */
void svi_tickets_free(svi_tickets **tickets);

/* Replaces all keys, newest first; copied. Any thread. */
void svi_tickets_set(svi_tickets *tickets, const svi_ticket_key *keys, size_t count);

/* Has a server's context use them, which they must outlive. Before the context is shared. */
void svi_tickets_use(svi_tickets *tickets, SSL_CTX *ctx);

#endif
