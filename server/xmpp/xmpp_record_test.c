/* The form of what is stored of a session: what all notes say together, damage, later releases. */
#include "xmpp/xmpp_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/base_testing.h"

typedef struct fixture {
    svi_acct acct;
    svi_arena *arena;
    svi_buf buf;
    svi_record record;
    sv_err err;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->arena = svi_arena_new(&f->acct, 0);
    svi_buf_init(&f->buf, &f->acct);
    const svi_note_head head = {
        .full = SV_STR("romeo@one.example/orchard"), .lang = SV_STR("en"), .bound_us = 1234567};
    svi_note_put_head(&f->buf, &head);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    svi_buf_free(&f->buf);
    svi_arena_free(&f->arena);
    assert_int_equal(f->acct.live_bytes, 0);
    free(f);
    return 0;
}

static void read_it(fixture *f)
{
    f->err = (sv_err){.text = ""};
    assert_int_equal(svi_record_read(f->arena, svi_buf_str(&f->buf), &f->record, &f->err), SV_OK);
}

#define assert_str(is, must) assert_true(sv_str_eq(is, SV_STR(must)))

static void test_short_form(void **state)
{
    fixture *f = *state;
    read_it(f);
    const svi_record *r = &f->record;
    assert_str(r->head.full, "romeo@one.example/orchard");
    assert_str(r->head.lang, "en");
    assert_int_equal(r->head.bound_us, 1234567);
    assert_false(r->is_counted);
    assert_int_equal(r->presence.n, 0);
    svi_note_put_presence(&f->buf, SV_STR("<presence/>"), -1);
    read_it(f);
    assert_str(r->presence, "<presence/>");
    assert_int_equal(r->priority, -1);
    svi_note_put_presence(&f->buf, SV_STR(""), 0);
    svi_note_put_away(&f->buf, INT64_C(1) << 50);
    read_it(f);
    assert_int_equal(r->presence.n, 0);
    assert_int_equal(r->away_us, INT64_C(1) << 50);
}

static void test_in(void **state)
{
    fixture *f = *state;
    const svi_note_counted counted = {.is_counting_out = true,
                                      .keep_us = 600000,
                                      .max_stanzas = 1000,
                                      .max_bytes = UINT64_MAX,
                                      .ask_stanzas = 3,
                                      .ask_bytes = 4,
                                      .ask_idle_us = 5,
                                      .answer_us = 6};
    svi_note_put_counted(&f->buf, &counted);
    svi_note_put_done(&f->buf, 3, UINT64_MAX);
    svi_note_put_done(&f->buf, 4, 44);
    svi_note_put_in(&f->buf, UINT32_MAX, 2, 2);
    read_it(f);
    const svi_record *r = &f->record;
    assert_true(r->is_counted);
    assert_true(r->counted.is_counting_out);
    assert_int_equal(r->counted.keep_us, 600000);
    assert_int_equal(r->counted.ask_stanzas, 3);
    assert_int_equal(r->counted.ask_bytes, 4);
    assert_int_equal(r->counted.ask_idle_us, 5);
    assert_int_equal(r->counted.answer_us, 6);
    assert_int_equal(r->counted.max_stanzas, 1000);
    assert_true(r->counted.max_bytes == UINT64_MAX);
    assert_int_equal(r->h, UINT32_MAX);
    assert_int_equal(r->serial, 2);
    assert_int_equal(r->done->serial, 3);
    assert_true(r->done->mark == UINT64_MAX);
    assert_int_equal(r->done->next->mark, 44);
    svi_note_put_in(&f->buf, 1, 3, 4); /* it went round */
    svi_note_put_done(&f->buf, 6, 66);
    read_it(f);
    assert_int_equal(r->h, 1);
    assert_int_equal(r->done->serial, 4);
    assert_int_equal(r->done->next->serial, 6);
    assert_null(r->done->next->next);
}

