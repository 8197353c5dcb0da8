/* http_parser_test.c: what the parser takes, what it refuses and with which status, and that neither depends on how the
 * bytes were cut. Every case runs whole, byte by byte, and cut in two at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fastr.h"
#include "runtime/http_parser.h"

#define HOST "Host: shop\r\n"
#define POST "POST /x HTTP/1.1\r\n" HOST

static const struct fastr_http_message_limits SMALL = {
    .line_bytes = 64, .header_bytes = 256, .headers = 5, .body_bytes = 16};

/* Feeds one piece; true when the parser has come to an end. *used is what it took. */
static bool feed_piece(struct fastr_http_parser *parser, const char *bytes, size_t length, size_t *used,
                       enum fastr_http_state *state)
{
    *used = 0;
    do {
        size_t took;
        *state = fastr_http_parser_feed(parser, bytes + *used, length - *used, &took);
        *used += took;
    } while (*state == FASTR_HTTP_HEAD);
    return *state != FASTR_HTTP_MORE;
}

/* All that a request is, as text. */
static void describe(const struct fastr_http_parser *parser, enum fastr_http_state state, struct fastr_buffer *out)
{
    const struct fastr_http_message *m = fastr_http_parser_message(parser);
    out->length = 0;
    if (state == FASTR_HTTP_MORE) fastr_buffer_text(out, "more");
    if (state == FASTR_HTTP_ERROR)
        fastr_buffer_format(out, "%d %s", fastr_http_parser_status(parser), fastr_http_parser_reason(parser));
    if (state != FASTR_HTTP_DONE) return;
    fastr_buffer_format(out, "%s %s path=%.*s query=%s host=%.*s 1.%d", m->method.text, m->target.text,
                        (int)m->path.length, m->path.text, m->query.text, (int)m->host.length, m->host.text, m->minor);
    for (size_t i = 0; i < m->header_count; i++)
        fastr_buffer_format(out, " %s=%s", m->headers[i].name.text, m->headers[i].value.text);
    fastr_buffer_format(out, " keep=%d expects=%d body=", m->keep_alive, m->expects_continue);
    fastr_buffer_add(out, m->body, m->body_length);
}

/* Feeds `text` in two pieces, cut at `cut`, or byte by byte (cut == SIZE_MAX). Returns the bytes used. */
static size_t run(const char *text, size_t length, size_t cut, struct fastr_buffer *out)
{
    struct fastr_http_parser *parser = fastr_http_parser_new(&SMALL);
    enum fastr_http_state state = FASTR_HTTP_MORE;
    size_t total = 0;
    bool ended = false;
    while (!ended && total < length) {
        size_t piece = cut == SIZE_MAX ? 1 : total < cut ? cut - total : length - total, used;
        ended = feed_piece(parser, text + total, piece, &used, &state);
        total += used;
    }
    describe(parser, state, out);
    fastr_http_parser_free(parser);
    return total;
}

static void check(const char *text, size_t length, const char *expected)
{
    struct fastr_buffer got = {0};
    size_t used = run(text, length, length, &got);
    if (strncmp(got.data, expected, strlen(expected)) != 0)
        fail_msg("for:\n%s\nexpected: %s\n     got: %s", text, expected, got.data);
    bool refused = got.data[0] == '4' || got.data[0] == '5';
    char *whole = fastr_strdup(got.data);
    for (size_t cut = 1; cut <= length; cut++) {
        size_t again = run(text, length, cut == length ? SIZE_MAX : cut, &got);
        if (strcmp(got.data, whole) != 0 || (!refused && again != used))
            fail_msg("for:\n%s\ncut at %zu: %s\n  whole: %s", text, cut, got.data, whole);
    }
    free(whole);
    fastr_buffer_free(&got);
}

struct example {
    const char *text, *expected;
};

static void check_all(const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check(examples[i].text, strlen(examples[i].text), examples[i].expected);
}
#define CHECK_ALL(examples) check_all(examples, sizeof(examples) / sizeof *(examples))

