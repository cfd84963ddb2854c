/* What client states save on a phone in a day (tests/bench/mobile-day): stanzas, bytes and wake-ups, counted with and without them.
 * A wake-up is something that is sent to a phone whose radio sleeps, which it does 20 s after the last thing that was sent. */
#include "../../tests/modules/modules_world.h"

#include "xmpp/xmpp_hold.h"

#define JULIET "juliet@" HERE
#define PHONE JULIET "/phone"
#define FRIEND "c%d@far.example/pc"
#define RADIO_US 20000000

typedef struct sums {
    unsigned stanzas, bytes, wakeups, bodies, lines;
} sums;

typedef struct day {
    world *w;
    client *phone;
    bool has_csi, is_looked_at; /* awake as long as it is */
    int64_t now_us, busy_until_us;
    sums sums;
} day;

/* --- one line ------------------------------------------------------------------------------ */

static const struct {
    const char *what, *form;
} forms[] = {
    {"chat", "<presence from='" FRIEND "' to='" PHONE "'><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.org' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>"},
    {"away", "<presence from='" FRIEND "' to='" PHONE "'><show>away</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.org' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>"},
    {"xa", "<presence from='" FRIEND "' to='" PHONE "'><show>xa</show><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.org' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>"},
    {"gone", "<presence from='" FRIEND "' to='" PHONE "' type='unavailable'/>"},
    {"composing", "<message from='" FRIEND "' to='" PHONE "' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/><no-store xmlns='urn:xmpp:hints'/></message>"},
    {"paused", "<message from='" FRIEND "' to='" PHONE "' type='chat'><paused xmlns='http://jabber.org/protocol/chatstates'/><no-store xmlns='urn:xmpp:hints'/></message>"},
    {"body", "<message from='" FRIEND "' to='" PHONE "' type='chat' id='m'><body>Neither, fair saint, if either thee dislike.</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>"},
    {"received", "<message from='" FRIEND "' to='" PHONE "' type='chat'><received xmlns='urn:xmpp:receipts' id='m'/></message>"},
    {"displayed", "<message from='" FRIEND "' to='" PHONE "' type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='m'/></message>"},
    {"room-chat", "<presence from='room@muc.example/o%d' to='" PHONE "'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/></x></presence>"},
    {"room-away", "<presence from='room@muc.example/o%d' to='" PHONE "'><show>away</show><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/></x></presence>"},
    {"pep", "<message from='c%d@far.example' to='" PHONE "' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:avatar:metadata'><item id='current'><metadata xmlns='urn:xmpp:avatar:metadata'/></item></items></event></message>"},
};

/* What <active/> and <inactive/> come to (csi.flow has the elements themselves). */
static void look(day *d, bool is_active)
{
    if (!d->has_csi) return;
    sv_session *session = svi_session_find(d->w->server, SV_STR(PHONE));
    svi_session_set_item(session, "csi", is_active ? SV_STR_NONE : SV_STR("inactive"));
    if (is_active)
        svi_session_release(session);
    else
        svi_session_hold(session, &(svi_hold_limits){.stanzas = 500, .bytes = 128 << 10, .age_us = INT64_C(3600000000)});
    turn(d->w);
}

static void count(day *d)
{
    if (d->phone->in.len == 0) return;
    d->sums.bytes += (unsigned)d->phone->in.len;
    d->sums.stanzas += SEEN(d->w, d->phone);
    d->sums.bodies += SEEN(d->w, d->phone, .id = "m");
    if (!d->is_looked_at && d->now_us > d->busy_until_us) d->sums.wakeups++;
    d->busy_until_us = d->now_us + RADIO_US;
    svi_buf_clear(&d->phone->in);
}

static void happens(day *d, const char *what, int who)
{
    char text[1024];
    const bool is_look = strcmp(what, "active") == 0;
    if (is_look || strcmp(what, "inactive") == 0) {
        d->is_looked_at = is_look;
        d->busy_until_us = d->now_us + RADIO_US;
        look(d, is_look);
        count(d);
        return;
    }
    size_t i = 0;
    while (i < sizeof forms / sizeof *forms && strcmp(forms[i].what, what) != 0) i++;
    if (i == sizeof forms / sizeof *forms) fail_msg("tests/bench/mobile-day: what is %s", what);
    const char *place = strstr(forms[i].form, "%d");
    snprintf(text, sizeof text, "%.*s%d%s", (int)(place - forms[i].form), forms[i].form, who, place + 2);
    arrives(d->w, text);
    count(d);
}

/* --- the day ------------------------------------------------------------------------------- */

/* Time passes, and what becomes due in it is seen when it is. */
static void pass_until(day *d, int64_t at_us)
{
    while (d->now_us < at_us) {
        const int64_t due_us = svi_timers_due_us(svi_server_timers(d->w->server)) - d->w->plat.plat.mono_us(d->w->plat.plat.ctx);
        const int64_t step_us = due_us > 0 && due_us < at_us - d->now_us ? due_us : at_us - d->now_us;
        d->now_us += step_us;
        pass_time(d->w, step_us);
        count(d);
    }
}

static sums live_it(bool has_csi)
{
    day d = {.w = stage("\"roster\", \"presence\", \"message\", \"offline\", \"blocking\", \"disco\", \"caps\", \"ping\", \"csi\"", ""), .has_csi = has_csi};
    account(d.w, "juliet");
    d.phone = online(d.w, PHONE);
    look(&d, false);
    FILE *file = fopen("tests/bench/mobile-day", "r");
    assert_non_null(file); /* tests run in the project's folder */
    char line[64], what[32];
    while (fgets(line, sizeof line, file)) {
        int at, who;
        if (sscanf(line, "%d %31s %d", &at, what, &who) != 3) fail_msg("tests/bench/mobile-day: %s", line);
        pass_until(&d, (int64_t)at * 1000000);
        happens(&d, what, who);
        d.sums.lines++;
    }
    (void)fclose(file);
    look(&d, true);
    count(&d);
    const sums all = d.sums;
    leave(d.w);
    return all;
}

static void the_day(void **state)
{
    (void)state;
    const sums without = live_it(false), with = live_it(true);
    print_message("a phone's day (%u lines)    without   with\n", without.lines);
    print_message("stanzas                      %8u %6u\n", without.stanzas, with.stanzas);
    print_message("bytes                        %8u %6u\n", without.bytes, with.bytes);
    print_message("wake-ups                     %8u %6u\n", without.wakeups, with.wakeups);
    assert_true(without.stanzas > 1000 && without.bodies > 50);
    assert_int_equal(with.bodies, without.bodies); /* nothing of that is lost */
    assert_true(with.stanzas * 20 < without.stanzas * 17);
    assert_true(with.bytes * 20 < without.bytes * 17);
    assert_true(with.wakeups * 12 < without.wakeups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_day)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
