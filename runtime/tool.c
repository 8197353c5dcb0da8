/* tool.c: see tool.h. */
#include "runtime/tool.h"

#include <event2/event.h>
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/control.h"
#include "runtime/internal.h"
#include "runtime/json.h"
#include "runtime/lines.h"
#include "runtime/program.h"
#include "runtime/slots.h"
#include "runtime/state.h"
#include "runtime/stream.h"
#include "runtime/task.h"

/* ---- the state ---- */

/* control(name, command [, var]) -> reply as a table; or nil, message, code. `var`: another instance's folder. Blocks: tools
 * only. */
static int l_control(lua_State *L)
{
    struct fastr_err err;
    char *reply = fastr_control_ask(luaL_optstring(L, 3, fastr_setting("var", "var")), luaL_checkstring(L, 1),
                                    luaL_checkstring(L, 2), 7000, &err);
    int rc = reply ? fastr_json_push(L, reply, strlen(reply), NULL, &err) : -1;
    free(reply);
    return rc ? fastr_push_error(L, err.code, "%s", err.text) : 1;
}

static void push_name(const char *name, void *data)
{
    lua_State *L = data;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

/* masters() -> list of the names of the masters that live. */
static int l_masters(lua_State *L)
{
    lua_newtable(L);
    fastr_control_each(fastr_setting("var", "var"), push_name, L);
    return 1;
}

static void add_path(lua_State *L)
{
    const char *scripts = fastr_setting("scripts", "scripts");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;./?.lua;%s", scripts, scripts, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 2);
}

static lua_State *tool_state(const struct fastr_bundle *bundle)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    add_path(L);
    fastr_state_open_fastr(L, bundle);
    lua_getglobal(L, "fastr");
    lua_pushcfunction(L, l_control);
    lua_setfield(L, -2, "control");
    lua_pushcfunction(L, l_masters);
    lua_setfield(L, -2, "masters");
    lua_pop(L, 1);
    return L;
}

static void *tool_build(const struct fastr_bundle *bundle, struct fastr_err *err)
{
    struct fastr_program *program = fastr_zalloc(sizeof *program);
    program->L = tool_state(bundle);
    program->idle = fastr_alloc(sizeof *program->idle * 256);
    lua_newtable(program->L);
    program->table = luaL_ref(program->L, LUA_REGISTRYINDEX);
    return program;
}

static void tool_free(void *built)
{
    struct fastr_program *program = built;
    lua_close(program->L);
    free(program->idle);
    free(program);
}

static const struct fastr_builder tool_builder = {.line = "scripts", .build = tool_build, .free = tool_free};

/* ---- the task ---- */

static struct event_base *base;
static int exit_code;

static void on_ended(struct fastr_task *task, lua_State *L, int results, const char *error, void *data)
{
    if (error)
        fprintf(stderr, "fastr: %s\n", error);
    if (error || (results > 0 && lua_isboolean(L, 1) && !lua_toboolean(L, 1)))
        exit_code = 1;
    else if (results > 0 && lua_isnumber(L, 1))
        exit_code = (int)lua_tointeger(L, 1);
    event_base_loopbreak(base);
}

static int start(bool bindings, struct fastr_err *err)
{
    signal(SIGPIPE, SIG_IGN);
    /* Tools that work on files alone need not say which servers are away. */
    fastr_log_setup("tool", fastr_setting("log.level", bindings ? "warn" : "error"));
    fastr_metrics_create();
    base = event_base_new();
    fastr_tasks_start(base, 10000);
    fastr_stream_start(base, 0);
    if (fastr_lines_open_private(&tool_builder, bindings, err))
        return -1;
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++)
        if (binding->start && binding->start(err))
            return -1;
    return 0;
}

static void push_arguments(lua_State *L, char **arguments, int count)
{
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, arguments[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

/* Loads `chunk` into the one task, gives it the arguments, and runs the loop until it has ended. */
static int run(const char *chunk, bool bindings, const char *module, char **arguments, int count)
{
    struct fastr_err err;
    if (start(bindings, &err)) {
        fprintf(stderr, "fastr: %s\n", err.text);
        return 1;
    }
    struct fastr_version *scripts = fastr_line_pin(fastr_line_at(0), &err);
    struct fastr_task *task = fastr_task_new(&(struct fastr_task_start){.scripts = scripts, .ended = on_ended});
    lua_State *L = fastr_task_lua(task);
    luaL_loadbuffer(L, chunk, strlen(chunk), "=fastr");
    lua_pushstring(L, module);
    push_arguments(L, arguments, count);
    fastr_task_run(task, 2);
    if (fastr_tasks_count() > 0)
        event_base_dispatch(base);
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++)
        if (binding->stop)
            binding->stop();
    fastr_versions_close(); /* what Lua holds is given back: the sanitizer's search for leaks does not see into LuaJIT's memory */
    fflush(stdout);
    return exit_code;
}

static const char call_main[] = "local module, arguments = ...\nreturn require(module).main(arguments)";

int fastr_tool_run(const char *module, char **arguments, int count)
{
    return run(call_main, true, module, arguments, count);
}

int fastr_tool_rules(char **arguments, int count)
{
    return run(call_main, false, "services.rules.tool", arguments, count);
}

int fastr_tool_spec(char **arguments, int count)
{
    /* busted's runner takes its arguments from `arg` and ends the process itself. */
    return run("local _, arguments = ...\narguments[0] = 'fastr spec'\n_G.arg = arguments\n"
               "require('busted.runner')({ standalone = false })",
               true, "spec", arguments, count);
}
