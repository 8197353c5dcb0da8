/* http.c: fastr.http, outgoing HTTP/1.1 over libcurl, on the connections that util_transfer.c pools.
 *
 * Bounded everywhere: by the time limit (never past the task's own deadline, which is passed on), 4 MiB of body, 64 KiB
 * of headers, and a circuit breaker per target (scheme, host and port, and who is meant where several live behind one
 * address: a load balancer answers for services that are away):
 *
 *           5 failures in a row                    1 s, doubling to 30 s
 *   CLOSED ----------------------> OPEN (refuses) -----------------------> HALF OPEN (one probe; the rest refused)
 *      ^                            ^                                          |
 *      |        probe succeeds      |                probe fails               |
 *      +----------------------------+------------------------------------------+
 *
 * A failure is a broken or late connection, or a 502, 503 or 504; other answers are the target's business. Repeated is
 * only what cannot happen twice: a request of an idempotent method or with an Idempotency-Key, or one of which nothing
 * was sent. Redirects are not followed; certificates are checked; only http and https exist. */
#include "bindings/util.h"
#include "runtime/fastr.h"

#include <ctype.h>
#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    BODY_MOST = 4 << 20,
    HEADERS_MOST = 64 << 10,
    URL_MOST = 8192,
    RUNNING_MOST = 1024,
    RETRIES_MOST = 5,
    TARGETS_MOST = 256,
    FAILURES_TO_OPEN = 5,
    OPEN_LEAST_MS = 1000,
    OPEN_MOST_MS = 30000,
};

struct target {
    struct target *next;
    char *key; /* "https://host:443" */
    int users, failures;
    int64_t open_ms;
    uint64_t open_until_us; /* 0: closed */
    bool probing;
};

struct request {
    struct fastr_wait wait;
    struct fastr_transfer transfer;
    struct event again;
    struct target *target;
    /* in the task's arena, which outlives the transfer */
    const char *method, *url, *body;
    size_t body_length, body_read;
    struct curl_slist *headers;
    bool has_body, repeatable, probe, too_large;
    int retries, attempt;
    uint64_t deadline_us, began_us;
    long status;
    struct fastr_buffer reply, reply_headers; /* the latter: name NUL value NUL ... */
    struct fastr_err failure;
};

static struct {
    struct target *targets;
    int target_count, running;
    struct fastr_metric *requests, *failures, *refused, *seconds;
} http;

/* ---- the circuit breaker ----------------------------------------------------------------------------------------- */

/* Called when there are very many: drops those that nobody uses and nothing is held against. */
static void forget_targets(void)
{
    for (struct target **at = &http.targets; *at;) {
        struct target *target = *at;
        if (target->users || fastr_clock_us() < target->open_until_us) {
            at = &target->next;
            continue;
        }
        *at = target->next;
        http.target_count--;
        free(target->key);
        free(target);
    }
}

static struct target *find_target(const char *key)
{
    for (struct target *target = http.targets; target; target = target->next)
        if (strcmp(target->key, key) == 0)
            return target;
    if (http.target_count >= TARGETS_MOST)
        forget_targets();
    struct target *target = fastr_zalloc(sizeof *target);
    target->key = fastr_strdup(key);
    target->open_ms = OPEN_LEAST_MS;
    target->next = http.targets;
    http.targets = target;
    http.target_count++;
    return target;
}

/* Whether a request may go out now; the first one after an open spell is the probe. */
static bool admit(struct request *request)
{
    struct target *target = request->target;
    request->probe = false;
    if (target->open_until_us == 0)
        return true;
    if (fastr_clock_us() < target->open_until_us || target->probing)
        return false;
    request->probe = target->probing = true;
    return true;
}

static void open_breaker(struct target *target)
{
    target->open_until_us = fastr_clock_us() + (uint64_t)target->open_ms * 1000;
    fastr_log(FASTR_WARN, "http: %s failed %d times in a row, refused for %lld ms", target->key, target->failures,
              (long long)target->open_ms);
    target->open_ms = target->open_ms * 2 > OPEN_MOST_MS ? OPEN_MOST_MS : target->open_ms * 2;
}

static void close_breaker(struct target *target)
{
    if (target->open_until_us)
        fastr_log(FASTR_INFO, "http: %s answers again", target->key);
    target->failures = 0;
    target->open_until_us = 0;
    target->open_ms = OPEN_LEAST_MS;
}

