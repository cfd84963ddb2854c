/* Policies of the server, where flow scripts don't reach: other servers' senders, reloads, guests, quarantine; the page about them. */
#include <sys/stat.h>

#include "mods/mods_impl.h"
#include "mods/mods_policies_world_test.h"
#include "xmpp/xmpp_guest.h"

/* --- rate ---------------------------------------------------------------------------- */

/* All of a domain together, each domain for itself; refused ones are answered, as if nothing had changed. */
static void rate_of_domains(void **state)
{
    (void)state;
    world *w = policy_world("policy-rate", "policy_rate_remote_messages_per_minute = 1\npolicy_rate_remote_messages_burst = 2\n"
                                           "policy_rate_remote_requests_burst = 1\n");
    client *b = join(w, "b@one.example/r");
    comes(w, FROM("a@far.example/x", "1"));
    assert_has(&b->in, "<body>1");
    comes(w, FROM("c@far.example/x", "2"));
    assert_has(&b->in, "<body>2");
    comes(w, FROM("d@far.example/x", "3"));
    assert_has_not(&b->in, "<body>3");
    comes(w, FROM("a@near.example/x", "4"));
    assert_has(&b->in, "<body>4");
    say(w, b, "<presence/>");
    comes(w, "<presence type='subscribe' from='a@far.example' to='b@one.example'/>");
    assert_has(&b->in, "subscribe");
    comes(w, "<presence type='subscribe' from='c@far.example' to='b@one.example'/>");
    assert_has_not(&b->in, "subscribe");
    /* what is for nobody counts, too */
    comes(w, "<message from='a@third.example' to='x@one.example'><body>5</body></message>");
    comes(w, "<message from='a@third.example' to='y@one.example'><body>6</body></message>");
    comes(w, FROM("a@third.example/x", "7"));
    assert_has_not(&b->in, "<body>7");
    pass_time(w, 60 * SECOND);
    comes(w, FROM("a@far.example/x", "8"));
    assert_has(&b->in, "<body>8");
    done(w);
}

/* A reload is no way to a fresh burst; nor is a clock that is set back a lock. */
static void rate_over_reloads(void **state)
{
    (void)state;
    world *w = policy_world("policy-rate", "policy_rate_new_for = \"0s\"\npolicy_rate_messages_per_minute = 1\npolicy_rate_messages_burst = 2\n");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, FROM("a@one.example/r", "1") FROM("a@one.example/r", "2"));
    assert_has(&b->in, "<body>2");
    reload_script(w, "policy-rate");
    say(w, a, FROM("a@one.example/r", "3"));
    assert_has(&a->in, "resource-constraint");
    pass_time(w, 60 * SECOND);
    say(w, a, FROM("a@one.example/r", "4"));
    assert_has_not(&a->in, REFUSED);
    w->plat.wall_base_us -= (int64_t)86400 * SECOND;
    say(w, a, FROM("a@one.example/r", "5"));
    assert_has_not(&a->in, REFUSED);
    done(w);
}

/* What only counts goes on while the store is short of space. */
static void rate_without_space(void **state)
{
    (void)state;
    world *w = policy_world("policy-rate", "policy_rate_messages_per_minute = 1\npolicy_rate_messages_burst = 2\n");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    svi_engine_sim_plan(w->engine)->full = true;
    turn(w);
    pass_time(w, 60 * SECOND);
    say(w, a, FROM("a@one.example/r", "1") FROM("a@one.example/r", "2"));
    assert_has(&b->in, "<body>2");
    say(w, a, "<iq type='get' id='i' to='one.example'><query xmlns='urn:x'/></iq>");
    assert_has(&a->in, "service-unavailable");
    say(w, a, FROM("a@one.example/r", "3"));
    assert_has(&a->in, "resource-constraint");
    assert_has(&a->in, "Too many messages");
    done(w);
}

