/* Events: what handlers and rules may ask of one and do with it. */
#include "base/base_asan.h"
#include "base/base_log.h"
#include "bus/bus_impl.h"

enum { ARENA_BYTES = 4096 };

void svi_queue_put(svi_event_queue *queue, sv_event *ev)
{
    SV_ASSERT(ev->next == NULL);
    if (queue->head == NULL)
        queue->head = ev;
    else
        queue->tail->next = ev;
    queue->tail = ev;
}

sv_event *svi_queue_take(svi_event_queue *queue)
{
    sv_event *ev = queue->head;
    if (ev == NULL) return NULL;
    queue->head = ev->next;
    if (queue->head == NULL) queue->tail = NULL;
    ev->next = NULL;
    return ev;
}

sv_event *svi_event_whole(sv_event *ev)
{
    while (ev->parent != NULL) ev = ev->parent;
    return ev;
}

void svi_event_act(sv_event *ev)
{
    for (; ev != NULL; ev = ev->parent) ev->has_acted = true;
}

void svi_event_keep(sv_event *ev)
{
    for (; ev != NULL; ev = ev->parent) ev->keeps = true;
}

/* --- life
 * ------------------------------------------------------------------------------------------ */

static sv_event *event_get(svi_bus *bus)
{
    if (bus->kept_count == 0) {
        sv_event *ev = svi_alloc(bus->config.acct, sizeof(sv_event));
        ev->arena = svi_arena_new(bus->config.acct, ARENA_BYTES);
        return ev;
    }
    sv_event *ev = bus->kept[--bus->kept_count];
    SVI_UNPOISON(ev, sizeof *ev);
    return ev;
}

/* Fresh again but for its arena. The kids are written before they are read. */
static void event_clear(sv_event *ev)
{
    svi_arena *arena = ev->arena;
    memset(ev, 0, offsetof(sv_event, kids));
    ev->arena = arena;
}

static void event_put(svi_bus *bus, sv_event *ev)
{
    if (bus->kept_count == SVI_EVENTS_KEPT) {
        svi_event_free_memory(ev);
        return;
    }
    svi_arena_clear(ev->arena);
    event_clear(ev);
    bus->kept[bus->kept_count++] = ev;
    SVI_POISON(ev, sizeof *ev);
}

void svi_event_free_memory(sv_event *ev)
{
    svi_arena_free(&ev->arena);
    ev->magic = 0;
    svi_free(ev);
}

static void all_add(svi_bus *bus, sv_event *ev)
{
    ev->all_prev = bus->all_last;
    if (bus->all_last != NULL)
        bus->all_last->all_next = ev;
    else
        bus->all_first = ev;
    bus->all_last = ev;
}

static void all_remove(svi_bus *bus, sv_event *ev)
{
    if (ev->all_prev != NULL)
        ev->all_prev->all_next = ev->all_next;
    else
        bus->all_first = ev->all_next;
    if (ev->all_next != NULL)
        ev->all_next->all_prev = ev->all_prev;
    else
        bus->all_last = ev->all_prev;
    ev->all_prev = ev->all_next = NULL;
}

static void point_set(sv_event *ev, svi_point point, svi_hooks *hooks)
{
    SV_ASSERT(point < SVI_POINT_COUNT);
    if (hooks != NULL) svi_hooks_ref(hooks);
    svi_hooks_unref(&ev->hooks);
    ev->hooks = hooks;
    ev->point = point;
    ev->at = ev->count = ev->monitors = 0;
    ev->verdict = SV_PASS;
    ev->by = NULL; /* its table may be gone */
    if (hooks == NULL) return;
    ev->handlers = svi_hooks_at(hooks, point, &ev->count);
    ev->filters = svi_hooks_bits(hooks, point, &ev->monitors);
}

