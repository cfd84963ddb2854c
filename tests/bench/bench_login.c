/* What it costs the server to let clients in: TLS handshakes alone, whole logins, and the memory of clients at rest.
 *
 *   bench_login handshake|login port=N pid=N [count=200] [users=COUNT] [parallel=50]
 *   bench_login idle port=N pid=N [count=1000] [parallel=50]
 *
 * Prints "name value" lines. `login` and `handshake` do a quarter more first, unmeasured; "ready" stands before the
 * measured ones, "done" behind. `idle` logs in, says "ready", keeps the sessions until a line comes. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct entries {
    const load_options *o;
    load l;
    bool is_login, keeps; /* `keeps`: sessions stay */
    load_client *clients; /* by parallel slot, or all that stay */
    unsigned started, ready, ended;
} entries;

static entries all; /* the callbacks' only world */

static void start_one(unsigned slot);

/* --- handshakes: the server closes ---------------------------------------------------------------------- */

static void shake_open(load_conn *conn)
{
    load_start_tls(conn);
}

static void shake_secure(load_conn *conn)
{
    (void)conn;
}

static size_t shake_data(load_conn *conn, const char *bytes, size_t n)
{
    (void)conn;
    (void)bytes;
    return n;
}

static void shake_closed(load_conn *conn)
{
    if (!conn->is_secure) load_die("the server closed before the handshake was done");
    all.ended++;
    load_close(&conn);
}

static const load_calls shake_calls = {
    .open = shake_open, .secure = shake_secure, .data = shake_data, .closed = shake_closed};

/* --- logins: ended when the own presence came back ------------------------------------------------------- */

static void login_ready(load_client *client)
{
    all.ready++;
    if (!all.keeps) load_client_stop(client);
}

static void login_stanza(load_client *client, const char *bytes, size_t n)
{
    load_die("%s: unexpected: %.*s", client->user.name, (int)n, bytes);
}

static void login_closed(load_client *client)
{
    if (all.keeps || client->sent < 2)
        load_die("the server closed the stream of %s", client->user.name);
    all.ended++;
    load_close(&client->conn);
}

static const load_client_calls login_calls = {
    .ready = login_ready, .stanza = login_stanza, .closed = login_closed};

/* --- the run ---------------------------------------------------------------------------------------------- */

static void start_one(unsigned slot)
{
    if (all.is_login) {
        const load_user user = load_user_of(all.o, all.started);
        all.clients[slot] = (load_client){.step = 0};
        load_client_start(&all.clients[slot], &all.l, slot, &user, all.o->domain, &login_calls);
    } else {
        (void)load_connect(&all.l, slot, NULL);
    }
    all.started++;
}

/* A client at a slot; its slot is free when it has ended. */
static bool is_free(unsigned slot)
{
    return all.clients[slot].conn == NULL;
}

static void run(unsigned count)
{
    const unsigned from = all.started, goal = from + count;
    unsigned slot = 0;
    while (all.started < goal) {
        if (all.started - all.ended < all.o->parallel) {
            while (!is_free(slot)) slot = (slot + 1) % all.o->parallel;
            start_one(slot);
        } else {
            load_wait(&all.l, "logging in");
        }
    }
    while (all.ended < goal) load_wait(&all.l, "logging out");
}

static void keep(void)
{
    while (all.ready < all.o->count) {
        if (all.started < all.o->count && all.started - all.ready < all.o->parallel)
            start_one(all.started);
        else
            load_wait(&all.l, "logging in");
    }
    printf("sessions %u\n", all.ready);
    load_rendezvous("ready");
}

static void measure(void)
{
    const int pid = (int)all.o->pid;
    load_threads threads;
    run(all.o->count / 4);
    load_rendezvous("ready");
    load_threads_note(&threads, pid);
    const int64_t from_ns = load_now_ns(), cpu_ns = load_cpu_ns(pid),
                  own_ns = load_cpu_ns(getpid());
    run(all.o->count);
    const double count = all.o->count;
    const double spent_us = (double)(load_cpu_ns(pid) - cpu_ns) / 1e3;
    const double own_us = (double)(load_cpu_ns(getpid()) - own_ns) / 1e3;
    load_threads_print(&threads, count);
    printf("cpu_us %.1f\nper_s %.0f\nown_us %.1f\nlogins %u\n", spent_us / count,
           count / ((double)(load_now_ns() - from_ns) / 1e9), own_us / count, all.o->count);
    load_rendezvous("done");
}

int main(int argc, char **argv)
{
    const load_options o = load_options_read(argc, argv);
    if (argc < 2 || o.port == 0 || o.pid == 0 || o.count < 4 || o.parallel == 0)
        load_die("usage: bench_login handshake|login|idle port=N pid=N [count=N] ...");
    all.o = &o;
    all.keeps = strcmp(argv[1], "idle") == 0;
    all.is_login = strcmp(argv[1], "handshake") != 0;
    all.clients = calloc(all.keeps ? o.count : o.parallel, sizeof *all.clients);
    if (!all.clients) load_die("no memory");
    load_init(&all.l, o.port, all.is_login ? &load_client_conn_calls : &shake_calls, all.keeps);
    if (all.keeps)
        keep();
    else
        measure();
    return 0;
}
