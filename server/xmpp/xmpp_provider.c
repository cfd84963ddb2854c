/* Questions to back ends. A question has two ends: whoever asked is told once, by the answer, the clock
 * or the end; and the module answers once, maybe later than that, and only then its memory goes. */
#include "xmpp/xmpp_provider.h"

#include <openssl/crypto.h>
#include <stdio.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "bus/bus_timer.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_scram.h"

#define PROVIDER_MAGIC 0x9401d001u
#define ASK_MAGIC 0x9401d002u
#define SALT_FAKE_MAX 20u

typedef enum kind { FIND, KEYS, CHECK, SET, REMOVE, LIST } kind;

struct svi_provider {
    uint32_t magic;
    svi_host *host;
    sv_auth auth;
    const char *name;
    void *self;
    void (*call)(void *ctx, void (*run)(void *arg), void *arg);
    void *ctx;
    sv_auth_ask *asks; /* not answered */
    sv_auth_ask *over; /* nor those, but whoever asked was told when it was retired */
    size_t count;
    bool is_retired, is_suspended;
};

struct sv_auth_ask {
    uint32_t magic;
    kind kind;
    svi_provider *provider; /* NULL once it is gone, or the module has answered */
    svi_server *server;
    sv_auth_ask *next, **link; /* of the provider's */
    svi_arena *arena;
    sv_str name, password, after;
    const char *mechanism;
    bool is_new, is_told;
    sv_status status;
    svi_scram_keys keys;
    bool has_keys;
    sv_str *names;
    size_t name_count, max;
    size_t given; /* with those that were left out */
    svi_timer *timer;
    svi_account_done done;
    svi_account_keys_done keys_done;
    svi_owners_done owners_done;
    void *done_ctx;
};

/* --- a question's life ------------------------------------------------------------------------- */

static void ask_free(sv_auth_ask *ask)
{
    SV_CHECK(ask, ASK_MAGIC);
    SV_ASSERT(ask->is_told && !ask->provider && !ask->timer);
    if (ask->password.n > 0) OPENSSL_cleanse((void *)(uintptr_t)ask->password.p, ask->password.n);
    svi_scram_keys_wipe(&ask->keys);
    svi_arena *arena = ask->arena;
    ask->magic = 0;
    svi_arena_free(&arena); /* the question lies in it */
}

/* To whoever asked. */
static void tell(sv_auth_ask *ask, sv_status status)
{
    SV_CHECK(ask, ASK_MAGIC);
    if (ask->is_told) return;
    ask->is_told = true;
    svi_timer_cancel(&ask->timer);
    if (ask->kind == KEYS)
        ask->keys_done(ask->done_ctx, status, status == SV_OK ? &ask->keys : NULL);
    else if (ask->kind == LIST)
        ask->owners_done(ask->done_ctx, status, ask->names, status ? 0 : ask->name_count,
                         !status && ask->given == ask->max);
    else
        ask->done(ask->done_ctx, status);
}

static void leave(sv_auth_ask *ask)
{
    if (!ask->provider) return;
    *ask->link = ask->next;
    if (ask->next) ask->next->link = ask->link;
    ask->provider->count--;
    ask->provider = NULL;
}

static void finish_now(void *ctx)
{
    sv_auth_ask *ask = ctx;
    tell(ask, ask->status);
    ask_free(ask);
}

static void finish_never(void *ctx)
{
    sv_auth_ask *ask = ctx;
    tell(ask, SV_ECANCELED);
    ask_free(ask);
}

/* No more will come for it; whoever asked hears of it behind what runs now. */
static void finish(sv_auth_ask *ask, sv_status status)
{
    leave(ask);
    if (ask->is_told) {
        ask_free(ask);
        return;
    }
    ask->status = status;
    svi_timer_cancel(&ask->timer);
    svi_server_defer(ask->server, finish_now, finish_never, ask);
}

