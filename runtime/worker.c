/* worker.c: see worker.h. */
#include "runtime/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/listen.h"
#include "runtime/request.h"
#include "runtime/slots.h"
#include "runtime/state.h"
#include "runtime/stream.h"
#include "runtime/task.h"

enum { DRAIN_MS = 30000, ORPHAN_MS = 3000, STUCK_MS = 10000, MESSAGE_MAX = 1024, TELL_AGAIN_US = 60 * 1000000 };

static const struct fastr_worker_config *config;
static struct event_base *base;
static struct fastr_http_server *server;
static struct event *pulse, *channel_event;
static bool draining, orphaned;
static uint64_t orphan_until_us; /* when its sockets are closed at the latest; 0: they are */
static uint64_t drain_until_us;
static uint64_t scripts_seen;

/* ---- schedules ---- */

struct schedule {
    struct event *timer;
    int index;         /* in the program; -1: its program has gone */
    uint64_t every_ms;
    bool running;
    char name[64];
    uint64_t told_us; /* when its last failure was logged */
    char told[120];   /* how that began; empty after a success */
};

static struct schedule **schedules;
static int schedule_count;

static void arm_schedule(struct schedule *schedule)
{
    uint64_t ms = schedule->every_ms + (uint64_t)rand() % (schedule->every_ms / 10 + 1); /* jitter: not all at once */
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    event_add(schedule->timer, &tv);
}

static void free_schedule(struct schedule *schedule)
{
    event_free(schedule->timer);
    free(schedule);
}

/* What fails alike again and again, as while a server is away, is told once a minute. */
static void tell_failure(struct schedule *schedule, const char *error)
{
    uint64_t now = fastr_clock_us();
    if (!strncmp(schedule->told, error, sizeof schedule->told - 1) && now < schedule->told_us + TELL_AGAIN_US)
        return;
    schedule->told_us = now;
    snprintf(schedule->told, sizeof schedule->told, "%s", error);
    fastr_log(FASTR_WARN, "schedule %s: %s", schedule->name, error);
}

static void schedule_done(void *data, bool ok, const char *error)
{
    struct schedule *schedule = data;
    schedule->running = false;
    if (ok)
        schedule->told[0] = '\0';
    else if (!draining)
        tell_failure(schedule, error);
    if (schedule->index < 0 || draining)
        free_schedule(schedule);
    else
        arm_schedule(schedule);
}

static void on_schedule(evutil_socket_t fd, short what, void *data)
{
    struct schedule *schedule = data;
    if (draining)
        return;
    schedule->running = true;
    struct fastr_spawn spawn = {.kind = "schedules", .handler = schedule->index, .deadline_ms = 60000,
                                .done = schedule_done, .data = schedule};
    if (!fastr_task_spawn(&spawn)) {
        schedule->running = false;
        arm_schedule(schedule);
    }
}

static void add_schedule(int index)
{
    bool one = !strcmp(fastr_program_field("schedules", index, "one"), "true");
    if (one && config->slot != 0)
        return;
    struct schedule *schedule = fastr_zalloc(sizeof *schedule);
    snprintf(schedule->name, sizeof schedule->name, "%s", fastr_program_field("schedules", index, "name"));
    schedule->every_ms = strtoull(fastr_program_field("schedules", index, "every_ms"), NULL, 10);
    if (schedule->every_ms < 1)
        schedule->every_ms = 1000;
    schedule->index = index;
    schedule->timer = evtimer_new(base, on_schedule, schedule);
    schedules = fastr_realloc(schedules, sizeof *schedules * (size_t)(schedule_count + 1));
    schedules[schedule_count++] = schedule;
    arm_schedule(schedule);
}

/* The live scripts have changed: their schedules replace the old ones. One that runs frees itself when done. */
static void load_schedules(void)
{
    for (int i = 0; i < schedule_count; i++) {
        schedules[i]->index = -1;
        if (!schedules[i]->running)
            free_schedule(schedules[i]);
    }
    schedule_count = 0;
    for (int i = 1, n = fastr_program_count("schedules"); i <= n; i++)
        add_schedule(i);
}

/* ---- the pulse ---- */

/* libevent's signals belong to the master's loop, which this process inherited; the pulse looks at this instead. */
static volatile sig_atomic_t terminated;

static void on_term(int signal_number)
{
    terminated = 1;
}

static void begin_drain(void);
static void watch_orphan(void);

