/* Stands in until the views come. */
#include "script/script_impl.h"
void svi_script_open_views(lua_State *L) { (void)luaL_newmetatable(L, "svi.store"); lua_pop(L, 1); (void)luaL_newmetatable(L, "svi.event"); lua_pop(L, 1);}
void svi_view_push_event(svi_task *task, lua_State *L) { (void)task; *(svi_task **)lua_newuserdatauv(L, 32, 0) = task; luaL_setmetatable(L, "svi.event"); }
int svi_view_push_kept(svi_task *task, lua_State *L, const sv_stanza *stanza) { (void)task;(void)stanza; lua_pushnil(L); return 1; }
const sv_stanza *svi_build_stanza(svi_task *task, lua_State *L, int index, const char *what) { (void)task; (void)index; luaL_error(L, "%s", what); return NULL; }
void svi_script_held_drop(svi_script_host *host) { (void)host; }
