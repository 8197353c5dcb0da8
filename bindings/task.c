/* task.c: fastr.task and fastr.all: what a script asks of its own task, and several waits at once. */
#include "runtime/task.h"

#include <lauxlib.h>

static struct fastr_task *check_task(lua_State *L)
{
    struct fastr_task *task = fastr_task_current();
    if (!task)
        luaL_error(L, "fastr.task: only inside a task (a request, an event or a job)");
    return task;
}

/* get(key) -> text or nil. Keys are shared with bindings: "lsn" is the session's position in the database's log. */
static int l_get(lua_State *L)
{
    lua_pushstring(L, fastr_task_get(check_task(L), luaL_checkstring(L, 1)));
    return 1;
}

/* set(key, text or nil): key at most 31 bytes, text at most 1,023. */
static int l_set(lua_State *L)
{
    size_t length;
    luaL_checklstring(L, 1, &length);
    luaL_argcheck(L, length < 32, 1, "a key has at most 31 bytes");
    fastr_task_set(check_task(L), lua_tostring(L, 1), luaL_optlstring(L, 2, NULL, &length));
    return 0;
}

/* id() -> the request's id. */
static int l_id(lua_State *L)
{
    lua_pushstring(L, fastr_task_id(check_task(L)));
    return 1;
}

/* traceparent() -> W3C trace context to pass on. */
static int l_traceparent(lua_State *L)
{
    lua_pushstring(L, fastr_task_traceparent(check_task(L)));
    return 1;
}

/* ms_left() -> milliseconds until the deadline, math.huge without one. */
static int l_ms_left(lua_State *L)
{
    int64_t left = fastr_task_ms_left(check_task(L));
    lua_pushnumber(L, left == INT64_MAX ? 1e308 * 10 : (lua_Number)left);
    return 1;
}

/* in_transaction() -> true between a transaction's begin and its end. */
static int l_in_transaction(lua_State *L)
{
    struct fastr_task *task = fastr_task_current();
    lua_pushboolean(L, task && fastr_task_in_transaction(task));
    return 1;
}

static const luaL_Reg functions[] = {{"get", l_get},         {"set", l_set},
                                     {"id", l_id},           {"traceparent", l_traceparent},
                                     {"ms_left", l_ms_left}, {"in_transaction", l_in_transaction},
                                     {NULL, NULL}};

static int open_task(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_task = {.name = "task", .open = open_task};

/* all{f, g, ...} (waits) runs each function as a task of its own with the same request id, deadline and versions, and
 * returns a list of their packed results {n = ..., ...} in the same order. If one raised, it raises the same value (the
 * first in the list's order) once all have ended. Raises inside a transaction. The wrapper is Lua because C may not raise
 * when a task goes on, and because what a task raises in C is a text. */
static int open_all(lua_State *L)
{
    static const char wrapper[] = "local all = ...\n"
                                  "local function guarded(f)\n"
                                  "  if type(f) ~= 'function' then error('fastr.all: a list of functions is needed', 3) end\n"
                                  "  return function() return xpcall(f, fastr.traceback) end\n"
                                  "end\n"
                                  "return function(functions)\n"
                                  "  local branches = {}\n"
                                  "  for i, f in ipairs(functions) do branches[i] = guarded(f) end\n"
                                  "  local results, message = all(branches)\n"
                                  "  if not results then error(message, 0) end\n"
                                  "  for i, result in ipairs(results) do\n"
                                  "    if not result[1] then error(result[2], 0) end\n"
                                  "    results[i] = { n = result.n - 1, unpack(result, 2, result.n) }\n"
                                  "  end\n"
                                  "  return results\n"
                                  "end";
    if (luaL_loadbuffer(L, wrapper, sizeof wrapper - 1, "=fastr.all"))
        return lua_error(L);
    lua_pushcfunction(L, fastr_task_all);
    lua_call(L, 1, 1);
    return 1;
}

const struct fastr_binding fastr_binding_all = {.name = "all", .open = open_all};