static void test_copies(void **state)
{
    fixture *f = *state;
    svi_note_put_copy(&f->buf, &(svi_note_copy){.ticket = 1, .since_us = 5, .stanza = SV_STR("<message/>")});
    svi_note_put_number(&f->buf, 1, 2);
    svi_note_put_copy(&f->buf, &(svi_note_copy){.ticket = 4,
                                                .since_us = 6,
                                                .to = SV_STR("a@b/c"),
                                                .map = SV_STR("m"),
                                                .owner = SV_STR("o"),
                                                .key = SV_STR("k")});
    svi_note_put_copy(&f->buf, &(svi_note_copy){.ticket = 5, .stanza = SV_STR("<message/>")});
    svi_note_put_number(&f->buf, 4, 7);
    read_it(f);
    const svi_record *r = &f->record;
    assert_int_equal(r->noted, 7);
    const svi_record_copy *first = r->copies, *second = first->next, *third = second->next;
    assert_int_equal(first->number, 2);
    assert_null(first->note.to.p);
    assert_str(first->note.stanza, "<message/>");
    assert_int_equal(first->note.map.n, 0);
    assert_int_equal(second->number, 7);
    assert_int_equal(second->note.since_us, 6);
    assert_str(second->note.to, "a@b/c");
    assert_int_equal(second->note.stanza.n, 0);
    assert_str(second->note.map, "m");
    assert_str(second->note.owner, "o");
    assert_str(second->note.key, "k");
    assert_int_equal(third->number, 0);
    assert_int_equal(r->last_ticket, 5);
    svi_note_put_acked(&f->buf, 6);
    read_it(f);
    assert_int_equal(r->acked, 6);
    assert_int_equal(r->copies->number, 7);
    svi_note_put_acked(&f->buf, 20); /* what had no number was not acknowledged */
    read_it(f);
    assert_int_equal(r->copies->note.ticket, 5);
    assert_int_equal(r->noted, 20);
    svi_note_put_gone(&f->buf, 5);
    svi_note_put_gone(&f->buf, 3);
    svi_note_put_copy(&f->buf, &(svi_note_copy){.ticket = 6, .stanza = SV_STR("<message/>")});
    svi_note_put_number(&f->buf, 6, 21);
    svi_note_put_ended(&f->buf);
    read_it(f);
    assert_int_equal(r->copies->number, 21);
    assert_null(r->copies->next);
    assert_true(r->has_ended);
    const size_t good = f->buf.len;
    svi_note_put_number(&f->buf, 6, 0); /* numbers begin with 1 */
    assert_int_equal(svi_record_read(f->arena, svi_buf_str(&f->buf), &f->record, &f->err), SV_EIO);
    f->buf.len = good;
    svi_note_put_copy(&f->buf, &(svi_note_copy){.ticket = 8}); /* it has to be somewhere */
    assert_int_equal(svi_record_read(f->arena, svi_buf_str(&f->buf), &f->record, &f->err), SV_EIO);
}

/* Units of events that waited come behind later ones, behind snapshots, behind what was acknowledged meanwhile. */
static void test_other_order(void **state)
{
    fixture *f = *state;
    const svi_note_copy early = {.ticket = 1, .stanza = SV_STR("<early/>")}, late = {.ticket = 2, .stanza = SV_STR("<late/>")};
    svi_note_put_copy(&f->buf, &late);
    svi_note_put_number(&f->buf, 2, 12);
    svi_note_put_copy(&f->buf, &early);
    svi_note_put_number(&f->buf, 1, 11);
    svi_note_put_copy(&f->buf, &late); /* once more: it is the same */
    svi_note_put_number(&f->buf, 2, 12);
    read_it(f);
    const svi_record *r = &f->record;
    assert_int_equal(r->noted, 12);
    assert_int_equal(r->copies->number, 12);
    assert_int_equal(r->copies->next->number, 11);
    assert_null(r->copies->next->next);
    svi_note_put_acked(&f->buf, 11);
    svi_note_put_copy(&f->buf, &early);
    svi_note_put_number(&f->buf, 1, 11); /* the client has it */
    read_it(f);
    assert_int_equal(r->copies->note.ticket, 2);
    assert_null(r->copies->next);
    for (uint64_t i = 5; i <= 8; i++) { /* held back, and sent or dropped, before their notes were written */
        if (i < 8) svi_note_put_number(&f->buf, i, 10 + i);
        if (i == 5) svi_note_put_acked(&f->buf, 15);
        if (i == 7) svi_note_put_gone(&f->buf, i);
        svi_note_put_copy(&f->buf, &(svi_note_copy){.ticket = i, .stanza = SV_STR("<message/>")});
    }
    read_it(f);
    const svi_record_copy *sent = r->copies;
    assert_int_equal(sent->note.ticket, 6);
    assert_int_equal(sent->number, 16);
    assert_int_equal(sent->next->note.ticket, 8);
    assert_int_equal(sent->next->number, 0);
    assert_null(sent->next->next);
    svi_note_put_request(&f->buf, &(svi_note_request){.number = 8, .id = SV_STR("8")});
    svi_note_put_request(&f->buf, &(svi_note_request){.number = 7, .id = SV_STR("7")});
    read_it(f);
    assert_int_equal(r->last_request, 8);
    assert_str(r->requests->next->note.id, "7");
}

