/* Tests of links: memory pairs in particular, since the stage stands on them. */
#include <errno.h>
#include <unistd.h>

#include "base/base_testing.h"
#include "net/net_link.h"

static svi_acct books = {.name = "link-test"};

typedef struct told {
    int readable, writable;
} told;

static void on_ready(void *ctx, bool readable, bool writable)
{
    told *t = ctx;
    if (readable) t->readable++;
    if (writable) t->writable++;
}

static void watch(svi_link *link, told *t)
{
    link->ctx = t;
    link->ready = on_ready;
}

static void bytes_cross_within_the_window(void **state)
{
    (void)state;
    svi_link_pairs *pairs = svi_link_pairs_new(&books);
    svi_link *a, *b;
    svi_link_pair(pairs, 10, &a, &b);
    char to[32];
    assert_int_equal(b->ops->read(b, to, sizeof to), -EAGAIN);
    assert_int_equal(a->ops->write(a, "0123456789abcdef", 16), 10);
    assert_int_equal(a->ops->write(a, "x", 1), -EAGAIN);
    assert_int_equal(b->ops->write(b, "back", 4), 4); /* the other way has its own window */
    assert_int_equal(b->ops->read(b, to, 4), 4);
    assert_memory_equal(to, "0123", 4);
    assert_int_equal(a->ops->write(a, "abcdef", 6), 4);
    svi_link_pairs_chop(pairs, 3);
    size_t got = 0;
    while (got < 10) {
        const ssize_t n = b->ops->read(b, to + got, sizeof to - got);
        assert_in_range(n, 1, 3);
        got += (size_t)n;
    }
    assert_memory_equal(to, "456789abcd", 10);
    a->ops->close(a);
    b->ops->close(b);
    svi_link_pairs_free(&pairs);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

static void readiness_is_told_while_it_lasts(void **state)
{
    (void)state;
    svi_link_pairs *pairs = svi_link_pairs_new(&books);
    svi_link *a, *b;
    told ta = {0}, tb = {0};
    char to[32];
    svi_link_pair(pairs, 4, &a, &b);
    watch(a, &ta);
    watch(b, &tb);
    assert_int_equal(svi_link_pairs_run(pairs), 0); /* nobody wants anything */
    a->ops->want(a, false, true);
    b->ops->want(b, true, false);
    assert_int_equal(svi_link_pairs_run(pairs), 1);
    assert_int_equal(ta.writable, 1);
    assert_int_equal(a->ops->write(a, "full", 4), 4);
    assert_int_equal(tb.readable, 0); /* never from inside write */
    assert_int_equal(svi_link_pairs_run(pairs), 1);
    assert_int_equal(svi_link_pairs_run(pairs), 1); /* still: it was not read */
    assert_int_equal(tb.readable, 2);
    assert_int_equal(ta.writable, 1);
    assert_int_equal(b->ops->read(b, to, 1), 1);
    assert_int_equal(svi_link_pairs_run(pairs), 2);
    assert_int_equal(ta.writable, 2);
    b->ops->want(b, false, false);
    a->ops->want(a, false, false);
    assert_int_equal(svi_link_pairs_run(pairs), 0);
    svi_link_pairs_free(&pairs); /* takes what is open with it */
}

static void an_end_is_read_after_the_rest(void **state)
{
    (void)state;
    for (int closes = 0; closes <= 1; closes++) {
        svi_link_pairs *pairs = svi_link_pairs_new(&books);
        svi_link *a, *b;
        told tb = {0};
        char to[8];
        svi_link_pair(pairs, 100, &a, &b);
        watch(b, &tb);
        assert_int_equal(a->ops->write(a, "last", 4), 4);
        if (closes)
            a->ops->close(a);
        else
            a->ops->shut(a);
        b->ops->want(b, true, false);
        assert_int_equal(svi_link_pairs_run(pairs), 1);
        assert_int_equal(b->ops->read(b, to, sizeof to), 4);
        assert_int_equal(b->ops->read(b, to, sizeof to), 0);
        assert_int_equal(svi_link_pairs_run(pairs), 1); /* the end is readable too */
        assert_int_equal(b->ops->write(b, "x", 1), closes ? -EPIPE : 1);
        if (!closes) {
            assert_int_equal(a->ops->read(a, to, 1), 1); /* half-closed: reading goes on */
            assert_int_equal(a->ops->write(a, "x", 1), -EPIPE);
            a->ops->close(a);
        }
        b->ops->close(b);
        svi_link_pairs_free(&pairs);
    }
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

static svi_link *doomed;

static void close_both(void *ctx, bool readable, bool writable)
{
    (void)readable;
    (void)writable;
    svi_link *mine = ctx;
    svi_link *its = doomed;
    doomed = NULL;
    mine->ops->close(mine);
    its->ops->close(its);
}

static void links_may_be_closed_from_readiness(void **state)
{
    (void)state;
    svi_link_pairs *pairs = svi_link_pairs_new(&books);
    svi_link *a, *b, *c, *d;
    told tc = {0};
    svi_link_pair(pairs, 100, &a, &b);
    svi_link_pair(pairs, 100, &c, &d);
    a->ctx = a;
    a->ready = close_both;
    doomed = b;
    watch(c, &tc);
    a->ops->want(a, false, true);
    c->ops->want(c, false, true);
    assert_int_equal(svi_link_pairs_run(pairs), 2);
    assert_null(doomed);
    assert_int_equal(tc.writable, 1);
    assert_int_equal(svi_link_pairs_run(pairs), 1);
    svi_link_pairs_free(&pairs);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

static void sockets_read_write_and_end(void **state)
{
    (void)state;
    uv_loop_t loop;
    int fds[2];
    char to[8];
    told t = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    svi_link *link = svi_link_socket(&books, &loop, fds[0]);
    assert_non_null(link);
    watch(link, &t);
    assert_int_equal(link->ops->read(link, to, sizeof to), -EAGAIN);
    link->ops->want(link, true, true);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(t.writable, 1);
    assert_int_equal(t.readable, 0);
    link->ops->want(link, true, false);
    assert_int_equal(write(fds[1], "hi", 2), 2);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(t.readable, 1);
    assert_int_equal(link->ops->read(link, to, sizeof to), 2);
    assert_int_equal(link->ops->write(link, "yo", 2), 2);
    link->ops->shut(link);
    assert_int_equal(read(fds[1], to, sizeof to), 2);
    assert_int_equal(read(fds[1], to, sizeof to), 0);
    (void)close(fds[1]);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(t.readable, 2);
    assert_int_equal(link->ops->read(link, to, sizeof to), 0);
    assert_int_equal(link->ops->write(link, "no", 2), -EPIPE); /* and no SIGPIPE */
    link->ops->close(link);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

/* A connected pair over TCP, where a peer can reset. */
static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, n), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &n), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&at, n), 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[0] >= 0);
    (void)close(listener);
}

