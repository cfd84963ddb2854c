/* Pages of an archive: waits for units, finds times, cuts the owner's entries, reads bodies.
 *
 * Times. A place is the wall clock in us when it was given, but for two cases: behind an idle time it lags for a moment, and behind a start, or
 * a clock that was set back, it is ahead for a while. So a time is a place to begin with, and from there the entries are
 * walked over that are on the wrong side of it, and as far as times may be out of order. */
#include <stdlib.h>

#include "base/base_str.h"
#include "store/store_archive_impl.h"

#define WALK_FIRST 16u
#define WALK_ROWS 1000u
#define LOOKED_ROWS 20000u /* of one cut: then it is seen whether it has left the range */

typedef struct found {
    uint64_t place, body;
    int64_t when_ms;
    uint32_t flags, size;
    sv_str stanza;
} found;

/* What the reading thread looks at; does not change while a cut is under way. */
typedef struct sieve {
    uint64_t low, high; /* exclusive */
    int64_t start_ms, end_ms;
    bool has_with, with_resource;
    uint64_t with;
    uint32_t without;
} sieve;

typedef struct svi_archive_reading {
    struct svi_archive_reading *next; /* of those that wait for units */
    svi_archive *archive;
    svi_arena *arena;
    svi_archive_query query; /* strings in the arena */
    sieve sieve;
    uint64_t until; /* waits for all places below */
    size_t walk_max;
    svi_archive_page_done done;
    void *ctx;
    found *items; /* in the direction of the query, in the end in order of places */
    size_t count, cap;
    size_t open; /* reads that have not come */
    sv_status status;
    bool more;
    uint64_t total;
} reading;

/* --- ends ------------------------------------------------------------------------------------------ */

static svi_archive_item *make_items(const reading *r)
{
    svi_archive_item *items = svi_arena_get(r->arena, (r->count + 1) * sizeof *items);
    for (size_t i = 0; i < r->count; i++)
        items[i] = (svi_archive_item){
            .place = r->items[i].place, .when_ms = r->items[i].when_ms, .flags = r->items[i].flags, .stanza = r->items[i].stanza};
    return items;
}

static void end(reading *r, sv_status status)
{
    const svi_archive_page_done done = r->done;
    void *ctx = r->ctx;
    svi_archive_page page = {.count = r->count, .is_complete = !r->more, .total = r->total, .arena = r->arena};
    if (status == SV_OK) page.items = make_items(r);
    svi_free(r->items);
    svi_free(r);
    done(ctx, status, status == SV_OK ? &page : NULL);
    svi_arena_free(&page.arena);
}

/* --- which entries ---------------------------------------------------------------------------------- */

static bool passes(const sieve *s, uint64_t place, const svi_entry *entry)
{
    if (place <= s->low || place >= s->high) return false;
    if (entry->when_ms < s->start_ms || entry->when_ms > s->end_ms || (entry->flags & s->without) != 0) return false;
    return !s->has_with || s->with == (s->with_resource ? entry->full : entry->bare);
}

static bool filter(void *ctx, sv_str key, sv_str value)
{
    svi_entry entry;
    return svi_entry_read(value, &entry) && passes(ctx, svi_place_of(key), &entry);
}

static void add(reading *r, uint64_t place, const svi_entry *entry)
{
    if (r->count == r->cap) {
        r->cap = r->cap > 0 ? r->cap * 2 : 32;
        r->items = svi_realloc(r->archive->archives->acct, r->items, r->cap * sizeof *r->items);
    }
    r->items[r->count++] = (found){.place = place,
                                   .body = entry->body,
                                   .when_ms = entry->when_ms,
                                   .flags = entry->flags,
                                   .size = entry->size};
}

/* --- bodies ------------------------------------------------------------------------------------------ */

typedef struct body_read {
    reading *reading;
    size_t at;
} body_read;

/* A body that is not there was purged meanwhile. */
static void body_came(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    const body_read *b = ctx;
    reading *r = b->reading;
    sv_str stanza;
    (void)schema;
    if (status == SV_OK && svi_body_stanza(value, &stanza))
        r->items[b->at].stanza = svi_arena_str(r->arena, stanza);
    else if (status != SV_ENOTFOUND && r->status == SV_OK)
        r->status = status == SV_OK ? SV_EIO : status;
    if (--r->open == 0) end(r, r->status);
}

