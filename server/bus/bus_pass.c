/* The pass: handlers of a point in order until a verdict, then its monitors, then the next
 * point. */
#include "base/base_log.h"
#include "bus/bus_impl.h"

/* --- who runs
 * -------------------------------------------------------------------------------------- */

static char *head_put(char *to, const char *end, const char *before, sv_str s, size_t most)
{
    const size_t m = strlen(before), room = (size_t)(end - to);
    size_t n = s.n < most ? s.n : most;
    if (s.n == 0 || room < m + n) return to;
    while (n < s.n && n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80) n--; /* whole characters */
    memcpy(to, before, m);
    memcpy(to + m, s.p, n);
    return to + m + n;
}

/* "message chat from=A to=B": what reports show of a stanza; never a body (architecture 11). */
static void head_write(const void *of, char *to, size_t size)
{
    const sv_event *ev = of;
    const char *end = to + size - 1;
    *to = '\0';
    if (ev->magic != SVI_EVENT_MAGIC || ev->stanza == NULL) return;
    const sv_node *root = svi_stanza_root(ev->stanza);
    to = head_put(to, end, "", svi_node_name(root), 9);
    to = head_put(to, end, " ", svi_node_attr(root, SV_STR("type")), 12);
    to = head_put(to, end, " from=", svi_node_attr(root, SV_STR("from")), 31);
    to = head_put(to, end, " to=", svi_node_attr(root, SV_STR("to")), 31);
    *to = '\0';
}

void svi_exec_stanza(const sv_event *ev)
{
    svi_exec *now = svi_exec_now();
    now->stanza = ev->about;
    now->head = head_write;
    now->head_of = ev;
}

void svi_exec_enter(const sv_event *ev)
{
    svi_exec *now = svi_exec_now();
    now->module = NULL;
    now->hook = NULL;
    now->host = ev->host;
    svi_exec_stanza(ev);
}

static void count_one(atomic_uint_fast64_t *counter)
{
    const uint_fast64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + 1, memory_order_relaxed);
}

static void beat(svi_bus *bus)
{
    if (bus == NULL) return;
    count_one(&bus->calls);
    if (bus->depth == 0) count_one(&bus->beats);
}

uint64_t svi_bus_calls(const svi_bus *bus)
{
    return atomic_load_explicit(&bus->calls, memory_order_relaxed);
}

void svi_bus_count_call(svi_bus *bus)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    count_one(&bus->calls);
}

uint64_t svi_bus_beats(const svi_bus *bus)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    return atomic_load_explicit(&bus->beats, memory_order_relaxed);
}

static void frame_enter(svi_frame *frame, sv_event *ev, sv_str key)
{
    svi_bus *bus = ev->bus;
    *frame = (svi_frame){.outer = bus->top, .ev = ev, .key = key, .saved = *svi_exec_now()};
    bus->top = frame;
    beat(bus);
    bus->depth++;
    svi_meter_begin(&bus->meter, false);
    svi_plat_enter(
        bus->config.plat); /* a thread may have several servers, each with its own clock */
    svi_exec_enter(ev);
}

static void frame_leave(svi_bus *bus, const svi_frame *frame)
{
    SV_ASSERT(bus->top == frame && bus->depth > 0);
    bus->top = frame->outer;
    bus->depth--;
    svi_meter_end(&bus->meter);
    *svi_exec_now() = frame->saved;
}

/* --- matching
 * -------------------------------------------------------------------------------------- */

static void note_kids(sv_event *ev)
{
    ev->has_bits = true;
    ev->kid_count = 0;
    const sv_node *root = svi_stanza_root(ev->stanza);
    if (svi_point_asks_root(ev->point)) {
        ev->kids[ev->kid_count++] = (svi_kid){.ns = svi_node_ns_atom(root), .name = svi_node_name_atom(root)};
        ev->bits = svi_node_bit(ev->kids[0].ns, ev->kids[0].name);
        return;
    }
    ev->bits = svi_stanza_child_bits(ev->stanza);
    for (const sv_node *child = svi_node_first(root); child != NULL;
         child = svi_node_next(root, child)) {
        if (ev->kid_count++ == SVI_KIDS_NOTED) return;
        ev->kids[ev->kid_count - 1] =
            (svi_kid){.ns = svi_node_ns_atom(child), .name = svi_node_name_atom(child)};
    }
}

