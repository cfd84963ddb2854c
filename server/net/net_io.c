/* An I/O thread: its turn over mail, ring, connections and timers, and when it sleeps. Inline,
 * the same turn runs on the router's thread, driven by its loop or, on the stage, by
 * svi_net_turn alone. */
#include <pthread.h>
#include <signal.h>

#include "base/base_assert.h"
#include "net/net_int.h"

/* --- out: events, finished nodes --------------------------------------------------------------------- */

static void notify(svi_io *io)
{
    svi_net *net = io->net;
    io->unheard_bytes = 0;
    io->notify_us = 0;
    if (!io->threaded && net->in_turn) return;
    if (!atomic_exchange(&net->notified, true)) net->config.wake(net->config.ctx);
}

/* What was finished goes first: whoever sees an event also sees the nodes that came before it.
 *
 * To hear that something was written is no reason to wake the router at once (PERF(a wake-up
 * costs 20-40 us on an idle machine, more than writing a stanza)): it hears of it with the next
 * event, when it may want to send more, or a little later. */
static void publish(svi_io *io)
{
    if (io->finished.first != NULL) {
        svi_mail_post(&io->done, &io->finished.first->mail, &io->finished.last->mail);
        io->finished = (svi_outs){NULL, NULL};
    }
    /* On the stage a wake-up costs nothing, and no time passes by itself. */
    const size_t enough = io->loop == NULL ? 1 : io->net->config.window_bytes / 4;
    if (svi_ring_publish(io->ring) || io->unheard_bytes >= enough)
        notify(io);
    else if (io->unheard_bytes > 0 && io->notify_us == 0)
        io->notify_us = io->now_us + SVI_NOTIFY_US;
    if (io->notify_us != 0 && (io->timer_us == 0 || io->notify_us < io->timer_us))
        io->timer_us = io->notify_us;
}

void svi_io_finish(svi_io *io, svi_out *out, bool written)
{
    out->written = written;
    io->unheard_bytes += out->cost_bytes;
    svi_outs_add(&io->finished, out);
}

static bool put(svi_conn *conn, const svi_ring_item *event)
{
    svi_io *io = conn->thread;
    svi_ring_item item = *event;
    item.who = conn;
    if (svi_ring_put(io->ring, &item)) return true;
    /* The router can make room only for what it sees. */
    publish(io);
    return svi_ring_put(io->ring, &item);
}

static void block(svi_conn *conn)
{
    svi_chain_del(&conn->io.blocked);
    svi_chain_add(&conn->thread->blocked, &conn->io.blocked);
    svi_count_add(&conn->thread->ring_full, 1);
}

void svi_io_report(svi_conn *conn, const svi_ring_item *event)
{
    SV_ASSERT(conn->io.parked.kind == SVI_EV_NONE);
    if (svi_chain_empty(&conn->thread->blocked) && put(conn, event)) return;
    conn->io.parked = *event;
    conn->io.hold = (uint8_t)(conn->io.hold | SVI_HOLD_RING);
    block(conn);
}

/* Puts all that the connection has to tell; false if the ring is full. */
static bool put_all(svi_conn *conn)
{
    svi_conn_io *io = &conn->io;
    if (io->parked.kind != SVI_EV_NONE) {
        if (!put(conn, &io->parked)) return false;
        io->parked.kind = SVI_EV_NONE;
        svi_pipe_unhold(conn, SVI_HOLD_RING);
    }
    if (io->closed_due) {
        if (!put(conn, &(svi_ring_item){.kind = SVI_EV_CLOSED, .arg = io->why})) return false;
        io->closed_due = false;
    }
    if (io->reaped_due) {
        svi_chain_del(&io->blocked);
        if (!svi_ring_room(conn->thread->ring)) return false;
        io->reaped_due = false;
        svi_chain_del(&io->all);
        SV_ASSERT(put(conn, &(svi_ring_item){.kind = SVI_EV_REAPED}));
    }
    return true;
}

void svi_io_report_end(svi_conn *conn)
{
    if (!svi_chain_empty(&conn->thread->blocked) || !put_all(conn)) block(conn);
}

/* Those who waited for room, in the order in which they began to wait. */
static void retry_blocked(svi_io *io)
{
    while (!svi_chain_empty(&io->blocked) && svi_ring_room(io->ring)) {
        svi_conn *conn = SVI_OF(svi_conn, io.blocked, io->blocked.next);
        svi_chain_del(&conn->io.blocked);
        if (put_all(conn)) continue;
        /* Still the first in line. */
        svi_chain_add(io->blocked.next, &conn->io.blocked);
        return;
    }
}

