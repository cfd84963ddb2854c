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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reset_behind_bytes_is_told_twice),
        cmocka_unit_test(bytes_cross_within_the_window),
        cmocka_unit_test(readiness_is_told_while_it_lasts),
        cmocka_unit_test(an_end_is_read_after_the_rest),
        cmocka_unit_test(links_may_be_closed_from_readiness),
        cmocka_unit_test(sockets_read_write_and_end),
    };
    (void)alarm(60);
    return cmocka_run_group_tests_name("net_link", tests, NULL, NULL);
}
