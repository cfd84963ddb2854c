/* `stave explain`: finds stanzas in the trail and tells their way. One look finds which are meant, a second one gathers
 * what was noted of them and of what they caused. */
#include "main/main_explain.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/base_assert.h"
#include "base/base_dict.h"
#include "main/main_command.h"
#include "xmpp/xmpp_told.h"

enum {
    STORIES_MAX = 30,    /* of one answer */
    STEPS_MAX = 150,     /* of one stanza */
    CAUSED_TOLD = 20,    /* of what one stanza caused */
    IDS_TOLD = 8,
    TEXT_FULL = SVI_TRAIL_TEXT_BYTES - 3 /* a text so long may have been cut */
};

/* --- what is meant ------------------------------------------------------------------------------------ */

typedef struct wanted {
    sv_str what, kind;
    sv_jid jid; /* domain empty: it is no address */
    uint64_t before;
} wanted;

/* The newest numbers that were found, in order. */
typedef struct found {
    uint64_t numbers[STORIES_MAX + 1];
    size_t count, max;
} found;

static void add_number(found *f, uint64_t number)
{
    size_t at = f->count;
    while (at > 0 && f->numbers[at - 1] > number) at--;
    if (at > 0 && f->numbers[at - 1] == number) return;
    if (f->count == f->max) {
        if (at == 0) return;
        memmove(f->numbers, f->numbers + 1, (--at) * sizeof *f->numbers);
    } else {
        memmove(f->numbers + at + 1, f->numbers + at, (f->count++ - at) * sizeof *f->numbers);
    }
    f->numbers[at] = number;
}

static bool is_same(sv_str told, sv_str asked)
{
    return sv_str_eq(told, asked) || (told.n >= TEXT_FULL && svi_str_starts(asked, told));
}

static bool is_address(const wanted *w, sv_str told)
{
    if (told.n == 0 || w->jid.domain.n == 0) return false;
    if (w->jid.resource.n > 0) return is_same(told, w->jid.full);
    const sv_str bare = svi_str_sub(told, 0, svi_str_find(told, '/'));
    if (is_same(bare, w->jid.bare)) return true;
    const size_t at = svi_str_find(bare, '@');
    return w->jid.node.n == 0 && at < bare.n && is_same(svi_str_sub(bare, at + 1, bare.n), w->jid.domain);
}

static bool is_of_kind(const wanted *w, sv_str name)
{
    return w->kind.n == 0 || sv_str_eq(name, w->kind);
}

static bool is_id(const wanted *w, const svi_trail_record *r)
{
    if (r->what == SVI_TOLD_ID) return is_same(r->texts[1], w->what);
    if (r->what == SVI_TOLD_STANZA) return r->texts[4].n > 0 && is_same(r->texts[4], w->what);
    return r->what == SVI_TOLD_SENT && r->texts[4].n > 0 && is_same(r->texts[4], w->what);
}

static bool is_by_address(const wanted *w, const svi_trail_record *r)
{
    if (r->what == SVI_TOLD_STANZA)
        return is_of_kind(w, r->texts[0]) && (is_address(w, r->texts[2]) || is_address(w, r->texts[3]));
    return r->what == SVI_TOLD_SENT && is_of_kind(w, r->texts[1]) && is_address(w, r->texts[0]);
}

/* An id, if any stanza has it; else an address. */
static void find(const svi_trail *trail, const wanted *w, found *f)
{
    found by_address = {.max = f->max};
    svi_trail_record r;
    for (uint64_t pos = 0; svi_trail_next(trail, &pos, &r);) {
        if (r.kind != SVI_TRAIL_TEXT || (w->before > 0 && r.entry >= w->before)) continue;
        if (is_id(w, &r)) add_number(f, r.entry);
        if (is_by_address(w, &r)) add_number(&by_address, r.entry);
    }
    if (f->count == 0) *f = by_address;
}

/* "stanza=N", as log lines have it. */
static bool find_number(sv_str what, found *f)
{
    int64_t number;
    const sv_str head = SV_STR("stanza=");
    if (!svi_str_starts(what, head)) return false;
    if (svi_str_int(svi_str_sub(what, head.n, what.n), 1, INT64_MAX, &number) == SV_OK)
        add_number(f, (uint64_t)number);
    return true;
}

