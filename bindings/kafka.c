/* kafka.c: fastr.kafka over librdkafka: the worker's producer, and what all clients share. Consumers are in
 * kafka_consumer.c.
 *
 * librdkafka works in threads of its own: they do not survive a fork, so clients are made in the worker, and they must
 * take no signals. Nothing of it is called here that waits: each client's queue writes to an eventfd when it stops
 * being empty, and the loop then drains it; callbacks run in that drain.
 *
 * Producing is idempotent (retries neither double nor reorder) and answered when all in-sync replicas have the message.
 * A task waits for the delivery reports of its whole batch; when it has gone, the reports find nobody. */
#include "bindings/kafka.h"
#include "bindings/util.h"

#include <errno.h>
#include <event2/event.h>
#include <lauxlib.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SLICE = 500, BATCH_MOST = 10000, HEADERS_MOST = 32, TICK_MS = 1000 };

struct batch;

struct slot {
    struct batch *batch;
    rd_kafka_resp_err_t failure;
};

struct batch {
    struct fastr_wait wait;
    bool single;
    int count, open; /* without a report yet */
    struct slot slots[];
};

static struct {
    struct kafka_client client;
    bool configured, open, broken, up;
    int in_flight, most;
    struct event tick;
    struct fastr_metric *produced, *failed, *waiting;
} producer;

/* ---- clients ----------------------------------------------------------------------------------------------------- */

void kafka_seen(void)
{
    if (producer.up)
        return;
    producer.up = true;
    fastr_health("kafka", true, false, fastr_setting("kafka.brokers", ""));
}

/* Also before the first one was found: a process that waits for Kafka at its start says so. */
static void lost(const char *reason)
{
    static bool told;
    if (producer.up || !told)
        fastr_log(FASTR_WARN, "kafka: no broker is left: %s", reason);
    told = true;
    producer.up = false;
    fastr_health("kafka", false, false, reason);
}

static void on_error(rd_kafka_t *rk, int error, const char *reason, void *opaque)
{
    (void)opaque;
    if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        lost(reason);
    if (error != RD_KAFKA_RESP_ERR__FATAL)
        return;
    fastr_log(FASTR_ERROR, "kafka: %s", reason);
    if (rk == producer.client.rk)
        producer.broken = true; /* replaced by the next tick */
}

/* Lost connections are told once, by on_error; librdkafka repeats them for each attempt. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    bool repeated = strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0;
    (void)rk;
    fastr_log(level > 4 || repeated ? FASTR_DEBUG : FASTR_WARN, "kafka: %s: %s", facility, text);
}

static int on_statistics(rd_kafka_t *rk, char *json, size_t length, void *opaque)
{
    (void)rk, (void)length, (void)opaque;
    if (strstr(json, "\"state\":\"UP\""))
        kafka_seen();
    return 0; /* librdkafka frees it */
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char problem[256];
    if (rd_kafka_conf_set(conf, name, value, problem, sizeof problem) != RD_KAFKA_CONF_OK)
        fastr_log(FASTR_ERROR, "kafka: %s", problem);
}

rd_kafka_conf_t *kafka_conf(void *opaque, ...)
{
    char id[96];
    va_list pairs;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    snprintf(id, sizeof id, "fastr-%s-%d", fastr_setting("name", "fastr"), (int)getpid());
    set(conf, "bootstrap.servers", fastr_setting("kafka.brokers", ""));
    set(conf, "client.id", id);
    set(conf, "log.queue", "true");
    set(conf, "socket.keepalive.enable", "true");
    set(conf, "reconnect.backoff.max.ms", "2000");
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_stats_cb(conf, on_statistics);
    va_start(pairs, opaque);
    for (const char *name; (name = va_arg(pairs, const char *)) != NULL;)
        set(conf, name, va_arg(pairs, const char *));
    va_end(pairs);
    return conf;
}

void kafka_client_serve(struct kafka_client *client)
{
    for (int i = 0; i < SLICE; i++)
        if (!client->serve(client->owner))
            return;
    event_active(&client->wake, EV_READ, 0); /* more next turn: others want the loop too */
}

static void on_wake(evutil_socket_t fd, short what, void *data)
{
    uint64_t count;
    (void)what;
    ssize_t got = read(fd, &count, sizeof count); /* empty when the wake was our own */
    (void)got;
    kafka_client_serve(data);
}

rd_kafka_t *kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *problem, size_t size)
{
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    rd_kafka_t *rk = rd_kafka_new(type, conf, problem, size);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rk;
}

