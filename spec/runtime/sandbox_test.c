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
#include <time.h>
#include <unistd.h>

#include "bindings/bindings.h"
#include "runtime/sandbox.h"
#include "runtime/state.h"

static const char frame[] =
    "return { budget = { instructions = 300000, per_value = 0, ms = 200, memory_kb = 4096, values = 5000 }, points = {\n"
    "  ok = { decide = function() return { fine = true } end },\n"
    "  evil = { facts = { kind = 'object', fields = { n = { kind = 'integer', min = 1, optional = true } } },\n"
    "    decide = function(facts) %s end } } }\n";

#ifdef __SANITIZE_ADDRESS__
enum { SLOW = 4 };
#else
enum { SLOW = 1 };
#endif

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

/* A pack whose point "evil" decides by this body. */
static void open_rule(struct pack *pack, const char *body) {
    char source[4096];
    snprintf(source, sizeof source, frame, body);
    open_pack(pack, source);
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

/* Of this thread: others may keep the processor for as long as they like. */
static uint64_t cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The body must fail with `code` (NULL: any), within twice its time, and leave the state usable. */
static void refuses(const char *body, const char *code) {
    struct pack pack = {0};
    lua_State *L = luaL_newstate();
    open_rule(&pack, body);
    if (!pack.sandbox)
        fail_msg("%s", pack.err.text);
    uint64_t started = cpu_us();
    int rc = decide(&pack, L, "evil", &pack.err);
    uint64_t took = cpu_us() - started;
    if (rc == 0 || (code && strcmp(pack.err.code, code) != 0))
        fail_msg("%s: expected %s, got %s (%s)", body, code ? code : "an error", rc == 0 ? "an answer" : pack.err.code, pack.err.text);
    if (took > 400000 * SLOW)
        fail_msg("%s: took %llu us, twice its budget and more", body, (unsigned long long)took);
    assert_int_equal(0, decide(&pack, L, "ok", &pack.err));
    lua_close(L);
    close_pack(&pack);
}

/* A pack with this body does not load, and says why. */
static void does_not_load(const char *body, const char *why) {
    struct pack pack = {0};
    open_rule(&pack, body);
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
    refuses("local function f(...) return f(1, ...) end f()", NULL);
    refuses("local m = {} m.__tostring = function(t) return tostring(t) end return { tostring(setmetatable({}, m)) }", "rules_error");
    refuses("local m = {} m.__tostring = function(t) return string.format('%s', t) end return { tostring(setmetatable({}, m)) }",
            "rules_error");
    refuses("local function f() table.sort({ 1, 2 }, f) end f()", "rules_error");
    refuses("local function f() local ok, e = pcall(f) if not ok then error(e) end end f()", NULL);
    refuses("local m = {} m.__lt = function(a, b) table.sort { a, b } end local t = setmetatable({}, m) table.sort { t, t }",
            "rules_error");
    refuses("local t = setmetatable({}, {}) getmetatable(t).__index = t return { t.x }", "rules_error");
}

static void errors_that_are_objects_do_not_run(void **state) {
    refuses("error(setmetatable({}, { __tostring = function() while true do end end }))", "rules_error");
    refuses("error(setmetatable({}, { __index = function() while true do end end, __metatable = false }))", "rules_error");
    refuses("local ok, e = pcall(refuse, 'x') e[1] = function() end error(e)", "invalid");
    refuses("return { tostring(setmetatable({}, { __tostring = function() return {} end })) }", "rules_error");
}

static void work_that_no_hook_sees_is_charged(void **state) {
    static const char big[] = "local s = ('x'):rep(65536) s = s .. s s = s .. s s = s .. s for i = 1, 1e6 do %s end";
    static const char *const bodies[] = {"text.glob(s, '*xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy*')", "text.contains(s, 'xy')",
                                         "text.time(s)", "money.parse(s, 'GBP')", "s:reverse()", "s:lower()",
                                         "text.upper(s)", "string.format('%s', s)", NULL};
    for (int i = 0; bodies[i]; i++) {
        char body[400];
        snprintf(body, sizeof body, big, bodies[i]);
        refuses(body, "rules_budget");
    }
    /* Musser's sequence, of which a quicksort by the median of three makes a square of comparisons. */
    refuses("local t, k = {}, 20000 for i = 1, k do t[i] = i % 2 == 1 and i or k + i - 1 t[k + i] = 2 * i end "
            "while true do local u = { unpack(t, 1, 4000) } table.sort(u) end", "rules_budget");
}

static void ledgers_are_within_the_memory_budget(void **state) {
    refuses("local s = ('x'):rep(65536) local l = money.ledger('GBP', {}) for i = 1, 1e6 do l:coupon(s, true, s) end",
            "rules_budget");
    refuses("for i = 1, 1e6 do money.ledger('GBP', {}) end", "rules_budget");
    refuses("local t = {} for i = 1, 999 do t[i] = { sku = 'a', quantity = 1, unit_price = 1 } end "
            "local l = money.ledger('GBP', t) for i = 1, 1e6 do l:undiscounted(0) end", "rules_budget");
    refuses("local l = money.ledger('GBP', {}, 'full') l:passed('a', 'b') return l:finish()", "rules_error");
    refuses("local t = {} for i = 1, 9999 do t[i] = { sku = 'a', quantity = 1, unit_price = 1 } end "
            "local l = money.ledger('GBP', t) for i = 1, 1e6 do l:take(0, 0, 0, 9999, 'cheapest') end", "rules_budget");
}

static void memory_bombs_are_stopped(void **state) {
    refuses("local t = {} for i = 1, 1e9 do t[i] = { i } end", "rules_budget");
    refuses("local s = 'x' while true do s = s .. s end", "rules_budget");
    refuses("local t = {} while true do pcall(function() for i = 1, 1e9 do t[#t + 1] = { i } end end) end", "rules_budget");
    refuses("return { ('x'):rep(1e9) }", "rules_error");
    refuses("local s = ('x'):rep(60000) return { table.concat({ s, s, s, s }, ('y'):rep(65536)):rep(2) }", "rules_error");
    refuses("local s, t = ('x'):rep(65536), {} for i = 1, 999 do t[i] = s end return { table.concat(t) }", "rules_budget");
    refuses("local s = ('x'):rep(65536) while true do s = string.format('%s%s', s, s) end", "rules_budget");
    refuses("return { unpack({}, 1, 1e7) }", "rules_error");
    refuses("money.split(1, 1e6)", "rules_budget");
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
    refuses("array(string)", "rules_error");
    refuses("array(money)", "rules_error");
}

/* What pairs() returns reads tables raw: with anything else it would read wherever that points to. */
static void iterators_take_tables_only(void **state) {
    refuses("local f = pairs { a = 1 } return { f(5) }", "rules_error");
    refuses("local f = pairs { a = 1 } return { f('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx') }", "rules_error");
    refuses("local f = pairs { a = 1 } return { f() }", "rules_error");
    refuses("return { f = ipairs({})(5, 0) }", "rules_error");
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
    lua_State *L = luaL_newstate();
    open_rule(&pack,
             "return setmetatable({ a = 1 }, { __index = function() while true do end end, __pairs = error, __len = error })");
    assert_int_equal(0, decide(&pack, L, "evil", &pack.err));
    lua_getfield(L, -1, "a");
    assert_int_equal(1, lua_tointeger(L, -1));
    lua_close(L);
    close_pack(&pack);
}

/* What a rule caught must have left nothing behind that nobody filled in. */
static void a_shipment_that_was_refused_is_not_there(void **state) {
    struct pack pack = {0};
    lua_State *L = luaL_newstate();
    open_rule(&pack,
             "local l = money.ledger('GBP', { { sku = 'a', quantity = 1, unit_price = 5 } })"
             "pcall(l.shipment, l, 'post', -1, 'x') pcall(l.shipment, l, 'post', 0.5) pcall(l.rate, l, 'x', 'y') return l:finish()");
    assert_int_equal(0, decide(&pack, L, "evil", &pack.err));
    lua_getfield(L, -1, "shipping");
    assert_int_equal(0, lua_objlen(L, -1));
    lua_close(L);
    close_pack(&pack);
}

/* What is left of the total of 7 units of 100 and 2 of 50 after this. */
static int left_after(const char *picks) {
    struct pack pack = {0};
    lua_State *L = luaL_newstate();
    char body[1024];
    snprintf(body, sizeof body, "local l = money.ledger('GBP', { { sku = 'a', quantity = 7, unit_price = 100 },"
             " { sku = 'b', quantity = 2, unit_price = 50 } }) l:open('x', 'item') %s return { left = l:total() }", picks);
    open_rule(&pack, body);
    if (decide(&pack, L, "evil", &pack.err) != 0)
        fail_msg("%s", pack.err.text);
    lua_getfield(L, -1, "left");
    int left = (int)lua_tointeger(L, -1);
    lua_close(L);
    close_pack(&pack);
    return left;
}

/* A pack that is live when fastr is renewed, and the packs of all orders, are called by the new binary. */
static void packs_of_before_pick_units_as_they_did(void **state) {
    assert_int_equal(600, left_after("l:take(0, 2, 0, 1, 'cheapest') l:give_percent(100)"));
    assert_int_equal(600, left_after("l:pool() while l:take(0, 2, 'dearest') and l:take(0, 1, 'cheapest') do"
                                     " l:give_percent(100) end"));
    assert_int_equal(800, left_after("l:pool() if l:take(0, 10, 'dearest') then l:give_percent(100) end"));
    assert_int_equal(750, left_after("l:pool() l:take(0, 1, 'dearest') l:give_percent(50)"));
}

static void a_point_that_was_added_later_is_refused(void **state) {
    struct pack pack = {0};
    lua_State *L = luaL_newstate();
    open_pack(&pack, "local points = {}\n"
                     "points.ok = { decide = function() points.late = { decide = function() return {} end } return {} end }\n"
                     "return { points = points }");
    assert_int_equal(0, decide(&pack, L, "ok", &pack.err));
    assert_int_equal(-1, decide(&pack, L, "late", &pack.err));
    assert_string_equal("invalid", pack.err.code);
    lua_close(L);
    close_pack(&pack);
}

/* A declaration or a value that uses one table in many places is small as tables and without end as a tree. */
static void shapes_without_end_are_refused(void **state) {
    static const char tree[] = "local t = %s for i = 1, 15 do local f = {} for j = 1, 12 do f[%s] = t end t = %s end ";
    struct pack pack = {0};
    char source[1024];
    snprintf(source, sizeof source, tree, "{ kind = 'boolean' }", "'k' .. j", "{ kind = 'object', fields = f }");
    strcat(source, "return { points = { p = { facts = t, decide = function() end } } }");
    open_pack(&pack, source);
    assert_null(pack.sandbox);
    assert_non_null(strstr(pack.err.text, "a pack's shapes are at most"));
    close_pack(&pack);
    snprintf(source, sizeof source, tree, "{}", "j", "f");
    strcat(source, "pack.check({ kind = 'any' }, t) return { points = {} }");
    open_pack(&pack, source);
    assert_null(pack.sandbox);
    assert_string_equal("rules_budget", pack.err.code);
    close_pack(&pack);
}

static void a_refused_shape_is_freed(void **state) {
    struct pack pack = {0};
    open_pack(&pack, "for i = 1, 9 do pcall(pack.check, { kind = 'list', of = { kind = 'text', values = { 'a', {} } } }, 1) end\n"
                     "return { points = {} }");
    assert_non_null(pack.sandbox);
    close_pack(&pack);
}

static void facts_of_ten_megabytes_are_refused(void **state) {
    struct pack pack = {0};
    struct fastr_buffer text = {0}, out = {0};
    struct fastr_decision decision = {.point = "evil", .explain = "none"};
    lua_State *L = luaL_newstate();
    open_pack(&pack, "return { budget = { memory_kb = 4096 }, points = { ok = { decide = function() return {} end },\n"
                     "evil = { decide = function(facts) return {} end } } }");
    fastr_buffer_text(&text, "{\"list\":[0");
    while (text.length < 10 << 20)
        fastr_buffer_text(&text, ",{\"a\":[\"some text that is not too short\",1,2,3]}");
    fastr_buffer_text(&text, "]}");
    assert_int_equal(-1, fastr_sandbox_decide_text(pack.sandbox, L, text.data, text.length, &decision, &out, &pack.err));
    assert_string_equal("rules_budget", pack.err.code);
    assert_int_equal(0, out.length);
    assert_int_equal(0, decide(&pack, L, "ok", &pack.err));
    fastr_buffer_free(&text);
    fastr_buffer_free(&out);
    lua_close(L);
    close_pack(&pack);
}

static void bytecode_is_refused(void **state) {
    struct pack pack = {0};
    open_pack(&pack, "\033LJ\002\002");
    assert_null(pack.sandbox);
    close_pack(&pack);
}

static void what_is_no_text_is_refused_with_its_line(void **state) {
    struct pack pack = {0};
    open_pack(&pack, "-- one\n-- caf\xe9\nreturn {}");
    assert_null(pack.sandbox);
    assert_string_equal("init.lua:2: is not UTF-8 text", pack.err.text);
    close_pack(&pack);
}

static void facts_are_refused_with_their_path(void **state) {
    struct pack pack = {0};
    lua_State *L = luaL_newstate();
    struct fastr_decision decision = {.point = "evil", .explain = "none"};
    open_rule(&pack, "return facts");
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
    lua_State *L = luaL_newstate();
    open_rule(&pack,
             "local s = '' for k in pairs { b = 1, a = 1, [2] = 1, [1] = 1, c = 1 } do s = s .. k end return { s }");
    assert_int_equal(0, decide(&pack, L, "evil", &pack.err));
    lua_rawgeti(L, -1, 1);
    assert_string_equal("12abc", lua_tostring(L, -1));
    lua_close(L);
    close_pack(&pack);
}

/* A point whose answer has a shape: { n = integer from 0, list of texts }. */
static void open_shaped(struct pack *pack, const char *answer) {
    char source[4096];
    snprintf(source, sizeof source,
             "local text = { kind = 'text', max = 5 }\n"
             "local answer = { kind = 'object', fields = { n = { kind = 'integer', min = 0 },\n"
             "  list = { kind = 'list', of = text, max = 3, optional = true } } }\n"
             "local point = { file = 'spec/shaped', answer = answer, needs = { 'past', 'card' },\n"
             "  decide = function() return %s end }\n"
             "return { points = { shaped = point, free = { decide = function() return { any = 'thing' } end } } }",
             answer);
    open_pack(pack, source);
    assert_non_null(pack->sandbox);
}

static void refused_answer(const char *answer, const char *message) {
    struct pack pack = {0};
    lua_State *L = luaL_newstate();
    open_shaped(&pack, answer);
    assert_int_equal(-1, decide(&pack, L, "shaped", &pack.err));
    assert_string_equal("rules_error", pack.err.code);
    assert_string_equal(message, pack.err.text);
    assert_int_equal(0, decide(&pack, L, "free", &pack.err));
    lua_close(L);
    close_pack(&pack);
}

static void an_answer_of_another_shape_is_refused(void **state) {
    struct pack pack = {0};
    lua_State *L = luaL_newstate();
    open_shaped(&pack, "{ n = 7, list = { 'a', 'b' } }");
    assert_int_equal(0, decide(&pack, L, "shaped", &pack.err));
    lua_close(L);
    close_pack(&pack);
    refused_answer("{ n = -1 }", "spec/shaped.lua:1: shaped: answer.n: at least 0 is expected, not -1");
    refused_answer("{ n = 0 / 0 }", "spec/shaped.lua:1: shaped: answer.n: a number within 2^53 - 1 is expected");
    refused_answer("{ n = 1, list = { 'a', 'too long' } }",
                   "spec/shaped.lua:1: shaped: answer.list[2]: a text of at most 5 bytes is expected");
    refused_answer("{ n = 1, m = 1 }", "spec/shaped.lua:1: shaped: answer.m: unknown field (did you mean 'n'?)");
    refused_answer("{ }", "spec/shaped.lua:1: shaped: answer.n: is missing");
    refused_answer("nil", "spec/shaped.lua:1: shaped: answer: an object is expected, not a null");
    refused_answer("setmetatable({}, { __index = { n = 1 } })", "spec/shaped.lua:1: shaped: answer.n: is missing");
}

static void note(const char *name, void *data) {
    fastr_buffer_format(data, "%s ", name);
}

static void what_a_point_needs_is_told(void **state) {
    struct pack pack = {0};
    struct fastr_buffer names = {0};
    open_shaped(&pack, "{ n = 1 }");
    fastr_sandbox_each_need(pack.sandbox, "shaped", note, &names);
    assert_string_equal("card past ", names.data);
    fastr_buffer_free(&names);
    fastr_sandbox_each_need(pack.sandbox, "free", note, &names);
    assert_int_equal(0, names.length);
    close_pack(&pack);
    open_pack(&pack, "return { points = { p = { needs = { 7 }, decide = function() end } } }");
    assert_null(pack.sandbox);
    assert_string_equal("init.lua:1: needs[1] of 'p' is no name", pack.err.text);
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
        cmocka_unit_test(errors_that_are_objects_do_not_run),
        cmocka_unit_test(work_that_no_hook_sees_is_charged),
        cmocka_unit_test(ledgers_are_within_the_memory_budget),
        cmocka_unit_test(iterators_take_tables_only),
        cmocka_unit_test(a_shipment_that_was_refused_is_not_there),
        cmocka_unit_test(packs_of_before_pick_units_as_they_did),
        cmocka_unit_test(a_point_that_was_added_later_is_refused),
        cmocka_unit_test(shapes_without_end_are_refused),
        cmocka_unit_test(a_refused_shape_is_freed),
        cmocka_unit_test(facts_of_ten_megabytes_are_refused),
        cmocka_unit_test(memory_bombs_are_stopped),
        cmocka_unit_test(what_escapes_is_not_there),
        cmocka_unit_test(nothing_is_kept),
        cmocka_unit_test(answers_are_read_raw),
        cmocka_unit_test(hostile_metatables_do_not_run),
        cmocka_unit_test(bytecode_is_refused),
        cmocka_unit_test(what_is_no_text_is_refused_with_its_line),
        cmocka_unit_test(facts_are_refused_with_their_path),
        cmocka_unit_test(pairs_has_an_order),
        cmocka_unit_test(an_answer_of_another_shape_is_refused),
        cmocka_unit_test(what_a_point_needs_is_told),
        cmocka_unit_test(state_kept_by_a_rule_fails_the_proof),
        cmocka_unit_test(a_name_that_no_run_reaches_is_found_all_the_same),
        cmocka_unit_test(errors_name_file_and_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
