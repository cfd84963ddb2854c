/* Commands of operators: which there are, and what the running server tells of itself. */
#include "main/main_command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_cli.h"
#include "main/main_figures.h"
#include "main/main_resident.h"
#include "main/main_users.h"
#include "xmpp/xmpp_session.h"

#define MAGIC 0x434d4453u

struct svi_commands {
    uint32_t magic;
    svi_commands_config config;
    svi_users *users;
    int64_t began_us;
    struct turn *turns; /* under way */
};

/* A request under way. */
typedef struct turn {
    struct turn *next, **link;
    svi_commands *commands; /* NULL once they are gone */
    const svi_core_command *core; /* NULL: a module's */
    svi_command_hold *what;       /* its declaration then */
    svi_command_done done;
    void *ctx;
    bool is_returned; /* the answer comes by `done` */
    json_t *now;      /* it came at once */
} turn;

svi_commands *svi_commands_new(const svi_commands_config *config)
{
    svi_commands *commands = svi_alloc(svi_shard_acct(config->shard), sizeof *commands);
    const svi_plat *plat = svi_plat_kernel();
    *commands = (svi_commands){.magic = MAGIC,
                               .config = *config,
                               .users = svi_users_new(config->shard),
                               .began_us = plat->mono_us(plat->ctx)};
    return commands;
}

void svi_commands_free(svi_commands **commands)
{
    if (!*commands) return;
    SV_CHECK(*commands, MAGIC);
    svi_users_free(&(*commands)->users);
    for (turn *t = (*commands)->turns; t; t = t->next) t->commands = NULL;
    (*commands)->magic = 0;
    svi_free(*commands);
    *commands = NULL;
}

json_t *svi_answer_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *answer = svi_answer_vfault(SV_FAULT_FAILED, format, args);
    va_end(args);
    return answer;
}

int64_t svi_commands_up_us(const svi_commands *commands)
{
    SV_CHECK(commands, MAGIC);
    const svi_plat *plat = svi_plat_kernel();
    return plat->mono_us(plat->ctx) - commands->began_us;
}

svi_shard *svi_commands_shard(svi_commands *commands)
{
    SV_CHECK(commands, MAGIC);
    return commands->config.shard;
}

/* --- status ------------------------------------------------------------------------------------------- */

static json_t *ledger_status(svi_server *server)
{
    const svi_ledger *ledger = svi_server_ledger(server);
    const svi_ledger_counts *all = svi_ledger_total(ledger);
    json_t *json = json_object();
    for (int i = 0; i < SVI_ORIGINS; i++)
        (void)json_object_set_new(json, svi_origin_name((svi_origin)i),
                                  json_integer((json_int_t)all->origin[i]));
    for (int i = 0; i < SVI_DISPOSALS; i++)
        (void)json_object_set_new(json, svi_disposal_name((svi_disposal)i),
                                  json_integer((json_int_t)all->disposal[i]));
    (void)json_object_set_new(json, "acked", json_integer((json_int_t)all->acked));
    (void)json_object_set_new(json, "in-flight",
                              json_integer((json_int_t)svi_ledger_in_flight(ledger)));
    (void)json_object_set_new(json, "balanced", json_boolean(svi_server_balances(server)));
    return json;
}

static json_t *store_status(const svi_store *store)
{
    svi_store_stats s;
    svi_store_stats_get(store, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "submitted",
                     (json_int_t)svi_store_submitted(store), "committed",
                     (json_int_t)svi_store_committed(store), "batches", (json_int_t)s.batches,
                     "folds", (json_int_t)s.folds, "tail-bytes", (json_int_t)s.tail_bytes,
                     "journal-bytes", (json_int_t)s.journal_bytes, "index-bytes",
                     (json_int_t)s.index_bytes, "free-bytes", (json_int_t)s.free_bytes,
                     "max-sync-us", (json_int_t)s.max_sync_us, "short-of-space", s.shortage);
}

