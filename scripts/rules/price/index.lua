-- index: the promotions of a pack by what they need, so that a cart meets those alone that could apply to it.
--
-- One that needs a coupon is found by its code; one with a condition on articles, a category or a customer's group, by
-- that; the rest are always met. What a promotion is about (its actions' filters) does not count: an exclusive
-- one keeps others away even where it takes nothing off.

local M = {}

local function put(place, key, rank)
  local ranks = rawget(place, key)
  if not ranks then
    ranks = {}
    place[key] = ranks
  end
  ranks[#ranks + 1] = rank
end

-- Where the promotion is found: a kind and its keys; nil if it is always met.
local function place_of(promotion)
  if promotion.coupon then return "coupons", { promotion.coupon } end
  for _, condition in ipairs(promotion.conditions) do
    local need = condition.need
    if need then return need.kind, need.keys end
  end
end

-- The index of a list of promotions in the order of their priority.
function M.build(list)
  local index = { list = list, always = {}, coupons = {}, skus = {}, categories = {}, groups = {} }
  for rank, promotion in ipairs(list) do
    local kind, keys = place_of(promotion)
    for _, key in ipairs(keys or {}) do put(index[kind], key, rank) end
    if not kind then index.always[#index.always + 1] = rank end
  end
  return index
end

local function add(found, ranks)
  for _, rank in ipairs(ranks or {}) do
    if not found[rank] then
      found[rank] = true
      found.list[#found.list + 1] = rank
    end
  end
end

-- "lighting/candles/votive" is in "lighting" and "lighting/candles" too.
local function add_category(found, index, category)
  if found.seen[category] then return end
  found.seen[category] = true
  local above
  for _, part in ipairs(text.split(category, "/")) do
    above = above and above .. "/" .. part or part
    add(found, rawget(index.categories, above))
  end
end

-- The promotions that these facts could meet, in the order of their priority.
function M.select(index, facts)
  local found = { list = {}, seen = {} }
  add(found, index.always)
  local issued = facts.issued or {}
  for _, code in ipairs(facts.coupons or {}) do add(found, rawget(index.coupons, rawget(issued, code) or code)) end
  local group = facts.customer and facts.customer.group
  if group then add(found, rawget(index.groups, group)) end
  for _, line in ipairs(facts.lines) do
    add(found, rawget(index.skus, line.sku))
    for _, category in ipairs(line.categories or {}) do add_category(found, index, category) end
  end
  table.sort(found.list)
  local list = {}
  for i, rank in ipairs(found.list) do list[i] = index.list[rank] end
  return list
end

return M
