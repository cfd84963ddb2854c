/* Links in memory: pairs of byte pipes for the stage and for tests. Readiness is level-triggered, as with sockets, and told
 * only by svi_link_pairs_run, in the order in which the pairs were made.
 *
 * What is written stands with its reader at once, or travels: then it is a piece that arrives when it is due. */
#include "net/net_link.h"

#include <errno.h>

#include "base/base_assert.h"
#include "base/base_str.h"

#define END_MAGIC 0x4d454d4cu

typedef struct mem_pair mem_pair;

/* How far the other end has ended, as far as it is known here. */
typedef enum ending { END_NOT, END_SHUT, END_CLOSED } ending;

/* Bytes on their way, or an end. */
typedef struct piece {
    struct piece *next;
    int64_t due_us;
    ending end; /* END_NOT: bytes */
    size_t n;
    char bytes[];
} piece;

/* One end. `in` holds what came from the other end and this one has not read. */
typedef struct mem_end {
    svi_link link;
    uint32_t magic;
    mem_pair *pair;
    svi_buf in;
    size_t in_read; /* bytes at the front of `in` already read */
    piece *way, **way_end; /* what comes after that: none before the one that was sent before it */
    size_t way_bytes;
    ending ended;
    bool want_read, want_write;
    bool shut; /* this end sent its end of file */
    bool silent, closed;
} mem_end;

struct mem_pair {
    svi_link_pairs *pairs;
    mem_pair *next;
    mem_end ends[2];
    size_t window_bytes;
    bool cut;
};

struct svi_link_pairs {
    svi_acct *acct;
    const svi_plat *plat; /* NULL: none */
    svi_link_nature nature;
    mem_pair *first;
    bool running;
};

static mem_end *end_of(svi_link *link)
{
    mem_end *end = (mem_end *)link;
    SV_CHECK(end, END_MAGIC);
    return end;
}

static mem_end *other(const mem_end *end)
{
    mem_pair *pair = end->pair;
    return end == &pair->ends[0] ? &pair->ends[1] : &pair->ends[0];
}

/* --- the way ------------------------------------------------------------------------------------------------ */

static int64_t now_us(const svi_link_pairs *pairs)
{
    return pairs->plat != NULL ? pairs->plat->mono_us(pairs->plat->ctx) : 0;
}

/* A number of that range. */
static uint64_t drawn(const svi_link_pairs *pairs, uint64_t min, uint64_t max)
{
    uint64_t bits;
    if (max <= min) return min;
    pairs->plat->random(pairs->plat->ctx, &bits, sizeof bits);
    return min + bits % (max - min + 1);
}

static size_t limited(const svi_link_pairs *pairs, size_t n, size_t max)
{
    if (max == 0) return n;
    const size_t most = pairs->plat != NULL ? (size_t)drawn(pairs, 1, max) : max;
    return n < most ? n : most;
}

static size_t unread(const mem_end *end)
{
    return end->in.len - end->in_read;
}

static void drop_in(mem_end *end)
{
    svi_buf_free(&end->in);
    end->in_read = 0;
    while (end->way != NULL) {
        piece *gone = end->way;
        end->way = gone->next;
        svi_free(gone);
    }
    end->way_end = &end->way;
    end->way_bytes = 0;
}

static void take_in(mem_end *end, ending ends, sv_str bytes)
{
    if (ends > end->ended) end->ended = ends;
    if (bytes.n > 0) svi_buf_put(&end->in, bytes);
}

/* What is due by now comes in. */
static void arrive(mem_end *end)
{
    while (end->way != NULL && end->way->due_us <= now_us(end->pair->pairs)) {
        piece *p = end->way;
        end->way = p->next;
        if (end->way == NULL) end->way_end = &end->way;
        end->way_bytes -= p->n;
        take_in(end, p->end, (sv_str){p->bytes, p->n});
        svi_free(p);
    }
}

