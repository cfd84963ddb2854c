/* What a handler in Lua costs (architecture 12, house-style C.4), measured in two ways.
 *
 * "called": its entry, called many times in a row for one event, as C.4 measured: what the holds are for. "in the router":
 * what a message on its way through the router takes more than one whose script hooks something else; rounds of both follow
 * each other, and the figure is the median of the differences. CPU time of the thread.
 *
 *     bench_script [WORD [ROUNDS]]    only rows that have the word in their name */
#include <string.h>
#include <unistd.h>

#include "mods/mods_impl.h"
#include "router_world.h"
#include "script/script_impl.h"

enum { ROUNDS = 61, ROUNDS_MAX = 1001, BATCHES = 5, WARM_BATCHES = 20, CALLS = 1000, PATH_BYTES = 256 };

#define HEAD "sv.script {summary = 'bench', changes = {'*'}, stores = {'own'}}\n"
/* What house-style C.4 measured: type, one child and the body. */
#define LOOKS                                                                                                    \
    "function(ev)\n"                                                                                             \
    "    if ev:type() == 'chat' and ev:has('request', 'urn:xmpp:receipts') and ev:text_of('body') == 'spam' then " \
    "return ev:drop('spam') end\n"                                                                               \
    "end"
#define VIEWS                                                                                                       \
    "function(ev)\n"                                                                                                \
    "    local root = ev:root()\n"                                                                                  \
    "    if root:attr('type') == 'chat' and root:has('request', 'urn:xmpp:receipts') and root:text_of('body') == 'spam' " \
    "then return ev:drop('spam') end\n"                                                                             \
    "end"

typedef struct bench {
    const char *name;
    const char *script; /* behind HEAD */
    int64_t hold_ns;    /* 0: for information */
    bool waits;         /* what others do meanwhile is measured, too; it can't be called in a row */
} bench;

static const bench benches[] = {
    {"one handler that does nothing", "sv.on('message/out', function(ev) end)\n", 0, false},
    {"look and pass: type", "sv.on('message/out', function(ev) if ev:type() == 'headline' then return ev:drop('no') end end)\n", 150, false},
    {"look and pass: an attribute",
     "sv.on('message/out', function(ev) if ev:attr('type') == 'headline' then return ev:drop('no') end end)\n", 0, false},
    {"one handler: type, child, body", "sv.on('message/out', " LOOKS ")\n", 350, false},
    {"one handler: the same by views", "sv.on('message/out', " VIEWS ")\n", 0, false},
    {"ten handlers: type, child, body", "for i = 1, 10 do sv.on('message/out', " LOOKS ") end\n", 3000, false},
    {"a handler that sleeps 0 ms", "sv.on('message/out', function(ev) ev:sleep(0) end)\n", 0, true},
    {"a handler that reads a store", "local own = sv.store('own') sv.on('message/out', function(ev) own:get('somebody', 'key') end)\n", 0, true},
};

typedef struct scripted {
    world w;
    char folder[PATH_BYTES];
    svi_config *config;
    svi_mods *mods;
    const char *path;
    svi_script *script;
    void *sites[16]; /* of what it hooks at message/out */
    size_t site_count;
    double *called_ns; /* what is measured inside a message's pass goes here; NULL: nothing is */
    uint64_t calls;    /* made so */
} scripted;

/* --- a router with a script ------------------------------------------------------------------------ */

static void told(void *ctx, const char *file, int line, const char *text)
{
    (void)ctx;
    (void)fprintf(stderr, "%s:%d: %s\n", file != NULL ? file : "?", line, text);
}

static void write_file(const char *folder, const char *name, const char *head, const char *text, char path[PATH_BYTES])
{
    (void)snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(head, file) < 0 || fputs(text, file) < 0 || fclose(file) != 0) check(SV_EIO, path);
}

