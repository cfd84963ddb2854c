/* Tests of all modules together when the store fails or the server is killed: for the 1st, 2nd, 3rd
 * ... read, commit or job. Every request is answered once, no message is lost in silence, and what
 * a client was told is true after the next start. */
#include <stave/roster.h>

#include "modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define ITEMS "roster/items"

enum { SETS = 3, MESSAGES = 4, MOST = 200 };

typedef struct play {
    world *w;
    int64_t jobs; /* how many jobs of the engine get done; < 0: all, at once */
    client *romeo, *juliet;
} play;

/* --- the play ------------------------------------------------------------------------------ */

static void go_on(play *p)
{
    turn(p->w);
    while (p->jobs > 0 && svi_engine_sim_step(p->w->engine, 1) > 0) {
        p->jobs--;
        turn(p->w);
    }
}

/* A failed commit ends the worker (durability.md, rule 8): nobody says anything after it. */
static bool has_ended(const play *p)
{
    return has(&p->w->reports, "the store failed");
}

static void says(play *p, const client *c, const char *text)
{
    if (has_ended(p)) return;
    assert_int_equal(c->link->ops->write(c->link, text, strlen(text)), strlen(text));
    go_on(p);
}

static client *enters(play *p, const char *jid)
{
    client *c = join(p->w, jid);
    go_on(p);
    return c;
}

/* Accounts and a contact are there; nothing is in memory. */
static void prepare(play *p, int64_t jobs)
{
    world *w = p->w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    write_row(w, ITEMS, "romeo", "nurse@" HERE, "R121\nNurse\n");
    halt(w, false);
    boot(w, ALL_MODULES, "");
    p->jobs = jobs;
    svi_engine_sim_plan(w->engine)->hold = jobs >= 0;
}

/* Requests of each module, a subscription, messages that wait and are handed over. */
static void perform(play *p)
{
    char text[512];
    p->romeo = enters(p, ROMEO "/orchard");
    says(p, p->romeo, "<iq type='get' id='get'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    for (int i = 0; i < MESSAGES; i++) {
        snprintf(text, sizeof text,
                 "<message type='chat' to='" JULIET "' id='m%d'><body>x</body></message>", i);
        says(p, p->romeo, text);
    }
    for (int i = 0; i < SETS; i++) {
        snprintf(text, sizeof text,
                 "<iq type='set' id='s%d'><query xmlns='jabber:iq:roster'><item jid='c%d@" HERE
                 "'/></query></iq>",
                 i, i);
        says(p, p->romeo, text);
    }
    says(p, p->romeo, "<presence type='subscribe' to='" JULIET "' id='ask'/>");
    says(p, p->romeo,
         "<iq type='get' to='" JULIET "' id='disco'>"
         "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
         "<iq type='get' to='" HERE "' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"
         "<presence type='probe' to='" JULIET "'/>");
    if (has_ended(p)) return;
    p->juliet = enters(p, JULIET "/balcony");
    says(p, p->juliet, "<iq type='get' id='get'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    says(p, p->juliet, "<presence type='subscribed' to='" ROMEO "' id='yes'/>");
}

static bool was_answered(play *p, const char *id, const char *type)
{
    return SEEN(p->w, p->romeo, .name = "iq", .id = id, .type = type) == 1;
}

/* --- what must hold ------------------------------------------------------------------------ */

static unsigned state_of(world *w, const char *owner, const char *contact)
{
    char record[64];
    if (!read_row(w, ITEMS, owner, contact, record, sizeof record)) return 0;
    return sv_roster_flags(sv_str_of(record));
}

/* What was told before the end of the server is what stands on the disk now; both sides of a
 * subscription agree, and a request that waits has its stanza. `sets` are those that were answered
 * with a result. */
static void check_disk(world *w, const bool sets[SETS], bool saw_ask, bool saw_approval)
{
    char contact[64];
    for (int i = 0; i < SETS; i++) {
        snprintf(contact, sizeof contact, "c%d@" HERE, i);
        if (sets[i] && !state_of(w, "romeo", contact))
            fail_msg("set %d was answered and is lost", i);
    }
    const unsigned mine = state_of(w, "romeo", JULIET), theirs = state_of(w, "juliet", ROMEO);
    assert_int_equal((mine & SV_ROSTER_PENDING_OUT) != 0, (theirs & SV_ROSTER_PENDING_IN) != 0);
    assert_int_equal((mine & SV_ROSTER_TO) != 0, (theirs & SV_ROSTER_FROM) != 0);
    assert_int_equal(row_count(w, "presence/requests", "juliet"),
                     (theirs & SV_ROSTER_PENDING_IN) ? 1 : 0);
    if (saw_ask && mine == 0) fail_msg("a request was shown and is lost");
    if (saw_approval) assert_true((mine & SV_ROSTER_TO) != 0);
}

/* Ends the server without another write, starts it on what the disk has, and compares that with
 * what clients saw. */
static void kill_and_check(play *p)
{
    world *w = p->w;
    bool sets[SETS];
    for (int i = 0; i < SETS; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i);
        sets[i] = was_answered(p, id, "result");
        char push[48];
        snprintf(push, sizeof push, "<item jid='c%d@", i);
        assert_int_equal(SEEN(w, p->romeo, .type = "set", .holds = push), sets[i]);
    }
    const bool ask = SEEN(w, p->romeo, .type = "set", .holds = "ask='subscribe'") > 0 ||
                     (p->juliet != NULL && SEEN(w, p->juliet, .type = "subscribe") > 0);
    const bool yes = SEEN(w, p->romeo, .type = "subscribed") > 0 ||
                     (p->juliet != NULL &&
                      SEEN(w, p->juliet, .type = "set", .holds = "subscription='from'") > 0);
    halt(w, true);
    boot(w, ALL_MODULES, "");
    check_disk(w, sets, ask, yes);
    leave(w);
}

