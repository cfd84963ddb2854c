/* `stave explain` for people: a head for each stanza, a line for each step, what it caused. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "main/main_explain.h"
#include "main/main_print.h"

enum { LINE_BYTES = 2048 };

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* What comes before it and the text; nothing if that is empty. */
static void put(char line[LINE_BYTES], const char *before, const char *text)
{
    const size_t n = strlen(line);
    if (*text) (void)snprintf(line + n, LINE_BYTES - n, "%s%s", before, text);
}

static void put_ms(char line[LINE_BYTES], const char *before, const json_t *object, const char *name)
{
    const size_t n = strlen(line);
    const json_t *ms = json_object_get(object, name);
    if (ms) (void)snprintf(line + n, LINE_BYTES - n, "%s%.1f ms", before, json_real_value(ms));
}

/* "handed-over, acked" "dropped by queue-full" "in flight" */
static void put_outcome(char line[LINE_BYTES], const json_t *object)
{
    const char *outcome = text_of(object, "outcome");
    put(line, "", *outcome ? outcome : "in flight");
    put(line, "", json_is_true(json_object_get(object, "acked")) ? ", acked" : "");
    put(line, " by the rule ", text_of(object, "rule"));
}

/* "message chat from=A to=B id=1 error=item-not-found" */
static void put_stanza(char line[LINE_BYTES], const json_t *s)
{
    put(line, "", *text_of(s, "element") ? text_of(s, "element") : "?");
    put(line, " ", text_of(s, "type"));
    put(line, " from=", text_of(s, "from"));
    put(line, " to=", text_of(s, "to"));
    put(line, " id=", text_of(s, "id"));
    put(line, " error=", text_of(s, "error"));
}

static void put_by(char line[LINE_BYTES], const json_t *object, const char *module, const char *hook)
{
    put(line, " by ", text_of(object, module));
    put(line, " in ", text_of(object, hook));
}

static void put_asked(char line[LINE_BYTES], const json_t *s)
{
    const size_t n = strlen(line);
    (void)snprintf(line + n, LINE_BYTES - n, "  %-18s %-5s %s", text_of(s, "module"), text_of(s, "verdict"), text_of(s, "hook"));
    put_ms(line, ", took ", s, "took-ms");
    put(line, "", json_is_true(json_object_get(s, "quarantined")) ? ", not asked: it is in quarantine" : "");
}

static void put_number(char line[LINE_BYTES], const char *before, int64_t number)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    put(line, before, text);
}

static void put_step(char line[LINE_BYTES], const json_t *s)
{
    const char *step = text_of(s, "step");
    if (strcmp(step, "point") == 0) {
        put(line, "", text_of(s, "point"));
        put(line, "", json_is_true(json_object_get(s, "inside")) ? " (within it)" : "");
    } else if (strcmp(step, "asked") == 0) {
        put_asked(line, s);
    } else if (strcmp(step, "waits") == 0) {
        put(line, "waits: ", text_of(s, "why"));
        put(line, ", ", text_of(s, "for"));
    } else if (strcmp(step, "goes-on") == 0) {
        put(line, "goes on: ", text_of(s, "why"));
        put_ms(line, ", after ", s, "waited-ms");
    } else if (strcmp(step, "writes") == 0) {
        put_number(line, "waits for its commit ", number_of(s, "commit"));
    } else if (strcmp(step, "committed") == 0) {
        put(line, "", "committed");
        put_ms(line, ", after ", s, "waited-ms");
    } else if (strcmp(step, "sent") == 0) {
        put(line, "queued for ", text_of(s, "session"));
    } else if (strcmp(step, "changed") == 0) {
        put(line, "", "changed");
        put_by(line, s, "module", "hook");
    } else if (strcmp(step, "redirected") == 0) {
        put(line, "redirected to ", text_of(s, "to"));
    } else if (strcmp(step, "disposed") == 0) {
        put_outcome(line, s);
        put_by(line, s, "module", "hook");
    }
}

static void print_head(const json_t *s)
{
    char line[LINE_BYTES] = "", head[64];
    const json_t *id;
    size_t i;
    (void)snprintf(head, sizeof head, "stanza %" PRId64 "  %s  ", number_of(s, "stanza"), text_of(s, "time"));
    put_stanza(line, s);
    put(line, "", ": ");
    put_outcome(line, s);
    svi_print_line(head, line);
    json_array_foreach(json_object_get(s, "ids"), i, id)
    {
        *line = '\0';
        put(line, "", text_of(id, "id"));
        put(line, " by ", text_of(id, "by"));
        svi_print_line(*text_of(id, "by") ? "  stanza-id " : "  origin-id ", line);
    }
    *line = '\0';
    put(line, "", text_of(s, "origin"));
    put_by(line, s, "by", "in");
    if (json_object_get(s, "caused-by")) put_number(line, ", because of stanza ", number_of(s, "caused-by"));
    if (!json_is_true(json_object_get(s, "is-whole"))) put(line, "", "(its beginning is not kept any more)");
    svi_print_line("       ", line);
}

static void print_way(const json_t *s)
{
    const json_t *step;
    size_t i;
    json_array_foreach(json_object_get(s, "way"), i, step)
    {
        char line[LINE_BYTES] = "", head[32];
        (void)snprintf(head, sizeof head, "%9.1f ms  ", json_real_value(json_object_get(step, "ms")));
        put_step(line, step);
        svi_print_line(head, line);
    }
    const int64_t left = number_of(s, "steps-left-out");
    if (left > 0) (void)printf("  and %" PRId64 " steps more\n", left);
}

static void print_caused(const json_t *s)
{
    const json_t *child;
    size_t i;
    json_array_foreach(json_object_get(s, "caused"), i, child)
    {
        char line[LINE_BYTES] = "";
        put_number(line, "caused stanza ", number_of(child, "stanza"));
        put(line, ": ", text_of(child, "origin"));
        put(line, "", ", ");
        put_stanza(line, child);
        put(line, " for ", text_of(child, "session"));
        put(line, "", ": ");
        put_outcome(line, child);
        svi_print_line("  ", line);
    }
    const int64_t left = number_of(s, "caused-count") - (int64_t)json_array_size(json_object_get(s, "caused"));
    if (left > 0) (void)printf("  and %" PRId64 " more that it caused\n", left);
}

void svi_print_explain(const json_t *answer)
{
    const json_t *s;
    size_t i;
    json_array_foreach(json_object_get(answer, "stanzas"), i, s)
    {
        if (i > 0) (void)printf("\n");
        print_head(s);
        print_way(s);
        print_caused(s);
    }
    const json_t *older = json_object_get(answer, "older-before");
    if (older) (void)printf("\nthere are older ones: --before %" JSON_INTEGER_FORMAT "\n", json_integer_value(older));
}
