/* Printing answers: status, modules, reload, users; and records by their columns. */
#include "main/main_print.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void print_period(int64_t s)
{
    if (s >= 86400) (void)printf("%" PRId64 " d ", s / 86400);
    if (s >= 3600) (void)printf("%" PRId64 " h ", s / 3600 % 24);
    if (s >= 60) (void)printf("%" PRId64 " min ", s / 60 % 60);
    (void)printf("%" PRId64 " s\n", s % 60);
}

static void print_list(const char *head, const json_t *list)
{
    (void)printf("%s", head);
    for (size_t i = 0; i < json_array_size(list); i++)
        (void)printf("%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
    (void)printf("%s\n", json_array_size(list) ? "" : "nothing");
}

/* Each member in one line: "name  value". */
static void print_members(const char *head, json_t *object)
{
    const char *name;
    json_t *value;
    (void)printf("%s\n", head);
    json_object_foreach(object, name, value)
    {
        if (json_is_boolean(value))
            (void)printf("  %-16s %s\n", name, json_is_true(value) ? "yes" : "no");
        else
            (void)printf("  %-16s %" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
    }
}

/* One line a host: "domain  89 days, until 2027-02-25T12:00:00Z (RSA, ECDSA)". */
static void print_certificates(const json_t *list)
{
    int width = 16;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const int n = (int)strlen(text_of(json_array_get(list, i), "host"));
        if (n > width) width = n;
    }
    if (json_array_size(list) > 0) (void)printf("certificates\n");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        const int64_t days = number_of(c, "days-left");
        (void)printf("  %-*s ", width, text_of(c, "host"));
        if (days >= 0)
            (void)printf("%" PRId64 " days, until %s (%s)\n", days, text_of(c, "until"),
                         text_of(c, "kinds"));
        else
            (void)printf("EXPIRED on %s (%s)\n", text_of(c, "until"), text_of(c, "kinds"));
    }
}

