/* A client of the simulation: streams, SCRAM-SHA-256 and binding as a machine that never waits, so that logins mix with all else. */
#include "sim.h"

#include "xmpp/xmpp_scram_keys.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"

const char *name_of(unsigned account, char text[16])
{
    (void)snprintf(text, 16, "u%03u", account);
    return text;
}

const char *domain_of_host(unsigned host)
{
    static const char *const domains[HOSTS] = {"localhost", "other.localhost", "third.localhost"};
    return domains[host];
}

unsigned host_of(unsigned account)
{
    return account / REACH % HOSTS;
}

const char *domain_of(unsigned account)
{
    return domain_of_host(host_of(account));
}

unsigned neighbour(unsigned account, unsigned slot)
{
    const unsigned away = slot < REACH ? slot + 1 : ACCOUNTS - (slot - REACH + 1);
    return (account + away) % ACCOUNTS;
}

int slot_of(unsigned account, unsigned other)
{
    const unsigned away = (other + ACCOUNTS - account) % ACCOUNTS;
    if (away == 0) return (int)OWN;
    if (away <= REACH) return (int)away - 1;
    if (away >= ACCOUNTS - REACH) return (int)(REACH + (ACCOUNTS - away) - 1);
    return -1;
}

unsigned number_of(const client *c)
{
    return c->account * DEVICES + c->device;
}

static void show(const client *c, const char *what, sv_str bytes)
{
    if (c->t->watch < 0 || (c->account != (unsigned)c->t->watch && slot_of((unsigned)c->t->watch, c->account) < 0))
        return;
    (void)fprintf(stderr, "%u r%u u%03u/r%u.%u %s %.*s\n", c->t->message_count, c->t->round, c->account, c->device,
                  c->session, what, (int)bytes.n, bytes.n ? bytes.p : "");
}

void say(client *c, const char *format, ...)
{
    char text[2000];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    SV_ASSERT(n > 0 && (size_t)n < sizeof text);
    show(c, "->", (sv_str){text, (size_t)n});
    svi_buf_put(&c->out, (sv_str){text, (size_t)n});
}

static void say_header(client *c, phase_of_stream next)
{
    say(c,
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
        "xmlns:stream='http://etherx.jabber.org/streams' to='%s' version='1.0'>",
        domain_of(c->account));
    c->phase = next;
}

/* --- SCRAM (RFC 5802 3) ----------------------------------------------------------------------------- */

static void say_base64(client *c, const char *head, sv_str raw, const char *tail)
{
    svi_buf buf;
    svi_buf_init(&buf, &c->t->peers);
    svi_base64_put(&buf, raw);
    say(c, "%s%.*s%s", head, (int)buf.len, buf.data, tail);
    svi_buf_free(&buf);
}

static void say_auth(client *c)
{
    char first[80], name[16];
    (void)snprintf(c->nonce, sizeof c->nonce, "%08x%08x", roll_of(&c->dice, UINT32_MAX),
                   roll_of(&c->dice, UINT32_MAX));
    const int n = snprintf(first, sizeof first, "n,,n=%s,r=%s", name_of(c->account, name), c->nonce);
    say_base64(c, "<auth xmlns='" NS_SASL "' mechanism='SCRAM-SHA-256'>", (sv_str){first, (size_t)n}, "</auth>");
    c->phase = AUTH;
}

static void say_proof(client *c, const sv_node *challenge)
{
    svi_arena *arena = svi_arena_new(&c->t->peers, 2048);
    svi_buf raw;
    svi_buf_init(&raw, &c->t->peers);
    if (svi_base64_get(&raw, svi_str_trim(svi_node_text(challenge, arena))) != SV_OK)
        complain(c->t, "a challenge that is not base64");
    char name[16];
    const sv_str server = svi_buf_str(&raw), nonce = svi_str_sub(server, 2, svi_str_find(server, ',') - 2);
    const sv_str without = svi_arena_printf(arena, "c=biws,r=%.*s", (int)nonce.n, nonce.p);
    const sv_str signed_text =
        svi_arena_printf(arena, "n=%s,r=%s,%.*s,%.*s", name_of(c->account, name), c->nonce, (int)server.n,
                         server.p, (int)without.n, without.p);
    uint8_t proof[32];
    svi_scram_hmac(svi_scram_hash_find(SV_STR("SCRAM-SHA-256")), c->t->stored_key, 32, signed_text, proof);
    for (size_t i = 0; i < 32; i++) proof[i] ^= c->t->client_key[i];
    svi_buf_clear(&raw);
    svi_base64_put(&raw, (sv_str){(const char *)proof, 32});
    const sv_str final =
        svi_arena_printf(arena, "%.*s,p=%.*s", (int)without.n, without.p, (int)raw.len, raw.data);
    say_base64(c, "<response xmlns='" NS_SASL "'>", final, "</response>");
    svi_buf_free(&raw);
    svi_arena_free(&arena);
    c->phase = PROOF;
}

