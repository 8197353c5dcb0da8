/* sandbox_env.c: see sandbox_env.h.
 *
 * A file of the pack runs with a proxy as its globals: an empty table whose metatable leads to the allow-list and refuses
 * writes. Libraries are such proxies too, so that nothing a rule does outlives its decision. */
#include "runtime/sandbox_env.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"
#include "runtime/sandbox.h"
#include "runtime/shape.h"
#include "runtime/state.h"

#define BUNDLE "fastr.bundle"
#define SHAPES "fastr.shapes"
#define LOADED "fastr.loaded"
#define NAMES "fastr.names"
#define SEALED "fastr.sealed"
#define REFUSAL "fastr.refusal"
#define INSPECT "fastr.inspect"

enum { REP_MAX = 65536, LONG_TEXT = 1024 };

/* ---- unknown names --------------------------------------------------------------------------------------------- */

/* The key of the table at `names` nearest to `word`, or NULL if none is near. */
static const char *nearest(lua_State *L, int names, const char *word) {
    const char *best = NULL;
    int least = 1 + (int)strlen(word) / 3;
    lua_pushnil(L);
    while (lua_next(L, names)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        int far = key ? fastr_edit_distance(word, key) : 99;
        if (far < least || (far == least && (!best || strcmp(key, best) < 0))) {
            least = far;
            best = key;
        }
        lua_pop(L, 1);
    }
    return best;
}

/* Raises "WHERE unknown name ...": `names` is the stack index of the allow-list, called `of` ("" for the globals). */
static int unknown(lua_State *L, const char *where, int names, const char *of, const char *name) {
    const char *best = nearest(L, names, name);
    if (best)
        lua_pushfstring(L, "%sunknown name '%s%s' (did you mean '%s'?)", where, of, name, best);
    else
        lua_pushfstring(L, "%sunknown name '%s%s'", where, of, name);
    return lua_error(L);
}

static int frozen(lua_State *L, const char *where, const char *name) {
    lua_pushfstring(L, "%s'%s' cannot be set: rules keep nothing (is a 'local' missing?)", where, name);
    return lua_error(L);
}

static const char *key_text(lua_State *L) {
    return lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
}

/* __index of the allow-list: upvalues the list and what it is called. */
static int l_unknown(lua_State *L) {
    const char *of = lua_tostring(L, lua_upvalueindex(2));
    luaL_where(L, 1);
    return unknown(L, lua_tostring(L, -1), lua_upvalueindex(1), of, key_text(L));
}

static int l_frozen(lua_State *L) {
    luaL_where(L, 1);
    return frozen(L, lua_tostring(L, -1), key_text(L));
}

/* Replaces the table on the top by a frozen proxy to it; unknown keys raise. */
static void freeze(lua_State *L, const char *called) {
    lua_newtable(L);
    lua_pushvalue(L, -2);
    lua_pushstring(L, called);
    lua_pushcclosure(L, l_unknown, 2);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_newtable(L);
    lua_newtable(L);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_frozen);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_remove(L, -2);
}

/* ---- base ------------------------------------------------------------------------------------------------------ */

