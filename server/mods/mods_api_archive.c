/* The group "archive" of the module table. Adds go to the event's unit and are noted in the event; a read holds the event, and comes back
 * to the module only if the event still waits for it. */
#include <stave/archive.h>

#include <stdio.h>

#include "base/base_log.h"
#include "mods/mods_api.h"
#include "store/store_archive.h"
#include "xmpp/xmpp_guest.h"

enum { SVI_HANDLE_MAGIC = 0x41524844 };

struct sv_archive {
    uint32_t magic;
    sv_archive *next;
    sv_store *store; /* the entries' map as the module's */
    svi_archive *archive;
};

/* Whether a struct of the module's has the member. */
#define HAS(of, member) ((of)->size >= offsetof(__typeof__(*(of)), member) + sizeof(of)->member)

/* --- opening ---------------------------------------------------------------------------------------- */

static sv_status open_archive(const sv_mod *mod, const char *name, svi_archive **archive_out)
{
    const svi_group *group = mod->group;
    svi_buf path;
    sv_err err = {.text = ""};
    svi_buf_init(&path, group->acct);
    svi_buf_printf(&path, "%s/%s/%s", group->host_name.p, mod->file->name, name);
    const sv_status status = svi_archive_open(svi_server_archives(group->server), svi_buf_str(&path), archive_out, &err);
    if (status != SV_OK)
        SV_LOG(SV_ERROR, "module-refused", LF_STR("map", svi_buf_str(&path)), LF_TXT("reason", err.text));
    svi_buf_free(&path);
    return status;
}

static sv_status archive_open(sv_mod *mod, const char *name, sv_archive **archive_out)
{
    sv_store *store;
    svi_archive *archive;
    *archive_out = NULL;
    sv_status status = svi_api_store_open_versions(mod, NULL, name, 1, 1, &store);
    if (status == SV_OK) status = open_archive(mod, name, &archive);
    if (status != SV_OK) return status;
    sv_archive *handle = svi_alloc(&mod->acct, sizeof *handle);
    *handle = (sv_archive){.magic = SVI_HANDLE_MAGIC, .next = mod->archives, .store = store, .archive = archive};
    mod->archives = handle;
    *archive_out = handle;
    return SV_OK;
}

void svi_archives_drop(sv_mod *mod)
{
    while (mod->archives != NULL) {
        sv_archive *handle = mod->archives;
        mod->archives = handle->next;
        handle->magic = 0;
        svi_free(handle);
    }
}

static sv_status archive_sweep(sv_mod *mod, sv_archive *archive, int64_t period_ms)
{
    SV_CHECK(archive, SVI_HANDLE_MAGIC);
    return svi_api_sweep(mod, archive->store, period_ms);
}

/* --- adding ----------------------------------------------------------------------------------------- */

/* What the event has added to this archive with the same bytes. */
static const svi_archived *find_same(const svi_xevent *x, const svi_archive *archive, sv_str bytes)
{
    for (const svi_archived *a = x->archived; a != NULL; a = a->next)
        if (a->archive == archive && sv_str_eq(a->bytes, bytes)) return a;
    return NULL;
}

static sv_status may_add(sv_event *ev, const sv_archive *archive, sv_str owner)
{
    const sv_mod *mod = archive->store->mod;
    if (!svi_event_is_open(ev)) return SV_ECLOSED;
    if (!svi_mod_may_write(mod, ev) || svi_guest_is(mod->group->host, owner)) return SV_EDENIED;
    if (svi_host_is_stale(mod->group->host, owner, svi_event_number(ev))) return SV_EDENIED;
    const svi_mods_probe *probe = svi_mod_probe(mod);
    const bool is_full = probe != NULL && probe->is_full != NULL && probe->is_full(probe->ctx, mod->file->name);
    return is_full ? SV_ENOSPC : SV_OK;
}

