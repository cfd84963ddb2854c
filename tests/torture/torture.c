/* torture: runs seeds; exit status 0 if all that must hold did. A failure names its seed, which repeats it. */
#include "torture.h"

#include "base/base_log.h"
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPARE 30          /* events, arena blocks kept for use again that the first life did not need */
#define CACHED 400        /* rows in the store's cache, which the first life did not ask for */
#define SPARE_BYTES 200000 /* the same, and tables of twice the size */
#define HOT 10u /* accounts next to each other that a round is mostly about */

typedef struct options {
    const char *modules;
    int64_t seed, seeds, rounds, steps, watch;
    bool twice, verbose, cold, calm;
} options;

uint32_t roll(torture *t, uint32_t sides)
{
    t->dice ^= t->dice << 13;
    t->dice ^= t->dice >> 7;
    t->dice ^= t->dice << 17;
    return (uint32_t)(t->dice >> 33) % sides;
}

void complain(torture *t, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (t->complaints++ < COMPLAINTS)
        (void)printf("seed %llu, round %u: %s\n", (unsigned long long)t->seed, t->round, text);
}

/* --- what clients do -------------------------------------------------------------------------------- */

static void act_message(client *c)
{
    torture *t = c->t;
    char name[16], resource[16] = "", body[1200];
    const unsigned to = roll(t, 8) ? neighbour(c->account, roll(t, NEIGHBOURS)) : c->account;
    const int device = roll(t, 3) ? -1 : (int)roll(t, DEVICES);
    const uint32_t kind = roll(t, 10), length = roll(t, 12) ? roll(t, 60) : roll(t, 1000);
    static const char *const types[] = {"chat", "normal", "headline"};
    const unsigned type = kind < 6 ? 0 : kind < 9 ? 1 : 2;
    if (device >= 0) (void)snprintf(resource, sizeof resource, "/r%d", device);
    memset(body, 'x', length);
    body[length] = 0;
    const uint32_t number = model_message(c, to, device, types[type][0]);
    say(c, "<message type='%s' id='m%u' to='%s@%s%s'><body>%u %s</body></message>", types[type], number,
        name_of(to, name), domain_of(to), resource, number, body);
}

static void act_subscription(client *c)
{
    char name[16];
    const unsigned to = neighbour(c->account, roll(c->t, NEIGHBOURS));
    const uint32_t kind = roll(c->t, 20);
    say(c, "<presence type='%s' to='%s@%s'/>",
        kind < 9 ? "subscribe" : kind < 13 ? "subscribed" : kind < 17 ? "unsubscribe" : "unsubscribed",
        name_of(to, name), domain_of(to));
}

static void act_roster(client *c)
{
    char name[16], rest[40];
    const uint32_t number = ask(c, -1, false, false);
    const unsigned of = neighbour(c->account, roll(c->t, NEIGHBOURS));
    if (!number) return;
    if (roll(c->t, 2))
        (void)snprintf(rest, sizeof rest, "subscription='remove'");
    else
        (void)snprintf(rest, sizeof rest, "name='n%u'", roll(c->t, 1000));
    say(c, "<iq type='set' id='q%u'><query xmlns='jabber:iq:roster'><item jid='%s@%s' %s/></query></iq>", number,
        name_of(of, name), domain_of(of), rest);
}

static void act_directed(client *c)
{
    char name[16], resource[16] = "";
    const unsigned slot = roll(c->t, NEIGHBOURS), to = neighbour(c->account, slot);
    const bool available = roll(c->t, 3) > 0;
    if (roll(c->t, 2)) (void)snprintf(resource, sizeof resource, "/r%u", roll(c->t, DEVICES));
    say(c, "<presence%s to='%s@%s%s'/>", available ? "" : " type='unavailable'", name_of(to, name), domain_of(to),
        resource);
    if (available)
        c->directed[slot] = true;
    else
        c->muted[slot] = true;
}

static void act_probe(client *c)
{
    char name[16];
    const unsigned to = neighbour(c->account, roll(c->t, NEIGHBOURS));
    say(c, "<presence type='probe' to='%s@%s'/>", name_of(to, name), domain_of(to));
}

static void act_iq(client *c)
{
    char name[16];
    const unsigned to = neighbour(c->account, roll(c->t, NEIGHBOURS)), device = roll(c->t, DEVICES);
    const uint32_t kind = roll(c->t, 4);
    if (kind == 0) {
        model_ask_roster(c);
        return;
    }
    const uint32_t number = ask(c, kind == 3 ? (int)to : -1, false, false);
    if (!number) return;
    if (kind == 1)
        say(c, "<iq type='get' id='q%u' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", number, domain_of(c->account));
    else if (kind == 2)
        say(c,
            "<iq type='get' id='q%u' to='%s@%s'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>", number,
            name_of(to, name), domain_of(to));
    else
        say(c, "<iq type='get' id='q%u' to='%s@%s/r%u'><query xmlns='urn:torture'/></iq>", number, name_of(to, name),
            domain_of(to), device);
}

