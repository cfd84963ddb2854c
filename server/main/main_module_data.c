/* Walks over the maps of a module: owner by owner, so that no more than one owner's rows are in memory for it. */
#include "main/main_module_data.h"

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_command.h"
#include "main/main_upgrade.h"

enum {
    OWNERS_A_STEP = 32,           /* in one unit when they are deleted: 32 KiB of names at most */
    COUNT_US = 20 * 1000 * 1000,  /* for one map: a third of what a command waits */
    DELETE_US = 5 * 1000 * 1000   /* for one request */
};

const sv_column svi_module_data_columns[] = {
    {.name = "host", .kind = SV_COLUMN_TEXT},  {.name = "map", .kind = SV_COLUMN_TEXT},    {.name = "owners", .kind = SV_COLUMN_INT},
    {.name = "rows", .kind = SV_COLUMN_INT},   {.name = "bytes", .kind = SV_COLUMN_BYTES}, {.name = "counted", .kind = SV_COLUMN_TEXT},
    {0},
};

typedef struct walk {
    svi_errand of; /* of what is deleted */
    svi_request *request;
    svi_server *server;
    svi_store *store;
    sv_str module;
    bool deletes;
    size_t pos;     /* of the map at hand */
    svi_map *map;   /* NULL: none yet */
    sv_str last;    /* the map that was told last */
    int64_t from_us;
    svi_arena *batch; /* the owners at hand */
    sv_str *owners;
    size_t count, at;
    bool has_more;  /* owners behind these */
    bool was_deleted; /* something */
    uint64_t owners_seen, rows, bytes; /* of the map; deleting: of all */
} walk;

static int64_t now_us(const walk *w)
{
    const svi_plat *plat = svi_server_plat(w->server);
    return plat->mono_us(plat->ctx);
}

static void next_map(walk *w);
static void next_owners(walk *w, sv_str after);

static void end(walk *w)
{
    svi_hooks_unref(&w->of.hooks);
    svi_arena_free(&w->batch);
    svi_free(w);
}

static void fail(walk *w, sv_status status)
{
    svi_request *request = w->request;
    svi_map_state at;
    svi_map_state_get(w->map, &at);
    svi_request_fail(request, SV_FAULT_FAILED, "map %.*s: %s; look at the log, then try again", (int)at.name.n, at.name.p,
                     svi_status_name(status));
    end(w);
}

/* --- telling ------------------------------------------------------------------------------------------ */

static void map_counted(walk *w, bool is_all)
{
    svi_map_state at;
    svi_map_parts p;
    svi_map_state_get(w->map, &at);
    const bool is_named = svi_map_parts_of(at.name, &p);
    SV_ASSERT(is_named);
    if (w->owners_seen > 0) {
        if (!svi_request_record(w->request)) { /* the next page counts it again */
            svi_request_more(w->request, w->last);
            end(w);
            return;
        }
        svi_request_field(w->request, "host", p.host);
        svi_request_field(w->request, "map", p.map);
        svi_request_field_int(w->request, "owners", (int64_t)w->owners_seen);
        svi_request_field_int(w->request, "rows", (int64_t)w->rows);
        svi_request_field_int(w->request, "bytes", (int64_t)w->bytes);
        svi_request_field(w->request, "counted", is_all ? SV_STR("all") : SV_STR("at least"));
        w->last = at.name;
    }
    next_map(w);
}

static void answer_deleted(walk *w, bool is_more)
{
    if (w->was_deleted)
        SV_LOG(SV_INFO, "module-data-deleted", LF_STR("module", w->module), LF_INT("owners", (int64_t)w->owners_seen),
               LF_INT("rows", (int64_t)w->rows), LF_TXT("rest", is_more ? "yes" : "no"));
    svi_request_take(w->request, json_pack("{s:b, s:I, s:I, s:b}", "ok", 1, "owners", (json_int_t)w->owners_seen, "rows",
                                           (json_int_t)w->rows, "is-more", is_more));
    end(w);
}

/* --- deleting ----------------------------------------------------------------------------------------- */

static sv_verdict on_delete(sv_event *ev, void *self)
{
    const walk *w = self;
    for (size_t i = 0; i < w->count; i++) {
        const sv_status st = svi_unit_del_owner(svi_event_unit(ev), w->map, w->owners[i]);
        SV_ASSERT(st == SV_OK);
    }
    return SV_DONE;
}

static void deleted(void *ctx, sv_status status)
{
    walk *w = ctx;
    if (status != SV_OK) {
        fail(w, status);
        return;
    }
    w->was_deleted = true;
    if (now_us(w) - w->from_us > DELETE_US)
        answer_deleted(w, true);
    else if (w->has_more)
        next_owners(w, w->owners[w->count - 1]); /* those before are gone, but take time to pass until the store has folded */
    else
        next_map(w);
}

