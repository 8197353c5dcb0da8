/* text.c: fastr.text, what rules do with text instead of patterns. Pure; every function is linear in its input. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fastr.h"
#include "runtime/sandbox.h"

enum { LONG_TEXT = 1024 }; /* from here on the work on a text is charged to the rule, whose hooks do not see it */

struct slice {
    const char *data;
    size_t length;
};

static struct slice check_text(lua_State *L, int index) {
    struct slice text;
    if (lua_type(L, index) != LUA_TSTRING)
        luaL_error(L, "a text is expected, not a %s (argument %d)", luaL_typename(L, index), index);
    text.data = lua_tolstring(L, index, &text.length);
    if (text.length >= LONG_TEXT)
        fastr_sandbox_charge(L, (int64_t)text.length / 16);
    return text;
}

static int push_boolean(lua_State *L, bool value) {
    lua_pushboolean(L, value);
    return 1;
}

/* text.starts_with(text, prefix) -> boolean */
static int l_starts_with(lua_State *L) {
    struct slice text = check_text(L, 1), part = check_text(L, 2);
    return push_boolean(L, part.length <= text.length && memcmp(text.data, part.data, part.length) == 0);
}

/* text.ends_with(text, suffix) -> boolean */
static int l_ends_with(lua_State *L) {
    struct slice text = check_text(L, 1), part = check_text(L, 2);
    return push_boolean(L, part.length <= text.length &&
                               memcmp(text.data + text.length - part.length, part.data, part.length) == 0);
}

/* text.contains(text, part) -> boolean. memmem is linear (two-way). */
static int l_contains(lua_State *L) {
    struct slice text = check_text(L, 1), part = check_text(L, 2);
    return push_boolean(L, memmem(text.data, text.length, part.data, part.length) != NULL);
}

/* Does `text` begin with the literal at `part`, where '?' is any byte? */
static bool matches_here(const char *text, const char *part, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (part[i] != '?' && part[i] != text[i])
            return false;
    return true;
}

/* The first place at or after `from` where the piece matches; length if none. */
static size_t find_piece(struct slice text, size_t from, const char *piece, size_t length) {
    for (; from + length <= text.length; from++)
        if (matches_here(text.data + from, piece, length))
            return from;
    return text.length + 1;
}

/* Pieces between stars are found leftmost in order; the first is anchored to the start, the last to the end. Never goes
 * back, and a piece is at most 64 bytes, so the work is bounded by 64 x length. */
static bool glob(struct slice text, struct slice pattern) {
    const char *star = memchr(pattern.data, '*', pattern.length);
    size_t head = star ? (size_t)(star - pattern.data) : pattern.length;
    if (head > text.length || !matches_here(text.data, pattern.data, head))
        return false;
    if (!star)
        return head == text.length;
    size_t at = head, from = head;
    while (from < pattern.length) {
        const char *piece = pattern.data + from + 1, *end = pattern.data + pattern.length;
        const char *next = memchr(piece, '*', (size_t)(end - piece));
        size_t length = next ? (size_t)(next - piece) : (size_t)(end - piece);
        if (!next)
            return at + length <= text.length && matches_here(text.data + text.length - length, piece, length);
        at = find_piece(text, at, piece, length);
        if (at > text.length)
            return false;
        at += length;
        from += 1 + length;
    }
    return true;
}

/* The length of the longest piece. */
static size_t check_pieces(lua_State *L, struct slice pattern) {
    size_t run = 0, longest = 0;
    for (size_t i = 0; i < pattern.length; i++) {
        run = pattern.data[i] == '*' ? 0 : run + 1;
        longest = run > longest ? run : longest;
        if (run > 64)
            luaL_error(L, "a glob's piece between stars is at most 64 bytes");
    }
    return longest;
}

/* text.glob(text, pattern) -> boolean: '*' any run of bytes, '?' any one; pieces of at most 64 bytes, else raises */
static int l_glob(lua_State *L) {
    struct slice text = check_text(L, 1), pattern = check_text(L, 2);
    size_t longest = check_pieces(L, pattern);
    if (text.length >= LONG_TEXT)
        fastr_sandbox_charge(L, (int64_t)(text.length * longest / 16));
    return push_boolean(L, glob(text, pattern));
}

static int push_mapped(lua_State *L, char first, char last, int shift) {
    struct slice text = check_text(L, 1);
    luaL_Buffer buffer;
    luaL_buffinit(L, &buffer);
    for (size_t i = 0; i < text.length; i++)
        luaL_addchar(&buffer, (char)(text.data[i] >= first && text.data[i] <= last ? text.data[i] + shift : text.data[i]));
    luaL_pushresult(&buffer);
    return 1;
}