static void open_scripted(scripted *s, const char *script)
{
    char path[PATH_BYTES];
    s->w.acct.name = "bench";
    s->w.resource = "/bench";
    open_world(&s->w, svi_plat_kernel(), 0);
    (void)snprintf(s->folder, sizeof s->folder, "%s/stave-bench-XXXXXX", P_tmpdir);
    if (mkdtemp(s->folder) == NULL) check(SV_EIO, s->folder);
    write_file(s->folder, "bench.lua", HEAD, script, path);
    char config[PATH_BYTES];
    write_file(s->folder, "bench.cfg.lua", "", "VirtualHost \"example.org\"\nmodules_enabled = { \"bench\" }\n", config);
    check(svi_config_load(&s->w.acct, config, told, NULL, &s->config), "config");
    s->path = s->folder;
    s->mods = svi_mods_new(&s->w.acct, &(svi_mods_config){.server = s->w.server,
                                                          .config = s->config,
                                                          .paths = &s->path,
                                                          .path_count = 1,
                                                          .script_cpu_us = 10000000,
                                                          .report = told});
    check(svi_mods_start(s->mods), "start");
    if (unlink(path) != 0 || unlink(config) != 0 || rmdir(s->folder) != 0) check(SV_EIO, s->folder);
    const sv_mod *mod = s->mods->groups->mods[0];
    s->script = mod->file->script;
    for (size_t i = 0; i < s->script->hook_count; i++)
        if (strcmp(s->script->entries[i].text, "message/out") == 0) s->sites[s->site_count++] = svi_script_hook_self(mod->self, i);
    join_all(&s->w);
}

static void close_scripted(scripted *s)
{
    svi_mods_free(&s->mods);
    close_world(&s->w);
    svi_config_free(&s->config);
}

/* --- measuring -------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

/* A handler in C at message/out: calls those of the script many times for its event. */
static sv_verdict call_in_a_row(sv_event *ev, void *self)
{
    scripted *s = self;
    const int64_t from = cpu_ns();
    for (int i = 0; i < CALLS; i++)
        for (size_t k = 0; k < s->site_count; k++)
            if (svi_script_on_event(ev, s->sites[k]) != SV_PASS) check(SV_EINVAL, "a handler that does not pass");
    *s->called_ns = (double)(cpu_ns() - from) / CALLS;
    s->calls += CALLS * s->site_count;
    return SV_PASS;
}

/* ns for all handlers of the script, called for one event. */
static double called_ns(scripted *s, int rounds)
{
    static svi_hook_stats stats;
    double took[ROUNDS_MAX];
    svi_hooks *hooks, *before = svi_hooks_ref(svi_host_hooks(s->w.host));
    const svi_handler handler = {.point = svi_point_find(SV_STR("message/out")), .call = call_in_a_row, .self = s, .module = "bench",
                                 .text = "message/out", .stats = &stats};
    check(svi_hooks_build(&s->w.acct, &handler, 1, &hooks, NULL), "hooks");
    svi_host_set_hooks(s->w.host, hooks);
    for (int i = 0; i < rounds; i++) {
        s->called_ns = &took[i];
        svi_inbound(s->w.clients[0].session, svi_stanza_ref(s->w.clients[0].message), 0);
        s->w.written_count = 0;
        settle(&s->w);
        svi_session_sent(s->w.written[0].to->session, s->w.written[0].token, true, NULL);
    }
    svi_host_set_hooks(s->w.host, before);
    svi_hooks_unref(&hooks);
    svi_hooks_unref(&before);
    return median(took, rounds);
}

/* ns a stanza: of what the router does with one, or of the whole with its turns. */
static double some(scripted *s, bool whole)
{
    int64_t ns = 0;
    const int64_t from = cpu_ns();
    for (int i = 0; i < BATCHES; i++) ns += batch(&s->w);
    return (double)(whole ? cpu_ns() - from : ns) / (BATCHES * SESSIONS);
}

/* Median of what a message takes more `with`. */
static double more_ns(scripted *with, scripted *without, bool whole, int rounds)
{
    double more[ROUNDS_MAX];
    for (int i = 0; i < rounds; i++) {
        const bool is_first = i % 2 == 0;
        const double first = some(is_first ? with : without, whole), second = some(is_first ? without : with, whole);
        more[i] = is_first ? first - second : second - first;
    }
    return median(more, rounds);
}

