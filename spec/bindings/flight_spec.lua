-- fastr.flight: tasks of one worker work for each other and wake each other.

local flight = fastr.flight

describe("flight", function()
  it("lets the first lead and gives the others what it lands", function()
    local leaders = 0
    local function work()
      local first, text = flight.join("spec.lead")
      if not first then return text end
      leaders = leaders + 1
      fastr.time.sleep(20)
      flight.land("spec.lead", "value")
      return "value"
    end
    for _, result in ipairs(fastr.all { work, work, work }) do assert.equal("value", result[1]) end
    assert.equal(1, leaders)
  end)

  it("tells the others when the leader ends without landing", function()
    local told
    local ok = pcall(fastr.all, {
      function()
        assert(flight.join("spec.gone"))
        fastr.time.sleep(20)
        error("gone")
      end,
      function() told = { flight.join("spec.gone") } end })
    assert.is_false(ok)
    assert.same({ false }, told)
    assert.is_true(flight.join("spec.gone"))
    flight.land("spec.gone")
  end)

  it("refuses to land what another leads, and to join twice", function()
    assert.has_error(function() flight.land("spec.none", "x") end)
    assert.is_true(flight.join("spec.twice"))
    assert.has_error(function() flight.join("spec.twice") end)
    flight.land("spec.twice")
  end)

  it("wakes who awaits, and remembers a nudge that came first", function()
    local results = fastr.all { function() return flight.await("spec.nudge", 5000) end,
      function() flight.nudge("spec.nudge") end }
    assert.is_true(results[1][1])
    flight.nudge("spec.early")
    assert.is_true(flight.await("spec.early", 1))
    assert.is_false(flight.await("spec.early", 1))
  end)

  it("names this worker", function()
    assert.equal(flight.id(), flight.id())
    assert.is_true(#flight.id() > 8)
  end)
end)
