/* The phases: plain, tests, timing, harm. A series is runs of one script of which the next depends on the last; several go on at
 * once, and what came of them is told in their order. */
#include "author_try.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OCCASION_MAX = 1000000, SHRUNK_MAX = 3 };

typedef enum phase { PLAIN, TEST, TWICE, TIMING, HARM, KILLED } phase;

typedef struct series {
    phase phase;
    svi_try_flow *flow; /* NULL: of a test in Lua */
    const char *test;
    svi_harm_kind harm;
    uint64_t n, seed;  /* of the run that is next, or under way */
    unsigned harmed;   /* runs that met harm */
    uint64_t last;     /* the occasion of the last of them */
    bool is_busy, is_over;
    svi_try_fate fate; /* of the last run */
    char *text;        /* why it failed; svi_free */
} series;

static svi_try_run run_of(const svi_try *t, const series *s)
{
    svi_try_run run = {.t = t, .seed = s->seed, .harm = s->harm, .n = s->n, .lua_test = s->test};
    if (s->flow) {
        run.text = s->flow->text;
        run.name = s->flow->name;
    }
    run.is_timed = s->phase == TIMING;
    run.is_double = s->phase == TWICE;
    run.is_traced = t->at > 0 && s->phase == HARM;
    if (s->phase == HARM) run.clean = s->flow;
    return run;
}

/* --- what a run says -------------------------------------------------------------------------------------- */

static void more(int64_t *most, int64_t value)
{
    if (value > *most) *most = value;
}

static void take_plain(svi_try *t, const svi_try_outcome *o)
{
    svi_cover_add(t->cover, &o->cover);
    more(&t->held.bytes, o->held.bytes);
    more(&t->held.count, o->held.count);
    more(&t->held.script_bytes, o->held.script_bytes);
}

/* What fails the first time was told as plain, unless nothing was run plainly. */
static void take_twice(series *s, const svi_try_outcome *o)
{
    s->flow->is_out = !o->passed_once;
    s->flow->is_twice = o->fate == SVI_TRY_FINE && !s->flow->why_once;
    s->flow->is_down = o->is_down;
    s->flow->once = o->once;
    s->flow->twice = o->twice;
    s->flow->grown = o->fate == SVI_TRY_FINE ? o->grown : 0;
}

/* Each of the first ones, then some. */
static uint64_t next_occasion(const svi_try *t, uint64_t n)
{
    return t->is_every || n < SVI_TRY_KEPT ? n + 1 : n + n / 8;
}

static void take_harm(const svi_try *t, series *s, const svi_try_outcome *o)
{
    if (o->is_harmed) {
        s->harmed++;
        s->last = s->n;
    }
    s->is_over = o->fate != SVI_TRY_FINE || !o->is_harmed || t->at > 0;
    if (s->is_over) return;
    s->n = next_occasion(t, s->n);
    s->is_over = s->n > OCCASION_MAX;
}

static void take(svi_try *t, series *s, const svi_try_outcome *o)
{
    s->is_busy = false;
    s->fate = o->fate;
    s->is_over = true;
    if (o->fate != SVI_TRY_FINE) s->text = (char *)(uintptr_t)svi_str_dup(t->acct, sv_str_of(o->text)).p;
    if (s->phase == PLAIN) s->flow->is_out = o->fate != SVI_TRY_FINE;
    if (s->phase == PLAIN || s->phase == TEST) take_plain(t, o);
    if (s->phase == TWICE) take_twice(s, o);
    if (s->phase == HARM) take_harm(t, s, o);
    if (s->phase != TIMING || o->fate != SVI_TRY_FINE) return;
    s->seed++;
    s->is_over = s->seed >= (uint64_t)(t->seed + t->seeds);
}

/* --- what is told ----------------------------------------------------------------------------------------- */

static void tell_place(const series *s)
{
    (void)printf("%s", s->flow ? s->flow->name : s->test);
    if (s->phase == TIMING) (void)printf(", timing");
    if (s->phase == KILLED) (void)printf(", killed where it restarts");
    if (s->phase == HARM) (void)printf(", %s", svi_harm_name(s->harm));
}

/* Under the first line, as deep as it. */
static void tell_text(const char *text)
{
    sv_str rest = svi_str_trim(sv_str_of(text)), line;
    for (bool is_first = true; svi_str_split(&rest, '\n', &line); is_first = false)
        (void)printf("%s%.*s\n", is_first ? "" : "         ", (int)line.n, line.n ? line.p : "");
}

static void tell_again(const svi_try *t, const series *s)
{
    (void)printf("         again: stave test %s --only %s%s%s", t->shown, s->flow ? "" : "'", s->flow ? s->flow->name : s->test, s->flow ? "" : "'");
    if (s->phase == HARM) (void)printf(" --harm %s --at %llu", svi_harm_name(s->harm), (unsigned long long)s->n);
    if (s->phase == TIMING) (void)printf(" --timing --seeds 1");
    if (s->phase == KILLED) (void)printf(" --harm kill");
    if (s->phase == PLAIN || s->phase == TEST || s->phase == TWICE) (void)printf(" --plain");
    if (t->enable) (void)printf(" --enable %s", t->enable);
    if (t->built) (void)printf(" --built %s", t->built);
    (void)printf(" --seed %llu\n", (unsigned long long)s->seed);
}