static void act_kick(client *c)
{
    char name[16], jid[64];
    (void)snprintf(jid, sizeof jid, "%s@%s/r%u", name_of(c->account, name), domain_of(c->account), c->device);
    sv_session *session = svi_session_find(c->t->server, sv_str_of(jid));
    if (session) svi_session_kick(session, "policy-violation");
}

static void act_bound(client *c)
{
    const uint32_t what = roll(c->t, 100);
    if (what < 26) act_message(c);
    else if (what < 35) model_available(c, roll(c->t, 4) ? (int)roll(c->t, 10) : -1);
    else if (what < 39) model_unavailable(c);
    else if (what < 62) act_subscription(c);
    else if (what < 67) act_roster(c);
    else if (what < 72) act_directed(c);
    else if (what < 75) act_probe(c);
    else if (what < 85) act_iq(c);
    else if (what < 90) client_vanish(c);
    else if (what < 93) client_leave(c);
    else if (what < 96) c->deaf = !c->deaf;
    else if (what < 97) act_kick(c);
}

static void act(torture *t, uint32_t hot)
{
    const uint32_t account = roll(t, 4) ? (hot + roll(t, HOT)) % ACCOUNTS : roll(t, ACCOUNTS);
    client *c = &t->clients[account * DEVICES + roll(t, DEVICES)];
    if (c->phase == OFF) client_connect(c);
    else if (c->phase == BOUND) act_bound(c);
    else if (roll(t, 10) == 0) client_vanish(c);
}

/* --- one seed ------------------------------------------------------------------------------------------ */

static void listen_all(torture *t)
{
    for (unsigned i = 0; i < CLIENTS; i++) t->clients[i].deaf = false;
    settle(t);
}

static void play_round(torture *t, const options *o)
{
    const uint32_t hot = roll(t, ACCOUNTS);
    t->round++;
    for (int64_t i = 0; i < o->steps; i++) {
        act(t, hot);
        if (o->calm) settle(t);
        else stir(t);
    }
    if (roll(t, 2)) pass_time(t, (int64_t)roll(t, 20) * 1000000);
    listen_all(t);
    model_check_quiet(t);
}

static void all_leave(torture *t)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (roll(t, 2)) client_leave(&t->clients[i]);
        else client_vanish(&t->clients[i]);
    }
    settle(t);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (t->clients[i].phase != OFF) complain(t, "u%03u/r%u is not closed", i / DEVICES, i % DEVICES);
    if (svi_session_count(t->server)) complain(t, "%zu sessions are left", svi_session_count(t->server));
}

/* A device of each account takes what was kept. */
static void all_read(torture *t)
{
    t->round++;
    for (unsigned i = 0; i < CLIENTS; i += DEVICES) client_connect(&t->clients[i]);
    settle(t);
    for (unsigned i = 0; i < CLIENTS; i += DEVICES)
        if (t->clients[i].phase == BOUND) model_available(&t->clients[i], 1);
        else complain(t, "u%03u can't log in", i / DEVICES);
    settle(t);
    model_check_quiet(t);
    model_check_messages(t);
    for (unsigned i = 0; i < 2; i++)
        if (world_owners(t, t->messages_kept[i])) complain(t, "messages are left on %s", domain_of(i));
}

/* Accounts are made, live, and are deleted: nothing of them may remain. */
static void live_once(torture *t, const options *o)
{
    if (!world_make_accounts(t)) complain(t, "accounts can't be made");
    for (int64_t i = 0; i < o->rounds; i++) play_round(t, o);
    all_leave(t);
    all_read(t);
    all_leave(t);
    world_delete_accounts(t);
    for (unsigned i = 0; i < 2; i++) {
        if (world_owners(t, t->rosters[i])) complain(t, "rosters are left on %s", domain_of(i));
        if (world_owners(t, t->requests[i])) complain(t, "requests are left on %s", domain_of(i));
    }
    pass_time(t, 86400000000); /* caches and what is remembered of addresses */
}

/* What is kept for use again (spare events, tables that grew) is there after a first life; a second one may leave
 * nothing but the name of each deleted account (xmpp_removal.c), as a copy and as the key of a table. The numbers of
 * allocations are compared: tables may be larger. To the store's cache belongs what it likes, unless it is cold. */
