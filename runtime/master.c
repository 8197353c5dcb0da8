/* master.c: see master.h.
 *
 * It keeps every worker slot's listening socket, so that the backlog of a killed worker is not lost; it respawns (at
 * once, then with back-off), lets a sibling accept for a slot that is empty or stuck, and kills a worker whose loop has
 * been stuck past its limit.
 *
 * Control socket VAR/run/NAME.sock: one command line in, one line of JSON out.
 *   status                       this process, its workers and its lines
 *   prepare LINE HASH            every worker builds and proves a stored bundle
 *   activate LINE HASH BY [REASON]
 *                                prepare here and (for a line of the whole host) on every other master, then store
 *   rollback LINE BY [REASON]    the version before is live at once
 *   trial LINE HASH canary|shadow SHARE BY [DRIFT ERRORS AFTER]
 *                                prepare as for an activation, then a trial beside what is live (trial.h); share and drift
 *                                in basis points; limits that are not given are those of the settings LINE.trial
 *   stop LINE BY REASON          the trial ends at once
 * What these four did is added to the journal (journal.h).
 *   pardon LINE HASH             a version in quarantine may be activated again
 *   drain                        finish and exit
 */
#include "runtime/master.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/control.h"
#include "runtime/journal.h"
#include "runtime/json.h"
#include "runtime/lines.h"
#include "runtime/listen.h"
#include "runtime/program.h"
#include "runtime/slots.h"
#include "runtime/worker.h"

enum { KILLS_MAX = 2, PREPARE_TIMEOUT_S = 5, MESSAGE_MAX = 1024, REASON_MAX = 512, BACKOFF_MAX_MS = 5000 };

struct child {
    int slot;
    pid_t pid;            /* 0: dead */
    int channel;          /* our end */
    struct event *readable, *respawn;
    uint64_t born_us;
    uint32_t backoff_ms;
    int adopted_by;       /* -1, or the sibling that accepts for it */
};

enum purpose { PREPARE, ACTIVATE, TRY };

/* An activation, a trial's beginning or a preparation on its way. */
struct operation {
    struct operation *next;
    unsigned id;
    char line[80], hash[72], by[48], reason[REASON_MAX];
    enum purpose purpose;
    struct fastr_trial_plan plan;   /* of TRY */
    uint64_t workers;               /* bit per slot that has not answered */
    int masters;                    /* others that have not answered */
    char error[MESSAGE_MAX];        /* of the first that refused */
    struct bufferevent *client;     /* NULL once it has left */
    struct event *timer;
    uint64_t began_us;
};

static struct event_base *base;
static struct child *children;
static const int *listeners;
static int worker_count, leader_fd = -1, control_fd = -1;
static const char *name, *var;
static char **service_names;
static int service_count;
static bool ending;
static struct operation *operations;
static uint64_t started_us;

/* ---- operations ---- */

static void answer(struct bufferevent *client, const struct fastr_buffer *text)
{
    if (client)
        bufferevent_write(client, text->data, text->length);
}

static void answer_error(struct bufferevent *client, const char *error)
{
    struct fastr_buffer out = {0};
    fastr_buffer_text(&out, "{\"ok\":false,\"error\":");
    fastr_json_string(&out, error, strlen(error));
    fastr_buffer_text(&out, "}\n");
    answer(client, &out);
    fastr_buffer_free(&out);
}

static void answer_ok(struct bufferevent *client)
{
    if (client)
        bufferevent_write(client, "{\"ok\":true}\n", 12);
}

/* What is live now, or on trial or prepared, and how long that took. */
static void answer_done(struct bufferevent *client, const char *hash, uint64_t began_us)
{
    struct fastr_buffer out = {0};
    fastr_buffer_format(&out, "{\"ok\":true,\"hash\":\"%s\",\"us\":%llu}\n", hash,
                        (unsigned long long)(fastr_clock_us() - began_us));
    answer(client, &out);
    fastr_buffer_free(&out);
}

/* All have acknowledged: the one store for which it was done. */
static int store(struct operation *operation, struct fastr_err *err)
{
    struct fastr_line *line = fastr_line_find(operation->line);
    if (operation->purpose == ACTIVATE)
        return fastr_line_activate(line, operation->hash, operation->by, err);
    return operation->purpose == TRY ? fastr_line_try(line, &operation->plan, err) : 0;
}

