"""attack: shoppers who race each other and press twice, while the shop's processes are killed and frozen under them; then
whether anything was lost, doubled or stuck.

    races    many at the last unit, a coupon's last use, one checkout, one refund, one key, one cart
    rounds   a crowd that buys, presses twice and cancels; a fault every moment, each with requests in flight and its
             effect seen; then quiet, and everything is compared (conserved.py), the shop's own reconciliation too

Leans on client.py, conserved.py, faults.py, and Python's standard library.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid

import conserved
import faults
import proof
import steps
from client import Client, Refused

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CARD = {"exp_month": 12, "exp_year": time.gmtime().tm_year + 2, "cvc": "123"}
USUAL = "4242424242424242"
CARDS = {USUAL: 8, "4000000000006025": 1, "4000000000006033": 1}  # of some the webhooks come twice, or out of order
ADDRESS = {"name": "A. Crowd", "line1": "1 Attack Road", "city": "London", "postcode": "N1 1AA", "country": "GB"}
LEAST_IN_FLIGHT = 20
CROWD = 28            # shoppers; at least LEAST_IN_FLIGHT of them wait for an answer at most moments
SHELF = 100000
RECOVERED_S = 60


class Meter:
    """How many requests are on their way, and how many there were."""

    def __init__(self):
        self.lock, self.now, self.all = threading.Lock(), 0, 0

    def __enter__(self):
        with self.lock:
            self.now += 1
            self.all += 1

    def __exit__(self, *_):
        with self.lock:
            self.now -= 1


class Shop:
    """What all shoppers of a run share: counts, clients of their threads, the owner's token, the products."""

    def __init__(self, url):
        self.url, self.meter, self.counts = url, Meter(), collections.Counter()
        self.local, self.lock = threading.local(), threading.Lock()
        self._token, self._until = None, 0

    def client(self):
        if not hasattr(self.local, "client"):
            self.local.client = Client(self.url, self.counts, self.meter)
        return self.local.client

    def call(self, *arguments, **named):
        return self.client().call(*arguments, **named)[1]

    def staff(self):
        with self.lock:
            if time.monotonic() > self._until:
                self._token, self._until = self._sign_in(), time.monotonic() + 240
            return {"Authorization": "Bearer " + self._token}

    def _sign_in(self):
        """A password is checked at low priority: under a crowd on a busy machine that may take a while."""
        for left in (2, 1, 0):
            try:
                return Client(self.url, self.counts).call("POST", "/auth/tokens", {
                    "email": os.environ["ADMIN_EMAIL"], "password": os.environ["ADMIN_PASSWORD"]})[1]["access_token"]
            except Refused as no:
                if no.code != "gave_up" or not left:
                    raise

    def product(self, units, price=1000):
        sku = "ATTACK-" + uuid.uuid4().hex[:12].upper()
        self.call("PUT", "/products/" + sku, {"name": "A thing to fight for", "categories": ["attack"],
                  "price": {"amount": price, "currency": "GBP"}}, self.staff())
        self.call("POST", f"/products/{sku}/stock", {"delta": units, "reason": "attack"}, self.staff())
        return sku

    def customer(self):
        """The headers of a new customer."""
        who = {"email": f"{uuid.uuid4().hex}@attack.example", "password": uuid.uuid4().hex}
        self.call("POST", "/users", {**who, "name": "A. Crowd"})
        return {"Authorization": "Bearer " + self.call("POST", "/auth/tokens", who)["access_token"]}

    def cart(self, lines, record, who=None, number=USUAL):
        """A cart that is ready to be paid, with the card to pay it; a guest's, or of the customer with these headers."""
        made = self.call("POST", "/carts", {}, who)
        with self.lock:
            record.carts.append(made["id"])
        path = "/carts/" + made["id"]
        self.call("POST", path + "/lines", [{"sku": sku, "quantity": n} for sku, n in lines.items()], who)
        self.call("PATCH", path, {"email": f"{uuid.uuid4().hex}@attack.example", "shipping_address": ADDRESS}, who)
        method = self.call("GET", path + "/shipping-options", None, who)["items"][0]["method"]
        ready = self.call("PATCH", path, {"shipping_method": method}, who)
        return ready, self.call("POST", "/payment-methods", {"card": {"number": number, **CARD}}, who)["id"]

    def check_out(self, cart, card, key=None, who=None):
        """Presses the button until it is known what came of it: the order, paid or not."""
        while True:
            status, order, headers = self.client().call("POST", f"/carts/{cart['id']}/checkout", {
                "payment_method": card, "expected_total": cart["totals"]["total"]}, who, key)
            if status == 402 and order.get("reason") == "not_received":
                key = None  # nothing was charged: he presses the button once more
                self.counts["repeated: checkout, as nothing was charged"] += 1
                continue
            if status != 202:
                return status, order, headers.get("Fastr-Order")
            order = self.wait_for(order)
            if order["status"] != "placing":
                return 201, order, order.get("order_token")
            key = None
            self.counts["repeated: checkout, its charge came to nothing"] += 1

    def wait_for(self, order):
        """The order once its payment, which was unknown, is known."""
        token, end = order["order_token"], time.monotonic() + 90
        while time.monotonic() < end:
            now = self.call("GET", "/orders/" + order["id"], headers={"Fastr-Order": token})
            over = now["payments"] and now["payments"][-1]["status"] in ("declined", "voided", "refunded")
            if now["status"] != "placing" or over:
                return {**now, "order_token": token}
            time.sleep(0.3)
        raise Refused(0, {"code": "gave_up", "detail": f"order {order['id']} was not known after 90 s"})


