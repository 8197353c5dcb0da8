/* stream_test.c: server-sent events over real sockets: form, fan-out, replay, slow and leaving readers, draining. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/stream.h"

enum { DEADLINE_MS = 5000 };

static struct event_base *base;
static struct fastr_http_server *server;
static int listener, opened, refused;
static struct fastr_err last_error;

static int publish(const char *channel, const char *id, const char *event, const char *data)
{
    return fastr_stream_publish(channel, &(struct fastr_stream_event){id, event, data}, &last_error);
}

/* What happens between a subscription and the reply: by the channel's name. */
static void meanwhile(const char *channel, struct fastr_stream *stream)
{
    static const struct fastr_stream_event past[] = {{"1", "placed", "{}"}, {"2", NULL, "two\nlines"}};
    if (strcmp(channel, "between") == 0) {
        publish(channel, "2", NULL, "two again");
        publish(channel, "3", NULL, "three");
    }
    if (strcmp(channel, "flood") == 0) {
        static char piece[100000];
        memset(piece, 'p', sizeof piece - 1);
        for (int i = 0; i < 3; i++)
            publish(channel, NULL, NULL, piece);
    }
    if (strcmp(channel, "between") == 0 || strcmp(channel, "replay") == 0)
        for (int i = 0; i < 2; i++)
            assert_int_equal(fastr_stream_replay(stream, &past[i], &last_error), 0);
    if (strcmp(channel, "late") == 0)
        fastr_stream_drain();
}

/* Opens a stream on the channel that the path names. */
static void on_request(void *data, struct fastr_http_request *request)
{
    static const struct fastr_http_field cors = {"Access-Control-Allow-Origin", "*"};
    const char *channel = fastr_http_request_message(request)->target.text + 1;
    struct fastr_stream *stream;
    if (fastr_stream_subscribe(channel, &stream, &last_error) == 0)
        meanwhile(channel, stream);
    if (stream && fastr_stream_reply(stream, request, &cors, 1, &last_error) == 0) {
        assert_null(stream);
        opened++;
        return;
    }
    fastr_stream_drop(stream);
    assert_null(stream);
    refused++;
    fastr_http_reply(request, 503, NULL, 0, NULL, 0, NULL);
}

static void on_gone(void *data, struct fastr_http_request *request)
{
}

static int setup(void **state)
{
    const struct fastr_http_handler handler = {.on_request = on_request, .on_gone = on_gone};
    const struct fastr_http_limits limits = {.stream_bytes = 300000};
    base = event_base_new();
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    server = fastr_http_server_new(base, listener, &limits, &handler);
    fastr_http_server_remove_listener(server, listener); /* sockets are handed over instead */
    fastr_stream_set_limit(1024);
    fastr_stream_start(base, 60);
    opened = refused = 0;
    return 0;
}

static int teardown(void **state)
{
    fastr_stream_stop();
    fastr_http_server_free(server);
    event_base_free(base);
    close(listener);
    assert_int_equal(fastr_stream_count(), 0);
    return 0;
}

static void turn(void)
{
    struct timeval moment = {0, 2000};
    event_base_loopexit(base, &moment);
    event_base_dispatch(base);
}

static void check_deadline(uint64_t began, const char *condition)
{
    if (fastr_clock_us() - began > DEADLINE_MS * 1000ull)
        fail_msg("never: %s", condition);
}

