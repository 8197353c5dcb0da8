-- shape: what a value must look like, said once: checked on the way in and out, and shown as JSON Schema.
-- Pure Lua, leans on lib/sorted. A shape is built once, at load; its check is a chain of closures that allocates
-- nothing while the value is right, and lists every error, each with its path, when it is not.
--
--   local line = shape.object{ sku = shape.text{min = 1, max = 40}, quantity = shape.integer{min = 1, max = 999} }
--   shape.check(line, {sku = "A", quantity = 0})   -->  nil, {{path = "quantity", problem = "must be at least 1"}}
--
-- What is refused: fields that no shape names, null where no nullable() allows it, numbers in quotes, fractions where
-- an integer is due, control characters in one-line texts (they end up in headers and mails).
-- Values are those of fastr.json: null is a light userdata, an empty list carries a metatable, an object does not.

local sorted = require "lib.sorted"

local M = {}

local byte, find, match, format = string.byte, string.find, string.match, string.format
local floor = math.floor
local MOST_STRANGE = 20 -- fields that an object should not have are listed up to so many
local LARGEST = 9007199254740991 -- 2^53 - 1, the largest integer that JSON's readers agree on

local Shape = {}
Shape.__index = Shape

-- A shape: `check(value)` returns nil, or a list of {path, problem} with paths below the value; `schema(defs)` returns
-- its JSON Schema; `parse(text)` turns the text of a path or a query into a value (the text itself if it cannot).
local function new(kind, options, check, schema, parse)
  return setmetatable({ kind = kind, doc = options and options.doc, name = options and options.name,
    check = check, schema = schema, parse = parse or function(text) return text end }, Shape)
end

-- A ready shape that can also be called with options: shape.boolean and shape.boolean{doc = "..."} are both shapes.
local function callable(build)
  local ready = build({})
  return setmetatable(ready, { __index = Shape, __call = function(_, options) return build(options or {}) end })
end

local function wrong(problem)
  return { { path = "", problem = problem } }
end

local function is_shape(value)
  return type(value) == "table" and type(value.check) == "function" and type(value.schema) == "function"
end

local function expect_shape(value, what)
  if not is_shape(value) then error(what .. " must be a shape, got " .. type(value), 3) end
  return value
end

local function kind_of(value)
  local kind = type(value)
  if kind == "userdata" then return "null" end
  if kind ~= "table" then return kind == "string" and "a text" or "a " .. kind end
  return (value[1] ~= nil or getmetatable(value) ~= nil) and "a list" or "an object"
end

local function join(name, path)
  if path == "" then return name end
  if byte(path) == 91 then return name .. path end -- "[": an index follows its list without a dot
  return name .. "." .. path
end

-- A name that somebody sent, as an error may repeat it: only what looks like a name. Anything else may be a secret in
-- the wrong place, or long.
local function shown(name)
  if #name <= 64 and find(name, "^[%a_][%w_.-]*$") and not find(name, "%d%d%d%d%d%d") then return name end
  return "(a name not shown here)"
end

M.shown = shown