/* The first handler from `i` on that a look at the bits does not rule out; PERF: most are. */
static inline size_t skip_ruled_out(const sv_event *ev, size_t i)
{
    if (!ev->has_bits) return i;
    const uint64_t *const filters = ev->filters;
    const uint64_t bits = ev->bits;
    const size_t end = ev->monitors;
    while (i < end && filters[i] != 0 && (bits & filters[i]) == 0) i++;
    return i;
}

/* Does handler `i` want the stanza as it is now? */
static bool wants(sv_event *ev, size_t i)
{
    if (ev->filters[i] == 0) return true;
    if (ev->stanza == NULL) return false;
    if (!ev->has_bits) note_kids(ev);
    if ((ev->bits & ev->filters[i]) == 0) return false;
    const svi_handler *h = &ev->handlers[i];
    if (ev->kid_count > SVI_KIDS_NOTED) return svi_handler_matches(h, ev->stanza);
    for (size_t k = 0; k < ev->kid_count; k++)
        if (svi_atoms_match(h, ev->kids[k].ns, ev->kids[k].name)) return true;
    return false;
}

/* --- calling
 * --------------------------------------------------------------------------------------- */

static void count(const svi_handler *h, sv_verdict verdict)
{
    svi_hook_stats *stats = h->stats;
    if (stats == NULL) return;
    stats->calls++;
    if (verdict == SV_DONE)
        stats->done++;
    else if (verdict == SV_LATER)
        stats->later++;
    else
        stats->passed++;
}

static void tell_slow(const sv_event *ev, int64_t took_us)
{
    SV_LOG(SV_WARN, "handler-slow", LF_INT("ms", took_us / 1000),
           LF_TXT("point", svi_point_name(ev->point)));
}

/* Between handlers of an event that is within no other. PERF: the clock is read in some of them only. */
static void note_cpu(svi_bus *bus, int64_t coarse_us)
{
    if (bus->depth > 1 || coarse_us - bus->cpu_at_us < SVI_CPU_NOTE_US) return;
    bus->cpu_at_us = coarse_us;
    bus->cpu_us = svi_bus_cpu(bus);
}

/* On a machine that is busy with others, time passes without anybody's fault: half of it must have been spent running,
 * for certain: what ran between the look and the handler counts as wholly spent. */
static bool is_own_time(const svi_bus *bus, int64_t began_us, int64_t took_us)
{
    const int64_t before_us = began_us > bus->cpu_at_us ? began_us - bus->cpu_at_us : 0;
    const int64_t ran_us = svi_bus_cpu(bus) - bus->cpu_us - before_us;
    return took_us >= SVI_LONG_US || 2 * ran_us >= bus->config.slow_us;
}

/* What ran inside, in an event that the handler fired, and was blamed already is not its own. Returns the time. */
static int64_t judge_time(const sv_event *ev, const svi_handler *h, int64_t began_us, int64_t blamed_us)
{
    svi_bus *bus = ev->bus;
    const int64_t now_us = svi_bus_coarse(bus);
    const int64_t took_us = now_us - began_us - (bus->blamed_us - blamed_us);
    if (took_us > bus->config.slow_us) {
        bus->blamed_us += took_us;
        tell_slow(ev, took_us);
        if (is_own_time(bus, began_us, took_us)) svi_event_blame(ev, h, SVI_RULE_SLOW);
    }
    note_cpu(bus, now_us);
    return now_us;
}

/* The clock of one stretch of handlers, from the first that is called. Slowness is seen on the coarse
 * clock (a few ns a call), CPU by the meter: one stamp between handlers, on a clock whose microseconds are
 * coarser than most of them but right on average. */
typedef struct stopwatch {
    bool runs;
    int64_t coarse_us;
    int64_t blamed_us;     /* of the bus, when the stretch began */
    svi_hook_stats *outer; /* whose time it was */
} stopwatch;

