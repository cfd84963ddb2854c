/* Module table: named maps. Writes go to the event's unit; a read holds the event, and comes back to the module only if the
 * event still waits for it. */
#include "mods/mods_api.h"
#include "mods/mods_aside.h"

#include <stdio.h>

#include "base/base_log.h"
#include "xmpp/xmpp_guest.h"

/* A read in flight. */
typedef struct operation {
    sv_mod *mod;  /* a reference: the code that is called back stays */
    sv_event *ev; /* held */
    uint32_t turn; /* of the event: in another one it waits for something else */
    bool fails;    /* a test has it that the disk fails */
    sv_rows_fn rows_done;
    sv_get_fn get_done;
    sv_get_schema_fn get_schema_done; /* one of the three is not NULL */
    sv_store *store;
    svi_map *map;
    svi_hook_stats *stats; /* of the handler that asked */
    sv_str owner, key; /* of a single value that something may be added to */
    sv_str session; /* full address of the session that keeps the rows; empty for none */
    uint64_t session_number;
    sv_status status; /* what came */
    sv_rows *rows;
    sv_str value;
    uint32_t schema; /* of the value */
} operation;

/* --- opening ---------------------------------------------------------------------------------------- */

static bool is_word(const char *text)
{
    if (text == NULL || *text == '\0' || strlen(text) >= SVI_MOD_NAME_MAX) return false;
    for (; *text != '\0'; text++) {
        const char c = *text;
        const bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!fine) return false;
    }
    return true;
}

static sv_status enter(sv_store *store, const char *owner_module)
{
    sv_mod *mod = store->mod;
    const svi_group *group = mod->group;
    svi_buf path;
    svi_buf_init(&path, group->acct);
    svi_buf_printf(&path, "%s/%s/%s", group->host_name.p, owner_module, store->name);
    sv_err err = {.text = ""};
    const sv_status status =
        svi_map_enter(svi_server_store(group->server), svi_buf_str(&path), &store->use, &err);
    if (status != SV_OK) {
        SV_LOG(SV_ERROR, "module-refused", LF_STR("map", svi_buf_str(&path)),
               LF_TXT("reason", err.text));
        mod->why_not = svi_arena_printf(mod->texts, "%s", err.text).p;
    }
    svi_buf_free(&path);
    return status;
}

sv_status svi_api_store_open_versions(sv_mod *mod, const char *owner_module, const char *name,
                                      uint32_t schema, uint32_t oldest, sv_store **store_out)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    *store_out = NULL;
    if (mod->group->host == NULL) return SV_EDENIED; /* it keeps the store */
    if (owner_module == NULL) owner_module = mod->file->name;
    if (!is_word(name) || !is_word(owner_module)) return SV_EINVAL;
    if (strcmp(owner_module, mod->file->name) != 0 && !svi_mod_names(mod, sv_str_of(owner_module))) {
        SV_LOG(SV_ERROR, "module-refused", LF_TXT("map", owner_module),
               LF_TXT("reason", "a module opens maps of those only that it names in `after`"));
        return SV_EDENIED;
    }
    sv_store *store = svi_alloc(&mod->acct, sizeof *store);
    store->magic = SVI_STORE_MAGIC;
    store->mod = mod;
    snprintf(store->name, sizeof store->name, "%s", name);
    snprintf(store->who, sizeof store->who, "module %s", mod->file->name);
    store->use = (svi_map_use){.who = store->who, .newest = schema, .oldest = oldest};
    const sv_status status = enter(store, owner_module);
    if (status != SV_OK) {
        svi_free(store);
        return status;
    }
    store->map = store->use.map;
    store->next = mod->stores;
    mod->stores = store;
    *store_out = store;
    return SV_OK;
}

sv_status svi_api_store_open(sv_mod *mod, const char *owner_module, const char *name,
                             uint32_t schema, sv_store **store_out)
{
    return svi_api_store_open_versions(mod, owner_module, name, schema, schema, store_out);
}

uint32_t svi_api_store_schema(const sv_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    return svi_map_schema(store->map);
}

/* --- writing ---------------------------------------------------------------------------------------- */

/* Counts what a unit took. */
static sv_status wrote(sv_store *store, uint64_t *kind, size_t bytes, sv_status status)
{
    if (status != SV_OK) return status;
    (*kind)++;
    store->mod->costs->store.written_bytes += bytes;
    return status;
}

