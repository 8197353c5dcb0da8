/* pg_read.c: read-only statements of many tasks over a few shared connections, and the choice of the server.
 *
 * A shared connection carries only statements that begin no transaction, change nothing (the session is read-only) and
 * end within the server's statement_timeout; it is never cancelled, since that would hit a neighbour: the answer to a
 * task that has left is dropped. A lost connection's reads are sent again, to the primary if it is there: when a server
 * goes, all of its connections do.
 *
 * Which server: a healthy replica, in turn. A task whose session has written (its word "lsn") needs a replica that has
 * replayed that far: one that has is used; otherwise the read waits a few milliseconds for one, then asks the primary.
 *
 * A replica is behind when it has not replayed what the primary had already flushed a second before. Comparing
 * positions and not the timestamps of transactions keeps clocks and idle primaries out of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/pg.h"

enum { TRIES = 2, SPREAD_AT = 8, SENT_MAX = 128 };
enum { PROBE_MS = 200, PROBE_LATE_MS = 1000, STUCK_EXTRA_MS = 500, HELD_UP_MS = 250, LSN_PROBE_MS = 2 };

struct pg_servers pg_servers;

/* Reads of all roles that wait for a replica to replay their position. */
static struct pg_list behind;
static struct event *lsn_timer;

/* Where the primary was, lately: the newest samples, oldest first overwritten. */
static struct sample {
    uint64_t at_us, lsn;
} samples[PG_SAMPLES];
static unsigned sample_count;

static void metric_add(struct fastr_metric **metric, const char *name, const char *labels, const char *help)
{
    if (!*metric)
        *metric = fastr_counter(name, labels, help);
    fastr_metric_add(*metric, 1);
}

static void count_read(const struct pg_target *target)
{
    static struct fastr_metric *primary, *replica;
    metric_add(target->primary ? &primary : &replica, "fastr_pg_reads_total",
               target->primary ? "target=\"primary\"" : "target=\"replica\"", "Reads sent, by kind of server");
}

static void count_wait(void)
{
    static struct fastr_metric *metric;
    metric_add(&metric, "fastr_pg_lsn_waits_total", "", "Reads that waited for a replica to replay their session's writes");
}

static void count_fallback(void)
{
    static struct fastr_metric *metric;
    metric_add(&metric, "fastr_pg_fallbacks_total", "", "Reads that the primary answered as no replica could");
}

/* ---- targets ------------------------------------------------------------------------------------------------------ */

static int targets(void)
{
    return pg_servers.replicas + 1;
}

static struct pg_target *target_at(int index)
{
    return index < pg_servers.replicas ? &pg_servers.replica[index] : &pg_servers.primary;
}

/* The row of a pool's shared connections to a target. */
static struct pg_conn *row_of(struct pg_pool *pool, int index)
{
    return pool->readers[index];
}

static int row_size(const struct pg_pool *pool, int index)
{
    return index < pg_servers.replicas ? pool->reads : 1 + (pg_servers.replicas == 0) * (pool->reads - 1);
}

bool pg_target_serves(const struct pg_target *target, const struct pg_op *op)
{
    if (target->primary)
        return true;
    return target->ok && !op->primary_only && target->lsn >= op->lsn;
}

/* Is its first statement taking long, or its server stuck? Then others had better not stand behind it. */
static bool held_up(const struct pg_conn *conn)
{
    const struct pg_op *op = conn->ops.first;
    if (!op)
        return false;
    uint64_t since_us = op->sent_us > conn->since_us ? op->sent_us : conn->since_us;
    return fastr_clock_us() > since_us + HELD_UP_MS * 1000;
}

static bool better(const struct pg_conn *a, const struct pg_conn *b)
{
    bool a_held = held_up(a), b_held = held_up(b);
    return a_held != b_held ? b_held : a->ops.count < b->ops.count;
}

/* The connection with the least to do, opening another one when all are busy; NULL if none is ready, or has room, or
 * (unless `patient`) is free of a statement that holds it up. */
static struct pg_conn *reader(struct pg_pool *pool, int index, bool patient)
{
    struct pg_conn *best = NULL, *row = row_of(pool, index);
    for (int i = 0; i < row_size(pool, index); i++) {
        if (row[i].state == PG_CLOSED && (!best || best->ops.count >= SPREAD_AT || held_up(best)))
            pg_conn_open(&row[i]);
        if (row[i].state == PG_READY && (!best || better(&row[i], best)))
            best = &row[i];
    }
    return best && best->ops.count < SENT_MAX && (patient || !held_up(best)) ? best : NULL;
}

