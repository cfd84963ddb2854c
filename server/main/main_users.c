/* Accounts by command. An operation derives its keys in libuv's pool, then hands them to the account's host. */
#include "main/main_users.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "xmpp/xmpp_account.h"

#define MAGIC 0x55534552u
#define LIST_MAX 500
#define PASSWORD_MAX 1023u

struct svi_users {
    uint32_t magic;
    unsigned refs; /* the holder's and one for each operation */
    svi_acct *acct;
    svi_shard *shard; /* NULL once the holder let go */
};

typedef enum verb { ADD, PASSWD, DELETE, LIST } verb;

typedef struct operation {
    svi_users *users;
    verb verb;
    svi_arena *arena;
    sv_jid jid;
    svi_host *host;
    sv_str password; /* wiped when the keys are derived */
    svi_scram_keys keys[SVI_SCRAM_HASHES];
    sv_status status;
    uv_work_t work;
    svi_command_done done;
    void *ctx;
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

static const char *wrong(const operation *o, sv_status status)
{
    switch (status) {
    case SV_EEXIST:
        return "there is such an account already; `stave user passwd` changes its password";
    case SV_ENOTFOUND: return "there is no such account; `stave user list` shows them";
    case SV_EINVAL:
        return "the password can't be used: it is empty or has characters that RFC 8265 forbids";
    case SV_EDENIED: return "that is the name of a guest (SASL ANONYMOUS), which no account can have";
    case SV_ENOSPC: return "the store is short of space: free disk space, then try again";
    case SV_ECANCELED: return "the server is stopping; try again when it runs";
    default: return o->verb == LIST ? "the store can't be read" : "the store failed";
    }
}

static json_t *result(const operation *o, sv_status status)
{
    static const char *const past[] = {
        [ADD] = "added", [PASSWD] = "password-changed", [DELETE] = "deleted", [LIST] = "listed"};
    if (status != SV_OK)
        return svi_answer_error("%.*s: %s", (int)o->jid.bare.n, o->jid.bare.p, wrong(o, status));
    SV_LOG(SV_INFO, "account-changed", LF_STR("account", o->jid.bare),
           LF_TXT("what", past[o->verb]));
    return json_pack("{s:b, s:s%, s:s}", "ok", 1, "address", o->jid.bare.p, o->jid.bare.n, "what",
                     past[o->verb]);
}

static void finish(operation *o, json_t *take_answer)
{
    svi_users *users = o->users;
    svi_command_done done = o->done;
    void *ctx = o->ctx;
    for (size_t i = 0; i < SVI_SCRAM_HASHES; i++) svi_scram_keys_wipe(&o->keys[i]);
    svi_arena *arena = o->arena;
    svi_arena_free(&arena); /* the operation lies in it */
    let_go(users);
    done(ctx, take_answer);
}

static void on_done(void *ctx, sv_status status)
{
    operation *o = ctx;
    finish(o, result(o, status));
}

/* --- steps -------------------------------------------------------------------------------------------- */

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

static json_t *begin_set(operation *o, const json_t *request)
{
    const char *password = json_string_value(json_object_get(request, "password"));
    if (!password || !*password || strlen(password) > PASSWORD_MAX)
        return svi_answer_error("%s: a password has 1 to %u bytes", o->jid.bare.p, PASSWORD_MAX);
    o->password = svi_arena_str(o->arena, sv_str_of(password));
    o->work.data = o;
    const int failed = uv_queue_work(svi_shard_loop(o->users->shard), &o->work, derive, on_derived);
    SV_ASSERT(failed == 0);
    return NULL;
}

static void on_owners(void *ctx, sv_status status, const sv_str *owners, size_t count, bool more)
{
    operation *o = ctx;
    if (status != SV_OK) {
        finish(o, svi_answer_error("%s: %s", svi_host_name(o->host), wrong(o, status)));
        return;
    }
    json_t *names = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(names, json_stringn(owners[i].p, owners[i].n));
    finish(o, json_pack("{s:b, s:s, s:o, s:b}", "ok", 1, "host", svi_host_name(o->host), "names",
                        names, "more", more));
}

/* --- start -------------------------------------------------------------------------------------------- */

static operation *operation_new(svi_users *users, verb v, svi_command_done done, void *ctx)
{
    svi_arena *arena = svi_arena_new(users->acct, 4096);
    operation *o = svi_arena_get(arena, sizeof *o);
    *o = (operation){.users = users, .verb = v, .arena = arena, .done = done, .ctx = ctx};
    users->refs++;
    return o;
}

/* For a request that is refused before it began: frees, and gives the answer on. */
static json_t *refuse(operation *o, json_t *answer)
{
    svi_users *users = o->users;
    svi_arena *arena = o->arena;
    svi_arena_free(&arena);
    let_go(users);
    return answer;
}

static json_t *begin_list(operation *o, const json_t *request)
{
    svi_server *server = svi_shard_server(o->users->shard);
    const char *domain = json_string_value(json_object_get(request, "host"));
    const char *after = json_string_value(json_object_get(request, "after"));
    sv_str prepared = SV_STR_NONE;
    if (domain && svi_jid_prep_domain(o->arena, sv_str_of(domain), &prepared) == SV_OK)
        o->host = svi_host_find(server, prepared);
    if (!o->host) return svi_answer_error("%s: is no host of this server", domain ? domain : "?");
    svi_store_owners(svi_host_accounts(o->host), sv_str_of(after ? after : ""), LIST_MAX, on_owners,
                     o);
    svi_shard_wake(o->users->shard);
    return NULL;
}

/* Also tells how what seems to be meant is written; nothing is escaped unasked (XEP-0106). */
static json_t *no_address(const operation *o, const char *address)
{
    const sv_str text = sv_str_of(address);
    size_t at = text.n;
    sv_str name, prepared;
    while (at > 0 && text.p[at - 1] != '@') at--;
    if (at < 2 || svi_jid_escape_node(o->arena, svi_str_sub(text, 0, at - 1), &name) ||
        svi_jid_prep_node(o->arena, name, &prepared))
        return svi_answer_error("'%s' is no address of an account: write name@host", address);
    return svi_answer_error("'%s' is no address of an account: write name@host; that name is "
                            "written %.*s (XEP-0106)",
                            address, (int)name.n, name.p);
}

/* What an account can't be made of, or where. */
static json_t *refuse_new(const operation *o)
{
    if (svi_jid_has_outer_space(o->jid.node))
        return svi_answer_error("%.*s: a name must neither begin nor end with \\20, an escaped "
                                "space (XEP-0106)",
                                (int)o->jid.bare.n, o->jid.bare.p);
    if (svi_host_logins(o->host) == SVI_LOGINS_GUESTS)
        return svi_answer_error("%s takes no accounts: its 'authentication' is \"anonymous\"",
                                svi_host_name(o->host));
    return NULL;
}

static json_t *begin_change(operation *o, const json_t *request)
{
    svi_server *server = svi_shard_server(o->users->shard);
    const char *address = json_string_value(json_object_get(request, "address"));
    if (!address) return svi_answer_error("the request names no address");
    if (svi_jid_parse(o->arena, sv_str_of(address), &o->jid) != SV_OK || o->jid.node.n == 0 ||
        !svi_jid_is_bare(&o->jid))
        return no_address(o, address);
    o->host = svi_host_find(server, o->jid.domain);
    if (!o->host)
        return svi_answer_error("%.*s is no host of this server: add VirtualHost \"%.*s\" to the "
                                "configuration first",
                                (int)o->jid.domain.n, o->jid.domain.p, (int)o->jid.domain.n,
                                o->jid.domain.p);
    json_t *refused = o->verb == ADD ? refuse_new(o) : NULL;
    if (refused) return refused;
    if (o->verb != DELETE) return begin_set(o, request);
    svi_account_remove(o->host, o->jid.node, on_done, o);
    svi_shard_wake(o->users->shard);
    return NULL;
}

json_t *svi_users_run(svi_users *users, sv_str word, const json_t *request, svi_command_done done,
                      void *ctx)
{
    static const char *const verbs[] = {
        [ADD] = "add", [PASSWD] = "passwd", [DELETE] = "delete", [LIST] = "list"};
    SV_CHECK(users, MAGIC);
    SV_ASSERT(users->shard != NULL);
    for (unsigned v = 0; v < sizeof verbs / sizeof *verbs; v++) {
        if (!sv_str_eq(word, sv_str_of(verbs[v]))) continue;
        operation *o = operation_new(users, (verb)v, done, ctx);
        json_t *answer = v == LIST ? begin_list(o, request) : begin_change(o, request);
        return answer ? refuse(o, answer) : NULL;
    }
    return svi_answer_error("user %.*s: there is no such command", (int)word.n, word.p);
}
