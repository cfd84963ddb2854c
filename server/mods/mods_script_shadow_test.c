/* Policies in shadow: what both versions make of the same events is compared, and the shadow does nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mods/mods_shadow_world_test.h"

/* --- comparing --------------------------------------------------------------------------------------- */

static void test_verdicts_are_compared(void **state)
{
    (void)state;
    world *w = policy_world(ON("if body == 'bad' then return ev:refuse('forbidden') end"));
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    begin(w, ON("if body == 'bad' or body == 'worse' then return ev:refuse('forbidden') end"));
    say(w, a, TO_B("good"));
    assert_has(&b->in, "good");
    say(w, a, TO_B("bad"));
    assert_has(&a->in, "forbidden");
    assert_results(w, 2, 0, 0, 0);
    say(w, a, TO_B("worse"));
    assert_has(&b->in, "worse");
    assert_has_not(&a->in, "forbidden");
    assert_results(w, 2, 1, 0, 0);
    assert_differs(w, "pass", "refuse forbidden");
    const svi_difference *d = difference(w, 0);
    assert_string_equal(d->from, "a@one.example/r");
    assert_string_equal(d->to, "b@one.example/r");
    assert_string_equal(d->kind, "message chat");
    assert_string_equal(d->hook, "message/resource");
    assert_string_equal(d->host, "one.example");
    assert_int_equal(d->at_us, w_wall(w));
    assert_int_equal(counted(w, "pass", "pass", "same"), 1);
    assert_int_equal(counted(w, "refuse forbidden", "refuse forbidden", "same"), 1);
    assert_int_equal(counted(w, "pass", "refuse forbidden", "differing"), 1);
    world_over(w);
}

/* A rehearsal is no part of the stanza's way (bus_trail.h): its handler is told once, as the live version. */
static void test_the_trail_tells_of_the_live_version_alone(void **state)
{
    (void)state;
    world *w = policy_world(ON(""));
    svi_server_set_explain(w->server, 1 << 16);
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("if body == 'worse' then return ev:refuse('forbidden') end"));
    say(w, a, TO_B("worse"));
    assert_results(w, 0, 1, 0, 0);
    size_t asked = 0, points = 0;
    svi_trail_record r;
    for (uint64_t pos = 0; svi_trail_next(svi_server_trail(w->server), &pos, &r);) {
        if (r.kind == SVI_TRAIL_ASKED) asked += strcmp(r.name.module, "policy") == 0;
        if (r.kind == SVI_TRAIL_POINT) points += r.what == SVI_POINT_MESSAGE_RESOURCE;
    }
    assert_int_equal(asked, 1);
    assert_int_equal(points, 1);
    world_over(w);
}

/* What is said beyond the name of a verdict counts, too, and is not shown. */
static void test_contents_are_compared(void **state)
{
    (void)state;
    world *w = policy_world(ON("if body == 'secret' then return ev:refuse('forbidden', 'no secret') end"));
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("if body == 'secret' then return ev:refuse('forbidden', 'never that secret') end"));
    say(w, a, TO_B("secret"));
    assert_results(w, 0, 1, 0, 0);
    assert_differs(w, "refuse forbidden", "refuse forbidden");
    world_over(w);
}