/* A ready connection to a replica that serves `op`, in turn; NULL if there is none. */
static struct pg_conn *replica_reader(struct pg_pool *pool, const struct pg_op *op, bool patient)
{
    for (int i = 0; i < pg_servers.replicas; i++) {
        int index = (int)(pool->turn++ % (unsigned)pg_servers.replicas);
        struct pg_conn *conn = pg_target_serves(target_at(index), op) ? reader(pool, index, patient) : NULL;
        if (conn)
            return conn;
    }
    return NULL;
}

/* What serves `op` now. One that was lost begins with the primary; one that nobody serves promptly is patient. */
static struct pg_conn *choose(const struct pg_op *op)
{
    struct pg_pool *pool = op->pool;
    int primary = pg_servers.replicas;
    struct pg_conn *conn = op->tries ? reader(pool, primary, false) : replica_reader(pool, op, false);
    if (!conn && op->lsn && !op->waited && !op->primary_only && !op->tries)
        return NULL;
    if (!conn)
        conn = op->tries ? replica_reader(pool, op, false) : reader(pool, primary, false);
    if (!conn)
        conn = replica_reader(pool, op, true);
    return conn ? conn : reader(pool, primary, true);
}

static bool any_replica_ok(void)
{
    for (int i = 0; i < pg_servers.replicas; i++)
        if (pg_servers.replica[i].ok)
            return true;
    return false;
}

bool pg_server_lost(const struct pg_conn *conn)
{
    const struct pg_target *target = conn->target;
    return !target->ok && conn->ready_us < target->lost_us;
}

/* Gone for longer than anybody waits for a connection: what needs it fails at once. Probes find it again. */
bool pg_primary_gone(void)
{
    const struct pg_target *primary = &pg_servers.primary;
    return primary->known && !primary->ok && fastr_clock_us() > primary->lost_us + (uint64_t)pg_limits.wait_ms * 1000;
}

struct pg_target *pg_read_target(struct pg_pool *pool, const struct pg_op *op)
{
    for (int i = 0; i < pg_servers.replicas; i++) {
        struct pg_target *target = target_at((int)(pool->turn++ % (unsigned)pg_servers.replicas));
        if (pg_target_serves(target, op))
            return target;
    }
    return &pg_servers.primary;
}

/* ---- reads -------------------------------------------------------------------------------------------------------- */

static void send_read(struct pg_conn *conn, struct pg_op *op)
{
    count_read(conn->target);
    if (conn->target->primary && pg_servers.replicas && !op->primary_only)
        count_fallback();
    op->limit_us = (uint64_t)(pg_limits.read_ms + STUCK_EXTRA_MS) * 1000;
    pg_conn_send(conn, op);
}

static void lsn_timer_start(void);

/* Sends it, or lets it wait for a replica's replay; false if there is no connection to send it on. */
static bool place(struct pg_op *op)
{
    struct pg_conn *conn = choose(op);
    if (conn) {
        send_read(conn, op);
        return true;
    }
    if (!op->lsn || op->waited || op->primary_only)
        return false;
    op->waited = true; /* the next choice may be the primary */
    if (!any_replica_ok())
        return place(op);
    count_wait();
    pg_list_add(&behind, op);
    lsn_timer_start();
    return true;
}

/* Can any healthy replica answer it? Then it stands in line with the others of its kind. What needs the primary, or a
 * replica that has got far enough, may have to wait longer, and nobody waits behind it. */
static bool is_plain(const struct pg_op *op)
{
    return !op->primary_only && !op->lsn;
}

void pg_read_start(struct pg_op *op)
{
    struct pg_list *queue = &op->pool->reading;
    op->stage = PG_QUEUED;
    op->queued_us = fastr_clock_us();
    if (!(queue->last && is_plain(queue->last)) && place(op))
        return;
    if (op->primary_only && pg_primary_gone()) {
        pg_op_fail(op, "unavailable", "the primary is away: %s", pg_servers.primary.error);
        pg_op_finish(op);
    } else if (queue->count >= pg_limits.queue) {
        pg_op_fail(op, "busy", "%d reads are waiting for PostgreSQL already", queue->count);
        pg_op_finish(op);
    } else {
        pg_list_add(queue, op);
    }
}

void pg_read_serve(struct pg_pool *pool)
{
    struct pg_list left = {0};
    for (struct pg_op *op; (op = pg_list_take(&pool->reading));)
        if (!place(op)) {
            pg_list_add(&left, op);
            if (is_plain(op))
                break;
        }
    for (struct pg_op *op; (op = left.last);) {
        pg_list_remove(op);
        pg_list_first(&pool->reading, op);
    }
}

