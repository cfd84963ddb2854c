/* Listening sockets, bound by the supervisor and kept open over the ends of workers, so that a
 * client that comes in the gap is accepted by the next one. */
#ifndef SVI_MAIN_LISTEN_H
#define SVI_MAIN_LISTEN_H

#include "main/main_settings.h"

#define SVI_SOCKETS_MAX 64u

/* A listener of clients. */
typedef struct svi_socket {
    int fd;
    bool is_direct; /* TLS from the first byte (XEP-0368) */
} svi_socket;

/* All are close-on-exec and do not block. */
typedef struct svi_sockets {
    int control; /* unix socket; -1: none */
    svi_socket c2s[SVI_SOCKETS_MAX];
    size_t c2s_count;
} svi_sockets;

/* Binds and listens on each of c2s_interfaces with each of c2s_ports and c2s_direct_tls_ports (IPv6
 * ones for IPv6 only). An address family that the system does not have is left out if "*" or "::" asked for it. On a failure `err` says which
 * address, why and what to do, and nothing stays open: SV_EBUSY for a port in use, SV_EDENIED for
 * one that may not be used, SV_EIO. */
sv_status svi_sockets_open(const svi_settings *settings, svi_sockets *sockets_out, sv_err *err);

/* The control socket at `path`, mode 0600; a stale one is replaced: the caller holds the state
 * folder's lock. */
sv_status svi_sockets_open_control(const char *path, svi_sockets *sockets, sv_err *err);

/* Closes all. */
void svi_sockets_close(svi_sockets *sockets);

/* "127.0.0.1:5222" or "[::1]:5222", where a socket is bound. `to` holds 64 bytes. */
void svi_socket_name(int fd, char to[64]);

#endif
