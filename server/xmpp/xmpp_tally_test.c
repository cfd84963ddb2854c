/* The two queues of a counted session: h over all lanes, what comes again, numbers and acknowledgements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "xmpp/xmpp_tally.h"

static svi_acct acct = {.name = "test"};
static svi_tally *t;

static int set_up(void **state)
{
    (void)state;
    t = svi_tally_new(&acct, false);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    svi_tally_out *left = svi_tally_take(t);
    while (left != NULL) svi_tally_out_free(&left);
    svi_tally_free(&t);
    return acct.live_bytes == 0 ? 0 : -1;
}

static sv_stanza *stanza_of(const char *text)
{
    sv_stanza *stanza = NULL;
    sv_err err;
    assert_int_equal(
        svi_stanza_parse(&acct, NULL, sv_str_of(text), SV_STR(SVI_NS_CLIENT), &stanza, &err), SV_OK);
    return stanza;
}

/* --- in -------------------------------------------------------------------------------------- */

static uint64_t came(uint64_t mark)
{
    bool is_repeat = true;
    const uint64_t serial = svi_tally_in(t, mark, &is_repeat);
    assert_false(is_repeat);
    return serial;
}

static uint64_t came_again(uint64_t mark)
{
    bool is_repeat = false;
    const uint64_t serial = svi_tally_in(t, mark, &is_repeat);
    assert_true(is_repeat);
    return serial;
}

/* XEP-0198 4: h is the last one up to which all are handled. */
static void h_is_in_order(void **state)
{
    (void)state;
    assert_int_equal(svi_tally_newest(t), 0);
    const uint64_t a = came(0), b = came(0), c = came(0);
    assert_int_equal(svi_tally_received(t), 3);
    assert_int_equal(svi_tally_newest(t), c);
    assert_false(svi_tally_let_go(t, b, false));
    assert_int_equal(svi_tally_h(t), 0);
    assert_int_equal(svi_tally_done(t), 0);
    assert_true(svi_tally_let_go(t, a, false));
    assert_int_equal(svi_tally_h(t), 2);
    assert_int_equal(svi_tally_handled(t), b);
    assert_true(svi_tally_let_go(t, c, false));
    assert_int_equal(svi_tally_h(t), 3);
    assert_int_equal(svi_tally_received(t), 3);
}

static void it_waits_for_all_that_it_caused(void **state)
{
    (void)state;
    const uint64_t a = came(0);
    svi_tally_hold(t, a);
    svi_tally_hold(t, a);
    assert_false(svi_tally_let_go(t, a, false));
    assert_false(svi_tally_let_go(t, a, false));
    assert_int_equal(svi_tally_h(t), 0);
    assert_true(svi_tally_let_go(t, a, false));
    assert_int_equal(svi_tally_h(t), 1);
    svi_tally_hold(t, 0); /* nobody's */
    assert_false(svi_tally_let_go(t, 0, false));
}

/* The ring turns round and grows. */
static void many_come_and_go(void **state)
{
    (void)state;
    uint64_t newest = 0;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 7 + round; i++) newest = came(0);
        for (uint64_t serial = newest; serial > svi_tally_handled(t); serial--)
            (void)svi_tally_let_go(t, serial, false);
        assert_int_equal(svi_tally_handled(t), newest);
    }
    assert_int_equal(svi_tally_h(t), newest);
}

static void it_is_full(void **state)
{
    (void)state;
    const uint64_t first = came(0);
    while (!svi_tally_is_full(t)) (void)svi_tally_let_go(t, came(0), false);
    assert_int_equal(svi_tally_received(t), SVI_TALLY_IN_MAX);
    assert_true(svi_tally_let_go(t, first, false));
    assert_false(svi_tally_is_full(t));
    assert_int_equal(svi_tally_h(t), SVI_TALLY_IN_MAX);
}

