/* Accounts by command. An operation derives its keys in libuv's pool, then hands them to the account's host;
 * where a back end keeps the accounts, it gets the password itself. */
#include "main/main_users.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "xmpp/xmpp_logins.h"
#include "xmpp/xmpp_provider.h"
#include "xmpp/xmpp_removal.h"
#include "xmpp/xmpp_session.h"

#define MAGIC 0x55534552u
#ifdef SVI_DEBUG
#define LIST_MAX 2 /* so that tests turn pages */
#else
#define LIST_MAX 500
#endif
#define PASSWORD_MAX 1023u

struct svi_users {
    uint32_t magic;
    unsigned refs; /* the holder's and one for each operation */
    svi_acct *acct;
    svi_shard *shard; /* NULL once the holder let go */
};

typedef enum verb { ADD, PASSWD, DELETE, DISABLE, ENABLE } verb;

/* In the request's arena. */
typedef struct operation {
    svi_users *users;
    verb verb;
    svi_request *request;
    sv_jid jid;
    svi_host *host;
    sv_str password; /* wiped when the keys are derived */
    svi_scram_keys keys[SVI_SCRAM_HASHES];
    sv_status status;
    uv_work_t work;
} operation;

svi_users *svi_users_new(svi_shard *shard)
{
    svi_users *users = svi_alloc(svi_shard_acct(shard), sizeof *users);
    *users = (svi_users){.magic = MAGIC, .refs = 1, .acct = svi_shard_acct(shard), .shard = shard};
    return users;
}

static void let_go(svi_users *users)
{
    SV_CHECK(users, MAGIC);
    if (--users->refs > 0) return;
    users->magic = 0;
    svi_free(users);
}

void svi_users_free(svi_users **users)
{
    if (!*users) return;
    (*users)->shard = NULL;
    let_go(*users);
    *users = NULL;
}

/* --- ends --------------------------------------------------------------------------------------------- */

static sv_fault fault_of(sv_status status)
{
    if (status == SV_ENOTFOUND) return SV_FAULT_NOT_FOUND;
    const bool is_refused = status == SV_EEXIST || status == SV_EINVAL || status == SV_EDENIED ||
                            status == SV_ENOSPC || status == SV_EBUSY || status == SV_EVERSION;
    return is_refused ? SV_FAULT_REFUSED : SV_FAULT_FAILED;
}

static const char *refused(verb v)
{
    switch (v) {
    case ADD: return "that is the name of a guest (SASL ANONYMOUS), which no account can have";
    case DELETE: return "the module that keeps this host's accounts can't delete any: delete it there first";
    default: return "the module that keeps this host's accounts refuses it";
    }
}

static const char *wrong(verb v, sv_status status)
{
    switch (status) {
    case SV_EEXIST:
        return v == ENABLE
                   ? "it is not disabled"
                   : "there is such an account already; `stave user passwd` changes its password";
    case SV_ENOTFOUND: return "there is no such account; `stave user list` shows them";
    case SV_EINVAL:
        return v == DISABLE
                   ? "the reason can't be kept: it has more than 500 bytes, or control characters"
                   : "the password can't be used: it is empty or has characters that RFC 8265 forbids";
    case SV_EDENIED: return refused(v);
    case SV_EBUSY: return "it is being deleted, or much else is: try again";
    case SV_EVERSION:
        return "the module that keeps this host's accounts can't do that: do it where they are kept";
    case SV_ETIMEOUT: return "the module that keeps this host's accounts has not answered";
    case SV_ENOSPC: return "the store is short of space: free disk space, then try again";
    case SV_ECANCELED: return "the server is stopping; try again when it runs";
    default:
        return v == DELETE ? "not all could be deleted: the log says why; the same command goes on with it"
                           : "the store, or the module that keeps this host's accounts, failed";
    }
}

