/* Module table: rows that are added to those stored in a map. What follows from one source (a text) is a
 * layer, held once however many owners see it; a table on the host remembers which layer each owner
 * sees and which it was told of. That table outlives generations of modules, so that what a reload
 * changes is told, too. */
#include "mods/mods_api.h"

#include <stdlib.h>

enum {
    LAYERS_MAGIC = 0x4c595253,
    OWNERS_MAX = 50000,     /* remembered at once */
    PAUSE_US = 20000,       /* from a change to what it makes of it, and between batches */
    OWNERS_PER_BATCH = 16
};

typedef struct layer_row {
    sv_str key, value;
    size_t place; /* in the order they were added */
} layer_row;

struct svi_layer {
    uint32_t refs;
    svi_acct *acct;
    struct svi_layers *home; /* NULL once that is gone */
    sv_str source;
    uint64_t mark;
    svi_arena *arena;
    layer_row *rows; /* in order of keys */
    size_t count;
    uint32_t schema; /* version in which the map was written when they were made */
};

struct sv_added {
    svi_arena *arena;
    svi_acct *acct;
    layer_row *rows;
    size_t count, cap;
};

/* An owner: `now` is what `generation` gave it, `told` what its sessions know. */
typedef struct owner_view {
    svi_layer *now, *told; /* a reference each; NULL: nothing is added */
    uint64_t generation;
    const svi_overlay *overlay; /* who made `now`; only compared */
} owner_view;

typedef struct svi_layers {
    uint32_t magic;
    struct svi_layers *next;
    svi_host *host;
    svi_map *map;
    svi_acct *acct;
    svi_dict *by_source; /* source -> layer, without a reference */
    svi_dict *owners;    /* localpart -> owner_view */
    uint64_t generation;
    svi_point changed;
    svi_timer *timer;
    size_t pos;
    bool is_walking, is_again, is_making;
} svi_layers;

/* --- layers ----------------------------------------------------------------------------------------- */

void svi_layer_unref(svi_layer **layer)
{
    svi_layer *l = *layer;
    *layer = NULL;
    if (l == NULL) return;
    SV_ASSERT(l->refs > 0);
    if (--l->refs > 0) return;
    if (l->home != NULL) (void)svi_dict_del(l->home->by_source, l->source);
    svi_arena_free(&l->arena);
    svi_free(l->rows);
    svi_free(l);
}

uint32_t svi_layer_schema(const svi_layer *layer)
{
    return layer->schema;
}

static svi_layer *layer_ref(svi_layer *layer)
{
    if (layer != NULL) layer->refs++;
    return layer;
}

static int by_key(const void *a, const void *b)
{
    const layer_row *left = a, *right = b;
    const int order = svi_str_cmp(left->key, right->key);
    if (order != 0) return order;
    return left->place < right->place ? -1 : 1;
}

/* FNV-1a: the same on every machine and after every start. */
static uint64_t mix(uint64_t mark, sv_str text)
{
    for (size_t i = 0; i <= text.n; i++)
        mark = (mark ^ (i < text.n ? (unsigned char)text.p[i] : 0xffu)) * UINT64_C(1099511628211);
    return mark;
}

static void sort_rows(svi_layer *layer)
{
    if (layer->count > 1) qsort(layer->rows, layer->count, sizeof *layer->rows, by_key);
    size_t kept = 0;
    layer->mark = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < layer->count; i++) {
        if (kept > 0 && sv_str_eq(layer->rows[kept - 1].key, layer->rows[i].key)) continue;
        layer->rows[kept++] = layer->rows[i];
        layer->mark = mix(mix(layer->mark, layer->rows[i].key), layer->rows[i].value);
    }
    layer->count = kept;
    if (layer->mark == 0) layer->mark = 1;
}

void svi_api_overlay_add(sv_added *to, sv_str key, sv_str value)
{
    if (to->count == to->cap) {
        to->cap = to->cap > 0 ? 2 * to->cap : 16;
        to->rows = svi_realloc(to->acct, to->rows, to->cap * sizeof *to->rows);
    }
    to->rows[to->count] = (layer_row){.key = svi_arena_str(to->arena, key),
                                      .value = svi_arena_str(to->arena, value),
                                      .place = to->count};
    to->count++;
}

