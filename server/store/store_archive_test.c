/* Archives held against a model: random adds, pages, purges, clocks and kills on the simulated disk; then single properties. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka needs the ones above first */
#include <cmocka.h>

#include "base/base_str.h"
#include "store/store_archive.h"
#include "store/store_engine.h"

enum { OWNERS = 4, CONTACTS = 3, KNOWN_MAX = 6000, OPEN_MAX = 4, STANZA_BYTES = 200 };

static const char *const owners[OWNERS] = {"romeo", "juliet", "nurse", "room/coven"};
static const char *const contacts[CONTACTS] = {"mercutio@example.net", "tybalt@example.net", "paris@example.org"};
static const char *const places[2] = {"street", "home"};

typedef struct known {
    int owner, contact, resource;
    uint32_t flags;
    uint64_t place, unit; /* number of the unit; 0: open */
    int slot;             /* of the open unit */
    bool burnt, purged;
    int64_t when_ms; /* 0: not read yet */
    char stanza[STANZA_BYTES];
} known;

typedef struct world {
    uint64_t rng;
    svi_plat_virtual plat;
    svi_sim_disk *disk;
    svi_engine *engine;
    svi_store *store;
    svi_archives *archives;
    svi_archive *archive, *other;
    svi_unit *open[OPEN_MAX];
    known *all;
    size_t count;
    uint64_t newest; /* place of all lives */
    int pages, held_back, purges;
    /* what came */
    bool has_come;
    sv_status status;
} world;

static svi_acct books;

static uint64_t rnd(world *w, uint64_t below)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return (w->rng >> 11) % below;
}

static void settle(world *w)
{
    while (svi_store_committed(w->store) < svi_store_submitted(w->store)) (void)svi_store_poll(w->store);
}

static void start(world *w)
{
    sv_err err = {.text = ""};
    w->engine = svi_engine_sim(&books, w->disk);
    const svi_store_config config = {.engine = w->engine, .acct = &books, .plat = &w->plat.plat, .fold_ops = 40};
    assert_int_equal(svi_store_open(&config, &w->store, &err), SV_OK);
    assert_int_equal(svi_archives_new(w->store, &books, &w->plat.plat, SV_STR("secret"), &w->archives, &err), SV_OK);
    assert_int_equal(svi_archive_open(w->archives, SV_STR("host/archive/messages"), &w->archive, &err), SV_OK);
    assert_int_equal(svi_archive_open(w->archives, SV_STR("host/muc/messages"), &w->other, &err), SV_OK);
    settle(w);
}

static void begin(world *w, uint64_t seed)
{
    *w = (world){.rng = seed * 0x9e3779b97f4a7c15u + 1, .disk = svi_sim_disk_new(&books)};
    w->all = calloc(KNOWN_MAX, sizeof *w->all);
    svi_plat_virtual_init(&w->plat, (uint32_t)seed);
    start(w);
}

static void drop_open(world *w)
{
    for (int i = 0; i < OPEN_MAX; i++) svi_unit_free(&w->open[i]);
    for (size_t i = 0; i < w->count; i++)
        if (w->all[i].unit == 0) w->all[i].burnt = true;
}

static void stop(world *w)
{
    drop_open(w);
    svi_archives_close(w->archives);
    svi_store_close(&w->store);
    svi_archives_free(&w->archives);
}

