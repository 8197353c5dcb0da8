/* pg_conn.c: one connection to PostgreSQL: connecting, sending operations, handing out results.
 *
 * Leans on libpq and libevent. Always in pipeline mode, one operation per Sync; results come back in order. Statements
 * are prepared once a connection, remembered by their text, the least recently used forgotten beyond a bound. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bindings/pg.h"

/* ---- operations ---------------------------------------------------------------------------------------------- */

struct pg_op *pg_op_new(struct pg_pool *pool, const struct pg_class *class)
{
    struct pg_op *op = fastr_zalloc(sizeof *op);
    op->pool = pool;
    op->class = class;
    return op;
}

void pg_op_free(struct pg_op *op)
{
    pg_list_remove(op);
    PQclear(op->result);
    free(op->failure);
    free(op->values);
    free(op->text);
    free(op);
}

void pg_op_step(struct pg_op *op, enum pg_step step)
{
    op->steps[op->step_count++] = step;
}

/* The first failure is the cause; later ones follow from it. */
void pg_op_fail(struct pg_op *op, const char *code, const char *format, ...)
{
    if (op->failure)
        return;
    op->failure = fastr_zalloc(sizeof *op->failure);
    va_list list;
    va_start(list, format);
    vsnprintf(op->failure->err.text, sizeof op->failure->err.text, format, list);
    va_end(list);
    snprintf(op->failure->err.code, sizeof op->failure->err.code, "%s", code);
}

void pg_op_finish(struct pg_op *op)
{
    pg_list_remove(op);
    if (op->abandoned || !op->task) {
        pg_op_free(op);
        return;
    }
    op->stage = PG_DONE;
    fastr_wake(&op->wait);
}

void pg_list_add(struct pg_list *list, struct pg_op *op)
{
    op->list = list;
    op->next = NULL;
    op->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = op;
    list->last = op;
    list->count++;
}

void pg_list_first(struct pg_list *list, struct pg_op *op)
{
    op->list = list;
    op->previous = NULL;
    op->next = list->first;
    *(list->first ? &list->first->previous : &list->last) = op;
    list->first = op;
    list->count++;
}

void pg_list_remove(struct pg_op *op)
{
    struct pg_list *list = op->list;
    if (!list)
        return;
    *(op->previous ? &op->previous->next : &list->first) = op->next;
    *(op->next ? &op->next->previous : &list->last) = op->previous;
    list->count--;
    op->list = NULL;
    op->next = op->previous = NULL;
}

struct pg_op *pg_list_take(struct pg_list *list)
{
    struct pg_op *op = list->first;
    if (op)
        pg_list_remove(op);
    return op;
}

/* ---- prepared statements ---------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *text)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

static struct pg_statement *statement_find(struct pg_conn *conn, const char *sql, uint64_t hash)
{
    for (int i = 0; i < conn->statement_count; i++)
        if (conn->statements[i].hash == hash && !strcmp(conn->statements[i].sql, sql))
            return &conn->statements[i];
    return NULL;
}

static void statement_drop(struct pg_conn *conn, struct pg_statement *statement)
{
    free(statement->sql);
    *statement = conn->statements[--conn->statement_count];
}

static void statement_forget(struct pg_conn *conn, const char *sql)
{
    struct pg_statement *statement = statement_find(conn, sql, hash_of(sql));
    if (statement)
        statement_drop(conn, statement);
}

/* Makes room: the least recently used statement goes, on the server by a DEALLOCATE sent ahead. */
static void statement_evict(struct pg_conn *conn, struct pg_op *op)
{
    struct pg_statement *oldest = conn->statements;
    for (int i = 1; i < conn->statement_count; i++)
        if (conn->statements[i].used < oldest->used)
            oldest = &conn->statements[i];
    op->statement = oldest->id;
    pg_op_step(op, PG_STEP_FORGET);
    statement_drop(conn, oldest);
}

static struct pg_statement *statement_add(struct pg_conn *conn, const char *sql, uint64_t hash)
{
    if (!conn->statements)
        conn->statements = fastr_alloc(PG_STATEMENTS_MAX * sizeof *conn->statements);
    struct pg_statement *statement = &conn->statements[conn->statement_count++];
    *statement = (struct pg_statement){fastr_strdup(sql), hash, 0, ++conn->next_statement};
    return statement;
}