/* No code may have the map open: a module would not know of it, nor stop writing. */
static bool may_delete(walk *w)
{
    svi_map_state at;
    svi_map_state_get(w->map, &at);
    if (at.newest == 0) return true;
    svi_request_fail(w->request, SV_FAULT_REFUSED,
                     "module \"%s\" has the data of \"%.*s\" open (%.*s): it has to be disabled first; nothing more was deleted", at.who,
                     (int)w->module.n, w->module.p, (int)at.name.n, at.name.p);
    end(w);
    return false;
}

static void delete_owners(walk *w)
{
    if (!may_delete(w)) return;
    w->of.host = svi_host_next(w->server, NULL);
    if (w->of.host == NULL) {
        fail(w, SV_ENOTFOUND);
        return;
    }
    svi_errand_run(&w->of);
}

/* --- walking ------------------------------------------------------------------------------------------ */

static void load_next(walk *w);

static void batch_over(walk *w)
{
    if (w->deletes)
        delete_owners(w);
    else if (!w->has_more)
        map_counted(w, true);
    else if (now_us(w) - w->from_us > COUNT_US)
        map_counted(w, false);
    else
        next_owners(w, w->owners[w->count - 1]);
}

static void rows_came(void *ctx, sv_status status, svi_rows *rows)
{
    walk *w = ctx;
    if (status != SV_OK) {
        fail(w, status);
        return;
    }
    w->owners_seen++;
    w->rows += svi_rows_count(rows);
    w->bytes += svi_rows_value_bytes(rows);
    svi_rows_unref(&rows);
    w->at++;
    load_next(w);
}

static void load_next(walk *w)
{
    if (w->at < w->count)
        svi_rows_load(w->map, w->owners[w->at], rows_came, w);
    else
        batch_over(w);
}

static void owners_came(void *ctx, sv_status status, const sv_str *owners, size_t count, bool more)
{
    walk *w = ctx;
    if (status != SV_OK) {
        fail(w, status);
        return;
    }
    if (count == 0) {
        if (w->deletes)
            next_map(w);
        else
            map_counted(w, true);
        return;
    }
    svi_arena_clear(w->batch);
    w->owners = svi_arena_get(w->batch, count * sizeof *w->owners);
    for (size_t i = 0; i < count; i++) w->owners[i] = svi_arena_str(w->batch, owners[i]);
    w->count = count;
    w->at = 0;
    w->has_more = more;
    load_next(w);
}

static void next_owners(walk *w, sv_str after)
{
    svi_store_owners(w->map, after, OWNERS_A_STEP, owners_came, w);
}

/* The next map of the module; those whose name has no such part are the core's. */
static void next_map(walk *w)
{
    svi_map_state at;
    svi_map_parts p;
    do {
        w->map = svi_store_map_next(w->store, SV_STR_NONE, &w->pos);
        if (w->map != NULL) svi_map_state_get(w->map, &at);
    } while (w->map != NULL && !(svi_map_parts_of(at.name, &p) && sv_str_eq(p.module, w->module)));
    if (w->map == NULL && w->deletes) {
        answer_deleted(w, false);
    } else if (w->map == NULL) {
        svi_request_answer(w->request);
        end(w);
    } else {
        if (!w->deletes) w->owners_seen = w->rows = w->bytes = 0;
        if (!w->deletes) w->from_us = now_us(w);
        next_owners(w, SV_STR_NONE);
    }
}

static walk *walk_new(svi_request *request)
{
    svi_server *server = svi_request_server(request);
    walk *w = svi_alloc(svi_server_acct(server), sizeof *w);
    *w = (walk){.request = request,
                .server = server,
                .store = svi_server_store(server),
                .module = svi_request_arg(request, "module")->text,
                .batch = svi_arena_new(svi_server_acct(server), 1024)};
    w->from_us = now_us(w);
    return w;
}

/* A page goes on behind the map that was told last; maps are never removed and keep their order. */
static void skip_to(walk *w, sv_str last)
{
    for (svi_map_state at = {.name = SV_STR_NONE}; last.n > 0 && !sv_str_eq(at.name, last);) {
        const svi_map *map = svi_store_map_next(w->store, SV_STR_NONE, &w->pos);
        if (map == NULL) break;
        svi_map_state_get(map, &at);
    }
    w->last = last;
}

void svi_command_module_data(svi_commands *commands, svi_request *request)
{
    (void)commands;
    walk *w = walk_new(request);
    skip_to(w, svi_request_from(request));
    next_map(w);
}

void svi_command_module_data_delete(svi_commands *commands, svi_request *request)
{
    (void)commands;
    walk *w = walk_new(request);
    const svi_handler handler = {
        .point = SVI_POINT_COMMAND_RUN, .call = on_delete, .self = w, .module = "core", .text = "module data delete"};
    const sv_status st = svi_hooks_build(svi_server_acct(w->server), &handler, 1, &w->of.hooks, NULL);
    SV_ASSERT(st == SV_OK);
    w->deletes = true;
    w->of.over = deleted;
    w->of.ctx = w;
    next_map(w);
}
