/* Builder: scratch arrays to one stanza block. */
#include "xml/xml_build.h"

/* Scratch beyond this is given back after a stanza, so that one large stanza does not cost for ever. */
#define KEEP_BYTES 8192

void svi_build_init(svi_build *build, svi_acct *acct, svi_build_space *space)
{
    *build = (svi_build){.acct = acct, .open = SVI_BUILD_NONE};
    if (!space) return;
    build->nodes = (svi_vec){.mem = space->nodes, .cap = sizeof space->nodes};
    build->attrs = (svi_vec){.mem = space->attrs, .cap = sizeof space->attrs};
    build->kids = (svi_vec){.mem = space->kids, .cap = sizeof space->kids};
    build->shares = (svi_vec){.mem = space->shares, .cap = sizeof space->shares};
    build->text = (svi_vec){.mem = space->text, .cap = sizeof space->text};
}

static void vec_release(svi_vec *vec)
{
    if (vec->owned) svi_free(vec->mem);
    *vec = (svi_vec){0};
}

void svi_build_release(svi_build *build)
{
    vec_release(&build->nodes);
    vec_release(&build->attrs);
    vec_release(&build->kids);
    vec_release(&build->shares);
    vec_release(&build->text);
    build->qnames = build->ns_bytes = 0;
    build->open = SVI_BUILD_NONE;
}

static void vec_clear(svi_vec *vec)
{
    vec->len = 0;
    if (vec->owned && vec->cap > KEEP_BYTES) vec_release(vec);
}

void svi_build_clear(svi_build *build)
{
    vec_clear(&build->nodes);
    vec_clear(&build->attrs);
    vec_clear(&build->kids);
    vec_clear(&build->shares);
    vec_clear(&build->text);
    build->qnames = build->ns_bytes = 0;
    build->open = SVI_BUILD_NONE;
}

/* Room for `bytes` more at the end of the array, counted as used. */
static void *vec_add(svi_build *build, svi_vec *vec, size_t bytes)
{
    if (vec->cap - vec->len < bytes) {
        size_t cap = vec->cap + (vec->cap < 2048 ? 512 : vec->cap / 4);
        if (cap - vec->len < bytes) cap = vec->len + bytes;
        SV_ASSERT(cap < UINT32_MAX); /* offsets in the scratch have 32 bits */
        if (vec->owned) {
            vec->mem = svi_realloc(build->acct, vec->mem, cap);
        } else {
            void *mem = svi_alloc_raw(build->acct, cap);
            if (vec->len) memcpy(mem, vec->mem, vec->len);
            vec->mem = mem;
            vec->owned = true;
        }
        vec->cap = cap;
    }
    void *at = (char *)vec->mem + vec->len;
    vec->len += bytes;
    return at;
}

static svi_build_node *node_at(const svi_build *build, uint32_t number)
{
    SV_ASSERT(number < build->nodes.len / sizeof(svi_build_node));
    return (svi_build_node *)build->nodes.mem + number;
}

static sv_str piece_str(const svi_build *build, svi_piece piece)
{
    if (piece.fixed) return (sv_str){piece.fixed, piece.len};
    return (sv_str){(const char *)build->text.mem + piece.off, piece.len};
}

static svi_piece put_text(svi_build *build, sv_str text)
{
    const svi_piece piece = {.off = (uint32_t)build->text.len, .len = (uint32_t)text.n};
    if (text.n) memcpy(vec_add(build, &build->text, text.n), text.p, text.n);
    return piece;
}

static svi_piece borrow(sv_str text)
{
    return (svi_piece){.fixed = text.p ? text.p : "", .len = (uint32_t)text.n};
}

/* Takes the namespace over from `like` if it is the same: no look-up, no second copy of its text. */
static bool same_ns(const svi_build *build, svi_build_node *node, uint32_t like, sv_str ns)
{
    if (like == SVI_BUILD_NONE) return false;
    const svi_build_node *other = node_at(build, like);
    if (!sv_str_eq(piece_str(build, other->ns), ns)) return false;
    node->ns = other->ns;
    node->ns_atom = other->ns_atom;
    return true;
}

static bool same_name(const svi_build *build, svi_build_node *node, uint32_t like, sv_str name)
{
    if (like == SVI_BUILD_NONE) return false;
    const svi_build_node *other = node_at(build, like);
    if (!sv_str_eq(piece_str(build, other->name), name)) return false;
    node->name = other->name;
    node->name_atom = other->name_atom;
    return true;
}