/* --- timers -------------------------------------------------------------------------------------------- */

/* When the oldest handshake gives its place up; 0: there is none. All have the same time, but less
 * of it while others wait: a few silent peers must not keep everybody out. */
static int64_t shaking_due_us(const svi_io *io)
{
    if (svi_chain_empty(&io->shaking)) return 0;
    const int64_t due_us = SVI_OF(svi_conn, io.timed, io->shaking.next)->io.due_us;
    return svi_chain_empty(&io->tls_wait) ? due_us : due_us - SVI_HANDSHAKE_US + SVI_HURRY_US;
}

void svi_io_time(svi_conn *conn, svi_chain *list, int64_t due_us)
{
    svi_io *io = conn->thread;
    svi_chain_del(&conn->io.timed);
    if (list == NULL) return;
    svi_chain_add(list, &conn->io.timed);
    conn->io.due_us = due_us;
    if (list == &io->tls_wait) due_us = shaking_due_us(io);
    if (due_us != 0 && (io->timer_us == 0 || due_us < io->timer_us)) io->timer_us = due_us;
}

static void run_closing(svi_io *io, int64_t *next)
{
    svi_chain *link = io->closing.next;
    while (link != &io->closing) {
        svi_conn *conn = SVI_OF(svi_conn, io.timed, link);
        link = link->next;
        if (conn->io.due_us <= io->now_us)
            svi_pipe_overdue(conn);
        else if (*next == 0 || conn->io.due_us < *next)
            *next = conn->io.due_us;
    }
}

/* In order of time. Threats T5. */
static void run_shaking(svi_io *io, int64_t *next)
{
    int64_t due_us;
    while ((due_us = shaking_due_us(io)) != 0 && due_us <= io->now_us)
        svi_pipe_shake_off(SVI_OF(svi_conn, io.timed, io->shaking.next), "it took too long");
    if (due_us != 0 && (*next == 0 || due_us < *next)) *next = due_us;
}

/* In order of time; whoever is still too fast goes to the end. */
static void run_slowed(svi_io *io, int64_t *next)
{
    while (!svi_chain_empty(&io->slowed)) {
        svi_conn *conn = SVI_OF(svi_conn, io.timed, io->slowed.next);
        if (conn->io.due_us > io->now_us) {
            if (*next == 0 || conn->io.due_us < *next) *next = conn->io.due_us;
            return;
        }
        svi_pipe_slowed(conn);
    }
}

static void run_timers(svi_io *io)
{
    if (io->timer_us == 0 || io->now_us < io->timer_us) return;
    if (io->notify_us != 0 && io->now_us >= io->notify_us) notify(io);
    int64_t next = io->notify_us;
    run_closing(io, &next);
    run_shaking(io, &next);
    while (!svi_chain_empty(&io->warm)) {
        svi_conn *conn = SVI_OF(svi_conn, io.timed, io->warm.next);
        if (conn->io.due_us > io->now_us) {
            /* The list is in order of time; a little late is early enough. */
            const int64_t later = conn->io.due_us + SVI_REST_US / 4;
            if (next == 0 || later < next) next = later;
            break;
        }
        svi_pipe_rest(conn);
    }
    run_slowed(io, &next);
    io->timer_us = next;
}

static void on_timer(uv_timer_t *timer)
{
    svi_io *io = timer->data;
    io->armed_us = 0;
    (void)svi_io_turn(io);
}

static void arm_timer(svi_io *io)
{
    if (io->handles == NULL || io->timer_us == io->armed_us) return;
    io->armed_us = io->timer_us;
    if (io->timer_us == 0) {
        (void)uv_timer_stop(&io->handles->timer);
        return;
    }
    const int64_t in_us = io->timer_us - io->now_us;
    const uint64_t in_ms = in_us > 0 ? (uint64_t)(in_us + 999) / 1000 : 0;
    (void)uv_timer_start(&io->handles->timer, on_timer, in_ms, 0);
}

/* --- the turn --------------------------------------------------------------------------------------------- */

void svi_io_activate(svi_conn *conn)
{
    if (conn->io.active.next == &conn->io.active)
        svi_chain_add(&conn->thread->active, &conn->io.active);
}

