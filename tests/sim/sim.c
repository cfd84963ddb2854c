/* sim: plays seeds; exit status 0 if all that must hold did. A failure names its seed and the fewest actions found that fail. */
#include "sim.h"

#include "base/base_log.h"
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SPARE 30          /* events, arena blocks kept for use again that the first life did not need */
#define CACHED 400        /* rows in the store's cache, which the first life did not ask for */
#define SPARE_BYTES 200000 /* the same, and tables of twice the size */
#define ACTIONS_MAX (1u << 20)
#define TRY_S 100 /* a try that takes longer has failed in some other way */

enum { FOR_ACTION = 1, FOR_STIRRING, FOR_ROUND, FOR_LEAVING };

typedef struct options {
    const char *modules;
    int64_t seed, seeds, rounds, steps, watch, seconds, shrink_s;
    bool twice, verbose, cold, calm, peace, counts, is_random;
    uint32_t *only;
    size_t only_count;
} options;

/* What a process that plays leaves to the one that began it. */
typedef struct outcome {
    uint64_t hash;
    uint32_t actions;
    bool has_ended; /* it did not crash */
    char complaint[200]; /* the first one's format */
    uint64_t counts[COUNTED_ALL];
    uint8_t done[ACTIONS_MAX / 8];
} outcome;

/* --- dice and complaints ------------------------------------------------------------------------------ */

uint32_t roll_of(uint64_t *dice, uint32_t sides)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 7;
    *dice ^= *dice << 17;
    return (uint32_t)(*dice >> 33) % sides;
}

uint32_t roll(sim *t, uint32_t sides)
{
    return roll_of(&t->dice, sides);
}

uint64_t dice_for(const sim *t, uint64_t number, uint64_t purpose)
{
    uint64_t x = t->seed * 0x9e3779b97f4a7c15u + number * 0xbf58476d1ce4e5b9u + purpose * 0x94d049bb133111ebu;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) | 1;
}

void complain(sim *t, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!t->first_complaint) {
        t->first_complaint = format;
        if (t->outcome_complaint) (void)snprintf(t->outcome_complaint, sizeof((outcome *)0)->complaint, "%s", format);
    }
    if (t->complaints++ < COMPLAINTS)
        (void)printf("seed %llu, round %u, action %u: %s\n", (unsigned long long)t->seed, t->round, t->action, text);
}

void tell(sim *t, const char *format, ...)
{
    va_list args;
    if (t->done && t->action < t->done_max) t->done[t->action / 8] |= (uint8_t)(1u << t->action % 8);
    if (!t->tells) return;
    (void)printf("%8u  ", t->action);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)printf("\n");
}

void met(sim *t, counted what)
{
    if (t->counts) t->counts[what]++;
}

/* --- one run ------------------------------------------------------------------------------------------- */

static bool is_over(const sim *t)
{
    return t->stops && t->complaints > 0;
}

/* Actions are asked for in order. */
static bool is_played(sim *t, uint32_t action)
{
    if (!t->only) return true;
    while (t->only_count > 0 && *t->only < action) t->only++, t->only_count--;
    return t->only_count > 0 && *t->only == action;
}

static void play_round(sim *t, const options *o)
{
    t->round++;
    uint64_t dice = dice_for(t, t->round, FOR_ROUND);
    const uint32_t hot = roll_of(&dice, ACCOUNTS);
    for (int64_t i = 0; i < o->steps && !is_over(t); i++) {
        t->action++;
        t->dice = dice_for(t, t->action, FOR_ACTION);
        uint64_t stirring = dice_for(t, t->action, FOR_STIRRING);
        if (is_played(t, t->action)) act(t, hot);
        if (o->calm) settle(t);
        else stir(t, &stirring);
    }
    if (is_over(t)) return;
    if (roll_of(&dice, 2)) pass_time(t, (int64_t)roll_of(&dice, 20) * 1000000);
    world_calm(t);
    pass_time(t, 5000000); /* what is deleted, announced and handed over in portions */
    model_check_quiet(t);
}

