/* task.c: coroutines that serve one request, event or job each; the run queue; deadlines; see fastr.h and task.h.
 *
 * A binding's callback only queues a task (fastr_wake). The queue is drained from the loop, at most SLICE tasks at a
 * time, so that input is read between slices. A task whose deadline passes while it waits gets nil, "deadline passed",
 * "timeout" from that wait, and an error from every later one; GRACE_MS later it is cancelled. */
#include "runtime/task.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <lauxlib.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/internal.h"

enum { SLICE = 256, GRACE_MS = 1000, LINES_PINNED = 4 };

struct word {
    struct word *next;
    size_t room;  /* of value */
    char key[32];
    char value[]; /* NUL-terminated */
};

/* The words that belong to a request as a whole: its branches (fastr.all) read and write the same ones, so that what one
 * of them has written is seen by the others and by their parent. */
static const char *const SHARED[] = {"lsn"};

struct shared {
    int tasks;
    struct fastr_arena *arena;
    struct word *words;
};

/* A version, and the candidate that runs beside it (or NULL) in the trial of `word`. */
struct pin {
    struct fastr_version *version, *candidate;
    uint64_t word;
    bool asked; /* the task has asked for the candidate: it keeps what it was told */
};

struct fastr_task {
    struct fastr_task *previous, *following; /* all tasks of this worker */
    struct fastr_coroutine coroutine;
    struct fastr_version *scripts;
    struct pin pinned[LINES_PINNED];
    int pinned_count;
    struct fastr_arena *arena; /* made at first use */
    struct fastr_cleanup *cleanups;
    struct word *words; /* in the arena */
    struct shared *shared; /* made at first use */
    struct fastr_wait *wait;
    struct event timer;
    uint64_t deadline_us; /* 0: none */
    bool expired, in_transaction, running;
    char id[64], traceparent[64];
    struct fastr_http_request *request;
    void (*ended)(struct fastr_task *task, lua_State *L, int results, const char *error, void *data);
    void *data;
};

static struct event_base *base;
static struct event *drain_event;
static struct fastr_task *current, *all;
static struct fastr_wait *queue_head, *queue_tail;
static int count, most;

/* ---- the run queue ---- */

static void resume(struct fastr_task *task, int arguments);

static void drain_queue(evutil_socket_t fd, short what, void *data)
{
    for (int i = 0; i < SLICE && queue_head; i++) {
        struct fastr_wait *wait = queue_head;
        queue_head = wait->next;
        if (!queue_head)
            queue_tail = NULL;
        struct fastr_task *task = wait->task;
        if (!task) { /* its task went away after the wake */
            wait->finish(NULL, wait);
            continue;
        }
        task->wait = NULL;
        current = task;
        int results = wait->finish(task->coroutine.L, wait);
        current = NULL;
        resume(task, results);
    }
    if (queue_head)
        event_active(drain_event, EV_TIMEOUT, 0);
}

void fastr_wake(struct fastr_wait *wait)
{
    if (wait->ready)
        return;
    if (wait->abandoned) {
        wait->finish(NULL, wait);
        return;
    }
    wait->ready = true;
    if (!wait->task)
        return; /* not suspended yet: fastr_suspend sees `ready` */
    wait->next = NULL;
    if (queue_tail)
        queue_tail->next = wait;
    else
        queue_head = wait;
    queue_tail = wait;
    event_active(drain_event, EV_TIMEOUT, 0);
}

static void unqueue(struct fastr_wait *wait)
{
    struct fastr_wait *before = NULL;
    for (struct fastr_wait *at = queue_head; at; before = at, at = at->next) {
        if (at != wait)
            continue;
        if (before)
            before->next = at->next;
        else
            queue_head = at->next;
        if (queue_tail == at)
            queue_tail = before;
        return;
    }
}

/* ---- waiting ---- */

static const char *why_not_wait(lua_State *L, bool in_transaction_is_fine)
{
    if (!current)
        return "only inside a task (a request, an event or a job; not while scripts load)";
    if (current->coroutine.L != L)
        return "not inside a coroutine of your own, nor in a rule";
    if (current->expired)
        return "the deadline has passed";
    if (current->in_transaction && !in_transaction_is_fine)
        return "not inside a transaction: it would hold locks while it waits";
    return NULL;
}

static void check_wait(lua_State *L, const char *what, bool in_transaction_is_fine)
{
    const char *reason = why_not_wait(L, in_transaction_is_fine);
    if (reason)
        luaL_error(L, "%s cannot wait here: %s", what, reason);
}

