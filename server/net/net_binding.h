/* A channel binding (RFC 5056): what ties a login to the TLS connection it is made on. */
#ifndef SVI_NET_BINDING_H
#define SVI_NET_BINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct svi_binding {
    const char *type; /* as registered: "tls-exporter"; static */
    uint8_t data[64];
    size_t n;
    bool is_silent; /* taken, but not offered */
} svi_binding;

#define SVI_BINDINGS_MAX 3u /* that one connection has */

#endif