enum outcome { GOOD, BAD, NEITHER };

static void settle(struct request *request, enum outcome outcome)
{
    struct target *target = request->target;
    bool probe = request->probe;
    if (probe)
        request->probe = target->probing = false;
    if (outcome == GOOD)
        close_breaker(target);
    if (outcome != BAD)
        return;
    target->failures++;
    if (probe || (target->open_until_us == 0 && target->failures >= FAILURES_TO_OPEN))
        open_breaker(target);
}

/* ---- one attempt ------------------------------------------------------------------------------------------------- */

static void on_done(struct fastr_transfer *transfer, int result);

static struct request *of_transfer(struct fastr_transfer *transfer)
{
    return (struct request *)((char *)transfer - offsetof(struct request, transfer));
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct request *request = data;
    if (request->reply.length + size * count > BODY_MOST) {
        request->too_large = true;
        return 0;
    }
    fastr_buffer_add(&request->reply, bytes, size * count);
    return size * count;
}

/* One line of the reply's head, its CRLF included. A status line begins anew: 100 Continue may come before. */
static size_t on_header(char *bytes, size_t size, size_t count, void *data)
{
    struct request *request = data;
    size_t length = size * count, end = length;
    const char *colon = memchr(bytes, ':', length);
    if (length > 5 && memcmp(bytes, "HTTP/", 5) == 0) {
        request->reply_headers.length = 0;
        return length;
    }
    if (request->reply_headers.length + length > HEADERS_MOST) {
        request->too_large = true;
        return 0;
    }
    if (colon == NULL)
        return length;
    for (const char *at = bytes; at < colon; at++)
        fastr_buffer_add(&request->reply_headers, &(char){(char)tolower((unsigned char)*at)}, 1);
    size_t begin = (size_t)(colon - bytes) + 1;
    while (begin < end && (bytes[begin] == ' ' || bytes[begin] == '\t'))
        begin++;
    while (end > begin && strchr("\r\n \t", bytes[end - 1]))
        end--;
    fastr_buffer_add(&request->reply_headers, "", 1);
    fastr_buffer_add(&request->reply_headers, bytes + begin, end - begin);
    fastr_buffer_add(&request->reply_headers, "", 1);
    return length;
}

static size_t read_body(char *to, size_t size, size_t count, void *data)
{
    struct request *request = data;
    size_t left = request->body_length - request->body_read;
    size_t length = size * count < left ? size * count : left;
    memcpy(to, request->body + request->body_read, length);
    request->body_read += length;
    return length;
}

/* libcurl sends again by itself when a pooled connection turns out dead. What must not happen twice gets no way to
 * rewind (a body is read by callback), or a connection of its own (without a body nothing would stop it). */
static void set_body(struct request *request, CURL *easy)
{
    if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (!request->has_body && strcmp(request->method, "GET") == 0)
        return;
    if (request->repeatable || request->body_length == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body_length ? request->body : "");
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->repeatable ? 0L : 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_body);
        curl_easy_setopt(easy, CURLOPT_READDATA, request);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static int64_t ms_left(const struct request *request)
{
    uint64_t now = fastr_clock_us();
    return now < request->deadline_us ? (int64_t)(request->deadline_us - now + 999) / 1000 : 0;
}

static void begin(struct request *request)
{
    request->reply.length = request->reply_headers.length = request->body_read = 0;
    request->too_large = false;
    request->transfer.done = on_done;
    fastr_transfer_prepare(&request->transfer, ms_left(request));
    CURL *easy = request->transfer.easy;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    set_body(request, easy);
    fastr_transfer_begin(&request->transfer);
}

static void complete(struct request *request)
{
    fastr_metric_observe(http.seconds, (double)(fastr_clock_us() - request->began_us) / 1e6);
    if (request->failure.code[0])
        fastr_metric_add(http.failures, 1);
    fastr_wake(&request->wait);
}

static void describe_failure(struct request *request, CURLcode result)
{
    const char *problem = *request->transfer.problem ? request->transfer.problem : curl_easy_strerror(result);
    const char *code = "unavailable";
    if (result == CURLE_OPERATION_TIMEDOUT)
        code = "timeout";
    if (result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL)
        code = "invalid";
    if (request->too_large) {
        code = "invalid";
        problem = "the reply is larger than 4 MiB, or its headers than 64 KiB";
    }
    fastr_fail(&request->failure, code, "%s %s: %s", request->method, request->url, problem);
}

