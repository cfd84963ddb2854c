/* Which versions the records of modules have, that the operator finishes an upgrade, and what is left of older ones. */
#include "main/main_upgrade.h"

#include "base/base_assert.h"
#include "base/base_str.h"
#include "main/main_command.h"

bool svi_map_parts_of(sv_str name, svi_map_parts *parts_out)
{
    return svi_str_split(&name, '/', &parts_out->host) &&
           svi_str_split(&name, '/', &parts_out->module) &&
           svi_str_split(&name, '/', &parts_out->map);
}

static const char *state_of(const svi_map_state *at)
{
    if (at->newest == 0) return "unused";
    if (at->is_mixed) return "mixed";
    if (at->newest > at->written) return "unfinished";
    return at->oldest < at->written ? "finished" : "plain";
}

/* False if the answer has no room for one more. */
static bool tell(svi_request *request, const svi_map_parts *p, const svi_map_state *at)
{
    if (!svi_request_record(request)) return false;
    svi_request_field(request, "host", p->host);
    svi_request_field(request, "module", p->module);
    svi_request_field(request, "map", p->map);
    svi_request_field_int(request, "oldest", at->oldest);
    svi_request_field_int(request, "written", at->written);
    if (at->newest > 0) svi_request_field_int(request, "newest", at->newest);
    svi_request_field(request, "state", sv_str_of(state_of(at)));
    return true;
}

/* --- status ------------------------------------------------------------------------------------------- */

/* Maps are never removed and keep their order, so a page begins behind the map that the last one ended with. */
void svi_command_upgrade_status(svi_commands *commands, svi_request *request)
{
    (void)commands;
    svi_store *store = svi_server_store(svi_request_server(request));
    const sv_str from = svi_request_from(request);
    bool is_there = from.n == 0;
    size_t pos = 0;
    sv_str last = from;
    const svi_map *map;
    while ((map = svi_store_map_next(store, SV_STR_NONE, &pos)) != NULL) {
        svi_map_state at;
        svi_map_parts p;
        svi_map_state_get(map, &at);
        if (!is_there) {
            is_there = sv_str_eq(at.name, from);
            continue;
        }
        if (!svi_map_parts_of(at.name, &p)) continue;
        if (!tell(request, &p, &at)) {
            svi_request_more(request, last);
            return;
        }
        last = at.name;
    }
    svi_request_answer(request);
}

/* --- finish ------------------------------------------------------------------------------------------- */

/* Waits until what was finished is durable: an event that changes nothing, but has to be written. */
typedef struct wait {
    svi_errand of;
    svi_request *request;
} wait;

static void durable(void *ctx, sv_status status)
{
    wait *w = ctx;
    svi_request *request = w->request;
    svi_hooks_unref(&w->of.hooks);
    svi_free(w);
    if (status == SV_OK)
        svi_request_answer(request);
    else
        svi_request_fail(request, SV_FAULT_FAILED,
                         "the server is stopping; look with \"stave upgrade status\" when it runs");
}

static sv_verdict on_wait(sv_event *ev, void *self)
{
    svi_map *map = svi_host_accounts(self);
    const sv_status st = svi_unit_del(svi_event_unit(ev), map, SV_STR("/upgrade"), SV_STR("none"));
    SV_ASSERT(st == SV_OK);
    return SV_DONE;
}

static void answer_when_durable(svi_request *request)
{
    svi_server *server = svi_request_server(request);
    svi_host *host = svi_host_next(server, NULL);
    if (host == NULL) {
        svi_request_answer(request);
        return;
    }
    const svi_handler handler = {.point = SVI_POINT_COMMAND_RUN,
                                 .call = on_wait,
                                 .self = host,
                                 .module = "core",
                                 .text = "upgrade finish"};
    wait *w = svi_alloc(svi_server_acct(server), sizeof *w);
    *w = (wait){.of = {.host = host, .over = durable, .ctx = w}, .request = request};
    const sv_status st =
        svi_hooks_build(svi_server_acct(server), &handler, 1, &w->of.hooks, NULL);
    SV_ASSERT(st == SV_OK);
    svi_errand_run(&w->of);
}

/* What of the module, or of all, is unfinished; false if there is no map of that module. */
static bool tell_unfinished(svi_store *store, sv_str module, svi_request *request, bool *any_out)
{
    bool found = module.n == 0, has_room = true;
    size_t pos = 0;
    const svi_map *map;
    *any_out = false;
    while ((map = svi_store_map_next(store, SV_STR_NONE, &pos)) != NULL) {
        svi_map_state at;
        svi_map_parts p;
        svi_map_state_get(map, &at);
        if (!svi_map_parts_of(at.name, &p) || (module.n > 0 && !sv_str_eq(p.module, module))) continue;
        found = true;
        if (at.newest <= at.written) continue;
        *any_out = true;
        at.written = at.newest; /* as it is going to be */
        has_room = has_room && tell(request, &p, &at);
    }
    return found;
}

