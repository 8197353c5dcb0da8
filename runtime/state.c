/* state.c: see state.h. */
#include "runtime/state.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

static const struct fastr_binding *const *bindings;
static int binding_count;

void fastr_state_bindings(const struct fastr_binding *const *list, int count)
{
    bindings = list;
    binding_count = count;
}

const struct fastr_binding *fastr_state_binding(int index)
{
    return index < binding_count ? bindings[index] : NULL;
}

/* ---- strict tables ---- */

static int undefined_read(lua_State *L)
{
    return luaL_error(L, "%s'%s' does not exist", lua_tostring(L, lua_upvalueindex(1)), lua_tostring(L, 2));
}

static int refused_write(lua_State *L)
{
    return luaL_error(L, "%s'%s' cannot be assigned: use a local", lua_tostring(L, lua_upvalueindex(1)),
                      lua_tostring(L, 2));
}

/* The table on the top of the stack refuses undefined reads and new keys from now on. */
static void make_strict(lua_State *L, const char *what)
{
    lua_newtable(L);
    lua_pushstring(L, what);
    lua_pushcclosure(L, undefined_read, 1);
    lua_setfield(L, -2, "__index");
    lua_pushstring(L, what);
    lua_pushcclosure(L, refused_write, 1);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

/* ---- require ---- */

int fastr_state_load(lua_State *L, const struct fastr_bundle *bundle, const char *name, struct fastr_err *err)
{
    int file = fastr_bundle_find(bundle, name);
    if (file < 0)
        return fastr_fail(err, "invalid", "there is no file %s", name);
    char chunk[256];
    snprintf(chunk, sizeof chunk, "@%s", name);
    if (luaL_loadbufferx(L, fastr_bundle_data(bundle, file), fastr_bundle_length(bundle, file), chunk, "t") == 0)
        return 0;
    fastr_fail(err, "invalid", "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return -1;
}

/* "lib.shape" -> lib/shape.lua, or lib/shape/init.lua. */
static void module_file(const struct fastr_bundle *bundle, const char *module, char *path, size_t size)
{
    char base[160];
    snprintf(base, sizeof base, "%s", module);
    for (char *dot; (dot = strchr(base, '.'));)
        *dot = '/';
    snprintf(path, size, "%s.lua", base);
    if (fastr_bundle_find(bundle, path) < 0)
        snprintf(path, size, "%s/init.lua", base);
}

/* require(name): upvalues are the bundle and the table of what was loaded. Raises what the file raises, and for a
 * module that requires itself on the way. */
static int require_module(lua_State *L)
{
    const struct fastr_bundle *bundle = lua_touserdata(L, lua_upvalueindex(1));
    const char *module = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    lua_rawget(L, lua_upvalueindex(2));
    if (lua_islightuserdata(L, 2))
        return luaL_error(L, "module '%s' requires itself", module);
    if (!lua_isnil(L, 2))
        return 1;
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)bundle);
    lua_rawset(L, lua_upvalueindex(2));

    char path[200];
    struct fastr_err err;
    module_file(bundle, module, path, sizeof path);
    if (fastr_bundle_find(bundle, path) < 0)
        return luaL_error(L, "module '%s' not found (no %s)", module, path);
    if (fastr_state_load(L, bundle, path, &err))
        return luaL_error(L, "%s", err.text);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1))
        return luaL_error(L, "%s must return its module", path);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, lua_upvalueindex(2));
    return 1;
}

/* ---- the state ---- */

/* asset(name): the text of any file of the bundle (a template), or nil: scripts have no other way to files. */
static int read_asset(lua_State *L)
{
    const struct fastr_bundle *bundle = lua_touserdata(L, lua_upvalueindex(1));
    int file = fastr_bundle_find(bundle, luaL_checkstring(L, 1));
    if (file < 0)
        lua_pushnil(L);
    else
        lua_pushlstring(L, fastr_bundle_data(bundle, file), fastr_bundle_length(bundle, file));
    return 1;
}

static void open_library(lua_State *L, const char *name, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

static void remove_globals(lua_State *L, const char *const *names)
{
    for (; *names; names++) {
        lua_pushnil(L);
        lua_setglobal(L, *names);
    }
}

/* traceback(error) -> a text with the stack below it (once: what is raised again keeps its first), anything else
 * unchanged: the handler for xpcall in scripts, which have no debug library. */
static int l_traceback(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING && !strstr(lua_tostring(L, 1), "\nstack traceback:"))
        luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

void fastr_state_open_fastr(lua_State *L, const struct fastr_bundle *bundle)
{
    lua_newtable(L);
    lua_pushlightuserdata(L, (void *)bundle);
    lua_pushcclosure(L, read_asset, 1);
    lua_setfield(L, -2, "asset");
    lua_pushcfunction(L, l_traceback);
    lua_setfield(L, -2, "traceback");
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++) {
        lua_pushcfunction(L, binding->open);
        lua_call(L, 0, 1);
        lua_setfield(L, -2, binding->name);
    }
    lua_setglobal(L, "fastr");
}

/* Percent of what is alive at which the collector begins again. The default, 200, marks the scripts' few megabytes, which
 * never change, twice as often. */
enum { GC_PAUSE = 400 };

lua_State *fastr_state_new(const struct fastr_bundle *bundle)
{
    static const char *const removed[] = {"dofile",  "loadfile", "load",      "loadstring", "module", "require",
                                          "getfenv", "setfenv",  "newproxy",  "print",      "gcinfo", "collectgarbage",
                                          "package", "_VERSION", NULL};
    lua_State *L = luaL_newstate();
    lua_gc(L, LUA_GCSETPAUSE, GC_PAUSE);
    open_library(L, "", luaopen_base);
    open_library(L, LUA_TABLIBNAME, luaopen_table);
    open_library(L, LUA_STRLIBNAME, luaopen_string);
    open_library(L, LUA_MATHLIBNAME, luaopen_math);
    open_library(L, LUA_BITLIBNAME, luaopen_bit);
    open_library(L, LUA_JITLIBNAME, luaopen_jit);
    remove_globals(L, removed);
    static const char *const not_for_scripts[] = {"jit", "coroutine", NULL};
    remove_globals(L, not_for_scripts);

    lua_pushlightuserdata(L, (void *)bundle);
    lua_newtable(L);
    lua_pushcclosure(L, require_module, 2);
    lua_setglobal(L, "require");
    fastr_state_open_fastr(L, bundle);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    make_strict(L, "global ");
    lua_pop(L, 1);
    return L;
}

static int traceback(lua_State *L)
{
    if (!lua_isstring(L, 1)) {
        if (!luaL_callmeta(L, 1, "__tostring"))
            lua_pushfstring(L, "(an error object: a %s)", luaL_typename(L, 1));
        lua_replace(L, 1);
    }
    luaL_traceback(L, L, lua_tostring(L, 1), 1);
    return 1;
}

int fastr_state_call(lua_State *L, int arguments, int results, struct fastr_err *err)
{
    int handler = lua_gettop(L) - arguments;
    lua_pushcfunction(L, traceback);
    lua_insert(L, handler);
    int rc = lua_pcall(L, arguments, results, handler);
    lua_remove(L, handler);
    if (rc == 0)
        return 0;
    fastr_fail(err, "invalid", "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return -1;
}
