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

static const svi_section *same_section(const svi_config *config, const svi_section *wanted)
{
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(config, i)) != NULL; i++)
        if (section->kind == wanted->kind && sv_str_eq(section->name, wanted->name)) return section;
    return NULL;
}

static const svi_value *own_value(const svi_config *config, const svi_section *section, sv_str name)
{
    size_t pos = 0;
    sv_str found;
    const svi_value *value;
    while (svi_config_names(config, section, &pos, &found, &value))
        if (sv_str_eq(found, name)) return value;
    return NULL;
}

static void add_difference(json_t *list, const svi_section *section, sv_str name)
{
    json_t *text = section->kind == SVI_SECTION_GLOBAL
                       ? json_sprintf("%.*s", (int)name.n, name.p)
                       : json_sprintf("%.*s: %.*s", (int)section->name.n, section->name.p,
                                      (int)name.n, name.p);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), text)) {
            json_decref(text);
            return;
        }
    (void)json_array_append_new(list, text);
}

static bool is_taken_over(sv_str name)
{
    static const char *const names[] = {"log_level", "certificate", "key", "certificate_check",
                                        "certificate_warn_days", "c2s_client_ca"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sv_str_eq(name, sv_str_of(names[i]))) return true;
    return false;
}

/* What `a` has and `b` has not or otherwise. */
static void compare(const svi_config *a, const svi_config *b, json_t *list)
{
    const svi_section *section;
    for (size_t i = 0; (section = svi_config_section(a, i)) != NULL; i++) {
        const svi_section *other = same_section(b, section);
        if (!other) {
            add_difference(list, section, SV_STR("VirtualHost"));
            continue;
        }
        size_t pos = 0;
        sv_str name;
        const svi_value *value;
        while (svi_config_names(a, section, &pos, &name, &value)) {
            const svi_value *theirs = own_value(b, other, name);
            if (!is_taken_over(name) && (!theirs || !same_value(value, theirs)))
                add_difference(list, section, name);
        }
    }
}

json_t *svi_reload_differences(const svi_config *running, const svi_config *fresh)
{
    json_t *list = json_array();
    compare(running, fresh, list);
    compare(fresh, running, list);
    return list;
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
    const svi_shard_config shard = {.acct = config->acct,
                                    .config = *config_out,
                                    .settings = settings_out,
                                    .program = config->program,
                                    .library = config->library,
                                    .report = svi_problems_note,
                                    .report_ctx = problems};
    if (status == SV_OK) status = svi_shard_check(&shard);
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
    if ((certs != NULL) != is_shown)
        (void)json_array_append_new(needs_restart, json_string("certificate"));
    if (certs && is_shown)
        svi_renew_replace(config->renew, certs, settings->certificate_check_ms,
                          settings->certificate_warn_days);
    else
        svi_certs_free(&certs);
}

json_t *svi_reload(const svi_reload_config *config)
{
    svi_config *fresh = NULL;
    svi_settings settings;
    svi_certs *certs = NULL;
    svi_problems problems;
    svi_problems_init(&problems, config->acct);
    json_t *answer;
    if (read_fresh(config, &problems, &fresh, &settings, &certs) != SV_OK) {
        const sv_str text = svi_buf_str(&problems.text);
        answer = svi_answer_error("the configuration is refused, nothing has changed");
        (void)json_object_set_new(answer, "problems", json_stringn(text.p ? text.p : "", text.n));
        SV_LOG(SV_ERROR, "config-error", LF_INT("problems", problems.count),
               LF_STR("first", svi_str_sub(text, 0, svi_str_find(text, '\n'))));
    } else {
        json_t *needs_restart = svi_reload_differences(config->running, fresh);
        take_over(config, &settings, &certs, needs_restart);
        answer = json_pack("{s:b, s:[s,s], s:o}", "ok", 1, "taken-over", "log_level", "certificates",
                           "needs-restart", needs_restart);
        SV_LOG(SV_INFO, "server-reload",
               LF_INT("needs_restart", json_array_size(json_object_get(answer, "needs-restart"))));
    }
    svi_config_free(&fresh);
    svi_problems_free(&problems);
    return answer;
}
