/* kafka_consumer.c: the consumers that the program declares; the other half of fastr.kafka (see kafka.c).
 *
 * One librdkafka consumer per distinct group of this worker, subscribed to all its topics. Each partition has a queue
 * here and runs one message at a time, as a task; partitions run side by side:
 *
 *   librdkafka -> queue -> current -> task -> true:  its offset + 1 is committed by the next tick
 *                             ^         |
 *                             +---------+---> false or raised: the same message again, after 50 ms doubling to 5 s
 *
 * A queue that grows pauses its partition. A partition that is taken away commits what is done, drops its queue, and
 * lets its running task end without committing: the next owner gets that message again (handlers are idempotent).
 * A broadcast group is this worker's own: it begins at the end of each topic, commits nothing, and after a lost session
 * goes on where it was. Handlers are looked up by topic and group for every message, since a reload moves them. */
#include "bindings/kafka.h"

#include <event2/event.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICK_MS = 200,
    DRAIN_TICK_MS = 20,
    RECONCILE_TICKS = 5,
    PAUSE_AT = 500,
    RESUME_AT = 100,
    RETRY_LEAST_MS = 50,
    RETRY_MOST_MS = 5000,
    ROOM_MS = 20, /* until the next try when the worker has no room for a task */
};

struct message {
    struct message *next;
    rd_kafka_message_t *kafka;
};

struct group;

struct partition {
    struct partition *next;
    struct group *group;
    struct topic *topic;
    int32_t id;
    struct message *head, *tail, *current;
    int queued, failures;
    char last_error[200]; /* of the current message's last attempt */
    bool running, pumping, revoked, paused;
    struct event again;
    int64_t last;            /* offset of the last message queued, -1 before the first */
    int64_t done, committed; /* next offsets, -1 before the first */
};

struct topic {
    struct topic *next;
    char *name;
    bool wanted, subscribed;
    struct fastr_metric *lag, *consumed, *failed;
};

enum state { RUNNING, STOPPING, CLOSING };

struct group {
    struct group *next;
    char *name; /* as declared; a broadcast group's id in Kafka is longer */
    bool broadcast;
    enum state state;
    struct kafka_client client;
    rd_kafka_queue_t *closing;
    struct topic *topics;
    struct partition *partitions;
};

static struct {
    struct group *groups;
    struct event tick;
    int ticks;
    bool draining;
    uint64_t deadline_ms;
    char *declared; /* what the groups were made from */
} consumers;

static void pump(struct partition *partition);

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void message_free(struct message *message)
{
    if (message == NULL)
        return;
    rd_kafka_message_destroy(message->kafka);
    free(message);
}

static void drop_queue(struct partition *partition)
{
    while (partition->head) {
        struct message *message = partition->head;
        partition->head = message->next;
        message_free(message);
    }
    partition->tail = NULL;
    partition->queued = 0;
}

static void set_paused(struct partition *partition, bool paused)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, partition->topic->name, partition->id);
    if (paused)
        rd_kafka_pause_partitions(partition->group->client.rk, list);
    else
        rd_kafka_resume_partitions(partition->group->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    partition->paused = paused;
}

static void enqueue(struct partition *partition, rd_kafka_message_t *kafka)
{
    struct message *message = fastr_zalloc(sizeof *message);
    message->kafka = kafka;
    if (partition->tail)
        partition->tail->next = message;
    else
        partition->head = message;
    partition->tail = message;
    partition->last = kafka->offset;
    if (++partition->queued >= PAUSE_AT && !partition->paused)
        set_paused(partition, true);
}

static struct message *dequeue(struct partition *partition)
{
    struct message *message = partition->head;
    partition->head = message->next;
    if (partition->head == NULL)
        partition->tail = NULL;
    if (--partition->queued <= RESUME_AT && partition->paused)
        set_paused(partition, false);
    return message;
}

static void push_headers(lua_State *L, const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const char *name;
    const void *value;
    size_t length;
    lua_newtable(L);
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        lua_pushlstring(L, value ? value : "", length);
        lua_setfield(L, -2, name);
    }
}

/* The handler's one argument: {topic, partition, offset, key, value, headers, timestamp_ms, attempt (from 1),
 * last_error (of the attempt before)}. */
