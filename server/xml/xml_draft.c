/* Drafts, freezing and editing: how the server's own code makes stanzas. */
#include "base/base_str.h"
#include "xml/xml_build.h"

#define NS_XMLNS "http://www.w3.org/2000/xmlns/"

typedef struct draft_attr {
    struct draft_attr *next;
    sv_str name;
    sv_str ns;
    sv_str value;
} draft_attr;

/* A child: exactly one of draft, node (of `owner`), text. */
typedef struct draft_kid {
    struct draft_kid *next;
    sv_draft *draft;
    const sv_stanza *owner;
    const sv_node *node;
    sv_str text;
} draft_kid;

struct sv_draft {
    svi_arena *arena;
    sv_draft *parent;
    draft_kid *self_kid; /* this draft's place among the parent's children */
    sv_str name;
    sv_str ns;
    draft_attr *attrs;
    draft_kid *kids;
    draft_kid *last_kid;
};

/* Eight bytes of ASCII, no control characters among them. */
static bool eight_plain(const char *p)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t eight;
    memcpy(&eight, p, sizeof eight);
    return (((eight - 0x20 * ones) | eight) & 0x80 * ones) == 0;
}

/* XML 1.0 2.2 Char: what svi_utf8_valid lets through minus C0 (but TAB, LF, CR), U+FFFE and U+FFFF. */
static bool chars_ok(sv_str text)
{
    size_t plain = 0;
    while (text.n - plain >= 8 && eight_plain(text.p + plain)) plain += 8;
    while (plain < text.n && (unsigned char)(text.p[plain] - 0x20) < 0x60) plain++;
    if (plain == text.n) return true;
    text = svi_str_sub(text, plain, text.n);
    for (size_t i = 0; i < text.n; i++) {
        const unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') return false;
        if (c == 0xEF && i + 2 < text.n && (unsigned char)text.p[i + 1] == 0xBF &&
            (unsigned char)text.p[i + 2] >= 0xBE)
            return false;
    }
    return svi_utf8_valid(text);
}

