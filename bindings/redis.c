/* redis.c: fastr.redis, over hiredis. One connection per worker, pipelined across its tasks.
 *
 *          answers PING                     stuck, closed, refused
 *   AWAY ------------------> UP ---------------------------------------> AWAY (again after 50 ms .. 5 s, jittered)
 *
 * Redis is a cache and a limiter, never the only copy of anything. So nothing queues for a Redis that is away: a call
 * answers "unavailable" at once. Replies come in the order of the commands: when the oldest has waited longer than
 * `redis.timeout_ms`, all behind it are stuck too, and the connection is given up. hiredis neither reconnects nor
 * limits time; both are done here. A context is freed from timers only, never inside one of its callbacks. */
#include "bindings/util.h"
#include "runtime/fastr.h"

#include <arpa/inet.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

enum { PENDING_MOST = 10000, ARGUMENTS_MOST = 4096, BACKOFF_LEAST_MS = 50, BACKOFF_MOST_MS = 5000 };

struct command {
    struct fastr_wait wait;
    struct command *next;
    uint64_t sent_us;
    redisReply *reply; /* ours since the callback, see keep_reply */
    const char *code;  /* without a reply: why */
};

static struct {
    redisAsyncContext *context;
    bool up;
    char host[108]; /* a numeric address, or a path when port is 0 */
    int port;
    char *password;
    int64_t timeout_us;
    int64_t backoff_ms;
    struct command *oldest, *newest; /* sent and not answered */
    int pending;
    redisReply *kept; /* the reply that the callback took over */
    const char *drop_code;
    char reason[160], refusal[160];
    struct event watch, again;
    struct fastr_metric *commands, *failures, *seconds;
} client;

static void connect_now(void);

/* ---- the connection ---------------------------------------------------------------------------------------------- */

static void arm(struct event *timer, int64_t us)
{
    struct timeval delay = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    evtimer_add(timer, &delay);
}

/* hiredis frees each reply after its callback; a reply that a command kept is freed once Lua has seen it. */
static void free_unless_kept(void *reply)
{
    if (reply == client.kept)
        client.kept = NULL;
    else
        freeReplyObject(reply);
}

static void keep_replies(redisAsyncContext *context)
{
    static redisReplyObjectFunctions functions;
    functions = *context->c.reader->fn;
    functions.freeObject = free_unless_kept;
    context->c.reader->fn = &functions;
}

static void come_again(const char *reason)
{
    snprintf(client.reason, sizeof client.reason, "%s", reason);
    client.up = false;
    fastr_health("redis", false, false, client.reason);
    evtimer_del(&client.watch);
    if (client.backoff_ms == BACKOFF_LEAST_MS)
        fastr_log(FASTR_WARN, "redis is away: %s", client.reason);
    int64_t jittered = client.backoff_ms / 2 + (int64_t)(drand48() * (double)client.backoff_ms);
    client.backoff_ms = client.backoff_ms * 2 > BACKOFF_MOST_MS ? BACKOFF_MOST_MS : client.backoff_ms * 2;
    arm(&client.again, jittered * 1000);
}

/* Gives the connection up, from a timer: every unanswered command ends with `code`. */
static void drop(const char *code, const char *reason)
{
    redisAsyncContext *context = client.context;
    client.context = NULL;
    client.drop_code = code;
    if (context)
        redisAsyncFree(context);
    client.drop_code = NULL;
    come_again(reason);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    (void)status;
    if (context != client.context)
        return; /* dropped by ourselves */
    client.context = NULL;
    come_again(context->errstr && *context->errstr ? context->errstr : "connection closed");
}

static void on_auth(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    (void)context, (void)privdata;
    if (reply && reply->type == REDIS_REPLY_ERROR && client.backoff_ms == BACKOFF_LEAST_MS) /* said once */
        fastr_log(FASTR_ERROR, "redis refuses the password of redis.password_file: %s", reply->str);
}

