/* A script gets another generation: what is carried over, what waits, what refuses and is rolled back; by hand, and because its
 * file has changed. */
#include <sys/stat.h>

#include "mods/mods_script_world_test.h"

#define NS "urn:stave:counts"
#define ASK "<iq type='get' id='a' to='one.example'><count xmlns='" NS "'/></iq>"
#define HEAD "sv.script{summary = 'counts', changes = {'iq-get/host'}, stores = {'notes'}}\nlocal notes = sv.store('notes')\n"
#define START "sv.start(function() sv.self.count = (sv.saved() or {}).count or 0 end)\n"
#define SAVE "sv.save(function() return {count = sv.self.count} end)\n"
#define COUNT(version)                                                                                                              \
    "sv.on('iq-get/host {" NS "}count', function(ev) sv.self.count = sv.self.count + 1\n"                                           \
    "return ev:reply{'count', xmlns = '" NS "', at = sv.self.count .. '/" version "'} end)\n"

static world *counting(const char *text)
{
    world *w = script_world();
    write_script(w, "counts", text);
    start_scripts(w, "\"counts\"", "");
    return w;
}

static void counting_free(world *w)
{
    remove_script(w, "counts");
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    assert_int_equal(svi_ledger_in_flight(svi_server_ledger(w->server)), 0);
    world_free(w);
}

static sv_status try_renew(world *w, const char *module, svi_mods_reloaded *done)
{
    const sv_str name = sv_str_of(module);
    svi_buf_clear(&w->reports);
    svi_buf_free(&w->log);
    const svi_mods_reloading how = {.names = &name, .count = 1, .report = w_report, .report_ctx = w};
    return svi_mods_reload(w->mods, &how, done);
}

static svi_mods_reloaded renew(world *w)
{
    svi_mods_reloaded done;
    if (try_renew(w, "counts", &done) != SV_OK) fail_msg("%.*s", (int)w->reports.len, w->reports.data);
    turn(w);
    return done;
}

static void answers(world *w, client *c, const char *wanted)
{
    say(w, c, ASK);
    assert_has(&c->in, wanted);
}

static void hold_store(world *w, bool hold)
{
    svi_engine_sim_plan(w->engine)->hold = hold;
    if (!hold) svi_engine_sim_step(w->engine, 1000);
    turn(w);
}

/* --- what is carried over ------------------------------------------------------------------------------- */

static void saved_values_are_kept(void **state)
{
    (void)state;
    world *w = counting(HEAD START SAVE COUNT("1"));
    client *c = join(w, "romeo@one.example/a");
    answers(w, c, "at='1/1'");
    write_script(w, "counts", HEAD START SAVE COUNT("2"));
    (void)renew(w);
    answers(w, c, "at='2/2'");
    assert_has(&w->log, "module-reloaded module=counts");
    counting_free(w);
}

/* All kinds of values that JSON has, in tables in tables. */
static void values_of_all_kinds_are_kept(void **state)
{
    (void)state;
    static const char with_all[] =
        HEAD "sv.start(function() local s = sv.saved() if s then\n"
             "assert(s.t == true and s.f == false and s.i == 9007199254740993 and math.type(s.i) == 'integer' and s.d == 0.5)\n"
             "assert(s.text == 'a\\195\\164\"\\n' and #s.list == 3 and s.list[3] == 'c' and s.deep.er.est == 1)\n"
             "sv.self.count = 41 else sv.self.count = 0 end end)\n"
             "sv.save(function() return {t = true, f = false, i = 9007199254740993, d = 0.5, text = 'a\\195\\164\"\\n',\n"
             "list = {'a', 'b', 'c'}, deep = {er = {est = 1}}} end)\n" COUNT("1");
    world *w = counting(with_all);
    client *c = join(w, "romeo@one.example/a");
    answers(w, c, "at='1/");
    (void)renew(w);
    answers(w, c, "at='42/");
    counting_free(w);
}

