-- fastr.files on this checkout.

local files = fastr.files

describe("files", function()
  it("lists the names in a folder, sorted, and reads files", function()
    local names = assert(files.list("sql/platform"))
    assert.is_true(#names > 0)
    for i = 2, #names do assert.is_true(names[i - 1] < names[i]) end
    assert.truthy(assert(files.read("sql/platform/" .. names[1])):find("table"))
  end)

  it("says what is not there, or is no file", function()
    assert.equal("not_found", select(3, files.read("sql/nothing")))
    assert.equal("not_found", select(3, files.list("nothing")))
    local text, message, code = files.read("sql")
    assert.is_nil(text)
    assert.truthy(message:find("^sql: "))
    assert.equal("unavailable", code)
  end)

  it("does not climb", function()
    for _, path in ipairs { "..", "../x", "sql/../x", "sql/..", "", "a\0b" } do
      assert.has_error(function() files.read(path) end)
    end
    assert.equal("not_found", select(3, files.read("sql/..x")))
  end)
end)