static void watch_start(svi_bus *bus, svi_hook_stats *whose, stopwatch *watch)
{
    if (!watch->runs) {
        *watch = (stopwatch){.runs = true,
                             .coarse_us = svi_bus_coarse(bus),
                             .blamed_us = bus->blamed_us,
                             .outer = bus->meter.now};
        note_cpu(bus, watch->coarse_us);
        bus->meter.stats.looks++;
        if (bus->meter.weight > 0) svi_meter_stamp(bus);
    }
    bus->meter.now = whose;
}

static void note_asked(const sv_event *ev, const svi_handler *h, sv_verdict verdict, bool is_skipped, int64_t took_us)
{
    if (ev->bus->trail == NULL) return;
    svi_trail_asked(ev->bus->trail, ev->about, h->module, h->text, h->stats, (unsigned)verdict, is_skipped, took_us);
}

static void watch_stop(const sv_event *ev, const svi_handler *h, sv_verdict verdict, stopwatch *watch)
{
    svi_bus *bus = ev->bus;
    const int64_t coarse_us = judge_time(ev, h, watch->coarse_us, watch->blamed_us);
    bus->meter.stats.looks++;
    note_asked(ev, h, verdict, false, coarse_us - watch->coarse_us);
    watch->coarse_us = coarse_us;
    watch->blamed_us = bus->blamed_us;
    if (bus->meter.weight > 0) svi_meter_stamp(bus);
    bus->meter.now = watch->outer;
}

/* In place of a call of a handler whose module is in quarantine. */
static sv_verdict stand_in(sv_event *ev, const svi_handler *h)
{
    const bool is_done = ev->entry_state == SVI_ENTRY_OPEN || h->policy == SVI_POLICY_CLOSED;
    if (ev->in_monitor || h->policy == SVI_POLICY_OPEN || !is_done) {
        h->ward->skipped++;
        note_asked(ev, h, SV_PASS, true, 0);
        return SV_PASS;
    }
    h->ward->refused++;
    note_asked(ev, h, SV_DONE, true, 0);
    if (ev->entry_state != SVI_ENTRY_OPEN) return SV_DONE;
    ev->blame_module = h->module;
    ev->blame_hook = h->text;
    ev->by = NULL; /* it did nothing */
    if (ev->ops->quarantined != NULL)
        ev->ops->quarantined(ev);
    else
        ev->ops->undisposed(ev, h->module);
    return SV_DONE;
}

static sv_verdict call(sv_event *ev, const svi_handler *h, stopwatch *watch)
{
    if (h->ward != NULL && h->ward->is_closed) return stand_in(ev, h);
    svi_exec *now = svi_exec_now();
    now->module = ev->blame_module = h->module;
    now->hook = ev->blame_hook = h->text;
    ev->by = h;
    count_one(&ev->bus->calls);
    ev->keeps = false;
    watch_start(ev->bus, h->stats, watch);
    sv_verdict verdict = h->call(ev, h->self);
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    if ((unsigned)verdict > SV_LATER) {
        svi_event_fault(ev, "a handler says PASS, DONE or LATER");
        verdict = SV_PASS;
    }
    if (verdict == SV_LATER && (ev->parent != NULL || ev->is_brief)) {
        svi_event_fault(ev, ev->is_brief ? "what is asked here cannot wait" : "a pass inside another event cannot wait");
        verdict = SV_PASS;
    }
    if (verdict != SV_PASS) ev->keeps = true;
    if (ev->has_mark) svi_event_temp_end(ev);
    watch_stop(ev, h, verdict, watch);
    count(h, verdict);
    now->module = NULL;
    now->hook = NULL;
    return verdict;
}

/* A callback has said what becomes of the event. */
static void resume_now(sv_event *ev)
{
    if (!ev->is_to_resume || ev->in_callback > 0) return;
    ev->is_to_resume = false;
    if (ev->state == SVI_EVENT_WAITING) (void)svi_event_resume(ev, (sv_verdict)ev->resume_as);
}

