/* Tests of offline messages: what is kept and in which order, over restarts and kills, by whom it
 * is got, and how much. */
#include "../../tests/modules/modules_world.h"

#define JULIET "juliet@" HERE
#define QUEUE "offline/messages"
/* Without an archive, which keeps messages as well. */
#define MODULES "\"roster\", \"presence\", \"message\", \"offline\", \"blocking\""

static size_t kept(world *w)
{
    return row_count(w, QUEUE, "juliet");
}

/* Messages "m<first>" to "m<last>", each of about `bytes`. */
static void send_many(world *w, client *from, int first, int last, int bytes)
{
    for (int i = first; i <= last; i++) {
        char text[2048];
        snprintf(text, sizeof text,
                 "<message type='chat' to='" JULIET "' id='m%d'><body>%0*d</body></message>", i,
                 bytes, i);
        say(w, from, text);
    }
}

/* The client has each of them once, in order, stamped. */
static void assert_got(world *w, const client *c, int first, int last)
{
    unsigned place = 0;
    for (int i = first; i <= last; i++) {
        char id[16];
        snprintf(id, sizeof id, "m%d", i);
        assert_int_equal(SEEN(w, c, .name = "message", .id = id), 1);
        assert_int_equal(SEEN(w, c, .id = id, .to = JULIET,
                              .holds = "<delay xmlns='urn:xmpp:delay' from='" HERE "' stamp='"),
                         1);
        assert_true(PLACE(w, c, .id = id) > place);
        place = PLACE(w, c, .id = id);
    }
}

static client *comes(world *w, const char *jid)
{
    client *c = join(w, jid);
    say(w, c, "<presence/>");
    return c;
}

static world *play(const char *more, client **romeo)
{
    world *w = stage(MODULES, more);
    account(w, "juliet");
    *romeo = join(w, "romeo@" HERE "/orchard");
    return w;
}

/* --- order, restarts ----------------------------------------------------------------------- */

/* XEP-0203 2: when it was said, in UTC, and by whom it was kept; however late it is got. */
static void stamps(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    struct tm tm = {0};
    char said[32], holds[160];
    const int64_t now_us = w->plat.plat.wall_us(w->plat.plat.ctx);
    send_many(w, romeo, 1, 1, 1);
    svi_plat_stamp(now_us, said);
    pass_time(w, INT64_C(86400) * 1000000);
    const char *rest = strptime(said, "%Y-%m-%dT%H:%M:%S", &tm);
    assert_string_equal(rest, "Z");
    assert_int_equal(timegm(&tm), now_us / 1000000);
    snprintf(holds, sizeof holds,
             "<delay xmlns='urn:xmpp:delay' from='" HERE "' stamp='%s'>Offline Storage</delay>", said);
    client *juliet = comes(w, JULIET "/balcony");
    assert_int_equal(SEEN(w, juliet, .id = "m1", .holds = holds), 1);
    leave(w);
}

/* In the order of arrival, also in one millisecond and when the clock is set back; over a stop and
 * over a kill. */
static void order_outlives_the_server(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 5, 1);
    pass_time(w, 2000);
    send_many(w, romeo, 6, 9, 1);
    w->plat.wall_base_us -= 3600 * INT64_C(1000000);
    send_many(w, romeo, 10, 12, 1);
    w->plat.wall_base_us += 3600 * INT64_C(1000000);
    halt(w, false);
    boot(w, ALL_MODULES, "");
    pass_time(w, 2000);
    romeo = join(w, "romeo@" HERE "/orchard");
    send_many(w, romeo, 13, 15, 1);
    halt(w, true);
    boot(w, ALL_MODULES, "");
    assert_int_equal(kept(w), 15);
    juliet = comes(w, JULIET "/balcony");
    assert_got(w, juliet, 1, 15);
    assert_int_equal(kept(w), 0);
    say(w, juliet, "<presence type='unavailable'/><presence/>");
    assert_int_equal(SEEN(w, juliet, .name = "message"), 0);
    leave(w);
}

/* Killed when all was given to a session and nothing written, or written and not yet noted: nothing
 * is lost, all may come again. */