/* The poll ends with the first report of an error; whoever then reads the bytes that stand before
 * it must hear of it again, or the connection stays for ever. */
static void a_reset_behind_bytes_is_told_twice(void **state)
{
    (void)state;
    uv_loop_t loop;
    int fds[2];
    char to[8];
    told t = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    tcp_pair(fds);
    svi_link *link = svi_link_socket(&books, &loop, fds[0]);
    watch(link, &t);
    link->ops->want(link, true, false);
    assert_int_equal(write(fds[1], "hi", 2), 2);
    const struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    (void)close(fds[1]);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(t.readable, 1);
    assert_int_equal(link->ops->read(link, to, sizeof to), 2);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(t.readable, 2);
    assert_int_not_equal(link->ops->read(link, to, sizeof to), -EAGAIN);
    link->ops->close(link);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- a simulated network ------------------------------------------------------------------------------------ */

enum { WINDOW = 100 };

typedef struct wire {
    svi_plat_virtual plat;
    svi_link_pairs *pairs;
    svi_link *a, *b;
    told tb;
} wire;

static void lay(wire *w, const svi_link_nature *nature)
{
    *w = (wire){.pairs = svi_link_pairs_new(&books)};
    svi_plat_virtual_init(&w->plat, 7);
    svi_link_pairs_set_plat(w->pairs, &w->plat.plat);
    svi_link_pairs_set_nature(w->pairs, nature);
    svi_link_pair(w->pairs, WINDOW, &w->a, &w->b);
    watch(w->b, &w->tb);
    w->b->ops->want(w->b, true, false);
}

static void take_up(wire *w)
{
    svi_link_pairs_free(&w->pairs);
    assert_int_equal(atomic_load(&books.live_bytes), 0);
}

/* All that b can read now, as text; $ stands for the end. */
static const char *read_all(wire *w, char to[2 * WINDOW])
{
    size_t got = 0;
    ssize_t n;
    while ((n = w->b->ops->read(w->b, to + got, WINDOW)) > 0) got += (size_t)n;
    to[got] = n == 0 ? '$' : '\0';
    to[got + 1] = '\0';
    return to;
}

static void bytes_travel_and_keep_their_order(void **state)
{
    (void)state;
    wire w;
    char to[2 * WINDOW];
    lay(&w, &(svi_link_nature){.late_min_us = 20000, .late_max_us = 20000});
    assert_int_equal(w.a->ops->write(w.a, "one ", 4), 4);
    svi_plat_virtual_advance(&w.plat, 5000);
    assert_int_equal(w.a->ops->write(w.a, "two ", 4), 4);
    w.a->ops->shut(w.a);
    assert_int_equal(svi_link_pairs_due_us(w.pairs), 20000);
    svi_plat_virtual_advance(&w.plat, 14999);
    assert_int_equal(svi_link_pairs_run(w.pairs), 0);
    assert_string_equal(read_all(&w, to), "");
    svi_plat_virtual_advance(&w.plat, 1);
    assert_int_equal(svi_link_pairs_run(w.pairs), 1);
    assert_string_equal(read_all(&w, to), "one ");
    assert_int_equal(svi_link_pairs_due_us(w.pairs), 25000);
    svi_plat_virtual_advance(&w.plat, 5000);
    assert_string_equal(read_all(&w, to), "two $");
    assert_int_equal(svi_link_pairs_due_us(w.pairs), INT64_MAX);
    /* what is sent on a network that has become quicker does not overtake */
    assert_int_equal(w.b->ops->write(w.b, "slow", 4), 4);
    svi_link_pairs_set_nature(w.pairs, &(svi_link_nature){.max_read = 0});
    assert_int_equal(w.b->ops->write(w.b, "fast", 4), 4);
    assert_int_equal(w.a->ops->read(w.a, to, 8), -EAGAIN);
    assert_int_equal(svi_link_pairs_due_us(w.pairs), 45000);
    svi_plat_virtual_advance(&w.plat, 20000);
    assert_int_equal(w.a->ops->read(w.a, to, 8), 8);
    assert_memory_equal(to, "slowfast", 8);
    take_up(&w);
}

static void what_travels_counts_for_the_window(void **state)
{
    (void)state;
    wire w;
    char bytes[2 * WINDOW] = {0};
    lay(&w, &(svi_link_nature){.late_min_us = 1000, .late_max_us = 1000});
    assert_int_equal(w.a->ops->write(w.a, bytes, 60), 60);
    assert_int_equal(w.a->ops->write(w.a, bytes, 60), 40);
    assert_int_equal(w.a->ops->write(w.a, bytes, 1), -EAGAIN);
    svi_plat_virtual_advance(&w.plat, 1000);
    assert_int_equal(w.a->ops->write(w.a, bytes, 1), -EAGAIN); /* it is not read yet */
    assert_int_equal(w.b->ops->read(w.b, bytes, 30), 30);
    assert_int_equal(w.a->ops->write(w.a, bytes, 60), 30);
    w.b->ops->close(w.b); /* what travels to it is gone, and that it has closed travels */
    assert_int_equal(w.a->ops->write(w.a, bytes, 10), 10);
    svi_plat_virtual_advance(&w.plat, 1000);
    assert_int_equal(w.a->ops->write(w.a, bytes, 10), -EPIPE);
    assert_int_equal(w.a->ops->read(w.a, bytes, 10), 0);
    w.a->ops->close(w.a);
    take_up(&w);
}

/* How long each of 20 bytes travels, and how many of 90 are taken and read at a time. */
static void draws(uint64_t seed, int64_t late[20], size_t sizes[2])
{
    wire w;
    char bytes[WINDOW] = {0};
    lay(&w, &(svi_link_nature){.late_min_us = 100, .late_max_us = 300, .max_read = 5, .max_write = 7});
    svi_plat_virtual_init(&w.plat, seed);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(w.a->ops->write(w.a, "x", 1), 1);
        late[i] = svi_link_pairs_due_us(w.pairs) - w.plat.now_us;
        svi_plat_virtual_advance(&w.plat, 300);
        assert_int_equal(w.b->ops->read(w.b, bytes, 1), 1);
    }
    for (int i = 0; i < 20; i++) {
        const ssize_t put = w.a->ops->write(w.a, bytes, 90);
        assert_in_range(put, 1, 7);
        sizes[0] = sizes[0] * 8 + (size_t)put;
        svi_plat_virtual_advance(&w.plat, 300);
        const ssize_t got = w.b->ops->read(w.b, bytes, (size_t)put);
        assert_in_range(got, 1, put < 5 ? put : 5);
        sizes[1] = sizes[1] * 8 + (size_t)got;
        while (w.b->ops->read(w.b, bytes, WINDOW) > 0) continue;
    }
    take_up(&w);
}