static void what_is_done_counts_when_it_is_noted(void **state)
{
    (void)state;
    svi_tally_free(&t);
    t = svi_tally_new(&acct, true);
    const uint64_t a = came(0), b = came(0), c = came(0);
    assert_false(svi_tally_let_go(t, a, false));
    assert_false(svi_tally_let_go(t, b, true)); /* a is not noted yet */
    assert_int_equal(svi_tally_h(t), 0);
    assert_int_equal(svi_tally_done(t), b);
    assert_true(svi_tally_note(t, a));
    assert_int_equal(svi_tally_h(t), 2);
    assert_true(svi_tally_let_go(t, c, true));
    assert_int_equal(svi_tally_h(t), 3);
}

static void marks(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "<message id='1' to='a@b'/>",  "<message id='2' to='a@b'/>",
        "<message id='1' to='a@c'/>",  "<message id='1' to='a@b' type='chat'/>",
        "<iq id='1' to='a@b'/>",       "<message id='1' to='chat' type='a@b'/>",
        "<message id='a@b' to='1'/>",
    };
    uint64_t seen[7];
    for (size_t i = 0; i < 7; i++) {
        sv_stanza *stanza = stanza_of(texts[i]);
        seen[i] = svi_tally_mark(stanza);
        assert_int_not_equal(seen[i], 0);
        for (size_t k = 0; k < i; k++) assert_int_not_equal(seen[i], seen[k]);
        svi_stanza_unref(&stanza);
    }
    sv_stanza *same = stanza_of("<message to='a@b' id='1'><body>other</body></message>");
    assert_int_equal(svi_tally_mark(same), seen[0]);
    svi_stanza_unref(&same);
    sv_stanza *none = stanza_of("<message to='a@b'/>");
    assert_int_equal(svi_tally_mark(none), 0);
    svi_stanza_unref(&none);
}

/* The client sends again what is above h: what is under way is not heard twice, and counts when it is done. */
static void what_comes_again_is_not_heard_twice(void **state)
{
    (void)state;
    const uint64_t a = came(11), b = came(12), c = came(13);
    (void)svi_tally_let_go(t, b, false); /* done, and not counted */
    svi_tally_repeat(t);
    assert_int_equal(svi_tally_h(t), 0);
    assert_int_equal(svi_tally_received(t), 0);
    const uint64_t a2 = came_again(11), b2 = came_again(12), c2 = came_again(13);
    assert_true(a < a2 && c < a2 && a2 < b2 && b2 < c2);
    assert_int_equal(svi_tally_h(t), 0);
    assert_true(svi_tally_let_go(t, a, false));
    assert_int_equal(svi_tally_h(t), 2); /* b had been done */
    assert_true(svi_tally_let_go(t, c, false));
    assert_int_equal(svi_tally_h(t), 3);
    (void)came(11); /* a new one with the id of an old one */
}

/* It sends others instead, or only some. */
static void what_does_not_come_again(void **state)
{
    (void)state;
    const uint64_t a = came(11), b = came(12), c = came(0);
    (void)svi_tally_let_go(t, b, false);
    svi_tally_repeat(t);
    const uint64_t new = came(21);
    assert_int_equal(svi_tally_received(t), 1);
    const uint64_t b2 = came_again(12);
    assert_true(svi_tally_let_go(t, new, false));
    assert_int_equal(svi_tally_h(t), 2);
    assert_int_equal(svi_tally_handled(t), b2);
    (void)svi_tally_let_go(t, a, false); /* as well, and counts for nothing */
    (void)svi_tally_let_go(t, c, false);
    assert_int_equal(svi_tally_h(t), 2);
}

/* Twice cut, twice sent again. */
static void it_comes_a_third_time(void **state)
{
    (void)state;
    const uint64_t a = came(11);
    svi_tally_repeat(t);
    (void)came_again(11);
    svi_tally_repeat(t);
    (void)came_again(11);
    assert_int_equal(svi_tally_h(t), 0);
    (void)svi_tally_let_go(t, a, false);
    assert_int_equal(svi_tally_h(t), 1);
    assert_int_equal(svi_tally_received(t), 1);
}

/* What is never sent again is forgotten, once it must have been. */
static void formers_are_forgotten(void **state)
{
    (void)state;
    const uint64_t a = came(11), b = came(12);
    (void)svi_tally_let_go(t, b, false);
    svi_tally_repeat(t);
    const int64_t before = acct.live_count;
    (void)came(31);
    (void)came(32);
    assert_int_equal(acct.live_count, before - 1); /* b; a is under way */
    (void)came(12);                                /* late: new */
    (void)svi_tally_let_go(t, a, false);
    assert_int_equal(acct.live_count, before - 2);
}

