/* program.c: see program.h. */
#include "runtime/program.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/router.h"
#include "runtime/state.h"

enum { IDLE_MAX = 256 };

static char **services;
static int service_count;

void fastr_program_services(char **names, int count)
{
    services = names;
    service_count = count;
}

/* ---- reading the program's table ---- */

/* Pushes program[kind][index], or nothing and false. */
static bool push_entry(struct fastr_program *program, lua_State *L, const char *kind, int index)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, program->table);
    lua_getfield(L, -1, kind);
    lua_remove(L, -2);
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, index);
        lua_remove(L, -2);
    }
    if (lua_istable(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

int fastr_program_length(struct fastr_program *program, const char *kind)
{
    lua_State *L = program->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, program->table);
    lua_getfield(L, -1, kind);
    int length = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
    lua_pop(L, 2);
    return length;
}

const char *fastr_program_text(struct fastr_program *program, const char *kind, int index, const char *field)
{
    static char text[512];
    lua_State *L = program->L;
    text[0] = '\0';
    if (!push_entry(program, L, kind, index))
        return text;
    lua_getfield(L, -1, field);
    if (lua_isboolean(L, -1))
        snprintf(text, sizeof text, "%s", lua_toboolean(L, -1) ? "true" : "false");
    else if (lua_tostring(L, -1))
        snprintf(text, sizeof text, "%s", lua_tostring(L, -1));
    lua_pop(L, 2);
    return text;
}

bool fastr_program_push_handler(struct fastr_program *program, lua_State *L, const char *kind, int index)
{
    if (!push_entry(program, L, kind, index))
        return false;
    lua_getfield(L, -1, "handle");
    lua_remove(L, -2);
    if (lua_isfunction(L, -1))
        return true;
    lua_pop(L, 1);
    return false;
}

/* ---- building ---- */

static const char *field_text(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1); /* the entry still holds it */
    return text;
}

static lua_Integer field_integer(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    lua_Integer value = lua_tointeger(L, -1);
    lua_pop(L, 1);
    return value;
}

/* The route's table is on the top of the stack. */
static int read_route(struct fastr_program *program, lua_State *L, int index, struct fastr_err *err)
{
    const char *method = field_text(L, "method"), *path = field_text(L, "path");
    if (!method || !path)
        return fastr_fail(err, "invalid", "route %d needs a method and a path", index + 1);
    struct fastr_route *route = &program->routes[index];
    route->name = fastr_format("%s %s", method, path);
    route->timeout_ms = (uint32_t)field_integer(L, "timeout_ms");
    route->concurrency = (int)field_integer(L, "concurrency");
    route->body_bytes = (size_t)field_integer(L, "body_bytes");
    lua_getfield(L, -1, "handle");
    if (!lua_isfunction(L, -1)) {
        lua_pop(L, 1);
        return fastr_fail(err, "invalid", "route %s needs a function 'handle'", route->name);
    }
    route->handle = luaL_ref(L, LUA_REGISTRYINDEX);
    char *labels = fastr_format("route=\"%s\"", route->name);
    route->seconds = fastr_histogram("fastr_request_seconds", labels, "Time from a request's start to its reply.");
    route->failures = fastr_counter("fastr_request_failures_total", labels, "Requests answered with a 5xx status.");
    free(labels);
    return fastr_router_add(program->router, method, path, index, err);
}

static int read_routes(struct fastr_program *program, struct fastr_err *err)
{
    lua_State *L = program->L;
    program->router = fastr_router_new();
    int count = fastr_program_length(program, "routes"), rc = 0;
    program->routes = fastr_zalloc(sizeof *program->routes * (size_t)(count + 1));
    program->route_count = count;
    for (int i = 0; i < count && rc == 0; i++) {
        if (!push_entry(program, L, "routes", i + 1))
            return fastr_fail(err, "invalid", "route %d is not a table", i + 1);
        rc = read_route(program, L, i, err);
        lua_pop(L, 1);
    }
    return rc;
}

static int check_handlers(struct fastr_program *program, const char *kind, const char *key, struct fastr_err *err)
{
    int count = fastr_program_length(program, kind);
    for (int i = 1; i <= count; i++) {
        if (!*fastr_program_text(program, kind, i, key))
            return fastr_fail(err, "invalid", "%s[%d] needs a field '%s'", kind, i, key);
        if (!fastr_program_push_handler(program, program->L, kind, i))
            return fastr_fail(err, "invalid", "%s[%d] needs a function 'handle'", kind, i);
        lua_pop(program->L, 1);
    }
    return 0;
}

static int run_main(struct fastr_program *program, const struct fastr_bundle *bundle, struct fastr_err *err)
{
    lua_State *L = program->L;
    if (fastr_state_load(L, bundle, "main.lua", err))
        return -1;
    lua_newtable(L);
    for (int i = 0; i < service_count; i++) {
        lua_pushstring(L, services[i]);
        lua_rawseti(L, -2, i + 1);
    }
    if (fastr_state_call(L, 1, 1, err))
        return -1;
    if (!lua_istable(L, -1))
        return fastr_fail(err, "invalid", "main.lua must return the program, a table");
    program->table = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void program_free(void *built)
{
    struct fastr_program *program = built;
    for (int i = 0; i < program->route_count; i++)
        free(program->routes[i].name);
    free(program->routes);
    free(program->idle);
    if (program->router)
        fastr_router_free(program->router);
    lua_close(program->L);
    free(program);
}

static void *program_build(const struct fastr_bundle *bundle, struct fastr_err *err)
{
    struct fastr_program *program = fastr_zalloc(sizeof *program);
    program->L = fastr_state_new(bundle);
    program->idle = fastr_alloc(sizeof *program->idle * IDLE_MAX);
    if (run_main(program, bundle, err) == 0 && read_routes(program, err) == 0 &&
        check_handlers(program, "consumers", "topic", err) == 0 && check_handlers(program, "schedules", "name", err) == 0)
        return program;
    program_free(program);
    return NULL;
}

const struct fastr_builder fastr_program_builder = {.line = "scripts", .build = program_build, .free = program_free};

/* ---- coroutines ---- */

struct fastr_coroutine fastr_program_coroutine(struct fastr_program *program)
{
    if (program->idle_count > 0)
        return program->idle[--program->idle_count];
    struct fastr_coroutine coroutine = {.L = lua_newthread(program->L)};
    coroutine.reference = luaL_ref(program->L, LUA_REGISTRYINDEX);
    return coroutine;
}

void fastr_program_recycle(struct fastr_program *program, struct fastr_coroutine coroutine)
{
    lua_settop(coroutine.L, 0);
    if (program->idle_count < IDLE_MAX)
        program->idle[program->idle_count++] = coroutine;
    else
        fastr_program_drop(program, coroutine);
}

void fastr_program_drop(struct fastr_program *program, struct fastr_coroutine coroutine)
{
    luaL_unref(program->L, LUA_REGISTRYINDEX, coroutine.reference);
}
