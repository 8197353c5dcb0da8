/* json_test.c: promises of runtime/json.c. Tables of texts: what is taken, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cJSON.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"

static lua_State *L;
static struct fastr_err err;

static int open_state(void **state)
{
    L = luaL_newstate();
    luaL_openlibs(L);
    return 0;
}

static int close_state(void **state)
{
    lua_close(L);
    return 0;
}

/* The JSON of the Lua expression `source`, canonical; the caller frees it. NULL after an error. */
static char *encode(const char *source)
{
    char program[512];
    struct fastr_buffer out = {0};
    snprintf(program, sizeof program, "local null, huge = ..., math.huge; return %s", source);
    assert_int_equal(luaL_loadstring(L, program), 0);
    lua_pushlightuserdata(L, NULL);
    assert_int_equal(lua_pcall(L, 1, 1, 0), 0);
    int top = lua_gettop(L), result = fastr_json_encode(L, -1, true, &out, &err);
    assert_int_equal(lua_gettop(L), top);
    lua_pop(L, 1);
    if (result != 0)
        assert_int_equal(out.length, 0);
    if (result != 0)
        fastr_buffer_free(&out);
    return out.data;
}

/* ---- decoding ---- */

static void it_takes_what_the_grammar_allows(void **state)
{
    static const char *const texts[][2] = {
        {"null", "null"},
        {" \t\r\n true \n", "true"},
        {"false", "false"},
        {"0", "0"},
        {"-0", "0"},
        {"9007199254740991", "9007199254740991"},
        {"-9007199254740991", "-9007199254740991"},
        {"1.5", "1.5"},
        {"1.0", "1"},
        {"1e3", "1000"},
        {"1E-2", "0.01"},
        {"-2.5e+3", "-2500"},
        {"1e-400", "0"},
        {"1e300", "1e+300"},
        {"\"\"", "\"\""},
        {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "\"a\\\"\\\\/\\b\\f\\n\\r\\tz\""},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "\"A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\x7F\"", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\x7F\""},
        {"\"\\u001f\"", "\"\\u001f\""},
        {"[]", "[]"},
        {"{}", "{}"},
        {"[ 1 , [ ] , { } ]", "[1,[],{}]"},
        {"[null]", "[null]"},
        {"{ \"b\" : 1 , \"a\" : { \"\" : [ ] } }", "{\"a\":{\"\":[]},\"b\":1}"},
        {"{\"a\":null,\"A\":1}", "{\"A\":1,\"a\":null}"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct fastr_buffer out = {0};
        if (fastr_json_push(L, texts[i][0], strlen(texts[i][0]), NULL, &err) != 0)
            fail_msg("%s: %s", texts[i][0], err.text);
        assert_int_equal(lua_gettop(L), 1);
        assert_int_equal(fastr_json_encode(L, 1, true, &out, &err), 0);
        assert_string_equal(out.data, texts[i][1]);
        fastr_buffer_free(&out);
        lua_settop(L, 0);
    }
}

struct refusal {
    const char *text, *words;
};

static void refuse(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fastr_json_push(L, cases[i].text, strlen(cases[i].text), NULL, &err) == 0)
            fail_msg("taken: %s", cases[i].text);
        assert_int_equal(lua_gettop(L), 0);
        assert_string_equal(err.code, "invalid");
        if (!strstr(err.text, cases[i].words))
            fail_msg("%s: '%s' lacks '%s'", cases[i].text, err.text, cases[i].words);
    }
}
#define REFUSE(cases) refuse(cases, sizeof cases / sizeof *cases)

static void it_refuses_what_the_grammar_forbids_and_says_where(void **state)
{
    static const struct refusal cases[] = {
        {"", "line 1, column 1: expected a value, found the end"},
        {"  ", "line 1, column 3: expected a value, found the end"},
        {"nul", "expected a value, found 'n'"},
        {"True", "found 'T'"},
        {"NaN", "found 'N'"},
        {"'a'", "found '''"},
        {"[1,]", "line 1, column 4: expected a value, found ']'"},
        {"[1 2]", "line 1, column 4: expected ',' or ']', found '2'"},
        {"[1", "expected ',' or ']', found the end"},
        {"[", "expected a value, found the end"},
        {"]", "expected a value, found ']'"},
        {"{\"a\":1,}", "column 8: expected a key in quotes, found '}'"},
        {"{a:1}", "expected a key in quotes, found 'a'"},
        {"{\"a\" 1}", "expected ':' after the key, found '1'"},
        {"{\"a\":}", "expected a value, found '}'"},
        {"{\"a\":1", "expected ',' or '}', found the end"},
        {"{\n  \"a\": 1,\n  \"\xC3\xA9\": x\n}", "line 3, column 8: expected a value, found 'x'"},
        {"1 2", "expected the end, found '2'"},
        {"/* */1", "found '/'"},
        {"\xEF\xBB\xBF{}", "line 1, column 1: a byte order mark"},
        {"[1\xC2\xA0]", "found byte 0xc2"},
    };
    REFUSE(cases);
}

