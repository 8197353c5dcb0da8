/* http_parser_fuzz.c: libFuzzer on the HTTP parser. Beside the sanitizers it holds three promises:
 *   - the answer is the same whole, byte by byte, and cut at places that the input itself chooses;
 *   - what is accepted is inside the limits, and its parts are inside its bytes;
 *   - what is accepted has one reading of its framing: a body has one length field or is chunked, never both.
 * The first byte of an input seeds the cuts; the rest is the connection's bytes, request after request. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/fastr.h"
#include "runtime/http_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fastr_http_message_limits LIMITS = {
    .line_bytes = 128, .header_bytes = 512, .headers = 12, .body_bytes = 256};

#define PROMISE(condition) ((condition) ? (void)0 : broken(#condition))

static void broken(const char *promise)
{
    fprintf(stderr, "broken: %s\n", promise);
    abort();
}

static size_t count_headers(const struct fastr_http_message *message, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < message->header_count; i++)
        count += strcasecmp(message->headers[i].name.text, name) == 0;
    return count;
}

static void check_text(struct fastr_http_text text)
{
    for (size_t i = 0; i < text.length; i++)
        PROMISE(text.text[i] != '\0' && text.text[i] != '\r' && text.text[i] != '\n');
}

static void check_message(const struct fastr_http_message *message)
{
    size_t lengths = count_headers(message, "content-length"), codings = count_headers(message, "transfer-encoding");
    PROMISE(lengths + codings <= 1);
    PROMISE(!message->body_length || lengths + codings == 1);
    PROMISE(count_headers(message, "host") <= 1);
    PROMISE(message->minor == 0 || count_headers(message, "host") == 1);
    PROMISE(message->body_length <= LIMITS.body_bytes && message->header_count <= LIMITS.headers);
    PROMISE(message->target.length <= LIMITS.line_bytes);
    PROMISE(message->body[message->body_length] == '\0');
    check_text(message->method), check_text(message->target), check_text(message->path), check_text(message->query);
    PROMISE(message->path.text[0] == '/' || message->path.text[0] == '*');
    for (size_t i = 0; i < message->header_count; i++) {
        check_text(message->headers[i].name), check_text(message->headers[i].value);
        PROMISE(strlen(message->headers[i].value.text) == message->headers[i].value.length);
    }
}

static void describe(const struct fastr_http_message *message, struct fastr_buffer *out)
{
    fastr_buffer_format(out, "%s %s %.*s %s %.*s %d %d%d\n", message->method.text, message->target.text,
                        (int)message->path.length, message->path.text, message->query.text, (int)message->host.length,
                        message->host.text, message->minor, message->keep_alive, message->expects_continue);
    for (size_t i = 0; i < message->header_count; i++)
        fastr_buffer_format(out, "%s=%s\n", message->headers[i].name.text, message->headers[i].value.text);
    fastr_buffer_add(out, message->body, message->body_length);
}

/* The pieces' sizes: all at once, one by one, or from a small generator. */
static size_t piece(int way, uint32_t *seed, size_t left)
{
    if (way < 2)
        return way == 0 ? left : 1;
    *seed = *seed * 1664525u + 1013904223u;
    size_t size = 1 + (*seed >> 16) % 24;
    return size < left ? size : left;
}

/* Reads all requests of a connection; `out` becomes all that was understood. */
static void read_all(const char *bytes, size_t length, int way, uint32_t seed, struct fastr_buffer *out)
{
    struct fastr_http_parser *parser = fastr_http_parser_new(&LIMITS);
    enum fastr_http_state state = FASTR_HTTP_MORE;
    size_t at = 0;
    while (at < length && state != FASTR_HTTP_ERROR) {
        size_t end = at + piece(way, &seed, length - at), used;
        do {
            state = fastr_http_parser_feed(parser, bytes + at, end - at, &used);
            PROMISE(used <= end - at);
            at += used;
            if (state == FASTR_HTTP_DONE) {
                check_message(fastr_http_parser_message(parser));
                describe(fastr_http_parser_message(parser), out);
                fastr_http_parser_reset(parser);
            }
        } while (state == FASTR_HTTP_HEAD || (state == FASTR_HTTP_DONE && at < end));
        PROMISE(state != FASTR_HTTP_MORE || at == end);
    }
    if (state == FASTR_HTTP_ERROR)
        fastr_buffer_format(out, "%d %s", fastr_http_parser_status(parser), fastr_http_parser_reason(parser));
    fastr_http_parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fastr_buffer whole = {0}, cut = {0};
    if (size == 0)
        return 0;
    read_all((const char *)data + 1, size - 1, 0, 0, &whole);
    for (int way = 1; way < 4; way++) {
        cut.length = 0;
        read_all((const char *)data + 1, size - 1, way, data[0] * 2654435761u + (uint32_t)way, &cut);
        PROMISE(cut.length == whole.length && (whole.length == 0 || memcmp(cut.data, whole.data, whole.length) == 0));
    }
    fastr_buffer_free(&whole);
    fastr_buffer_free(&cut);
    return 0;
}