static int call_upvalue(lua_State *L) {
    sandbox_check_depth(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* pcall(f, ...) as usual, but a broken budget goes on through it. */
static int l_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    sandbox_check_depth(L);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    sandbox_check_alive(L);
    if (status == LUA_ERRMEM)
        return luaL_error(L, "not enough memory");
    lua_pushboolean(L, status == 0);
    lua_insert(L, 1);
    return lua_gettop(L);
}

/* refuse(text): raises that the facts (or a definition) are wrong, not the rule; text begins with the path */
static int l_refuse(lua_State *L) {
    luaL_checkstring(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    luaL_getmetatable(L, REFUSAL);
    lua_setmetatable(L, -2);
    return lua_error(L);
}

/* Has the value at `index` the metatable registered as `mark`? */
static bool is_marked(lua_State *L, int index, const char *mark) {
    bool marked = false;
    if (lua_getmetatable(L, index)) {
        luaL_getmetatable(L, mark);
        marked = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    return marked;
}

bool sandbox_refusal(lua_State *L) {
    bool is = lua_istable(L, -1) && is_marked(L, -1, REFUSAL);
    if (is)
        lua_rawgeti(L, -1, 1);
    return is;
}

/* Text of a value without addresses, which differ from run to run. */
static void push_text(lua_State *L, int index) {
    sandbox_check_depth(L);
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
    case LUA_TSTRING: lua_pushvalue(L, index); lua_tostring(L, -1); break;
    case LUA_TBOOLEAN: lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false"); break;
    default:
        if (!luaL_callmeta(L, index, "__tostring"))
            lua_pushstring(L, luaL_typename(L, index));
        else if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "__tostring returned a %s, not a text", luaL_typename(L, -1));
    }
}

static int l_tostring(lua_State *L) {
    luaL_checkany(L, 1);
    push_text(L, 1);
    return 1;
}

/* ---- pairs in a defined order ---------------------------------------------------------------------------------- */

struct key {
    double number;
    const char *text; /* NULL: a number */
    size_t length;
};

static int key_order(const void *left, const void *right) {
    const struct key *a = left, *b = right;
    if (!a->text || !b->text)
        return a->text ? 1 : b->text ? -1 : a->number < b->number ? -1 : a->number > b->number;
    int order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return order ? order : a->length < b->length ? -1 : a->length > b->length;
}

static void read_key(lua_State *L, struct key *key) {
    switch (lua_type(L, -2)) {
    case LUA_TNUMBER: *key = (struct key){lua_tonumber(L, -2), NULL, 0}; break;
    case LUA_TSTRING: key->text = lua_tolstring(L, -2, &key->length); break;
    default: luaL_error(L, "pairs needs keys that are texts or numbers, not a %s", luaL_typename(L, -2));
    }
}

static size_t count_keys(lua_State *L, int table) {
    size_t count = 0;
    lua_pushnil(L);
    for (; lua_next(L, table); lua_pop(L, 1))
        count++;
    return count;
}

static int l_pairs_next(lua_State *L) {
    int at = (int)lua_tointeger(L, lua_upvalueindex(2));
    luaL_checktype(L, 1, LUA_TTABLE); /* a rule may call the iterator itself, with anything */
    for (;;) {
        lua_rawgeti(L, lua_upvalueindex(1), ++at);
        if (lua_isnil(L, -1))
            return 1;
        lua_pushvalue(L, -1);
        lua_rawget(L, 1);
        if (!lua_isnil(L, -1))
            break;
        lua_pop(L, 2);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(2));
    return 2;
}

/* pairs(t): numbers ascending, then texts bytewise. Keys added meanwhile are not visited. */
static int l_pairs(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t count = count_keys(L, 1), at = 0;
    fastr_sandbox_charge(L, (int64_t)count * 4);
    struct key *keys = lua_newuserdata(L, (count + 1) * sizeof *keys);
    lua_pushnil(L);
    for (; lua_next(L, 1); lua_pop(L, 1))
        read_key(L, &keys[at++]);
    qsort(keys, count, sizeof *keys, key_order);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        if (keys[i].text)
            lua_pushlstring(L, keys[i].text, keys[i].length);
        else
            lua_pushnumber(L, keys[i].number);
        lua_rawseti(L, -2, (int)i + 1);
    }
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, l_pairs_next, 2);
    lua_pushvalue(L, 1);
    return 2;
}

/* ---- string and table ------------------------------------------------------------------------------------------ */

static void refuse_frozen(lua_State *L) {
    if (lua_type(L, 1) == LUA_TTABLE && luaL_getmetafield(L, 1, "__metatable"))
        luaL_error(L, "a frozen table cannot be changed");
}

/* a < b for a sort without an order of its own: each comparison is charged, since quicksort has inputs of which it makes
 * a square of comparisons, and no hook runs within it. */
static int l_less(lua_State *L) {
    fastr_sandbox_charge(L, 1);
    lua_pushboolean(L, lua_lessthan(L, 1, 2));
    return 1;
}

/* table.sort(list, before) */
static int l_sort(lua_State *L) {
    refuse_frozen(L);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_pushcfunction(L, l_less);
        lua_replace(L, 2);
    }
    if (lua_type(L, 1) == LUA_TTABLE)
        fastr_sandbox_charge(L, 1 + (int64_t)lua_objlen(L, 1));
    return call_upvalue(L);
}

/* A library function whose work grows with its first argument. */
static int l_charged(lua_State *L) {
    int type = lua_type(L, 1);
    refuse_frozen(L);
    if (type == LUA_TSTRING || type == LUA_TTABLE)
        fastr_sandbox_charge(L, 1 + (int64_t)lua_objlen(L, 1) / (type == LUA_TSTRING ? 16 : 1));
    return call_upvalue(L);
}

