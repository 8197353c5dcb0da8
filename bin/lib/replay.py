"""replay: places invoices through the shop's public API and checks money, stock and events afterwards.

Each invoice is one guest: a cart, its lines, an address, a card, a checkout with the total that was computed here; with
--wholesale the shoppers are customers of the group `wholesale`, who have a price list with tiers. All
requests that change something carry an Idempotency-Key and are sent again, with the same key, when a connection is
lost or the shop answers that it is busy: so killing any of its processes meanwhile must lose nothing.

Leans on client.py, conserved.py and Python's standard library. Knows nothing of the shop's code: every cart is priced
again by an independent reading of the rules (pricing.py).
"""
import argparse
import collections
import csv
import os
import queue
import sys
import threading
import time
import urllib.parse
import uuid

import conserved
import pricing
import invoices as invoices_of_data  # of spec/oracle, where pricing finds the oracle too
from client import PATIENCE, Client, Person, Refused

GROUP = "wholesale"

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COUNTRIES = {"United Kingdom": "GB", "Germany": "DE", "EIRE": "IE", "France": "FR", "Norway": "NO", "Lithuania": "LT",
             "Italy": "IT", "Japan": "JP", "Australia": "AU", "Belgium": "BE", "Poland": "PL", "Portugal": "PT",
             "Switzerland": "CH", "Spain": "ES", "Netherlands": "NL"}
CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": time.gmtime().tm_year + 2, "cvc": "123"}


class Wrong(Exception):
    """The shop's answer is not what was computed here."""


# ---- the wholesale price list --------------------------------------------------------------------------------------

def put_price_list(staff, invoices, products):
    """Puts what the invoices show as the price list of the group `wholesale`: each price of a product from the least
    quantity on at which it was paid. Adds it to the products as rows of the oracle."""
    sold = [(row["sku"], row["quantity"], row["unit_price_minor"]) for rows in invoices.values() for row in rows
            if not reason_against(row, products)]
    tiers, lines = invoices_of_data.wholesale_tiers(sold), ["sku,currency,amount,customer_group,min_quantity"]
    for sku, steps in sorted(tiers.items()):
        lines.extend(f"{sku},GBP,{price},{GROUP},{quantity}" for quantity, price in steps)
        products[sku]["prices"] = invoices_of_data.wholesale_rows(steps)
    _, reply, _ = staff.call("PUT", "/price-lists", {"csv": "\n".join(lines) + "\n", "reason": "replay-orders --wholesale"})
    if reply["failed"]:
        sys.exit(f"replay-orders: the price list is refused: {reply['failed'][:3]}")


def wholesaler(staff, name):
    """A new customer of the group."""
    guest, account = Client(staff.url, staff.counts), {"email": name + "@example.com", "password": uuid.uuid4().hex}
    _, user, _ = guest.call("POST", "/users", {**account, "name": name})
    staff.call("PUT", f"/users/{user['id']}/group", {"group": GROUP})
    return Person(guest, **account)


def shoppers(options, invoices, products, counts):
    """A client for each shopper: guests, or new wholesale customers whose price list is that of the invoices."""
    if not options.wholesale:
        return [Client(options.url, counts) for _ in range(options.at_once)]
    owner = Person(Client(options.url, counts), os.environ["ADMIN_EMAIL"], os.environ["ADMIN_PASSWORD"])
    staff = Client(options.url, counts, person=owner)
    put_price_list(staff, invoices, products)
    people = [wholesaler(staff, f"wholesaler-{uuid.uuid4()}") for _ in range(options.at_once)]
    return [Client(options.url, counts, person=person, after=staff) for person in people]


# ---- what there is to place ----------------------------------------------------------------------------------------

