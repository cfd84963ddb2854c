/* The flow runner: scripts in which named clients send and expect XML (doc/flow.md).
 *
 * A world is where the clients live: the stage (the real core in this process on a virtual clock) or a live server. Clients
 * are the same in both. One thread. */
#ifndef FLOW_H
#define FLOW_H

#include "base/base_assert.h"
#include "base/base_str.h"
#include "xml/xml_parser.h"
#include "xml/xml_writer.h"
#include <sys/types.h>

#define FLOW_CLIENTS 32

/* --- worlds ---------------------------------------------------------------------------------------- */

typedef struct flow_world flow_world;
typedef struct flow_pipe flow_pipe;

/* A connection's client end. Non-blocking: -1 if nothing can be read or written now, 0 at the end. */
struct flow_pipe {
    ssize_t (*read)(flow_pipe *pipe, void *to, size_t n);
    ssize_t (*write)(flow_pipe *pipe, const void *from, size_t n);
    bool (*starttls)(flow_pipe *pipe, const char *domain); /* NULL: not in this world */
    void (*close)(flow_pipe *pipe);                        /* frees; the peer sees an end */
    /* The connection is lost, for both ends / the client does nothing more on it, and the server is not told. NULL: not in this
     * world. */
    void (*cut)(flow_pipe *pipe);
    void (*silence)(flow_pipe *pipe);
    int fd;                                                /* to wait on, -1 on the stage */
    const char *fault; /* why reading ended, unless by the peer's close */
};

struct flow_world {
    svi_acct *acct;
    const char *name;
    int patience_ms; /* how long a client waits for what is due, in a live world */
    bool trace;      /* what passes is shown on standard error */
    /* Config text that a script adds, before the first connection; false: this world can't. */
    bool (*configure)(flow_world *world, sv_str lines);
    /* Enables a module besides the usual ones, before the first connection; false: it is too late, or modules_enabled was said. NULL:
     * a live server has what it has. */
    bool (*enable)(flow_world *world, sv_str module);
    bool (*add_account)(flow_world *world, sv_str user, sv_str domain, sv_str password, svi_buf *why);
    flow_pipe *(*open)(flow_world *world);
    void (*random)(flow_world *world, void *to, size_t n); /* on the stage from its seed */
    /* Lets everything happen that can without waiting; true if anything did. */
    bool (*settle)(flow_world *world);
    /* Lets time pass up to what the network or the disk owe next; false: they owe nothing. NULL: not in this world. */
    bool (*pass_owed)(flow_world *world);
    /* Waits for input on a pipe, in a live world only: false when `ms` passed. */
    bool (*wait_input)(flow_world *world, flow_pipe *const *pipes, size_t count, int ms);
    /* Waits until a pipe takes bytes or has some, in a live world only: false when `ms` passed. */
    bool (*wait_output)(flow_world *world, flow_pipe *pipe, int ms);
    /* Lets time pass: virtually, or really. */
    void (*pass_time)(flow_world *world, int64_t us);
    /* Runs a command of a module, as it is typed behind "stave", and appends its answer: a <row/> for each record, with its fields as
     * attributes; or, false, why it was not done. NULL: not in this world. */
    bool (*operate)(flow_world *world, sv_str line, svi_buf *out);
    /* Loads a module anew / ends the server, whose store stays, and starts it again. False with a reason appended. NULL: not in this
     * world. */
    bool (*reload)(flow_world *world, sv_str module, svi_buf *why);
    bool (*restart)(flow_world *world, svi_buf *why);
    /* The server is killed, and started again on what is stored. False with a reason appended. NULL: not in this world. */
    bool (*kill)(flow_world *world, svi_buf *why);
    /* "network is slow 20ms": another network, disk or set of hosts from now on (flow_harm.c). False with a reason appended. NULL:
     * not in this world. */
    bool (*change)(flow_world *world, sv_str step, svi_buf *why);
    /* The path of a folder for files of scripts, made when it is first asked for and gone with the world; NULL if it can't be made.
     * NULL: not in this world. */
    const char *(*folder)(flow_world *world);
    /* What the server has logged so far, a line for each fact, beginning with the event's name. NULL: not in this world. */
    sv_str (*log_lines)(const flow_world *world);
    /* Ends the world; on the stage false and a message if something is left over (an unbalanced ledger). */
    bool (*close)(flow_world **world, char *why, size_t why_bytes);
};

