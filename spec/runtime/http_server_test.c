/* http_server_test.c: the server over real loopback sockets: order, HEAD, 100-continue, time-outs, limits, clients that
 * leave, draining, streams. The loop and its clients share this thread; every wait has a deadline. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/cors.h"
#include "runtime/http_server.h"

enum { DEADLINE_MS = 5000, WAITING = 16 };

static struct event_base *base;
static struct fastr_http_server *server;
static int listener, port;

/* What the handler saw. */
static struct fastr_http_request *waiting[WAITING];
static int waiting_count, gone_count, closed_count;
static struct fastr_http_stream *stream;
static struct fastr_err last_error;

/* ---- handler ---------------------------------------------------------------------------------------------------- */

static bool path_is(struct fastr_http_request *request, const char *path)
{
    const struct fastr_http_message *message = fastr_http_request_message(request);
    return message->path.length == strlen(path) && memcmp(message->path.text, path, message->path.length) == 0;
}

/* "METHOD target body" */
static void echo(struct fastr_http_request *request)
{
    const struct fastr_http_message *message = fastr_http_request_message(request);
    struct fastr_buffer body = {0};
    struct fastr_http_field type = {"Content-Type", "text/plain"};
    fastr_buffer_format(&body, "%s %s ", message->method.text, message->target.text);
    fastr_buffer_add(&body, message->body, message->body_length);
    assert_int_equal(fastr_http_reply(request, 200, &type, 1, body.data, body.length, NULL), 0);
    fastr_buffer_free(&body);
}

static void on_stream_close(void *data)
{
    closed_count++;
    stream = NULL;
}

static void open_stream(struct fastr_http_request *request)
{
    struct fastr_http_field type = {"Content-Type", "text/event-stream"};
    stream = fastr_http_reply_stream(request, 200, &type, 1, on_stream_close, NULL, NULL);
    fastr_http_stream_write(stream, "first", 5);
}

static void on_head(void *data, struct fastr_http_request *request)
{
    if (path_is(request, "/early")) fastr_http_reply(request, 403, NULL, 0, "no", 2, NULL);
    if (path_is(request, "/small")) fastr_http_request_limit_body(request, 4);
    if (path_is(request, "/large")) fastr_http_request_limit_body(request, 1000000);
}

static void on_request(void *data, struct fastr_http_request *request)
{
    static char big[3000000];
    if (path_is(request, "/later")) waiting[waiting_count++] = request;
    else if (path_is(request, "/stream")) open_stream(request);
    else if (path_is(request, "/empty")) fastr_http_reply(request, 204, NULL, 0, NULL, 0, NULL);
    else if (path_is(request, "/big")) {
        memset(big, 'x', sizeof big);
        fastr_http_reply(request, 200, NULL, 0, big, sizeof big, NULL);
    } else echo(request);
}

static void on_gone(void *data, struct fastr_http_request *request)
{
    assert_int_equal(fastr_http_reply(request, 200, NULL, 0, NULL, 0, &last_error), -1);
    gone_count++;
}

/* ---- harness ---------------------------------------------------------------------------------------------------- */

static const struct fastr_http_limits LIMITS = {
    .message = {.line_bytes = 200, .header_bytes = 1000, .headers = 10, .body_bytes = 64},
    .header_ms = 100, .body_ms = 100, .idle_ms = 60000, .write_ms = 200, .drain_ms = 60,
    .pipeline_bytes = 2000, .output_bytes = 100000, .stream_bytes = 400000,
};

static void start(const struct fastr_http_limits *limits)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const struct fastr_http_handler handler = {.on_head = on_head, .on_request = on_request, .on_gone = on_gone,
                                               .fields = fastr_cors_fields};
    setenv("FASTR_CORS_ORIGINS", "https://shop.example;http://localhost:*", 1);
    base = event_base_new();
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 64), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    port = ntohs(address.sin_port);
    server = fastr_http_server_new(base, listener, limits, &handler);
    waiting_count = gone_count = closed_count = 0;
    stream = NULL;
}

static void stop(void)
{
    fastr_http_server_free(server);
    event_base_free(base);
    close(listener);
}

static int setup(void **state)
{
    start(&LIMITS);
    return 0;
}

static int teardown(void **state)
{
    stop();
    return 0;
}

