/* Each shipped module is loaded anew again and again while stanzas wait in it: nothing is lost, nothing comes twice,
 * nothing is left. By hand: mods_renew_test COUNT [MODULE] [SEED]. */
#include "mods/mods_world_test.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_scram.h"

#include <time.h>

#define ALL "\"roster\", \"presence\", \"message\", \"offline\", \"archive\", \"carbons\", \"csi\", \"blocking\", \"caps\", \"disco\", \"groups\", \"sm\", \"ping\", \"gens\""
#define CONFIG "VirtualHost \"one.example\"\nmodules_enabled = { " ALL " }\n"

enum { CLIENTS = 5, ACCOUNTS = 24, REFUSED = 12, STANZAS_A_ROUND = 3, ASKED_MAX = 1 << 20 };

static const char *const modules[] = {"roster", "presence", "message", "offline", "archive", "carbons", "csi", "blocking", "caps", "disco", "groups", "sm", "ping"};
static const char *const jids[CLIENTS] = {"romeo@one.example/a", "romeo@one.example/b", "juliet@one.example/c", "nurse@one.example/d",
                                          "tybalt@one.example/e"};
static size_t wanted = 6; /* reloads of each */
static uint64_t seed = 1;

/* --- what is asked ---------------------------------------------------------------------------------- */

typedef struct storm {
    world *w;
    client *clients[CLIENTS];
    uint64_t random;
    unsigned char *asked; /* how often the request of that number was answered, with 0x80 once it was sent */
    size_t requests, messages, presences;
    size_t later; /* that waited when generations were swapped, in all modules */
    svi_swap swaps;
    size_t reloads, refused;
} storm;

static unsigned roll(storm *s, unsigned sides)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(s->random >> 33) % sides;
}

static void put(client *c, const char *text)
{
    const ssize_t n = c->link->ops->write(c->link, text, strlen(text));
    assert_int_equal(n, strlen(text));
}

static void ask_for(storm *s, client *c, const char *type, const char *to, const char *payload)
{
    char text[600];
    assert_true(s->requests < ASKED_MAX);
    s->asked[s->requests] = 0x80;
    snprintf(text, sizeof text, "<iq type='%s' id='q%zu'%s%s%s>%s</iq>", type, s->requests++, *to ? " to='" : "", to, *to ? "'" : "",
             payload);
    put(c, text);
}

static void say_to(storm *s, client *c, const char *to)
{
    char text[400];
    snprintf(text, sizeof text, "<message type='chat' id='m%zu' to='%s'><body>[%zu]</body></message>", s->messages, to, s->messages);
    s->messages++;
    put(c, text);
}

static void show(storm *s, client *c, const char *type, const char *to)
{
    char text[600];
    static const char claims[] = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:x' ver='";
    if (*type)
        snprintf(text, sizeof text, "<presence type='%s' to='%s'/>", type, to);
    else
        snprintf(text, sizeof text, "<presence>%s%08uAAAAAAAAAAAAAAAAAAA='/></presence>", claims, roll(s, 100000));
    s->presences++;
    put(c, text);
}

/* Whatever makes modules wait: accounts that are not in memory, hashes that nobody knows, lists. */
static void do_something(storm *s, client *c)
{
    char account[64];
    snprintf(account, sizeof account, "u%u@one.example", roll(s, ACCOUNTS));
    switch (roll(s, 12)) {
    case 0: ask_for(s, c, "get", "", "<query xmlns='jabber:iq:roster'/>"); return;
    case 1: ask_for(s, c, "get", account, "<query xmlns='http://jabber.org/protocol/disco#info'/>"); return;
    case 2: ask_for(s, c, "get", "one.example", "<ping xmlns='urn:xmpp:ping'/>"); return;
    case 3: ask_for(s, c, "get", "", "<blocklist xmlns='urn:xmpp:blocking'/>"); return;
    case 4: say_to(s, c, account); return;
    case 5: say_to(s, c, jids[roll(s, CLIENTS)]); return;
    case 6: show(s, c, "", ""); return;
    case 7: show(s, c, roll(s, 2) ? "subscribe" : "unsubscribe", account); return;
    case 8: ask_for(s, c, "get", "one.example", "<wait xmlns='urn:stave:gens'/>"); return;
    case 9: ask_for(s, c, "set", "one.example", "<write xmlns='urn:stave:gens'/>"); return;
    case 10: ask_for(s, c, "get", "one.example", "<query xmlns='http://jabber.org/protocol/disco#items'/>"); return;
    default: show(s, c, "probe", account); return;
    }
}

