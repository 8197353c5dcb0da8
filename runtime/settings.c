/* settings.c: conf/fastr.lua, flattened to "a.b" = text; the environment (FASTR_A_B) wins over the file.
 *
 * The file runs in an empty environment: it is data. A list becomes its items joined with ';'. Lookups are rare
 * (at start), so a sorted array is not worth its code. */
#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

enum { SETTINGS_MAX = 256 };

static struct setting {
    char *path, *value;
} settings[SETTINGS_MAX];
static int count;

static int keep(const char *path, const char *value, struct fastr_err *err)
{
    if (count == SETTINGS_MAX)
        return fastr_fail(err, "invalid", "more than %d settings, at %s", SETTINGS_MAX, path);
    settings[count++] = (struct setting){fastr_strdup(path), fastr_strdup(value)};
    return 0;
}

static int flatten(lua_State *L, const char *prefix, struct fastr_err *err);

static int flatten_list(lua_State *L, const char *path, struct fastr_err *err)
{
    struct fastr_buffer joined = {0};
    size_t n = lua_objlen(L, -1);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, (int)i);
        const char *item = lua_tostring(L, -1);
        if (item)
            fastr_buffer_format(&joined, "%s%s", i > 1 ? ";" : "", item);
        lua_pop(L, 1);
        if (!item) {
            fastr_buffer_free(&joined);
            return fastr_fail(err, "invalid", "setting %s[%zu] must be a text or a number", path, i);
        }
    }
    int rc = keep(path, joined.data, err);
    fastr_buffer_free(&joined);
    return rc;
}

/* The value is on the top of the stack. */
static int flatten_value(lua_State *L, const char *path, struct fastr_err *err)
{
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN:
        return keep(path, lua_toboolean(L, -1) ? "true" : "false", err);
    case LUA_TNUMBER: {
        char text[32];
        snprintf(text, sizeof text, "%.14g", lua_tonumber(L, -1));
        return keep(path, text, err);
    }
    case LUA_TSTRING:
        return keep(path, lua_tostring(L, -1), err);
    case LUA_TTABLE:
        return lua_objlen(L, -1) > 0 ? flatten_list(L, path, err) : flatten(L, path, err);
    default:
        return fastr_fail(err, "invalid", "setting %s is a %s: use a text, a number, true or false, or a table", path,
                          luaL_typename(L, -1));
    }
}

static int flatten(lua_State *L, const char *prefix, struct fastr_err *err)
{
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return fastr_fail(err, "invalid", "setting %s has a key that is not a name", prefix);
        char *path = fastr_format("%s%s%s", prefix, *prefix ? "." : "", lua_tostring(L, -2));
        int rc = flatten_value(L, path, err);
        free(path);
        if (rc)
            return rc;
        lua_pop(L, 1);
    }
    return 0;
}

int fastr_settings_load(const char *path, struct fastr_err *err)
{
    lua_State *L = luaL_newstate();
    int rc = 0;
    if (luaL_loadfile(L, path)) {
        rc = fastr_fail(err, "invalid", "cannot read the settings: %s", lua_tostring(L, -1));
    } else {
        lua_newtable(L);
        lua_setfenv(L, -2);
        if (lua_pcall(L, 0, 1, 0))
            rc = fastr_fail(err, "invalid", "cannot read the settings: %s", lua_tostring(L, -1));
        else if (!lua_istable(L, -1))
            rc = fastr_fail(err, "invalid", "%s must return a table of settings", path);
        else
            rc = flatten(L, "", err);
    }
    lua_close(L);
    return rc;
}

/* "pg.primary" -> $FASTR_PG_PRIMARY */
static const char *from_environment(const char *path)
{
    char name[96] = "FASTR_";
    size_t n = strlen(name);
    for (; *path && n < sizeof name - 1; path++)
        name[n++] = *path == '.' ? '_' : (*path >= 'a' && *path <= 'z') ? (char)(*path - 32) : *path;
    name[n] = '\0';
    return getenv(name);
}

const char *fastr_setting(const char *path, const char *otherwise)
{
    const char *value = from_environment(path);
    if (value)
        return value;
    for (int i = 0; i < count; i++)
        if (!strcmp(settings[i].path, path))
            return settings[i].value;
    return otherwise;
}

int64_t fastr_setting_int(const char *path, int64_t otherwise, int64_t least, int64_t most)
{
    const char *text = fastr_setting(path, NULL);
    if (!text)
        return otherwise;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end || end == text || errno || value < least || value > most) {
        fprintf(stderr, "fastr: setting %s is \"%s\": a whole number from %lld to %lld is needed\n", path, text,
                (long long)least, (long long)most);
        exit(2);
    }
    return value;
}
