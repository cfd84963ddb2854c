/* `stave policy ...`: another version of a policy beside the one that decides, and what differs. */
#include "main/main_policies.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "main/main_command.h"
#include "main/main_print.h"
#include "mods/mods_shadow.h"

enum { PATH_BYTES = 1024 };

static svi_mods *mods_of(svi_commands *commands)
{
    return svi_shard_mods(svi_commands_shard(commands));
}

static sv_fault fault_of(sv_status status)
{
    return status == SV_ENOTFOUND ? SV_FAULT_NOT_FOUND : SV_FAULT_REFUSED;
}

/* An answer that says no, with the problems of a configuration if there are any. */
static void refuse(svi_request *request, sv_fault fault, const char *what, const sv_err *err, const svi_problems *problems)
{
    json_t *answer = svi_answer_fault(fault, "%s: %s", what, err->text);
    const sv_str text = svi_buf_str(&problems->text);
    if (text.n > 0) (void)json_object_set_new(answer, "problems", json_stringn(text.p, text.n));
    svi_request_take(request, answer);
}

static json_t *stamp_of(int64_t wall_us)
{
    char text[32];
    const sv_str stamp = svi_plat_stamp(wall_us, text);
    return json_stringn(stamp.p, stamp.n);
}

/* What came from peers may be cut in the midst of a character, a path may be of any bytes. */
static json_t *text_of_peer(const char *text)
{
    size_t n = strlen(text);
    json_t *string = json_stringn(text, n);
    for (int cut = 0; string == NULL && n > 0 && cut < 4; cut++) string = json_stringn(text, --n);
    return string != NULL ? string : json_string("?");
}

static json_t *hosts_of(const svi_shadow *shadow)
{
    json_t *list = json_array();
    const char *host;
    for (size_t i = 0; (host = svi_shadow_host(shadow, i)) != NULL; i++) (void)json_array_append_new(list, json_string(host));
    return list;
}

static json_t *odd_hooks_of(const svi_shadow *shadow)
{
    json_t *list = json_array();
    const char *hook, *whose;
    for (size_t i = 0; svi_shadow_odd_hook(shadow, i, &hook, &whose); i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s}", "hook", hook, "of", whose));
    return list;
}

/* --- shadow ------------------------------------------------------------------------------------------- */

void svi_command_policy_shadow(svi_commands *commands, svi_request *request)
{
    const sv_str path = svi_request_arg(request, "file")->text;
    svi_problems problems;
    sv_err err = {.text = ""};
    const svi_shadow *shadow = NULL;
    if (path.n == 0 || path.p[0] != '/' || path.n >= PATH_BYTES) {
        svi_request_fail(request, SV_FAULT_USAGE, "policy shadow: the file is named by its whole path, /.../NAME.lua");
        return;
    }
    svi_problems_init(&problems, svi_shard_acct(svi_commands_shard(commands)));
    const svi_shadowing how = {
        .path = path.p, .host = svi_request_args(request)->host, .report = svi_problems_note, .report_ctx = &problems};
    const sv_status status = svi_mods_shadow(mods_of(commands), &how, &shadow, &err);
    if (status == SV_OK) {
        svi_shadow_info info;
        svi_shadow_info_get(shadow, &info);
        svi_request_take(request, json_pack("{s:b, s:s, s:s, s:o, s:o}", "ok", 1, "policy", info.name, "file", info.path, "hosts",
                                            hosts_of(shadow), "odd-hooks", odd_hooks_of(shadow)));
    } else {
        refuse(request, fault_of(status), "policy shadow", &err, &problems);
    }
    svi_problems_free(&problems);
}

/* --- list --------------------------------------------------------------------------------------------- */

