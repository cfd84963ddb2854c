/* The table of SASL mechanisms; each is an engine of its own (RFC 4422). */
#include "xmpp/xmpp_sasl.h"
#include "base/base_assert.h"
#include "xmpp/xmpp_external.h"
#include "xmpp/xmpp_jid.h"
#include "xmpp/xmpp_plain.h"
#include "xmpp/xmpp_scram.h"

#define SASL_MAGIC 0x5a51e001u
#define TRACE_MAX 1020u /* bytes of what a guest may say (RFC 4505 2: 255 characters) */

typedef enum kind { SCRAM, PLAIN, EXTERNAL, ANONYMOUS } kind;

typedef struct mechanism {
    const char *name;
    kind kind;
    const char *hash; /* of SCRAM, its name without -PLUS */
    bool plus;
} mechanism;

/* Strongest first. -PLUS needs channel-binding data in svi_sasl_env. RFC 5802, RFC 7677; SHA-512 by
 * draft-melnikov-scram-sha-512. */
static const mechanism mechanisms[] = {
    {.name = "EXTERNAL", .kind = EXTERNAL},
    {.name = "SCRAM-SHA-512-PLUS", .hash = "SCRAM-SHA-512", .plus = true},
    {.name = "SCRAM-SHA-256-PLUS", .hash = "SCRAM-SHA-256", .plus = true},
    {.name = "SCRAM-SHA-1-PLUS", .hash = "SCRAM-SHA-1", .plus = true},
    {.name = "SCRAM-SHA-512", .hash = "SCRAM-SHA-512"},
    {.name = "SCRAM-SHA-256", .hash = "SCRAM-SHA-256"},
    {.name = "SCRAM-SHA-1", .hash = "SCRAM-SHA-1"},
    {.name = "PLAIN", .kind = PLAIN},
    {.name = "ANONYMOUS", .kind = ANONYMOUS},
};

struct svi_sasl {
    uint32_t magic;
    const char *name;
    svi_scram *scram; /* one of the three; none: ANONYMOUS, which has nothing to keep */
    svi_plain *plain;
    svi_external *external;
};

/* Whether there are keys for it; a back end may lack them. */
static bool has_keys(const svi_sasl_env *env, const char *hash)
{
    sv_str rest = sv_str_of(env->hashes), word;
    if (!env->hashes) return true;
    while (svi_str_split(&rest, ' ', &word))
        if (sv_str_eq(word, sv_str_of(hash))) return true;
    return false;
}

/* SVI_SASL_OK if it is offered on such a stream. */
static svi_sasl_fault judge(const mechanism *m, const svi_sasl_env *env)
{
    bool is_there = true;
    switch (m->kind) {
    case SCRAM:
        is_there = !env->only_guests && (!m->plus || env->binding_count > 0) &&
                   has_keys(env, m->hash);
        break;
    case PLAIN:
        is_there = !env->only_guests;
        if (!env->checks_password && !has_keys(env, SVI_PLAIN_KEYS)) is_there = false;
        if (is_there && !env->is_secure) return SVI_SASL_ENCRYPTION_REQUIRED;
        break;
    case EXTERNAL: is_there = !env->only_guests && env->cert_name_count > 0; break;
    case ANONYMOUS: is_there = env->has_guests; break; /* threats A7 */
    }
    return is_there ? SVI_SASL_OK : SVI_SASL_INVALID_MECHANISM;
}

const char *svi_sasl_offered(const svi_sasl_env *env, size_t i)
{
    for (size_t k = 0; k < sizeof mechanisms / sizeof mechanisms[0]; k++)
        if (judge(&mechanisms[k], env) == SVI_SASL_OK && i-- == 0) return mechanisms[k].name;
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

svi_sasl *svi_sasl_new(svi_acct *acct, sv_str name, const svi_sasl_env *env,
                       svi_sasl_fault *fault_out)
{
    *fault_out = SVI_SASL_INVALID_MECHANISM;
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++) {
        const mechanism *m = &mechanisms[i];
        if (!sv_str_eq(name, sv_str_of(m->name))) continue;
        *fault_out = judge(m, env);
        if (*fault_out != SVI_SASL_OK) return NULL;
        svi_sasl *sasl = svi_alloc(acct, sizeof *sasl);
        sasl->magic = SASL_MAGIC;
        sasl->name = m->name;
        if (m->kind == SCRAM)
            sasl->scram =
                svi_scram_new(acct, svi_scram_hash_find(sv_str_of(m->hash)), m->plus, env);
        if (m->kind == PLAIN) sasl->plain = svi_plain_new(acct, env);
        if (m->kind == EXTERNAL) sasl->external = svi_external_new(acct, env);
        return sasl;
    }
    return NULL;
}

