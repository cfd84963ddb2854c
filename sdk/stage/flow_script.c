/* Scripts: lines to steps, each done at once. The language is described in doc/flow.md. */
#include "flow_play.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef flow_play script;

bool flow_play_fail(script *s, const char *format, ...)
{
    if (s->result->failed) return false;
    s->result->failed = true;
    int n = snprintf(s->result->text, sizeof s->result->text, "%s:%d: ", s->path, s->line);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->result->text + n, sizeof s->result->text - (size_t)n, format, args);
    va_end(args);
    return false;
}

static bool skip(script *s, const char *why)
{
    s->result->skipped = true;
    (void)snprintf(s->result->text, sizeof s->result->text, "%s", why);
    return false;
}

/* --- XML in scripts ------------------------------------------------------------------------------------ */

static bool is_kept_in(sv_str text, sv_str name)
{
    char save[100];
    const int n = snprintf(save, sizeof save, "{save %.*s}", (int)name.n, name.p);
    return n > 0 && (size_t)n < sizeof save && memmem(text.p, text.n, save, (size_t)n) != NULL;
}

/* A misspelt {NAME} would be sent as it stands, or match nothing, which some steps take for success. */
bool flow_play_knows_names(script *s, sv_str text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '{') continue;
        size_t end = i + 1;
        while (end < text.n && memchr(letters, text.p[end], sizeof letters - 1)) end++;
        const sv_str name = svi_str_sub(text, i + 1, end - i - 1);
        if (name.n == 0 || end == text.n || text.p[end] != '}' || flow_vars_has(&s->vars, name))
            continue;
        if (!is_kept_in(text, name))
            return flow_play_fail(s, "nothing is kept as {%.*s}", (int)name.n, name.p);
    }
    return true;
}

/* The elements of a block, inside a wrapper that declares the stream prefix. */
sv_stanza *flow_play_parse(script *s, sv_str text)
{
    if (!flow_play_knows_names(s, text)) return NULL;
    const sv_str whole = svi_arena_printf(s->arena, "<flow xmlns:stream='%s'>%.*s</flow>",
                                          SVI_NS_STREAM, (int)text.n, text.p);
    sv_stanza *block = NULL;
    sv_err err;
    if (svi_stanza_parse(s->acct, NULL, whole, SV_STR(SVI_NS_CLIENT), &block, &err) != SV_OK)
        (void)flow_play_fail(s, "the XML of the script can't be parsed: %s", err.text);
    else if (!svi_node_first(svi_stanza_root(block)))
        (void)flow_play_fail(s, "there is no element in it");
    if (s->result->failed && block) svi_stanza_unref(&block);
    return block;
}

