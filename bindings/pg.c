/* pg.c: fastr.pg, PostgreSQL for Lua; see pg.h for how the files share the work.
 *
 *   local db = fastr.pg.open { role = "cart" }
 *   local rows = db:read("select id, version from carts where id = $1", id)      -- shared connections, a replica first
 *   local tx = db:begin()
 *   tx:query("update carts set version = version + 1 where id = $1", id)
 *   local lsn = tx:commit()
 *
 * Errors at run time are nil, message, code, constraint. Codes: the SQLSTATE ("23505"), or
 *   "unavailable"     no connection, or it was lost: nothing was committed
 *   "busy"            too many wait already
 *   "timeout"         no free connection in time, the statement's limit, or the task's deadline
 *   "stale_plan"      a migration changed what the statement means, within a transaction: do it again
 *   "commit_unknown"  the COMMIT's answer is late or lost, or no standby confirmed it: look whether it was done */
#include <ctype.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/pg.h"

#define TYPE_DB "fastr.pg.db"
#define TYPE_TX "fastr.pg.tx"

enum { TICK_MS = 50, STUCK_EXTRA_MS = 1000 };

struct pg_pool *pg_pools;
struct pg_limits pg_limits;
static struct event *tick_event;

/* What pg.open returns; its pool is made at the first use in a worker, as states are also built where no loop runs. */
struct db {
    struct pg_pool *pool;
    char role[64]; /* PostgreSQL's names have at most 63 bytes */
    int writes;
    int64_t write_ms, lock_ms;
};

/* ---- settings ----------------------------------------------------------------------------------------------------- */

static int count_items(const char *list)
{
    int count = 1;
    for (; list && *list; list++)
        count += *list == ',';
    return count;
}

static const char *option_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (!strcmp(options->keyword, keyword))
            return options->val;
    return NULL;
}

static int load_target(struct pg_target *target, const char *conninfo, struct fastr_err *err)
{
    char *message = NULL;
    target->conninfo = conninfo;
    target->options = PQconninfoParse(conninfo, &message);
    if (!target->options) {
        fastr_fail(err, "invalid", "setting pg.%s: %s", target->primary ? "primary" : "replicas", message);
        PQfreemem(message);
        return -1;
    }
    const char *address = option_of(target->options, "hostaddr"), *host = option_of(target->options, "host");
    if (!address && !(host && *host == '/'))
        return fastr_fail(err, "invalid", "setting pg.%s, \"%s\": give hostaddr=, a name look-up would block the loop",
                          target->primary ? "primary" : "replicas", conninfo);
    target->hosts = count_items(address ? address : host);
    return 0;
}

static int load_replicas(struct fastr_err *err)
{
    char *list = fastr_strdup(fastr_setting("pg.replicas", "")), *rest = list;
    for (char *item; (item = strsep(&rest, ";"));) {
        item += strspn(item, " ");
        if (!*item)
            continue;
        if (pg_servers.replicas == PG_REPLICAS_MAX)
            return fastr_fail(err, "invalid", "setting pg.replicas: at most %d", PG_REPLICAS_MAX);
        struct pg_target *target = &pg_servers.replica[pg_servers.replicas];
        snprintf(target->name, sizeof target->name, "replica.%d", pg_servers.replicas + 1);
        if (load_target(target, item, err))
            return -1;
        pg_servers.replicas++;
    }
    return 0; /* `list` lives on in the targets */
}

