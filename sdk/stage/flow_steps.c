/* Scripts: the steps of operator, server, network, log and files. */
#include "flow_play.h"

#include <stdio.h>
#include <string.h>

typedef flow_play script;

/* --- the operator ------------------------------------------------------------------------------------------- */

static bool rows_match(script *s, const sv_node *got_rows, const sv_node *want_rows)
{
    char why[600];
    const sv_node *got = svi_node_first(got_rows);
    for (const sv_node *want = want_rows ? svi_node_first(want_rows) : NULL; want; want = svi_node_next(want_rows, want)) {
        if (!got) return flow_play_fail(s, "the answer lacks %s", flow_play_bytes(s, want).p);
        if (!flow_match(want, got, &s->vars, why, sizeof why))
            return flow_play_fail(s, "the answer has %s\n  in place of %s\n  (%s)", flow_play_bytes(s, got).p, flow_play_bytes(s, want).p, why);
        got = svi_node_next(got_rows, got);
    }
    return got ? flow_play_fail(s, "the answer also has %s", flow_play_bytes(s, got).p) : true;
}

/* The answer's rows are those of the block, in its order, and no others; without a block there are none. */
static bool is_answer(script *s, sv_str answer, sv_str block)
{
    sv_stanza *want = NULL, *got = NULL;
    sv_err err;
    const sv_str whole = svi_arena_printf(s->arena, "<flow>%.*s</flow>", (int)answer.n, answer.p);
    if (block.n && !(want = flow_play_parse(s, block))) return false;
    bool ok = svi_stanza_parse(s->acct, NULL, whole, SV_STR(SVI_NS_CLIENT), &got, &err) == SV_OK;
    if (!ok) (void)flow_play_fail(s, "the answer is no XML: %s", err.text);
    ok = ok && rows_match(s, svi_stanza_root(got), want ? svi_stanza_root(want) : NULL);
    if (got) svi_stanza_unref(&got);
    if (want) svi_stanza_unref(&want);
    return ok;
}

/* What comes back of a step that the world does; takes `why`. */
static bool is_done_in(script *s, bool is_done, svi_buf *why, const char *what)
{
    const sv_str text = svi_arena_str(s->arena, svi_buf_str(why));
    svi_buf_free(why);
    return is_done ? true : flow_play_fail(s, "%s: %s", what, text.p);
}

/* operator reloads MODULE */
static bool reload(script *s, sv_str module)
{
    svi_buf why;
    svi_buf_init(&why, s->acct);
    return is_done_in(s, s->world->reload(s->world, svi_str_trim(module), &why), &why, "the module is not loaded anew");
}

/* operator runs COMMAND   |   operator can't run COMMAND, with what it answers / part of the reason below */
static bool operate(script *s, sv_str rest)
{
    const bool is_refused = svi_str_starts(rest, SV_STR("can't run "));
    if (svi_str_starts(rest, SV_STR("reloads "))) return reload(s, svi_str_sub(rest, 8, rest.n));
    if (!is_refused && !svi_str_starts(rest, SV_STR("runs "))) return flow_play_fail(s, "the operator runs, or can't run, a command, or reloads a module");
    sv_str block = svi_str_sub(rest, is_refused ? 10 : 5, rest.n), line;
    (void)svi_str_split(&block, '\n', &line);
    block = svi_str_trim(block);
    if (is_refused && block.n == 0) return flow_play_fail(s, "for which reason can't it be run? It stands below");
    if (!flow_play_knows_names(s, line)) return false;
    line = flow_vars_expand(&s->vars, line);
    for (size_t i = 0; i < s->client_count; i++)
        if (!flow_play_settle_others(s, s->clients[i])) return false;
    (void)s->world->settle(s->world); /* who left has left */
    flow_play_pass_owed(s);
    svi_buf answer;
    svi_buf_init(&answer, s->acct);
    const bool is_done = s->world->operate(s->world, line, &answer);
    const sv_str text = svi_arena_str(s->arena, svi_buf_str(&answer));
    svi_buf_free(&answer);
    if (!is_refused) return is_done ? is_answer(s, text, block) : flow_play_fail(s, "the command was not done: %s", text.p);
    if (is_done) return flow_play_fail(s, "the command was done");
    return memmem(text.p, text.n, block.p, block.n) ? true : flow_play_fail(s, "the command was not done, but: %s", text.p);
}

/* server is killed: all connections are lost then. */
static bool kill_server(script *s)
{
    svi_buf why;
    svi_buf_init(&why, s->acct);
    const bool is_up = s->world->kill(s->world, &why);
    for (size_t i = 0; i < s->client_count; i++) {
        (void)flow_client_pump(s->clients[i]);
        svi_buf_clear(&s->clients[i]->out);
    }
    return is_done_in(s, is_up, &why, "the server does not start again");
}

