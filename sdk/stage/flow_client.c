/* A scripted client: streams, SCRAM-SHA-256 and binding by RFC 6120, written apart from the server's code so that neither
 * can share the other's mistake. */
#include "flow.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define NS_TLS "urn:ietf:params:xml:ns:xmpp-tls"
#define NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"
#define ID_SYNC "flow-sync-"

static bool failed(flow_client *c, const char *why)
{
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    return false;
}

/* --- inbox ------------------------------------------------------------------------------------------- */

static void put_item(flow_client *c, sv_stanza *take, bool is_header, bool is_end)
{
    flow_item *item = svi_alloc(c->world->acct, sizeof *item);
    *item = (flow_item){.stanza = take, .is_header = is_header, .is_end = is_end};
    *c->tail = item;
    c->tail = &item->next;
}

static void on_header(void *ctx, sv_stanza *take)
{
    flow_client *c = ctx;
    c->got_header = true;
    put_item(c, take, true, false);
}

/* A push of what the runner itself writes into rosters. */
static bool is_own_push(const sv_node *root)
{
    const sv_str ns = SV_STR("jabber:iq:roster");
    const sv_node *query = svi_node_find(root, SV_STR("query"), ns);
    const sv_node *item = query ? svi_node_find(query, SV_STR("item"), ns) : NULL;
    return item && sv_str_eq(svi_node_attr(root, SV_STR("type")), SV_STR("set")) &&
           svi_str_ends(svi_node_attr(item, SV_STR("jid")), SV_STR(FLOW_SYNC_DOMAIN));
}

static flow_asked *find_asked(flow_client *c, sv_str id)
{
    for (size_t i = 0; i < c->asked_count; i++)
        if (sv_str_eq(sv_str_of(c->asked[i].id), id)) return &c->asked[i];
    return NULL;
}

static bool is_iq_of(const sv_node *root, const char *one, const char *other)
{
    const sv_str type = svi_node_attr(root, SV_STR("type"));
    return svi_node_is(root, SV_STR("iq"), SV_STR(SVI_NS_CLIENT)) &&
           (sv_str_eq(type, sv_str_of(one)) || sv_str_eq(type, sv_str_of(other)));
}

/* A session may leave a request unanswered; whoever else it is for, the server answers at last. */
static void note_request(flow_client *c, const sv_node *root, sv_str text)
{
    const sv_str id = svi_node_attr(root, SV_STR("id")), to = svi_node_attr(root, SV_STR("to"));
    if (!is_iq_of(root, "get", "set") || id.n == 0 || svi_str_find(to, '/') < to.n || svi_str_starts(id, SV_STR(ID_SYNC))) return;
    flow_asked *asked = find_asked(c, id);
    if (!asked && (c->asked_count == FLOW_ASKED_MAX || id.n >= sizeof asked->id)) {
        c->is_unread = true;
        return;
    }
    if (!asked) {
        if (!c->asked) c->asked = svi_alloc(c->world->acct, FLOW_ASKED_MAX * sizeof *c->asked);
        asked = &c->asked[c->asked_count++];
        *asked = (flow_asked){.asked = 0};
        (void)snprintf(asked->id, sizeof asked->id, "%.*s", (int)id.n, id.p);
        (void)snprintf(asked->head, sizeof asked->head, "%.*s", (int)text.n, text.p);
    }
    asked->asked++;
}

/* What a bound client sends, of which its requests are noted. */
static void note_sent(flow_client *c, sv_str bytes)
{
    sv_stanza *block = NULL;
    sv_err err;
    svi_buf whole;
    svi_buf_init(&whole, c->world->acct);
    svi_buf_printf(&whole, "<flow xmlns:stream='%s'>%.*s</flow>", SVI_NS_STREAM, (int)bytes.n, bytes.p);
    if (svi_stanza_parse(c->world->acct, NULL, svi_buf_str(&whole), SV_STR(SVI_NS_CLIENT), &block, &err) != SV_OK) {
        c->is_unread = true;
    } else {
        const sv_node *root = svi_stanza_root(block);
        for (const sv_node *node = svi_node_first(root); node; node = svi_node_next(root, node)) note_request(c, node, bytes);
        svi_stanza_unref(&block);
    }
    svi_buf_free(&whole);
}