static void tell_failed(svi_try *t, svi_try_pool *pool, const series *s)
{
    t->failed++;
    (void)printf("FAILED   ");
    tell_place(s);
    if (s->phase == HARM) (void)printf(" at %llu", (unsigned long long)s->n);
    if (s->phase == TIMING) (void)printf(", seed %llu", (unsigned long long)s->seed);
    (void)printf(": ");
    tell_text(s->text);
    tell_again(t, s);
    if (s->phase == PLAIN && !t->is_plain) (void)printf("         until it passes it is not run with other timing or harm\n");
    if ((s->phase != HARM && s->phase != TIMING) || t->at > 0 || t->shrunk == SHRUNK_MAX) return;
    t->shrunk++;
    const svi_try_run run = run_of(t, s);
    svi_try_shrink(t, pool, &run, s->fate);
}

static void tell_fine(const svi_try *t, const series *s)
{
    (void)printf("ok       ");
    tell_place(s);
    if (s->phase == TIMING) (void)printf(": %lld seed%s", (long long)t->seeds, t->seeds == 1 ? "" : "s");
    (void)printf("\n");
}

/* What went well of one script, all kinds in one line: how often harm was done. */
static void tell_harm(const svi_try *t, const series *all, size_t count)
{
    const char *between = ": ";
    bool is_fine = false;
    for (size_t i = 0; i < count; i++) is_fine |= all[i].fate == SVI_TRY_FINE;
    if (!is_fine) return;
    (void)printf("ok       %s, harm", all[0].flow->name);
    for (size_t i = 0; i < count; i++) {
        const series *s = &all[i];
        if (s->harmed == 0 || s->fate != SVI_TRY_FINE) continue;
        (void)printf("%s%s %u", between, svi_harm_name(s->harm), s->harmed);
        if (s->last > s->harmed && t->at == 0) (void)printf(" of %llu%s", (unsigned long long)s->last, s->n > OCCASION_MAX ? " and more" : "");
        between = ", ";
    }
    (void)printf("%s\n", between[0] == ':' ? ": no occasion" : "");
}

static void tell_series(svi_try *t, svi_try_pool *pool, const series *s)
{
    if (s->phase == TWICE && s->flow->is_out && s->fate != SVI_TRY_SKIPPED) {
        tell_failed(t, pool, s);
    } else if (s->phase == TWICE) {
        if (s->flow->grown > 0)
            (void)printf("note     each time that %s is run it holds %lld bytes more: what bounds that?\n", s->flow->name, (long long)s->flow->grown);
        if (s->flow->why_once) (void)printf("note     %s is not run again behind harm: %s\n", s->flow->name, s->flow->why_once);
        if (s->fate == SVI_TRY_FINE || s->flow->why_once) return;
        (void)printf("note     %s does not pass twice in one world, so it is not run again behind harm: %.*s\n", s->flow->name,
                     (int)strcspn(s->text, "\n"), s->text);
    } else if (s->fate == SVI_TRY_SKIPPED) {
        (void)printf("skipped  ");
        tell_text(s->text);
    } else if (s->fate != SVI_TRY_FINE) {
        tell_failed(t, pool, s);
    } else {
        tell_fine(t, s);
    }
}

/* --- going on --------------------------------------------------------------------------------------------- */

static series *next_series(series *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!all[i].is_busy && !all[i].is_over) return &all[i];
    return NULL;
}

/* Those of one script stand one behind the other. */
static void tell_all(svi_try *t, svi_try_pool *pool, const series *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t same = i;
        if (all[i].phase != HARM || all[i].fate != SVI_TRY_FINE) tell_series(t, pool, &all[i]);
        while (same < count && all[same].flow == all[i].flow) same++;
        if (all[i].phase == HARM && (i == 0 || all[i - 1].flow != all[i].flow)) tell_harm(t, &all[i], same - i);
    }
}

/* Runs them all, tells what came of them and frees them. */
static void drive(svi_try *t, svi_try_pool *pool, series *take_all, size_t count)
{
    const svi_try_outcome *outcome;
    series *s;
    void *ctx;
    do {
        while (svi_try_pool_has_room(pool) && (s = next_series(take_all, count)) != NULL) {
            const svi_try_run run = run_of(t, s);
            s->is_busy = true;
            svi_try_begin(pool, &run, s);
        }
        outcome = svi_try_wait(pool, &ctx);
        if (outcome) take(t, ctx, outcome);
    } while (outcome);
    tell_all(t, pool, take_all, count);
    for (size_t i = 0; i < count; i++) svi_free(take_all[i].text);
    svi_free(take_all);
}

