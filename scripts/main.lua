-- main: what the runtime runs to get the program (docs/architecture.md, "The program").
-- `...` is the list of services that this process serves, as a table.

return require("platform.boot").program(...)
