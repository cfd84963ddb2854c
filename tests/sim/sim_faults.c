/* What the operator, the network, the disk and kills do. */
#include "sim.h"

#include "mods/mods_command.h"
#include <stdio.h>
#include <string.h>

typedef struct blow {
    uint32_t share; /* of all */
    void (*run)(sim *t);
} blow;


/* --- ends ----------------------------------------------------------------------------------------------- */

static void kill_server(sim *t)
{
    if (t->is_last_round) return;
    tell(t, "the server is killed");
    met(t, DID_KILL);
    world_restart(t, true);
}

static void restart_server(sim *t)
{
    if (t->is_last_round) return;
    tell(t, "the server is stopped and started");
    met(t, DID_RESTART);
    world_restart(t, false);
}

/* --- the operator ----------------------------------------------------------------------------------------- */

static void reload_module(sim *t)
{
    static const char *const modules[] = {"roster", "presence", "message", "offline", "archive", "blocking", "disco", "caps", "ping",
                                          "private", "last", "motd", "announce", "version", "policy-words", "policy-rate"};
    const char *module = modules[roll(t, sizeof modules / sizeof *modules)];
    tell(t, "%s is loaded anew", module);
    met(t, DID_RELOAD);
    model_notices_repeat(t, false);
    world_reload(t, sv_str_of(module));
}

static void reconfigure(sim *t)
{
    tell(t, "the other configuration is taken over");
    model_notices_repeat(t, false);
    met(t, DID_RECONFIGURE);
    t->configured++;
    world_reconfigure(t);
}

static bool any_gone(const sim *t)
{
    for (unsigned i = 0; i < HOSTS; i++)
        if (t->is_gone[i]) return true;
    return false;
}

/* What the operator changes of an account, and what it is when he has been told that it is done. */
typedef struct change {
    sim *t;
    unsigned account;
    uint32_t number;
    int becomes;
} change;

static void changed(void *ctx, sv_status status)
{
    change *ch = ctx;
    person *a = &ch->t->accounts[ch->account];
    const bool is_so = status == SV_OK || (status == SV_EEXIST && ch->becomes == SURELY_THERE); /* it was, already */
    if (is_so && a->changes == ch->number) {
        a->is = ch->becomes;
        a->is_since = a->connects;
        a->is_disabled = ch->becomes == SURELY_DISABLED;
    }
    svi_free(ch);
}

static change *change_of(sim *t, unsigned account, int becomes)
{
    change *ch = svi_alloc(&t->peers, sizeof *ch);
    person *a = &t->accounts[account];
    a->is = UNSURE;
    *ch = (change){.t = t, .account = account, .number = ++a->changes, .becomes = becomes};
    return ch;
}

/* Any, or the next one that has gone, or is disabled: it would hardly ever be made or enabled again. */
static unsigned account_to_change(sim *t)
{
    const unsigned first = roll(t, ACCOUNTS);
    const uint32_t kind = roll(t, 4);
    for (unsigned i = 0; i < ACCOUNTS && kind < 2; i++) {
        const person *a = &t->accounts[(first + i) % ACCOUNTS];
        if (!a->is_leaving && (kind == 0 ? !a->exists : a->exists && a->is_disabled)) return (first + i) % ACCOUNTS;
    }
    return first;
}

static void change_account(sim *t)
{
    char name[16];
    const unsigned account = account_to_change(t), kind = roll(t, 3);
    person *a = &t->accounts[account];
    if (any_gone(t) || a->is_leaving) return;
    svi_host *host = world_host(t, host_of(account));
    const sv_str who = sv_str_of(name_of(account, name));
    a->barred_in = t->round;
    if (!a->exists) {
        tell(t, "%s is made", name);
        met(t, DID_ACCOUNT_MADE);
        model_account_comes(t, account);
        svi_account_set(host, who, &t->keys, 1, false, changed, change_of(t, account, SURELY_THERE));
    } else if (kind == 0) {
        tell(t, "%s is deleted", name);
        met(t, DID_ACCOUNT_DELETED);
        model_account_goes(t, account);
        svi_account_remove(host, who, changed, change_of(t, account, SURELY_GONE));
    } else if (a->is_disabled) {
        tell(t, "%s is enabled", name);
        met(t, DID_ACCOUNT_ENABLED);
        svi_account_enable(host, who, changed, change_of(t, account, SURELY_THERE));
    } else {
        tell(t, "%s is disabled", name);
        met(t, DID_ACCOUNT_DISABLED);
        a->is_disabled = true;
        svi_account_disable(host, who, SV_STR("by the simulation"), false, changed, change_of(t, account, SURELY_DISABLED));
    }
}

static void host_changes(sim *t)
{
    unsigned host = roll(t, HOSTS);
    for (unsigned i = 0; i < HOSTS && !t->is_gone[host] && roll(t, 2); i++) host = (host + 1) % HOSTS; /* one that comes again, rather */
    if (!t->is_gone[host] && t->is_gone[(host + 1) % HOSTS] && t->is_gone[(host + 2) % HOSTS]) return;
    tell(t, "the host %s %s", domain_of_host(host), t->is_gone[host] ? "comes" : "goes");
    met(t, t->is_gone[host] ? DID_HOST_COMES : DID_HOST_GOES);
    model_host_changes(t, host);
    model_notices_lossy(t);
    world_host_changes(t, host, !t->is_gone[host]);
}

