/* Tests of blocking: every kind of stanza in both directions against every form of item, what is
 * kept and for how long, what others see of a block and of its end, bounds, and reports. */
#include "../../tests/modules/modules_world.h"

#define ROMEO "romeo@" HERE
#define JULIET "juliet@" HERE
#define LIST "blocking/list"
#define NS "urn:xmpp:blocking"

static void command(world *w, client *c, const char *what, const char *const *jids, size_t count)
{
    char text[2048];
    size_t n = (size_t)snprintf(text, sizeof text, "<iq type='set' id='cmd'><%s xmlns='" NS "'>",
                                what);
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "<item jid='%s'/>", jids[i]);
    snprintf(text + n, sizeof text - n, "</%s></iq>", what);
    say(w, c, text);
}

static void block(world *w, client *c, const char *jid)
{
    command(w, c, "block", &jid, 1);
    if (SEEN(w, c, .id = "cmd", .type = "result") != 1)
        fail_msg("block %s: %.*s", jid, (int)c->in.len, c->in.data);
}

static void unblock(world *w, client *c, const char *jid)
{
    command(w, c, "unblock", &jid, 1);
    assert_int_equal(SEEN(w, c, .id = "cmd", .type = "result"), 1);
}

static uint64_t dropped_by(world *w, const char *name)
{
    const char *rule;
    uint64_t count;
    for (size_t pos = 0; svi_ledger_rules(svi_server_ledger(w->server), &pos, &rule, &count);)
        if (strcmp(rule, name) == 0) return count;
    return 0;
}

/* --- kinds and forms ----------------------------------------------------------------------- */

#define GONE "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"

/* Every kind of stanza, and whether the sender of one that is blocked hears of it: from the account
 * that blocked him, and from his own server if it is his own list. */
