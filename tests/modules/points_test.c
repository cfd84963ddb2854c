/* Every hook point is reached, and api/stave.lua tells the truth of the event there: whom it is about, what it holds, whether it
 * may wait. tests/mods/everywhere.c stands at all of them. */
#include "modules_world.h"

#include "../../modules/caps/caps_examples_test.h"
#include "modules_points.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define MODULES ALL_MODULES ", \"shares\", \"everywhere\""

typedef enum about { OTHER, ACCOUNT, HOST } about;

typedef struct described {
    const char *name;
    about about;
    bool stanza, session, subject, later;
} described;

#define POINT(name, about, stanza, session, subject, later) {name, about, stanza, session, subject, later},
static const described points[] = {DESCRIBED_POINTS(POINT)};
enum { POINTS = sizeof points / sizeof *points };

/* --- all that happens ------------------------------------------------------------------------ */

/* Every kind of stanza to `to`. */
static void all_kinds(world *w, client *c, const char *to)
{
    char text[1024];
    snprintf(text, sizeof text,
             "<message to='%s'><body>b</body></message><presence to='%s'/>"
             "<iq type='get' id='g' to='%s'><x xmlns='urn:x'/></iq><iq type='set' id='s' to='%s'><x xmlns='urn:x'/></iq>"
             "<iq type='result' id='r' to='%s'/>"
             "<iq type='error' id='e' to='%s'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
             to, to, to, to, to, to);
    say(w, c, text);
}

static void stanzas(world *w)
{
    client *c = online(w, ROMEO "/a"), *other = online(w, JULIET "/b");
    static const char *const places[] = {ROMEO, JULIET, (JULIET "/b"), HERE, "x@far.example", ("nobody@" HERE)};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) all_kinds(w, c, places[i]);
    say(w, c, "<presence to='" JULIET "' type='subscribe'/>");
    say(w, other, "<presence to='" ROMEO "' type='subscribed'/>");
    part(w, other);
    part(w, c);
}

/* What is kept is pushed from rows; what is never written comes back. */
static void queues(world *w)
{
    char text[1024];
    client *c = online(w, ROMEO "/a");
    snprintf(text, sizeof text, "<message type='chat' to='" JULIET "'><body>%0700d</body></message>", 0);
    say(w, c, text);
    client *deaf = join_narrow(w, JULIET "/train");
    say(w, deaf, "<presence/>");
    listens(w, deaf, false);
    for (int i = 0; i < 3; i++) say(w, c, text);
    client *other = online(w, JULIET "/b");
    part(w, deaf);
    part(w, other);
    say(w, c, text);
    part(w, online(w, JULIET "/c"));
    part(w, c);
}

static void discovery(world *w)
{
    client *c = online(w, ROMEO "/a");
    static const char *const to[] = {HERE, ROMEO};
    static const char *const what[] = {"info", "items"};
    char text[512];
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof text,
                 "<iq type='get' id='d' to='%s'><query xmlns='http://jabber.org/protocol/disco#%s'/></iq>"
                 "<iq type='get' id='n' to='%s'><query xmlns='http://jabber.org/protocol/disco#%s' node='n'/></iq>",
                 to[i / 2], what[i % 2], to[i / 2], what[i % 2]);
        say(w, c, text);
    }
    say(w, c,
        "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://n.example' ver='" EXODUS_VER "'/></presence>");
    const char *id = c->in.len > 0 ? memmem(c->in.data, c->in.len, " id='", 5) : NULL;
    assert_non_null(id); /* its client is asked */
    const size_t left = c->in.len - (size_t)(id + 5 - c->in.data);
    char answer[2048];
    snprintf(answer, sizeof answer, "<iq type='result' to='" HERE "' id='%.*s'>%s</iq>",
             (int)((const char *)memchr(id + 5, '\'', left) - (id + 5)), id + 5, exodus);
    say(w, c, answer);
    part(w, c);
}

