/* pg_value.c: Lua values as parameters, results as Lua values.
 *
 * Parameters travel as text and the server infers their types, so that an integer meets an integer column as one (a
 * numeric would miss its index). Results: int2, int4, int8 within 2^53, float, bool and json become native values;
 * timestamptz becomes RFC 3339 UTC with milliseconds; all else stays PostgreSQL's text; NULL is an absent field. */
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/pg.h"
#include "runtime/json.h"

#define TYPE_TEXT "fastr.pg.text" /* a userdata that holds the text of a json or array parameter */

/* Stable type numbers of pg_type.dat. */
enum {
    OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_OID = 26, OID_JSON = 114,
    OID_FLOAT4 = 700, OID_FLOAT8 = 701, OID_TIMESTAMPTZ = 1184, OID_JSONB = 3802,
};

static const double EXACT = 9007199254740992.0; /* 2^53 */

/* ---- parameters ---------------------------------------------------------------------------------------------- */

static bool is_null(lua_State *L, int index)
{
    return lua_isnil(L, index) || (lua_islightuserdata(L, index) && !lua_touserdata(L, index));
}

static void add_number(struct fastr_buffer *out, double number)
{
    if (number == floor(number) && fabs(number) <= EXACT)
        fastr_buffer_format(out, "%lld", (long long)number);
    else if (isnan(number))
        fastr_buffer_text(out, "NaN");
    else if (isinf(number))
        fastr_buffer_text(out, number > 0 ? "Infinity" : "-Infinity");
    else
        fastr_buffer_format(out, "%.17g", number);
}

/* True if the value at `index` is a pg.json or pg.array. */
static bool is_made_text(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, TYPE_TEXT);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* Adds the text of the scalar at `index`; false, adding nothing, if it is none. */
static bool add_value(lua_State *L, int index, struct fastr_buffer *out)
{
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        fastr_buffer_text(out, lua_toboolean(L, index) ? "t" : "f");
        return true;
    case LUA_TNUMBER:
        add_number(out, lua_tonumber(L, index));
        return true;
    case LUA_TSTRING: {
        size_t length;
        const char *text = lua_tolstring(L, index, &length);
        fastr_buffer_add(out, text, length);
        return true;
    }
    case LUA_TUSERDATA:
        if (!is_made_text(L, index))
            return false;
        fastr_buffer_add(out, lua_touserdata(L, index), lua_objlen(L, index));
        return true;
    default:
        return false;
    }
}

void pg_check_parameters(lua_State *L, int sql)
{
    luaL_checktype(L, sql, LUA_TSTRING);
    int last = lua_gettop(L);
    if (last - sql > PG_PARAMETERS_MAX)
        luaL_error(L, "pg: %d parameters, at most %d are taken: pass lists with pg.array", last - sql,
                   PG_PARAMETERS_MAX);
    for (int i = sql + 1; i <= last; i++) {
        int type = lua_type(L, i);
        if (type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING && !is_null(L, i) && !is_made_text(L, i))
            luaL_argerror(L, i, "a text, number, boolean, nil, pg.json or pg.array is needed");
    }
}

int pg_parameters(lua_State *L, int sql, struct pg_op *op, struct fastr_err *err)
{
    int count = lua_gettop(L) - sql;
    struct fastr_buffer out = {0};
    size_t *at = fastr_arena_alloc(fastr_task_arena(op->task), (size_t)(count + 1) * sizeof *at);
    fastr_buffer_add(&out, lua_tostring(L, sql), lua_objlen(L, sql) + 1);
    for (int i = 1; i <= count; i++) {
        at[i] = out.length;
        add_value(L, sql + i, &out);
        if (memchr(out.data + at[i], 0, out.length - at[i])) {
            fastr_buffer_free(&out);
            return fastr_fail(err, "22021", "parameter %d has a zero byte: PostgreSQL's text cannot hold one", i);
        }
        fastr_buffer_add(&out, "", 1);
    }
    op->sql = op->text = out.data;
    op->value_count = count;
    op->values = fastr_alloc((size_t)(count + 1) * sizeof *op->values);
    for (int i = 1; i <= count; i++)
        op->values[i - 1] = is_null(L, sql + i) ? NULL : op->text + at[i];
    return 0;
}

static int push_text(lua_State *L, struct fastr_buffer *out)
{
    memcpy(lua_newuserdata(L, out->length), out->data, out->length);
    luaL_getmetatable(L, TYPE_TEXT);
    lua_setmetatable(L, -2);
    fastr_buffer_free(out);
    return 1;
}

/* pg.json(value) -> a parameter for a json or jsonb column. Any value that JSON has a form for; raises otherwise. */
int pg_value_json(lua_State *L)
{
    luaL_checkany(L, 1);
    struct fastr_buffer out = {0};
    struct fastr_err err;
    if (fastr_json_encode(L, 1, false, &out, &err)) {
        fastr_buffer_free(&out);
        return luaL_error(L, "pg.json: %s", err.text);
    }
    return push_text(L, &out);
}

