/* Stanza errors: conditions with their recommended types, and the error made for a stanza (RFC
 * 6120 8.3). */
#include "xmpp/xmpp_impl.h"

typedef struct condition {
    const char *name, *type;
} condition;

/* RFC 6120 8.3.3.1 to 8.3.3.22: "the associated error type SHOULD be ..." */
static const condition conditions[] = {
    /* generated from api/stave.lua by `make generate`: conditions */
    [SV_BAD_REQUEST] = {"bad-request", "modify"},
    [SV_CONFLICT] = {"conflict", "cancel"},
    [SV_FEATURE_NOT_IMPLEMENTED] = {"feature-not-implemented", "cancel"},
    [SV_FORBIDDEN] = {"forbidden", "auth"},
    [SV_GONE] = {"gone", "cancel"},
    [SV_INTERNAL_SERVER_ERROR] = {"internal-server-error", "cancel"},
    [SV_ITEM_NOT_FOUND] = {"item-not-found", "cancel"},
    [SV_JID_MALFORMED] = {"jid-malformed", "modify"},
    [SV_NOT_ACCEPTABLE] = {"not-acceptable", "modify"},
    [SV_NOT_ALLOWED] = {"not-allowed", "cancel"},
    [SV_NOT_AUTHORIZED] = {"not-authorized", "auth"},
    [SV_POLICY_VIOLATION] = {"policy-violation", "modify"},
    [SV_RECIPIENT_UNAVAILABLE] = {"recipient-unavailable", "wait"},
    [SV_REDIRECT] = {"redirect", "modify"},
    [SV_REGISTRATION_REQUIRED] = {"registration-required", "auth"},
    [SV_REMOTE_SERVER_NOT_FOUND] = {"remote-server-not-found", "cancel"},
    [SV_REMOTE_SERVER_TIMEOUT] = {"remote-server-timeout", "wait"},
    [SV_RESOURCE_CONSTRAINT] = {"resource-constraint", "wait"},
    [SV_SERVICE_UNAVAILABLE] = {"service-unavailable", "cancel"},
    [SV_SUBSCRIPTION_REQUIRED] = {"subscription-required", "auth"},
    [SV_UNDEFINED_CONDITION] = {"undefined-condition", "cancel"},
    [SV_UNEXPECTED_REQUEST] = {"unexpected-request", "wait"},
    /* generated: end */
};

static const condition *find_condition(sv_cond cond)
{
    const size_t count = sizeof conditions / sizeof *conditions;
    if (cond < SV_BAD_REQUEST || (size_t)cond >= count) cond = SV_UNDEFINED_CONDITION;
    return &conditions[cond];
}

const char *svi_cond_name(sv_cond cond)
{
    return find_condition(cond)->name;
}

const char *svi_cond_type(sv_cond cond)
{
    return find_condition(cond)->type;
}

bool svi_is_unanswerable(const sv_stanza *stanza)
{
    const sv_node *root = svi_stanza_root(stanza);
    const sv_str type = svi_node_attr(root, SV_STR("type"));
    if (sv_str_eq(type, SV_STR("error"))) return true; /* 8.3.1 rule 8 */
    return sv_str_eq(type, SV_STR("result")) && sv_str_eq(svi_node_name(root), SV_STR("iq"));
}

sv_stanza *svi_error_for(svi_server *server, const sv_stanza *stanza, sv_str from,
                         const svi_error *said)
{
    SV_ASSERT(!svi_is_unanswerable(stanza));
    const svi_mark mark = svi_arena_mark(server->scratch);
    const sv_node *root = svi_stanza_root(stanza);
    const sv_str name = svi_node_name(root);
    sv_draft *draft = svi_draft_new(server->scratch, name, SV_STR(SVI_NS_CLIENT));
    svi_draft_attr(draft, SV_STR("type"), SV_STR("error"));

    /* 8.3.1 rule 3: an IQ error always has an id, empty if the request had none */
    sv_str id = svi_node_attr(root, SV_STR("id"));
    if (id.p == NULL && sv_str_eq(name, SV_STR("iq"))) id = SV_STR("");
    if (id.p != NULL) svi_draft_attr(draft, SV_STR("id"), id);

    /* without a `to` it was for the sender's own account, whose answers need no `from` (8.1.2.1
     * rule 3) */
    if (from.p == NULL) from = svi_node_attr(root, SV_STR("to"));
    if (from.n > 0) svi_draft_attr(draft, SV_STR("from"), from);
    const sv_str to = svi_node_attr(root, SV_STR("from"));
    if (to.n > 0) svi_draft_attr(draft, SV_STR("to"), to);

    sv_draft *error = svi_draft_child(draft, SV_STR("error"), SV_STR(SVI_NS_CLIENT));
    svi_draft_attr(error, SV_STR("type"),
                   said->type.n > 0 ? said->type : sv_str_of(svi_cond_type(said->cond)));
    svi_draft_child(error, sv_str_of(svi_cond_name(said->cond)), SV_STR(SVI_NS_STANZAS));
    if (said->text.n > 0) {
        sv_draft *text = svi_draft_child(error, SV_STR("text"), SV_STR(SVI_NS_STANZAS));
        svi_draft_attr_ns(text, SV_STR("lang"), SV_STR(SVI_NS_XML), SV_STR("en"));
        svi_draft_text(text, said->text);
    }
    if (said->specific != NULL) /* 8.3.4: behind the defined condition and the text */
        svi_draft_graft(error, said->specific, svi_stanza_root(said->specific));
    sv_stanza *made = svi_draft_freeze(server->acct, svi_server_atoms(server), draft);
    svi_arena_reset(server->scratch, mark);
    return made;
}
