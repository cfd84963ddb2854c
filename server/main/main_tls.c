/* Contexts by host, joined by OpenSSL's callback for the name in a client's hello. */
#include "main/main_tls.h"

#include <pthread.h>

#include "base/base_assert.h"

/* Hosts and their contexts; belongs to the first context and is freed with it. */
typedef struct sni_table {
    svi_acct *acct;
    size_t count;
    struct {
        sv_str name;  /* owned */
        svi_tls *tls; /* owned; NULL for the context that holds the table */
        bool asks;
    } hosts[];
} sni_table;

/* lint: allow global (OpenSSL's number for our data on its contexts; set once) */
static int table_index = -1;
/* lint: allow global (that it is set once) */
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void free_table(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long argl,
                       void *argp)
{
    (void)parent, (void)all, (void)index, (void)argl, (void)argp;
    sni_table *table = data;
    if (!table) return;
    for (size_t i = 0; i < table->count; i++) {
        svi_str_free(&table->hosts[i].name);
        if (table->hosts[i].tls) svi_tls_unref(&table->hosts[i].tls);
    }
    svi_free(table);
}

static void get_index(void)
{
    table_index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, free_table);
}

static int on_name(SSL *ssl, int *alert, void *arg)
{
    (void)alert, (void)arg;
    const sni_table *table = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), table_index);
    const sv_str asked = sv_str_of(svi_tls_asked(ssl));
    for (size_t i = 0; table && i < table->count; i++) {
        if (!svi_str_eq_fold(asked, table->hosts[i].name)) continue;
        if (table->hosts[i].tls) (void)SSL_set_SSL_CTX(ssl, svi_tls_context(table->hosts[i].tls));
        svi_peers_ask(ssl, table->hosts[i].asks);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK; /* nobody here: the first host's certificate */
}

void svi_tls_join(svi_acct *acct, svi_tls *first, const svi_tls_named *hosts, size_t count)
{
    sni_table *table = svi_alloc(acct, sizeof *table + count * sizeof table->hosts[0]);
    table->acct = acct;
    table->count = count;
    for (size_t i = 0; i < count; i++) {
        table->hosts[i].name = svi_str_dup(acct, hosts[i].name);
        table->hosts[i].asks = hosts[i].asks;
        if (hosts[i].tls != first) table->hosts[i].tls = svi_tls_ref(hosts[i].tls);
    }
    (void)pthread_once(&table_once, get_index);
    SSL_CTX *context = svi_tls_context(first);
    const int set = SSL_CTX_set_ex_data(context, table_index, table);
    SV_ASSERT(set == 1);
    SSL_CTX_set_tlsext_servername_callback(context, on_name);
}
