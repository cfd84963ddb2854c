/* Accounts over the rows of one map: making and changing in one unit with what modules write then;
 * looking up. */
#include "xmpp/xmpp_account.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_account_impl.h"
#include "xmpp/xmpp_guest.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_provider.h"
#include "xmpp/xmpp_removal.h"

#include <inttypes.h>
#include <openssl/crypto.h>

#define CHANGE_MAGIC 0xacc0c4a6u
#define DISABLED_TEXT "This account has been disabled."

/* --- changes --------------------------------------------------------------------------------- */

typedef enum what { MAKE, REPLACE, DISABLE, ENABLE } what;

typedef struct change {
    uint32_t magic;
    what what;
    svi_host *host;
    sv_str name;
    sv_jid jid;
    svi_arena *arena;
    svi_scram_keys *keys;
    size_t key_count;
    svi_account_info state; /* what it becomes; of DISABLE */
    svi_rows *rows;         /* as they are before, while the event runs */
    bool is_elsewhere;      /* a back end has it */
    svi_account_done done;
    void *ctx;
} change;

static change *change_new(what w, svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    svi_acct *acct = svi_server_acct(svi_host_server(host));
    change *c = svi_alloc(acct, sizeof *c);
    c->magic = CHANGE_MAGIC;
    c->what = w;
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
    if (c->rows) svi_rows_unref(&c->rows);
    svi_arena_free(&c->arena);
    c->magic = 0;
    svi_free(c);
    done(ctx, status);
}

static void put(const change *c, svi_unit *unit, sv_str key, sv_str value)
{
    const sv_status status =
        svi_unit_put(unit, svi_host_accounts(c->host), c->name, key, value);
    SV_ASSERT(status == SV_OK); /* names and records are far below the limits of a row */
}

static void write_state(const change *c, svi_unit *unit, const svi_account_info *state)
{
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(svi_host_server(c->host)));
    svi_account_state_write(&buf, state);
    put(c, unit, SVI_ACCOUNT_STATE, svi_buf_str(&buf));
    svi_buf_free(&buf);
}

static bool is_mechanism(sv_str key)
{
    return !sv_str_eq(key, SVI_ACCOUNT_STATE) && !sv_str_eq(key, SVI_ACCOUNT_CREATED);
}

/* Of a change of password all keys go first, so that none of the old one stays. */
static void write_keys(const change *c, svi_unit *unit)
{
    sv_str key = SV_STR_NONE, old;
    while (svi_rows_next(c->rows, &key, &old)) {
        const sv_status status = is_mechanism(key) ? svi_unit_del(unit, svi_host_accounts(c->host),
                                                                  c->name, key)
                                                   : SV_OK;
        SV_ASSERT(status == SV_OK);
    }
    svi_buf buf;
    svi_buf_init(&buf, svi_server_acct(svi_host_server(c->host)));
    for (size_t i = 0; i < c->key_count; i++) {
        svi_buf_clear(&buf);
        svi_scram_keys_write(&buf, &c->keys[i]);
        put(c, unit, sv_str_of(c->keys[i].mechanism), svi_buf_str(&buf));
    }
    if (buf.data) OPENSSL_cleanse(buf.data, buf.cap);
    svi_buf_free(&buf);
}

static void write_created(const change *c, svi_unit *unit)
{
    put(c, unit, SVI_ACCOUNT_CREATED,
        svi_arena_printf(c->arena, "%" PRId64, svi_account_now_s(c->host)));
}

static void fire(change *c, svi_point point, sv_event *ev)
{
    svi_occasion(c->host, point, &c->jid, NULL, NULL, c->jid.bare, ev);
}

/* RFC 6120 6.5.1: what its user hears, on streams as in SASL; .n 0: nothing. */
static sv_str told_of(const svi_account_info *state)
{
    return state->is_told ? state->reason : SV_STR_NONE;
}

