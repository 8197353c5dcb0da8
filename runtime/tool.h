/* tool.h: one process, one loop, one task: commands written in Lua (migrate, openapi, status) and the specs.
 *
 * The state is unrestricted (io, os, the system's modules); scripts and rules are those on disk. Beyond what scripts see,
 * `fastr.control(name, command [, var])` asks a master and `fastr.masters()` lists those that live. */
#ifndef FASTR_TOOL_H
#define FASTR_TOOL_H

/* Runs require(module).main(arguments) in a task and returns its result as the exit code (nil or true: 0). */
int fastr_tool_run(const char *module, char **arguments, int count);
/* The commands of `fastr rules`: no rules are pinned, so that what is on disk may be broken, which is what they report. */
int fastr_tool_rules(char **arguments, int count);
/* Runs busted with these arguments in a task. */
int fastr_tool_spec(char **arguments, int count);

#endif
