-- vault: what lies in the database, who can open it, and what rotation does; against the running primary.

local cards = require "services.payment.cards"
local database = require "platform.db"
local host = require "spec.support.host"
local shell = require "spec.support.shell"
local vault = require "services.payment.vault"

local db = database.open("payment")
local CARD = { number = "4000056655665556", exp_month = 12, exp_year = 2030, cvc = "987" }
local made = {}

local function save(owner, changes)
  local card = {}
  for _, from in ipairs { CARD, changes or {} } do
    for name, value in pairs(from) do card[name] = value end
  end
  card = assert(cards.check(card, fastr.time.now()))
  local method, is_new
  db:transaction(function(tx)
    method, is_new = vault.save(tx, card, owner)
    return method ~= nil
  end)
  made[#made + 1] = method.id
  return method, is_new
end

local function row(id)
  return db:latest("select * from payment_methods where id = $1", id)[1]
end

local function keys()
  return fastr.json.decode(fastr.file.read("secrets/vault_keys")).keys
end

local function code_of(_, wrong)
  return wrong.code
end

local function rotate_command()
  return (os.getenv("FASTR_BUILD") or "build") .. "/fastr run services.payment.rotate"
end

-- host.eventually for who holds locks: the waiting is the database's.
local function wait_in(tx, what, condition)
  local deadline = fastr.time.unix_ms() + 10000
  while not condition() do
    if fastr.time.unix_ms() > deadline then error("never happened: " .. what, 2) end
    tx:query("select pg_sleep(0.01)")
  end
end

teardown(function()
  for _, id in ipairs(made) do db:write("delete from payment_methods where id = $1", id) end
end)

describe("a saved card", function()
  it("opens for its owner, as it was", function()
    local owner = fastr.crypto.uuid7()
    local method = save(owner)
    local card = assert(vault.card(db, method.id, owner))
    assert.same({ "4000056655665556", 12, 2030, "visa", "5556" },
      { card.number, card.exp_month, card.exp_year, card.brand, card.last4 })
    assert.is_nil(card.cvc)
  end)

  it("does not open for another, for a guest, deleted, or never saved", function()
    local owner = fastr.crypto.uuid7()
    local id = save(owner).id
    assert.equal("payment_method_not_found", code_of(vault.card(db, id, fastr.crypto.uuid7())))
    assert.equal("payment_method_not_found", code_of(vault.card(db, id, nil)))
    assert.equal("payment_method_not_found", code_of(vault.card(db, fastr.crypto.uuid7(), owner)))
    db:transaction(function(tx) return vault.delete(tx, id, owner) end)
    assert.equal("payment_method_not_found", code_of(vault.card(db, id, owner)))
  end)

  it("that has expired since cannot be charged", function()
    local owner = fastr.crypto.uuid7()
    local id = save(owner).id
    db:write("update payment_methods set exp_year = 2020 where id = $1", id)
    assert.equal("card_invalid", code_of(vault.card(db, id, owner)))
  end)

  it("lies there encrypted: neither its number nor its security code is in the row", function()
    local text = fastr.json.encode(row(save(fastr.crypto.uuid7()).id))
    for _, secret in ipairs { "4000056655665556", "987\"", fastr.crypto.sha256("4000056655665556") } do
      assert.is_nil(text:find(secret, 1, true))
    end
  end)

  it("saved again by the same customer is one method, with the newer expiry", function()
    local owner = fastr.crypto.uuid7()
    local first = save(owner)
    local again, is_new = save(owner, { exp_year = 2031 })
    assert.same({ first.id, false }, { again.id, is_new })
    assert.equal(2031, vault.card(db, first.id, owner).exp_year)
    assert.equal(1, #vault.list(db, owner))
  end)

  it("saved by two requests at once is one method", function()
    local owner = fastr.crypto.uuid7()
    local results = fastr.all { function() return save(owner) end, function() return save(owner) end }
    assert.equal(results[1][1].id, results[2][1].id)
  end)

  it("of two customers is two methods with one fingerprint", function()
    local first, second = save(fastr.crypto.uuid7()), save(fastr.crypto.uuid7())
    assert.not_equal(first.id, second.id)
    assert.equal(row(first.id).fingerprint, row(second.id).fingerprint)
  end)

  it("deleted is shredded: no key, no cipher, no fingerprint; saved again it is another method", function()
    local owner = fastr.crypto.uuid7()
    local id = save(owner).id
    db:transaction(function(tx) return vault.delete(tx, id, owner) end)
    local gone = row(id)
    assert.is_nil(gone.fingerprint or gone.kek or gone.wrapped_key or gone.sealed_card)
    assert.equal("5556", gone.last4)
    assert.not_equal(id, save(owner).id)
  end)
end)

describe("a cipher", function()
  it("moved to another row or another owner does not open", function()
    local owner = fastr.crypto.uuid7()
    local mine, other = save(owner), save(owner, { number = "4242424242424242" })
    db:write("update payment_methods m set kek = o.kek, wrapped_key = o.wrapped_key, sealed_card = o.sealed_card"
      .. " from payment_methods o where m.id = $1 and o.id = $2", mine.id, other.id)
    assert.equal("card_invalid", code_of(vault.card(db, mine.id, owner)))
    local thief = fastr.crypto.uuid7()
    db:write("update payment_methods set owner = $2 where id = $1", other.id, thief)
    assert.equal("card_invalid", code_of(vault.card(db, other.id, thief)))
    for _, id in ipairs { mine.id, other.id } do db:write("delete from payment_methods where id = $1", id) end
  end)
end)

describe("a guest's card", function()
  it("opens by its id, for an hour, and is shredded then", function()
    local id = save(nil).id
    assert.equal("4000056655665556", assert(vault.card(db, id, nil)).number)
    assert.equal("4000056655665556", assert(vault.card(db, id, fastr.crypto.uuid7())).number) -- he signed in meanwhile
    db:write("update payment_methods set expires_at = $2 where id = $1", id, fastr.time.iso(fastr.time.unix_ms() - 1))
    assert.equal("payment_method_not_found", code_of(vault.card(db, id, nil)))
    vault.shred_expired(db)
    assert.is_nil(row(id).sealed_card)
  end)

  it("is another method each time: nobody learns that a card is known", function()
    assert.not_equal(save(nil).id, save(nil).id)
  end)
end)

describe("a rotation", function()
  it("wraps every data key by a new key, and forgets the older one", function()
    local owner = fastr.crypto.uuid7()
    local method, older = save(owner), keys()[1].id
    local before = row(method.id)
    local result = vault.rotate(db)
    assert.is_true(result.finished)
    local now, after = keys(), row(method.id)
    assert.equal(1, #now)
    assert.not_equal(older, now[1].id)
    assert.equal(now[1].id, after.kek)
    assert.equal(before.sealed_card, after.sealed_card)
    assert.equal("4000056655665556", assert(vault.card(db, method.id, owner)).number)
  end)

  it("killed in the middle leaves every card usable, and goes on when it is called again", function()
    local owner, methods = fastr.crypto.uuid7(), {}
    for i, number in ipairs { "4242424242424242", "5555555555554444", "4000056655665556" } do
      methods[i] = save(owner, { number = number })
    end
    local older, pid = keys()[1].id, nil
    db:transaction(function(tx) -- the row keeps the rotation waiting until it is killed
      tx:query("select 1 from payment_methods where id = $1 for update", methods[2].id)
      pid = tonumber(select(2, shell.run(rotate_command() .. " >/dev/null & echo $!")):match("%d+"))
      wait_in(tx, "a new key is there, and the rotation waits for the row", function()
        return #keys() == 2 and tx:query("select 1 from pg_locks where not granted and locktype = 'transactionid'"
          .. " and transactionid = pg_current_xact_id()::xid")[1]
      end)
      host.kill(pid, 9)
      return true
    end)
    assert.equal(older, keys()[2].id)
    for _, method in ipairs(methods) do assert.is_table(vault.card(db, method.id, owner)) end
    local new = save(owner, { number = "378282246310005", cvc = "1234" })
    assert.equal(keys()[1].id, row(new.id).kek)

    local code, text = shell.run(rotate_command())
    assert.truthy(text:find("went on with the rotation", 1, true), text)
    assert.equal(0, code, text)
    assert.equal(1, #keys())
    for _, method in ipairs(methods) do assert.equal(keys()[1].id, row(method.id).kek) end
    for _, method in ipairs(methods) do assert.is_table(vault.card(db, method.id, owner)) end
  end)

  it("does not forget a key that a damaged row may still need", function()
    local owner = fastr.crypto.uuid7()
    local id = save(owner).id
    db:write("update payment_methods set wrapped_key = 'AAAA' where id = $1", id)
    local result = vault.rotate(db)
    assert.same({ false, 1, 2 }, { result.finished, result.broken, #keys() })
    db:write("delete from payment_methods where id = $1", id)
    assert.is_true(vault.rotate(db).finished)
    assert.equal(1, #keys())
  end)

  it("leaves the files to their owner alone", function()
    for _, name in ipairs { "vault_keys", "vault_fingerprint" } do
      local path = fastr.setting("var") .. "/secrets/" .. name
      assert.truthy(select(2, shell.run("stat -c %a " .. path)):find("^600\n"), path)
    end
  end)
end)