/* A rule by rule, a reply, deliveries, what is sent: each has its words. */
static void test_words_of_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *does, *is;
    } cases[] = {
        {"return ev:drop('a-rule')", "drop a-rule"},
        {"return ev:refuse_with('policy-violation', 'modify', {'spam', xmlns = 'urn:x'})", "refuse policy-violation"},
        {"return ev:consume()", "consume"},
        {"return ev:deliver(ev:session_find(ev:to()))", "deliver"},
        {"ev:replace(ev:with_attrs(ev:stanza(), {id = 'other'}))", "replace, pass"},
        {"ev:route{'message', to = 'c@one.example', {'body', 'x'}} ev:route_unasked{'message', to = 'b@one.example/r', {'body', 'unasked'}}", "pass, sends 2"},
        {"ev:push(ev:session_find(ev:to()), {'message', {'body', 'pushed'}}) return ev:drop('moved')", "drop moved, sends 1"},
        {"ev:fire_after('roster/reshared', 'a@one.example')", "pass, changes 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[2048];
        world *w = policy_world(ON(""));
        client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
        snprintf(text, sizeof text, HEAD "sv.on('message/resource', function(ev) %s end)\n", cases[i].does);
        begin(w, text);
        svi_buf_clear(&b->in);
        say(w, a, TO_B("hello"));
        assert_has_not(&w->log, "script-error");
        assert_results(w, 0, 1, 0, 0);
        assert_differs(w, "pass", cases[i].is);
        assert_int_equal(count_of(&b->in, "hello"), 1); /* as it came */
        assert_has_not(&b->in, "other");
        assert_has_not(&b->in, "pushed");
        assert_has_not(&b->in, "unasked");
        assert_has_not(&a->in, "<error");
        assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
        world_over(w);
    }
}

static void test_requests_are_compared(void **state)
{
    (void)state;
    static const char ask[] = "<iq type='get' id='1' to='one.example'><query xmlns='urn:q'/></iq>";
    world *w = policy_world(HEAD "sv.on('iq-get/host {urn:q}query', function(ev) return ev:reply{'query', xmlns = 'urn:q', {'live'}} end)\n");
    client *a = join(w, "a@one.example/r");
    begin(w, HEAD "sv.on('iq-get/host {urn:q}query', function(ev) return ev:reply{'query', xmlns = 'urn:q', {'live'}} end)\n");
    say(w, a, ask);
    assert_has(&a->in, "<live");
    assert_results(w, 1, 0, 0, 0);
    assert_int_equal(counted(w, "reply", "reply", "same"), 1);
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    begin(w, HEAD "sv.on('iq-get/host {urn:q}query', function(ev) return ev:reply{'query', xmlns = 'urn:q', {'tried'}} end)\n");
    say(w, a, ask);
    assert_has(&a->in, "<live");
    assert_has_not(&a->in, "<tried");
    assert_results(w, 0, 1, 0, 0);
    world_over(w);
}

/* The stanza is that which the live version got, though it replaced it. */
static void test_stanza_is_the_same(void **state)
{
    (void)state;
    world *w = policy_world(ON("ev:replace(ev:with_child(ev:stanza(), {'seen', xmlns = 'urn:seen'}))"));
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    begin(w, ON("if ev:root():has('seen') then return ev:drop('changed') end\n"
                "if ev:from().full ~= 'a@one.example/r' or ev:to().full ~= 'b@one.example/r' or ev:type() ~= 'chat' or not ev:account_exists()\n"
                "or ev:session():jid().resource ~= 'r' then return ev:drop('other') end\n"
                "ev:replace(ev:with_child(ev:stanza(), {'seen', xmlns = 'urn:seen'}))\n"
                "if not ev:root():has('seen') then return ev:drop('unseen') end"));
    say(w, a, TO_B("hello"));
    assert_has(&b->in, "urn:seen");
    assert_results(w, 1, 0, 0, 0);
    assert_int_equal(counted(w, "replace, pass", "replace, pass", "same"), 1);
    world_over(w);
}

