/* kafka_offsets.c: how far a group of consumers has come, as the brokers keep it: also of one that is away.
 *
 * A client of its own asks and never joins the group, so nothing is rebalanced and nothing committed. It blocks, for
 * ASK_MS a question at most: for tools, not for workers. */
#include "bindings/kafka.h"
#include "bindings/util.h"

#include <lauxlib.h>
#include <string.h>

enum { ASK_MS = 5000 };

static const struct rd_kafka_metadata_topic *find(const struct rd_kafka_metadata *brokers, const char *name)
{
    for (int i = 0; i < brokers->topic_cnt; i++)
        if (strcmp(brokers->topics[i].topic, name) == 0 && brokers->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return &brokers->topics[i];
    return NULL;
}

/* Adds every partition of the topics in the list at `index`; raises for what is no text. */
static void add_all(lua_State *L, int index, const struct rd_kafka_metadata *brokers,
                    rd_kafka_topic_partition_list_t *list)
{
    for (int i = 1; lua_rawgeti(L, index, i), !lua_isnil(L, -1); i++, lua_pop(L, 1)) {
        const struct rd_kafka_metadata_topic *topic = find(brokers, lua_tostring(L, -1));
        for (int n = 0; topic && n < topic->partition_cnt; n++)
            rd_kafka_topic_partition_list_add(list, topic->topic, topic->partitions[n].id);
    }
    lua_pop(L, 1);
}

static void set_number(lua_State *L, const char *name, int64_t value)
{
    lua_pushnumber(L, (lua_Number)value);
    lua_setfield(L, -2, name);
}

static rd_kafka_resp_err_t push_partition(lua_State *L, rd_kafka_t *rk, const rd_kafka_topic_partition_t *at)
{
    int64_t first = 0, next = 0;
    rd_kafka_resp_err_t failure = rd_kafka_query_watermark_offsets(rk, at->topic, at->partition, &first, &next, ASK_MS);
    if (failure)
        return failure;
    lua_createtable(L, 0, 5);
    lua_pushstring(L, at->topic);
    lua_setfield(L, -2, "topic");
    set_number(L, "partition", at->partition);
    set_number(L, "first", first);
    set_number(L, "next", next);
    if (at->offset >= 0)
        set_number(L, "committed", at->offset);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Leaves the list on the stack; on failure something else. */
static rd_kafka_resp_err_t push_all(lua_State *L, rd_kafka_t *rk, int topics)
{
    const struct rd_kafka_metadata *brokers;
    rd_kafka_resp_err_t failure = rd_kafka_metadata(rk, 1, NULL, &brokers, ASK_MS);
    if (failure)
        return failure;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(12);
    add_all(L, topics, brokers, list);
    rd_kafka_metadata_destroy(brokers);
    failure = rd_kafka_committed(rk, list, ASK_MS);
    lua_createtable(L, list->cnt, 0);
    for (int i = 0; i < list->cnt && !failure; i++) {
        failure = push_partition(L, rk, &list->elems[i]);
        if (!failure)
            lua_rawseti(L, -2, i + 1);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return failure;
}

static void check_topics(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    for (int i = 1; i <= (int)lua_objlen(L, index); i++, lua_pop(L, 1)) {
        lua_rawgeti(L, index, i);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, index, "a list of texts expected");
    }
}

/** kafka.offsets(group, topics) says how far a group has come in every partition of these topics. Blocks for some
 * seconds where no broker answers: for tools.
 * @param group   the group's id
 * @param topics  list of names; one that does not exist is left out
 * @return  list of {topic, partition, first, next, committed}: the offset of the oldest message that is kept, that of
 *   the next one to come, and that from which the group goes on (nil: it has never committed one)
 * Errors (nil, message, code): "unavailable".
 * Raises: an argument of another type. */
int kafka_offsets(lua_State *L)
{
    char problem[256];
    const char *group = luaL_checkstring(L, 1);
    check_topics(L, 2);
    rd_kafka_conf_t *conf = kafka_conf(NULL, "group.id", group, "enable.auto.commit", "false", NULL);
    rd_kafka_t *rk = kafka_new(RD_KAFKA_CONSUMER, conf, problem, sizeof problem);
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return fastr_push_error(L, "unavailable", "kafka: %s", problem);
    }
    rd_kafka_resp_err_t failure = push_all(L, rk, 2);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    if (failure)
        return fastr_push_error(L, "unavailable", "kafka: %s", rd_kafka_err2str(failure));
    return 1;
}
