/* kafka_fatal.c: for a spec alone, preloaded into fastr: when the file $FASTR_SPEC_FATAL appears, every Kafka producer of
 * the process gets a fatal error, as an idempotent one does whose messages came out of order; the file is removed. */
#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *watch(void *producer)
{
    const char *file = getenv("FASTR_SPEC_FATAL");
    while (!file || unlink(file))
        usleep(10000);
    rd_kafka_test_fatal_error(producer, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "as a spec wants it");
    return NULL;
}

rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size)
{
    rd_kafka_t *(*make)(rd_kafka_type_t, rd_kafka_conf_t *, char *, size_t) = dlsym(RTLD_NEXT, "rd_kafka_new");
    rd_kafka_t *made = make(type, conf, text, size);
    pthread_t thread;
    if (made && type == RD_KAFKA_PRODUCER && pthread_create(&thread, NULL, watch, made) == 0)
        pthread_detach(thread);
    return made;
}