static void statements_clear(struct pg_conn *conn)
{
    while (conn->statement_count)
        statement_drop(conn, conn->statements);
    conn->next_statement = 0;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static bool send_text(struct pg_conn *conn, const char *sql)
{
    return PQsendQueryParams(conn->pg, sql, 0, NULL, NULL, NULL, NULL, 0);
}

static bool send_forget(struct pg_conn *conn, const struct pg_op *op)
{
    char sql[40];
    snprintf(sql, sizeof sql, "DEALLOCATE s%u", op->statement);
    return send_text(conn, sql);
}

/* The simple protocol needs a connection out of pipeline mode; it has no operation under way, being checked out. */
static bool send_script(struct pg_conn *conn, const struct pg_op *op)
{
    return PQexitPipelineMode(conn->pg) && PQsendQuery(conn->pg, op->sql);
}

static bool send_step(struct pg_conn *conn, struct pg_op *op, enum pg_step step, struct pg_statement *statement)
{
    char name[16] = "";
    if (statement)
        snprintf(name, sizeof name, "s%u", statement->id);
    switch (step) {
    case PG_STEP_BEGIN:
        return send_text(conn, op->begin);
    case PG_STEP_PREPARE:
        return PQsendPrepare(conn->pg, name, op->sql, 0, NULL);
    case PG_STEP_QUERY:
        return PQsendQueryPrepared(conn->pg, name, op->value_count, op->values, NULL, NULL, 0);
    case PG_STEP_SCRIPT:
        return send_script(conn, op);
    case PG_STEP_FORGET:
        return send_forget(conn, op);
    case PG_STEP_NO_LIMIT:
        return send_text(conn, "SET LOCAL statement_timeout = 0");
    case PG_STEP_COMMIT:
        return send_text(conn, "COMMIT");
    case PG_STEP_LSN:
        return send_text(conn, "SELECT pg_catalog.pg_current_wal_flush_lsn()");
    case PG_STEP_ROLLBACK:
        return send_text(conn, "ROLLBACK");
    }
    return false;
}

/* Puts what the query needs of prepared statements in front of it: the plan of one Sync. */
static struct pg_statement *plan(struct pg_conn *conn, struct pg_op *op)
{
    enum pg_step wanted[PG_STEPS_MAX];
    int count = op->step_count;
    struct pg_statement *statement = NULL;
    memcpy(wanted, op->steps, sizeof wanted);
    op->step_count = op->step = 0;
    for (int i = 0; i < count; i++) {
        if (wanted[i] == PG_STEP_PREPARE || wanted[i] == PG_STEP_FORGET)
            continue; /* of an earlier connection */
        if (wanted[i] == PG_STEP_QUERY) {
            uint64_t hash = hash_of(op->sql);
            statement = statement_find(conn, op->sql, hash);
            if (!statement) {
                if (conn->statement_count == PG_STATEMENTS_MAX)
                    statement_evict(conn, op);
                statement = statement_add(conn, op->sql, hash);
                pg_op_step(op, PG_STEP_PREPARE);
            }
            statement->used = fastr_clock_us();
        }
        pg_op_step(op, wanted[i]);
    }
    return statement;
}

static void watch(struct pg_conn *conn, short what);

static void flush(struct pg_conn *conn)
{
    int rc = PQflush(conn->pg);
    if (rc < 0)
        pg_conn_break(conn, "%s", PQerrorMessage(conn->pg));
    else
        watch(conn, rc ? EV_READ | EV_WRITE : EV_READ);
}

/* What tasks send to a shared connection in one turn of the loop goes out as one packet: libpq writes to the socket at
 * every Sync, so it is corked from the first one to the end of the turn. (The kernel itself lets go after 200 ms.) */
static struct pg_conn *corked;
static struct event *uncork_event;

static void set_cork(struct pg_conn *conn, int on)
{
    setsockopt(PQsocket(conn->pg), IPPROTO_TCP, TCP_CORK, &on, sizeof on); /* a Unix socket has none, and needs none */
}

static void uncork_all(evutil_socket_t fd, short what, void *data)
{
    while (corked) {
        struct pg_conn *conn = corked;
        corked = conn->next_corked;
        conn->corked = false;
        if (conn->state == PG_READY)
            set_cork(conn, 0);
    }
}

static void cork(struct pg_conn *conn)
{
    if (conn->kind != PG_READ || conn->corked)
        return;
    if (!uncork_event)
        uncork_event = event_new(fastr_loop(), -1, 0, uncork_all, NULL);
    conn->corked = true;
    conn->next_corked = corked;
    corked = conn;
    set_cork(conn, 1);
    event_active(uncork_event, EV_TIMEOUT, 0); /* after what the loop has found ready */
}

void pg_conn_send(struct pg_conn *conn, struct pg_op *op)
{
    struct pg_statement *statement = plan(conn, op);
    cork(conn);
    op->conn = conn;
    op->stage = PG_SENT;
    op->sent_us = fastr_clock_us();
    pg_list_add(&conn->ops, op);
    bool sent = true;
    for (int i = 0; sent && i < op->step_count; i++)
        sent = send_step(conn, op, op->steps[i], statement);
    if (sent && op->steps[0] != PG_STEP_SCRIPT)
        sent = PQpipelineSync(conn->pg);
    if (sent)
        flush(conn);
    else
        pg_conn_break(conn, "cannot send: %s", PQerrorMessage(conn->pg));
}

/* ---- results ------------------------------------------------------------------------------------------------------ */

static const char *field(const PGresult *result, int code)
{
    const char *text = PQresultErrorField(result, code);
    return text ? text : "";
}

/* The session is ending, or it reached a server that is no primary (any more): of no further use. */
static bool ends_session(const struct pg_conn *conn, const PGresult *result)
{
    const char *severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (!strcmp(severity, "FATAL") || !strcmp(severity, "PANIC") || !*severity)
        return true;
    return conn->kind == PG_WRITE && !strcmp(field(result, PG_DIAG_SQLSTATE), "25006");
}

/* A plan that a migration made stale, or a statement that is gone: preparing it again cures it. */
static bool plan_is_stale(const PGresult *result)
{
    return !strcmp(field(result, PG_DIAG_SQLSTATE), "26000") ||
           !strcmp(field(result, PG_DIAG_SOURCE_FUNCTION), "RevalidateCachedQuery");
}

/* The line of a script in which the server saw the error; 0 if it did not say. Its position counts characters from 1. */
static int line_of(const struct pg_op *op, const PGresult *result)
{
    int position = atoi(field(result, PG_DIAG_STATEMENT_POSITION)), line = 1;
    if (op->steps[0] != PG_STEP_SCRIPT || position <= 0)
        return 0;
    for (const char *at = op->sql; *at && position > 1; at++) {
        line += *at == '\n';
        position -= (at[1] & 0xC0) != 0x80; /* a continuation byte of UTF-8 begins no character */
    }
    return line;
}

/* The detail line is left out on purpose: it quotes values, which may be personal. */
static void fail_from(struct pg_op *op, const PGresult *result, bool stale)
{
    const char *state = field(result, PG_DIAG_SQLSTATE), *name = field(result, PG_DIAG_CONSTRAINT_NAME);
    const char *code = stale ? "stale_plan" : !strcmp(state, "57014") ? "timeout" : state;
    const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY);
    int line = line_of(op, result);
    if (line)
        pg_op_fail(op, code, "line %d: %s", line, message);
    else if (strstr(message, name))
        pg_op_fail(op, code, "%s", message);
    else
        pg_op_fail(op, code, "%s (constraint %s)", message, name);
    snprintf(op->failure->constraint, sizeof op->failure->constraint, "%s", name);
}

