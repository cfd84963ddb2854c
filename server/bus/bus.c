/* The bus: lanes' turns, deadlines, commits and releases. */
#include "base/base_asan.h"
#include "bus/bus_impl.h"

svi_bus *svi_bus_new(const svi_bus_config *config)
{
    SV_ASSERT(config->acct != NULL && config->plat != NULL && config->timers != NULL);
    SV_ASSERT(config->ledger != NULL && config->later_us > 0 && config->slow_us > 0);
    svi_bus *bus = svi_alloc(config->acct, sizeof(svi_bus));
    bus->magic = SVI_BUS_MAGIC;
    bus->config = *config;
    bus->meter.every = config->sample_every != 0 ? config->sample_every : SVI_SAMPLE_EVERY;
    bus->coarse_us =
        config->plat->coarse_us != NULL ? config->plat->coarse_us : config->plat->mono_us;
    bus->kept = svi_alloc(config->acct, SVI_EVENTS_KEPT * sizeof(sv_event *));
    bus->lanes = svi_pool_new(config->acct, sizeof(svi_lane));
    return bus;
}

/* --- deadlines: every LATER has the same, so the events' order of waiting is that of their
 * deadlines ------ */

static void due_arm(svi_bus *bus);

static void due_fire(void *ctx)
{
    svi_bus *bus = ctx;
    bus->due_timer = NULL;
    const int64_t now_us = svi_bus_now(bus);
    while (bus->due_first != NULL && bus->due_first->due_us <= now_us) {
        sv_event *ev = bus->due_first;
        svi_bus_unwait(ev);
        bus->stats.timeouts++;
        svi_pass_timeout(ev);
    }
    due_arm(bus);
}

/* The timer is not moved when the first one leaves: it fires early, at most once per deadline,
 * and arms anew. */
static void due_arm(svi_bus *bus)
{
    if (bus->due_timer != NULL || bus->due_first == NULL) return;
    bus->due_timer = svi_timer_start(bus->config.timers, bus->due_first->due_us - svi_bus_now(bus),
                                     due_fire, bus);
}

void svi_bus_wait(sv_event *ev)
{
    svi_bus *bus = ev->bus;
    ev->due_us = svi_bus_now(bus) + bus->config.later_us;
    ev->due_prev = bus->due_last;
    if (bus->due_last != NULL)
        bus->due_last->due_next = ev;
    else
        bus->due_first = ev;
    bus->due_last = ev;
    bus->stats.waiting++;
    due_arm(bus);
}

void svi_bus_unwait(sv_event *ev)
{
    svi_bus *bus = ev->bus;
    if (ev->due_prev != NULL)
        ev->due_prev->due_next = ev->due_next;
    else
        bus->due_first = ev->due_next;
    if (ev->due_next != NULL)
        ev->due_next->due_prev = ev->due_prev;
    else
        bus->due_last = ev->due_prev;
    ev->due_prev = ev->due_next = NULL;
    bus->stats.waiting--;
}

/* --- running
 * --------------------------------------------------------------------------------------- */

void svi_event_run(sv_event *ev, sv_str lane_key)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(ev->state == SVI_EVENT_FRESH);
    svi_lane *lane = lane_key.n > 0 ? svi_lane_find(ev->bus, lane_key) : NULL;
    if (lane != NULL) {
        ev->lane = lane;
        if (lane->owner != NULL || lane->waiting.head != NULL) {
            ev->state = SVI_EVENT_QUEUED;
            svi_queue_put(&lane->waiting, ev);
            svi_trail_note(ev->bus->trail, ev->entry, SVI_TRAIL_QUEUED, 0);
            return;
        }
        lane->owner = ev;
    }
    svi_pass(ev, lane_key);
}

void svi_bus_fire(sv_event *ev)
{
    svi_event_run(ev, SV_STR_NONE);
}

void svi_bus_fire_behind(sv_event *ev, sv_str lane_key)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    ev->behind = lane_key;
    svi_event_run(ev, SV_STR_NONE);
}

void svi_event_fire(sv_event *parent, const svi_event_config *config)
{
    SV_CHECK(parent, SVI_EVENT_MAGIC);
    SV_ASSERT(parent->state == SVI_EVENT_RUNNING || parent->state == SVI_EVENT_WAITING);
    svi_event_act(parent); /* who handles it may have done something that is not seen here */
    sv_event *ev = svi_event_new(parent->bus, config);
    ev->parent = parent;
    ev->number = parent->number;
    svi_pass(ev, SV_STR_NONE);
}

/* What calls back may go on to use the event, rightly or wrongly: it stays whole until that returns. The first word counts. */
static void resume_behind(sv_event *ev, sv_verdict verdict)
{
    if (!ev->is_to_resume)
        ev->resume_as = (uint8_t)verdict;
    else if (verdict == SV_PASS && ev->resume_as != SV_PASS && svi_event_is_disposed(ev))
        svi_event_fault(ev, "who disposes of a stanza says DONE");
    ev->is_to_resume = true;
}

