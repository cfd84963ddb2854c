/* What a script may call besides Stave itself: the safe part of Lua's library, and JSON, base64,
 * hashes, dates.
 *
 * Two promises. Nothing here reaches outside: no file, clock, randomness, address of memory, and no
 * loading of code. And no function of C runs for long where the budget can't end it: what has loops
 * counts its work, and looks whether the hook was armed that ends a script which is over its time
 * (svi_script_poll).
 *
 * The host keeps to two rules. A message handler of lua_pcall calls nothing of Lua: it may run
 * inside the armed hook, where Lua counts no instructions (so `xpcall` here calls its handler
 * behind the call). And it never calls lua_resetthread or lua_closethread: a script's __close would
 * run without hooks. */
#ifndef SVI_SCRIPT_LIB_H
#define SVI_SCRIPT_LIB_H

#include <lua.h>
#include <stave/types.h>

enum {
    SVI_SCRIPT_ITEMS_MAX = 1000000,    /* of a table in one call: moved, sorted, joined */
    SVI_SCRIPT_TEXT_MAX = 1024 * 1024, /* bytes that are hashed, or JSON */
    SVI_SCRIPT_JSON_DEPTH = 64,
    SVI_SCRIPT_JSON_TABLES = 65536, /* objects and arrays in one text */
    SVI_SCRIPT_FORMAT_VALUES = 250  /* arguments of string.format */
};

/* Gives a fresh state its globals, and leaves one table on the stack: {json, base64, hash, date},
 * for the caller to put where it likes. Call it protected (it raises only when memory runs out),
 * once a state. */
void svi_script_libs_open(lua_State *L);

/* Userdata that a script can get hold of are the host's alone and begin with a pointer: the mark of a view
 * (script_view.c), or one that can't be such. None has fewer bytes than that. */

/* Raises what ends the script if it is over its time, that is if its count hook is armed with a
 * count of 1: then the hook is called as the next instruction would. Functions of C call it in
 * loops (a few ns). */
void svi_script_poll(lua_State *L);

/* Marks a coroutine that scripts may resume; `at` is its place on the stack. coroutine.create does
 * it; the host's own coroutines are never marked, so that no script goes on with one that waits for
 * an answer. */
void svi_script_coroutine_mark(lua_State *L, int at);

/* The watch is told which coroutine runs: `co` is entered from `L`, and left again for `L`. The
 * host defines them (the budget is its own): if the time was over inside `co`, leaving arms the
 * hook of `L`. They must not raise. */
void svi_script_coroutine_enters(lua_State *L, lua_State *co);
void svi_script_coroutine_left(lua_State *L, lua_State *co);

/* Text of the value at `at` as tostring gives it, pushed: never an address. Calls __tostring, so it
 * may raise and run code of the script's. Borrowed from the stack. */
sv_str svi_script_tostring(lua_State *L, int at);

#endif
