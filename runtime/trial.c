/* trial.c: see trial.h. Leans on nothing but the memory it is given. */
#include "runtime/trial.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/json.h"

enum { LOCK_TRIES = 1000 };

static bool ends(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

bool fastr_trial_is_sound(const struct fastr_trial *trial)
{
    const struct fastr_trial_plan *plan = &trial->plan;
    uint64_t word = atomic_load(&trial->word);
    if (!ends(plan->hash, sizeof plan->hash) || !ends(plan->by, sizeof plan->by) ||
        !ends(trial->reason, sizeof trial->reason))
        return false;
    return !word || (trial->size == sizeof *trial && plan->hash[0] && word >> 16 == trial->sequence && fastr_trial_mode(word) == plan->mode &&
                     fastr_trial_share(word) == plan->share && plan->limits.errors > 0 && plan->limits.after > 0);
}

/* ---- beginning and ending ---- */

uint64_t fastr_trial_begin(struct fastr_trial *trial, const struct fastr_trial_plan *plan)
{
    uint64_t sequence = trial->sequence + 1;
    atomic_store(&trial->word, 0);
    atomic_thread_fence(memory_order_release); /* who sees any of what follows sees that the word is another */
    memset(trial, 0, sizeof *trial);
    trial->size = sizeof *trial;
    trial->plan = *plan;
    trial->sequence = sequence;
    trial->began_us = fastr_wall_us();
    uint64_t word = sequence << 16 | (uint64_t)plan->mode << 14 | (uint64_t)plan->share;
    atomic_store(&trial->word, word);
    return word;
}

bool fastr_trial_end(struct fastr_trial *trial, uint64_t word, const char *reason, bool is_breach)
{
    if (!word || !atomic_compare_exchange_strong(&trial->word, &word, 0))
        return false;
    trial->is_breach = is_breach;
    snprintf(trial->reason, sizeof trial->reason, "%s", reason);
    trial->ended_us = fastr_wall_us();
    return true;
}

uint64_t fastr_trial_read(const struct fastr_trial *trial, struct fastr_trial_plan *plan)
{
    uint64_t word;
    do { /* the plan is only written while the word is 0, and no word comes twice */
        word = atomic_load(&trial->word);
        *plan = trial->plan;
        atomic_thread_fence(memory_order_acquire); /* the plan is read before the word is looked at again */
    } while (word != atomic_load(&trial->word));
    return word;
}

/* FNV's low bits alone do not spread keys that differ little: mixed as MurmurHash3 ends (public domain). */
int fastr_trial_bucket(const char *hash, const char *key)
{
    uint64_t h = fastr_hash(hash) * 31 + fastr_hash(key);
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdull;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ull;
    return (int)((h ^ h >> 33) % FASTR_TRIAL_WHOLE);
}

/* ---- the guard ---- */

static int64_t add(_Atomic int64_t *counter, int64_t amount)
{
    return atomic_fetch_add_explicit(counter, amount, memory_order_relaxed) + amount;
}

static void write_currency(char text[4], uint32_t currency)
{
    text[0] = (char)(currency >> 16), text[1] = (char)(currency >> 8), text[2] = (char)currency, text[3] = '\0';
}

/* Do so many minor units break the limit? Without a base, everything does. */
static bool is_drift(const struct fastr_trial *trial, int64_t moved, int64_t base)
{
    return moved > 0 && (double)moved * FASTR_TRIAL_WHOLE > (double)base * trial->plan.limits.drift;
}

static bool end_by_drift(struct fastr_trial *trial, uint64_t word, const struct fastr_trial_money *money)
{
    int64_t base = atomic_load(&money->base), dearer = atomic_load(&money->dearer);
    bool is_dearer = is_drift(trial, dearer, base);
    int64_t compared = atomic_load(&money->compared), moved = is_dearer ? dearer : atomic_load(&money->cheaper);
    if (compared < trial->plan.limits.after || !is_drift(trial, moved, base))
        return false;
    char reason[sizeof trial->reason], currency[4];
    write_currency(currency, atomic_load(&money->currency));
    snprintf(reason, sizeof reason,
             "%s by %lld minor units of %s in %lld decisions, %.2f %% of the live sum; the limit is %.2f %%",
             is_dearer ? "dearer" : "cheaper", (long long)moved, currency, (long long)compared,
             base > 0 ? 100.0 * (double)moved / (double)base : 100.0, trial->plan.limits.drift / 100.0);
    return fastr_trial_end(trial, word, reason, true);
}

/* ---- the worst cases ---- */

/* Held for less than a microsecond. Who was killed with it does not hold it for ever. */
static bool lock_worst(struct fastr_trial *trial)
{
    int me = (int)getpid();
    for (int i = 0; i < LOCK_TRIES; i++) {
        int holder = 0;
        if (atomic_compare_exchange_strong(&trial->worst_holder, &holder, me))
            return true;
        if (kill(holder, 0) && errno == ESRCH && atomic_compare_exchange_strong(&trial->worst_holder, &holder, me))
            return true;
        sched_yield();
    }
    return false;
}

static struct fastr_trial_case *least_bad(struct fastr_trial *trial)
{
    struct fastr_trial_case *least = &trial->worst[0];
    for (int i = 1; i < FASTR_TRIAL_WORST; i++)
        if (llabs(trial->worst[i].delta) < llabs(least->delta))
            least = &trial->worst[i];
    return least;
}

/* A key that is decided again and again has one place. */
static struct fastr_trial_case *place_of(struct fastr_trial *trial, const char *key)
{
    for (int i = 0; i < FASTR_TRIAL_WORST; i++)
        if (trial->worst[i].delta && !strncmp(trial->worst[i].key, key, sizeof trial->worst[i].key - 1))
            return &trial->worst[i];
    return least_bad(trial);
}

static void note_worst(struct fastr_trial *trial, const struct fastr_trial_pair *pair)
{
    int64_t delta = pair->candidate - pair->live;
    if (llabs(delta) <= llabs(least_bad(trial)->delta) || !lock_worst(trial))
        return;
    struct fastr_trial_case *place = place_of(trial, pair->key);
    if (llabs(delta) > llabs(place->delta)) {
        snprintf(place->key, sizeof place->key, "%s", pair->key);
        snprintf(place->currency, sizeof place->currency, "%s", pair->currency);
        snprintf(place->line, sizeof place->line, "%s", pair->line);
        snprintf(place->rule, sizeof place->rule, "%s", pair->rule);
        place->delta = delta;
    }
    atomic_store(&trial->worst_holder, 0);
}

/* ---- counting ---- */

void fastr_trial_answered(struct fastr_trial *trial, uint64_t word, bool by_candidate)
{
    if (fastr_trial_runs(trial, word))
        add(by_candidate ? &trial->by_candidate : &trial->by_live, 1);
}

void fastr_trial_dropped(struct fastr_trial *trial, uint64_t word)
{
    if (fastr_trial_runs(trial, word))
        add(&trial->dropped, 1);
}

bool fastr_trial_failed(struct fastr_trial *trial, uint64_t word, bool is_budget, const char *what)
{
    if (!fastr_trial_runs(trial, word))
        return false;
    if (is_budget)
        add(&trial->kills, 1);
    if (add(&trial->errors, 1) < trial->plan.limits.errors)
        return false;
    char reason[sizeof trial->reason];
    snprintf(reason, sizeof reason, "the candidate failed: %s", what);
    return fastr_trial_end(trial, word, reason, true);
}

bool fastr_trial_stuck(struct fastr_trial *trial, uint64_t word, const char *point)
{
    char reason[sizeof trial->reason];
    if (!fastr_trial_runs(trial, word))
        return false;
    add(&trial->kills, 1);
    add(&trial->errors, 1);
    snprintf(reason, sizeof reason, "the candidate got a worker stuck in %.80s", point);
    return fastr_trial_end(trial, word, reason, true);
}

/* The sums of a currency. NULL when there are more of them than places. */
static struct fastr_trial_money *money_of(struct fastr_trial *trial, const char *currency)
{
    uint32_t wanted = (uint32_t)(unsigned char)currency[0] << 16 | (uint32_t)(unsigned char)currency[1] << 8 |
                      (unsigned char)currency[2];
    for (int i = 0; i < FASTR_TRIAL_CURRENCIES; i++) {
        uint32_t found = 0;
        if (atomic_compare_exchange_strong(&trial->money[i].currency, &found, wanted) || found == wanted)
            return &trial->money[i];
    }
    return NULL;
}

bool fastr_trial_compared(struct fastr_trial *trial, uint64_t word, const struct fastr_trial_pair *pair)
{
    if (!fastr_trial_runs(trial, word))
        return false;
    struct fastr_trial_money *money = strlen(pair->currency) == 3 ? money_of(trial, pair->currency) : NULL;
    if (!money) {
        add(&trial->dropped, 1);
        return false;
    }
    int64_t delta = pair->candidate - pair->live;
    add(&money->base, pair->live);
    if (delta > 0) {
        add(&trial->dearer, 1);
        add(&money->dearer, delta);
    } else if (delta < 0) {
        add(&trial->cheaper, 1);
        add(&money->cheaper, -delta);
    }
    add(&trial->compared, 1);
    add(&money->compared, 1);
    if (delta)
        note_worst(trial, pair);
    return end_by_drift(trial, word, money);
}

bool fastr_trial_judged(struct fastr_trial *trial, uint64_t word, bool is_same, const char *what)
{
    if (!fastr_trial_runs(trial, word))
        return false;
    int64_t judged = add(&trial->judged, 1), otherwise = add(&trial->otherwise, !is_same);
    if (is_same || judged < trial->plan.limits.after || !is_drift(trial, otherwise, judged))
        return false;
    char *reason = fastr_format("other answers than the live ones in %lld of %lld decisions, the last %.40s; the limit is %.2f %%",
                                (long long)otherwise, (long long)judged, what, trial->plan.limits.drift / 100.0);
    bool is_ended = fastr_trial_end(trial, word, reason, true);
    free(reason);
    return is_ended;
}

/* ---- telling ---- */

static void tell_text(struct fastr_buffer *out, const char *name, const char *text, size_t size)
{
    fastr_buffer_format(out, "\"%s\":", name);
    fastr_json_string(out, text, strnlen(text, size));
}

static void tell_number(struct fastr_buffer *out, const char *name, int64_t number)
{
    fastr_buffer_format(out, ",\"%s\":%lld", name, (long long)number);
}

static void tell_money(struct fastr_buffer *out, const struct fastr_trial *trial)
{
    fastr_buffer_text(out, ",\"money\":[");
    for (int i = 0; i < FASTR_TRIAL_CURRENCIES && atomic_load(&trial->money[i].currency); i++) {
        const struct fastr_trial_money *money = &trial->money[i];
        int64_t dearer = atomic_load(&money->dearer), cheaper = atomic_load(&money->cheaper);
        char currency[4];
        write_currency(currency, atomic_load(&money->currency));
        fastr_buffer_text(out, i ? ",{" : "{");
        tell_text(out, "currency", currency, sizeof currency);
        tell_number(out, "compared", atomic_load(&money->compared));
        tell_number(out, "base", atomic_load(&money->base));
        tell_number(out, "dearer", dearer);
        tell_number(out, "cheaper", cheaper);
        tell_number(out, "difference", dearer - cheaper);
        fastr_buffer_text(out, "}");
    }
    fastr_buffer_text(out, "]");
}

static int by_delta(const void *a, const void *b)
{
    const struct fastr_trial_case *left = a, *right = b;
    return (llabs(left->delta) < llabs(right->delta)) - (llabs(left->delta) > llabs(right->delta));
}

static void tell_worst(struct fastr_buffer *out, const struct fastr_trial *trial)
{
    struct fastr_trial_case worst[FASTR_TRIAL_WORST];
    memcpy(worst, trial->worst, sizeof worst);
    qsort(worst, FASTR_TRIAL_WORST, sizeof *worst, by_delta);
    fastr_buffer_text(out, ",\"worst\":[");
    for (int i = 0; i < FASTR_TRIAL_WORST && worst[i].delta; i++) {
        fastr_buffer_text(out, i ? ",{" : "{");
        tell_text(out, "key", worst[i].key, sizeof worst[i].key);
        tell_number(out, "delta", worst[i].delta);
        fastr_buffer_text(out, ",");
        tell_text(out, "currency", worst[i].currency, sizeof worst[i].currency);
        fastr_buffer_text(out, ",");
        tell_text(out, "line", worst[i].line, sizeof worst[i].line);
        fastr_buffer_text(out, ",");
        tell_text(out, "rule", worst[i].rule, sizeof worst[i].rule);
        fastr_buffer_text(out, "}");
    }
    fastr_buffer_text(out, "]");
}

static void tell_plan(struct fastr_buffer *out, const struct fastr_trial *trial)
{
    const struct fastr_trial_plan *plan = &trial->plan;
    fastr_buffer_format(out, "\"mode\":\"%s\",\"share\":%d,\"hash\":\"%.64s\",",
                        plan->mode == FASTR_TRIAL_SHADOW ? "shadow" : "canary", plan->share, plan->hash);
    tell_text(out, "by", plan->by, sizeof plan->by);
    tell_number(out, "sequence", (int64_t)trial->sequence);
    tell_number(out, "began_ms", trial->began_us / 1000);
    fastr_buffer_format(out, ",\"limits\":{\"drift\":%d,\"errors\":%d,\"after\":%d}", plan->limits.drift,
                        plan->limits.errors, plan->limits.after);
}

static void tell_counters(struct fastr_buffer *out, const struct fastr_trial *trial)
{
    tell_number(out, "by_live", atomic_load(&trial->by_live));
    tell_number(out, "by_candidate", atomic_load(&trial->by_candidate));
    tell_number(out, "compared", atomic_load(&trial->compared));
    tell_number(out, "differing", atomic_load(&trial->dearer) + atomic_load(&trial->cheaper));
    tell_number(out, "dearer", atomic_load(&trial->dearer));
    tell_number(out, "cheaper", atomic_load(&trial->cheaper));
    tell_number(out, "judged", atomic_load(&trial->judged));
    tell_number(out, "otherwise", atomic_load(&trial->otherwise));
    tell_number(out, "errors", atomic_load(&trial->errors));
    tell_number(out, "kills", atomic_load(&trial->kills));
    tell_number(out, "dropped", atomic_load(&trial->dropped));
}

void fastr_trial_describe(const struct fastr_trial *trial, uint64_t live, struct fastr_buffer *out)
{
    if (!trial || !trial->sequence) {
        fastr_buffer_text(out, "null");
        return;
    }
    bool runs = atomic_load(&trial->word) && trial->plan.against == live;
    fastr_buffer_format(out, "{\"running\":%s,", runs ? "true" : "false");
    tell_plan(out, trial);
    tell_counters(out, trial);
    tell_money(out, trial);
    tell_worst(out, trial);
    if (!runs) {
        tell_number(out, "ended_ms", trial->ended_us / 1000);
        fastr_buffer_format(out, ",\"breach\":%s,", trial->is_breach ? "true" : "false");
        tell_text(out, "reason", trial->reason, sizeof trial->reason);
    }
    fastr_buffer_text(out, "}");
}