static void read_again(struct pg_op *op)
{
    PQclear(op->result);
    free(op->failure);
    op->result = NULL;
    op->failure = NULL;
    op->stage = PG_QUEUED;
    op->queued_us = fastr_clock_us();
    if (!place(op))
        pg_list_first(&op->pool->reading, op);
}

/* A stale plan is prepared again; a replica that had to cancel a read to go on replaying has the primary answer. */
static bool worth_again(struct pg_op *op)
{
    if (!op->failure || op->abandoned || op->tries >= TRIES)
        return false;
    const char *code = op->failure->err.code;
    return !strcmp(code, "stale_plan") || !strcmp(code, "40001");
}

static void read_done(struct pg_op *op, struct pg_conn *conn)
{
    if (worth_again(op)) {
        op->tries++;
        read_again(op);
    } else {
        pg_op_finish(op);
    }
    if (conn->pool->reading.first)
        pg_read_serve(conn->pool);
}

static void read_broken(struct pg_op *op, struct pg_conn *conn)
{
    if (op->abandoned) {
        pg_op_free(op);
    } else if (op->tries < TRIES) {
        op->tries++;
        read_again(op);
    } else {
        pg_op_fail(op, "unavailable", "PostgreSQL went away again and again: %s", conn->error);
        pg_op_finish(op);
    }
}

const struct pg_class pg_read_class = {read_done, read_broken};

/* ---- probes: is it there, and how far has it got? -------------------------------------------------------------------- */

static const char PROBE[] = "SELECT pg_catalog.pg_is_in_recovery(), CASE WHEN pg_catalog.pg_is_in_recovery()"
                            " THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END";

static uint64_t parse_lsn(const char *text)
{
    unsigned high, low;
    return text && sscanf(text, "%X/%X", &high, &low) == 2 ? (uint64_t)high << 32 | low : 0;
}

/* A primary that was behind its own past is another one: what the former had does not count. */
static void keep_sample(uint64_t now, uint64_t lsn)
{
    if (sample_count && samples[(sample_count - 1) % PG_SAMPLES].lsn > lsn)
        sample_count = 0;
    samples[sample_count++ % PG_SAMPLES] = (struct sample){now, lsn};
}

/* Has the replica not replayed what the primary had `behind_ms` before the replica answered? */
static bool is_behind(const struct pg_target *replica)
{
    unsigned oldest = sample_count > PG_SAMPLES ? sample_count - PG_SAMPLES : 0;
    uint64_t allowed_us = (uint64_t)pg_limits.behind_ms * 1000;
    for (unsigned i = oldest; i < sample_count; i++) {
        const struct sample *sample = &samples[i % PG_SAMPLES];
        if (sample->at_us + allowed_us <= replica->lsn_us && sample->lsn > replica->lsn)
            return true;
    }
    return false;
}

static void say_health(struct pg_target *target, bool ok, const char *detail)
{
    char name[40];
    snprintf(name, sizeof name, "pg.%s", target->name);
    if (ok != target->ok || !target->known)
        fastr_log(ok ? FASTR_INFO : FASTR_WARN, "pg: %s %s: %s", target->name, ok ? "serves" : "is left out", detail);
    if ((target->ok || !target->known) && !ok)
        target->lost_us = fastr_clock_us();
    target->ok = ok;
    target->known = true;
    /* Reads go on without the primary: only a house without any server is not ready. */
    fastr_health(name, ok, target->primary && !any_replica_ok(), detail);
}

static void answer(struct pg_target *target, const PGresult *result)
{
    char detail[64];
    uint64_t now = fastr_clock_us();
    target->lsn = parse_lsn(PQgetvalue(result, 0, 1));
    target->lsn_us = now;
    snprintf(detail, sizeof detail, "answers in %" PRIu64 " ms", (now - target->asked_us) / 1000);
    target->asked_us = 0;
    if (target->primary)
        keep_sample(now, target->lsn);
    bool late = !target->primary && is_behind(target);
    say_health(target, !late, late ? "more than 1 s behind the primary" : detail);
}

static void serve_behind(uint64_t now)
{
    struct pg_list again = {0};
    for (struct pg_op *op, *next = behind.first; (op = next);) {
        bool served = false;
        next = op->next;
        for (int i = 0; i < pg_servers.replicas; i++)
            served = served || pg_target_serves(target_at(i), op);
        if (!served && now < op->queued_us + (uint64_t)pg_limits.lsn_wait_ms * 1000)
            continue;
        pg_list_remove(op);
        pg_list_add(&again, op);
    }
    for (struct pg_op *op; (op = pg_list_take(&again));)
        if (!place(op))
            pg_list_add(&op->pool->reading, op);
}

