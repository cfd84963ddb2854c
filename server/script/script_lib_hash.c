/* base64 and hashes for scripts. */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/base_assert.h"
#include "base/base_str.h"
#include "script/script_lib_impl.h"

/* base64.encode(s) */
static int base64_encode(lua_State *L)
{
    const sv_str raw = svi_script_short_text(L, 1);
    luaL_Buffer out;
    const size_t n = svi_base64_bytes(raw.n);
    svi_base64_write(svi_script_buffer(L, &out, n), raw);
    luaL_pushresultsize(&out, n);
    return 1;
}

/* base64.decode(s): nil if it is none. */
static int base64_decode(lua_State *L)
{
    const sv_str text = svi_script_text(L, 1);
    luaL_argcheck(L, text.n <= svi_base64_bytes(SVI_SCRIPT_TEXT_MAX), 1,
                  "longer than 1 MiB: give it in parts");
    luaL_Buffer out;
    size_t n;
    if (svi_base64_read(svi_script_buffer(L, &out, text.n / 4 * 3), text, &n) != SV_OK)
        return svi_script_refuse(L, "not base64 with padding");
    luaL_pushresultsize(&out, n);
    return 1;
}

typedef struct hash {
    const char *name;
    const EVP_MD *(*md)(void);
} hash;

static const EVP_MD *md_of(lua_State *L, int argument)
{
    static const hash hashes[] = {{"sha1", EVP_sha1},          {"sha256", EVP_sha256},
                                  {"sha384", EVP_sha384},      {"sha512", EVP_sha512},
                                  {"sha3-256", EVP_sha3_256},  {"sha3-512", EVP_sha3_512},
                                  {"blake2b", EVP_blake2b512}, {"blake2s", EVP_blake2s256}};
    const char *name = luaL_checkstring(L, argument);
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        if (strcmp(name, hashes[i].name) == 0) return hashes[i].md();
    (void)luaL_argerror(L, argument,
                        "no such hash: there are sha1, sha256, sha384, sha512, sha3-256, sha3-512, "
                        "blake2b, blake2s");
    return NULL;
}

enum { AS_HEX, AS_BASE64, AS_RAW };

static int form_of(lua_State *L, int argument)
{
    static const char *const forms[] = {"hex", "base64", "raw", NULL};
    return luaL_checkoption(L, argument, "hex", forms);
}

static int push_hash(lua_State *L, sv_str raw, int form)
{
    char text[2 * EVP_MAX_MD_SIZE];
    SV_ASSERT(raw.n <= EVP_MAX_MD_SIZE);
    if (form == AS_HEX) {
        svi_hex_write(text, raw);
        lua_pushlstring(L, text, 2 * raw.n);
    } else if (form == AS_BASE64) {
        svi_base64_write(text, raw);
        lua_pushlstring(L, text, svi_base64_bytes(raw.n));
    } else
        lua_pushlstring(L, raw.p, raw.n);
    return 1;
}

/* hash.digest(name, s [, form]) */
static int hash_digest(lua_State *L)
{
    const EVP_MD *md = md_of(L, 1);
    const sv_str text = svi_script_short_text(L, 2);
    const int form = form_of(L, 3);
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    SV_ASSERT(EVP_Digest(text.p, text.n, out, &n, md, NULL) == 1);
    return push_hash(L, (sv_str){(const char *)out, n}, form);
}

/* hash.hmac(name, key, s [, form]) */
static int hash_hmac(lua_State *L)
{
    const EVP_MD *md = md_of(L, 1);
    const sv_str key = svi_script_short_text(L, 2), text = svi_script_short_text(L, 3);
    const int form = form_of(L, 4);
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    SV_ASSERT(HMAC(md, key.p, (int)key.n, (const unsigned char *)text.p, text.n, out, &n) != NULL);
    return push_hash(L, (sv_str){(const char *)out, n}, form);
}

/* hash.equal(a, b): takes as long wherever they differ, so that who guesses learns nothing from the
 * time. */
static int hash_equal(lua_State *L)
{
    const sv_str a = svi_script_text(L, 1), b = svi_script_text(L, 2);
    lua_pushboolean(L, svi_str_eq_secret(a, b));
    return 1;
}

void svi_script_lib_base64(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"encode", base64_encode}, {"decode", base64_decode}, {NULL, NULL}};
    luaL_newlib(L, functions);
}

void svi_script_lib_hash(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"digest", hash_digest}, {"hmac", hash_hmac}, {"equal", hash_equal}, {NULL, NULL}};
    luaL_newlib(L, functions);
}
