"""Money while processes die: what the ledger says, the provider's book says, and nobody has paid twice."""
import threading
import unittest

from support.door import api, must, new_key, until
from support.shop import card, cart, owner, product, purchase, under_review
from support.stack import PRIMARY, all_ready, count, instances, kill, main, psql, status, stopped, workers

VISA = "4242424242424242"
ANSWERS_LATE = "4000000000005019"   # the money is taken, the answer comes when nobody waits any more
WEBHOOKS_LATE = "4000000000006017"  # so that only asking again can find out
CHALLENGE = "4000000000003220"

TAKEN = """select coalesce(sum(e.amount) filter (where e.kind = 'capture'), 0)
    - coalesce(sum(e.amount) filter (where e.kind = 'refund'), 0)
  from provider.charges c join provider.entries e on e.charge_id = c.id where c.reference = '{0}'"""
BOOKED = """select coalesce(sum(l.amount) filter (where l.kind = 'capture'), 0)
    - coalesce(sum(l.amount) filter (where l.kind = 'refund'), 0)
  from payment.payments p join payment.ledger l on l.payment_id = p.id and l.state = 'succeeded'
  where p.order_id = '{0}'"""


def taken(order):
    return count(TAKEN.format(order))


def booked(order):
    return count(BOOKED.format(order))


def check_out(shopping, method, key):
    """The checkout's last word: sent again with its key until there is one. Its reply."""
    path, body = f"/carts/{shopping['id']}/checkout", purchase(shopping, method)

    def answered():
        try:
            reply = api("POST", path, body, key=key)
        except OSError:
            return None
        return reply if reply.status < 500 and reply.status != 409 else None
    return until(90, "an answer to the checkout", answered)


def look(order, token):
    return must(200, "GET", "/orders/" + order, headers={"Fastr-Order": token})


def become(order, token, state):
    return until(90, f"order {order} to be {state}", lambda: look(order, token)["status"] == state)


def kill_workers(*services):
    """Ends every worker of these services, as a fault of the machine would."""
    programs = {program for service in services for program in instances(service)}
    running = [pid for pid in workers(*programs).values() if pid]
    for pid in running:
        kill(pid)
    return len(running)


def kill_payment():
    return kill_workers("payment")


def accept(order):
    """Staff's word; an answer that is cut off is asked for again by who wants to know."""
    try:
        return api("POST", f"/orders/{order['id']}/review", {"accept": True}, owner(), new_key())
    except OSError:
        return None


class APaymentThatIsCutOff(unittest.TestCase):
    def test_between_the_providers_answer_and_our_commit_is_not_taken_twice(self):
        for number in (ANSWERS_LATE, WEBHOOKS_LATE):
            shopping, method, key, replies = cart(), card(number=number), new_key(), []
            thread = threading.Thread(target=lambda: replies.append(check_out(shopping, method, key)))
            before = count("select count(*) from provider.charges")
            thread.start()
            until(20, "the provider's charge", lambda: count("select count(*) from provider.charges") > before)
            self.assertGreater(kill_payment(), 0)
            thread.join(120)
            self.assertIn(replies[0].status, (201, 202), replies[0])
            order = replies[0].json()
            become(order["id"], order["order_token"], "paid")
            total = shopping["totals"]["total"]["amount"]
            self.assertEqual((taken(order["id"]), booked(order["id"])), (total, total))

    def test_while_many_buy_leaves_both_books_alike(self):
        shoppings = [(cart(), card(), new_key()) for _ in range(8)]
        replies = []
        threads = [threading.Thread(target=lambda one=one: replies.append(check_out(*one))) for one in shoppings]
        for thread in threads:
            thread.start()
        for _ in range(3):
            kill_payment()
        for thread in threads:
            thread.join(180)
        all_ready()
        self.assertEqual(len(replies), len(shoppings))
        for reply in replies:
            self.assertIn(reply.status, (201, 202, 402), reply)
            order = reply.json().get("order") or reply.json()["id"]
            token = reply.json()["order_token"]
            until(90, "the order to rest", lambda: not count(f"select count(*) from \"order\".orders where id = '{order}' and work is not null"))
            shown = look(order, token)
            due = shown["totals"]["total"]["amount"] if shown["status"] == "paid" else 0
            self.assertEqual((taken(order), booked(order)), (due, due), shown["payments"])

    def test_between_a_capture_and_its_note_is_captured_once_and_noted(self):
        orders = [under_review() for _ in range(4)]
        threads = [threading.Thread(target=accept, args=(order,)) for order in orders for _ in range(2)]
        for thread in threads:
            thread.start()
        for order in orders:
            until(20, "the money to be taken", lambda order=order: taken(order["id"]) > 0 or
                  count(f"select count(*) from \"order\".orders where id = '{order['id']}' and work = 'capture'"))
            kill_workers("order", "payment")
        for thread in threads:
            thread.join(120)
        all_ready()
        for order in orders:
            accept(order)
            shown = become(order["id"], order["order_token"], "paid") and look(order["id"], order["order_token"])
            total = shown["totals"]["total"]["amount"]
            self.assertEqual((taken(order["id"]), booked(order["id"])), (total, total), shown["payments"])
            self.assertEqual([entry["status"] for entry in shown["history"]].count("paid"), 1, shown["history"])

    def test_by_a_provider_that_is_away_is_unknown_and_comes_to_an_end(self):
        shopping, method = cart(), card()
        with stopped("provider-1"):
            reply = check_out(shopping, method, new_key())
            self.assertEqual(reply.status, 202, reply)
            order = reply.json()
            self.assertEqual(order["payments"][0]["status"], "unknown")
            self.assertIn("nobody serves provider", " ".join(each["problem"] for each in status()["problems"]))
        until(90, "the payment to be decided", lambda: look(order["id"], order["order_token"])["payments"][0]["status"] != "unknown")
        self.assertEqual((taken(order["id"]), booked(order["id"])), (0, 0))
        self.assertEqual(check_out(shopping, card(), new_key()).status, 201)
        total = shopping["totals"]["total"]["amount"]
        self.assertEqual((taken(order["id"]), booked(order["id"])), (total, total))