/* For the record of the host: scripts are each process's own. */
static void note(const char *line, const char *mode, const char *hash, const char *by, const char *reason, int share)
{
    if (strcmp(line, "scripts"))
        fastr_journal_add(var, &(struct fastr_journal_entry){line, mode, hash, by, reason, share});
}

static void note_operation(const struct operation *operation)
{
    bool is_canary = operation->plan.mode == FASTR_TRIAL_CANARY;
    if (operation->error[0] || operation->purpose == PREPARE)
        return;
    if (operation->purpose == ACTIVATE)
        note(operation->line, "live", operation->hash, operation->by, operation->reason, 0);
    else
        note(operation->line, is_canary ? "canary" : "shadow", operation->hash, operation->by, operation->reason,
             operation->plan.share);
}

static void log_operation(const struct operation *operation)
{
    static const char *const words[] = {"prepared:", "live:", "on trial:"};
    bool is_refused = operation->error[0] != '\0';
    if (operation->purpose != PREPARE)
        fastr_log(is_refused ? FASTR_WARN : FASTR_INFO, "%s %.12s of %s by %s%s%s",
                  is_refused ? "refused" : words[operation->purpose], operation->hash, operation->line, operation->by,
                  is_refused ? ": " : "", operation->error);
}

static void free_operation(struct operation *operation)
{
    struct operation **at = &operations;
    while (*at != operation)
        at = &(*at)->next;
    *at = operation->next;
    event_free(operation->timer);
    free(operation);
}

static void finish_operation(struct operation *operation)
{
    struct fastr_err err;
    if (!operation->error[0] && store(operation, &err))
        snprintf(operation->error, sizeof operation->error, "%s", err.text);
    if (operation->error[0])
        answer_error(operation->client, operation->error);
    else
        answer_done(operation->client, operation->hash, operation->began_us);
    log_operation(operation);
    note_operation(operation);
    free_operation(operation);
}

static void check_operation(struct operation *operation)
{
    bool done = operation->error[0] || (!operation->workers && operation->masters == 0);
    if (done && operation->masters == 0) /* the other masters' replies carry a pointer to it */
        finish_operation(operation);
}

static void fail_operation(struct operation *operation, const char *error)
{
    if (!operation->error[0])
        snprintf(operation->error, sizeof operation->error, "%s", error);
    check_operation(operation);
}

static void on_operation_timeout(evutil_socket_t fd, short what, void *data)
{
    struct operation *operation = data;
    char error[160] = "another master of this host did not answer in time";
    int slot = 0;
    while (slot < worker_count && !(operation->workers >> slot & 1))
        slot++;
    if (slot < worker_count)
        snprintf(error, sizeof error, "worker %d of %s did not answer within %d s", slot, name, PREPARE_TIMEOUT_S);
    if (!operation->error[0])
        snprintf(operation->error, sizeof operation->error, "%s", error);
    operation->workers = 0;
    check_operation(operation);
}

