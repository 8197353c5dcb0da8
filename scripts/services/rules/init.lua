-- rules: what the pack of rules decides, asked over HTTP; and the packs themselves: which there are, who signed them,
-- what was shown of them, and what is live where. Each host's agent (jobs.lua) follows what is written here.

local shape = require "lib.shape"

local facts = shape.json_text { doc = "facts of price.cart; the rules refuse unknown fields with their path" }
local hash = shape.text { format = "sha256", doc = "of a pack" }
local pack = shape.text { doc = "sha256:HASH" }
local time = shape.text { format = "date-time" }
local id = shape.text { format = "uuid" }
local reason = shape.text { min = 1, max = 500 }
local host = shape.text { min = 1, max = 100, format = "token" }
local hosts = shape.list(host, { min = 1, max = 100 })
local page = { limit = shape.optional(shape.integer { min = 1, max = 100 }),
  cursor = shape.optional(shape.text { format = "digits", max = 15 }) }
local next_cursor = shape.nullable(shape.text {})

local kind = shape.text { min = 1, max = 40, format = "token", doc = "gate, replay, shadow, canary ..." }
local document = shape.map(shape.any {}, { doc = "the report as the tool wrote it" })
local report = shape.object({ id = id, kind = kind, green = shape.boolean {}, document = document, by = shape.text {},
  at = time }, { name = "RulesReport" })
local summary = shape.object({
  hash = pack, parent = shape.nullable(pack), author = shape.text {}, message = shape.text {},
  files = shape.integer { min = 1 }, by = shape.text { doc = "who published it: an account, or USER@HOST" }, at = time,
  keys = shape.list(shape.text {}, { doc = "ids of the keys that signed it" }),
  green = shape.nullable(shape.boolean { doc = "what the last report of the gate says; null: there is none" }),
}, { name = "RulesPack" })
local change = shape.object({ file = shape.text {}, change = shape.enum { "added", "changed", "removed" },
  lines = shape.text { lines = true, doc = "each begins with a space, - or +; ... where lines are left out" } },
  { name = "RulesChange" })
local activation = shape.object({
  number = shape.integer {}, id = id, mode = shape.enum { "live", "off", "rollback", "canary", "shadow", "stop" },
  pack = shape.nullable(pack), share = shape.nullable(shape.integer { doc = "of the carts, in basis points" }),
  limits = shape.nullable(shape.any {}),
  reason = shape.text {}, forced = shape.boolean { doc = "without a green report of the gate" }, by = shape.text {},
  hosts = shape.nullable(shape.list(shape.text {}, { doc = "null: all" })),
  done_on = shape.nullable(shape.text { doc = "the host on which it was done, and noted here afterwards" }), at = time,
}, { name = "RulesActivation" })
local seen_host = shape.object({
  name = shape.text {}, live = pack, before = shape.nullable(pack), trial = shape.nullable(shape.any {}),
  applied = shape.integer { doc = "the last activation that it followed" },
  refused = shape.nullable(shape.object { activation = shape.integer {}, pack = shape.nullable(pack),
    problem = shape.text {} }),
  signed = shape.boolean { doc = "takes only packs that were signed with a key it trusts" },
  keys = shape.list(shape.text {}, { doc = "ids of the keys that it trusts" }),
  seen_at = time, away = shape.boolean { doc = "not heard of for 30 seconds" },
}, { name = "RulesHost" })

-- A pack as it is brought here; `report` is the gate's.
local published = { bundle = shape.text { min = 1, max = 4000000, lines = true, doc = "the stored form of the pack" },
  message = reason, author = shape.optional(shape.text { min = 1, max = 100 }), parent = shape.optional(hash),
  sealed = shape.optional(shape.text { min = 1, max = 60000, lines = true, doc = "its signed statement" }),
  report = shape.optional(document) }
local wanted = { pack = shape.optional(hash), mode = shape.enum { "live", "off", "canary", "shadow", "stop" },
  share = shape.optional(shape.integer { min = 1, max = 10000 }), reason = reason,
  force = shape.optional(shape.boolean { doc = "although no report of the gate is green" }),
  hosts = shape.optional(hosts) }

-- ---- promotions -----------------------------------------------------------------------------------------------------

local promotion_id = shape.text { min = 1, max = 100, format = "token" }
local definition = shape.map(shape.any {}, { doc = "as in docs/rules.md, Promotions as data; what they could not use "
  .. "the rules refuse, with its path" })
