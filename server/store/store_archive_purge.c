/* Purging of an archive, and how much is in it.
 *
 * A purge finds the newest place that has to go (by count and bytes it looks from the newest entry back), then deletes the oldest ones up to
 * there in portions, each a unit. For each entry its body is read, and each other holder of that looked for: the last one takes
 * the body with it. Purges of a store run one after the other, and a portion is handed in before the next one reads, so what a
 * portion sees is what is there. */
#include "base/base_str.h"
#include "store/store_archive_impl.h"

#define PORTION 128u
#define LOOK_ROWS 1000u

typedef struct victim {
    uint64_t place, body;
    uint32_t size;
    bool is_held, has_body;
} victim;

typedef struct svi_purge {
    struct svi_purge *next;
    svi_archive *archive;
    sv_str owner; /* behind the struct */
    svi_archive_bounds bounds;
    svi_archive_purge_done done;
    void *ctx;
    svi_archive_purged purged;
    uint64_t up_to;       /* places up to here go by count or bytes; 0: none */
    uint64_t kept, bytes; /* seen from the newest on */
    victim victims[PORTION];
    size_t count, open; /* reads that have not come */
    bool more;
    sv_status status;
} purge;

static void start(purge *p);

static void end(purge *p, sv_status status)
{
    svi_archives *archives = p->archive->archives;
    SV_ASSERT(archives->purges == p);
    archives->purges = p->next;
    if (archives->purges != NULL) start(archives->purges); /* before the call, which may ask for more */
    p->done(p->ctx, status, &p->purged);
    svi_free(p);
}

/* --- a portion --------------------------------------------------------------------------------------- */

static void portion(purge *p);

static void hand_in(purge *p)
{
    svi_archive *archive = p->archive;
    svi_unit *unit = svi_unit_new(archive->archives->store);
    for (size_t i = 0; i < p->count; i++) {
        const victim *v = &p->victims[i];
        char key[SVI_PLACE_KEY];
        sv_status status = svi_unit_del(unit, archive->entries, p->owner, svi_place_key(v->place, key));
        const bool goes = v->has_body && !v->is_held;
        if (status == SV_OK && goes) status = svi_unit_del(unit, archive->bodies, SVI_BODIES, svi_place_key(v->body, key));
        SV_ASSERT(status == SV_OK); /* a portion is far below the bound of a unit */
        p->purged.entries++;
        p->purged.bytes += v->size;
        p->purged.bodies += goes;
    }
    svi_unit_submit(&unit);
}

static void portion_is_read(purge *p)
{
    if (p->status != SV_OK) {
        end(p, p->status);
        return;
    }
    hand_in(p);
    const bool is_over = p->bounds.portion > 0 && p->purged.entries >= p->bounds.portion;
    p->purged.more = p->more;
    if (p->more && !is_over)
        portion(p);
    else
        end(p, SV_OK);
}

static void came(purge *p, sv_status status)
{
    if (status != SV_OK && status != SV_ENOTFOUND && p->status == SV_OK) p->status = status;
    if (--p->open == 0) portion_is_read(p);
}

typedef struct look {
    purge *purge;
    victim *victim;
} look;

static look *look_new(purge *p, victim *v)
{
    look *l = svi_alloc(p->archive->archives->acct, sizeof *l);
    *l = (look){p, v};
    p->open++;
    return l;
}

static void holder_came(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    look *l = ctx;
    const look copy = *l;
    (void)value, (void)schema;
    svi_free(l);
    if (status == SV_OK) copy.victim->is_held = true;
    came(copy.purge, status);
}

static void look_for_holders(purge *p, victim *v, sv_str body)
{
    sv_str owner;
    uint64_t place;
    for (size_t pos = 0; svi_body_holder(body, &pos, &owner, &place);) {
        char key[SVI_PLACE_KEY];
        if (place == v->place && sv_str_eq(owner, p->owner)) continue;
        svi_store_get(p->archive->entries, owner, svi_place_key(place, key), holder_came, look_new(p, v));
    }
}

static void body_came(void *ctx, sv_status status, sv_str value, uint32_t schema)
{
    look *l = ctx;
    const look copy = *l;
    (void)schema;
    svi_free(l);
    if (status == SV_OK) {
        copy.victim->has_body = true;
        look_for_holders(copy.purge, copy.victim, value);
    }
    came(copy.purge, status);
}