static void send_to(struct child *child, const char *message)
{
    if (child->pid && send(child->channel, message, strlen(message), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        fastr_log(FASTR_WARN, "cannot reach worker %d: %s", child->slot, strerror(errno));
}

/* ---- other masters of this host ---- */

static void on_master_gone(struct bufferevent *peer, short what, void *data)
{
    struct operation *operation = data;
    if (what & BEV_EVENT_CONNECTED)
        return;
    /* Refused: nobody lives behind that socket. Whoever starts there later builds what is live by then. */
    operation->masters--;
    bufferevent_free(peer);
    if (what & BEV_EVENT_TIMEOUT)
        fail_operation(operation, "another master of this host did not answer in time");
    else
        check_operation(operation);
}

static void on_master_reply(struct bufferevent *peer, void *data)
{
    struct operation *operation = data;
    char *line = evbuffer_readln(bufferevent_get_input(peer), NULL, EVBUFFER_EOL_LF);
    if (!line)
        return;
    operation->masters--;
    bufferevent_free(peer);
    char *reason = strncmp(line, "{\"ok\":true", 10) ? fastr_control_reason(line) : NULL;
    if (reason)
        fail_operation(operation, reason);
    else
        check_operation(operation);
    free(reason);
    free(line);
}

static void ask_master(struct operation *operation, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    struct bufferevent *peer = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(peer, on_master_reply, NULL, on_master_gone, operation);
    bufferevent_set_timeouts(peer, &(struct timeval){PREPARE_TIMEOUT_S, 0}, NULL);
    evbuffer_add_printf(bufferevent_get_output(peer), "prepare %s %s\n", operation->line, operation->hash);
    operation->masters++;
    if (bufferevent_socket_connect(peer, (struct sockaddr *)&address, sizeof address) < 0) {
        operation->masters--;
        bufferevent_free(peer);
        return;
    }
    bufferevent_enable(peer, EV_READ | EV_WRITE);
}

static void ask_other_masters(struct operation *operation)
{
    char *pattern = fastr_format("%s/run/*.sock", var), *own = fastr_format("%s/run/%s.sock", var, name);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            if (strcmp(found.gl_pathv[i], own))
                ask_master(operation, found.gl_pathv[i]);
        globfree(&found);
    }
    free(pattern);
    free(own);
}

static struct operation *begin_operation(struct bufferevent *client, enum purpose purpose, const char *line, const char *hash,
                                         const char *by)
{
    static unsigned ids;
    struct operation *operation = fastr_zalloc(sizeof *operation);
    operation->id = ++ids;
    operation->purpose = purpose;
    operation->client = client;
    operation->began_us = fastr_clock_us();
    snprintf(operation->line, sizeof operation->line, "%s", line);
    snprintf(operation->hash, sizeof operation->hash, "%s", hash);
    snprintf(operation->by, sizeof operation->by, "%s", by);
    operation->timer = evtimer_new(base, on_operation_timeout, operation);
    event_add(operation->timer, &(struct timeval){PREPARE_TIMEOUT_S, 0});
    operation->next = operations;
    operations = operation;
    return operation;
}

static void prepare_everywhere(struct operation *operation)
{
    char message[MESSAGE_MAX];
    snprintf(message, sizeof message, "prepare %u %s %s", operation->id, operation->line, operation->hash);
    operation->masters = 1; /* held until all are asked */
    for (int i = 0; i < worker_count; i++) {
        if (!children[i].pid)
            continue; /* it builds what is live when it is back */
        operation->workers |= 1ull << i;
        send_to(&children[i], message);
    }
    if (operation->purpose != PREPARE && strcmp(operation->line, "scripts"))
        ask_other_masters(operation);
    operation->masters--;
    check_operation(operation);
}

static void worker_answered(struct child *child, const char *message)
{
    unsigned id;
    int at = 0;
    if (sscanf(message, "%*s %u%n", &id, &at) != 1)
        return;
    for (struct operation *operation = operations; operation; operation = operation->next) {
        if (operation->id != id || !(operation->workers >> child->slot & 1))
            continue;
        operation->workers &= ~(1ull << child->slot);
        if (message[0] == 'n')
            fail_operation(operation, message + at + 1);
        else
            check_operation(operation);
        return;
    }
}

static void worker_died_preparing(struct child *child)
{
    char error[96];
    snprintf(error, sizeof error, "worker %d of %s died while it prepared the version", child->slot, name);
    for (struct operation *operation = operations, *next; operation; operation = next) {
        next = operation->next;
        if (operation->workers >> child->slot & 1) {
            operation->workers &= ~(1ull << child->slot);
            fail_operation(operation, error);
        }
    }
}

/* ---- workers ---- */

static void spawn(struct child *child);

static void on_worker_message(evutil_socket_t fd, short what, void *data)
{
    struct child *child = data;
    char message[MESSAGE_MAX];
    ssize_t n;
    while ((n = recv(fd, message, sizeof message - 1, MSG_DONTWAIT)) > 0) {
        message[n] = '\0';
        worker_answered(child, message);
    }
    if (n == 0)
        event_del(child->readable); /* SIGCHLD follows */
}

static void become_worker(struct child *child, int channel)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int i = 0; i < worker_count; i++)
        if (children[i].pid && children[i].channel >= 0)
            close(children[i].channel);
    if (leader_fd >= 0)
        close(leader_fd);
    fastr_name_release();
    fastr_versions_release();
    close(control_fd); /* or who asks a dead master would wait for as long as its workers finish */
    static struct fastr_worker_config config;
    config = (struct fastr_worker_config){child->slot, channel, listeners, worker_count};
    exit(fastr_worker_run(&config));
}

static void spawn(struct child *child)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        fastr_log(FASTR_ERROR, "cannot make a channel: %s", strerror(errno));
        exit(1);
    }
    sigset_t all, old;
    sigfillset(&all); /* a signal must not reach the child while it still has the master's handlers */
    sigprocmask(SIG_SETMASK, &all, &old);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        become_worker(child, pair[1]);
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        fastr_log(FASTR_ERROR, "cannot fork: %s", strerror(errno));
        event_add(child->respawn, &(struct timeval){1, 0});
        return;
    }
    child->pid = pid;
    child->channel = pair[0];
    child->born_us = fastr_clock_us();
    child->readable = event_new(base, pair[0], EV_READ | EV_PERSIST, on_worker_message, child);
    event_add(child->readable, NULL);
}

