/* The trail: a ring of records in words of 8 bytes.
 *
 * First word: entry (48 bits), kind (8), what (8). Second word: time in us (48 bits) and 16 more bits. ASKED and
 * REPLACED have no time: the record before them was written just now. The ring is made of blocks, of which the oldest is
 * given up as a whole. A record lies in one block; where its end is too near, the rest is a gap: one word of kind NONE
 * whose entry is the gap's size. PERF: a stanza leaves a dozen records and more, so writing one is some stores. */
#include "bus/bus_trail.h"

#include "base/base_dict.h"

enum {
    MAGIC = 0x54524149,
    WORD = 8,
    LEAST_BYTES = 4096,
    BLOCKS = 64, /* of the ring; fewer if they were smaller than that: */
    LEAST_BLOCK = 2048,
    NAMES_MAX = 4000,
    FIRST_NAMES = 64,
    NAME_BYTES = 200, /* of a module's or hook's name */
    CACHE_SLOTS = 256,
    NAME_NONE = 0,
    NAME_FURTHER = 1 /* there was no room for it */
};

#define LOW_48 ((UINT64_C(1) << 48) - 1)
#define EXTRA_FLAG 1u /* is_acked, is_inside */
#define ASKED_SKIPPED 0x80u

struct svi_trail {
    uint32_t magic;
    svi_acct *acct;
    const svi_plat *plat;
    int64_t (*coarse_us)(void *ctx);
    uint64_t *ring; /* NULL: nothing is kept */
    size_t bytes, block; /* powers of two */
    uint64_t begin, end; /* in bytes, ever growing; `begin` is a block's */
    uint64_t records;
    int64_t now_us;      /* coarse, a moment ago */
    svi_dict *by_name; /* "MODULE\0HOOK" -> its number + 1 */
    svi_trail_name *names;
    size_t name_count, name_room;
    uint16_t cache[CACHE_SLOTS]; /* by the addresses of the two texts; checked against the texts */
};

/* --- life --------------------------------------------------------------------------------------------- */

svi_trail *svi_trail_new(svi_acct *acct, const svi_plat *plat)
{
    svi_trail *trail = svi_alloc(acct, sizeof *trail);
    trail->magic = MAGIC;
    trail->acct = acct;
    trail->plat = plat;
    trail->coarse_us = plat->coarse_us != NULL ? plat->coarse_us : plat->mono_us;
    trail->by_name = svi_dict_new(acct);
    trail->names = svi_alloc(acct, FIRST_NAMES * sizeof *trail->names);
    trail->name_room = FIRST_NAMES;
    trail->names[NAME_NONE] = (svi_trail_name){"", ""};
    trail->names[NAME_FURTHER] = (svi_trail_name){"...", "..."};
    trail->name_count = 2;
    return trail;
}

void svi_trail_free(svi_trail **trail)
{
    svi_trail *t = *trail;
    *trail = NULL;
    if (t == NULL) return;
    SV_CHECK(t, MAGIC);
    for (size_t i = 2; i < t->name_count; i++) svi_free((void *)(uintptr_t)t->names[i].module);
    svi_free(t->names);
    svi_dict_free(&t->by_name);
    svi_free(t->ring);
    t->magic = 0;
    svi_free(t);
}

void svi_trail_resize(svi_trail *trail, size_t bytes)
{
    SV_CHECK(trail, MAGIC);
    size_t size = bytes > 0 ? LEAST_BYTES : 0;
    while (size > 0 && size <= bytes / 2) size *= 2;
    if (size == trail->bytes) return;
    svi_free(trail->ring);
    trail->ring = size > 0 ? svi_alloc_raw(trail->acct, size) : NULL;
    trail->bytes = size;
    trail->block = size / BLOCKS > LEAST_BLOCK ? size / BLOCKS : LEAST_BLOCK;
    trail->begin = trail->end = 0;
}

size_t svi_trail_size(const svi_trail *trail)
{
    SV_CHECK(trail, MAGIC);
    return trail->bytes;
}

/* --- names -------------------------------------------------------------------------------------------- */

static bool is_name(const svi_trail_name *name, const char *module, const char *hook)
{
    return strcmp(name->module, module) == 0 && strcmp(name->hook, hook) == 0;
}

