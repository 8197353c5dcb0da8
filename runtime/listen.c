/* listen.c: see listen.h. */
#include "runtime/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

static char *lock_path, *listen_path;
static int lock_fd = -1, listen_fd = -1;
static int *listeners;
static int listener_count;
static pid_t master;

static bool write_text(int fd, const char *text)
{
    ssize_t length = (ssize_t)strlen(text);
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)length, 0) == length;
}

static void read_text(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
}

int fastr_name_take(const char *var, const char *name, struct fastr_err *err)
{
    char pid[24];
    lock_path = fastr_format("%s/run/%s.lock", var, name);
    listen_path = fastr_format("%s/run/%s.listen", var, name);
    lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock_fd < 0)
        return fastr_fail(err, "unavailable", "cannot open %s: %s", lock_path, strerror(errno));
    if (flock(lock_fd, LOCK_EX | LOCK_NB))
        return fastr_fail(err, "unavailable", "another fastr named '%s' runs already on %s", name, var);
    master = getpid();
    snprintf(pid, sizeof pid, "%d", (int)master);
    return write_text(lock_fd, pid) ? 0 : fastr_fail(err, "unavailable", "cannot write %s: %s", lock_path, strerror(errno));
}

void fastr_name_release(void)
{
    close(lock_fd);
    lock_fd = -1;
}

bool fastr_name_succeeded(void)
{
    char text[24];
    int fd = open(lock_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    read_text(fd, text, sizeof text);
    close(fd);
    return text[0] && atoi(text) != (int)master;
}

/* ---- sockets ---- */

static int parse(const char *address, struct sockaddr_in *in, struct fastr_err *err)
{
    char host[64];
    int port;
    if (sscanf(address, "%63[^:]:%d", host, &port) != 2 || port < 0 || port > 65535)
        return fastr_fail(err, "invalid", "setting listen is \"%s\": an IPv4 address and a port are needed, as 127.0.0.1:8080",
                          address);
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
        return fastr_fail(err, "invalid", "setting listen: \"%s\" is not an IPv4 address", host);
    return 0;
}

/* A socket bound to the address, which others of this user may share if `shared`. */
static int bound(const char *address, bool shared, struct fastr_err *err)
{
    struct sockaddr_in in;
    if (parse(address, &in, err))
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&in, sizeof in) == 0 && (!shared || listen(fd, 1024) == 0))
        return fd;
    fastr_fail(err, "unavailable", "cannot listen on %s: %s", address, strerror(errno));
    close(fd);
    return -1;
}

/* Do the workers of a former master listen there? Else the lock on the sockets is this process's alone. */
static bool orphans_listen(const char *address)
{
    char theirs[96];
    if (flock(listen_fd, LOCK_EX | LOCK_NB) == 0)
        return false;
    read_text(listen_fd, theirs, sizeof theirs);
    return !strcmp(theirs, address);
}

/* Another program on the same address would share it silently through SO_REUSEPORT: ask first without it. */
static int check_free(const char *address, struct fastr_err *err)
{
    int fd = bound(address, false, err);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

const int *fastr_listeners_open(const char *address, int count, struct fastr_err *err)
{
    listen_fd = open(listen_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (listen_fd < 0) {
        fastr_fail(err, "unavailable", "cannot open %s: %s", listen_path, strerror(errno));
        return NULL;
    }
    if (!orphans_listen(address) && check_free(address, err))
        return NULL;
    listeners = fastr_alloc(sizeof *listeners * (size_t)count);
    for (listener_count = 0; listener_count < count; listener_count++)
        if ((listeners[listener_count] = bound(address, true, err)) < 0)
            return NULL;
    if (flock(listen_fd, LOCK_SH) || !write_text(listen_fd, address)) {
        fastr_fail(err, "unavailable", "cannot lock %s: %s", listen_path, strerror(errno));
        return NULL;
    }
    return listeners;
}

void fastr_listeners_close(void)
{
    for (int i = 0; i < listener_count; i++)
        close(listeners[i]);
    listener_count = 0;
    close(listen_fd);
}
