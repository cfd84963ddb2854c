/* Listening sockets: bound by name, with errors an operator can act on. */
#include "main/main_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_assert.h"

#define BACKLOG 1024
#define LOCK_STEP_MS 10
#define LOCK_MAX_MS 5000u

typedef struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
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

sv_status svi_sockets_open(const svi_settings *settings, uid_t owner, gid_t group,
                           svi_sockets *sockets_out, sv_err *err)
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
    const bool has_ports = settings->c2s_ports.count + settings->c2s_direct_tls_ports.count > 0;
    if (status == SV_OK && has_ports && sockets_out->c2s_count == 0)
        status = svi_err(err, SV_EIO, "there is neither IPv4 nor IPv6 on this machine");
    for (size_t i = 0; i < settings->c2s_unix_sockets.count && status == SV_OK; i++)
        status = svi_sockets_open_unix(settings->c2s_unix_sockets.items[i].p, owner, group,
                                       sockets_out, err);
    if (status == SV_OK && sockets_out->c2s_count == 0)
        status = svi_err(err, SV_EINVAL,
                         "there is nothing to listen on for clients: set c2s_ports, "
                         "c2s_direct_tls_ports or c2s_unix_sockets");
    if (status != SV_OK) svi_sockets_close(sockets_out);
    return status;
}

/* --- unix sockets ------------------------------------------------------------------------------------- */

/* False if it is too long. */
static bool unix_address(const char *path, struct sockaddr_un *at)
{
    const size_t n = strlen(path);
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n >= sizeof at->sun_path) return false;
    memcpy(at->sun_path, path, n);
    return true;
}

static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static sv_status bind_unix(int fd, const struct sockaddr_un *at, mode_t mode, int backlog)
{
    const mode_t before = umask(0777 & ~mode);
    const bool ok =
        bind(fd, (const struct sockaddr *)at, sizeof *at) == 0 && listen(fd, backlog) == 0;
    const int why = errno;
    (void)umask(before);
    errno = why;
    return ok ? SV_OK : SV_EIO;
}

/* Nobody listens on a socket that refuses a connection. */
static bool is_stale(const struct sockaddr_un *at)
{
    const int fd = unix_socket();
    if (fd < 0) return false;
    const bool refused = connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 &&
                         errno == ECONNREFUSED;
    (void)close(fd);
    return refused;
}

/* Makes room for a socket: what is there may go if it is one that nobody listens on. */
static sv_status clear_way(const char *path, const struct sockaddr_un *at, const char *option,
                           sv_err *err)
{
    struct stat there;
    if (lstat(path, &there) != 0)
        return errno == ENOENT ? SV_OK : svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(there.st_mode))
        return svi_err(err, SV_EEXIST,
                       "%s is there and is no socket: remove it, or correct %s", path, option);
    if (!is_stale(at))
        return svi_err(err, SV_EBUSY,
                       "%s is the socket of another program: stop that one, or correct %s", path,
                       option);
    if (unlink(path) != 0 && errno != ENOENT)
        return svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
    return SV_OK;
}

/* The folder of `path`, opened and locked, so that two servers that start at a time do not take each
 * other's fresh socket for a stale one. */
static sv_status lock_folder(const char *path, int *fd_out, sv_err *err)
{
    char folder[sizeof((struct sockaddr_un){.sun_family = AF_UNIX}.sun_path) + 2];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        (void)snprintf(folder, sizeof folder, ".");
    else
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path + 1), path);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return svi_err(err, SV_EIO, "%s: the folder of this socket can't be used: %s", path,
                       strerror(errno));
    for (unsigned waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += LOCK_STEP_MS) {
        const int why = errno;
        if (why == EINTR || (why == EWOULDBLOCK && waited_ms < LOCK_MAX_MS)) {
            (void)poll(NULL, 0, LOCK_STEP_MS);
            continue;
        }
        (void)close(fd);
        return svi_err(err, SV_EIO, "%s: its folder is locked by another program", path);
    }
    *fd_out = fd;
    return SV_OK;
}

/* Who may write the folder might put something else in the socket's place to have root give it away, so
 * only a socket that has no other name and is root's goes. `folder` (-1: does not matter) may have
 * chosen a group. */
static sv_status give_away(const char *path, int folder, uid_t owner, gid_t group, sv_err *err)
{
    struct stat st, above = {.st_mode = 0};
    const int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    bool ok = fd >= 0 && fstat(fd, &st) == 0 && (folder < 0 || fstat(folder, &above) == 0);
    if (ok && (!S_ISSOCK(st.st_mode) || st.st_nlink != 1 || st.st_uid != 0)) {
        ok = false;
        errno = EPERM;
    }
    if (ok && (above.st_mode & S_ISGID)) group = (gid_t)-1;
    ok = ok && fchownat(fd, "", owner, group, AT_EMPTY_PATH) == 0;
    const int why = errno;
    if (fd >= 0) (void)close(fd);
    return ok ? SV_OK : svi_err(err, SV_EIO, "%s: %s", path, strerror(why));
}