/* --- out ------------------------------------------------------------------------------------- */

static void add(uint64_t entry)
{
    sv_stanza *stanza = stanza_of("<message><body>x</body></message>");
    (void)svi_tally_add(t, &(svi_tally_copy){.stanza = stanza, .to = SV_STR("a@b/c"), .entry = entry});
    svi_stanza_unref(&stanza);
}

static void hand_all(void)
{
    while (svi_tally_next(t) != NULL) svi_tally_handed(t);
}

/* The entries of those that are acknowledged, one digit each. */
static unsigned ack(uint32_t h)
{
    svi_tally_out *acked = NULL;
    unsigned entries = 0;
    assert_int_equal(svi_tally_ack(t, h, &acked), SV_OK);
    while (acked != NULL) {
        entries = entries * 10 + (unsigned)acked->entry;
        svi_tally_out_free(&acked);
    }
    return entries;
}

static void acks_take_the_oldest(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 5; i++) add(i);
    hand_all();
    assert_int_equal(svi_tally_waiting(t).count, 5);
    assert_int_equal(ack(2), 12);
    assert_int_equal(ack(2), 0);
    assert_int_equal(svi_tally_waiting(t).count, 3);
    assert_int_equal(svi_tally_first(t)->number, 3);
    assert_int_equal(ack(5), 345);
    assert_int_equal(svi_tally_waiting(t).count, 0);
    assert_int_equal(svi_tally_waiting(t).bytes, 0);
    add(6);
    assert_int_equal(svi_tally_first(t)->number, 6);
}

/* XEP-0198 6: more than it was sent; what only waits was not. */
static void acks_too_high_and_too_low(void **state)
{
    (void)state;
    svi_tally_out *acked;
    assert_int_equal(svi_tally_ack(t, 1, &acked), SV_EINVAL);
    for (uint64_t i = 1; i <= 4; i++) add(i);
    for (int i = 0; i < 3; i++) svi_tally_handed(t);
    assert_int_equal(svi_tally_sent(t), 3);
    assert_int_equal(svi_tally_added(t), 4);
    assert_int_equal(svi_tally_ack(t, 4, &acked), SV_EINVAL);
    assert_int_equal(svi_tally_ack(t, UINT32_MAX, &acked), SV_EINVAL);
    assert_int_equal(ack(3), 123);
    assert_int_equal(svi_tally_ack(t, 2, &acked), SV_ENOTFOUND);
    assert_int_equal(svi_tally_ack(t, 0, &acked), SV_ENOTFOUND);
    assert_int_equal(svi_tally_ack(t, 4, &acked), SV_EINVAL);
    assert_null(acked);
    assert_int_equal(svi_tally_acked(t), 3);
    svi_tally_handed(t);
    assert_int_equal(ack(4), 4);
}

/* Another connection gets all again that is not acknowledged; what the old one was given may still be. */
static void all_again_in_order(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 5; i++) add(i);
    for (int i = 0; i < 4; i++) svi_tally_handed(t);
    assert_int_equal(ack(1), 1);
    svi_tally_rewind(t);
    assert_int_equal(svi_tally_next(t)->entry, 2);
    assert_true(svi_tally_next(t)->was_handed);
    assert_int_equal(ack(3), 23); /* beyond what this one was given */
    assert_int_equal(svi_tally_next(t)->entry, 4);
    svi_tally_handed(t);
    assert_int_equal(svi_tally_next(t)->entry, 5);
    assert_false(svi_tally_next(t)->was_handed);
    assert_int_equal(svi_tally_sent(t), 4);
    hand_all();
    assert_int_equal(ack(5), 45);
    assert_null(svi_tally_next(t));
}