static void read_bodies(reading *r)
{
    if (r->count == 0) {
        end(r, SV_OK);
        return;
    }
    r->open = r->count;
    body_read *reads = svi_arena_get(r->arena, r->count * sizeof *reads);
    for (size_t i = 0; i < r->count; i++) {
        char key[SVI_PLACE_KEY];
        reads[i] = (body_read){r, i};
        svi_store_get(r->archive->bodies, SVI_BODIES, svi_place_key(r->items[i].body, key), body_came, &reads[i]);
    }
}

static void reverse(reading *r)
{
    for (size_t i = 0; i < r->count / 2; i++) {
        const found swap = r->items[i];
        r->items[i] = r->items[r->count - 1 - i];
        r->items[r->count - 1 - i] = swap;
    }
}

/* What is over the bounds of the page is left for the next one. */
static void fit(reading *r)
{
    size_t bytes = 0, n = 0;
    while (n < r->count && n < r->query.max && (n == 0 || bytes + r->items[n].size <= r->query.max_bytes))
        bytes += r->items[n++].size;
    if (n < r->count) r->more = true;
    r->count = n;
    if (r->query.is_backward) reverse(r);
    read_bodies(r);
}

/* --- a range ----------------------------------------------------------------------------------------- */

static void cut_on(reading *r, uint64_t from, bool takes_from);

/* True if there is nothing in the range behind that place. */
static bool is_past(const reading *r, uint64_t place)
{
    return r->query.is_backward ? place <= r->sieve.low + 1 : place >= r->sieve.high - 1;
}

static void cut_came(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    reading *r = ctx;
    if (status != SV_OK) {
        end(r, status);
        return;
    }
    if (r->query.counts) {
        r->total += count;
    } else {
        for (size_t i = 0; i < count; i++) {
            svi_entry entry;
            if (svi_entry_read(rows[i].value, &entry)) add(r, svi_place_of(rows[i].key), &entry);
        }
    }
    const uint64_t last = svi_place_of(reached);
    if (more && r->count <= r->query.max && !is_past(r, last))
        cut_on(r, last, false);
    else if (r->query.counts)
        end(r, SV_OK);
    else
        fit(r);
}

/* One more than is wanted tells whether there is more. */
static void cut_on(reading *r, uint64_t from, bool takes_from)
{
    char key[SVI_PLACE_KEY];
    const svi_cut_config config = {.from = svi_place_key(from, key),
                                   .is_backward = r->query.is_backward,
                                   .takes_from = takes_from,
                                   .max = r->query.counts ? 1 : r->query.max + 1 - r->count,
                                   .max_looked = LOOKED_ROWS,
                                   .filter = filter,
                                   .filter_ctx = &r->sieve,
                                   .counts = r->query.counts};
    svi_rows_cut(r->archive->entries, r->query.owner, &config, cut_came, r);
}

static void nothing_came(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    (void)rows, (void)count, (void)more, (void)reached;
    end(ctx, status);
}

static void cut(reading *r)
{
    if (r->sieve.high == 0 || r->sieve.low >= r->sieve.high - 1) { /* asks all the same: no answer comes before its question ends */
        const svi_cut_config config = {.max = 1, .max_looked = 1};
        svi_rows_cut(r->archive->entries, r->query.owner, &config, nothing_came, r);
        return;
    }
    cut_on(r, r->query.is_backward ? r->sieve.high : r->sieve.low, false);
}

/* --- times ------------------------------------------------------------------------------------------- */

static uint64_t place_at(int64_t ms)
{
    if (ms <= 0) return 0;
    return (uint64_t)ms > UINT64_MAX / 2000 ? UINT64_MAX / 2 : (uint64_t)ms * 1000;
}

static void walk(reading *r, bool is_end, uint64_t from);

