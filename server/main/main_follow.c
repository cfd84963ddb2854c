/* Followers: bounded queues of lines, filled by whoever tells something and emptied in turns of the loop. */
#include "main/main_follow.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/base_assert.h"

#define FOLLOWS_MAGIC 0x464f4c53u
#define FOLLOWER_MAGIC 0x464f4c57u
#define NOTICE_BYTES 64u /* kept free for {"dropped": N} */

struct svi_follower {
    uint32_t magic;
    int64_t id;
    svi_follows *follows; /* NULL once it has left */
    svi_follower *next, **link;
    svi_follow_filter filter;
    svi_arena *arena; /* of the filter's texts */
    bool is_taken;
    bool is_told; /* `ready` was called and nothing taken since */
    void (*ready)(void *ctx);
    void *ctx;
    char *filling, *sending; /* SVI_FOLLOW_ROOM_BYTES each */
    size_t used;             /* of `filling` */
    uint64_t dropped;        /* behind what is in `filling` */
};

struct svi_follows {
    uint32_t magic;
    svi_acct *acct;
    svi_server *server;
    uv_async_t wake;
    svi_watcher watcher;
    uv_mutex_t lock; /* of the list and of what it holds; held for the making of a line at most */
    svi_follower *all;
    size_t count;
    int64_t last_id;
};

/* --- who wants anything at all ------------------------------------------------------------------------ */

/* When nobody follows, logging and routing pay for it with one comparison. */
static void set_taps(svi_follows *f)
{
    int level = -1;
    bool watches = false;
    for (const svi_follower *one = f->all; one; one = one->next) {
        if (one->filter.kind == SVI_FOLLOW_STANZAS) watches = true;
        if (one->filter.kind == SVI_FOLLOW_LOG && one->filter.level > level)
            level = one->filter.level;
    }
    svi_log_tap_level(level);
    svi_server_set_watcher(f->server, watches ? &f->watcher : NULL);
}

/* --- life --------------------------------------------------------------------------------------------- */

static void on_wake(uv_async_t *wake)
{
    svi_follows *f = wake->data;
    SV_CHECK(f, FOLLOWS_MAGIC);
    /* the list changes in this thread only; `ready` may take its own follower off it */
    for (svi_follower *one = f->all, *next; one; one = next) {
        next = one->next;
        uv_mutex_lock(&f->lock);
        const bool has_lines = one->used > 0 || one->dropped > 0;
        uv_mutex_unlock(&f->lock);
        if (!has_lines || !one->ready || one->is_told) continue;
        one->is_told = true;
        one->ready(one->ctx);
    }
}

sv_status svi_follows_open(uv_loop_t *loop, svi_server *server, svi_follows **follows_out,
                           sv_err *err)
{
    svi_acct *acct = svi_server_acct(server);
    svi_follows *f = svi_alloc(acct, sizeof *f);
    *f = (svi_follows){.magic = FOLLOWS_MAGIC, .acct = acct, .server = server};
    f->watcher = (svi_watcher){.stanza = svi_follows_put_stanza, .ctx = f};
    const int failed = uv_async_init(loop, &f->wake, on_wake);
    if (failed) {
        svi_free(f);
        return svi_err(err, SV_EIO, "followers: %s", uv_strerror(failed));
    }
    f->wake.data = f;
    SV_ASSERT(uv_mutex_init(&f->lock) == 0);
    svi_log_set_tap(svi_follows_put_log, f);
    *follows_out = f;
    return SV_OK;
}

static void on_closed(uv_handle_t *handle)
{
    svi_follows *f = handle->data;
    uv_mutex_destroy(&f->lock);
    f->magic = 0;
    svi_free(f);
}

void svi_follows_close(svi_follows **follows)
{
    svi_follows *f = *follows;
    *follows = NULL;
    if (!f) return;
    SV_CHECK(f, FOLLOWS_MAGIC);
    while (f->all) { /* a request was answered, but its asker had gone */
        svi_follower *one = f->all;
        SV_ASSERT(!one->is_taken);
        svi_follower_free(&one);
    }
    svi_log_set_tap(NULL, NULL);
    uv_close((uv_handle_t *)&f->wake, on_closed);
}

