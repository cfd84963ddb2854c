/* Builder: collects elements, attributes and text in scratch arrays, then lays out one stanza block.
 *
 * Private to server/xml: parser, drafts and edits all make their blocks here. Single thread. */
#ifndef SVI_XML_BUILD_H
#define SVI_XML_BUILD_H

#include "xml/xml_block.h"

/* Text of the block to come: borrowed from what outlives the block (`fixed`), or a place in the scratch. */
typedef struct svi_piece {
    const char *fixed;
    uint32_t off;
    uint32_t len;
} svi_piece;

typedef struct svi_build_node {
    svi_piece name;
    svi_piece ns;
    sv_atom name_atom;
    sv_atom ns_atom;
    uint32_t parent;
    uint32_t attr_first;
    uint32_t attr_count;
    uint32_t kid_count;
} svi_build_node;

typedef struct svi_build_attr {
    svi_piece name;
    svi_piece ns;
    svi_piece value;
} svi_build_attr;

typedef struct svi_build_kid {
    svi_piece text;       /* used if there is no element */
    const sv_node *graft; /* an element of another block */
    uint32_t owner;       /* node number of the parent */
    uint32_t node;        /* node number + 1 of an element of this block */
} svi_build_kid;

/* A growing array; `owned` is false while it lies in a svi_build_space. */
typedef struct svi_vec {
    void *mem;
    size_t len;
    size_t cap;
    bool owned;
} svi_vec;

typedef struct svi_build {
    svi_acct *acct;
    svi_vec nodes;
    svi_vec attrs;
    svi_vec kids;
    svi_vec shares;
    svi_vec text;
    size_t qnames; /* attributes that have a namespace */
    size_t ns_bytes; /* of the namespaces that elements declare when they are written */
    uint32_t open; /* the element that is being filled; SVI_BUILD_NONE before and after the root */
} svi_build;

#define SVI_BUILD_NONE UINT32_MAX

/* Scratch on the stack, enough for a small stanza: then nothing but the block itself is allocated. */
typedef struct svi_build_space {
    svi_build_node nodes[8];
    svi_build_attr attrs[16];
    svi_build_kid kids[24];
    const sv_stanza *shares[2];
    char text[512];
} svi_build_space;

/* Makes an empty builder charged to `acct`; `space` (may be NULL) is its first scratch and must live as
 * long. svi_build_release frees what it grew. */
void svi_build_init(svi_build *build, svi_acct *acct, svi_build_space *space);
void svi_build_release(svi_build *build);

/* Empties it; the scratch is kept unless it has grown beyond what a usual stanza needs. */
void svi_build_clear(svi_build *build);

/* Opens a child of the open element (or the root). Names of `atoms` (may be NULL) point to the table's text,
 * others are copied. */
void svi_build_open(svi_build *build, const svi_atoms *atoms, sv_str name, sv_str ns);

/* Opens the root with the names of `node`, borrowed: its block must be shared. */
void svi_build_open_like(svi_build *build, const sv_node *node);

/* Adds an attribute to the element just opened, before any child. Texts are copied, or borrowed if `keep`
 * (they live in a shared block). */
void svi_build_put_attr(svi_build *build, sv_str name, sv_str ns, sv_str value, bool keep);

/* Appends text to the open element, joined to a run before it. */
void svi_build_text(svi_build *build, sv_str text);

/* Appends a child of another block: an element, or a run of text. The block must be shared. */
void svi_build_graft(svi_build *build, const sv_node *node);
void svi_build_graft_text(svi_build *build, sv_str text);

/* Copies a whole subtree as a child of the open element (or as the root). */
void svi_build_copy(svi_build *build, const svi_atoms *atoms, const sv_node *node);

/* The block will hold a reference to `owner`; taken by svi_build_finish. */
void svi_build_share(svi_build *build, const sv_stanza *owner);

/* Closes the open element. */
void svi_build_close(svi_build *build);

/* Size of the block if it were finished now (threats X9: checked while building). */
size_t svi_build_cost(const svi_build *build);
/* Elements in it so far. */
size_t svi_build_elements(const svi_build *build);

/* Makes the block: one allocation. The root must be closed. The builder is left as it is. */
sv_stanza *svi_build_finish(const svi_build *build);

#endif