static void it_refuses_numbers_that_are_not_json_or_would_change(void **state)
{
    static const struct refusal cases[] = {
        {"01", "a number must not begin with 0"},
        {"-01", "a number must not begin with 0"},
        {"1.", "expected a digit, found the end"},
        {".5", "expected a value, found '.'"},
        {"+1", "expected a value, found '+'"},
        {"-", "expected a digit"},
        {"1e", "expected a digit"},
        {"1e+", "expected a digit"},
        {"1.e3", "expected a digit, found 'e'"},
        {"0x10", "expected the end, found 'x'"},
        {"9007199254740992", "integer beyond 2^53 - 1"},
        {"-9007199254740992", "integer beyond 2^53 - 1"},
        {"[1,123456789012345678901234567890]", "line 1, column 4: integer beyond 2^53 - 1"},
        {"1e309", "too large for a double"},
        {"-1e309", "too large for a double"},
        {"0.00000000000000000000000000000000000000000000000000000000000000001", "more than 64 characters"},
    };
    REFUSE(cases);
}

static void it_refuses_strings_that_are_not_text(void **state)
{
    static const struct refusal cases[] = {
        {"\"a", "expected the string's closing quote, found the end"},
        {"\"a\\", "unknown escape"},
        {"\"a\\\"", "closing quote"},
        {"\"a\nb\"", "line 1, column 3: raw control character"},
        {"\"\t\"", "raw control character"},
        {"\"\\x41\"", "unknown escape"},
        {"\"\\u12\"", "four hexadecimal digits"},
        {"\"\\u00g0\"", "four hexadecimal digits"},
        {"\"\\u0000\"", "\\u0000 is not allowed"},
        {"\"ab\\ud800\"", "line 1, column 4: half a surrogate pair"},
        {"\"\\udc00\"", "half a surrogate pair"},
        {"\"\\ud800\\u0041\"", "half a surrogate pair"},
        {"\"\\ud800\\ud800\"", "half a surrogate pair"},
        {"\"\xFF\"", "malformed UTF-8"},
        {"\"\x80\"", "malformed UTF-8"},
        {"\"\xC0\xAF\"", "malformed UTF-8"},
        {"\"\xE0\x80\xAF\"", "malformed UTF-8"},
        {"\"\xED\xA0\x80\"", "malformed UTF-8"},
        {"\"\xF0\x80\x80\x80\"", "malformed UTF-8"},
        {"\"\xF4\x90\x80\x80\"", "malformed UTF-8"},
        {"\"\xF5\x80\x80\x80\"", "malformed UTF-8"},
        {"\"\xE2\x82\"", "malformed UTF-8"},
        {"\"\xE2\x82", "malformed UTF-8"},
    };
    REFUSE(cases);
}

static void it_refuses_a_zero_byte_anywhere(void **state)
{
    assert_int_equal(fastr_json_check("1\0", 2, NULL, &err), -1);
    assert_non_null(strstr(err.text, "expected the end, found byte 0x00"));
    assert_int_equal(fastr_json_check("\"a\0\"", 4, NULL, &err), -1);
    assert_non_null(strstr(err.text, "raw control character"));
}

static void it_refuses_a_key_that_is_said_twice_however_it_is_written(void **state)
{
    static const struct refusal cases[] = {
        {"{\"a\":1,\"b\":2,\"a\":3}", "line 1, column 14: duplicate key \"a\""},
        {"{\"a\":1,\"\\u0061\":2}", "duplicate key \"a\""},
        {"{\"\":1,\"\":2}", "duplicate key \"\""},
        {"[{\"a\":{\"b\":1,\"c\":{},\"b\":2}}]", "duplicate key \"b\""},
        {"{\"a\":{\"a\":1},\"a\":2}", "duplicate key \"a\""},
    };
    REFUSE(cases);
    const char *nested = "{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}]}";
    assert_int_equal(fastr_json_check(nested, strlen(nested), NULL, &err), 0);
}

/* `count` keys of one letter and a number; with `again` (not 0), key number `again` comes once more at the end. */
static struct fastr_buffer many_keys(int count, int again)
{
    struct fastr_buffer text = {0};
    fastr_buffer_text(&text, "{");
    for (int i = 1; i <= count; i++)
        fastr_buffer_format(&text, "%s\"k%d\":%d", i > 1 ? "," : "", i, i);
    if (again)
        fastr_buffer_format(&text, ",\"k%d\":0", again);
    fastr_buffer_text(&text, "}");
    return text;
}