static void killed_while_handing_over(void **state)
{
    (void)state;
    client *romeo, *juliet;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 8, 500);
    juliet = join_narrow(w, JULIET "/train");
    listens(w, juliet, false);
    say(w, juliet, "<presence/>");
    assert_in_range(kept(w), 6, 8); /* one or two fit into the connection */
    const size_t before = kept(w);
    halt(w, true);
    boot(w, ALL_MODULES, "");
    assert_int_equal(kept(w), before);
    svi_engine_sim_plan(w->engine)->hold = true;
    juliet = comes(w, JULIET "/balcony"); /* its reads wait as well */
    for (int i = 0; i < 20 && SEEN(w, juliet, .id = "m8") == 0; i++) {
        (void)svi_engine_sim_step(w->engine, 1);
        turn(w);
    }
    assert_got(w, juliet, 9 - (int)before, 8);
    halt(w, true);
    boot(w, ALL_MODULES, "");
    assert_int_equal(kept(w), before);
    juliet = comes(w, JULIET "/balcony");
    assert_got(w, juliet, 9 - (int)before, 8);
    leave(w);
}

/* --- who gets them ------------------------------------------------------------------------- */

/* Two sessions that come in one turn: each message goes to one of them, once. */
static void two_come_at_once(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 6, 1);
    client *balcony = join(w, JULIET "/balcony"), *chamber = join(w, JULIET "/chamber");
    static const char presence[] = "<presence/>";
    balcony->link->ops->write(balcony->link, presence, sizeof presence - 1);
    chamber->link->ops->write(chamber->link, presence, sizeof presence - 1);
    turn(w);
    client *one = SEEN(w, balcony, .name = "message") ? balcony : chamber;
    assert_got(w, one, 1, 6);
    assert_int_equal(SEEN(w, one == balcony ? chamber : balcony, .name = "message"), 0);
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* A session that breaks while it is given them: the others get what it was not sent, in order. */
static void one_vanishes_meanwhile(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 8, 500);
    client *train = join_narrow(w, JULIET "/train");
    listens(w, train, false);
    say(w, train, "<presence/>");
    const int left = (int)kept(w);
    assert_in_range(left, 6, 8);
    client *balcony = comes(w, JULIET "/balcony");
    assert_int_equal(SEEN(w, balcony, .name = "message"),
                     0); /* they are on their way to the other */
    part(w, train);
    assert_got(w, balcony, 9 - left, 8);
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* One of a higher priority comes while they are on their way to another: it gets what that one was not
 * sent, when that one has gone, and no message twice. */
static void a_better_one_comes_meanwhile(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 8, 500);
    client *train = join_narrow(w, JULIET "/train");
    listens(w, train, false);
    say(w, train, "<presence/>");
    const int left = (int)kept(w);
    assert_in_range(left, 6, 8);
    client *balcony = join(w, JULIET "/balcony");
    say(w, balcony, "<presence><priority>5</priority></presence>");
    assert_int_equal(SEEN(w, balcony, .name = "message"), 0);
    part(w, train);
    assert_got(w, balcony, 9 - left, 8);
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* A session that got some takes the later ones too: when it comes back, and when another does. */
static void away_and_back(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 2, 1);
    client *balcony = comes(w, JULIET "/balcony");
    assert_got(w, balcony, 1, 2);
    say(w, balcony, "<presence type='unavailable'/>");
    send_many(w, romeo, 3, 4, 1);
    say(w, balcony, "<presence/>");
    assert_got(w, balcony, 3, 4);
    say(w, balcony, "<presence><priority>-1</priority></presence>");
    send_many(w, romeo, 5, 6, 1);
    client *chamber = comes(w, JULIET "/chamber");
    assert_got(w, chamber, 5, 6);
    assert_int_equal(SEEN(w, balcony, .name = "message"), 0);
    say(w, chamber, "<presence><priority>-1</priority></presence>");
    send_many(w, romeo, 7, 7, 1);
    say(w, balcony, "<presence><priority>1</priority></presence>");
    assert_got(w, balcony, 7, 7);
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* The highest priority gets them. A session that only got messages while it was there hands on what
 * others left. */
