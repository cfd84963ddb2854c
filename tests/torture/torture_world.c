/* The world of a torture: server, modules, disk, accounts; its turns. */
#include "torture.h"

#include "xmpp/xmpp_scram_keys.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULES                                                                                    \
    "\"roster\", \"presence\", \"message\", \"offline\", \"blocking\", \"disco\", \"caps\", \"ping\""
#define PASSWORD "of-the-torture"
#define SALT "salt-of-torture"

static void note_problem(void *ctx, const char *file, int line, const char *text)
{
    torture *t = ctx;
    (void)file;
    if (!t->problem[0]) (void)snprintf(t->problem, sizeof t->problem, "line %d: %s", line, text);
}

static void never_wake(void *ctx)
{
    (void)ctx;
}

static void store_failed(void *ctx, const sv_err *err)
{
    (void)snprintf(((torture *)ctx)->problem, 300, "the store failed: %s", err->text);
}

static bool read_config(torture *t)
{
    static const char text[] =
        "modules_enabled = { " MODULES " }\nVirtualHost \"localhost\"\nVirtualHost \"other.localhost\"\n";
    char path[] = "/tmp/torture-config-XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0) return false;
    const bool ok = write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1 &&
                    svi_config_load(&t->core, path, note_problem, t, &t->config) == SV_OK;
    (void)close(fd);
    (void)unlink(path);
    return ok;
}

/* Bounds that 600 clients of one address and a clock that stands still don't meet; small queues. */
static svi_limits limits(void)
{
    svi_limits l = svi_limits_default();
    l.rate = l.stranger_rate = 0;
    l.strangers_per_address = l.connects_per_address = 0;
    l.strangers_per_address = 2 * CLIENTS;
    l.queue_soft_bytes = 16 * 1024;
    l.queue_hard_bytes = 64 * 1024;
    return l;
}

static bool add_hosts(torture *t, sv_err *err)
{
    for (unsigned i = 0; i < 2; i++) {
        svi_host *host;
        const svi_host_config hc = {.domain = sv_str_of(domain_of(i)), .require_tls = true};
        if (svi_host_add(t->server, &hc, &host, err) != SV_OK) return false;
    }
    return true;
}

static bool open_maps(torture *t, sv_err *err)
{
    static const char *const names[] = {"roster/items", "presence/requests", "offline/messages"};
    svi_map **maps[] = {t->rosters, t->requests, t->messages_kept};
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < 3; k++) {
            char name[64];
            (void)snprintf(name, sizeof name, "%s/%s", domain_of(i), names[k]);
            if (svi_store_map(svi_server_store(t->server), sv_str_of(name), 1, &maps[k][i], err) != SV_OK)
                return false;
        }
    return true;
}

static bool derive(torture *t)
{
    uint8_t salted[32];
    (void)PKCS5_PBKDF2_HMAC(PASSWORD, sizeof PASSWORD - 1, (const uint8_t *)SALT, sizeof SALT - 1, 4096,
                            EVP_sha256(), 32, salted);
    const svi_scram_hash *hash = svi_scram_hash_find(SV_STR("SCRAM-SHA-256"));
    svi_scram_hmac(hash, salted, 32, SV_STR("Client Key"), t->client_key);
    svi_scram_digest(hash, t->client_key, 32, t->stored_key);
    return svi_scram_derive("SCRAM-SHA-256", SV_STR(PASSWORD), SV_STR(SALT), 4096, &t->keys) == SV_OK;
}

