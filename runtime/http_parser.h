/* http_parser.h: an incremental parser of HTTP/1.1 requests (RFC 9112), strict by construction.
 *
 * Leans on fastr.h's buffers only. It knows no sockets: bytes go in, one request or one error comes out, and what
 * comes out does not depend on how the bytes were cut.
 *
 *            feed                 feed                    feed
 *   START ---------> (head) ---------------> HEAD ---------------> DONE --- reset ---> START
 *                       |                     |  \_________________/^   (no body: HEAD is followed by DONE at once)
 *                       +------> ERROR <------+
 *
 * Refused, because two parsers in a row that disagree about framing are how requests are smuggled:
 *   a LF without CR, a CR without LF (§2.2); whitespace before the first field, or folded lines (§2.2, §5.2);
 *   whitespace before a field's colon (§5.1); names that are no token, values with control characters (RFC 9110 §5.5);
 *   no Host, two Hosts, a Host that is none (§3.2); two Content-Lengths, even equal ones, and one that is not digits
 *   alone (§6.3); Content-Length beside Transfer-Encoding (§6.3); any transfer coding but a single "chunked" (§6.1);
 *   transfer codings in HTTP/1.0 (§6.1); whitespace, LF or control characters in a chunk's line (§7.1). */
#ifndef FASTR_HTTP_PARSER_H
#define FASTR_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>

/* Limits of one message; 0 stands for the default. */
struct fastr_http_message_limits {
    size_t line_bytes;   /* request line, else 414; default 8192 */
    size_t header_bytes; /* all field lines with their CRLFs (trailers too), else 431; default 32768 */
    size_t headers;      /* number of field lines, else 431; default 100 */
    size_t body_bytes;   /* decoded body, else 413; default 1 MiB */
};

/* Text inside the parser's buffer; not NUL-terminated unless said so. */
struct fastr_http_text {
    const char *text;
    size_t length;
};

/* One field line. Name and value are followed by a NUL (neither can contain one); the value is trimmed. */
struct fastr_http_header {
    struct fastr_http_text name, value;
};

/* A parsed request. Everything points into the parser and lives until its reset or free. */
struct fastr_http_message {
    struct fastr_http_text method; /* a token, as sent; NUL follows */
    struct fastr_http_text target; /* as sent; NUL follows */
    struct fastr_http_text path;   /* the target's path, still percent-encoded, beginning with '/'; or "*" */
    struct fastr_http_text query;  /* after the '?', still encoded, may be empty; NUL follows */
    struct fastr_http_text host;   /* of an absolute target (§3.2.2), else Host's value; empty in 1.0 at most */
    int minor;                     /* HTTP/1.minor: 0 or 1 */
    const struct fastr_http_header *headers;
    size_t header_count;
    bool keep_alive;       /* §9.3: what Connection and the version ask for */
    bool expects_continue; /* RFC 9110 §10.1.1: waits for 100 before it sends the body */
    bool has_body;         /* a Content-Length above 0, or chunked; at HEAD says whether feeding must go on */
    const char *body;      /* decoded; complete at DONE; never NULL then, and NUL follows */
    size_t body_length;
};

enum fastr_http_state {
    FASTR_HTTP_MORE,  /* all bytes were used, the message is not complete */
    FASTR_HTTP_HEAD,  /* the head is complete: message is filled but for its body. Reported once per message */
    FASTR_HTTP_DONE,  /* the message is complete; unused bytes belong to the next one */
    FASTR_HTTP_ERROR, /* refused: status and reason are set; nothing after this can be framed, so close */
};

struct fastr_http_parser;

/* `limits` may be NULL. Never NULL. The caller frees. */
struct fastr_http_parser *fastr_http_parser_new(const struct fastr_http_message_limits *limits);
void fastr_http_parser_free(struct fastr_http_parser *parser); /* NULL is fine */

/* Reads on. Consumes up to `length` bytes (0 is fine: after HEAD of a message without body it gives DONE) and stores
 * in *used how many were taken; what is left is to be fed again, after a reset if the state is DONE. After ERROR or
 * DONE it consumes nothing and repeats its answer. Linear in the bytes fed however they are cut. */
enum fastr_http_state fastr_http_parser_feed(struct fastr_http_parser *parser, const char *bytes, size_t length,
                                             size_t *used);

/* The message, from HEAD on. */
const struct fastr_http_message *fastr_http_parser_message(const struct fastr_http_parser *parser);

/* The value of a field by its name in any case, NULL if absent; the first one if there are several. *length may be
 * NULL. */
const char *fastr_http_message_header(const struct fastr_http_message *message, const char *name, size_t *length);

/* Between HEAD and DONE: another limit for this message's body (a route's own). Returns -1, and the parser is in ERROR
 * with 413, if the declared length is already above it. */
int fastr_http_parser_limit_body(struct fastr_http_parser *parser, size_t bytes);

/* After ERROR: 400, 413, 414, 417, 431, 501 or 505, and a reason in plain words ("two Content-Length fields"). */
int fastr_http_parser_status(const struct fastr_http_parser *parser);
const char *fastr_http_parser_reason(const struct fastr_http_parser *parser);

/* True when no byte of a message has been taken since new or reset (a leading empty line does not count, §2.2). */
bool fastr_http_parser_fresh(const struct fastr_http_parser *parser);

/* Forgets the message, keeps small buffers for the next one. */
void fastr_http_parser_reset(struct fastr_http_parser *parser);

#endif