/* Towards `end`. */
static void convey(mem_end *end, ending ends, sv_str bytes)
{
    const svi_link_pairs *pairs = end->pair->pairs;
    const svi_link_nature *how = &pairs->nature;
    if (end->closed && !end->silent) return;
    int64_t due_us = now_us(pairs);
    if (pairs->plat != NULL) due_us += (int64_t)drawn(pairs, (uint64_t)how->late_min_us, (uint64_t)how->late_max_us);
    if (end->way == NULL && due_us <= now_us(pairs)) {
        take_in(end, ends, bytes);
        return;
    }
    piece *p = svi_alloc_raw(pairs->acct, sizeof *p + bytes.n);
    *p = (piece){.due_us = due_us, .end = ends, .n = bytes.n};
    if (bytes.n > 0) memcpy(p->bytes, bytes.p, bytes.n);
    *end->way_end = p;
    end->way_end = &p->next;
    end->way_bytes += bytes.n;
}

/* --- what an owner does ------------------------------------------------------------------------------------- */

static ssize_t mem_read(svi_link *link, void *to, size_t n)
{
    mem_end *end = end_of(link);
    if (end->pair->cut) return -ECONNRESET;
    if (end->silent) return -EAGAIN;
    arrive(end);
    const size_t have = unread(end);
    if (have == 0) return end->ended != END_NOT ? 0 : -EAGAIN;
    n = limited(end->pair->pairs, n < have ? n : have, end->pair->pairs->nature.max_read);
    memcpy(to, end->in.data + end->in_read, n);
    end->in_read += n;
    if (end->in_read == end->in.len) {
        svi_buf_free(&end->in);
        end->in_read = 0;
    }
    return (ssize_t)n;
}

/* Bytes that the other end would still take. */
static size_t room_of(const mem_end *end)
{
    const mem_end *peer = other(end);
    const size_t held = unread(peer) + peer->way_bytes;
    return held < end->pair->window_bytes ? end->pair->window_bytes - held : 0;
}

static ssize_t mem_write(svi_link *link, const void *from, size_t n)
{
    mem_end *end = end_of(link);
    if (end->pair->cut) return -ECONNRESET;
    arrive(end);
    if (end->shut || end->ended == END_CLOSED) return -EPIPE;
    const size_t room = room_of(end);
    if (room == 0) return -EAGAIN;
    n = limited(end->pair->pairs, n < room ? n : room, end->pair->pairs->nature.max_write);
    if (!end->silent) convey(other(end), END_NOT, (sv_str){from, n});
    return (ssize_t)n;
}

static void mem_want(svi_link *link, bool read, bool write)
{
    mem_end *end = end_of(link);
    end->want_read = read;
    end->want_write = write;
}

static void mem_shut(svi_link *link)
{
    mem_end *end = end_of(link);
    if (!end->shut && !end->silent) convey(other(end), END_SHUT, SV_STR_NONE);
    end->shut = true;
}

static void pair_free(mem_pair *pair)
{
    for (int i = 0; i < 2; i++) drop_in(&pair->ends[i]);
    svi_free(pair);
}

/* Frees pairs of which both ends are closed; not while a run walks the list. */
static void sweep(svi_link_pairs *pairs)
{
    mem_pair **at = &pairs->first;
    while (*at != NULL) {
        mem_pair *pair = *at;
        if (pair->ends[0].closed && pair->ends[1].closed) {
            *at = pair->next;
            pair_free(pair);
        } else {
            at = &pair->next;
        }
    }
}

/* What a silent end has not read fills the window on. */
static void mem_close(svi_link *link)
{
    mem_end *end = end_of(link);
    SV_ASSERT(!end->closed);
    if (!end->silent) {
        convey(other(end), END_CLOSED, SV_STR_NONE);
        drop_in(end);
    }
    end->closed = true;
    end->link.ready = NULL;
    if (other(end)->closed && !end->pair->pairs->running) sweep(end->pair->pairs);
}

static const svi_link_ops mem_ops = {
    .read = mem_read,
    .write = mem_write,
    .want = mem_want,
    .shut = mem_shut,
    .close = mem_close,
};

