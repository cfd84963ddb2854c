/* The module interface: one exported entry, one table of functions in, one table of declarations
 * out.
 *
 * A module is a shared object made with SV_MODULE(...). It includes only <stave/...> and resolves
 * nothing from the server. Everything it obtains through its handle is counted to it and dies with
 * it. All calls and callbacks belong to the routing thread; a module never sees a thread, a
 * descriptor or a lock. Strings cross as sv_str; what is returned is borrowed until the handler
 * returns, unless said otherwise. Tables only grow at their ends. */
#ifndef STAVE_MODULE_H
#define STAVE_MODULE_H

#include <stave/auth.h>
#include <stave/command.h>
#include <stave/types.h>

#define SV_ABI_MAJOR 0
#define SV_ABI_MINOR 1

typedef struct sv_mod sv_mod;         /* a module's handle on one host */
typedef struct sv_event sv_event;     /* one stanza or occasion on its way */
typedef struct sv_stanza sv_stanza;   /* an immutable stanza */
typedef struct sv_node sv_node;       /* an immutable element in a stanza */
typedef struct sv_draft sv_draft;     /* an element being built */
typedef struct sv_session sv_session; /* a bound resource of a local account */
typedef struct sv_store sv_store;     /* a named map by owner and key */
typedef struct sv_rows sv_rows;       /* one owner's rows of a map, in memory */
typedef struct sv_timer sv_timer;
typedef struct sv_table sv_table;     /* records in memory that outlive a generation */
typedef struct sv_added sv_added;     /* rows being added to those that are stored */

/* An address, prepared (RFC 7622); parts are empty where it has none. */
typedef struct sv_jid {
    sv_str node, domain, resource;
    sv_str bare; /* node@domain, or domain */
    sv_str full; /* the whole */
} sv_jid;

/* --- what a module declares -------------------------------------------------------- */

/* One hook. `on` is "kind/scope" or "kind/scope {namespace}element"; a message or presence matches
 * if any child does, an IQ if its payload does. */
typedef struct sv_hook {
    const char *on;
    /* Is asked; `self` is the module's on the host. */
    sv_verdict (*call)(sv_event *ev, void *self);
    sv_band band;
    const char *after; /* modules whose handlers come first in the same band, separated by blanks */
    uint32_t flags;    /* SV_HOOK_... */
} sv_hook;

/* generated from api/stave.lua by `make generate`: hook flags */
/* May write to a store: refused with resource-constraint when space is short. */
#define SV_HOOK_STORES 1u
/* A guard: for what stores, authenticates, blocks or filters. While its module is in quarantine
 * (too many faults, or over its budget) it is never skipped: what reaches it is refused with
 * service-unavailable, or dropped if it can't be answered, and an occasion is refused, too. So it
 * stands only where there is something to refuse: at stanzas, at session/unsent, at session/bound
 * (no resource is bound meanwhile) and at account/removing (no account is deleted). Without this
 * flag and the next one occasions without a stanza, and MONITOR, are skipped, and stanzas
 * refused. */
#define SV_HOOK_GUARD 2u
/* Skipped while its module is in quarantine: all goes on as if the module were not there. For what
 * only looks, or takes what is its own out of what passes. Not together with SV_HOOK_GUARD. */
#define SV_HOOK_OPEN 4u
/* An event that waits in it when another generation of the module takes over is finished by the one
 * that it began with, never restarted. */
#define SV_HOOK_FINISHES 8u
/* generated: end */

/* generated from api/stave.lua by `make generate`: sv_option_kind */
/* What an option's value is. */
typedef enum sv_option_kind {
    SV_OPTION_INT = 1,    /* a whole number; field is int64_t */
    SV_OPTION_BOOL = 2,   /* true or false; field is bool */
    SV_OPTION_STRING = 3, /* field is an sv_str */
    SV_OPTION_PERIOD = 4, /* "50ms", "30s", "5m", "2h", "1d"; field is int64_t in ms */
    SV_OPTION_SIZE = 5,   /* "64k", "10M"; field is int64_t in bytes */
    SV_OPTION_ENUM = 6,   /* one of the words in `min`; int64_t, its place from 0 */
    SV_OPTION_LIST = 7    /* list of strings; field is sv_str_list */
} sv_option_kind;
/* generated: end */

typedef struct sv_str_list {
    const sv_str *items;
    size_t count;
} sv_str_list;

/* One option: where it goes in `self`, its default and bounds as text, its sentence in the manual.
 */
typedef struct sv_option {
    const char *name; /* "module_what": begins with the module's name, '-' as '_'; a-z, 0-9 and '_' */
    sv_option_kind kind;
    size_t offset;      /* of the field in `self`, which self_size covers */
    const char *preset; /* NULL: an empty string or list */
    /* Bounds. Of a LIST: `min` not NULL takes a single text, too. Of a STRING or LIST, `max` may name the form
     * of each text: "uri" (RFC 3986), "jid" (an address, RFC 7622), or "jid-name": an address, or an address, a blank
     * and a name. */
    const char *min, *max;
    const char *manual;
} sv_option;

#define SV_OPT_INT(type, field, name_, preset_, min_, max_, manual_)                               \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_INT, .offset = offsetof(type, field), .preset = preset_,  \
        .min = min_, .max = max_, .manual = manual_                                                \
    }
#define SV_OPT_BOOL(type, field, name_, preset_, manual_)                                          \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_BOOL, .offset = offsetof(type, field), .preset = preset_, \
        .manual = manual_                                                                          \
    }
#define SV_OPT_STRING(type, field, name_, preset_, manual_)                                        \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_STRING, .offset = offsetof(type, field),                  \
        .preset = preset_, .manual = manual_                                                       \
    }
#define SV_OPT_PERIOD(type, field, name_, preset_, min_, max_, manual_)                            \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_PERIOD, .offset = offsetof(type, field),                  \
        .preset = preset_, .min = min_, .max = max_, .manual = manual_                             \
    }
