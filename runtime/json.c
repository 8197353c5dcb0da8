/* json.c: JSON text to Lua values (RFC 8259), strict. The way back is json_write.c.
 *
 *        bytes --read_value--> tape --push_value--> Lua values
 *
 * One pass over the bytes checks everything that can be wrong and writes a tape: one token of 16 bytes for each value
 * and key, in order, containers with their number of members. The second step walks the tape; it cannot fail, and it
 * makes every table in its final size. Refused, with line and column: what the grammar forbids, malformed UTF-8 and
 * lone surrogates, U+0000, a byte order mark, duplicate keys, too much depth or size, integers beyond 2^53 - 1 (a
 * double would change them silently), numbers beyond a double.
 *
 * Single-threaded: the tape and the arena are kept between calls. */
#include "runtime/json.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DEFAULT_DEPTH 64
#define MOST_DEPTH 512 /* the C stack's share: about 100 bytes a level */
#define DEFAULT_BYTES (16u << 20)
#define MOST_BYTES (1u << 30)
#define NUMBER_BYTES 64
#define MOST_INTEGER 9007199254740991u
#define KEPT_TOKENS 65536 /* a larger tape is given back after use */

struct reader {
    const char *start, *at, *end;
    struct fastr_json_token *tape;
    size_t count, capacity;
    uint32_t *keys; /* tape positions of the keys of all open objects, innermost last */
    size_t key_count, key_capacity;
    int depth; /* levels left */
    struct fastr_arena *arena;
    struct fastr_err *err;
};

static struct reader kept;

/* ---- errors --------------------------------------------------------------------------------------------------- */

static int fail_at(struct reader *r, const char *where, const char *what)
{
    int line = 1, column = 1;
    for (const char *p = r->start; p < where; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++;
        }
    }
    return fastr_fail(r->err, "invalid", "line %d, column %d: %s", line, column, what);
}

/* "expected X, found Y" at the reading position. */
static int fail_expected(struct reader *r, const char *expected)
{
    char what[128];
    if (r->at >= r->end)
        snprintf(what, sizeof what, "expected %s, found the end", expected);
    else if (*r->at > ' ' && *r->at < 127)
        snprintf(what, sizeof what, "expected %s, found '%c'", expected, *r->at);
    else
        snprintf(what, sizeof what, "expected %s, found byte 0x%02x", expected, (unsigned char)*r->at);
    return fail_at(r, r->at, what);
}

/* ---- the tape ------------------------------------------------------------------------------------------------- */

static struct fastr_json_token *add_token(struct reader *r, enum fastr_json_kind kind)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 256;
        r->tape = fastr_realloc(r->tape, r->capacity * sizeof *r->tape);
    }
    struct fastr_json_token *token = &r->tape[r->count++];
    token->kind = kind;
    token->count = 0;
    return token;
}

static void add_key(struct reader *r, size_t position)
{
    if (r->key_count == r->key_capacity) {
        r->key_capacity = r->key_capacity ? r->key_capacity * 2 : 256;
        r->keys = fastr_realloc(r->keys, r->key_capacity * sizeof *r->keys);
    }
    r->keys[r->key_count++] = (uint32_t)position;
}

/* ---- strings -------------------------------------------------------------------------------------------------- */

size_t fastr_utf8_length(const char *text, const char *end)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4 || left < 2)
        return 0;
    unsigned char low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : 0xBF;
    if (s[1] < low || s[1] > high)
        return 0;
    size_t length = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (left < length)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u at `p`; -1 if they are not. */
static int read_hex4(const char *p, const char *end)
{
    int code = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        code = code << 4 | digit;
    }
    return code;
}

static char *write_utf8(char *to, unsigned code)
{
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    if (code < 0x800) {
        *to++ = (char)(0xC0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *to++ = (char)(0xE0 | code >> 12);
        } else {
            *to++ = (char)(0xF0 | code >> 18);
            *to++ = (char)(0x80 | (code >> 12 & 0x3F));
        }
        *to++ = (char)(0x80 | (code >> 6 & 0x3F));
    }
    *to++ = (char)(0x80 | (code & 0x3F));
    return to;
}

