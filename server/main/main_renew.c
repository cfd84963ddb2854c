/* A timer, a look in the pool, its result taken over on the router; again. */
#include "main/main_renew.h"

#include "base/base_assert.h"

#define MAGIC 0x52454e57u
#define SETTLE_MS 1000 /* files that have just changed are left alone for so long */

struct svi_renew {
    uint32_t magic;
    svi_renew_config config;
    svi_certs *certs;
    uv_timer_t timer;
    uv_work_t work;
    svi_certs *looking; /* what the pool looks at; may have been replaced since */
    svi_certs_look *look;
    int64_t look_s; /* the wall clock for it */
    bool is_stopped;
    unsigned open; /* the timer's handle, a look under way */
};

static int64_t now_s(const svi_renew *renew)
{
    const svi_plat *plat = renew->config.plat;
    return plat->wall_us(plat->ctx) / 1000000;
}

static void let_go(svi_renew *renew)
{
    if (--renew->open > 0) return;
    renew->magic = 0;
    svi_free(renew);
}

static void on_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

/* --- looking ------------------------------------------------------------------------------------------ */

static void on_due(uv_timer_t *timer);

static void look_in(svi_renew *renew, int64_t ms)
{
    if (!renew->is_stopped) (void)uv_timer_start(&renew->timer, on_due, (uint64_t)ms, 0);
}

static void in_pool(uv_work_t *work)
{
    svi_renew *renew = work->data;
    renew->look = svi_certs_look_at(renew->looking, renew->look_s);
}

static void take(svi_renew *renew)
{
    bool again;
    const int64_t settle_ms =
        renew->config.check_ms < SETTLE_MS ? renew->config.check_ms : SETTLE_MS;
    if (svi_certs_take(renew->certs, &renew->look, renew->look_s, &again))
        renew->config.renewed(renew->config.ctx, svi_certs_tls(renew->certs));
    svi_certs_tell(renew->certs, now_s(renew), renew->config.warn_days);
    look_in(renew, again ? settle_ms : renew->config.check_ms);
}

static void after_pool(uv_work_t *work, int canceled)
{
    svi_renew *renew = work->data;
    SV_CHECK(renew, MAGIC);
    SV_ASSERT(canceled == 0); /* nobody cancels */
    const bool is_stale = renew->looking != renew->certs;
    svi_certs *looked = renew->looking;
    renew->looking = NULL;
    if (is_stale) {
        svi_certs_look_free(&renew->look);
        svi_certs_free(&looked);
        if (renew->certs) look_in(renew, renew->config.check_ms);
    } else {
        take(renew);
    }
    let_go(renew);
}

static void on_due(uv_timer_t *timer)
{
    svi_renew *renew = timer->data;
    SV_ASSERT(renew->certs != NULL);
    if (renew->looking) return; /* its end starts the timer */
    renew->looking = renew->certs;
    renew->look_s = now_s(renew);
    renew->work.data = renew;
    renew->open++;
    const int failed = uv_queue_work(renew->config.loop, &renew->work, in_pool, after_pool);
    SV_ASSERT(failed == 0);
}

/* --- start and end ------------------------------------------------------------------------------------ */

/* A look may be under way at the old ones: then its end frees them. */
static void watch(svi_renew *renew, svi_certs *certs)
{
    svi_certs *old = renew->certs;
    renew->certs = certs;
    if (old != renew->looking) svi_certs_free(&old);
    if (!certs) return;
    svi_certs_tell(certs, now_s(renew), renew->config.warn_days);
    look_in(renew, renew->config.check_ms);
}

svi_renew *svi_renew_start(const svi_renew_config *config, svi_certs *certs)
{
    svi_renew *renew = svi_alloc(config->acct, sizeof *renew);
    *renew = (svi_renew){.magic = MAGIC, .config = *config, .open = 1};
    (void)uv_timer_init(config->loop, &renew->timer);
    renew->timer.data = renew;
    watch(renew, certs);
    return renew;
}

const svi_certs *svi_renew_certs(const svi_renew *renew)
{
    SV_CHECK(renew, MAGIC);
    return renew->certs;
}

void svi_renew_replace(svi_renew *renew, svi_certs *certs, int64_t check_ms, int64_t warn_days)
{
    SV_CHECK(renew, MAGIC);
    SV_ASSERT(certs != NULL);
    renew->config.check_ms = check_ms;
    renew->config.warn_days = warn_days;
    watch(renew, certs);
    renew->config.renewed(renew->config.ctx, svi_certs_tls(certs));
}

void svi_renew_stop(svi_renew **renew)
{
    svi_renew *r = *renew;
    *renew = NULL;
    if (!r) return;
    SV_CHECK(r, MAGIC);
    r->is_stopped = true;
    (void)uv_timer_stop(&r->timer);
    watch(r, NULL);
    uv_close((uv_handle_t *)&r->timer, on_closed);
}