sv_event *svi_event_new(svi_bus *bus, const svi_event_config *config)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    SV_ASSERT(config->ops != NULL);
    SV_ASSERT(config->entry == 0 || config->ops->undisposed != NULL);
    sv_event *ev = event_get(bus);
    ev->magic = SVI_EVENT_MAGIC;
    ev->bus = bus;
    ev->ops = config->ops;
    ev->x = config->x;
    ev->entry = config->entry;
    ev->about = config->entry != 0 || config->is_apart ? config->entry : svi_exec_now()->stanza;
    ev->entry_state = config->entry != 0 ? SVI_ENTRY_OPEN : SVI_ENTRY_NONE;
    ev->host = config->host;
    ev->is_request = config->is_request;
    ev->is_brief = config->is_brief;
    if (config->stanza != NULL) ev->stanza = svi_stanza_ref(config->stanza);
    ev->emissions_end = &ev->emissions;
    point_set(ev, config->point, config->hooks);
    all_add(bus, ev);
    ev->number = ++bus->stats.events;
    return ev;
}

void svi_event_at_end(sv_event *ev, void (*run)(void *ctx), void *ctx)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(run != NULL);
    svi_ending *ending = svi_arena_get(svi_event_arena(ev), sizeof *ending);
    sv_event *whose = svi_event_whole(ev); /* the arena's */
    *ending = (svi_ending){.next = whose->endings, .run = run, .ctx = ctx};
    whose->endings = ending;
}

/* Gives the memory back: nobody holds it any more and its life has ended. */
static void event_free(sv_event *ev)
{
    SV_ASSERT(ev->state == SVI_EVENT_RELEASED && ev->holds == 0);
    svi_exec *now = svi_exec_now();
    if (now->head_of == ev) now->head = NULL;
    for (const svi_ending *ending = ev->endings; ending != NULL; ending = ending->next)
        ending->run(ending->ctx);
    svi_hooks_unref(&ev->hooks);
    for (svi_kept_hooks *kept = ev->kept; kept != NULL; kept = kept->next)
        svi_hooks_unref(&kept->hooks);
    if (ev->stanza != NULL) svi_stanza_unref((sv_stanza **)(uintptr_t)&ev->stanza);
    if (ev->bus == NULL) {
        svi_event_free_memory(ev);
        return;
    }
    all_remove(ev->bus, ev);
    event_put(ev->bus, ev);
}

void svi_event_detach(sv_event *ev)
{
    all_remove(ev->bus, ev);
    ev->bus = NULL;
}

void svi_event_end(sv_event *ev)
{
    SV_ASSERT(ev->state != SVI_EVENT_RELEASED && ev->unit == NULL);
    ev->state = SVI_EVENT_RELEASED;
    if (ev->holds == 0) event_free(ev);
}

sv_event *svi_event_hold(sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    ev->holds++;
    svi_event_keep(ev);
    return ev;
}

void svi_event_let_go(sv_event **ev)
{
    sv_event *e = *ev;
    *ev = NULL;
    if (e == NULL) return;
    SV_CHECK(e, SVI_EVENT_MAGIC);
    SV_ASSERT(e->holds > 0);
    if (--e->holds == 0 && e->state == SVI_EVENT_RELEASED) event_free(e);
}

bool svi_event_may_wait(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->parent == NULL && !ev->is_brief && !ev->in_monitor && ev->state < SVI_EVENT_FINISHED;
}

bool svi_event_is_open(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->state < SVI_EVENT_FINISHED;
}

bool svi_event_is_waiting(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->state == SVI_EVENT_WAITING;
}

/* --- faults
 * ---------------------------------------------------------------------------------------- */

void svi_event_tell(const sv_event *ev, sv_level level, const char *name, const char *rule)
{
    svi_exec *now = svi_exec_now();
    const char *const module = now->module, *const hook = now->hook;
    now->module = ev->blame_module;
    now->hook = ev->blame_hook;
    SV_LOG(level, name, LF_TXT("rule", rule), LF_TXT("point", svi_point_name(ev->point)),
           LF_TXT("by", ev->blame_module != NULL ? ev->blame_module : "core"),
           LF_TXT("in", ev->blame_hook != NULL ? ev->blame_hook : ""));
    now->module = module;
    now->hook = hook;
}

