/* kafka.h: what the two halves of fastr.kafka share, kafka.c (producer, Lua) and kafka_consumer.c; private to them. */
#ifndef FASTR_KAFKA_H
#define FASTR_KAFKA_H

#include "runtime/fastr.h"

#include <event2/event_struct.h>
#include <librdkafka/rdkafka.h>

/* A librdkafka client whose queue wakes the loop. */
struct kafka_client {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    int fd; /* eventfd: readable once the queue is no longer empty */
    struct event wake;
    bool (*serve)(void *owner); /* takes one item from the queue; false when it was empty */
    void *owner;
};

/* The settings that all clients have; callbacks and the rest are the caller's. Pairs follow, ended by NULL. */
rd_kafka_conf_t *kafka_conf(void *opaque, ...) __attribute__((sentinel));
/* A librdkafka client made with all signals blocked, so that its threads take none. Takes `conf` over unless it returns
 * NULL; then `problem` says why. */
rd_kafka_t *kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *problem, size_t size);
/* Makes the client with all signals blocked, so that librdkafka's threads take none, and joins its queue to the loop.
 * Takes `conf` over, also on failure. `serve` and `owner` are set by the caller before. */
int kafka_client_open(struct kafka_client *client, rd_kafka_type_t type, rd_kafka_conf_t *conf, struct fastr_err *err);
/* Empties the queue, in slices; from timers, should a wake-up have been lost. */
void kafka_client_serve(struct kafka_client *client);
/* Leaves the loop and destroys the client on a thread of its own, since that blocks. */
void kafka_client_retire(struct kafka_client *client);

/* What is known of the brokers, for health: an answer from one, or that none is left. */
void kafka_seen(void);

/* fastr.kafka.offsets, see there. */
int kafka_offsets(lua_State *L);

/* Consumers. */
void kafka_consumers_start(void);
void kafka_consumers_drain(void);
bool kafka_consumers_idle(void);
void kafka_consumers_stop(void);

#endif
