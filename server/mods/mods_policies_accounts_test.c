/* Policies of accounts, where flow scripts don't reach: senders of other servers, commands, reloads, sessions that break. */
#include "mods/mods_policies_world_test.h"

/* --- strangers ------------------------------------------------------------------------- */

/* Whom an account wrote to is known in the next generation, which has nothing in memory, and forgotten with the account. */
static void strangers_are_remembered(void **state)
{
    (void)state;
    world *w = policy_world("policy-stranger", "");
    add_account(w, "b");
    client *b = join(w, "b@one.example/r");
    comes(w, FROM("a@far.example/x", "1"));
    assert_has_not(&b->in, "<body>1");
    say(w, b, "<message to='a@far.example/x'><body>2</body></message>");
    comes(w, FROM("a@far.example/x", "3"));
    assert_has(&b->in, "<body>3");
    reload_script(w, "policy-stranger");
    comes(w, FROM("a@far.example/x", "4"));
    assert_has(&b->in, "<body>4");
    comes(w, FROM("c@far.example/x", "5"));
    assert_has_not(&b->in, "<body>5");
    /* a service without a localpart is a stranger, too; the server itself is none */
    comes(w, FROM("far.example", "6"));
    assert_has_not(&b->in, "<body>6");
    comes(w, FROM("one.example", "7"));
    assert_has(&b->in, "<body>7");
    done(w);
}