static void on_error(struct pg_conn *conn, struct pg_op *op, const PGresult *result)
{
    if (ends_session(conn, result)) {
        const char *text = field(result, PG_DIAG_MESSAGE_PRIMARY);
        pg_conn_break(conn, "%s", *text ? text : PQresultErrorMessage(result));
        return;
    }
    enum pg_step step = op->steps[op->step];
    bool stale = step == PG_STEP_QUERY && plan_is_stale(result);
    if (step == PG_STEP_PREPARE || stale)
        statement_forget(conn, op->sql);
    if (step != PG_STEP_LSN && step != PG_STEP_FORGET)
        fail_from(op, result, stale);
}

/* Takes the result over. */
static void on_success(struct pg_op *op, PGresult *result)
{
    switch (op->steps[op->step]) {
    case PG_STEP_QUERY:
        PQclear(op->result);
        op->result = result;
        return;
    case PG_STEP_COMMIT:
        /* A transaction that had failed answers COMMIT with the tag ROLLBACK. */
        op->committed = !strcmp(PQcmdStatus(result), "COMMIT");
        if (!op->committed)
            pg_op_fail(op, "25P02", "the transaction had failed and was rolled back");
        break;
    case PG_STEP_LSN:
        snprintf(op->lsn_text, sizeof op->lsn_text, "%s", PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
        break;
    default:
        break;
    }
    PQclear(result);
}

static void complete(struct pg_conn *conn, struct pg_op *op)
{
    pg_list_remove(op);
    conn->since_us = fastr_clock_us();
    op->class->done(op, conn);
}

/* A script ends with the NULL after its last result; then back to pipeline mode. */
static void script_end(struct pg_conn *conn, struct pg_op *op)
{
    if (PQenterPipelineMode(conn->pg))
        complete(conn, op);
    else
        pg_conn_break(conn, "%s", PQerrorMessage(conn->pg));
}

static void on_result(struct pg_conn *conn, struct pg_op *op, PGresult *result)
{
    if (!result) {
        if (op->steps[0] == PG_STEP_SCRIPT)
            script_end(conn, op);
        else if (op->step + 1 < op->step_count)
            op->step++;
        return;
    }
    switch (PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
        PQclear(result);
        complete(conn, op);
        return;
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        on_success(op, result);
        return;
    case PGRES_PIPELINE_ABORTED:
        if (op->steps[op->step] == PG_STEP_PREPARE)
            statement_forget(conn, op->sql); /* never reached the server's parser */
        PQclear(result);
        return;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        PQclear(result);
        pg_conn_break(conn, "COPY is not supported");
        return;
    default:
        on_error(conn, op, result);
        PQclear(result);
    }
}

static void read_results(struct pg_conn *conn)
{
    while (conn->state == PG_READY && conn->ops.first && !PQisBusy(conn->pg))
        on_result(conn, conn->ops.first, PQgetResult(conn->pg));
    if (conn->state == PG_READY && conn->kind == PG_LISTEN)
        pg_listen_input(conn);
}

/* What SyncRepWaitForLSN says when its wait was cut short: committed here, perhaps nowhere else. */
static void on_notice(void *data, const PGresult *result)
{
    struct pg_conn *conn = data;
    if (!strcmp(field(result, PG_DIAG_SOURCE_FUNCTION), "SyncRepWaitForLSN"))
        conn->unsynced = true;
    fastr_log(FASTR_DEBUG, "pg: %s: %s", conn->target->name, field(result, PG_DIAG_MESSAGE_PRIMARY));
}

/* ---- connecting --------------------------------------------------------------------------------------------------- */

static void session_options(const struct pg_conn *conn, struct fastr_buffer *out)
{
    const struct pg_limits *limits = &pg_limits;
    fastr_buffer_text(out, " -c TimeZone=UTC -c DateStyle=ISO,YMD");
    if (conn->kind == PG_READ || conn->kind == PG_SLOW)
        fastr_buffer_text(out, " -c default_transaction_read_only=on");
    if (conn->kind == PG_SLOW || conn->kind == PG_WRITE)
        fastr_buffer_text(out, " -c client_connection_check_interval=1000");
    if (conn->kind == PG_WRITE)
        fastr_buffer_format(out, " -c lock_timeout=%lld -c idle_in_transaction_session_timeout=%lld",
                            (long long)conn->pool->lock_ms, (long long)limits->idle_ms);
    int64_t statement_ms = conn->kind == PG_READ    ? limits->read_ms
                           : conn->kind == PG_SLOW  ? limits->slow_ms
                           : conn->kind == PG_WRITE ? conn->pool->write_ms
                                                    : limits->read_ms;
    fastr_buffer_format(out, " -c statement_timeout=%lld", (long long)statement_ms);
}

static const char *session_attributes(const struct pg_conn *conn)
{
    if (conn->kind == PG_WRITE || conn->kind == PG_LISTEN)
        return "read-write";
    return conn->target->primary ? "primary" : "any"; /* our read-only sessions are never "read-write" */
}

/* "a,b,c" -> "b,c,a": so that a host that hangs does not stand first for ever. Caller frees. */
static char *rotate(const char *list, int times)
{
    const char *rest = list;
    for (int i = 0; i < times; i++) {
        const char *comma = strchr(rest, ',');
        if (!comma)
            return fastr_strdup(list);
        rest = comma + 1;
    }
    if (rest == list)
        return fastr_strdup(list);
    return fastr_format("%s,%.*s", rest, (int)(rest - list - 1), list);
}

enum { WORDS_MAX = 64 };

struct words {
    const char *key[WORDS_MAX], *value[WORDS_MAX];
    char *owned[4]; /* freed with it */
    int count, owned_count;
};

static void word(struct words *words, const char *key, const char *value)
{
    words->key[words->count] = key;
    words->value[words->count++] = value;
}

/* What the setting says; what we decide ourselves comes behind it and wins. */
static void words_of_setting(struct words *words, const struct pg_target *target, struct fastr_buffer *options)
{
    for (const PQconninfoOption *option = target->options; option->keyword; option++) {
        const char *key = option->keyword, *value = option->val;
        if (!value || !strcmp(key, "connect_timeout"))
            continue;
        if (!strcmp(key, "options")) {
            fastr_buffer_text(options, value);
        } else if (!strcmp(key, "hostaddr") || !strcmp(key, "host") || !strcmp(key, "port")) {
            char *rotated = rotate(value, target->first_host);
            words->owned[words->owned_count++] = rotated;
            word(words, key, rotated);
        } else if (words->count < WORDS_MAX - 16) {
            word(words, key, value);
        }
    }
}

static PGconn *connect_start(const struct pg_conn *conn)
{
    struct words words = {0};
    struct fastr_buffer options = {0};
    words_of_setting(&words, conn->target, &options);
    session_options(conn, &options);
    char *name = fastr_format("fastr/%s", conn->pool->role);
    word(&words, "user", conn->pool->role);
    word(&words, "passfile", fastr_setting("pg.passfile", "var/secrets/pgpass"));
    word(&words, "application_name", name);
    word(&words, "options", options.data);
    word(&words, "target_session_attrs", session_attributes(conn));
    word(&words, "client_encoding", "UTF8");
    word(&words, "gssencmode", "disable");
    word(&words, "keepalives_idle", "10");
    word(&words, "keepalives_interval", "3");
    word(&words, "keepalives_count", "3");
    word(&words, "tcp_user_timeout", "15000");
    word(&words, NULL, NULL);
    PGconn *pg = PQconnectStartParams(words.key, words.value, 0);
    for (int i = 0; i < words.owned_count; i++)
        free(words.owned[i]);
    fastr_buffer_free(&options);
    free(name);
    return pg;
}

static void on_io(evutil_socket_t fd, short what, void *data);

/* libpq may have closed the socket and opened another with the same number: the event is always made anew while
 * connecting. */
static void watch(struct pg_conn *conn, short what)
{
    if (conn->event && conn->state == PG_READY && conn->watching == what)
        return;
    if (conn->event)
        event_free(conn->event);
    conn->watching = what;
    conn->event = event_new(fastr_loop(), PQsocket(conn->pg), (short)(what | EV_PERSIST), on_io, conn);
    event_add(conn->event, NULL);
}

static void unwatch(struct pg_conn *conn)
{
    if (conn->event)
        event_free(conn->event);
    conn->event = NULL;
}

static void became_ready(struct pg_conn *conn)
{
    PQsetnonblocking(conn->pg, 1);
    if (conn->kind != PG_LISTEN && !PQenterPipelineMode(conn->pg)) {
        pg_conn_break(conn, "%s", PQerrorMessage(conn->pg));
        return;
    }
    conn->state = PG_READY;
    conn->failures = 0;
    conn->unsynced = false;
    conn->since_us = conn->ready_us = fastr_clock_us();
    conn->target->error[0] = '\0';
    watch(conn, EV_READ);
    if (conn->kind == PG_READ)
        pg_read_serve(conn->pool);
    else if (conn->kind == PG_LISTEN)
        pg_listen_ready(conn);
    else
        pg_lane_serve(conn->kind == PG_WRITE ? &conn->pool->write : &conn->pool->slow);
}

static void advance(struct pg_conn *conn)
{
    unwatch(conn); /* before libpq may close the socket */
    switch (PQconnectPoll(conn->pg)) {
    case PGRES_POLLING_READING:
        watch(conn, EV_READ);
        break;
    case PGRES_POLLING_WRITING:
        watch(conn, EV_WRITE);
        break;
    case PGRES_POLLING_OK:
        became_ready(conn);
        break;
    default:
        pg_conn_break(conn, "%s", PQerrorMessage(conn->pg));
    }
}

static void on_io(evutil_socket_t fd, short what, void *data)
{
    struct pg_conn *conn = data;
    if (conn->state == PG_CONNECTING) {
        advance(conn);
        return;
    }
    if ((what & EV_READ) && !PQconsumeInput(conn->pg)) {
        char *why = fastr_strdup(PQerrorMessage(conn->pg));
        read_results(conn); /* what arrived before the end still counts */
        if (conn->state == PG_READY)
            pg_conn_break(conn, "%s", why);
        free(why);
        return;
    }
    if (what & EV_READ)
        read_results(conn);
    if (conn->state == PG_READY && (conn->watching & EV_WRITE))
        flush(conn);
}

void pg_conn_open(struct pg_conn *conn)
{
    uint64_t now = fastr_clock_us();
    if (conn->state != PG_CLOSED || now < conn->retry_us)
        return;
    conn->state = PG_CONNECTING;
    conn->since_us = now;
    conn->first_host = conn->target->first_host;
    conn->pg = connect_start(conn);
    if (!conn->pg || PQstatus(conn->pg) == CONNECTION_BAD) {
        pg_conn_break(conn, "%s", conn->pg ? PQerrorMessage(conn->pg) : "out of memory");
        return;
    }
    PQsetNoticeReceiver(conn->pg, on_notice, conn);
    watch(conn, EV_WRITE);
}

/* ---- ending ------------------------------------------------------------------------------------------------------- */

static void shut(struct pg_conn *conn)
{
    unwatch(conn);
    PQfinish(conn->pg);
    conn->pg = NULL;
    conn->state = PG_CLOSED;
    conn->busy = false;
    if (conn->tx)
        conn->tx->conn = NULL;
    conn->tx = NULL;
    statements_clear(conn);
}

void pg_conn_close(struct pg_conn *conn)
{
    if (conn->state != PG_CLOSED)
        shut(conn);
}

/* 50 ms, doubled each time up to 2 s, give or take a half: so that a fleet does not return in step. */
static uint64_t back_off_us(int failures)
{
    uint64_t most = 50000u << (failures < 6 ? failures : 6);
    if (most > 2000000)
        most = 2000000;
    return most / 2 + arc4random_uniform((uint32_t)most);
}

/* libpq's messages end in a newline and may have several lines. */
static void one_line(char *text)
{
    size_t length = strlen(text);
    while (length && text[length - 1] == '\n')
        text[--length] = '\0';
    for (; *text; text++)
        if (*text == '\n' || *text == '\t')
            *text = ' ';
}

void pg_conn_break(struct pg_conn *conn, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(conn->error, sizeof conn->error, format, list);
    va_end(list);
    one_line(conn->error);
    bool was_ready = conn->state == PG_READY;
    shut(conn);
    conn->failures += !was_ready;
    conn->retry_us = was_ready ? 0 : fastr_clock_us() + back_off_us(conn->failures);
    if (was_ready || conn->failures == 1)
        fastr_log(FASTR_WARN, "pg: %s as %s: %s", conn->target->name, conn->pool->role, conn->error);
    if (!was_ready)
        snprintf(conn->target->error, sizeof conn->target->error, "%s", conn->error);
    struct pg_list ops = {0};
    for (struct pg_op *op; (op = pg_list_take(&conn->ops));)
        pg_list_add(&ops, op);
    for (struct pg_op *op; (op = pg_list_take(&ops));)
        op->class->broken(op, conn);
    if (conn->kind == PG_WRITE || conn->kind == PG_SLOW)
        pg_lane_closed(conn, was_ready);
    else if (was_ready && conn->kind == PG_READ)
        pg_conn_open(conn);
}

/* A connection attempt that hangs: the next one begins with the next host, moved on once for all that hang together. */
static void connect_late(struct pg_conn *conn)
{
    struct pg_target *target = conn->target;
    if (conn->first_host == target->first_host)
        target->first_host = (target->first_host + 1) % target->hosts;
    pg_conn_break(conn, "no answer to connecting within %lld ms", (long long)pg_limits.connect_ms);
}

void pg_conn_tick(struct pg_conn *conn, uint64_t now)
{
    if (conn->state == PG_CONNECTING && now > conn->since_us + (uint64_t)pg_limits.connect_ms * 1000)
        connect_late(conn);
}
