/* http_parser.c: an incremental parser of HTTP/1.1 requests (RFC 9112); see http_parser.h for what it refuses.
 *
 * The head is gathered line by line into one buffer (limits and bare LFs are noticed on the way) and parsed in one pass
 * when its empty line has come; a NUL is put after each part, in place of its delimiter. Bodies are decoded byte by
 * byte where lines are (chunk sizes, trailers) and copied in bulk where data is. Nothing is looked at twice, so the
 * work is linear and the answer does not depend on how the bytes were cut. */
#include "runtime/http_parser.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/fastr.h"

enum { METHOD_BYTES = 32, EXTENSION_BYTES = 4096, SIZE_DIGITS = 15, KEEP_HEAD = 16384, KEEP_BODY = 65536 };

enum phase {
    GATHER, /* the head's lines */
    BODY,   /* the head was reported: what follows is to be decided */
    LENGTH, /* a body of known length */
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    TRAILER_END,
    COMPLETE,
    FAILED,
};

struct fastr_http_parser {
    struct fastr_http_message_limits limits;
    enum phase phase;
    struct fastr_buffer head, body;
    size_t line;         /* where the current line begins in head */
    size_t fields_begin; /* where the first field line begins */
    size_t lines;        /* complete lines of the head; field lines of head and trailer afterwards */
    bool empty_line;     /* one came before the request line */
    struct fastr_http_header *headers;
    size_t headers_room;
    struct fastr_http_message message;
    /* framing */
    int hosts, lengths, codings, expectations;
    bool wants_close, wants_keep_alive;
    bool chunked;
    struct fastr_http_text host_value;
    size_t body_limit;
    size_t left;        /* bytes of the body or chunk still to come */
    size_t digits;      /* of the chunk size */
    size_t extensions;  /* bytes of chunk extensions in this body */
    size_t trailer;     /* bytes of field lines so far, head and trailer */
    int status;
    const char *reason;
};

/* ---- characters ------------------------------------------------------------------------------------------------- */

enum {
    TOKEN = 1,  /* RFC 9110 §5.6.2 */
    TARGET = 2, /* RFC 3986, and what browsers send raw in it: [ ] ^ ` { | } */
    VALUE = 4,  /* RFC 9110 §5.5: field-vchar, SP, HTAB, obs-text */
    HOST = 8,   /* RFC 3986 §3.2.2: reg-name */
    ALL = 15,
};

static const unsigned char kinds[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = ALL,
    ['"'] = VALUE,
    ['#'] = VALUE | TOKEN,
    ['$'] = ALL,
    ['%'] = ALL,
    ['&'] = ALL,
    ['\''] = ALL,
    ['('] = VALUE | TARGET | HOST,
    [')'] = VALUE | TARGET | HOST,
    ['*'] = ALL,
    ['+'] = ALL,
    [','] = VALUE | TARGET | HOST,
    ['-'] = ALL,
    ['.'] = ALL,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = ALL,
    [':'] = VALUE | TARGET,
    [';'] = VALUE | TARGET | HOST,
    ['<'] = VALUE,
    ['='] = VALUE | TARGET | HOST,
    ['>'] = VALUE,
    ['?'] = VALUE | TARGET,
    ['@'] = VALUE | TARGET,
    ['A' ... 'Z'] = ALL,
    ['['] = VALUE | TARGET,
    ['\\'] = VALUE,
    [']'] = VALUE | TARGET,
    ['^'] = VALUE | TARGET | TOKEN,
    ['_'] = ALL,
    ['`'] = VALUE | TARGET | TOKEN,
    ['a' ... 'z'] = ALL,
    ['{'] = VALUE | TARGET,
    ['|'] = VALUE | TARGET | TOKEN,
    ['}'] = VALUE | TARGET,
    ['~'] = ALL,
    [0x80 ... 0xff] = VALUE,
};

static bool is(char c, int kind)
{
    return kinds[(unsigned char)c] & kind;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool all_digits(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < '0' || text[i] > '9') return false;
    return true;
}

