/* state.h: a trusted Lua state for scripts: the standard library without I/O, fastr.*, require from a bundle.
 *
 * Globals are strict: reading an undefined one or writing any raises. */
#ifndef FASTR_STATE_H
#define FASTR_STATE_H

#include "runtime/bundle.h"

/* The bindings that states get; set once by main.c before any state is made. Borrowed; `count` entries. */
void fastr_state_bindings(const struct fastr_binding *const *bindings, int count);
const struct fastr_binding *fastr_state_binding(int index); /* NULL past the last */

/* A new state over `bundle`, which must outlive it. */
lua_State *fastr_state_new(const struct fastr_bundle *bundle);
/* Gives `L` (any state, also an unrestricted one) the global `fastr`; its asset() reads `bundle`, which must outlive it. */
void fastr_state_open_fastr(lua_State *L, const struct fastr_bundle *bundle);
/* The chunk of a bundle's file on the stack, or -1 with file:line in `err` and nothing pushed. */
int fastr_state_load(lua_State *L, const struct fastr_bundle *bundle, const char *name, struct fastr_err *err);
/* lua_pcall with a traceback; on failure pops the error into `err`. */
int fastr_state_call(lua_State *L, int arguments, int results, struct fastr_err *err);

#endif
