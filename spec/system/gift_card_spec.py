"""Gift cards from issue to refund, from outside, and while payment dies between what a card paid and what is charged."""
import threading
import unittest

from payment_spec import ANSWERS_LATE, become, booked, kill_payment, look, taken
from support.door import api, must, new_key, until
from support.shop import card, cart, owner
from support.stack import PRIMARY, all_ready, count, main, psql, stopped


def gbp(amount):
    return {"amount": amount, "currency": "GBP"}


def issue(amount):
    return must(201, "POST", "/gift-cards", {"amount": gbp(amount)}, owner(), new_key())["items"][0]


def on(gift):
    return must(200, "POST", "/gift-cards/balance", {"code": gift["code"]})["balance"]["amount"]


def paying_with(gift, quantity=2):
    """A cart of two things of 10.00 that the gift card pays a part of."""
    return must(200, "POST", f"/carts/{cart(quantity)['id']}/gift-cards", {"code": gift["code"]}, key=new_key())


def check_out(shopping, method, key):
    """Sent again with its key until there is a last word."""
    body = {"expected_total": shopping["totals"]["total"], "expected_due": shopping["totals"]["due"]}
    if method:
        body["payment_method"] = method

    def answered():
        try:
            reply = api("POST", f"/carts/{shopping['id']}/checkout", body, key=key)
        except OSError:
            return None
        return reply if reply.status < 500 and reply.status != 409 else None
    return until(90, "an answer to the checkout", answered)


def cancel(order):
    must(200, "POST", f"/orders/{order['id']}/cancel", {}, key=new_key(), headers={"Fastr-Order": order["order_token"]})


class AGiftCard(unittest.TestCase):
    def test_pays_a_part_and_gets_it_back_when_the_order_is_cancelled(self):
        gift = issue(500)
        shopping = paying_with(gift)
        due = shopping["totals"]["total"]["amount"] - 500
        self.assertEqual(shopping["totals"]["due"], gbp(due))
        order = check_out(shopping, card(), new_key()).json()
        shown = look(order["id"], order["order_token"])
        self.assertEqual((shown["status"], shown["gift_cards"]), ("paid", [{"last4": gift["last4"], "amount": gbp(500)}]))
        self.assertEqual((taken(order["id"]), booked(order["id"]), on(gift)), (due, due, 0))
        cancel(order)
        until(60, "all of it to be back", lambda: (taken(order["id"]), on(gift)) == (0, 500))

    def test_pays_all_and_gets_a_returned_line_back(self):
        gift = issue(10000)
        shopping = paying_with(gift)
        self.assertEqual(shopping["totals"]["due"], gbp(0))
        order = check_out(shopping, None, new_key()).json()
        self.assertEqual((order["status"], taken(order["id"])), ("paid", 0))
        left = 10000 - shopping["totals"]["total"]["amount"]
        self.assertEqual(on(gift), left)
        for status in ("shipped", "delivered"):
            must(200, "POST", f"/orders/{order['id']}/shipments", {"status": status}, owner(), new_key())
        line, key = order["lines"][0], new_key()
        for _ in range(2):
            back = must(201, "POST", f"/orders/{order['id']}/returns", {"lines": [{"sku": line["sku"], "quantity": 1}]}, owner(), key)
        until(30, "the refund", lambda: on(gift) == left + back["returns"][0]["refund"]["amount"])

    def test_whose_code_is_nowhere_in_the_logs_or_the_tables(self):
        gift = issue(500)
        paying_with(gift)
        bare = gift["code"].replace("-", "")
        for table in ("payment.gift_cards", "payment.idempotency_keys", "payment.outbox", "cart.carts", "cart.idempotency_keys"):
            for code in (gift["code"], bare):
                self.assertEqual(count(f"select count(*) from {table} t where t::text like '%{code}%'"), 0, table)


class APaymentThatIsKilled(unittest.TestCase):
    def test_between_the_gift_card_and_the_charge_gives_the_gift_card_back(self):
        gift = issue(500)
        shopping, method, replies = paying_with(gift), card(), []
        thread = threading.Thread(target=lambda: replies.append(check_out(shopping, method, new_key())))
        with stopped("provider-1"):
            thread.start()
            until(20, "the gift card to have paid", lambda: on(gift) == 0)
            self.assertGreater(kill_payment(), 0)
            thread.join(120)
        all_ready()
        self.assertEqual(replies[0].status, 202, replies[0])
        order = replies[0].json()
        until(90, "the payment to be decided", lambda: on(gift) == 500)
        self.assertEqual((taken(order["id"]), booked(order["id"])), (0, 0))
        again = must(200, "GET", "/carts/" + shopping["id"])
        self.assertEqual(check_out(again, card(), new_key()).status, 201)
        due = shopping["totals"]["due"]["amount"]
        self.assertEqual((taken(order["id"]), booked(order["id"]), on(gift)), (due, due, 0))

    def test_between_the_charge_and_its_note_takes_both_once(self):
        gift = issue(500)
        shopping, method, replies = paying_with(gift), card(number=ANSWERS_LATE), []
        thread = threading.Thread(target=lambda: replies.append(check_out(shopping, method, new_key())))
        before = count("select count(*) from provider.charges")
        thread.start()
        until(20, "the provider's charge", lambda: count("select count(*) from provider.charges") > before)
        self.assertGreater(kill_payment(), 0)
        thread.join(120)
        order = replies[0].json()
        become(order["id"], order["order_token"], "paid")
        due = shopping["totals"]["due"]["amount"]
        self.assertEqual((taken(order["id"]), booked(order["id"]), on(gift)), (due, due, 0))


class TheBooksOfGiftCards(unittest.TestCase):
    def test_add_up(self):
        self.assertEqual(psql(PRIMARY, """select count(*) from (select 1 from payment.gift_card_entries group by card_id
            having sum(amount) < 0) as below"""), "0")
        self.assertEqual(psql(PRIMARY, """select count(*) from (select p.id from payment.payments p
            left join payment.gift_card_entries e on e.payment_id = p.id group by p.id having p.from_gift_cards <>
              -coalesce(sum(e.amount) filter (where e.kind = 'spend'), 0) or coalesce(sum(e.amount), 0) > 0) as wrong"""), "0")
        until(60, "what came to nothing to have been given back", lambda: psql(PRIMARY, """
            select count(*) from (select p.id from payment.payments p join payment.gift_card_entries e on e.payment_id = p.id
              where p.status in ('declined', 'voided') group by p.id having sum(e.amount) <> 0) as kept""") == "0")


if __name__ == "__main__":
    main()