/* More senders than are remembered: who was silent longest is forgotten, and has a burst again. */
static void rate_of_many(void **state)
{
    (void)state;
    world *w = policy_world("policy-rate", "policy_rate_remote_messages_burst = 1\npolicy_rate_remote_messages_per_minute = 1\n");
    client *b = join(w, "b@one.example/r");
    char text[300];
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "<message from='%060d.%060d.example' to='b@one.example/r'/>", 0, i);
        comes(w, text);
    }
    assert_has(&b->in, "4999.example");
    comes(w, text);
    assert_has_not(&b->in, "4999.example");
    reload_script(w, "policy-rate");
    comes(w, text);
    assert_has_not(&b->in, "4999.example");
    snprintf(text, sizeof text, "<message from='%060d.%060d.example' to='b@one.example/r'/>", 0, 0);
    comes(w, text);
    assert_has(&b->in, "0000.example");
    done(w);
}

/* Admins are not counted. */
static void rate_of_admins(void **state)
{
    (void)state;
    world *w = policy_world("policy-rate", "policy_rate_messages_burst = 1\npolicy_rate_messages_per_minute = 1\n");
    client *a = join(w, "admin@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, FROM("admin@one.example/r", "1") FROM("admin@one.example/r", "2"));
    assert_has(&b->in, "<body>2");
    say(w, b, "<message to='admin@one.example/r'/><message to='admin@one.example/r'/>");
    assert_has(&b->in, "resource-constraint");
    done(w);
}

/* --- words ----------------------------------------------------------------------------- */

/* From elsewhere: looked at here; to nobody: the same. */
static void words_from_elsewhere(void **state)
{
    (void)state;
    world *w = policy_world("policy-words", "policy_words_words = { \"casino\" }\n");
    client *b = join(w, "b@one.example/r");
    say(w, b, "<presence/>");
    comes(w, FROM("a@far.example/x", "Casino"));
    assert_has_not(&b->in, "Casino");
    comes(w, FROM("a@far.example/x", "hello"));
    assert_has(&b->in, "hello");
    const uint64_t bounced = disposed(w, SVI_REFUSED);
    comes(w, "<message from='a@far.example' to='x@one.example'><body>casino</body></message>");
    comes(w, "<message from='a@far.example' to='one.example'><body>casino</body></message>");
    assert_int_equal(disposed(w, SVI_REFUSED), bounced + 2);
    comes(w, "<presence type='subscribe' from='a@far.example' to='b@one.example'><status>casino</status></presence>");
    assert_has_not(&b->in, "subscribe");
    /* the reason of an invitation that a room passes on */
    comes(w, "<message from='room@far.example' to='b@one.example/r'><x xmlns='http://jabber.org/protocol/muc#user'>"
             "<invite from='a@far.example'><reason>casino</reason></invite></x></message>");
    assert_has_not(&b->in, "invite");
    done(w);
}

/* Whoever sends much of it does not fill the log. */
static void words_in_the_log(void **state)
{
    (void)state;
    world *w = policy_world("policy-words", "policy_words_words = { \"casino\" }\n");
    for (int i = 0; i < 100; i++) comes(w, FROM("a@far.example/x", "a Casino"));
    assert_int_equal(count_of(&w->log, "words-hit"), 60);
    assert_has_not(&w->log, "a Casino");
    pass_time(w, 60 * SECOND);
    comes(w, FROM("a@far.example/x", "a Casino"));
    assert_int_equal(count_of(&w->log, "words-hit"), 61);
    done(w);
}

/* A list that is wrong is refused with a reason, and the old one goes on. */
static void words_that_are_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *option, *why;
    } cases[] = {{"policy_words_words = { \"...\" }", "the entry \\\"...\\\" has no letters"},
                 {"policy_words_words = { \"a b c d e f g h i\" }", "or more than 8 words"},
                 {"policy_words_words = { \"buy now*\" }", "a star may only follow a single word"},
                 {"policy_words_words = { \"*casino\" }", "a star stands behind a word, or one on both sides"},
                 {"policy_words_words = { \"cas*ino\" }", "a star stands behind a word, or one on both sides"},
                 {"policy_words_domains = { \"http://x\" }", "is no domain, such as example.org"},
                 {"policy_words_action = \"sing\"", "policy_words_action"}};
    world *w = policy_world("policy-words", "policy_words_words = { \"casino\" }\n");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[512], why[128];
        size_t n = 0;
        snprintf(config, sizeof config, "VirtualHost \"one.example\"\nmodules_enabled = { " USUAL "\"policy-words\" }\n%s\n", cases[i].option);
        assert_int_not_equal(reload(w, config), SV_OK);
        for (const char *p = cases[i].why; *p; p++)
            if (*p != '\\') why[n++] = *p;
        why[n] = '\0';
        assert_has(&w->reports, why);
        say(w, a, FROM("a@one.example/r", "casino"));
        assert_has(&a->in, "policy-violation");
        assert_has_not(&b->in, "casino");
    }
    reloaded(w, "VirtualHost \"one.example\"\nmodules_enabled = { " USUAL "\"policy-words\" }\npolicy_words_words = { \"lottery\" }\n");
    say(w, a, FROM("a@one.example/r", "casino"));
    assert_has(&b->in, "casino");
    done(w);
}

