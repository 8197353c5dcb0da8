/* host.c: fastr.host: for a service that acts for the whole host: what it asks the master that leads it, and being the
 * one process that does; and which processes of this host have ended. Leans on runtime/control.h.
 *
 *   if fastr.host.lead("rules-agent") then fastr.host.ask("status") end */
#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bindings/util.h"
#include "runtime/control.h"
#include "runtime/json.h"

enum { ANSWER_S = 15, LEADS_MAX = 8, LIFE_DIGITS = 32, LIFE_KEPT_S = 3600 };

/* ---- asking ------------------------------------------------------------------------------------------------------ */

struct question {
    struct fastr_wait wait;
    struct bufferevent *peer;
    char *reply;
    bool late;
};

static void hang_up(struct question *question) {
    if (question->peer)
        bufferevent_free(question->peer);
    question->peer = NULL;
}

static void on_reply(struct bufferevent *peer, void *data) {
    struct question *question = data;
    question->reply = evbuffer_readln(bufferevent_get_input(peer), NULL, EVBUFFER_EOL_LF);
    if (!question->reply)
        return;
    hang_up(question);
    fastr_wake(&question->wait);
}

static void on_event(struct bufferevent *peer, short what, void *data) {
    struct question *question = data;
    if (what & BEV_EVENT_CONNECTED)
        return;
    question->late = (what & BEV_EVENT_TIMEOUT) != 0;
    hang_up(question);
    fastr_wake(&question->wait);
}

static int finish(lua_State *L, struct fastr_wait *wait) {
    struct question *question = (struct question *)wait;
    struct fastr_err err;
    int results;
    if (!question->reply)
        results = fastr_push_error(L, question->late ? "timeout" : "unavailable", "the leading master did not answer");
    else if (fastr_json_push(L, question->reply, strlen(question->reply), NULL, &err) != 0)
        results = fastr_push_err(L, &err);
    else
        results = 1;
    free(question->reply);
    free(question);
    return results;
}

static void cancel(struct fastr_wait *wait) {
    struct question *question = (struct question *)wait;
    hang_up(question);
    free(question->reply);
    free(question);
}

static int begin(struct question *question, const char *leader, const char *command) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval limit = {ANSWER_S, 0};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/run/%s.sock", fastr_setting("var", "var"), leader);
    question->peer = bufferevent_socket_new(fastr_loop(), -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    bufferevent_setcb(question->peer, on_reply, NULL, on_event, question);
    bufferevent_set_timeouts(question->peer, &limit, &limit);
    evbuffer_add_printf(bufferevent_get_output(question->peer), "%s\n", command);
    bufferevent_enable(question->peer, EV_READ | EV_WRITE);
    if (bufferevent_socket_connect(question->peer, (struct sockaddr *)&address, sizeof address) == 0)
        return 0;
    hang_up(question);
    return -1;
}

/* host.ask(command) (waits, at most 15 s) -> the reply of the master that leads this host (runtime/master.c has the
 * commands), as a table. Raises for a command with a line end. Returns nil, message, code: "unavailable" (none leads,
 * or it does not answer), "timeout". */
static int l_ask(lua_State *L) {
    const char *command = luaL_checkstring(L, 1);
    luaL_argcheck(L, !strpbrk(command, "\r\n"), 1, "a command is one line");
    fastr_check_wait(L, "host.ask");
    char *leader = fastr_control_leader(fastr_setting("var", "var"));
    if (!leader)
        return fastr_push_error(L, "unavailable", "no master leads this host");
    struct question *question = fastr_zalloc(sizeof *question);
    question->wait.finish = finish;
    question->wait.cancel = cancel;
    int rc = begin(question, leader, command);
    free(leader);
    if (rc != 0) {
        free(question);
        return fastr_push_error(L, "unavailable", "cannot reach the leading master");
    }
    return fastr_suspend(L, &question->wait);
}

/* ---- leading ----------------------------------------------------------------------------------------------------- */

static struct lead {
    char name[64];
    int fd;
} leads[LEADS_MAX];
static int lead_count;

static struct lead *find_lead(const char *name) {
    for (int i = 0; i < lead_count; i++)
        if (strcmp(leads[i].name, name) == 0)
            return &leads[i];
    return NULL;
}

static int open_lock(const char *name) {
    char *path = fastr_format("%s/run/%s.lead", fastr_setting("var", "var"), name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) || ftruncate(fd, 0))) {
        close(fd);
        return -1;
    }
    return fd;
}

static const char *check_name(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    size_t length = strlen(name);
    luaL_argcheck(L, length > 0 && length < sizeof leads->name && strspn(name, "abcdefghijklmnopqrstuvwxyz-") == length, 1,
                  "a name of small letters and - is expected");
    return name;
}