/* Told; the reload goes on, and the next one begins without. */
static void what_cannot_be_saved_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *save, *told;
    } cases[] = {
        {"sv.save(function() error('on purpose') end)\n", "on purpose"},
        {"sv.save(function() while true do end end)\n", "ended: it ran for more than 50 ms"},
        {"sv.save(function() return {f = print or error} end)\n", "script-error"},
        {"sv.save(function() local t = {} t.t = t return t end)\n", "script-error"},
        {"sv.save(function() return setmetatable({}, {__index = function() while true do end end}) end)\n", NULL},
        {"sv.json.encode = function() while true do end end\nsv.save(function() return {count = 0} end)\n", NULL},
        {"setmetatable(sv.json, {__index = error}) sv.json.encode = nil\nsv.save(function() return {count = 0} end)\n", NULL},
        {"sv.save(function() end)\n", NULL},
        {"sv.save(function() local t = {} pcall(function() while true do t[#t + 1] = {t} end end) error(1.5) end)\n", "script-error"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1000];
        snprintf(text, sizeof text, "%s%s%s%s", HEAD, START, cases[i].save, COUNT("1"));
        world *w = counting(text);
        client *c = join(w, "romeo@one.example/a");
        answers(w, c, "at='1/");
        (void)renew(w);
        if (cases[i].told && !has(&w->log, cases[i].told)) fail_msg("%s is told as %.*s", cases[i].save, (int)w->log.len, w->log.data);
        answers(w, c, "at='1/");
        counting_free(w);
    }
}

/* More than fits is told, and not kept. */
static void too_much_is_not_saved(void **state)
{
    (void)state;
    world *w = counting(HEAD START "sv.save(function() return {text = ('x'):rep(1048576)} end)\n" COUNT("1"));
    client *c = join(w, "romeo@one.example/a");
    answers(w, c, "at='1/1'");
    (void)renew(w);
    assert_has(&w->log, "script-error");
    answers(w, c, "at='1/1'");
    counting_free(w);
}

/* --- what is refused -------------------------------------------------------------------------------------- */

/* What is there besides the states of scripts, which have waste in them, and texts of the test. */
static int64_t live_besides(world *w)
{
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    svi_buf_free(&w->log);
    svi_buf_free(&w->reports);
    return live(w) - info.script_bytes;
}

/* Whatever is wrong with the next one: the reason is told with its place, and the one that runs has lost nothing. */
static void a_bad_one_is_rolled_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {HEAD START "sv.on(", "counts.lua:4: unexpected symbol near <eof>"},
        {HEAD START "error('no more')\n", "counts.lua:4: no more"},
        {HEAD START "error({})\n", "an error that is no text"},
        {HEAD START "while true do end\n", "counts.lua:4: ended: it ran for more than 250 ms"},
        {HEAD "sv.start(function() error('not today') end)\n", "counts.lua:3: not today"},
        {HEAD "sv.start(function() return false, 'not on this host' end)\n", "not on this host"},
        {HEAD "sv.start(function() return false end)\n", "its sv.start says false"},
        {HEAD "sv.on('message/account', function() end)\n", "has no right to \"message/account\""},
        {HEAD "sv.on('iq-get/host {x', function() end)\n", "iq-get/host {x"},
        {HEAD "sv.on('iq-get/hst {x}y', function() end)\n", "iq-get/hst"},
        {HEAD "sv.option{'size', kind = 'int', preset = 'many', manual = 'How many.'}\n", "counts_size"},
        {HEAD "sv.option{'memory_max', kind = 'int', preset = '1', manual = 'How many.'}\n", "the server has an option of that name"},
        {HEAD "sv.option{'size', kind = 'int', preset = '1'}\n", "has no `manual`"},
        {"sv.script{summary = 'counts', hosts = {'two.example'}}\n", "its sv.script does not name this host under `hosts`"},
        {"sv.script{summary = 'counts', after = 'nosuch'}\n", "nosuch"},
        {"sv.script{summary = 'counts', stores = {'roster/items'}}\nsv.store('roster/items')\n", "but not after = \"roster\""},
        {"sv.script{summary = 'counts', chnges = {'*'}}\n", "sv.script has no field `chnges`; did you mean `changes`?"},
        {"local x = 1\n", "counts.lua does not begin with sv.script{...}"},
        {"\x1bLua", "attempt to load a binary chunk"},
    };
    world *w = counting(HEAD START SAVE COUNT("1"));
    client *c = join(w, "romeo@one.example/a");
    svi_mods_reloaded done;
    char wanted[40];
    int64_t before = 0;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            write_script(w, "counts", cases[i].text);
            assert_int_not_equal(try_renew(w, "counts", &done), SV_OK);
            if (!has(&w->reports, cases[i].why)) fail_msg("\"%s\" is told as %.*s", cases[i].text, (int)w->reports.len, w->reports.data);
            turn(w);
            snprintf(wanted, sizeof wanted, "at='%zu/1'", (size_t)round * (sizeof cases / sizeof *cases) + i + 1);
            answers(w, c, wanted);
        }
        if (round == 1) before = live_besides(w);
    }
    assert_in_range(live_besides(w), 0, before); /* what was refused has left nothing */
    write_script(w, "counts", HEAD START SAVE COUNT("2"));
    (void)renew(w);
    answers(w, c, "/2'");
    counting_free(w);
}