/* A stage: server with the modules of `module_dir` and of the folder `examples` beside it; `modules` is what scripts that say nothing of it have in modules_enabled,
 * in its order (NULL: all that a server usually has). Kept by reference. */
flow_world *flow_stage_new(svi_acct *acct, const char *module_dir, const char *modules);

typedef struct svi_stage svi_stage;
typedef struct svi_stage_config svi_stage_config;
typedef struct svi_link_nature svi_link_nature;

/* The same with everything else as `config` has it (stage.h), which need not outlive the call. */
flow_world *flow_stage_with(svi_acct *acct, const svi_stage_config *config);
/* The stage of a world of the two above. Borrowed. */
svi_stage *flow_stage_of(const flow_world *world);

/* Does a step that begins with network, store or host on the stage: see flow_world.change. `nature` is how its network is, and changes
 * with it. A time is as in a script: "5s", "200ms"; false if the text is none. */
bool flow_change(svi_stage *stage, svi_link_nature *nature, sv_str step, svi_buf *why);
bool flow_time(sv_str text, int64_t *us_out);

typedef struct svi_mods svi_mods;
typedef struct svi_server svi_server;
/* Runs a command line on the modules: see flow_world.operate. `settle(world)` until it is answered. */
bool flow_operate(flow_world *world, svi_server *server, svi_mods *mods, sv_str line, svi_buf *out);

/* --- files (flow_files.c) --------------------------------------------------------------------------- */

#define FLOW_PATH_BYTES 300

/* Writes a file in the folder anew, each line without the blanks around it / appends what is in one, the first MiB. False with a
 * reason appended. */
bool flow_file_write(const char *folder, sv_str name, sv_str lines, svi_buf *why);
bool flow_file_read(const char *folder, sv_str name, svi_buf *out, svi_buf *why);
/* Takes the folder away with all that is in it; "" does nothing. */
void flow_folder_drop(const char *folder);

/* --- clients --------------------------------------------------------------------------------------- */

typedef struct flow_item {
    struct flow_item *next;
    sv_stanza *stanza;
    bool is_header, is_end; /* of a raw client: the stream's header, its end */
} flow_item;

/* How much of the negotiation a client leaves to its script. */
typedef enum flow_raw {
    FLOW_BOUND = 0, /* nothing: it logs in and binds */
    FLOW_RAW_BYTES, /* all */
    FLOW_RAW_TLS,   /* all after TLS, where the server offers it */
    FLOW_RAW_LOGIN  /* the stream after SASL: its header, binding */
} flow_raw;

enum { FLOW_ASKED_MAX = 256 };

/* What became of a request of a client. */
typedef struct flow_asked {
    char id[64];
    unsigned asked, answered;
    char head[120]; /* how the first of that id began */
} flow_asked;

typedef struct flow_client {
    flow_world *world;
    char name[64];
    char user[128], domain[128], resource[128], password[64];
    flow_raw raw;    /* how much is left to the script */
    bool silent;     /* its connection is, on the stage */
    bool unsynced;   /* has sent something since it last synchronised */
    flow_pipe *pipe; /* NULL while not connected */
    svi_parser *parser;
    svi_buf out; /* not yet written */
    flow_item *inbox, **tail;
    bool got_header, got_end, broken;
    char why[200]; /* what went wrong */
    char end[80];  /* how the last connection ended */
    svi_arena *arena;
    unsigned pings;
    /* Since it was bound: its gets and sets, but for those to a session, which is free not to answer. */
    flow_asked *asked;
    size_t asked_count;
    bool is_bound;
    bool is_unread; /* what it sent was no whole XML, or too much: its requests are not known */
} flow_client;

/* True if each known request was answered once; else `why` says of which it is not so. Of one that is not connected nothing is known. */
bool flow_client_is_answered(const flow_client *client, char *why, size_t why_bytes);

/* Logs in (or, raw, just connects); false with a reason in client->why. */
bool flow_client_connect(flow_client *client);
/* Closes the stream properly / drops the connection / frees everything. */
void flow_client_leave(flow_client *client);
void flow_client_vanish(flow_client *client);
void flow_client_free(flow_client *client);

