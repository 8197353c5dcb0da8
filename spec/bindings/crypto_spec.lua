-- fastr.crypto: against the published vectors, then the promises of our own.
local crypto, time = fastr.crypto, fastr.time
local hex, unhex = crypto.hex, crypto.unhex

local function refused(value, message, code)
  assert.is_nil(value)
  assert.is_string(message)
  assert.equal("invalid", code)
end

describe("fastr.crypto digests", function()
  it("match FIPS 180-4 and RFC 4231", function()
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", crypto.sha256 "")
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", crypto.sha256 "abc")
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
      crypto.hmac("Jefe", "what do ya want for nothing?"))
    assert.equal("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      crypto.hmac(("\11"):rep(20), "Hi There"))
  end)

  it("raise for anything but text", function()
    assert.has_error(function() crypto.sha256(1) end)
    assert.has_error(function() crypto.hmac("k", {}) end)
  end)
end)

describe("fastr.crypto.uuid7", function()
  it("carries version, variant and the time", function()
    local before = time.unix_ms()
    local id = crypto.uuid7()
    local after = time.unix_ms()
    assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-7%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", id)
    local ms = tonumber(id:sub(1, 8) .. id:sub(10, 13), 16)
    assert.is_true(before <= ms and ms <= after)
  end)

  it("only grows within a process", function()
    local last = ""
    for _ = 1, 20000 do
      local id = crypto.uuid7()
      assert(id > last)
      last = id
    end
  end)
end)

