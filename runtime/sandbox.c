/* sandbox.c: see sandbox.h. Leans on LuaJIT's C API only: every value that crosses is read raw, inside a protected call. */
#include "runtime/sandbox.h"

#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/json.h"
#include "runtime/sandbox_env.h"
#include "runtime/shape.h"
#include "runtime/slots.h"

enum { HOOK_STEP = 1000, DEPTH_MAX = 32 };
enum { CLASS_STEP = 16, SMALL_BYTES = 512, CHUNK_BYTES = 65536, GARBAGE_BYTES = 2048 * 1024, HELD_MUCH = 64 * 1024 };
enum { STACK_BYTES = 256 * 1024, POINT_MAX = 96 };

const char fastr_sandbox_export_key = 'x';
static const char killed_sentinel = 'k';

#define BREACH "fastr.breach" /* in the registry: what the pack says of breaches */

struct budget {
    int64_t instructions, per_value, us, values;
    size_t memory;
};

struct block {
    struct block *next;
};

struct chunk {
    struct chunk *next;
    _Alignas(CLASS_STEP) char bytes[];
};

/* A fact that a point wants, of those that must be looked up. */
struct need {
    struct need *next;
    char *point, *name;
};

struct fastr_sandbox {
    lua_State *L;
    const struct fastr_bundle *bundle;
    struct budget budget;
    /* memory */
    size_t used, limit, baseline;
    size_t held;    /* by this call outside the state: see fastr_sandbox_hold */
    size_t outside; /* what calls held that held much, since the last collection */
    struct block *blocks[SMALL_BYTES / CLASS_STEP + 1]; /* free, by size */
    struct chunk *chunks;
    size_t chunk_left;
    bool out_of_memory;
    /* this call */
    int64_t left, allowed, step;
    uint64_t started;
    const char *stack; /* where the C stack was at its start */
    const char *breach; /* which budget, once one is broken */
    char place[128];    /* where that was: "FILE:LINE: ", or "" */
    bool running;
    const char *code;
    int points; /* registry reference */
    struct fastr_shapes *shapes;
    struct need *needs;
};

static const struct budget load_budget = {20000000, 0, 2000000, 0, 64 << 20};
static const struct budget default_budget = {500000, 4000, 50000, 200000, 16 << 20};

static void note_place(struct fastr_sandbox *sandbox, lua_State *L);

/* ---- memory: small blocks from free lists by size, all of it counted -------------------------------------------- */

static size_t class_of(size_t size) {
    return (size + CLASS_STEP - 1) / CLASS_STEP;
}

/* A block of one class, from its list or off the newest chunk. NULL when the machine has no memory. */
static void *take_block(struct fastr_sandbox *sandbox, size_t class) {
    struct block *block = sandbox->blocks[class];
    size_t size = class * CLASS_STEP;
    if (block) {
        sandbox->blocks[class] = block->next;
        return block;
    }
    if (sandbox->chunk_left < size) {
        struct chunk *chunk = malloc(CHUNK_BYTES);
        if (!chunk)
            return NULL;
        chunk->next = sandbox->chunks;
        sandbox->chunks = chunk;
        sandbox->chunk_left = CHUNK_BYTES - sizeof *chunk;
    }
    sandbox->chunk_left -= size;
    return (char *)sandbox->chunks + CHUNK_BYTES - sandbox->chunk_left - size;
}

static void give_block(struct fastr_sandbox *sandbox, void *memory, size_t class) {
    struct block *block = memory;
    block->next = sandbox->blocks[class];
    sandbox->blocks[class] = block;
}

/* Room of another size, with what was in the old one; at least one of the two is small. NULL leaves the old one. */
static void *move_block(struct fastr_sandbox *sandbox, void *block, size_t old, size_t size) {
    void *fresh = size <= SMALL_BYTES ? take_block(sandbox, class_of(size)) : malloc(size);
    if (!fresh || !block)
        return fresh;
    memcpy(fresh, block, old < size ? old : size);
    if (old <= SMALL_BYTES)
        give_block(sandbox, block, class_of(old));
    else
        free(block);
    return fresh;
}

static void release(struct fastr_sandbox *sandbox, void *block, size_t old) {
    if (!block)
        return;
    sandbox->used -= old;
    if (old <= SMALL_BYTES)
        give_block(sandbox, block, class_of(old));
    else
        free(block);
}

