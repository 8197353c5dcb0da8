-- lib.mime: headers and bodies of mails, to the letter of the RFCs.

local mime = require "lib.mime"

-- Undoes quoted-printable: what every mail reader does.
local function unquoted(text)
  return (text:gsub("=\r\n", ""):gsub("=(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function decoded(header)
  local text = header:gsub("%?=\r\n =%?", "?==?"):gsub("=%?UTF%-8%?Q%?(.-)%?=", function(word)
    return unquoted((word:gsub("_", " ")))
  end)
  return text
end

local function longest_line(text)
  local most = 0
  for line in text:gmatch("[^\r\n]+") do most = math.max(most, #line) end
  return most
end

describe("a header", function()
  it("of plain ASCII stays as it is", function()
    assert.equal("Your order 100123", mime.unstructured("Your order 100123"))
    assert.equal("Shop <a@b.example>", mime.mailbox("a@b.example", "Shop"))
    assert.equal("a@b.example", mime.mailbox("a@b.example"))
  end)

  it("encodes everything else in folded words of at most 75 characters, none of which splits a character", function()
    for _, text in ipairs { "Zoë", ("€"):rep(100), ("💡"):rep(50), ("x"):rep(300), "=?utf-8?q?a?=", 'O"Neil, <x>' } do
      local name = mime.mailbox("a@b.example", text)
      assert.equal(text .. "\r\n <a@b.example>", decoded(name))
      assert.is_true(longest_line("Subject: " .. mime.unstructured(text)) <= 76)
      assert.is_nil(name:find("[^\r\n\32-\126]"))
      for word in name:gmatch("%?Q%?(.-)%?=") do assert.is_nil(unquoted(word):find("^[\128-\191]")) end
    end
  end)

  it("never begins another one, whatever a name has in it", function()
    for _, text in ipairs { "a\r\nBcc: x@y.example", "a\nBcc: x", "a\rBcc: x", "a\0\nb", "é\r\n\r\nbody" } do
      for _, header in ipairs { mime.unstructured(text), mime.mailbox("a@b.example", text) } do
        assert.is_nil(header:gsub("\r\n ", ""):find("[%c]"))
      end
    end
  end)

  it("leaves out what turns the direction of writing", function()
    assert.equal("evil exe.txt", mime.plain("evil\226\128\174 exe\226\128\168.txt"))
  end)

  it("refuses an address that would need quoting", function()
    for _, address in ipairs { "a b@c.d", "a@b\r\nX: y", "a", "<a@b.c>", "a@b,c@d" } do
      assert.has_error(function() mime.mailbox(address) end)
    end
  end)

  it("has the date with its day", function()
    assert.equal("Mon, 23 Nov 2026 12:34:56 +0000", mime.date("2026-11-23T12:34:56.789Z"))
    assert.equal("Tue, 29 Feb 2028 00:00:00 +0000", mime.date("2028-02-29T00:00:00Z"))
    assert.equal("Fri, 01 Jan 2027 23:59:59 +0000", mime.date("2027-01-01T23:59:59.000Z"))
    assert.has_error(function() mime.date("yesterday") end)
  end)
end)

describe("quoted-printable", function()
  it("gives back every text, in lines of at most 76 printable characters", function()
    local all = {}
    for i = 0, 255 do
      if i ~= 10 and i ~= 13 then all[#all + 1] = string.char(i) end
    end
    local texts = { "", "a", table.concat(all), "\n\n", ".\n..\n", "trailing \nblank\t\n" }
    for n = 70, 80 do
      texts[#texts + 1] = ("x"):rep(n) .. "é" .. ("y"):rep(n) .. "="
      texts[#texts + 1] = ("="):rep(n)
    end
    for _, text in ipairs(texts) do
      local quoted = mime.quoted_printable(text)
      assert.equal((text:gsub("\n", "\r\n")), unquoted(quoted))
      assert.is_true(longest_line(quoted) <= 76)
      assert.is_nil(quoted:find("[^\r\n\t\32-\126]"))
      assert.is_nil((quoted .. "\r\n"):find("[ \t]\r\n"))
    end
  end)

  it("takes line ends of any kind", function()
    assert.equal("a\r\nb\r\nc\r\nd", mime.quoted_printable("a\nb\r\nc\rd"))
  end)
end)