sv_str flow_play_bytes(script *s, const sv_node *node)
{
    svi_buf buf;
    svi_buf_init(&buf, s->acct);
    svi_node_write(&buf, node, SV_STR(SVI_NS_CLIENT));
    const sv_str text = svi_arena_str(s->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return text;
}

static sv_str item_text(script *s, const flow_item *item)
{
    enum { SHOWN_BYTES = 1200 };
    if (item->is_end) return SV_STR("</stream:stream>");
    const sv_str text = flow_play_bytes(s, svi_stanza_root(item->stanza));
    return text.n <= SHOWN_BYTES ? text
                                 : svi_arena_printf(s->arena, "%.*s ... (%zu bytes)",
                                                    (int)SHOWN_BYTES, text.p, text.n);
}

/* --- receiving ------------------------------------------------------------------------------------------- */

static bool is_ignored(script *s, const flow_client *c, const flow_item *item)
{
    char why[400];
    for (size_t i = 0; i < s->ignored_count && item->stanza; i++) {
        if (s->ignored[i].client != c) continue;
        const sv_node *root = svi_stanza_root(s->ignored[i].pattern);
        for (const sv_node *w = svi_node_first(root); w; w = svi_node_next(root, w))
            if (flow_match(w, svi_stanza_root(item->stanza), &s->vars, why, sizeof why))
                return true;
    }
    return false;
}

static flow_item *next_item(script *s, flow_client *c)
{
    for (;;) {
        flow_item *item = flow_client_next(c);
        if (!item || !is_ignored(s, c, item)) return item;
        flow_client_drop_first(c);
    }
}

static bool receive_in_order(script *s, flow_client *c, const sv_node *block)
{
    for (const sv_node *want = svi_node_first(block); want; want = svi_node_next(block, want)) {
        flow_item *item = next_item(s, c);
        char why[600];
        if (!item)
            return flow_play_fail(s, "%s waits for %s\n  but %s", c->name, flow_play_bytes(s, want).p, c->why);
        if (item->is_end ||
            !flow_match(want, svi_stanza_root(item->stanza), &s->vars, why, sizeof why)) {
            if (item->is_end) (void)snprintf(why, sizeof why, "the stream ended");
            return flow_play_fail(s, "%s waits for %s\n  but got  %s\n  (%s)", c->name, flow_play_bytes(s, want).p,
                        item_text(s, item).p, why);
        }
        flow_client_drop_first(c);
    }
    return true;
}

static bool receive_any_order(script *s, flow_client *c, const sv_node *block)
{
    const sv_node *wanted[64];
    size_t left = 0;
    for (const sv_node *want = svi_node_first(block); want; want = svi_node_next(block, want)) {
        SV_ASSERT(left < sizeof wanted / sizeof wanted[0]);
        wanted[left++] = want;
    }
    while (left) {
        flow_item *item = next_item(s, c);
        if (!item)
            return flow_play_fail(s, "%s still waits for %s\n  but %s", c->name, flow_play_bytes(s, wanted[0]).p,
                        c->why);
        size_t i = 0;
        char why[600] = "the stream ended";
        for (; i < left; i++) {
            if (!item->is_end &&
                flow_match(wanted[i], svi_stanza_root(item->stanza), &s->vars, why, sizeof why))
                break;
        }
        if (i == left)
            return flow_play_fail(s, "%s got, unexpected: %s\n  still waits for %s\n  (%s)", c->name,
                        item_text(s, item).p, flow_play_bytes(s, wanted[0]).p, why);
        wanted[i] = wanted[--left];
        flow_client_drop_first(c);
    }
    return true;
}

/* What the network and the late disk of the stage owe. */
void flow_play_pass_owed(script *s)
{
    enum { MOST = 100000 };
    for (int i = 0; s->world->pass_owed && i < MOST && s->world->pass_owed(s->world); i++) continue;
}

/* After this everything sent so far has been handled and what it caused is in the inboxes. */
bool flow_play_sync(script *s)
{
    flow_play_pass_owed(s);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < s->client_count; i++) {
            flow_client *c = s->clients[i];
            if (c->pipe && !flow_client_sync(c, s->clients, s->client_count) && c->pipe)
                return flow_play_fail(s, "%s: %s", c->name, c->why);
        }
    return true;
}

static bool receive_nothing(script *s, flow_client *c)
{
    if (!flow_play_sync(s)) return false;
    while (c->inbox) {
        if (!is_ignored(s, c, c->inbox))
            return flow_play_fail(s, "%s should get nothing but got %s", c->name, item_text(s, c->inbox).p);
        flow_client_drop_first(c);
    }
    return true;
}

/* After a set-up: what came so far is none of the script's business. */
static bool forget(script *s, flow_client *c)
{
    if (!flow_play_sync(s)) return false;
    while (c->inbox) flow_client_drop_first(c);
    return true;
}

static bool must_not_receive(script *s, flow_client *c, const sv_node *block)
{
    if (!flow_play_sync(s)) return false;
    char why[600];
    for (const flow_item *item = c->inbox; item; item = item->next)
        for (const sv_node *bad = svi_node_first(block); bad && item->stanza;
             bad = svi_node_next(block, bad))
            if (flow_match(bad, svi_stanza_root(item->stanza), &s->vars, why, sizeof why))
                return flow_play_fail(s, "%s must not receive %s", c->name, item_text(s, item).p);
    return true;
}