/* Up is who answers: a frozen server accepts connections, and one that loads or wants a password refuses commands. */
static void on_pong(redisAsyncContext *context, void *data, void *privdata)
{
    const redisReply *reply = data;
    (void)privdata;
    if (reply == NULL || context != client.context)
        return;
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(client.refusal, sizeof client.refusal, "%s", reply->str);
        arm(&client.watch, 0);
        return;
    }
    evtimer_del(&client.watch);
    if (client.backoff_ms > BACKOFF_LEAST_MS)
        fastr_log(FASTR_INFO, "redis is back");
    client.backoff_ms = BACKOFF_LEAST_MS;
    client.up = true;
    fastr_health("redis", true, false, client.host);
}

static void on_connect(const redisAsyncContext *context, int status)
{
    if (context != client.context)
        return;
    if (status != REDIS_OK) {
        client.context = NULL; /* hiredis frees it after this callback */
        come_again(context->errstr && *context->errstr ? context->errstr : "cannot connect");
        return;
    }
    if (client.password)
        redisAsyncCommand(client.context, on_auth, NULL, "AUTH %s", client.password);
    redisAsyncCommand(client.context, on_pong, NULL, "PING");
}

static void connect_now(void)
{
    redisAsyncContext *context =
        client.port ? redisAsyncConnect(client.host, client.port) : redisAsyncConnectUnix(client.host);
    if (context == NULL || context->err) {
        char reason[160];
        snprintf(reason, sizeof reason, "%s", context ? context->errstr : "out of memory");
        if (context)
            redisAsyncFree(context);
        come_again(reason);
        return;
    }
    client.context = context;
    *client.refusal = 0;
    keep_replies(context);
    redisLibeventAttach(context, fastr_loop());
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    arm(&client.watch, client.timeout_us);
    redisAsyncSetConnectCallback(context, on_connect);
}

static void on_again(evutil_socket_t fd, short what, void *data)
{
    (void)fd, (void)what, (void)data;
    connect_now();
}

