/* Fewer actions that fail all the same: pieces are left out, half of all first, then smaller ones (delta debugging). */
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* The actions without the `n` from `at` on, in `out`; how many they are. */
static size_t without(const uint32_t *actions, size_t count, size_t at, size_t n, uint32_t *out)
{
    memcpy(out, actions, at * sizeof *out);
    memcpy(out + at, actions + at + n, (count - at - n) * sizeof *out);
    return count - n;
}

size_t shrink(uint32_t *actions, size_t count, shrink_try fails, void *ctx, int64_t seconds)
{
    const int64_t end = now_s() + seconds;
    uint32_t *fewer = calloc(count + 1, sizeof *fewer);
    SV_ASSERT(fewer != NULL);
    for (size_t piece = (count + 1) / 2; piece > 0; piece /= 2) {
        /* from the back: what led to the failure stands mostly in front of it, and what comes behind it goes first */
        for (size_t at = count; at > 0 && now_s() < end;) {
            const size_t n = at < piece ? at : piece;
            const size_t left = without(actions, count, at - n, n, fewer);
            if (fails(ctx, fewer, left)) {
                memcpy(actions, fewer, left * sizeof *fewer);
                count = left;
            }
            at -= n;
        }
    }
    free(fewer);
    return count;
}