/* --- the tests ----------------------------------------------------------------------------- */

/* Killed after each single job of the engine. */
static void killed_at_every_job(void **state)
{
    (void)state;
    int64_t n = 0;
    for (bool more = true; more && n < MOST; n++) {
        play p = {.w = NULL};
        prepare(&p, n);
        perform(&p);
        more = p.jobs == 0; /* else all were done */
        kill_and_check(&p);
    }
    assert_in_range(n, 20, MOST - 1);
}

/* The n-th commit fails: from then on nothing that waits for a commit is told to anybody. */
static void every_commit_fails_once(void **state)
{
    (void)state;
    int64_t n = 1;
    for (bool more = true; more && n < MOST; n++) {
        play p = {.w = NULL};
        prepare(&p, -1);
        svi_engine_sim_plan(p.w->engine)->fail_commit = n;
        svi_buf_clear(&p.w->reports);
        perform(&p);
        more = svi_engine_sim_plan(p.w->engine)->fail_commit == 0;
        assert_int_equal(has_ended(&p), more);
        kill_and_check(&p);
    }
    assert_in_range(n, 6, MOST - 1);
}

/* Each message was handed over, is kept, or came back. */
static void check_messages(play *p, const client *later)
{
    for (int i = 0; i < MESSAGES; i++) {
        char id[16];
        snprintf(id, sizeof id, "m%d", i);
        const unsigned got = SEEN(p->w, p->juliet, .id = id) + SEEN(p->w, later, .id = id);
        const unsigned back = SEEN(p->w, p->romeo, .id = id, .type = "error");
        if (got + back != 1) fail_msg("message %d: got %u times, came back %u times", i, got, back);
    }
}

/* The n-th read fails: every request is answered once, by an error if it has to be; no message is
 * lost; the books balance. */
