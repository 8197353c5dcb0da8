/* pg_listen.c: LISTEN, on a connection of its own to the primary.
 *
 * Notifications are hints: they are lost while the connection is. So `next` says "listening" each time that a LISTEN has
 * begun (the first, and after each reconnection) or that too many came at once; its caller then reads the table. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/pg.h"

#define TYPE_LISTENER "fastr.pg.listener"

enum { PAYLOADS_MAX = 1000 };

struct payload {
    struct payload *next;
    char text[];
};

/* A task in next(). */
struct next_wait {
    struct fastr_wait wait;
    struct pg_listener *listener; /* NULL: it was closed */
    struct event *timer;
};

struct pg_listener {
    struct pg_listener *next;
    struct pg_conn conn;
    char *command; /* LISTEN "channel" */
    struct payload *first, *last;
    int count;
    bool listening; /* to be said */
    struct next_wait *waiting;
};

static struct pg_listener *listeners;

static void wake(struct pg_listener *listener)
{
    struct next_wait *next = listener->waiting;
    listener->waiting = NULL;
    if (next)
        fastr_wake(&next->wait);
}

static struct payload *take_payload(struct pg_listener *listener)
{
    struct payload *payload = listener->first;
    if (payload) {
        listener->first = payload->next;
        listener->count--;
    }
    if (!listener->first)
        listener->last = NULL;
    return payload;
}

static void drop_payloads(struct pg_listener *listener)
{
    for (struct payload *payload; (payload = take_payload(listener));)
        free(payload);
}

static void keep_payload(struct pg_listener *listener, const char *text)
{
    size_t size = strlen(text) + 1;
    struct payload *payload = fastr_alloc(sizeof *payload + size);
    payload->next = NULL;
    memcpy(payload->text, text, size);
    *(listener->last ? &listener->last->next : &listener->first) = payload;
    listener->last = payload;
    if (++listener->count > PAYLOADS_MAX) {
        drop_payloads(listener);
        listener->listening = true;
    }
    wake(listener);
}

void pg_listen_ready(struct pg_conn *conn)
{
    if (!PQsendQuery(conn->pg, conn->listener->command) || PQflush(conn->pg) < 0)
        pg_conn_break(conn, "%s", PQerrorMessage(conn->pg));
}

void pg_listen_input(struct pg_conn *conn)
{
    struct pg_listener *listener = conn->listener;
    while (!PQisBusy(conn->pg)) {
        PGresult *result = PQgetResult(conn->pg);
        if (!result)
            break;
        if (PQresultStatus(result) == PGRES_COMMAND_OK) {
            drop_payloads(listener);
            listener->listening = true;
            wake(listener);
        }
        PQclear(result);
    }
    for (PGnotify *notify; (notify = PQnotifies(conn->pg));) {
        keep_payload(listener, notify->extra);
        PQfreemem(notify);
    }
}

void pg_listen_tick(uint64_t now)
{
    for (struct pg_listener *at = listeners; at; at = at->next) {
        pg_conn_tick(&at->conn, now);
        pg_conn_open(&at->conn);
        if (at->conn.state == PG_READY && pg_server_lost(&at->conn))
            pg_conn_break(&at->conn, "the primary does not answer");
    }
}

void pg_listen_stop(void)
{
    for (struct pg_listener *at = listeners; at; at = at->next)
        pg_conn_close(&at->conn);
}

/* ---- Lua ---------------------------------------------------------------------------------------------------------- */

static void end_next(struct next_wait *next)
{
    if (next->listener && next->listener->waiting == next)
        next->listener->waiting = NULL;
    event_free(next->timer);
    free(next);
}

static int push_next(lua_State *L, struct pg_listener *listener)
{
    if (listener->listening) {
        listener->listening = false;
        return fastr_push_error(L, "listening", "listening from now on: read the table for what came before");
    }
    struct payload *payload = take_payload(listener);
    if (!payload)
        return fastr_push_error(L, "timeout", "no notification");
    lua_pushstring(L, payload->text);
    free(payload);
    return 1;
}

