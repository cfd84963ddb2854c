/* The stage: what its network and disk do, and each harm: it happens at its n-th occasion, not before it, and is told. */
#include "flow.h"

#include "base/base_testing.h"
#include "stage.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static svi_acct test_acct = {.name = "stage"}; /* lint: allow global (the tests' one account) */

typedef struct world {
    flow_world *flow;
    svi_stage *stage;
    char modules[1100], scripts[64];
    const char *dirs;
} world;

/* build/KIND, where the test lies in sdk/stage. */
static void build_dir(char *to, size_t bytes)
{
    const ssize_t n = readlink("/proc/self/exe", to, bytes - 1);
    assert_true(n > 0);
    to[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(to, '/') = 0;
}

/* `modules` are those that a server usually has, and the test's own. */
static void open_in(world *w, const char *modules_dir, const char *modules, uint64_t seed)
{
    w->flow = flow_stage_new(&test_acct, modules_dir, modules);
    w->stage = flow_stage_of(w->flow);
    svi_plat_virtual_init(svi_stage_plat(w->stage), seed);
}

static void open_world(world *w)
{
    char self[1024];
    build_dir(self, sizeof self);
    *w = (world){.flow = NULL};
    (void)snprintf(w->modules, sizeof w->modules, "%s/tests/mods", self);
    open_in(w, w->modules, "\"harmed\"", 1);
}

static void close_world(world *w)
{
    char why[300];
    if (!w->flow->close(&w->flow, why, sizeof why)) fail_msg("%s", why);
    assert_int_equal(atomic_load(&test_acct.live_bytes), 0);
}

/* Runs steps; they must come to their end. */
static void run(world *w, const char *steps)
{
    flow_result result = {.failed = false};
    flow_run(w->flow, "x.flow", sv_str_of(steps), "", &result);
    if (result.failed || result.skipped) fail_msg("%s\nended with: %s", steps, result.text);
    if (svi_stage_problem(w->stage)[0]) fail_msg("%s\nleft: %s", steps, svi_stage_problem(w->stage));
}

#define ROMEO "client romeo romeo@localhost/orchard\nromeo connects\n"
#define NS "xmlns='urn:stave:harmed'"
#define SENDS(type, id, name, attrs) "romeo sends <iq type='" type "' id='" id "'><" name " " NS " " attrs "/></iq>\n"
#define GETS(id, attrs) "romeo receives <iq type='result' id='" id "'><harmed " NS " " attrs "/></iq>\n"
#define FAILS(id, condition) "romeo receives <iq type='error' id='" id "'><error><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>\n"
#define WRITES(id, value) SENDS("set", id, "write", "value='" value "'")
#define WRITTEN(id) GETS(id, "what='written'")
#define READS(id) SENDS("get", id, "read", "")

/* The harm happens in `harmed` as the first occasion, in `well_then_harmed` as the second, and never as the 100th. */
static void happens(svi_harm_kind kind, const char *harmed, const char *well_then_harmed, const char *well)
{
    for (uint64_t n = 1; n <= 2; n++) {
        world w;
        open_world(&w);
        run(&w, ROMEO);
        svi_stage_harm(w.stage, kind, "harmed", n);
        assert_false(svi_stage_harmed(w.stage));
        run(&w, n == 1 ? harmed : well_then_harmed);
        if (!svi_stage_harmed(w.stage)) fail_msg("%s %llu did not happen", svi_harm_name(kind), (unsigned long long)n);
        svi_stage_harm(w.stage, kind, "harmed", 100);
        run(&w, well);
        svi_stage_harm(w.stage, kind, "nobody", 1);
        run(&w, well);
        assert_false(svi_stage_harmed(w.stage));
        close_world(&w);
    }
}

#define WELL ROMEO WRITES("w", "v") WRITTEN("w") READS("r") GETS("r", "what='v'")

static void a_read_fails(void **state)
{
    (void)state;
    happens(SVI_HARM_STORE_FAILS, ROMEO READS("1") FAILS("1", "internal-server-error") READS("2") GETS("2", "what=''"),
            ROMEO READS("1") GETS("1", "what=''") SENDS("get", "2", "load", "") FAILS("2", "internal-server-error"), WELL);
}

static void a_job_is_late(void **state)
{
    (void)state;
    happens(SVI_HARM_STORE_LATE, ROMEO READS("1") GETS("1", "what=''") "log has store-slow\n",
            ROMEO READS("1") GETS("1", "what=''") WRITES("2", "v") WRITTEN("2") "log has store-slow\n", WELL);
    world w;
    open_world(&w);
    svi_stage_harm(w.stage, SVI_HARM_STORE_LATE, "harmed", 2);
    run(&w, ROMEO READS("1") GETS("1", "what=''"));
    assert_int_equal(svi_stage_plat(w.stage)->now_us, 0);
    run(&w, ROMEO WRITES("2", "v") "wait 9s\n");
    assert_int_equal(svi_stage_plat(w.stage)->now_us, 9000000);
    run(&w, ROMEO READS("3") GETS("3", "what='v'") "romeo receives nothing\n");
    assert_int_equal(svi_stage_plat(w.stage)->now_us, 10000000);
    close_world(&w);
}

static void space_is_short(void **state)
{
    (void)state;
    happens(SVI_HARM_SHORTAGE, ROMEO WRITES("1", "v") FAILS("1", "resource-constraint") WRITES("2", "v") WRITTEN("2"),
            ROMEO SENDS("get", "1", "space", "") GETS("1", "what='space'") SENDS("get", "2", "space", "") GETS("2", "what='no space'"), WELL);
    happens(SVI_HARM_SHORTAGE, ROMEO SENDS("set", "1", "dare", "value='x'") FAILS("1", "internal-server-error"),
            ROMEO SENDS("set", "1", "dare", "value='x'") GETS("1", "what='written'") SENDS("set", "2", "dare", "value='x'") FAILS("2", "internal-server-error"),
            WELL);
}

/* A module in C has no memory refused: it is over its budget, and goes into quarantine. */
static void a_quota_is_used_up(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) {
        world w;
        open_world(&w);
        run(&w, ROMEO);
        svi_stage_harm(w.stage, SVI_HARM_QUOTA, "harmed", n);
        run(&w, ROMEO SENDS("get", "1", "take", "") GETS("1", "taken='1'"));
        assert_int_equal(svi_stage_harmed(w.stage), n == 1);
        run(&w, n == 1 ? ROMEO SENDS("get", "2", "take", "") FAILS("2", "service-unavailable") "log has module-quarantined\n"
                       : ROMEO "log lacks module-quarantined\n" SENDS("get", "2", "take", "") GETS("2", "taken='2'") "log has module-quarantined\n");
        assert_true(svi_stage_harmed(w.stage));
        close_world(&w);
    }
}

