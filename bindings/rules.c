/* rules.c: fastr.rules, decisions by the pack that the running task has pinned; the builder of its versions; and the
 * commands `fastr rules decide` and `fastr rules check`, which need no server. Leans on runtime/sandbox.h. */
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/json.h"
#include "runtime/sandbox.h"
#include "runtime/state.h"

enum { ABI = 1 }; /* the version of the C arithmetic that an order's price was made with */

/* ---- versions -------------------------------------------------------------------------------------------------- */

static void *build_rules(const struct fastr_bundle *bundle, struct fastr_err *err) {
    struct fastr_sandbox *sandbox = fastr_sandbox_new(bundle, err);
    if (sandbox && fastr_sandbox_prove(sandbox, err) < 0) {
        fastr_sandbox_free(sandbox);
        return NULL;
    }
    return sandbox;
}

static void free_rules(void *built) {
    fastr_sandbox_free(built);
}

static const struct fastr_builder builder = {"rules", build_rules, free_rules};

/* ---- fastr.rules ----------------------------------------------------------------------------------------------- */

static const char *option(lua_State *L, const char *name, const char *otherwise) {
    if (!lua_istable(L, 3))
        return otherwise;
    lua_getfield(L, 3, name);
    const char *value = lua_isnil(L, -1) ? otherwise : luaL_checkstring(L, -1);
    lua_pop(L, 1); /* the options table keeps it alive */
    return value;
}

static void count_decision(const char *point, const char *code) {
    char labels[128];
    snprintf(labels, sizeof labels, "point=\"%.40s\",code=\"%.20s\"", point, code);
    fastr_metric_add(fastr_counter("fastr_rules_decisions_total", labels, "Decisions by point and outcome"), 1);
}

static void push_info(lua_State *L, const struct fastr_decision *decision, const char *hash) {
    lua_createtable(L, 0, 4);
    lua_pushfstring(L, "sha256:%s", hash);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "pack");
    lua_setfield(L, -2, "pack");
    lua_pushinteger(L, ABI);
    lua_setfield(L, -2, "abi");
    lua_pushnumber(L, (double)decision->instructions);
    lua_setfield(L, -2, "instructions");
    lua_getfield(L, -2, "trace");
    lua_setfield(L, -2, "trace");
}

static int failed_decision(lua_State *L, const char *point, const struct fastr_err *err) {
    bool facts = strcmp(err->code, "invalid") == 0;
    count_decision(point, facts ? "facts_invalid" : err->code);
    if (!facts)
        fastr_log(FASTR_ERROR, "rules: %s: %s: %s", point, err->code, err->text);
    return fastr_push_error(L, facts ? "facts_invalid" : err->code, "%s", err->text);
}

static struct fastr_sandbox *pinned(const char *wanted, const char **hash) {
    if (!wanted)
        return fastr_pinned("rules", hash);
    *hash = strncmp(wanted, "sha256:", 7) == 0 ? wanted + 7 : wanted;
    return fastr_warm("rules", *hash);
}

/* rules.decide(point, facts, {pack = hash, explain = "none" | "applied" (the default) | "full"}) -> decision, info {pack,
 * abi, trace, instructions}. Pure: the same facts and pack give the same decision. The decision also carries `pack`.
 * Returns nil, message, code: "facts_invalid" (facts refused, with the path; or the pack does not decide the point),
 * "rules_error" (a rule raised or answered nonsense), "rules_budget" (it took too much), "rules_version_gone" (the pack asked
 * for is no longer warm), "unavailable" (no pack is live). Raises for arguments of other types. */
