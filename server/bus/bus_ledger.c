/* The ledger: counts, and a table of the open entries, so that each is closed exactly once and a
 * leak has a name.
 *
 * The table is open hashing by entry number. Numbers are consecutive and most entries are young,
 * so an entry lies at its home slot and neighbours share cache lines. */
#include "bus/bus_ledger.h"

#include "base/base_dict.h"
#include "base/base_log.h"
#include "bus/bus_domains.h"

enum {
    LEDGER_MAGIC = 0x4c454447,
    LEAST_SLOTS = 64,
    CACHE_SLOTS = 64,
    HOOK_BYTES = 47,
    RULES_MAX = 1000,
    TELL_AT_MOST = 10
};

/* A name (module or rule) with its counts. */
typedef struct tally {
    char *name;
    svi_ledger_counts counts; /* of a module */
    uint64_t times;           /* of a rule */
} tally;

/* Tallies by name. `cache` finds them by the address of the name's text, checked against the
 * text. */
typedef struct tallies {
    svi_dict *by_name;
    tally *cache[CACHE_SLOTS];
} tallies;

/* A rule by which stanzas of a host were dropped. */
struct svi_ledger_rule {
    struct svi_ledger_rule *next;
    const tally *rule;
    uint64_t times;
};

typedef struct entry {
    uint64_t number; /* 0: the slot is free */
    svi_ledger_counts *host;
    tally *opener;
    uint16_t peer; /* of `peers` */
    uint8_t origin;
#ifdef SVI_DEBUG
    char hook[HOOK_BYTES + 1];
#endif
} entry;

struct svi_ledger {
    uint32_t magic;
    bool strict;
    svi_acct *acct;
    uint64_t last_number;
    entry *slots;
    size_t mask;
    size_t open;
    svi_ledger_counts total;
    tallies modules, rules;
    svi_domains *peers;
    svi_trail *trail; /* NULL: nothing is noted */
};

const char *svi_origin_name(svi_origin origin)
{
    static const char *const names[SVI_ORIGINS] = {[SVI_RECEIVED] = "received",
                                                   [SVI_MADE_ANSWER] = "made-answer",
                                                   [SVI_MADE_COPY] = "made-copy",
                                                   [SVI_MADE_PUSH] = "made-push",
                                                   [SVI_MADE_RECOVERED] = "made-recovered"};
    SV_ASSERT((unsigned)origin < SVI_ORIGINS);
    return names[origin];
}

const char *svi_disposal_name(svi_disposal disposal)
{
    static const char *const names[SVI_DISPOSALS] = {
        [SVI_HANDED_OVER] = "handed-over", [SVI_ANSWERED] = "answered", [SVI_STORED] = "stored",
        [SVI_BOUNCED] = "bounced",         [SVI_REFUSED] = "refused",   [SVI_CONSUMED] = "consumed",
        [SVI_DROPPED] = "dropped"};
    SV_ASSERT((unsigned)disposal < SVI_DISPOSALS);
    return names[disposal];
}

/* --- tallies
 * -------------------------------------------------------------------------------------- */

static tally *tally_of(svi_ledger *ledger, tallies *in, const char *name)
{
    tally **cached = &in->cache[((uintptr_t)name >> 3) % CACHE_SLOTS];
    if (*cached != NULL && strcmp((*cached)->name, name) == 0) return *cached;
    const sv_str key = sv_str_of(name);
    tally *t = svi_dict_get(in->by_name, key);
    if (t == NULL) {
        t = svi_alloc(ledger->acct, sizeof(tally));
        t->name = svi_alloc(ledger->acct, key.n + 1);
        memcpy(t->name, key.p, key.n);
        svi_dict_put(in->by_name, key, t);
    }
    return *cached = t;
}

static void tallies_free(tallies *of)
{
    size_t pos = 0;
    sv_str name;
    void *value;
    while (svi_dict_next(of->by_name, &pos, &name, &value)) {
        tally *t = value;
        svi_free(t->name);
        svi_free(t);
    }
    svi_dict_free(&of->by_name);
}

/* Modules may make rules up: there is a bound. */
static tally *rule_of(svi_ledger *ledger, const char *rule)
{
    const bool is_full = svi_dict_count(ledger->rules.by_name) >= RULES_MAX;
    if (is_full && svi_dict_get(ledger->rules.by_name, sv_str_of(rule)) == NULL) rule = SVI_PEER_OTHERS;
    return tally_of(ledger, &ledger->rules, rule);
}

