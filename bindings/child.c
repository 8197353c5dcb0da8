/* child.c: fastr.child: one of fastr's own commands in another process, for what would keep a worker's loop too long, or
 * needs files and processes of its own. The command is this binary; a service can start nothing else.
 *
 *   spawn --> its output is read until it ends --> reaped --> the task goes on
 *                 | deadline, client gone: killed, and reaped when it is dead; nobody waits for that
 *
 * It inherits the environment, so this process's settings, and none of its descriptors. */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bindings/util.h"
#include "runtime/fastr.h"

enum { CHILDREN_MOST = 4, ARGUMENTS_MOST = 16, OUTPUT_MOST = 16 << 20, READ_BYTES = 65536, LOOK_US = 2000 };

extern char **environ;

struct child {
    struct fastr_wait wait;
    struct event readable, look;
    struct fastr_buffer output;
    pid_t pid;
    int out, status;
    bool left;     /* its task has gone */
    bool too_much; /* it said more than OUTPUT_MOST */
};

static int running;

static void stop_reading(struct child *child)
{
    if (child->out < 0)
        return;
    event_del(&child->readable);
    close(child->out);
    child->out = -1;
}

static void release(struct child *child)
{
    fastr_buffer_free(&child->output);
    free(child);
}

/* Once it has said all that it says, it is looked for every two milliseconds until it is dead. */
static void look_again(struct child *child)
{
    struct timeval soon = {0, LOOK_US};
    evtimer_add(&child->look, &soon);
}

static void on_look(evutil_socket_t fd, short what, void *data)
{
    struct child *child = data;
    (void)fd;
    (void)what;
    pid_t pid = waitpid(child->pid, &child->status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR)) {
        look_again(child);
        return;
    }
    if (pid < 0)
        child->status = 0xff00; /* somebody else reaped it: what it ended with is not known */
    running--;
    if (child->left)
        release(child);
    else
        fastr_wake(&child->wait);
}

static void on_readable(evutil_socket_t fd, short what, void *data)
{
    struct child *child = data;
    (void)what;
    ssize_t n = read(fd, fastr_buffer_reserve(&child->output, READ_BYTES), READ_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        child->output.length += (size_t)n;
    child->too_much = child->output.length > OUTPUT_MOST;
    if (n > 0 && !child->too_much)
        return;
    if (child->too_much)
        kill(child->pid, SIGKILL);
    stop_reading(child);
    look_again(child);
}

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int finish(lua_State *L, struct fastr_wait *wait)
{
    struct child *child = (struct child *)wait;
    int results = 2;
    if (!L) {
        results = 0;
    } else if (child->too_much) {
        results = fastr_push_error(L, "invalid", "it said more than %d bytes", OUTPUT_MOST);
    } else {
        lua_pushlstring(L, child->output.data ? child->output.data : "", child->output.length);
        lua_pushinteger(L, exit_code(child->status));
    }
    release(child);
    return results;
}

static void cancel(struct fastr_wait *wait)
{
    struct child *child = (struct child *)wait;
    child->left = true;
    kill(child->pid, SIGKILL);
    if (child->out >= 0)
        look_again(child);
    stop_reading(child);
}

/* A descriptor from which `text` can be read, or -1. */
static int readable_text(const char *text, size_t length)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    for (size_t at = 0; fd >= 0 && at < length;) {
        ssize_t n = write(fd, text + at, length - at);
        if (n < 0) {
            close(fd);
            return -1;
        }
        at += (size_t)n;
    }
    return fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 ? fd : -1;
}

/* No signal is blocked or ignored, and 0, 1 and 2 are all that is open. Errors are nobody's to read: a command that is
 * started so says what is wrong in its output. */
static pid_t spawn(char *const *arguments, int in, int out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t about;
    sigset_t none, all;
    pid_t pid = -1;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&about);
    posix_spawnattr_setsigmask(&about, &none);
    posix_spawnattr_setsigdefault(&about, &all);
    posix_spawnattr_setflags(&about, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    int rc = posix_spawn(&pid, "/proc/self/exe", &files, &about, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&about);
    errno = rc;
    return rc == 0 ? pid : -1;
}

/* Starts it; its output comes through *out. -1 with errno. */
static pid_t start(char *const *arguments, const char *input, size_t length, int *out)
{
    int ends[2], in = readable_text(input, length);
    if (in < 0)
        return -1;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        close(in);
        return -1;
    }
    pid_t pid = spawn(arguments, in, ends[1]);
    int why = errno;
    close(in);
    close(ends[1]);
    *out = ends[0];
    if (pid < 0)
        close(ends[0]);
    errno = why;
    return pid;
}

/* The texts of the list at `index`, after the program's name; `list` has room for ARGUMENTS_MOST and two more. */
static void read_arguments(lua_State *L, int index, char **list)
{
    luaL_checktype(L, index, LUA_TTABLE);
    int count = (int)lua_objlen(L, index);
    luaL_argcheck(L, count > 0 && count <= ARGUMENTS_MOST, index, "1 to 16 texts are expected");
    list[0] = (char *)"fastr";
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, index, i);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, index, "1 to 16 texts are expected");
        list[i] = (char *)lua_tostring(L, -1); /* the list keeps it */
        lua_pop(L, 1);
    }
    list[count + 1] = NULL;
}

/* child.run(arguments, input) (waits until it ends) -> what it printed, and its exit code (above 128: a signal ended it).
 * arguments: list of 1 to 16 texts, as after `fastr` on a command line; input: the text that it reads. Raises for others.
 * Returns nil, message, code: "busy" (this process has four already), "invalid" (it said more than 16 MiB; it is ended),
 * "unavailable" (it cannot be started), "timeout" (the task's deadline). If the task ends meanwhile it is killed. */
static int l_run(lua_State *L)
{
    char *arguments[ARGUMENTS_MOST + 2];
    size_t length;
    read_arguments(L, 1, arguments);
    const char *input = luaL_checklstring(L, 2, &length);
    fastr_check_wait(L, "child.run");
    if (running == CHILDREN_MOST)
        return fastr_push_error(L, "busy", "this process has started %d others already", running);
    int out;
    pid_t pid = start(arguments, input, length, &out);
    if (pid < 0)
        return fastr_push_error(L, "unavailable", "cannot start %s: %s", arguments[1], strerror(errno));
    fcntl(out, F_SETFL, O_NONBLOCK);
    struct child *child = fastr_zalloc(sizeof *child);
    child->wait.finish = finish;
    child->wait.cancel = cancel;
    child->pid = pid;
    child->out = out;
    running++;
    event_assign(&child->readable, fastr_loop(), out, EV_READ | EV_PERSIST, on_readable, child);
    evtimer_assign(&child->look, fastr_loop(), on_look, child);
    event_add(&child->readable, NULL);
    return fastr_suspend(L, &child->wait);
}

static const luaL_Reg functions[] = {{"run", l_run}, {NULL, NULL}};

static int open_child(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_child = {.name = "child", .open = open_child};
