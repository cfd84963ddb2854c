/* What declares, between its files. */
#ifndef SVI_SCRIPT_DECLARE_H
#define SVI_SCRIPT_DECLARE_H

#include "script/script_impl.h"

enum {
    SVI_SCRIPT_HOOKS_MAX = 256,
    SVI_SCRIPT_OPTIONS_MAX = 128,
    SVI_SCRIPT_COMMANDS_MAX = 64,
    SVI_SCRIPT_METRICS_MAX = 64,
    SVI_DECLARED_MAX = 1 << 20, /* bytes of all its declarations, refused ones as well */
    SVI_OWN_HOOKS = 3,
    SVI_OPTION_BYTES = 16 /* a field of any kind */
};

/* What has been declared so far; tables end with a zeroed item. */
typedef struct svi_build {
    sv_hook hooks[SVI_SCRIPT_HOOKS_MAX + 1];
    svi_entry entries[SVI_SCRIPT_HOOKS_MAX + SVI_SCRIPT_COMMANDS_MAX];
    svi_entry command_entries[SVI_SCRIPT_COMMANDS_MAX];
    sv_option options[SVI_SCRIPT_OPTIONS_MAX + 1];
    sv_command commands[SVI_SCRIPT_COMMANDS_MAX + 1];
    sv_metric metrics[SVI_SCRIPT_METRICS_MAX + 1];
    size_t hook_count, option_count, command_count, metric_count;
} svi_build;

/* The script, which is loading and has a head; else raises. */
svi_script *svi_declaring(lua_State *L, const char *what);
/* Memory for a declaration, which the script's quota does not bound: raises if all are too large. */
void *svi_declare_get(lua_State *L, size_t bytes);
/* The text at that place, in the script's arena. */
const char *svi_declared_text(lua_State *L, int index, const char *what);
/* Fields of the table at `table` (absolute): a text, number or truth as text, NULL if absent / a truth / a text or a list of them. */
const char *svi_field_text(lua_State *L, int table, const char *field, const char *what);
bool svi_field_bool(lua_State *L, int table, const char *field, const char *what);
svi_patterns svi_field_list(lua_State *L, int table, const char *field, const char *what);
/* Raises if the table has other fields than those, or items beyond that number. */
void svi_fields_known(lua_State *L, int table, const char *const *known, lua_Integer items, const char *what);

/* Add their functions to the table `sv` on top of the stack. */
void svi_script_open_tables(lua_State *L);  /* option, command, metric */
void svi_script_open_timers(lua_State *L);  /* every, after; sleep of events */
void svi_script_open_saved(lua_State *L);   /* saved */
void svi_script_open_require(lua_State *L); /* the global require */
void svi_script_open_work(lua_State *L);    /* work */
/* Small letters, digits, - and _. */
bool svi_script_is_file_name(sv_str name);

#endif