/* The rule used last comes first. */
static void count_rule(svi_ledger *ledger, svi_ledger_counts *host, const tally *rule)
{
    struct svi_ledger_rule **at = &host->rules, *found;
    while (*at != NULL && (*at)->rule != rule) at = &(*at)->next;
    found = *at;
    if (found != NULL)
        *at = found->next;
    else
        found = svi_alloc(ledger->acct, sizeof *found);
    found->rule = rule;
    found->times++;
    found->next = host->rules;
    host->rules = found;
}

/* Who runs now: a module, or the core. */
static tally *running(svi_ledger *ledger)
{
    const char *module = svi_exec_now()->module;
    return tally_of(ledger, &ledger->modules, module != NULL ? module : "core");
}

/* --- open entries
 * ---------------------------------------------------------------------------------- */

/* Where an entry belongs. Numbers that follow each other are spread (golden ratio): side by side they would be one long run
 * without a hole, which each close would walk to its end. */
static size_t home_of(const svi_ledger *ledger, uint64_t number)
{
    return (size_t)((number * 0x9E3779B97F4A7C15u) >> 32) & ledger->mask;
}

static entry *find(const svi_ledger *ledger, uint64_t number)
{
    if (number == 0) return NULL;
    for (size_t at = home_of(ledger, number); ledger->slots[at].number != 0;
         at = (at + 1) & ledger->mask)
        if (ledger->slots[at].number == number) return &ledger->slots[at];
    return NULL;
}

static entry *free_slot(svi_ledger *ledger, uint64_t number)
{
    size_t at = home_of(ledger, number);
    while (ledger->slots[at].number != 0) at = (at + 1) & ledger->mask;
    return &ledger->slots[at];
}

static void grow(svi_ledger *ledger)
{
    entry *old = ledger->slots;
    const size_t count = ledger->mask + 1;
    ledger->slots = svi_alloc(ledger->acct, count * 2 * sizeof(entry));
    ledger->mask = count * 2 - 1;
    for (size_t i = 0; i < count; i++)
        if (old[i].number != 0) *free_slot(ledger, old[i].number) = old[i];
    svi_free(old);
}

/* Empties a slot and moves back what had to pass it by. */
static void clear_slot(svi_ledger *ledger, entry *e)
{
    size_t hole = (size_t)(e - ledger->slots);
    for (size_t at = (hole + 1) & ledger->mask; ledger->slots[at].number != 0;
         at = (at + 1) & ledger->mask) {
        const size_t home = home_of(ledger, ledger->slots[at].number);
        if (((at - home) & ledger->mask) < ((at - hole) & ledger->mask)) continue;
        ledger->slots[hole] = ledger->slots[at];
        hole = at;
    }
    ledger->slots[hole].number = 0;
    ledger->open--;
}

static const char *hook_of(const entry *e)
{
#ifdef SVI_DEBUG
    return e->hook;
#else
    (void)e;
    return "";
#endif
}

/* Copies the running hook's text: it may be unmapped with its module before the entry is closed. */
static void note_hook(entry *e)
{
#ifdef SVI_DEBUG
    const char *hook = svi_exec_now()->hook;
    const size_t n = hook == NULL ? 0 : strlen(hook);
    memcpy(e->hook, hook != NULL ? hook : "", n < HOOK_BYTES ? n : HOOK_BYTES);
    e->hook[n < HOOK_BYTES ? n : HOOK_BYTES] = '\0';
#else
    (void)e;
#endif
}

/* --- the ledger
 * ------------------------------------------------------------------------------------ */

svi_ledger *svi_ledger_new(svi_acct *acct)
{
    svi_ledger *ledger = svi_alloc(acct, sizeof(svi_ledger));
    ledger->magic = LEDGER_MAGIC;
    ledger->acct = acct;
    ledger->modules.by_name = svi_dict_new(acct);
    ledger->rules.by_name = svi_dict_new(acct);
    ledger->slots = svi_alloc(acct, LEAST_SLOTS * sizeof(entry));
    ledger->mask = LEAST_SLOTS - 1;
    ledger->peers = svi_domains_new(acct);
#ifdef SVI_DEBUG
    ledger->strict = true;
#endif
    return ledger;
}

static void tell_leaks(const svi_ledger *ledger)
{
    size_t told = 0;
    for (size_t i = 0; i <= ledger->mask && told < TELL_AT_MOST; i++) {
        const entry *e = &ledger->slots[i];
        if (e->number == 0) continue;
        SV_LOG(SV_ERROR, "ledger-leak", LF_INT("entry", e->number),
               LF_TXT("opened-by", e->opener->name), LF_TXT("opened-in", hook_of(e)),
               LF_INT("leaks", ledger->open));
        told++;
    }
}

