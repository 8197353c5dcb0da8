/* request.c: see request.h.
 *
 * Built in, before any route: /healthz (this process lives), /readyz (its required dependencies are well), /metrics.
 * NGINX does not pass them on. What goes wrong here is answered as a problem document (RFC 9457).
 *
 * A client that leaves before the reply cancels a GET; what may change something runs on, so that the client's retry
 * with the same idempotency key finds a finished answer and not a half-done one. */
#include "runtime/request.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cors.h"
#include "runtime/json.h"
#include "runtime/problem.h"
#include "runtime/router.h"
#include "runtime/slots.h"
#include "runtime/stream.h"
#include "runtime/task.h"

enum { FIELDS_MAX = 32 };

/* ---- problem documents ---- */

static const char *good_request_id(struct fastr_http_request *request)
{
    size_t length;
    const char *id = fastr_http_request_header(request, "x-request-id", &length);
    if (!id || length == 0 || length > 63)
        return NULL;
    return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == length ? id : NULL;
}

/* `more` may be NULL. The caller's request id goes back to him, so that he finds the balancer's log line of it. */
static void reply_problem(struct fastr_http_request *request, enum fastr_problem problem, const char *detail,
                          const struct fastr_http_field *more)
{
    struct fastr_buffer body = {0};
    int status = fastr_problem_status(problem);
    fastr_problem_write(&body, problem, detail);
    struct fastr_http_field fields[4] = {{"Content-Type", "application/problem+json"}};
    const char *id = good_request_id(request);
    size_t count = 1;
    if (id && !(more && !strcmp(more->name, "X-Request-Id")))
        fields[count++] = (struct fastr_http_field){"X-Request-Id", id};
    if (status == 503)
        fields[count++] = (struct fastr_http_field){"Retry-After", "1"};
    if (more)
        fields[count++] = *more;
    fastr_http_reply(request, status, fields, count, body.data, body.length, NULL);
    fastr_buffer_free(&body);
}

static void reply_text(struct fastr_http_request *request, int status, const char *type, const char *text, size_t length)
{
    struct fastr_http_field field = {"Content-Type", type};
    fastr_http_reply(request, status, &field, 1, text, length, NULL);
}

/* ---- built-in pages ---- */

static void reply_ready(struct fastr_http_request *request)
{
    struct fastr_slot *slot = fastr_slot_mine();
    bool ready = slot && fastr_slot_ready(slot);
    struct fastr_buffer body = {0};
    fastr_buffer_format(&body, "{\"ready\":%s", ready ? "true" : "false");
    for (int i = 0; slot && i < 16 && slot->health[i].name[0]; i++)
        fastr_buffer_format(&body, ",\"%s\":%s", slot->health[i].name, slot->health[i].ok ? "true" : "false");
    fastr_buffer_text(&body, "}\n");
    reply_text(request, ready ? 200 : 503, "application/json", body.data, body.length);
    fastr_buffer_free(&body);
}

static bool built_in(struct fastr_http_request *request, const struct fastr_http_message *message)
{
    const char *path = message->path.text;
    size_t length = message->path.length;
    if (length == 8 && !memcmp(path, "/healthz", 8)) {
        reply_text(request, 200, "text/plain", "ok\n", 3);
    } else if (length == 7 && !memcmp(path, "/readyz", 7)) {
        reply_ready(request);
    } else if (length == 8 && !memcmp(path, "/metrics", 8)) {
        struct fastr_buffer body = {0};
        fastr_metrics_write(&body);
        reply_text(request, 200, "text/plain; version=0.0.4", body.data ? body.data : "", body.length);
        fastr_buffer_free(&body);
    } else {
        return false;
    }
    return true;
}

/* ---- the request in Lua ---- */

/* What a running request keeps beside its task. */
struct call {
    struct fastr_route *route;
    struct fastr_task *task;
    bool safe; /* GET or HEAD */
};

static struct fastr_http_request *request_here(void)
{
    struct fastr_task *task = fastr_task_current();
    return task ? fastr_task_request(task) : NULL;
}

/* req:header(name) -> text, or nil if absent or the client has left. */
static int l_header(lua_State *L)
{
    struct fastr_http_request *request = request_here();
    size_t length;
    const char *value = request ? fastr_http_request_header(request, luaL_checkstring(L, 2), &length) : NULL;
    if (value)
        lua_pushlstring(L, value, length);
    else
        lua_pushnil(L);
    return 1;
}

/* req:body() -> text, "" if there is none or the client has left. */
static int l_body(lua_State *L)
{
    struct fastr_http_request *request = request_here();
    size_t length = 0;
    const char *body = request ? fastr_http_request_body(request, &length) : "";
    lua_pushlstring(L, body, length);
    return 1;
}