static sv_str note(sv_event *ev, const sv_archive *archive, sv_str owner, sv_str bytes, uint64_t place, uint64_t body)
{
    svi_xevent *x = svi_xevent_of(ev);
    svi_arena *arena = svi_event_arena(ev);
    svi_archived *a = svi_arena_get(arena, sizeof *a);
    const sv_mod *mod = archive->store->mod;
    *a = (svi_archived){.next = x->archived,
                        .archive = archive->archive,
                        .owner = svi_arena_str(arena, owner),
                        .bare = svi_arena_printf(arena, "%.*s@%s", (int)owner.n, owner.p, mod->group->host_name.p),
                        .place = place,
                        .body = body,
                        .bytes = bytes};
    char *id = svi_arena_get(arena, SVI_ARCHIVE_ID);
    svi_archive_id(archive->archive, owner, place, id);
    a->id = (sv_str){id, SVI_ARCHIVE_ID};
    x->archived = a;
    return a->id;
}

static sv_status archive_add(sv_event *ev, sv_archive *archive, const sv_archive_entry *entry, sv_str *id_out)
{
    SV_CHECK(archive, SVI_HANDLE_MAGIC);
    SV_ASSERT(HAS(entry, stanza) && entry->with != NULL && entry->stanza != NULL);
    sv_status status = may_add(ev, archive, entry->owner);
    if (status != SV_OK) return status;
    const sv_str bytes = svi_api_stanza_bytes(ev, entry->stanza);
    const svi_archive_entry row = {
        .owner = entry->owner, .with = entry->with->full, .bare = entry->with->bare, .flags = entry->flags};
    const svi_archived *same = find_same(svi_xevent_of(ev), archive->archive, bytes);
    uint64_t place;
    if (same != NULL)
        status = svi_archive_hold(archive->archive, svi_event_unit(ev), &row, same->body, bytes.n, &place);
    else
        status = svi_archive_add(archive->archive, svi_event_unit(ev), &row, bytes, &place);
    if (status != SV_OK) return status;
    svi_costs *costs = archive->store->mod->costs;
    costs->store.puts++;
    costs->store.written_bytes += same != NULL ? 0 : bytes.n;
    *id_out = note(ev, archive, entry->owner, bytes, place, same != NULL ? same->body : place);
    return SV_OK;
}

static sv_str archive_added(const sv_event *ev, sv_str account)
{
    for (const svi_archived *a = svi_xevent_of(ev)->archived; a != NULL; a = a->next)
        if (sv_str_eq(a->bare, account)) return a->id;
    return SV_STR_NONE;
}

/* --- what waits ------------------------------------------------------------------------------------- */

/* A read or a purge in flight. */
typedef struct operation {
    sv_mod *mod;  /* a reference: the code that is called back stays */
    sv_event *ev; /* held */
    uint32_t turn; /* of the event: in another one it waits for something else */
    bool fails;    /* a test has it that the disk fails */
    svi_hook_stats *stats; /* of the handler that asked */
    sv_archive *archive;
    sv_str owner; /* behind the struct */
    sv_archive_page_fn page_done;
    sv_archive_purge_fn purge_done;
    sv_archive_measure_fn measure_done; /* one of the three is not NULL */
    /* what came */
    sv_status status;
    const sv_archive_page *page;
    const svi_archive_purged *purged;
    const sv_archive_figures *figures;
} operation;

static svi_hook_stats *stats_of(const sv_event *ev, const sv_mod *mod)
{
    const svi_handler *handler = svi_event_handler(ev);
    return handler != NULL && handler->generation == mod ? handler->stats : svi_costs_line(mod->costs, "callback");
}

static operation *begin(sv_event *ev, sv_archive *archive, sv_str owner)
{
    SV_CHECK(archive, SVI_HANDLE_MAGIC);
    SV_ASSERT(svi_event_is_open(ev));
    sv_mod *mod = archive->store->mod;
    const svi_mods_probe *probe = svi_mod_probe(mod);
    operation *op = svi_alloc(mod->group->acct, sizeof *op + owner.n + 1);
    *op = (operation){.mod = svi_mod_begin(mod),
                      .ev = svi_event_hold(ev),
                      .turn = svi_event_turn(ev),
                      .stats = stats_of(ev, mod),
                      .archive = archive,
                      .owner = {(char *)(op + 1), owner.n}};
    if (owner.n > 0) memcpy(op + 1, owner.p, owner.n);
    op->fails = probe != NULL && probe->read_fails != NULL && probe->read_fails(probe->ctx, mod->file->name);
    mod->costs->store.reads++;
    return op;
}