static int l_rep(lua_State *L) {
    size_t length;
    luaL_checklstring(L, 1, &length);
    double times = luaL_checknumber(L, 2);
    if (times > 0 && (double)length * times > REP_MAX)
        return luaL_error(L, "rep makes at most %d bytes", REP_MAX);
    fastr_sandbox_charge(L, 1 + (int64_t)(times > 0 ? (double)length * times : 0) / 16);
    lua_settop(L, 2);
    return call_upvalue(L);
}

static int l_format(lua_State *L) {
    const char *format = luaL_checkstring(L, 1);
    for (const char *at = strchr(format, '%'); at; at = strchr(at, '%')) {
        at += 1 + strspn(at + 1, "-+ #0123456789.");
        if (*at == 'p')
            return luaL_error(L, "format has no %%p in rules");
        at += *at != 0;
    }
    size_t bytes = lua_objlen(L, 1);
    for (int i = 2, top = lua_gettop(L); i <= top; i++) {
        if (lua_type(L, i) >= LUA_TTABLE || lua_type(L, i) == LUA_TLIGHTUSERDATA) {
            push_text(L, i);
            lua_replace(L, i);
        }
        if (lua_type(L, i) == LUA_TSTRING && lua_objlen(L, i) >= LONG_TEXT)
            bytes += lua_objlen(L, i);
    }
    fastr_sandbox_charge(L, 4 + (int64_t)bytes / 8);
    return call_upvalue(L);
}

/* array(t) -> t, marked as a list, so that an empty one is [] in JSON */
static int l_array(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (!sandbox_is_array(L, 1))
        refuse_frozen(L); /* else a library lost the metatable that makes it what it is */
    luaL_getmetatable(L, FASTR_JSON_ARRAY);
    lua_setmetatable(L, 1);
    return 1;
}

bool sandbox_is_array(lua_State *L, int index) {
    return is_marked(L, index, FASTR_JSON_ARRAY);
}

/* ---- names that a file uses, checked before it runs --------------------------------------------------------------- */

/* An unknown name in a branch that no example takes would be found by a shopper. So each function of a file is searched
 * for reads and writes of globals with LuaJIT's own jit.util, whose opcodes are learned from two probes. */

/* Calls a function of jit.util with the function or prototype at `index` and a number: pushes one result. */
static void inspect(lua_State *L, const char *what, int index, int number) {
    lua_getfield(L, LUA_REGISTRYINDEX, INSPECT);
    lua_getfield(L, -1, what);
    lua_remove(L, -2);
    lua_pushvalue(L, index);
    lua_pushinteger(L, number);
    lua_call(L, 2, 1);
}

/* The instruction at `pc` of the function at `index`; false past its end. */
static bool instruction(lua_State *L, int index, int pc, unsigned *word) {
    inspect(L, "funcbc", index, pc);
    bool there = lua_isnumber(L, -1);
    *word = there ? (unsigned)(int64_t)lua_tonumber(L, -1) : 0;
    lua_pop(L, 1);
    return there;
}

/* The opcode of the instruction at `pc` of a probe. */
static unsigned opcode(lua_State *L, const char *probe, int pc) {
    unsigned word;
    luaL_loadstring(L, probe);
    instruction(L, lua_gettop(L), pc, &word);
    lua_pop(L, 1);
    return word & 0xff;
}

static void push_place(lua_State *L, const char *file, int function, int pc) {
    inspect(L, "funcinfo", function, pc);
    lua_getfield(L, -1, "currentline");
    lua_pushfstring(L, "%s:%d: ", file, (int)lua_tointeger(L, -1));
    lua_insert(L, -3);
    lua_pop(L, 2);
}

static void check_instruction(lua_State *L, const char *file, int function, int names, int pc, bool write) {
    unsigned word;
    instruction(L, function, pc, &word);
    inspect(L, "funck", function, -(int)(word >> 16) - 1);
    const char *name = lua_tostring(L, -1);
    lua_pushvalue(L, -1);
    lua_rawget(L, names);
    if (write || lua_isnil(L, -1)) {
        push_place(L, file, function, pc);
        if (write)
            frozen(L, lua_tostring(L, -1), name);
        unknown(L, lua_tostring(L, -1), names, "", name);
    }
    lua_pop(L, 2);
}