static void a_newer_one_takes_its_place(void **state)
{
    (void)state;
    add(1);
    svi_tally_handed(t);
    add(2);
    add(3);
    svi_tally_out *second = svi_tally_next(t);
    sv_stanza *newer = stanza_of("<presence from='a@b/c'><status>a longer one</status></presence>");
    const size_t before = svi_tally_waiting(t).bytes;
    assert_int_equal(svi_tally_replace(t, second, &(svi_tally_copy){.stanza = newer, .entry = 4}), 2);
    assert_true(svi_tally_waiting(t).bytes != before);
    assert_int_equal(svi_tally_waiting(t).count, 3);
    assert_int_equal(second->number, 2);
    assert_ptr_equal(second->stanza, newer);
    svi_stanza_unref(&newer);
    hand_all();
    assert_int_equal(ack(3), 143);
}

/* Whoever has answered a request has got it. */
static void a_request_that_was_answered(void **state)
{
    (void)state;
    static const char *const said[] = {"<iq type='result' id='2' to='a@b/c'/>", "<iq type='result' id='1' to='a@b/d'/>",
                                       "<iq type='get' id='1' to='a@b/c'/>", "<iq type='error' id='1' to='a@b/c'/>"};
    sv_stanza *asked = stanza_of("<iq type='get' id='1' from='a@b/c'/>");
    add(1);
    (void)svi_tally_add(t, &(svi_tally_copy){.stanza = asked, .entry = 2});
    svi_stanza_unref(&asked);
    const svi_tally_out *request = svi_tally_first(t)->next;
    for (size_t i = 0; i < 4; i++) {
        if (i == 3) hand_all();
        sv_stanza *stanza = stanza_of(said[i]);
        svi_tally_answer(t, stanza);
        svi_stanza_unref(&stanza);
        assert_int_equal(request->is_answered, i == 3);
    }
    assert_false(svi_tally_first(t)->is_answered);
}

/* XEP-0198 4: behind 2^32 - 1 comes 0. */
static void numbers_begin_again(void **state)
{
    (void)state;
    svi_tally_begin_at(t, UINT32_MAX - 1, UINT32_MAX - 1);
    for (int i = 0; i < 3; i++) (void)svi_tally_let_go(t, came(0), false);
    assert_int_equal(svi_tally_h(t), 1);
    for (uint64_t i = 1; i <= 4; i++) add(i);
    assert_int_equal(svi_tally_first(t)->number, UINT32_MAX);
    for (int i = 0; i < 3; i++) svi_tally_handed(t);
    svi_tally_out *acked;
    assert_int_equal(svi_tally_ack(t, 2, &acked), SV_EINVAL);
    assert_int_equal(ack(0), 12);
    assert_int_equal(svi_tally_ack(t, UINT32_MAX, &acked), SV_ENOTFOUND);
    assert_int_equal(ack(1), 3);
    assert_int_equal(svi_tally_sent(t), 1);
    assert_int_equal(svi_tally_added(t), 2);
}

static void places_are_kept_apart(void **state)
{
    (void)state;
    static int any;
    sv_stanza *stanza = stanza_of("<message/>");
    const svi_tally_place place = {
        .map = (svi_map *)(void *)&any, .owner = SV_STR("a"), .key = SV_STR("k")};
    add(1);
    (void)svi_tally_add(t, &(svi_tally_copy){.stanza = stanza, .entry = 2, .place = &place});
    svi_stanza_unref(&stanza);
    const svi_tally_sum sum = svi_tally_waiting(t);
    assert_true(sum.stored_bytes > 0 && sum.stored_bytes < sum.bytes);
    hand_all();
    assert_int_equal(ack(1), 1);
    assert_int_equal(svi_tally_waiting(t).stored_bytes, svi_tally_waiting(t).bytes);
    assert_true(sv_str_eq(svi_tally_first(t)->place.key, SV_STR("k")));
    assert_int_equal(ack(2), 2);
    assert_int_equal(svi_tally_waiting(t).stored_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(h_is_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_waits_for_all_that_it_caused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_come_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_done_counts_when_it_is_noted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(marks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_again_is_not_heard_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_come_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_comes_a_third_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(formers_are_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(acks_take_the_oldest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(acks_too_high_and_too_low, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_again_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_newer_one_takes_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_that_was_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_begin_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(places_are_kept_apart, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