static void call_module(void *ctx)
{
    const operation *op = ctx;
    const sv_event *const saved = op->mod->acting;
    void *self = op->mod->self;
    svi_plat_enter(op->mod->group->plat);
    op->mod->acting = op->ev;
    if (op->page_done != NULL)
        op->page_done(op->ev, op->status, op->page, self);
    else if (op->purge_done != NULL)
        op->purge_done(op->ev, op->status, (int64_t)op->purged->entries, (int64_t)op->purged->bytes, op->purged->more, self);
    else
        op->measure_done(op->ev, op->status, op->figures, self);
    op->mod->acting = saved;
}

static bool is_void(const operation *op)
{
    return !svi_event_is_open(op->ev) || svi_event_turn(op->ev) != op->turn;
}

static void end(operation *op)
{
    if (!is_void(op)) svi_event_call(op->ev, op->stats, call_module, op);
    svi_event_let_go(&op->ev);
    sv_mod *mod = op->mod;
    svi_free(op);
    svi_mod_end(&mod);
}

/* --- reading ---------------------------------------------------------------------------------------- */

static sv_str id_of(const operation *op, uint64_t place)
{
    char *id = svi_arena_get(svi_event_arena(op->ev), SVI_ARCHIVE_ID);
    svi_archive_id(op->archive->archive, op->owner, place, id);
    return (sv_str){id, SVI_ARCHIVE_ID};
}

static const sv_archive_page *make_page(const operation *op, const svi_archive_page *page)
{
    svi_arena *arena = svi_event_arena(op->ev);
    sv_archive_page *made = svi_arena_get(arena, sizeof *made);
    sv_archive_item *items = svi_arena_get(arena, (page->count + 1) * sizeof *items);
    for (size_t i = 0; i < page->count; i++) {
        const svi_archive_item *from = &page->items[i];
        items[i] = (sv_archive_item){.id = id_of(op, from->place), .when_ms = from->when_ms, .flags = from->flags};
        if (from->stanza.n > 0) (void)svi_api_stanza_parse(op->ev, from->stanza, &items[i].stanza);
    }
    *made = (sv_archive_page){.size = sizeof *made,
                              .is_complete = page->is_complete,
                              .items = items,
                              .count = page->count,
                              .total = (int64_t)page->total};
    return made;
}

static void page_came(void *ctx, sv_status status, svi_archive_page *page)
{
    operation *op = ctx;
    op->status = op->fails ? SV_EIO : status;
    if (op->status == SV_OK && !is_void(op)) op->page = make_page(op, page);
    end(op);
}

/* Narrows a bound to the place of an id, if one is given. */
static bool bound(const operation *op, sv_str id, bool is_after, uint64_t *place)
{
    uint64_t at;
    if (id.p == NULL) return true;
    if (!svi_archive_place(op->archive->archive, op->owner, id, &at)) return false;
    if (is_after ? at > *place : at < *place) *place = at;
    return true;
}