#define SV_OPT_SIZE(type, field, name_, preset_, min_, max_, manual_)                              \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_SIZE, .offset = offsetof(type, field), .preset = preset_, \
        .min = min_, .max = max_, .manual = manual_                                                \
    }
#define SV_OPT_ENUM(type, field, name_, preset_, words_, manual_)                                  \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_ENUM, .offset = offsetof(type, field), .preset = preset_, \
        .min = words_, .manual = manual_                                                           \
    }
#define SV_OPT_LIST_OF(type, field, name_, form_, manual_)                                         \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_LIST, .offset = offsetof(type, field), .min = "one",      \
        .max = form_, .manual = manual_                                                                          \
    }
#define SV_OPT_LIST(type, field, name_, manual_)                                                   \
    {                                                                                              \
        .name = name_, .kind = SV_OPTION_LIST, .offset = offsetof(type, field), .manual = manual_  \
    }

/* generated from api/stave.lua by `make generate`: sv_metric_kind */
/* What a metric's value is. */
typedef enum sv_metric_kind {
    SV_METRIC_COUNTER = 1, /* counts what has happened; never falls */
    SV_METRIC_GAUGE = 2    /* is now so much */
} sv_metric_kind;
/* generated: end */

/* One figure that `stave metrics` shows, of each host. */
typedef struct sv_metric {
    const char *name; /* "module_what": begins with the module's name, '-' as '_'; a-z, 0-9 and single '_' */
    sv_metric_kind kind;
    const char *manual; /* a sentence: what it counts, in which unit */
} sv_metric;

/* Values handed from one generation of a module to the next. */
typedef struct sv_blob sv_blob;

/* What a module is. It has a `self` of its own on each host where it is enabled.
 *
 * A reload of a module alone (`stave reload NAME`) loads its file anew and replaces it on all its hosts, with
 * the options that it has; other modules notice nothing but another host/ready. When a reload of the configuration
 * changes anything among a host's modules (which there are, their order, an option), all of that host begin anew with
 * the code that they have. Either way the new ones stand beside the old ones at first: a zeroed `self` with the
 * options, then `start`; the old ones get `save` before that, for what the new ones find in `start` (saved_bytes,
 * saved_int; tables are theirs at once). If any refuses to start, the old ones go on. Else the new ones hear of
 * everything from one event to the next, host/ready first, and:
 * - session_data of the same size, items, tables and kept rows of sessions stay, as do stores; the memory of `self`,
 *   stanzas that were kept and timers do not, so session_data never points to those;
 * - events that wait (LATER): if the configuration was read, they end with the handlers they began with. If the
 *   module alone was replaced: an event in which nothing was written, sent, fired, replaced or answered yet is
 *   restarted, i.e. the new generation's hook of the same text is called as if it had just come (its deadline stays;
 *   what the old one had asked the store for never comes back; without such a hook the next handler is called).
 *   What the old one left in session_data or items is there then: a handler for which that is too much says
 *   SV_HOOK_FINISHES. Any other event is finished by the old one, and goes on behind it in the new order;
 * - the old `self` lives as long as something waits for it; stop comes behind the last. From `save` on it writes
 *   only for events that wait in it, if it was replaced alone: SV_EDENIED elsewhere. Commands end where they began;
 * - a module that was not enabled before hears session/bound of each session that is bound, and
 *   session/presence of those that are available, before the next stanza that the session sends; stanzas
 *   to the session may be seen earlier. So what a handler of session/bound prepares (rows_keep) may be
 *   absent elsewhere: rows() says NULL then, as for whoever is not on line;
 * - of a module that is not enabled any more session_data goes, items and what it stored stay.
 *
 * `hook_stride` and `option_stride` let both tables grow; SV_MODULE fills them.
 */
typedef struct sv_module_desc {
    uint32_t size;
    uint16_t abi_major, abi_minor;
    uint32_t hook_stride, option_stride;
    const char *name;
    const char *summary;
    const char *features;         /* disco features it adds to the host, separated by blanks */
    const char *account_features; /* the same for accounts */
    size_t self_size;         /* its state on one host, zeroed, options filled in before start */
    const sv_hook *hooks;     /* ends with .on == NULL */
    const sv_option *options; /* ends with .name == NULL */
    /* Begins on a host; whatever is not SV_OK refuses, and nothing has changed. NULL: nothing to do, as below. If it logs an
     * SV_ERROR meanwhile, the operator who starts or reloads is told its first value as the reason. */
    sv_status (*start)(sv_mod *mod, void *self);
    /* Makes durable what must not be lost: before a next generation starts, and before the end. */
    void (*save)(sv_blob *out, void *self);
    /* Gives back what is not the server's; behind the last event. */
    void (*stop)(void *self);
    /* Modules that start before it, separated by blanks: "name" must be enabled, too, and stays as long as
     * this one does; "?name" only if it is enabled. */
    const char *after;
    /* Elements that a client sees among the stream features once it has logged in (RFC 6120 4.3.2), each
     * with its own xmlns. */
    const char *stream_features;
    const sv_command *commands; /* ends with .name == NULL; the strides are filled in as above */
    uint32_t command_stride, arg_stride, column_stride;
    /* Groups of functions that it needs beyond those of SV_LEAST_MINOR, each with the least version, separated by
     * commas: "engine 1, store 2" (doc/reference/functions.md). A server that has less refuses the module, and
     * says so. NULL: none. */
    const char *needs;

    const sv_metric *metrics; /* ends with .name == NULL; at most 64 */
    uint32_t metric_stride;

    /* Memory that all its hosts share, zeroed; one for each code that was loaded, so two while the old generation of a
     * reload drains. */
    size_t shared_size;
    /* Before the first `start`; anything but SV_OK is a refusal to start. May be NULL. */
    sv_status (*start_shared)(void *shared);
    /* Behind the last `stop`. May be NULL. */
    void (*stop_shared)(void *shared);
} sv_module_desc;

/* --- what a module is given -------------------------------------------------------- */