static void every_read_fails_once(void **state)
{
    (void)state;
    static const char *const ids[] = {"get", "s0", "s1", "s2", "disco", "ping"};
    int64_t n = 1;
    for (bool more = true; more && n < MOST; n++) {
        play p = {.w = NULL};
        prepare(&p, -1);
        svi_engine_sim_plan(p.w->engine)->fail_read = n;
        perform(&p);
        more = svi_engine_sim_plan(p.w->engine)->fail_read == 0;
        for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
            if (was_answered(&p, ids[i], "result") + was_answered(&p, ids[i], "error") != 1)
                fail_msg("read %d: request %s was answered %u times", (int)n, ids[i],
                         SEEN(p.w, p.romeo, .id = ids[i]));
        client *later = join(p.w, JULIET "/later");
        says(&p, later, "<presence/>");
        const unsigned mine = state_of(p.w, "romeo", JULIET),
                       theirs = state_of(p.w, "juliet", ROMEO);
        assert_int_equal((mine & SV_ROSTER_TO) != 0, (theirs & SV_ROSTER_FROM) != 0);
        check_messages(&p, later);
        leave(p.w);
    }
    assert_in_range(n, 4, MOST - 1);
}

static unsigned removed_until(int64_t jobs, bool *answered_out)
{
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    write_row(w, ITEMS, "romeo", JULIET, "R123\n\n");
    write_row(w, ITEMS, "juliet", ROMEO, "R123\n\n");
    halt(w, false);
    boot(w, ALL_MODULES, "");
    client *romeo = join(w, ROMEO "/orchard");
    svi_engine_sim_plan(w->engine)->hold = true;
    say(w, romeo,
        "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>"
        "<item jid='" JULIET "' subscription='remove'/></query></iq>");
    for (; jobs > 0 && svi_engine_sim_step(w->engine, 1) == 1; jobs--) turn(w);
    *answered_out = SEEN(w, romeo, .type = "result", .id = "s") == 1;
    halt(w, true);
    boot(w, ALL_MODULES, "");
    const unsigned mine = state_of(w, "romeo", JULIET), theirs = state_of(w, "juliet", ROMEO);
    assert_int_equal(theirs & (SV_ROSTER_TO | SV_ROSTER_FROM),
                     mine & (SV_ROSTER_TO | SV_ROSTER_FROM));
    assert_int_equal(theirs & SV_ROSTER_LISTED, SV_ROSTER_LISTED);
    leave(w);
    return mine;
}

/* An item is removed and the contact's side ended in one unit: killed wherever, both or neither. */
static void removal_is_whole(void **state)
{
    (void)state;
    bool answered = false;
    int64_t jobs = 0;
    for (; !answered && jobs < MOST; jobs++) {
        const unsigned left = removed_until(jobs, &answered);
        if (answered) assert_int_equal(left, 0);
    }
    assert_in_range(jobs, 2, MOST - 1);
}

/* A session logs in while so many of the engine's jobs get done, and leaves; true if none was left. */
static bool leaves_after(int64_t jobs)
{
    play p;
    prepare(&p, jobs);
    write_row(p.w, "offline/messages", "romeo", "0", "<message/>");
    client *c = enters(&p, ROMEO "/orchard");
    says(&p, c, "<iq type='get' id='get'><query xmlns='jabber:iq:roster'/></iq><presence/>");
    const bool was_late = p.jobs > 0; /* all that it caused is over */
    part(p.w, c);
    svi_engine_sim_plan(p.w->engine)->hold = false;
    while (svi_engine_sim_step(p.w->engine, 1) > 0) turn(p.w);
    turn(p.w);
    assert_int_equal(svi_session_count(p.w->server), 0);
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(p.w->server)), 0);
    leave(p.w);
    return was_late;
}

/* Handlers of session/bound and session/presence wait for rows; those behind them run when the session
 * may be gone. */
static void sessions_leave_at_every_job(void **state)
{
    (void)state;
    int64_t jobs = 0;
    while (jobs < MOST && !leaves_after(jobs)) jobs++;
    assert_in_range(jobs, 3, MOST - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_every_job),
        cmocka_unit_test(every_commit_fails_once),
        cmocka_unit_test(every_read_fails_once),
        cmocka_unit_test(removal_is_whole),
        cmocka_unit_test(sessions_leave_at_every_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
