/* What the parts of main_certs.h share: the pairs and hosts of a configuration, and questions about them. */
#ifndef SVI_MAIN_CERTS_IMPL_H
#define SVI_MAIN_CERTS_IMPL_H

#include "main/main_certs.h"

#define SVI_CERTS_MAGIC 0x43455254u
#define SVI_DAY_S 86400

/* What a client may find wrong with a certificate that can be used all the same. */
enum {
    SVI_CERT_EXPIRED = 1,
    SVI_CERT_EARLY = 2,
    SVI_CERT_NAMELESS = 4,
    SVI_CERT_DISORDER = 8,
    SVI_CERT_FAULT_END = 16
};

typedef enum svi_cert_urgency {
    SVI_CERT_FINE,
    SVI_CERT_ENDS_SOON,
    SVI_CERT_HAS_ENDED
} svi_cert_urgency;

/* A certificate's file and its key's, and what of them is shown; for all hosts that name both. */
typedef struct svi_cert_slot {
    const char *cert_file, *key_file;
    svi_tls_pair *pair;                /* NULL only while loading: `refused` says why */
    uint8_t mark[SVI_TLS_MARK_BYTES];  /* of what `pair` was read from */
    uint8_t seen[SVI_TLS_MARK_BYTES];  /* at the last look */
    uint8_t about[SVI_TLS_MARK_BYTES]; /* what `refused` is about */
    sv_err refused;                    /* why what was seen is not shown, as it was logged */
    svi_cert_urgency urgency;          /* as it was logged */
} svi_cert_slot;

typedef struct svi_cert_host {
    sv_str domain; /* as users see it; NUL behind */
    sv_str ascii;  /* in A-labels, as clients ask for it */
    const char *file;
    int line; /* where the configuration names its certificate */
    size_t *slots;
    size_t slot_count;
    svi_tls *tls;
} svi_cert_host;

struct svi_certs {
    uint32_t magic;
    svi_acct *acct;
    svi_arena *arena; /* all that does not change: not used by a look */
    svi_tickets *tickets;
    svi_peers *peers; /* the CA files of clients' certificates; NULL: there are none */
    svi_cert_slot *slots;
    size_t slot_count;
    svi_cert_host *hosts; /* the first one's context is the listeners' */
    size_t host_count;
    bool is_told;
    int64_t told_s; /* when all was logged */
};

/* The faults of a certificate for a host at a moment (bits). */
unsigned svi_certs_faults(const svi_tls_pair *pair, const svi_cert_host *h, int64_t now_s);

/* The first of `faults` in words, file and host named. */
void svi_certs_fault_text(unsigned faults, const svi_tls_pair *pair, const char *cert_file,
                          const svi_cert_host *h, sv_err *text_out);

/* A moment as operators read it; returns `to`. */
const char *svi_certs_stamp(int64_t s, char to[32]);

/* True if the host shows the pair of that number. */
bool svi_certs_uses(const svi_cert_host *h, size_t slot_number);

/* The first host that shows a pair, and how many do; never NULL. */
const svi_cert_host *svi_certs_shown_by(const svi_certs *certs, size_t slot_number,
                                        size_t *count_out);

/* SV_EINVAL, with both files, if two pairs of a host are of one kind and would stand in one place; `pairs`
 * has one for each slot. */
sv_status svi_certs_kinds(const svi_certs *certs, const svi_cert_host *h,
                          svi_tls_pair *const *pairs, sv_err *err);

/* Makes a host's context of `pairs` (one for each slot). SV_EINVAL. Any thread. */
sv_status svi_certs_context(const svi_certs *certs, const svi_cert_host *h,
                            svi_tls_pair *const *pairs, svi_tls **tls_out, sv_err *err);

/* Makes one of all contexts (`tls`, by host): the first, before it is shared, hands on to the others. Any
 * thread. */
void svi_certs_join(const svi_certs *certs, svi_tls *const *tls);

/* Reports what is wrong with a pair that is shown, beside its end, for each host that shows it. */
void svi_certs_report_unfit(const svi_certs *certs, size_t slot_number, int64_t now_s,
                            svi_config_report report, void *ctx);

/* An svi_config_report that logs certificate-unfit. */
void svi_certs_log_unfit(void *ctx, const char *file, int line, const char *text);

#endif