static void the_next_takes_over(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    client *tomb = join(w, JULIET "/tomb");
    say(w, tomb, "<presence><priority>-5</priority></presence>");
    send_many(w, romeo, 1, 3, 500);
    client *train = join_narrow(w, JULIET "/train");
    listens(w, train, false);
    say(w, train, "<presence/>");
    client *balcony = comes(w, JULIET "/balcony");
    send_many(w, romeo, 4, 4, 1); /* live, to both */
    assert_int_equal(SEEN(w, balcony, .id = "m4", .holds = "<delay "), 0);
    assert_int_equal(SEEN(w, balcony, .name = "message"), 1);
    assert_int_equal(SEEN(w, tomb, .name = "message"), 0);
    part(w, train);
    assert_int_equal(SEEN(w, balcony, .id = "m3"), 1);
    /* what was sent after it came may be repeated by what came back from the other (the message
     * module says why) */
    assert_in_range(SEEN(w, balcony, .id = "m4"), 1, 2);
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* --- what and how much --------------------------------------------------------------------- */

/* XEP-0160 3, XEP-0334 4.2: by type and content; nobody is told of what is dropped. */
static void what_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *type, *content;
        bool kept;
    } cases[] = {
        {"chat", "<body>x</body>", true},
        {"normal", "<body>x</body>", true},
        {"chat", "<active xmlns='http://jabber.org/protocol/chatstates'/>", false},
        {"chat", "<active xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>",
         false},
        {"chat", "<active xmlns='http://jabber.org/protocol/chatstates'/><body>x</body>", true},
        {"chat", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", false},
        {"chat", "<received xmlns='urn:xmpp:receipts' id='1'/>", true},
        {"headline", "<body>x</body>", false},
        {"error", "<body>x</body>", false},
    };
    client *romeo;
    world *w = play("", &romeo);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        const size_t before = kept(w);
        snprintf(text, sizeof text, "<message type='%s' to='" JULIET "'>%s</message>",
                 cases[i].type, cases[i].content);
        say(w, romeo, text);
        if (kept(w) != before + cases[i].kept) fail_msg("%s: %s", cases[i].type, cases[i].content);
        assert_int_equal(SEEN(w, romeo), 0);
    }
    leave(w);
}

/* XEP-0160 2, step 3: what has no room comes back; a message that is taken away makes room. */
static void bounded_by_number(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("offline_max_messages = 3", &romeo);
    send_many(w, romeo, 1, 3, 1);
    send_many(w, romeo, 4, 4, 1);
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "m4", .holds = "<service-unavailable "),
                     1);
    assert_int_equal(kept(w), 3);
    client *juliet = comes(w, JULIET "/balcony");
    assert_got(w, juliet, 1, 3);
    part(w, juliet);
    send_many(w, romeo, 5, 5, 1);
    assert_int_equal(kept(w), 1);
    leave(w);
}

/* What the archive has is not lost if there is no room here, so it does not come back. */
static void what_the_archive_has_does_not_come_back(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "offline_max_messages = 3");
    account(w, "juliet");
    client *romeo = join(w, "romeo@" HERE "/orchard");
    send_many(w, romeo, 1, 4, 1);
    assert_int_equal(SEEN(w, romeo, .type = "error"), 0);
    assert_int_equal(kept(w), 3);
    assert_int_equal(row_count(w, "archive/messages", "juliet"), 4);
    say(w, romeo, "<message type='chat' to='" JULIET "' id='m5'><x xmlns='urn:example:x'/></message>");
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "m5"), 1);
    leave(w);
}

static void bounded_by_bytes(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("offline_max_bytes = \"64k\"", &romeo);
    send_many(w, romeo, 1, 100, 1000);
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "m100"), 1);
    assert_in_range(kept(w), 50, 64);
    leave(w);
}

/* A full queue is handed over whole, however much that is: nobody is cut off for it. */
static void a_full_queue_is_handed_over(void **state)
{
    (void)state;
    static const struct {
        int count, bytes;
    } cases[] = {{1000, 100}, {1000, 1800}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client *romeo;
        world *w = play("", &romeo);
        send_many(w, romeo, 1, cases[i].count, cases[i].bytes);
        assert_int_equal(kept(w), cases[i].count);
        client *juliet = comes(w, JULIET "/balcony");
        pass_time(w, 1000000);
        if (kept(w) > 0 || SEEN(w, juliet, .name = "message") != (unsigned)cases[i].count)
            fail_msg("%d of %d bytes: %zu left, %u got", cases[i].count, cases[i].bytes, kept(w),
                     SEEN(w, juliet, .name = "message"));
        assert_false(has(&juliet->in, "<stream:error>"));
        leave(w);
    }
}