/* What sv.save was run on serves handlers again when the old generation goes on: as if nothing had been. */
static void save_leaves_nothing_behind(void **state)
{
    (void)state;
    world *w = counting("sv.script{summary = 'counts', changes = {'session/bound'}}\nsv.save(function() end)\n"
                        "sv.on('session/bound', function() sv.log('info', 'first') return 'done' end)\n"
                        "sv.on('session/bound', function() sv.log('info', 'second') end)\n");
    svi_mods_reloaded done;
    for (int i = 0; i < 2; i++) {
        svi_buf_clear(&w->log);
        (void)join(w, i == 0 ? "romeo@one.example/a" : "romeo@one.example/b");
        assert_has(&w->log, " first ");
        assert_has_not(&w->log, " second ");
        write_script(w, "counts", "sv.script{summary = 'counts'}\nsv.start(function() return false, 'not now' end)\n");
        assert_int_not_equal(try_renew(w, "counts", &done), SV_OK);
    }
    counting_free(w);
}

/* --- what waits ---------------------------------------------------------------------------------------------- */

/* It neither wrote nor sent: it is asked anew. */
static void a_sleeper_is_asked_anew(void **state)
{
    (void)state;
#define SLEEPS(version)                                                                                                       \
    HEAD "sv.on('iq-get/host {" NS "}count', function(ev) ev:sleep(1000)\nreturn ev:reply{'count', xmlns = '" NS "', version = '" version \
         "'} end)\n"
    world *w = counting(SLEEPS("1"));
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK);
    pass_time(w, 900000);
    write_script(w, "counts", SLEEPS("2"));
    const svi_mods_reloaded done = renew(w);
    assert_int_equal(done.events.restarted, 1);
    pass_time(w, 200000); /* the old one's wake: it is nobody's */
    assert_has_not(&c->in, "id='a'");
    pass_time(w, 900000);
    assert_has(&c->in, "version='2'");
    assert_int_equal(count_of(&c->in, "id='a'"), 1);
    svi_mod_info info;
    assert_false(svi_mods_draining(w->mods, 0, &info));
    counting_free(w);
}

static void a_reader_is_asked_anew(void **state)
{
    (void)state;
#define READS(version)                                                                                                               \
    HEAD "sv.on('iq-get/host {" NS "}count', function(ev) local v, why = notes:get('x', 'k')\n"                                      \
         "return ev:reply{'count', xmlns = '" NS "', version = '" version "', why = why or v} end)\n"
    world *w = counting(READS("1"));
    client *c = join(w, "romeo@one.example/a");
    hold_store(w, true);
    say(w, c, ASK);
    assert_has_not(&c->in, "id='a'");
    write_script(w, "counts", READS("2"));
    const svi_mods_reloaded done = renew(w);
    assert_int_equal(done.events.waiting, 1);
    hold_store(w, false);
    assert_has(&c->in, "version='2'");
    assert_int_equal(count_of(&c->in, "id='a'"), 1);
    counting_free(w);
}

