/* What the files of the script host share. Nobody outside this folder includes it. */
#ifndef SVI_SCRIPT_IMPL_H
#define SVI_SCRIPT_IMPL_H

#include <lauxlib.h>
#include <lua.h>

#include "base/base_assert.h"
#include "base/base_str.h"
#include "script/script.h"

enum {
    SVI_SCRIPT_MAGIC = 0x53435250,
    SVI_SCRIPT_HOST_MAGIC = 0x53435248,
    SVI_EFFECTS_MAX = 10000,           /* of one handler */
    SVI_TEXT_MAX = 1 << 20,            /* of one text that a script gives */
    SVI_MADE_MAX = 8 << 20,            /* bytes that one handler puts into the event's memory */
    SVI_BEGUN_MAX = 5000,              /* stanzas and events that a script makes on a host in one turn of the server */
    SVI_TOLD_MAX = 100,                /* errors that are logged in a second */
    SVI_TIMERS_MAX = 1000,             /* of a script on a host */
    SVI_TASKS_MAX = 10000,             /* handlers of a script that wait */
    SVI_RULES_MAX = 64,                /* names of rules that a script drops by */
    SVI_SCRIPT_PLANS_MAX = 64,         /* timers that begin with each host */
    SVI_WORKS_MAX = 16,                /* files whose functions run off the router */
    SVI_JOBS_AT_ONCE = 2,              /* of a script in the pool, whose threads hash passwords, too */
    SVI_JOBS_MAX = 256,                /* ... with those that wait for that */
    SVI_SLEEP_MAX_MS = 30000,          /* an event that waits has a deadline */
    SVI_HELD_MAX = 1000,               /* stanzas that a script keeps on a host */
    SVI_HELD_BYTES_MAX = 16 << 20      /* ... and what they take together */
};

/* What Lua holds of the core's, each with a metatable of its own. */
typedef enum svi_view_kind {
    SVI_VIEW_EVENT,
    SVI_VIEW_STANZA,
    SVI_VIEW_KEPT, /* a stanza with a reference of its own */
    SVI_VIEW_NODE,
    SVI_VIEW_JID, /* a copy: it is valid for ever */
    SVI_VIEW_SESSION,
    SVI_VIEW_ROWS,
    SVI_VIEW_STORE,
    SVI_VIEW_KINDS
} svi_view_kind;

typedef struct svi_script_host svi_script_host;
typedef struct svi_task svi_task;

/* What a handler is called at. */
typedef struct svi_site {
    svi_script_host *host;
    uint32_t index; /* in svi_script.entries */
} svi_site;

/* A function of Lua that the core calls. */
typedef struct svi_entry svi_entry;
struct svi_entry {
    int function;     /* its reference */
    bool may_change;  /* else it may only look */
    bool is_monitor;  /* ... and not even send */
    bool is_command;
    bool stores_nothing; /* as the hook says: it is asked while space is short, too */
    bool has_filter;  /* the hook names an element: the stanzas are what the script is there for */
    bool has_stanza;  /* of the point */
    bool is_guard;    /* what it fails to look at is refused */
    bool is_request;  /* iq-get, iq-set */
    bool is_own;      /* at the recipient's side, or the host: it answers for them */
    const char *text; /* the hook, or the command's name */
    /* One of ours instead of a function: timers, answers. NULL: none. */
    sv_verdict (*own)(svi_script_host *host, sv_event *ev, const svi_entry *entry);
};

/* A script on a host: the module's `self`. Sites and the options' fields follow. */
struct svi_script_host {
    uint32_t magic;
    svi_script *script;
    sv_mod *mod;
    bool is_started;
    bool is_shadow;
    const svi_script_tap *tap; /* NULL: none */
    unsigned begun;    /* in this turn */
    void *begun_timer; /* ends the count; NULL: nothing was begun */
    int64_t told_s;    /* errors that were told in this second */
    unsigned told;
    int self; /* reference of the table that sv.self is */
    struct svi_held *held;     /* stanzas that it keeps */
    size_t held_count;
    size_t held_bytes;
    struct svi_listing *listings, *listed; /* names of accounts: asked for / come, for who still waits */
    struct svi_beat *beats;    /* timers */
    size_t beat_count;
    uint32_t beat_numbers;
    struct svi_question *questions; /* IQs that it has asked */
    sv_store **stores;         /* as svi_script.stores, once started */
    svi_script_host *next, **link;
    svi_site sites[];
};