int kafka_client_open(struct kafka_client *client, rd_kafka_type_t type, rd_kafka_conf_t *conf, struct fastr_err *err)
{
    char problem[256];
    static const uint64_t one = 1;
    client->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (client->fd < 0) {
        rd_kafka_conf_destroy(conf);
        return fastr_fail(err, "unavailable", "kafka: eventfd: %s", strerror(errno));
    }
    client->rk = kafka_new(type, conf, problem, sizeof problem);
    if (client->rk == NULL) {
        close(client->fd);
        rd_kafka_conf_destroy(conf);
        return fastr_fail(err, "invalid", "kafka: %s", problem);
    }
    rd_kafka_set_log_queue(client->rk, NULL); /* logs come through the queue too */
    if (type == RD_KAFKA_CONSUMER)
        rd_kafka_poll_set_consumer(client->rk);
    client->queue =
        type == RD_KAFKA_CONSUMER ? rd_kafka_queue_get_consumer(client->rk) : rd_kafka_queue_get_main(client->rk);
    event_assign(&client->wake, fastr_loop(), client->fd, EV_READ | EV_PERSIST, on_wake, client);
    event_add(&client->wake, NULL);
    rd_kafka_queue_io_event_enable(client->queue, client->fd, &one, sizeof one);
    return 0;
}

static void *destroy(void *rk)
{
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return NULL;
}

void kafka_client_retire(struct kafka_client *client)
{
    sigset_t every, before;
    pthread_t thread;
    rd_kafka_queue_io_event_enable(client->queue, -1, NULL, 0);
    event_del(&client->wake);
    close(client->fd);
    rd_kafka_queue_destroy(client->queue);
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    if (pthread_create(&thread, NULL, destroy, client->rk) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    client->rk = NULL;
}

/* ---- delivery reports -------------------------------------------------------------------------------------------- */

static void settle(struct slot *slot, rd_kafka_resp_err_t failure)
{
    struct batch *batch = slot->batch;
    slot->failure = failure;
    fastr_metric_add(failure ? producer.failed : producer.produced, 1);
    if (--batch->open == 0)
        fastr_wake(&batch->wait);
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk, (void)opaque;
    producer.in_flight--;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
        kafka_seen();
    settle(message->_private, message->err);
}

static const char *code_of(rd_kafka_resp_err_t failure)
{
    switch (failure) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return "busy";
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        return producer.up ? "timeout" : "unavailable";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
        return "invalid";
    default:
        return "unavailable";
    }
}

static void push_list(lua_State *L, const struct batch *batch)
{
    lua_createtable(L, batch->count, 0);
    for (int i = 0; i < batch->count; i++) {
        rd_kafka_resp_err_t failure = batch->slots[i].failure;
        if (failure)
            lua_pushfstring(L, "%s: %s", code_of(failure), rd_kafka_err2str(failure));
        else
            lua_pushboolean(L, 1);
        lua_rawseti(L, -2, i + 1);
    }
}

static int push_outcome(lua_State *L, const struct batch *batch)
{
    rd_kafka_resp_err_t failure = batch->slots[0].failure;
    if (!batch->single)
        push_list(L, batch);
    else if (failure)
        return fastr_push_error(L, code_of(failure), "kafka: %s", rd_kafka_err2str(failure));
    else
        lua_pushboolean(L, 1);
    return 1;
}

static int finish(lua_State *L, struct fastr_wait *wait)
{
    struct batch *batch = (struct batch *)wait;
    int pushed = L ? push_outcome(L, batch) : 0;
    free(batch);
    return pushed;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* The headers table at `index` (or nil), with the task's traceparent unless it has one. */
static rd_kafka_headers_t *make_headers(lua_State *L, int index)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
    const char *trace = fastr_task_traceparent(fastr_task_current());
    bool traced = *trace == 0;
    for (lua_pushnil(L); lua_istable(L, index) && lua_next(L, index); lua_pop(L, 1)) {
        size_t name_length, length;
        const char *name = lua_tolstring(L, -2, &name_length), *value = lua_tolstring(L, -1, &length);
        rd_kafka_header_add(headers, name, (ssize_t)name_length, value, (ssize_t)length);
        traced = traced || strcmp(name, "traceparent") == 0;
    }
    if (!lua_istable(L, index))
        lua_pop(L, 1);
    if (!traced)
        rd_kafka_header_add(headers, "traceparent", -1, trace, -1);
    return headers;
}

/* The message at `at`: topic, key, value, headers, all checked. */
static rd_kafka_resp_err_t send_one(lua_State *L, int at, struct slot *slot)
{
    size_t key_length = 0, value_length = 0;
    const char *key = lua_tolstring(L, at + 1, &key_length), *value = lua_tolstring(L, at + 2, &value_length);
    rd_kafka_headers_t *headers = make_headers(L, at + 3);
    rd_kafka_resp_err_t failure = rd_kafka_producev(
        producer.client.rk, RD_KAFKA_V_TOPIC(lua_tostring(L, at)), RD_KAFKA_V_KEY((void *)(uintptr_t)key, key_length),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)value, value_length), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(slot), RD_KAFKA_V_END);
    if (failure)
        rd_kafka_headers_destroy(headers);
    else
        producer.in_flight++;
    return failure;
}