static int push_message(lua_State *L, void *data)
{
    const struct partition *partition = data;
    const rd_kafka_message_t *message = partition->current->kafka;
    lua_createtable(L, 0, 9);
    lua_pushstring(L, partition->topic->name);
    lua_setfield(L, -2, "topic");
    lua_pushinteger(L, message->partition);
    lua_setfield(L, -2, "partition");
    lua_pushnumber(L, (lua_Number)message->offset);
    lua_setfield(L, -2, "offset");
    if (message->key)
        lua_pushlstring(L, message->key, message->key_len), lua_setfield(L, -2, "key");
    if (message->payload)
        lua_pushlstring(L, message->payload, message->len), lua_setfield(L, -2, "value");
    lua_pushnumber(L, (lua_Number)rd_kafka_message_timestamp(message, NULL));
    lua_setfield(L, -2, "timestamp_ms");
    push_headers(L, message);
    lua_setfield(L, -2, "headers");
    lua_pushinteger(L, partition->failures + 1);
    lua_setfield(L, -2, "attempt");
    if (partition->failures)
        lua_pushstring(L, partition->last_error), lua_setfield(L, -2, "last_error");
    return 1;
}

/* Writes the message's trace context to `text`; "" without one. */
static void trace_of(const rd_kafka_message_t *message, char *text, size_t size)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t length;
    *text = 0;
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
        rd_kafka_header_get_last(headers, "traceparent", &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR && value)
        snprintf(text, size, "%.*s", (int)length, (const char *)value);
}

/* ---- partitions -------------------------------------------------------------------------------------------------- */

/* The live one; one that was taken away but still runs is another. */
static struct partition *find_partition(struct group *group, const char *topic, int32_t id)
{
    for (struct partition *at = group->partitions; at; at = at->next)
        if (at->id == id && !at->revoked && strcmp(at->topic->name, topic) == 0)
            return at;
    return NULL;
}

static struct topic *find_topic(struct group *group, const char *name)
{
    for (struct topic *topic = group->topics; topic; topic = topic->next)
        if (strcmp(topic->name, name) == 0)
            return topic;
    return NULL;
}

/* A predecessor that still runs a message of this partition goes first, so that the two never overlap here. */
static bool predecessor_runs(const struct partition *partition)
{
    for (const struct partition *at = partition->group->partitions; at; at = at->next)
        if (at != partition && at->running && at->id == partition->id && at->topic == partition->topic)
            return true;
    return false;
}

static bool may_start(const struct partition *partition)
{
    return !partition->running && !partition->revoked && partition->group->state == RUNNING &&
           (partition->current || partition->head) && !evtimer_pending(&partition->again, NULL) &&
           !predecessor_runs(partition);
}

static void pump_later(struct partition *partition, int ms)
{
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    evtimer_add(&partition->again, &delay);
}

static void release(struct partition *partition)
{
    struct group *group = partition->group;
    struct partition **at = &group->partitions;
    while (*at != partition)
        at = &(*at)->next;
    *at = partition->next;
    evtimer_del(&partition->again);
    drop_queue(partition);
    message_free(partition->current);
    struct partition *successor = find_partition(group, partition->topic->name, partition->id);
    free(partition);
    if (successor)
        pump(successor);
}

static void succeeded(struct partition *partition)
{
    partition->failures = 0;
    partition->done = partition->current->kafka->offset + 1;
    message_free(partition->current);
    partition->current = NULL;
    fastr_metric_add(partition->topic->consumed, 1);
}

static void failed(struct partition *partition, const char *error)
{
    int shift = partition->failures < 7 ? partition->failures : 7;
    int delay_ms = RETRY_LEAST_MS << shift < RETRY_MOST_MS ? RETRY_LEAST_MS << shift : RETRY_MOST_MS;
    partition->failures++;
    snprintf(partition->last_error, sizeof partition->last_error, "%s", error);
    fastr_metric_add(partition->topic->failed, 1);
    fastr_log(FASTR_WARN, "kafka: %s/%d at %lld for %s failed %d times, again in %d ms: %s", partition->topic->name,
              (int)partition->id, (long long)partition->current->kafka->offset, partition->group->name,
              partition->failures, delay_ms, error);
    pump_later(partition, delay_ms);
}

static void on_done(void *data, bool ok, const char *error)
{
    struct partition *partition = data;
    partition->running = false;
    if (!partition->revoked) {
        if (ok)
            succeeded(partition);
        else
            failed(partition, error);
    }
    pump(partition); /* frees a revoked one */
}

/* The program's handler for this topic and group, from 1; 0 when a reload has taken it away. */
static int find_handler(const struct partition *partition)
{
    int count = fastr_program_count("consumers");
    for (int i = 1; i <= count; i++)
        if (strcmp(fastr_program_field("consumers", i, "topic"), partition->topic->name) == 0 &&
            strcmp(fastr_program_field("consumers", i, "group"), partition->group->name) == 0)
            return i;
    return 0;
}

