/* An operator in scripts: command lines, read as `stave` reads them, run on the modules of the stage. */
#include "flow.h"

#include "main/main_cli.h"
#include "mods/mods_command.h"
#include <string.h>

enum { WORDS_MAX = 64, COMMANDS_MAX = 256, LINE_BYTES = 16384 };

/* A command under way. */
typedef struct errand {
    svi_mods *mods;
    json_t *answer;
} errand;

static void run(void *ctx, svi_request *request)
{
    svi_mods_run(((errand *)ctx)->mods, request);
}

static void on_answer(void *ctx, json_t *take_answer)
{
    ((errand *)ctx)->answer = take_answer;
}

/* Words are parted by blanks; between double quotes blanks belong to them. In place. More than WORDS_MAX if there are too many. */
static int split(char *line, char **words)
{
    int count = 0;
    char *to = line;
    for (const char *at = line; *at;) {
        while (*at == ' ') at++;
        if (!*at) break;
        if (count == WORDS_MAX) return WORDS_MAX + 1;
        words[count++] = to;
        bool is_quoted = false;
        for (; *at && (is_quoted || *at != ' '); at++) {
            if (*at == '"')
                is_quoted = !is_quoted;
            else
                *to++ = *at;
        }
        if (*at) at++;
        *to++ = 0;
    }
    return count;
}

static size_t list_commands(const svi_mods *mods, const sv_command **list)
{
    const char *module;
    size_t count = 0;
    while (count < COMMANDS_MAX && (list[count] = svi_mods_command(mods, count, &module))) count++;
    return count;
}

/* --- answers ------------------------------------------------------------------------------------------------- */

static void put_value(svi_buf *out, const json_t *value)
{
    const json_t *item;
    size_t i;
    switch (json_typeof(value)) {
    case JSON_STRING: svi_write_attr(out, sv_str_of(json_string_value(value))); break;
    case JSON_INTEGER: svi_buf_printf(out, "%lld", (long long)json_integer_value(value)); break;
    case JSON_ARRAY:
        json_array_foreach(value, i, item)
        {
            if (i > 0) svi_buf_putc(out, ' ');
            put_value(out, item);
        }
        break;
    default: svi_buf_put(out, json_is_true(value) ? SV_STR("yes") : SV_STR("no"));
    }
}

static void put_rows(svi_buf *out, json_t *rows)
{
    const char *name;
    json_t *row, *value;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        svi_buf_put(out, SV_STR("<row"));
        json_object_foreach(row, name, value)
        {
            if (json_is_null(value)) continue;
            svi_buf_printf(out, " %s='", name);
            put_value(out, value);
            svi_buf_putc(out, '\'');
        }
        svi_buf_put(out, SV_STR("/>"));
    }
}

/* One page; *more_out is where the next one begins, NULL at the end. */
static bool ask(flow_world *world, svi_server *server, errand *e, const svi_cli *cli, svi_buf *out, bool *more_out)
{
    e->answer = NULL;
    svi_request_run(server, cli->what, cli->request, run, e, on_answer, e);
    while (!e->answer && (world->settle(world) || (world->pass_owed && world->pass_owed(world)))) {}
    if (!e->answer) {
        svi_buf_put(out, SV_STR("the command was not answered"));
        return false;
    }
    const bool is_done = json_is_true(json_object_get(e->answer, "ok"));
    json_t *more = json_object_get(e->answer, "more");
    if (is_done)
        put_rows(out, json_object_get(e->answer, "rows"));
    else
        svi_buf_put(out, sv_str_of(json_string_value(json_object_get(e->answer, "error"))));
    *more_out = is_done && more;
    if (more) (void)json_object_set(cli->request, "from", more);
    json_decref(e->answer);
    return is_done;
}

bool flow_operate(flow_world *world, svi_server *server, svi_mods *mods, sv_str line, svi_buf *out)
{
    static char program[] = "stave";
    char text[LINE_BYTES], *words[WORDS_MAX + 1] = {program};
    const sv_command *commands[COMMANDS_MAX + 1];
    const svi_decls decls = {commands, list_commands(mods, commands)};
    svi_cli cli;
    sv_err err = {.text = ""};
    errand e = {.mods = mods};
    (void)snprintf(text, sizeof text, "%.*s", (int)line.n, line.p);
    const int count = split(text, words + 1);
    if (line.n >= sizeof text || count > WORDS_MAX) {
        svi_buf_put(out, SV_STR("the command line is too long for a script"));
        return false;
    }
    bool is_done = svi_cli_parse(count + 1, words, &decls, &cli, &err) == SV_OK, more = true;
    if (!is_done) svi_buf_put(out, sv_str_of(err.text));
    while (is_done && more) is_done = ask(world, server, &e, &cli, out, &more);
    svi_cli_free(&cli);
    return is_done;
}
