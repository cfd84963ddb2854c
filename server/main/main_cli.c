/* The command line: which command, and its arguments by their declarations. */
#include "main/main_cli.h"

#include "base/base_assert.h"

/* --- which command ------------------------------------------------------------------------------------ */

/* True if the arguments begin with the command's words; how many there are in *used_out. */
static bool begins(const sv_command *c, int argc, char *const *argv, int *used_out)
{
    sv_str words = sv_str_of(c->name), word;
    int used = 0;
    while (svi_str_split(&words, ' ', &word)) {
        if (used >= argc || !sv_str_eq(sv_str_of(argv[used]), word)) return false;
        used++;
    }
    *used_out = used;
    return true;
}

static bool is_hidden(const sv_command *c)
{
    const svi_core_command *core = svi_core_find(sv_str_of(c->name));
    return core && (core->flags & SVI_CORE_HIDDEN);
}

static sv_str first_word(const char *name)
{
    const sv_str all = sv_str_of(name);
    return svi_str_sub(all, 0, svi_str_find(all, ' '));
}

/* What to suggest for a misspelt command of one word or two: "did you mean ...", in `to`. */
static bool nearest(const svi_decls *decls, sv_str typed, sv_str two, svi_buf *to)
{
    sv_str best = SV_STR_NONE;
    size_t best_distance = typed.n / 3 + 2;
    for (size_t i = 0; i < decls->count; i++) {
        if (is_hidden(decls->items[i])) continue;
        const sv_str name = sv_str_of(decls->items[i]->name);
        const sv_str candidates[] = {name, first_word(decls->items[i]->name)};
        for (size_t k = 0; k < 2; k++) {
            size_t distance = svi_str_distance(typed, candidates[k], best_distance);
            const size_t whole = svi_str_distance(two, candidates[k], best_distance);
            if (whole < distance) distance = whole;
            if (distance >= best_distance) continue;
            best_distance = distance;
            best = candidates[k];
        }
    }
    svi_buf_put(to, best);
    return best.n > 0;
}

/* "user: add, passwd, delete or list? (remove)", for a first word of several commands. */
static bool put_group(const svi_decls *decls, sv_str first, const char *second, svi_buf *to)
{
    size_t count = 0, at = 0;
    for (size_t i = 0; i < decls->count; i++)
        count += sv_str_eq(first_word(decls->items[i]->name), first);
    if (count == 0) return false;
    svi_buf_put(to, first);
    svi_buf_put(to, SV_STR(": "));
    for (size_t i = 0; i < decls->count; i++) {
        const sv_str name = sv_str_of(decls->items[i]->name);
        if (!sv_str_eq(first_word(decls->items[i]->name), first)) continue;
        svi_buf_put(to, at == 0 ? SV_STR("") : at + 1 == count ? SV_STR(" or ") : SV_STR(", "));
        svi_buf_put(to, svi_str_sub(name, first.n + 1, name.n));
        at++;
    }
    const bool is_word = second && second[0] != '-';
    svi_buf_printf(to, "? (%.60s)", is_word ? second : "nothing was given");
    return true;
}

static sv_status unknown(const svi_decls *decls, int argc, char *const *argv, sv_err *err)
{
    svi_acct acct = {.name = "command"};
    svi_buf text, two;
    svi_buf_init(&text, &acct);
    svi_buf_init(&two, &acct);
    if (!put_group(decls, sv_str_of(argv[0]), argc > 1 ? argv[1] : NULL, &text)) {
        svi_buf_printf(&two, "%.60s %.60s", argv[0], argc > 1 ? argv[1] : "");
        svi_buf near;
        svi_buf_init(&near, &acct);
        const bool has = nearest(decls, sv_str_of(argv[0]), svi_buf_str(&two), &near);
        svi_buf_printf(&text, "there is no command '%.60s'", argv[0]);
        if (has) svi_buf_printf(&text, "; did you mean '%.*s'?", (int)near.len, near.data);
        svi_buf_free(&near);
    }
    (void)svi_err(err, SV_ENOTFOUND, "%.*s", (int)text.len, text.data);
    svi_buf_free(&text);
    svi_buf_free(&two);
    return SV_ENOTFOUND;
}