/* A test has it that there is no space. */
static bool lacks_space(const sv_mod *mod)
{
    const svi_mods_probe *probe = svi_mod_probe(mod);
    return probe != NULL && probe->is_full != NULL && probe->is_full(probe->ctx, mod->file->name);
}

sv_status svi_api_put(sv_event *ev, sv_store *store, sv_str owner, sv_str key, sv_str value)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (!svi_event_is_open(ev)) return SV_ECLOSED;
    if (!svi_mod_may_write(store->mod, ev)) return SV_EDENIED;
    svi_host *host = store->mod->group->host;
    if (svi_guest_is(host, owner)) return SV_EDENIED;
    if (svi_host_is_stale(host, owner, svi_event_number(ev))) return SV_EDENIED;
    if (lacks_space(store->mod)) return SV_ENOSPC;
    return wrote(store, &store->mod->costs->store.puts, owner.n + key.n + value.n,
                 svi_unit_put(svi_event_unit(ev), store->map, owner, key, value));
}

sv_status svi_api_del(sv_event *ev, sv_store *store, sv_str owner, sv_str key)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (!svi_event_is_open(ev)) return SV_ECLOSED;
    if (!svi_mod_may_write(store->mod, ev)) return SV_EDENIED;
    return wrote(store, &store->mod->costs->store.deletes, owner.n + key.n,
                 svi_unit_del(svi_event_unit(ev), store->map, owner, key));
}

sv_status svi_api_del_owner(sv_event *ev, sv_store *store, sv_str owner)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    if (!svi_event_is_open(ev)) return SV_ECLOSED;
    if (!svi_mod_may_write(store->mod, ev)) return SV_EDENIED;
    return wrote(store, &store->mod->costs->store.deletes, owner.n,
                 svi_unit_del_owner(svi_event_unit(ev), store->map, owner));
}

/* --- rows ------------------------------------------------------------------------------------------- */

static void unref_rows(void *ctx)
{
    sv_rows *rows = ctx;
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    rows->magic = 0;
    svi_rows_unref(&rows->rows);
    svi_layer_unref(&rows->layer);
    sv_mod *adds = rows->overlay != NULL ? rows->overlay->mod : NULL;
    svi_mod_unref(&adds);
}

/* Gives the reference to the event, which drops it at its end. */
static sv_rows *lend(sv_event *ev, const sv_store *store, sv_str owner, svi_rows *take)
{
    sv_rows *rows = svi_arena_get(svi_event_arena(ev), sizeof *rows);
    *rows = (sv_rows){.magic = SVI_ROWS_MAGIC, .rows = take, .ev = ev};
    svi_event_at_end(ev, unref_rows, rows);
    const svi_overlay *overlay = svi_overlay_of(store);
    if (overlay != NULL) svi_overlay_read(overlay, ev, owner, rows);
    if (rows->overlay != NULL) svi_mod_ref(rows->overlay->mod);
    if (store->mod->tries == NULL) return rows;
    rows->aside = svi_trial_aside(store->mod);
    rows->map = store->map;
    rows->owner = svi_arena_str(svi_event_arena(ev), owner);
    return rows;
}

sv_rows *svi_api_rows(sv_event *ev, sv_store *store, sv_str owner)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    store->mod->costs->store.reads++;
    svi_rows *rows = svi_rows_get(store->map, owner);
    return rows != NULL ? lend(ev, store, owner, rows) : NULL;
}

/* What a shadow made of a row itself; SVI_ASIDE_NOTHING of anybody else's rows. */
static svi_aside_state own_row(const sv_rows *rows, sv_str key, sv_str *value_out)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    return rows->aside != NULL ? svi_aside_get(rows->aside, rows->map, rows->owner, key, value_out) : SVI_ASIDE_NOTHING;
}

bool svi_api_row(const sv_rows *rows, sv_str key, sv_str *value_out)
{
    const svi_aside_state state = own_row(rows, key, value_out);
    return state == SVI_ASIDE_NOTHING ? svi_overlay_row(rows, key, value_out) : state == SVI_ASIDE_VALUE;
}

bool svi_api_row_stored(const sv_rows *rows, sv_str key, sv_str *value_out)
{
    const svi_aside_state state = own_row(rows, key, value_out);
    return state == SVI_ASIDE_NOTHING ? svi_rows_find(rows->rows, key, value_out) : state == SVI_ASIDE_VALUE;
}

