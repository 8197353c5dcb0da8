/* slots.h: what a worker tells its master through shared memory: its pulse, what it runs, how its dependencies are. */
#ifndef FASTR_SLOTS_H
#define FASTR_SLOTS_H

#include "runtime/internal.h"

struct fastr_slot {
    volatile int pid;             /* 0: empty */
    volatile int ready;           /* serves */
    volatile uint64_t pulse_us;   /* fastr_clock_us of its last pulse (fastr_pulse_ms) */
    volatile uint64_t started_us;
    volatile int tasks, connections;
    volatile uint64_t deciding_us; /* fastr_clock_us since when a rule has been at work; 0: none is */
    char point[40], pack[16];      /* in which decision, by which version (12 digits) */
    uint64_t restarts;
    char versions[4][80];         /* "LINE HASH12" of what it pins now */
    struct {
        char name[32], detail[64];
        bool ok, required;
    } health[16];
};

void fastr_slots_create(int workers); /* before fork */
struct fastr_slot *fastr_slot_at(int worker);
void fastr_slot_take(int worker); /* after fork: this process is that worker; clears what its predecessor said */
struct fastr_slot *fastr_slot_mine(void); /* NULL in the master and in tools */
/* In a worker: a rule begins to work, and has ended. The master looks at how long that takes. */
void fastr_slot_decides(const char *point, const char *hash);
void fastr_slot_decided(void);
bool fastr_slot_ready(const struct fastr_slot *slot); /* serves, and every required dependency is well */
/* Appends {"worker":0,"pid":...,...}. */
void fastr_slot_describe(int worker, struct fastr_buffer *out);

#endif