static void read_bodies(purge *p)
{
    if (p->count == 0) {
        end(p, SV_OK);
        return;
    }
    p->open = 1; /* until all have begun */
    for (size_t i = 0; i < p->count; i++) {
        char key[SVI_PLACE_KEY];
        svi_store_get(p->archive->bodies, SVI_BODIES, svi_place_key(p->victims[i].body, key), body_came,
                      look_new(p, &p->victims[i]));
    }
    p->open--;
}

static bool goes(const purge *p, uint64_t place, const svi_entry *entry)
{
    return place <= p->up_to || entry->when_ms < p->bounds.before_ms;
}

static void victims_came(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    purge *p = ctx;
    (void)reached;
    p->count = 0;
    p->more = more;
    if (status != SV_OK) {
        end(p, status);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        svi_entry entry = {.body = 0};
        const uint64_t place = svi_place_of(rows[i].key);
        const bool is_entry = svi_entry_read(rows[i].value, &entry);
        if (is_entry && !goes(p, place, &entry)) {
            p->more = false;
            break;
        }
        p->victims[p->count++] = (victim){.place = place, .body = entry.body, .size = entry.size};
    }
    read_bodies(p);
}

/* The oldest ones; what was deleted before is not among them any more. */
static void portion(purge *p)
{
    size_t max = PORTION;
    if (p->bounds.portion > 0 && p->bounds.portion - p->purged.entries < max)
        max = p->bounds.portion - (size_t)p->purged.entries;
    const svi_cut_config config = {.max = max};
    svi_rows_cut(p->archive->entries, p->owner, &config, victims_came, p);
}

/* --- which ------------------------------------------------------------------------------------------- */

static void look_back(purge *p, sv_str from);

static void back_came(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    purge *p = ctx;
    (void)reached;
    for (size_t i = 0; status == SV_OK && i < count && p->up_to == 0; i++) {
        svi_entry entry;
        if (!svi_entry_read(rows[i].value, &entry)) continue;
        const bool is_over = p->kept >= p->bounds.max_count || p->bytes + entry.size > p->bounds.max_bytes;
        if (is_over) p->up_to = svi_place_of(rows[i].key);
        p->kept++;
        p->bytes += entry.size;
    }
    if (status != SV_OK)
        end(p, status);
    else if (p->up_to == 0 && more && count > 0)
        look_back(p, rows[count - 1].key);
    else
        portion(p);
}

static void look_back(purge *p, sv_str from)
{
    const svi_cut_config config = {.from = from, .is_backward = true, .max = LOOK_ROWS};
    svi_rows_cut(p->archive->entries, p->owner, &config, back_came, p);
}

static void start(purge *p)
{
    if (p->bounds.max_count == UINT64_MAX && p->bounds.max_bytes == UINT64_MAX)
        portion(p);
    else
        look_back(p, SV_STR_NONE);
}

void svi_archive_purge(svi_archive *archive, sv_str owner, const svi_archive_bounds *bounds,
                       svi_archive_purge_done done, void *ctx)
{
    SV_CHECK(archive, SVI_ARCHIVE_MAGIC);
    svi_archives *archives = archive->archives;
    purge *p = svi_alloc(archives->acct, sizeof *p + owner.n + 1);
    *p = (purge){.archive = archive, .owner = {(char *)(p + 1), owner.n}, .bounds = *bounds, .done = done, .ctx = ctx};
    if (owner.n > 0) memcpy(p + 1, owner.p, owner.n);
    purge **last = &archives->purges;
    while (*last != NULL) last = &(*last)->next;
    *last = p;
    if (archives->purges == p) start(p);
}

/* The one under way ends with the store's reads. */
void svi_archive_purges_cancel(svi_archives *archives)
{
    if (archives->purges == NULL) return;
    purge *waits = archives->purges->next;
    archives->purges->next = NULL;
    while (waits != NULL) {
        purge *p = waits;
        waits = p->next;
        p->done(p->ctx, SV_ECANCELED, &p->purged);
        svi_free(p);
    }
}

/* --- an owner's in all archives ---------------------------------------------------------------------- */

typedef struct round {
    svi_archives *archives;
    sv_str prefix, owner; /* behind the struct */
    size_t pos;           /* among the store's maps */
    svi_archive_purged sum;
    svi_archive_purge_done done;
    void *ctx;
} round;

static void next_archive(void *ctx, sv_status status, const svi_archive_purged *purged);

