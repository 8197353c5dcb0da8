/* journal.h: what was made live, tried and undone on this host, one line of JSON each, in VAR/run/journal. Whoever
 * keeps the record elsewhere reads it when he can; nobody waits for him. */
#ifndef FASTR_JOURNAL_H
#define FASTR_JOURNAL_H

#include "runtime/fastr.h"

struct fastr_journal_entry {
    const char *line, *mode; /* "rules"; "live", "rollback", "canary", "shadow", "stop" */
    const char *hash;        /* what is live afterwards, or on trial; "" of a stop */
    const char *by, *reason; /* "" if none was given */
    int share;               /* of a trial, in basis points; else 0 */
};

/* Appends {"at_us","line","mode","hash","by","reason","share"}; a failure is logged. Past 1 MiB the file becomes
 * VAR/run/journal.old, and a new one begins. */
void fastr_journal_add(const char *var, const struct fastr_journal_entry *entry);

#endif
