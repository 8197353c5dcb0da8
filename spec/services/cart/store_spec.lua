-- A cart's rows against the real database: changes under the lock never lose a line.

local database = require "platform.db"
local store = require "services.cart.store"

local db = database.open("cart")

local function now() return fastr.time.now() end

local function make()
  local id = fastr.crypto.base64url(fastr.crypto.random(16))
  db:transaction(function(tx)
    store.create(tx, { id = id, currency = "GBP" }, now())
    return true
  end)
  return id
end

-- What a change does: lock, apply to what is there, write with the next version.
local function change(id, apply)
  return db:transaction(function(tx)
    local cart = store.lock(tx, id)
    apply(tx, cart)
    cart.version = cart.version + 1
    store.save(tx, cart, now())
    return cart.version
  end)
end

local function add(id, sku)
  return change(id, function(tx, cart)
    cart.last_position = cart.last_position + 1
    local quantity = 1
    for _, line in ipairs(cart.lines) do
      if line.sku == sku then quantity = line.quantity + 1 end
    end
    local line = { sku = sku, position = cart.last_position, quantity = quantity, facts = { name = sku } }
    store.put_lines(tx, id, { line })
  end)
end

local made = {}
local function cart_of()
  made[#made + 1] = make()
  return made[#made]
end

teardown(function()
  for _, id in ipairs(made) do db:write("delete from carts where id = $1", id) end
end)

describe("a cart", function()
  it("keeps every line of thirty-two that are added at once, and counts each change", function()
    local id, tasks = cart_of(), {}
    for i = 1, 32 do tasks[i] = function() return add(id, "S" .. i % 16) end end
    fastr.all(tasks)
    local cart = store.load(db, id)
    assert.equal(16, #cart.lines)
    for _, line in ipairs(cart.lines) do assert.equal(2, line.quantity) end
    assert.equal(33, cart.version)
  end)

  it("has its lines in the order in which they were added", function()
    local id = cart_of()
    for _, sku in ipairs { "B", "A", "C", "A" } do add(id, sku) end
    local skus = {}
    for i, line in ipairs(store.load(db, id).lines) do skus[i] = line.sku end
    assert.same({ "B", "A", "C" }, skus)
  end)

  it("forgets what is taken out", function()
    local id = cart_of()
    add(id, "A")
    change(id, function(tx, cart)
      store.drop_line(tx, id, "A")
      cart.email, cart.coupons = "a@example.com", { "X" }
    end)
    local cart = store.load(db, id)
    assert.same({}, { unpack(cart.lines) })
    assert.equal("a@example.com", cart.email)
    assert.same({ "X" }, { unpack(cart.coupons) })
    change(id, function(_, locked) locked.email, locked.coupons = nil, {} end)
    assert.is_nil(store.load(db, id).email)
  end)

  it("that does not exist is nil, locked or not", function()
    assert.is_nil(store.load(db, ("x"):rep(22)))
    assert.is_true(db:transaction(function(tx) return store.lock(tx, ("x"):rep(22)) == nil end))
  end)
end)