static void finish(world *w)
{
    stop(w);
    svi_sim_disk_free(&w->disk);
    free(w->all);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

/* What a kill leaves: units that were not committed are gone. */
static void kill(world *w)
{
    drop_open(w);
    svi_store_drop(&w->store);
    svi_archives_free(&w->archives);
    start(w);
}

static void kill_at(world *w, bool loses)
{
    if (!loses) settle(w);
    const uint64_t committed = svi_store_committed(w->store);
    svi_engine_sim_plan(w->engine)->dead = true;
    kill(w);
    for (size_t i = 0; loses && i < w->count; i++)
        if (w->all[i].unit > committed) w->all[i].burnt = true;
}

/* --- adding ---------------------------------------------------------------------------------------- */

static known *know(world *w, int owner, int contact, uint64_t place, const char *stanza)
{
    assert_true(w->count < KNOWN_MAX);
    assert_true(place > w->newest); /* never twice, never back: over kills and clocks */
    w->newest = place;
    known *k = &w->all[w->count++];
    *k = (known){.owner = owner, .contact = contact, .place = place};
    (void)snprintf(k->stanza, sizeof k->stanza, "%s", stanza);
    return k;
}

static svi_archive_entry make_entry(world *w, int owner, int contact, int resource, uint32_t flags, char to[100])
{
    (void)w;
    (void)snprintf(to, 100, "%s/%s", contacts[contact], places[resource]);
    return (svi_archive_entry){
        .owner = sv_str_of(owners[owner]), .with = sv_str_of(to), .bare = sv_str_of(contacts[contact]), .flags = flags};
}

/* A message for one owner or for two, into the unit. */
static void add(world *w, int slot)
{
    char text[STANZA_BYTES], with[100];
    const int owner = (int)rnd(w, OWNERS), contact = (int)rnd(w, CONTACTS), resource = (int)rnd(w, 2);
    const uint32_t flags = (uint32_t)rnd(w, 4);
    (void)snprintf(text, sizeof text, "<message n='%zu'>%.*s</message>", w->count, (int)rnd(w, 100),
                   "wherefore art thou Romeo? Deny thy father and refuse thy name; Or, if thou wilt not, be but sworn my love");
    const svi_archive_entry entry = make_entry(w, owner, contact, resource, flags, with);
    uint64_t place, second;
    const sv_status status = svi_archive_add(w->archive, w->open[slot], &entry, sv_str_of(text), &place);
    if (status == SV_EAGAIN) { /* nothing may be given before the ceiling is committed */
        settle(w);
        return;
    }
    assert_int_equal(status, SV_OK);
    known *k = know(w, owner, contact, place, text);
    k->resource = resource;
    k->flags = flags;
    k->slot = slot;
    if (rnd(w, 2) == 0) return;
    const int holder = (owner + 1) % OWNERS;
    const svi_archive_entry held = make_entry(w, holder, contact, resource, flags, with);
    const sv_status again = svi_archive_hold(w->archive, w->open[slot], &held, place, strlen(text), &second);
    if (again == SV_EAGAIN) return;
    assert_int_equal(again, SV_OK);
    k = know(w, holder, contact, second, text);
    k->resource = resource;
    k->flags = flags;
    k->slot = slot;
}

static void hand_in(world *w, int slot)
{
    if (!w->open[slot]) return;
    const bool is_empty = svi_unit_is_empty(w->open[slot]);
    const uint64_t number = svi_unit_submit(&w->open[slot]);
    for (size_t i = 0; i < w->count && !is_empty; i++)
        if (w->all[i].unit == 0 && !w->all[i].burnt && w->all[i].slot == slot) w->all[i].unit = number;
}

static void throw_away(world *w, int slot)
{
    svi_unit_free(&w->open[slot]);
    for (size_t i = 0; i < w->count; i++)
        if (w->all[i].unit == 0 && w->all[i].slot == slot) w->all[i].burnt = true;
}

static void write(world *w)
{
    const int slot = (int)rnd(w, OPEN_MAX);
    if (!w->open[slot]) w->open[slot] = svi_unit_new(w->store);
    add(w, slot);
    const uint64_t dice = rnd(w, 10);
    if (dice < 7)
        hand_in(w, slot);
    else if (dice == 7)
        throw_away(w, slot);
}

/* --- pages ----------------------------------------------------------------------------------------- */

typedef struct asked {
    world *w;
    svi_archive_query query;
    int owner, contact, resource;
    char with[100];
    bool has_come;
    uint64_t until; /* newest place when it was asked: entries behind may be there or not */
} asked;

static bool is_there(const known *k)
{
    return k->unit != 0 && !k->burnt && !k->purged;
}

static bool matches(const asked *a, const known *k)
{
    const svi_archive_query *q = &a->query;
    if (!is_there(k) || k->owner != a->owner || k->place <= q->after || k->place >= q->before) return false;
    if (q->with.n > 0 && (k->contact != a->contact || (q->with_resource && k->resource != a->resource))) return false;
    if ((k->flags & q->without) != 0) return false;
    if (q->start_ms == INT64_MIN && q->end_ms == INT64_MAX) return true;
    assert_true(k->when_ms != 0); /* times are asked for only when all are known */
    return k->when_ms >= q->start_ms && k->when_ms <= q->end_ms;
}

static void page_came(void *ctx, sv_status status, svi_archive_page *page)
{
    asked *a = ctx;
    const svi_archive_query *q = &a->query;
    a->has_come = true;
    assert_int_equal(status, SV_OK);
    const known *want[KNOWN_MAX];
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < a->w->count; i++)
        if (matches(a, &a->w->all[i])) want[n++] = &a->w->all[i];
    size_t taken = 0;
    while (taken < n && taken < q->max) {
        const size_t size = strlen(want[q->is_backward ? n - 1 - taken : taken]->stanza);
        if (taken > 0 && bytes + size > q->max_bytes) break;
        bytes += size;
        taken++;
    }
    assert_int_equal(page->count, taken);
    assert_int_equal(page->is_complete, taken == n);
    for (size_t i = 0; i < taken; i++) {
        known *k = (known *)(uintptr_t)want[q->is_backward ? n - taken + i : i];
        assert_int_equal(page->items[i].place, k->place);
        assert_int_equal(page->items[i].flags, k->flags);
        assert_true(sv_str_eq(page->items[i].stanza, sv_str_of(k->stanza)));
        if (k->when_ms != 0) assert_int_equal(page->items[i].when_ms, k->when_ms);
        k->when_ms = page->items[i].when_ms;
    }
    a->w->pages++;
}