/* It wrote before it waited: the old one finishes it, and is gone then. */
static void a_writer_is_finished(void **state)
{
    (void)state;
#define WRITES(version)                                                                                                            \
    HEAD "sv.every(300, function() sv.log('info', 'beat-" version "') end)\n"                                                      \
         "sv.on('iq-get/host {" NS "}count', function(ev) notes:put('x', 'k', '" version "')\nev:sleep(1000)\n"                    \
         "return ev:reply{'count', xmlns = '" NS "', version = '" version "', value = notes:put('x', 'l', 'y') and 'wrote'} end)\n"
    world *w = counting(WRITES("1"));
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK);
    write_script(w, "counts", WRITES("2"));
    const svi_mods_reloaded done = renew(w);
    assert_int_equal(done.events.finishing, 1);
    svi_mod_info info;
    assert_true(svi_mods_draining(w->mods, 0, &info));
    assert_true(info.is_script);
    assert_int_equal(info.script_waiting, 1);
    svi_buf_clear(&w->log);
    for (int i = 0; i < 11; i++) pass_time(w, 100000);
    assert_has(&w->log, "beat-2");
    assert_has_not(&w->log, "beat-1");
    assert_has(&c->in, "version='1'");
    assert_has(&c->in, "value='wrote'");
    assert_false(svi_mods_draining(w->mods, 0, &info));
    say(w, c, ASK);
    pass_time(w, 1100000);
    assert_has(&c->in, "version='2'");
    counting_free(w);
}

/* As it says itself (finishes = true). */
static void one_that_says_so_is_finished(void **state)
{
    (void)state;
    static const char text[] = HEAD "sv.on('iq-get/host {" NS "}count', function(ev) ev:sleep(1000)\nreturn ev:reply{'count', xmlns = '" NS
                                    "', version = '1'} end, {finishes = true})\n";
    world *w = counting(text);
    client *c = join(w, "romeo@one.example/a");
    say(w, c, ASK);
    write_script(w, "counts", SLEEPS("2"));
    assert_int_equal(renew(w).events.finishing, 1);
    pass_time(w, 1100000);
    assert_has(&c->in, "version='1'");
    counting_free(w);
}

/* Nothing of the old one beats on, whether it was planned or begun later. */
static void timers_of_the_old_one_are_gone(void **state)
{
    (void)state;
#define BEATS(name)                                                                                                      \
    HEAD "sv.every(1000, function() sv.log('info', 'planned-" name "') end)\n"                                           \
         "sv.start(function() sv.every(1000, function() sv.log('info', 'begun-" name "') end)\n"                         \
         "sv.after(60000, function() sv.log('info', 'late-" name "') end) end)\n"
    world *w = counting(BEATS("old"));
    pass_time(w, 1000000);
    assert_has(&w->log, "planned-old");
    assert_has(&w->log, "begun-old");
    write_script(w, "counts", BEATS("new"));
    (void)renew(w);
    svi_buf_clear(&w->log);
    for (int i = 0; i < 70; i++) pass_time(w, 1000000);
    assert_has(&w->log, "planned-new");
    assert_has(&w->log, "begun-new");
    assert_has(&w->log, "late-new");
    assert_has_not(&w->log, "-old");
    counting_free(w);
}

/* Other code is out of quarantine; the same code is not. */
static void a_better_one_leaves_quarantine(void **state)
{
    (void)state;
    world *w = counting(HEAD "sv.on('iq-get/host {" NS "}count', function() error('on purpose') end)\n");
    client *c = join(w, "romeo@one.example/a");
    for (int i = 0; i < 10; i++) answers(w, c, "<internal-server-error ");
    assert_has(&w->log, "module-quarantined module=counts");
    answers(w, c, "<service-unavailable ");
    (void)renew(w);
    write_script(w, "counts", HEAD START COUNT("2"));
    (void)renew(w);
    answers(w, c, "at='1/2'");
    counting_free(w);
}

