/* Deletions as three steps, each an event or several: mark, clear, erase. */
#include "xmpp/xmpp_removal.h"

#include "base/base_assert.h"
#include "base/base_log.h"
#include "store/store_archive.h"
#include "xmpp/xmpp_account_impl.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_logins.h"
#include "xmpp/xmpp_provider.h"

#define REMOVAL_MAGIC 0x4e0a1001u
#define ROUNDS_MAX 4096u /* of account/removing */
#define STALE_MAX 1024u  /* names that are remembered */
#define RESUME_STEP 100u /* names read at once */

#define REMOVED_TEXT "This account has been deleted."

typedef struct svi_removal {
    uint32_t magic;
    struct svi_removal *next, **link; /* of the host's */
    svi_host *host;
    svi_arena *arena;
    sv_jid jid;
    unsigned rounds;
    bool has_passed; /* no handler of this round refused or went beyond its time */
    bool has_written;
    bool is_elsewhere; /* a back end has it */
    svi_account_done done;
    void *ctx;
} svi_removal;

/* --- names that events from before may not write for ------------------------------------------ */

struct svi_stale {
    struct svi_stale *next;
    sv_str name;
    uint64_t number; /* of the newest event that began before the deletion was done */
};

static void forget_oldest(svi_host *host)
{
    struct svi_stale *oldest = host->oldest_stale;
    host->oldest_stale = oldest->next;
    if (!host->oldest_stale) host->stale_end = &host->oldest_stale;
    host->stale_count--;
    if (svi_dict_get(host->stale, oldest->name) == oldest) svi_dict_del(host->stale, oldest->name);
    svi_str_free(&oldest->name);
    svi_free(oldest);
}

/* Bounded: of so many deletions the events from before the first are over. */
static void remember(svi_host *host, sv_str name)
{
    svi_server *server = host->server;
    struct svi_stale *stale = svi_alloc(server->acct, sizeof *stale);
    *stale = (struct svi_stale){.name = svi_str_dup(server->acct, name),
                                .number = svi_bus_newest(server->bus)};
    svi_dict_put(host->stale, stale->name, stale);
    *host->stale_end = stale;
    host->stale_end = &stale->next;
    if (++host->stale_count > STALE_MAX) forget_oldest(host);
}

bool svi_host_is_stale(const svi_host *host, sv_str name, uint64_t event_number)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    if (host->stale_count == 0) return false;
    const struct svi_stale *stale = svi_dict_get(host->stale, name);
    return stale && event_number <= stale->number;
}

bool svi_host_has_stale(const svi_host *host, uint64_t event_number)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    if (host->stale_count == 0) return false;
    const struct svi_stale *newest =
        (const struct svi_stale *)(const void *)((const char *)host->stale_end - offsetof(struct svi_stale, next));
    return event_number <= newest->number;
}

sv_status svi_removals_open(svi_host *host, sv_err *err)
{
    svi_server *server = host->server;
    host->stale = svi_dict_new(server->acct);
    host->stale_end = &host->oldest_stale;
    const svi_mark mark = svi_arena_mark(server->scratch);
    const sv_str name =
        svi_arena_printf(server->scratch, "%.*s/removals", (int)host->domain.n, host->domain.p);
    const sv_status status = svi_store_map(server->store, name, 1, &host->removal_rows, err);
    svi_arena_reset(server->scratch, mark);
    return status;
}

void svi_removals_free(svi_host *host)
{
    SV_ASSERT(host->removals == NULL);
    if (!host->stale) return;
    while (host->oldest_stale) forget_oldest(host);
    svi_dict_free(&host->stale);
}

/* --- life ------------------------------------------------------------------------------------- */

static svi_removal *find(const svi_host *host, sv_str name)
{
    svi_removal *r = host->removals;
    while (r && !sv_str_eq(r->jid.node, name)) r = r->next;
    return r;
}

bool svi_removal_runs(const svi_host *host, sv_str name)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    return find(host, name) != NULL;
}

static svi_removal *removal_new(svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    svi_acct *acct = host->server->acct;
    svi_removal *r = svi_alloc(acct, sizeof *r);
    *r = (svi_removal){.magic = REMOVAL_MAGIC, .host = host, .done = done, .ctx = ctx};
    r->arena = svi_arena_new(acct, 1024);
    r->jid = svi_jid_make(r->arena, name, host->domain, SV_STR_NONE);
    return r;
}

static void list(svi_removal *r)
{
    r->next = r->host->removals;
    r->link = &r->host->removals;
    if (r->next) r->next->link = &r->next;
    r->host->removals = r;
}

static void removal_end(svi_removal *r, sv_status status)
{
    SV_CHECK(r, REMOVAL_MAGIC);
    svi_account_done done = r->done;
    void *ctx = r->ctx;
    if (status == SV_EIO)
        SV_LOG(SV_ERROR, "account-removal-failed", LF_STR("account", r->jid.bare),
               LF_INT("round", r->rounds));
    if (r->link) *r->link = r->next;
    if (r->link && r->next) r->next->link = r->link;
    svi_arena_free(&r->arena);
    r->magic = 0;
    svi_free(r);
    done(ctx, status);
}

