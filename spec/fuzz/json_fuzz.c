/* json_fuzz.c: any bytes into the JSON decoder (libFuzzer). Beyond not crashing it promises: what is taken prints
 * again, the print is taken and prints the same, and an independent reader (cJSON) finds the same value in both; what
 * is refused has a message and leaves Lua's stack alone. */
#include <cJSON.h>
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct fastr_buffer print_value(lua_State *L, const char *text, size_t length)
{
    struct fastr_buffer out = {0};
    struct fastr_err err;
    require(fastr_json_push(L, text, length, NULL, &err) == 0);
    require(lua_gettop(L) == 1);
    require(fastr_json_encode(L, 1, true, &out, &err) == 0);
    require(lua_gettop(L) == 1);
    lua_settop(L, 0);
    return out;
}

static void compare_with_other_reader(const char *text, size_t length, const struct fastr_buffer *printed)
{
    cJSON *before = cJSON_ParseWithLength(text, length);
    cJSON *after = cJSON_ParseWithLength(printed->data, printed->length);
    require(before && after && cJSON_Compare(before, after, true));
    cJSON_Delete(before);
    cJSON_Delete(after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lua_State *L;
    struct fastr_err err = {0};
    const char *text = (const char *)data;
    if (!L)
        L = luaL_newstate();
    if (fastr_json_push(L, text, size, NULL, &err) != 0) {
        require(err.code[0] && err.text[0] && lua_gettop(L) == 0);
        return 0;
    }
    lua_settop(L, 0);
    struct fastr_buffer once = print_value(L, text, size);
    struct fastr_buffer twice = print_value(L, once.data, once.length);
    require(once.length == twice.length && memcmp(once.data, twice.data, once.length) == 0);
    compare_with_other_reader(text, size, &once);
    fastr_buffer_free(&once);
    fastr_buffer_free(&twice);
    return 0;
}
