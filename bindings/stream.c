/* stream.c: fastr.stream: server-sent events with fan-out by channel (runtime/stream.h). Never waits.
 *
 *   local stream = fastr.stream.open("order:7")          -- from here on no event is lost
 *   return 200, stream:replay(events_since(last_id))     -- the read may wait
 */
#include "runtime/stream.h"

#include <lauxlib.h>

#define TYPE "fastr.stream"

/* open(channel) -> stream, what a handler returns as its body, with 200. What is published on the channel from now on
 * follows what is replayed. It is for the reply of this task, with which it ends otherwise. Raises for a name that is not
 * 1 to 255 bytes. Returns nil, message, code: "busy" (as many streams as a worker may have), "closed" (it is draining). */
static int l_open(lua_State *L)
{
    struct fastr_err err;
    size_t length;
    const char *channel = luaL_checklstring(L, 1, &length);
    luaL_argcheck(L, length >= 1 && length <= 255, 1, "a channel's name has 1 to 255 bytes");
    struct fastr_stream **stream = lua_newuserdata(L, sizeof *stream);
    *stream = NULL;
    luaL_getmetatable(L, TYPE);
    lua_setmetatable(L, -2);
    return fastr_stream_subscribe(channel, stream, &err) ? fastr_push_error(L, err.code, "%s", err.text) : 1;
}

/* A field of the table at `index`, which stays on the stack: a number becomes a text there. */
static const char *text_field(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    return lua_tostring(L, -1);
}

static struct fastr_stream_event event_at(lua_State *L, int index)
{
    return (struct fastr_stream_event){text_field(L, index, "id"), text_field(L, index, "event"),
                                       text_field(L, index, "data")};
}

/* stream:replay(list of {id =, event =, data =}) -> stream. Sent before what is published; each id once.
 * Raises: no list of tables, a line end in an id or event, a stream that was answered. */
static int l_replay(lua_State *L)
{
    struct fastr_err err;
    struct fastr_stream *stream = *(struct fastr_stream **)luaL_checkudata(L, 1, TYPE);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!stream)
        return luaL_error(L, "stream:replay: its task has ended");
    for (int i = 1; i <= (int)lua_objlen(L, 2); i++) {
        lua_settop(L, 2);
        lua_rawgeti(L, 2, i);
        luaL_argcheck(L, lua_istable(L, 3), 2, "a list of events is needed");
        struct fastr_stream_event event = event_at(L, 3);
        if (fastr_stream_replay(stream, &event, &err))
            return luaL_error(L, "stream:replay: event %d: %s", i, err.text);
    }
    lua_settop(L, 1);
    return 1;
}

static int stream_gc(lua_State *L)
{
    fastr_stream_drop(*(struct fastr_stream **)lua_touserdata(L, 1));
    return 0;
}

/* publish(channel, {id=, event=, data=}) -> how many streams of this worker it was for; or nil, message, "invalid". */
static int l_publish(lua_State *L)
{
    const char *channel = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct fastr_stream_event event = event_at(L, 2);
    struct fastr_err err;
    int reached = fastr_stream_publish(channel, &event, &err);
    if (reached < 0)
        return fastr_push_error(L, err.code, "%s", err.text);
    lua_pushinteger(L, reached);
    return 1;
}

static const luaL_Reg methods[] = {{"replay", l_replay}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"open", l_open}, {"publish", l_publish}, {NULL, NULL}};

static int open_stream(lua_State *L)
{
    luaL_newmetatable(L, TYPE);
    lua_newtable(L);
    luaL_register(L, NULL, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, stream_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_stream = {.name = "stream", .open = open_stream};