static void all_leave(sim *t)
{
    if (is_over(t)) return;
    for (unsigned i = 0; i < CLIENTS; i++) {
        uint64_t dice = dice_for(t, (uint64_t)t->round << 32 | i, FOR_LEAVING);
        if (roll_of(&dice, 2) && t->clients[i].phase == BOUND) client_leave(&t->clients[i]);
        else client_vanish(&t->clients[i]);
    }
    settle(t);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (t->clients[i].phase != OFF) complain(t, "u%03u/r%u is not closed", i / DEVICES, i % DEVICES);
    if (svi_session_count(server_of(t))) complain(t, "%zu sessions are left", svi_session_count(server_of(t)));
}

/* A device of each account takes what was kept. */
static void all_read(sim *t)
{
    t->round++;
    if (is_over(t)) return;
    world_enable_accounts(t);
    for (unsigned i = 0; i < CLIENTS; i += DEVICES) {
        t->dice = dice_for(t, (uint64_t)t->round << 32 | i, FOR_ROUND);
        if (t->accounts[i / DEVICES].exists) client_connect(&t->clients[i]);
    }
    settle(t);
    for (unsigned i = 0; i < CLIENTS; i += DEVICES)
        if (t->clients[i].phase == BOUND) model_available(&t->clients[i], 1);
        else if (t->accounts[i / DEVICES].exists) complain(t, "u%03u can't log in", i / DEVICES);
    pass_time(t, 5000000);
    model_check_quiet(t);
    model_check_messages(t);
    for (unsigned i = 0; i < HOSTS; i++)
        if (world_owners(t, t->kept[i])) complain(t, "messages are left on %s", domain_of_host(i));
}

static void check_nothing_is_left(sim *t)
{
    met(t, HELD_EMPTY);
    for (unsigned i = 0; i < HOSTS; i++) {
        if (world_owners(t, t->rosters[i])) complain(t, "rosters are left on %s", domain_of_host(i));
        if (world_owners(t, t->requests[i])) complain(t, "requests are left on %s", domain_of_host(i));
        if (world_owners(t, t->blocked[i])) complain(t, "blocks are left on %s", domain_of_host(i));
        if (world_owners(t, t->elements[i])) complain(t, "private elements are left on %s", domain_of_host(i));
        if (world_owners(t, t->archived[i])) complain(t, "archives are left on %s", domain_of_host(i));
        if (world_owners(t, t->bodies[i])) complain(t, "bodies that nobody has are left on %s", domain_of_host(i));
    }
}

/* What the memory of a life is measured by begins with a new server in each, and no other one comes. */
static void begin_last_round(sim *t)
{
    if (t->has_faults) {
        world_usual(t);
        world_restart(t, false);
    }
    t->is_last_round = true;
}

/* Accounts are made, live, and are deleted: nothing of them may remain. */
static void live_once(sim *t, const options *o)
{
    if (is_over(t)) return;
    if (!world_make_accounts(t)) complain(t, "accounts can't be made");
    t->is_last_round = false;
    for (int64_t i = 0; i < o->rounds && !is_over(t); i++) {
        if (i == o->rounds - 1) begin_last_round(t);
        play_round(t, o);
    }
    all_leave(t);
    all_read(t);
    all_leave(t);
    if (is_over(t)) return;
    world_usual(t);
    world_delete_accounts(t);
    check_nothing_is_left(t);
    pass_time(t, 3600000000); /* caches and what is remembered of addresses */
    world_renew_scripts(t);
    pass_time(t, 5000000);
}

/* What is kept for use again (spare events, tables that grew) is there after a first life; a second one may leave
 * nothing but the name of each deleted account (xmpp_removal.c), as a copy and as the key of a table. The numbers of
 * allocations are compared: tables may be larger. To the store's cache belongs what it likes, unless it is cold. */
