/* Every function of the module table, used by a real module (tests/mods/probe.c) on a real server. */
#include "mods/mods_world_test.h"
#include "xmpp/xmpp_removal.h"

#define PROBE "VirtualHost \"one.example\"\nmodules_enabled = { \"probe\", \"needs\" }\n"

static void ask(world *w, client *c, const char *kind, const char *what)
{
    char text[1024];
    snprintf(text, sizeof text, "<iq type='%s' id='q' to='one.example'>%s</iq>", kind, what);
    say(w, c, text);
}

/* Same, and the answer must hold a part. */
static void asked(world *w, client *c, const char *kind, const char *what, const char *part_of)
{
    ask(w, c, kind, what);
    assert_has(&c->in, part_of);
}

static void assert_stream_features(world *w, const char *wanted)
{
    const sv_str is = svi_host_features(svi_host_find(w->server, SV_STR("one.example")));
    if (!sv_str_eq(is, sv_str_of(wanted))) fail_msg("\"%.*s\"", (int)is.n, is.n ? is.p : "");
}

/* RFC 6120 4.3.2: what modules declare and what they set, in order of the config; gone with them. */
static void stream_features(void **state)
{
    static const char declared[] = "<needs xmlns='urn:stave:needs'/><more xmlns='urn:stave:needs'/>";
    static const char *const bad[] = {
        "x", "<a xmlns='urn:a'/>x", "<a xmlns='urn:a'>", "<a/>", "<a xmlns='urn:a'/><b/>",
        "<a xmlns='jabber:client'/>", "<a xmlns='http://etherx.jabber.org/streams'/>",
        "</features><features>",
    };
    char text[512];
    (void)state;
    world *w = world_new();
    assert_stream_features(w, "");
    start(w, PROBE);
    assert_stream_features(w, declared);
    client *c = join(w, "romeo@one.example/a");
    asked(w, c, "set", "<feature xmlns='urn:stave:probe'>&lt;a xmlns='urn:a' b='1'/></feature>",
          "status='0' ready='1'");
    snprintf(text, sizeof text, "<a xmlns='urn:a' b='1'/>%s", declared);
    assert_stream_features(w, text);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, "<feature xmlns='urn:stave:probe'><![CDATA[%s]]></feature>",
                 bad[i]);
        asked(w, c, "set", text, "status='-3'");
    }
    snprintf(text, sizeof text, "<a xmlns='urn:a' b='1'/>%s", declared);
    assert_stream_features(w, text);
    asked(w, c, "set", "<feature xmlns='urn:stave:probe'>&lt;b xmlns='urn:b'/></feature>",
          "status='0' ready='1'");
    snprintf(text, sizeof text, "<b xmlns='urn:b'/>%s", declared);
    assert_stream_features(w, text);
    asked(w, c, "set", "<feature xmlns='urn:stave:probe'/>", "status='0'");
    assert_stream_features(w, declared);
    svi_mods_free(&w->mods);
    assert_stream_features(w, "");
    world_free(w);
}

static const sv_api *check_filled(const sv_api *api)
{
    const size_t first = offsetof(sv_api, now_s);
    for (size_t at = first; at < sizeof *api; at += sizeof(void *)) {
        void *member;
        memcpy(&member, (const char *)api + at, sizeof member);
        if (member == NULL) fail_msg("the member at offset %zu of sv_api is missing", at);
    }
    return api;
}

static void the_table_is_full(void **state)
{
    (void)state;
    const sv_api *api = check_filled(svi_mods_api());
    assert_int_equal(api->size, sizeof(sv_api));
    assert_int_equal(api->abi_major, SV_ABI_MAJOR);
    assert_int_equal(api->abi_minor, SV_ABI_MINOR);
}

