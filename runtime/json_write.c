/* json_write.c: Lua values to JSON text, exact: what is printed reads back as the same value, or is refused with its
 * path. */
#include "runtime/json.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DEPTH 64
#define MOST_INTEGER 9007199254740991.0 /* 2^53 - 1 */

/* Where the writer is; frames on the C stack, for the path of an error. */
struct frame {
    const struct frame *parent;
    const char *key; /* NULL: a list's `index` */
    size_t key_length;
    uint32_t index;
};

struct writer {
    lua_State *L;
    struct fastr_buffer *out;
    struct fastr_err *err;
    bool canonical;
    int depth;     /* levels left */
    int metatable; /* stack index of the array metatable */
};

static int write_value(struct writer *w, int index, const struct frame *frame);

static void add_path(struct fastr_buffer *path, const struct frame *frame)
{
    if (!frame)
        return;
    add_path(path, frame->parent);
    if (path->length > 240)
        return;
    if (!frame->key)
        fastr_buffer_format(path, "[%u]", frame->index);
    else
        fastr_buffer_format(path, "%s%.*s", path->length ? "." : "",
                            frame->key_length > 60 ? 60 : (int)frame->key_length, frame->key);
}

static int fail_path(struct writer *w, const struct frame *frame, const char *what)
{
    struct fastr_buffer path = {0};
    add_path(&path, frame);
    fastr_fail(w->err, "invalid", "%s%s%s has no form in JSON", path.length ? path.data : "",
               path.length ? ": " : "", what);
    fastr_buffer_free(&path);
    return -1;
}

/* 1: needs a look (quote, backslash, control character, above ASCII). */
static const unsigned char special[256] = {
    [0 ... 0x1F] = 1, ['"'] = 1, ['\\'] = 1, [0x80 ... 0xFF] = 1,
};

static void add_byte(struct fastr_buffer *out, char byte)
{
    *fastr_buffer_reserve(out, 1) = byte;
    out->data[++out->length] = '\0';
}

static void write_escape(struct fastr_buffer *out, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt";
    const char *found = c ? strchr(from, c) : NULL;
    if (found)
        fastr_buffer_add(out, (char[]){'\\', into[found - from]}, 2);
    else
        fastr_buffer_format(out, "\\u%04x", c);
}

/* The inside of a string. What is not UTF-8 ends it (strict: returns -1) or becomes U+FFFD; strict also refuses NUL,
 * which no reader of ours takes. */
static int write_text(struct fastr_buffer *out, const char *text, size_t length, bool strict)
{
    const char *end = text + length, *begin = text;
    while (text < end) {
        size_t step = special[(unsigned char)*text] ? fastr_utf8_length(text, end) : 1;
        if (step == 0 || (step == 1 && special[(unsigned char)*text])) {
            if (strict && (step == 0 || *text == '\0'))
                return -1;
            fastr_buffer_add(out, begin, (size_t)(text - begin));
            if (step == 0)
                fastr_buffer_add(out, "\xEF\xBF\xBD", 3);
            else
                write_escape(out, (unsigned char)*text);
            begin = text + 1;
        }
        text += step ? step : 1;
    }
    fastr_buffer_add(out, begin, (size_t)(end - begin));
    return 0;
}

/* Appends `text` as a JSON string, quotes included. Never fails: bytes that are not UTF-8 become U+FFFD. */
void fastr_json_string(struct fastr_buffer *out, const char *text, size_t length)
{
    add_byte(out, '"');
    write_text(out, text, length, false);
    add_byte(out, '"');
}

static int write_string(struct writer *w, const char *text, size_t length, const struct frame *frame)
{
    add_byte(w->out, '"');
    if (write_text(w->out, text, length, true) != 0)
        return fail_path(w, frame, "text that is not UTF-8, or holds a zero byte,");
    add_byte(w->out, '"');
    return 0;
}

static void write_integer(struct fastr_buffer *out, int64_t value)
{
    char digits[24], *p = digits + sizeof digits;
    uint64_t left = value < 0 ? (uint64_t)-value : (uint64_t)value;
    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        *--p = '-';
    fastr_buffer_add(out, p, (size_t)(digits + sizeof digits - p));
}