/* The watch is armed when the oldest command (or the connect and PING) began, and again while others follow. */
static void on_watch(evutil_socket_t fd, short what, void *data)
{
    (void)fd, (void)what, (void)data;
    if (!client.up) {
        drop("unavailable", *client.refusal ? client.refusal : "no answer to connect and PING");
        return;
    }
    if (client.oldest == NULL)
        return;
    int64_t left = (int64_t)(client.oldest->sent_us - fastr_clock_us()) + client.timeout_us;
    if (left > 0)
        arm(&client.watch, left);
    else
        drop("timeout", "no answer in time");
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static void on_reply(redisAsyncContext *context, void *data, void *privdata)
{
    struct command *command = privdata;
    (void)context;
    client.oldest = command->next;
    if (client.oldest == NULL)
        client.newest = NULL;
    client.pending--;
    fastr_metric_observe(client.seconds, (double)(fastr_clock_us() - command->sent_us) / 1e6);
    command->reply = client.kept = data;
    if (data == NULL)
        command->code = client.drop_code ? client.drop_code : "unavailable";
    fastr_wake(&command->wait);
}

static void push_integer(lua_State *L, long long value)
{
    char text[24];
    if (value >= -(1LL << 53) && value <= (1LL << 53)) {
        lua_pushnumber(L, (lua_Number)value);
        return;
    }
    snprintf(text, sizeof text, "%lld", value);
    lua_pushstring(L, text);
}

static void push_reply(lua_State *L, const redisReply *reply);

static void push_array(lua_State *L, const redisReply *reply)
{
    luaL_checkstack(L, 4, "redis reply is nested too deeply");
    lua_createtable(L, (int)reply->elements, 0);
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_NIL)
            lua_pushboolean(L, 0);
        else
            push_reply(L, reply->element[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

static void push_reply(lua_State *L, const redisReply *reply)
{
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        push_integer(L, reply->integer);
        break;
    case REDIS_REPLY_ARRAY:
        push_array(L, reply);
        break;
    case REDIS_REPLY_NIL:
        lua_pushnil(L);
        break;
    case REDIS_REPLY_ERROR: /* within an array */
        lua_createtable(L, 0, 1);
        lua_pushlstring(L, reply->str, (size_t)reply->len);
        lua_setfield(L, -2, "error");
        break;
    default:
        lua_pushlstring(L, reply->str, (size_t)reply->len);
    }
}

static int push_outcome(lua_State *L, const struct command *command)
{
    const redisReply *reply = command->reply;
    if (reply && reply->type != REDIS_REPLY_ERROR) {
        push_reply(L, reply);
        return 1;
    }
    fastr_metric_add(client.failures, 1);
    if (reply == NULL)
        return fastr_push_error(L, command->code, "redis: %s", client.reason);
    bool loading = strncmp(reply->str, "LOADING", 7) == 0;
    return fastr_push_error(L, loading ? "unavailable" : "redis_error", "redis: %s", reply->str);
}

/* Without a cancel: when the task has gone, the reply still comes, finds nobody (L is NULL) and frees the command. */
static int finish(lua_State *L, struct fastr_wait *wait)
{
    struct command *command = (struct command *)wait;
    int pushed = L ? push_outcome(L, command) : 0;
    if (command->reply)
        freeReplyObject(command->reply);
    free(command);
    return pushed;
}

/* Commands that change the connection which all tasks share, or that block it. */
static const char *const refused[] = {
    "AUTH",      "BLMOVE",     "BLMPOP", "BLPOP",      "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX",
    "BZPOPMIN",  "CLIENT",     "DISCARD", "EXEC",      "HELLO", "MONITOR",    "MULTI",  "PSUBSCRIBE",
    "QUIT",      "RESET",      "SELECT", "SHUTDOWN",   "SSUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE", "UNWATCH",
    "WAIT",      "WATCH",      "XREAD",  "XREADGROUP", NULL,
};

static void check_name(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    for (int i = 0; refused[i]; i++)
        if (strcasecmp(name, refused[i]) == 0)
            luaL_error(L, "redis.call: %s would change or block the connection that all tasks share", refused[i]);
}

/* Numbers become text exactly: an integer without a fraction or exponent, others with 17 digits. */
static void number_to_text(lua_State *L, int index)
{
    char text[40];
    double value = lua_tonumber(L, index);
    bool whole = value == floor(value) && fabs(value) <= 9007199254740992.0;
    snprintf(text, sizeof text, whole ? "%.0f" : "%.17g", value);
    lua_pushstring(L, text);
    lua_replace(L, index);
}

static void check_arguments(lua_State *L, int count, const char **values, size_t *lengths)
{
    for (int i = 1; i <= count; i++) {
        if (lua_type(L, i) == LUA_TNUMBER)
            number_to_text(L, i);
        else if (lua_type(L, i) != LUA_TSTRING)
            luaL_error(L, "redis.call: argument %d is a %s, neither text nor number", i, luaL_typename(L, i));
        values[i - 1] = lua_tolstring(L, i, &lengths[i - 1]);
    }
}

static void append(struct command *command)
{
    command->sent_us = fastr_clock_us();
    if (client.newest)
        client.newest->next = command;
    else
        client.oldest = command;
    client.newest = command;
    client.pending++;
    if (!evtimer_pending(&client.watch, NULL))
        arm(&client.watch, client.timeout_us);
}

/** redis.call(command, ...) waits for the reply of one command; legal inside a database transaction.
 * @param command  its name; the rest are texts or numbers, at most 4,096 in all. Numbers are sent exactly.
 * @return  an integer (as text beyond 2^53), a text, a list (missing elements are false, errors within are
 *          {error = text}), or nil alone for a missing value.
 * Errors (nil, message, code): "unavailable" (Redis is away or loading; at once), "timeout" (no answer within
 *   redis.timeout_ms), "busy" (10,000 commands are unanswered), "redis_error" (Redis refused the command).
 * Raises: an argument of another type; a command that would change or block the shared connection (SUBSCRIBE, MULTI,
 *   SELECT, BLPOP ...); waiting where that is illegal. */
static int lua_call_command(lua_State *L)
{
    int count = lua_gettop(L);
    check_name(L);
    luaL_argcheck(L, count <= ARGUMENTS_MOST, count, "too many arguments");
    fastr_check_wait_in_transaction(L, "redis.call");
    const char **values = fastr_arena_alloc(fastr_task_arena(fastr_task_current()), (size_t)count * sizeof *values);
    size_t *lengths = fastr_arena_alloc(fastr_task_arena(fastr_task_current()), (size_t)count * sizeof *lengths);
    check_arguments(L, count, values, lengths);
    fastr_metric_add(client.commands, 1);
    if (!client.up)
        return fastr_push_error(L, "unavailable", "redis is away: %s", client.reason);
    if (client.pending >= PENDING_MOST)
        return fastr_push_error(L, "busy", "redis: %d commands are unanswered", client.pending);
    struct command *command = fastr_zalloc(sizeof *command);
    command->wait.finish = finish;
    if (redisAsyncCommandArgv(client.context, on_reply, command, count, values, lengths) != REDIS_OK) {
        free(command);
        return fastr_push_error(L, "unavailable", "redis: the connection is closing");
    }
    append(command);
    return fastr_suspend(L, &command->wait);
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

/* "127.0.0.1:6379", "[::1]:6379", "/path" or "unix:/path". Names are refused: looking them up would block the loop. */
static int parse_address(const char *address, struct fastr_err *err)
{
    unsigned char binary[16];
    if (strncmp(address, "unix:", 5) == 0)
        address += 5;
    const char *colon = strrchr(address, ':');
    size_t length = *address == '/' ? strlen(address) : colon ? (size_t)(colon - address) : 0;
    bool bracketed = length > 2 && address[0] == '[' && address[length - 1] == ']';
    if (length == 0 || length >= sizeof client.host)
        return fastr_fail(err, "invalid", "setting redis.address: \"%s\" is neither HOST:PORT nor a path", address);
    snprintf(client.host, sizeof client.host, "%.*s", (int)length - 2 * bracketed, address + bracketed);
    client.port = *address == '/' ? 0 : atoi(colon + 1);
    if (*address == '/')
        return 0;
    if (inet_pton(bracketed ? AF_INET6 : AF_INET, client.host, binary) != 1)
        return fastr_fail(err, "invalid", "setting redis.address: \"%s\" is not a numeric address", client.host);
    if (client.port < 1 || client.port > 65535)
        return fastr_fail(err, "invalid", "setting redis.address: port \"%s\" is not within 1 to 65535", colon + 1);
    return 0;
}

static int start(struct fastr_err *err)
{
    if (parse_address(fastr_setting("redis.address", "127.0.0.1:6379"), err))
        return -1;
    if (fastr_secret_setting("redis.password_file", &client.password, err))
        return -1;
    client.timeout_us = fastr_setting_int("redis.timeout_ms", 200, 1, 60000) * 1000;
    client.backoff_ms = BACKOFF_LEAST_MS;
    srand48(getpid() ^ (long)fastr_clock_us()); /* workers must not come again in step */
    client.commands = fastr_counter("fastr_redis_commands_total", "", "Commands sent to Redis, refused ones included");
    client.failures = fastr_counter("fastr_redis_failures_total", "", "Commands that ended in an error");
    client.seconds = fastr_histogram("fastr_redis_seconds", "", "Time from a command to its reply");
    snprintf(client.reason, sizeof client.reason, "not connected yet");
    fastr_health("redis", false, false, client.reason);
    evtimer_assign(&client.watch, fastr_loop(), on_watch, NULL);
    evtimer_assign(&client.again, fastr_loop(), on_again, NULL);
    connect_now();
    return 0;
}

static void stop(void)
{
    evtimer_del(&client.watch);
    evtimer_del(&client.again);
    redisAsyncContext *context = client.context;
    client.context = NULL;
    client.up = false;
    if (context)
        redisAsyncFree(context);
    free(client.password);
    client.password = NULL;
}

static const luaL_Reg functions[] = {{"call", lua_call_command}, {NULL, NULL}};

static int open_module(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

extern const struct fastr_binding fastr_binding_redis;
const struct fastr_binding fastr_binding_redis = {
    .name = "redis", .open = open_module, .start = start, .stop = stop};