static const struct kind {
    const char *name, *type, *inner;
    const char *in, *out; /* condition of the error, NULL: silence */
} kinds[] = {
    {"message", NULL, "<body>x</body>", "service-unavailable", "not-acceptable"},
    {"message", "normal", "<body>x</body>", "service-unavailable", "not-acceptable"},
    {"message", "chat", "<body>x</body>", "service-unavailable", "not-acceptable"},
    {"message", "groupchat", "<body>x</body>", "service-unavailable", "not-acceptable"},
    {"message", "headline", "<body>x</body>", "service-unavailable", "not-acceptable"},
    {"message", "error", GONE, NULL, NULL},
    {"presence", NULL, "", NULL, "not-acceptable"},
    {"presence", "unavailable", "", NULL, "not-acceptable"},
    {"presence", "probe", "", NULL, "not-acceptable"},
    {"presence", "subscribe", "", NULL, "not-acceptable"},
    {"presence", "subscribed", "", NULL, "not-acceptable"},
    {"presence", "unsubscribe", "", NULL, "not-acceptable"},
    {"presence", "unsubscribed", "", NULL, "not-acceptable"},
    {"presence", "error", GONE, NULL, NULL},
    {"iq", "get", "<q xmlns='x:y'/>", "service-unavailable", "not-acceptable"},
    {"iq", "set", "<q xmlns='x:y'/>", "service-unavailable", "not-acceptable"},
    {"iq", "result", "", NULL, NULL},
    {"iq", "error", GONE, NULL, NULL},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void write_kind(char *text, size_t size, const struct kind *k, const char *from,
                       const char *to)
{
    snprintf(text, size, "<%s%s%s%s%s%s%s to='%s' id='s'>%s</%s>", k->name, k->type ? " type='" : "",
             k->type ? k->type : "", k->type ? "'" : "", from ? " from='" : "", from ? from : "",
             from ? "'" : "", to, k->inner, k->name);
}

static void assert_answer(world *w, const client *c, const struct kind *k, const char *cond,
                          const char *item)
{
    char holds[64] = "";
    if (cond != NULL) snprintf(holds, sizeof holds, "<%s ", cond);
    const bool is_own = cond != NULL && strcmp(cond, "not-acceptable") == 0;
    const unsigned errors = SEEN(w, c, .id = "s", .type = "error", .holds = holds);
    if (errors != (cond != NULL) ||
        (is_own && SEEN(w, c, .id = "s", .holds = "<blocked xmlns='" NS ":errors'/>") != 1) ||
        (cond == NULL && SEEN(w, c, .id = "s") != 0))
        fail_msg("%s %s, item %s: %.*s", k->name, k->type, item, (int)c->in.len, c->in.data);
}

/* One of the addresses of an account in the table. */
static const struct form {
    const char *item;
    bool at_street, at_orchard; /* does it stand for romeo's one session, for the other? */
} forms[] = {
    {ROMEO "/street", true, false},
    {ROMEO, true, true},
    {HERE, true, true},
    {"two.example", false, false},
    {"romeo@two.example", false, false},
    {"tybalt@" HERE, false, false},
};
#define FORMS (sizeof forms / sizeof *forms)

/* Nothing of a blocked one reaches any session of the account, by any address of it. */
static void assert_in(world *w, client *sender, const struct form *f, bool is_meant,
                      const client *const receivers[2])
{
    static const char *const to[] = {JULIET, JULIET "/balcony", JULIET "/chamber", JULIET "/gone"};
    for (size_t k = 0; k < KINDS; k++)
        for (size_t t = 0; t < 4; t++) {
            char text[512];
            write_kind(text, sizeof text, &kinds[k], NULL, to[t]);
            forget(w);
            const uint64_t before = dropped_by(w, "blocked");
            say(w, sender, text);
            if (is_meant) {
                /* no such session; what changes no state of the sender's ends with him */
                const bool ends_before = (strcmp(kinds[k].name, "iq") == 0 && t == 3) ||
                                         (kinds[k].type && strstr(kinds[k].type, "subscribed")) ||
                                         (kinds[k].type && strstr(kinds[k].type, "unsubscribe"));
                assert_answer(w, sender, &kinds[k], kinds[k].in, f->item);
                for (size_t r = 0; r < 2; r++) assert_int_equal(receivers[r]->in.len, 0);
                if (kinds[k].in == NULL && !ends_before && dropped_by(w, "blocked") != before + 1)
                    fail_msg("%s %s to %s is not dropped as blocked", kinds[k].name, kinds[k].type,
                             to[t]);
            } else {
                assert_int_equal(dropped_by(w, "blocked"), before);
            }
        }
}

static void assert_out(world *w, client *blocker, const struct form *f, const char *to,
                       bool is_meant, const client *receiver)
{
    for (size_t k = 0; k < KINDS; k++) {
        char text[512];
        write_kind(text, sizeof text, &kinds[k], NULL, to);
        forget(w);
        say(w, blocker, text);
        if (is_meant) {
            assert_answer(w, blocker, &kinds[k], kinds[k].out, f->item);
            assert_int_equal(receiver->in.len, 0);
        } else if (SEEN(w, blocker, .holds = "<blocked ") != 0) {
            fail_msg("%s %s to %s with item %s is blocked", kinds[k].name, kinds[k].type, to,
                     f->item);
        }
    }
}

/* XEP-0191 3.3 and 6, threats U8: no kind, no type, no form of address is a way around. */
static void kinds_and_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) {
        world *w = stage(ALL_MODULES, "");
        client *street = online(w, ROMEO "/street"), *orchard = online(w, ROMEO "/orchard");
        client *balcony = online(w, JULIET "/balcony"), *chamber = online(w, JULIET "/chamber");
        const client *const receivers[] = {balcony, chamber};
        block(w, balcony, forms[i].item);
        assert_in(w, street, &forms[i], forms[i].at_street, receivers);
        assert_in(w, orchard, &forms[i], forms[i].at_orchard, receivers);
        assert_out(w, chamber, &forms[i], ROMEO "/street", forms[i].at_street, street);
        assert_out(w, balcony, &forms[i], ROMEO "/orchard", forms[i].at_orchard, orchard);
        if (i > 0) assert_out(w, balcony, &forms[i], ROMEO, forms[i].at_orchard, orchard);
        leave(w);
    }
}

static void befriend(world *w, const char *flags)
{
    char record[32];
    snprintf(record, sizeof record, "R1%s\n\n", flags);
    write_row(w, "roster/items", "juliet", ROMEO, record);
    write_row(w, "roster/items", "romeo", JULIET, "R123\n\n");
}

