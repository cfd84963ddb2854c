/* Service discovery (XEP-0030) with extensions (XEP-0128): what the host and its accounts are and can do.
 *
 * Features are those that the enabled modules declare; what else there is, they offer (<stave/disco.h>).
 * An account answers its owner, and others who see its presence; all others get what an unknown account
 * gives (XEP-0030 8, RFC 6121 8.5.2.1.3). */
#include <stave/disco.h>
#include <stave/module.h>
#include <stave/roster.h>

#define NS_FORM "jabber:x:data"
/* XEP-0390 4.1 counts an inherited language, too, and answers have the stream's: this one is told. */
#define SERVER_IDENTITY "<identity category='server' type='im' name='Stave' xml:lang='en'/>"

typedef struct disco {
    sv_mod *mod;
    sv_store *roster;
    sv_str_list items;
    const sv_stanza *host_info; /* the host's <query/> without a node */
} disco;

/* --- answers in the making ----------------------------------------------------------------- */

/* What stands in an answer already, so that it does so once. */
typedef struct known {
    struct known *next;
    sv_str what;
} known;

typedef struct answer {
    sv_event *ev;
    const disco *me;
    const char *ns; /* of the query */
    sv_draft *query;
    known *known;
    size_t identities, items;
} answer;

/* False if it was there. */
static bool is_new(answer *to, sv_str what)
{
    for (const known *k = to->known; k; k = k->next)
        if (sv_str_eq(k->what, what)) return false;
    known *k = sv->scratch(to->ev, sizeof *k);
    *k = (known){.next = to->known, .what = what};
    to->known = k;
    return true;
}

static const char *text_of(sv_str s)
{
    return s.n ? s.p : "";
}

/* A name for is_new: its kind and up to three parts. */
static sv_str key(const answer *to, const char *kind, sv_str a, sv_str b, sv_str c)
{
    return sv->format(to->ev, "%s\n%.*s\n%.*s\n%.*s", kind, (int)a.n, text_of(a), (int)b.n,
                      text_of(b), (int)c.n, text_of(c));
}

static void add_feature(answer *to, sv_str var)
{
    if (!is_new(to, key(to, "feature", var, SV_STR_NONE, SV_STR_NONE))) return;
    sv_draft *feature = sv->child(to->query, SV_STR("feature"), SV_STR_NONE);
    sv->set(feature, SV_STR("var"), var);
}

/* The FORM_TYPE of a form (XEP-0068 3.2); empty if it has none. */
static sv_str form_type(sv_event *ev, const sv_node *form)
{
    for (const sv_node *field = sv->first(form); field; field = sv->next(form, field)) {
        if (!sv_str_eq(sv->attr(field, SV_STR("var")), SV_STR("FORM_TYPE"))) continue;
        const sv_node *value = sv->find(field, SV_STR("value"), SV_STR(NS_FORM));
        return value ? sv->text(ev, value) : SV_STR_NONE;
    }
    return SV_STR_NONE;
}

/* XEP-0030 3.1, 4.1; XEP-0128 2: what the element is in the answer; empty if it has no place there. */
static sv_str key_of(const answer *to, const sv_node *element)
{
    const bool is_info = strcmp(to->ns, SV_DISCO_INFO) == 0;
    const sv_str ns = sv_str_of(to->ns), jid = sv->attr(element, SV_STR("jid")),
                 var = sv->attr(element, SV_STR("var")),
                 category = sv->attr(element, SV_STR("category")),
                 type = sv->attr(element, SV_STR("type"));
    if (!is_info)
        return sv->is(element, SV_STR("item"), ns) && jid.n
                   ? key(to, "item", jid, sv->attr(element, SV_STR("node")), SV_STR_NONE)
                   : SV_STR_NONE;
    if (sv->is(element, SV_STR("feature"), ns) && var.n && !sv->first(element))
        return key(to, "feature", var, SV_STR_NONE, SV_STR_NONE);
    if (sv->is(element, SV_STR("identity"), ns) && category.n && type.n)
        return key(to, "identity", category, type,
                   sv->attr_ns(element, SV_STR("lang"), SV_STR(SV_NS_XML)));
    if (!sv->is(element, SV_STR("x"), SV_STR(NS_FORM))) return SV_STR_NONE;
    const sv_str form = form_type(to->ev, element);
    return form.n ? key(to, "form", form, SV_STR_NONE, SV_STR_NONE) : SV_STR_NONE;
}

/* False if it is no element that may stand there. */
static bool add_line(answer *to, sv_str line)
{
    const sv_stanza *stanza;
    const sv_str framed = sv->format(to->ev, "<query xmlns='%s'>%.*s</query>", to->ns, (int)line.n,
                                     text_of(line));
    if (sv->stanza_parse(to->ev, framed, &stanza) != SV_OK) return false;
    const sv_node *query = sv->stanza_root(stanza), *element = sv->first(query);
    if (!element || sv->next(query, element)) return false;
    const sv_str what = key_of(to, element);
    if (!what.n) return false;
    if (!is_new(to, what)) return true;
    sv->graft(to->query, stanza, element);
    to->identities += sv->is(element, SV_STR("identity"), SV_STR(SV_DISCO_INFO));
    to->items += sv->is(element, SV_STR("item"), SV_STR(SV_DISCO_ITEMS));
    return true;
}

