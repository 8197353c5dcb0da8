-- platform.access: what nobody but staff may do, and which service may call which.

local access = require "platform.access"

local OF_STAFF = { "account:read", "account:write", "user:read", "user:write", "product:write", "stock:write",
  "coupon:read", "coupon:write", "order:manage", "order:fulfil", "payment:read", "payment:capture", "payment:refund",
  "payment:void", "gift_card:issue", "gift_card:read", "gift_card:write",
  "notification:read", "notification:manage", "rules:write", "rules:approve", "ops:drain" }

describe("a scope of staff", function()
  for _, scope in ipairs(OF_STAFF) do
    it(scope .. " is neither a guest's nor a customer's", function()
      local status, wrong
      status, wrong = access.check({ kind = "guest", scopes = access.guest_scopes() }, scope)
      assert.same({ nil, 401 }, { status, wrong.status })
      status, wrong = access.check({ kind = "customer", id = "x", scopes = access.scopes { "customer" } }, scope)
      assert.same({ nil, 403 }, { status, wrong.status })
    end)
  end

  it("that changes who may do what is the owner's alone", function()
    for _, role in ipairs(access.roles()) do
      assert.equal(role == "owner", access.covers(access.scopes { role }, "account:write"))
    end
  end)

  it("comes from known roles only", function()
    assert.same(access.guest_scopes(), access.scopes { "admin", "root", "" })
  end)
end)

describe("a service", function()
  local ALL = { "auth", "user", "product", "cart", "order", "payment", "notification", "rules", "storefront" }

  it("other than order has no token for payment, and none for what is no service", function()
    for _, caller in ipairs(ALL) do
      assert.equal(caller == "order" or caller == "payment", access.may_call(caller, "payment"))
      for _, target in ipairs { "shop", "provider", "", "*" } do assert.is_false(access.may_call(caller, target)) end
    end
  end)

  -- Calls are found in the text of its files: `call("order", "place"`, or `ask(` for a helper of a tool's. The
  -- operation may have a name; public routes, "GET /...", need no token.
  it("has a token for whom it calls, and for nobody else", function()
    for _, caller in ipairs(ALL) do
      local pipe = assert(io.popen("cat scripts/services/" .. caller .. "/*.lua 2>&1"))
      local called = {}
      local text = pipe:read("*a")
      pipe:close()
      for _, pattern in ipairs { 'call%("(%l+)",%s*"?%l', 'ask%("(%l+)",%s*"?%l' } do
        for target in text:gmatch(pattern) do called[target] = true end
      end
      called[caller] = true
      for _, target in ipairs(ALL) do
        assert.equal(called[target] or false, access.may_call(caller, target), caller .. " -> " .. target)
      end
    end
  end)

  it("that is not known has no token, not even for itself", function()
    for _, caller in ipairs { "provider", "shop", "nobody", "" } do
      assert.is_false(access.may_call(caller, caller))
      assert.is_false(access.may_call(caller, "payment"))
    end
  end)
end)