/* Bytes that Lua takes for a stanza: what its heap grows by, as long as nothing is collected. */
static double grown_bytes(scripted *s)
{
    int64_t bytes = 0, stanzas = 0;
    for (int i = 0; i < BATCHES * 4; i++) {
        const int64_t before = svi_script_bytes(s->script);
        (void)batch(&s->w);
        const int64_t grown = svi_script_bytes(s->script) - before;
        if (grown < 0) continue; /* it was collected meanwhile */
        bytes += grown;
        stanzas += SESSIONS;
    }
    return stanzas > 0 ? (double)bytes / (double)stanzas : 0;
}

/* True if every message was handed over, and every handler was called for each on its way. */
static bool is_right(const scripted *s, uint64_t others)
{
    const svi_ledger *ledger = svi_server_ledger(s->w.server);
    const uint64_t received = svi_ledger_total(ledger)->origin[SVI_RECEIVED];
    svi_mod_info info;
    return svi_mods_info(s->mods, 0, &info) && svi_ledger_balances(ledger) && svi_ledger_in_flight(ledger) == 0 &&
           received == svi_ledger_total(ledger)->disposal[SVI_HANDED_OVER] && info.calls == info.passed + info.later && info.faults == 0 &&
           info.calls == (received - others) * s->site_count;
}

static bool measure(const bench *b, scripted *without, int rounds)
{
    static scripted with;
    with = (scripted){.path = NULL};
    open_scripted(&with, b->script);
    for (int i = 0; i < WARM_BATCHES; i++) (void)batch(&with.w);
    const double called = b->waits ? 0 : called_ns(&with, rounds);
    const int64_t allocations = with.w.acct.total_count - without->w.acct.total_count;
    const double more = more_ns(&with, without, b->waits, rounds);
    const double allocated =
        (double)(with.w.acct.total_count - without->w.acct.total_count - allocations) / ((double)rounds * BATCHES * SESSIONS);
    printf("script: %-34s %6.0f ns called, %6.0f ns in the router, %.3f allocations, %4.0f B of Lua a stanza", b->name, called, more,
           allocated, grown_bytes(&with));
    if (b->hold_ns > 0) printf("   hold: called < %lld ns %s", (long long)b->hold_ns, called < (double)b->hold_ns ? "MET" : "MISSED");
    printf("\n");
    const bool right = is_right(&with, b->waits ? 0 : (uint64_t)rounds);
    close_scripted(&with);
    return right;
}

/* What it would take to time each entry of Lua, as one turn in SVI_SAMPLE_EVERY is (doc/decisions/018). */
static double readings_ns(void)
{
    const svi_plat *plat = svi_plat_kernel();
    double took[ROUNDS];
    int64_t seen = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t from = cpu_ns();
        for (int i = 0; i < 2 * CALLS; i++) seen |= plat->mono_us(plat->ctx);
        took[round] = (double)(cpu_ns() - from) / CALLS;
    }
    if (seen < 0) check(SV_EIO, "clock");
    return median(took, ROUNDS);
}

int main(int argc, char **argv)
{
    static scripted without;
    bool right = true;
    const long asked = argc > 2 ? strtol(argv[2], NULL, 10) : ROUNDS;
    const int rounds = asked < 1 ? 1 : asked > ROUNDS_MAX ? ROUNDS_MAX : (int)asked;
    open_scripted(&without, "sv.on('message/out {urn:nobody}has', function(ev) end)\n");
    for (int i = 0; i < WARM_BATCHES; i++) (void)batch(&without.w);
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++)
        if (argc < 2 || strstr(benches[i].name, argv[1]) != NULL) right = measure(&benches[i], &without, rounds) && right;
    right = is_right(&without, 0) && right;
    printf("two readings of the clock, as timing each entry would take: %.0f ns\n", readings_ns());
    printf("ledger: %s\n", right ? "equal" : "NOT EQUAL, the figures are void");
    close_scripted(&without);
    return right ? 0 : 1;
}