/* An assertion whose expression is the broken rule; blames who broke it. */
static void strictly(const sv_event *ev, const char *rule)
{
    if (ev->bus == NULL || !svi_ledger_is_strict(ev->bus->config.ledger)) return;
    svi_exec *now = svi_exec_now();
    now->module = ev->blame_module;
    now->hook = ev->blame_hook;
    svi_assert_failed(rule, __FILE__, __LINE__);
}

void svi_event_blame(const sv_event *ev, const svi_handler *handler, const char *rule)
{
    if (handler != NULL && handler->stats != NULL) handler->stats->faults++;
    if (ev->bus == NULL || handler == NULL || ev->bus->fault == NULL) return;
    ev->bus->fault(ev->bus->fault_ctx, handler, rule);
}

void svi_event_fault(const sv_event *ev, const char *rule)
{
    svi_event_tell(ev, SV_ERROR, "handler-fault", rule);
    svi_event_blame(ev, ev->by, rule);
    strictly(ev, rule);
}

void svi_event_leaked(sv_event *ev)
{
    svi_event_tell(ev, SV_ERROR, "ledger-leak", "a stanza must be disposed of");
    strictly(ev, "a stanza must be disposed of");
    ev->entry_state = SVI_ENTRY_DISPOSED;
    svi_ledger_close(ev->bus->config.ledger, ev->entry, SVI_DROPPED, "leaked");
}

/* --- reading
 * --------------------------------------------------------------------------------------- */

void *svi_event_x(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->x;
}

const svi_handler *svi_event_handler(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->by;
}

svi_bus *svi_event_bus(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->bus;
}

svi_arena *svi_event_arena(sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    svi_event_keep(ev);
    return svi_event_whole(ev)->arena;
}

svi_arena *svi_event_temp(sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    svi_arena *arena = svi_event_whole(ev)->arena;
    if (!ev->has_mark) ev->mark = svi_arena_mark(arena);
    ev->has_mark = true;
    return arena;
}

void svi_event_temp_end(sv_event *ev)
{
    if (ev->has_mark && !ev->keeps) svi_arena_reset(svi_event_whole(ev)->arena, ev->mark);
    ev->has_mark = false;
}

svi_point svi_event_point_now(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->point;
}

sv_verdict svi_event_verdict(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->verdict;
}

uint64_t svi_event_number(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->number;
}

uint64_t svi_bus_newest(const svi_bus *bus)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    return bus->stats.events;
}

uint64_t svi_event_entry(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->entry;
}

const sv_stanza *svi_event_stanza(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->stanza;
}

bool svi_event_is_request(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->is_request;
}

bool svi_event_is_disposed(const sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    return ev->entry_state == SVI_ENTRY_DISPOSED || ev->entry_state == SVI_ENTRY_TAKEN;
}

/* --- acting
 * ---------------------------------------------------------------------------------------- */

/* May what runs now change the event? Reports if not. */
static bool may_act(const sv_event *ev)
{
    if (ev->in_monitor)
        svi_event_fault(ev, "a MONITOR handler only looks");
    else if (ev->state >= SVI_EVENT_FINISHED)
        svi_event_fault(ev, "the event is finished");
    else
        return true;
    return false;
}

void svi_event_point(sv_event *ev, svi_point point, svi_hooks *hooks, const char *host)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(ev->in_next); /* only where a pass has ended */
    ev->host = host;
    svi_exec_now()->host = host; /* what its handlers log is the new host's */
    point_set(ev, point, hooks);
}

void svi_event_replace(sv_event *ev, const sv_stanza *stanza)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(stanza != NULL);
    if (!may_act(ev)) return;
    svi_event_act(ev);
    const sv_stanza *before = ev->stanza;
    ev->stanza = svi_stanza_ref(stanza);
    if (before != NULL) svi_stanza_unref((sv_stanza **)(uintptr_t)&before);
    ev->has_bits = false;
    if (ev->bus != NULL) svi_trail_replaced(ev->bus->trail, ev->about, ev->blame_module, ev->blame_hook);
    SV_LOG(SV_DEBUG, "stanza-replaced", LF_TXT("point", svi_point_name(ev->point)));
}

