/* shape.h: what the facts of a decision look like, checked while they are copied into the rules state; and its answer.
 *
 * A shape is declared by the pack as a plain table: { kind = "object", fields = { name = shape, ... } }, { kind = "list",
 * of = shape, max = n }, { kind = "map", of = shape }, { kind = "text", min =, max = bytes, values = { ... } }, { kind =
 * "integer", min =, max = }, { kind = "number" }, { kind = "boolean" }, { kind = "any" }; a field with `optional = true` may
 * be absent or null; null is copied as absent, or as the number `null_as`. Unknown fields are refused, with their path. */
#ifndef FASTR_SHAPE_H
#define FASTR_SHAPE_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

struct fastr_shapes;
struct fastr_json_token;

struct fastr_shapes *fastr_shapes_new(void);
void fastr_shapes_free(struct fastr_shapes *shapes); /* NULL is fine */
/* Compiles the declaration on the top of L (left there) under `name`; raises on L for a malformed one. nil is "any". */
void fastr_shape_compile(struct fastr_shapes *shapes, lua_State *L, const char *name);
/* Pushes on `to` a copy of the value at `index` of `from`, read raw; raises on `to` with the path ("lines[3].sku: ...").
 * Returns the number of values seen. */
int64_t fastr_shape_copy(const struct fastr_shapes *shapes, const char *name, lua_State *from, int index, lua_State *to);
/* Only checks the value at `index` of L; raises on L, the place in the message below `about` ("answer.lines[3].sku: ..."). */
void fastr_shape_check(const struct fastr_shapes *shapes, const char *name, const char *about, lua_State *L, int index);
/* Copies as fastr_shape_copy does, from the tape of a JSON text (json.h). */
int64_t fastr_shape_read(const struct fastr_shapes *shapes, const char *name, const struct fastr_json_token *tape,
                         lua_State *to);

/* Insertions, deletions and changes that turn `a` into `b` (Levenshtein), to guess which name was meant; 99 if one of
 * them is longer than 60 bytes. */
int fastr_edit_distance(const char *a, const char *b);

#endif