/* Moves the bound over entries that are inside of the time and outside of the place. */
static void walk_came(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, bool is_end)
{
    reading *r = ctx;
    size_t i = 0;
    for (; status == SV_OK && i < count; i++) {
        svi_entry entry;
        if (!svi_entry_read(rows[i].value, &entry)) continue;
        const uint64_t place = svi_place_of(rows[i].key);
        if (is_end ? entry.when_ms - SVI_ARCHIVE_DISORDER_MS > r->query.end_ms
                   : entry.when_ms + SVI_ARCHIVE_DISORDER_MS < r->query.start_ms)
            break;
        if (is_end ? place >= r->query.before : place <= r->query.after) break;
        if (is_end)
            r->sieve.high = place + 1;
        else
            r->sieve.low = place - 1;
    }
    if (status != SV_OK)
        end(r, status);
    else if (i == count && more && count > 0)
        walk(r, is_end, svi_place_of(rows[count - 1].key));
    else if (is_end)
        cut(r);
    else
        walk(r, true, 0);
}

static void start_came(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    (void)reached;
    walk_came(ctx, status, rows, count, more, false);
}

static void end_came(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    (void)reached;
    walk_came(ctx, status, rows, count, more, true);
}

/* `from` is 0 for the first step. */
static void walk(reading *r, bool is_end, uint64_t from)
{
    char key[SVI_PLACE_KEY];
    if (from == 0) r->walk_max = WALK_FIRST;
    if (from == 0 && is_end) {
        const uint64_t bound = r->query.end_ms == INT64_MAX ? UINT64_MAX : place_at(r->query.end_ms) + 1000;
        if (bound >= r->sieve.high) {
            cut(r);
            return;
        }
        from = r->sieve.high = bound;
    } else if (from == 0) {
        const uint64_t bound = r->query.start_ms == INT64_MIN ? 0 : place_at(r->query.start_ms);
        if (bound <= r->sieve.low + 1) {
            walk(r, true, 0);
            return;
        }
        from = bound;
        r->sieve.low = bound - 1;
    }
    const bool is_first = r->walk_max == WALK_FIRST;
    const svi_cut_config config = {.from = svi_place_key(from, key),
                                   .is_backward = !is_end,
                                   .takes_from = is_end && is_first,
                                   .max = r->walk_max};
    r->walk_max = WALK_ROWS;
    svi_rows_cut(r->archive->entries, r->query.owner, &config, is_end ? end_came : start_came, r);
}

/* --- by place ---------------------------------------------------------------------------------------- */

typedef struct place_read {
    reading *reading;
    uint64_t place;
} place_read;

