/* A world for the unit tests of modules: the real core with real modules on a virtual clock and a
 * simulated disk, which outlives a stop or a kill of the server. Builds on the world of the
 * loader's tests; adds accounts, questions about what a client got, stanzas from elsewhere, rows
 * written and read behind the modules' backs, and the books at the end. */
#ifndef TESTS_MODULES_WORLD_H
#define TESTS_MODULES_WORLD_H

#include <stave/roster.h>

#include "bus/bus_ledger.h"
#include "mods/mods_world_test.h"
#include "xmpp/xmpp_removal.h"

#define ALL_MODULES "\"roster\", \"presence\", \"message\", \"offline\", \"archive\", \"blocking\", \"disco\", \"caps\", \"sm\", \"ping\""
#define HERE "one.example"

/* --- beginning and end --------------------------------------------------------------------- */

static inline void w_failed(void *ctx, const sv_err *err)
{
    world *w = ctx;
    svi_buf_printf(&w->reports, "the store failed: %s\n", err->text);
}

#define THERE "two.example"

/* A server on the world's disk, with these modules; `more` are further lines of the config, perhaps with THERE as a second host. */
static inline void boot(world *w, const char *modules, const char *more)
{
    char text[2048];
    w->engine = svi_engine_sim(&w->acct, w->disk);
    svi_limits limits = svi_limits_default();
    limits.rate = 0; /* no time passes here by itself */
    const svi_server_config config = {.acct = &w->acct,
                                      .plat = &w->plat.plat,
                                      .engine = w->engine,
                                      .limits = limits,
                                      .calls = s_calls(),
                                      .salt_secret = SV_STR("salt"),
                                      .fatal = w_failed,
                                      .ctx = w};
    sv_err err = {.text = ""};
    if (svi_server_new(&config, &w->server, &err) != SV_OK) fail_msg("%s", err.text);
    const svi_listen_config listen = {.fd = -1, .limits = svi_xml_limits_user()};
    assert_int_equal(svi_net_listen(svi_server_net(w->server), &listen, &w->listener, &err), SV_OK);
    add_host(w, HERE);
    if (strstr(more, "VirtualHost \"" THERE "\"")) add_host(w, THERE);
    snprintf(text, sizeof text, "VirtualHost \"" HERE "\"\nmodules_enabled = { %s }\n%s\n", modules,
             more);
    start(w, text);
}

/* Ends the server; the disk stays. `killed`: nothing more is written, and nobody is told. */
static inline void halt(world *w, bool killed)
{
    svi_engine_sim_plan(w->engine)->dead = killed;
    svi_engine_sim_plan(w->engine)->hold =
        killed; /* what was begun ends when the store is closed, without effect */
    for (size_t i = 0; i < WORLD_CLIENTS; i++) {
        client *c = &w->clients[i];
        if (c->link == NULL) continue;
        c->link->ops->close(c->link);
        c->link = NULL;
        svi_buf_free(&c->in);
    }
    if (!killed) turn(w);
    svi_mods_free(&w->mods);
    svi_net_unlisten(svi_server_net(w->server), &w->listener);
    svi_server_free(&w->server, 1000);
}

/* A world with these modules (names in quotes, as in a config). */
static inline world *stage(const char *modules, const char *more)
{
    world *w = world_new();
    halt(w, false); /* the server that world_new made has no modules */
    boot(w, modules, more);
    return w;
}

/* Every stanza was disposed of, nothing is on its way, nothing is left in memory. */
static inline void leave(world *w)
{
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        if (w->clients[i].link != NULL) part(w, &w->clients[i]);
    pass_time(w, 1);
    const svi_ledger *ledger = svi_server_ledger(w->server);
    assert_true(svi_server_balances(w->server));
    assert_int_equal(svi_ledger_in_flight(ledger), 0);
    world_free(w);
}

/* --- accounts and rows --------------------------------------------------------------------- */

static inline void w_status(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static inline void account_at(world *w, const char *host, const char *name)
{
    svi_scram_keys keys;
    int status = 1;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys),
                     SV_OK);
    svi_account_set(svi_host_find(w->server, sv_str_of(host)), sv_str_of(name), &keys, 1, false,
                    w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
}

static inline void account(world *w, const char *name)
{
    account_at(w, HERE, name);
}

