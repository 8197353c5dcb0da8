/* stream.c: server-sent events with fan-out by channel; see stream.h.
 *
 *   channels[hash] -> channel "order:7" -> stream -> stream      one event is formatted once and written to each
 *
 * A stream belongs to its channel's list and, through on_close, to its connection. The server never calls on_close
 * inside a write, so a list can be walked while writing to it. */
#include "stream.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 256, CHANNEL_BYTES = 255, HEARTBEAT_MS = 15000, STREAMS = 1024, FIELDS = 32 };

struct channel;

struct stream {
    struct channel *channel;
    struct stream *next;
    struct fastr_http_stream *body;
};

struct channel {
    struct channel *next;
    struct stream *streams;
    char name[];
};

static struct {
    struct channel *channels[BUCKETS];
    struct event *heartbeat;
    struct fastr_metric *gauge;
    int count, limit;
    bool draining;
} all;

/* ---- channels --------------------------------------------------------------------------------------------------- */

/* FNV-1a. Names come from scripts, not from clients as such; a crowded bucket only costs a walk. */
static struct channel **bucket(const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *p = name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    return &all.channels[hash % BUCKETS];
}

static struct channel *find_channel(const char *name)
{
    struct channel *channel = *bucket(name);
    while (channel && strcmp(channel->name, name) != 0)
        channel = channel->next;
    return channel;
}

static struct channel *make_channel(const char *name)
{
    struct channel *channel = find_channel(name), **head = bucket(name);
    if (channel)
        return channel;
    channel = fastr_zalloc(sizeof *channel + strlen(name) + 1);
    strcpy(channel->name, name);
    channel->next = *head;
    return *head = channel;
}

static void remove_if_empty(struct channel *channel)
{
    struct channel **at = bucket(channel->name);
    if (channel->streams)
        return;
    while (*at != channel)
        at = &(*at)->next;
    *at = channel->next;
    free(channel);
}

/* ---- streams ---------------------------------------------------------------------------------------------------- */

static void forget(struct stream *stream)
{
    struct stream **at = &stream->channel->streams;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    remove_if_empty(stream->channel);
    free(stream);
    all.count--;
    fastr_metric_add(all.gauge, -1);
}

/* The client left, or was too slow. */
static void on_close(void *data)
{
    forget(data);
}

static void write_to_all(const char *bytes, size_t length)
{
    for (int i = 0; i < BUCKETS; i++)
        for (struct channel *channel = all.channels[i]; channel; channel = channel->next)
            for (struct stream *stream = channel->streams; stream; stream = stream->next)
                fastr_http_stream_write(stream->body, bytes, length);
}

static void on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
    write_to_all(":\n\n", 3);
}

void fastr_stream_start(struct event_base *base, uint32_t heartbeat_ms)
{
    uint32_t ms = heartbeat_ms ? heartbeat_ms : HEARTBEAT_MS;
    struct timeval every = {ms / 1000, ms % 1000 * 1000};
    all.limit = all.limit ? all.limit : STREAMS;
    all.draining = false;
    all.gauge = fastr_gauge("fastr_streams", "", "Open server-sent event streams.");
    all.heartbeat = event_new(base, -1, EV_PERSIST, on_heartbeat, NULL);
    event_add(all.heartbeat, &every);
}

void fastr_stream_set_limit(int streams)
{
    all.limit = streams;
}

int fastr_stream_count(void)
{
    return all.count;
}

/* ---- events (WHATWG HTML §9.2.6) ----------------------------------------------------------------------------------
 * */

static int add_line(struct fastr_buffer *out, const char *name, const char *value, struct fastr_err *err)
{
    if (!value || !*value)
        return 0;
    if (strpbrk(value, "\r\n"))
        return fastr_fail(err, "invalid", "event: a line end in its %s", name);
    fastr_buffer_format(out, "%s: %s\n", name, value);
    return 0;
}