static double percent(int64_t part, int64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

/* Of its time since the start: how much it worked, and of that, who took how much. */
static void print_router(const json_t *r, int64_t up_s)
{
    const int64_t busy = number_of(r, "busy-us");
    if (!r) return;
    (void)printf("router       %.1f %% busy; of that core %.1f %%, modules %.1f %%, accounting %.2f %%, "
                 "watching %.2f %%\n",
                 percent(busy, (up_s > 0 ? up_s : 1) * 1000000), percent(number_of(r, "core-us"), busy),
                 percent(number_of(r, "modules-us"), busy), percent(number_of(r, "accounting-us"), busy),
                 percent(number_of(r, "watching-us"), busy));
}

void svi_print_status(const json_t *a)
{
    (void)printf("version      %s\n", text_of(a, "version"));
    (void)printf("process      %" PRId64 "\n", number_of(a, "pid"));
    if (json_object_get(a, "upgraded-from")) (void)printf("upgraded     from %s\n", text_of(a, "upgraded-from"));
    if (json_object_get(a, "upgrade-failed"))
        (void)printf("upgrade      taken back: %s\n", text_of(a, "upgrade-failed"));
    (void)printf("up           ");
    print_period(number_of(a, "uptime-s"));
    print_list("hosts        ", json_object_get(a, "hosts"));
    (void)printf("connections  %" PRId64 "\n", number_of(a, "connections"));
    (void)printf("sessions     %" PRId64 "\n", number_of(a, "sessions"));
    (void)printf("locked out   %" PRId64 "\n", number_of(a, "locked-out"));
    (void)printf("memory       %" PRId64 " KiB resident, %" PRId64 " KiB accounted\n",
                 number_of(a, "resident-bytes") / 1024, number_of(a, "accounted-bytes") / 1024);
    print_certificates(json_object_get(a, "certificates"));
    print_router(json_object_get(a, "router"), number_of(a, "uptime-s"));
    print_members("ledger (stanzas)", json_object_get(a, "ledger"));
    print_members("store", json_object_get(a, "store"));
}

static void print_quarantine(const json_t *m)
{
    const json_t *q = json_object_get(m, "quarantine");
    if (!json_is_object(q)) return;
    (void)printf("\n%s on %s is in quarantine since %s: %s\n  %" PRId64 " events were refused, %" PRId64
                 " calls left out since. `stave modules release %s --host %s` lets it out.\n",
                 text_of(m, "name"), text_of(m, "host"), text_of(q, "since"), text_of(q, "reason"),
                 number_of(q, "refused"), number_of(q, "skipped"), text_of(m, "name"), text_of(m, "host"));
}

const char *svi_print_size(int64_t bytes, char to[SVI_SIZE_TEXT])
{
    if (bytes < 10240)
        (void)snprintf(to, SVI_SIZE_TEXT, "%" PRId64 " B", bytes);
    else if (bytes < 10240 * (int64_t)1024)
        (void)snprintf(to, SVI_SIZE_TEXT, "%" PRId64 " KiB", bytes / 1024);
    else
        (void)snprintf(to, SVI_SIZE_TEXT, "%" PRId64 " MiB", bytes / 1024 / 1024);
    return to;
}

/* Words with commas between, cut to what has room; "-" if there are none. */
static void join(const json_t *list, char *to, size_t room)
{
    (void)snprintf(to, room, "-");
    for (size_t i = 0, n = 0; i < json_array_size(list) && n < room; i++) {
        const int more = snprintf(to + n, room - n, "%s%s", i ? "," : "",
                                  json_string_value(json_array_get(list, i)));
        n += more > 0 ? (size_t)more : room;
    }
}

void svi_print_modules(const json_t *a)
{
    const json_t *list = json_object_get(a, "modules");
    (void)printf("%-16s %-24s %-11s %4s %10s %8s %8s %8s %6s %9s %8s %7s %7s  %-16s  %s\n", "MODULE", "HOST", "STATE", "GEN", "CALLS",
                 "CPU-MS", "MEMORY", "PEAK", "FAULTS", "STORE", "WRITTEN", "EVENTS", "PENDING", "NEEDS", "WHAT");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const int64_t store = number_of(m, "store-reads") + number_of(m, "store-loads") +
                              number_of(m, "store-puts") + number_of(m, "store-deletes");
        char needs[200];
        join(json_object_get(m, "needs"), needs, sizeof needs);
        char now[SVI_SIZE_TEXT], peak[SVI_SIZE_TEXT], written[SVI_SIZE_TEXT];
        const char *why = text_of(m, "waits-for");
        (void)printf("%-16s %-24s %-11s %4" PRId64 " %10" PRId64 " %8" PRId64 " %8s %8s %6" PRId64 " %9" PRId64
                     " %8s %7" PRId64 " %7" PRId64 "  %-16s  %s%s%s\n",
                     text_of(m, "name"), text_of(m, "host"), text_of(m, "state"), number_of(m, "generation"), number_of(m, "calls"),
                     number_of(m, "cpu-us") / 1000, svi_print_size(number_of(m, "bytes"), now),
                     svi_print_size(number_of(m, "peak-bytes"), peak), number_of(m, "faults"), store,
                     svi_print_size(number_of(m, "store-written-bytes"), written), number_of(m, "events"),
                     number_of(m, "in-flight"), needs, strcmp(text_of(m, "kind"), "lua") == 0 ? "Lua: " : "",
                     *why ? "waits for " : "", *why ? why : text_of(m, "summary"));
    }
    for (size_t i = 0; i < json_array_size(list); i++) print_quarantine(json_array_get(list, i));
    if (number_of(a, "retired") > 0 || number_of(a, "kept") > 0)
        (void)printf("%" PRId64 " former generations have ended; the code of %" PRId64 " stays in memory\n",
                     number_of(a, "retired"), number_of(a, "kept"));
    if (*text_of(a, "advice")) (void)printf("%s\n", text_of(a, "advice"));
}

/* "  iq-get/account {urn:x}q  late, after roster, guard" */
static void print_hook(const json_t *hook)
{
    const json_t *flags = json_object_get(hook, "flags");
    (void)printf("  %-40s %s", text_of(hook, "on"), text_of(hook, "band"));
    if (*text_of(hook, "after")) (void)printf(", after %s", text_of(hook, "after"));
    for (size_t i = 0; i < json_array_size(flags); i++)
        (void)printf(", %s", json_string_value(json_array_get(flags, i)));
    (void)putchar('\n');
}

static void print_words(const char *head, const json_t *list)
{
    if (json_array_size(list) == 0) return;
    (void)printf("%s", head);
    for (size_t i = 0; i < json_array_size(list); i++)
        (void)printf(" %s", json_string_value(json_array_get(list, i)));
    (void)putchar('\n');
}