bool flow_client_is_answered(const flow_client *c, char *why, size_t why_bytes)
{
    for (size_t i = 0; c->pipe && !c->is_unread && i < c->asked_count; i++) {
        const flow_asked *a = &c->asked[i];
        if (a->asked == a->answered) continue;
        if (a->answered > a->asked)
            (void)snprintf(why, why_bytes, "a request of %s was answered %u times: %s", c->name, a->answered, a->head);
        else
            (void)snprintf(why, why_bytes, "a request of %s was never answered: %s", c->name, a->head);
        return false;
    }
    return true;
}

static void note_answer(flow_client *c, const sv_node *root)
{
    flow_asked *asked = is_iq_of(root, "result", "error") ? find_asked(c, svi_node_attr(root, SV_STR("id"))) : NULL;
    if (asked) asked->answered++;
}

static void on_stanza(void *ctx, sv_stanza *take)
{
    note_answer(ctx, svi_stanza_root(take));
    if (is_own_push(svi_stanza_root(take)))
        svi_stanza_unref(&take);
    else
        put_item(ctx, take, false, false);
}

static void on_end(void *ctx)
{
    flow_client *c = ctx;
    c->got_end = true;
    put_item(c, NULL, false, true);
}

static void on_fault(void *ctx, svi_xml_fault fault, const char *text)
{
    flow_client *c = ctx;
    (void)fault;
    c->broken = true;
    (void)snprintf(c->why, sizeof c->why, "the server sent XML that can't be parsed: %s", text);
}

static const svi_parser_calls calls = {
    .header = on_header, .stanza = on_stanza, .end = on_end, .fault = on_fault};
static const svi_atoms *const _Atomic no_atoms = NULL;

void flow_item_free(flow_item **item)
{
    if ((*item)->stanza) svi_stanza_unref(&(*item)->stanza);
    svi_free(*item);
    *item = NULL;
}

void flow_client_drop_first(flow_client *c)
{
    flow_item *item = c->inbox;
    SV_ASSERT(item != NULL);
    c->inbox = item->next;
    if (!c->inbox) c->tail = &c->inbox;
    flow_item_free(&item);
}

/* --- bytes ------------------------------------------------------------------------------------------- */

static void show(const flow_client *c, const char *what, sv_str bytes)
{
    if (!c->world->trace) return;
    (void)fprintf(stderr, "%s %s %.*s%s\n", c->name, what, (int)(bytes.n < 3000 ? bytes.n : 3000),
                  bytes.n ? bytes.p : "", bytes.n < 3000 ? "" : " ...");
}

static void flush(flow_client *c)
{
    while (c->pipe && c->out.len) {
        const ssize_t n = c->pipe->write(c->pipe, c->out.data, c->out.len);
        if (n <= 0) return;
        svi_buf_consume(&c->out, (size_t)n);
    }
}

bool flow_client_write(flow_client *c, sv_str bytes)
{
    if (!c->pipe) return failed(c, "is not connected");
    show(c, "->", bytes);
    c->unsynced = true;
    if (c->is_bound) note_sent(c, bytes);
    svi_buf_put(&c->out, bytes);
    flush(c);
    return true;
}

bool flow_client_send(flow_client *c, sv_str bytes)
{
    if (!flow_client_write(c, bytes)) return false;
    (void)c->world->settle(c->world);
    while (c->pipe && c->out.len) {
        const size_t left = c->out.len;
        (void)flow_client_pump(c); /* a server may want to be read before it reads on */
        if (c->out.len < left || c->world->settle(c->world)) continue;
        if (c->world->pass_owed && c->world->pass_owed(c->world)) continue;
        if (!c->world->wait_output) break; /* held back: for good, unless time passes */
        if (!c->world->wait_output(c->world, c->pipe, c->world->patience_ms))
            return failed(c, "the server does not read on");
    }
    return true;
}

