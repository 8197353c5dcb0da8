/* http_pending.c: weak stand-ins until the streams land; then this file goes. */
#include "runtime/stream.h"
#define W __attribute__((weak))
W void fastr_stream_start(struct event_base *b, uint32_t h) {}
W int fastr_stream_open(struct fastr_http_request *r, const char *c, const struct fastr_http_field *f, size_t n, const struct fastr_stream_event *e, size_t m, struct fastr_err *err) { return -1; }
W int fastr_stream_publish(const char *c, const struct fastr_stream_event *e, struct fastr_err *err) { return 0; }
W void fastr_stream_drain(void) {}