static void load_limits(void)
{
    pg_limits = (struct pg_limits){
        .connect_ms = fastr_setting_int("pg.connect_ms", 1000, 50, 60000),
        .read_ms = fastr_setting_int("pg.read_ms", 2000, 10, 60000),
        .slow_ms = fastr_setting_int("pg.slow_ms", 30000, 100, 3600000),
        .write_ms = fastr_setting_int("pg.write_ms", 10000, 100, 3600000),
        .lock_ms = fastr_setting_int("pg.lock_ms", 5000, 10, 60000),
        .idle_ms = fastr_setting_int("pg.idle_ms", 10000, 100, 600000),
        .commit_ms = fastr_setting_int("pg.commit_ms", 2000, 50, 60000),
        .wait_ms = fastr_setting_int("pg.wait_ms", 2000, 10, 60000),
        .lsn_wait_ms = fastr_setting_int("pg.lsn_wait_ms", 20, 0, 1000),
        .behind_ms = fastr_setting_int("pg.behind_ms", 1000, 100, 2000),
        .reads = fastr_setting_int("pg.reads", 2, 1, PG_SLOTS_MAX),
        .writes = fastr_setting_int("pg.writes", 4, 1, PG_SLOTS_MAX),
        .slows = fastr_setting_int("pg.slows", 2, 1, PG_SLOTS_MAX),
        .queue = fastr_setting_int("pg.queue", 1000, 1, 100000),
    };
}

/* Once a process; needs no loop, so that `fastr check` finds what is wrong. */
static int load_settings(struct fastr_err *err)
{
    static bool loaded;
    if (loaded)
        return 0;
    const char *primary = fastr_setting("pg.primary", "");
    if (!*primary)
        return fastr_fail(err, "invalid", "setting pg.primary (FASTR_PG_PRIMARY) is missing: the primary's connection"
                                          " string, as \"hostaddr=127.0.0.1 port=5432 dbname=shop\"");
    load_limits();
    pg_servers.primary.primary = true;
    snprintf(pg_servers.primary.name, sizeof pg_servers.primary.name, "primary");
    pg_servers.replicas = 0;
    if (load_target(&pg_servers.primary, primary, err) || load_replicas(err))
        return -1;
    loaded = true;
    return 0;
}

/* ---- pools -------------------------------------------------------------------------------------------------------- */

static void on_tick(evutil_socket_t fd, short what, void *data)
{
    uint64_t now = fastr_clock_us();
    pg_probe_tick(now);
    for (struct pg_pool *pool = pg_pools; pool; pool = pool->next) {
        pg_read_tick(pool, now);
        pg_lane_tick(&pool->slow, now);
        pg_lane_tick(&pool->write, now);
        fastr_metric_set(pool->gauge_writing, pool->write.waiting.count);
    }
    pg_listen_tick(now);
}

static void start_ticking(void)
{
    if (tick_event)
        return;
    tick_event = event_new(fastr_loop(), -1, EV_PERSIST, on_tick, NULL);
    struct timeval period = {0, TICK_MS * 1000};
    event_add(tick_event, &period);
}

static void set_up_readers(struct pg_pool *pool)
{
    for (int index = 0; index <= pg_servers.replicas; index++)
        for (int i = 0; i < PG_SLOTS_MAX; i++) {
            struct pg_conn *conn = &pool->readers[index][i];
            conn->kind = PG_READ;
            conn->pool = pool;
            conn->target = index < pg_servers.replicas ? &pg_servers.replica[index] : &pg_servers.primary;
        }
}

static void set_up_lane(struct pg_pool *pool, struct pg_lane *lane, enum pg_kind kind, int max)
{
    lane->kind = kind;
    lane->max = max;
    for (int i = 0; i < PG_SLOTS_MAX; i++) {
        lane->conns[i].kind = kind;
        lane->conns[i].pool = pool;
        lane->conns[i].target = &pg_servers.primary;
    }
}

static struct fastr_metric *queue_gauge(const char *role, const char *lane)
{
    char *labels = fastr_format("role=\"%s\",lane=\"%s\"", role, lane);
    struct fastr_metric *gauge = fastr_gauge("fastr_pg_waiting", labels, "Operations that wait for a connection");
    free(labels);
    return gauge;
}

