/* Children: each runs one script or one test. What they say on standard error is kept for the case that they crash. */
#include "author_try.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"

enum { SECONDS_MAX = 60, SHOWN_BYTES = 2400 };

typedef struct slot {
    pid_t pid; /* 0: free */
    int errors; /* a file in memory */
    void *ctx;
    svi_try_outcome *outcome; /* shared */
} slot;

struct svi_try_pool {
    svi_try *t;
    size_t count, busy;
    svi_try_outcome *last; /* of the child that ended last */
    slot *slots;
};

static svi_try_outcome *shared_outcome(void)
{
    void *mem = mmap(NULL, sizeof(svi_try_outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    SV_ASSERT(mem != MAP_FAILED);
    return mem;
}

svi_try_pool *svi_try_pool_new(svi_try *t, size_t jobs)
{
    svi_try_pool *pool = svi_alloc(t->acct, sizeof *pool);
    *pool = (svi_try_pool){.t = t, .count = jobs, .last = svi_alloc(t->acct, sizeof *pool->last)};
    pool->slots = svi_alloc(t->acct, jobs * sizeof *pool->slots);
    for (size_t i = 0; i < jobs; i++) {
        pool->slots[i].outcome = shared_outcome();
        pool->slots[i].errors = memfd_create("errors", MFD_CLOEXEC);
        SV_ASSERT(pool->slots[i].errors >= 0);
    }
    return pool;
}

void svi_try_pool_free(svi_try_pool **pool)
{
    svi_try_pool *p = *pool;
    *pool = NULL;
    SV_ASSERT(p->busy == 0);
    for (size_t i = 0; i < p->count; i++) {
        (void)munmap(p->slots[i].outcome, sizeof(svi_try_outcome));
        (void)close(p->slots[i].errors);
    }
    svi_free(p->slots);
    svi_free(p->last);
    svi_free(p);
}

bool svi_try_pool_has_room(const svi_try_pool *pool)
{
    return pool->busy < pool->count;
}

static void work(const svi_try_run *run, slot *s)
{
    if (!run->is_traced) (void)dup2(s->errors, STDERR_FILENO);
    (void)alarm(SECONDS_MAX);
    if (run->lua_test)
        svi_try_lua(run, s->outcome);
    else
        svi_try_play(run, s->outcome);
    s->outcome->is_whole = true;
    _exit(0);
}

void svi_try_begin(svi_try_pool *pool, const svi_try_run *run, void *ctx)
{
    slot *s = pool->slots;
    while (s->pid) s++; /* there is room */
    memset(s->outcome, 0, offsetof(svi_try_outcome, names));
    svi_cover_init(&s->outcome->cover, pool->t->name);
    s->outcome->name_count = 0;
    if (ftruncate(s->errors, 0) != 0 || lseek(s->errors, 0, SEEK_SET) != 0) SV_ASSERT(errno == 0);
    s->ctx = ctx;
    (void)fflush(stdout);
    s->pid = fork();
    SV_ASSERT(s->pid >= 0);
    if (s->pid == 0) work(run, s);
    pool->busy++;
    pool->t->runs++;
}

/* How a child ended that did not come to its end, and what it said last. */
static void tell_end(const slot *s, int status, svi_try_outcome *o)
{
    char said[SHOWN_BYTES + 1];
    const ssize_t n = pread(s->errors, said, SHOWN_BYTES, 0);
    said[n > 0 ? n : 0] = '\0';
    const bool is_endless = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    o->fate = is_endless ? SVI_TRY_ENDLESS : SVI_TRY_CRASH;
    if (is_endless)
        (void)snprintf(o->text, sizeof o->text, "it did not come to an end within %d s\n%s", SECONDS_MAX, said);
    else if (WIFSIGNALED(status))
        (void)snprintf(o->text, sizeof o->text, "crash: %s\n%s", strsignal(WTERMSIG(status)), said);
    else
        (void)snprintf(o->text, sizeof o->text, "crash: exit status %d\n%s", WEXITSTATUS(status), said);
}

const svi_try_outcome *svi_try_wait(svi_try_pool *pool, void **ctx_out)
{
    int status = 0;
    if (pool->busy == 0) return NULL;
    pid_t pid;
    do pid = waitpid(-1, &status, 0);
    while (pid < 0 && errno == EINTR);
    SV_ASSERT(pid > 0);
    slot *s = pool->slots;
    while (s->pid != pid) s++;
    *pool->last = *s->outcome;
    if (!s->outcome->is_whole) tell_end(s, status, pool->last);
    s->pid = 0;
    pool->busy--;
    pool->t->virtual_us += pool->last->virtual_us;
    *ctx_out = s->ctx;
    return pool->last;
}

const svi_try_outcome *svi_try_one(svi_try_pool *pool, const svi_try_run *run)
{
    void *ctx;
    SV_ASSERT(pool->busy == 0);
    svi_try_begin(pool, run, NULL);
    return svi_try_wait(pool, &ctx);
}

int svi_try_spawn(const char *dir, char *const *argv, svi_buf *out)
{
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    (void)fflush(stdout);
    const pid_t pid = fork();
    if (pid == 0) {
        if (chdir(dir) != 0 || dup2(ends[1], STDOUT_FILENO) < 0 || dup2(ends[1], STDERR_FILENO) < 0) _exit(127);
        (void)execvp(argv[0], argv);
        (void)dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    (void)close(ends[1]);
    ssize_t n;
    do {
        n = read(ends[0], svi_buf_space(out, 4096), 4096);
        if (n > 0) out->len += (size_t)n;
    } while (n > 0 || (n < 0 && errno == EINTR));
    (void)close(ends[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
