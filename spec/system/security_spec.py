"""What strangers and other customers try at the public door, with everything that a thief may have got hold of."""
import base64
import hashlib
import hmac
import json
import os
import time
import unittest
import urllib.parse
import uuid

from support.door import api, ask, must, new_key, until
from support.shop import PASSWORD, card, cart, customer, new_email, order, product, purchase
from support.stack import PRIMARY, VAR, main, psql

CHALLENGED = "4000000000003220"  # docs/cards.md
SCHEMAS = "auth user product cart order payment provider notification rules".split()


def checkout(shopping, method, token=None):
    return api("POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, method), token, new_key())


def with_order(token):
    return {"Fastr-Order": token}


def secret(name):
    with open(f"{VAR}/secrets/{name}", encoding="utf-8") as file:
        return file.read().strip()


def service_door():
    """Where the services call each other: the setting services.order."""
    with open(VAR + "/fastr.env", encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("FASTR_SERVICES_ORDER="))
    return urllib.parse.urlsplit(line.strip().split("=", 1)[1])


def service_token(service, audience):
    body = {"client_id": service, "client_secret": secret("service_" + service), "audience": audience}
    return must(200, "POST", "/auth/service-tokens", body)["access_token"]


def text_of(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def parts(token):
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


class Tokens(unittest.TestCase):
    """Who has a customer's own token cannot make another one of it."""

    @classmethod
    def setUpClass(cls):
        order()  # from here on every service that it takes has its secret

    def refused(self, token, code="token_invalid"):
        reply = api("GET", "/users/me", token=token)
        self.assertEqual((reply.status, reply.code), (401, code), token)
        self.assertNotIn(token[:60], reply.text)

    def test_that_are_forged_are_refused(self):
        token = customer()["token"]
        (header, claims), (head, body, signature) = parts(token), token.split(".")
        more = text_of({**claims, "roles": ["owner"]})
        key = must(200, "GET", "/auth/jwks")["keys"][0]
        hashed = text_of({**header, "alg": "HS256"}) + "." + more
        mac = hmac.new(base64.urlsafe_b64decode(key["x"] + "="), hashed.encode(), hashlib.sha256).digest()
        for forged in [f"{head}.{more}.{signature}", f"{text_of({**header, 'alg': 'none'})}.{more}.",
                       f"{text_of({**header, 'alg': 'none'})}.{more}.{signature}", f"{head}.{body}.",
                       hashed + "." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode(),
                       f"{text_of({**header, 'jwk': key, 'kid': 'mine'})}.{body}.{signature}",
                       f"{text_of({**header, 'crit': ['x']})}.{body}.{signature}", token + "A", token[:-4]]:
            self.refused(forged)

    def test_for_another_audience_are_refused_on_both_sides(self):
        self.refused(service_token("cart", "order"))
        asked = {"cart": "A" * 22}
        for token, audience in [(customer()["token"], "order"), (service_token("cart", "product"), "order"),
                                (service_token("cart", "order"), "payment")]:
            path = "/internal/order/of_cart" if audience == "order" else "/internal/payment/look_up"
            reply = ask("POST", path, asked, {"Authorization": "Bearer " + token}, door=service_door())
            self.assertEqual((reply.status, reply.code), (401, "token_invalid"))

    def test_of_services_go_only_to_whom_they_have_business_with(self):
        for service, audience in [("cart", "auth"), ("cart", "shop"), ("cart", "payment"),
                                  ("cart", "provider"), ("order", "auth"), ("order", "provider")]:
            body = {"client_id": service, "client_secret": secret("service_" + service), "audience": audience}
            self.assertEqual(api("POST", "/auth/service-tokens", body).status, 403)
        self.assertEqual(api("POST", "/auth/service-tokens", {"client_id": "cart", "client_secret": "guess",
                                                              "audience": "order"}).code, "client_credentials_wrong")


class TheDoor(unittest.TestCase):
    def test_has_no_way_to_what_is_between_the_services(self):
        token = {"Authorization": "Bearer " + service_token("cart", "order")}
        for path in ["/internal/order/of_cart", "//internal/order/of_cart", "/api/../internal/order/of_cart",
                     "/api/v1/..%2f..%2finternal/order/of_cart", "/api/v1/%2e%2e/%2e%2e/internal/order/of_cart",
                     "/internal%2forder%2fof_cart", "/api/v1/internal/order/of_cart", "/metrics", "/readyz",
                     "/internal/order/of_cart%3f/../../../api/v1/carts", "/api/v1/provider/charges",
                     "/api/v1/provider/challenges/%2e%2e/charges", "/api/v1/provider/keys/x/cancel"]:
            self.assertIn(ask("POST", path, {"cart": "A" * 22}, token).status, (400, 404), path)

    def test_answers_a_path_that_it_cannot_read_with_a_problem_document(self):
        for path in ["/api/v1/carts/%00", "/api/v1/carts/%zz", "/api/v1/carts/%0d%0aSet-Cookie:%20x=1"]:
            reply = ask("GET", path)
            self.assertEqual((reply.status, reply.code), (400, "bad_request"))
            self.assertIsNone(reply.headers["Set-Cookie"])

    def test_lets_nobody_say_how_long_a_checkout_may_take(self):
        shopping, method = cart(), card()
        reply = api("POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, method), key=new_key(),
                    headers={"Fastr-Deadline-Ms": "30"})
        self.assertEqual((reply.status, reply.json()["status"]), (201, "paid"))

    def test_tells_other_origins_nothing_unless_they_are_listed(self):
        for origin in ["null", "http://evil.example", "http://localhost.evil.example", "https://localhost:3000",
                       "http://localhost:3000.evil.example", "http://127.0.0.1:1@evil.example"]:
            for path in ["/api/v1/categories", "/nowhere"]:
                self.assertIsNone(ask("GET", path, headers={"Origin": origin}).headers["Access-Control-Allow-Origin"])
        listed = ask("GET", "/api/v1/categories", headers={"Origin": "http://localhost:3000"})
        self.assertEqual(listed.headers["Access-Control-Allow-Origin"], "http://localhost:3000")
        self.assertIsNone(listed.headers["Access-Control-Allow-Credentials"])

    def test_gives_each_client_one_session_of_his_own(self):
        person = customer()
        for _ in range(3):
            reply = api("POST", "/auth/tokens", {"email": person["email"], "password": PASSWORD})
            self.assertEqual(len(reply.headers.get_all("Set-Cookie")), 1)
            self.assertEqual(reply.headers["Cache-Control"], "no-store")


class WhatIsAnothers(unittest.TestCase):
    """A thief who has ids, and no right to what they name."""

    @classmethod
    def setUpClass(cls):
        cls.thief = customer()["token"]

    def test_order_and_payment_are_not_shown_and_not_moved(self):
        bought = order()
        payment = bought["payments"][0]["id"]
        for token, headers in [(None, {}), (self.thief, {}), (self.thief, with_order("0" * 32))]:
            self.assertEqual(api("GET", "/orders/" + bought["id"], token=token, headers=headers).code, "order_not_found")
            self.assertEqual(api("GET", "/payments/" + payment, token=token, headers=headers).code, "payment_not_found")
            self.assertEqual(api("POST", f"/orders/{bought['id']}/cancel", {}, token, headers=headers).status, 404)
            for kind in ["captures", "refunds", "voids"]:
                reply = api("POST", f"/payments/{payment}/{kind}", {}, token, new_key(), headers)
                self.assertEqual(reply.status, 403 if token else 401)

    def test_cancelled_order_is_not_told_to_who_has_the_key_of_the_request(self):
        bought, key = order(), "1"
        path, mine = f"/orders/{bought['id']}/cancel", with_order(bought["order_token"])
        first = must(200, "POST", path, {}, key=key, headers=mine)
        self.assertEqual(api("POST", path, {}, key=key).code, "order_not_found")
        again = api("POST", path, {}, key=key, headers=mine)
        self.assertEqual((again.json()["status"], again.replayed), (first["status"], True))

    def test_saved_card_pays_for_its_owner_only_even_in_the_owners_cart(self):
        victim = customer()["token"]
        saved, shopping = card(victim), cart(token=victim)
        for token in [None, self.thief]:
            reply = checkout(shopping, saved, token)
            self.assertEqual((reply.status, reply.code), (404, "payment_method_not_found"))
        self.assertEqual(checkout(shopping, saved, victim).status, 201)

    def test_cart_of_a_customer_can_be_paid_by_who_has_its_id_with_a_card_of_his_own(self):
        self.assertEqual(checkout(cart(token=customer()["token"]), card()).status, 201)

    def test_password_cannot_be_guessed_by_registering_again(self):
        victim = customer()
        body = {"email": victim["email"], "name": "Eve"}
        for i in range(12):
            reply = api("POST", "/users", {**body, "password": f"guess number {i}"}, key=new_key())
        self.assertEqual((reply.status, reply.code), (429, "account_locked"))

    def test_roles_and_owners_cannot_be_taken(self):
        person = customer()
        for body in [{"name": "Eve", "roles": ["owner"]}, {"name": "Eve", "id": str(uuid.uuid4())}, {"email": "a@b.example"}]:
            self.assertEqual(api("PATCH", "/users/me", body, person["token"]).code, "validation")
        self.assertEqual(api("PUT", f"/auth/accounts/{person['id']}/roles", {"roles": ["owner"]}, person["token"]).status, 403)
        shopping = cart()
        for body in [{"customer": person["id"]}, {"state": "done"}, {"totals": {}}, {"version": 1}]:
            self.assertEqual(api("PATCH", "/carts/" + shopping["id"], body).code, "validation")
        line = {"sku": product(), "quantity": 1, "unit_price": {"amount": 1, "currency": "GBP"}}
        self.assertEqual(api("POST", f"/carts/{shopping['id']}/lines", line).code, "validation")


class Webhooks(unittest.TestCase):
    def send(self, body, at=None, key=None):
        seconds = int(at or time.time())
        mac = hmac.new((key or secret("provider_webhook")).encode(), f"{seconds}.{body}".encode(), hashlib.sha256)
        return api("POST", "/webhooks/test", body, headers={"Provider-Signature": f"t={seconds},v1={mac.hexdigest()}"})

    def event(self, payment, **changes):
        amount = payment["amount"]["amount"]
        charge = {"id": str(uuid.uuid4()), "key": payment["id"], "status": "captured", "amount": amount,
                  "currency": "GBP", "captured": amount, "refunded": 0, **changes}
        return json.dumps({"id": str(uuid.uuid4()), "type": "charge.captured", "sequence": 9, "charge": charge})

    def test_that_are_not_the_providers_or_not_of_now_are_refused(self):
        body = self.event(order()["payments"][0])
        self.assertEqual(api("POST", "/webhooks/test", body).code, "signature_invalid")
        self.assertEqual(self.send(body, key="guess").code, "signature_invalid")
        self.assertEqual(self.send(body, at=time.time() - 400).code, "signature_invalid")
        self.assertEqual(self.send(body, at=time.time() + 400).code, "signature_invalid")

    def test_move_no_money_even_with_the_providers_secret(self):
        bought = order()
        payment = bought["payments"][0]
        for changes in [{}, {"refunded": 1}, {"status": "voided"}, {"amount": 1}, {"status": "declined"}]:
            body = self.event(payment, **changes)
            for _ in range(2):
                self.assertEqual(self.send(body).code, "conflict")
        shown = must(200, "GET", "/payments/" + payment["id"], headers=with_order(bought["order_token"]))
        self.assertEqual((shown["status"], shown["refunded"]["amount"]), ("captured", 0))


class Secrets(unittest.TestCase):
    """What one purchase and some failures leave in logs and tables."""

    @classmethod
    def setUpClass(cls):
        before = cls.log_sizes()
        person, guest_card, shopping = customer(), card(), cart()
        pair = must(200, "POST", "/auth/tokens", {"email": person["email"], "password": PASSWORD})
        token = pair["access_token"]
        bought = must(201, "POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, guest_card), key=new_key())
        asked = checkout(cart(token=token), card(token, CHALLENGED), token).json()
        challenge = asked["payments"][0]["next_action"]["url"].rsplit("/", 1)[1]
        ask("GET", "/api/v1/provider/challenges/" + challenge)
        ask("POST", f"/api/v1/provider/challenges/{challenge}/approve")
        cls.password = "pass " + str(uuid.uuid4())
        cls.fail_in_many_ways(person, shopping, bought, token)
        for path in ["/carts/" + shopping["id"], "/payment-methods/" + guest_card]:
            last = api("GET", path)
        must(200, "POST", "/auth/tokens", {"refresh_token": pair["refresh_token"]})
        cls.secrets = {"access token": token, "signature": token.split(".")[2], "refresh token": pair["refresh_token"],
                       "password": cls.password, "cart": shopping["id"], "order token": bought["order_token"],
                       "guest's card": guest_card, "challenge": challenge}
        cls.logged = until(10, "the last request to be logged", lambda: cls.logged_since(before, last))

    @classmethod
    def fail_in_many_ways(cls, person, shopping, bought, token):
        for body in [{"email": person["email"], "password": cls.password}, '{"email":"a","password":"' + cls.password,
                     {"email": person["email"], "password": cls.password, "more": cls.password}]:
            api("POST", "/auth/tokens", body)
        api("POST", "/users", {"email": person["email"], "password": cls.password, "name": "Eve"}, key=new_key())
        api("POST", "/users", {"email": new_email(), "password": cls.password, "name": ""}, key=new_key())
        api("GET", f"/carts/{shopping['id']}/nowhere", token=token)
        api("GET", f"/orders/{bought['id']}?token={bought['order_token']}", token=token)
        api("GET", "/users/me", headers={"Authorization": "Basic " + token})

    @staticmethod
    def log_files():
        return [f"{VAR}/log/{name}" for name in os.listdir(VAR + "/log")]

    @classmethod
    def log_sizes(cls):
        return {path: os.path.getsize(path) for path in cls.log_files()}

    @classmethod
    def logged_since(cls, sizes, last):
        texts = []
        for path in cls.log_files():
            with open(path, encoding="utf-8", errors="replace") as file:
                file.seek(sizes.get(path, 0))
                texts.append(file.read())
        text = "\n".join(texts)
        return last.headers["X-Request-Id"] in text and text

    def test_are_in_no_log(self):
        for name, value in self.secrets.items():
            self.assertNotIn(value, self.logged, name)

    def test_of_the_installation_are_in_no_log(self):
        for name in os.listdir(VAR + "/secrets"):
            if name != "pgpass" and len(secret(name)) >= 24:
                self.assertNotIn(secret(name), self.logged, name)

    def test_are_in_no_table_but_as_hashes(self):
        tables = psql(PRIMARY, "select format('%I.%I', table_schema, table_name) from information_schema.tables where "
                      f"table_type = 'BASE TABLE' and table_schema in ({', '.join(repr(name) for name in SCHEMAS)})")
        kept = [f"select '{table} {name}' from {table} t where strpos(t::text, '{self.secrets[name]}') > 0"
                for table in tables.splitlines() for name in ["access token", "signature", "refresh token", "password"]]
        self.assertEqual(psql(PRIMARY, " union all ".join(kept)), "")


if __name__ == "__main__":
    main()