/* The ASCII part of NCName; our own code writes no other names, copied ones were checked by expat. */
static bool name_ok(sv_str name)
{
    if (name.n == 0) return false;
    for (size_t i = 0; i < name.n; i++) {
        const unsigned char c = (unsigned char)name.p[i];
        const bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        const bool later = (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (!letter && c != '_' && c < 0x80 && !(i > 0 && later)) return false;
    }
    return svi_utf8_valid(name);
}

sv_draft *svi_draft_new(svi_arena *arena, sv_str name, sv_str ns)
{
    SV_ASSERT(name_ok(name));
    SV_ASSERT(chars_ok(ns) && !sv_str_eq(ns, SV_STR(NS_XMLNS)));
    sv_draft *draft = svi_arena_get(arena, sizeof *draft);
    draft->arena = arena;
    draft->name = svi_arena_str(arena, name);
    draft->ns = svi_arena_str(arena, ns);
    return draft;
}

static draft_kid *add_kid(sv_draft *parent)
{
    draft_kid *kid = svi_arena_get(parent->arena, sizeof *kid);
    if (parent->last_kid)
        parent->last_kid->next = kid;
    else
        parent->kids = kid;
    parent->last_kid = kid;
    return kid;
}

sv_draft *svi_draft_child(sv_draft *parent, sv_str name, sv_str ns)
{
    sv_draft *draft = svi_draft_new(parent->arena, name, ns.n ? ns : parent->ns);
    draft->parent = parent;
    draft->self_kid = add_kid(parent);
    draft->self_kid->draft = draft;
    return draft;
}

void svi_draft_attr(sv_draft *draft, sv_str name, sv_str value)
{
    svi_draft_attr_ns(draft, name, SV_STR_NONE, value);
}

void svi_draft_attr_int(sv_draft *draft, sv_str name, int64_t value)
{
    svi_draft_attr(draft, name, svi_arena_printf(draft->arena, "%lld", (long long)value));
}

void svi_draft_attr_ns(sv_draft *draft, sv_str name, sv_str ns, sv_str value)
{
    SV_ASSERT(name_ok(name) && chars_ok(value) && chars_ok(ns));
    SV_ASSERT(ns.n > 0 || !sv_str_eq(name, SV_STR("xmlns"))); /* would redefine the namespace */
    SV_ASSERT(!sv_str_eq(ns, SV_STR(NS_XMLNS)));
    draft_attr **at = &draft->attrs;
    while (*at && !(sv_str_eq((*at)->name, name) && sv_str_eq((*at)->ns, ns))) at = &(*at)->next;
    if (!value.p) {
        if (*at) *at = (*at)->next;
        return;
    }
    if (!*at) {
        *at = svi_arena_get(draft->arena, sizeof **at);
        (*at)->name = svi_arena_str(draft->arena, name);
        (*at)->ns = svi_arena_str(draft->arena, ns);
    }
    (*at)->value = svi_arena_str(draft->arena, value);
}

void svi_draft_text(sv_draft *draft, sv_str text)
{
    SV_ASSERT(chars_ok(text));
    if (text.n) add_kid(draft)->text = svi_arena_str(draft->arena, text);
}

void svi_draft_graft(sv_draft *draft, const sv_stanza *owner, const sv_node *node)
{
    SV_CHECK(owner, SVI_STANZA_MAGIC);
    SV_ASSERT(node != NULL);
    draft_kid *kid = add_kid(draft);
    kid->owner = owner;
    kid->node = node;
}

static void open_draft(svi_build *build, const svi_atoms *atoms, const sv_draft *draft)
{
    svi_build_open(build, atoms, draft->name, draft->ns);
    for (const draft_attr *attr = draft->attrs; attr; attr = attr->next)
        svi_build_put_attr(build, attr->name, attr->ns, attr->value, false);
}

/* Walks the draft tree by its parent links and puts all of it into the builder. */
static void put_draft(svi_build *build, const svi_atoms *atoms, const sv_draft *root)
{
    const sv_draft *at = root;
    open_draft(build, atoms, root);
    const draft_kid *kid = root->kids;
    for (;;) {
        if (!kid) {
            svi_build_close(build);
            if (at == root) return;
            kid = at->self_kid->next;
            at = at->parent;
        } else if (kid->draft) {
            at = kid->draft;
            open_draft(build, atoms, at);
            kid = at->kids;
        } else {
            if (kid->node) {
                svi_build_share(build, kid->owner);
                svi_build_graft(build, kid->node);
            } else {
                svi_build_text(build, kid->text);
            }
            kid = kid->next;
        }
    }
}

sv_stanza *svi_draft_freeze(svi_acct *acct, const svi_atoms *atoms, const sv_draft *root)
{
    svi_build_space space;
    svi_build build;
    svi_build_init(&build, acct, &space);
    put_draft(&build, atoms, root);
    sv_stanza *stanza = svi_build_finish(&build);
    svi_build_release(&build);
    return stanza;
}

static const svi_attr_set *find_set(const svi_edit *edit, sv_str name)
{
    for (size_t i = 0; i < edit->attr_count; i++)
        if (sv_str_eq(edit->attrs[i].name, name)) return edit->attrs + i;
    return NULL;
}

static const svi_qname lang_name = {.name = SV_STR_INIT("lang"), .ns = SV_STR_INIT(SVI_NS_XML)};

/* The language that the edited root gets because it has none. */
static sv_str new_lang(const sv_node *root, const svi_edit *edit)
{
    if (edit->lang.n == 0 || svi_node_attr_ns(root, lang_name.name, lang_name.ns).p)
        return SV_STR_NONE;
    SV_ASSERT(chars_ok(edit->lang));
    return edit->lang;
}

/* The base's attributes in their order, changed values in place, then those that are new. */
static void edit_attrs(svi_build *build, const sv_node *root, const svi_edit *edit)
{
    const svi_attr *attr = svi_node_attrs(root);
    for (uint32_t i = 0; i < root->attr_count; i++) {
        const sv_str name = svi_attr_name(attr + i);
        const sv_str ns = svi_attr_ns(attr + i);
        const svi_attr_set *set = ns.n ? NULL : find_set(edit, name);
        if (!set)
            svi_build_put_attr(build, name, ns, svi_attr_value(attr + i), true);
        else if (set->value.p)
            svi_build_put_attr(build, name, ns, set->value, false);
    }
    for (size_t i = 0; i < edit->attr_count; i++) {
        const svi_attr_set *set = edit->attrs + i;
        SV_ASSERT(name_ok(set->name) && chars_ok(set->value));
        SV_ASSERT(!sv_str_eq(set->name, SV_STR("xmlns")));
        if (!set->value.p || svi_node_attr(root, set->name).p) continue;
        SV_ASSERT(find_set(edit, set->name) == set); /* each name once */
        svi_build_put_attr(build, set->name, SV_STR_NONE, set->value, false);
    }
    const sv_str lang = new_lang(root, edit);
    if (lang.n > 0) svi_build_put_attr(build, lang_name.name, lang_name.ns, lang, false);
}

static void edit_kids(svi_build *build, const sv_node *root, const svi_edit *edit)
{
    const svi_kid *kid = svi_node_kids(root);
    size_t strip = 0;
    for (uint32_t i = 0; i < root->kid_count; i++) {
        if (strip < edit->strip_count && edit->strip[strip] == i) {
            strip++;
            continue;
        }
        if (kid[i].is_elem)
            svi_build_graft(build, kid[i].at);
        else
            svi_build_graft_text(build, (sv_str){kid[i].at, kid[i].len});
    }
    SV_ASSERT(strip == edit->strip_count); /* ascending, and each in range */
}

/* --- attributes alone ------------------------------------------------------------------------- */

/* How large the block of a root with other attributes is: its attributes, and the text of what is
 * new in them. */
typedef struct attr_room {
    size_t attrs, text;
} attr_room;

static attr_room measure_attrs(const sv_node *root, const svi_edit *edit)
{
    attr_room room = {.attrs = root->attr_count};
    for (size_t i = 0; i < edit->attr_count; i++) {
        const svi_attr_set *set = edit->attrs + i;
        const bool is_new = svi_node_attr(root, set->name).p == NULL;
        SV_ASSERT(name_ok(set->name) && chars_ok(set->value));
        SV_ASSERT(!sv_str_eq(set->name, SV_STR("xmlns")));
        SV_ASSERT(find_set(edit, set->name) == set); /* each name once */
        room.text += set->value.n;
        if (set->value.p == NULL) {
            room.attrs -= is_new ? 0 : 1;
        } else if (is_new) {
            room.attrs++;
            room.text += set->name.n;
        }
    }
    const sv_str lang = new_lang(root, edit);
    room.attrs += lang.n > 0;
    room.text += lang.n;
    return room;
}

static const char *lay_text(char **text, sv_str s)
{
    const char *at = *text;
    if (s.n > 0) memcpy(*text, s.p, s.n);
    *text += s.n;
    return at;
}

/* The attributes as edit_attrs says; what stays is used where it lies. */
static void lay_attrs(svi_attr *to, char *text, const sv_node *root, const svi_edit *edit)
{
    const svi_attr *attr = svi_node_attrs(root);
    for (uint32_t i = 0; i < root->attr_count; i++) {
        const svi_attr_set *set =
            svi_attr_ns(attr + i).n ? NULL : find_set(edit, svi_attr_name(attr + i));
        if (set && !set->value.p) continue;
        *to = attr[i];
        if (set) {
            to->value = lay_text(&text, set->value);
            to->value_len = (uint32_t)set->value.n;
        }
        to++;
    }
    for (size_t i = 0; i < edit->attr_count; i++) {
        const svi_attr_set *set = edit->attrs + i;
        if (!set->value.p || svi_node_attr(root, set->name).p) continue;
        *to = (svi_attr){.name_len = (uint32_t)set->name.n, .value_len = (uint32_t)set->value.n};
        to->name = lay_text(&text, set->name);
        to->value = lay_text(&text, set->value);
        to++;
    }
    const sv_str lang = new_lang(root, edit);
    if (lang.n > 0)
        *to = (svi_attr){.name = &lang_name,
                         .name_len = SVI_ATTR_NS,
                         .value = lay_text(&text, lang),
                         .value_len = (uint32_t)lang.n};
}

/* PERF: every stanza of a client gets its `from` this way; without the builder that is a fifth of
 * the instructions. */
static sv_stanza *edit_attrs_alone(svi_acct *acct, const sv_stanza *stanza, const svi_edit *edit)
{
    const sv_node *root = svi_stanza_root(stanza);
    const attr_room room = measure_attrs(root, edit);
    const size_t kids_bytes = root->kid_count * sizeof(svi_kid);
    const size_t attrs_bytes = room.attrs * sizeof(svi_attr);
    const size_t cost = sizeof(sv_stanza) + sizeof(sv_node) + kids_bytes + attrs_bytes +
                        sizeof(sv_stanza *) + room.text;
    sv_stanza *edited = svi_alloc_raw(acct, cost);
    sv_node *node = (sv_node *)(edited + 1);
    char *attrs = (char *)(node + 1) + kids_bytes, *shares = attrs + attrs_bytes;
    *edited = (sv_stanza){.magic = SVI_STANZA_MAGIC,
                          .refs = 1,
                          .child_bits = stanza->child_bits,
                          .cost_bytes = cost,
                          .held_bytes = cost + stanza->held_bytes,
                          .acct = acct,
                          .shares = (const sv_stanza **)(void *)shares,
                          .share_count = 1,
                          .node_count = 1};
    *node = *root;
    node->arrays = node + 1;
    node->attr_count = (uint32_t)room.attrs;
    node->slot = 0;
    if (kids_bytes > 0) memcpy(node + 1, svi_node_kids(root), kids_bytes);
    lay_attrs((svi_attr *)(void *)attrs, shares + sizeof(sv_stanza *), root, edit);
    edited->shares[0] = svi_stanza_ref(stanza);
    return edited;
}

sv_stanza *svi_stanza_edit(svi_acct *acct, const svi_atoms *atoms, const sv_stanza *stanza,
                           const svi_edit *edit)
{
    if (edit->strip_count == 0 && edit->add_count == 0)
        return edit_attrs_alone(acct, stanza, edit);
    const sv_node *root = svi_stanza_root(stanza);
    svi_build_space space;
    svi_build build;
    svi_build_init(&build, acct, &space);
    svi_build_share(&build, stanza);
    svi_build_open_like(&build, root);
    edit_attrs(&build, root, edit);
    edit_kids(&build, root, edit);
    for (size_t i = 0; i < edit->add_count; i++) put_draft(&build, atoms, edit->add[i]);
    svi_build_close(&build);
    sv_stanza *edited = svi_build_finish(&build);
    svi_build_release(&build);
    return edited;
}

sv_stanza *svi_stanza_from_node(svi_acct *acct, const svi_atoms *atoms, const sv_node *node)
{
    svi_build_space space;
    svi_build build;
    svi_build_init(&build, acct, &space);
    svi_build_copy(&build, atoms, node);
    sv_stanza *stanza = svi_build_finish(&build);
    svi_build_release(&build);
    return stanza;
}
