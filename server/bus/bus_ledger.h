/* The ledger: every stanza and every copy of one is disposed of exactly once, with a reason
 * (architecture 3.8):
 *
 *   received + made = handed over + answered + stored + bounced + refused + dropped + in flight
 *
 * An entry is opened when a stanza is received or made and closed by its disposal. Counts are kept
 * in all, per host, per module and per peer. A table of the open entries (32 bytes each) is kept in every
 * build, so that a second disposal is always noticed; builds with SVI_DEBUG also keep the hook that
 * opened an entry, and abort. Router thread only.
 *
 * A peer is another server that a stanza came from or goes to, by its domain; everything between local clients and
 * this server is counted to one, "(local)". The 1,000 domains that were used last have counts of their own, those of
 * the others are under "(others)". */
#ifndef SVI_BUS_LEDGER_H
#define SVI_BUS_LEDGER_H

#include "base/base_assert.h"
#include "base/base_mem.h"
#include "bus/bus_trail.h"

typedef enum svi_origin {
    SVI_RECEIVED = 0,   /* from a client or peer */
    SVI_MADE_ANSWER,    /* result or error for a request */
    SVI_MADE_COPY,      /* fan-out: second and further copies of one stanza */
    SVI_MADE_PUSH,      /* made by a module on its own account: roster push, presence, probe */
    SVI_MADE_RECOVERED, /* taken from the store: offline delivery, restart */
    SVI_ORIGINS
} svi_origin;

typedef enum svi_disposal {
    SVI_HANDED_OVER = 0, /* written to a connection */
    SVI_ANSWERED, /* a request that got its result or error from here; an answer that settled one of
                     ours */
    SVI_STORED,   /* only stored */
    SVI_BOUNCED,  /* returned as an error to its sender */
    SVI_REFUSED,  /* returned as an error before any handler or by one */
    SVI_CONSUMED, /* did its work here and goes no further: own presence, subscription handled */
    SVI_DROPPED,  /* by a named rule */
    SVI_DISPOSALS
} svi_disposal;

typedef struct svi_ledger svi_ledger;

/* Counts of one account: the whole, a host, a module, a peer. All zero at first. */
typedef struct svi_ledger_counts {
    uint64_t origin[SVI_ORIGINS];     /* of a module: what it opened */
    uint64_t disposal[SVI_DISPOSALS]; /* of a module: what it decided, whoever had opened it */
    uint64_t acked;     /* of those handed over: the client has said that it got them (XEP-0198) */
    uint64_t in_flight; /* of what `origin` counts: open; of the whole see svi_ledger_in_flight */
    uint64_t ended;     /* of a module: of what `origin` counts, closed; else 0 */
    struct svi_ledger_rule *rules; /* of a host: by which its stanzas were dropped; the ledger's */
} svi_ledger_counts;

/* An empty ledger; its memory is charged to `acct`. */
svi_ledger *svi_ledger_new(svi_acct *acct);
/* Logs what is still open (`ledger-leak`, who opened it); asserts, when strict, that nothing is. */
void svi_ledger_free(svi_ledger **ledger);

/* Strict: a leak or a double disposal ends the worker; else it is logged and made good. Strict
 * is the default of builds with SVI_DEBUG. */
void svi_ledger_set_strict(svi_ledger *ledger, bool strict);
/* See svi_ledger_set_strict. */
bool svi_ledger_is_strict(const svi_ledger *ledger);

/* Opens an entry: returns its number (never 0). `host` is the account it is counted to, may be
 * NULL. The module is the one that runs now (svi_exec_now). */
uint64_t svi_ledger_open(svi_ledger *ledger, svi_origin origin, svi_ledger_counts *host);

/* Closes the entry, counts its disposal to the host it was opened for and to the module that
 * runs now. `rule` names why when dropped (required then; copied on first use). An entry that is
 * not open: asserted when strict, else logged (`ledger-double`), nothing is counted and the
 * answer is false. */
bool svi_ledger_close(svi_ledger *ledger, uint64_t number, svi_disposal disposal, const char *rule);
/* The same as handed over, of which the client has said that it got it. */
bool svi_ledger_close_acked(svi_ledger *ledger, uint64_t number);

/* The entry, which must be open, came from or goes to that domain, which is not served here; else it is
 * "(local)". Nothing if it is not open. */
void svi_ledger_set_peer(svi_ledger *ledger, uint64_t number, sv_str domain);

/* The host's counts go away: entries that are open for it are from now on counted in the whole
 * only. Asserts, when strict, that its counts balance. */
void svi_ledger_forget_host(svi_ledger *ledger, svi_ledger_counts *host);

/* Where the ledger notes what is opened and closed (bus_trail.h); NULL: nowhere. Borrowed. */
void svi_ledger_set_trail(svi_ledger *ledger, svi_trail *trail);

/* True from open to close; false for 0. */
bool svi_ledger_is_open(const svi_ledger *ledger, uint64_t number);
/* Entries that are open now. */
uint64_t svi_ledger_in_flight(const svi_ledger *ledger);
/* Counts of the whole; borrowed, they go on changing. */
const svi_ledger_counts *svi_ledger_total(const svi_ledger *ledger);

/* True if the equation above holds for the whole and for each peer, and what a module opened is closed or in flight. */
bool svi_ledger_balances(const svi_ledger *ledger);
/* True if it holds for a host or a peer. Of a module `disposal` is of others' stanzas, too: for it only that
 * what it opened is ended or in flight. */
bool svi_ledger_counts_balance(const svi_ledger_counts *counts, bool is_module);

/* Walks the rules by which stanzas were dropped: start with *pos = 0. Those that came behind the first 1,000 are one,
 * "(others)". */
bool svi_ledger_rules(const svi_ledger *ledger, size_t *pos, const char **rule_out,
                      uint64_t *count_out);
/* Walks modules' counts ("core" for what runs outside of any): what each opened and what each
 * disposed of. They balance in the whole, not by module: one opens, another disposes. */
bool svi_ledger_modules(const svi_ledger *ledger, size_t *pos, const char **module_out,
                        const svi_ledger_counts **counts_out);

/* The same for the rules of a host. */
bool svi_ledger_host_rules(const svi_ledger_counts *host, size_t *pos, const char **rule_out, uint64_t *count_out);
/* Walks peers: "(local)", "(others)", then domains in no order. Names are borrowed. */
bool svi_ledger_peers(const svi_ledger *ledger, size_t *pos, const char **peer_out,
                      const svi_ledger_counts **counts_out);

/* Static names: "made-answer", "handed-over". */
const char *svi_origin_name(svi_origin origin);
/* See svi_origin_name. */
const char *svi_disposal_name(svi_disposal disposal);

#endif