static sv_status take_query(const operation *op, const sv_archive_query *from, svi_archive_query *to)
{
    if (from->max > SV_ARCHIVE_PAGE_MAX || from->id_count > SV_ARCHIVE_IDS_MAX) return SV_ELIMIT;
    *to = (svi_archive_query){.owner = op->owner,
                              .before = UINT64_MAX,
                              .start_ms = from->start_ms,
                              .end_ms = from->end_ms,
                              .without = from->without,
                              .max = from->max,
                              .max_bytes = from->max_bytes,
                              .is_backward = from->is_backward,
                              .counts = from->counts,
                              .place_count = from->id_count,
                              .own = svi_event_unit(op->ev)};
    if (from->with != NULL) to->with = from->with->full;
    to->with_resource = from->with != NULL && from->with->resource.n > 0;
    const bool are_known = bound(op, from->after, true, &to->after) && bound(op, from->after_too, true, &to->after) &&
                           bound(op, from->before, false, &to->before) && bound(op, from->before_too, false, &to->before);
    if (!are_known) return SV_ENOTFOUND;
    uint64_t *places = svi_arena_get(svi_event_arena(op->ev), (from->id_count + 1) * sizeof *places);
    for (size_t i = 0; i < from->id_count; i++)
        if (!svi_archive_place(op->archive->archive, op->owner, from->ids[i], &places[i])) return SV_ENOTFOUND;
    to->places = places;
    return SV_OK;
}

/* What is wrong with a query comes back later, too. */
static void fail_later(void *ctx)
{
    end(ctx);
}

static void archive_read(sv_event *ev, sv_archive *archive, const sv_archive_query *query, sv_archive_page_fn done)
{
    SV_ASSERT(done != NULL && HAS(query, counts));
    operation *op = begin(ev, archive, query->owner);
    svi_archive_query asked;
    op->page_done = done;
    op->status = take_query(op, query, &asked);
    if (op->status == SV_OK)
        svi_archive_read(archive->archive, &asked, page_came, op);
    else
        svi_server_defer(op->mod->group->server, fail_later, fail_later, op);
}

/* --- purging and measuring -------------------------------------------------------------------------- */

static void purge_came(void *ctx, sv_status status, const svi_archive_purged *purged)
{
    operation *op = ctx;
    op->status = op->fails ? SV_EIO : status;
    op->purged = purged;
    end(op);
}

static void archive_purge(sv_event *ev, sv_archive *archive, sv_str owner, const sv_archive_bounds *bounds,
                          sv_archive_purge_fn done)
{
    SV_ASSERT(done != NULL && HAS(bounds, portion));
    operation *op = begin(ev, archive, owner);
    op->purge_done = done;
    const svi_archive_bounds mine = {
        .before_ms = bounds->all ? INT64_MAX : bounds->before_ms,
        .max_count = bounds->max_count < 0 ? UINT64_MAX : (uint64_t)bounds->max_count,
        .max_bytes = bounds->max_bytes < 0 ? UINT64_MAX : (uint64_t)bounds->max_bytes,
        .portion = bounds->portion,
    };
    svi_archive_purge(archive->archive, op->owner, &mine, purge_came, op);
}

static void measure_came(void *ctx, sv_status status, const svi_archive_figures *figures)
{
    operation *op = ctx;
    op->status = op->fails ? SV_EIO : status;
    if (is_void(op)) {
        end(op);
        return;
    }
    sv_archive_figures *made = svi_arena_get(svi_event_arena(op->ev), sizeof *made);
    *made = (sv_archive_figures){.size = sizeof *made,
                                 .entries = (int64_t)figures->entries,
                                 .bytes = (int64_t)figures->bytes,
                                 .first_ms = figures->first_ms,
                                 .last_ms = figures->last_ms};
    if (figures->first != 0) made->first = id_of(op, figures->first);
    if (figures->last != 0) made->last = id_of(op, figures->last);
    op->figures = made;
    end(op);
}

static void archive_measure(sv_event *ev, sv_archive *archive, sv_str owner, bool whole, sv_archive_measure_fn done)
{
    SV_ASSERT(done != NULL);
    operation *op = begin(ev, archive, owner);
    op->measure_done = done;
    svi_archive_measure(archive->archive, op->owner, whole, measure_came, op);
}

const void *svi_archive_table(void)
{
    static const sv_archive_api api = {
        .size = sizeof api,
        .version = SV_ARCHIVE_VERSION,
        .open = archive_open,
        .add = archive_add,
        .added = archive_added,
        .read = archive_read,
        .purge = archive_purge,
        .measure = archive_measure,
        .sweep = archive_sweep,
    };
    return &api;
}
