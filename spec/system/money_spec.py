"""What a cart, its order and its mail say of a price, to the penny, against the oracle: four tax rates in one order, two
contained and two added, discounts of every kind, shipping that is taxed otherwise; that an order stays what it was when
all that made it has changed; and that returns give each unit's own pennies back."""
import contextlib
import datetime
import json
import os
import random
import sys
import unittest
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "spec", "oracle"))

from price import allocate, price  # noqa: E402
from support.door import api, must, new_key, until  # noqa: E402
from support.shop import ADDRESS, card, mails, new_email, owner, purchase  # noqa: E402
from support.stack import all_ready, copied, edit, fastr, main  # noqa: E402

OF_CANDLES = {"categories_any": ["specs/candles"]}
PROMOTIONS = [
    {"id": "spec_sale", "doc": "Spec sale.",
     "actions": [{"type": "catalog_percent", "value": 15, "filters": {"categories_any": ["specs/sale"]}}]},
    {"id": "spec_three", "doc": "3 for 2 on spec candles.", "actions": [
        {"type": "buy_x_get_y", "value": 100, "buy_quantity": 2, "get_quantity": 1, "buy_filters": OF_CANDLES,
         "filters": OF_CANDLES}]},
    {"id": "spec_coupon", "doc": "Half a pound off each.", "coupon": "SPECHALF",
     "actions": [{"type": "item_fixed", "value": 50, "filters": OF_CANDLES, "max_quantity": 1}]},
    {"id": "spec_ten", "doc": "10 % off orders of 60.00 or more.", "conditions": {"min_items_total": 6000},
     "actions": [{"type": "order_percent", "value": 10}]},
    {"id": "spec_next", "doc": "5.00 off orders of 150.00 or more.", "conditions": {"min_items_total": 15000},
     "actions": [{"type": "order_fixed", "value": 500}]},
    {"id": "spec_post", "doc": "A quarter off the postage.", "actions": [{"type": "shipping_percent", "value": 25}]},
    {"id": "spec_late", "doc": "Too late.", "coupon": "SPECLATE", "ends_at": "2020-01-01T00:00:00Z",
     "actions": [{"type": "order_fixed", "value": 100}]},
]
RATES = [{"category": "standard", "percent": 20, "included": True, "zone": "GB"},
         {"category": "zero", "percent": 0, "included": True, "zone": "GB"},
         {"category": "reduced", "percent": "5.5", "zone": "GB"}, {"category": "high", "percent": 23}]
# name: list price, tax category, category, units
GOODS = {"candle": (1333, "standard", "specs/candles", 4), "book": (777, "zero", "specs/sale", 3),
         "rail": (999, "reduced", "specs", 3), "lamp": (2501, "high", "specs", 2)}