static void describe_versions(struct fastr_slot *slot)
{
    for (int i = 0; i < fastr_line_count() && i < 4; i++) {
        struct fastr_version *version = fastr_line_pin(fastr_line_at(i), NULL);
        const char *name = i == 0 ? "scripts" : fastr_line_name(fastr_line_at(i));
        if (version)
            snprintf(slot->versions[i], sizeof slot->versions[i], "%.60s %.12s", name, fastr_version_hash(version));
        fastr_version_unpin(version);
    }
}

static bool bindings_idle(void)
{
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++)
        if (binding->idle && !binding->idle())
            return false;
    return true;
}

static void check_drained(void)
{
    bool quiet = fastr_tasks_count() == 0 && fastr_http_server_connections(server) == 0 && bindings_idle();
    if (!quiet && fastr_clock_us() < drain_until_us)
        return;
    if (!quiet)
        fastr_log(FASTR_WARN, "drained for %d s and %d tasks still run: cancelled", DRAIN_MS / 1000,
                  fastr_tasks_count());
    fastr_tasks_cancel_all("the worker is shutting down");
    event_base_loopbreak(base);
}

static void on_pulse(evutil_socket_t fd, short what, void *data)
{
    static uint64_t tidied_us;
    struct fastr_slot *slot = fastr_slot_mine();
    slot->pulse_us = fastr_clock_us();
    slot->tasks = fastr_tasks_count();
    slot->connections = fastr_http_server_connections(server);
    char hash[65];
    fastr_versions_look(false);
    uint64_t live = fastr_line_live(fastr_line_at(0), hash);
    if (live > scripts_seen && !draining) {
        scripts_seen = live;
        load_schedules();
    }
    if (slot->pulse_us - tidied_us > 1000000) {
        tidied_us = slot->pulse_us;
        fastr_versions_tidy(fastr_tasks_cancel_version);
        describe_versions(slot);
    }
    if (terminated)
        begin_drain();
    if (orphaned)
        watch_orphan();
    if (draining)
        check_drained();
}

/* ---- the end ---- */

static void begin_drain(void)
{
    if (draining)
        return;
    draining = true;
    drain_until_us = fastr_clock_us() + (uint64_t)DRAIN_MS * 1000;
    fastr_slot_mine()->ready = 0;
    fastr_http_server_drain(server);
    fastr_stream_drain();
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++)
        if (binding->drain)
            binding->drain();
}

/* ---- without a master ---- */

/* The master is gone without a word. Until another serves, clients would be refused: this worker goes on for a moment,
 * for the slots of siblings that may be dead, too. */
static void be_orphaned(void)
{
    orphaned = true;
    orphan_until_us = fastr_clock_us() + (uint64_t)ORPHAN_MS * 1000;
    fastr_log(FASTR_WARN, "the master is gone: worker %d serves until there is another, %d s at most", config->slot,
              ORPHAN_MS / 1000);
    for (int i = 0; i < config->listener_count && !draining; i++)
        fastr_http_server_add_listener(server, config->listeners[i]);
}

/* Who has connected is served; who comes from now on finds the other master's workers. */
static void let_go(void)
{
    for (int i = 0; i < config->listener_count && !draining; i++)
        fastr_http_server_accept(server, config->listeners[i]);
    begin_drain();
    fastr_listeners_close();
    orphan_until_us = 0;
}

/* Nobody watches an orphan: one whose loop is stuck past the limit is ended by its own alarm, set at each pulse. The
 * kernel sends the first as the master dies, when this loop may be stuck already. */
static unsigned stuck_s;

static void on_parents_death(int signal_number)
{
    alarm(stuck_s);
}

static void watch_orphan(void)
{
    alarm(stuck_s);
    if (orphan_until_us && (draining || fastr_clock_us() > orphan_until_us || fastr_name_succeeded()))
        let_go();
}

/* ---- orders of the master ---- */

static void prepare(const char *id, const char *line_name, const char *hash)
{
    struct fastr_line *line = fastr_line_find(line_name);
    struct fastr_err err = {"invalid", "this worker has no such line"};
    uint64_t began = fastr_clock_us();
    char reply[MESSAGE_MAX];
    if (line && fastr_line_prepare(line, hash, &err) == 0)
        snprintf(reply, sizeof reply, "ack %s %llu", id, (unsigned long long)(fastr_clock_us() - began));
    else
        snprintf(reply, sizeof reply, "nack %s worker %d: %s", id, config->slot, err.text);
    if (send(config->channel, reply, strlen(reply), MSG_NOSIGNAL) < 0)
        fastr_log(FASTR_WARN, "cannot answer the master: %s", strerror(errno));
}