/* network ..., store ..., host ... */
static bool change(script *s, sv_str text)
{
    svi_buf why;
    svi_buf_init(&why, s->acct);
    const bool ok = s->world->change(s->world, text, &why);
    const sv_str reason = svi_arena_str(s->arena, svi_buf_str(&why));
    svi_buf_free(&why);
    return ok ? true : flow_play_fail(s, "%.*s", (int)reason.n, reason.p);
}

/* server restarts: nobody is connected then.   |   server can't start, with part of the reason below */
static bool restart(script *s, sv_str rest)
{
    svi_buf why;
    if (sv_str_eq(rest, SV_STR("is killed"))) return kill_server(s);
    const bool is_refused = svi_str_starts(rest, SV_STR("can't start\n"));
    if (!is_refused && !sv_str_eq(rest, SV_STR("restarts"))) return flow_play_fail(s, "the server restarts, is killed, or can't start for a reason that stands below");
    for (size_t i = 0; i < s->client_count; i++) flow_client_vanish(s->clients[i]);
    svi_buf_init(&why, s->acct);
    const bool is_up = s->world->restart(s->world, &why);
    if (!is_refused) return is_done_in(s, is_up, &why, "the server does not start");
    const sv_str reason = svi_str_trim(svi_str_sub(rest, 12, rest.n));
    const bool is_said = why.len > 0 && memmem(why.data, why.len, reason.p, reason.n) != NULL;
    return is_done_in(s, !is_up && is_said, &why, is_up ? "the server starts" : "the server does not start, but");
}

/* log has TEXT   |   log lacks TEXT */
static bool look_into_log(script *s, sv_str rest)
{
    const bool lacks = svi_str_starts(rest, SV_STR("lacks "));
    if (!lacks && !svi_str_starts(rest, SV_STR("has "))) return flow_play_fail(s, "the log has, or lacks, a text");
    const sv_str text = flow_vars_expand(&s->vars, svi_str_trim(svi_str_sub(rest, lacks ? 6 : 4, rest.n)));
    if (!flow_play_sync(s)) return false;
    sv_str log = s->world->log_lines(s->world);
    log = svi_str_sub(log, s->logged, log.n);
    if ((memmem(log.p, log.n, text.p, text.n) != NULL) != lacks) return true;
    return flow_play_fail(s, "the log %s %.*s", lacks ? "has" : "lacks", (int)text.n, text.p);
}

/* file NAME holds, with lines below   |   file NAME has TEXT   |   file NAME lacks TEXT */
static bool use_file(script *s, sv_str rest)
{
    static const char wrong[] = "a file holds the lines below, has a text, or lacks one";
    sv_str name;
    svi_buf text, why;
    const char *folder = s->world->folder(s->world);
    if (!folder) return flow_play_fail(s, "no folder for files can be made");
    svi_buf_init(&text, s->acct);
    svi_buf_init(&why, s->acct);
    (void)svi_str_split(&rest, ' ', &name);
    rest = svi_str_trim(rest);
    const bool lacks = svi_str_starts(rest, SV_STR("lacks "));
    if (svi_str_starts(rest, SV_STR("holds\n"))) {
        const bool is_written = flow_file_write(folder, name, svi_str_sub(rest, 6, rest.n), &why);
        svi_buf_free(&text);
        return is_done_in(s, is_written, &why, "the file can't be written");
    }
    const sv_str what = flow_vars_expand(&s->vars, svi_str_trim(svi_str_sub(rest, lacks ? 6 : 4, rest.n)));
    bool ok = lacks || svi_str_starts(rest, SV_STR("has ")) ? flow_play_sync(s) : flow_play_fail(s, wrong);
    if (ok && !flow_file_read(folder, name, &text, &why)) ok = is_done_in(s, false, &why, "the file can't be read");
    else svi_buf_free(&why);
    const bool is_there = text.len > 0 && memmem(text.data, text.len, what.p, what.n) != NULL;
    svi_buf_free(&text);
    if (ok && is_there == lacks) return flow_play_fail(s, "the file %s %.*s", lacks ? "has" : "lacks", (int)what.n, what.p);
    return ok;
}

static bool step_of_stage(script *s, sv_str text, bool (*run)(script *, sv_str))
{
    if (s->world->operate) return run(s, svi_str_trim(text));
    s->result->skipped = true;
    (void)snprintf(s->result->text, sizeof s->result->text, "needs an operator: %.*s", (int)text.n, text.p);
    return false;
}

bool flow_play_is_of_stage(flow_play *s, sv_str text, bool *is_done_out)
{
    static const struct {
        const char *word;
        bool (*run)(script *s, sv_str rest);
        bool is_whole; /* `run` gets the word, too */
    } steps[] = {
        {"operator", operate, false}, {"server", restart, false}, {"network", change, true}, {"store", change, true},
        {"host", change, true},       {"log", look_into_log, false}, {"file", use_file, false},
    };
    sv_str rest = text, word;
    (void)svi_str_split(&rest, ' ', &word);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (!sv_str_eq(word, sv_str_of(steps[i].word))) continue;
        *is_done_out = step_of_stage(s, steps[i].is_whole ? text : rest, steps[i].run);
        return true;
    }
    return false;
}