/* The map "module/name" of HERE; or of another host, if that stands before it. */
static inline svi_map *map_of(world *w, const char *name)
{
    svi_map *map = NULL;
    char path[128];
    sv_err err = {.text = ""};
    const bool is_elsewhere = strncmp(name, THERE "/", strlen(THERE "/")) == 0;
    snprintf(path, sizeof path, "%s%s", is_elsewhere ? "" : HERE "/", name);
    assert_int_equal(svi_store_map(svi_server_store(w->server), sv_str_of(path), 1, &map, &err),
                     SV_OK);
    return map;
}

/* Writes a row; a NULL value removes it. */
static inline void write_row(world *w, const char *map, const char *owner, const char *key,
                             const char *value)
{
    svi_unit *unit = svi_unit_new(svi_server_store(w->server));
    const sv_str o = sv_str_of(owner), k = sv_str_of(key);
    if (value != NULL)
        assert_int_equal(svi_unit_put(unit, map_of(w, map), o, k, sv_str_of(value)), SV_OK);
    else
        assert_int_equal(svi_unit_del(unit, map_of(w, map), o, k), SV_OK);
    (void)svi_unit_submit(&unit);
    turn(w);
}

static inline void w_rows(void *ctx, sv_status status, svi_rows *rows)
{
    assert_int_equal(status, SV_OK);
    *(svi_rows **)ctx = rows;
}

static inline svi_rows *rows_of(world *w, const char *map, const char *owner)
{
    svi_rows *rows = NULL;
    svi_rows_load(map_of(w, map), sv_str_of(owner), w_rows, &rows);
    for (int i = 0; i < 100 && rows == NULL; i++) turn(w);
    assert_non_null(rows);
    return rows;
}

static inline size_t row_count(world *w, const char *map, const char *owner)
{
    svi_rows *rows = rows_of(w, map, owner);
    const size_t count = svi_rows_count(rows);
    svi_rows_unref(&rows);
    return count;
}

/* The value of a row in `to`; false if there is none. */
static inline bool read_row(world *w, const char *map, const char *owner, const char *key, char *to,
                            size_t size)
{
    svi_rows *rows = rows_of(w, map, owner);
    sv_str value = SV_STR_NONE;
    const bool found = svi_rows_find(rows, sv_str_of(key), &value);
    snprintf(to, size, "%.*s", found ? (int)value.n : 0, found ? value.p : "");
    svi_rows_unref(&rows);
    return found;
}

/* How many rows of a roster tell a state: items, and requests that wait. */
static inline size_t state_count(world *w, const char *owner)
{
    svi_rows *rows = rows_of(w, "roster/items", owner);
    sv_str key = SV_STR_NONE, record;
    size_t count = 0;
    while (svi_rows_next(rows, &key, &record)) count += sv_roster_flags(record) != 0;
    svi_rows_unref(&rows);
    return count;
}

/* A roster's record without its version; false if there is none. */
static inline bool read_record(world *w, const char *owner, const char *contact, char *to,
                               size_t size)
{
    char record[512];
    const bool found = read_row(w, "roster/items", owner, contact, record, sizeof record);
    const sv_str rest = sv_roster_rest(sv_str_of(record));
    snprintf(to, size, "R1%02x\n%.*s", sv_roster_flags(sv_str_of(record)), (int)rest.n,
             rest.n ? rest.p : "");
    return found;
}

/* --- what a client got --------------------------------------------------------------------- */

/* What is asked of a stanza; NULL: anything. An empty text means that the attribute is absent. */
typedef struct like {
    const char *name, *type, *from, *to, *id;
    const char *holds; /* text in it, as serialised */
} like;

static inline bool attr_is(const sv_node *node, const char *name, const char *wanted)
{
    if (wanted == NULL) return true;
    const sv_str value = svi_node_attr(node, sv_str_of(name));
    return *wanted == '\0' ? value.p == NULL : sv_str_eq(value, sv_str_of(wanted));
}

static inline bool is_like(world *w, const sv_stanza *stanza, const like *l)
{
    const sv_node *root = svi_stanza_root(stanza);
    if (l->name != NULL && !sv_str_eq(svi_node_name(root), sv_str_of(l->name))) return false;
    if (!attr_is(root, "type", l->type) || !attr_is(root, "from", l->from) ||
        !attr_is(root, "to", l->to) || !attr_is(root, "id", l->id))
        return false;
    if (l->holds == NULL) return true;
    svi_buf text;
    svi_buf_init(&text, &w->acct);
    svi_stanza_write(&text, stanza, SVI_FLAVOUR_ALONE, &(svi_head){.to = SV_STR_NONE});
    const bool found = has(&text, l->holds);
    svi_buf_free(&text);
    return found;
}