/* With as much time for a handler as tools take that slow it down. */
static void start_patient(world *w, const char *text)
{
    write_config(w, text);
    w->mods = svi_mods_new(&w->acct, &(svi_mods_config){.server = w->server, .config = w->config, .paths = w->paths, .path_count = w->path_count,
                                                        .script_cpu_us = 20 * SECOND, .report = w_report, .report_ctx = w});
    if (svi_mods_start(w->mods) != SV_OK) fail_msg("%.*s", (int)w->reports.len, w->reports.data);
}

/* The longest texts that are looked through stay within the work that a call may do, whatever they hold. */
static void words_of_long_texts(void **state)
{
    (void)state;
    static const char *const pieces[] = {"Привет \xF0\x9D\x90\x81 ", "a b ", "%41", "www.x ", "a.", "a.b ", "http://a@b/ ", ":", "casin "};
    world *w = script_world();
    start_patient(w, "VirtualHost \"one.example\"\nmodules_enabled = { " USUAL "\"policy-words\" }\n"
                     "policy_words_words = { \"casino\", \"casin a\", \"*xyz*\", \"zzz*\" }\n"
                     "policy_words_domains = { \"x.example\" }\npolicy_words_max_bytes = \"32k\"\n");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        svi_buf text;
        svi_buf_init(&text, &w->acct);
        svi_buf_printf(&text, "<message to='b@one.example/r' id='n%zu'><body>", i);
        while (text.len < 32500) svi_buf_printf(&text, "%s", pieces[i]);
        svi_buf_printf(&text, "</body></message>");
        svi_buf_putc(&text, '\0');
        say(w, a, text.data);
        if (has(&a->in, REFUSED)) fail_msg("%s: %.*s", pieces[i], (int)w->log.len, w->log.data);
        assert_has(&b->in, "</message>");
        svi_buf_clear(&b->in);
        svi_buf_free(&text);
    }
    done(w);
}

/* --- guests ---------------------------------------------------------------------------- */

/* They have no roster and nothing is stored for them: who answers a guest gets through, whatever is enabled. */
static void guests(void **state)
{
    (void)state;
    static const char *const actions[] = {"refuse", "hold", "no-links"};
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        char config[1024], name[SVI_GUEST_NAME_BYTES + 1], jid[128], text[256];
        world *w = script_world();
        w->logins = SVI_LOGINS_BOTH;
        add_host(w, "two.example");
        snprintf(config, sizeof config,
                 "VirtualHost \"two.example\"\nmodules_enabled = { " USUAL "\"policy-rate\", \"policy-words\", \"policy-stranger\", "
                 "\"policy-invite\", \"policy-registration\", \"policy-quiet\" }\npolicy_stranger_action = \"%s\"\n"
                 "policy_stranger_trust_local = true\npolicy_quiet_hours = \"22:00-07:00\"\npolicy_rate_messages_burst = 4\n",
                 actions[i]);
        start(w, config);
        svi_guest_name(svi_host_find(w->server, SV_STR("two.example")), name);
        snprintf(jid, sizeof jid, "%s@two.example/r", name);
        client *guest = join(w, jid);
        /* from elsewhere, so that nothing but being a guest's makes it pass */
        snprintf(text, sizeof text, "<message from='a@far.example/x' to='%s'><body>hello</body></message>", jid);
        comes(w, text);
        assert_has(&guest->in, "hello");
        snprintf(text, sizeof text, "<message from='a@far.example/x' to='%s'><x xmlns='jabber:x:conference' jid='r@far.example'/></message>", jid);
        comes(w, text);
        assert_has(&guest->in, "jabber:x:conference");
        say(w, guest, "<message to='two.example'><body>1</body></message><message to='two.example'><body>2</body></message>");
        assert_has(&guest->in, "resource-constraint"); /* a quarter of four */
        done(w);
    }
}