/* Notes each answer that came; nobody's own requests come back to him. */
static void take_answers(storm *s)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        svi_buf *in = &s->clients[i]->in;
        svi_buf_putc(in, '\0');
        for (const char *at = in->data; (at = strstr(at, " id='q")) != NULL; at++) {
            const unsigned long number = strtoul(at + 6, NULL, 10);
            assert_true(number < s->requests);
            s->asked[number]++;
        }
        svi_buf_clear(in);
    }
}

/* --- files ------------------------------------------------------------------------------------------ */

static void put_file(world *w, const char *folder, const char *built, const char *name)
{
    char from[TESTING_PATH + 32], to[TESTING_PATH + 32], bytes[65536];
    snprintf(from, sizeof from, "%s/%s.so", folder, built);
    snprintf(to, sizeof to, "%s/%s.so", w->folder, name);
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;) assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(in) + fclose(out), 0);
}

static void drop_file(const world *w, const char *name)
{
    char path[TESTING_PATH + 32];
    snprintf(path, sizeof path, "%s/%s.so", w->folder, name);
    assert_int_equal(remove(path), 0);
}

static sv_status renew(storm *s, const char *first, const char *second, svi_mods_reloaded *done)
{
    const sv_str names[] = {sv_str_of(first), sv_str_of(second ? second : "")};
    svi_buf_clear(&s->w->reports);
    const svi_mods_reloading how = {.names = names, .count = second ? 2 : 1, .report = w_report, .report_ctx = s->w};
    return svi_mods_reload(s->w->mods, &how, done);
}

/* By a file that is of no use, or by another module that does not start when this one has. */
static void refused(storm *s, const char *module)
{
    svi_mods_reloaded done;
    const bool by_other = s->refused % 2 == 0;
    put_file(s->w, s->w->mods_path, by_other ? "gens_4" : "bad_abi", by_other ? "gens" : module);
    assert_int_not_equal(renew(s, module, by_other ? "gens" : NULL, &done), SV_OK);
    assert_has(&s->w->reports, by_other ? "\"gens\" does not start" : "module interface");
    if (by_other)
        put_file(s->w, s->w->mods_path, "gens", "gens");
    else
        drop_file(s->w, module);
    s->refused++;
}

/* --- the storm -------------------------------------------------------------------------------------- */

static void on_made(void *ctx, sv_status status)
{
    *(int *)ctx = status;
}

static void make_accounts(world *w)
{
    svi_scram_keys keys;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys), SV_OK);
    svi_host *host = svi_host_find(w->server, SV_STR("one.example"));
    for (int i = 0; i < ACCOUNTS; i++) {
        char name[16];
        int status = 1;
        snprintf(name, sizeof name, "u%d", i);
        svi_account_set(host, sv_str_of(name), &keys, 1, false, on_made, &status);
        turn(w);
        assert_int_equal(status, SV_OK);
    }
}

static storm *storm_new(void)
{
    storm *s = calloc(1, sizeof *s);
    world *w = s->w = world_new();
    s->random = seed;
    s->asked = calloc(1, ASKED_MAX);
    assert_non_null(s->asked);
    put_file(w, w->mods_path, "gens", "gens");
    w->paths[0] = w->folder;
    w->paths[1] = w->core_path;
    start(w, CONFIG);
    make_accounts(w);
    for (size_t i = 0; i < CLIENTS; i++) s->clients[i] = join(w, jids[i]);
    for (size_t i = 0; i < CLIENTS; i++) show(s, s->clients[i], "", "");
    turn(w);
    return s;
}

static void storm_free(storm *s)
{
    drop_file(s->w, "gens");
    world_free(s->w);
    free(s->asked);
    free(s);
}

static void calm(storm *s)
{
    svi_engine_sim_plan(s->w->engine)->hold = false;
    svi_engine_sim_step(s->w->engine, 100000);
    turn(s->w);
    take_answers(s);
}

