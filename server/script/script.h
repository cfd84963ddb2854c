/* A script: one Lua state whose top level declares what a module in C declares in tables, and whose functions are called
 * as a module's are (architecture 7, house-style C.4).
 *
 * A script is to the loader what an opened .so is: it has a description, and a `self` on each host. Everything that is not in
 * the module table comes in through svi_script_env. Router thread only. */
#ifndef SVI_SCRIPT_H
#define SVI_SCRIPT_H

#include <stave/module.h>

#include "base/base_mem.h"

typedef struct svi_script svi_script;
typedef struct svi_script_wait svi_script_wait; /* what a handler waits for that is no store's */

/* What the loader lends a script beside the module table. */
typedef struct svi_script_env {
    const sv_api *sv;
    svi_acct *acct; /* pays for the state; outlives the script */
    const char *release; /* the server's version; static */
    int64_t max_bytes;   /* of the state */
    int64_t max_cpu_us;  /* of a handler between two waits */
    /* Reads a file of the script's own folder ("words.lua", no folders in it) for `require`: *text_out is the caller's
     * (svi_free). */
    sv_status (*read)(void *ctx, const char *file, char **text_out, size_t *size_out, sv_err *err);
    void *ctx;
    /* Of a test: asked for each block that the state wants, or wants larger; true: as if there were no memory for it. NULL in a server. */
    bool (*is_over_quota)(void *ctx);
    /* Unguessable bytes. */
    void (*random)(sv_mod *mod, void *to, size_t n);
    /* A broken rule (static text) counts as a fault of the module on its host. */
    void (*fault)(sv_mod *mod, const char *rule);
    /* A line of its code (the file's name, as in messages) refuses an event, cond 0: drops it. NULL: nobody wants to know. */
    void (*refuses)(sv_mod *mod, sv_cond cond, const char *file, int line);
    /* Why the module does not start, for the operator; before start() returns what is not SV_OK. Copied. */
    void (*say_why)(sv_mod *mod, const char *text);
    /* True if the event's handler may say LATER: no MONITOR, and no occasion inside another event. */
    bool (*may_wait)(const sv_event *ev);
    /* True while the event can still be acted for (its verdict does not stand). */
    bool (*is_open)(const sv_event *ev);
    /* True if it has a stanza that must be disposed of and was not yet. */
    bool (*is_undisposed)(const sv_event *ev);
    /* Ends an occasion whose handler waited and says "done": nobody behind it hears of it. */
    void (*end)(sv_event *ev);
    /* For a handler that says LATER: calls `back(ctx)` in the handler's context after `in_us`, or when svi_script_wait_end is
     * called, or `gone(ctx)` instead if nobody waits any more (the event is over, was restarted, or the server ends).
     * Exactly one of both, once, never before this returns. */
    svi_script_wait *(*wait)(sv_mod *mod, sv_event *ev, int64_t in_us, void (*back)(void *ctx),
                             void (*gone)(void *ctx), void *ctx);
    /* Ends a wait soon, from anywhere; the pointer is invalid after. */
    void (*wake)(svi_script_wait *wait);
    /* Calls `gone(ctx)` when the event's memory goes; of the store's waits, which may never come back. */
    void (*at_end)(sv_event *ev, void (*gone)(void *ctx), void *ctx);
    /* Routes a stanza (copied by reference) in the host's name as soon as this turn is over, whatever becomes of any event. */
    void (*send)(sv_mod *mod, const sv_stanza *stanza);
    /* Calls `fire(ctx)` once, `in_us` from now, as a timer of the module; NULL in quarantine or when the module has ended. */
    void *(*timer)(sv_mod *mod, int64_t in_us, void (*fire)(void *ctx), void *ctx);
    void (*timer_cancel)(void *timer);
    /* Runs `run(ctx)` off the router, then `done(ctx, is_over)` on it; is_over: the server has ended. */
    void (*work)(sv_mod *mod, void (*run)(void *ctx), void (*done)(void *ctx, bool is_over),
                 void *ctx);
} svi_script_env;

/* Loads a script: runs its top level, which declares. `file` is for messages ("rules.lua"); `name` the module's. On a failure
 * text with place and next step, and nothing is left. */
sv_status svi_script_load(const svi_script_env *env, const char *name, const char *file,
                          sv_str text, svi_script **script_out, sv_err *err);
/* Other limits from now on, as in svi_script_env. */
void svi_script_set_limits(svi_script *script, int64_t max_bytes, int64_t max_cpu_us);
/* Frees it all; no host has it any more. Clears the pointer. */
void svi_script_free(svi_script **script);

/* As a module in C gives it; lives as long as the script. */
const sv_module_desc *svi_script_desc(const svi_script *script);

/* The module's `self` on a host, zeroed, is the script's from now on; before its options are filled in and before start. */
void svi_script_bind(svi_script *script, sv_mod *mod, void *self);
/* It goes: what hangs on it is given back. Behind stop, or if it was never started. */
void svi_script_unbind(void *self);
/* Its timers are no more: it was replaced or taken away, though events may still wait in it. */
void svi_script_rest(void *self);
/* What to give as `self` to the handler of hook number `i` of the description / of command number `i`. */
void *svi_script_hook_self(void *self, size_t i);
void *svi_script_command_self(void *self, size_t i);

/* True if hook number `i` of the description calls a function of the script: not one of the host's own, for timers and answers. */
bool svi_script_is_handler(const svi_script *script, size_t i);

/* How a run of a handler ended. */
typedef struct svi_script_end {
    sv_verdict verdict;
    const char *error; /* why it raised, for the call; NULL: it did not */
    bool is_dropped;   /* it never came to its end: nobody waits for it any more. Its event is over */
    bool is_unknown;   /* it asked for what a shadow can't know (svi_script_set_shadow) */
} svi_script_end;

/* Who is told of the runs of a script's functions for events on one host. */
typedef struct svi_script_tap {
    /* One is about to begin, at hook number `hook`. What the other two are given; NULL: they are not called. */
    void *(*begin)(void *ctx, sv_event *ev, size_t hook);
    /* Its code begins to run, or has come to a wait or the end. May be NULL. */
    void (*runs)(void *run, bool is_running);
    /* It is over. Once, unless the tap is taken away before. */
    void (*end)(void *run, const svi_script_end *end);
    void *ctx;
} svi_script_tap;
/* From now on `tap` (borrowed) is told; NULL: nobody, of what waits neither. Not while one of its functions runs. */
void svi_script_set_tap(void *self, const svi_script_tap *tap);
/* From now on its functions are given this table, all hosts'. It outlives the script, or the next call of this. */
void svi_script_set_api(svi_script *script, const sv_api *api);
/* The script is in the shadow of another one here: what it asks of others (event:iq) is never asked, which ends the handler. */
void svi_script_set_shadow(void *self);

/* Bytes that its state holds, for all hosts together / the most that it ever held. */
int64_t svi_script_bytes(const svi_script *script);
int64_t svi_script_peak_bytes(const svi_script *script);
/* Lets its state give back what nothing needs any more. Not while it runs. */
void svi_script_collect(svi_script *script);
/* Handlers that wait. */
size_t svi_script_waiting(const svi_script *script);
/* What it may do, a line for each right: "changes session/bound". Number `i`; false past the end. Valid as the description. */
bool svi_script_right(const svi_script *script, size_t i, const char **right_out);
/* True if it calls itself a policy / wants to be loaded anew when its file changes. */
bool svi_script_is_policy(const svi_script *script);
bool svi_script_is_autoreload(const svi_script *script);

#endif