/* One allocation for both texts: the module's is freed. */
static uint16_t add_name(svi_trail *trail, sv_str key, size_t module_bytes)
{
    if (trail->name_count == NAMES_MAX) return NAME_FURTHER;
    if (trail->name_count == trail->name_room) {
        trail->name_room *= 2;
        trail->names = svi_realloc(trail->acct, trail->names, trail->name_room * sizeof *trail->names);
    }
    char *text = svi_alloc(trail->acct, key.n + 1);
    memcpy(text, key.p, key.n);
    const size_t number = trail->name_count++;
    trail->names[number] = (svi_trail_name){text, text + module_bytes + 1};
    svi_dict_put(trail->by_name, key, (void *)(number + 1));
    return (uint16_t)number;
}

static uint16_t find_name(svi_trail *trail, const char *module, const char *hook)
{
    char text[2 * NAME_BYTES + 2];
    const size_t m = strnlen(module, NAME_BYTES), h = strnlen(hook, NAME_BYTES);
    memcpy(text, module, m);
    text[m] = '\0';
    memcpy(text + m + 1, hook, h);
    const sv_str key = {text, m + 1 + h};
    const void *found = svi_dict_get(trail->by_name, key);
    return found != NULL ? (uint16_t)((uintptr_t)found - 1) : add_name(trail, key, m);
}

static uint16_t name_of(svi_trail *trail, const char *module, const char *hook)
{
    if (module == NULL) module = "";
    if (hook == NULL) hook = "";
    if (*module == '\0' && *hook == '\0') return NAME_NONE;
    uint16_t *cached = &trail->cache[((uintptr_t)module ^ ((uintptr_t)hook >> 3)) % CACHE_SLOTS];
    if (!is_name(&trail->names[*cached], module, hook)) *cached = find_name(trail, module, hook);
    return *cached;
}

static uint16_t name_now(svi_trail *trail)
{
    const svi_exec *now = svi_exec_now();
    return name_of(trail, now->module, now->hook);
}

/* --- writing ------------------------------------------------------------------------------------------ */

static unsigned kind_of(uint64_t first)
{
    return (unsigned)(first >> 48) & 0xff;
}

static size_t size_of(const uint64_t *record)
{
    switch (kind_of(record[0])) {
    case SVI_TRAIL_NONE: return (size_t)(record[0] & LOW_48);
    case SVI_TRAIL_OPENED: return 4 * WORD;
    case SVI_TRAIL_CLOSED:
    case SVI_TRAIL_WRITES: return 3 * WORD;
    case SVI_TRAIL_TEXT: return (size_t)(record[1] >> 48) * WORD;
    default: return 2 * WORD;
    }
}

static uint64_t *at(const svi_trail *trail, uint64_t position)
{
    return &trail->ring[(position & (trail->bytes - 1)) / WORD];
}

/* The next block, in the place of the oldest one if all are in use. */
static void begin_block(svi_trail *trail)
{
    const size_t left = trail->block - (size_t)(trail->end & (trail->block - 1));
    if (left < trail->block) *at(trail, trail->end) = left;
    if (left < trail->block) trail->end += left;
    if (trail->end + trail->block - trail->begin > trail->bytes) trail->begin += trail->block;
}

static inline uint64_t *reserve(svi_trail *trail, size_t bytes)
{
    const size_t used = (size_t)(trail->end & (trail->block - 1));
    if (used == 0 || used + bytes > trail->block) begin_block(trail);
    uint64_t *record = at(trail, trail->end);
    trail->end += bytes;
    trail->records++;
    return record;
}

static bool is_on(const svi_trail *trail, uint64_t entry)
{
    return trail != NULL && trail->ring != NULL && entry != 0;
}

static uint64_t first_word(uint64_t entry, svi_trail_kind kind, unsigned what)
{
    return (entry & LOW_48) | (uint64_t)kind << 48 | (uint64_t)(what & 0xff) << 56;
}

/* The time as it was looked at last. */
static inline uint64_t just_now(const svi_trail *trail, uint64_t extra)
{
    return ((uint64_t)trail->now_us & LOW_48) | extra << 48;
}

static uint64_t coarse(svi_trail *trail, uint64_t extra)
{
    trail->now_us = trail->coarse_us(trail->plat->ctx);
    return just_now(trail, extra);
}