/* Pushes the metatable of `req`, made at the first request of a Lua state. */
static void push_methods(lua_State *L)
{
    if (!luaL_newmetatable(L, "fastr.request"))
        return;
    lua_newtable(L);
    lua_pushcfunction(L, l_header);
    lua_setfield(L, -2, "header");
    lua_pushcfunction(L, l_body);
    lua_setfield(L, -2, "body");
    lua_setfield(L, -2, "__index");
}

/* One name=value piece of a query into the table on the top of the stack; false for a bad escape. */
static bool push_pair(lua_State *L, const char *piece, size_t length)
{
    const char *equals = memchr(piece, '=', length);
    size_t name = equals ? (size_t)(equals - piece) : length;
    char *text = fastr_alloc(length + 2);
    ptrdiff_t n = fastr_url_decode(piece, name, true, text);
    if (n >= 0)
        lua_pushlstring(L, text, (size_t)n);
    ptrdiff_t m = n < 0 || !equals ? 0 : fastr_url_decode(equals + 1, length - name - 1, true, text);
    if (n >= 0 && m >= 0) {
        lua_pushlstring(L, text, equals ? (size_t)m : 0);
        lua_rawset(L, -3);
    } else if (n >= 0) {
        lua_pop(L, 1);
    }
    free(text);
    return n >= 0 && m >= 0;
}

static bool push_query(lua_State *L, const char *query, size_t length)
{
    lua_newtable(L);
    const char *end = query + length;
    while (query < end) {
        const char *next = memchr(query, '&', (size_t)(end - query));
        size_t piece = next ? (size_t)(next - query) : (size_t)(end - query);
        if (piece > 0 && !push_pair(L, query, piece)) {
            lua_pop(L, 1);
            return false;
        }
        query += piece + 1;
    }
    return true;
}

static void push_request(lua_State *L, struct fastr_task *task, struct fastr_http_request *request,
                         const struct fastr_http_message *message, const struct fastr_route_match *match)
{
    /* The query is on the top of the stack. */
    lua_createtable(L, 0, 8);
    lua_insert(L, -2);
    lua_setfield(L, -2, "query");
    lua_pushlstring(L, message->method.text, message->method.length);
    lua_setfield(L, -2, "method");
    lua_pushlstring(L, match->path, match->path_length);
    lua_setfield(L, -2, "path");
    lua_createtable(L, 0, match->count);
    for (int i = 0; i < match->count; i++) {
        lua_pushlstring(L, match->params[i].value, match->params[i].length);
        lua_setfield(L, -2, match->params[i].name);
    }
    lua_setfield(L, -2, "params");
    lua_pushstring(L, fastr_task_id(task));
    lua_setfield(L, -2, "id");
    lua_pushstring(L, fastr_http_request_peer(request));
    lua_setfield(L, -2, "peer");
    push_methods(L);
    lua_setmetatable(L, -2);
}

/* ---- the reply from Lua ---- */

struct fields {
    struct fastr_http_field list[FIELDS_MAX];
    size_t count;
    bool has_type;
};

static void add_field(struct fields *fields, const char *name, const char *value)
{
    if (fields->count < FIELDS_MAX && name && value)
        fields->list[fields->count++] = (struct fastr_http_field){name, value};
    if (name && !strcasecmp(name, "content-type"))
        fields->has_type = true;
}

/* The table of headers at `index`: name -> text or list of texts, which the table keeps alive. */
static void read_fields(lua_State *L, int index, struct fields *fields)
{
    if (!lua_istable(L, index))
        return;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        if (lua_istable(L, -1)) {
            for (int i = 1; i <= (int)lua_objlen(L, -1); i++) {
                lua_rawgeti(L, -1, i);
                add_field(fields, name, lua_tostring(L, -1));
                lua_pop(L, 1);
            }
        } else if (lua_type(L, -1) == LUA_TSTRING) {
            add_field(fields, name, lua_tostring(L, -1));
        }
        lua_pop(L, 1);
    }
}

/* The reply's body is what fastr.stream.open gave (bindings/stream.c): a pointer to the stream, which is ours now. */
static int reply_stream(lua_State *L, struct fastr_http_request *request, const struct fields *fields,
                        struct fastr_err *err)
{
    struct fastr_stream *stream = *(struct fastr_stream **)lua_touserdata(L, 2);
    if (!stream)
        return fastr_fail(err, "invalid", "a handler returned a stream of another request");
    return fastr_stream_reply(stream, request, fields->list, fields->count, err);
}

