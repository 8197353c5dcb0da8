"""Coupons and budgets under real races, from outside: one code and 64 buyers, a budget and 32, the same customer twice, and a
process that is killed between the claim of a use and the order."""
import concurrent.futures
import contextlib
import csv
import io
import subprocess
import unittest
import uuid

from support.door import api, must, new_key, until
from support.shop import card, cart, customer, new_email, owner, purchase
from support.stack import PRIMARY, all_ready, copied, count, edit, fastr, instances, kill, main, psql, workers

RUN = uuid.uuid4().hex[:12]
CODE = "SPEC-" + RUN.upper()
PROMOTIONS = """
  {{ id = "spec_code_{run}", coupon = "{code}", conditions = {{ contains_skus_any = {{ "SPEC-CODE-{run}" }} }},
    actions = {{ {{ type = "order_fixed", value = 100 }} }} }},
  {{ id = "spec_fund_{run}", budget = {{ type = "spend", limit = 1600 }}, conditions = {{ contains_skus_any = {{ "SPEC-FUND-{run}" }} }},
    actions = {{ {{ type = "item_percent", value = 30 }} }} }},
  {{ id = "spec_each_{run}", usage = {{ limit_per_customer = 1 }}, conditions = {{ contains_skus_any = {{ "SPEC-EACH-{run}" }} }},
    actions = {{ {{ type = "order_fixed", value = 100 }} }} }},
}}"""


def setUpModule():
    with copied("scripts/rules") as rules:
        with open(rules + "/definitions/promotions.lua", encoding="utf-8") as file:
            text = file.read().rstrip()
        edit(rules + "/definitions/promotions.lua", text, text[:-1] + PROMOTIONS.format(run=RUN, code=CODE))
        code, output = fastr("rules", "activate", rules)
        if code != 0:
            raise AssertionError(output)
    for name in ("CODE", "FUND", "EACH"):
        sku = f"SPEC-{name}-{RUN}"
        body = {"name": "A thing of the specs", "categories": ["specs"], "price": {"amount": 1000, "currency": "GBP"}}
        must(201, "PUT", "/products/" + sku, body, owner(), new_key())
        must(200, "POST", f"/products/{sku}/stock", {"delta": 1000, "reason": "spec"}, owner(), new_key())
    until(30, "the spec's rules to decide", lambda: discount(cart_of("FUND")) == 300)


def tearDownModule():
    fastr("reload", "rules")


def discount(shown):
    return shown["totals"]["discount"]["amount"]


def cart_of(name, token=None):
    return cart(sku=f"SPEC-{name}-{RUN}", token=token)


def issued(number=1):
    """The codes of a new batch for the spec's promotion."""
    batch = must(201, "POST", "/coupon-batches", {"coupon": CODE, "count": number, "prefix": "SPEC"}, owner(), new_key())
    rows = csv.DictReader(io.StringIO(api("GET", f"/coupon-batches/{batch['id']}/codes", token=owner()).text))
    return [row["code"] for row in rows]


def with_code(code, token=None):
    shopping = cart_of("CODE", token)
    return must(200, "POST", f"/carts/{shopping['id']}/coupons", {"code": code}, token, new_key())


