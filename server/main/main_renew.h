/* Keeps the certificates that a running server shows up to date: looks at their files at intervals,
 * hands on new contexts, and tells of those that expire.
 *
 * Files are read in libuv's pool, by name and whole, so that it does not matter how they were replaced
 * (written over, renamed, a link or folder swapped) or on what file system they lie. Router thread. */
#ifndef SVI_MAIN_RENEW_H
#define SVI_MAIN_RENEW_H

#include <uv.h>

#include "base/base_plat.h"
#include "main/main_certs.h"

typedef struct svi_renew svi_renew;

typedef struct svi_renew_config {
    svi_acct *acct;
    uv_loop_t *loop;
    const svi_plat *plat; /* its wall clock says what has expired */
    int64_t check_ms;     /* from one look to the next */
    int64_t warn_days;
    void (*renewed)(void *ctx, svi_tls *tls); /* new connections use `tls` from now on; borrowed */
    void *ctx;
} svi_renew_config;

/* Begins to watch `take`, which may be NULL (no host has a certificate). Tells at once what is wrong
 * with them. */
svi_renew *svi_renew_start(const svi_renew_config *config, svi_certs *take);

/* What it watches; NULL if nothing. Not while it may be looking at them: for reading only. */
const svi_certs *svi_renew_certs(const svi_renew *renew);

/* Watches others from now on, as another configuration has them; `renewed` is called. */
void svi_renew_replace(svi_renew *renew, svi_certs *take, int64_t check_ms, int64_t warn_days);

/* Ends it; the handle and a look under way end in the loop's next rounds, the account must live until
 * then. Clears the pointer. */
void svi_renew_stop(svi_renew **renew);

#endif