/* The fewest digits that read back as the same double; ".0" marks what would look like an integer that we refuse. */
static void write_double(struct fastr_buffer *out, double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fastr_buffer_text(out, text);
    if (!strpbrk(text, ".e"))
        fastr_buffer_text(out, ".0");
}

void fastr_json_mark_array(lua_State *L)
{
    luaL_getmetatable(L, FASTR_JSON_ARRAY);
    if (lua_istable(L, -1))
        lua_setmetatable(L, -2);
    else
        lua_pop(L, 1);
}

void fastr_json_double(struct fastr_buffer *out, double value)
{
    if (fabs(value) <= MOST_INTEGER && value == (double)(int64_t)value)
        write_integer(out, (int64_t)value);
    else
        write_double(out, value);
}

static int write_number(struct writer *w, double value, const struct frame *frame)
{
    if (!isfinite(value))
        return fail_path(w, frame, isnan(value) ? "a number that is not one (NaN)" : "an infinite number");
    fastr_json_double(w->out, value);
    return 0;
}

/* Number of members if the keys of the table are 1..n, else -1. */
static int64_t list_length(lua_State *L, int index)
{
    int64_t count = 0;
    double most = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        double key = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
        if (key < 1 || key != floor(key) || key > UINT32_MAX) {
            lua_pop(L, 1);
            return -1;
        }
        most = key > most ? key : most;
        count++;
    }
    return (double)count == most ? count : -1;
}

static int write_list(struct writer *w, int index, const struct frame *parent)
{
    struct frame frame = {.parent = parent};
    int64_t count = list_length(w->L, index);
    if (count < 0)
        return fail_path(w, parent, "a list with gaps or with other keys than 1..n");
    add_byte(w->out, '[');
    for (int64_t i = 1; i <= count; i++) {
        if (i > 1)
            add_byte(w->out, ',');
        frame.index = (uint32_t)i;
        lua_rawgeti(w->L, index, (int)i);
        if (write_value(w, index + 1, &frame) != 0)
            return -1;
        lua_pop(w->L, 1);
    }
    add_byte(w->out, ']');
    return 0;
}

/* "key": with the comma before it. The key is at `index` and is a string. */
static int write_key(struct writer *w, struct frame *frame, int index, bool first)
{
    if (lua_type(w->L, index) != LUA_TSTRING)
        return fail_path(w, frame->parent, "a table with keys that are not all text");
    frame->key = lua_tolstring(w->L, index, &frame->key_length);
    if (!first)
        add_byte(w->out, ',');
    if (write_string(w, frame->key, frame->key_length, frame->parent) != 0)
        return -1;
    add_byte(w->out, ':');
    return 0;
}

static int write_object(struct writer *w, int index, const struct frame *parent)
{
    struct frame frame = {.parent = parent};
    add_byte(w->out, '{');
    bool first = true;
    lua_pushnil(w->L);
    while (lua_next(w->L, index)) {
        if (write_key(w, &frame, index + 1, first) != 0 || write_value(w, index + 2, &frame) != 0)
            return -1;
        lua_pop(w->L, 1);
        first = false;
    }
    add_byte(w->out, '}');
    return 0;
}

struct sorted_key {
    const char *text;
    size_t length;
};

static int compare_keys(const void *a, const void *b)
{
    const struct sorted_key *left = a, *right = b;
    size_t common = left->length < right->length ? left->length : right->length;
    int order = memcmp(left->text, right->text, common);
    return order ? order : (left->length > right->length) - (left->length < right->length);
}

/* The keys of the table, sorted bytewise, in `keys`; -1 if one is not text. The table keeps the texts alive. */
static int sort_keys(struct writer *w, int index, struct fastr_buffer *keys)
{
    lua_pushnil(w->L);
    while (lua_next(w->L, index)) {
        struct sorted_key key;
        lua_pop(w->L, 1);
        if (lua_type(w->L, -1) != LUA_TSTRING)
            return -1;
        key.text = lua_tolstring(w->L, -1, &key.length);
        fastr_buffer_add(keys, &key, sizeof key);
    }
    if (keys->length)
        qsort(keys->data, keys->length / sizeof(struct sorted_key), sizeof(struct sorted_key), compare_keys);
    return 0;
}