static void on_respawn(evutil_socket_t fd, short what, void *data)
{
    struct child *child = data;
    if (ending || child->pid)
        return;
    fastr_versions_look(true);
    fastr_versions_keep(true);
    spawn(child);
}

static int living(void)
{
    int n = 0;
    for (int i = 0; i < worker_count; i++)
        n += children[i].pid != 0;
    return n;
}

/* The first respawn is immediate; a worker that did not live for a second makes the next wait longer. */
static void schedule_respawn(struct child *child)
{
    bool lived = fastr_clock_us() - child->born_us > 1000000;
    child->backoff_ms = lived ? 0 : child->backoff_ms ? child->backoff_ms * 2 : 100;
    if (child->backoff_ms > BACKOFF_MAX_MS)
        child->backoff_ms = BACKOFF_MAX_MS;
    uint32_t wait = lived ? 0 : child->backoff_ms;
    event_add(child->respawn, &(struct timeval){wait / 1000, wait % 1000 * 1000});
}

static void buried(struct child *child, int status)
{
    struct fastr_slot *slot = fastr_slot_at(child->slot);
    fastr_metrics_unlock_dead(child->pid);
    if (!ending)
        fastr_log(FASTR_WARN, "worker %d (pid %d) ended: %s %d", child->slot, (int)child->pid,
                  WIFSIGNALED(status) ? "signal" : "exit code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    event_free(child->readable);
    close(child->channel);
    child->pid = 0;
    child->channel = -1;
    slot->pid = 0;
    slot->ready = 0;
    slot->restarts++;
    worker_died_preparing(child);
    if (!ending)
        schedule_respawn(child);
}

static void on_child(evutil_socket_t fd, short what, void *data)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (int i = 0; i < worker_count; i++)
            if (children[i].pid == pid)
                buried(&children[i], status);
    if (ending && living() == 0)
        event_base_loopbreak(base);
}

/* ---- slots that nobody serves ---- */

static int living_sibling(int slot)
{
    for (int i = 1; i < worker_count; i++) {
        int other = (slot + i) % worker_count;
        if (children[other].pid && fastr_slot_at(other)->ready)
            return other;
    }
    return -1;
}

static void hand_over(struct child *child, int sibling)
{
    char message[32];
    snprintf(message, sizeof message, "adopt %d", child->slot);
    send_to(&children[sibling], message);
    child->adopted_by = sibling;
}

static void take_back(struct child *child)
{
    char message[32];
    snprintf(message, sizeof message, "release %d", child->slot);
    send_to(&children[child->adopted_by], message);
    child->adopted_by = -1;
}

/* The last resort for rules: a version that got two workers stuck is undone, and stays so until it is pardoned. */
static void blame(const struct fastr_slot *slot)
{
    static char blamed[sizeof slot->pack];
    static int times;
    struct fastr_line *line = fastr_line_find("rules");
    struct fastr_err err;
    char hash[65], by[48];
    times = strcmp(blamed, slot->pack) ? 1 : times + 1;
    snprintf(blamed, sizeof blamed, "%s", slot->pack);
    if (times < KILLS_MAX || !line || !fastr_line_live(line, hash) || strncmp(hash, slot->pack, strlen(slot->pack)))
        return;
    snprintf(by, sizeof by, "stuck in %.22s: quarantine", slot->point);
    if (fastr_line_quarantine(line, by, hash, &err)) {
        fastr_log(FASTR_ERROR, "rules %s get workers stuck in %s, and cannot be undone: %s", slot->pack, slot->point, err.text);
        return;
    }
    fastr_log(FASTR_ERROR, "rules %s got %d workers stuck in %s: in quarantine, and %.12s is live again", slot->pack, times,
              slot->point, hash);
    note("rules", "rollback", hash, "fastr", by, 0);
}