/* host.lead(name) -> is this process the one of its host that leads in `name`? It does from the first call for which
 * nobody else did, until it ends, however it ends. */
static int l_lead(lua_State *L) {
    const char *name = check_name(L);
    int fd = find_lead(name) || lead_count == LEADS_MAX ? -1 : open_lock(name);
    if (fd >= 0) {
        struct lead *lead = &leads[lead_count++];
        snprintf(lead->name, sizeof lead->name, "%s", name);
        lead->fd = fd;
    }
    lua_pushboolean(L, find_lead(name) != NULL);
    return 1;
}

/* host.tell(name, word) -> true: what the other processes of the host are told of the one that leads; gone when it
 * ends. False if this process does not lead. */
static int l_tell(lua_State *L) {
    struct lead *lead = find_lead(check_name(L));
    size_t length;
    const char *word = luaL_checklstring(L, 2, &length);
    lua_pushboolean(L, lead && ftruncate(lead->fd, 0) == 0 && pwrite(lead->fd, word, length, 0) == (ssize_t)length);
    return 1;
}

/* ---- lives -------------------------------------------------------------------------------------------------------
 *
 * A process that wants to be missed holds a lock on var/run/LIFE.life from the first time that it is asked for its name
 * until it ends: the kernel lets go of it then, however it ends, and never before. So who can take the lock of a file
 * that is there knows that nobody works under that name any more. A file that is not there proves nothing: the life is
 * another host's, for var is one host's own. */

static char own_life[LIFE_DIGITS + 1]; /* "" until asked for; its lock is held by a descriptor that is never closed */

static char *life_path(const char *life) {
    return fastr_format("%s/run/%s.life", fastr_setting("var", "var"), life);
}

static bool is_life(const char *text, size_t length) {
    return length == LIFE_DIGITS && strspn(text, "0123456789abcdef") >= LIFE_DIGITS;
}

/* Shared, so that two who look at once do not take each other for the one who lives. */
static bool has_ended(int fd) {
    return flock(fd, LOCK_SH | LOCK_NB) == 0;
}

/* The file of a life that ended more than LIFE_KEPT_S ago, when no lease of it can still last, is removed. */
static void sweep_life(const char *path) {
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &info) == 0 && info.st_mtime + LIFE_KEPT_S < time(NULL) && has_ended(fd))
        unlink(path);
    close(fd);
}

static void sweep_lives(void) {
    char *folder = fastr_format("%s/run", fastr_setting("var", "var"));
    DIR *run = opendir(folder);
    free(folder);
    for (struct dirent *entry; run && (entry = readdir(run));) {
        const char *dot = strchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".life") != 0 || !is_life(entry->d_name, (size_t)(dot - entry->d_name)))
            continue;
        entry->d_name[LIFE_DIGITS] = '\0';
        char *path = life_path(entry->d_name);
        sweep_life(path);
        free(path);
    }
    if (run)
        closedir(run);
}

static int begin_life(void) {
    unsigned char random[LIFE_DIGITS / 2];
    char name[LIFE_DIGITS + 1];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return -1;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(name + 2 * i, 3, "%02x", random[i]);
    char *path = life_path(name);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    free(path);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return -1;
    }
    memcpy(own_life, name, sizeof own_life);
    return 0;
}

/* host.life() -> the name of this process for others who may have to know that it has ended: 32 hex digits, the same at
 * each call, never another's. Returns nil, message, "unavailable" if no file can be made below var/run. */
static int l_life(lua_State *L) {
    if (!own_life[0]) {
        if (begin_life() != 0)
            return fastr_push_error(L, "unavailable", "cannot make this process's file below var/run");
        sweep_lives();
    }
    lua_pushstring(L, own_life);
    return 1;
}

/* host.is_over(life) -> has the process that host.life() named so certainly ended? False while it lives, stopped or
 * not, and where this host cannot know: the life is another host's, or ended long ago. Raises for what is no such
 * name. */
static int l_is_over(lua_State *L) {
    size_t length;
    const char *life = luaL_checklstring(L, 1, &length);
    luaL_argcheck(L, is_life(life, length), 1, "32 hex digits are expected");
    char *path = life_path(life);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    lua_pushboolean(L, fd >= 0 && has_ended(fd));
    if (fd >= 0)
        close(fd);
    return 1;
}

static const luaL_Reg functions[] = {{"ask", l_ask},         {"lead", l_lead}, {"tell", l_tell}, {"life", l_life},
                                     {"is_over", l_is_over}, {NULL, NULL}};

static int open_host(lua_State *L) {
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_host = {.name = "host", .open = open_host};