static json_t *status(const svi_commands *commands)
{
    svi_shard *shard = commands->config.shard;
    svi_server *server = svi_shard_server(shard);
    const int64_t up_us = svi_commands_up_us(commands);
    svi_net_stats net;
    svi_net_stats_get(svi_server_net(server), &net);
    json_t *certificates =
        commands->config.certificates ? commands->config.certificates(commands->config.ctx) : json_array();
    json_t *hosts = json_array();
    for (svi_host *h = svi_host_next(server, NULL); h; h = svi_host_next(server, h))
        (void)json_array_append_new(hosts, json_string(svi_host_name(h)));
    json_t *answer = json_pack(
        "{s:b, s:s, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:o}", "ok", 1, "version",
        SVI_VERSION,
        "pid", (json_int_t)getpid(), "uptime-s", (json_int_t)(up_us / 1000000), "hosts", hosts,
        "certificates", certificates, "connections", (json_int_t)net.open, "sessions", (json_int_t)svi_session_count(server),
        "locked-out", (json_int_t)svi_server_locked(server),
        "ledger", ledger_status(server), "store",
        store_status(svi_server_store(server)), "resident-bytes", (json_int_t)svi_resident_bytes(),
        "accounted-bytes", (json_int_t)atomic_load(&svi_shard_acct(shard)->live_bytes), "router",
        svi_figures_router(shard));
    if (commands->config.upgraded_from)
        (void)json_object_set_new(answer, "upgraded-from", json_string(commands->config.upgraded_from));
    if (commands->config.upgrade_failed)
        (void)json_object_set_new(answer, "upgrade-failed", json_string(commands->config.upgrade_failed));
    return answer;
}

/* --- modules ------------------------------------------------------------------------------------------ */

/* null while it is in none. */
static json_t *quarantine_of(const svi_mod_info *m)
{
    if (m->since_s == 0) return json_null();
    char stamp[32];
    const sv_str since = svi_plat_stamp(m->since_s * 1000000, stamp);
    return json_pack("{s:s, s:s%, s:I, s:I}", "reason", m->reason, "since", since.p, since.n, "refused",
                     (json_int_t)m->refused, "skipped", (json_int_t)m->skipped);
}

static json_t *words(const char *text)
{
    json_t *list = json_array();
    sv_str rest = sv_str_of(text), word;
    while (svi_str_split(&rest, ' ', &word))
        if (word.n > 0) (void)json_array_append_new(list, json_stringn(word.p, word.n));
    return list;
}

/* Why a generation that was replaced is still there; "" for one that runs. */
static sv_str waits_for(const svi_mod_info *m, svi_buf *text)
{
    svi_buf_clear(text);
    if (strcmp(m->state, "draining") != 0) return SV_STR("");
    if (m->events.waiting > 0) svi_buf_printf(text, "%zu that wait in %s, ", m->events.waiting, m->events.hook);
    if (m->events.elsewhere > 0) svi_buf_printf(text, "%zu that it has passed on, ", m->events.elsewhere);
    if (m->events.releasing > 0) svi_buf_printf(text, "%zu that are being stored, ", m->events.releasing);
    if (m->in_flight > 0) svi_buf_printf(text, "%u answers, ", m->in_flight);
    if (text->len == 0) svi_buf_put(text, SV_STR("what it gave to others, "));
    return svi_str_sub(svi_buf_str(text), 0, text->len - 2);
}

static void append_module(json_t *list, const svi_mod_info *m, svi_buf *text)
{
    const sv_str why = waits_for(m, text);
    const size_t events = m->events.waiting + m->events.elsewhere + m->events.releasing;
    json_t *one = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s%, s:o, s:o}", "name", m->name, "host", m->host, "kind",
        m->is_script ? "lua" : "c", "summary", m->summary, "state", m->state, "calls", (json_int_t)m->calls, "cpu-us", (json_int_t)m->cpu_us, "bytes",
        (json_int_t)m->live_bytes, "generation", (json_int_t)m->generation, "events", (json_int_t)events,
        "in-flight", (json_int_t)m->in_flight, "waits-for", why.p, why.n, "quarantine", quarantine_of(m), "needs",
        words(m->needs));
    svi_figures_costs(one, m);
    (void)json_array_append_new(list, one);
}

enum { KEPT_MANY = 200 }; /* generations whose code is mapped for nothing */

static json_t *modules(const svi_commands *commands)
{
    json_t *list = json_array();
    const svi_mods *mods = svi_shard_mods(commands->config.shard);
    svi_mod_info m;
    svi_buf text;
    svi_buf_init(&text, svi_shard_acct(commands->config.shard));
    for (size_t i = 0; svi_mods_info(mods, i, &m); i++) append_module(list, &m, &text);
    for (size_t i = 0; svi_mods_draining(mods, i, &m); i++) append_module(list, &m, &text);
    svi_buf_free(&text);
    svi_mods_figures figures;
    svi_mods_figures_get(mods, &figures);
    json_t *answer = json_pack("{s:b, s:o, s:I, s:I}", "ok", 1, "modules", list, "retired",
                               (json_int_t)figures.retired, "kept", (json_int_t)figures.kept);
    if (figures.kept >= KEPT_MANY)
        (void)json_object_set_new(answer, "advice",
                                  json_sprintf("the code of %" PRIu64 " former generations stays in memory: "
                                               "a restart frees it",
                                               figures.kept));
    return answer;
}