static svi_piece put_name(svi_build *build, const svi_atoms *atoms, sv_str name, sv_atom *atom_out)
{
    *atom_out = atoms ? svi_atoms_find(atoms, name) : 0;
    return *atom_out ? borrow(svi_atoms_text(atoms, *atom_out)) : put_text(build, name);
}

/* Appends the node and makes it the open one; returns nothing since arrays move. */
static void push_node(svi_build *build, svi_build_node node)
{
    const uint32_t number = (uint32_t)(build->nodes.len / sizeof node);
    SV_ASSERT(number == 0 || build->open != SVI_BUILD_NONE); /* one root */
    if (number) {
        svi_build_kid *kid = vec_add(build, &build->kids, sizeof *kid);
        *kid = (svi_build_kid){.owner = build->open, .node = number + 1};
        node_at(build, build->open)->kid_count++;
    }
    node.parent = build->open;
    node.attr_first = (uint32_t)(build->attrs.len / sizeof(svi_build_attr));
    *(svi_build_node *)vec_add(build, &build->nodes, sizeof node) = node;
    build->open = number;
}

void svi_build_open(svi_build *build, const svi_atoms *atoms, sv_str name, sv_str ns)
{
    const size_t count = build->nodes.len / sizeof(svi_build_node);
    const uint32_t last = count ? (uint32_t)count - 1 : SVI_BUILD_NONE;
    svi_build_node node = {0};
    if (!same_ns(build, &node, build->open, ns)) {
        build->ns_bytes += ns.n;
        if (!same_ns(build, &node, last, ns)) node.ns = put_name(build, atoms, ns, &node.ns_atom);
    }
    if (!same_name(build, &node, last, name))
        node.name = put_name(build, atoms, name, &node.name_atom);
    push_node(build, node);
}

void svi_build_open_like(svi_build *build, const sv_node *like)
{
    push_node(build, (svi_build_node){.name = borrow(svi_node_name(like)),
                                      .ns = borrow(svi_node_ns(like)),
                                      .name_atom = like->name_atom,
                                      .ns_atom = like->ns_atom});
}

void svi_build_put_attr(svi_build *build, sv_str name, sv_str ns, sv_str value, bool keep)
{
    SV_ASSERT(build->open != SVI_BUILD_NONE);
    svi_build_attr attr = {0};
    attr.name = keep ? borrow(name) : put_text(build, name);
    attr.value = keep ? borrow(value) : put_text(build, value);
    if (ns.n && sv_str_eq(ns, SV_STR(SVI_NS_XML)))
        attr.ns = borrow(SV_STR(SVI_NS_XML));
    else if (ns.n)
        attr.ns = keep ? borrow(ns) : put_text(build, ns);
    if (ns.n) build->qnames++;
    *(svi_build_attr *)vec_add(build, &build->attrs, sizeof attr) = attr;
    svi_build_node *node = node_at(build, build->open);
    SV_ASSERT(node->kid_count == 0); /* attributes lie together */
    node->attr_count++;
}

/* The last child so far if it is copied text of the open element. */
static svi_build_kid *last_run(const svi_build *build)
{
    if (build->kids.len == 0) return NULL;
    svi_build_kid *kid =
        (svi_build_kid *)build->kids.mem + build->kids.len / sizeof(svi_build_kid) - 1;
    const bool is_run = kid->owner == build->open && !kid->node && !kid->graft && !kid->text.fixed;
    return is_run ? kid : NULL;
}

static void push_text(svi_build *build, svi_piece text)
{
    svi_build_kid *kid = vec_add(build, &build->kids, sizeof *kid);
    *kid = (svi_build_kid){.text = text, .owner = build->open};
    node_at(build, build->open)->kid_count++;
}

void svi_build_text(svi_build *build, sv_str text)
{
    SV_ASSERT(build->open != SVI_BUILD_NONE);
    if (text.n == 0) return;
    svi_build_kid *run = last_run(build);
    const svi_piece piece = put_text(build, text);
    if (run)
        run->text.len += piece.len; /* nothing else was written since: the run ended the scratch */
    else
        push_text(build, piece);
}