/* An occasion is compared by what it says; hooks that only one version has are told. */
static void test_occasions_and_odd_hooks(void **state)
{
    (void)state;
    const char *hook, *whose;
    world *w = policy_world(HEAD "sv.on('session/bound', function(ev) if ev:from().node == 'b' then return 'done' end end)\n"
                                 "sv.on('message/resource', function(ev) return ev:drop('all') end)\n");
    begin(w, HEAD "sv.on('session/bound', function(ev) return 'done' end)\nsv.on('message/self', function(ev) end)\n");
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    assert_results(w, 1, 1, 0, 0);
    assert_differs(w, "pass", "done");
    assert_string_equal(difference(w, 0)->kind, "");
    say(w, a, TO_B("x")); /* the shadow has no such hook: it passes there */
    assert_differs(w, "drop all", "pass");
    assert_true(svi_shadow_odd_hook(the_shadow(w), 0, &hook, &whose));
    assert_string_equal(hook, "message/resource");
    assert_string_equal(whose, "live");
    assert_true(svi_shadow_odd_hook(the_shadow(w), 1, &hook, &whose));
    assert_string_equal(hook, "message/self");
    assert_string_equal(whose, "shadow");
    assert_false(svi_shadow_odd_hook(the_shadow(w), 2, &hook, &whose));
    world_over(w);
}

/* Two hooks of one text are two. */
static void test_hooks_of_one_text(void **state)
{
    (void)state;
    static const char both[] = HEAD "sv.on('message/resource', function(ev) end)\n"
                                    "sv.on('message/resource', function(ev) return ev:drop('second') end)\n";
    world *w = policy_world(both);
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, both);
    say(w, a, TO_B("x"));
    assert_results(w, 2, 0, 0, 0);
    assert_int_equal(counted(w, "pass", "pass", "same"), 1);
    assert_int_equal(counted(w, "drop second", "drop second", "same"), 1);
    world_over(w);
}

/* --- waiting ----------------------------------------------------------------------------------------- */

static void test_late_verdicts(void **state)
{
    (void)state;
    world *w = policy_world(ON("ev:sleep(1000) return ev:drop('late')"));
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, ON("return ev:drop('late')"));
    say(w, a, TO_B("x"));
    assert_results(w, 0, 0, 0, 0); /* the live version has not decided */
    assert_int_equal(info(w).waiting, 1);
    pass_time(w, 1000000);
    assert_results(w, 1, 0, 0, 0);
    assert_int_equal(info(w).waiting, 0);
    world_over(w);
}

/* The shadow may wait for itself; nobody waits for it. */
static void test_shadow_waits(void **state)
{
    (void)state;
    static const char *const ends[] = {"return ev:refuse('forbidden')", "return ev:deliver(ev:session_find(ev:to()))", "", "error 'on purpose'"};
    static const char *const words[] = {"refuse forbidden", "deliver", "pass", "error"};
    for (size_t i = 0; i < 4; i++) {
        char text[1024];
        world *w = policy_world(ON("return ev:drop('live')"));
        client *a = join(w, "a@one.example/r");
        (void)join(w, "b@one.example/r");
        snprintf(text, sizeof text, HEAD "sv.on('message/resource', function(ev) ev:sleep(2000) %s end)\n", ends[i]);
        begin(w, text);
        say(w, a, TO_B("x"));
        assert_int_equal(info(w).waiting, 1);
        pass_time(w, 2000000);
        assert_int_equal(info(w).waiting, 0);
        assert_int_equal(counted(w, "drop live", words[i], "differing"), 1);
        assert_has_not(&a->in, "forbidden");
        world_over(w);
    }
}

/* Where the live version may not wait, its shadow may not either. */
static void test_waits_where_the_live_version_may(void **state)
{
    (void)state;
    static const char both[] = HEAD "sv.on('roster/shared', function(ev) if pcall(ev.sleep, ev, 1) then return 'done' end end)\n";
    world *w = script_world();
    write_script(w, "policy", both);
    write_script(w, "fires", "sv.script{summary = 'x', changes = {'*'}}\nsv.on('message/self', function(ev) ev:fire('roster/shared', 'a@one.example') end)\n");
    start_scripts(w, "\"policy\", \"fires\"", "");
    client *a = join(w, "a@one.example/r");
    begin(w, both);
    say(w, a, "<message to='a@one.example'><body>x</body></message>");
    pass_time(w, 10000);
    assert_int_equal(counted(w, "pass", "pass", "same"), 1);
    assert_results(w, 1, 0, 0, 0);
    remove_script(w, "fires");
    world_over(w);
}