static void run_out(struct fastr_sandbox *sandbox) {
    if (!sandbox->out_of_memory && sandbox->running)
        note_place(sandbox, sandbox->L);
    sandbox->out_of_memory = true;
}

static void *sandbox_alloc(void *data, void *block, size_t old, size_t size) {
    struct fastr_sandbox *sandbox = data;
    if (size == 0) {
        release(sandbox, block, old);
        return NULL;
    }
    old = block ? old : 0;
    if (size > old && sandbox->used + sandbox->held + (size - old) > sandbox->limit) {
        run_out(sandbox);
        return NULL;
    }
    void *fresh = block;
    if (old > SMALL_BYTES && size > SMALL_BYTES)
        fresh = realloc(block, size);
    else if (!block || old > SMALL_BYTES || size > SMALL_BYTES || class_of(old) != class_of(size))
        fresh = move_block(sandbox, block, old, size);
    if (fresh)
        sandbox->used += size - old;
    else
        run_out(sandbox); /* of the machine's memory */
    return fresh;
}

static void free_chunks(struct fastr_sandbox *sandbox) {
    for (struct chunk *chunk = sandbox->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
}

static struct fastr_sandbox *sandbox_of(lua_State *L) {
    void *data;
    return lua_getallocf(L, &data) == sandbox_alloc ? data : NULL;
}

/* ---- the kill -------------------------------------------------------------------------------------------------- */

static void rethrow(lua_State *L) {
    lua_pushlightuserdata(L, (void *)&killed_sentinel);
    lua_error(L);
}

static void count_hook(lua_State *L, lua_Debug *unused);

enum { PLACE_LEVELS = 40 }; /* each costs a walk from the top: an endless recursion is deep */

/* Where the state is: the innermost line of a promotion, else of any file. */
static void note_place(struct fastr_sandbox *sandbox, lua_State *L) {
    lua_Debug at;
    sandbox->place[0] = '\0';
    for (int level = 0; level < PLACE_LEVELS && lua_getstack(L, level, &at); level++) {
        bool promotion, file = lua_getinfo(L, "Sl", &at) && at.source[0] == '@';
        promotion = file && strncmp(at.source, "@promotions/", 12) == 0;
        if (promotion || (file && !sandbox->place[0]))
            snprintf(sandbox->place, sizeof sandbox->place, "%.100s:%d: ", at.source + 1, at.currentline);
        if (promotion)
            return;
    }
}

/* From here on every instruction raises, so that nothing the rule catches lets it go on. */
static void breach(struct fastr_sandbox *sandbox, lua_State *L, const char *which) {
    if (!sandbox->breach) {
        sandbox->breach = which;
        if (!sandbox->out_of_memory || !sandbox->place[0])
            note_place(sandbox, L);
    }
    lua_sethook(L, count_hook, LUA_MASKCOUNT, 1);
    rethrow(L);
}

static int64_t thread_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

/* Wall time is cheap to read; a worker that was merely descheduled is not the rule's fault, so CPU time confirms it. */
static bool out_of_time(const struct fastr_sandbox *sandbox) {
    static _Thread_local uint64_t of;
    static _Thread_local int64_t cpu;
    if (fastr_clock_us() - sandbox->started <= (uint64_t)sandbox->budget.us)
        return false;
    if (of != sandbox->started) {
        of = sandbox->started;
        cpu = thread_us();
    }
    return thread_us() - cpu > sandbox->budget.us / 2;
}

static void spend(struct fastr_sandbox *sandbox, lua_State *L, int64_t units) {
    sandbox->left -= units;
    if (sandbox->left < 0)
        breach(sandbox, L, "instructions");
    if (out_of_time(sandbox))
        breach(sandbox, L, "time");
}

static void count_hook(lua_State *L, lua_Debug *unused) {
    struct fastr_sandbox *sandbox = sandbox_of(L);
    if (sandbox->breach || sandbox->out_of_memory)
        breach(sandbox, L, "memory");
    spend(sandbox, L, sandbox->step);
}

void fastr_sandbox_charge(lua_State *L, int64_t units) {
    struct fastr_sandbox *sandbox = sandbox_of(L);
    if (!sandbox || !sandbox->running)
        return;
    if (sandbox->breach)
        rethrow(L);
    sandbox->left -= units;
    if (sandbox->left < 0)
        breach(sandbox, L, "instructions");
    if (units >= HOOK_STEP && out_of_time(sandbox))
        breach(sandbox, L, "time");
}

void fastr_sandbox_hold(lua_State *L, size_t bytes) {
    struct fastr_sandbox *sandbox = sandbox_of(L);
    if (!sandbox || !sandbox->running)
        return;
    sandbox->held += bytes;
    if (sandbox->used + sandbox->held <= sandbox->limit)
        return;
    sandbox->out_of_memory = true;
    breach(sandbox, L, "memory");
}

void sandbox_check_alive(lua_State *L) {
    struct fastr_sandbox *sandbox = sandbox_of(L);
    if (sandbox && (sandbox->breach || sandbox->out_of_memory))
        breach(sandbox, L, "memory");
}

void sandbox_check_depth(lua_State *L) {
    struct fastr_sandbox *sandbox = sandbox_of(L);
    if (sandbox && sandbox->running && sandbox->stack - (const char *)__builtin_frame_address(0) > STACK_BYTES)
        luaL_error(L, "calls nested too deep");
}

/* The real limit a little higher while an error is formatted and the answer handed over: LuaJIT's collector allocates. */
static void arm(struct fastr_sandbox *sandbox, const struct budget *budget, int64_t values, bool exact) {
    sandbox->budget = *budget;
    sandbox->allowed = sandbox->left = budget->instructions + budget->per_value * values;
    sandbox->step = exact ? 1 : HOOK_STEP;
    sandbox->started = fastr_clock_us();
    sandbox->stack = __builtin_frame_address(0);
    sandbox->breach = NULL;
    sandbox->place[0] = '\0';
    sandbox->out_of_memory = false;
    sandbox->running = true;
    sandbox->held = 0;
    sandbox->limit = sandbox->used + budget->memory;
    lua_sethook(sandbox->L, count_hook, LUA_MASKCOUNT, (int)sandbox->step);
}

static void disarm(struct fastr_sandbox *sandbox) {
    sandbox->running = false;
    sandbox->limit = SIZE_MAX;
    if (sandbox->breach)
        lua_sethook(sandbox->L, NULL, 0, 0);
}

/* Garbage is taken away once there is two megabytes of it: a collection marks all that the pack holds, so it is to pay for
 * many decisions; with more, what they touch would leave the processor's cache. */
static void tidy(struct fastr_sandbox *sandbox) {
    lua_settop(sandbox->L, 0);
    sandbox->outside += sandbox->held > HELD_MUCH ? sandbox->held : 0;
    if (sandbox->used + sandbox->outside < sandbox->baseline + GARBAGE_BYTES)
        return;
    sandbox->outside = 0;
    lua_gc(sandbox->L, LUA_GCCOLLECT, 0);
    lua_gc(sandbox->L, LUA_GCSTOP, 0);
    sandbox->baseline = sandbox->used;
}

/* Fills `err` from the error value on the top of the rules state. */
static int failed(struct fastr_sandbox *sandbox, int status, const char *code, struct fastr_err *err) {
    lua_State *L = sandbox->L;
    code = sandbox_refusal(L) ? "invalid" : code;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error that is no text";
    if (sandbox->out_of_memory || status == LUA_ERRMEM)
        return fastr_fail(err, "rules_budget", "%smemory budget of %zu KB spent", sandbox->place,
                          sandbox->budget.memory / 1024);
    if (sandbox->breach && strcmp(sandbox->breach, "time") == 0)
        return fastr_fail(err, "rules_budget", "%stime budget of %lld ms spent", sandbox->place,
                          (long long)sandbox->budget.us / 1000);
    if (sandbox->breach && strcmp(sandbox->breach, "values") == 0)
        return fastr_fail(err, "rules_budget", "answer of more than %lld values", (long long)sandbox->budget.values);
    if (sandbox->breach)
        return fastr_fail(err, "rules_budget", "%sbudget of %lld instructions spent", sandbox->place,
                          (long long)sandbox->allowed);
    return fastr_fail(err, code, "%s", text);
}

/* ---- copying an answer out: raw, bounded, no metamethod runs --------------------------------------------------- */

struct copy {
    struct fastr_sandbox *sandbox;
    lua_State *from, *to;
    int64_t left; /* values */
};

static void copy_out(struct copy *copy, int index, int depth);

static int refuse(struct copy *copy, const char *what) {
    return luaL_error(copy->from, "the answer holds %s", what);
}

static void copy_number(struct copy *copy, int index) {
    double number = lua_tonumber(copy->from, index);
    if (number != number || number - number != 0)
        refuse(copy, "a number that is not finite");
    lua_pushnumber(copy->to, number);
}

static void copy_text(struct copy *copy, int index) {
    size_t length;
    const char *text = lua_tolstring(copy->from, index, &length);
    copy->left -= (int64_t)(length / 64);
    lua_pushlstring(copy->to, text, length);
}

static void copy_key(struct copy *copy) {
    if (lua_type(copy->from, -2) == LUA_TSTRING)
        copy_text(copy, -2);
    else if (lua_type(copy->from, -2) == LUA_TNUMBER)
        copy_number(copy, -2);
    else
        refuse(copy, "a key that is neither text nor number");
}

static void copy_table(struct copy *copy, int index, int depth) {
    if (depth > DEPTH_MAX)
        refuse(copy, "tables nested more than 32 deep");
    if (!lua_checkstack(copy->from, 4) || !lua_checkstack(copy->to, 4))
        refuse(copy, "more than the stack");
    bool empty = true;
    int length = (int)lua_objlen(copy->from, index);
    lua_createtable(copy->to, length < 4096 ? length : 4096, length ? 0 : 8);
    lua_pushvalue(copy->from, index);
    lua_pushnil(copy->from);
    while (lua_next(copy->from, -2)) {
        empty = false;
        copy_key(copy);
        copy_out(copy, lua_gettop(copy->from), depth + 1);
        lua_rawset(copy->to, -3);
        lua_pop(copy->from, 1);
    }
    lua_pop(copy->from, 1);
    if (empty && sandbox_is_array(copy->from, index))
        fastr_json_mark_array(copy->to);
}

static fastr_sandbox_export export_of(lua_State *L, int index) {
    fastr_sandbox_export export = NULL;
    if (lua_type(L, index) == LUA_TUSERDATA && lua_getmetatable(L, index)) {
        lua_pushlightuserdata(L, (void *)&fastr_sandbox_export_key);
        lua_rawget(L, -2);
        void *found = lua_touserdata(L, -1);
        memcpy(&export, &found, sizeof export);
        lua_pop(L, 2);
    }
    return export;
}

static void copy_block(struct copy *copy, int index) {
    fastr_sandbox_export export = export_of(copy->from, index);
    if (!export)
        refuse(copy, "a userdata");
    copy->left -= export(copy->to, NULL, lua_touserdata(copy->from, index));
}

static void copy_out(struct copy *copy, int index, int depth) {
    if (--copy->left < 0)
        breach(copy->sandbox, copy->from, "values");
    switch (lua_type(copy->from, index)) {
    case LUA_TNIL: lua_pushnil(copy->to); break;
    case LUA_TBOOLEAN: lua_pushboolean(copy->to, lua_toboolean(copy->from, index)); break;
    case LUA_TNUMBER: copy_number(copy, index); break;
    case LUA_TSTRING: copy_text(copy, index); break;
    case LUA_TTABLE: copy_table(copy, index, depth); break;
    case LUA_TUSERDATA: copy_block(copy, index); break;
    default: refuse(copy, "a function, a thread or a pointer");
    }
}

/* ---- calls ----------------------------------------------------------------------------------------------------- */

struct call {
    struct fastr_sandbox *sandbox;
    lua_State *from;
    int facts;
    const struct fastr_json_token *tape; /* the facts, if they are not in `from` */
    struct fastr_buffer *out;            /* for the answer, if it is not for `from` */
    struct fastr_decision *decision;
    const char *code; /* of an error raised now */
};

static void find_point(lua_State *L, struct call *call) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, call->sandbox->points);
    lua_pushstring(L, call->decision->point);
    lua_rawget(L, -2);
    if (!lua_istable(L, -1)) {
        call->code = "invalid";
        luaL_error(L, "the pack does not decide '%s'", call->decision->point);
    }
}