bool flow_client_pump(flow_client *c)
{
    char buf[8192];
    bool any = false;
    flush(c);
    while (c->pipe && !c->broken) {
        const ssize_t n = c->pipe->read(c->pipe, buf, sizeof buf);
        if (n < 0) break;
        any = true;
        show(c, "<-", n ? (sv_str){buf, (size_t)n} : SV_STR("(end)"));
        if (n == 0) {
            (void)snprintf(c->end, sizeof c->end, "the connection is closed%s%s%s",
                           c->pipe->fault ? " (" : "", c->pipe->fault ? c->pipe->fault : "",
                           c->pipe->fault ? ")" : "");
            c->pipe->close(c->pipe);
            c->pipe = NULL;
            break;
        }
        (void)svi_parser_feed(c->parser, (sv_str){buf, (size_t)n});
    }
    return any;
}

flow_item *flow_client_next(flow_client *c)
{
    for (;;) {
        (void)c->world->settle(c->world);
        (void)flow_client_pump(c);
        if (c->inbox) return c->inbox;
        if (c->broken) return NULL;
        if (!c->pipe) {
            (void)failed(c, c->end[0] ? c->end : "it is not connected");
            return NULL;
        }
        if (c->world->settle(c->world) || flow_client_pump(c)) continue;
        if (c->world->pass_owed && c->world->pass_owed(c->world)) continue;
        if (!c->world->wait_input ||
            !c->world->wait_input(c->world, &c->pipe, 1, c->world->patience_ms)) {
            (void)failed(c, "nothing came");
            return NULL;
        }
    }
}

/* --- negotiation -------------------------------------------------------------------------------------- */

static void new_parser(flow_client *c)
{
    svi_parser_free(&c->parser);
    const svi_xml_limits limits = svi_xml_limits_user();
    c->parser = svi_parser_new(c->world->acct, &no_atoms, &limits, &calls, c);
    c->got_header = false;
}

/* Waits for an element and takes it: a reference for the caller. */
static sv_stanza *take(flow_client *c, bool header)
{
    flow_item *item = flow_client_next(c);
    if (!item) return NULL;
    if (item->is_end || item->is_header != header) {
        (void)failed(c, item->is_end ? "the server ended the stream"
                                     : "something else than was due came");
        return NULL;
    }
    sv_stanza *stanza = svi_stanza_ref(item->stanza);
    flow_client_drop_first(c);
    return stanza;
}

/* Opens a stream and returns the features. */
static sv_stanza *open_stream(flow_client *c)
{
    new_parser(c);
    char header[600];
    (void)snprintf(header, sizeof header,
                   "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
                   "xmlns:stream='http://etherx.jabber.org/streams' "
                   "to='%s' version='1.0'>",
                   c->domain);
    if (!flow_client_send(c, sv_str_of(header))) return NULL;
    sv_stanza *got = take(c, true);
    if (!got) return NULL;
    svi_stanza_unref(&got);
    sv_stanza *features = take(c, false);
    if (features &&
        !svi_node_is(svi_stanza_root(features), SV_STR("features"), SV_STR(SVI_NS_STREAM))) {
        svi_stanza_unref(&features);
        (void)failed(c, "no features came");
    }
    return features;
}

static bool expect(flow_client *c, const char *name, const char *ns, sv_str *text_out)
{
    sv_stanza *got = take(c, false);
    if (!got) return false;
    const bool right = svi_node_is(svi_stanza_root(got), sv_str_of(name), sv_str_of(ns));
    if (!right) {
        svi_buf buf;
        svi_buf_init(&buf, c->world->acct);
        svi_stanza_write(&buf, got, SVI_FLAVOUR_ALONE, NULL);
        (void)snprintf(c->why, sizeof c->why, "expected <%s/>, got %.*s", name, (int)buf.len,
                       buf.data);
        svi_buf_free(&buf);
    }
    if (text_out)
        *text_out = svi_arena_str(c->arena, svi_node_text(svi_stanza_root(got), c->arena));
    svi_stanza_unref(&got);
    return right;
}

static bool has(const sv_stanza *features, const char *name, const char *ns)
{
    return svi_node_find(svi_stanza_root(features), sv_str_of(name), sv_str_of(ns)) != NULL;
}

/* --- SCRAM-SHA-256 (RFC 5802 3, RFC 7677) --------------------------------------------------------------- */