static struct pg_pool *make_pool(const struct db *db)
{
    struct pg_pool *pool = fastr_zalloc(sizeof *pool);
    pool->role = fastr_strdup(db->role);
    pool->reads = (int)pg_limits.reads;
    pool->write_ms = db->write_ms;
    pool->lock_ms = db->lock_ms;
    pool->gauge_reading = queue_gauge(db->role, "read");
    pool->gauge_writing = queue_gauge(db->role, "write");
    set_up_readers(pool);
    set_up_lane(pool, &pool->slow, PG_SLOW, (int)pg_limits.slows);
    set_up_lane(pool, &pool->write, PG_WRITE, 0);
    pool->next = pg_pools;
    pg_pools = pool;
    start_ticking();
    for (int index = 0; index < pg_servers.replicas; index++)
        pg_conn_open(&pool->readers[index][0]);
    if (!pool->next || !pg_servers.replicas)
        pg_conn_open(&pool->readers[pg_servers.replicas][0]);
    return pool;
}

static struct pg_pool *pool_of(struct db *db)
{
    struct pg_pool *pool = db->pool;
    if (pool)
        return pool;
    for (pool = pg_pools; pool && strcmp(pool->role, db->role); pool = pool->next)
        ;
    if (!pool)
        pool = make_pool(db);
    if (db->writes > pool->write.max)
        pool->write.max = db->writes;
    return db->pool = pool;
}

static void stop_lane(struct pg_lane *lane)
{
    for (int i = 0; i < PG_SLOTS_MAX; i++)
        pg_conn_close(&lane->conns[i]);
}

static void stop(void)
{
    if (tick_event)
        event_free(tick_event);
    tick_event = NULL;
    pg_listen_stop();
    for (struct pg_pool *pool = pg_pools; pool; pool = pool->next) {
        stop_lane(&pool->slow);
        stop_lane(&pool->write);
        for (int index = 0; index <= pg_servers.replicas; index++)
            for (int i = 0; i < PG_SLOTS_MAX; i++)
                pg_conn_close(&pool->readers[index][i]);
    }
}

/* ---- operations of tasks ------------------------------------------------------------------------------------------- */

static int push_failure(lua_State *L, const struct pg_failure *failure)
{
    int count = fastr_push_error(L, failure->err.code, "%s", failure->err.text);
    if (!*failure->constraint)
        return count;
    lua_pushstring(L, failure->constraint);
    return count + 1;
}

static uint64_t lsn_number(const char *text)
{
    unsigned high, low;
    return text && sscanf(text, "%X/%X", &high, &low) == 2 ? (uint64_t)high << 32 | low : 0;
}

static uint64_t lsn_of_task(struct fastr_task *task)
{
    return lsn_number(fastr_task_get(task, "lsn"));
}

/* The session has seen what it wrote: later reads of this task must, too. A branch of fastr.all may have been later. */
static void keep_lsn(struct pg_op *op)
{
    if (lsn_number(op->lsn_text) > lsn_of_task(op->task))
        fastr_task_set(op->task, "lsn", op->lsn_text);
}

static void push_rows(lua_State *L, const struct pg_op *op)
{
    pg_push_rows(L, op->result);
}

static void push_lsn(lua_State *L, const struct pg_op *op)
{
    lua_pushstring(L, op->lsn_text);
}

/* The end of an operation: its failure, or what `push` makes of it. */
static int finish(lua_State *L, struct fastr_wait *wait, void (*push)(lua_State *L, const struct pg_op *op))
{
    struct pg_op *op = (struct pg_op *)wait;
    int count = 0;
    if (L && op->failure) {
        count = push_failure(L, op->failure);
    } else if (L) {
        keep_lsn(op);
        push(L, op);
        count = 1;
    }
    pg_op_free(op);
    return count;
}

static int finish_rows(lua_State *L, struct fastr_wait *wait)
{
    return finish(L, wait, push_rows);
}

static int finish_commit(lua_State *L, struct fastr_wait *wait)
{
    return finish(L, wait, push_lsn);
}

static void cancel(struct fastr_wait *wait)
{
    struct pg_op *op = (struct pg_op *)wait;
    struct pg_conn *conn = op->conn;
    op->task = NULL;
    op->abandoned = true;
    if (op->stage == PG_SENT && (conn->kind == PG_READ || pg_op_commits(op)))
        return; /* freed when its answer arrives */
    bool sent = op->stage == PG_SENT;
    free(op->tx);
    pg_op_free(op);
    if (sent)
        pg_lane_abort(conn);
}

