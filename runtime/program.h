/* program.h: the scripts as a built version: a Lua state, its routes, consumers and schedules; and idle coroutines.
 *
 * The shape of the table that scripts/main.lua returns is in docs/architecture.md, "The program". */
#ifndef FASTR_PROGRAM_H
#define FASTR_PROGRAM_H

#include "runtime/bundle.h"

struct fastr_router;

struct fastr_route {
    int handle;       /* registry reference of its function */
    char *name;       /* "GET /products/{sku}" */
    uint32_t timeout_ms;
    int concurrency;  /* tasks at once in this worker; 0: no limit of its own */
    int running;
    size_t body_bytes; /* 0: the setting's */
    struct fastr_metric *seconds, *failures;
};

struct fastr_coroutine {
    lua_State *L;
    int reference; /* in the program's registry */
};

struct fastr_program {
    lua_State *L;
    struct fastr_router *router;
    struct fastr_route *routes;
    int route_count;
    int table; /* registry reference of the program's table */
    struct fastr_coroutine *idle;
    int idle_count;
};

/* The services that main.lua is told to serve; set before the first build. Borrowed, `count` entries. */
void fastr_program_services(char **names, int count);
extern const struct fastr_builder fastr_program_builder; /* line "scripts" */

/* A coroutine with an empty stack; give it back only if its function returned without an error. */
struct fastr_coroutine fastr_program_coroutine(struct fastr_program *program);
void fastr_program_recycle(struct fastr_program *program, struct fastr_coroutine coroutine);
void fastr_program_drop(struct fastr_program *program, struct fastr_coroutine coroutine);
/* Pushes program[kind][index].handle on L; false (nothing pushed) if there is none. */
bool fastr_program_push_handler(struct fastr_program *program, lua_State *L, const char *kind, int index);
int fastr_program_length(struct fastr_program *program, const char *kind);
/* The text of program[kind][index][field], "" if absent; valid until the next call. */
const char *fastr_program_text(struct fastr_program *program, const char *kind, int index, const char *field);

#endif