static void check_text(lua_State *L, int index, const char *what, bool may_be_nil)
{
    if (lua_type(L, index) != LUA_TSTRING && !(may_be_nil && lua_isnoneornil(L, index)))
        luaL_error(L, "kafka: %s is a %s, not a text", what, luaL_typename(L, index));
}

/* Raises unless the four values from `at` are topic, key, value and headers. */
static void check_message(lua_State *L, int at)
{
    int headers = 0;
    check_text(L, at, "topic", false);
    check_text(L, at + 1, "key", true);
    check_text(L, at + 2, "value", true);
    if (lua_isnoneornil(L, at + 3))
        return;
    if (!lua_istable(L, at + 3))
        luaL_error(L, "kafka: headers is a %s, not a table", luaL_typename(L, at + 3));
    for (lua_pushnil(L); lua_next(L, at + 3); lua_pop(L, 1)) {
        check_text(L, lua_gettop(L) - 1, "a header's name", false);
        check_text(L, lua_gettop(L), "a header's value", false);
        if (++headers > HEADERS_MOST)
            luaL_error(L, "kafka: more than %d headers", HEADERS_MOST);
    }
}

static struct batch *batch_new(int count, bool single)
{
    struct batch *batch = fastr_zalloc(sizeof *batch + (size_t)count * sizeof batch->slots[0]);
    batch->wait.finish = finish;
    batch->single = single;
    batch->count = batch->open = count;
    for (int i = 0; i < count; i++)
        batch->slots[i].batch = batch;
    return batch;
}

/* Pushes an error and returns how many values, or 0 when `count` more messages can go out. */
static int refuse(lua_State *L, int count)
{
    if (!producer.configured)
        return fastr_push_error(L, "unavailable", "kafka: the setting kafka.brokers is missing");
    if (producer.broken || !producer.open)
        return fastr_push_error(L, "unavailable", "kafka: the producer is being replaced");
    if (producer.in_flight + count > producer.most)
        return fastr_push_error(L, "busy", "kafka: %d messages are without an answer", producer.in_flight);
    return 0;
}

/** kafka.produce(topic, key, value, headers) sends one message and waits until all in-sync replicas have it.
 * @param topic    must exist
 * @param key      text or nil; messages of one key keep their order
 * @param value    text, or nil for a tombstone
 * @param headers  table of name to text, at most 32, or nil; the task's traceparent is added
 * @return  true
 * Errors (nil, message, code): "busy" (kafka.in_flight messages are without an answer, 20,000 if not set), "timeout"
 *   (not acknowledged within kafka.timeout_ms, 10,000 if not set; it may still have arrived), "unavailable" (no broker,
 *   unknown topic), "invalid" (too large for the topic).
 * Raises: an argument of another type; waiting where that is illegal, so inside a database transaction. */
static int lua_produce(lua_State *L)
{
    lua_settop(L, 4);
    check_message(L, 1);
    fastr_check_wait(L, "kafka.produce");
    int refused = refuse(L, 1);
    if (refused)
        return refused;
    struct batch *batch = batch_new(1, true);
    rd_kafka_resp_err_t failure = send_one(L, 1, &batch->slots[0]);
    if (failure)
        settle(&batch->slots[0], failure);
    return fastr_suspend(L, &batch->wait);
}

/* Puts the four values of entry `i` of the list at index 1 on the stack. */
static void push_entry(lua_State *L, int i)
{
    static const char *const names[] = {"topic", "key", "value", "headers"};
    lua_rawgeti(L, 1, i);
    if (!lua_istable(L, -1))
        luaL_error(L, "kafka.produce_all: entry %d is a %s, not a table", i, luaL_typename(L, -1));
    for (int n = 0; n < 4; n++)
        lua_getfield(L, 2, names[n]);
    lua_remove(L, 2);
}

/** kafka.produce_all(list) sends many messages at once and waits for all their answers.
 * @param list  1 to 10,000 of {topic=, key=, value=, headers=}, each as for produce; sent in this order. When one
 *              cannot be queued, those after it are not sent either.
 * @return  a list of the same length: true, or a text "CODE: message" for one that failed
 * Errors (nil, message, code), with nothing sent: "busy", "unavailable".
 * Raises: as produce, and for an empty or longer list. */