sv_status svi_follows_add(svi_follows *follows, const svi_follow_filter *filter, int64_t *id_out,
                          sv_err *err)
{
    SV_CHECK(follows, FOLLOWS_MAGIC);
    if (follows->count >= SVI_FOLLOWERS_MAX)
        return svi_err(err, SV_ELIMIT,
                       "%d commands follow log or stanzas already, and more may not: end one of them first",
                       SVI_FOLLOWERS_MAX);
    svi_follower *one = svi_alloc(follows->acct, sizeof *one);
    svi_arena *arena = svi_arena_new(follows->acct, 512);
    *one = (svi_follower){.magic = FOLLOWER_MAGIC,
                          .id = ++follows->last_id,
                          .follows = follows,
                          .arena = arena,
                          .filter = *filter};
    if (filter->user.domain.n > 0) one->filter.user = svi_jid_copy(arena, &filter->user);
    one->filter.host = svi_arena_str(arena, filter->host);
    one->filter.event = svi_arena_str(arena, filter->event);
    one->filter.element = svi_arena_str(arena, filter->element);
    one->filling = svi_alloc_raw(follows->acct, SVI_FOLLOW_ROOM_BYTES);
    one->sending = svi_alloc_raw(follows->acct, SVI_FOLLOW_ROOM_BYTES);
    uv_mutex_lock(&follows->lock);
    one->next = follows->all;
    one->link = &follows->all;
    if (one->next) one->next->link = &one->next;
    follows->all = one;
    uv_mutex_unlock(&follows->lock);
    follows->count++;
    set_taps(follows);
    *id_out = one->id;
    return SV_OK;
}

svi_follower *svi_follows_take(svi_follows *follows, int64_t id)
{
    SV_CHECK(follows, FOLLOWS_MAGIC);
    for (svi_follower *one = follows->all; one; one = one->next) {
        if (one->id != id || one->is_taken) continue;
        one->is_taken = true;
        return one;
    }
    return NULL;
}

void svi_follower_begin(svi_follower *follower, void (*ready)(void *ctx), void *ctx)
{
    SV_CHECK(follower, FOLLOWER_MAGIC);
    follower->ready = ready;
    follower->ctx = ctx;
    (void)uv_async_send(&follower->follows->wake); /* of what has come before */
}

void svi_follower_leave(svi_follower *follower)
{
    SV_CHECK(follower, FOLLOWER_MAGIC);
    svi_follows *f = follower->follows;
    if (!f) return;
    uv_mutex_lock(&f->lock);
    *follower->link = follower->next;
    if (follower->next) follower->next->link = follower->link;
    uv_mutex_unlock(&f->lock);
    follower->follows = NULL;
    f->count--;
    set_taps(f);
}

void svi_follower_free(svi_follower **follower)
{
    svi_follower *one = *follower;
    *follower = NULL;
    if (!one) return;
    svi_follower_leave(one);
    one->magic = 0;
    svi_free(one->filling);
    svi_free(one->sending);
    svi_arena_free(&one->arena);
    svi_free(one);
}

bool svi_follower_watches(const svi_follower *follower, char to[SVI_LOG_BYTES / 4], bool *xml_out)
{
    SV_CHECK(follower, FOLLOWER_MAGIC);
    const svi_follow_filter *filter = &follower->filter;
    const bool has_user = filter->user.domain.n > 0;
    const sv_str whom = has_user ? filter->user.full : filter->host.n ? filter->host : SV_STR("all");
    (void)snprintf(to, SVI_LOG_BYTES / 4, "%s%.*s", !has_user && filter->host.n ? "host " : "",
                   (int)(whom.n < 2048 ? whom.n : 2048), whom.p);
    *xml_out = filter->wants_xml;
    return filter->kind == SVI_FOLLOW_STANZAS;
}