static void ranges_are_seeded(void **state)
{
    (void)state;
    int64_t late[3][20];
    size_t sizes[3][2] = {{0}};
    for (int i = 0; i < 3; i++) draws(i < 2 ? 1 : 2, late[i], sizes[i]);
    assert_memory_equal(late[0], late[1], sizeof late[0]);
    assert_memory_equal(sizes[0], sizes[1], sizeof sizes[0]);
    assert_memory_not_equal(late[0], late[2], sizeof late[0]);
    assert_memory_not_equal(sizes[0], sizes[2], sizeof sizes[0]);
    int64_t least = INT64_MAX, most = 0;
    for (int i = 0; i < 20; i++) {
        if (late[0][i] < least) least = late[0][i];
        if (late[0][i] > most) most = late[0][i];
    }
    assert_in_range(least, 100, 140);
    assert_in_range(most, 260, 300);
}

/* Both ends hear of it, and what was not read, or was on its way, is gone. */
static void a_connection_is_lost(void **state)
{
    (void)state;
    for (int all = 0; all <= 1; all++) {
        wire w;
        told ta = {0};
        char to[2 * WINDOW];
        lay(&w, &(svi_link_nature){.max_read = 0});
        watch(w.a, &ta);
        assert_int_equal(w.a->ops->write(w.a, "unread", 6), 6);
        svi_link_pairs_set_nature(w.pairs, &(svi_link_nature){.late_min_us = 9, .late_max_us = 9});
        assert_int_equal(w.a->ops->write(w.a, "late", 4), 4);
        if (all)
            svi_link_pairs_cut(w.pairs);
        else
            svi_link_cut(w.b);
        assert_int_equal(svi_link_pairs_due_us(w.pairs), INT64_MAX);
        w.a->ops->want(w.a, false, true);
        assert_int_equal(svi_link_pairs_run(w.pairs), 2);
        assert_int_equal(ta.writable, 1);
        assert_int_equal(w.tb.readable, 1);
        assert_int_equal(w.b->ops->read(w.b, to, 10), -ECONNRESET);
        assert_int_equal(w.a->ops->read(w.a, to, 10), -ECONNRESET);
        assert_int_equal(w.a->ops->write(w.a, "more", 4), -ECONNRESET);
        w.a->ops->shut(w.a);
        w.a->ops->close(w.a);
        w.b->ops->close(w.b);
        take_up(&w);
    }
}

