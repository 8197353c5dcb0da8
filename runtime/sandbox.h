/* sandbox.h: a rules state, an interpreted Lua state built from one pack, in which a rule can do nothing but decide.
 *
 *   facts (caller's state) --copy, checked by shape--> rules state --pack's function--> answer --raw copy--> caller's state
 *
 * The pack's `init.lua` returns { points = { ["price.cart"] = { facts = shape, answer = shape, needs = { names of facts that
 * must be looked up for it }, file = its file's name, decide = function(facts, how) } }, prove = function(check) -> number of examples, budget = { instructions =, per_value =,
 * ms =, memory_kb =, values = } }. An answer of another shape than is declared is refused ("rules_error", with file, point
 * and path); a point without `answer` answers what it likes. check(point, "facts" or "answer", value) raises for an example's.
 *
 * What a rule has: an allow-list of functions, frozen; `pairs` in a defined order; the pure bindings; `require` within the
 * pack. What it has not: time, randomness, I/O, bytecode, patterns, coroutines, finalizers, a pcall that outlives the kill.
 * What it uses is counted: instructions (1,000 at a time, deterministic because the JIT is off), wall time, memory, values
 * in the answer. A breach ends the call with code "rules_budget"; the state stays usable. */
#ifndef FASTR_SANDBOX_H
#define FASTR_SANDBOX_H

#include "runtime/bundle.h"

struct fastr_sandbox;

/* Builds the state and runs the pack's top-level code under the load budget. The pure ones of the process's bindings
 * (state.h) become globals of the rules. The bundle must outlive the sandbox. NULL with file:line in `err`. */
struct fastr_sandbox *fastr_sandbox_new(const struct fastr_bundle *bundle, struct fastr_err *err);
void fastr_sandbox_free(struct fastr_sandbox *sandbox); /* NULL is fine */

struct fastr_decision {
    const char *point;    /* "price.cart" */
    const char *explain;  /* "none", "applied", "full" */
    bool exact;           /* count single instructions; slow, for the gate */
    int64_t instructions; /* out: used, in steps of 1,000 unless exact */
    int64_t limit;        /* out: what was allowed */
};

/* Decides: copies the facts at index `facts` of `from` in, and pushes the answer on `from`. 0, or -1 with nothing pushed and
 * code "invalid" (unknown point, facts refused: text begins with the path), "rules_budget" or "rules_error". Must not be
 * called from within a rule. */
int fastr_sandbox_decide(struct fastr_sandbox *sandbox, lua_State *from, int facts, struct fastr_decision *decision,
                         struct fastr_err *err);

/* The same for facts that are a JSON text, answered as JSON: appends the answer to `out`, without its last brace, so that
 * the caller can add members. Nothing is appended after a failure; its code is "json" for a text that is none. */
int fastr_sandbox_decide_text(struct fastr_sandbox *sandbox, lua_State *from, const char *text, size_t length,
                              struct fastr_decision *decision, struct fastr_buffer *out, struct fastr_err *err);

/* Calls tell(name, data) for each fact that the point says it needs of those that must be looked up. */
void fastr_sandbox_each_need(const struct fastr_sandbox *sandbox, const char *point, void (*tell)(const char *name, void *data),
                             void *data);

/* What the pack's `breach` says of a point whose decision went past its budget: nothing is answered; the version before is
 * asked; or a standing answer, which is pushed on `from`. */
enum fastr_sandbox_breach { FASTR_BREACH_REFUSE, FASTR_BREACH_PREVIOUS, FASTR_BREACH_ANSWER };
enum fastr_sandbox_breach fastr_sandbox_breach(struct fastr_sandbox *sandbox, lua_State *from, const char *point);

/* Runs the pack's examples, and verifies that no state was kept by them. The number of examples, or -1 with file:line. */
int fastr_sandbox_prove(struct fastr_sandbox *sandbox, struct fastr_err *err);

/* Calls `visit` with each decision point of the pack, in no order; it must not call the sandbox. */
void fastr_sandbox_each_point(struct fastr_sandbox *sandbox, void (*visit)(const char *name, void *data), void *data);

const char *fastr_sandbox_hash(const struct fastr_sandbox *sandbox);

/* For pure bindings: `units` of work (about an instruction each) on the budget of the rules state that L belongs to;
 * raises once it is spent. Does nothing in other states. */
void fastr_sandbox_charge(lua_State *L, int64_t units);

/* For pure bindings: `bytes` more are held outside the state until its collector frees them; they count towards the call's
 * memory budget, and it raises once that is spent. Does nothing in other states. */
void fastr_sandbox_hold(lua_State *L, size_t bytes);

/* A userdata whose metatable holds, under this light userdata's address as key, a pointer to such a function is copied out
 * by calling it: it pushes one table on `to`, or, if `out` is not NULL, appends it as JSON without its last brace. Rules
 * cannot make one. Returns the number of values made. */
typedef int64_t (*fastr_sandbox_export)(lua_State *to, struct fastr_buffer *out, void *block);
extern const char fastr_sandbox_export_key;

#endif
