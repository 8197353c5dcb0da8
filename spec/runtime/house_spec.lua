-- The house: which room may lean on which (docs/architecture.md, "Arrows").

local lines_of = require("spec.support.shell").lines

local function files(folder, pattern)
  return lines_of(("find %s -type f -name '%s' -not -path '*/node_modules/*' | LC_ALL=C sort"):format(folder, pattern))
end

local function read(path) return assert(fastr.files.read(path)) end

-- The text of a Lua file without its comments (a `--` within a text would go, too: nothing here depends on one).
local function code_of(path)
  local text = read(path):gsub("%-%-%[%[.-%]%]", "")
  return (text:gsub("%-%-[^\n]*", ""))
end

-- The names that a Lua file requires; of a name that is put together, its beginning.
local function required(path)
  local names = {}
  for name in code_of(path):gmatch("require[%s%(,]*[\"']([%w_./-]+)[\"']") do names[#names + 1] = name end
  return names
end

local function included(path)
  local names = {}
  for name in read(path):gmatch('#include "([^"]+)"') do names[#names + 1] = name end
  return names
end

-- The parts of fastr that a Lua file uses.
local function used(path)
  local names = {}
  for name in code_of(path):gmatch("%f[%w_]fastr%.([%w_]+)") do names[#names + 1] = name end
  return names
end

-- Fails with one line for each thing that leans where it may not.
local function none(wrong)
  assert.same({}, wrong)
end

local function starts_with_one_of(name, beginnings)
  for _, beginning in ipairs(beginnings) do
    if name:sub(1, #beginning) == beginning then return true end
  end
  return false
end

-- Of each file of a folder: may it have each of the names that `names_of` finds in it?
local function check(folder, pattern, names_of, says, may)
  local wrong = {}
  for _, path in ipairs(files(folder, pattern)) do
    for _, name in ipairs(names_of(path)) do
      if not may(path, name) then wrong[#wrong + 1] = path .. says .. name end
    end
  end
  none(wrong)
end

local function check_includes(folder, may) check(folder, "*.[ch]", included, " includes ", may) end

local function check_requires(folder, allowed_of)
  check(folder, "*.lua", required, " requires ", function(path, name)
    return starts_with_one_of(name, allowed_of(path))
  end)
end

local function check_pure(folder)
  check(folder, "*.lua", used, " uses fastr.", function(_, name) return name == "money" or name == "text" end)
end

describe("the runtime", function()
  it("includes nothing but itself; main.c alone knows the list of the bindings", function()
    check_includes("runtime", function(path, name)
      return name:find("^runtime/") or path == "runtime/main.c" and name == "bindings/bindings.h"
    end)
  end)

  it("knows no service and no SQL", function()
    local wrong = {}
    for _, path in ipairs(files("runtime", "*.[ch]")) do
      local text = read(path):gsub("/%*.-%*/", "")
      for _, word in ipairs { '"cart', '"order', '"product', '"payment', '"SELECT', '"INSERT', '"UPDATE' } do
        if text:find(word, 1, true) then wrong[#wrong + 1] = path .. " says " .. word end
      end
    end
    none(wrong)
  end)
end)

describe("a binding", function()
  -- Files of one Lua module share its headers: pg_conn.c belongs to pg. fastr.money is in three files.
  local FAMILY = { amount = "money", ledger = "money" }
  -- What hands a part of the runtime to Lua has that part for its library.
  local PART = { json = { "json" }, stream = { "stream" }, task = { "task" }, host = { "control" },
    rules = { "sandbox", "lines", "trial" }, money = { "sandbox" }, text = { "sandbox" } }

  local function family(path)
    local name = path:match("^bindings/([%w]+)")
    return FAMILY[name] or name
  end

  local function allowed(path, name)
    if name == "runtime/fastr.h" or name == "runtime/json.h" or name == "bindings/util.h" then return true end
    local own = family(path)
    if name:find("^bindings/") then return family(name) == own end
    for _, part in ipairs(PART[own] or {}) do
      if name == "runtime/" .. part .. ".h" then return true end
    end
    return false
  end

  it("includes runtime/fastr.h, runtime/json.h, bindings/util.h and its own; never another binding", function()
    check_includes("bindings", allowed)
  end)
end)

describe("a script", function()
  it("of lib leans on lib alone, and is pure", function()
    check_requires("scripts/lib", function() return { "lib." } end)
    check_pure("scripts/lib")
  end)

  it("of the platform leans on lib, platform and the page shop.lua; declaration.lua alone loads services", function()
    check_requires("scripts/platform", function(path)
      return { "lib.", "platform.", "shop", path:find("declaration%.lua$") and "services." or "lib." }
    end)
  end)

  -- What tools of the command line lean on; no worker loads these files.
  local ELSEWHERE = {
    ["scripts/services/rules/catalogue.lua"] = "data.", -- the checkout's own
    ["scripts/services/rules/tools/specs.lua"] = "busted", -- runs the specs of packs
  }

  it("of a service leans on lib, platform and its own folder, never on another service", function()
    check_requires("scripts/services", function(path)
      local own = "services." .. path:match("^scripts/services/(%w+)/") .. "."
      return { "lib.", "platform.", own, ELSEWHERE[path] or own }
    end)
  end)

  it("of the rules sees lib, the pack itself, fastr.money and fastr.text; nothing that waits", function()
    check("scripts/rules", "*.lua", required, " requires ", function(_, name)
      return not starts_with_one_of(name, { "platform.", "services.", "data." })
    end)
    check_pure("scripts/rules")
  end)

  it("main.lua asks platform.boot and nobody else", function()
    assert.same({ "platform.boot" }, required("scripts/main.lua"))
  end)
end)

describe("SQL", function()
  local STATEMENTS = { "insert%s+into%s", "delete%s+from%s", "update%s+[%w_.]+%s+set%s", "select%s.-%sfrom%s",
    "create%s+table%s" }

  local function has_sql(path)
    local text = code_of(path):lower()
    for _, pattern in ipairs(STATEMENTS) do
      for at in text:gmatch("()" .. pattern) do
        -- Within a text: a quote or a long bracket before it, on its line or as the text's beginning.
        local before = text:sub(1, at - 1)
        if before:match("[\"']%s*$") or before:match("%[%[[^%]]*$") then return true end
      end
    end
    return false
  end

  it("of a service is in its store.lua alone (the vault's in vault_store.lua); of the platform in platform/", function()
    local wrong = {}
    for _, path in ipairs(files("scripts", "*.lua")) do
      local may = path:find("store%.lua$") or path:find("^scripts/platform/")
      if not may and has_sql(path) then wrong[#wrong + 1] = path end
    end
    none(wrong)
  end)

  it("is found by this spec where it is", function()
    assert.is_true(has_sql("scripts/services/cart/store.lua"))
    assert.is_true(has_sql("scripts/platform/outbox.lua"))
  end)

  it("names no schema of another service", function()
    local wrong, services = {}, {}
    for _, folder in ipairs(lines_of("ls sql")) do services[folder] = true end
    for _, path in ipairs(files("scripts", "*store.lua")) do
      for name in code_of(path):lower():gmatch("%f[%w](%w+)%.[%w_]+%s") do
        local as_table = services[name] and code_of(path):lower():find("[from|join|into|update]%s+" .. name .. "%.")
        if as_table then wrong[#wrong + 1] = path .. " names the schema " .. name end
      end
    end
    none(wrong)
  end)
end)

describe("the map in docs/architecture.md", function()
  local FOLDERS = { "runtime", "bindings", "scripts", "bin", "conf", "sql", "bench" }

  -- "pg_*.c" and "pg.[ch]" as Lua patterns; a star is within one folder.
  local function pattern_of(glob)
    return "^" .. glob:gsub("[%.%-%+%?%(%)%^%$%%]", "%%%0"):gsub("%*", "[^/]*") .. "$"
  end

  -- List of {pattern, sentence, line, used} of the section "Every file".
  local function entries()
    local list, folder = {}, nil
    local section = read("docs/architecture.md"):match("\n## Every file\n(.*)$") or ""
    for line in section:gmatch("[^\n]+") do
      folder = line:match("^### `([%w/]+)`") or folder
      local glob, sentence = line:match("^%- `([^`]+)`: (.*)$")
      if glob then
        list[#list + 1] = { pattern = pattern_of(folder .. glob), sentence = sentence, line = line }
      end
    end
    return list
  end

  local function named(list, path)
    local found = false
    for _, entry in ipairs(list) do
      if path:find(entry.pattern) then entry.used, found = true, true end
    end
    return found
  end

  local function paths()
    local list = lines_of("find " .. table.concat(FOLDERS, " ")
      .. " -type f -not -path '*/node_modules/*' -not -name '*.pyc' -not -name '*.md' | LC_ALL=C sort")
    for _, folder in ipairs(lines_of("find spec -mindepth 1 -maxdepth 1 -type d")) do list[#list + 1] = folder end
    return list
  end

  it("has a sentence for every file, and a file for every sentence", function()
    local list, wrong = entries(), {}
    for _, path in ipairs(paths()) do
      if not named(list, path) then wrong[#wrong + 1] = path .. " is not named" end
    end
    for _, entry in ipairs(list) do
      if not entry.used then wrong[#wrong + 1] = "no file: " .. entry.line end
      if not entry.sentence:find("^%S.*[%.%?]$") then wrong[#wrong + 1] = "no sentence: " .. entry.line end
    end
    none(wrong)
  end)

  it("names only files that are there, in every chapter", function()
    local wrong = {}
    for path in read("docs/architecture.md"):gmatch("`([%w_]+/[%w_./-]+%.%w+)`") do
      local there = path:find("NNN", 1, true) or path:find("^var/") or path:find("^secrets/")
      for _, folder in ipairs { "", "scripts/", "scripts/services/", "scripts/rules/", "bin/", "conf/", "bench/" } do
        there = there or fastr.files.read(folder .. path)
      end
      if not there then wrong[#wrong + 1] = path end
    end
    none(wrong)
  end)
end)

describe("the balancer", function()
  -- conf/services: "name instances prefix ..."; those with a slash before them are pages.
  local function prefixes()
    local of = {}
    for line in read("conf/services"):gmatch("[^\n]+") do
      local name, rest = line:match("^(%l+)%s+%S+%s*(.*)$")
      if name then of[name] = " " .. rest .. " " end
    end
    return of
  end

  local function leads_to(list, path)
    for prefix in list:gmatch("%S+") do
      local from = "/" .. prefix:gsub("^/", "")
      if path == from or path:sub(1, #from + 1) == from .. "/" then return true end
    end
    return false
  end

  it("leads to every path that a service declares: one that it does not know works in a single process only", function()
    local of, wrong = prefixes(), {}
    for _, path in ipairs(files("scripts/services", "init.lua")) do
      local name = path:match("services/(%l+)/")
      for route in code_of(path):gmatch('%f[%w]path = "(/[^"]*)"') do
        local is_known = leads_to(of[name], route) or route == "/no-such-page"
        if not is_known and name ~= "provider" then wrong[#wrong + 1] = name .. ": " .. route end
      end
    end
    none(wrong)
  end)
end)
