/* sandbox_env.h: what a rule can name: the frozen allow-list of functions. Private to sandbox.c. */
#ifndef FASTR_SANDBOX_ENV_H
#define FASTR_SANDBOX_ENV_H

#include "runtime/bundle.h"

struct fastr_shapes;

/* Makes the environment in a bare state. Raises. */
void sandbox_open_environment(lua_State *L, const struct fastr_bundle *bundle, struct fastr_shapes *shapes);
/* Pushes what the pack's file `name` ("init", "engine.rule") returns. Raises. */
void sandbox_require(lua_State *L, const char *name);
/* From now on no file is loaded and no shape declared. */
void sandbox_seal(lua_State *L);
/* Did array() mark the table at `index`? */
bool sandbox_is_array(lua_State *L, int index);
/* Was the error value on the top raised by refuse()? Then pushes its text. */
bool sandbox_refusal(lua_State *L);
/* A number over all that the pack's files keep: their tables, functions and upvalues. Differs once one was changed. */
uint64_t sandbox_fingerprint(lua_State *L);
/* Raises the kill again if this call's budget is broken: what pcall caught. In sandbox.c. */
void sandbox_check_alive(lua_State *L);
/* Raises when C functions that call rules have nested past a quarter of a megabyte of C stack: to unwind thousands of them
 * takes longer than any budget. In sandbox.c. */
void sandbox_check_depth(lua_State *L);

#endif