/* To join a room is to open for it. */
static void strangers_and_rooms(void **state)
{
    (void)state;
    world *w = policy_world("policy-stranger", "");
    client *b = join(w, "b@one.example/r");
    comes(w, "<message type='groupchat' from='room@far.example/a' to='b@one.example/r'><body>1</body></message>");
    assert_has_not(&b->in, "<body>1");
    say(w, b, "<presence to='room@far.example/b'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
    comes(w, "<message type='groupchat' from='room@far.example/a' to='b@one.example/r'><body>2</body></message>");
    assert_has(&b->in, "<body>2");
    done(w);
}

/* What is held back outlives a reload, is handed over in order, and stays if it was never written. */
static void strangers_held_back(void **state)
{
    (void)state;
    world *w = policy_world("policy-stranger", "policy_stranger_action = \"hold\"\n");
    add_account(w, "b");
    client *b = join(w, "b@one.example/r");
    for (int i = 0; i < 4; i++) {
        char text[200];
        snprintf(text, sizeof text, "<message from='a@far.example/x' to='b@one.example'><body>number %d</body></message>", i);
        comes(w, text);
    }
    reload_script(w, "policy-stranger");
    comes(w, FROM("a@far.example/x", "number 4"));
    comes(w, FROM("a@far.example/x", "number 5")); /* one too many */
    assert_has_not(&b->in, "number");
    say(w, b, "<message to='a@far.example'><body>who?</body></message>");
    const char *at = b->in.data;
    for (int i = 0; i < 5; i++) {
        char text[32];
        const char *end = b->in.data + b->in.len;
        snprintf(text, sizeof text, "number %d", i);
        at = memmem(at, (size_t)(end - at), text, strlen(text));
        assert_non_null(at);
    }
    assert_has_not(&b->in, "number 5");
    say(w, b, "<message to='a@far.example'><body>well?</body></message>");
    assert_has_not(&b->in, "number");
    done(w);
}

/* --- invitations ----------------------------------------------------------------------- */

#define INVITE(inviter, reason)                                                                                                  \
    "<message from='room@far.example' to='b@one.example/r'><x xmlns='http://jabber.org/protocol/muc#user'><invite" inviter       \
    "><reason>" reason "</reason></invite></x></message>"

/* A room passes on who invites; without a name, or with none that is one, it is the room itself, or nobody. */
static void invitations_by_rooms(void **state)
{
    (void)state;
    world *w = policy_world("policy-invite", "");
    add_account(w, "b");
    client *b = join(w, "b@one.example/r");
    say(w, b, "<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='friend@far.example'/></query></iq>");
    assert_has(&b->in, "result");
    comes(w, INVITE(" from='a@far.example/x'", "one"));
    assert_has_not(&b->in, "one");
    comes(w, INVITE(" from='friend@far.example/x'", "two"));
    assert_has(&b->in, "two");
    comes(w, INVITE("", "three"));
    assert_has_not(&b->in, "three");
    comes(w, INVITE(" from='@'", "four"));
    assert_has_not(&b->in, "four");
    comes(w, "<message from='room@far.example' to='b@one.example/r'><x xmlns='http://jabber.org/protocol/muc#user'><status code='5'/></x></message>");
    assert_has(&b->in, "status");
    done(w);
}

/* A reload is no way to further requests of the day. */
static void requests_of_a_day(void **state)
{
    (void)state;
    world *w = policy_world("policy-invite", "policy_invite_requests_per_day = 1\n");
    add_account(w, "b");
    client *b = join(w, "b@one.example/r");
    say(w, b, "<presence/>");
    comes(w, "<presence type='subscribe' from='a@far.example' to='b@one.example'><status>buy</status></presence>");
    assert_has(&b->in, "subscribe");
    assert_has_not(&b->in, "buy");
    reload_script(w, "policy-invite");
    comes(w, "<presence type='subscribe' from='c@far.example' to='b@one.example'/>");
    assert_has_not(&b->in, "subscribe");
    pass_time(w, (int64_t)86400 * SECOND);
    comes(w, "<presence type='subscribe' from='c@far.example' to='b@one.example'/>");
    assert_has(&b->in, "subscribe");
    done(w);
}

/* --- new accounts ---------------------------------------------------------------------- */

static void newcomers(void **state)
{
    (void)state;
    world *w = policy_world("policy-registration", "policy_registration_messages_per_day = 1\npolicy_registration_new_for = \"2d\"\n");
    add_account(w, "a");
    client *a = join(w, "a@one.example/r"), *old = join(w, "old@one.example/r");
    say(w, a, "<message to='x@far.example'><body>1</body></message>");
    assert_has(&a->in, "not-allowed");
    /* to the admins, and of those that were there before */
    say(w, a, "<message to='admin@one.example'><body>help</body></message>");
    assert_has_not(&a->in, "not-allowed");
    say(w, old, "<message to='x@far.example'><body>1</body></message>");
    assert_has_not(&old->in, "not-allowed");
    assert_says(run_command(w, "newcomer show", "'account':'a@one.example'"), "\"is-new\":true,\"messages\":0,\"requests\":0");
    assert_says(run_command(w, "newcomer show", "'account':'a@one.example'"), "\"made\":\"2026-01-01T00:00:00Z\",\"new-until\":\"2026-01-03T00:00:00Z\"");
    reload_script(w, "policy-registration");
    say(w, a, "<message to='x@far.example'><body>2</body></message>");
    assert_has(&a->in, "not-allowed");
    assert_says(run_command(w, "newcomer trust", "'account':'a@one.example'"), "\"ok\":true");
    say(w, a, "<message to='x@far.example'><body>3</body></message>");
    assert_has_not(&a->in, "not-allowed");
    assert_says(run_command(w, "newcomer show", "'account':'a@one.example'"), "\"made\":null,\"new-until\":null,\"is-new\":false");
    assert_says(run_command(w, "newcomer trust", "'account':'a@one.example'"), "\"class\":\"not-found\",\"error\":\"the account is not new");
    assert_says(run_command(w, "newcomer trust", "'account':'x@one.example'"), "\"ok\":false");
    done(w);
}

/* What it sent today counts in the next generation as well. */
static void newcomers_over_reloads(void **state)
{
    (void)state;
    world *w = policy_world("policy-registration", "policy_registration_messages_per_day = 1\npolicy_registration_strangers = true\n");
    add_account(w, "a");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, FROM("a@one.example/r", "1"));
    assert_has(&b->in, "<body>1");
    reload_script(w, "policy-registration");
    say(w, a, FROM("a@one.example/r", "2"));
    assert_has(&a->in, "resource-constraint");
    done(w);
}

/* --- quiet hours ----------------------------------------------------------------------- */

#define ACCOUNT "'account':'b@one.example'"