static struct pg_op *task_op(struct pg_pool *pool, const struct pg_class *class)
{
    struct pg_op *op = pg_op_new(pool, class);
    op->task = fastr_task_current();
    op->wait.finish = finish_rows;
    op->wait.cancel = cancel;
    return op;
}

/* With the statement at index 2 and its parameters; NULL with the error pushed if a parameter cannot be sent. */
static struct pg_op *statement_op(lua_State *L, struct pg_pool *pool, const struct pg_class *class)
{
    struct fastr_err err;
    struct pg_op *op = task_op(pool, class);
    if (!pg_parameters(L, 2, op, &err))
        return op;
    pg_op_free(op);
    fastr_push_error(L, err.code, "%s", err.text);
    return NULL;
}

/* ---- db ----------------------------------------------------------------------------------------------------------- */

static struct db *check_db(lua_State *L, int index)
{
    return luaL_checkudata(L, index, TYPE_DB);
}

static const char *skip_blank(const char *sql)
{
    for (;;) {
        sql += strspn(sql, " \t\r\n(");
        if (!strncmp(sql, "--", 2))
            sql += strcspn(sql, "\n");
        else if (!strncmp(sql, "/*", 2) && strstr(sql, "*/"))
            sql = strstr(sql, "*/") + 2;
        else
            return sql;
    }
}

/* A BEGIN or SET on a shared connection would be its neighbours' as well. */
static void check_reads(lua_State *L, const char *name)
{
    static const char *const WORDS[] = {"select", "with", "values", "table", "show", "explain", NULL};
    const char *sql = skip_blank(luaL_checkstring(L, 2));
    for (int i = 0; WORDS[i]; i++) {
        size_t length = strlen(WORDS[i]);
        if (!strncasecmp(sql, WORDS[i], length) && !isalnum((unsigned char)sql[length]))
            return;
    }
    luaL_error(L, "db:%s: only select, with, values, table, show and explain; the rest is for db:write and transactions",
               name);
}

static int start_read(lua_State *L, const char *name, bool primary_only)
{
    struct db *db = check_db(L, 1);
    pg_check_parameters(L, 2);
    check_reads(L, name);
    fastr_check_wait(L, primary_only ? "db:latest" : "db:read");
    struct pg_op *op = statement_op(L, pool_of(db), &pg_read_class);
    if (!op)
        return 3;
    op->primary_only = primary_only;
    op->lsn = primary_only ? 0 : lsn_of_task(op->task);
    pg_op_step(op, PG_STEP_QUERY);
    pg_read_start(op);
    return fastr_suspend(L, &op->wait);
}

/* db:read(sql, ...) (waits) -> rows. One read-only statement of at most pg.read_ms, on a shared connection; a replica
 * that has replayed what this task's session wrote, else the primary.
 * Raises: wrong types, a statement that is not a read, in a transaction.
 * Returns nil, message, code (see the top). */
static int db_read(lua_State *L)
{
    return start_read(L, "read", false);
}

/* db:latest(sql, ...) (waits) -> rows. As db:read, but always from the primary: sees every commit. */
static int db_latest(lua_State *L)
{
    return start_read(L, "latest", true);
}

/* db:slow(sql, ...) (waits) -> rows. A read-only statement of up to pg.slow_ms on a connection of its own: searches,
 * reports. Raises and returns as db:read. */
static int db_slow(lua_State *L)
{
    struct db *db = check_db(L, 1);
    pg_check_parameters(L, 2);
    check_reads(L, "slow");
    fastr_check_wait(L, "db:slow");
    struct pg_op *op = statement_op(L, pool_of(db), &pg_lane_class);
    if (!op)
        return 3;
    op->lsn = lsn_of_task(op->task);
    op->limit_us = (uint64_t)(pg_limits.slow_ms + STUCK_EXTRA_MS) * 1000;
    pg_op_step(op, PG_STEP_QUERY);
    pg_lane_start(&op->pool->slow, op);
    return fastr_suspend(L, &op->wait);
}