/* Raises for the first global that the function on the top, or one within it, names and the table at `names` has not. */
static void check_names(lua_State *L, const char *file, int names) {
    int function = lua_gettop(L);
    unsigned word, read = opcode(L, "return x", 1), write = opcode(L, "x = nil", 2);
    luaL_checkstack(L, 16, "functions nested too deep");
    for (int pc = 1; instruction(L, function, pc, &word); pc++)
        if ((word & 0xff) == read || (word & 0xff) == write)
            check_instruction(L, file, function, names, pc, (word & 0xff) == write);
    for (int child = -1;; child--) {
        inspect(L, "funck", function, child);
        if (lua_isnil(L, -1))
            break;
        if (strcmp(luaL_typename(L, -1), "proto") == 0)
            check_names(L, file, names);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* ---- files of the pack ----------------------------------------------------------------------------------------- */

static void *registry_pointer(lua_State *L, const char *key) {
    lua_getfield(L, LUA_REGISTRYINDEX, key);
    void *pointer = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return pointer;
}

static void refuse_sealed(lua_State *L, const char *what) {
    lua_getfield(L, LUA_REGISTRYINDEX, SEALED);
    if (lua_toboolean(L, -1))
        luaL_error(L, "%s works at the top of a file only, not in a decision", what);
    lua_pop(L, 1);
}

/* Pushes the table of the globals extended by the names in the table at `more` (0: none). */
static void push_names(lua_State *L, int more) {
    lua_newtable(L);
    for (int pass = 0; pass < (more ? 2 : 1); pass++) {
        if (pass)
            lua_pushvalue(L, more);
        else
            lua_getfield(L, LUA_REGISTRYINDEX, NAMES);
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -5);
        }
        lua_pop(L, 1);
    }
}

/* Pushes what the file returns when it runs with the globals in the table on the top, which it takes. */
static void run_file(lua_State *L, const char *file) {
    const struct fastr_bundle *bundle = registry_pointer(L, BUNDLE);
    char chunk[256];
    int at = fastr_bundle_find(bundle, file);
    if (at < 0)
        luaL_error(L, "the pack has no file '%s'", file);
    snprintf(chunk, sizeof chunk, "@%s", file);
    if (fastr_bundle_data(bundle, at)[0] == LUA_SIGNATURE[0])
        luaL_error(L, "%s:1: bytecode is no rule: a text is expected", file);
    if (luaL_loadbufferx(L, fastr_bundle_data(bundle, at), fastr_bundle_length(bundle, at), chunk, "t") != 0)
        lua_error(L);
    check_names(L, file, lua_gettop(L) - 1);
    lua_insert(L, -2);
    freeze(L, "");
    lua_setfenv(L, -2);
    lua_call(L, 0, 1);
}

static void file_of_module(lua_State *L, const char *name, char *file, size_t size) {
    int length = snprintf(file, size, "%s.lua", name);
    if (length >= (int)size)
        luaL_error(L, "module name too long");
    for (int i = 0; i < length - 4; i++)
        if (file[i] == '.')
            file[i] = '/';
}

void sandbox_require(lua_State *L, const char *name) {
    char file[200];
    lua_getfield(L, LUA_REGISTRYINDEX, LOADED);
    lua_getfield(L, -1, name);
    if (lua_islightuserdata(L, -1))
        luaL_error(L, "module '%s' requires itself", name);
    if (lua_isnil(L, -1)) {
        refuse_sealed(L, "require");
        lua_pop(L, 1);
        lua_pushlightuserdata(L, NULL);
        lua_setfield(L, -2, name);
        file_of_module(L, name, file, sizeof file);
        push_names(L, 0);
        run_file(L, file);
        if (lua_isnil(L, -1))
            luaL_error(L, "%s:1: a module returns its table", file);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, name);
    }
    lua_remove(L, -2);
}

/* require(name) -> what the pack's file returns: "engine.rule" is engine/rule.lua; each runs once */
static int l_require(lua_State *L) {
    sandbox_require(L, luaL_checkstring(L, 1));
    return 1;
}

