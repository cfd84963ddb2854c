/* Back ends of accounts (<stave/auth.h>): questions to a module that keeps a host's accounts, their
 * answers and their time limit. xmpp_account.h asks here when a host has one. Router thread.
 *
 * Each `done` is called once, never before the starting call has returned. SV_ETIMEOUT: no answer in
 * time. SV_EBUSY: SVI_PROVIDER_ASKS questions wait already. SV_ECANCELED: the server ends. SV_EIO: it failed, or a
 * reload took it away.
 * SV_EVERSION: it can't do that. Others are the back end's. */
#ifndef SVI_XMPP_PROVIDER_H
#define SVI_XMPP_PROVIDER_H

#include <stave/auth.h>

#include "xmpp/xmpp_account.h"

#define SVI_PROVIDER_ASKS 1024u
#define SVI_PROVIDER_WAIT_US INT64_C(10000000)

typedef struct svi_provider svi_provider;

typedef struct svi_provider_config {
    const sv_auth *auth; /* copied as far as it goes */
    const char *name;    /* for operators; outlives it */
    void *self;          /* the module's */
    svi_acct *acct;      /* whom it is charged to */
    /* Calls run(arg) in the module's execution context. */
    void (*call)(void *ctx, void (*run)(void *arg), void *arg);
    void *ctx;
} svi_provider_config;

/* Makes one for the host; nobody is asked yet. SV_EINVAL if it lacks what is required. */
sv_status svi_provider_new(svi_host *host, const svi_provider_config *config,
                           svi_provider **provider_out);
/* From now on it is the host's, in place of another one, which may still answer what it was asked. */
void svi_provider_attach(svi_provider *provider);
/* It is the host's no more, and asked no more. Who waits for an answer is told this status (SV_EIO: try again), but
 * unless that is SV_ECANCELED, the host's new one is asked in its place whether an account exists, or to delete one.
 * The module may still answer what it was asked. */
void svi_provider_retire(svi_provider *provider, sv_status status);
/* Retired first (SV_ECANCELED), if it is not; the module's questions are gone. */
void svi_provider_free(svi_provider **provider);

/* While it is suspended nobody asks the module anything: whoever asks is told SV_EIO (try again later). What it was
 * asked before it may still answer. */
void svi_provider_suspend(svi_provider *provider, bool is_suspended);

/* Its name, NULL if the host's accounts are the server's own. */
const char *svi_provider_name(const svi_host *host);
/* Mechanisms that it has keys for ("": none); NULL if the host has no back end. */
const char *svi_provider_mechanisms(const svi_host *host);
/* Whether passwords are checked there. */
bool svi_provider_checks(const svi_host *host);
/* Whether an operator can delete accounts there. */
bool svi_provider_removes(const svi_host *host);
/* How made-up keys look; what is 0 stays. */
void svi_provider_disguise(const svi_host *host, svi_scram_keys *keys);

/* The questions; the host has a back end. Everything is copied, passwords are wiped. */
void svi_provider_find(svi_host *host, sv_str name, svi_account_done done, void *ctx);
void svi_provider_keys(svi_host *host, sv_str name, const char *mechanism,
                       svi_account_keys_done done, void *ctx);
void svi_provider_check(svi_host *host, sv_str name, sv_str password, svi_account_done done,
                        void *ctx);
void svi_provider_set(svi_host *host, sv_str name, sv_str password, bool is_new,
                      svi_account_done done, void *ctx);
void svi_provider_remove(svi_host *host, sv_str name, svi_account_done done, void *ctx);
void svi_provider_list(svi_host *host, sv_str after, size_t max, svi_owners_done done, void *ctx);

/* What modules answer with (sv_api). */
void svi_auth_done(sv_auth_ask *ask, sv_status status);
void svi_auth_give_keys(sv_auth_ask *ask, const sv_auth_keys *keys);
void svi_auth_give_name(sv_auth_ask *ask, sv_str name);

#endif