/* --- the operator's commands ------------------------------------------------------------------------------ */

typedef struct errand {
    sim *t;
    notice *notice; /* NULL: none */
} errand;

static void run(void *ctx, svi_request *request)
{
    svi_mods_run(svi_stage_mods(((errand *)ctx)->t->stage), request);
}

static void answered(void *ctx, json_t *take_answer)
{
    errand *e = ctx;
    if (e->notice && json_is_true(json_object_get(take_answer, "ok"))) e->notice->is_answered = true;
    json_decref(take_answer);
    svi_free(e);
}

static void command(sim *t, const char *name, const char *host, const char *text, notice *n)
{
    const sv_command *found;
    const char *module;
    for (size_t i = 0; (found = svi_mods_command(svi_stage_mods(t->stage), i, &module)) != NULL; i++)
        if (strcmp(found->name, name) == 0) break;
    if (!found) return;
    errand *e = svi_alloc(&t->peers, sizeof *e);
    *e = (errand){.t = t, .notice = n};
    json_t *request = json_pack("{s:s,s:s}", "command", name, "host", host);
    if (text) (void)json_object_set_new(request, "text", json_string(text));
    svi_request_run(server_of(t), found, request, run, e, answered, e);
    json_decref(request);
}

static void announce(sim *t)
{
    char text[32];
    const unsigned host = roll(t, 2);
    if (t->notice_count == NOTICES || t->is_gone[host]) return;
    notice *n = &t->notices[t->notice_count];
    *n = (notice){.host = host, .round = t->round};
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        n->lives[i] = (uint8_t)t->accounts[i].life;
        if (t->accounts[i].barred_in == t->round) n->lives[i]--; /* it is being made, or goes */
    }
    (void)snprintf(text, sizeof text, "notice %u", t->notice_count++);
    tell(t, "%s is announced to all of %s", text, domain_of_host(host));
    met(t, DID_ANNOUNCE);
    command(t, "announce all", domain_of_host(host), text, n);
}

static void set_motd(sim *t)
{
    const bool is_set = roll(t, 3) > 0;
    if (t->is_gone[0]) return;
    tell(t, "the message of the day is %s", is_set ? "set" : "cleared");
    met(t, DID_MOTD);
    command(t, is_set ? "motd set" : "motd clear", "localhost", is_set ? "of the day" : NULL, NULL);
}

/* --- the network and the disk --------------------------------------------------------------------------- */

static void change_network(sim *t)
{
    svi_link_nature nature = {.late_min_us = 0};
    const uint32_t kind = roll(t, 4);
    if (kind == 1 || kind == 3) nature.late_min_us = 1000 * roll(t, 50), nature.late_max_us = nature.late_min_us + 1 + 1000 * roll(t, 300);
    if (kind == 2 || kind == 3) nature.max_read = 1 + roll(t, 40), nature.max_write = 1 + roll(t, 400);
    tell(t, "the network is %s", kind == 0 ? "prompt" : kind == 1 ? "slow" : kind == 2 ? "narrow" : "slow and narrow");
    met(t, DID_NETWORK);
    svi_stage_set_network(t->stage, &nature);
}

static void change_disk(sim *t)
{
    const int64_t late_us = roll(t, 2) ? 1000 * (int64_t)roll(t, 3000) : 0;
    tell(t, "the disk is %s", late_us ? "late" : "prompt");
    met(t, DID_DISK);
    svi_stage_set_disk_late(t->stage, late_us / 4, late_us);
}

static void fail_read(sim *t)
{
    const uint32_t n = 1 + roll(t, 5);
    tell(t, "the disk's read number %u fails", n);
    met(t, DID_FAIL_READ);
    svi_stage_fail_read(t->stage, n);
    t->failed_in = t->round;
    model_notices_lossy(t);
}

static void fill_disk(sim *t)
{
    const bool is_full = roll(t, 2) == 0;
    tell(t, "the disk %s", is_full ? "is full" : "has room");
    met(t, DID_FILL_DISK);
    svi_stage_fill_disk(t->stage, is_full);
    t->short_in = t->round;
    model_notices_lossy(t);
}

/* --- which ---------------------------------------------------------------------------------------------- */

static const blow blows[] = {{12, kill_server},    {4, restart_server}, {20, reload_module}, {8, reconfigure}, {24, change_account},
                             {8, host_changes},    {10, announce},      {4, set_motd},       {12, change_network},
                             {10, change_disk},    {4, fail_read},      {4, fill_disk}};

void act_fault(sim *t)
{
    uint32_t all = 0;
    for (size_t i = 0; i < sizeof blows / sizeof *blows; i++) all += blows[i].share;
    uint32_t which = roll(t, all);
    const blow *b = blows;
    while (which >= b->share) which -= (b++)->share;
    b->run(t);
}
