/* The table of SASL mechanisms; each is an engine of its own (RFC 4422). */
#include "xmpp/xmpp_sasl.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_scram.h"

#define SASL_MAGIC 0x5a51e001u

typedef struct mechanism {
    const char *name;
    const char *hash; /* SCRAM without -PLUS */
    bool plus;
} mechanism;

/* Strongest first. -PLUS needs channel-binding data in svi_sasl_env. RFC 5802, RFC 7677; SHA-512 by
 * draft-melnikov-scram-sha-512. */
static const mechanism mechanisms[] = {
    {.name = "SCRAM-SHA-512-PLUS", .hash = "SCRAM-SHA-512", .plus = true},
    {.name = "SCRAM-SHA-256-PLUS", .hash = "SCRAM-SHA-256", .plus = true},
    {.name = "SCRAM-SHA-1-PLUS", .hash = "SCRAM-SHA-1", .plus = true},
    {.name = "SCRAM-SHA-512", .hash = "SCRAM-SHA-512"},
    {.name = "SCRAM-SHA-256", .hash = "SCRAM-SHA-256"},
    {.name = "SCRAM-SHA-1", .hash = "SCRAM-SHA-1"},
};

struct svi_sasl {
    uint32_t magic;
    svi_scram *scram;
};

const char *svi_sasl_offered(bool has_bindings, size_t i)
{
    for (size_t k = 0; k < sizeof mechanisms / sizeof mechanisms[0]; k++)
        if ((has_bindings || !mechanisms[k].plus) && i-- == 0) return mechanisms[k].name;
    return NULL;
}

const char *svi_sasl_fault_name(svi_sasl_fault fault)
{
    switch (fault) { /* RFC 6120 6.5 */
    case SVI_SASL_ABORTED: return "aborted";
    case SVI_SASL_ACCOUNT_DISABLED: return "account-disabled";
    case SVI_SASL_ENCRYPTION_REQUIRED: return "encryption-required";
    case SVI_SASL_INCORRECT_ENCODING: return "incorrect-encoding";
    case SVI_SASL_INVALID_AUTHZID: return "invalid-authzid";
    case SVI_SASL_INVALID_MECHANISM: return "invalid-mechanism";
    case SVI_SASL_MALFORMED_REQUEST: return "malformed-request";
    case SVI_SASL_MECHANISM_TOO_WEAK: return "mechanism-too-weak";
    case SVI_SASL_TEMPORARY_AUTH_FAILURE: return "temporary-auth-failure";
    case SVI_SASL_OK:
    case SVI_SASL_NOT_AUTHORIZED: break;
    }
    return "not-authorized";
}

svi_sasl *svi_sasl_new(svi_acct *acct, sv_str name, const svi_sasl_env *env)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++) {
        const mechanism *m = &mechanisms[i];
        if (!sv_str_eq(name, sv_str_of(m->name))) continue;
        if (m->plus && env->binding_count == 0) return NULL;
        svi_sasl *sasl = svi_alloc(acct, sizeof *sasl);
        sasl->magic = SASL_MAGIC;
        sasl->scram = svi_scram_new(acct, svi_scram_hash_find(sv_str_of(m->hash)), m->plus, env);
        return sasl;
    }
    return NULL;
}

void svi_sasl_free(svi_sasl **sasl)
{
    if (!*sasl) return;
    SV_CHECK(*sasl, SASL_MAGIC);
    svi_scram_free(&(*sasl)->scram);
    (*sasl)->magic = 0;
    svi_free(*sasl);
    *sasl = NULL;
}

svi_sasl_result svi_sasl_step(svi_sasl *sasl, sv_str message)
{
    SV_CHECK(sasl, SASL_MAGIC);
    return svi_scram_step(sasl->scram, message);
}

svi_sasl_result svi_sasl_keys(svi_sasl *sasl, const svi_scram_keys *keys, bool real)
{
    SV_CHECK(sasl, SASL_MAGIC);
    return svi_scram_keys_given(sasl->scram, keys, real);
}