def at_once(count, work):
    """Runs work(i) in `count` threads that begin together: list of what they returned, or raised."""
    gate = threading.Barrier(count)

    def run(i):
        gate.wait()
        try:
            return work(i)
        except (Refused, AssertionError) as why:
            return why
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


# ---- races: each returns (what, expected, found), after which `record` holds what was acknowledged -----------------------

def paid(results):
    return [r for r in results if isinstance(r, tuple) and r[0] == 201 and r[1]["status"] == "paid"]


def note(record, results, units):
    for _, order, _ in {r[1]["id"]: r for r in paid(results)}.values():
        record.bought(order["id"], order["totals"]["total"]["amount"], units)


def ready_carts(shop, record, count, lines, customers=(None,)):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda i: shop.cart(lines, record, customers[i % len(customers)]), range(count)))


def last_units(shop, record, buyers=64, units=10):
    sku = shop.product(units)
    carts = ready_carts(shop, record, buyers, {sku: 1})
    results = at_once(buyers, lambda i: shop.check_out(*carts[i]))
    note(record, results, {sku: 1})
    yield f"{buyers} buyers of the last {units} units: orders", units, len(paid(results))
    refused = [r for r in results if isinstance(r, Refused) and r.code == "insufficient_stock"]
    yield "the others were told that there is none left", buyers - units, len(refused)
    yield "units left", 0, shop.call("GET", "/products/" + sku)["available"]


CODE = "WELCOME"  # a promotion of the standard rules, for a customer's first order
CUSTOMERS = 4     # who have all the carts with it: a new password takes half a second


def last_use(shop, record, clients=64):
    sku = shop.product(clients)
    customers = [shop.customer() for _ in range(CUSTOMERS)]
    carts = ready_carts(shop, record, clients, {sku: 1}, customers)
    owners = [customers[i % CUSTOMERS] for i in range(clients)]
    for (cart, _), who in zip(carts, owners):
        shop.call("POST", f"/carts/{cart['id']}/coupons", {"code": CODE}, who)
    used = coupon_uses(shop)
    shop.call("PUT", "/coupons/" + CODE, {"limit": used + 1}, shop.staff())
    try:
        carts = [(shop.call("GET", "/carts/" + cart["id"], None, who), card) for (cart, card), who in zip(carts, owners)]
        reduced = sum(1 for cart, _ in carts if cart["totals"]["discount"]["amount"] > 0)
        results = at_once(clients, lambda i: shop.check_out(*carts[i], who=owners[i]))
        uses = coupon_uses(shop) - used
    finally:
        shop.call("PUT", "/coupons/" + CODE, {}, shop.staff())  # no limit, as before
    note(record, results, {sku: 1})
    yield f"{clients} clients with a coupon of which one use is left: carts that show it", clients, reduced
    yield "orders at the reduced price", 1, len(paid(results))
    yield "uses counted", 1, uses


def coupon_uses(shop):
    try:
        return shop.call("GET", "/coupons/" + CODE, headers=shop.staff())["used"]
    except Refused:
        return 0


def double_checkout(shop, record, presses=12):
    sku = shop.product(100)
    cart, card = shop.cart({sku: 2}, record)
    key = str(uuid.uuid4())
    results = at_once(presses, lambda i: shop.check_out(cart, card, key if i % 2 else None))
    note(record, results, {sku: 2})
    yield f"{presses} presses on one checkout, half with one key: orders", 1, len({r[1]["id"] for r in paid(results)})
    yield "presses that were told of it", presses, len(paid(results))