/* Requests of somebody who sees the account's presence, so that nothing but the block keeps them from its session. */
static void requests_of_contacts(void **state)
{
    (void)state;
    static const char *const types[] = {"get", "set"};
    for (size_t t = 0; t < 2; t++) {
        world *w = stage(ALL_MODULES, "");
        char text[256];
        befriend(w, "23");
        client *romeo = online(w, ROMEO "/street"), *juliet = online(w, JULIET "/balcony");
        snprintf(text, sizeof text, "<iq type='%s' to='" JULIET "/balcony' id='s'><q xmlns='x:y'/></iq>", types[t]);
        forget(w);
        say(w, romeo, text);
        assert_int_equal(SEEN(w, juliet, .id = "s", .type = types[t]), 1);
        block(w, juliet, ROMEO);
        forget(w);
        say(w, romeo, text);
        assert_int_equal(SEEN(w, romeo, .id = "s", .type = "error", .holds = "<service-unavailable "), 1);
        assert_int_equal(juliet->in.len, 0);
        leave(w);
    }
}

/* The same for senders of other servers, and for domains and their resources. */
static void senders_from_elsewhere(void **state)
{
    (void)state;
    static const struct {
        const char *item, *from;
        bool is_meant;
    } cases[] = {
        {"x.example", "a@x.example/b", true},     {"x.example", "x.example", true},
        {"x.example", "x.example/r", true},       {"x.example", "sub.x.example", false},
        {"x.example", "a@y.example", false},      {"x.example/r", "x.example/r", true},
        {"x.example/r", "x.example", false},      {"x.example/r", "x.example/R", false},
        {"x.example/r", "a@x.example/r", false},  {"a@x.example", "a@x.example", true},
        {"a@x.example", "a@x.example/b", true},   {"a@x.example", "x.example", false},
        {"a@x.example", "ab@x.example", false},   {"a@x.example/b", "a@x.example/b", true},
        {"a@x.example/b", "a@x.example", false},  {"a@x.example/b", "a@x.example/c", false},
        {"A@X.Example", "a@x.example/b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world *w = stage(ALL_MODULES, "");
        client *balcony = online(w, JULIET "/balcony");
        block(w, balcony, cases[i].item);
        for (size_t k = 0; k < KINDS; k++) {
            char text[512];
            write_kind(text, sizeof text, &kinds[k], cases[i].from, JULIET "/balcony");
            forget(w);
            arrives(w, text);
            const bool is_shown = SEEN(w, balcony, .id = "s") > 0;
            if (cases[i].is_meant && is_shown)
                fail_msg("%s got by %s", text, cases[i].item);
            /* what is about subscriptions or a probe is not shown in any case */
            if (!cases[i].is_meant && k < 7 && !is_shown)
                fail_msg("%s kept off by %s", text, cases[i].item);
        }
        leave(w);
    }
}

/* --- off line, and over restarts ----------------------------------------------------------- */

/* The list holds while nobody of the account is there, and whatever becomes of the server. */
static void off_line_and_restarts(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "romeo");
    account(w, "juliet");
    client *juliet = online(w, JULIET "/balcony");
    block(w, juliet, ROMEO);
    for (int round = 0; round < 3; round++) {
        halt(w, round == 1);
        boot(w, ALL_MODULES, "");
        client *romeo = online(w, ROMEO "/orchard");
        for (size_t k = 0; k < KINDS; k++) {
            char text[512];
            write_kind(text, sizeof text, &kinds[k], NULL, JULIET);
            say(w, romeo, text);
            assert_answer(w, romeo, &kinds[k], kinds[k].in, ROMEO);
        }
        assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
        assert_int_equal(row_count(w, "presence/requests", "juliet"), 0);
        assert_int_equal(row_count(w, LIST, "juliet"), 1);
    }
    leave(w);
}

/* A list that can't be read lets nothing through; presence is not even answered. */
static void unreadable(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard");
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    say(w, romeo, "<message to='" JULIET "' id='m'><body>x</body></message>");
    assert_int_equal(SEEN(w, romeo, .id = "m", .holds = "<internal-server-error "), 1);
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    say(w, romeo, "<presence type='subscribe' to='nurse@" HERE "' id='p'/>");
    svi_engine_sim_plan(w->engine)->fail_read = 0;
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
    leave(w);
}

/* Binds while the n-th read fails; false if there were fewer. The list is known before the session is shown what
 * was kept. */
