"""A price list from end to end: who is in the group buys at its tiers, nobody else does, and the order keeps the price that
it was placed at."""
import unittest
import uuid

from support.door import api, must, new_key
from support.shop import card, cart, customer, owner, purchase, put_product
from support.stack import main

LIST = 500
TIERS = [{"price": {"amount": 450, "currency": "GBP"}, "customer_group": "wholesale"},
         {"price": {"amount": 400, "currency": "GBP"}, "customer_group": "wholesale", "min_quantity": 6}]


def listed_product():
    sku = "SPEC-LIST-" + uuid.uuid4().hex[:12].upper()
    put_product(sku, LIST)
    must(200, "POST", f"/products/{sku}/stock", {"delta": 100, "reason": "spec"}, owner(), new_key())
    must(200, "PUT", f"/products/{sku}/prices", {"rows": TIERS}, owner(), new_key())
    return sku


def wholesaler():
    person = customer()
    must(200, "PUT", f"/users/{person['id']}/group", {"group": "wholesale"}, owner(), new_key())
    return person["token"]


def unit_price(shown):
    return shown["lines"][0]["unit_price"]["amount"]


class APriceList(unittest.TestCase):
    def test_is_for_its_group_and_its_quantities(self):
        sku, token = listed_product(), wholesaler()
        self.assertEqual([unit_price(cart(n, sku, token)) for n in (1, 5, 6, 20)], [450, 450, 400, 400])
        self.assertEqual([unit_price(cart(n, sku)) for n in (1, 6)], [LIST, LIST])
        self.assertEqual(unit_price(cart(6, sku, customer()["token"])), LIST)

    def test_changes_the_price_with_the_quantity_of_the_line(self):
        sku, token = listed_product(), wholesaler()
        shopping = cart(5, sku, token)
        path = f"/carts/{shopping['id']}/lines"
        more = must(200, "POST", path, {"sku": sku, "quantity": 1}, token, new_key())
        self.assertEqual((unit_price(more), more["lines"][0]["quantity"]), (400, 6))

    def test_is_what_an_order_costs_and_goes_on_costing(self):
        sku, token = listed_product(), wholesaler()
        shopping = cart(6, sku, token)
        bought = must(201, "POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, card(token)), token, new_key())
        must(200, "PUT", f"/products/{sku}/prices", {"rows": []}, owner(), new_key())
        kept = must(200, "GET", f"/orders/{bought['id']}", token=token)
        self.assertEqual((unit_price(kept), kept["lines"][0]["subtotal"]["amount"]), (400, 2400))
        self.assertEqual(kept["totals"], bought["totals"])

    def test_is_staffs_own(self):
        sku = listed_product()
        self.assertEqual(api("GET", f"/products/{sku}/prices").status, 401)
        self.assertEqual(api("GET", f"/products/{sku}/prices", token=customer()["token"]).status, 403)
        self.assertEqual(len(must(200, "GET", f"/products/{sku}/prices", token=owner())["rows"]), 2)


if __name__ == "__main__":
    main()