static void it_finds_duplicates_among_many_keys_in_linear_time(void **state)
{
    for (int count = 14; count < 70; count++) {
        struct fastr_buffer good = many_keys(count, 0), bad = many_keys(count, count / 2);
        assert_int_equal(fastr_json_check(good.data, good.length, NULL, &err), 0);
        assert_int_equal(fastr_json_check(bad.data, bad.length, NULL, &err), -1);
        fastr_buffer_free(&good);
        fastr_buffer_free(&bad);
    }
    struct fastr_buffer text = many_keys(300000, 0);
    uint64_t begin = fastr_clock_us();
    assert_int_equal(fastr_json_check(text.data, text.length, NULL, &err), 0);
    assert_true(fastr_clock_us() - begin < 2000000);
    fastr_buffer_free(&text);
}

static void it_keeps_to_the_limits_of_depth_and_size(void **state)
{
    char text[257];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_int_equal(fastr_json_push(L, text, 128, NULL, &err), 0);
    lua_settop(L, 0);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(fastr_json_check(text, 130, NULL, &err), -1);
    assert_string_equal(err.text, "line 1, column 65: nested too deeply");
    struct fastr_json_limits limits = {.depth = 2, .bytes = 10};
    assert_int_equal(fastr_json_check("[[1]]", 5, &limits, &err), 0);
    assert_int_equal(fastr_json_check("[[[]]]", 6, &limits, &err), -1);
    assert_int_equal(fastr_json_check("[[1,1,1,1]]", 11, &limits, &err), -1);
    assert_string_equal(err.text, "11 bytes of JSON, 10 are allowed");
}

static void it_goes_on_after_a_large_document(void **state)
{
    struct fastr_buffer text = {0};
    fastr_buffer_text(&text, "[\"\\n\"");
    for (int i = 0; i < 200000; i++)
        fastr_buffer_text(&text, ",\"\\u20ac\"");
    fastr_buffer_text(&text, "]");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fastr_json_push(L, text.data, text.length, NULL, &err), 0);
        assert_int_equal(lua_objlen(L, -1), 200001);
        lua_settop(L, 0);
        assert_int_equal(fastr_json_check("[1,{\"a\":\"\\n\"}]", 14, NULL, &err), 0);
    }
    fastr_buffer_free(&text);
}

/* Where cJSON also parses, both print the same: an independent reader agrees with ours. */
static void it_agrees_with_another_reader(void **state)
{
    const char *text = "{\"id\":\"x\",\"lines\":[{\"sku\":\"84077\",\"n\":12,\"p\":-0.5,\"t\":\"\\u20ac \\ud83d\\ude00\"},[],{}],"
                       "\"a\":[true,false,null,[1,[2,[3]]]]}";
    cJSON *theirs = cJSON_Parse(text);
    char *printed = cJSON_PrintUnformatted(theirs);
    struct fastr_buffer again = {0}, ours = {0};
    assert_int_equal(fastr_json_push(L, printed, strlen(printed), NULL, &err), 0);
    assert_int_equal(fastr_json_encode(L, 1, true, &again, &err), 0);
    assert_int_equal(fastr_json_push(L, text, strlen(text), NULL, &err), 0);
    assert_int_equal(fastr_json_encode(L, 2, true, &ours, &err), 0);
    assert_string_equal(ours.data, again.data);
    cJSON *reread = cJSON_Parse(ours.data);
    assert_true(cJSON_Compare(theirs, reread, true));
    cJSON_Delete(reread);
    cJSON_Delete(theirs);
    free(printed);
    fastr_buffer_free(&again);
    fastr_buffer_free(&ours);
    lua_settop(L, 0);
}

/* ---- encoding ---- */

