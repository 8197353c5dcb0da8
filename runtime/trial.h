/* trial.h: a candidate version that runs beside the live one of a line, counted in money, stopped by its own figures.
 *
 *   word = sequence << 16 | mode << 14 | share (basis points)         0: none runs
 *
 *   canary   a share of the keys is answered by the candidate, always the same ones
 *   shadow   nobody is; a share of the keys is decided by the candidate too, after the reply
 *
 * A trial lies in the activation file, so that all processes of the host share its word and its counters. It begins and
 * ends with one store of the word. It is against one activation of the live version: when another becomes live, by an
 * activation or a rollback, it is over by that same store. Whoever adds to the counters looks at the limits, and the
 * first to see one broken ends the trial. */
#ifndef FASTR_TRIAL_H
#define FASTR_TRIAL_H

#include <stdatomic.h>

#include "runtime/fastr.h"

enum fastr_trial_mode { FASTR_TRIAL_CANARY = 1, FASTR_TRIAL_SHADOW = 2 };
enum { FASTR_TRIAL_WHOLE = 10000, FASTR_TRIAL_CURRENCIES = 4, FASTR_TRIAL_WORST = 10 };

/* What ends a trial. */
struct fastr_trial_limits {
    int drift;  /* basis points: all that is dearer, or all that is cheaper, of the live sum; other answers of all; 0: any */
    int errors; /* so many failures of the candidate; at least 1 */
    int after;  /* drift is looked at from so many comparisons in a currency, or without one, on; at least 1 */
};

struct fastr_trial_plan {
    enum fastr_trial_mode mode;
    int share;                /* basis points of the keys, 1 to 10000 */
    char hash[65], by[48];    /* the candidate; who */
    uint64_t against;         /* the sequence of the live version */
    struct fastr_trial_limits limits;
};

/* One decision, made by both. Amounts in minor units; what a text is too long for is cut. */
struct fastr_trial_pair {
    const char *key;          /* as it may be shown */
    const char *currency;     /* three letters */
    int64_t live, candidate;
    const char *line, *rule;  /* what differs most, and the first rule that does; "" if unknown */
};

struct fastr_trial_money {
    _Atomic uint32_t currency; /* three letters; 0: free */
    _Atomic int64_t compared, base, dearer, cheaper; /* base: the sum by the live version; cheaper: positive */
};

struct fastr_trial_case {
    char key[24], currency[4], line[48], rule[48];
    int64_t delta;
};

/* In shared memory: all zero is a line that never had a trial. */
struct fastr_trial {
    _Atomic uint64_t word; /* first, whatever is added below: a build of other fields takes a trial that is not its own away */
    uint32_t size;         /* of this struct, in the build that has begun the trial */
    struct fastr_trial_plan plan; /* written while the word is 0 */
    uint64_t sequence;            /* of the last trial */
    int64_t began_us, ended_us;   /* Unix time; ended 0: not yet */
    char reason[160];             /* why it ended */
    bool is_breach;               /* a limit ended it */
    _Atomic int64_t by_live, by_candidate; /* answers with a key */
    _Atomic int64_t compared, dearer, cheaper, errors, kills, dropped; /* kills: errors that a budget made */
    _Atomic int64_t judged, otherwise;     /* comparisons of answers that are no money, and those that differ */
    struct fastr_trial_money money[FASTR_TRIAL_CURRENCIES];
    atomic_int worst_holder;      /* pid of who writes `worst` */
    struct fastr_trial_case worst[FASTR_TRIAL_WORST];
};

/* Could such bytes have been left by this program? What a damaged file holds is not followed. */
bool fastr_trial_is_sound(const struct fastr_trial *trial);

/* Begins a trial in the place of what was there; one caller at a time. Returns its word. */
uint64_t fastr_trial_begin(struct fastr_trial *trial, const struct fastr_trial_plan *plan);
/* Ends the trial of `word`; false if it is over already. */
bool fastr_trial_end(struct fastr_trial *trial, uint64_t word, const char *reason, bool is_breach);
/* Copies the plan of the trial that runs; its word, or 0. */
uint64_t fastr_trial_read(const struct fastr_trial *trial, struct fastr_trial_plan *plan);

static inline bool fastr_trial_runs(const struct fastr_trial *trial, uint64_t word) {
    return atomic_load_explicit(&trial->word, memory_order_acquire) == word;
}
static inline int fastr_trial_share(uint64_t word) {
    return (int)(word & 0x3fff);
}
static inline enum fastr_trial_mode fastr_trial_mode(uint64_t word) {
    return (enum fastr_trial_mode)(word >> 14 & 3);
}

/* 0 to 9999: where a key falls in all trials of a candidate, so that a larger share keeps the keys of a smaller one. */
int fastr_trial_bucket(const char *hash, const char *key);

/* Each counts for the trial of `word` (not, when that is over) and returns true if its own addition ended the trial:
 * then `reason` says why. */
void fastr_trial_answered(struct fastr_trial *trial, uint64_t word, bool by_candidate);
bool fastr_trial_failed(struct fastr_trial *trial, uint64_t word, bool is_budget, const char *what);
/* The candidate was in `point` when the master killed the worker that it kept: once is enough, whatever the limits are. */
bool fastr_trial_stuck(struct fastr_trial *trial, uint64_t word, const char *point);
bool fastr_trial_compared(struct fastr_trial *trial, uint64_t word, const struct fastr_trial_pair *pair);
/* An answer that is no money, as whether an order is taken. `what` is the decision; drift is looked at as for money. */
bool fastr_trial_judged(struct fastr_trial *trial, uint64_t word, bool is_same, const char *what);
void fastr_trial_dropped(struct fastr_trial *trial, uint64_t word); /* a comparison that was not made */

/* Appends the last trial as a JSON object, or null if there was none. `live`: the sequence of what is live. */
void fastr_trial_describe(const struct fastr_trial *trial, uint64_t live, struct fastr_buffer *out);

#endif