void svi_event_call(sv_event *ev, svi_hook_stats *whose, void (*back)(void *ctx), void *ctx)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(ev->holds > 0);
    svi_bus *bus = ev->bus; /* NULL: it is gone, only the hold is left */
    svi_exec *now = svi_exec_now();
    const svi_exec saved = *now;
    svi_exec_enter(ev);
    now->module = ev->blame_module;
    now->hook = ev->blame_hook;
    const svi_handler *by = ev->by; /* of the table that the event holds now; it may move on */
    svi_hooks *hooks = ev->hooks != NULL ? svi_hooks_ref(ev->hooks) : NULL;
    const int64_t from_us = bus != NULL ? svi_bus_coarse(bus) : 0;
    const int64_t blamed_us = bus != NULL ? bus->blamed_us : 0;
    if (bus != NULL) note_cpu(bus, from_us);
    beat(bus);
    if (whose != NULL) whose->callbacks++;
    svi_hook_stats *const outer = bus != NULL ? svi_bus_enter(bus, whose) : NULL;
    ev->in_callback++;
    back(ctx);
    ev->in_callback--;
    bus = ev->bus;
    if (bus != NULL) {
        svi_bus_leave(bus, outer);
        bus->meter.stats.looks += 2;
        (void)judge_time(ev, by, from_us, blamed_us);
    }
    svi_hooks_unref(&hooks);
    *now = saved;
    resume_now(ev);
}

/* False if a handler said LATER. */
static bool run_handlers(sv_event *ev)
{
    stopwatch watch = {.runs = false};
    while ((ev->at = skip_ruled_out(ev, ev->at)) < ev->monitors) {
        const size_t i = ev->at++;
        if (!wants(ev, i)) continue;
        const sv_verdict verdict = call(ev, &ev->handlers[i], &watch);
        if (verdict == SV_LATER) {
            ev->waits_in = &ev->handlers[i];
            if (ev->bus->later != NULL) ev->bus->later(ev->bus->later_ctx, ev->waits_in, ev);
            return false;
        }
        if (verdict == SV_PASS && !svi_event_is_disposed(ev)) continue;
        if (verdict == SV_PASS) svi_event_fault(ev, "who disposes of a stanza says DONE");
        ev->verdict = SV_DONE;
        break;
    }
    return true;
}

/* MONITOR handlers see what was decided. */
static void run_monitors(sv_event *ev)
{
    if (ev->monitors == ev->count) return;
    const char *const module = ev->blame_module, *const hook = ev->blame_hook;
    const svi_handler *const by = ev->by;
    stopwatch watch = {.runs = false};
    ev->in_monitor = true;
    for (size_t i = ev->monitors; i < ev->count; i++) {
        if (!wants(ev, i)) continue;
        if (call(ev, &ev->handlers[i], &watch) != SV_PASS)
            svi_event_fault(ev, "a MONITOR handler says PASS");
    }
    ev->in_monitor = false;
    ev->blame_module = module;
    ev->blame_hook = hook;
    ev->by = by;
}

/* --- the way through the points
 * --------------------------------------------------------------------- */

static bool next_point(sv_event *ev)
{
    if (ev->ops->next == NULL) return false;
    ev->in_next = true;
    const bool goes_on = ev->ops->next(ev);
    ev->in_next = false;
    return goes_on;
}

/* Sees to it that the stanza is disposed of. */
static void settle(sv_event *ev)
{
    if (ev->verdict == SV_PASS) {
        if (ev->ops->unclaimed != NULL && !svi_event_is_disposed(ev)) ev->ops->unclaimed(ev);
    } else if (ev->entry_state == SVI_ENTRY_OPEN) {
        svi_event_fault(ev, "who says DONE disposes of the stanza");
        ev->ops->undisposed(ev, ev->blame_module != NULL ? ev->blame_module : "core");
    }
    if (ev->entry_state == SVI_ENTRY_OPEN) svi_event_leaked(ev);
}

static void note_point(const sv_event *ev)
{
    if (ev->bus->trail == NULL || ev->point == SVI_POINT_NONE || ev->at > 0) return;
    svi_trail_point(ev->bus->trail, ev->about, ev->point, ev->entry == 0);
}

/* False if the event waits. */
static bool drive(sv_event *ev)
{
    do {
        note_point(ev);
        if (ev->verdict == SV_PASS && !run_handlers(ev)) return false;
        run_monitors(ev);
    } while (ev->verdict == SV_PASS && next_point(ev));
    settle(ev);
    return true;
}