static int dial(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Lets the loop run for a moment. */
static void turn(void)
{
    struct timeval moment = {0, 2000};
    event_base_loopexit(base, &moment);
    event_base_dispatch(base);
}

static void check_deadline(uint64_t began, const char *condition)
{
    if (fastr_clock_us() - began > DEADLINE_MS * 1000ull) fail_msg("never: %s", condition);
}

/* Turns the loop, and runs the statement that follows, until the condition holds. */
#define UNTIL(condition) \
    for (uint64_t began = fastr_clock_us(); !(condition); check_deadline(began, #condition), turn())

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* One read if there is something: 1 read, 0 nothing yet, -1 closed. */
static int hear_some(int fd, struct fastr_buffer *heard)
{
    char *room = fastr_buffer_reserve(heard, 65536);
    ssize_t got = recv(fd, room, 65536, MSG_DONTWAIT);
    if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : -1;
    heard->length += (size_t)got;
    heard->data[heard->length] = '\0';
    return 1;
}

/* Reads until `text` has come. The caller frees. */
static char *hear(int fd, const char *text)
{
    struct fastr_buffer heard = {0};
    fastr_buffer_text(&heard, "");
    UNTIL(strstr(heard.data, text)) {
        if (hear_some(fd, &heard) < 0 && !strstr(heard.data, text))
            fail_msg("closed before \"%s\" came; heard:\n%s", text, heard.data);
    }
    return heard.data;
}

/* Reads until the server closes. The caller frees. */
static char *hear_all(int fd)
{
    struct fastr_buffer heard = {0};
    fastr_buffer_text(&heard, "");
    int got = 0;
    UNTIL(got < 0) got = hear_some(fd, &heard);
    return heard.data;
}

static void expect_in(const char *heard, const char *text)
{
    if (!strstr(heard, text)) fail_msg("no \"%s\" in:\n%s", text, heard);
}

static void expect_not_in(const char *heard, const char *text)
{
    if (strstr(heard, text)) fail_msg("unexpected \"%s\" in:\n%s", text, heard);
}

/* Sends, and checks that the last thing heard has each of the texts. */
static void expect_reply(int fd, const char *request, const char *text)
{
    say(fd, request);
    free(hear(fd, text));
}

#define HOST "Host: shop\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static void keeps_a_connection_alive(void **state)
{
    int fd = dial();
    say(fd, GET("/a"));
    char *heard = hear(fd, "GET /a ");
    assert_int_equal(strncmp(heard, "HTTP/1.1 200 OK\r\nDate: ", 23), 0);
    expect_in(heard, "\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nGET /a ");
    expect_not_in(heard, "Connection");
    free(heard);
    expect_reply(fd, GET("/b"), "GET /b ");
    assert_int_equal(fastr_http_server_connections(server), 1);
    assert_int_equal(fastr_http_server_busy(server), 0);
    close(fd);
    UNTIL(fastr_http_server_connections(server) == 0);
}

static void closes_when_asked(void **state)
{
    int fd = dial();
    say(fd, "GET /a HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    char *heard = hear_all(fd);
    expect_in(heard, "\r\nConnection: close\r\n\r\nGET /a ");
    free(heard);
    close(fd);
    fd = dial();
    say(fd, "GET /b HTTP/1.0\r\n\r\n");
    heard = hear_all(fd);
    expect_in(heard, "\r\nConnection: close\r\n\r\nGET /b ");
    free(heard);
    close(fd);
    fd = dial();
    expect_reply(fd, "GET /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Connection: keep-alive\r\n\r\nGET /c ");
    expect_reply(fd, GET("/d"), "GET /d ");
    close(fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
    int fd = dial();
    say(fd, GET("/later?1") GET("/2") "POST /3 HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nok");
    say(fd, GET("/later?4") GET("/5"));
    UNTIL(waiting_count == 1);
    for (int i = 0; i < 5; i++) turn();
    assert_int_equal(waiting_count, 1); /* the next is not begun before the first is answered */
    echo(waiting[0]);
    UNTIL(waiting_count == 2);
    echo(waiting[1]);
    char *heard = hear(fd, "GET /5 ");
    const char *at = heard;
    const char *const order[] = {"GET /later?1 ", "GET /2 ", "POST /3 ok", "GET /later?4 ", "GET /5 "};
    for (int i = 0; i < 5; i++) {
        at = strstr(at, order[i]);
        if (!at) fail_msg("%s is missing or late in:\n%s", order[i], heard);
    }
    free(heard);
    close(fd);
}

static void stops_reading_a_client_that_sends_too_far_ahead(void **state)
{
    int fd = dial();
    say(fd, GET("/later"));
    UNTIL(waiting_count == 1);
    size_t sent = 0;
    int idle = 0;
    while (sent < 64u << 20 && idle < 20) { /* until the sockets' buffers are full */
        ssize_t n = send(fd, GET("/x"), strlen(GET("/x")), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        idle = n > 0 ? 0 : idle + 1;
        if (n < 0) turn();
    }
    assert_true(sent < 64u << 20);
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd); /* its reset is noticed although nothing is read */
    UNTIL(gone_count == 1);
    fd = dial();
    say(fd, GET("/later"));
    UNTIL(waiting_count == 2);
    for (int i = 0; i < 100; i++) say(fd, GET("/x"));
    close(fd); /* so is its leaving */
    UNTIL(gone_count == 2);
    UNTIL(fastr_http_server_connections(server) == 0);
}

static void answers_a_byte_at_a_time(void **state)
{
    const char *text = "POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n1;e=1\r\nd\r\n0\r\n\r\n" GET("/y");
    int fd = dial();
    for (const char *p = text; *p; p++) {
        assert_int_equal(send(fd, p, 1, 0), 1);
        if (p[0] == '\n') turn();
    }
    char *heard = hear(fd, "GET /y ");
    expect_in(heard, "POST /x abcd");
    free(heard);
    close(fd);
}

static void gives_head_no_body(void **state)
{
    int fd = dial();
    say(fd, "HEAD /a HTTP/1.1\r\n" HOST "\r\n" GET("/b"));
    char *heard = hear(fd, "GET /b ");
    expect_in(heard, "Content-Length: 8\r\n\r\nHTTP/1.1 200 OK");
    expect_not_in(heard, "HEAD /a");
    free(heard);
    say(fd, GET("/empty") GET("/c"));
    heard = hear(fd, "GET /c ");
    expect_in(heard, "HTTP/1.1 204 No Content\r\nDate: ");
    const char *next = strstr(heard, "\r\n\r\n");
    assert_int_equal(strncmp(next, "\r\n\r\nHTTP/1.1 200", 16), 0);
    assert_true(strstr(heard, "Content-Length") > next);
    free(heard);
    close(fd);
}

static void says_continue_before_a_body(void **state)
{
    int fd = dial();
    expect_reply(fd, "POST /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
                 "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "abc");
    char *heard = hear(fd, "POST /a abc");
    assert_int_equal(strncmp(heard, "HTTP/1.1 200", 12), 0);
    free(heard);
    say(fd, "POST /b HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx");
    heard = hear(fd, "POST /b x");
    expect_not_in(heard, "100 Continue"); /* the body is already there */
    free(heard);
    close(fd);
}

/* The final error comes instead of 100 Continue. */
static void refuses_before_a_body(void **state)
{
    static const char *const examples[][2] = {
        {"POST /early HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 403 Forbidden"},
        {"POST /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 65\r\n\r\n", "HTTP/1.1 413 Content Too"},
        {"POST /small HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 413 Content"},
        {"POST /a HTTP/1.1\r\n" HOST "Expect: 200-maybe\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 417 Expectation"},
        {"POST /early HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "HTTP/1.1 403 Forbidden"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        int fd = dial();
        say(fd, examples[i][0]);
        char *heard = hear_all(fd);
        assert_int_equal(strncmp(heard, examples[i][1], strlen(examples[i][1])), 0);
        expect_in(heard, "\r\nConnection: close\r\n");
        expect_not_in(heard, "100 Continue");
        free(heard);
        close(fd);
    }
    int fd = dial(); /* without a body the connection goes on */
    expect_reply(fd, GET("/early"), "\r\n\r\nno");
    expect_reply(fd, GET("/next"), "GET /next ");
    close(fd);
}

static void takes_a_larger_body_where_a_route_allows_it(void **state)
{
    int fd = dial();
    struct fastr_buffer body = {0};
    fastr_buffer_text(&body, "POST /large HTTP/1.1\r\n" HOST "Content-Length: 500000\r\n\r\n");
    size_t head = body.length;
    memset(fastr_buffer_reserve(&body, 500000), 'b', 500000);
    body.length += 500000;
    size_t sent = 0;
    UNTIL(sent == head + 500000) {
        ssize_t n = send(fd, body.data + sent, body.length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
    }
    free(hear(fd, "Content-Length: 500012\r\n"));
    fastr_buffer_free(&body);
    close(fd);
}

static void answers_errors_with_a_problem_document(void **state)
{
    static const char *const examples[][2] = {
        {"GET / HTTP/1.1\r\n\r\n", "{\"type\":\"/docs/problems#bad_request\",\"title\":\"The request cannot be understood\",\"status\":400,"
                                   "\"code\":\"bad_request\",\"detail\":\"no Host field\"}"},
        {"GET * HTTP/1.1\r\n" HOST "\r\n", "\"detail\":\"\\\"*\\\" is a target of OPTIONS only\"}"},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "\"status\":400"},
        {"GET /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
         "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
         "\"code\":\"uri_too_long\""},
        {"GET / HTTP/1.1\r\n" HOST "A:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n",
         "\"code\":\"headers_too_large\""},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 65\r\n\r\n", "\"code\":\"body_too_large\""},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", "\"code\":\"not_implemented\""},
        {"GET / HTTP/3.0\r\n" HOST "\r\n", "\"code\":\"version_not_supported\""},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        int fd = dial();
        say(fd, examples[i][0]);
        char *heard = hear_all(fd);
        expect_in(heard, examples[i][1]);
        expect_in(heard, "\r\nContent-Type: application/problem+json\r\n");
        expect_in(heard, "\r\nConnection: close\r\n");
        free(heard);
        close(fd);
    }
}

/* A page of another origin can read what went wrong, if its origin is listed; nobody knows whose an unread head was. */
static void tells_pages_of_listed_origins_what_went_wrong(void **state)
{
    static const char ALLOW[] = "\r\nAccess-Control-Allow-Origin: ";
    static const struct {
        const char *request, *origin;
    } examples[] = {
        {"GET / HTTP/1.1\r\n" HOST "Origin: http://localhost:5173\r\nConnection: close\r\n\r\n", "http://localhost:5173"},
        {"GET / HTTP/1.1\r\n" HOST "Origin: https://shop.example\r\nConnection: close\r\n\r\n", "https://shop.example"},
        {"POST / HTTP/1.1\r\n" HOST "Origin: http://localhost\r\nContent-Length: 65\r\n\r\n", "http://localhost"},
        {"POST / HTTP/1.1\r\n" HOST "Origin: http://localhost:1\r\nContent-Length: 9\r\n\r\n", "http://localhost:1"},
        {"GET / HTTP/1.1\r\n" HOST "Origin: http://localhost:5173\r\nContent-Length: x\r\n\r\n", "*"},
        {"GET / HTTP/1.1\r\n" HOST "Origin: https://shop.example:8\r\nConnection: close\r\n\r\n", NULL},
        {"GET / HTTP/1.1\r\n" HOST "Origin: http://localhost:5173.evil\r\nConnection: close\r\n\r\n", NULL},
        {"POST / HTTP/1.1\r\n" HOST "Origin: http://localhost.evil\r\nContent-Length: 65\r\n\r\n", NULL},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", NULL},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        int fd = dial();
        say(fd, examples[i].request);
        char *heard = hear_all(fd), *allow = strstr(heard, ALLOW);
        if (!examples[i].origin) assert_null(allow);
        else {
            expect_in(heard, ALLOW);
            size_t length = strlen(examples[i].origin);
            assert_memory_equal(allow + strlen(ALLOW), examples[i].origin, length);
            assert_int_equal(allow[strlen(ALLOW) + length], '\r');
            expect_in(heard, "\r\nAccess-Control-Expose-Headers: ");
        }
        free(heard);
        close(fd);
    }
}

/* What follows a refused request is not served, whatever it looks like. */
static void serves_nothing_after_an_error(void **state)
{
    int fd = dial();
    say(fd, GET("/one") "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 37\r\n\r\n" GET("/smuggled"));
    char *heard = hear_all(fd);
    expect_in(heard, "GET /one ");
    expect_in(heard, "two Content-Length fields");
    expect_not_in(heard, "smuggled");
    free(heard);
    close(fd);
}

static void cuts_off_slow_clients(void **state)
{
    static const char *const examples[][2] = {
        {"GET / HT", "the headers took too long"},
        {"GET / HTTP/1.1\r\nA: b\r\n", "the headers took too long"},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab", "the body took too long"},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "the body took too long"},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        int fd = dial();
        say(fd, examples[i][0]);
        char *heard = hear_all(fd);
        assert_int_equal(strncmp(heard, "HTTP/1.1 408 Request Timeout\r\n", 30), 0);
        expect_in(heard, examples[i][1]);
        free(heard);
        close(fd);
    }
}

/* A byte now and then does not keep a head alive: its time is counted from its first byte. */
static void does_not_let_drips_extend_the_time(void **state)
{
    int fd = dial(), got = 0;
    struct fastr_buffer heard = {0};
    say(fd, "GET / HTTP/1.1\r\nA: ");
    UNTIL(got < 0) {
        send(fd, "b", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        got = hear_some(fd, &heard);
    }
    expect_in(heard.data, "408 Request Timeout");
    fastr_buffer_free(&heard);
    close(fd);
}

static void closes_idle_connections(void **state)
{
    stop();
    struct fastr_http_limits limits = LIMITS;
    limits.idle_ms = 80;
    start(&limits);
    int silent = dial(), idle = dial();
    expect_reply(idle, GET("/a"), "GET /a ");
    char *heard = hear_all(idle);
    assert_string_equal(heard, ""); /* without a word: there is no request to answer */
    free(heard);
    heard = hear_all(silent);
    assert_string_equal(heard, "");
    free(heard);
    close(silent);
    close(idle);
}

static void sends_large_replies_and_cuts_off_who_does_not_read(void **state)
{
    int fd = dial();
    struct fastr_buffer heard = {0};
    say(fd, GET("/big"));
    UNTIL(heard.length > 3000000) hear_some(fd, &heard);
    expect_in(heard.data, "Content-Length: 3000000\r\n");
    fastr_buffer_free(&heard);
    close(fd);

    fd = dial();
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(fd, GET("/big") GET("/big") GET("/later"));
    UNTIL(fastr_http_server_connections(server) > 0);
    UNTIL(fastr_http_server_connections(server) == 0);
    assert_int_equal(waiting_count, 0); /* nothing was taken up while so much was unsent */
    close(fd);
}

static void tells_when_a_client_left(void **state)
{
    int fd = dial();
    say(fd, GET("/later"));
    UNTIL(waiting_count == 1);
    assert_int_equal(fastr_http_server_busy(server), 1);
    close(fd);
    UNTIL(gone_count == 1);
    assert_string_equal(last_error.code, "closed");
    UNTIL(fastr_http_server_connections(server) == 0);

    fd = dial(); /* reset */
    say(fd, GET("/later"));
    UNTIL(waiting_count == 2);
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    UNTIL(gone_count == 2);
    fd = dial(); /* in the middle of a request: nobody to tell */
    say(fd, "GET / HT");
    UNTIL(fastr_http_server_connections(server) == 1);
    close(fd);
    UNTIL(fastr_http_server_connections(server) == 0);
    assert_int_equal(gone_count, 2);
}

static void drains(void **state)
{
    int idle = dial(), pending = dial(), late = dial(), half = dial();
    expect_reply(idle, GET("/a"), "GET /a ");
    expect_reply(late, GET("/a"), "GET /a ");
    say(pending, GET("/later"));
    say(half, "GET /half HT");
    UNTIL(waiting_count == 1 && fastr_http_server_busy(server) == 2);
    fastr_http_server_drain(server);
    fastr_http_server_drain(server);
    say(late, GET("/late")); /* was on its way */
    say(half, "TP/1.1\r\n" HOST "\r\n");
    char *heard = hear_all(late);
    expect_in(heard, "\r\nConnection: close\r\n\r\nGET /late ");
    free(heard);
    heard = hear_all(half);
    expect_in(heard, "\r\nConnection: close\r\n\r\nGET /half ");
    free(heard);
    heard = hear_all(idle);
    assert_string_equal(heard, "");
    free(heard);
    assert_int_equal(fastr_http_server_busy(server), 1);
    echo(waiting[0]);
    heard = hear_all(pending);
    expect_in(heard, "\r\nConnection: close\r\n\r\nGET /later ");
    free(heard);
    close(idle), close(pending), close(late), close(half);
    UNTIL(fastr_http_server_connections(server) == 0);
    int refused = dial(); /* waits in the backlog: nobody accepts */
    for (int i = 0; i < 10; i++) turn();
    assert_int_equal(fastr_http_server_connections(server), 0);
    close(refused);
}

static void bounds_connections(void **state)
{
    stop();
    struct fastr_http_limits limits = LIMITS;
    limits.connections = 2;
    start(&limits);
    int idle = dial(), busy = dial();
    expect_reply(idle, GET("/a"), "GET /a ");
    say(busy, GET("/later"));
    UNTIL(waiting_count == 1);
    int third = dial(); /* the idle one makes room */
    say(third, GET("/later"));
    UNTIL(waiting_count == 2);
    free(hear_all(idle));
    int fourth = dial(); /* waits until one is done */
    say(fourth, GET("/four"));
    for (int i = 0; i < 10; i++) turn();
    assert_int_equal(fastr_http_server_connections(server), 2);
    close(busy);
    free(hear(fourth, "GET /four "));
    close(idle), close(third), close(fourth);
}

/* From here on no descriptor can be made; returns the limit as it was. */
static rlim_t leave_no_descriptor(void)
{
    struct rlimit limit;
    int lowest = dup(listener);
    close(lowest);
    getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = (rlim_t)lowest;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

static int count_lines(FILE *file, const char *text)
{
    char line[1024];
    int count = 0;
    rewind(file);
    while (fgets(line, sizeof line, file)) count += strstr(line, text) != NULL;
    return count;
}

static void rests_without_a_descriptor_and_says_so_once(void **state)
{
    struct rlimit limit;
    FILE *log = tmpfile();
    int fd = dial(), stderr_before = dup(STDERR_FILENO), turns = 0;
    say(fd, GET("/one"));
    dup2(fileno(log), STDERR_FILENO);
    rlim_t before = leave_no_descriptor();
    for (uint64_t began = fastr_clock_us(); fastr_clock_us() - began < 350000; turns++) event_base_loop(base, EVLOOP_ONCE);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_NOFILE, &limit);
    dup2(stderr_before, STDERR_FILENO);
    assert_in_range(turns, 1, 30);
    assert_int_equal(count_lines(log, "no descriptor"), 1);
    free(hear(fd, "GET /one "));
    fclose(log);
    close(stderr_before), close(fd);
}

static void gives_an_idle_connections_descriptor_to_a_new_one(void **state)
{
    struct rlimit limit;
    int idle = dial();
    expect_reply(idle, GET("/a"), "GET /a ");
    int fd = dial();
    say(fd, GET("/one"));
    rlim_t before = leave_no_descriptor();
    free(hear(fd, "GET /one "));
    free(hear_all(idle));
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = before;
    setrlimit(RLIMIT_NOFILE, &limit);
    close(idle), close(fd);
}

static void accepts_for_a_sibling(void **state)
{
    int own = port, sibling = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    assert_int_equal(bind(sibling, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(sibling, 8), 0);
    getsockname(sibling, (struct sockaddr *)&address, &size);
    port = ntohs(address.sin_port);
    fastr_http_server_add_listener(server, sibling);
    fastr_http_server_add_listener(server, sibling);
    int fd = dial();
    expect_reply(fd, GET("/a"), "GET /a ");
    fastr_http_server_remove_listener(server, sibling);
    fastr_http_server_remove_listener(server, sibling);
    int unserved = dial();
    say(unserved, GET("/b"));
    for (int i = 0; i < 10; i++) turn();
    assert_int_equal(fastr_http_server_connections(server), 1);
    port = own;
    close(fd), close(unserved), close(sibling);
}

static void refuses_replies_that_would_split(void **state)
{
    static const struct fastr_http_field bad[] = {
        {"X", "a\r\nSet-Cookie: b"}, {"X", "a\n"}, {"X Y", "a"}, {"", "a"}, {"X:", "a"},
        {"Content-Length", "3"}, {"transfer-encoding", "chunked"}, {"Connection", "close"}, {"date", "x"},
    };
    int fd = dial();
    struct fastr_err err;
    say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    UNTIL(waiting_count == 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(fastr_http_reply(waiting[0], 200, &bad[i], 1, "x", 1, &err), -1);
        assert_string_equal(err.code, "invalid");
    }
    assert_int_equal(fastr_http_reply(waiting[0], 100, NULL, 0, NULL, 0, &err), -1);
    assert_int_equal(fastr_http_reply(waiting[0], 600, NULL, 0, NULL, 0, &err), -1);
    assert_string_equal(fastr_http_request_peer(waiting[0]), "127.0.0.1");
    echo(waiting[0]);
    char *heard = hear(fd, "GET /later ");
    assert_int_equal(strncmp(heard, "HTTP/1.1 200 OK\r\n", 17), 0);
    expect_not_in(heard, "Connection");
    free(heard);
    close(fd);
}

static void streams(void **state)
{
    int fd = dial();
    say(fd, GET("/stream"));
    char *heard = hear(fd, "5\r\nfirst\r\n");
    expect_in(heard, "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nfirst\r\n");
    expect_not_in(heard, "Content-Length");
    free(heard);
    fastr_http_stream_write(stream, "", 0);
    fastr_http_stream_write(stream, "a longer piece here", 19);
    fastr_http_stream_end(stream);
    heard = hear_all(fd);
    assert_string_equal(heard, "13\r\na longer piece here\r\n0\r\n\r\n");
    free(heard);
    close(fd);
    fd = dial();
    say(fd, "GET /stream HTTP/1.0\r\n\r\n");
    heard = hear(fd, "\r\n\r\nfirst");
    expect_not_in(heard, "Transfer-Encoding");
    free(heard);
    assert_int_equal(closed_count, 0);
    close(fd);
    UNTIL(closed_count == 1);
    fd = dial();
    say(fd, "HEAD /stream HTTP/1.1\r\n" HOST "\r\n");
    heard = hear_all(fd);
    expect_not_in(heard, "first\r\n0");
    free(heard);
    UNTIL(closed_count == 2);
    close(fd);
}

static void cuts_off_a_streams_slow_reader(void **state)
{
    int fd = dial();
    say(fd, GET("/stream"));
    UNTIL(stream != NULL);
    char piece[10000];
    memset(piece, 'p', sizeof piece);
    for (int i = 0; i < 2000 && closed_count == 0; i++) {
        struct fastr_http_stream *same = stream;
        for (int j = 0; j < 10; j++) fastr_http_stream_write(same, piece, sizeof piece); /* valid until the next turn */
        turn();
    }
    assert_int_equal(closed_count, 1);
    assert_int_equal(fastr_http_server_connections(server), 0);
    close(fd);
}

/* One end of a socketpair, as an accepted connection. */
static void adopts_a_socket(void **state)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fastr_http_server_adopt(server, pair[0]);
    say(pair[1], GET("/later"));
    UNTIL(waiting_count == 1);
    assert_string_equal(fastr_http_request_peer(waiting[0]), "unix");
    echo(waiting[0]);
    free(hear(pair[1], "GET /later "));
    close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keeps_a_connection_alive),
        TEST(closes_when_asked),
        TEST(answers_pipelined_requests_in_order),
        TEST(stops_reading_a_client_that_sends_too_far_ahead),
        TEST(answers_a_byte_at_a_time),
        TEST(gives_head_no_body),
        TEST(says_continue_before_a_body),
        TEST(refuses_before_a_body),
        TEST(takes_a_larger_body_where_a_route_allows_it),
        TEST(answers_errors_with_a_problem_document),
        TEST(tells_pages_of_listed_origins_what_went_wrong),
        TEST(serves_nothing_after_an_error),
        TEST(cuts_off_slow_clients),
        TEST(does_not_let_drips_extend_the_time),
        TEST(closes_idle_connections),
        TEST(sends_large_replies_and_cuts_off_who_does_not_read),
        TEST(tells_when_a_client_left),
        TEST(drains),
        TEST(bounds_connections),
        TEST(rests_without_a_descriptor_and_says_so_once),
        TEST(gives_an_idle_connections_descriptor_to_a_new_one),
        TEST(accepts_for_a_sibling),
        TEST(refuses_replies_that_would_split),
        TEST(streams),
        TEST(cuts_off_a_streams_slow_reader),
        TEST(adopts_a_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