static void a_session_vanishes(void **state)
{
    (void)state;
    happens(SVI_HARM_SESSION_GONE, ROMEO READS("1") "romeo is closed\nlog has session-close\n", ROMEO READS("1") GETS("1", "what=''") READS("2") "romeo is closed\n",
            WELL);
}

static void a_module_is_loaded_anew(void **state)
{
    (void)state;
    happens(SVI_HARM_RELOAD, ROMEO READS("1") GETS("1", "what=''") "log has module-reload\n",
            ROMEO READS("1") GETS("1", "what=''") "log lacks module-reload\n" READS("2") GETS("2", "what=''") "log has module-reload\n", WELL);
}

#define GONE "romeo receives <stream:error><host-gone xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\n"

static void a_host_goes_and_comes(void **state)
{
    (void)state;
    happens(SVI_HARM_HOST_GONE, ROMEO READS("1") "romeo ignores <iq/>\n" GONE "romeo is closed\n",
            ROMEO READS("1") GETS("1", "what=''") READS("2") "romeo ignores <iq/>\n" GONE "romeo is closed\n", WELL);
}

static void it_is_killed_before_the_commit(void **state)
{
    (void)state;
    happens(SVI_HARM_KILL, ROMEO WRITES("1", "lost") "romeo is closed\nromeo connects\n" READS("2") GETS("2", "what=''"),
            ROMEO WRITES("1", "kept") WRITTEN("1") WRITES("2", "lost") "romeo is closed\nromeo connects\n" READS("3") GETS("3", "what='kept'"), WELL);
}

static void it_is_killed_behind_the_commit(void **state)
{
    (void)state;
    happens(SVI_HARM_KILL_BEHIND, ROMEO WRITES("1", "kept") "romeo is closed\nromeo connects\n" READS("2") GETS("2", "what='kept'"),
            ROMEO WRITES("1", "old") WRITTEN("1") WRITES("2", "kept") "romeo is closed\nromeo connects\n" READS("3") GETS("3", "what='kept'"), WELL);
}