void fastr_check_wait(lua_State *L, const char *what)
{
    check_wait(L, what, false);
}

void fastr_check_wait_in_transaction(lua_State *L, const char *what)
{
    check_wait(L, what, true);
}

int fastr_suspend(lua_State *L, struct fastr_wait *wait)
{
    if (wait->ready)
        return wait->finish(L, wait);
    wait->task = current;
    current->wait = wait;
    return lua_yield(L, 0);
}

/* Lets go of what the task waits for. A wait that is ready, or that has no cancel, finishes with nobody listening. */
static void detach(struct fastr_task *task)
{
    struct fastr_wait *wait = task->wait;
    task->wait = NULL;
    if (!wait)
        return;
    wait->task = NULL;
    if (wait->ready) {
        unqueue(wait);
        wait->finish(NULL, wait);
    } else if (wait->cancel) {
        wait->cancel(wait);
    } else {
        wait->abandoned = true;
    }
}

/* ---- life ---- */

/* Random bytes for ids, drawn from OpenSSL a lot at a time: a draw costs more than all the rest of a task's start. */
static struct {
    unsigned char bytes[2048];
    size_t left;
} pool;

static const unsigned char *random_bytes(size_t length)
{
    if (pool.left < length) {
        if (RAND_bytes(pool.bytes, sizeof pool.bytes) != 1)
            abort(); /* ids that repeat would mix requests up */
        pool.left = sizeof pool.bytes;
    }
    pool.left -= length;
    return pool.bytes + pool.left;
}

/* `digits` is even. */
static void random_hex(char *out, size_t digits)
{
    fastr_hex(out, random_bytes(digits / 2), digits / 2);
}

/* W3C Trace Context, section 3.2: version 00, 32 + 16 + 2 lower-case hex digits; all-zero ids are invalid. */
static bool valid_traceparent(const char *text)
{
    if (!text || strlen(text) != 55 || strncmp(text, "00-", 3) || text[35] != '-' || text[52] != '-')
        return false;
    for (int i = 3; i < 55; i++)
        if (i != 35 && i != 52 && !strchr("0123456789abcdef", text[i]))
            return false;
    return strspn(text + 3, "0") < 32 && strspn(text + 36, "0") < 16;
}

static void set_trace(struct fastr_task *task, const char *traceparent)
{
    if (valid_traceparent(traceparent)) {
        memcpy(task->traceparent, traceparent, 56);
        random_hex(task->traceparent + 36, 16); /* our own span in the caller's trace */
        task->traceparent[52] = '-';
        return;
    }
    memcpy(task->traceparent, "00-", 3);
    random_hex(task->traceparent + 3, 32);
    task->traceparent[35] = '-';
    random_hex(task->traceparent + 36, 16);
    memcpy(task->traceparent + 52, "-01", 4);
}

static void link_task(struct fastr_task *task)
{
    task->following = all;
    if (all)
        all->previous = task;
    all = task;
    count++;
}

static void unlink_task(struct fastr_task *task)
{
    if (task->previous)
        task->previous->following = task->following;
    else
        all = task->following;
    if (task->following)
        task->following->previous = task->previous;
    count--;
}

