/* Declarations of commands: a module's tables taken over, checked, as JSON and back. */
#include "mods/mods_command.h"

#include <ctype.h>

#include "base/base_assert.h"

enum { NAME_BYTES = 64, COMMANDS_MAX = 256 };

const sv_command *svi_command_at(const sv_command *commands, size_t i)
{
    return commands && commands[i].name ? &commands[i] : NULL;
}

const sv_arg *svi_arg_at(const sv_command *command, size_t i)
{
    return command->args && command->args[i].name ? &command->args[i] : NULL;
}

const sv_column *svi_column_at(const sv_command *command, size_t i)
{
    return command->columns && command->columns[i].name ? &command->columns[i] : NULL;
}

/* --- what may be declared --------------------------------------------------------------------------- */

static bool is_word(sv_str text)
{
    bool fine = text.n > 0 && text.n < NAME_BYTES && text.p[0] != '-';
    for (size_t i = 0; i < text.n && fine; i++)
        fine = (text.p[i] >= 'a' && text.p[i] <= 'z') || text.p[i] == '-' ||
               (i > 0 && text.p[i] >= '0' && text.p[i] <= '9');
    return fine;
}

static bool is_command_name(sv_str text)
{
    const size_t blank = svi_str_find(text, ' ');
    return is_word(svi_str_sub(text, 0, blank)) &&
           (blank == text.n || is_word(svi_str_sub(text, blank + 1, text.n)));
}

/* Names with a meaning of their own in requests and on the command line. */
static bool is_reserved(sv_str name)
{
    static const char *const words[] = {"command", "from", "config", "json", "help"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sv_str_eq(name, sv_str_of(words[i]))) return true;
    return false;
}

static bool is_positional(const sv_arg *arg)
{
    return !(arg->flags & SV_ARG_OPTION) && arg->kind != SV_ARG_FLAG && arg->kind != SV_ARG_SECRET;
}

static sv_status check_arg(const sv_command *c, size_t i, sv_err *err)
{
    const sv_arg *arg = svi_arg_at(c, i);
    if (!is_word(sv_str_of(arg->name)))
        return svi_err(err, SV_EINVAL, "command \"%.60s\": \"%.60s\" is no name of an argument",
                       c->name, arg->name);
    if (is_reserved(sv_str_of(arg->name)))
        return svi_err(err, SV_EINVAL, "command \"%.60s\": no argument may be called \"%s\", which means something "
                       "for all commands: choose another name", c->name, arg->name);
    if (arg->kind < SV_ARG_STRING || arg->kind > SV_ARG_FILE || !arg->manual)
        return svi_err(err, SV_EINVAL, "command \"%.60s\": argument \"%s\" lacks kind or manual",
                       c->name, arg->name);
    if (arg->kind == SV_ARG_WORD && !arg->min)
        return svi_err(err, SV_EINVAL, "command \"%.60s\": argument \"%s\" has no words to choose from",
                       c->name, arg->name);
    bool is_open = false;
    for (size_t k = 0; k < i; k++) {
        const sv_arg *before = svi_arg_at(c, k);
        if (strcmp(before->name, arg->name) == 0)
            return svi_err(err, SV_EINVAL, "command \"%.60s\" has two arguments \"%s\"", c->name,
                           arg->name);
        if (is_positional(before) && !(before->flags & SV_ARG_REQUIRED)) is_open = true;
        if ((before->flags & SV_ARG_REST) && is_positional(arg))
            return svi_err(err, SV_EINVAL, "command \"%.60s\": argument \"%s\" stands behind one that takes the rest",
                           c->name, arg->name);
    }
    if (is_open && is_positional(arg) && (arg->flags & SV_ARG_REQUIRED))
        return svi_err(err, SV_EINVAL,
                       "command \"%.60s\": argument \"%s\" is required but stands behind one that is not",
                       c->name, arg->name);
    return SV_OK;
}

static sv_status check_columns(const sv_command *c, sv_err *err)
{
    const sv_column *column;
    for (size_t i = 0; (column = svi_column_at(c, i)) != NULL; i++)
        if (i == SVI_COLUMNS_MAX || !is_word(sv_str_of(column->name)) ||
            column->kind < SV_COLUMN_TEXT || column->kind > SV_COLUMN_LIST)
            return svi_err(err, SV_EINVAL, "command \"%.60s\": column \"%.60s\" can't be", c->name,
                           column->name);
    return SV_OK;
}