static bool is_failure(const struct request *request, CURLcode result)
{
    if (request->too_large)
        return false;
    return result != CURLE_OK || (request->status >= 502 && request->status <= 504);
}

/* Waits a jittered 50 ms, 100 ms ... before the next attempt, unless that is past the deadline. */
static bool try_again(struct request *request, bool sent)
{
    if (request->attempt >= request->retries || (sent && !request->repeatable))
        return false;
    int64_t delay_ms = (int64_t)((50 << request->attempt) * (0.5 + drand48()));
    if (delay_ms >= ms_left(request))
        return false;
    request->attempt++;
    struct timeval delay = {.tv_usec = delay_ms % 1000 * 1000, .tv_sec = delay_ms / 1000};
    evtimer_add(&request->again, &delay);
    return true;
}

static void on_again(evutil_socket_t fd, short what, void *data)
{
    struct request *request = data;
    (void)fd, (void)what;
    if (!admit(request)) {
        complete(request); /* with what the last attempt said */
        return;
    }
    memset(&request->failure, 0, sizeof request->failure);
    begin(request);
}

static void on_done(struct fastr_transfer *transfer, int result)
{
    struct request *request = of_transfer(transfer);
    long sent = 0;
    request->status = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &sent);
    if (result == CURLE_OK)
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &request->status);
    else
        describe_failure(request, (CURLcode)result);
    fastr_transfer_end(transfer);
    bool failed = is_failure(request, (CURLcode)result);
    settle(request, failed ? BAD : GOOD);
    if (!failed || !try_again(request, sent > 0))
        complete(request);
}

/* ---- the waiting task -------------------------------------------------------------------------------------------- */

static void request_free(struct request *request)
{
    fastr_transfer_end(&request->transfer);
    evtimer_del(&request->again);
    curl_slist_free_all(request->headers);
    fastr_buffer_free(&request->reply);
    fastr_buffer_free(&request->reply_headers);
    request->target->users--;
    http.running--;
    free(request);
}

/* A header that is repeated is one list, joined by ", " (RFC 9110 section 5.3). */
static void push_headers(lua_State *L, const struct fastr_buffer *headers)
{
    lua_newtable(L);
    for (size_t at = 0; at < headers->length;) {
        const char *name = headers->data + at, *value = name + strlen(name) + 1;
        at = (size_t)(value + strlen(value) + 1 - headers->data);
        lua_getfield(L, -1, name);
        if (lua_isnil(L, -1))
            lua_pushstring(L, value);
        else
            lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), value);
        lua_setfield(L, -3, name);
        lua_pop(L, 1);
    }
}

static int push_outcome(lua_State *L, const struct request *request)
{
    if (request->failure.code[0])
        return fastr_push_error(L, request->failure.code, "http: %s", request->failure.text);
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, request->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, request->reply.length ? request->reply.data : "", request->reply.length);
    lua_setfield(L, -2, "body");
    push_headers(L, &request->reply_headers);
    lua_setfield(L, -2, "headers");
    return 1;
}

static int finish(lua_State *L, struct fastr_wait *wait)
{
    struct request *request = (struct request *)wait;
    int pushed = L ? push_outcome(L, request) : 0;
    request_free(request);
    return pushed;
}

static void cancel(struct fastr_wait *wait)
{
    struct request *request = (struct request *)wait;
    settle(request, NEITHER);
    request_free(request);
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* The field of the options at index 1, copied to the task's arena; NULL when absent. */
static const char *text_option(lua_State *L, const char *name, size_t *length)
{
    const char *text = fastr_field_text(L, 1, name, NULL, length);
    if (text == NULL)
        return NULL;
    char *copy = fastr_arena_alloc(fastr_task_arena(fastr_task_current()), *length + 1);
    memcpy(copy, text, *length);
    copy[*length] = 0;
    return copy;
}

static bool is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && (text[i] == 0 || !strchr("!#$%&'*+-.^_`|~", text[i])))
            return false;
    return length > 0;
}

