/* master.h: binds the sockets, forks workers and keeps them alive, activates versions; serves no request itself. */
#ifndef FASTR_MASTER_H
#define FASTR_MASTER_H

/* Runs until it has been told to end (SIGTERM, SIGINT) and its workers have drained; returns the exit code. Settings are
 * loaded. `services` (borrowed) is what main.lua is told; none means all. */
int fastr_master_run(char **services, int count);

#endif
