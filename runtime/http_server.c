/* http_server.c: HTTP/1.1 connections on a libevent loop; see http_server.h.
 *
 * Plain events, not bufferevents: one read(2) into the server's buffer, the parser, one write(2). What a reply leaves
 * unsent, and what a client sends ahead, stays in the connection, bounded.
 *
 *   on_readable -> consume (parser, on_head, on_request) -> pump (what was kept, flush) -> settle (timer, close)
 *   fastr_http_reply, later ----------------------------------^
 *
 * Deadlines: every kind of waiting has one fixed time, so a list per kind, in order of joining, is in order of falling
 * due. Moving a connection is O(1), and a tick looks at the lists' heads.
 *
 * A connection is freed by lose() only, and that is never called while one of its callbacks runs: `processing` says
 * that the end of pump will look. Streams, which others hold a pointer to, are doomed first and freed on the next turn.
 * */
#include "runtime/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "runtime/http_head.h"
#include "runtime/problem.h"

enum {
    INPUT = 65536,          /* one read */
    ACCEPTS = 64,           /* per turn and listener */
    TICK_MS = 50,
    LINGER_MS = 1000,
    LINGER_BYTES = 1 << 20, /* thrown away after a close, at most */
    COPY_BYTES = 32768,     /* a body up to here is copied behind its head */
    KEEP_OUT = 8192,        /* buffers above this are not kept */
    REST_MS = 100,          /* without a descriptor to accept with */
};

enum state {
    IDLE,      /* between requests */
    HEAD,      /* some bytes of a head */
    BODY,      /* the head is there */
    HANDLING,  /* with the handler */
    STREAMING,
    LINGERING, /* our side is shut; reading until the client closes */
    DOOMED,    /* a stream that ended by itself; freed on the next turn */
    GONE,      /* its last callback runs */
};

enum timer { T_NONE, T_IDLE, T_HEADER, T_BODY, T_WRITE, T_LINGER, TIMERS };

struct connection;

struct fastr_http_request {
    struct connection *connection;
    void *data;
    uint64_t started_us;
};

struct fastr_http_stream {
    struct connection *connection;
    void (*on_close)(void *data);
    void *data;
    bool chunked;
};

struct links {
    struct connection *previous, *next;
};

struct connection {
    struct fastr_http_server *server;
    int fd;
    enum state state;
    bool processing;  /* callbacks run below consume: nothing may free it */
    bool closing;     /* after what is unsent */
    bool linger;      /* then wait for the client, who may still be sending: a plain close could reset our reply */
    bool broken;      /* the socket failed */
    bool restart;     /* the timer counts anew */
    bool paused;      /* not reading: enough is kept */
    bool write_armed;
    enum timer timer;
    uint64_t due;
    struct links all, timed;
    struct connection *next_doomed;
    struct event readable, writable;
    struct fastr_http_parser *parser;
    struct fastr_buffer out, kept; /* unsent; read ahead */
    size_t out_at, kept_at;
    size_t thrown;
    struct fastr_http_request request;
    struct fastr_http_stream stream;
    char peer[INET6_ADDRSTRLEN];
};

struct listener {
    struct fastr_http_server *server;
    int fd;
    struct event acceptable;
    struct listener *next;
};

struct list {
    struct connection *first, *last;
};

struct fastr_http_server {
    struct event_base *base;
    struct fastr_http_limits limits;
    struct fastr_http_handler handler;
    struct listener *listeners;
    bool listening, draining;
    bool starved; /* the last accept found no descriptor; said once */
    int count, paused; /* connections; those not read from */
    struct connection *connections, *doomed;
    struct list timers[TIMERS];
    uint32_t wait_ms[TIMERS];
    struct event tick, reap, rest;
    struct fastr_metric *gauge;
    char input[INPUT];
};