static void stop(void *ctx)
{
    removal_end(ctx, SV_ECANCELED);
}

static void run_event(svi_removal *r, const svi_event_ops *ops)
{
    const svi_event_config config = {.ops = ops, .host = svi_host_name(r->host), .x = r};
    svi_event_run(svi_event_new(r->host->server->bus, &config), SV_STR_NONE);
    svi_store_hurry(r->host->server->store); /* an operator waits */
}

static void on_canceled(sv_event *ev)
{
    removal_end(svi_event_x(ev), SV_ECANCELED);
}

/* --- erase: the last unit --------------------------------------------------------------------- */

/* Whatever has the account as owner, by whichever module of whichever time. */
static void erase_rows(const svi_removal *r, svi_unit *unit)
{
    svi_server *server = r->host->server;
    const svi_mark mark = svi_arena_mark(server->scratch);
    const sv_str prefix = svi_arena_printf(server->scratch, "%.*s/", (int)r->host->domain.n,
                                           r->host->domain.p);
    svi_map *map;
    size_t pos = 0;
    while ((map = svi_store_map_next(server->store, prefix, &pos)) != NULL) {
        const sv_status status = svi_unit_del_owner(unit, map, r->jid.node);
        SV_ASSERT(status == SV_OK);
    }
    svi_arena_reset(server->scratch, mark);
}

static void on_erase(sv_event *ev)
{
    svi_removal *r = svi_event_x(ev);
    SV_CHECK(r, REMOVAL_MAGIC);
    svi_occasion(r->host, SVI_POINT_ACCOUNT_REMOVED, &r->jid, NULL, NULL, r->jid.bare, ev);
    erase_rows(r, svi_event_unit(ev));
    svi_logins_forget(r->host, r->jid.node);
    remember(r->host, r->jid.node);
}

static void on_erased(sv_event *ev)
{
    removal_end(svi_event_x(ev), SV_OK);
}

static void erase(svi_removal *r)
{
    static const svi_event_ops ops = {
        .unclaimed = on_erase, .released = on_erased, .canceled = on_canceled};
    run_event(r, &ops);
}

/* --- purge: archives, whose bodies others may hold --------------------------------------------- */

static void on_purged(void *ctx, sv_status status, const svi_archive_purged *purged)
{
    svi_removal *r = ctx;
    (void)purged;
    SV_CHECK(r, REMOVAL_MAGIC);
    if (status == SV_OK)
        erase(r);
    else
        removal_end(r, status == SV_ECANCELED ? status : SV_EIO);
}

static void purge(svi_removal *r)
{
    const sv_str prefix = svi_arena_printf(r->arena, "%.*s/", (int)r->host->domain.n, r->host->domain.p);
    if (svi_archives_purge_owner(r->host->server->archives, prefix, r->jid.node, on_purged, r) != SV_OK) erase(r);
}

/* --- clear: what modules need time for -------------------------------------------------------- */

static void clear(void *ctx);

static svi_removal *of_occasion(const sv_event *ev)
{
    svi_removal *r = svi_xevent_of(ev)->firer;
    SV_CHECK(r, REMOVAL_MAGIC);
    return r;
}

/* Nobody refused. */
static void on_cleared(sv_event *ev)
{
    svi_removal *r = of_occasion(ev);
    r->has_passed = true;
    r->has_written = !svi_unit_is_empty(svi_event_unit(ev));
}

static void on_clear_released(sv_event *ev)
{
    svi_removal *r = of_occasion(ev);
    svi_xevent_close(svi_xevent_of(ev));
    if (!r->has_passed || r->rounds >= ROUNDS_MAX)
        removal_end(r, SV_EIO);
    else
        svi_server_defer(r->host->server, clear, stop, r);
}

static void on_clear_canceled(sv_event *ev)
{
    svi_removal *r = of_occasion(ev);
    svi_xevent_close(svi_xevent_of(ev));
    removal_end(r, SV_ECANCELED);
}

static void clear(void *ctx)
{
    static const svi_event_ops ops = {
        .unclaimed = on_cleared, .released = on_clear_released, .canceled = on_clear_canceled};
    svi_removal *r = ctx;
    SV_CHECK(r, REMOVAL_MAGIC);
    if (!svi_host_is_served(r->host)) { /* no module would hear of it: it goes on when the host is back */
        removal_end(r, SV_EIO);
        return;
    }
    if (r->rounds > 0 && !r->has_written) {
        purge(r);
        return;
    }
    r->rounds++;
    r->has_passed = r->has_written = false;
    const svi_passage passage = {.server = r->host->server,
                                 .from_host = r->host,
                                 .from = r->jid,
                                 .to = r->jid,
                                 .subject = r->jid.bare,
                                 .account_exists = true};
    sv_event *ev = svi_xevent_open(&passage, &ops, SVI_POINT_ACCOUNT_REMOVING);
    svi_xevent_of(ev)->firer = r;
    svi_bus_fire(ev);
    svi_store_hurry(r->host->server->store);
}

