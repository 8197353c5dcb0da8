/* stream.h: server-sent events (WHATWG HTML, "Server-sent events") with fan-out by channel.
 *
 * Leans on http_server.h. A stream is a C object on a connection: no task, no Lua state and no script version is held
 * by it. Channels exist while a stream listens. One set of channels per worker; other workers publish to their own
 * (Kafka broadcast consumers, LISTEN). */
#ifndef FASTR_STREAM_H
#define FASTR_STREAM_H

#include "http_server.h"

/* An event; NUL-terminated texts. `id` and `event` may be NULL or "" (left out) and must not contain line ends; `data`
 * may have several lines and is sent as such. */
struct fastr_stream_event {
    const char *id, *event, *data;
};

/* Once per worker, before the first open. `heartbeat_ms` 0: 15000; a comment is sent that often on every stream, which
 * keeps proxies from closing it and finds dead clients. */
void fastr_stream_start(struct event_base *base, uint32_t heartbeat_ms);

/* Answers `request` with 200 text/event-stream (Cache-Control: no-store, X-Accel-Buffering: no), sends the `replay`ed
 * events, then whatever is published on `channel` (copied, at most 255 bytes). `fields` are added to the reply (CORS).
 * Returns 0 and the request is gone; -1, and the request lives on, for a bad channel, field or event ("invalid"), when
 * streams are being drained ("closed"), or when there are `fastr_stream_limit` of them ("busy"). Between the handler's
 * read of the past and this call events can slip through: handlers publish from a table, and clients that must miss
 * nothing reconnect with Last-Event-ID. */
int fastr_stream_open(struct fastr_http_request *request, const char *channel, const struct fastr_http_field *fields,
                      size_t field_count, const struct fastr_stream_event *replay, size_t replay_count,
                      struct fastr_err *err);

/* Sends an event to every stream of `channel` in this worker. Returns how many; -1 for a bad event ("invalid"). A
 * reader that is too slow (limits.stream_bytes) is cut off: it reconnects with its Last-Event-ID. */
int fastr_stream_publish(const char *channel, const struct fastr_stream_event *event, struct fastr_err *err);

void fastr_stream_set_limit(int streams); /* at once in this worker; default 1024 */
int fastr_stream_count(void);             /* open streams; also the gauge fastr_streams */

/* Ends every stream with a comment (": closing") and lets none open; clients reconnect elsewhere. */
void fastr_stream_drain(void);
/* Drain, then frees everything; start may be called again (tests). */
void fastr_stream_stop(void);

#endif