/* --- clients ----------------------------------------------------------------------------------------------- */

static flow_client *find_client(script *s, sv_str name)
{
    for (size_t i = 0; i < s->client_count; i++)
        if (sv_str_eq(sv_str_of(s->clients[i]->name), name)) return s->clients[i];
    return NULL;
}

static void copy(char *to, size_t n, sv_str text)
{
    (void)snprintf(to, n, "%.*s", (int)text.n, text.n ? text.p : "");
}

/* A step that begins with it is no client's. */
static bool is_first_word(sv_str name)
{
    static const char *const words[] = {"operator", "server", "log", "network", "store", "host", "file"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sv_str_eq(name, sv_str_of(words[i]))) return true;
    return false;
}

/* client NAME USER@DOMAIN[/RESOURCE] [PASSWORD]   |   client NAME raw [DOMAIN | USER@DOMAIN [PASSWORD]] */
static bool define_client(script *s, sv_str rest)
{
    sv_str name, jid, password = SV_STR_NONE;
    if (!svi_str_split(&rest, ' ', &name)) return flow_play_fail(s, "client NAME JID");
    rest = svi_str_trim(rest);
    (void)svi_str_split(&rest, ' ', &jid);
    rest = svi_str_trim(rest);
    (void)svi_str_split(&rest, ' ', &password);
    if (find_client(s, name)) return flow_play_fail(s, "there is a client of that name");
    if (is_first_word(name)) return flow_play_fail(s, "no client can have that name");
    if (s->client_count == FLOW_CLIENTS) return flow_play_fail(s, "too many clients");
    flow_client *c = svi_alloc(s->acct, sizeof *c);
    c->world = s->world;
    c->tail = &c->inbox;
    c->arena = svi_arena_new(s->acct, 0);
    svi_buf_init(&c->out, s->acct);
    copy(c->name, sizeof c->name, name);
    s->clients[s->client_count++] = c;
    if (sv_str_eq(jid, SV_STR("raw"))) {
        jid = password;
        rest = svi_str_trim(rest);
        password = SV_STR_NONE;
        (void)svi_str_split(&rest, ' ', &password);
        c->raw = jid.n == 0                        ? FLOW_RAW_BYTES
                 : svi_str_find(jid, '@') == jid.n ? FLOW_RAW_TLS
                                                   : FLOW_RAW_LOGIN;
        if (c->raw == FLOW_RAW_TLS) copy(c->domain, sizeof c->domain, jid);
        if (c->raw != FLOW_RAW_LOGIN) return true;
    }
    const size_t at = svi_str_find(jid, '@');
    if (at == jid.n) return flow_play_fail(s, "'%.*s' is no account", (int)jid.n, jid.p);
    const sv_str after = svi_str_sub(jid, at + 1, jid.n);
    const size_t slash = svi_str_find(after, '/');
    copy(c->user, sizeof c->user, svi_str_sub(jid, 0, at));
    copy(c->domain, sizeof c->domain, svi_str_sub(after, 0, slash));
    copy(c->resource, sizeof c->resource, svi_str_sub(after, slash + 1, after.n));
    copy(c->password, sizeof c->password, password.n ? password : SV_STR("secret"));
    flow_vars_set(&s->vars, svi_arena_printf(s->arena, "%s.user", c->name), sv_str_of(c->user));
    for (size_t i = 0; i + 1 < s->client_count; i++)
        if (strcmp(s->clients[i]->user, c->user) == 0 &&
            strcmp(s->clients[i]->domain, c->domain) == 0)
            return true;
    svi_buf why;
    svi_buf_init(&why, s->acct);
    const bool ok = s->world->add_account(s->world, sv_str_of(c->user), sv_str_of(c->domain), sv_str_of(c->password), &why);
    if (!ok)
        (void)flow_play_fail(s, "the account %s@%s can't be made%s%.*s", c->user, c->domain, why.len > 0 ? ": " : "", (int)why.len,
                   why.len > 0 ? why.data : "");
    svi_buf_free(&why);
    return ok;
}