static void reading(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, "get", "<read xmlns='urn:stave:probe'><a>x&amp;y</a><b/></read>");
    assert_has(
        &c->in,
        "name='read' ns='urn:stave:probe' type='get' from='romeo@one.example/a' "
        "to='one.example' host='one.example' children='2' a='x&amp;y' absent='yes' same='yes'");
    ask(w, c, "get", "<look xmlns='urn:stave:probe' jid='Admin@ONE.example/x'/>");
    assert_has(&c->in, "bare='admin@one.example' local='yes' admin='yes' online='no' sessions='0'");
    assert_has(&c->in,
               "sessions='0'><feature var='urn:stave:probe'/><feature var='urn:stave:second'/>"
               "<feature var='urn:stave:needs'/>"); /* each once, in order of the config */
    assert_has(&c->in, "<account var='urn:stave:probe#account'/>");
    client *d = join(w, "romeo@one.example/b");
    ask(w, d, "get", "<look xmlns='urn:stave:probe' jid='romeo@one.example/a'/>");
    assert_has(&d->in, "admin='no' online='yes' sessions='2'");
    ask(w, d, "get", "<look xmlns='urn:stave:probe' jid='a@elsewhere.example'/>");
    assert_has(&d->in, "local='no'");
    asked(w, d, "get", "<look xmlns='urn:stave:probe' jid='@'/>", "jid-malformed");
    world_free(w);
}

/* A round over a map: a step every ten seconds, 32 owners a step, all in their turn, and again; what a
 * handler deletes is deleted. */
static void rounds_over_a_map(void **state)
{
    (void)state;
    char name[32];
    world *w = world_new();
    start(w, PROBE);
    sv_err err = {.text = ""};
    svi_map *map;
    assert_int_equal(svi_store_map(svi_server_store(w->server), SV_STR("one.example/probe/notes"), 1,
                                   &map, &err),
                     SV_OK);
    svi_unit *unit = svi_unit_new(svi_server_store(w->server));
    for (int i = 0; i < 70; i++) {
        snprintf(name, sizeof name, "user%02d", i);
        (void)svi_unit_put(unit, map, sv_str_of(name), SV_STR("old"), SV_STR("x"));
        (void)svi_unit_put(unit, map, sv_str_of(name), SV_STR("new"), SV_STR("x"));
    }
    (void)svi_unit_submit(&unit);
    client *c = join(w, "user69@one.example/a");
    static const char *const turns[] = {
        "turns='32' last='probe/notes of user31@one.example'",
        "turns='64' last='probe/notes of user63@one.example'",
        "turns='70' last='probe/notes of user69@one.example'",
        "turns='102' last='probe/notes of user31@one.example'"};
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        pass_time(w, 9000000);
        pass_time(w, 1000000);
        asked(w, c, "get", "<turns xmlns='urn:stave:probe'/>", turns[i]);
        asked(w, c, "get", "<get xmlns='urn:stave:probe' key='old'/>",
              i < 2 ? ">x<" : "item-not-found");
        asked(w, c, "get", "<get xmlns='urn:stave:probe' key='new'/>", ">x<");
    }
    /* the modules go while a list is on its way */
    svi_engine_sim_plan(w->engine)->hold = true;
    pass_time(w, 10000000);
    svi_mods_free(&w->mods);
    svi_engine_sim_plan(w->engine)->hold = false;
    (void)svi_engine_sim_step(w->engine, 1000);
    turn(w);
    world_free(w);
}

static void time_memory_and_log(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    pass_time(w, 5000000);
    ask(w, c, "get", "<misc xmlns='urn:stave:probe'/>");
    assert_has(&c->in, "now='1767225605' ms='agrees' stamp='2026-01-01T00:00:00.123Z' "
                       "whole='2026-01-01T00:00:00Z' hex='16' zeroed='yes' long='1000' rounds='1'");
    assert_has(&c->in, "own='1'");
    assert_has(&c->in, "space='yes'");
    svi_engine_sim_plan(w->engine)->full = true;
    pass_time(w, 5000000);
    asked(w, c, "get", "<misc xmlns='urn:stave:probe'/>", "space='no'");
    asked(w, c, "get", "<misc xmlns='urn:stave:probe'/>", "groups='yes'");
    svi_engine_sim_plan(w->engine)->full = false;
    assert_has(&w->log, "handler-fault rule=\"occasions are fired by their names\" point=host/tmier");
    assert_has(&w->log, "probe-misc key=value other=two module=probe host=one.example");
    world_free(w);
}

