/* pg.h: what the files of the PostgreSQL binding share; private to bindings/pg*.c.
 *
 *   pg.c         what Lua sees: open, read, latest, slow, write, begin, the transaction object, listen
 *   pg_value.c   parameters from Lua, rows to Lua
 *   pg_conn.c    one connection: connecting, sending, results, its prepared statements
 *   pg_read.c    shared connections in pipeline mode, the choice of a replica, read-your-writes, probes
 *   pg_lane.c    connections checked out for one operation or one transaction
 *   pg_listen.c  LISTEN
 *
 * An operation (struct pg_op) goes through one connection as one Sync:
 *
 *   QUEUED (in one list) --pg_conn_send--> SENT (in its connection's list) --Sync--> DONE --finish--> freed
 *      | its task leaves: freed              | its task leaves: ABANDONED, freed when its answer arrives
 *
 * A connection is a fixed slot that is opened and closed again and again:
 *
 *   CLOSED --pg_conn_open--> CONNECTING --> READY --pg_conn_break--> CLOSED (with back-off)
 *
 * Every connection is in pipeline mode: statements of one Sync cost one round trip. Nothing here blocks. */
#ifndef FASTR_PG_H
#define FASTR_PG_H

#include <event2/event.h>
#include <libpq-fe.h>

#include "runtime/fastr.h"

enum {
    PG_REPLICAS_MAX = 8,
    PG_SLOTS_MAX = 32,       /* connections of one lane, or shared ones to one server */
    PG_STEPS_MAX = 6,        /* messages of one Sync */
    PG_STATEMENTS_MAX = 200, /* prepared on one connection */
    PG_PARAMETERS_MAX = 7000,
    PG_LSN_TEXT = 24,
};

/* ---- operations ---------------------------------------------------------------------------------------------- */

struct pg_conn;
struct pg_op;

/* What the owner of an operation does when it ends. `done`: its Sync arrived; a statement's error is in op->err.
 * `broken`: its connection was lost (or never sent it); why is in conn->error. Both take the operation over. */
struct pg_class {
    void (*done)(struct pg_op *op, struct pg_conn *conn);
    void (*broken)(struct pg_op *op, struct pg_conn *conn);
};

struct pg_list {
    struct pg_op *first, *last;
    int count;
};

enum pg_step {
    PG_STEP_BEGIN,
    PG_STEP_PREPARE,
    PG_STEP_QUERY,
    PG_STEP_SCRIPT, /* several statements without parameters, by the simple protocol; alone in its Sync */
    PG_STEP_FORGET, /* deallocates a prepared statement */
    PG_STEP_NO_LIMIT,
    PG_STEP_COMMIT,
    PG_STEP_LSN,
    PG_STEP_ROLLBACK,
};

enum pg_stage { PG_QUEUED, PG_SENT, PG_DONE };

struct pg_failure {
    struct fastr_err err;
    char constraint[64];
};

struct pg_op {
    struct fastr_wait wait;
    const struct pg_class *class;
    struct pg_op *next, *previous;
    struct pg_list *list; /* the list that it is in, or NULL */
    struct pg_pool *pool;
    struct fastr_task *task; /* NULL for our own (probes, roll-backs) */
    struct pg_conn *conn;    /* while SENT, or checked out */
    enum pg_stage stage;
    bool abandoned;    /* nobody waits: free it when its answer arrives */
    int tries;         /* of a read, that came to nothing */
    bool primary_only; /* a read that wants the newest state */
    bool waited;       /* a read that has waited for a replica to replay `lsn` */
    bool then_commit;  /* a single write: commits when its statement has succeeded */
    bool late;         /* a COMMIT whose task was told "commit_unknown" */
    bool committed;
    struct pg_tx *tx;  /* being begun: gets the connection */
    const char *begin; /* the statement that opens the transaction; a literal */
    const char *sql;   /* within `text`, or a literal */
    char *text;        /* owns the statement and its parameters */
    const char **values;
    int value_count;
    uint64_t lsn;                  /* the least position that a reader must see */
    uint64_t queued_us, sent_us;   /* when */
    uint64_t limit_us;             /* sent longer than this: given up */
    enum pg_step steps[PG_STEPS_MAX];
    unsigned char step_count, step;
    unsigned statement; /* of PG_STEP_FORGET */
    PGresult *result;   /* the statement's */
    struct pg_failure *failure;
    char lsn_text[PG_LSN_TEXT];
};

