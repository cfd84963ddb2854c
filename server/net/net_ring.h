/* How threads hand things over: a bounded ring (what an I/O thread reports to the router), an
 * unbounded list (mail, either way) and the protocol by which only a sleeper is woken. One
 * producer and one consumer each, no locks. */
#ifndef SVI_NET_RING_H
#define SVI_NET_RING_H

#include "base/base_mem.h"

/* --- ring ------------------------------------------------------------------------------------------- */

/* One thing handed over; the ring does not know what it means. */
typedef struct svi_ring_item {
    void *who;
    void *what;
    size_t n;
    uint32_t kind;
    uint32_t arg;
} svi_ring_item;

typedef struct svi_ring svi_ring;

/* Makes an empty ring of at least `slots` items (rounded up to a power of two). */
svi_ring *svi_ring_new(svi_acct *acct, size_t slots);

/* Frees the ring; items left in it are forgotten. No thread may use it any more. */
void svi_ring_free(svi_ring **ring);

/* Producer: copies the item into the next slot, not yet visible to the consumer. False if the
 * ring is full. */
bool svi_ring_put(svi_ring *ring, const svi_ring_item *item);

/* Producer: makes visible all that was put. True if there was anything. */
bool svi_ring_publish(svi_ring *ring);

/* Producer: true if another item can be put. */
bool svi_ring_room(svi_ring *ring);

/* Consumer: how many items are visible; they stay readable until released. */
size_t svi_ring_ready(svi_ring *ring);

/* Consumer: item number `i` of the visible ones, a borrowed pointer valid until it is released. */
const svi_ring_item *svi_ring_at(const svi_ring *ring, size_t i);

/* Consumer: gives the `n` oldest slots back to the producer. */
void svi_ring_release(svi_ring *ring, size_t n);

/* --- mail ------------------------------------------------------------------------------------------- */

/* First member of whatever is mailed. */
typedef struct svi_mail_link {
    struct svi_mail_link *next;
} svi_mail_link;

/* A letter box: lists are posted whole and taken whole, in order. Zero-initialise. */
typedef struct svi_mail {
    _Atomic(svi_mail_link *) newest; /* each link leads to the one posted before it */
} svi_mail;

/* Producer: hands over the list `first` .. `last` behind what lies there, in one step: whoever sees
 * something that the producer published later finds the list in the box. */
void svi_mail_post(svi_mail *mail, svi_mail_link *first, svi_mail_link *last);

/* Consumer: takes all that lies there, oldest first; NULL if nothing. */
svi_mail_link *svi_mail_take(svi_mail *mail);

/* Consumer: true if something lies there. */
bool svi_mail_has(svi_mail *mail);

/* --- sleeping --------------------------------------------------------------------------------------- */

/* What a thread that goes to sleep wants to be woken for. */
typedef enum svi_sleep {
    SVI_AWAKE = 0,
    SVI_ASLEEP = 1,         /* mail wakes */
    SVI_ASLEEP_FOR_ROOM = 2 /* mail wakes, and so does room in its ring */
} svi_sleep;

/* Zero-initialised: awake. */
typedef struct svi_sleeper {
    _Atomic uint32_t state;
} svi_sleeper;

/* Sleeper: announces sleep. It must look once more for what would wake it before it really
 * sleeps, since whoever came in between did not see the announcement. */
void svi_sleep_announce(svi_sleeper *sleeper, svi_sleep how);

/* Sleeper: is awake again. */
void svi_sleep_end(svi_sleeper *sleeper);

/* Waker, after posting mail (SVI_ASLEEP) or releasing slots (SVI_ASLEEP_FOR_ROOM): true if the
 * sleeper announced that it sleeps and wants to hear of this; then the caller, and nobody else,
 * must wake it. */
bool svi_sleep_rouse(svi_sleeper *sleeper, svi_sleep what_for);

#endif