/* The same when a stranger filled it with what takes the most memory. */
static void a_queue_of_small_elements(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    static char text[12000];
    client *romeo;
    world *w = play("", &romeo);
    for (int i = 1; i <= COUNT; i++) {
        int n = snprintf(text, sizeof text, "<message to='" JULIET "' id='m%d'>", i);
        while (n < 10000) n += snprintf(text + n, sizeof text - (size_t)n, "<a/>");
        snprintf(text + n, sizeof text - (size_t)n, "</message>");
        say(w, romeo, text);
    }
    assert_int_equal(kept(w), COUNT);
    client *juliet = join(w, JULIET "/balcony");
    static const char presence[] = "<presence/>";
    assert_true(juliet->link->ops->write(juliet->link, presence, sizeof presence - 1) > 0);
    turn(w);
    assert_non_null(svi_session_find(w->server, SV_STR(JULIET "/balcony")));
    /* as assert_got, which would read all of it for each message */
    assert_int_equal(SEEN(w, juliet, .name = "message", .holds = "<delay "), COUNT);
    unsigned place = 0;
    for (int i = 1; i <= COUNT; i++) {
        char id[24];
        snprintf(id, sizeof id, " id='m%d'", i);
        assert_true(has(&juliet->in, id));
        if (i % 20 != 0) continue;
        snprintf(id, sizeof id, "m%d", i);
        assert_true(PLACE(w, juliet, .id = id) > place);
        place = PLACE(w, juliet, .id = id);
    }
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* Who reads nothing and changes its presence again and again gets no more of it at a time. */
static void presence_brings_one_portion(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 100, 1000);
    client *juliet = join_narrow(w, JULIET "/balcony");
    listens(w, juliet, false);
    for (int i = 0; i < 20; i++) {
        static const char presence[] = "<presence/>";
        assert_true(juliet->link->ops->write(juliet->link, presence, sizeof presence - 1) > 0);
        turn(w);
    }
    const sv_session *session = svi_session_find(w->server, SV_STR(JULIET "/balcony"));
    assert_in_range(svi_conn_queued_bytes(svi_session_conn(session)), 10000, 60000);
    listens(w, juliet, true);
    assert_got(w, juliet, 1, 100);
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* A row that is no stanza (another version's, damage) stops nothing and is not thrown away. */
static void a_bad_row_is_passed_over(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    write_row(w, QUEUE, "juliet", "0", "not a stanza");
    send_many(w, romeo, 1, 2, 1);
    client *juliet = comes(w, JULIET "/balcony");
    assert_got(w, juliet, 1, 2);
    assert_int_equal(kept(w), 1);
    leave(w);
}

/* What belonged to an account goes with it: the next one of that name gets nothing of it. */
static void goes_with_the_account(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 2, 1);
    int status = 1;
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), SV_STR("juliet"), w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* `stave offline show` and `purge`: what waits, and nothing any more; also while the session that gets it is there. */
static void commands(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    assert_string_equal(run_command(w, "offline show", "'address':'juliet@" HERE "'"),
                        "{\"ok\":true,\"rows\":[{\"address\":\"juliet@" HERE "\",\"messages\":0,"
                        "\"bytes\":0,\"oldest\":null,\"newest\":null}]}");
    const int64_t began_us = w->plat.plat.wall_us(w->plat.plat.ctx);
    send_many(w, romeo, 1, 2, 1);
    pass_time(w, 5000000);
    send_many(w, romeo, 3, 3, 1);
    char oldest[32], newest[32], wanted[200];
    svi_plat_stamp(began_us, oldest);
    svi_plat_stamp(w->plat.plat.wall_us(w->plat.plat.ctx), newest);
    snprintf(wanted, sizeof wanted, "\"oldest\":\"%.20s\",\"newest\":\"%.20s\"}", oldest, newest);
    const char *text = run_command(w, "offline show", "'address':'juliet@" HERE "'");
    if (!strstr(text, "\"messages\":3,\"bytes\":") || !strstr(text, wanted)) fail_msg("%s, not %s", text, wanted);
    assert_string_equal(run_command(w, "offline purge", "'address':'juliet@" HERE "'"),
                        "{\"ok\":true,\"rows\":[{\"address\":\"juliet@" HERE "\",\"deleted\":3}]}");
    assert_int_equal(kept(w), 0);
    client *juliet = comes(w, JULIET "/balcony");
    assert_got(w, juliet, 1, 0);
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    text = run_command(w, "offline show", "'address':'nobody@" HERE "'");
    if (!strstr(text, "\"class\":\"failed\"")) fail_msg("%s", text);
    leave(w);
}

/* --- how long -------------------------------------------------------------------------------- */

static void sleep_s(world *w, int64_t seconds)
{
    pass_time(w, seconds * INT64_C(1000000));
}

/* What is too old is not handed over, whenever it is looked at; the rest is, in its order. */
static void old_ones_are_not_handed_over(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("offline_max_age = \"1h\"", &romeo);
    send_many(w, romeo, 1, 3, 1);
    sleep_s(w, 1800);
    send_many(w, romeo, 4, 6, 1);
    assert_int_equal(kept(w), 6);
    sleep_s(w, 1799);
    assert_int_equal(kept(w), 6); /* not before its time */
    halt(w, false);
    boot(w, ALL_MODULES, "offline_max_age = \"1h\"");
    w->plat.wall_base_us += INT64_C(10) * 1000000; /* the time passed while there was no server */
    client *juliet = comes(w, JULIET "/balcony");
    assert_int_equal(SEEN(w, juliet, .name = "message"), 3);
    assert_got(w, juliet, 4, 6);
    assert_int_equal(kept(w), 0);
    leave(w);
}

/* Nobody comes for them: they go in their turn, those of every account, and make room before that. */
static void old_ones_go_by_themselves(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("offline_max_age = \"1h\"\noffline_max_messages = 300", &romeo);
    account(w, "nurse");
    say(w, romeo, "<message to='nurse@" HERE "' id='n'><body>x</body></message>");
    send_many(w, romeo, 1, 300, 1);
    assert_int_equal(kept(w), 300);
    sleep_s(w, 3000);
    send_many(w, romeo, 301, 301, 1);
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "m301"), 1);
    w->plat.wall_base_us += INT64_C(700) * 1000000; /* no turn has come since */
    send_many(w, romeo, 302, 302, 1);
    assert_int_equal(SEEN(w, romeo, .type = "error"), 0);
    assert_int_equal(kept(w), 300 - 256 + 1); /* so many at a time */
    assert_int_equal(row_count(w, QUEUE, "nurse"), 1);
    sleep_s(w, 11);
    assert_int_equal(kept(w), 1);
    assert_int_equal(row_count(w, QUEUE, "nurse"), 0);
    client *juliet = comes(w, JULIET "/balcony");
    assert_got(w, juliet, 302, 302);
    leave(w);
}