/* Length of the element at the front of the text; 0 if there is none more (or the stream ends). */
static inline size_t element_bytes(const char *at, size_t n)
{
    if (n < 2 || *at != '<' || at[1] == '/' || (n > 8 && memcmp(at, "<stream:", 8) == 0)) return 0;
    int depth = 0;
    for (size_t i = 0; i < n; i++) {
        if (at[i] == '<') depth += i + 1 < n && at[i + 1] == '/' ? -1 : 1;
        if (at[i] == '>' && i > 0 && at[i - 1] == '/') depth--;
        if (at[i] == '>' && depth == 0) return i + 1;
    }
    return 0;
}

/* Whether the text may be such a stanza: saves the parse of long ones. */
static inline bool may_be_like(const char *at, size_t n, const like *l)
{
    return l->id == NULL || *l->id == '\0' || memmem(at, n, l->id, strlen(l->id)) != NULL;
}

/* Place (from 1) of the first such stanza among all that the client got since it spoke last; their
 * number in *count_out. */
static inline unsigned look_for(world *w, const client *c, const like *l, unsigned *count_out)
{
    unsigned place = 0, first = 0;
    *count_out = 0;
    const char *at = c->in.data;
    size_t left = c->in.len;
    for (size_t n; (n = element_bytes(at, left)) > 0; at += n, left -= n) {
        sv_stanza *stanza = NULL;
        place++;
        if (!may_be_like(at, n, l)) continue;
        assert_int_equal(svi_stanza_parse(&w->acct, svi_server_atoms(w->server), (sv_str){at, n},
                                          SV_STR("jabber:client"), &stanza, NULL),
                         SV_OK);
        if (is_like(w, stanza, l)) {
            if (first == 0) first = place;
            (*count_out)++;
        }
        svi_stanza_unref(&stanza);
    }
    return first;
}

/* How many such stanzas the client got: SEEN(w, c, .name = "presence", .type = "subscribe"). */
#define SEEN(w, c, ...) seen_like(w, c, &(like){__VA_ARGS__})
static inline unsigned seen_like(world *w, const client *c, const like *l)
{
    unsigned count;
    (void)look_for(w, c, l, &count);
    return count;
}

/* Where the first of them stands (from 1); 0 if there is none. */
#define PLACE(w, c, ...) place_like(w, c, &(like){__VA_ARGS__})
static inline unsigned place_like(world *w, const client *c, const like *l)
{
    unsigned count;
    return look_for(w, c, l, &count);
}

/* Everything so far is forgotten. */
static inline void forget(world *w)
{
    for (size_t i = 0; i < WORLD_CLIENTS; i++)
        if (w->clients[i].link != NULL) svi_buf_clear(&w->clients[i].in);
}

/* A client that asked for its roster and is available, with nothing heard yet. */
static inline client *online(world *w, const char *jid)
{
    client *c = join(w, jid);
    say(w, c, "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    svi_buf_clear(&c->in);
    return c;
}

/* A client whose connection holds little: what it is sent beyond that stays in the server while it
 * is deaf. */
static inline client *join_narrow(world *w, const char *jid)
{
    client *c = join(w, jid);
    svi_link *other;
    c->link->ops->close(c->link);
    turn(w);
    svi_link_pair(w->pairs, 512, &c->link, &other);
    c->link->ready = c_ready;
    c->link->ctx = c;
    c->link->ops->want(c->link, true, false);
    svi_net_attach(svi_server_net(w->server), w->listener, other, "memory");
    char header[256];
    snprintf(header, sizeof header,
             "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
             "version='1.0' from='%s'>",
             jid);
    say(w, c, header);
    return c;
}

static inline void listens(world *w, const client *c, bool does)
{
    c->link->ops->want(c->link, does, false);
    turn(w);
}

/* --- from elsewhere ------------------------------------------------------------------------ */

/* Passes a stanza at its recipient's side, as if it had come from another server. */
static inline void arrives(world *w, const char *xml)
{
    sv_stanza *stanza = NULL;
    svi_host *host = svi_host_find(w->server, SV_STR(HERE));
    assert_int_equal(svi_stanza_parse(&w->acct, svi_server_atoms(w->server), sv_str_of(xml),
                                      SV_STR("jabber:client"), &stanza, NULL),
                     SV_OK);
    const uint64_t entry =
        svi_ledger_open(svi_server_ledger(w->server), SVI_RECEIVED, svi_host_ledger(host));
    svi_route(w->server, host, stanza, entry);
    svi_stanza_unref(&stanza);
    turn(w);
}

#endif