static int64_t copy_in(struct call *call, lua_State *L) {
    struct fastr_sandbox *sandbox = call->sandbox;
    if (call->tape)
        return fastr_shape_read(sandbox->shapes, call->decision->point, call->tape, L);
    return fastr_shape_copy(sandbox->shapes, call->decision->point, call->from, call->facts, L);
}

/* The answer on the top as JSON if it can write itself; else on `from`. */
static void hand_over(struct call *call, lua_State *L, int64_t facts) {
    struct fastr_sandbox *sandbox = call->sandbox;
    struct copy copy = {sandbox, L, call->from, sandbox->budget.values + facts * 64};
    fastr_sandbox_export export = call->out ? export_of(L, -1) : NULL;
    if (!export) {
        copy_out(&copy, lua_gettop(L), 0);
        return;
    }
    copy.left -= export(NULL, call->out, lua_touserdata(L, -1));
    if (copy.left < 0)
        breach(sandbox, L, "values");
}

static const char *answer_key(char key[POINT_MAX], const char *point) {
    snprintf(key, POINT_MAX, "%.80s answers", point);
    return key;
}

/* Raises unless the value at `index` is of the shape that the point at `at` declares for its answers, if it declares one. */
static void check_answer(struct fastr_sandbox *sandbox, lua_State *L, const char *point, int at, int index) {
    char about[2 * POINT_MAX], key[POINT_MAX];
    lua_getfield(L, at, "answer");
    bool declared = !lua_isnil(L, -1);
    lua_pop(L, 1);
    if (!declared)
        return;
    lua_getfield(L, at, "file");
    const char *file = lua_isstring(L, -1) ? lua_tostring(L, -1) : "init";
    snprintf(about, sizeof about, "%.80s.lua:1: %.80s: answer", file, point);
    lua_pop(L, 1);
    fastr_shape_check(sandbox->shapes, answer_key(key, point), about, L, index);
}

