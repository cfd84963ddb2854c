/* Certificates by host: a context per host, joined by OpenSSL's callback for the name in a client's hello. */
#include "main/main_tls.h"

#include "base/base_assert.h"
#include "main/main_settings.h"

/* Hosts and their contexts; belongs to the first context and is freed with it. */
typedef struct sni_table {
    svi_acct *acct;
    size_t count;
    struct {
        sv_str domain; /* owned */
        svi_tls *tls;  /* owned; NULL for the context that holds the table */
    } hosts[];
} sni_table;

/* lint: allow global (OpenSSL's number for our data on its contexts; set once) */
static _Atomic int table_index = -1;

static void free_table(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long argl,
                       void *argp)
{
    (void)parent, (void)all, (void)index, (void)argl, (void)argp;
    sni_table *table = data;
    if (!table) return;
    for (size_t i = 0; i < table->count; i++) {
        svi_str_free(&table->hosts[i].domain);
        if (table->hosts[i].tls) svi_tls_unref(&table->hosts[i].tls);
    }
    svi_free(table);
}

static int on_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert, (void)arg;
    const sni_table *table = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), table_index);
    const sv_str asked = sv_str_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    for (size_t i = 0; table && i < table->count; i++) {
        if (!svi_str_eq_fold(asked, table->hosts[i].domain)) continue;
        if (table->hosts[i].tls) (void)SSL_set_SSL_CTX(ssl, svi_tls_context(table->hosts[i].tls));
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK; /* nobody here: the first host's certificate */
}

/* A host's context; NULL if it has no certificate or that is bad. */
static svi_tls *load(svi_acct *acct, const svi_config *config, const svi_section *section,
                     svi_tickets *tickets, svi_config_report report, void *ctx, bool *failed)
{
    svi_settings s;
    svi_tls *tls = NULL;
    sv_err err = {.text = ""};
    if (svi_settings_read(config, section, &s, report, ctx) != SV_OK) {
        *failed = true;
        return NULL;
    }
    if (s.certificate.n == 0) return NULL;
    const svi_tls_config files = {
        .acct = acct, .cert_file = s.certificate, .key_file = s.key, .tickets = tickets};
    if (svi_tls_new(&files, &tls, &err) == SV_OK) return tls;
    const svi_value *at = svi_config_get(config, section, SV_STR("certificate"));
    report(ctx, at ? at->file : section->file, at ? at->line : section->line, err.text);
    *failed = true;
    return NULL;
}

static void join(svi_tls *first, sni_table *table)
{
    if (table_index < 0)
        table_index =
            CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, free_table);
    SSL_CTX *context = svi_tls_context(first);
    const int set = SSL_CTX_set_ex_data(context, table_index, table);
    SV_ASSERT(set == 1);
    SSL_CTX_set_tlsext_servername_callback(context, on_name);
}

sv_status svi_tls_of_config(svi_acct *acct, const svi_config *config, svi_tickets *tickets,
                            svi_config_report report, void *ctx, svi_tls **tls_out)
{
    size_t sections = 0;
    while (svi_config_section(config, sections)) sections++;
    sni_table *table = svi_alloc(acct, sizeof *table + sections * sizeof table->hosts[0]);
    table->acct = acct;
    svi_tls *first = NULL;
    bool failed = false;
    for (size_t i = 0; i < sections; i++) {
        const svi_section *section = svi_config_section(config, i);
        if (section->kind != SVI_SECTION_HOST) continue;
        svi_tls *tls = load(acct, config, section, tickets, report, ctx, &failed);
        if (!tls) continue;
        table->hosts[table->count].domain = svi_str_dup(acct, section->name);
        if (first)
            table->hosts[table->count].tls = tls;
        else
            first = tls;
        table->count++;
    }
    if (first)
        join(first, table);
    else
        svi_free(table);
    if (failed && first) svi_tls_unref(&first);
    *tls_out = first;
    return failed ? SV_EINVAL : SV_OK;
}