svi_link_pairs *svi_link_pairs_new(svi_acct *acct)
{
    svi_link_pairs *pairs = svi_alloc(acct, sizeof *pairs);
    pairs->acct = acct;
    return pairs;
}

void svi_link_pairs_free(svi_link_pairs **pairs)
{
    if (*pairs == NULL) return;
    SV_ASSERT(!(*pairs)->running);
    while ((*pairs)->first != NULL) {
        mem_pair *pair = (*pairs)->first;
        (*pairs)->first = pair->next;
        pair_free(pair);
    }
    svi_free(*pairs);
    *pairs = NULL;
}

void svi_link_pair(svi_link_pairs *pairs, size_t window_bytes, svi_link **a_out, svi_link **b_out)
{
    SV_ASSERT(window_bytes > 0);
    mem_pair *pair = svi_alloc(pairs->acct, sizeof *pair);
    pair->pairs = pairs;
    pair->window_bytes = window_bytes;
    for (int i = 0; i < 2; i++) {
        mem_end *end = &pair->ends[i];
        end->link.ops = &mem_ops;
        end->magic = END_MAGIC;
        end->pair = pair;
        svi_buf_init(&end->in, pairs->acct);
        end->way_end = &end->way;
    }
    mem_pair **at = &pairs->first;
    while (*at != NULL) at = &(*at)->next;
    *at = pair;
    *a_out = &pair->ends[0].link;
    *b_out = &pair->ends[1].link;
}

static bool tell(mem_end *end)
{
    if (end->closed || end->link.ready == NULL || (end->silent && !end->pair->cut)) return false;
    const bool lost = end->pair->cut || end->ended == END_CLOSED;
    const bool readable = end->want_read && (unread(end) > 0 || lost || end->ended != END_NOT);
    const bool writable = end->want_write && (lost || room_of(end) > 0);
    if (!readable && !writable) return false;
    end->link.ready(end->link.ctx, readable, writable);
    return true;
}

size_t svi_link_pairs_run(svi_link_pairs *pairs)
{
    SV_ASSERT(!pairs->running);
    size_t told = 0;
    pairs->running = true;
    for (mem_pair *pair = pairs->first; pair != NULL; pair = pair->next)
        for (int i = 0; i < 2; i++) {
            arrive(&pair->ends[i]);
            told += tell(&pair->ends[i]) ? 1 : 0;
        }
    pairs->running = false;
    sweep(pairs);
    return told;
}

/* --- the network -------------------------------------------------------------------------------------------- */

void svi_link_pairs_chop(svi_link_pairs *pairs, size_t max_read)
{
    pairs->nature.max_read = max_read;
}

void svi_link_pairs_set_plat(svi_link_pairs *pairs, const svi_plat *plat)
{
    pairs->plat = plat;
}

void svi_link_pairs_set_nature(svi_link_pairs *pairs, const svi_link_nature *nature)
{
    SV_ASSERT(nature->late_min_us >= 0 && nature->late_min_us <= nature->late_max_us);
    pairs->nature = *nature;
}

int64_t svi_link_pairs_due_us(const svi_link_pairs *pairs)
{
    int64_t due_us = INT64_MAX;
    for (const mem_pair *pair = pairs->first; pair != NULL; pair = pair->next)
        for (int i = 0; i < 2; i++) {
            const piece *p = pair->ends[i].way;
            if (p != NULL && p->due_us < due_us) due_us = p->due_us;
        }
    return due_us;
}

static void cut(mem_pair *pair)
{
    pair->cut = true;
    for (int i = 0; i < 2; i++) drop_in(&pair->ends[i]);
}

void svi_link_cut(svi_link *link)
{
    cut(end_of(link)->pair);
}

void svi_link_pairs_cut(svi_link_pairs *pairs)
{
    for (mem_pair *pair = pairs->first; pair != NULL; pair = pair->next) cut(pair);
}

void svi_link_silence(svi_link *link)
{
    end_of(link)->silent = true;
}