/* By default nothing goes; rows that hold no time do not either. */
static void kept_for_ever(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    send_many(w, romeo, 1, 2, 1);
    w->plat.wall_base_us += INT64_C(20) * 365 * 86400 * 1000000;
    sleep_s(w, 100);
    assert_int_equal(kept(w), 2);
    halt(w, false);
    boot(w, ALL_MODULES, "offline_max_age = \"1d\"");
    write_row(w, QUEUE, "juliet", "0-no-time", "<message xmlns='jabber:client' id='old'/>");
    write_row(w, QUEUE, "juliet", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "<message xmlns='jabber:client'/>");
    sleep_s(w, 100);
    assert_int_equal(kept(w), 4); /* the oldest has no time, so those behind it wait for a session */
    client *juliet = comes(w, JULIET "/balcony");
    assert_int_equal(SEEN(w, juliet, .id = "old"), 1);
    assert_int_equal(SEEN(w, juliet, .id = "m1"), 0);
    leave(w);
}

/* --- nobody ---------------------------------------------------------------------------------- */

/* RFC 6121 8.5.1, RFC 6120 13.11: whatever is sent, a sender sees the same of nobody as of somebody who
 * is away, in every word but the name. */
static void nobody_is_like_somebody_away(void **state)
{
    (void)state;
    client *romeo;
    static const char *const types[] = {"", "normal", "chat", "groupchat", "headline", "error", "x"};
    static const char *const insides[] = {
        "<body>x</body>", "<active xmlns='http://jabber.org/protocol/chatstates'/>",
        "<body>x</body><no-store xmlns='urn:xmpp:hints'/>", "<store xmlns='urn:xmpp:hints'/>"};
    world *w = play("", &romeo);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t i = 0; i < 8; i++) {
            char text[512], said[2][1024];
            for (int of = 0; of < 2; of++) {
                snprintf(text, sizeof text, "<message to='%s@" HERE "%s' id='m' type='%s'>%s</message>",
                         of == 0 ? "juliet" : "nobody", i < 4 ? "" : "/x", types[t], insides[i % 4]);
                say(w, romeo, text);
                snprintf(said[of], sizeof said[of], "%.*s", (int)romeo->in.len, romeo->in.data);
            }
            for (char *at; (at = strstr(said[0], "juliet")) != NULL;) memcpy(at, "nobody", 6);
            if (strcmp(said[0], said[1]) != 0)
                fail_msg("%s\naway:   %s\nnobody: %s", text, said[0], said[1]);
        }
    }
    assert_int_equal(row_count(w, QUEUE, "nobody"), 0);
    assert_true(kept(w) > 0);
    leave(w);
    /* the operator may want it told */
    w = play("offline_hide_unknown = false", &romeo);
    say(w, romeo, "<message type='chat' to='nobody@" HERE "' id='m'><body>x</body></message>");
    assert_int_equal(SEEN(w, romeo, .type = "error", .id = "m", .holds = "<service-unavailable "), 1);
    leave(w);
}

