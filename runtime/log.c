/* log.c: one JSON line an event, to standard error. Never blocks: a full pipe drops lines and counts them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/fastr.h"
#include "runtime/internal.h"
#include "runtime/json.h"

static enum fastr_level threshold = FASTR_INFO;
static const char *process_name = "fastr";
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void fastr_log_setup(const char *name, const char *level)
{
    process_name = fastr_strdup(name);
    for (int i = FASTR_DEBUG; i <= FASTR_ERROR; i++)
        if (!strcmp(level, level_names[i]))
            threshold = (enum fastr_level)i;
}

/* Blocking must be decided per write: O_NONBLOCK would be shared with the shell that owns a terminal. A pipe of a
 * supervisor is ours alone. */
void fastr_log_unblock(void)
{
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    if (!isatty(STDERR_FILENO) && flags >= 0)
        fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
}

/* A line longer than what the pipe had room for may be cut: the next one begins on a line of its own. */
static void write_line(struct fastr_buffer *line)
{
    static struct fastr_metric *dropped;
    static bool cut;
    const char *text = cut ? line->data : line->data + 1; /* it begins with a line end, for this */
    size_t length = line->length - (size_t)(text - line->data);
    ssize_t written = write(STDERR_FILENO, text, length);
    if (written > 0)
        cut = written < (ssize_t)length;
    if (written == (ssize_t)length)
        return;
    if (!dropped)
        dropped = fastr_counter("fastr_log_lines_dropped_total", "", "Log lines lost because the log's pipe was full.");
    fastr_metric_add(dropped, 1);
}

void fastr_log_fields(enum fastr_level level, const char *message, const char *fields)
{
    if (level < threshold)
        return;
    char stamp[64];
    int64_t now = fastr_wall_us();
    time_t seconds = (time_t)(now / 1000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(stamp + n, sizeof stamp - n, ".%03dZ", (int)(now / 1000 % 1000));

    struct fastr_buffer line = {0};
    fastr_buffer_format(&line, "\n{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\",\"pid\":%d,\"message\":", stamp,
                        level_names[level], process_name, (int)getpid());
    fastr_json_string(&line, message, strlen(message));
    struct fastr_task *task = fastr_task_current();
    if (task) {
        fastr_buffer_text(&line, ",\"request\":");
        fastr_json_string(&line, fastr_task_id(task), strlen(fastr_task_id(task)));
        const char *trace = fastr_task_traceparent(task);
        if (strlen(trace) >= 35) /* version(2)-trace id(32)-...: W3C Trace Context, section 3.2 */
            fastr_buffer_format(&line, ",\"trace\":\"%.32s\"", trace + 3);
    }
    if (fields && *fields)
        fastr_buffer_format(&line, ",%s", fields);
    fastr_buffer_text(&line, "}\n");
    write_line(&line);
    fastr_buffer_free(&line);
}

void fastr_log(enum fastr_level level, const char *format, ...)
{
    if (level < threshold)
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fastr_log_fields(level, text, NULL);
}