/* text.lower(text) -> ASCII letters lower, other bytes as they are, in any locale */
static int l_lower(lua_State *L) {
    return push_mapped(L, 'A', 'Z', 'a' - 'A');
}

/* text.upper(text) */
static int l_upper(lua_State *L) {
    return push_mapped(L, 'a', 'z', 'A' - 'a');
}

static bool blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* text.trim(text) -> without ASCII blanks at both ends */
static int l_trim(lua_State *L) {
    struct slice text = check_text(L, 1);
    while (text.length > 0 && blank(text.data[0]))
        text.data++, text.length--;
    while (text.length > 0 && blank(text.data[text.length - 1]))
        text.length--;
    lua_pushlstring(L, text.data, text.length);
    return 1;
}

/* text.split(text, separator) -> list of parts; "" gives {""}. The separator is a literal and not empty (else raises). */
static int l_split(lua_State *L) {
    struct slice text = check_text(L, 1), separator = check_text(L, 2);
    int count = 0;
    if (separator.length == 0)
        return luaL_error(L, "the separator is empty (argument 2)");
    lua_newtable(L);
    for (;;) {
        const char *hit = memmem(text.data, text.length, separator.data, separator.length);
        size_t length = hit ? (size_t)(hit - text.data) : text.length;
        lua_pushlstring(L, text.data, length);
        lua_rawseti(L, -2, ++count);
        if (!hit)
            return 1;
        text.data += length + separator.length;
        text.length -= length + separator.length;
    }
}

/* ---- timestamps ------------------------------------------------------------------------------------------------ */

static bool digits(const char **at, int count, int least, int most, int *out) {
    *out = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return *out >= least && *out <= most;
}

static bool skip(const char **at, const char *set) {
    if (!**at || !strchr(set, **at))
        return false;
    (*at)++;
    return true;
}

static int days_in(int year, int month) {
    static const char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

/* Days from 1970-01-01 to the civil date; years are counted from March so that the leap day is last. */
static int64_t days_from_civil(int year, int month, int day) {
    int64_t y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool parse_fraction(const char **at, int *ms) {
    int scale = 100, count = 0;
    *ms = 0;
    if (!skip(at, "."))
        return true;
    for (; **at >= '0' && **at <= '9'; (*at)++, count++, scale /= 10)
        *ms += (**at - '0') * scale;
    return count >= 1 && count <= 9;
}

static bool parse_offset(const char **at, int *minutes) {
    int hour, minute;
    *minutes = 0;
    if (skip(at, "Zz"))
        return true;
    int sign = **at == '-' ? -1 : 1;
    if (!skip(at, "+-") || !digits(at, 2, 0, 23, &hour) || !skip(at, ":") || !digits(at, 2, 0, 59, &minute))
        return false;
    *minutes = sign * (hour * 60 + minute);
    return true;
}

/* RFC 3339 section 5.6; a leap second counts as the next second. */
static bool parse_time(const char *at, int64_t *ms) {
    int year, month, day, hour, minute, second, milli, offset;
    if (!digits(&at, 4, 1, 9999, &year) || !skip(&at, "-") || !digits(&at, 2, 1, 12, &month) || !skip(&at, "-") ||
        !digits(&at, 2, 1, days_in(year, month), &day) || !skip(&at, "Tt ") || !digits(&at, 2, 0, 23, &hour) ||
        !skip(&at, ":") || !digits(&at, 2, 0, 59, &minute) || !skip(&at, ":") || !digits(&at, 2, 0, 60, &second) ||
        !parse_fraction(&at, &milli) || !parse_offset(&at, &offset) || *at)
        return false;
    int64_t minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset;
    *ms = (minutes * 60 + second) * 1000 + milli;
    return true;
}

/* text.time(text) -> milliseconds since 1970 of an RFC 3339 date-time ("2026-11-27T12:00:00Z"; fractions below a
 * millisecond are cut). Returns nil, message, "invalid" for any other text. */
static int l_time(lua_State *L) {
    struct slice text = check_text(L, 1);
    int64_t ms = 0;
    if (!parse_time(text.data, &ms))
        return fastr_push_error(L, "invalid", "'%.100s' is not a date-time such as 2026-11-27T12:00:00Z", text.data);
    lua_pushnumber(L, (double)ms);
    return 1;
}

static const luaL_Reg functions[] = {
    {"starts_with", l_starts_with}, {"ends_with", l_ends_with}, {"contains", l_contains}, {"glob", l_glob},
    {"lower", l_lower},             {"upper", l_upper},         {"trim", l_trim},         {"split", l_split},
    {"time", l_time},               {NULL, NULL},
};

static int open_text(lua_State *L) {
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_text = {.name = "text", .open = open_text, .pure = true};
