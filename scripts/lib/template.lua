-- template: texts with places to fill, after Mustache. Pure Lua.
--
--   {{name}}              the value, escaped; always escaped: there is no way to say otherwise
--   {{#name}}..{{/name}}  for each of a list; once for another value; not at all for nil, false and an empty list
--   {{^name}}..{{/name}}  where # would show nothing
--   {{.}}                 the value itself, in a list of texts
--   {{> name}}            another template, in its place
--
-- A name is looked up in the innermost value first. A value that is nowhere raises: a mail never has a hole. A tag of
-- #, ^, / or > that is alone on its line takes the line with it.

local M = {}

local function look_up(stack, name)
  if name == "." then return stack[#stack] end
  for i = #stack, 1, -1 do
    local scope = stack[i]
    if type(scope) == "table" and scope[name] ~= nil then return scope[name] end
  end
  return nil
end

local function is_shown(value)
  return value ~= nil and value ~= false and not (type(value) == "table" and next(value) == nil)
end

-- ---- reading ------------------------------------------------------------------------------------------------------

local function without_lonely_lines(text)
  local lines = {}
  for line in text:gmatch("[^\n]*\n?") do
    local tag = line:match("^[ \t]*({{[#^/>][^}]*}})[ \t]*\n$")
    lines[#lines + 1] = tag or line
  end
  return table.concat(lines)
end

local function wrong(what, name)
  error("template: " .. what .. " {{" .. name .. "}}", 0)
end

local parse

-- Reads nodes into `nodes` from `at` to the end of the section `open` (nil: of the text). Returns where it ended.
local function read(text, at, open, nodes, partial)
  while true do
    local first, last, sign, name = text:find("{{([#^/>]?)%s*([%w_.]+)%s*}}", at)
    nodes[#nodes + 1] = text:sub(at, (first or 0) - 1)
    if not first then
      if open then wrong("no end of", open) end
      return nil
    end
    at = last + 1
    if sign == "/" then
      if name ~= open then wrong("unexpected", "/" .. name) end
      return at
    elseif sign == ">" then
      nodes[#nodes + 1] = { sign = ">", nodes = parse(partial(name) or wrong("there is no", "> " .. name), partial) }
    elseif sign == "" then
      nodes[#nodes + 1] = { sign = "", name = name }
    else
      local node = { sign = sign, name = name, nodes = {} }
      at = read(text, at, name, node.nodes, partial)
      nodes[#nodes + 1] = node
    end
  end
end

function parse(text, partial)
  local nodes = {}
  read(without_lonely_lines(text), 1, nil, nodes, partial)
  return nodes
end

-- ---- filling ------------------------------------------------------------------------------------------------------

local write

local function write_section(node, stack, out, escape)
  local value = look_up(stack, node.name)
  local list = type(value) == "table" and value[1] ~= nil and value or { value }
  for _, each in ipairs(list) do
    stack[#stack + 1] = each
    write(node.nodes, stack, out, escape)
    stack[#stack] = nil
  end
end

local function write_value(node, stack, out, escape)
  local value = look_up(stack, node.name)
  if value == nil or type(value) == "table" then wrong("nothing to write for", node.name) end
  out[#out + 1] = escape(tostring(value))
end

function write(nodes, stack, out, escape)
  for _, node in ipairs(nodes) do
    if type(node) == "string" then
      out[#out + 1] = node
    elseif node.sign == "" then
      write_value(node, stack, out, escape)
    elseif node.sign == ">" then
      write(node.nodes, stack, out, escape)
    elseif is_shown(look_up(stack, node.name)) == (node.sign == "#") then
      if node.sign == "#" then write_section(node, stack, out, escape) else write(node.nodes, stack, out, escape) end
    end
  end
end

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

-- For text between tags and for quoted attributes of HTML.
function M.html(text)
  return (text:gsub("[&<>\"']", ENTITIES))
end

-- For plain text: nothing is special in it.
function M.text(text)
  return text
end

-- template.compile(text, partial) -> what fill takes, to be kept: `partial(name)` returns the text of {{> name}}, or
-- nil. Raises for a malformed template.
function M.compile(text, partial)
  return parse(text, partial or function() end)
end

-- template.fill(compiled, model, escape, outer) -> text. `escape` is template.html or template.text; in `outer`, a
-- table, what the model does not have is looked up. Raises for a value that is nowhere.
function M.fill(compiled, model, escape, outer)
  local out = {}
  write(compiled, { outer or model, model }, out, escape)
  return table.concat(out)
end

-- Both at once, for a text that is used once.
function M.render(text, model, escape, partial)
  return M.fill(M.compile(text, partial), model, escape)
end

return M
