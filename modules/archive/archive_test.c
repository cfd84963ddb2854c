/* Tests of archives: what is stored for whom and how often, what is refused, and the bounds of what is sent. */
#include "../../tests/modules/modules_world.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_recorder.h"
#include "archive.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define ENTRIES "archive/messages"
#define BODIES "archive/messages-bodies"
#define WITH_ID "<stanza-id xmlns='urn:xmpp:sid:0' by='" JULIET "' id='"

/* --- times --------------------------------------------------------------------------------- */

static void times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: it is none */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1969-07-21T02:56:15Z", -14159025000},
        {"2010-06-07T00:00:00Z", 1275868800000},
        {"2024-02-29T12:00:00.5Z", 1709208000500},
        {"2024-02-29T12:00:00.123456Z", 1709208000123},
        {"2024-02-29T12:00:00+01:30", 1709202600000},
        {"2024-02-29T12:00:00.001-05:00", 1709226000001},
        {"2023-02-29T12:00:00Z", -1},
        {"2024-13-01T00:00:00Z", -1},
        {"2024-02-29T24:00:00Z", -1},
        {"2024-02-29T12:00:00", -1},
        {"2024-02-29T12:00:00.Z", -1},
        {"2024-02-29T12:00:00Zx", -1},
        {"2024-02-29T12:00:00+1:30", -1},
        {"20240229T12:00:00Z", -1},
        {"2024-02-29", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t ms = -1;
        const bool is_time = archive_time_read(sv_str_of(cases[i].text), &ms);
        if (is_time != (cases[i].ms != -1) || (is_time && ms != cases[i].ms))
            fail_msg("%s: %lld", cases[i].text, (long long)ms);
    }
}

/* --- who has what -------------------------------------------------------------------------- */

static world *play(const char *modules, const char *more, client **romeo, client **juliet)
{
    world *w = stage(modules, more);
    account(w, "romeo");
    account(w, "juliet");
    *romeo = online(w, ROMEO "/orchard");
    if (juliet != NULL) *juliet = online(w, JULIET "/balcony");
    forget(w);
    return w;
}

static void delete_account(world *w, const char *name)
{
    int status = 1;
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), sv_str_of(name), w_status, &status);
    for (int i = 0; i < 100 && status == 1; i++) turn(w);
    assert_int_equal(status, SV_OK);
}

static void a_body_is_there_as_long_as_somebody_has_it(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m1'><body>one</body></message>"
                  "<message type='chat' to='" JULIET "' id='m2'><body>two</body></message>");
    assert_int_equal(SEEN(w, juliet, .id = "m2", .holds = WITH_ID), 1);
    say(w, romeo, "<message type='chat' to='" ROMEO "' id='m3'><body>own</body></message>");
    assert_int_equal(row_count(w, ENTRIES, "romeo"), 3); /* XEP-0313 6.1.1: once, however many get it */
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 2);
    assert_int_equal(row_count(w, BODIES, "/"), 3);
    delete_account(w, "juliet");
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 0);
    assert_int_equal(row_count(w, BODIES, "/"), 3);
    halt(w, false);
    boot(w, "\"roster\"", ""); /* whether the module is there or not */
    delete_account(w, "romeo");
    assert_int_equal(row_count(w, ENTRIES, "romeo"), 0);
    assert_int_equal(row_count(w, BODIES, "/"), 0);
    leave(w);
}

/* XEP-0313 6.1: what an entity rejects is not in its archive; what it never gets neither. */
static void what_is_rejected_is_not_archived(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    say(w, juliet, "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='" ROMEO "'/></block></iq>");
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m1'><body>one</body></message>");
    assert_int_equal(SEEN(w, juliet, .id = "m1"), 0);
    say(w, juliet, "<iq type='set' id='b'><unblock xmlns='urn:xmpp:blocking'/></iq>");
    say(w, romeo, "<message to='" JULIET "/attic' id='m2'><body>two</body></message>"); /* RFC 6121 8.5.3.2.1 */
    assert_int_equal(SEEN(w, romeo, .id = "m2", .type = "error"), 1);
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 0);
    say(w, romeo, "<message type='chat' to='" JULIET "/attic' id='m3'><body>three</body></message>");
    assert_int_equal(SEEN(w, juliet, .id = "m3", .holds = WITH_ID), 1);
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 1);
    assert_int_equal(row_count(w, ENTRIES, "romeo"), 3); /* he has said it */
    say(w, romeo, "<message to='nobody@" HERE "' id='m4'><body>four</body></message>");
    assert_int_equal(row_count(w, ENTRIES, "nobody"), 0);
    leave(w);
}

