/* What a module's file is, as JSON. */
#include "mods/mods_describe.h"

#include <stdio.h>

#include "mods/mods_check.h"
#include "mods/mods_command.h"
#include "mods/mods_impl.h"
#include "script/script.h"

static json_t *text_of(const char *text)
{
    json_t *json = text ? json_string(text) : NULL;
    return json ? json : json_null(); /* not UTF-8 */
}

static json_t *words_of(const char *text)
{
    json_t *array = json_array();
    sv_str rest = sv_str_of(text), word;
    while (svi_str_split(&rest, ' ', &word))
        if (word.n > 0) (void)json_array_append_new(array, json_stringn(word.p, word.n));
    return array;
}

static json_t *flags_of(const sv_hook *hook)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } flags[] = {{SV_HOOK_GUARD, "guard"}, {SV_HOOK_STORES, "stores"}, {SV_HOOK_OPEN, "open"},
                 {SV_HOOK_FINISHES, "finishes"}};
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (hook->flags & flags[i].flag) (void)json_array_append_new(array, json_string(flags[i].name));
    return array;
}

static json_t *hooks_of(const sv_module_desc *desc)
{
    static const char *const bands[] = {[SV_NORMAL] = "normal", [SV_FIRST] = "first", [SV_EARLY] = "early",
                                        [SV_LATE] = "late", [SV_MONITOR] = "monitor"};
    json_t *array = json_array();
    for (size_t i = 0;; i++) {
        const sv_hook *hook =
            (const sv_hook *)(const void *)((const char *)desc->hooks + i * desc->hook_stride);
        if (desc->hooks == NULL || hook->on == NULL) return array;
        (void)json_array_append_new(
            array, json_pack("{s:o, s:s, s:o, s:o}", "on", text_of(hook->on), "band",
                             bands[hook->band], "after", text_of(hook->after), "flags", flags_of(hook)));
    }
}

static json_t *options_of(const sv_module_desc *desc)
{
    json_t *array = json_array();
    for (size_t i = 0;; i++) {
        const sv_option *o =
            (const sv_option *)(const void *)((const char *)desc->options + i * desc->option_stride);
        if (desc->options == NULL || o->name == NULL) return array;
        (void)json_array_append_new(
            array, json_pack("{s:o, s:i, s:o, s:o, s:o, s:o}", "name", text_of(o->name), "kind",
                             (int)o->kind, "preset", text_of(o->preset), "min", text_of(o->min), "max",
                             text_of(o->max), "manual", text_of(o->manual)));
    }
}

static json_t *commands_of(const sv_module_desc *desc)
{
    json_t *array = json_array();
    const sv_command *c;
    for (size_t i = 0; (c = svi_command_at(desc->commands, i)) != NULL; i++)
        (void)json_array_append_new(array, svi_command_json(c));
    return array;
}

static json_t *metrics_of(const sv_module_desc *desc)
{
    json_t *array = json_array();
    const sv_metric *m;
    for (size_t i = 0; (m = svi_metric_at(desc, i)) != NULL; i++)
        (void)json_array_append_new(array, json_pack("{s:o, s:s, s:o}", "name", text_of(m->name), "kind",
                                                     m->kind == SV_METRIC_COUNTER ? "counter" : "gauge", "manual",
                                                     text_of(m->manual)));
    return array;
}

static void add_call(void *ctx, sv_str name)
{
    (void)json_array_append_new(ctx, json_stringn(name.p, name.n));
}

static json_t *calls_of(svi_acct *acct, const svi_mod_file *file)
{
    json_t *array = json_array();
    char *image = file->script == NULL ? svi_mod_file_image(acct, file) : NULL;
    if (image != NULL) svi_mods_image_calls(image, file->size, add_call, array);
    svi_free(image);
    return array;
}

/* What it may do, a text for each right. */
static json_t *rights_of(const svi_script *script)
{
    json_t *array = json_array();
    const char *right;
    for (size_t i = 0; svi_script_right(script, i, &right); i++) (void)json_array_append_new(array, json_string(right));
    return array;
}

static void add_script(json_t *answer, const svi_script *script)
{
    if (script == NULL) return;
    json_t *more = json_pack("{s:o, s:b, s:b, s:I}", "rights", rights_of(script), "policy", svi_script_is_policy(script),
                             "autoreload", svi_script_is_autoreload(script), "state-bytes", (json_int_t)svi_script_bytes(script));
    (void)json_object_update_new(answer, more);
}

json_t *svi_mods_describe(svi_acct *acct, const char *path)
{
    svi_mod_file *file = NULL;
    sv_err err = {.text = ""};
    if (svi_mod_file_open(acct, path, &file, &err) != SV_OK)
        return json_pack("{s:o, s:b, s:o}", "file", text_of(path), "ok", 0, "error", text_of(err.text));
    const sv_module_desc *desc = &file->desc;
    char interface[32];
    (void)snprintf(interface, sizeof interface, "%u.%u", desc->abi_major, desc->abi_minor);
    json_t *answer = json_pack(
        "{s:o, s:b, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:b, s:o, s:I}", "file", text_of(path),
        "ok", 1, "kind", file->script != NULL ? "lua" : "c", "name", file->name, "summary", text_of(desc->summary), "interface", interface, "groups",
        text_of(desc->needs), "needs",
        words_of(desc->after), "hooks", hooks_of(desc), "options", options_of(desc), "commands",
        commands_of(desc), "features", words_of(desc->features), "account-features",
        words_of(desc->account_features), "stream-features", text_of(desc->stream_features), "calls",
        calls_of(acct, file), "self-bytes", (json_int_t)desc->self_size, "engine",
        file->is_engine, "metrics", metrics_of(desc), "shared-bytes", (json_int_t)desc->shared_size);
    add_script(answer, file->script);
    svi_mod_file_unref(&file);
    return answer;
}