/* --- lines -------------------------------------------------------------------------------------------- */

/* Under the lock. Once a line was dropped so are those behind it, until the gap has been told where it is. */
static void put(svi_follower *one, sv_str line)
{
    const size_t room = SVI_FOLLOW_ROOM_BYTES - NOTICE_BYTES - one->used;
    if (one->dropped > 0 || line.n + 1 > room) {
        one->dropped++;
        return;
    }
    memcpy(one->filling + one->used, line.p, line.n);
    one->used += line.n;
    one->filling[one->used++] = '\n';
}

sv_str svi_follower_lines(svi_follower *follower)
{
    SV_CHECK(follower, FOLLOWER_MAGIC);
    svi_follows *f = follower->follows;
    follower->is_told = false;
    if (!f) return SV_STR_NONE;
    uv_mutex_lock(&f->lock);
    char *full = follower->filling;
    size_t n = follower->used;
    if (follower->dropped > 0)
        n += (size_t)snprintf(full + n, NOTICE_BYTES, "{\"dropped\":%" PRIu64 "}\n", follower->dropped);
    follower->filling = follower->sending;
    follower->sending = full;
    follower->used = 0;
    follower->dropped = 0;
    uv_mutex_unlock(&f->lock);
    return (sv_str){full, n};
}

void svi_follows_tell(svi_follows *follows, const svi_follow_news *news)
{
    SV_CHECK(follows, FOLLOWS_MAGIC);
    svi_buf lines[2]; /* without and with XML */
    bool is_any = false;
    svi_buf_init(&lines[0], follows->acct);
    svi_buf_init(&lines[1], follows->acct);
    uv_mutex_lock(&follows->lock);
    for (svi_follower *one = follows->all; one; one = one->next) {
        svi_buf *line = &lines[one->filter.wants_xml];
        if (one->filter.kind != news->kind || !news->wants(&one->filter, news->ctx)) continue;
        if (one->dropped == 0 && line->len == 0) news->make(news->ctx, one->filter.wants_xml, line);
        put(one, svi_buf_str(line));
        is_any = true;
    }
    uv_mutex_unlock(&follows->lock);
    if (is_any) (void)uv_async_send(&follows->wake);
    svi_buf_free(&lines[0]);
    svi_buf_free(&lines[1]);
}

/* --- texts -------------------------------------------------------------------------------------------- */

bool svi_follow_is_of(const sv_jid *user, sv_str address)
{
    const sv_str whole = user->full, bare = user->bare;
    if (user->resource.n > 0 || address.n <= bare.n) return sv_str_eq(address, whole);
    return address.p[bare.n] == '/' && sv_str_eq(svi_str_sub(address, 0, bare.n), bare);
}

void svi_follow_put_quoted(svi_buf *line, sv_str text)
{
    svi_buf_putc(line, '"');
    while (text.n > 0) {
        uint32_t code;
        const size_t step = svi_utf8_step(text, &code);
        const sv_str as_is = svi_str_sub(text, 0, step);
        text = svi_str_sub(text, step ? step : 1, text.n);
        if (step == 0)
            svi_buf_putc(line, '?');
        else if (code < 0x20)
            svi_buf_printf(line, "\\u%04x", (unsigned)code);
        else if (code == '"' || code == '\\')
            svi_buf_printf(line, "\\%c", (char)code);
        else
            svi_buf_put(line, as_is);
    }
    svi_buf_putc(line, '"');
}

void svi_follow_put_plain(svi_buf *line, sv_str text)
{
    while (text.n > 0) {
        uint32_t code = 0;
        const size_t step = svi_utf8_step(text, &code);
        const bool is_bad = step == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) ||
                            code == 0x061c || (code >= 0x200e && code <= 0x200f) ||
                            (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
        if (is_bad)
            svi_buf_putc(line, '?');
        else
            svi_buf_put(line, svi_str_sub(text, 0, step));
        text = svi_str_sub(text, step ? step : 1, text.n);
    }
}
