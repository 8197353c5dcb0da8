/* listen.h: a name belongs to one master at a time, and with it the sockets on which its workers listen.
 *
 * VAR/run/NAME.lock is locked by the master alone, and holds its pid. VAR/run/NAME.listen is locked by whoever holds the
 * sockets, the master and its workers, and says which address that is. When a master is killed, its workers go on
 * accepting until another has taken the name or a moment has passed; the other binds beside them, so that nobody who
 * connects is refused in between. */
#ifndef FASTR_LISTEN_H
#define FASTR_LISTEN_H

#include "runtime/internal.h"

/* Takes the name on `var` for the life of this process. 0, or -1 if another living master has it. */
int fastr_name_take(const char *var, const char *name, struct fastr_err *err);
/* The `count` sockets of the address, one a worker slot; for the life of the process. Refuses an address that another
 * program has, but not one that the workers of this name's former master still have. NULL with `err`. */
const int *fastr_listeners_open(const char *address, int count, struct fastr_err *err);

/* In a worker, after fork: the name's lock is not its to hold. */
void fastr_name_release(void);
/* In a worker whose master has gone: does another master have the name? */
bool fastr_name_succeeded(void);
/* In such a worker: closes the sockets, once it has taken in what waits there. */
void fastr_listeners_close(void);

#endif