static int write_sorted(struct writer *w, int index, const struct frame *parent)
{
    struct frame frame = {.parent = parent};
    struct fastr_buffer keys = {0};
    int result = sort_keys(w, index, &keys);
    if (result != 0)
        fail_path(w, parent, "a table with keys that are not all text");
    const struct sorted_key *key = (const void *)keys.data;
    size_t count = keys.length / sizeof *key;
    add_byte(w->out, '{');
    for (size_t i = 0; result == 0 && i < count; i++) {
        lua_pushlstring(w->L, key[i].text, key[i].length);
        result = write_key(w, &frame, index + 1, i == 0);
        lua_pushvalue(w->L, -1);
        lua_rawget(w->L, index);
        if (result == 0)
            result = write_value(w, index + 2, &frame);
        if (result == 0)
            lua_pop(w->L, 2);
    }
    add_byte(w->out, '}');
    fastr_buffer_free(&keys);
    return result;
}

static bool is_marked(struct writer *w, int index)
{
    if (!lua_getmetatable(w->L, index))
        return false;
    bool marked = lua_rawequal(w->L, -1, w->metatable);
    lua_pop(w->L, 1);
    return marked;
}

static bool starts_with_number(lua_State *L, int index)
{
    lua_pushnil(L);
    if (!lua_next(L, index))
        return false;
    bool number = lua_type(L, -2) == LUA_TNUMBER;
    lua_pop(L, 2);
    return number;
}

static int write_table(struct writer *w, int index, const struct frame *frame)
{
    int result;
    if (w->depth-- == 0)
        return fail_path(w, frame, "a table in itself, or more than 64 levels,");
    if (is_marked(w, index) || starts_with_number(w->L, index))
        result = write_list(w, index, frame);
    else
        result = w->canonical ? write_sorted(w, index, frame) : write_object(w, index, frame);
    w->depth++;
    return result;
}

/* The value at the top of the stack, whose index is `index`. */
static int write_value(struct writer *w, int index, const struct frame *frame)
{
    const char *text;
    size_t length;
    switch (lua_type(w->L, index)) {
    case LUA_TSTRING:
        text = lua_tolstring(w->L, index, &length);
        return write_string(w, text, length, frame);
    case LUA_TNUMBER: return write_number(w, lua_tonumber(w->L, index), frame);
    case LUA_TBOOLEAN: fastr_buffer_text(w->out, lua_toboolean(w->L, index) ? "true" : "false"); return 0;
    case LUA_TTABLE: return write_table(w, index, frame);
    case LUA_TNIL: fastr_buffer_text(w->out, "null"); return 0;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(w->L, index)) {
            fastr_buffer_text(w->out, "null");
            return 0;
        }
    }
    char what[40];
    snprintf(what, sizeof what, "a %s", luaL_typename(w->L, index));
    return fail_path(w, frame, what);
}

/* Appends the JSON of the value at `index` to `out`, which the caller owns. `canonical`: keys sorted bytewise, so that
 * equal values give equal bytes. Returns 0, or -1 with `out` as it was and `err` naming the path ("lines[2].price: a
 * function has no form in JSON"). The Lua stack is as it was, either way. */
int fastr_json_encode(lua_State *L, int index, bool canonical, struct fastr_buffer *out, struct fastr_err *err)
{
    int top = lua_gettop(L);
    size_t before = out->length;
    luaL_checkstack(L, 4 * MOST_DEPTH + 8, "JSON");
    lua_pushvalue(L, index);
    luaL_newmetatable(L, FASTR_JSON_ARRAY);
    lua_insert(L, -2);
    struct writer w = {.L = L, .out = out, .err = err, .canonical = canonical, .depth = MOST_DEPTH,
                       .metatable = top + 1};
    int result = write_value(&w, top + 2, NULL);
    if (result != 0) {
        out->length = before;
        if (out->data)
            out->data[before] = '\0';
    }
    lua_settop(L, top);
    return result;
}