void svi_commands_released(svi_commands *commands)
{
    if (commands->config.released) commands->config.released(commands->config.ctx);
}

/* --- the core's own ----------------------------------------------------------------------------------- */

void svi_command_status(svi_commands *commands, svi_request *request)
{
    svi_request_take(request, status(commands));
}

void svi_command_modules(svi_commands *commands, svi_request *request)
{
    svi_request_take(request, modules(commands));
}

/* What the argument names, on which hosts, is not in the declaration: modules come and go. */
void svi_command_modules_release(svi_commands *commands, svi_request *request)
{
    sv_err err = {.text = ""};
    const sv_str name = svi_request_arg(request, "module")->text;
    svi_host *host = svi_request_args(request)->host;
    const sv_status status =
        svi_mods_release(svi_shard_mods(commands->config.shard), name, host, &err);
    if (status != SV_OK) {
        svi_request_fail(request, status == SV_ENOTFOUND ? SV_FAULT_NOT_FOUND : SV_FAULT_REFUSED, "%s",
                         err.text);
        return;
    }
    svi_shard_wake(commands->config.shard);
    if (commands->config.released) commands->config.released(commands->config.ctx);
    svi_request_answer(request);
}

void svi_command_commands(svi_commands *commands, svi_request *request)
{
    json_t *list = json_array();
    const svi_core_command *core;
    for (size_t i = 0; (core = svi_core_at(i)) != NULL; i++)
        (void)json_array_append_new(list, svi_command_json(&core->what));
    svi_shard_commands_of(svi_shard_mods(commands->config.shard), list);
    svi_request_take(request, json_pack("{s:b, s:o}", "ok", 1, "commands", list));
}

static void needs_server(svi_request *request)
{
    svi_request_fail(request, SV_FAULT_REFUSED, "%s is for a running server",
                     svi_request_args(request)->command->name);
}

static void on_reloaded(void *ctx, json_t *take_answer)
{
    svi_request_take(ctx, take_answer);
}

enum { NAMES_MAX = 64, NAME_BYTES = 64 }; /* of a module, with its NUL */

static const char *shadows(const char *command)
{
    const svi_core_command *core = svi_core_shadows(command);
    return core ? core->what.name : NULL;
}

static json_t *reloaded(const svi_mods_reloading *how, const svi_mods_reloaded *done)
{
    json_t *names = json_array();
    for (size_t i = 0; i < how->count; i++)
        (void)json_array_append_new(names, json_stringn(how->names[i].p, how->names[i].n));
    return json_pack("{s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", 1, "modules", names, "generations",
                     (json_int_t)done->modules, "waiting", (json_int_t)done->events.waiting, "restarted",
                     (json_int_t)(done->events.restarted + done->events.skipped), "finishing",
                     (json_int_t)done->events.finishing, "prepare-us", (json_int_t)done->prepare_us, "swap-us",
                     (json_int_t)done->swap_us);
}

static json_t *not_reloaded(sv_status status, const svi_problems *problems)
{
    if (status == SV_EBUSY)
        return svi_answer_fault(SV_FAULT_REFUSED, "reload: not from inside a stanza; ask the server's command line");
    const sv_str text = svi_buf_str(&problems->text);
    json_t *answer = svi_answer_fault(SV_FAULT_REFUSED, "the modules are not reloaded, nothing has changed");
    (void)json_object_set_new(answer, "problems", json_stringn(text.p ? text.p : "", text.n));
    SV_LOG(SV_ERROR, "module-not-reloaded", LF_STR("first", svi_str_sub(text, 0, svi_str_find(text, '\n'))));
    return answer;
}