static void live_twice(sim *t, const options *o)
{
    live_once(t, o);
    const int64_t count = atomic_load(&t->core.live_count), bytes = atomic_load(&t->core.live_bytes);
    live_once(t, o);
    if (is_over(t)) return;
    met(t, HELD_LIFE_MEMORY);
    const int64_t more = atomic_load(&t->core.live_count) - count - 2 * (int64_t)ACCOUNTS;
    if (more > SPARE + (o->cold ? 0 : CACHED)) complain(t, "%lld allocations more are left than after the first life", (long long)more);
    if (atomic_load(&t->core.live_bytes) > bytes + SPARE_BYTES)
        complain(t, "%lld bytes are left, %lld were after the first life",
                 (long long)atomic_load(&t->core.live_bytes), (long long)bytes);
}

static sim *new_sim(const options *o, uint64_t seed, outcome *out)
{
    sim *t = calloc(1, sizeof *t);
    SV_ASSERT(t != NULL);
    t->core.name = "server", t->peers.name = "peers";
    t->seed = seed;
    t->watch = (int)o->watch;
    t->module_dir = o->modules;
    t->cold = o->cold;
    t->has_faults = !o->peace;
    t->done = out->done;
    t->done_max = ACTIONS_MAX;
    t->counts = out->counts;
    t->outcome_complaint = out->complaint;
    t->only = o->only;
    t->only_count = o->only_count;
    t->tells = o->only != NULL;
    for (unsigned i = 0; i < CLIENTS; i++) {
        t->clients[i].t = t;
        t->clients[i].account = i / DEVICES;
        t->clients[i].device = i % DEVICES;
    }
    return t;
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool play(const options *o, uint64_t seed, bool stops, outcome *out)
{
    sim *t = new_sim(o, seed, out);
    const int64_t begun_ms = now_ms();
    t->stops = stops;
    if (world_start(t)) live_twice(t, o);
    else complain(t, "the server does not start: %s", svi_stage_problem(t->stage));
    const int64_t took_ms = now_ms() - begun_ms + 1;
    (void)printf("seed %llu: %u actions (%lld a second), %u messages, %llu stanzas received, %u kills, %u starts, trace %016llx\n",
                 (unsigned long long)seed, t->action, (long long)t->action * 1000 / took_ms, t->message_count,
                 (unsigned long long)t->received, t->kills, t->starts, (unsigned long long)t->hash);
    if (t->complaints) (void)printf("seed %llu failed: %d complaints\n", (unsigned long long)seed, t->complaints);
    const bool ok = t->complaints == 0;
    out->hash = t->hash;
    out->actions = t->action;
    out->has_ended = true;
    world_stop(t);
    if (atomic_load(&t->core.live_count) && ok) {
        (void)printf("seed %llu: the server has ended and left %lld allocations\n", (unsigned long long)seed,
                     (long long)atomic_load(&t->core.live_count));
        return false;
    }
    free(t);
    return ok;
}

/* --- processes ------------------------------------------------------------------------------------------- */

/* Plays in a process of its own, which may crash; its status. */
static int play_apart(const options *o, uint64_t seed, bool stops, bool is_silent, outcome *out)
{
    int status = 0;
    memset(out, 0, sizeof *out);
    (void)fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        if (is_silent && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))) _exit(9);
        if (is_silent) (void)alarm(TRY_S);
        const bool ok = play(o, seed, stops, out);
        (void)fflush(stdout);
        exit(ok ? 0 : 1);
    }
    (void)waitpid(pid, &status, 0);
    return status;
}

typedef struct hunt {
    options how;
    uint64_t seed;
    int status; /* of the run that failed */
    bool has_ended;
    char complaint[200];
    outcome *out;
} hunt;

static bool fails_alike(void *ctx, const uint32_t *actions, size_t count)
{
    hunt *h = ctx;
    h->how.only = (uint32_t *)(uintptr_t)actions;
    h->how.only_count = count;
    const int status = play_apart(&h->how, h->seed, true, true, h->out);
    if (status != h->status || h->out->has_ended != h->has_ended) return false;
    return !h->has_ended || strcmp(h->out->complaint, h->complaint) == 0;
}

