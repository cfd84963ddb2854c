/* The ledger's peers: an array of at most so many, a dictionary into it, and the order of their use. */
#include "bus/bus_domains.h"

#include "base/base_dict.h"

enum { FIRST_DOMAIN = 2, NONE = 0 /* no domain's number */ };

typedef struct peer {
    char *name; /* NULL: the two that are no domains */
    svi_ledger_counts counts;
    uint16_t number;       /* its own, of a domain */
    uint16_t newer, older; /* in order of use */
} peer;

struct svi_domains {
    svi_acct *acct;
    svi_dict *by_name; /* domain -> peer */
    peer *all[FIRST_DOMAIN + SVI_PEERS_MAX];
    uint16_t count;
    uint16_t newest, oldest;
};

svi_domains *svi_domains_new(svi_acct *acct)
{
    svi_domains *peers = svi_alloc(acct, sizeof *peers);
    peers->acct = acct;
    peers->by_name = svi_dict_new(acct);
    for (; peers->count < FIRST_DOMAIN; peers->count++) peers->all[peers->count] = svi_alloc(acct, sizeof(peer));
    return peers;
}

void svi_domains_free(svi_domains **peers)
{
    svi_domains *p = *peers;
    *peers = NULL;
    for (uint16_t i = 0; i < p->count; i++) {
        svi_free(p->all[i]->name);
        svi_free(p->all[i]);
    }
    svi_dict_free(&p->by_name);
    svi_free(p);
}

/* --- order of use ------------------------------------------------------------------------------------- */

static void unlink_peer(svi_domains *peers, uint16_t number)
{
    const peer *p = peers->all[number];
    *(p->newer != NONE ? &peers->all[p->newer]->older : &peers->newest) = p->older;
    *(p->older != NONE ? &peers->all[p->older]->newer : &peers->oldest) = p->newer;
}

static void link_newest(svi_domains *peers, uint16_t number)
{
    peer *p = peers->all[number];
    p->newer = NONE;
    p->older = peers->newest;
    *(p->older != NONE ? &peers->all[p->older]->newer : &peers->oldest) = number;
    peers->newest = number;
}

/* --- places ------------------------------------------------------------------------------------------- */

static void add_counts(svi_ledger_counts *sum, const svi_ledger_counts *more)
{
    for (size_t i = 0; i < SVI_ORIGINS; i++) sum->origin[i] += more->origin[i];
    for (size_t i = 0; i < SVI_DISPOSALS; i++) sum->disposal[i] += more->disposal[i];
    sum->acked += more->acked;
}

/* A free place, not linked; NONE if every domain has something in flight. */
static uint16_t take_place(svi_domains *peers)
{
    if (peers->count < FIRST_DOMAIN + SVI_PEERS_MAX) {
        peers->all[peers->count] = svi_alloc(peers->acct, sizeof(peer));
        return peers->count++;
    }
    uint16_t number = peers->oldest;
    while (number != NONE && peers->all[number]->counts.in_flight > 0) number = peers->all[number]->newer;
    if (number == NONE) return NONE;
    peer *p = peers->all[number];
    unlink_peer(peers, number);
    (void)svi_dict_del(peers->by_name, sv_str_of(p->name));
    add_counts(&peers->all[SVI_PEER_REST]->counts, &p->counts);
    svi_free(p->name);
    *p = (peer){.name = NULL};
    return number;
}

uint16_t svi_domains_of(svi_domains *peers, sv_str domain)
{
    const peer *found = svi_dict_get(peers->by_name, domain);
    uint16_t number;
    if (found != NULL) {
        number = found->number;
        unlink_peer(peers, number);
    } else {
        number = take_place(peers);
        if (number == NONE) return SVI_PEER_REST;
        peer *p = peers->all[number];
        p->number = number;
        p->name = svi_alloc(peers->acct, domain.n + 1);
        memcpy(p->name, domain.p, domain.n);
        svi_dict_put(peers->by_name, domain, p);
    }
    link_newest(peers, number);
    return number;
}

svi_ledger_counts *svi_domains_at(svi_domains *peers, uint16_t number)
{
    SV_ASSERT(number < peers->count);
    return &peers->all[number]->counts;
}

static bool has_counts(const svi_ledger_counts *counts)
{
    uint64_t all = 0;
    for (size_t i = 0; i < SVI_ORIGINS; i++) all += counts->origin[i];
    return all > 0;
}

bool svi_domains_next(const svi_domains *peers, size_t *pos, const char **name_out, const svi_ledger_counts **counts_out)
{
    while (*pos < peers->count) {
        const peer *p = peers->all[*pos];
        *name_out = *pos == SVI_PEER_LOCAL ? "(local)" : *pos == SVI_PEER_REST ? SVI_PEER_OTHERS : p->name;
        *counts_out = &p->counts;
        (*pos)++;
        if (has_counts(&p->counts)) return true;
    }
    return false;
}