def double_refund(shop, record, clerks=8):
    sku = shop.product(100)
    _, order, _ = shop.check_out(*shop.cart({sku: 1}, record))
    total = order["totals"]["total"]["amount"]
    payment = order["payments"][-1]["id"]
    part = {"amount": {"amount": total * 2 // 3, "currency": "GBP"}, "reason": "attack"}
    results = at_once(clerks, lambda _: (201, shop.call("POST", f"/payments/{payment}/refunds", part, shop.staff())))
    done = [r for r in results if isinstance(r, tuple)]
    record.bought(order["id"], total, {sku: 1}, refunded=part["amount"]["amount"] * len(done))
    yield f"{clerks} clerks refund two thirds at once: refunds", 1, len(done)


def same_key(shop, record, clients=16):
    sku, key = shop.product(100), str(uuid.uuid4())
    made = shop.call("POST", "/carts", {})
    record.carts.append(made["id"])
    at_once(clients, lambda _: shop.call("POST", f"/carts/{made['id']}/lines", {"sku": sku, "quantity": 3}, key=key))
    lines = shop.call("GET", "/carts/" + made["id"])["lines"]
    yield f"{clients} requests with one key add 3 units: units", 3, sum(line["quantity"] for line in lines)


def cart_edits(shop, record, hands=16):
    skus = [shop.product(100) for _ in range(4)]
    made = shop.call("POST", "/carts", {})
    record.carts.append(made["id"])
    at_once(hands, lambda i: shop.call("POST", f"/carts/{made['id']}/lines", {"sku": skus[i % 4], "quantity": 1}))
    lines = shop.call("GET", "/carts/" + made["id"])["lines"]
    yield f"{hands} hands add one unit each to one cart: units", hands, sum(line["quantity"] for line in lines)


RACES = (last_units, last_use, double_checkout, double_refund, same_key, cart_edits)


# ---- the crowd -----------------------------------------------------------------------------------------------------------

class Crowd:
    """Shoppers that buy until they are told to stop. Half of them buy, some press twice, some cancel afterwards."""

    def __init__(self, shop, record, size, seed):
        self.shop, self.record, self.failed, self.acknowledged = shop, record, [], []
        self.skus = [shop.product(SHELF) for _ in range(8)]
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._shopper, args=(random.Random(seed * 1000 + i),), daemon=True)
                        for i in range(size)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _shopper(self, chance):
        while not self.stopping.is_set():
            lines = {sku: chance.randint(1, 3) for sku in chance.sample(self.skus, chance.randint(1, 3))}
            card = chance.choices(list(CARDS), CARDS.values())[0]
            try:
                chance.choices((self._buy, self._press_twice, self._cancel), (5, 3, 2))[0](lines, card)
            except Refused as no:
                self.failed.append(str(no))

    def _told(self, began):
        self.acknowledged.append((began, time.monotonic()))

    def _bought(self, status, order, lines):
        if status != 201 or order["status"] not in ("paid", "fulfilling"):
            raise Refused(status, {"code": "not_paid", "detail": json.dumps(order)[:300]})
        self.record.bought(order["id"], order["totals"]["total"]["amount"], lines)

    def _buy(self, lines, number):
        cart, card = self.shop.cart(lines, self.record, None, number)
        began = time.monotonic()
        status, order, token = self.shop.check_out(cart, card)
        self._bought(status, order, lines)
        self._told(began)
        return order, token

    def _press_twice(self, lines, number):
        cart, card = self.shop.cart(lines, self.record, None, number)
        key, began = str(uuid.uuid4()), time.monotonic()
        results = at_once(2, lambda _: self.shop.check_out(cart, card, key))
        for each in results:
            if isinstance(each, Refused):
                raise each
        if results[0][1]["id"] != results[1][1]["id"]:
            raise Refused(0, {"code": "doubled", "detail": f"two orders of cart {cart['id']}"})
        self._bought(results[0][0], results[0][1], lines)
        self._told(began)

    def _cancel(self, lines, number):
        order, token = self._buy(lines, number)
        gone = self.shop.call("POST", f"/orders/{order['id']}/cancel", {}, {"Fastr-Order": token or order["order_token"]})
        if gone["status"] == "cancelled":
            self.record.cancelled(order["id"], order["totals"]["total"]["amount"], lines)

    def recovery(self, since):
        """Seconds from `since` until a checkout that began after it was acknowledged; None if none was."""
        first = min((end for began, end in list(self.acknowledged) if began > since), default=None)
        return None if first is None else first - since

    def goes_on(self, since):
        """Waits until a checkout that began after `since` is acknowledged."""
        return faults.until(lambda: self.recovery(since) is not None, RECOVERED_S)


def strike(crowd, fault):
    """Waits until enough is in flight, and hits; then until the target runs again. A row of the table, or None when the
    fault hit nothing."""
    meter = crowd.shop.meter
    if not faults.until(lambda: meter.now >= LEAST_IN_FLIGHT, 30):
        return None
    in_flight, since = meter.now, time.monotonic()
    if not fault.hit():
        return None
    if not faults.until(fault.is_over, RECOVERED_S):
        crowd.failed.append(f"does not run again after {RECOVERED_S} s: {fault}")
    return {"fault": fault, "in_flight": in_flight, "since": since}


# ---- after it ------------------------------------------------------------------------------------------------------------

def all_run(names):
    """Waits until every program that ran runs again."""
    return faults.until(lambda: set(names) <= set(faults.programs()), 90)


def reconciled(record, since):
    """What the shop's own comparison says of this run's orders."""
    done = subprocess.run([ROOT + "/bin/fastr", "run", "services.order.reconcile", "--now", "--json", "--since", since],
                          capture_output=True, text=True, timeout=300, env={**os.environ, "FASTR_LOG_LEVEL": "error"})
    if not done.stdout.startswith("{"):
        raise SystemExit("attack: the reconciliation did not run: " + done.stderr[-500:])
    found = [each["text"] for each in json.loads(done.stdout)["differences"] if each.get("order") in record.orders
             or each["code"] == "stock_drift"]
    for text in found:
        print("  BAD  " + text)
    return [("differences that the reconciliation names", 0, len(found))]


def given_again(since):
    """Every event of an order is given to the mails once more: none may have a second effect."""
    done = subprocess.run([ROOT + "/bin/fastr", "events", "replay", "notification", "order", "--since", since],
                          capture_output=True, text=True, timeout=300, env={**os.environ, "FASTR_LOG_LEVEL": "error"})
    found = re.search(r"(\d+) had no effect yet and have now.* (\d+) were parked", done.stdout)
    if not found:
        raise SystemExit("attack: the replay did not run: " + done.stdout + done.stderr[-500:])
    return [("events given again that had an effect again", 0, int(found[1]) + int(found[2]))]


class Totals:
    """What all rounds come to."""

    def __init__(self):
        self.rows, self.missed, self.checks, self.failed = [], 0, collections.OrderedDict(), []
        self.checkouts, self.enough = [], False
        self.acknowledged = self.mails_again = self.events_again = 0

    def add(self, found, record, failed):
        for what, expected, there in found:
            before = self.checks.get(what, (0, 0))
            self.checks[what] = (before[0] + expected, before[1] + there)
        self.failed += failed
        self.acknowledged += len(record.orders)
        self.mails_again += getattr(record, "repeated_mails", 0)
        self.events_again += getattr(record, "repeated_events", 0)


def settle(record, began_ms, programs, totals, failed):
    """Waits for quiet and compares; returns how much does not add up."""
    if not all_run(programs):
        print("  BAD  not everything runs again: " + ", ".join(sorted(set(programs) - set(faults.programs()))))
        return 1
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began_ms / 1000 - 1))
    found = conserved.check(record, began_ms) + reconciled(record, since) + given_again(since)
    totals.add(found, record, failed)
    bad = conserved.show(found, only_bad=True) + len(failed)
    for text in failed:
        print("  BAD  a shopper gave up: " + text, flush=True)
    return bad


