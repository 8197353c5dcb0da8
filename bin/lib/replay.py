"""replay: places invoices through the shop's public API and checks money, stock and events afterwards.

Each invoice is one guest: a cart, its lines, an address, a card, a checkout with the total that was computed here. All
requests that change something carry an Idempotency-Key and are sent again, with the same key, when a connection is
lost or the shop answers that it is busy: so killing any of its processes meanwhile must lose nothing.

Leans on Python's standard library, psql, and confluent_kafka for reading the topic back. Knows nothing of the shop's
code: totals are recomputed from the catalogue's prices and what the cart says was taken off each line.
"""
import argparse
import collections
import csv
import http.client
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 90  # seconds that one request may take with all its repetitions
AGAIN = {502, 503, 504}
COUNTRIES = {"United Kingdom": "GB", "Germany": "DE", "EIRE": "IE", "France": "FR", "Norway": "NO", "Lithuania": "LT",
             "Italy": "IT", "Japan": "JP", "Australia": "AU", "Belgium": "BE", "Poland": "PL", "Portugal": "PT",
             "Switzerland": "CH", "Spain": "ES", "Netherlands": "NL"}
CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": time.gmtime().tm_year + 2, "cvc": "123"}


class Refused(Exception):
    """The shop said no, and meant it: status and problem document."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem.get('code')}: {problem.get('detail')}")
        self.status, self.problem, self.code = status, problem, problem.get("code")


class Wrong(Exception):
    """The shop's answer is not what was computed here."""


# ---- HTTP ----------------------------------------------------------------------------------------------------------

class Client:
    """One keep-alive connection to the shop; used by one thread."""

    def __init__(self, url, counts):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.counts = parts.hostname, parts.port or 80, counts
        self.connection = None

    def _once(self, method, path, body, headers):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        self.connection.request(method, "/api/v1" + path, body, headers)
        response = self.connection.getresponse()
        text = response.read()
        return response, json.loads(text) if text else None

    def _drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def call(self, method, path, body=None, headers=None):
        """Returns status, body, headers of a 2xx or 402; raises Refused. Repeats what may be repeated."""
        sent = {"Accept": "application/json", **(headers or {})}
        if method != "GET":
            sent["Idempotency-Key"] = str(uuid.uuid4())
        text = None if body is None else json.dumps(body)
        if text is not None:
            sent["Content-Type"] = "application/json"
        end, pause = time.monotonic() + PATIENCE, 0.1
        while True:
            try:
                response, reply = self._once(method, path, text, sent)
                if response.status < 300 or response.status == 402:
                    return response.status, reply, response.headers
                running = (reply or {}).get("code") in ("idempotency_running", "checkout_running")
                if response.status not in AGAIN and not running:
                    raise Refused(response.status, reply or {})
                why = (reply or {}).get("code") or str(response.status)
            except (OSError, http.client.HTTPException, ValueError) as lost:
                self._drop()
                why = type(lost).__name__
            self.counts["repeated: " + why] += 1
            if time.monotonic() > end:
                raise Refused(0, {"code": "gave_up", "detail": f"{method} {path} for {PATIENCE} s: {why}"})
            time.sleep(pause)
            pause = min(pause * 1.7, 2)


# ---- what there is to place ----------------------------------------------------------------------------------------

def catalogue(client):
    """Every product's list price and price, by SKU."""
    products, cursor = {}, ""
    while True:
        _, page, _ = client.call("GET", "/products?limit=100" + (cursor and "&cursor=" + urllib.parse.quote(cursor)))
        for item in page["items"]:
            products[item["sku"]] = (item["list_price"]["amount"], item["price"]["amount"])
        cursor = page["next_cursor"]
        if not cursor:
            return products


