/* The control socket: each connection sends one request a line and gets one answer a line, in order. The next request
 * waits until the answer before it is written, and nothing is read meanwhile: who reads no answers costs one. A
 * connection whose answer has "follow" gets lines of main_follow.h from then on; what it says is not listened to. */
#include "main/main_control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_backup.h"

#define MAGIC 0x4354524cu
#define LINE_MAX_BYTES 65536u
#define CLIENTS_MAX 32u

typedef struct client {
    svi_control *control; /* NULL once the control is closed */
    struct client *next, **link;
    uv_pipe_t pipe;
    svi_acct *acct;
    svi_buf in;
    svi_follows *follows;   /* while the control is there */
    svi_follower *follower; /* NULL: it asks and gets answers */
    bool is_following;      /* since its answer was written */
    bool is_sending;        /* lines of the follower */
    unsigned refs; /* the open handle, an answer under way, a write */
    bool is_busy;  /* a request is under way or its answer not yet written: the next one waits */
    bool is_closed;
} client;

struct svi_control {
    uint32_t magic;
    svi_acct *acct;
    svi_commands *commands;
    svi_shard *shard;
    svi_follows *follows;
    uv_pipe_t listener;
    client *clients;
    size_t count;
};

/* --- a client's life ---------------------------------------------------------------------------------- */

static void let_go(client *c)
{
    if (--c->refs > 0) return;
    svi_follower_free(&c->follower);
    svi_buf_free(&c->in);
    svi_free(c);
}

static void on_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

static void leave(client *c)
{
    if (!c->control) return;
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    c->control->count--;
    c->control = NULL;
    c->follows = NULL;
}

/* Who watches stanzas is told in the log: at its beginning and its end. */
static void log_watch(const client *c, const char *event)
{
    bool with_xml;
    char whom[SVI_LOG_BYTES / 4];
    struct ucred who = {.uid = (uid_t)-1};
    socklen_t n = sizeof who;
    int fd = -1;
    if (!svi_follower_watches(c->follower, whom, &with_xml)) return;
    if (uv_fileno((const uv_handle_t *)&c->pipe, &fd) == 0)
        (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
    SV_LOG(SV_INFO, event, LF_INT("uid", who.uid), LF_TXT("whom", whom),
           LF_TXT("contents", with_xml ? "yes" : "no"));
}

static void stop_following(client *c)
{
    if (c->is_following) log_watch(c, "watch-end");
    svi_follower_leave(c->follower);
}

static void end(client *c)
{
    leave(c);
    if (c->is_closed) return;
    c->is_closed = true;
    if (c->follower) stop_following(c);
    uv_close((uv_handle_t *)&c->pipe, on_closed);
}

/* --- answers ------------------------------------------------------------------------------------------ */

typedef struct answer {
    uv_write_t request;
    client *client;
    char *text; /* made by jansson */
} answer;

static void go_on(client *c);

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *room)
{
    client *c = handle->data;
    const size_t n = wanted < 4096 ? wanted : 4096;
    *room = uv_buf_init(svi_buf_space(&c->in, n), (unsigned)n);
}

/* --- followers ---------------------------------------------------------------------------------------- */

typedef struct lines {
    uv_write_t request;
    client *client;
} lines;

static void on_lines_written(uv_write_t *request, int failed);

/* All that waits, one write at a time: who does not read has no more than one of them, and one that fills. */
static void send_lines(void *ctx)
{
    client *c = ctx;
    if (c->is_sending || c->is_closed) return;
    const sv_str waiting = svi_follower_lines(c->follower);
    if (waiting.n == 0) return;
    lines *l = svi_alloc(c->acct, sizeof *l);
    l->client = c;
    const uv_buf_t buf = uv_buf_init((char *)(uintptr_t)waiting.p, (unsigned)waiting.n);
    c->refs++;
    c->is_sending = true;
    if (uv_write(&l->request, (uv_stream_t *)&c->pipe, &buf, 1, on_lines_written) == 0) return;
    on_lines_written(&l->request, -1);
}

