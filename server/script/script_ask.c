/* IQs that a script asks: event:iq{...} waits for the answer and returns it (RFC 6120 8.2.3). */
#include <stdio.h>

#include "script/script_impl.h"

enum { ANSWER_MS = 30000 };

/* A question under way; its task waits. */
typedef struct svi_question {
    struct svi_question *next;
    svi_script_host *host;
    svi_task *task;
    svi_script_wait *wait;
    const sv_stanza *answer; /* a reference; NULL: none came */
    sv_str id, to;           /* allocated; `to` is who must answer */
} svi_question;

static void question_free(svi_question *q)
{
    svi_script_host *host = q->host;
    svi_question **at = &host->questions;
    while (*at != q) at = &(*at)->next;
    *at = q->next;
    if (q->answer != NULL) host->script->sv->stanza_unref(host->mod, &q->answer);
    svi_str_free(&q->id);
    svi_str_free(&q->to);
    svi_free(q);
}

/* --- the answer -------------------------------------------------------------------------------------- */

/* RFC 6120 8.1.2.1: an id alone says nothing; who answers must be who was asked. */
static svi_question *question_of(const svi_script_host *host, sv_event *ev)
{
    const sv_api *api = host->script->sv;
    const sv_str id = api->attr(api->root(ev), SV_STR("id"));
    for (svi_question *q = host->questions; q != NULL; q = q->next)
        if (q->answer == NULL && sv_str_eq(q->id, id) && sv_str_eq(q->to, api->from(ev)->full)) return q;
    return NULL;
}

sv_verdict svi_script_on_answer(svi_script_host *host, sv_event *ev, const svi_entry *entry)
{
    (void)entry;
    const sv_api *api = host->script->sv;
    svi_question *q = host->questions != NULL ? question_of(host, ev) : NULL;
    if (q == NULL) return SV_PASS;
    q->answer = api->stanza_ref(host->mod, api->stanza(ev));
    host->script->env.wake(q->wait);
    return api->consume(ev);
}

/* The answer as a stanza of the waiting event's, or nil and why there is none. */
static int push_answer(svi_task *task, lua_State *L, void *ctx)
{
    const svi_question *q = ctx;
    const bool is_too_much = q->answer != NULL && !svi_view_may_keep(task, L, q->answer);
    if (q->answer != NULL && !is_too_much) return svi_view_push_kept(task, L, q->answer);
    lua_pushnil(L);
    (void)lua_pushstring(L, is_too_much ? "limit" : "timeout");
    return 2;
}

static void back(void *ctx)
{
    svi_question *q = ctx;
    svi_task_resume(q->task, push_answer, q);
    question_free(q);
}

static void gone(void *ctx)
{
    question_free(ctx);
}

void svi_script_questions_drop(svi_script_host *host)
{
    SV_ASSERT(host->questions == NULL); /* each holds the module until it ends */
}

/* --- asking ------------------------------------------------------------------------------------------ */

/* The stanza with an id of ours, in the host's name. */
static const sv_stanza *addressed(svi_task *task, const sv_stanza *iq, sv_str id)
{
    const sv_api *api = task->script->sv;
    const sv_str pairs[] = {SV_STR("id"), id, SV_STR("from"), api->host(task->host->mod)};
    return api->with_attrs(task->ev, iq, pairs, 4);
}

static void check(svi_task *task, lua_State *L, const sv_stanza *iq, sv_jid *to)
{
    const sv_api *api = task->script->sv;
    const sv_node *root = api->stanza_root(iq);
    const sv_str type = api->attr(root, SV_STR("type"));
    if (!sv_str_eq(api->name(root), SV_STR("iq")) || (!sv_str_eq(type, SV_STR("get")) && !sv_str_eq(type, SV_STR("set"))) ||
        api->first(root) == NULL)
        luaL_error(L, "iq: it takes {\"iq\", to = ..., type = \"get\" or \"set\", {\"query\", xmlns = ...}}");
    const sv_str text = api->attr(root, SV_STR("to"));
    if (text.n == 0 || !api->jid_parse(task->ev, text, to)) luaL_error(L, "iq: `to` is no address");
    if (!svi_task_may_send_to(task, to)) luaL_error(L, "iq: the script has no right to send to \"%s\": name it under `sends` in sv.script", to->domain.p);
}

/* event:iq(element): stanza?, word yields. The answer, of type result or error; nil and "timeout" if none came, "limit" if the script
 * keeps too many stanzas. */
int svi_lua_event_iq(lua_State *L)
{
    svi_task *task = svi_task_event(L, "iq");
    svi_script_host *host = task->host;
    const sv_api *api = task->script->sv;
    sv_jid to;
    const sv_stanza *iq = svi_build_stanza(task, L, 2, "iq");
    check(task, L, iq, &to);
    svi_task_check_wait(task, L, "iq");
    svi_task_may(task, L, SVI_EFFECT_SEND, "iq");
    if (host->is_shadow) return svi_shadow_unknown(task, L);
    svi_question *q = svi_alloc(task->script->env.acct, sizeof *q);
    const sv_str unique = api->random_hex(task->ev, 12);
    *q = (svi_question){.next = host->questions, .host = host, .task = task};
    q->id = svi_str_dup(task->script->env.acct, unique);
    q->to = svi_str_dup(task->script->env.acct, to.full);
    host->questions = q;
    q->wait = task->script->env.wait(host->mod, task->ev, (int64_t)ANSWER_MS * 1000, back, gone, q);
    task->script->env.send(host->mod, addressed(task, iq, q->id));
    return svi_task_wait(task, L);
}
