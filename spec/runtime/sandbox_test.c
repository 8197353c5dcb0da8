/* sandbox_test.c: what a rule cannot do. Each hostile rule is one pack; afterwards the same state decides a harmless one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bindings/bindings.h"
#include "runtime/sandbox.h"
#include "runtime/state.h"

static const char frame[] =
    "return { budget = { instructions = 300000, per_value = 0, ms = 200, memory_kb = 4096, values = 5000 }, points = {\n"
    "  ok = { decide = function() return { fine = true } end },\n"
    "  evil = { facts = { kind = 'object', fields = { n = { kind = 'integer', min = 1, optional = true } } },\n"
    "    decide = function(facts) %s end } } }\n";

struct pack {
    char dir[64], file[80];
    struct fastr_bundle *bundle;
    struct fastr_sandbox *sandbox;
    struct fastr_err err;
};

static void open_pack(struct pack *pack, const char *source) {
    snprintf(pack->dir, sizeof pack->dir, "/tmp/fastr-sandbox-XXXXXX");
    assert_non_null(mkdtemp(pack->dir));
    snprintf(pack->file, sizeof pack->file, "%s/init.lua", pack->dir);
    FILE *file = fopen(pack->file, "w");
    fputs(source, file);
    fclose(file);
    pack->bundle = fastr_bundle_read(pack->dir, &pack->err);
    assert_non_null(pack->bundle);
    pack->sandbox = fastr_sandbox_new(pack->bundle, &pack->err);
}

static void close_pack(struct pack *pack) {
    fastr_sandbox_free(pack->sandbox);
    fastr_bundle_free(pack->bundle);
    unlink(pack->file);
    rmdir(pack->dir);
}

/* Runs the body as a rule. Returns 0 with the answer on L, or -1. */
static int decide(struct pack *pack, lua_State *L, const char *point, struct fastr_err *err) {
    struct fastr_decision decision = {.point = point, .explain = "none"};
    lua_newtable(L);
    return fastr_sandbox_decide(pack->sandbox, L, lua_gettop(L), &decision, err);
}

/* The body must fail with `code`, well within time, and leave the state usable. */
static void refuses(const char *body, const char *code) {
    struct pack pack = {0};
    char source[4096];
    lua_State *L = luaL_newstate();
    snprintf(source, sizeof source, frame, body);
    open_pack(&pack, source);
    if (!pack.sandbox)
        fail_msg("%s", pack.err.text);
    uint64_t started = fastr_clock_us();
    int rc = decide(&pack, L, "evil", &pack.err);
    uint64_t took = fastr_clock_us() - started;
    if (rc == 0 || strcmp(pack.err.code, code) != 0)
        fail_msg("%s: expected %s, got %s (%s)", body, code, rc == 0 ? "an answer" : pack.err.code, pack.err.text);
    assert_true(took < 3000000);
    assert_int_equal(0, decide(&pack, L, "ok", &pack.err));
    lua_close(L);
    close_pack(&pack);
}

/* A pack with this body does not load, and says why. */
static void does_not_load(const char *body, const char *why) {
    struct pack pack = {0};
    char source[4096];
    snprintf(source, sizeof source, frame, body);
    open_pack(&pack, source);
    if (pack.sandbox || !strstr(pack.err.text, why))
        fail_msg("%s: expected '%s', got '%s'", body, why, pack.sandbox ? "a pack" : pack.err.text);
    close_pack(&pack);
}

static void endless_loops_are_stopped(void **state) {
    refuses("while true do end", "rules_budget");
    refuses("for i = 1, 1e18 do local x = i % 7 end", "rules_budget");
    refuses("while true do pcall(function() while true do end end) end", "rules_budget");
    refuses("local function f() pcall(f) while true do end end f()", "rules_budget");
    refuses("while true do pcall(pcall, pcall, function() while true do end end) end", "rules_budget");
    refuses("local t = setmetatable({}, { __index = function() while true do end end }) return { t.x }", "rules_budget");
    refuses("table.sort({ 3, 2, 1 }, function() while true do end end)", "rules_budget");
    refuses("setmetatable({}, { __gc = function() while true do end end }) while true do end", "rules_budget");
}

static void deep_recursion_is_an_error(void **state) {
    refuses("local function f() return 1 + f() end return { f() }", "rules_error");
}

static void memory_bombs_are_stopped(void **state) {
    refuses("local t = {} for i = 1, 1e9 do t[i] = { i } end", "rules_budget");
    refuses("local s = 'x' while true do s = s .. s end", "rules_budget");
    refuses("local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = { i } end end) end", "rules_budget");
    refuses("return { ('x'):rep(1e9) }", "rules_error");
}

static void what_escapes_is_not_there(void **state) {
    static const char *const names[] = {"load", "loadstring", "dofile", "getfenv", "setfenv", "newproxy", "collectgarbage",
                                        "rawset", "xpcall", "coroutine", "io", "os", "debug", "package", "jit", "ffi",
                                        "print", "next", "_G", NULL};
    for (int i = 0; names[i]; i++) {
        char body[200], why[100];
        snprintf(body, sizeof body, "return { %s ~= nil }", names[i]);
        snprintf(why, sizeof why, "unknown name '%s'", names[i]);
        does_not_load(body, why);
    }
    refuses("return { string.dump(function() end) }", "rules_error");
    refuses("return { ('x'):find('x') }", "rules_error");
    refuses("return { ('x'):gsub('x', 'y') }", "rules_error");
    refuses("return { math.random() }", "rules_error");
}

