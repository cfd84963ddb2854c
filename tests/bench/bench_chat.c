/* Messages between pairs of clients, over the relay floor or as chat over XMPP: the same bytes, the same number in
 * flight, and what one costs the server.
 *
 *   bench_chat relay|chat port=N pid=N [count=200] [flight=4] [warm_ms=500] [run_ms=3000]
 *
 * Prints "name value" lines. All have logged in at "ready", all that was sent has come at "done"; it goes on at a
 * line on standard input. Every message must come, in order. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BODY = 100, DIGITS = 8, WRAP = 100000000 };

typedef struct pairs pairs;

typedef struct end {
    pairs *all;
    load_conn *conn;    /* relay */
    load_client client; /* chat */
    unsigned index;
    uint64_t sent, received; /* `received`: of what this end's partner sent */
    bool is_ready;
} end;

struct pairs {
    const load_options *o;
    load l;
    end *ends;
    unsigned ready;
    bool is_relay, is_sending;
    uint64_t sent, received, others;
};

/* The end's next message. */
static void send_one(end *from)
{
    static const char body[] =
        "Neither, fair saint, if either thee dislike. How camest thou hither, "
        "tell me, and wherefore? Th";
    _Static_assert(sizeof body - 1 >= BODY - DIGITS, "the body is long enough");
    const load_options *o = from->all->o;
    const load_user partner = load_user_of(o, from->index ^ 1);
    char text[512];
    const int n =
        snprintf(text, sizeof text,
                 "<message to='%s@%s' type='chat' id='%08u'><body>%08u%.*s</body></message>",
                 partner.name, o->domain, (unsigned)(from->sent % WRAP),
                 (unsigned)(from->sent % WRAP), BODY - DIGITS, body);
    from->sent++;
    from->all->sent++;
    if (from->all->is_relay)
        load_write(from->conn, text, (size_t)n);
    else
        load_client_send(&from->client, text, (size_t)n);
}

/* A message came to `to`: it must be the partner's next one, and the partner may send another. */
static void took_one(end *to, const char *bytes, size_t n)
{
    pairs *all = to->all;
    const char *body = load_starts(bytes, n, "<message") ? memmem(bytes, n, "<body>", 6) : NULL;
    if (!body || body + 6 + BODY > bytes + n) {
        all->others++;
        return;
    }
    char digits[DIGITS + 1] = "";
    memcpy(digits, body + 6, DIGITS);
    if (strtoul(digits, NULL, 10) != to->received % WRAP)
        load_die("expected message %llu, got %.*s", (unsigned long long)to->received, (int)n,
                 bytes);
    to->received++;
    all->received++;
    if (all->is_sending) send_one(&all->ends[to->index ^ 1]);
}

static void became_ready(end *e)
{
    e->is_ready = true;
    e->all->ready++;
}

/* --- over the relay ------------------------------------------------------------------------------------ */

static void relay_open(load_conn *conn)
{
    load_start_tls(conn);
}

static void relay_secure(load_conn *conn)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%08u", conn->index);
    load_write(conn, number, DIGITS);
}

/* A record is a message. */
static size_t relay_data(load_conn *conn, const char *bytes, size_t n)
{
    end *e = conn->user;
    if (e->is_ready)
        took_one(e, bytes, n);
    else
        became_ready(e);
    return n;
}

static void relay_closed(load_conn *conn)
{
    load_die("the relay closed connection %u", conn->index);
}

static const load_calls relay_calls = {
    .open = relay_open, .secure = relay_secure, .data = relay_data, .closed = relay_closed};

/* --- over XMPP ------------------------------------------------------------------------------------------ */

static end *end_of(load_client *client)
{
    return (end *)(void *)((char *)client - offsetof(end, client));
}

static void chat_ready(load_client *client)
{
    became_ready(end_of(client));
}

static void chat_stanza(load_client *client, const char *bytes, size_t n)
{
    took_one(end_of(client), bytes, n);
}

static void chat_closed(load_client *client)
{
    load_die("the server closed the stream of %s", client->user.name);
}

static const load_client_calls chat_calls = {
    .ready = chat_ready, .stanza = chat_stanza, .closed = chat_closed};

/* --- the run -------------------------------------------------------------------------------------------- */

static void connect_all(pairs *p)
{
    for (unsigned i = 0; i < p->o->count; i++) {
        end *e = &p->ends[i];
        e->all = p;
        e->index = i;
        if (p->is_relay) {
            e->conn = load_connect(&p->l, i, e);
        } else {
            const load_user user = load_user_of(p->o, i);
            load_client_start(&e->client, &p->l, i, &user, p->o->domain, &chat_calls);
        }
        while (i + 1 - p->ready >= p->o->parallel) load_wait(&p->l, "connecting");
    }
    while (p->ready < p->o->count) load_wait(&p->l, "connecting");
}

static void run_for(pairs *p, unsigned ms)
{
    const int64_t until = load_now_ns() + (int64_t)ms * 1000000;
    while (load_now_ns() < until) load_wait(&p->l, "messages");
}

static void measure(pairs *p)
{
    const int pid = (int)p->o->pid;
    load_threads threads;
    p->is_sending = true;
    for (unsigned i = 0; i < p->o->count; i++)
        for (unsigned k = 0; k < p->o->flight; k++) send_one(&p->ends[i]);
    run_for(p, p->o->warm_ms);
    load_threads_note(&threads, pid);
    const int64_t from_ns = load_now_ns(), cpu_ns = load_cpu_ns(pid),
                  own_ns = load_cpu_ns(getpid());
    const uint64_t before = p->received, records = p->l.records;
    run_for(p, p->o->run_ms);
    const double spent_us = (double)(load_cpu_ns(pid) - cpu_ns) / 1e3;
    const double own_us = (double)(load_cpu_ns(getpid()) - own_ns) / 1e3;
    const double took_s = (double)(load_now_ns() - from_ns) / 1e9;
    const double messages = (double)(p->received - before);
    const double in_records = (double)(p->l.records - records);
    if (messages < 1) load_die("no message came through");
    load_threads_print(&threads, messages);
    p->is_sending = false;
    while (p->received < p->sent) load_wait(&p->l, "the last messages");
    printf("cpu_us %.3f\nper_s %.0f\nown_us %.3f\nper_record %.2f\n", spent_us / messages,
           messages / took_s, own_us / messages, messages / in_records);
}

int main(int argc, char **argv)
{
    static pairs p;
    const load_options o = load_options_read(argc, argv);
    if (argc < 2 || o.port == 0 || o.pid == 0 || o.count % 2 != 0)
        load_die("usage: bench_chat relay|chat port=N pid=N [count=EVEN] ...");
    p.o = &o;
    p.is_relay = strcmp(argv[1], "relay") == 0;
    p.ends = calloc(o.count, sizeof *p.ends);
    if (!p.ends) load_die("no memory");
    load_init(&p.l, o.port, p.is_relay ? &relay_calls : &load_client_conn_calls, false);
    connect_all(&p);
    load_rendezvous("ready");
    measure(&p);
    printf("sent %llu\nreceived %llu\nothers %llu\n", (unsigned long long)p.sent,
           (unsigned long long)p.received, (unsigned long long)p.others);
    load_rendezvous("done");
    return 0;
}