static void live_twice(torture *t, const options *o)
{
    live_once(t, o);
    const int64_t count = atomic_load(&t->core.live_count), bytes = atomic_load(&t->core.live_bytes);
    live_once(t, o);
    const int64_t more = atomic_load(&t->core.live_count) - count - 2 * (int64_t)ACCOUNTS;
    if (more > SPARE + (o->cold ? 0 : CACHED)) complain(t, "%lld allocations more are left than after the first life", (long long)more);
    if (atomic_load(&t->core.live_bytes) > bytes + SPARE_BYTES)
        complain(t, "%lld bytes are left, %lld were after the first life",
                 (long long)atomic_load(&t->core.live_bytes), (long long)bytes);
}

static bool run_seed(const options *o, uint64_t seed, uint64_t *hash_out)
{
    torture *t = calloc(1, sizeof *t);
    if (!t) return false;
    t->core.name = "server", t->disk_memory.name = "disk", t->peers.name = "peers";
    t->seed = seed;
    t->dice = seed * 0x9e3779b97f4a7c15u | 1;
    t->watch = (int)o->watch;
    t->module_dir = o->modules;
    t->cold = o->cold;
    for (unsigned i = 0; i < CLIENTS; i++) {
        t->clients[i].t = t;
        t->clients[i].account = i / DEVICES;
        t->clients[i].device = i % DEVICES;
    }
    bool ok = world_start(t);
    if (!ok) (void)printf("the server does not start: %s\n", t->problem);
    if (ok) {
        live_twice(t, o);
        (void)printf("seed %llu: %u messages, %llu stanzas received, trace %016llx\n", (unsigned long long)seed,
                     t->message_count, (unsigned long long)t->received, (unsigned long long)t->hash);
        if (t->problem[0]) complain(t, "%s", t->problem);
        ok = t->complaints == 0;
    }
    if (t->complaints) (void)printf("seed %llu failed: %d complaints\n", (unsigned long long)seed, t->complaints);
    *hash_out = t->hash;
    world_stop(t);
    free(t);
    return ok;
}

/* --- the program ----------------------------------------------------------------------------------------- */

/* modules/ beside the folder of the build that this program lies in: build/KIND/tests/torture/torture */
static const char *default_modules(char path[4200])
{
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return "modules";
    self[n] = 0;
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(self, '/');
        if (slash) *slash = 0;
    }
    (void)snprintf(path, 4200, "%s/modules", self);
    return path;
}

static bool read_options(int argc, char **argv, options *o)
{
    static const struct option known[] = {{"modules", 1, NULL, 'm'}, {"seed", 1, NULL, 's'},  {"seeds", 1, NULL, 'n'},
                                          {"rounds", 1, NULL, 'r'},  {"steps", 1, NULL, 'p'}, {"watch", 1, NULL, 'w'},
                                          {"twice", 0, NULL, '2'}, {"cold", 0, NULL, 'c'}, {"calm", 0, NULL, 'q'},   {"verbose", 0, NULL, 'v'}, {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        int64_t *number = c == 's'   ? &o->seed
                          : c == 'n' ? &o->seeds
                          : c == 'r' ? &o->rounds
                          : c == 'p' ? &o->steps
                          : c == 'w' ? &o->watch
                                     : NULL;
        if (c == 'm') o->modules = optarg;
        else if (c == '2') o->twice = true;
        else if (c == 'v') o->verbose = true;
        else if (c == 'c') o->cold = true;
        else if (c == 'q') o->calm = true;
        else if (!number || svi_str_int(sv_str_of(optarg), 0, INT64_MAX, number) != SV_OK) return false;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    char path[4200];
    options o = {.seed = 1, .seeds = 1, .rounds = 6, .steps = 1500, .watch = -1};
    o.modules = default_modules(path);
    if (!read_options(argc, argv, &o)) {
        (void)fprintf(stderr, "usage: torture [--seed N] [--seeds N] [--rounds N] [--steps N] [--twice] [--cold] [--calm] "
                              "[--watch ACCOUNT] [--verbose] [--modules DIR]\n");
        return 2;
    }
    svi_log_setup(o.verbose ? SV_DEBUG : SV_ERROR, SVI_LOG_TEXT, NULL, NULL, svi_plat_kernel()->wall_us,
                  svi_plat_kernel()->ctx);
    int failed = 0;
    for (int64_t i = 0; i < o.seeds; i++) {
        uint64_t hash, again;
        const uint64_t seed = (uint64_t)(o.seed + i);
        bool ok = run_seed(&o, seed, &hash);
        if (ok && o.twice) {
            ok = run_seed(&o, seed, &again) && again == hash;
            if (again != hash) (void)printf("seed %llu does not repeat itself\n", (unsigned long long)seed);
        }
        if (!ok) failed++;
        (void)fflush(stdout);
    }
    return failed ? 1 : 0;
}
