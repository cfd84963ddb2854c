/* Accounted allocation: each block carries a head with its size and the account it is charged to. */
#include "base/base_mem.h"

#include <stdlib.h>

#include "base/base_assert.h"

/* Sixteen bytes, so that what follows is aligned for any type. */
typedef struct head {
    size_t bytes;
    svi_acct *acct;
} head;

_Static_assert(sizeof(head) % _Alignof(max_align_t) == 0, "blocks must stay aligned");

/* Counts down to the allocation that tests want to fail; 0 is off. */
static _Atomic int64_t fail_countdown;

void svi_mem_fail_after(int64_t n)
{
    atomic_store_explicit(&fail_countdown, n, memory_order_relaxed);
}

static bool must_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) <= 0) return false;
    return atomic_fetch_sub_explicit(&fail_countdown, 1, memory_order_relaxed) == 1;
}

/* Raises it to that, unless it is higher already. */
static void raise_to(_Atomic int64_t *peak, int64_t value)
{
    int64_t old = atomic_load_explicit(peak, memory_order_relaxed);
    while (value > old && !atomic_compare_exchange_weak_explicit(
                              peak, &old, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void charge_one(svi_acct *acct, int64_t n)
{
    const int64_t bytes = atomic_fetch_add_explicit(&acct->live_bytes, n, memory_order_relaxed) + n;
    const int64_t count = atomic_fetch_add_explicit(&acct->live_count, 1, memory_order_relaxed) + 1;
    raise_to(&acct->peak_bytes, bytes);
    raise_to(&acct->peak_count, count);
    atomic_fetch_add_explicit(&acct->total_count, 1, memory_order_relaxed);
}

static void charge(svi_acct *acct, size_t bytes)
{
    for (; acct != NULL; acct = acct->whole) charge_one(acct, (int64_t)bytes);
}

static void discharge(svi_acct *acct, size_t bytes)
{
    while (acct != NULL) {
        svi_acct *const whole = acct->whole; /* the account may go with its last block */
        atomic_fetch_sub_explicit(&acct->live_bytes, (int64_t)bytes, memory_order_relaxed);
        atomic_fetch_sub_explicit(&acct->live_count, 1, memory_order_relaxed);
        acct = whole;
    }
}

static head *head_of(void *mem)
{
    return (head *)mem - 1;
}

static size_t with_head(size_t bytes)
{
    SV_ASSERT(bytes <= PTRDIFF_MAX - sizeof(head));
    return bytes + sizeof(head);
}

static void *made(head *h, svi_acct *acct, size_t bytes)
{
    if (h == NULL) svi_assert_failed("memory is exhausted", __FILE__, __LINE__);
    *h = (head){.bytes = bytes, .acct = acct};
    charge(acct, bytes);
    return h + 1;
}

void *svi_alloc(svi_acct *acct, size_t bytes)
{
    SV_ASSERT(acct != NULL);
    const size_t whole = with_head(bytes);
    return made(must_fail() ? NULL : calloc(1, whole), acct, bytes);
}

void *svi_alloc_raw(svi_acct *acct, size_t bytes)
{
    SV_ASSERT(acct != NULL);
    const size_t whole = with_head(bytes);
    return made(must_fail() ? NULL : malloc(whole), acct, bytes);
}

void *svi_realloc(svi_acct *acct, void *mem, size_t bytes)
{
    if (mem == NULL) return svi_alloc_raw(acct, bytes);
    SV_ASSERT(acct != NULL);
    const size_t whole = with_head(bytes);
    const head old = *head_of(mem);
    head *h = must_fail() ? NULL : realloc(head_of(mem), whole);
    if (h != NULL) discharge(old.acct, old.bytes); /* first: no peak has both */
    return made(h, acct, bytes);
}

void svi_free(void *mem)
{
    if (mem == NULL) return;
    head *h = head_of(mem);
    SV_ASSERT(h->acct != NULL);
    discharge(h->acct, h->bytes);
    h->acct = NULL;
    free(h);
}

sv_str svi_str_dup(svi_acct *acct, sv_str s)
{
    SV_ASSERT(s.n < PTRDIFF_MAX);
    char *to = svi_alloc_raw(acct, s.n + 1);
    if (s.n > 0) memcpy(to, s.p, s.n);
    to[s.n] = '\0';
    return (sv_str){to, s.n};
}

void svi_str_free(sv_str *s)
{
    svi_free((void *)(uintptr_t)s->p); /* ours since svi_str_dup; sv_str is const for its readers */
    *s = SV_STR_NONE;
}