static json_t *result(const operation *o, sv_status status)
{
    static const char *const past[] = {[ADD] = "added",
                                        [PASSWD] = "password-changed",
                                        [DELETE] = "deleted",
                                        [DISABLE] = "disabled",
                                        [ENABLE] = "enabled"};
    if (status != SV_OK)
        return svi_answer_fault(fault_of(status), "%.*s: %s", (int)o->jid.bare.n, o->jid.bare.p,
                                wrong(o->verb, status));
    SV_LOG(SV_INFO, "account-changed", LF_STR("account", o->jid.bare),
           LF_TXT("what", past[o->verb]));
    return json_pack("{s:b, s:s%, s:s}", "ok", 1, "address", o->jid.bare.p, o->jid.bare.n, "what",
                     past[o->verb]);
}

static void on_done(void *ctx, sv_status status)
{
    operation *o = ctx;
    json_t *answer = result(o, status);
    for (size_t i = 0; i < SVI_SCRAM_HASHES; i++) svi_scram_keys_wipe(&o->keys[i]);
    let_go(o->users);
    svi_request_take(o->request, answer);
}

/* --- changes ------------------------------------------------------------------------------------------ */

/* In libuv's pool. */
static void derive(uv_work_t *work)
{
    operation *o = work->data;
    o->status = svi_scram_derive_all(svi_plat_kernel(), o->password, o->keys);
    OPENSSL_cleanse((void *)(uintptr_t)o->password.p, o->password.n);
}

static void on_derived(uv_work_t *work, int canceled)
{
    operation *o = work->data;
    svi_shard *shard = o->users->shard;
    if (canceled || !shard || o->status != SV_OK) {
        on_done(o, canceled || !shard ? SV_ECANCELED : o->status);
        return;
    }
    svi_account_set(o->host, o->jid.node, o->keys, SVI_SCRAM_HASHES, o->verb == PASSWD, on_done,
                    o);
    svi_shard_wake(shard);
}

static operation *operation_new(svi_users *users, verb v, svi_request *request)
{
    SV_CHECK(users, MAGIC);
    SV_ASSERT(users->shard != NULL);
    operation *o = svi_arena_get(svi_request_arena(request), sizeof *o);
    *o = (operation){.users = users,
                     .verb = v,
                     .request = request,
                     .jid = svi_request_arg(request, "address")->jid,
                     .host = svi_request_args(request)->host};
    users->refs++;
    return o;
}

static void set(svi_users *users, verb v, svi_request *request)
{
    const sv_str password = svi_request_arg(request, "password")->text;
    const sv_str bare = svi_request_arg(request, "address")->jid.bare;
    if (password.n == 0 || password.n > PASSWORD_MAX) {
        svi_request_fail(request, SV_FAULT_REFUSED, "%.*s: a password has 1 to %u bytes", (int)bare.n,
                         bare.p, PASSWORD_MAX);
        return;
    }
    operation *o = operation_new(users, v, request);
    if (svi_provider_name(o->host)) {
        svi_account_set_elsewhere(o->host, o->jid.node, password, v == PASSWD, on_done, o);
        OPENSSL_cleanse((void *)(uintptr_t)password.p, password.n);
        return;
    }
    o->password = password;
    o->work.data = o;
    const int failed = uv_queue_work(svi_shard_loop(users->shard), &o->work, derive, on_derived);
    SV_ASSERT(failed == 0);
}

/* Ends the request if the account can't be made, because of its name or there. */
static bool refuse_new(svi_request *request)
{
    const sv_jid *jid = &svi_request_arg(request, "address")->jid;
    const svi_host *host = svi_request_args(request)->host;
    if (svi_jid_has_outer_space(jid->node))
        svi_request_fail(request, SV_FAULT_REFUSED,
                         "%.*s: a name must neither begin nor end with \\20, an escaped space "
                         "(XEP-0106)",
                         (int)jid->bare.n, jid->bare.p);
    else if (svi_host_logins(host) == SVI_LOGINS_GUESTS)
        svi_request_fail(request, SV_FAULT_REFUSED,
                         "%s takes no accounts: its 'authentication' is \"anonymous\"",
                         svi_host_name(host));
    else
        return false;
    return true;
}

void svi_users_add(svi_users *users, svi_request *request)
{
    if (!refuse_new(request)) set(users, ADD, request);
}