/* True if the server has a reason to let nobody in. */
static bool may_be_refused(const client *c)
{
    const sim *t = c->t;
    const person *a = &t->accounts[c->account];
    return a->is_disabled || a->is_leaving || !a->exists || t->failed_in == t->round || a->barred_in == t->round ||
           t->gone_in[host_of(c->account)] == t->round || t->short_in == t->round;
}

/* The login did not succeed: the client gives up. */
static void refused(client *c, const sv_node *root)
{
    const sv_str name = svi_node_name(root);
    if (!sv_str_eq(name, SV_STR("error")) && !may_be_refused(c)) /* of the stream: the end follows */
        complain(c->t, "u%03u/r%u got <%.*s/> while it logged in", c->account, c->device, (int)name.n, name.p);
    c->gives_up = true;
}

/* --- the stream's steps ------------------------------------------------------------------------------- */

static void negotiate(client *c, const sv_node *root)
{
    const sv_str name = svi_node_name(root);
    if (c->phase == HEADER && sv_str_eq(name, SV_STR("features"))) {
        say_auth(c);
    } else if (c->phase == AUTH && sv_str_eq(name, SV_STR("challenge"))) {
        say_proof(c, root);
    } else if (c->phase == PROOF && sv_str_eq(name, SV_STR("success"))) {
        c->renew = true;
    } else if (c->phase == HEADER_2 && sv_str_eq(name, SV_STR("features"))) {
        say(c,
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            "<resource>r%u</resource></bind></iq>",
            c->device);
        c->phase = BINDING;
    } else if (c->phase == BINDING && sv_str_eq(svi_node_attr(root, SV_STR("type")), SV_STR("result"))) {
        c->phase = BOUND;
        model_bound(c);
    } else {
        refused(c, root);
    }
}

static void on_header(void *ctx, sv_stanza *take)
{
    (void)ctx;
    svi_stanza_unref(&take);
}

static void on_stanza(void *ctx, sv_stanza *take)
{
    client *c = ctx;
    const sv_node *root = svi_stanza_root(take);
    if (c->phase < BOUND)
        negotiate(c, root);
    else if (svi_node_is(root, SV_STR("error"), SV_STR(SVI_NS_STREAM)))
        c->kicked = true, show(c, "stream error", svi_node_name(svi_node_first(root)));
    else
        model_stanza(c, root);
    svi_stanza_unref(&take);
}

static void on_end(void *ctx)
{
    ((client *)ctx)->at_end = true;
}

static void on_fault(void *ctx, svi_xml_fault fault, const char *text)
{
    const client *c = ctx;
    complain(c->t, "u%03u/r%u can't parse the server's XML in phase %d (%d): %s", c->account, c->device, (int)c->phase, (int)fault,
             text);
}

static void new_parser(client *c)
{
    static const svi_parser_calls calls = {
        .header = on_header, .stanza = on_stanza, .end = on_end, .fault = on_fault};
    static const svi_atoms *const _Atomic no_atoms = NULL;
    const svi_xml_limits limits = svi_xml_limits_user();
    if (c->parser) svi_parser_free(&c->parser);
    c->parser = svi_parser_new(&c->t->peers, &no_atoms, &limits, &calls, c);
}

/* --- life ----------------------------------------------------------------------------------------------- */

static void not_told(void *ctx, bool readable, bool writable)
{
    (void)ctx, (void)readable, (void)writable; /* the sim looks by itself */
}

void client_connect(client *c)
{
    SV_ASSERT(!c->link);
    sim *t = c->t;
    c->link = svi_stage_connect(t->stage);
    c->link->ready = not_told;
    t->linked++;
    c->session++;
    c->dice = t->dice;
    t->accounts[c->account].connects++;
    c->at_end = c->deaf = c->kicked = c->drains = c->renew = c->gives_up = false;
    svi_buf_init(&c->out, &t->peers);
    new_parser(c);
    say_header(c, HEADER);
}

