/* SASL mechanisms as state machines, apart from how their messages are framed in XML (RFC 4422;
 * the framing is RFC 6120 6.4 today, SASL 2 later). The identity of a session comes only from
 * here. */
#ifndef SVI_XMPP_SASL_H
#define SVI_XMPP_SASL_H

#include "base/base_plat.h"
#include "base/base_str.h"
#include "net/net_binding.h"

#define SVI_SCRAM_MAX_ITERATIONS 1000000u
#define SVI_SCRAM_ITERATIONS 10000u
#define SVI_SCRAM_SALT_BYTES 16u /* of new accounts and of made-up salts alike */
#define SVI_SCRAM_HASHES 3u      /* SHA-512, SHA-256, SHA-1 */

/* What is stored for one SCRAM hash (RFC 5802 3): never the password. */
typedef struct svi_scram_keys {
    char mechanism[24]; /* "SCRAM-SHA-256" */
    uint8_t salt[32];
    size_t salt_bytes;
    uint32_t iterations;
    uint8_t stored_key[64], server_key[64];
    size_t key_bytes;
} svi_scram_keys;

/* Derives keys (PBKDF2: milliseconds; not on the router while serving). The password is prepared
 * with OpaqueString (RFC 8265 4.2); SV_EINVAL if it can't be, SV_ENOTFOUND if there is no such
 * mechanism. `salt` is 1 to 32 bytes, for new accounts SVI_SCRAM_SALT_BYTES. Any thread. */
sv_status svi_scram_derive(const char *mechanism, sv_str password, sv_str salt, uint32_t iterations,
                           svi_scram_keys *keys_out);

/* Derives keys of every hash, each with a salt of its own from the platform, as a new password needs
 * them: a client of any mechanism may log in then. Errors and thread as above. */
sv_status svi_scram_derive_all(const svi_plat *plat, sv_str password,
                               svi_scram_keys keys_out[SVI_SCRAM_HASHES]);

/* Appends the record form for the accounts' map: "1 SCRAM-SHA-256 ITERATIONS SALT STORED
 * SERVER", the last three in base64. */
void svi_scram_keys_write(svi_buf *buf, const svi_scram_keys *keys);

/* Reads a record back: SV_EVERSION if it is of a newer form, SV_EINVAL if it is damaged. */
sv_status svi_scram_keys_read(sv_str record, svi_scram_keys *keys_out);

/* Wipes keys from memory. */
void svi_scram_keys_wipe(svi_scram_keys *keys);

/* Keys that look like an existing account's for one that does not exist: salt = HMAC of the
 * secret and the account (name@host); no proof fits them (threats A4). */
void svi_scram_keys_fake(const char *mechanism, sv_str secret, sv_str account,
                         svi_scram_keys *keys_out);

/* Failures as condition elements of RFC 6120 6.5. */
typedef enum svi_sasl_fault {
    SVI_SASL_OK = 0,
    SVI_SASL_ABORTED,
    SVI_SASL_ACCOUNT_DISABLED,
    SVI_SASL_ENCRYPTION_REQUIRED,
    SVI_SASL_INCORRECT_ENCODING,
    SVI_SASL_INVALID_AUTHZID,
    SVI_SASL_INVALID_MECHANISM,
    SVI_SASL_MALFORMED_REQUEST,
    SVI_SASL_MECHANISM_TOO_WEAK,
    SVI_SASL_NOT_AUTHORIZED,
    SVI_SASL_TEMPORARY_AUTH_FAILURE
} svi_sasl_fault;

/* The element's name: "not-authorized". */
const char *svi_sasl_fault_name(svi_sasl_fault fault);

typedef enum svi_sasl_next {
    SVI_SASL_CHALLENGE, /* send `out` as a challenge */
    SVI_SASL_NEED_KEYS, /* look up the keys of `name`, then call svi_sasl_keys */
    SVI_SASL_NEED_ACCOUNT, /* see that the account of `name` may log in, then call svi_sasl_account */
    SVI_SASL_NEED_CHECK, /* have the back end check the password `out` of `name`, then call svi_sasl_checked */
    SVI_SASL_NEED_WORK, /* have `work` run off the router, then call svi_sasl_worked */
    SVI_SASL_SUCCESS,   /* `name` is who it is; send `out` as additional data */
    SVI_SASL_GUEST,     /* it is nobody: a fresh name is to be given, or a failure said */
    SVI_SASL_FAILURE    /* `fault` */
} svi_sasl_next;

