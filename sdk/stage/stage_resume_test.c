/* Two who can resume, and a server that is killed at every commit of what they say, before it and behind it (decision 019): h never goes
 * back, and what it counts is there once, in order. */
#include "flow.h"

#include "base/base_testing.h"
#include "stage.h"
#include "xmpp/xmpp_session.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static svi_acct test_acct = {.name = "resume"}; /* lint: allow global (the tests' one account) */

#define PHONE "romeo@localhost/phone"
#define BALCONY "juliet@localhost/balcony"
#define MESSAGES 8u

#define STREAM                                                                                                         \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "        \
    "to='localhost' version='1.0'>"
#define OPENS(who) who " connects\n" who " sends " STREAM "\n" who " receives <stream:stream/> <stream:features/>\n"
#define BINDS(who, resource)                                                                                           \
    OPENS(who)                                                                                                         \
    who " sends <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" resource              \
        "</resource></bind></iq><enable xmlns='urn:xmpp:sm:3' resume='true'/>\n" who                                   \
        " receives in any order <iq type='result' id='b'/> <enabled xmlns='urn:xmpp:sm:3' id='{save " who "}'/>\n"
#define SAYS(n)                                                                                                        \
    "<message to='" PHONE "' type='chat' id='m" n "'><body>" n "</body></message>"

#define CLIENTS                                                                                                        \
    "client phone raw romeo@localhost\nclient balcony raw juliet@localhost\nclient nurse nurse@localhost/room\n"      \
    "phone ignores <r xmlns='urn:xmpp:sm:3'/>\nbalcony ignores <r xmlns='urn:xmpp:sm:3'/>\n"
#define KEEPS "<message to='nurse@localhost' type='chat' id='m1'><body>1</body></message>"
static const char begin[] = CLIENTS BINDS("phone", "phone") BINDS("balcony", "balcony") "wait 3s\n";

/* Stanza number n of hers is message n; the first is for somebody who is not there, and is done later than the next; number n of what
 * goes to him is message n + 1. */
static const char chat[] = "balcony sends " KEEPS SAYS("2") SAYS("3") "\n"
    "phone receives <message id='m2'/> <message id='m3'/>\n"
    "phone sends <a xmlns='urn:xmpp:sm:3' h='1'/>\n"
    "balcony sends <r xmlns='urn:xmpp:sm:3'/>\nbalcony receives <a xmlns='urn:xmpp:sm:3' h='3'/>\n"
    "balcony sends " SAYS("4") "<r xmlns='urn:xmpp:sm:3'/>" SAYS("5") "\n"
    "balcony receives <a xmlns='urn:xmpp:sm:3'/>\n"
    "phone is cut\n"
    "wait 2s\n"
    "balcony sends " SAYS("6") SAYS("7") SAYS("8") "<r xmlns='urn:xmpp:sm:3'/>\n"
    "balcony receives <a xmlns='urn:xmpp:sm:3'/>\nwait 3s\n";

typedef struct world {
    flow_world *flow;
    svi_stage *stage;
    flow_play *play;
    char modules[1100];
} world;

static void open_world(world *w)
{
    char self[1024];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(self, '/') = 0;
    (void)snprintf(w->modules, sizeof w->modules, "%s/modules", self);
    w->flow = flow_stage_new(&test_acct, w->modules, "\"message\", \"ping\", \"roster\", \"presence\", \"offline\", \"sm\"");
    w->stage = flow_stage_of(w->flow);
    w->play = flow_play_new(w->flow, "");
}

static void close_world(world *w)
{
    char why[300];
    flow_play_free(&w->play);
    if (!w->flow->close(&w->flow, why, sizeof why)) fail_msg("%s", why);
    assert_int_equal(atomic_load(&test_acct.live_bytes), 0);
}

static void play(world *w, const char *steps)
{
    flow_result result = {.failed = false};
    if (!flow_play_run(w->play, "x.flow", 1, sv_str_of(steps), &result)) fail_msg("%s\nended with: %s", steps, result.text);
}

