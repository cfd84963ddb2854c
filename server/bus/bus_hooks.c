/* Tables of handlers: one block, handlers sorted by point, then by band, `after` and config
 * order. */
#include "bus/bus_hooks.h"

#include "bus/bus_impl.h"

enum { HOOKS_MAGIC = 0x484f4f4b, BANDS = 5 };

struct svi_hooks {
    uint32_t magic;
    uint32_t refs;
    uint32_t
        first[SVI_POINT_COUNT + 1];     /* where a point's handlers begin; they end at the next's */
    uint32_t monitors[SVI_POINT_COUNT]; /* where its MONITOR handlers begin */
    void (*gone)(void *ctx);
    void *gone_ctx;
    svi_hooks *successor; /* while events are moved */
    uint64_t *bits; /* beside the handlers: see svi_hooks_bits */
    svi_handler handlers[];
};

/* Place of a band in the order of calling. */
static int band_rank(sv_band band)
{
    static const int ranks[BANDS] = {
        [SV_FIRST] = 0, [SV_EARLY] = 1, [SV_NORMAL] = 2, [SV_LATE] = 3, [SV_MONITOR] = 4};
    return ranks[band];
}

/* Order without `after`. */
static bool is_before(const svi_handler *a, const svi_handler *b)
{
    if (a->point != b->point) return a->point < b->point;
    if (a->band != b->band) return band_rank(a->band) < band_rank(b->band);
    return a->order < b->order;
}

static void sort(svi_handler *handlers, size_t count)
{
    for (size_t i = 1; i < count;
         i++) { /* stable; nearly sorted already: modules come in config order */
        const svi_handler h = handlers[i];
        size_t to = i;
        for (; to > 0 && is_before(&h, &handlers[to - 1]); to--) handlers[to] = handlers[to - 1];
        handlers[to] = h;
    }
}

/* Is the module among these, which are separated by blanks? */
static bool is_named(const char *names, const char *module)
{
    const size_t n = strlen(module);
    for (const char *at = names; n > 0 && (at = strstr(at, module)) != NULL; at += n)
        if ((at == names || at[-1] == ' ') && (at[n] == '\0' || at[n] == ' ')) return true;
    return false;
}

/* Must `h` wait for a handler among those not yet placed? */
static bool must_wait(const svi_handler *h, const svi_handler *rest, size_t count)
{
    if (h->after == NULL) return false;
    for (size_t i = 0; i < count; i++)
        if (is_named(h->after, rest[i].module)) return true;
    return false;
}

/* Orders one band of one point by `after`: each time the first handler that waits for none of
 * the rest. */
static sv_status order_band(svi_handler *handlers, size_t count, sv_err *err)
{
    for (size_t done = 0; done < count; done++) {
        size_t pick = done;
        while (pick < count && must_wait(&handlers[pick], handlers + done, count - done)) pick++;
        if (pick == count)
            return svi_err(err, SV_EINVAL,
                           "hook \"%s\" of module %s: `after = \"%s\"` goes in a circle",
                           handlers[done].text, handlers[done].module, handlers[done].after);
        const svi_handler h = handlers[pick];
        for (; pick > done; pick--) handlers[pick] = handlers[pick - 1];
        handlers[done] = h;
    }
    return SV_OK;
}

static sv_status order_all(svi_handler *handlers, size_t count, sv_err *err)
{
    sort(handlers, count);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && handlers[end].point == handlers[begin].point &&
                          handlers[end].band == handlers[begin].band;)
            end++;
        const sv_status status = order_band(handlers + begin, end - begin, err);
        if (status != SV_OK) return status;
    }
    return SV_OK;
}

static sv_status check(const svi_handler *handlers, size_t count, sv_err *err)
{
    for (size_t i = 0; i < count; i++) {
        const svi_handler *h = &handlers[i];
        SV_ASSERT(h->call != NULL && h->module != NULL && h->text != NULL);
        SV_ASSERT(h->point > SVI_POINT_NONE && h->point < SVI_POINT_COUNT);
        if ((unsigned)h->band >= BANDS)
            return svi_err(err, SV_EINVAL, "hook \"%s\" of module %s: unknown band %d", h->text,
                           h->module, (int)h->band);
    }
    return SV_OK;
}

/* 0 asks nothing of the stanza; all ones: no single bit tells, look at the children. */
static uint64_t filter_bit(const svi_handler *h)
{
    if (h->ns == 0 && h->name == 0) return 0;
    return h->ns == 0 || h->name == 0 ? UINT64_MAX : svi_node_bit(h->ns, h->name);
}

static void index_points(svi_hooks *hooks, size_t count)
{
    size_t at = 0;
    for (svi_point point = 0; point < SVI_POINT_COUNT; point++) {
        hooks->first[point] = (uint32_t)at;
        while (at < count && hooks->handlers[at].point == point &&
               hooks->handlers[at].band != SV_MONITOR)
            at++;
        hooks->monitors[point] = (uint32_t)at;
        while (at < count && hooks->handlers[at].point == point) at++;
    }
    SV_ASSERT(at == count);
    hooks->first[SVI_POINT_COUNT] = (uint32_t)at;
}