/* --- no effect --------------------------------------------------------------------------------------- */

/* Everything that a handler can do, in a shadow: nobody hears, sees or counts anything. */
static void test_no_effect(void **state)
{
    (void)state;
    static const char watcher[] = "sv.script{summary = 'looks', reads = {'*'}, stores = {'policy/notes'}, after = 'policy'}\n"
                                  "local notes = sv.store('policy/notes')\n"
                                  "sv.on('roster/reshared', function(ev) sv.log('info', 'heard-reshared') end)\n"
                                  "sv.on('roster/shared', function(ev) sv.log('info', 'heard-shared') end)\n"
                                  "sv.on('disco/host-items', function(ev) sv.log('info', 'heard-items') end)\n"
                                  "sv.on('host/item', function(ev) sv.log('info', 'heard-item') end)\n"
                                  "sv.on('session/presence', function(ev) sv.log('info', 'heard-presence') end)\n"
                                  "sv.on('message/self', function(ev) sv.log('info', 'looked', {session_item = ev:session():item('policy-mark') or 'none',\n"
                                  "host_item = sv.host_item('policy/mark') or 'none', stored = notes:get('o', 'k') or 'none'}) end)\n";
    world *w = script_world();
    write_script(w, "policy", ON("local notes = 1") "sv.store('notes')\nsv.metric{'did', kind = 'counter', manual = 'Done.'}\n");
    write_script(w, "looks", watcher);
    start_scripts(w, "\"policy\", \"looks\"", "");
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    svi_buf_clear(&w->log);
    begin(w, HEAD "local notes = sv.store('notes')\nlocal did = sv.metric{'did', kind = 'counter', manual = 'Done.'}\n"
                  "sv.start(function() sv.host_set_item('policy/mark', 'set') end)\n"
                  "sv.on('message/resource', function(ev)\n"
                  "notes:put('o', 'k', 'v') did:add(1) ev:session():set_item('policy-mark', 'set') sv.host_set_item('policy/mark', 'set')\n"
                  "ev:session_set_presence(ev:session(), ev:stanza_parse(\"<presence xmlns='jabber:client'/>\"), 5)\n"
                  "ev:route{'message', to = 'b@one.example/r', {'body', 'routed'}}\n"
                  "ev:push(ev:session_find(ev:to()), {'message', {'body', 'pushed'}})\n"
                  "ev:fire('roster/shared', 'a@one.example') ev:fire_after('roster/reshared', 'a@one.example')\n"
                  "sv.log('warn', 'shadow-speaks')\n"
                  "sv.after(10, function(e) e:route{'message', to = 'b@one.example/r', {'body', 'later'}} end)\n"
                  "return ev:refuse('forbidden')\nend)\n");
    say(w, a, TO_B("hello"));
    pass_time(w, 100000);
    assert_has_not(&w->log, "script-error");
    assert_differs(w, "pass", "refuse forbidden, sends 2, changes 3");
    assert_has(&b->in, "hello");
    assert_has_not(&b->in, "routed");
    assert_has_not(&b->in, "pushed");
    assert_has_not(&b->in, "later");
    assert_has_not(&a->in, "forbidden");
    assert_has_not(&w->log, "heard-");
    assert_has(&w->log, "shadow=yes"); /* its word in the log is marked */
    say(w, a, "<message to='a@one.example'><body>look</body></message>");
    assert_has(&w->log, "session_item=none");
    assert_has(&w->log, "host_item=none");
    assert_has(&w->log, "stored=none");
    const sv_metric *metric;
    int64_t value = -1;
    assert_true(svi_mods_metric(w->mods, 0, 0, &metric, &value));
    assert_int_equal(value, 0);
    remove_script(w, "looks");
    world_over(w);
}

