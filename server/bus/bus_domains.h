/* The ledger's peers: counts by domain, bounded. The domain that nothing was counted to for longest gives its place to a
 * new one, and its counts to "(others)"; one with stanzas in flight keeps it. Private to bus_ledger.c. */
#ifndef SVI_BUS_DOMAINS_H
#define SVI_BUS_DOMAINS_H

#include "bus/bus_ledger.h"

enum {
    SVI_PEER_LOCAL = 0, /* numbers: what no other server has to do with; its counts are for the ledger to fill in */
    SVI_PEER_REST,      /* domains without counts of their own */
    SVI_PEERS_MAX = 1000
};
#define SVI_PEER_OTHERS "(others)" /* the name of SVI_PEER_REST */

typedef struct svi_domains svi_domains;

/* An empty table of them / frees it. */
svi_domains *svi_domains_new(svi_acct *acct);
void svi_domains_free(svi_domains **peers);

/* The domain's number, which stays its while it has something in flight; counts as use. */
uint16_t svi_domains_of(svi_domains *peers, sv_str domain);
/* The counts of a number. */
svi_ledger_counts *svi_domains_at(svi_domains *peers, uint16_t number);
/* Walks all that were counted to: start with *pos = 0. */
bool svi_domains_next(const svi_domains *peers, size_t *pos, const char **name_out, const svi_ledger_counts **counts_out);

#endif