/* Nor what is refused behind the archive, here since nobody delivers or keeps it. */
static void what_comes_back_is_not_archived(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play("\"archive\", \"refuses\", \"roster\", \"presence\", \"message\", \"offline\"", "", &romeo, &juliet);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m1'><body>one</body><refuse xmlns='urn:stave:refuses'/></message>");
    assert_int_equal(SEEN(w, juliet, .id = "m1"), 0);
    assert_int_equal(SEEN(w, romeo, .id = "m1", .type = "error"), 1);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m2'><body>two</body><drop xmlns='urn:stave:refuses'/></message>");
    assert_int_equal(SEEN(w, juliet, .id = "m2"), 0);
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 0);
    assert_int_equal(row_count(w, ENTRIES, "romeo"), 2);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m3'><body>three</body></message>");
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 1);
    svi_ledger_set_strict(svi_server_ledger(w->server), false); /* as in production: a fault of a module is told, no more */
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m4'><body>four</body><both xmlns='urn:stave:refuses'/></message>");
    assert_int_equal(SEEN(w, juliet, .id = "m4", .holds = WITH_ID), 1); /* what was delivered before is there */
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 2);
    leave(w);
}

/* Whoever has the name next finds nothing of what was under way when the account was deleted. */
static void what_outlasts_the_account_is_not_archived(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("\"archive\", \"refuses\", \"roster\", \"presence\", \"message\"", "", &romeo, NULL);
    svi_engine_sim_plan(w->engine)->hold = true;
    arrives(w, "<message type='chat' from='nurse@far.example/x' to='" JULIET "' id='m0'><body>none</body>"
               "<wait-long xmlns='urn:stave:refuses'/></message>");
    svi_engine_sim_plan(w->engine)->hold = false;
    delete_account(w, "juliet");
    for (int i = 0; i < 2000; i++) turn(w);
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0); /* it is over */
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 0);
    assert_int_equal(row_count(w, BODIES, "/"), 0); /* nobody else has it */
    leave(w);
}

/* Nor what it had written for itself in any module's rows. */
static void what_outlasts_the_account_is_not_written(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("\"archive\", \"refuses\", \"roster\", \"presence\", \"message\"", "", &romeo, NULL);
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, romeo, "<presence type='subscribe' to='" JULIET "'><wait-long xmlns='urn:stave:refuses'/></presence>");
    svi_engine_sim_plan(w->engine)->hold = false;
    delete_account(w, "romeo");
    for (int i = 0; i < 2000; i++) turn(w);
    assert_int_equal(row_count(w, "presence/requests", "juliet"), 1); /* it is over */
    assert_int_equal(row_count(w, "roster/items", "romeo"), 0);
    leave(w);
}

/* The session goes while somebody waits, so the message goes on at its account, which has it by then: once, under one id. */
static void what_loses_its_session_is_there_once(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play("\"archive\", \"refuses\", \"roster\", \"presence\", \"message\"", "", &romeo, &juliet);
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, romeo, "<message type='chat' to='" JULIET "/balcony' id='m1'><body>one</body><wait xmlns='urn:stave:refuses'/></message>");
    part(w, juliet);
    svi_engine_sim_plan(w->engine)->hold = false;
    say(w, romeo, "<message type='chat' to='" ROMEO "' id='m2'><body>two</body></message>");
    assert_int_equal(SEEN(w, romeo, .id = "m2"), 1);
    assert_int_equal(SEEN(w, romeo, .id = "m1", .type = "error"), 0); /* the archive keeps it */
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 1);
    assert_int_equal(row_count(w, BODIES, "/"), 2);
    leave(w);
}

