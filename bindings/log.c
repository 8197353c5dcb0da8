/* log.c: fastr.log: one JSON line an event, with fields of its own. Never waits. */
#include <lauxlib.h>
#include <string.h>

#include "runtime/fastr.h"
#include "runtime/json.h"

/* info(message [, fields]): `fields` is a plain table; what JSON has no form for is left out with its reason. */
static int write_line(lua_State *L, enum fastr_level level)
{
    const char *message = luaL_checkstring(L, 1);
    struct fastr_buffer fields = {0};
    struct fastr_err err;
    if (lua_istable(L, 2) && fastr_json_encode(L, 2, false, &fields, &err))
        fastr_buffer_format(&fields, "{\"fields_error\":\"not JSON\"}");
    if (fields.length > 2 && fields.data[0] == '{') { /* the inside of the object */
        fields.data[fields.length - 1] = '\0';
        fastr_log_fields(level, message, fields.data + 1);
    } else {
        fastr_log_fields(level, message, NULL);
    }
    fastr_buffer_free(&fields);
    return 0;
}

static int l_debug(lua_State *L)
{
    return write_line(L, FASTR_DEBUG);
}

static int l_info(lua_State *L)
{
    return write_line(L, FASTR_INFO);
}

static int l_warn(lua_State *L)
{
    return write_line(L, FASTR_WARN);
}

static int l_error(lua_State *L)
{
    return write_line(L, FASTR_ERROR);
}

static const luaL_Reg functions[] = {{"debug", l_debug}, {"info", l_info}, {"warn", l_warn}, {"error", l_error}, {NULL, NULL}};

static int open_log(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_log = {.name = "log", .open = open_log};
