-- lib.url: percent-encoding and queries.

local url = require "lib.url"

describe("url", function()
  it("encodes all but the unreserved characters, and decodes them again", function()
    local all = {}
    for i = 0, 255 do all[#all + 1] = string.char(i) end
    local text = table.concat(all)
    assert.equal(text, url.decode(url.encode(text)))
    assert.equal("a%20b%2Fc~_.-", url.encode("a b/c~_.-"))
  end)

  it("reads and writes queries", function()
    assert.same({ q = "tea pot", limit = "20", empty = "" }, url.parse_query("q=tea+pot&limit=20&empty="))
    assert.equal("limit=20&q=tea%20pot", url.query { q = "tea pot", limit = 20 })
    assert.same({ "/a", { x = "1" } }, { url.split("/a?x=1") })
  end)
end)
