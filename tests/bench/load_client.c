/* An XMPP client as far as the figures need one: STARTTLS, SCRAM-SHA-256, bind, roster, presence, then stanzas
 * (RFC 6120 4 to 7, RFC 6121 2 and 4). It waits for each answer, as real ones do. */
#include "load.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

enum {
    PLAIN_HEADER,
    PROCEED,
    SECURE_HEADER,
    CHALLENGE,
    SUCCESS,
    FINAL_HEADER,
    BOUND,
    ROSTER,
    PRESENCE,
    READY,
    ENDING
};

static void say(load_client *client, const char *text)
{
    load_write(client->conn, text, strlen(text));
}

static void say_header(load_client *client)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "<?xml version='1.0'?><stream:stream to='%s' xmlns='jabber:client' "
                   "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
                   client->domain);
    say(client, text);
}

static void on_open(load_conn *conn)
{
    say_header(conn->user);
}

static void on_secure(load_conn *conn)
{
    load_client *client = conn->user;
    client->step = SECURE_HEADER;
    client->scan = (load_scan){.at = 0};
    say_header(client);
}

static void say_auth(load_client *client)
{
    uint8_t random[18];
    if (RAND_bytes(random, sizeof random) != 1) load_die("no random bytes");
    (void)EVP_EncodeBlock((uint8_t *)client->nonce, random, sizeof random);
    (void)snprintf(client->first_bare, sizeof client->first_bare, "n=%s,r=%s", client->user.name,
                   client->nonce);
    char first[80], coded[128], text[256];
    const int n = snprintf(first, sizeof first, "n,,%s", client->first_bare);
    (void)EVP_EncodeBlock((uint8_t *)coded, (const uint8_t *)first, n);
    (void)snprintf(text, sizeof text,
                   "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' "
                   "mechanism='SCRAM-SHA-256'>%s</auth>",
                   coded);
    say(client, text);
}

/* The text of an element without children, from base64; -1 if there is none. */
static int decode_text(const char *bytes, size_t n, uint8_t *out, size_t size)
{
    const char *from = memchr(bytes, '>', n);
    const char *to = from ? memchr(from, '<', n - (size_t)(from - bytes)) : NULL;
    if (!to) return -1;
    from++;
    const size_t coded = (size_t)(to - from);
    if (coded == 0 || coded % 4 || coded / 4 * 3 > size) return -1;
    const int got = EVP_DecodeBlock(out, (const uint8_t *)from, (int)coded);
    return got < 0 ? -1 : got - (to[-1] == '=') - (to[-2] == '=');
}

static void say_response(load_client *client, const char *bytes, size_t n)
{
    char challenge[512], final[512], coded[700], text[900];
    const int challenge_n = decode_text(bytes, n, (uint8_t *)challenge, sizeof challenge);
    if (challenge_n < 0 ||
        !load_scram_final(client->user.password, client->first_bare, challenge, (size_t)challenge_n,
                          final, sizeof final, client->server_signature))
        load_die("%s: bad challenge: %.*s", client->user.name, (int)n, bytes);
    (void)EVP_EncodeBlock((uint8_t *)coded, (const uint8_t *) final, (int)strlen(final));
    (void)snprintf(text, sizeof text,
                   "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>", coded);
    say(client, text);
}

static void check_signature(load_client *client, const char *bytes, size_t n)
{
    uint8_t last[512], signature[48];
    const int last_n = decode_text(bytes, n, last, sizeof last);
    if (last_n != 46 || memcmp(last, "v=", 2) != 0 ||
        EVP_DecodeBlock(signature, last + 2, 44) != 33 ||
        memcmp(signature, client->server_signature, 32) != 0)
        load_die("%s: the server's signature is wrong: %.*s", client->user.name, (int)n, bytes);
}

/* What must come in a step, what is answered, and the step after it. */
static void expect(load_client *client, const char *bytes, size_t n, const char *start,
                   const char *contains)
{
    if (load_starts(bytes, n, start) && load_has(bytes, n, contains)) return;
    load_die("%s: step %d: expected %s with %s, got %.*s", client->user.name, client->step, start,
             contains, (int)n, bytes);
}

static void send_counted(load_client *client, const char *text)
{
    load_client_send(client, text, strlen(text));
}

static void negotiate(load_client *client, const char *bytes, size_t n)
{
    switch (client->step) {
    case PLAIN_HEADER:
        expect(client, bytes, n, "<stream:features", "<starttls");
        say(client, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        break;
    case PROCEED:
        expect(client, bytes, n, "<proceed", "");
        load_start_tls(client->conn);
        return; /* on_secure goes on */
    case SECURE_HEADER:
        expect(client, bytes, n, "<stream:features", ">SCRAM-SHA-256<");
        say_auth(client);
        break;
    case CHALLENGE:
        expect(client, bytes, n, "<challenge", "");
        say_response(client, bytes, n);
        break;
    case SUCCESS:
        expect(client, bytes, n, "<success", "");
        check_signature(client, bytes, n);
        say_header(client);
        break;
    case FINAL_HEADER:
        expect(client, bytes, n, "<stream:features", "<bind");
        say(client, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                    "<resource>bench</resource></bind></iq>");
        break;
    case BOUND:
        expect(client, bytes, n, "<iq", "result");
        send_counted(client, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
        break;
    case ROSTER:
        expect(client, bytes, n, "<iq", "result");
        send_counted(client, "<presence/>");
        break;
    case PRESENCE: expect(client, bytes, n, "<presence", client->user.name); break;
    default: return;
    }
    client->step++;
    if (client->step == READY) client->calls->ready(client);
}

static size_t on_data(load_conn *conn, const char *bytes, size_t n)
{
    load_client *client = conn->user;
    size_t used = 0, length;
    while ((length = load_scan_next(&client->scan, bytes + used, n - used)) > 0) {
        const char *piece = bytes + used;
        used += length;
        if (client->step == READY && !load_starts(piece, length, "</"))
            client->calls->stanza(client, piece, length);
        else if (load_starts(piece, length, "</stream:stream>"))
            conn->is_closed = true;
        else if (!load_has(piece, length < 80 ? length : 80, "<stream:stream"))
            negotiate(client, piece, length);
    }
    return used;
}

static void on_closed(load_conn *conn)
{
    load_client *client = conn->user;
    client->calls->closed(client);
}

const load_calls load_client_conn_calls = {
    .open = on_open, .secure = on_secure, .data = on_data, .closed = on_closed};

void load_client_start(load_client *client, load *l, unsigned index, const load_user *user,
                       const char *domain, const load_client_calls *calls)
{
    client->calls = calls;
    client->domain = domain;
    client->user = *user;
    client->index = index;
    client->step = PLAIN_HEADER;
    client->conn = load_connect(l, index, client);
}

void load_client_send(load_client *client, const char *bytes, size_t n)
{
    client->sent++;
    load_write(client->conn, bytes, n);
}

void load_client_stop(load_client *client)
{
    client->step = ENDING;
    say(client, "</stream:stream>");
}
