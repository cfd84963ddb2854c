/* Stanzas: immutable, refcounted, one block each (architecture 3.1, house-style B.8).
 *
 * The I/O thread builds a stanza while it parses; router, modules and every recipient's I/O thread then
 * share it. Nothing in it changes after it is made except the reference count and the cache of serialised
 * bytes, both atomic. An edit makes a new root that references the old block and shares its children. */
#ifndef SVI_XML_STANZA_H
#define SVI_XML_STANZA_H

#include "base/base_atom.h"
#include "base/base_mem.h"
#include "base/base_str.h"

#define SVI_NS_CLIENT "jabber:client"
#define SVI_NS_SERVER "jabber:server"
#define SVI_NS_STREAM "http://etherx.jabber.org/streams"
#define SVI_NS_XML "http://www.w3.org/XML/1998/namespace"
#define SVI_NS_XMLNS "http://www.w3.org/2000/xmlns/"

typedef struct sv_stanza sv_stanza; /* a block (or an edit's small block) with a root element */
typedef struct sv_node sv_node;     /* an immutable element inside a stanza */
typedef struct sv_draft sv_draft;   /* a mutable element in an arena, to be frozen into a stanza */

/* --- reference counting: any thread ------------------------------------------------------------- */

/* Takes one more reference and returns the stanza. */
sv_stanza *svi_stanza_ref(const sv_stanza *stanza);

/* Drops the reference and clears the pointer; the last one frees the block and unrefs what it shares. */
void svi_stanza_unref(sv_stanza **stanza);

/* --- reading: borrowed, valid while a reference is held; any thread ------------------------------ */

/* The stanza's outermost element. */
const sv_node *svi_stanza_root(const sv_stanza *stanza);

/* Memory the stanza's own block takes; what is charged to a connection's credit. */
size_t svi_stanza_cost_bytes(const sv_stanza *stanza);

/* Memory that a reference to it keeps alive: its own block and those it shares. What bounds a queue. */
size_t svi_stanza_held_bytes(const sv_stanza *stanza);

/* Local name and namespace as text; as atoms (0 = not declared when the stanza was parsed). */
sv_str svi_node_name(const sv_node *node);
sv_str svi_node_ns(const sv_node *node);
sv_atom svi_node_name_atom(const sv_node *node);
sv_atom svi_node_ns_atom(const sv_node *node);

/* True if the element has this name and namespace, by text. */
bool svi_node_is(const sv_node *node, sv_str name, sv_str ns);

/* Value of an attribute without namespace; .p is NULL if absent (an empty value has .p != NULL). */
sv_str svi_node_attr(const sv_node *node, sv_str name);

/* Value of an attribute in a namespace, such as xml:lang. */
sv_str svi_node_attr_ns(const sv_node *node, sv_str name, sv_str ns);

/* Attribute number `i` in document order; false past the end. Out-pointers may be NULL. */
bool svi_node_attr_at(const sv_node *node, size_t i, sv_str *name_out, sv_str *ns_out,
                      sv_str *value_out);

/* Children in document order, text and elements mixed: exactly one of *elem_out, *text_out is set. */
bool svi_node_child_at(const sv_node *node, size_t i, const sv_node **elem_out, sv_str *text_out);
size_t svi_node_child_count(const sv_node *node);

/* First child element, and the next one after `child` among `parent`'s; NULL at the end. */
const sv_node *svi_node_first(const sv_node *parent);
const sv_node *svi_node_next(const sv_node *parent, const sv_node *child);

/* First child element with this name and namespace; an empty `ns` takes any namespace. NULL if none. */
const sv_node *svi_node_find(const sv_node *parent, sv_str name, sv_str ns);

/* All character data directly inside the element. Borrowed from the stanza when it is one run (the common
 * case), else joined in `arena`. */
sv_str svi_node_text(const sv_node *node, svi_arena *arena);

/* Bit set of the child elements' (ns atom, name atom) pairs: a filter whose bit (svi_node_bit) is missing
 * here matches no child. Computed when the root is made; for hook matching. */
uint64_t svi_stanza_child_bits(const sv_stanza *stanza);
uint64_t svi_node_bit(sv_atom ns, sv_atom name);

/* --- building: single thread ---------------------------------------------------------------------- */

/* A new element in `arena`; `name` and `ns` are copied. */
sv_draft *svi_draft_new(svi_arena *arena, sv_str name, sv_str ns);

/* Appends a child element and returns it; an empty `ns` takes the parent's. */
sv_draft *svi_draft_child(sv_draft *parent, sv_str name, sv_str ns);

/* Sets an attribute (replacing one of that name); text is copied. `value.p` NULL removes it. */
void svi_draft_attr(sv_draft *draft, sv_str name, sv_str value);
void svi_draft_attr_int(sv_draft *draft, sv_str name, int64_t value);
void svi_draft_attr_ns(sv_draft *draft, sv_str name, sv_str ns, sv_str value);

/* Appends character data; text is copied. It must be valid UTF-8 without characters XML forbids (asserted:
 * what comes from a peer has been checked by the parser). */
void svi_draft_text(sv_draft *draft, sv_str text);

/* Appends an existing subtree without copying it; the frozen stanza references `owner`. */
void svi_draft_graft(sv_draft *draft, const sv_stanza *owner, const sv_node *node);

/* Makes the immutable stanza, charged to `acct`; atoms are looked up in `atoms` (may be NULL). */
sv_stanza *svi_draft_freeze(svi_acct *acct, const svi_atoms *atoms, const sv_draft *root);

/* --- editing --------------------------------------------------------------------------------------- */

typedef struct svi_attr_set {
    sv_str name;  /* attribute without namespace */
    sv_str value; /* .p == NULL removes it */
} svi_attr_set;

/* What a new root differs in. Zero-initialise. */
typedef struct svi_edit {
    const svi_attr_set    *attrs;
    size_t                 attr_count;
    sv_str                 lang;        /* xml:lang for a root that has none; empty: it stays so */
    const size_t          *strip;       /* child numbers (svi_node_child_at) to leave out, ascending */
    size_t                 strip_count;
    const sv_draft *const *add;         /* children to append */
    size_t                 add_count;
} svi_edit;

/* A new stanza: root of `stanza` with the edit applied, children shared. One small block. */
sv_stanza *svi_stanza_edit(svi_acct *acct, const svi_atoms *atoms, const sv_stanza *stanza,
                           const svi_edit *edit);

/* Copies a subtree into a stanza of its own (for what must outlive a large parent). */
sv_stanza *svi_stanza_from_node(svi_acct *acct, const svi_atoms *atoms, const sv_node *node);

/* Parses one complete element from bytes we wrote ourselves (a store, a test script), `ns` being the
 * default namespace around it. SV_EINVAL with text if it is not well-formed or not exactly one element. */
sv_status svi_stanza_parse(svi_acct *acct, const svi_atoms *atoms, sv_str bytes, sv_str ns,
                           sv_stanza **stanza_out, sv_err *err);

#endif