static bool is_closed(script *s, flow_client *c)
{
    while (c->pipe) {
        flow_item *item = flow_client_next(c);
        if (!item && c->pipe) return flow_play_fail(s, "%s should be closed, but %s", c->name, c->why);
        while (c->inbox) {
            if (!c->inbox->is_end && !is_ignored(s, c, c->inbox))
                return flow_play_fail(s, "%s should be closed but got %s", c->name, item_text(s, c->inbox).p);
            flow_client_drop_first(c);
        }
    }
    return true;
}

/* --- steps --------------------------------------------------------------------------------------------------- */

static bool with_block(script *s, flow_client *c, sv_str text,
                       bool (*run)(script *, flow_client *, const sv_node *))
{
    sv_stanza *block = flow_play_parse(s, text);
    if (!block) return false;
    const bool ok = run(s, c, svi_stanza_root(block));
    svi_stanza_unref(&block);
    return ok;
}

static bool ignore(script *s, flow_client *c, sv_str text)
{
    if (s->ignored_count == sizeof s->ignored / sizeof s->ignored[0])
        return flow_play_fail(s, "too many patterns are ignored");
    sv_stanza *block = flow_play_parse(s, text);
    if (!block) return false;
    s->ignored[s->ignored_count].client = c;
    s->ignored[s->ignored_count++].pattern = block;
    return true;
}

static bool done(script *s, flow_client *c, bool ok)
{
    if (!ok) return flow_play_fail(s, "%s: %s", c->name, c->why);
    return true;
}

/* What the others sent is handled before this client acts, so that a script's lines happen one after the other on a live server,
 * too. */
bool flow_play_settle_others(script *s, const flow_client *c)
{
    while (s->is_in_order && s->world->pass_owed && s->world->pass_owed(s->world)) {}
    for (size_t i = 0; s->world->wait_input && i < s->client_count; i++) {
        flow_client *other = s->clients[i];
        if (other == c || !other->pipe || !other->unsynced) continue;
        if (!flow_client_sync(other, s->clients, s->client_count) && other->pipe)
            return flow_play_fail(s, "%s: %s", other->name, other->why);
    }
    return true;
}

/* On a live server nobody can do that. */
static bool fail_connection(script *s, flow_client *c, bool is_cut)
{
    if (!s->world->change) return skip(s, is_cut ? "needs a network that fails: is cut" : "needs a network that fails: falls silent");
    if (!c->pipe) return flow_play_fail(s, "%s is not connected", c->name);
    if (is_cut)
        flow_client_cut(c);
    else
        flow_client_silence(c);
    return true;
}