/* --- a thousand times -------------------------------------------------------------------------------------------- */

/* With handlers that wait for the store and for time at each swap: what is there afterwards has leaked. */
static void a_thousand_reloads_leave_nothing(void **state)
{
    (void)state;
    static const char text[] =
        HEAD START SAVE "sv.option{'size', kind = 'int', preset = '1', manual = 'A size.'}\nsv.every(1000, function() end)\n"
                        "sv.metric{'asked', kind = 'counter', manual = 'Requests.'}\n"
                        "sv.on('iq-get/host {" NS "}count', function(ev) local v, why = notes:get('x', 'k') ev:sleep(1)\n"
                        "sv.self.count = sv.self.count + 1 return ev:reply{'count', xmlns = '" NS "'} end)\n";
    enum { WARM = 20, COUNT_OF = 1000 };
    world *w = counting(text);
    client *c = join(w, "romeo@one.example/a");
    int64_t before = 0;
    size_t answered = 0;
    for (int i = 0; i < WARM + COUNT_OF; i++) {
        if (i == WARM) before = live(w);
        svi_engine_sim_plan(w->engine)->hold = i % 2 == 0;
        say(w, c, ASK);
        (void)renew(w);
        hold_store(w, false);
        pass_time(w, 2000);
        answered += count_of(&c->in, "id='a'");
        svi_buf_free(&c->in);
        svi_buf_free(&w->log);
        svi_buf_free(&w->reports);
    }
    const int64_t left = (live(w) - before) * 1000 / COUNT_OF;
    print_message("script: %d reloads with a handler that waits, %zu requests answered; bytes left per 1,000: %lld\n", COUNT_OF, answered,
                  (long long)left);
    assert_int_equal(answered, WARM + COUNT_OF);
    assert_in_range(left + 2048, 0, 4096);
    svi_mods_figures figures;
    svi_mods_figures_get(w->mods, &figures);
    assert_int_equal(figures.kept, 0); /* no code of it stays */
    counting_free(w);
}

/* --- because its file has changed --------------------------------------------------------------------------------- */

#define AUTO "sv.script{summary = 'counts', changes = {'iq-get/host'}, autoreload = true}\n"

static size_t looks(world *w)
{
    const char *names[4];
    const size_t count = svi_mods_changed(w->mods, names, 4);
    if (count > 0) assert_string_equal(names[0], "counts");
    return count;
}

static void changed_files_are_told_when_they_rest(void **state)
{
    (void)state;
    world *w = counting(AUTO START COUNT("1"));
    client *c = join(w, "romeo@one.example/a");
    assert_int_equal(looks(w), 0);
    assert_int_equal(looks(w), 0);
    write_script(w, "counts", AUTO "-- half of a fi");
    assert_int_equal(looks(w), 0); /* it may still be written to */
    write_script(w, "counts", AUTO START COUNT("2"));
    assert_int_equal(looks(w), 0);
    assert_int_equal(looks(w), 1);
    (void)renew(w);
    answers(w, c, "/2'");
    assert_int_equal(looks(w), 0);
    assert_int_equal(looks(w), 0);
    counting_free(w);
}

/* Once a change, and again with the next; meanwhile the old one goes on. */
static void a_refused_change_is_told_once(void **state)
{
    (void)state;
    svi_mods_reloaded done;
    world *w = counting(AUTO START COUNT("1"));
    client *c = join(w, "romeo@one.example/a");
    write_script(w, "counts", "no Lua at all");
    assert_int_equal(looks(w), 0);
    assert_int_equal(looks(w), 1);
    assert_int_not_equal(try_renew(w, "counts", &done), SV_OK);
    for (int i = 0; i < 5; i++) assert_int_equal(looks(w), 0);
    answers(w, c, "/1'");
    write_script(w, "counts", "no Lua, again");
    assert_int_equal(looks(w), 0);
    assert_int_equal(looks(w), 1);
    write_script(w, "counts", AUTO START COUNT("2"));
    assert_int_equal(looks(w), 0);
    assert_int_equal(looks(w), 1);
    (void)renew(w);
    answers(w, c, "/2'");
    counting_free(w);
}