static sv_status find_command(const svi_decls *decls, int argc, char *const *argv, svi_cli *cli,
                              int *used_out, sv_err *err)
{
    const sv_str first = sv_str_of(argv[0]);
    *used_out = 0;
    for (size_t i = 0; i < decls->count; i++) { /* of "backup" and "backup check" the longer one */
        int used;
        if (!begins(decls->items[i], argc, argv, &used) || used <= *used_out) continue;
        *used_out = used;
        cli->what = decls->items[i];
    }
    if (cli->what) {
        cli->core = svi_core_find(sv_str_of(cli->what->name));
        return SV_OK;
    }
    *used_out = 1;
    const bool is_help = sv_str_eq(first, SV_STR("--help")) || sv_str_eq(first, SV_STR("-h"));
    if (!is_help && !sv_str_eq(first, SV_STR("--version"))) return unknown(decls, argc, argv, err);
    cli->core = svi_core_find(is_help ? SV_STR("help") : SV_STR("version"));
    cli->what = &cli->core->what;
    return SV_OK;
}

/* --- options ------------------------------------------------------------------------------------------ */

static bool is_option(const sv_arg *arg)
{
    return (arg->flags & SV_ARG_OPTION) || arg->kind == SV_ARG_FLAG;
}

static sv_status put(svi_cli *cli, const char *name, const char *value, sv_err *err)
{
    if (json_object_get(cli->request, name))
        return svi_err(err, SV_EINVAL, "%s: %s is given twice", cli->what->name, name);
    json_t *text = json_string(value);
    if (!text) return svi_err(err, SV_EINVAL, "%s: %s must be UTF-8", cli->what->name, name);
    return json_object_set_new(cli->request, name, text) == 0 ? SV_OK : SV_EINVAL;
}

/* Tells that the command has no such option, and which comes near. */
static sv_status no_option(const svi_cli *cli, const char *name, sv_err *err)
{
    const char *best = NULL;
    const sv_arg *arg;
    size_t best_distance = 3;
    for (size_t i = 0; (arg = svi_arg_at(cli->what, i)) != NULL; i++) {
        const size_t distance = svi_str_distance(sv_str_of(name + 2), sv_str_of(arg->name), best_distance);
        if (!is_option(arg) || distance >= best_distance) continue;
        best_distance = distance;
        best = arg->name;
    }
    return svi_err(err, SV_EINVAL, "%s takes no option '%.60s'%s%s%s", cli->what->name, name,
                   best ? "; did you mean '--" : "", best ? best : "", best ? "'?" : "");
}

/* Options of all commands; false if it is none, or the command does not take it. */
static bool take_common(svi_cli *cli, sv_str name, const char *value, bool *has_value_out)
{
    const unsigned flags = cli->core ? cli->core->flags : 0;
    *has_value_out = false;
    if (sv_str_eq(name, SV_STR("--help")) || sv_str_eq(name, SV_STR("-h"))) {
        cli->wants_help = true;
        return true;
    }
    if (sv_str_eq(name, SV_STR("--json")) && !(flags & SVI_CORE_NO_JSON)) return true;
    *has_value_out = true;
    if (!sv_str_eq(name, SV_STR("--config")) || (flags & SVI_CORE_NO_CONFIG)) return false;
    if (value) cli->config = value;
    return true;
}

static const sv_arg *option_of(const sv_command *what, sv_str name)
{
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(what, i)) != NULL; i++)
        if (is_option(arg) && sv_str_eq(svi_str_sub(name, 2, name.n), sv_str_of(arg->name))) return arg;
    return NULL;
}

/* One option: "--name", "--name value" or "--name=value"; whether the next argument was used. */
static sv_status take_option(svi_cli *cli, const char *text, const char *next, bool *used_out,
                             sv_err *err)
{
    char name[64];
    bool has_value;
    const sv_str all = sv_str_of(text);
    const size_t equals = svi_str_find(all, '=');
    const char *value = equals < all.n ? text + equals + 1 : next;
    *used_out = false;
    if (equals >= sizeof name) return no_option(cli, text, err);
    memcpy(name, text, equals);
    name[equals] = '\0';
    if (!take_common(cli, sv_str_of(name), value, &has_value)) {
        const sv_arg *arg = svi_str_starts(all, SV_STR("--")) ? option_of(cli->what, sv_str_of(name)) : NULL;
        if (!arg) return no_option(cli, all.n > 2 ? name : text, err);
        has_value = arg->kind != SV_ARG_FLAG;
        if (!has_value || value) {
            const sv_status status = put(cli, arg->name, has_value ? value : "true", err);
            if (status != SV_OK) return status;
        }
    }
    if (has_value && !value) return svi_err(err, SV_EINVAL, "%s needs a value behind it", name);
    if (!has_value && equals < all.n)
        return svi_err(err, SV_EINVAL, "%s takes no value", name);
    *used_out = has_value && equals == all.n;
    return SV_OK;
}

