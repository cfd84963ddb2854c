/* The hand-over between threads, see net_ring.h.
 *
 * Where a thread publishes something and then looks whether the other sleeps, while the other
 * announces sleep and then looks for something published, one of the two must see the other:
 * all four accesses are sequentially consistent. */
#include "net/net_ring.h"

#include "base/base_assert.h"

#define CACHE_LINE 64

/* Producer's and consumer's places lie on cache lines of their own; `seen_` is each side's last
 * look at the other's. */
struct svi_ring {
    size_t mask;
    svi_ring_item *items;
    char pad0[CACHE_LINE];
    _Atomic size_t tail; /* published by the producer */
    size_t put;          /* the producer's: next slot to fill */
    size_t seen_head;
    char pad1[CACHE_LINE];
    _Atomic size_t head; /* released by the consumer */
    size_t seen_tail;
    char pad2[CACHE_LINE];
};

svi_ring *svi_ring_new(svi_acct *acct, size_t slots)
{
    SV_ASSERT(slots > 0 && slots <= (size_t)1 << 24);
    size_t size = 2;
    while (size < slots) size *= 2;
    svi_ring *ring = svi_alloc(acct, sizeof *ring);
    ring->mask = size - 1;
    ring->items = svi_alloc(acct, size * sizeof *ring->items);
    return ring;
}

void svi_ring_free(svi_ring **ring)
{
    if (*ring == NULL) return;
    svi_free((*ring)->items);
    svi_free(*ring);
    *ring = NULL;
}

bool svi_ring_room(svi_ring *ring)
{
    if (ring->put - ring->seen_head <= ring->mask) return true;
    ring->seen_head = atomic_load(&ring->head);
    return ring->put - ring->seen_head <= ring->mask;
}

bool svi_ring_put(svi_ring *ring, const svi_ring_item *item)
{
    if (!svi_ring_room(ring)) return false;
    ring->items[ring->put & ring->mask] = *item;
    ring->put++;
    return true;
}

bool svi_ring_publish(svi_ring *ring)
{
    if (ring->put == atomic_load_explicit(&ring->tail, memory_order_relaxed)) return false;
    atomic_store(&ring->tail, ring->put);
    return true;
}

size_t svi_ring_ready(svi_ring *ring)
{
    ring->seen_tail = atomic_load(&ring->tail);
    return ring->seen_tail - atomic_load_explicit(&ring->head, memory_order_relaxed);
}

const svi_ring_item *svi_ring_at(const svi_ring *ring, size_t i)
{
    const size_t place = atomic_load_explicit(&ring->head, memory_order_relaxed) + i;
    SV_ASSERT(ring->seen_tail - place - 1 <= ring->mask);
    return &ring->items[place & ring->mask];
}

void svi_ring_release(svi_ring *ring, size_t n)
{
    const size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    SV_ASSERT(n <= ring->seen_tail - head);
    atomic_store(&ring->head, head + n);
}

/* Turns a list around; returns its new first. */
static svi_mail_link *reversed(svi_mail_link *link)
{
    svi_mail_link *done = NULL;
    while (link != NULL) {
        svi_mail_link *next = link->next;
        link->next = done;
        done = link;
        link = next;
    }
    return done;
}

/* The box holds the newest first, so that a list goes on top of what was not fetched yet in one step: at no
 * moment is the box empty while something was posted and not taken. The router relies on it: with an
 * event it sees what was posted before that. */
void svi_mail_post(svi_mail *mail, svi_mail_link *first, svi_mail_link *last)
{
    SV_ASSERT(first != NULL && last != NULL && last->next == NULL);
    (void)reversed(first);
    svi_mail_link *old = atomic_load_explicit(&mail->newest, memory_order_relaxed);
    do first->next = old;
    while (!atomic_compare_exchange_weak(&mail->newest, &old, last));
}

svi_mail_link *svi_mail_take(svi_mail *mail)
{
    if (atomic_load_explicit(&mail->newest, memory_order_relaxed) == NULL) return NULL;
    return reversed(atomic_exchange(&mail->newest, NULL));
}

bool svi_mail_has(svi_mail *mail)
{
    return atomic_load(&mail->newest) != NULL;
}

void svi_sleep_announce(svi_sleeper *sleeper, svi_sleep how)
{
    SV_ASSERT(how != SVI_AWAKE);
    atomic_store(&sleeper->state, (uint32_t)how);
}

void svi_sleep_end(svi_sleeper *sleeper)
{
    atomic_store_explicit(&sleeper->state, SVI_AWAKE, memory_order_relaxed);
}

bool svi_sleep_rouse(svi_sleeper *sleeper, svi_sleep what_for)
{
    if (atomic_load(&sleeper->state) < (uint32_t)what_for) return false;
    return atomic_exchange(&sleeper->state, SVI_AWAKE) != SVI_AWAKE;
}