static bool joins_with_failed_read(int64_t n)
{
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard");
    say(w, romeo,
        "<message to='" JULIET "' id='m'><body>x</body></message>"
        "<presence type='subscribe' to='" JULIET "'/>");
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 1);
    write_row(w, LIST, "juliet", ROMEO, "B1");
    halt(w, false);
    boot(w, ALL_MODULES, "");
    svi_engine_sim_plan(w->engine)->fail_read = n;
    client *juliet = join(w, JULIET "/balcony");
    const bool has_failed = svi_engine_sim_plan(w->engine)->fail_read == 0;
    svi_engine_sim_plan(w->engine)->fail_read = 0;
    say(w, juliet, "<presence/>");
    assert_int_equal(SEEN(w, juliet, .name = "presence", .from = JULIET "/balcony"), 1);
    assert_int_equal(SEEN(w, juliet, .name = "message"), 0);
    assert_int_equal(SEEN(w, juliet, .type = "subscribe"), 0);
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
    leave(w);
    return has_failed;
}

/* Whatever could not be read when the session was bound, the list among it. */
static void known_before_available(void **state)
{
    (void)state;
    int64_t n = 1;
    while (joins_with_failed_read(n)) n++;
    assert_true(n > 2);
}

/* What came before the block and was never written to a session goes to no other one, nor is kept. */
static void never_written(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *romeo = online(w, ROMEO "/orchard"), *nurse = online(w, "nurse@" HERE "/house");
    client *train = join_narrow(w, JULIET "/train");
    say(w, train, "<presence/>");
    listens(w, train, false);
    char text[1200];
    snprintf(text, sizeof text, "<message type='chat' to='" JULIET "/train' id='long'><body>%0900d"
                                "</body></message>", 1);
    say(w, nurse, text); /* fills the connection */
    say(w, romeo, "<message type='chat' to='" JULIET "/train' id='m'><body>x</body></message>");
    say(w, nurse, "<message type='chat' to='" JULIET "/train' id='n'><body>x</body></message>");
    client *balcony = online(w, JULIET "/balcony");
    block(w, balcony, ROMEO);
    forget(w);
    part(w, train);
    assert_int_equal(SEEN(w, balcony, .id = "n"), 1);
    assert_int_equal(SEEN(w, balcony, .id = "m"), 0);
    assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
    leave(w);
}

/* --- what the other one sees --------------------------------------------------------------- */

/* Unavailable presence goes to those who may see the account's presence, once, and only if they did
 * until now. */