static void quiet_commands(void **state)
{
    (void)state;
    static const char *const wrong[] = {"22:00", "24:00-07:00", "22:60-07:00", "22:00-22:00", "nights", "22:00-07:00 "};
    world *w = policy_world("policy-quiet", "policy_quiet_zone = \"+01:00\"\n");
    add_account(w, "b");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char members[128];
        snprintf(members, sizeof members, ACCOUNT ",'hours':'%s'", wrong[i]);
        assert_says(run_command(w, "quiet set", members), "\"class\":\"usage\"");
    }
    assert_says(run_command(w, "quiet set", ACCOUNT ",'hours':'22:00-07:00','zone':'CET'"), "is no zone such as +01:00");
    assert_says(run_command(w, "quiet show", ACCOUNT), "\"hours\":\"off\",\"zone\":null,\"is-quiet\":false,\"waiting\":0,\"favourites\":[]");
    /* it is 00:00 UTC: 01:00 there, 23:30 behind it */
    assert_says(run_command(w, "quiet set", ACCOUNT ",'hours':'01:00-01:01'"), "\"ok\":true");
    assert_says(run_command(w, "quiet show", ACCOUNT), "\"hours\":\"01:00-01:01\",\"zone\":\"+01:00\",\"is-quiet\":true");
    assert_says(run_command(w, "quiet set", ACCOUNT ",'hours':'00:59-01:00'"), "\"ok\":true");
    assert_says(run_command(w, "quiet show", ACCOUNT), "\"is-quiet\":false");
    assert_says(run_command(w, "quiet set", ACCOUNT ",'hours':'23:00-07:00','zone':'-00:30'"), "\"ok\":true");
    assert_says(run_command(w, "quiet show", ACCOUNT), "\"zone\":\"-00:30\",\"is-quiet\":true");
    assert_says(run_command(w, "quiet set", ACCOUNT ",'hours':'off'"), "\"ok\":true");
    assert_says(run_command(w, "quiet show", ACCOUNT), "\"hours\":\"off\",\"zone\":null,\"is-quiet\":false");
    assert_says(run_command(w, "quiet set", ACCOUNT ",'hours':'default'"), "\"ok\":true");
    assert_says(run_command(w, "quiet set", "'account':'x@one.example','hours':'off'"), "\"ok\":false");
    assert_says(run_command(w, "quiet deny", ACCOUNT ",'contact':'a@far.example'"), "\"class\":\"not-found\"");
    done(w);
}

/* Hours of the account's own, for whom it says; they stand in the store. */
static void quiet_accounts(void **state)
{
    (void)state;
    world *w = policy_world("policy-quiet", "");
    add_account(w, "b");
    client *b = join(w, "b@one.example/r");
    say(w, b, "<presence/>");
    comes(w, FROM("a@far.example/x", "1"));
    assert_has(&b->in, "<body>1");
    assert_says(run_command(w, "quiet set", ACCOUNT ",'hours':'22:00-00:10'"), "\"ok\":true");
    comes(w, FROM("a@far.example/x", "2"));
    assert_has_not(&b->in, "<body>2");
    assert_says(run_command(w, "quiet allow", ACCOUNT ",'contact':'a@far.example/y'"), "\"ok\":true");
    assert_says(run_command(w, "quiet show", ACCOUNT), "\"waiting\":1,\"favourites\":[\"a@far.example\"]");
    comes(w, FROM("a@far.example/x", "3"));
    assert_has(&b->in, "<body>3");
    comes(w, FROM("c@far.example/x", "4"));
    assert_has_not(&b->in, "<body>4");
    reload_script(w, "policy-quiet");
    comes(w, FROM("c@far.example/x", "5"));
    assert_has_not(&b->in, "<body>5");
    assert_says(run_command(w, "quiet deny", ACCOUNT ",'contact':'a@far.example'"), "\"ok\":true");
    comes(w, FROM("a@far.example/x", "6"));
    assert_has_not(&b->in, "<body>6");
    svi_buf_clear(&b->in);
    pass_time(w, 590 * SECOND);
    assert_has_not(&b->in, "<body>");
    pass_time(w, 20 * SECOND);
    assert_has(&b->in, "<body>2");
    assert_has(&b->in, "<body>4");
    assert_has(&b->in, "<body>5");
    assert_has(&b->in, "<body>6");
    svi_buf_clear(&b->in);
    pass_time(w, 60 * SECOND);
    assert_has_not(&b->in, "<body>");
    assert_says(run_command(w, "quiet show", ACCOUNT), "\"waiting\":0");
    done(w);
}

