-- reports: what the gate found, kept under the pack's hash (var/packs/HASH.report.json), and shown as text and as
-- JUnit's XML. The JSON form is the one that gate.run returns; docs/rules.md describes it.

local options = require "services.rules.options"

local M = {}

local function path_of(hash)
  return ("%s/packs/%s.report.json"):format(fastr.setting("var", "var"), (hash:gsub("^sha256:", "")))
end

-- Keeps a report: its path, or nil and why it cannot be kept. Who reads it meanwhile sees the old one or the new one.
function M.keep(result)
  if not result.hash then return nil, "the rules do not build" end
  local path = path_of(result.hash)
  local done, message = options.write(path, fastr.json.canonical(result) .. "\n")
  return done and path, message
end

-- The report of a pack, or nil if there is none that can be read.
function M.of(hash)
  local text = fastr.files.read(path_of(hash))
  local result = text and fastr.json.decode(text)
  return type(result) == "table" and type(result.checks) == "table" and result or nil
end

-- A report that is about to be made anew.
function M.forget(hash)
  os.remove(path_of(hash))
end

-- One line: "green: 9 checks", "RED at cost: ...", "not checked".
function M.line(result)
  if not result then return "not checked: fastr rules check" end
  if result.ok then return ("green: %d checks"):format(#result.checks) end
  local last = result.checks[#result.checks]
  return ("RED at %s: %s"):format(last.name, last.detail:match("^[^\n]*"))
end

-- Prints each check; what failed goes to standard error.
function M.show(result)
  for _, check in ipairs(result.checks) do
    if check.ok then
      print(("ok    %-30s %s   %d ms"):format(check.name, check.detail, check.ms))
    else
      io.stderr:write("FAIL  ", check.name, "\n", check.detail, "\n")
    end
  end
end

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\n"] = "&#10;" }

local function escape(text)
  return (text:gsub('[&<>"\n]', ESCAPES):gsub("%c", "?"))
end

-- The report as JUnit's XML: one test case a check.
function M.junit(result)
  local out = { '<?xml version="1.0" encoding="UTF-8"?>',
    ('<testsuite name="fastr rules check" tests="%d" failures="%d">'):format(#result.checks, result.ok and 0 or 1) }
  for _, check in ipairs(result.checks) do
    local head = ('  <testcase classname="rules" name="%s" time="%.3f"'):format(escape(check.name), check.ms / 1000)
    out[#out + 1] = check.ok and head .. "/>"
      or ('%s><failure message="%s"/></testcase>'):format(head, escape(check.detail))
  end
  return table.concat(out, "\n") .. "\n</testsuite>"
end

return M