static int l_decide(lua_State *L) {
    const char *hash = NULL, *point = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 3);
    const char *wanted = option(L, "pack", NULL);
    struct fastr_decision decision = {.point = point, .explain = option(L, "explain", "applied")};
    struct fastr_err err = {{0}, {0}};
    struct fastr_sandbox *sandbox = pinned(wanted, &hash);
    if (!sandbox)
        return wanted ? fastr_push_error(L, "rules_version_gone", "rules %.12s are no longer kept", hash)
                      : fastr_push_error(L, "unavailable", "no rules are live");
    if (fastr_sandbox_decide(sandbox, L, 2, &decision, &err) != 0)
        return failed_decision(L, point, &err);
    if (!lua_istable(L, -1))
        return fastr_push_error(L, "rules_error", "%s: the rules answered no table", point);
    push_info(L, &decision, hash);
    return 2;
}

/* rules.pack() -> "sha256:..." of the pinned pack, or nil if none is live */
static int l_pack(lua_State *L) {
    const char *hash = NULL;
    if (!fastr_pinned("rules", &hash))
        return 0;
    lua_pushfstring(L, "sha256:%s", hash);
    return 1;
}

static const luaL_Reg functions[] = {{"decide", l_decide}, {"pack", l_pack}, {NULL, NULL}};

static int open_rules(lua_State *L) {
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}

const struct fastr_binding fastr_binding_rules = {.name = "rules", .open = open_rules, .builder = &builder};

/* ---- the command line ------------------------------------------------------------------------------------------ */

static const char usage[] =
    "fastr rules decide POINT FACTS.json [--pack DIR] [--explain none|applied|full]\n"
    "    prints the decision as JSON (POINT: price.cart, cart.accept, ...; FACTS.json or - for standard input)\n"
    "fastr rules decide POINT --lines [--pack DIR]\n"
    "    one line of facts in, one line out: the decision, or {\"error\":...}\n"
    "fastr rules check [DIR]\n"
    "    builds the pack and runs its examples; exit 1 with file and line\n";

static int complain(const char *what, const char *detail) {
    fprintf(stderr, "fastr rules: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    return 1;
}

static struct fastr_bundle *read_pack(const char *dir, struct fastr_err *err) {
    struct fastr_bundle *bundle = fastr_bundle_read(dir ? dir : fastr_setting("rules_dir", "scripts/rules"), err);
    if (!bundle)
        return NULL;
    char *lib = fastr_format("%s/lib", fastr_setting("scripts", "scripts"));
    int rc = fastr_bundle_add(bundle, lib, "lib", err);
    free(lib);
    if (rc == 0)
        return bundle;
    fastr_bundle_free(bundle);
    return NULL;
}

static bool read_all(FILE *file, struct fastr_buffer *text) {
    size_t count;
    do {
        char *at = fastr_buffer_reserve(text, 65536);
        count = fread(at, 1, 65536, file);
        text->length += count;
    } while (count > 0 && text->length < (64u << 20));
    return !ferror(file);
}

static bool read_facts(const char *path, struct fastr_buffer *text) {
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    bool good = file && read_all(file, text);
    if (file && file != stdin)
        fclose(file);
    return good;
}

struct command {
    const char *point, *facts, *pack, *explain;
    bool lines;
};

/* One decision: facts as JSON in, decision as JSON out. 0, or -1 with `err`. */
static int decide_text(struct fastr_sandbox *sandbox, lua_State *L, const struct command *command, const char *text,
                       size_t length, struct fastr_buffer *out, struct fastr_err *err) {
    struct fastr_decision decision = {.point = command->point, .explain = command->explain};
    lua_settop(L, 0);
    if (fastr_json_push(L, text, length, NULL, err) != 0)
        return -1;
    if (fastr_sandbox_decide(sandbox, L, 1, &decision, err) != 0)
        return -1;
    lua_pushfstring(L, "sha256:%s", fastr_sandbox_hash(sandbox));
    lua_setfield(L, -2, "pack");
    return fastr_json_encode(L, -1, true, out, err);
}

static int decide_lines(struct fastr_sandbox *sandbox, lua_State *L, const struct command *command) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, stdin)) > 0) {
        struct fastr_buffer out = {0};
        struct fastr_err err = {{0}, {0}};
        if (decide_text(sandbox, L, command, line, (size_t)length, &out, &err) != 0) {
            fastr_buffer_text(&out, "{\"error\":");
            fastr_json_string(&out, err.text, strlen(err.text));
            fastr_buffer_text(&out, "}");
        }
        printf("%s\n", out.data);
        fastr_buffer_free(&out);
    }
    free(line);
    return 0;
}