static uint64_t some_place(world *w, uint64_t otherwise)
{
    return w->count > 0 && rnd(w, 2) == 0 ? w->all[rnd(w, w->count)].place : otherwise;
}

static void wait_for(world *w, const bool *has_come)
{
    for (int i = 0; !*has_come; i++) {
        assert_true(i < 10000);
        (void)svi_store_poll(w->store);
    }
}

static asked make_query(world *w)
{
    asked a = {.w = w, .owner = (int)rnd(w, OWNERS), .contact = (int)rnd(w, CONTACTS), .resource = (int)rnd(w, 2)};
    a.query = (svi_archive_query){.owner = sv_str_of(owners[a.owner]),
                                  .after = some_place(w, 0),
                                  .before = some_place(w, UINT64_MAX),
                                  .start_ms = INT64_MIN,
                                  .end_ms = INT64_MAX,
                                  .without = rnd(w, 3) == 0 ? 1u << rnd(w, 2) : 0,
                                  .with_resource = rnd(w, 2) == 0,
                                  .max = 1 + rnd(w, 20),
                                  .max_bytes = rnd(w, 3) == 0 ? 1 + rnd(w, 1000) : SVI_ARCHIVE_PAGE_BYTES,
                                  .is_backward = rnd(w, 2) == 0};
    return a;
}

static void read_page(world *w)
{
    for (int i = 0; i < OPEN_MAX; i++) hand_in(w, i);
    asked a = make_query(w);
    if (rnd(w, 2) == 0) {
        (void)snprintf(a.with, sizeof a.with, a.query.with_resource ? "%s/%s" : "%s", contacts[a.contact], places[a.resource]);
        a.query.with = sv_str_of(a.with);
    }
    svi_archive_read(w->archive, &a.query, page_came, &a);
    assert_false(a.has_come);
    wait_for(w, &a.has_come);
}

/* Everything of everybody, so that times are known. */
static void read_all(world *w)
{
    for (int i = 0; i < OPEN_MAX; i++) hand_in(w, i);
    for (int owner = 0; owner < OWNERS; owner++) {
        uint64_t after = 0;
        for (bool more = true; more;) {
            asked a = {.w = w, .owner = owner};
            a.query = (svi_archive_query){.owner = sv_str_of(owners[owner]), .after = after, .before = UINT64_MAX,
                                          .start_ms = INT64_MIN, .end_ms = INT64_MAX, .max = 500,
                                          .max_bytes = SVI_ARCHIVE_PAGE_BYTES};
            svi_archive_read(w->archive, &a.query, page_came, &a);
            wait_for(w, &a.has_come);
            more = false;
            size_t n = 0;
            for (size_t i = 0; i < w->count; i++)
                if (is_there(&w->all[i]) && w->all[i].owner == owner && w->all[i].place > after && n++ < 500) {
                    if (n == 500) more = true;
                    if (n == 500) after = w->all[i].place;
                }
        }
    }
}

static void read_times(world *w)
{
    read_all(w);
    int64_t last[OWNERS] = {0};
    for (size_t i = 0; i < w->count; i++) { /* order of places is order of times, but for what a kill hides */
        if (!is_there(&w->all[i])) continue;
        assert_true(w->all[i].when_ms + 60000 >= last[w->all[i].owner]);
        if (w->all[i].when_ms > last[w->all[i].owner]) last[w->all[i].owner] = w->all[i].when_ms;
    }
    for (int i = 0; i < 10; i++) {
        asked a = make_query(w);
        const known *from = &w->all[rnd(w, w->count)], *to = &w->all[rnd(w, w->count)];
        if (rnd(w, 3) > 0 && from->when_ms != 0) a.query.start_ms = from->when_ms + (int64_t)rnd(w, 3) - 1;
        if (rnd(w, 3) > 0 && to->when_ms != 0) a.query.end_ms = to->when_ms + (int64_t)rnd(w, 3) - 1;
        svi_archive_read(w->archive, &a.query, page_came, &a);
        wait_for(w, &a.has_come);
    }
}