static void print_rights(const json_t *rights)
{
    const json_t *item;
    size_t i;
    (void)printf("rights:%s\n", json_array_size(rights) > 0 ? "" : " none");
    json_array_foreach(rights, i, item) (void)printf("  %s\n", json_string_value(item));
}

static void print_script(const json_t *a)
{
    if (json_is_true(json_object_get(a, "policy"))) (void)printf("policy: its verdicts are values (`stave policy`)\n");
    if (json_is_true(json_object_get(a, "autoreload"))) (void)printf("autoreload: loaded anew when its file changes\n");
    print_rights(json_object_get(a, "rights"));
}

void svi_print_module(const json_t *a)
{
    const json_t *item;
    size_t i;
    if (!json_is_true(json_object_get(a, "ok"))) {
        (void)fprintf(stderr, "%s: refused: %s\n", text_of(a, "file"), text_of(a, "error"));
        return;
    }
    const bool is_script = strcmp(text_of(a, "kind"), "lua") == 0;
    (void)printf("%s: good\n%s: %s (%s%s)\n", text_of(a, "file"), text_of(a, "name"), text_of(a, "summary"),
                 is_script ? "Lua" : "interface ", is_script ? "" : text_of(a, "interface"));
    if (is_script) print_script(a);
    if (json_is_true(json_object_get(a, "engine")))
        (void)printf("engine: it may have threads, sockets and files; its code is loaded once (doc/engines.md)\n");
    if (*text_of(a, "groups")) (void)printf("needs of the table: %s\n", text_of(a, "groups"));
    print_words("needs:", json_object_get(a, "needs"));
    print_words("features of the host:", json_object_get(a, "features"));
    print_words("features of accounts:", json_object_get(a, "account-features"));
    if (*text_of(a, "stream-features"))
        (void)printf("features of streams: %s\n", text_of(a, "stream-features"));
    if (json_array_size(json_object_get(a, "hooks")) > 0) (void)printf("hooks:\n");
    json_array_foreach(json_object_get(a, "hooks"), i, item) print_hook(item);
    if (json_array_size(json_object_get(a, "options")) > 0) (void)printf("options:\n");
    json_array_foreach(json_object_get(a, "options"), i, item)
        (void)printf("  %-40s %s\n", text_of(item, "name"), text_of(item, "manual"));
    if (json_array_size(json_object_get(a, "commands")) > 0) (void)printf("commands:\n");
    json_array_foreach(json_object_get(a, "commands"), i, item)
        (void)printf("  %-40s %s\n", text_of(item, "name"), text_of(item, "summary"));
    if (json_array_size(json_object_get(a, "metrics")) > 0) (void)printf("metrics:\n");
    json_array_foreach(json_object_get(a, "metrics"), i, item)
        (void)printf("  %-40s %s\n", text_of(item, "name"), text_of(item, "manual"));
    print_words("takes from libraries:", json_object_get(a, "calls"));
}

static void print_some(const char *head, const json_t *list)
{
    if (json_array_size(list) > 0) print_list(head, list);
}

static void print_reloaded(const json_t *a)
{
    print_list("loaded anew: ", json_object_get(a, "modules"));
    (void)printf("events that waited: %" PRId64 ", asked anew: %" PRId64 ", finished by the former generation: %" PRId64
                 "\nthe swap took %" PRId64 " us, what came before it %" PRId64 " us\n",
                 number_of(a, "waiting"), number_of(a, "restarted"), number_of(a, "finishing"), number_of(a, "swap-us"),
                 number_of(a, "prepare-us"));
}

void svi_print_reload(const json_t *a)
{
    if (json_object_get(a, "modules")) {
        print_reloaded(a);
        return;
    }
    print_list("taken over: ", json_object_get(a, "taken-over"));
    print_some("hosts added: ", json_object_get(a, "hosts-added"));
    print_some("hosts removed: ", json_object_get(a, "hosts-removed"));
    print_some("hosts changed: ", json_object_get(a, "hosts-changed"));
    print_list("needs a restart: ", json_object_get(a, "needs-restart"));
    print_some("new files of modules (stave reload NAME loads one): ", json_object_get(a, "new-files"));
    if (*text_of(a, "log")) (void)printf("log: %s\n", text_of(a, "log"));
}