static void one_round(storm *s, const char *module, size_t round)
{
    svi_mods_reloaded done;
    svi_bus_stats stats;
    svi_engine_sim_plan(s->w->engine)->hold = round % 4 != 3;
    for (size_t i = 0; i < STANZAS_A_ROUND * CLIENTS; i++) do_something(s, s->clients[i % CLIENTS]);
    turn(s->w);
    svi_bus_stats_get(svi_server_bus(s->w->server), &stats);
    if (round * REFUSED / wanted >= s->refused && s->refused < REFUSED) refused(s, module);
    if (renew(s, module, NULL, &done) != SV_OK) fail_msg("%.*s", (int)s->w->reports.len, s->w->reports.data);
    s->later += stats.waiting;
    s->reloads++;
    s->swaps.waiting += done.events.waiting;
    s->swaps.restarted += done.events.restarted;
    s->swaps.finishing += done.events.finishing;
    s->swaps.skipped += done.events.skipped;
    svi_engine_sim_step(s->w->engine, roll(s, 6));
    if (round % 4 == 3)
        calm(s);
    else
        turn(s->w);
    svi_buf_free(&s->w->log);
}

/* All that was asked was answered once, all else was disposed of. */
static void balance(storm *s)
{
    svi_mod_info info;
    calm(s);
    pass_time(s->w, 1000000);
    calm(s);
    for (size_t i = 0; i < s->requests; i++)
        if (s->asked[i] != 0x81) fail_msg("request %zu was answered %d times", i, s->asked[i] & 0x7f);
    const svi_ledger *ledger = svi_server_ledger(s->w->server);
    assert_true(svi_ledger_balances(ledger));
    assert_int_equal(svi_ledger_in_flight(ledger), 0);
    assert_false(svi_mods_draining(s->w->mods, 0, &info));
    svi_mods_figures figures;
    svi_mods_figures_get(s->w->mods, &figures);
    assert_int_equal(figures.retired, s->reloads); /* those that were refused never ran */
}

/* Reads that wait at each swap, and nothing that is stored: what is there afterwards has leaked. */
static int64_t leaked(storm *s, const char *module)
{
    int64_t before = 0;
    svi_mods_reloaded done;
    const size_t warm = 20, count = wanted < 1000 ? wanted + warm : 1000 + warm;
    for (size_t i = 0; i < count; i++) {
        if (i == warm) before = live(s->w);
        svi_engine_sim_plan(s->w->engine)->hold = true;
        ask_for(s, s->clients[0], "get", "one.example", "<wait xmlns='urn:stave:gens'/>");
        ask_for(s, s->clients[1], "get", "u1@one.example", "<query xmlns='http://jabber.org/protocol/disco#info'/>");
        turn(s->w);
        assert_int_equal(renew(s, module, NULL, &done), SV_OK);
        calm(s);
        svi_buf_free(&s->w->reports);
        svi_buf_free(&s->w->log);
        for (size_t c = 0; c < CLIENTS; c++) svi_buf_free(&s->clients[c]->in);
    }
    return (live(s->w) - before) * 1000 / (int64_t)(count - warm);
}

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void renew_under_load(const char *module)
{
    storm *s = storm_new();
    const int64_t from_us = now_us();
    for (size_t round = 0; round < wanted; round++) one_round(s, module, round);
    balance(s);
    const int64_t took_us = now_us() - from_us;
    const int64_t per_thousand = leaked(s, module);
    print_message("%s: %zu reloads, %zu refused; %zu requests, %zu messages, %zu presences; %zu waited at swaps, %zu of them in a "
                  "replaced generation (%zu restarted, %zu answered by the retired one); %lld us a round; left per 1,000: %lld bytes\n",
                  module, s->reloads, s->refused, s->requests, s->messages, s->presences, s->later,
                  s->swaps.restarted + s->swaps.finishing + s->swaps.skipped, s->swaps.restarted, s->swaps.finishing,
                  (long long)(took_us / (int64_t)wanted), (long long)per_thousand);
    assert_in_range(per_thousand + 2048, 0, 4096);
    assert_true(s->later > 0);
    storm_free(s);
}

static void a_module_is_renewed_under_load(void **state)
{
    renew_under_load(*state);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[sizeof modules / sizeof *modules];
    size_t count = 0;
    if (argc > 1) wanted = strtoul(argv[1], NULL, 10);
    if (argc > 3) seed = strtoul(argv[3], NULL, 10);
    for (size_t i = 0; i < sizeof modules / sizeof *modules && wanted > 0; i++) {
        if (argc > 2 && strcmp(argv[2], modules[i]) != 0) continue;
        tests[count++] = (struct CMUnitTest){
            .name = modules[i], .test_func = a_module_is_renewed_under_load, .initial_state = (void *)(uintptr_t)modules[i]};
    }
    if (count == 0) return 2;
    return _cmocka_run_group_tests("renew", tests, count, NULL, NULL);
}
