/* Looking at the files of certificates again, and taking over what is good. */
#include "main/main_certs_impl.h"

#include "base/base_assert.h"
#include "base/base_log.h"

/* --- a look ------------------------------------------------------------------------------------------- */

typedef enum finding { SAME, UNSETTLED, REFUSED, FRESH } finding;

typedef struct found {
    finding what;
    uint8_t mark[SVI_TLS_MARK_BYTES];
    svi_tls_pair *pair; /* FRESH */
    sv_err why;         /* REFUSED */
} found;

struct svi_certs_look {
    svi_acct *acct;
    found *slots;
    size_t slot_count;
    svi_tls **hosts; /* new contexts; NULL where the old one stays */
    size_t host_count;
};

static void refuse(found *f)
{
    f->what = REFUSED;
    svi_tls_pair_unref(&f->pair);
}

/* Against what each host shows that would get it. */
static void judge(const svi_certs *certs, size_t number, int64_t now_s, found *f)
{
    const svi_cert_slot *s = &certs->slots[number];
    f->what = FRESH;
    for (size_t i = 0; i < certs->host_count; i++) {
        const svi_cert_host *h = &certs->hosts[i];
        if (!svi_certs_uses(h, number)) continue;
        const unsigned more =
            svi_certs_faults(f->pair, h, now_s) & ~svi_certs_faults(s->pair, h, now_s);
        if (!more) continue;
        svi_certs_fault_text(more, f->pair, s->cert_file, h, &f->why);
        refuse(f);
        return;
    }
}

static void look_at_slot(const svi_certs *certs, size_t number, int64_t now_s, found *f)
{
    const svi_cert_slot *s = &certs->slots[number];
    svi_tls_files files;
    svi_tls_files_read(certs->acct, s->cert_file, s->key_file, &files);
    memcpy(f->mark, files.mark, sizeof f->mark);
    if (memcmp(f->mark, s->mark, sizeof f->mark) == 0)
        f->what = SAME;
    else if (memcmp(f->mark, s->seen, sizeof f->mark) != 0)
        f->what = UNSETTLED;
    else if (svi_tls_pair_new(certs->acct, &files, &f->pair, &f->why) != SV_OK)
        f->what = REFUSED;
    else
        judge(certs, number, now_s, f);
    svi_tls_files_wipe(&files);
}

static void refuse_of_host(svi_certs_look *look, const svi_cert_host *h, const sv_err *why)
{
    for (size_t i = 0; i < h->slot_count; i++) {
        found *f = &look->slots[h->slots[i]];
        if (f->what != FRESH) continue;
        f->why = *why;
        refuse(f);
    }
}

static bool has_fresh(const svi_certs_look *look, const svi_cert_host *h)
{
    for (size_t i = 0; i < h->slot_count; i++)
        if (look->slots[h->slots[i]].what == FRESH) return true;
    return false;
}

static void gather_pairs(const svi_certs *certs, const svi_certs_look *look, svi_tls_pair **pairs)
{
    for (size_t i = 0; i < certs->slot_count; i++)
        pairs[i] = look->slots[i].what == FRESH ? look->slots[i].pair : certs->slots[i].pair;
}

/* What fits alone may not fit beside a host's other certificate. Each round refuses one more, at least. */
static void drop_misfits(const svi_certs *certs, svi_certs_look *look, svi_tls_pair **pairs)
{
    for (bool again = true; again;) {
        again = false;
        gather_pairs(certs, look, pairs);
        for (size_t i = 0; i < certs->host_count && !again; i++) {
            const svi_cert_host *h = &certs->hosts[i];
            sv_err err;
            if (!has_fresh(look, h) || svi_certs_kinds(certs, h, pairs, &err) == SV_OK) continue;
            refuse_of_host(look, h, &err);
            again = true;
        }
    }
}

/* Contexts of hosts that have something new, and the first one's, which holds the table of all. A failure leaves
 * all as it is. */
static void look_make_contexts(const svi_certs *certs, svi_certs_look *look, svi_tls_pair **pairs)
{
    sv_err err = {.text = ""};
    bool any = false;
    sv_status status = SV_OK;
    svi_tls **tls = svi_alloc(certs->acct, certs->host_count * sizeof(svi_tls *));
    for (size_t i = 0; i < certs->host_count; i++) any = any || has_fresh(look, &certs->hosts[i]);
    for (size_t i = 0; i < certs->host_count && any && status == SV_OK; i++) {
        const svi_cert_host *h = &certs->hosts[i];
        if (i == 0 || has_fresh(look, h))
            status = svi_certs_context(certs, h, pairs, &look->hosts[i], &err);
        tls[i] = look->hosts[i] ? look->hosts[i] : h->tls;
    }
    if (any && status == SV_OK) svi_certs_join(certs, tls);
    for (size_t i = 0; i < certs->host_count && status != SV_OK; i++) {
        refuse_of_host(look, &certs->hosts[i], &err);
        svi_tls_unref(&look->hosts[i]);
    }
    svi_free(tls);
}

