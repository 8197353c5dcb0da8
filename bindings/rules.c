/* rules.c: fastr.rules, decisions by the pack that the running task has pinned or by one that was opened by name; the
 * builder of its versions. Leans on runtime/sandbox.h. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bindings/rules.h"
#include "bindings/rules_agent.h"
#include "bindings/rules_sealed.h"
#include "bindings/util.h"
#include "runtime/json.h"
#include "runtime/lines.h"

enum { OLDEST_ABI = 1 }; /* the oldest arithmetic that can still be computed; the newest is FASTR_RULES_ABI */

/* ---- versions -------------------------------------------------------------------------------------------------- */

struct wanted {
    const char *name;
    size_t length;
    bool found;
};

static void look_for_point(const char *name, void *data) {
    struct wanted *wanted = data;
    wanted->found |= strlen(name) == wanted->length && memcmp(name, wanted->name, wanted->length) == 0;
}

/* A pack that does not decide all that this installation asks (the setting rules.points) is not for it. */
static int check_points(struct fastr_sandbox *sandbox, struct fastr_err *err) {
    const char *at = fastr_setting("rules.points", "");
    while (*at) {
        struct wanted wanted = {at, strcspn(at, ";"), false};
        fastr_sandbox_each_point(sandbox, look_for_point, &wanted);
        if (!wanted.found)
            return fastr_fail(err, "invalid", "init.lua:1: the pack does not decide '%.*s', which this installation asks",
                              (int)wanted.length, at);
        at += wanted.length + (at[wanted.length] == ';');
    }
    return 0;
}

static void *build_rules(const struct fastr_bundle *bundle, struct fastr_err *err) {
    struct fastr_sandbox *sandbox = fastr_sandbox_new(bundle, err);
    if (sandbox && (check_points(sandbox, err) != 0 || fastr_sandbox_prove(sandbox, err) < 0)) {
        fastr_sandbox_free(sandbox);
        return NULL;
    }
    return sandbox;
}

static int admit_rules(const char *folder, const char *hash, struct fastr_err *err) {
    char key[17];
    if (!fastr_sealed_needed())
        return 0;
    return fastr_sealed_check_file(folder, hash, key, err) == 0 ? 1 : -1;
}

static void free_rules(void *built) {
    fastr_sandbox_free(built);
}

static const struct fastr_builder builder = {.line = "rules", .build = build_rules, .free = free_rules, .admit = admit_rules,
                                             .carried = "definitions/edited.lua"}; /* the admin API writes it */

/* ---- fastr.rules ----------------------------------------------------------------------------------------------- */

static const char *option(lua_State *L, int options, const char *name, const char *otherwise) {
    return lua_istable(L, options) ? fastr_field_text(L, options, name, otherwise, NULL) : otherwise;
}

static void count_decision(const char *point, const char *code) {
    char labels[128];
    snprintf(labels, sizeof labels, "point=\"%.40s\",code=\"%.20s\"", point, code);
    fastr_metric_add(fastr_counter("fastr_rules_decisions_total", labels, "Decisions by point and outcome"), 1);
}

/* {pack, abi, instructions} */
static void push_info(lua_State *L, const struct fastr_decision *decision, const char *hash) {
    lua_createtable(L, 0, 4);
    lua_pushfstring(L, "sha256:%s", hash);
    lua_setfield(L, -2, "pack");
    lua_pushinteger(L, FASTR_RULES_ABI);
    lua_setfield(L, -2, "abi");
    lua_pushnumber(L, (double)decision->instructions);
    lua_setfield(L, -2, "instructions");
}

/* The decision on the top, which gets `pack`, and its info. */
static int push_decision(lua_State *L, const struct fastr_decision *decision, const char *hash) {
    if (!lua_istable(L, -1))
        return fastr_push_error(L, "rules_error", "%s: the rules answered no table", decision->point);
    push_info(L, decision, hash);
    lua_getfield(L, -1, "pack");
    lua_setfield(L, -3, "pack");
    lua_getfield(L, -2, "trace");
    lua_setfield(L, -2, "trace");
    return 2;
}

static int failed_decision(lua_State *L, const char *point, const struct fastr_err *err) {
    bool facts = strcmp(err->code, "invalid") == 0;
    count_decision(point, facts ? "facts_invalid" : err->code);
    return fastr_push_error(L, facts ? "facts_invalid" : err->code, "%s", err->text);
}

