/* Policies in shadow: what they may cost, how they end, what is refused, and how one becomes the live version. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mods/mods_record.h"
#include "mods/mods_shadow_world_test.h"

/* Processor time as a test says. */
static int64_t used_us, used_each_us;

static int64_t cpu_us(void *ctx)
{
    (void)ctx;
    return used_us += used_each_us;
}

/* --- faults ------------------------------------------------------------------------------------------ */

static void test_faults_are_verdicts(void **state)
{
    (void)state;
    world *w = policy_world(ON(""));
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    begin(w, ON("if body == 'loop' then while true do end end if body == 'bomb' then local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end end error('on purpose')"));
    for (int i = 0; i < 12; i++) say(w, a, TO_B("x"));
    assert_results(w, 0, 12, 0, 0);
    assert_string_equal(difference(w, 0)->live, "pass");
    assert_non_null(strstr(difference(w, 0)->mine, "error: policy.lua:4: on purpose"));
    assert_int_equal(info(w).errors, 12);
    assert_has(&w->log, "module=\"policy (shadow)\""); /* who it was */
    assert_int_equal(counted(w, "pass", "error", "differing"), 12);
    say(w, a, TO_B("loop"));
    assert_has(&b->in, "loop");
    assert_non_null(strstr(difference(w, 0)->mine, "error: "));
    pass_time(w, 2000000);
    pass_time(w, 200000);
    say(w, a, TO_B("bomb"));
    assert_has(&b->in, "bomb");
    svi_mod_info m;
    assert_true(svi_mods_info(w->mods, 0, &m)); /* of all that the live version knows nothing */
    assert_int_equal(m.faults, 0);
    assert_string_equal(m.reason, "");
    assert_has_not(&w->log, "module-fault");
    assert_has_not(&w->log, "module-quarantined");
    world_over(w);
}

/* --- bounds ------------------------------------------------------------------------------------------ */

static void test_samples_are_bounded(void **state)
{
    (void)state;
    world *w = policy_world(HEAD "sv.on('message/out', function(ev) ev:sleep(500) end)\n");
    client *a = join(w, "a@one.example/r");
    begin(w, HEAD "local n = 0\nsv.on('message/out', function(ev) n = n + 1 return ev:drop('n' .. n) end)\n");
    for (int i = 0; i < SVI_SAMPLES_MAX + 30; i++) {
        char text[256];
        snprintf(text, sizeof text, "<message to='u%d@one.example' type='chat'><body>x</body></message>", i);
        say(w, a, text);
    }
    assert_int_equal(info(w).waiting, SVI_SAMPLES_MAX);
    assert_int_equal(info(w).skipped, 30);
    pass_time(w, 500000);
    assert_int_equal(info(w).waiting, 0);
    assert_results(w, 0, SVI_SAMPLES_MAX, 0, 30);
    const svi_difference *d;
    assert_true(svi_shadow_difference_at(the_shadow(w), SVI_DIFFERENCES_MAX - 1, &d));
    assert_false(svi_shadow_difference_at(the_shadow(w), SVI_DIFFERENCES_MAX, &d));
    world_over(w);
}

/* A shadow has so much of each second; then it is skipped until the next. */
static void test_skipped_without_time(void **state)
{
    (void)state;
    world *w = policy_world(ON("return ev:drop('live')"));
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    used_us = used_each_us = 0;
    w->plat.plat.cpu_us = cpu_us;
    begin(w, ON("return ev:drop('live')"));
    for (int i = 0; i < 10; i++) say(w, a, TO_B("x"));
    assert_results(w, 10, 0, 0, 0);
    used_each_us = SVI_SHADOW_US / 4; /* each run takes that */
    for (int i = 0; i < 10; i++) say(w, a, TO_B("x"));
    assert_results(w, 14, 0, 0, 6);
    assert_int_equal(counted(w, "-", "-", "skipped"), 6);
    assert_int_equal(info(w).cpu_us, SVI_SHADOW_US);
    pass_time(w, 1000000);
    pass_time(w, 100000); /* what was due meanwhile was late by itself: the clock jumped */
    say(w, a, TO_B("x"));
    assert_results(w, 15, 0, 0, 6);
    w->plat.plat.cpu_us = NULL;
    world_over(w);
}

