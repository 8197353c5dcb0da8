/* stream.h: server-sent events (WHATWG HTML, "Server-sent events") with fan-out by channel.
 *
 * Leans on http_server.h. A stream is a C object on a connection: no task, no Lua state and no script version is held
 * by it. Channels exist while a stream listens. One set of channels per worker; other workers publish to their own
 * (Kafka broadcast consumers, LISTEN). */
#ifndef FASTR_STREAM_H
#define FASTR_STREAM_H

#include "runtime/http_server.h"

/* An event; NUL-terminated texts. `id` and `event` may be NULL or "" (left out) and must not contain line ends; `data`
 * may have several lines and is sent as such. */
struct fastr_stream_event {
    const char *id, *event, *data;
};

/* Once per worker, before the first open. `heartbeat_ms` 0: 15000; a comment is sent that often on every stream, which
 * keeps proxies from closing it and finds dead clients. */
void fastr_stream_start(struct event_base *base, uint32_t heartbeat_ms);

/* A stream is opened in three steps, so that no event falls between the past and what follows:
 *   1. subscribe   from here on what is published on `channel` (copied, at most 255 bytes) is held for it
 *   2. replay      the past, which the handler reads (and may wait for); an event whose id it had already is passed by
 *   3. reply       the past is sent, then what was held and is not in it, then everything as it comes
 * Events are known again by their id, the last 256 of a stream. */
struct fastr_stream;

/* Sets *handle, which must stay where it is until the stream is answered or dropped, and is NULL again then: at the
 * latest when the running task ends. -1 for a bad channel ("invalid"), when streams are being drained ("closed"), or when
 * there are too many of them ("busy"). */
int fastr_stream_subscribe(const char *channel, struct fastr_stream **handle, struct fastr_err *err);
/* Not after the reply. -1 for a bad event ("invalid"). */
int fastr_stream_replay(struct fastr_stream *stream, const struct fastr_stream_event *event, struct fastr_err *err);
/* Answers `request` with 200 text/event-stream (Cache-Control: no-store, X-Accel-Buffering: no) and `fields`. Returns 0:
 * request and stream are gone. -1, and both live on: a bad field ("invalid"), the worker is draining ("closed"), or more
 * than 256 KiB of events came meanwhile ("busy": the client comes again, with its Last-Event-ID). */
int fastr_stream_reply(struct fastr_stream *stream, struct fastr_http_request *request,
                       const struct fastr_http_field *fields, size_t field_count, struct fastr_err *err);
/* Forgets a stream that was not answered; NULL is fine. */
void fastr_stream_drop(struct fastr_stream *stream);

/* Sends an event to every stream of `channel` in this worker. Returns how many; -1 for a bad event ("invalid"). A
 * reader that is too slow (limits.stream_bytes) is cut off: it reconnects with its Last-Event-ID. */
int fastr_stream_publish(const char *channel, const struct fastr_stream_event *event, struct fastr_err *err);

void fastr_stream_set_limit(int streams); /* at once in this worker; default 1024 */
int fastr_stream_count(void);             /* open and pending streams; also the gauge fastr_streams */

/* Ends every stream with a comment (": closing") and lets none open; clients reconnect elsewhere. */
void fastr_stream_drain(void);
/* Drain, then frees everything; start may be called again (tests). */
void fastr_stream_stop(void);

#endif