/* \uXXXX, or two of them that make a surrogate pair, at r->at; writes UTF-8, never longer than the escape. */
static char *read_unicode(struct reader *r, char *to)
{
    const char *escape = r->at;
    int code = read_hex4(escape + 2, r->end);
    r->at = escape + 6;
    if (code < 0)
        return fail_at(r, escape, "\\u needs four hexadecimal digits"), NULL;
    if (code == 0)
        return fail_at(r, escape, "\\u0000 is not allowed in a string"), NULL;
    if (code < 0xD800 || code > 0xDFFF)
        return write_utf8(to, (unsigned)code);
    int low = -1;
    if (code < 0xDC00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u')
        low = read_hex4(r->at + 2, r->end);
    if (low < 0xDC00 || low > 0xDFFF)
        return fail_at(r, escape, "half a surrogate pair"), NULL;
    r->at += 6;
    return write_utf8(to, 0x10000u + (((unsigned)code - 0xD800) << 10) + ((unsigned)low - 0xDC00));
}

static char *read_escape(struct reader *r, char *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char letter = r->end - r->at > 1 ? r->at[1] : '\0';
    if (letter == 'u')
        return read_unicode(r, to);
    const char *found = letter ? strchr(from, letter) : NULL;
    if (!found)
        return fail_at(r, r->at, "unknown escape; allowed are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX"), NULL;
    *to++ = into[found - from];
    r->at += 2;
    return to;
}

/* 1: needs a look (quote, backslash, control character, above ASCII). */
static const unsigned char special[256] = {
    [0 ... 0x1F] = 1, ['"'] = 1, ['\\'] = 1, [0x80 ... 0xFF] = 1,
};

/* Moves over plain characters up to a quote or backslash; -1 after an error. */
static int skip_plain(struct reader *r)
{
    const char *p = r->at;
    for (;;) {
        while (p < r->end && !special[(unsigned char)*p])
            p++;
        r->at = p;
        if (p >= r->end)
            return fail_expected(r, "the string's closing quote");
        if (*p == '"' || *p == '\\')
            return 0;
        if ((unsigned char)*p < 0x20)
            return fail_at(r, p, "raw control character in a string; escape it");
        size_t length = fastr_utf8_length(p, r->end);
        if (length == 0)
            return fail_at(r, p, "malformed UTF-8");
        p += length;
    }
}

/* The rest of a string that holds escapes, decoded into the arena: from its first byte `begin`; r->at is at the first
 * backslash. */
static int read_escaped(struct reader *r, const char *begin, struct fastr_json_token *token)
{
    const char *close = r->at; /* room for the raw length is enough: decoding only shrinks */
    while (close < r->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    char *text = fastr_arena_alloc(r->arena, (size_t)(close - begin) + 1), *to = text;
    for (;;) {
        memcpy(to, begin, (size_t)(r->at - begin));
        to += r->at - begin;
        if (*r->at == '"')
            break;
        to = read_escape(r, to);
        if (!to)
            return -1;
        begin = r->at;
        if (skip_plain(r) != 0)
            return -1;
    }
    token->text = text;
    token->count = (uint32_t)(to - text);
    return 0;
}

static int read_string(struct reader *r)
{
    struct fastr_json_token *token = add_token(r, FASTR_JSON_STRING);
    const char *begin = ++r->at;
    if (skip_plain(r) != 0)
        return -1;
    token->text = begin;
    token->count = (uint32_t)(r->at - begin);
    if (*r->at == '\\' && read_escaped(r, begin, token) != 0)
        return -1;
    r->at++;
    return 0;
}

/* ---- numbers -------------------------------------------------------------------------------------------------- */

static bool at_digit(const struct reader *r)
{
    return r->at < r->end && *r->at >= '0' && *r->at <= '9';
}

static int read_digits(struct reader *r)
{
    if (!at_digit(r))
        return fail_expected(r, "a digit");
    while (at_digit(r))
        r->at++;
    return 0;
}

/* Fraction and exponent, if there are any; 1 if there were, -1 after an error. */
static int read_fraction(struct reader *r)
{
    const char *before = r->at;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (read_digits(r) != 0)
            return -1;
    }
    if (r->at < r->end && (*r->at | 0x20) == 'e') {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (read_digits(r) != 0)
            return -1;
    }
    return r->at > before;
}

static int read_integer(struct reader *r, const char *begin, const char *first, double *number)
{
    uint64_t value = 0;
    if (r->at - first > 16)
        return fail_at(r, begin, "integer beyond 2^53 - 1; send it as a string");
    for (const char *p = first; p < r->at; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    if (value > MOST_INTEGER)
        return fail_at(r, begin, "integer beyond 2^53 - 1; send it as a string");
    *number = *begin == '-' ? -(double)value : (double)value;
    return 0;
}

static int read_double(struct reader *r, const char *begin, double *number)
{
    char text[NUMBER_BYTES + 1];
    size_t length = (size_t)(r->at - begin);
    if (length > NUMBER_BYTES)
        return fail_at(r, begin, "number of more than 64 characters");
    memcpy(text, begin, length);
    text[length] = '\0';
    *number = strtod(text, NULL);
    return isinf(*number) ? fail_at(r, begin, "number too large for a double") : 0;
}

static int read_number(struct reader *r)
{
    const char *begin = r->at;
    if (*r->at == '-')
        r->at++;
    const char *first = r->at;
    if (read_digits(r) != 0)
        return -1;
    if (*first == '0' && r->at - first > 1)
        return fail_at(r, begin, "a number must not begin with 0");
    int fraction = read_fraction(r);
    if (fraction < 0)
        return -1;
    struct fastr_json_token *token = add_token(r, FASTR_JSON_NUMBER);
    return fraction ? read_double(r, begin, &token->number) : read_integer(r, begin, first, &token->number);
}

/* ---- duplicate keys ------------------------------------------------------------------------------------------- */

static bool same_key(const struct fastr_json_token *a, const struct fastr_json_token *b)
{
    return a->count == b->count && memcmp(a->text, b->text, a->count) == 0;
}

/* Keyed, so that nobody outside can choose keys that collide. */
static uint64_t hash_key(const struct fastr_json_token *key)
{
    static uint64_t secret[2];
    if (!secret[0] && getrandom(secret, sizeof secret, 0) != sizeof secret)
        abort();
    uint64_t hash = secret[0] ^ key->count;
    for (uint32_t i = 0; i < key->count; i += 8) {
        uint64_t word = 0;
        memcpy(&word, key->text + i, key->count - i < 8 ? key->count - i : 8);
        __uint128_t product = (__uint128_t)(hash ^ word) * (secret[1] | 1);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return hash;
}

static const struct fastr_json_token *find_duplicate_few(const struct reader *r, const uint32_t *keys, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (same_key(&r->tape[keys[i]], &r->tape[keys[j]]))
                return &r->tape[keys[i]];
    return NULL;
}

/* Open addressing, at most half full; a slot holds a key's number from 1. */
static const struct fastr_json_token *find_duplicate_many(const struct reader *r, const uint32_t *keys, size_t count)
{
    const struct fastr_json_token *duplicate = NULL;
    size_t size = 64;
    while (size < count * 2)
        size *= 2;
    uint32_t *slots = fastr_zalloc(size * sizeof *slots);
    for (size_t i = 0; i < count && !duplicate; i++) {
        const struct fastr_json_token *key = &r->tape[keys[i]];
        size_t slot = hash_key(key) & (size - 1);
        for (; slots[slot] && !duplicate; slot = (slot + 1) & (size - 1))
            if (same_key(key, &r->tape[keys[slots[slot] - 1]]))
                duplicate = key;
        slots[slot] = (uint32_t)(i + 1);
    }
    free(slots);
    return duplicate;
}

/* Refuses an object that says a key twice: readers would disagree about which value counts (RFC 8259, section 4).
 * Its keys are those from `first` on; takes them off the list. */
static int close_keys(struct reader *r, size_t first, const char *object)
{
    const uint32_t *keys = r->keys + first;
    size_t count = r->key_count - first;
    const struct fastr_json_token *duplicate =
        count <= 16 ? find_duplicate_few(r, keys, count) : find_duplicate_many(r, keys, count);
    r->key_count = first;
    if (!duplicate)
        return 0;
    char what[96];
    int shown = duplicate->count > 40 ? 40 : (int)duplicate->count;
    while (shown > 0 && shown < (int)duplicate->count && ((unsigned char)duplicate->text[shown] & 0xC0) == 0x80)
        shown--;
    snprintf(what, sizeof what, "duplicate key \"%.*s\"", shown, duplicate->text);
    bool escaped = duplicate->text < r->start || duplicate->text >= r->end;
    return fail_at(r, escaped ? object : duplicate->text - 1, what);
}

/* ---- values --------------------------------------------------------------------------------------------------- */

static int read_value(struct reader *r);

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

/* After a member of a container: 1 at a comma (moved past), 0 at `close` (moved past), -1 for anything else. */
static int read_separator(struct reader *r, char close, const char *expected)
{
    skip_space(r);
    if (r->at < r->end && *r->at == ',') {
        r->at++;
        skip_space(r);
        return 1;
    }
    if (r->at < r->end && *r->at == close) {
        r->at++;
        return 0;
    }
    return fail_expected(r, expected);
}

static int read_array(struct reader *r)
{
    size_t position = r->count;
    uint32_t count = 0;
    int more = 1;
    add_token(r, FASTR_JSON_LIST);
    r->at++;
    skip_space(r);
    if (r->at < r->end && *r->at == ']') {
        r->at++;
        return 0;
    }
    while (more == 1) {
        if (read_value(r) != 0)
            return -1;
        count++;
        more = read_separator(r, ']', "',' or ']'");
    }
    r->tape[position].count = count;
    return more;
}

static int read_member(struct reader *r)
{
    if (r->at >= r->end || *r->at != '"')
        return fail_expected(r, "a key in quotes");
    add_key(r, r->count);
    if (read_string(r) != 0)
        return -1;
    skip_space(r);
    if (r->at >= r->end || *r->at != ':')
        return fail_expected(r, "':' after the key");
    r->at++;
    skip_space(r);
    return read_value(r);
}

static int read_object(struct reader *r)
{
    const char *object = r->at;
    size_t position = r->count, first = r->key_count;
    int more = 1;
    add_token(r, FASTR_JSON_OBJECT);
    r->at++;
    skip_space(r);
    if (r->at < r->end && *r->at == '}') {
        r->at++;
        return 0;
    }
    while (more == 1) {
        if (read_member(r) != 0)
            return -1;
        more = read_separator(r, '}', "',' or '}'");
    }
    r->tape[position].count = (uint32_t)(r->key_count - first);
    return more == 0 ? close_keys(r, first, object) : -1;
}

static int read_container(struct reader *r)
{
    if (r->depth-- == 0)
        return fail_at(r, r->at, "nested too deeply");
    int result = *r->at == '[' ? read_array(r) : read_object(r);
    r->depth++;
    return result;
}

static int read_word(struct reader *r, const char *word, enum fastr_json_kind kind)
{
    size_t length = strlen(word);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        return fail_expected(r, "a value");
    r->at += length;
    add_token(r, kind);
    return 0;
}

/* The value at the reading position, blanks before it skipped already. */
static int read_value(struct reader *r)
{
    switch (r->at < r->end ? *r->at : '\0') {
    case '"': return read_string(r);
    case '{':
    case '[': return read_container(r);
    case 't': return read_word(r, "true", FASTR_JSON_TRUE);
    case 'f': return read_word(r, "false", FASTR_JSON_FALSE);
    case 'n': return read_word(r, "null", FASTR_JSON_NULL);
    case '-':
    case '0' ... '9': return read_number(r);
    default: return fail_expected(r, "a value");
    }
}

static void begin_reading(struct reader *r, const char *text, size_t length, int depth, struct fastr_err *err)
{
    if (r->capacity > KEPT_TOKENS) {
        free(r->tape);
        free(r->keys);
        fastr_arena_free(r->arena);
        memset(r, 0, sizeof *r);
    }
    if (!r->arena)
        r->arena = fastr_arena_new();
    fastr_arena_reset(r->arena);
    r->start = r->at = text;
    r->end = text + length;
    r->count = r->key_count = 0;
    r->depth = depth;
    r->err = err;
}

/* Fills the kept reader's tape with the value of `text`. */
static int read_text(const char *text, size_t length, const struct fastr_json_limits *limits, struct fastr_err *err)
{
    struct reader *r = &kept;
    int depth = limits && limits->depth ? limits->depth : DEFAULT_DEPTH;
    size_t bytes = limits && limits->bytes ? limits->bytes : DEFAULT_BYTES;
    if (length > bytes || length > MOST_BYTES)
        return fastr_fail(err, "invalid", "%zu bytes of JSON, %zu are allowed", length, bytes);
    begin_reading(r, text, length, depth < MOST_DEPTH ? depth : MOST_DEPTH, err);
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return fail_at(r, text, "a byte order mark is not allowed");
    skip_space(r);
    if (read_value(r) != 0)
        return -1;
    skip_space(r);
    return r->at == r->end ? 0 : fail_expected(r, "the end");
}

/* Checks `text` against RFC 8259 and the limits of this file's head.
 * `limits`: depth in containers (0: 64; at most 512) and size in bytes (0: 16 MiB); may be NULL.
 * Returns 0, or -1 with `err` (code "invalid", text "line L, column C: what"; columns count characters). */
int fastr_json_check(const char *text, size_t length, const struct fastr_json_limits *limits, struct fastr_err *err)
{
    return read_text(text, length, limits, err);
}

const struct fastr_json_token *fastr_json_tape(const char *text, size_t length, const struct fastr_json_limits *limits,
                                               struct fastr_err *err)
{
    return read_text(text, length, limits, err) == 0 ? kept.tape : NULL;
}

/* ---- tape to Lua ---------------------------------------------------------------------------------------------- */

/* Pushes the value at *token and moves past it. The array metatable is at stack index `metatable`. */
static const struct fastr_json_token *push_value(lua_State *L, const struct fastr_json_token *token, int metatable)
{
    uint32_t count = token->count;
    switch ((enum fastr_json_kind)token->kind) {
    case FASTR_JSON_NULL: lua_pushlightuserdata(L, NULL); return token + 1;
    case FASTR_JSON_FALSE: lua_pushboolean(L, 0); return token + 1;
    case FASTR_JSON_TRUE: lua_pushboolean(L, 1); return token + 1;
    case FASTR_JSON_NUMBER: lua_pushnumber(L, token->number); return token + 1;
    case FASTR_JSON_STRING: lua_pushlstring(L, token->text, count); return token + 1;
    case FASTR_JSON_LIST:
        lua_createtable(L, (int)count, 0);
        lua_pushvalue(L, metatable);
        lua_setmetatable(L, -2);
        token++;
        for (uint32_t i = 1; i <= count; i++) {
            token = push_value(L, token, metatable);
            lua_rawseti(L, -2, (int)i);
        }
        return token;
    case FASTR_JSON_OBJECT:
        lua_createtable(L, 0, (int)count);
        token++;
        for (uint32_t i = 0; i < count; i++) {
            lua_pushlstring(L, token->text, token->count);
            token = push_value(L, token + 1, metatable);
            lua_rawset(L, -3);
        }
    }
    return token;
}

/* As fastr_json_check, then pushes the value on L. The Lua values own copies: `text` may go at once.
 * Raises only for Lua's own want of memory. */
int fastr_json_push(lua_State *L, const char *text, size_t length, const struct fastr_json_limits *limits,
                    struct fastr_err *err)
{
    int depth = limits && limits->depth ? limits->depth : DEFAULT_DEPTH;
    if (read_text(text, length, limits, err) != 0)
        return -1;
    luaL_checkstack(L, 3 * (depth < MOST_DEPTH ? depth : MOST_DEPTH) + 3, "JSON");
    luaL_newmetatable(L, FASTR_JSON_ARRAY);
    push_value(L, kept.tape, lua_gettop(L));
    lua_remove(L, -2);
    return 0;
}