bool world_start(torture *t)
{
    sv_err err = {.text = ""};
    svi_plat_virtual_init(&t->plat, t->seed);
    t->pairs = svi_link_pairs_new(&t->peers);
    if (!read_config(t) || !derive(t)) return false;
    t->disk = svi_sim_disk_new(&t->disk_memory);
    t->engine = svi_engine_sim(&t->disk_memory, t->disk);
    const svi_server_config config = {.acct = &t->core,
                                      .plat = &t->plat.plat,
                                      .engine = t->engine,
                                      .limits = limits(),
                                      .salt_secret = SV_STR("torture"),
                                      .wake = never_wake,
                                      .fatal = store_failed,
                                      .store_cache_bytes = t->cold ? 1 : 0,
                                      .ctx = t};
    const svi_listen_config lc = {
        .fd = -1, .mode = SVI_TLS_NONE, .limits = svi_xml_limits_stranger(), .rate = 0};
    if (svi_server_new(&config, &t->server, &err) == SV_OK && add_hosts(t, &err)) {
        const svi_mods_config mc = {.server = t->server,
                                    .config = t->config,
                                    .paths = &t->module_dir,
                                    .path_count = 1,
                                    .report = note_problem,
                                    .report_ctx = t};
        t->mods = svi_mods_new(&t->core, &mc);
        if (svi_mods_start(t->mods) == SV_OK && open_maps(t, &err))
            (void)svi_net_listen(svi_server_net(t->server), &lc, &t->listener, &err);
    }
    if (err.text[0]) note_problem(t, NULL, 0, err.text);
    if (t->problem[0]) return false;
    svi_engine_sim_plan(t->engine)->hold = true;
    settle(t);
    return true;
}

void world_stop(torture *t)
{
    for (unsigned i = 0; i < CLIENTS; i++) client_free(&t->clients[i]);
    if (t->mods) svi_mods_free(&t->mods);
    if (t->server) svi_server_free(&t->server, 0);
    if (t->disk) svi_sim_disk_free(&t->disk);
    if (t->pairs) svi_link_pairs_free(&t->pairs);
    if (t->config) svi_config_free(&t->config);
    svi_free(t->messages);
}

/* --- turns -------------------------------------------------------------------------------------- */

static bool pump_all(torture *t)
{
    bool any = false;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (t->clients[i].link) any |= client_pump(&t->clients[i]);
    return any;
}

void settle(torture *t)
{
    bool again = true;
    for (int rounds = 0; again; rounds++) {
        SV_ASSERT(rounds < 1000000); /* it never comes to rest */
        again = svi_link_pairs_run(t->pairs) > 0;
        again |= svi_server_turn(t->server);
        again |= svi_engine_sim_step(t->engine, 64) > 0;
        again |= pump_all(t);
    }
}

void stir(torture *t)
{
    for (uint32_t n = roll(t, 4); n > 0; n--) {
        (void)svi_link_pairs_run(t->pairs);
        (void)svi_server_turn(t->server);
        if (roll(t, 3) == 0) (void)svi_engine_sim_step(t->engine, 1 + roll(t, 8));
        (void)pump_all(t);
    }
    if (roll(t, 50) == 0) svi_plat_virtual_advance(&t->plat, roll(t, 300000));
}

void pass_time(torture *t, int64_t us)
{
    const int64_t end = t->plat.now_us + us;
    settle(t);
    while (t->plat.now_us < end) {
        const int64_t due = svi_server_due_us(t->server);
        const int64_t next = due < end ? (due > t->plat.now_us ? due : t->plat.now_us + 1) : end;
        svi_plat_virtual_advance(&t->plat, next - t->plat.now_us);
        settle(t);
    }
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
    if (status != SV_OK) w->worst = status;
}

bool world_make_accounts(torture *t)
{
    waiting w = {.done = 0};
    char name[16];
    for (unsigned i = 0; i < ACCOUNTS; i++)
        svi_account_set(svi_host_find(t->server, sv_str_of(domain_of(i))), sv_str_of(name_of(i, name)),
                        &t->keys, 1, false, one_done, &w);
    settle(t);
    return w.done == ACCOUNTS && w.worst == SV_OK;
}

void world_delete_accounts(torture *t)
{
    waiting w = {.done = 0};
    char name[16];
    for (unsigned i = 0; i < ACCOUNTS; i++)
        svi_account_remove(svi_host_find(t->server, sv_str_of(domain_of(i))),
                           sv_str_of(name_of(i, name)), one_done, &w);
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

svi_rows *world_rows(torture *t, svi_map *map, sv_str owner)
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

size_t world_owners(torture *t, svi_map *map)
{
    loading l = {.done = false};
    svi_store_owners(map, SV_STR_NONE, 1000, owners_done, &l);
    settle(t);
    return l.done ? l.owners : SIZE_MAX;
}