/* FIPS 180-4 and 202, RFC 7693 for "abc". */
static void digests(void **state)
{
    static const char *const known[][2] = {
        {"sha-1", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="},
        {"sha-256", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},
        {"sha-384", "ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0"
         "yCWn"},
        {"sha-512", "3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj"
         "/uu9RU1EI2Q86A4qmslPpUyknw=="},
        {"sha3-256", "Ophdp0/iJbIEXBcta9OQvYVfCG4+nVJbRr/iRRFDFTI="},
        {"sha3-512", "t1GFCxpXFopWk82SS2sJbgj2IYJ0RPcNiE9dAkDScS4Q4RbpGSrzyRp+xXZH"
         "45NAVzQLTPQI1aVlkvgnTuxT8A=="},
        {"blake2b-512", "uoClP5gcTQ1qJ5e2nxL26UwhLxRoWsS3SxK7b9v/otF9h8U5Kqt5LcJS1d5F"
         "M8yVGNOKqNvxklq5I4bt1ACZIw=="},
        {"md5", "none"},
        {"", "none"},
    };
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[256], wanted[256];
        snprintf(text, sizeof text, "<digest xmlns='urn:stave:probe' by='%s'>abc</digest>",
                 known[i][0]);
        snprintf(wanted, sizeof wanted, "is='%s' lang='none'", known[i][1]);
        asked(w, c, "get", text, wanted);
    }
    asked(w, c, "get", "<digest xmlns='urn:stave:probe' by='sha-1' xml:lang='el'/>",
          "is='2jmj7l5rSw0yVb/vlWAYkK/YBwk=' lang='el'");
    world_free(w);
}

static void building(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    for (int i = 0; i < 3; i++) { /* each time the kept stanza of the time before is let go */
        ask(w, c, "get", "<build xmlns='urn:stave:probe'><in>t</in></build>");
        assert_has(&c->in, "id='made'");
        assert_has(&c->in, "x='y'");
        assert_has_not(&c->in, "n='42'");
        assert_has(&c->in, "<body>&lt;&amp;&gt;</body>");
        assert_has(&c->in, "<in>t</in>");
        assert_has(&c->in, "last");
    }
    world_free(w);
}

static void storing(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    asked(w, c, "get", "<held xmlns='urn:stave:probe'/>", "count='-1'");
    asked(w, c, "set", "<put xmlns='urn:stave:probe' key='k2'>two</put>", "type='result'");
    asked(w, c, "set", "<put xmlns='urn:stave:probe' key='k1'>one</put>", "type='result'");
    ask(w, c, "get", "<keep xmlns='urn:stave:probe'/>");
    asked(w, c, "get", "<misc xmlns='urn:stave:probe'/>", "behind='0'");
    asked(w, c, "set", "<put xmlns='urn:stave:probe' key='k1'>uno!</put>", "type='result'");
    asked(w, c, "get", "<misc xmlns='urn:stave:probe'/>", "behind='4'");
    asked(w, c, "set", "<put xmlns='urn:stave:probe' key='k1'>one</put>", "type='result'");
    asked(w, c, "get", "<get xmlns='urn:stave:probe' key='k1'/>", ">one<");
    asked(w, c, "get", "<get xmlns='urn:stave:probe' key='none'/>", "item-not-found");
    ask(w, c, "get", "<list xmlns='urn:stave:probe'/>");
    assert_has(&c->in, "bytes='6' count='2' missing='yes' again='yes'");
    assert_has(&c->in, "<row key='k1'>one</row><row key='k2'>two</row>");
    ask(w, c, "get", "<keep xmlns='urn:stave:probe'/>");
    assert_has(&c->in, "count='2'");
    asked(w, c, "get", "<held xmlns='urn:stave:probe'/>", "count='2'");
    asked(w, c, "set", "<del xmlns='urn:stave:probe' key='k1'/>", "type='result'");
    asked(w, c, "get", "<held xmlns='urn:stave:probe'/>", "count='1'");
    asked(w, c, "set", "<del xmlns='urn:stave:probe'/>", "type='result'");
    asked(w, c, "get", "<held xmlns='urn:stave:probe'/>", "count='0'");

    char key[4000]; /* over the bound of a key: refused, not lost */
    memset(key, 'k', sizeof key);
    svi_buf long_put;
    svi_buf_init(&long_put, &w->acct);
    svi_buf_printf(&long_put,
                   "<iq type='set' id='q' to='one.example'><put xmlns='urn:stave:probe' "
                   "key='%.*s'>v</put></iq>%c",
                   (int)sizeof key, key, '\0');
    say(w, c, long_put.data);
    assert_has(&c->in, "not-acceptable");
    svi_buf_free(&long_put);
    world_free(w);
}