static void start_next(struct partition *partition)
{
    char trace[64];
    int handler = find_handler(partition);
    if (partition->current == NULL)
        partition->current = dequeue(partition);
    trace_of(partition->current->kafka, trace, sizeof trace);
    struct fastr_spawn spawn = {.kind = "consumers", .handler = handler, .traceparent = trace, .push = push_message,
                                .done = on_done, .data = partition, .deadline_ms = consumers.deadline_ms};
    partition->running = true;
    if (handler && fastr_task_spawn(&spawn))
        return;
    partition->running = false;
    pump_later(partition, ROOM_MS);
}

/* Runs what can run. A task may end before the call that starts it returns, so this is a loop and not a recursion. */
static void pump(struct partition *partition)
{
    if (partition->pumping)
        return;
    partition->pumping = true;
    while (may_start(partition))
        start_next(partition);
    partition->pumping = false;
    if (partition->revoked && !partition->running)
        release(partition);
}

static void on_again(evutil_socket_t fd, short what, void *data)
{
    (void)fd, (void)what;
    pump(data);
}

/* ---- offsets ----------------------------------------------------------------------------------------------------- */

static void commit_done(struct group *group)
{
    if (group->broadcast)
        return;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (struct partition *at = group->partitions; at; at = at->next) {
        if (at->revoked || at->done <= at->committed)
            continue;
        rd_kafka_topic_partition_list_add(list, at->topic->name, at->id)->offset = at->done;
        at->committed = at->done;
    }
    if (list->cnt > 0)
        rd_kafka_commit(group->client.rk, list, 1);
    rd_kafka_topic_partition_list_destroy(list);
}

/* A commit that failed is repeated by the next tick, if the partition is still here. */
static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    (void)rk;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR__NO_OFFSET || list == NULL)
        return;
    fastr_log(FASTR_DEBUG, "kafka: commit: %s", rd_kafka_err2str(error));
    for (int i = 0; i < list->cnt; i++) {
        struct partition *partition = find_partition(opaque, list->elems[i].topic, list->elems[i].partition);
        if (partition)
            partition->committed = -1;
    }
}

/* Messages behind the end, as far as the last fetch told; 0 while nothing has come. */
static int64_t lag_of(const struct partition *partition)
{
    int64_t low, high, next = partition->last + 1 - partition->queued - (partition->current != NULL);
    if (partition->revoked || partition->last < 0 ||
        rd_kafka_get_watermark_offsets(partition->group->client.rk, partition->topic->name, partition->id, &low, &high))
        return 0;
    return high > next ? high - next : 0;
}

static void measure_lag(struct group *group)
{
    for (struct topic *topic = group->topics; topic; topic = topic->next) {
        int64_t lag = 0;
        for (struct partition *at = group->partitions; at; at = at->next)
            lag += at->topic == topic ? lag_of(at) : 0;
        fastr_metric_set(topic->lag, (double)lag);
    }
}

/* ---- assignment -------------------------------------------------------------------------------------------------- */

static void add_partition(struct group *group, rd_kafka_topic_partition_t *given)
{
    struct topic *topic = find_topic(group, given->topic);
    struct partition *known = find_partition(group, given->topic, given->partition);
    if (known && known->last >= 0)
        given->offset = known->last + 1; /* a broadcast group goes on where it was */
    if (known || topic == NULL)
        return;
    struct partition *partition = fastr_zalloc(sizeof *partition);
    *partition = (struct partition){.next = group->partitions, .group = group, .topic = topic,
                                    .id = given->partition, .last = -1, .done = -1, .committed = -1};
    evtimer_assign(&partition->again, fastr_loop(), on_again, partition);
    group->partitions = partition;
}

static void take_away(struct group *group, const rd_kafka_topic_partition_t *taken)
{
    struct partition *partition = find_partition(group, taken->topic, taken->partition);
    if (partition == NULL || (group->broadcast && group->state == RUNNING))
        return;
    partition->revoked = true;
    drop_queue(partition);
    pump(partition);
}

