/* RFC 6121 8.5 as tables: presence and IQ, by what sessions there are and how the account is addressed.
 * Messages are in modules/message/message_test.c (8.5.4). Written from the RFC's text. */
#include <stave/roster.h>

#include "modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE

/* Which sessions there are: none; one that is connected and not available; one with a negative
 * priority; all of these and two that are not negative. */
typedef enum condition { NONE, CONNECTED, NEGATIVE, SEVERAL, CONDITIONS } condition;

enum { IDLE, TOMB, BALCONY, CHAMBER, SESSIONS };
static const char *const names[SESSIONS] = {"idle", "tomb", "balcony", "chamber"};

/* Bare, a session of each kind, and one that is not there. */
static const char *const addresses[] = {JULIET,           JULIET "/idle",    JULIET "/tomb",
                                        JULIET "/balcony", JULIET "/chamber", JULIET "/gone"};
enum { BARE = 0, GONE = 5, ADDRESSES = 6 };

typedef struct scene {
    world *w;
    client *romeo;
    client *juliet[SESSIONS];
    int sent;
} scene;

static bool is_here(condition c, int session)
{
    if (c == SEVERAL) return true;
    return (c == CONNECTED && session == IDLE) || (c == NEGATIVE && session == TOMB);
}

static void enter(scene *s, condition c)
{
    static const char *const presence[SESSIONS] = {
        "", "<presence><priority>-1</priority></presence>", "<presence/>",
        "<presence><priority>7</priority></presence>"};
    for (int i = 0; i < SESSIONS; i++) {
        char jid[64];
        s->juliet[i] = NULL;
        if (!is_here(c, i)) continue;
        snprintf(jid, sizeof jid, JULIET "/%s", names[i]);
        s->juliet[i] = join(s->w, jid);
        if (*presence[i]) say(s->w, s->juliet[i], presence[i]);
    }
}

static void go(scene *s)
{
    for (int i = 0; i < SESSIONS; i++)
        if (s->juliet[i] != NULL) part(s->w, s->juliet[i]);
}

/* The stanza with its address and id in place of the two `%`. */
static void fill(char to[512], const char *stanza, const char *address, const char *id)
{
    const char *first = strchr(stanza, '%'), *second = strchr(first + 1, '%');
    snprintf(to, 512, "%.*s%s%.*s%s%s", (int)(first - stanza), stanza, address,
             (int)(second - first - 1), first + 1, id, second + 1);
}

/* Who gets it: the available sessions, the one that is named, nobody. */
typedef enum receivers { NOBODY, AVAILABLE, NAMED } receivers;

static unsigned is_receiver(receivers who, int address, int session)
{
    return (who == AVAILABLE && session != IDLE) || (who == NAMED && session == address - 1);
}

/* Sends it and compares; `error` is what the sender gets, and all it gets. */
static void check(scene *s, condition c, const char *stanza, int address, receivers who, bool error)
{
    char text[512], id[16];
    snprintf(id, sizeof id, "s%d", ++s->sent);
    fill(text, stanza, addresses[address], id);
    forget(s->w);
    say(s->w, s->romeo, text);
    for (int i = 0; i < SESSIONS; i++) {
        if (s->juliet[i] == NULL) continue;
        const unsigned got = SEEN(s->w, s->juliet[i], .id = id);
        if (got != is_receiver(who, address, i) || SEEN(s->w, s->juliet[i]) != got)
            fail_msg("condition %d: %s: %s got %u", (int)c, text, names[i], got);
    }
    const unsigned returned = SEEN(s->w, s->romeo, .type = "error", .id = id,
                                   .from = addresses[address], .holds = "<service-unavailable ");
    if (returned != error || SEEN(s->w, s->romeo) != returned)
        fail_msg("condition %d: %s: %u errors", (int)c, text, returned);
}

static bool is_match(condition c, int address)
{
    return address != BARE && address != GONE && is_here(c, address - 1);
}

/* 8.5.2.1.2, 8.5.2.2.2, 8.5.3.1, 8.5.3.2.2, of a sender without any subscription; a request is for the
 * account, whatever session it names (3.1.3). */
static void check_presence(scene *s, condition c, int address)
{
    const receivers plain =
        address == BARE ? AVAILABLE : is_match(c, address) ? NAMED : NOBODY;
    check(s, c, "<presence to='%' id='%'/>", address, plain, false);
    check(s, c, "<presence type='unavailable' to='%' id='%'/>", address, plain, false);
    check(s, c, "<presence type='error' to='%' id='%'><error type='cancel'/></presence>", address,
          is_match(c, address) ? NAMED : NOBODY, false);
    check(s, c, "<presence type='probe' to='%' id='%'/>", address, NOBODY, false);
    check(s, c, "<presence type='subscribed' to='%' id='%'/>", address, NOBODY, false);
    check(s, c, "<presence type='unsubscribed' to='%' id='%'/>", address, NOBODY, false);
    check(s, c, "<presence type='unsubscribe' to='%' id='%'/>", address, NOBODY, false);
    check(s, c, "<presence type='subscribe' to='%' id='%'/>", address, AVAILABLE, false);
    say(s->w, s->romeo, "<presence type='unsubscribe' to='" JULIET "'/>");
    write_row(s->w, "roster/items", "romeo", JULIET, NULL);
    write_row(s->w, "roster/items", "juliet", ROMEO, NULL);
}

