-- fastr.smtp with a user and a password, against a mail server that wants them over TLS.

local host = require "spec.support.host"
local shell = require "spec.support.shell"

local must = shell.must

local PROGRAM = [[
return {
  routes = { { method = "GET", path = "/send", handle = function()
    local sent, why, code = fastr.smtp.send { from = "shop@shop.example", to = { "ann@shop.example" },
      message = "From: shop@shop.example\nTo: ann@shop.example\nSubject: hello\n\nhello\n" }
    return 200, { sent = sent or false, why = why, code = code }
  end } }, consumers = {}, schedules = {},
}]]

local folder, shop, door

-- A door with the password "right horse", and a fastr that knows `password`. `tls`: does the door offer it;
-- `trusted`: does fastr trust its certificate.
local function open(password, tls, trusted)
  local port = host.free_port()
  folder = must "mktemp -d /tmp/fastr-spec-XXXXXX"
  must(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 "
    .. "-addext subjectAltName=IP:127.0.0.1 -keyout %s/key -out %s/certificate"):format(folder, folder))
  local files = tls and ("%s/certificate %s/key"):format(folder, folder) or ""
  door = tonumber(must(("/usr/bin/python3 spec/support/smtp_door.py %d shop 'right horse' %s >%s/heard 2>%s/errors "
    .. "</dev/null & echo $!"):format(port, files, folder, folder)))
  must(("umask 077; printf '%s\\n' >%s/password"):format(password, folder))
  host.eventually("the door is open", function() return must("ss -Hltn 'sport = :" .. port .. "'") ~= "" end)
  shop = host.start { program = PROGRAM, workers = 1, env = { FASTR_SMTP_URL = "smtp://127.0.0.1:" .. port,
    FASTR_SMTP_USER = "shop", FASTR_SMTP_PASSWORD_FILE = folder .. "/password",
    FASTR_HTTP_CA_FILE = trusted and folder .. "/certificate" or "/etc/ssl/certs/ca-certificates.crt" } }
end

local function send() return fastr.json.decode(shop:get("/send").body) end

local function heard()
  local list = {}
  for line in io.lines(folder .. "/heard") do list[#list + 1] = fastr.json.decode(line) end
  return list
end

after_each(function()
  shop:stop()
  host.kill(door, "TERM")
  must("rm -rf " .. folder)
end)

describe("a mail server that wants a password", function()
  it("gets it over TLS, and then the mail", function()
    open("right horse", true, true)
    assert.same({ sent = true }, send())
    local list = heard()
    assert.same({ secure = true, right = true }, { secure = list[1].secure, right = list[1].right })
    assert.same({ mail = { "ann@shop.example" }, secure = true, user = "shop" }, list[2])
  end)

  it("that does not take it is away, not a refusal of the mail; and the password is told to nobody", function()
    open("wrong horse", true, true)
    local answer = send()
    assert.same({ false, "unavailable" }, { answer.sent, answer.code }, answer.why)
    assert.is_nil(answer.why:find("horse", 1, true))
    assert.is_nil(shop:log():find("horse", 1, true))
  end)

  it("without TLS never hears it", function()
    open("right horse", false, true)
    local answer = send()
    assert.same({ false, "unavailable" }, { answer.sent, answer.code }, answer.why)
    assert.same({}, heard())
  end)

  it("with a certificate that nobody vouches for never hears it", function()
    open("right horse", true, false)
    local answer = send()
    assert.same({ false, "unavailable" }, { answer.sent, answer.code }, answer.why)
    assert.same({}, heard())
  end)
end)