/* --- purges ---------------------------------------------------------------------------------------- */

typedef struct purging {
    bool has_come;
    svi_archive_purged purged;
} purging;

static void purged(void *ctx, sv_status status, const svi_archive_purged *what)
{
    purging *p = ctx;
    assert_int_equal(status, SV_OK);
    p->has_come = true;
    p->purged = *what;
}

static svi_archive_purged purge(world *w, int owner, svi_archive_bounds bounds)
{
    purging p = {.has_come = false};
    svi_archive_purge(w->archive, sv_str_of(owners[owner]), &bounds, purged, &p);
    assert_false(p.has_come);
    wait_for(w, &p.has_come);
    settle(w);
    w->purges++;
    return p.purged;
}

static void purge_some(world *w)
{
    const bool by_age = w->count > 0 && rnd(w, 3) == 0;
    if (by_age) read_all(w); /* so that times are known */
    for (int i = 0; i < OPEN_MAX; i++) hand_in(w, i);
    const int owner = (int)rnd(w, OWNERS);
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < w->count; i++) n += is_there(&w->all[i]) && w->all[i].owner == owner;
    svi_archive_bounds bounds = {.before_ms = INT64_MIN, .max_count = UINT64_MAX, .max_bytes = UINT64_MAX};
    if (rnd(w, 2) == 0) bounds.max_count = rnd(w, n + 2);
    if (rnd(w, 2) == 0) bounds.max_bytes = rnd(w, 100 * n + 2);
    if (by_age) bounds.before_ms = w->all[rnd(w, w->count)].when_ms;
    if (rnd(w, 2) == 0) bounds.portion = 1 + rnd(w, 200);
    size_t kept = 0, gone = 0;
    uint64_t up_to = 0;
    for (size_t i = w->count; i-- > 0 && up_to == 0;) {
        const known *k = &w->all[i];
        if (!is_there(k) || k->owner != owner) continue;
        if (kept >= bounds.max_count || bytes + strlen(k->stanza) > bounds.max_bytes) up_to = k->place;
        kept++;
        bytes += strlen(k->stanza);
    }
    const svi_archive_purged did = purge(w, owner, bounds);
    bool more = false;
    for (size_t i = 0; i < w->count; i++) {
        known *k = &w->all[i];
        if (!is_there(k) || k->owner != owner) continue;
        if (k->place > up_to && !(by_age && k->when_ms < bounds.before_ms)) break;
        if (bounds.portion > 0 && gone >= bounds.portion) {
            more = true;
            break;
        }
        k->purged = true;
        gone++;
    }
    assert_int_equal(did.entries, gone);
    if (more) assert_true(did.more);
}

static void rows_came(void *ctx, sv_status status, svi_rows *rows)
{
    size_t *count = ctx;
    assert_int_equal(status, SV_OK);
    *count = svi_rows_count(rows);
    svi_rows_unref(&rows);
}

static size_t count_rows(world *w, const char *name, sv_str owner)
{
    sv_err err;
    svi_map *map;
    size_t count = SIZE_MAX;
    assert_int_equal(svi_store_map(w->store, sv_str_of(name), 1, &map, &err), SV_OK);
    svi_rows_load(map, owner, rows_came, &count);
    while (count == SIZE_MAX) (void)svi_store_poll(w->store);
    return count;
}

/* There is a body for each message that somebody has, and no other. */
static void check_bodies(world *w)
{
    for (int i = 0; i < OPEN_MAX; i++) hand_in(w, i);
    size_t want = 0;
    for (size_t i = 0; i < w->count; i++) {
        if (!is_there(&w->all[i])) continue;
        bool is_first = true;
        for (size_t j = i; is_first && j-- > 0 && j + 2 > i;) /* its other holder comes just before it */
            is_first = !(is_there(&w->all[j]) && strcmp(w->all[i].stanza, w->all[j].stanza) == 0);
        want += is_first;
    }
    assert_int_equal(count_rows(w, "host/archive/messages-bodies", SV_STR("/")), want);
}

/* --- clocks ---------------------------------------------------------------------------------------- */

static void let_time_pass(world *w)
{
    static const int64_t steps[] = {1, 1000, 50000, 7000000, 400000000};
    svi_plat_virtual_advance(&w->plat, steps[rnd(w, 5)]);
    if (rnd(w, 20) == 0) w->plat.wall_base_us -= (int64_t)rnd(w, 600000000); /* set back, by less than an hour in all */
    if (rnd(w, 20) == 0) w->plat.wall_base_us += (int64_t)rnd(w, 900000000);
}