static void takes_what_clients_send(void **state)
{
    static const struct example examples[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", "GET / path=/ query= host=shop 1.1 Host=shop keep=1 expects=0 body="},
        {"GET /a%20b?q=1&r=%2F HTTP/1.1\r\n" HOST "\r\n", "GET /a%20b?q=1&r=%2F path=/a%20b query=q=1&r=%2F host=shop"},
        {"GET /? HTTP/1.1\r\n" HOST "\r\n", "GET /? path=/ query= host=shop"},
        {"\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET / path=/"},
        {"GET / HTTP/1.1\r\nhOST:shop:8080 \t\r\nX-Empty:\r\n\r\n",
         "GET / path=/ query= host=shop:8080 1.1 hOST=shop:8080 X-Empty= "},
        {"GET / HTTP/1.1\r\nHost: [::1]:80\r\nA: b\tc d\r\n\r\n",
         "GET / path=/ query= host=[::1]:80 1.1 Host=[::1]:80 A=b\tc d"},
        {"GET http://a:1?x HTTP/1.1\r\nHost: b\r\n\r\n", "GET http://a:1?x path=/ query=x host=a:1 1.1 Host=b"},
        {"GET HTTPS://a/b HTTP/1.1\r\nHost: b\r\n\r\n", "GET HTTPS://a/b path=/b query= host=a 1.1 Host=b"},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * path=* query= host=shop"},
        {"GET / HTTP/1.0\r\n\r\n", "GET / path=/ query= host= 1.0 keep=0"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
         "GET / path=/ query= host= 1.0 Connection=Keep-Alive keep=1"},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x , Close\r\n\r\n",
         "GET / path=/ query= host=shop 1.1 Host=shop Connection=x , Close keep=0"},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n",
         "GET / path=/ query= host=shop 1.1 Host=shop Connection=closed keep=1"},
        {"GET / HTTP/1.1\r\n" HOST "A: caf\xc3\xa9\r\n\r\n",
         "GET / path=/ query= host=shop 1.1 Host=shop A=caf\xc3\xa9 keep=1"},
    };
    CHECK_ALL(examples);
}

static void takes_bodies(void **state)
{
    static const struct example examples[] = {
        {POST "Content-Length: 5\r\n\r\nhello",
         "POST /x path=/x query= host=shop 1.1 Host=shop Content-Length=5 keep=1 expects=0 body=hello"},
        {POST "Content-Length: 0\r\n\r\nGET /",
         "POST /x path=/x query= host=shop 1.1 Host=shop Content-Length=0 keep=1 expects=0 body="},
        {POST "Content-Length: 16\r\n\r\n0123456789abcdef",
         "POST /x path=/x query= host=shop 1.1 Host=shop Content-Length=16 keep=1 expects=0 body=0123456789abcdef"},
        {POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
         "POST /x path=/x query= host=shop 1.1 Host=shop Expect=100-Continue Content-Length=1 keep=1 expects=1 body=x"},
        {POST "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00a;a=\"b\";c\r\n, and more\r\n0\r\n\r\nGET",
         "POST /x path=/x query= host=shop 1.1 Host=shop Transfer-Encoding=Chunked keep=1 expects=0 "
         "body=hello, and more"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: y\r\nHost: evil\r\n\r\n",
         "POST /x path=/x query= host=shop 1.1 Host=shop Transfer-Encoding=chunked keep=1 expects=0 body=x"},
        {POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "POST /x path=/x query= host=shop 1.1 Host=shop Transfer-Encoding=chunked keep=1 expects=0 body="},
        {"GET /x HTTP/1.0\r\nContent-Length: 2\r\n\r\nok",
         "GET /x path=/x query= host= 1.0 Content-Length=2 keep=0 expects=0 body=ok"},
    };
    CHECK_ALL(examples);
}

