/* metrics.c: fastr.metrics: counters, gauges and histograms that /metrics sums over the workers. Never waits. */
#include <lauxlib.h>

#include "runtime/fastr.h"

static const char type_name[] = "fastr.metric";

static struct fastr_metric *check_metric(lua_State *L)
{
    return *(struct fastr_metric **)luaL_checkudata(L, 1, type_name);
}

/* counter|gauge|histogram(name, labels, help): `labels` is the inside of the braces, "" for none. Name and labels are at
 * most 159 bytes. Keep the object: making one takes a lock. */
static int make(lua_State *L, struct fastr_metric *(*maker)(const char *, const char *, const char *))
{
    struct fastr_metric **metric = lua_newuserdata(L, sizeof *metric);
    *metric = maker(luaL_checkstring(L, 1), luaL_optstring(L, 2, ""), luaL_optstring(L, 3, ""));
    luaL_getmetatable(L, type_name);
    lua_setmetatable(L, -2);
    return 1;
}

static int l_counter(lua_State *L)
{
    return make(L, fastr_counter);
}

static int l_gauge(lua_State *L)
{
    return make(L, fastr_gauge);
}

static int l_histogram(lua_State *L)
{
    return make(L, fastr_histogram);
}

static int l_add(lua_State *L)
{
    fastr_metric_add(check_metric(L), luaL_optnumber(L, 2, 1));
    return 0;
}

static int l_set(lua_State *L)
{
    fastr_metric_set(check_metric(L), luaL_checknumber(L, 2));
    return 0;
}

static int l_observe(lua_State *L)
{
    fastr_metric_observe(check_metric(L), luaL_checknumber(L, 2));
    return 0;
}

static const luaL_Reg methods[] = {{"add", l_add}, {"set", l_set}, {"observe", l_observe}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"counter", l_counter}, {"gauge", l_gauge}, {"histogram", l_histogram}, {NULL, NULL}};

static int open_metrics(lua_State *L)
{
    if (luaL_newmetatable(L, type_name)) {
        lua_newtable(L);
        luaL_register(L, NULL, methods);
        lua_setfield(L, -2, "__index");
    }
    lua_pop(L, 1);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_metrics = {.name = "metrics", .open = open_metrics};
