-- places: where in a file a message points, and the message shown with that line and a caret below it.

local M = {}

-- ---- within a line ------------------------------------------------------------------------------------------------

-- Where a text stands in a line, as a whole word if it is one: from, to; or nil.
local function find_word(line, word)
  local at = 1
  while true do
    local from, to = line:find(word, at, true)
    if not from then return nil end
    local inside = word:find("^[%w_]") and line:sub(from - 1, from - 1):find("[%w_]")
      or word:find("[%w_]$") and line:sub(to + 1, to + 1):find("[%w_]")
    if not inside then return from, to end
    at = from + 1
  end
end

-- What a message is about, the likeliest first: what it quotes (not the cure), the last field of its path
-- ("[1].conditions.min_total: ..."), the field of a list ("when[1] is not ...").
local function subjects(message)
  local list = {}
  for word in message:gsub("%(did you mean.*", ""):gmatch("'([^'\n]+)'") do list[#list + 1] = word end
  local path = message:match("^%[%d+%]([%w_%.%[%]]*): ")
  if path then list[#list + 1] = path:match("([%a_][%w_]*)[%[%]%d]*$") end
  list[#list + 1] = message:match("^([%a_]+)%[%d+%] ")
  return list
end

local function subject_in(line, message)
  for _, word in ipairs(subjects(message)) do
    local from, to = find_word(line, word)
    if from then return from, to end
  end
end

-- Where in the line the message points: what it is about, the word it begins with where that is called ("at_least needs
-- a number"), or all of the line.
local function spot(line, message)
  local from, to = subject_in(line, message)
  if from then return from, to end
  local called = message:match("^([%a_][%w_]+)[: ]")
  from, to = find_word(line, called or "")
  if called and from and line:find("^%s*[%({\"']", to + 1) then return from, to end
  return line:find("%S"), #line
end

-- ---- within a file ------------------------------------------------------------------------------------------------

-- From which line to which the n-th entry goes of the list that a file returns: by its braces; texts and comments are
-- left out as far as a line goes.
local function entry(lines, n)
  local depth, count, first = 0, 0, nil
  for number, line in ipairs(lines) do
    local code = line:gsub('"[^"]*"', ""):gsub("'[^']*'", ""):gsub("%-%-.*", "")
    for brace in code:gmatch("[{}]") do
      depth = depth + (brace == "{" and 1 or -1)
      if brace == "{" and depth == 2 then count = count + 1 end
      if count == n and not first then first = number end
      if count == n and brace == "}" and depth == 1 then return first, number end
    end
  end
  return 1, #lines
end

-- The number of the line in which a message names what it is about, or nil. It knows the file, or an entry of its list.
local function named(lines, message)
  local n = message:match("^%[(%d+)%]")
  local from, to = 1, #lines
  if n then from, to = entry(lines, tonumber(n)) end
  for _, word in ipairs(subjects(message)) do
    for number = from, to do
      if find_word(lines[number], word) then return number end
    end
  end
  return n and from or nil
end

-- The number of the line that a message is about: the one it gives, that of the example it names, or, where it knows
-- the file alone (line 1), the first that has what it is about.
local function line_of(lines, given, message)
  local example = message:match("^example %d+ %((.-)%)") or message:match("of example %d+ %((.-)%)")
  for number, line in ipairs(example and lines or {}) do
    if line:find('"' .. example .. '"', 1, true) then return number end
  end
  return given == 1 and named(lines, message) or given
end

-- "FILE:6: unknown name 'categry'" of a file at `path`: with its column, and below its first line the line of the file
-- and a caret; nil if there is no such line. `message`: what follows the place.
function M.shown(path, given, message)
  local file = io.open(path, "r")
  if not file then return nil end
  local lines = {}
  for line in file:lines() do lines[#lines + 1] = line:gsub("[%z\1-\8\11-\31\127]", "?") end -- a terminal would obey
  file:close()
  local first, rest = message:match("^([^\n]*)(.*)$")
  local number = line_of(lines, given, first)
  local line = lines[number]
  if not line or not line:find("%S") then return nil end
  local from, to = spot(line, first)
  local margin = (" "):rep(#tostring(number))
  return ("%s:%d:%d: %s\n  %d | %s\n  %s | %s^%s%s"):format(path, number, from, first, number, line, margin,
    line:sub(1, from - 1):gsub("[^\t]", " "), ("~"):rep(to - from), rest)
end

return M
