"""A purchase, from the first visit to the mails, at the public door; then what is left of it: events, rows, stock."""
import unittest
import urllib.parse

from support.door import api, ask, must, new_key, until
from support.shop import ADDRESS, CARD, PASSWORD, card, cart, customer, mails, new_email, product, purchase
from support.stack import PRIMARY, REPLICAS, events_of, main, psql

DECLINED, CHALLENGED = "4000000000000002", "4000000000003220"  # docs/cards.md


def mails_of(order, count):
    """The mails for an order, once there are so many of them."""
    found = until(20, f"{count} mails", lambda: len(mails(order["email"])) >= count and mails(order["email"]))
    return sorted(found, key=lambda mail: mail["time"])


def checkout(shopping, method, token=None, key=None):
    return api("POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, method), token, key or new_key())


def price(amount):
    """As people read it: £12.34."""
    return f"£{amount['amount'] // 100}.{amount['amount'] % 100:02d}"


def sum_of(totals):
    part = {name: money["amount"] for name, money in totals.items()}
    return part["items"] - part["discount"] + part["shipping"] - part["shipping_discount"] + part["tax"]


class Customer(unittest.TestCase):
    """One customer's first purchase, step by step, and the second."""

    @classmethod
    def setUpClass(cls):
        email = new_email()
        cls.user = must(201, "POST", "/users", {"email": email, "password": PASSWORD, "name": "Ada Spec"}, key=new_key())
        cls.token = must(200, "POST", "/auth/tokens", {"email": email, "password": PASSWORD})["access_token"]
        cls.sku = product()
        cls.cart = must(201, "POST", "/carts", {}, cls.token, new_key())
        path = "/carts/" + cls.cart["id"]
        must(200, "POST", path + "/lines", {"sku": cls.sku, "quantity": 3}, cls.token, new_key())
        must(200, "PATCH", path, {"email": email, "shipping_address": ADDRESS}, cls.token, new_key())
        cls.options = must(200, "GET", path + "/shipping-options", token=cls.token)["items"]
        cls.cart = must(200, "PATCH", path, {"shipping_method": cls.options[0]["method"]}, cls.token, new_key())
        cls.card = must(201, "POST", "/payment-methods", {"card": CARD}, cls.token, new_key())
        cls.key = new_key()
        cls.order = must(201, "POST", path + "/checkout", purchase(cls.cart, cls.card["id"]), cls.token, cls.key)

    def test_the_order_is_paid_at_the_total_that_was_agreed(self):
        self.assertEqual(self.order["status"], "paid")
        self.assertEqual(self.order["totals"]["total"], self.cart["totals"]["total"])
        self.assertEqual(sum_of(self.order["totals"]), self.order["totals"]["total"]["amount"])
        self.assertEqual(self.order["totals"]["shipping"], self.options[0]["fee"])
        self.assertEqual([(line["sku"], line["quantity"]) for line in self.order["lines"]], [(self.sku, 3)])
        self.assertEqual([payment["status"] for payment in self.order["payments"]], ["captured"])
        self.assertEqual([entry["status"] for entry in self.order["history"]], ["placing", "placed", "paid"])

    def test_its_customer_reads_it_and_nobody_else(self):
        path = "/orders/" + self.order["id"]
        self.assertEqual(must(200, "GET", path, token=self.token)["number"], self.order["number"])
        self.assertIn(self.order["id"], [order["id"] for order in must(200, "GET", "/orders", token=self.token)["items"]])
        self.assertEqual(api("GET", path).code, "order_not_found")
        self.assertEqual(api("GET", path, token=customer()["token"]).code, "order_not_found")

    def test_asking_again_with_the_key_gives_the_same_order_and_charges_nothing(self):
        again = checkout(self.cart, self.card["id"], self.token, self.key)
        self.assertEqual((again.status, again.replayed, again.json()["id"]), (201, True, self.order["id"]))
        other = checkout(self.cart, self.card["id"], self.token)
        self.assertEqual((other.status, other.json()["id"]), (201, self.order["id"]))
        self.assertEqual(psql(PRIMARY, f"select count(*) from payment.payments where order_id = '{self.order['id']}'"), "1")

    def test_two_mails_come_a_confirmation_and_a_receipt(self):
        confirmation, receipt = mails_of(self.order, 2)
        number, totals = self.order["number"], self.order["totals"]
        self.assertEqual((confirmation["subject"], receipt["subject"]), (f"Your order {number}", f"Payment received for order {number}"))
        line = self.order["lines"][0]
        for text in (confirmation["text"], confirmation["html"]):
            for part in (line["name"], price(line["unit_price"]), price(line["subtotal"]), price(totals["shipping"]),
                         price(totals["total"]), ADDRESS["line1"], "/orders/" + self.order["id"]):
                self.assertIn(part, text)
        self.assertIn(f"{price(totals['total'])} GBP", receipt["text"])
        self.assertNotEqual(confirmation["messageId"], receipt["messageId"])
        self.assertEqual(len(mails(self.order["email"])), 2)

    def test_its_events_are_in_kafka_in_their_order(self):
        events = until(20, "two events", lambda: len(events_of(self.order["id"])) >= 2 and events_of(self.order["id"]))
        self.assertEqual([event["type"] for event in events], ["order.placed.v1", "order.paid.v1"])
        self.assertEqual([event["sequence"] for event in events], [1, 2])
        for event in events:
            self.assertEqual((event["specversion"], event["subject"]), ("1.0", self.order["id"]))
            self.assertEqual(event["data"]["totals"], self.order["totals"])

    def test_every_replica_has_its_row(self):
        statement = f"select status || ' ' || total from \"order\".orders where id = '{self.order['id']}'"
        for url in REPLICAS:
            self.assertEqual(until(10, "the row", lambda url=url: psql(url, statement)), f"paid {self.order['totals']['total']['amount']}")

    def test_the_units_have_left_the_stock(self):
        left = psql(PRIMARY, f"select -sum(on_hand_delta) from product.movements where order_id = '{self.order['id']}'")
        self.assertEqual(left, "3")

    def test_the_cart_is_closed(self):
        again = api("POST", f"/carts/{self.cart['id']}/lines", {"sku": self.sku, "quantity": 1}, self.token, new_key())
        self.assertEqual((again.status, again.code), (409, "cart_checked_out"))

    def test_a_second_purchase_is_paid_with_the_saved_card(self):
        saved = must(200, "GET", "/payment-methods", token=self.token)["items"]
        self.assertEqual([(one["id"], one["last4"]) for one in saved], [(self.card["id"], "4242")])
        second = checkout(cart(quantity=2, token=self.token), saved[0]["id"], self.token)
        self.assertEqual((second.status, second.json()["status"]), (201, "paid"))
        self.assertNotEqual(second.json()["id"], self.order["id"])
        self.assertEqual(len(mails_of(second.json(), 2)), 2)

    def test_somebody_elses_saved_card_is_no_card(self):
        other = customer()
        refused = checkout(cart(token=other["token"]), self.card["id"], other["token"])
        self.assertIn(refused.status, (402, 404, 422), refused)


class Guest(unittest.TestCase):
    def test_buys_without_an_account_and_reads_the_order_with_its_token(self):
        bought = checkout(cart(), card())
        order = bought.json()
        self.assertEqual((bought.status, order["status"]), (201, "paid"))
        path = "/orders/" + order["id"]
        self.assertEqual(api("GET", path).code, "order_not_found")
        self.assertEqual(api("GET", path, headers={"Fastr-Order": "x" * 32}).code, "order_not_found")
        self.assertEqual(must(200, "GET", path, headers={"Fastr-Order": order["order_token"]})["status"], "paid")
        self.assertEqual(len(mails_of(order, 2)), 2)

    def test_is_asked_again_when_the_total_is_not_the_one_that_was_agreed(self):
        shopping = cart()
        body = purchase(shopping, card())
        body["expected_total"] = {"amount": shopping["totals"]["total"]["amount"] - 1, "currency": "GBP"}
        refused = api("POST", f"/carts/{shopping['id']}/checkout", body, key=new_key())
        self.assertEqual((refused.status, refused.code), (409, "price_changed"))
        self.assertEqual(checkout(shopping, body["payment_method"]).status, 201)

    def test_has_to_send_a_key(self):
        shopping = cart()
        refused = api("POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, card()))
        self.assertEqual(refused.status, 400)
        self.assertIn("Idempotency-Key", refused.text)


class Declined(unittest.TestCase):
    def test_a_declined_card_leaves_the_order_open_for_another_one(self):
        shopping = cart()
        declined = checkout(shopping, card(number=DECLINED))
        self.assertEqual((declined.status, declined.code, declined.json()["reason"]), (402, "payment_declined", "card_declined"))
        paid = checkout(shopping, card())
        order = paid.json()
        self.assertEqual((paid.status, order["status"], order["id"]), (201, "paid", declined.json()["order"]))
        self.assertEqual([payment["status"] for payment in order["payments"]], ["declined", "captured"])
        self.assertEqual([mail["subject"] for mail in mails_of(order, 2)],
                         [f"Your order {order['number']}", f"Payment received for order {order['number']}"])


class Challenged(unittest.TestCase):
    def test_a_card_that_asks_the_shopper_first_is_paid_once_the_shopper_has_approved(self):
        waiting = checkout(cart(), card(number=CHALLENGED))
        order = waiting.json()
        self.assertEqual((waiting.status, order["status"]), (202, "placing"))
        page = urllib.parse.urlsplit(order["payments"][0]["next_action"]["url"])
        self.assertEqual(ask("GET", page.path, door=page).status, 200)
        self.assertEqual(mails(order["email"]), [])
        self.assertLess(ask("POST", page.path + "/approve", door=page).status, 400)
        token = {"Fastr-Order": order["order_token"]}
        until(40, "the order to be paid", lambda: must(200, "GET", "/orders/" + order["id"], headers=token)["status"] == "paid")
        self.assertEqual(len(mails_of(order, 2)), 2)


if __name__ == "__main__":
    main()