void svi_print_user(const json_t *a)
{
    (void)printf("%s: %s\n", text_of(a, "address"), text_of(a, "what"));
}

void svi_print_upgrade(const json_t *a)
{
    (void)printf("version %s serves, process %" PRId64 "; before it was %s\n", text_of(a, "version"), number_of(a, "pid"),
                 text_of(a, "from"));
}

void svi_print_nothing(const json_t *answer)
{
    (void)answer;
}

void svi_print_json(const json_t *answer)
{
    (void)json_dumpf(answer, stdout, JSON_INDENT(2));
    (void)putchar('\n');
}

/* --- records ------------------------------------------------------------------------------------------ */

void svi_print_init(svi_printer *p, const sv_command *what)
{
    *p = (svi_printer){.what = what};
}

static void put_period(int64_t ms, svi_buf *out)
{
    const int64_t s = ms / 1000;
    if (s >= 86400) svi_buf_printf(out, "%" PRId64 " d ", s / 86400);
    if (s >= 3600) svi_buf_printf(out, "%" PRId64 " h ", s / 3600 % 24);
    if (s >= 60 && s < 86400) svi_buf_printf(out, "%" PRId64 " min ", s / 60 % 60);
    if (s < 3600) svi_buf_printf(out, "%" PRId64 " s ", s % 60);
    out->len--;
}

static void put_bytes(int64_t bytes, svi_buf *out)
{
    char text[SVI_SIZE_TEXT];
    svi_buf_put(out, sv_str_of(svi_print_size(bytes, text)));
}

/* Texts come from peers: what could steer a terminal is shown as '?'. */
static void put_text(const char *text, svi_buf *out)
{
    sv_str rest = sv_str_of(text);
    while (rest.n > 0) {
        uint32_t code = 0;
        const size_t step = svi_utf8_step(rest, &code);
        const bool is_control = step == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) ||
                                code == 0x2028 || code == 0x2029 ||
                                (code >= 0x202a && code <= 0x202e) ||
                                (code >= 0x2066 && code <= 0x2069);
        if (is_control)
            svi_buf_putc(out, '?');
        else
            svi_buf_put(out, svi_str_sub(rest, 0, step));
        rest = svi_str_sub(rest, step ? step : 1, rest.n);
    }
}

void svi_print_line(const char *before, const char *text)
{
    svi_acct acct = {.name = "print"};
    svi_buf out;
    svi_buf_init(&out, &acct);
    put_text(text, &out);
    (void)printf("%s%.*s\n", before, (int)out.len, out.len ? out.data : "");
    svi_buf_free(&out);
}

static void put_value(const sv_column *column, const json_t *value, svi_buf *out)
{
    if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (i) svi_buf_put(out, SV_STR(", "));
            put_text(json_string_value(json_array_get(value, i)), out);
        }
    } else if (json_is_boolean(value)) {
        svi_buf_put(out, json_is_true(value) ? SV_STR("yes") : SV_STR("no"));
    } else if (json_is_string(value)) {
        put_text(json_string_value(value), out);
    } else if (json_is_integer(value)) {
        const int64_t number = json_integer_value(value);
        if (column->kind == SV_COLUMN_PERIOD)
            put_period(number, out);
        else if (column->kind == SV_COLUMN_BYTES)
            put_bytes(number, out);
        else
            svi_buf_int(out, number);
    }
}

/* Characters, as a terminal counts most of them. */
static size_t width_of(sv_str text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.n; i++) width += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return width;
}

static void measure(svi_printer *p, const json_t *rows, svi_buf *text)
{
    const sv_column *column;
    for (size_t c = 0; (column = svi_column_at(p->what, c)) != NULL; c++) {
        const size_t head = strlen(column->head ? column->head : column->name);
        if (p->widths[c] < head) p->widths[c] = head;
        for (size_t i = 0; i < json_array_size(rows); i++) {
            svi_buf_clear(text);
            put_value(column, json_object_get(json_array_get(rows, i), column->name), text);
            const size_t width = width_of(svi_buf_str(text));
            if (p->widths[c] < width) p->widths[c] = width;
        }
    }
}

static bool is_number(const sv_column *column)
{
    return column->kind == SV_COLUMN_INT || column->kind == SV_COLUMN_BYTES ||
           column->kind == SV_COLUMN_PERIOD;
}