static bool client_step(script *s, flow_client *c, sv_str rest)
{
    const bool acts = sv_str_eq(rest, SV_STR("connects")) || sv_str_eq(rest, SV_STR("leaves")) ||
                      sv_str_eq(rest, SV_STR("vanishes")) || svi_str_starts(rest, SV_STR("sends "));
    if (acts && !flow_play_settle_others(s, c)) return false;
    if (sv_str_eq(rest, SV_STR("connects"))) return done(s, c, flow_client_connect(c));
    if (sv_str_eq(rest, SV_STR("can't connect"))) {
        if (c->pipe) return flow_play_fail(s, "%s is connected already", c->name);
        const bool connected = flow_client_connect(c);
        if (!connected && (!c->pipe || c->broken)) return done(s, c, false); /* not for a reason of the server's */
        if (!connected) flow_client_vanish(c);
        return connected ? flow_play_fail(s, "%s could connect", c->name) : true;
    }
    if (sv_str_eq(rest, SV_STR("leaves"))) return flow_client_leave(c), true;
    if (sv_str_eq(rest, SV_STR("vanishes"))) return flow_client_vanish(c), true;
    if (sv_str_eq(rest, SV_STR("is cut")) || sv_str_eq(rest, SV_STR("falls silent"))) return fail_connection(s, c, sv_str_eq(rest, SV_STR("is cut")));
    if (sv_str_eq(rest, SV_STR("is closed"))) return is_closed(s, c);
    if (sv_str_eq(rest, SV_STR("receives nothing"))) return receive_nothing(s, c);
    if (sv_str_eq(rest, SV_STR("forgets"))) return forget(s, c);
    const bool writes = svi_str_starts(rest, SV_STR("writes "));
    if (writes || svi_str_starts(rest, SV_STR("sends "))) {
        if (!flow_play_knows_names(s, rest)) return false;
        const sv_str text = flow_vars_expand(&s->vars, svi_str_trim(svi_str_sub(rest, writes ? 7 : 6, rest.n)));
        return done(s, c, writes ? flow_client_write(c, text) : flow_client_send(c, text));
    }
    if (svi_str_starts(rest, SV_STR("must not receive ")))
        return with_block(s, c, svi_str_sub(rest, 17, rest.n), must_not_receive);
    if (svi_str_starts(rest, SV_STR("ignores "))) return ignore(s, c, svi_str_sub(rest, 8, rest.n));
    if (svi_str_starts(rest, SV_STR("receives in any order ")) ||
        svi_str_starts(rest, SV_STR("receives in any order\n")))
        return with_block(s, c, svi_str_sub(rest, 22, rest.n), receive_any_order);
    if (svi_str_starts(rest, SV_STR("receives ")))
        return with_block(s, c, svi_str_sub(rest, 9, rest.n), receive_in_order);
    return flow_play_fail(s, "the step is not understood");
}

static bool modules_step(script *s, sv_str rest)
{
    sv_str name;
    if (s->client_count > 0) return flow_play_fail(s, "modules come before the first client");
    if (rest.n == 0) return flow_play_fail(s, "modules is followed by names of modules");
    while (s->world->enable != NULL && svi_str_split(&rest, ' ', &name))
        if (name.n > 0 && !s->world->enable(s->world, name)) return flow_play_fail(s, "modules come before the first connection, and not beside modules_enabled");
    return true;
}

static bool wait_step(script *s, sv_str rest)
{
    int64_t us;
    if (!flow_time(rest, &us)) return flow_play_fail(s, "wait is followed by a time such as 5s or 200ms");
    s->world->pass_time(s->world, us);
    return true;
}

/* A line of configuration, in which {folder} is the script's folder of files. */
static sv_str config_line(script *s, sv_str line)
{
    static const char word[] = "{folder}";
    const char *at = line.n > 0 ? memmem(line.p, line.n, word, sizeof word - 1) : NULL;
    const char *folder = at && s->world->folder ? s->world->folder(s->world) : NULL;
    if (!folder) return line;
    const size_t before = (size_t)(at - line.p);
    return svi_arena_printf(s->arena, "%.*s%s%.*s", (int)before, line.p, folder, (int)(line.n - before - sizeof word + 1),
                            at + sizeof word - 1);
}

