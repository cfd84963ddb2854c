/* Waking a loop: nothing is lost between threads, several sends may be one call, closing ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/net_wake.h"

enum { ROUNDS = 20000 };

typedef struct world {
    uv_loop_t loop;
    svi_wake wake;
    _Atomic unsigned posted, taken;
    unsigned calls;
    bool closed;
} world;

static void on_closed(uv_handle_t *handle)
{
    svi_wake *wake = handle->data;
    ((world *)wake->ctx)->closed = true;
}

static void on_wake(void *ctx)
{
    world *w = ctx;
    w->calls++;
    atomic_store(&w->taken, atomic_load(&w->posted));
}

static void open_world(world *w)
{
    *w = (world){.calls = 0};
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(svi_wake_init(&w->wake, &w->loop, on_wake, w), 0);
}

static void run_until_taken(world *w, unsigned goal)
{
    while (atomic_load(&w->taken) < goal) (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static void close_world(world *w)
{
    svi_wake_close(&w->wake, on_closed);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    assert_true(w->closed);
    assert_int_equal(uv_loop_close(&w->loop), 0);
}

static void sends_before_the_loop_looks_are_one_call(void **state)
{
    (void)state;
    world w;
    open_world(&w);
    for (int i = 0; i < 3; i++) {
        atomic_fetch_add(&w.posted, 1);
        svi_wake_send(&w.wake);
    }
    run_until_taken(&w, 3);
    assert_int_equal(uv_run(&w.loop, UV_RUN_NOWAIT), 1);
    assert_int_equal(w.calls, 1);
    close_world(&w);
}

static void send_again_after_each_is_taken(void *arg)
{
    world *w = arg;
    for (unsigned i = 1; i <= ROUNDS; i++) {
        atomic_fetch_add(&w->posted, 1);
        svi_wake_send(&w->wake);
        if (i % 2 == 0 && i < ROUNDS) continue; /* sometimes two at once */
        if (i == ROUNDS) return;
        while (atomic_load(&w->taken) < i) uv_sleep(0);
    }
}

/* A send that were lost would leave both sides waiting for ever. */
static void no_send_of_another_thread_is_lost(void **state)
{
    (void)state;
    world w;
    uv_thread_t sender;
    open_world(&w);
    assert_int_equal(uv_thread_create(&sender, send_again_after_each_is_taken, &w), 0);
    run_until_taken(&w, ROUNDS);
    assert_int_equal(uv_thread_join(&sender), 0);
    assert_in_range(w.calls, ROUNDS / 2, ROUNDS);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_before_the_loop_looks_are_one_call),
        cmocka_unit_test(no_send_of_another_thread_is_lost),
    };
    return cmocka_run_group_tests_name("net_wake", tests, NULL, NULL);
}