/* Editors put another file in its place: for a moment there is none. */
static void a_file_that_is_away_has_not_changed(void **state)
{
    (void)state;
    char path[TESTING_PATH + 80], aside[TESTING_PATH + 80];
    world *w = counting(AUTO START COUNT("1"));
    client *c = join(w, "romeo@one.example/a");
    script_path(w, "counts", path);
    script_path(w, "aside", aside);
    assert_int_equal(rename(path, aside), 0);
    for (int i = 0; i < 3; i++) assert_int_equal(looks(w), 0);
    write_script(w, "new", AUTO START COUNT("2"));
    script_path(w, "new", path);
    char to[TESTING_PATH + 80];
    script_path(w, "counts", to);
    assert_int_equal(rename(path, to), 0);
    assert_int_equal(looks(w), 0);
    assert_int_equal(looks(w), 1);
    (void)renew(w);
    answers(w, c, "/2'");
    remove_script(w, "aside");
    counting_free(w);
}

/* Its further files count as well; those of a script that does not want it never do. */
static void further_files_count_too(void **state)
{
    (void)state;
    char folder[TESTING_PATH + 16], path[TESTING_PATH + 100];
    world *w = script_world();
    snprintf(folder, sizeof folder, "%s/counts", w->folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_script(w, "counts/words", "return 'one'");
    write_script(w, "counts/counts", AUTO "local word = require 'words'\n"
                                          "sv.on('iq-get/host {" NS "}count', function(ev)\n"
                                          "return ev:reply{'count', xmlns = '" NS "', word = word} end)\n");
    write_script(w, "plain", "sv.script{summary = 'does not want it'}");
    start_scripts(w, "\"counts\", \"plain\"", "");
    client *c = join(w, "romeo@one.example/a");
    answers(w, c, "word='one'");
    write_script(w, "counts/words", "return 'another'");
    write_script(w, "plain", "sv.script{summary = 'nor now'}");
    assert_int_equal(looks(w), 0);
    assert_int_equal(looks(w), 1);
    (void)renew(w);
    answers(w, c, "word='another'");
    remove_script(w, "counts/words");
    remove_script(w, "counts/counts");
    remove_script(w, "plain");
    snprintf(path, sizeof path, "%s/counts", w->folder);
    assert_int_equal(rmdir(path), 0);
    world_free(w);
}

/* --- what is told of it ------------------------------------------------------------------------------------------- */

static void a_script_is_told_of(void **state)
{
    (void)state;
    world *w = script_world();
    write_script(w, "counts",
                 "sv.script{summary = 'counts', reads = {'presence/account'}, changes = {'message/*', 'iq-get/host'}, stores = {'own', 'roster/items'},\n"
                 "sends = {'host'}, policy = true, autoreload = true}\n");
    start_scripts(w, "\"roster\", \"counts\"", "");
    svi_mod_info info;
    const char *right;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_false(info.is_script);
    assert_false(svi_mods_right(w->mods, 0, 0, &right));
    assert_true(svi_mods_info(w->mods, 1, &info));
    assert_true(info.is_script && info.is_policy && info.is_autoreload);
    assert_in_range(info.script_bytes, 10000, 200000);
    assert_true(info.live_bytes >= info.script_bytes && info.peak_bytes >= info.script_bytes);
    static const char *const rights[] = {"reads presence/account", "changes message/*", "changes iq-get/host", "stores own", "stores roster/items",
                                         "sends host"};
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        assert_true(svi_mods_right(w->mods, 1, i, &right));
        assert_string_equal(right, rights[i]);
    }
    assert_false(svi_mods_right(w->mods, 1, sizeof rights / sizeof *rights, &right));
    remove_script(w, "counts");
    world_free(w);
}