void svi_build_graft(svi_build *build, const sv_node *node)
{
    SV_ASSERT(build->open != SVI_BUILD_NONE);
    svi_build_kid *kid = vec_add(build, &build->kids, sizeof *kid);
    *kid = (svi_build_kid){.graft = node, .owner = build->open};
    node_at(build, build->open)->kid_count++;
}

void svi_build_graft_text(svi_build *build, sv_str text)
{
    SV_ASSERT(build->open != SVI_BUILD_NONE);
    push_text(build, borrow(text));
}

static void open_copy(svi_build *build, const svi_atoms *atoms, const sv_node *node)
{
    svi_build_open(build, atoms, svi_node_name(node), svi_node_ns(node));
    const svi_attr *attr = svi_node_attrs(node);
    for (uint32_t i = 0; i < node->attr_count; i++)
        svi_build_put_attr(build, svi_attr_name(attr + i), svi_attr_ns(attr + i),
                           svi_attr_value(attr + i), false);
}

typedef struct copy_frame {
    const sv_node *node;
    uint32_t next;
} copy_frame;

void svi_build_copy(svi_build *build, const svi_atoms *atoms, const sv_node *node)
{
    copy_frame first[32];
    svi_vec stack = {.mem = first, .cap = sizeof first};
    open_copy(build, atoms, node);
    *(copy_frame *)vec_add(build, &stack, sizeof *first) = (copy_frame){.node = node};
    while (stack.len) {
        copy_frame *top = (copy_frame *)stack.mem + stack.len / sizeof *first - 1;
        if (top->next == top->node->kid_count) {
            svi_build_close(build);
            stack.len -= sizeof *first;
            continue;
        }
        const svi_kid kid = svi_node_kids(top->node)[top->next++];
        if (kid.is_elem) {
            open_copy(build, atoms, kid.at);
            *(copy_frame *)vec_add(build, &stack, sizeof *first) = (copy_frame){.node = kid.at};
        } else {
            svi_build_text(build, (sv_str){kid.at, kid.len});
        }
    }
    vec_release(&stack);
}

void svi_build_share(svi_build *build, const sv_stanza *owner)
{
    SV_CHECK(owner, SVI_STANZA_MAGIC);
    const sv_stanza *const *have = build->shares.mem;
    for (size_t i = 0; i < build->shares.len / sizeof *have; i++)
        if (have[i] == owner) return;
    *(const sv_stanza **)vec_add(build, &build->shares, sizeof owner) = owner;
}

void svi_build_close(svi_build *build)
{
    build->open = node_at(build, build->open)->parent;
}

size_t svi_build_cost(const svi_build *build)
{
    return sizeof(sv_stanza) + build->nodes.len / sizeof(svi_build_node) * sizeof(sv_node) +
           build->kids.len / sizeof(svi_build_kid) * sizeof(svi_kid) +
           build->attrs.len / sizeof(svi_build_attr) * sizeof(svi_attr) +
           build->qnames * sizeof(svi_qname) + build->shares.len + build->text.len;
}

size_t svi_build_elements(const svi_build *build)
{
    return build->nodes.len / sizeof(svi_build_node);
}

/* Where things go while a block is laid out. */
typedef struct layout {
    const svi_build *build;
    sv_node *nodes;
    svi_qname *qnames;
    const char *text;
} layout;

static sv_str placed(const layout *lay, svi_piece piece)
{
    return (sv_str){piece.fixed ? piece.fixed : lay->text + piece.off, piece.len};
}

static svi_attr lay_attr(layout *lay, const svi_build_attr *from)
{
    const sv_str name = placed(lay, from->name);
    const sv_str value = placed(lay, from->value);
    svi_attr attr = {.value = value.p, .value_len = (uint32_t)value.n};
    if (from->ns.len) {
        *lay->qnames = (svi_qname){.name = name, .ns = placed(lay, from->ns)};
        attr.name = lay->qnames++;
        attr.name_len = SVI_ATTR_NS;
    } else {
        attr.name = name.p;
        attr.name_len = (uint32_t)name.n;
    }
    return attr;
}