/* A candidate is not given another worker to get stuck: its trial ends, and the live version decides alone. */
static void end_trial(const struct fastr_slot *slot)
{
    struct fastr_trial_plan plan;
    struct fastr_line *line = fastr_line_find("rules");
    struct fastr_trial *trial = line ? fastr_line_trial(line) : NULL;
    uint64_t word = trial ? fastr_trial_read(trial, &plan) : 0;
    if (!word || strncmp(plan.hash, slot->pack, strlen(slot->pack)) || !fastr_trial_stuck(trial, word, slot->point))
        return;
    struct fastr_buffer fields = {0};
    fastr_buffer_format(&fields, "\"candidate\":\"%.12s\",\"reason\":", plan.hash);
    fastr_json_string(&fields, trial->reason, strlen(trial->reason)); /* a point's name is the pack's */
    fastr_log_fields(FASTR_ERROR, "rules: a trial has stopped itself; the live version decides alone", fields.data);
    fastr_buffer_free(&fields);
}

static void watch_rule(struct child *child)
{
    static uint64_t most_us;
    struct fastr_slot *slot = fastr_slot_at(child->slot);
    if (!most_us)
        most_us = 1000 * (uint64_t)fastr_setting_int("limits.rule_ms", 2000, 100, 3600000);
    uint64_t since = slot->deciding_us, now = fastr_clock_us();
    if (!child->pid || !since || now < since || now - since < most_us)
        return;
    fastr_log(FASTR_ERROR, "worker %d (pid %d) has been stuck in %s of rules %s for %llu ms: killed", child->slot,
              (int)child->pid, slot->point, slot->pack, (unsigned long long)((now - since) / 1000));
    slot->deciding_us = 0;
    end_trial(slot);
    kill(child->pid, SIGKILL);
    blame(slot);
}

static void watch(struct child *child, uint64_t stuck_ms)
{
    struct fastr_slot *slot = fastr_slot_at(child->slot);
    uint64_t late_ms = (fastr_clock_us() - slot->pulse_us) / 1000;
    bool serves = child->pid && slot->ready && late_ms < 50 + (uint64_t)fastr_pulse_ms(worker_count);
    if (child->adopted_by >= 0 && (serves || !children[child->adopted_by].pid))
        take_back(child);
    if (!serves && child->adopted_by < 0) {
        int sibling = living_sibling(child->slot);
        if (sibling >= 0)
            hand_over(child, sibling);
    }
    if (child->pid && slot->ready && late_ms > stuck_ms) {
        fastr_log(FASTR_ERROR, "worker %d (pid %d) has been stuck for %llu ms: killed", child->slot, (int)child->pid,
                  (unsigned long long)late_ms);
        kill(child->pid, SIGKILL);
    }
}

static void lead_if_nobody_does(void)
{
    if (flock(leader_fd, LOCK_EX | LOCK_NB))
        return;
    char text[128];
    int n = snprintf(text, sizeof text, "%s\n", name);
    if (pwrite(leader_fd, text, (size_t)n, 0) != n || ftruncate(leader_fd, n)) /* never empty to who reads meanwhile */
        fastr_log(FASTR_WARN, "cannot write the leader's name: %s", strerror(errno));
}

static void on_watch(evutil_socket_t fd, short what, void *data)
{
    static uint64_t stuck_ms;
    if (!stuck_ms)
        stuck_ms = fastr_stuck_ms();
    fastr_versions_look(true);
    fastr_versions_keep(false);
    for (int i = 0; i < worker_count && !ending; i++) {
        watch_rule(&children[i]);
        watch(&children[i], stuck_ms);
    }
    lead_if_nobody_does();
}

/* ---- control ---- */

/* What is on its way, and whose answer it waits for. */
static void describe_operations(struct fastr_buffer *out)
{
    fastr_buffer_text(out, "],\"preparing\":[");
    for (struct operation *operation = operations; operation; operation = operation->next) {
        fastr_buffer_format(out, "%s{\"hash\":\"%s\",\"masters\":%d,\"workers\":[", operation == operations ? "" : ",",
                            operation->hash, operation->masters);
        const char *comma = "";
        for (int i = 0; i < worker_count; i++) {
            if (!(operation->workers >> i & 1))
                continue;
            fastr_buffer_format(out, "%s%d", comma, i);
            comma = ",";
        }
        fastr_buffer_text(out, "]}");
    }
}

