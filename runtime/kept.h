/* kept.h: a small file that processes of this host map, and that survives what is done to it from outside: emptied, cut,
 * removed, replaced.
 *
 *   the file ----mapped----> memory --whenever it has changed--> copy (shared by a master and its workers)
 *      X  cut: a look at a page that is gone (SIGBUS) leaves `memory` private, as the copy is
 *   the file <--written again-- memory, by the first who may heal; then all map it again, at the same address
 *
 * A seal would forbid it, but a file on disk cannot be sealed. One file a process. */
#ifndef FASTR_KEPT_H
#define FASTR_KEPT_H

#include "runtime/internal.h"

/* Guards a mapping of `size` bytes of the file from now on, in the children of this process, too. Returns the copy, zeros,
 * which the caller fills and who may heal keeps up to date; NULL if there is no memory. */
void *fastr_kept_guard(const char *path, int fd, void *memory, size_t size);
/* Is the path still the file that is mapped, and whole? */
bool fastr_kept_is_whole(void);
/* Maps what is at the path now. Who `heals` makes and lengthens it, and gets its descriptor, locked (flock), with zeros
 * where bytes are missing; others get -1. */
int fastr_kept_map_again(bool heals);

#endif