static void each_harm_has_a_name(void **state)
{
    (void)state;
    for (svi_harm_kind a = 0; a < SVI_HARM_KINDS; a++)
        for (svi_harm_kind b = 0; b < a; b++) assert_string_not_equal(svi_harm_name(a), svi_harm_name(b));
    assert_string_equal(svi_harm_name(SVI_HARM_KILL_BEHIND), "kill-behind");
}

/* --- scripts ------------------------------------------------------------------------------------------------ */

/* A folder with one module in Lua. */
static void open_script(world *w, const char *text)
{
    *w = (world){.scripts = "/tmp/stage-test-XXXXXX"};
    assert_non_null(mkdtemp(w->scripts));
    (void)snprintf(w->modules, sizeof w->modules, "%s/scripted.lua", w->scripts);
    FILE *f = fopen(w->modules, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    (void)fclose(f);
    open_in(w, w->scripts, "\"scripted\"", 1);
}

static void close_script(world *w)
{
    close_world(w);
    (void)unlink(w->modules);
    (void)rmdir(w->scripts);
}

#define SCRIPT                                                                                                                                       \
    "sv.script {summary = 'What tests do harm to', changes = {'iq-get/self', 'iq-set/self'}, stores = 'notes'}\n"                                     \
    "local NS, notes = 'urn:stave:harmed', sv.store 'notes'\n"                                                                                        \
    "sv.on('iq-set/self {urn:stave:harmed}write', function(ev)\n"                                                                                     \
    "    if not notes:put(ev:from().node, 'note', ev:payload():attr 'value') then return ev:refuse 'resource-constraint' end\n"                       \
    "    return ev:reply {'harmed', xmlns = NS, what = 'written'}\nend)\n"                                                                            \
    "sv.on('iq-get/self {urn:stave:harmed}read', function(ev)\n"                                                                                      \
    "    local text, why = notes:get(ev:from().node, 'note')\n"                                                                                       \
    "    if not text and why ~= 'notfound' then return ev:refuse 'internal-server-error' end\n"                                                       \
    "    return ev:reply {'harmed', xmlns = NS, what = text or ''}\nend, {stores = false})\n"                                                         \
    "sv.on('iq-get/self {urn:stave:harmed}wait', function(ev)\n"                                                                                      \
    "    ev:sleep(500)\n    return ev:reply {'harmed', xmlns = NS, what = 'waited'}\nend, {stores = false})\n"                                        \
    "sv.on('iq-get/self {urn:stave:harmed}grow', function(ev)\n"                                                                                      \
    "    local list = {}\n    for i = 1, 100 do list[i] = {i} end\n"                                                                                  \
    "    return ev:reply {'harmed', xmlns = NS, what = #list}\nend, {stores = false})\n"

static void harm_to_a_script(svi_harm_kind kind, uint64_t n, const char *steps)
{
    world w;
    open_script(&w, SCRIPT);
    run(&w, ROMEO);
    svi_stage_harm(w.stage, kind, "scripted", n);
    run(&w, steps);
    if (!svi_stage_harmed(w.stage)) fail_msg("%s did not happen to the script", svi_harm_name(kind));
    run(&w, WELL);
    close_script(&w);
}

static void scripts_are_harmed_too(void **state)
{
    (void)state;
    harm_to_a_script(SVI_HARM_STORE_FAILS, 2, ROMEO READS("1") GETS("1", "what=''") READS("2") FAILS("2", "internal-server-error"));
    harm_to_a_script(SVI_HARM_SHORTAGE, 1, ROMEO WRITES("1", "v") FAILS("1", "resource-constraint"));
    harm_to_a_script(SVI_HARM_SHORTAGE, 2, ROMEO WRITES("1", "v") FAILS("1", "resource-constraint"));
    harm_to_a_script(SVI_HARM_QUOTA, 50, ROMEO SENDS("get", "1", "grow", "") FAILS("1", "internal-server-error") "log has module-fault\n"
                                         SENDS("get", "2", "grow", "") GETS("2", "what='100'"));
    harm_to_a_script(SVI_HARM_SESSION_GONE, 1, ROMEO SENDS("get", "1", "wait", "") "romeo is closed\nwait 1s\n"); /* its lane waits behind it */
    harm_to_a_script(SVI_HARM_RELOAD, 1, ROMEO SENDS("get", "1", "wait", "") "wait 1s\n" GETS("1", "what='waited'") "log has module-reload\n");
    harm_to_a_script(SVI_HARM_KILL, 1, ROMEO WRITES("1", "lost") "romeo is closed\nromeo connects\n" READS("2") GETS("2", "what=''"));
    harm_to_a_script(SVI_HARM_KILL_BEHIND, 1, ROMEO WRITES("1", "kept") "romeo is closed\nromeo connects\n" READS("2") GETS("2", "what='kept'"));
}

/* --- replay ------------------------------------------------------------------------------------------------- */

/* All that clients read, in order. */
static struct {
    svi_buf bytes;
    flow_pipe *(*open)(flow_world *world);
    ssize_t (*read)(flow_pipe *pipe, void *to, size_t n);
} tape; /* lint: allow global (a test's) */

static ssize_t read_taped(flow_pipe *pipe, void *to, size_t n)
{
    const ssize_t got = tape.read(pipe, to, n);
    if (got > 0) svi_buf_put(&tape.bytes, (sv_str){to, (size_t)got});
    if (got > 0) svi_buf_putc(&tape.bytes, '|'); /* how much at a time is part of it */
    return got;
}

static flow_pipe *open_taped(flow_world *flow)
{
    flow_pipe *pipe = tape.open(flow);
    tape.read = pipe->read;
    pipe->read = read_taped;
    return pipe;
}

/* The log and the bytes of one run with every fault that draws. */
static void record(uint64_t seed, svi_buf *bytes, svi_buf *log)
{
    world w;
    char self[1024];
    build_dir(self, sizeof self);
    (void)snprintf(w.modules, sizeof w.modules, "%s/modules", self);
    svi_buf_init(&tape.bytes, &test_acct);
    open_in(&w, w.modules, NULL, seed);
    tape.open = w.flow->open;
    w.flow->open = open_taped;
    svi_stage_harm(w.stage, SVI_HARM_KILL, NULL, 3);
    flow_result result = {.failed = false};
    const char *steps = "client romeo romeo@localhost/orchard\nclient juliet juliet@localhost/balcony\n"
            "network is slow 5ms 50ms\nnetwork reads 100\nnetwork writes 70\nstore is late 1ms 30ms\n"
            "romeo connects\njuliet connects\nromeo sends <presence/>\njuliet sends <presence/>\n"
            "romeo sends <presence to='juliet@localhost' type='subscribe'/>\njuliet forgets\njuliet sends <presence to='romeo@localhost' type='subscribed'/>\nromeo forgets\n";
    flow_run(w.flow, "x.flow", sv_str_of(steps), "", &result); /* the kill ends it somewhere */
    assert_true(svi_stage_harmed(w.stage));
    svi_buf_init(bytes, &test_acct);
    svi_buf_init(log, &test_acct);
    svi_buf_put(bytes, svi_buf_str(&tape.bytes));
    svi_buf_put(log, svi_stage_log(w.stage));
    svi_buf_free(&tape.bytes);
    char why[300];
    assert_true(w.flow->close(&w.flow, why, sizeof why));
}

static void a_run_replays_from_its_seed(void **state)
{
    (void)state;
    svi_buf bytes[3], log[3];
    for (int i = 0; i < 3; i++) record(i < 2 ? 7 : 8, &bytes[i], &log[i]);
    assert_true(bytes[0].len > 2000);
    assert_true(sv_str_eq(svi_buf_str(&bytes[0]), svi_buf_str(&bytes[1])));
    assert_true(sv_str_eq(svi_buf_str(&log[0]), svi_buf_str(&log[1])));
    assert_false(sv_str_eq(svi_buf_str(&bytes[0]), svi_buf_str(&bytes[2])));
    for (int i = 0; i < 3; i++) {
        svi_buf_free(&bytes[i]);
        svi_buf_free(&log[i]);
    }
    assert_int_equal(atomic_load(&test_acct.live_bytes), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_fails),
        cmocka_unit_test(a_job_is_late),
        cmocka_unit_test(space_is_short),
        cmocka_unit_test(a_quota_is_used_up),
        cmocka_unit_test(a_session_vanishes),
        cmocka_unit_test(a_module_is_loaded_anew),
        cmocka_unit_test(a_host_goes_and_comes),
        cmocka_unit_test(it_is_killed_before_the_commit),
        cmocka_unit_test(it_is_killed_behind_the_commit),
        cmocka_unit_test(each_harm_has_a_name),
        cmocka_unit_test(scripts_are_harmed_too),
        cmocka_unit_test(a_run_replays_from_its_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