/* Later reads of the shadow see what it has written, over what is stored, row by row. */
static void test_writes_are_put_aside(void **state)
{
    (void)state;
    world *w = policy_world(HEAD "local notes = sv.store('notes')\nsv.on('message/resource', function(ev)\n"
                                 "if ev:root():text_of('body') == 'fill' then notes:put('o', 'a', 'stored') notes:put('o', 'b', 'stored') notes:put('o', 'c', 'stored')\n"
                                 "notes:put('p', 'a', 'stored') end return ev:drop('live') end)\n");
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    say(w, a, TO_B("fill"));
    begin(w, HEAD "local notes = sv.store('notes')\n"
                  "local function all(owner) local s = '' for k, v in notes:rows(owner):pairs() do s = s .. k .. '=' .. v .. ' ' end return s end\n"
                  "sv.on('message/resource', function(ev) local body = ev:root():text_of('body')\n"
                  "if body == 'write' then notes:put('o', 'a', 'mine') notes:del('o', 'b') notes:put('o', 'd', 'mine') notes:del_owner('p') notes:put('p', 'z', 'mine') end\n"
                  "if body == 'look' then\n"
                  "local rows = notes:rows('o')\n"
                  "sv.log('info', 'o', {all = all('o'), count = rows:count(), bytes = rows:bytes(), a = rows:row('a'), gone = tostring(rows:row('b'))})\n"
                  "sv.log('info', 'p', {all = all('p'), z = notes:get('p', 'z'), gone = tostring(notes:get('p', 'a'))})\n"
                  "sv.log('info', 'q', {c = notes:get('o', 'c'), a = notes:get('o', 'a'), b = tostring(notes:get('o', 'b'))}) end\n"
                  "return ev:drop('live') end)\n");
    say(w, a, TO_B("look"));
    assert_has(&w->log, "all=\"a=stored b=stored c=stored \"");
    assert_has(&w->log, "all=\"a=stored \"");
    say(w, a, TO_B("write"));
    assert_true(info(w).aside_bytes > 0);
    svi_buf_clear(&w->log);
    say(w, a, TO_B("look"));
    assert_has_not(&w->log, "script-error");
    assert_has(&w->log, "all=\"a=mine c=stored d=mine \"");
    assert_has(&w->log, "count=3");
    assert_has(&w->log, "bytes=14");
    assert_has(&w->log, "gone=nil");
    assert_has(&w->log, "all=\"z=mine \"");
    assert_has(&w->log, "z=mine");
    assert_has(&w->log, "c=stored");
    assert_has(&w->log, "a=mine");
    assert_has(&w->log, "b=nil");
    assert_results(w, 3, 0, 0, 0);
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    begin(w, HEAD "local notes = sv.store('notes')\nsv.on('message/resource', function(ev) sv.log('info', 'again', {a = notes:get('o', 'a')}) return ev:drop('live') end)\n");
    say(w, a, TO_B("x"));
    assert_has(&w->log, "again");
    assert_has(&w->log, "a=stored");
    world_over(w);
}

/* What it puts aside has a bound, and the newest is what stays. */
static void test_aside_is_bounded(void **state)
{
    (void)state;
    world *w = policy_world(ON("return ev:drop('live')"));
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    begin(w, HEAD "local notes = sv.store('notes')\nlocal n = 0\nsv.on('message/resource', function(ev)\n"
                  "for i = 1, 20 do n = n + 1 notes:put('o', tostring(n), ('x'):rep(10000)) end\n"
                  "sv.log('info', 'sees', {first = tostring(notes:get('o', '1') ~= nil), last = tostring(notes:get('o', tostring(n)) ~= nil)})\n"
                  "return ev:drop('live') end)\n");
    for (int i = 0; i < 20; i++) say(w, a, TO_B("x"));
    assert_results(w, 20, 0, 0, 0);
    assert_in_range(info(w).aside_bytes, SVI_ASIDE_BYTES / 2, SVI_ASIDE_BYTES);
    assert_has(&w->log, "first=true");
    assert_has(&w->log, "first=false");
    assert_has_not(&w->log, "last=false");
    world_over(w);
}