static void on_time_over(void *ctx)
{
    sv_auth_ask *ask = ctx;
    ask->timer = NULL;
    SV_LOG(SV_WARN, "auth-slow", LF_TXT("module", ask->provider->name),
           LF_INT("waiting", (int64_t)ask->provider->count));
    tell(ask, SV_ETIMEOUT);
}

static void enter(sv_auth_ask *ask, sv_auth_ask **list)
{
    ask->next = *list;
    ask->link = list;
    if (ask->next) ask->next->link = &ask->next;
    *list = ask;
}

static sv_auth_ask *ask_new(svi_host *host, kind k, sv_str name, void *ctx)
{
    svi_provider *provider = host->provider;
    SV_CHECK(provider, PROVIDER_MAGIC);
    svi_arena *arena = svi_arena_new(host->server->acct, 1024);
    sv_auth_ask *ask = svi_arena_get(arena, sizeof *ask);
    *ask = (sv_auth_ask){.magic = ASK_MAGIC,
                         .kind = k,
                         .provider = provider,
                         .server = host->server,
                         .arena = arena,
                         .name = svi_arena_str(arena, name),
                         .done_ctx = ctx};
    enter(ask, &provider->asks);
    provider->count++;
    return ask;
}

static bool can(const sv_auth *auth, kind k)
{
    switch (k) {
    case FIND: return auth->find != NULL;
    case KEYS: return auth->keys != NULL;
    case CHECK: return auth->check != NULL;
    case SET: return auth->set != NULL;
    case REMOVE: return auth->remove != NULL;
    case LIST: return auth->list != NULL;
    }
    return false;
}

static void put_question(void *arg)
{
    sv_auth_ask *ask = arg;
    const sv_auth *auth = &ask->provider->auth;
    void *self = ask->provider->self;
    switch (ask->kind) {
    case FIND: auth->find(ask, ask->name, self); break;
    case KEYS: auth->keys(ask, ask->name, sv_str_of(ask->mechanism), self); break;
    case CHECK: auth->check(ask, ask->name, ask->password, self); break;
    case SET: auth->set(ask, ask->name, ask->password, ask->is_new, self); break;
    case REMOVE: auth->remove(ask, ask->name, self); break;
    case LIST: auth->list(ask, ask->after, ask->max, self); break;
    }
}

static void ask_begin(sv_auth_ask *ask)
{
    svi_provider *provider = ask->provider;
    if (!can(&provider->auth, ask->kind)) {
        finish(ask, SV_EVERSION);
        return;
    }
    if (provider->count > SVI_PROVIDER_ASKS) {
        finish(ask, SV_EBUSY);
        return;
    }
    if (provider->is_suspended) {
        finish(ask, SV_EIO);
        return;
    }
    ask->timer = svi_timer_start(ask->server->timers, SVI_PROVIDER_WAIT_US, on_time_over, ask);
    provider->call(provider->ctx, put_question, ask);
}

/* --- answers ----------------------------------------------------------------------------------- */

/* An answer that tells nothing about the account, or breaks a rule, is a failure; so is a whole page of names that no
 * account can have, behind which nobody could go on. */
static sv_status known(const sv_auth_ask *ask, sv_status status)
{
    if (status == SV_OK && ask->kind == LIST && ask->given == ask->max && ask->name_count == 0) return SV_EIO;
    if (status == SV_OK && ask->kind == KEYS && !ask->has_keys) return SV_EIO;
    if (status == SV_OK || status == SV_ENOTFOUND || status == SV_EDENIED || status == SV_EEXIST ||
        status == SV_EINVAL)
        return status;
    return SV_EIO;
}

void svi_auth_done(sv_auth_ask *ask, sv_status status)
{
    SV_CHECK(ask, ASK_MAGIC);
    SV_ASSERT(ask->provider != NULL); /* answered once */
    const sv_status known_status = known(ask, status);
    if (known_status == SV_EIO && !ask->is_told)
        SV_LOG(SV_WARN, "auth-failed", LF_TXT("module", ask->provider->name),
               LF_TXT("status", svi_status_name(status)));
    finish(ask, known_status);
}