static void print_cell(const svi_printer *p, size_t c, sv_str text)
{
    const sv_column *column = svi_column_at(p->what, c);
    const size_t width = width_of(text);
    const int gap = p->widths[c] > width ? (int)(p->widths[c] - width) : 0;
    const bool is_last = svi_column_at(p->what, c + 1) == NULL;
    (void)printf("%s", c ? "  " : "");
    if (is_number(column)) (void)printf("%*s", gap, "");
    (void)printf("%.*s", (int)text.n, text.n ? text.p : "");
    if (!is_number(column) && !is_last) (void)printf("%*s", gap, "");
    if (is_last) (void)printf("\n");
}

static void print_heads(const svi_printer *p, svi_buf *text)
{
    const sv_column *column;
    for (size_t c = 0; (column = svi_column_at(p->what, c)) != NULL; c++) {
        svi_buf_clear(text);
        for (const char *at = column->head ? column->head : column->name; *at; at++)
            svi_buf_putc(text, (char)toupper((unsigned char)*at));
        print_cell(p, c, svi_buf_str(text));
    }
}

static void print_table(svi_printer *p, const json_t *rows, svi_buf *text)
{
    const bool is_plain = (p->what->flags & SV_COMMAND_PLAIN) != 0;
    const sv_column *column;
    if (!is_plain) measure(p, rows, text);
    if (!is_plain && !p->has_heads && json_array_size(rows) > 0) {
        print_heads(p, text);
        p->has_heads = true;
    }
    for (size_t i = 0; i < json_array_size(rows); i++)
        for (size_t c = 0; (column = svi_column_at(p->what, c)) != NULL; c++) {
            svi_buf_clear(text);
            put_value(column, json_object_get(json_array_get(rows, i), column->name), text);
            print_cell(p, c, svi_buf_str(text));
        }
}

/* One record: "name  value", a line each. */
static void print_one(const svi_printer *p, const json_t *row, svi_buf *text)
{
    const sv_column *column;
    size_t width = 12;
    for (size_t c = 0; (column = svi_column_at(p->what, c)) != NULL; c++) {
        const size_t n = strlen(column->head ? column->head : column->name);
        if (n > width) width = n;
    }
    for (size_t c = 0; (column = svi_column_at(p->what, c)) != NULL; c++) {
        svi_buf_clear(text);
        put_value(column, json_object_get(row, column->name), text);
        (void)printf("%-*s %.*s\n", (int)width, column->head ? column->head : column->name,
                     (int)text->len, text->len ? text->data : "");
    }
}

/* "name  value" for each member; a list is a line each. */
static void print_about(const json_t *about)
{
    const char *name;
    json_t *value, *item;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)about, name, value)
    {
        if (json_is_integer(value)) (void)printf("%-16s %" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
        if (json_is_boolean(value)) (void)printf("%-16s %s\n", name, json_is_true(value) ? "yes" : "no");
        if (json_is_string(value)) (void)printf("%-16s %s\n", name, json_string_value(value));
        json_array_foreach(value, i, item) (void)printf("%-16s %s\n", i ? "" : name, json_string_value(item));
    }
    if (about) (void)printf("\n");
}

void svi_print_rows(svi_printer *p, const json_t *answer)
{
    const json_t *rows = json_object_get(answer, "rows");
    print_about(json_object_get(answer, "about"));
    svi_acct acct = {.name = "print"};
    svi_buf text;
    svi_buf_init(&text, &acct);
    if (p->what->flags & SV_COMMAND_ONE)
        print_one(p, json_array_get(rows, 0), &text);
    else
        print_table(p, rows, &text);
    svi_buf_free(&text);
}

/* What a backup is: "name  value" for each member that says something. */
void svi_print_backup(const json_t *answer)
{
    static const char *const members[] = {"file", "made", "version", "host",  "commit",
                                          "maps", "rows", "units",   "bytes", "salt"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        const json_t *value = json_object_get(answer, members[i]);
        const char *text = json_string_value(value);
        if (text && *text)
            (void)printf("%-8s %s\n", members[i], text);
        else if (json_is_integer(value))
            (void)printf("%-8s %" JSON_INTEGER_FORMAT "\n", members[i], json_integer_value(value));
        else if (json_is_boolean(value))
            (void)printf("%-8s %s\n", members[i], json_is_true(value) ? "yes" : "no");
    }
}
