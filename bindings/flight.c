/* flight.c: fastr.flight, what the tasks of one worker share without a lock: one of them works for all that want the
 * same (join, land), and one wakes another that waits (nudge, await). Names live while somebody uses them. */
#include "bindings/util.h"
#include "runtime/fastr.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_MOST = 512, TABLE = 256 };

struct waiter {
    struct fastr_wait wait;
    struct waiter *next;
    struct entry *entry; /* NULL once it has landed or was nudged */
    struct event timer;  /* of await */
    char *value;
    size_t length;
    bool landed, nudged, timed;
};

/* A key that a task leads, or a name that was nudged or is awaited. */
struct entry {
    struct entry *next;
    struct fastr_cleanup cleanup; /* on the leader */
    struct fastr_task *leader;
    struct waiter *waiters;
    bool nudged; /* and nobody has awaited it since */
    char *name;
};

static struct {
    struct entry *table[TABLE];
    char id[64];
} flight;

/* ---- entries ---------------------------------------------------------------------------------------------- */

static struct entry **place(const char *name)
{
    struct entry **link = &flight.table[fastr_hash(name) % TABLE];
    while (*link && strcmp((*link)->name, name) != 0)
        link = &(*link)->next;
    return link;
}

static struct entry *find_or_make(const char *name)
{
    struct entry **link = place(name);
    if (*link == NULL) {
        *link = fastr_zalloc(sizeof **link);
        (*link)->name = fastr_strdup(name);
    }
    return *link;
}

static void free_if_unused(struct entry *entry)
{
    if (entry->leader || entry->waiters || entry->nudged)
        return;
    *place(entry->name) = entry->next;
    free(entry->name);
    free(entry);
}

/* Keys of join and names of await are apart. `kind` is 'f' or 'n'. */
static const char *check_name(lua_State *L, char kind, char *full)
{
    size_t length;
    const char *name = luaL_checklstring(L, 1, &length);
    luaL_argcheck(L, length >= 1 && length < NAME_MOST && strlen(name) == length, 1, "1 to 511 bytes without NUL");
    snprintf(full, NAME_MOST + 1, "%c%s", kind, name);
    return full;
}

/* ---- waiters ---------------------------------------------------------------------------------------------- */

static void leave_entry(struct waiter *waiter)
{
    struct entry *entry = waiter->entry;
    if (entry == NULL)
        return;
    struct waiter **link = &entry->waiters;
    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
    waiter->entry = NULL;
    free_if_unused(entry);
}

static void waiter_free(struct waiter *waiter)
{
    leave_entry(waiter);
    if (waiter->timed)
        evtimer_del(&waiter->timer);
    free(waiter->value);
    free(waiter);
}

static void cancel(struct fastr_wait *wait)
{
    waiter_free((struct waiter *)wait);
}

static struct waiter *waiter_new(struct entry *entry, int (*finish)(lua_State *, struct fastr_wait *))
{
    struct waiter *waiter = fastr_zalloc(sizeof *waiter);
    waiter->wait.finish = finish;
    waiter->wait.cancel = cancel;
    waiter->entry = entry;
    waiter->next = entry->waiters;
    entry->waiters = waiter;
    return waiter;
}

/* ---- join and land ---------------------------------------------------------------------------------------------- */

/* Takes the leader's place away and gives its value, if it has one, to all who wait. */
static void end_flight(struct entry *entry, const char *value, size_t length)
{
    entry->leader = NULL;
    while (entry->waiters) {
        struct waiter *waiter = entry->waiters;
        entry->waiters = waiter->next;
        waiter->entry = NULL;
        waiter->landed = value != NULL;
        if (value) {
            waiter->value = fastr_strndup(value, length);
            waiter->length = length;
        }
        fastr_wake(&waiter->wait);
    }
    free_if_unused(entry);
}

static void leader_ended(struct fastr_cleanup *cleanup)
{
    end_flight((struct entry *)((char *)cleanup - offsetof(struct entry, cleanup)), NULL, 0);
}

static int finish_join(lua_State *L, struct fastr_wait *wait)
{
    struct waiter *waiter = (struct waiter *)wait;
    if (L) {
        lua_pushboolean(L, 0);
        if (waiter->landed)
            lua_pushlstring(L, waiter->value, waiter->length);
        else
            lua_pushnil(L);
    }
    waiter_free(waiter);
    return L ? 2 : 0;
}