static int lua_produce_all(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    int count = (int)lua_objlen(L, 1);
    luaL_argcheck(L, count >= 1 && count <= BATCH_MOST, 1, "1 to 10000 messages expected");
    for (int i = 1; i <= count; i++, lua_settop(L, 1)) {
        push_entry(L, i);
        check_message(L, 2);
    }
    fastr_check_wait(L, "kafka.produce_all");
    int refused = refuse(L, count);
    if (refused)
        return refused;
    struct batch *batch = batch_new(count, false);
    rd_kafka_resp_err_t failure = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 1; i <= count; i++, lua_settop(L, 1)) {
        push_entry(L, i);
        if (!failure)
            failure = send_one(L, 2, &batch->slots[i - 1]);
        if (failure)
            settle(&batch->slots[i - 1], failure);
    }
    return fastr_suspend(L, &batch->wait);
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

static bool serve_producer(void *owner)
{
    (void)owner;
    return rd_kafka_poll(producer.client.rk, 0) > 0;
}

static int open_producer(struct fastr_err *err)
{
    char timeout[24];
    snprintf(timeout, sizeof timeout, "%lld", (long long)fastr_setting_int("kafka.timeout_ms", 10000, 100, 600000));
    rd_kafka_conf_t *conf =
        kafka_conf(NULL, "enable.idempotence", "true", "acks", "all", "linger.ms", "5", "compression.codec", "lz4",
                   "partitioner", "murmur2_random", "message.timeout.ms", timeout, "queue.buffering.max.messages",
                   "200000", "statistics.interval.ms", "2000", "topic.metadata.propagation.max.ms", "5000", NULL);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    producer.client.serve = serve_producer;
    if (kafka_client_open(&producer.client, RD_KAFKA_PRODUCER, conf, err))
        return -1;
    producer.open = true;
    producer.broken = false;
    return 0;
}

/* An idempotent producer with a fatal error will never send again: what it holds is failed, then it is replaced. */
static void replace_producer(void)
{
    struct fastr_err err;
    int all = RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING;
    rd_kafka_purge(producer.client.rk, all);
    kafka_client_serve(&producer.client);
    if (producer.in_flight > 0)
        return;
    kafka_client_retire(&producer.client);
    producer.open = false;
    if (open_producer(&err))
        fastr_log(FASTR_ERROR, "%s", err.text);
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
    struct fastr_err err;
    (void)fd, (void)what, (void)data;
    fastr_metric_set(producer.waiting, producer.in_flight);
    if (!producer.open) {
        if (open_producer(&err))
            fastr_log(FASTR_ERROR, "%s", err.text);
    } else if (producer.broken) {
        replace_producer();
    } else {
        kafka_client_serve(&producer.client);
    }
}

static int start(struct fastr_err *err)
{
    producer.configured = *fastr_setting("kafka.brokers", "") != 0;
    if (!producer.configured && fastr_program_count("consumers") > 0)
        return fastr_fail(err, "invalid", "the setting kafka.brokers is missing, and the program has consumers");
    if (!producer.configured)
        return 0;
    producer.most = (int)fastr_setting_int("kafka.in_flight", 20000, 1, 100000);
    producer.produced = fastr_counter("fastr_kafka_produced_total", "", "Messages acknowledged by the brokers");
    producer.failed = fastr_counter("fastr_kafka_produce_failures_total", "", "Messages not acknowledged");
    producer.waiting = fastr_gauge("fastr_kafka_in_flight", "", "Messages sent and not answered yet");
    fastr_health("kafka", false, false, "not connected yet");
    if (open_producer(err))
        return -1;
    event_assign(&producer.tick, fastr_loop(), -1, EV_PERSIST, on_tick, NULL);
    event_add(&producer.tick, &(struct timeval){.tv_sec = TICK_MS / 1000});
    kafka_consumers_start();
    return 0;
}

static void drain(void)
{
    if (producer.configured)
        kafka_consumers_drain();
}

static bool idle(void)
{
    return !producer.configured || (producer.in_flight == 0 && kafka_consumers_idle());
}

/* The clients are left to the end of the process: destroying them would block, and all is flushed or past its time. */
static void stop(void)
{
    if (!producer.configured)
        return;
    kafka_consumers_stop();
    event_del(&producer.tick);
    if (producer.open)
        event_del(&producer.client.wake);
}

static const luaL_Reg functions[] = {
    {"produce", lua_produce}, {"produce_all", lua_produce_all}, {"offsets", kafka_offsets}, {NULL, NULL}};

static int open_module(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

extern const struct fastr_binding fastr_binding_kafka;
const struct fastr_binding fastr_binding_kafka = {
    .name = "kafka", .open = open_module, .start = start, .drain = drain, .idle = idle, .stop = stop};