static bool same(struct fastr_http_text text, const char *word, size_t length)
{
    return text.length == length && strncasecmp(text.text, word, length) == 0;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void set_default(size_t *limit, size_t otherwise)
{
    if (*limit == 0) *limit = otherwise;
}

struct fastr_http_parser *fastr_http_parser_new(const struct fastr_http_message_limits *limits)
{
    struct fastr_http_parser *parser = fastr_zalloc(sizeof *parser);
    if (limits) parser->limits = *limits;
    set_default(&parser->limits.line_bytes, 8192);
    set_default(&parser->limits.header_bytes, 32768);
    set_default(&parser->limits.headers, 100);
    set_default(&parser->limits.body_bytes, 1 << 20);
    return parser;
}

void fastr_http_parser_free(struct fastr_http_parser *parser)
{
    if (!parser) return;
    fastr_buffer_free(&parser->head);
    fastr_buffer_free(&parser->body);
    free(parser->headers);
    free(parser);
}

static void recycle(struct fastr_buffer *buffer, size_t keep)
{
    if (buffer->capacity > keep) {
        fastr_buffer_free(buffer);
        *buffer = (struct fastr_buffer){0};
    }
    buffer->length = 0;
}

/* Zeroes all but the limits and the memory worth keeping. */
void fastr_http_parser_reset(struct fastr_http_parser *parser)
{
    recycle(&parser->head, KEEP_HEAD);
    recycle(&parser->body, KEEP_BODY);
    struct fastr_http_parser kept = {.limits = parser->limits,
                                     .head = parser->head,
                                     .body = parser->body,
                                     .headers = parser->headers,
                                     .headers_room = parser->headers_room};
    *parser = kept;
}

bool fastr_http_parser_fresh(const struct fastr_http_parser *parser)
{
    return parser->phase == GATHER && parser->head.length == 0;
}

const struct fastr_http_message *fastr_http_parser_message(const struct fastr_http_parser *parser)
{
    return &parser->message;
}

int fastr_http_parser_status(const struct fastr_http_parser *parser)
{
    return parser->status;
}

const char *fastr_http_parser_reason(const struct fastr_http_parser *parser)
{
    return parser->reason;
}

/* The one place that refuses; returns -1. */
static int refuse(struct fastr_http_parser *parser, int status, const char *reason)
{
    parser->phase = FAILED;
    parser->status = status;
    parser->reason = reason;
    return -1;
}

const char *fastr_http_message_header(const struct fastr_http_message *message, const char *name, size_t *length)
{
    size_t name_length = strlen(name);
    for (size_t i = 0; i < message->header_count; i++) {
        const struct fastr_http_header *header = &message->headers[i];
        if (!same(header->name, name, name_length)) continue;
        if (length) *length = header->value.length;
        return header->value.text;
    }
    return NULL;
}

/* ---- request line (§3) ------------------------------------------------------------------------------------------ */

/* The span of characters of `kind` from *at; moves *at behind it. `end` bounds it. */
static struct fastr_http_text span(char **at, const char *end, int kind)
{
    char *p = *at;
    while (p < end && is(*p, kind)) p++;
    struct fastr_http_text text = {*at, (size_t)(p - *at)};
    *at = p;
    return text;
}

static bool port_follows(const char *text, const char *end)
{
    if (text == end) return true;
    return *text == ':' && end - text <= 6 && all_digits(text + 1, (size_t)(end - text - 1));
}

/* §3.2: uri-host [ ":" port ]; no user info. An empty one is the caller's to judge. */
static bool host_is_valid(struct fastr_http_text host)
{
    const char *p = host.text, *end = p + host.length;
    if (p < end && *p == '[') {
        for (p++; p < end && (hex_digit(*p) >= 0 || *p == ':' || *p == '.');) p++;
        return p < end && *p == ']' && port_follows(p + 1, end);
    }
    while (p < end && is(*p, HOST)) p++;
    return p > host.text ? port_follows(p, end) : host.length == 0;
}

/* §3.2.2: scheme "://" authority path; the authority stands for Host. */
static int parse_absolute(struct fastr_http_parser *parser, size_t scheme)
{
    struct fastr_http_message *message = &parser->message;
    const char *p = message->target.text + scheme, *end = message->target.text + message->target.length;
    message->host.text = p;
    while (p < end && *p != '/' && *p != '?') p++;
    message->host.length = (size_t)(p - message->host.text);
    if (message->host.length == 0 || !host_is_valid(message->host))
        return refuse(parser, 400, "the request target has no valid host");
    message->path = (struct fastr_http_text){p, (size_t)(end - p)};
    return 0;
}

static void split_query(struct fastr_http_message *message)
{
    const char *end = message->path.text + message->path.length;
    const char *mark = memchr(message->path.text, '?', message->path.length);
    message->query = (struct fastr_http_text){end, 0};
    if (mark) {
        message->query = (struct fastr_http_text){mark + 1, (size_t)(end - mark - 1)};
        message->path.length = (size_t)(mark - message->path.text);
    }
    if (message->path.length == 0) message->path = (struct fastr_http_text){"/", 1};
}

/* §3.2: origin-form, absolute-form, or "*" for OPTIONS. CONNECT's authority-form is not implemented. */
static int parse_target(struct fastr_http_parser *parser)
{
    struct fastr_http_message *message = &parser->message;
    struct fastr_http_text target = message->target;
    message->path = target;
    if (same(message->method, "CONNECT", 7)) return refuse(parser, 501, "CONNECT is not implemented");
    if (target.length >= 7 && strncasecmp(target.text, "http://", 7) == 0) {
        if (parse_absolute(parser, 7)) return -1;
    } else if (target.length >= 8 && strncasecmp(target.text, "https://", 8) == 0) {
        if (parse_absolute(parser, 8)) return -1;
    } else if (target.length == 1 && *target.text == '*') {
        if (!same(message->method, "OPTIONS", 7)) return refuse(parser, 400, "\"*\" is a target of OPTIONS only");
    } else if (target.length == 0 || *target.text != '/') {
        return refuse(parser, 400, "the request target does not begin with \"/\"");
    }
    split_query(message);
    return 0;
}

/* §2.3; `p` points at what should be "HTTP/1.x". */
static int parse_version(struct fastr_http_parser *parser, const char *p, const char *end)
{
    if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0 || !all_digits(p + 5, 1) || p[6] != '.' || !all_digits(p + 7, 1))
        return refuse(parser, 400, "the request line does not end in \" HTTP/1.1\"");
    if (p[5] != '1' || p[7] > '1') return refuse(parser, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    parser->message.minor = p[7] - '0';
    return 0;
}

/* method SP target SP version, single spaces (§3); `end` points at its CR. */
static int parse_request_line(struct fastr_http_parser *parser, char *p, char *end)
{
    struct fastr_http_message *message = &parser->message;
    message->method = span(&p, end, TOKEN);
    if (message->method.length == 0 || *p != ' ') return refuse(parser, 400, "the method is not a token");
    if (message->method.length > METHOD_BYTES) return refuse(parser, 501, "no method has a name that long");
    *p++ = '\0';
    message->target = span(&p, end, TARGET);
    if (*p != ' ') return refuse(parser, 400, "a character in the request target that must be percent-encoded");
    if (parse_version(parser, p + 1, end)) return -1;
    *p = '\0';
    return parse_target(parser);
}

/* ---- fields (§5) ------------------------------------------------------------------------------------------------ */

/* RFC 9110 §7.6.1: a list of options; only two matter here. */
static void read_connection(struct fastr_http_parser *parser, struct fastr_http_text value)
{
    const char *p = value.text, *end = p + value.length;
    while (p < end) {
        while (p < end && (is_blank(*p) || *p == ',')) p++;
        struct fastr_http_text option = {p, 0};
        while (p < end && is(*p, TOKEN)) p++;
        option.length = (size_t)(p - option.text);
        if (same(option, "close", 5)) parser->wants_close = true;
        if (same(option, "keep-alive", 10)) parser->wants_keep_alive = true;
        while (p < end && *p != ',') p++;
    }
}

/* RFC 9110 §8.6: digits alone; no sign, no list, nothing around. A length past 10^15 is above any limit. */
static int read_length(struct fastr_http_parser *parser, struct fastr_http_text value)
{
    if (++parser->lengths > 1) return refuse(parser, 400, "two Content-Length fields");
    if (value.length == 0 || !all_digits(value.text, value.length))
        return refuse(parser, 400, "Content-Length is not a number");
    if (value.length > SIZE_DIGITS) return refuse(parser, 413, "the body is larger than this server takes");
    parser->left = 0;
    for (size_t i = 0; i < value.length; i++) parser->left = parser->left * 10 + (size_t)(value.text[i] - '0');
    return 0;
}

/* §6.1: "chunked", alone and once. */
static int read_coding(struct fastr_http_parser *parser, struct fastr_http_text value)
{
    if (++parser->codings > 1) return refuse(parser, 400, "two Transfer-Encoding fields");
    if (!same(value, "chunked", 7)) return refuse(parser, 501, "the only transfer coding taken is \"chunked\"");
    parser->chunked = true;
    return 0;
}

/* The fields that decide about framing and the connection. */
static int read_field(struct fastr_http_parser *parser, struct fastr_http_text name, struct fastr_http_text value)
{
    switch (name.length) {
    case 4:
        if (!same(name, "Host", 4)) return 0;
        parser->host_value = value;
        return ++parser->hosts > 1 ? refuse(parser, 400, "two Host fields") : 0;
    case 6:
        if (!same(name, "Expect", 6)) return 0;
        if (!same(value, "100-continue", 12)) return refuse(parser, 417, "the only expectation met is 100-continue");
        parser->expectations++;
        return 0;
    case 10:
        if (same(name, "Connection", 10)) read_connection(parser, value);
        return 0;
    case 14: return same(name, "Content-Length", 14) ? read_length(parser, value) : 0;
    case 17: return same(name, "Transfer-Encoding", 17) ? read_coding(parser, value) : 0;
    }
    return 0;
}

static struct fastr_http_header *add_header(struct fastr_http_parser *parser)
{
    if (parser->message.header_count == parser->headers_room) {
        parser->headers_room = parser->headers_room ? parser->headers_room * 2 : 16;
        parser->headers = fastr_realloc(parser->headers, parser->headers_room * sizeof *parser->headers);
    }
    return &parser->headers[parser->message.header_count++];
}

static struct fastr_http_text trim(struct fastr_http_text value)
{
    while (value.length && is_blank(*value.text)) value.text++, value.length--;
    while (value.length && is_blank(value.text[value.length - 1])) value.length--;
    return value;
}

/* name ":" OWS value OWS; `end` points at its CR. */
static int parse_field(struct fastr_http_parser *parser, char *p, char *end)
{
    if (is_blank(*p)) return refuse(parser, 400, "a folded header line, or whitespace before the first one");
    struct fastr_http_text name = span(&p, end, TOKEN);
    if (is_blank(*p)) return refuse(parser, 400, "whitespace before a header's colon");
    if (name.length == 0 || *p != ':') return refuse(parser, 400, "a header's name is not a token");
    *p++ = '\0';
    struct fastr_http_text value = span(&p, end, VALUE);
    if (p != end) return refuse(parser, 400, "a control character in a header's value");
    value = trim(value);
    ((char *)value.text)[value.length] = '\0';
    *add_header(parser) = (struct fastr_http_header){name, value};
    return read_field(parser, name, value);
}

/* ---- what the head means ---------------------------------------------------------------------------------------- */

/* §3.2: exactly one valid Host in 1.1. */
static int judge_host(struct fastr_http_parser *parser)
{
    struct fastr_http_message *message = &parser->message;
    if (parser->hosts == 0 && message->minor == 1) return refuse(parser, 400, "no Host field");
    if (!host_is_valid(parser->host_value)) return refuse(parser, 400, "the Host field is not a host");
    if (parser->host_value.length == 0 && message->minor == 1) return refuse(parser, 400, "the Host field is empty");
    if (!message->host.text) message->host = parser->host_value;
    return 0;
}

/* §6.3, §9.3, RFC 9110 §10.1.1. */
static int judge_framing(struct fastr_http_parser *parser)
{
    struct fastr_http_message *message = &parser->message;
    if (parser->chunked && parser->lengths)
        return refuse(parser, 400, "Content-Length and Transfer-Encoding in one request");
    if (parser->chunked && message->minor == 0) return refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
    message->has_body = parser->chunked || parser->left > 0;
    message->keep_alive = !parser->wants_close && (message->minor == 1 || parser->wants_keep_alive);
    message->expects_continue = parser->expectations > 0 && message->minor == 1 && message->has_body;
    return 0;
}

/* The whole head is in the buffer, its last, empty line too. */
static int parse_head(struct fastr_http_parser *parser)
{
    char *data = parser->head.data, *line = data + parser->fields_begin, *end = data + parser->head.length - 2;
    parser->host_value = (struct fastr_http_text){"", 0};
    if (parse_request_line(parser, data, line - 2)) return -1;
    while (line < end) {
        char *cr = (char *)memchr(line, '\n', (size_t)(end - line)) - 1;
        if (parse_field(parser, line, cr)) return -1;
        line = cr + 2;
    }
    parser->message.headers = parser->headers;
    parser->body_limit = parser->limits.body_bytes;
    parser->trailer = parser->head.length - parser->fields_begin;
    if (judge_host(parser)) return -1;
    return judge_framing(parser);
}

/* ---- gathering the head ----------------------------------------------------------------------------------------- */

/* Before `more` bytes are added to the current line. */
static int check_line(struct fastr_http_parser *parser, size_t more)
{
    size_t length = parser->head.length + more;
    if (parser->lines == 0)
        return length > parser->limits.line_bytes ? refuse(parser, 414, "the request line is too long") : 0;
    if (length - parser->fields_begin > parser->limits.header_bytes)
        return refuse(parser, 431, "the headers are too large");
    return 0;
}

/* A line ended at the buffer's end. 1 if the head is complete with it. */
static int end_line(struct fastr_http_parser *parser)
{
    size_t length = parser->head.length - parser->line;
    if (length < 2 || parser->head.data[parser->head.length - 2] != '\r')
        return refuse(parser, 400, "a line ends in LF without CR");
    if (length == 2 && parser->lines == 0) {
        if (parser->empty_line) return refuse(parser, 400, "empty lines before the request line");
        parser->empty_line = true; /* §2.2: one is ignored */
        parser->head.length = 0;
        return 0;
    }
    if (length == 2) return 1;
    parser->line = parser->head.length;
    if (parser->lines++ == 0) parser->fields_begin = parser->line;
    return parser->lines - 1 > parser->limits.headers ? refuse(parser, 431, "too many headers") : 0;
}

/* Takes lines; returns 1 when the head is parsed, 0 for more, -1 when refused. */
static int gather(struct fastr_http_parser *parser, const char *bytes, size_t length, size_t *used)
{
    while (*used < length) {
        const char *from = bytes + *used, *lf = memchr(from, '\n', length - *used);
        size_t take = lf ? (size_t)(lf - from) + 1 : length - *used;
        if (check_line(parser, take)) return -1;
        fastr_buffer_add(&parser->head, from, take);
        *used += take;
        if (!lf) return 0;
        int ended = end_line(parser);
        if (ended < 0) return -1;
        if (ended) return parse_head(parser) ? -1 : 1;
    }
    return 0;
}

/* ---- the body (§6, §7) ----------------------------------------------------------------------------------------- */

static int check_body_size(struct fastr_http_parser *parser, size_t more)
{
    if (more > parser->body_limit || parser->body.length > parser->body_limit - more)
        return refuse(parser, 413, "the body is larger than this server takes");
    return 0;
}

int fastr_http_parser_limit_body(struct fastr_http_parser *parser, size_t bytes)
{
    parser->body_limit = bytes;
    return parser->chunked ? 0 : check_body_size(parser, parser->left);
}

static enum phase complete(struct fastr_http_parser *parser)
{
    parser->message.body = parser->body.length ? parser->body.data : "";
    parser->message.body_length = parser->body.length;
    return COMPLETE;
}

static enum phase begin_body(struct fastr_http_parser *parser)
{
    if (parser->chunked) return CHUNK_SIZE;
    if (check_body_size(parser, parser->left)) return FAILED;
    if (parser->left == 0) return complete(parser);
    if (parser->left <= KEEP_BODY / 2) fastr_buffer_reserve(&parser->body, parser->left);
    return LENGTH;
}

/* Copies what there is of the body or chunk. */
static size_t take_data(struct fastr_http_parser *parser, const char *bytes, size_t length)
{
    size_t take = length < parser->left ? length : parser->left;
    fastr_buffer_add(&parser->body, bytes, take);
    parser->left -= take;
    if (parser->left == 0) parser->phase = parser->phase == LENGTH ? complete(parser) : CHUNK_DATA_CR;
    return take;
}

/* §7.1: the digits and what may end them. Whitespace is refused where the grammar has none; before ';' it has some that
 * nobody sends, and parsers disagree about it. */
static int chunk_size(struct fastr_http_parser *parser, char c)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        if (++parser->digits > SIZE_DIGITS) return refuse(parser, 400, "a chunk's size has too many digits");
        parser->left = parser->left * 16 + (size_t)digit;
        return 0;
    }
    if (parser->digits == 0 || (c != ';' && c != '\r'))
        return refuse(parser, 400, "a chunk's size is not a hex number");
    parser->phase = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return 0;
}

