/* rules_trial.c: the part of fastr.rules that tries a candidate beside the live pack: who answers which key, and, after
 * the reply, what the other one would have charged.
 *
 *   decide{key, compare} --facts as JSON--> hung on the task --its end--> queue --one a turn--> the other decides
 *
 * A comparison never delays a reply: at most JOBS wait in a worker, and what comes on top is dropped and counted. Of
 * answers that are money the `total` in minor units and the `currency` are compared; of `lines` (sku, quantity, total) and
 * `trace` (rule, amount), where there are such, the report says which one differs. Others are compared as a whole. */
#include <event2/event.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/rules.h"
#include "runtime/json.h"

enum { JOBS = 256 };

struct job {
    struct fastr_cleanup cleanup; /* first: it is the job's address */
    struct job *next;
    struct fastr_trial *trial;
    uint64_t word;
    char live[65], candidate[65], key[16], point[48], currency[4];
    bool by_candidate;
    enum fastr_rules_compare compare;
    int64_t total;
    uint64_t digest; /* of an answer that is compared as a whole */
    struct fastr_buffer facts;
};

/* What a decision says of money, at an index of a state. */
struct answer {
    int at;
    int64_t total;
    char currency[4];
};

static struct job *first, **last = &first;
static int jobs; /* queued, or hung on tasks that run */
static struct event *turn;
static lua_State *bench; /* where the facts lie while they are decided again */

/* ---- counting ---- */

enum what { BY_LIVE, BY_CANDIDATE, SAME, DEARER, CHEAPER, OTHERWISE, ERROR, DROPPED, STOPPED, WHATS };

static void count(enum what what) {
    static const char *const names[] = {"by_live", "by_candidate", "same",    "dearer", "cheaper",
                                        "otherwise", "error",      "dropped", "stopped"};
    static struct fastr_metric *metrics[WHATS];
    char labels[32];
    snprintf(labels, sizeof labels, "what=\"%s\"", names[what]);
    if (!metrics[what])
        metrics[what] = fastr_counter("fastr_rules_trial_total", labels, "What trials of rules have counted");
    fastr_metric_add(metrics[what], 1);
}

/* A limit was broken here: the operator reads why. */
static void tell_end(const struct fastr_trial *trial, const char *hash) {
    struct fastr_buffer fields = {0};
    fastr_buffer_format(&fields, "\"candidate\":\"%.12s\",\"reason\":", hash);
    fastr_json_string(&fields, trial->reason, strnlen(trial->reason, sizeof trial->reason));
    fastr_log_fields(FASTR_ERROR, "rules: a trial has stopped itself; the live version decides alone", fields.data);
    fastr_buffer_free(&fields);
    count(STOPPED);
}

static void drop(struct fastr_trial *trial, uint64_t word) {
    fastr_trial_dropped(trial, word);
    count(DROPPED);
}

static void failed(struct fastr_trial *trial, uint64_t word, const char *hash, const char *point,
                   const struct fastr_err *err) {
    char what[128];
    snprintf(what, sizeof what, "%.40s: %.80s", point, err->text);
    fastr_log(FASTR_ERROR, "rules: the candidate %.12s failed where the live version did not: %s: %s: %s", hash, point,
              err->code, err->text);
    count(ERROR);
    if (fastr_trial_failed(trial, word, strcmp(err->code, "rules_budget") == 0, what))
        tell_end(trial, hash);
}

/* ---- the answer ---- */

/* The same for the same answer of either version; 0 for what JSON has no form for. The answer is on the top of L. */
static uint64_t digest_of(lua_State *L) {
    struct fastr_buffer text = {0};
    uint64_t digest = fastr_json_encode(L, lua_gettop(L), true, &text, NULL) ? 0 : fastr_hash(text.data);
    fastr_buffer_free(&text);
    return digest;
}

struct fastr_rules_trial fastr_rules_trial_of(const char *key, const char *live,
                                              enum fastr_rules_compare compare) {
    struct fastr_rules_trial trial = {.key = key, .live = live};
    struct fastr_candidate *candidate = &trial.candidate;
    if (!key || !fastr_pinned_candidate("rules", candidate))
        return trial;
    bool is_in = fastr_trial_bucket(candidate->hash, key) < fastr_trial_share(candidate->word);
    bool is_canary = fastr_trial_mode(candidate->word) == FASTR_TRIAL_CANARY;
    trial.by_candidate = is_canary && is_in;
    trial.compare = is_canary || is_in ? compare : FASTR_RULES_NOT;
    return trial;
}

void fastr_rules_trial_failed(const struct fastr_rules_trial *trial, const char *point, const struct fastr_err *err) {
    failed(trial->candidate.trial, trial->candidate.word, trial->candidate.hash, point, err);
    fastr_drop_candidate("rules");
}

