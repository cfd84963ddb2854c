/* Writer: elements to bytes, with default-namespace declarations where the namespace changes. */
#include "xml/xml_writer.h"

#include "base/base_str.h"
#include "xml/xml_block.h"

/* PERF(0.54 us to 0.35 us a message): svi_buf_put without the call. */
static inline void put(svi_buf *buf, const char *p, size_t n)
{
    if (buf->cap - buf->len < n) svi_buf_space(buf, n);
    if (n) memcpy(buf->data + buf->len, p, n);
    buf->len += n;
}

static inline void put_str(svi_buf *buf, sv_str s)
{
    put(buf, s.p, s.n);
}

enum { IN_TEXT = 1, IN_ATTR = 2 };

/* What must not stand as it is: `<` and `&`; `>` for the sake of "]]>"; CR, which a parser would turn into
 * LF (XML 2.11). In an attribute also the quote, and TAB and LF, which would become spaces (XML 3.3.3). */
static const unsigned char special[256] = {['<'] = IN_TEXT | IN_ATTR, ['>'] = IN_TEXT | IN_ATTR,
                                           ['&'] = IN_TEXT | IN_ATTR, ['\r'] = IN_TEXT | IN_ATTR,
                                           ['\n'] = IN_ATTR,          ['\t'] = IN_ATTR,
                                           ['\''] = IN_ATTR};

static sv_str reference(char c)
{
    switch (c) {
    case '<': return SV_STR("&lt;");
    case '>': return SV_STR("&gt;");
    case '&': return SV_STR("&amp;");
    case '\'': return SV_STR("&apos;");
    case '\r': return SV_STR("&#13;");
    case '\n': return SV_STR("&#10;");
    default: SV_ASSERT(c == '\t'); return SV_STR("&#9;");
    }
}

static void put_escaped(svi_buf *buf, sv_str text, unsigned where)
{
    if (text.n == 0) return; /* `p` may be NULL */
    size_t from = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (!(special[(unsigned char)text.p[i]] & where)) continue;
        put(buf, text.p + from, i - from);
        put_str(buf, reference(text.p[i]));
        from = i + 1;
    }
    put(buf, text.p + from, text.n - from);
}

void svi_write_text(svi_buf *buf, sv_str text)
{
    put_escaped(buf, text, IN_TEXT);
}

void svi_write_attr(svi_buf *buf, sv_str text)
{
    put_escaped(buf, text, IN_ATTR);
}

/* An element whose children are being written. */
typedef struct frame {
    const sv_node *node;
    sv_str inside; /* default namespace for its children */
    uint32_t next; /* number of the next child */
    bool home;     /* it and all above it are in the stanza's own namespace */
} frame;

/* One writing job. Iterative: `stack` grows on the heap beyond `first`. */
typedef struct job {
    svi_buf *buf;
    frame *stack;
    size_t depth;
    size_t cap;
    sv_str home_ns;   /* namespace that the stream's default stands for; .p NULL if none */
    bool stream_root; /* a root in the stream namespace takes the prefix of the stream header */
    bool skip_to;     /* the root's `to` is left out */
    size_t split;     /* place in the buffer behind the root's name */
    frame first[24];
} job;

static void push(job *j, frame f)
{
    if (j->depth == j->cap) {
        const bool on_heap = j->stack != j->first;
        frame *more =
            svi_realloc(j->buf->acct, on_heap ? j->stack : NULL, 2 * j->cap * sizeof *more);
        if (!on_heap) memcpy(more, j->first, sizeof j->first);
        j->stack = more;
        j->cap *= 2;
    }
    j->stack[j->depth++] = f;
}

/* The prefix an element is written with. Only `xml` and, on a stream's own elements (<stream:features>,
 * <stream:error>), `stream` are used; the root of a job has depth 0. */
static sv_str prefix_of(const job *j, const sv_node *node, size_t depth)
{
    const sv_str ns = svi_node_ns(node);
    if (sv_str_eq(ns, SV_STR(SVI_NS_XML))) return SV_STR("xml:");
    if (depth == 0 && j->stream_root && sv_str_eq(ns, SV_STR(SVI_NS_STREAM)))
        return SV_STR("stream:");
    return SV_STR_NONE;
}

static void put_ns(svi_buf *buf, sv_str ns)
{
    put_str(buf, SV_STR(" xmlns='"));
    svi_write_attr(buf, ns);
    put(buf, "'", 1);
}

/* First attribute that is in the namespace of attribute `i`: it declares the prefix for all of them. */
static uint32_t first_of_ns(const svi_attr *attr, uint32_t i)
{
    uint32_t k = 0;
    while (k < i && !sv_str_eq(svi_attr_ns(attr + k), svi_attr_ns(attr + i))) k++;
    return k;
}

static void put_attr_name(svi_buf *buf, const svi_attr *attr, uint32_t i)
{
    const sv_str ns = svi_attr_ns(attr + i);
    if (ns.n && !sv_str_eq(ns, SV_STR(SVI_NS_XML))) {
        const unsigned number = first_of_ns(attr, i) + 1;
        if (number == i + 1) {
            svi_buf_printf(buf, " xmlns:ns%u='", number);
            svi_write_attr(buf, ns);
            put(buf, "'", 1);
        }
        svi_buf_printf(buf, " ns%u:", number);
    } else {
        put_str(buf, ns.n ? SV_STR(" xml:") : SV_STR(" "));
    }
    put_str(buf, svi_attr_name(attr + i));
}