static void describe(struct fastr_buffer *out)
{
    fastr_versions_look(true);
    fastr_buffer_format(out, "{\"ok\":true,\"name\":\"%s\",\"pid\":%d,\"listen\":\"%s\",\"up_s\":%llu,\"services\":[", name,
                        (int)getpid(), fastr_setting("listen", ""),
                        (unsigned long long)((fastr_clock_us() - started_us) / 1000000));
    for (int i = 0; i < service_count; i++)
        fastr_buffer_format(out, "%s\"%s\"", i ? "," : "", service_names[i]);
    fastr_buffer_text(out, "],\"workers\":[");
    for (int i = 0; i < worker_count; i++) {
        fastr_buffer_text(out, i ? "," : "");
        fastr_slot_describe(i, out);
    }
    fastr_buffer_text(out, "],\"lines\":[");
    for (int i = 0; i < fastr_line_count(); i++) {
        fastr_buffer_text(out, i ? "," : "");
        fastr_line_describe(fastr_line_at(i), out);
    }
    describe_operations(out);
    fastr_buffer_text(out, "]}\n");
}

static void command_rollback(struct bufferevent *client, const char *line_name, const char *by, const char *reason)
{
    struct fastr_line *line = fastr_line_find(line_name);
    struct fastr_err err = {"invalid", "no such line"};
    char hash[65];
    uint64_t began = fastr_clock_us();
    if (!line || fastr_line_rollback(line, by, hash, &err)) {
        answer_error(client, err.text);
        return;
    }
    answer_done(client, hash, began);
    fastr_log(FASTR_INFO, "rolled back %s to %.12s by %s", line_name, hash, by);
    note(line_name, "rollback", hash, by, reason, 0);
}

/* The setting LINE.trial.LIMIT times `scale`; -1 for what is no number of 0 or more. */
static int limit_of(const char *line, const char *limit, const char *otherwise, int scale)
{
    char *path = fastr_format("%s.trial.%s", line, limit), *end;
    const char *text = fastr_setting(path, otherwise);
    double value = strtod(text, &end);
    free(path);
    return *text && !*end && value >= 0 && value <= 1000000 ? (int)(value * scale + 0.5) : -1;
}

/* What follows "trial LINE HASH"; false if it cannot be understood. */
static bool read_plan(struct fastr_trial_plan *plan, const char *line, const char *words)
{
    char mode[8];
    struct fastr_trial_limits *limits = &plan->limits;
    *limits = (struct fastr_trial_limits){limit_of(line, "drift_percent", "2", 100), limit_of(line, "errors", "1", 1),
                                          limit_of(line, "after", "20", 1)};
    int n = sscanf(words, " %7s %d %47s %d %d %d", mode, &plan->share, plan->by, &limits->drift, &limits->errors,
                   &limits->after);
    bool is_canary = n > 0 && !strcmp(mode, "canary");
    plan->mode = is_canary ? FASTR_TRIAL_CANARY : FASTR_TRIAL_SHADOW;
    return (n == 3 || n == 6) && (is_canary || !strcmp(mode, "shadow")) && plan->share >= 1 &&
           plan->share <= FASTR_TRIAL_WHOLE && limits->drift >= 0 && limits->errors >= 1 && limits->after >= 1;
}

static void command_trial(struct bufferevent *client, const char *line, const char *hash, const char *words)
{
    struct fastr_trial_plan plan = {0};
    if (!strcmp(line, "scripts") || !fastr_line_find(line)) {
        answer_error(client, "there can be no trial of that line");
        return;
    }
    if (!read_plan(&plan, line, words)) {
        answer_error(client, "trial LINE HASH canary|shadow SHARE BY [DRIFT ERRORS AFTER]: SHARE is 1 to 10000, ERRORS and "
                             "AFTER are at least 1, here or in the settings LINE.trial.*");
        return;
    }
    snprintf(plan.hash, sizeof plan.hash, "%.64s", hash);
    struct operation *operation = begin_operation(client, TRY, line, hash, plan.by);
    operation->plan = plan;
    prepare_everywhere(operation);
}

static void command_stop(struct bufferevent *client, const char *line_name, const char *by, const char *reason)
{
    struct fastr_line *line = fastr_line_find(line_name);
    struct fastr_err err = {"invalid", "no such line"};
    if (!line || fastr_line_stop(line, by, reason, &err)) {
        answer_error(client, err.text);
        return;
    }
    answer_ok(client);
    fastr_log(FASTR_INFO, "the trial of %s was stopped by %s: %s", line_name, by, reason);
    note(line_name, "stop", "", by, reason, 0);
}

/* What --force means: the version may be activated after all. */
static void command_pardon(struct bufferevent *client, const char *line_name, const char *hash)
{
    struct fastr_line *line = fastr_line_find(line_name);
    struct fastr_err err = {"invalid", "no such line"};
    if (!line || fastr_line_pardon(line, hash, &err))
        answer_error(client, err.text);
    else
        answer_ok(client);
}