/* Fills `key` with scheme://host:port; refuses what is not a plain absolute http or https URL. */
static int target_key(const char *url, char *key, size_t size, struct fastr_err *err)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    CURLU *parts = curl_url();
    CURLUcode failed = curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (!failed)
        failed = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0);
    bool known = !failed && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    if (known)
        failed = curl_url_get(parts, CURLUPART_HOST, &host, 0);
    if (known && !failed)
        failed = curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    bool secret = curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK;
    if (known && !failed && !secret)
        snprintf(key, size, "%s://%s:%s", scheme, host, port);
    curl_free(scheme), curl_free(host), curl_free(port), curl_free(user);
    curl_url_cleanup(parts);
    if (failed)
        return fastr_fail(err, "invalid", "\"%s\" is not a URL: %s", url, curl_url_strerror(failed));
    if (!known)
        return fastr_fail(err, "invalid", "\"%s\" is neither http nor https", url);
    return secret ? fastr_fail(err, "invalid", "a URL with a user in it is refused; send an authorization header") : 0;
}

static void add_header(struct request *request, const char *name, const char *value)
{
    char *line = *value ? fastr_format("%s: %s", name, value) : fastr_format("%s;", name);
    request->headers = curl_slist_append(request->headers, line);
    free(line);
}

/* The header at the top of the stack (its value) and below it (its name). Everything that could raise does so in
 * check_headers, before anything is allocated. */
static void check_header(lua_State *L, const char *name, size_t name_length)
{
    size_t length;
    if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
        luaL_error(L, "http.request: header %s is a %s, not a text", name, luaL_typename(L, -1));
    lua_pushvalue(L, -1);
    const char *value = lua_tolstring(L, -1, &length);
    if (!is_token(name, name_length) || strlen(value) != length || strpbrk(value, "\r\n"))
        luaL_error(L, "http.request: header \"%s\" has a character that would break the message", name);
    if (!strcasecmp(name, "content-length") || !strcasecmp(name, "transfer-encoding") ||
        !strcasecmp(name, "connection"))
        luaL_error(L, "http.request: header %s is set by the runtime", name);
    lua_pop(L, 1);
}

/* Leaves the table of headers on the stack, an empty one if none were given. */
static void check_headers(lua_State *L)
{
    lua_getfield(L, 1, "headers");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    luaL_argcheck(L, lua_istable(L, -1), 1, "headers is not a table");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        size_t length;
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "http.request: headers is a table of name to text");
        const char *name = lua_tolstring(L, -2, &length);
        check_header(L, name, length);
    }
}

/* From the checked table at the top of the stack. */
static void add_headers(lua_State *L, struct request *request, int64_t timeout_ms)
{
    char deadline[24];
    bool typed = false;
    struct fastr_task *task = fastr_task_current();
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *name = lua_tostring(L, -2);
        typed = typed || strcasecmp(name, "content-type") == 0;
        request->repeatable = request->repeatable || strcasecmp(name, "idempotency-key") == 0;
        lua_pushvalue(L, -1);
        add_header(request, name, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    snprintf(deadline, sizeof deadline, "%lld", (long long)timeout_ms);
    add_header(request, "fastr-deadline-ms", deadline);
    add_header(request, "x-request-id", fastr_task_id(task));
    if (*fastr_task_traceparent(task))
        add_header(request, "traceparent", fastr_task_traceparent(task));
    request->headers = curl_slist_append(request->headers, "Expect:");
    if (!typed)
        request->headers = curl_slist_append(request->headers, "Content-Type:");
}

static bool is_idempotent(const char *method)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", NULL};
    for (int i = 0; methods[i]; i++)
        if (strcmp(method, methods[i]) == 0)
            return true;
    return false;
}

static const char *check_method(lua_State *L)
{
    size_t length;
    const char *method = text_option(L, "method", &length);
    if (method == NULL)
        return "GET";
    if (!is_token(method, length) || length > 20)
        luaL_error(L, "http.request: method is not a word of at most 20 characters");
    return method;
}

/* Adds the option `target`, if there is one, to the breaker's key. */
static void add_target(lua_State *L, char *key, size_t size)
{
    size_t length, used = strlen(key);
    const char *target = text_option(L, "target", &length);
    if (target)
        snprintf(key + used, size - used, " %s", target);
}