void svi_ledger_free(svi_ledger **ledger)
{
    svi_ledger *l = *ledger;
    if (l == NULL) return;
    SV_CHECK(l, LEDGER_MAGIC);
    tell_leaks(l);
    const bool is_settled = l->open == 0 && svi_ledger_balances(l);
    SV_ASSERT(is_settled || !l->strict);
    *ledger = NULL;
    svi_domains_free(&l->peers);
    tallies_free(&l->modules);
    tallies_free(&l->rules);
    svi_free(l->slots);
    l->magic = 0;
    svi_free(l);
}

void svi_ledger_set_strict(svi_ledger *ledger, bool strict)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    ledger->strict = strict;
}

bool svi_ledger_is_strict(const svi_ledger *ledger)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    return ledger->strict;
}

void svi_ledger_set_trail(svi_ledger *ledger, svi_trail *trail)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    ledger->trail = trail;
}

static void count_origin(svi_ledger_counts *counts, svi_origin origin)
{
    counts->origin[origin]++;
    counts->in_flight++;
}

uint64_t svi_ledger_open(svi_ledger *ledger, svi_origin origin, svi_ledger_counts *host)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    SV_ASSERT((unsigned)origin < SVI_ORIGINS);
    if ((ledger->open + 1) * 2 > ledger->mask) grow(ledger);
    const uint64_t number = ++ledger->last_number;
    entry *e = free_slot(ledger, number);
    *e = (entry){.number = number, .host = host, .opener = running(ledger), .peer = SVI_PEER_LOCAL, .origin = (uint8_t)origin};
    note_hook(e);
    ledger->open++;
    ledger->total.origin[origin]++;
    count_origin(&e->opener->counts, origin);
    if (host != NULL) count_origin(host, origin);
    /* what comes from outside has no cause here, whatever just runs */
    svi_trail_opened(ledger->trail, number, (unsigned)origin,
                     origin == SVI_RECEIVED ? 0 : svi_exec_now()->stanza);
    return number;
}

void svi_ledger_set_peer(svi_ledger *ledger, uint64_t number, sv_str domain)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    entry *e = find(ledger, number);
    if (e == NULL) return;
    if (e->peer != SVI_PEER_LOCAL) {
        svi_ledger_counts *before = svi_domains_at(ledger->peers, e->peer);
        before->origin[e->origin]--;
        before->in_flight--;
    }
    e->peer = svi_domains_of(ledger->peers, domain);
    count_origin(svi_domains_at(ledger->peers, e->peer), (svi_origin)e->origin);
}

static void count_disposal(svi_ledger_counts *counts, svi_disposal disposal, bool is_acked)
{
    counts->disposal[disposal]++;
    if (is_acked) counts->acked++;
}

/* PERF: nearly all are local: what they come to is the whole without the others, reckoned when it is asked for. */
static void count_all(svi_ledger *ledger, const entry *e, svi_disposal disposal, bool is_acked)
{
    count_disposal(&ledger->total, disposal, is_acked);
    count_disposal(&running(ledger)->counts, disposal, is_acked);
    e->opener->counts.ended++;
    e->opener->counts.in_flight--;
    if (e->peer != SVI_PEER_LOCAL) {
        svi_ledger_counts *peer = svi_domains_at(ledger->peers, e->peer);
        count_disposal(peer, disposal, is_acked);
        peer->in_flight--;
    }
    if (e->host != NULL) {
        count_disposal(e->host, disposal, is_acked);
        e->host->in_flight--;
    }
}

static bool close_as(svi_ledger *ledger, uint64_t number, svi_disposal disposal, bool is_acked, const char *rule)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    SV_ASSERT((unsigned)disposal < SVI_DISPOSALS);
    SV_ASSERT(disposal != SVI_DROPPED || rule != NULL);
    entry *e = find(ledger, number);
    if (e == NULL) {
        SV_LOG(SV_ERROR, "ledger-double", LF_INT("entry", number),
               LF_TXT("disposal", svi_disposal_name(disposal)));
        const bool is_open = false;
        SV_ASSERT(is_open || !ledger->strict);
        return false;
    }
    count_all(ledger, e, disposal, is_acked);
    if (disposal == SVI_DROPPED) {
        tally *by = rule_of(ledger, rule);
        by->times++;
        if (e->host != NULL) count_rule(ledger, e->host, by);
    }
    svi_trail_closed(ledger->trail, number, (unsigned)disposal, is_acked, disposal == SVI_DROPPED ? rule : NULL);
    clear_slot(ledger, e);
    return true;
}

bool svi_ledger_close(svi_ledger *ledger, uint64_t number, svi_disposal disposal, const char *rule)
{
    return close_as(ledger, number, disposal, false, rule);
}