/* The client has no connection any more. */
static void lose(client *c, const char *how)
{
    const phase_of_stream was = c->phase;
    c->link = NULL;
    c->t->linked--;
    svi_buf_free(&c->out);
    svi_parser_free(&c->parser);
    c->phase = OFF;
    show(c, how, SV_STR_NONE);
    if (was >= BOUND) model_ended(c);
}

static void close_link(client *c, bool broken)
{
    c->link->ops->close(c->link);
    lose(c, broken ? "broken" : "closed");
}

static bool flush(client *c)
{
    bool any = false;
    while (c->out.len) {
        const ssize_t n = c->link->ops->write(c->link, c->out.data, c->out.len);
        if (n <= 0) break;
        svi_buf_consume(&c->out, (size_t)n);
        any = true;
    }
    return any;
}

static void hash_bytes(client *c, const char *bytes, size_t n)
{
    uint64_t h = c->t->hash ^ (c->account * DEVICES + c->device + 1);
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    c->t->hash = h;
}

/* Behind <success/> another stream begins, of which the server may have written something already: it ends. */
static void feed(client *c, sv_str bytes)
{
    while (c->phase == PROOF && bytes.n > 0 && !c->renew) {
        (void)svi_parser_feed(c->parser, svi_str_sub(bytes, 0, 1));
        bytes = svi_str_sub(bytes, 1, bytes.n);
    }
    if (c->renew) {
        c->renew = false;
        new_parser(c);
        say_header(c, HEADER_2);
    }
    if (bytes.n > 0) (void)svi_parser_feed(c->parser, bytes);
}

/* Reads what is there; true at the end of the connection. */
static bool read_all(client *c, bool *any_out)
{
    char bytes[4096];
    for (;;) {
        const ssize_t n = c->link->ops->read(c->link, bytes, sizeof bytes);
        if (n == -EAGAIN) return false;
        *any_out = true;
        if (n <= 0) return true;
        hash_bytes(c, bytes, (size_t)n);
        show(c, "<-", (sv_str){bytes, (size_t)n});
        feed(c, (sv_str){bytes, (size_t)n});
        if (c->gives_up) return true;
    }
}

bool client_pump(client *c)
{
    bool any = flush(c);
    if (c->deaf) return any;
    if (read_all(c, &any)) {
        const bool in_order = c->phase == LEAVING && c->at_end && !c->kicked;
        if (in_order) model_confirm(c, UINT32_MAX);
        close_link(c, !in_order);
        return true;
    }
    return flush(c) || any;
}

void client_vanish(client *c)
{
    bool any = false;
    if (!c->link) return;
    c->drains = true;
    c->deaf = false;
    (void)read_all(c, &any);
    close_link(c, true);
    if (svi_link_pairs_due_us(svi_stage_links(c->t->stage)) == INT64_MAX) return;
    c->t->accounts[c->account].late_in = c->t->round; /* it may travel yet */
    model_excuse(c->t, c->account);
}

void client_leave(client *c)
{
    if (c->phase != BOUND) return;
    say(c, "</stream:stream>");
    c->phase = LEAVING;
}

void client_free(client *c)
{
    if (!c->link) return;
    c->link->ops->close(c->link);
    c->link = NULL;
    svi_buf_free(&c->out);
    svi_parser_free(&c->parser);
}

/* --- what networks do ----------------------------------------------------------------------------------- */

void client_cut(client *c)
{
    if (!c->link) return;
    svi_link_cut(c->link);
    close_link(c, true);
    model_excuse(c->t, c->account);
}

void client_haunt(client *c)
{
    ghost *g = NULL;
    for (size_t i = 0; i < GHOSTS && !g; i++)
        if (!c->t->ghosts[i].c) g = &c->t->ghosts[i];
    if (!g || !c->link || c->is_haunted) return;
    *g = (ghost){.c = c, .link = c->link, .session = c->session};
    svi_link_silence(g->link);
    c->is_haunted = true;
    lose(c, "silent");
}

void ghost_end(ghost *g)
{
    client *c = g->c;
    person *a = &c->t->accounts[c->account];
    svi_link_cut(g->link);
    g->link->ops->close(g->link);
    if (g->session == c->session) c->is_haunted = false;
    *g = (ghost){.c = NULL};
    a->ends++;
    a->ended_in = c->t->round;
    model_excuse(c->t, c->account);
}