/* Fills nodes with their attributes; returns the end of the arrays. Children follow in lay_kids. */
static void *lay_nodes(layout *lay, char *arrays)
{
    const svi_build_node *from = lay->build->nodes.mem;
    const svi_build_attr *attrs = lay->build->attrs.mem;
    const size_t count = lay->build->nodes.len / sizeof *from;
    for (size_t i = 0; i < count; i++) {
        const sv_str name = placed(lay, from[i].name);
        const sv_str ns = placed(lay, from[i].ns);
        lay->nodes[i] = (sv_node){.name = name.p,
                                  .ns = ns.p,
                                  .arrays = arrays,
                                  .name_atom = from[i].name_atom,
                                  .ns_atom = from[i].ns_atom,
                                  .name_len = (uint32_t)name.n,
                                  .ns_len = (uint32_t)ns.n,
                                  .attr_count = from[i].attr_count};
        arrays += from[i].kid_count * sizeof(svi_kid);
        svi_attr *to = (svi_attr *)(void *)arrays;
        for (uint32_t k = 0; k < from[i].attr_count; k++)
            to[k] = lay_attr(lay, attrs + from[i].attr_first + k);
        arrays += from[i].attr_count * sizeof(svi_attr);
    }
    return arrays;
}

/* Fills the child arrays in document order; a node's kid_count grows to what was counted. */
static void lay_kids(const layout *lay)
{
    const svi_build_kid *from = lay->build->kids.mem;
    const size_t count = lay->build->kids.len / sizeof *from;
    for (size_t i = 0; i < count; i++) {
        sv_node *owner = lay->nodes + from[i].owner;
        svi_kid *kid = (svi_kid *)owner->arrays + owner->kid_count;
        if (from[i].node) {
            lay->nodes[from[i].node - 1].slot = owner->kid_count;
            *kid = (svi_kid){.at = lay->nodes + from[i].node - 1, .is_elem = 1};
        } else if (from[i].graft) {
            *kid = (svi_kid){.at = from[i].graft, .is_elem = 1};
        } else {
            const sv_str text = placed(lay, from[i].text);
            *kid = (svi_kid){.at = text.p, .len = (uint32_t)text.n};
        }
        owner->kid_count++;
    }
}

static uint64_t bits_of_children(const sv_node *root)
{
    uint64_t bits = 0;
    const svi_kid *kid = svi_node_kids(root);
    for (uint32_t i = 0; i < root->kid_count; i++) {
        const sv_node *node = kid[i].at;
        if (kid[i].is_elem) bits |= svi_node_bit(node->ns_atom, node->name_atom);
    }
    return bits;
}

static void take_shares(const svi_build *build, sv_stanza *stanza)
{
    stanza->share_count = (uint32_t)(build->shares.len / sizeof(sv_stanza *));
    const sv_stanza *const *from = build->shares.mem;
    stanza->held_bytes = stanza->cost_bytes;
    for (uint32_t i = 0; i < stanza->share_count; i++) {
        stanza->shares[i] = svi_stanza_ref(from[i]);
        stanza->held_bytes += from[i]->held_bytes;
    }
}

sv_stanza *svi_build_finish(const svi_build *build)
{
    SV_ASSERT(build->open == SVI_BUILD_NONE && build->nodes.len > 0);
    const size_t cost = svi_build_cost(build);
    char *block = svi_alloc_raw(build->acct, cost);
    sv_stanza *stanza = (sv_stanza *)(void *)block;
    *stanza = (sv_stanza){.magic = SVI_STANZA_MAGIC,
                          .refs = 1,
                          .cost_bytes = cost,
                          .acct = build->acct,
                          .node_count = (uint32_t)(build->nodes.len / sizeof(svi_build_node))};
    char *text = block + cost - build->text.len;
    char *shares = text - build->shares.len;
    char *qnames = shares - build->qnames * sizeof(svi_qname);
    if (build->text.len) memcpy(text, build->text.mem, build->text.len);
    layout lay = {.build = build,
                  .nodes = (sv_node *)(void *)(stanza + 1),
                  .qnames = (svi_qname *)(void *)qnames,
                  .text = text};
    void *arrays_end = lay_nodes(&lay, (char *)(lay.nodes + stanza->node_count));
    lay_kids(&lay);
    SV_ASSERT(arrays_end == (void *)qnames && (char *)lay.qnames == shares);
    stanza->shares = (const sv_stanza **)(void *)shares;
    take_shares(build, stanza);
    stanza->child_bits = bits_of_children(lay.nodes);
    return stanza;
}