def catalogue(client):
    """Every product by SKU: {list_price, price (minor units), categories, tax_category}."""
    products, cursor = {}, ""
    while True:
        _, page, _ = client.call("GET", "/products?limit=100" + (cursor and "&cursor=" + urllib.parse.quote(cursor)))
        for item in page["items"]:
            products[item["sku"]] = {"list_price": item["list_price"]["amount"], "price": item["price"]["amount"],
                                     "categories": item["categories"], "tax_category": item["tax_category"]}
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


class Wanted:
    """What of an invoice is to be bought, `units` by SKU, and why the rest is not. Each line is in one of both."""

    def __init__(self, rows, products):
        self.units, self.refused = collections.OrderedDict(), collections.Counter()
        self._lines, self._own, self.cart = collections.Counter(), collections.Counter(), None
        for row in rows:
            reason = reason_against(row, products)
            if reason:
                self.refused[reason] += 1
                continue
            sku = row["sku"]
            self.units[sku] = self.units.get(sku, 0) + row["quantity"]
            self._lines[sku] += 1
            self._own[sku] += row["quantity"] * row["unit_price_minor"]

    def drop(self, sku, reason):
        """Leaves a SKU out."""
        del self.units[sku]
        self.refused[reason] += self._lines[sku]

    def lines(self):
        """How many of the invoice's lines are to be bought."""
        return sum(self._lines[sku] for sku in self.units)

    def price_on_invoice(self):
        return sum(self._own[sku] for sku in self.units)


# ---- the independent arithmetic ------------------------------------------------------------------------------------

def differences(where, expected, found):
    for name, amount in expected.items():
        if found[name] != amount:
            raise Wrong(f"{where}.{name} is {found[name]}, computed {amount}")


def amounts(moneys, names):
    return {name: moneys[name]["amount"] for name in names}


def check_sums(cart, wanted, products):
    """What holds under any rules: prices and quantities, and that each sum is one. Returns the total."""
    for line in cart["lines"]:
        product, units = products[line["sku"]], wanted.units[line["sku"]]
        price, listed = product["price"], product["list_price"]
        if "prices" in product:  # check_rules knows the tiers
            price, listed = line["unit_price"]["amount"], line["list_price"]["amount"]
        found = {"quantity": line["quantity"], **amounts(line, ("list_price", "unit_price", "subtotal", "total"))}
        differences("line " + line["sku"], {"quantity": units, "list_price": listed,
                    "unit_price": price, "subtotal": price * units,
                    "total": price * units - line["discount"]["amount"]}, found)
    totals = amounts(cart["totals"], cart["totals"])
    items = sum(line["subtotal"]["amount"] for line in cart["lines"])
    discount = sum(line["discount"]["amount"] for line in cart["lines"])
    total = items - discount + totals["shipping"] - totals["shipping_discount"] + totals["tax"]
    differences("totals", {"items": items, "discount": discount, "total": total}, totals)
    return total


def check_rules(cart, wanted, products, standing, country, method):
    """What the standing rules make of it: each line and each total, to the penny."""
    lines = []
    for line in cart["lines"]:
        product = products[line["sku"]]
        lines.append({"sku": line["sku"], "quantity": wanted.units[line["sku"]], "unit_price": product["list_price"],
                      "categories": product["categories"], "tax_category": product["tax_category"],
                      "prices": product.get("prices")})
    priced = standing.price(lines, country, method)
    for line, own in zip(cart["lines"], priced["lines"]):
        expected = {"unit_price": own["unit_price"], "discount": own["item_discount"] + own["order_discount"],
                    "total": own["total"], "tax": own["tax"], "tax_included": own["tax_included"]}
        differences("line " + line["sku"], expected, amounts(line, expected))
    expected = {"items": priced["items_total"], "discount": priced["discount_total"],
                "shipping": priced["shipping_total"], "shipping_discount": priced["shipping_discount_total"],
                "tax": priced["tax_total"], "tax_included": priced["tax_included_total"], "total": priced["total"]}
    differences("totals", expected, amounts(cart["totals"], expected))


