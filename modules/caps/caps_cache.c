/* Infos that were verified, for all sessions of the host: how many are kept, and which go. */
#include "caps.h"

#include <stdlib.h>

#define OWNER SV_STR("/") /* of the index */
#define DAY SV_STR("day") /* row beside an info: when it was used last, as in the index */
#define DAY_MS (24 * 3600 * INT64_C(1000))

/* One info as the index has it. */
typedef struct entry {
    sv_str key;
    int64_t day, bytes;
    bool in_use; /* a session shows it */
} entry;

static int64_t today(void)
{
    return sv->now_ms() / DAY_MS;
}

/* Decimal digits at the front of *text; takes them and the blank behind them off. */
static int64_t number(sv_str *text)
{
    int64_t value = 0;
    while (text->n > 0 && *text->p >= '0' && *text->p <= '9' && value < INT64_MAX / 100) {
        value = 10 * value + (*text->p - '0');
        *text = (sv_str){text->p + 1, text->n - 1};
    }
    if (text->n > 0) *text = (sv_str){text->p + 1, text->n - 1};
    return value;
}

static sv_rows *index_rows(sv_event *ev, const caps *me)
{
    return sv->rows(ev, me->index, OWNER);
}

bool caps_cache_is_at_hand(sv_event *ev, const caps *me)
{
    return index_rows(ev, me) != NULL;
}

/* Who goes first: what nobody shows now, and of that what was used longest ago. */
static int compare(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->in_use != y->in_use) return x->in_use ? 1 : -1;
    return (x->day > y->day) - (x->day < y->day);
}

/* All but the one with this key. */
static entry *read_index(sv_event *ev, const caps *me, sv_str but, size_t *count_out)
{
    sv_rows *rows = index_rows(ev, me);
    entry *entries = sv->scratch(ev, (sv->row_count(rows) + 1) * sizeof *entries);
    size_t count = 0;
    sv_str key = SV_STR_NONE, value;
    while (sv->row_next(rows, &key, &value)) {
        if (sv_str_eq(key, but)) continue;
        entry *e = &entries[count++];
        *e = (entry){.key = key, .in_use = sv->rows_held(ev, me->infos, key)};
        e->day = number(&value);
        e->bytes = number(&value);
    }
    if (count > 1) qsort(entries, count, sizeof *entries, compare);
    *count_out = count;
    return entries;
}

/* Lets entries go until one more of these bytes has room. */
static void make_room(sv_event *ev, const caps *me, sv_str key, int64_t bytes)
{
    size_t count;
    entry *entries = read_index(ev, me, key, &count);
    int64_t left = (int64_t)count, sum = bytes;
    const int64_t oldest = today() - me->age_ms / DAY_MS;
    for (size_t i = 0; i < count; i++) sum += entries[i].bytes;
    for (size_t i = 0; i < count; i++) {
        const bool is_old = entries[i].day < oldest && !entries[i].in_use;
        if (!is_old && left < me->entries && sum <= me->bytes) continue;
        (void)sv->del_owner(ev, me->infos, entries[i].key);
        (void)sv->del(ev, me->index, OWNER, entries[i].key);
        left--;
        sum -= entries[i].bytes;
    }
}

/* Writes the day of the last use, which is now, to both places. */
static void note_use(sv_event *ev, const caps *me, sv_str key, int64_t bytes)
{
    const sv_str day = sv->format(ev, "%lld", (long long)today());
    const sv_str both = sv->format(ev, "%lld %lld", (long long)today(), (long long)bytes);
    (void)sv->put(ev, me->infos, key, DAY, day);
    (void)sv->put(ev, me->index, OWNER, key, both);
}

void caps_cache_put(sv_event *ev, const caps *me, sv_str key, sv_str record)
{
    const int64_t bytes = (int64_t)(record.n + 2 * key.n);
    make_room(ev, me, key, bytes);
    if (sv->put(ev, me->infos, key, SV_STR(SV_CAPS_ROW), record) == SV_OK)
        note_use(ev, me, key, bytes);
}

void caps_cache_touch(sv_event *ev, const caps *me, sv_str key, const sv_rows *rows)
{
    sv_str day, record;
    if (!sv->row(rows, SV_STR(SV_CAPS_ROW), &record) || !sv->has_space(ev)) return;
    if (sv->row(rows, DAY, &day) && number(&day) >= today()) return;
    note_use(ev, me, key, (int64_t)(record.n + 2 * key.n));
}