/* XEP-0359 5, rule 2: by whom the id is, only he says. */
static void ids_that_are_forged_are_taken_off(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m1'><body>x</body>"
                  "<stanza-id xmlns='urn:xmpp:sid:0' by='" JULIET "' id='forged'/><origin-id xmlns='urn:xmpp:sid:0' id='mine'/>"
                  "<stanza-id xmlns='urn:xmpp:sid:0' by='" ROMEO "' id='forged'/></message>");
    assert_int_equal(SEEN(w, juliet, .id = "m1", .holds = WITH_ID), 1);
    assert_int_equal(SEEN(w, juliet, .holds = "forged"), 0);
    assert_int_equal(SEEN(w, juliet, .holds = "<origin-id xmlns='urn:xmpp:sid:0' id='mine'/>"), 1); /* 3.2 */
    assert_int_equal(SEEN(w, juliet, .holds = "by='" ROMEO "'"), 0); /* XEP-0313 3.5: his id is not for her */
    say(w, juliet, "<iq type='set' id='q'><query xmlns='" NS_MAM "'/></iq>");
    assert_int_equal(SEEN(w, juliet, .name = "message", .holds = "<origin-id"), 1);
    assert_int_equal(SEEN(w, juliet, .name = "message", .holds = "forged"), 0);
    leave(w);
}

static void rooms_are_archived_on_request(void **state)
{
    (void)state;
    static const char from_room[] = "<message type='groupchat' from='coven@muc.example/hecate' to='" JULIET
                                    "/balcony' id='g1'><body>hail</body></message>";
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    arrives(w, from_room);
    assert_int_equal(SEEN(w, juliet, .id = "g1"), 1);
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 0);
    leave(w);
    w = play(ALL_MODULES, "archive_rooms = true", &romeo, &juliet);
    arrives(w, from_room);
    arrives(w, "<message type='groupchat' from='coven@muc.example/hecate' to='" JULIET "' id='g2'><body>hail</body></message>");
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 1);
    say(w, juliet, "<iq type='set' id='q'><query xmlns='" NS_MAM "'><x xmlns='jabber:x:data' type='submit'>"
                   "<field var='FORM_TYPE'><value>" NS_MAM "</value></field><field var='include-groupchat'>"
                   "<value>false</value></field></x></query></iq>");
    assert_int_equal(SEEN(w, juliet, .name = "message"), 0);
    say(w, juliet, "<iq type='set' id='q'><query xmlns='" NS_MAM "'/></iq>");
    assert_int_equal(SEEN(w, juliet, .name = "message", .holds = "id='g1'"), 1);
    leave(w);
}

/* --- with and without the module offline --------------------------------------------------- */

static void what_nobody_keeps_besides_is_stored(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("\"roster\", \"presence\", \"message\", \"archive\"", "", &romeo, NULL);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m1'><body>one</body></message>"
                  "<message type='chat' to='" JULIET "' id='m2'><active xmlns='http://jabber.org/protocol/chatstates'/></message>");
    assert_int_equal(SEEN(w, romeo, .id = "m1"), 0);
    assert_int_equal(SEEN(w, romeo, .id = "m2", .type = "error"), 1); /* that one is nowhere */
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 1);
    leave(w);
}

/* --- pages --------------------------------------------------------------------------------- */

static void a_page_is_bounded_in_bytes(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    static char text[32768];
    for (int i = 0; i < 6; i++) {
        snprintf(text, sizeof text, "<message type='chat' to='" JULIET "' id='m%d'><body>%020000d</body></message>", i, i);
        say(w, romeo, text);
    }
    say(w, juliet, "<iq type='set' id='q'><query xmlns='" NS_MAM "'/></iq>");
    assert_int_equal(SEEN(w, juliet, .name = "message"), 3);
    assert_int_equal(SEEN(w, juliet, .name = "iq", .holds = "complete="), 0);
    say(w, juliet, "<iq type='set' id='q'><query xmlns='" NS_MAM "'><set xmlns='" NS_RSM "'><before/></set></query></iq>");
    assert_int_equal(SEEN(w, juliet, .name = "message"), 3);
    assert_int_equal(SEEN(w, juliet, .name = "message", .holds = "id='m5'"), 1);
    leave(w);
}