bool svi_event_resume(sv_event *ev, sv_verdict verdict)
{
    SV_CHECK(ev, SVI_EVENT_MAGIC);
    SV_ASSERT(verdict == SV_PASS || verdict == SV_DONE);
    if (ev->state >= SVI_EVENT_FINISHED) return false;
    SV_ASSERT(ev->state == SVI_EVENT_WAITING); /* not from inside a handler of the same event */
    if (ev->in_callback > 0) {
        resume_behind(ev, verdict);
        return true;
    }
    svi_bus_unwait(ev);
    if (verdict == SV_PASS && svi_event_is_disposed(ev)) {
        svi_event_fault(ev, "who disposes of a stanza says DONE");
        verdict = SV_DONE;
    }
    ev->verdict = verdict;
    svi_trail_note(ev->bus->trail, ev->entry, SVI_TRAIL_GOES_ON,
                   verdict == SV_PASS ? SVI_TRAIL_RESUMED_PASS : SVI_TRAIL_RESUMED_DONE);
    svi_pass(ev, SV_STR_NONE);
    return true;
}

/* Runs what waits in the lane until one of them says LATER. */
static void lane_go_on(svi_lane *lane)
{
    if (!lane->is_advancing) {
        lane->is_advancing = true;
        while (lane->owner == NULL && lane->waiting.head != NULL) {
            lane->owner = svi_queue_take(&lane->waiting);
            svi_pass(lane->owner, SV_STR_NONE);
        }
        lane->is_advancing = false;
    }
    svi_lane_check(lane);
}

/* --- commit and release
 * ----------------------------------------------------------------------------- */

/* Emits, tells the rules; the event still counts as pending in its lane meanwhile. */
static void release_one(sv_event *ev)
{
    svi_event_emit_all(ev, false);
    if (ev->ops->released == NULL) return;
    svi_exec *now = svi_exec_now();
    const svi_exec saved = *now;
    svi_exec_enter(ev);
    ev->ops->released(ev);
    *now = saved;
}

static void leave_pending(sv_event *ev, bool had_emissions)
{
    svi_lane *lane = ev->lane;
    ev->bus->stats.releasing--;
    if (lane != NULL) {
        SV_ASSERT(lane->pending > 0);
        lane->pending--;
        if (had_emissions) lane->unemitted--;
        if (lane->last == ev) lane->last = NULL;
        svi_lane_check(lane);
    }
    svi_event_end(ev);
}

static void release_with_followers(sv_event *ev)
{
    const bool had_emissions = ev->emissions != NULL;
    svi_trail_released(ev->bus->trail, ev->entry);
    release_one(ev);
    for (sv_event *f; (f = svi_queue_take(&ev->followers)) != NULL;) {
        const bool f_had = f->emissions != NULL;
        svi_trail_released(f->bus->trail, f->entry);
        release_one(f);
        leave_pending(f, f_had);
    }
    leave_pending(ev, had_emissions);
}

void svi_bus_release(svi_bus *bus, uint64_t committed)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    if (committed > bus->committed) bus->committed = committed;
    if (bus->is_releasing) return; /* the loop further out sees the new number */
    bus->is_releasing = true;
    while (bus->release.head != NULL && bus->release.head->commit <= bus->committed)
        release_with_followers(svi_queue_take(&bus->release));
    bus->is_releasing = false;
}

/* Hands the unit in; the commit number, 0 if there was nothing to write. */
static uint64_t submit(sv_event *ev)
{
    const svi_commit_ops *commit = &ev->bus->config.commit;
    void *unit = ev->unit;
    ev->unit = NULL;
    if (unit == NULL) return 0;
    if (!commit->unit_is_empty(commit->ctx, unit)) {
        if (ev->ops->committing != NULL) ev->ops->committing(ev, unit);
        return commit->submit(commit->ctx, unit);
    }
    commit->discard(commit->ctx, unit);
    return 0;
}

static void become_pending(sv_event *ev, svi_event_queue *queue)
{
    svi_queue_put(queue, ev);
    ev->bus->stats.releasing++;
    svi_trail_writes(ev->bus->trail, ev->entry, ev->commit);
    if (ev->lane == NULL) return;
    ev->lane->pending++;
    if (ev->emissions != NULL) ev->lane->unemitted++;
}

/* What passes in the lane from now on comes behind its commit, though it did not pass in it. */
static void join_lane(sv_event *ev)
{
    svi_lane *lane = svi_lane_find(ev->bus, ev->behind);
    if (lane == NULL) {
        lane = svi_lane_new(ev->bus, ev->behind, ev);
        lane->owner = NULL;
    }
    ev->lane = lane;
}

/* Puts the event where it waits for its release, by the rule in bus.h; false: it waits for
 * nothing. */