/* ---- deadlines -------------------------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void untime(struct connection *c)
{
    struct list *list = &c->server->timers[c->timer];
    if (c->timer == T_NONE) return;
    if (c->timed.previous) c->timed.previous->timed.next = c->timed.next;
    else list->first = c->timed.next;
    if (c->timed.next) c->timed.next->timed.previous = c->timed.previous;
    else list->last = c->timed.previous;
    c->timer = T_NONE;
}

static void set_listening(struct fastr_http_server *server, bool on)
{
    if (server->listening == on) return;
    server->listening = on;
    for (struct listener *listener = server->listeners; listener; listener = listener->next)
        if (on) event_add(&listener->acceptable, NULL);
        else event_del(&listener->acceptable);
}

static void set_timer(struct connection *c, enum timer timer)
{
    if (c->timer == timer && !c->restart) return;
    c->restart = false;
    untime(c);
    if (timer == T_NONE) return;
    if (timer == T_IDLE && !c->server->draining) set_listening(c->server, true); /* it can make room */
    struct list *list = &c->server->timers[timer];
    c->due = now_ms() + c->server->wait_ms[timer];
    c->timed = (struct links){list->last, NULL};
    if (list->last) list->last->timed.next = c;
    else list->first = c;
    list->last = c;
    c->timer = timer;
}

static void enter(struct connection *c, enum state state)
{
    c->state = state;
    c->restart = true;
}

/* ---- the end of a connection ------------------------------------------------------------------------------------ */

static size_t unsent(const struct connection *c)
{
    return c->out.length - c->out_at;
}

static void unlink_connection(struct connection *c)
{
    struct fastr_http_server *server = c->server;
    untime(c);
    server->paused -= c->paused;
    if (c->all.previous) c->all.previous->all.next = c->all.next;
    else server->connections = c->all.next;
    if (c->all.next) c->all.next->all.previous = c->all.previous;
    fastr_metric_add(server->gauge, -1);
    if (--server->count == 0) event_del(&server->tick);
    if (!server->draining) set_listening(server, true);
}

static void stop_events(struct connection *c)
{
    event_del(&c->readable);
    event_del(&c->writable);
}

/* Tells who waits for it, and frees it. */
static void lose(struct connection *c)
{
    struct fastr_http_handler *handler = &c->server->handler;
    enum state state = c->state;
    c->state = GONE;
    stop_events(c);
    if (state == HANDLING) handler->on_gone(handler->data, &c->request);
    if ((state == STREAMING || state == DOOMED) && c->stream.on_close) c->stream.on_close(c->stream.data);
    unlink_connection(c);
    close(c->fd);
    fastr_http_parser_free(c->parser);
    fastr_buffer_free(&c->out);
    fastr_buffer_free(&c->kept);
    free(c);
}

/* A stream's holder may be calling us: it is told on the next turn. */
static void doom(struct connection *c)
{
    if (c->state == DOOMED) return;
    enter(c, DOOMED);
    stop_events(c);
    untime(c);
    c->next_doomed = c->server->doomed;
    c->server->doomed = c;
    event_active(&c->server->reap, EV_TIMEOUT, 0);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    struct fastr_http_server *server = arg;
    while (server->doomed) {
        struct connection *c = server->doomed;
        server->doomed = c->next_doomed;
        lose(c);
    }
}

/* While paused, a tick looks whether the client has left: libevent has no event for a reset alone. */
static void pause_reading(struct connection *c, bool pause)
{
    if (pause == c->paused) return;
    c->paused = pause;
    c->server->paused += pause ? 1 : -1;
    if (pause) event_del(&c->readable);
    else event_add(&c->readable, NULL);
}

