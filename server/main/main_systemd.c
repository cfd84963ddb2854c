/* Sockets from systemd, and what it is told. */
#include "main/main_systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_assert.h"

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static int64_t number_of(const char *variable)
{
    int64_t number = 0;
    const char *text = getenv(variable);
    return text && svi_str_int(sv_str_of(text), 0, INT32_MAX, &number) == SV_OK ? number : 0;
}

static bool is_listening(int fd)
{
    int type = 0, listens = 0;
    socklen_t n = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0 || type != SOCK_STREAM) return false;
    n = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens == 1;
}

static sv_status take(svi_sockets *sockets, int fd, sv_str name, sv_err *err)
{
    if (!is_listening(fd))
        return svi_err(err, SV_EINVAL,
                       "descriptor %d from systemd ('%.*s') does not listen for streams: its socket "
                       "unit needs ListenStream= and Accept=no",
                       fd, (int)name.n, name.p);
    if (sockets->c2s_count == SVI_SOCKETS_MAX)
        return svi_err(err, SV_ELIMIT, "more than %u sockets from systemd", SVI_SOCKETS_MAX);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        return svi_err(err, SV_EIO, "descriptor %d from systemd: %s", fd, strerror(errno));
    sockets->c2s[sockets->c2s_count++] = (svi_socket){
        .fd = fd, .is_direct = sv_str_eq(name, SV_STR("c2s-direct-tls"))};
    return SV_OK;
}

sv_status svi_systemd_sockets(svi_sockets *sockets_out, sv_err *err)
{
    *sockets_out = (svi_sockets){.control = -1};
    const bool is_mine = number_of("LISTEN_PID") == getpid();
    const int64_t count = is_mine ? number_of("LISTEN_FDS") : 0;
    const char *names = getenv("LISTEN_FDNAMES");
    sv_str rest = names ? sv_str_of(names) : SV_STR_NONE;
    sv_status status = count > 0 ? SV_OK : SV_ENOTFOUND;
    for (int64_t i = 0; i < count && status == SV_OK; i++) {
        sv_str name = SV_STR_NONE;
        (void)svi_str_split(&rest, ':', &name);
        status = take(sockets_out, FIRST_FD + (int)i, name, err);
    }
    if (status != SV_OK && status != SV_ENOTFOUND) svi_sockets_close(sockets_out);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return status;
}

void svi_systemd_tell(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof at.sun_path || (path[0] != '/' && path[0] != '@')) return;
    memcpy(at.sun_path, path, n);
    if (path[0] == '@') at.sun_path[0] = '\0'; /* an abstract one */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    const socklen_t at_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&at, at_n);
    (void)close(fd);
}