static uint64_t write_limit_us(const struct pg_pool *pool)
{
    int64_t ms = pool->write_ms ? pool->write_ms : 3600000;
    return (uint64_t)(ms + STUCK_EXTRA_MS) * 1000;
}

/* db:write(sql, ...) (waits) -> rows. One statement in a transaction of its own, committed.
 * Raises: wrong types, in a transaction. Returns nil, message, code; "timeout" by the task's deadline and
 * "commit_unknown" leave open whether it was done. */
static int db_write(lua_State *L)
{
    struct db *db = check_db(L, 1);
    pg_check_parameters(L, 2);
    fastr_check_wait(L, "db:write");
    struct pg_op *op = statement_op(L, pool_of(db), &pg_lane_class);
    if (!op)
        return 3;
    op->limit_us = write_limit_us(op->pool);
    op->then_commit = true;
    op->begin = "BEGIN";
    pg_op_step(op, PG_STEP_BEGIN);
    pg_op_step(op, PG_STEP_QUERY);
    pg_lane_start(&op->pool->write, op);
    return fastr_suspend(L, &op->wait);
}

/* ---- transactions --------------------------------------------------------------------------------------------------- */

/* Takes the connection from the transaction and ends the latter; the connection may be NULL (lost). */
static struct pg_conn *end_tx(struct pg_tx *tx)
{
    struct pg_conn *conn = tx->conn;
    if (conn)
        conn->tx = NULL;
    if (tx->handle) {
        *tx->handle = NULL;
        fastr_task_undefer(tx->task, &tx->cleanup);
        fastr_task_leave_transaction(tx->task);
    }
    free(tx);
    return conn;
}

static void abandon_tx(struct pg_tx *tx)
{
    struct pg_conn *conn = end_tx(tx);
    if (conn)
        pg_lane_leave(conn);
}

/* Its task ended. Any statement under way was cancelled before, with its connection. */
static void cleanup_tx(struct fastr_cleanup *cleanup)
{
    abandon_tx((struct pg_tx *)cleanup);
}

static int push_tx(lua_State *L, struct pg_tx *tx)
{
    tx->handle = lua_newuserdata(L, sizeof *tx->handle);
    *tx->handle = tx;
    luaL_getmetatable(L, TYPE_TX);
    lua_setmetatable(L, -2);
    tx->cleanup.run = cleanup_tx;
    fastr_task_defer(tx->task, &tx->cleanup);
    fastr_task_enter_transaction(tx->task);
    return 1;
}

static int finish_begin(lua_State *L, struct fastr_wait *wait)
{
    struct pg_op *op = (struct pg_op *)wait;
    int count = 0;
    if (op->failure || !L) {
        count = L ? push_failure(L, op->failure) : 0;
        abandon_tx(op->tx);
    } else {
        count = push_tx(L, op->tx);
    }
    pg_op_free(op);
    return count;
}

static const char *begin_statement(lua_State *L)
{
    if (lua_isnoneornil(L, 2))
        return "BEGIN";
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_getfield(L, 2, "isolation");
    static const char *const LEVELS[] = {"read committed", "repeatable read", "serializable", NULL};
    static const char *const STATEMENTS[] = {"BEGIN ISOLATION LEVEL READ COMMITTED",
                                             "BEGIN ISOLATION LEVEL REPEATABLE READ",
                                             "BEGIN ISOLATION LEVEL SERIALIZABLE"};
    return STATEMENTS[luaL_checkoption(L, -1, "read committed", LEVELS)];
}

/* db:begin{isolation = "read committed"} (waits for a free connection) -> tx. At most pg.idle_ms may pass between its
 * statements. A task that ends without commit has rolled back.
 * Raises: an unknown isolation level, in a transaction. Returns nil, message, code: "unavailable", "busy", "timeout". */
static int db_begin(lua_State *L)
{
    struct db *db = check_db(L, 1);
    const char *begin = begin_statement(L);
    fastr_check_wait(L, "db:begin");
    struct pg_op *op = task_op(pool_of(db), &pg_lane_class);
    op->wait.finish = finish_begin;
    op->tx = fastr_zalloc(sizeof *op->tx);
    op->tx->task = op->task;
    op->tx->begin = begin;
    pg_lane_start(&op->pool->write, op);
    return fastr_suspend(L, &op->wait);
}