describe("fastr.crypto.random", function()
  it("gives as many bytes as asked, never the same", function()
    assert.equal(1, #crypto.random(1))
    assert.equal(65536, #crypto.random(65536))
    assert.not_equal(crypto.random(16), crypto.random(16))
    assert.has_error(function() crypto.random(0) end)
    assert.has_error(function() crypto.random(65537) end)
    assert.has_error(function() crypto.random(1.5) end)
  end)
end)

describe("fastr.crypto texts of bytes", function()
  it("match RFC 4648, without padding", function()
    for plain, text in pairs {
      [""] = "", f = "Zg", fo = "Zm8", foo = "Zm9v", foob = "Zm9vYg", fooba = "Zm9vYmE", foobar = "Zm9vYmFy",
      ["\251\255\190"] = "-_--",
    } do
      assert.equal(text, crypto.base64url(plain))
      assert.equal(plain, crypto.unbase64url(text))
    end
    local all = {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    all = table.concat(all)
    assert.equal(all, crypto.unbase64url(crypto.base64url(all)))
    assert.equal(all, unhex(hex(all)))
    assert.equal("00ff10", hex "\0\255\16")
    assert.equal("\0\255\16", unhex "00Ff10")
  end)

  it("have one form for each value", function()
    for _, text in ipairs { "Zg==", "Zh", "Zm9", "Z", "Zm+v", "Zm/v", "Zm 9v", "Zm9v\n", "Zm9\0" } do
      refused(crypto.unbase64url(text))
    end
    for _, text in ipairs { "0", "0g", " 00", "0x00", "é" } do refused(unhex(text)) end
  end)

  it("compare in constant time", function()
    assert.is_true(crypto.equal("abc", "abc"))
    assert.is_true(crypto.equal("", ""))
    assert.is_false(crypto.equal("abc", "abd"))
    assert.is_false(crypto.equal("abc", "abcd"))
    assert.has_error(function() crypto.equal("abc", nil) end)
  end)
end)

describe("fastr.crypto.seal", function()
  local key, other = crypto.random(32), crypto.random(32)

  it("is opened by the same key and context only", function()
    local sealed = crypto.seal(key, "4242424242424242", "card:7")
    assert.equal("4242424242424242", crypto.open(key, sealed, "card:7"))
    refused(crypto.open(other, sealed, "card:7"))
    refused(crypto.open(key, sealed, "card:8"))
    refused(crypto.open(key, sealed))
    assert.equal("", crypto.open(key, crypto.seal(key, "")))
  end)

  it("notices any byte that changed", function()
    local sealed = crypto.seal(key, "secret", "x")
    for i = 1, #sealed do
      local byte = string.char((sealed:byte(i) + 1) % 256)
      refused(crypto.open(key, sealed:sub(1, i - 1) .. byte .. sealed:sub(i + 1), "x"))
      refused(crypto.open(key, sealed:sub(1, i - 1), "x"))
    end
    refused(crypto.open(key, sealed .. "x", "x"))
  end)

  it("never gives the same bytes twice", function()
    assert.not_equal(crypto.seal(key, "secret"), crypto.seal(key, "secret"))
  end)

  it("opens what another program sealed (test case 14 of the GCM specification, 256 bits)", function()
    local sealed = ("\0"):rep(12) .. unhex("cea7403d4d606b6e074ec5d3baf39d18" .. "d0d1c8a799996bf0265b98b5d48ab919")
    assert.equal(("\0"):rep(16), crypto.open(("\0"):rep(32), sealed))
  end)

  it("raises for a key of another length, without showing it", function()
    for _, bad in ipairs { "", "short-secret", key .. "x" } do
      local ok, message = pcall(crypto.seal, bad, "text")
      assert.is_false(ok)
      assert.is_nil(message:find("short-secret", 1, true))
    end
  end)
end)

describe("fastr.crypto keys", function()
  for _, kind in ipairs { "ed25519", "es256" } do
    it(kind .. " sign and verify", function()
      local pair, stranger = crypto.keypair(kind), crypto.keypair(kind)
      assert.matches("^%-%-%-%-%-BEGIN PRIVATE KEY%-%-%-%-%-", pair.private)
      assert.matches("^%-%-%-%-%-BEGIN PUBLIC KEY%-%-%-%-%-", pair.public)
      for _ = 1, 20 do
        local signature = crypto.sign(pair.private, "text")
        assert.equal(64, #signature)
        assert.is_true(crypto.verify(pair.public, "text", signature))
        assert.is_false(crypto.verify(pair.public, "texts", signature))
        assert.is_false(crypto.verify(stranger.public, "text", signature))
        assert.is_false(crypto.verify(pair.public, "text", signature:sub(1, 63)))
        assert.is_false(crypto.verify(pair.public, "text", ("\0"):rep(64)))
        assert.is_false(crypto.verify(pair.public, "text", ("\255"):rep(64)))
        assert.is_false(crypto.verify(pair.public, "text", ""))
      end
    end)
  end

  it("match RFC 8032, test 2", function()
    local expected = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" ..
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    local seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
    local private = "-----BEGIN PRIVATE KEY-----\n" ..
      crypto.base64url(unhex("302e020100300506032b657004220420" .. seed)):gsub("-", "+"):gsub("_", "/") ..
      "\n-----END PRIVATE KEY-----\n"
    assert.equal(expected, hex(crypto.sign(private, "r")))
  end)

  it("are refused when they are none, without a word of them", function()
    local pair = crypto.keypair "ed25519"
    refused(crypto.sign("nonsense", "text"))
    refused(crypto.sign(pair.public, "text"))
    refused(crypto.verify(pair.private, "text", ("x"):rep(64)))
    local _, message = crypto.sign(pair.private:sub(1, 60), "text")
    assert.is_nil(message:find(pair.private:sub(40, 50), 1, true))
    assert.has_error(function() crypto.keypair "rsa" end)
  end)
end)

describe("fastr.crypto.scrypt", function()
  it("matches RFC 7914", function()
    assert.equal("77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442" ..
      "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906",
      hex(crypto.scrypt("", "", { n = 16, r = 1, p = 1, length = 64 })))
    assert.equal("fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162" ..
      "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
      hex(crypto.scrypt("password", "NaCl", { n = 1024, r = 8, p = 16, length = 64 })))
  end)

  it("takes more memory than OpenSSL's default of 32 MiB", function()
    assert.equal(32, #crypto.scrypt("password", "salt", { n = 65536 }))
  end)

  it("leaves the loop free while it works", function()
    local hashed, naps = false, 0
    fastr.all {
      function()
        assert(crypto.scrypt("password", "salt", { n = 65536 }))
        hashed = true
      end,
      function()
        while not hashed do
          time.sleep(1)
          naps = naps + 1
        end
      end,
    }
    assert.is_true(naps > 5)
  end)

  it("hashes as many as may wait and refuses the rest as busy", function()
    local tasks, hashed, busy = {}, 0, 0
    for i = 1, 40 do
      tasks[i] = function() return crypto.scrypt("password", "salt", { n = 4096 }) end
    end
    for _, result in ipairs(fastr.all(tasks)) do
      if result[1] then
        assert.equal(32, #result[1])
        hashed = hashed + 1
      else
        assert.equal("busy", result[3])
        busy = busy + 1
      end
    end
    assert.equal(40, hashed + busy)
    assert.is_true(hashed >= 32 and busy >= 1)
  end)

  it("raises for parameters that are no scrypt, or too large for a server", function()
    for _, bad in ipairs {
      { n = 1000 }, { n = 1 }, { n = 2 ^ 21 }, { r = 0 }, { n = 2 ^ 20, r = 32 }, { p = 17 }, { length = 8 },
      { length = 65 }, { n = "16" },
    } do
      assert.has_error(function() crypto.scrypt("password", "salt", bad) end)
    end
    assert.has_error(function() crypto.scrypt(("x"):rep(1025), "salt") end)
  end)
end)