local promotion = shape.object({
  id = shape.text {}, state = shape.enum { "running", "scheduled", "ended", "disabled", "off" },
  made_by = shape.enum { "api", "definitions", "rule" },
  file = shape.text { doc = "of the pack, in which it is written" },
  replaces = shape.nullable(shape.text { doc = "the file whose promotion of this id it stands in for" }),
  off = shape.nullable(shape.object({ reason = shape.nullable(shape.text {}), by = shape.nullable(shape.text {}),
    at = shape.nullable(shape.text {}) }, { doc = "of fastr rules off" })),
  definition = definition,
}, { name = "RulesPromotion" })
local one_order = shape.map(shape.any {}, { doc = "number, placed_at, currency, before, after, delta, sku, quantity, "
  .. "reason" })
local impact = shape.object({ line = shape.text {}, orders = shape.integer {}, changed = shape.integer {},
  failed = shape.integer {}, deltas = shape.map(shape.integer { doc = "minor units, by currency" }),
  dearer = shape.list(one_order), cheaper = shape.list(one_order), otherwise = shape.list(one_order) },
  { name = "RulesImpact", doc = "what it would have changed in the placed orders, beside what is live; at_start: had "
    .. "all of them been placed when the promotion begins" })
local promotion_change = shape.object({ id = shape.text {}, pack = pack, parent = pack,
  activation = shape.nullable(shape.integer { doc = "null: nothing became live" }),
  green = shape.nullable(shape.boolean {}), checks = shape.nullable(shape.list(shape.map(shape.any {}))),
  impact = shape.nullable(impact), impact_at_start = shape.nullable(impact),
  orders_unread = shape.nullable(shape.text { doc = "why no order was looked at" }),
}, { name = "RulesPromotionChange" })
local dry_run = shape.optional(shape.boolean { doc = "report only: nothing is written down or becomes live" })
local force = shape.optional(shape.boolean { doc = "although the gate refuses it: what it found is meant; needs "
  .. "rules:activate" })
local GATE_MS = 30000 -- the gate, and the placed orders twice

local limits = shape.object({ drift = shape.integer { min = 0, max = 100000, doc = "basis points of the money" },
  errors = shape.integer { min = 1, max = 1000000 }, after = shape.integer { min = 1, max = 1000000 } },
  { doc = "what ends a trial; absent: each host's settings rules.trial" })
wanted.limits = shape.optional(limits)

local function internally(fields)
  local all = { by = shape.text { min = 1, max = 100 } }
  for name, of in pairs(fields) do all[name] = of end
  return shape.object(all)
end