/* The store answers when the deadline of the event that waits for it has passed. */
static void ask_too_late(world *w, client *c, const char *what)
{
    svi_engine_sim_plan(w->engine)->hold = true;
    ask(w, c, "get", what);
    pass_time(w, 61000000);
    assert_has(&c->in, "type='error'");
    assert_has_not(&c->in, "item-not-found");
    svi_mod_info before, after;
    assert_true(svi_mods_info(w->mods, 0, &before));
    svi_buf_clear(&c->in);
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 10);
    turn(w);
    assert_has_not(&c->in, "<iq");
    assert_true(svi_mods_info(w->mods, 0, &after));
    assert_int_equal(before.live_count, after.live_count);
}

/* Reads that fail reach the module; reads that come too late do not. */
static void failing_and_late_reads(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    asked(w, c, "get", "<list xmlns='urn:stave:probe'/>", "internal-server-error");
    svi_engine_sim_plan(w->engine)->fail_read = 1;
    asked(w, c, "get", "<get xmlns='urn:stave:probe' key='k'/>", "internal-server-error");

    ask_too_late(w, c, "<keep xmlns='urn:stave:probe'/>");
    client *d = join(w, "juliet@one.example/b"); /* whose rows are not in memory yet */
    ask_too_late(w, d, "<get xmlns='urn:stave:probe' key='k'/>");
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    world_free(w);
}

static void rows_are_kept_with_the_session(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    svi_engine_sim_plan(w->engine)->hold = true;
    ask(w, c, "get", "<keep xmlns='urn:stave:probe'/>");
    part(w, c); /* the session goes before its rows come */
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 10);
    turn(w);
    world_free(w); /* no reference is left */
}

/* What a session holds of a map is one owner's rows: however often, it grows no more. */
static void rows_are_held_with_the_session(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    asked(w, c, "set", "<put xmlns='urn:stave:probe' key='k'>v</put>", "type='result'");
    asked(w, c, "get", "<hold xmlns='urn:stave:probe' owner='romeo' other='romeo'/>",
          "count='1' held='yes'");
    asked(w, c, "get", "<hold xmlns='urn:stave:probe' owner='/other' other='romeo'/>",
          "count='0' held='no'"); /* cached, but nobody's */
    const int64_t before = atomic_load(&w->acct.live_count);
    for (int i = 0; i < 20; i++) {
        asked(w, c, "get", "<hold xmlns='urn:stave:probe' owner='romeo'/>", "count='1'");
        asked(w, c, "get", "<hold xmlns='urn:stave:probe' owner='/other'/>", "count='0'");
    }
    assert_in_range(atomic_load(&w->acct.live_count), before - 10, before + 10);
    part(w, c);
    world_free(w);
}

static void sessions_and_occasions(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, "set", "<session xmlns='urn:stave:probe'/>");
    assert_has(&c->in, "gathered='first&#10;&#10;juliet@example.org&#10;' none='0' jid='romeo@one.example/a' times='1' unset='yes' item='set' priority='7' "
                       "presence='yes' fired='roster/changed' heard='7'");
    asked(w, c, "set", "<session xmlns='urn:stave:probe'/>", "times='2' unset='no'");
    svi_mod_info before, after; /* its memory on a session is counted to it */
    assert_true(svi_mods_info(w->mods, 0, &before));
    client *d = join(w, "romeo@one.example/d");
    asked(w, d, "set", "<session xmlns='urn:stave:probe'/>", "times='1'");
    assert_true(svi_mods_info(w->mods, 0, &after));
    assert_int_equal(after.live_count, before.live_count + 1);
    part(w, d);
    assert_true(svi_mods_info(w->mods, 0, &after));
    assert_int_equal(after.live_count, before.live_count);
    svi_mods_free(&w->mods);
    start(w, PROBE); /* and goes with it, while the session stays */
    asked(w, c, "set", "<session xmlns='urn:stave:probe'/>", "times='1' unset='no'");
    assert_has(&w->log,
               "point=roster/chnaged in=\"iq-set/host {urn:stave:probe}session\" module=probe");
    /* what the occasion wrote was part of the event's unit */
    asked(w, c, "get", "<get xmlns='urn:stave:probe' key='fired'/>", ">juliet@example.org<");
    world_free(w);
}