static bool next_line(sv_str *rest, sv_str *line_out)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!end) return false;
    *line_out = (sv_str){rest->p, (size_t)(end - rest->p)};
    *rest = (sv_str){end + 1, rest->n - line_out->n - 1};
    return true;
}

/* What other modules offer. */
static void add_offers(answer *to, const char *point, const sv_jid *account, sv_str node)
{
    sv_str rest = sv->gather(to->ev, point, account, node), line;
    while (next_line(&rest, &line))
        if (!add_line(to, line))
            sv->log(to->me->mod, SV_ERROR, "disco-offer-refused", "point", point, "line",
                    sv->format(to->ev, "%.*s%c", (int)line.n, text_of(line), 0).p, NULL);
}

/* --- the host ------------------------------------------------------------------------------ */

static void add_features(answer *to, bool of_account)
{
    sv_str feature;
    for (size_t i = 0; (feature = sv->feature_at(to->me->mod, of_account, i)).n; i++)
        add_feature(to, feature);
}

/* Puts together what the host tells of itself; tells others if it is not what it was. */
static void compose(sv_event *ev, disco *me)
{
    answer to = {.ev = ev, .me = me, .ns = SV_DISCO_INFO};
    to.query = sv->draft(ev, SV_STR("query"), SV_STR(SV_DISCO_INFO));
    (void)add_line(&to, SV_STR(SERVER_IDENTITY));
    add_features(&to, false);
    add_offers(&to, SV_DISCO_HOST, NULL, SV_STR_NONE);
    const sv_stanza *made = sv->freeze(ev, to.query);
    const sv_str text = sv->stanza_bytes(ev, made);
    const bool is_same = me->host_info && sv_str_eq(sv->stanza_bytes(ev, me->host_info), text);
    if (is_same) return;
    sv->stanza_unref(me->mod, &me->host_info);
    me->host_info = sv->stanza_ref(me->mod, made);
    sv->fire(ev, SV_DISCO_TOLD, NULL, text);
}

static sv_verdict on_changed(sv_event *ev, void *self)
{
    compose(ev, self);
    return SV_PASS;
}

/* Whoever listens may have begun anew: it is told in any case. */
static sv_verdict on_ready(sv_event *ev, void *self)
{
    disco *me = self;
    sv->stanza_unref(me->mod, &me->host_info);
    compose(ev, me);
    return SV_PASS;
}

/* --- answering ----------------------------------------------------------------------------- */

static answer begin(sv_event *ev, const disco *me, const char *ns)
{
    answer to = {.ev = ev, .me = me, .ns = ns};
    to.query = sv->reply(ev, SV_STR("query"), sv_str_of(ns));
    /* XEP-0030 3.2, 4.2: the answer names the node */
    const sv_str node = sv->attr(sv->payload(ev), SV_STR("node"));
    if (node.n) sv->set(to.query, SV_STR("node"), node);
    return to;
}

static sv_str node_of(const sv_event *ev)
{
    return sv->attr(sv->payload(ev), SV_STR("node"));
}

/* A node is what modules offer for it; what it is belongs to it. */
static sv_verdict answer_node_info(sv_event *ev, const disco *me, const char *point,
                                   const sv_jid *account)
{
    answer to = begin(ev, me, SV_DISCO_INFO);
    add_offers(&to, point, account, node_of(ev));
    if (to.identities == 0) return sv->refuse(ev, SV_ITEM_NOT_FOUND);
    add_feature(&to, SV_STR(SV_DISCO_INFO)); /* 3.1: every entity has it */
    return sv->send(ev);
}

static sv_verdict on_host_info(sv_event *ev, void *self)
{
    disco *me = self;
    if (node_of(ev).n) return answer_node_info(ev, me, SV_DISCO_HOST, NULL);
    if (!me->host_info) compose(ev, me); /* asked by a module before the host was ready */
    const answer to = begin(ev, me, SV_DISCO_INFO);
    const sv_node *info = sv->stanza_root(me->host_info);
    for (const sv_node *at = sv->first(info); at; at = sv->next(info, at))
        sv->graft(to.query, me->host_info, at);
    return sv->send(ev);
}

/* XEP-0030 registry; XEP-0175 5. */
static sv_str account_type(sv_event *ev)
{
    return sv->is_guest(ev, sv->to(ev)) ? SV_STR("anonymous") : SV_STR("registered");
}

static sv_verdict answer_account_info(sv_event *ev, const disco *me)
{
    if (node_of(ev).n) return answer_node_info(ev, me, SV_DISCO_ACCOUNT, sv->to(ev));
    answer to = begin(ev, me, SV_DISCO_INFO);
    sv_draft *identity = sv->child(to.query, SV_STR("identity"), SV_STR_NONE);
    sv->set(identity, SV_STR("category"), SV_STR("account"));
    sv->set(identity, SV_STR("type"), account_type(ev));
    (void)is_new(&to, key(&to, "identity", SV_STR("account"), account_type(ev), SV_STR_NONE));
    add_features(&to, true);
    add_offers(&to, SV_DISCO_ACCOUNT, sv->to(ev), SV_STR_NONE);
    return sv->send(ev);
}

