/* Another generation of handlers takes the place of one under events that are on their way. */
#include "bus/bus_impl.h"

uint32_t svi_event_turn(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->turn;
}

bool svi_bus_is_idle(const svi_bus *bus)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    return bus->depth == 0 && !bus->is_releasing;
}

/* --- which handler is which --------------------------------------------------------------------------- */

static bool is_same_hook(const svi_handler *a, const svi_handler *b)
{
    return strcmp(a->module, b->module) == 0 && strcmp(a->text, b->text) == 0;
}

/* The handler of a module with the same text; of several the one with the same number. `count` if there is
 * none. */
static size_t find(const svi_handler *handlers, size_t count, const svi_handler *old, size_t i)
{
    size_t number = 0;
    for (size_t k = 0; k < i; k++) number += is_same_hook(&old[k], &old[i]);
    for (size_t k = 0; k < count; k++)
        if (is_same_hook(&handlers[k], &old[i]) && number-- == 0) return k;
    return count;
}

/* --- moving ------------------------------------------------------------------------------------------- */

static void keep(sv_event *ev, svi_hooks *take)
{
    svi_kept_hooks *kept = svi_arena_get(ev->arena, sizeof *kept);
    *kept = (svi_kept_hooks){.next = ev->kept, .hooks = take};
    ev->kept = kept;
}

/* Where the event stands in the new table: behind the handler that was its last, else before the next one that
 * there still is. */
static size_t place(const sv_event *ev, const svi_handler *handlers, size_t count)
{
    const size_t last = ev->at > 0 ? find(handlers, count, ev->handlers, ev->at - 1) : count;
    if (ev->at > 0 && last < count) return last + 1;
    for (size_t i = ev->at; i < ev->monitors; i++) {
        const size_t next = find(handlers, count, ev->handlers, i);
        if (next < count) return next;
    }
    return count;
}

/* What becomes of one that waits, and where it goes on. */
static size_t decide(sv_event *ev, const svi_handler *handlers, size_t count, svi_swap *swap)
{
    const svi_handler *by = ev->waits_in;
    const size_t at = place(ev, handlers, count);
    const bool has_successor = at > 0 && at <= count && is_same_hook(&handlers[at - 1], by);
    swap->waiting++;
    if (has_successor && handlers[at - 1].generation == by->generation) return at;
    if (ev->has_acted || by->finishes) {
        swap->finishing++;
        return at;
    }
    ev->is_to_restart = true;
    if (has_successor)
        swap->restarted++;
    else
        swap->skipped++;
    return has_successor ? at - 1 : at;
}

/* Whether a handler of the new table has had its turn, as it stood in the old one; and if it now stands on the wrong side. */
typedef struct turns {
    bool *has_had, *is_to_come;
    bool is_crossed;
} turns;

static turns turns_of(const sv_event *ev, const svi_handler *handlers, size_t count, size_t at)
{
    turns t = {.has_had = svi_arena_get(ev->arena, 2 * (count + 1) * sizeof(bool))};
    t.is_to_come = t.has_had + count;
    for (size_t i = 0; i < ev->monitors; i++) {
        const size_t now = find(handlers, count, ev->handlers, i);
        if (now == count || i + 1 == ev->at) continue; /* where it waits was decided */
        const bool had = i < ev->at;
        *(had ? &t.has_had[now] : &t.is_to_come[now]) = true;
        if (had ? now >= at : now < at) t.is_crossed = true;
    }
    return t;
}

/* Handlers have changed places: none that was to come, a guard perhaps, may be passed by, and none comes twice. The
 * event gets an order of its own: those that had their turn, then the others as the new table has them. */
static void uncross(sv_event *ev, const turns *t)
{
    const svi_handler *const handlers = ev->handlers;
    const uint64_t *const filters = ev->filters;
    svi_handler *own = svi_arena_get(ev->arena, ev->count * sizeof *own);
    uint64_t *own_filters = svi_arena_get(ev->arena, ev->count * sizeof *own_filters);
    size_t n = 0, at = 0;
    for (int part = 0; part < 3; part++) {
        for (size_t i = 0; i < ev->count; i++) {
            const bool had = i < ev->monitors && t->has_had[i], to_come = i < ev->monitors && t->is_to_come[i];
            if (part != (i < ev->at && !to_come ? 1 : had ? 0 : 2)) continue;
            own[n] = handlers[i];
            own_filters[n++] = filters[i];
        }
        if (part == 1) at = n;
    }
    ev->handlers = own;
    ev->filters = own_filters;
    ev->at = at;
}

/* Whether two tables have the handlers of a point that are in both in one order; asked once for all events in the first. */
typedef struct order {
    const svi_handler *of;
    bool is_kept;
} order;