static bool is_many(const svi_core_command *core)
{
    return core && (core->flags & SVI_CORE_MANY);
}

/* --- arguments by their places -------------------------------------------------------------------------- */

static const sv_arg *positional_at(const sv_command *what, size_t place)
{
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(what, i)) != NULL; i++) {
        if (is_option(arg) || arg->kind == SV_ARG_SECRET) continue;
        if (place-- == 0) return arg;
    }
    return NULL;
}

static sv_status put_one_more(svi_cli *cli, const sv_arg *arg, const char *value, sv_err *err)
{
    json_t *list = json_object_get(cli->request, arg->name), *text = json_string(value);
    if (!text) return svi_err(err, SV_EINVAL, "%s: %s must be UTF-8", cli->what->name, arg->name);
    if (!list) (void)json_object_set_new(cli->request, arg->name, list = json_array());
    return json_array_append_new(list, text) == 0 ? SV_OK : SV_EINVAL;
}

static bool has_secret(const sv_command *what)
{
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(what, i)) != NULL; i++)
        if (arg->kind == SV_ARG_SECRET) return true;
    return false;
}

/* One more word of the argument that takes the rest. */
static sv_status append(svi_cli *cli, const char *name, const char *value, sv_err *err)
{
    json_t *words = json_object_get(cli->request, name);
    if (!words) return put(cli, name, value, err);
    json_t *text = json_sprintf("%s %s", json_string_value(words), value);
    if (!text) return svi_err(err, SV_EINVAL, "%s: %s must be UTF-8", cli->what->name, name);
    return json_object_set_new(cli->request, name, text) == 0 ? SV_OK : SV_EINVAL;
}

static const sv_arg *rest_of(const sv_command *what)
{
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(what, i)) != NULL; i++)
        if (arg->flags & SV_ARG_REST) return arg;
    return NULL;
}

static sv_status take_place(svi_cli *cli, size_t place, const char *text, sv_err *err)
{
    const sv_arg *arg = positional_at(cli->what, place);
    if (is_many(cli->core)) return put_one_more(cli, positional_at(cli->what, 0), text, err);
    const sv_arg *rest = rest_of(cli->what);
    if (rest && (!arg || arg == rest)) return append(cli, rest->name, text, err);
    if (arg) return put(cli, arg->name, text, err);
    if (has_secret(cli->what)) /* what stands here may be one: it is not repeated */
        return svi_err(err, SV_EINVAL,
                       "%s takes nothing more; passwords are asked for or read from standard input",
                       cli->what->name);
    if (place == 0)
        return svi_err(err, SV_EINVAL, "%s takes no argument ('%.60s')", cli->what->name, text);
    return svi_err(err, SV_EINVAL, "%s takes nothing more ('%.60s')", cli->what->name, text);
}

static sv_status check_whole(const svi_cli *cli, sv_err *err)
{
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(cli->what, i)) != NULL; i++) {
        if (!(arg->flags & SV_ARG_REQUIRED) || arg->kind == SV_ARG_SECRET || arg->preset ||
            json_object_get(cli->request, arg->name))
            continue;
        svi_acct acct = {.name = "command"};
        svi_buf usage;
        svi_buf_init(&usage, &acct);
        svi_arg_usage(arg, &usage);
        (void)svi_err(err, SV_EINVAL, "%s needs %.*s: %s", cli->what->name, (int)usage.len, usage.data,
                      arg->manual);
        svi_buf_free(&usage);
        return SV_EINVAL;
    }
    return SV_OK;
}

/* --- all ------------------------------------------------------------------------------------------------ */

