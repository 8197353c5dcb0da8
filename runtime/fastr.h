/* fastr.h: all that a binding may use of the runtime.
 *
 * Leans on nothing but Lua's own header; foreign types are forward-declared. The runtime knows no shop, no SQL and
 * no library that a binding wraps.
 *
 * A task is a coroutine that serves one request, one consumed event or one scheduled job:
 *
 *        spawn                 resume                         returns / raises
 *   ----------> READY ------------------------> RUNNING ----------------------------> (recycled)
 *                 ^                               |
 *                 | fastr_wake                    | fastr_suspend (a binding's function yields)
 *                 +------------- WAITING <--------+
 *                                   |
 *                                   | deadline, client gone, shutdown: wait->cancel(), then the task raises or ends
 *
 * The five steps of a binding that waits (a late callback then finds nobody):
 *   1. check the arguments            luaL_check...
 *   2. check that waiting is legal    fastr_check_wait(L, "pg.query")
 *   3. make the operation             it embeds a struct fastr_wait with its finish and cancel
 *   4. start it                       a failure to start is returned with fastr_push_error
 *   5. suspend                        return fastr_suspend(L, &op->wait)
 * The library's callback stores the outcome in the operation and calls fastr_wake(&op->wait). It never resumes Lua.
 */
#ifndef FASTR_H
#define FASTR_H

#include <lua.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct fastr_task;

/* ---- errors ------------------------------------------------------------------------------------------------- */

/* A C function that can fail takes one of these last and returns 0 or -1. `code` is a stable word, "timeout". */
struct fastr_err {
    char code[32];
    char text[480];
};

