/* Certificates by host: pairs of files that hosts share, the contexts made of them, and what is wrong with them. */
#include "main/main_certs_impl.h"


#include "base/base_assert.h"
#include "base/base_dict.h"
#include "base/base_plat.h"
#include "main/main_peers.h"
#include "main/main_tls.h"

/* --- what is wrong with a certificate ----------------------------------------------------------------- */

unsigned svi_certs_faults(const svi_tls_pair *pair, const svi_cert_host *h, int64_t now_s)
{
    unsigned faults = 0;
    if (svi_tls_pair_ends_s(pair) <= now_s) faults |= SVI_CERT_EXPIRED;
    if (svi_tls_pair_begins_s(pair) > now_s) faults |= SVI_CERT_EARLY;
    if (!svi_tls_pair_names(pair, h->ascii, h->domain)) faults |= SVI_CERT_NAMELESS;
    if (!svi_tls_pair_chain_fits(pair)) faults |= SVI_CERT_DISORDER;
    return faults;
}

const char *svi_certs_stamp(int64_t s, char to[32])
{
    return svi_plat_stamp(s * 1000000, to).p;
}

void svi_certs_fault_text(unsigned faults, const svi_tls_pair *pair, const char *cert_file,
                          const svi_cert_host *h, sv_err *text_out)
{
    char when[32];
    if (faults & SVI_CERT_EXPIRED)
        (void)svi_err(text_out, SV_EINVAL, "%s: expired on %s", cert_file,
                      svi_certs_stamp(svi_tls_pair_ends_s(pair), when));
    else if (faults & SVI_CERT_EARLY)
        (void)svi_err(text_out, SV_EINVAL, "%s: not valid before %s", cert_file,
                      svi_certs_stamp(svi_tls_pair_begins_s(pair), when));
    else if (faults & SVI_CERT_NAMELESS)
        (void)svi_err(text_out, SV_EINVAL,
                      "%s: does not name '%.100s' in its alternative names, so clients refuse it",
                      cert_file, h->domain.p);
    else
        (void)svi_err(text_out, SV_EINVAL,
                      "%s: behind the certificate must come the one that issued it, and so on",
                      cert_file);
}

bool svi_certs_uses(const svi_cert_host *h, size_t slot_number)
{
    for (size_t i = 0; i < h->slot_count; i++)
        if (h->slots[i] == slot_number) return true;
    return false;
}

const svi_cert_host *svi_certs_shown_by(const svi_certs *certs, size_t number, size_t *count_out)
{
    const svi_cert_host *first = NULL;
    *count_out = 0;
    for (size_t i = 0; i < certs->host_count; i++) {
        if (!svi_certs_uses(&certs->hosts[i], number)) continue;
        if (!first) first = &certs->hosts[i];
        (*count_out)++;
    }
    SV_ASSERT(first != NULL);
    return first;
}

/* --- contexts ----------------------------------------------------------------------------------------- */

sv_status svi_certs_context(const svi_certs *certs, const svi_cert_host *h,
                            svi_tls_pair *const *pairs, svi_tls **tls_out, sv_err *err)
{
    svi_tls_pair *shown[SVI_PAIRS_MAX];
    SV_ASSERT(h->slot_count > 0 && h->slot_count <= SVI_PAIRS_MAX);
    for (size_t i = 0; i < h->slot_count; i++) shown[i] = pairs[h->slots[i]];
    const svi_tls_config config = {.acct = certs->acct,
                                   .pairs = shown,
                                   .pair_count = h->slot_count,
                                   .tickets = certs->tickets};
    return svi_tls_new(&config, tls_out, err);
}

sv_status svi_certs_kinds(const svi_certs *certs, const svi_cert_host *h,
                          svi_tls_pair *const *pairs, sv_err *err)
{
    for (size_t i = 1; i < h->slot_count; i++)
        for (size_t k = 0; k < i; k++) {
            const size_t a = h->slots[k], b = h->slots[i];
            const char *kind = svi_tls_pair_kind(pairs[b]);
            if (svi_tls_pair_kind(pairs[a]) == kind)
                return svi_err(err, SV_EINVAL,
                               "a host shows one certificate of each kind; both %s: %s, %s", kind,
                               certs->slots[a].cert_file, certs->slots[b].cert_file);
        }
    return SV_OK;
}

