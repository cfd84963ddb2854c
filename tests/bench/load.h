/* The load generator's parts: TLS connections on one epoll loop, an XMPP client on top of them, and a look
 * at the server's CPU time.
 *
 * One thread, no waiting anywhere but in load_poll. What goes wrong ends the program with a text: a figure from
 * a run that was disturbed is worth nothing. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct load load;
typedef struct load_conn load_conn;

/* Prints the text and ends the program with status 1. */
void load_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Monotonic clock in ns. */
int64_t load_now_ns(void);

/* --- connections ------------------------------------------------------------------------------------- */

/* What happens on a connection. `data` gets the bytes not consumed so far and returns how many it consumed; it is
 * called once per TLS record (or read). */
typedef struct load_calls {
    void (*open)(load_conn *conn);   /* TCP is there */
    void (*secure)(load_conn *conn); /* the TLS handshake is done */
    size_t (*data)(load_conn *conn, const char *bytes, size_t n);
    void (*closed)(load_conn *conn); /* the peer closed it; free it here or later */
} load_calls;

struct load {
    int epoll;
    SSL_CTX *tls;
    struct sockaddr_in server;
    const load_calls *calls;
    uint64_t records; /* TLS records that came */
};

struct load_conn {
    load *load;
    int fd;
    bool is_open, is_secure, is_closed;
    SSL *ssl;       /* NULL: plain */
    char *out, *in; /* what the socket did not take; what is not consumed */
    size_t out_n, out_cap, in_n, in_cap;
    unsigned index; /* the caller's */
    void *user;     /* the caller's */
};

/* Prepares a generator that talks to 127.0.0.1:`port` with TLS 1.3, AES-256-GCM. `is_lean`: buffers are given back at
 * rest, for thousands of connections. */
void load_init(load *l, unsigned port, const load_calls *calls, bool is_lean);

/* Starts to connect. */
load_conn *load_connect(load *l, unsigned index, void *user);

/* Starts the TLS handshake on an open connection. */
void load_start_tls(load_conn *conn);

/* Writes: one call is one TLS record while the socket takes it. */
void load_write(load_conn *conn, const char *bytes, size_t n);

/* Ends the connection (with close_notify) and frees it. Not from within `data`. */
void load_close(load_conn **conn);

/* Waits for events up to `timeout_ms` (-1: for ever) and handles them; returns how many. */
int load_poll(load *l, int timeout_ms);

/* --- XML -------------------------------------------------------------------------------------------- */

/* Where the search for the end of a stanza stands. Zero-initialise. */
typedef struct load_scan {
    size_t at;
    int depth;
} load_scan;

/* Length of the first whole piece in `bytes` (a stanza, a stream header, a stream's end tag), 0 if it isn't all there. The bytes
 * must be the same ones, or longer, at the next call. Knows as much XML as a server's own output needs: no comments, no CDATA. */
size_t load_scan_next(load_scan *scan, const char *bytes, size_t n);

/* Whether `bytes` has `text` in it / begins with it. */
bool load_has(const char *bytes, size_t n, const char *text);
bool load_starts(const char *bytes, size_t n, const char *text);

/* --- XMPP client ------------------------------------------------------------------------------------- */

typedef struct load_client load_client;

typedef struct load_client_calls {
    void (*ready)(load_client *client); /* logged in, roster there, own presence came back */
    void (*stanza)(load_client *client, const char *bytes, size_t n);
    void (*closed)(load_client *client); /* the server ended stream or connection */
} load_client_calls;

typedef struct load_user {
    char name[32], password[32];
} load_user;

struct load_client {
    load_conn *conn;
    const load_client_calls *calls;
    const char *domain;
    load_user user;
    int step;
    load_scan scan;
    char nonce[25];
    char first_bare[64];
    uint8_t server_signature[32];
    uint64_t sent; /* stanzas that the server counts: all after binding */
    unsigned index;
};

/* For load_init: the connections belong to clients. */
extern const load_calls load_client_conn_calls;

/* Connects and logs in by STARTTLS and SCRAM-SHA-256. `client` is zero-initialised and the caller's. */
void load_client_start(load_client *client, load *l, unsigned index, const load_user *user,
                       const char *domain, const load_client_calls *calls);

/* Sends a stanza. */
void load_client_send(load_client *client, const char *bytes, size_t n);

/* Ends the stream; `closed` follows when the server has ended it, too. */
void load_client_stop(load_client *client);

/* --- SCRAM ------------------------------------------------------------------------------------------- */

/* Makes the client's last message (RFC 5802 3) in `out` and the signature expected from the server. Salted passwords are
 * remembered, so that the generator's PBKDF2 runs once for each salt. False if the challenge is malformed. */
bool load_scram_final(const char *password, const char *first_bare, const char *challenge, size_t n,
                      char *out, size_t out_size, uint8_t signature_out[32]);

/* --- options ------------------------------------------------------------------------------------------- */

/* What programs are told, as NAME=VALUE words. */
typedef struct load_options {
    unsigned port, pid;       /* of the server */
    unsigned count;           /* clients, or logins */
    unsigned flight;          /* messages of a client that are under way */
    unsigned users;           /* accounts: user000000@DOMAIN, user000001@DOMAIN ... */
    unsigned parallel;        /* logins at once */
    unsigned warm_ms, run_ms; /* before and while measuring */
    const char *domain, *password;
    char **command; /* what stands behind "--", NULL-terminated */
} load_options;

/* Reads the words from argv[2] on; ends the program if one is unknown. */
load_options load_options_read(int argc, char **argv);

/* The i-th user. */
load_user load_user_of(const load_options *o, unsigned i);

/* Polls; ends the program if nothing happens for 20 s. `what` names the work. */
void load_wait(load *l, const char *what);

/* Prints a word and waits for a line on standard input: another program looks at the server meanwhile. */
void load_rendezvous(const char *word);

/* --- the server's processes --------------------------------------------------------------------------- */

/* CPU time of all threads of a process, dead ones included, in ns. */
int64_t load_cpu_ns(int pid);

/* Notes the threads' CPU times / prints "thread NAME US-PER-OP" for each that worked since. */
typedef struct load_threads {
    int pid, count;
    struct {
        int tid;
        int64_t ns;
    } thread[128];
} load_threads;
void load_threads_note(load_threads *threads, int pid);
void load_threads_print(const load_threads *threads, double operations);

#endif