sv_status svi_command_check(const sv_command *c, sv_err *err)
{
    if (!is_command_name(sv_str_of(c->name)))
        return svi_err(err, SV_EINVAL,
                       "\"%.60s\" is no name of a command: one or two words of lower-case letters",
                       c->name);
    if (!c->summary || !*c->summary)
        return svi_err(err, SV_EINVAL, "command \"%s\" has no summary", c->name);
    for (size_t i = 0; svi_arg_at(c, i) != NULL; i++) {
        if (i == SVI_ARGS_MAX)
            return svi_err(err, SV_EINVAL, "command \"%s\" has too many arguments", c->name);
        const sv_status status = check_arg(c, i, err);
        if (status != SV_OK) return status;
    }
    return check_columns(c, err);
}

/* --- taking a module's ------------------------------------------------------------------------------ */

void *svi_table_take(svi_arena *arena, const void *table, size_t stride, size_t size, size_t max, size_t *count_out)
{
    size_t count = 0;
    const char *from = table;
    const void *name;
    for (; from && count <= max; count++) {
        memcpy(&name, from + count * stride, sizeof name);
        if (!name) break;
    }
    *count_out = count;
    if (!from) return NULL;
    char *to = svi_arena_get(arena, (count + 1) * size);
    memset(to, 0, (count + 1) * size);
    for (size_t i = 0; i < count; i++)
        memcpy(to + i * size, from + i * stride, size < stride ? size : stride);
    return to;
}

sv_status svi_commands_take(svi_arena *arena, const sv_module_desc *desc,
                            const sv_command **commands_out, sv_err *err)
{
    size_t count, parts;
    sv_command *commands = svi_table_take(arena, desc->commands, desc->command_stride,
                                          sizeof(sv_command), COMMANDS_MAX, &count);
    if (count > COMMANDS_MAX) return svi_err(err, SV_EINVAL, "it declares too many commands");
    for (size_t i = 0; i < count; i++) {
        sv_command *c = &commands[i];
        c->args = svi_table_take(arena, c->args, desc->arg_stride, sizeof(sv_arg), SVI_ARGS_MAX, &parts);
        c->columns = svi_table_take(arena, c->columns, desc->column_stride, sizeof(sv_column),
                                    SVI_COLUMNS_MAX, &parts);
        const sv_status status = svi_command_check(c, err);
        if (status != SV_OK) return status;
        if (!c->run) return svi_err(err, SV_EINVAL, "command \"%s\" runs nothing", c->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(commands[k].name, c->name) == 0)
                return svi_err(err, SV_EINVAL, "it declares command \"%s\" twice", c->name);
    }
    *commands_out = commands;
    return SV_OK;
}

/* --- JSON ------------------------------------------------------------------------------------------- */

static json_t *text_json(const char *text)
{
    json_t *json = text ? json_string(text) : NULL;
    return json ? json : json_null();
}

json_t *svi_command_json(const sv_command *c)
{
    json_t *args = json_array(), *columns = json_array();
    for (size_t i = 0; svi_arg_at(c, i); i++) {
        const sv_arg *a = svi_arg_at(c, i);
        (void)json_array_append_new(
            args, json_pack("{s:s, s:i, s:I, s:o, s:o, s:o, s:o}", "name", a->name, "kind",
                            (int)a->kind, "flags", (json_int_t)a->flags, "preset",
                            text_json(a->preset), "min", text_json(a->min), "max",
                            text_json(a->max), "manual", text_json(a->manual)));
    }
    for (size_t i = 0; svi_column_at(c, i); i++) {
        const sv_column *column = svi_column_at(c, i);
        (void)json_array_append_new(columns,
                                    json_pack("{s:s, s:i, s:o}", "name", column->name, "kind",
                                              (int)column->kind, "head", text_json(column->head)));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "name", c->name, "summary",
                     text_json(c->summary), "manual", text_json(c->manual), "examples",
                     text_json(c->examples), "args", args, "columns", columns, "who",
                     (json_int_t)c->who, "flags", (json_int_t)c->flags);
}

