/* version.h: one engine for versions of scripts and rules: build, prove, prepare, store, drain, roll back.
 *
 * A line ("rules", "scripts/NAME") is a sequence of versions, each a bundle known by its hash. Which one is live stands
 * in VAR/run/active, a small file that every process of the host maps:
 *
 *     line "rules":  live = sequence << 8 | slot ----+
 *                    slot 0 [hash A, sequence 7]     |       PREPARE(B) to every worker -> each builds and proves B
 *                    slot 1 [hash B, sequence 8] <---+       all ACK -> write slot, sync, ONE atomic store of live
 *                    ...                                     rollback: the same store, back to slot 0
 *
 * A request pins what is live when it begins and finishes on it. A worker that never saw the PREPARE (it was just born)
 * builds what is live before it serves. The live version and the two before it stay warm, and so does the candidate of a
 * trial (trial.h), which is pinned together with the live version that it runs beside. */
#ifndef FASTR_VERSION_H
#define FASTR_VERSION_H

#include "runtime/bundle.h"
#include "runtime/trial.h"

struct fastr_line;
struct fastr_version;

/* Maps VAR/run/active (made if missing, folders too). Once a process, before fork. */
int fastr_versions_open(const char *var, struct fastr_err *err);
/* In a worker, after fork: it reads the file, and must not keep a lock that its master held when that was killed. */
void fastr_versions_release(void);
/* Call about once a pulse: follows what is done to the file from outside (kept.h). Who `heals`, a master, writes again what
 * is missing from it, or is older than what was live. */
void fastr_versions_look(bool heals);
/* Call in a master about once a pulse, and with `whole` before it forks: keeps what is live, and what a rollback leads
 * to, in memory, from which workers that are born build it; and stores it again if its file is gone (`whole`: or broken). */
void fastr_versions_keep(bool whole);
const char *fastr_versions_store(void); /* the folder of stored bundles, VAR/packs */

/* The line `name` in this process; `builder` is borrowed. At most 8 in a process. NULL if the file is full. */
struct fastr_line *fastr_line_open(const char *name, const struct fastr_builder *builder, struct fastr_err *err);
/* A line of this process alone, whose one version is built here and now (tools and checks). */
struct fastr_line *fastr_line_private(const char *name, const struct fastr_builder *builder,
                                      struct fastr_bundle *bundle, struct fastr_err *err); /* takes the bundle */
int fastr_line_count(void);
struct fastr_line *fastr_line_at(int index);
struct fastr_line *fastr_line_find(const char *name); /* by line name or builder's; NULL */
const char *fastr_line_name(const struct fastr_line *line);

/* What the file says is live: fills `hash` ("" if nothing is) and returns the sequence. */
uint64_t fastr_line_live(const struct fastr_line *line, char hash[65]);

/* Pins the live version, building it first if this process has not got it. NULL with `err` if nothing is live or it does
 * not build (then the last one that did is pinned instead, if there is one, and a line is logged). */
struct fastr_version *fastr_line_pin(struct fastr_line *line, struct fastr_err *err);
/* Pins the candidate that runs beside the version which the last fastr_line_pin of this line gave, building it first if
 * need be; `word` gets the trial's. NULL if there is no trial, or it does not build here (which its trial counts). */
struct fastr_version *fastr_line_pin_candidate(struct fastr_line *line, uint64_t *word);
/* The line's trial, running or not, in shared memory; NULL for a line of this process alone. */
struct fastr_trial *fastr_line_trial(const struct fastr_line *line);
/* The same version once more. */
struct fastr_version *fastr_version_share(struct fastr_version *version);
void fastr_version_unpin(struct fastr_version *version); /* NULL is fine */
struct fastr_version *fastr_line_warm(struct fastr_line *line, const char *hash); /* not pinned; NULL */
bool fastr_version_of(const struct fastr_version *version, const struct fastr_line *line);
void *fastr_version_built(const struct fastr_version *version);
const char *fastr_version_hash(const struct fastr_version *version);

/* Builds and keeps a candidate, so that its activation costs nothing. 0, or -1 with file:line. */
int fastr_line_prepare(struct fastr_line *line, const char *hash, struct fastr_err *err);
/* May what is live be live here? What was looked at when it became live is not asked about again, so that a worker that
 * comes back, and a rollback, lean on nobody. 0, or -1 with why not. */
int fastr_line_admitted(struct fastr_line *line, struct fastr_err *err);
/* Makes a stored bundle live: the caller has proved it everywhere; the builder's `admit` has the last word. `by` is who, at most 47 bytes. */
int fastr_line_activate(struct fastr_line *line, const char *hash, const char *by, struct fastr_err *err);
/* Makes the version before the live one live again; fills `hash` with it. Code "invalid" if there is none. */
int fastr_line_rollback(struct fastr_line *line, const char *by, char hash[65], struct fastr_err *err);
/* The version that a rollback would make live, built if need be; not pinned, so for use now only. NULL if there is none. */
struct fastr_version *fastr_line_before(struct fastr_line *line);
/* A rollback for a version that has harmed workers: it is not activated again until it is pardoned. */
int fastr_line_quarantine(struct fastr_line *line, const char *by, char hash[65], struct fastr_err *err);
/* Code "invalid" if no such version is in quarantine. */
int fastr_line_pardon(struct fastr_line *line, const char *hash, struct fastr_err *err);
/* Begins a trial of a stored bundle, which the caller has proved everywhere, beside what is live now (`plan->against` is
 * filled in). One of the same candidate is replaced, its counters begin at 0; code "busy" if another one's runs. */
int fastr_line_try(struct fastr_line *line, struct fastr_trial_plan *plan, struct fastr_err *err);
/* Ends the trial: nothing is decided by the candidate from now on. Code "invalid" if none runs. */
int fastr_line_stop(struct fastr_line *line, const char *by, const char *reason, struct fastr_err *err);
/* Appends the line's state as a JSON object: {"line","live","sequence","by","at_ms","previous","trial"}. */
void fastr_line_describe(const struct fastr_line *line, struct fastr_buffer *out);

/* Frees versions that are neither warm nor pinned; calls `cancel` for each that has been pinned for 60 s since it
 * ceased to be live. Call about once a second. */
void fastr_versions_tidy(void (*cancel)(struct fastr_version *version));
/* Frees everything this process has built. */
void fastr_versions_close(void);

#endif