static void random_life(uint64_t seed)
{
    world w;
    begin(&w, seed);
    for (int i = 0; i < 1500; i++) {
        const uint64_t dice = rnd(&w, 100);
        if (dice < 60)
            write(&w);
        else if (dice < 80)
            read_page(&w);
        else if (dice < 83)
            let_time_pass(&w);
        else if (dice < 86)
            purge_some(&w);
        else if (dice == 86)
            kill_at(&w, rnd(&w, 2) == 0);
        else if (dice == 87 && w.count > 0)
            read_times(&w);
        else if (dice == 88)
            check_bodies(&w);
        else
            (void)svi_store_poll(w.store);
    }
    assert_true(w.pages > 100 && w.purges > 5);
    for (int i = 0; i < OPEN_MAX; i++) hand_in(&w, i);
    for (int i = 0; i < OWNERS; i++)
        (void)purge(&w, i, (svi_archive_bounds){.before_ms = INT64_MAX, .max_count = UINT64_MAX, .max_bytes = UINT64_MAX});
    assert_int_equal(count_rows(&w, "host/archive/messages-bodies", SV_STR("/")), 0);
    for (int i = 0; i < OWNERS; i++) assert_int_equal(count_rows(&w, "host/archive/messages", sv_str_of(owners[i])), 0);
    finish(&w);
}

static void archives_are_what_was_added(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) random_life(seed);
}

/* --- single properties ------------------------------------------------------------------------------ */

static uint64_t add_one(world *w, svi_unit *unit, const char *owner, const char *stanza)
{
    const svi_archive_entry entry = {
        .owner = sv_str_of(owner), .with = SV_STR("paris@example.org/home"), .bare = SV_STR("paris@example.org")};
    uint64_t place = 0;
    assert_int_equal(svi_archive_add(w->archive, unit, &entry, sv_str_of(stanza), &place), SV_OK);
    return place;
}

static uint64_t add_now(world *w, const char *owner, const char *stanza)
{
    svi_unit *unit = svi_unit_new(w->store);
    const uint64_t place = add_one(w, unit, owner, stanza);
    (void)svi_unit_submit(&unit);
    return place;
}

typedef struct heard {
    bool has_come, is_complete;
    sv_status status;
    char text[400]; /* the stanzas, each with a blank behind it */
    uint64_t total;
} heard;

static void hear(void *ctx, sv_status status, svi_archive_page *page)
{
    heard *h = ctx;
    h->has_come = true;
    h->status = status;
    for (size_t i = 0; page && i < page->count; i++) {
        const sv_str stanza = page->items[i].stanza;
        const size_t n = strlen(h->text);
        (void)snprintf(h->text + n, sizeof h->text - n, "%.*s ", (int)stanza.n, stanza.p);
    }
    if (!page) return;
    h->is_complete = page->is_complete;
    h->total = page->total;
}

static svi_archive_query all_of(const char *owner)
{
    return (svi_archive_query){.owner = sv_str_of(owner), .before = UINT64_MAX, .start_ms = INT64_MIN, .end_ms = INT64_MAX, .max = 10};
}

static void polls(world *w)
{
    for (int i = 0; i < 20; i++) (void)svi_store_poll(w->store);
}

static void ask(world *w, const svi_archive_query *query, heard *h)
{
    *h = (heard){.has_come = false};
    svi_archive_read(w->archive, query, hear, h);
    assert_false(h->has_come);
    polls(w);
}

/* Otherwise whoever has seen the second message asks for what comes behind it, and never sees the first. */
static void a_page_waits_for_units_that_were_begun_before(void **state)
{
    (void)state;
    world w;
    begin(&w, 1);
    svi_unit *slow = svi_unit_new(w.store);
    (void)add_one(&w, slow, "romeo", "first");
    (void)add_now(&w, "romeo", "second");
    (void)add_now(&w, "juliet", "hers");
    svi_archive_query query = all_of("romeo");
    heard own, other, hers;
    query.own = slow;
    ask(&w, &query, &own);
    assert_true(own.has_come); /* who asks within the unit itself does not wait for it */
    query.own = NULL;
    ask(&w, &query, &other);
    assert_false(other.has_come);
    const svi_archive_query of_juliet = all_of("juliet");
    ask(&w, &of_juliet, &hers);
    assert_string_equal(hers.text, "hers ");
    svi_unit *slower = svi_unit_new(w.store);
    (void)add_one(&w, slower, "romeo", "third"); /* begun behind the question: not waited for */
    (void)add_now(&w, "romeo", "fourth");        /* and what is behind it is not shown either */
    (void)svi_unit_submit(&slow);
    polls(&w);
    assert_string_equal(other.text, "first second ");
    (void)svi_unit_submit(&slower);
    ask(&w, &query, &other);
    assert_string_equal(other.text, "first second third fourth ");
    finish(&w);
}

