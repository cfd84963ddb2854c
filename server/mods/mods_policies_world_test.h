/* The policies that are shipped in lua/, in a world of modules. */
#ifndef SVI_MODS_POLICIES_WORLD_TEST_H
#define SVI_MODS_POLICIES_WORLD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "mods/mods_script_world_test.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_scram.h"

#define USUAL "\"roster\", \"presence\", \"message\", \"offline\", \"blocking\", "
#define FROM(who, n) "<message from='" who "' to='b@one.example/r'><body>" n "</body></message>"
#define REFUSED "type='error'"

enum { SECOND = 1000000 };

/* A world with the usual modules and one policy, whose options are lines of the config. */
static inline world *policy_world(const char *policy, const char *options)
{
    char enabled[256];
    world *w = script_world();
    snprintf(enabled, sizeof enabled, USUAL "\"%s\"", policy);
    start_scripts(w, enabled, options);
    return w;
}

static inline void done(world *w)
{
    assert_has_not(&w->log, "script-error");
    world_free(w);
}

/* As it would come from another server. */
static inline void comes(world *w, const char *text)
{
    sv_stanza *stanza;
    sv_err err;
    svi_host *host = svi_host_find(w->server, SV_STR("one.example"));
    for (size_t i = 0; i < WORLD_CLIENTS; i++) svi_buf_clear(&w->clients[i].in);
    if (svi_stanza_parse(&w->acct, svi_server_atoms(w->server), sv_str_of(text), SV_STR(SVI_NS_CLIENT), &stanza, &err) != SV_OK)
        fail_msg("%s", err.text);
    const uint64_t entry = svi_ledger_open(svi_server_ledger(w->server), SVI_MADE_PUSH, svi_host_ledger(host));
    svi_route(w->server, host, stanza, entry);
    svi_stanza_unref(&stanza);
    turn(w);
}

static inline void account_done(void *ctx, sv_status status)
{
    *(int *)ctx = (int)status;
}

static inline void add_account(world *w, const char *name)
{
    svi_scram_keys keys;
    int status = 1;
    assert_int_equal(svi_scram_derive("SCRAM-SHA-256", SV_STR("x"), SV_STR("salt"), 1, &keys), SV_OK);
    svi_account_set(svi_host_find(w->server, SV_STR("one.example")), sv_str_of(name), &keys, 1, false, account_done, &status);
    turn(w);
    assert_int_equal(status, SV_OK);
}

/* Another generation of the script: a new state, with what the old one saved. */
static inline void reload_script(world *w, const char *name)
{
    const sv_str names[] = {sv_str_of(name)};
    const svi_mods_reloading how = {.names = names, .count = 1, .report = w_report, .report_ctx = w};
    svi_mods_reloaded reloaded;
    if (svi_mods_reload(w->mods, &how, &reloaded) != SV_OK) fail_msg("%.*s", (int)w->reports.len, w->reports.data);
    assert_int_equal(reloaded.modules, 1);
    turn(w);
}

static inline void assert_says(const char *answer, const char *part_of)
{
    if (strstr(answer, part_of) == NULL) fail_msg("\"%s\" does not hold \"%s\"", answer, part_of);
}

static inline uint64_t disposed(world *w, svi_disposal how)
{
    return svi_ledger_total(svi_server_ledger(w->server))->disposal[how];
}

#endif