static uint64_t exact(svi_trail *trail)
{
    trail->now_us = trail->plat->mono_us(trail->plat->ctx);
    return just_now(trail, 0);
}

void svi_trail_look(svi_trail *trail)
{
    if (trail != NULL) trail->now_us = trail->coarse_us(trail->plat->ctx);
}

void svi_trail_opened(svi_trail *trail, uint64_t entry, unsigned origin, uint64_t parent)
{
    if (!is_on(trail, entry)) return;
    const uint16_t name = name_now(trail);
    uint64_t *record = reserve(trail, 4 * WORD);
    record[0] = first_word(entry, SVI_TRAIL_OPENED, origin);
    record[1] = coarse(trail, 0);
    record[2] = parent;
    record[3] = name;
}

void svi_trail_closed(svi_trail *trail, uint64_t entry, unsigned disposal, bool is_acked, const char *rule)
{
    if (!is_on(trail, entry)) return;
    const uint64_t name = name_now(trail), why = name_of(trail, NULL, rule);
    uint64_t *record = reserve(trail, 3 * WORD);
    record[0] = first_word(entry, SVI_TRAIL_CLOSED, disposal);
    record[1] = coarse(trail, is_acked ? EXTRA_FLAG : 0);
    record[2] = name | why << 16;
}

void svi_trail_note(svi_trail *trail, uint64_t entry, svi_trail_kind kind, unsigned what)
{
    if (!is_on(trail, entry)) return;
    uint64_t *record = reserve(trail, 2 * WORD);
    record[0] = first_word(entry, kind, what);
    record[1] = coarse(trail, 0);
}

void svi_trail_point(svi_trail *trail, uint64_t entry, unsigned point, bool is_inside)
{
    if (!is_on(trail, entry)) return;
    uint64_t *record = reserve(trail, 2 * WORD);
    record[0] = first_word(entry, SVI_TRAIL_POINT, point);
    record[1] = just_now(trail, is_inside ? EXTRA_FLAG : 0);
}

void svi_trail_asked(svi_trail *trail, uint64_t entry, const char *module, const char *hook, svi_hook_stats *stats,
                     unsigned verdict, bool is_skipped, int64_t took_us)
{
    if (!is_on(trail, entry)) return;
    uint16_t name = stats != NULL ? stats->name : NAME_NONE;
    if (name == NAME_NONE) {
        name = name_of(trail, module, hook);
        if (stats != NULL && name != NAME_FURTHER) stats->name = name;
    }
    const uint32_t us = took_us < 0 ? 0 : took_us > UINT32_MAX ? UINT32_MAX : (uint32_t)took_us;
    uint64_t *record = reserve(trail, 2 * WORD);
    record[0] = first_word(entry, SVI_TRAIL_ASKED, verdict | (is_skipped ? ASKED_SKIPPED : 0));
    record[1] = name | (uint64_t)us << 16;
}

void svi_trail_replaced(svi_trail *trail, uint64_t entry, const char *module, const char *hook)
{
    if (!is_on(trail, entry)) return;
    const uint16_t name = name_of(trail, module, hook);
    uint64_t *record = reserve(trail, 2 * WORD);
    record[0] = first_word(entry, SVI_TRAIL_REPLACED, 0);
    record[1] = name;
}

void svi_trail_writes(svi_trail *trail, uint64_t entry, uint64_t commit)
{
    if (!is_on(trail, entry)) return;
    uint64_t *record = reserve(trail, 3 * WORD);
    record[0] = first_word(entry, SVI_TRAIL_WRITES, 0);
    record[1] = exact(trail);
    record[2] = commit;
}

void svi_trail_released(svi_trail *trail, uint64_t entry)
{
    if (!is_on(trail, entry)) return;
    uint64_t *record = reserve(trail, 2 * WORD);
    record[0] = first_word(entry, SVI_TRAIL_RELEASED, 0);
    record[1] = exact(trail);
}

static size_t cut(sv_str text)
{
    size_t n = text.n;
    if (n <= SVI_TRAIL_TEXT_BYTES) return n;
    n = SVI_TRAIL_TEXT_BYTES;
    while (n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80) n--;
    return n;
}

