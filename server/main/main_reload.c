/* Reload: checks a fresh configuration as `stave check` does, compares it with the running one, swaps what may be swapped. */
#include "main/main_reload.h"

#include "base/base_assert.h"
#include "base/base_log.h"
#include "main/main_command.h"
#include "main/main_shard.h"

/* --- differences -------------------------------------------------------------------------------------- */

static bool same_value(const svi_value *a, const svi_value *b)
{
    if (a->kind != b->kind) return false;
    if (a->kind == SVI_VALUE_STRING) return sv_str_eq(a->text, b->text);
    if (a->kind != SVI_VALUE_LIST) return a->number == b->number;
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_value(&a->items[i], &b->items[i])) return false;
    return true;
}

static const svi_value *own_value(const svi_config *config, sv_str name)
{
    size_t pos = 0;
    sv_str found;
    const svi_value *value;
    while (svi_config_names(config, svi_config_section(config, 0), &pos, &found, &value))
        if (sv_str_eq(found, name)) return value;
    return NULL;
}

static bool is_listed(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* Options of the process that are taken over. */
static bool is_taken_over(const char *name)
{
    static const char *const names[] = {
        "log_level",               "certificate_check",      "certificate_warn_days",
        "module_paths",            "modules_essential", /* at the next start of a worker */
        "lua_memory_max",          "lua_handler_max",
        "c2s_stanza_size",        "c2s_stanza_depth",
        "c2s_stanza_attributes",   "c2s_stanza_namespaces",  "c2s_rate",
        "c2s_strangers",           "c2s_strangers_per_address", "c2s_streams_per_address",
        "c2s_connects_per_address", "c2s_sessions_per_account", "c2s_login_tries",
        "c2s_login_timeout",       "c2s_step_timeout",       "c2s_idle",
        "c2s_idle_timeout",        "c2s_queue_size",
        "explain_memory"};
    return is_listed(names, sizeof names / sizeof *names, name);
}

/* What is not a host's stands in the global section, and nowhere else (main_settings.h). */
static void add_difference(const svi_config *running, const svi_config *fresh, const char *name,
                           json_t *list)
{
    const svi_value *is = own_value(running, sv_str_of(name)),
                    *wanted = own_value(fresh, sv_str_of(name));
    if ((is == NULL) != (wanted == NULL) || (is && !same_value(is, wanted)))
        (void)json_array_append_new(list, json_string(name));
}

json_t *svi_reload_differences(const svi_config *running, const svi_config *fresh)
{
    json_t *list = json_array();
    for (const sv_option *o = svi_settings_options(); o->name; o++)
        if (!svi_settings_is_of_host(o->name) && !is_taken_over(o->name))
            add_difference(running, fresh, o->name, list);
    return list;
}

/* Those of the module that keeps the store, which stays as it was started. */
static void add_store_options(const svi_reload_config *config, const svi_config *fresh, json_t *list)
{
    size_t stride;
    const sv_option *o = svi_shard_store_options(config->shard, &stride);
    for (; o && o->name; o = (const sv_option *)((const char *)o + stride))
        add_difference(config->running, fresh, o->name, list);
}

/* --- reload ------------------------------------------------------------------------------------------- */

static sv_status read_certs(const svi_reload_config *config, const svi_config *fresh,
                            svi_problems *problems, svi_certs **certs_out)
{
    const svi_plat *plat = svi_plat_kernel();
    const svi_certs *shown = svi_renew_certs(config->renew);
    sv_status status = svi_certs_load(config->acct, fresh, config->tickets, svi_problems_note,
                                      problems, certs_out);
    if (status == SV_OK && shown && *certs_out)
        status = svi_certs_compare(shown, *certs_out, plat->wall_us(plat->ctx) / 1000000,
                                   svi_problems_note, problems);
    if (status != SV_OK) svi_certs_free(certs_out);
    return status;
}

/* Reads and checks; `config_out` and `certs_out` are good only if it returns SV_OK. */
static sv_status read_fresh(const svi_reload_config *config, svi_problems *problems,
                            svi_config **config_out, svi_settings *settings_out, svi_certs **certs_out)
{
    sv_status status =
        svi_config_load(config->acct, config->path, svi_problems_note, problems, config_out);
    if (status == SV_OK) status = svi_settings_check(*config_out, svi_problems_note, problems);
    if (status == SV_OK)
        status = svi_settings_read(*config_out, svi_config_section(*config_out, 0), settings_out,
                                   svi_problems_note, problems);
    return status == SV_OK ? read_certs(config, *config_out, problems, certs_out) : status;
}

/* A server that was started without certificates listens without TLS until it is started anew, and one that
 * was started with some shows them until then. */
static void take_over(const svi_reload_config *config, const svi_settings *settings,
                      svi_certs **take, json_t *needs_restart)
{
    svi_certs *certs = *take;
    const bool is_shown = svi_renew_certs(config->renew) != NULL;
    *take = NULL;
    svi_log_set_level((sv_level)settings->log_level);
    const svi_limits limits = svi_settings_limits(settings);
    svi_server_set_limits(svi_shard_server(config->shard), &limits);
    svi_server_set_explain(svi_shard_server(config->shard), (size_t)settings->explain_bytes);
    if ((certs != NULL) != is_shown)
        (void)json_array_append_new(needs_restart, json_string("certificate"));
    if (certs && is_shown)
        svi_renew_replace(config->renew, certs, settings->certificate_check_ms,
                          settings->certificate_warn_days);
    else
        svi_certs_free(&certs);
}

/* A host that is another now is listed in the answer, by what was done. */
static void on_host(void *ctx, const char *what, sv_str host)
{
    static const struct {
        const char *what, *list, *event;
    } kinds[] = {{"added", "hosts-added", "host-added"},
                 {"removed", "hosts-removed", "host-removed"},
                 {"changed", "hosts-changed", "host-changed"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].what, what) != 0) continue;
        (void)json_array_append_new(json_object_get(ctx, kinds[i].list),
                                    json_stringn(host.p, host.n));
        SV_LOG(SV_INFO, kinds[i].event, LF_STR("host", host));
    }
}

