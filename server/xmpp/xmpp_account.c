/* Accounts over the rows of one map: making, changing, deleting in one unit with what modules
 * write then; looking up. */
#include "xmpp/xmpp_account.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_impl.h"

#include <openssl/crypto.h>

#define CHANGE_MAGIC 0xacc0c4a6u
#define KEYS_MAX 8u /* mechanisms of one account */

#define STATE_KEY SV_STR("state")
#define STATE_ACTIVE SV_STR("active")

/* --- changes --------------------------------------------------------------------------------- */

typedef struct change {
    uint32_t magic;
    svi_host *host;
    sv_str name;
    sv_jid jid;
    svi_arena *arena;
    svi_scram_keys *keys;
    size_t key_count;
    bool replace, remove;
    svi_account_done done;
    void *ctx;
} change;

static change *change_new(svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    svi_acct *acct = svi_server_acct(svi_host_server(host));
    change *c = svi_alloc(acct, sizeof *c);
    c->magic = CHANGE_MAGIC;
    c->host = host;
    c->arena = svi_arena_new(acct, 2048);
    c->jid = svi_jid_make(c->arena, name, svi_host_domain(host), SV_STR_NONE);
    c->name = c->jid.node;
    c->done = done;
    c->ctx = ctx;
    return c;
}

static void change_end(change *c, sv_status status)
{
    SV_CHECK(c, CHANGE_MAGIC);
    svi_account_done done = c->done;
    void *ctx = c->ctx;
    for (size_t i = 0; i < c->key_count; i++) svi_scram_keys_wipe(&c->keys[i]);
    svi_arena_free(&c->arena);
    c->magic = 0;
    svi_free(c);
    done(ctx, status);
}

/* What the rows become. A change of password deletes all rows first, so that no key of the old
 * one stays. */
static void write_rows(const change *c, svi_unit *unit)
{
    svi_map *map = svi_host_accounts(c->host);
    sv_status status = svi_unit_del_owner(unit, map, c->name);
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(svi_host_server(c->host)));
    for (size_t i = 0; i < c->key_count && !c->remove; i++) {
        svi_buf_clear(&buf);
        svi_scram_keys_write(&buf, &c->keys[i]);
        if (!status)
            status = svi_unit_put(unit, map, c->name, sv_str_of(c->keys[i].mechanism),
                                  svi_buf_str(&buf));
    }
    if (buf.data) OPENSSL_cleanse(buf.data, buf.cap);
    svi_buf_free(&buf);
    if (!status && !c->remove) status = svi_unit_put(unit, map, c->name, STATE_KEY, STATE_ACTIVE);
    SV_ASSERT(status == SV_OK); /* names and records are far below the limits of a row */
}

static void end_streams(const change *c)
{
    svi_server *server = svi_host_server(c->host);
    sv_session *session = NULL;
    while (c->remove && (session = svi_session_next(server, c->jid.bare, session)) != NULL)
        svi_session_kick(session, "not-authorized");
    if (server->streams_ops && server->streams_ops->forget)
        server->streams_ops->forget(server->streams, c->host, c->name, c->remove);
}

/* The event's body: no handler of its own stands before it; the occasion inside shares its unit. */
static void on_run(sv_event *ev)
{
    change *c = svi_event_x(ev);
    SV_CHECK(c, CHANGE_MAGIC);
    end_streams(c);
    write_rows(c, svi_event_unit(ev));
    if (c->replace) return;
    svi_occasion(c->host, c->remove ? SVI_POINT_ACCOUNT_REMOVED : SVI_POINT_ACCOUNT_ADDED, &c->jid,
                 NULL, NULL, c->jid.bare, ev);
}

static void on_released(sv_event *ev)
{
    change_end(svi_event_x(ev), SV_OK);
}

static void on_canceled(sv_event *ev)
{
    change_end(svi_event_x(ev), SV_ECANCELED);
}

static const svi_event_ops change_ops = {
    .unclaimed = on_run, .released = on_released, .canceled = on_canceled};

/* The rows are known now and nothing comes between this look and the unit. */
static void on_rows(void *ctx, sv_status status, svi_rows *rows)
{
    change *c = ctx;
    SV_CHECK(c, CHANGE_MAGIC);
    svi_server *server = svi_host_server(c->host);
    bool exists = status == SV_OK && svi_rows_count(rows) > 0;
    if (rows) svi_rows_unref(&rows);
    if (!status && !c->remove) status = svi_store_admit(svi_server_store(server));
    if (!status && exists && !c->replace && !c->remove) status = SV_EEXIST;
    if (!status && !exists && (c->replace || c->remove)) status = SV_ENOTFOUND;
    if (!status && !c->replace && !c->remove && svi_guest_is(c->host, c->name)) status = SV_EDENIED;
    if (status) {
        change_end(c, status);
        return;
    }
    const svi_event_config config = {.ops = &change_ops, .host = svi_host_name(c->host), .x = c};
    svi_event_run(svi_event_new(svi_server_bus(server), &config), SV_STR_NONE);
    svi_store_hurry(svi_server_store(server)); /* an operator waits */
}