static struct pg_tx *check_tx(lua_State *L)
{
    struct pg_tx *tx = *(struct pg_tx **)luaL_checkudata(L, 1, TYPE_TX);
    if (!tx)
        luaL_error(L, "pg: the transaction is closed");
    if (tx->task != fastr_task_current())
        luaL_error(L, "pg: the transaction belongs to another task");
    return tx;
}

static int push_lost(lua_State *L)
{
    return fastr_push_error(L, "unavailable", "the connection to PostgreSQL was lost: nothing was committed");
}

static int run_in_tx(lua_State *L, struct pg_tx *tx, struct pg_op *op, enum pg_step step)
{
    op->limit_us = write_limit_us(op->pool);
    op->begin = tx->begin;
    if (!tx->begun && step != PG_STEP_SCRIPT)
        pg_op_step(op, PG_STEP_BEGIN);
    tx->begun = true;
    pg_op_step(op, step);
    pg_conn_send(tx->conn, op);
    return fastr_suspend(L, &op->wait);
}

/* tx:query(sql, ...) (waits) -> rows. After an error the transaction takes only rollback.
 * Raises: closed, another task's, wrong types. Returns nil, message, code, constraint. */
static int tx_query(lua_State *L)
{
    struct pg_tx *tx = check_tx(L);
    pg_check_parameters(L, 2);
    fastr_check_wait_in_transaction(L, "tx:query");
    if (!tx->conn)
        return push_lost(L);
    struct pg_op *op = statement_op(L, tx->conn->pool, &pg_lane_class);
    return op ? run_in_tx(L, tx, op, PG_STEP_QUERY) : 3;
}

/* tx:script(sql) (waits) -> rows of none. Several statements at once, without parameters: migrations.
 * The first thing in its transaction must be a tx:query. Raises and returns as tx:query. */
static int tx_script(lua_State *L)
{
    struct pg_tx *tx = check_tx(L);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    fastr_check_wait_in_transaction(L, "tx:script");
    if (!tx->begun)
        return luaL_error(L, "tx:script: begin the transaction with a tx:query");
    if (!tx->conn)
        return push_lost(L);
    struct pg_op *op = statement_op(L, tx->conn->pool, &pg_lane_class);
    return op ? run_in_tx(L, tx, op, PG_STEP_SCRIPT) : 3;
}

/* tx:commit() (waits) -> the position in the log up to which a reader must have replayed to see it (text; "" if nothing
 * was done or it is not known). The task's word "lsn" is set to it. The transaction is closed whatever comes back.
 * Raises: closed, another task's. Returns nil, message, code: a SQLSTATE or "unavailable" (rolled back), or
 * "commit_unknown" or (by the task's deadline) "timeout": it may have been committed. */
static int tx_commit(lua_State *L)
{
    struct pg_tx *tx = check_tx(L);
    fastr_check_wait_in_transaction(L, "tx:commit");
    bool begun = tx->begun;
    struct pg_conn *conn = end_tx(tx);
    if (!conn)
        return push_lost(L);
    if (!begun || PQtransactionStatus(conn->pg) == PQTRANS_INERROR) {
        pg_lane_leave(conn);
        if (begun)
            return fastr_push_error(L, "25P02", "the transaction had failed and was rolled back");
        lua_pushliteral(L, "");
        return 1;
    }
    struct pg_op *op = task_op(conn->pool, &pg_lane_class);
    op->wait.finish = finish_commit;
    pg_op_to_commit(op);
    pg_conn_send(conn, op);
    return fastr_suspend(L, &op->wait);
}

/* tx:rollback() -> true. Does not wait: the connection is given back when the server has rolled back.
 * Raises: closed, another task's. */
static int tx_rollback(lua_State *L)
{
    abandon_tx(check_tx(L));
    lua_pushboolean(L, 1);
    return 1;
}

