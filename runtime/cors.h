/* cors.h: which pages of other origins may call, and what they may read (the Fetch standard's CORS protocol).
 *
 * By a list in the settings, for every reply alike: a handler's, a problem of the runtime's, a stream. Never with
 * credentials: who calls from elsewhere sends a bearer token, not our cookie. */
#ifndef FASTR_CORS_H
#define FASTR_CORS_H

#include "runtime/http_server.h"

/* The `fields` of the server's handler (http_server.h): what a reply to `request` says to the page that sent it; nothing
 * for an origin that is not listed. With `request` NULL (a head that could not be read, so that nobody knows whose it
 * is) any origin may read the refusal, which says nothing about anybody. */
size_t fastr_cors_fields(void *data, const struct fastr_http_request *request, struct fastr_http_field *fields);

/* Answers a preflight (OPTIONS with Access-Control-Request-Method) of whatever path: with the methods that there are
 * at all, so that the page reads the 404 or 405 of its request itself. Returns false for any other request. */
bool fastr_cors_preflight(struct fastr_http_request *request);

#endif