static int decide_once(struct fastr_sandbox *sandbox, lua_State *L, const struct command *command) {
    struct fastr_buffer text = {0}, out = {0};
    struct fastr_err err = {{0}, {0}};
    int rc = 0;
    if (!read_facts(command->facts, &text))
        rc = complain(command->facts, strerror(errno));
    else if (decide_text(sandbox, L, command, text.data, text.length, &out, &err) != 0)
        rc = complain(command->facts, err.text);
    else
        printf("%s\n", out.data);
    fastr_buffer_free(&text);
    fastr_buffer_free(&out);
    return rc;
}

static int parse_decide(int argc, char **argv, struct command *command) {
    for (int i = 0; i < argc; i++) {
        bool valued = i + 1 < argc;
        if (strcmp(argv[i], "--pack") == 0 && valued)
            command->pack = argv[++i];
        else if (strcmp(argv[i], "--explain") == 0 && valued)
            command->explain = argv[++i];
        else if (strcmp(argv[i], "--lines") == 0)
            command->lines = true;
        else if (!command->point)
            command->point = argv[i];
        else if (!command->facts)
            command->facts = argv[i];
        else
            return complain("unexpected argument", argv[i]);
    }
    return command->point && (command->facts || command->lines) ? 0 : complain("a point and its facts are needed", NULL);
}

static int run_decide(int argc, char **argv) {
    struct command command = {.explain = "full"};
    struct fastr_err err = {{0}, {0}};
    if (parse_decide(argc, argv, &command) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    struct fastr_bundle *bundle = read_pack(command.pack, &err);
    struct fastr_sandbox *sandbox = bundle ? fastr_sandbox_new(bundle, &err) : NULL;
    lua_State *L = luaL_newstate();
    fastr_state_open_fastr(L);
    int rc = !sandbox        ? complain(err.text, NULL)
             : command.lines ? decide_lines(sandbox, L, &command)
                             : decide_once(sandbox, L, &command);
    lua_close(L);
    fastr_sandbox_free(sandbox);
    if (bundle)
        fastr_bundle_free(bundle);
    return rc;
}

static int run_check(int argc, char **argv) {
    struct fastr_err err = {{0}, {0}};
    uint64_t started = fastr_clock_us();
    struct fastr_bundle *bundle = read_pack(argc > 0 ? argv[0] : NULL, &err);
    struct fastr_sandbox *sandbox = bundle ? fastr_sandbox_new(bundle, &err) : NULL;
    int examples = sandbox ? fastr_sandbox_prove(sandbox, &err) : -1;
    if (examples >= 0)
        printf("ok   %d files, %d examples   %.7s   %d ms\n", fastr_bundle_count(bundle), examples,
               fastr_bundle_hash(bundle), (int)((fastr_clock_us() - started) / 1000));
    else
        fprintf(stderr, "%s\n", err.text);
    fastr_sandbox_free(sandbox);
    if (bundle)
        fastr_bundle_free(bundle);
    return examples < 0;
}

/* What `fastr rules ...` does without a server; argv[0] is the verb. Returns the exit code. */
int fastr_rules_main(int argc, char **argv);
int fastr_rules_main(int argc, char **argv) {
    const char *verb = argc > 0 ? argv[0] : "--help";
    if (strcmp(verb, "decide") == 0)
        return run_decide(argc - 1, argv + 1);
    if (strcmp(verb, "check") == 0)
        return run_check(argc - 1, argv + 1);
    bool help = strcmp(verb, "--help") == 0;
    fputs(usage, help ? stdout : stderr);
    return help ? 0 : 2;
}
