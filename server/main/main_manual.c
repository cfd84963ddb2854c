/* stave(1) as roff. */
#include "main/main_manual.h"

/* --- roff --------------------------------------------------------------------------------------------- */

/* Text as it is: a backslash, a hyphen that is a minus (in what is typed), a control character at a line's front. */
static void put_text(svi_buf *out, sv_str text)
{
    bool at_front = out->len == 0 || out->data[out->len - 1] == '\n';
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i];
        if (at_front && (c == '.' || c == '\'')) svi_buf_put(out, SV_STR("\\&"));
        if (c == '\\')
            svi_buf_put(out, SV_STR("\\e"));
        else if (c == '-')
            svi_buf_put(out, SV_STR("\\-"));
        else if (c == '`' || c == '\'')
            svi_buf_put(out, c == '`' ? SV_STR("\\(ga") : SV_STR("\\(aq"));
        else
            svi_buf_putc(out, c);
        at_front = c == '\n';
    }
}

static void put_z(svi_buf *out, const char *text)
{
    put_text(out, sv_str_of(text));
}

/* A sentence of a summary: with a capital and a full stop. */
static void put_sentence(svi_buf *out, const char *text)
{
    const sv_str all = sv_str_of(text);
    char first[2] = {text[0], '\0'};
    if (first[0] >= 'a' && first[0] <= 'z') first[0] = (char)(first[0] - 'a' + 'A');
    put_z(out, first);
    put_text(out, svi_str_sub(all, 1, all.n));
    svi_buf_put(out, svi_str_ends(all, SV_STR(".")) ? SV_STR("\n") : SV_STR(".\n"));
}

/* --- a command ---------------------------------------------------------------------------------------- */

static void put_usage(const sv_command *c, svi_buf *out)
{
    const sv_arg *arg;
    svi_acct acct = {.name = "manual"};
    svi_buf usage;
    svi_buf_init(&usage, &acct);
    svi_buf_put(out, SV_STR("\\fBstave "));
    put_z(out, c->name);
    svi_buf_put(out, SV_STR("\\fR"));
    for (size_t i = 0; (arg = svi_arg_at(c, i)) != NULL; i++) {
        if (arg->kind == SV_ARG_SECRET) continue;
        svi_buf_clear(&usage);
        svi_arg_usage(arg, &usage);
        svi_buf_putc(out, ' ');
        put_text(out, svi_buf_str(&usage));
    }
    svi_buf_putc(out, '\n');
    svi_buf_free(&usage);
}

static void put_bounds(const sv_arg *arg, svi_buf *out)
{
    if (arg->kind != SV_ARG_WORD && (arg->min || arg->max)) {
        svi_buf_put(out, SV_STR("; from "));
        put_z(out, arg->min ? arg->min : "any");
        svi_buf_put(out, SV_STR(" to "));
        put_z(out, arg->max ? arg->max : "any");
    }
    if (arg->preset) {
        svi_buf_put(out, SV_STR("; "));
        put_z(out, arg->preset);
        svi_buf_put(out, SV_STR(" if it is not given"));
    }
    svi_buf_put(out, SV_STR(".\n"));
}

static void put_args(const sv_command *c, svi_buf *out)
{
    const sv_arg *arg;
    svi_acct acct = {.name = "manual"};
    svi_buf usage;
    svi_buf_init(&usage, &acct);
    svi_buf_put(out, SV_STR(".RS\n"));
    for (size_t i = 0; (arg = svi_arg_at(c, i)) != NULL; i++) {
        sv_arg shown = *arg;
        shown.flags |= SV_ARG_REQUIRED; /* no brackets here */
        svi_buf_clear(&usage);
        if (arg->kind == SV_ARG_SECRET)
            svi_buf_put(&usage, SV_STR("standard input"));
        else
            svi_arg_usage(&shown, &usage);
        svi_buf_put(out, SV_STR(".TP\n"));
        put_text(out, svi_buf_str(&usage));
        svi_buf_putc(out, '\n');
        put_z(out, arg->manual);
        put_bounds(arg, out);
    }
    svi_buf_put(out, SV_STR(".RE\n"));
    svi_buf_free(&usage);
}