static void begin_end(void);

/* Does it name a version by something else than its hash? That becomes part of a path. */
static bool names_no_hash(const char *command)
{
    char verb[10], hash[80];
    bool takes_one = sscanf(command, "%9[a-z] %*79s %71s", verb, hash) == 2 &&
                     (!strcmp(verb, "prepare") || !strcmp(verb, "activate") || !strcmp(verb, "trial"));
    return takes_one && (strlen(hash) != 64 || strspn(hash, "0123456789abcdef") != 64);
}

static void obey(struct bufferevent *client, const char *command)
{
    char line[80], hash[80], by[48];
    int at = 0;
    if (!strcmp(command, "status")) {
        struct fastr_buffer out = {0};
        describe(&out);
        answer(client, &out);
        fastr_buffer_free(&out);
    } else if (names_no_hash(command)) {
        answer_error(client, "HASH is 64 hexadecimal digits in small letters");
    } else if (sscanf(command, "prepare %79s %71s", line, hash) == 2 && fastr_line_find(line)) {
        prepare_everywhere(begin_operation(client, PREPARE, line, hash, ""));
    } else if (sscanf(command, "activate %79s %71s %47s %n", line, hash, by, &at) == 3 && fastr_line_find(line)) {
        struct operation *operation = begin_operation(client, ACTIVATE, line, hash, by);
        snprintf(operation->reason, sizeof operation->reason, "%s", command + at);
        prepare_everywhere(operation);
    } else if (sscanf(command, "rollback %79s %47s %n", line, by, &at) == 2) {
        command_rollback(client, line, by, command + at);
    } else if (sscanf(command, "trial %79s %71s%n", line, hash, &at) == 2) {
        command_trial(client, line, hash, command + at);
    } else if (sscanf(command, "stop %79s %47s %n", line, by, &at) == 2 && at && command[at]) {
        command_stop(client, line, by, command + at);
    } else if (sscanf(command, "pardon %79s %71s", line, hash) == 2) {
        command_pardon(client, line, hash);
    } else if (!strcmp(command, "drain")) {
        answer_ok(client);
        begin_end();
    } else {
        answer_error(client, "unknown command or line");
    }
}

static void on_client_gone(struct bufferevent *client, short what, void *data)
{
    for (struct operation *operation = operations; operation; operation = operation->next)
        if (operation->client == client)
            operation->client = NULL;
    bufferevent_free(client);
}

static void on_client_line(struct bufferevent *client, void *data)
{
    char *command = evbuffer_readln(bufferevent_get_input(client), NULL, EVBUFFER_EOL_LF);
    if (command)
        obey(client, command);
    free(command);
}

static void on_client(evutil_socket_t fd, short what, void *data)
{
    int client_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client_fd < 0)
        return;
    struct bufferevent *client = bufferevent_socket_new(base, client_fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(client, on_client_line, NULL, on_client_gone, NULL);
    bufferevent_enable(client, EV_READ | EV_WRITE);
}

/* ---- life ---- */

static void begin_end(void)
{
    if (ending)
        return;
    ending = true;
    for (int i = 0; i < worker_count; i++)
        send_to(&children[i], "drain");
    if (living() == 0)
        event_base_loopbreak(base);
}

static void on_end_signal(evutil_socket_t fd, short what, void *data)
{
    begin_end();
}

static int open_control(struct fastr_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/run/%s.sock", var, name);
    if (n >= (int)sizeof address.sun_path)
        return fastr_fail(err, "invalid", "the path of the control socket is too long: choose a shorter setting var");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    unlink(address.sun_path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || chmod(address.sun_path, 0600) || listen(fd, 16))
        return fastr_fail(err, "unavailable", "cannot open %s: %s", address.sun_path, strerror(errno));
    control_fd = fd;
    event_add(event_new(base, fd, EV_READ | EV_PERSIST, on_client, NULL), NULL);
    return 0;
}

static int open_leader(struct fastr_err *err)
{
    char *path = fastr_format("%s/run/leader", var);
    leader_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    free(path);
    return leader_fd < 0 ? fastr_fail(err, "unavailable", "cannot open the leader's lock: %s", strerror(errno)) : 0;
}

static int open_listeners(struct fastr_err *err)
{
    listeners = fastr_listeners_open(fastr_setting("listen", "127.0.0.1:8080"), worker_count, err);
    return listeners ? 0 : -1;
}

