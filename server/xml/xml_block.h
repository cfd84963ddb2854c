/* How a stanza lies in memory: one block of header, nodes, child and attribute arrays, text.
 *
 * Private to server/xml; everybody else reads through xml_stanza.h. */
#ifndef SVI_XML_BLOCK_H
#define SVI_XML_BLOCK_H

#include "base/base_assert.h"
#include "xml/xml_stanza.h"

#define SVI_STANZA_MAGIC 0x53545A41u
#define SVI_FLAVOURS 3

/* A child: an element (is_elem, `at` is a sv_node) or a run of text (`at` is `len` bytes). */
typedef struct svi_kid {
    const void *at;
    uint32_t len;
    uint32_t is_elem;
} svi_kid;

/* Name of an attribute that is in a namespace. */
typedef struct svi_qname {
    sv_str name;
    sv_str ns;
} svi_qname;

#define SVI_ATTR_NS 0x80000000u /* in name_len: `name` is a svi_qname */

typedef struct svi_attr {
    const void *name; /* bytes of the local name, or svi_qname */
    const char *value;
    uint32_t name_len;
    uint32_t value_len;
} svi_attr;

struct sv_node {
    const char *name;
    const char *ns;
    void *arrays; /* kid_count svi_kid, then attr_count svi_attr */
    sv_atom name_atom;
    sv_atom ns_atom;
    uint32_t name_len;
    uint32_t ns_len;
    uint32_t kid_count;
    uint32_t attr_count;
    uint32_t
        slot; /* number among the children of the parent it was made under; a hint after edits */
};

/* Serialised bytes of one flavour, without `to`, which is inserted at `split`. */
typedef struct svi_cache {
    size_t len;
    size_t split;
    char bytes[];
} svi_cache;

struct sv_stanza {
    uint32_t magic;
    _Atomic uint32_t refs;
    uint64_t child_bits;
    size_t cost_bytes;
    size_t held_bytes;
    svi_acct *acct;
    _Atomic(svi_cache *) cache[SVI_FLAVOURS];
    const sv_stanza **shares; /* blocks whose nodes or text this one uses */
    sv_stanza *next_dead;     /* chain while unref works; NULL before */
    uint32_t share_count;
    uint32_t node_count; /* the root is the first of the nodes that follow the header */
};

static inline const svi_kid *svi_node_kids(const sv_node *node)
{
    return node->arrays;
}

static inline const svi_attr *svi_node_attrs(const sv_node *node)
{
    return (const svi_attr *)(const void *)(svi_node_kids(node) + node->kid_count);
}

static inline sv_str svi_attr_name(const svi_attr *attr)
{
    if (attr->name_len & SVI_ATTR_NS) return ((const svi_qname *)attr->name)->name;
    return (sv_str){attr->name, attr->name_len};
}

static inline sv_str svi_attr_ns(const svi_attr *attr)
{
    return attr->name_len & SVI_ATTR_NS ? ((const svi_qname *)attr->name)->ns : SV_STR_NONE;
}

static inline sv_str svi_attr_value(const svi_attr *attr)
{
    return (sv_str){attr->value, attr->value_len};
}

#endif