/* The connection is lost, for both ends / the client does nothing more on it, which the server is not told. On the stage alone. */
void flow_client_cut(flow_client *client);
void flow_client_silence(flow_client *client);

/* Sends bytes / the same, but on the stage the server does not read them before another step wants it to. */
bool flow_client_send(flow_client *client, sv_str bytes);
bool flow_client_write(flow_client *client, sv_str bytes);
/* Reads what is there now. True if anything came. */
bool flow_client_pump(flow_client *client);
/* The first item of the inbox, waiting for it: NULL with client->why after the world's patience (live) or when nothing can happen. */
flow_item *flow_client_next(flow_client *client);
/* Takes the first item off the inbox and frees it. */
void flow_client_drop_first(flow_client *client);
void flow_item_free(flow_item **item);
/* Waits until the server has handled everything the client sent so far. On the stage a ping does: nothing is left to do when it is
 * answered. On a live server stanzas to one recipient pass one after the other, but what waits for the store holds up no ping: so
 * each of the script's other accounts is asked, which is answered after what was sent to it, and then the own roster is written,
 * which is answered after all that was written before. Pushes of these items are kept from scripts. */
#define FLOW_SYNC_DOMAIN ".flow-sync.invalid"
bool flow_client_sync(flow_client *client, flow_client *const *others, size_t count);

/* --- matching -------------------------------------------------------------------------------------- */

/* Values that scripts captured: name and text. */
typedef struct flow_vars {
    svi_arena *arena;
    struct flow_var {
        sv_str name, value;
    } items[64];
    size_t count;
} flow_vars;

/* True if `got` has all that `want` asks for; else `why` says what is missing. Captures are kept only on success. */
bool flow_match(const sv_node *want, const sv_node *got, flow_vars *vars, char *why,
                size_t why_bytes);

/* Keeps a value as if it had been captured. */
void flow_vars_set(flow_vars *vars, sv_str name, sv_str value);

/* True if {NAME} means something: any, none or what was captured. */
bool flow_vars_has(flow_vars *vars, sv_str name);

/* Replaces {NAME} of captured values, {repeat N TEXT} and {base64 TEXT} in text that is sent or expected. */
sv_str flow_vars_expand(flow_vars *vars, sv_str text);

/* --- scripts --------------------------------------------------------------------------------------- */

typedef struct flow_result {
    bool failed, skipped;
    char text[4000]; /* where and why */
} flow_result;

/* A script that is run in pieces: clients, what is ignored and what is kept go on from one to the next. */
typedef struct flow_play flow_play;

/* Account names get `suffix`, so that a world can be used again. Never fails; `suffix` is kept by reference. */
flow_play *flow_play_new(flow_world *world, const char *suffix);
/* Runs the steps in `text`; `name` and the line that it begins with stand in messages. False if the result says failed or skipped:
 * what follows of the text is not done. */
bool flow_play_run(flow_play *play, const char *name, int first_line, sv_str text, flow_result *result);
/* From now on a step that got something else than it expects does not fail: what that client has got is forgotten and the script goes
 * on. It ends, without failing, at a step that can't be done. */
void flow_play_be_lenient(flow_play *play);
/* From now on what has been sent arrives before another client acts, however late the network is, so that a script's lines happen one
 * after the other. */
void flow_play_in_order(flow_play *play);
/* The world has the configuration and the modules that the script asks for: these steps are passed over; what was logged before is
 * none of the script's business. */
void flow_play_again(flow_play *play);
/* The text's steps that a lenient play did not do, or got something else in. */
unsigned flow_play_unmet(const flow_play *play);
/* True if each get and set of a client that is still connected was answered, and once; else `why` says which was not. */
bool flow_play_is_answered(flow_play *play, char *why, size_t why_bytes);
/* Its clients leave, as `leaves` does. */
void flow_play_leave(flow_play *play);
/* Drops the clients' connections and frees all. */
void flow_play_free(flow_play **play);

/* Runs one script in a fresh world's clients. */
void flow_run(flow_world *world, const char *path, sv_str text, const char *suffix, flow_result *result);

#endif
