/* An answer to disco#info, and what is hashed of it: the string S of XEP-0115 5.1 and the octets of
 * XEP-0390 4.1.
 *
 * S forgets what is an identity, a feature and a form, and where one ends: "a<b" is one feature or two. So
 * whoever shows a popular hash could give an info that has the same S and lacks features (XEP-0115 9.3).
 * An info is plain if only one info can have its S: nothing in it holds '<'; categories and types are
 * words, no feature looks like an identity; a form is one whose name and fields are known and no feature has
 * that name. Others hold for the session that gave them. */
#include "caps.h"

#include <stdlib.h>

#define NS_FORM "jabber:x:data"
#define SOFTWARE_INFO "urn:xmpp:dataforms:softwareinfo" /* XEP-0232; the form that clients have */

typedef struct identity {
    sv_str category, type, lang, name;
    sv_str implied; /* its language, inherited if it has none */
} identity;

typedef struct field {
    sv_str var;
    sv_str *values;
    size_t count;
} field;

typedef struct form {
    sv_str type;         /* FORM_TYPE; empty: the form has none that counts */
    bool is_ambiguous;   /* FORM_TYPE has several values */
    field *fields;
    size_t count;
} form;

/* All of an info. */
typedef struct parts {
    sv_event *ev;
    identity *identities;
    sv_str *features;
    form *forms;
    size_t identity_count, feature_count, form_count;
    bool has_others; /* elements that XEP-0390 4.1 does not take */
} parts;

/* --- octets -------------------------------------------------------------------------------- */

typedef struct octets {
    sv_event *ev;
    char *p;
    size_t n, room;
} octets;

static void put(octets *to, sv_str text)
{
    if (text.n == 0) return;
    if (to->room - to->n < text.n) {
        const size_t room = 2 * (to->n + text.n) + 256;
        char *p = sv->scratch(to->ev, room);
        if (to->n > 0) memcpy(p, to->p, to->n);
        to->p = p;
        to->room = room;
    }
    memcpy(to->p + to->n, text.p, text.n);
    to->n += text.n;
}

static void put_char(octets *to, char c)
{
    put(to, (sv_str){&c, 1});
}

static sv_str taken(const octets *from)
{
    return (sv_str){from->p, from->n};
}