/* One line of the stream for each of the text's, whichever way they end. */
static void add_data(struct fastr_buffer *out, const char *data)
{
    for (;;) {
        size_t length = strcspn(data, "\r\n");
        fastr_buffer_text(out, "data: ");
        fastr_buffer_add(out, data, length);
        fastr_buffer_text(out, "\n");
        data += length;
        if (!*data)
            return;
        data += data[0] == '\r' && data[1] == '\n' ? 2 : 1;
    }
}

static int add_event(struct fastr_buffer *out, const struct fastr_stream_event *event, struct fastr_err *err)
{
    if (add_line(out, "id", event->id, err) || add_line(out, "event", event->event, err))
        return -1;
    add_data(out, event->data ? event->data : "");
    fastr_buffer_text(out, "\n");
    return 0;
}

int fastr_stream_publish(const char *channel, const struct fastr_stream_event *event, struct fastr_err *err)
{
    struct fastr_buffer text = {0};
    struct channel *found = find_channel(channel);
    int reached = 0, rc = add_event(&text, event, err);
    for (struct stream *stream = found && rc == 0 ? found->streams : NULL; stream; stream = stream->next, reached++)
        fastr_http_stream_write(stream->body, text.data, text.length);
    fastr_buffer_free(&text);
    return rc ? -1 : reached;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int check_open(const char *channel, size_t field_count, struct fastr_err *err)
{
    if (!channel || !*channel || strlen(channel) > CHANNEL_BYTES)
        return fastr_fail(err, "invalid", "stream: a channel's name has 1 to %d bytes", CHANNEL_BYTES);
    if (field_count > FIELDS)
        return fastr_fail(err, "invalid", "stream: more than %d headers", FIELDS);
    if (all.draining || !all.heartbeat)
        return fastr_fail(err, "closed", "stream: this worker is closing its streams");
    if (all.count >= all.limit)
        return fastr_fail(err, "busy", "stream: this worker has %d streams already", all.limit);
    return 0;
}

static struct fastr_http_stream *reply(struct fastr_http_request *request, const struct fastr_http_field *fields,
                                       size_t count, struct stream *stream, struct fastr_err *err)
{
    struct fastr_http_field list[FIELDS + 3] = {
        {"Content-Type", "text/event-stream"},
        {"Cache-Control", "no-store"},
        {"X-Accel-Buffering", "no"}, /* NGINX would hold events back */
    };
    for (size_t i = 0; i < count; i++)
        list[3 + i] = fields[i];
    return fastr_http_reply_stream(request, 200, list, 3 + count, on_close, stream, err);
}

int fastr_stream_open(struct fastr_http_request *request, const char *channel, const struct fastr_http_field *fields,
                      size_t field_count, const struct fastr_stream_event *replay, size_t replay_count,
                      struct fastr_err *err)
{
    struct fastr_buffer past = {0};
    int rc = check_open(channel, field_count, err);
    for (size_t i = 0; i < replay_count && rc == 0; i++)
        rc = add_event(&past, &replay[i], err);
    struct stream *stream = rc ? NULL : fastr_zalloc(sizeof *stream);
    if (rc || !(stream->body = reply(request, fields, field_count, stream, err))) {
        fastr_buffer_free(&past);
        free(stream);
        return -1;
    }
    stream->channel = make_channel(channel);
    stream->next = stream->channel->streams;
    stream->channel->streams = stream;
    all.count++;
    fastr_metric_add(all.gauge, 1);
    fastr_http_stream_write(stream->body, past.data, past.length);
    fastr_buffer_free(&past);
    return 0;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void fastr_stream_drain(void)
{
    all.draining = true;
    write_to_all(": closing\n\n", 11);
    for (int i = 0; i < BUCKETS; i++)
        while (all.channels[i]) {
            struct stream *stream = all.channels[i]->streams;
            fastr_http_stream_end(stream->body);
            forget(stream);
        }
}

void fastr_stream_stop(void)
{
    fastr_stream_drain();
    if (all.heartbeat)
        event_free(all.heartbeat);
    all.heartbeat = NULL;
}