void svi_auth_give_keys(sv_auth_ask *ask, const sv_auth_keys *keys)
{
    SV_CHECK(ask, ASK_MAGIC);
    const svi_scram_hash *hash =
        ask->kind == KEYS ? svi_scram_hash_find(sv_str_of(ask->mechanism)) : NULL;
    ask->has_keys = hash && keys->size >= sizeof *keys && keys->salt.n > 0 &&
                    keys->salt.n <= sizeof ask->keys.salt && keys->iterations > 0 &&
                    keys->iterations <= SVI_SCRAM_MAX_ITERATIONS &&
                    keys->stored_key.n == hash->bytes && keys->server_key.n == hash->bytes;
    if (ask->has_keys) {
        svi_scram_keys *k = &ask->keys;
        (void)snprintf(k->mechanism, sizeof k->mechanism, "%s", hash->mechanism);
        memcpy(k->salt, keys->salt.p, keys->salt.n);
        k->salt_bytes = keys->salt.n;
        k->iterations = keys->iterations;
        memcpy(k->stored_key, keys->stored_key.p, hash->bytes);
        memcpy(k->server_key, keys->server_key.p, hash->bytes);
        k->key_bytes = hash->bytes;
    }
    svi_auth_done(ask, SV_OK);
}

/* A name that no account can have is left out. */
void svi_auth_give_name(sv_auth_ask *ask, sv_str name)
{
    SV_CHECK(ask, ASK_MAGIC);
    sv_str prepared;
    if (ask->kind != LIST || ask->is_told || ask->given >= ask->max) return;
    ask->given++;
    if (svi_jid_prep_node(ask->arena, name, &prepared) == SV_OK)
        ask->names[ask->name_count++] = prepared;
}

/* --- questions --------------------------------------------------------------------------------- */

static void ask_plainly(svi_host *host, kind k, sv_str name, svi_account_done done, void *ctx)
{
    sv_auth_ask *ask = ask_new(host, k, name, ctx);
    ask->done = done;
    ask_begin(ask);
}

void svi_provider_find(svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    ask_plainly(host, FIND, name, done, ctx);
}

void svi_provider_remove(svi_host *host, sv_str name, svi_account_done done, void *ctx)
{
    ask_plainly(host, REMOVE, name, done, ctx);
}

void svi_provider_keys(svi_host *host, sv_str name, const char *mechanism,
                       svi_account_keys_done done, void *ctx)
{
    sv_auth_ask *ask = ask_new(host, KEYS, name, ctx);
    ask->mechanism = mechanism;
    ask->keys_done = done;
    ask_begin(ask);
}

void svi_provider_check(svi_host *host, sv_str name, sv_str password, svi_account_done done,
                        void *ctx)
{
    sv_auth_ask *ask = ask_new(host, CHECK, name, ctx);
    ask->password = svi_arena_str(ask->arena, password);
    ask->done = done;
    ask_begin(ask);
}

void svi_provider_set(svi_host *host, sv_str name, sv_str password, bool is_new,
                      svi_account_done done, void *ctx)
{
    sv_auth_ask *ask = ask_new(host, SET, name, ctx);
    ask->password = svi_arena_str(ask->arena, password);
    ask->is_new = is_new;
    ask->done = done;
    ask_begin(ask);
}

void svi_provider_list(svi_host *host, sv_str after, size_t max, svi_owners_done done, void *ctx)
{
    sv_auth_ask *ask = ask_new(host, LIST, SV_STR_NONE, ctx);
    ask->after = svi_arena_str(ask->arena, after);
    ask->max = max;
    ask->names = svi_arena_get(ask->arena, max * sizeof *ask->names);
    ask->owners_done = done;
    ask_begin(ask);
}

