-- fastr.smtp against the stack's inbox, which is then read over HTTP.

local send = fastr.smtp.send
local INBOX = assert(os.getenv("INBOX_URL"), "INBOX_URL is not set: run bin/test, or source var/shop.env")

local function unique() return fastr.crypto.uuid7() end

local function mails(subject)
  local reply = assert(fastr.http.request { url = INBOX .. "/email?subject=" .. subject })
  return assert(fastr.json.decode(reply.body))
end

local function message(subject, body)
  return "From: Shop <shop@shop.example>\nTo: ann@shop.example\nSubject: " .. subject .. "\n\n" .. body
end

local function mail(subject, body)
  return { from = "shop@shop.example", to = { "ann@shop.example", "bob@shop.example" },
    message = message(subject, body) }
end

describe("smtp.send", function()
  it("delivers to every recipient, lines and dots as they were", function()
    local subject = unique()
    assert.is_true(send(mail(subject, "one\r\n.two\n..three\n.\nfour\n")))
    local found = mails(subject)
    assert.equal(1, #found)
    assert.same({ "ann@shop.example", "bob@shop.example" }, { found[1].envelope.to[1].address,
      found[1].envelope.to[2].address })
    assert.equal("one\n.two\n..three\n.\nfour\n", (found[1].text:gsub("\r\n", "\n")))
  end)

  it("sends many at once", function()
    local subject, tasks = unique(), {}
    for i = 1, 20 do tasks[i] = function() return send(mail(subject, "mail " .. i)) end end
    for _, result in ipairs(fastr.all(tasks)) do assert.is_true(result[1]) end
    assert.equal(20, #mails(subject))
  end)

  it("says whether the server refuses for good or for now", function()
    for _, case in ipairs { { "no-such-user@shop.example", "refused", "550" },
      { "busy@shop.example", "unavailable", "451" } } do
      local refused = mail(unique(), "x")
      refused.to = { case[1] }
      local sent, text, code = send(refused)
      assert.same({ nil, case[2] }, { sent, code }, text)
      assert.truthy(text:find(case[3], 1, true), text)
    end
    assert.is_true(send(mail(unique(), "the connection still works")))
  end)

  it("says when the server refuses the message itself", function()
    local line = ("x"):rep(998) .. "\n" -- more of them than the server takes, once they end in CRLF
    local sent, text, code = send(mail(unique(), line:rep(10490)))
    assert.same({ nil, "refused" }, { sent, code }, text)
  end)

  it("raises for an address that could add commands, and for other misuse", function()
    for _, address in ipairs { "a@b\r\nRCPT TO:<c@d>", "a@b>", "<a@b", "a b@c", "no-at", "@b", "a@", "", ("x"):rep(251)
      .. "@b.c" } do
      local bad = mail("s", "x")
      bad.to = { address }
      assert.has_error(function() send(bad) end)
      bad = mail("s", "x")
      bad.from = address
      assert.has_error(function() send(bad) end)
    end
    for _, change in ipairs { { to = {} }, { to = "a@b.c" }, { message = "" }, { message = "a\0b" },
      { timeout_ms = 0 } } do
      local bad = mail("s", "x")
      for name, value in pairs(change) do bad[name] = value end
      assert.has_error(function() send(bad) end)
    end
  end)
end)