def read_invoices(path):
    invoices = collections.OrderedDict()
    with open(path, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                row["quantity"], row["unit_price_minor"] = int(row["quantity"]), int(row["unit_price_minor"])
            except (KeyError, TypeError, ValueError):
                sys.exit(f"replay-orders: {path}:{number}: quantity and unit_price_minor must be whole numbers")
            invoices.setdefault(row["invoice"], []).append(row)
    return invoices


def reason_against(row, products):
    """Why a line cannot be sold, or None."""
    if row["invoice"].startswith("C"):
        return "cancellation"
    if row["sku"] not in products:
        return "unknown SKU"
    if row["quantity"] <= 0:
        return "no positive quantity"
    if row["unit_price_minor"] <= 0:
        return "zero price on the invoice"
    if row["quantity"] > 9999:
        return "more than 9999 units"
    return None


def sort_lines(rows, products, refused):
    """{sku: units} to buy, and what the invoice asked for them in minor units."""
    wanted, own_price = collections.OrderedDict(), 0
    for row in rows:
        reason = reason_against(row, products)
        if reason:
            refused[reason] += 1
            continue
        wanted[row["sku"]] = wanted.get(row["sku"], 0) + row["quantity"]
        own_price += row["quantity"] * row["unit_price_minor"]
    return wanted, own_price


# ---- the independent arithmetic ------------------------------------------------------------------------------------

def included_tax(gross, percent):
    """What of a gross amount is tax, the net amount rounded half up."""
    net = (gross * 200 + 100 + percent) // (2 * (100 + percent))
    return gross - net


def check_line(line, wanted, products):
    """A line's money, from the catalogue's price and the quantity that was asked for."""
    sku, units = line["sku"], wanted[line["sku"]]
    list_price, price = products[sku]
    expected = {"quantity": units, "list_price": list_price, "unit_price": price, "subtotal": price * units}
    found = {name: line[name] if name == "quantity" else line[name]["amount"] for name in expected}
    if found != expected:
        raise Wrong(f"line {sku}: {found}, expected {expected}")
    if line["total"]["amount"] != line["subtotal"]["amount"] - line["discount"]["amount"]:
        raise Wrong(f"line {sku}: total is not subtotal less discount")
    if line["tax_included"]["amount"] not in (0, included_tax(line["total"]["amount"], 20)):
        raise Wrong(f"line {sku}: {line['tax_included']['amount']} of tax in {line['total']['amount']}")
    if not 0 <= line["discount"]["amount"] <= line["subtotal"]["amount"]:
        raise Wrong(f"line {sku}: a discount of {line['discount']['amount']}")


def expected_total(cart, wanted, products, fee):
    """The cart's total as it should be; raises Wrong where the cart says anything else."""
    if {line["sku"] for line in cart["lines"]} != set(wanted):
        raise Wrong("the cart's lines are not those that were added")
    for line in cart["lines"]:
        check_line(line, wanted, products)
    totals = {name: money["amount"] for name, money in cart["totals"].items()}
    items = sum(products[sku][1] * units for sku, units in wanted.items())
    discount = sum(line["discount"]["amount"] for line in cart["lines"])
    if not 0 <= totals["shipping_discount"] <= fee:
        raise Wrong(f"a shipping discount of {totals['shipping_discount']} on a fee of {fee}")
    sums = {"items": items, "discount": discount, "shipping": fee,
            "total": items - discount + fee - totals["shipping_discount"] + totals["tax"]}
    for name, amount in sums.items():
        if totals[name] != amount:
            raise Wrong(f"totals.{name} is {totals[name]}, computed {amount}")
    return sums["total"]


# ---- one shopper ---------------------------------------------------------------------------------------------------

def country_of(rows):
    name = rows[0].get("country") or ""
    return COUNTRIES.get(name, name if len(name) == 2 and name.isupper() else "GB")


def fill(client, cart, wanted, refused):
    """Adds the lines; what the shop refuses by name is left out and counted."""
    while wanted:
        try:
            lines = [{"sku": sku, "quantity": units} for sku, units in wanted.items()]
            for i in range(0, len(lines), 1000):
                client.call("POST", f"/carts/{cart}/lines", lines[i:i + 1000])
            return
        except Refused as no:
            named = [error.get("path") for error in no.problem.get("errors", []) if error.get("path") in wanted]
            if not named:
                raise
            for sku in set(named):
                del wanted[sku]
                refused["refused by the shop: " + no.code] += 1


def address_of(invoice, rows):
    return {"name": "Customer " + (rows[0].get("customer") or "of " + invoice), "line1": "1 Invoice Road",
            "city": "London", "postcode": "N1 1AA", "country": country_of(rows)}


def shipping_options(client, cart):
    """{method: fee} for the cart as it is."""
    _, options, _ = client.call("GET", f"/carts/{cart}/shipping-options")
    return {option["method"]: option["fee"]["amount"] for option in options["items"]}


def describe(client, cart, invoice, rows):
    """E-mail, address and the first shipping method, which is returned."""
    email = f"customer-{rows[0].get('customer') or invoice}@example.com".lower()
    client.call("PATCH", f"/carts/{cart}", {"email": email, "shipping_address": address_of(invoice, rows)})
    options = shipping_options(client, cart)
    if not options:
        raise Refused(0, {"code": "no_shipping", "detail": "no shipping method for " + country_of(rows)})
    method = next(iter(options))
    client.call("PATCH", f"/carts/{cart}", {"shipping_method": method})
    return method


def without_short_lines(client, cart, wanted, no, refused):
    """Takes out of the cart what is out of stock."""
    for error in no.problem.get("errors", []):
        if error.get("path") in wanted:
            client.call("DELETE", f"/carts/{cart}/lines/{urllib.parse.quote(error['path'])}")
            del wanted[error["path"]]
            refused["out of stock"] += 1


def wait_until_paid(client, order, token):
    end = time.monotonic() + PATIENCE
    while order["status"] == "placing" and time.monotonic() < end:
        time.sleep(0.5)
        _, order, _ = client.call("GET", "/orders/" + order["id"], headers={"Fastr-Order": token})
    return order


def check_out(client, cart, card, wanted, products, method, refused):
    """Pays what was computed here. Returns the order, or None if nothing could be had."""
    while wanted:
        _, view, _ = client.call("GET", f"/carts/{cart}")
        total = expected_total(view, wanted, products, shipping_options(client, cart)[method])
        try:
            status, order, _ = client.call("POST", f"/carts/{cart}/checkout", {
                "payment_method": card, "expected_total": {"amount": total, "currency": view["currency"]}})
        except Refused as no:
            if no.code != "insufficient_stock":
                raise
            without_short_lines(client, cart, wanted, no, refused)
            continue
        if status == 402:
            raise Refused(402, order)
        if status == 202:
            order = {**order, **wait_until_paid(client, order, order["order_token"])}
        if order["totals"]["total"]["amount"] != total:
            raise Wrong(f"the order's total is {order['totals']['total']['amount']}, agreed was {total}")
        return order
    return None


def shop(client, invoice, rows, products, refused):
    """Buys one invoice: {id, total, own, units} or None when none of its lines can be bought."""
    wanted, own_price = sort_lines(rows, products, refused)
    if not wanted:
        return None
    _, cart, _ = client.call("POST", "/carts", {})
    fill(client, cart["id"], wanted, refused)
    method = describe(client, cart["id"], invoice, rows)
    _, card, _ = client.call("POST", "/payment-methods", {"card": CARD})
    order = check_out(client, cart["id"], card["id"], wanted, products, method, refused)
    if order is None:
        return None
    goods = order["totals"]["items"]["amount"]
    return {"id": order["id"], "invoice": invoice, "status": order["status"], "goods": goods, "own": own_price,
            "total": order["totals"]["total"]["amount"], "units": dict(wanted)}


# ---- all of them ---------------------------------------------------------------------------------------------------

class Replay:
    """The work and what came of it; shared by the shoppers' threads."""

    def __init__(self, options, invoices, products):
        self.options, self.products, self.total = options, products, len(invoices)
        self.work, self.lock = queue.Queue(), threading.Lock()
        self.placed, self.failed, self.done, self.empty = [], [], 0, 0
        self.refused, self.counts = collections.Counter(), collections.Counter()
        for entry in invoices.items():
            self.work.put(entry)

    def _one(self, client, invoice, rows):
        refused = collections.Counter()
        try:
            order, failed = shop(client, invoice, rows, self.products, refused), None
        except (Refused, Wrong) as why:
            order, failed = None, f"{invoice}: {why}"
        with self.lock:
            self.refused.update(refused)
            self.done += 1
            if failed:
                self.failed.append(failed)
            elif order:
                self.placed.append(order)
            else:
                self.empty += 1
            self.show(order, failed)

    def show(self, order, failed):
        if self.options.verbose and order:
            print(f"  {order['invoice']:>8}  {order['goods'] / 100:12.2f}  invoice {order['own'] / 100:12.2f}"
                  f"  {order['status']}")
        if failed:
            print(("\r\033[K" if sys.stdout.isatty() else "") + "  failed  " + failed, flush=True)
        if sys.stdout.isatty():
            filled = self.done * 40 // self.total
            print(f"\r  [{'#' * filled}{'.' * (40 - filled)}] {self.done}/{self.total}", end="", flush=True)
        elif self.done % max(1, self.total // 10) == 0:
            print(f"  {self.done}/{self.total} invoices", flush=True)

    def _shopper(self):
        client = Client(self.options.url, self.counts)
        while True:
            try:
                invoice, rows = self.work.get_nowait()
            except queue.Empty:
                return
            self._one(client, invoice, rows)

    def run(self):
        begun = time.monotonic()
        threads = [threading.Thread(target=self._shopper) for _ in range(self.options.at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds = time.monotonic() - begun
        if sys.stdout.isatty():
            print("\r\033[K", end="")


# ---- does it add up? -----------------------------------------------------------------------------------------------

def sql(statement):
    """Rows of a statement, as lists of texts."""
    done = subprocess.run(["psql", "-X", "-q", "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1", os.environ["PG_PRIMARY"]],
                          input=statement, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit("replay-orders: cannot ask the database: " + done.stderr.strip())
    return [line.split("\t") for line in done.stdout.splitlines()]


def with_orders(replay, statement):
    """The statement, able to join `placed`: this run's orders with the totals that were agreed."""
    rows = ",".join(f"('{o['id']}'::uuid,{o['total']}::bigint)" for o in replay.placed) or "(null::uuid,null::bigint)"
    return f"with placed(id, total) as (values {rows}) {statement}"


def quiet(replay):
    """Waits until none of the orders is worked on and every event is published; how long at most: one minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        left = sql(with_orders(replay, "select (select count(*) from \"order\".orders join placed using (id)"
                   "   where work is not null)"
                   " + (select count(*) from \"order\".outbox where sent_at is null)"
                   " + (select count(*) from product.outbox where sent_at is null)"
                   " + (select count(*) from payment.outbox where sent_at is null)"))
        if left[0][0] == "0":
            return 0
        time.sleep(0.5)
    return int(left[0][0])


def check_money(replay):
    agreed = sum(order["total"] for order in replay.placed)
    row = sql(with_orders(replay, """select count(o.id), coalesce(sum(o.total), 0),
        count(*) filter (where o.total is distinct from p.total
          or o.status not in ('paid', 'fulfilling', 'shipped', 'delivered'))
        from placed p left join "order".orders o using (id)"""))[0]
    yield "orders acknowledged and there", len(replay.placed), int(row[0])
    yield "their totals, agreed and stored", agreed, int(row[1])
    yield "orders with another total or not paid", 0, int(row[2]) if replay.placed else 0
    paid = sql(with_orders(replay, """select coalesce(sum(a.amount), 0), count(*) from "order".attempts a
        join placed p on p.id = a.order_id where a.status in ('authorised', 'captured')"""))[0]
    yield "paid by their payments", agreed, int(paid[0])
    booked = sql(with_orders(replay, """select coalesce(sum(l.amount) filter (where l.kind = 'capture'), 0)
          - coalesce(sum(l.amount) filter (where l.kind = 'refund'), 0)
        from payment.ledger l join payment.payments y on y.id = l.payment_id join placed p on p.id = y.order_id
        where l.state = 'succeeded'"""))[0]
    yield "captured and kept in payment's ledger", agreed, int(booked[0])
    book = sql(with_orders(replay, """select coalesce(sum(e.amount) filter (where e.kind = 'capture'), 0)
          - coalesce(sum(e.amount) filter (where e.kind = 'refund'), 0)
        from provider.entries e join provider.charges c on c.id = e.charge_id
        join placed p on p.id::text = c.reference"""))[0]
    yield "captured and kept in the provider's book", agreed, int(book[0])


def check_stock(replay):
    units = sum(sum(order["units"].values()) for order in replay.placed)
    taken = sql(with_orders(replay, """select coalesce(-sum(m.on_hand_delta), 0) from product.movements m
        join placed p on p.id = m.order_id where m.kind = 'commit'"""))[0][0]
    yield "units sold and taken off the shelf", units, int(taken)
    left = sql(with_orders(replay, "select count(*) from product.holds h join placed p on p.id = h.order_id"))[0][0]
    yield "holds left by these orders", 0, int(left)
    drift = sql("""select count(*) from product.stock s left join (
        select sku, sum(on_hand_delta) as n, sum(held_delta) as h from product.movements group by sku) m using (sku)
        left join (select sku, sum(quantity) as h from product.holds group by sku) q using (sku)
        where s.on_hand <> coalesce(m.n, 0) or coalesce(m.h, 0) <> coalesce(q.h, 0)""")[0][0]
    yield "products whose stock is not their ledger's sum", 0, int(drift)


def events_in_kafka(since_ms):
    """How often each (order, type) lies in topic `order` since then, each event id counted once."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": os.environ["KAFKA_BROKERS"], "group.id": "replay-" + uuid.uuid4().hex,
                         "enable.auto.commit": False})
    partitions = consumer.list_topics("order", timeout=10).topics["order"].partitions
    starts = consumer.offsets_for_times([TopicPartition("order", p, since_ms) for p in partitions], timeout=10)
    ends = {p: consumer.get_watermark_offsets(TopicPartition("order", p), timeout=10)[1] for p in partitions}
    waiting = {s.partition for s in starts if 0 <= s.offset < ends[s.partition]}
    consumer.assign([s for s in starts if s.partition in waiting])
    seen, counts, end = set(), collections.Counter(), time.monotonic() + 60
    while waiting and time.monotonic() < end:
        message = consumer.poll(1)
        if message is None or message.error():
            continue
        event = json.loads(message.value())
        if event["id"] not in seen:
            seen.add(event["id"])
            counts[(event["subject"], event["type"])] += 1
        if message.offset() + 1 >= ends[message.partition()]:
            waiting.discard(message.partition())
    consumer.close()
    return counts


def check_events(replay, since_ms):
    n = len(replay.placed)
    for kind in ("order.placed.v1", "order.paid.v1"):
        rows = sql(with_orders(replay, f"""select count(*), count(distinct x.key) from "order".outbox x
            join placed p on p.id::text = x.key where x.topic = 'order' and x.type = '{kind}'
              and x.sent_at is not null"""))[0]
        yield f"{kind} published, each order once", n, int(rows[0]) if rows[0] == rows[1] else -1
    ids = {order["id"] for order in replay.placed}
    counts = events_in_kafka(since_ms)
    for kind in ("order.placed.v1", "order.paid.v1"):
        once = sum(1 for (order, what), times in counts.items() if order in ids and what == kind and times == 1)
        yield f"{kind} in Kafka, each order once", n, once


def check(replay, since_ms):
    """Prints each check; returns how many do not add up."""
    bad = 0
    yielded = [("orders or events still under way", 0, quiet(replay))]
    for part in (check_money(replay), check_stock(replay), check_events(replay, since_ms)):
        yielded.extend(part)
    for what, expected, found in yielded:
        bad += expected != found
        print(f"  {'ok ' if expected == found else 'BAD'}  {what:<48} {found:>14,}" +
              ("" if expected == found else f"   expected {expected:,}"))
    return bad


# ---- report --------------------------------------------------------------------------------------------------------

def report(replay, lines):
    sold = sum(len(order["units"]) for order in replay.placed)
    units = sum(sum(order["units"].values()) for order in replay.placed)
    goods, own = sum(o["goods"] for o in replay.placed), sum(o["own"] for o in replay.placed)
    print(f"\n  invoices        {replay.total:>8}   lines {lines}")
    print(f"  placed          {len(replay.placed):>8}   with {sold} lines, {units} units")
    print(f"  nothing to buy  {replay.empty:>8}")
    print(f"  failed          {len(replay.failed):>8}")
    print(f"  orders a second {len(replay.placed) / max(replay.seconds, 0.001):>8.1f}   in {replay.seconds:.1f} s, "
          f"{replay.options.at_once} at a time")
    print(f"  goods           {goods / 100:>12,.2f} at the shop's prices; {own / 100:,.2f} on the invoices "
          f"({(goods - own) / 100:+,.2f})")
    print("\n  lines refused")
    for reason, count in replay.refused.most_common():
        print(f"    {reason:<40} {count:>7}")
    if replay.counts:
        print("\n  requests sent again")
        for reason, count in replay.counts.most_common():
            print(f"    {reason.removeprefix('repeated: '):<40} {count:>7}")
    print()


def main():
    parser = argparse.ArgumentParser(prog="replay-orders", add_help=False)
    parser.add_argument("file", nargs="?", default=os.path.join(ROOT, "data", "retail-orders.csv"))
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.url = os.environ["SHOP_URL"]
    if not os.path.exists(options.file):
        sys.exit(f"replay-orders: there is no file {options.file}")
    invoices = read_invoices(options.file)
    if options.limit:
        invoices = collections.OrderedDict(list(invoices.items())[:options.limit])
    since_ms = int(time.time() * 1000) - 1000
    replay = Replay(options, invoices, catalogue(Client(options.url, collections.Counter())))
    replay.run()
    report(replay, sum(len(rows) for rows in invoices.values()))
    bad = check(replay, since_ms)
    sys.exit(1 if bad or replay.failed else 0)


if __name__ == "__main__":
    main()
