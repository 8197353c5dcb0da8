"""Every route that changes something, out of /openapi.json: each Idempotency-Key is sent twice at once, does its work
once, gives one reply to both, refuses another body, and is asked for where it is required.

A route needs a maker below, which says how to ask it and how often its work was done; one without a maker fails.
"""
import threading
import unittest

from support.door import api, ask, must, new_key, until
from support.shop import (ADDRESS, CARD, PASSWORD, authorised, card, cart, customer, new_email, order, owner, product, purchase,
                          put_product, put_promotion, remove_promotion, under_review)
from support.stack import count, main

MUTATING = ("post", "put", "patch", "delete")

# Routes without a key, and why.
WITHOUT_KEY = {
    "post /auth/tokens": "a stored reply would be stored credentials; a repeated sign-in is one more session",
    "delete /auth/tokens": "signing out twice is signing out",
    "post /auth/service-tokens": "as a sign-in, for a service",
    "post /pricing/quote": "changes nothing",
    "post /gift-cards/balance": "changes nothing",
    "post /webhooks/test": "the provider sends no key; its event's id is one",
}


class Case:
    """One action: how to ask for it, a body that differs (None: the route has none), how often it was done, and what takes
    it back where it would be in others' way."""

    def __init__(self, path, body=None, other=None, done=None, token=None, headers=(), undo=None):
        self.path, self.body, self.other, self.done, self.token = path, body, other, done, token
        self.headers, self.undo = headers, undo


def fresh_customer():
    person = customer()
    return person, person["token"]


def cart_version(made):
    return lambda: must(200, "GET", "/carts/" + made["id"])["version"]


# ---- cart ------------------------------------------------------------------------------------------------------------

def new_cart():
    person, token = fresh_customer()
    return Case("/carts", {}, {"currency": "GBP"}, lambda: count(f"select count(*) from cart.carts where customer_id = '{person['id']}'"),
                token)


def changed_cart():
    made = cart()
    return Case("/carts/" + made["id"], {"email": new_email()}, {"email": new_email()}, cart_version(made))


def claimed_cart():
    made, (_, token) = cart(), fresh_customer()
    return Case(f"/carts/{made['id']}/claim", done=cart_version(made), token=token)


def more_lines():
    made, sku = cart(), product()
    return Case(f"/carts/{made['id']}/lines", {"sku": sku, "quantity": 1}, {"sku": sku, "quantity": 2},
                lambda: must(200, "GET", "/carts/" + made["id"])["lines"][0]["quantity"])


def changed_line():
    made = cart()
    return Case(f"/carts/{made['id']}/lines/{product()}", {"quantity": 2}, {"quantity": 3}, cart_version(made))


def removed_line():
    made = cart()
    return Case(f"/carts/{made['id']}/lines/{product()}", done=cart_version(made))


def coupon():
    _, token = fresh_customer()
    made = cart(token=token)
    return Case(f"/carts/{made['id']}/coupons", {"code": "WELCOME"}, {"code": "OTHER"}, cart_version(made), token)


def issued_coupon():
    code = new_key()
    return Case("/coupons/" + code, {"limit": 5}, {"limit": 6}, lambda: count(f"select count(*) from cart.coupons where code = '{code}'"), owner())


def issue_welcome():
    """A code that batches stand for is entered by nobody, unless it was issued itself."""
    if api("GET", "/coupons/WELCOME", token=owner()).status == 404:
        must(201, "PUT", "/coupons/WELCOME", {}, owner(), new_key())


def batch_of_codes():
    issue_welcome()
    prefix = "SPEC" + new_key()[:8]
    return Case("/coupon-batches", {"coupon": "WELCOME", "count": 2, "prefix": prefix}, {"coupon": "WELCOME", "count": 3, "prefix": prefix},
                lambda: count(f"select count(*) from cart.coupon_batches where prefix = '{prefix}'"), owner())


def blocked_batch():
    issue_welcome()
    made = must(201, "POST", "/coupon-batches", {"coupon": "WELCOME", "count": 1}, owner(), new_key())
    return Case("/coupon-batches/" + made["id"], {"blocked": True}, {"blocked": False},
                lambda: count(f"select count(*) from cart.coupon_batches where id = '{made['id']}' and blocked_at is not null"), owner())