static void put_command(const sv_command *c, svi_buf *out)
{
    svi_buf_put(out, SV_STR(".TP\n"));
    put_usage(c, out);
    put_sentence(out, c->summary);
    if (c->manual) {
        put_z(out, c->manual);
        svi_buf_putc(out, '\n');
    }
    if (c->flags & SV_COMMAND_OFFLINE)
        svi_buf_put(out, SV_STR("Works also while no server is running.\n"));
    if (svi_arg_at(c, 0)) put_args(c, out);
    if (!c->examples) return;
    svi_buf_put(out, SV_STR(".IP\nFor example:\n.RS\n.IP\n.nf\n"));
    sv_str rest = sv_str_of(c->examples), line;
    while (svi_str_split(&rest, '\n', &line)) {
        svi_buf_put(out, SV_STR("stave "));
        put_text(out, line);
        svi_buf_putc(out, '\n');
    }
    svi_buf_put(out, SV_STR(".fi\n.RE\n"));
}

static void put_commands(const svi_decls *decls, bool of_core, svi_buf *out)
{
    for (size_t i = 0; i < decls->count; i++) {
        const svi_core_command *core = svi_core_find(sv_str_of(decls->items[i]->name));
        const bool is_hidden = core && (core->flags & SVI_CORE_HIDDEN);
        if ((core != NULL) == of_core && !is_hidden) put_command(decls->items[i], out);
    }
}

/* --- the page ----------------------------------------------------------------------------------------- */

static const char front[] =
    ".TH STAVE 1 \"\" \"Stave " SVI_VERSION "\" \"Stave\"\n"
    ".SH NAME\n"
    "stave \\- an XMPP server, and the command of its operators\n"
    ".SH SYNOPSIS\n"
    ".B stave\n"
    "\\fICOMMAND\\fR [\\fIARGUMENT\\fR ...] [\\fB\\-\\-config\\fR \\fIFILE\\fR] [\\fB\\-\\-json\\fR]\n"
    ".SH DESCRIPTION\n"
    "\\fBstave serve\\fR is the server; all other commands ask it through a socket in its state folder, which only its\n"
    "user and root may enter. What is said to work without a server then opens the stored data itself.\n"
    ".SH COMMANDS\n";

static const char options[] =
    ".SH OPTIONS\n"
    ".TP\n"
    "\\fB\\-\\-config\\fR \\fIFILE\\fR\n"
    "The configuration (\\fI" SVI_DEFAULT_CONFIG "\\fR).\n"
    ".TP\n"
    "\\fB\\-\\-json\\fR\n"
    "The answer is one JSON document on standard output, also when the command fails: \"ok\" is then false, \"error\" says why,\n"
    "and \"class\" is usage, not\\-found, refused, failed or no\\-server. Records are in \"rows\".\n"
    ".TP\n"
    "\\fB\\-\\-help\\fR\n"
    "Tells about the command.\n"
    ".SH \"EXIT STATUS\"\n"
    ".TP\n0\nDone.\n"
    ".TP\n1\nRefused or failed; the reason is on standard error.\n"
    ".TP\n2\nWrong use: no such command or option, an argument is missing or malformed.\n"
    ".TP\n3\nNo server is running.\n"
    ".SH FILES\n"
    ".TP\n\\fI" SVI_DEFAULT_CONFIG "\\fR\nThe configuration; \\fBstave options\\fR lists its words.\n"
    ".SH NOTES\n"
    "Passwords are asked for, or read from standard input if that is no terminal: one line. Bash and zsh complete commands,\n"
    "options, hosts and accounts.\n";

void svi_manual(const svi_decls *decls, svi_buf *out)
{
    svi_buf_put(out, sv_str_of(front));
    put_commands(decls, true, out);
    svi_buf_put(out, SV_STR(".SH \"COMMANDS OF MODULES\"\nThese are there if the module is enabled.\n"));
    put_commands(decls, false, out);
    svi_buf_put(out, sv_str_of(options));
}