/* --- telling ------------------------------------------------------------------------------------------ */

/* A stanza that is told, or one that such a stanza caused. */
typedef struct story {
    uint64_t number;
    json_t *json, *way, *caused, *ids; /* of what was caused only `json` */
    int64_t began_us, last_us;
    int64_t waits_us, writes_us; /* since when; -1: it has not */
    bool is_there, has_begun; /* something was noted of it; its time is known */
    char module[64]; /* asked last */
    size_t steps, left_out, children;
} story;

typedef struct telling {
    svi_acct *acct;
    int64_t wall_us; /* of the monotonic clock's 0 */
    svi_dict *by_number; /* of those that are told */
    svi_dict *caused;    /* number -> its story; owned */
    story stories[STORIES_MAX];
    size_t count;
} telling;

static sv_str key_of(const uint64_t *number)
{
    return (sv_str){(const char *)number, sizeof *number};
}

static json_t *text_json(sv_str text)
{
    json_t *json = json_stringn(text.n > 0 ? text.p : "", text.n);
    return json != NULL ? json : json_string("?"); /* a module's rule may be anything */
}

static void put_text(json_t *object, const char *name, sv_str text)
{
    if (text.n > 0) (void)json_object_set_new(object, name, text_json(text));
}

static void put_number(json_t *object, const char *name, uint64_t value)
{
    (void)json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void put_ms(json_t *object, const char *name, int64_t us)
{
    (void)json_object_set_new(object, name, json_real((double)us / 1000));
}

static void put_name(json_t *object, const svi_trail_name *name)
{
    put_text(object, "module", sv_str_of(name->module));
    put_text(object, "hook", sv_str_of(name->hook));
}

/* Adds a step; NULL if there are too many. */
static json_t *step(story *s, const char *what)
{
    if (s->steps == STEPS_MAX) {
        s->left_out++;
        return NULL;
    }
    s->steps++;
    json_t *json = json_object();
    put_ms(json, "ms", s->last_us - s->began_us);
    (void)json_object_set_new(json, "step", json_string(what));
    (void)json_array_append_new(s->way, json);
    return json;
}

static void tell_wait(story *s, const char *why, sv_str whose)
{
    json_t *json = step(s, "waits");
    s->waits_us = s->last_us;
    if (json == NULL) return;
    (void)json_object_set_new(json, "why", json_string(why));
    put_text(json, "for", whose);
}

static const char *const verdicts[] = {[SV_PASS] = "pass", [SV_DONE] = "done", [SV_LATER] = "later"};

static void tell_asked(story *s, const svi_trail_record *r)
{
    json_t *json = step(s, "asked");
    (void)snprintf(s->module, sizeof s->module, "%s", r->name.module);
    if (json == NULL) return;
    put_name(json, &r->name);
    (void)json_object_set_new(json, "verdict", json_string(r->what < 3 ? verdicts[r->what] : "pass"));
    if (r->took_us > 0) put_ms(json, "took-ms", r->took_us);
    if (r->is_skipped) (void)json_object_set_new(json, "quarantined", json_true());
}

static void tell_going_on(story *s, const svi_trail_record *r)
{
    static const char *const causes[] = {
        [SVI_TRAIL_RESUMED_PASS] = "what it waited for has come",
        [SVI_TRAIL_RESUMED_DONE] = "what it waited for has come, that was its end",
        [SVI_TRAIL_TIMEOUT] = "nothing came before the deadline",
        [SVI_TRAIL_RESTARTED] = "the module was reloaded and is asked anew"};
    json_t *json = step(s, "goes-on");
    if (json == NULL) return;
    (void)json_object_set_new(json, "why", json_string(causes[r->what & 3]));
    if (s->waits_us >= 0) put_ms(json, "waited-ms", s->last_us - s->waits_us);
}

static void tell_writes(story *s, const svi_trail_record *r)
{
    s->writes_us = s->last_us;
    if (r->number == 0) {
        tell_wait(s, "an earlier stanza of its lane is not committed", SV_STR_NONE);
        return;
    }
    json_t *json = step(s, "writes");
    if (json != NULL) put_number(json, "commit", r->number);
}

static void tell_released(story *s)
{
    json_t *json = step(s, "committed");
    if (json != NULL && s->writes_us >= 0) put_ms(json, "waited-ms", s->last_us - s->writes_us);
}

static void put_outcome(json_t *json, const svi_trail_record *r)
{
    (void)json_object_set_new(json, "outcome", json_string(r->what < SVI_DISPOSALS ? svi_disposal_name((svi_disposal)r->what) : "?"));
    if (r->is_acked) (void)json_object_set_new(json, "acked", json_true());
    if (r->rule != NULL) put_text(json, "rule", sv_str_of(r->rule));
}

static void tell_closed(story *s, const svi_trail_record *r)
{
    put_outcome(s->json, r);
    json_t *json = step(s, "disposed");
    if (json == NULL) return;
    put_outcome(json, r);
    put_name(json, &r->name);
}

static void put_stanza(json_t *json, const sv_str *texts)
{
    static const char *const names[] = {"element", "type", "from", "to", "id", "error"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) put_text(json, names[i], texts[i]);
}

static void tell_stanza(story *s, const svi_trail_record *r)
{
    if (json_object_get(s->json, "element") == NULL) {
        put_stanza(s->json, r->texts);
        return;
    }
    json_t *json = step(s, "redirected");
    if (json != NULL) put_text(json, "to", r->texts[3]);
}

static void tell_id(story *s, const svi_trail_record *r)
{
    if (json_array_size(s->ids) == IDS_TOLD) return;
    json_t *json = json_object(), *item;
    size_t i;
    put_text(json, "by", r->texts[0]);
    put_text(json, "id", r->texts[1]);
    bool is_known = false;
    json_array_foreach(s->ids, i, item) is_known = is_known || json_equal(item, json);
    if (is_known)
        json_decref(json);
    else
        (void)json_array_append_new(s->ids, json);
}

static void tell_sent(story *s, const svi_trail_record *r)
{
    const sv_str texts[] = {r->texts[1], r->texts[2], r->texts[3], SV_STR_NONE, r->texts[4], r->texts[5]};
    if (r->text_count > 2 && json_object_get(s->json, "element") == NULL) put_stanza(s->json, texts);
    json_t *json = step(s, "sent");
    if (json != NULL) put_text(json, "session", r->texts[0]);
}

static void tell_text(story *s, const svi_trail_record *r)
{
    switch (r->what) {
    case SVI_TOLD_STANZA: tell_stanza(s, r); break;
    case SVI_TOLD_ID: tell_id(s, r); break;
    case SVI_TOLD_SENT: tell_sent(s, r); break;
    case SVI_TOLD_LOOK: tell_wait(s, "whether the account exists is looked up", r->texts[0]); break;
    default: break;
    }
}

static void tell_point(story *s, const svi_trail_record *r)
{
    json_t *json = step(s, "point");
    if (json == NULL) return;
    (void)json_object_set_new(json, "point", json_string(r->what < SVI_POINT_COUNT ? svi_point_name((svi_point)r->what) : "?"));
    if (r->is_inside) (void)json_object_set_new(json, "inside", json_true());
}

static void tell_replaced(story *s, const svi_trail_record *r)
{
    json_t *json = step(s, "changed");
    if (json != NULL) put_name(json, &r->name);
}

static void put_opened(json_t *json, const svi_trail_record *r)
{
    (void)json_object_set_new(json, "origin", json_string(r->what < SVI_ORIGINS ? svi_origin_name((svi_origin)r->what) : "?"));
    put_text(json, "by", sv_str_of(r->name.module));
    put_text(json, "in", sv_str_of(r->name.hook));
}

static void tell_opened(story *s, const svi_trail_record *r)
{
    put_opened(s->json, r);
    if (r->parent != 0) put_number(s->json, "caused-by", r->parent);
    (void)json_object_set_new(s->json, "is-whole", json_true());
}

static void begin(const telling *t, story *s, int64_t at_us)
{
    char text[32];
    const sv_str when = svi_plat_stamp_ms((t->wall_us + at_us) / 1000, text);
    s->has_begun = true;
    s->began_us = s->last_us = at_us;
    (void)json_object_set_new(s->json, "time", json_stringn(when.p, when.n));
}

static void tell(const telling *t, story *s, const svi_trail_record *r)
{
    s->is_there = true;
    if (!s->has_begun && r->at_us >= 0) begin(t, s, r->at_us);
    if (r->at_us > s->last_us) s->last_us = r->at_us; /* the coarse clock is behind the other */
    switch (r->kind) {
    case SVI_TRAIL_OPENED: tell_opened(s, r); break;
    case SVI_TRAIL_CLOSED: tell_closed(s, r); break;
    case SVI_TRAIL_QUEUED: tell_wait(s, "an earlier stanza of its lane waits", SV_STR_NONE); break;
    case SVI_TRAIL_POINT: tell_point(s, r); break;
    case SVI_TRAIL_ASKED: tell_asked(s, r); break;
    case SVI_TRAIL_WAITS: tell_wait(s, "the module said LATER", sv_str_of(s->module)); break;
    case SVI_TRAIL_GOES_ON: tell_going_on(s, r); break;
    case SVI_TRAIL_REPLACED: tell_replaced(s, r); break;
    case SVI_TRAIL_WRITES: tell_writes(s, r); break;
    case SVI_TRAIL_RELEASED: tell_released(s); break;
    case SVI_TRAIL_TEXT: tell_text(s, r); break;
    case SVI_TRAIL_NONE: break;
    }
}

/* --- what it caused ----------------------------------------------------------------------------------- */

static void note_child(telling *t, const svi_trail_record *r)
{
    story *parent = svi_dict_get(t->by_number, key_of(&r->parent));
    if (parent == NULL || ++parent->children > CAUSED_TOLD) return;
    story *child = svi_alloc(t->acct, sizeof *child);
    child->number = r->entry;
    child->json = json_object();
    put_number(child->json, "stanza", r->entry);
    put_opened(child->json, r);
    (void)json_object_set_new(child->json, "outcome", json_null());
    (void)json_array_append(parent->caused, child->json);
    json_decref(child->json); /* the parent's now */
    svi_dict_put(t->caused, key_of(&child->number), child);
}

static void tell_child(story *child, const svi_trail_record *r)
{
    if (r->kind == SVI_TRAIL_CLOSED) put_outcome(child->json, r);
    if (r->kind != SVI_TRAIL_TEXT) return;
    if (r->what == SVI_TOLD_STANZA) put_stanza(child->json, r->texts);
    if (r->what != SVI_TOLD_SENT) return;
    const sv_str texts[] = {r->texts[1], r->texts[2], r->texts[3], SV_STR_NONE, r->texts[4], r->texts[5]};
    if (r->text_count > 2) put_stanza(child->json, texts);
    put_text(child->json, "session", r->texts[0]);
}

/* --- the answer --------------------------------------------------------------------------------------- */

static void open_story(telling *t, uint64_t number)
{
    story *s = &t->stories[t->count++];
    *s = (story){.number = number, .json = json_object(), .way = json_array(), .caused = json_array(), .ids = json_array(), .waits_us = -1, .writes_us = -1};
    put_number(s->json, "stanza", number);
    (void)json_object_set_new(s->json, "time", json_null());
    (void)json_object_set_new(s->json, "is-whole", json_false());
    (void)json_object_set_new(s->json, "outcome", json_null());
    (void)json_object_set_new(s->json, "ids", s->ids);
    (void)json_object_set_new(s->json, "way", s->way);
    (void)json_object_set_new(s->json, "caused", s->caused);
    svi_dict_put(t->by_number, key_of(&s->number), s);
}

static void gather(telling *t, const svi_trail *trail)
{
    svi_trail_record r;
    for (uint64_t pos = 0; t->count > 0 && svi_trail_next(trail, &pos, &r);) {
        story *s = svi_dict_get(t->by_number, key_of(&r.entry));
        if (s != NULL) tell(t, s, &r);
        if (r.kind == SVI_TRAIL_OPENED && r.parent != 0) note_child(t, &r);
        s = svi_dict_count(t->caused) > 0 ? svi_dict_get(t->caused, key_of(&r.entry)) : NULL;
        if (s != NULL) tell_child(s, &r);
    }
}

static json_t *close_stories(telling *t)
{
    json_t *list = json_array();
    for (size_t i = t->count; i-- > 0;) {
        story *s = &t->stories[i];
        put_number(s->json, "caused-count", s->children);
        if (s->left_out > 0) put_number(s->json, "steps-left-out", s->left_out);
        if (s->is_there) (void)json_array_append(list, s->json);
        json_decref(s->json);
    }
    size_t pos = 0;
    sv_str key;
    void *child;
    while (svi_dict_next(t->caused, &pos, &key, &child)) svi_free(child);
    svi_dict_free(&t->caused);
    svi_dict_free(&t->by_number);
    return list;
}

static json_t *tell_all(svi_server *server, const found *f, size_t skip)
{
    const svi_plat *plat = svi_server_plat(server);
    svi_acct *acct = svi_server_acct(server);
    telling *t = svi_alloc(acct, sizeof *t);
    t->acct = acct;
    t->wall_us = plat->wall_us(plat->ctx) - plat->mono_us(plat->ctx);
    t->by_number = svi_dict_new(acct);
    t->caused = svi_dict_new(acct);
    for (size_t i = skip; i < f->count; i++) open_story(t, f->numbers[i]);
    gather(t, svi_server_trail(server));
    json_t *list = close_stories(t);
    svi_free(t);
    return list;
}

/* Since when, so that who finds nothing knows whether it may have been there. */
static void put_since(json_t *answer, svi_server *server)
{
    const svi_plat *plat = svi_server_plat(server);
    svi_trail_stats stats;
    char text[32];
    svi_trail_stats_get(svi_server_trail(server), &stats);
    const int64_t wall_us = plat->wall_us(plat->ctx) - plat->mono_us(plat->ctx) + stats.oldest_us;
    const sv_str since = svi_plat_stamp_ms(wall_us / 1000, text);
    (void)json_object_set_new(answer, "since", stats.oldest_us >= 0 ? json_stringn(since.p, since.n) : json_null());
    put_number(answer, "bytes", stats.bytes);
    put_number(answer, "used-bytes", stats.used);
}

json_t *svi_explain(svi_server *server, sv_str what, sv_str kind, size_t count, uint64_t before)
{
    found f = {.max = (count < STORIES_MAX ? count : STORIES_MAX) + 1}; /* one more tells that there are more */
    wanted w = {.what = what, .kind = kind, .before = before};
    svi_arena *arena = svi_arena_new(svi_server_acct(server), 0);
    if (svi_jid_parse(arena, what, &w.jid) != SV_OK) w.jid = (sv_jid){.domain = SV_STR_NONE};
    if (!find_number(what, &f)) find(svi_server_trail(server), &w, &f);
    svi_arena_free(&arena);
    const bool has_more = f.count == f.max;
    json_t *answer = json_pack("{s:b, s:o}", "ok", 1, "stanzas", tell_all(server, &f, has_more ? 1 : 0));
    if (has_more) put_number(answer, "older-before", f.numbers[1]);
    put_since(answer, server);
    return answer;
}

void svi_command_explain(svi_commands *commands, svi_request *request)
{
    (void)commands;
    svi_server *server = svi_request_server(request);
    const sv_str what = svi_request_arg(request, "what")->text, kind = svi_request_arg(request, "kind")->text;
    const int64_t count = svi_request_arg(request, "count")->number, before = svi_request_arg(request, "before")->number;
    if (svi_trail_size(svi_server_trail(server)) == 0) {
        svi_request_fail(request, SV_FAULT_REFUSED,
                         "nothing is kept of recent stanzas: set explain_memory = \"4M\" and run `stave reload`");
        return;
    }
    json_t *answer = svi_explain(server, what, kind, (size_t)count, (uint64_t)before);
    if (json_array_size(json_object_get(answer, "stanzas")) > 0) {
        svi_request_take(request, answer);
        return;
    }
    const char *since = json_string_value(json_object_get(answer, "since"));
    svi_request_fail(request, SV_FAULT_NOT_FOUND,
                     "no stanza with the id or address \"%.*s\" is among the recent ones (since %s); "
                     "explain_memory says how many are kept",
                     (int)(what.n < 100 ? what.n : 100), what.p, since != NULL ? since : "the start there was none");
    json_decref(answer);
}