def removed_coupon():
    case = coupon()
    must(200, "POST", case.path, case.body, case.token, new_key())
    return Case(case.path + "/WELCOME", done=case.done, token=case.token)


def checkout():
    made = cart()
    body = purchase(made, card())
    other = {**body, "expected_total": {"amount": 1, "currency": "GBP"}}
    return Case(f"/carts/{made['id']}/checkout", body, other,
                lambda: count(f"select count(*) from \"order\".attempts a join \"order\".orders o on o.id = a.order_id where o.cart_id = '{made['id']}'"))


# ---- order -----------------------------------------------------------------------------------------------------------

def history_of(bought, status):
    return lambda: count(f"select count(*) from \"order\".history where order_id = '{bought['id']}' and to_status = '{status}'")


def cancelled_order():
    bought = order()
    return Case(f"/orders/{bought['id']}/cancel", {"reason": "spec"}, {"reason": "another"}, history_of(bought, "cancelled"), owner())


def reviewed_order():
    bought = under_review()
    return Case(f"/orders/{bought['id']}/review", {"accept": True}, {"accept": False}, history_of(bought, "paid"), owner())


def shipped_order():
    bought = order()
    return Case(f"/orders/{bought['id']}/shipments", {"status": "fulfilling"}, {"status": "shipped"}, history_of(bought, "fulfilling"),
                owner())


def returned_order():
    bought = order()
    for status in ("fulfilling", "shipped"):
        must(200, "POST", f"/orders/{bought['id']}/shipments", {"status": status}, owner(), new_key())
    body = {"lines": [{"sku": product(), "quantity": 1}], "reason": "spec"}
    return Case(f"/orders/{bought['id']}/returns", body, {**body, "reason": "another"},
                lambda: count(f"select count(*) from \"order\".returns where order_id = '{bought['id']}'"), owner())


# ---- product, auth, user -------------------------------------------------------------------------------------------------

def changed_product():
    before = put_product("SPEC-IDEMPOTENCY")
    body = {"name": "A thing of the specs", "categories": ["specs"], "price": {"amount": before["list_price"]["amount"] % 1000 + 1, "currency": "GBP"}}
    return Case("/products/SPEC-IDEMPOTENCY", body, {**body, "name": "Another"},
                lambda: must(200, "GET", "/products/SPEC-IDEMPOTENCY")["version"], owner())


def new_price_list():
    put_product("SPEC-IDEMPOTENCY")
    return Case("/products/SPEC-IDEMPOTENCY/prices", {"rows": []},
                {"rows": [{"price": {"amount": 1, "currency": "GBP"}, "customer_group": "nobody"}]},
                lambda: must(200, "GET", "/products/SPEC-IDEMPOTENCY")["version"], owner())


def many_price_lists():
    put_product("SPEC-IDEMPOTENCY")
    row = {"sku": "SPEC-IDEMPOTENCY", "price": {"amount": 1, "currency": "GBP"}, "customer_group": "nobody"}
    return Case("/price-lists", {"rows": [row]}, {"rows": [{**row, "min_quantity": 2}]},
                lambda: must(200, "GET", "/products/SPEC-IDEMPOTENCY")["version"], owner())


def more_stock():
    put_product("SPEC-IDEMPOTENCY")
    return Case("/products/SPEC-IDEMPOTENCY/stock", {"delta": 1, "reason": "spec"}, {"delta": 2, "reason": "spec"},
                lambda: count("select on_hand from product.stock where sku = 'SPEC-IDEMPOTENCY'"), owner())


def new_roles():
    person, _ = fresh_customer()
    return Case(f"/auth/accounts/{person['id']}/roles", {"roles": ["customer", "support"]}, {"roles": []},
                lambda: count(f"select jsonb_array_length(roles) from auth.accounts where id = '{person['id']}'"), owner())


def registration():
    email = new_email()
    body = {"email": email, "password": PASSWORD, "name": "Ada Spec"}
    return Case("/users", body, {**body, "name": "Another"},
                lambda: count(f"select count(*) from auth.accounts a join \"user\".users u using (id) where a.email = '{email}'"))


def changed_profile():
    _, token = fresh_customer()
    return Case("/users/me", {"name": "Ada"}, {"name": "Grace"}, lambda: must(200, "GET", "/users/me", token=token)["version"], token)


