/* main.c: the command line. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/bindings.h"
#include "runtime/control.h"
#include "runtime/internal.h"
#include "runtime/lines.h"
#include "runtime/master.h"
#include "runtime/program.h"
#include "runtime/state.h"
#include "runtime/tool.h"

/* Who types the command: in a container there is no variable that says so. */
static const char *user(void)
{
    const char *name = getenv("SUDO_USER") ? getenv("SUDO_USER") : getenv("USER");
    bool is_word = name && *name && !strpbrk(name, "# \t\r\n"); /* # begins what a host's agent does */
    const struct passwd *entry = is_word ? NULL : getpwuid(getuid());
    if (entry)
        name = entry->pw_name;
    return is_word || entry ? name : "somebody";
}

static int complain(const struct fastr_err *err)
{
    fprintf(stderr, "fastr: %s\n", err->text);
    return 1;
}

static int serve(int argc, char **argv)
{
    return fastr_master_run(argv, argc);
}

/* ---- check ---- */

static int check_line(const char *line, struct fastr_err *err)
{
    struct fastr_bundle *bundle = fastr_lines_read(line, err);
    int rc = bundle ? fastr_lines_prove(line, bundle, err) : -1;
    if (rc == 0)
        printf("%-8s ok   %d files, %.12s\n", line, fastr_bundle_count(bundle), fastr_bundle_hash(bundle));
    fastr_bundle_free(bundle);
    return rc;
}

static int check(int argc, char **argv)
{
    struct fastr_err err;
    fastr_program_services(argv, argc);
    printf("settings ok\n");
    if (check_line("scripts", &err) || check_line("rules", &err))
        return complain(&err);
    return 0;
}

/* ---- reload ---- */

/* The master's reply to a command, which the caller frees; NULL if it refused, which is told. */
static char *exchange(const char *var, const char *master, const char *command)
{
    struct fastr_err err;
    char *reply = fastr_control_ask(var, master, command, 15000, &err);
    if (!reply)
        return complain(&err), NULL;
    if (!strncmp(reply, "{\"ok\":true", 10))
        return reply;
    char *reason = fastr_control_reason(reply);
    fprintf(stderr, "fastr: %s refused: %s\n", master, reason);
    free(reason);
    free(reply);
    return NULL;
}

static int ask(const char *var, const char *master, const char *command, const char *what)
{
    char *reply = exchange(var, master, command);
    if (reply)
        printf("%-16s %s\n", master, what);
    free(reply);
    return reply ? 0 : 1;
}

struct reload {
    const char *var, *wanted, *hash;
    int failures, told;
};

/* "cart" means the masters named cart, cart-1, cart-2, ...; NULL means all. */
static bool is_wanted(const char *name, const char *wanted)
{
    size_t length = wanted ? strlen(wanted) : 0;
    return !wanted || (!strncmp(name, wanted, length) && (name[length] == '\0' || name[length] == '-'));
}

static void reload_scripts_of(const char *name, void *data)
{
    struct reload *reload = data;
    if (!is_wanted(name, reload->wanted))
        return;
    char *command = fastr_format("activate scripts %s %s", reload->hash, user());
    char *what = fastr_format("scripts %.12s live", reload->hash);
    reload->failures += ask(reload->var, name, command, what);
    reload->told++;
    free(command);
    free(what);
}

/* Reads, stores and returns what is on disk for a line. */
static struct fastr_bundle *stored(const char *line, struct fastr_err *err)
{
    struct fastr_bundle *bundle = fastr_lines_read(line, err);
    if (bundle && fastr_bundle_store(bundle, fastr_versions_store(), err) == 0)
        return bundle;
    fastr_bundle_free(bundle);
    return NULL;
}

static int reload_scripts(const char *var, const char *wanted)
{
    struct fastr_err err;
    struct fastr_bundle *bundle = stored("scripts", &err);
    if (!bundle)
        return complain(&err);
    struct reload reload = {var, wanted, fastr_bundle_hash(bundle), 0, 0};
    fastr_control_each(var, reload_scripts_of, &reload);
    fastr_bundle_free(bundle);
    if (reload.told)
        return reload.failures ? 1 : 0;
    fprintf(stderr, "fastr: no master%s%s runs on %s: start it with bin/up or `fastr serve`\n", wanted ? " named " : "",
            wanted ? wanted : "", var);
    return 1;
}

/* Who leads this host, which the caller frees; NULL if nobody does, which is told. */
static char *leader_of(const char *var)
{
    char *leader = fastr_control_leader(var);
    if (!leader)
        fprintf(stderr, "fastr: no master runs on %s: start one with bin/up or `fastr serve`\n", var);
    return leader;
}

/* The rules on disk, stored, as they go live: with what was made where they are live. Stored as they are, too, so that who
 * knows the disk alone finds that they were live. */
static struct fastr_bundle *stored_rules(struct fastr_err *err)
{
    struct fastr_bundle *bundle = stored("rules", err);
    if (bundle)
        bundle = fastr_lines_carry("rules", bundle, err);
    if (bundle && fastr_bundle_store(bundle, fastr_versions_store(), err) == 0)
        return bundle;
    fastr_bundle_free(bundle);
    return NULL;
}