static int by_place(const void *a, const void *b)
{
    const found *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* In order, each once. */
static void sort_places(reading *r)
{
    size_t n = 0;
    if (r->count > 0) qsort(r->items, r->count, sizeof *r->items, by_place);
    for (size_t i = 0; i < r->count; i++)
        if (i == 0 || r->items[i].place != r->items[n - 1].place) r->items[n++] = r->items[i];
    r->count = n;
}

static void places_are_there(reading *r)
{
    if (r->status != SV_OK) {
        end(r, r->status);
        return;
    }
    sort_places(r);
    if (r->query.counts) {
        r->total = r->count;
        r->count = 0;
        end(r, SV_OK);
        return;
    }
    if (r->query.is_backward) reverse(r);
    fit(r);
}

static void place_came(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    const place_read *p = ctx;
    reading *r = p->reading;
    svi_entry entry;
    (void)schema;
    if (status == SV_OK && !svi_entry_read(value, &entry)) status = SV_EIO;
    if (status != SV_OK && r->status == SV_OK) r->status = status;
    if (status == SV_OK && passes(&r->sieve, p->place, &entry)) add(r, p->place, &entry);
    if (--r->open == 0) places_are_there(r);
}

static void read_places(reading *r)
{
    r->open = r->query.place_count;
    place_read *reads = svi_arena_get(r->arena, r->open * sizeof *reads);
    for (size_t i = 0; i < r->query.place_count; i++) {
        char key[SVI_PLACE_KEY];
        reads[i] = (place_read){r, r->query.places[i]};
        svi_store_get(r->archive->entries, r->query.owner, svi_place_key(reads[i].place, key), place_came, &reads[i]);
    }
}

/* --- waiting for units ------------------------------------------------------------------------------- */

/* Nothing is shown behind what is not handed in: it would be a hole. */
static void begin(reading *r)
{
    const uint64_t open = svi_archive_least_open(r->archive, r->query.owner, r->query.own);
    const uint64_t next = r->archive->archives->last + 1;
    const uint64_t bound = open < next ? open : next;
    if (r->query.before > bound) r->query.before = r->sieve.high = bound;
    r->query.own = NULL;
    if (r->query.place_count > 0)
        read_places(r);
    else
        walk(r, false, 0);
}

static bool must_wait(const reading *r)
{
    return svi_archive_least_open(r->archive, r->query.owner, r->query.own) < r->until;
}

void svi_archive_readings_look(svi_archives *archives)
{
    reading **link = &archives->waiting;
    while (*link != NULL) {
        reading *r = *link;
        if (must_wait(r)) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        begin(r);
    }
}

void svi_archive_readings_cancel(svi_archives *archives)
{
    while (archives->waiting != NULL) {
        reading *r = archives->waiting;
        archives->waiting = r->next;
        end(r, SV_ECANCELED);
    }
}

static sieve make_sieve(const svi_archive_query *query)
{
    return (sieve){.low = query->after,
                   .high = query->before,
                   .start_ms = query->start_ms,
                   .end_ms = query->end_ms,
                   .has_with = query->with.n > 0,
                   .with_resource = query->with_resource,
                   .with = query->with.n > 0 ? svi_with_hash(query->with) : 0,
                   .without = query->without};
}

void svi_archive_read(svi_archive *archive, const svi_archive_query *query, svi_archive_page_done done, void *ctx)
{
    SV_CHECK(archive, SVI_ARCHIVE_MAGIC);
    SV_ASSERT(query->max <= SVI_ARCHIVE_PAGE_MAX && query->place_count <= SVI_ARCHIVE_IDS_MAX);
    svi_archives *archives = archive->archives;
    reading *r = svi_alloc(archives->acct, sizeof *r);
    *r = (reading){.archive = archive,
                   .arena = svi_arena_new(archives->acct, 4096),
                   .query = *query,
                   .sieve = make_sieve(query),
                   .until = archives->last + 1,
                   .done = done,
                   .ctx = ctx};
    r->query.owner = svi_arena_str(r->arena, query->owner);
    if (r->query.max_bytes == 0) r->query.max_bytes = SVI_ARCHIVE_PAGE_BYTES;
    if (query->place_count > 0) {
        uint64_t *places = svi_arena_get(r->arena, query->place_count * sizeof *places);
        memcpy(places, query->places, query->place_count * sizeof *places);
        r->query.places = places;
    }
    if (!must_wait(r)) {
        begin(r);
        return;
    }
    r->next = archives->waiting;
    archives->waiting = r;
}

/* --- one ---------------------------------------------------------------------------------------------- */

typedef struct getting {
    svi_archive_get_done done;
    void *ctx;
} getting;

static void got(void *ctx, sv_status status, svi_archive_page *page)
{
    getting *g = ctx;
    const getting copy = *g;
    svi_free(g);
    const bool is_there = status == SV_OK && page->count == 1 && page->items[0].stanza.p != NULL;
    if (status == SV_OK && !is_there) status = SV_ENOTFOUND;
    copy.done(copy.ctx, status, is_there ? &page->items[0] : NULL);
}

void svi_archive_get(svi_archive *archive, sv_str owner, uint64_t place, svi_archive_get_done done, void *ctx)
{
    getting *g = svi_alloc(archive->archives->acct, sizeof *g);
    *g = (getting){done, ctx};
    const svi_archive_query query = {.owner = owner,
                                     .before = UINT64_MAX,
                                     .start_ms = INT64_MIN,
                                     .end_ms = INT64_MAX,
                                     .max = 1,
                                     .places = &place,
                                     .place_count = 1};
    svi_archive_read(archive, &query, got, g);
}
