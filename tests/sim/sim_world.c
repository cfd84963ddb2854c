/* The world of a simulation: the stage with three hosts, accounts; its turns. */
#include "sim.h"

#include "xmpp/xmpp_scram_keys.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD "of-the-sim"
#define SALT "salt-of-sim"

/* Two configurations, of which a reload takes the other one. All that a model needs is in both. */
#define USUAL                                                                                      \
    "\"roster\", \"presence\", \"message\", \"offline\", \"archive\", \"blocking\", \"disco\", \"caps\", \"ping\", \"private\", "
#define NO_RATE /* the policy counts, and refuses nobody */                                        \
    "policy_rate_messages_per_minute = 1000000\npolicy_rate_messages_burst = 1000000\n"            \
    "policy_rate_requests_per_minute = 1000000\npolicy_rate_requests_burst = 1000000\n"            \
    "policy_rate_iqs_per_minute = 1000000\npolicy_rate_iqs_burst = 1000000\n"
static const svi_stage_host configurations[2][HOSTS] = {
    {{"localhost", "modules_enabled = { " USUAL "\"last\", \"motd\", \"announce\", \"version\", \"time\", \"welcome\", \"outage\", "
                   "\"contact\" }\n"},
     {"other.localhost", "modules_enabled = { " USUAL "\"last\", \"announce\", \"policy-invite\" }\n"},
     {"third.localhost", "modules_enabled = { \"groups\", \"roster\", \"presence\", \"message\", \"offline\", \"disco\", \"ping\", "
                         "\"policy-rate\", \"policy-words\" }\n"
                         "groups_list = { \"Alone: u002@third.localhost=Two\" }\n" NO_RATE}},
    {{"localhost", "modules_enabled = { \"time\", " USUAL "\"announce\", \"motd\", \"last\", \"version\" }\n"
                   "offline_max_messages = 2000\n"},
     {"other.localhost", "modules_enabled = { \"policy-words\", " USUAL "\"announce\", \"welcome\" }\n"
                         "policy_words_words = { \"casino\" }\n"},
     {"third.localhost", "modules_enabled = { \"roster\", \"presence\", \"message\", \"offline\", \"disco\", \"ping\", \"private\", "
                         "\"policy-rate\" }\n" NO_RATE}},
};

/* Bounds that all clients of one address and a clock that stands still don't meet; small queues. */
static svi_limits limits_of_world(void)
{
    svi_limits l = svi_limits_default();
    l.rate = l.stranger_rate = 0;
    l.connects_per_address = 0;
    l.strangers = l.strangers_per_address = 2 * CLIENTS;
    l.queue_soft_bytes = 16 * 1024;
    l.queue_hard_bytes = 64 * 1024;
    return l;
}

svi_server *server_of(const sim *t)
{
    return svi_stage_server(t->stage);
}

svi_host *world_host(const sim *t, unsigned host)
{
    return svi_host_known(server_of(t), sv_str_of(domain_of_host(host)));
}

static bool open_maps(sim *t, sv_err *err)
{
    static const char *const names[] = {"roster/items", "presence/requests", "offline/messages", "blocking/list",
                                        "private/elements", "archive/messages", "archive/messages-bodies"};
    svi_map **maps[] = {t->rosters, t->requests, t->kept, t->blocked, t->elements, t->archived, t->bodies};
    for (unsigned i = 0; i < HOSTS; i++)
        for (unsigned k = 0; k < sizeof names / sizeof *names; k++) {
            char name[64];
            (void)snprintf(name, sizeof name, "%s/%s", domain_of_host(i), names[k]);
            if (svi_store_map(svi_server_store(server_of(t)), sv_str_of(name), 1, &maps[k][i], err) != SV_OK)
                return false;
        }
    return true;
}

static bool derive(sim *t)
{
    uint8_t salted[32];
    (void)PKCS5_PBKDF2_HMAC(PASSWORD, sizeof PASSWORD - 1, (const uint8_t *)SALT, sizeof SALT - 1, 4096,
                            EVP_sha256(), 32, salted);
    const svi_scram_hash *hash = svi_scram_hash_find(SV_STR("SCRAM-SHA-256"));
    svi_scram_hmac(hash, salted, 32, SV_STR("Client Key"), t->client_key);
    svi_scram_digest(hash, t->client_key, 32, t->stored_key);
    return svi_scram_derive("SCRAM-SHA-256", SV_STR(PASSWORD), SV_STR(SALT), 4096, &t->keys) == SV_OK;
}

/* A server that has ended, however it did, has given all back. */
static void check_memory(sim *t)
{
    const int64_t count = atomic_load(&t->core.live_count), bytes = atomic_load(&t->core.live_bytes);
    if (count) complain(t, "the server has ended and left %lld allocations (%lld bytes)", (long long)count, (long long)bytes);
}

/* The server begins on what is stored. */
static bool begin(sim *t)
{
    sv_err err = {.text = ""};
    if (!svi_stage_start(t->stage)) return false;
    svi_engine_sim_plan(svi_stage_engine(t->stage))->hold = true;
    if (!open_maps(t, &err)) complain(t, "%s", err.text);
    t->starts++;
    return !err.text[0];
}