void svi_command_policy_list(svi_commands *commands, svi_request *request)
{
    const svi_shadow *shadow;
    for (size_t i = 0; (shadow = svi_mods_shadow_at(mods_of(commands), i)) != NULL; i++) {
        svi_shadow_info info;
        const char *host;
        svi_shadow_info_get(shadow, &info);
        if (!svi_request_record(request)) break; /* more than a page of policies at once: the rest is told when some are gone */
        svi_request_field(request, "policy", sv_str_of(info.name));
        for (size_t h = 0; (host = svi_shadow_host(shadow, h)) != NULL; h++) svi_request_field(request, "hosts", sv_str_of(host));
        svi_request_field_int(request, "since", info.since_s * 1000);
        svi_request_field_int(request, "same", (int64_t)info.same);
        svi_request_field_int(request, "differing", (int64_t)info.differing);
        svi_request_field_int(request, "not-comparable", (int64_t)info.unknown);
        svi_request_field_int(request, "skipped", (int64_t)info.skipped);
        svi_request_field_int(request, "errors", (int64_t)info.errors);
        svi_request_field_int(request, "cpu-us", info.cpu_us);
        svi_request_field_int(request, "memory", info.state_bytes + (int64_t)info.aside_bytes);
        svi_request_field(request, "file", sv_str_of(info.path));
    }
    svi_request_answer(request);
}

/* --- report ------------------------------------------------------------------------------------------- */

static json_t *counts_of(const svi_shadow *shadow)
{
    json_t *list = json_array();
    const svi_shadow_count *c;
    for (size_t i = 0; svi_shadow_count_at(shadow, i, &c); i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:I}", "hook", c->hook, "live", c->live, "shadow", c->mine, "result",
                                                    c->result, "count", (json_int_t)c->count));
    return list;
}

static json_t *samples_of(const svi_shadow *shadow)
{
    json_t *list = json_array();
    const svi_difference *d;
    for (size_t i = 0; svi_shadow_difference_at(shadow, i, &d); i++)
        (void)json_array_append_new(list, json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "time", stamp_of(d->at_us), "host", d->host,
                                                    "hook", d->hook, "from", text_of_peer(d->from), "to", text_of_peer(d->to), "kind",
                                                    text_of_peer(d->kind), "live", text_of_peer(d->live), "shadow", text_of_peer(d->mine)));
    return list;
}

void svi_command_policy_report(svi_commands *commands, svi_request *request)
{
    const sv_str name = svi_request_arg(request, "name")->text;
    const svi_shadow *shadow = svi_mods_shadow_of(mods_of(commands), name);
    if (shadow == NULL) {
        svi_request_fail(request, SV_FAULT_NOT_FOUND, "policy \"%.*s\" has no shadow: `stave policy list` shows which have", (int)name.n, name.p);
        return;
    }
    svi_shadow_info info;
    svi_shadow_info_get(shadow, &info);
    svi_request_take(request,
                     json_pack("{s:b, s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "ok", 1, "policy", info.name, "file",
                               info.path, "hosts", hosts_of(shadow), "since", stamp_of(info.since_s * 1000000), "same",
                               (json_int_t)info.same, "differing", (json_int_t)info.differing, "not-comparable", (json_int_t)info.unknown,
                               "skipped", (json_int_t)info.skipped, "errors", (json_int_t)info.errors, "cpu-us", (json_int_t)info.cpu_us,
                               "counts", counts_of(shadow), "samples", samples_of(shadow), "odd-hooks", odd_hooks_of(shadow)));
}

/* --- promote and drop --------------------------------------------------------------------------------- */

static const char *hides(const char *command)
{
    const svi_core_command *core = svi_core_shadows(command);
    return core ? core->what.name : NULL;
}

void svi_command_policy_promote(svi_commands *commands, svi_request *request)
{
    const sv_str name = svi_request_arg(request, "name")->text;
    char path[PATH_BYTES];
    sv_err err = {.text = ""};
    svi_problems problems;
    svi_mods_reloaded done;
    svi_problems_init(&problems, svi_shard_acct(svi_commands_shard(commands)));
    const svi_mods_reloading how = {
        .names = &name, .count = 1, .shadows = hides, .report = svi_problems_note, .report_ctx = &problems};
    const sv_status status = svi_mods_shadow_promote(mods_of(commands), name, &how, path, sizeof path, &done, &err);
    if (status == SV_OK) {
        svi_commands_released(commands);
        svi_request_take(request,
                         json_pack("{s:b, s:s%, s:o, s:I, s:I, s:I, s:I, s:I}", "ok", 1, "policy", name.p, (size_t)name.n, "file", text_of_peer(path),
                                   "generations", (json_int_t)done.modules, "waiting", (json_int_t)done.events.waiting, "restarted",
                                   (json_int_t)(done.events.restarted + done.events.skipped), "finishing",
                                   (json_int_t)done.events.finishing, "swap-us", (json_int_t)done.swap_us));
    } else {
        refuse(request, fault_of(status), "policy promote", &err, &problems);
    }
    svi_problems_free(&problems);
}

