/* Log lines: form, levels, context, escaping of what peers send (threats X15), cuts that keep JSON whole. */
#include "base/base_log.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base_str.h"
#include "base/base_testing.h"

static char seen[SVI_LOG_BYTES + 1];
static size_t lines;

static void keep(void *ctx, sv_level level, sv_str line)
{
    assert_ptr_equal(ctx, seen);
    assert_true(level <= SV_DEBUG);
    assert_true(line.n < sizeof seen);
    memcpy(seen, line.p, line.n);
    seen[line.n] = '\0';
    lines++;
}

static int64_t wall(void *ctx)
{
    return *(int64_t *)ctx;
}

static int64_t now_us = INT64_C(1767225600123456);

static int text_lines(void **state)
{
    (void)state;
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, keep, seen, wall, &now_us);
    *svi_exec_now() = (svi_exec){.module = NULL};
    lines = 0;
    seen[0] = '\0';
    return 0;
}

static int json_lines(void **state)
{
    text_lines(state);
    svi_log_setup(SV_INFO, SVI_LOG_JSON, keep, seen, wall, &now_us);
    return 0;
}

static int journal_fields(void **state)
{
    text_lines(state);
    svi_log_setup(SV_INFO, SVI_LOG_JOURNAL, keep, seen, wall, &now_us);
    return 0;
}

#define STAMP "2026-01-01T00:00:00.123Z "

static void text_form(void **state)
{
    (void)state;
    SV_LOG(SV_INFO, "server-start", LF_TXT("key", "value"), LF_TXT("other", "with space"),
           LF_INT("ms", -42), LF_TXT("none", NULL));
    assert_string_equal(seen, STAMP
                        "info  server-start key=value other=\"with space\" ms=-42 none=\"\"\n");
    SV_LOG(SV_ERROR, "store-failed", LF_INT("n", INT64_MIN));
    assert_string_equal(seen, STAMP "error store-failed n=-9223372036854775808\n");
    SV_LOG(SV_WARN, "store-slow", LF_TXT("a", "x=y"), LF_TXT("b", "say \"hi\""),
           LF_TXT("c", "back\\slash"));
    assert_string_equal(seen, STAMP
                        "warn  store-slow a=\"x=y\" b=\"say \\\"hi\\\"\" c=\"back\\\\slash\"\n");
}

static void json_form(void **state)
{
    (void)state;
    SV_LOG(SV_INFO, "server-start", LF_TXT("key", "a \"b\" \\ c"), LF_INT("ms", 7));
    assert_string_equal(seen, "{\"time\":\"2026-01-01T00:00:00.123Z\",\"level\":\"info\","
                              "\"event\":\"server-start\",\"key\":\"a \\\"b\\\" \\\\ c\","
                              "\"ms\":7}\n");
}

/* systemd's JOURNAL_NATIVE_PROTOCOL: NAME=value lines, names of capitals, digits and underscores.
 */
static void journal_form(void **state)
{
    (void)state;
    svi_exec_now()->host = "localhost";
    SV_LOG(SV_WARN, "store-slow", LF_TXT("read-name", "a \"b\"=\n"), LF_INT("ms", 7));
    assert_string_equal(seen, "SYSLOG_IDENTIFIER=stave\nPRIORITY=4\n"
                              "MESSAGE=store-slow read-name=\"a \\\"b\\\"=\\n\" ms=7 host=localhost\n"
                              "STAVE_EVENT=store-slow\nSTAVE_READ_NAME=a \\\"b\\\"=\\n\n"
                              "STAVE_MS=7\nSTAVE_HOST=localhost\n");
}