static bool step(script *s, sv_str text)
{
    sv_str rest = text, word;
    (void)svi_str_split(&rest, ' ', &word);
    if (sv_str_eq(word, SV_STR("client"))) return define_client(s, rest);
    bool is_done;
    if (flow_play_is_of_stage(s, text, &is_done)) return is_done;
    if (sv_str_eq(word, SV_STR("wait"))) return wait_step(s, svi_str_trim(rest));
    if (s->is_again && (sv_str_eq(word, SV_STR("modules")) || sv_str_eq(word, SV_STR("config")))) return true;
    if (sv_str_eq(word, SV_STR("modules"))) return modules_step(s, svi_str_trim(rest));
    if (sv_str_eq(word, SV_STR("config"))) {
        if (s->client_count > 0) return flow_play_fail(s, "config comes before the first client");
        if (s->world->configure && s->world->configure(s->world, config_line(s, rest))) return true;
        s->result->skipped = true;
        (void)snprintf(s->result->text, sizeof s->result->text, "needs a config of its own: %.*s",
                       (int)rest.n, rest.p);
        return false;
    }
    flow_client *c = find_client(s, word);
    return c ? client_step(s, c, svi_str_trim(rest))
             : flow_play_fail(s, "there is no client '%.*s'", (int)word.n, word.p);
}

/* --- files --------------------------------------------------------------------------------------------------- */

/* The account's name in a line such as "client NAME [raw] USER@DOMAIN ..."; empty if there is none. */
static sv_str user_of_line(sv_str line)
{
    sv_str word;
    if (!svi_str_starts(line, SV_STR("client "))) return SV_STR_NONE;
    (void)svi_str_split(&line, ' ', &word);
    line = svi_str_trim(line);
    (void)svi_str_split(&line, ' ', &word);
    line = svi_str_trim(line);
    (void)svi_str_split(&line, ' ', &word);
    line = svi_str_trim(line);
    if (sv_str_eq(word, SV_STR("raw"))) (void)svi_str_split(&line, ' ', &word);
    const size_t at = svi_str_find(word, '@');
    return at == word.n ? SV_STR_NONE : svi_str_sub(word, 0, at);
}

static void note_user(script *s, sv_str user)
{
    for (size_t i = 0; i < s->user_count; i++)
        if (sv_str_eq(s->users[i], user)) return;
    if (user.n > 0 && s->user_count < FLOW_CLIENTS) s->users[s->user_count++] = svi_arena_str(s->arena, user);
}