bool world_start(sim *t)
{
    t->limits = limits_of_world();
    const svi_stage_config config = {.core = &t->core,
                                     .peers = &t->peers,
                                     .paths = &t->module_dir,
                                     .path_count = 1,
                                     .seed = t->seed,
                                     .limits = &t->limits,
                                     .cache_bytes = t->cold ? 1 : 0,
                                     .hosts = configurations[0],
                                     .host_count = HOSTS,
                                     .window_bytes = 4096}; /* so that a deaf client is felt soon */
    t->stage = svi_stage_new(&config);
    return derive(t) && begin(t);
}

void world_stop(sim *t)
{
    for (unsigned i = 0; i < CLIENTS; i++) client_free(&t->clients[i]);
    for (size_t i = 0; i < GHOSTS; i++)
        if (t->ghosts[i].c) t->ghosts[i].link->ops->close(t->ghosts[i].link);
    svi_stage_free(&t->stage);
    svi_free(t->messages);
}

static bool pump_all(sim *t)
{
    bool any = false;
    unsigned left = t->linked;
    for (unsigned i = 0; i < CLIENTS && left > 0; i++) {
        if (!t->clients[i].link) continue;
        left--;
        any |= client_pump(&t->clients[i]);
    }
    return any;
}

/* In order, all that clients who read were sent is there. */
static void end_in_order(sim *t)
{
    for (unsigned i = 0; i < CLIENTS; i++) t->clients[i].deaf = false;
    svi_server_drain(server_of(t));
    world_rest(t);
    svi_stage_stop(t->stage);
}

void world_restart(sim *t, bool is_kill)
{
    if (is_kill) {
        svi_stage_kill(t->stage);
        model_killed(t);
    } else {
        end_in_order(t);
    }
    for (size_t i = 0; i < GHOSTS; i++)
        if (t->ghosts[i].c) ghost_end(&t->ghosts[i]);
    while (pump_all(t)) {}
    for (unsigned i = 0; i < CLIENTS; i++)
        if (t->clients[i].link) client_vanish(&t->clients[i]);
    met(t, is_kill ? HELD_KILL_MEMORY : HELD_END_MEMORY);
    check_memory(t);
    if (!begin(t)) complain(t, "the server does not start again: %s", svi_stage_problem(t->stage));
}

void world_reconfigure(sim *t)
{
    t->renewed_in = t->round;
    svi_stage_host *hosts = t->served[t->taken_over++ % 2]; /* the stage keeps those that were handed to it last */
    size_t count = 0;
    svi_buf why;
    svi_buf_init(&why, &t->peers);
    for (unsigned i = 0; i < HOSTS; i++)
        if (!t->is_gone[i]) hosts[count++] = configurations[t->configured % 2][i];
    if (!svi_stage_reconfigure(t->stage, hosts, count, &why))
        complain(t, "the configuration is refused: %.*s", (int)why.len, why.len ? why.data : "");
    svi_buf_free(&why);
}

void world_usual(sim *t)
{
    if (t->configured % 2 == 0) return;
    t->configured++;
    world_reconfigure(t);
}

static void note_refusal(void *ctx, const char *file, int line, const char *text)
{
    (void)file, (void)line;
    complain(ctx, "a reload is refused: %s", text);
}

static bool is_enabled(const sim *t, sv_str module)
{
    svi_mod_info info;
    for (size_t i = 0; svi_mods_info(svi_stage_mods(t->stage), i, &info); i++)
        if (sv_str_eq(sv_str_of(info.name), module)) return true;
    return false;
}

void world_reload(sim *t, sv_str module)
{
    if (!is_enabled(t, module)) return;
    if (sv_str_eq(module, SV_STR("offline"))) t->renewed_in = t->round;
    const svi_mods_reloading how = {.names = &module, .count = 1, .report = note_refusal, .report_ctx = t};
    svi_mods_reloaded reloaded;
    (void)svi_mods_reload(svi_stage_mods(t->stage), &how, &reloaded);
}

void world_renew_scripts(sim *t)
{
    char last[64] = "";
    svi_mod_info info;
    for (size_t i = 0; svi_mods_info(svi_stage_mods(t->stage), i, &info); i++) {
        if (!info.is_script) continue;
        (void)snprintf(last, sizeof last, "%s", info.name);
        world_reload(t, sv_str_of(last));
    }
}

/* --- turns -------------------------------------------------------------------------------------- */

static bool turn_once(sim *t, size_t jobs)
{
    bool any = svi_link_pairs_run(svi_stage_links(t->stage)) > 0;
    any |= svi_server_turn(server_of(t));
    if (jobs) any |= svi_engine_sim_step(svi_stage_engine(t->stage), jobs) > 0;
    return pump_all(t) || any;
}

void settle(sim *t)
{
    for (int rounds = 0; turn_once(t, 64); rounds++) SV_ASSERT(rounds < 1000000); /* it never comes to rest */
}

void world_rest(sim *t)
{
    do settle(t);
    while (svi_stage_pass_owed(t->stage));
}

