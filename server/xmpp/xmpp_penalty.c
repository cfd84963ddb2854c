/* Penalties: a table of keys "address" and "account" with their failures, oldest key first. */
#include "xmpp/xmpp_penalty.h"

#include "base/base_assert.h"
#include "base/base_dict.h"
#include "xmpp/xmpp_network.h"

#define PENALTIES_MAGIC 0x50454e41u

typedef struct entry {
    unsigned failures;
    int64_t last_us;
    int64_t not_before_us; /* until then the answer to the last failure is held back */
    bool is_known;         /* of an account: where its last success came from is known */
    char own[SVI_NETWORK_BYTES];
} entry;

struct svi_penalties {
    uint32_t magic;
    svi_acct *acct;
    const svi_plat *plat;
    svi_dict *entries;
};

svi_penalties *svi_penalties_new(svi_acct *acct, const svi_plat *plat)
{
    svi_penalties *p = svi_alloc(acct, sizeof *p);
    *p = (svi_penalties){.magic = PENALTIES_MAGIC, .acct = acct, .plat = plat};
    p->entries = svi_dict_new(acct);
    return p;
}

void svi_penalties_free(svi_penalties **penalties)
{
    svi_penalties *p = *penalties;
    *penalties = NULL;
    if (!p) return;
    SV_CHECK(p, PENALTIES_MAGIC);
    size_t pos = 0;
    sv_str key;
    void *value;
    while (svi_dict_next(p->entries, &pos, &key, &value)) svi_free(value);
    svi_dict_free(&p->entries);
    p->magic = 0;
    svi_free(p);
}

static entry *find(svi_penalties *p, sv_str key)
{
    entry *e = svi_dict_get(p->entries, key);
    const int64_t now_us = p->plat->mono_us(p->plat->ctx);
    if (e && now_us - e->last_us >= SVI_PENALTY_FORGET_US) e->failures = 0;
    return e;
}

static bool holds(const svi_penalties *p, const entry *e)
{
    return e->failures >= SVI_PENALTY_LOCK &&
           p->plat->mono_us(p->plat->ctx) - e->last_us < SVI_PENALTY_FORGET_US;
}

/* The oldest goes that is not locked: else thousands of logins, or of names that somebody makes up, would
 * open what is locked. If all are locked, the oldest of them. */
static void make_room(svi_penalties *p)
{
    size_t pos = 0;
    sv_str key, oldest = SV_STR_NONE;
    void *value;
    if (svi_dict_count(p->entries) < SVI_PENALTY_KEYS) return;
    while (svi_dict_next(p->entries, &pos, &key, &value)) {
        const bool is_locked = holds(p, value);
        if (!is_locked || !oldest.p) oldest = key;
        if (!is_locked) break;
    }
    svi_free(svi_dict_del(p->entries, oldest));
}

static entry *get(svi_penalties *p, sv_str key)
{
    entry *e = find(p, key);
    if (e) return e;
    make_room(p);
    e = svi_alloc(p->acct, sizeof *e);
    (void)svi_dict_put(p->entries, key, e);
    return e;
}

/* Locked, or an answer is being held back: whoever does not wait for it tries in vain. */
static bool is_shut(const svi_penalties *p, const entry *e)
{
    return e->failures >= SVI_PENALTY_LOCK || p->plat->mono_us(p->plat->ctx) < e->not_before_us;
}

bool svi_penalty_is_locked(svi_penalties *penalties, svi_whence whence, sv_str account)
{
    SV_CHECK(penalties, PENALTIES_MAGIC);
    const svi_network net = svi_network_of(whence);
    const entry *e = net.text[0] ? find(penalties, sv_str_of(net.text)) : NULL;
    if (e && is_shut(penalties, e)) return true;
    e = account.n > 0 ? find(penalties, account) : NULL;
    const bool is_owner =
        e && e->is_known && !net.is_nowhere && strcmp(e->own, net.text) == 0;
    return e && is_shut(penalties, e) && !is_owner;
}

/* How long the answer to the failure of that number is held back. */
static int64_t delay_of(unsigned failures)
{
    int64_t delay_us = SVI_PENALTY_DELAY_US;
    if (failures <= SVI_PENALTY_FREE) return 0;
    for (unsigned i = SVI_PENALTY_FREE + 1; i < failures; i++) {
        delay_us *= 2;
        if (delay_us >= SVI_PENALTY_DELAY_MAX_US) return SVI_PENALTY_DELAY_MAX_US;
    }
    return delay_us;
}

static int64_t add_failure(svi_penalties *p, sv_str key)
{
    entry *e = get(p, key);
    e->last_us = p->plat->mono_us(p->plat->ctx);
    if (e->failures < UINT32_MAX) e->failures++;
    const int64_t delay_us = delay_of(e->failures);
    e->not_before_us = e->last_us + delay_us;
    return delay_us;
}

int64_t svi_penalty_note(svi_penalties *penalties, svi_whence whence, sv_str account)
{
    SV_CHECK(penalties, PENALTIES_MAGIC);
    const svi_network net = svi_network_of(whence);
    const int64_t by_address_us = net.text[0] ? add_failure(penalties, sv_str_of(net.text)) : 0;
    const int64_t by_account_us = account.n == 0 ? 0 : add_failure(penalties, account);
    return by_address_us > by_account_us ? by_address_us : by_account_us;
}

void svi_penalty_forgive(svi_penalties *penalties, svi_whence whence, sv_str account)
{
    SV_CHECK(penalties, PENALTIES_MAGIC);
    const svi_network net = svi_network_of(whence);
    entry *e = get(penalties, account);
    e->failures = 0;
    e->not_before_us = 0;
    e->last_us = penalties->plat->mono_us(penalties->plat->ctx);
    e->is_known = !net.is_nowhere;
    memcpy(e->own, net.text, sizeof e->own);
}

size_t svi_penalty_locked(const svi_penalties *penalties)
{
    SV_CHECK(penalties, PENALTIES_MAGIC);
    size_t pos = 0, count = 0;
    sv_str key;
    void *value;
    while (svi_dict_next(penalties->entries, &pos, &key, &value)) count += holds(penalties, value);
    return count;
}