def check_out(shopping, method, key=None, token=None):
    """The answer to a checkout; while the shop is too busy, or at it, it is asked again with the same key."""
    key = key or new_key()

    def answered():
        reply = api("POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, method), token, key)
        return reply if reply.status < 500 and reply.code not in ("idempotency_running", "checkout_running") else None
    return until(60, "an answer to the checkout", answered)


def at_once(number, make):
    """`number` carts, made side by side, then bought side by side: the replies."""
    method = card()
    with concurrent.futures.ThreadPoolExecutor(number) as shoppers:
        shoppings = list(shoppers.map(make, range(number)))
        return shoppings, list(shoppers.map(lambda shopping: check_out(shopping, method), shoppings))


def orders_of(shoppings):
    ids = ", ".join(f"'{shopping['id']}'" for shopping in shoppings)
    return count(f"select count(*) from \"order\".orders where cart_id in ({ids}) and status = 'paid'")


class ACodeForOneUse(unittest.TestCase):
    def test_is_used_by_one_of_sixty_four_who_check_out_at_once(self):
        code, = issued()
        shoppings, replies = at_once(64, lambda _: with_code(code))
        self.assertEqual([reply.status for reply in replies].count(201), 1)
        self.assertEqual(orders_of(shoppings), 1)
        self.assertLessEqual({reply.code for reply in replies if reply.status != 201}, {"coupon_used_up", "price_changed"})
        self.assertEqual(must(200, "GET", "/coupons/" + code, token=owner())["used"], 1)
        self.assertEqual(count(f"select count(*) from cart.coupon_claims where code = '{code}'"), 1)
        bought = next(reply.json() for reply in replies if reply.status == 201)
        self.assertEqual(discount(bought), 100)

    def test_is_free_again_once_when_its_order_is_cancelled_by_many_at_once(self):
        code, token = issued()[0], customer()["token"]
        shopping = with_code(code, token)
        bought = check_out(shopping, card(token), token=token).json()
        with concurrent.futures.ThreadPoolExecutor(8) as shoppers:
            list(shoppers.map(lambda _: api("POST", f"/orders/{bought['id']}/cancel", {}, token, new_key()), range(8)))
        until(20, "the use to be back", lambda: must(200, "GET", "/coupons/" + code, token=owner())["used"] == 0)
        _, replies = at_once(4, lambda _: with_code(code))
        self.assertEqual([reply.status for reply in replies].count(201), 1)


class ABudget(unittest.TestCase):
    def test_is_never_overspent_by_thirty_two_who_buy_at_once(self):
        shoppings, replies = at_once(32, lambda _: cart_of("FUND"))
        good = [reply.json() for reply in replies if reply.status == 201]
        self.assertEqual([discount(order) for order in good], [300] * 5)
        self.assertEqual(orders_of(shoppings), 5)
        self.assertEqual(psql(PRIMARY, f"select used, spent from cart.promotion_counts where promotion = 'spec_fund_{RUN}'"), "5|1500")
        for reply in replies:
            if reply.status != 201:
                wrong = reply.json()
                self.assertEqual((reply.status, wrong["code"]), (409, "price_changed"), reply)
                self.assertEqual(wrong["total"]["amount"] - wrong["expected"]["amount"], 300)
                self.assertIn(f"spec_fund_{RUN}", [reason.get("rule") for reason in wrong["reasons"]])
        loser = next(shopping for shopping, reply in zip(shoppings, replies) if reply.status != 201)
        now = must(200, "GET", "/carts/" + loser["id"])
        self.assertEqual((discount(now), check_out(now, card()).status), (0, 201))


class ALimitPerCustomer(unittest.TestCase):
    def test_holds_for_one_who_buys_two_carts_at_once(self):
        email, method = new_email(), card()
        shoppings = [cart_of("EACH") for _ in range(2)]
        for shopping in shoppings:
            shopping.update(must(200, "PATCH", "/carts/" + shopping["id"], {"email": email}, None, new_key()))
        with concurrent.futures.ThreadPoolExecutor(2) as shoppers:
            replies = list(shoppers.map(lambda shopping: check_out(shopping, method), shoppings))
        self.assertEqual(sorted(reply.status for reply in replies), [201, 409], replies)
        self.assertEqual(next(reply.code for reply in replies if reply.status == 409), "price_changed")


@contextlib.contextmanager
def orders_locked():
    """Whoever wants to open an order waits."""
    with subprocess.Popen(["psql", "-X", "-At", PRIMARY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdin.write("begin;\nlock table \"order\".orders in share row exclusive mode;\nselect 'locked';\n")
        holder.stdin.flush()
        while holder.stdout.readline().strip() != "locked":
            if holder.poll() is not None:
                raise AssertionError("psql has ended")
        try:
            yield
        finally:
            holder.stdin.close()


class ACheckoutThatIsKilled(unittest.TestCase):
    """Between the claim of its code and its order: the code is used by an order, or it is free, never both."""

    def kill_after_the_claim(self, shopping, method, key):
        with concurrent.futures.ThreadPoolExecutor(1) as shoppers, orders_locked():
            first = shoppers.submit(api, "POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, method), key=key)
            until(10, "the claim", lambda: count(f"select count(*) from cart.coupon_claims where cart_id = '{shopping['id']}'"))
            running = {program for service in ("cart", "order") for program in instances(service)}
            for pid in filter(None, workers(*running).values()):
                kill(pid)
        return first.exception() or first.result()

    def is_over(self, shopping):
        """Whoever comes back to a cart that nobody checks out any more opens it."""
        reply = api("PATCH", "/carts/" + shopping["id"], {"email": new_email()}, None, new_key())
        return reply.status == 200 or reply.code == "cart_checked_out"

    def test_and_sent_again_has_its_use_and_its_order(self):
        code, method, key = issued()[0], card(), new_key()
        shopping = with_code(code)
        self.kill_after_the_claim(shopping, method, key)
        self.assertEqual(check_out(shopping, method, key).status, 201)
        self.assertEqual((orders_of([shopping]), must(200, "GET", "/coupons/" + code, token=owner())["used"]), (1, 1))
        all_ready()

    def test_and_forgotten_frees_its_use_for_others(self):
        code, method = issued()[0], card()
        shopping = with_code(code)
        self.kill_after_the_claim(shopping, method, new_key())
        all_ready()
        psql(PRIMARY, f"update cart.carts set paying_since = now() - interval '2 minutes' where id = '{shopping['id']}'")
        until(30, "the cart to be free, or bought", lambda: self.is_over(shopping))
        used, bought = must(200, "GET", "/coupons/" + code, token=owner())["used"], orders_of([shopping])
        self.assertEqual(used, bought)
        _, replies = at_once(3, lambda _: with_code(code)) if used == 0 else ([], [])
        self.assertEqual([reply.status for reply in replies].count(201), 1 - bought)


if __name__ == "__main__":
    main()
