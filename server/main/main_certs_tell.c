/* Telling operators of certificates: in the log, in `stave check`, in `stave status`. */
#include "main/main_certs_impl.h"

#include <stdio.h>

#include "base/base_assert.h"
#include "base/base_log.h"

static svi_cert_urgency urgency_of(const svi_tls_pair *pair, int64_t now_s, int64_t warn_days)
{
    const int64_t left_s = svi_tls_pair_ends_s(pair) - now_s;
    if (left_s <= 0) return SVI_CERT_HAS_ENDED;
    return left_s < warn_days * SVI_DAY_S ? SVI_CERT_ENDS_SOON : SVI_CERT_FINE;
}

/* Whole days, rounded down also below zero. */
static int64_t days_left(const svi_tls_pair *pair, int64_t now_s)
{
    const int64_t left_s = svi_tls_pair_ends_s(pair) - now_s;
    return left_s >= 0 ? left_s / SVI_DAY_S : -((-left_s + SVI_DAY_S - 1) / SVI_DAY_S);
}

static void tell_end(const svi_certs *certs, size_t number, int64_t now_s, svi_cert_urgency how)
{
    char when[32];
    size_t count;
    const svi_cert_slot *s = &certs->slots[number];
    const svi_cert_host *h = svi_certs_shown_by(certs, number, &count);
    const char *until = svi_certs_stamp(svi_tls_pair_ends_s(s->pair), when);
    if (how == SVI_CERT_HAS_ENDED)
        SV_LOG(SV_ERROR, "certificate-expired", LF_TXT("file", s->cert_file),
               LF_TXT("until", until), LF_STR("host", h->domain), LF_INT("hosts", count));
    else
        SV_LOG(SV_WARN, "certificate-expires", LF_TXT("file", s->cert_file), LF_TXT("until", until),
               LF_INT("days", days_left(s->pair, now_s)), LF_STR("host", h->domain),
               LF_INT("hosts", count));
}

void svi_certs_report_unfit(const svi_certs *certs, size_t number, int64_t now_s,
                         svi_config_report report, void *ctx)
{
    const svi_cert_slot *s = &certs->slots[number];
    for (size_t i = 0; i < certs->host_count; i++) {
        const svi_cert_host *h = &certs->hosts[i];
        if (!svi_certs_uses(h, number)) continue;
        const unsigned faults = svi_certs_faults(s->pair, h, now_s) & ~(unsigned)SVI_CERT_EXPIRED;
        for (unsigned fault = 1; fault < SVI_CERT_FAULT_END; fault <<= 1) {
            sv_err why;
            if (!(faults & fault)) continue;
            svi_certs_fault_text(fault, s->pair, s->cert_file, h, &why);
            report(ctx, h->file, h->line, why.text);
        }
    }
}

void svi_certs_log_unfit(void *ctx, const char *file, int line, const char *text)
{
    (void)ctx;
    SV_LOG(SV_WARN, "certificate-unfit", LF_TXT("reason", text), LF_TXT("config", file),
           LF_INT("line", line));
}

void svi_certs_tell(svi_certs *certs, int64_t now_s, int64_t warn_days)
{
    SV_CHECK(certs, SVI_CERTS_MAGIC);
    const int64_t since_s = now_s - certs->told_s;
    const bool is_due = !certs->is_told || since_s >= SVI_DAY_S || since_s < 0;
    for (size_t i = 0; i < certs->slot_count; i++) {
        svi_cert_slot *s = &certs->slots[i];
        const svi_cert_urgency how = urgency_of(s->pair, now_s, warn_days);
        if (!certs->is_told) svi_certs_report_unfit(certs, i, now_s, svi_certs_log_unfit, NULL);
        if (how != SVI_CERT_FINE && (is_due || how != s->urgency)) tell_end(certs, i, now_s, how);
        s->urgency = how;
    }
    if (is_due) certs->told_s = now_s;
    certs->is_told = true;
}

void svi_certs_warn(const svi_certs *certs, int64_t now_s, int64_t warn_days,
                    svi_config_report report, void *ctx)
{
    SV_CHECK(certs, SVI_CERTS_MAGIC);
    for (size_t i = 0; i < certs->slot_count; i++) {
        const svi_cert_slot *s = &certs->slots[i];
        char text[600], when[32];
        size_t count;
        const svi_cert_host *h = svi_certs_shown_by(certs, i, &count);
        const svi_cert_urgency how = urgency_of(s->pair, now_s, warn_days);
        const char *until = svi_certs_stamp(svi_tls_pair_ends_s(s->pair), when);
        if (how == SVI_CERT_HAS_ENDED)
            (void)snprintf(text, sizeof text, "%s: expired on %s", s->cert_file, until);
        else
            (void)snprintf(text, sizeof text, "%s: expires on %s, days left: %lld", s->cert_file,
                           until, (long long)days_left(s->pair, now_s));
        if (how != SVI_CERT_FINE) report(ctx, h->file, h->line, text);
        svi_certs_report_unfit(certs, i, now_s, report, ctx);
    }
}

static json_t *host_status(const svi_certs *certs, const svi_cert_host *h, int64_t now_s)
{
    const svi_tls_pair *soonest = NULL;
    char kinds[64] = "", when[32];
    size_t n = 0;
    for (size_t i = 0; i < h->slot_count; i++) {
        const svi_tls_pair *pair = certs->slots[h->slots[i]].pair;
        n += (size_t)snprintf(kinds + n, sizeof kinds - n, "%s%s", i ? ", " : "",
                              svi_tls_pair_kind(pair));
        if (!soonest || svi_tls_pair_ends_s(pair) < svi_tls_pair_ends_s(soonest)) soonest = pair;
    }
    SV_ASSERT(soonest != NULL && n < sizeof kinds);
    return json_pack("{s:s, s:s, s:I, s:s}", "host", h->domain.p, "until",
                     svi_certs_stamp(svi_tls_pair_ends_s(soonest), when), "days-left",
                     (json_int_t)days_left(soonest, now_s), "kinds", kinds);
}

json_t *svi_certs_status(const svi_certs *certs, int64_t now_s)
{
    SV_CHECK(certs, SVI_CERTS_MAGIC);
    json_t *list = json_array();
    for (size_t i = 0; i < certs->host_count; i++)
        (void)json_array_append_new(list, host_status(certs, &certs->hosts[i], now_s));
    return list;
}