static int decide_protected(lua_State *L) {
    struct call *call = lua_touserdata(L, 1);
    struct fastr_sandbox *sandbox = call->sandbox;
    find_point(L, call);
    int point = lua_gettop(L);
    lua_getfield(L, -1, "decide");
    call->code = "invalid";
    int64_t values = copy_in(call, L);
    call->code = "rules_error";
    sandbox->left += sandbox->budget.per_value * values;
    sandbox->allowed += sandbox->budget.per_value * values;
    lua_pushstring(L, call->decision->explain);
    lua_call(L, 2, 1);
    sandbox_check_alive(L);
    check_answer(sandbox, L, call->decision->point, point, lua_gettop(L));
    hand_over(call, L, values);
    return 0;
}

static int run_call(struct call *call, struct fastr_err *err) {
    struct fastr_sandbox *sandbox = call->sandbox;
    struct budget budget = sandbox->budget;
    int top = lua_gettop(call->from), result = 0;
    if (!lua_checkstack(call->from, 8))
        return fastr_fail(err, "rules_error", "no room on the caller's stack");
    fastr_slot_decides(call->decision->point, fastr_sandbox_hash(sandbox));
    arm(sandbox, &budget, 0, call->decision->exact);
    int status = lua_cpcall(sandbox->L, decide_protected, call);
    disarm(sandbox);
    fastr_slot_decided();
    call->decision->limit = sandbox->allowed;
    call->decision->instructions = sandbox->allowed - sandbox->left;
    if (status != 0) {
        lua_settop(call->from, top);
        result = failed(sandbox, status, call->code, err);
    }
    tidy(sandbox);
    return result;
}

