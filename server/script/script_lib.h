/* What a script may call besides Stave itself, made safe. */
#ifndef SVI_SCRIPT_LIB_H
#define SVI_SCRIPT_LIB_H

#include <lua.h>

/* Sets the globals of a script's state and leaves a table {json =, base64 =, hash =, date =} on the stack. In a protected call. */
void svi_script_libs_open(lua_State *L);

/* Tell which coroutine runs: `co` is resumed by `L`, and gives control back to it. Defined by script_watch.c. */
void svi_script_coroutine_enters(lua_State *L, lua_State *co);
void svi_script_coroutine_left(lua_State *L, lua_State *co);

#endif