return {
  name = "rules",
  doc = "Prices for facts that a caller brings along; packs of rules, what is live where, and who did it.",
  routes = {
    { method = "POST", path = "/pricing/quote", handler = "quote", scope = "pricing:quote",
      doc = "The price of a cart as it would be decided now, with the reasons; nothing is kept",
      body = facts, replies = { [200] = shape.map(shape.any {}) } },

    { method = "GET", path = "/rules/packs", handler = "list_packs", scope = "rules:read",
      doc = "The packs that were published, newest first",
      query = shape.object(page),
      replies = { [200] = shape.object { items = shape.list(summary), next_cursor = next_cursor } } },
    { method = "POST", path = "/rules/packs", handler = "publish", scope = "rules:write", idempotency = "transaction",
      doc = "Brings a pack here, with its signature and the gate's report; nothing becomes live", body_bytes = 8388608,
      body = shape.object(published), replies = { [200] = summary, [201] = summary } },
    { method = "GET", path = "/rules/packs/{hash}", handler = "read_pack", scope = "rules:read",
      doc = "One pack", params = { hash = hash }, replies = { [200] = summary } },
    { method = "GET", path = "/rules/packs/{hash}/files", handler = "files", scope = "rules:read",
      doc = "The files of a pack", params = { hash = hash },
      replies = { [200] = shape.object { items = shape.list(shape.object { name = shape.text {},
        text = shape.text { lines = true } }) } } },
    { method = "GET", path = "/rules/packs/{hash}/difference", handler = "difference", scope = "rules:read",
      doc = "What a pack changes in another (default: in its parent), by file and line", params = { hash = hash },
      query = shape.object { from = shape.optional(hash) },
      replies = { [200] = shape.object { from = shape.nullable(pack), items = shape.list(change) } } },
    { method = "GET", path = "/rules/packs/{hash}/reports", handler = "reports", scope = "rules:read",
      doc = "What was found out about a pack, the newest hundred", params = { hash = hash },
      replies = { [200] = shape.object { items = shape.list(report) } } },
    { method = "POST", path = "/rules/packs/{hash}/reports", handler = "add_report", scope = "rules:write",
      idempotency = "transaction", doc = "Adds a report about a pack", params = { hash = hash }, body_bytes = 4194304,
      body = shape.object { kind = kind, green = shape.boolean {}, document = document },
      replies = { [201] = report } },

    { method = "GET", path = "/rules/activations", handler = "history", scope = "rules:read",
      doc = "What was made live, tried and undone, newest first: by whom, where and why",
      query = shape.object { limit = page.limit, cursor = page.cursor, host = shape.optional(host) },
      replies = { [200] = shape.object { items = shape.list(activation), next_cursor = next_cursor } } },
    { method = "POST", path = "/rules/activations", handler = "activate", scope = "rules:activate",
      idempotency = "transaction", body = shape.object(wanted), replies = { [201] = activation },
      doc = "Makes a pack live on all hosts or some, or tries it as a canary or a shadow, or stops that" },
    { method = "POST", path = "/rules/rollback", handler = "rollback", scope = "rules:rollback",
      idempotency = "transaction", body = shape.object { reason = reason, hosts = shape.optional(hosts) },
      replies = { [201] = activation },
      doc = "Makes the pack before live again, on all hosts or some; `fastr rules rollback` on a host needs nobody" },
    { method = "GET", path = "/rules/promotions", handler = "list_promotions", scope = "promotion:read",
      doc = "The promotions of the live pack, in the order of creation; the ETag is the pack's",
      replies = { [200] = shape.object { items = shape.list(promotion), pack = pack } } },
    { method = "GET", path = "/rules/promotions/{id}", handler = "read_promotion", scope = "promotion:read",
      doc = "One promotion; the ETag is the pack's", params = { id = promotion_id },
      replies = { [200] = promotion } },
    { method = "PUT", path = "/rules/promotions/{id}", handler = "change_promotion", scope = "promotion:write",
      prepare = "prepare_put_promotion", idempotency = "transaction", timeout_ms = GATE_MS, concurrency = 4,
      doc = "Makes a promotion, or changes one (with If-Match): another version of the rules, through the gate, live",
      params = { id = promotion_id }, query = shape.object { dry_run = dry_run },
      body = shape.object { definition = definition, reason = reason, force = force },
      replies = { [200] = promotion_change, [201] = promotion_change } },
    { method = "DELETE", path = "/rules/promotions/{id}", handler = "drop_promotion", scope = "promotion:write",
      prepare = "prepare_delete_promotion", idempotency = "transaction", timeout_ms = GATE_MS, concurrency = 4,
      doc = "Takes away what PUT made (with If-Match); what a file has under this id is in force again",
      params = { id = promotion_id }, query = shape.object { reason = reason, dry_run = dry_run, force = force },
      replies = { [200] = promotion_change } },
    { method = "GET", path = "/rules/hosts", handler = "hosts", scope = "rules:read",
      doc = "What each host runs, and what it could not follow",
      replies = { [200] = shape.object { items = shape.list(seen_host) } } },

    { internal = true, handler = "publish_for", scope = "rules:publish_for", body = internally(published),
      body_bytes = 8388608, idempotency = "transaction", doc = "publish, for the command line of a host",
      replies = { [200] = summary, [201] = summary } },
    { internal = true, handler = "activate_for", scope = "rules:activate_for", body = internally(wanted),
      idempotency = "transaction", doc = "activate, for the command line of a host", replies = { [201] = activation } },
    { internal = true, handler = "stored", scope = "rules:stored", body = shape.object { pack = hash },
      doc = "A pack in its stored form, with its signed statements: for a host that has lost it",
      replies = { [200] = shape.object { bundle = shape.text { lines = true },
        sealed = shape.list(shape.text { lines = true }) } } },
    { internal = true, handler = "hosts", scope = "rules:hosts", body = shape.object {}, doc = "hosts, for the same",
      replies = { [200] = shape.object { items = shape.list(seen_host) } } },
  },
  schedules = {
    { name = "follow", every_ms = 100, job = "follow", one = true,
      doc = "In one process of each host: follows what is activated, and writes down what was done on the host" },
  },
  produces = {
    rules = { doc = "A pack was published, made live, tried or undone", key = "pack, or all", events = {
      ["rules.published.v1"] = summary, ["rules.activated.v1"] = activation } },
  },
}