static void autoreload(const svi_commands *commands, const char *module)
{
    const sv_str name = sv_str_of(module);
    svi_problems problems;
    svi_problems_init(&problems, svi_shard_acct(commands->config.shard));
    const svi_mods_reloading how = {
        .names = &name, .count = 1, .shadows = shadows, .report = svi_problems_note, .report_ctx = &problems};
    svi_mods_reloaded done;
    if (svi_mods_reload(svi_shard_mods(commands->config.shard), &how, &done) != SV_OK) {
        const sv_str text = svi_buf_str(&problems.text);
        SV_LOG(SV_ERROR, "module-not-reloaded", LF_TXT("module", module), LF_TXT("by", "autoreload"),
               LF_STR("first", svi_str_sub(text, 0, svi_str_find(text, '\n'))),
               LF_TXT("what", "the former generation goes on until its file changes again"));
    } else if (commands->config.released) {
        commands->config.released(commands->config.ctx);
    }
    svi_problems_free(&problems);
}

void svi_commands_autoreload(svi_commands *commands)
{
    svi_shard *shard = commands->config.shard;
    const char *names[NAMES_MAX];
    char name[NAME_BYTES];
    if (!svi_bus_is_idle(svi_server_bus(svi_shard_server(shard)))) return; /* the next look comes soon */
    const size_t count = svi_mods_changed(svi_shard_mods(shard), names, NAMES_MAX);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "%s", names[i]); /* its file goes */
        autoreload(commands, name);
    }
}

static void reload_modules(const svi_commands *commands, svi_request *request, sv_str rest)
{
    sv_str names[NAMES_MAX], name;
    svi_problems problems;
    svi_problems_init(&problems, svi_shard_acct(commands->config.shard));
    svi_mods_reloading how = {.names = names, .shadows = shadows, .report = svi_problems_note, .report_ctx = &problems};
    while (how.count < NAMES_MAX && svi_str_split(&rest, ' ', &name))
        if (name.n > 0) names[how.count++] = name;
    svi_mods_reloaded done;
    if (rest.n > 0 || how.count == 0) {
        svi_request_fail(request, SV_FAULT_USAGE, "reload: names of up to %d modules; `stave modules` shows them", NAMES_MAX);
    } else {
        const sv_status status = svi_mods_reload(svi_shard_mods(commands->config.shard), &how, &done);
        if (status == SV_OK && commands->config.released) commands->config.released(commands->config.ctx);
        svi_request_take(request, status == SV_OK ? reloaded(&how, &done) : not_reloaded(status, &problems));
    }
    svi_problems_free(&problems);
}

void svi_command_reload(svi_commands *commands, svi_request *request)
{
    const svi_commands_config *config = &commands->config;
    if (!config->reload) {
        needs_server(request);
        return;
    }
    const sv_str names = svi_request_arg(request, "module")->text;
    if (names.p) {
        reload_modules(commands, request, names);
        return;
    }
    json_t *now = config->reload(config->ctx, on_reloaded, request);
    if (now) svi_request_take(request, now);
}

void svi_command_stop(svi_commands *commands, svi_request *request)
{
    const svi_commands_config *config = &commands->config;
    if (!config->stop) {
        needs_server(request);
        return;
    }
    config->stop(config->ctx);
    svi_request_answer(request);
}

static void on_upgrade(void *ctx, json_t *take_answer)
{
    svi_request_take(ctx, take_answer);
}

void svi_command_upgrade(svi_commands *commands, svi_request *request)
{
    const svi_commands_config *config = &commands->config;
    if (config->upgrade)
        config->upgrade(config->ctx, on_upgrade, request);
    else
        needs_server(request);
}

static void follow(svi_commands *commands, svi_request *request, const svi_follow_filter *filter)
{
    int64_t id;
    sv_err err = {.text = ""};
    if (!commands->config.follows)
        needs_server(request);
    else if (svi_follows_add(commands->config.follows, filter, &id, &err) != SV_OK)
        svi_request_fail(request, SV_FAULT_REFUSED, "%s", err.text);
    else
        svi_request_take(request, json_pack("{s:b, s:I}", "ok", 1, "follow", (json_int_t)id));
}

/* Names are of lower-case letters, digits and hyphens; modules make their own. */
static bool is_event_name(sv_str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!(name.p[i] >= 'a' && name.p[i] <= 'z') && !(name.p[i] >= '0' && name.p[i] <= '9') &&
            name.p[i] != '-' && name.p[i] != '_')
            return false;
    return true;
}

void svi_command_log_follow(svi_commands *commands, svi_request *request)
{
    const svi_arg_value *level = svi_request_arg(request, "level");
    const svi_follow_filter filter = {
        .kind = SVI_FOLLOW_LOG,
        .user = svi_request_arg(request, "user")->jid,
        .host = svi_request_arg(request, "host")->text,
        .event = svi_request_arg(request, "event")->text,
        .level = level->text.p ? (int)level->number : (int)svi_log_level()};
    if (is_event_name(filter.event))
        follow(commands, request, &filter);
    else
        svi_request_fail(request, SV_FAULT_USAGE,
                         "log follow: --event is the name of an event, such as login-failed");
}