static void on_lines_written(uv_write_t *request, int failed)
{
    lines *l = (lines *)request;
    client *c = l->client;
    svi_free(l);
    c->is_sending = false;
    if (failed)
        end(c);
    else
        send_lines(c);
    let_go(c);
}

/* Only its end is of interest. */
static void on_follower_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *room)
{
    (void)room;
    if (n < 0) end(stream->data);
}

/* The answer that it follows has been written. */
static void begin_following(client *c)
{
    c->is_following = true;
    log_watch(c, "watch-begin");
    svi_follower_begin(c->follower, send_lines, c);
    svi_buf_clear(&c->in);
    if (uv_read_start((uv_stream_t *)&c->pipe, on_room, on_follower_read) != 0) end(c);
}

/* The answer says which follower it is. Such answers come at once, so that their client is there. */
static void take_follower(client *c, const json_t *said)
{
    const json_t *id = json_object_get(said, "follow");
    if (id && c->follows) c->follower = svi_follows_take(c->follows, json_integer_value(id));
}

/* Says that nothing more comes, if it can be said at once. */
static void say_goodbye(client *c)
{
    static const char goodbye[] = "{\"end\":\"the server ends\"}\n";
    if (!c->follower || c->is_sending) return;
    const sv_str last = svi_follower_lines(c->follower);
    const uv_buf_t bufs[] = {uv_buf_init((char *)(uintptr_t)last.p, (unsigned)last.n),
                             uv_buf_init((char *)(uintptr_t)goodbye, sizeof goodbye - 1)};
    (void)uv_try_write((uv_stream_t *)&c->pipe, bufs, 2);
}

/* --- answers, written --------------------------------------------------------------------------------- */

static void on_written(uv_write_t *request, int failed)
{
    answer *a = (answer *)request;
    client *c = a->client;
    free(a->text);
    svi_free(a);
    c->is_busy = c->follower != NULL; /* a follower is never pushed out by newcomers */
    if (failed)
        end(c);
    else if (c->follower && !c->is_closed)
        begin_following(c);
    else
        go_on(c);
    let_go(c);
}

static void send_answer(client *c, json_t *take)
{
    answer *a = svi_alloc(c->acct, sizeof *a);
    a->client = c;
    a->text = json_dumps(take, JSON_COMPACT);
    json_decref(take);
    SV_ASSERT(a->text != NULL);
    const size_t n = strlen(a->text); /* the NUL behind it becomes the line's end */
    a->text[n] = '\n';
    const uv_buf_t line = uv_buf_init(a->text, (unsigned)n + 1);
    c->refs++;
    c->is_busy = true;
    if (uv_write(&a->request, (uv_stream_t *)&c->pipe, &line, 1, on_written) == 0) return;
    on_written(&a->request, -1);
}

static void on_answer(void *ctx, json_t *take_answer)
{
    client *c = ctx;
    take_follower(c, take_answer);
    if (c->is_closed)
        json_decref(take_answer);
    else
        send_answer(c, take_answer);
    let_go(c);
}

/* --- requests ----------------------------------------------------------------------------------------- */

/* The connection's own end goes to whoever streams; ours is closed. */
static void hand_over(client *c, const json_t *request)
{
    uv_os_fd_t fd = -1;
    const int failed = uv_fileno((uv_handle_t *)&c->pipe, &fd);
    const int own = failed ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    svi_shard *shard = c->control->shard;
    end(c);
    if (own >= 0) svi_backup_serve(shard, request, own);
}

static bool is_stream(const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "command"));
    return name && strcmp(name, SVI_BACKUP_COMMAND) == 0;
}

static void take_line(client *c, sv_str line)
{
    json_error_t error;
    json_t *request = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &error);
    json_t *now = NULL;
    if (is_stream(request)) {
        hand_over(c, request);
        json_decref(request);
        return;
    }
    if (!json_is_object(request)) {
        now = svi_answer_error("a request is a JSON object on one line: %s",
                               request ? "this is something else" : error.text);
    } else {
        c->refs++; /* on_answer's */
        c->is_busy = true;
        now = svi_commands_run(c->control->commands, request, on_answer, c);
        if (now) let_go(c);
    }
    json_decref(request);
    if (now) take_follower(c, now);
    if (now) send_answer(c, now);
}

