/* Shrinking: steps are left out, first halves and then less and less (ddmin), as long as what is left fails in the same way. A step
 * that is missing shifts the occasions for harm, so each up to the first one's is tried. */
#include "author_try.h"

#include <stdio.h>
#include <string.h>

enum { STEPS_MAX = 512, RUNS_MAX = 400, TRIES = 12 };

typedef struct shrink {
    svi_try *t;
    svi_try_pool *pool;
    const svi_try_run *run;
    svi_try_fate fate;
    sv_str steps[STEPS_MAX]; /* with what is indented below, and comments above */
    size_t count;
    uint64_t n; /* at which the shortest fails */
    unsigned runs;
} shrink;

/* A line that begins no step belongs to the one above; before the first one to nobody. */
static void split(shrink *s, sv_str text)
{
    sv_str line;
    while (svi_str_split(&text, '\n', &line)) {
        const bool is_step = line.n > 0 && line.p[0] != '#' && line.p[0] != ' ';
        if (is_step && s->count < STEPS_MAX)
            s->steps[s->count++] = line;
        else if (s->count > 0 && line.n > 0 && line.p[0] == ' ')
            s->steps[s->count - 1].n = (size_t)(line.p + line.n - s->steps[s->count - 1].p);
    }
}

static sv_str joined(const shrink *s, const sv_str *steps, size_t count)
{
    svi_buf buf;
    svi_buf_init(&buf, s->t->acct);
    for (size_t i = 0; i < count; i++) {
        svi_buf_put(&buf, steps[i]);
        svi_buf_putc(&buf, '\n');
    }
    const sv_str text = svi_arena_str(s->t->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return text;
}

/* Without harm and in time it must pass: twice, if what fails is what is behind harm. False: it does not. */
static bool is_sound(shrink *s, sv_str text, svi_try_flow *clean)
{
    svi_try_run run = *s->run;
    run.harm = SVI_HARM_NONE;
    run.is_timed = false;
    run.is_double = s->run->clean != NULL && s->run->clean->is_twice;
    run.text = text;
    s->runs++;
    const svi_try_outcome *o = svi_try_one(s->pool, &run);
    clean->is_twice = run.is_double;
    clean->once = o->once;
    clean->twice = o->twice;
    return o->fate == SVI_TRY_FINE;
}

static bool fails(shrink *s, sv_str text)
{
    svi_try_flow clean = {.name = s->run->name};
    const bool needs_sense = s->fate == SVI_TRY_AGAIN || s->fate == SVI_TRY_MEMORY || s->fate == SVI_TRY_STEP;
    if (needs_sense && !is_sound(s, text, &clean)) return false;
    const uint64_t step = s->n / TRIES + 1; /* of very many occasions some */
    for (uint64_t n = s->n; n > 0 || s->run->harm == SVI_HARM_NONE; n = n > step ? n - step : 0) {
        svi_try_run run = *s->run;
        run.text = text;
        run.n = n;
        if (s->fate != SVI_TRY_AGAIN && s->fate != SVI_TRY_MEMORY) run.clean = NULL;
        if (run.clean) run.clean = &clean;
        if (++s->runs > RUNS_MAX) return false;
        const svi_try_outcome *o = svi_try_one(s->pool, &run);
        if (o->fate == s->fate) {
            s->n = n;
            return true;
        }
        if (run.harm == SVI_HARM_NONE) return false;
    }
    return false;
}

/* Nothing can be left out of what fails by itself, too. */
static bool is_worthless(shrink *s)
{
    svi_try_flow clean;
    return s->fate == SVI_TRY_STEP && !is_sound(s, s->run->text, &clean);
}

/* Tries to do without steps [at, at + size); true if they are gone. */
static bool drop(shrink *s, size_t at, size_t size)
{
    sv_str rest[STEPS_MAX];
    const size_t behind = s->count - at - size;
    memcpy(rest, s->steps, at * sizeof *rest);
    memcpy(rest + at, s->steps + at + size, behind * sizeof *rest);
    if (at + behind == 0 || !fails(s, joined(s, rest, at + behind))) return false;
    s->count = at + behind;
    memcpy(s->steps, rest, s->count * sizeof *rest);
    return true;
}

/* What is sent and what comes of it go together, wherever they begin. */
static bool drop_pairs(shrink *s)
{
    bool any = false;
    for (size_t at = s->count; at-- > 0 && s->runs < RUNS_MAX;)
        if (at + 2 <= s->count) any |= drop(s, at, 2);
    return any;
}

static void shorten_by_parts(shrink *s)
{
    for (size_t size = (s->count + 1) / 2; size > 0; size = size > 1 ? (size + 1) / 2 : 0) {
        bool again = true;
        while (again && s->runs < RUNS_MAX) {
            again = false;
            for (size_t at = s->count; at > 0 && s->runs < RUNS_MAX;) {
                at = at > size ? at - size : 0;
                const size_t part = at + size <= s->count ? size : s->count - at;
                again |= part > 0 && drop(s, at, part);
            }
            again = again && size == 1; /* of single steps one may have needed another */
        }
    }
}

static void shorten(shrink *s)
{
    do shorten_by_parts(s);
    while (s->runs < RUNS_MAX && drop_pairs(s));
}

void svi_try_shrink(svi_try *t, svi_try_pool *pool, const svi_try_run *run, svi_try_fate fate)
{
    shrink *s = svi_alloc(t->acct, sizeof *s);
    *s = (shrink){.t = t, .pool = pool, .run = run, .fate = fate, .n = run->n};
    split(s, run->text);
    const size_t before = s->count;
    if (is_worthless(s)) {
        (void)printf("         it fails without that, too: --plain in place of it shows it\n");
        svi_free(s);
        return;
    }
    shorten(s);
    (void)printf("         shortest script, %zu of %zu steps", s->count, before);
    if (run->harm != SVI_HARM_NONE) (void)printf(", with %s at %llu", svi_harm_name(run->harm), (unsigned long long)s->n);
    (void)printf("%s:\n", s->runs >= RUNS_MAX ? " (more was not tried)" : "");
    sv_str text = joined(s, s->steps, s->count), line;
    while (svi_str_split(&text, '\n', &line))
        if (line.n > 0) (void)printf("             %.*s\n", (int)line.n, line.p);
    svi_free(s);
}