typedef void (*sv_rows_fn)(sv_event *ev, sv_status status, sv_rows *rows, void *self);
typedef void (*sv_get_fn)(sv_event *ev, sv_status status, sv_str value, void *self);
/* `schema` is the version in which the value was written, 0 without one. */
typedef void (*sv_get_schema_fn)(sv_event *ev, sv_status status, sv_str value, uint32_t schema,
                                 void *self);
typedef void (*sv_again_fn)(sv_event *ev, void *ctx, void *self);
typedef void (*sv_timer_fn)(void *self);
typedef void (*sv_difference_fn)(sv_event *ev, sv_str key, sv_str before, sv_str after, size_t left,
                                 void *self);
/* Names of accounts in order; `more` if there are further ones. Borrowed for the call. */
typedef void (*sv_accounts_fn)(sv_status status, const sv_str *names, size_t count, bool more,
                               void *self);

/* What is in a file that has changed, borrowed for the call; or why it can't be read. */
typedef void (*sv_file_fn)(sv_status status, sv_str text, void *self);

#define SV_OVERLAY_UNKNOWN ((sv_str){"", 1}) /* one NUL */

/* Rows of a map that are not stored but follow from something else; see store_overlay. */
typedef struct sv_overlay {
    size_t size; /* of this struct */
    /* A text from which the owner's rows follow, empty if there are none; for the event. Equal texts
     * give equal rows, which are made and held once for all owners. Asked when the rows are read
     * for the first time, and again after overlay_changed. SV_OVERLAY_UNKNOWN: it can't be told yet, what
     * was added before stays; call overlay_changed when it can. */
    sv_str (*source)(sv_event *ev, sv_str owner, void *self);
    /* Makes the rows of a text: calls overlay_add for each. */
    void (*rows)(sv_event *ev, sv_str source, sv_added *to, void *self);
    /* What is seen of a row that is stored and added; for the event. */
    sv_str (*merge)(sv_event *ev, sv_str stored, sv_str added, void *self);
    /* The occasion that overlay_changed fires. */
    const char *changed;
} sv_overlay;

/* A container of records in memory, by a key. The core owns it; a next generation that asks for the same name and
 * version has all records at once. So a record holds no pointers, and what its bytes mean changes with the version only. */
typedef struct sv_table_desc {
    size_t size; /* of this description */
    const char *name;
    uint32_t version;
    size_t record_bytes;
    size_t max_records;
    /* Fills a zeroed record from one of another version; false if it can't: then the reload is refused.
     * NULL: other versions are refused. */
    bool (*convert)(sv_str key, const void *old, uint32_t old_version, size_t old_bytes,
                    void *record_out);
} sv_table_desc;

/* How much may wait for a session that is held back; each over 0. */
typedef struct sv_hold {
    size_t size; /* of this struct */
    size_t max_stanzas;
    size_t max_bytes; /* as they lie in memory */
    int64_t max_ms;   /* how long the oldest one waits */
} sv_hold;