static sv_status take_hosts_over(const svi_reload_config *config, const svi_config *fresh,
                                 const svi_settings *settings, svi_problems *problems,
                                 json_t *answer)
{
    const svi_shard_config shard = {.acct = config->acct,
                                    .config = fresh,
                                    .settings = settings,
                                    .program = config->program,
                                    .report = svi_problems_note,
                                    .report_ctx = problems};
    sv_err err = {.text = ""};
    const sv_status status = svi_shard_take_over(config->shard, &shard, on_host, answer, &err);
    if (err.text[0]) svi_problems_note(problems, config->path, 0, err.text);
    return status;
}

/* Modules whose file is another now. */
static json_t *new_files(const svi_mods *mods)
{
    const char *name;
    json_t *list = json_array();
    for (size_t i = 0; (name = svi_mods_stale(mods, i)) != NULL; i++)
        (void)json_array_append_new(list, json_string(name));
    return list;
}

static json_t *refusal(const svi_problems *problems)
{
    const sv_str text = svi_buf_str(&problems->text);
    json_t *answer = svi_answer_error("the configuration is refused, nothing has changed");
    (void)json_object_set_new(answer, "problems", json_stringn(text.p ? text.p : "", text.n));
    SV_LOG(SV_ERROR, "config-error", LF_INT("problems", problems->count),
           LF_STR("first", svi_str_sub(text, 0, svi_str_find(text, '\n'))));
    return answer;
}

json_t *svi_reload(const svi_reload_config *config)
{
    svi_config *fresh = NULL;
    svi_settings settings;
    svi_certs *certs = NULL;
    svi_problems problems;
    const svi_plat *plat = svi_plat_kernel();
    const int64_t began_us = plat->mono_us(plat->ctx);
    svi_problems_init(&problems, config->acct);
    json_t *answer = json_pack("{s:b, s:[s,s,s,s], s:[], s:[], s:[]}", "ok", 1, "taken-over", "log_level",
                               "certificates", "hosts", "limits", "hosts-added", "hosts-removed",
                               "hosts-changed");
    sv_status status = read_fresh(config, &problems, &fresh, &settings, &certs);
    const int64_t read_us = plat->mono_us(plat->ctx);
    if (status == SV_OK) status = take_hosts_over(config, fresh, &settings, &problems, answer);
    if (status == SV_OK) {
        json_t *needs_restart = svi_reload_differences(config->running, fresh);
        add_store_options(config, fresh, needs_restart);
        take_over(config, &settings, &certs, needs_restart);
        (void)json_object_set_new(answer, "new-files", new_files(svi_shard_mods(config->shard)));
        (void)json_object_set_new(answer, "needs-restart", needs_restart);
        SV_LOG(SV_INFO, "server-reload", LF_INT("needs_restart", json_array_size(needs_restart)),
               LF_INT("read_us", read_us - began_us),
               LF_INT("swap_us", plat->mono_us(plat->ctx) - read_us));
    } else {
        json_decref(answer);
        answer = refusal(&problems);
        svi_certs_free(&certs);
    }
    svi_config_free(&fresh);
    svi_problems_free(&problems);
    return answer;
}