#define UNTIL(condition) \
    for (uint64_t began = fastr_clock_us(); !(condition); check_deadline(began, #condition), turn())

/* A client that asks for the stream of `channel`. */
static int follow(const char *channel)
{
    int pair[2], before = opened + refused;
    char text[300];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    fastr_http_server_adopt(server, pair[0]);
    snprintf(text, sizeof text, "GET /%s HTTP/1.1\r\nHost: shop\r\n\r\n", channel);
    assert_int_equal(write(pair[1], text, strlen(text)), strlen(text));
    UNTIL(opened + refused > before);
    return pair[1];
}

/* Reads until `text` has come. The caller frees. */
static char *hear(int fd, const char *text)
{
    struct fastr_buffer heard = {0};
    fastr_buffer_text(&heard, "");
    UNTIL(strstr(heard.data, text)) {
        char *room = fastr_buffer_reserve(&heard, 65536);
        ssize_t got = recv(fd, room, 65536, MSG_DONTWAIT);
        heard.length += got > 0 ? (size_t)got : 0;
        heard.data[heard.length] = '\0';
    }
    return heard.data;
}

static void sends_events_in_their_form(void **state)
{
    int fd = follow("order");
    free(hear(fd, "\r\n\r\n"));
    assert_int_equal(publish("order", "7", "paid", "{\"a\":1}"), 1);
    free(hear(fd, "id: 7\nevent: paid\ndata: {\"a\":1}\n\n"));
    assert_int_equal(publish("order", NULL, "", "one\r\ntwo\rthree\n"), 1);
    free(hear(fd, "\r\ndata: one\ndata: two\ndata: three\ndata: \n\n"));
    assert_int_equal(publish("order", "8", NULL, NULL), 1);
    free(hear(fd, "id: 8\ndata: \n\n"));
    assert_int_equal(publish("order", "8\n", NULL, "x"), -1);
    assert_string_equal(last_error.code, "invalid");
    assert_int_equal(publish("order", NULL, "a\rb", "x"), -1);
    close(fd);
}

static void says_what_a_browser_and_a_proxy_need(void **state)
{
    int fd = follow("order");
    char *heard = hear(fd, "\r\n\r\n");
    const char *const lines[] = {"\r\nContent-Type: text/event-stream\r\n", "\r\nCache-Control: no-store\r\n",
                                 "\r\nX-Accel-Buffering: no\r\n", "\r\nAccess-Control-Allow-Origin: *\r\n"};
    for (int i = 0; i < 4; i++)
        assert_non_null(strstr(heard, lines[i]));
    free(heard);
    close(fd);
}

static void reaches_every_stream_of_a_channel_and_no_other(void **state)
{
    int one = follow("a"), two = follow("a"), other = follow("b");
    assert_int_equal(fastr_stream_count(), 3);
    assert_int_equal(publish("a", "1", NULL, "for a"), 2);
    assert_int_equal(publish("b", "2", NULL, "for b"), 1);
    assert_int_equal(publish("c", "3", NULL, "for nobody"), 0);
    free(hear(one, "for a"));
    free(hear(two, "for a"));
    char *heard = hear(other, "for b");
    assert_null(strstr(heard, "for a"));
    free(heard);
    close(one);
    UNTIL(fastr_stream_count() == 2);
    assert_int_equal(publish("a", "4", NULL, "again"), 1);
    free(hear(two, "again"));
    close(two), close(other);
    UNTIL(fastr_stream_count() == 0);
    assert_int_equal(publish("a", "5", NULL, "gone"), 0);
}

static void replays_the_past_first(void **state)
{
    int fd = follow("replay");
    publish("replay", "3", NULL, "live");
    char *heard = hear(fd, "data: live\n\n");
    const char *past = strstr(heard, "id: 1\nevent: placed\ndata: {}\n\nid: 2\ndata: two\ndata: lines\n\n");
    assert_non_null(past);
    assert_true(past < strstr(heard, "id: 3"));
    free(heard);
    close(fd);
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *p = text; (p = strstr(p, part)); p++)
        count++;
    return count;
}

/* An event that is published while the handler reads the past is not lost, and one that is in both comes once. */
static void loses_nothing_between_the_past_and_its_opening(void **state)
{
    int fd = follow("between");
    publish("between", "3", NULL, "three again");
    publish("between", "4", NULL, "four");
    char *heard = hear(fd, "data: four\n\n");
    assert_non_null(strstr(heard, "id: 1\nevent: placed\ndata: {}\n\nid: 2\ndata: two\ndata: lines\n\nid: 3\ndata: three\n\n"));
    assert_int_equal(count_of(heard, "id: "), 4);
    free(heard);
    close(fd);
}

static void refuses_a_stream_whose_past_takes_too_long(void **state)
{
    int fd = follow("flood");
    assert_string_equal(last_error.code, "busy");
    free(hear(fd, "HTTP/1.1 503"));
    close(fd);
}

static void refuses_a_stream_that_was_drained_before_it_was_answered(void **state)
{
    int fd = follow("late");
    assert_string_equal(last_error.code, "closed");
    assert_int_equal(fastr_stream_count(), 0);
    close(fd);
}

static void beats(void **state)
{
    int fd = follow("quiet");
    free(hear(fd, "3\r\n:\n\n\r\n"));
    close(fd);
}

static void cuts_off_a_slow_reader_alone(void **state)
{
    char piece[20000];
    memset(piece, 'p', sizeof piece - 1);
    piece[sizeof piece - 1] = '\0';
    int slow = follow("busy"), quick = follow("busy");
    for (int i = 0; i < 200 && fastr_stream_count() == 2; i++) {
        publish("busy", NULL, NULL, piece);
        free(hear(quick, "ppp"));
        turn();
    }
    assert_int_equal(fastr_stream_count(), 1);
    assert_int_equal(publish("busy", "last", NULL, "still here"), 1);
    free(hear(quick, "still here"));
    close(slow), close(quick);
}

static void bounds_streams_and_names(void **state)
{
    char longest[300];
    memset(longest, 'n', sizeof longest);
    longest[256] = '\0';
    close(follow(longest));
    assert_string_equal(last_error.code, "invalid");
    close(follow(""));
    assert_string_equal(last_error.code, "invalid");
    fastr_stream_set_limit(1);
    int fd = follow("a"), more = follow("a");
    assert_string_equal(last_error.code, "busy");
    free(hear(more, "HTTP/1.1 503"));
    close(fd), close(more);
}

static void drains_with_a_last_word(void **state)
{
    int fd = follow("a");
    fastr_stream_drain();
    char *heard = hear(fd, "0\r\n\r\n");
    assert_non_null(strstr(heard, ": closing\n\n\r\n0\r\n\r\n"));
    free(heard);
    assert_int_equal(fastr_stream_count(), 0);
    close(follow("a"));
    assert_string_equal(last_error.code, "closed");
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sends_events_in_their_form),
        TEST(says_what_a_browser_and_a_proxy_need),
        TEST(reaches_every_stream_of_a_channel_and_no_other),
        TEST(replays_the_past_first),
        TEST(loses_nothing_between_the_past_and_its_opening),
        TEST(refuses_a_stream_whose_past_takes_too_long),
        TEST(refuses_a_stream_that_was_drained_before_it_was_answered),
        TEST(beats),
        TEST(cuts_off_a_slow_reader_alone),
        TEST(bounds_streams_and_names),
        TEST(drains_with_a_last_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
