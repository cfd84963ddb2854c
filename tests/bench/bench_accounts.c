/* Makes many accounts at once, straight into a store that no server has open.
 *
 *   bench_accounts STORE-FOLDER DOMAIN COUNT PASSWORD [CONTACTS]
 *
 * They are user000000@DOMAIN and so on, all with one salt and one password: deriving keys 100,000 times would take
 * minutes and change nothing that is measured. With CONTACTS each has so many contacts, mutual ones: accounts 0 to CONTACTS know each other, then
 * the next as many, and so on. */
#include <poll.h>
#include <stave/roster.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"
#include "store/store_engine.h"
#include "xmpp/xmpp_sasl.h"

enum { ACCOUNTS_SCHEMA = 1, UNITS_AT_ONCE = 1000 };

static void failed(void *ctx, const sv_err *err)
{
    (void)ctx;
    (void)fprintf(stderr, "bench_accounts: %s\n", err->text);
    exit(1);
}

static void ignore(void *ctx)
{
    (void)ctx;
}

static void committed(void *ctx, uint64_t commit)
{
    *(uint64_t *)ctx = commit;
}

static void check(sv_status status, const sv_err *err)
{
    if (status == SV_OK) return;
    (void)fprintf(stderr, "bench_accounts: %d %s\n", (int)status, err->text);
    exit(1);
}

/* The maps that are written. */
typedef struct maps {
    svi_map *accounts, *roster;
    const char *domain;
    unsigned count, contacts;
} maps;

/* Everybody of the account's circle. */
static void add_contacts(svi_unit *unit, const maps *m, unsigned i, sv_str owner)
{
    const sv_err none = {.text = "a contact is refused"};
    const unsigned first = i - i % (m->contacts + 1);
    for (unsigned k = first; k <= first + m->contacts && k < m->count; k++) {
        char jid[300], item[32];
        const sv_str key = {jid, (size_t)snprintf(jid, sizeof jid, "user%06u@%.200s", k, m->domain)};
        const sv_str record = {item, (size_t)snprintf(item, sizeof item, "R1%02x\nUser %u\nAll\n",
                                                      SV_ROSTER_FROM | SV_ROSTER_TO |
                                                          SV_ROSTER_LISTED,
                                                      k)};
        if (k != i) check(svi_unit_put(unit, m->roster, owner, key, record), &none);
    }
}

/* The rows of one account, as the server writes them. */
static void add(svi_store *store, const maps *m, unsigned i, sv_str record)
{
    svi_map *map = m->accounts;
    char name[32];
    const sv_err none = {.text = "a row is refused"};
    svi_unit *unit = svi_unit_new(store);
    const sv_str owner = {name, (size_t)snprintf(name, sizeof name, "user%06u", i)};
    check(svi_unit_put(unit, map, owner, SV_STR("SCRAM-SHA-256"), record), &none);
    check(svi_unit_put(unit, map, owner, SV_STR("state"), SV_STR("active")), &none);
    if (m->contacts > 0) add_contacts(unit, m, i, owner);
    (void)svi_unit_submit(&unit);
}

static void wait_until(svi_store *store, const uint64_t *done, uint64_t number)
{
    while (*done < number) {
        svi_store_hurry(store);
        if (svi_store_poll(store) == 0) (void)poll(NULL, 0, 1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6) {
        (void)fputs("usage: bench_accounts STORE-FOLDER DOMAIN COUNT PASSWORD [CONTACTS]\n", stderr);
        return 2;
    }
    static svi_acct acct = {.name = "bench"};
    const unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    sv_err err = {.text = ""};
    uint64_t done = 0;
    svi_scram_keys keys;
    svi_buf record;
    svi_buf_init(&record, &acct);
    check(svi_scram_derive("SCRAM-SHA-256", sv_str_of(argv[4]), SV_STR("sixteen bytes it"),
                           SVI_SCRAM_ITERATIONS, &keys),
          &err);
    svi_scram_keys_write(&record, &keys);

    const svi_lmdb_config lmdb = {.path = sv_str_of(argv[1])};
    svi_store_config config = {.acct = &acct,
                               .plat = svi_plat_kernel(),
                               .durability = SVI_DURABLE_NONE,
                               .wake = ignore,
                               .committed = committed,
                               .failed = failed,
                               .ctx = &done};
    svi_store *store = NULL;
    maps m = {.domain = argv[2], .count = count};
    if (argc > 5) m.contacts = (unsigned)strtoul(argv[5], NULL, 10);
    check(svi_engine_lmdb(&acct, &lmdb, &config.engine, &err), &err);
    check(svi_store_open(&config, &store, &err), &err);
    char name[300];
    const sv_str map_name = {name, (size_t)snprintf(name, sizeof name, "%.200s/accounts", argv[2])};
    check(svi_store_map(store, map_name, ACCOUNTS_SCHEMA, &m.accounts, &err), &err);
    const sv_str roster_name = {name, (size_t)snprintf(name, sizeof name, "%.200s/%s/%s", argv[2],
                                                       SV_ROSTER_MODULE, SV_ROSTER_STORE)};
    check(svi_store_map(store, roster_name, SV_ROSTER_SCHEMA, &m.roster, &err), &err);
    for (unsigned i = 0; i < count; i++) {
        add(store, &m, i, svi_buf_str(&record));
        if (i % UNITS_AT_ONCE == UNITS_AT_ONCE - 1)
            wait_until(store, &done, svi_store_submitted(store));
    }
    svi_store_close(&store);
    svi_buf_free(&record);
    printf("accounts %u\n", count);
    return 0;
}