static void assign(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list, bool add)
{
    bool cooperative = strcmp(rd_kafka_rebalance_protocol(rk), "COOPERATIVE") == 0;
    rd_kafka_error_t *error = NULL;
    if (cooperative)
        error = add ? rd_kafka_incremental_assign(rk, list) : rd_kafka_incremental_unassign(rk, list);
    else
        rd_kafka_assign(rk, add ? list : NULL);
    if (error)
        fastr_log(FASTR_WARN, "kafka: assignment: %s", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct group *group = opaque;
    bool add = event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    fastr_log(FASTR_INFO, "kafka: group %s: %d partitions %s", group->name, list->cnt, add ? "more" : "fewer");
    if (!add && !rd_kafka_assignment_lost(rk))
        commit_done(group);
    for (int i = 0; i < list->cnt; i++) {
        if (add)
            add_partition(group, &list->elems[i]);
        else
            take_away(group, &list->elems[i]);
    }
    assign(rk, list, add);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static void take_error(struct group *group, rd_kafka_message_t *message)
{
    enum fastr_level level = message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ? FASTR_WARN : FASTR_DEBUG;
    fastr_log(level, "kafka: group %s: %s", group->name, rd_kafka_message_errstr(message));
    rd_kafka_message_destroy(message);
}

static bool serve_group(void *owner)
{
    struct group *group = owner;
    if (group->state == CLOSING)
        return rd_kafka_queue_poll_callback(group->closing, 0) > 0;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(group->client.rk, 0);
    if (message == NULL)
        return false;
    if (message->err) {
        take_error(group, message);
        return true;
    }
    kafka_seen();
    struct partition *partition = find_partition(group, rd_kafka_topic_name(message->rkt), message->partition);
    if (partition == NULL || group->state != RUNNING || message->offset <= partition->last) {
        rd_kafka_message_destroy(message);
        return true;
    }
    enqueue(partition, message);
    pump(partition);
    return true;
}

/* A broadcast group's id is of this worker alone, and never seen again. */
static char *kafka_id(const struct group *group)
{
    if (!group->broadcast)
        return fastr_strdup(group->name);
    return fastr_format("%s.%s.%d.%llx", group->name, fastr_setting("name", "fastr"), (int)getpid(),
                        (unsigned long long)fastr_wall_us());
}

static struct group *group_new(const char *name, bool broadcast)
{
    struct fastr_err err;
    struct group *group = fastr_zalloc(sizeof *group);
    group->name = fastr_strdup(name);
    group->broadcast = broadcast;
    char *id = kafka_id(group);
    rd_kafka_conf_t *conf = kafka_conf(
        group, "group.id", id, "enable.auto.commit", "false", "enable.auto.offset.store", "false", "auto.offset.reset",
        broadcast ? "latest" : "earliest", "partition.assignment.strategy", "cooperative-sticky", "session.timeout.ms",
        "10000", "heartbeat.interval.ms", "2000", "topic.metadata.refresh.interval.ms", "10000", "queued.min.messages",
        "1000", "queued.max.messages.kbytes", "16384", "fetch.error.backoff.ms", "200", NULL);
    free(id);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    group->client.serve = serve_group;
    group->client.owner = group;
    if (kafka_client_open(&group->client, RD_KAFKA_CONSUMER, conf, &err)) {
        fastr_log(FASTR_ERROR, "%s", err.text);
        free(group->name);
        free(group);
        return NULL;
    }
    group->next = consumers.groups;
    return consumers.groups = group;
}

static void group_free(struct group *group)
{
    while (group->partitions) {
        group->partitions->revoked = true;
        release(group->partitions);
    }
    while (group->topics) {
        struct topic *topic = group->topics;
        group->topics = topic->next;
        fastr_metric_set(topic->lag, 0);
        free(topic->name);
        free(topic);
    }
    rd_kafka_queue_destroy(group->closing);
    kafka_client_retire(&group->client);
    free(group->name);
    free(group);
}

static bool has_running(const struct group *group)
{
    for (const struct partition *at = group->partitions; at; at = at->next)
        if (at->running)
            return true;
    return false;
}

/* Leaves the group, once its tasks have ended: commits what they did; the close has a queue of its own to serve. */
static void begin_close(struct group *group)
{
    commit_done(group);
    group->closing = rd_kafka_queue_new(group->client.rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(group->client.rk, group->closing);
    rd_kafka_error_destroy(error);
    group->state = CLOSING;
}

/* Moves a stopping group on; true when it has left and is freed. */
static bool step_close(struct group *group)
{
    if (group->state == STOPPING && !has_running(group))
        begin_close(group);
    if (group->state != CLOSING)
        return false;
    kafka_client_serve(&group->client);
    return rd_kafka_consumer_closed(group->client.rk) && !has_running(group);
}

/* ---- what the program declares ----------------------------------------------------------------------------------- */

static bool is_broadcast(int index)
{
    const char *text = fastr_program_field("consumers", index, "broadcast");
    return *text && strcmp(text, "false") != 0;
}

static struct group *find_group(const char *name, bool broadcast)
{
    for (struct group *group = consumers.groups; group; group = group->next)
        if (group->state == RUNNING && group->broadcast == broadcast && strcmp(group->name, name) == 0)
            return group;
    return group_new(name, broadcast);
}

static void want_topic(struct group *group, const char *name)
{
    char labels[300];
    struct topic *topic = find_topic(group, name);
    if (topic == NULL) {
        topic = fastr_zalloc(sizeof *topic);
        topic->name = fastr_strdup(name);
        topic->next = group->topics;
        group->topics = topic;
        snprintf(labels, sizeof labels, "topic=\"%s\",group=\"%s\"", name, group->name);
        topic->lag = fastr_gauge("fastr_kafka_lag", labels, "Messages behind the end of the topic");
        topic->consumed = fastr_counter("fastr_kafka_consumed_total", labels, "Messages handled");
        topic->failed = fastr_counter("fastr_kafka_consume_failures_total", labels, "Messages whose handler failed");
    }
    topic->wanted = true;
}

/* Subscribes to what is wanted if that changed; topics no longer wanted keep their struct for late messages. */
static void subscribe(struct group *group)
{
    bool changed = false;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (struct topic *topic = group->topics; topic; topic = topic->next) {
        changed = changed || topic->wanted != topic->subscribed;
        topic->subscribed = topic->wanted;
        if (topic->wanted)
            rd_kafka_topic_partition_list_add(list, topic->name, RD_KAFKA_PARTITION_UA);
    }
    if (list->cnt == 0)
        group->state = STOPPING;
    else if (changed)
        rd_kafka_subscribe(group->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
}

/* A field of an entry is valid until the next one is asked for: each is used at once. */
static char *declared_now(void)
{
    struct fastr_buffer text = {0};
    int count = fastr_program_count("consumers");
    for (int i = 1; i <= count; i++) {
        fastr_buffer_format(&text, "%s ", fastr_program_field("consumers", i, "topic"));
        fastr_buffer_format(&text, "%s ", fastr_program_field("consumers", i, "group"));
        fastr_buffer_format(&text, "%d\n", is_broadcast(i));
    }
    return text.data ? text.data : fastr_strdup("");
}

/* Makes the groups what the live program declares: new ones begin, gone ones finish and leave. */
static void reconcile(void)
{
    char *declared = declared_now();
    bool same = consumers.declared && strcmp(consumers.declared, declared) == 0;
    free(consumers.declared);
    consumers.declared = declared;
    if (same || consumers.draining)
        return;
    for (struct group *group = consumers.groups; group; group = group->next)
        for (struct topic *topic = group->topics; topic; topic = topic->next)
            topic->wanted = false;
    int count = fastr_program_count("consumers");
    for (int i = 1; i <= count; i++) {
        bool broadcast = is_broadcast(i);
        struct group *group = find_group(fastr_program_field("consumers", i, "group"), broadcast);
        if (group)
            want_topic(group, fastr_program_field("consumers", i, "topic"));
    }
    for (struct group *group = consumers.groups; group; group = group->next)
        if (group->state == RUNNING)
            subscribe(group);
}

/* ---- start, tick, drain ------------------------------------------------------------------------------------------ */

static void step_groups(void)
{
    for (struct group **at = &consumers.groups; *at;) {
        struct group *group = *at;
        if (group->state == RUNNING || !step_close(group)) {
            at = &group->next;
            continue;
        }
        *at = group->next;
        group_free(group);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *data)
{
    (void)fd, (void)what, (void)data;
    bool measure = ++consumers.ticks % RECONCILE_TICKS == 0;
    for (struct group *group = consumers.groups; group; group = group->next) {
        kafka_client_serve(&group->client);
        if (group->state == RUNNING)
            commit_done(group);
        if (measure)
            measure_lag(group);
    }
    if (measure)
        reconcile();
    step_groups();
}

static void tick_each(int ms)
{
    event_add(&consumers.tick, &(struct timeval){.tv_usec = ms * 1000});
}

void kafka_consumers_start(void)
{
    consumers.deadline_ms = (uint64_t)fastr_setting_int("kafka.handler_ms", 30000, 100, 600000);
    event_assign(&consumers.tick, fastr_loop(), -1, EV_PERSIST, on_tick, NULL);
    tick_each(TICK_MS);
    reconcile();
}

void kafka_consumers_drain(void)
{
    consumers.draining = true;
    for (struct group *group = consumers.groups; group; group = group->next)
        if (group->state == RUNNING)
            group->state = STOPPING;
    tick_each(DRAIN_TICK_MS);
}

bool kafka_consumers_idle(void)
{
    return consumers.groups == NULL;
}

void kafka_consumers_stop(void)
{
    event_del(&consumers.tick);
    for (struct group *group = consumers.groups; group; group = group->next)
        event_del(&group->client.wake);
}
