-- fastr.text: what rules have instead of patterns.
local text = fastr.text

describe("fastr.text", function()
  it("compares beginnings, ends and parts", function()
    assert.is_true(text.starts_with("home/candles", "home/"))
    assert.is_false(text.starts_with("home", "home/"))
    assert.is_true(text.ends_with("a.lua", ".lua"))
    assert.is_true(text.contains("abc", "bc"))
    assert.is_true(text.contains("abc", ""))
  end)

  it("matches globs", function()
    for _, case in ipairs { { "abc", "a*c", true }, { "abc", "a?c", true }, { "abc", "*", true }, { "", "*", true },
      { "abcbd", "a*b*d", true }, { "abc", "ab", false }, { "ab", "abc*", false }, { "aXbXc", "a*b*c*", true },
      { "aba", "ab*ba", false } } do
      assert.equal(case[3], text.glob(case[1], case[2]), case[1] .. " " .. case[2])
    end
  end)

  it("takes linear time for what makes patterns backtrack", function()
    local started = os.clock()
    text.glob(("a"):rep(100000), ("*a"):rep(30) .. "*b")
    assert.is_true(os.clock() - started < 0.5)
  end)

  it("splits, trims and changes case", function()
    assert.same({ "a", "", "b" }, text.split("a,,b", ","))
    assert.same({ "" }, text.split("", ","))
    assert.equal("a b", text.trim " a b\n")
    assert.equal("abc", text.lower "AbC")
    assert.has_error(function() text.split("a", "") end)
  end)

  it("reads RFC 3339 times", function()
    assert.equal(0, text.time "1970-01-01T00:00:00Z")
    assert.equal(text.time "2026-11-23T10:00:00Z", text.time "2026-11-23T11:30:00.000+01:30")
    assert.equal(951782400500, text.time "2000-02-29T00:00:00.5Z")
    for _, bad in ipairs { "2026-02-29T00:00:00Z", "2026-11-23", "2026-11-23T10:00:00", "x" } do
      assert.is_nil((text.time(bad)))
    end
  end)
end)
