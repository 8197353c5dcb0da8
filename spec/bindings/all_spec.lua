-- fastr.all: several waits at once; what comes of a branch comes to who waits for it as it was.
local all = fastr.all

describe("fastr.all", function()
  it("gives each branch's results in the list's order, nils and all", function()
    local results = all {
      function() fastr.time.sleep(20) return 1, nil, 3 end,
      function() end,
      function() return nil, "why not" end,
    }
    assert.same({ 3, 1, 3 }, { results[1].n, results[1][1], results[1][3] })
    assert.same({ 0, 2, "why not" }, { results[2].n, results[3].n, results[3][2] })
    assert.equal(0, #all {})
  end)

  it("raises what a branch raised as it was: a problem stays one, a text has its place", function()
    local problem = { code = "unavailable", status = 503 }
    local ended = false
    local ok, raised = pcall(all, { function() error(problem, 0) end,
      function() fastr.time.sleep(30) ended = true end })
    assert.same({ false, true, true }, { ok, raised == problem, ended })
    ok, raised = pcall(all, { function() error("broken") end })
    assert.is_false(ok)
    assert.truthy(raised:find("all_spec.lua:%d+: broken"), raised)
  end)

  it("refuses what is no list of functions", function()
    assert.error_matches(function() all { 1 } end, "fastr.all: a list of functions is needed")
  end)
end)
