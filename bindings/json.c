/* json.c: fastr.json, over runtime/json.h. */
#include "runtime/json.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "bindings/util.h"

#define KEPT_BYTES (1u << 20) /* a larger scratch buffer is given back after use */

static int encode(lua_State *L, bool canonical)
{
    static struct fastr_buffer scratch;
    struct fastr_err err;
    luaL_checkany(L, 1);
    scratch.length = 0;
    if (fastr_json_encode(L, 1, canonical, &scratch, &err) != 0)
        return fastr_push_err(L, &err);
    lua_pushlstring(L, scratch.data, scratch.length);
    if (scratch.capacity > KEPT_BYTES)
        fastr_buffer_free(&scratch);
    return 1;
}

/* json.encode(value): its JSON. A table with keys 1..n, or marked by json.array, is a list; another one an object, in
 * no particular order of keys; nil and json.null are null.
 * Returns nil, message, "invalid" for what JSON has no form for (functions, NaN, infinities, lists with gaps, texts
 * that are not UTF-8, cycles or more than 64 levels); the message names the path. Raises without an argument. */
static int json_encode(lua_State *L)
{
    return encode(L, false);
}

/* json.canonical(value): as json.encode, with the keys of every object sorted bytewise: equal values, equal bytes. */
static int json_canonical(lua_State *L)
{
    return encode(L, true);
}

/* json.decode(text): the value of a JSON text (RFC 8259), up to 16 MiB and 64 levels; null is json.null, lists are
 * marked as by json.array.
 * Returns nil, "line L, column C: what", "invalid" for anything that is not strict JSON, a duplicate key, \u0000, and
 * integers beyond 2^53 - 1. Raises if `text` is no text. */
static int json_decode(lua_State *L)
{
    struct fastr_err err;
    size_t length;
    luaL_checktype(L, 1, LUA_TSTRING);
    const char *text = lua_tolstring(L, 1, &length);
    if (fastr_json_push(L, text, length, NULL, &err) != 0)
        return fastr_push_err(L, &err);
    return 1;
}

/* json.array(t): marks the table as a list, so that an empty one is [] and not {}; returns it. Raises if it has another
 * metatable. */
static int json_array(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_getmetatable(L, FASTR_JSON_ARRAY);
    if (lua_getmetatable(L, 1) && !lua_rawequal(L, -1, 2))
        return luaL_argerror(L, 1, "a table with a metatable of its own");
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* json.is_array(value): true for a table marked as a list (by json.array, or decoded from one). */
static int json_is_array(lua_State *L)
{
    luaL_checkany(L, 1);
    bool marked = false;
    if (lua_type(L, 1) == LUA_TTABLE && lua_getmetatable(L, 1)) {
        luaL_getmetatable(L, FASTR_JSON_ARRAY);
        marked = lua_rawequal(L, -1, -2);
    }
    lua_pushboolean(L, marked);
    return 1;
}

static const luaL_Reg functions[] = {
    {"encode", json_encode},
    {"canonical", json_canonical},
    {"decode", json_decode},
    {"array", json_array},
    {"is_array", json_is_array},
    {NULL, NULL},
};

static int open_json(lua_State *L)
{
    luaL_newmetatable(L, FASTR_JSON_ARRAY);
    lua_pushliteral(L, FASTR_JSON_ARRAY);
    lua_setfield(L, -2, "__metatable"); /* scripts cannot change what all lists share */
    lua_pop(L, 1);
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}

const struct fastr_binding fastr_binding_json = {.name = "json", .open = open_json};