/* The body at `index` as bytes: a text as it is, a table as JSON in `encoded`. */
static int read_body(lua_State *L, int index, struct fields *fields, struct fastr_buffer *encoded, const char **body,
                     size_t *length, struct fastr_err *err)
{
    *body = "";
    *length = 0;
    if (lua_istable(L, index)) {
        if (fastr_json_encode(L, index, false, encoded, err))
            return -1;
        if (!fields->has_type)
            add_field(fields, "Content-Type", "application/json");
        *body = encoded->data;
        *length = encoded->length;
    } else if (lua_isstring(L, index)) {
        *body = lua_tolstring(L, index, length);
        if (!fields->has_type)
            add_field(fields, "Content-Type", "text/plain; charset=utf-8");
    } else if (!lua_isnoneornil(L, index)) {
        return fastr_fail(err, "invalid", "a handler's body must be a text or a table, not a %s",
                          luaL_typename(L, index));
    }
    return 0;
}

/* `status, body, headers` are at 1, 2, 3. -1 if they make no reply. */
static int reply_values(lua_State *L, struct fastr_task *task, struct fastr_http_request *request, int *status,
                        struct fastr_err *err)
{
    static struct fastr_buffer encoded; /* reused: one reply at a time in a worker */
    struct fields fields = {.count = 0};
    lua_settop(L, 3);
    if (lua_type(L, 1) != LUA_TNUMBER)
        return fastr_fail(err, "invalid", "a handler must return a status, a body and headers");
    *status = (int)lua_tointeger(L, 1);
    read_fields(L, 3, &fields);
    add_field(&fields, "X-Request-Id", fastr_task_id(task));
    if (luaL_testudata(L, 2, "fastr.stream"))
        return reply_stream(L, request, &fields, err);
    const char *body;
    size_t length;
    encoded.length = 0;
    if (read_body(L, 2, &fields, &encoded, &body, &length, err))
        return -1;
    int rc = fastr_http_reply(request, *status, fields.list, fields.count, body, length, err);
    if (encoded.capacity > 1024 * 1024)
        fastr_buffer_free(&encoded);
    return rc;
}

static void log_failure(const struct call *call, const char *error)
{
    struct fastr_buffer fields = {0};
    fastr_buffer_text(&fields, "\"route\":");
    fastr_json_string(&fields, call->route->name, strlen(call->route->name));
    fastr_buffer_text(&fields, ",\"error\":");
    fastr_json_string(&fields, error, strlen(error));
    fastr_log_fields(FASTR_ERROR, "a handler failed", fields.data);
    fastr_buffer_free(&fields);
}

/* `code` is of what could not be replied, or "". */
static void reply_failure(struct fastr_http_request *request, struct fastr_task *task, const char *code)
{
    struct fastr_http_field id = {"X-Request-Id", fastr_task_id(task)};
    if (!strcmp(code, "busy") || !strcmp(code, "closed"))
        reply_problem(request, FASTR_BUSY, "No stream can be opened at the moment; try again.", &id);
    else if (fastr_task_expired(task))
        reply_problem(request, FASTR_TIMEOUT, "This took longer than it may; it is not known how far it went.", &id);
    else
        reply_problem(request, FASTR_INTERNAL, "It has been logged under this reply's X-Request-Id.", &id);
}

static void on_ended(struct fastr_task *task, lua_State *L, int results, const char *error, void *data)
{
    struct call *call = data;
    struct fastr_http_request *request = fastr_task_request(task);
    struct fastr_err err = {{0}, {0}};
    int status = 500;
    call->route->running--;
    if (request) {
        fastr_metric_observe(call->route->seconds,
                             (double)(fastr_clock_us() - fastr_http_request_started_us(request)) / 1e6);
        fastr_http_request_set_data(request, NULL);
    }
    if (request && !error && reply_values(L, task, request, &status, &err)) {
        error = err.text;
        status = 500;
    }
    if (error && strncmp(error, "cancelled: the client", 21))
        log_failure(call, error);
    if (request && error)
        reply_failure(request, task, err.code);
    if (status >= 500)
        fastr_metric_add(call->route->failures, 1);
    free(call);
}

/* ---- from the server ---- */

static struct fastr_metric *refused(void)
{
    static struct fastr_metric *metric;
    if (!metric)
        metric = fastr_counter("fastr_requests_refused_total", "", "Requests answered 503 because the worker was full.");
    return metric;
}

/* 405; OPTIONS is answered with what there is (RFC 9110 §9.3.7). */
static void refuse_method(struct fastr_http_request *request, const struct fastr_http_message *message, const char *allow)
{
    struct fastr_http_field field = {"Allow", allow};
    if (!strcmp(message->method.text, "OPTIONS"))
        fastr_http_reply(request, 204, &field, 1, NULL, 0, NULL);
    else
        reply_problem(request, FASTR_METHOD_NOT_ALLOWED, "This path exists, but not with this method: see Allow.", &field);
}

