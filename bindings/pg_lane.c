/* pg_lane.c: connections that are checked out for one operation or one transaction: the writers and the slow readers.
 *
 *   task: begin/write/slow -> free connection?  yes: checked out -> ... -> rolled back if need be -> given back
 *                                               no: waits, bounded in number ("busy") and time ("timeout")
 *
 * A COMMIT is never cancelled. If its answer is late, its task is told "commit_unknown" and the connection stays checked
 * out until the server does answer; so commits that no standby confirms hold at most one lane's worth of the server's
 * connections, and when all of a lane hang, what comes next fails at once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/pg.h"

enum { IDLE_CLOSE_S = 60, STUCK_EXTRA_MS = 1000, GONE_MS = 1000 };

static struct pg_lane *lane_of(struct pg_conn *conn)
{
    return conn->kind == PG_WRITE ? &conn->pool->write : &conn->pool->slow;
}

bool pg_op_commits(const struct pg_op *op)
{
    for (int i = 0; i < op->step_count; i++)
        if (op->steps[i] == PG_STEP_COMMIT)
            return true;
    return false;
}

void pg_op_to_commit(struct pg_op *op)
{
    op->step_count = op->step = 0;
    op->then_commit = false;
    op->limit_us = (uint64_t)pg_limits.commit_ms * 1000;
    pg_op_step(op, PG_STEP_NO_LIMIT); /* statement_timeout would cancel the wait for a standby */
    pg_op_step(op, PG_STEP_COMMIT);
    pg_op_step(op, PG_STEP_LSN);
}

/* ---- checking out ------------------------------------------------------------------------------------------------- */

static bool suits(const struct pg_lane *lane, const struct pg_conn *conn, const struct pg_op *op)
{
    return lane->kind == PG_WRITE || pg_target_serves(conn->target, op);
}

static struct pg_target *target_for(const struct pg_lane *lane, const struct pg_op *op)
{
    return lane->kind == PG_WRITE ? &pg_servers.primary : pg_read_target(op->pool, op);
}

static struct pg_conn *free_conn(struct pg_lane *lane, const struct pg_op *op)
{
    for (int i = 0; i < lane->max; i++) {
        struct pg_conn *conn = &lane->conns[i];
        if (conn->state == PG_READY && !conn->busy && suits(lane, conn, op))
            return conn;
    }
    return NULL;
}

/* As many as are waiting may be on their way; a slow lane gives up an idle connection to an unsuitable server. */
static void open_another(struct pg_lane *lane, const struct pg_op *op)
{
    int connecting = 0;
    for (int i = 0; i < lane->max; i++)
        connecting += lane->conns[i].state == PG_CONNECTING;
    for (int i = 0; i < lane->max && connecting < lane->waiting.count; i++) {
        struct pg_conn *conn = &lane->conns[i];
        if (conn->state == PG_READY && !conn->busy && !suits(lane, conn, op))
            pg_conn_close(conn);
        if (conn->state != PG_CLOSED)
            continue;
        conn->target = target_for(lane, op);
        pg_conn_open(conn);
        connecting += conn->state == PG_CONNECTING;
    }
}

/* Begin has nothing to send yet; its BEGIN goes out with the first statement. */
static void assign(struct pg_conn *conn, struct pg_op *op)
{
    conn->busy = true;
    conn->unsynced = false;
    op->conn = conn;
    conn->tx = op->tx;
    if (op->tx)
        op->tx->conn = conn;
    if (op->step_count)
        pg_conn_send(conn, op);
    else
        pg_op_finish(op);
}

void pg_lane_serve(struct pg_lane *lane)
{
    for (struct pg_op *op; (op = lane->waiting.first);) {
        struct pg_conn *conn = free_conn(lane, op);
        if (!conn) {
            open_another(lane, op);
            return;
        }
        pg_list_remove(op);
        assign(conn, op);
    }
}

/* Do all connections wait for commits that no standby confirms? */
static bool all_late(const struct pg_lane *lane)
{
    for (int i = 0; i < lane->max; i++)
        if (!lane->conns[i].ops.first || !lane->conns[i].ops.first->late)
            return false;
    return true;
}

static bool any_ready(const struct pg_lane *lane)
{
    for (int i = 0; i < lane->max; i++)
        if (lane->conns[i].state == PG_READY)
            return true;
    return false;
}

void pg_lane_start(struct pg_lane *lane, struct pg_op *op)
{
    op->stage = PG_QUEUED;
    op->queued_us = fastr_clock_us();
    if (all_late(lane)) {
        pg_op_fail(op, "unavailable", "PostgreSQL does not confirm commits: is a synchronous standby there?");
        pg_op_finish(op);
    } else if (lane->kind == PG_WRITE && !any_ready(lane) && pg_primary_gone()) {
        pg_op_fail(op, "unavailable", "the primary is away: %s", pg_servers.primary.error);
        pg_op_finish(op);
    } else if (lane->waiting.count >= pg_limits.queue) {
        pg_op_fail(op, "busy", "%d operations wait for a connection already", lane->waiting.count);
        pg_op_finish(op);
    } else {
        pg_list_add(&lane->waiting, op);
        pg_lane_serve(lane);
    }
}

/* ---- giving back -------------------------------------------------------------------------------------------------- */