/* --- mark: from now on nobody logs in --------------------------------------------------------- */

static void on_mark(sv_event *ev)
{
    svi_removal *r = svi_event_x(ev);
    SV_CHECK(r, REMOVAL_MAGIC);
    const svi_account_info state = {.kind = SVI_ACCOUNT_DELETING,
                                    .since_s = svi_account_now_s(r->host)};
    svi_buf buf;
    svi_buf_init(&buf, r->host->server->acct);
    svi_account_state_write(&buf, &state);
    svi_unit *unit = svi_event_unit(ev);
    sv_status status = svi_unit_put(unit, r->host->accounts, r->jid.node, SVI_ACCOUNT_STATE,
                                    svi_buf_str(&buf));
    if (!status)
        status = svi_unit_put(unit, r->host->removal_rows, r->jid.node, SV_STR("begun"),
                              svi_buf_str(&buf));
    SV_ASSERT(status == SV_OK);
    svi_buf_free(&buf);
    svi_account_end_streams(r->host, &r->jid, SVI_FORGET_ALL, REMOVED_TEXT);
}

static void on_removed_elsewhere(void *ctx, sv_status status)
{
    svi_removal *r = ctx;
    SV_CHECK(r, REMOVAL_MAGIC);
    if (status == SV_OK || status == SV_ENOTFOUND)
        svi_server_defer(r->host->server, clear, stop, r);
    else
        removal_end(r, status == SV_ECANCELED ? status : SV_EIO);
}

/* Sessions that were ended have fired session/gone before the next step, so contacts hear that they
 * are unavailable before they hear of the rest. */
static void on_marked(sv_event *ev)
{
    svi_removal *r = svi_event_x(ev);
    if (r->is_elsewhere && r->host->provider)
        svi_provider_remove(r->host, r->jid.node, on_removed_elsewhere, r);
    else
        svi_server_defer(r->host->server, clear, stop, r);
}

static void mark(svi_removal *r)
{
    static const svi_event_ops ops = {
        .unclaimed = on_mark, .released = on_marked, .canceled = on_canceled};
    run_event(r, &ops);
}

static void on_rows(void *ctx, sv_status status, svi_rows *rows)
{
    svi_removal *r = ctx;
    SV_CHECK(r, REMOVAL_MAGIC);
    if (!status && svi_rows_count(rows) == 0 && !r->host->provider) status = SV_ENOTFOUND;
    if (rows) svi_rows_unref(&rows);
    if (!status && find(r->host, r->jid.node)) status = SV_EBUSY;
    if (status) {
        removal_end(r, status);
        return;
    }
    list(r);
    mark(r);
}

/* What a back end does not know may have left something here, which then goes. */
static void on_found(void *ctx, sv_status status)
{
    svi_removal *r = ctx;
    SV_CHECK(r, REMOVAL_MAGIC);
    r->is_elsewhere = status == SV_OK || status == SV_EDENIED;
    if (r->is_elsewhere && !svi_provider_removes(r->host))
        removal_end(r, SV_EDENIED);
    else if (r->is_elsewhere || status == SV_ENOTFOUND)
        svi_rows_load(r->host->accounts, r->jid.node, on_rows, r);
    else
        removal_end(r, status == SV_ECANCELED ? status : SV_EIO);
}

static void removal_begin(svi_removal *r)
{
    if (r->host->provider)
        svi_provider_find(r->host, r->jid.node, on_found, r);
    else
        svi_rows_load(r->host->accounts, r->jid.node, on_rows, r);
}

void svi_account_remove(svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    SV_ASSERT(name.n > 0);
    removal_begin(removal_new(host, name, done, ctx));
}

/* --- after a restart -------------------------------------------------------------------------- */

static void nobody_waits(void *ctx, sv_status status)
{
    (void)ctx;
    (void)status; /* a failure is logged */
}

static void on_names(void *ctx, sv_status status, const sv_str *names, size_t count, bool more)
{
    svi_host *host = ctx;
    if (status == SV_ECANCELED) return;
    if (status)
        SV_LOG(SV_ERROR, "store-read-failed", LF_STR("host", host->domain),
               LF_TXT("status", svi_status_name(status)));
    for (size_t i = 0; i < count; i++) {
        if (find(host, names[i])) continue;
        svi_removal *r = removal_new(host, names[i], nobody_waits, NULL);
        SV_LOG(SV_INFO, "account-removal", LF_STR("account", r->jid.bare));
        removal_begin(r);
    }
    if (more)
        svi_store_owners(host->removal_rows, names[count - 1], RESUME_STEP, on_names, host);
}

void svi_removals_resume(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    svi_store_owners(host->removal_rows, SV_STR_NONE, RESUME_STEP, on_names, host);
}
