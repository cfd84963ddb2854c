/* Commands of modules: on which host they run, as an event of their own, and the members of the module
 * table that belong to them. */
#include "base/base_log.h"
#include "mods/mods_api.h"
#include "mods/mods_command.h"

/* A command under way. What it answers is kept until what it wrote is committed. */
typedef struct errand {
    svi_errand of; /* first: how the event leads here */
    svi_request *request;
    sv_mod *mod; /* lives as long as its hooks */
    bool is_answered;
    json_t *no;  /* it failed, in this way */
    sv_str more; /* where it goes on; in the request's arena */
    bool has_more;
} errand;

/* --- which there are -------------------------------------------------------------------------------- */

static svi_mod_file *file_at(const svi_mods *mods, size_t i)
{
    for (size_t f = 0; f < mods->file_count; f++)
        if (svi_mods_enable(mods, mods->files[f]) && i-- == 0) return mods->files[f];
    return NULL;
}

const sv_command *svi_mods_command(const svi_mods *mods, size_t i, const char **module_out)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    svi_mod_file *file;
    for (size_t f = 0; (file = file_at(mods, f)) != NULL; f++) {
        const sv_command *c;
        for (size_t k = 0; (c = svi_command_at(file->desc.commands, k)) != NULL; k++) {
            if (i-- > 0) continue;
            *module_out = file->name;
            return c;
        }
    }
    return NULL;
}

svi_command_hold *svi_mods_command_hold(const svi_mods *mods, const sv_command *command)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    svi_mod_file *file;
    for (size_t f = 0; (file = file_at(mods, f)) != NULL; f++) {
        const sv_command *c;
        for (size_t k = 0; (c = svi_command_at(file->desc.commands, k)) != NULL; k++)
            if (c == command) return svi_mod_file_ref(file);
    }
    return NULL;
}

void svi_mods_command_release(svi_command_hold **hold)
{
    svi_mod_file_unref(hold);
}

/* The host's module that declares the command. */
static sv_mod *mod_of(const svi_group *group, const char *name, const sv_command **command_out)
{
    for (size_t i = 0; i < group->count; i++) {
        const sv_command *c;
        for (size_t k = 0; (c = svi_command_at(group->mods[i]->file->desc.commands, k)) != NULL; k++)
            if (strcmp(c->name, name) == 0) {
                *command_out = c;
                return group->mods[i];
            }
    }
    return NULL;
}

/* --- running ---------------------------------------------------------------------------------------- */

static void over(void *ctx, sv_status status)
{
    errand *e = ctx;
    svi_request *r = e->request;
    json_t *no = e->no;
    const bool is_answered = e->is_answered, has_more = e->has_more;
    const sv_str more = e->more;
    svi_hooks_unref(&e->of.hooks);
    svi_free(e);
    if (status == SV_ECANCELED) {
        json_decref(no);
        svi_request_fail(r, SV_FAULT_FAILED, "the server is stopping; try again when it runs");
    } else if (no) {
        svi_request_take(r, no);
    } else if (!is_answered) {
        svi_request_fail(r, SV_FAULT_FAILED, "%s",
                         status == SV_ETIMEOUT ? "the module has not answered in time"
                                               : "the module gave no answer: look at the log");
    } else if (has_more) {
        svi_request_more(r, more);
    } else {
        svi_request_answer(r);
    }
}

static void gone(void *ctx)
{
    sv_mod *mod = ctx;
    svi_mod_end(&mod);
}

/* The place of a command in its module's table. */
static size_t place_of(const sv_mod *mod, const sv_command *command)
{
    size_t i = 0;
    while (svi_command_at(mod->file->desc.commands, i) != command) i++;
    return i;
}

static svi_hooks *hooks_for(sv_mod *mod, const sv_command *command)
{
    const svi_handler handler = {.point = SVI_POINT_COMMAND_RUN,
                                 .call = command->run,
                                 .self = svi_mod_command_self(mod, place_of(mod, command)),
                                 .module = mod->file->name,
                                 .text = command->name,
                                 .stats = svi_costs_line(mod->costs, command->name),
                                 .generation = mod};
    svi_hooks *hooks = NULL;
    const sv_status status = svi_hooks_build(mod->group->acct, &handler, 1, &hooks, NULL);
    SV_ASSERT(status == SV_OK);
    svi_hooks_on_free(hooks, gone, svi_mod_begin(mod));
    return hooks;
}

static void run_on(sv_mod *mod, const sv_command *command, svi_request *request)
{
    errand *e = svi_alloc(mod->group->acct, sizeof *e);
    *e = (errand){.of = {.host = mod->group->host,
                         .hooks = hooks_for(mod, command),
                         .account = svi_request_args(request)->account,
                         .account_exists = svi_request_args(request)->must_exist,
                         .over = over,
                         .ctx = e},
                  .request = request,
                  .mod = mod};
    svi_errand_run(&e->of);
}