typedef struct sv_api {
    uint32_t size;
    uint16_t abi_major, abi_minor;

    /* -- core: time and log -- */

    /* Wall clock in seconds / milliseconds since 1970 (UTC), for stamps. */
    int64_t (*now_s)(void);
    int64_t (*now_ms)(void);
    /* Writes a log line: a stable event name, then pairs of field name and value as text, ended by
     * NULL. */
    void (*log)(sv_mod *mod, sv_level level, const char *event, ...);

    /* -- timers -- */

    /* Calls `fire` every `period_ms`; ends with the module. */
    sv_status (*every)(sv_mod *mod, int64_t period_ms, sv_timer_fn fire);

    /* -- core -- */

    /* The name of the host the module runs on. */
    sv_str (*host)(const sv_mod *mod);

    /* -- stanza: reading -- */

    /* The stanza of the event; NULL for occasions without one. */
    const sv_stanza *(*stanza)(const sv_event *ev);
    /* Its root element; NULL without a stanza. */
    const sv_node *(*root)(const sv_event *ev);
    /* The root element of any stanza. */
    const sv_node *(*stanza_root)(const sv_stanza *stanza);
    /* The payload of an IQ: its first child element; NULL if it has none. */
    const sv_node *(*payload)(const sv_event *ev);
    /* An element's name, without prefix / its namespace. */
    sv_str (*name)(const sv_node *node);
    sv_str (*ns)(const sv_node *node);
    /* An attribute's value; .p is NULL if absent. */
    sv_str (*attr)(const sv_node *node, sv_str name);
    /* True if the element has that name and namespace. */
    bool (*is)(const sv_node *node, sv_str name, sv_str ns);
    /* First child element / the one behind `child`; NULL if there is none. */
    const sv_node *(*first)(const sv_node *parent);
    const sv_node *(*next)(const sv_node *parent, const sv_node *child);
    /* First child with that name and namespace (an empty namespace takes any); NULL if none. */
    const sv_node *(*find)(const sv_node *parent, sv_str name, sv_str ns);
    /* All character data directly inside; borrowed for the event. */
    sv_str (*text)(sv_event *ev, const sv_node *node);
    /* Type attribute of the event's stanza ("" if absent). */
    sv_str (*type)(const sv_event *ev);

    /* -- addresses -- */

    /* Sender / recipient of the event; for session occasions `from` is the session's address.
     * Borrowed for the event. */
    const sv_jid *(*from)(const sv_event *ev);
    const sv_jid *(*to)(const sv_event *ev);
    /* Prepares an address; false if it is malformed. Result lives as long as the event. */
    bool (*jid_parse)(sv_event *ev, sv_str text, sv_jid *jid_out);
    /* True if the domain is one this server serves. */
    bool (*is_local)(sv_event *ev, const sv_jid *jid);
    /* True if the local account exists; known when hooks of scope account run. */
    bool (*account_exists)(const sv_event *ev);

    /* -- sessions -- */

    /* The session that sent the event's stanza, or that the occasion is about; NULL if it came from
     * elsewhere, or if the session has gone while the event waited (at session/... too). */
    sv_session *(*session)(const sv_event *ev);
    /* Sessions of a local account in order of binding: start with NULL; NULL at the end. */
    sv_session *(*session_next)(sv_event *ev, const sv_jid *account, sv_session *after);
    /* The session with this full address, or NULL. */
    sv_session *(*session_find)(sv_event *ev, const sv_jid *full);
    /* Its full address, as long as it lives. */
    const sv_jid *(*session_jid)(const sv_session *session);
    /* Its newest available presence (borrowed), NULL while unavailable / its priority (0 then too). */
    const sv_stanza *(*session_presence)(const sv_session *session);
    int (*session_priority)(const sv_session *session);
    /* Sets both; NULL makes it unavailable. Fires session/presence. */
    void (*session_set_presence)(sv_event *ev, sv_session *session, const sv_stanza *presence,
                                 int priority);
    /* The module's own zeroed memory of `bytes` on a session of its host (any other ends the worker), the
     * same at each call and in each generation of the module that asks for as many; freed with the session. Another size is another
     * memory: new code that changes what is in it changes its size, and begins with a zeroed one. */
    void *(*session_data)(sv_mod *mod, sv_session *session, size_t bytes);

    /* -- items -- */

    /* Sets a named item on a session (copied), for all modules to read ("roster-interested"); .p NULL takes it
     * away. Freed with the session. */
    void (*session_set_item)(sv_session *session, const char *name, sv_str value);
    /* An item; .p NULL if it is not set. */
    sv_str (*session_item)(const sv_session *session, const char *name);

    /* -- hooks: occasions -- */

    /* Fires an occasion on the event's host as part of this event (its unit, its emissions):
     * handlers may not say LATER. */
    void (*fire)(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);
    /* What an occasion is about; its meaning stands with the hook point. */
    sv_str (*subject)(const sv_event *ev);

    /* -- stanza: building -- */

    /* A new element; it lives as long as the event. */
    sv_draft *(*draft)(sv_event *ev, sv_str name, sv_str ns);
    /* Appends a child (an empty namespace takes the parent's) / an attribute (.p NULL removes) /
     * the same with a number / text / a copy of a subtree. */
    sv_draft *(*child)(sv_draft *parent, sv_str name, sv_str ns);
    void (*set)(sv_draft *draft, sv_str name, sv_str value);
    void (*set_int)(sv_draft *draft, sv_str name, int64_t value);
    void (*add_text)(sv_draft *draft, sv_str text);
    void (*graft)(sv_draft *draft, const sv_stanza *owner, const sv_node *node);
    /* Makes a stanza of a draft; lives as long as the event, keep with stanza_ref. */
    const sv_stanza *(*freeze)(sv_event *ev, const sv_draft *draft);
    /* The stanza with attributes changed: `pairs` are `count` strings: name, value, name, value
     * ...; a value with .p NULL removes. */
    const sv_stanza *(*with_attrs)(sv_event *ev, const sv_stanza *stanza, const sv_str *pairs,
                                   size_t count);
    /* The stanza with a child appended. */
    const sv_stanza *(*with_child)(sv_event *ev, const sv_stanza *stanza, const sv_draft *child);
    /* Keeps a stanza beyond the event: a reference, counted to the module. */
    const sv_stanza *(*stanza_ref)(sv_mod *mod, const sv_stanza *stanza);
    /* Gives it back and clears the pointer. */
    void (*stanza_unref)(sv_mod *mod, const sv_stanza **stanza);
    /* Bytes of a stanza as stored or sent alone / and back (SV_EINVAL if they are not one element).
     * For the event. */
    sv_str (*stanza_bytes)(sv_event *ev, const sv_stanza *stanza);
    sv_status (*stanza_parse)(sv_event *ev, sv_str bytes, const sv_stanza **stanza_out);

    /* -- hooks: verdicts and answers; each event's stanza is disposed of exactly once -- */

    /* Starts the result of the event's request; returns its payload, or NULL when `name` is empty
     * (a bare result). */
    sv_draft *(*reply)(sv_event *ev, sv_str name, sv_str ns);
    /* Sends that result; for a waiting event it also ends it. */
    sv_verdict (*send)(sv_event *ev);
    /* Answers with an error, or, for what must not be answered (RFC 6120 8.3.1), drops it; ends a
     * waiting event. */
    sv_verdict (*refuse)(sv_event *ev, sv_cond cond);
    /* As refuse, with a text for whoever reads it. */
    sv_verdict (*refuse_text)(sv_event *ev, sv_cond cond, sv_str text);
    /* Drops the event's stanza by a rule with this (static) name; it appears in the ledger. */
    sv_verdict (*drop)(sv_event *ev, const char *rule);
    /* The stanza did its work here (own presence, a handled subscription). */
    sv_verdict (*consume)(sv_event *ev);
    /* The stanza is kept by what the event wrote. */
    sv_verdict (*stored)(sv_event *ev);
    /* Hands the event's stanza, as it is now, to a local session. May be called for several; each
     * is counted. */
    sv_verdict (*deliver)(sv_event *ev, sv_session *session);
    /* Every later handler sees this stanza instead. */
    void (*replace)(sv_event *ev, const sv_stanza *stanza);
    /* Takes a waiting event up again at the next handler. */
    void (*pass)(sv_event *ev);

    /* -- hooks: sending more, released with the event's commit, in order -- */

    /* Sends a stanza made by the module to one session (its address is the `to` if the stanza has
     * none) / to wherever its `to` says, through stanza/made if it is in a local account's name, and
     * the hooks of the recipient's side. */
    void (*push)(sv_event *ev, sv_session *session, const sv_stanza *stanza);
    void (*route)(sv_event *ev, const sv_stanza *stanza);
    /* As push, for a stanza kept in a row: the row goes when the stanza was handed over, and stays
     * if it never was. */
    void (*push_stored)(sv_event *ev, sv_session *session, const sv_stanza *stanza, sv_store *store,
                        sv_str owner, sv_str key);

    /* -- store -- */

    /* Opens the host's map "module.name", made if new. `owner_module` NULL: this module's; else
     * another module's map, whose record format that module documents; SV_EDENIED unless this module names that
     * one in `after`. The module knows one version of its records; one that knows several calls
     * store_open_versions. SV_EINVAL for a name that is no word of small letters, digits, '-' and '_', or a version
     * out of bounds, SV_EVERSION as store_open_versions. */
    sv_status (*store_open)(sv_mod *mod, const char *owner_module, const char *name,
                            uint32_t schema, sv_store **store_out);
    /* Writes a row in the event's unit: all of it durable together, or not at all. An owner is the localpart of an
     * account of the host: what is stored under it goes when the account is deleted, whether the
     * module is enabled then or not. What belongs to no account has an owner with a character that
     * no localpart has, such as '/'. SV_ELIMIT if too large, SV_EDENIED if the owner is a guest, or was deleted
     * since the event began, SV_ENOSPC if a test has it that there is no space. */
    sv_status (*put)(sv_event *ev, sv_store *store, sv_str owner, sv_str key, sv_str value);
    /* Deletes a row / all rows of the owner, in the event's unit as well; what is not there is no error. */
    sv_status (*del)(sv_event *ev, sv_store *store, sv_str owner, sv_str key);
    sv_status (*del_owner)(sv_event *ev, sv_store *store, sv_str owner);
    /* The owner's rows if they are in memory now, else NULL. Valid until the event ends. */
    sv_rows *(*rows)(sv_event *ev, sv_store *store, sv_str owner);
    /* Loads the owner's rows; the handler returns SV_LATER, `done` gets the event back. Valid until
     * the event ends. */
    void (*rows_load)(sv_event *ev, sv_store *store, sv_str owner, sv_rows_fn done);
    /* Keeps an account's rows in memory while the session lives: loads them (`done` as above). */
    void (*rows_keep)(sv_event *ev, sv_store *store, sv_session *session, sv_rows_fn done);
    /* The value under a key; false if there is none. Borrowed as long as the rows. */
    bool (*row)(const sv_rows *rows, sv_str key, sv_str *value_out);
    /* Walk in key order: start with SV_STR_NONE in *key. */
    bool (*row_next)(const sv_rows *rows, sv_str *key, sv_str *value_out);
    /* How many rows there are. */
    size_t (*row_count)(const sv_rows *rows);
    /* One value, without loading the owner's others. */
    void (*get)(sv_event *ev, sv_store *store, sv_str owner, sv_str key, sv_get_fn done);

    /* -- features -- */

    /* Features of all modules enabled on the host (or of accounts): number `i`, in order of
     * declaration; empty at the end. */
    sv_str (*feature_at)(sv_mod *mod, bool of_accounts, size_t i);

    /* -- core: memory, randomness -- */

    /* Memory until the event ends, zeroed / text formatted into it. */
    void *(*scratch)(sv_event *ev, size_t bytes);
    sv_str (*format)(sv_event *ev, const char *format, ...);
    /* Unguessable bytes as lower-case hex, `bytes` of them. */
    sv_str (*random_hex)(sv_event *ev, size_t bytes);

    /* -- addresses -- */

    /* True if the address is listed in the host's `admins`. */
    bool (*is_admin)(sv_event *ev, const sv_jid *jid);

    /* -- core -- */

    /* A time as XEP-0082 writes it in UTC, "2026-01-01T00:00:00Z", with milliseconds if there are
     * any. */
    sv_str (*stamp)(sv_event *ev, int64_t ms);

    /* -- store -- */

    /* How long all values of the rows are together, in bytes; for quotas. */
    int64_t (*row_bytes)(const sv_rows *rows);

    /* -- addresses -- */

    /* True if the address is that of a guest of this server (SASL ANONYMOUS, XEP-0175), on line or
     * not: nothing is stored for one, `put` under its localpart says SV_EDENIED. */
    bool (*is_guest)(sv_event *ev, const sv_jid *jid);

    /* -- hooks: asking other modules -- */

    /* Fires an occasion as `fire` does and returns the lines that its handlers offered, in order of the
     * handlers, each ended by a line feed; empty if there were none. For the event. */
    sv_str (*gather)(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);
    /* In a handler of an occasion: gives a line (copied; without line feed) to whoever gathers. */
    void (*offer)(sv_event *ev, sv_str line);

    /* -- features: of streams -- */

    /* Sets the elements that the module adds to the host's stream features after login, besides those of
     * its description: text of XML, copied, each element with its own xmlns. Replaces what it set before;
     * empty takes it away. Clients that log in from now on see it. SV_EINVAL if it is no such text, or
     * if an element has the namespace of stanzas or streams. */
    sv_status (*set_stream_feature)(sv_mod *mod, sv_str xml);

    /* -- commands (<stave/command.h>), only in the event of a command of the module -- */

    /* An argument by its name: its text, as given or preset (.p NULL if there is none; addresses and
     * hosts prepared) / its number (0 if there is none) / its address (NULL if there is none).
     * Borrowed for the event. */
    sv_str (*arg_text)(const sv_event *ev, const char *name);
    int64_t (*arg_int)(const sv_event *ev, const char *name);
    const sv_jid *(*arg_jid)(const sv_event *ev, const char *name);
    /* Begins a record of the answer; false if the page is full: then answer_more. Fields are
     * declared in `columns`; text that is not UTF-8 is shown as such; what is not set is empty. */
    bool (*record)(sv_event *ev);
    /* Sets a field of it: to a text / to a number. */
    void (*field)(sv_event *ev, const char *column, sv_str text);
    void (*field_int)(sv_event *ev, const char *column, int64_t value);
    /* Ends the command: done / done up to `from` (1 to 4096 bytes), and it runs again from there. Also
     * of a waiting event. */
    sv_verdict (*answer)(sv_event *ev);
    sv_verdict (*answer_more)(sv_event *ev, sv_str from);
    /* Where to go on, as answer_more had it; empty at first. */
    sv_str (*asked_from)(const sv_event *ev);
    /* Ends the command: not done, for this reason. Also of a waiting event. */
    sv_verdict (*fail)(sv_event *ev, sv_fault fault, const char *format, ...);

    /* -- hooks: errors of an extension, and what tells of a refusal itself -- */

    /* As refuse, with an application-specific condition behind the defined one (RFC 6120 8.3.4); an
     * empty `type` is the one that the RFC recommends for the condition ("cancel", "modify", ...).
     */
    sv_verdict (*refuse_with)(sv_event *ev, sv_cond cond, sv_str type, const sv_draft *specific);
    /* As route, but handlers of stanza/made are not asked: for what says that nothing more will
     * come. */
    void (*route_unasked)(sv_event *ev, const sv_stanza *stanza);

    /* -- store: what grows old -- */

    /* Goes round through all owners of the map, for ever: every `period_ms` a step, which fires
     * store/sweep for up to 32 of them, each in an event of its own whose `from` is the account and
     * whose subject is "module/name" of the map. Its handlers delete what is too old, and do little for
     * one account: what they leave has its turn in the next round. Ends with the module. SV_EINVAL if
     * the period is none or the map another module's handle. */
    sv_status (*sweep)(sv_mod *mod, sv_store *store, int64_t period_ms);

    /* -- stanza: further reading -- */

    /* An attribute in a namespace, such as xml:lang (SV_NS_XML); .p is NULL if absent. */
    sv_str (*attr_ns)(const sv_node *node, sv_str name, sv_str ns);

    /* -- core -- */

    /* The digest of some bytes by one of the functions of XEP-0414 ("sha-1", "sha-256", "sha-384", "sha-512",
     * "sha3-256", "sha3-512", "blake2b-512"), in base64; .p is NULL if there is no function of that name. */
    sv_str (*digest)(sv_event *ev, sv_str function, sv_str bytes);

    /* -- store -- */

    /* Keeps an owner's rows, which must be in memory now, in memory as long as the session lives, in place
     * of those of the same map that it had kept there before (by this call or rows_keep). */
    void (*rows_hold)(sv_event *ev, sv_store *store, sv_str owner, sv_session *session);
    /* True if a session, or an event, has the owner's rows in memory; not if they are only cached. */
    bool (*rows_held)(sv_event *ev, sv_store *store, sv_str owner);

    /* -- hooks: events of their own -- */

    /* Fires an occasion on the module's host as an event of its own, whose handlers may wait and write; not
     * for an event's handler but for a timer's. host/timer is for that; its subject says whose it is. */
    void (*begin)(sv_mod *mod, const char *on, sv_str subject);
    /* Fires an occasion on the event's host as an event of its own when this one is over and what it wrote
     * can be read; its handlers may wait and write. */
    void (*fire_after)(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);

    /* -- overlay: rows that are not stored -- */

    /* From now on whoever reads the map sees an owner's stored rows together with those that the overlay
     * adds; but a row whose key is the owner's own bare address is not added. `overlay` is
     * copied. One for a map: SV_EEXIST; SV_EINVAL if the occasion is unknown, or if the size is wrong or a function
     * is missing. */
    sv_status (*store_overlay)(sv_mod *mod, sv_store *store, const sv_overlay *overlay);
    /* Adds a row (copied); of several with the same key the first counts. */
    void (*overlay_add)(sv_added *to, sv_str key, sv_str value);
    /* What the overlay adds may be different from now on: soon its occasion is fired for each account
     * that is on line (`from`), in an event of its own each. */
    void (*overlay_changed)(sv_store *store);
    /* Calls `each`, in order of keys, for each row that is seen in another way than the account was told
     * last (`before` or `after` is .p NULL if it is not there; `left` is how many follow), and
     * takes it as told. The owner's rows must be in memory. */
    void (*overlay_differences)(sv_event *ev, sv_store *store, sv_str owner, sv_difference_fn each);
    /* What is stored / what is added under a key, without the other. */
    bool (*row_stored)(const sv_rows *rows, sv_str key, sv_str *value_out);
    bool (*row_added)(const sv_rows *rows, sv_str key, sv_str *value_out);
    /* A number that differs when what is added differs, the same after a restart; 0 if nothing is. */
    uint64_t (*rows_mark)(const sv_rows *rows);

    /* -- accounts -- */

    /* Reads names of the host's accounts, `max` at most, after `after`; calls back later, and no more
     * when the module is gone. */
    void (*accounts)(sv_mod *mod, sv_str after, size_t max, sv_accounts_fn done);

    /* -- auth: accounts that a back end keeps (stave/auth.h) -- */

    /* In `start`: the module keeps the host's accounts from now on. What it points to is copied as far as
     * its size says. SV_EEXIST if another module does, SV_EINVAL if it lacks what is required. */
    sv_status (*auth_register)(sv_mod *mod, const sv_auth *auth);
    /* Answers a question, once; it is gone then. */
    void (*auth_done)(sv_auth_ask *ask, sv_status status);
    /* Answers one for keys with them; what breaks a rule of sv_auth_keys counts as a failure. */
    void (*auth_give_keys)(sv_auth_ask *ask, const sv_auth_keys *keys);
    /* One more name for a list; auth_done ends it. */
    void (*auth_give_name)(sv_auth_ask *ask, sv_str name);

    /* -- store -- */

    /* False while disk or map are short of space: what nobody asked to be stored (a cache) then is not. */
    bool (*has_space)(const sv_event *ev);

    /* -- memory -- */

    /* Zeroed memory that is counted to the module on its host and goes with it, at the latest behind stop(). Never
     * NULL: memory that the machine lacks ends the worker. Over its budget (NAME_memory_max) a module gets more all the
     * same, but that is a fault of it, and soon its end in quarantine: so what a peer can make large has a bound of
     * the module's own. For what belongs to one event there is `scratch`. */
    void *(*alloc)(sv_mod *mod, size_t bytes);
    /* The same memory in another size, maybe in another place; what is new is zeroed. NULL is none yet. */
    void *(*alloc_resize)(sv_mod *mod, void *mem, size_t bytes);
    /* Gives memory of this module back: `pointer` is the address of the pointer to it, which becomes NULL; one that
     * is NULL already is left alone. Any other memory ends the worker. */
    void (*free)(sv_mod *mod, void *pointer);
    /* A copy of the text, with a NUL behind it that is not counted / gives it back and clears it. */
    sv_str (*str_dup)(sv_mod *mod, sv_str text);
    void (*str_free)(sv_mod *mod, sv_str *text);

    /* -- core: groups -- */

    /* The table of a group of functions if the server has this version of it, or a newer one; else NULL. Of a group
     * whose functions are members of sv_api it is that table. A group with a table of its own (a header says so)
     * begins with its size. At any time, from any module; `.needs` asks before the module starts. */
    const void *(*query)(const char *group, uint32_t least);

    /* -- store: versions of records -- */

    /* Opens a map as store_open does, for a module that writes records of the versions up to `schema` and reads and
     * writes those down to `oldest`. The first is 1, the last that there can be 255; a module raises `schema` by one
     * when it changes what it writes, and goes on knowing the one before, at least. Each row carries the version in
     * which it was written. Rows are written in one version at a time, which all code that has the map open knows: a
     * new map begins with the newest; after an upgrade of the module the one before goes on to be written, so that the
     * older code can be started again, until the operator calls `stave upgrade finish`. SV_EVERSION, whose text is
     * told when the module does not start, if rows are written in a newer version, or there may be rows of an older
     * one; SV_EINVAL as store_open. */
    sv_status (*store_open_versions)(sv_mod *mod, const char *owner_module, const char *name,
                                     uint32_t schema, uint32_t oldest, sv_store **store_out);
    /* The version in which the map is written now: what `put` is given is of this one. It may be another
     * in the next handler, so ask where the value is made, and put it before returning. */
    uint32_t (*store_schema)(const sv_store *store);
    /* The version of what `row` or row_next gave for that key (if a row is stored and added, of the
     * stored one, so `merge` keeps to that); 0 if there is none. */
    uint32_t (*row_schema)(const sv_rows *rows, sv_str key);
    /* As `get`, and tells the version. */
    void (*get_schema)(sv_event *ev, sv_store *store, sv_str owner, sv_str key,
                       sv_get_schema_fn done);

    /* -- metrics -- */

    /* Adds to the metric at that place in the module's table, on the module's host. A counter does not fall: a
     * negative delta of one, as a place that is not there, is logged once (`metric-wrong`) and changes nothing.
     * Values go on in the next generation, by name, and begin at 0 when the server starts. */
    void (*metric_add)(sv_mod *mod, uint32_t index, int64_t delta);
    /* Sets a gauge; for a counter as above. */
    void (*metric_set)(sv_mod *mod, uint32_t index, int64_t value);

    /* -- files that the operator names -- */

    /* In `start`: reads a file of `max_bytes` at most and follows it: every `period_ms` it is looked,
     * off the router, whether it has changed; `changed` then gets the new text, or why it can't be read. A
     * file that is away for a moment has not changed. *text_out is what is in it now, borrowed until start
     * returns. Other than SV_OK, nothing is followed: SV_EINVAL if the name does not begin with '/',
     * SV_ENOTFOUND, SV_EDENIED, SV_ELIMIT if it is larger, SV_EAGAIN if it grew meanwhile, SV_EIO. */
    sv_status (*follow_file)(sv_mod *mod, sv_str path, size_t max_bytes, int64_t period_ms,
                             sv_file_fn changed, sv_str *text_out);

    /* -- items of the host -- */

    /* Sets a named text on the host for all its modules to read ("archive/ready"); a value with .p NULL takes it
     * away. It belongs to the module that set it first, and goes when that is not enabled any more; each
     * generation sets its own, in `start`. Soon after a change, also one by a reload, host/item is fired with the
     * name as its subject. SV_EINVAL: the name is not 1 to 64 of a-z 0-9 - _ / . or the value is no UTF-8;
     * SV_EDENIED: another module's; SV_ELIMIT: over 16384 bytes, or over 64 items; SV_ECLOSED: a later
     * generation of the module runs. */
    sv_status (*host_set_item)(sv_mod *mod, const char *name, sv_str value);
    /* An item of any module on the host, .p NULL if there is none; borrowed until the handler returns or it is
     * set. An event that has waited for longer than a reload sees those of the generation before. */
    sv_str (*host_item)(const sv_mod *mod, const char *name);

    /* -- generations -- */

    /* In `save`: leaves bytes (copied) to the next generation, which starts behind it; of several values of a name the
     * last counts. They hold no pointers. `version` tells the next one how to read them. SV_EINVAL if the name is empty
     * or longer than 64 bytes; SV_ELIMIT if a module would save more than 1 MiB on a host: then the reload is refused. */
    sv_status (*save_bytes)(sv_blob *blob, const char *name, uint32_t version, sv_str bytes);
    /* As save_bytes, a number. */
    sv_status (*save_int)(sv_blob *blob, const char *name, uint32_t version, int64_t number);
    /* In `start`: the bytes that the generation before saved under a name, and the version that it gave; borrowed until
     * `start` returns. False if it saved none, or no bytes, or if there was no generation before. */
    bool (*saved_bytes)(sv_mod *mod, const char *name, uint32_t *version_out, sv_str *bytes_out);
    /* As saved_bytes, a number. */
    bool (*saved_int)(sv_mod *mod, const char *name, uint32_t *version_out, int64_t *number_out);
    /* The memory that all hosts of this generation's code share (shared_size of the description); NULL if it
     * declares none. */
    void *(*shared)(sv_mod *mod);
    /* The module's table of that name on its host, made if the generation before had none: `sv->table(mod,
     * &(sv_table_desc){sizeof(sv_table_desc), "seen", 1, sizeof(record), 10000, NULL})`. What the next generation does
     * not ask for ends with the last one that has it. In `start` NULL means that it must refuse to start (the cause is
     * in the log, and in the answer of the reload): another version that can't be turned, another size of the same
     * version, a bad description. If the new generation does not start, the old one finds its table as it was. One that
     * was turned is a copy: what the old generation still writes for events that it finishes stays in its own. */
    sv_table *(*table)(sv_mod *mod, const sv_table_desc *desc);
    /* The record of a key; NULL if there is none. Until it is deleted it stays in its place. */
    const void *(*table_get)(const sv_table *table, sv_str key);
    /* The record to write into, zeroed if it is new. NULL if max_records are there, the key is longer than 4096 bytes,
     * or the generation was replaced and is not called for an event that waits in it. */
    void *(*table_put)(sv_table *table, sv_str key);
    /* Deletes a record. False if there was none, or for the last reason above. */
    bool (*table_del)(sv_table *table, sv_str key);
    /* Walks in the order in which they came: *pos is 0 at first; NULL at the end. Records may come and go meanwhile. */
    const void *(*table_next)(const sv_table *table, size_t *pos, sv_str *key_out);
    /* How many records there are. */
    size_t (*table_count)(const sv_table *table);

    /* -- hooks: copies -- */

    /* As push, for the event's stanza in another wrapping, such as a carbon (XEP-0280): it counts as a copy of it, and is
     * on its way when `deliver` would have the stanza itself, in the order of these calls. */
    void (*push_copy)(sv_event *ev, sv_session *session, const sv_stanza *stanza);

    /* -- sessions: holding back -- */

    /* From now on session/sending is fired for each stanza that goes to the session, but for those of push_stored,
     * which go; who does nothing there lets it go, behind what waits. All that waits goes, in its order, when a
     * bound is reached, at session_release, and when no handler stands at the point any more. It stays so over
     * reloads; a second call changes the bounds. When the session ends, availability that waits is dropped by the rule
     * held-until-the-end, and the rest is told at session/unsent. SV_EINVAL if a bound is not over 0. */
    sv_status (*session_hold)(sv_session *session, const sv_hold *bounds);
    /* Sends what waits, now, and fires no more. Nothing if the session is not held back. */
    void (*session_release)(sv_session *session);

    /* -- hooks: holding back -- */

    /* At session/sending: the stanza waits. Of those under one key (not empty) the newest waits, the others are dropped by
     * the rule held-replaced. */
    sv_verdict (*hold)(sv_event *ev, sv_str key);

    /* -- hooks: what is written before others wait -- */

    /* For a handler that has read rows and written what follows from them, and does not end the event: handlers behind it may wait
     * (LATER), and other events change those rows meanwhile; what this one wrote would undo that. If the event waits from now on,
     * `again` is called, exactly once, when everybody has said what he wanted and just before what the event wrote is stored; no other event comes in between.
     * It reads the rows as they are now (they are in memory, since the event has them) and writes once more, over what it wrote before; it
     * may also send and fire, neither dispose of the stanza nor wait. On the module's host, wherever the event is by then. `ctx` lives as
     * long as the event (scratch). Never called in an event that does not wait. Where LATER
     * can't be said (a MONITOR, an occasion that is part of another event) it is a fault, and nothing is called. */
    void (*after_wait)(sv_mod *mod, sv_event *ev, sv_again_fn again, void *ctx);

    /* -- store: accounts of other hosts of this server, so that what concerns two of them is stored in one unit -- */

    /* Sees to it that handlers of the account's host find its rows in the map of the same name there, until the event ends: the rows themselves are
     * theirs alone. True if they are in memory, or if no host of this server has such an account or map: there is nothing to wait for.
     * Else they are loaded: the handler returns SV_LATER, `done` gets the event back, without rows. */
    bool (*rows_warm)(sv_event *ev, sv_store *store, const sv_jid *account, sv_rows_fn done);

    /* -- hooks: the same -- */

    /* As gather, on the host that the account is of, if that is one of this server; else there are no lines. */
    sv_str (*gather_at)(sv_event *ev, const char *on, const sv_jid *account, sv_str subject);

    /* -- hooks: the same -- */

    /* What this event delivers and pushes from now on (but push_stored) need not outlive a crash: no session's record has it, and
     * nothing is written for it. For what is of no use later, such as a chat state, or is kept elsewhere and can be asked for again. */
    void (*fleeting)(sv_event *ev);
} sv_api;