static bool keeps_order(const sv_event *ev, const svi_handler *handlers, size_t count, order *known)
{
    if (known->of == ev->handlers) return known->is_kept;
    *known = (order){.of = ev->handlers, .is_kept = true};
    for (size_t i = 0, last = 0; i < ev->monitors; i++) {
        const size_t now = find(handlers, count, ev->handlers, i);
        if (now == count) continue;
        if (now < last) known->is_kept = false;
        last = now;
    }
    return known->is_kept;
}

static void move(sv_event *ev, svi_hooks *to, order *known, svi_swap *swap)
{
    size_t count, monitors;
    svi_hooks *from = ev->hooks;
    const svi_handler *handlers = svi_hooks_at(to, ev->point, &count);
    const uint64_t *filters = svi_hooks_bits(to, ev->point, &monitors);
    const bool waits = ev->state == SVI_EVENT_WAITING;
    const bool was_called = waits && ev->waits_in >= ev->handlers && ev->waits_in < ev->handlers + ev->count;
    const size_t at = waits ? decide(ev, handlers, monitors, swap) : 0;
    turns t = {.is_crossed = false};
    if (waits && !keeps_order(ev, handlers, monitors, known)) t = turns_of(ev, handlers, monitors, at);
    ev->hooks = svi_hooks_ref(to);
    ev->handlers = handlers;
    ev->filters = filters;
    ev->count = count;
    ev->monitors = monitors;
    ev->at = at;
    if (t.is_crossed) uncross(ev, &t);
    if (was_called)
        keep(ev, from); /* handlers of it may be blamed yet */
    else
        svi_hooks_unref(&from);
}

void svi_bus_swap(svi_bus *bus, svi_swap *swap_out)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    SV_ASSERT(svi_bus_is_idle(bus)); /* never inside a dispatch */
    order known[SVI_POINT_COUNT] = {{.of = NULL}};
    *swap_out = (svi_swap){.waiting = 0};
    for (sv_event *ev = bus->all_first; ev != NULL; ev = ev->all_next) {
        if (ev->state >= SVI_EVENT_FINISHED || ev->hooks == NULL) continue;
        svi_hooks *to = svi_hooks_successor(ev->hooks);
        SV_ASSERT(ev->state != SVI_EVENT_RUNNING && ev->parent == NULL);
        if (to != NULL) move(ev, to, &known[ev->point], swap_out);
    }
}

/* --- restarting --------------------------------------------------------------------------------------- */

static void restart(sv_event *ev, void (*before)(sv_event *ev))
{
    ev->is_to_restart = false;
    if (ev->state != SVI_EVENT_WAITING) return; /* another one that was restarted ended it */
    ev->turn++;
    ev->stays_due = true;
    svi_trail_note(ev->bus->trail, ev->entry, SVI_TRAIL_GOES_ON, SVI_TRAIL_RESTARTED);
    ev->verdict = SV_PASS;
    if (before != NULL) before(ev);
    svi_pass(ev, SV_STR_NONE);
}

void svi_bus_restart(svi_bus *bus, void (*before)(sv_event *ev))
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    SV_ASSERT(svi_bus_is_idle(bus));
    size_t count = 0;
    for (const sv_event *ev = bus->due_first; ev != NULL; ev = ev->due_next) count += ev->is_to_restart;
    if (count == 0) return;
    sv_event **marked = svi_alloc(bus->config.acct, count * sizeof(sv_event *));
    size_t n = 0;
    for (sv_event *ev = bus->due_first; ev != NULL; ev = ev->due_next)
        if (ev->is_to_restart) marked[n++] = svi_event_hold(ev);
    SV_ASSERT(n == count);
    for (size_t i = 0; i < n; i++) {
        restart(marked[i], before);
        svi_event_let_go(&marked[i]);
    }
    svi_free(marked);
}

/* --- who still needs a generation ----------------------------------------------------------------------- */

static bool has(const svi_hooks *hooks, const void *generation)
{
    if (hooks == NULL) return false;
    for (svi_point point = 1; point < SVI_POINT_COUNT; point++) {
        size_t count;
        const svi_handler *handlers = svi_hooks_at(hooks, point, &count);
        for (size_t i = 0; i < count; i++)
            if (handlers[i].generation == generation) return true;
    }
    return false;
}

static bool needs(const sv_event *ev, const void *generation)
{
    if (has(ev->hooks, generation)) return true;
    for (const svi_kept_hooks *kept = ev->kept; kept != NULL; kept = kept->next)
        if (has(kept->hooks, generation)) return true;
    return false;
}

void svi_bus_users(const svi_bus *bus, const void *generation, bool all, svi_bus_use *use_out)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    *use_out = (svi_bus_use){.hook = NULL};
    for (const sv_event *ev = bus->all_first; ev != NULL; ev = ev->all_next) {
        if (ev->state == SVI_EVENT_WAITING && ev->waits_in->generation == generation) {
            use_out->waiting++;
            use_out->hook = ev->waits_in->text;
        } else if (all && needs(ev, generation)) {
            *(ev->state >= SVI_EVENT_FINISHED ? &use_out->releasing : &use_out->elsewhere) += 1;
        }
    }
}
