/* The table given to modules, and its members that need no event: time, log, timers, host, features. */
#include "mods/mods_api.h"

#include "base/base_log.h"
#include "mods/mods_engine_impl.h"
#include "xmpp/xmpp_hold.h"

enum { LOG_FIELDS = 16, SLOW_US = 100000, LONG_US = 1000000 };

int64_t svi_api_now_ms(void)
{
    const svi_plat *plat = svi_plat_here();
    return plat->wall_us(plat->ctx) / 1000;
}

int64_t svi_api_now_s(void)
{
    return svi_api_now_ms() / 1000;
}

/* What a module says is wrong while it starts is what the operator is told of it. */
static void note_why(sv_mod *mod, const svi_field *first)
{
    mod->why = svi_arena_printf(mod->texts, "%.200s", first->text.n > 0 ? first->text.p : "").p;
}

void svi_api_log(sv_mod *mod, sv_level level, const char *event, ...)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    SV_ASSERT(event != NULL);
    if (!svi_log_wants(level)) return;
    svi_field fields[LOG_FIELDS + 1] = {{.name = ""}};
    size_t count = 1;
    va_list args;
    va_start(args, event);
    for (const char *name; (name = va_arg(args, const char *)) != NULL;) {
        const char *value = va_arg(args, const char *);
        if (count <= LOG_FIELDS) fields[count++] = LF_TXT(name, value);
    }
    va_end(args);
    if (level == SV_ERROR && mod->is_starting && count > 1) note_why(mod, &fields[1]);
    if (mod->tries != NULL && count <= LOG_FIELDS) fields[count++] = LF_TXT("shadow", "yes");
    svi_exec *now = svi_exec_now(); /* the line names the module whoever runs */
    const char *const running = now->module;
    now->module = mod->file->name;
    svi_log_fields(level, event, fields, count);
    now->module = running;
}

/* --- timers ----------------------------------------------------------------------------------------- */

static int64_t plat_us(const sv_mod *mod)
{
    const svi_plat *plat = mod->group->plat;
    return plat->coarse_us != NULL ? plat->coarse_us(plat->ctx) : plat->mono_us(plat->ctx);
}

static int64_t plat_cpu_us(const sv_mod *mod)
{
    const svi_plat *plat = mod->group->plat;
    return plat->cpu_us != NULL ? plat->cpu_us(plat->ctx) : plat_us(mod);
}

svi_stretch svi_mod_stretch(sv_mod *mod)
{
    svi_bus_count_call(svi_server_bus(mod->group->server));
    return (svi_stretch){.from_us = plat_us(mod), .cpu_us = plat_cpu_us(mod)};
}

/* As the bus does with handlers. */
void svi_mod_judge_time(sv_mod *mod, const char *what, const svi_stretch *s)
{
    const int64_t took_us = plat_us(mod) - s->from_us;
    if (took_us <= SLOW_US) return;
    const svi_mod_visit visit = svi_mod_blame(mod, what);
    SV_LOG(SV_WARN, "handler-slow", LF_INT("ms", took_us / 1000), LF_TXT("point", what));
    svi_mod_leave(&visit);
    if (took_us >= LONG_US || 2 * (plat_cpu_us(mod) - s->cpu_us) >= SLOW_US)
        svi_mod_fault(mod, SVI_RULE_SLOW);
}

static void fired(void *ctx)
{
    sv_timer *timer = ctx;
    sv_mod *mod = timer->mod;
    SV_CHECK(mod, SVI_MOD_MAGIC);
    timer->timer = NULL;
    svi_timer_resume(timer);
    if (timer->fire == NULL) {
        svi_sweep_step(timer->store);
        return;
    }
    const svi_stretch s = svi_mod_stretch(mod);
    const svi_mod_visit visit = svi_mod_enter(mod, "timer");
    timer->fire(mod->self);
    svi_mod_leave(&visit);
    svi_mod_judge_time(mod, "timer", &s);
}

void svi_timer_resume(sv_timer *timer)
{
    if (timer->timer != NULL) return;
    timer->timer = svi_timer_start(svi_server_timers(timer->mod->group->server), timer->period_us,
                                   fired, timer);
}

static sv_status start_timer(sv_mod *mod, int64_t period_ms, sv_timer_fn fire, sv_store *store)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    if (mod->group->host == NULL) return SV_EDENIED;
    if (period_ms < 1 || period_ms > INT64_MAX / 1000) return SV_EINVAL;
    sv_timer *timer = svi_alloc(&mod->acct, sizeof *timer);
    timer->mod = mod;
    timer->fire = fire;
    timer->store = store;
    timer->period_us = period_ms * 1000;
    timer->next = mod->timers;
    mod->timers = timer;
    if (!mod->conduct.ward.is_closed) svi_timer_resume(timer);
    return SV_OK;
}

sv_status svi_api_every(sv_mod *mod, int64_t period_ms, sv_timer_fn fire)
{
    return fire != NULL ? start_timer(mod, period_ms, fire, NULL) : SV_EINVAL;
}