/* The next one of both, in order of keys; a row that is stored and was written or deleted since is not seen twice. */
static bool next_aside(const sv_rows *rows, sv_str *key, sv_str *value_out)
{
    sv_str stored = *key, mine = *key, value, written;
    bool has_stored = svi_overlay_next(rows, &stored, &value);
    while (has_stored && own_row(rows, stored, &written) != SVI_ASIDE_NOTHING) has_stored = svi_overlay_next(rows, &stored, &value);
    const bool has_mine = svi_aside_next(rows->aside, rows->map, rows->owner, &mine, &written);
    if (!has_stored && !has_mine) return false;
    const bool is_mine = has_mine && (!has_stored || svi_str_cmp(mine, stored) < 0);
    *key = is_mine ? mine : stored;
    *value_out = is_mine ? written : value;
    return true;
}

bool svi_api_row_next(const sv_rows *rows, sv_str *key, sv_str *value_out)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    return rows->aside != NULL ? next_aside(rows, key, value_out) : svi_overlay_next(rows, key, value_out);
}

uint32_t svi_api_row_schema(const sv_rows *rows, sv_str key)
{
    sv_str added;
    const svi_aside_state state = own_row(rows, key, &added);
    if (state != SVI_ASIDE_NOTHING) return state == SVI_ASIDE_VALUE ? svi_map_schema(rows->map) : 0;
    const uint32_t schema = svi_rows_schema(rows->rows, key);
    if (schema != 0 || rows->layer == NULL || !svi_overlay_find(rows, key, &added)) return schema;
    return svi_layer_schema(rows->layer);
}

static size_t count_aside(const sv_rows *rows, int64_t *bytes_out)
{
    size_t count = 0;
    sv_str key = SV_STR_NONE, value;
    for (*bytes_out = 0; next_aside(rows, &key, &value); count++) *bytes_out += (int64_t)value.n;
    return count;
}

size_t svi_api_row_count(const sv_rows *rows)
{
    int64_t bytes;
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    if (rows->aside != NULL) return count_aside(rows, &bytes);
    return svi_rows_count(rows->rows) + svi_overlay_count(rows);
}

int64_t svi_api_row_bytes(const sv_rows *rows)
{
    int64_t bytes;
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    if (rows->aside == NULL) return (int64_t)svi_rows_value_bytes(rows->rows);
    (void)count_aside(rows, &bytes);
    return bytes;
}

/* --- reads in flight -------------------------------------------------------------------------------- */

/* Whose the callback is: the handler's that asks, if it is the module's own. */
static svi_hook_stats *stats_of(const sv_event *ev, const sv_mod *mod)
{
    const svi_handler *handler = svi_event_handler(ev);
    return handler != NULL && handler->generation == mod ? handler->stats
                                                         : svi_costs_line(mod->costs, "callback");
}

static operation *begin(sv_event *ev, sv_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    SV_ASSERT(svi_event_is_open(ev));
    operation *op = svi_alloc(store->mod->group->acct, sizeof *op);
    op->mod = svi_mod_begin(store->mod);
    op->turn = svi_event_turn(ev);
    op->store = store;
    op->map = store->map;
    op->stats = stats_of(ev, store->mod);
    const svi_mods_probe *probe = svi_mod_probe(store->mod);
    op->fails = probe != NULL && probe->read_fails != NULL && probe->read_fails(probe->ctx, store->mod->file->name);
    op->ev = svi_event_hold(ev);
    return op;
}

static void end(operation *op)
{
    svi_str_free(&op->session);
    svi_str_free(&op->owner);
    svi_str_free(&op->key);
    svi_event_let_go(&op->ev);
    sv_mod *mod = op->mod;
    svi_free(op);
    svi_mod_end(&mod);
}

/* Calls the module back, blamed on the handler that asked; the event may be over then. */
static void call_module(void *ctx)
{
    const operation *op = ctx;
    const sv_event *const saved = op->mod->acting;
    svi_plat_enter(op->mod->group->plat);
    op->mod->acting = op->ev;
    if (op->rows_done != NULL)
        op->rows_done(op->ev, op->status, op->rows, op->mod->self);
    else if (op->get_schema_done != NULL)
        op->get_schema_done(op->ev, op->status, op->value, op->schema, op->mod->self);
    else
        op->get_done(op->ev, op->status, op->value, op->mod->self);
    op->mod->acting = saved;
}

