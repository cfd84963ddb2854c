/* Commands: what an operator can ask of the server or of a module, declared once.
 *
 * A declaration says name, typed arguments, who may, and what the answer looks like; `stave NAME`, its
 * help, its completion and its manual page are made of it, and so are later faces. Arguments are
 * checked before anything runs. A module's command runs as an event on the host that its arguments
 * name: it may wait (SV_LATER), use stores and sessions, and is answered when what it wrote is
 * durable.
 *
 *   static sv_verdict count(sv_event *ev, void *self)
 *   {
 *       (void)sv->record(ev);
 *       sv->field(ev, "address", sv->arg_jid(ev, "address")->bare);
 *       sv->field_int(ev, "sessions", how_many(ev));
 *       return sv->answer(ev);
 *   }
 *   static const sv_arg count_args[] = {
 *       {.name = "address", .kind = SV_ARG_ACCOUNT, .flags = SV_ARG_REQUIRED | SV_ARG_EXISTS,
 *        .manual = "whose"}, {0}};
 *   static const sv_column count_columns[] = {
 *       {.name = "address", .kind = SV_COLUMN_TEXT}, {.name = "sessions", .kind = SV_COLUMN_INT}, {0}};
 *   static const sv_command commands[] = {
 *       {.name = "mine count", .summary = "how many sessions an account has",
 *        .examples = "mine count romeo@example.org", .args = count_args, .columns = count_columns,
 *        .flags = SV_COMMAND_OFFLINE | SV_COMMAND_ONE, .run = count}, {0}};
 */
#ifndef STAVE_COMMAND_H
#define STAVE_COMMAND_H

#include <stave/types.h>

typedef struct sv_event sv_event;

/* generated from api/stave.lua by `make generate`: sv_arg_kind */
/* What an argument's value is. */
typedef enum sv_arg_kind {
    SV_ARG_STRING = 1,  /* UTF-8 without control characters */
    SV_ARG_INT = 2,     /* a whole number from `min` to `max` */
    SV_ARG_PERIOD = 3,  /* "50ms", "30s", "5m", "2h", "1d", from `min` to `max`; arg_int: in ms */
    SV_ARG_WORD = 4,    /* one of the words in `min`; arg_int: its place from 0 */
    SV_ARG_FLAG = 5,    /* --name and no value; arg_int: 1 if it is there */
    SV_ARG_HOST = 6,    /* a domain that this server serves */
    SV_ARG_ACCOUNT = 7, /* name@host of a host that this server serves */
    SV_ARG_LOCAL = 8,   /* the same, or with the resource of a session */
    SV_ARG_ADDRESS = 9, /* any address */
    SV_ARG_SECRET = 10, /* one line: asked for, or from standard input; never on the command line */
    SV_ARG_FILE = 11    /* a path; one that is not whole begins where the operator is */
} sv_arg_kind;
/* generated: end */

/* generated from api/stave.lua by `make generate`: arg flags */
#define SV_ARG_REQUIRED 1u /* It must be given. */
/* Given as --name VALUE; without this, by its place. Flags always are options. */
#define SV_ARG_OPTION 2u
#define SV_ARG_EXISTS 4u /* The account must exist. */
/* The host may also be one that a reload has removed; for the server's own commands, since no
 * module runs there. */
#define SV_ARG_REMOVED 8u
/* The last by its place: on the command line it takes all that follows, too, with a blank
 * between. */
#define SV_ARG_REST 16u
/* generated: end */

typedef struct sv_arg {
    const char *name; /* lower-case letters and hyphens; also its name in requests */
    sv_arg_kind kind;
    uint32_t flags;        /* SV_ARG_... */
    const char *preset;    /* its value if it is not given; NULL: none */
    const char *min, *max; /* as in sv_option */
    const char *manual;    /* a few words: what it is for */
} sv_arg;

/* generated from api/stave.lua by `make generate`: sv_column_kind */
/* What a field of an answer is. */
typedef enum sv_column_kind {
    SV_COLUMN_TEXT = 1,   /* text */
    SV_COLUMN_INT = 2,    /* field_int */
    SV_COLUMN_BOOL = 3,   /* field_int: 0 is no */
    SV_COLUMN_BYTES = 4,  /* field_int */
    SV_COLUMN_PERIOD = 5, /* field_int: in ms */
    SV_COLUMN_TIME = 6,   /* field_int: ms since 1970 */
    SV_COLUMN_LIST = 7    /* texts: each call of `field` adds one */
} sv_column_kind;
/* generated: end */

/* A field of the answer's records. */
typedef struct sv_column {
    const char *name; /* lower-case letters and hyphens */
    sv_column_kind kind;
    const char *head; /* above the column; NULL: the name */
} sv_column;

/* generated from api/stave.lua by `make generate`: who flags */
/* Who may use it besides operators, who may use all; for faces that know who asks. */
#define SV_WHO_ADMIN 1u /* admins of the host that it is about */
#define SV_WHO_OWNER 2u /* whoever has the account that it is about */
/* generated: end */

/* generated from api/stave.lua by `make generate`: command flags */
#define SV_COMMAND_CHANGES 1u /* it changes something */
#define SV_COMMAND_OFFLINE 2u /* it works without a running server, on the stored data */
#define SV_COMMAND_ONE 4u /* the answer is one record: a line for each field */
#define SV_COMMAND_PLAIN 8u /* the answer is printed without heads */
#define SV_COMMAND_STORES 16u /* it needs space in the store: refused while that is short */
/* generated: end */

typedef struct sv_command {
    const char *name;     /* one or two words of lower-case letters and hyphens: "roster show" */
    const char *summary;  /* half a line */
    const char *manual;   /* sentences; may be NULL */
    const char *examples; /* a line each, as typed behind "stave"; may be NULL */
    const sv_arg *args;   /* ends with .name == NULL; may be NULL */
    const sv_column *columns; /* the same */
    uint32_t who;             /* SV_WHO_... */
    uint32_t flags;           /* SV_COMMAND_... */
    /* Runs it on the host that an argument of kind HOST, ACCOUNT or LOCAL names (of several the first; without
     * one, on the only host that has the module, else the operator must say `--host`, which must be
     * declared). `from` and `to` of the event are the account, if one is named. Says SV_DONE behind
     * sv->answer or sv->fail, or SV_LATER. */
    sv_verdict (*run)(sv_event *ev, void *self);
} sv_command;

/* generated from api/stave.lua by `make generate`: sv_fault */
/* Why a command was not done; `stave` ends with 2 for USAGE, with 1 for the others. */
typedef enum sv_fault {
    SV_FAULT_USAGE = 1,     /* an argument is wrong */
    SV_FAULT_NOT_FOUND = 2, /* what it is about is not there */
    SV_FAULT_REFUSED = 3,   /* it may not be */
    SV_FAULT_FAILED = 4     /* it could not be */
} sv_fault;
/* generated: end */

#endif
