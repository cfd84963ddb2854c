/* The kernel's clock and randomness, and the virtual ones that repeat. */
#include "base/base_plat.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/base_assert.h"

static int64_t clock_us(clockid_t which)
{
    struct timespec now;
    const int failed = clock_gettime(which, &now); /* lint: allow clock_gettime (the table itself) */
    SV_ASSERT(failed == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t kernel_mono_us(void *ctx)
{
    (void)ctx;
    return clock_us(CLOCK_MONOTONIC);
}

static int64_t kernel_coarse_us(void *ctx)
{
    (void)ctx;
    return clock_us(CLOCK_MONOTONIC_COARSE);
}

static int64_t kernel_cpu_us(void *ctx)
{
    (void)ctx;
    return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

static int64_t kernel_wall_us(void *ctx)
{
    (void)ctx;
    return clock_us(CLOCK_REALTIME);
}

static void kernel_random(void *ctx, void *to, size_t n)
{
    (void)ctx;
    size_t done = 0;
    while (done < n) {
        /* lint: allow getrandom (the table itself) */
        const ssize_t got = getrandom((char *)to + done, n - done, 0);
        SV_ASSERT(got >= 0 || errno == EINTR); /* no guess instead: without it nothing is secret */
        if (got > 0) done += (size_t)got;
    }
}

const svi_plat *svi_plat_kernel(void)
{
    static const svi_plat kernel = {.mono_us = kernel_mono_us,
                                    .wall_us = kernel_wall_us,
                                    .coarse_us = kernel_coarse_us,
                                    .cpu_us = kernel_cpu_us,
                                    .random = kernel_random};
    return &kernel;
}

static int64_t virtual_mono_us(void *ctx)
{
    const svi_plat_virtual *v = ctx;
    return v->now_us;
}

static int64_t virtual_wall_us(void *ctx)
{
    const svi_plat_virtual *v = ctx;
    return v->wall_base_us + v->now_us;
}

static uint64_t rotl(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

/* xoshiro256** (Blackman and Vigna, 2018). */
static uint64_t next_word(uint64_t s[4])
{
    const uint64_t word = rotl(s[1] * 5, 7) * 9;
    const uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotl(s[3], 45);
    return word;
}

static void virtual_random(void *ctx, void *to, size_t n)
{
    svi_plat_virtual *v = ctx;
    for (size_t done = 0; done < n; done += 8) {
        const uint64_t word = next_word(v->seed);
        memcpy((char *)to + done, &word, n - done < 8 ? n - done : 8);
    }
}

void svi_plat_virtual_init(svi_plat_virtual *v, uint64_t seed)
{
    *v = (svi_plat_virtual){
        .plat = {.ctx = v,
                 .mono_us = virtual_mono_us,
                 .wall_us = virtual_wall_us,
                 .random = virtual_random},
        .wall_base_us = INT64_C(1767225600) * 1000000,
    };
    for (size_t i = 0; i < 4; i++) { /* SplitMix64 spreads the seed; never all zero */
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = (seed ^ seed >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        v->seed[i] = z ^ z >> 31;
    }
}

void svi_plat_virtual_advance(svi_plat_virtual *v, int64_t us)
{
    SV_ASSERT(us >= 0);
    v->now_us += us;
}

sv_str svi_plat_stamp(int64_t wall_us, char to[32])
{
    /* years 1 to 9999, so that the text has always the same form */
    const int64_t first = INT64_C(-62135596800), last = INT64_C(253402300799);
    int64_t seconds = wall_us / 1000000 - (wall_us % 1000000 < 0);
    if (seconds < first) seconds = first;
    if (seconds > last) seconds = last;
    const time_t when = (time_t)seconds;
    struct tm tm;
    const struct tm *utc = gmtime_r(&when, &tm);
    SV_ASSERT(utc != NULL);
    const int n = snprintf(to, 32, "%04d-%02d-%02dT%02d:%02d:%02dZ", utc->tm_year + 1900,
                           utc->tm_mon + 1, utc->tm_mday, utc->tm_hour, utc->tm_min, utc->tm_sec);
    SV_ASSERT(n == 20);
    return (sv_str){to, 20};
}

sv_str svi_plat_stamp_ms(int64_t wall_ms, char to[32])
{
    const int64_t most = INT64_MAX / 1000; /* far beyond the last year */
    const int64_t ms = wall_ms > most ? most : wall_ms < -most ? -most : wall_ms;
    const sv_str whole = svi_plat_stamp(ms * 1000, to);
    const int rest = (int)((ms % 1000 + 1000) % 1000);
    if (rest == 0) return whole;
    const int n = snprintf(to + whole.n - 1, 32 - whole.n, ".%03dZ", rest);
    SV_ASSERT(n == 5);
    return (sv_str){to, whole.n + 4};
}

static _Thread_local const svi_plat *here;

void svi_plat_enter(const svi_plat *plat)
{
    here = plat;
}

const svi_plat *svi_plat_here(void)
{
    return here != NULL ? here : svi_plat_kernel();
}
