/* bundle.h: a sealed copy of a folder of files under one hash; what versions are built from.
 *
 * Canonical form, which is what is hashed and stored:
 *     "fastr bundle 1\n", then per file in bytewise order of names: "NAME LENGTH\n" BYTES "\n"
 * Read once, so a file saved half-way later never mixes in. */
#ifndef FASTR_BUNDLE_H
#define FASTR_BUNDLE_H

#include "runtime/fastr.h"

struct fastr_bundle;

/* Every regular, visible file below `dir` (names relative to it, '/' between). Codes: "unavailable" (cannot read),
 * "invalid" (a file over 256 KiB, more than 4,096 files, over 16 MiB in all, a name with a blank or
 * a control character, or that leads elsewhere; a symbolic link). NULL on failure. */
struct fastr_bundle *fastr_bundle_read(const char *dir, struct fastr_err *err);
/* The same without what lies below the subfolder `skip` (may be NULL). */
struct fastr_bundle *fastr_bundle_read_without(const char *dir, const char *skip, struct fastr_err *err);
/* Adds the files below `dir` as "PREFIX/name" and hashes anew: a pack carries scripts/lib with it. 0 or -1. */
int fastr_bundle_add(struct fastr_bundle *bundle, const char *dir, const char *prefix, struct fastr_err *err);
/* A copy in which the file `name` has this text, added if it is not there. The same codes. */
struct fastr_bundle *fastr_bundle_with(const struct fastr_bundle *bundle, const char *name, const char *text, size_t length,
                                       struct fastr_err *err);
/* From its stored form; refuses one whose bytes do not have `hash` (NULL: any), and what fastr_bundle_read would. */
struct fastr_bundle *fastr_bundle_load(const char *path, const char *hash, struct fastr_err *err);
/* The same from bytes in memory; `what` they are is named in errors. */
struct fastr_bundle *fastr_bundle_parse(const char *bytes, size_t length, const char *what, const char *hash,
                                        struct fastr_err *err);
/* The stored form, which the caller frees. */
struct fastr_buffer fastr_bundle_text(const struct fastr_bundle *bundle);
/* Replaces the file DIR/NAME by these bytes (fsync, then rename). 0 or -1. */
int fastr_bundle_store_bytes(const char *dir, const char *name, const char *bytes, size_t length, struct fastr_err *err);
/* Writes the stored form to DIR/HASH (fsync, then rename); does nothing if it is there. 0 or -1. */
int fastr_bundle_store(const struct fastr_bundle *bundle, const char *dir, struct fastr_err *err);
/* The same bundle once more: it is freed by as many calls. */
struct fastr_bundle *fastr_bundle_share(struct fastr_bundle *bundle);
void fastr_bundle_free(struct fastr_bundle *bundle); /* NULL is fine */

const char *fastr_bundle_hash(const struct fastr_bundle *bundle); /* SHA-256, 64 lower-case hex digits */
int fastr_bundle_count(const struct fastr_bundle *bundle);
const char *fastr_bundle_name(const struct fastr_bundle *bundle, int index); /* from 0 */
const char *fastr_bundle_data(const struct fastr_bundle *bundle, int index); /* a NUL follows; owned by the bundle */
size_t fastr_bundle_length(const struct fastr_bundle *bundle, int index);
int fastr_bundle_find(const struct fastr_bundle *bundle, const char *name); /* index, or -1 */

#endif
