-- lib.shape: what passes, what does not, where it says so, and the JSON Schema that says the same.

local shape = require "lib.shape"

local decode = fastr.json.decode

-- The errors as one text: "path problem; path problem".
local function errors(of, value)
  local _, list = shape.check(of, value)
  local out = {}
  for _, e in ipairs(list or {}) do out[#out + 1] = (e.path .. " " .. e.problem) end
  table.sort(out)
  return table.concat(out, "; ")
end

local CASES = {
  { "a text", shape.text { min = 1, max = 3 }, good = { "a", "abc", "äöü" },
    bad = { [""] = " must not be empty", abcd = " must have at most 3 characters",
      [1] = " must be a text, not a number" } },
  { "a one-line text", shape.text {}, good = { "", "a b" }, bad = { ["a\nb"] = " must not contain control characters",
    ["a\127"] = " must not contain control characters" } },
  { "a text of lines", shape.text { lines = true }, good = { "a\n\tb" },
    bad = { ["a\27b"] = " must not contain control characters" } },
  { "an e-mail address", shape.text { format = "email" }, good = { "a@b.example", "a.b+c@d-e.example" },
    bad = { ["a@b"] = " must be an e-mail address", ["a..b@c.example"] = " must be an e-mail address",
      ["a@-b.example"] = " must be an e-mail address", ["@b.example"] = " must be an e-mail address" } },
  { "a time", shape.text { format = "date-time" }, good = { "2026-11-27T12:00:00Z", "2024-02-29T23:59:60.5+01:00" },
    bad = { ["2026-02-29T12:00:00Z"] = " must be a time as in RFC 3339: 2026-11-27T12:00:00Z",
      ["2026-11-27T12:00:00"] = " must be a time as in RFC 3339: 2026-11-27T12:00:00Z" } },
  { "a UUID", shape.text { format = "uuid" }, good = { "01900000-0000-7000-8000-00000000000a" },
    bad = { ["01900000-0000-7000-8000-00000000000"] = " must be a UUID" } },
  { "an integer", shape.integer { min = 1, max = 999 }, good = { 1, 999 },
    bad = { [0] = " must be at least 1", [1000] = " must be at most 999", [1.5] = " must be a whole number",
      [1e9] = " must be at most 999", ["2"] = " must be an integer, not a text" } },
  { "true or false", shape.boolean, good = { true, false }, bad = { [0] = " must be true or false" } },
  { "one of some", shape.enum { "a", "b" }, good = { "a" }, bad = { c = " must be one of a, b" } },
}

describe("shape", function()
  for _, case in ipairs(CASES) do
    it("takes " .. case[1], function()
      for _, value in ipairs(case.good) do assert.equal("", errors(case[2], value)) end
    end)
    it("refuses what is not " .. case[1], function()
      for value, said in pairs(case.bad) do assert.equal(said, errors(case[2], value)) end
    end)
  end

  local line = shape.object { sku = shape.text { min = 1 }, quantity = shape.integer { min = 1 },
    note = shape.optional(shape.text {}) }

  it("lists every error of an object with its path", function()
    assert.equal("quantity must be at least 1; sku is missing; x is not known here; known: note, quantity, sku",
      errors(line, { quantity = 0, x = 1 }))
  end)

  it("counts the entries of a list from 0, and paths go down", function()
    local cart = shape.object { lines = shape.list(line, { max = 2 }) }
    assert.equal("lines[1].quantity must be a whole number",
      errors(cart, { lines = { { sku = "a", quantity = 1 }, { sku = "b", quantity = 1.5 } } }))
    assert.equal("lines must have at most 2 entries", errors(cart, { lines = { 1, 2, 3 } }))
  end)

  it("tells an empty list from an empty object", function()
    local list, object = shape.list(line), shape.object {}
    assert.equal("", errors(list, decode "[]"))
    assert.equal(" must be a list, not an object", errors(list, decode "{}"))
    assert.equal("", errors(object, decode "{}"))
    assert.equal(" must be an object, not a list", errors(object, decode "[]"))
  end)

  it("tells absent from null", function()
    local body = shape.object { a = shape.optional(shape.text {}), b = shape.nullable(shape.text {}) }
    assert.equal("", errors(body, decode '{"b": null}'))
    assert.equal("a must be a text, not null; b is missing", errors(body, decode '{"a": null}'))
  end)

  it("shows the errors of the choice that came closest", function()
    local either = shape.one_of { line, shape.list(line) }
    assert.equal("", errors(either, { { sku = "a", quantity = 1 } }))
    assert.equal("quantity is missing", errors(either, { sku = "a" }))
    assert.equal(" must have at least 1 entry", errors(shape.one_of { line, shape.list(line, { min = 1 }) },
      decode "[]"))
    local sign_in = shape.one_of { shape.object { email = shape.text {}, password = shape.text {} },
      shape.object { refresh_token = shape.text {} } }
    assert.equal(" needs email and password, or refresh_token", errors(sign_in, decode "{}"))
    assert.equal("password is missing", errors(sign_in, { email = "a" }))
  end)

  it("reads the texts of a query, and refuses what is not UTF-8", function()
    local query = shape.object { limit = shape.optional(shape.integer { max = 100 }),
      all = shape.optional(shape.boolean), q = shape.optional(shape.text {}) }
    assert.same({ limit = 20, all = true }, shape.check_texts(query, { limit = "20", all = "true" }))
    for _, text in ipairs { "", "1.5", "0x10", "1e3", " 1", "12345678901234567890" } do
      assert.is_nil((shape.check_texts(query, { limit = text })))
    end
    for _, text in ipairs { "\255", "\192\128", "\237\160\128", "\244\144\128\128", "\226\240\159\152\128\130\130" } do
      assert.is_nil((shape.check_texts(query, { q = text })))
    end
    assert.same({ q = "Käse \240\159\167\128" }, shape.check_texts(query, { q = "Käse \240\159\167\128" }))
  end)

  it("has no name twice in the OpenAPI document, and refers to it", function()
    local defs, named = {}, shape.object({ sku = shape.text {} }, { name = "Thing" })
    local schema = shape.openapi(shape.list(named), defs)
    assert.equal("#/components/schemas/Thing", schema.items["$ref"])
    assert.same({ "sku" }, defs.Thing.required)
    assert.is_false(defs.Thing.additionalProperties)
  end)

  it("checks a small body in less than 3 microseconds", function()
    local value, best = { sku = "84077", quantity = 3, note = "for Ann" }, math.huge
    for _ = 1, 5 do
      local started = os.clock()
      for _ = 1, 20000 do line.check(value) end
      best = math.min(best, (os.clock() - started) / 20000)
    end
    assert.is_true(best < 3e-6, string.format("%.2f microseconds", best * 1e6))
  end)

  it("raises for a misuse, at the declaration", function()
    assert.has_error(function() shape.text { format = "emial" } end)
    assert.has_error(function() shape.object { a = "text" } end)
  end)
end)

it("a name that is not one is not repeated: it may be a secret in the wrong place, or long", function()
  local of = shape.object { a = shape.optional(shape.integer {}) }
  for _, name in ipairs { "4242424242424242", "x4242424242424242", ("n"):rep(65), "a\nb", "" } do
    assert.equal("(a name not shown here) is not known here; known: a", errors(of, { [name] = 1 }))
  end
  assert.equal("post_code2 is not known here; known: a", errors(of, { post_code2 = 1 }))
end)

it("of many fields that are not known twenty are listed: the answer stays smaller than what was sent", function()
  local value = {}
  for i = 1, 5000 do value["n" .. i] = i end
  local _, list = shape.check(shape.object {}, value)
  assert.equal(20, #list)
end)