int fastr_sandbox_decide(struct fastr_sandbox *sandbox, lua_State *from, int facts, struct fastr_decision *decision,
                         struct fastr_err *err) {
    struct call call = {.sandbox = sandbox, .from = from, .decision = decision, .code = "rules_error",
                        .facts = facts < 0 ? lua_gettop(from) + facts + 1 : facts};
    if (lua_type(from, call.facts) != LUA_TTABLE)
        return fastr_fail(err, "invalid", "facts: a table is expected, not a %s", luaL_typename(from, call.facts));
    return run_call(&call, err);
}

/* The answer on the top of `from`, a table, as JSON without its last brace. */
static int encode_answer(lua_State *from, const char *point, struct fastr_buffer *out, struct fastr_err *err) {
    int result = lua_istable(from, -1) ? fastr_json_encode(from, -1, false, out, err)
                                       : fastr_fail(err, "rules_error", "%s: the rules answered no table", point);
    if (result == 0 && out->data[out->length - 1] != '}')
        result = fastr_fail(err, "rules_error", "%s: the rules answered a list", point);
    out->length -= result == 0;
    return result;
}

int fastr_sandbox_decide_text(struct fastr_sandbox *sandbox, lua_State *from, const char *text, size_t length,
                              struct fastr_decision *decision, struct fastr_buffer *out, struct fastr_err *err) {
    struct call call = {.sandbox = sandbox, .from = from, .decision = decision, .code = "rules_error", .out = out};
    size_t before = out->length;
    int top = lua_gettop(from), result = -1;
    call.tape = fastr_json_tape(text, length, NULL, err);
    if (!call.tape)
        snprintf(err->code, sizeof err->code, "json");
    else
        result = run_call(&call, err);
    if (result == 0 && lua_gettop(from) > top)
        result = encode_answer(from, decision->point, out, err);
    if (result != 0)
        out->length = before;
    lua_settop(from, top);
    return result;
}

