/* cors.c: see cors.h. Settings: cors.origins ("http://localhost:*" takes every port of that host; anything else is
 * compared whole) and cors.exposed (names of headers that pages may read; all without it). */
#include "runtime/cors.h"

#include <stdlib.h>
#include <string.h>

static bool is_listed(const char *item, size_t length, const char *origin)
{
    if (length < 2 || memcmp(item + length - 2, ":*", 2))
        return strlen(origin) == length && !memcmp(item, origin, length);
    length -= 2;
    if (strncmp(item, origin, length))
        return false;
    const char *port = origin + length;
    return !*port || (*port == ':' && port[1] && port[1 + strspn(port + 1, "0123456789")] == '\0');
}

static bool is_allowed(const char *origin)
{
    const char *item = fastr_setting("cors.origins", "");
    for (; *item; item += strspn(item, ";")) {
        size_t length = strcspn(item, ";");
        if (length && is_listed(item, length, origin))
            return true;
        item += length;
    }
    return false;
}

/* "A;B" as "A, B", made once. */
static const char *exposed(void)
{
    static char *list;
    if (list)
        return list;
    struct fastr_buffer joined = {0};
    for (const char *p = fastr_setting("cors.exposed", "*"); *p; p++)
        fastr_buffer_text(&joined, *p == ';' ? ", " : (char[]){*p, '\0'});
    return list = joined.data ? joined.data : fastr_strdup("");
}

static const char *origin_of(const struct fastr_http_request *request)
{
    return fastr_http_request_header(request, "origin", NULL);
}

size_t fastr_cors_fields(void *data, const struct fastr_http_request *request, struct fastr_http_field *fields)
{
    const char *origin = request ? origin_of(request) : "*";
    size_t count = 0;
    if (!origin)
        return 0;
    if (request)
        fields[count++] = (struct fastr_http_field){"Vary", "Origin"};
    if (request && !is_allowed(origin))
        return count;
    fields[count++] = (struct fastr_http_field){"Access-Control-Allow-Origin", origin};
    fields[count++] = (struct fastr_http_field){"Access-Control-Expose-Headers", exposed()};
    return count;
}

bool fastr_cors_preflight(struct fastr_http_request *request)
{
    const struct fastr_http_message *message = fastr_http_request_message(request);
    const char *origin = origin_of(request), *asked = fastr_http_request_header(request, "access-control-request-headers", NULL);
    if (strcmp(message->method.text, "OPTIONS") || !origin ||
        !fastr_http_request_header(request, "access-control-request-method", NULL))
        return false;
    struct fastr_http_field fields[] = {
        {"Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE"},
        {"Access-Control-Max-Age", "600"},
        {"Access-Control-Allow-Headers", asked},
    };
    fastr_http_reply(request, 204, fields, !is_allowed(origin) ? 0 : asked ? 3 : 2, NULL, 0, NULL);
    return true;
}