enum { LOGGED_FACTS = 16384, TELL_AGAIN_US = 1000000 };

/* The file with which the text of a rule's error begins, or "": of a pack's files, so there are not many. */
static void rule_of(const struct fastr_err *err, char *rule, size_t size) {
    size_t length = strcspn(err->text, ": ");
    bool file = length > 4 && err->text[length] == ':' && strncmp(err->text + length - 4, ".lua", 4) == 0;
    snprintf(rule, size, "%.*s", file ? (int)length : 0, err->text);
}

/* Appends the facts at the index 2, a table or a JSON text, if they are not too long for a log. */
static void add_facts(lua_State *L, struct fastr_buffer *fields) {
    struct fastr_buffer facts = {0};
    struct fastr_err err;
    size_t length = 0;
    const char *text = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &length) : NULL;
    if (text)
        fastr_buffer_add(&facts, text, length);
    else if (fastr_json_encode(L, 2, true, &facts, &err) != 0)
        facts.length = 0;
    if (facts.length > 0 && facts.length <= LOGGED_FACTS && !memchr(facts.data, '\n', facts.length))
        fastr_buffer_format(fields, ",\"facts\":%.*s", (int)facts.length, facts.data);
    fastr_buffer_free(&facts);
}

/* A rule failed: counted by its file, and logged with the facts that show it (`fastr rules decide POINT FILE`), these once a
 * second at most. Facts hold no name, address or card. */
static void tell_failure(lua_State *L, const char *point, const char *hash, const struct fastr_err *err) {
    static uint64_t told_us;
    struct fastr_buffer fields = {0};
    char rule[80], labels[200], message[700];
    rule_of(err, rule, sizeof rule);
    snprintf(labels, sizeof labels, "point=\"%.40s\",code=\"%.20s\",rule=\"%.80s\"", point, err->code, rule);
    fastr_metric_add(fastr_counter("fastr_rules_failures_total", labels, "Decisions that a rule failed, by its file"), 1);
    fastr_buffer_format(&fields, "\"point\":\"%.40s\",\"pack\":\"%s\",\"code\":\"%s\",\"rule\":", point, hash, err->code);
    fastr_json_string(&fields, rule, strlen(rule));
    if (fastr_clock_us() - told_us > TELL_AGAIN_US) {
        told_us = fastr_clock_us();
        add_facts(L, &fields);
    }
    snprintf(message, sizeof message, "rules: %.40s: %s: %.600s", point, err->code, err->text);
    fastr_log_fields(FASTR_ERROR, message, fields.data);
    fastr_buffer_free(&fields);
}

static struct fastr_sandbox *pinned(const char *wanted, const char **hash) {
    if (!wanted)
        return fastr_pinned("rules", hash);
    *hash = strncmp(wanted, "sha256:", 7) == 0 ? wanted + 7 : wanted;
    return fastr_warm("rules", *hash);
}

/* What both forms of a decision begin with: the point is the argument 1, the options are the argument 3. */
struct question {
    struct fastr_decision decision;
    struct fastr_sandbox *sandbox; /* NULL: there is no such pack */
    const char *wanted, *hash;
};

static struct question ask(lua_State *L) {
    lua_settop(L, 3);
    struct question question = {.wanted = option(L, 3, "pack", NULL)};
    question.decision.point = lua_tostring(L, 1);
    question.decision.explain = option(L, 3, "explain", "applied");
    question.sandbox = pinned(question.wanted, &question.hash);
    return question;
}

static int no_pack(lua_State *L, const struct question *question) {
    if (question->wanted)
        return fastr_push_error(L, "rules_version_gone", "rules %.12s are no longer kept", question->hash);
    return fastr_push_error(L, "unavailable", "no rules are live");
}

/* The part that a trial has in the question: its options `key` and `compare`. */
static struct fastr_rules_trial trial_of(lua_State *L, const struct question *question) {
    const char *key = question->wanted ? NULL : option(L, 3, "key", NULL);
    const char *compare = key ? option(L, 3, "compare", "") : "";
    return fastr_rules_trial_of(key, question->hash, strcmp(compare, "money") == 0    ? FASTR_RULES_MONEY
                                                     : strcmp(compare, "answer") == 0 ? FASTR_RULES_ANSWER
                                                                                      : FASTR_RULES_NOT);
}

/* Leaves the decision on the top. What the candidate cannot decide the live version does: nobody is refused for a
 * trial. */