/* The user whose "USER@" stands at text[at]; empty if none does. */
static sv_str user_at(const script *s, sv_str text, size_t at)
{
    if (at > 0 && strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", text.p[at - 1])) return SV_STR_NONE;
    const sv_str rest = svi_str_sub(text, at, text.n);
    for (size_t i = 0; i < s->user_count; i++) {
        const sv_str user = s->users[i];
        if (svi_str_starts(rest, user) && rest.n > user.n && rest.p[user.n] == '@') return user;
    }
    return SV_STR_NONE;
}

/* USER@DOMAIN of the script's clients becomes USER+suffix@DOMAIN everywhere. */
static sv_str with_suffix(script *s, sv_str text)
{
    if (!s->suffix[0]) return text;
    sv_str lines = text, line;
    while (svi_str_split(&lines, '\n', &line)) note_user(s, user_of_line(line));
    svi_buf buf;
    svi_buf_init(&buf, s->acct);
    for (size_t i = 0; i < text.n;) {
        const sv_str user = user_at(s, text, i);
        svi_buf_put(&buf, user);
        if (user.n > 0) svi_buf_put(&buf, sv_str_of(s->suffix));
        i += user.n;
        svi_buf_putc(&buf, text.p[i++]); /* behind a user: the @ */
    }
    text = svi_arena_str(s->arena, svi_buf_str(&buf));
    svi_buf_free(&buf);
    return text;
}

/* A lenient play's step has failed: true if it goes on all the same, since nothing that follows needs what the step did. */
static bool is_passed_over(script *s, sv_str text)
{
    static const char *const looks[] = {"receives", "must not receive ", "forgets", "is closed", "can't connect"};
    sv_str word;
    s->unmet++;
    if (!s->result->failed) return false;
    (void)svi_str_split(&text, ' ', &word);
    text = svi_str_trim(text);
    flow_client *c = find_client(s, word);
    bool is_look = sv_str_eq(word, SV_STR("log")) || sv_str_eq(word, SV_STR("file")) || sv_str_eq(word, SV_STR("operator"));
    for (size_t i = 0; c != NULL && i < sizeof looks / sizeof *looks; i++)
        is_look = is_look || svi_str_starts(text, sv_str_of(looks[i]));
    s->result->failed = false;
    while (c != NULL && c->inbox) flow_client_drop_first(c);
    return is_look;
}

/* A script for the other kind of world is skipped. */
static bool is_elsewhere(script *s, sv_str line)
{
    const char *other = s->world->wait_input ? "# stage-only:" : "# live-only:";
    if (!svi_str_starts(line, sv_str_of(other))) return false;
    s->result->skipped = true;
    (void)snprintf(s->result->text, sizeof s->result->text, "%s %.*s", s->path, (int)line.n,
                   line.p);
    return true;
}

static void run_lines(script *s, int first_line, sv_str text)
{
    sv_str line;
    int at = first_line - 1;
    bool more = svi_str_split(&text, '\n', &line);
    while (more) {
        at++;
        s->line = at;
        const bool is_step = line.n && line.p[0] != '#' && line.p[0] != ' ';
        sv_str whole = line;
        /* what is indented, or blank inside a block, belongs to the step above it */
        while ((more = svi_str_split(&text, '\n', &line)) && (line.n == 0 || line.p[0] == ' ')) {
            at++;
            whole = svi_arena_printf(s->arena, "%.*s\n%.*s", (int)whole.n, whole.p, (int)line.n,
                                     line.n ? line.p : "");
        }
        if (is_elsewhere(s, whole)) return;
        if (!is_step || step(s, svi_str_trim(whole))) continue;
        if (!s->is_lenient || !is_passed_over(s, svi_str_trim(whole))) return;
    }
}

flow_play *flow_play_new(flow_world *world, const char *suffix)
{
    script *s = svi_alloc(world->acct, sizeof *s);
    s->world = world;
    s->acct = world->acct;
    s->suffix = suffix;
    s->arena = svi_arena_new(s->acct, 0);
    s->vars.arena = s->arena;
    return s;
}

bool flow_play_run(flow_play *s, const char *name, int first_line, sv_str text, flow_result *result)
{
    *result = (flow_result){.failed = false};
    s->path = name;
    s->result = result;
    run_lines(s, first_line, with_suffix(s, text));
    return !result->failed && !result->skipped;
}

void flow_play_be_lenient(flow_play *s)
{
    s->is_lenient = true;
}

void flow_play_in_order(flow_play *s)
{
    s->is_in_order = true;
}

void flow_play_again(flow_play *s)
{
    s->is_again = true;
    s->logged = s->world->log_lines ? s->world->log_lines(s->world).n : 0;
}

unsigned flow_play_unmet(const flow_play *s)
{
    return s->unmet;
}

bool flow_play_is_answered(flow_play *s, char *why, size_t why_bytes)
{
    for (size_t i = 0; i < s->client_count; i++) {
        (void)flow_client_pump(s->clients[i]);
        if (!flow_client_is_answered(s->clients[i], why, why_bytes)) return false;
    }
    return true;
}

void flow_play_leave(flow_play *s)
{
    for (size_t i = 0; i < s->client_count; i++) flow_client_leave(s->clients[i]);
}

void flow_play_free(flow_play **play)
{
    script *s = *play;
    *play = NULL;
    for (size_t i = 0; i < s->client_count; i++) {
        flow_client_free(s->clients[i]);
        svi_free(s->clients[i]);
    }
    for (size_t i = 0; i < s->ignored_count; i++) svi_stanza_unref(&s->ignored[i].pattern);
    svi_arena_free(&s->arena);
    svi_free(s);
}

void flow_run(flow_world *world, const char *path, sv_str text, const char *suffix, flow_result *result)
{
    flow_play *play = flow_play_new(world, suffix);
    (void)flow_play_run(play, path, 1, text, result);
    flow_play_free(&play);
}