static int reload_rules(const char *var)
{
    struct fastr_err err;
    struct fastr_bundle *bundle = stored_rules(&err);
    if (!bundle)
        return complain(&err);
    char *command = fastr_format("activate rules %s %s", fastr_bundle_hash(bundle), user());
    char *what = fastr_format("rules %.12s live on this host", fastr_bundle_hash(bundle));
    char *leader = leader_of(var);
    int rc = leader ? ask(var, leader, command, what) : 1;
    free(leader);
    fastr_bundle_free(bundle);
    free(command);
    free(what);
    return rc;
}

static int reload(int argc, char **argv)
{
    struct fastr_err err;
    const char *var = fastr_setting("var", "var"), *wanted = argc > 0 ? argv[0] : NULL;
    if (fastr_versions_open(var, &err))
        return complain(&err);
    bool rules = !wanted || !strcmp(wanted, "rules"), scripts = !wanted || strcmp(wanted, "rules");
    if (wanted && !strcmp(wanted, "scripts"))
        wanted = NULL;
    int rc = rules ? reload_rules(var) : 0;
    if (scripts && reload_scripts(var, wanted))
        rc = 1;
    return rc;
}

static int rollback(int argc, char **argv)
{
    if (argc != 0 && (argc != 2 || strcmp(argv[0], "--reason") || strpbrk(argv[1], "\r\n"))) {
        fprintf(stderr, "usage: fastr rules rollback [--reason TEXT]\n");
        return 2;
    }
    char *command = fastr_format("rollback rules %s %s", user(), argc ? argv[1] : "");
    const char *var = fastr_setting("var", "var");
    char *leader = leader_of(var), *reply = leader ? exchange(var, leader, command) : NULL;
    char *hash = reply ? fastr_control_text(reply, "hash") : NULL;
    if (hash)
        printf("%-16s rules rolled back: %.7s is live on this host\n", leader, hash);
    free(hash);
    free(reply);
    free(leader);
    free(command);
    return hash ? 0 : 1;
}

/* ---- the rest ---- */

static int rules(int argc, char **argv)
{
    if (argc > 0 && !strcmp(argv[0], "rollback"))
        return rollback(argc - 1, argv + 1);
    return fastr_tool_rules(argv, argc);
}

static int run(int argc, char **argv)
{
    if (argc < 1) {
        fprintf(stderr, "usage: fastr run MODULE [argument ...]\n");
        return 2;
    }
    return fastr_tool_run(argv[0], argv + 1, argc - 1);
}

static int migrate(int argc, char **argv)
{
    return fastr_tool_run("platform.migrate", argv, argc);
}

static int openapi(int argc, char **argv)
{
    return fastr_tool_run("platform.openapi", argv, argc);
}

static int status(int argc, char **argv)
{
    return fastr_tool_run("platform.status", argv, argc);
}

static int events(int argc, char **argv)
{
    return fastr_tool_run("platform.events_tool", argv, argc);
}

static int spec(int argc, char **argv)
{
    return fastr_tool_spec(argv, argc);
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage, *help;
} commands[] = {
    {"serve", serve, "serve [SERVICE ...]", "run a master and its workers with these services (none: all)"},
    {"migrate", migrate, "migrate [SERVICE ...]", "apply what is new in sql/ to each service's schema"},
    {"check", check, "check [SERVICE ...]", "load every setting, script and rule; change nothing"},
    {"reload", reload, "reload [NAME | scripts | rules]", "make the files on disk live, in all workers or in none"},
    {"status", status, "status [--json]", "what runs, what is live, what is unwell; exit code 1 when something is"},
    {"events", events, "events lag | parked | redrive ...", "events not consumed yet, parked, taken up again; see `fastr events --help`"},
    {"openapi", openapi, "openapi", "print the API's OpenAPI 3.1 document; needs no server"},
    {"spec", spec, "spec [FILE or busted option ...]", "run busted specs inside a task, against this checkout's settings"},
    {"rules", rules, "rules decide | check | rollback ...", "decide facts, check a pack, or undo the last activation; see `fastr rules --help`"},
    {"run", run, "run MODULE [argument ...]", "run MODULE.main(arguments) inside a task"},
};

static int help(FILE *out)
{
    fprintf(out, "usage: fastr COMMAND [--help]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-36s %s\n", commands[i].usage, commands[i].help);
    fprintf(out, "\nSettings: conf/fastr.lua (another: FASTR_CONF); FASTR_PG_PRIMARY in the environment overrides pg.primary.\n");
    return out == stdout ? 0 : 2;
}

static bool asks_for_help(int argc, char **argv)
{
    return argc > 0 && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"));
}

/* These have verbs or options of their own to tell of. */
static bool helps_itself(const struct command *command)
{
    return command->run == rules || command->run == events || command->run == spec;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return help(stderr);
    if (asks_for_help(argc - 1, argv + 1) || !strcmp(argv[1], "help"))
        return help(stdout);
    fastr_state_bindings(fastr_bindings, fastr_binding_count);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *command = &commands[i];
        if (strcmp(argv[1], command->name))
            continue;
        if (!helps_itself(command) && asks_for_help(argc - 2, argv + 2)) {
            printf("usage: fastr %s\n\n%s\n", command->usage, command->help);
            return 0;
        }
        struct fastr_err err;
        const char *conf = getenv("FASTR_CONF");
        if (fastr_settings_load(conf ? conf : "conf/fastr.lua", &err))
            return complain(&err);
        return command->run(argc - 2, argv + 2);
    }
    fprintf(stderr, "fastr: unknown command '%s'\n\n", argv[1]);
    return help(stderr);
}