static void it_prints_lua_values(void **state)
{
    static const char *const cases[][2] = {
        {"nil", "null"},
        {"null", "null"},
        {"true", "true"},
        {"12", "12"},
        {"-0.0", "0"},
        {"2^53 - 1", "9007199254740991"},
        {"-(2^53 - 1)", "-9007199254740991"},
        {"2^53", "9007199254740992.0"},
        {"2^63", "9.223372036854776e+18"},
        {"0.1", "0.1"},
        {"0.1 + 0.2", "0.30000000000000004"},
        {"1/3", "0.3333333333333333"},
        {"5e-324", "4.94065645841247e-324"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"'a\\\"b\\\\c/\\n\\1\\127'", "\"a\\\"b\\\\c/\\n\\u0001\x7F\""},
        {"{}", "{}"},
        {"{1, 'a', {}}", "[1,\"a\",{}]"},
        {"{[2] = 2, [1] = 1}", "[1,2]"},
        {"{b = 1, a = 2, ['a '] = 3, B = 4, [''] = 5}", "{\"\":5,\"B\":4,\"a\":2,\"a \":3,\"b\":1}"},
        {"{'\\195\\169'}", "[\"\xC3\xA9\"]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = encode(cases[i][0]);
        if (!text)
            fail_msg("%s: %s", cases[i][0], err.text);
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

static void it_names_the_path_of_what_it_cannot_print(void **state)
{
    static const struct refusal cases[] = {
        {"print", "a function has no form in JSON"},
        {"{lines = {{}, {price = print}}}", "lines[2].price: a function has no form"},
        {"{a = 0/0}", "a: a number that is not one (NaN)"},
        {"{a = {huge}}", "a[1]: an infinite number"},
        {"{1, 2, nil, 4}", "a list with gaps"},
        {"{a = {1, b = 2}}", "a: a list with gaps or with other keys"},
        {"{[1.5] = 1}", "a list with gaps"},
        {"{[0] = 1}", "a list with gaps"},
        {"{[1e9] = 1}", "a list with gaps"},
        {"{[true] = 1}", "keys that are not all text"},
        {"{a = {b = 1, [print] = 1}}", "a: a table with keys that are not all text"},
        {"{a = '\\255'}", "a: text that is not UTF-8"},
        {"{a = 'x\\0y'}", "zero byte"},
        {"{['\\255'] = 1}", "text that is not UTF-8"},
        {"(function() local t = {}; t.self = t; return t end)()", "self.self.self"},
        {"coroutine.create(print)", "a thread has no form"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = encode(cases[i].text);
        if (text)
            fail_msg("%s gave %s", cases[i].text, text);
        assert_string_equal(err.code, "invalid");
        if (!strstr(err.text, cases[i].words))
            fail_msg("%s: '%s' lacks '%s'", cases[i].text, err.text, cases[i].words);
    }
}

static void it_leaves_the_buffer_as_it_was_after_an_error(void **state)
{
    struct fastr_buffer out = {0};
    fastr_buffer_text(&out, "before");
    luaL_loadstring(L, "return {1, 2, print}");
    lua_call(L, 0, 1);
    assert_int_equal(fastr_json_encode(L, -1, false, &out, &err), -1);
    assert_string_equal(out.data, "before");
    assert_int_equal(lua_gettop(L), 1);
    lua_settop(L, 0);
    fastr_buffer_free(&out);
}

static void it_prints_any_double_so_that_it_reads_back_the_same(void **state)
{
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        struct fastr_buffer out = {0};
        double value;
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        memcpy(&value, &bits, sizeof value);
        if (value != value || value - value != 0)
            continue;
        lua_pushnumber(L, value);
        assert_int_equal(fastr_json_encode(L, 1, false, &out, &err), 0);
        if (fastr_json_push(L, out.data, out.length, NULL, &err) != 0)
            fail_msg("%s: %s", out.data, err.text);
        assert_true(lua_tonumber(L, 2) == value);
        fastr_buffer_free(&out);
        lua_settop(L, 0);
    }
}

static void it_escapes_any_bytes_for_logs(void **state)
{
    struct fastr_buffer out = {0};
    fastr_json_string(&out, "a\"\n\0\xFFz", 6);
    assert_string_equal(out.data, "\"a\\\"\\n\\u0000\xEF\xBF\xBDz\"");
    fastr_buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_takes_what_the_grammar_allows),
        cmocka_unit_test(it_refuses_what_the_grammar_forbids_and_says_where),
        cmocka_unit_test(it_refuses_numbers_that_are_not_json_or_would_change),
        cmocka_unit_test(it_refuses_strings_that_are_not_text),
        cmocka_unit_test(it_refuses_a_zero_byte_anywhere),
        cmocka_unit_test(it_refuses_a_key_that_is_said_twice_however_it_is_written),
        cmocka_unit_test(it_finds_duplicates_among_many_keys_in_linear_time),
        cmocka_unit_test(it_keeps_to_the_limits_of_depth_and_size),
        cmocka_unit_test(it_goes_on_after_a_large_document),
        cmocka_unit_test(it_agrees_with_another_reader),
        cmocka_unit_test(it_prints_lua_values),
        cmocka_unit_test(it_names_the_path_of_what_it_cannot_print),
        cmocka_unit_test(it_leaves_the_buffer_as_it_was_after_an_error),
        cmocka_unit_test(it_prints_any_double_so_that_it_reads_back_the_same),
        cmocka_unit_test(it_escapes_any_bytes_for_logs),
    };
    return cmocka_run_group_tests(tests, open_state, close_state);
}