/* What a handler may do, as its script's head says. */
typedef struct svi_patterns {
    const char **items; /* "message/" and a star, "session/bound", a star alone */
    size_t count;
} svi_patterns;

/* One run of a function of Lua, on a coroutine of its own. Pooled: never freed before the state. From `host` on a run begins with
 * zeroes. */
struct svi_task {
    svi_task *next;      /* free ones; or of those that wait in one bucket */
    svi_script *script;
    lua_State *L;        /* its coroutine */
    int ref;             /* of that */
    svi_script_host *host;
    sv_event *ev;        /* NULL: not in a handler (start, save) */
    const svi_entry *entry;
    uint64_t serial;     /* another one for each run: views of the last one are invalid */
    uint32_t turn;       /* one more behind each wait: views of sessions and rows are those of this turn */
    bool is_waiting;     /* it yielded, and the event waits */
    bool is_yielding;    /* it has called what it waits for, and yields */
    bool is_dead;        /* it ended with an error: its coroutine is of no more use */
    int results;         /* that it has returned; they lie on L */
    bool is_disposed;    /* the verdict was said */
    bool is_delivered;   /* ... by deliver, which may be called for several sessions */
    sv_verdict verdict;  /* at its end */
    bool has_record;     /* of a command's answer */
    bool is_unknown;     /* what it would have done in place of its live version can't be told */
    void *watched;       /* what the host's tap knows it by; NULL: it is not told */
    size_t effects;
    size_t made_bytes;
    size_t logged; /* lines */
    struct svi_end *end; /* tells when the event is over; NULL: it has not waited */
};

/* A timer that begins on each host. */
typedef struct svi_plan {
    int64_t in_us;
    bool repeats;
    int function; /* its reference */
} svi_plan;

/* A file whose functions run off the router. */
typedef struct svi_script_file {
    const char *name; /* without ".lua" */
    sv_str text;
} svi_script_file;

/* One declared store. */
typedef struct svi_script_store {
    const char *owner; /* NULL: its own */
    const char *name;
    uint32_t schema;
    bool may_write;
} svi_script_store;

struct svi_script {
    uint32_t magic;
    svi_script_env env;
    const sv_api *sv; /* of env */
    svi_arena *arena; /* of declarations */
    const char *name, *file;
    lua_State *L; /* main; only for what does not wait */
    /* memory (script_state.c) */
    size_t used_bytes, peak_bytes;
    size_t refused_bytes; /* by a test, in the last call; 0: none */
    bool is_quota_off; /* what the host itself makes outside a protected call never fails */
    struct svi_small *small[8]; /* free blocks, by size */
    struct svi_small *chunks;   /* what those are cut from; goes with the state */
    /* running */
    int views[SVI_VIEW_KINDS];  /* references of metatables */
    volatile bool is_over;   /* what runs has used up its time: set by a signal */
    uint64_t serials;
    svi_task *running, *free_tasks;
    svi_task *waiting[64];   /* by event */
    size_t waiting_count;
    svi_script_host *hosts;
    /* declarations (script_declare.c) */
    bool is_loading, has_head, is_policy, is_autoreload;
    sv_module_desc desc;
    svi_entry *entries;
    size_t entry_count, hook_count, command_count;
    svi_patterns reads, changes, sends, hosts_allowed;
    svi_script_store *stores;
    size_t store_count;
    const char **rights;
    size_t right_count;
    svi_plan plans[SVI_SCRIPT_PLANS_MAX];
    size_t plan_count;
    int json_encode, json_decode; /* references: the script may put others into sv.json */
    unsigned required; /* files */
    int start, save; /* references of functions; LUA_NOREF */
    const char *rules[SVI_RULES_MAX];
    size_t rule_count;
    const char *items[SVI_RULES_MAX]; /* names of items that it sets on sessions */
    size_t item_count;
    svi_script_file works[SVI_WORKS_MAX];
    size_t work_count;
    struct svi_job *jobs; /* that wait for a thread, the oldest first */
    unsigned jobs_running;
    size_t job_count, job_bytes; /* of all, and of their arguments */
    size_t declared_bytes;
    void *build; /* while it loads: script_declare.c */
};

