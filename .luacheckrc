-- luacheck: what the linter of bin/test knows about the scripts.
std = "luajit"
max_line_length = 120
read_globals = { "fastr" }
files["scripts/platform/boot.lua"] = { globals = { "fastr" } }
files["spec/**"] = { std = "+busted" }
files["spec/support/program.lua"] = { globals = { "fastr" } }
-- Rules know the words of their sandbox; the pack's gate names the unknown ones itself.
files["bench/load/**"] = { globals = { "wrk", "setup", "init", "request", "response", "done", "paid", "trouble" } } -- wrk calls and reads these
files["scripts/rules/**"] = { ignore = { "113" } }
files["scripts/rules/spec/**"] = { std = "+busted", ignore = { "113" } }
exclude_files = { "docs/api.lua" } -- annotations of what rules can name: nothing runs it
files["docs/cookbook/**"] = { ignore = { "113" } }
