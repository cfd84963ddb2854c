/* flow: runs scripts on the stage or against a live server. Exit status 0: all passed, 1: one failed, 77: all were skipped. */
#include "flow_live.h"

#include "stage/stage.h"
#include "base/base_log.h"
#include "base/base_plat.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static svi_acct memory = {.name = "flow"}; /* lint: allow global (the program's one account) */

static int usage(void)
{
    (void)fprintf(stderr, "usage: flow [--modules DIR] [--enabled MODULES] [--live HOST:PORT [--register COMMAND] "
                          "[--suffix TEXT] [--patience MS]] [--trace] [--verbose] [--pace] SCRIPT...\n");
    return 2;
}

static sv_str slurp(svi_buf *buf, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file) return SV_STR_NONE;
    size_t n;
    do {
        n = fread(svi_buf_space(buf, 4096), 1, 4096, file);
        buf->len += n;
    } while (n > 0);
    (void)fclose(file);
    return svi_buf_str(buf);
}

/* modules/ beside the folder of the build that this program lies in: build/KIND/tests/flow/flow */
static const char *default_modules(void)
{
    static char path[4200]; /* lint: allow global (kept for the program's life) */
    char self[4096];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return "modules";
    self[n] = 0;
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(self, '/');
        if (slash) *slash = 0;
    }
    (void)snprintf(path, sizeof path, "%s/modules", self);
    return path;
}

typedef struct options {
    const char *modules, *enabled, *host, *port, *command, *suffix;
    int64_t patience_ms;
    bool verbose, trace, is_paced;
} options;

/* Virtual time since then, of a world on the stage. */
static int64_t passed_us(const options *o, const flow_world *world, int64_t from_us)
{
    return o->host ? 0 : svi_stage_plat(flow_stage_of(world))->now_us - from_us;
}

/* The virtual time that it took, in microseconds. */
static int64_t run_one(const options *o, const char *path, flow_result *result)
{
    int64_t took_us = 0;
    svi_buf buf;
    svi_buf_init(&buf, &memory);
    const sv_str text = slurp(&buf, path);
    *result = (flow_result){.failed = text.n == 0};
    if (result->failed) {
        (void)snprintf(result->text, sizeof result->text, "%s: can't be read or is empty", path);
    } else {
        flow_world *world = o->host ? flow_live_new(&memory, o->host, o->port, o->command)
                                    : flow_stage_new(&memory, o->modules, o->enabled);
        if (o->patience_ms) world->patience_ms = (int)o->patience_ms;
        world->trace = o->trace;
        const int64_t from_us = passed_us(o, world, 0);
        flow_run(world, path, text, o->suffix, result);
        took_us = passed_us(o, world, from_us);
        char why[300];
        if (!world->close(&world, why, sizeof why) && !result->failed && !result->skipped) {
            result->failed = true;
            (void)snprintf(result->text, sizeof result->text, "%s: %s", path, why);
        }
    }
    svi_buf_free(&buf);
    return took_us;
}

/* How much faster than life the scripts ran: virtual seconds for each of the processor's. */
static void tell_pace(int64_t virtual_us)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used);
    const double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    (void)printf("pace: %.0f virtual s in %.2f s of CPU, %.0f times life\n", (double)virtual_us / 1e6, cpu_s,
                 (double)virtual_us / 1e6 / (cpu_s > 0 ? cpu_s : 1));
}

static bool read_options(int argc, char **argv, options *o)
{
    static const struct option known[] = {{"modules", 1, NULL, 'm'},  {"enabled", 1, NULL, 'e'}, {"live", 1, NULL, 'l'},
                                          {"register", 1, NULL, 'r'}, {"suffix", 1, NULL, 's'},
                                          {"verbose", 0, NULL, 'v'},  {"patience", 1, NULL, 'p'},
                                          {"trace", 0, NULL, 't'},    {"pace", 0, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "m:e:l:r:s:p:tvc", known, NULL)) != -1) {
        char *colon;
        switch (c) {
        case 'm': o->modules = optarg; break;
        case 'e': o->enabled = optarg; break;
        case 'l':
            colon = strrchr(optarg, ':');
            if (!colon) return false;
            *colon = 0;
            o->host = optarg;
            o->port = colon + 1;
            break;
        case 'r': o->command = optarg; break;
        case 's': o->suffix = optarg; break;
        case 'p':
            if (svi_str_int(sv_str_of(optarg), 1, 100000, &o->patience_ms) != SV_OK) return false;
            break;
        case 't': o->trace = true; break;
        case 'v': o->verbose = true; break;
        case 'c': o->is_paced = true; break;
        default: return false;
        }
    }
    return optind < argc;
}

int main(int argc, char **argv)
{
    options o = {.modules = default_modules(), .suffix = ""};
    if (!read_options(argc, argv, &o)) return usage();
    const svi_plat *plat = svi_plat_kernel();
    uint8_t key[16];
    plat->random(plat->ctx, key, sizeof key);
    svi_hash_seed(key);
    svi_log_setup(o.verbose ? SV_DEBUG : SV_ERROR, SVI_LOG_TEXT, NULL, NULL, plat->wall_us,
                  plat->ctx);
    int failed = 0, skipped = 0;
    int64_t virtual_us = 0;
    for (int i = optind; i < argc; i++) {
        flow_result result;
        virtual_us += run_one(&o, argv[i], &result);
        if (result.failed)
            (void)printf("not ok %s\n%s\n", argv[i], result.text), failed++;
        else if (result.skipped)
            (void)printf("SKIP: %s\n", result.text), skipped++;
        else
            (void)printf("ok %s\n", argv[i]);
        (void)fflush(stdout);
    }
    if (o.is_paced) tell_pace(virtual_us);
    if (failed) return 1;
    return skipped == argc - optind ? 77 : 0;
}
