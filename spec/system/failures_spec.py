"""What goes on while a part of the stack is away, and that all is well by itself when it is back.

Each part is stopped for real and started again, also when a spec fails. `fastr status` has to see each of them.
"""
import concurrent.futures
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import uuid

from support.door import api, ask, must, new_key, until
from support.shop import PASSWORD, card, cart, customer, mails, order, owner, product, purchase, put_product, sign_in
from support.stack import (PRIMARY, REPLICAS, ROOT, TOPOLOGY, VAR, all_ready, count, events_of, instances, is_ready, kill, listen_of, main,
                           pid_of, psql, replay_paused, status, stopped, supervisor, workers)

ENGINES = ("redis", "kafka", "pg-primary", "pg-r1", "pg-r2")


def problems_of(report):
    return [(problem["problem"], problem["help"]) for problem in report["problems"]]


def kinds(report):
    return {text.split(":")[0] for text, _ in problems_of(report)}


class Case(unittest.TestCase):
    def setUp(self):
        self.old = kinds(status())  # what others have left here, as events that were parked on purpose

    def status_names(self, what, help_with="bin/up"):
        """fastr status exits with 1, and one of its lines names the part and ends in the command that helps."""
        def named():
            report = status()
            return report["exit"] == 1 and [line for line in problems_of(report) if what in line[0] and help_with in line[1]]
        until(20, f"fastr status to name {what}", named)

    def status_is_well(self):
        new = lambda: [line for line in problems_of(status()) if line[0].split(":")[0] not in self.old]
        until(30, lambda: f"fastr status to be well: {new()}", lambda: not new())

    def answers_quickly(self, method, path, expected, seconds, **named):
        began = time.monotonic()
        reply = api(method, path, **named)
        took = time.monotonic() - began
        self.assertEqual(reply.status, expected, f"{method} {path}: {reply!r}")
        self.assertLess(took, seconds, f"{method} {path}")
        return reply

    def refused_for_now(self, reply):
        self.assertEqual((reply.status, reply.code), (503, "unavailable"), reply)
        self.assertGreaterEqual(int(reply.headers["Retry-After"]), 1)


class AReplicaThatIsBehind(Case):
    def sees_his_change(self, price):
        put_product("SPEC-REPLAY", price)
        for _ in range(10):
            seen = must(200, "GET", "/products/SPEC-REPLAY")
            self.assertEqual(seen["list_price"]["amount"], price)

    def test_hides_no_change_from_who_made_it_nor_for_long_from_the_others(self):
        put_product("SPEC-REPLAY", 100)
        for url in REPLICAS:
            with replay_paused(url):
                for price in (200, 300):
                    self.sees_his_change(price)
                until(5, "everybody to see it", lambda: all(
                    ask("GET", "/api/v1/products/SPEC-REPLAY").json()["list_price"]["amount"] == 300 for _ in range(6)))
                self.status_names("pg.replica", "pg_wal_replay_resume")
            put_product("SPEC-REPLAY", 100)
        self.status_is_well()

    def test_nor_when_both_are(self):
        with contextlib.ExitStack() as paused:
            for url in REPLICAS:
                paused.enter_context(replay_paused(url))
            self.sees_his_change(400)
            shopping = cart(quantity=2)
            self.assertEqual(must(200, "GET", "/carts/" + shopping["id"])["version"], shopping["version"])


class ThePrimary(Case):
    def test_stopped_leaves_reads_and_refuses_writes_in_time(self):
        sku, shopping = product(), cart()
        with stopped("pg-primary"):
            self.status_names("pg.primary")
            self.reads_go_on(sku)
            self.refused_for_now(api("POST", "/carts", {}))
            until(10, "writes to be refused at once", lambda: self.refused_fast())
            self.refused_for_now(api("POST", f"/carts/{shopping['id']}/lines", {"sku": sku, "quantity": 1}, key=new_key()))
            self.refused_for_now(api("PUT", f"/products/{sku}", {"name": "x", "categories": [], "price": {"amount": 1, "currency": "GBP"}},
                                     owner(), new_key()))
            self.ready_for_reads()
        until(20, "writes", lambda: api("POST", "/carts", {}).status == 201)
        self.assertEqual(must(200, "GET", "/carts/" + shopping["id"])["version"], shopping["version"])
        self.assertEqual(order()["status"], "paid")
        self.status_is_well()

    def reads_go_on(self, sku):
        for _ in range(5):
            self.answers_quickly("GET", "/products/" + sku, 200, 1)
            self.answers_quickly("GET", "/products?category=lighting/candles&limit=3", 200, 1)
            self.answers_quickly("GET", "/products?q=candle&limit=3", 200, 3)
            self.answers_quickly("GET", "/categories", 200, 1)

    def refused_fast(self):
        began = time.monotonic()
        self.refused_for_now(api("POST", "/carts", {}, key=new_key()))
        return time.monotonic() - began < 1

    def ready_for_reads(self):
        """Were nobody ready, whoever balances by /readyz would take the reads away, too; the page tells what is missing."""
        for name in instances("product"):
            door = urllib.parse.urlsplit("http://" + listen_of(name))
            reply = ask("GET", "/readyz", door=door)
            self.assertEqual((reply.status, reply.json()["pg.primary"]), (200, False))