def agreed_total(cart, wanted, products, standing, country, method):
    """The cart's total, computed here; raises Wrong where the cart says anything else."""
    if {line["sku"] for line in cart["lines"]} != set(wanted.units):
        raise Wrong("the cart's lines are not those that were added")
    total = check_sums(cart, wanted, products)
    if standing:
        check_rules(cart, wanted, products, standing, country, method)
    return total


# ---- one shopper ---------------------------------------------------------------------------------------------------

def country_of(rows):
    name = rows[0].get("country") or ""
    return COUNTRIES.get(name, name if len(name) == 2 and name.isupper() else "GB")


def fill(client, cart, wanted):
    """Adds the lines; what the shop refuses by name is left out and counted."""
    while wanted.units:
        try:
            lines = [{"sku": sku, "quantity": units} for sku, units in wanted.units.items()]
            for i in range(0, len(lines), 1000):
                client.call("POST", f"/carts/{cart}/lines", lines[i:i + 1000])
            return
        except Refused as no:
            named = {error.get("path") for error in no.problem.get("errors", []) if error.get("path") in wanted.units}
            if not named:
                raise
            for sku in named:
                wanted.drop(sku, "refused by the shop: " + no.code)


def address_of(invoice, rows):
    return {"name": "Customer " + (rows[0].get("customer") or "of " + invoice), "line1": "1 Invoice Road",
            "city": "London", "postcode": "N1 1AA", "country": country_of(rows)}


def describe(client, cart, invoice, rows):
    """E-mail, address and the first shipping method, which is returned."""
    email = f"customer-{rows[0].get('customer') or invoice}@example.com".lower()
    client.call("PATCH", f"/carts/{cart}", {"email": email, "shipping_address": address_of(invoice, rows)})
    _, options, _ = client.call("GET", f"/carts/{cart}/shipping-options")
    if not options["items"]:
        raise Refused(0, {"code": "no_shipping", "detail": "no shipping method for " + country_of(rows)})
    method = options["items"][0]["method"]
    client.call("PATCH", f"/carts/{cart}", {"shipping_method": method})
    return method


def without_short_lines(client, cart, wanted, no):
    """Takes out of the cart what is out of stock; raises what it was refused with if that names no line."""
    short = {error.get("path") for error in no.problem.get("errors", []) if error.get("path") in wanted.units}
    if no.code != "insufficient_stock" or not short:
        raise no
    for sku in short:
        client.call("DELETE", f"/carts/{cart}/lines/{urllib.parse.quote(sku)}")
        wanted.drop(sku, "out of stock")


def is_declined(order):
    """Has the last attempt at paying an open order come to nothing?"""
    return order["status"] == "placing" and order["payments"][-1]["status"] in ("declined", "voided", "refunded")


def wait_for_payment(client, order):
    """The order once its payment, which was unknown, is known."""
    end, token = time.monotonic() + PATIENCE, order.get("order_token")  # a customer's order has none
    while order["status"] == "placing" and not is_declined(order) and time.monotonic() < end:
        time.sleep(0.5)
        _, order, _ = client.call("GET", "/orders/" + order["id"], headers={"Fastr-Order": token} if token else None)
    return order


def pay(client, cart, card, expected):
    """One checkout, waited for: the order, or None when the charge never reached the provider, so that nothing was
    taken and the cart is open again."""
    status, order, _ = client.call("POST", f"/carts/{cart}/checkout", {
        "payment_method": card, "expected_total": expected})
    if status == 202:
        order = wait_for_payment(client, order)
        if not is_declined(order):
            return order
        status, order = 402, {**order["payments"][-1], "code": "payment_declined", "detail": "known later"}
    if status == 402 and order.get("reason") != "not_received":
        raise Refused(402, order)
    return order if status != 402 else None


