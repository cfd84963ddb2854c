/* Printing answers: status, modules, reload, users. */
#include "main/main_print.h"

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

static void print_status(const json_t *a)
{
    (void)printf("version      %s\n", text_of(a, "version"));
    (void)printf("process      %" PRId64 "\n", number_of(a, "pid"));
    (void)printf("up           ");
    print_period(number_of(a, "uptime-s"));
    print_list("hosts        ", json_object_get(a, "hosts"));
    (void)printf("connections  %" PRId64 "\n", number_of(a, "connections"));
    (void)printf("sessions     %" PRId64 "\n", number_of(a, "sessions"));
    (void)printf("locked out   %" PRId64 "\n", number_of(a, "locked-out"));
    (void)printf("memory       %" PRId64 " KiB resident, %" PRId64 " KiB accounted\n",
                 number_of(a, "resident-bytes") / 1024, number_of(a, "accounted-bytes") / 1024);
    print_certificates(json_object_get(a, "certificates"));
    print_members("ledger (stanzas)", json_object_get(a, "ledger"));
    print_members("store", json_object_get(a, "store"));
}

static void print_modules(const json_t *a)
{
    const json_t *list = json_object_get(a, "modules");
    (void)printf("%-16s %-24s %-9s %10s %10s %10s  %s\n", "MODULE", "HOST", "STATE", "CALLS",
                 "CPU-MS", "KIB", "WHAT");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        (void)printf("%-16s %-24s %-9s %10" PRId64 " %10" PRId64 " %10" PRId64 "  %s\n",
                     text_of(m, "name"), text_of(m, "host"), text_of(m, "state"),
                     number_of(m, "calls"), number_of(m, "cpu-us") / 1000,
                     number_of(m, "bytes") / 1024, text_of(m, "summary"));
    }
}

static void print_names(const json_t *a)
{
    const json_t *names = json_object_get(a, "names");
    for (size_t i = 0; i < json_array_size(names); i++)
        (void)printf("%s@%s\n", json_string_value(json_array_get(names, i)), text_of(a, "host"));
}

void svi_print_answer(svi_command command, const json_t *answer)
{
    switch (command) {
    case SVI_CMD_STATUS: print_status(answer); break;
    case SVI_CMD_MODULES: print_modules(answer); break;
    case SVI_CMD_USER_LIST: print_names(answer); break;
    case SVI_CMD_RELOAD:
        print_list("taken over: ", json_object_get(answer, "taken-over"));
        print_list("needs a restart: ", json_object_get(answer, "needs-restart"));
        if (*text_of(answer, "log")) (void)printf("log: %s\n", text_of(answer, "log"));
        break;
    case SVI_CMD_USER_ADD:
    case SVI_CMD_USER_PASSWD:
    case SVI_CMD_USER_DELETE:
        (void)printf("%s: %s\n", text_of(answer, "address"), text_of(answer, "what"));
        break;
    default: break;
    }
}
