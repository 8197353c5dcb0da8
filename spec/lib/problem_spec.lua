-- lib.problem: the catalogue and its documents.

local problem = require "lib.problem"

describe("problem", function()
  it("makes an RFC 9457 document of a code", function()
    local made = problem.new("insufficient_stock", { detail = "3 left", sku = "84077" })
    assert.equal("/docs/problems#insufficient_stock", made.type)
    assert.equal(409, made.status)
    assert.equal("3 left", made.detail)
    assert.equal("84077", made.sku)
    assert.is_true(problem.is(made))
    assert.is_false(problem.is { status = 409 })
  end)

  it("raises for a code that nobody declared", function()
    assert.has_error(function() problem.new("insuficient_stock") end)
  end)

  it("gives every code a status of 400 or more, a title and a cure", function()
    for _, entry in ipairs(problem.codes()) do
      assert.is_true(entry.status >= 400 and entry.status < 600, entry.code)
      assert.is_true(#entry.title > 5 and #entry.cure > 5, entry.code)
    end
  end)

  it("keeps what the callee said, and has an own word where it said nothing", function()
    local theirs = problem.from(409, { code = "cart_empty", status = 409, title = "x" })
    assert.equal("cart_empty", theirs.code)
    assert.is_true(problem.is(theirs))
    assert.equal("unavailable", problem.from(502, "<html>").code)
  end)

  it("never tells a client the text of an error of the house", function()
    for code, status in pairs { timeout = 504, busy = 503, unavailable = 503, commit_unknown = 503, ["42P01"] = 500 } do
      assert.equal(status, problem.of_error(code).status)
    end
  end)

  it("has every problem that the runtime itself answers with, by the same status and title", function()
    local file = assert(io.open("runtime/problem.c"))
    local text, count = file:read("*a"), 0
    file:close()
    for status, code, title in text:gmatch('= {(%d+), "([%w_]+)", "([^"]+)"}') do
      assert.same({ code, tonumber(status), title }, { code, problem.known(code) })
      count = count + 1
    end
    assert.is_true(count >= 14, "runtime/problem.c has another form")
  end)

  it("is the only way for C and NGINX to make a problem: no code of theirs is missing here", function()
    local pipe = assert(io.popen([[grep -rhoE 'problems#[a-z_%]+' runtime bindings conf/nginx]]))
    for code in pipe:read("*a"):gmatch("problems#([%w_]+)") do
      assert.truthy(problem.known(code), code .. " is in no catalogue")
    end
    pipe:close()
  end)

  it("is what docs/problems.md says (bin/fastr openapi --problems > docs/problems.md)", function()
    local file = assert(io.open("docs/problems.md"))
    local text = file:read("*a")
    file:close()
    assert.is_true(text == problem.markdown(), "docs/problems.md is not what lib/problem.lua says")
  end)
end)