/* i;octet of RFC 4790 9.3. */
static int by_octets(sv_str a, sv_str b)
{
    const size_t n = a.n < b.n ? a.n : b.n;
    const int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_str(const void *a, const void *b)
{
    return by_octets(*(const sv_str *)a, *(const sv_str *)b);
}

static void sort(sv_str *items, size_t count)
{
    if (count > 1) qsort(items, count, sizeof *items, compare_str);
}

/* --- reading ------------------------------------------------------------------------------- */

static sv_str lang_of(const sv_node *node)
{
    return sv->attr_ns(node, SV_STR("lang"), SV_STR(SV_NS_XML));
}

static size_t count_children(const sv_node *node)
{
    size_t count = 0;
    for (const sv_node *at = sv->first(node); at; at = sv->next(node, at)) count++;
    return count;
}

static identity read_identity(const sv_node *node, sv_str inherited)
{
    identity it = {.category = sv->attr(node, SV_STR("category")),
                   .type = sv->attr(node, SV_STR("type")),
                   .lang = lang_of(node),
                   .name = sv->attr(node, SV_STR("name"))};
    it.implied = it.lang.p ? it.lang : inherited;
    return it;
}

static field read_field(sv_event *ev, const sv_node *node)
{
    field it = {.var = sv->attr(node, SV_STR("var"))};
    it.values = sv->scratch(ev, (count_children(node) + 1) * sizeof(sv_str));
    for (const sv_node *at = sv->first(node); at; at = sv->next(node, at))
        if (sv->is(at, SV_STR("value"), SV_STR(NS_FORM)))
            it.values[it.count++] = sv->text(ev, at);
    sort(it.values, it.count);
    return it;
}

static int compare_fields(const void *a, const void *b)
{
    return by_octets(((const field *)a)->var, ((const field *)b)->var);
}

/* XEP-0115 5.4 rules 3.5 and 3.6, XEP-0068 3.2: its name is the value of a hidden field FORM_TYPE. */
static void name_form(form *it, const field *f, bool is_hidden)
{
    if (!is_hidden || f->count == 0) return;
    it->type = f->values[0];
    it->is_ambiguous = !sv_str_eq(f->values[0], f->values[f->count - 1]); /* they are sorted */
}

static form read_form(parts *p, const sv_node *node)
{
    form it = {.type = SV_STR_NONE};
    it.fields = sv->scratch(p->ev, (count_children(node) + 1) * sizeof(field));
    for (const sv_node *at = sv->first(node); at; at = sv->next(node, at)) {
        if (sv->is(at, SV_STR("reported"), SV_STR(NS_FORM)) ||
            sv->is(at, SV_STR("item"), SV_STR(NS_FORM)))
            p->has_others = true;
        if (!sv->is(at, SV_STR("field"), SV_STR(NS_FORM))) continue;
        const field f = read_field(p->ev, at);
        if (sv_str_eq(f.var, SV_STR("FORM_TYPE")))
            name_form(&it, &f, sv_str_eq(sv->attr(at, SV_STR("type")), SV_STR("hidden")));
        it.fields[it.count++] = f;
    }
    if (it.type.n == 0) p->has_others = true;
    if (it.count > 1) qsort(it.fields, it.count, sizeof *it.fields, compare_fields);
    return it;
}

static int compare_identities(const void *a, const void *b)
{
    const identity *x = a, *y = b;
    int order = by_octets(x->category, y->category);
    if (order == 0) order = by_octets(x->type, y->type);
    if (order == 0) order = by_octets(x->lang, y->lang);
    return order != 0 ? order : by_octets(x->name, y->name);
}

static int compare_forms(const void *a, const void *b)
{
    return by_octets(((const form *)a)->type, ((const form *)b)->type);
}

static void read_parts(parts *p, const sv_node *iq, const sv_node *query)
{
    const size_t room = count_children(query) + 1;
    const sv_str ns = SV_STR(SV_DISCO_INFO),
                 inherited = lang_of(query).p ? lang_of(query) : lang_of(iq);
    p->identities = sv->scratch(p->ev, room * sizeof(identity));
    p->features = sv->scratch(p->ev, room * sizeof(sv_str));
    p->forms = sv->scratch(p->ev, room * sizeof(form));
    for (const sv_node *at = sv->first(query); at; at = sv->next(query, at)) {
        if (sv->is(at, SV_STR("identity"), ns))
            p->identities[p->identity_count++] = read_identity(at, inherited);
        else if (sv->is(at, SV_STR("feature"), ns))
            p->features[p->feature_count++] = sv->attr(at, SV_STR("var"));
        else if (sv->is(at, SV_STR("x"), SV_STR(NS_FORM)))
            p->forms[p->form_count++] = read_form(p, at);
        else
            p->has_others = true;
    }
    sort(p->features, p->feature_count);
    if (p->identity_count > 1)
        qsort(p->identities, p->identity_count, sizeof *p->identities, compare_identities);
    if (p->form_count > 1) qsort(p->forms, p->form_count, sizeof *p->forms, compare_forms);
}

/* --- XEP-0115 ------------------------------------------------------------------------------ */

/* 5.4 rules 3.3 to 3.5. */
static bool is_well_formed(const parts *p)
{
    for (size_t i = 1; i < p->identity_count; i++)
        if (compare_identities(&p->identities[i - 1], &p->identities[i]) == 0) return false;
    for (size_t i = 1; i < p->feature_count; i++)
        if (sv_str_eq(p->features[i - 1], p->features[i])) return false;
    for (size_t i = 0; i < p->form_count; i++) {
        if (p->forms[i].is_ambiguous) return false;
        if (i > 0 && p->forms[i].type.n > 0 && sv_str_eq(p->forms[i - 1].type, p->forms[i].type))
            return false;
    }
    return true;
}

static void put_old_form(octets *to, const form *it)
{
    if (it->type.n == 0) return; /* 5.4 rule 3.6 */
    put(to, it->type);
    put_char(to, '<');
    for (size_t i = 0; i < it->count; i++) {
        const field *f = &it->fields[i];
        if (sv_str_eq(f->var, SV_STR("FORM_TYPE"))) continue;
        put(to, f->var);
        put_char(to, '<');
        for (size_t k = 0; k < f->count; k++) {
            put(to, f->values[k]);
            put_char(to, '<');
        }
    }
}

/* 5.1: S. */
static sv_str old_string(const parts *p)
{
    octets to = {.ev = p->ev};
    for (size_t i = 0; i < p->identity_count; i++) {
        const sv_str of[] = {p->identities[i].category, p->identities[i].type,
                             p->identities[i].lang, p->identities[i].name};
        for (size_t k = 0; k < 4; k++) {
            put(&to, of[k]);
            put_char(&to, k < 3 ? '/' : '<');
        }
    }
    for (size_t i = 0; i < p->feature_count; i++) {
        put(&to, p->features[i]);
        put_char(&to, '<');
    }
    for (size_t i = 0; i < p->form_count; i++) put_old_form(&to, &p->forms[i]);
    return taken(&to);
}

static bool holds(sv_str text, char c)
{
    return text.n > 0 && memchr(text.p, c, text.n) != NULL;
}

static bool is_word(sv_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i], lower = (char)(c | 0x20);
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return text.n > 0;
}

