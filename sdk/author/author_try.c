/* `stave test`: reads what is asked for, and says what came of it. */
#include "author_try.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base_log.h"
#include "base/base_plat.h"

static double now_s(void)
{
    return (double)svi_plat_kernel()->mono_us(NULL) / 1e6;
}

static bool read_int(const svi_cli *cli, const char *name, int64_t min, int64_t max, int64_t preset, int64_t *to)
{
    const char *text = svi_cli_arg(cli, name);
    *to = preset;
    if (!text || svi_str_int(sv_str_of(text), min, max, to) == SV_OK) return true;
    (void)svi_author_fail(SVI_EXIT_USAGE, "--%s is a number from %lld to %lld, not '%s'", name, (long long)min, (long long)max, text);
    return false;
}

static bool read_harm(svi_try *t, const char *text)
{
    for (int kind = SVI_HARM_NONE + 1; text && kind < SVI_HARM_KINDS; kind++)
        if (strcmp(text, svi_harm_name((svi_harm_kind)kind)) == 0) t->harm = (svi_harm_kind)kind;
    if (!text || t->harm != SVI_HARM_NONE) return true;
    const char *kinds = svi_harm_name((svi_harm_kind)1);
    for (int kind = SVI_HARM_NONE + 2; kind < SVI_HARM_KINDS; kind++)
        kinds = svi_arena_printf(t->arena, "%s, %s", kinds, svi_harm_name((svi_harm_kind)kind)).p;
    (void)svi_author_fail(SVI_EXIT_USAGE, "there is no harm '%s'; there is %s", text, kinds);
    return false;
}

/* "roster,ping" as it stands in a list. */
static const char *quoted(const svi_try *t, const char *list)
{
    sv_str rest = sv_str_of(list), name;
    const char *out = "";
    while (svi_str_split(&rest, ',', &name))
        if (name.n > 0) out = svi_arena_printf(t->arena, "%s%s\"%.*s\"", out, out[0] ? ", " : "", (int)name.n, name.p).p;
    return out;
}

static bool read_options(svi_try *t, const svi_cli *cli)
{
    t->only = svi_cli_arg(cli, "only");
    t->built = svi_cli_arg(cli, "built");
    t->enable = svi_cli_arg(cli, "enable");
    t->is_plain = svi_cli_arg(cli, "plain") != NULL;
    t->is_timing = svi_cli_arg(cli, "timing") != NULL;
    t->is_every = svi_cli_arg(cli, "every") != NULL;
    t->is_strict = svi_cli_arg(cli, "strict") != NULL;
    if (t->enable) t->modules = quoted(t, t->enable);
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    if (!read_harm(t, svi_cli_arg(cli, "harm")) || !read_int(cli, "at", 1, INT64_MAX, 0, &t->at) ||
        !read_int(cli, "seed", 0, INT64_MAX / 2, 1, &t->seed) || !read_int(cli, "seeds", 1, 100000, 3, &t->seeds) ||
        !read_int(cli, "jobs", 1, 1024, processors > 0 ? processors : 1, &t->jobs))
        return false;
    if (t->at > 0 && t->harm == SVI_HARM_NONE)
        (void)svi_author_fail(SVI_EXIT_USAGE, "--at goes with --harm: which occasion, of which kind?");
    return t->at == 0 || t->harm != SVI_HARM_NONE;
}

/* The same seed is the same order in all that hashes. */
static void seed_hashes(const svi_try *t)
{
    uint8_t key[16] = {0};
    memcpy(key, &t->seed, sizeof t->seed);
    svi_hash_seed(key);
}

/* Of a plain run, the script in which it is most. */
static void tell_memory(const svi_try *t)
{
    (void)printf("memory   %lld bytes in %lld blocks at the end", (long long)t->held.bytes, (long long)t->held.count);
    if (t->is_lua) (void)printf("; the script's state %lld", (long long)t->held.script_bytes);
    (void)printf("\n");
}

static int tell(const svi_try *t, double from)
{
    const double took = now_s() - from, life = (double)t->virtual_us / 1e6;
    (void)printf("time     %.2f s for %llu runs; %.0f s on the stage, %.0f times life\n", took, (unsigned long long)t->runs, life,
                 took > 0 ? life / took : 0);
    if (t->failed)
        (void)printf("FAILED: %u\n", t->failed);
    else
        (void)printf("passed\n");
    return t->failed ? SVI_EXIT_FAILED : SVI_EXIT_OK;
}

int svi_author_test(svi_author *a)
{
    svi_try *t = svi_arena_get(a->arena, sizeof *t);
    *t = (svi_try){.author = a, .acct = &a->acct, .arena = a->arena};
    const double from = now_s();
    if (!read_options(t, &a->cli)) return SVI_EXIT_USAGE;
    const char *folder = svi_cli_arg(&a->cli, "folder");
    seed_hashes(t);
    svi_log_setup(SV_ERROR, SVI_LOG_TEXT, NULL, NULL, svi_plat_kernel()->wall_us, NULL);
    int status = svi_try_find(t, folder ? folder : ".");
    if (status == SVI_EXIT_OK) {
        t->cover = svi_alloc(t->acct, sizeof *t->cover);
        svi_cover_init(t->cover, t->name);
        if (svi_try_build(t)) svi_try_all(t);
        const bool is_all = t->runs > 0 && !t->only && !t->is_timing && t->harm == SVI_HARM_NONE;
        if (is_all) svi_try_tell_cover(t);
        if (is_all) tell_memory(t);
        status = tell(t, from);
        svi_free(t->cover);
    }
    svi_try_clear(t);
    return status;
}