def race_all(shop, totals, names, only):
    """The races, one after the other; how much does not add up."""
    bad, began_ms, record = 0, int(time.time() * 1000) - 1000, conserved.Record([])
    print("races")
    for race in (race for race in RACES if only in race.__name__):
        found = list(race(shop, record))
        bad += conserved.show(found)
        totals.checks.update({what: (expected, there) for what, expected, there in found})
    return bad + settle(record, began_ms, names, totals, [])


def recoveries(crowd, rows, verbose):
    """Fills in how long each fault was felt."""
    for row in rows:
        row["recovery"] = crowd.recovery(row["since"])
        if row["recovery"] is None:
            crowd.failed.append(f"nothing was acknowledged after: {row['fault']}")
        elif verbose:
            print(f"  {str(row['fault']):<28} {row['in_flight']:>3} in flight, recovered in {row['recovery']:.2f} s")


def between_steps(shop, totals, names):
    """A checkout killed between every two of its steps; how much does not add up."""
    with proof.live(steps.with_points):
        record, began_ms, bad = steps.try_all(shop)
    bad += settle(record, began_ms, names, totals, [])
    print("all adds up" if not bad else f"{bad} BAD")
    return bad


def one_round(shop, planned, options, totals, names, index):
    """A crowd, these faults, then quiet; how much does not add up."""
    record, began_ms, rows = conserved.Record([]), int(time.time() * 1000) - 1000, []
    crowd = Crowd(shop, record, options.crowd, options.seed + index)
    with crowd:
        crowd.goes_on(0)  # the first has bought: now many are at every step
        for fault in planned:
            if totals.enough:
                break
            row = strike(crowd, fault)
            rows += [row] if row else []
        crowd.goes_on(time.monotonic())
    totals.missed += len(planned) - len(rows)
    recoveries(crowd, rows, options.verbose)
    totals.rows += rows
    totals.checkouts += [end - began for began, end in crowd.acknowledged]
    bad = settle(record, began_ms, names, totals, crowd.failed)
    print(f"round {index + 1}: {len(rows)} faults, {len(record.orders)} orders acknowledged, "
          + ("all adds up" if not bad else f"{bad} BAD"), flush=True)
    return bad