void svi_command_policy_drop(svi_commands *commands, svi_request *request)
{
    const sv_str name = svi_request_arg(request, "name")->text;
    if (svi_mods_shadow_drop(mods_of(commands), name))
        svi_request_answer(request);
    else
        svi_request_fail(request, SV_FAULT_NOT_FOUND, "policy \"%.*s\" has no shadow: `stave policy list` shows which have", (int)name.n, name.p);
}

/* --- printing ----------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static int64_t number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void print_hosts(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) (void)printf("%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
}

static void print_odd_hooks(const json_t *list)
{
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        const bool is_live = strcmp(text_of(item, "of"), "live") == 0;
        (void)printf("not in both: %s, which only %s has%s\n", text_of(item, "hook"), is_live ? "the live version" : "the shadow",
                     is_live ? ": the shadow counts as one that passes there" : ": it is not tried");
    }
}

void svi_print_policy_shadow(const json_t *a)
{
    (void)printf("%s is tried in shadow on ", text_of(a, "policy"));
    print_hosts(json_object_get(a, "hosts"));
    (void)printf("; `stave policy report %s` tells what differs\n", text_of(a, "policy"));
    print_odd_hooks(json_object_get(a, "odd-hooks"));
}

static void print_count(const json_t *c)
{
    const bool is_same_word = strcmp(text_of(c, "live"), text_of(c, "shadow")) == 0;
    (void)printf("%10" PRId64 "  %-14s  %-32s  %-28s  %s%s\n", number_of(c, "count"), text_of(c, "result"), text_of(c, "hook"), text_of(c, "live"),
                 text_of(c, "shadow"), is_same_word && strcmp(text_of(c, "result"), "differing") == 0 ? " (with other content)" : "");
}

static void print_sample(const json_t *s)
{
    char head[512];
    (void)snprintf(head, sizeof head, "%s  %s  ", text_of(s, "time"), text_of(s, "hook"));
    char text[1536];
    (void)snprintf(text, sizeof text, "%s%s%s -> %s: live %s, shadow %s", text_of(s, "kind"), *text_of(s, "kind") ? " " : "", text_of(s, "from"),
                   text_of(s, "to"), text_of(s, "live"), text_of(s, "shadow"));
    svi_print_line(head, text);
}

void svi_print_policy_report(const json_t *a)
{
    const json_t *item;
    size_t i;
    (void)printf("%s, in shadow since %s on ", text_of(a, "policy"), text_of(a, "since"));
    print_hosts(json_object_get(a, "hosts"));
    (void)printf("\nsame %" PRId64 ", differing %" PRId64 ", not comparable %" PRId64 ", skipped for lack of time %" PRId64 ", errors %" PRId64
                 "; it took %" PRId64 " ms\n",
                 number_of(a, "same"), number_of(a, "differing"), number_of(a, "not-comparable"), number_of(a, "skipped"), number_of(a, "errors"),
                 number_of(a, "cpu-us") / 1000);
    print_odd_hooks(json_object_get(a, "odd-hooks"));
    if (json_array_size(json_object_get(a, "counts")) > 0)
        (void)printf("%10s  %-14s  %-32s  %-28s  %s\n", "COUNT", "RESULT", "HOOK", "LIVE", "SHADOW");
    json_array_foreach(json_object_get(a, "counts"), i, item) print_count(item);
    if (json_array_size(json_object_get(a, "samples")) > 0) (void)printf("the newest that differ:\n");
    json_array_foreach(json_object_get(a, "samples"), i, item) print_sample(item);
}

void svi_print_policy_promote(const json_t *a)
{
    (void)printf("%s: what was tried is the live version now, and lies in %s\nevents that waited: %" PRId64 ", asked anew: %" PRId64
                 ", finished by the former generation: %" PRId64 "; the swap took %" PRId64 " us\n",
                 text_of(a, "policy"), text_of(a, "file"), number_of(a, "waiting"), number_of(a, "restarted"), number_of(a, "finishing"),
                 number_of(a, "swap-us"));
}