static void hmac(const uint8_t key[32], sv_str text, uint8_t out[32])
{
    unsigned n = 32;
    (void)HMAC(EVP_sha256(), key, 32, (const uint8_t *)text.p, text.n, out, &n);
}

static sv_str field(sv_str message, char letter)
{
    sv_str part;
    while (svi_str_split(&message, ',', &part))
        if (part.n > 2 && part.p[0] == letter && part.p[1] == '=')
            return svi_str_sub(part, 2, part.n);
    return SV_STR_NONE;
}

static bool send_sasl(flow_client *c, const char *head, sv_str raw, const char *tail)
{
    svi_buf buf;
    svi_buf_init(&buf, c->world->acct);
    svi_buf_put(&buf, sv_str_of(head));
    svi_base64_put(&buf, raw);
    svi_buf_put(&buf, sv_str_of(tail));
    const bool ok = flow_client_send(c, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return ok;
}

static bool decode(flow_client *c, sv_str text, sv_str *raw_out)
{
    svi_buf buf;
    svi_buf_init(&buf, c->world->acct);
    const bool ok = svi_base64_get(&buf, svi_str_trim(text)) == SV_OK;
    *raw_out = svi_arena_str(c->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return ok || failed(c, "SASL data that is not base64");
}

/* The proof for a server's first message, and the signature it must answer with. */
static sv_str prove(flow_client *c, sv_str first_bare, sv_str server_first, uint8_t signature[32])
{
    sv_str salt;
    int64_t rounds = 0;
    if (!decode(c, field(server_first, 's'), &salt) ||
        svi_str_int(field(server_first, 'i'), 1, 10000000, &rounds) != SV_OK)
        return SV_STR_NONE;
    uint8_t salted[32], client_key[32], stored[32], server_key[32];
    (void)PKCS5_PBKDF2_HMAC(c->password, (int)strlen(c->password), (const uint8_t *)salt.p,
                            (int)salt.n, (int)rounds, EVP_sha256(), 32, salted);
    hmac(salted, SV_STR("Client Key"), client_key);
    hmac(salted, SV_STR("Server Key"), server_key);
    (void)EVP_Digest(client_key, 32, stored, NULL, EVP_sha256(), NULL);
    const sv_str nonce = field(server_first, 'r');
    const sv_str without = svi_arena_printf(c->arena, "c=biws,r=%.*s", (int)nonce.n, nonce.p);
    const sv_str auth =
        svi_arena_printf(c->arena, "%.*s,%.*s,%.*s", (int)first_bare.n, first_bare.p,
                         (int)server_first.n, server_first.p, (int)without.n, without.p);
    uint8_t proof[32];
    hmac(stored, auth, proof);
    hmac(server_key, auth, signature);
    for (size_t i = 0; i < 32; i++) proof[i] ^= client_key[i];
    svi_buf buf;
    svi_buf_init(&buf, c->world->acct);
    svi_buf_put(&buf, without);
    svi_buf_put(&buf, SV_STR(",p="));
    svi_base64_put(&buf, (sv_str){(const char *)proof, 32});
    const sv_str final = svi_arena_str(c->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return final;
}

static bool authenticate(flow_client *c)
{
    uint8_t random[12], signature[32];
    c->world->random(c->world, random, sizeof random);
    svi_buf nonce;
    svi_buf_init(&nonce, c->world->acct);
    svi_hex_put(&nonce, (sv_str){(const char *)random, sizeof random});
    const sv_str bare =
        svi_arena_printf(c->arena, "n=%s,r=%.*s", c->user, (int)nonce.len, nonce.data);
    svi_buf_free(&nonce);
    const sv_str first = svi_arena_printf(c->arena, "n,,%.*s", (int)bare.n, bare.p);
    sv_str text, raw;
    if (!send_sasl(c, "<auth xmlns='" NS_SASL "' mechanism='SCRAM-SHA-256'>", first, "</auth>") ||
        !expect(c, "challenge", NS_SASL, &text) || !decode(c, text, &raw))
        return false;
    const sv_str final = prove(c, bare, raw, signature);
    if (!final.n) return failed(c, "the server's SCRAM message is malformed");
    if (!send_sasl(c, "<response xmlns='" NS_SASL "'>", final, "</response>") ||
        !expect(c, "success", NS_SASL, &text) || !decode(c, text, &raw))
        return false;
    sv_str verifier;
    if (!decode(c, field(raw, 'v'), &verifier)) return false;
    return (verifier.n == 32 && memcmp(verifier.p, signature, 32) == 0) ||
           failed(c, "the server's signature is wrong");
}

static bool bind(flow_client *c)
{
    char text[400];
    (void)snprintf(text, sizeof text,
                   "<iq type='set' id='flow-bind'><bind xmlns='" NS_BIND "'>%s%s%s</bind></iq>",
                   c->resource[0] ? "<resource>" : "", c->resource,
                   c->resource[0] ? "</resource>" : "");
    if (!flow_client_send(c, sv_str_of(text))) return false;
    sv_stanza *got = take(c, false);
    if (!got) return false;
    const sv_node *root = svi_stanza_root(got);
    const sv_node *node = svi_node_find(root, SV_STR("bind"), SV_STR(NS_BIND));
    const sv_node *jid = node ? svi_node_find(node, SV_STR("jid"), SV_STR(NS_BIND)) : NULL;
    const bool ok = jid && sv_str_eq(svi_node_attr(root, SV_STR("type")), SV_STR("result"));
    if (ok) {
        const sv_str full = svi_node_text(jid, c->arena);
        const sv_str resource = svi_str_sub(full, svi_str_find(full, '/') + 1, full.n);
        (void)snprintf(c->resource, sizeof c->resource, "%.*s", (int)resource.n, resource.p);
    }
    svi_stanza_unref(&got);
    return ok || failed(c, "binding was refused");
}

/* TLS where the server offers it; false if what is due does not come. */
static bool secure(flow_client *c, bool *done_out)
{
    *done_out = false;
    sv_stanza *features = open_stream(c);
    if (!features) return false;
    const bool offered = c->pipe->starttls && has(features, "starttls", NS_TLS);
    svi_stanza_unref(&features);
    if (!offered) return true;
    if (!flow_client_send(c, SV_STR("<starttls xmlns='" NS_TLS "'/>")) ||
        !expect(c, "proceed", NS_TLS, NULL))
        return false;
    *done_out = true;
    return c->pipe->starttls(c->pipe, c->domain) || failed(c, "the TLS handshake failed");
}

static bool next_features(flow_client *c)
{
    sv_stanza *features = open_stream(c);
    if (!features) return false;
    svi_stanza_unref(&features);
    return true;
}

/* Without TLS (the stage) a raw client's bytes begin with the connection. */
static bool connect_raw(flow_client *c)
{
    if (c->raw == FLOW_RAW_BYTES || !c->pipe->starttls) return true;
    bool secured;
    if (!secure(c, &secured)) return false;
    if (!secured) return failed(c, "TLS is not offered");
    new_parser(c);
    return true;
}

/* Says in which phase the login failed. */
static bool failed_in(flow_client *c, const char *phase)
{
    char why[sizeof c->why];
    (void)snprintf(why, sizeof why, "%s: %.150s", phase, c->why);
    return failed(c, why);
}

bool flow_client_connect(flow_client *c)
{
    if (c->pipe) return failed(c, "is connected already");
    c->end[0] = 0;
    while (c->inbox) flow_client_drop_first(c);
    svi_buf_clear(&c->out);
    c->broken = c->got_end = c->silent = c->is_bound = c->is_unread = false;
    c->asked_count = 0;
    svi_arena_clear(c->arena);
    c->pipe = c->world->open(c->world);
    if (!c->pipe) return failed(c, "can't connect");
    new_parser(c);
    if (c->raw == FLOW_RAW_BYTES || c->raw == FLOW_RAW_TLS) return connect_raw(c);
    bool secured;
    if (!secure(c, &secured)) return failed_in(c, "before TLS stands");
    if ((secured && !next_features(c)) || !authenticate(c)) return failed_in(c, "while logging in");
    if (c->raw == FLOW_RAW_LOGIN) return new_parser(c), true;
    c->is_bound = next_features(c) && bind(c);
    return c->is_bound || failed_in(c, "while binding");
}

/* --- end ----------------------------------------------------------------------------------------------- */

void flow_client_vanish(flow_client *c)
{
    if (!c->pipe) return;
    c->pipe->close(c->pipe);
    c->pipe = NULL;
    svi_buf_clear(&c->out);
    (void)c->world->settle(c->world);
}

void flow_client_cut(flow_client *c)
{
    if (!c->pipe) return;
    c->pipe->cut(c->pipe);
    (void)flow_client_pump(c); /* it hears of it at once */
    svi_buf_clear(&c->out);
    (void)c->world->settle(c->world);
}

void flow_client_silence(flow_client *c)
{
    if (!c->pipe) return;
    c->silent = true;
    c->pipe->silence(c->pipe);
}

void flow_client_leave(flow_client *c)
{
    if (!c->pipe) return;
    (void)flow_client_send(c, SV_STR("</stream:stream>"));
    for (int tries = 0; c->pipe && !c->got_end && !c->broken && tries < 100; tries++) {
        flow_item *had = c->inbox;
        if (had && !had->is_end) flow_client_drop_first(c);
        if (!flow_client_next(c)) break;
    }
    flow_client_vanish(c);
}

void flow_client_free(flow_client *c)
{
    flow_client_vanish(c);
    while (c->inbox) flow_client_drop_first(c);
    svi_parser_free(&c->parser);
    svi_buf_free(&c->out);
    svi_arena_free(&c->arena);
    svi_free(c->asked);
}

/* --- synchronisation --------------------------------------------------------------------------------- */

/* Takes the answer to an IQ of ours out of the inbox, waiting for it; what came before it stays. */
static bool take_answer(flow_client *c, const char *id)
{
    for (;;) {
        for (flow_item **at = &c->inbox; *at; at = &(*at)->next) {
            flow_item *item = *at;
            if (!item->stanza ||
                !sv_str_eq(svi_node_attr(svi_stanza_root(item->stanza), SV_STR("id")),
                           sv_str_of(id)))
                continue;
            *at = item->next;
            if (!*at) c->tail = at;
            flow_item_free(&item);
            return true;
        }
        (void)c->world->settle(c->world);
        if (flow_client_pump(c) || c->world->settle(c->world)) continue;
        if (!c->pipe) return failed(c, "the connection is closed");
        if (c->world->pass_owed && c->world->pass_owed(c->world)) continue;
        if (!c->world->wait_input ||
            !c->world->wait_input(c->world, &c->pipe, 1, c->world->patience_ms))
            return failed(c, "the server does not answer the runner's own requests");
    }
}

/* Sends an IQ of the runner's own and waits for its answer. An error is an answer. */
static bool ask(flow_client *c, const char *type, const char *to, const char *payload)
{
    char id[40], text[700];
    (void)snprintf(id, sizeof id, ID_SYNC "%u", ++c->pings);
    (void)snprintf(text, sizeof text, "<iq type='%s' id='%s'%s%s%s>%s</iq>", type, id,
                   to ? " to='" : "", to ? to : "", to ? "'" : "", payload);
    return flow_client_send(c, sv_str_of(text)) && take_answer(c, id);
}

static bool ask_account(flow_client *c, const flow_client *other)
{
    char to[300];
    (void)snprintf(to, sizeof to, "%s@%s", other->user, other->domain);
    return ask(c, "get", to, "<ping xmlns='urn:xmpp:ping'/>");
}

static bool write_roster(flow_client *c, const char *subscription)
{
    char payload[300];
    (void)snprintf(payload, sizeof payload,
                   "<query xmlns='jabber:iq:roster'><item jid='%s%s'%s/></query>", c->name,
                   FLOW_SYNC_DOMAIN, subscription);
    return ask(c, "set", NULL, payload);
}

bool flow_client_sync(flow_client *c, flow_client *const *others, size_t count)
{
    if (!c->pipe || c->raw || c->silent) return true;
    bool ok = ask(c, "get", c->domain, "<ping xmlns='urn:xmpp:ping'/>");
    if (c->world->wait_input) {
        for (size_t i = 0; ok && i < count; i++)
            if (others[i] != c && others[i]->user[0]) ok = ask_account(c, others[i]);
        ok = ok && write_roster(c, "") && write_roster(c, " subscription='remove'");
    }
    c->unsynced = false;
    return ok;
}
