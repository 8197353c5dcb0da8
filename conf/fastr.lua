-- fastr's settings: data, read in an empty environment. FASTR_PG_PRIMARY in the environment overrides pg.primary, and
-- so on; a list there is separated by semicolons. bin/up gives each process its addresses that way (var/fastr.env).
-- Secrets are not here: they are files of mode 0600 in var/secrets.
return {
  listen = "127.0.0.1:8080",
  workers = 1,
  name = "shop",            -- of this master: its control socket is var/run/NAME.sock
  var = "var",
  log = "",                 -- a file; empty: standard error
  scripts = "scripts",
  rules_dir = "scripts/rules",
  rules = {
    golden = "spec/rules/golden", -- carts whose price may not change unseen
    spec_seconds = 10, -- of CPU, for the specs of a pack
    specs_kb = 524288,      -- address space of the process in which a pack's own specs run, in kilobytes
    agent = false,          -- true: one process of this host (of those that serve `rules`) follows what is activated
    host = "",              -- what this host is called in the service's record; empty: as the machine calls itself
    signed = false,         -- true (production): only packs signed with a key that this host trusts become live
    -- The decision points that the services ask: a pack that does not decide all of them is refused.
    points = { "price.cart", "price.limits", "price.definitions", "cart.accept", "shipping.options", "order.accept",
      "order.transition", "payment.route", "notify.select" },
    -- A trial ends when what it makes dearer, or cheaper, is more of the money than that, and after so many errors. The
    -- money is looked at from so many compared prices on.
    trial = { drift_percent = 2, errors = 1, after = 20 },
  },
  public_url = "http://127.0.0.1:8000",

  pg = {
    primary = "hostaddr=127.0.0.1 port=5432 dbname=shop",
    replicas = { "hostaddr=127.0.0.1 port=5432 dbname=shop" },
    passfile = "var/secrets/pgpass",
    reads = 2,              -- shared read-only connections of a worker, to each server
    writes = 4,             -- connections of a worker for what writes, locks or is slow
  },
  redis = { address = "127.0.0.1:6379" },
  kafka = { brokers = "127.0.0.1:9092" },
  -- A user and a password go over TLS only: smtps://host:465, or smtp://host:587 where STARTTLS is then required.
  smtp = { url = "smtp://127.0.0.1:1025", from = "Shop <orders@shop.example>", user = "", password_file = "" },

  auth = {
    scrypt_n = 131072,      -- work for a new password: a power of two; 131072 takes half a second and 128 MiB
    failures_per_account = 10, failures_per_address = 200, -- failed sign-ins in 15 minutes before there is a wait
  },
  -- The first owner's account is made from this address and the secret admin_password; empty: none is made.
  admin = { email = "" },
  -- The test provider's; it tells the shop there what became of a charge, signed with the secret provider_webhook.
  provider = { webhook_url = "http://127.0.0.1:8000/api/v1/webhooks/test" },
  strict_replies = false,   -- true (tests): a reply that does not have its declared form is a 500, not only a log line

  -- Where each service answers when it is not in the same process.
  services = {
    auth = "http://127.0.0.1:8081", user = "http://127.0.0.1:8081", product = "http://127.0.0.1:8081",
    cart = "http://127.0.0.1:8081", order = "http://127.0.0.1:8081", payment = "http://127.0.0.1:8081",
    notification = "http://127.0.0.1:8081", rules = "http://127.0.0.1:8081", provider = "http://127.0.0.1:8082",
  },

  -- Pages of these origins may call the API (a `*` stands for any port), and read these headers of its replies.
  cors = {
    origins = { "http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*" },
    exposed = { "ETag", "Retry-After", "Idempotent-Replayed", "Fastr-Session", "Fastr-Order", "Location", "Allow",
      "X-Request-Id" },
  },
}
