/* Listening sockets, bound by the supervisor and kept open over the ends of workers, so that a
 * client that comes in the gap is accepted by the next one. */
#ifndef SVI_MAIN_LISTEN_H
#define SVI_MAIN_LISTEN_H

#include "main/main_settings.h"

#define SVI_SOCKETS_MAX 64u

#define SVI_SOCKET_NAME_BYTES 128u

/* A listener of clients. */
typedef struct svi_socket {
    int fd;
    bool is_direct; /* TLS from the first byte (XEP-0368) */
    /* A unix socket that this process has made: its path (the settings') and which file it is. */
    const char *path;
    dev_t device;
    ino_t inode;
} svi_socket;

/* All are close-on-exec and do not block. */
typedef struct svi_sockets {
    int control; /* unix socket; -1: none */
    svi_socket c2s[SVI_SOCKETS_MAX];
    size_t c2s_count;
} svi_sockets;

/* Binds and listens on each of c2s_interfaces with each of c2s_ports and c2s_direct_tls_ports (IPv6
 * ones for IPv6 only), and on c2s_unix_sockets (see svi_sockets_open_unix). The settings outlive the sockets. An address family that the system does not have is left out if "*" or "::" asked for it. On a failure `err` says which
 * address, why and what to do, and nothing stays open: SV_EBUSY for a port in use, SV_EDENIED for
 * one that may not be used, SV_EINVAL if there is nothing to listen on, SV_EIO. */
sv_status svi_sockets_open(const svi_settings *settings, uid_t owner, gid_t group,
                           svi_sockets *sockets_out, sv_err *err);

/* Listens for clients on a unix socket at `path` (outlives the sockets), mode 0660. `owner` and `group` get it
 * when the process is root's (-1: stay), but not the group where the folder's set-group-ID bit has chosen
 * one. A socket that nobody listens on is replaced: SV_EBUSY if somebody does, SV_EEXIST for a file that is
 * no socket, SV_EIO; what is there stays untouched then. */
sv_status svi_sockets_open_unix(const char *path, uid_t owner, gid_t group, svi_sockets *sockets,
                                sv_err *err);

/* The control socket at `path`, mode 0600, of `owner` and `group` if the process is root's (-1: stay). A
 * stale one is replaced, what else is there stays: SV_EBUSY, SV_EEXIST, SV_EIO. */
sv_status svi_sockets_open_control(const char *path, uid_t owner, gid_t group, svi_sockets *sockets,
                                   sv_err *err);

/* Closes all and removes the files of the clients' unix sockets that were made here, those only. */
void svi_sockets_close(svi_sockets *sockets);

/* Where a socket is bound: "127.0.0.1:5222", "[::1]:5222", "unix:/run/stave/c2s", or "unix:@name" for an
 * abstract one; cut where it is too long. */
void svi_socket_name(int fd, char to[SVI_SOCKET_NAME_BYTES]);

#endif
