/* journal.c: see journal.h. */
#include "runtime/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/json.h"

enum { BYTES_MAX = 1 << 20 };

static void add_text(struct fastr_buffer *out, const char *name, const char *text)
{
    fastr_buffer_format(out, ",\"%s\":", name);
    fastr_json_string(out, text, strlen(text));
}

static void turn_over(const char *path)
{
    struct stat st;
    char *old = fastr_format("%s.old", path);
    if (stat(path, &st) == 0 && st.st_size > BYTES_MAX && rename(path, old))
        fastr_log(FASTR_WARN, "cannot rename %s: %s", path, strerror(errno));
    free(old);
}

void fastr_journal_add(const char *var, const struct fastr_journal_entry *entry)
{
    char *path = fastr_format("%s/run/journal", var);
    struct fastr_buffer out = {0};
    fastr_buffer_format(&out, "{\"at_us\":%lld", (long long)fastr_wall_us());
    add_text(&out, "line", entry->line);
    add_text(&out, "mode", entry->mode);
    add_text(&out, "hash", entry->hash);
    add_text(&out, "by", entry->by);
    add_text(&out, "reason", entry->reason);
    fastr_buffer_format(&out, ",\"share\":%d}\n", entry->share);
    turn_over(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, out.data, out.length) != (ssize_t)out.length)
        fastr_log(FASTR_ERROR, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    fastr_buffer_free(&out);
    free(path);
}
