/* http_server.h: HTTP/1.1 connections on a libevent loop (RFC 9110, RFC 9112).
 *
 * Leans on http_parser.h and plain libevent events. One server per worker; one thread. A connection carries one request
 * at a time: pipelined ones wait, bounded, in the connection, so replies leave in order by construction.
 *
 *            first byte           head               body complete          reply
 *   IDLE ------------> RECEIVING ------> (on_head) -----> HANDLING (on_request) ------> IDLE
 *     ^  idle_ms         header_ms,                         |  client left: on_gone          | or closed, lingering so
 *     |                  body_ms: 408                       |                                | that the reply is read
 *     +-----------------------------------------------------+--------------------------------+
 *
 * Parse errors, 408 and 413 are answered here with a problem document (RFC 9457) and the connection is closed. */
#ifndef FASTR_HTTP_SERVER_H
#define FASTR_HTTP_SERVER_H

#include "runtime/fastr.h"
#include "runtime/http_parser.h"

struct fastr_http_server;
struct fastr_http_request;
struct fastr_http_stream;

/* 0 stands for the default everywhere. Times in milliseconds, kept to about 50 ms. */
struct fastr_http_limits {
    struct fastr_http_message_limits message;
    int connections;       /* open at once; default 4096. Full: the one idle longest is closed, else accepting pauses */
    uint32_t header_ms;    /* from a request's first byte (or accept) to the end of its head; default 10000; 408 */
    uint32_t body_ms;      /* from the head to the end of the body; default 30000; 408 */
    uint32_t idle_ms;      /* a kept-alive connection without a request; default 75000 */
    uint32_t write_ms;     /* a client that takes no byte of its reply; default 15000 */
    uint32_t drain_ms;     /* how long drain leaves idle connections open for a request on its way; default 500 */
    size_t pipeline_bytes; /* of further requests kept while one is handled; then reading stops; default 65536 */
    size_t output_bytes;   /* unsent replies beyond which no further request is taken up; default 262144 */
    size_t stream_bytes;   /* unsent bytes beyond which a stream's reader is too slow and is cut off; default 262144 */
};

/* One field of a reply; NUL-terminated. */
struct fastr_http_field {
    const char *name, *value;
};

enum { FASTR_HTTP_COMMON = 4 }; /* fields that every reply may carry beside its own */

/* What the server calls, all on the loop. `data` is the handler's. A request is valid from its first callback until it
 * is replied to (fastr_http_reply, fastr_http_reply_stream) or on_gone has returned; then it must not be touched. */
struct fastr_http_handler {
    void *data;
    /* Optional. The head has come, the body (if any) has not: the place for a route's own body limit
     * (fastr_http_request_limit_body) and for early refusals. Replying here ends the request: on_request is not called,
     * nothing of the body is kept, and the connection closes if a body was announced. If it returns without a reply
     * and the client waits for it, 100 Continue is sent. */
    void (*on_head)(void *data, struct fastr_http_request *request);
    /* The whole request is there. Reply now or at any later time, exactly once. */
    void (*on_request)(void *data, struct fastr_http_request *request);
    /* The client left (closed, half-closed or reset) after on_request and before the reply, or the server is freed.
     * Do not reply. One that leaves before on_request is not reported: hang nothing on a request in on_head. */
    void (*on_gone)(void *data, struct fastr_http_request *request);
    /* Optional. Fields that every reply to `request` carries, a refusal of the server's own too; `request` is NULL for
     * one whose head was not understood. Fills at most FASTR_HTTP_COMMON, whose texts live as long as the request;
     * returns how many. */
    size_t (*fields)(void *data, const struct fastr_http_request *request, struct fastr_http_field *fields);
};

/* ---- the server ----------------------------------------------------------------------------------------------- */

/* Listens on `listen_fd` (bound, listening, non-blocking or not: it is made so), which stays the caller's. `limits` may
 * be NULL; both structs are copied. Never NULL. */
struct fastr_http_server *fastr_http_server_new(struct event_base *base, int listen_fd,
                                                const struct fastr_http_limits *limits,
                                                const struct fastr_http_handler *handler);
/* Also accepts from another listening socket (a sibling's whose process is gone), until it is removed. Adding one twice
 * or removing an unknown one does nothing. The descriptor stays the caller's. */