svi_certs_look *svi_certs_look_at(const svi_certs *certs, int64_t now_s)
{
    SV_CHECK(certs, SVI_CERTS_MAGIC);
    svi_certs_look *look = svi_alloc(certs->acct, sizeof *look);
    *look = (svi_certs_look){
        .acct = certs->acct,
        .slots = svi_alloc(certs->acct, certs->slot_count * sizeof(found)),
        .slot_count = certs->slot_count,
        .hosts = svi_alloc(certs->acct, certs->host_count * sizeof(svi_tls *)),
        .host_count = certs->host_count};
    for (size_t i = 0; i < certs->slot_count; i++)
        look_at_slot(certs, i, now_s, &look->slots[i]);
    svi_tls_pair **pairs = svi_alloc(certs->acct, certs->slot_count * sizeof(svi_tls_pair *));
    drop_misfits(certs, look, pairs);
    look_make_contexts(certs, look, pairs);
    svi_free(pairs);
    return look;
}

void svi_certs_look_free(svi_certs_look **look)
{
    svi_certs_look *l = *look;
    *look = NULL;
    if (!l) return;
    for (size_t i = 0; i < l->slot_count; i++) svi_tls_pair_unref(&l->slots[i].pair);
    for (size_t i = 0; i < l->host_count; i++) svi_tls_unref(&l->hosts[i]);
    svi_free(l->slots);
    svi_free(l->hosts);
    svi_free(l);
}

/* --- taking a look over ------------------------------------------------------------------------------- */

/* Once for each change, and again if the reason becomes another one. */
static void take_refused(svi_certs *certs, size_t number, const found *f)
{
    svi_cert_slot *s = &certs->slots[number];
    size_t count;
    const svi_cert_host *h = svi_certs_shown_by(certs, number, &count);
    const bool is_told = memcmp(s->about, f->mark, sizeof s->about) == 0 &&
                         strcmp(s->refused.text, f->why.text) == 0;
    memcpy(s->about, f->mark, sizeof s->about);
    s->refused = f->why;
    if (is_told) return;
    SV_LOG(SV_ERROR, "certificate-refused", LF_TXT("reason", f->why.text),
           LF_TXT("file", s->cert_file), LF_STR("host", h->domain), LF_INT("hosts", count));
}

static void forget_refused(svi_cert_slot *s)
{
    memset(s->about, 0, sizeof s->about);
    s->refused.text[0] = '\0';
}

static void take_fresh(svi_certs *certs, size_t number, found *f, int64_t now_s)
{
    char when[32];
    size_t count;
    const svi_cert_host *h = svi_certs_shown_by(certs, number, &count);
    svi_cert_slot *s = &certs->slots[number];
    svi_tls_pair *old = s->pair;
    s->pair = f->pair;
    f->pair = old; /* goes with the look */
    memcpy(s->mark, f->mark, sizeof s->mark);
    s->urgency = SVI_CERT_FINE;
    forget_refused(s);
    SV_LOG(SV_INFO, "certificate-renewed", LF_TXT("file", s->cert_file),
           LF_TXT("kind", svi_tls_pair_kind(s->pair)),
           LF_TXT("until", svi_certs_stamp(svi_tls_pair_ends_s(s->pair), when)),
           LF_STR("host", h->domain), LF_INT("hosts", count));
    svi_certs_report_unfit(certs, number, now_s, svi_certs_log_unfit, NULL);
}

bool svi_certs_take(svi_certs *certs, svi_certs_look **take, int64_t now_s, bool *again_out)
{
    SV_CHECK(certs, SVI_CERTS_MAGIC);
    svi_certs_look *look = *take;
    SV_ASSERT(look->slot_count == certs->slot_count && look->host_count == certs->host_count);
    *again_out = false;
    for (size_t i = 0; i < look->slot_count; i++) {
        found *f = &look->slots[i];
        memcpy(certs->slots[i].seen, f->mark, sizeof f->mark);
        switch (f->what) {
        case SAME: forget_refused(&certs->slots[i]); break;
        case UNSETTLED: *again_out = true; break;
        case REFUSED: take_refused(certs, i, f); break;
        case FRESH: take_fresh(certs, i, f, now_s); break;
        }
    }
    for (size_t i = 0; i < look->host_count; i++) {
        if (!look->hosts[i]) continue;
        svi_tls *old = certs->hosts[i].tls;
        certs->hosts[i].tls = look->hosts[i];
        look->hosts[i] = old;
    }
    const bool is_other = look->hosts[0] != NULL;
    svi_certs_look_free(take);
    return is_other;
}