/* --- a copy ---------------------------------------------------------------------------- */

static void write_text(const char *path, const char *text, size_t n)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

/* Under another name it marks sessions by that name, too. */
static void copied_quiet(void **state)
{
    (void)state;
    static char text[40000];
    world *w = script_world();
    FILE *file = fopen("lua/policy-quiet/policy-quiet.lua", "re");
    assert_non_null(file);
    const size_t n = fread(text, 1, sizeof text - 1, file);
    assert_in_range(n, 1, sizeof text - 2);
    assert_int_equal(fclose(file), 0);
    write_script(w, "our-quiet", text);
    start_scripts(w, USUAL "\"our-quiet\"", "");
    client *a = join(w, "a@one.example/r");
    say(w, a, "<presence/>");
    assert_has_not(&w->log, "script-error");
    remove_script(w, "our-quiet");
    world_free(w);
}

/* As doc/policies.md says: a folder with another name, whose options have it, and whose list is read anew by a reload. */
static void copied_policy(void **state)
{
    (void)state;
    static char text[40000];
    static const char *const lists[] = {"return {words = {'casino'}}", "return {words = {'lottery'}}", "return {words = {'***'}}", "return {",
                                         "return {word = {'casino'}}"};
    static const char *const says[] = {"", "", "the entry \"***\" has no letters", "words.lua", "\"domains\", not \"word\""};
    char folder[TESTING_PATH + 16], script[TESTING_PATH + 40], list[TESTING_PATH + 40];
    world *w = script_world();
    snprintf(folder, sizeof folder, "%s/our-words", w->folder);
    snprintf(script, sizeof script, "%s/our-words.lua", folder);
    snprintf(list, sizeof list, "%s/words.lua", folder);
    FILE *file = fopen("lua/policy-words/policy-words.lua", "re");
    assert_non_null(file);
    const size_t n = fread(text, 1, sizeof text, file);
    assert_in_range(n, 1, sizeof text - 1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_text(script, text, n);
    write_text(list, lists[0], strlen(lists[0]));
    start_scripts(w, USUAL "\"our-words\"", "our_words_text = \"Not at our place.\"");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, FROM("a@one.example/r", "casino"));
    assert_has(&a->in, "Not at our place.");
    write_text(list, lists[1], strlen(lists[1]));
    reload_script(w, "our-words");
    say(w, a, FROM("a@one.example/r", "casino"));
    assert_has(&b->in, "casino");
    for (size_t i = 2; i < sizeof lists / sizeof *lists; i++) { /* a list that is wrong changes nothing */
        const sv_str names[] = {SV_STR("our-words")};
        const svi_mods_reloading how = {.names = names, .count = 1, .report = w_report, .report_ctx = w};
        svi_mods_reloaded reloaded;
        write_text(list, lists[i], strlen(lists[i]));
        assert_int_not_equal(svi_mods_reload(w->mods, &how, &reloaded), SV_OK);
        assert_has(&w->reports, says[i]);
        say(w, a, FROM("a@one.example/r", "lottery"));
        assert_has(&a->in, "Not at our place.");
    }
    assert_int_equal(unlink(list), 0);
    assert_int_equal(unlink(script), 0);
    assert_int_equal(rmdir(folder), 0);
    done(w);
}

/* --- the page --------------------------------------------------------------------------- */