void *svi_event_unit(sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(ev->state < SVI_EVENT_FINISHED); /* its unit has gone: the write would be lost */
    const svi_commit_ops *commit = &ev->bus->config.commit;
    sv_event *whole = svi_event_whole(ev);
    svi_event_act(ev);
    if (whole->unit == NULL) whole->unit = commit->unit_new(commit->ctx);
    return whole->unit;
}

void svi_event_emit(sv_event *ev, void (*run)(void *ctx), void (*drop)(void *ctx), void *ctx)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(run != NULL);
    if (!may_act(ev)) {
        if (drop != NULL) drop(ctx);
        return;
    }
    svi_event_act(ev);
    const svi_exec *now = svi_exec_now();
    sv_event *whole = svi_event_whole(ev);
    svi_emission *emission = svi_arena_get(whole->arena, sizeof(svi_emission));
    *emission = (svi_emission){.run = run,
                               .drop = drop,
                               .ctx = ctx,
                               .module = now->module,
                               .hook = now->hook,
                               .host = now->host};
    *whole->emissions_end = emission;
    whole->emissions_end = &emission->next;
    svi_event_keep(ev);
}

void svi_event_emit_early(sv_event *ev, void (*run)(void *ctx), void (*drop)(void *ctx), void *ctx)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    svi_event_act(ev);
    const sv_event *whole = svi_event_whole(ev);
    const bool must_wait =
        whole->emissions != NULL || (whole->lane != NULL && whole->lane->unemitted > 0);
    if (must_wait || ev->in_monitor || ev->state >= SVI_EVENT_FINISHED)
        svi_event_emit(ev, run, drop, ctx);
    else
        run(ctx);
}

void svi_event_emit_all(sv_event *ev, bool drop)
{
    svi_emission *emission = ev->emissions;
    ev->emissions = NULL;
    if (emission == NULL) return;
    svi_exec *now = svi_exec_now();
    const svi_exec saved = *now;
    for (; emission != NULL; emission = emission->next) {
        now->module = emission->module;
        now->hook = emission->hook;
        now->host = emission->host;
        svi_exec_stanza(ev);
        if (!drop)
            emission->run(emission->ctx);
        else if (emission->drop != NULL)
            emission->drop(emission->ctx);
    }
    *now = saved;
}

void svi_event_after_wait(sv_event *ev, svi_hook_stats *whose, void (*run)(sv_event *ev, void *ctx), void *ctx)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(run != NULL && ev->parent == NULL);
    if (!may_act(ev)) return;
    svi_event_act(ev);
    const svi_exec *now = svi_exec_now();
    svi_again *again = svi_arena_get(svi_event_arena(ev), sizeof *again);
    *again = (svi_again){.waits = ev->waits,
                         .whose = whose,
                         .run = run,
                         .ctx = ctx,
                         .module = now->module,
                         .hook = now->hook,
                         .host = now->host};
    *(ev->again_end != NULL ? ev->again_end : &ev->again) = again;
    ev->again_end = &again->next;
}

bool svi_event_dispose(sv_event *ev, svi_disposal disposal, const char *rule)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    if (!may_act(ev)) return false;
    svi_event_act(ev);
    if (ev->entry_state == SVI_ENTRY_NONE) return true;
    if (ev->entry_state != SVI_ENTRY_OPEN) {
        svi_event_fault(ev, ev->is_request ? "a request is answered once"
                                           : "a stanza is disposed of once");
        return false;
    }
    ev->entry_state = SVI_ENTRY_DISPOSED;
    svi_ledger_close(ev->bus->config.ledger, ev->entry, disposal, rule);
    if (disposal == SVI_DROPPED && ev->ops->dropped != NULL) ev->ops->dropped(ev, rule);
    return true;
}

uint64_t svi_event_take_entry(sv_event *ev)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    if (ev->entry_state == SVI_ENTRY_NONE || !may_act(ev)) return 0;
    if (ev->entry_state != SVI_ENTRY_OPEN) {
        svi_event_fault(ev, "a stanza is disposed of once");
        return 0;
    }
    ev->entry_state = SVI_ENTRY_TAKEN;
    svi_event_act(ev);
    return ev->entry;
}