static sv_status take_all(svi_cli *cli, int argc, char *const *argv, sv_err *err)
{
    size_t place = 0;
    bool is_over = false; /* behind "--" nothing is an option */
    sv_status status = SV_OK;
    for (int i = 0; i < argc && status == SV_OK; i++) {
        if (!is_over && strcmp(argv[i], "--") == 0) {
            is_over = true;
        } else if (!is_over && argv[i][0] == '-' && argv[i][1] != '\0') {
            bool used;
            status = take_option(cli, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used, err);
            i += used;
        } else {
            status = take_place(cli, place++, argv[i], err);
        }
    }
    return status;
}

/* How many arguments at the front are options of all commands. */
static int leading(int argc, char *const *argv)
{
    int i = 0;
    while (i < argc) {
        const sv_str word = sv_str_of(argv[i]);
        if (sv_str_eq(word, SV_STR("--json")) || svi_str_starts(word, SV_STR("--config=")))
            i++;
        else if (sv_str_eq(word, SV_STR("--config")) && i + 1 < argc)
            i += 2;
        else
            break;
    }
    return i;
}

/* Where problems are told, and where the server is, must be known also if the rest is wrong. */
static void look_ahead(svi_cli *cli, int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const sv_str word = sv_str_of(argv[i]);
        if (sv_str_eq(word, SV_STR("--json"))) cli->is_json = true;
        if (svi_str_starts(word, SV_STR("--config="))) cli->config = argv[i] + 9;
        if (sv_str_eq(word, SV_STR("--config")) && i + 1 < argc) cli->config = argv[i + 1];
    }
}

sv_status svi_cli_parse(int argc, char *const *argv, const svi_decls *decls, svi_cli *cli_out,
                        sv_err *err)
{
    *cli_out = (svi_cli){.program = argc > 0 ? argv[0] : "stave",
                         .config = SVI_DEFAULT_CONFIG,
                         .control = -1,
                         .channel = -1,
                         .request = json_object()};
    look_ahead(cli_out, argc, argv);
    const int first = argc > 0 ? 1 + leading(argc - 1, argv + 1) : 0;
    if (first >= argc) return svi_err(err, SV_EINVAL, "what is to be done? `stave help` tells");
    int used;
    sv_status status = find_command(decls, argc - first, argv + first, cli_out, &used, err);
    if (status != SV_OK) return status;
    if (cli_out->is_json && cli_out->core && (cli_out->core->flags & SVI_CORE_NO_JSON))
        return svi_err(err, SV_EINVAL, "%s takes no option '--json'", cli_out->what->name);
    (void)json_object_set_new(cli_out->request, "command", json_string(cli_out->what->name));
    status = take_all(cli_out, argc - first - used, argv + first + used, err);
    return status == SV_OK && !cli_out->wants_help ? check_whole(cli_out, err) : status;
}

void svi_cli_free(svi_cli *cli)
{
    json_decref(cli->request);
    cli->request = NULL;
}

const char *svi_cli_arg(const svi_cli *cli, const char *name)
{
    return json_string_value(json_object_get(cli->request, name));
}

/* --- help ----------------------------------------------------------------------------------------------- */

enum { HELP_WIDTH = 34 };

static void put_usage(const sv_command *c, svi_buf *out)
{
    const sv_arg *arg;
    svi_buf_printf(out, "stave %s", c->name);
    for (size_t i = 0; (arg = svi_arg_at(c, i)) != NULL; i++) {
        if (arg->kind == SV_ARG_SECRET) continue;
        svi_buf_putc(out, ' ');
        svi_arg_usage(arg, out);
    }
    if (is_many(svi_core_find(sv_str_of(c->name)))) svi_buf_put(out, SV_STR("..."));
}

static void pad(svi_buf *out, size_t from, size_t width)
{
    if (out->len - from > width) {
        svi_buf_putc(out, '\n');
        from = out->len;
    }
    while (out->len - from < width + 2) svi_buf_putc(out, ' ');
}

