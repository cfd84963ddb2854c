/* Stands in until the libraries come. */
#include <lauxlib.h>
#include <lualib.h>
#include "script/script_lib.h"
void svi_script_libs_open(lua_State *L)
{
    luaL_openlibs(L);
    lua_newtable(L);
    lua_newtable(L);
    lua_setfield(L, -2, "json");
}