sv_status svi_api_sweep(sv_mod *mod, sv_store *store, int64_t period_ms)
{
    return store != NULL && store->mod == mod ? start_timer(mod, period_ms, NULL, store)
                                              : SV_EINVAL;
}

/* --- the host --------------------------------------------------------------------------------------- */

sv_str svi_api_host(const sv_mod *mod)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    return mod->group->host_name;
}

sv_str svi_api_feature_at(sv_mod *mod, bool of_accounts, size_t i)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const svi_group *group = mod->group;
    return i < group->feature_count[of_accounts] ? group->features[of_accounts][i] : SV_STR_NONE;
}

/* --- metrics ----------------------------------------------------------------------------------------- */

/* The value at that place, which must be a gauge if `falls`; NULL if there is none, which is told once. */
static int64_t *metric_of(sv_mod *mod, uint32_t index, bool falls)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const sv_metric *metric = index < mod->metric_count ? svi_metric_at(&mod->file->desc, index) : NULL;
    if (metric != NULL && (!falls || metric->kind == SV_METRIC_GAUGE)) return mod->metrics[index];
    if (!mod->is_metric_wrong)
        SV_LOG(SV_ERROR, "metric-wrong", LF_TXT("module", mod->file->name), LF_INT("index", index),
               LF_TXT("metric", metric != NULL ? metric->name : ""),
               LF_TXT("reason", metric != NULL ? "a counter does not fall" : "it declares no such metric"));
    mod->is_metric_wrong = true;
    return NULL;
}

void svi_api_metric_add(sv_mod *mod, uint32_t index, int64_t delta)
{
    int64_t *value = metric_of(mod, index, delta < 0);
    if (value == NULL) return;
    if (__builtin_add_overflow(*value, delta, value)) *value = delta < 0 ? INT64_MIN : INT64_MAX;
}

void svi_api_metric_set(sv_mod *mod, uint32_t index, int64_t value)
{
    int64_t *to = metric_of(mod, index, true);
    if (to != NULL) *to = value;
}

void *svi_api_shared(sv_mod *mod)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    return mod->file->shared;
}

/* --- accounts that it keeps ------------------------------------------------------------------------- */

static void call_auth(void *ctx, void (*run)(void *arg), void *arg)
{
    sv_mod *mod = ctx;
    SV_CHECK(mod, SVI_MOD_MAGIC);
    const svi_stretch s = svi_mod_stretch(mod);
    const svi_mod_visit visit = svi_mod_enter(mod, "auth");
    run(arg);
    svi_mod_leave(&visit);
    svi_mod_judge_time(mod, "auth", &s);
}

sv_status svi_api_auth_register(sv_mod *mod, const sv_auth *auth)
{
    SV_CHECK(mod, SVI_MOD_MAGIC);
    if (mod->group->host == NULL) return SV_EDENIED;
    const svi_provider_config config = {.auth = auth,
                                        .name = mod->file->name,
                                        .self = mod->self,
                                        .acct = &mod->acct,
                                        .call = call_auth,
                                        .ctx = mod};
    sv_status status = mod->provider ? SV_EEXIST : SV_OK;
    for (size_t i = 0; i < mod->group->count; i++)
        if (mod->group->mods[i]->provider && mod->group->mods[i] != mod->before) status = SV_EEXIST;
    if (status == SV_OK) status = svi_provider_new(mod->group->host, &config, &mod->provider);
    if (status == SV_OK && mod->conduct.ward.is_closed) svi_provider_suspend(mod->provider, true);
    if (status != SV_OK)
        SV_LOG(SV_ERROR, "module-refused", LF_TXT("module", mod->file->name),
               LF_TXT("reason", status == SV_EEXIST ? "another module keeps the host's accounts"
                                                    : "its back end lacks what is required"));
    return status;
}

/* --- the table -------------------------------------------------------------------------------------- */

