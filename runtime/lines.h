/* lines.h: which lines of versions a process has, and where their files are read from. */
#ifndef FASTR_LINES_H
#define FASTR_LINES_H

#include "runtime/version.h"

/* Opens "scripts/NAME" (line 0) and one line for each binding that has a builder ("rules"). */
int fastr_lines_open(const char *process_name, struct fastr_err *err);
/* The files of a line as they are on disk now: scripts/ without rules/; or rules_dir with scripts/lib under "lib/". */
struct fastr_bundle *fastr_lines_read(const char *line, struct fastr_err *err);
/* A folder of rules with scripts/lib under "lib/", as the line "rules" has them. The caller frees. NULL with `err`. */
struct fastr_bundle *fastr_lines_read_pack(const char *folder, struct fastr_err *err);
/* The bundle with the file in which what is live goes before what is on disk (builder->carried), or as it is where there is
 * none. Takes the bundle; the caller frees what is returned. For one call of a process: it opens the line. NULL with `err`. */
struct fastr_bundle *fastr_lines_carry(const char *line, struct fastr_bundle *bundle, struct fastr_err *err);
/* Builds, proves and throws away: an error names file and line. 0 or -1. */
int fastr_lines_prove(const char *line, const struct fastr_bundle *bundle, struct fastr_err *err);
/* Opens the same lines for this process alone, built from the files on disk (tools, specs); or only that of the scripts. */
int fastr_lines_open_private(const struct fastr_builder *scripts, bool bindings, struct fastr_err *err);

#endif