/* What it asks of others is not asked: no sample can say what would have become of that. */
static void test_questions_are_not_comparable(void **state)
{
    (void)state;
    world *w = policy_world(ON("return ev:drop('live')"));
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    begin(w, ON("pcall(ev.iq, ev, {'iq', to = 'b@one.example/r', type = 'get', {'ping', xmlns = 'urn:xmpp:ping'}}) return ev:drop('live')"));
    say(w, a, TO_B("x"));
    assert_has_not(&b->in, "urn:xmpp:ping");
    assert_results(w, 0, 0, 1, 0);
    assert_int_equal(counted(w, "drop live", "-", "not comparable"), 1);
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    begin(w, ON("ev:gather('disco/host-items') return ev:drop('live')"));
    say(w, a, TO_B("x"));
    assert_results(w, 0, 0, 1, 0);
    world_over(w);
}

/* Its timers run, for what they do to its own state. */
static void test_timers_run(void **state)
{
    (void)state;
    world *w = policy_world(ON("return ev:drop('live')"));
    client *a = join(w, "a@one.example/r"), *b = join(w, "b@one.example/r");
    begin(w, HEAD "local n = 0\nsv.every(1000, function(ev) n = n + 1 ev:route{'message', to = 'b@one.example/r', {'body', 'timer'}} ev:sleep(10) n = n + 10 end)\n"
                  "sv.on('message/resource', function(ev) return ev:drop('n' .. n) end)\n");
    say(w, a, TO_B("x"));
    assert_differs(w, "drop live", "drop n0");
    pass_time(w, 1000000);
    pass_time(w, 10000);
    say(w, a, TO_B("x"));
    assert_differs(w, "drop live", "drop n11");
    assert_has_not(&b->in, "timer");
    assert_true(svi_mods_shadow_drop(w->mods, SV_STR("policy")));
    pass_time(w, 5000000);
    world_over(w);
}

/* The state that the live version would give to a next generation is where its shadow begins. */
static void test_state_is_handed_over(void **state)
{
    (void)state;
    static const char counts[] = HEAD "local n = 0\nsv.start(function() local s = sv.saved() if s then n = s.n end end)\nsv.save(function() return {n = n} end)\n"
                                      "sv.on('message/resource', function(ev) n = n + 1 return ev:drop('n' .. n) end)\n";
    world *w = policy_world(counts);
    client *a = join(w, "a@one.example/r");
    (void)join(w, "b@one.example/r");
    say(w, a, TO_B("x"));
    say(w, a, TO_B("x"));
    begin(w, counts);
    say(w, a, TO_B("x"));
    assert_results(w, 1, 0, 0, 0);
    assert_int_equal(counted(w, "drop n3", "drop n3", "same"), 1);
    world_over(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts_are_compared),
        cmocka_unit_test(test_the_trail_tells_of_the_live_version_alone),
        cmocka_unit_test(test_contents_are_compared),
        cmocka_unit_test(test_words_of_verdicts),
        cmocka_unit_test(test_requests_are_compared),
        cmocka_unit_test(test_stanza_is_the_same),
        cmocka_unit_test(test_occasions_and_odd_hooks),
        cmocka_unit_test(test_hooks_of_one_text),
        cmocka_unit_test(test_late_verdicts),
        cmocka_unit_test(test_shadow_waits),
        cmocka_unit_test(test_waits_where_the_live_version_may),
        cmocka_unit_test(test_no_effect),
        cmocka_unit_test(test_writes_are_put_aside),
        cmocka_unit_test(test_aside_is_bounded),
        cmocka_unit_test(test_questions_are_not_comparable),
        cmocka_unit_test(test_timers_run),
        cmocka_unit_test(test_state_is_handed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