const char *svi_sasl_mechanism(const svi_sasl *sasl)
{
    SV_CHECK(sasl, SASL_MAGIC);
    return sasl->name;
}

const char *svi_sasl_binding(const svi_sasl *sasl)
{
    SV_CHECK(sasl, SASL_MAGIC);
    return sasl->scram ? svi_scram_binding(sasl->scram) : NULL;
}

void svi_sasl_free(svi_sasl **sasl)
{
    if (!*sasl) return;
    SV_CHECK(*sasl, SASL_MAGIC);
    svi_scram_free(&(*sasl)->scram);
    svi_plain_free(&(*sasl)->plain);
    svi_external_free(&(*sasl)->external);
    (*sasl)->magic = 0;
    svi_free(*sasl);
    *sasl = NULL;
}

/* RFC 4505 2, 3: text for traces, without control characters. It proves nothing and is used for nothing
 * (XEP-0175 3). */
static svi_sasl_result guest_step(sv_str trace)
{
    bool fits = trace.n <= TRACE_MAX && svi_utf8_valid(trace);
    for (size_t i = 0; i < trace.n; i++)
        if ((unsigned char)trace.p[i] < 0x20 || trace.p[i] == 0x7f) fits = false;
    if (!fits)
        return (svi_sasl_result){.next = SVI_SASL_FAILURE, .fault = SVI_SASL_MALFORMED_REQUEST};
    return (svi_sasl_result){.next = SVI_SASL_GUEST};
}

svi_sasl_result svi_sasl_step(svi_sasl *sasl, sv_str message)
{
    SV_CHECK(sasl, SASL_MAGIC);
    if (sasl->scram) return svi_scram_step(sasl->scram, message);
    if (sasl->plain) return svi_plain_step(sasl->plain, message);
    return sasl->external ? svi_external_step(sasl->external, message) : guest_step(message);
}

svi_sasl_result svi_sasl_keys(svi_sasl *sasl, const svi_scram_keys *keys, bool real)
{
    SV_CHECK(sasl, SASL_MAGIC);
    return sasl->scram ? svi_scram_keys_given(sasl->scram, keys, real)
                       : svi_plain_keys_given(sasl->plain, keys, real);
}

svi_sasl_result svi_sasl_account(svi_sasl *sasl, svi_sasl_fault fault)
{
    SV_CHECK(sasl, SASL_MAGIC);
    SV_ASSERT(sasl->external != NULL);
    return svi_external_account(sasl->external, fault);
}

svi_sasl_result svi_sasl_checked(svi_sasl *sasl, svi_sasl_fault fault)
{
    SV_CHECK(sasl, SASL_MAGIC);
    SV_ASSERT(sasl->plain != NULL);
    return svi_plain_checked(sasl->plain, fault);
}

svi_sasl_result svi_sasl_worked(svi_sasl *sasl, const svi_sasl_work *work)
{
    SV_CHECK(sasl, SASL_MAGIC);
    SV_ASSERT(sasl->plain != NULL);
    return svi_plain_worked(sasl->plain, work);
}

bool svi_sasl_authzid_fits(svi_arena *arena, sv_str authzid, sv_str name, sv_str host)
{
    sv_jid jid;
    if (!authzid.p) return true;
    return !svi_jid_parse(arena, authzid, &jid) && svi_jid_is_bare(&jid) &&
           sv_str_eq(jid.node, name) && sv_str_eq(jid.domain, host);
}