/* Finds the route; answers 400, 404 or 405 itself and returns NULL. */
static struct fastr_route *find_route(struct fastr_http_request *request, const struct fastr_http_message *message,
                                      struct fastr_program *program, char *decoded, struct fastr_route_match *match)
{
    switch (fastr_router_find(program->router, message->method.text, message->method.length, message->path.text,
                              message->path.length, decoded, match)) {
    case 200:
        return &program->routes[match->index];
    case 400:
        reply_problem(request, FASTR_BAD_REQUEST, match->reason, NULL);
        return NULL;
    case 405:
        refuse_method(request, message, match->allow);
        return NULL;
    default:
        reply_problem(request, FASTR_NOT_FOUND, "There is nothing at this path.", NULL);
        return NULL;
    }
}

/* The caller's remaining time (fastr-deadline-ms) shortens the route's. */
static uint64_t deadline(struct fastr_http_request *request, const struct fastr_route *route)
{
    uint64_t ms = route->timeout_ms ? route->timeout_ms : 10000;
    const char *given = fastr_http_request_header(request, "fastr-deadline-ms", NULL);
    uint64_t callers = given ? strtoull(given, NULL, 10) : 0;
    return callers > 0 && callers < ms ? callers : ms;
}

static void start(struct fastr_http_request *request, const struct fastr_http_message *message,
                  struct fastr_version *scripts, struct fastr_route *route, const struct fastr_route_match *match)
{
    struct call *call = fastr_alloc(sizeof *call);
    bool safe = !strcmp(message->method.text, "GET") || !strcmp(message->method.text, "HEAD");
    *call = (struct call){.route = route, .safe = safe};
    struct fastr_task *task = fastr_task_new(&(struct fastr_task_start){
        .scripts = scripts, .id = good_request_id(request),
        .traceparent = fastr_http_request_header(request, "traceparent", NULL),
        .deadline_ms = deadline(request, route), .request = request, .ended = on_ended, .data = call});
    call->task = task;
    route->running++;
    fastr_http_request_set_data(request, call);
    lua_State *L = fastr_task_lua(task);
    lua_rawgeti(L, LUA_REGISTRYINDEX, route->handle);
    if (!push_query(L, message->query.text, message->query.text ? message->query.length : 0)) {
        lua_settop(L, 0);
        fastr_task_forget_request(task);
        fastr_task_cancel(task, "the client sent a query that does not decode");
        reply_problem(request, FASTR_BAD_REQUEST, "The query has a bad percent escape or is not UTF-8.", NULL);
        return;
    }
    push_request(L, task, request, message, match);
    fastr_task_run(task, 1);
}

static struct fastr_version *pin_scripts(struct fastr_http_request *request)
{
    struct fastr_err err = {{0}, {0}};
    struct fastr_version *scripts = fastr_line_pin(fastr_line_at(0), &err);
    if (!scripts)
        reply_problem(request, FASTR_UNAVAILABLE, "No version of the scripts is live yet.", NULL);
    return scripts;
}

static void on_request(void *data, struct fastr_http_request *request)
{
    const struct fastr_http_message *message = fastr_http_request_message(request);
    if (built_in(request, message) || fastr_cors_preflight(request))
        return;
    struct fastr_version *scripts = pin_scripts(request);
    if (!scripts)
        return;
    char small[1024], *decoded = message->path.length < sizeof small ? small : fastr_alloc(message->path.length + 1);
    struct fastr_route_match match;
    struct fastr_route *route = find_route(request, message, fastr_version_built(scripts), decoded, &match);
    bool full = route && (fastr_tasks_full() || (route->concurrency && route->running >= route->concurrency));
    if (full) {
        fastr_metric_add(refused(), 1);
        reply_problem(request, FASTR_BUSY, "Too much is going on here; try again in a moment.", NULL);
    }
    if (route && !full)
        start(request, message, scripts, route, &match);
    else
        fastr_version_unpin(scripts);
    if (decoded != small)
        free(decoded);
}

/* A body is announced: the route's own limit, and 404 or 405 before the client sends it. */
static void on_head(void *data, struct fastr_http_request *request)
{
    const struct fastr_http_message *message = fastr_http_request_message(request);
    if (!message->has_body)
        return;
    struct fastr_version *scripts = pin_scripts(request);
    if (!scripts)
        return;
    char *decoded = fastr_alloc(message->path.length + 1);
    struct fastr_route_match match;
    struct fastr_route *route = find_route(request, message, fastr_version_built(scripts), decoded, &match);
    if (route && route->body_bytes)
        fastr_http_request_limit_body(request, route->body_bytes);
    free(decoded);
    fastr_version_unpin(scripts);
}

static void on_gone(void *data, struct fastr_http_request *request)
{
    struct call *call = fastr_http_request_data(request);
    if (!call)
        return;
    fastr_task_forget_request(call->task);
    if (call->safe)
        fastr_task_cancel(call->task, "the client left");
}

const struct fastr_http_handler fastr_request_handler = {
    .on_head = on_head,
    .on_request = on_request,
    .on_gone = on_gone,
    .fields = fastr_cors_fields,
};