static void test_items_and_requests(void **state)
{
    fixture *f = *state;
    svi_note_put_item(&f->buf, SV_STR("one"), SV_STR("1"));
    svi_note_put_item(&f->buf, SV_STR("two"), SV_STR(""));
    svi_note_put_item(&f->buf, SV_STR("one"), SV_STR("11"));
    for (uint64_t i = 1; i <= 3; i++)
        svi_note_put_request(&f->buf,
                             &(svi_note_request){.number = i, .id = SV_STR("id"), .to = i == 2 ? SV_STR("x") : SV_STR_NONE});
    svi_note_put_answer(&f->buf, 2, 77);
    svi_note_put_answer(&f->buf, 9, 78);
    svi_note_put_answered(&f->buf, 3);
    svi_note_put_answered(&f->buf, 9);
    svi_note_put_request(&f->buf, &(svi_note_request){.number = 4, .id = SV_STR("last"), .answer = 5});
    svi_note_put_answered(&f->buf, 1);
    read_it(f);
    const svi_record *r = &f->record;
    assert_str(r->items->name, "one");
    assert_str(r->items->value, "11");
    assert_true(r->items->next->value.p != NULL && r->items->next->value.n == 0);
    assert_int_equal(r->requests->note.number, 2);
    assert_str(r->requests->note.to, "x");
    assert_int_equal(r->requests->note.answer, 77);
    assert_int_equal(r->requests->next->note.answer, 5);
    assert_str(r->requests->next->note.id, "last");
    assert_null(r->requests->next->note.to.p);
    assert_null(r->requests->next->next);
    svi_note_put_item(&f->buf, SV_STR("one"), SV_STR_NONE);
    svi_note_put_item(&f->buf, SV_STR("three"), SV_STR_NONE);
    read_it(f);
    assert_str(r->items->name, "two");
    assert_null(r->items->next);
}

/* A part that a later release has put behind what is known is passed over, an unknown note is not. */
static void test_later_release(void **state)
{
    fixture *f = *state;
    static const char longer[] = {6, 4, 5, 1, 1, 1}; /* acked 5, and more */
    svi_buf_put(&f->buf, (sv_str){longer, sizeof longer});
    read_it(f);
    assert_int_equal(f->record.acked, 5);
    static const char unknown[] = {16, 0};
    svi_buf_put(&f->buf, (sv_str){unknown, sizeof unknown});
    assert_int_equal(svi_record_read(f->arena, svi_buf_str(&f->buf), &f->record, &f->err), SV_EVERSION);
    assert_string_equal(f->err.text, "a note of kind 16 is of a later release");
}

/* Cut anywhere, or with any byte another one: read or refused, never believed beyond its end (ASan watches). */
static void test_damage(void **state)
{
    fixture *f = *state;
    svi_note_put_counted(&f->buf, &(svi_note_counted){.keep_us = 1});
    svi_note_put_copy(&f->buf, &(svi_note_copy){.ticket = 2, .stanza = SV_STR("<message/>"), .key = SV_STR("k")});
    svi_note_put_item(&f->buf, SV_STR("one"), SV_STR("1"));
    svi_note_put_request(&f->buf, &(svi_note_request){.number = 1, .id = SV_STR("id")});
    svi_note_put_presence(&f->buf, SV_STR("<presence/>"), 1);
    const sv_str whole = svi_buf_str(&f->buf);
    size_t whole_notes = 0;
    for (size_t n = 0; n < whole.n; n++) {
        char *copy = malloc(n + 1); /* exact, for ASan */
        memcpy(copy, whole.p, n);
        whole_notes += svi_record_read(f->arena, (sv_str){copy, n}, &f->record, &f->err) == SV_OK;
        free(copy);
    }
    assert_int_equal(whole_notes, 5); /* where a note ends */
    char *copy = malloc(whole.n);
    for (size_t i = 0; i < whole.n; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, whole.p, whole.n);
            copy[i] = (char)(copy[i] ^ (1 << bit));
            const sv_status status = svi_record_read(f->arena, (sv_str){copy, whole.n}, &f->record, &f->err);
            assert_true(status == SV_OK || status == SV_EIO || status == SV_EVERSION);
        }
    free(copy);
    static const char no_head[] = {6, 1, 5};
    assert_int_equal(svi_record_read(f->arena, (sv_str){no_head, 3}, &f->record, &f->err), SV_EIO);
    assert_int_equal(svi_record_read(f->arena, SV_STR_NONE, &f->record, &f->err), SV_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_short_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_copies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_items_and_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_later_release, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
