/* control.h: the command line's side of the masters' control sockets. */
#ifndef FASTR_CONTROL_H
#define FASTR_CONTROL_H

#include "runtime/fastr.h"

/* Sends one command line to VAR/run/NAME.sock and waits at most `timeout_ms` for the line of reply, which the caller
 * frees. NULL with `err` ("unavailable", "timeout"). */
char *fastr_control_ask(const char *var, const char *name, const char *command, int timeout_ms, struct fastr_err *err);
/* The text `name` of a reply, before anything nested in it, or NULL. The caller frees. */
char *fastr_control_text(const char *reply, const char *name);
/* Why a master refused: the text of "error" in its reply, or the reply if that has none. The caller frees. */
char *fastr_control_reason(const char *reply);
/* The names of all masters that answer on VAR; `visit` is called in order of names. Returns how many. */
int fastr_control_each(const char *var, void (*visit)(const char *name, void *data), void *data);
/* The name of the master that leads this host, or NULL; caller frees. */
char *fastr_control_leader(const char *var);

#endif