/* No value of a peer begins a field of its own, such as another PRIORITY. */
static void journal_fields_are_not_forged(void **state)
{
    (void)state;
    char text[3000];
    SV_LOG(SV_INFO, "login-failed", LF_TXT("user", "x\nPRIORITY=0\nMESSAGE=forged\n\x1b[31m"));
    size_t count = 0;
    for (const char *p = seen; (p = strchr(p, '\n')) != NULL; p++) count++;
    assert_int_equal(count, 5);
    assert_null(strchr(seen, 0x1b));
    memset(text, '"', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    SV_LOG(SV_INFO, "login", LF_TXT("a", text), LF_TXT("b", text), LF_TXT("c", text),
           LF_TXT("d", text), LF_TXT("e", text), LF_TXT("f", text), LF_TXT("g", text));
    assert_true(strlen(seen) <= SVI_LOG_BYTES);
    assert_non_null(strstr(seen, "\nSTAVE_FIELDS_LEFT_OUT="));
    assert_int_equal(seen[strlen(seen) - 1], '\n');
}

static void messages_have_no_time(void **state)
{
    (void)state;
    SV_LOG(SV_WARN, "login", LF_INT("n", 1));
    assert_text(svi_log_message(sv_str_of(seen)), "login n=1\n");
    static const int priorities[] = {3, 4, 6, 7};
    for (int i = 0; i < 4; i++) assert_int_equal(svi_log_priority((sv_level)i), priorities[i]);
    json_lines(state);
    SV_LOG(SV_WARN, "login", LF_INT("n", 1));
    assert_int_equal(svi_log_message(sv_str_of(seen)).n, strlen(seen));
}

static void level_filters(void **state)
{
    (void)state;
    SV_LOG(SV_DEBUG, "login", LF_INT("n", 1));
    assert_int_equal(lines, 0);
    svi_log_set_level(SV_DEBUG);
    SV_LOG(SV_DEBUG, "login", LF_INT("n", 1));
    assert_int_equal(lines, 1);
    svi_log_set_level(SV_ERROR);
    SV_LOG(SV_WARN, "login", LF_INT("n", 1));
    assert_int_equal(lines, 1);
    SV_LOG(SV_ERROR, "login", LF_INT("n", 1));
    assert_int_equal(lines, 2);
    assert_int_equal(svi_log_level(), SV_ERROR);
}

static void context_is_appended(void **state)
{
    (void)state;
    svi_exec *now = svi_exec_now();
    now->module = "roster";
    now->host = "localhost";
    now->stanza = 99;
    SV_LOG(SV_INFO, "handler-slow", LF_INT("ms", 120));
    assert_string_equal(seen,
                        STAMP "info  handler-slow ms=120 module=roster host=localhost stanza=99\n");
    SV_LOG(SV_INFO, "module-loaded", LF_TXT("module", "ping"));
    assert_string_equal(seen, STAMP "info  module-loaded module=ping host=localhost stanza=99\n");
}

/* Everything a peer could use to forge a line or to steer a terminal. */
static const char evil[] = "a\r\nb\tc\x1b[31m\x7f\x01|\xc2\x85|\xe2\x80\xae|\xe2\x80\xa8|\xc3\xa4";
static const char tame[] =
    "\"a\\r\\nb\\tc\\u001b[31m\\u007f\\u0001|\\u0085|\\u202e|\\u2028|\xc3\xa4\"";

static void assert_no_controls(void)
{
    const size_t n = strlen(seen);
    assert_int_equal(seen[n - 1], '\n');
    for (size_t i = 0; i + 1 < n; i++) assert_true((unsigned char)seen[i] >= 0x20);
    assert_null(strchr(seen, 0x7f));
    assert_true(svi_utf8_valid(sv_str_of(seen)));
}

static void values_from_peers_are_escaped(void **state)
{
    (void)state;
    SV_LOG(SV_INFO, "login-failed", LF_TXT("user", evil));
    assert_non_null(strstr(seen, tame));
    assert_no_controls();
    const char nul[] = "a\0b";
    SV_LOG(SV_INFO, "login-failed", LF_STR("user", ((sv_str){nul, 3})));
    assert_non_null(strstr(seen, "\"a\\u0000b\""));
}

static void broken_utf8_is_replaced(void **state)
{
    (void)state;
    SV_LOG(SV_INFO, "login-failed", LF_TXT("user", "x\xff\xc3(\xed\xa0\x80y\xe2\x82"));
    assert_no_controls();
    assert_non_null(strstr(seen, "\"x\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdy"
                                 "\xef\xbf\xbd\xef\xbf\xbd\""));
}

static void names_are_tamed(void **state)
{
    (void)state;
    svi_exec_now()->module = "foreign"; /* such may name its own events */
    SV_LOG(SV_INFO, "e\nvent\x1b", LF_TXT("a b=\"\n\xc3\xa4", "v"), LF_TXT("", "v"));
    assert_string_equal(seen, STAMP "info  e_vent_ a_b_____=v _=v module=foreign\n");
    SV_LOG(SV_INFO, "x", LF_TXT("time", "a"), LF_TXT("event", "b"), LF_TXT("level", "c"));
    assert_string_equal(seen, STAMP "info  x time_=a event_=b level_=c module=foreign\n");
}

static void peer_values_in_context_are_escaped(void **state)
{
    (void)state;
    svi_exec_now()->host = "a\nb";
    SV_LOG(SV_INFO, "login", LF_INT("n", 1));
    assert_non_null(strstr(seen, "\"a\\nb\""));
    assert_no_controls();
}

static void long_values_are_cut(void **state)
{
    (void)state;
    char text[3001];
    memset(text, 'v', 3000);
    text[3000] = '\0';
    SV_LOG(SV_INFO, "login", LF_TXT("a", text), LF_TXT("b", "after"));
    assert_non_null(strstr(seen, "vvv[cut]\""));
    assert_non_null(strstr(seen, "b"));
    assert_true(strlen(seen) < 1000);
    memset(text, 1, 3000); /* six bytes each in the line */
    SV_LOG(SV_INFO, "login", LF_TXT("a", text));
    assert_non_null(strstr(seen, "\\u0001[cut]\""));
    assert_true(strlen(seen) < 1000);
}

static void a_full_line_says_what_is_missing(void **state)
{
    (void)state;
    char text[700], host[600];
    memset(text, '"', sizeof text - 1); /* two bytes each in the line */
    text[sizeof text - 1] = '\0';
    memset(host, 2, sizeof host - 1);
    host[sizeof host - 1] = '\0';
    svi_exec_now()->module = host;
    svi_exec_now()->host = host;
    svi_exec_now()->stanza = UINT64_MAX / 2;
    SV_LOG(SV_INFO, "login", LF_TXT("a", text), LF_TXT("b", text), LF_TXT("c", text),
           LF_TXT("d", text), LF_TXT("e", text), LF_TXT("f", text), LF_INT("small", 1));
    assert_non_null(strstr(seen, "small"));
    assert_non_null(strstr(seen, "fields_left_out"));
    assert_non_null(strstr(seen, "stanza"));
    assert_true(strlen(seen) <= 4096);
    assert_no_controls();
    if (seen[0] != '{') return;
    assert_string_equal(seen + strlen(seen) - 2, "}\n");
    size_t quotes = 0;
    for (const char *p = seen; *p != '\0'; p++) {
        if (*p == '\\') {
            p++;
            continue;
        }
        quotes += *p == '"';
    }
    assert_int_equal(quotes % 2, 0);
}

static void times_before_1970(void **state)
{
    (void)state;
    const int64_t before = now_us;
    now_us = -1;
    SV_LOG(SV_INFO, "login", LF_INT("n", 1));
    now_us = before;
    assert_string_equal(seen, "1969-12-31T23:59:59.999Z info  login n=1\n");
}

static void log_undeclared(void *arg)
{
    (void)arg;
    SV_LOG(SV_INFO, "nobody-declared-this", LF_INT("n", 1));
}

static void undeclared_events_are_caught(void **state)
{
    (void)state;
#ifdef SVI_DEBUG
    assert_true(aborts(log_undeclared, NULL));
    assert_int_equal(lines, 0);
#else
    assert_false(aborts(log_undeclared, NULL));
    assert_int_equal(lines, 1);
#endif
}

static void default_sink_is_standard_error(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    svi_log_setup(SV_INFO, SVI_LOG_TEXT, NULL, NULL, NULL, NULL);
    SV_LOG(SV_INFO, "login", LF_INT("n", 1));
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    const ssize_t n = read(ends[0], seen, sizeof seen - 1);
    close(ends[0]);
    assert_true(n > 0);
    seen[n] = '\0';
    assert_non_null(strstr(seen, "Z info  login n=1\n"));
    assert_int_equal(strncmp(seen, "20", 2), 0); /* the kernel's clock */
}

/* --- the tap ---------------------------------------------------------------------------------------- */

static char tapped[SVI_LOG_BYTES + 1];
static _Atomic unsigned taps;

static void tap(void *ctx, sv_level level, const char *event, const svi_field *fields, size_t count)
{
    const svi_log_format *format = ctx;
    char to[SVI_LOG_BYTES];
    const sv_str text = svi_log_line(*format, level, event, fields, count, to);
    (void)snprintf(tapped, sizeof tapped, "%.*s", (int)text.n, text.p);
    taps++;
}

static void tap_has_its_own_level(void **state)
{
    (void)state;
    svi_log_format format = SVI_LOG_TEXT;
    taps = 0;
    svi_log_set_tap(tap, &format);
    SV_LOG(SV_INFO, "login", LF_INT("n", 1));
    assert_int_equal(taps, 0); /* nobody has asked yet */
    svi_log_tap_level(SV_DEBUG);
    lines = 0;
    SV_LOG(SV_DEBUG, "login", LF_INT("n", 2));
    assert_int_equal(taps, 1);
    assert_int_equal(lines, 0); /* the log is as it was */
    assert_string_equal(tapped, STAMP "debug login n=2\n");
    format = SVI_LOG_JSON;
    SV_LOG(SV_WARN, "login", LF_TXT("user", "a\nb"));
    assert_int_equal(lines, 1);
    assert_string_equal(tapped, "{\"time\":\"2026-01-01T00:00:00.123Z\",\"level\":\"warn\","
                                "\"event\":\"login\",\"user\":\"a\\nb\"}\n");
    svi_log_tap_level(SV_ERROR);
    SV_LOG(SV_WARN, "login", LF_INT("n", 3));
    assert_int_equal(lines, 2);
    assert_int_equal(taps, 2);
    assert_true(svi_log_wants(SV_INFO));
    assert_false(svi_log_wants(SV_DEBUG));
    svi_log_tap_level(-1);
    svi_log_set_tap(NULL, NULL);
}

static void count_line(void *ctx, sv_level level, const char *event, const svi_field *fields,
                       size_t count)
{
    (void)level, (void)event, (void)fields, (void)count;
    atomic_fetch_add((atomic_uint *)ctx, 1);
    for (int i = 0; i < 5; i++) (void)sched_yield();
    atomic_fetch_add((atomic_uint *)ctx, 1);
}

static void *log_on(void *until)
{
    while (!atomic_load((atomic_bool *)until)) SV_LOG(SV_DEBUG, "login", LF_INT("n", 1));
    return NULL;
}

/* When svi_log_set_tap has returned, no thread is in the one before. */
static void tap_goes_while_others_log(void **state)
{
    (void)state;
    pthread_t threads[2];
    atomic_bool is_over = false;
    svi_log_tap_level(SV_DEBUG);
    taps = 0;
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_on, &is_over), 0);
    for (int i = 0; i < 200; i++) {
        atomic_uint *count = calloc(1, sizeof *count);
        svi_log_set_tap(count_line, count);
        while (atomic_load(count) == 0) (void)sched_yield();
        svi_log_set_tap(NULL, NULL);
        free(count); /* ASan and TSan tell of those that come too late */
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < 2; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    svi_log_tap_level(-1);
}

#define T(name) cmocka_unit_test_setup(name, text_lines)
#define J(name)                                                                                    \
    {                                                                                              \
        "json " #name, name, json_lines, NULL, NULL                                                \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(text_form),
        J(json_form),
        cmocka_unit_test_setup(journal_form, journal_fields),
        cmocka_unit_test_setup(journal_fields_are_not_forged, journal_fields),
        T(messages_have_no_time),
        T(level_filters),
        T(context_is_appended),
        T(values_from_peers_are_escaped),
        J(values_from_peers_are_escaped),
        T(broken_utf8_is_replaced),
        J(broken_utf8_is_replaced),
        T(names_are_tamed),
        T(peer_values_in_context_are_escaped),
        J(peer_values_in_context_are_escaped),
        T(long_values_are_cut),
        J(long_values_are_cut),
        T(a_full_line_says_what_is_missing),
        J(a_full_line_says_what_is_missing),
        T(times_before_1970),
        T(tap_has_its_own_level),
        T(tap_goes_while_others_log),
        T(undeclared_events_are_caught),
        T(default_sink_is_standard_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