void svi_certs_join(const svi_certs *certs, svi_tls *const *tls)
{
    svi_tls_named *named = svi_alloc(certs->acct, certs->host_count * sizeof *named);
    for (size_t i = 0; i < certs->host_count; i++) {
        const bool asks = certs->peers && svi_peers_has(certs->peers, certs->hosts[i].domain);
        named[i] =
            (svi_tls_named){.name = certs->hosts[i].ascii, .tls = tls[i], .asks = asks};
    }
    if (certs->peers) svi_tls_set_peers(tls[0], certs->peers);
    svi_tls_join(certs->acct, tls[0], named, certs->host_count);
    svi_free(named);
}

svi_tls *svi_certs_tls(const svi_certs *certs)
{
    SV_CHECK(certs, SVI_CERTS_MAGIC);
    return certs->hosts[0].tls;
}

/* --- loading ------------------------------------------------------------------------------------------ */

/* One loading. */
typedef struct loading {
    svi_certs *certs;
    const svi_config *config;
    svi_config_report report;
    void *ctx;
    svi_dict *known; /* "CERT\nKEY" -> number of the slot + 1 */
    bool failed;
} loading;

static void load_slot(const svi_certs *certs, svi_cert_slot *s)
{
    svi_tls_files files;
    svi_tls_files_read(certs->acct, s->cert_file, s->key_file, &files);
    memcpy(s->mark, files.mark, sizeof s->mark);
    memcpy(s->seen, files.mark, sizeof s->seen);
    s->refused.code = svi_tls_pair_new(certs->acct, &files, &s->pair, &s->refused);
    svi_tls_files_wipe(&files);
}

static size_t slot_of(loading *l, sv_str cert_file, sv_str key_file)
{
    svi_certs *certs = l->certs;
    const sv_str both = svi_arena_printf(certs->arena, "%.*s\n%.*s", (int)cert_file.n, cert_file.p,
                                         (int)key_file.n, key_file.p);
    const size_t known = (size_t)(uintptr_t)svi_dict_get(l->known, both);
    if (known > 0) return known - 1;
    certs->slots = svi_realloc(certs->acct, certs->slots,
                               (certs->slot_count + 1) * sizeof(svi_cert_slot));
    svi_cert_slot *s = &certs->slots[certs->slot_count++];
    *s = (svi_cert_slot){.cert_file = svi_arena_str(certs->arena, cert_file).p,
                .key_file = svi_arena_str(certs->arena, key_file).p};
    load_slot(certs, s);
    (void)svi_dict_put(l->known, both, (void *)(uintptr_t)certs->slot_count);
    return certs->slot_count - 1;
}

static void load_host(loading *l, const svi_section *section, const svi_settings *s)
{
    svi_certs *certs = l->certs;
    const svi_value *at = svi_config_get(l->config, section, SV_STR("certificate"));
    SV_ASSERT(at != NULL && s->certificate.count == s->key.count);
    certs->hosts = svi_realloc(certs->acct, certs->hosts,
                               (certs->host_count + 1) * sizeof(svi_cert_host));
    svi_cert_host *h = &certs->hosts[certs->host_count++];
    *h = (svi_cert_host){.domain = svi_arena_str(certs->arena, section->name),
                .file = svi_arena_str(certs->arena, sv_str_of(at->file)).p,
                .line = at->line,
                .slots = svi_arena_get(certs->arena, s->certificate.count * sizeof *h->slots),
                .slot_count = s->certificate.count};
    h->ascii = svi_jid_ascii_domain(certs->arena, h->domain); /* as in a hello: RFC 6066 3 */
    for (size_t i = 0; i < h->slot_count; i++) {
        h->slots[i] = slot_of(l, s->certificate.items[i], s->key.items[i]);
        const svi_cert_slot *loaded = &certs->slots[h->slots[i]];
        if (loaded->pair) continue;
        l->report(l->ctx, h->file, h->line, loaded->refused.text);
        l->failed = true;
    }
}

static void load_hosts(loading *l)
{
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(l->config, i)) != NULL; i++) {
        svi_settings s;
        if (section->kind != SVI_SECTION_HOST) continue;
        if (svi_settings_read(l->config, section, &s, l->report, l->ctx) != SV_OK)
            l->failed = true;
        else if (s.certificate.count > 0)
            load_host(l, section, &s);
    }
}