static void sending(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    ask(w, c, "set", "<send xmlns='urn:stave:probe'/>");
    assert_has(&c->in, "id='pushed'");
    assert_has(&c->in, "id='routed'");
    assert_has(&c->in, "id='from-row'");
    assert_has(&c->in, "to='romeo@one.example/a'");
    const char *pushed = memmem(c->in.data, c->in.len, "pushed", 6);
    const char *row = memmem(c->in.data, c->in.len, "from-row", 8);
    assert_true(pushed < row); /* in order */
    turn(w);
    client *d =
        join(w, "rows@one.example/x"); /* whose name is the owner of the row, which is gone */
    asked(w, d, "get", "<get xmlns='urn:stave:probe' key='k'/>", "item-not-found");
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    world_free(w);
}

static uint64_t rule_count(world *w, const char *name)
{
    const char *rule;
    uint64_t count;
    for (size_t pos = 0; svi_ledger_rules(svi_server_ledger(w->server), &pos, &rule, &count);)
        if (strcmp(rule, name) == 0) return count;
    return 0;
}

/* What goes in an account's name to somebody else is asked about on the account's host, unless it
 * is to go unasked. */
static void made_in_a_name(void **state)
{
    (void)state;
    world *w = world_new();
    add_host(w, "two.example");
    start(w, "VirtualHost \"one.example\"\nmodules_enabled = { \"probe\" }\n"
             "VirtualHost \"two.example\"\nmodules_enabled = { }\n");
    client *c = join(w, "romeo@one.example/a"), *d = join(w, "juliet@two.example/b"),
           *e = join(w, "romeo@one.example/e");
    ask(w, c, "set", "<make xmlns='urn:stave:probe' to='juliet@two.example/b'/>");
    assert_int_equal(rule_count(w, "probe-made"), 1);
    assert_has(&d->in, "id='let'");
    assert_has(&d->in, "type='headline'");
    /* to nobody of this server: its error is no reason to ask again */
    ask(w, c, "set", "<make xmlns='urn:stave:probe' to='x@elsewhere.example'/>");
    assert_int_equal(rule_count(w, "probe-made"), 2);
    assert_has(&c->in, "remote-server-not-found");
    /* to its own account: nobody else is concerned */
    ask(w, c, "set", "<make xmlns='urn:stave:probe' to='romeo@one.example/e'/>");
    assert_int_equal(rule_count(w, "probe-made"), 2);
    assert_has(&e->in, "id='held'");
    assert_true(svi_ledger_balances(svi_server_ledger(w->server)));
    world_free(w);
}

static uint64_t disposed(const world *w, svi_disposal how)
{
    return svi_ledger_total(svi_server_ledger(w->server))->disposal[how];
}

static void disposing(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    client *c = join(w, "romeo@one.example/a");
    static const char *const kinds[] = {"normal",
                                        "chat"}; /* chat waits for rows first and is passed on */
    for (size_t k = 0; k < 2; k++) {
        struct {
            const char *what;
            svi_disposal how;
            const char *heard;
        } const cases[] = {
            {"drop", SVI_DROPPED, NULL},          {"consume", SVI_CONSUMED, NULL},
            {"stored", SVI_STORED, NULL},         {"deliver", SVI_HANDED_OVER, "id='deliver'"},
            {"with", SVI_REFUSED,
             "<error type='modify'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
             "<too-loud xmlns='urn:stave:probe#errors' by='12'/></error>"},
            {"with-type", SVI_REFUSED,
             "<error type='cancel'><not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
             "<too-loud "},
            {"refuse", SVI_REFUSED, "forbidden"}, {"replace", SVI_HANDED_OVER, "id='deliver'"},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const uint64_t before = disposed(w, cases[i].how);
            char text[256];
            snprintf(text, sizeof text,
                     "<message type='%s' id='%s' to='one.example'><body>b</body></message>",
                     kinds[k], cases[i].what);
            say(w, c, text);
            assert_int_equal(disposed(w, cases[i].how), before + 1);
            if (cases[i].heard != NULL)
                assert_has(&c->in, cases[i].heard);
            else
                assert_has_not(&c->in, "<message");
        }
    }
    svi_ledger *ledger = svi_server_ledger(w->server);
    assert_true(svi_ledger_balances(ledger));
    assert_int_equal(svi_ledger_in_flight(ledger), 0);
    bool has_rule = false;
    const char *rule;
    uint64_t count;
    for (size_t pos = 0; svi_ledger_rules(ledger, &pos, &rule, &count);)
        has_rule = has_rule || strcmp(rule, "probe-rule") == 0;
    assert_true(has_rule);
    (void)join(w, "juliet@one.example/x");
    say(w, c, "<message id='x' to='juliet@one.example'/>");
    bool is_known = false;
    for (size_t pos = 0; svi_ledger_rules(ledger, &pos, &rule, &count);)
        is_known = is_known || strcmp(rule, "probe-exists") == 0;
    assert_true(is_known);
    world_free(w);
}

