/* Stanzas that wait until it is known whether their recipient's account exists. One look-up an
 * account; who comes later waits behind, so that the order of arrival is kept. */
#include "base/base_log.h"
#include "xmpp/xmpp_account.h"
#include "xmpp/xmpp_impl.h"
#include "xmpp/xmpp_told.h"

/* A passage with copies of all that it borrowed. */
typedef struct held {
    struct held *next;
    svi_passage passage;
    uint64_t session_number; /* the sender may have gone when it goes on */
} held;

typedef struct svi_check {
    svi_server *server;
    sv_str bare;
    held *first, **end;
} svi_check;

static void hold(svi_check *check, const svi_passage *passage)
{
    svi_acct *acct = check->server->acct;
    held *h = svi_alloc(acct, sizeof *h);
    h->passage = *passage;
    h->passage.stanza = svi_stanza_ref(passage->stanza);
    h->passage.session = NULL;
    h->session_number = passage->session != NULL ? passage->session->number : 0;
    svi_jid_dup(acct, &passage->from, &h->passage.from);
    svi_jid_dup(acct, &passage->to, &h->passage.to);
    h->passage.payer.full = svi_str_dup(acct, passage->payer.full);
    svi_session_owes(check->server, &passage->payer, true);
    svi_told_look(check->server, passage->entry, passage->to.bare);
    *check->end = h;
    check->end = &h->next;
}

static held *take_held(svi_check *check)
{
    held *h = check->first;
    if (h == NULL) return NULL;
    check->first = h->next;
    if (check->first == NULL) check->end = &check->first;
    return h;
}

static void held_free(held *h)
{
    svi_stanza_unref((sv_stanza **)(uintptr_t)&h->passage.stanza);
    svi_jid_free(&h->passage.from);
    svi_jid_free(&h->passage.to);
    svi_str_free(&h->passage.payer.full);
    svi_free(h);
}

static void go_on(svi_check *check, sv_status status)
{
    for (held *h; (h = take_held(check)) != NULL;) {
        svi_passage *passage = &h->passage;
        if (h->session_number != 0)
            passage->session =
                svi_session_find_number(check->server, passage->from.full, h->session_number);
        passage->account_exists = status == SV_OK;
        if (status == SV_OK || status == SV_ENOTFOUND)
            svi_passage_run(passage);
        else
            svi_passage_refuse(passage, SV_INTERNAL_SERVER_ERROR);
        svi_session_owes(check->server, &passage->payer, false);
        held_free(h);
    }
}

/* The server ends. */
static void drop(svi_check *check)
{
    for (held *h; (h = take_held(check)) != NULL;) {
        svi_ledger_close(check->server->ledger, h->passage.entry, SVI_DROPPED, "stopped");
        held_free(h);
    }
}

static void check_done(void *ctx, sv_status status)
{
    svi_check *check = ctx;
    if (status == SV_ECANCELED) {
        drop(check);
    } else {
        if (status != SV_OK && status != SV_ENOTFOUND)
            SV_LOG(SV_ERROR, "store-read-failed", LF_STR("account", check->bare),
                   LF_TXT("status", svi_status_name(status)));
        go_on(check, status); /* what comes meanwhile from inside queues behind */
    }
    svi_dict_del(check->server->checking, check->bare);
    svi_str_free(&check->bare);
    svi_free(check);
}

void svi_check_account(const svi_passage *passage)
{
    svi_server *server = passage->server;
    svi_check *check = svi_dict_get(server->checking, passage->to.bare);
    if (check != NULL) {
        hold(check, passage);
        return;
    }
    check = svi_alloc(server->acct, sizeof *check);
    *check = (svi_check){.server = server, .bare = svi_str_dup(server->acct, passage->to.bare)};
    check->end = &check->first;
    bool exists = false;
    SV_ASSERT(passage->place.host != NULL);
    if (svi_account_check(passage->place.host, passage->to.node, &exists, check_done, check)) {
        svi_str_free(&check->bare);
        svi_free(check);
        svi_passage known = *passage;
        known.account_exists = exists;
        svi_passage_run(&known);
        return;
    }
    svi_dict_put(server->checking, check->bare, check);
    hold(check, passage);
}

bool svi_check_is_running(const svi_server *server, sv_str bare_jid)
{
    return svi_dict_count(server->checking) > 0 && svi_dict_get(server->checking, bare_jid) != NULL;
}

void svi_checks_drop(svi_server *server)
{
    size_t pos = 0;
    sv_str key;
    void *at;
    while (svi_dict_next(server->checking, &pos, &key, &at)) drop(at);
}