# ---- the report ------------------------------------------------------------------------------------------------------------

def table(totals):
    """The rows of docs/reliability.md."""
    print("\n| fault | how often | in flight, least | recovery, median | worst |\n|---|---|---|---|---|")
    families = collections.defaultdict(list)
    for row in totals.rows:
        families[row["fault"].family()].append(row)
    for family, rows in sorted(families.items()) + [("**all**", totals.rows)]:
        times = [row["recovery"] for row in rows if row["recovery"] is not None]
        if times:
            print(f"| {family} | {len(rows)} | {min(row['in_flight'] for row in rows)} | {statistics.median(times):.2f} s "
                  f"| {max(times):.2f} s |")


def lost_and_doubled(totals):
    lost = doubled = 0
    for expected, there in totals.checks.values():
        lost, doubled = lost + max(0, expected - there), doubled + max(0, there - expected)
    return lost, doubled


def report(totals, shop, seconds):
    table(totals)
    lost, doubled = lost_and_doubled(totals)
    print(f"\nfaults {len(totals.rows)} (and {totals.missed} that hit nothing), requests {shop.meter.all:,}, "
          f"sent again {sum(shop.counts.values()):,}, orders acknowledged {totals.acknowledged:,}, "
          f"lost {lost}, doubled {doubled}, shoppers that gave up {len(totals.failed)}, in {seconds:.0f} s")
    if totals.checkouts:
        print(f"a checkout in the crowd, all its repetitions included: median {statistics.median(totals.checkouts):.2f} s, "
              f"worst {max(totals.checkouts):.2f} s")
    print("sent again: " + ", ".join(f"{n} {why.removeprefix('repeated: ')}" for why, n in shop.counts.most_common()))
    print(f"mails that arrived twice with one Message-ID: {totals.mails_again}; events published twice with one id: "
          f"{totals.events_again}")


def main():
    parser = argparse.ArgumentParser(prog="attack", add_help=False)
    parser.add_argument("--faults", type=int, default=12)
    parser.add_argument("--round", type=int, default=25)
    parser.add_argument("--crowd", type=int, default=CROWD)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    parser.add_argument("--only", default="")
    parser.add_argument("--no-races", action="store_true")
    parser.add_argument("--race", default="")
    parser.add_argument("--patience", type=int, default=conserved.QUIET_S)
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--prove", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if options.prove:
        sys.exit(1 if proof.prove() else 0)
    conserved.QUIET_S = options.patience
    shop, totals, bad, began = Shop(os.environ["SHOP_URL"]), Totals(), 0, time.monotonic()
    names = faults.programs()
    print(f"attack: seed {options.seed}", flush=True)
    if options.steps:
        sys.exit(1 if between_steps(shop, totals, names) else 0)
    if not options.no_races:
        bad += race_all(shop, totals, names, options.race)
    planned = [fault for fault in faults.plan(options.faults * (40 if options.only else 1), options.seed)
               if options.only in str(fault)][:options.faults]
    for end in (signal.SIGTERM, signal.SIGHUP):  # ends with what there is by then
        signal.signal(end, lambda *_: setattr(totals, "enough", True))
    for index, first in enumerate(range(0, len(planned), options.round)):
        if totals.enough:
            break
        bad += one_round(shop, planned[first:first + options.round], options, totals, names, index)
    report(totals, shop, time.monotonic() - began)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
