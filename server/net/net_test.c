/* Tests of net as the router sees it. Each body runs inline over memory links, and with two I/O threads over socket
 * pairs. */
#include "net/net_test_util.h"

static unsigned run_threads; /* the way in which the bodies run now */

static world *plain(void)
{
    return world_new(&(setting){.threads = run_threads, .mode = SVI_TLS_NONE});
}

static void echoes_whatever_the_pieces(void **state)
{
    (void)state;
    static const size_t chops[] = {0, 1, 7};
    for (size_t i = 0; i < 3; i++) {
        world *w = plain();
        svi_link_pairs_chop(w->pairs, chops[i]);
        client *c = client_new(w);
        client_send(c, STREAM "<message id='a'><body>one</body></message> <message id='b'/>");
        client_send(c, "<message id='c'><body>&lt;three&gt;</body></message></stream:stream>");
        assert_true(run_until(w, &w->conns[0].ends, 1));
        assert_string_equal(w->conns[0].ids, "abc");
        assert_true(run_until_text(w, c, "&lt;three", 1));
        assert_int_equal(count_text(c, "<body>one</body>"), 1);
        settle(w);
        assert_int_equal(w->conns[0].sent_count, 3);
        for (size_t k = 0; k < 3; k++) {
            assert_int_equal(w->conns[0].sent[k], k + 1);
            assert_true(w->conns[0].written[k]);
        }
        assert_int_equal(svi_conn_queued_bytes(w->conns[0].conn), 0);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_whatever_the_pieces),
    };
    (void)alarm(60);
    make_certificate();
    int failed = 0;
    for (run_threads = 0; run_threads <= 2; run_threads += 2)
        failed += cmocka_run_group_tests_name(
            run_threads == 0 ? "net inline" : "net with 2 threads", tests, NULL, NULL);
    remove_certificate();
    return failed;
}