/* All is sent: closes, or shuts our side and reads on until the client has seen it (RFC 9112 §9.6). */
static void begin_close(struct connection *c)
{
    if (!c->linger || shutdown(c->fd, SHUT_WR)) {
        lose(c);
        return;
    }
    enter(c, LINGERING);
    fastr_buffer_free(&c->kept);
    c->kept_at = 0;
    pause_reading(c, false);
    set_timer(c, T_LINGER);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void clear_buffer(struct fastr_buffer *buffer, size_t *at)
{
    *at = 0;
    buffer->length = 0;
    if (buffer->capacity > KEEP_OUT) fastr_buffer_free(buffer);
}

static ssize_t send_parts(struct connection *c, const void *more, size_t length)
{
    if (length == 0) return send(c->fd, c->out.data + c->out_at, unsent(c), MSG_NOSIGNAL); /* nearly always */
    struct iovec parts[2] = {{c->out.data + c->out_at, unsent(c)}, {(void *)more, length}};
    struct msghdr message = {.msg_iov = parts + (unsent(c) == 0), .msg_iovlen = 1 + (unsent(c) > 0)};
    return sendmsg(c->fd, &message, MSG_NOSIGNAL);
}

/* Sends what is unsent, then `more` (NULL for none), whose rest is kept. Sets broken. */
static void flush_with(struct connection *c, const void *more, size_t length)
{
    while (unsent(c) + length > 0 && !c->broken) {
        ssize_t sent = send_parts(c, more, length);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (sent < 0) c->broken = true;
        if (sent <= 0) break;
        if (c->timer == T_WRITE) c->restart = true;
        size_t own = (size_t)sent < unsent(c) ? (size_t)sent : unsent(c);
        c->out_at += own;
        if (length) more = (const char *)more + ((size_t)sent - own);
        length -= (size_t)sent - own;
    }
    if (c->out_at && unsent(c) == 0) clear_buffer(&c->out, &c->out_at);
    if (length && !c->broken) fastr_buffer_add(&c->out, more, length);
}

static void arm_writable(struct connection *c, bool on)
{
    if (c->write_armed == on) return;
    c->write_armed = on;
    if (on) event_add(&c->writable, NULL);
    else event_del(&c->writable);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static bool body_is_unread(const struct connection *c)
{
    return c->state == BODY && fastr_http_parser_message(c->parser)->has_body;
}

/* Before the head is written: will this be the connection's last reply? */
static void decide_close(struct connection *c)
{
    const struct fastr_http_message *message = fastr_http_parser_message(c->parser);
    if (body_is_unread(c) || c->server->draining) c->closing = c->linger = true;
    if (!message->keep_alive) c->closing = true;
}

static const char *connection_option(const struct connection *c)
{
    if (c->closing) return "close";
    return fastr_http_parser_message(c->parser)->minor == 0 ? "keep-alive" : NULL;
}

static void pump(struct connection *c);

/* The reply is in `out`: the connection is free for its next request. */
static void finish_request(struct connection *c)
{
    fastr_http_parser_reset(c->parser);
    c->request.data = NULL;
    c->request.started_us = 0;
    enter(c, IDLE);
}

/* Writes the head of a reply to what `c` is at, with the fields of every reply. */
static int write_head(struct connection *c, struct fastr_http_head *head, struct fastr_err *err)
{
    struct fastr_http_handler *handler = &c->server->handler;
    struct fastr_http_field common[FASTR_HTTP_COMMON];
    const struct fastr_http_request *request = c->state < BODY ? NULL : &c->request;
    head->common = common;
    head->common_count = handler->fields ? handler->fields(handler->data, request, common) : 0;
    return fastr_http_head_write(head, &c->out, err);
}

/* A problem document of the server's own, and the end: after it nothing can be framed. */
static void refuse(struct connection *c, int status, const char *reason)
{
    struct fastr_buffer body = {0};
    char label[32];
    fastr_problem_write(&body, fastr_problem_of_status(status), reason);
    const char *id = c->state < BODY ? NULL : fastr_http_request_header(&c->request, "x-request-id", NULL);
    struct fastr_http_field fields[] = {{"Content-Type", "application/problem+json"}, {"X-Request-Id", id}};
    struct fastr_http_head head = {.status = status, .fields = fields, .count = id ? 2 : 1, .length = body.length,
                                   .connection = "close"};
    write_head(c, &head, NULL);
    fastr_buffer_add(&c->out, body.data, body.length);
    fastr_buffer_free(&body);
    c->closing = c->linger = true;
    finish_request(c);
    snprintf(label, sizeof label, "status=\"%d\"", status);
    fastr_metric_add(fastr_counter("fastr_requests_malformed_total", label, "Requests that HTTP itself refused."), 1);
}

/* RFC 9110 §10.1.1: asked for, no byte of the body here, and neither the route nor the limits refuse it. */
static void maybe_continue(struct connection *c, bool body_has_begun)
{
    size_t used;
    const struct fastr_http_message *message = fastr_http_parser_message(c->parser);
    if (!message->expects_continue || body_has_begun) return;
    if (fastr_http_parser_feed(c->parser, NULL, 0, &used) == FASTR_HTTP_MORE)
        fastr_buffer_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

static void head_arrived(struct connection *c, bool body_has_begun)
{
    struct fastr_http_handler *handler = &c->server->handler;
    enter(c, BODY);
    c->request.started_us = c->request.started_us ? c->request.started_us : fastr_clock_us();
    if (handler->on_head) handler->on_head(handler->data, &c->request);
    if (c->state == BODY) maybe_continue(c, body_has_begun);
}

static void request_arrived(struct connection *c)
{
    struct fastr_http_handler *handler = &c->server->handler;
    enter(c, HANDLING);
    handler->on_request(handler->data, &c->request);
}

/* May the parser be fed? */
static bool wants(const struct connection *c)
{
    return c->state <= BODY && !c->closing && unsent(c) <= c->server->limits.output_bytes;
}

/* Feeds bytes until a request is with the handler, or they are used up. Returns how many were used. */
static size_t consume(struct connection *c, const char *bytes, size_t length)
{
    size_t used = 0;
    c->processing = true;
    while (wants(c) && (used < length || c->state == BODY)) {
        size_t took;
        enum fastr_http_state state = fastr_http_parser_feed(c->parser, bytes + used, length - used, &took);
        used += took;
        if (state == FASTR_HTTP_ERROR)
            refuse(c, fastr_http_parser_status(c->parser), fastr_http_parser_reason(c->parser));
        if (state == FASTR_HTTP_HEAD) head_arrived(c, used < length);
        if (state == FASTR_HTTP_DONE) request_arrived(c);
        if (state == FASTR_HTTP_MORE) break;
    }
    if (c->state == IDLE && !fastr_http_parser_fresh(c->parser)) {
        enter(c, HEAD);
        c->request.started_us = fastr_clock_us();
    }
    c->processing = false;
    return used;
}

/* ---- between events --------------------------------------------------------------------------------------------- */

static bool consume_kept(struct connection *c)
{
    size_t left = c->kept.length - c->kept_at;
    if (left == 0 || !wants(c)) return false;
    c->kept_at += consume(c, c->kept.data + c->kept_at, left);
    if (c->kept_at == c->kept.length) clear_buffer(&c->kept, &c->kept_at);
    return true;
}

static enum timer timer_of(const struct connection *c)
{
    static const enum timer timers[] = {[IDLE] = T_IDLE, [HEAD] = T_HEADER, [BODY] = T_BODY, [LINGERING] = T_LINGER};
    if (unsent(c)) return T_WRITE;
    return c->state <= BODY || c->state == LINGERING ? timers[c->state] : T_NONE;
}

/* After anything happened: takes what was kept, sends, and settles into waiting. May free the connection. */
static void pump(struct connection *c)
{
    do flush_with(c, NULL, 0);
    while (!c->broken && consume_kept(c));
    if (c->state == DOOMED) return;
    if (c->broken) {
        lose(c);
        return;
    }
    if (c->closing && c->state <= BODY && unsent(c) == 0) {
        begin_close(c);
        return;
    }
    arm_writable(c, unsent(c) > 0);
    pause_reading(c, c->kept.length - c->kept_at >= c->server->limits.pipeline_bytes);
    set_timer(c, timer_of(c));
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

/* The client has closed its side. Whoever waits for an answer has left; one that is being sent is sent. */
static void client_left(struct connection *c)
{
    if (c->state > BODY || unsent(c) == 0) {
        lose(c);
        return;
    }
    pause_reading(c, true);
    c->closing = true;
    c->linger = false;
}

static void throw_away(struct connection *c, size_t length)
{
    c->thrown += length;
    if (c->thrown > LINGER_BYTES) lose(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    char *input = c->server->input;
    ssize_t got = read(fd, input, INPUT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (got < 0) c->broken = true;
    if (got < 0) lose(c);
    else if (got == 0) client_left(c);
    else if (c->state == LINGERING) throw_away(c, (size_t)got);
    else if (c->state != STREAMING) {
        size_t used = c->kept.length ? 0 : consume(c, input, (size_t)got);
        if (used < (size_t)got && !c->closing) fastr_buffer_add(&c->kept, input + used, (size_t)got - used);
        pump(c);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    pump(arg);
}

static void timed_out(struct connection *c)
{
    if (c->state != HEAD && c->state != BODY) {
        lose(c);
        return;
    }
    refuse(c, 408, c->state == HEAD ? "the headers took too long" : "the body took too long");
    pump(c);
}

static void look_at_paused(struct fastr_http_server *server)
{
    for (struct connection *c = server->connections, *next; c && server->paused; c = next) {
        struct pollfd look = {.fd = c->fd, .events = POLLRDHUP};
        next = c->all.next;
        if (c->paused && c->state == HANDLING && poll(&look, 1, 0) == 1) client_left(c);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct fastr_http_server *server = arg;
    uint64_t now = now_ms();
    for (int timer = T_NONE + 1; timer < TIMERS; timer++)
        while (server->timers[timer].first && server->timers[timer].first->due <= now)
            timed_out(server->timers[timer].first);
    look_at_paused(server);
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static void start_tick(struct fastr_http_server *server)
{
    struct timeval every = {0, TICK_MS * 1000};
    event_add(&server->tick, &every);
}

static void link_connection(struct connection *c)
{
    struct fastr_http_server *server = c->server;
    c->all.next = server->connections;
    if (server->connections) server->connections->all.previous = c;
    server->connections = c;
    if (server->count++ == 0) start_tick(server);
    fastr_metric_add(server->gauge, 1);
}

void fastr_http_server_adopt(struct fastr_http_server *server, int fd)
{
    struct connection *c = fastr_zalloc(sizeof *c);
    evutil_make_socket_nonblocking(fd);
    c->server = server;
    c->fd = fd;
    c->parser = fastr_http_parser_new(&server->limits.message);
    c->request.connection = c->stream.connection = c;
    event_assign(&c->readable, server->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, server->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    event_add(&c->readable, NULL);
    link_connection(c);
    set_timer(c, T_HEADER); /* its first byte is due soon; later ones may take idle_ms */
}

static bool drop_idlest(struct fastr_http_server *server)
{
    struct connection *idlest = server->timers[T_IDLE].first;
    if (idlest) lose(idlest);
    return idlest != NULL;
}

/* Room for one more: the connection idle longest makes it. */
static bool make_room(struct fastr_http_server *server)
{
    return server->count < server->limits.connections || drop_idlest(server);
}

/* No descriptor is left: the connection idle longest gives its own, else accepting rests, or the loop would spin on a
 * listener that stays readable. A connection that ends wakes it, too. */
static void rest(struct fastr_http_server *server)
{
    if (!server->starved)
        fastr_log(FASTR_WARN, "no descriptor for another connection: clients wait (raise ulimit -n)");
    server->starved = true;
    struct timeval pause = {0, REST_MS * 1000};
    set_listening(server, false);
    event_add(&server->rest, &pause);
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
    struct fastr_http_server *server = arg;
    if (!server->draining) set_listening(server, true);
}

static bool is_starved(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void take_in(struct fastr_http_server *server, int fd)
{
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fastr_http_server_adopt(server, fd);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = arg;
    struct fastr_http_server *server = listener->server;
    for (int i = 0; i < ACCEPTS && server->listening; i++) {
        if (i > 0 && server->count >= server->limits.connections) return; /* perhaps nobody else waits */
        if (!make_room(server)) {
            set_listening(server, false); /* until a connection ends or is idle */
            return;
        }
        int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted < 0 && is_starved(errno)) {
            if (!drop_idlest(server)) rest(server);
            return;
        }
        if (accepted < 0) return;
        server->starved = false;
        take_in(server, accepted);
    }
}

void fastr_http_server_accept(struct fastr_http_server *server, int listen_fd)
{
    int fd;
    while (make_room(server) && (fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        take_in(server, fd);
}

void fastr_http_server_add_listener(struct fastr_http_server *server, int listen_fd)
{
    for (struct listener *listener = server->listeners; listener; listener = listener->next)
        if (listener->fd == listen_fd) return;
    struct listener *listener = fastr_zalloc(sizeof *listener);
    evutil_make_socket_nonblocking(listen_fd);
    listener->server = server;
    listener->fd = listen_fd;
    listener->next = server->listeners;
    server->listeners = listener;
    event_assign(&listener->acceptable, server->base, listen_fd, EV_READ | EV_PERSIST, on_acceptable, listener);
    if (server->listening) event_add(&listener->acceptable, NULL);
}

void fastr_http_server_remove_listener(struct fastr_http_server *server, int listen_fd)
{
    for (struct listener **at = &server->listeners; *at; at = &(*at)->next) {
        struct listener *listener = *at;
        if (listener->fd != listen_fd) continue;
        event_del(&listener->acceptable);
        *at = listener->next;
        free(listener);
        return;
    }
}

/* ---- the server ------------------------------------------------------------------------------------------------- */

static void set_default(uint32_t *value, uint32_t otherwise)
{
    if (*value == 0) *value = otherwise;
}

static void set_limits(struct fastr_http_server *server, const struct fastr_http_limits *given)
{
    struct fastr_http_limits *limits = &server->limits;
    if (given) *limits = *given;
    if (limits->connections <= 0) limits->connections = 4096;
    if (!limits->pipeline_bytes) limits->pipeline_bytes = 65536;
    if (!limits->output_bytes) limits->output_bytes = 262144;
    if (!limits->stream_bytes) limits->stream_bytes = 262144;
    set_default(&limits->header_ms, 10000);
    set_default(&limits->body_ms, 30000);
    set_default(&limits->idle_ms, 75000);
    set_default(&limits->write_ms, 15000);
    set_default(&limits->drain_ms, 500);
    server->wait_ms[T_IDLE] = limits->idle_ms;
    server->wait_ms[T_HEADER] = limits->header_ms;
    server->wait_ms[T_BODY] = limits->body_ms;
    server->wait_ms[T_WRITE] = limits->write_ms;
    server->wait_ms[T_LINGER] = LINGER_MS;
}

struct fastr_http_server *fastr_http_server_new(struct event_base *base, int listen_fd,
                                                const struct fastr_http_limits *limits,
                                                const struct fastr_http_handler *handler)
{
    struct fastr_http_server *server = fastr_zalloc(sizeof *server);
    server->base = base;
    server->handler = *handler;
    server->listening = true;
    server->gauge = fastr_gauge("fastr_connections", "", "Open client connections.");
    set_limits(server, limits);
    event_assign(&server->tick, base, -1, EV_PERSIST, on_tick, server);
    event_assign(&server->reap, base, -1, 0, on_reap, server);
    event_assign(&server->rest, base, -1, 0, on_rested, server);
    fastr_http_server_add_listener(server, listen_fd);
    return server;
}

void fastr_http_server_drain(struct fastr_http_server *server)
{
    if (server->draining) return;
    server->draining = true;
    set_listening(server, false);
    server->wait_ms[T_IDLE] = server->limits.drain_ms;
    for (struct connection *c = server->connections; c; c = c->all.next) {
        c->restart = true;
        if (c->state == IDLE && unsent(c) == 0) set_timer(c, T_IDLE);
    }
}

int fastr_http_server_busy(const struct fastr_http_server *server)
{
    int busy = 0;
    for (const struct connection *c = server->connections; c; c = c->all.next)
        busy += (c->state != IDLE && c->state < LINGERING) || unsent(c) > 0;
    return busy;
}

int fastr_http_server_connections(const struct fastr_http_server *server)
{
    return server->count;
}

void fastr_http_server_free(struct fastr_http_server *server)
{
    if (!server) return;
    server->draining = true;
    set_listening(server, false);
    event_del(&server->reap);
    event_del(&server->rest);
    while (server->connections) lose(server->connections);
    while (server->listeners) fastr_http_server_remove_listener(server, server->listeners->fd);
    event_del(&server->tick);
    free(server);
}

/* ---- a request's accessors -------------------------------------------------------------------------------------- */

const struct fastr_http_message *fastr_http_request_message(const struct fastr_http_request *request)
{
    return fastr_http_parser_message(request->connection->parser);
}

const char *fastr_http_request_header(const struct fastr_http_request *request, const char *name, size_t *length)
{
    return fastr_http_message_header(fastr_http_request_message(request), name, length);
}

const char *fastr_http_request_body(const struct fastr_http_request *request, size_t *length)
{
    const struct fastr_http_message *message = fastr_http_request_message(request);
    if (length) *length = message->body_length;
    return message->body ? message->body : "";
}

const char *fastr_http_request_peer(struct fastr_http_request *request)
{
    struct connection *c = request->connection;
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (c->peer[0]) return c->peer;
    getpeername(c->fd, (struct sockaddr *)&address, &size);
    const void *bytes = address.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                                                      : (const void *)&((struct sockaddr_in *)&address)->sin_addr;
    if ((address.ss_family != AF_INET && address.ss_family != AF_INET6) ||
        !inet_ntop(address.ss_family, bytes, c->peer, sizeof c->peer))
        strcpy(c->peer, "unix");
    return c->peer;
}

uint64_t fastr_http_request_started_us(const struct fastr_http_request *request)
{
    return request->started_us;
}

void *fastr_http_request_data(const struct fastr_http_request *request)
{
    return request->data;
}

void fastr_http_request_set_data(struct fastr_http_request *request, void *data)
{
    request->data = data;
}

bool fastr_http_request_limit_body(struct fastr_http_request *request, size_t bytes)
{
    struct connection *c = request->connection;
    if (fastr_http_parser_limit_body(c->parser, bytes) == 0) return true;
    refuse(c, fastr_http_parser_status(c->parser), fastr_http_parser_reason(c->parser));
    return false;
}

/* ---- replying --------------------------------------------------------------------------------------------------- */

static bool is_head(const struct connection *c)
{
    return strcmp(fastr_http_parser_message(c->parser)->method.text, "HEAD") == 0;
}

/* A reply is owed in BODY (from on_head) and HANDLING only. */
static int check_owed(const struct connection *c, struct fastr_err *err)
{
    if (c->state == BODY || c->state == HANDLING) return 0;
    return fastr_fail(err, "closed", "this request has been answered, or its client has left");
}

int fastr_http_reply(struct fastr_http_request *request, int status, const struct fastr_http_field *fields,
                     size_t count, const void *body, size_t length, struct fastr_err *err)
{
    struct connection *c = request->connection;
    bool was_closing = c->closing, was_lingering = c->linger;
    if (check_owed(c, err)) return -1;
    decide_close(c);
    struct fastr_http_head head = {.status = status, .fields = fields, .count = count, .length = length,
                                   .connection = connection_option(c)};
    if (write_head(c, &head, err)) {
        c->closing = was_closing;
        c->linger = was_lingering;
        return -1;
    }
    if (is_head(c) || !fastr_http_has_body(status)) length = 0;
    bool apart = length > COPY_BYTES && !c->processing;
    if (length && !apart) fastr_buffer_add(&c->out, body, length);
    finish_request(c);
    if (apart) flush_with(c, body, length);
    if (!c->processing) pump(c);
    return 0;
}

/* ---- streams ---------------------------------------------------------------------------------------------------- */

/* After bytes were added to a stream. */
static void flush_stream(struct connection *c)
{
    flush_with(c, NULL, 0);
    if (c->broken || unsent(c) > c->server->limits.stream_bytes) {
        doom(c);
        return;
    }
    arm_writable(c, unsent(c) > 0);
    set_timer(c, timer_of(c));
}

struct fastr_http_stream *fastr_http_reply_stream(struct fastr_http_request *request, int status,
                                                  const struct fastr_http_field *fields, size_t count,
                                                  void (*on_close)(void *data), void *data, struct fastr_err *err)
{
    struct connection *c = request->connection;
    bool chunked = fastr_http_parser_message(c->parser)->minor == 1, headless = is_head(c);
    struct fastr_http_head head = {.status = status, .fields = fields, .count = count, .connection = "close",
                                   .framing = chunked ? FASTR_HTTP_CHUNKED : FASTR_HTTP_UNTIL_CLOSE};
    if (check_owed(c, err) || write_head(c, &head, err)) return NULL;
    finish_request(c);
    enter(c, STREAMING);
    c->closing = c->linger = true;
    c->stream = (struct fastr_http_stream){c, on_close, data, chunked};
    flush_stream(c);
    if (headless) doom(c);
    return &c->stream;
}

void fastr_http_stream_write(struct fastr_http_stream *stream, const void *bytes, size_t length)
{
    struct connection *c = stream->connection;
    if (length == 0 || c->state != STREAMING) return;
    if (stream->chunked) fastr_buffer_format(&c->out, "%zx\r\n", length);
    fastr_buffer_add(&c->out, bytes, length);
    if (stream->chunked) fastr_buffer_add(&c->out, "\r\n", 2);
    flush_stream(c);
}

void fastr_http_stream_end(struct fastr_http_stream *stream)
{
    struct connection *c = stream->connection;
    stream->on_close = NULL;
    if (c->state != STREAMING) return;
    if (stream->chunked) fastr_buffer_text(&c->out, "0\r\n\r\n");
    enter(c, IDLE);
    if (!c->processing) pump(c);
}
