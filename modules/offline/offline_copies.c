/* A message to several sessions of an account is one stanza, of which each session has a copy in its queue. Those that end without having
 * written it give it back one by one: the first is kept, and the others are known by being the very same stanza, which is why a reference is
 * held: of two messages with the same contents each is kept. */
#include "offline.h"

#define KEEP_MS 60000
#define MAX_COUNT 4096u
#define MAX_BYTES (1u << 20)

typedef struct copy {
    const sv_stanza *stanza; /* a reference */
    sv_str account;          /* localpart; the module's */
    int64_t at_ms;
    size_t bytes;
} copy;

struct copies {
    copy *all; /* oldest first */
    size_t count, cap, bytes;
};

bool copies_has(const copies *c, const sv_event *ev)
{
    for (size_t i = c ? c->count : 0; i > 0; i--)
        if (c->all[i - 1].stanza == sv->stanza(ev) && sv_str_eq(c->all[i - 1].account, sv->to(ev)->node)) return true;
    return false;
}

/* The oldest ones. */
static void forget(copies *c, sv_mod *mod, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        c->bytes -= c->all[i].bytes;
        sv->stanza_unref(mod, &c->all[i].stanza);
        sv->str_free(mod, &c->all[i].account);
    }
    c->count -= count;
    memmove(c->all, c->all + count, c->count * sizeof *c->all);
}

void copies_forget(copies **at, sv_mod *mod, bool all)
{
    copies *c = *at;
    if (!c) return;
    const int64_t now_ms = sv->now_ms();
    size_t old = 0;
    while (old < c->count && (all || c->all[old].at_ms > now_ms || now_ms - c->all[old].at_ms > KEEP_MS)) old++;
    if (old) forget(c, mod, old);
    if (c->count) return;
    sv->free(mod, &c->all);
    sv->free(mod, at);
}

static void make_room(copies *c, sv_mod *mod, size_t bytes)
{
    size_t many = c->count == MAX_COUNT, sum = 0;
    for (size_t i = 0; i < many; i++) sum += c->all[i].bytes;
    while (many < c->count && c->bytes - sum + bytes > MAX_BYTES) sum += c->all[many++].bytes;
    if (many) forget(c, mod, many);
    if (c->count < c->cap) return;
    c->cap = c->cap ? 2 * c->cap : 16;
    c->all = sv->alloc_resize(mod, c->all, c->cap * sizeof *c->all);
}

void copies_note(copies **at, sv_mod *mod, sv_event *ev, size_t bytes)
{
    if (!*at) *at = sv->alloc(mod, sizeof **at);
    copies *c = *at;
    make_room(c, mod, bytes);
    c->all[c->count++] = (copy){.stanza = sv->stanza_ref(mod, sv->stanza(ev)),
                                .account = sv->str_dup(mod, sv->to(ev)->node),
                                .at_ms = sv->now_ms(),
                                .bytes = bytes};
    c->bytes += bytes;
}