/* "  stave user add NAME@HOST    make an account" */
static void put_line(const sv_command *c, svi_buf *out)
{
    svi_buf_put(out, SV_STR("  "));
    const size_t from = out->len;
    put_usage(c, out);
    if (out->len - from > HELP_WIDTH) {
        svi_buf_put(out, SV_STR("\n  "));
        pad(out, out->len, HELP_WIDTH);
    } else {
        pad(out, from, HELP_WIDTH);
    }
    svi_buf_put(out, sv_str_of(c->summary));
    svi_buf_putc(out, '\n');
}

static void put_bounds(const sv_arg *arg, svi_buf *out)
{
    if (arg->kind != SV_ARG_WORD && (arg->min || arg->max))
        svi_buf_printf(out, "; from %s to %s", arg->min ? arg->min : "any", arg->max ? arg->max : "any");
    if (arg->preset) svi_buf_printf(out, "; %s if it is not given", arg->preset);
}

static void put_args(const sv_command *c, svi_buf *out)
{
    const sv_arg *arg;
    for (size_t i = 0; (arg = svi_arg_at(c, i)) != NULL; i++) {
        svi_buf_put(out, SV_STR("  "));
        const size_t from = out->len;
        sv_arg shown = *arg;
        shown.flags |= SV_ARG_REQUIRED; /* no brackets here */
        if (arg->kind == SV_ARG_SECRET)
            svi_buf_put(out, SV_STR("standard input"));
        else
            svi_arg_usage(&shown, out);
        pad(out, from, 26);
        svi_buf_put(out, sv_str_of(arg->manual));
        put_bounds(arg, out);
        svi_buf_putc(out, '\n');
    }
    const svi_core_command *core = svi_core_find(sv_str_of(c->name));
    const unsigned flags = core ? core->flags : 0;
    if (!(flags & SVI_CORE_NO_CONFIG))
        svi_buf_put(out, SV_STR("  --config FILE               the configuration (" SVI_DEFAULT_CONFIG ")\n"));
    if (!(flags & SVI_CORE_NO_JSON))
        svi_buf_put(out, SV_STR("  --json                      answer as one JSON document\n"));
}

static const char ends[] =
    "Exit status: 0 done, 1 refused or failed, 2 wrong use, 3 no server is running.\n";

static void put_whole(const sv_command *c, svi_buf *out)
{
    put_usage(c, out);
    svi_buf_printf(out, "\n\n  %s\n", c->summary);
    if (c->manual) svi_buf_printf(out, "\n%s\n", c->manual);
    svi_buf_putc(out, '\n');
    put_args(c, out);
    sv_str rest = sv_str_of(c->examples), line;
    if (rest.n > 0) svi_buf_put(out, SV_STR("\nFor example:\n"));
    while (svi_str_split(&rest, '\n', &line))
        svi_buf_printf(out, "  stave %.*s\n", (int)line.n, line.p);
    if (has_secret(c))
        svi_buf_put(out, SV_STR("\nThe password is asked for, or read from standard input if that is no "
                                "terminal: one line.\n"));
    svi_buf_putc(out, '\n');
    if (c->flags & SV_COMMAND_OFFLINE)
        svi_buf_put(out, SV_STR("Works also while no server is running.\n"));
    svi_buf_put(out, sv_str_of(ends));
}

bool svi_cli_help(const svi_decls *decls, sv_str topic, svi_buf *out)
{
    bool found = topic.n == 0;
    for (size_t i = 0; i < decls->count; i++) {
        if (!sv_str_eq(sv_str_of(decls->items[i]->name), topic)) continue;
        put_whole(decls->items[i], out);
        return true;
    }
    if (found) svi_buf_put(out, SV_STR("stave " SVI_VERSION ", an XMPP server\n\n"));
    for (size_t i = 0; i < decls->count; i++) {
        const sv_command *c = decls->items[i];
        if (is_hidden(c) || (topic.n > 0 && !sv_str_eq(first_word(c->name), topic))) continue;
        put_line(c, out);
        found = true;
    }
    if (topic.n > 0 || !found) return found;
    svi_buf_put(out, SV_STR("\n"
                            "  --config FILE   the configuration (" SVI_DEFAULT_CONFIG ")\n"
                            "  --json          answer as one JSON document\n"
                            "\n"
                            "`stave help COMMAND` tells more of one. Passwords are asked for, or read from\n"
                            "standard input if that is no terminal: one line.\n"));
    svi_buf_put(out, sv_str_of(ends));
    return true;
}