static bool must_wait(sv_event *ev, sv_str key)
{
    svi_bus *bus = ev->bus;
    ev->commit = submit(ev);
    if (ev->commit == 0) {
        const svi_lane *lane = ev->behind.n > 0 ? svi_lane_find(bus, ev->behind) : ev->lane;
        sv_event *before = lane != NULL ? lane->last : NULL;
        if (before == NULL) return false;
        become_pending(ev, &before->followers);
        return true;
    }
    SV_ASSERT(bus->release.tail == NULL || bus->release.tail->commit <= ev->commit);
    if (ev->lane == NULL && key.n > 0) svi_lane_new(bus, key, ev);
    if (ev->behind.n > 0) join_lane(ev);
    become_pending(ev, &bus->release);
    if (ev->lane != NULL) ev->lane->last = ev;
    return true;
}

void svi_bus_finish(sv_event *ev, sv_str key)
{
    svi_bus *bus = ev->bus;
    ev->state = SVI_EVENT_FINISHED;
    if (ev->parent != NULL) {
        if (ev->ops->released != NULL) ev->ops->released(ev);
        ev->parent = NULL; /* a hold outlives it */
        svi_event_end(ev);
        return;
    }
    const bool waits = must_wait(ev, key);
    if (!waits) release_one(ev);
    svi_lane *lane = ev->behind.n > 0 ? NULL : ev->lane; /* it may have got one by what was released just now */
    SV_ASSERT(lane == NULL || lane->owner == ev);
    bus->top->key = SV_STR_NONE;
    if (!waits) svi_event_end(ev);
    /* a store that does not sync has committed already */
    if (waits) svi_bus_release(bus, bus->config.commit.committed(bus->config.commit.ctx));
    if (lane == NULL) return;
    lane->owner = NULL; /* not before: the lane must outlive its releases */
    lane_go_on(lane);
}

/* --- the end
 * ---------------------------------------------------------------------------------------- */

static void cancel(sv_event *ev)
{
    svi_bus *bus = ev->bus;
    const svi_commit_ops *commit = &bus->config.commit;
    svi_exec *now = svi_exec_now();
    const svi_exec saved = *now;
    svi_exec_enter(ev);
    if (ev->state == SVI_EVENT_WAITING) svi_bus_unwait(ev);
    ev->state = SVI_EVENT_FINISHED;
    if (ev->unit != NULL) commit->discard(commit->ctx, ev->unit);
    ev->unit = NULL;
    svi_event_emit_all(ev, true);
    if (ev->entry_state == SVI_ENTRY_OPEN) {
        ev->entry_state = SVI_ENTRY_DISPOSED;
        svi_ledger_close(bus->config.ledger, ev->entry, SVI_DROPPED, "stopped");
    }
    if (ev->ops->canceled != NULL) ev->ops->canceled(ev);
    *now = saved;
    ev->lane = NULL;
    ev->next = NULL;
    svi_event_end(ev);
}

static void lanes_free(svi_bus *bus)
{
    for (size_t i = 0; i < bus->bucket_count; i++) {
        while (bus->buckets[i] != NULL) {
            svi_lane *lane = bus->buckets[i];
            lane->owner = lane->last = NULL;
            lane->waiting = (svi_event_queue){.head = NULL};
            lane->pending = lane->unemitted = 0;
            svi_lane_check(lane);
        }
    }
    svi_free(bus->buckets);
    svi_pool_free(&bus->lanes);
}

void svi_bus_on_fault(svi_bus *bus, svi_fault_fn fault, void *ctx)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    bus->fault = fault;
    bus->fault_ctx = ctx;
}

void svi_bus_on_later(svi_bus *bus, svi_later_fn later, void *ctx)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    bus->later = later;
    bus->later_ctx = ctx;
}

void svi_bus_set_trail(svi_bus *bus, svi_trail *trail)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    bus->trail = trail;
}

void svi_bus_free(svi_bus **bus)
{
    svi_bus *b = *bus;
    *bus = NULL;
    if (b == NULL) return;
    SV_CHECK(b, SVI_BUS_MAGIC);
    SV_ASSERT(b->depth == 0 && !b->is_releasing);
    while (b->all_first != NULL) {
        sv_event *ev = b->all_first;
        svi_event_hold(
            ev); /* whoever else holds it finds it closed, and frees it without the bus */
        if (ev->state != SVI_EVENT_RELEASED) cancel(ev);
        svi_event_detach(ev);
        svi_event_let_go(&ev);
    }
    svi_timer_cancel(&b->due_timer);
    lanes_free(b);
    while (b->kept_count > 0) {
        sv_event *ev = b->kept[--b->kept_count];
        SVI_UNPOISON(ev, sizeof *ev);
        svi_event_free_memory(ev);
    }
    svi_free(b->kept);
    if (svi_plat_here() == b->config.plat) svi_plat_enter(NULL);
    b->magic = 0;
    svi_free(b);
}

void svi_bus_stats_get(const svi_bus *bus, svi_bus_stats *stats_out)
{
    SV_CHECK(bus, SVI_BUS_MAGIC);
    *stats_out = bus->stats;
    stats_out->lanes = bus->lane_count;
}