void svi_trail_text(svi_trail *trail, uint64_t entry, unsigned what, const sv_str *texts, size_t count)
{
    if (!is_on(trail, entry)) return;
    SV_ASSERT(count <= SVI_TRAIL_TEXTS);
    uint8_t sizes[WORD] = {0};
    size_t bytes = 3 * WORD;
    for (size_t i = 0; i < count; i++) bytes += sizes[i] = (uint8_t)cut(texts[i]);
    sizes[WORD - 1] = (uint8_t)count;
    bytes = (bytes + WORD - 1) & ~(size_t)(WORD - 1);
    uint64_t *record = reserve(trail, bytes);
    record[0] = first_word(entry, SVI_TRAIL_TEXT, what);
    record[1] = just_now(trail, bytes / WORD);
    memcpy(&record[2], sizes, WORD);
    char *to = (char *)&record[3];
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] > 0) memcpy(to, texts[i].p, sizes[i]);
        to += sizes[i];
    }
}

/* --- reading ------------------------------------------------------------------------------------------ */

static svi_trail_name name_at(const svi_trail *trail, uint64_t number)
{
    return trail->names[number < trail->name_count ? number : NAME_FURTHER];
}

static void read_texts(const uint64_t *record, svi_trail_record *out)
{
    uint8_t sizes[WORD];
    const char *text = (const char *)&record[3];
    memcpy(sizes, &record[2], WORD);
    out->text_count = sizes[WORD - 1];
    for (size_t i = 0; i < out->text_count; i++) {
        out->texts[i] = (sv_str){text, sizes[i]};
        text += sizes[i];
    }
}

static void read_record(const svi_trail *trail, const uint64_t *record, svi_trail_record *out)
{
    const uint64_t extra = record[1] >> 48;
    *out = (svi_trail_record){.kind = (svi_trail_kind)kind_of(record[0]),
                              .what = (unsigned)(record[0] >> 56),
                              .entry = record[0] & LOW_48,
                              .at_us = (int64_t)(record[1] & LOW_48),
                              .name = {"", ""}};
    switch (out->kind) {
    case SVI_TRAIL_OPENED:
        out->parent = record[2];
        out->name = name_at(trail, record[3]);
        break;
    case SVI_TRAIL_CLOSED:
        out->is_acked = (extra & EXTRA_FLAG) != 0;
        out->name = name_at(trail, record[2] & 0xffff);
        if (record[2] >> 16 != NAME_NONE) out->rule = name_at(trail, record[2] >> 16).hook;
        break;
    case SVI_TRAIL_POINT: out->is_inside = (extra & EXTRA_FLAG) != 0; break;
    case SVI_TRAIL_ASKED:
        out->is_skipped = (out->what & ASKED_SKIPPED) != 0;
        out->what &= ~ASKED_SKIPPED;
        out->took_us = (uint32_t)(record[1] >> 16);
        out->name = name_at(trail, record[1] & 0xffff);
        out->at_us = -1;
        break;
    case SVI_TRAIL_REPLACED:
        out->name = name_at(trail, record[1]);
        out->at_us = -1;
        break;
    case SVI_TRAIL_WRITES: out->number = record[2]; break;
    case SVI_TRAIL_TEXT: read_texts(record, out); break;
    default: break;
    }
}

bool svi_trail_next(const svi_trail *trail, uint64_t *pos, svi_trail_record *record_out)
{
    SV_CHECK(trail, MAGIC);
    if (*pos < trail->begin) *pos = trail->begin;
    if (*pos < trail->end && kind_of(*at(trail, *pos)) == SVI_TRAIL_NONE) *pos += size_of(at(trail, *pos));
    if (*pos >= trail->end) return false;
    const uint64_t *record = at(trail, *pos);
    *pos += size_of(record);
    read_record(trail, record, record_out);
    return true;
}

void svi_trail_stats_get(const svi_trail *trail, svi_trail_stats *stats_out)
{
    SV_CHECK(trail, MAGIC);
    *stats_out = (svi_trail_stats){.bytes = trail->bytes,
                                   .used = (size_t)(trail->end - trail->begin),
                                   .records = trail->records,
                                   .written = trail->end,
                                   .names = trail->name_count - 2,
                                   .oldest_us = -1};
    svi_trail_record record;
    for (uint64_t pos = 0; stats_out->oldest_us < 0 && svi_trail_next(trail, &pos, &record);)
        stats_out->oldest_us = record.at_us;
}