/* check(point, "facts" | "answer", value): raises unless it is of the shape that the point declares */
static int l_check_example(lua_State *L) {
    struct fastr_sandbox *sandbox = sandbox_of(L);
    const char *point = luaL_checkstring(L, 1), *part = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    lua_rawgeti(L, LUA_REGISTRYINDEX, sandbox->points);
    lua_pushvalue(L, 1);
    lua_rawget(L, -2);
    luaL_checktype(L, -1, LUA_TTABLE);
    if (strcmp(part, "facts") == 0)
        fastr_shape_check(sandbox->shapes, point, part, L, 3);
    else
        check_answer(sandbox, L, point, lua_gettop(L), 3);
    return 0;
}

struct breach_call {
    struct fastr_sandbox *sandbox;
    lua_State *from;
    const char *point;
    enum fastr_sandbox_breach is;
};

static int breach_protected(lua_State *L) {
    struct breach_call *call = lua_touserdata(L, 1);
    struct copy copy = {call->sandbox, L, call->from, 10000};
    lua_getfield(L, LUA_REGISTRYINDEX, BREACH);
    lua_pushstring(L, call->point);
    lua_rawget(L, -2);
    if (lua_istable(L, -1)) {
        copy_out(&copy, lua_gettop(L), 0);
        call->is = FASTR_BREACH_ANSWER;
    } else if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "previous") == 0) {
        call->is = FASTR_BREACH_PREVIOUS;
    }
    return 0;
}

enum fastr_sandbox_breach fastr_sandbox_breach(struct fastr_sandbox *sandbox, lua_State *from, const char *point) {
    struct breach_call call = {sandbox, from, point, FASTR_BREACH_REFUSE};
    int top = lua_gettop(from);
    if (!lua_checkstack(from, 8) || lua_cpcall(sandbox->L, breach_protected, &call) != 0) {
        lua_settop(from, top);
        call.is = FASTR_BREACH_REFUSE;
    }
    lua_settop(sandbox->L, 0);
    return call.is;
}

static int prove_protected(lua_State *L) {
    int *examples = lua_touserdata(L, 1);
    struct fastr_sandbox *sandbox = sandbox_of(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, sandbox->points);
    lua_getfield(L, LUA_REGISTRYINDEX, "fastr.prove");
    if (!lua_isfunction(L, -1))
        return 0;
    uint64_t before = sandbox_fingerprint(L);
    lua_pushcfunction(L, l_check_example);
    lua_call(L, 1, 1);
    *examples = (int)lua_tointeger(L, -1);
    if (sandbox_fingerprint(L) != before)
        luaL_error(L, "init.lua:1: a rule keeps state between decisions: it changed a variable or table of its file");
    return 0;
}

int fastr_sandbox_prove(struct fastr_sandbox *sandbox, struct fastr_err *err) {
    struct budget budget = sandbox->budget;
    int examples = 0;
    arm(sandbox, &load_budget, 0, false);
    int status = lua_cpcall(sandbox->L, prove_protected, &examples);
    disarm(sandbox);
    if (status != 0)
        failed(sandbox, status, "rules_error", err);
    sandbox->budget = budget;
    tidy(sandbox);
    return status != 0 ? -1 : examples;
}

/* ---- building -------------------------------------------------------------------------------------------------- */

