/* What presence costs: a change told to all contacts on line, and a login of somebody who has many of them.
 *
 *   bench_presence deliver port=N pid=N [count=201] [flight=4] [warm_ms=500] [run_ms=3000]
 *   bench_presence login port=N pid=N [count=201] [flight=ROUNDS]
 *   bench_presence fan port=N pid=N [count=201] [flight=ROUNDS]
 *
 * All `count` accounts are each other's contacts (bench_accounts with CONTACTS) and on line. Prints "name value" lines; "ready" stands
 * before what is measured, "done" behind. `deliver`: `flight` of them change their presence again whenever all have been told the change
 * before. `login`: the first one leaves and logs in again, `flight` times; a login ends when it has been told of all others, and they of
 * it. `fan`: the same connections, handshakes and records over `bench_relay fan`, without XMPP. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct member {
    load_client client;
    load_conn *conn; /* fan */
    unsigned index;
    uint64_t changes; /* that it sent */
    unsigned told;    /* copies of its newest one, or of its arrival, that have come */
} member;

typedef struct circle {
    const load_options *o;
    load l;
    member *members;
    unsigned ready, left;
    uint64_t heard;     /* presences that came to anybody */
    uint64_t heard_own; /* to the first one */
    bool is_changing, is_login, is_fan;
} circle;

static circle all; /* the callbacks' only world */

/* --- changes ------------------------------------------------------------------------------------------- */

static void change(member *m)
{
    char text[128];
    const int n = snprintf(text, sizeof text, "<presence><status>%08u</status></presence>",
                           (unsigned)++m->changes);
    m->told = 0;
    load_client_send(&m->client, text, (size_t)n);
}

/* Whose presence it is: the number behind "from='user". */
static member *sender_of(const char *bytes, size_t n)
{
    const char *from = memmem(bytes, n, "from='user", 10);
    char digits[7] = "";
    if (!from || from + 16 > bytes + n) load_die("no presence of ours: %.*s", (int)n, bytes);
    memcpy(digits, from + 10, 6);
    const unsigned long index = strtoul(digits, NULL, 10);
    if (index >= all.o->count) load_die("a stranger's presence: %.*s", (int)n, bytes);
    return &all.members[index];
}

/* A copy of the newest change: each, the sender too, is told once. */
static void took_change(member *from, const char *bytes, size_t n)
{
    char wanted[32];
    (void)snprintf(wanted, sizeof wanted, "<status>%08u<", (unsigned)from->changes);
    if (!load_has(bytes, n, wanted)) load_die("expected %s, got %.*s", wanted, (int)n, bytes);
    if (++from->told == all.o->count && all.is_changing) change(from);
}

static void on_stanza(load_client *client, const char *bytes, size_t n)
{
    if (!load_starts(bytes, n, "<presence"))
        load_die("%s: unexpected: %.*s", client->user.name, (int)n, bytes);
    all.heard++;
    if (client == &all.members[0].client) all.heard_own++;
    member *from = sender_of(bytes, n);
    if (from->changes > 0) took_change(from, bytes, n);
}

static void on_ready(load_client *client)
{
    (void)client;
    all.ready++;
}

static void on_closed(load_client *client)
{
    if (!all.is_login || client != &all.members[0].client)
        load_die("the server closed the stream of %s", client->user.name);
    all.left++;
    load_close(&client->conn);
}

static const load_client_calls calls = {
    .ready = on_ready, .stanza = on_stanza, .closed = on_closed};

/* --- over the relay: what was sent comes to each other one, and back once for each of them -------------- */

enum { FAN_RECORD = 180 }; /* a small presence with its addresses */

static void fan_open(load_conn *conn)
{
    load_start_tls(conn);
}

static void fan_secure(load_conn *conn)
{
    char record[FAN_RECORD + 1];
    (void)snprintf(record, sizeof record, "%08u%*s", conn->index, FAN_RECORD - 8, "");
    load_write(conn, record, FAN_RECORD);
}

static size_t fan_data(load_conn *conn, const char *bytes, size_t n)
{
    (void)bytes;
    if (conn->user == &all.members[0]) all.heard_own += n / FAN_RECORD;
    all.heard += n / FAN_RECORD;
    return n - n % FAN_RECORD;
}

static void fan_closed(load_conn *conn)
{
    load_die("the relay closed connection %u", conn->index);
}

static const load_calls fan_calls = {
    .open = fan_open, .secure = fan_secure, .data = fan_data, .closed = fan_closed};

/* --- the run ------------------------------------------------------------------------------------------- */