static void who_waits_is_told_when_the_server_ends(void **state)
{
    (void)state;
    world w;
    begin(&w, 1);
    svi_unit *slow = svi_unit_new(w.store);
    (void)add_one(&w, slow, "romeo", "first");
    const svi_archive_query query = all_of("romeo");
    heard h;
    ask(&w, &query, &h);
    assert_false(h.has_come);
    svi_archives_close(w.archives);
    assert_int_equal(h.status, SV_ECANCELED);
    svi_unit_free(&slow);
    svi_store_close(&w.store);
    svi_archives_free(&w.archives);
    svi_sim_disk_free(&w.disk);
    free(w.all);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

static void ids_are_known_to_whom_they_were_given_alone(void **state)
{
    (void)state;
    world w;
    begin(&w, 1);
    svi_unit *unit = svi_unit_new(w.store);
    const uint64_t burnt = add_one(&w, unit, "romeo", "never");
    svi_unit_free(&unit);
    const uint64_t place = add_now(&w, "romeo", "there");
    char id[SVI_ARCHIVE_ID], again[SVI_ARCHIVE_ID], of_burnt[SVI_ARCHIVE_ID];
    svi_archive_id(w.archive, SV_STR("romeo"), place, id);
    svi_archive_id(w.archive, SV_STR("romeo"), place, again);
    svi_archive_id(w.archive, SV_STR("romeo"), burnt, of_burnt);
    assert_memory_equal(id, again, sizeof id);
    uint64_t out = 0;
    assert_true(svi_archive_place(w.archive, SV_STR("romeo"), (sv_str){id, sizeof id}, &out));
    assert_int_equal(out, place);
    assert_true(svi_archive_place(w.archive, SV_STR("romeo"), (sv_str){of_burnt, sizeof of_burnt}, &out));
    assert_int_equal(out, burnt);
    assert_false(svi_archive_place(w.archive, SV_STR("juliet"), (sv_str){id, sizeof id}, &out));
    assert_false(svi_archive_place(w.other, SV_STR("romeo"), (sv_str){id, sizeof id}, &out));
    assert_false(svi_archive_place(w.archive, SV_STR("romeo"), (sv_str){id, sizeof id - 1}, &out));
    assert_false(svi_archive_place(w.archive, SV_STR("romeo"), SV_STR("0123456789abcdef0123456789abcdef"), &out));
    assert_false(svi_archive_place(w.archive, SV_STR("romeo"), SV_STR("0123456789ABCDEF0123456789abcdeg"), &out));
    assert_false(svi_archive_place(w.archive, SV_STR("romeo"), SV_STR_NONE, &out));
    /* what was burnt is a position, and no entry */
    svi_archive_query query = all_of("romeo");
    heard h;
    query.after = burnt;
    ask(&w, &query, &h);
    assert_string_equal(h.text, "there ");
    query.after = 0;
    query.places = &burnt;
    query.place_count = 1;
    ask(&w, &query, &h);
    assert_int_equal(h.status, SV_ENOTFOUND);
    /* the next start knows its own ids */
    kill_at(&w, false);
    assert_true(svi_archive_place(w.archive, SV_STR("romeo"), (sv_str){id, sizeof id}, &out));
    assert_int_equal(out, place);
    finish(&w);
}

static void entries_are_found_by_place(void **state)
{
    (void)state;
    world w;
    begin(&w, 1);
    const uint64_t a = add_now(&w, "romeo", "a"), b = add_now(&w, "romeo", "b"), c = add_now(&w, "romeo", "c");
    const uint64_t hers = add_now(&w, "juliet", "hers");
    const uint64_t wanted[] = {c, a, c}, wrong[] = {b, hers};
    svi_archive_query query = all_of("romeo");
    heard h;
    query.places = wanted;
    query.place_count = 3;
    ask(&w, &query, &h);
    assert_string_equal(h.text, "a c "); /* in order, each once */
    query.counts = true;
    ask(&w, &query, &h);
    assert_int_equal(h.total, 2);
    query.counts = false;
    query.places = wrong;
    query.place_count = 2;
    ask(&w, &query, &h);
    assert_int_equal(h.status, SV_ENOTFOUND);
    query = all_of("romeo");
    query.counts = true;
    query.after = a;
    ask(&w, &query, &h);
    assert_int_equal(h.total, 2);
    finish(&w);
}

/* A kill in the moment after a start, with a clock that is set back behind it, must not make a place be given twice. */
static void no_place_is_given_above_the_ceiling(void **state)
{
    (void)state;
    world w;
    begin(&w, 1);
    uint64_t newest = 0;
    for (int life = 0; life < 20; life++) {
        stop(&w);
        svi_engine *engine = svi_engine_sim(&books, w.disk);
        sv_err err;
        const svi_store_config config = {.engine = engine, .acct = &books, .plat = &w.plat.plat};
        assert_int_equal(svi_store_open(&config, &w.store, &err), SV_OK);
        svi_engine_sim_plan(engine)->hold = true;
        assert_int_equal(svi_archives_new(w.store, &books, &w.plat.plat, SV_STR("secret"), &w.archives, &err), SV_OK);
        assert_int_equal(svi_archive_open(w.archives, SV_STR("host/archive/messages"), &w.archive, &err), SV_OK);
        svi_unit *unit = svi_unit_new(w.store);
        const svi_archive_entry entry = {.owner = SV_STR("romeo"), .with = SV_STR("a@b"), .bare = SV_STR("a@b")};
        uint64_t place;
        assert_int_equal(svi_archive_add(w.archive, unit, &entry, SV_STR("x"), &place), SV_EAGAIN);
        svi_engine_sim_plan(engine)->hold = false;
        settle(&w);
        assert_int_equal(svi_archive_add(w.archive, unit, &entry, SV_STR("x"), &place), SV_OK);
        assert_true(place > newest);
        newest = place;
        svi_unit_free(&unit);
        svi_engine_sim_plan(engine)->dead = true;
        svi_store_drop(&w.store);
        svi_archives_free(&w.archives);
        w.plat.wall_base_us -= 3000000;
        start(&w);
    }
    finish(&w);
}

/* A backup knows an older counter; the clock has gone on. */
static void an_older_store_goes_on_with_the_clock(void **state)
{
    (void)state;
    world w;
    begin(&w, 1);
    const uint64_t place = add_now(&w, "romeo", "after the backup");
    stop(&w);
    svi_sim_disk_free(&w.disk);
    w.disk = svi_sim_disk_new(&books); /* as it was before anything was said */
    svi_plat_virtual_advance(&w.plat, 1000000);
    start(&w);
    assert_true(add_now(&w, "romeo", "after the restore") > place);
    finish(&w);
}

static void killed(void *ctx, sv_status status, const svi_archive_purged *what)
{
    (void)status, (void)what;
    ((purging *)ctx)->has_come = true;
}

/* Wherever a purge is killed, what is left is the newest part, with its bodies; and the next purge leaves no body behind. */
static void a_killed_purge_leaves_the_newest_part(void **state)
{
    (void)state;
    for (int polls_before = 0; polls_before < 24; polls_before++) {
        world w;
        begin(&w, 1);
        for (int i = 0; i < 300; i++) {
            char text[20];
            (void)snprintf(text, sizeof text, "%03d", i);
            svi_unit *unit = svi_unit_new(w.store);
            const uint64_t place = add_one(&w, unit, "romeo", text);
            const svi_archive_entry held = {.owner = SV_STR("juliet"), .with = SV_STR("r@h"), .bare = SV_STR("r@h")};
            uint64_t second;
            assert_int_equal(svi_archive_hold(w.archive, unit, &held, place, 3, &second), SV_OK);
            (void)svi_unit_submit(&unit);
        }
        settle(&w);
        const svi_archive_bounds all = {.before_ms = INT64_MAX, .max_count = UINT64_MAX, .max_bytes = UINT64_MAX};
        (void)purge(&w, 1, all); /* juliet's, so that romeo's take the bodies with them */
        assert_int_equal(count_rows(&w, "host/archive/messages-bodies", SV_STR("/")), 300);
        purging p = {.has_come = false};
        svi_archive_purge(w.archive, SV_STR("romeo"), &all, killed, &p);
        for (int i = 0; i < polls_before && !p.has_come; i++) (void)svi_store_poll(w.store);
        svi_engine_sim_plan(w.engine)->dead = true;
        svi_store_drop(&w.store);
        assert_true(p.has_come);
        svi_archives_free(&w.archives);
        start(&w);
        const size_t left = count_rows(&w, "host/archive/messages", SV_STR("romeo"));
        assert_int_equal(count_rows(&w, "host/archive/messages-bodies", SV_STR("/")), left);
        svi_archive_query query = all_of("romeo");
        heard h;
        query.max = 1;
        ask(&w, &query, &h);
        char first[20] = "";
        if (left > 0) (void)snprintf(first, sizeof first, "%03d ", 300 - (int)left);
        assert_string_equal(h.text, first);
        finish(&w);
    }
}

/* What is refused behind its being added is not there, whoever else was added for it. */
static void what_is_withdrawn_is_not_there(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) { /* hers, his, both */
        world w;
        begin(&w, 1);
        svi_unit *unit = svi_unit_new(w.store);
        const uint64_t his = add_one(&w, unit, "romeo", "said");
        const svi_archive_entry held = {.owner = SV_STR("juliet"), .with = SV_STR("r@h"), .bare = SV_STR("r@h")};
        uint64_t hers;
        assert_int_equal(svi_archive_hold(w.archive, unit, &held, his, 4, &hers), SV_OK);
        if (which != 1) svi_archive_withdraw(w.archive, unit, SV_STR("juliet"), hers);
        if (which != 0) svi_archive_withdraw(w.archive, unit, SV_STR("romeo"), his);
        svi_archive_withdraw(w.archive, unit, SV_STR("romeo"), hers + 1); /* what is not there */
        (void)svi_unit_submit(&unit);
        heard h;
        svi_archive_query query = all_of("romeo");
        ask(&w, &query, &h);
        assert_string_equal(h.text, which == 0 ? "said " : "");
        query = all_of("juliet");
        ask(&w, &query, &h);
        assert_string_equal(h.text, which == 1 ? "said " : "");
        assert_int_equal(count_rows(&w, "host/archive/messages-bodies", SV_STR("/")), which == 2 ? 0 : 1);
        const svi_archive_bounds all = {.before_ms = INT64_MAX, .max_count = UINT64_MAX, .max_bytes = UINT64_MAX};
        (void)purge(&w, which == 1 ? 1 : 0, all);
        assert_int_equal(count_rows(&w, "host/archive/messages-bodies", SV_STR("/")), 0);
        finish(&w);
    }
}