/* Fills `err` (may be NULL); always returns -1, so that `return fastr_fail(...)` reads well. */
int fastr_fail(struct fastr_err *err, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The one place where run-time errors reach Lua: pushes nil, message, code; returns 3.
 * Codes used by all bindings: "timeout", "unavailable", "busy" (a bounded queue is full), "invalid", "closed".
 * Misuse (wrong argument types, waiting where that is illegal) raises with luaL_error instead. */
int fastr_push_error(lua_State *L, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- memory: never NULL; out of memory ends the process ------------------------------------------------------- */

void *fastr_alloc(size_t size);  /* not zeroed */
void *fastr_zalloc(size_t size); /* zeroed */
void *fastr_realloc(void *old, size_t size);
char *fastr_strdup(const char *text);
char *fastr_strndup(const char *text, size_t length);
char *fastr_format(const char *format, ...) __attribute__((format(printf, 1, 2))); /* caller frees */
/* Writes 2 * length lower-case hexadecimal digits and a NUL. */
void fastr_hex(char *to, const void *bytes, size_t length);
/* FNV-1a, 64 bits: without a secret, so not where keys that collide would do harm. */
uint64_t fastr_hash(const char *text);

/* Memory that dies with its arena (a task's: fastr_task_arena). Aligned to 16. */
struct fastr_arena;
struct fastr_arena *fastr_arena_new(void);
void fastr_arena_free(struct fastr_arena *arena);
void fastr_arena_reset(struct fastr_arena *arena); /* keeps the first block */
void *fastr_arena_alloc(struct fastr_arena *arena, size_t size);
size_t fastr_arena_size(const struct fastr_arena *arena); /* bytes that its blocks take */

/* A growing buffer of bytes. Zero-initialise it; `data` is always followed by a NUL once anything was added. */
struct fastr_buffer {
    char *data;
    size_t length, capacity;
};
void fastr_buffer_add(struct fastr_buffer *buffer, const void *bytes, size_t length);
void fastr_buffer_text(struct fastr_buffer *buffer, const char *text);
void fastr_buffer_format(struct fastr_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *fastr_buffer_reserve(struct fastr_buffer *buffer, size_t more); /* room for `more` at data + length */
void fastr_buffer_free(struct fastr_buffer *buffer);

/* ---- loop and time -------------------------------------------------------------------------------------------- */

struct event_base *fastr_loop(void); /* this worker's loop; NULL outside a worker */
uint64_t fastr_clock_us(void);       /* monotonic, microseconds */
int64_t fastr_wall_us(void);         /* Unix time, microseconds, with the tests' shift (FASTR_TIME_SHIFT_MS) applied */

/* ---- waiting -------------------------------------------------------------------------------------------------- */

struct fastr_wait {
    /* Called on the loop when the task is about to go on: pushes the results on L, returns how many; frees what the
     * operation owns (the wait included, if it was allocated). Must not yield; may push an error with
     * fastr_push_error. */
    int (*finish)(lua_State *L, struct fastr_wait *wait);
    /* The task has gone (deadline, client left, shutdown). Detach the operation: after this call nobody may touch
     * `wait` through fastr_wake. Frees what the operation owns, now or when its late answer arrives. Optional: without
     * it the operation goes on, and fastr_wake then calls `finish` at once with L == NULL, only to free. */
    void (*cancel)(struct fastr_wait *wait);
    /* private to task.c */
    struct fastr_task *task;
    struct fastr_wait *next;
    bool ready, abandoned;
};

/* Raises "WHAT: cannot wait here (...)" outside a task, in a rule, or inside a transaction (unless allowed). */
void fastr_check_wait(lua_State *L, const char *what);
/* Same, but legal inside a transaction (for the transaction's own statements). */
void fastr_check_wait_in_transaction(lua_State *L, const char *what);
/* Yields the running task until fastr_wake(wait). `return fastr_suspend(L, &op->wait);` is the last line. If the
 * wait was woken already (the operation completed at once), returns its results without yielding. */
int fastr_suspend(lua_State *L, struct fastr_wait *wait);
/* Queues the waiting task; the loop resumes it later in this turn. Safe to call from any library callback of this
 * thread, at most once per wait. */
void fastr_wake(struct fastr_wait *wait);

/* ---- tasks ---------------------------------------------------------------------------------------------------- */

struct fastr_task *fastr_task_current(void); /* NULL when no task runs */
struct fastr_arena *fastr_task_arena(struct fastr_task *task);
int64_t fastr_task_ms_left(struct fastr_task *task); /* until its deadline; never below 0; INT64_MAX without one */
const char *fastr_task_id(struct fastr_task *task);  /* request id, for logs; lives as long as the task */
const char *fastr_task_traceparent(struct fastr_task *task); /* W3C trace context to pass on, or "" */
/* Transactions nest to 1 at most: pg marks and unmarks the running task. */
void fastr_task_enter_transaction(struct fastr_task *task);
void fastr_task_leave_transaction(struct fastr_task *task);

/* Runs `run` when the task ends for whatever reason, after its reply, last hung first; it must not call Lua. Embed it in
 * what you own. fastr_task_undefer takes it off again. */
struct fastr_cleanup {
    void (*run)(struct fastr_cleanup *cleanup);
    struct fastr_cleanup *next; /* private */
};
void fastr_task_defer(struct fastr_task *task, struct fastr_cleanup *cleanup);
void fastr_task_undefer(struct fastr_task *task, struct fastr_cleanup *cleanup);

/* A small per-task word store that bindings and Lua share (fastr.task.get/set): the session's LSN, the principal.
 * Values are copied; NULL deletes. Keys are at most 31 bytes, values at most 1023. A branch of fastr.all begins with a
 * copy of its parent's words; "lsn" alone is one word for all tasks of a request. */
void fastr_task_set(struct fastr_task *task, const char *key, const char *value);
const char *fastr_task_get(struct fastr_task *task, const char *key); /* NULL if unset */

/* Starts a task of the live script version from C (a consumed message, a schedule). `handler` is an index into the
 * program's list `kind` ("consumers", "schedules"): program[kind][handler].handle is called with what `push` pushes
 * (it returns the number of arguments). `done` is called once, when it has ended: ok is false if it raised, was
 * cancelled, or returned nil/false, and `error` then says why (valid during the call). Returns false, calling nothing,
 * when the worker has no room for another task or is draining. */
struct fastr_spawn {
    const char *kind;
    int handler;           /* from 1 */
    const char *id;        /* copied; NULL makes one */
    const char *traceparent; /* copied; may be NULL */
    uint64_t deadline_ms;  /* from now; 0 for none */
    int (*push)(lua_State *L, void *data);
    void (*done)(void *data, bool ok, const char *error);
    void *data;
};
bool fastr_task_spawn(const struct fastr_spawn *spawn);

/* ---- the program ---------------------------------------------------------------------------------------------- */

/* What the scripts declared under `kind` (see docs/architecture.md, "The program"): number of entries, and the text of
 * one field of one entry as "" if absent. Valid in a worker's binding->start and later; changes with a reload. */
int fastr_program_count(const char *kind);
const char *fastr_program_field(const char *kind, int index, const char *field);

/* ---- settings (conf/fastr.lua, overridden by FASTR_...) --------------------------------------------------------- */

const char *fastr_setting(const char *path, const char *otherwise); /* "pg.primary"; text lives for ever */
int64_t fastr_setting_int(const char *path, int64_t otherwise, int64_t least, int64_t most);

/* ---- logging and metrics -------------------------------------------------------------------------------------- */

enum fastr_level { FASTR_DEBUG, FASTR_INFO, FASTR_WARN, FASTR_ERROR };
/* One JSON line to the log: time, level, message, then the current task's id and service. Never blocks. */
void fastr_log(enum fastr_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As above with more fields: `fields` is the inside of a JSON object (`"a":1,"b":"x"`), already escaped. */
void fastr_log_fields(enum fastr_level level, const char *message, const char *fields);

/* Counters and gauges live in memory shared by the workers of a master and are summed for /metrics. `labels` is the
 * inside of the braces (`route="x"`) or "". Look one up once and keep it; never NULL (past the table's size a spill). */
struct fastr_metric;
struct fastr_metric *fastr_counter(const char *name, const char *labels, const char *help);
struct fastr_metric *fastr_gauge(const char *name, const char *labels, const char *help);
struct fastr_metric *fastr_histogram(const char *name, const char *labels, const char *help); /* seconds */
void fastr_metric_add(struct fastr_metric *metric, double value);
void fastr_metric_set(struct fastr_metric *metric, double value);
void fastr_metric_observe(struct fastr_metric *metric, double seconds);

/* ---- health ----------------------------------------------------------------------------------------------------- */

/* A dependency's state, for /readyz and `fastr status`: name "pg.primary", ok, and a short detail ("2 ms", "refused").
 * `required` ones make /readyz answer 503 while not ok. */
void fastr_health(const char *name, bool ok, bool required, const char *detail);

/* ---- bindings --------------------------------------------------------------------------------------------------- */

/* What versions of one line ("scripts", "rules") are made of. A binding that has its own kind of version names its
 * builder; the engine (version.h) does the rest. */
struct fastr_bundle;
struct fastr_builder {
    const char *line;
    /* Builds and proves: whole, in a new Lua state, from the bundle alone (kept alive until free). NULL on failure,
     * with file:line in `err`. Must not wait. */
    void *(*build)(const struct fastr_bundle *bundle, struct fastr_err *err);
    void (*free)(void *built);
    /* May the bundle stored as FOLDER/HASH be live on this host? 1: yes, it was looked at; 0: whatever it is; -1 with
     * `err`: no. Asked whenever one is to become live or is built. May be NULL. Must not wait. */
    int (*admit)(const char *folder, const char *hash, struct fastr_err *err);
    /* The file, if there is one, that is made where the versions are live and not on disk: what is live hands it on to what
     * is read from disk. NULL: there is none. */
    const char *carried;
};
/* What the running task pinned of `line` when it began (outside a task: what is live). `hash` (may be NULL) gets the
 * version's hash, valid while pinned. NULL if nothing of that line is live. */
void *fastr_pinned(const char *line, const char **hash);
/* The candidate that the running task pinned beside it, in a trial (trial.h) that ran when the task first asked this: it
 * goes on with what it was told then, so that no reply is made by one version and a half. False outside a task and without
 * a trial. */
struct fastr_trial;
struct fastr_candidate {
    void *built;
    const char *hash; /* valid while pinned */
    struct fastr_trial *trial;
    uint64_t word;
};
bool fastr_pinned_candidate(const char *line, struct fastr_candidate *candidate);
/* The running task goes on without its candidate, which has failed. */
void fastr_drop_candidate(const char *line);
/* The trial of `line`, running or not; `live` gets the sequence of what is live. NULL where there is no such line. */
struct fastr_trial *fastr_trial_of(const char *line, uint64_t *live);
/* A version that is still warm (live, or one of the two before), by its hash; NULL if it has gone. */
void *fastr_warm(const char *line, const char *hash);
/* What a rollback of the line would make live, as built (which may take a moment), with its hash. NULL if there is none. */
void *fastr_before(const char *line, const char **hash);

/* One per Lua module: bindings/NAME.c defines `const struct fastr_binding fastr_binding_NAME`; bindings.c lists them.
 * `open` pushes the module's table (it becomes fastr.NAME); it runs for every Lua state built, also outside a worker. The
 * rest runs in workers only, after fork. */
struct fastr_binding {
    const char *name;
    lua_CFunction open;
    int (*start)(struct fastr_err *err); /* may be NULL; the loop exists, the program is loaded */
    void (*drain)(void);                 /* may be NULL; stop taking new work (consumers) */
    bool (*idle)(void);                  /* may be NULL; false while something must still be flushed */
    void (*stop)(void);                  /* may be NULL */
    bool pure;                           /* true: also given to rules (fastr.money, fastr.text) */
    const struct fastr_builder *builder; /* may be NULL */
};

#endif
