/* stream.c: fastr.stream: server-sent events with fan-out by channel (runtime/stream.h). Never waits. */
#include "runtime/stream.h"

#include <lauxlib.h>

/* open(channel [, {replay = {{id=, event=, data=}, ...}}]): what a handler returns as its body, with 200. */
static int l_open(lua_State *L)
{
    luaL_checkstring(L, 1);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_createtable(L, 0, 2);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "channel");
    if (lua_istable(L, 2)) {
        lua_getfield(L, 2, "replay");
        lua_setfield(L, -2, "replay");
    }
    luaL_newmetatable(L, "fastr.stream");
    lua_setmetatable(L, -2);
    return 1;
}

static const char *text_field(lua_State *L, const char *name)
{
    lua_getfield(L, 2, name);
    const char *text = lua_tostring(L, -1); /* a number is turned into a text on the stack, which stays */
    return text;
}

/* publish(channel, {id=, event=, data=}) -> how many streams of this worker got it; or nil, message, "invalid". */
static int l_publish(lua_State *L)
{
    const char *channel = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct fastr_stream_event event = {text_field(L, "id"), text_field(L, "event"), text_field(L, "data")};
    struct fastr_err err;
    int reached = fastr_stream_publish(channel, &event, &err);
    if (reached < 0)
        return fastr_push_error(L, err.code, "%s", err.text);
    lua_pushinteger(L, reached);
    return 1;
}

static const luaL_Reg functions[] = {{"open", l_open}, {"publish", l_publish}, {NULL, NULL}};

static int open_stream(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_stream = {.name = "stream", .open = open_stream};
