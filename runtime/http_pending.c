/* http_pending.c: weak stand-ins until the server and the streams land; then this file goes. */
#include "runtime/stream.h"
#define W __attribute__((weak))
W const char *fastr_http_request_header(const struct fastr_http_request *r, const char *n, size_t *l) { return NULL; }
W void *fastr_http_request_data(const struct fastr_http_request *r) { return NULL; }
W void fastr_http_request_set_data(struct fastr_http_request *r, void *d) {}
W const char *fastr_http_phrase(int s) { return ""; }
W int fastr_http_reply(struct fastr_http_request *r, int s, const struct fastr_http_field *f, size_t n, const void *b, size_t l, struct fastr_err *e) { return -1; }
W const struct fastr_http_message *fastr_http_request_message(const struct fastr_http_request *r) { return NULL; }
W bool fastr_http_request_limit_body(struct fastr_http_request *r, size_t b) { return true; }
W const char *fastr_http_request_body(const struct fastr_http_request *r, size_t *l) { return ""; }
W const char *fastr_http_request_peer(struct fastr_http_request *r) { return ""; }
W uint64_t fastr_http_request_started_us(const struct fastr_http_request *r) { return 0; }
W void fastr_http_server_drain(struct fastr_http_server *s) {}
W void fastr_http_server_remove_listener(struct fastr_http_server *s, int fd) {}
W void fastr_http_server_add_listener(struct fastr_http_server *s, int fd) {}
W int fastr_http_server_connections(const struct fastr_http_server *s) { return 0; }
W struct fastr_http_server *fastr_http_server_new(struct event_base *b, int fd, const struct fastr_http_limits *l, const struct fastr_http_handler *h) { return NULL; }
W void fastr_stream_start(struct event_base *b, uint32_t h) {}
W int fastr_stream_open(struct fastr_http_request *r, const char *c, const struct fastr_http_field *f, size_t n, const struct fastr_stream_event *e, size_t m, struct fastr_err *err) { return -1; }
W int fastr_stream_publish(const char *c, const struct fastr_stream_event *e, struct fastr_err *err) { return 0; }
W void fastr_stream_drain(void) {}
