/* Work off the router, in libuv's pool; on the stage, where there is no loop, in the next turn. */
#include "xmpp/xmpp_impl.h"

#include "base/base_assert.h"

#define WORK_MAGIC 0x30c41001u

/* Outlives the server if that ends while it runs; then it knows no server any more. */
struct svi_work {
    uint32_t magic;
    svi_server *server;
    svi_work *next, **link;
    uv_work_t request;
    void (*run)(void *ctx);
    void (*done)(void *ctx, bool is_over);
    void *ctx;
};

static void finish(svi_work *work, bool is_over)
{
    SV_CHECK(work, WORK_MAGIC);
    if (work->next != NULL) work->next->link = work->link;
    if (work->link != NULL) *work->link = work->next;
    const svi_work copy = *work;
    work->magic = 0;
    svi_free(work);
    copy.done(copy.ctx, is_over);
}

static void in_pool(uv_work_t *request)
{
    svi_work *work = request->data;
    work->run(work->ctx);
}

static void tell(void *ctx)
{
    finish(ctx, false);
}

static void tell_over(void *ctx)
{
    finish(ctx, true);
}

/* What follows belongs into a turn, like all the router does. */
static void after_pool(uv_work_t *request, int canceled)
{
    svi_work *work = request->data;
    svi_server *server = work->server;
    SV_ASSERT(canceled == 0); /* nobody cancels */
    if (server == NULL) {
        tell_over(work);
        return;
    }
    svi_server_defer(server, tell, tell_over, work);
    if (server->wake != NULL) server->wake(server->ctx);
}

static void in_turn(void *ctx)
{
    svi_work *work = ctx;
    work->run(work->ctx);
    tell(work);
}

void svi_server_work(svi_server *server, void (*run)(void *ctx),
                     void (*done)(void *ctx, bool is_over), void *ctx)
{
    SV_CHECK(server, SVI_SERVER_MAGIC);
    svi_work *work = svi_alloc(server->acct, sizeof *work);
    *work = (svi_work){.magic = WORK_MAGIC, .server = server, .run = run, .done = done, .ctx = ctx};
    work->next = server->works;
    work->link = &server->works;
    if (work->next != NULL) work->next->link = &work->next;
    server->works = work;
    work->request.data = work;
    if (server->loop == NULL) {
        svi_server_defer(server, in_turn, tell_over, work);
        return;
    }
    const int failed = uv_queue_work(server->loop, &work->request, in_pool, after_pool);
    SV_ASSERT(failed == 0);
}

void svi_works_detach(svi_server *server)
{
    while (server->works != NULL) {
        svi_work *work = server->works;
        server->works = work->next;
        work->server = NULL;
        work->next = NULL;
        work->link = NULL;
    }
}