static void probe_done(struct pg_op *op, struct pg_conn *conn)
{
    struct pg_target *target = conn->target;
    bool in_recovery = op->result && PQntuples(op->result) == 1 && *PQgetvalue(op->result, 0, 0) == 't';
    if (op->result && !(target->primary && in_recovery))
        answer(target, op->result);
    else
        target->asked_us = 0;
    pg_op_free(op);
    if (target->primary && in_recovery)
        pg_conn_break(conn, "it is a standby now");
    else if (behind.first)
        serve_behind(fastr_clock_us());
}

static void probe_broken(struct pg_op *op, struct pg_conn *conn)
{
    conn->target->asked_us = 0;
    pg_op_free(op);
}

static const struct pg_class probe_class = {probe_done, probe_broken};

/* Any role's shared connection to it will do: the least busy one, so that no slow statement is ahead. */
static struct pg_conn *probe_conn(int index)
{
    struct pg_conn *best = NULL;
    for (struct pg_pool *pool = pg_pools; pool; pool = pool->next)
        for (int i = 0; i < row_size(pool, index); i++) {
            struct pg_conn *conn = row_of(pool, index) + i;
            if (conn->state == PG_READY && (!best || conn->ops.count < best->ops.count))
                best = conn;
        }
    return best;
}

static void probe(int index)
{
    struct pg_target *target = target_at(index);
    struct pg_conn *conn = target->asked_us ? NULL : probe_conn(index);
    if (!conn)
        return;
    struct pg_op *op = pg_op_new(conn->pool, &probe_class);
    op->sql = PROBE;
    op->limit_us = (uint64_t)(pg_limits.read_ms + STUCK_EXTRA_MS) * 1000;
    pg_op_step(op, PG_STEP_QUERY);
    target->asked_us = fastr_clock_us();
    /* Behind others' statements it may have to wait as long as they may take. */
    target->late_us = target->asked_us + (conn->ops.count ? op->limit_us : PROBE_LATE_MS * 1000);
    pg_conn_send(conn, op);
}

static void check_target(int index, uint64_t now)
{
    struct pg_target *target = target_at(index);
    struct pg_conn *conn = probe_conn(index);
    if (!conn && pg_pools) {
        pg_conn_open(row_of(pg_pools, index));
        if (*target->error || now > target->lsn_us + PROBE_LATE_MS * 1000)
            say_health(target, false, *target->error ? target->error : "connecting");
    } else if (target->asked_us && now > target->late_us) {
        say_health(target, false, "does not answer");
    } else {
        probe(index);
    }
}

/* Every tick; acts each PROBE_MS. */
void pg_probe_tick(uint64_t now)
{
    static uint64_t next_us;
    if (now < next_us)
        return;
    next_us = now + PROBE_MS * 1000;
    for (int i = 0; i < targets(); i++)
        check_target(i, now);
}

static void on_lsn_timer(evutil_socket_t fd, short what, void *data)
{
    serve_behind(fastr_clock_us());
    if (!behind.first)
        return;
    for (int i = 0; i < pg_servers.replicas; i++)
        probe(i);
    lsn_timer_start();
}

static void lsn_timer_start(void)
{
    if (!lsn_timer)
        lsn_timer = evtimer_new(fastr_loop(), on_lsn_timer, NULL);
    struct timeval after = {0, LSN_PROBE_MS * 1000};
    if (!evtimer_pending(lsn_timer, NULL))
        evtimer_add(lsn_timer, &after);
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static void give_up_waiting(struct pg_pool *pool, uint64_t now)
{
    uint64_t limit_us = (uint64_t)pg_limits.wait_ms * 1000;
    for (struct pg_op *op; (op = pool->reading.first) && now > op->queued_us + limit_us;) {
        const char *why = pg_servers.primary.error;
        pg_op_fail(op, "unavailable", "no connection to PostgreSQL within %lld ms%s%s", (long long)pg_limits.wait_ms,
                   *why ? ": " : "", why);
        pg_op_finish(op);
    }
}

void pg_read_tick(struct pg_pool *pool, uint64_t now)
{
    for (int index = 0; index < targets(); index++)
        for (int i = 0; i < row_size(pool, index); i++) {
            struct pg_conn *conn = row_of(pool, index) + i;
            struct pg_op *op = conn->ops.first;
            pg_conn_tick(conn, now);
            if (op && now > op->sent_us + op->limit_us && now > conn->since_us + op->limit_us)
                pg_conn_break(conn, "no answer within %" PRIu64 " ms", op->limit_us / 1000);
        }
    if (pool->reading.first)
        pg_read_serve(pool); /* opens what may be opened again */
    give_up_waiting(pool, now);
    fastr_metric_set(pool->gauge_reading, pool->reading.count);
}