static void enter(unsigned i)
{
    if (all.is_fan) {
        all.ready++;
        all.members[i].conn = load_connect(&all.l, i, &all.members[i]);
        return;
    }
    const load_user user = load_user_of(all.o, i);
    all.members[i].client = (load_client){.step = 0};
    load_client_start(&all.members[i].client, &all.l, i, &user, all.o->domain, &calls);
}

/* One after the other; each is told of those before it, and they of it. */
static void enter_all(void)
{
    for (unsigned i = 0; i < all.o->count; i++) {
        enter(i);
        /* over the relay the first one's record comes back to it, too */
        const uint64_t wanted = (uint64_t)i * (i + 1) + (all.is_fan ? 1 : 0);
        while (all.ready <= i || all.heard < wanted) load_wait(&all.l, "logging in");
    }
}

static void run_for(unsigned ms)
{
    const int64_t until = load_now_ns() + (int64_t)ms * 1000000;
    while (load_now_ns() < until) load_wait(&all.l, "presence");
}

static void deliver(void)
{
    const int pid = (int)all.o->pid;
    load_threads threads;
    uint64_t sent = 0, copies = 0;
    all.is_changing = true;
    for (unsigned i = 0; i < all.o->flight; i++) change(&all.members[i]);
    run_for(all.o->warm_ms);
    load_threads_note(&threads, pid);
    const int64_t from_ns = load_now_ns(), cpu_ns = load_cpu_ns(pid);
    const uint64_t before = all.heard;
    run_for(all.o->run_ms);
    const double heard = (double)(all.heard - before);
    const double spent_us = (double)(load_cpu_ns(pid) - cpu_ns) / 1e3;
    const double took_s = (double)(load_now_ns() - from_ns) / 1e9;
    load_threads_print(&threads, heard);
    all.is_changing = false;
    for (unsigned i = 0; i < all.o->flight; i++) {
        while (all.members[i].told < all.o->count) load_wait(&all.l, "the last copies");
        sent += all.members[i].changes;
    }
    copies = sent * all.o->count;
    printf("cpu_us %.3f\nper_s %.0f\nsent %llu\ncopies %llu\n", spent_us / heard, heard / took_s,
           (unsigned long long)sent, (unsigned long long)copies);
}

/* The first one leaves, and all others are told. */
static void leave(void)
{
    const uint64_t wanted = all.heard + all.o->count - 1;
    const unsigned left = all.left;
    if (all.is_fan) {
        load_close(&all.members[0].conn);
        return;
    }
    load_client_stop(&all.members[0].client);
    while (all.left == left || all.heard < wanted) load_wait(&all.l, "logging out");
}

static void come(void)
{
    const unsigned ready = all.ready, others = all.o->count - 1;
    const uint64_t wanted = all.heard + 2 * (uint64_t)others, own = all.heard_own + others;
    enter(0);
    while (all.ready == ready || all.heard < wanted || all.heard_own < own)
        load_wait(&all.l, "logging in");
}

static void logins(void)
{
    const int pid = (int)all.o->pid;
    double spent_us = 0, own_us = 0;
    leave();
    come();
    for (unsigned i = 0; i < all.o->flight; i++) {
        leave();
        const int64_t cpu_ns = load_cpu_ns(pid), own_ns = load_cpu_ns(getpid());
        come();
        spent_us += (double)(load_cpu_ns(pid) - cpu_ns) / 1e3;
        own_us += (double)(load_cpu_ns(getpid()) - own_ns) / 1e3;
    }
    const double count = all.o->flight;
    printf("cpu_us %.1f\nown_us %.1f\nlogins %u\n", spent_us / count, own_us / count,
           all.o->flight + 1);
}

int main(int argc, char **argv)
{
    const load_options o = load_options_read(argc, argv);
    if (argc < 2 || o.port == 0 || o.pid == 0 || o.count < 2 || o.flight == 0 ||
        o.flight > o.count)
        load_die("usage: bench_presence deliver|login|fan port=N pid=N [count=N] [flight=N] ...");
    all.o = &o;
    all.is_login = strcmp(argv[1], "login") == 0;
    all.is_fan = strcmp(argv[1], "fan") == 0;
    all.members = calloc(o.count, sizeof *all.members);
    if (!all.members) load_die("no memory");
    load_init(&all.l, o.port, all.is_fan ? &fan_calls : &load_client_conn_calls, false);
    enter_all();
    load_rendezvous("ready");
    if (all.is_login || all.is_fan)
        logins();
    else
        deliver();
    load_rendezvous("done");
    return 0;
}
