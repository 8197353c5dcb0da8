/* stream.c: server-sent events with fan-out by channel; see stream.h.
 *
 *   channels[hash] -> channel "order:7" -> stream -> stream      one event is formatted once and written to each
 *
 *   subscribe ----> PENDING: events are held ----> reply: the past, then what was held, then as it comes
 *                       | drop
 *
 * A stream belongs to its channel's list and, through on_close, to its connection. The server never calls on_close
 * inside a write, so a list can be walked while writing to it. */
#include "runtime/stream.h"

#include <event2/event.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BUCKETS = 256, CHANNEL_BYTES = 255, HEARTBEAT_MS = 15000, STREAMS = 1024, FIELDS = 32 };
enum { SEEN = 256, HELD_BYTES = 262144 };

struct channel;

/* An event that was published before the stream was answered. */
struct held {
    struct held *next;
    uint64_t id;
    size_t length;
    char text[];
};

struct fastr_stream {
    struct channel *channel; /* NULL: drained before it was answered */
    struct fastr_stream *next;
    struct fastr_http_stream *body; /* NULL: pending */
    struct fastr_buffer past;
    struct held *held, **held_end;
    size_t held_bytes;
    bool overrun; /* more was held than may be */
    uint64_t seen[SEEN]; /* the last events' ids, hashed */
    unsigned seen_count;
    struct fastr_stream **handle; /* the holder's, while pending */
    struct fastr_task *task;
    struct fastr_cleanup cleanup;
};

