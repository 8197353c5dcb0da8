-- fastr.json as scripts see it. The grammar itself is in spec/runtime/json_test.c.
local json = fastr.json

describe("fastr.json", function()
  it("decodes objects, lists and null", function()
    local value = json.decode('{"a":[1,2.5,"x",true,null],"b":{}}')
    assert.same({ 1, 2.5, "x", true, json.null }, { unpack(value.a) })
    assert.is_true(json.is_array(value.a))
    assert.is_false(json.is_array(value.b))
  end)

  it("keeps empty lists and objects apart on the way through", function()
    assert.equal('[{"a":[],"b":{}}]', json.canonical(json.decode('[{"b":{},"a":[]}]')))
  end)

  it("encodes the same value to the same bytes, whatever the order of its keys", function()
    local first, second = {}, {}
    for i = 1, 50 do first["k" .. i] = i end
    for i = 50, 1, -1 do second["k" .. i] = i end
    assert.equal(json.canonical(first), json.canonical(second))
    assert.equal('{"B":2,"a":1,"b":{"x":1,"y":2}}', json.canonical { b = { y = 2, x = 1 }, a = 1, B = 2 })
  end)

  it("prints what it decodes as it was", function()
    local text = '{"amount":1099,"big":9007199254740991,"half":0.5,"list":[[],{},null],"text":"caf\195\169 \\"x\\"\\n"}'
    assert.equal(text, json.canonical(json.decode(text)))
    assert.same(json.decode(text), json.decode(json.encode(json.decode(text))))
  end)

  it("marks a table as a list and leaves other metatables alone", function()
    local list = {}
    assert.equal(list, json.array(list))
    assert.equal("[]", json.encode(list))
    assert.equal("{}", json.encode {})
    assert.equal("[1,2]", json.encode(json.array { 1, 2 }))
    assert.equal(list, json.array(list))
    assert.has_error(function() json.array(setmetatable({}, {})) end)
    assert.has_error(function() json.array("x") end)
    assert.has_error(function() setmetatable(list, nil) end)
  end)

  it("says what is wrong with a text, and where", function()
    local value, message, code = json.decode('{"a": 1,\n "a": 2}')
    assert.is_nil(value)
    assert.equal('line 2, column 2: duplicate key "a"', message)
    assert.equal("invalid", code)
  end)

  it("says what has no form in JSON, and where it is", function()
    local value, message, code = json.encode { lines = { { price = 1 }, { price = 0 / 0 } } }
    assert.is_nil(value)
    assert.equal("lines[2].price: a number that is not one (NaN) has no form in JSON", message)
    assert.equal("invalid", code)
    assert.is_nil((json.encode { print }))
    assert.is_nil((json.canonical { 1, nil, 3 }))
    assert.is_nil((json.canonical { "\255" }))
  end)

  it("raises for misuse", function()
    assert.has_error(function() json.decode(12) end)
    assert.has_error(function() json.decode() end)
    assert.has_error(function() json.encode() end)
    assert.has_error(function() json.is_array() end)
  end)
end)
