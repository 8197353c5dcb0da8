/* setting.c: fastr.setting and fastr.secret: settings, and files of VAR/secrets. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fastr.h"

/* setting(path [, otherwise]) -> text; a list is joined with ';'. */
static int l_setting(lua_State *L)
{
    const char *value = fastr_setting(luaL_checkstring(L, 1), NULL);
    if (value)
        lua_pushstring(L, value);
    else
        lua_settop(L, 2);
    return 1;
}

static int open_setting(lua_State *L)
{
    lua_pushcfunction(L, l_setting);
    return 1;
}

const struct fastr_binding fastr_binding_setting = {.name = "setting", .open = open_setting};

/* secret(name) -> the text of VAR/secrets/NAME without its last line end, at most 64 KiB; or nil, message,
 * "unavailable". Raises for a name with a '/' or a leading '.'. It reads a small local file each time: keep the value
 * only as long as a rotation may take to be seen. */
static int l_secret(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    luaL_argcheck(L, *name && *name != '.' && !strchr(name, '/'), 1, "a plain file name is needed");
    char *path = fastr_format("%s/secrets/%s", fastr_setting("var", "var"), name);
    FILE *file = fopen(path, "re");
    free(path);
    if (!file)
        return fastr_push_error(L, "unavailable", "cannot read the secret '%s': %s", name, strerror(errno));
    static char text[65536];
    size_t length = fread(text, 1, sizeof text, file);
    fclose(file);
    if (length > 0 && text[length - 1] == '\n')
        length--;
    lua_pushlstring(L, text, length);
    memset(text, 0, sizeof text);
    return 1;
}

static int open_secret(lua_State *L)
{
    lua_pushcfunction(L, l_secret);
    return 1;
}

const struct fastr_binding fastr_binding_secret = {.name = "secret", .open = open_secret};