static const char *check_url(lua_State *L)
{
    size_t length;
    const char *url = text_option(L, "url", &length);
    if (url == NULL)
        luaL_error(L, "http.request: url is missing");
    if (length > URL_MOST || strlen(url) != length)
        luaL_error(L, "http.request: url is longer than %d bytes or contains a NUL", URL_MOST);
    return url;
}

/** http.request{method=, url=, headers=, body=, timeout_ms=, retry=} sends a request and waits for the whole reply.
 * @param method      a word, "GET" if absent
 * @param url         absolute, http or https, at most 8 KiB, without a user in it
 * @param headers     table of name to text; x-request-id, traceparent and fastr-deadline-ms (the ms left) are added
 * @param body        text
 * @param timeout_ms  1 to 600,000, 5,000 if absent; never past the task's deadline
 * @param target      who is meant, where several live behind one address: each has a circuit breaker of its own
 * @param retry       0 to 5 more attempts, 0 if absent: when the connection fails or the answer is 502, 503 or 504, for
 *                    GET, HEAD, PUT, DELETE, OPTIONS and what carries an Idempotency-Key; otherwise only when nothing
 *                    was sent
 * @return  {status = integer, headers = {lower-case name = text}, body = text}, whatever the status
 * Errors (nil, message, code): "timeout"; "unavailable" (no connection, or broken off; or at once, the target's breaker
 *   being open); "busy" (1,024 requests are running); "invalid" (the URL; a reply over 4 MiB).
 * Raises: an option of another type or range; a header that would break the message; waiting where that is illegal. */
static int lua_request(lua_State *L)
{
    char key[300] = "";
    struct fastr_err err;
    luaL_checktype(L, 1, LUA_TTABLE);
    fastr_check_wait(L, "http.request");
    const char *method = check_method(L), *url = check_url(L);
    size_t body_length;
    const char *body = text_option(L, "body", &body_length);
    int64_t timeout_ms = fastr_field_int(L, 1, "timeout_ms", 5000, 1, 600000);
    int retries = (int)fastr_field_int(L, 1, "retry", 0, 0, RETRIES_MOST);
    check_headers(L);
    if (fastr_task_ms_left(fastr_task_current()) < timeout_ms)
        timeout_ms = fastr_task_ms_left(fastr_task_current());
    if (target_key(url, key, sizeof key, &err))
        return fastr_push_error(L, err.code, "http: %s", err.text);
    add_target(L, key, sizeof key);
    if (timeout_ms == 0)
        return fastr_push_error(L, "timeout", "http: no time is left for %s %s", method, url);
    if (http.running >= RUNNING_MOST)
        return fastr_push_error(L, "busy", "http: %d requests are running", http.running);
    struct request *request = fastr_zalloc(sizeof *request);
    *request = (struct request){.wait = {.finish = finish, .cancel = cancel}, .target = find_target(key)};
    fastr_metric_add(http.requests, 1);
    if (!admit(request)) {
        free(request);
        fastr_metric_add(http.refused, 1);
        return fastr_push_error(L, "unavailable", "http: %s failed too often of late; it is tried again soon", key);
    }
    request->method = method, request->url = url;
    request->body = body, request->body_length = body_length, request->has_body = body != NULL;
    request->retries = retries, request->repeatable = is_idempotent(method);
    request->began_us = fastr_clock_us();
    request->deadline_us = request->began_us + (uint64_t)timeout_ms * 1000;
    request->target->users++;
    http.running++;
    add_headers(L, request, timeout_ms);
    evtimer_assign(&request->again, fastr_loop(), on_again, request);
    begin(request);
    return fastr_suspend(L, &request->wait);
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

static int start(struct fastr_err *err)
{
    http.requests = fastr_counter("fastr_http_requests_total", "", "Outgoing HTTP requests, refused ones included");
    http.failures = fastr_counter("fastr_http_failures_total", "", "Outgoing HTTP requests without an answer");
    http.refused = fastr_counter("fastr_http_refused_total", "", "Outgoing HTTP requests that a breaker refused");
    http.seconds = fastr_histogram("fastr_http_seconds", "", "Time of an outgoing HTTP request, retries included");
    return fastr_transfers_start(err);
}

static const luaL_Reg functions[] = {{"request", lua_request}, {NULL, NULL}};

static int open_module(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

extern const struct fastr_binding fastr_binding_http;
const struct fastr_binding fastr_binding_http = {
    .name = "http", .open = open_module, .start = start, .stop = fastr_transfers_stop};