static void waits_for_what_is_missing(void **state)
{
    static const struct example examples[] = {
        {"\r\n", "more"},
        {"GET / HTTP/1.1\r\n" HOST "\r", "more"},
        {POST "Content-Length: 5\r\n\r\nhell", "more"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", "more"},
    };
    CHECK_ALL(examples);
}

/* What libhttp-parser and evhttp were seen to let through, one by one. */
static void refuses_what_smuggles(void **state)
{
    static const struct example examples[] = {
        {"GET / HTTP/1.1\n" HOST "\n", "400 a line ends in LF without CR"},
        {"GET / HTTP/1.1\r\n" HOST "A: b\n\r\n", "400 a line ends in LF without CR"},
        {"GET / HTTP/1.1\r\n" HOST "\n", "400 a line ends in LF without CR"},
        {"\nGET / HTTP/1.1\r\n" HOST "\r\n", "400 a line ends in LF without CR"},
        {"GET / HTTP/1.1\r\n" HOST "A: b\rC: d\r\n\r\n", "400 a control character in a header's value"},
        {"GET / HTTP/1.1\r\n" HOST "A: b\r\r\n\r\n", "400 a control character in a header's value"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n", "400 a control character in a chunk extension"},
        {POST "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", "400 a chunk's size is not a hex number"},
        {"GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", "400 a folded header line"},
        {"GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n", "400 a folded header line"},
        {"GET / HTTP/1.1\r\n " HOST "\r\n", "400 a folded header line, or whitespace before the first one"},
        {POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400 whitespace before a header's colon"},
        {POST "Content-Length\t: 1\r\n\r\nx", "400 whitespace before a header's colon"},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501 the only transfer coding"},
        {POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "501 the only transfer coding"},
        {POST "Transfer-Encoding: identity\r\n\r\n", "501 the only transfer coding"},
        {POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501 the only transfer coding"},
        {POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n", "400 a control character in a header's value"},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 two Transfer-Encoding"},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
         "400 two Transfer-Encoding"},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400 Transfer-Encoding in HTTP/1.0"},
        {"GET / HTTP/1.1\r\n\r\n", "400 no Host field"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400 two Host fields"},
        {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400 two Host fields"},
        {POST "Content-Length: 0\r\nContent-Length: 37\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
         "400 two Content-Length fields"},
        {POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "400 two Content-Length fields"},
        {POST "Content-Length: 1, 1\r\n\r\nx", "400 Content-Length is not a number"},
        {POST "Content-Length: +4\r\n\r\nabcd", "400 Content-Length is not a number"},
        {POST "Content-Length: -1\r\n\r\n", "400 Content-Length is not a number"},
        {POST "Content-Length: 0x4\r\n\r\nabcd", "400 Content-Length is not a number"},
        {POST "Content-Length: 4 \r\nA: b\r\nContent-Length: 4\r\n\r\nabcd", "400 two Content-Length fields"},
        {POST "Content-Length:\r\n\r\n", "400 Content-Length is not a number"},
        {POST "Content-Length: 1 2\r\n\r\n", "400 Content-Length is not a number"},
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         "400 Content-Length and Transfer-Encoding"},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
         "400 Content-Length and Transfer-Encoding"},
    };
    CHECK_ALL(examples);
}

static void refuses_bad_chunks(void **state)
{
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
    static const struct example examples[] = {
        {CHUNKED "\r\n", "400 a chunk's size is not a hex number"},
        {CHUNKED " 1\r\nx\r\n", "400 a chunk's size is not a hex number"},
        {CHUNKED "1 \r\nx\r\n", "400 a chunk's size is not a hex number"},
        {CHUNKED "+1\r\nx\r\n", "400 a chunk's size is not a hex number"},
        {CHUNKED "-1\r\nx\r\n", "400 a chunk's size is not a hex number"},
        {CHUNKED "0x1\r\nx\r\n", "400 a chunk's size is not a hex number"},
        {CHUNKED "1_0\r\nx\r\n", "400 a chunk's size is not a hex number"},
        {CHUNKED ";a\r\n", "400 a chunk's size is not a hex number"},
        {CHUNKED "1\rx\r\n", "400 CR without LF after a chunk's size"},
        {CHUNKED "1;a\rx\r\n", "400 CR without LF after a chunk's size"},
        {CHUNKED "1\r\nxy\r\n", "400 a chunk does not end in CRLF"},
        {CHUNKED "1\r\nx\n0\r\n\r\n", "400 a chunk does not end in CRLF"},
        {CHUNKED "1\r\nx\rx", "400 a chunk does not end in CRLF"},
        {CHUNKED "0000000000000001\r\nx\r\n", "400 a chunk's size has too many digits"},
        {CHUNKED "fffffffffffffffff\r\nx\r\n", "400 a chunk's size has too many digits"},
        {CHUNKED "0\r\n A: b\r\n\r\n", "400 a trailer's name is not a token"},
        {CHUNKED "0\r\nA : b\r\n\r\n", "400 a trailer's name is not a token"},
        {CHUNKED "0\r\nA: b\n\r\n", "400 a control character in a trailer's value"},
        {CHUNKED "0\r\nA: b\r\r\n", "400 CR without LF in the trailer"},
        {CHUNKED "0\r\n\rx", "400 CR without LF in the trailer"},
    };
    CHECK_ALL(examples);
}

static void refuses_bad_lines(void **state)
{
    static const struct example examples[] = {
        {"\r\n\r\nGET / HTTP/1.1\r\n", "400 empty lines before the request line"},
        {" GET / HTTP/1.1\r\n" HOST "\r\n", "400 the method is not a token"},
        {"G{T / HTTP/1.1\r\n" HOST "\r\n", "400 the method is not a token"},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", "400"},
        {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", "400 the method is not a token"},
        {"GET / HTTP/1.1 \r\n" HOST "\r\n", "400 the request line does not end in"},
        {"GET /  HTTP/1.1\r\n" HOST "\r\n", "400 the request line does not end in"},
        {"GET / http/1.1\r\n" HOST "\r\n", "400 the request line does not end in"},
        {"GET / HTTP/1.10\r\n" HOST "\r\n", "400 the request line does not end in"},
        {"GET /\r\n" HOST "\r\n", "400"},
        {"GET\r\n" HOST "\r\n", "400 the method is not a token"},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", "505"},
        {"PRI * HTTP/2.0\r\n\r\n", "505"},
        {"GET / HTTP/1.2\r\n" HOST "\r\n", "505"},
        {"GET / HTTP/0.9\r\n" HOST "\r\n", "505"},
        {"GET /a b HTTP/1.1\r\n" HOST "\r\n", "400"},
        {"GET /a\"b HTTP/1.1\r\n" HOST "\r\n", "400 a character in the request target"},
        {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", "400 a character in the request target"},
        {"GET /caf\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", "400 a character in the request target"},
        {"GET x HTTP/1.1\r\n" HOST "\r\n", "400 the request target does not begin"},
        {"GET * HTTP/1.1\r\n" HOST "\r\n", "400 \"*\" is a target of OPTIONS only"},
        {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", "400 the request target has no valid host"},
        {"GET http://u@h/x HTTP/1.1\r\n" HOST "\r\n", "400 the request target has no valid host"},
        {"GET ftp://h/x HTTP/1.1\r\n" HOST "\r\n", "400 the request target does not begin"},
        {"CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", "501 CONNECT"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH / HTTP/1.1\r\n" HOST "\r\n", "501 no method"},
    };
    CHECK_ALL(examples);
}

static void refuses_bad_headers(void **state)
{
    static const struct example examples[] = {
        {"GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n", "400 whitespace before a header's colon"},
        {"GET / HTTP/1.1\r\n" HOST "nocolon\r\n\r\n", "400 a header's name is not a token"},
        {"GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", "400 a header's name is not a token"},
        {"GET / HTTP/1.1\r\n" HOST "A(b): x\r\n\r\n", "400 a header's name is not a token"},
        {"GET / HTTP/1.1\r\n" HOST "A: b\x7f\r\n\r\n", "400 a control character in a header's value"},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "400 the Host field is empty"},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400 the Host field is not a host"},
        {"GET / HTTP/1.1\r\nHost: a,b@c\r\n\r\n", "400 the Host field is not a host"},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400 the Host field is not a host"},
        {"GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n", "400 the Host field is not a host"},
        {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400 the Host field is not a host"},
        {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400 the Host field is not a host"},
        {POST "Expect: 200-ok\r\nContent-Length: 1\r\n\r\nx", "417"},
    };
    CHECK_ALL(examples);
}

static void refuses_nul_bytes(void **state)
{
#define CHECK_RAW(text, expected) check(text, sizeof(text) - 1, expected)
    CHECK_RAW("GET /\0 HTTP/1.1\r\n" HOST "\r\n", "400 a character in the request target");
    CHECK_RAW("GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n", "400 a control character in a header's value");
    CHECK_RAW("GET / HTTP/1.1\r\n" HOST "A\0: b\r\n\r\n", "400 a header's name is not a token");
    CHECK_RAW("\0GET / HTTP/1.1\r\n" HOST "\r\n", "400 the method is not a token");
}

static void keeps_its_limits(void **state)
{
#define TEN "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
    static const struct example examples[] = {
        {"GET /" TEN TEN TEN TEN TEN " HTTP/1.1\r\n" HOST "\r\n", "414"},
        {"GET /" TEN TEN TEN TEN TEN TEN, "414"},
        {"GET / HTTP/1.1\r\n" HOST "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", "GET / "},
        {"GET / HTTP/1.1\r\n" HOST "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n", "431 too many headers"},
        {"GET / HTTP/1.1\r\n" HOST "A: " FIFTY FIFTY FIFTY FIFTY FIFTY, "431 the headers are too large"},
        {POST "Content-Length: 17\r\n\r\n", "413"},
        {POST "Content-Length: 17\r\n\r\nx", "413"},
        {POST "Content-Length: 99999999999999999999\r\n\r\n", "413"},
        {POST "Transfer-Encoding: chunked\r\n\r\n11\r\n", "413"},
        {POST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n", "413"},
        {POST "Transfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n1\r\n", "413"},
        {POST "Transfer-Encoding: chunked\r\n\r\n0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", "431 too many headers"},
    };
    CHECK_ALL(examples);
}

static void bounds_chunk_extensions(void **state)
{
    struct fastr_http_parser *parser = fastr_http_parser_new(NULL);
    enum fastr_http_state end = FASTR_HTTP_MORE;
    size_t used, fed = 0;
    const char *head = POST "Transfer-Encoding: chunked\r\n\r\n";
    feed_piece(parser, head, strlen(head), &used, &end);
    while (end == FASTR_HTTP_MORE && fed < 100000) {
        feed_piece(parser, "1;abcdefgh\r\nx\r\n", 15, &used, &end);
        fed += 15;
    }
    assert_int_equal(end, FASTR_HTTP_ERROR);
    assert_string_equal(fastr_http_parser_reason(parser), "too many chunk extensions");
    fastr_http_parser_free(parser);
}

static void lets_a_route_set_its_own_body_limit(void **state)
{
    struct fastr_http_parser *parser = fastr_http_parser_new(&SMALL);
    const char *text = POST "Content-Length: 20\r\n\r\n01234567890123456789";
    size_t used, more;
    assert_int_equal(fastr_http_parser_feed(parser, text, strlen(text), &used), FASTR_HTTP_HEAD);
    assert_int_equal(fastr_http_parser_limit_body(parser, 20), 0);
    assert_int_equal(fastr_http_parser_feed(parser, text + used, strlen(text) - used, &more), FASTR_HTTP_DONE);
    assert_int_equal(fastr_http_parser_message(parser)->body_length, 20);

    fastr_http_parser_reset(parser);
    assert_int_equal(fastr_http_parser_feed(parser, text, strlen(text), &used), FASTR_HTTP_HEAD);
    assert_int_equal(fastr_http_parser_limit_body(parser, 19), -1);
    assert_int_equal(fastr_http_parser_feed(parser, text + used, strlen(text) - used, &more), FASTR_HTTP_ERROR);
    assert_int_equal(fastr_http_parser_status(parser), 413);
    fastr_http_parser_free(parser);
}

static void leaves_the_next_request_alone(void **state)
{
    const char *text = POST "Content-Length: 2\r\n\r\nokGET /2 HTTP/1.1\r\n" HOST "\r\n";
    struct fastr_http_parser *parser = fastr_http_parser_new(NULL);
    enum fastr_http_state end;
    size_t used, more;
    assert_true(feed_piece(parser, text, strlen(text), &used, &end));
    assert_int_equal(end, FASTR_HTTP_DONE);
    assert_int_equal(fastr_http_parser_feed(parser, text + used, strlen(text) - used, &more), FASTR_HTTP_DONE);
    assert_int_equal(more, 0);
    fastr_http_parser_reset(parser);
    assert_true(fastr_http_parser_fresh(parser));
    assert_true(feed_piece(parser, text + used, strlen(text) - used, &more, &end));
    assert_int_equal(end, FASTR_HTTP_DONE);
    assert_int_equal(used + more, strlen(text));
    assert_string_equal(fastr_http_parser_message(parser)->target.text, "/2");
    assert_int_equal(fastr_http_parser_message(parser)->header_count, 1);
    assert_int_equal(fastr_http_parser_message(parser)->body_length, 0);
    fastr_http_parser_free(parser);
}

static void finds_headers_in_any_case(void **state)
{
    const char *text = "GET / HTTP/1.1\r\n" HOST "If-Match: \"7\"\r\nX: 1\r\nx: 2\r\n\r\n";
    struct fastr_http_parser *parser = fastr_http_parser_new(NULL);
    size_t used, length;
    fastr_http_parser_feed(parser, text, strlen(text), &used);
    const struct fastr_http_message *message = fastr_http_parser_message(parser);
    assert_string_equal(fastr_http_message_header(message, "if-match", &length), "\"7\"");
    assert_int_equal(length, 3);
    assert_string_equal(fastr_http_message_header(message, "X", NULL), "1");
    assert_null(fastr_http_message_header(message, "If-Matc", NULL));
    fastr_http_parser_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_what_clients_send),
        cmocka_unit_test(takes_bodies),
        cmocka_unit_test(waits_for_what_is_missing),
        cmocka_unit_test(refuses_what_smuggles),
        cmocka_unit_test(refuses_bad_chunks),
        cmocka_unit_test(refuses_bad_lines),
        cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(refuses_nul_bytes),
        cmocka_unit_test(keeps_its_limits),
        cmocka_unit_test(bounds_chunk_extensions),
        cmocka_unit_test(lets_a_route_set_its_own_body_limit),
        cmocka_unit_test(leaves_the_next_request_alone),
        cmocka_unit_test(finds_headers_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