bool svi_ledger_close_acked(svi_ledger *ledger, uint64_t number)
{
    return close_as(ledger, number, SVI_HANDED_OVER, true, NULL);
}

void svi_ledger_forget_host(svi_ledger *ledger, svi_ledger_counts *host)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    SV_ASSERT(svi_ledger_counts_balance(host, false) || !ledger->strict);
    for (size_t i = 0; i <= ledger->mask; i++)
        if (ledger->slots[i].host == host) ledger->slots[i].host = NULL;
    for (struct svi_ledger_rule *rule; (rule = host->rules) != NULL;) {
        host->rules = rule->next;
        svi_free(rule);
    }
}

bool svi_ledger_is_open(const svi_ledger *ledger, uint64_t number)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    return find(ledger, number) != NULL;
}

uint64_t svi_ledger_in_flight(const svi_ledger *ledger)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    return ledger->open;
}

const svi_ledger_counts *svi_ledger_total(const svi_ledger *ledger)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    return &ledger->total;
}

static uint64_t sum(const uint64_t *counts, size_t n)
{
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) all += counts[i];
    return all;
}

bool svi_ledger_counts_balance(const svi_ledger_counts *counts, bool is_module)
{
    const uint64_t ended = is_module ? counts->ended : sum(counts->disposal, SVI_DISPOSALS);
    return sum(counts->origin, SVI_ORIGINS) == ended + counts->in_flight;
}

bool svi_ledger_balances(const svi_ledger *ledger)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    const char *name;
    const svi_ledger_counts *counts;
    const svi_ledger_counts *all = &ledger->total;
    bool is_even = sum(all->origin, SVI_ORIGINS) == sum(all->disposal, SVI_DISPOSALS) + ledger->open;
    uint64_t by_modules = 0, by_peers = 0;
    for (size_t pos = 0; svi_ledger_modules(ledger, &pos, &name, &counts);) {
        is_even = is_even && svi_ledger_counts_balance(counts, true);
        by_modules += counts->in_flight;
    }
    for (size_t pos = SVI_PEER_REST; svi_domains_next(ledger->peers, &pos, &name, &counts);) {
        is_even = is_even && svi_ledger_counts_balance(counts, false);
        by_peers += counts->in_flight;
    }
    return is_even && by_modules == ledger->open && by_peers <= ledger->open;
}

static const tally *next_tally(const tallies *of, size_t *pos)
{
    sv_str name;
    void *value;
    return svi_dict_next(of->by_name, pos, &name, &value) ? value : NULL;
}

bool svi_ledger_rules(const svi_ledger *ledger, size_t *pos, const char **rule_out,
                      uint64_t *count_out)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    const tally *t = next_tally(&ledger->rules, pos);
    if (t == NULL) return false;
    *rule_out = t->name;
    *count_out = t->times;
    return true;
}

bool svi_ledger_modules(const svi_ledger *ledger, size_t *pos, const char **module_out,
                        const svi_ledger_counts **counts_out)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    const tally *t = next_tally(&ledger->modules, pos);
    if (t == NULL) return false;
    *module_out = t->name;
    *counts_out = &t->counts;
    return true;
}

bool svi_ledger_host_rules(const svi_ledger_counts *host, size_t *pos, const char **rule_out, uint64_t *count_out)
{
    const struct svi_ledger_rule *at = host->rules;
    for (size_t i = 0; at != NULL && i < *pos; i++) at = at->next;
    if (at == NULL) return false;
    *rule_out = at->rule->name;
    *count_out = at->times;
    (*pos)++;
    return true;
}

/* What is nobody else's. */
static void reckon_local(const svi_ledger *ledger)
{
    const char *name;
    const svi_ledger_counts *counts;
    svi_ledger_counts *local = svi_domains_at(ledger->peers, SVI_PEER_LOCAL);
    *local = ledger->total;
    local->in_flight = ledger->open;
    for (size_t pos = SVI_PEER_REST; svi_domains_next(ledger->peers, &pos, &name, &counts);) {
        for (size_t i = 0; i < SVI_ORIGINS; i++) local->origin[i] -= counts->origin[i];
        for (size_t i = 0; i < SVI_DISPOSALS; i++) local->disposal[i] -= counts->disposal[i];
        local->acked -= counts->acked;
        local->in_flight -= counts->in_flight;
    }
}

bool svi_ledger_peers(const svi_ledger *ledger, size_t *pos, const char **peer_out,
                      const svi_ledger_counts **counts_out)
{
    SV_CHECK(ledger, LEDGER_MAGIC);
    if (*pos == SVI_PEER_LOCAL) reckon_local(ledger);
    return svi_domains_next(ledger->peers, pos, peer_out, counts_out);
}