static void vanishes_for_subscribers(void **state)
{
    (void)state;
    static const struct {
        const char *flags, *items[2];
        unsigned first, second; /* what romeo hears at each block */
    } cases[] = {
        {"23", {ROMEO, HERE}, 1, 0},        {"21", {HERE, ROMEO}, 1, 0},
        {"22", {ROMEO, HERE}, 0, 0},        {"20", {ROMEO, HERE}, 0, 0},
        {"23", {"two.example", ROMEO}, 0, 1}, {"23", {ROMEO "/orchard", ROMEO}, 1, 1},
        {"23", {ROMEO "/street", ROMEO}, 0, 1}, {"23", {ROMEO, ROMEO}, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world *w = stage(ALL_MODULES, "");
        befriend(w, cases[i].flags);
        client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
        client *hidden = join(w, JULIET "/hidden"); /* not available: nothing to take back */
        const unsigned wanted[] = {cases[i].first, cases[i].second};
        for (size_t k = 0; k < 2; k++) {
            forget(w);
            block(w, hidden, cases[i].items[k]);
            const unsigned got = SEEN(w, romeo, .type = "unavailable", .from = JULIET "/balcony");
            if (got != wanted[k] || SEEN(w, romeo, .name = "presence") != got)
                fail_msg("case %zu, block %zu: %.*s", i, k, (int)romeo->in.len, romeo->in.data);
        }
        (void)juliet;
        leave(w);
    }
}

/* While it holds, nothing that the server would send for the account leaves: broadcast, answers to
 * probes, the end of a session. */
static void nothing_made_leaves(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    befriend(w, "23");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    block(w, juliet, ROMEO);
    forget(w);
    say(w, juliet, "<presence><show>away</show></presence><presence type='unavailable'/><presence/>");
    say(w, romeo, "<presence type='unavailable'/><presence/><presence type='probe' to='" JULIET "'/>");
    assert_int_equal(SEEN(w, romeo, .from = JULIET "/balcony"), 0);
    assert_int_equal(SEEN(w, romeo, .from = JULIET), 0);
    assert_int_equal(juliet->in.len == 0 || SEEN(w, juliet, .from = ROMEO "/orchard") == 0, true);
    forget(w);
    part(w, juliet);
    assert_int_equal(romeo->in.len, 0);
    assert_true(dropped_by(w, "blocked-by-sender") >= 4);
    leave(w);
}

/* Its end: presence in both directions, but not to nor from those that something else on the list
 * keeps away. */
static void appears_again(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    befriend(w, "23");
    client *romeo = online(w, ROMEO "/orchard"), *juliet = online(w, JULIET "/balcony");
    static const char *const both[] = {ROMEO, HERE};
    command(w, juliet, "block", both, 2);
    forget(w);
    unblock(w, juliet, ROMEO);
    assert_int_equal(romeo->in.len, 0);
    assert_int_equal(SEEN(w, juliet, .name = "presence"), 0);
    command(w, juliet, "unblock", NULL, 0);
    assert_int_equal(SEEN(w, romeo, .name = "presence", .type = "", .from = JULIET "/balcony"), 1);
    assert_int_equal(SEEN(w, juliet, .name = "presence", .type = "", .from = ROMEO "/orchard"), 1);
    assert_int_equal(row_count(w, LIST, "juliet"), 0);
    forget(w);
    unblock(w, juliet, ROMEO); /* what is not blocked changes nothing */
    assert_int_equal(romeo->in.len, 0);
    block(w, juliet, ROMEO "/orchard");
    forget(w);
    unblock(w, juliet, ROMEO "/orchard");
    assert_int_equal(SEEN(w, romeo, .type = "", .from = JULIET "/balcony"), 1);
    leave(w);
}

/* A list with a contact of another server: the same, by what leaves the server. */
static void contacts_elsewhere(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    write_row(w, "roster/items", "juliet", "tybalt@x.example", "R123\n\n");
    client *juliet = online(w, JULIET "/balcony");
    const uint64_t before = svi_ledger_total(svi_server_ledger(w->server))->disposal[SVI_BOUNCED];
    block(w, juliet, "x.example");
    /* the unavailable presence came back: there is no way to that server */
    assert_int_equal(svi_ledger_total(svi_server_ledger(w->server))->disposal[SVI_BOUNCED],
                     before + 1);
    say(w, juliet, "<presence><show>away</show></presence>");
    assert_int_equal(svi_ledger_total(svi_server_ledger(w->server))->disposal[SVI_BOUNCED],
                     before + 1);
    unblock(w, juliet, "x.example");
    assert_int_equal(svi_ledger_total(svi_server_ledger(w->server))->disposal[SVI_BOUNCED],
                     before + 3); /* presence and a probe */
    leave(w);
}

/* --- bounds and life ----------------------------------------------------------------------- */

static void bounds(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "blocking_max_items = 3\nblocking_max_bytes = \"4k\"");
    client *juliet = online(w, JULIET "/balcony");
    static const char *const four[] = {"a@x.example", "b@x.example", "c@x.example", "d@x.example"};
    command(w, juliet, "block", four, 4);
    assert_int_equal(SEEN(w, juliet, .type = "error", .holds = "<resource-constraint "), 1);
    assert_int_equal(row_count(w, LIST, "juliet"), 0);
    command(w, juliet, "block", four, 3);
    assert_int_equal(SEEN(w, juliet, .type = "result"), 1);
    command(w, juliet, "block", four + 3, 1);
    assert_int_equal(SEEN(w, juliet, .type = "error", .holds = "<resource-constraint "), 1);
    command(w, juliet, "unblock", NULL, 0);
    char large[2][1100], *const names[] = {large[0], large[1]};
    static const char *long_items[3];
    for (int i = 0; i < 2; i++) {
        memset(large[i], 'a' + i, 1023);
        snprintf(large[i] + 1023, sizeof large[i] - 1023, "@x.example");
        long_items[i] = names[i];
    }
    char text[6000];
    snprintf(text, sizeof text,
             "<iq type='set' id='cmd'><block xmlns='" NS "'><item jid='%s/%s'/>"
             "<item jid='%s/%s'/></block></iq>",
             long_items[0], "r", long_items[1], "r");
    say(w, juliet, text);
    assert_int_equal(SEEN(w, juliet, .type = "result"), 1);
    snprintf(text, sizeof text,
             "<iq type='set' id='cmd'><block xmlns='" NS "'><item jid='%s/%.1023s'/></block></iq>",
             long_items[0], long_items[1]);
    say(w, juliet, text); /* the third, but beyond 4 KiB */
    assert_int_equal(SEEN(w, juliet, .type = "error", .holds = "<resource-constraint "), 1);
    assert_int_equal(row_count(w, LIST, "juliet"), 2);
    leave(w);
}