static bool read_answer(lua_State *L, struct answer *answer) {
    answer->at = lua_gettop(L);
    if (!lua_istable(L, -1))
        return false;
    lua_getfield(L, -1, "total");
    lua_getfield(L, -2, "currency");
    double total = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : -1;
    const char *currency = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    bool is_money = total >= 0 && total <= 9007199254740991.0 && total == floor(total) && strlen(currency) == 3;
    answer->total = is_money ? (int64_t)total : 0;
    snprintf(answer->currency, sizeof answer->currency, "%s", is_money ? currency : "");
    lua_pop(L, 2);
    return is_money;
}

int fastr_rules_trial_decide(lua_State *L, const struct fastr_rules_trial *trial, int facts,
                             struct fastr_decision *decision, struct fastr_err *err) {
    struct answer answer;
    int top = lua_gettop(L);
    if (fastr_sandbox_decide(trial->candidate.built, L, facts, decision, err))
        return -1;
    if (lua_istable(L, -1) && (trial->compare != FASTR_RULES_MONEY || read_answer(L, &answer)))
        return 0;
    lua_settop(L, top);
    return fastr_fail(err, "rules_error", "the answer has no total in minor units with a currency");
}

/* ---- keeping what a comparison needs ---- */

static void free_job(struct job *job) {
    fastr_buffer_free(&job->facts);
    free(job);
    jobs--;
}

static void on_turn(evutil_socket_t fd, short what, void *data);

static void soon(void) {
    if (!turn)
        turn = evtimer_new(fastr_loop(), on_turn, NULL);
    event_add(turn, &(struct timeval){0, 0}); /* after the replies that are ready to be written */
}

/* The task has ended, its reply is on its way. */
static void on_task_end(struct fastr_cleanup *cleanup) {
    struct job *job = (struct job *)cleanup;
    job->next = NULL;
    *last = job;
    last = &job->next;
    soon();
}

static struct job *new_job(const struct fastr_rules_trial *trial, const char *point) {
    struct job *job = fastr_zalloc(sizeof *job);
    jobs++;
    job->cleanup.run = on_task_end;
    job->trial = trial->candidate.trial;
    job->word = trial->candidate.word;
    job->by_candidate = trial->by_candidate;
    job->compare = trial->compare;
    snprintf(job->live, sizeof job->live, "%s", trial->live);
    snprintf(job->candidate, sizeof job->candidate, "%s", trial->candidate.hash);
    snprintf(job->point, sizeof job->point, "%s", point);
    snprintf(job->key, sizeof job->key, "%.6s...", trial->key); /* a key may open what it names */
    return job;
}

static void keep(lua_State *L, const struct fastr_rules_trial *trial, const char *point, int facts) {
    struct answer answer = {0};
    struct fastr_task *task = fastr_task_current();
    bool is_money = trial->compare == FASTR_RULES_MONEY;
    if (!task || jobs >= JOBS || (is_money && !read_answer(L, &answer))) {
        drop(trial->candidate.trial, trial->candidate.word);
        return;
    }
    struct job *job = new_job(trial, point);
    job->total = answer.total;
    job->digest = is_money ? 0 : digest_of(L);
    memcpy(job->currency, answer.currency, sizeof job->currency);
    if (fastr_json_encode(L, facts, false, &job->facts, NULL)) {
        free_job(job);
        drop(trial->candidate.trial, trial->candidate.word);
        return;
    }
    fastr_task_defer(task, &job->cleanup);
}

void fastr_rules_trial_answered(lua_State *L, const struct fastr_rules_trial *trial, const char *point, int facts) {
    fastr_trial_answered(trial->candidate.trial, trial->candidate.word, trial->by_candidate);
    count(trial->by_candidate ? BY_CANDIDATE : BY_LIVE);
    if (trial->compare)
        keep(L, trial, point, facts);
}

/* ---- comparing ---- */

/* A field's number; 0 for what is none within 2^53 - 1, which no amount is past. */
static int64_t number_of(const char *name) {
    lua_getfield(bench, -1, name);
    double number = lua_tonumber(bench, -1);
    lua_pop(bench, 1);
    return fabs(number) <= 9007199254740991.0 ? (int64_t)number : 0;
}

/* Pushes entry `i` of the list `name` of the answer at `at`; false, with nothing pushed, past its end. */
static bool push_entry(int at, const char *name, int i) {
    lua_getfield(bench, at, name);
    if (!lua_istable(bench, -1)) {
        lua_pop(bench, 1);
        return false;
    }
    lua_rawgeti(bench, -1, i);
    lua_remove(bench, -2);
    if (lua_istable(bench, -1))
        return true;
    lua_pop(bench, 1);
    return false;
}

static void copy_text(const char *name, char *text, size_t size) {
    lua_getfield(bench, -1, name);
    snprintf(text, size, "%s", lua_type(bench, -1) == LUA_TSTRING ? lua_tostring(bench, -1) : "");
    lua_pop(bench, 1);
}

/* The rule and the amount of entry `i` of a trace; "" past its end. */
static int64_t entry_of(const struct answer *answer, int i, char *rule, size_t size) {
    *rule = '\0';
    if (!push_entry(answer->at, "trace", i))
        return 0;
    copy_text("rule", rule, size);
    int64_t amount = number_of("amount");
    lua_pop(bench, 1);
    return amount;
}