/* Its deadline passed, it was cancelled, or restarted in another generation: then nobody waits for the answer. */
static bool is_void(const operation *op)
{
    return !svi_event_is_open(op->ev) || svi_event_turn(op->ev) != op->turn;
}

/* Hangs the rows on the session that wanted them, if it is still there. */
static void keep(const operation *op)
{
    if (op->session.n == 0) return;
    sv_session *session =
        svi_session_find_number(op->mod->group->server, op->session, op->session_number);
    if (session == NULL) return;
    svi_rows *rows = svi_rows_get(op->map, svi_session_jid(session)->node);
    SV_ASSERT(rows != NULL); /* they are in memory: the caller has them */
    svi_session_keep_rows(session, op->map, rows);
}

static void rows_came(void *ctx, sv_status status, svi_rows *rows)
{
    operation *op = ctx;
    if (is_void(op)) {
        svi_rows_unref(&rows);
        end(op);
        return;
    }
    if (op->fails) {
        svi_rows_unref(&rows);
        status = SV_EIO;
    }
    if (status == SV_OK) keep(op);
    op->status = status;
    op->rows = rows != NULL ? lend(op->ev, op->store, op->owner, rows) : NULL;
    svi_event_call(op->ev, op->stats, call_module, op);
    end(op);
}

/* What is stored is not all that is seen: then the owner must be known when it comes. */
static bool is_mixed(const sv_store *store)
{
    return store->mod->tries != NULL || svi_overlay_of(store) != NULL;
}

void svi_api_rows_load(sv_event *ev, sv_store *store, sv_str owner, sv_rows_fn done)
{
    SV_ASSERT(done != NULL);
    operation *op = begin(ev, store);
    op->rows_done = done;
    store->mod->costs->store.loads++;
    if (is_mixed(store)) op->owner = svi_str_dup(op->mod->group->acct, owner);
    svi_rows_load(store->map, owner, rows_came, op);
}

void svi_api_rows_keep(sv_event *ev, sv_store *store, sv_session *session, sv_rows_fn done)
{
    SV_ASSERT(done != NULL && session != NULL);
    operation *op = begin(ev, store);
    const sv_jid *jid = svi_session_jid(session);
    op->rows_done = done;
    store->mod->costs->store.loads++;
    op->session = svi_str_dup(op->mod->group->acct, jid->full);
    if (is_mixed(store)) op->owner = svi_str_dup(op->mod->group->acct, jid->node);
    op->session_number = svi_session_number(session);
    svi_rows_load(store->map, jid->node, rows_came, op);
}

void svi_api_rows_hold(sv_event *ev, sv_store *store, sv_str owner, sv_session *session)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    SV_ASSERT(session != NULL && svi_event_is_open(ev));
    svi_rows *rows = svi_rows_get(store->map, owner);
    SV_ASSERT(rows != NULL); /* the caller has them */
    svi_session_keep_rows(session, store->map, rows);
}

/* The map of the same name on another host; NULL if there is none. */
static svi_map *map_at(const sv_store *store, sv_str domain)
{
    svi_server *server = store->mod->group->server;
    svi_map_state here;
    svi_map_state_get(store->map, &here);
    const size_t host_bytes = store->mod->group->host_name.n;
    SV_ASSERT(here.name.n > host_bytes);
    svi_buf path;
    svi_buf_init(&path, store->mod->group->acct);
    svi_buf_printf(&path, "%.*s%.*s", (int)domain.n, domain.p, (int)(here.name.n - host_bytes), here.name.p + host_bytes);
    svi_map *map = NULL, *found = NULL;
    for (size_t pos = 0; found == NULL && (map = svi_store_map_next(svi_server_store(server), svi_buf_str(&path), &pos)) != NULL;) {
        svi_map_state_get(map, &here);
        if (sv_str_eq(here.name, svi_buf_str(&path))) found = map;
    }
    svi_buf_free(&path);
    return found;
}

static void unref_warm(void *ctx)
{
    svi_rows *rows = ctx;
    svi_rows_unref(&rows);
}

static void warm_came(void *ctx, sv_status status, svi_rows *rows)
{
    operation *op = ctx;
    if (is_void(op)) {
        svi_rows_unref(&rows);
        end(op);
        return;
    }
    if (rows != NULL) svi_event_at_end(op->ev, unref_warm, rows);
    if (op->fails) status = SV_EIO;
    op->status = status;
    svi_event_call(op->ev, op->stats, call_module, op);
    end(op);
}