/* While the router is late nothing is rehearsed, what waits for it neither. */
static void test_skipped_while_late(void **state)
{
    (void)state;
    world *w = policy_world(HEAD "sv.every(50, function(ev) end)\nsv.on('message/resource', function(ev) if ev:root():text_of('body') == 'slow' then ev:sleep(1000) end\n"
                                 "return ev:drop('live') end)\n");
    client *a = join(w, "a@one.example/r"), *c = join(w, "c@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("return ev:drop('live')"));
    say(w, c, TO_B("slow"));
    for (int i = 0; i < 10; i++) pass_time(w, 50000); /* in time */
    say(w, a, TO_B("x"));
    assert_results(w, 1, 0, 0, 0);
    svi_plat_virtual_advance(&w->plat, 600000); /* a turn that took very long */
    turn(w);
    assert_results(w, 1, 0, 0, 1);
    say(w, a, TO_B("x"));
    assert_results(w, 1, 0, 0, 2);
    for (int i = 0; i < 10; i++) pass_time(w, 50000);
    say(w, a, TO_B("x"));
    assert_results(w, 2, 0, 0, 2);
    world_over(w);
}

/* So many kinds of results are counted apart, all others together. */
static void test_counts_are_bounded(void **state)
{
    (void)state;
    world *w = policy_world(HEAD "local n = 0\nsv.on('message/resource', function(ev) n = n + 1 return ev:drop('n' .. n % 60) end)\n");
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, HEAD "local n = 0\nsv.on('message/resource', function(ev) n = n + 1 return ev:drop('m' .. n % 7) end)\n");
    for (int i = 0; i < 500; i++) say(w, a, TO_B("x"));
    const svi_shadow_count *c;
    uint64_t sum = 0;
    for (size_t i = 0; svi_shadow_count_at(the_shadow(w), i, &c); i++) sum += c->count;
    assert_int_equal(sum, 500);
    assert_true(svi_shadow_count_at(the_shadow(w), SVI_SHADOW_COUNTS_MAX - 1, &c));
    assert_string_equal(c->hook, "other");
    assert_false(svi_shadow_count_at(the_shadow(w), SVI_SHADOW_COUNTS_MAX, &c));
    world_over(w);
}

/* --- ends -------------------------------------------------------------------------------------------- */

#define SLEEPS(before, after) HEAD "sv.on('message/resource', function(ev) if ev:root():text_of('body') == 'slow' then ev:sleep(" before ") end return ev:drop('" after "') end)\n"