def new_group():
    person, _ = fresh_customer()
    return Case(f"/users/{person['id']}/group", {"group": "wholesale"}, {"group": "staff"},
                lambda: count(f"select count(customer_group) from \"user\".users where id = '{person['id']}'"), owner())


def addresses_of(token):
    return must(200, "GET", "/users/me/addresses", token=token)["items"]


def new_address():
    _, token = fresh_customer()
    return Case("/users/me/addresses", {"address": ADDRESS}, {"address": {**ADDRESS, "city": "Leeds"}},
                lambda: len(addresses_of(token)), token)


def changed_address():
    _, token = fresh_customer()
    made = must(201, "POST", "/users/me/addresses", {"address": ADDRESS}, token)
    return Case(f"/users/me/addresses/{made['id']}", {"address": {**ADDRESS, "city": "Leeds"}}, {"address": {**ADDRESS, "city": "York"}},
                lambda: addresses_of(token)[0]["version"], token)


def deleted_address():
    _, token = fresh_customer()
    made = must(201, "POST", "/users/me/addresses", {"address": ADDRESS}, token)
    return Case(f"/users/me/addresses/{made['id']}", done=lambda: 1 - len(addresses_of(token)), token=token)


# ---- payment ---------------------------------------------------------------------------------------------------------

def new_card():
    person, token = fresh_customer()
    return Case("/payment-methods", {"card": CARD}, {"card": {**CARD, "number": "5555555555554444"}},
                lambda: count(f"select count(*) from payment.payment_methods where owner = '{person['id']}'"), token)


def deleted_card():
    person, token = fresh_customer()
    left = f"select count(*) from payment.payment_methods where owner = '{person['id']}' and sealed_card is not null"
    return Case("/payment-methods/" + card(token), done=lambda: 1 - count(left), token=token)


def ledger_of(payment, kind):
    return lambda: count(f"select count(*) from payment.ledger where payment_id = '{payment}' and kind = '{kind}' and state = 'succeeded'")


def part_of(amount):
    return {"amount": {"amount": amount, "currency": "GBP"}}


def capture():
    payment = authorised()
    return Case(f"/payments/{payment}/captures", part_of(100), part_of(200), ledger_of(payment, "capture"), owner())


def void():
    payment = authorised()
    return Case(f"/payments/{payment}/voids", {"reason": "spec"}, {"reason": "another"}, ledger_of(payment, "void"), owner())


def refund():
    payment = order()["payments"][0]["id"]
    return Case(f"/payments/{payment}/refunds", part_of(100), part_of(200), ledger_of(payment, "refund"), owner())


def gift_card():
    return must(201, "POST", "/gift-cards", part_of(500), owner(), new_key())["items"][0]


def issued_gift_cards():
    reason = new_key()
    body = {**part_of(500), "count": 3, "reason": reason}
    return Case("/gift-cards", body, {**body, "count": 4}, token=owner(),
                done=lambda: count(f"select count(distinct c.batch) from payment.gift_cards c join payment.gift_card_entries e on e.card_id = c.id where e.reason = '{reason}'"))


def changed_gift_card():
    made = gift_card()
    return Case("/gift-cards/" + made["id"], {"status": "blocked"}, {"status": "active"}, token=owner(),
                done=lambda: count(f"select count(*) from payment.gift_cards where id = '{made['id']}' and status = 'blocked'"))


def adjusted_gift_card():
    made = gift_card()
    body = {**part_of(-100), "reason": "spec"}
    return Case(f"/gift-cards/{made['id']}/adjustments", body, {**body, "reason": "another"}, token=owner(),
                done=lambda: count(f"select count(*) from payment.gift_card_entries where card_id = '{made['id']}' and kind = 'adjust'"))


def entered_gift_card():
    made = cart()
    return Case(f"/carts/{made['id']}/gift-cards", {"code": gift_card()["code"]}, {"code": "another"}, cart_version(made))


def removed_gift_card():
    made, gift = cart(), gift_card()
    must(200, "POST", f"/carts/{made['id']}/gift-cards", {"code": gift["code"]}, key=new_key())
    return Case(f"/carts/{made['id']}/gift-cards/{gift['id']}", done=cart_version(made))


# ---- notification ----------------------------------------------------------------------------------------------------

