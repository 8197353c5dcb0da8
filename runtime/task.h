/* task.h: tasks as the worker sees them (bindings see the part in fastr.h, where the states are drawn). */
#ifndef FASTR_TASK_H
#define FASTR_TASK_H

#include "runtime/program.h"
#include "runtime/version.h"

struct fastr_http_request;

/* How a task begins. */
struct fastr_task_start {
    struct fastr_version *scripts; /* pinned by the caller; the task unpins it when it ends */
    const char *id;                /* copied; NULL makes one */
    const char *traceparent;       /* copied; NULL or invalid begins a new trace */
    uint64_t deadline_ms;          /* from now; 0 for none */
    struct fastr_http_request *request; /* may be NULL; fastr_task_forget_request when it goes away first */
    /* Called once at the end, with the task still current: `results` values on L, or -1 and `error` if it raised or was
     * cancelled ("cancelled: ..."). */
    void (*ended)(struct fastr_task *task, lua_State *L, int results, const char *error, void *data);
    void *data;
};

/* Once per process, after the loop exists. `most` tasks at once. */
void fastr_tasks_start(struct event_base *base, int most);
int fastr_tasks_count(void);
bool fastr_tasks_full(void);
/* A task whose coroutine is ready for a function and its arguments to be pushed; then fastr_task_run. */
struct fastr_task *fastr_task_new(const struct fastr_task_start *start);
lua_State *fastr_task_lua(struct fastr_task *task);
/* Runs the function below `arguments` values on the task's stack, now, until it waits or ends. */
void fastr_task_run(struct fastr_task *task, int arguments);
/* Ends a task that has not ended, wherever it waits; `ended` gets "cancelled: REASON". Not from inside itself. */
void fastr_task_cancel(struct fastr_task *task, const char *reason);
void fastr_tasks_cancel_version(struct fastr_version *version); /* all that run on it */
void fastr_tasks_cancel_all(const char *reason);
bool fastr_task_expired(const struct fastr_task *task); /* its deadline has passed */
struct fastr_http_request *fastr_task_request(struct fastr_task *task); /* NULL if none or gone */
bool fastr_task_in_transaction(struct fastr_task *task);
void fastr_task_forget_request(struct fastr_task *task);
/* fastr.all: see bindings/all.c. */
int fastr_task_all(lua_State *L);

#endif
