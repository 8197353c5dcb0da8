/* metrics.c: counters, gauges and histograms in memory shared by the workers of a master, summed for /metrics.
 *
 *   table: [ entry 0: name{labels}, kind, help | value of worker 0, value of worker 1, ... ]
 *
 * An entry is found or made under a spin lock that is held for microseconds; its values are written by their own
 * worker alone, so no atomics are needed beyond aligned 8-byte stores. A histogram is its buckets' counters plus sum
 * and count. A dead worker's counters stay in its slot; its gauges are reset by its successor. */
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "runtime/fastr.h"
#include "runtime/internal.h"

enum { ENTRIES = 2048, NAME = 160, HELP = 96, BUCKETS = 12 };
enum kind { COUNTER, GAUGE, HISTOGRAM };
static const double bounds[BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5};

struct cell {
    double value;            /* counter, gauge, histogram's sum */
    double count[BUCKETS + 1]; /* histogram: per bucket, not cumulative */
};

struct fastr_metric {
    char name[NAME], labels[NAME], help[HELP];
    enum kind kind;
    struct cell cells[FASTR_WORKERS_MAX];
};

struct table {
    atomic_int lock; /* pid of the holder, or 0 */
    atomic_int used;
    struct fastr_metric entries[ENTRIES];
};

static struct table *table;
static int slot;

void fastr_metrics_create(void)
{
    void *memory = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("fastr: cannot map the metrics table");
        exit(1);
    }
    table = memory;
}

void fastr_metrics_slot(int worker)
{
    slot = worker;
    for (int i = 0; i < atomic_load(&table->used); i++)
        if (table->entries[i].kind == GAUGE)
            table->entries[i].cells[slot].value = 0;
}

static void lock_table(void)
{
    int nobody = 0, me = (int)getpid();
    while (!atomic_compare_exchange_weak(&table->lock, &nobody, me)) {
        nobody = 0;
        sched_yield();
    }
}

/* A worker killed while it held the lock must not stop the others: the master gives it back. */
void fastr_metrics_unlock_dead(int pid)
{
    int holder = pid;
    if (table)
        atomic_compare_exchange_strong(&table->lock, &holder, 0);
}

static struct fastr_metric *find(const char *name, const char *labels, int used)
{
    for (int i = 0; i < used; i++)
        if (!strcmp(table->entries[i].name, name) && !strcmp(table->entries[i].labels, labels))
            return &table->entries[i];
    return NULL;
}

static struct fastr_metric *find_or_make(enum kind kind, const char *name, const char *labels, const char *help)
{
    if (!table)
        fastr_metrics_create();
    lock_table();
    int used = atomic_load(&table->used);
    struct fastr_metric *metric = find(name, labels, used);
    if (!metric && used < ENTRIES - 1) {
        metric = &table->entries[used];
        snprintf(metric->name, NAME, "%s", name);
        snprintf(metric->labels, NAME, "%s", labels);
        snprintf(metric->help, HELP, "%s", help);
        metric->kind = kind;
        atomic_store(&table->used, used + 1);
    }
    if (!metric) { /* full: everything more is counted together, which shows */
        metric = &table->entries[ENTRIES - 1];
        snprintf(metric->name, NAME, "fastr_metrics_overflow_total");
        atomic_store(&table->used, ENTRIES);
    }
    atomic_store(&table->lock, 0);
    return metric;
}

struct fastr_metric *fastr_counter(const char *name, const char *labels, const char *help)
{
    return find_or_make(COUNTER, name, labels, help);
}

struct fastr_metric *fastr_gauge(const char *name, const char *labels, const char *help)
{
    return find_or_make(GAUGE, name, labels, help);
}

struct fastr_metric *fastr_histogram(const char *name, const char *labels, const char *help)
{
    return find_or_make(HISTOGRAM, name, labels, help);
}

void fastr_metric_add(struct fastr_metric *metric, double value)
{
    metric->cells[slot].value += value;
}

void fastr_metric_set(struct fastr_metric *metric, double value)
{
    metric->cells[slot].value = value;
}

void fastr_metric_observe(struct fastr_metric *metric, double seconds)
{
    struct cell *cell = &metric->cells[slot];
    int bucket = 0;
    while (bucket < BUCKETS && seconds > bounds[bucket])
        bucket++;
    cell->count[bucket] += 1;
    cell->value += seconds;
}

static double summed(const struct fastr_metric *metric)
{
    double sum = 0;
    for (int i = 0; i < FASTR_WORKERS_MAX; i++)
        sum += metric->cells[i].value;
    return sum;
}

static void write_histogram(struct fastr_buffer *out, const struct fastr_metric *metric)
{
    const char *comma = *metric->labels ? "," : "";
    double seen = 0;
    for (int b = 0; b <= BUCKETS; b++) {
        for (int i = 0; i < FASTR_WORKERS_MAX; i++)
            seen += metric->cells[i].count[b];
        char bound[32] = "+Inf";
        if (b < BUCKETS)
            snprintf(bound, sizeof bound, "%g", bounds[b]);
        fastr_buffer_format(out, "%s_bucket{%s%sle=\"%s\"} %.17g\n", metric->name, metric->labels, comma, bound, seen);
    }
    const char *open = *metric->labels ? "{" : "", *close = *metric->labels ? "}" : "";
    fastr_buffer_format(out, "%s_sum%s%s%s %.17g\n", metric->name, open, metric->labels, close, summed(metric));
    fastr_buffer_format(out, "%s_count%s%s%s %.17g\n", metric->name, open, metric->labels, close, seen);
}

static void write_entry(struct fastr_buffer *out, const struct fastr_metric *metric)
{
    if (metric->kind == HISTOGRAM)
        write_histogram(out, metric);
    else if (*metric->labels)
        fastr_buffer_format(out, "%s{%s} %.17g\n", metric->name, metric->labels, summed(metric));
    else
        fastr_buffer_format(out, "%s %.17g\n", metric->name, summed(metric));
}

/* Prometheus text exposition format 0.0.4: the lines of one name stand together under one HELP and TYPE. */
void fastr_metrics_write(struct fastr_buffer *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    int used = table ? atomic_load(&table->used) : 0;
    bool *done = fastr_zalloc((size_t)used + 1);
    for (int i = 0; i < used; i++) {
        const struct fastr_metric *first = &table->entries[i];
        if (done[i] || !*first->name)
            continue;
        fastr_buffer_format(out, "# HELP %s %s\n# TYPE %s %s\n", first->name, first->help, first->name,
                            types[first->kind]);
        for (int j = i; j < used; j++) {
            if (strcmp(table->entries[j].name, first->name))
                continue;
            write_entry(out, &table->entries[j]);
            done[j] = true;
        }
    }
    free(done);
}

/* ---- clocks ---- */

uint64_t fastr_clock_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int64_t fastr_wall_us(void)
{
    static int64_t shift_us = INT64_MIN;
    if (shift_us == INT64_MIN) {
        const char *shift = getenv("FASTR_TIME_SHIFT_MS");
        shift_us = shift ? strtoll(shift, NULL, 10) * 1000 : 0;
    }
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 + shift_us;
}