static void arm(struct fastr_task *task, uint64_t ms)
{
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    event_add(&task->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
    struct fastr_task *task = data;
    if (task->expired) {
        fastr_task_cancel(task, "the deadline has passed");
        return;
    }
    task->expired = true;
    arm(task, GRACE_MS);
    if (task->wait && !task->wait->ready) {
        detach(task);
        current = task;
        int results = fastr_push_error(task->coroutine.L, "timeout", "the deadline has passed");
        current = NULL;
        resume(task, results);
    }
}

/* Every other line's live version is pinned with the scripts' (line 0), so that a request sees one of each; together with
 * the candidate that runs beside it. */
static void pin_lines(struct fastr_task *task)
{
    for (int i = 1; i < fastr_line_count() && task->pinned_count < LINES_PINNED; i++) {
        struct pin pin = {.version = fastr_line_pin(fastr_line_at(i), NULL)};
        if (!pin.version)
            continue;
        pin.candidate = fastr_line_pin_candidate(fastr_line_at(i), &pin.word);
        task->pinned[task->pinned_count++] = pin;
    }
}

static void unpin_lines(struct fastr_task *task)
{
    for (int i = 0; i < task->pinned_count; i++) {
        fastr_version_unpin(task->pinned[i].version);
        fastr_version_unpin(task->pinned[i].candidate);
    }
    task->pinned_count = 0;
}

static struct fastr_program *program_of(const struct fastr_task *task)
{
    return fastr_version_built(task->scripts);
}

struct fastr_task *fastr_task_new(const struct fastr_task_start *start)
{
    struct fastr_task *task = fastr_zalloc(sizeof *task);
    task->scripts = start->scripts;
    task->coroutine = fastr_program_coroutine(program_of(task));
    task->request = start->request;
    task->ended = start->ended;
    task->data = start->data;
    if (start->id && *start->id)
        memcpy(task->id, start->id, strnlen(start->id, sizeof task->id - 1)); /* zeroed */
    else
        random_hex(task->id, 32);
    set_trace(task, start->traceparent);
    evtimer_assign(&task->timer, base, on_timer, task);
    if (start->deadline_ms) {
        task->deadline_us = fastr_clock_us() + start->deadline_ms * 1000;
        arm(task, start->deadline_ms);
    }
    pin_lines(task);
    link_task(task);
    return task;
}

static void run_cleanups(struct fastr_task *task)
{
    while (task->cleanups) {
        struct fastr_cleanup *cleanup = task->cleanups;
        task->cleanups = cleanup->next;
        cleanup->run(cleanup);
    }
}

static struct shared *shared_of(struct fastr_task *task)
{
    if (!task->shared) {
        task->shared = fastr_zalloc(sizeof *task->shared);
        task->shared->tasks = 1;
        task->shared->arena = fastr_arena_new();
    }
    return task->shared;
}

static void leave_shared(struct shared *shared)
{
    if (!shared || --shared->tasks > 0)
        return;
    fastr_arena_free(shared->arena);
    free(shared);
}

/* The end, for whatever reason. `error` NULL: `results` values are on the coroutine's stack. */
static void end(struct fastr_task *task, int results, const char *error)
{
    evtimer_del(&task->timer);
    detach(task);
    struct fastr_task *outer = current;
    current = task;
    task->ended(task, task->coroutine.L, error ? -1 : results, error, task->data);
    current = outer;
    run_cleanups(task);
    if (error)
        fastr_program_drop(program_of(task), task->coroutine);
    else
        fastr_program_recycle(program_of(task), task->coroutine);
    unpin_lines(task);
    fastr_version_unpin(task->scripts);
    fastr_arena_free(task->arena);
    leave_shared(task->shared);
    unlink_task(task);
    free(task);
}

/* The text of the error on the top, NULL if it has none. An object makes its own, and may fail at that. */
static const char *text_of_error(lua_State *L)
{
    if (!lua_tostring(L, -1) && luaL_getmetafield(L, -1, "__tostring")) {
        lua_pushvalue(L, -2);
        if (lua_pcall(L, 1, 1, 0))
            lua_pushnil(L);
    }
    return lua_tostring(L, -1);
}

static void resume(struct fastr_task *task, int arguments)
{
    lua_State *L = task->coroutine.L;
    struct fastr_task *outer = current;
    current = task;
    task->running = true;
    int rc = lua_resume(L, arguments);
    task->running = false;
    current = outer;
    if (rc == LUA_YIELD) {
        if (!task->wait)
            end(task, 0, "it yielded without waiting for anything");
        return;
    }
    if (rc == 0) {
        end(task, lua_gettop(L), NULL);
        return;
    }
    const char *message = text_of_error(L);
    luaL_traceback(L, L, message ? message : "(an error that is not a text)", 0);
    end(task, 0, lua_tostring(L, -1));
}

lua_State *fastr_task_lua(struct fastr_task *task)
{
    return task->coroutine.L;
}

void fastr_task_run(struct fastr_task *task, int arguments)
{
    resume(task, arguments);
}

void fastr_task_cancel(struct fastr_task *task, const char *reason)
{
    char error[128];
    snprintf(error, sizeof error, "cancelled: %s", reason);
    end(task, 0, error);
}

static void cancel_where(struct fastr_version *version, const char *reason)
{
    for (struct fastr_task *task = all, *following; task; task = following) {
        following = task->following;
        bool match = !version || task->scripts == version;
        for (int i = 0; i < task->pinned_count; i++)
            match |= task->pinned[i].version == version || task->pinned[i].candidate == version;
        if (match && !task->running) {
            fastr_task_cancel(task, reason);
            following = all; /* ending one may have ended others */
        }
    }
}

void fastr_tasks_cancel_version(struct fastr_version *version)
{
    cancel_where(version, "its version has been out of use for 60 s");
}

void fastr_tasks_cancel_all(const char *reason)
{
    cancel_where(NULL, reason);
}

void fastr_tasks_start(struct event_base *loop, int at_once)
{
    base = loop;
    most = at_once;
    pool.left = 0; /* what a parent drew is its own */
    drain_event = event_new(base, -1, EV_PERSIST, drain_queue, NULL);
}

int fastr_tasks_count(void)
{
    return count;
}

bool fastr_tasks_full(void)
{
    return count >= most;
}

/* ---- what bindings ask of the running task ---- */

struct event_base *fastr_loop(void)
{
    return base;
}

struct fastr_task *fastr_task_current(void)
{
    return current;
}

struct fastr_arena *fastr_task_arena(struct fastr_task *task)
{
    if (!task->arena)
        task->arena = fastr_arena_new();
    return task->arena;
}

int64_t fastr_task_ms_left(struct fastr_task *task)
{
    if (!task->deadline_us)
        return INT64_MAX;
    if (task->expired) /* a timer that a busy loop armed late in its turn fires a moment early */
        return 0;
    uint64_t now = fastr_clock_us();
    return now >= task->deadline_us ? 0 : (int64_t)((task->deadline_us - now) / 1000);
}

const char *fastr_task_id(struct fastr_task *task)
{
    return task->id;
}

const char *fastr_task_traceparent(struct fastr_task *task)
{
    return task->traceparent;
}

bool fastr_task_expired(const struct fastr_task *task)
{
    return task->expired;
}

struct fastr_http_request *fastr_task_request(struct fastr_task *task)
{
    return task->request;
}

void fastr_task_forget_request(struct fastr_task *task)
{
    task->request = NULL;
}

void fastr_task_enter_transaction(struct fastr_task *task)
{
    task->in_transaction = true;
}

void fastr_task_leave_transaction(struct fastr_task *task)
{
    task->in_transaction = false;
}

bool fastr_task_in_transaction(struct fastr_task *task)
{
    return task->in_transaction;
}

void fastr_task_defer(struct fastr_task *task, struct fastr_cleanup *cleanup)
{
    cleanup->next = task->cleanups;
    task->cleanups = cleanup;
}

void fastr_task_undefer(struct fastr_task *task, struct fastr_cleanup *cleanup)
{
    for (struct fastr_cleanup **at = &task->cleanups; *at; at = &(*at)->next) {
        if (*at == cleanup) {
            *at = cleanup->next;
            return;
        }
    }
}

static bool is_shared(const char *key)
{
    for (size_t i = 0; i < sizeof SHARED / sizeof *SHARED; i++)
        if (!strcmp(SHARED[i], key))
            return true;
    return false;
}

static void write_word(struct word *word, const char *value, size_t length)
{
    memcpy(word->value, value, length);
    word->value[length] = '\0';
}

/* A new value takes the old one's place where it fits, so that a task that lives long does not grow. */
static void set_word(struct word **words, struct fastr_arena *arena, const char *key, const char *value)
{
    size_t length = value ? strnlen(value, 1023) : 0;
    struct word **at = words;
    while (*at && strcmp((*at)->key, key))
        at = &(*at)->next;
    if (*at && value && length < (*at)->room) {
        write_word(*at, value, length);
        return;
    }
    if (*at)
        *at = (*at)->next; /* its memory goes with the arena */
    if (!value)
        return;
    size_t room = length < 31 ? 32 : length + 1;
    struct word *word = fastr_arena_alloc(arena, sizeof *word + room);
    *word = (struct word){.next = *words, .room = room};
    snprintf(word->key, sizeof word->key, "%s", key);
    write_word(word, value, length);
    *words = word;
}

void fastr_task_set(struct fastr_task *task, const char *key, const char *value)
{
    struct shared *shared = is_shared(key) ? shared_of(task) : NULL;
    if (shared)
        set_word(&shared->words, shared->arena, key, value);
    else
        set_word(&task->words, fastr_task_arena(task), key, value);
}

const char *fastr_task_get(struct fastr_task *task, const char *key)
{
    struct word *word = !is_shared(key) ? task->words : task->shared ? task->shared->words : NULL;
    while (word && strcmp(word->key, key))
        word = word->next;
    return word ? word->value : NULL;
}

void *fastr_pinned(const char *name, const char **hash)
{
    struct fastr_line *line = fastr_line_find(name);
    if (!line)
        return NULL;
    struct fastr_version *found = NULL;
    for (int i = 0; current && i < current->pinned_count; i++)
        if (fastr_version_of(current->pinned[i].version, line))
            found = current->pinned[i].version;
    if (!found) { /* outside a task: what is live stays warm until the loop tidies, which is after the caller */
        found = fastr_line_pin(line, NULL);
        fastr_version_unpin(found);
    }
    if (found && hash)
        *hash = fastr_version_hash(found);
    return found ? fastr_version_built(found) : NULL;
}

static struct pin *pin_with_candidate(const struct fastr_line *line)
{
    for (int i = 0; line && current && i < current->pinned_count; i++)
        if (current->pinned[i].candidate && fastr_version_of(current->pinned[i].candidate, line))
            return &current->pinned[i];
    return NULL;
}

static void drop_candidate(struct pin *pin)
{
    fastr_version_unpin(pin->candidate);
    pin->candidate = NULL;
}

bool fastr_pinned_candidate(const char *name, struct fastr_candidate *candidate)
{
    struct fastr_line *line = fastr_line_find(name);
    struct pin *pin = pin_with_candidate(line);
    if (!pin)
        return false;
    struct fastr_trial *trial = fastr_line_trial(line);
    if (!pin->asked && !fastr_trial_runs(trial, pin->word)) {
        drop_candidate(pin);
        return false;
    }
    pin->asked = true;
    *candidate = (struct fastr_candidate){fastr_version_built(pin->candidate), fastr_version_hash(pin->candidate), trial,
                                          pin->word};
    return true;
}

void fastr_drop_candidate(const char *name)
{
    struct pin *pin = pin_with_candidate(fastr_line_find(name));
    if (pin)
        drop_candidate(pin);
}

struct fastr_trial *fastr_trial_of(const char *name, uint64_t *live)
{
    char hash[65];
    struct fastr_line *line = fastr_line_find(name);
    if (!line)
        return NULL;
    *live = fastr_line_live(line, hash);
    return fastr_line_trial(line);
}

void *fastr_warm(const char *name, const char *hash)
{
    struct fastr_line *line = fastr_line_find(name);
    struct fastr_version *version = line ? fastr_line_warm(line, hash) : NULL;
    return version ? fastr_version_built(version) : NULL;
}

void *fastr_before(const char *name, const char **hash)
{
    struct fastr_line *line = fastr_line_find(name);
    struct fastr_version *version = line ? fastr_line_before(line) : NULL;
    if (version)
        *hash = fastr_version_hash(version);
    return version ? fastr_version_built(version) : NULL;
}

/* ---- tasks begun from C ---- */

struct spawned {
    void (*done)(void *data, bool ok, const char *error);
    void *data;
};

static void spawned_ended(struct fastr_task *task, lua_State *L, int results, const char *error, void *data)
{
    struct spawned *spawned = data;
    bool ok = results > 0 && lua_toboolean(L, 1);
    if (!error && !ok)
        error = results > 1 && lua_tostring(L, 2) ? lua_tostring(L, 2) : "it returned nothing";
    spawned->done(spawned->data, ok, ok ? NULL : error);
    free(spawned);
}

bool fastr_task_spawn(const struct fastr_spawn *spawn)
{
    struct fastr_line *line = fastr_line_find("scripts");
    if (!line || fastr_tasks_full())
        return false;
    struct fastr_version *scripts = fastr_line_pin(line, NULL);
    if (!scripts)
        return false;
    struct spawned *spawned = fastr_alloc(sizeof *spawned);
    *spawned = (struct spawned){spawn->done, spawn->data};
    struct fastr_task *task =
        fastr_task_new(&(struct fastr_task_start){.scripts = scripts, .id = spawn->id, .traceparent = spawn->traceparent,
                                                  .deadline_ms = spawn->deadline_ms, .ended = spawned_ended,
                                                  .data = spawned});
    if (!fastr_program_push_handler(program_of(task), task->coroutine.L, spawn->kind, spawn->handler)) {
        fastr_task_cancel(task, "its handler has gone with a reload");
        return true;
    }
    int arguments = spawn->push ? spawn->push(task->coroutine.L, spawn->data) : 0;
    resume(task, arguments);
    return true;
}

int fastr_program_count(const char *kind)
{
    struct fastr_line *line = fastr_line_find("scripts");
    struct fastr_version *scripts = line ? fastr_line_pin(line, NULL) : NULL;
    int n = scripts ? fastr_program_length(fastr_version_built(scripts), kind) : 0;
    fastr_version_unpin(scripts);
    return n;
}

const char *fastr_program_field(const char *kind, int index, const char *field)
{
    struct fastr_line *line = fastr_line_find("scripts");
    struct fastr_version *scripts = line ? fastr_line_pin(line, NULL) : NULL;
    const char *text = scripts ? fastr_program_text(fastr_version_built(scripts), kind, index, field) : "";
    fastr_version_unpin(scripts);
    return text;
}

/* ---- fastr.all ---- */

struct gathering {
    struct fastr_wait wait;
    lua_State *L;    /* the program's main state: owner of the references */
    int left, total;
    int results;     /* reference of the list of packed results */
    char *error;     /* of the first that raised */
};

struct branch {
    struct gathering *gathering;
    int index;
};

static void gathering_free(struct gathering *gathering)
{
    luaL_unref(gathering->L, LUA_REGISTRYINDEX, gathering->results);
    free(gathering->error);
    free(gathering);
}

static void store_results(struct gathering *gathering, int index, lua_State *L, int results)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, gathering->results);
    lua_createtable(L, results, 1);
    for (int i = 1; i <= results; i++) {
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i);
    }
    lua_pushinteger(L, results);
    lua_setfield(L, -2, "n");
    lua_rawseti(L, -2, index);
    lua_pop(L, 1);
}