static void obey(char *message)
{
    char id[32], line[80], hash[80];
    int slot;
    if (sscanf(message, "prepare %31s %79s %79s", id, line, hash) == 3)
        prepare(id, line, hash);
    else if (sscanf(message, "adopt %d", &slot) == 1 && slot >= 0 && slot < config->listener_count)
        fastr_http_server_add_listener(server, config->listeners[slot]);
    else if (sscanf(message, "release %d", &slot) == 1 && slot >= 0 && slot < config->listener_count)
        fastr_http_server_remove_listener(server, config->listeners[slot]);
    else if (!strcmp(message, "drain"))
        begin_drain();
}

static void on_channel(evutil_socket_t fd, short what, void *data)
{
    char message[MESSAGE_MAX];
    for (;;) {
        ssize_t n = recv(fd, message, sizeof message - 1, MSG_DONTWAIT);
        if (n > 0) {
            message[n] = '\0';
            obey(message);
            continue;
        }
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        event_del(channel_event);
        be_orphaned();
        return;
    }
}

/* ---- life ---- */

/* A sibling takes over a slot whose pulse is late, so with siblings the pulse is quick; alone it may sleep longer. */
int fastr_pulse_ms(int workers)
{
    return workers > 1 ? 25 : 100;
}

uint64_t fastr_stuck_ms(void)
{
    return (uint64_t)fastr_setting_int("limits.stuck_ms", STUCK_MS, 100, 3600000);
}

static void read_limits(struct fastr_http_limits *limits)
{
    limits->message.line_bytes = (size_t)fastr_setting_int("limits.line_bytes", 8192, 256, 65536);
    limits->message.header_bytes = (size_t)fastr_setting_int("limits.header_bytes", 32768, 1024, 1 << 20);
    limits->message.headers = (size_t)fastr_setting_int("limits.headers", 100, 8, 1000);
    limits->message.body_bytes = (size_t)fastr_setting_int("limits.body_bytes", 1 << 20, 1024, 64 << 20);
    limits->connections = (int)fastr_setting_int("limits.connections", 4096, 1, 100000);
    limits->header_ms = (uint32_t)fastr_setting_int("limits.header_ms", 10000, 100, 600000);
    limits->body_ms = (uint32_t)fastr_setting_int("limits.body_ms", 30000, 100, 600000);
    limits->idle_ms = (uint32_t)fastr_setting_int("limits.idle_ms", 75000, 100, 3600000);
    limits->write_ms = (uint32_t)fastr_setting_int("limits.write_ms", 15000, 100, 600000);
}

static int start_bindings(void)
{
    struct fastr_err err;
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++) {
        if (binding->start && binding->start(&err)) {
            fastr_log(FASTR_ERROR, "cannot start %s: %s", binding->name, err.text);
            return -1;
        }
    }
    return 0;
}

static int build_live_versions(void)
{
    struct fastr_err err;
    for (int i = 0; i < fastr_line_count(); i++) {
        struct fastr_version *version = fastr_line_pin(fastr_line_at(i), &err);
        if (!version) {
            fastr_log(FASTR_ERROR, "worker %d cannot build %s: %s", config->slot, fastr_line_name(fastr_line_at(i)),
                      err.text);
            return -1;
        }
        fastr_version_unpin(version);
    }
    return 0;
}

static void stop_bindings(void)
{
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++)
        if (binding->stop)
            binding->stop();
}

int fastr_worker_run(const struct fastr_worker_config *given)
{
    config = given;
    fastr_slot_take(config->slot);
    fastr_metrics_slot(config->slot);
    srand((unsigned)(getpid() ^ (int)fastr_clock_us()));
    base = event_base_new();
    fastr_tasks_start(base, (int)fastr_setting_int("limits.tasks", 1024, 1, 100000));
    fastr_stream_start(base, 0);
    if (build_live_versions())
        return 3;
    struct fastr_http_limits limits = {.connections = 0};
    read_limits(&limits);
    server = fastr_http_server_new(base, config->listeners[config->slot], &limits, &fastr_request_handler);
    if (start_bindings())
        return 3;
    pulse = event_new(base, -1, EV_PERSIST, on_pulse, NULL);
    event_add(pulse, &(struct timeval){0, fastr_pulse_ms(config->listener_count) * 1000});
    signal(SIGTERM, on_term);
    stuck_s = (unsigned)(fastr_stuck_ms() / 1000 + 1);
    signal(SIGUSR2, on_parents_death);
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
    channel_event = event_new(base, config->channel, EV_READ | EV_PERSIST, on_channel, NULL);
    event_add(channel_event, NULL);
    on_pulse(-1, 0, NULL);
    fastr_slot_mine()->ready = 1;
    event_base_dispatch(base);
    stop_bindings();
    return 0;
}