static void wait_later(sv_event *ev, sv_str key)
{
    ev->waits++;
    if (ev->lane == NULL && key.n > 0) svi_lane_new(ev->bus, key, ev);
    ev->state = SVI_EVENT_WAITING;
    svi_trail_note(ev->bus->trail, ev->entry, SVI_TRAIL_WAITS, 0);
    if (!ev->stays_due) svi_bus_wait(ev);
    ev->stays_due = false;
}

/* Too deep: no handler is asked, guards neither, so the stanza may not go on by default: it is a
 * fault of who fired. */
static void refuse_depth(sv_event *ev)
{
    const svi_exec *now = svi_exec_now();
    ev->blame_module = now->module;
    ev->blame_hook = now->hook;
    svi_event_tell(ev, SV_ERROR, "handler-nesting", "hooks fire hooks at most 16 deep");
    if (ev->entry_state != SVI_ENTRY_OPEN) return;
    ev->ops->undisposed(ev, ev->blame_module != NULL ? ev->blame_module : "core");
    if (ev->entry_state == SVI_ENTRY_OPEN) svi_event_leaked(ev);
}

/* Lets those look again who wrote before it waited last. What they ask for meanwhile has not waited. */
static void look_again(sv_event *ev)
{
    svi_bus *bus = ev->bus;
    svi_exec *now = svi_exec_now();
    const svi_exec saved = *now;
    for (const svi_again *again = ev->again; again != NULL; again = again->next) {
        if (again->waits == ev->waits) continue;
        now->module = again->module;
        now->hook = again->hook;
        now->host = again->host;
        const int64_t from_us = svi_bus_coarse(bus), blamed_us = bus->blamed_us;
        svi_hook_stats *const outer = svi_bus_enter(bus, again->whose);
        again->run(ev, again->ctx);
        svi_bus_leave(bus, outer);
        bus->meter.stats.looks += 2;
        (void)judge_time(ev, NULL, from_us, blamed_us);
    }
    *now = saved;
}

/* What ends an event is the core's work, also if a module's callback brought it about. */
static void finish(sv_event *ev, sv_str key)
{
    svi_bus *bus = ev->bus;
    svi_hook_stats *const whose = bus->meter.now;
    const bool is_other = whose != NULL && ev->parent == NULL;
    if (is_other && bus->meter.weight > 0) svi_meter_stamp(bus);
    if (is_other) bus->meter.now = NULL;
    svi_bus_finish(ev, key);
    if (is_other && bus->meter.weight > 0) svi_meter_stamp(bus);
    bus->meter.now = whose;
}

void svi_pass(sv_event *ev, sv_str key)
{
    svi_bus *bus = ev->bus;
    svi_frame frame;
    ev->state = SVI_EVENT_RUNNING;
    const bool too_deep = bus->depth >= SVI_DEPTH_MAX;
    if (too_deep) refuse_depth(ev); /* before the context of who fired is covered */
    svi_trail_look(bus->trail);
    frame_enter(&frame, ev, key);
    if (!too_deep && !drive(ev)) {
        wait_later(ev, key);
    } else {
        if (ev->stays_due) svi_bus_unwait(ev);
        if (ev->again != NULL) look_again(ev);
        finish(ev, key);
    }
    frame_leave(bus, &frame);
}

void svi_pass_timeout(sv_event *ev)
{
    svi_bus *bus = ev->bus;
    svi_frame frame;
    ev->state = SVI_EVENT_RUNNING;
    frame_enter(&frame, ev, SV_STR_NONE);
    svi_trail_note(bus->trail, ev->entry, SVI_TRAIL_GOES_ON, SVI_TRAIL_TIMEOUT);
    svi_event_tell(ev, SV_WARN, "event-timeout", "LATER ends before its deadline");
    if (ev->holds == 0) svi_event_blame(ev, ev->by, SVI_RULE_NEVER);
    ev->verdict = SV_DONE;
    if (ev->ops->timeout != NULL && !svi_event_is_disposed(ev)) ev->ops->timeout(ev);
    if (ev->entry_state == SVI_ENTRY_OPEN) svi_event_leaked(ev);
    run_monitors(ev);
    if (ev->again != NULL) look_again(ev);
    finish(ev, SV_STR_NONE);
    frame_leave(bus, &frame);
}
