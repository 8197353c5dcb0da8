/* json.h: JSON between bytes and Lua values; the one codec for HTTP bodies, jsonb columns, events and calls.
 *
 * Decoding is a strict one-pass validator (RFC 8259: grammar, UTF-8, depth, duplicate keys, no U+0000, integers within
 * 2^53 - 1) that leaves a tape of tokens, from which the Lua values are made. Integers print exactly, keys of
 * `canonical` are sorted.
 *
 * Lua values: null <-> json.null (a light userdata, NULL), arrays carry the metatable registered as FASTR_JSON_ARRAY
 * (so that [] survives), objects are plain tables. */
#ifndef FASTR_JSON_H
#define FASTR_JSON_H

#include "runtime/fastr.h"

#define FASTR_JSON_ARRAY "fastr.json.array"

struct fastr_json_limits {
    int depth;    /* 0: 64; at most 512 */
    size_t bytes; /* 0: 16 MiB */
};

/* 0 if `text` is valid; else -1 with `err` saying what and at which line and column. */
int fastr_json_check(const char *text, size_t length, const struct fastr_json_limits *limits, struct fastr_err *err);
/* Validates, then pushes the value on L; 0, or -1 with nothing pushed. `limits` may be NULL. */
int fastr_json_push(lua_State *L, const char *text, size_t length, const struct fastr_json_limits *limits,
                    struct fastr_err *err);
/* What was read, in order: a token for each value and key, containers followed by their members (a key before each value of
 * an object). */
enum fastr_json_kind { FASTR_JSON_NULL, FASTR_JSON_FALSE, FASTR_JSON_TRUE, FASTR_JSON_NUMBER, FASTR_JSON_STRING,
                       FASTR_JSON_LIST, FASTR_JSON_OBJECT };
struct fastr_json_token {
    uint32_t kind;
    uint32_t count; /* bytes of a string, members of a container */
    union {
        double number;
        const char *text; /* not NUL-terminated; in the input, or kept with the tape if it held escapes */
    };
};
/* Validates; the tape of the value, good until the next call that reads JSON, and while `text` is. NULL with `err`. */
const struct fastr_json_token *fastr_json_tape(const char *text, size_t length, const struct fastr_json_limits *limits,
                                               struct fastr_err *err);
/* Appends the JSON of the value at `index`; -1 (buffer unchanged) for what JSON has no form for, with its path:
 * functions, NaN, infinities, mixed tables, cycles (depth 64). A table without array metatable: keys 1..n make an
 * array, an empty one an object. Integral numbers within 2^53 print as integers, others with 17 digits at most. */
int fastr_json_encode(lua_State *L, int index, bool canonical, struct fastr_buffer *out, struct fastr_err *err);
/* Appends `text` with quotes and escapes. Never fails: bytes that are not UTF-8 become U+FFFD. */
void fastr_json_string(struct fastr_buffer *out, const char *text, size_t length);
/* Appends a finite number. */
void fastr_json_double(struct fastr_buffer *out, double value);
/* Marks the table on the top as a list, so that an empty one is [] in JSON; in a state without lists' metatable it stays
 * as it is. */
void fastr_json_mark_array(lua_State *L);
/* Bytes of the well-formed UTF-8 sequence at `text` (RFC 3629: shortest form, no surrogates, up to U+10FFFF), 1 to 4;
 * 0 if there is none. `text` must be before `end`. */
size_t fastr_utf8_length(const char *text, const char *end);

#endif