/* The layer of a source, with a reference; NULL for an empty one. */
static svi_layer *layer_of(const svi_overlay *overlay, sv_event *ev, sv_str source)
{
    svi_layers *home = overlay->layers;
    if (source.n == 0) return NULL;
    svi_layer *layer = svi_dict_get(home->by_source, source);
    if (layer != NULL) return layer_ref(layer);
    sv_added added = {.arena = svi_arena_new(home->acct, 1024), .acct = home->acct};
    overlay->calls.rows(ev, source, &added, overlay->mod->self);
    layer = svi_alloc(home->acct, sizeof *layer);
    *layer = (svi_layer){.refs = 1,
                         .acct = home->acct,
                         .home = home,
                         .source = svi_arena_str(added.arena, source),
                         .arena = added.arena,
                         .rows = added.rows,
                         .count = added.count,
                         .schema = svi_map_schema(home->map)};
    sort_rows(layer);
    (void)svi_dict_put(home->by_source, layer->source, layer);
    return layer;
}

/* The place of the first key that is not below this one. */
static size_t place_of(const svi_layer *layer, sv_str key)
{
    size_t low = 0, high = layer->count;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (svi_str_cmp(layer->rows[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool layer_find(const svi_layer *layer, sv_str own, sv_str key, sv_str *value_out)
{
    *value_out = SV_STR_NONE;
    if (layer == NULL || sv_str_eq(key, own)) return false;
    const size_t place = place_of(layer, key);
    if (place == layer->count || !sv_str_eq(layer->rows[place].key, key)) return false;
    *value_out = layer->rows[place].value;
    return true;
}

/* The first row behind a key (.p NULL: the very first); false at the end. */
static bool layer_next(const svi_layer *layer, sv_str own, sv_str key, const layer_row **row_out)
{
    if (layer == NULL) return false;
    size_t place = key.p != NULL ? place_of(layer, key) : 0;
    for (; place < layer->count; place++) {
        *row_out = &layer->rows[place];
        if (sv_str_eq((*row_out)->key, own)) continue;
        if (key.p == NULL || !sv_str_eq((*row_out)->key, key)) return true;
    }
    return false;
}

/* --- what an owner sees ----------------------------------------------------------------------------- */

static void view_free(owner_view *view)
{
    svi_layer_unref(&view->now);
    svi_layer_unref(&view->told);
    svi_free(view);
}

static sv_str bare_of(svi_arena *arena, const svi_layers *layers, sv_str owner)
{
    const sv_str domain = svi_host_domain(layers->host);
    return svi_arena_printf(arena, "%.*s@%.*s", (int)owner.n, owner.p, (int)domain.n, domain.p);
}

static bool is_on_line(const svi_layers *layers, sv_str owner)
{
    svi_server *server = svi_host_server(layers->host);
    svi_arena *arena = svi_arena_new(layers->acct, 256);
    const bool found = svi_session_next(server, bare_of(arena, layers, owner), NULL) != NULL;
    svi_arena_free(&arena);
    return found;
}

/* Owners that are not on line are told by nobody what changed. */
static void forget_absent(svi_layers *layers)
{
    size_t pos = 0;
    sv_str owner;
    void *view;
    while (svi_dict_next(layers->owners, &pos, &owner, &view)) {
        if (is_on_line(layers, owner)) continue;
        (void)svi_dict_del(layers->owners, owner);
        view_free(view);
    }
}

static owner_view *view_new(svi_layers *layers, sv_str owner, svi_layer *layer)
{
    if (svi_dict_count(layers->owners) >= OWNERS_MAX) forget_absent(layers);
    if (svi_dict_count(layers->owners) >= OWNERS_MAX) return NULL;
    owner_view *view = svi_alloc(layers->acct, sizeof *view);
    view->told = layer_ref(layer);
    (void)svi_dict_put(layers->owners, owner, view);
    return view;
}

/* Asks the module what the owner sees now; a reference. */
static svi_layer *make_view(const svi_overlay *overlay, sv_event *ev, sv_str owner)
{
    svi_layers *layers = overlay->layers;
    layers->is_making = true; /* whoever answers may read the map himself, without what is added */
    const svi_mod_visit visit = svi_mod_enter(overlay->mod, "overlay");
    const sv_str source = overlay->calls.source(ev, owner, overlay->mod->self);
    owner_view *view = svi_dict_get(layers->owners, owner);
    svi_layer *layer = !sv_str_eq(source, SV_OVERLAY_UNKNOWN) ? layer_of(overlay, ev, source)
                       : view != NULL                         ? layer_ref(view->now)
                                                              : NULL;
    svi_mod_leave(&visit);
    layers->is_making = false;
    if (view == NULL) view = view_new(layers, owner, layer);
    if (view == NULL) return layer;
    svi_layer_unref(&view->now);
    view->now = layer_ref(layer);
    view->generation = layers->generation;
    view->overlay = overlay;
    return layer;
}

const svi_overlay *svi_overlay_of(const sv_store *store)
{
    const svi_overlay *o = store->mod->group->overlays;
    while (o != NULL && o->map != store->map) o = o->next;
    return o;
}

void svi_overlay_read(const svi_overlay *overlay, sv_event *ev, sv_str owner, sv_rows *rows)
{
    const svi_layers *layers = overlay->layers;
    if (owner.n == 0 || layers->is_making) return;
    const owner_view *view = svi_dict_get(layers->owners, owner);
    const bool is_fresh = view != NULL && view->generation == layers->generation &&
                          view->overlay == overlay;
    if (is_fresh)
        rows->layer = layer_ref(view->now);
    else if (svi_event_is_open(ev))
        rows->layer = make_view(overlay, ev, owner);
    rows->overlay = overlay;
    if (rows->layer != NULL) rows->own = bare_of(svi_event_arena(ev), layers, owner);
}

/* --- stored and added together ---------------------------------------------------------------------- */

sv_str svi_overlay_merge(const sv_rows *rows, sv_str stored, sv_str added)
{
    return rows->overlay->calls.merge(rows->ev, stored, added, rows->overlay->mod->self);
}

bool svi_overlay_find(const sv_rows *rows, sv_str key, sv_str *value_out)
{
    return layer_find(rows->layer, rows->own, key, value_out);
}

bool svi_overlay_row(const sv_rows *rows, sv_str key, sv_str *value_out)
{
    sv_str added;
    const bool is_stored = svi_rows_find(rows->rows, key, value_out);
    if (rows->layer == NULL || !svi_overlay_find(rows, key, &added)) return is_stored;
    *value_out = is_stored ? svi_overlay_merge(rows, *value_out, added) : added;
    return true;
}

bool svi_overlay_next(const sv_rows *rows, sv_str *key, sv_str *value_out)
{
    if (rows->layer == NULL) return svi_rows_next(rows->rows, key, value_out);
    const layer_row *added = NULL;
    sv_str stored_key = *key, stored;
    const bool has_added = layer_next(rows->layer, rows->own, *key, &added);
    const bool has_stored = svi_rows_next(rows->rows, &stored_key, &stored);
    if (!has_added && !has_stored) return false;
    const int order = !has_stored ? 1 : !has_added ? -1 : svi_str_cmp(stored_key, added->key);
    *key = order <= 0 ? stored_key : added->key;
    *value_out = order < 0   ? stored
                 : order > 0 ? added->value
                             : svi_overlay_merge(rows, stored, added->value);
    return true;
}

size_t svi_overlay_count(const sv_rows *rows)
{
    size_t count = 0;
    const layer_row *row;
    for (sv_str key = SV_STR_NONE; layer_next(rows->layer, rows->own, key, &row); key = row->key) {
        sv_str stored;
        count += !svi_rows_find(rows->rows, row->key, &stored);
    }
    return count;
}

bool svi_api_row_added(const sv_rows *rows, sv_str key, sv_str *value_out)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    return svi_overlay_find(rows, key, value_out);
}

uint64_t svi_api_rows_mark(const sv_rows *rows)
{
    SV_CHECK(rows, SVI_ROWS_MAGIC);
    return rows->layer != NULL ? rows->layer->mark : 0;
}

/* --- differences ------------------------------------------------------------------------------------ */

typedef struct difference {
    sv_str key, before, after;
} difference;

/* How a row is seen when this is added. */
static sv_str seen(const sv_rows *rows, const svi_layer *layer, sv_str key)
{
    sv_str stored, added;
    const bool is_stored = svi_rows_find(rows->rows, key, &stored);
    if (!layer_find(layer, rows->own, key, &added)) return is_stored ? stored : SV_STR_NONE;
    return is_stored ? svi_overlay_merge(rows, stored, added) : added;
}

/* The differences of two layers for one owner; in the event's arena. */
static difference *compare(const sv_rows *rows, const svi_layer *told, size_t *count_out)
{
    const svi_layer *now = rows->layer;
    const size_t room = (told != NULL ? told->count : 0) + (now != NULL ? now->count : 0);
    difference *list = svi_arena_get(svi_event_arena(rows->ev), (room + 1) * sizeof *list);
    sv_str key = SV_STR_NONE;
    *count_out = 0;
    for (;;) {
        const layer_row *a = NULL, *b = NULL;
        const bool has_a = layer_next(told, rows->own, key, &a);
        const bool has_b = layer_next(now, rows->own, key, &b);
        if (!has_a && !has_b) return list;
        key = !has_b || (has_a && svi_str_cmp(a->key, b->key) < 0) ? a->key : b->key;
        if (has_a && has_b && sv_str_eq(a->key, b->key) && sv_str_eq(a->value, b->value)) continue;
        const difference d = {key, seen(rows, told, key), seen(rows, now, key)};
        if (d.before.p == NULL || d.after.p == NULL || !sv_str_eq(d.before, d.after))
            list[(*count_out)++] = d;
    }
}

void svi_api_overlay_differences(sv_event *ev, sv_store *store, sv_str owner,
                                 sv_difference_fn each)
{
    const svi_overlay *overlay = svi_overlay_of(store);
    const sv_rows *rows = svi_api_rows(ev, store, owner); /* brings the view up to date */
    owner_view *view =
        overlay != NULL ? svi_dict_get(overlay->layers->owners, owner) : NULL;
    if (rows == NULL || view == NULL || view->told == view->now) return;
    svi_layer *told = view->told;
    view->told = layer_ref(view->now);
    sv_rows own = *rows; /* its own address is not there if nothing is added now */
    own.own = bare_of(svi_event_arena(ev), overlay->layers, owner);
    size_t count;
    const difference *list = compare(&own, told, &count);
    for (size_t i = 0; i < count; i++)
        each(ev, list[i].key, list[i].before, list[i].after, count - 1 - i, store->mod->self);
    svi_layer_unref(&told);
}

/* --- changes ---------------------------------------------------------------------------------------- */

static void look_soon(svi_layers *layers);

static bool tell(svi_layers *layers, sv_str owner)
{
    svi_arena *arena = svi_arena_new(layers->acct, 512);
    const sv_jid jid = svi_jid_make(arena, owner, svi_host_domain(layers->host), SV_STR_NONE);
    const bool is_there = svi_session_next(svi_host_server(layers->host), jid.bare, NULL) != NULL;
    if (is_there)
        svi_occasion(layers->host, layers->changed, &jid, NULL, NULL, SV_STR_NONE, NULL);
    svi_arena_free(&arena);
    return is_there;
}

static void look(void *ctx)
{
    svi_layers *layers = ctx;
    SV_CHECK(layers, LAYERS_MAGIC);
    layers->timer = NULL;
    for (size_t told = 0; told < OWNERS_PER_BATCH;) {
        sv_str owner;
        void *view;
        if (!svi_dict_next(layers->owners, &layers->pos, &owner, &view)) {
            layers->is_walking = layers->is_again;
            layers->is_again = false;
            layers->pos = 0;
            break;
        }
        if (tell(layers, owner)) {
            told++;
        } else if ((view = svi_dict_del(layers->owners, owner)) != NULL) {
            view_free(view);
        }
    }
    if (layers->is_walking) look_soon(layers);
}

static void look_soon(svi_layers *layers)
{
    layers->is_walking = true;
    if (layers->timer == NULL)
        layers->timer =
            svi_timer_start(svi_server_timers(svi_host_server(layers->host)), PAUSE_US, look, layers);
}

void svi_api_overlay_changed(sv_store *store)
{
    SV_CHECK(store, SVI_STORE_MAGIC);
    const svi_overlay *overlay = svi_overlay_of(store);
    if (overlay == NULL) return;
    svi_layers *layers = overlay->layers;
    layers->generation++;
    layers->is_again = layers->is_walking && layers->pos > 0;
    look_soon(layers);
}

/* --- life ------------------------------------------------------------------------------------------- */

static void drop_owners(svi_layers *layers)
{
    size_t pos = 0;
    sv_str key;
    void *value;
    while (svi_dict_next(layers->owners, &pos, &key, &value)) view_free(value);
    svi_dict_free(&layers->owners);
    pos = 0;
    while (svi_dict_next(layers->by_source, &pos, &key, &value)) ((svi_layer *)value)->home = NULL;
    svi_dict_free(&layers->by_source);
}

static void layers_free(void *part)
{
    svi_layers *layers = part;
    while (layers != NULL) {
        SV_CHECK(layers, LAYERS_MAGIC);
        svi_layers *next = layers->next;
        svi_timer_cancel(&layers->timer);
        drop_owners(layers);
        layers->magic = 0;
        svi_free(layers);
        layers = next;
    }
}

static svi_layers *layers_of(svi_host *host, svi_map *map)
{
    svi_layers *first = svi_host_attached(host);
    for (svi_layers *l = first; l != NULL; l = l->next)
        if (l->map == map) return l;
    svi_acct *acct = svi_server_acct(svi_host_server(host));
    svi_layers *layers = svi_alloc(acct, sizeof *layers);
    *layers = (svi_layers){.magic = LAYERS_MAGIC,
                           .host = host,
                           .map = map,
                           .acct = acct,
                           .by_source = svi_dict_new(acct),
                           .owners = svi_dict_new(acct)};
    if (first == NULL) {
        svi_host_attach(host, layers, layers_free);
        return layers;
    }
    layers->next = first->next;
    first->next = layers;
    return layers;
}

sv_status svi_api_store_overlay(sv_mod *mod, sv_store *store, const sv_overlay *overlay)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    SV_CHECK(store, SVI_STORE_MAGIC);
    const size_t least = offsetof(sv_overlay, changed) + sizeof overlay->changed;
    if (overlay->size < least) return SV_EINVAL;
    const svi_point changed = svi_point_find(sv_str_of(overlay->changed));
    if (changed == SVI_POINT_NONE || !overlay->source || !overlay->rows || !overlay->merge)
        return SV_EINVAL;
    const svi_overlay *other = svi_overlay_of(store);
    if (other != NULL && other->mod != mod->before) return SV_EEXIST;
    svi_group *group = mod->group;
    svi_overlay *o = svi_alloc(group->acct, sizeof *o);
    *o = (svi_overlay){.next = group->overlays,
                       .mod = mod,
                       .map = store->map,
                       .changed = changed,
                       .layers = layers_of(group->host, store->map)};
    memcpy(&o->calls, overlay, overlay->size < sizeof o->calls ? overlay->size : sizeof o->calls);
    o->layers->changed = changed;
    o->layers->generation++;
    group->overlays = o;
    return SV_OK;
}

/* What another one adds to the map counts again: the generation that this one should have replaced. */
static void put_back(const svi_group *group, svi_layers *layers)
{
    if (group->is_ending) return; /* the host may be gone */
    for (const svi_overlay *o = group->overlays; o != NULL; o = o->next) {
        if (o->layers != layers) continue;
        layers->generation++;
        layers->changed = o->changed;
        return;
    }
}

void svi_overlays_drop(sv_mod *mod)
{
    svi_overlay **at = &mod->group->overlays;
    while (*at != NULL) {
        svi_overlay *o = *at;
        if (o->mod != mod) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        put_back(mod->group, o->layers);
        svi_free(o);
    }
}