/* a is silent: nothing of it comes, it takes nothing, and b sees no end, whatever a does. */
static void an_end_falls_silent(void **state)
{
    (void)state;
    for (int closes = 0; closes <= 1; closes++) {
        wire w;
        char to[2 * WINDOW] = {0};
        lay(&w, &(svi_link_nature){.late_min_us = 50, .late_max_us = 50});
        assert_int_equal(w.a->ops->write(w.a, "before", 6), 6);
        assert_int_equal(w.b->ops->write(w.b, "hello", 5), 5);
        svi_link_silence(w.a);
        assert_int_equal(w.a->ops->write(w.a, "behind", 6), 6);
        w.a->ops->shut(w.a);
        if (closes) w.a->ops->close(w.a);
        svi_plat_virtual_advance(&w.plat, 50);
        assert_int_equal(svi_link_pairs_run(w.pairs), 1);
        assert_string_equal(read_all(&w, to), "before");
        assert_int_equal(w.b->ops->write(w.b, to, WINDOW), WINDOW - 5);
        svi_plat_virtual_advance(&w.plat, 1000000);
        w.b->ops->want(w.b, true, true);
        assert_int_equal(svi_link_pairs_run(w.pairs), 0);
        assert_int_equal(w.b->ops->write(w.b, to, 1), -EAGAIN); /* the window is full */
        if (!closes) assert_int_equal(w.a->ops->read(w.a, to, 1), -EAGAIN);
        if (!closes) w.a->ops->close(w.a);
        w.b->ops->close(w.b);
        take_up(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_behind_bytes_is_told_twice),
        cmocka_unit_test(bytes_cross_within_the_window),
        cmocka_unit_test(readiness_is_told_while_it_lasts),
        cmocka_unit_test(an_end_is_read_after_the_rest),
        cmocka_unit_test(links_may_be_closed_from_readiness),
        cmocka_unit_test(bytes_travel_and_keep_their_order),
        cmocka_unit_test(what_travels_counts_for_the_window),
        cmocka_unit_test(ranges_are_seeded),
        cmocka_unit_test(a_connection_is_lost),
        cmocka_unit_test(an_end_falls_silent),
        cmocka_unit_test(sockets_read_write_and_end),
    };
    (void)alarm(60);
    return cmocka_run_group_tests_name("net_link", tests, NULL, NULL);
}
