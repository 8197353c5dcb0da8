"""People and things of the shop that a spec needs: the owner, a new customer, a product in stock, a cart, an order."""
import os
import time
import urllib.parse
import uuid

from support.door import INBOX, api, ask, must, new_key, until
from support.stack import REPLICAS, VAR, address_of, psql

ADDRESS = {"name": "Ada Spec", "line1": "1 Spec Street", "city": "London", "postcode": "N1 7AA", "country": "GB"}
CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": time.gmtime().tm_year + 2, "cvc": "123"}
PASSWORD = "correct horse battery"
SKU = "SPEC-SYSTEM"


def sign_in(email, password):
    return must(200, "POST", "/auth/tokens", {"email": email, "password": password})["access_token"]


_owner = {}


def owner():
    """An access token of the first owner, made anew every few minutes."""
    if time.monotonic() > _owner.get("until", 0):
        _owner["token"] = until(30, "the owner's account", lambda: _owner_token())
        _owner["until"] = time.monotonic() + 240
    return _owner["token"]


def _owner_token():
    reply = api("POST", "/auth/tokens", {"email": os.environ["ADMIN_EMAIL"], "password": os.environ["ADMIN_PASSWORD"]})
    return reply.status == 200 and reply.json()["access_token"]


def new_email():
    return f"{uuid.uuid4()}@spec.example"


def customer():
    """A new customer, signed in: {id, email, token}."""
    email = new_email()
    user = must(201, "POST", "/users", {"email": email, "password": PASSWORD, "name": "Ada Spec"}, key=new_key())
    return {"id": user["id"], "email": email, "token": sign_in(email, PASSWORD)}


def put_product(sku, price=1000, name="A thing of the specs"):
    """Creates or replaces a product of the specs; returns it. Prices in pence."""
    body = {"name": name, "categories": ["specs"], "price": {"amount": price, "currency": "GBP"}}
    reply = api("PUT", f"/products/{sku}", body, owner(), new_key())
    if reply.status not in (200, 201):
        raise AssertionError(f"PUT /products/{sku}: {reply!r}")
    return reply.json()


def product(sku=SKU):
    """The SKU of a product of 10.00 with at least 1,000 units on hand."""
    if put_product(sku)["available"] < 1000:
        must(200, "POST", f"/products/{sku}/stock", {"delta": 2000, "reason": "spec"}, owner(), new_key())
    return sku


def new_product(price, units, name="A thing of the specs"):
    """The SKU of a new product with that price in pence and that many units on hand, which every replica knows of:
    a page is read by somebody else than who made it, and he is owed no read of his own write."""
    sku = "SPEC-" + uuid.uuid4().hex[:12].upper()
    put_product(sku, price, name)
    must(200, "POST", f"/products/{sku}/stock", {"delta": units, "reason": "spec"}, owner(), new_key())
    known = f"select on_hand from product.stock where sku = '{sku}'"
    until(20, "the replicas to know of " + sku, lambda: all(psql(url, known) == str(units) for url in REPLICAS))
    return sku


def cart(quantity=1, sku=None, token=None):
    """A new cart with one line, ready for its checkout."""
    made = must(201, "POST", "/carts", {}, token, new_key())
    path = "/carts/" + made["id"]
    must(200, "POST", path + "/lines", {"sku": sku or product(), "quantity": quantity}, token, new_key())
    must(200, "PATCH", path, {"email": new_email(), "shipping_address": ADDRESS}, token, new_key())
    method = must(200, "GET", path + "/shipping-options")["items"][0]["method"]
    return must(200, "PATCH", path, {"shipping_method": method}, token, new_key())


def card(token=None, number=CARD["number"]):
    """The id of a saved card."""
    return must(201, "POST", "/payment-methods", {"card": {**CARD, "number": number}}, token, new_key())["id"]


def mails(address):
    """The mails to an address, as the inbox shows them."""
    return ask("GET", "/email?" + urllib.parse.urlencode({"envelope.to.address": address}), door=INBOX).json()


def purchase(shopping, method):
    """The body of a checkout of a cart as it was seen, with a saved card."""
    return {"payment_method": method, "expected_total": shopping["totals"]["total"]}


def order(token=None):
    """A new order, paid by card: the reply of its checkout."""
    shopping = cart(token=token)
    return must(201, "POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, card(token)), token, new_key())


def under_review():
    """A guest's order that a person is to look at: placed, its money set aside and not taken."""
    put_product("SPEC-REVIEW", 1000000)
    must(200, "POST", "/products/SPEC-REVIEW/stock", {"delta": 5, "reason": "spec"}, owner(), new_key())
    shopping = cart(sku="SPEC-REVIEW", quantity=3)
    made = must(201, "POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, card()), key=new_key())
    if made["status"] != "placed":
        raise AssertionError(f"under review: {made!r}")
    return made


def authorised():
    """The id of a payment of 10.00 that is authorised and not captured, asked for as the service order would."""
    with open(VAR + "/secrets/service_order", encoding="utf-8") as file:
        secret = file.read().strip()
    token = must(200, "POST", "/auth/service-tokens", {"client_id": "order", "client_secret": secret, "audience": "payment"})
    body = {"order": new_key(), "attempt": new_key(), "amount": 1000, "currency": "GBP", "payment_method": card(), "verdict": "review"}
    reply = ask("POST", "/internal/payment/authorise", body, {"Authorization": "Bearer " + token["access_token"]},
                door=address_of("payment"))
    if reply.status != 200 or reply.json()["status"] != "authorised":
        raise AssertionError(f"authorise: {reply!r}")
    return reply.json()["payment"]


def live_with(tag):
    """Waits until every worker that answers has the rules of this entity tag."""
    def settled():
        return all(api("GET", "/rules/promotions", token=owner()).headers["ETag"] == tag for _ in range(8))
    until(15, "the rules to be live", settled)
    return tag


def put_promotion(name, body, tag=None):
    """Makes a promotion, or changes the one that was read with `tag`; the entity tag of the rules, once they are live."""
    reply = api("PUT", "/rules/promotions/" + name, body, owner(), new_key(), {"If-Match": tag} if tag else ())
    if reply.status not in (200, 201):
        raise AssertionError(f"PUT /rules/promotions/{name}: {reply!r}")
    return live_with(reply.headers["ETag"])


def remove_promotion(name):
    """Takes a promotion away, if it is there."""
    found = api("GET", "/rules/promotions/" + name, token=owner())
    if found.status == 200:
        reply = api("DELETE", f"/rules/promotions/{name}?reason=spec", None, owner(), new_key(), {"If-Match": found.headers["ETag"]})
        if reply.status != 200:
            raise AssertionError(f"DELETE /rules/promotions/{name}: {reply!r}")
        live_with(reply.headers["ETag"])