/* The lines of a page that are indented, from the first that begins so. */
static void read_example(const char *page, const char *first, char *to, size_t size)
{
    char line[400];
    size_t n = 0;
    FILE *file = fopen(page, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (n == 0 && strncmp(line, first, strlen(first)) != 0) continue;
        if (strncmp(line, "    ", 4) != 0 && line[0] != '\n') break;
        n += (size_t)snprintf(to + n, size - n, "%s", line[0] == '\n' ? line : line + 4);
        assert_true(n < size);
    }
    assert_int_equal(fclose(file), 0);
    assert_true(n > 0);
}

/* What doc/policies.md shows is a policy. */
static void example_of_the_page(void **state)
{
    (void)state;
    char text[4000];
    world *w = script_world();
    read_example("doc/policies.md", "    -- no-shouting.lua", text, sizeof text);
    write_script(w, "no-shouting", text);
    start_scripts(w, USUAL "\"no-shouting\"", "");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    say(w, a, FROM("a@one.example/r", "THIS IS MUCH TOO LOUD FOR THE NIGHT"));
    assert_has(&a->in, "Please do not shout.");
    say(w, a, FROM("a@one.example/r", "This is much too loud for the night"));
    assert_has(&b->in, "This is");
    say(w, a, FROM("a@one.example/r", "1234567890 1234567890"));
    assert_has(&b->in, "12345");
    remove_script(w, "no-shouting");
    done(w);
}

/* --- quarantine ------------------------------------------------------------------------ */

/* Puts it there as too many faults do. */
static void quarantine(world *w, const char *name)
{
    for (svi_group *group = w->mods->groups; group != NULL; group = group->next)
        for (size_t i = 0; i < group->count; i++)
            if (strcmp(group->mods[i]->file->name, name) == 0)
                for (int n = 0; n < 3; n++) svi_mod_fault(group->mods[i], "of a test");
    turn(w);
    assert_true(svi_mods_quarantines(w->mods, name));
}

/* What a policy's absence means: guards stop what they should have looked at, and nothing more; the others let it pass. */
static void absent_policies(void **state)
{
    (void)state;
    static const struct {
        const char *name, *options;
        bool is_guard;
    } policies[] = {{"policy-rate", "policy_rate_remote_messages_burst = 1", false},
                    {"policy-words", "policy_words_words = { \"hello\" }", true},
                    {"policy-stranger", "", true},
                    {"policy-invite", "", false},
                    {"policy-registration", "", false},
                    {"policy-quiet", "policy_quiet_hours = \"22:00-07:00\"", false}};
    for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
        char config[512];
        world *w = script_world();
        snprintf(config, sizeof config,
                 "module_faults_max = 2\nVirtualHost \"one.example\"\nmodules_enabled = { " USUAL "\"%s\" }\n%s\n", policies[i].name,
                 policies[i].options);
        start(w, config);
        client *b = join(w, "b@one.example/r");
        quarantine(w, policies[i].name);
        comes(w, FROM("a@far.example/x", "hello"));
        assert_int_equal(!policies[i].is_guard, has(&b->in, "hello"));
        comes(w, "<message from='a@far.example/x' to='b@one.example/r'><x xmlns='jabber:x:conference' jid='room@far.example'/></message>");
        const bool is_stopped = policies[i].is_guard || strcmp(policies[i].name, "policy-invite") == 0;
        assert_int_equal(!is_stopped, has(&b->in, "jabber:x:conference"));
        /* availability and requests go on whatever is absent */
        say(w, b, "<presence/>");
        comes(w, "<presence type='subscribe' from='a@far.example' to='b@one.example'/>");
        assert_has(&b->in, "subscribe");
        done(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_of_domains),
        cmocka_unit_test(rate_over_reloads),
        cmocka_unit_test(rate_without_space),
        cmocka_unit_test(rate_of_many),
        cmocka_unit_test(rate_of_admins),
        cmocka_unit_test(words_from_elsewhere),
        cmocka_unit_test(words_in_the_log),
        cmocka_unit_test(words_that_are_wrong),
        cmocka_unit_test(words_of_long_texts),
        cmocka_unit_test(guests),
        cmocka_unit_test(copied_policy),
        cmocka_unit_test(copied_quiet),
        cmocka_unit_test(example_of_the_page),
        cmocka_unit_test(absent_policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