sv_status svi_hooks_build(svi_acct *acct, const svi_handler *handlers, size_t count,
                          svi_hooks **hooks_out, sv_err *err)
{
    *hooks_out = NULL;
    SV_ASSERT(count < UINT32_MAX / 2);
    const sv_status sane = check(handlers, count, err);
    if (sane != SV_OK) return sane;
    const size_t bytes = sizeof(svi_hooks) + count * (sizeof(svi_handler) + sizeof(uint64_t));
    svi_hooks *hooks = svi_alloc(acct, bytes);
    hooks->magic = HOOKS_MAGIC;
    hooks->refs = 1;
    hooks->bits = (uint64_t *)(void *)(hooks->handlers + count);
    if (count > 0) memcpy(hooks->handlers, handlers, count * sizeof(svi_handler));
    const sv_status status = order_all(hooks->handlers, count, err);
    if (status != SV_OK) {
        svi_free(hooks);
        return status;
    }
    for (size_t i = 0; i < count; i++) hooks->bits[i] = filter_bit(&hooks->handlers[i]);
    index_points(hooks, count);
    *hooks_out = hooks;
    return SV_OK;
}

svi_hooks *svi_hooks_ref(svi_hooks *hooks)
{
    SV_CHECK(hooks, HOOKS_MAGIC);
    hooks->refs++;
    return hooks;
}

void svi_hooks_unref(svi_hooks **hooks)
{
    svi_hooks *h = *hooks;
    *hooks = NULL;
    if (h == NULL) return;
    SV_CHECK(h, HOOKS_MAGIC);
    SV_ASSERT(h->refs > 0);
    if (--h->refs > 0) return;
    void (*const gone)(void *ctx) = h->gone;
    void *const ctx = h->gone_ctx;
    h->magic = 0;
    svi_free(h);
    if (gone != NULL) gone(ctx);
}

void svi_hooks_on_free(svi_hooks *hooks, void (*gone)(void *ctx), void *ctx)
{
    SV_CHECK(hooks, HOOKS_MAGIC);
    SV_ASSERT(hooks->gone == NULL);
    hooks->gone = gone;
    hooks->gone_ctx = ctx;
}

void svi_hooks_succeed(svi_hooks *old, svi_hooks *by)
{
    SV_CHECK(old, HOOKS_MAGIC);
    old->successor = by;
}

svi_hooks *svi_hooks_successor(const svi_hooks *hooks)
{
    SV_CHECK(hooks, HOOKS_MAGIC);
    return hooks->successor;
}

const svi_handler *svi_hooks_at(const svi_hooks *hooks, svi_point point, size_t *count_out)
{
    SV_CHECK(hooks, HOOKS_MAGIC);
    SV_ASSERT(point < SVI_POINT_COUNT);
    *count_out = hooks->first[point + 1] - hooks->first[point];
    return hooks->handlers + hooks->first[point];
}

const uint64_t *svi_hooks_bits(const svi_hooks *hooks, svi_point point, size_t *monitors_out)
{
    SV_CHECK(hooks, HOOKS_MAGIC);
    *monitors_out = hooks->monitors[point] - hooks->first[point];
    return hooks->bits + hooks->first[point];
}

bool svi_atoms_match(const svi_handler *h, sv_atom ns, sv_atom name)
{
    return (h->ns == 0 || h->ns == ns) && (h->name == 0 || h->name == name);
}

/* A top-level element that is no stanza is what it is by its name. */
bool svi_point_asks_root(svi_point point)
{
    return point == SVI_POINT_STREAM_ELEMENT;
}

bool svi_handler_matches(const svi_handler *handler, const sv_stanza *stanza)
{
    const uint64_t bit = filter_bit(handler);
    if (bit == 0) return true;
    if (stanza == NULL) return false;
    const sv_node *root = svi_stanza_root(stanza);
    if (svi_point_asks_root(handler->point))
        return svi_atoms_match(handler, svi_node_ns_atom(root), svi_node_name_atom(root));
    if ((svi_stanza_child_bits(stanza) & bit) == 0) return false;
    for (const sv_node *child = svi_node_first(root); child != NULL;
         child = svi_node_next(root, child))
        if (svi_atoms_match(handler, svi_node_ns_atom(child), svi_node_name_atom(child)))
            return true;
    return false;
}

const char *svi_policy_name(svi_policy policy)
{
    static const char *const names[] = {"bounce", "closed", "open"};
    SV_ASSERT((unsigned)policy <= SVI_POLICY_OPEN);
    return names[policy];
}

bool svi_hooks_are_closed(const svi_hooks *hooks, svi_point point)
{
    if (hooks == NULL) return false;
    const size_t end = hooks->monitors[point];
    for (size_t i = hooks->first[point]; i < end; i++) {
        const svi_handler *h = &hooks->handlers[i];
        if (h->policy == SVI_POLICY_CLOSED && h->ward != NULL && h->ward->is_closed) return true;
    }
    return false;
}

bool svi_hooks_may_store(const svi_hooks *hooks, svi_point point, const sv_stanza *stanza)
{
    if (hooks == NULL) return false;
    size_t count;
    const svi_handler *handlers = svi_hooks_at(hooks, point, &count);
    for (size_t i = 0; i < count; i++)
        if (handlers[i].stores && svi_handler_matches(&handlers[i], stanza)) return true;
    return false;
}