void svi_command_upgrade_finish(svi_commands *commands, svi_request *request)
{
    (void)commands;
    svi_store *store = svi_server_store(svi_request_server(request));
    const sv_str module = svi_request_arg(request, "module")->text;
    const sv_str part = svi_arena_printf(svi_request_arena(request), "%.*s%s", (int)module.n,
                                         module.n > 0 ? module.p : "", module.n > 0 ? "/" : "");
    bool any;
    sv_err err = {.text = ""};
    size_t changed;
    if (svi_store_admit(store) != SV_OK) {
        svi_request_fail(request, SV_FAULT_REFUSED,
                         "the store is short of space; make room and try again");
        return;
    }
    if (svi_maps_may_finish(store, part, &err) != SV_OK) {
        svi_request_fail(request, SV_FAULT_REFUSED, "%s", err.text);
        return;
    }
    if (!tell_unfinished(store, module, request, &any)) {
        svi_request_fail(request, SV_FAULT_NOT_FOUND,
                         "no module \"%.*s\" stores anything: \"stave upgrade status\" lists those that do",
                         (int)module.n, module.p);
        return;
    }
    const sv_status st = svi_maps_finish(store, part, &changed, &err);
    SV_ASSERT(st == SV_OK && any == (changed > 0));
    if (changed > 0)
        answer_when_durable(request);
    else
        svi_request_answer(request);
}

/* --- look --------------------------------------------------------------------------------------------- */

/* A walk over the maps; those that may have older records are read one behind the other. */
typedef struct walk {
    svi_request *request;
    svi_store *store;
    sv_str module; /* empty: all */
    sv_str last;   /* the map that was told last, a page goes on behind it */
    size_t pos;    /* of the map at hand */
    svi_map *map;
} walk;

/* The next map of the module that may have older records; NULL at the end. */
static svi_map *next_of(walk *w)
{
    svi_map *map;
    while ((map = svi_store_map_next(w->store, SV_STR_NONE, &w->pos)) != NULL) {
        svi_map_state at;
        svi_map_parts p;
        svi_map_state_get(map, &at);
        if (at.oldest < at.written && svi_map_parts_of(at.name, &p) &&
            (w->module.n == 0 || sv_str_eq(p.module, w->module)))
            return map;
    }
    return NULL;
}

static void look_at_next(walk *w);

static void looked(void *ctx, sv_status status, uint64_t older)
{
    walk *w = ctx;
    svi_map_state at;
    svi_map_parts p;
    svi_map_state_get(w->map, &at);
    const bool is_named = svi_map_parts_of(at.name, &p);
    SV_ASSERT(is_named);
    if (status != SV_OK) {
        svi_request_fail(w->request, SV_FAULT_FAILED, "map %.*s can't be read: %s", (int)at.name.n,
                         at.name.p, svi_status_name(status));
        svi_free(w);
    } else if (!tell(w->request, &p, &at)) { /* the next page reads it again */
        svi_request_more(w->request, w->last);
        svi_free(w);
    } else {
        svi_request_field_int(w->request, "older", (int64_t)older);
        w->last = at.name;
        look_at_next(w);
    }
}

static void look_at_next(walk *w)
{
    sv_err err = {.text = ""};
    w->map = next_of(w);
    if (w->map != NULL && svi_map_look(w->map, looked, w, &err) == SV_OK) return;
    if (w->map == NULL)
        svi_request_answer(w->request);
    else
        svi_request_fail(w->request, SV_FAULT_REFUSED, "%s", err.text);
    svi_free(w);
}

void svi_command_upgrade_look(svi_commands *commands, svi_request *request)
{
    (void)commands;
    svi_server *server = svi_request_server(request);
    walk *w = svi_alloc(svi_server_acct(server), sizeof *w);
    *w = (walk){.request = request,
                .store = svi_server_store(server),
                .module = svi_request_arg(request, "module")->text,
                .last = svi_request_from(request)};
    for (svi_map_state at = {.name = SV_STR_NONE}; w->last.n > 0 && !sv_str_eq(at.name, w->last);) {
        const svi_map *map = svi_store_map_next(w->store, SV_STR_NONE, &w->pos);
        if (map == NULL) break;
        svi_map_state_get(map, &at);
    }
    look_at_next(w);
}
