/* From exec to the first answered stream header: how long a server takes to start.
 *
 *   bench_start time port=N -- COMMAND...
 *
 * Prints "start_ms N", ends the server with SIGTERM, waits for it. */
#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_MS = 60000 };

static const char header[] =
    "<?xml version='1.0'?><stream:stream to='localhost' "
    "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    "version='1.0'>";

static void nap(void)
{
    const struct timespec half_ms = {.tv_nsec = 500000};
    (void)nanosleep(&half_ms, NULL);
}

/* Whether a connection was accepted and the header answered; waits for the answer, since the listening socket may be there
 * before the one who serves it. */
static bool ask(const struct sockaddr_in *server)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = LIMIT_MS / 1000};
    char answer[2048];
    size_t n = 0;
    bool is_answered = false;
    if (fd < 0) load_die("socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)server, sizeof *server) == 0 &&
        send(fd, header, sizeof header - 1, MSG_NOSIGNAL) == (ssize_t)sizeof header - 1) {
        while (!is_answered && n < sizeof answer) {
            const ssize_t got = recv(fd, answer + n, sizeof answer - n, 0);
            if (got <= 0) break;
            n += (size_t)got;
            load_scan scan = {.at = 0};
            const size_t header_n = load_scan_next(&scan, answer, n);
            is_answered = load_has(answer, header_n, "<stream:stream");
        }
    }
    (void)close(fd);
    return is_answered;
}

int main(int argc, char **argv)
{
    const load_options o = load_options_read(argc, argv);
    if (argc < 2 || o.port == 0 || !o.command || !o.command[0])
        load_die("usage: bench_start time port=N -- COMMAND...");
    const struct sockaddr_in server = {.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)o.port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int64_t from_ns = load_now_ns();
    const pid_t pid = fork();
    if (pid < 0) load_die("fork: %s", strerror(errno));
    if (pid == 0) {
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        (void)execv(o.command[0], o.command);
        _exit(127);
    }
    while (!ask(&server)) {
        if (waitpid(pid, NULL, WNOHANG) == pid) load_die("%s ended", o.command[0]);
        if (load_now_ns() - from_ns > (int64_t)LIMIT_MS * 1000000) {
            (void)kill(pid, SIGKILL);
            load_die("%s does not answer", o.command[0]);
        }
        nap();
    }
    printf("start_ms %.1f\n", (double)(load_now_ns() - from_ns) / 1e6);
    (void)fflush(stdout);
    int status = 0;
    (void)kill(pid, SIGTERM);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        load_die("%s did not end well (status %d)", o.command[0], status);
    return 0;
}
