/* worker.h: one process, one loop: serves requests, runs schedules, takes the master's orders. */
#ifndef FASTR_WORKER_H
#define FASTR_WORKER_H

#include "runtime/internal.h"

/* Master and worker speak over a SOCK_SEQPACKET pair, a text line a message:
 *   to the worker:  "prepare ID LINE HASH"   build and prove            -> "ack ID US KB" or "nack ID MESSAGE"
 *                   "adopt SLOT" / "release SLOT"                        also accept from that slot's socket, or no more
 *                   "drain"                                              finish and exit
 * The channel's end means that the master was killed: the worker serves on until another has its name, then drains. */
struct fastr_worker_config {
    int slot;
    int channel;         /* the worker's end */
    const int *listeners; /* every slot's socket; listeners[slot] is its own */
    int listener_count;
};

int fastr_pulse_ms(int workers); /* how often a worker of so many shows that its loop turns */
uint64_t fastr_stuck_ms(void);     /* setting limits.stuck_ms: a loop that has not turned for so long is ended */
/* Runs until drained; returns the exit code (3: it could not start, and another would not either). */
int fastr_worker_run(const struct fastr_worker_config *config);

#endif
