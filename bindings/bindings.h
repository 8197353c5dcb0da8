/* bindings.h: the list of Lua modules; all that main.c knows of the bindings. Each file bindings/NAME.c defines
 * `const struct fastr_binding fastr_binding_NAME`. */
#ifndef FASTR_BINDINGS_H
#define FASTR_BINDINGS_H

#include "runtime/fastr.h"

extern const struct fastr_binding *const fastr_bindings[];
extern const int fastr_binding_count;

#endif