def check_out(client, cart, card, wanted, compute):
    """Pays what compute(cart) says. Returns the order, or None if nothing could be had."""
    while wanted.units:
        _, view, _ = client.call("GET", f"/carts/{cart}")
        total = compute(view)
        try:
            order = pay(client, cart, card, {"amount": total, "currency": view["currency"]})
        except Refused as no:
            without_short_lines(client, cart, wanted, no)
            continue
        if order is None:  # like anybody, he presses the button once more
            client.counts["repeated: checkout, as nothing was charged"] += 1
            continue
        if order["totals"]["total"]["amount"] != total:
            raise Wrong(f"the order's total is {order['totals']['total']['amount']}, agreed was {total}")
        return order
    return None


def shop(client, invoice, rows, wanted, products, standing):
    """Buys what is wanted of an invoice: {id, total, own, units, ...}, or None when nothing of it can be had."""
    if not wanted.units:
        return None
    _, cart, _ = client.call("POST", "/carts", {})
    wanted.cart = cart["id"]
    fill(client, cart["id"], wanted)
    method = describe(client, cart["id"], invoice, rows)
    _, card, _ = client.call("POST", "/payment-methods", {"card": CARD})
    order = check_out(client, cart["id"], card["id"], wanted, lambda view: agreed_total(
        view, wanted, products, standing, country_of(rows), method))
    if order is None:
        return None
    return {"id": order["id"], "invoice": invoice, "status": order["status"], "own": wanted.price_on_invoice(),
            "goods": order["totals"]["items"]["amount"], "total": order["totals"]["total"]["amount"],
            "units": dict(wanted.units), "lines": wanted.lines(), "shown": order["lines"],
            "tax": order["totals"]["tax_included"]["amount"],
            "discounts": {each["promotion"]: each["amount"]["amount"] for each in order["discounts"]}}


# ---- all of them ---------------------------------------------------------------------------------------------------