static void accounts(world *w)
{
    svi_host *host = svi_host_find(w->server, SV_STR(HERE));
    int status = 1;
    svi_account_disable(host, SV_STR("juliet"), SV_STR("reason"), false, w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    svi_account_enable(host, SV_STR("juliet"), w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    svi_account_remove(host, SV_STR("juliet"), w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
}

static void others(world *w)
{
    client *c = online(w, ROMEO "/a");
    say(w, c, "<iq type='set' id='l' to='" HERE "'><later xmlns='urn:stave:shares'/></iq>");
    say(w, c, "<iq type='set' id='i'><query xmlns='jabber:iq:roster'><item jid='x@far.example'/></query></iq>");
    say(w, c, "<iq type='set' id='n'><query xmlns='jabber:iq:roster'><item jid='nobody@" HERE "'/></query></iq>");
    say(w, c, "<iq type='set' id='rm'><query xmlns='jabber:iq:roster'><item jid='nobody@" HERE "' subscription='remove'/></query></iq>");
    say(w, c, "<message to='" JULIET "'><body>kept</body></message>");
    (void)run_command(w, "everywhere", "'address':'" ROMEO "'");
    say(w, c, "<message to='" ROMEO "/a'><body>to a session that is held back</body></message>");
    for (int i = 0; i < 20; i++) pass_time(w, 5000000);
    part(w, c);
}

static void archives(world *w)
{
    client *c = join(w, ROMEO "/a"), *from = join(w, JULIET "/a");
    say(w, from, "<message type='chat' to='" ROMEO "'><body>archived</body></message>");
    say(w, c, "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
    part(w, from);
    part(w, c);
}

static void everything(world *w)
{
    account(w, "romeo");
    account(w, "juliet");
    stanzas(w);
    queues(w);
    discovery(w);
    archives(w);
    others(w);
    accounts(w);
}

/* --- what came of it -------------------------------------------------------------------------- */

/* The next line behind *at of the point's events; false if there is none. */
static bool next_line(const world *w, const char *point, const char **at, char line[1024])
{
    char mark[128];
    snprintf(mark, sizeof mark, " everywhere at=%s ", point);
    const char *end = w->log.data + w->log.len;
    const char *found = memmem(*at, (size_t)(end - *at), mark, strlen(mark));
    if (found == NULL) return false;
    const char *stop = memchr(found, '\n', (size_t)(end - found));
    snprintf(line, 1024, "%.*s", (int)((stop ? stop : end) - found), found);
    *at = found + 1;
    return true;
}

static void field(const char *line, const char *name, char to[256])
{
    char mark[32];
    snprintf(mark, sizeof mark, " %s=", name);
    const char *at = strstr(line, mark);
    if (at == NULL) fail_msg("%s has no %s", line, name);
    at += strlen(mark);
    const bool is_quoted = *at == '"';
    const char *stop = is_quoted ? strchr(at + 1, '"') : strchr(at, ' ');
    snprintf(to, 256, "%.*s", stop ? (int)(stop - at) - is_quoted : 255, at + is_quoted);
}

typedef struct findings {
    size_t count;
    bool stanza, session, subject;
} findings;

static void look_at(const described *point, const char *line, findings *seen)
{
    char from[256], to[256], text[256];
    field(line, "from", from);
    field(line, "to", to);
    seen->count++;
    if (point->about == HOST && (from[0] != '\0' || to[0] != '\0')) fail_msg("not nobody: %s", line);
    const size_t bare_bytes = strcspn(from, "/"); /* whoever fires the occasion may name a session of the account */
    const bool is_account = strchr(to, '@') != NULL && strlen(to) == bare_bytes && strncmp(from, to, bare_bytes) == 0;
    if (point->about == ACCOUNT && !is_account) fail_msg("not one account: %s", line);
    field(line, "stanza", text);
    seen->stanza = seen->stanza || strcmp(text, "yes") == 0;
    field(line, "session", text);
    seen->session = seen->session || strcmp(text, "yes") == 0;
    field(line, "subject", text);
    seen->subject = seen->subject || text[0] != '\0';
}

/* "It has none" is never wrong, "it has one" sometimes right. */
static void compare(const described *point, const findings *seen)
{
    if (seen->count == 0) fail_msg("%s was not reached", point->name);
    if (seen->stanza != point->stanza) fail_msg("%s: a stanza is %sthere", point->name, seen->stanza ? "" : "never ");
    if (seen->session != point->session) fail_msg("%s: a session is %sthere", point->name, seen->session ? "" : "never ");
    if (seen->subject != point->subject) fail_msg("%s: a subject is %sthere", point->name, seen->subject ? "" : "never ");
}

/* The sessions of this world have no streams: tests/flow/ping-silent.flow, modules/sm's scripts and xmpp_counted_test have. */
static bool is_elsewhere(const char *name)
{
    static const char *const of_streams[] = {"session/silent", "stream/element",  "session/away",
                                             "session/back",   "session/handled", "session/unacked"};
    for (size_t i = 0; i < sizeof of_streams / sizeof *of_streams; i++)
        if (strcmp(name, of_streams[i]) == 0) return true;
    return false;
}

static void points_are_as_described(void **state)
{
    (void)state;
    world *w = stage(MODULES, "shares_lines = { \"House\\t" ROMEO "\\t\\t" JULIET "\\t\" }\nshares_later = {}\noffline_max_age = \"1d\"\n");
    everything(w);
    for (size_t i = 0; i < POINTS; i++) {
        char line[1024];
        findings seen = {.count = 0};
        if (is_elsewhere(points[i].name)) continue;
        for (const char *at = w->log.data; next_line(w, points[i].name, &at, line);) look_at(&points[i], line, &seen);
        compare(&points[i], &seen);
    }
    leave(w);
}

/* Where LATER is allowed nothing is wrong with it; elsewhere it is a fault, and counts as PASS. */
static void points_that_may_wait(void **state)
{
    (void)state;
    world *w = stage(MODULES, "shares_lines = { \"House\\t" ROMEO "\\t\\t" JULIET "\\t\" }\nshares_later = {}\noffline_max_age = \"1d\"\n"
                              "everywhere_waits = true\neverywhere_faults_max = 0\n");
    svi_ledger_set_strict(svi_server_ledger(w->server), false);
    everything(w);
    for (size_t i = 0; i < POINTS; i++) {
        char line[1024], fault[256], brief[256];
        const char *at = w->log.data;
        if (is_elsewhere(points[i].name)) continue;
        if (!next_line(w, points[i].name, &at, line)) fail_msg("%s was not reached", points[i].name);
        snprintf(fault, sizeof fault, "rule=\"a pass inside another event cannot wait\" point=%s by=everywhere ", points[i].name);
        snprintf(brief, sizeof brief, "rule=\"what is asked here cannot wait\" point=%s by=everywhere ", points[i].name);
        if (points[i].later == (has(&w->log, fault) || has(&w->log, brief))) fail_msg("%s: LATER is%s a fault", points[i].name, points[i].later ? "" : " not");
    }
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_are_as_described),
        cmocka_unit_test(points_that_may_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