/* Can what is live be run by this installation? After an update that may ask for more than it has. What is stored badly is
 * healed by others (see kept.h), and taken for good here. */
static bool live_builds(const char *kind, const char *hash)
{
    struct fastr_err why;
    char *path = fastr_format("%s/%s", fastr_versions_store(), hash);
    struct fastr_bundle *bundle = fastr_bundle_load(path, hash, &why);
    free(path);
    bool builds = !bundle || fastr_lines_prove(kind, bundle, &why) == 0;
    fastr_bundle_free(bundle);
    if (!builds)
        fastr_log(FASTR_WARN, "the live version %.12s of %s does not build here: %s", hash, kind, why.text);
    return builds;
}

/* What is on disk now becomes live, if it proves; `always`: also when what is live could stay so. Where versions are
 * signed, people say what becomes live. */
static int begin_line(struct fastr_line *line, const char *kind, bool always, struct fastr_err *err)
{
    char hash[65];
    if (fastr_line_live(line, hash) && !always) {
        if (fastr_line_admitted(line, err))
            return -1;
        if (!strcmp(fastr_setting("rules.signed", "false"), "true") || live_builds(kind, hash))
            return 0;
    }
    struct fastr_bundle *bundle = fastr_lines_read(kind, err);
    int rc = !bundle || fastr_lines_prove(kind, bundle, err) ||
                     fastr_bundle_store(bundle, fastr_versions_store(), err) ||
                     fastr_line_activate(line, fastr_bundle_hash(bundle), "start", err)
                 ? -1
                 : 0;
    fastr_bundle_free(bundle);
    return rc;
}

static int begin_lines(struct fastr_err *err)
{
    if (fastr_lines_open(name, err) || begin_line(fastr_line_at(0), "scripts", true, err))
        return -1;
    for (int i = 1; i < fastr_line_count(); i++)
        if (begin_line(fastr_line_at(i), fastr_line_name(fastr_line_at(i)), false, err))
            return -1;
    return 0;
}

static void watch_signals(void)
{
    signal(SIGPIPE, SIG_IGN);
    event_add(evsignal_new(base, SIGCHLD, on_child, NULL), NULL);
    event_add(evsignal_new(base, SIGTERM, on_end_signal, NULL), NULL);
    event_add(evsignal_new(base, SIGINT, on_end_signal, NULL), NULL);
    static struct event *timer;
    timer = event_new(base, -1, EV_PERSIST, on_watch, NULL);
    event_add(timer, &(struct timeval){0, worker_count > 1 ? 25000 : 100000});
}

static void spawn_all(void)
{
    children = fastr_zalloc(sizeof *children * (size_t)worker_count);
    for (int i = 0; i < worker_count; i++) {
        children[i] = (struct child){.slot = i, .channel = -1, .adopted_by = -1};
        children[i].respawn = evtimer_new(base, on_respawn, &children[i]);
    }
    fastr_versions_keep(true);
    for (int i = 0; i < worker_count; i++)
        spawn(&children[i]);
}

int fastr_master_run(char **services, int count)
{
    struct fastr_err err;
    service_names = services;
    service_count = count;
    fastr_program_services(services, count);
    name = fastr_setting("name", count == 1 ? services[0] : "shop");
    var = fastr_setting("var", "var");
    worker_count = (int)fastr_setting_int("workers", 1, 1, FASTR_WORKERS_MAX);
    started_us = fastr_clock_us();
    fastr_log_setup(name, fastr_setting("log.level", "info"));
    fastr_metrics_create();
    fastr_slots_create(worker_count);
    if (fastr_versions_open(var, &err) || fastr_name_take(var, name, &err) || open_leader(&err) ||
        open_listeners(&err) || begin_lines(&err)) {
        fprintf(stderr, "fastr: %s\n", err.text);
        return 1;
    }
    fastr_log_unblock();
    base = event_base_new();
    watch_signals();
    if (open_control(&err)) {
        fprintf(stderr, "fastr: %s\n", err.text);
        return 1;
    }
    lead_if_nobody_does(); /* before anybody can see it ready and ask the leader for something */
    fastr_log(FASTR_INFO, "listening on %s with %d workers", fastr_setting("listen", "127.0.0.1:8080"), worker_count);
    spawn_all();
    event_base_dispatch(base);
    char *socket = fastr_format("%s/run/%s.sock", var, name);
    unlink(socket);
    free(socket);
    return 0;
}