/* True if it took one; a copy, since an answer that comes at once may read on. */
static bool take_next(client *c)
{
    const sv_str all = svi_buf_str(&c->in);
    const size_t n = svi_str_find(all, '\n');
    if (n == all.n) return false;
    svi_buf line;
    svi_buf_init(&line, c->acct);
    svi_buf_put(&line, svi_str_sub(all, 0, n));
    svi_buf_consume(&c->in, n + 1);
    (void)uv_read_stop((uv_stream_t *)&c->pipe);
    take_line(c, svi_buf_str(&line));
    svi_buf_free(&line);
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *room)
{
    (void)room;
    client *c = stream->data;
    if (n < 0) {
        end(c);
        return;
    }
    c->in.len += (size_t)n;
    if (c->in.len > LINE_MAX_BYTES)
        end(c);
    else
        (void)take_next(c);
}

/* The next request if it is here already, else it is read. */
static void go_on(client *c)
{
    if (c->is_closed || c->is_busy || take_next(c)) return;
    if (uv_read_start((uv_stream_t *)&c->pipe, on_room, on_read) != 0) end(c);
}

/* Room for one more: the one that came first of those that ask nothing leaves, so that clients that connect and say
 * nothing keep no operator out. */
static void make_room(svi_control *control)
{
    client *first = NULL;
    for (client *c = control->clients; c; c = c->next)
        if (!c->is_busy) first = c;
    if (control->count < CLIENTS_MAX || !first) return;
    SV_LOG(SV_WARN, "control-failed", LF_TXT("reason", "too many connections: one was closed"));
    end(first);
}

static void on_connection(uv_stream_t *listener, int failed)
{
    svi_control *control = listener->data;
    if (failed) {
        SV_LOG(SV_WARN, "control-failed", LF_TXT("reason", uv_strerror(failed)));
        return;
    }
    make_room(control);
    client *c = svi_alloc(control->acct, sizeof *c);
    c->acct = control->acct;
    c->follows = control->follows;
    c->refs = 1;
    svi_buf_init(&c->in, control->acct);
    (void)uv_pipe_init(listener->loop, &c->pipe, 0);
    c->pipe.data = c;
    c->control = control;
    c->next = control->clients;
    c->link = &control->clients;
    if (c->next) c->next->link = &c->next;
    control->clients = c;
    control->count++;
    if (uv_accept(listener, (uv_stream_t *)&c->pipe) != 0 || control->count > CLIENTS_MAX ||
        uv_read_start((uv_stream_t *)&c->pipe, on_room, on_read) != 0)
        end(c);
}

/* --- open and close ----------------------------------------------------------------------------------- */

sv_status svi_control_open(svi_shard *shard, svi_commands *commands, svi_follows *follows, int fd,
                           svi_control **control_out, sv_err *err)
{
    svi_control *control = svi_alloc(svi_shard_acct(shard), sizeof *control);
    *control = (svi_control){.magic = MAGIC,
                             .acct = svi_shard_acct(shard),
                             .commands = commands,
                             .shard = shard,
                             .follows = follows};
    (void)uv_pipe_init(svi_shard_loop(shard), &control->listener, 0);
    control->listener.data = control;
    int failed = uv_pipe_open(&control->listener, fd);
    if (!failed) failed = uv_listen((uv_stream_t *)&control->listener, 64, on_connection);
    if (failed) {
        svi_control_close(&control);
        return svi_err(err, SV_EIO, "control socket: %s", uv_strerror(failed));
    }
    *control_out = control;
    return SV_OK;
}

static void on_listener_closed(uv_handle_t *handle)
{
    svi_control *control = handle->data;
    control->magic = 0;
    svi_free(control);
}

void svi_control_close(svi_control **control)
{
    svi_control *c = *control;
    *control = NULL;
    if (!c) return;
    SV_CHECK(c, MAGIC);
    while (c->clients) {
        say_goodbye(c->clients);
        end(c->clients);
    }
    uv_close((uv_handle_t *)&c->listener, on_listener_closed);
}