/* The first rule that gave another amount, or in whose place there is another. */
static void find_rule(const struct answer *live, const struct answer *candidate, char *rule, size_t size) {
    char other[64];
    for (int i = 1;; i++) {
        int64_t before = entry_of(live, i, rule, size), after = entry_of(candidate, i, other, sizeof other);
        if (!*rule && !*other)
            return;
        if (before == after && strncmp(rule, other, size - 1) == 0)
            continue;
        if (!*rule)
            snprintf(rule, size, "%s", other);
        return;
    }
}

/* The line whose total moved most: "84077 x 14". */
static void find_line(const struct answer *live, const struct answer *candidate, char *text, size_t size) {
    int64_t most = 0;
    *text = '\0';
    for (int i = 1; push_entry(live->at, "lines", i); i++) {
        char sku[33];
        copy_text("sku", sku, sizeof sku);
        int64_t quantity = number_of("quantity"), moved = number_of("total");
        lua_pop(bench, 1);
        if (!push_entry(candidate->at, "lines", i))
            return;
        moved -= number_of("total");
        lua_pop(bench, 1);
        if (llabs(moved) > most)
            snprintf(text, size, "%s x %lld", sku, (long long)quantity);
        most = llabs(moved) > most ? llabs(moved) : most;
    }
}

/* Decides the facts at index 1 of the bench once more, and leaves the answer there. */
static int decide(const struct job *job, bool by_candidate, struct answer *answer, struct fastr_err *err) {
    struct fastr_sandbox *sandbox = fastr_warm("rules", by_candidate ? job->candidate : job->live);
    struct fastr_decision decision = {.point = job->point, .explain = "applied"};
    if (!sandbox)
        return fastr_fail(err, "rules_version_gone", "the version is no longer kept");
    if (fastr_sandbox_decide(sandbox, bench, 1, &decision, err))
        return -1;
    if (job->compare == FASTR_RULES_MONEY && !read_answer(bench, answer))
        return fastr_fail(err, "rules_error", "the answer has no total in minor units with a currency");
    return 0;
}

/* Both totals are known; where they differ, the version that answered the customer tells once more how. */
static void weigh(const struct job *job, struct answer *other) {
    char line[48] = "", rule[48] = "";
    struct answer own;
    struct fastr_err err;
    if (other->total != job->total && decide(job, job->by_candidate, &own, &err) == 0) {
        struct answer *live = job->by_candidate ? other : &own, *candidate = job->by_candidate ? &own : other;
        find_rule(live, candidate, rule, sizeof rule);
        find_line(live, candidate, line, sizeof line);
    }
    struct fastr_trial_pair pair = {.key = job->key, .currency = job->currency, .line = line, .rule = rule,
                                    .live = job->by_candidate ? other->total : job->total,
                                    .candidate = job->by_candidate ? job->total : other->total};
    count(pair.candidate > pair.live ? DEARER : pair.candidate < pair.live ? CHEAPER : SAME);
    if (fastr_trial_compared(job->trial, job->word, &pair))
        tell_end(job->trial, job->candidate);
}

/* The other version's answer is on the top of the bench. */
static void judge(const struct job *job) {
    bool is_same = digest_of(bench) == job->digest;
    count(is_same ? SAME : OTHERWISE);
    if (fastr_trial_judged(job->trial, job->word, is_same, job->point))
        tell_end(job->trial, job->candidate);
}

static void compare(const struct job *job) {
    struct fastr_err err;
    struct answer other = {0};
    if (!bench) {
        bench = luaL_newstate();
        luaL_newmetatable(bench, FASTR_JSON_ARRAY); /* or an empty list would be another answer than it was */
    }
    lua_settop(bench, 0);
    if (fastr_json_push(bench, job->facts.data, job->facts.length, NULL, &err)) {
        drop(job->trial, job->word);
        return;
    }
    int rc = decide(job, !job->by_candidate, &other, &err);
    if (rc == 0 && job->compare == FASTR_RULES_ANSWER)
        judge(job);
    else if (rc == 0 && strcmp(other.currency, job->currency) == 0)
        weigh(job, &other);
    else if (rc == 0 || job->by_candidate || strcmp(err.code, "rules_version_gone") == 0)
        drop(job->trial, job->word);
    else
        failed(job->trial, job->word, job->candidate, job->point, &err);
    lua_settop(bench, 0);
}

static struct job *next_job(void) {
    struct job *job = first;
    if (job)
        first = job->next;
    if (!first)
        last = &first;
    return job;
}

static void on_turn(evutil_socket_t fd, short what, void *data) {
    struct job *job = next_job();
    if (!job)
        return;
    if (fastr_trial_runs(job->trial, job->word))
        compare(job);
    free_job(job);
    if (first)
        soon();
}

void fastr_rules_trial_close(void) {
    for (struct job *job; (job = next_job());)
        free_job(job);
    if (turn)
        event_free(turn);
    if (bench)
        lua_close(bench);
    turn = NULL;
    bench = NULL;
}