/* Without room on the disk nothing is added, and what is listed may go. */
static void store_shortage(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    client *juliet = online(w, JULIET "/balcony");
    block(w, juliet, ROMEO);
    svi_engine_sim_plan(w->engine)->full = true;
    pass_time(w, 5000000);
    static const char *const jid = "tybalt@" HERE;
    command(w, juliet, "block", &jid, 1);
    assert_int_equal(SEEN(w, juliet, .type = "error", .holds = "<resource-constraint "), 1);
    unblock(w, juliet, ROMEO);
    svi_engine_sim_plan(w->engine)->full = false;
    pass_time(w, 5000000);
    assert_int_equal(row_count(w, LIST, "juliet"), 0);
    leave(w);
}

static void goes_with_the_account(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    account(w, "juliet");
    client *juliet = online(w, JULIET "/balcony");
    say(w, juliet,
        "<iq type='set' id='b'><block xmlns='" NS "'><item jid='" ROMEO "'>"
        "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/></item></block></iq>");
    assert_int_equal(row_count(w, LIST, "juliet"), 1);
    assert_int_equal(row_count(w, "blocking/reports", "juliet"), 1);
    part(w, juliet);
    int status = 1;
    svi_account_remove(svi_host_find(w->server, SV_STR(HERE)), SV_STR("juliet"), w_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    assert_int_equal(row_count(w, LIST, "juliet"), 0);
    assert_int_equal(row_count(w, "blocking/reports", "juliet"), 0);
    leave(w);
}

/* Whatever the order in the config, the guard is asked before anybody else. */
static void any_order(void **state)
{
    (void)state;
    static const char *const orders[] = {
        "\"blocking\", \"offline\", \"message\", \"presence\", \"roster\", \"disco\", \"ping\"",
        "\"ping\", \"disco\", \"offline\", \"message\", \"presence\", \"roster\", \"blocking\"",
    };
    for (size_t i = 0; i < 2; i++) {
        world *w = stage(orders[i], "");
        account(w, "juliet");
        client *juliet = online(w, JULIET "/balcony");
        block(w, juliet, ROMEO);
        client *romeo = online(w, ROMEO "/orchard");
        say(w, romeo,
            "<message to='" JULIET "' id='a'><body>x</body></message>"
            "<iq type='get' to='" JULIET "/balcony' id='b'><ping xmlns='urn:xmpp:ping'/></iq>"
            "<presence type='subscribe' to='" JULIET "'/>");
        assert_int_equal(SEEN(w, romeo, .type = "error"), 2);
        assert_int_equal(juliet->in.len == 0 || SEEN(w, juliet, .from = ROMEO) == 0, true);
        part(w, juliet);
        say(w, romeo, "<message to='" JULIET "' id='a'><body>x</body></message>");
        assert_int_equal(row_count(w, "offline/messages", "juliet"), 0);
        assert_int_equal(row_count(w, "presence/requests", "juliet"), 0);
        leave(w);
    }
}

/* --- reports (XEP-0377) -------------------------------------------------------------------- */

#define REPORT(jid, reason, more)                                                                  \
    "<item jid='" jid "'><report xmlns='urn:xmpp:reporting:1' reason='" reason "'>" more           \
    "</report></item>"

static size_t lines_with(const world *w, const char *text)
{
    size_t count = 0;
    const char *at = w->log.data, *end = w->log.data + w->log.len;
    while (at && (at = memmem(at, (size_t)(end - at), text, strlen(text)))) {
        count++;
        at++;
    }
    return count;
}

static void report(world *w, client *c, const char *items)
{
    char text[4096];
    snprintf(text, sizeof text, "<iq type='set' id='cmd'><block xmlns='" NS "'>%s</block></iq>",
             items);
    say(w, c, text);
    assert_int_equal(SEEN(w, c, .id = "cmd", .type = "result"), 1);
}

/* One line each without what was said, and a message to whom it may concern. */
static void reports(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES,
                     "blocking_reports_to = { \"admin@" HERE "\", \"abuse@x.example\" }\n"
                     "blocking_max_reports = 4");
    account(w, "admin");
    client *admin = online(w, "admin@" HERE "/desk"), *juliet = online(w, JULIET "/balcony");
    report(w, juliet,
           REPORT("a@y.example", "urn:xmpp:reporting:spam", "<text>buy my &lt;hat&gt;</text>")
               REPORT("b@y.example", "urn:xmpp:reporting:abuse", "<third-party/>"));
    assert_int_equal(lines_with(w, "abuse-report"), 2);
    assert_int_equal(lines_with(w, "jid=a@y.example reason=spam"), 1);
    assert_int_equal(lines_with(w, "jid=b@y.example reason=abuse"), 1);
    assert_int_equal(lines_with(w, "hat"), 0);
    assert_int_equal(SEEN(w, admin, .name = "message", .from = HERE,
                          .holds = "<body>" JULIET " blocked a@y.example and reports: spam\n"
                                   "buy my &lt;hat&gt;</body>"),
                     1);
    assert_int_equal(SEEN(w, admin, .name = "message"), 2);
    /* only the second may leave the server, which it can't */
    assert_int_equal(svi_ledger_total(svi_server_ledger(w->server))->disposal[SVI_BOUNCED], 1);
    /* another reason is told as it is, escaped; none is no report */
    report(w, juliet, REPORT("c@y.example", "x&#10;level=error &quot;y", ""));
    assert_int_equal(lines_with(w, "abuse-report"), 3);
    assert_int_equal(lines_with(w, "\nlevel"), 0);
    report(w, juliet, "<item jid='d@y.example'><report xmlns='urn:xmpp:reporting:1'/></item>");
    assert_int_equal(lines_with(w, "abuse-report"), 3);
    /* no more than so many on a day; the block is done all the same */
    report(w, juliet,
           REPORT("e@y.example", "urn:xmpp:reporting:spam", "")
               REPORT("f@y.example", "urn:xmpp:reporting:spam", ""));
    assert_int_equal(lines_with(w, "abuse-report"), 4);
    assert_int_equal(row_count(w, LIST, "juliet"), 6);
    pass_time(w, INT64_C(86400) * 1000000);
    part(w, juliet);
    juliet = online(w, JULIET "/chamber");
    report(w, juliet, REPORT("g@y.example", "urn:xmpp:reporting:spam", ""));
    assert_int_equal(lines_with(w, "abuse-report"), 5);
    leave(w);
}

