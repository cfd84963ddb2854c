/* Waiting times between the starts of workers that die. */
#include "main/main_backoff.h"

#define QUIET_MS 60000
#define FREE_STARTS 2u
#define LONGEST_MS 60000

int64_t svi_backoff_died(svi_backoff *backoff, int64_t lived_ms, bool of_store)
{
    if (lived_ms >= QUIET_MS) *backoff = (svi_backoff){.crashes = 0};
    if (of_store) return ++backoff->store_faults > 1 ? -1 : 1000;
    if (++backoff->crashes <= FREE_STARTS) return 0;
    int64_t wait_ms = 1000;
    for (unsigned i = FREE_STARTS + 1; i < backoff->crashes && wait_ms < LONGEST_MS; i++)
        wait_ms *= 2;
    return wait_ms < LONGEST_MS ? wait_ms : LONGEST_MS;
}
