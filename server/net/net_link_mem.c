/* Links in memory: pairs of byte pipes for the stage and for tests. Readiness is
 * level-triggered, as with sockets, and told only by svi_link_pairs_run, in the order in which
 * the pairs were made. */
#include "net/net_link.h"

#include <errno.h>

#include "base/base_assert.h"
#include "base/base_str.h"

#define END_MAGIC 0x4d454d4cu

typedef struct mem_pair mem_pair;

/* One end. `in` holds what the other end wrote and this one has not read. */
typedef struct mem_end {
    svi_link link;
    uint32_t magic;
    mem_pair *pair;
    svi_buf in;
    size_t in_read; /* bytes at the front of `in` already read */
    bool want_read, want_write;
    bool shut; /* this end sent its end of file */
    bool closed;
} mem_end;

struct mem_pair {
    svi_link_pairs *pairs;
    mem_pair *next;
    mem_end ends[2];
    size_t window_bytes;
};

struct svi_link_pairs {
    svi_acct *acct;
    mem_pair *first;
    size_t max_read;
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

static size_t unread(const mem_end *end)
{
    return end->in.len - end->in_read;
}

static ssize_t mem_read(svi_link *link, void *to, size_t n)
{
    mem_end *end = end_of(link);
    const size_t have = unread(end);
    if (have == 0) return other(end)->shut || other(end)->closed ? 0 : -EAGAIN;
    const size_t max = end->pair->pairs->max_read;
    if (n > have) n = have;
    if (max != 0 && n > max) n = max;
    memcpy(to, end->in.data + end->in_read, n);
    end->in_read += n;
    if (end->in_read == end->in.len) {
        svi_buf_free(&end->in);
        end->in_read = 0;
    }
    return (ssize_t)n;
}

static ssize_t mem_write(svi_link *link, const void *from, size_t n)
{
    mem_end *end = end_of(link);
    mem_end *peer = other(end);
    if (end->shut || peer->closed) return -EPIPE;
    const size_t held = unread(peer);
    const size_t room = held < end->pair->window_bytes ? end->pair->window_bytes - held : 0;
    if (room == 0) return -EAGAIN;
    if (n > room) n = room;
    svi_buf_put(&peer->in, (sv_str){from, n});
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
    end_of(link)->shut = true;
}

static void pair_free(mem_pair *pair)
{
    for (int i = 0; i < 2; i++) svi_buf_free(&pair->ends[i].in);
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

static void mem_close(svi_link *link)
{
    mem_end *end = end_of(link);
    SV_ASSERT(!end->closed);
    end->closed = true;
    end->link.ready = NULL;
    svi_buf_free(&end->in);
    end->in_read = 0;
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
    }
    mem_pair **at = &pairs->first;
    while (*at != NULL) at = &(*at)->next;
    *at = pair;
    *a_out = &pair->ends[0].link;
    *b_out = &pair->ends[1].link;
}

static bool tell(mem_end *end)
{
    if (end->closed || end->link.ready == NULL) return false;
    const mem_end *peer = other(end);
    const bool gone = peer->closed;
    const bool readable = end->want_read && (unread(end) > 0 || peer->shut || gone);
    const bool writable = end->want_write && (gone || unread(peer) < end->pair->window_bytes);
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
        for (int i = 0; i < 2; i++) told += tell(&pair->ends[i]) ? 1 : 0;
    pairs->running = false;
    sweep(pairs);
    return told;
}

void svi_link_pairs_chop(svi_link_pairs *pairs, size_t max_read)
{
    pairs->max_read = max_read;
}