class Redis(Case):
    def test_stopped_makes_the_shop_slower_and_nothing_else(self):
        sku, method = product(), card()
        with stopped("redis"):
            self.status_names("redis")
            for _ in range(5):
                self.answers_quickly("GET", "/products/" + sku, 200, 2)
                self.answers_quickly("GET", "/products?limit=3", 200, 2)
            shopping = cart(sku=sku)
            bought = self.answers_quickly("POST", f"/carts/{shopping['id']}/checkout", 201, 10, body=purchase(shopping, method), key=new_key())
            self.assertEqual(bought.json()["status"], "paid")
            put_product("SPEC-REDIS", 100)
        put_product("SPEC-REDIS", 200)
        until(3, "what was changed meanwhile not to be hidden by the cache", lambda: all(
            ask("GET", "/api/v1/products/SPEC-REDIS").json()["list_price"]["amount"] == 200 for _ in range(6)))
        self.status_is_well()


class Nginx(Case):
    def test_whose_master_is_killed_serves_on_and_has_a_new_one(self):
        old = pid_of("nginx")
        kill(old)
        self.answers_quickly("GET", "/products?limit=3", 200, 2)
        until(30, "another master to stay", lambda: (pid_of("nginx") or old) != old)
        until(30, "its workers to serve alone", lambda: not left_by(old))
        self.answers_quickly("GET", "/products?limit=3", 200, 2)


def left_by(group):
    """The processes of NGINX that are still in this group, which supervisord made for their master."""
    return subprocess.run(["pgrep", "-x", "-g", str(group), "nginx"], capture_output=True, text=True, check=False).stdout.split()


class Supervisord(unittest.TestCase):
    def test_that_was_killed_leaves_nothing_that_down_would_not_end(self):
        with tempfile.TemporaryDirectory(prefix="fastr-") as folder:
            folder = os.path.realpath(folder)
            program = shutil.copy("/bin/sleep", folder + "/fastr")
            child = subprocess.Popen([program, "60"], env={"SUPERVISOR_SERVER_URL": f"unix://{folder}/var/run/supervisor"})
            try:
                os.mkdir(folder + "/var")
                down = subprocess.run([ROOT + "/bin/down"], env={**os.environ, "FASTR_VAR": folder + "/var"},
                                      capture_output=True, text=True, timeout=90, check=False)
                self.assertEqual(down.returncode, 0, down.stderr)
                self.assertIn("killed has left running", down.stdout)
                self.assertEqual(child.wait(5), -signal.SIGTERM)
            finally:
                child.kill()
                child.wait()


def events_of_once(key):
    """The types of a key's events in Kafka; one that was published twice counts once, by its id."""
    return list({event["id"]: event["type"] for event in events_of(key)}.values())


class Kafka(Case):
    def test_stopped_holds_up_events_and_mails_but_no_order(self):
        with stopped("kafka"):
            self.status_names("kafka")
            bought = order()
            self.assertEqual(bought["status"], "paid")
            unsent = f"select count(*) from \"order\".outbox where key = '{bought['id']}' and sent_at is null"
            self.assertEqual(count(unsent), 2)
        until(40, "its events", lambda: events_of_once(bought["id"]) == ["order.placed.v1", "order.paid.v1"])
        self.assertEqual(until(10, "them to be marked", lambda: count(unsent) == 0), True)
        until(40, "two mails", lambda: len(mails(bought["email"])) == 2)
        self.status_is_well()


