-- near: which of some names was probably meant by one that is unknown.

-- How many letters are to be changed, added or left out to make `b` of `a`.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local corner = row[0]
    row[0] = i
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j], corner = math.min(row[j] + 1, row[j - 1] + 1, corner + (same and 0 or 1)), row[j]
    end
  end
  return row[#b]
end

-- " (did you mean 'NAME'?)" for the key of `names` (or the item, where it is a list) nearest to the word, or "" if none
-- is near.
return function(word, names)
  local best, least = nil, 1 + math.floor(#tostring(word) / 3)
  for key, value in pairs(names) do
    local name = type(key) == "number" and value or key
    local far = type(name) == "string" and type(word) == "string" and distance(word, name) or 99
    if far < least or (far == least and not best) then best, least = name, far end
  end
  return best and (" (did you mean '%s'?)"):format(best) or ""
end