void svi_command_watch(svi_commands *commands, svi_request *request)
{
    const svi_follow_filter filter = {
        .kind = SVI_FOLLOW_STANZAS,
        .user = svi_request_arg(request, "user")->jid,
        .host = svi_request_arg(request, "host")->text,
        .element = svi_request_arg(request, "kind")->text,
        .wants_xml = svi_request_arg(request, "xml")->number != 0};
    follow(commands, request, &filter);
}

void svi_command_user_add(svi_commands *commands, svi_request *request)
{
    svi_users_add(commands->users, request);
}

void svi_command_user_passwd(svi_commands *commands, svi_request *request)
{
    svi_users_passwd(commands->users, request);
}

void svi_command_user_delete(svi_commands *commands, svi_request *request)
{
    svi_users_delete(commands->users, request);
}

void svi_command_user_disable(svi_commands *commands, svi_request *request)
{
    svi_users_disable(commands->users, request);
}

void svi_command_user_enable(svi_commands *commands, svi_request *request)
{
    svi_users_enable(commands->users, request);
}

void svi_command_user_show(svi_commands *commands, svi_request *request)
{
    svi_users_show(commands->users, request);
}

void svi_command_user_list(svi_commands *commands, svi_request *request)
{
    svi_users_list(commands->users, request);
}

/* --- dispatching -------------------------------------------------------------------------------------- */

static void turn_free(turn *t)
{
    *t->link = t->next;
    if (t->next) t->next->link = t->link;
    svi_mods_command_release(&t->what);
    svi_free(t);
}

static void on_answer(void *ctx, json_t *take_answer)
{
    turn *t = ctx;
    if (!t->is_returned) {
        t->now = take_answer;
        return;
    }
    const svi_command_done done = t->done;
    void *done_ctx = t->ctx;
    turn_free(t);
    done(done_ctx, take_answer);
}

/* The arguments are right, and an account that must exist does. */
static void run(void *ctx, svi_request *request)
{
    const turn *t = ctx;
    if (!t->commands)
        svi_request_fail(request, SV_FAULT_FAILED, "the server is stopping; try again when it runs");
    else if (t->core)
        t->core->run(t->commands, request);
    else
        svi_mods_run(svi_shard_mods(t->commands->config.shard), request);
}

static const sv_command *find(const svi_commands *commands, sv_str name, const svi_core_command **core_out)
{
    const char *module;
    const sv_command *c;
    *core_out = svi_core_find(name);
    if (*core_out) return (*core_out)->run ? &(*core_out)->what : NULL;
    for (size_t i = 0; (c = svi_mods_command(svi_shard_mods(commands->config.shard), i, &module)); i++)
        if (sv_str_eq(sv_str_of(c->name), name)) return c;
    return NULL;
}

json_t *svi_commands_run(svi_commands *commands, const json_t *request, svi_command_done done,
                         void *ctx)
{
    SV_CHECK(commands, MAGIC);
    const char *text = json_string_value(json_object_get(request, "command"));
    const sv_str name = sv_str_of(text ? text : "");
    const svi_core_command *core;
    const sv_command *what = find(commands, name, &core);
    SV_LOG(SV_DEBUG, "control-command", LF_STR("command", name));
    if (!what)
        return svi_answer_fault(SV_FAULT_NOT_FOUND,
                                "the server knows no command '%.*s'; is it of an older version, or its "
                                "module not enabled?",
                                (int)(name.n < 60 ? name.n : 60), name.p);
    svi_shard *shard = commands->config.shard;
    turn *t = svi_alloc(svi_shard_acct(shard), sizeof *t);
    *t = (turn){.next = commands->turns,
                .link = &commands->turns,
                .commands = commands,
                .core = core,
                .what = core ? NULL : svi_mods_command_hold(svi_shard_mods(shard), what),
                .done = done,
                .ctx = ctx};
    if (t->next) t->next->link = &t->next;
    commands->turns = t;
    svi_request_run(svi_shard_server(shard), what, request, run, t, on_answer, t);
    svi_shard_wake(shard);
    t->is_returned = true;
    json_t *now = t->now;
    if (now) turn_free(t);
    return now;
}