/* The state's memory is the module's: over its own bound it is a fault, and soon its end. Waste does not count. */
static void its_state_counts_for_its_memory(void **state)
{
    (void)state;
    static const char text[] =
        "sv.script{summary = 'hoards', changes = {'iq-get/host'}}\nlocal kept = {}\n"
        "sv.on('iq-get/host {" NS "}waste', function(ev) for i = 1, 95 do kept[i] = ('x'):rep(10000) .. i end\n"
        "for i = 1, 3 do local _ = ('x'):rep(300000) .. i end return ev:reply{'waste', xmlns = '" NS "'} end)\n"
        "sv.on('iq-get/host {" NS "}hoard', function(ev) for i = 1, 200 do kept[i] = ('x'):rep(10000) .. i end return ev:reply{'hoard', xmlns = '" NS
        "'} end)\n";
    world *w = script_world();
    w->script_cpu_us = 1000000;
    write_script(w, "hoards", text);
    start_scripts(w, "\"hoards\"", "hoards_memory_max = \"1M\"");
    client *c = join(w, "romeo@one.example/a");
    say(w, c, "<iq type='get' id='a' to='one.example'><waste xmlns='" NS "'/></iq>");
    assert_has(&c->in, "type='result'");
    svi_mod_info info;
    assert_true(svi_mods_info(w->mods, 0, &info));
    assert_in_range(info.script_bytes, (1 << 20) + 1, 4 << 20);
    for (int i = 0; i < 12; i++) pass_time(w, 1000000);
    assert_has_not(&w->log, "module-fault");
    say(w, c, "<iq type='get' id='a' to='one.example'><hoard xmlns='" NS "'/></iq>");
    assert_has(&c->in, "type='result'");
    pass_time(w, 1100000);
    assert_has(&w->log, "module-quarantined module=hoards");
    remove_script(w, "hoards");
    world_free(w);
}

/* Other limits count from the reload of the configuration on, for scripts that run, too. */
static void limits_are_taken_over(void **state)
{
    (void)state;
    static const char text[] = "sv.script{summary = 'takes', changes = {'iq-get/host'}}\n"
                               "sv.on('iq-get/host {" NS "}count', function(ev) local _ = ('x'):rep(1000000)\n"
                               "return ev:reply{'count', xmlns = '" NS "'} end)\n";
    world *w = counting(text);
    client *c = join(w, "romeo@one.example/a");
    answers(w, c, "type='result'");
    w->script_bytes = 500000;
    w->script_cpu_us = 20000;
    reloaded(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"counts\" }\n");
    answers(w, c, "<internal-server-error ");
    assert_has(&w->log, "not enough memory");
    counting_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_values_are_kept),
        cmocka_unit_test(values_of_all_kinds_are_kept),
        cmocka_unit_test(what_cannot_be_saved_is_told),
        cmocka_unit_test(too_much_is_not_saved),
        cmocka_unit_test(a_bad_one_is_rolled_back),
        cmocka_unit_test(save_leaves_nothing_behind),
        cmocka_unit_test(a_sleeper_is_asked_anew),
        cmocka_unit_test(a_reader_is_asked_anew),
        cmocka_unit_test(a_writer_is_finished),
        cmocka_unit_test(one_that_says_so_is_finished),
        cmocka_unit_test(timers_of_the_old_one_are_gone),
        cmocka_unit_test(a_better_one_leaves_quarantine),
        cmocka_unit_test(a_thousand_reloads_leave_nothing),
        cmocka_unit_test(changed_files_are_told_when_they_rest),
        cmocka_unit_test(a_refused_change_is_told_once),
        cmocka_unit_test(a_file_that_is_away_has_not_changed),
        cmocka_unit_test(further_files_count_too),
        cmocka_unit_test(a_script_is_told_of),
        cmocka_unit_test(its_state_counts_for_its_memory),
        cmocka_unit_test(limits_are_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