static int decide(lua_State *L, struct question *question, struct fastr_err *err) {
    struct fastr_err why;
    struct fastr_decision *decision = &question->decision;
    struct fastr_rules_trial trial = trial_of(L, question);
    bool failed = trial.by_candidate && fastr_rules_trial_decide(L, &trial, 2, decision, &why);
    if (trial.by_candidate && !failed)
        question->hash = trial.candidate.hash;
    else if (fastr_sandbox_decide(question->sandbox, L, 2, decision, err))
        return -1;
    if (failed)
        fastr_rules_trial_failed(&trial, decision->point, &why);
    else if (trial.candidate.trial)
        fastr_rules_trial_answered(L, &trial, decision->point, 2);
    return 0;
}

/* Decides on the facts at the index `at`, a JSON text: pushes the decision as JSON, with `pack`, and its info; 2, or -1
 * with `err`. */
static int push_text(lua_State *L, int at, struct fastr_sandbox *sandbox, struct fastr_decision *decision, const char *hash,
                     struct fastr_err *err) {
    static struct fastr_buffer answer; /* reused: nothing in here waits */
    size_t length;
    const char *facts = lua_tolstring(L, at, &length);
    answer.length = 0;
    if (fastr_sandbox_decide_text(sandbox, L, facts, length, decision, &answer, err) != 0)
        return -1;
    const char *comma = answer.data[answer.length - 1] == '{' ? "" : ",";
    fastr_buffer_format(&answer, "%s\"pack\":\"sha256:%s\"}", comma, hash);
    lua_pushlstring(L, answer.data, answer.length);
    if (answer.capacity > (1u << 20))
        fastr_buffer_free(&answer);
    push_info(L, decision, hash);
    return 2;
}

/* The answer on the top, as JSON with `pack`, and its info. */
static int answer_as_text(lua_State *L, struct question *question) {
    struct fastr_buffer out = {0};
    struct fastr_err err;
    lua_pushfstring(L, "sha256:%s", question->hash);
    lua_setfield(L, -2, "pack");
    int rc = fastr_json_encode(L, -1, true, &out, &err);
    if (rc == 0)
        lua_pushlstring(L, out.data, out.length);
    fastr_buffer_free(&out);
    if (rc == 0)
        push_info(L, &question->decision, question->hash);
    return rc;
}

static bool is_failure(const struct fastr_err *err) {
    return strcmp(err->code, "rules_error") == 0 || strcmp(err->code, "rules_budget") == 0;
}

/* The live version's decision has failed. Past its budget, the pack says what follows: nothing (-1), the version before is
 * asked, once, or a standing answer is given: 0 with that on the top. `as_text`: as JSON. */
static int after_failure(lua_State *L, struct question *question, bool as_text, struct fastr_err *err) {
    struct fastr_err why;
    const char *hash;
    if (!is_failure(err))
        return -1;
    tell_failure(L, question->decision.point, question->hash, err);
    if (question->wanted || strcmp(err->code, "rules_budget") != 0)
        return -1;
    enum fastr_sandbox_breach breach = fastr_sandbox_breach(question->sandbox, L, question->decision.point);
    if (breach == FASTR_BREACH_ANSWER)
        return as_text ? answer_as_text(L, question) : 0;
    struct fastr_sandbox *before = breach == FASTR_BREACH_PREVIOUS ? fastr_before("rules", &hash) : NULL;
    if (!before || before == question->sandbox)
        return -1;
    int rc = as_text ? push_text(L, 2, before, &question->decision, hash, &why)
                     : fastr_sandbox_decide(before, L, 2, &question->decision, &why);
    if (rc < 0)
        return -1;
    count_decision(question->decision.point, "by_previous");
    question->hash = hash;
    return 0;
}

/* rules.decide(point, facts, {pack = hash, key = text, compare = "money" | "answer", explain = "none" | "applied" (the
 * default) | "full"}) -> decision, info {pack, abi, trace, instructions}. Pure: the same facts and pack give the same
 * decision. The decision also carries `pack`. key: what the decision is about, a cart's id; while a canary runs, the
 * candidate decides for its share of the keys, always the same ones; without a key, and with `pack`, it never does.
 * compare: the decision matters (a price that somebody is shown or pays), so while a trial runs the other version
 * decides it too, after the reply, and the difference of the totals ("money": the answer has `total` in minor units and
 * `currency`) is counted, or that it is another answer. Returns nil, message, code: "facts_invalid" (facts refused,
 * with the path; or the pack does not decide the point), "rules_error" (a rule raised or answered nonsense),
 * "rules_budget" (it took too much), "rules_version_gone" (the pack asked for is no longer warm), "unavailable" (no
 * pack is live). Raises for arguments of other types. */