void svi_users_passwd(svi_users *users, svi_request *request)
{
    set(users, PASSWD, request);
}

void svi_users_delete(svi_users *users, svi_request *request)
{
    operation *o = operation_new(users, DELETE, request);
    svi_account_remove(o->host, o->jid.node, on_done, o);
}

void svi_users_disable(svi_users *users, svi_request *request)
{
    operation *o = operation_new(users, DISABLE, request);
    const sv_str reason = svi_request_arg(request, "reason")->text;
    svi_account_disable(o->host, o->jid.node, reason.p ? reason : SV_STR(""),
                        svi_request_arg(request, "tell")->number != 0, on_done, o);
}

void svi_users_enable(svi_users *users, svi_request *request)
{
    operation *o = operation_new(users, ENABLE, request);
    svi_account_enable(o->host, o->jid.node, on_done, o);
}

/* --- one account -------------------------------------------------------------------------------------- */

typedef struct showing {
    svi_request *request;
    svi_host *host;
    sv_jid jid;
} showing;

static void show_time(svi_request *request, const char *column, int64_t s)
{
    if (s > 0) svi_request_field_int(request, column, s * 1000);
}

static int64_t sessions_of(svi_server *server, sv_str bare)
{
    int64_t count = 0;
    sv_session *session = NULL;
    while ((session = svi_session_next(server, bare, session)) != NULL) count++;
    return count;
}

static void on_logins(void *ctx, sv_status status, const svi_logins_info *info)
{
    const showing *s = ctx;
    if (status != SV_OK) {
        svi_request_fail(s->request, SV_FAULT_FAILED, "%.*s: the store can't be read",
                         (int)s->jid.bare.n, s->jid.bare.p);
        return;
    }
    show_time(s->request, "last-login", info->in_s);
    show_time(s->request, "last-logout", info->out_s);
    if (info->from.n > 0) svi_request_field(s->request, "last-address", info->from);
    svi_request_answer(s->request);
}

static void on_shown(void *ctx, sv_status status, const svi_account_info *info)
{
    showing *s = ctx;
    if (status != SV_OK) {
        svi_request_fail(s->request, fault_of(status), "%.*s: %s", (int)s->jid.bare.n, s->jid.bare.p,
                         wrong(PASSWD, status));
        return;
    }
    const char *keeper = svi_provider_name(s->host);
    (void)svi_request_record(s->request);
    svi_request_field(s->request, "address", s->jid.bare);
    svi_request_field(s->request, "state", sv_str_of(svi_account_kind_name(info->kind)));
    show_time(s->request, "since", info->since_s);
    if (info->kind == SVI_ACCOUNT_DISABLED) {
        svi_request_field(s->request, "reason", info->reason.n ? info->reason : SV_STR(""));
        svi_request_field_int(s->request, "told", info->is_told);
    }
    show_time(s->request, "created", info->created_s);
    svi_request_field_int(s->request, "sessions",
                          sessions_of(svi_request_server(s->request), s->jid.bare));
    for (size_t i = 0; i < info->mechanism_count; i++)
        svi_request_field(s->request, "mechanisms", info->mechanisms[i]);
    if (keeper) svi_request_field(s->request, "kept-by", sv_str_of(keeper));
    svi_logins_get(s->host, s->jid.node, on_logins, s);
}

void svi_users_show(svi_users *users, svi_request *request)
{
    SV_CHECK(users, MAGIC);
    showing *s = svi_arena_get(svi_request_arena(request), sizeof *s);
    *s = (showing){.request = request,
                   .host = svi_request_args(request)->host,
                   .jid = svi_request_arg(request, "address")->jid};
    svi_account_show(s->host, s->jid.node, on_shown, s);
}

/* --- the list ----------------------------------------------------------------------------------------- */

typedef struct listing listing;

/* An account of the page. */
typedef struct listed {
    listing *listing;
    sv_str name;
    svi_account_kind kind;
} listed;