static void print_command(const options *o, uint64_t seed, const uint32_t *actions, size_t count)
{
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    (void)printf("%s --seed %llu --rounds %lld --steps %lld%s%s%s --only ", self, (unsigned long long)seed, (long long)o->rounds,
                 (long long)o->steps, o->cold ? " --cold" : "", o->calm ? " --calm" : "", o->peace ? " --peace" : "");
    for (size_t i = 0; i < count; i++) (void)printf("%s%u", i ? "," : "", actions[i]);
    (void)printf("\n");
}

/* Looks for the fewest actions that fail in the same way, and prints them. */
static void hunt_down(const options *o, uint64_t seed, int status, outcome *out)
{
    hunt h = {.how = *o, .seed = seed, .status = status, .has_ended = out->has_ended, .out = out};
    uint32_t *actions = calloc(ACTIONS_MAX, sizeof *actions);
    size_t count = 0;
    SV_ASSERT(actions != NULL);
    (void)snprintf(h.complaint, sizeof h.complaint, "%s", out->complaint);
    for (uint32_t i = 1; i < ACTIONS_MAX; i++)
        if (out->done[i / 8] & 1u << i % 8) actions[count++] = i;
    const size_t all = count;
    count = shrink(actions, count, fails_alike, &h, o->shrink_s);
    (void)printf("\nseed %llu fails with %zu of its %zu actions:\n", (unsigned long long)seed, count, all);
    h.how.only = actions;
    h.how.only_count = count;
    (void)play_apart(&h.how, seed, true, false, out);
    (void)printf("\nonce more: ");
    print_command(o, seed, actions, count);
    free(actions);
}