static int tx_gc(lua_State *L)
{
    struct pg_tx *tx = *(struct pg_tx **)lua_touserdata(L, 1);
    if (tx)
        abandon_tx(tx);
    return 0;
}

/* ---- the module ------------------------------------------------------------------------------------------------------ */

static int64_t number_field(lua_State *L, const char *name, int64_t otherwise, int64_t least, int64_t most)
{
    lua_getfield(L, 1, name);
    double value = lua_isnil(L, -1) ? (double)otherwise : luaL_checknumber(L, -1);
    lua_pop(L, 1);
    if (value < (double)least || value > (double)most)
        luaL_error(L, "pg.open: %s must be %d to %d", name, (int)least, (int)most);
    return (int64_t)value;
}

/* pg.open{role =, writes = 4, write_ms = 10000, lock_ms = 5000} -> db. The connections belong to the role in this
 * worker: opening again gives the same ones, with the first one's limits. `writes`: transactions at once, 1 to 32.
 * `write_ms`, `lock_ms`: limits of a statement and of a wait for a lock in a transaction; 0 for none.
 * Raises: no role, a value out of range, settings that are missing or wrong. */
static int pg_open(lua_State *L)
{
    struct fastr_err err;
    luaL_checktype(L, 1, LUA_TTABLE);
    if (load_settings(&err))
        return luaL_error(L, "pg.open: %s", err.text);
    lua_getfield(L, 1, "role");
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "role is missing: the name of the service");
    luaL_argcheck(L, lua_objlen(L, -1) < sizeof ((struct db *)0)->role, 1, "role: at most 63 bytes");
    struct db made = {.writes = (int)number_field(L, "writes", pg_limits.writes, 1, PG_SLOTS_MAX),
                      .write_ms = number_field(L, "write_ms", pg_limits.write_ms, 0, 3600000),
                      .lock_ms = number_field(L, "lock_ms", pg_limits.lock_ms, 0, 3600000)};
    struct db *db = lua_newuserdata(L, sizeof *db);
    *db = made;
    luaL_getmetatable(L, TYPE_DB);
    lua_setmetatable(L, -2);
    snprintf(db->role, sizeof db->role, "%s", lua_tostring(L, -2));
    if (fastr_loop())
        pool_of(db);
    return 1;
}

/* pg.listen(db, channel) -> listener, whose next(timeout_ms) waits for notifications (see pg_listen.c).
 * Raises: a channel that is not 1 to 63 letters, digits and underscores; outside a worker. */
static int listen_on(lua_State *L)
{
    struct db *db = check_db(L, 1);
    const char *channel = luaL_checkstring(L, 2);
    size_t length = strspn(channel, "abcdefghijklmnopqrstuvwxyz0123456789_");
    luaL_argcheck(L, length && length < 64 && !channel[length], 2, "1 to 63 lower-case letters, digits or underscores");
    if (!fastr_loop())
        return luaL_error(L, "pg.listen: only in a worker");
    return pg_listen_open(L, pool_of(db), channel);
}

static const luaL_Reg TX[] = {
    {"query", tx_query}, {"script", tx_script}, {"commit", tx_commit}, {"rollback", tx_rollback}, {NULL, NULL},
};

static const luaL_Reg DB[] = {
    {"read", db_read},   {"latest", db_latest}, {"slow", db_slow},
    {"write", db_write}, {"begin", db_begin},   {NULL, NULL},
};

static const luaL_Reg MODULE[] = {
    {"open", pg_open}, {"array", pg_value_array}, {"json", pg_value_json}, {"listen", listen_on}, {NULL, NULL},
};

static void register_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_register(L, NULL, methods);
    lua_setfield(L, -2, "__index");
    if (gc) {
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

static int open_module(lua_State *L)
{
    register_type(L, TYPE_DB, DB, NULL);
    register_type(L, TYPE_TX, TX, tx_gc);
    pg_value_register(L);
    pg_listen_register(L);
    lua_newtable(L);
    luaL_register(L, NULL, MODULE);
    return 1;
}

const struct fastr_binding fastr_binding_pg = {.name = "pg", .open = open_module, .stop = stop};