static int l_decide(lua_State *L) {
    const char *point = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    struct fastr_err err = {{0}, {0}};
    struct question question = ask(L);
    if (!question.sandbox)
        return no_pack(L, &question);
    if (decide(L, &question, &err) != 0 && after_failure(L, &question, false, &err) != 0)
        return failed_decision(L, point, &err);
    return push_decision(L, &question.decision, question.hash);
}

/* `decide` for facts and decision that are texts; they are not compared. 2, or -1 with `err`. */
static int decide_text(lua_State *L, struct question *question, struct fastr_err *err) {
    struct fastr_err why;
    struct fastr_decision *decision = &question->decision;
    struct fastr_rules_trial trial = trial_of(L, question);
    trial.compare = FASTR_RULES_NOT;
    bool failed = trial.by_candidate &&
                  push_text(L, 2, trial.candidate.built, decision, trial.candidate.hash, &why) < 0;
    if ((!trial.by_candidate || failed) && push_text(L, 2, question->sandbox, decision, question->hash, err) < 0)
        return -1;
    if (failed)
        fastr_rules_trial_failed(&trial, decision->point, &why);
    else if (trial.candidate.trial)
        fastr_rules_trial_answered(L, &trial, decision->point, 2);
    return 2;
}

/* rules.decide_text(point, facts as JSON, {pack =, key =, explain =}) -> the decision as JSON, with `pack`; info {pack,
 * abi, instructions}: for who only passes both on, or keeps them; no table of them is made. The same facts and pack
 * give the same bytes. Returns nil, message, code as above, or "json" for a text that is not strict JSON. */
static int l_decide_text(lua_State *L) {
    const char *point = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TSTRING);
    struct fastr_err err = {{0}, {0}};
    struct question question = ask(L);
    if (!question.sandbox)
        return no_pack(L, &question);
    if (decide_text(L, &question, &err) >= 0 || after_failure(L, &question, true, &err) == 0)
        return 2;
    return strcmp(err.code, "json") == 0 ? fastr_push_error(L, "json", "%s", err.text) : failed_decision(L, point, &err);
}

static void push_need(const char *name, void *data) {
    lua_State *L = data;
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, name);
}

/* rules.needs(point, ...) -> {[name] = true}: the facts that these points want, of those that a service must look up before it
 * asks: what the live pack declares, and, while a version is tried beside it, what that one does. Empty if no pack is live. */
static int l_needs(lua_State *L) {
    const char *hash = NULL;
    int points = lua_gettop(L);
    struct fastr_sandbox *sandbox = fastr_pinned("rules", &hash);
    struct fastr_candidate candidate = {0};
    struct fastr_sandbox *tried = sandbox && fastr_pinned_candidate("rules", &candidate) ? candidate.built : NULL;
    lua_newtable(L);
    for (int i = 1; sandbox && i <= points; i++) {
        fastr_sandbox_each_need(sandbox, luaL_checkstring(L, i), push_need, L);
        if (tried)
            fastr_sandbox_each_need(tried, lua_tostring(L, i), push_need, L);
    }
    return 1;
}

/* rules.pack() -> "sha256:..." of the pinned pack, or nil if none is live */
static int l_pack(lua_State *L) {
    const char *hash = NULL;
    if (!fastr_pinned("rules", &hash))
        return 0;
    lua_pushfstring(L, "sha256:%s", hash);
    return 1;
}

/* rules.trial() -> the trial of this host's rules, or the last one: { running, mode = "canary" | "shadow", share (basis
 * points), hash, by, began_ms, limits, by_live, by_candidate, compared, differing, dearer, cheaper, judged, otherwise,
 * errors, kills, dropped, money = list of { currency, compared, base, dearer, cheaper, difference }, worst = list of {
 * key, delta, currency, line, rule }, and once it has ended ended_ms, breach, reason }; amounts in minor units. Nil if
 * there was none. */
static int l_trial(lua_State *L) {
    struct fastr_buffer text = {0};
    struct fastr_err err;
    uint64_t live = 0;
    const struct fastr_trial *trial = fastr_trial_of("rules", &live);
    fastr_trial_describe(trial, live, &text);
    int rc = strcmp(text.data, "null") ? fastr_json_push(L, text.data, text.length, NULL, &err) : -1;
    fastr_buffer_free(&text);
    return rc ? 0 : 1;
}

