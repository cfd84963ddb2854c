/* Asking the running server: connect, one line, one line back. */
#include "main/main_ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base_assert.h"

#define ANSWER_S 60

static sv_status connect_to(const char *path, int *fd_out, sv_err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const size_t n = strlen(path);
    if (n >= sizeof at.sun_path) return svi_err(err, SV_ELIMIT, "%s: too long for a socket", path);
    memcpy(at.sun_path, path, n);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return svi_err(err, SV_EIO, "%s: %s", path, strerror(errno));
    const struct timeval limit = {.tv_sec = ANSWER_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0) {
        *fd_out = fd;
        return SV_OK;
    }
    const int why = errno;
    (void)close(fd);
    if (why == ENOENT || why == ECONNREFUSED)
        return svi_err(err, SV_ENOTFOUND,
                       "no server is running here (nobody listens on %s); start one with `stave "
                       "serve`",
                       path);
    return svi_err(err, why == EACCES ? SV_EDENIED : SV_EIO, "%s: %s%s", path, strerror(why),
                   why == EACCES ? "; commands are for the user the server runs as, or root" : "");
}

static sv_status send_line(int fd, const json_t *request, sv_err *err)
{
    char *text = json_dumps(request, JSON_COMPACT);
    SV_ASSERT(text != NULL);
    size_t left = strlen(text);
    const char *at = text;
    text[left++] = '\n'; /* in place of the NUL */
    while (left > 0) {
        const ssize_t n = send(fd, at, left, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        at += n;
        left -= (size_t)n;
    }
    free(text);
    return left == 0
               ? SV_OK
               : svi_err(err, SV_ECLOSED, "the server hung up: look at its log, then try again");
}

static sv_status receive_line(int fd, svi_buf *line, sv_err *err)
{
    while (line->len == 0 || line->data[line->len - 1] != '\n') {
        const ssize_t n = recv(fd, svi_buf_space(line, 65536), 65536, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN)
            return svi_err(err, SV_ETIMEOUT,
                           "the server has not answered for %d s: look at its log", ANSWER_S);
        if (n <= 0)
            return svi_err(err, SV_ECLOSED,
                           "the server hung up without an answer: look at its log, then try again");
        line->len += (size_t)n;
    }
    return SV_OK;
}

sv_status svi_ask(const char *path, const json_t *request, json_t **answer_out, sv_err *err)
{
    int fd = -1;
    svi_acct acct = {.name = "command"};
    svi_buf line;
    svi_buf_init(&line, &acct);
    sv_status status = connect_to(path, &fd, err);
    if (status != SV_OK) return status;
    status = send_line(fd, request, err);
    if (status == SV_OK) status = receive_line(fd, &line, err);
    (void)close(fd);
    if (status == SV_OK) {
        *answer_out = json_loadb(line.data, line.len, 0, NULL);
        if (!*answer_out) status = svi_err(err, SV_EINVAL, "the server's answer can't be read");
    }
    svi_buf_free(&line);
    return status;
}

/* --- streams --------------------------------------------------------------------------------------------- */

sv_status svi_ask_begins(int fd, sv_err *err)
{
    char first = 0;
    ssize_t n;
    do {
        n = recv(fd, &first, 1, MSG_PEEK);
    } while (n < 0 && errno == EINTR);
    if (n == 1 && first != '{') return SV_OK;
    svi_acct acct = {.name = "command"};
    svi_buf line;
    svi_buf_init(&line, &acct);
    sv_status status = receive_line(fd, &line, err);
    if (status == SV_OK) {
        json_t *answer = json_loadb(line.data, line.len, 0, NULL);
        const char *error = json_string_value(json_object_get(answer, "error"));
        status = svi_err(err, SV_EINVAL, "%s", error ? error : "the server's answer can't be read");
        json_decref(answer);
    }
    svi_buf_free(&line);
    return status;
}

sv_status svi_ask_stream(const char *path, const json_t *request, int *fd_out, sv_err *err)
{
    int fd = -1;
    sv_status status = connect_to(path, &fd, err);
    if (status != SV_OK) return status;
    status = send_line(fd, request, err);
    if (status == SV_OK) status = svi_ask_begins(fd, err);
    if (status == SV_OK)
        *fd_out = fd;
    else
        (void)close(fd);
    return status;
}

/* --- lines that go on --------------------------------------------------------------------------------- */

/* Hands over the whole lines that are there; false if `take` wants no more. */
static bool take_lines(svi_buf *all, bool (*take)(void *ctx, const json_t *line), void *ctx)
{
    bool goes_on = true;
    size_t at = 0;
    while (goes_on) {
        const sv_str rest = svi_str_sub(svi_buf_str(all), at, all->len);
        const size_t n = svi_str_find(rest, '\n');
        if (n == rest.n) break;
        json_t *line = json_loadb(rest.p, n, 0, NULL);
        goes_on = take(ctx, line);
        json_decref(line);
        at += n + 1;
    }
    svi_buf_consume(all, at);
    return goes_on;
}

sv_status svi_ask_lines(const char *path, const json_t *request,
                        bool (*take)(void *ctx, const json_t *line), void *ctx, sv_err *err)
{
    int fd = -1;
    ssize_t n = 1;
    svi_acct acct = {.name = "command"};
    svi_buf all;
    svi_buf_init(&all, &acct);
    sv_status status = connect_to(path, &fd, err);
    if (status != SV_OK) return status;
    status = send_line(fd, request, err);
    if (status == SV_OK) status = receive_line(fd, &all, err);
    const struct timeval forever = {.tv_sec = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    while (status == SV_OK && take_lines(&all, take, ctx)) {
        n = recv(fd, svi_buf_space(&all, 65536), 65536, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) status = svi_err(err, SV_ECLOSED, "the server has ended, or its worker has");
        if (n > 0) all.len += (size_t)n;
    }
    (void)close(fd);
    svi_buf_free(&all);
    return status;
}