/* --- the provider ------------------------------------------------------------------------------ */

static bool is_whole(const sv_auth *auth)
{
    const bool has_keys = auth->mechanisms && *auth->mechanisms;
    return auth->find && (has_keys ? auth->keys != NULL : auth->check != NULL) &&
           auth->iterations <= SVI_SCRAM_MAX_ITERATIONS && auth->salt_bytes <= SALT_FAKE_MAX;
}

sv_status svi_provider_new(svi_host *host, const svi_provider_config *config,
                           svi_provider **provider_out)
{
    SV_CHECK(host, SVI_HOST_MAGIC);
    sv_auth auth = {.size = sizeof auth};
    const uint32_t size = config->auth->size;
    if (size < offsetof(sv_auth, find)) return SV_EINVAL;
    memcpy(&auth, config->auth, size < sizeof auth ? size : sizeof auth);
    if (!is_whole(&auth)) return SV_EINVAL;
    svi_provider *provider = svi_alloc(config->acct, sizeof *provider);
    *provider = (svi_provider){.magic = PROVIDER_MAGIC,
                               .host = host,
                               .auth = auth,
                               .name = config->name,
                               .self = config->self,
                               .call = config->call,
                               .ctx = config->ctx};
    *provider_out = provider;
    return SV_OK;
}

void svi_provider_attach(svi_provider *provider)
{
    SV_CHECK(provider, PROVIDER_MAGIC);
    provider->host->provider = provider;
}

/* True if the host's new back end is asked in its place: of what can be asked twice, and whose answer does not hang on
 * what was offered to a client before. */
static bool ask_again(sv_auth_ask *ask)
{
    svi_host *host = ask->provider->host;
    if (!host->provider || ask->is_told || (ask->kind != FIND && ask->kind != REMOVE)) return false;
    svi_timer_cancel(&ask->timer);
    ask->is_told = true;
    ask_plainly(host, ask->kind, ask->name, ask->done, ask->done_ctx);
    return true;
}

void svi_provider_retire(svi_provider *p, sv_status status)
{
    SV_CHECK(p, PROVIDER_MAGIC);
    if (p->is_retired) return;
    p->is_retired = true;
    if (p->host->provider == p) p->host->provider = NULL;
    while (p->asks) {
        sv_auth_ask *ask = p->asks;
        leave(ask);
        enter(ask, &p->over);
        ask->provider = p;
        p->count++;
        if (status == SV_ECANCELED || !ask_again(ask)) tell(ask, status);
    }
}

void svi_provider_free(svi_provider **provider)
{
    svi_provider *p = *provider;
    *provider = NULL;
    if (!p) return;
    svi_provider_retire(p, SV_ECANCELED);
    while (p->over) {
        sv_auth_ask *ask = p->over;
        leave(ask);
        ask_free(ask);
    }
    p->magic = 0;
    svi_free(p);
}

void svi_provider_suspend(svi_provider *provider, bool is_suspended)
{
    SV_CHECK(provider, PROVIDER_MAGIC);
    provider->is_suspended = is_suspended;
}

const char *svi_provider_name(const svi_host *host)
{
    return host->provider ? host->provider->name : NULL;
}

const char *svi_provider_mechanisms(const svi_host *host)
{
    if (!host->provider) return NULL;
    const char *mechanisms = host->provider->auth.mechanisms;
    return mechanisms ? mechanisms : "";
}

bool svi_provider_checks(const svi_host *host)
{
    return host->provider && host->provider->auth.check;
}

bool svi_provider_removes(const svi_host *host)
{
    return host->provider && host->provider->auth.remove;
}

void svi_provider_disguise(const svi_host *host, svi_scram_keys *keys)
{
    if (!host->provider) return;
    const sv_auth *auth = &host->provider->auth;
    if (auth->iterations) keys->iterations = auth->iterations;
    if (auth->salt_bytes) keys->salt_bytes = auth->salt_bytes;
}
