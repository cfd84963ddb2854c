/* `stave top`: asks again and again, reckons what was between, and draws it. */
#include "main/main_top.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/base_plat.h"
#include "main/main_ask.h"
#include "main/main_follow.h"
#include "main/main_print.h"

/* --- the picture -------------------------------------------------------------------------------------- */

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* How much it grew; what fell began anew. */
static int64_t grown(const json_t *before, const json_t *now, const char *name)
{
    const int64_t value = number_of(now, name), old = number_of(before, name);
    return value >= old ? value - old : value;
}

static json_t *percent(int64_t part, int64_t whole)
{
    return json_real(whole > 0 ? 100.0 * (double)part / (double)whole : 0);
}

static json_t *per_s(int64_t count, int64_t us)
{
    return json_real(us > 0 ? (double)count * 1e6 / (double)us : 0);
}

static const json_t *same_module(const json_t *list, const json_t *module)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (strcmp(text_of(one, "name"), text_of(module, "name")) == 0 &&
            strcmp(text_of(one, "host"), text_of(module, "host")) == 0)
            return one;
    }
    return NULL;
}

static int64_t store_grown(const json_t *before, const json_t *now)
{
    static const char *const members[] = {"store-reads", "store-loads", "store-puts",
                                          "store-deletes"};
    int64_t sum = 0;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        sum += grown(before, now, members[i]);
    return sum;
}

static json_t *module_picture(const json_t *before, const json_t *now, int64_t us)
{
    static const char *const rates[] = {"calls", "passed", "done", "later", "callbacks"};
    static const char *const as_is[] = {"name",   "host",       "state", "bytes",
                                        "peak-bytes", "allocations", "peak-allocations", "faults"};
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof as_is / sizeof *as_is; i++)
        (void)json_object_set(json, as_is[i], json_object_get(now, as_is[i]));
    (void)json_object_set_new(json, "cpu-percent", percent(grown(before, now, "cpu-us"), us));
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s-per-s", rates[i]);
        (void)json_object_set_new(json, name, per_s(grown(before, now, rates[i]), us));
    }
    (void)json_object_set_new(json, "store-ops-per-s", per_s(store_grown(before, now), us));
    (void)json_object_set_new(json, "store-written-bytes-per-s",
                              per_s(grown(before, now, "store-written-bytes"), us));
    return json;
}

static json_t *router_picture(const json_t *before, const json_t *now, int64_t us)
{
    static const char *const parts[] = {"busy", "core", "modules", "accounting", "watching"};
    json_t *json = json_object();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char member[32], name[32];
        (void)snprintf(member, sizeof member, "%s-us", parts[i]);
        (void)snprintf(name, sizeof name, "%s-percent", parts[i]);
        (void)json_object_set_new(json, name, percent(grown(before, now, member), us));
    }
    const int64_t fired = grown(before, now, "timers-fired");
    const int64_t late_us = grown(before, now, "timers-late-us");
    (void)json_object_set_new(json, "lag-us", json_integer(fired > 0 ? late_us / fired : 0));
    (void)json_object_set(json, "longest-us", json_object_get(now, "longest-us"));
    (void)json_object_set_new(json, "turns-per-s", per_s(grown(before, now, "turns"), us));
    return json;
}

static int by_share(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    const double dx = json_real_value(json_object_get(*x, "cpu-percent"));
    const double dy = json_real_value(json_object_get(*y, "cpu-percent"));
    if (dx != dy) return dx < dy ? 1 : -1;
    const int names = strcmp(text_of(*x, "name"), text_of(*y, "name"));
    return names ? names : strcmp(text_of(*x, "host"), text_of(*y, "host"));
}

static json_t *modules_picture(const json_t *before, const json_t *now, int64_t us)
{
    const size_t count = json_array_size(now);
    json_t *list = json_array(), **sorted = calloc(count + 1, sizeof(json_t *));
    if (!sorted) return list;
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(now, i);
        sorted[i] = module_picture(same_module(before, one), one, us);
    }
    qsort(sorted, count, sizeof(json_t *), by_share);
    for (size_t i = 0; i < count; i++) (void)json_array_append_new(list, sorted[i]);
    free(sorted);
    return list;
}

json_t *svi_top_picture(const json_t *before, const json_t *now)
{
    const bool is_same = before && number_of(before, "pid") == number_of(now, "pid");
    if (!is_same) before = NULL;
    const int64_t us = before ? grown(before, now, "time-us") : number_of(now, "up-us");
    json_t *json = json_pack("{s:b, s:b}", "ok", 1, "since-start", before == NULL);
    (void)json_object_set_new(json, "seconds", json_real((double)us / 1e6));
    (void)json_object_set(json, "pid", json_object_get(now, "pid"));
    (void)json_object_set(json, "sessions", json_object_get(now, "sessions"));
    (void)json_object_set(json, "connections", json_object_get(now, "connections"));
    (void)json_object_set_new(
        json, "router",
        router_picture(json_object_get(before, "router"), json_object_get(now, "router"), us));
    (void)json_object_set(json, "queues", json_object_get(now, "queues"));
    (void)json_object_set_new(
        json, "modules",
        modules_picture(json_object_get(before, "modules"), json_object_get(now, "modules"), us));
    return json;
}