/* ---- packs that are opened, live or not: what tools compare ---------------------------------------------------- */

#define PACK "fastr.rules.pack"

struct pack {
    struct fastr_bundle *bundle;
    struct fastr_sandbox *sandbox;
};

static void release_pack(struct pack *pack) {
    fastr_sandbox_free(pack->sandbox);
    fastr_bundle_free(pack->bundle);
    *pack = (struct pack){NULL, NULL};
}

static struct pack *check_pack(lua_State *L) {
    struct pack *pack = luaL_checkudata(L, 1, PACK);
    if (!pack->sandbox)
        luaL_error(L, "this pack is closed");
    return pack;
}

/* The files of a folder with scripts/lib under "lib/", or a stored pack by its hash. NULL with `err`. */
static struct fastr_bundle *read_source(const char *source, struct fastr_err *err) {
    if (strncmp(source, "sha256:", 7) == 0) {
        char *path = fastr_format("%s/packs/%s", fastr_setting("var", "var"), source + 7);
        struct fastr_bundle *stored = fastr_bundle_load(path, source + 7, err);
        free(path);
        return stored;
    }
    return fastr_lines_read_pack(source, err);
}

/* Pushes the pack of a bundle, which it takes; if it does not build, or is NULL, pushes `err`. */
static int push_pack(lua_State *L, struct fastr_bundle *bundle, struct fastr_err *err) {
    struct pack *pack = lua_newuserdata(L, sizeof *pack);
    *pack = (struct pack){bundle, NULL};
    luaL_getmetatable(L, PACK);
    lua_setmetatable(L, -2);
    pack->sandbox = bundle ? fastr_sandbox_new(bundle, err) : NULL;
    return pack->sandbox ? 1 : fastr_push_err(L, err);
}

/* rules.open(source) -> a pack of its own state, not proved. source: a folder, or "sha256:HASH" of a stored pack.
 * Blocks while it reads: for tools. Returns nil, message, code: "invalid" (text begins FILE:LINE:), "unavailable",
 * "rules_budget". */
static int l_open(lua_State *L) {
    struct fastr_err err;
    return push_pack(L, read_source(luaL_checkstring(L, 1), &err), &err);
}

/* pack:with(name, text) -> another pack in which that file has this text; errors as of rules.open */
static int pack_with(lua_State *L) {
    struct pack *pack = check_pack(L);
    struct fastr_err err;
    size_t length;
    const char *name = luaL_checkstring(L, 2), *text = luaL_checklstring(L, 3, &length);
    return push_pack(L, fastr_bundle_with(pack->bundle, name, text, length, &err), &err);
}

/* rules.hash(folder) -> "sha256:..." of what the folder would be opened as now; it is neither compiled nor run. Blocks.
 * Returns nil, message, code "unavailable" or "invalid". */
static int l_hash(lua_State *L) {
    struct fastr_err err;
    struct fastr_bundle *bundle = read_source(luaL_checkstring(L, 1), &err);
    if (!bundle)
        return fastr_push_err(L, &err);
    lua_pushfstring(L, "sha256:%s", fastr_bundle_hash(bundle));
    fastr_bundle_free(bundle);
    return 1;
}

/* pack:decide(point, facts, {explain =, exact = false}) -> decision, info, as rules.decide. exact: instructions are
 * counted one by one, which is slow. Returns nil, message, code: "facts_invalid", "rules_error", "rules_budget". */
static int pack_decide(lua_State *L) {
    struct pack *pack = check_pack(L);
    struct fastr_decision decision = {.point = luaL_checkstring(L, 2)};
    struct fastr_err err = {{0}, {0}};
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 4);
    decision.explain = option(L, 4, "explain", "applied");
    decision.exact = lua_istable(L, 4) && fastr_field_bool(L, 4, "exact", false);
    if (fastr_sandbox_decide(pack->sandbox, L, 3, &decision, &err) != 0)
        return fastr_push_error(L, strcmp(err.code, "invalid") == 0 ? "facts_invalid" : err.code, "%s", err.text);
    return push_decision(L, &decision, fastr_sandbox_hash(pack->sandbox));
}

/* pack:decide_text(point, facts as JSON, {explain =}) -> decision as JSON, info, as rules.decide_text. Returns nil,
 * message, code as pack:decide, or "json". */
