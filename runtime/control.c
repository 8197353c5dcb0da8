/* control.c: see control.h. */
#include "runtime/control.h"

#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/json.h"

static int connect_to(const char *var, const char *name, struct fastr_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/run/%s.sock", var, name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return fastr_fail(err, "unavailable", "cannot reach the master '%s' (%s): %s", name, address.sun_path,
                      strerror(errno));
}

static char *read_line(int fd, int timeout_ms, struct fastr_err *err)
{
    struct fastr_buffer reply = {0};
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int ready = poll(&poll_fd, 1, timeout_ms);
        ssize_t n = ready > 0 ? read(fd, fastr_buffer_reserve(&reply, 65536), 65536) : 0;
        if (n <= 0) {
            fastr_fail(err, ready == 0 ? "timeout" : "unavailable",
                       ready == 0 ? "the master did not answer in time" : "the master closed the connection");
            fastr_buffer_free(&reply);
            return NULL;
        }
        reply.length += (size_t)n;
        reply.data[reply.length] = '\0';
        char *end = strchr(reply.data, '\n');
        if (end) {
            *end = '\0';
            return reply.data;
        }
    }
}

char *fastr_control_ask(const char *var, const char *name, const char *command, int timeout_ms, struct fastr_err *err)
{
    int fd = connect_to(var, name, err);
    if (fd < 0)
        return NULL;
    char *line = fastr_format("%s\n", command), *reply = NULL;
    if (write(fd, line, strlen(line)) == (ssize_t)strlen(line))
        reply = read_line(fd, timeout_ms, err);
    else
        fastr_fail(err, "unavailable", "cannot send to the master '%s': %s", name, strerror(errno));
    free(line);
    close(fd);
    return reply;
}

char *fastr_control_text(const char *reply, const char *name)
{
    struct fastr_err err;
    size_t length = strlen(name);
    const struct fastr_json_token *tape = fastr_json_tape(reply, strlen(reply), NULL, &err);
    if (!tape || tape->kind != FASTR_JSON_OBJECT)
        return NULL;
    const struct fastr_json_token *key = tape + 1, *end = key + 2 * tape->count;
    for (; key < end && key[1].kind < FASTR_JSON_LIST; key += 2) /* what is asked for stands before anything nested */
        if (key->count == length && !memcmp(key->text, name, length) && key[1].kind == FASTR_JSON_STRING)
            return fastr_strndup(key[1].text, key[1].count);
    return NULL;
}

char *fastr_control_reason(const char *reply)
{
    char *reason = fastr_control_text(reply, "error");
    return reason ? reason : fastr_strdup(reply);
}

int fastr_control_each(const char *var, void (*visit)(const char *name, void *data), void *data)
{
    char *pattern = fastr_format("%s/run/*.sock", var);
    glob_t found;
    int count = 0;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            const char *file = strrchr(found.gl_pathv[i], '/') + 1;
            char *name = fastr_strndup(file, strlen(file) - strlen(".sock"));
            int fd = connect_to(var, name, NULL);
            if (fd >= 0) {
                close(fd);
                count++;
                visit(name, data);
            }
            free(name);
        }
        globfree(&found);
    }
    free(pattern);
    return count;
}

char *fastr_control_leader(const char *var)
{
    char *path = fastr_format("%s/run/leader", var), name[128] = "";
    FILE *file = fopen(path, "r");
    free(path);
    if (!file)
        return NULL;
    char *line = fgets(name, sizeof name, file);
    fclose(file);
    if (!line)
        return NULL;
    name[strcspn(name, "\n")] = '\0';
    return fastr_strdup(name);
}