static svi_session_tally tally_of(world *w, const char *full)
{
    svi_session_tally tally;
    const sv_session *session = svi_session_find(svi_stage_server(w->stage), sv_str_of(full));
    if (session == NULL) fail_msg("%s is not there any more", full);
    assert_true(svi_session_tally_get(session, &tally));
    return tally;
}

/* By the id that its client was given. */
static sv_str id_of(world *w, const char *full)
{
    return svi_session_item(svi_session_find(svi_stage_server(w->stage), sv_str_of(full)), "sm/id");
}

/* She says again what is not counted. */
static void say_rest(world *w, char *to, size_t room)
{
    const sv_str id = id_of(w, BALCONY);
    const unsigned h = tally_of(w, BALCONY).handled;
    size_t n = (size_t)snprintf(to, room,
                                OPENS("balcony") "balcony sends <resume xmlns='urn:xmpp:sm:3' previd='%.*s' h='0'/>\n"
                                                 "balcony receives <resumed xmlns='urn:xmpp:sm:3' h='%u'/>\nbalcony sends ",
                                (int)id.n, id.p, h);
    for (unsigned i = h + 1; i <= MESSAGES; i++)
        n += (size_t)snprintf(to + n, room - n, "<message to='%s' type='chat' id='m%u'><body>%u</body></message>",
                              i == 1 ? "nurse@localhost" : PHONE, i, i);
    (void)snprintf(to + n, room - n, "<r xmlns='urn:xmpp:sm:3'/>\nbalcony receives <a xmlns='urn:xmpp:sm:3' h='%u'/>\n", MESSAGES);
}

/* He gets what he has not acknowledged, each once and in order. */
static void expect_rest(world *w, char *to, size_t room)
{
    const sv_str id = id_of(w, PHONE);
    const unsigned acked = tally_of(w, PHONE).acked;
    size_t n = (size_t)snprintf(to, room,
                                OPENS("phone") "phone sends <resume xmlns='urn:xmpp:sm:3' previd='%.*s' h='%u'/>\n"
                                               "phone receives <resumed xmlns='urn:xmpp:sm:3'/>",
                                (int)id.n, id.p, acked);
    for (unsigned i = acked + 2; i <= MESSAGES; i++) n += (size_t)snprintf(to + n, room - n, " <message id='m%u'/>", i);
    (void)snprintf(to + n, room - n, "\nphone receives nothing\n");
}

static void go_on(world *w)
{
    char steps[4000];
    const svi_session_tally hers = tally_of(w, BALCONY), his = tally_of(w, PHONE);
    assert_true(hers.is_recovered && his.is_recovered);
    assert_true(hers.handled <= MESSAGES);
    flow_play_free(&w->play);
    w->play = flow_play_new(w->flow, "");
    play(w, CLIENTS);
    say_rest(w, steps, sizeof steps);
    play(w, steps);
    expect_rest(w, steps, sizeof steps);
    play(w, steps);
    play(w, "nurse connects\nnurse sends <presence/>\nnurse receives <presence/> <message id='m1'/>\nnurse receives nothing\n");
}

/* False if there are not so many commits. */
static bool is_killed_at(svi_harm_kind kind, uint64_t n)
{
    world w = {.flow = NULL};
    open_world(&w);
    play(&w, begin);
    svi_stage_harm(w.stage, kind, "", n);
    flow_result result = {.failed = false};
    flow_play_be_lenient(w.play);
    (void)flow_play_run(w.play, "chat.flow", 1, sv_str_of(chat), &result);
    const bool was_killed = svi_stage_harmed(w.stage);
    if (was_killed) go_on(&w);
    close_world(&w);
    return was_killed;
}

static void killed_at_each_commit(void **state)
{
    (void)state;
    for (svi_harm_kind kind = SVI_HARM_KILL; kind <= SVI_HARM_KILL_BEHIND; kind++) {
        uint64_t n = 1;
        while (is_killed_at(kind, n)) n++;
        assert_true(n > 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_each_commit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
