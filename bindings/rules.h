/* rules.h: what the files of fastr.rules share. */
#ifndef FASTR_RULES_H
#define FASTR_RULES_H

#include "runtime/sandbox.h"
#include "runtime/trial.h"

/* Answers are compared by their total in minor units and its currency, or as a whole. */
enum fastr_rules_compare { FASTR_RULES_NOT, FASTR_RULES_MONEY, FASTR_RULES_ANSWER };

/* A candidate's part in a decision with a key. */
struct fastr_rules_trial {
    struct fastr_candidate candidate; /* trial NULL: none runs */
    const char *key, *live;           /* live: the pinned version's hash */
    bool by_candidate;                /* who answers this key */
    enum fastr_rules_compare compare; /* what the other one decides too, once the task has ended */
};

/* Which version answers `key`, of those that the running task has pinned. */
struct fastr_rules_trial fastr_rules_trial_of(const char *key, const char *live, enum fastr_rules_compare compare);
/* fastr_sandbox_decide by the candidate, which must also answer money where that is to be compared. */
int fastr_rules_trial_decide(lua_State *L, const struct fastr_rules_trial *trial, int facts,
                             struct fastr_decision *decision, struct fastr_err *err);
/* The candidate could not decide what the live version then did. */
void fastr_rules_trial_failed(const struct fastr_rules_trial *trial, const char *point, const struct fastr_err *err);
/* The decision on the top of L was made, from the facts at index `facts`: counts it, and keeps what the comparison needs. */
void fastr_rules_trial_answered(lua_State *L, const struct fastr_rules_trial *trial, const char *point, int facts);
/* Frees comparisons that were not made. */
void fastr_rules_trial_close(void);

#endif
