/* Listening sockets: bound by name, with errors an operator can act on. */
#include "main/main_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_assert.h"

#define BACKLOG 1024

typedef struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    };
    socklen_t n;
    bool is_any; /* of a whole family */
} address;

/* Checked by svi_settings_read. */
static address address_of(sv_str interface, sv_str port)
{
    address a = {.n = sizeof a.v4};
    char text[64];
    int64_t number = 0;
    const bool is_star = sv_str_eq(interface, SV_STR("*"));
    (void)snprintf(text, sizeof text, "%.*s", is_star ? 7 : (int)interface.n,
                   is_star ? "0.0.0.0" : interface.p);
    const sv_status status = svi_str_int(port, 0, 65535, &number);
    SV_ASSERT(status == SV_OK);
    a.is_any = is_star || sv_str_eq(interface, SV_STR("::"));
    a.v4.sin_family = AF_INET;
    a.v4.sin_port = htons((uint16_t)number);
    if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1) return a;
    a.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number)};
    a.n = sizeof a.v6;
    const int is_v6 = inet_pton(AF_INET6, text, &a.v6.sin6_addr);
    SV_ASSERT(is_v6 == 1);
    return a;
}

/* What of all interfaces and ports to bind. */
typedef struct wanted {
    sv_str interface, port;
    const char *option; /* that names the port */
    bool is_direct;
} wanted;

/* The kernel's reason and what to do about it. */
static sv_status refused(sv_err *err, const wanted *w, int why)
{
    const sv_str interface = w->interface, port = w->port;
    const int i = (int)interface.n, p = (int)port.n;
    switch (why) {
    case EADDRINUSE:
        return svi_err(err, SV_EBUSY,
                       "port %.*s on %.*s is in use by another program: stop that one, or set "
                       "%s in the configuration to a free port",
                       p, port.p, i, interface.p, w->option);
    case EACCES:
        return svi_err(err, SV_EDENIED,
                       "port %.*s on %.*s may only be used by root: start as root with the option "
                       "user, or set %s to one above 1023",
                       p, port.p, i, interface.p, w->option);
    case EADDRNOTAVAIL:
        return svi_err(err, SV_EIO,
                       "%.*s is no address of this machine: correct c2s_interfaces in the "
                       "configuration",
                       i, interface.p);
    default:
        return svi_err(err, SV_EIO, "can't listen on %.*s port %.*s: %s", i, interface.p, p, port.p,
                       strerror(why));
    }
}

/* A listening socket or -1 with errno set. */
static int listen_on(const address *at)
{
    const int one = 1;
    const int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    const bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                    (at->any.sa_family != AF_INET6 ||
                     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) == 0) &&
                    bind(fd, &at->any, at->n) == 0 && listen(fd, BACKLOG) == 0;
    if (ok) return fd;
    const int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

static sv_status add(svi_sockets *sockets, const wanted *w, sv_err *err)
{
    const address at = address_of(w->interface, w->port);
    if (sockets->c2s_count == SVI_SOCKETS_MAX)
        return svi_err(err, SV_ELIMIT,
                       "more than %u listeners: shorten c2s_interfaces or %s", SVI_SOCKETS_MAX,
                       w->option);
    const int fd = listen_on(&at);
    if (fd >= 0) {
        sockets->c2s[sockets->c2s_count++] = (svi_socket){.fd = fd, .is_direct = w->is_direct};
        return SV_OK;
    }
    const bool has_no_family = errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL;
    return at.is_any && has_no_family ? SV_OK : refused(err, w, errno);
}

sv_status svi_sockets_open(const svi_settings *settings, svi_sockets *sockets_out, sv_err *err)
{
    sv_status status = SV_OK;
    *sockets_out = (svi_sockets){.control = -1};
    const sv_str_list *lists[] = {&settings->c2s_ports, &settings->c2s_direct_tls_ports};
    static const char *const options[] = {"c2s_ports", "c2s_direct_tls_ports"};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < settings->c2s_interfaces.count; i++)
            for (size_t p = 0; p < lists[k]->count && status == SV_OK; p++)
                status = add(sockets_out,
                             &(wanted){.interface = settings->c2s_interfaces.items[i],
                                       .port = lists[k]->items[p],
                                       .option = options[k],
                                       .is_direct = k == 1},
                             err);
    if (status == SV_OK && sockets_out->c2s_count == 0)
        status = svi_err(err, SV_EIO, "there is neither IPv4 nor IPv6 on this machine");
    if (status != SV_OK) svi_sockets_close(sockets_out);
    return status;
}

sv_status svi_sockets_open_control(const char *path, svi_sockets *sockets, sv_err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const size_t n = strlen(path);
    if (n >= sizeof at.sun_path)
        return svi_err(err, SV_ELIMIT,
                       "%s: too long for a unix socket (%zu bytes at most); set control_socket",
                       path, sizeof at.sun_path - 1);
    memcpy(at.sun_path, path, n);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
    (void)unlink(path);
    const mode_t before = umask(0177);
    const bool ok = bind(fd, (const struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0;
    const int why = errno;
    (void)umask(before);
    if (ok) {
        sockets->control = fd;
        return SV_OK;
    }
    (void)close(fd);
    return svi_err(err, SV_EIO, "%s: %s", path, strerror(why));
}

void svi_sockets_close(svi_sockets *sockets)
{
    for (size_t i = 0; i < sockets->c2s_count; i++) (void)close(sockets->c2s[i].fd);
    if (sockets->control >= 0) (void)close(sockets->control);
    *sockets = (svi_sockets){.control = -1};
}

void svi_socket_name(int fd, char to[64])
{
    address at = {.n = sizeof at.room};
    char host[INET6_ADDRSTRLEN] = "";
    (void)snprintf(to, 64, "unknown");
    if (getsockname(fd, &at.any, &at.n) != 0) return;
    if (at.any.sa_family == AF_INET && inet_ntop(AF_INET, &at.v4.sin_addr, host, sizeof host))
        (void)snprintf(to, 64, "%s:%u", host, ntohs(at.v4.sin_port));
    else if (at.any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &at.v6.sin6_addr, host, sizeof host))
        (void)snprintf(to, 64, "[%s]:%u", host, ntohs(at.v6.sin6_port));
}