void fastr_http_server_add_listener(struct fastr_http_server *server, int listen_fd);
/* Takes in the connections that wait at the socket now, as far as there is room. */
void fastr_http_server_accept(struct fastr_http_server *server, int listen_fd);
void fastr_http_server_remove_listener(struct fastr_http_server *server, int listen_fd);
/* Takes over an accepted, connected socket (tests: one end of a socketpair). The server closes it. */
void fastr_http_server_adopt(struct fastr_http_server *server, int fd);
/* Stops accepting, lets what runs finish, answers further requests with Connection: close; idle connections are closed
 * after drain_ms. Streams go on until they are ended (fastr_stream_drain). Calling it twice does nothing. */
void fastr_http_server_drain(struct fastr_http_server *server);
/* Connections that would lose something if closed: a request on its way in, being handled, an unsent reply, a stream.
 * Draining is over when this is 0 and fastr_http_server_connections is 0 too, or its time is up. */
int fastr_http_server_busy(const struct fastr_http_server *server);
int fastr_http_server_connections(const struct fastr_http_server *server);
/* Closes every connection; on_gone is called for requests without a reply. NULL is fine. */
void fastr_http_server_free(struct fastr_http_server *server);

/* ---- a request ------------------------------------------------------------------------------------------------ */

/* All text lives as long as the request. */
const struct fastr_http_message *fastr_http_request_message(const struct fastr_http_request *request);
/* A field's value by its name in any case, NULL if absent. `length` may be NULL. NUL-terminated. */
const char *fastr_http_request_header(const struct fastr_http_request *request, const char *name, size_t *length);
const char *fastr_http_request_body(const struct fastr_http_request *request, size_t *length); /* "" if none */
/* The client's address as text, without port ("127.0.0.1", "::1", "unix"). */
const char *fastr_http_request_peer(struct fastr_http_request *request);
uint64_t fastr_http_request_started_us(const struct fastr_http_request *request); /* fastr_clock_us at its first byte */
void *fastr_http_request_data(const struct fastr_http_request *request);          /* NULL at first */
void fastr_http_request_set_data(struct fastr_http_request *request, void *data);
/* In on_head only: this request's body limit in bytes (a route's). Returns false, with 413 already answered, if the
 * announced length is above it; the request is then gone. */
bool fastr_http_request_limit_body(struct fastr_http_request *request, size_t bytes);

/* Answers. Everything is copied or sent before it returns; `body` may be NULL if `length` is 0. Adds Date,
 * Content-Length and, where needed, Connection. HEAD gets the same fields and no body; 204 and 304 have none. The
 * request is gone afterwards, whether or not the client still listens. Returns -1 and sends nothing (the request lives
 * on: answer 500) for a status outside 200..599, a name that is no token, a value with control characters (no response
 * splitting), and the fields that are the server's: Connection, Content-Length, Date, Keep-Alive, Transfer-Encoding,
 * Upgrade. `err` may be NULL. */
int fastr_http_reply(struct fastr_http_request *request, int status, const struct fastr_http_field *fields,
                     size_t count, const void *body, size_t length, struct fastr_err *err);

/* ---- replies of unknown length (server-sent events) ------------------------------------------------------------- */

/* Sends the head of a reply whose body follows in pieces: chunked in 1.1, until close in 1.0. Errors as
 * fastr_http_reply, then NULL and the request lives on. Otherwise the request is gone. `on_close` is called once if the
 * stream ends by itself: the client left, was too slow, or the server was freed; not after fastr_http_stream_end.
 * A HEAD request gets the head alone, and on_close at once, on the loop's next turn. */
struct fastr_http_stream *fastr_http_reply_stream(struct fastr_http_request *request, int status,
                                                  const struct fastr_http_field *fields, size_t count,
                                                  void (*on_close)(void *data), void *data, struct fastr_err *err);
/* Sends a piece (0 bytes: nothing). A reader with more than stream_bytes unsent is cut off: on_close follows on the
 * loop's next turn, never inside this call, and the stream stays valid (writes do nothing) until then. */
void fastr_http_stream_write(struct fastr_http_stream *stream, const void *bytes, size_t length);
/* Ends the body; the stream is gone. */
void fastr_http_stream_end(struct fastr_http_stream *stream);

#endif