/* §7.1.1: extensions are ignored, but are text, and few. */
static int chunk_extension(struct fastr_http_parser *parser, char c)
{
    if (++parser->extensions > EXTENSION_BYTES) return refuse(parser, 400, "too many chunk extensions");
    if (c == '\r') parser->phase = CHUNK_SIZE_LF;
    else if (!is(c, VALUE)) return refuse(parser, 400, "a control character in a chunk extension");
    return 0;
}

static int chunk_begins(struct fastr_http_parser *parser, char c)
{
    if (c != '\n') return refuse(parser, 400, "CR without LF after a chunk's size");
    parser->digits = 0;
    parser->phase = parser->left ? CHUNK_DATA : TRAILER;
    return check_body_size(parser, parser->left);
}

static int expect(struct fastr_http_parser *parser, char c, char wanted, enum phase next)
{
    if (c != wanted) return refuse(parser, 400, "a chunk does not end in CRLF where its size says");
    parser->phase = next;
    return 0;
}

/* §7.1.2: trailer fields are checked like others, and dropped: none may change what the head said. */
static int trailer(struct fastr_http_parser *parser, char c)
{
    if (++parser->trailer > parser->limits.header_bytes) return refuse(parser, 431, "the trailer is too large");
    switch (parser->phase) {
    case TRAILER:
        if (c == '\r') return parser->phase = TRAILER_END, 0;
        if (++parser->lines - 1 > parser->limits.headers) return refuse(parser, 431, "too many headers");
        parser->phase = TRAILER_NAME;
        return is(c, TOKEN) ? 0 : refuse(parser, 400, "a trailer's name is not a token");
    case TRAILER_NAME:
        if (c == ':') return parser->phase = TRAILER_VALUE, 0;
        return is(c, TOKEN) ? 0 : refuse(parser, 400, "a trailer's name is not a token");
    case TRAILER_VALUE:
        if (c == '\r') return parser->phase = TRAILER_LF, 0;
        return is(c, VALUE) ? 0 : refuse(parser, 400, "a control character in a trailer's value");
    default: /* TRAILER_LF, TRAILER_END */
        if (c != '\n') return refuse(parser, 400, "CR without LF in the trailer");
        parser->phase = parser->phase == TRAILER_LF ? TRAILER : complete(parser);
        return 0;
    }
}

