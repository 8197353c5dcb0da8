/* http_head.h: writes the head of a reply (RFC 9112 §4, RFC 9110 §6.6.1). Used by http_server.c alone. */
#ifndef FASTR_HTTP_HEAD_H
#define FASTR_HTTP_HEAD_H

#include "runtime/http_server.h"

enum fastr_http_framing {
    FASTR_HTTP_LENGTH,      /* Content-Length, except where a status has no body */
    FASTR_HTTP_CHUNKED,     /* Transfer-Encoding: chunked */
    FASTR_HTTP_UNTIL_CLOSE, /* HTTP/1.0 */
};

struct fastr_http_head {
    int status;
    const struct fastr_http_field *fields;
    size_t count;
    const struct fastr_http_field *common; /* those of every reply */
    size_t common_count;
    enum fastr_http_framing framing;
    size_t length;          /* for FASTR_HTTP_LENGTH */
    const char *connection; /* "close", "keep-alive" or NULL for no such field */
};

/* Appends the head to `out`. -1 with `err` ("invalid") and nothing appended if the status or a field is not allowed,
 * see fastr_http_reply. */
int fastr_http_head_write(const struct fastr_http_head *head, struct fastr_buffer *out, struct fastr_err *err);

/* RFC 9110 §6.4.1: 204 and 304 have no body. */
bool fastr_http_has_body(int status);

#endif
