/* Logins as notes in memory and rows that follow. */
#include "xmpp/xmpp_logins.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/base_assert.h"
#include "bus/bus_timer.h"
#include "xmpp/xmpp_account_impl.h"
#include "xmpp/xmpp_impl.h"

#define NOTES_MAX 1024u /* accounts noted before they are written at once */
#define WAIT_US INT64_C(10000000)

#define KEY_IN SV_STR("in")
#define KEY_OUT SV_STR("out")
#define KEY_FROM SV_STR("from")

typedef struct note {
    int64_t in_s, out_s; /* 0: nothing new */
    char from[64];
} note;

struct svi_login_notes {
    svi_host *host;
    svi_map *map;
    svi_dict *notes; /* localpart -> note */
    svi_timer *timer;
};

sv_status svi_logins_open(svi_host *host, sv_err *err)
{
    svi_server *server = host->server;
    svi_login_notes *logins = svi_alloc(server->acct, sizeof *logins);
    *logins = (svi_login_notes){.host = host,
                           .notes = svi_dict_new(server->acct)};
    host->login_notes = logins;
    const svi_mark mark = svi_arena_mark(server->scratch);
    const sv_str name =
        svi_arena_printf(server->scratch, "%.*s/logins", (int)host->domain.n, host->domain.p);
    const sv_status status = svi_store_map(server->store, name, 1, &logins->map, err);
    svi_arena_reset(server->scratch, mark);
    return status;
}

static void drop_notes(svi_login_notes *logins)
{
    size_t pos = 0;
    sv_str name;
    void *at;
    while (svi_dict_next(logins->notes, &pos, &name, &at)) svi_free(at);
    svi_dict_free(&logins->notes);
    logins->notes = svi_dict_new(logins->host->server->acct);
}

void svi_logins_free(svi_host *host)
{
    svi_login_notes *logins = host->login_notes;
    if (!logins) return;
    host->login_notes = NULL;
    svi_timer_cancel(&logins->timer);
    drop_notes(logins);
    svi_dict_free(&logins->notes);
    svi_free(logins);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void put(svi_unit *unit, const svi_login_notes *logins, sv_str name, sv_str key, sv_str value)
{
    const sv_status status = svi_unit_put(unit, logins->map, name, key, value);
    SV_ASSERT(status == SV_OK); /* NOTES_MAX of the longest names are far below a unit's bound */
}

static void put_time(svi_unit *unit, const svi_login_notes *logins, sv_str name, sv_str key, int64_t s)
{
    char text[24];
    const int n = snprintf(text, sizeof text, "%" PRId64, s);
    if (s > 0) put(unit, logins, name, key, (sv_str){text, (size_t)n});
}

/* A login whose address is not kept takes the one of an earlier login away. */
static void put_note(svi_unit *unit, const svi_login_notes *logins, sv_str name, const note *n)
{
    put_time(unit, logins, name, KEY_IN, n->in_s);
    put_time(unit, logins, name, KEY_OUT, n->out_s);
    if (n->in_s > 0 && n->from[0])
        put(unit, logins, name, KEY_FROM, sv_str_of(n->from));
    else if (n->in_s > 0)
        (void)svi_unit_del(unit, logins->map, name, KEY_FROM);
}

void svi_logins_flush(svi_host *host)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    svi_login_notes *logins = host->login_notes;
    svi_timer_cancel(&logins->timer);
    if (svi_dict_count(logins->notes) == 0) return;
    if (svi_store_admit(host->server->store) == SV_OK) {
        svi_unit *unit = svi_unit_new(host->server->store);
        size_t pos = 0;
        sv_str name;
        void *at;
        while (svi_dict_next(logins->notes, &pos, &name, &at)) put_note(unit, logins, name, at);
        (void)svi_unit_submit(&unit);
    }
    drop_notes(logins);
}

static void on_timer(void *ctx)
{
    svi_login_notes *logins = ctx;
    logins->timer = NULL;
    svi_logins_flush(logins->host);
}

static note *note_of(svi_login_notes *logins, sv_str name)
{
    svi_server *server = logins->host->server;
    note *n = svi_dict_get(logins->notes, name);
    if (n) return n;
    if (svi_dict_count(logins->notes) >= NOTES_MAX) svi_logins_flush(logins->host);
    if (!logins->timer) logins->timer = svi_timer_start(server->timers, WAIT_US, on_timer, logins);
    n = svi_alloc(server->acct, sizeof *n);
    *n = (note){.in_s = 0};
    svi_dict_put(logins->notes, name, n);
    return n;
}

/* "192.0.2.1:4711" and "[2001:db8::7]:4711" without port and brackets; anything else as it is. */
static sv_str address_of(const char *peer)
{
    const sv_str all = sv_str_of(peer);
    const size_t bracket = svi_str_find(all, ']'), colon = svi_str_find(all, ':');
    if (all.n > 0 && all.p[0] == '[' && bracket < all.n) return svi_str_sub(all, 1, bracket - 1);
    const bool is_one = svi_str_find(svi_str_sub(all, colon + 1, all.n), ':') ==
                        svi_str_sub(all, colon + 1, all.n).n;
    return colon < all.n && is_one ? svi_str_sub(all, 0, colon) : all;
}

void svi_logins_in(svi_host *host, sv_str name, const char *peer)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    note *n = note_of(host->login_notes, name);
    n->in_s = svi_account_now_s(host);
    const sv_str from = address_of(host->keeps_addresses ? peer : "");
    (void)snprintf(n->from, sizeof n->from, "%.*s", (int)from.n, from.p);
}

void svi_logins_out(svi_host *host, sv_str name)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    note_of(host->login_notes, name)->out_s = svi_account_now_s(host);
}

void svi_logins_forget(svi_host *host, sv_str name)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    svi_free(svi_dict_del(host->login_notes->notes, name));
}

/* --- reading ---------------------------------------------------------------------------------- */

typedef struct asked {
    svi_logins_done done;
    void *ctx;
} asked;

static int64_t time_of(const svi_rows *rows, sv_str key)
{
    sv_str value;
    int64_t s = 0;
    return svi_rows_find(rows, key, &value) && !svi_str_int(value, 0, INT64_MAX, &s) ? s : 0;
}

static void on_rows(void *ctx, sv_status status, svi_rows *rows)
{
    const asked a = *(asked *)ctx;
    svi_free(ctx);
    svi_logins_info info = {.in_s = 0};
    if (!status) {
        info.in_s = time_of(rows, KEY_IN);
        info.out_s = time_of(rows, KEY_OUT);
        if (!svi_rows_find(rows, KEY_FROM, &info.from)) info.from = SV_STR_NONE;
    }
    a.done(a.ctx, status, status ? NULL : &info);
    if (rows) svi_rows_unref(&rows);
}

void svi_logins_get(svi_host *host, sv_str name, svi_logins_done done, void *ctx)
{
    svi_logins_flush(host);
    asked *a = svi_alloc(host->server->acct, sizeof *a);
    *a = (asked){done, ctx};
    svi_rows_load(host->login_notes->map, name, on_rows, a);
}