struct channel {
    struct channel *next;
    struct fastr_stream *streams;
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

/* Names come from scripts, not from clients as such; a crowded bucket only costs a walk. */
static struct channel **bucket(const char *name)
{
    return &all.channels[fastr_hash(name) % BUCKETS];
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

/* Takes it out of its channel: nothing more reaches it. */
static void detach(struct fastr_stream *stream)
{
    struct fastr_stream **at = &stream->channel->streams;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    remove_if_empty(stream->channel);
    stream->channel = NULL;
    all.count--;
    fastr_metric_add(all.gauge, -1);
}

static void free_held(struct fastr_stream *stream)
{
    for (struct held *held = stream->held, *next; held; held = next) {
        next = held->next;
        free(held);
    }
    stream->held = NULL;
}

/* Its holder has no say in it any more. */
static void release(struct fastr_stream *stream)
{
    if (stream->handle)
        *stream->handle = NULL;
    stream->handle = NULL;
    if (stream->task)
        fastr_task_undefer(stream->task, &stream->cleanup);
    stream->task = NULL;
}

void fastr_stream_drop(struct fastr_stream *stream)
{
    if (!stream)
        return;
    release(stream);
    if (stream->channel)
        detach(stream);
    free_held(stream);
    fastr_buffer_free(&stream->past);
    free(stream);
}

/* The client left, or was too slow. */
static void on_close(void *data)
{
    fastr_stream_drop(data);
}

static void write_to_all(const char *bytes, size_t length)
{
    for (int i = 0; i < BUCKETS; i++)
        for (struct channel *channel = all.channels[i]; channel; channel = channel->next)
            for (struct fastr_stream *stream = channel->streams; stream; stream = stream->next)
                if (stream->body)
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

/* ---- each event once -------------------------------------------------------------------------------------------- */

/* The hash of the event's id; 0 for an event without one, which cannot be known again. */
static uint64_t id_of(const struct fastr_stream_event *event)
{
    if (!event->id || !*event->id)
        return 0;
    uint64_t hash = fastr_hash(event->id);
    return hash ? hash : 1;
}

/* Notes the event; false if it is one of the last that this stream had. */
static bool is_new(struct fastr_stream *stream, uint64_t id)
{
    unsigned count = stream->seen_count < SEEN ? stream->seen_count : SEEN;
    for (unsigned i = 0; id && i < count; i++)
        if (stream->seen[i] == id)
            return false;
    if (id)
        stream->seen[stream->seen_count++ % SEEN] = id;
    return true;
}

static void hold(struct fastr_stream *stream, uint64_t id, const struct fastr_buffer *text)
{
    stream->held_bytes += text->length;
    if (stream->held_bytes > HELD_BYTES) {
        stream->overrun = true;
        return;
    }
    struct held *held = fastr_alloc(sizeof *held + text->length);
    *held = (struct held){.id = id, .length = text->length};
    memcpy(held->text, text->data, text->length);
    *(stream->held ? stream->held_end : &stream->held) = held;
    stream->held_end = &held->next;
}

static void deliver(struct fastr_stream *stream, uint64_t id, const struct fastr_buffer *text)
{
    if (!stream->body)
        hold(stream, id, text);
    else if (is_new(stream, id))
        fastr_http_stream_write(stream->body, text->data, text->length);
}

int fastr_stream_publish(const char *channel, const struct fastr_stream_event *event, struct fastr_err *err)
{
    struct fastr_buffer text = {0};
    struct channel *found = find_channel(channel);
    int reached = 0, rc = add_event(&text, event, err);
    struct fastr_stream *stream = found && rc == 0 ? found->streams : NULL;
    for (; stream; stream = stream->next, reached++)
        deliver(stream, id_of(event), &text);
    fastr_buffer_free(&text);
    return rc ? -1 : reached;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int check_open(const char *channel, struct fastr_err *err)
{
    if (!*channel || strlen(channel) > CHANNEL_BYTES)
        return fastr_fail(err, "invalid", "stream: a channel's name has 1 to %d bytes", CHANNEL_BYTES);
    if (all.draining || !all.heartbeat)
        return fastr_fail(err, "closed", "stream: this worker is closing its streams");
    if (all.count >= all.limit)
        return fastr_fail(err, "busy", "stream: this worker has %d streams already", all.limit);
    return 0;
}

/* The task ended without having returned it. */
static void on_task_end(struct fastr_cleanup *cleanup)
{
    struct fastr_stream *stream = (struct fastr_stream *)((char *)cleanup - offsetof(struct fastr_stream, cleanup));
    stream->task = NULL;
    fastr_stream_drop(stream);
}

int fastr_stream_subscribe(const char *channel, struct fastr_stream **handle, struct fastr_err *err)
{
    *handle = NULL;
    if (check_open(channel, err))
        return -1;
    struct fastr_stream *stream = *handle = fastr_zalloc(sizeof *stream);
    stream->handle = handle;
    stream->task = fastr_task_current();
    stream->cleanup.run = on_task_end;
    if (stream->task)
        fastr_task_defer(stream->task, &stream->cleanup);
    stream->channel = make_channel(channel);
    stream->next = stream->channel->streams;
    stream->channel->streams = stream;
    all.count++;
    fastr_metric_add(all.gauge, 1);
    return 0;
}

int fastr_stream_replay(struct fastr_stream *stream, const struct fastr_stream_event *event, struct fastr_err *err)
{
    return is_new(stream, id_of(event)) ? add_event(&stream->past, event, err) : 0;
}

static int check_reply(const struct fastr_stream *stream, size_t field_count, struct fastr_err *err)
{
    if (field_count > FIELDS)
        return fastr_fail(err, "invalid", "stream: more than %d headers", FIELDS);
    if (!stream->channel)
        return fastr_fail(err, "closed", "stream: this worker is closing its streams");
    if (stream->overrun)
        return fastr_fail(err, "busy", "stream: more events came than can be held while the past is read");
    return 0;
}

/* The handler's fields, and those of its own that it did not give. */
static struct fastr_http_stream *reply(struct fastr_http_request *request, const struct fastr_http_field *fields,
                                       size_t count, struct fastr_stream *stream, struct fastr_err *err)
{
    static const struct fastr_http_field OWN[] = {
        {"Content-Type", "text/event-stream"},
        {"Cache-Control", "no-store"},
        {"X-Accel-Buffering", "no"}, /* NGINX would hold events back */
    };
    struct fastr_http_field list[FIELDS + 3];
    size_t total = count;
    memcpy(list, fields, count * sizeof *list);
    for (size_t i = 0; i < 3; i++) {
        bool given = false;
        for (size_t j = 0; j < count; j++)
            given |= !strcasecmp(OWN[i].name, fields[j].name);
        if (!given)
            list[total++] = OWN[i];
    }
    return fastr_http_reply_stream(request, 200, list, total, on_close, stream, err);
}

int fastr_stream_reply(struct fastr_stream *stream, struct fastr_http_request *request,
                       const struct fastr_http_field *fields, size_t field_count, struct fastr_err *err)
{
    if (check_reply(stream, field_count, err) || !(stream->body = reply(request, fields, field_count, stream, err)))
        return -1;
    release(stream);
    for (struct held *held = stream->held; held; held = held->next)
        if (is_new(stream, held->id))
            fastr_buffer_add(&stream->past, held->text, held->length);
    fastr_http_stream_write(stream->body, stream->past.data, stream->past.length);
    fastr_buffer_free(&stream->past);
    free_held(stream);
    return 0;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void fastr_stream_drain(void)
{
    all.draining = true;
    write_to_all(": closing\n\n", 11);
    for (int i = 0; i < BUCKETS; i++)
        while (all.channels[i]) {
            struct fastr_stream *stream = all.channels[i]->streams;
            detach(stream);
            if (!stream->body)
                continue; /* its holder drops it */
            fastr_http_stream_end(stream->body);
            fastr_stream_drop(stream);
        }
}

void fastr_stream_stop(void)
{
    fastr_stream_drain();
    if (all.heartbeat)
        event_free(all.heartbeat);
    all.heartbeat = NULL;
}