/* All pairs are there. */
static void make_contexts(loading *l)
{
    svi_certs *certs = l->certs;
    svi_tls_pair **pairs = svi_alloc(certs->acct, certs->slot_count * sizeof(svi_tls_pair *));
    svi_tls **tls = svi_alloc(certs->acct, certs->host_count * sizeof(svi_tls *));
    for (size_t i = 0; i < certs->slot_count; i++) pairs[i] = certs->slots[i].pair;
    for (size_t i = 0; i < certs->host_count; i++) {
        svi_cert_host *h = &certs->hosts[i];
        sv_err err = {.text = ""};
        sv_status status = svi_certs_kinds(certs, h, pairs, &err);
        if (status == SV_OK) status = svi_certs_context(certs, h, pairs, &h->tls, &err);
        tls[i] = h->tls;
        if (status == SV_OK) continue;
        l->report(l->ctx, h->file, h->line, err.text);
        l->failed = true;
    }
    if (!l->failed) svi_certs_join(certs, tls);
    svi_free(pairs);
    svi_free(tls);
}

sv_status svi_certs_load(svi_acct *acct, const svi_config *config, svi_tickets *tickets,
                         svi_config_report report, void *ctx, svi_certs **certs_out)
{
    svi_certs *certs = svi_alloc(acct, sizeof *certs);
    *certs = (svi_certs){.magic = SVI_CERTS_MAGIC,
                         .acct = acct,
                         .arena = svi_arena_new(acct, 1024),
                         .tickets = tickets};
    loading l = {.certs = certs,
                 .config = config,
                 .report = report,
                 .ctx = ctx,
                 .known = svi_dict_new(acct)};
    load_hosts(&l);
    svi_dict_free(&l.known);
    if (svi_peers_of_config(acct, config, report, ctx, &certs->peers) != SV_OK) l.failed = true;
    if (!l.failed && certs->host_count > 0) make_contexts(&l);
    if (l.failed || certs->host_count == 0) svi_certs_free(&certs);
    *certs_out = certs;
    return l.failed ? SV_EINVAL : SV_OK;
}

void svi_certs_free(svi_certs **certs)
{
    svi_certs *c = *certs;
    *certs = NULL;
    if (!c) return;
    SV_CHECK(c, SVI_CERTS_MAGIC);
    for (size_t i = 0; i < c->host_count; i++) svi_tls_unref(&c->hosts[i].tls);
    for (size_t i = 0; i < c->slot_count; i++) svi_tls_pair_unref(&c->slots[i].pair);
    svi_peers_unref(&c->peers);
    svi_free(c->hosts);
    svi_free(c->slots);
    svi_arena_free(&c->arena);
    c->magic = 0;
    svi_free(c);
}

/* --- a new configuration against the old one ---------------------------------------------------------- */

static const svi_cert_host *same_host(const svi_certs *certs, const svi_cert_host *wanted)
{
    for (size_t i = 0; i < certs->host_count; i++)
        if (sv_str_eq(certs->hosts[i].domain, wanted->domain)) return &certs->hosts[i];
    return NULL;
}

sv_status svi_certs_compare(const svi_certs *shown, const svi_certs *fresh, int64_t now_s,
                            svi_config_report report, void *ctx)
{
    SV_CHECK(shown, SVI_CERTS_MAGIC);
    SV_CHECK(fresh, SVI_CERTS_MAGIC);
    bool is_worse = false;
    for (size_t i = 0; i < fresh->host_count; i++) {
        const svi_cert_host *h = &fresh->hosts[i], *before = same_host(shown, h);
        for (size_t k = 0; before && k < h->slot_count; k++) {
            const svi_cert_slot *s = &fresh->slots[h->slots[k]];
            const svi_cert_slot *old = &shown->slots[before->slots[k < before->slot_count ? k : 0]];
            const unsigned more =
                svi_certs_faults(s->pair, h, now_s) & ~svi_certs_faults(old->pair, before, now_s);
            sv_err why;
            if (!more) continue;
            svi_certs_fault_text(more, s->pair, s->cert_file, h, &why);
            report(ctx, h->file, h->line, why.text);
            is_worse = true;
        }
    }
    return is_worse ? SV_EINVAL : SV_OK;
}