static int finish_next(lua_State *L, struct fastr_wait *wait)
{
    struct next_wait *next = (struct next_wait *)wait;
    struct pg_listener *listener = next->listener;
    end_next(next);
    if (!L)
        return 0;
    return listener ? push_next(L, listener) : fastr_push_error(L, "closed", "the listener was closed");
}

static void cancel_next(struct fastr_wait *wait)
{
    end_next((struct next_wait *)wait);
}

static void on_timeout(evutil_socket_t fd, short what, void *data)
{
    struct next_wait *next = data;
    if (next->listener)
        next->listener->waiting = NULL;
    fastr_wake(&next->wait);
}

static struct pg_listener *check_listener(lua_State *L)
{
    struct pg_listener *listener = *(struct pg_listener **)luaL_checkudata(L, 1, TYPE_LISTENER);
    if (!listener)
        luaL_error(L, "pg: the listener is closed");
    return listener;
}

/* listener:next(timeout_ms) (waits) -> payload (text).
 * Raises: closed listener, a second task in next, a timeout that is not 1 to 3,600,000.
 * Returns nil, message, code: "listening" (read the table now; see the top of this file), "timeout", "closed". */
static int listener_next(lua_State *L)
{
    struct pg_listener *listener = check_listener(L);
    int ms = luaL_checkint(L, 2);
    luaL_argcheck(L, ms >= 1 && ms <= 3600000, 2, "1 to 3600000 ms");
    fastr_check_wait(L, "pg: listener:next");
    if (listener->waiting)
        return luaL_error(L, "pg: another task waits for this listener");
    if (listener->listening || listener->first)
        return push_next(L, listener);
    struct next_wait *next = fastr_zalloc(sizeof *next);
    next->wait.finish = finish_next;
    next->wait.cancel = cancel_next;
    next->listener = listener;
    next->timer = evtimer_new(fastr_loop(), on_timeout, next);
    struct timeval after = {ms / 1000, ms % 1000 * 1000};
    evtimer_add(next->timer, &after);
    listener->waiting = next;
    return fastr_suspend(L, &next->wait);
}

static void unlink_listener(struct pg_listener *listener)
{
    struct pg_listener **at = &listeners;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
}

/* listener:close(); again does nothing. Also done by the collector. */
static int listener_close(lua_State *L)
{
    struct pg_listener **handle = luaL_checkudata(L, 1, TYPE_LISTENER), *listener = *handle;
    if (!listener)
        return 0;
    *handle = NULL;
    if (listener->waiting)
        listener->waiting->listener = NULL;
    wake(listener);
    pg_conn_close(&listener->conn);
    unlink_listener(listener);
    drop_payloads(listener);
    free(listener->conn.statements);
    free(listener->command);
    free(listener);
    return 0;
}

int pg_listen_open(lua_State *L, struct pg_pool *pool, const char *channel)
{
    struct pg_listener **handle = lua_newuserdata(L, sizeof *handle), *listener = fastr_zalloc(sizeof *listener);
    *handle = listener;
    luaL_getmetatable(L, TYPE_LISTENER);
    lua_setmetatable(L, -2);
    listener->command = fastr_format("LISTEN \"%s\"", channel);
    listener->conn.kind = PG_LISTEN;
    listener->conn.pool = pool;
    listener->conn.target = &pg_servers.primary;
    listener->conn.listener = listener;
    listener->next = listeners;
    listeners = listener;
    pg_conn_open(&listener->conn);
    return 1;
}

static const luaL_Reg LISTENER[] = {{"next", listener_next}, {"close", listener_close}, {NULL, NULL}};

void pg_listen_register(lua_State *L)
{
    luaL_newmetatable(L, TYPE_LISTENER);
    lua_newtable(L);
    luaL_register(L, NULL, LISTENER);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, listener_close);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
