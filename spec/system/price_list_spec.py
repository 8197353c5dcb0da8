"""A price list from end to end: who is in the group buys at its tiers, nobody else does, and the order keeps the price that
it was placed at."""
import unittest
import uuid

from support.door import api, must, new_key, until
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


def shown_to_all(path, good):
    """What anybody is shown, once it is as it should be: replicas and the cache may be behind for a moment."""
    def look():
        reply = api("GET", path)
        return reply.status == 200 and good(reply.json()) and reply.json()
    return until(5, path, look)


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

    def test_is_what_a_return_gives_back(self):
        sku, token = listed_product(), wholesaler()
        shopping = cart(6, sku, token)
        bought = must(201, "POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, card(token)), token, new_key())
        for status in "shipped", "delivered":
            must(200, "POST", f"/orders/{bought['id']}/shipments", {"status": status}, owner(), new_key())
        body = {"lines": [{"sku": sku, "quantity": 2}]}
        back = must(201, "POST", f"/orders/{bought['id']}/returns", body, owner(), new_key())
        self.assertEqual(2 * 400, back["returns"][0]["refund"]["amount"])

    def test_is_staffs_own(self):
        sku = listed_product()
        self.assertEqual(api("GET", f"/products/{sku}/prices").status, 401)
        self.assertEqual(api("GET", f"/products/{sku}/prices", token=customer()["token"]).status, 403)
        self.assertEqual(len(must(200, "GET", f"/products/{sku}/prices", token=owner())["rows"]), 2)

    def test_of_many_products_is_replaced_at_once_and_tells_of_each_wrong_row(self):
        sku = listed_product()
        text = f"sku,currency,amount,min_quantity\n{sku},GBP,480,\n{sku},GBP,470,10\nSPEC-NOBODY,GBP,1,\n"
        reply = must(200, "PUT", "/price-lists", {"csv": text, "reason": "spec"}, owner(), new_key())
        self.assertEqual((reply["products"], reply["rows"]), (1, 2))
        self.assertEqual([(each["row"], each["sku"], each["field"]) for each in reply["failed"]], [(4, "SPEC-NOBODY", "sku")])
        self.assertEqual([unit_price(cart(n, sku)) for n in (1, 10)], [480, 470])
        self.assertEqual(api("PUT", "/price-lists", {"csv": text}, customer()["token"], new_key()).status, 403)


class APriceForEverybody(unittest.TestCase):
    """Directive 98/6/EC, article 6a: beside a reduced price stands the lowest of the 30 days before."""

    def test_that_is_reduced_has_the_lowest_of_30_days_beside_it_in_product_list_and_cart(self):
        sku = listed_product()
        self.assertIsNone(must(200, "GET", f"/products/{sku}", token=owner())["lowest_price_30d"])
        sale = [{"price": {"amount": 300, "currency": "GBP"}}]
        must(200, "PUT", f"/products/{sku}/prices", {"rows": sale, "reason": "sale"}, owner(), new_key())
        before = {"amount": LIST, "currency": "GBP"}
        shown = shown_to_all(f"/products/{sku}", lambda found: found["price"]["amount"] == 300)
        self.assertEqual((shown["lowest_price_30d"], shown["list_price"]), (before, before))
        shown_to_all(f"/products?q={sku}", lambda page: [each["lowest_price_30d"] for each in page["items"]] == [before])
        line = cart(1, sku)["lines"][0]
        self.assertEqual((line["unit_price"]["amount"], line["lowest_price_30d"]), (300, before))

    def test_leaves_a_history_that_all_may_read_and_that_says_no_more_than_all_have_seen(self):
        sku = listed_product()
        put_product(sku, 450)
        planned = {"price": {"amount": 100, "currency": "GBP"}, "from": "2099-01-01T00:00:00Z"}
        must(200, "PUT", f"/products/{sku}/prices", {"rows": [planned]}, owner(), new_key())
        path = f"/products/{sku}/price-history"
        public = shown_to_all(path, lambda page: len(page["items"]) == 2)
        self.assertEqual([each["price"]["amount"] for each in public["items"]], [450, LIST])
        self.assertEqual((public["items"][1]["to"], public["items"][0]["to"]), (public["items"][0]["from"], None))
        self.assertNotIn("by", public["items"][0])
        staff = must(200, "GET", path, token=owner())
        self.assertEqual([each["price"]["amount"] for each in staff["items"]], [100, 450, LIST])
        self.assertTrue(all(each["by"] and each["reason"] for each in staff["items"]))


if __name__ == "__main__":
    main()