static sv_status make_unix(const char *path, int folder, uid_t owner, gid_t group,
                           svi_socket *socket_out, sv_err *err)
{
    struct sockaddr_un at;
    struct stat st;
    if (!unix_address(path, &at))
        return svi_err(err, SV_ELIMIT, "%s: too long for a unix socket", path);
    const sv_status cleared = clear_way(path, &at, "c2s_unix_sockets", err);
    if (cleared != SV_OK) return cleared;
    const int fd = unix_socket();
    if (fd < 0) return svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
    if (bind_unix(fd, &at, 0660, BACKLOG) != SV_OK || lstat(path, &st) != 0) {
        const int why = errno;
        (void)close(fd);
        return svi_err(err, SV_EIO, "can't listen on %s: %s", path, strerror(why));
    }
    *socket_out =
        (svi_socket){.fd = fd, .path = path, .device = st.st_dev, .inode = st.st_ino};
    return geteuid() == 0 && owner != (uid_t)-1 ? give_away(path, folder, owner, group, err)
                                                : SV_OK;
}

sv_status svi_sockets_open_unix(const char *path, uid_t owner, gid_t group, svi_sockets *sockets,
                                sv_err *err)
{
    int folder = -1;
    svi_socket made = {.fd = -1};
    if (sockets->c2s_count == SVI_SOCKETS_MAX)
        return svi_err(err, SV_ELIMIT, "more than %u listeners: shorten c2s_unix_sockets",
                       SVI_SOCKETS_MAX);
    sv_status status = lock_folder(path, &folder, err);
    if (status != SV_OK) return status;
    status = make_unix(path, folder, owner, group, &made, err);
    if (made.fd >= 0) sockets->c2s[sockets->c2s_count++] = made;
    (void)close(folder);
    return status;
}

sv_status svi_sockets_open_control(const char *path, uid_t owner, gid_t group, svi_sockets *sockets,
                                   sv_err *err)
{
    struct sockaddr_un at;
    if (!unix_address(path, &at))
        return svi_err(err, SV_ELIMIT,
                       "%s: too long for a unix socket (%zu bytes at most); set control_socket",
                       path, sizeof at.sun_path - 1);
    const sv_status cleared = clear_way(path, &at, "control_socket", err);
    if (cleared != SV_OK) return cleared;
    const int fd = unix_socket();
    if (fd < 0) return svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
    if (bind_unix(fd, &at, 0600, 64) != SV_OK) {
        const int why = errno;
        (void)close(fd);
        return svi_err(err, SV_EIO, "%s: %s", path, strerror(why));
    }
    sockets->control = fd;
    return geteuid() == 0 && owner != (uid_t)-1 ? give_away(path, -1, owner, group, err) : SV_OK;
}

/* While our socket is open its file keeps its number, so that another one is told from it. */
static void remove_file(const svi_socket *made)
{
    struct stat there;
    if (made->path == NULL || lstat(made->path, &there) != 0) return;
    if (there.st_dev == made->device && there.st_ino == made->inode) (void)unlink(made->path);
}

void svi_sockets_close(svi_sockets *sockets)
{
    for (size_t i = 0; i < sockets->c2s_count; i++) {
        remove_file(&sockets->c2s[i]);
        (void)close(sockets->c2s[i].fd);
    }
    if (sockets->control >= 0) (void)close(sockets->control);
    *sockets = (svi_sockets){.control = -1};
}

static void unix_name(const struct sockaddr_un *at, socklen_t n, char to[SVI_SOCKET_NAME_BYTES])
{
    const size_t before = offsetof(struct sockaddr_un, sun_path);
    const size_t path_n = n > before ? n - before : 0;
    if (path_n > 1 && at->sun_path[0] == '\0')
        (void)snprintf(to, SVI_SOCKET_NAME_BYTES, "unix:@%.*s", (int)(path_n - 1), at->sun_path + 1);
    else
        (void)snprintf(to, SVI_SOCKET_NAME_BYTES, "unix:%.*s", (int)path_n, at->sun_path);
}

void svi_socket_name(int fd, char to[SVI_SOCKET_NAME_BYTES])
{
    address at = {.n = sizeof at.room};
    char host[INET6_ADDRSTRLEN] = "";
    (void)snprintf(to, SVI_SOCKET_NAME_BYTES, "unknown");
    if (getsockname(fd, &at.any, &at.n) != 0) return;
    if (at.any.sa_family == AF_UNIX)
        unix_name(&at.local, at.n, to);
    else if (at.any.sa_family == AF_INET && inet_ntop(AF_INET, &at.v4.sin_addr, host, sizeof host))
        (void)snprintf(to, SVI_SOCKET_NAME_BYTES, "%s:%u", host, ntohs(at.v4.sin_port));
    else if (at.any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &at.v6.sin6_addr, host, sizeof host))
        (void)snprintf(to, SVI_SOCKET_NAME_BYTES, "[%s]:%u", host, ntohs(at.v6.sin6_port));
}