static void measured(void *ctx, sv_status status, const svi_archive_figures *figures)
{
    assert_int_equal(status, SV_OK);
    *(svi_archive_figures *)ctx = *figures;
}

static void an_archive_is_measured(void **state)
{
    (void)state;
    world w;
    begin(&w, 1);
    svi_archive_figures f = {.entries = 9};
    svi_archive_measure(w.archive, SV_STR("romeo"), true, measured, &f);
    polls(&w);
    assert_int_equal(f.entries, 0);
    const uint64_t first = add_now(&w, "romeo", "a");
    (void)add_now(&w, "juliet", "hers");
    (void)add_now(&w, "romeo", "bb");
    const uint64_t last = add_now(&w, "romeo", "ccc");
    svi_archive_measure(w.archive, SV_STR("romeo"), true, measured, &f);
    polls(&w);
    assert_int_equal(f.entries, 3);
    assert_int_equal(f.bytes, 6);
    assert_true(f.first == first && f.last == last);
    svi_archive_measure(w.archive, SV_STR("romeo"), false, measured, &f);
    polls(&w);
    assert_true(f.first == first && f.last == last);
    finish(&w);
}

static void what_is_too_large_is_refused(void **state)
{
    (void)state;
    world w;
    begin(&w, 1);
    char *text = calloc(1, SVI_ARCHIVE_STANZA_MAX + 2);
    memset(text, 'x', SVI_ARCHIVE_STANZA_MAX + 1);
    const svi_archive_entry entry = {.owner = SV_STR("romeo"), .with = SV_STR("a@b"), .bare = SV_STR("a@b")};
    uint64_t place;
    svi_unit *unit = svi_unit_new(w.store);
    assert_int_equal(svi_archive_add(w.archive, unit, &entry, (sv_str){text, SVI_ARCHIVE_STANZA_MAX + 1}, &place), SV_ELIMIT);
    assert_int_equal(svi_archive_add(w.archive, unit, &entry, (sv_str){text, SVI_ARCHIVE_STANZA_MAX}, &place), SV_OK);
    assert_int_equal(svi_archive_hold(w.archive, unit, &entry, place + 1, 1, &place), SV_ENOTFOUND);
    svi_unit_free(&unit);
    free(text);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archives_are_what_was_added),
        cmocka_unit_test(a_page_waits_for_units_that_were_begun_before),
        cmocka_unit_test(who_waits_is_told_when_the_server_ends),
        cmocka_unit_test(ids_are_known_to_whom_they_were_given_alone),
        cmocka_unit_test(entries_are_found_by_place),
        cmocka_unit_test(no_place_is_given_above_the_ceiling),
        cmocka_unit_test(an_older_store_goes_on_with_the_clock),
        cmocka_unit_test(a_killed_purge_leaves_the_newest_part),
        cmocka_unit_test(what_is_withdrawn_is_not_there),
        cmocka_unit_test(an_archive_is_measured),
        cmocka_unit_test(what_is_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