/* The event's body: no handler of its own stands before it; the occasion inside shares its unit. */
static void on_run(sv_event *ev)
{
    change *c = svi_event_x(ev);
    SV_CHECK(c, CHANGE_MAGIC);
    svi_unit *unit = svi_event_unit(ev);
    const svi_account_info active = {.kind = SVI_ACCOUNT_ACTIVE};
    switch (c->what) {
    case MAKE:
        write_keys(c, unit);
        write_state(c, unit, &active);
        write_created(c, unit);
        fire(c, SVI_POINT_ACCOUNT_ADDED, ev);
        break;
    case REPLACE:
        write_keys(c, unit);
        svi_account_end_streams(c->host, &c->jid, SVI_FORGET_LOGINS, NULL);
        break;
    case DISABLE:
        write_state(c, unit, &c->state);
        svi_account_end_streams(c->host, &c->jid, SVI_FORGET_ALL,
                                told_of(&c->state).n ? c->state.reason.p : DISABLED_TEXT);
        fire(c, SVI_POINT_ACCOUNT_DISABLED, ev);
        break;
    case ENABLE:
        write_state(c, unit, &active);
        fire(c, SVI_POINT_ACCOUNT_ENABLED, ev);
        break;
    }
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

/* Of an account that a back end keeps there may be no row. */
static svi_account_kind kind_of(const svi_rows *rows)
{
    svi_account_info info = {.kind = SVI_ACCOUNT_ACTIVE};
    sv_str record;
    if (svi_rows_find(rows, SVI_ACCOUNT_STATE, &record)) svi_account_state_read(record, &info);
    return info.kind;
}

/* Whether it can be done to what is there. */
static sv_status judge(const change *c, const svi_rows *rows)
{
    const bool exists = svi_rows_count(rows) > 0 || c->is_elsewhere;
    const svi_account_kind kind = kind_of(rows);
    if (kind == SVI_ACCOUNT_DELETING) return SV_EBUSY;
    if (c->is_elsewhere && c->what == MAKE) return SV_OK;
    if (c->what == MAKE && exists) return SV_EEXIST;
    if (c->what == MAKE && svi_guest_is(c->host, c->name)) return SV_EDENIED;
    if (c->what != MAKE && !exists) return SV_ENOTFOUND;
    return c->what == ENABLE && kind != SVI_ACCOUNT_DISABLED && kind != SVI_ACCOUNT_UNKNOWN
               ? SV_EEXIST
               : SV_OK;
}

/* The rows are known now and nothing comes between this look and the unit. */
static void on_rows(void *ctx, sv_status status, svi_rows *rows)
{
    change *c = ctx;
    SV_CHECK(c, CHANGE_MAGIC);
    svi_server *server = svi_host_server(c->host);
    c->rows = rows;
    if (!status && c->what != DISABLE) status = svi_store_admit(svi_server_store(server));
    if (!status) status = judge(c, rows);
    if (status) {
        change_end(c, status);
        return;
    }
    const svi_event_config config = {.ops = &change_ops, .host = svi_host_name(c->host), .x = c};
    svi_event_run(svi_event_new(svi_server_bus(server), &config), SV_STR_NONE);
    svi_store_hurry(svi_server_store(server)); /* an operator waits */
}

/* The back end knows of the account, or has just made or changed it. */
static void on_elsewhere(void *ctx, sv_status status)
{
    change *c = ctx;
    SV_CHECK(c, CHANGE_MAGIC);
    const bool is_change = c->what == MAKE || c->what == REPLACE;
    if (status != SV_OK && (is_change || status != SV_EDENIED)) {
        change_end(c, status);
        return;
    }
    c->is_elsewhere = true;
    svi_rows_load(svi_host_accounts(c->host), c->name, on_rows, c);
}

static void change_begin(change *c)
{
    if (c->host->provider)
        svi_provider_find(c->host, c->name, on_elsewhere, c);
    else
        svi_rows_load(svi_host_accounts(c->host), c->name, on_rows, c);
}

void svi_account_set(svi_host *host, sv_str name, const svi_scram_keys *keys, size_t key_count,
                     bool replace, svi_account_done done, void *ctx)
{
    SV_ASSERT(key_count > 0 && key_count <= SVI_ACCOUNT_KEYS_MAX && name.n > 0);
    SV_ASSERT(!host->provider);
    change *c = change_new(replace ? REPLACE : MAKE, host, name, done, ctx);
    c->keys = svi_arena_get(c->arena, key_count * sizeof *keys);
    memcpy(c->keys, keys, key_count * sizeof *keys);
    c->key_count = key_count;
    change_begin(c);
}

static void refuse_busy(void *ctx)
{
    change_end(ctx, SV_EBUSY);
}

static void refuse_never(void *ctx)
{
    change_end(ctx, SV_ECANCELED);
}

void svi_account_set_elsewhere(svi_host *host, sv_str name, sv_str password, bool replace,
                               svi_account_done done, void *ctx)
{
    SV_ASSERT(name.n > 0 && host->provider);
    change *c = change_new(replace ? REPLACE : MAKE, host, name, done, ctx);
    if (svi_removal_runs(host, name)) {
        svi_server_defer(svi_host_server(host), refuse_busy, refuse_never, c);
        return;
    }
    svi_provider_set(host, name, password, !replace, on_elsewhere, c);
}

/* For what is refused before it began: not from inside the call. */
static void refuse_soon(void *ctx)
{
    change_end(ctx, SV_EINVAL);
}

void svi_account_disable(svi_host *host, sv_str name, sv_str reason, bool is_told,
                         svi_account_done done, void *ctx)
{
    SV_ASSERT(name.n > 0);
    change *c = change_new(DISABLE, host, name, done, ctx);
    if (!svi_account_reason_fits(reason)) {
        svi_server_defer(svi_host_server(host), refuse_soon, refuse_never, c);
        return;
    }
    c->state = (svi_account_info){.kind = SVI_ACCOUNT_DISABLED,
                                  .since_s = svi_account_now_s(host),
                                  .reason = svi_arena_str(c->arena, reason),
                                  .is_told = is_told};
    change_begin(c);
}

void svi_account_enable(svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    SV_ASSERT(name.n > 0);
    change_begin(change_new(ENABLE, host, name, done, ctx));
}

/* --- looking up ------------------------------------------------------------------------------ */

typedef struct check {
    svi_account_done done;
    void *ctx;
} check;

static bool is_there(const svi_rows *rows)
{
    return svi_rows_count(rows) > 0 && kind_of(rows) != SVI_ACCOUNT_DELETING;
}

static void on_checked(void *ctx, sv_status status, svi_rows *rows)
{
    check c = *(check *)ctx;
    svi_free(ctx);
    if (!status && !is_there(rows)) status = SV_ENOTFOUND;
    if (rows) svi_rows_unref(&rows);
    c.done(c.ctx, status);
}

/* Who may not log in is there all the same. */
static void on_found(void *ctx, sv_status status)
{
    const check c = *(check *)ctx;
    svi_free(ctx);
    c.done(c.ctx, status == SV_EDENIED ? SV_OK : status);
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
    svi_rows *rows = host->provider ? NULL : svi_rows_get(svi_host_accounts(host), name);
    if (rows) {
        *exists_out = is_there(rows);
        svi_rows_unref(&rows);
        return true;
    }
    if (is_on_line(host, name)) {
        *exists_out = true;
        return true;
    }
    if (host->provider && svi_removal_runs(host, name)) return true;
    check *c = svi_alloc(svi_server_acct(svi_host_server(host)), sizeof *c);
    *c = (check){done, ctx};
    if (host->provider) {
        svi_provider_find(host, name, on_found, c);
        return false;
    }
    svi_rows_load(svi_host_accounts(host), name, on_checked, c);
    return false;
}

typedef struct state_check {
    svi_host *host;
    sv_str name;
    svi_account_state_done done;
    void *ctx;
} state_check;

static void state_end(state_check *c, sv_status status, sv_str told)
{
    const state_check copy = *c;
    svi_str_free(&c->name);
    svi_free(c);
    copy.done(copy.ctx, status, told);
}

static void on_state_elsewhere(void *ctx, sv_status status)
{
    state_end(ctx, status, SV_STR_NONE);
}

static void on_state(void *ctx, sv_status status, sv_str record, uint32_t schema)
{
    (void)schema;
    state_check *c = ctx;
    svi_account_info state = {.kind = SVI_ACCOUNT_ACTIVE};
    if (!status) svi_account_state_read(record, &state);
    if (state.kind == SVI_ACCOUNT_DELETING)
        status = SV_ENOTFOUND;
    else if (state.kind != SVI_ACCOUNT_ACTIVE)
        status = SV_EDENIED;
    else if (c->host->provider && (!status || status == SV_ENOTFOUND)) {
        svi_provider_find(c->host, c->name, on_state_elsewhere, c);
        return;
    }
    state_end(c, status, told_of(&state));
}

void svi_account_state(svi_host *host, sv_str name, svi_account_state_done done, void *ctx)
{
    svi_acct *acct = svi_server_acct(svi_host_server(host));
    state_check *c = svi_alloc(acct, sizeof *c);
    *c = (state_check){host, svi_str_dup(acct, name), done, ctx};
    svi_store_get(svi_host_accounts(host), c->name, SVI_ACCOUNT_STATE, on_state, c);
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
    svi_provider_disguise(a->host, keys_out);
    svi_buf_free(&account);
}

static void keys_end(asked *a, sv_status status, const svi_scram_keys *keys)
{
    const asked copy = *a;
    svi_str_free(&a->name);
    svi_free(a);
    copy.done(copy.ctx, status, status && status != SV_ENOTFOUND ? NULL : keys);
}

/* As of a record: made up for everybody. */
static void on_keys_elsewhere(void *ctx, sv_status status, const svi_scram_keys *keys)
{
    asked *a = ctx;
    svi_scram_keys fake;
    make_up_keys(a, &fake);
    keys_end(a, status, status == SV_OK ? keys : &fake);
}

/* Made-up keys are computed for everybody, and somebody's are read from a record, so that the work tells
 * nothing (threats A4). */
static void on_record(void *ctx, sv_status status, sv_str record, uint32_t schema)
{
    (void)schema;
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
    keys_end(a, status, &keys);
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
    if (host->provider)
        svi_provider_keys(host, a->name, mechanism, on_keys_elsewhere, a);
    else
        svi_store_get(svi_host_accounts(host), a->name, sv_str_of(mechanism), on_record, a);
}

/* --- what an operator is shown ---------------------------------------------------------------- */

typedef struct show {
    svi_host *host;
    sv_str name;
    svi_rows *rows;
    svi_account_info_done done;
    void *ctx;
} show;

static void read_info(const svi_rows *rows, svi_account_info *info_out)
{
    *info_out = (svi_account_info){.kind = SVI_ACCOUNT_ACTIVE};
    sv_str key = SV_STR_NONE, value;
    while (svi_rows_next(rows, &key, &value)) {
        if (sv_str_eq(key, SVI_ACCOUNT_STATE))
            svi_account_state_read(value, info_out);
        else if (sv_str_eq(key, SVI_ACCOUNT_CREATED))
            (void)svi_str_int(value, 0, INT64_MAX, &info_out->created_s);
        else if (info_out->mechanism_count < SVI_ACCOUNT_KEYS_MAX)
            info_out->mechanisms[info_out->mechanism_count++] = key;
    }
}

static void show_end(show *s, sv_status status, const svi_account_info *info)
{
    const show copy = *s;
    svi_str_free(&s->name);
    svi_free(s);
    copy.done(copy.ctx, status, status ? NULL : info);
    svi_rows *rows = copy.rows;
    if (rows) svi_rows_unref(&rows);
}

/* It may be disabled there or here. */
static void on_shown_elsewhere(void *ctx, sv_status status)
{
    show *s = ctx;
    svi_account_info info;
    read_info(s->rows, &info);
    if (info.kind == SVI_ACCOUNT_DELETING) status = SV_OK;
    if (status == SV_EDENIED && info.kind == SVI_ACCOUNT_ACTIVE) info.kind = SVI_ACCOUNT_DISABLED;
    show_end(s, status == SV_EDENIED ? SV_OK : status, &info);
}

static void on_shown(void *ctx, sv_status status, svi_rows *rows)
{
    show *s = ctx;
    svi_account_info info;
    s->rows = rows;
    if (!status && s->host->provider) {
        svi_provider_find(s->host, s->name, on_shown_elsewhere, s);
        return;
    }
    if (!status && svi_rows_count(rows) == 0) status = SV_ENOTFOUND;
    if (!status) read_info(rows, &info);
    show_end(s, status, &info);
}

void svi_account_show(svi_host *host, sv_str name, svi_account_info_done done, void *ctx)
{
    svi_acct *acct = svi_server_acct(svi_host_server(host));
    show *s = svi_alloc(acct, sizeof *s);
    *s = (show){.host = host, .name = svi_str_dup(acct, name), .done = done, .ctx = ctx};
    svi_rows_load(svi_host_accounts(host), s->name, on_shown, s);
}

typedef struct kind_check {
    svi_account_kind_done done;
    void *ctx;
} kind_check;

static void on_kind(void *ctx, sv_status status, sv_str record, uint32_t schema)
{
    (void)schema;
    const kind_check c = *(kind_check *)ctx;
    svi_free(ctx);
    svi_account_info info = {.kind = SVI_ACCOUNT_ACTIVE};
    if (!status) svi_account_state_read(record, &info);
    c.done(c.ctx, status == SV_ENOTFOUND ? SV_OK : status, info.kind);
}

void svi_account_kind_get(svi_host *host, sv_str name, svi_account_kind_done done, void *ctx)
{
    kind_check *c = svi_alloc(svi_server_acct(svi_host_server(host)), sizeof *c);
    *c = (kind_check){done, ctx};
    svi_store_get(svi_host_accounts(host), name, SVI_ACCOUNT_STATE, on_kind, c);
}
