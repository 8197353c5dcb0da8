/* lines.c: see lines.h. */
#include "runtime/lines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/program.h"
#include "runtime/state.h"

static const struct fastr_builder *builder_of(const char *line)
{
    const struct fastr_binding *binding;
    for (int i = 0; (binding = fastr_state_binding(i)); i++)
        if (binding->builder && !strcmp(binding->builder->line, line))
            return binding->builder;
    return !strcmp(line, fastr_program_builder.line) ? &fastr_program_builder : NULL;
}

int fastr_lines_open(const char *process_name, struct fastr_err *err)
{
    char *name = fastr_format("scripts/%s", process_name);
    int rc = fastr_line_open(name, &fastr_program_builder, err) ? 0 : -1;
    free(name);
    const struct fastr_binding *binding;
    for (int i = 0; rc == 0 && (binding = fastr_state_binding(i)); i++)
        if (binding->builder && !fastr_line_open(binding->builder->line, binding->builder, err))
            rc = -1;
    return rc;
}

struct fastr_bundle *fastr_lines_read_pack(const char *folder, struct fastr_err *err)
{
    struct fastr_bundle *bundle = fastr_bundle_read(folder, err);
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

struct fastr_bundle *fastr_lines_read(const char *line, struct fastr_err *err)
{
    const char *scripts = fastr_setting("scripts", "scripts");
    if (!strcmp(line, "scripts"))
        return fastr_bundle_read_without(scripts, "rules", err);
    return fastr_lines_read_pack(fastr_setting("rules_dir", "scripts/rules"), err);
}

/* What is live of a line, or NULL: nothing is, or it cannot be read. */
static struct fastr_bundle *read_live(const char *name, const struct fastr_builder *builder)
{
    struct fastr_err err;
    char hash[65] = "";
    const struct fastr_line *line = fastr_line_open(name, builder, &err);
    if (!line || fastr_line_live(line, hash) == 0 || !hash[0])
        return NULL;
    char *path = fastr_format("%s/%s", fastr_versions_store(), hash);
    struct fastr_bundle *live = fastr_bundle_load(path, hash, &err);
    free(path);
    return live;
}

struct fastr_bundle *fastr_lines_carry(const char *line, struct fastr_bundle *bundle, struct fastr_err *err)
{
    const struct fastr_builder *builder = builder_of(line);
    struct fastr_bundle *live = builder && builder->carried ? read_live(line, builder) : NULL;
    int file = live ? fastr_bundle_find(live, builder->carried) : -1;
    if (file >= 0) {
        struct fastr_bundle *with = fastr_bundle_with(bundle, builder->carried, fastr_bundle_data(live, file),
                                                      fastr_bundle_length(live, file), err);
        fastr_bundle_free(bundle);
        bundle = with;
    }
    fastr_bundle_free(live);
    return bundle;
}

int fastr_lines_prove(const char *line, const struct fastr_bundle *bundle, struct fastr_err *err)
{
    const struct fastr_builder *builder = builder_of(line);
    if (!builder)
        return fastr_fail(err, "invalid", "there is no line '%s' of versions: use scripts or rules", line);
    void *built = builder->build(bundle, err);
    if (!built)
        return -1;
    builder->free(built);
    return 0;
}

static int open_private(const struct fastr_builder *builder, struct fastr_err *err)
{
    struct fastr_bundle *bundle = fastr_lines_read(builder->line, err);
    return bundle && fastr_line_private(builder->line, builder, bundle, err) ? 0 : -1;
}

int fastr_lines_open_private(const struct fastr_builder *scripts, bool bindings, struct fastr_err *err)
{
    int rc = open_private(scripts, err);
    const struct fastr_binding *binding;
    for (int i = 0; bindings && rc == 0 && (binding = fastr_state_binding(i)); i++)
        if (binding->builder)
            rc = open_private(binding->builder, err);
    return rc;
}