static bool run_seed(const options *o, uint64_t seed, uint64_t counts[COUNTED_ALL])
{
    outcome *out = mmap(NULL, sizeof *out, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    SV_ASSERT(out != MAP_FAILED);
    const int status = play_apart(o, seed, o->only != NULL, false, out);
    bool ok = status == 0;
    if (!ok) (void)printf("seed %llu failed%s\n", (unsigned long long)seed, out->has_ended ? "" : ": it crashed");
    if (!ok && !o->only && o->shrink_s > 0) hunt_down(o, seed, status, out);
    if (ok && o->twice) {
        const uint64_t hash = out->hash;
        ok = play_apart(o, seed, false, false, out) == 0 && out->hash == hash;
        if (out->hash != hash) (void)printf("seed %llu does not repeat itself\n", (unsigned long long)seed);
    }
    for (size_t i = 0; i < COUNTED_ALL; i++) counts[i] += out->counts[i];
    (void)munmap(out, sizeof *out);
    return ok;
}

/* --- counts ----------------------------------------------------------------------------------------------- */

/* Prints what was counted in all seeds; false if something was never met that such runs are to meet. */
static bool print_counts(const uint64_t all[COUNTED_ALL])
{
    static const char *const texts[] = {
#define X(name, text) text,
        COUNTED(X)
#undef X
    };
    bool ok = true;
    for (size_t i = 0; i < COUNTED_ALL; i++) {
        (void)printf("%10llu  %s\n", (unsigned long long)all[i], texts[i]);
        ok &= all[i] > 0;
    }
    if (!ok) (void)printf("what is counted as 0 was never met: such runs do not show that it holds\n");
    return ok;
}

/* --- the program ----------------------------------------------------------------------------------------- */

/* modules/ beside the folder of the build that this program lies in: build/KIND/tests/sim/sim */
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

/* "17,203,441", in order. */
static bool read_only(const char *text, options *o)
{
    sv_str rest = sv_str_of(text);
    o->only = calloc(rest.n + 1, sizeof *o->only);
    while (o->only && rest.n > 0) {
        int64_t number;
        const size_t comma = svi_str_find(rest, ',');
        if (svi_str_int(svi_str_sub(rest, 0, comma), 1, ACTIONS_MAX, &number) != SV_OK) return false;
        if (o->only_count > 0 && o->only[o->only_count - 1] >= (uint32_t)number) return false;
        o->only[o->only_count++] = (uint32_t)number;
        rest = comma < rest.n ? svi_str_sub(rest, comma + 1, rest.n) : SV_STR_NONE;
    }
    return o->only != NULL;
}

static const struct option known[] = {
    {"modules", 1, NULL, 'm'}, {"seed", 1, NULL, 's'},   {"seeds", 1, NULL, 'n'}, {"rounds", 1, NULL, 'r'}, {"steps", 1, NULL, 'p'},
    {"watch", 1, NULL, 'w'},   {"seconds", 1, NULL, 't'}, {"shrink", 1, NULL, 'k'}, {"only", 1, NULL, 'o'},   {"twice", 0, NULL, '2'},
    {"cold", 0, NULL, 'c'},    {"calm", 0, NULL, 'q'},   {"peace", 0, NULL, 'e'}, {"verbose", 0, NULL, 'v'}, {"counts", 0, NULL, 'C'}, {NULL, 0, NULL, 0}};

static int64_t *number_option(options *o, int c)
{
    switch (c) {
    case 's': return &o->seed;
    case 'n': return &o->seeds;
    case 'r': return &o->rounds;
    case 'p': return &o->steps;
    case 'w': return &o->watch;
    case 't': return &o->seconds;
    case 'k': return &o->shrink_s;
    default: return NULL;
    }
}

static bool read_options(int argc, char **argv, options *o)
{
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        int64_t *number = number_option(o, c);
        if (c == 'm') o->modules = optarg;
        else if (c == '2') o->twice = true;
        else if (c == 'v') o->verbose = true;
        else if (c == 'c') o->cold = true;
        else if (c == 'q') o->calm = true;
        else if (c == 'e') o->peace = true;
        else if (c == 'C') o->counts = true;
        else if (c == 's' && strcmp(optarg, "new") == 0) o->is_random = true;
        else if (c == 'o' && read_only(optarg, o)) continue;
        else if (!number || svi_str_int(sv_str_of(optarg), 0, INT64_MAX, number) != SV_OK) return false;
    }
    return optind == argc && 2 * o->rounds * o->steps < ACTIONS_MAX;
}

static int64_t new_seed(void)
{
    uint32_t seed;
    svi_plat_kernel()->random(svi_plat_kernel()->ctx, &seed, sizeof seed);
    return seed;
}

int main(int argc, char **argv)
{
    char path[4200];
    options o = {.seed = 1, .seeds = 1, .rounds = 6, .steps = 1500, .watch = -1, .shrink_s = 60};
    o.modules = default_modules(path);
    if (!read_options(argc, argv, &o)) {
        (void)fprintf(stderr, "usage: sim [--seed N|new] [--seeds N] [--seconds N] [--rounds N] [--steps N] [--only N,N...] "
                              "[--shrink SECONDS] [--twice] [--cold] [--calm] [--peace] [--watch ACCOUNT] [--counts] [--verbose] "
                              "[--modules DIR]\nThe numbers of --only must ascend; a run has less than 1048576 actions.\n");
        return 2;
    }
    if (o.is_random) o.seed = new_seed();
    svi_log_setup(o.verbose ? SV_DEBUG : SV_ERROR, SVI_LOG_TEXT, NULL, NULL, svi_plat_kernel()->wall_us,
                  svi_plat_kernel()->ctx);
    int failed = 0;
    uint64_t counts[COUNTED_ALL] = {0};
    const int64_t end_ms = now_ms() + o.seconds * 1000;
    for (int64_t i = 0; o.seconds ? now_ms() < end_ms && !failed : i < o.seeds; i++) {
        if (!run_seed(&o, (uint64_t)(o.seed + i), counts)) failed++;
        (void)fflush(stdout);
    }
    if (o.counts && !print_counts(counts)) failed++;
    free(o.only);
    return failed ? 1 : 0;
}