/* An address that is none is told when the configuration is read, not passed over with each report. */
static void reports_to_no_address(void **state)
{
    (void)state;
    world *w = stage(ALL_MODULES, "");
    assert_int_not_equal(
        reload(w, "VirtualHost \"" HERE "\"\nmodules_enabled = { " ALL_MODULES " }\n"
                  "blocking_reports_to = { \"admin@" HERE "\", \"admin at " HERE "\" }\n"),
        SV_OK);
    if (!has(&w->reports, "3: 'blocking_reports_to' must be of addresses"))
        fail_msg("%.*s", (int)w->reports.len, w->reports.data);
    leave(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_and_forms),
        cmocka_unit_test(requests_of_contacts),
        cmocka_unit_test(senders_from_elsewhere),
        cmocka_unit_test(off_line_and_restarts),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(known_before_available),
        cmocka_unit_test(never_written),
        cmocka_unit_test(vanishes_for_subscribers),
        cmocka_unit_test(nothing_made_leaves),
        cmocka_unit_test(appears_again),
        cmocka_unit_test(contacts_elsewhere),
        cmocka_unit_test(bounds),
        cmocka_unit_test(store_shortage),
        cmocka_unit_test(goes_with_the_account),
        cmocka_unit_test(any_order),
        cmocka_unit_test(reports),
        cmocka_unit_test(reports_to_no_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