static void on_status(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static void step(world *w, size_t jobs)
{
    assert_int_equal(svi_engine_sim_step(w->engine, jobs), jobs);
    turn(w);
}

/* An event that began before an account was deleted writes nothing for it, nor for the next of that
 * name; one that began later does. */
static void writes_from_before_a_deletion(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    svi_host *host = svi_host_find(w->server, SV_STR("one.example"));
    client *c = join(w, "romeo@one.example/a");
    svi_scram_keys keys;
    int status = 1;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys), SV_OK);
    svi_account_set(host, SV_STR("juliet"), &keys, 1, false, on_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    svi_engine_sim_plan(w->engine)->hold = true;
    ask(w, c, "set", "<late xmlns='urn:stave:probe' owner='juliet'/>");
    status = 1;
    svi_account_remove(host, SV_STR("juliet"), on_status, &status);
    turn(w);
    step(w, 1); /* its first read */
    step(w, 1); /* the account's end is marked, and what is its goes */
    step(w, 1); /* its second read */
    assert_has(&c->in, "not-acceptable");
    svi_engine_sim_plan(w->engine)->hold = false;
    turn(w);
    assert_int_equal(status, SV_OK);
    asked(w, c, "set", "<late xmlns='urn:stave:probe' owner='juliet'/>", "type='result'");
    world_free(w);
}

static void on_kind(void *ctx, sv_status status, svi_account_kind kind)
{
    assert_int_equal(status, SV_OK);
    *(int *)ctx = (int)kind;
}

/* Modules, which know whom else to tell, hear of a deletion before anything is deleted: with their host gone it waits. */
static void a_deletion_waits_for_its_host(void **state)
{
    (void)state;
    world *w = world_new();
    start(w, PROBE);
    svi_host *host = svi_host_find(w->server, SV_STR("one.example"));
    svi_scram_keys keys;
    int status = 1, kind = -1;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys), SV_OK);
    svi_account_set(host, SV_STR("juliet"), &keys, 1, false, on_status, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
    svi_engine_sim_plan(w->engine)->hold = true;
    status = 1;
    svi_account_remove(host, SV_STR("juliet"), on_status, &status);
    turn(w);
    svi_host_retire(host); /* a reload, while the mark is being written */
    svi_engine_sim_plan(w->engine)->hold = false;
    svi_engine_sim_step(w->engine, 10);
    turn(w);
    assert_int_equal(status, SV_EIO);
    svi_account_kind_get(host, SV_STR("juliet"), on_kind, &kind);
    turn(w);
    assert_int_equal(kind, SVI_ACCOUNT_DELETING);

    const svi_host_config config = {.domain = SV_STR("one.example")};
    assert_true(svi_host_serve(host, &config));
    svi_removals_resume(host);
    turn(w);
    bool exists = true;
    assert_true(svi_account_check(host, SV_STR("juliet"), &exists, on_status, &status));
    assert_false(exists);
    svi_account_kind_get(host, SV_STR("juliet"), on_kind, &kind);
    turn(w);
    assert_int_equal(kind, SVI_ACCOUNT_ACTIVE); /* no state is left */
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_from_before_a_deletion),
        cmocka_unit_test(a_deletion_waits_for_its_host),
        cmocka_unit_test(the_table_is_full),
        cmocka_unit_test(stream_features),
        cmocka_unit_test(reading),
        cmocka_unit_test(rounds_over_a_map), cmocka_unit_test(time_memory_and_log),
        cmocka_unit_test(building),
        cmocka_unit_test(storing),
        cmocka_unit_test(failing_and_late_reads),
        cmocka_unit_test(rows_are_kept_with_the_session),
        cmocka_unit_test(rows_are_held_with_the_session),
        cmocka_unit_test(digests),
        cmocka_unit_test(sessions_and_occasions),
        cmocka_unit_test(sending),
        cmocka_unit_test(made_in_a_name),
        cmocka_unit_test(disposing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