static void put_attrs(const job *j, const sv_node *node, bool is_root)
{
    const svi_attr *attr = svi_node_attrs(node);
    for (uint32_t i = 0; i < node->attr_count; i++) {
        const bool is_to =
            svi_attr_ns(attr + i).n == 0 && sv_str_eq(svi_attr_name(attr + i), SV_STR("to"));
        if (is_root && j->skip_to && is_to) continue;
        put_attr_name(j->buf, attr, i);
        put_str(j->buf, SV_STR("='"));
        svi_write_attr(j->buf, svi_attr_value(attr + i));
        put(j->buf, "'", 1);
    }
}

/* Writes the start tag; elements with children are pushed, others are closed at once. */
static void open_tag(job *j, const sv_node *node, sv_str around, bool home)
{
    const bool is_root = j->depth == 0;
    const sv_str ns = svi_node_ns(node);
    const sv_str prefix = prefix_of(j, node, j->depth);
    frame f = {.node = node, .inside = around};
    f.home = home && j->home_ns.p && sv_str_eq(ns, j->home_ns);
    put(j->buf, "<", 1);
    put_str(j->buf, prefix);
    put_str(j->buf, svi_node_name(node));
    if (is_root) j->split = j->buf->len;
    if (!f.home && prefix.n == 0 && !sv_str_eq(ns, around)) {
        put_ns(j->buf, ns);
        f.inside = ns;
    }
    put_attrs(j, node, is_root);
    put_str(j->buf, node->kid_count ? SV_STR(">") : SV_STR("/>"));
    if (node->kid_count) push(j, f);
}

static void close_tag(job *j)
{
    const sv_node *node = j->stack[--j->depth].node;
    put_str(j->buf, SV_STR("</"));
    put_str(j->buf, prefix_of(j, node, j->depth));
    put_str(j->buf, svi_node_name(node));
    put(j->buf, ">", 1);
}

static void write_tree(job *j, const sv_node *root, sv_str around)
{
    j->stack = j->first;
    j->cap = sizeof j->first / sizeof *j->first;
    open_tag(j, root, around, true);
    while (j->depth) {
        frame *top = &j->stack[j->depth - 1];
        if (top->next == top->node->kid_count) {
            close_tag(j);
            continue;
        }
        const svi_kid *kid = svi_node_kids(top->node) + top->next++;
        if (kid->is_elem)
            open_tag(j, kid->at, top->inside, top->home);
        else
            svi_write_text(j->buf, (sv_str){kid->at, kid->len});
    }
    if (j->stack != j->first) svi_free(j->stack);
}

void svi_node_write(svi_buf *buf, const sv_node *node, sv_str ns)
{
    job j = {.buf = buf};
    write_tree(&j, node, ns);
}

static bool is_content_ns(sv_str ns)
{
    return sv_str_eq(ns, SV_STR(SVI_NS_CLIENT)) || sv_str_eq(ns, SV_STR(SVI_NS_SERVER));
}

/* Writes all but `to` at the end of `buf`; returns where `to` belongs, counted from `start`. */
static size_t write_flavour(svi_buf *buf, const sv_stanza *stanza, svi_flavour flavour)
{
    const size_t start = buf->len;
    const sv_node *root = svi_stanza_root(stanza);
    const sv_str ns = svi_node_ns(root);
    job j = {.buf = buf, .skip_to = true};
    sv_str around = SV_STR_NONE;
    if (flavour != SVI_FLAVOUR_ALONE) {
        around = flavour == SVI_FLAVOUR_CLIENT ? SV_STR(SVI_NS_CLIENT) : SV_STR(SVI_NS_SERVER);
        j.stream_root = true;
        if (is_content_ns(ns)) j.home_ns = ns;
    }
    write_tree(&j, root, around);
    return j.split - start;
}

/* Keeps what was just written for the next recipient. Who comes second frees its copy. */
static void keep(const sv_stanza *stanza, svi_flavour flavour, sv_str bytes, size_t split)
{
    sv_stanza *self = (sv_stanza *)(uintptr_t)stanza; /* the cache is the one part that changes */
    svi_cache *cache = svi_alloc_raw(stanza->acct, sizeof *cache + bytes.n);
    cache->len = bytes.n;
    cache->split = split;
    memcpy(cache->bytes, bytes.p, bytes.n);
    svi_cache *none = NULL;
    if (!atomic_compare_exchange_strong_explicit(&self->cache[flavour], &none, cache,
                                                 memory_order_acq_rel, memory_order_acquire))
        svi_free(cache);
}

static void put_to(svi_buf *buf, sv_str to)
{
    put_str(buf, SV_STR(" to='"));
    svi_write_attr(buf, to);
    put(buf, "'", 1);
}

void svi_stanza_write(svi_buf *buf, const sv_stanza *stanza, svi_flavour flavour,
                      const svi_head *head)
{
    SV_CHECK(stanza, SVI_STANZA_MAGIC);
    SV_ASSERT((size_t)flavour < SVI_FLAVOURS);
    const sv_str own = svi_node_attr(svi_stanza_root(stanza), SV_STR("to"));
    const svi_cache *cache = atomic_load_explicit(&stanza->cache[flavour], memory_order_acquire);
    if (!cache) {
        const size_t start = buf->len;
        const size_t split = write_flavour(buf, stanza, flavour);
        keep(stanza, flavour, svi_str_sub(svi_buf_str(buf), start, buf->len), split);
        buf->len = start;
        cache = atomic_load_explicit(&stanza->cache[flavour], memory_order_acquire);
    }
    put(buf, cache->bytes, cache->split);
    if (head && head->to.n)
        put_to(buf, head->to);
    else if (own.p && !(head && head->to.p))
        put_to(buf, own);
    put(buf, cache->bytes + cache->split, cache->len - cache->split);
}
