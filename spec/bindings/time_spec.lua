-- fastr.time: the clock, RFC 3339 both ways, and sleeping.
local time = fastr.time

describe("fastr.time", function()
  it("tells the time in one form, everywhere the same", function()
    local before, now, after = time.unix_ms(), time.now(), time.unix_ms()
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", now)
    local ms = time.parse(now)
    assert.is_true(before <= ms and ms <= after)
    assert.equal(ms, math.floor(ms))
  end)

  it("prints and reads moments", function()
    for ms, text in pairs {
      [0] = "1970-01-01T00:00:00.000Z",
      [1] = "1970-01-01T00:00:00.001Z",
      [-1] = "1969-12-31T23:59:59.999Z",
      [1795858200123] = "2026-11-28T09:30:00.123Z",
      [951782400000] = "2000-02-29T00:00:00.000Z",
      [253402300799999] = "9999-12-31T23:59:59.999Z",
      [-62167219200000] = "0000-01-01T00:00:00.000Z",
    } do
      assert.equal(text, time.iso(ms))
      assert.equal(ms, time.parse(text))
    end
  end)

  it("reads any form of RFC 3339", function()
    for text, same in pairs {
      ["2026-11-23T10:30:00+01:00"] = "2026-11-23T09:30:00.000Z",
      ["2026-11-23T00:15:00-09:45"] = "2026-11-23T10:00:00.000Z",
      ["2026-11-23t09:30:00z"] = "2026-11-23T09:30:00.000Z",
      ["2026-11-23T09:30:00.5Z"] = "2026-11-23T09:30:00.500Z",
      ["2026-11-23T09:30:00.123999Z"] = "2026-11-23T09:30:00.123Z",
      ["2026-11-23T09:30:00-00:00"] = "2026-11-23T09:30:00.000Z",
      ["2016-12-31T23:59:60Z"] = "2017-01-01T00:00:00.000Z",
      ["2017-01-01T00:59:60.9+01:00"] = "2017-01-01T00:00:00.000Z",
    } do
      assert.equal(same, time.iso(time.parse(text)))
    end
  end)

  it("refuses what only looks like a time, and says why", function()
    for text, reason in pairs {
      [""] = "a date",
      ["2026-11-23"] = "'T'",
      ["2026-11-23 09:30:00Z"] = "'T' between date and time expected at character 11",
      ["2026-11-23T09:30Z"] = "minute",
      ["2026-11-23T09:30:00"] = "'Z' or an offset",
      ["2026-13-01T00:00:00Z"] = "month from 01 to 12 expected at character 6",
      ["2026-02-29T00:00:00Z"] = "a day of that month",
      ["2026-11-00T00:00:00Z"] = "a day of that month",
      ["2026-11-23T24:00:00Z"] = "hour",
      ["2026-11-23T09:60:00Z"] = "minute",
      ["2026-11-23T09:30:61Z"] = "second",
      ["2026-11-23T09:30:60Z"] = "23:59",
      ["2026-11-23T09:30:00.Z"] = "digits",
      ["2026-11-23T09:30:00+0100"] = "offset",
      ["2026-11-23T09:30:00+24:00"] = "offset",
      ["2026-11-23T09:30:00Z "] = "the end",
      ["2026-11-23T09:30:00Z\0"] = "the end",
      ["+026-11-23T09:30:00Z"] = "a date",
      ["1795858200"] = "a date",
    } do
      local ms, message, code = time.parse(text)
      assert.is_nil(ms)
      assert.equal("invalid", code)
      assert.is_truthy(message:find(reason, 1, true), text .. ": " .. message)
    end
    assert.is_nil((time.parse("2026-11-23T09:30:00." .. ("1"):rep(100) .. "Z")))
  end)

  it("raises for misuse", function()
    assert.has_error(function() time.parse(5) end)
    assert.has_error(function() time.iso("5") end)
    assert.has_error(function() time.iso(1.5) end)
    assert.has_error(function() time.iso(2 ^ 60) end)
    assert.has_error(function() time.iso(0 / 0) end)
    assert.has_error(function() time.sleep(-1) end)
  end)

  it("sleeps as long as asked, to a tick of the loop's clock", function()
    local before = time.unix_ms()
    assert.is_true(time.sleep(50))
    assert.is_true(time.unix_ms() - before >= 50 - 10) -- ticks are at most 10 ms apart
    assert.is_true(time.sleep(0))
  end)
end)