static int chunked_byte(struct fastr_http_parser *parser, char c)
{
    switch (parser->phase) {
    case CHUNK_SIZE: return chunk_size(parser, c);
    case CHUNK_EXTENSION: return chunk_extension(parser, c);
    case CHUNK_SIZE_LF: return chunk_begins(parser, c);
    case CHUNK_DATA_CR: return expect(parser, c, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF: return expect(parser, c, '\n', CHUNK_SIZE);
    default: return trailer(parser, c);
    }
}

static void feed_body(struct fastr_http_parser *parser, const char *bytes, size_t length, size_t *used)
{
    while (*used < length && parser->phase < COMPLETE) {
        if (parser->phase == LENGTH || parser->phase == CHUNK_DATA)
            *used += take_data(parser, bytes + *used, length - *used);
        else
            chunked_byte(parser, bytes[(*used)++]);
    }
}

enum fastr_http_state fastr_http_parser_feed(struct fastr_http_parser *parser, const char *bytes, size_t length,
                                             size_t *used)
{
    *used = 0;
    if (parser->phase == GATHER) {
        int ended = gather(parser, bytes, length, used);
        if (ended == 0) return FASTR_HTTP_MORE;
        if (ended < 0) return FASTR_HTTP_ERROR;
        parser->phase = BODY;
        return FASTR_HTTP_HEAD;
    }
    if (parser->phase == BODY) parser->phase = begin_body(parser);
    feed_body(parser, bytes, length, used);
    if (parser->phase == FAILED) return FASTR_HTTP_ERROR;
    return parser->phase == COMPLETE ? FASTR_HTTP_DONE : FASTR_HTTP_MORE;
}