static void drive_flows(svi_try *t, svi_try_pool *pool, phase which)
{
    series *all = svi_alloc(t->acct, t->flow_count * sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < t->flow_count; i++) {
        if (t->flows[i].is_out) continue;
        if (which == TIMING && t->flows[i].why_untimed)
            (void)printf("note     %s is not run with other timing: %s\n", t->flows[i].name, t->flows[i].why_untimed);
        else
            all[count++] = (series){.phase = which, .flow = &t->flows[i], .seed = (uint64_t)t->seed};
    }
    drive(t, pool, all, count);
}

/* What was confirmed is there behind a kill as it is behind a restart. */
static void drive_killed(svi_try *t, svi_try_pool *pool)
{
    series *all = svi_alloc(t->acct, t->flow_count * sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < t->flow_count; i++) {
        if (t->flows[i].is_out) continue;
        svi_try_flow *killed = svi_arena_get(t->arena, sizeof *killed);
        *killed = t->flows[i];
        if (svi_try_kill_for_restart(t, killed)) all[count++] = (series){.phase = KILLED, .flow = killed, .seed = (uint64_t)t->seed};
    }
    drive(t, pool, all, count);
}

static void drive_harm(svi_try *t, svi_try_pool *pool)
{
    series *all = svi_alloc(t->acct, t->flow_count * SVI_HARM_KINDS * sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < t->flow_count; i++)
        for (int kind = SVI_HARM_NONE + 1; kind < SVI_HARM_KINDS; kind++)
            if (!t->flows[i].is_out && (t->harm == SVI_HARM_NONE || (int)t->harm == kind))
                all[count++] = (series){.phase = HARM, .flow = &t->flows[i], .harm = (svi_harm_kind)kind, .seed = (uint64_t)t->seed,
                                        .n = t->at > 0 ? (uint64_t)t->at : 1};
    drive(t, pool, all, count);
}

/* --- tests ------------------------------------------------------------------------------------------------ */

/* By its file's name. */
static bool is_meant(const svi_try *t, const char *end)
{
    return !t->only || strstr(svi_arena_printf(t->arena, "%s%s", t->name, end).p, t->only);
}

static void drive_lua(svi_try *t, svi_try_pool *pool)
{
    const svi_try_run list = {.t = t, .lua_test = ""};
    const svi_try_outcome *o = svi_try_one(pool, &list);
    if (o->fate != SVI_TRY_FINE) {
        t->failed++;
        (void)printf("FAILED   ");
        tell_text(o->text);
        return;
    }
    series *all = svi_alloc(t->acct, (o->name_count + 1) * sizeof *all);
    size_t count = 0;
    for (size_t i = 0; i < o->name_count; i++)
        if (is_meant(t, "_test.lua") || strstr(o->names[i], t->only))
            all[count++] = (series){.phase = TEST, .test = svi_arena_str(t->arena, sv_str_of(o->names[i])).p, .seed = (uint64_t)t->seed};
    const bool has_none = o->name_count == 0;
    drive(t, pool, all, count);
    if (!has_none) return;
    t->failed++;
    (void)printf("FAILED   %s_test.lua has no test\n", t->name);
}

/* The program says itself what its tests are. */
static void run_program(svi_try *t)
{
    char cover[] = "/tmp/stave-cover-XXXXXX", *argv[2] = {(char *)(uintptr_t)t->test, NULL};
    svi_buf out;
    svi_buf_init(&out, t->acct);
    const int fd = mkstemp(cover);
    if (fd >= 0) (void)close(fd);
    (void)setenv("STAVE_COVERAGE", cover, 1);
    const int status = svi_try_spawn(t->dir, argv, &out);
    (void)unsetenv("STAVE_COVERAGE");
    (void)svi_cover_read(t->cover, cover);
    (void)unlink(cover);
    t->runs++;
    t->failed += status != 0;
    (void)printf("%s %s_test.c", status == 0 ? "ok      " : "FAILED  ", t->name);
    if (status == 0)
        (void)printf("\n");
    else
        (void)printf(": exit status %d\n%.*s", status, (int)out.len, out.data ? out.data : "");
    svi_buf_free(&out);
}

static void run_tests(svi_try *t, svi_try_pool *pool)
{
    if (t->test && t->is_lua) drive_lua(t, pool);
    if (t->test && !t->is_lua && is_meant(t, "_test.c")) run_program(t);
}

void svi_try_all(svi_try *t)
{
    svi_try_pool *pool = svi_try_pool_new(t, (size_t)t->jobs);
    const bool is_one = t->is_timing || t->harm != SVI_HARM_NONE;
    if (!is_one) {
        drive_flows(t, pool, PLAIN);
        run_tests(t, pool);
    }
    if (!t->is_plain && t->harm == SVI_HARM_NONE) drive_flows(t, pool, TIMING);
    if (!t->is_plain && !t->is_timing) {
        if (t->at == 0 && (t->harm == SVI_HARM_NONE || t->harm == SVI_HARM_KILL)) drive_killed(t, pool);
        drive_flows(t, pool, TWICE);
        drive_harm(t, pool);
    }
    svi_try_pool_free(&pool);
}
