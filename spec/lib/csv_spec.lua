-- CSV as in RFC 4180: what a spreadsheet writes is read as it was meant; what is malformed is refused with its line.

local csv = require "lib.csv"

local function read(text)
  local records, wrong = csv.records(text)
  if not records then return wrong end
  local plain = {}
  for i, record in ipairs(records) do plain[i] = { unpack(record) } end
  return plain
end

describe("csv", function()
  it("reads fields, quoted or not, with commas, quotes and line ends within quotes", function()
    assert.same({ { "a", "b", "" }, { "1", 'say "hi", you', "x\r\ny" }, { "", "", "" } },
      read 'a,b,\r\n1,"say ""hi"", you","x\r\ny"\r\n,,\n')
  end)

  it("needs no line end at the end, and passes over blank lines", function()
    assert.same({ { "a" }, { "b", "" } }, read "a\n\n\r\nb,")
    assert.same({}, read "")
    assert.same({ { "", "" } }, read '"",')
    assert.same({ { "a", "b" } }, read "\239\187\191a,b")
  end)

  it("knows on which line each record begins", function()
    local records = csv.records 'a\n"1\n2"\n\nb'
    assert.same({ 1, 2, 5 }, { records[1].line, records[2].line, records[3].line })
  end)

  it("refuses what is none, with the line", function()
    assert.equal("line 2: a quoted field has no end", read 'a\n"b')
    assert.equal("line 1: a comma or the end of the line expected after a field", read '"a"b')
    assert.equal("line 1: a comma or the end of the line expected after a field", read "a\rb")
    assert.equal('line 3: a quote inside a field that is not quoted', read 'a\n\nb"c"')
  end)
end)