bool svi_api_rows_warm(sv_event *ev, sv_store *store, const sv_jid *account, sv_rows_fn done)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    SV_ASSERT(done != NULL);
    const bool is_here = account->node.n > 0 && svi_host_find(store->mod->group->server, account->domain) != NULL;
    svi_map *map = is_here ? map_at(store, account->domain) : NULL;
    if (map == NULL) return true;
    svi_rows *rows = svi_rows_get(map, account->node);
    if (rows != NULL) {
        svi_event_at_end(ev, unref_warm, rows);
        return true;
    }
    operation *op = begin(ev, store);
    op->rows_done = done;
    store->mod->costs->store.loads++;
    svi_rows_load(map, account->node, warm_came, op);
    return false;
}

bool svi_api_rows_held(sv_event *ev, sv_store *store, sv_str owner)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    SV_ASSERT(svi_event_is_open(ev));
    return svi_rows_in_use(store->map, owner);
}

/* What an overlay makes of a single value. */
static void see_added(operation *op)
{
    const svi_overlay *overlay = svi_overlay_of(op->store);
    if (overlay == NULL || (op->status != SV_OK && op->status != SV_ENOTFOUND)) return;
    sv_rows rows = {.magic = SVI_ROWS_MAGIC, .ev = op->ev};
    svi_overlay_read(overlay, op->ev, op->owner, &rows);
    sv_str added;
    if (svi_overlay_find(&rows, op->key, &added)) {
        if (op->status != SV_OK) op->schema = svi_layer_schema(rows.layer);
        op->value = op->status == SV_OK ? svi_overlay_merge(&rows, op->value, added)
                                        : svi_arena_str(svi_event_arena(op->ev), added);
        op->status = SV_OK;
    }
    svi_layer_unref(&rows.layer);
}

/* What a shadow has written itself comes before what is stored. */
static void see_aside(operation *op)
{
    if (op->mod->tries == NULL || (op->status != SV_OK && op->status != SV_ENOTFOUND)) return;
    sv_str value;
    const svi_aside_state state = svi_aside_get(svi_trial_aside(op->mod), op->map, op->owner, op->key, &value);
    if (state == SVI_ASIDE_NOTHING) return;
    op->status = state == SVI_ASIDE_VALUE ? SV_OK : SV_ENOTFOUND;
    op->value = state == SVI_ASIDE_VALUE ? svi_arena_str(svi_event_arena(op->ev), value) : SV_STR_NONE;
    op->schema = state == SVI_ASIDE_VALUE ? svi_map_schema(op->map) : 0;
}

bool svi_api_has_space(const sv_event *ev)
{
    if (svi_store_admit(svi_server_store(svi_xevent_of(ev)->server)) != SV_OK) return false;
    const svi_handler *asks = svi_event_handler(ev);
    return asks == NULL || asks->generation == NULL || !lacks_space(asks->generation);
}

static void value_came(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    operation *op = ctx;
    op->status = op->fails ? SV_EIO : status;
    op->value = op->fails ? SV_STR_NONE : value;
    op->schema = op->fails ? 0 : schema;
    if (!is_void(op)) {
        see_added(op);
        see_aside(op);
        svi_event_call(op->ev, op->stats, call_module, op);
    }
    end(op);
}

static void get(operation *op, sv_store *store, sv_str owner, sv_str key)
{
    store->mod->costs->store.reads++;
    if (is_mixed(store)) {
        op->owner = svi_str_dup(op->mod->group->acct, owner);
        op->key = svi_str_dup(op->mod->group->acct, key);
    }
    svi_store_get(store->map, owner, key, value_came, op);
}

void svi_api_get(sv_event *ev, sv_store *store, sv_str owner, sv_str key, sv_get_fn done)
{
    SV_ASSERT(done != NULL);
    operation *op = begin(ev, store);
    op->get_done = done;
    get(op, store, owner, key);
}

void svi_api_get_schema(sv_event *ev, sv_store *store, sv_str owner, sv_str key,
                        sv_get_schema_fn done)
{
    SV_ASSERT(done != NULL);
    operation *op = begin(ev, store);
    op->get_schema_done = done;
    get(op, store, owner, key);
}
