/* Parts of the scripts' library, each in a file of its own: for script_lib_*.c only. */
#ifndef SVI_SCRIPT_LIB_IMPL_H
#define SVI_SCRIPT_LIB_IMPL_H

#include <lauxlib.h>

#include "script/script_lib.h"

/* Each pushes one table of functions. They may raise when memory runs out. */
void svi_script_lib_string(lua_State *L);
void svi_script_lib_table(lua_State *L);
void svi_script_lib_coroutine(lua_State *L);
void svi_script_lib_json(lua_State *L);
void svi_script_lib_base64(lua_State *L);
void svi_script_lib_hash(lua_State *L);
void svi_script_lib_date(lua_State *L);

/* Sets those base functions in the table on top that are not Lua's own: tostring, xpcall, and those
 * of svi_script_lib_meta. */
void svi_script_lib_base(lua_State *L);

/* Sets getmetatable and setmetatable in the table on top. */
void svi_script_lib_meta(lua_State *L);

/* Pushes a table with the functions of Lua's own library `open` that `names` lists (ended by
 * NULL). */
void svi_script_lib_pick(lua_State *L, lua_CFunction open, const char *const *names);

/* Argument `i` as text (numbers are turned into it), raises if it is none. Borrowed from the
 * stack. */
sv_str svi_script_text(lua_State *L, int i);

/* The same, at most SVI_SCRIPT_TEXT_MAX bytes; raises beyond. */
sv_str svi_script_short_text(lua_State *L, int i);

/* As luaL_buffinitsize, for up to whatever the quota leaves: a state refuses large blocks that are new, not those that grow. */
char *svi_script_buffer(lua_State *L, luaL_Buffer *buffer, size_t bytes);

/* Pushes a table with room for `n` elements, or for the first of them: the state refuses large blocks that are new. */
void svi_script_push_list(lua_State *L, size_t n);

/* Pushes nil and the reason; returns 2, as what the function returns. */
int svi_script_refuse(lua_State *L, const char *reason);

#endif