static int panic(lua_State *L) {
    fastr_log(FASTR_ERROR, "rules state: unprotected error: %s",
              lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?");
    abort();
}

static int64_t budget_field(lua_State *L, const char *name, int64_t otherwise, int64_t most) {
    lua_getfield(L, -1, name);
    double value = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : (double)otherwise;
    lua_pop(L, 1);
    if (!(value >= 0 && value <= (double)most))
        luaL_error(L, "init.lua:1: budget.%s is from 0 to %f", name, (double)most);
    return (int64_t)value;
}

static void read_budget(lua_State *L, struct budget *budget) {
    *budget = default_budget;
    lua_getfield(L, -1, "budget");
    if (lua_istable(L, -1)) {
        budget->instructions = budget_field(L, "instructions", budget->instructions, 1000000000);
        budget->per_value = budget_field(L, "per_value", budget->per_value, 1000000);
        budget->us = 1000 * budget_field(L, "ms", budget->us / 1000, 10000);
        budget->memory = (size_t)(1024 * budget_field(L, "memory_kb", (int64_t)budget->memory / 1024, 1 << 20));
        budget->values = budget_field(L, "values", budget->values, 10000000);
    }
    lua_pop(L, 1);
}

/* The two shapes of the point on the top, compiled once. */
static void compile_point(lua_State *L, struct fastr_shapes *shapes, const char *name) {
    char key[POINT_MAX];
    lua_getfield(L, -1, "facts");
    fastr_shape_compile(shapes, L, name);
    lua_pop(L, 1);
    lua_getfield(L, -1, "answer");
    if (!lua_isnil(L, -1))
        fastr_shape_compile(shapes, L, answer_key(key, name));
    lua_pop(L, 1);
}

static void read_needs(lua_State *L, struct fastr_sandbox *sandbox, const char *point) {
    lua_getfield(L, -1, "needs");
    int count = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
    if (!lua_isnil(L, -1) && !lua_istable(L, -1))
        luaL_error(L, "init.lua:1: needs of '%s' is a list of names", point);
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "init.lua:1: needs[%d] of '%s' is no name", i, point);
        struct need *need = fastr_alloc(sizeof *need);
        *need = (struct need){sandbox->needs, fastr_strdup(point), fastr_strdup(lua_tostring(L, -1))};
        sandbox->needs = need;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void free_needs(struct need *need) {
    for (struct need *next; need; need = next) {
        next = need->next;
        free(need->point);
        free(need->name);
        free(need);
    }
}

void fastr_sandbox_each_need(const struct fastr_sandbox *sandbox, const char *point, void (*tell)(const char *name, void *data),
                             void *data) {
    for (const struct need *need = sandbox->needs; need; need = need->next)
        if (strcmp(need->point, point) == 0)
            tell(need->name, data);
}

static void read_points(lua_State *L, struct fastr_sandbox *sandbox) {
    lua_getfield(L, -1, "points");
    if (!lua_istable(L, -1))
        luaL_error(L, "init.lua:1: a pack returns { points = { [\"price.cart\"] = ... } }");
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (lua_type(L, -2) != LUA_TSTRING || !lua_istable(L, -1))
            luaL_error(L, "init.lua:1: points are tables by name");
        const char *name = lua_tostring(L, -2);
        lua_getfield(L, -1, "decide");
        if (!lua_isfunction(L, -1))
            luaL_error(L, "init.lua:1: point '%s' has no decide function", name);
        lua_pop(L, 1);
        compile_point(L, sandbox->shapes, name);
        read_needs(L, sandbox, name);
        lua_pop(L, 1);
    }
    sandbox->points = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* `breach` names points, and for each a word or an answer. */
static void read_breach(lua_State *L, struct fastr_sandbox *sandbox) {
    lua_getfield(L, -1, "breach");
    if (lua_isnil(L, -1))
        lua_newtable(L);
    else if (!lua_istable(L, -1))
        luaL_error(L, "init.lua:1: breach is a table by point");
    lua_rawgeti(L, LUA_REGISTRYINDEX, sandbox->points);
    for (lua_pushnil(L); lua_next(L, -3); lua_pop(L, 1)) {
        const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        lua_pushvalue(L, -2);
        lua_rawget(L, -4);
        if (lua_type(L, -3) != LUA_TSTRING || lua_isnil(L, -1))
            luaL_error(L, "init.lua:1: breach names a point that the pack has not");
        lua_pop(L, 1);
        if (!lua_istable(L, -1) && strcmp(word, "refuse") != 0 && strcmp(word, "previous") != 0)
            luaL_error(L, "init.lua:1: breach of '%s': \"refuse\", \"previous\" or an answer is expected", lua_tostring(L, -2));
    }
    lua_pop(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, BREACH);
}

struct building {
    struct fastr_sandbox *sandbox;
    struct budget budget;
};

static int build_protected(lua_State *L) {
    struct building *building = lua_touserdata(L, 1);
    sandbox_open_environment(L, building->sandbox->bundle, building->sandbox->shapes);
    sandbox_require(L, "init");
    if (!lua_istable(L, -1))
        luaL_error(L, "init.lua:1: a pack returns a table");
    read_budget(L, &building->budget);
    lua_getfield(L, -1, "prove");
    lua_setfield(L, LUA_REGISTRYINDEX, "fastr.prove");
    lua_pushvalue(L, -1);
    read_points(L, building->sandbox);
    lua_settop(L, 2);
    read_breach(L, building->sandbox);
    sandbox_seal(L);
    return 0;
}

/* All of a pack is text, what is never run in here (its specs) too: others show it, keep it in PostgreSQL, and load it
 * where bytecode would be believed. */
static int check_texts(const struct fastr_bundle *bundle, struct fastr_err *err) {
    for (int i = 0; i < fastr_bundle_count(bundle); i++) {
        const char *text = fastr_bundle_data(bundle, i), *end = text + fastr_bundle_length(bundle, i);
        int line = 1;
        if (*text == '\033')
            return fastr_fail(err, "invalid", "%s:1: is bytecode; rules are text", fastr_bundle_name(bundle, i));
        for (size_t length; text < end; text += length) {
            length = *text && !(*text & 0x80) ? 1 : *text ? fastr_utf8_length(text, end) : 0;
            if (!length)
                return fastr_fail(err, "invalid", "%s:%d: is not UTF-8 text", fastr_bundle_name(bundle, i), line);
            line += *text == '\n';
        }
    }
    return 0;
}

struct fastr_sandbox *fastr_sandbox_new(const struct fastr_bundle *bundle, struct fastr_err *err) {
    if (check_texts(bundle, err) != 0)
        return NULL;
    struct fastr_sandbox *sandbox = fastr_zalloc(sizeof *sandbox);
    struct building building = {sandbox, default_budget};
    sandbox->bundle = bundle;
    sandbox->limit = SIZE_MAX;
    sandbox->shapes = fastr_shapes_new();
    sandbox->L = lua_newstate(sandbox_alloc, sandbox);
    if (!sandbox->L) {
        fastr_fail(err, "rules_error", "no memory for a rules state");
        fastr_sandbox_free(sandbox);
        return NULL;
    }
    lua_atpanic(sandbox->L, panic);
    luaJIT_setmode(sandbox->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    arm(sandbox, &load_budget, 0, false);
    int status = lua_cpcall(sandbox->L, build_protected, &building);
    disarm(sandbox);
    if (status != 0) {
        failed(sandbox, status, "invalid", err);
        fastr_sandbox_free(sandbox);
        return NULL;
    }
    sandbox->budget = building.budget;
    lua_gc(sandbox->L, LUA_GCCOLLECT, 0);
    lua_gc(sandbox->L, LUA_GCSTOP, 0);
    sandbox->baseline = sandbox->used;
    return sandbox;
}

void fastr_sandbox_free(struct fastr_sandbox *sandbox) {
    if (!sandbox)
        return;
    if (sandbox->L)
        lua_close(sandbox->L);
    free_chunks(sandbox);
    fastr_shapes_free(sandbox->shapes);
    free_needs(sandbox->needs);
    free(sandbox);
}

void fastr_sandbox_each_point(struct fastr_sandbox *sandbox, void (*visit)(const char *name, void *data), void *data) {
    lua_State *L = sandbox->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, sandbox->points);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        visit(lua_tostring(L, -2), data);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

const char *fastr_sandbox_hash(const struct fastr_sandbox *sandbox) {
    return fastr_bundle_hash(sandbox->bundle);
}