void svi_account_set(svi_host *host, sv_str name, const svi_scram_keys *keys, size_t key_count,
                     bool replace, svi_account_done done, void *ctx)
{
    SV_ASSERT(key_count > 0 && key_count <= KEYS_MAX && name.n > 0);
    change *c = change_new(host, name, done, ctx);
    c->replace = replace;
    c->keys = svi_arena_get(c->arena, key_count * sizeof *keys);
    memcpy(c->keys, keys, key_count * sizeof *keys);
    c->key_count = key_count;
    svi_rows_load(svi_host_accounts(host), c->name, on_rows, c);
}

void svi_account_remove(svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    SV_ASSERT(name.n > 0);
    change *c = change_new(host, name, done, ctx);
    c->remove = true;
    svi_rows_load(svi_host_accounts(host), c->name, on_rows, c);
}

/* --- looking up ------------------------------------------------------------------------------ */

typedef struct check {
    svi_account_done done;
    void *ctx;
} check;

static void on_checked(void *ctx, sv_status status, svi_rows *rows)
{
    check c = *(check *)ctx;
    svi_free(ctx);
    if (!status && svi_rows_count(rows) == 0) status = SV_ENOTFOUND;
    if (rows) svi_rows_unref(&rows);
    c.done(c.ctx, status);
}

static bool is_on_line(svi_host *host, sv_str name)
{
    svi_server *server = svi_host_server(host);
    svi_arena *arena = svi_arena_new(svi_server_acct(server), 1024);
    sv_jid jid = svi_jid_make(arena, name, svi_host_domain(host), SV_STR_NONE);
    bool found = svi_session_next(server, jid.bare, NULL) != NULL;
    svi_arena_free(&arena);
    return found;
}

bool svi_account_check(svi_host *host, sv_str name, bool *exists_out, svi_account_done done,
                       void *ctx)
{
    *exists_out = false;
    if (name.n == 0) return true;
    if (svi_guest_is(host, name)) {
        *exists_out = is_on_line(host, name);
        return true;
    }
    svi_rows *rows = svi_rows_get(svi_host_accounts(host), name);
    if (rows) {
        *exists_out = svi_rows_count(rows) > 0;
        svi_rows_unref(&rows);
        return true;
    }
    if (is_on_line(host, name)) {
        *exists_out = true;
        return true;
    }
    check *c = svi_alloc(svi_server_acct(svi_host_server(host)), sizeof *c);
    *c = (check){done, ctx};
    svi_rows_load(svi_host_accounts(host), name, on_checked, c);
    return false;
}

static void on_state(void *ctx, sv_status status, sv_str state)
{
    const check c = *(check *)ctx;
    svi_free(ctx);
    if (!status && !sv_str_eq(state, STATE_ACTIVE)) status = SV_EDENIED;
    c.done(c.ctx, status);
}

void svi_account_state(svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    check *c = svi_alloc(svi_server_acct(svi_host_server(host)), sizeof *c);
    *c = (check){done, ctx};
    svi_store_get(svi_host_accounts(host), name, STATE_KEY, on_state, c);
}

typedef struct asked {
    svi_host *host;
    sv_str name;
    const char *mechanism;
    svi_account_keys_done done;
    void *ctx;
} asked;

/* Of the name at its host: two hosts that made up the same salt for a name would tell that it is an account of
 * neither. */
static void make_up_keys(const asked *a, svi_scram_keys *keys_out)
{
    svi_server *server = svi_host_server(a->host);
    svi_buf account;
    svi_buf_init(&account, svi_server_acct(server));
    svi_buf_put(&account, a->name);
    svi_buf_putc(&account, '@');
    svi_buf_put(&account, svi_host_domain(a->host));
    svi_scram_keys_fake(a->mechanism, svi_server_salt_secret(server), svi_buf_str(&account),
                        keys_out);
    svi_buf_free(&account);
}

/* Made-up keys are computed for everybody, and somebody's are read from a record, so that the work tells
 * nothing (threats A4). */
static void on_record(void *ctx, sv_status status, sv_str record)
{
    asked *a = ctx;
    svi_server *server = svi_host_server(a->host);
    svi_scram_keys keys = {0}, fake;
    svi_buf made_up;
    svi_buf_init(&made_up, svi_server_acct(server));
    make_up_keys(a, &fake);
    svi_scram_keys_write(&made_up, &fake);
    if (status == SV_ENOTFOUND) record = svi_buf_str(&made_up);
    if ((!status || status == SV_ENOTFOUND) && svi_scram_keys_read(record, &keys)) status = SV_EIO;
    svi_buf_free(&made_up);
    asked copy = *a;
    svi_str_free(&a->name);
    svi_free(a);
    copy.done(copy.ctx, status, status && status != SV_ENOTFOUND ? NULL : &keys);
    svi_scram_keys_wipe(&keys);
}

void svi_account_keys(svi_host *host, sv_str name, const char *mechanism,
                      svi_account_keys_done done, void *ctx)
{
    svi_acct *acct = svi_server_acct(svi_host_server(host));
    asked *a = svi_alloc(acct, sizeof *a);
    *a = (asked){.host = host,
                 .name = svi_str_dup(acct, name),
                 .mechanism = mechanism,
                 .done = done,
                 .ctx = ctx};
    svi_store_get(svi_host_accounts(host), a->name, sv_str_of(mechanism), on_record, a);
}
