/* Stanza: references and reading. */
#include "xml/xml_block.h"

sv_stanza *svi_stanza_ref(const sv_stanza *stanza)
{
    SV_CHECK(stanza, SVI_STANZA_MAGIC);
    sv_stanza *self =
        (sv_stanza *)(uintptr_t)stanza; /* the count is not part of what is immutable */
    const uint32_t before = atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
    SV_ASSERT(before > 0 && before < UINT32_MAX);
    return self;
}

/* Drops one reference; a stanza that dies is put before `dead`. Returns the chain. */
static sv_stanza *drop(const sv_stanza *stanza, sv_stanza *dead)
{
    SV_CHECK(stanza, SVI_STANZA_MAGIC);
    sv_stanza *self = (sv_stanza *)(uintptr_t)stanza;
    const uint32_t before = atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel);
    SV_ASSERT(before > 0);
    if (before > 1) return dead;
    self->next_dead = dead;
    return self;
}

/* Edits of edits form chains of any length, so the dead are worked off from a list, not by recursion. */
void svi_stanza_unref(sv_stanza **stanza)
{
    if (!*stanza) return;
    sv_stanza *dead = drop(*stanza, NULL);
    *stanza = NULL;
    while (dead) {
        sv_stanza *self = dead;
        dead = self->next_dead;
        for (uint32_t i = 0; i < self->share_count; i++) dead = drop(self->shares[i], dead);
        for (size_t i = 0; i < SVI_FLAVOURS; i++)
            svi_free(atomic_load_explicit(&self->cache[i], memory_order_acquire));
        self->magic = 0;
        svi_free(self);
    }
}

const sv_node *svi_stanza_root(const sv_stanza *stanza)
{
    SV_CHECK(stanza, SVI_STANZA_MAGIC);
    return (const sv_node *)(stanza + 1);
}

size_t svi_stanza_cost_bytes(const sv_stanza *stanza)
{
    SV_CHECK(stanza, SVI_STANZA_MAGIC);
    return stanza->cost_bytes;
}

size_t svi_stanza_held_bytes(const sv_stanza *stanza)
{
    SV_CHECK(stanza, SVI_STANZA_MAGIC);
    return stanza->held_bytes;
}

uint64_t svi_stanza_child_bits(const sv_stanza *stanza)
{
    SV_CHECK(stanza, SVI_STANZA_MAGIC);
    return stanza->child_bits;
}

/* Multiplicative hashing of the pair; the top six bits choose the bit. */
uint64_t svi_node_bit(sv_atom ns, sv_atom name)
{
    const uint64_t pair = ((uint64_t)ns << 32) | name;
    return UINT64_C(1) << (pair * UINT64_C(0x9E3779B97F4A7C15) >> 58);
}

sv_str svi_node_name(const sv_node *node)
{
    return (sv_str){node->name, node->name_len};
}

sv_str svi_node_ns(const sv_node *node)
{
    return (sv_str){node->ns, node->ns_len};
}

sv_atom svi_node_name_atom(const sv_node *node)
{
    return node->name_atom;
}

sv_atom svi_node_ns_atom(const sv_node *node)
{
    return node->ns_atom;
}

bool svi_node_is(const sv_node *node, sv_str name, sv_str ns)
{
    return sv_str_eq(svi_node_name(node), name) && sv_str_eq(svi_node_ns(node), ns);
}

sv_str svi_node_attr(const sv_node *node, sv_str name)
{
    return svi_node_attr_ns(node, name, SV_STR_NONE);
}

sv_str svi_node_attr_ns(const sv_node *node, sv_str name, sv_str ns)
{
    const svi_attr *attr = svi_node_attrs(node);
    for (uint32_t i = 0; i < node->attr_count; i++)
        if (sv_str_eq(svi_attr_name(attr + i), name) && sv_str_eq(svi_attr_ns(attr + i), ns))
            return svi_attr_value(attr + i);
    return SV_STR_NONE;
}

bool svi_node_attr_at(const sv_node *node, size_t i, sv_str *name_out, sv_str *ns_out,
                      sv_str *value_out)
{
    if (i >= node->attr_count) return false;
    const svi_attr *attr = svi_node_attrs(node) + i;
    if (name_out) *name_out = svi_attr_name(attr);
    if (ns_out) *ns_out = svi_attr_ns(attr);
    if (value_out) *value_out = svi_attr_value(attr);
    return true;
}

bool svi_node_child_at(const sv_node *node, size_t i, const sv_node **elem_out, sv_str *text_out)
{
    if (i >= node->kid_count) return false;
    const svi_kid *kid = svi_node_kids(node) + i;
    if (elem_out) *elem_out = kid->is_elem ? kid->at : NULL;
    if (text_out) *text_out = kid->is_elem ? SV_STR_NONE : (sv_str){kid->at, kid->len};
    return true;
}

size_t svi_node_child_count(const sv_node *node)
{
    return node->kid_count;
}

static const sv_node *elem_from(const sv_node *parent, size_t i)
{
    const svi_kid *kid = svi_node_kids(parent);
    for (; i < parent->kid_count; i++)
        if (kid[i].is_elem) return kid[i].at;
    return NULL;
}

const sv_node *svi_node_first(const sv_node *parent)
{
    return elem_from(parent, 0);
}

/* Number of `child` among `parent`'s children. Its slot is right unless an edit left out children before
 * it, which only lowers it; a graft may stand anywhere. */
static size_t place_of(const sv_node *parent, const sv_node *child)
{
    const svi_kid *kid = svi_node_kids(parent);
    const size_t count = parent->kid_count;
    const size_t hint = child->slot < count ? child->slot : count - 1;
    for (size_t i = hint + 1; i-- > 0;)
        if (kid[i].at == child) return i;
    for (size_t i = hint + 1; i < count; i++)
        if (kid[i].at == child) return i;
    return count;
}

const sv_node *svi_node_next(const sv_node *parent, const sv_node *child)
{
    SV_ASSERT(parent->kid_count > 0);
    const size_t place = place_of(parent, child);
    SV_ASSERT(place < parent->kid_count);
    return elem_from(parent, place + 1);
}

const sv_node *svi_node_find(const sv_node *parent, sv_str name, sv_str ns)
{
    const svi_kid *kid = svi_node_kids(parent);
    for (uint32_t i = 0; i < parent->kid_count; i++) {
        const sv_node *node = kid[i].at;
        if (!kid[i].is_elem || !sv_str_eq(svi_node_name(node), name)) continue;
        if (ns.n == 0 || sv_str_eq(svi_node_ns(node), ns)) return node;
    }
    return NULL;
}

sv_str svi_node_text(const sv_node *node, svi_arena *arena)
{
    const svi_kid *kid = svi_node_kids(node);
    sv_str only = SV_STR("");
    size_t runs = 0, bytes = 0;
    for (uint32_t i = 0; i < node->kid_count; i++) {
        if (kid[i].is_elem) continue;
        only = (sv_str){kid[i].at, kid[i].len};
        bytes += kid[i].len;
        runs++;
    }
    if (runs < 2) return only;
    char *joined = svi_arena_get(arena, bytes);
    size_t used = 0;
    for (uint32_t i = 0; i < node->kid_count; i++) {
        if (kid[i].is_elem) continue;
        memcpy(joined + used, kid[i].at, kid[i].len);
        used += kid[i].len;
    }
    return (sv_str){joined, bytes};
}