/* A member's text in the arena; NULL if there is none. */
static const char *read_text(svi_arena *arena, const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text ? svi_arena_str(arena, sv_str_of(text)).p : NULL;
}

static int64_t read_number(const json_t *json, const char *name)
{
    return json_integer_value(json_object_get(json, name));
}

bool svi_command_read(svi_arena *arena, const json_t *json, sv_command *command_out)
{
    const json_t *args = json_object_get(json, "args"), *columns = json_object_get(json, "columns");
    const size_t arg_count = json_array_size(args), column_count = json_array_size(columns);
    if (arg_count > SVI_ARGS_MAX || column_count > SVI_COLUMNS_MAX) return false;
    sv_arg *to_args = svi_arena_get(arena, (arg_count + 1) * sizeof *to_args);
    sv_column *to_columns = svi_arena_get(arena, (column_count + 1) * sizeof *to_columns);
    to_args[arg_count] = (sv_arg){.name = NULL};
    to_columns[column_count] = (sv_column){.name = NULL};
    for (size_t i = 0; i < arg_count; i++) {
        const json_t *a = json_array_get(args, i);
        to_args[i] = (sv_arg){.name = read_text(arena, a, "name"),
                              .kind = (sv_arg_kind)read_number(a, "kind"),
                              .flags = (uint32_t)read_number(a, "flags"),
                              .preset = read_text(arena, a, "preset"),
                              .min = read_text(arena, a, "min"),
                              .max = read_text(arena, a, "max"),
                              .manual = read_text(arena, a, "manual")};
        if (!to_args[i].name) return false;
    }
    for (size_t i = 0; i < column_count; i++) {
        const json_t *column = json_array_get(columns, i);
        to_columns[i] = (sv_column){.name = read_text(arena, column, "name"),
                                    .kind = (sv_column_kind)read_number(column, "kind"),
                                    .head = read_text(arena, column, "head")};
        if (!to_columns[i].name) return false;
    }
    *command_out = (sv_command){.name = read_text(arena, json, "name"),
                                .summary = read_text(arena, json, "summary"),
                                .manual = read_text(arena, json, "manual"),
                                .examples = read_text(arena, json, "examples"),
                                .args = to_args,
                                .columns = to_columns,
                                .who = (uint32_t)read_number(json, "who"),
                                .flags = (uint32_t)read_number(json, "flags")};
    return command_out->name && svi_command_check(command_out, NULL) == SV_OK;
}

/* --- usage ------------------------------------------------------------------------------------------ */

static void put_value(const sv_arg *arg, svi_buf *out)
{
    static const char *const names[] = {[SV_ARG_INT] = "N",
                                        [SV_ARG_PERIOD] = "TIME",
                                        [SV_ARG_HOST] = "HOST",
                                        [SV_ARG_ACCOUNT] = "NAME@HOST",
                                        [SV_ARG_LOCAL] = "NAME@HOST[/RESOURCE]",
                                        [SV_ARG_ADDRESS] = "ADDRESS"};
    const char *name = (size_t)arg->kind < sizeof names / sizeof *names ? names[arg->kind] : NULL;
    if (arg->kind == SV_ARG_WORD) {
        sv_str words = sv_str_of(arg->min), word;
        for (bool first = true; svi_str_split(&words, ' ', &word); first = false) {
            if (!first) svi_buf_putc(out, '|');
            svi_buf_put(out, word);
        }
    } else if (name) {
        svi_buf_put(out, sv_str_of(name));
    } else {
        for (const char *at = arg->name; *at; at++) svi_buf_putc(out, (char)toupper((unsigned char)*at));
    }
}

void svi_arg_usage(const sv_arg *arg, svi_buf *out)
{
    if (arg->kind == SV_ARG_SECRET) return;
    const bool is_required = (arg->flags & SV_ARG_REQUIRED) != 0;
    if (!is_required) svi_buf_putc(out, '[');
    if (!is_positional(arg)) svi_buf_printf(out, "--%s", arg->name);
    if (!is_positional(arg) && arg->kind != SV_ARG_FLAG) svi_buf_putc(out, ' ');
    if (arg->kind != SV_ARG_FLAG) put_value(arg, out);
    if (arg->flags & SV_ARG_REST) svi_buf_put(out, SV_STR("..."));
    if (!is_required) svi_buf_putc(out, ']');
}