static void results_that_were_not_written_are_nobodys(void **state)
{
    (void)state;
    client *romeo;
    world *w = play(ALL_MODULES, "", &romeo, NULL);
    for (int i = 0; i < 20; i++) say(w, romeo, "<message type='chat' to='" JULIET "'><body>wherefore art thou</body></message>");
    say(w, romeo, "<iq type='set' id='q'><query xmlns='" NS_MAM "'/></iq>");
    const size_t entries = row_count(w, ENTRIES, "romeo"), bodies = row_count(w, BODIES, "/");
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 20);
    client *juliet = join_narrow(w, JULIET "/balcony");
    listens(w, juliet, false);
    say(w, juliet, "<iq type='set' id='q'><query xmlns='" NS_MAM "'/></iq>");
    part(w, juliet);
    pass_time(w, 1);
    /* neither archived nor kept for later: they are in the archive, and she asks again */
    assert_int_equal(row_count(w, ENTRIES, "romeo"), entries);
    assert_int_equal(row_count(w, ENTRIES, "juliet"), 20);
    assert_int_equal(row_count(w, BODIES, "/"), bodies);
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
    leave(w);
}

/* XEP-0313 4.1: a result has a message. One that was purged while its page was read has none any more, and is a position still. */
static void what_is_purged_meanwhile_is_left_out(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m1'><body>one</body></message>");
    svi_unit *unit = svi_unit_new(svi_server_store(w->server));
    assert_int_equal(svi_unit_del_owner(unit, map_of(w, BODIES), SV_STR("/")), SV_OK);
    svi_unit_submit(&unit);
    forget(w);
    say(w, juliet, "<iq type='set' id='q'><query xmlns='" NS_MAM "'/></iq>");
    assert_int_equal(SEEN(w, juliet, .name = "message"), 0);
    assert_int_equal(SEEN(w, juliet, .id = "q", .type = "result", .holds = "<last>"), 1);
    leave(w);
}

/* --- others ------------------------------------------------------------------------------- */

/* Whoever asks for another's archive must not learn from the answer who has an account. */
static void others_learn_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *type, *payload;
    } requests[] = {
        {"set", "<query xmlns='" NS_MAM "'/>"},
        {"get", "<query xmlns='" NS_MAM "'/>"},
        {"get", "<metadata xmlns='" NS_MAM "'/>"},
        {"get", "<prefs xmlns='" NS_MAM "'/>"},
        {"set", "<prefs xmlns='" NS_MAM "' default='never'/>"},
    };
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        char text[300], hers[2000], nobodys[2000];
        snprintf(text, sizeof text, "<iq type='%s' id='q' to='heras@" HERE "'>%s</iq>", requests[i].type, requests[i].payload);
        say(w, romeo, text);
        snprintf(nobodys, sizeof nobodys, "%.*s", (int)romeo->in.len, romeo->in.data);
        snprintf(text, sizeof text, "<iq type='%s' id='q' to='" JULIET "'>%s</iq>", requests[i].type, requests[i].payload);
        say(w, romeo, text);
        snprintf(hers, sizeof hers, "%.*s", (int)romeo->in.len, romeo->in.data);
        assert_int_equal(SEEN(w, romeo, .type = "error", .id = "q"), 1);
        char *at = strstr(nobodys, "heras");
        assert_non_null(at);
        memcpy(at, "julie", 5);
        memmove(at + 6, at + 5, strlen(at + 5) + 1);
        at[5] = 't';
        if (strcmp(hers, nobodys) != 0) fail_msg("%s\n%s", hers, nobodys);
    }
    assert_int_equal(row_count(w, "archive/prefs", "juliet"), 0);
    leave(w);
}

