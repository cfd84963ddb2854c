/* Lanes: exist only while an event of theirs runs late, waits or is to be released, and are
 * found by a keyed hash.
 *
 * Most stanzas find no lane: a small array of counts by a cheap hash of the key says so without
 * hashing it. */
#include <string.h>

#include "bus/bus_impl.h"

enum { LEAST_BUCKETS = 64 };

/* Cheap and weak on purpose; a collision costs one real look-up. */
static uint32_t filter_place(sv_str key)
{
    uint64_t head = 0, tail = 0;
    const size_t n = key.n < sizeof head ? key.n : sizeof head;
    memcpy(&head, key.p, n);
    memcpy(&tail, key.p + key.n - n, n);
    const uint64_t mixed = (head ^ (tail << 1) ^ key.n) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(mixed >> 54) % SVI_LANE_FILTER;
}

static void grow(svi_bus *bus)
{
    const size_t count = bus->bucket_count == 0 ? LEAST_BUCKETS : bus->bucket_count * 2;
    svi_lane **buckets = svi_alloc(bus->config.acct, count * sizeof(svi_lane *));
    for (size_t i = 0; i < bus->bucket_count; i++) {
        for (svi_lane *lane = bus->buckets[i], *next; lane != NULL; lane = next) {
            next = lane->next;
            svi_lane **bucket = &buckets[lane->hash & (count - 1)];
            lane->next = *bucket;
            *bucket = lane;
        }
    }
    svi_free(bus->buckets);
    bus->buckets = buckets;
    bus->bucket_count = count;
}

/* A pass on the stack may use the key without having needed a lane so far. */
static svi_lane *find_running(svi_bus *bus, sv_str key)
{
    for (const svi_frame *frame = bus->top; frame != NULL; frame = frame->outer)
        if (sv_str_eq(frame->key, key)) /* the key goes from the frame when its event ends */
            return svi_lane_new(bus, key, frame->ev);
    return NULL;
}

svi_lane *svi_lane_find(svi_bus *bus, sv_str key)
{
    SV_ASSERT(key.n > 0);
    if (bus->lane_count > 0 && bus->filter[filter_place(key)] > 0) {
        const uint64_t hash = svi_hash(key);
        for (svi_lane *lane = bus->buckets[hash & (bus->bucket_count - 1)]; lane != NULL;
             lane = lane->next)
            if (lane->hash == hash && sv_str_eq(lane->key, key)) return lane;
    }
    return bus->top == NULL ? NULL : find_running(bus, key);
}

svi_lane *svi_lane_new(svi_bus *bus, sv_str key, sv_event *owner)
{
    SV_ASSERT(key.n > 0 && owner->lane == NULL);
    if (bus->lane_count >= bus->bucket_count) grow(bus);
    svi_lane *lane = svi_pool_get(bus->lanes);
    lane->magic = SVI_LANE_MAGIC;
    lane->bus = bus;
    lane->hash = svi_hash(key);
    lane->filter = filter_place(key);
    lane->owner = owner;
    char *text = key.n <= sizeof lane->text ? lane->text : svi_alloc_raw(bus->config.acct, key.n);
    memcpy(text, key.p, key.n);
    lane->key = (sv_str){text, key.n};
    svi_lane **bucket = &bus->buckets[lane->hash & (bus->bucket_count - 1)];
    lane->next = *bucket;
    *bucket = lane;
    bus->filter[lane->filter]++;
    bus->lane_count++;
    owner->lane = lane;
    return lane;
}

void svi_lane_check(svi_lane *lane)
{
    SV_CHECK(lane, SVI_LANE_MAGIC);
    if (lane->owner != NULL || lane->waiting.head != NULL || lane->pending > 0) return;
    if (lane->is_advancing) return;
    SV_ASSERT(lane->last == NULL && lane->unemitted == 0);
    svi_bus *bus = lane->bus;
    svi_lane **at = &bus->buckets[lane->hash & (bus->bucket_count - 1)];
    while (*at != lane) at = &(*at)->next;
    *at = lane->next;
    bus->filter[lane->filter]--;
    bus->lane_count--;
    if (lane->key.p != lane->text) svi_free((void *)(uintptr_t)lane->key.p);
    lane->magic = 0;
    svi_pool_put(bus->lanes, lane);
}