def lua(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {lua(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "{ " + ", ".join(map(lua, value)) + " }"
    return json.dumps(value)


def activate(folder):
    code, said = fastr("rules", "activate", folder)
    if code:
        raise AssertionError(said)


@contextlib.contextmanager
def these_rules():
    """The promotions, rates and fees of this spec, live on this host."""
    with copied("scripts/rules") as draft:
        for name, data in ("promotions", PROMOTIONS), ("tax_rates", RATES):
            with open(f"{draft}/definitions/{name}.lua", "w", encoding="utf-8") as file:
                file.write("return " + lua(data) + "\n")
        edit(draft + "/definitions/shipping.lua", 'tax_category = "standard"', 'tax_category = "high"')
        activate(draft)
        try:
            yield
        finally:
            activate("scripts/rules")


class Rules(contextlib.ExitStack):
    """These rules, until it is closed."""

    def __init__(self):
        super().__init__()
        self.enter_context(these_rules())


def put(sku, price_of_one, tax_category, category):
    body = {"name": "SPEC " + sku, "categories": [category], "price": {"amount": price_of_one, "currency": "GBP"},
            "tax_category": tax_category}
    return api("PUT", "/products/" + sku, body, owner(), new_key())


class Goods:
    """One product of each kind, of this test alone: sku by name."""

    def __init__(self):
        self.skus = {name: f"SPEC-MONEY-{name}-{uuid.uuid4().hex[:8]}".upper() for name in GOODS}
        for name, (amount, tax_category, category, _) in GOODS.items():
            assert put(self.skus[name], amount, tax_category, category).status == 201
            must(200, "POST", f"/products/{self.skus[name]}/stock", {"delta": 100, "reason": "spec"}, owner(), new_key())

    def change(self):
        """Other prices, categories and taxes."""
        for sku in self.skus.values():
            assert put(sku, 4321, "reduced" if "LAMP" in sku else "zero", "another/category").status == 200

    def cart(self):
        made = must(201, "POST", "/carts", {}, None, new_key())
        path = "/carts/" + made["id"]
        lines = [{"sku": self.skus[name], "quantity": GOODS[name][3]} for name in GOODS]
        must(200, "POST", path + "/lines", lines, None, new_key())
        must(200, "POST", path + "/coupons", {"code": "SPECHALF"}, None, new_key())
        return must(200, "PATCH", path, {"email": new_email(), "shipping_address": ADDRESS, "shipping_method": "express"},
                    None, new_key())

    def expected(self):
        """The oracle's answer."""
        lines = [{"sku": self.skus[name], "quantity": units, "unit_price": amount, "categories": [category],
                  "tax_category": tax} for name, (amount, tax, category, units) in GOODS.items()]
        return price({"currency": "GBP", "now": datetime.datetime.now(datetime.timezone.utc).isoformat(), "zone": "GB",
                      "lines": lines, "coupons": ["SPECHALF"], "promotions": PROMOTIONS, "tax_rates": RATES,
                      "shipping": [{"method": "express", "fee": 795, "tax_category": "high"}]})


def buy(shopping):
    made = must(201, "POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, card()), None, new_key())
    return made, {"Fastr-Order": made["order_token"]}


def deliver(order):
    for status in "shipped", "delivered":
        must(200, "POST", f"/orders/{order['id']}/shipments", {"status": status}, owner(), new_key())


def take_back(order, *lines, key=None):
    body = {"lines": [{"sku": sku, "quantity": units, "restock": False} for sku, units in lines]}
    return api("POST", f"/orders/{order['id']}/returns", body, owner(), key or new_key())


def payment(order):
    return must(200, "GET", "/payments/" + order["payments"][-1]["id"], None, owner())


def bare(value):
    """The document with its money as integers."""
    if isinstance(value, dict):
        if set(value) == {"amount", "currency"}:
            return value["amount"]
        return {name: bare(each) for name, each in value.items()}
    return [bare(each) for each in value] if isinstance(value, list) else value


def units_of(decided):
    """What each unit of a decided line costs, and its share of an added and a contained tax, one after the other."""
    each = (decided["total"] + sum(decided["unit_discounts"])) // decided["quantity"]
    costs = [each - off for off in decided["unit_discounts"]]
    return list(zip(costs, allocate(decided["tax"], costs), allocate(decided["tax_included"], costs)))


class Money(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        all_ready()
        cls.rules = None
        cls.addClassCleanup(lambda: cls.rules and cls.rules.close())

    def setUp(self):
        if not self.rules:
            type(self).rules = Rules()

    def assert_priced(self, shown, expected):
        """A cart or an order shows what the oracle decided."""
        lines = {line["sku"]: line for line in shown["lines"]}
        for decided in expected["lines"]:
            line = lines[decided["sku"]]
            for name in "quantity", "unit_price", "subtotal", "item_discount", "order_discount", "total", "tax", "tax_included":
                self.assertEqual(decided[name], line[name], (decided["sku"], name))
            units = [(u["total"], u["tax"], u["tax_included"]) for u in line["units"] for _ in range(u["quantity"])]
            self.assertEqual(units_of(decided), units)
            self.assertEqual(decided["unit_discounts"], [u["discount"] for u in line["units"] for _ in range(u["quantity"])])
            self.assertEqual(line["list_price"] * line["quantity"], line["total"] + sum(decided["unit_discounts"]))
        totals = shown["totals"]
        for name, ours in {"items_total": "items", "discount_total": "discount", "shipping_total": "shipping",
                           "shipping_discount_total": "shipping_discount", "tax_total": "tax",
                           "tax_included_total": "tax_included", "total": "total"}.items():
            self.assertEqual(expected[name], totals[ours], name)
        self.assertEqual(totals["discount"], totals["item_discount"] + totals["order_discount"])
        self.assertEqual(totals["list"], sum(line["list_price"] * line["quantity"] for line in shown["lines"]))
        self.assertEqual(expected["shipping"], shown["shipping"])
        def by_category(taxes):
            return sorted(taxes, key=lambda tax: tax["category"])
        self.assertEqual(by_category(expected["taxes"]), by_category(shown["taxes"]))
        for included, name in (False, "tax"), (True, "tax_included"):
            self.assertEqual(totals[name], sum(tax["tax"] for tax in shown["taxes"] if tax["included"] is included))
        gave = sum(each["amount"] for each in shown["discounts"] if each["stage"] != "catalog")
        self.assertEqual(totals["discount"] + totals["shipping_discount"], gave)

    def test_a_cart_shows_all_of_its_price_and_what_more_would_give(self):
        goods = Goods()
        shopping, expected = bare(goods.cart()), goods.expected()
        self.assert_priced(shopping, expected)
        self.assertEqual({"spec_sale", "spec_three", "spec_coupon", "spec_ten", "spec_post"},
                         {each["promotion"] for each in shopping["discounts"]})
        self.assertEqual([("3 for 2 on spec candles", 1333)],
                         [(d["says"], d["amount"]) for d in shopping["discounts"] if d["promotion"] == "spec_three"])
        self.assertEqual([{"code": "SPECHALF", "accepted": True}], shopping["coupons"])
        worth = expected["items_total"] - expected["discount_total"]
        self.assertEqual([("promotion", 15000 - worth)], [(t["kind"], t["missing"]) for t in shopping["thresholds"]])
        small = must(201, "POST", "/carts", {}, None, new_key())["id"]
        must(200, "PATCH", "/carts/" + small, {"shipping_address": ADDRESS}, None, new_key())
        lamp = {"sku": goods.skus["lamp"], "quantity": 1}
        told = bare(must(200, "POST", f"/carts/{small}/lines", lamp, None, new_key()))["thresholds"]
        self.assertEqual([("free_shipping", 5000 - 2501), ("promotion", 6000 - 2501), ("promotion", 15000 - 2501)],
                         [(each["kind"], each["missing"]) for each in told])
        refused = api("POST", f"/carts/{shopping['id']}/coupons", {"code": "SPECLATE"}, None, new_key())
        self.assertEqual((422, "coupon_refused", "The coupon SPECLATE is no longer valid"),
                         (refused.status, refused.code, refused.json()["detail"]))

    def test_an_order_shows_what_its_cart_did_and_its_mail_says_so(self):
        goods = Goods()
        shopping = goods.cart()
        order, _ = buy(shopping)
        self.assert_priced(bare(order), goods.expected())
        for name in "totals", "shipping", "taxes", "discounts", "coupons":
            self.assertEqual(shopping[name], order[name])
        of_carts = {"available", "lowest_price_30d"}
        self.assertEqual([{n: v for n, v in line.items() if n not in of_carts} for line in shopping["lines"]], order["lines"])
        mail = until(20, "the confirmation", lambda: mails(shopping["email"]))[0]["text"].replace("\r\n", "\n")
        for words in "3 for 2 on spec candles:", "10 % off orders of 60.00 or more:", "A quarter off the postage:", \
                "It includes 20 % tax on £", "It includes 0 % tax on £", "Tax, 5.5 % of £", "Tax, 23 % of £":
            self.assertIn(words, mail)

    def test_an_order_stays_what_it_was_when_all_that_made_it_has_changed(self):
        goods = Goods()
        waiting = goods.cart()
        order, guest = buy(goods.cart())
        deliver(order)
        path, expected = "/orders/" + order["id"], goods.expected()
        before = [api("GET", path, headers=guest).text, api("GET", path + "?explain=full", token=owner()).text]
        self.rules.close()  # the checkout's rules again: other promotions, rates and fees
        type(self).rules = None
        goods.change()
        after = [api("GET", path, headers=guest).text, api("GET", path + "?explain=full", token=owner()).text]
        self.assertEqual(before, after)
        self.assert_priced(bare(json.loads(after[0])), expected)
        candle = next(line for line in expected["lines"] if "CANDLE" in line["sku"])
        back = take_back(order, (candle["sku"], 2))
        self.assertEqual(sum(cost + tax for cost, tax, _ in units_of(candle)[:2]),
                         back.json()["returns"][0]["refund"]["amount"], back)
        seen = bare(must(200, "GET", "/carts/" + waiting["id"]))
        self.assertEqual([{"code": "SPECHALF", "accepted": False, "reason": "unknown",
                           "detail": "There is no coupon SPECHALF; upper and lower case differ"}], seen["coupons"])
        self.assertIn("price_changed", {each["code"] for each in seen["problems"]})

    def test_a_line_that_comes_back_in_parts_gives_each_unit_its_own_pennies(self):
        rng = random.Random(20261123)
        for _ in range(3):
            goods = Goods()
            order, _ = buy(goods.cart())
            deliver(order)
            units = {line["sku"]: units_of(line) for line in goods.expected()["lines"]}
            paid = {sku: sum(cost + tax for cost, tax, _ in each) for sku, each in units.items()}
            while any(units.values()):
                sku = rng.choice([sku for sku, left in units.items() if left])
                count = rng.randint(1, len(units[sku]))
                reply = take_back(order, (sku, count))
                self.assertEqual(201, reply.status, reply)
                line = bare(reply.json()["returns"][-1])["lines"][0]
                gone, units[sku] = units[sku][:count], units[sku][count:]
                self.assertEqual([sum(each[i] for each in gone) for i in (1, 2)], [line["tax"], line["tax_included"]])
                self.assertEqual(sum(cost + tax for cost, tax, _ in gone), line["refund"])
                paid[sku] -= line["refund"]
            self.assertEqual({0}, set(paid.values()))
            shown = bare(must(200, "GET", "/orders/" + order["id"], None, owner()))
            self.assertEqual(("returned", {"done"}), (shown["status"], {each["status"] for each in shown["returns"]}))
            shipping = shown["shipping"][0]
            self.assertEqual(shown["totals"]["total"] - shipping["total"] - shipping["tax"], bare(payment(order))["refunded"])

    def test_a_return_after_a_refund_by_amount_gives_what_is_left_and_says_so(self):
        goods = Goods()
        order, _ = buy(goods.cart())
        deliver(order)
        total, lamp = order["totals"]["total"]["amount"], goods.skus["lamp"]
        must(201, "POST", f"/payments/{order['payments'][0]['id']}/refunds", {"amount": {"amount": total - 1000, "currency": "GBP"},
             "reason": "goodwill"}, owner(), new_key())
        worth = sum(cost + tax for cost, tax, _ in units_of(goods.expected()["lines"][3])[:1])
        back = bare(must(201, "POST", f"/orders/{order['id']}/returns", {"lines": [{"sku": lamp, "quantity": 1}]}, owner(),
                         new_key()))["returns"][0]
        self.assertEqual(("done", 1000, worth - 1000, worth),
                         (back["status"], back["refund"], back["short"], back["lines"][0]["refund"]))
        self.assertEqual(total, bare(payment(order))["refunded"])
        refused = api("POST", f"/payments/{order['payments'][0]['id']}/refunds", {"amount": {"amount": 1, "currency": "GBP"}},
                      owner(), new_key())
        self.assertEqual((409, "refund_too_large", 0), (refused.status, refused.code, bare(refused.json())["left"]))

    def test_a_return_that_makes_no_sense_is_refused_and_gives_nothing(self):
        goods, others = Goods(), Goods()
        order, _ = buy(goods.cart())
        deliver(order)
        lamp = goods.skus["lamp"]
        for units, status in (0, 422), (-1, 422), (1.5, 422), ("2", 422), (3, 409), (9999, 409), (10000, 422):
            reply = take_back(order, (lamp, units))
            self.assertEqual(status, reply.status, reply)
        self.assertEqual(("return_too_large", 2), (take_back(order, (lamp, 3)).code,
                                                   take_back(order, (lamp, 3)).json()["errors"][0]["left"]))
        foreign = take_back(order, (others.skus["lamp"], 1))
        self.assertEqual((422, "is not in this order"), (foreign.status, foreign.json()["errors"][0]["problem"]))
        self.assertEqual(422, take_back(order, (lamp, 1), (lamp, 1)).status)
        key = new_key()
        first, again = take_back(order, (lamp, 1), key=key), take_back(order, (lamp, 1), key=key)
        self.assertEqual((201, True, first.json()), (first.status, again.replayed, again.json()))
        other = take_back(order, (lamp, 2), key=key)
        self.assertEqual((422, "idempotency_mismatch"), (other.status, other.code))
        self.assertEqual(bare(first.json())["returns"][0]["refund"], bare(payment(order))["refunded"])

    def test_a_product_is_put_in_a_tax_category_that_has_a_rate(self):
        refused = put("SPEC-MONEY-UNTAXED", 100, "standrad", "specs")
        self.assertEqual((422, "tax_category"), (refused.status, refused.json()["errors"][0]["path"]), refused)
        self.assertIn("standard, zero, reduced, high", refused.json()["detail"])
        self.assertEqual(404, api("GET", "/products/SPEC-MONEY-UNTAXED").status)


if __name__ == "__main__":
    main()
