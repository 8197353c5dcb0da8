/* internal.h: what the runtime's own files share and bindings must not see. */
#ifndef FASTR_INTERNAL_H
#define FASTR_INTERNAL_H

#include "runtime/fastr.h"

enum { FASTR_WORKERS_MAX = 64 };

/* log.c */
void fastr_log_setup(const char *name, const char *level); /* level: "debug" ... "error" */
void fastr_log_unblock(void);

/* metrics.c */
void fastr_metrics_create(void);
void fastr_metrics_slot(int worker); /* after fork: this process writes the cells of this slot, its gauges begin at 0 */
void fastr_metrics_unlock_dead(int pid);
void fastr_metrics_write(struct fastr_buffer *out);

/* settings.c */
/* Reads `path` in an empty Lua environment; FASTR_A_B overrides a.b. Once a process. */
int fastr_settings_load(const char *path, struct fastr_err *err);

#endif