class Replay:
    """The work and what came of it; shared by the shoppers' threads."""

    def __init__(self, options, invoices, products, standing, doors, counts):
        self.options, self.products, self.standing, self.total = options, products, standing, len(invoices)
        self.lines, self.lines_failed = sum(len(rows) for rows in invoices.values()), 0
        self.work, self.lock = queue.Queue(), threading.Lock()
        self.placed, self.failed, self.carts, self.done, self.empty = [], [], [], 0, 0
        self.refused, self.doors, self.counts = collections.Counter(), doors, counts
        for entry in invoices.items():
            self.work.put(entry)

    def _one(self, client, invoice, rows):
        wanted = Wanted(rows, self.products)
        try:
            order, failed = shop(client, invoice, rows, wanted, self.products, self.standing), None
        except (Refused, Wrong) as why:
            order, failed = None, f"{invoice}: {why}"
        with self.lock:
            self.refused.update(wanted.refused)
            self.carts.extend([wanted.cart] if wanted.cart else [])
            self.done += 1
            if self.options.resume and not failed:
                with open(self.options.resume, "a", encoding="utf-8") as file:
                    file.write(invoice + "\n")
            if failed:
                self.failed.append(failed)
                self.lines_failed += wanted.lines()
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

    def _shopper(self, client):
        while True:
            try:
                invoice, rows = self.work.get_nowait()
            except queue.Empty:
                return
            self._one(client, invoice, rows)

    def run(self):
        begun = time.monotonic()
        threads = [threading.Thread(target=self._shopper, args=[client]) for client in self.doors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds = time.monotonic() - begun
        if sys.stdout.isatty():
            print("\r\033[K", end="")


# ---- does it add up? -----------------------------------------------------------------------------------------------

def check(replay, since_ms):
    """Prints each check; returns how many do not add up."""
    record = conserved.Record(replay.carts)
    for order in replay.placed:
        record.bought(order["id"], order["total"], order["units"])
    lines = sum(order["lines"] for order in replay.placed) + sum(replay.refused.values()) + replay.lines_failed
    return conserved.show([("lines placed, refused or failed", replay.lines, lines)] + conserved.check(record, since_ms))


# ---- report --------------------------------------------------------------------------------------------------------

def report(replay):
    sold = sum(order["lines"] for order in replay.placed)
    units = sum(sum(order["units"].values()) for order in replay.placed)
    goods, own = sum(o["goods"] for o in replay.placed), sum(o["own"] for o in replay.placed)
    print(f"\n  invoices        {replay.total:>8}   lines {replay.lines}")
    print(f"  placed          {len(replay.placed):>8}   with {sold} lines, {units} units")
    print(f"  nothing to buy  {replay.empty:>8}")
    print(f"  failed          {len(replay.failed):>8}")
    print(f"  orders a second {len(replay.placed) / max(replay.seconds, 0.001):>8.1f}   in {replay.seconds:.1f} s, "
          f"{replay.options.at_once} at a time")
    print(f"  goods           {goods / 100:>12,.2f} at the shop's prices; {own / 100:,.2f} on the invoices "
          f"({(goods - own) / 100:+,.2f})")
    print(f"  tax contained   {sum(o['tax'] for o in replay.placed) / 100:>12,.2f}")
    report_prices(replay)
    print("\n  lines refused" if replay.refused else "")
    for reason, count in replay.refused.most_common():
        print(f"    {reason:<40} {count:>7}")
    if replay.counts:
        print("\n  requests sent again")
        for reason, count in replay.counts.most_common():
            print(f"    {reason.removeprefix('repeated: '):<40} {count:>7}")
    print()


def report_prices(replay):
    """What the price list and each promotion made of the placed orders."""
    if replay.options.wholesale:
        lists = [product["prices"] for product in replay.products.values() if "prices" in product]
        other = [(line["unit_price"]["amount"] - replay.products[line["sku"]]["price"]) * line["quantity"]
                 for order in replay.placed for line in order["shown"]]
        print(f"  wholesale list  {len(lists):>8}   products, {sum(map(len, lists))} tiers; {sum(map(bool, other))} lines at "
              f"another price than retail ({sum(other) / 100:+,.2f})")
    found = collections.defaultdict(list)
    for order in replay.placed:
        for promotion, amount in order["discounts"].items():
            found[promotion].append(amount)
    for promotion, given in sorted(found.items()):
        print(f"  promotion       {len(given):>8}   orders with {promotion} ({-sum(given) / 100:,.2f})")


def through(path):
    """The invoices that an earlier run got through, by the file that it kept."""
    if not path or not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return file.read().split()


def standing_rules(customer):
    """The pack's rules as they are recomputed here, or None where they cannot be."""
    try:
        return pricing.Standing(customer)
    except pricing.Unreadable as why:
        print(f"  note: {why}; sums are checked, discounts and tiers are not")
        return None


def main():
    parser = argparse.ArgumentParser(prog="replay-orders", add_help=False)
    parser.add_argument("file", nargs="?", default=os.path.join(ROOT, "data", "retail-orders.csv"))
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--resume")
    parser.add_argument("--wholesale", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.url = os.environ["SHOP_URL"]
    if not os.path.exists(options.file):
        sys.exit(f"replay-orders: there is no file {options.file}")
    invoices, counts = read_invoices(options.file), collections.Counter()
    products = catalogue(Client(options.url, counts))
    doors = shoppers(options, invoices, products, counts)
    if options.limit:
        invoices = collections.OrderedDict(list(invoices.items())[:options.limit])
    for invoice in through(options.resume):
        invoices.pop(invoice, None)
    since_ms = int(time.time() * 1000) - 1000
    standing = standing_rules({"group": GROUP} if options.wholesale else None)
    replay = Replay(options, invoices, products, standing, doors, counts)
    replay.run()
    report(replay)
    bad = check(replay, since_ms)
    sys.exit(1 if bad or replay.failed else 0)


if __name__ == "__main__":
    main()