def retried_mail():
    mail, to = new_key(), new_email()
    count(f"""with made as (insert into notification.mails (id, subject, event, template, language, address, shown_as, message, status)
        values ('{mail}', '{mail}', 'order.placed.v1', 'spec', 'en', '{to}', 'spec', 'Subject: spec', 'refused') returning 1)
        select count(*) from made""")
    return Case(f"/notifications/{mail}/retry", token=owner(),
                done=lambda: count(f"select count(*) from notification.mails where id = '{mail}' and status <> 'refused'"))


# ---- rules: packs of no use, and activations for a host that there is not ------------------------------------------------

def bundle(text):
    return f"fastr bundle 1\na.lua {len(text)}\n{text}\n"


def new_pack():
    text = "-- " + new_key()
    body = {"bundle": bundle(text), "message": text}
    return Case("/rules/packs", body, {**body, "message": "another"},
                lambda: count(f"select count(*) from rules.packs where message = '{text}'"), owner())


def published_pack():
    return must(201, "POST", "/rules/packs", {"bundle": bundle("-- " + new_key()), "message": "spec"}, owner(), new_key())["hash"]


def new_report():
    made = published_pack()
    body = {"kind": "gate", "green": True, "document": {}}
    return Case(f"/rules/packs/{made}/reports", body, {**body, "green": False},
                lambda: count(f"select count(*) from rules.reports where pack = '{made.removeprefix('sha256:')}'"), owner())


def activations_because(reason):
    return lambda: count(f"select count(*) from rules.activations where reason = '{reason}'")


def new_activation():
    reason = new_key()
    body = {"pack": published_pack(), "mode": "live", "reason": reason, "force": True, "hosts": ["nowhere"]}
    return Case("/rules/activations", body, {**body, "mode": "off"}, activations_because(reason), owner())


def rolled_back():
    reason = new_key()
    return Case("/rules/rollback", {"reason": reason, "hosts": ["nowhere"]}, {"reason": reason, "hosts": ["elsewhere"]},
                activations_because(reason), owner())


def promotion(reason):
    return {"definition": {"coupon": new_key(), "actions": [{"type": "order_fixed", "value": 1}]}, "reason": reason}


def new_promotion():
    name, reason = "spec_" + new_key()[:8], new_key()
    return Case("/rules/promotions/" + name, promotion(reason), promotion(reason),
                activations_because(f"promotion {name}: {reason}"), owner(), undo=lambda: remove_promotion(name))


def removed_promotion():
    name, reason = "spec_" + new_key()[:8], new_key()
    tag = put_promotion(name, promotion("spec"))
    return Case(f"/rules/promotions/{name}?reason={reason}", done=activations_because(f"promotion {name}: {reason}"),
                token=owner(), headers={"If-Match": tag})


MAKERS = {
    "put /rules/promotions/{id}": new_promotion,
    "delete /rules/promotions/{id}": removed_promotion,
    "post /rules/packs": new_pack,
    "post /rules/packs/{hash}/reports": new_report,
    "post /rules/activations": new_activation,
    "post /rules/rollback": rolled_back,
    "post /carts": new_cart,
    "patch /carts/{id}": changed_cart,
    "post /carts/{id}/claim": claimed_cart,
    "post /carts/{id}/lines": more_lines,
    "patch /carts/{id}/lines/{sku}": changed_line,
    "delete /carts/{id}/lines/{sku}": removed_line,
    "post /carts/{id}/coupons": coupon,
    "delete /carts/{id}/coupons/{code}": removed_coupon,
    "post /carts/{id}/gift-cards": entered_gift_card,
    "delete /carts/{id}/gift-cards/{card}": removed_gift_card,
    "post /carts/{id}/checkout": checkout,
    "post /orders/{id}/cancel": cancelled_order,
    "post /orders/{id}/review": reviewed_order,
    "post /orders/{id}/shipments": shipped_order,
    "put /products/{sku}": changed_product,
    "put /products/{sku}/prices": new_price_list,
    "put /price-lists": many_price_lists,
    "post /products/{sku}/stock": more_stock,
    "put /auth/accounts/{id}/roles": new_roles,
    "post /users": registration,
    "patch /users/me": changed_profile,
    "post /users/me/addresses": new_address,
    "patch /users/me/addresses/{id}": changed_address,
    "delete /users/me/addresses/{id}": deleted_address,
    "put /users/{id}/group": new_group,
    "put /coupons/{code}": issued_coupon,
    "post /coupon-batches": batch_of_codes,
    "patch /coupon-batches/{id}": blocked_batch,
    "post /orders/{id}/returns": returned_order,
    "post /payment-methods": new_card,
    "delete /payment-methods/{id}": deleted_card,
    "post /gift-cards": issued_gift_cards,
    "patch /gift-cards/{id}": changed_gift_card,
    "post /gift-cards/{id}/adjustments": adjusted_gift_card,
    "post /payments/{id}/captures": capture,
    "post /payments/{id}/voids": void,
    "post /payments/{id}/refunds": refund,
    "post /notifications/{id}/retry": retried_mail,
}