static void lists_are_bounded(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    svi_buf text;
    svi_buf_init(&text, &w->acct);
    svi_buf_printf(&text, "<iq type='set' id='p'><prefs xmlns='" NS_MAM "' default='always'><never>");
    for (int i = 0; i < 1001; i++) svi_buf_printf(&text, "<jid>u%d@x</jid>", i);
    svi_buf_printf(&text, "</never></prefs></iq>");
    svi_buf_putc(&text, '\0');
    say(w, romeo, text.data);
    assert_int_equal(SEEN(w, romeo, .id = "p", .type = "error", .holds = "resource-constraint"), 1);
    assert_int_equal(row_count(w, "archive/prefs", "romeo"), 0);
    svi_buf_free(&text);
    leave(w);
}

/* --- a disk that fails ---------------------------------------------------------------------- */

/* What can't be archived is not delivered either: its sender is told, and nothing is in one archive alone. */
static void a_disk_that_fails_is_told(void **state)
{
    (void)state;
    client *romeo;
    world *w = play(ALL_MODULES, "", &romeo, NULL);
    size_t told = 0;
    for (int n = 1; n <= 6; n++) {
        char text[200], id[16];
        const size_t before = row_count(w, ENTRIES, "juliet");
        halt(w, false);
        boot(w, ALL_MODULES, ""); /* nothing is in memory */
        romeo = online(w, ROMEO "/orchard");
        forget(w);
        snprintf(id, sizeof id, "m%d", n);
        snprintf(text, sizeof text, "<message type='chat' to='" JULIET "' id='%s'><body>x</body></message>", id);
        svi_engine_sim_plan(w->engine)->fail_read = n; /* for her account, her preferences, her kept messages ... */
        say(w, romeo, text);
        svi_engine_sim_plan(w->engine)->fail_read = 0;
        const bool is_told = SEEN(w, romeo, .id = id, .type = "error", .holds = "internal-server-error") == 1;
        if (!is_told) assert_int_equal(row_count(w, ENTRIES, "juliet"), before + 1);
        told += is_told;
    }
    assert_in_range(told, 2, 5);
    leave(w);
}

/* A page is read, and nothing is written for it, though the session outlives a crash. */
static void pages_are_in_no_record(void **state)
{
    (void)state;
    const svi_counting how = {.keep_us = 1, .max_stanzas = 1000, .max_bytes = 1u << 20, .ask_stanzas = 1000,
                              .ask_bytes = 1u << 20, .ask_idle_us = 1000000000, .answer_us = 1000000000};
    sv_err err;
    client *romeo, *juliet;
    world *w = play(ALL_MODULES, "", &romeo, &juliet);
    w->server->keeps_records = true;
    assert_int_equal(svi_records_open(svi_host_find(w->server, SV_STR(HERE)), &err), SV_OK);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m'><body>x</body></message>");
    client *train = online(w, JULIET "/train");
    sv_session *session = svi_session_find(w->server, SV_STR(JULIET "/train"));
    svi_session_count_in(session, &how);
    svi_session_count_out(session);
    pass_time(w, 2000000);
    const uint64_t before = svi_store_submitted(svi_server_store(w->server));
    say(w, train, "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
    assert_int_equal(SEEN(w, train, .holds = "<result "), 1);
    assert_int_equal(svi_store_submitted(svi_server_store(w->server)), before);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(pages_are_in_no_record),
        cmocka_unit_test(a_body_is_there_as_long_as_somebody_has_it),
        cmocka_unit_test(what_is_rejected_is_not_archived),
        cmocka_unit_test(what_comes_back_is_not_archived),
        cmocka_unit_test(what_loses_its_session_is_there_once),
        cmocka_unit_test(what_outlasts_the_account_is_not_archived),
        cmocka_unit_test(what_outlasts_the_account_is_not_written),
        cmocka_unit_test(ids_that_are_forged_are_taken_off),
        cmocka_unit_test(rooms_are_archived_on_request),
        cmocka_unit_test(what_nobody_keeps_besides_is_stored),
        cmocka_unit_test(a_page_is_bounded_in_bytes),
        cmocka_unit_test(results_that_were_not_written_are_nobodys),
        cmocka_unit_test(what_is_purged_meanwhile_is_left_out),
        cmocka_unit_test(others_learn_nothing),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(a_disk_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