/* --- as text ------------------------------------------------------------------------------------------ */

static double real_of(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static void write_module(const json_t *m, svi_buf *line)
{
    char now[SVI_SIZE_TEXT], peak[SVI_SIZE_TEXT];
    svi_buf_printf(line, "%7.2f %9.1f %8.1f %8.1f %8.1f %8s %8s %8.1f %6" PRId64 "  ",
                   real_of(m, "cpu-percent"), real_of(m, "calls-per-s"), real_of(m, "passed-per-s"),
                   real_of(m, "done-per-s"), real_of(m, "later-per-s"),
                   svi_print_size(number_of(m, "bytes"), now),
                   svi_print_size(number_of(m, "peak-bytes"), peak), real_of(m, "store-ops-per-s"),
                   number_of(m, "faults"));
    svi_follow_put_plain(line, sv_str_of(text_of(m, "state")));
    svi_buf_put(line, SV_STR("  "));
    svi_follow_put_plain(line, sv_str_of(text_of(m, "name")));
    svi_buf_put(line, SV_STR("  "));
    svi_follow_put_plain(line, sv_str_of(text_of(m, "host")));
}

/* Line number `i` of the picture; false past the end. */
static bool write_line(const json_t *picture, size_t i, svi_buf *line)
{
    const json_t *router = json_object_get(picture, "router"), *queues = json_object_get(picture, "queues");
    const json_t *modules = json_object_get(picture, "modules");
    if (i == 0)
        svi_buf_printf(line, "router  %.1f %% busy: core %.1f, modules %.1f, accounting %.2f, watching %.2f; of %.1f s%s",
                       real_of(router, "busy-percent"), real_of(router, "core-percent"),
                       real_of(router, "modules-percent"), real_of(router, "accounting-percent"),
                       real_of(router, "watching-percent"),
                       real_of(picture, "seconds"),
                       json_is_true(json_object_get(picture, "since-start")) ? " since the start" : "");
    else if (i == 1)
        svi_buf_printf(line, "lag     timers %.1f ms late, longest turn %.1f ms; %.0f turns/s",
                       real_of(router, "lag-us") / 1e3, real_of(router, "longest-us") / 1e3,
                       real_of(router, "turns-per-s"));
    else if (i == 2)
        svi_buf_printf(line,
                       "queues  %" PRId64 " events waiting, %" PRId64 " to commit, %" PRId64
                       " lanes, %" PRId64 " stanzas in flight, %" PRId64 " units to commit",
                       number_of(queues, "events-waiting"), number_of(queues, "events-to-commit"),
                       number_of(queues, "lanes"), number_of(queues, "stanzas-in-flight"),
                       number_of(queues, "units-to-commit"));
    else if (i == 3)
        svi_buf_printf(line, "clients %" PRId64 " sessions, %" PRId64 " connections",
                       number_of(picture, "sessions"), number_of(picture, "connections"));
    else if (i == 5)
        svi_buf_printf(line, "%7s %9s %8s %8s %8s %8s %8s %8s %6s  %s", "%ROUTER", "CALLS/S", "PASS/S",
                       "DONE/S", "LATER/S", "MEMORY", "PEAK", "STORE/S", "FAULTS", "STATE  MODULE  HOST");
    else if (i >= 6 && i - 6 < json_array_size(modules))
        write_module(json_array_get(modules, i - 6), line);
    return i < 6 || i - 6 < json_array_size(modules);
}

/* What fits into the width, in whole characters. */
static sv_str fitting(sv_str text, size_t width)
{
    size_t at = 0;
    for (size_t n = 0; at < text.n && n < width; n++) {
        at++;
        while (at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80) at++;
    }
    return svi_str_sub(text, 0, at);
}

void svi_top_write(const json_t *picture, size_t width, size_t lines, svi_buf *out)
{
    svi_buf line;
    svi_buf_init(&line, out->acct);
    for (size_t i = 0; (lines == 0 || i < lines) && write_line(picture, i, &line); i++) {
        if (i > 0) svi_buf_putc(out, '\n');
        svi_buf_put(out, fitting(svi_buf_str(&line), width));
        svi_buf_clear(&line);
    }
    svi_buf_free(&line);
}

/* --- the terminal ------------------------------------------------------------------------------------- */

typedef struct screen {
    bool is_drawn;           /* on a terminal */
    bool has_keys;           /* standard input is one, set to give keys at once */
    struct termios settings; /* as it was */
    int signals;             /* those that end it */
    sigset_t mask;           /* as it was */
} screen;

static void screen_open(screen *s, bool is_json)
{
    sigset_t ends;
    *s = (screen){.is_drawn = !is_json && isatty(STDOUT_FILENO)};
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGHUP);
    if (s->is_drawn) (void)sigaddset(&ends, SIGTSTP); /* the terminal would stay as it is now */
    (void)sigprocmask(SIG_BLOCK, &ends, &s->mask);
    s->signals = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    s->has_keys = s->is_drawn && tcgetattr(STDIN_FILENO, &s->settings) == 0;
    if (s->has_keys) {
        struct termios keys = s->settings;
        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        keys.c_cc[VMIN] = 1;
        keys.c_cc[VTIME] = 0;
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    }
    if (s->is_drawn) (void)fputs("\033[?1049h\033[?25l", stdout);
}

