/* http_head.c: writes the head of a reply; see http_head.h.
 *
 * One reservation, then plain copies: this runs once per request. Fields are checked character by character, so that no
 * script can split a reply by a line end in a value. */
#include "runtime/http_head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const struct {
    int status;
    const char *phrase;
} PHRASES[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {425, "Too Early"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

/* The standard phrase of a status ("Not Found"), "Status" for one it does not know. */
static const char *phrase_of(int status)
{
    for (size_t i = 0; i < sizeof PHRASES / sizeof *PHRASES; i++)
        if (PHRASES[i].status == status) return PHRASES[i].phrase;
    return "Status";
}

bool fastr_http_has_body(int status)
{
    return status != 204 && status != 304;
}

/* ---- Date (RFC 9110 §5.6.7), made once a second --------------------------------------------------------------------
 * */

static const char *date_line(void)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static char line[64];
    static time_t made;
    time_t now = time(NULL);
    if (now == made) return line;
    struct tm tm;
    gmtime_r(&now, &tm);
    snprintf(line, sizeof line, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n", days + 3 * tm.tm_wday, tm.tm_mday,
             months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    made = now;
    return line;
}

enum { DATE_LINE = 37 };

/* ---- fields ----------------------------------------------------------------------------------------------------- */

static bool is_token_char(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-') return true;
    return c && strchr("!#$%&'*+.^_`|~", c);
}

static bool is_token(const char *text)
{
    const char *p = text;
    while (is_token_char((unsigned char)*p)) p++;
    return p > text && *p == '\0';
}

static bool is_value(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if ((*p < 0x20 && *p != '\t') || *p == 0x7f) return false;
    return true;
}

/* What decides about framing and the connection is written by the server alone. */
static bool is_ours(const char *name)
{
    switch (strlen(name)) {
    case 4: return strcasecmp(name, "Date") == 0;
    case 7: return strcasecmp(name, "Upgrade") == 0;
    case 10: return strcasecmp(name, "Connection") == 0 || strcasecmp(name, "Keep-Alive") == 0;
    case 14: return strcasecmp(name, "Content-Length") == 0;
    case 17: return strcasecmp(name, "Transfer-Encoding") == 0;
    }
    return false;
}

/* Adds the fields' bytes on the wire to *size. */
static int check_fields(const struct fastr_http_field *fields, size_t count, size_t *size, struct fastr_err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct fastr_http_field *field = &fields[i];
        if (!is_token(field->name)) return fastr_fail(err, "invalid", "header \"%s\": not a name", field->name);
        if (is_ours(field->name)) return fastr_fail(err, "invalid", "header %s is set by the server", field->name);
        if (!is_value(field->value))
            return fastr_fail(err, "invalid", "header %s: a control character in its value", field->name);
        *size += strlen(field->name) + strlen(field->value) + 4;
    }
    return 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static char *put(char *p, const char *bytes, size_t length)
{
    memcpy(p, bytes, length);
    return p + length;
}

static char *put_text(char *p, const char *text)
{
    return put(p, text, strlen(text));
}

static char *put_number(char *p, size_t number)
{
    char digits[20];
    size_t n = sizeof digits;
    do digits[--n] = (char)('0' + number % 10);
    while (number /= 10);
    return put(p, digits + n, sizeof digits - n);
}

static char *put_fields(char *p, const struct fastr_http_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        p = put_text(p, fields[i].name);
        p = put(p, ": ", 2);
        p = put_text(p, fields[i].value);
        p = put(p, "\r\n", 2);
    }
    return p;
}

static char *put_status(char *p, int status)
{
    if (status == 200) return put(p, "HTTP/1.1 200 OK\r\n", 17);
    p = put(p, "HTTP/1.1 ", 9);
    p = put_number(p, (size_t)status);
    *p++ = ' ';
    p = put_text(p, phrase_of(status));
    return put(p, "\r\n", 2);
}

static char *put_framing(char *p, const struct fastr_http_head *head)
{
    if (head->framing == FASTR_HTTP_CHUNKED) return put(p, "Transfer-Encoding: chunked\r\n", 28);
    if (head->framing == FASTR_HTTP_UNTIL_CLOSE || !fastr_http_has_body(head->status)) return p;
    p = put(p, "Content-Length: ", 16);
    p = put_number(p, head->length);
    return put(p, "\r\n", 2);
}

enum { FIXED = 256 }; /* above all that is not a field of the caller's: 49 + 37 + 38 + 24 + 2 */

int fastr_http_head_write(const struct fastr_http_head *head, struct fastr_buffer *out, struct fastr_err *err)
{
    size_t size = FIXED;
    if (head->status < 200 || head->status > 599)
        return fastr_fail(err, "invalid", "status %d is not within 200..599", head->status);
    if (check_fields(head->fields, head->count, &size, err)) return -1;
    if (check_fields(head->common, head->common_count, &size, err)) return -1;
    char *begin = fastr_buffer_reserve(out, size), *p = put_status(begin, head->status);
    p = put(p, date_line(), DATE_LINE);
    p = put_fields(p, head->fields, head->count);
    p = put_fields(p, head->common, head->common_count);
    p = put_framing(p, head);
    if (head->connection) {
        p = put(p, "Connection: ", 12);
        p = put_text(p, head->connection);
        p = put(p, "\r\n", 2);
    }
    p = put(p, "\r\n", 2);
    out->length += (size_t)(p - begin);
    return 0;
}