class MoneyThatGoesBack(unittest.TestCase):
    def bought(self, number=VISA):
        shopping = cart(sku=product())
        reply = check_out(shopping, card(number=number), new_key())
        return shopping, reply.json()

    def test_is_that_of_a_cancelled_order_whatever_its_card_did(self):
        for number in (VISA, ANSWERS_LATE, CHALLENGE):
            _, order = self.bought(number)
            token = {"Fastr-Order": order["order_token"]}
            must(200, "POST", f"/orders/{order['id']}/cancel", {}, key=new_key(), headers=token)
            until(60, "the money to be back", lambda: not count(
                f"select count(*) from \"order\".orders where id = '{order['id']}' and work is not null"))
            self.assertEqual((taken(order["id"]), booked(order["id"])), (0, 0), number)

    def test_is_refunded_once_for_each_key_and_never_more_than_was_taken(self):
        _, order = self.bought()
        path, total = f"/payments/{order['payments'][0]['id']}", order["totals"]["total"]["amount"]
        part = {"amount": {"amount": total // 2, "currency": order["currency"]}, "reason": "broken"}
        key = new_key()
        for _ in range(2):
            shown = must(201, "POST", path + "/refunds", part, owner(), key)
        self.assertEqual(shown["refunded"]["amount"], total // 2)
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(api("POST", path + "/refunds", part, owner(), new_key())))
                   for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(sorted(reply.status for reply in replies), [201] + [409] * 5)
        self.assertEqual((taken(order["id"]), booked(order["id"])), (total % 2, total % 2))

    def test_shows_in_the_payment_of_who_has_the_orders_token_only(self):
        _, order = self.bought()
        path = f"/payments/{order['payments'][0]['id']}"
        shown = must(200, "GET", path, headers={"Fastr-Order": order["order_token"]})
        self.assertEqual((shown["status"], shown["last4"]), ("captured", VISA[-4:]))
        for headers in ({}, {"Fastr-Order": "0" * 32}):
            self.assertEqual(api("GET", path, headers=headers).code, "payment_not_found")


class TheBooks(unittest.TestCase):
    def test_agree_charge_by_charge(self):
        # Of orders: what other specs have planted in one book alone, to have it found, belongs to none.
        until(60, "both books to agree", lambda: psql(PRIMARY, """
            with ours as (select p.id::text as key, p.order_id::text as order_id,
                coalesce(sum(l.amount) filter (where l.kind = 'capture'), 0) as captured,
                coalesce(sum(l.amount) filter (where l.kind = 'refund'), 0) as refunded
              from payment.payments p join payment.ledger l on l.payment_id = p.id and l.state = 'succeeded' group by 1, 2),
            theirs as (select c.key, c.reference, coalesce(sum(e.amount) filter (where e.kind = 'capture'), 0) as captured,
                coalesce(sum(e.amount) filter (where e.kind = 'refund'), 0) as refunded
              from provider.charges c join provider.entries e on e.charge_id = c.id group by 1, 2)
            select count(*) from ours full join theirs using (key)
              join "order".orders o on o.id::text = coalesce(order_id, reference)
            where coalesce(ours.captured, 0) <> coalesce(theirs.captured, 0)
              or coalesce(ours.refunded, 0) <> coalesce(theirs.refunded, 0)""") == "0")


if __name__ == "__main__":
    main()