# ---- one key, twice at once ------------------------------------------------------------------------------------------------

def send(method, case, key, body):
    return api(method, case.path, body, case.token, key, case.headers)


def twice_at_once(method, case, key):
    """Two replies to one key, asked for in the same moment."""
    replies, start = [None, None], threading.Barrier(2)

    def one(i):
        start.wait(10)
        replies[i] = send(method, case, key, case.body)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return replies


def routes():
    """METHOD PATH to operation, of every public route that changes something."""
    found = {}
    for path, methods in ask("GET", "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            if method in MUTATING:
                found[f"{method} {path.removeprefix('/api/v1')}"] = operation
    return found


class EveryKey(unittest.TestCase):
    """One test for each route is added below."""

    def final(self, method, case, key, reply):
        """The reply itself, or, after 409 "still running", the one that a repetition gets in the end."""
        if reply.status != 409 or reply.code != "idempotency_running":
            return reply
        self.assertGreaterEqual(int(reply.headers["Retry-After"]), 1)

        def ended():
            again = send(method, case, key, case.body)
            return again if again.code != "idempotency_running" else None
        return until(30, "the first request with this key to end", ended)

    def works_once(self, method, case):
        key, before = new_key(), case.done()
        replies = [self.final(method, case, key, reply) for reply in twice_at_once(method, case, key)]
        one, other = replies
        self.assertIn(one.status, (200, 201, 204), one)
        self.assertEqual((one.status, one.text and one.json()), (other.status, other.text and other.json()))
        self.assertEqual(sorted([one.replayed, other.replayed]), [False, True])
        self.assertEqual(case.done() - before, 1, "executions")
        return key

    def refuses_another_body(self, method, case, key):
        if case.other is None:
            return
        after, reply = case.done(), send(method, case, key, case.other)
        self.assertEqual((reply.status, reply.code), (422, "idempotency_mismatch"), reply)
        self.assertEqual(case.done(), after)

    def asks_for_a_key(self, method, case, required):
        reply = send(method, case, "no blanks", case.body)
        self.assertEqual((reply.status, reply.code), (400, "idempotency_key_invalid"), reply)
        if required:
            reply = send(method, case, None, case.body)
            self.assertEqual((reply.status, reply.code), (400, "idempotency_key_required"), reply)
            self.assertIn("Idempotency-Key", reply.json()["detail"])

    def check(self, name, operation):
        self.assertTrue(name in MAKERS, f"no maker for {name}: add one to MAKERS")
        method, case = name.split()[0].upper(), MAKERS[name]()
        if case.undo:
            self.addCleanup(case.undo)
        self.asks_for_a_key(method, case, operation["x-idempotency"].startswith("required_"))
        key = self.works_once(method, case)
        self.refuses_another_body(method, case, key)


class Routes(unittest.TestCase):
    def test_a_route_without_a_key_is_one_of_those_that_need_none(self):
        self.assertEqual({name for name, operation in routes().items() if not operation.get("x-idempotency")},
                         set(WITHOUT_KEY) & set(routes()))

    def test_money_and_checkouts_require_a_key(self):
        for name, operation in routes().items():
            if name.endswith("/checkout") or name.startswith("post /payments/"):
                self.assertTrue(operation["x-idempotency"].startswith("required_"), name)

    def test_no_maker_is_left_over(self):
        self.assertEqual(set(MAKERS) - set(routes()), set())


def add_tests():
    for name, operation in routes().items():
        if operation.get("x-idempotency"):
            setattr(EveryKey, "test " + name, lambda self, name=name, operation=operation: self.check(name, operation))


add_tests()

if __name__ == "__main__":
    main()