static const sv_api api = {
    .size = sizeof(sv_api),
    .abi_major = SV_ABI_MAJOR,
    .abi_minor = SV_ABI_MINOR,

    .now_s = svi_api_now_s,
    .now_ms = svi_api_now_ms,
    .log = svi_api_log,
    .every = svi_api_every,
    .host = svi_api_host,

    .stanza = svi_event_stanza,
    .root = svi_api_root,
    .stanza_root = svi_stanza_root,
    .payload = svi_api_payload,
    .name = svi_node_name,
    .ns = svi_node_ns,
    .attr = svi_node_attr,
    .is = svi_node_is,
    .first = svi_node_first,
    .next = svi_node_next,
    .find = svi_node_find,
    .text = svi_api_text,
    .type = svi_api_type,

    .from = svi_api_from,
    .to = svi_api_to,
    .jid_parse = svi_api_jid_parse,
    .is_local = svi_api_is_local,
    .account_exists = svi_api_account_exists,

    .session = svi_api_session,
    .session_next = svi_api_session_next,
    .session_find = svi_api_session_find,
    .session_jid = svi_session_jid,
    .session_presence = svi_session_presence,
    .session_priority = svi_session_priority,
    .session_set_presence = svi_api_session_set_presence,
    .session_data = svi_api_session_data,
    .session_set_item = svi_session_set_item,
    .session_item = svi_session_item,

    .fire = svi_api_fire,
    .subject = svi_api_subject,

    .draft = svi_api_draft,
    .child = svi_draft_child,
    .set = svi_draft_attr,
    .set_int = svi_draft_attr_int,
    .add_text = svi_draft_text,
    .graft = svi_draft_graft,
    .freeze = svi_api_freeze,
    .with_attrs = svi_api_with_attrs,
    .with_child = svi_api_with_child,
    .stanza_ref = svi_api_stanza_ref,
    .stanza_unref = svi_api_stanza_unref,
    .stanza_bytes = svi_api_stanza_bytes,
    .stanza_parse = svi_api_stanza_parse,

    .reply = svi_x_reply,
    .send = svi_x_send,
    .refuse = svi_api_refuse,
    .refuse_text = svi_api_refuse_text,
    .drop = svi_api_drop,
    .consume = svi_x_consume,
    .stored = svi_x_stored,
    .deliver = svi_x_deliver,
    .replace = svi_x_replace,
    .pass = svi_x_pass,

    .push = svi_api_push,
    .route = svi_x_route,
    .push_stored = svi_api_push_stored,

    .store_open = svi_api_store_open,
    .put = svi_api_put,
    .del = svi_api_del,
    .del_owner = svi_api_del_owner,
    .rows = svi_api_rows,
    .rows_load = svi_api_rows_load,
    .rows_keep = svi_api_rows_keep,
    .row = svi_api_row,
    .row_next = svi_api_row_next,
    .row_count = svi_api_row_count,
    .get = svi_api_get,

    .feature_at = svi_api_feature_at,
    .scratch = svi_api_scratch,
    .format = svi_api_format,
    .random_hex = svi_api_random_hex,
    .is_admin = svi_api_is_admin,
    .stamp = svi_api_stamp,
    .row_bytes = svi_api_row_bytes,
    .is_guest = svi_api_is_guest,
    .gather = svi_api_gather,
    .offer = svi_x_offer,
    .set_stream_feature = svi_api_set_stream_feature,

    .arg_text = svi_api_arg_text,
    .arg_int = svi_api_arg_int,
    .arg_jid = svi_api_arg_jid,
    .record = svi_api_record,
    .field = svi_api_field,
    .field_int = svi_api_field_int,
    .answer = svi_api_answer,
    .answer_more = svi_api_answer_more,
    .asked_from = svi_api_asked_from,
    .fail = svi_api_fail,
    .refuse_with = svi_api_refuse_with,
    .route_unasked = svi_x_route_unasked,
    .sweep = svi_api_sweep,
    .attr_ns = svi_node_attr_ns,
    .digest = svi_api_digest,
    .rows_hold = svi_api_rows_hold,
    .rows_held = svi_api_rows_held,
    .begin = svi_api_begin,
    .fire_after = svi_api_fire_after,
    .after_wait = svi_api_after_wait,
    .rows_warm = svi_api_rows_warm,
    .gather_at = svi_api_gather_at,
    .fleeting = svi_x_fleeting,

    .store_overlay = svi_api_store_overlay,
    .overlay_add = svi_api_overlay_add,
    .overlay_changed = svi_api_overlay_changed,
    .overlay_differences = svi_api_overlay_differences,
    .row_stored = svi_api_row_stored,
    .row_added = svi_api_row_added,
    .rows_mark = svi_api_rows_mark,
    .accounts = svi_api_accounts,
    .auth_register = svi_api_auth_register,
    .auth_done = svi_auth_done,
    .auth_give_keys = svi_auth_give_keys,
    .auth_give_name = svi_auth_give_name,
    .query = svi_api_query,
    .has_space = svi_api_has_space,

    .alloc = svi_api_alloc,
    .alloc_resize = svi_api_alloc_resize,
    .free = svi_api_free,
    .str_dup = svi_api_str_dup,
    .str_free = svi_api_str_free,

    .store_open_versions = svi_api_store_open_versions,
    .store_schema = svi_api_store_schema,
    .row_schema = svi_api_row_schema,
    .get_schema = svi_api_get_schema,

    .metric_add = svi_api_metric_add,
    .metric_set = svi_api_metric_set,

    .follow_file = svi_api_follow_file,
    .host_set_item = svi_api_host_set_item,
    .host_item = svi_api_host_item,

    .save_bytes = svi_api_save_bytes,
    .save_int = svi_api_save_int,
    .saved_bytes = svi_api_saved_bytes,
    .saved_int = svi_api_saved_int,
    .shared = svi_api_shared,
    .table = svi_api_table,
    .table_get = svi_api_table_get,
    .table_put = svi_api_table_put,
    .table_del = svi_api_table_del,
    .table_next = svi_api_table_next,
    .table_count = svi_api_table_count,
    .push_copy = svi_x_push_copy,
    .session_hold = svi_api_session_hold,
    .session_release = svi_session_release,
    .hold = svi_x_hold,
};

const sv_api *svi_mods_api(void)
{
    return &api;
}