/* Quotes one element of an array literal. */
static void add_quoted(struct fastr_buffer *out, const char *text, size_t length)
{
    fastr_buffer_add(out, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\')
            fastr_buffer_add(out, "\\", 1);
        fastr_buffer_add(out, text + i, 1);
    }
    fastr_buffer_add(out, "\"", 1);
}

/* pg.array(list) -> a parameter for an array column or `= any($1)`. Elements: texts, numbers, booleans, json.null and
 * pg.json. Raises for other types. */
int pg_value_array(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    struct fastr_buffer out = {0}, element = {0};
    size_t count = lua_objlen(L, 1);
    fastr_buffer_add(&out, "{", 1);
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, (int)i);
        element.length = 0;
        if (i > 1)
            fastr_buffer_add(&out, ",", 1);
        if (is_null(L, -1)) {
            fastr_buffer_text(&out, "NULL");
        } else if (add_value(L, lua_gettop(L), &element)) {
            add_quoted(&out, element.data ? element.data : "", element.length);
        } else {
            fastr_buffer_free(&out);
            fastr_buffer_free(&element);
            return luaL_error(L, "pg.array: element %d is a %s", (int)i, luaL_typename(L, -1));
        }
        lua_pop(L, 1);
    }
    fastr_buffer_add(&out, "}", 1);
    fastr_buffer_free(&element);
    return push_text(L, &out);
}

void pg_value_register(lua_State *L)
{
    luaL_newmetatable(L, TYPE_TEXT);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

/* ---- rows ----------------------------------------------------------------------------------------------------- */

/* "2026-11-23 09:24:55.123456+00" -> "2026-11-23T09:24:55.123Z"; infinities, years beyond 9999 and BC stay as they
 * are. Sessions run in UTC with DateStyle ISO. */
static void push_time(lua_State *L, const char *text, size_t length)
{
    char out[] = "0000-00-00T00:00:00.000Z";
    bool plain = length >= 22 && text[4] == '-' && text[10] == ' ' && !strcmp(text + length - 3, "+00");
    if (!plain) {
        lua_pushlstring(L, text, length);
        return;
    }
    memcpy(out, text, 10);
    memcpy(out + 11, text + 11, 8);
    for (size_t i = 0; i < 3 && text[19] == '.' && 20 + i < length - 3; i++)
        out[20 + i] = text[20 + i];
    lua_pushlstring(L, out, sizeof out - 1);
}

static void push_integer(lua_State *L, const char *text, size_t length)
{
    double value = strtod(text, NULL);
    if (fabs(value) < EXACT)
        lua_pushnumber(L, value);
    else
        lua_pushlstring(L, text, length);
}

static void push_value(lua_State *L, Oid type, const char *text, size_t length)
{
    switch (type) {
    case OID_BOOL:
        lua_pushboolean(L, *text == 't');
        break;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
        push_integer(L, text, length);
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
        lua_pushnumber(L, strtod(text, NULL));
        break;
    case OID_JSON:
    case OID_JSONB:
        /* What our strict reader refuses (a number beyond 2^53, say) is still handed over, as text. */
        if (fastr_json_push(L, text, length, NULL, NULL))
            lua_pushlstring(L, text, length);
        break;
    case OID_TIMESTAMPTZ:
        push_time(L, text, length);
        break;
    default:
        lua_pushlstring(L, text, length);
    }
}

static void push_row(lua_State *L, const PGresult *result, int row, int names, int columns)
{
    lua_createtable(L, 0, columns);
    for (int column = 0; column < columns; column++) {
        if (PQgetisnull(result, row, column))
            continue;
        lua_pushvalue(L, names + column);
        push_value(L, PQftype(result, column), PQgetvalue(result, row, column),
                   (size_t)PQgetlength(result, row, column));
        lua_rawset(L, -3);
    }
}

void pg_push_rows(lua_State *L, const PGresult *result)
{
    int columns = result ? PQnfields(result) : 0, rows = result ? PQntuples(result) : 0;
    luaL_checkstack(L, columns + 16, "too many columns");
    int names = lua_gettop(L) + 1;
    for (int column = 0; column < columns; column++)
        lua_pushstring(L, PQfname(result, column));
    lua_createtable(L, rows, 1);
    for (int row = 0; row < rows; row++) {
        push_row(L, result, row, names, columns);
        lua_rawseti(L, -2, row + 1);
    }
    lua_pushnumber(L, result ? strtod(PQcmdTuples((PGresult *)result), NULL) : 0);
    lua_setfield(L, -2, "affected");
    lua_insert(L, names);
    lua_settop(L, names);
}
