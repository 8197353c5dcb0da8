/* problem.h: the problem documents (RFC 9457) with which the runtime itself answers.
 *
 * This list is a part of the catalogue in scripts/lib/problem.lua, from which docs/problems.md is printed; a spec keeps
 * code, status and title alike. What a handler raises or returns has its document from there. */
#ifndef FASTR_PROBLEM_H
#define FASTR_PROBLEM_H

#include "runtime/fastr.h"

enum fastr_problem {
    FASTR_BAD_REQUEST, /* the first of a status is what HTTP's own refusals become */
    FASTR_NOT_FOUND,
    FASTR_METHOD_NOT_ALLOWED,
    FASTR_REQUEST_TIMEOUT,
    FASTR_BODY_TOO_LARGE,
    FASTR_URI_TOO_LONG,
    FASTR_EXPECTATION_FAILED,
    FASTR_HEADERS_TOO_LARGE,
    FASTR_INTERNAL,
    FASTR_NOT_IMPLEMENTED,
    FASTR_BUSY,
    FASTR_UNAVAILABLE,
    FASTR_TIMEOUT,
    FASTR_VERSION_NOT_SUPPORTED,
};

int fastr_problem_status(enum fastr_problem problem);
/* The problem of a status with which the parser or the server refuses; FASTR_BAD_REQUEST for one it does not know. */
enum fastr_problem fastr_problem_of_status(int status);
/* Appends the document; `detail` says what it is about this time. */
void fastr_problem_write(struct fastr_buffer *out, enum fastr_problem problem, const char *detail);

#endif