enum { MANY = 600 };

/* Account b is on line, and more waits for it than a session and its connection have room for: the hours end, and it does not
 * read. */
static world *world_that_waits(client **b_out)
{
    world *w = policy_world("policy-quiet", "policy_quiet_hours = \"22:00-00:10\"\npolicy_quiet_max_bytes = \"8M\"\npolicy_quiet_max_held = 1000\n");
    add_account(w, "b");
    client *b = *b_out = join(w, "b@one.example/r");
    say(w, b, "<presence/>");
    for (int i = 0; i < MANY; i++) {
        char text[6200];
        snprintf(text, sizeof text, "<message from='a@far.example/x' to='b@one.example'><body>number %03d%6000s</body></message>", i, "");
        comes(w, text);
    }
    reload_script(w, "policy-quiet");
    svi_buf_clear(&b->in);
    b->link->ops->want(b->link, false, false);
    pass_time(w, 610 * SECOND);
    assert_int_equal(b->in.len, 0);
    return w;
}

/* In portions, each once and in order; what is on its way to one session goes to no other. */
static void quiet_portions(void **state)
{
    (void)state;
    client *b;
    world *w = world_that_waits(&b);
    client *other = join(w, "b@one.example/s");
    say(w, other, "<presence><priority>5</priority></presence>");
    pass_time(w, 20 * SECOND);
    assert_has_not(&other->in, "number");
    part(w, other);
    b->link->ops->want(b->link, true, false);
    turn(w);
    pass_time(w, 20 * SECOND);
    const char *at = b->in.data;
    for (int i = 0; i < MANY; i++) {
        char text[32];
        const char *end = b->in.data + b->in.len;
        snprintf(text, sizeof text, "number %03d", i);
        at = memmem(at, (size_t)(end - at), text, strlen(text));
        if (at == NULL) fail_msg("%s is not there, or not in its place", text);
    }
    pass_time(w, 60 * SECOND);
    assert_int_equal(count_of(&b->in, "number"), MANY);
    assert_says(run_command(w, "quiet show", ACCOUNT), "\"waiting\":0");
    done(w);
}

/* What a session was given but did not get goes to the next one, also if that has its address, as clients do it. */
static void quiet_sessions_that_break(void **state)
{
    (void)state;
    client *b;
    world *w = world_that_waits(&b);
    part(w, b);
    client *next = join(w, "b@one.example/r");
    say(w, next, "<presence/>");
    if (!has(&next->in, "number 599")) pass_time(w, 20 * SECOND);
    assert_has(&next->in, "number 599");
    done(w);
}

/* Hours that are wrong are told before anything changes. */
static void quiet_options(void **state)
{
    (void)state;
    world *w = script_world();
    make_mods(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"policy-quiet\" }\npolicy_quiet_hours = \"late\"\n");
    assert_int_not_equal(svi_mods_start(w->mods), SV_OK);
    assert_has(&w->reports, "\"late\" are no hours such as 22:00-07:00, nor \"off\"");
    svi_mods_free(&w->mods);
    svi_buf_clear(&w->reports);
    make_mods(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"policy-quiet\" }\npolicy_quiet_zone = \"CET\"\n");
    assert_int_not_equal(svi_mods_start(w->mods), SV_OK);
    assert_has(&w->reports, "\"CET\" is no zone such as +01:00");
    svi_mods_free(&w->mods);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_are_remembered),
        cmocka_unit_test(strangers_and_rooms),
        cmocka_unit_test(strangers_held_back),
        cmocka_unit_test(invitations_by_rooms),
        cmocka_unit_test(requests_of_a_day),
        cmocka_unit_test(newcomers),
        cmocka_unit_test(newcomers_over_reloads),
        cmocka_unit_test(quiet_commands),
        cmocka_unit_test(quiet_accounts),
        cmocka_unit_test(quiet_portions),
        cmocka_unit_test(quiet_sessions_that_break),
        cmocka_unit_test(quiet_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