static void branch_ended(struct fastr_task *task, lua_State *L, int results, const char *error, void *data)
{
    struct branch *branch = data;
    struct gathering *gathering = branch->gathering;
    if (error && !gathering->error)
        gathering->error = fastr_strdup(error);
    if (!error)
        store_results(gathering, branch->index, L, results);
    free(branch);
    if (--gathering->left == 0)
        fastr_wake(&gathering->wait);
}

static int gathering_finish(lua_State *L, struct fastr_wait *wait)
{
    struct gathering *gathering = (struct gathering *)wait;
    int pushed = 1;
    if (L && gathering->error)
        pushed = fastr_push_error(L, "raised", "%s", gathering->error);
    else if (L)
        lua_rawgeti(L, LUA_REGISTRYINDEX, gathering->results);
    gathering_free(gathering);
    return pushed;
}

static struct fastr_task *branch_new(struct fastr_task *parent, struct branch *branch)
{
    int64_t left = fastr_task_ms_left(parent);
    struct fastr_task *task = fastr_task_new(&(struct fastr_task_start){
        .scripts = fastr_version_share(parent->scripts), .id = parent->id, .traceparent = parent->traceparent,
        .deadline_ms = left == INT64_MAX ? 0 : (uint64_t)(left > 0 ? left : 1), .ended = branch_ended, .data = branch});
    unpin_lines(task);
    task->pinned_count = parent->pinned_count;
    for (int i = 0; i < parent->pinned_count; i++) {
        task->pinned[i] = parent->pinned[i];
        fastr_version_share(task->pinned[i].version);
        if (task->pinned[i].candidate)
            fastr_version_share(task->pinned[i].candidate);
    }
    for (struct word *word = parent->words; word; word = word->next)
        fastr_task_set(task, word->key, word->value);
    task->shared = shared_of(parent);
    task->shared->tasks++;
    return task;
}