/* pack.files(folder) -> list of the names of the files right in the folder that end in .lua, in bytewise order */
static int l_files(lua_State *L) {
    const struct fastr_bundle *bundle = registry_pointer(L, BUNDLE);
    size_t length;
    const char *folder = luaL_checklstring(L, 1, &length);
    int count = 0;
    lua_newtable(L);
    for (int i = 0; i < fastr_bundle_count(bundle); i++) {
        const char *name = fastr_bundle_name(bundle, i), *rest = name + length + 1;
        size_t size = strlen(name);
        if (size < length + 5 || strncmp(name, folder, length) != 0 || name[length] != '/' || strchr(rest, '/'))
            continue;
        if (strcmp(name + size - 4, ".lua") != 0)
            continue;
        lua_pushstring(L, name);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

/* pack.load(file, names) -> what the file returns when it runs with `names` as further globals */
static int l_load(lua_State *L) {
    const char *file = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    refuse_sealed(L, "pack.load");
    push_names(L, 2);
    run_file(L, file);
    return 1;
}

/* pack.check(shape, value) -> raises "PATH: what is wrong" unless the value is of the shape */
static int l_check(lua_State *L) {
    struct fastr_shapes *shapes = registry_pointer(L, SHAPES);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    refuse_sealed(L, "pack.check");
    lua_pushvalue(L, 1);
    fastr_shape_compile(shapes, L, "");
    fastr_shape_check(shapes, "", "", L, 2);
    return 0;
}

void sandbox_seal(lua_State *L) {
    lua_pushboolean(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, SEALED);
}

/* ---- the fingerprint ------------------------------------------------------------------------------------------- */

struct print {
    lua_State *L;
    int seen; /* stack index of the set of visited objects */
    uint64_t value;
};

static void mix(struct print *print, uint64_t word) {
    print->value = (print->value ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    print->value ^= print->value >> 29;
}

static void print_value(struct print *print);

static void print_table(struct print *print) {
    lua_State *L = print->L;
    if (lua_getmetatable(L, -1)) {
        print_value(print);
        lua_pop(L, 1);
    }
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        print_value(print);
        lua_pop(L, 1);
        print_value(print);
        lua_pop(L, 1);
    }
}

static void print_function(struct print *print) {
    for (int i = 1; lua_getupvalue(print->L, -1, i); i++) {
        print_value(print);
        lua_pop(print->L, 1);
    }
}

static bool first_visit(struct print *print) {
    lua_State *L = print->L;
    lua_pushvalue(L, -1);
    lua_rawget(L, print->seen);
    bool first = lua_isnil(L, -1);
    lua_pop(L, 1);
    if (first) {
        lua_pushvalue(L, -1);
        lua_pushboolean(L, 1);
        lua_rawset(L, print->seen);
    }
    return first;
}

/* The value on the top, which stays. */
static void print_value(struct print *print) {
    lua_State *L = print->L;
    double number;
    uint64_t bits;
    int type = lua_type(L, -1);
    luaL_checkstack(L, 8, "a pack nested too deep");
    mix(print, (uint64_t)type);
    if (type == LUA_TNUMBER) {
        number = lua_tonumber(L, -1);
        memcpy(&bits, &number, sizeof bits);
        mix(print, bits);
    } else if (type == LUA_TBOOLEAN) {
        mix(print, (uint64_t)lua_toboolean(L, -1));
    } else if (type == LUA_TSTRING) {
        mix(print, (uint64_t)(uintptr_t)lua_tostring(L, -1));
    } else if (type != LUA_TNIL) {
        mix(print, (uint64_t)(uintptr_t)lua_topointer(L, -1));
    }
    if ((type == LUA_TTABLE || type == LUA_TFUNCTION) && first_visit(print)) {
        if (type == LUA_TTABLE)
            print_table(print);
        else
            print_function(print);
    }
}

uint64_t sandbox_fingerprint(lua_State *L) {
    lua_newtable(L);
    struct print print = {L, lua_gettop(L), 1};
    lua_getfield(L, LUA_REGISTRYINDEX, LOADED);
    print_value(&print);
    lua_pop(L, 2);
    return print.value;
}

/* ---- the allow-list -------------------------------------------------------------------------------------------- */

static const char *const base_names[] = {"assert", "error", "getmetatable", "ipairs", "rawequal", "rawget", "select",
                                         "setmetatable", "tonumber", "type", "unpack", NULL};
static const char *const math_names[] = {"abs", "ceil", "floor", "fmod", "huge", "max", "min", "modf", "sqrt", NULL};
static const char *const string_names[] = {"byte", "char", "len", "sub", NULL};
static const char *const string_charged[] = {"lower", "upper", "reverse", NULL};
static const char *const table_charged[] = {"concat", "insert", "remove", NULL};

/* Copies fields of the table below the top into the table on the top. */
static void take(lua_State *L, const char *const *names, lua_CFunction wrapper) {
    for (; *names; names++) {
        lua_getfield(L, -2, *names);
        if (wrapper)
            lua_pushcclosure(L, wrapper, 1);
        lua_setfield(L, -2, *names);
    }
}

static void wrap(lua_State *L, const char *name, lua_CFunction wrapper) {
    const char *const names[] = {name, NULL};
    take(L, names, wrapper);
}

static void open_library(lua_State *L, lua_CFunction open, const char *name) {
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

/* Strings' methods: a private copy of the safe functions, which no rule can reach as a table. */
static void replace_string_metatable(lua_State *L, int functions) {
    lua_pushliteral(L, "");
    lua_newtable(L);
    lua_pushvalue(L, functions);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

/* Freezes the table on the top and adds it to the allow-list below it. */
static void add(lua_State *L, const char *name) {
    char called[32];
    snprintf(called, sizeof called, "%s.", name);
    freeze(L, called);
    lua_setfield(L, -2, name);
}

/* Pushes one of Lua's libraries, and an empty table for what rules have of it. */
static void begin_library(lua_State *L, const char *name) {
    lua_getfield(L, LUA_GLOBALSINDEX, name);
    lua_newtable(L);
}

static void end_library(lua_State *L, const char *name) {
    lua_remove(L, -2);
    add(L, name);
}

static void add_string(lua_State *L) {
    begin_library(L, "string");
    take(L, string_names, NULL);
    take(L, string_charged, l_charged);
    wrap(L, "rep", l_rep);
    wrap(L, "format", l_format);
    replace_string_metatable(L, lua_gettop(L));
    end_library(L, "string");
}

static void add_math(lua_State *L) {
    begin_library(L, "math");
    take(L, math_names, NULL);
    end_library(L, "math");
}

static void add_table(lua_State *L) {
    begin_library(L, "table");
    take(L, table_charged, l_charged);
    wrap(L, "sort", l_sort);
    end_library(L, "table");
}

static const luaL_Reg own_base[] = {{"pcall", l_pcall},     {"tostring", l_tostring}, {"pairs", l_pairs},
                                    {"require", l_require}, {"array", l_array},       {"refuse", l_refuse},
                                    {NULL, NULL}};
static const luaL_Reg own_pack[] = {{"files", l_files}, {"load", l_load}, {"check", l_check}, {NULL, NULL}};

static void add_pack(lua_State *L) {
    lua_newtable(L);
    luaL_register(L, NULL, own_pack);
    add(L, "pack");
}

static void add_bindings(lua_State *L) {
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++) {
        if (!binding->pure)
            continue;
        lua_pushcfunction(L, binding->open);
        lua_call(L, 0, 1);
        add(L, binding->name);
    }
}

/* jit.util is opened for check_names alone: rules cannot name it. Opening it turns the JIT on. */
static void open_inspect(lua_State *L) {
    open_library(L, luaopen_jit, LUA_JITLIBNAME);
    lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
    lua_getfield(L, -1, LUA_JITLIBNAME ".util");
    lua_pushliteral(L, LUA_JITLIBNAME ".util");
    lua_call(L, 1, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, INSPECT);
    lua_pop(L, 1);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
}

static void remember(lua_State *L, const char *key, const void *pointer) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)pointer);
    lua_setfield(L, LUA_REGISTRYINDEX, key);
}

static void make_mark(lua_State *L, const char *name) {
    if (luaL_newmetatable(L, name)) {
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

void sandbox_open_environment(lua_State *L, const struct fastr_bundle *bundle, struct fastr_shapes *shapes) {
    open_library(L, luaopen_base, "");
    open_library(L, luaopen_string, LUA_STRLIBNAME);
    open_library(L, luaopen_table, LUA_TABLIBNAME);
    open_library(L, luaopen_math, LUA_MATHLIBNAME);
    open_inspect(L);
    remember(L, BUNDLE, bundle);
    remember(L, SHAPES, shapes);
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LOADED);
    make_mark(L, FASTR_JSON_ARRAY);
    make_mark(L, REFUSAL);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_newtable(L);
    take(L, base_names, NULL);
    luaL_register(L, NULL, own_base);
    add_string(L);
    add_math(L);
    add_table(L);
    add_pack(L);
    add_bindings(L);
    lua_setfield(L, LUA_REGISTRYINDEX, NAMES);
    lua_pop(L, 1);
}