static int pack_decide_text(lua_State *L) {
    struct pack *pack = check_pack(L);
    struct fastr_decision decision = {.point = luaL_checkstring(L, 2)};
    struct fastr_err err = {{0}, {0}};
    luaL_checktype(L, 3, LUA_TSTRING);
    lua_settop(L, 4);
    decision.explain = option(L, 4, "explain", "applied");
    if (push_text(L, 3, pack->sandbox, &decision, fastr_sandbox_hash(pack->sandbox), &err) >= 0)
        return 2;
    return fastr_push_error(L, strcmp(err.code, "invalid") == 0 ? "facts_invalid" : err.code, "%s", err.text);
}

/* pack:prove() -> number of examples, all of which hold; or nil, message ("FILE:LINE: ..."), code */
static int pack_prove(lua_State *L) {
    struct fastr_err err = {{0}, {0}};
    int examples = fastr_sandbox_prove(check_pack(L)->sandbox, &err);
    if (examples < 0)
        return fastr_push_err(L, &err);
    lua_pushinteger(L, examples);
    return 1;
}

/* pack:hash() -> "sha256:..." */
static int pack_hash(lua_State *L) {
    lua_pushfstring(L, "sha256:%s", fastr_bundle_hash(check_pack(L)->bundle));
    return 1;
}

/* pack:files() -> table of name -> text, scripts/lib among them as "lib/..." */
static int pack_files(lua_State *L) {
    const struct fastr_bundle *bundle = check_pack(L)->bundle;
    lua_createtable(L, 0, fastr_bundle_count(bundle));
    for (int i = 0; i < fastr_bundle_count(bundle); i++) {
        lua_pushlstring(L, fastr_bundle_data(bundle, i), fastr_bundle_length(bundle, i));
        lua_setfield(L, -2, fastr_bundle_name(bundle, i));
    }
    return 1;
}

static void push_point(const char *name, void *data) {
    lua_State *L = data;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
}

/* pack:points() -> list of the decision points that it has, in no order */
static int pack_points(lua_State *L) {
    struct pack *pack = check_pack(L);
    lua_newtable(L);
    fastr_sandbox_each_point(pack->sandbox, push_point, L);
    return 1;
}

/* ---- stored packs, and who signed them --------------------------------------------------------------------------- */