/** flight.join(key): true for the task that is to do the work of `key` and then calls land; any other waits for that.
 * @return  true, or false and the text that the leader landed; false, nil when it ended without one
 * Raises: a key that is not a text of 1 to 511 bytes, waiting where that is illegal, joining what this task leads. */
static int lua_join(lua_State *L)
{
    char name[NAME_MOST + 1];
    check_name(L, 'f', name);
    fastr_check_wait(L, "flight.join");
    struct entry *entry = find_or_make(name);
    if (entry->leader == fastr_task_current())
        return luaL_error(L, "flight.join: this task leads \"%s\" already", name + 1);
    if (entry->leader)
        return fastr_suspend(L, &waiter_new(entry, finish_join)->wait);
    entry->leader = fastr_task_current();
    entry->cleanup.run = leader_ended;
    fastr_task_defer(entry->leader, &entry->cleanup);
    lua_pushboolean(L, 1);
    return 1;
}

/** flight.land(key, text) ends what join began: all who wait go on with the text (nil: none).
 * Raises: when this task does not lead the key. */
static int lua_land(lua_State *L)
{
    char name[NAME_MOST + 1];
    size_t length = 0;
    check_name(L, 'f', name);
    const char *value = luaL_optlstring(L, 2, NULL, &length);
    struct entry *entry = *place(name);
    if (entry == NULL || entry->leader == NULL || entry->leader != fastr_task_current())
        return luaL_error(L, "flight.land: this task does not lead \"%s\"", name + 1);
    fastr_task_undefer(entry->leader, &entry->cleanup);
    end_flight(entry, value, length);
    return 0;
}

/* ---- nudge and await -------------------------------------------------------------------------------------------- */

static int finish_await(lua_State *L, struct fastr_wait *wait)
{
    struct waiter *waiter = (struct waiter *)wait;
    if (L)
        lua_pushboolean(L, waiter->nudged);
    waiter_free(waiter);
    return L ? 1 : 0;
}

static void on_timer(evutil_socket_t fd, short what, void *data)
{
    struct waiter *waiter = data;
    (void)fd, (void)what;
    leave_entry(waiter);
    fastr_wake(&waiter->wait);
}

/** flight.nudge(name) wakes the tasks of this worker that await the name; without any, the next await returns at once.
 * Never waits, so it is legal anywhere. */
static int lua_nudge(lua_State *L)
{
    char name[NAME_MOST + 1];
    check_name(L, 'n', name);
    struct entry *entry = find_or_make(name);
    entry->nudged = entry->waiters == NULL;
    while (entry->waiters) {
        struct waiter *waiter = entry->waiters;
        entry->waiters = waiter->next;
        waiter->entry = NULL;
        waiter->nudged = true;
        fastr_wake(&waiter->wait);
    }
    free_if_unused(entry);
    return 0;
}

/** flight.await(name, ms) waits 1 to 60,000 ms for a nudge; true if one came, also before the call.
 * Raises: waiting where that is illegal. */
static int lua_await(lua_State *L)
{
    char name[NAME_MOST + 1];
    check_name(L, 'n', name);
    int64_t ms = fastr_check_int(L, 2, 1, 60000);
    fastr_check_wait(L, "flight.await");
    struct entry *entry = find_or_make(name);
    if (entry->nudged) {
        entry->nudged = false;
        free_if_unused(entry);
        lua_pushboolean(L, 1);
        return 1;
    }
    struct waiter *waiter = waiter_new(entry, finish_await);
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    evtimer_assign(&waiter->timer, fastr_loop(), on_timer, waiter);
    waiter->timed = true;
    evtimer_add(&waiter->timer, &delay);
    return fastr_suspend(L, &waiter->wait);
}

/* ---- the worker ---------------------------------------------------------------------------------------------- */

/** flight.id() -> a text that names this worker process among all that ever ran, also across reloads. */
static int lua_id(lua_State *L)
{
    if (*flight.id == 0)
        snprintf(flight.id, sizeof flight.id, "%s-%d-%llx", fastr_setting("name", "fastr"), (int)getpid(),
                 (unsigned long long)fastr_clock_us());
    lua_pushstring(L, flight.id);
    return 1;
}

static const luaL_Reg functions[] = {{"join", lua_join},   {"land", lua_land}, {"nudge", lua_nudge},
                                     {"await", lua_await}, {"id", lua_id},     {NULL, NULL}};

static int open_module(lua_State *L)
{
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

extern const struct fastr_binding fastr_binding_flight;
const struct fastr_binding fastr_binding_flight = {.name = "flight", .open = open_module};