static void screen_close(screen *s)
{
    if (s->is_drawn) (void)fputs("\033[?25h\033[?1049l", stdout);
    (void)fflush(stdout);
    if (s->has_keys) (void)tcsetattr(STDIN_FILENO, TCSANOW, &s->settings);
    if (s->signals >= 0) (void)close(s->signals);
    (void)sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

static void draw(const screen *s, const json_t *picture)
{
    svi_acct acct = {.name = "top"};
    svi_buf out;
    struct winsize size = {.ws_row = 0};
    svi_buf_init(&out, &acct);
    if (s->is_drawn) (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    svi_top_write(picture, size.ws_col > 0 ? size.ws_col : 1000, size.ws_row, &out);
    (void)printf("%s%.*s%s", s->is_drawn ? "\033[H\033[2J" : "", (int)out.len, out.len ? out.data : "",
                 s->is_drawn ? "" : "\n\n");
    svi_buf_free(&out);
}

/* True if somebody wants it to end. */
static bool is_ended(const screen *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGTSTP) return true;
    return false;
}

static bool is_quit(screen *s)
{
    char keys[64];
    const ssize_t n = read(STDIN_FILENO, keys, sizeof keys);
    if (n <= 0) s->has_keys = false; /* nobody types there any more */
    for (ssize_t i = 0; i < n; i++)
        if (keys[i] == 'q' || keys[i] == 'Q') return true;
    return false;
}

static int64_t now_ms(void)
{
    const svi_plat *plat = svi_plat_kernel();
    return plat->mono_us(plat->ctx) / 1000;
}

/* Waits for the next picture; false if it is to end. */
static bool rest(screen *s, int64_t until_ms)
{
    for (int64_t left_ms; (left_ms = until_ms - now_ms()) > 0;) {
        struct pollfd ready[] = {{.fd = s->signals, .events = POLLIN},
                                 {.fd = STDIN_FILENO, .events = POLLIN}};
        if (poll(ready, s->has_keys ? 2 : 1, (int)left_ms) < 0) continue;
        if (ready[0].revents && is_ended(s)) return false;
        if (s->has_keys && ready[1].revents && is_quit(s)) return false;
    }
    return !is_ended(s);
}

/* --- all ---------------------------------------------------------------------------------------------- */

static void show(const screen *s, bool is_json, const json_t *before, const json_t *now)
{
    json_t *picture = svi_top_picture(before, now);
    if (is_json) {
        (void)json_dumpf(picture, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        (void)putchar('\n');
    } else {
        draw(s, picture);
    }
    (void)fflush(stdout);
    json_decref(picture);
}

sv_status svi_top_run(const svi_top_config *config, bool *begun_out, json_t **refusal_out, sv_err *err)
{
    screen s;
    sv_status status;
    json_t *before = NULL, *now = NULL;
    *begun_out = false;
    *refusal_out = NULL;
    status = svi_ask(config->socket, config->request, &now, err);
    if (status != SV_OK) return status;
    if (!json_is_true(json_object_get(now, "ok"))) {
        *refusal_out = now;
        return svi_err(err, SV_EINVAL, "the server says no");
    }
    screen_open(&s, config->is_json);
    *begun_out = true;
    for (int64_t shown = 1, next_ms = now_ms();; shown++) {
        show(&s, config->is_json, before, now);
        json_decref(before);
        before = now;
        now = NULL;
        next_ms += config->interval_ms;
        if (ferror(stdout)) status = svi_err(err, SV_EIO, "nothing can be written to standard output");
        if (status != SV_OK || shown == config->count || !rest(&s, next_ms)) break;
        status = svi_ask(config->socket, config->request, &now, err);
        if (status == SV_OK && !json_is_true(json_object_get(now, "ok")))
            status = svi_err(err, SV_ECLOSED, "%s", text_of(now, "error"));
        if (status != SV_OK) break;
    }
    json_decref(before);
    json_decref(now);
    screen_close(&s);
    return status;
}