/* Could the text be an identity's "category/type/lang/name"? */
static bool looks_like_identity(sv_str text)
{
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    return slash && is_word((sv_str){text.p, (size_t)(slash - text.p)});
}

static bool is_known_field(sv_str var)
{
    static const char *const known[] = {"FORM_TYPE", "icon",     "ip_version",      "os",
                                        "os_version", "software", "software_version"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (sv_str_eq(var, sv_str_of(known[i]))) return true;
    return false;
}

static bool is_plain_form(const form *it)
{
    if (!sv_str_eq(it->type, SV_STR(SOFTWARE_INFO))) return false;
    for (size_t i = 0; i < it->count; i++) {
        const field *f = &it->fields[i];
        if (!is_known_field(f->var)) return false;
        if (i > 0 && sv_str_eq(f->var, it->fields[i - 1].var)) return false;
        for (size_t k = 0; k < f->count; k++)
            if (holds(f->values[k], '<') || is_known_field(f->values[k])) return false;
    }
    return true;
}

/* See the head of this file. */
static bool is_plain(const parts *p)
{
    if (p->identity_count == 0) return false; /* XEP-0030 3.1: there is one */
    for (size_t i = 0; i < p->identity_count; i++) {
        const identity *it = &p->identities[i];
        if (!is_word(it->category) || !is_word(it->type)) return false;
        if (it->lang.n > 0 && !is_word(it->lang)) return false;
        if (holds(it->name, '<')) return false;
    }
    for (size_t i = 0; i < p->feature_count; i++) {
        const sv_str var = p->features[i];
        if (var.n == 0 || holds(var, '<') || looks_like_identity(var) ||
            sv_str_eq(var, SV_STR(SOFTWARE_INFO)))
            return false;
    }
    for (size_t i = 0; i < p->form_count; i++)
        if (!is_plain_form(&p->forms[i])) return false;
    return true;
}

/* --- XEP-0390 4.1 -------------------------------------------------------------------------- */

static void put_sorted(octets *to, sv_str *items, size_t count, char end)
{
    sort(items, count);
    for (size_t i = 0; i < count; i++) put(to, items[i]);
    put_char(to, end);
}

static sv_str identity_octets(const parts *p, const identity *it, bool implied)
{
    octets to = {.ev = p->ev};
    const sv_str of[] = {it->category, it->type, implied ? it->implied : it->lang, it->name};
    for (size_t k = 0; k < 4; k++) {
        put(&to, of[k]);
        put_char(&to, 0x1f);
    }
    put_char(&to, 0x1e);
    return taken(&to);
}

static sv_str form_octets(const parts *p, const form *it)
{
    sv_str *items = sv->scratch(p->ev, (it->count + 1) * sizeof *items);
    for (size_t i = 0; i < it->count; i++) {
        octets of_field = {.ev = p->ev};
        put(&of_field, it->fields[i].var);
        put_char(&of_field, 0x1f);
        for (size_t k = 0; k < it->fields[i].count; k++) {
            put(&of_field, it->fields[i].values[k]);
            put_char(&of_field, 0x1f);
        }
        put_char(&of_field, 0x1e);
        items[i] = taken(&of_field);
    }
    octets to = {.ev = p->ev};
    put_sorted(&to, items, it->count, 0x1d);
    return taken(&to);
}

static sv_str new_string(const parts *p, bool implied)
{
    octets to = {.ev = p->ev};
    const size_t most = p->identity_count + p->feature_count + p->form_count + 1;
    sv_str *items = sv->scratch(p->ev, most * sizeof *items);
    for (size_t i = 0; i < p->feature_count; i++) {
        octets of_feature = {.ev = p->ev};
        put(&of_feature, p->features[i]);
        put_char(&of_feature, 0x1f);
        items[i] = taken(&of_feature);
    }
    put_sorted(&to, items, p->feature_count, 0x1c);
    for (size_t i = 0; i < p->identity_count; i++)
        items[i] = identity_octets(p, &p->identities[i], implied);
    put_sorted(&to, items, p->identity_count, 0x1c);
    size_t count = 0;
    for (size_t i = 0; i < p->form_count; i++)
        if (p->forms[i].type.n > 0) items[count++] = form_octets(p, &p->forms[i]);
    put_sorted(&to, items, count, 0x1c);
    return taken(&to);
}

/* Rules 1 to 3; a FORM_TYPE is one value. */
static bool is_strict(const parts *p)
{
    bool strict = !p->has_others;
    for (size_t i = 0; i < p->form_count; i++) strict = strict && !p->forms[i].is_ambiguous;
    return strict;
}

/* --- all of it ----------------------------------------------------------------------------- */

void caps_info_read(sv_event *ev, const sv_node *iq, const sv_node *query, caps_info *info_out)
{
    parts p = {.ev = ev};
    read_parts(&p, iq, query);
    const bool well = is_well_formed(&p);
    *info_out = (caps_info){.is_well_formed = well,
                            .is_plain = well && is_plain(&p),
                            .is_strict = is_strict(&p),
                            .old = old_string(&p),
                            .now = new_string(&p, false),
                            .implied = new_string(&p, true)};
}

static sv_str record_of(sv_event *ev, sv_str octets_of)
{
    octets to = {.ev = ev};
    put(&to, SV_STR("C1"));
    put(&to, octets_of);
    return taken(&to);
}

sv_str caps_info_record(sv_event *ev, const caps_info *info)
{
    return record_of(ev, info->now);
}

static bool fits(sv_event *ev, const caps_claim *claim, sv_str octets_of)
{
    const sv_str digest = sv->digest(ev, claim->function, octets_of);
    return digest.n > 0 && sv_str_eq(digest, claim->digest);
}

sv_str caps_info_verified(sv_event *ev, const caps_info *info, const caps_claim *claim)
{
    if (!claim->is_new) {
        if (!info->is_well_formed || !info->is_plain || !fits(ev, claim, info->old))
            return SV_STR_NONE;
        return record_of(ev, info->now);
    }
    if (!info->is_strict) return SV_STR_NONE;
    if (fits(ev, claim, info->implied)) return record_of(ev, info->implied);
    return fits(ev, claim, info->now) ? record_of(ev, info->now) : SV_STR_NONE;
}