/* The only host that has the command's module; else the request is refused. */
static const svi_group *only_host(const svi_mods *mods, svi_request *request)
{
    const char *name = svi_request_args(request)->command->name;
    const svi_group *found = NULL;
    const sv_command *c;
    for (const svi_group *g = mods->groups; g; g = g->next) {
        if (!mod_of(g, name, &c)) continue;
        if (found) {
            svi_request_fail(request, SV_FAULT_USAGE, "%s: on which host? Say --host, such as %s or %s",
                             name, found->host_name.p, g->host_name.p);
            return NULL;
        }
        found = g;
    }
    if (!found) svi_request_fail(request, SV_FAULT_NOT_FOUND, "%s: no host has its module", name);
    return found;
}

void svi_mods_run(svi_mods *mods, svi_request *request)
{
    SV_CHECK(mods, SVI_MODS_MAGIC);
    const svi_args *args = svi_request_args(request);
    const svi_group *group = mods->groups;
    if (args->host)
        while (group && group->host != args->host) group = group->next;
    else if (!(group = only_host(mods, request)))
        return;
    const sv_command *command;
    sv_mod *mod = group ? mod_of(group, args->command->name, &command) : NULL;
    if (mod && mod->conduct.ward.is_closed)
        svi_request_fail(request, SV_FAULT_REFUSED,
                         "%s: module %s is in quarantine on %s (`stave modules` says why); `stave modules release "
                         "%s` lets it out",
                         args->command->name, mod->file->name, group->host_name.p, mod->file->name);
    else if (mod && command != args->command) /* the arguments were read by another declaration */
        svi_request_fail(request, SV_FAULT_FAILED, "%s: its module was loaded anew meanwhile; try again",
                         args->command->name);
    else if (mod)
        run_on(mod, command, request);
    else
        svi_request_fail(request, SV_FAULT_NOT_FOUND,
                         "%s: the module of this command is not enabled on %s", args->command->name,
                         svi_host_name(args->host));
}

/* --- the module table ------------------------------------------------------------------------------- */

/* The errand of the event; NULL, with a fault told, if it is none or was answered before. */
static errand *of(const sv_event *ev)
{
    const svi_errand *found = svi_xevent_of(ev)->errand;
    errand *e = found ? found->ctx : NULL;
    if (e && !e->is_answered && !e->no) return e;
    const char *rule = e ? "a command is answered once" : "this is for commands only";
    SV_LOG(SV_ERROR, "handler-fault", LF_TXT("rule", rule), LF_TXT("in", svi_exec_now()->hook));
    if (e) svi_mod_fault(e->mod, rule);
    return NULL;
}

static const svi_arg_value *arg_of(const sv_event *ev, const char *name)
{
    const svi_errand *found = svi_xevent_of(ev)->errand;
    SV_ASSERT(found != NULL);
    const errand *e = found->ctx;
    return svi_request_arg(e->request, name);
}

sv_str svi_api_arg_text(const sv_event *ev, const char *name)
{
    return arg_of(ev, name)->text;
}

int64_t svi_api_arg_int(const sv_event *ev, const char *name)
{
    return arg_of(ev, name)->number;
}

const sv_jid *svi_api_arg_jid(const sv_event *ev, const char *name)
{
    const svi_arg_value *value = arg_of(ev, name);
    return value->jid.domain.n > 0 ? &value->jid : NULL;
}

bool svi_api_record(sv_event *ev)
{
    const errand *e = of(ev);
    return e && svi_request_record(e->request);
}

void svi_api_field(sv_event *ev, const char *column, sv_str text)
{
    const errand *e = of(ev);
    if (e) svi_request_field(e->request, column, text);
}

void svi_api_field_int(sv_event *ev, const char *column, int64_t value)
{
    const errand *e = of(ev);
    if (e) svi_request_field_int(e->request, column, value);
}

sv_str svi_api_asked_from(const sv_event *ev)
{
    const errand *e = of(ev);
    return e ? svi_request_from(e->request) : SV_STR_NONE;
}

sv_verdict svi_api_answer(sv_event *ev)
{
    errand *e = of(ev);
    if (e) e->is_answered = true;
    return svi_x_end(ev);
}

sv_verdict svi_api_answer_more(sv_event *ev, sv_str from)
{
    errand *e = of(ev);
    if (e) {
        e->is_answered = e->has_more = true;
        e->more = svi_arena_str(svi_request_arena(e->request), from);
    }
    return svi_x_end(ev);
}

sv_verdict svi_api_fail(sv_event *ev, sv_fault fault, const char *format, ...)
{
    errand *e = of(ev);
    if (e) {
        va_list args;
        va_start(args, format);
        e->no = svi_answer_vfault(fault, format, args);
        va_end(args);
    }
    return svi_x_end(ev);
}
