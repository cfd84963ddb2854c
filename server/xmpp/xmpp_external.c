/* EXTERNAL: one message, which may name one of the certificate's addresses, and a look whether that
 * account is there. */
#include "xmpp/xmpp_external.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_jid.h"

#define EXTERNAL_MAGIC 0xe87e1001u

typedef enum state { FIRST, ACCOUNT, ENDED } state;

struct svi_external {
    uint32_t magic;
    state state;
    svi_sasl_env env;
    svi_arena *arena;
    sv_str name; /* of env's */
};

svi_external *svi_external_new(svi_acct *acct, const svi_sasl_env *env)
{
    SV_ASSERT(env->cert_name_count > 0);
    svi_external *external = svi_alloc(acct, sizeof *external);
    external->magic = EXTERNAL_MAGIC;
    external->env = *env;
    external->arena = svi_arena_new(acct, 512);
    return external;
}

void svi_external_free(svi_external **external)
{
    svi_external *e = *external;
    *external = NULL;
    if (!e) return;
    SV_CHECK(e, EXTERNAL_MAGIC);
    svi_arena_free(&e->arena);
    e->magic = 0;
    svi_free(e);
}

static svi_sasl_result fail(svi_external *external, svi_sasl_fault fault)
{
    external->state = ENDED;
    return (svi_sasl_result){.next = SVI_SASL_FAILURE, .fault = fault, .name = external->name};
}

/* The address that the client is to have; .p NULL if it may not, or if it must choose. XEP-0178 2,
 * step 11: the only one of the certificate's on this host, or of several the one that the client names
 * as its authorization identity. The identity is the certificate's, never the message's (threats A1). */
static sv_str choose(svi_external *external, sv_str authzid)
{
    const svi_sasl_env *env = &external->env;
    if (authzid.n == 0) return env->cert_name_count == 1 ? env->cert_names[0] : SV_STR_NONE;
    for (size_t i = 0; i < env->cert_name_count; i++)
        if (svi_sasl_authzid_fits(external->arena, authzid, env->cert_names[i], env->host))
            return env->cert_names[i];
    return SV_STR_NONE;
}

svi_sasl_result svi_external_step(svi_external *external, sv_str message)
{
    SV_CHECK(external, EXTERNAL_MAGIC);
    SV_ASSERT(external->state == FIRST);
    /* authz-id-string = *( UTF8-char-no-nul ) (RFC 4422 A.1) */
    if (svi_str_find(message, '\0') < message.n || !svi_utf8_valid(message))
        return fail(external, SVI_SASL_MALFORMED_REQUEST);
    external->name = choose(external, message);
    if (!external->name.p) return fail(external, SVI_SASL_INVALID_AUTHZID);
    external->state = ACCOUNT;
    return (svi_sasl_result){.next = SVI_SASL_NEED_ACCOUNT, .name = external->name};
}

svi_sasl_result svi_external_account(svi_external *external, svi_sasl_fault fault)
{
    SV_CHECK(external, EXTERNAL_MAGIC);
    SV_ASSERT(external->state == ACCOUNT);
    if (fault) return fail(external, fault);
    external->state = ENDED;
    return (svi_sasl_result){.next = SVI_SASL_SUCCESS, .name = external->name};
}