static struct pg_op *rollback_op(struct pg_conn *conn)
{
    struct pg_op *op = pg_op_new(conn->pool, &pg_lane_class);
    op->limit_us = STUCK_EXTRA_MS * 1000;
    pg_op_step(op, PG_STEP_ROLLBACK);
    return op;
}

void pg_lane_leave(struct pg_conn *conn)
{
    if (PQtransactionStatus(conn->pg) != PQTRANS_IDLE) {
        pg_conn_send(conn, rollback_op(conn));
        return;
    }
    conn->busy = false;
    conn->since_us = fastr_clock_us();
    pg_lane_serve(lane_of(conn));
}

/* After a fail-over no connection to the former primary is of use. */
static void drop_idle(struct pg_lane *lane)
{
    for (int i = 0; i < lane->max; i++)
        if (lane->conns[i].state == PG_READY && !lane->conns[i].busy)
            pg_conn_close(&lane->conns[i]);
}

void pg_lane_abort(struct pg_conn *conn)
{
    pg_conn_close(conn);
    pg_lane_serve(lane_of(conn));
}

void pg_lane_closed(struct pg_conn *conn, bool was_ready)
{
    struct pg_lane *lane = lane_of(conn);
    if (was_ready && conn->kind == PG_WRITE)
        drop_idle(lane);
    if (lane->waiting.first)
        pg_lane_serve(lane);
}

static void unknown(struct pg_op *op, const char *why)
{
    static struct fastr_metric *count;
    if (!count)
        count = fastr_counter("fastr_pg_commits_unknown_total", "", "COMMITs whose outcome had to be looked up");
    fastr_metric_add(count, 1);
    pg_op_fail(op, "commit_unknown", "it is not known whether the transaction was committed: %s", why);
}

static void lane_done(struct pg_op *op, struct pg_conn *conn)
{
    if (op->committed && conn->unsynced)
        unknown(op, "no standby confirmed it");
    if (op->then_commit && !op->failure) {
        pg_op_to_commit(op);
        pg_conn_send(conn, op);
        return;
    }
    if (!conn->tx)
        pg_lane_leave(conn);
    pg_op_finish(op);
}

static void lane_broken(struct pg_op *op, struct pg_conn *conn)
{
    if (pg_op_commits(op))
        unknown(op, conn->error);
    else
        pg_op_fail(op, "unavailable", "the connection to PostgreSQL was lost: %s", conn->error);
    pg_op_finish(op);
}

const struct pg_class pg_lane_class = {lane_done, lane_broken};

/* ---- time --------------------------------------------------------------------------------------------------------- */

/* The task hears "commit_unknown"; a stand-in without a task keeps the place in the connection. */
static void commit_late(struct pg_conn *conn, struct pg_op *op)
{
    struct pg_op *stand_in = pg_op_new(conn->pool, &pg_lane_class);
    memcpy(stand_in->steps, op->steps, sizeof op->steps);
    stand_in->step_count = op->step_count;
    stand_in->step = op->step;
    stand_in->stage = PG_SENT;
    stand_in->conn = conn;
    stand_in->late = true;
    unknown(op, "PostgreSQL has not answered the COMMIT");
    pg_op_finish(op);
    pg_list_first(&conn->ops, stand_in);
}

/* Has the primary gone with this statement under way for long? */
static bool server_gone(const struct pg_conn *conn, const struct pg_op *op, uint64_t now)
{
    return conn->target->primary && pg_server_lost(conn) && now > op->sent_us + GONE_MS * 1000 &&
           (op->late || !pg_op_commits(op));
}

static void check_sent(struct pg_conn *conn, struct pg_op *op, uint64_t now)
{
    if (server_gone(conn, op, now))
        pg_conn_break(conn, "the primary does not answer");
    else if (op->late || now < op->sent_us + op->limit_us)
        return;
    else if (pg_op_commits(op))
        commit_late(conn, op);
    else
        pg_conn_break(conn, "no answer within %" PRIu64 " ms", op->limit_us / 1000);
}

static void check_conn(struct pg_conn *conn, uint64_t now)
{
    pg_conn_tick(conn, now);
    if (conn->state != PG_READY)
        return;
    if (conn->ops.first)
        check_sent(conn, conn->ops.first, now);
    else if (!conn->busy && now > conn->since_us + IDLE_CLOSE_S * 1000000ull)
        pg_conn_close(conn);
}

static void give_up_waiting(struct pg_lane *lane, uint64_t now)
{
    uint64_t limit_us = (uint64_t)pg_limits.wait_ms * 1000;
    for (struct pg_op *op; (op = lane->waiting.first) && now > op->queued_us + limit_us;) {
        const char *why = pg_servers.primary.error;
        if (any_ready(lane))
            pg_op_fail(op, "timeout", "no connection became free within %lld ms", (long long)pg_limits.wait_ms);
        else
            pg_op_fail(op, "unavailable", "no connection to PostgreSQL within %lld ms%s%s",
                       (long long)pg_limits.wait_ms, *why ? ": " : "", why);
        pg_op_finish(op);
    }
}

void pg_lane_tick(struct pg_lane *lane, uint64_t now)
{
    for (int i = 0; i < lane->max; i++)
        check_conn(&lane->conns[i], now);
    if (lane->waiting.first)
        pg_lane_serve(lane);
    give_up_waiting(lane, now);
}