/* True if the server's table has the member. Asks whoever is built with newer headers than the oldest server that he
 * serves (SV_LEAST_MINOR), before each use of a member that is newer than that one. */
#define SV_HAS(member) (sv->size >= offsetof(sv_api, member) + sizeof sv->member)

/* The oldest minor release that a module runs on: that of its headers, unless the module defines less before it
 * includes them. */
#ifndef SV_LEAST_MINOR
#define SV_LEAST_MINOR SV_ABI_MINOR
#endif

#define SV_NS_XML "http://www.w3.org/XML/1998/namespace"

/* The entry: keeps the table, returns the description; NULL is a refusal. */
typedef const sv_module_desc *(*sv_module_entry_fn)(const sv_api *api);

#define SV_EXPORT __attribute__((visibility("default")))

/* Declares the module: SV_MODULE(.name = "ping", .summary = "...", .hooks = hooks, ...). `sv` is
 * the table. A module of several files declares `extern const sv_api *sv` in its own header and
 * uses SV_MODULE in one of them. */
#define SV_MODULE(...)                                                                             \
    const sv_api *sv;                                                                              \
    static const sv_module_desc sv_this_module = {.size = sizeof(sv_module_desc),                  \
                                                  .abi_major = SV_ABI_MAJOR,                       \
                                                  .abi_minor = SV_LEAST_MINOR,                     \
                                                  .hook_stride = sizeof(sv_hook),                  \
                                                  .option_stride = sizeof(sv_option),              \
                                                  .command_stride = sizeof(sv_command),            \
                                                  .arg_stride = sizeof(sv_arg),                    \
                                                  .column_stride = sizeof(sv_column),              \
                                                  .metric_stride = sizeof(sv_metric),              \
                                                  __VA_ARGS__};                                    \
    SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api);                            \
    SV_EXPORT const sv_module_desc *sv_module_entry(const sv_api *api)                             \
    {                                                                                              \
        sv = api;                                                                                  \
        return &sv_this_module;                                                                    \
    }
extern const sv_api *sv;

#endif