static void read_mail(svi_io *io)
{
    svi_mail_link *link = svi_mail_take(&io->inbox);
    while (link != NULL) {
        svi_out *out = (svi_out *)(void *)link; /* first member */
        link = link->next;
        svi_pipe_take(out->conn, out);
    }
}

size_t svi_io_turn(svi_io *io)
{
    const svi_plat *plat = io->net->config.plat;
    io->now_us = plat->mono_us(plat->ctx);
    io->tls_steps = SVI_HANDSHAKE_STEPS_TURN;
    read_mail(io);
    retry_blocked(io);
    run_timers(io); /* whom they let go on has its turn in this round */
    /* Whoever becomes active from here on has its turn in the next round. */
    svi_chain round;
    svi_chain_init(&round);
    if (!svi_chain_empty(&io->active)) {
        svi_chain_add(&io->active, &round);
        svi_chain_del(&io->active);
    }
    size_t worked = 0;
    while (!svi_chain_empty(&round)) {
        svi_conn *conn = SVI_OF(svi_conn, io.active, round.next);
        svi_chain_del(&conn->io.active);
        svi_pipe_work(conn);
        worked++;
    }
    publish(io);
    arm_timer(io);
    return worked;
}

void svi_io_post(svi_io *io)
{
    if (io->outbound.first == NULL) return;
    svi_mail_post(&io->inbox, &io->outbound.first->mail, &io->outbound.last->mail);
    io->outbound = (svi_outs){NULL, NULL};
    if (!io->threaded)
        (void)svi_io_turn(io);
    else if (svi_sleep_rouse(&io->sleeper, SVI_ASLEEP))
        svi_wake_send(&io->handles->wake);
}

void svi_io_release(svi_io *io, size_t n)
{
    if (n == 0) return;
    svi_ring_release(io->ring, n);
    if (io->threaded && svi_sleep_rouse(&io->sleeper, SVI_ASLEEP_FOR_ROOM))
        svi_wake_send(&io->handles->wake);
}

/* --- the loop -------------------------------------------------------------------------------------------------- */

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* it only keeps the loop from waiting */
}

/* Before the loop waits: may it? */
static void on_prepare(uv_prepare_t *prepare)
{
    svi_io *io = prepare->data;
    const bool blocked = !svi_chain_empty(&io->blocked);
    bool busy = !svi_chain_empty(&io->active);
    if (!busy) {
        svi_sleep_announce(&io->sleeper, blocked ? SVI_ASLEEP_FOR_ROOM : SVI_ASLEEP);
        busy = svi_mail_has(&io->inbox) || (blocked && svi_ring_room(io->ring)) ||
               atomic_load(&io->stop);
        if (busy) svi_sleep_end(&io->sleeper);
    }
    if (busy)
        (void)uv_idle_start(&io->handles->idle, on_idle);
    else
        (void)uv_idle_stop(&io->handles->idle);
}

static void shut_down(svi_io *io);

static void on_check(uv_check_t *check)
{
    svi_io *io = check->data;
    svi_sleep_end(&io->sleeper);
    if (atomic_load(&io->stop))
        shut_down(io);
    else
        (void)svi_io_turn(io);
}

static void on_wake(void *ctx)
{
    (void)ctx; /* the check that follows does the work */
}

static void on_handle_closed(uv_handle_t *handle)
{
    svi_io_handles *handles = SVI_OF(svi_io_handles, prepare, handle);
    if (handle->type == UV_CHECK) handles = SVI_OF(svi_io_handles, check, handle);
    if (handle->type == UV_IDLE) handles = SVI_OF(svi_io_handles, idle, handle);
    if (handle->type == UV_TIMER) handles = SVI_OF(svi_io_handles, timer, handle);
    if (handle->type == UV_POLL) handles = SVI_OF(svi_io_handles, wake.poll, handle);
    if (--handles->open == 0) svi_free(handles);
}

static void close_handles(svi_io *io)
{
    svi_io_handles *h = io->handles;
    if (h == NULL) return;
    io->handles = NULL;
    uv_close((uv_handle_t *)&h->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&h->check, on_handle_closed);
    uv_close((uv_handle_t *)&h->idle, on_handle_closed);
    uv_close((uv_handle_t *)&h->timer, on_handle_closed);
    svi_wake_close(&h->wake, on_handle_closed);
}