struct pg_op *pg_op_new(struct pg_pool *pool, const struct pg_class *class);
void pg_op_free(struct pg_op *op);
void pg_op_step(struct pg_op *op, enum pg_step step);
void pg_op_fail(struct pg_op *op, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Hands it to its task; frees it if that has gone. */
void pg_op_finish(struct pg_op *op);
void pg_list_add(struct pg_list *list, struct pg_op *op);
void pg_list_first(struct pg_list *list, struct pg_op *op); /* in front of the others */
struct pg_op *pg_list_take(struct pg_list *list);           /* the first, or NULL */
void pg_list_remove(struct pg_op *op);                      /* from the list that it is in, if any */

/* ---- servers -------------------------------------------------------------------------------------------------- */

enum { PG_SAMPLES = 16 };

/* The primary (with all hosts that can become it), or one replica; shared by the roles of this worker. */
struct pg_target {
    char name[24]; /* "primary", "replica.1" */
    bool primary;
    const char *conninfo;
    PQconninfoOption *options; /* `conninfo`, parsed */
    int hosts, first_host;     /* the list begins at first_host: moved on when that one does not answer */
    bool ok, known;            /* answers probes and is not behind; was so at least once */
    uint64_t lsn;              /* replayed (replica) or flushed (primary), when last asked */
    uint64_t lsn_us, asked_us; /* when the answer came, and the open question (0: none) was sent */
    uint64_t late_us;          /* when the open question's answer is late */
    uint64_t lost_us;          /* when it was last found not ok, having been so or unknown */
    char error[200];           /* why the last connection failed */
};

/* Replicas, then the primary; settled at the first pg.open. */
struct pg_servers {
    int replicas;
    struct pg_target replica[PG_REPLICAS_MAX];
    struct pg_target primary;
};
extern struct pg_servers pg_servers;

/* ---- connections ---------------------------------------------------------------------------------------------- */

enum pg_kind { PG_READ, PG_SLOW, PG_WRITE, PG_LISTEN };
enum pg_state { PG_CLOSED, PG_CONNECTING, PG_READY };

struct pg_statement {
    char *sql;
    uint64_t hash, used;
    unsigned id;
};

struct pg_conn {
    enum pg_kind kind;
    enum pg_state state;
    struct pg_pool *pool;
    struct pg_target *target;
    PGconn *pg;
    struct event *event;
    short watching;
    struct pg_list ops; /* sent, in order */
    struct pg_statement *statements;
    int statement_count;
    unsigned next_statement;
    bool busy;              /* a lane's: checked out */
    bool unsynced;          /* the server warned: committed here, but maybe on no standby */
    struct pg_tx *tx;       /* the transaction that has it */
    struct pg_listener *listener;
    struct pg_conn *next_corked;
    bool corked;            /* a shared one's: what is sent waits for the end of the loop's turn */
    int failures;           /* attempts to connect, in a row */
    int first_host;         /* its target's, when this attempt began */
    uint64_t ready_us;      /* when it became ready */
    uint64_t since_us;      /* connecting since, or when its last answer came */
    uint64_t retry_us;      /* not to be opened before */
    char error[200];        /* why it was closed */
};

void pg_conn_open(struct pg_conn *conn); /* CLOSED and past retry_us, else does nothing */
/* Closes; its operations go to their class's `broken`, its owner hears of it, and it opens again after a back-off. */
void pg_conn_break(struct pg_conn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pg_conn_close(struct pg_conn *conn); /* without a word, when idle */
void pg_conn_send(struct pg_conn *conn, struct pg_op *op);
void pg_conn_tick(struct pg_conn *conn, uint64_t now);

/* ---- transactions --------------------------------------------------------------------------------------------- */

/* Between begin and commit or rollback. Its Lua handle may outlive it (then *handle is NULL: "closed"), and it may
 * outlive its connection (then conn is NULL: what follows fails). */
struct pg_tx {
    struct fastr_cleanup cleanup; /* on its task */
    struct fastr_task *task;
    struct pg_conn *conn;
    struct pg_tx **handle;
    const char *begin;
    bool begun; /* BEGIN was sent, with the first statement */
};

/* ---- pools ---------------------------------------------------------------------------------------------------- */

/* Connections checked out one operation or transaction at a time. */
struct pg_lane {
    enum pg_kind kind;
    int max;
    struct pg_conn conns[PG_SLOTS_MAX];
    struct pg_list waiting;
};

/* All connections of one role in this worker. Lives as long as the worker. */
struct pg_pool {
    struct pg_pool *next;
    char *role;
    int reads; /* shared connections to each replica */
    int64_t write_ms, lock_ms;
    struct pg_conn readers[PG_REPLICAS_MAX + 1][PG_SLOTS_MAX]; /* the primary's are the last row */
    struct pg_list reading;                                    /* waiting for a connection */
    unsigned turn;
    struct pg_lane slow, write;
    struct fastr_metric *gauge_reading, *gauge_writing;
};
extern struct pg_pool *pg_pools;

/* Limits of time, in milliseconds; settings under "pg.". */
struct pg_limits {
    int64_t connect_ms, read_ms, slow_ms, write_ms, lock_ms, idle_ms, commit_ms, wait_ms, lsn_wait_ms, behind_ms;
    int64_t reads, writes, slows, queue;
};
extern struct pg_limits pg_limits;

/* pg_read.c */
void pg_read_start(struct pg_op *op);
void pg_read_serve(struct pg_pool *pool);
void pg_read_tick(struct pg_pool *pool, uint64_t now);
void pg_probe_tick(uint64_t now);
struct pg_target *pg_read_target(struct pg_pool *pool, const struct pg_op *op); /* where a slow read goes; never NULL */
bool pg_target_serves(const struct pg_target *target, const struct pg_op *op);
bool pg_primary_gone(void);
bool pg_server_lost(const struct pg_conn *conn); /* do probes say that its server has gone since it was made? */
extern const struct pg_class pg_read_class;

/* pg_lane.c */
void pg_lane_start(struct pg_lane *lane, struct pg_op *op);
void pg_lane_serve(struct pg_lane *lane);
void pg_lane_tick(struct pg_lane *lane, uint64_t now);
void pg_lane_leave(struct pg_conn *conn); /* nobody uses it any more: rolls back what is open, gives it back */
void pg_lane_abort(struct pg_conn *conn); /* closes it, as its task has left it with a statement under way */
void pg_lane_closed(struct pg_conn *conn, bool was_ready);
bool pg_op_commits(const struct pg_op *op);
void pg_op_to_commit(struct pg_op *op);
extern const struct pg_class pg_lane_class;

/* pg_listen.c */
void pg_listen_ready(struct pg_conn *conn);
void pg_listen_input(struct pg_conn *conn);
void pg_listen_tick(uint64_t now);
int pg_listen_open(lua_State *L, struct pg_pool *pool, const char *channel); /* pushes the listener */
void pg_listen_stop(void);
void pg_listen_register(lua_State *L);

/* pg_value.c */
/* Raises unless `sql` is a text and all arguments behind it can be parameters. */
void pg_check_parameters(lua_State *L, int sql);
/* Copies the statement at index `sql` and its checked parameters behind it into `op`. Does not raise; -1 with `err` for
 * a text that cannot be sent. */
int pg_parameters(lua_State *L, int sql, struct pg_op *op, struct fastr_err *err);
void pg_push_rows(lua_State *L, const PGresult *result);
int pg_value_json(lua_State *L);
int pg_value_array(lua_State *L);
void pg_value_register(lua_State *L);

#endif