static void nothing_is_kept(void **state) {
    does_not_load("counter = 1", "'counter' cannot be set");
    refuses("string.rep = nil", "rules_error");
    refuses("table.insert(math, 1)", "rules_error");
    refuses("setmetatable(string, {})", "rules_error");
    refuses("getmetatable('').__index = {}", "rules_error");
    refuses("require 'other'", "rules_error");
}

static void answers_are_read_raw(void **state) {
    refuses("local t = {} t.t = t return t", "rules_error");
    refuses("return { f = function() end }", "rules_error");
    refuses("return { [true] = 1 }", "rules_error");
    refuses("return { 0/0 }", "rules_error");
    refuses("local t = {} for i = 1, 20000 do t[i] = i end return t", "rules_budget");
}

static void hostile_metatables_do_not_run(void **state) {
    struct pack pack = {0};
    char source[4096];
    lua_State *L = luaL_newstate();
    snprintf(source, sizeof source, frame,
             "return setmetatable({ a = 1 }, { __index = function() while true do end end, __pairs = error, __len = error })");
    open_pack(&pack, source);
    assert_int_equal(0, decide(&pack, L, "evil", &pack.err));
    lua_getfield(L, -1, "a");
    assert_int_equal(1, lua_tointeger(L, -1));
    lua_close(L);
    close_pack(&pack);
}

static void bytecode_is_refused(void **state) {
    struct pack pack = {0};
    open_pack(&pack, "\033LJ\002\002");
    assert_null(pack.sandbox);
    close_pack(&pack);
}

static void facts_are_refused_with_their_path(void **state) {
    struct pack pack = {0};
    char source[4096];
    lua_State *L = luaL_newstate();
    struct fastr_decision decision = {.point = "evil", .explain = "none"};
    snprintf(source, sizeof source, frame, "return facts");
    open_pack(&pack, source);
    lua_newtable(L);
    lua_pushnumber(L, 1.5), lua_setfield(L, -2, "n");
    assert_int_equal(-1, fastr_sandbox_decide(pack.sandbox, L, 1, &decision, &pack.err));
    assert_string_equal("invalid", pack.err.code);
    assert_string_equal("n: an integer is expected, not 1.5", pack.err.text);
    lua_pushnil(L), lua_setfield(L, 1, "n");
    lua_pushnumber(L, 1), lua_setfield(L, 1, "m");
    assert_int_equal(-1, fastr_sandbox_decide(pack.sandbox, L, 1, &decision, &pack.err));
    assert_string_equal("m: unknown field (did you mean 'n'?)", pack.err.text);
    assert_int_equal(1, lua_gettop(L));
    lua_close(L);
    close_pack(&pack);
}

static void pairs_has_an_order(void **state) {
    struct pack pack = {0};
    char source[4096];
    lua_State *L = luaL_newstate();
    snprintf(source, sizeof source, frame,
             "local s = '' for k in pairs { b = 1, a = 1, [2] = 1, [1] = 1, c = 1 } do s = s .. k end return { s }");
    open_pack(&pack, source);
    assert_int_equal(0, decide(&pack, L, "evil", &pack.err));
    lua_rawgeti(L, -1, 1);
    assert_string_equal("12abc", lua_tostring(L, -1));
    lua_close(L);
    close_pack(&pack);
}

static void state_kept_by_a_rule_fails_the_proof(void **state) {
    struct pack pack = {0};
    open_pack(&pack, "local n = 0\nreturn { points = {}, prove = function() n = n + 1 return 1 end }");
    assert_non_null(pack.sandbox);
    assert_int_equal(-1, fastr_sandbox_prove(pack.sandbox, &pack.err));
    assert_non_null(strstr(pack.err.text, "keeps state"));
    close_pack(&pack);
}

static void a_name_that_no_run_reaches_is_found_all_the_same(void **state) {
    does_not_load("if false then\n pritn() end", ": unknown name 'pritn'");
    does_not_load("local function f() return function() return catgory end end return f", "unknown name 'catgory'");
    does_not_load("local function f() total = 1 end", "'total' cannot be set");
}

static void errors_name_file_and_line(void **state) {
    struct pack pack = {0};
    open_pack(&pack, "local x = 1\nreturn { points = {}, y = categry }");
    assert_null(pack.sandbox);
    assert_non_null(strstr(pack.err.text, "init.lua:2: unknown name 'categry'"));
    close_pack(&pack);
}

int main(void) {
    fastr_state_bindings(fastr_bindings, fastr_binding_count);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_loops_are_stopped),
        cmocka_unit_test(deep_recursion_is_an_error),
        cmocka_unit_test(memory_bombs_are_stopped),
        cmocka_unit_test(what_escapes_is_not_there),
        cmocka_unit_test(nothing_is_kept),
        cmocka_unit_test(answers_are_read_raw),
        cmocka_unit_test(hostile_metatables_do_not_run),
        cmocka_unit_test(bytecode_is_refused),
        cmocka_unit_test(facts_are_refused_with_their_path),
        cmocka_unit_test(pairs_has_an_order),
        cmocka_unit_test(state_kept_by_a_rule_fails_the_proof),
        cmocka_unit_test(a_name_that_no_run_reaches_is_found_all_the_same),
        cmocka_unit_test(errors_name_file_and_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