/* all{f, g, ...}: see bindings/all.c. */
int fastr_task_all(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    int total = (int)lua_objlen(L, 1);
    for (int i = 1; i <= total; i++) {
        lua_rawgeti(L, 1, i);
        luaL_argcheck(L, lua_isfunction(L, -1), 1, "a list of functions is needed");
        lua_pop(L, 1);
    }
    fastr_check_wait(L, "all");
    if (total == 0) {
        lua_newtable(L);
        return 1;
    }
    struct fastr_task *parent = current;
    struct gathering *gathering = fastr_zalloc(sizeof *gathering);
    gathering->wait.finish = gathering_finish;
    /* No cancel: branches outlive a parent that goes away, end at its deadline, and the last frees the gathering. */
    gathering->L = program_of(parent)->L;
    gathering->left = gathering->total = total;
    lua_createtable(L, total, 0);
    gathering->results = luaL_ref(L, LUA_REGISTRYINDEX);
    for (int i = 1; i <= total; i++) {
        struct branch *branch = fastr_alloc(sizeof *branch);
        *branch = (struct branch){gathering, i};
        struct fastr_task *task = branch_new(parent, branch);
        lua_rawgeti(L, 1, i);
        lua_xmove(L, task->coroutine.L, 1);
        resume(task, 0);
    }
    return fastr_suspend(L, &gathering->wait);
}