/* --- script_state.c ---------------------------------------------------------------- */

/* Whose state it is, from any of its coroutines. */
static inline svi_script *svi_script_of(lua_State *L)
{
    return *(svi_script **)lua_getextraspace(L);
}
/* Makes the state with its libraries; NULL with text if that takes more than its memory. */
lua_State *svi_script_state_new(svi_script *script, sv_err *err);
/* One with the library alone, for work. Any thread. */
lua_State *svi_script_state_bare(svi_script *script, sv_err *err);
/* Nothing if there is none. */
void svi_script_state_close(svi_script *script);

/* --- script_watch.c ---------------------------------------------------------------- */

/* A run of Lua on this thread, in the frame of whoever began it. */
typedef struct svi_running {
    struct svi_running *outer; /* it runs inside that one; NULL: none */
    svi_script *script;
    lua_State *volatile L;     /* the coroutine that runs */
    volatile int ticks;
    volatile int foreign_ticks; /* of other scripts that it made run, by occasions */
    int64_t max_us; /* processor time that it has until it must wait or end */
} svi_running;
/* Begins to watch the thread, once for each script that is loaded on it / ends. False if no timer can be had: nothing ends what
 * loops then. Any thread. */
bool svi_script_watch(void);
void svi_script_unwatch(void);
/* A function of Lua begins on `L`, and ends: script, L and max_us of the run are filled in, and it stays where it is between both. */
void svi_script_enter(svi_running *run);
void svi_script_leave(svi_running *run);

/* --- script_task.c ----------------------------------------------------------------- */

/* The task whose coroutine, or a coroutine made in it, runs; raises if none does (top level). */
svi_task *svi_task_here(lua_State *L);
/* As above, and raises unless it is in a handler (has an event). */
svi_task *svi_task_event(lua_State *L, const char *what);
/* What a call does besides reading. */
typedef enum svi_effect {
    SVI_EFFECT_CHANGE, /* verdicts, replace, items and presence of sessions, occasions */
    SVI_EFFECT_SEND,   /* stanzas of its own */
    SVI_EFFECT_STORE   /* rows; the store's right is checked by the caller */
} svi_effect;
/* Raises if the script has no right to it here, if the event is over, or if there were too many. In a shadow as well: there
 * the table's functions do nothing. */
void svi_task_may(svi_task *task, lua_State *L, svi_effect effect, const char *what);
/* Counts what begins an event of its own: raises if a turn has too many. svi_task_may does it for what is sent. */
void svi_task_begins(svi_task *task, lua_State *L, const char *what);
/* The count ends with the host's timers. */
void svi_task_begins_drop(svi_script_host *host);
/* True if `sends` of the script's head has the address's domain ("host" is that it runs on). */
bool svi_task_may_send_to(const svi_task *task, const sv_jid *to);
/* What it asks for is asked of others, which a shadow does not: what it would have done is not known then. Raises. */
int svi_shadow_unknown(svi_task *task, lua_State *L);
/* An error of a task that is no error of Lua: told and counted as one. */
void svi_task_tell(svi_task *task, const char *text);
/* Counts bytes that go into the event's memory; raises if they are too many. */
void svi_task_makes(svi_task *task, lua_State *L, size_t bytes);
/* The call's verdict is said: raises if one was before (`deliver` may be repeated). Call it before the table's function. */
void svi_task_dispose(svi_task *task, lua_State *L, const char *what, bool is_deliver);
/* Ends a waiting C function: `return svi_task_wait(task, L);` behind the call of the module table or env that will come back
 * with svi_task_resume. Call svi_task_check_wait before that call. */
void svi_task_check_wait(svi_task *task, lua_State *L, const char *what);
int svi_task_wait(svi_task *task, lua_State *L);
/* The waiting task of that event on that host; NULL: it waits no more. */
svi_task *svi_task_of(svi_script_host *host, const sv_event *ev);
/* What it waited for has come: `push` puts the results onto task->L (memory never fails there) and returns their number. */
void svi_task_resume(svi_task *task, int (*push)(svi_task *task, lua_State *L, void *ctx),
                     void *ctx);