/* The end, on the I/O thread: every connection is dropped; what they had to tell stays with
 * them for the router. */
static void shut_down(svi_io *io)
{
    if (io->ended) return;
    io->ended = true;
    /* The router wakes nobody any more. */
    if (io->threaded) uv_sem_wait(&io->stop_sent);
    read_mail(io);
    for (svi_chain *link = io->conns.next; link != &io->conns; link = link->next)
        svi_pipe_drop(SVI_OF(svi_conn, io.all, link), SVI_CLOSED_NET_STOP);
    publish(io);
    close_handles(io);
}

static void open_handles(svi_io *io)
{
    svi_io_handles *h = svi_alloc(io->net->config.acct, sizeof *h);
    h->open = 5;
    SV_ASSERT(uv_prepare_init(io->loop, &h->prepare) == 0);
    SV_ASSERT(uv_check_init(io->loop, &h->check) == 0);
    SV_ASSERT(uv_idle_init(io->loop, &h->idle) == 0);
    SV_ASSERT(uv_timer_init(io->loop, &h->timer) == 0);
    SV_ASSERT(svi_wake_init(&h->wake, io->loop, on_wake, io) == 0);
    h->prepare.data = h->check.data = h->idle.data = h->timer.data = io;
    SV_ASSERT(uv_prepare_start(&h->prepare, on_prepare) == 0);
    SV_ASSERT(uv_check_start(&h->check, on_check) == 0);
    io->handles = h;
    if (io->threaded) return;
    /* On the router's loop they must not keep it alive. */
    uv_unref((uv_handle_t *)&h->prepare);
    uv_unref((uv_handle_t *)&h->check);
    uv_unref((uv_handle_t *)&h->timer);
    uv_unref((uv_handle_t *)&h->wake.poll);
}

static void run_loop(svi_io *io)
{
    (void)uv_run(io->loop, UV_RUN_DEFAULT);
    SV_ASSERT(uv_loop_close(io->loop) == 0);
}

static void run_thread(void *arg)
{
    (void)pthread_setname_np(pthread_self(), "io"); /* seen in top -H */
    run_loop(arg);
}

/* Signals are the router's. */
static int create_thread(svi_io *io)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    const int rc = uv_thread_create(&io->thread, run_thread, io);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

sv_status svi_io_start(svi_io *io, svi_net *net, unsigned index, sv_err *err)
{
    svi_acct *acct = net->config.acct;
    io->net = net;
    io->threaded = net->config.io_threads > 0;
    io->ring = svi_ring_new(acct, net->config.ring_slots);
    svi_buf_init(&io->scratch, acct);
    io->read_to = svi_alloc_raw(acct, SVI_READ_TURN_BYTES);
    svi_chain *const lists[] = {&io->conns,   &io->active,   &io->blocked, &io->warm,
                                &io->slowed,  &io->closing,  &io->tls_wait, &io->shaking};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) svi_chain_init(lists[i]);
    io->loop = io->threaded ? &io->own_loop : net->config.loop;
    if (io->threaded) {
        const int rc = uv_loop_init(io->loop);
        if (rc != 0) {
            io->threaded = false;
            return svi_err(err, SV_EIO, "I/O thread %u: %s", index, uv_strerror(rc));
        }
    }
    if (io->threaded) SV_ASSERT(uv_sem_init(&io->stop_sent, 0) == 0);
    if (io->loop != NULL) open_handles(io);
    if (!io->threaded) return SV_OK;
    const int rc = create_thread(io);
    if (rc == 0) return SV_OK;
    close_handles(io);
    run_loop(io);
    uv_sem_destroy(&io->stop_sent);
    io->ended = true;
    io->threaded = false;
    return svi_err(err, SV_EIO, "I/O thread %u: %s", index, uv_strerror(rc));
}

void svi_io_stop(svi_io *io)
{
    if (io->net == NULL || io->ended) return; /* was never started */
    if (!io->threaded) {
        shut_down(io);
        return;
    }
    atomic_store(&io->stop, true);
    svi_wake_send(&io->handles->wake);
    uv_sem_post(&io->stop_sent);
    SV_ASSERT(uv_thread_join(&io->thread) == 0);
    uv_sem_destroy(&io->stop_sent);
}

void svi_io_free(svi_io *io)
{
    svi_ring_free(&io->ring);
    svi_buf_free(&io->scratch);
    svi_free(io->read_to);
    io->read_to = NULL;
}
