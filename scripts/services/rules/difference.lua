-- difference: what one pack changes in another, file by file and line by line.

local M = {}

-- Cells of the tables of all comparisons of two packs, which keep a process from its other requests for a quarter of a
-- second at most; files that need more are shown as replaced.
local MOST = 500000
local AROUND = 2 -- lines of what did not change, shown before and after what did

local function lines_of(text)
  local lines = {}
  if text == "" then return lines end
  for line in (text:find("\n$") and text or text .. "\n"):gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
  return lines
end

-- Lengths of the longest common subsequences of the ends of a and b, as a flat table of rows.
local function lengths(a, b, first, last_a, last_b)
  local width, of = last_b - first + 2, {}
  for i = last_a + 1, first, -1 do
    local row = (i - first) * width
    for j = last_b + 1, first, -1 do
      local at = row + j - first
      if i > last_a or j > last_b then
        of[at] = 0
      elseif a[i] == b[j] then
        of[at] = of[at + width + 1] + 1
      else
        of[at] = math.max(of[at + width], of[at + 1])
      end
    end
  end
  return of, width
end

-- List of { sign, line }: " " both have, "-" the first alone, "+" the second alone. `room`: { cells = what is left }.
local function compare(a, b, room)
  local first, last_a, last_b, out = 1, #a, #b, {}
  while first <= last_a and first <= last_b and a[first] == b[first] do
    out[#out + 1] = { " ", a[first] }
    first = first + 1
  end
  while last_a >= first and last_b >= first and a[last_a] == b[last_b] do last_a, last_b = last_a - 1, last_b - 1 end
  local cells = (last_a - first + 2) * (last_b - first + 2)
  local small = cells <= room.cells
  if small then room.cells = room.cells - cells end
  local i, j, of, width = first, first, nil, nil
  if small then of, width = lengths(a, b, first, last_a, last_b) end
  while i <= last_a or j <= last_b do
    local at = small and (i - first) * width + j - first
    if small and i <= last_a and j <= last_b and a[i] == b[j] then
      out[#out + 1] = { " ", a[i] }
      i, j = i + 1, j + 1
    elseif i <= last_a and (j > last_b or not small or of[at + width] >= of[at + 1]) then
      out[#out + 1] = { "-", a[i] }
      i = i + 1
    else
      out[#out + 1] = { "+", b[j] }
      j = j + 1
    end
  end
  for k = last_a + 1, #a do out[#out + 1] = { " ", a[k] } end
  return out
end

-- The changed lines with some around them, each "SIGN line"; "..." where lines are left out.
local function shown(list)
  local near, out, skipped = {}, {}, false
  for i, each in ipairs(list) do
    for k = i - AROUND, i + AROUND do near[k] = near[k] or each[1] ~= " " end
  end
  for i, each in ipairs(list) do
    if near[i] then
      if skipped then out[#out + 1] = "..." end
      out[#out + 1] = each[1] .. " " .. each[2]
    end
    skipped = not near[i]
  end
  return table.concat(out, "\n")
end

-- The lines that differ between two texts; "" when none do. `room`: what several comparisons may take together.
function M.of_texts(before, after, room)
  if before == after then return "" end
  return shown(compare(lines_of(before), lines_of(after), room or { cells = MOST }))
end

-- What `after` (files, as of bundle.files) changes in `before`: list of { file, change = "added" | "removed" |
-- "changed", lines }, in the order of names.
function M.of_files(before, after)
  local old, new, out, room = {}, {}, {}, { cells = MOST }
  for _, file in ipairs(before) do old[file.name] = file.text end
  for _, file in ipairs(after) do
    new[file.name] = file.text
    if old[file.name] == nil then
      out[#out + 1] = { file = file.name, change = "added", lines = M.of_texts("", file.text, room) }
    elseif old[file.name] ~= file.text then
      local lines = M.of_texts(old[file.name], file.text, room)
      out[#out + 1] = { file = file.name, change = "changed", lines = lines }
    end
  end
  for _, file in ipairs(before) do
    if new[file.name] == nil then out[#out + 1] = { file = file.name, change = "removed", lines = "" } end
  end
  table.sort(out, function(a, b) return a.file < b.file end)
  return out
end

return M