/* Pages begin at "host/name": behind that name, or at the host's first if it is empty. */
struct listing {
    svi_request *request;
    svi_host *host;
    listed *items;
    size_t count, open; /* states that are not known yet */
    bool more;
};

/* How many found room. */
static size_t list_items(const listing *l)
{
    size_t i = 0;
    for (; i < l->count && svi_request_record(l->request); i++) {
        svi_request_field(l->request, "address",
                          svi_jid_make(svi_request_arena(l->request), l->items[i].name,
                                       svi_host_domain(l->host), SV_STR_NONE)
                              .bare);
        svi_request_field(l->request, "state",
                          sv_str_of(svi_account_kind_name(l->items[i].kind)));
    }
    return i;
}

/* A reload came between two pages: a part would look like all. */
static void fail_removed(svi_request *request, sv_str domain)
{
    svi_request_fail(request, SV_FAULT_FAILED, "host %.*s was removed meanwhile: ask anew",
                     (int)(domain.n < 200 ? domain.n : 200), domain.p);
}

static void list_end(const listing *l)
{
    if (!svi_host_is_served(l->host)) {
        fail_removed(l->request, svi_host_domain(l->host));
        return;
    }
    svi_host *next = svi_request_args(l->request)->host
                         ? NULL
                         : svi_host_next(svi_request_server(l->request), l->host);
    const size_t done = list_items(l);
    const sv_str from = done > 0 && (l->more || done < l->count)
                            ? svi_arena_printf(svi_request_arena(l->request), "%s/%.*s",
                                               svi_host_name(l->host),
                                               (int)l->items[done - 1].name.n,
                                               l->items[done - 1].name.p)
                        : next ? svi_arena_printf(svi_request_arena(l->request), "%s/",
                                                  svi_host_name(next))
                               : SV_STR_NONE;
    if (from.n > 0)
        svi_request_more(l->request, from);
    else
        svi_request_answer(l->request);
}

static void on_kind(void *ctx, sv_status status, svi_account_kind kind)
{
    listed *item = ctx;
    item->kind = status == SV_OK ? kind : SVI_ACCOUNT_UNKNOWN;
    if (--item->listing->open == 0) list_end(item->listing);
}

static void on_owners(void *ctx, sv_status status, const sv_str *owners, size_t count, bool more)
{
    listing *l = ctx;
    if (status != SV_OK) {
        svi_request_fail(l->request, SV_FAULT_FAILED, "%s: %s", svi_host_name(l->host),
                         wrong(PASSWD, status));
        return;
    }
    svi_arena *arena = svi_request_arena(l->request);
    l->items = svi_arena_get(arena, (count + 1) * sizeof *l->items);
    l->count = l->open = count;
    l->more = more;
    for (size_t i = 0; i < count; i++) {
        l->items[i] = (listed){.listing = l, .name = svi_arena_str(arena, owners[i])};
        svi_account_kind_get(l->host, l->items[i].name, on_kind, &l->items[i]);
    }
    if (count == 0) list_end(l);
}

void svi_users_list(svi_users *users, svi_request *request)
{
    SV_CHECK(users, MAGIC);
    svi_server *server = svi_request_server(request);
    sv_str after = svi_request_from(request), domain = SV_STR_NONE;
    svi_host *host = svi_request_args(request)->host;
    if (after.n > 0) {
        (void)svi_str_split(&after, '/', &domain);
        if (!host || sv_str_eq(svi_host_domain(host), domain)) host = svi_host_find(server, domain);
        if (!host) {
            fail_removed(request, domain);
            return;
        }
    } else if (!host) {
        host = svi_host_next(server, NULL);
    }
    if (!host) { /* none is served */
        svi_request_answer(request);
        return;
    }
    listing *l = svi_arena_get(svi_request_arena(request), sizeof *l);
    *l = (listing){.request = request, .host = host};
    after = after.n ? after : SV_STR("");
    if (svi_provider_name(host))
        svi_provider_list(host, after, LIST_MAX, on_owners, l);
    else
        svi_store_owners(svi_host_accounts(host), after, LIST_MAX, on_owners, l);
}