/* --- what the sender says in the server's name ---------------------------------------------- */

/* Threats U4, conclusion 6: what is taken off at the front comes back at no later place: not in the
 * kept row, not in what is handed over, not in what is delivered live. */
static void forged_marks_are_not_kept(void **state)
{
    (void)state;
    client *romeo;
    world *w = play("", &romeo);
    static const char forged[] =
        "<message type='chat' to='" JULIET "' id='m1'><body>x</body>"
        "<delay xmlns='urn:xmpp:delay' from='" HERE "' stamp='2001-01-01T00:00:00Z'/>"
        "<stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='" JULIET "'/></message>";
    say(w, romeo, forged);
    svi_rows *rows = rows_of(w, QUEUE, "juliet");
    sv_str key = SV_STR_NONE, value;
    assert_true(svi_rows_next(rows, &key, &value));
    assert_null(memmem(value.p, value.n, "2001-", 5));
    assert_null(memmem(value.p, value.n, "forged", 6));
    svi_rows_unref(&rows);
    client *juliet = comes(w, JULIET "/balcony");
    assert_got(w, juliet, 1, 1);
    assert_int_equal(SEEN(w, juliet, .id = "m1", .holds = "2001-"), 0);
    assert_int_equal(SEEN(w, juliet, .id = "m1", .holds = "forged"), 0);
    say(w, romeo, forged);
    assert_int_equal(SEEN(w, juliet, .id = "m1"), 2);
    assert_int_equal(SEEN(w, juliet, .id = "m1", .holds = "2001-"), 0);
    assert_int_equal(SEEN(w, juliet, .id = "m1", .holds = "forged"), 0);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps),
        cmocka_unit_test(order_outlives_the_server),
        cmocka_unit_test(killed_while_handing_over),
        cmocka_unit_test(two_come_at_once),
        cmocka_unit_test(one_vanishes_meanwhile),
        cmocka_unit_test(a_better_one_comes_meanwhile),
        cmocka_unit_test(away_and_back),
        cmocka_unit_test(the_next_takes_over),
        cmocka_unit_test(what_is_kept),
        cmocka_unit_test(bounded_by_number),
        cmocka_unit_test(what_the_archive_has_does_not_come_back),
        cmocka_unit_test(bounded_by_bytes),
        cmocka_unit_test(a_full_queue_is_handed_over),
        cmocka_unit_test(a_queue_of_small_elements),
        cmocka_unit_test(presence_brings_one_portion),
        cmocka_unit_test(a_bad_row_is_passed_over),
        cmocka_unit_test(goes_with_the_account),
        cmocka_unit_test(commands),
        cmocka_unit_test(old_ones_are_not_handed_over),
        cmocka_unit_test(old_ones_go_by_themselves),
        cmocka_unit_test(kept_for_ever),
        cmocka_unit_test(nobody_is_like_somebody_away),
        cmocka_unit_test(forged_marks_are_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
