/* bindings.c: see bindings.h. */
#include "bindings/bindings.h"

#define EACH(X)                                                                                                       \
    X(json) X(text) X(money) X(time) X(log) X(metrics) X(setting) X(secret) X(task) X(all) X(stream) X(crypto) X(jwt) \
    X(pg) X(redis) X(kafka) X(http) X(smtp) X(file) X(files) X(flight) X(host) X(child) X(rules)

#define DECLARE(name) extern const struct fastr_binding fastr_binding_##name;
EACH(DECLARE)

#define LIST(name) &fastr_binding_##name,
const struct fastr_binding *const fastr_bindings[] = {EACH(LIST)};
const int fastr_binding_count = sizeof fastr_bindings / sizeof *fastr_bindings;
