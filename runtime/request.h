/* request.h: between the HTTP server and Lua: routes, overload, the `req` object, replies, the built-in pages. */
#ifndef FASTR_REQUEST_H
#define FASTR_REQUEST_H

#include "runtime/http_server.h"

/* The handler to give to fastr_http_server_new. */
extern const struct fastr_http_handler fastr_request_handler;

#endif