/* The next one; NULL behind the last. An archive is known by the map of its bodies. */
static svi_archive *find_next(round *r)
{
    svi_map *map;
    while ((map = svi_store_map_next(r->archives->store, r->prefix, &r->pos)) != NULL) {
        const sv_str name = map->name;
        svi_archive *archive;
        sv_err err;
        if (name.n <= SVI_BODIES_SUFFIX.n) continue;
        const size_t n = name.n - SVI_BODIES_SUFFIX.n;
        if (!sv_str_eq((sv_str){name.p + n, SVI_BODIES_SUFFIX.n}, SVI_BODIES_SUFFIX)) continue;
        if (svi_archive_open(r->archives, (sv_str){name.p, n}, &archive, &err) == SV_OK) return archive;
    }
    return NULL;
}

static void next_archive(void *ctx, sv_status status, const svi_archive_purged *purged)
{
    static const svi_archive_bounds all = {.before_ms = INT64_MAX, .max_count = UINT64_MAX, .max_bytes = UINT64_MAX};
    round *r = ctx;
    r->sum.entries += purged->entries;
    r->sum.bodies += purged->bodies;
    r->sum.bytes += purged->bytes;
    svi_archive *archive = status == SV_OK ? find_next(r) : NULL;
    if (archive != NULL) {
        svi_archive_purge(archive, r->owner, &all, next_archive, r);
        return;
    }
    r->done(r->ctx, status, &r->sum);
    svi_free(r);
}

sv_status svi_archives_purge_owner(svi_archives *archives, sv_str prefix, sv_str owner, svi_archive_purge_done done, void *ctx)
{
    static const svi_archive_bounds all = {.before_ms = INT64_MAX, .max_count = UINT64_MAX, .max_bytes = UINT64_MAX};
    SV_CHECK(archives, SVI_ARCHIVES_MAGIC);
    round *r = svi_alloc(archives->acct, sizeof *r + prefix.n + owner.n + 1);
    char *text = (char *)(r + 1);
    *r = (round){.archives = archives, .prefix = {text, prefix.n}, .owner = {text + prefix.n, owner.n}, .done = done, .ctx = ctx};
    memcpy(text, prefix.p, prefix.n);
    if (owner.n > 0) memcpy(text + prefix.n, owner.p, owner.n);
    svi_archive *first = find_next(r);
    if (first == NULL) {
        svi_free(r);
        return SV_ENOTFOUND;
    }
    svi_archive_purge(first, r->owner, &all, next_archive, r);
    return SV_OK;
}

/* --- how much there is ------------------------------------------------------------------------------- */

typedef struct measure {
    svi_archive *archive;
    sv_str owner; /* behind the struct */
    bool whole, is_last;
    svi_archive_figures figures;
    svi_archive_figures_done done;
    void *ctx;
} measure;

static void measure_on(measure *m, sv_str from);

static void measured(measure *m, sv_status status)
{
    m->done(m->ctx, status, &m->figures);
    svi_free(m);
}

static void measure_came(void *ctx, sv_status status, const svi_cut_row *rows, size_t count, bool more, sv_str reached)
{
    measure *m = ctx;
    svi_archive_figures *f = &m->figures;
    (void)reached;
    for (size_t i = 0; status == SV_OK && i < count; i++) {
        svi_entry entry;
        if (!svi_entry_read(rows[i].value, &entry)) continue;
        f->entries++;
        f->bytes += entry.size;
        f->last = svi_place_of(rows[i].key);
        f->last_ms = entry.when_ms;
        if (f->first != 0) continue;
        f->first = f->last;
        f->first_ms = entry.when_ms;
    }
    const bool goes_on = m->whole ? more : !m->is_last;
    if (status != SV_OK || count == 0 || !goes_on) {
        measured(m, status);
        return;
    }
    m->is_last = !m->whole;
    measure_on(m, m->whole ? rows[count - 1].key : SV_STR_NONE);
}

static void measure_on(measure *m, sv_str from)
{
    const svi_cut_config config = {.from = from, .is_backward = m->is_last, .max = m->whole ? LOOK_ROWS : 1};
    svi_rows_cut(m->archive->entries, m->owner, &config, measure_came, m);
}

void svi_archive_measure(svi_archive *archive, sv_str owner, bool whole, svi_archive_figures_done done, void *ctx)
{
    SV_CHECK(archive, SVI_ARCHIVE_MAGIC);
    measure *m = svi_alloc(archive->archives->acct, sizeof *m + owner.n + 1);
    *m = (measure){.archive = archive, .owner = {(char *)(m + 1), owner.n}, .whole = whole, .done = done, .ctx = ctx};
    if (owner.n > 0) memcpy(m + 1, owner.p, owner.n);
    measure_on(m, SV_STR_NONE);
}