/* Components and services that the operator names: "JID" or "JID NAME". */
static void add_configured(answer *to)
{
    for (size_t i = 0; i < to->me->items.count; i++) {
        const sv_str text = to->me->items.items[i];
        const char *blank = memchr(text.p, ' ', text.n);
        const sv_str jid = {text.p, blank ? (size_t)(blank - text.p) : text.n};
        if (!is_new(to, key(to, "item", jid, SV_STR_NONE, SV_STR_NONE))) continue;
        sv_draft *item = sv->child(to->query, SV_STR("item"), SV_STR_NONE);
        sv->set(item, SV_STR("jid"), jid);
        if (blank) sv->set(item, SV_STR("name"), (sv_str){blank + 1, text.n - jid.n - 1});
    }
}

/* XEP-0030 4.1, 7: without items the result is empty; but a node must be there. */
static sv_verdict answer_items(sv_event *ev, const disco *me, const char *point,
                               const sv_jid *account)
{
    const bool has_node = node_of(ev).n > 0;
    answer to = begin(ev, me, SV_DISCO_ITEMS);
    if (!has_node && !account) add_configured(&to);
    add_offers(&to, point, account, node_of(ev));
    if (has_node && to.items == 0) return sv->refuse(ev, SV_ITEM_NOT_FOUND);
    return sv->send(ev);
}

static sv_verdict on_host_items(sv_event *ev, void *self)
{
    return answer_items(ev, self, SV_DISCO_HOST_ITEMS, NULL);
}

static sv_verdict on_self_info(sv_event *ev, void *self)
{
    return answer_account_info(ev, self);
}

static sv_verdict on_self_items(sv_event *ev, void *self)
{
    return answer_items(ev, self, SV_DISCO_ACCOUNT_ITEMS, sv->to(ev));
}

static sv_verdict answer_account(sv_event *ev, disco *me)
{
    return sv->is(sv->payload(ev), SV_STR("query"), SV_STR(SV_DISCO_INFO)) ? on_self_info(ev, me)
                                                                          : on_self_items(ev, me);
}

static void answer_contact(sv_event *ev, sv_status status, sv_rows *rows, void *self)
{
    sv_str record;
    const bool sees = status == SV_OK && sv->row(rows, sv->from(ev)->bare, &record) &&
                      (sv_roster_flags(record) & SV_ROSTER_FROM);
    if (sees)
        (void)answer_account(ev, self);
    else
        (void)sv->refuse(ev, SV_SERVICE_UNAVAILABLE);
}

static sv_verdict on_account(sv_event *ev, void *self)
{
    disco *me = self;
    if (sv->to(ev)->resource.n) return SV_PASS; /* for a session that is gone */
    /* XEP-0175 5: to whoever knows a guest's name, which nobody guesses */
    if (sv->is_guest(ev, sv->to(ev))) return answer_account(ev, me);
    sv->rows_load(ev, me->roster, sv->to(ev)->node, answer_contact);
    return SV_LATER;
}

/* --- life ---------------------------------------------------------------------------------- */

static sv_status start(sv_mod *mod, void *self)
{
    disco *me = self;
    me->mod = mod;
    return sv->store_open(mod, SV_ROSTER_MODULE, SV_ROSTER_STORE, SV_ROSTER_SCHEMA, &me->roster);
}

static void stop(void *self)
{
    disco *me = self;
    sv->stanza_unref(me->mod, &me->host_info);
}

static const sv_hook hooks[] = {
    {.on = "iq-get/host {" SV_DISCO_INFO "}query", .call = on_host_info},
    {.on = "iq-get/host {" SV_DISCO_ITEMS "}query", .call = on_host_items},
    {.on = "iq-get/self {" SV_DISCO_INFO "}query", .call = on_self_info},
    {.on = "iq-get/self {" SV_DISCO_ITEMS "}query", .call = on_self_items},
    {.on = "iq-get/account {" SV_DISCO_INFO "}query", .call = on_account},
    {.on = "iq-get/account {" SV_DISCO_ITEMS "}query", .call = on_account},
    {.on = "host/ready", .call = on_ready, .band = SV_LATE}, /* when the others are */
    {.on = SV_DISCO_CHANGED, .call = on_changed},
    {0},
};

static const sv_option options[] = {
    SV_OPT_LIST_OF(disco, items, "disco_items", "jid-name",
                   "Further services that the host shows to its users: addresses, each alone or with "
                   "a blank and a name behind it."),
    {0},
};

SV_MODULE(.name = "disco", .summary = "Service discovery (XEP-0030, XEP-0128)",
          .features = SV_DISCO_INFO " " SV_DISCO_ITEMS,
          .account_features = SV_DISCO_INFO " " SV_DISCO_ITEMS, .self_size = sizeof(disco),
          .hooks = hooks, .options = options, .start = start, .stop = stop, .after = "?roster")