/* Nobody waits for it any more: the coroutine is dropped. */
void svi_task_drop(svi_task *task);
/* Calls a function of a host that has no event (start, save): results are left on task->L until svi_task_end. NULL with
 * text if it raised. It may not wait. */
svi_task *svi_task_call(svi_script_host *host, int function, sv_err *err);
void svi_task_end(svi_task *task);
/* Runs a function (a reference) as the handler of an event: entry says with which rights. */
sv_verdict svi_task_run(svi_script_host *host, sv_event *ev, const svi_entry *entry, int function);
/* Drops all that wait on a host / frees what is pooled, behind that. */
void svi_tasks_drop(svi_script_host *host);
/* The host's tap is told of none of those that wait any more. */
void svi_tasks_forget_tap(svi_script_host *host);
void svi_tasks_free(svi_script *script);

/* Methods of events that stand beside the rest: sleep, iq. */
int svi_lua_event_sleep(lua_State *L);
int svi_lua_event_iq(lua_State *L);
int svi_lua_event_work(lua_State *L);
/* Handlers: `self` is a svi_site. */
sv_verdict svi_script_on_event(sv_event *ev, void *self);

/* --- script_view.c, script_glue.c (generated), script_calls_*.c ------------------------ */

/* Makes the metatables and fills the table `sv`, which lies on top of the stack, with the functions that belong to nobody. In a
 * protected call. */
void svi_script_open_views(lua_State *L);
/* A literal or a view at that place of the stack as a stanza of the event; raises if it is none, or no stanza may be so. */
const sv_stanza *svi_build_stanza(svi_task *task, lua_State *L, int index, const char *what);
/* Pushes a stanza that outlives the handler, with a reference of its own; 1. May be called outside a protected call as below. */
int svi_view_push_kept(svi_task *task, lua_State *L, const sv_stanza *stanza);
/* True if it may keep one more; for that what it has let go of is collected. May be called outside a protected call as below. */
bool svi_view_may_keep(svi_task *task, lua_State *L, const sv_stanza *stanza);
/* Pushes a view of the running task's event. May be called outside a protected call while is_quota_off. */
void svi_view_push_event(svi_task *task, lua_State *L);

/* --- script_pack.c ------------------------------------------------------------------ */

/* Puts the values from that place up to the top of the stack behind what is in `to`; NULL, or why they can't be copied (static).
 * Raises never. */
const char *svi_pack(lua_State *L, int first, svi_buf *to);
/* Pushes what was put; how many. Raises if memory runs out. */
int svi_unpack(lua_State *L, sv_str bytes);

/* --- script_declare.c -------------------------------------------------------------- */

/* Adds sv.script, sv.on, sv.option ... to the table on top of the stack. In a protected call. */
void svi_script_open_declarations(lua_State *L);
/* The description is made of what was declared. */
sv_status svi_script_declared(svi_script *script, sv_err *err);
/* Sets the host's options as fields of the table on top of L's stack. */
void svi_script_push_options(svi_script_host *host, lua_State *L);
/* True if a pattern of the list fits the name. */
bool svi_patterns_fit(const svi_patterns *patterns, sv_str name);

/* --- script.c, script_time.c (timers, sleep), script_ask.c (IQ), script_saved.c ---------- */

/* Members of the description. */
sv_status svi_script_start(sv_mod *mod, void *self);
void svi_script_on_save(sv_blob *out, void *self);
void svi_script_stop(void *self);
/* Puts what sv.save returns into the blob. */
void svi_script_save(svi_script_host *host, sv_blob *blob);

/* Handlers of our own: of host/timer, and of answers to questions. */
sv_verdict svi_script_on_timer(svi_script_host *host, sv_event *ev, const svi_entry *entry);
sv_verdict svi_script_on_answer(svi_script_host *host, sv_event *ev, const svi_entry *entry);
/* Starts the timers that were declared at the top level. */
void svi_script_timers_start(svi_script_host *host);
void svi_script_timers_drop(svi_script_host *host);
void svi_script_questions_drop(svi_script_host *host);
void svi_script_held_drop(svi_script_host *host);
/* Names of accounts that were asked for. */
void svi_script_listings_drop(svi_script_host *host);

#endif
