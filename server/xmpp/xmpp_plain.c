/* PLAIN: one message, one derivation off the router (PBKDF2 takes milliseconds), one comparison. */
#include "xmpp/xmpp_plain.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_jid.h"

#include <openssl/crypto.h>

#define PLAIN_MAGIC 0x914a1001u
#define WORK_MAGIC 0x914a1002u
#define PASSWORD_MAX 1023u /* bytes; what `stave user add` takes */

typedef enum state { FIRST, KEYS, CHECK, WORK, ENDED } state;

struct svi_plain {
    uint32_t magic;
    state state;
    svi_sasl_env env;
    svi_acct *acct;
    svi_arena *arena;
    sv_str name;     /* prepared */
    sv_str password; /* in memory of its own, which is wiped */
};

struct svi_sasl_work {
    uint32_t magic;
    bool real, fits;
    sv_str password;
    svi_scram_keys keys;
};

static void wipe(sv_str *secret)
{
    if (secret->n > 0) OPENSSL_cleanse((void *)(uintptr_t)secret->p, secret->n);
    svi_str_free(secret);
}

svi_plain *svi_plain_new(svi_acct *acct, const svi_sasl_env *env)
{
    svi_plain *plain = svi_alloc(acct, sizeof *plain);
    plain->magic = PLAIN_MAGIC;
    plain->env = *env;
    plain->acct = acct;
    plain->arena = svi_arena_new(acct, 1024);
    return plain;
}

void svi_plain_free(svi_plain **plain)
{
    svi_plain *p = *plain;
    *plain = NULL;
    if (!p) return;
    SV_CHECK(p, PLAIN_MAGIC);
    wipe(&p->password);
    svi_arena_free(&p->arena);
    p->magic = 0;
    svi_free(p);
}

static svi_sasl_result fail(svi_plain *plain, svi_sasl_fault fault)
{
    plain->state = ENDED;
    return (svi_sasl_result){.next = SVI_SASL_FAILURE, .fault = fault, .name = plain->name};
}

/* message = [authzid] NUL authcid NUL passwd (RFC 4616 2), the last two not empty and without NUL. */
static bool split(sv_str message, sv_str *authzid_out, sv_str *name_out, sv_str *password_out)
{
    const size_t first = svi_str_find(message, '\0');
    const sv_str rest = svi_str_sub(message, first + 1, message.n);
    const size_t second = svi_str_find(rest, '\0');
    if (first == message.n || second == rest.n) return false;
    *authzid_out = first > 0 ? svi_str_sub(message, 0, first) : SV_STR_NONE;
    *name_out = svi_str_sub(rest, 0, second);
    *password_out = svi_str_sub(rest, second + 1, rest.n);
    return name_out->n > 0 && password_out->n > 0 &&
           svi_str_find(*password_out, '\0') == password_out->n;
}

svi_sasl_result svi_plain_step(svi_plain *plain, sv_str message)
{
    SV_CHECK(plain, PLAIN_MAGIC);
    SV_ASSERT(plain->state == FIRST);
    sv_str authzid, name, password;
    if (!svi_utf8_valid(message) || !split(message, &authzid, &name, &password))
        return fail(plain, SVI_SASL_MALFORMED_REQUEST);
    if (password.n > PASSWORD_MAX || svi_jid_prep_node(plain->arena, name, &plain->name))
        return fail(plain, SVI_SASL_NOT_AUTHORIZED);
    if (!svi_sasl_authzid_fits(plain->arena, authzid, plain->name, plain->env.host))
        return fail(plain, SVI_SASL_INVALID_AUTHZID);
    plain->password = svi_str_dup(plain->acct, password);
    if (plain->env.checks_password) {
        plain->state = CHECK;
        return (svi_sasl_result){
            .next = SVI_SASL_NEED_CHECK, .name = plain->name, .out = plain->password};
    }
    plain->state = KEYS;
    return (svi_sasl_result){
        .next = SVI_SASL_NEED_KEYS, .name = plain->name, .keys = SVI_PLAIN_KEYS};
}

svi_sasl_result svi_plain_keys_given(svi_plain *plain, const svi_scram_keys *keys, bool real)
{
    SV_CHECK(plain, PLAIN_MAGIC);
    SV_ASSERT(plain->state == KEYS);
    svi_sasl_work *work = svi_alloc(plain->acct, sizeof *work);
    *work = (svi_sasl_work){
        .magic = WORK_MAGIC, .real = real, .password = plain->password, .keys = *keys};
    plain->password = SV_STR_NONE;
    plain->state = WORK;
    return (svi_sasl_result){.next = SVI_SASL_NEED_WORK, .name = plain->name, .work = work};
}

svi_sasl_result svi_plain_checked(svi_plain *plain, svi_sasl_fault fault)
{
    SV_CHECK(plain, PLAIN_MAGIC);
    SV_ASSERT(plain->state == CHECK);
    if (fault) return fail(plain, fault);
    plain->state = ENDED;
    return (svi_sasl_result){.next = SVI_SASL_SUCCESS, .name = plain->name};
}

svi_sasl_result svi_plain_worked(svi_plain *plain, const svi_sasl_work *work)
{
    SV_CHECK(plain, PLAIN_MAGIC);
    SV_CHECK(work, WORK_MAGIC);
    SV_ASSERT(plain->state == WORK);
    if (!work->fits || !work->real) return fail(plain, SVI_SASL_NOT_AUTHORIZED);
    plain->state = ENDED;
    return (svi_sasl_result){.next = SVI_SASL_SUCCESS, .name = plain->name};
}

/* The same for an account and for none (threats A4): made-up keys have as many iterations. */
void svi_sasl_work_run(svi_sasl_work *work)
{
    SV_CHECK(work, WORK_MAGIC);
    svi_scram_keys derived;
    const svi_scram_keys *keys = &work->keys;
    const sv_status status =
        svi_scram_derive(keys->mechanism, work->password,
                         (sv_str){(const char *)keys->salt, keys->salt_bytes}, keys->iterations,
                         &derived);
    work->fits = status == SV_OK &&
                 CRYPTO_memcmp(derived.stored_key, keys->stored_key, keys->key_bytes) == 0;
    if (status == SV_OK) svi_scram_keys_wipe(&derived);
}

void svi_sasl_work_free(svi_sasl_work **work)
{
    svi_sasl_work *w = *work;
    *work = NULL;
    if (!w) return;
    SV_CHECK(w, WORK_MAGIC);
    wipe(&w->password);
    svi_scram_keys_wipe(&w->keys);
    w->magic = 0;
    svi_free(w);
}