typedef struct svi_sasl svi_sasl;

/* A check that takes milliseconds, apart from the exchange it belongs to, which may end meanwhile. */
typedef struct svi_sasl_work svi_sasl_work;

/* Does it, once. Any thread, which nobody else uses it on. */
void svi_sasl_work_run(svi_sasl_work *work);

/* Frees it, run or not; secrets in it are wiped. */
void svi_sasl_work_free(svi_sasl_work **work);

typedef struct svi_sasl_result {
    svi_sasl_next next;
    sv_str out;       /* raw, not base64; borrowed until the next call */
    sv_str name;      /* prepared localpart; borrowed */
    const char *keys; /* NEED_KEYS: the mechanism that they are stored under; static */
    svi_sasl_work *work; /* NEED_WORK: the caller's from now on */
    svi_sasl_fault fault;
} svi_sasl_result;

/* What channel and server can do; bound into the exchange. */
typedef struct svi_sasl_env {
    const svi_plat *plat;
    sv_str host;    /* domain of the stream */
    bool is_secure; /* under TLS: PLAIN needs it */
    const svi_binding *bindings; /* those of the connection, announced but for silent ones; -PLUS
                                    needs one */
    size_t binding_count;
    const sv_str *cert_names; /* prepared localparts that the client's certificate has on this host;
                                 EXTERNAL needs one */
    size_t cert_name_count;
    bool has_guests;  /* ANONYMOUS is offered */
    bool only_guests; /* and nothing else */
    const char *hashes;   /* of a back end: the SCRAM mechanisms that it has keys of, separated by
                             blanks; NULL: all */
    bool checks_password; /* a back end does, for PLAIN */
} svi_sasl_env;

/* Starts an exchange: NULL if no such mechanism is offered, with the reason in *fault_out. `env` is
 * copied; its host, bindings and names must outlive the exchange. */
svi_sasl *svi_sasl_new(svi_acct *acct, sv_str mechanism, const svi_sasl_env *env,
                       svi_sasl_fault *fault_out);

/* Name of its mechanism; static. */
const char *svi_sasl_mechanism(const svi_sasl *sasl);

/* Type of the channel binding that the client has named (RFC 5802 6: "tls-exporter"), NULL while there
 * is none; static. */
const char *svi_sasl_binding(const svi_sasl *sasl);

/* Ends an exchange at any point; secrets in it are wiped. */
void svi_sasl_free(svi_sasl **sasl);

/* Name of the mechanism number `i` of those offered, strongest first; NULL at the end. EXTERNAL is
 * offered to whom a certificate names (RFC 6120 6.3.4, where it stands first), -PLUS ones where there are
 * channel bindings (RFC 5802 6), PLAIN under TLS (RFC 6120 13.8.3), ANONYMOUS where guests are. */
const char *svi_sasl_offered(const svi_sasl_env *env, size_t i);

/* The client's next message, raw. All mechanisms here are client-first (RFC 4422 5 2a): when
 * <auth/> brought no initial response the caller sends an empty challenge and hands over what
 * answers it. After SUCCESS or FAILURE, and while keys are asked for, it must not be called. */
svi_sasl_result svi_sasl_step(svi_sasl *sasl, sv_str message);
/* The keys asked for by NEED_KEYS, copied (`real` false: made-up ones, which make the end a
 * failure after the same work). */
svi_sasl_result svi_sasl_keys(svi_sasl *sasl, const svi_scram_keys *keys, bool real);
/* Whether the account asked for by NEED_ACCOUNT may log in: SVI_SASL_OK, or why not. */
svi_sasl_result svi_sasl_account(svi_sasl *sasl, svi_sasl_fault fault);
/* The same of the password asked about by NEED_CHECK. */
svi_sasl_result svi_sasl_checked(svi_sasl *sasl, svi_sasl_fault fault);
/* The work asked for by NEED_WORK has run; it stays the caller's. */
svi_sasl_result svi_sasl_worked(svi_sasl *sasl, const svi_sasl_work *work);

/* The authorization identity is compared, never used (threats A1): none, or the bare JID (RFC 6120
 * 6.3.8) that the authenticated `name` has on `host`. */
bool svi_sasl_authzid_fits(svi_arena *arena, sv_str authzid, sv_str name, sv_str host);

#endif
