-- handlers: one function per route of bench.

local problem = require "lib.problem"
local database = require "platform.db"

local M = {}

local SQL = fastr.asset("services/bench/product.sql")

local function show(row)
  return {
    sku = row.sku, name = row.name, description = row.description, categories = fastr.json.array(row.categories),
    tax_category = row.tax_category, price = { amount = row.price, currency = row.currency },
    available = row.available, version = row.version,
  }
end

local function not_found(sku)
  return problem.new("product_not_found", { detail = "There is no product " .. sku })
end

function M.hello()
  return 200, { message = "Hello, World!" }
end

function M.cached(ctx)
  local text = fastr.redis.call("GET", "bench:" .. ctx.params.sku)
  if not text then return nil, not_found(ctx.params.sku) end
  return 200, show(fastr.json.decode(text))
end

function M.product(ctx)
  local row = database.open("product"):read(SQL, "GBP", fastr.time.now(), ctx.params.sku)[1]
  if not row then return nil, not_found(ctx.params.sku) end
  return 200, show(row)
end

return M