local function collect(errors, below, name)
  errors = errors or {}
  for _, e in ipairs(below) do
    errors[#errors + 1] = { path = join(name, e.path), problem = e.problem }
  end
  return errors
end

-- ---- texts -------------------------------------------------------------------------------------------------------

local function code_points(text)
  local _, following = text:gsub("[\128-\191]", "")
  return #text - following
end

local function is_date(text)
  local y, m, d = match(text, "^(%d%d%d%d)%-(%d%d)%-(%d%d)$")
  if not y then return false end
  y, m, d = tonumber(y), tonumber(m), tonumber(d)
  local leap = y % 4 == 0 and (y % 100 ~= 0 or y % 400 == 0)
  local days = { 31, leap and 29 or 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
  return m >= 1 and m <= 12 and d >= 1 and d <= days[m]
end

local function is_date_time(text)
  local date, h, m, s, rest = match(text, "^(%d%d%d%d%-%d%d%-%d%d)[Tt](%d%d):(%d%d):(%d%d)(.*)$")
  if not date or not is_date(date) then return false end
  if tonumber(h) > 23 or tonumber(m) > 59 or tonumber(s) > 60 then return false end
  rest = rest:gsub("^%.%d+", "")
  if rest == "Z" or rest == "z" then return true end
  local oh, om = match(rest, "^[+-](%d%d):(%d%d)$")
  return oh ~= nil and tonumber(oh) < 24 and tonumber(om) < 60
end

-- The practical part of RFC 5321 and 5322: dot-atom local part (1 to 64), a domain of at least two labels.
local function is_email(text)
  local name, domain = match(text, "^([%w!#$%%&'*+/=?^_`{|}~.-]+)@([%w.-]+)$")
  if not name or #name > 64 or #text > 254 then return false end
  if find(name, "^%.") or find(name, "%.$") or find(name, "..", 1, true) then return false end
  if not find(domain, ".", 1, true) or find(domain, "..", 1, true) then return false end
  for label in (domain .. "."):gmatch("([^.]*)%.") do
    if label == "" or #label > 63 or find(label, "^%-") or find(label, "%-$") then return false end
  end
  return true
end

local function is_uuid(text)
  return #text == 36 and find(text, "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$") ~= nil
end

local FORMATS = {
  email = { is_email, "must be an e-mail address" },
  uuid = { is_uuid, "must be a UUID" },
  date = { is_date, "must be a date, as 2026-11-27" },
  ["date-time"] = { is_date_time, "must be a time as in RFC 3339: 2026-11-27T12:00:00Z" },
  uri = { function(t) return find(t, "^https?://[%w.%-]+[:/?#]?[^%s%c]*$") ~= nil end,
    "must be an http or https address" },
  country = { function(t) return find(t, "^%u%u$") ~= nil end,
    "must be a country code of two capitals (ISO 3166), as GB", "^[A-Z]{2}$" },
  currency = { function(t) return find(t, "^%u%u%u$") ~= nil end,
    "must be a currency code of three capitals (ISO 4217), as GBP", "^[A-Z]{3}$" },
  digits = { function(t) return find(t, "^%d+$") ~= nil end, "must be digits only", "^[0-9]+$" },
  hex = { function(t) return find(t, "^%x+$") ~= nil end, "must be hexadecimal digits", "^[0-9A-Fa-f]+$" },
  sha256 = { function(t) return #t:gsub("^sha256:", "") == 64 and find(t:sub(-64), "^%x+$") ~= nil end,
    "must be a SHA-256: 64 hexadecimal digits, maybe after sha256:", "^(sha256:)?[0-9A-Fa-f]{64}$" },
  token = { function(t) return find(t, "^[%w_.~-]+$") ~= nil end, "must be letters, digits, and any of _ . ~ -",
    "^[A-Za-z0-9_.~-]+$" },
}
FORMATS.url = FORMATS.uri

local function text_schema(options)
  local checked = options.format and FORMATS[options.format]
  local schema = { type = "string", description = options.doc, minLength = options.min, maxLength = options.max,
    example = options.example }
  if not checked then
    schema.pattern = not options.lines and "^[^\\u0000-\\u001F\\u007F]*$" or nil
  elseif checked[3] then
    schema.pattern = checked[3]
  else
    schema.format = options.format == "url" and "uri" or options.format
  end
  return schema
end

-- A text of `min` to `max` characters (code points) and, if given, of a `format` (see FORMATS). One line unless
-- `lines` is true, which lets tabs and line ends through and no other control character.
function M.text(options)
  options = options or {}
  local min, max, lines = options.min or 0, options.max or math.huge, options.lines
  local checked = options.format and FORMATS[options.format]
  if options.format and not checked then error("shape.text: unknown format " .. options.format, 2) end
  local fits, otherwise = checked and checked[1], checked and checked[2]
  local function check(value)
    if type(value) ~= "string" then return wrong("must be a text, not " .. kind_of(value)) end
    local length = #value
    if length > max or (min > 1 and length >= min) then length = code_points(value) end
    if length < min then
      return wrong(min == 1 and "must not be empty" or format("must have at least %d characters", min))
    end
    if length > max then return wrong(format("must have at most %d characters", max)) end
    if find(value, "%c") and (not lines or find(value, "[%z\1-\8\11\12\14-\31\127]")) then
      return wrong("must not contain control characters")
    end
    if fits and not fits(value) then return wrong(otherwise) end
  end
  return new("text", options, check, function() return text_schema(options) end)
end

-- One of the listed texts: shape.enum{"new", "paid", doc = "..."}.
function M.enum(options)
  local known, list = {}, {}
  for i, value in ipairs(options) do
    known[value], list[i] = true, value
  end
  local problem = "must be one of " .. table.concat(list, ", ")
  local function check(value)
    if type(value) ~= "string" or not known[value] then return wrong(problem) end
  end
  return new("enum", options, check, function()
    return { type = "string", enum = list, description = options.doc }
  end)
end

-- ---- numbers -----------------------------------------------------------------------------------------------------

local function number_schema(kind, options, min, max)
  return { type = kind, minimum = min, maximum = max, description = options.doc, example = options.example }
end

local function range(value, min, max)
  if value < min then return wrong("must be at least " .. format("%.15g", min)) end
  if value > max then return wrong("must be at most " .. format("%.15g", max)) end
end

-- A whole number from `min` to `max`; within 2^53 whatever they say. In a path or a query: decimal digits.
function M.integer(options)
  options = options or {}
  local min, max = options.min or -LARGEST, options.max or LARGEST
  local function check(value)
    if type(value) ~= "number" then return wrong("must be an integer, not " .. kind_of(value)) end
    if value ~= floor(value) or value - value ~= 0 then return wrong("must be a whole number") end
    if value < min or value > max then return range(value, min, max) end
  end
  return new("integer", options, check, function() return number_schema("integer", options, min, max) end,
    function(text) return find(text, "^-?%d+$") and #text <= 17 and tonumber(text) or text end)
end

-- A finite number from `min` to `max`. Never for money.
function M.number(options)
  options = options or {}
  local min, max = options.min or -math.huge, options.max or math.huge
  local function check(value)
    if type(value) ~= "number" then return wrong("must be a number, not " .. kind_of(value)) end
    if value - value ~= 0 then return wrong("must be a finite number") end
    if value < min or value > max then return range(value, min, max) end
  end
  return new("number", options, check, function() return number_schema("number", options, options.min, options.max) end,
    function(text) return find(text, "^-?%d+%.?%d*$") and tonumber(text) or text end)
end

local BOOLEANS = { ["true"] = true, ["false"] = false }

M.boolean = callable(function(options)
  local function check(value)
    if type(value) ~= "boolean" then return wrong("must be true or false") end
  end
  return new("boolean", options, check, function() return { type = "boolean", description = options.doc } end,
    function(text)
      if BOOLEANS[text] == nil then return text end
      return BOOLEANS[text]
    end)
end)

-- Any JSON value: for what another owner has checked, or will (facts, traces).
M.any = callable(function(options)
  return new("any", options, function() end, function() return { description = options.doc } end)
end)

-- The body of a request as the text that came: a JSON object that its owner reads and checks as strictly (facts, by
-- the rules). For bodies only.
M.json_text = callable(function(options)
  local self = new("json_text", options, function(value)
    if type(value) ~= "string" then return wrong("must be a text, not " .. kind_of(value)) end
  end, function() return { type = "object", description = options.doc } end)
  self.is_text = true
  return self
end)

-- ---- lists and objects -------------------------------------------------------------------------------------------

local function count(n, word)
  return format("%d %s%s", n, word, n == 1 and "" or "s")
end

-- A list of `of`, with `min` to `max` entries.
function M.list(of, options)
  options = options or {}
  local min, max, below = options.min or 0, options.max or math.huge, expect_shape(of, "shape.list: the entry").check
  local function check(value)
    if type(value) ~= "table" or (value[1] == nil and getmetatable(value) == nil) then
      return wrong("must be a list, not " .. kind_of(value))
    end
    local n = #value
    if n < min then return wrong("must have at least " .. count(min, "entry"):gsub("entrys", "entries")) end
    if n > max then return wrong("must have at most " .. count(max, "entry"):gsub("entrys", "entries")) end
    local errors
    for i = 1, n do
      local found = below(value[i])
      if found then errors = collect(errors, found, format("[%d]", i - 1)) end
    end
    return errors
  end
  return new("list", options, check, function(defs)
    return { type = "array", items = M.openapi(of, defs), minItems = options.min, maxItems = options.max,
      description = options.doc }
  end)
end

local function object_schema(fields, names, options, defs)
  local schema = { type = "object", properties = {}, description = options.doc, additionalProperties = false }
  for _, name in ipairs(names) do
    schema.properties[name] = M.openapi(fields[name], defs)
    if not fields[name].is_optional then
      schema.required = schema.required or {}
      table.insert(schema.required, name)
    end
  end
  if options.open then schema.additionalProperties = nil end
  return schema
end

-- An object with exactly these fields; those wrapped in optional() may be absent. `options.name` makes it a named
-- schema of the OpenAPI document, `options.open` lets unknown fields through (for what others send us).
function M.object(fields, options)
  options = options or {}
  local names = sorted.keys(fields)
  local checks, required, total = {}, {}, #names
  for i, name in ipairs(names) do
    checks[i] = expect_shape(fields[name], "shape.object: field " .. tostring(name)).check
    required[i] = not fields[name].is_optional
  end
  local function unknown(value, errors)
    local strange = {}
    for name in next, value do
      if not fields[name] and #strange < MOST_STRANGE then strange[#strange + 1] = name end
    end
    table.sort(strange)
    for _, name in ipairs(strange) do
      errors = collect(errors, wrong("is not known here; known: " .. table.concat(names, ", ")), shown(name))
    end
    return errors
  end
  local function check(value)
    if type(value) ~= "table" or value[1] ~= nil or getmetatable(value) ~= nil then
      return wrong("must be an object, not " .. kind_of(value))
    end
    local errors, present = nil, 0
    for i = 1, total do
      local field = value[names[i]]
      if field ~= nil then
        present = present + 1
        local found = checks[i](field)
        if found then errors = collect(errors, found, names[i]) end
      elseif required[i] then
        errors = collect(errors, wrong("is missing"), names[i])
      end
    end
    if options.open then return errors end
    for _ in next, value do present = present - 1 end
    if present ~= 0 then errors = unknown(value, errors) end
    return errors
  end
  local self = new("object", options, check, function(defs) return object_schema(fields, names, options, defs) end)
  self.fields = fields
  return self
end

-- An object of any keys whose values are all `of`; keys are 1 to `options.key_max` (default 200) bytes.
function M.map(of, options)
  options = options or {}
  local below, key_max = expect_shape(of, "shape.map: the value").check, options.key_max or 200
  local function check(value)
    if type(value) ~= "table" or value[1] ~= nil or getmetatable(value) ~= nil then
      return wrong("must be an object, not " .. kind_of(value))
    end
    local errors
    for key, item in pairs(value) do
      local found = below(item)
      if type(key) ~= "string" or key == "" or #key > key_max then found = wrong("is no usable key") end
      if found then errors = collect(errors, found, tostring(key)) end
    end
    return errors
  end
  return new("map", options, check, function(defs)
    return { type = "object", additionalProperties = M.openapi(of, defs), description = options.doc }
  end)
end

-- ---- wrappers ----------------------------------------------------------------------------------------------------

-- A field that may be absent. It may not be null; that is nullable().
function M.optional(of, options)
  expect_shape(of, "shape.optional: the value")
  local self = new(of.kind, { doc = options and options.doc or of.doc }, of.check, of.schema, of.parse)
  self.is_optional, self.of, self.name, self.fields = true, of, of.name, of.fields
  return self
end

-- A value that may be null: "take it away" in a PATCH, "there is none" in a reply.
function M.nullable(of, options)
  local below = expect_shape(of, "shape.nullable: the value").check
  local self = new(of.kind, { doc = options and options.doc or of.doc }, function(value)
    if type(value) == "userdata" then return nil end
    return below(value)
  end, function(defs)
    return { anyOf = { M.openapi(of, defs), { type = "null" } }, description = of.doc }
  end, of.parse)
  self.is_optional = of.is_optional
  return self
end

-- How far a value is from a shape: an error about the value itself (a list for an object) weighs most.
local function distance(errors)
  for _, e in ipairs(errors) do
    if e.path == "" then return (find(e.problem, ", not ", 1, true) and 2000 or 1000) + #errors end
  end
  return #errors
end

-- "email and password", if nothing but these fields is wrong: they are missing.
local function missing(errors)
  local names = {}
  for i, e in ipairs(errors) do
    if e.problem ~= "is missing" then return nil end
    names[i] = e.path
  end
  return table.concat(names, " and ")
end

-- Where each choice lacks something and nothing else is wrong, nobody can know which was meant: all are named.
local function lacking(all)
  local needs = {}
  for i, errors in ipairs(all) do
    needs[i] = missing(errors)
    if not needs[i] then return nil end
  end
  return wrong("needs " .. table.concat(needs, ", or "))
end

-- The first of several shapes that fits. The errors shown are those of the shape that came closest.
function M.one_of(options)
  local checks, shapes = {}, {}
  for i, of in ipairs(options) do
    checks[i], shapes[i] = expect_shape(of, "shape.one_of: choice " .. i).check, of
  end
  local function check(value)
    local best, all = nil, {}
    for i = 1, #checks do
      local found = checks[i](value)
      if not found then return nil end
      all[i] = found
      if not best or distance(found) < distance(best) then best = found end
    end
    return lacking(all) or best
  end
  return new("one_of", options, check, function(defs)
    local list = {}
    for i, of in ipairs(shapes) do list[i] = M.openapi(of, defs) end
    return { anyOf = list, description = options.doc }
  end)
end

-- Money of the public API: integer minor units and a currency. `min` and `max` bound the amount.
M.money = callable(function(options)
  local self = M.object({
    amount = M.integer{ min = options.min, max = options.max, doc = "in minor units (pence)" },
    currency = M.text{ format = "currency", min = 3, max = 3 },
  }, { doc = options.doc })
  return self
end)

-- ---- what callers use ----------------------------------------------------------------------------------------------

-- Returns `value`, or nil and a list of {path, problem}: "lines[0].quantity", "must be at least 1". The path of the
-- value itself is "".
function M.check(shape, value)
  local errors = shape.check(value)
  if errors then return nil, errors end
  return value
end

-- Is `text` well-formed UTF-8 (RFC 3629)? JSON was checked when it was decoded; a percent-decoded query was not.
function M.is_utf8(text)
  if not find(text, "[\128-\255]") then return true end
  local rest = text:gsub("\240[\144-\191][\128-\191][\128-\191]", " ")
    :gsub("[\241-\243][\128-\191][\128-\191][\128-\191]", " "):gsub("\244[\128-\143][\128-\191][\128-\191]", " ")
    :gsub("\224[\160-\191][\128-\191]", " "):gsub("\237[\128-\159][\128-\191]", " ")
    :gsub("[\225-\236\238\239][\128-\191][\128-\191]", " "):gsub("[\194-\223][\128-\191]", " ")
  return not find(rest, "[\128-\255]")
end

-- Checks a table of texts (of a path or a query) against an object of shapes, turning digits into numbers and
-- true/false into booleans first. Returns a new table, or nil and the list of errors.
function M.check_texts(object, texts)
  local value = {}
  for name, text in pairs(texts) do
    if not M.is_utf8(text) then return nil, { { path = name, problem = "must be UTF-8" } } end
    local field = object.fields[name]
    value[name] = text
    if field then value[name] = field.parse(text) end
  end
  return M.check(object, value)
end

-- The JSON Schema (2020-12, as OpenAPI 3.1 uses it) of a shape. `defs`, if given, collects named shapes, which are
-- then referred to.
function M.openapi(shape, defs)
  if not (defs and shape.name) then return shape.schema(defs) end
  if not defs[shape.name] then
    defs[shape.name] = true -- a placeholder, for shapes that meet themselves
    defs[shape.name] = shape.schema(defs)
  end
  return { ["$ref"] = "#/components/schemas/" .. shape.name }
end

M.is_shape = is_shape

return M