void stir(sim *t, uint64_t *dice)
{
    for (uint32_t n = roll_of(dice, 4); n > 0; n--)
        (void)turn_once(t, roll_of(dice, 3) == 0 ? 1 + roll_of(dice, 8) : 0);
    if (roll_of(dice, 50) == 0) svi_plat_virtual_advance(svi_stage_plat(t->stage), roll_of(dice, 300000));
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void pass_time(sim *t, int64_t us)
{
    svi_plat_virtual *plat = svi_stage_plat(t->stage);
    const int64_t end = plat->now_us + us;
    settle(t);
    while (plat->now_us < end) {
        const int64_t due = least(svi_server_due_us(server_of(t)), least(svi_link_pairs_due_us(svi_stage_links(t->stage)),
                                                                         svi_engine_sim_due_us(svi_stage_engine(t->stage))));
        const int64_t next = due < end ? (due > plat->now_us ? due : plat->now_us + 1) : end;
        svi_plat_virtual_advance(plat, next - plat->now_us);
        settle(t);
    }
}

void world_calm(sim *t)
{
    static const svi_link_nature prompt = {.late_min_us = 0};
    svi_stage_set_network(t->stage, &prompt);
    svi_stage_set_disk_late(t->stage, 0, 0);
    svi_stage_fill_disk(t->stage, false);
    svi_engine_sim_plan(svi_stage_engine(t->stage))->fail_read = 0;
    for (unsigned i = 0; i < HOSTS; i++)
        if (t->is_gone[i]) world_host_changes(t, i, false);
    for (unsigned i = 0; i < CLIENTS; i++) t->clients[i].deaf = false;
    world_rest(t);
    for (size_t i = 0; i < GHOSTS; i++)
        if (t->ghosts[i].c) ghost_end(&t->ghosts[i]);
    world_rest(t);
}

void world_host_changes(sim *t, unsigned host, bool is_gone)
{
    t->is_gone[host] = is_gone;
    t->gone_in[host] = t->round;
    world_reconfigure(t);
}

/* --- accounts ------------------------------------------------------------------------------------- */

typedef struct waiting {
    unsigned done;
    sv_status worst;
} waiting;

static void one_done(void *ctx, sv_status status)
{
    waiting *w = ctx;
    w->done++;
    if (status != SV_OK && status != SV_ENOTFOUND) w->worst = status;
}

bool world_make_accounts(sim *t)
{
    waiting w = {.done = 0};
    char name[16];
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        svi_account_set(world_host(t, host_of(i)), sv_str_of(name_of(i, name)), &t->keys, 1, false, one_done, &w);
        model_account_comes(t, i);
        memset(t->accounts[i].is_loose, 0, sizeof t->accounts[i].is_loose);
        memset(t->accounts[i].blocked_in, 0, sizeof t->accounts[i].blocked_in);
    }
    world_rest(t);
    return w.done == ACCOUNTS && w.worst == SV_OK;
}

void world_enable_accounts(sim *t)
{
    waiting w = {.done = 0};
    char name[16];
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        person *a = &t->accounts[i];
        if (!a->is_disabled) continue;
        if (a->exists) svi_account_enable(world_host(t, host_of(i)), sv_str_of(name_of(i, name)), one_done, &w);
        a->is_disabled = false;
        a->is = UNSURE;
    }
    world_rest(t);
}

void world_delete_accounts(sim *t)
{
    waiting w = {.done = 0};
    char name[16];
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        model_account_goes(t, i);
        svi_account_remove(world_host(t, host_of(i)), sv_str_of(name_of(i, name)), one_done, &w);
    }
    for (int rounds = 0; w.done < ACCOUNTS && rounds < 1000; rounds++) pass_time(t, 100000);
    if (w.done < ACCOUNTS || w.worst != SV_OK)
        complain(t, "%u of %u accounts were deleted, worst status %d", w.done, ACCOUNTS, (int)w.worst);
}

/* --- what is stored ------------------------------------------------------------------------------- */

typedef struct loading {
    bool done;
    svi_rows *rows;
    size_t owners;
} loading;

static void rows_done(void *ctx, sv_status status, svi_rows *rows)
{
    loading *l = ctx;
    *l = (loading){.done = true, .rows = status == SV_OK ? rows : NULL};
}

svi_rows *world_rows(sim *t, svi_map *map, sv_str owner)
{
    loading l = {.done = false};
    svi_rows *rows = svi_rows_get(map, owner);
    if (rows) return rows;
    svi_rows_load(map, owner, rows_done, &l);
    settle(t);
    if (!l.rows) complain(t, "rows can't be read");
    return l.rows;
}

static void owners_done(void *ctx, sv_status status, const sv_str *owners, size_t count, bool more)
{
    loading *l = ctx;
    (void)owners, (void)more;
    *l = (loading){.done = status == SV_OK, .owners = count};
}

size_t world_owners(sim *t, svi_map *map)
{
    loading l = {.done = false};
    svi_store_owners(map, SV_STR_NONE, 1000, owners_done, &l);
    settle(t);
    return l.done ? l.owners : SIZE_MAX;
}
