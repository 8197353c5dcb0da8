/* problem.c: see problem.h. */
#include "runtime/problem.h"

#include <string.h>

#include "runtime/json.h"

static const struct {
    int status;
    const char *code, *title;
} PROBLEMS[] = {
    [FASTR_BAD_REQUEST] = {400, "bad_request", "The request cannot be understood"},
    [FASTR_NOT_FOUND] = {404, "not_found", "There is no such thing here"},
    [FASTR_METHOD_NOT_ALLOWED] = {405, "method_not_allowed", "This path has no such method"},
    [FASTR_REQUEST_TIMEOUT] = {408, "request_timeout", "The request came too slowly"},
    [FASTR_BODY_TOO_LARGE] = {413, "body_too_large", "The body is too large"},
    [FASTR_URI_TOO_LONG] = {414, "uri_too_long", "The address is too long"},
    [FASTR_EXPECTATION_FAILED] = {417, "expectation_failed", "What the request expects is not met here"},
    [FASTR_HEADERS_TOO_LARGE] = {431, "headers_too_large", "The headers are too large"},
    [FASTR_INTERNAL] = {500, "internal", "Something went wrong here"},
    [FASTR_NOT_IMPLEMENTED] = {501, "not_implemented", "That part of HTTP is not spoken here"},
    [FASTR_BUSY] = {503, "busy", "The service is full at the moment"},
    [FASTR_UNAVAILABLE] = {503, "unavailable", "Something that this needs is away"},
    [FASTR_TIMEOUT] = {504, "timeout", "It took too long"},
    [FASTR_VERSION_NOT_SUPPORTED] = {505, "version_not_supported", "That version of HTTP is not spoken here"},
};

int fastr_problem_status(enum fastr_problem problem)
{
    return PROBLEMS[problem].status;
}

enum fastr_problem fastr_problem_of_status(int status)
{
    for (size_t i = 0; i < sizeof PROBLEMS / sizeof *PROBLEMS; i++)
        if (PROBLEMS[i].status == status)
            return (enum fastr_problem)i;
    return FASTR_BAD_REQUEST;
}

void fastr_problem_write(struct fastr_buffer *out, enum fastr_problem problem, const char *detail)
{
    const char *code = PROBLEMS[problem].code;
    fastr_buffer_format(out, "{\"type\":\"/docs/problems#%s\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":",
                        code, PROBLEMS[problem].title, PROBLEMS[problem].status, code);
    fastr_json_string(out, detail, strlen(detail));
    fastr_buffer_text(out, "}");
}
