/* Module table: files that the operator names, read now and again when they have changed; the later reading is done in the
 * pool. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mods/mods_api.h"

enum { PATH_BYTES = 4096 };

struct svi_watch {
    svi_watch *next;
    sv_mod *mod; /* NULL once that is gone, while a look goes on */
    svi_acct *acct;
    svi_timer *timer;
    int64_t period_us;
    size_t max_bytes;
    sv_file_fn changed;
    bool is_looking; /* what follows is the pool's */
    bool is_new;     /* the file is another, or has other contents, than the one that was `seen` */
    struct stat seen;
    sv_status status; /* of reading it */
    char *text;
    size_t bytes;
    char path[PATH_BYTES];
};

static sv_status status_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR: return SV_ENOTFOUND;
    case EACCES:
    case EPERM: return SV_EDENIED;
    default: return SV_EIO;
    }
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* It may grow while it is read. */
static sv_status read_text(svi_watch *w, int fd)
{
    const size_t room = w->max_bytes + 1;
    const size_t expected = (size_t)w->seen.st_size;
    if (!S_ISREG(w->seen.st_mode)) return SV_EIO;
    if (expected >= room) return SV_ELIMIT;
    w->text = svi_alloc_raw(w->acct, expected + 1);
    while (w->bytes <= expected) {
        const ssize_t got = read(fd, w->text + w->bytes, expected + 1 - w->bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return SV_EIO;
        if (got == 0) break;
        w->bytes += (size_t)got;
    }
    return w->bytes <= expected ? SV_OK : SV_EAGAIN; /* it is being written */
}

/* Reads the file if it is not the one that was seen. */
static void look(void *ctx)
{
    svi_watch *w = ctx;
    struct stat now;
    w->is_new = false;
    const int fd = open(w->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    w->status = fd < 0 ? status_of(errno) : fstat(fd, &now) == 0 ? SV_OK : SV_EIO;
    if (w->status == SV_OK && !is_same(&now, &w->seen)) {
        w->seen = now;
        w->status = read_text(w, fd);
        w->is_new = w->status != SV_EAGAIN;
        if (!w->is_new) w->seen.st_size = -1; /* the next look takes it for another */
    }
    if (fd >= 0) (void)close(fd);
}

static bool is_closed(const svi_watch *w)
{
    return w->mod->conduct.ward.is_closed;
}

static void text_free(svi_watch *w)
{
    svi_free(w->text);
    w->text = NULL;
    w->bytes = 0;
}

static void watch_free(svi_watch *w)
{
    text_free(w);
    svi_free(w);
}

static void looked(void *ctx, bool is_over)
{
    svi_watch *w = ctx;
    w->is_looking = false;
    if (w->mod != NULL && is_closed(w)) {
        w->seen.st_size = -1; /* is told when it is let out */
    } else if (w->mod != NULL && w->is_new && !is_over) {
        const svi_mod_visit visit = svi_mod_enter(w->mod, "file");
        w->changed(w->status, w->status == SV_OK ? (sv_str){w->text, w->bytes} : SV_STR_NONE,
                   w->mod->self);
        svi_mod_leave(&visit);
    }
    if (w->mod == NULL)
        watch_free(w);
    else
        text_free(w);
}

static void fired(void *ctx)
{
    svi_watch *w = ctx;
    svi_server *server = w->mod->group->server;
    w->timer = svi_timer_start(svi_server_timers(server), w->period_us, fired, w);
    if (w->is_looking || is_closed(w)) return; /* a slow disk; in quarantine */
    text_free(w);
    w->is_looking = true;
    svi_server_work(server, look, looked, w);
}

sv_status svi_api_follow_file(sv_mod *mod, sv_str path, size_t max_bytes, int64_t period_ms,
                              sv_file_fn changed, sv_str *text_out)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    *text_out = SV_STR_NONE;
    if (path.n == 0 || path.p[0] != '/' || path.n >= PATH_BYTES || memchr(path.p, 0, path.n) != NULL ||
        period_ms < 1 || period_ms > INT64_MAX / 1000 || max_bytes > INT32_MAX || mod->is_started)
        return SV_EINVAL;
    svi_watch *w = svi_alloc(mod->group->acct, sizeof *w);
    *w = (svi_watch){.acct = mod->group->acct,
                     .mod = mod,
                     .period_us = period_ms * 1000,
                     .max_bytes = max_bytes,
                     .changed = changed};
    memcpy(w->path, path.p, path.n);
    w->seen.st_size = -1;
    look(w);
    const sv_status status = w->status;
    if (status != SV_OK) {
        watch_free(w);
        return status;
    }
    *text_out = (sv_str){w->text, w->bytes}; /* stays till the first look */
    w->timer = svi_timer_start(svi_server_timers(mod->group->server), w->period_us, fired, w);
    w->next = mod->watches;
    mod->watches = w;
    return SV_OK;
}

void svi_watches_drop(sv_mod *mod)
{
    while (mod->watches != NULL) {
        svi_watch *w = mod->watches;
        mod->watches = w->next;
        svi_timer_cancel(&w->timer);
        w->mod = NULL;
        if (!w->is_looking) watch_free(w);
    }
}
