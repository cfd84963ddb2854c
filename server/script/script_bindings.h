/* How Lua calls the functions of the module table, as data: glue is made of it, function by function.
 *
 * The table itself is generated from api/stave.lua (script_bindings.c) and has an entry for each function
 * of sv_api, in its order. */
#ifndef SVI_SCRIPT_BINDINGS_H
#define SVI_SCRIPT_BINDINGS_H

#include <stave/types.h>

/* What it takes to call a function from another process (api/stave.lua). */
typedef enum svi_mark { SVI_MARK_LOCAL = 1, SVI_MARK_MESSAGE = 2, SVI_MARK_NATIVE = 3 } svi_mark;

/* Types of C, by which glue passes a value. */
typedef enum svi_lua_kind {
    SVI_LUA_STR = 1,  /* sv_str */
    SVI_LUA_WORD,     /* const char *, ends with a NUL */
    SVI_LUA_INT64,    /* int64_t, int, size_t, uint32_t, uint64_t */
    SVI_LUA_INT,
    SVI_LUA_SIZE,
    SVI_LUA_UINT32,
    SVI_LUA_UINT64,
    SVI_LUA_BOOL,
    SVI_LUA_JID,      /* what follows is handed over as a pointer */
    SVI_LUA_STANZA,
    SVI_LUA_NODE,
    SVI_LUA_SESSION,
    SVI_LUA_STORE,
    SVI_LUA_ROWS,
    SVI_LUA_DRAFT,
    SVI_LUA_EVENT,
    SVI_LUA_MOD,
    SVI_LUA_STATUS,   /* constants, by their words in Lua */
    SVI_LUA_VERDICT,
    SVI_LUA_COND,
    SVI_LUA_LEVEL,
    SVI_LUA_FAULT,
    SVI_LUA_FUNCTION, /* a function of Lua behind a callback of C */
    SVI_LUA_LIST,     /* const sv_str *, with a count behind it */
    SVI_LUA_FIELDS,   /* pairs of const char *, ended by NULL */
    SVI_LUA_TEXT      /* what "%s" stands for: the format is "%s" then */
} svi_lua_kind;

/* Where a parameter of C comes from, or goes to. */
typedef enum svi_role {
    SVI_ROLE_GIVEN = 1, /* the running event or module: Lua does not name it */
    SVI_ROLE_RECEIVER,  /* what stands before the colon */
    SVI_ROLE_ARGUMENT,
    SVI_ROLE_RESULT,    /* its address is passed; Lua gets it */
    SVI_ROLE_BOTH,      /* the same, and Lua gives what it is before */
    SVI_ROLE_LENGTH,    /* how long the list before it is */
    SVI_ROLE_TEXT,      /* the argument before it is a text: it goes here, behind a format */
    SVI_ROLE_CALLBACK   /* the coroutine yields, and goes on when C calls back */
} svi_role;

/* A parameter of the C function. */
typedef struct svi_lua_value {
    svi_lua_kind kind;
    svi_role role;
    bool may_be_nil;
    const char *name;
} svi_lua_value;

/* What Lua gets back. */
typedef struct svi_lua_given {
    svi_lua_kind kind;
    bool may_be_nil;
} svi_lua_given;

enum { SVI_BINDING_VALUES_MAX = 8, SVI_BINDING_GIVEN_MAX = 3 };

typedef struct svi_binding {
    const char *member; /* of sv_api */
    const char *group;
    uint16_t since; /* the minor release that appended it */
    svi_mark mark;
    size_t offset;         /* in sv_api */
    const char *owner;     /* "sv", or whose method it is; NULL: it is not open to Lua, nor is anything below */
    const char *name;      /* in Lua */
    const char *signature; /* as the reference has it */
    bool yields;
    svi_lua_value values[SVI_BINDING_VALUES_MAX]; /* parameters of C, in order */
    size_t value_count;
    svi_lua_given given[SVI_BINDING_GIVEN_MAX];
    size_t given_count;
} svi_binding;

extern const svi_binding svi_bindings[];
extern const size_t svi_binding_count;

#endif