class Auth(Case):
    def test_stopped_breaks_sign_in_alone(self):
        if TOPOLOGY == "one":
            return  # auth is not a process of its own there
        person = customer()
        must(200, "GET", "/users/me", token=person["token"])  # so that the keys of auth are on disk
        with stopped(*instances("auth")):
            self.status_names("auth")
            self.refused_for_now(api("POST", "/auth/tokens", {"email": person["email"], "password": PASSWORD}))
            # New workers, which have asked auth nothing yet, verify with the keys on disk.
            names = instances("user") + instances("order")
            for name in names:
                kill(workers(name)[name + ".0"])
            for name in names:
                until(30, name, lambda name=name: is_ready(name))
            for _ in range(4):
                self.answers_quickly("GET", "/users/me", 200, 2, token=person["token"])
            self.assertEqual(api("GET", "/users/me", token=person["token"][:-4] + "AAAA").code, "token_invalid")
            self.assertEqual(order(person["token"])["status"], "paid")
        sign_in(person["email"], PASSWORD)
        self.status_is_well()


@contextlib.contextmanager
def stock_locked(sku):
    """Whoever wants units of the product waits."""
    with subprocess.Popen(["psql", "-X", "-At", PRIMARY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdin.write(f"begin;\nselect 'locked' from product.stock where sku = '{sku}' for update;\n")
        holder.stdin.flush()
        while holder.stdout.readline().strip() != "locked":
            if holder.poll() is not None:
                raise AssertionError("psql has ended")
        try:
            yield
        finally:
            holder.stdin.close()


def pid_of_life(life):
    """The process that holds the lock of var/run/LIFE.life; None if none does."""
    inode = os.stat(f"{VAR}/run/{life}.life").st_ino
    with open("/proc/locks", encoding="ascii") as file:
        held = [line.split() for line in file]
    pids = [int(words[4]) for words in held if words[1] == "FLOCK" and words[5].endswith(f":{inode}")]
    return pids[0] if pids else None


class ACheckout(Case):
    """Killed while it waits for the stock: the cart is closed, and its order there, with a lease."""

    def asks_until_it_ends(self, path, body, key, since):
        """The last reply to the key, and the seconds since `since`."""
        def ended():
            reply = api("POST", path, body, key=key)
            return reply if reply.status not in (409, 502, 503) else None
        reply = until(15, "the checkout to end", ended)
        return reply, time.monotonic() - since

    def waits_in(self, table, what):
        """The life of the process that holds this row."""
        return until(10, "a run of " + table, lambda: psql(PRIMARY, f"select {what}"))

    def test_whose_process_is_killed_is_finished_by_the_next_request_with_its_key(self):
        sku, method, key = "SPEC-KILLED", card(), new_key()
        product(sku)
        shopping = cart(sku=sku)
        path, body = f"/carts/{shopping['id']}/checkout", purchase(shopping, method)
        with concurrent.futures.ThreadPoolExecutor(3) as shoppers:
            with stock_locked(sku):
                first = shoppers.submit(api, "POST", path, body, key=key)
                runs_order = self.waits_in("orders", f"lease_worker from \"order\".orders where cart_id = '{shopping['id']}'")
                runs_cart = self.waits_in("keys", f"worker from cart.idempotency_keys where key = '{key}' and state = 'running'")
                self.assertEqual(api("POST", path, body, key=key).code, "idempotency_running")
                for pid in {pid_of_life(runs_cart), pid_of_life(runs_order)}:
                    kill(pid)
                killed = time.monotonic()
            retries = [shoppers.submit(self.asks_until_it_ends, path, body, key, killed) for _ in range(2)]
            done = [retry.result() for retry in retries]
            replies = [reply for reply, _ in done] + [first.result()]
        for reply, seconds in done:
            self.assertEqual((reply.status, reply.json().get("status")), (201, "paid"), reply)
            self.assertLess(seconds, 3)
        self.assertEqual([reply.replayed for reply in replies if reply.status == 201].count(False), 1, replies)
        orders = f"(select id from \"order\".orders where cart_id = '{shopping['id']}')"
        self.assertEqual(count(f"select count(*) from {orders} as o"), 1)
        self.assertEqual(count(f"select count(*) from payment.ledger l join payment.payments p on p.id = l.payment_id "
                               f"where p.order_id in {orders} and l.kind = 'capture' and l.state = 'succeeded'"), 1)

    def test_whose_order_is_still_being_placed_when_its_own_process_has_ended_waits_for_that_order(self):
        sku, method, key, life = "SPEC-KILLED", card(), new_key(), uuid.uuid4().hex
        product(sku)
        shopping = cart(sku=sku)
        path, body = f"/carts/{shopping['id']}/checkout", purchase(shopping, method)
        with concurrent.futures.ThreadPoolExecutor(2) as shoppers:
            with stock_locked(sku):
                first = shoppers.submit(api, "POST", path, body, key=key)
                self.waits_in("orders", f"lease_worker from \"order\".orders where cart_id = '{shopping['id']}'")
                with open(f"{VAR}/run/{life}.life", "x", encoding="ascii"): # as a process leaves it
                    psql(PRIMARY, f"update cart.idempotency_keys set worker = '{life}' where key = '{key}'")
                retry = shoppers.submit(api, "POST", path, body, key=key)
                self.waits_in("keys", f"worker from cart.idempotency_keys where key = '{key}' and worker <> '{life}'")
            os.unlink(f"{VAR}/run/{life}.life")
            replies = [retry.result(), first.result()]
        self.assertEqual([reply.status for reply in replies], [201, 201], replies)
        self.assertEqual(replies[0].json()["id"], replies[1].json()["id"])
        self.assertEqual(count(f"select count(*) from \"order\".attempts a join \"order\".orders o on o.id = a.order_id "
                               f"where o.cart_id = '{shopping['id']}'"), 1)


class AProcessThatStarts(Case):
    def log_since(self, name, offset):
        with open(f"{VAR}/log/{name}.log", encoding="utf-8") as file:
            file.seek(offset)
            return file.read()

    def test_before_its_engines_waits_for_them_and_says_so(self):
        name = instances("order")[0]  # which consumes, so that it misses Kafka at once
        with stopped(*ENGINES):
            offset = os.path.getsize(f"{VAR}/log/{name}.log")
            supervisor("restart", name)
            began = until(20, name + " to run", lambda: pid_of(name))
            for what in ("pg: primary is left out", "pg: replica.1 is left out", "redis is away", "kafka: no broker is left"):
                until(20, f"it to say: {what}", lambda what=what: what in self.log_since(name, offset))
            self.assertFalse(is_ready(name))
            self.assertEqual(pid_of(name), began)
        self.assertEqual(pid_of(name), began)
        until(20, "a cart", lambda: api("POST", "/carts", {}).status == 201)
        self.status_is_well()

    def refuses_without(self, setting, service="notification"):
        """bin/fastr without the instance's addresses, and with settings that lack one line."""
        with open(ROOT + "/conf/fastr.lua", encoding="utf-8") as file:
            lines = file.read().split("\n")
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/fastr.lua", "w", encoding="utf-8") as file:
                file.write("\n".join(line for line in lines if setting.split(".")[-1] + " = " not in line))
            clean = {name: value for name, value in os.environ.items() if not name.startswith("FASTR_")}
            clean.update(FASTR_CONF=folder + "/fastr.lua", FASTR_VAR=folder, FASTR_LISTEN="127.0.0.1:0")
            binary = os.path.join(ROOT, os.environ.get("FASTR_BUILD", "build"), "fastr")
            return subprocess.run([binary, "serve", service], capture_output=True, text=True, timeout=30, env=clean, cwd=ROOT)

    def test_without_a_setting_refuses_and_names_it(self):
        for setting in ("pg.primary", "kafka.brokers", "redis.address", "smtp.url", "public_url"):
            done = self.refuses_without(setting)
            self.assertNotEqual(done.returncode, 0, setting)
            self.assertIn(f"setting {setting} ", done.stderr)
            self.assertIn("FASTR_" + setting.upper().replace(".", "_"), done.stderr)


class TheRelay(Case):
    def holder_of(self, service):
        return psql(PRIMARY, f'select holder from "{service}".outbox_lease')

    def test_that_dies_with_the_lease_is_replaced_within_seconds(self):
        holder = until(20, "a holder", lambda: self.holder_of("cart"))
        names = instances("cart")
        before = workers(*names).values()
        for name in names:
            kill(pid_of(name))
        began = time.monotonic()
        # They still answer while they finish what they have, and keep their master's successor waiting meanwhile.
        until(30, "the old workers to end", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before))
        all_ready()
        bought = order()
        until(10, "its events", lambda: count(
            f"select count(*) from \"order\".outbox where key = '{bought['id']}' and sent_at is not null") == 2)
        until(10, "another holder", lambda: self.holder_of("cart") != holder)
        self.assertLess(time.monotonic() - began, 30)


if __name__ == "__main__":
    main()