/* Stores the bundle, and `sealed` (NULL: nothing) beside it; pushes true or the error. */
static int keep(lua_State *L, const struct fastr_bundle *bundle, const char *sealed, size_t length) {
    struct fastr_err err;
    char *folder = fastr_format("%s/packs", fastr_setting("var", "var")), *name = fastr_format("%s.sig", fastr_bundle_hash(bundle));
    int rc = mkdir(folder, 0700) == 0 || errno == EEXIST ? 0 : fastr_fail(&err, "unavailable", "%s: %s", folder, strerror(errno));
    if (rc == 0 && sealed)
        rc = fastr_bundle_store_bytes(folder, name, sealed, length, &err);
    if (rc == 0)
        rc = fastr_bundle_store(bundle, folder, &err);
    free(folder);
    free(name);
    if (rc != 0)
        return fastr_push_err(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* pack:store([sealed]) -> true: it can be opened by its hash, and activated. sealed: the text of its signed statement,
 * kept beside it, not looked at. Returns nil, message, code "unavailable". */
static int pack_store(lua_State *L) {
    size_t length = 0;
    const char *sealed = luaL_optlstring(L, 2, NULL, &length);
    return keep(L, check_pack(L)->bundle, sealed, length);
}

/* "sha256:HASH" or HASH at `index`; raises for what is no hash, so that it can be part of a path. */
static const char *check_hash(lua_State *L, int index) {
    const char *hash = luaL_checkstring(L, index);
    if (strncmp(hash, "sha256:", 7) == 0)
        hash += 7;
    luaL_argcheck(L, strlen(hash) == 64 && strspn(hash, "0123456789abcdef") == 64, index, "a hash of 64 hex digits is expected");
    return hash;
}

/* rules.stored(hash) -> the stored form of a pack, and the text of its signed statement if it has one. Blocks for two
 * small files. Returns nil, message, code "unavailable" or "invalid" (damaged). */
static int l_stored(lua_State *L) {
    struct fastr_err err;
    size_t length;
    const char *hash = check_hash(L, 1);
    lua_settop(L, 1);
    char *folder = fastr_format("%s/packs", fastr_setting("var", "var")), *path = fastr_format("%s/%s", folder, hash);
    struct fastr_bundle *bundle = fastr_bundle_load(path, hash, &err);
    char *sealed = bundle ? fastr_sealed_read(folder, hash, &length, &err) : NULL;
    free(folder);
    free(path);
    if (!bundle)
        return fastr_push_err(L, &err);
    struct fastr_buffer text = fastr_bundle_text(bundle);
    lua_pushlstring(L, text.data, text.length);
    if (sealed)
        lua_pushlstring(L, sealed, length);
    fastr_buffer_free(&text);
    fastr_bundle_free(bundle);
    free(sealed);
    return lua_gettop(L) - 1;
}

/* rules.keep(hash, text [, sealed]) -> true: stores a pack from its stored form, and its signed statement. Where packs
 * must be signed, only with one that this host trusts. Blocks. Returns nil, message, code: "invalid" (not this pack),
 * "unavailable", or as rules.verify. */
static int l_keep(lua_State *L) {
    struct fastr_err err;
    char key[17];
    size_t length, sealed_length = 0;
    const char *hash = check_hash(L, 1), *text = luaL_checklstring(L, 2, &length);
    const char *sealed = luaL_optlstring(L, 3, NULL, &sealed_length);
    if (fastr_sealed_needed() && !sealed)
        return fastr_push_error(L, "pack_unsigned", "the pack %.12s is not signed", hash);
    if (fastr_sealed_needed() && fastr_sealed_check(sealed, sealed_length, hash, key, &err) != 0)
        return fastr_push_err(L, &err);
    struct fastr_bundle *bundle = fastr_bundle_parse(text, length, "the text", hash, &err);
    if (!bundle)
        return fastr_push_err(L, &err);
    int results = keep(L, bundle, sealed, sealed_length);
    fastr_bundle_free(bundle);
    return results;
}

/* rules.verify(hash, sealed) -> id of the trusted key that signed this statement about the pack. Returns nil, message,
 * code: "pack_unsigned", "pack_key_unknown", "pack_signature_wrong", "pack_unfit" (for another pack, arithmetic or
 * decision points), "unavailable". */
static int l_verify(lua_State *L) {
    struct fastr_err err;
    char key[17];
    size_t length;
    const char *hash = check_hash(L, 1), *sealed = luaL_checklstring(L, 2, &length);
    if (fastr_sealed_check(sealed, length, hash, key, &err) != 0)
        return fastr_push_err(L, &err);
    lua_pushstring(L, key);
    return 1;
}

/* pack:close(): its memory is freed now and not when Lua collects it. May be called twice. */
static int pack_close(lua_State *L) {
    release_pack(luaL_checkudata(L, 1, PACK));
    return 0;
}

/* ---- the module ------------------------------------------------------------------------------------------------ */

static const luaL_Reg functions[] = {{"decide", l_decide}, {"decide_text", l_decide_text}, {"open", l_open},
                                     {"hash", l_hash},     {"pack", l_pack},               {"stored", l_stored},
                                     {"needs", l_needs},
                                     {"keep", l_keep},     {"verify", l_verify},
                                     {"trial", l_trial},   {NULL, NULL}};
static const luaL_Reg methods[] = {{"decide", pack_decide}, {"decide_text", pack_decide_text},
                                   {"prove", pack_prove},   {"hash", pack_hash},
                                   {"files", pack_files},   {"points", pack_points},
                                   {"store", pack_store},   {"with", pack_with},
                                   {"close", pack_close},   {NULL, NULL}};

static int open_rules(lua_State *L) {
    luaL_newmetatable(L, PACK);
    lua_newtable(L);
    luaL_register(L, NULL, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, pack_close);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_pushinteger(L, FASTR_RULES_ABI);
    lua_setfield(L, -2, "abi");
    lua_pushinteger(L, OLDEST_ABI);
    lua_setfield(L, -2, "oldest_abi");
    return 1;
}

static int start_rules(struct fastr_err *err) {
    (void)err;
    fastr_rules_agent_start();
    return 0;
}

static void stop_rules(void) {
    fastr_rules_agent_stop();
    fastr_rules_trial_close();
}

const struct fastr_binding fastr_binding_rules = {
    .name = "rules", .open = open_rules, .start = start_rules, .stop = stop_rules, .builder = &builder};