static void presence(void **state)
{
    (void)state;
    scene s = {.w = stage(ALL_MODULES, "")};
    account(s.w, "juliet");
    s.romeo = join(s.w, ROMEO "/orchard");
    for (int c = NONE; c < CONDITIONS; c++) {
        enter(&s, (condition)c);
        for (int address = 0; address < ADDRESSES; address++)
            check_presence(&s, (condition)c, address);
        go(&s);
    }
    leave(s.w);
}

/* 8.5.2.1.3, 8.5.2.2.3, 8.5.3.1, 8.5.3.2.3. */
static void check_iq(scene *s, condition c, int address, bool shares)
{
    static const char *const requests[] = {
        "<iq type='get' to='%' id='%'><q xmlns='x:y'/></iq>",
        "<iq type='set' to='%' id='%'><q xmlns='x:y'/></iq>"};
    static const char *const answers[] = {
        "<iq type='result' to='%' id='%'/>",
        "<iq type='error' to='%' id='%'><error type='cancel'/></iq>"};
    const receivers who = is_match(c, address) ? NAMED : NOBODY;
    for (int i = 0; i < 2; i++) {
        check(s, c, requests[i], address, shares ? who : NOBODY, !shares || who == NOBODY);
        check(s, c, answers[i], address, who, false);
    }
}

static void requests_and_answers(void **state)
{
    (void)state;
    scene s = {.w = stage(ALL_MODULES, "")};
    account(s.w, "juliet");
    s.romeo = join(s.w, ROMEO "/orchard");
    for (int shares = 0; shares < 2; shares++) {
        write_row(s.w, "roster/items", "juliet", ROMEO, shares ? "R121\n\n" : "R120\n\n");
        for (int c = NONE; c < CONDITIONS; c++) {
            enter(&s, (condition)c);
            for (int address = 0; address < ADDRESSES; address++)
                check_iq(&s, (condition)c, address, shares);
            go(&s);
        }
    }
    leave(s.w);
}

/* 8.5.1, each row; messages as 8.5.4 has them. The sender gets what stands behind it, and nothing else. */
static void no_such_user(void **state)
{
    (void)state;
    static const struct {
        const char *stanza;
        bool error;
    } rows[] = {
        {"<iq type='get' to='%' id='%'><q xmlns='x:y'/></iq>", true},
        {"<iq type='set' to='%' id='%'><q xmlns='x:y'/></iq>", true},
        {"<iq type='result' to='%' id='%'/>", false},
        {"<iq type='error' to='%' id='%'><error type='cancel'/></iq>", false},
        {"<message type='groupchat' to='%' id='%'/>", true},
        {"<message type='chat' to='%' id='%'/>", false},
        {"<message type='headline' to='%' id='%'/>", false},
        {"<message type='error' to='%' id='%'><error type='cancel'/></message>", false},
        {"<presence to='%' id='%'/>", false},
        {"<presence type='unavailable' to='%' id='%'/>", false},
        {"<presence type='error' to='%' id='%'><error type='cancel'/></presence>", false},
        {"<presence type='subscribe' to='%' id='%'/>", false},
        {"<presence type='subscribed' to='%' id='%'/>", false},
        {"<presence type='unsubscribe' to='%' id='%'/>", false},
        {"<presence type='unsubscribed' to='%' id='%'/>", false},
        {"<presence type='probe' to='%' id='%'/>", false},
    };
    world *w = stage(ALL_MODULES, "");
    client *romeo = join(w, ROMEO "/orchard");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int full = 0; full < 2; full++) {
            char text[512];
            const char *to = full ? "nobody@" HERE "/x" : "nobody@" HERE;
            fill(text, rows[i].stanza, to, "x");
            forget(w);
            say(w, romeo, text);
            const unsigned errors = SEEN(w, romeo, .type = "error", .id = "x", .from = to,
                                         .holds = "<service-unavailable ");
            if (errors != rows[i].error || SEEN(w, romeo) != errors)
                fail_msg("%s: %.*s", text, (int)romeo->in.len, romeo->in.data);
        }
    }
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presence),
        cmocka_unit_test(requests_and_answers),
        cmocka_unit_test(no_such_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