/* It goes while events wait in the live version, and others in it: those end as if nothing had been. */
static void test_drop_while_both_wait(void **state)
{
    (void)state;
    world *w = policy_world(SLEEPS("1000", "live"));
    client *a = join(w, "a@one.example/r"), *c = join(w, "c@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("ev:sleep(5000) ev:sleep(5000) return ev:drop('mine')"));
    say(w, a, TO_B("x"));
    say(w, c, TO_B("slow"));
    assert_int_equal(info(w).waiting, 2);
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    assert_false(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    assert_null(svi_mods_shadow_at(w->mods, 0));
    assert_has(&w->log, "policy-shadow-ended");
    pass_time(w, 1000000); /* the live version decides, and nobody is told */
    begin(w, ON("return ev:drop('mine')"));
    say(w, a, TO_B("x"));
    assert_differs(w, "drop live", "drop mine");
    for (int i = 0; i < 12; i++) pass_time(w, 1000000);
    assert_results(w, 0, 1, 0, 0);
    world_over(w);
}

/* With the server, whatever waits. */
static void test_server_ends_while_both_wait(void **state)
{
    (void)state;
    world *w = policy_world(SLEEPS("1000", "live"));
    client *a = join(w, "a@one.example/r"), *c = join(w, "c@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("ev:sleep(5000) return ev:drop('mine')"));
    say(w, a, TO_B("x"));
    say(w, c, TO_B("slow"));
    world_over(w);
}

/* The event's deadline comes before the live verdict. */
static void test_live_never_decides(void **state)
{
    (void)state;
    world *w = policy_world(ON("for i = 1, 10 do ev:sleep(10000) end"));
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("return ev:drop('mine')"));
    say(w, a, TO_B("x"));
    for (int i = 0; i < 8; i++) pass_time(w, 10000000);
    assert_results(w, 0, 0, 1, 0);
    assert_int_equal(info(w).waiting, 0);
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    begin(w, ON("for i = 1, 10 do ev:sleep(10000) end"));
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    world_over(w);
}

/* Neither does the shadow. */
static void test_shadow_never_decides(void **state)
{
    (void)state;
    world *w = policy_world(ON("return ev:drop('live')"));
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("for i = 1, 10 do ev:sleep(10000) end"));
    say(w, a, TO_B("x"));
    for (int i = 0; i < 8; i++) pass_time(w, 10000000);
    assert_results(w, 0, 0, 1, 0);
    svi_mod_info m;
    assert_true(svi_mods_info(w->mods, 0, &m));
    assert_int_equal(m.faults, 0);
    world_over(w);
}

static void test_reload_ends_it(void **state)
{
    (void)state;
    const sv_str names[] = {SV_STR("policy")};
    world *w = policy_world(SLEEPS("1000", "live"));
    client *a = join(w, "a@one.example/r"), *c = join(w, "c@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("ev:sleep(5000) return ev:drop('mine')"));
    say(w, a, TO_B("x"));
    say(w, c, TO_B("slow"));
    svi_mods_reloaded done;
    assert_int_equal(svi_mods_reload(w->mods, &(svi_mods_reloading){.names = names, .count = 1, .report = w_report, .report_ctx = w}, &done), SV_OK);
    assert_null(svi_mods_shadow_at(w->mods, 0));
    assert_has(&w->log, "policy-shadow-ended");
    for (int i = 0; i < 12; i++) pass_time(w, 1000000);
    begin(w, ON("return ev:drop('live')"));
    say(w, a, TO_B("x"));
    assert_results(w, 1, 0, 0, 0);
    world_over(w);
}

/* On two hosts; when one is taken away the other goes on, and a new configuration that changes nothing there does not end it. */
static void test_hosts(void **state)
{
    (void)state;
    sv_err err = {.text = ""};
    static const char one[] = "VirtualHost \"one.example\"\nmodules_enabled = { \"policy\" }\n";
    char both[256];
    snprintf(both, sizeof both, "%sVirtualHost \"two.example\"\nmodules_enabled = { \"policy\" }\n", one);
    world *w = script_world();
    add_host(w, "two.example");
    write_script(w, "policy", ON("return ev:drop('live')"));
    start(w, both);
    client *a = join(w, "a@one.example/r"), *c = join(w, "c@two.example/r");
    (void)join(w, "b@one.example/r");
    assert_int_equal(begin_on(w, ON("return ev:drop(sv.host())"), "two.example", &err), SV_OK);
    assert_int_equal(info(w).hosts, 1);
    assert_string_equal(svi_shadow_host(the_shadow(w), 0), "two.example");
    say(w, a, TO_B("x"));
    assert_results(w, 0, 0, 0, 0);
    assert_int_equal(begin_on(w, ON(""), NULL, &err), SV_EEXIST);
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    begin(w, ON("return ev:drop(sv.host() == 'one.example' and 'one' or 'two')"));
    assert_int_equal(info(w).hosts, 2);
    say(w, a, TO_B("x"));
    assert_differs(w, "drop live", "drop one");
    say(w, c, "<message to='c@two.example/r'><body>x</body></message>");
    assert_differs(w, "drop live", "drop two");
    assert_string_equal(difference(w, 0)->host, "two.example");
    svi_host_retire(svi_host_find(w->server, SV_STR("two.example")));
    reloaded(w, one);
    assert_int_equal(info(w).hosts, 1);
    say(w, a, TO_B("x"));
    assert_results(w, 0, 3, 0, 0);
    reloaded(w, "VirtualHost \"one.example\"\nmodules_enabled = { }\n");
    assert_null(svi_mods_shadow_at(w->mods, 0));
    world_over(w);
}

/* --- refusals ---------------------------------------------------------------------------------------- */

static void test_what_is_refused(void **state)
{
    (void)state;
    world *w = policy_world(ON("return ev:drop('live')"));
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    assert_refused(w, "sv.script{summary = 'x', reads = {'*'}}\n", SV_EINVAL, "policy = true");
    assert_refused(w, "sv.script{", SV_EINVAL, "policy.lua:1:");
    assert_refused(w, HEAD "sv.start(function() return false, 'not today' end)", SV_EDENIED, "does not start on one.example: denied: not today");
    assert_refused(w, HEAD "sv.start(function() error 'on purpose' end)", SV_EINVAL, "on purpose");
    assert_refused(w, HEAD "sv.option{'rate', kind = 'int', preset = '5', min = '1', max = '9', manual = 'The rate.'}\nsv.start(function() if sv.self.rate ~= 5 then return false, 'rate' end return false, 'fine' end)",
                   SV_EDENIED, "fine");
    assert_refused(w, "sv.script{summary = 'x', policy = true, stores = {'roster/items'}}\nsv.store('roster/items')", SV_EDENIED, "does not start");
    say(w, a, TO_B("x"));
    assert_has_not(&b->in, "<body>x"); /* the live version is as it was */
    sv_err err = {.text = ""};
    const svi_shadow *shadow;
    assert_int_equal(svi_mods_shadow(w->mods, &(svi_shadowing){.path = "/nonexistent/policy.lua", .report = w_report, .report_ctx = w}, &shadow, &err), SV_EIO);
    assert_non_null(strstr(err.text, "can't be opened"));
    write_script(w, "else", HEAD);
    char path[PATH];
    script_path(w, "else", path);
    assert_int_equal(svi_mods_shadow(w->mods, &(svi_shadowing){.path = path, .report = w_report, .report_ctx = w}, &shadow, &err), SV_ENOTFOUND);
    assert_non_null(strstr(err.text, "is enabled on no host"));
    remove_script(w, "else");
    world_over(w);
}

static void test_live_is_no_policy(void **state)
{
    (void)state;
    world *w = policy_world("sv.script{summary = 'x', reads = {'*'}}\n");
    assert_refused(w, ON(""), SV_EINVAL, "is no policy");
    world_over(w);
}

/* --- promoting --------------------------------------------------------------------------------------- */

static sv_status promote(world *w, sv_err *err)
{
    static const sv_str names[] = {SV_STR_INIT("policy")};
    const svi_mods_reloading how = {.names = names, .count = 1, .report = w_report, .report_ctx = w};
    char path[PATH];
    svi_mods_reloaded done;
    err->text[0] = '\0';
    return svi_mods_shadow_promote(w->mods, names[0], &how, path, sizeof path, &done, err);
}

/* It decides from one event to the next, and is what a restart finds. */
static void test_promote(void **state)
{
    (void)state;
    sv_err err;
    char path[PATH];
    static const char mine[] = HEAD "local n = 0\nsv.start(function() local s = sv.saved() n = s and s.n or 0 end)\nsv.save(function() return {n = n} end)\n"
                                    "sv.on('message/resource', function(ev) n = n + 1 if ev:root():text_of('body') == 'x' then return ev:refuse('forbidden', 'n' .. n) end end)\n";
    world *w = policy_world(HEAD "local n = 0\nsv.save(function() return {n = n} end)\nsv.on('message/resource', function(ev) n = n + 1 end)\n");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    assert_int_equal(promote(w, &err), SV_ENOTFOUND);
    begin(w, mine);
    say(w, a, TO_B("x"));
    assert_has(&b->in, "<body>x");
    shadow_path(w, path);
    write_text(path, "this is not what was tried"); /* nor what becomes the live version */
    if (promote(w, &err) != SV_OK) fail_msg("%s", err.text);
    assert_null(svi_mods_shadow_at(w->mods, 0));
    assert_has(&w->log, "policy-promoted");
    say(w, a, TO_B("x"));
    assert_has(&a->in, "n2"); /* with the live version's state, not the shadow's */
    script_path(w, "policy", path);
    assert_string_equal(read_text(path), mine);
    world_over(w);
}

/* Writes down that the live version has this text, as `stave module install` does. */
static void installed(world *w, const char *text)
{
    char path[PATH], hex[SVI_SHA256_TEXT], line[PATH];
    svi_sha256_text(sv_str_of(text), hex);
    script_path(w, "policy", path);
    *strrchr(path, '/') = '\0';
    snprintf(path + strlen(path), 32, "/" SVI_RECORD_FILE);
    snprintf(line, sizeof line, "stave-modules 1\npolicy lua %s 0.1 now policy.lua\n", hex);
    write_text(path, line);
}

/* What was installed is replaced by installing, not behind the record's back. */
static void test_promote_installed(void **state)
{
    (void)state;
    sv_err err;
    char path[PATH];
    static const char live[] = HEAD "sv.on('message/resource', function(ev) end)\n", mine[] = ON("return ev:drop('mine')");
    world *w = policy_world(live);
    script_path(w, "policy", path);
    installed(w, live);
    begin(w, mine);
    assert_int_equal(promote(w, &err), SV_EDENIED);
    if (strstr(err.text, "what lies there was installed: stave module install /") == NULL) fail_msg("%s", err.text);
    assert_string_equal(read_text(path), live);
    installed(w, mine);
    write_text(path, mine);
    if (promote(w, &err) != SV_OK) fail_msg("%s", err.text);
    *strrchr(path, '/') = '\0';
    snprintf(path + strlen(path), 32, "/" SVI_RECORD_FILE);
    assert_int_equal(unlink(path), 0);
    world_over(w);
}

static void test_promote_fails(void **state)
{
    (void)state;
    sv_err err;
    char path[PATH], fresh[PATH + 16];
    static const char live[] = ON("return ev:drop('live')");
    world *w = script_world();
    add_host(w, "two.example");
    write_script(w, "policy", live);
    start(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"policy\" }\nVirtualHost \"two.example\"\nmodules_enabled = { \"policy\" }\n");
    script_path(w, "policy", path);
    assert_int_equal(begin_on(w, "sv.script{summary = 'x', policy = true, hosts = {'one.example'}}\n", "one.example", &err), SV_OK);
    assert_int_not_equal(promote(w, &err), SV_OK); /* on the other host it does not start */
    assert_non_null(strstr(err.text, "the live version goes on"));
    assert_has(&w->reports, "does not name this host");
    assert_string_equal(read_text(path), live);
    assert_int_equal(info(w).hosts, 1); /* it goes on, too */
    /* a file that can't be written */
    snprintf(fresh, sizeof fresh, "%s.promoting", path);
    assert_int_equal(mkdir(fresh, 0700), 0);
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    begin(w, ON("return ev:drop('mine')"));
    assert_int_equal(promote(w, &err), SV_EDENIED);
    assert_non_null(strstr(err.text, "then promote again"));
    assert_string_equal(read_text(path), live);
    write_text(path, ON("return ev:drop('mine')")); /* as the operator is told to */
    if (promote(w, &err) != SV_OK) fail_msg("%s", err.text);
    assert_int_equal(rmdir(fresh), 0);
    /* what a server left that was killed while it promoted is in nobody's way */
    write_text(fresh, "half of a te");
    assert_true(svi_mods_shadow_of(w->mods, SV_STR("policy")) == NULL);
    begin(w, ON("return ev:drop('third')"));
    if (promote(w, &err) != SV_OK) fail_msg("%s", err.text);
    assert_string_equal(read_text(path), ON("return ev:drop('third')"));
    assert_int_equal(access(fresh, F_OK), -1);
    world_over(w);
}

/* Each policy that is shipped decides as itself, whatever it keeps in memory or in its stores. */
static void test_shipped_policies(void **state)
{
    (void)state;
    static const char *const names[] = {"policy-rate", "policy-words", "policy-stranger", "policy-invite", "policy-registration", "policy-quiet"};
    static const char *const said[] = {
        TO_B("hello"), "<message to='b@one.example'><body>buy pills https://spam.example/x</body></message>",
        "<presence to='b@one.example' type='subscribe'/>", "<presence/>", "<message to='b@one.example'><x xmlns='jabber:x:conference' jid='room@muc.example'/></message>",
        "<iq type='get' id='1' to='a@one.example/r'><query xmlns='urn:x'/></iq>",
        "<message to='c@one.example/r' type='chat'><body>hello</body></message>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH], config[512];
        sv_err err = {.text = ""};
        svi_shadow_info told;
        const svi_shadow *shadow;
        world *w = world_new();
        snprintf(config, sizeof config,
                 "VirtualHost \"one.example\"\nmodules_enabled = { \"roster\", \"presence\", \"message\", \"%s\" }\n", names[i]);
        start(w, config);
        client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
        snprintf(path, sizeof path, "%s/%s/%s.lua", w->core_path, names[i], names[i]);
        const svi_shadowing how = {.path = path, .report = w_report, .report_ctx = w};
        if (svi_mods_shadow(w->mods, &how, &shadow, &err) != SV_OK) fail_msg("%s", err.text);
        for (int round = 0; round < 12; round++) {
            for (size_t k = 0; k < sizeof said / sizeof *said; k++) say(w, k % 3 == 2 ? b : a, said[k]);
            for (int k = 0; k < 50; k++) pass_time(w, 10000); /* in steps: else timers are late, and it is skipped */
        }
        svi_shadow_info_get(shadow, &told);
        const svi_difference *d;
        if (svi_shadow_difference_at(shadow, 0, &d)) fail_msg("%s: %s %s: live %s, shadow %s", names[i], d->hook, d->kind, d->live, d->mine);
        if (told.same < 12 || told.unknown > 0 || told.errors > 0 || told.skipped > 0)
            fail_msg("%s: %d same, %d not comparable, %d errors, %d skipped", names[i], (int)told.same, (int)told.unknown, (int)told.errors, (int)told.skipped);
        world_free(w);
    }
}

/* Whatever comes in whatever order, each stanza has its verdict of the live version, and nothing is left. */
static void storm(uint32_t seed)
{
    static const char text[] = HEAD "local notes = sv.store('notes')\nlocal n = %d\nsv.every(70, function(ev) ev:sleep(20) notes:put('t', 't', tostring(n)) end)\n"
                                    "sv.on('message/out', function(ev) n = n + 7\n"
                                    "if n %% 3 == 0 then notes:put('o', 'k' .. n, 'v') end if n %% 4 == 0 then notes:get('o', 'k' .. n) end\n"
                                    "if n %% 5 == 0 then ev:sleep(n %% 50) end if n %% 11 == 0 then error 'on purpose' end\n"
                                    "if n %% 13 == 0 then ev:replace(ev:with_attrs(ev:stanza(), {id = 'n' .. n})) end\n"
                                    "if n %% 2 == 0 then return ev:refuse('forbidden') end return ev:drop('odd') end)\n";
    static const sv_str names[] = {SV_STR_INIT("policy")};
    char live[2048], mine[2048];
    sv_err err;
    svi_mods_reloaded done;
    snprintf(live, sizeof live, text, 0);
    snprintf(mine, sizeof mine, text, 1);
    world *w = script_world();
    write_script(w, "policy", live);
    start(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"policy\" }\npolicy_faults_max = 0\n");
    client *a = join(w, "a@one.example/r");
    unsigned tried = 0;
    for (int i = 0; i < 1000; i++) {
        char stanza[128];
        seed = seed * 1103515245u + 12345u;
        const unsigned what = (seed >> 16) % 64;
        if (what < 45) {
            snprintf(stanza, sizeof stanza, "<message to='u%u@one.example' type='chat'><body>x</body></message>", what);
            say(w, a, stanza);
        } else if (what < 58) {
            pass_time(w, 1000 * (int64_t)(seed >> 8 & 31));
        } else if (what < 60) {
            tried += begin_on(w, mine, NULL, &err) == SV_OK;
        } else if (what < 62) {
            (void)svi_mods_shadow_drop(w->mods, names[0]);
        } else if (what == 62) {
            const svi_mods_reloading how = {.names = names, .count = 1, .report = w_report, .report_ctx = w};
            assert_int_equal(svi_mods_reload(w->mods, &how, &done), SV_OK);
        } else if (svi_mods_shadow_of(w->mods, names[0]) != NULL) {
            assert_int_equal(promote(w, &err), SV_OK);
        }
        svi_buf_clear(&w->log);
    }
    assert_in_range(tried, 1, 1000);
    world_over(w);
}

static void test_storm(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 4; seed++) storm(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults_are_verdicts),
        cmocka_unit_test(test_samples_are_bounded),
        cmocka_unit_test(test_skipped_without_time),
        cmocka_unit_test(test_skipped_while_late),
        cmocka_unit_test(test_counts_are_bounded),
        cmocka_unit_test(test_drop_while_both_wait),
        cmocka_unit_test(test_server_ends_while_both_wait),
        cmocka_unit_test(test_live_never_decides),
        cmocka_unit_test(test_shadow_never_decides),
        cmocka_unit_test(test_reload_ends_it),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_live_is_no_policy),
        cmocka_unit_test(test_promote),
        cmocka_unit_test(test_promote_installed),
        cmocka_unit_test(test_promote_fails),
        cmocka_unit_test(test_shipped_policies),
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
