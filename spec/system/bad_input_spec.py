"""What bad input gets at the public door: a problem document with the right status, a stable code and what to do; never a
500, and nothing of a secret in a log."""
import base64
import glob
import json
import os
import socket
import subprocess
import tempfile
import time
import unittest
import uuid

from support.door import SHOP, api, ask, must, new_key, until
from support.shop import CARD, PASSWORD, SKU, card, cart, customer, new_email, product, purchase
from support.stack import VAR, main

JSON = {"Content-Type": "application/json"}


class Case(unittest.TestCase):
    def refused(self, reply, status, code, *words):
        """A problem document of this status and code, whose detail or list of errors has these words."""
        self.assertEqual((reply.status, reply.code), (status, code), reply)
        problem = reply.json()
        self.assertEqual(reply.headers["Content-Type"], "application/problem+json")
        self.assertEqual((problem["status"], problem["type"]), (status, "/docs/problems#" + code))
        self.assertTrue(problem["title"] and problem["detail"], reply)
        self.assertTrue(reply.headers["X-Request-Id"])
        for word in words:
            self.assertIn(word, problem["detail"] + json.dumps(problem.get("errors", "")))
        return problem


class ABody(Case):
    """Of POST /carts/{id}/lines, where quantities and SKUs come in."""

    @classmethod
    def setUpClass(cls):
        cls.path = f"/carts/{cart()['id']}/lines"

    def sent(self, text, headers=JSON):
        return api("POST", self.path, text, headers=headers)

    def test_that_is_not_json_is_told_where(self):
        for text in ("nonsense", "{", '{"sku": "x",}', "{'sku': 1}", '{"sku": "x"} x', '{"quantity": 01, "sku": "x"}', '{"sku": "\t"}',
                     '{"sku": "x", "sku": "y"}', '{"sku": "\\u0000"}', '{"sku": "\\ud800"}', "[" * 500, "\ufeff{}", '{"quantity": 1e999}'):
            self.refused(self.sent(text.encode()), 400, "body_not_json", "line 1")
        self.refused(self.sent(b'{"sku": "\xff"}'), 400, "body_not_json", "line 1")
        self.refused(self.sent(b'{\n  "sku": nil\n}'), 400, "body_not_json", "line 2")

    def test_that_is_absent_or_of_another_kind_is_told_so(self):
        self.refused(self.sent(""), 400, "body_missing")
        self.refused(self.sent("sku=x&quantity=1", {"Content-Type": "application/x-www-form-urlencoded"}), 415, "unsupported_media_type")
        self.refused(self.sent("{}", {"Content-Type": ""}), 415, "unsupported_media_type")

    def test_that_is_too_large_is_told_so(self):
        self.refused(self.sent("x" * 300_000), 413, "body_too_large")
        self.refused(self.sent("x" * 1_100_000), 413, "body_too_large")

    def test_with_a_quantity_that_is_none_is_told_where_and_what_is_due(self):
        for quantity in ("0", "-1", "1.5", "1e9", "1000000000", '"2"', "true", "null", "{}", "[1]", "9007199254740993"):
            reply = self.sent(f'{{"sku": "{SKU}", "quantity": {quantity}}}')
            if reply.code != "body_not_json":  # an integer beyond 2^53 is refused as JSON already
                problem = self.refused(reply, 422, "validation", "quantity")
                self.assertEqual(problem["errors"][0]["in"], "body")
                self.assertTrue(problem["errors"][0]["problem"])
            self.assertLess(reply.status, 500)

    def test_with_fields_that_are_missing_or_unknown_is_told_which(self):
        self.refused(self.sent('{"quantity": 1}'), 422, "validation", "sku")
        self.refused(self.sent('{"sku": "x", "quantity": 1, "quantty": 2}'), 422, "validation", "quantty")
        self.refused(self.sent("[]"), 422, "validation")
        self.refused(self.sent("7"), 422, "validation")

    def test_with_a_sku_that_is_not_sold_is_told_so(self):
        self.refused(self.sent({"sku": "NO-SUCH-THING", "quantity": 1}), 404, "product_not_found", "NO-SUCH-THING")
        self.refused(self.sent({"sku": "x" * 65, "quantity": 1}), 422, "validation", "sku")
        self.refused(self.sent({"sku": "", "quantity": 1}), 422, "validation", "sku")

    def test_leaves_the_cart_as_it_was(self):
        seen = must(200, "GET", self.path.removesuffix("/lines"))
        self.assertEqual([line["quantity"] for line in seen["lines"]], [1])


class APath(Case):
    def test_to_nothing_is_not_found(self):
        self.refused(ask("GET", "/nothing"), 404, "not_found")
        self.refused(api("GET", "/carts/x/y/z"), 404, "not_found")
        self.refused(api("GET", "/products/NO-SUCH-THING"), 404, "product_not_found")
        self.refused(api("GET", "/carts/" + "x" * 22), 404, "cart_not_found")

    def test_with_an_id_that_can_be_none_is_refused_or_not_found(self):
        for path in ("/carts/x", "/carts/%00", "/carts/..%2f..", "/carts/" + "x" * 3000, "/orders/1", "/orders/" + "%ff" * 8,
                     "/products/%F0%9F%98%80", "/products/" + "x" * 65, "/products/a%0ab", "/payments/x"):
            reply = api("GET", path)
            self.assertIn(reply.status, (400, 401, 404, 422), f"{path}: {reply!r}")
            self.assertTrue(reply.code, reply)

    def test_with_a_query_that_is_not_known_is_told_which(self):
        self.refused(api("GET", "/products?limt=3"), 422, "validation", "limt")
        for query in ("limit=0", "limit=101", "limit=x", "limit=", "limit=1.5", "sort=cheap", "currency=gbp", "min_price=-1", "in_stock=perhaps"):
            self.refused(api("GET", "/products?" + query), 422, "validation", query.split("=")[0])
        self.refused(api("GET", "/products?cursor=nonsense"), 400, "cursor_invalid")
        self.refused(api("GET", "/carts/" + "x" * 22 + "?explain=a"), 422, "validation", "explain")

    def test_with_another_method_is_told_which_there_are(self):
        reply = api("PUT", "/carts", {})
        self.refused(reply, 405, "method_not_allowed")
        self.assertIn("POST", reply.headers["Allow"])


def raw(data, end=True):
    """What is answered to these bytes: status and body; (None, "") when the door just closes."""
    with socket.create_connection((SHOP.hostname, SHOP.port), timeout=20) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        reply = b""
        try:
            while chunk := connection.recv(65536):
                reply += chunk
        except ConnectionResetError:
            pass
    head, _, body = reply.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else None), body.decode()


class ARequest(Case):
    """That is no HTTP, as bytes on the wire."""

    def malformed(self, data):
        status, body = raw(data)
        self.assertIn(status, (400, 405, 414, 431, 505), f"{data[:80]}: {status} {body[:200]}")
        self.assertTrue(json.loads(body)["code"], body)

    def test_that_is_malformed_is_refused_with_a_problem_document(self):
        host = b"Host: shop\r\n"
        for data in (b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n" + host + b"\r\n", b"GET / HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + host + b"Bad Header\r\n: x\r\n\r\n",
                     b"POST /api/v1/carts HTTP/1.1\r\n" + host + b"Content-Length: x\r\n\r\n",
                     b"POST /api/v1/carts HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
                     b"POST /api/v1/carts HTTP/1.1\r\n" + host + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
                     b"POST /api/v1/carts HTTP/1.1\r\n" + host + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"GET /" + b"x" * 40000 + b" HTTP/1.1\r\n" + host + b"\r\n",
                     b"GET / HTTP/1.1\r\n" + host + b"X: " + b"y" * 40000 + b"\r\n\r\n"):
            if b"Bad Header" in data or b"40000" in data:
                self.assertIn(raw(data)[0], (400, 404, 414, 431))
            else:
                self.malformed(data)

    def test_with_a_broken_chunk_or_half_a_body_changes_nothing(self):
        start = b"POST /api/v1/carts HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\n"
        for data in (start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", start + b"Transfer-Encoding: gzip\r\n\r\n{}"):
            status, body = raw(data)
            self.assertIn(status, (400, 411, 501), body)
        self.assertIn(raw(start + b"Content-Length: 10\r\n\r\n{}")[0], (None, 400))


def text_of(part):
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).rstrip(b"=").decode()


def signed(claims):
    """A token with auth's own key."""
    with open(VAR + "/secrets/auth_keys", encoding="utf-8") as file:
        key = json.load(file)["keys"][0]
    text = text_of({"alg": "EdDSA", "typ": "JWT", "kid": key["kid"]}) + "." + text_of(claims)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("key", key["private"]), ("text", text)):
            with open(f"{folder}/{name}", "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(content)
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", folder + "/key", "-rawin", "-in", folder + "/text"],
                                   check=True, capture_output=True).stdout
    return text + "." + text_of(signature)


class AToken(Case):
    @classmethod
    def setUpClass(cls):
        cls.person = customer()
        cls.claims = json.loads(base64.urlsafe_b64decode(cls.person["token"].split(".")[1] + "=="))

    def me(self, token):
        return api("GET", "/users/me", token=token)

    def test_that_is_absent_is_asked_for(self):
        self.refused(self.me(None), 401, "unauthenticated", "Authorization")

    def test_that_is_good_is_taken(self):
        self.assertEqual(self.me(signed(self.claims)).status, 200)

    def test_that_has_expired_says_so_and_what_to_do(self):
        self.refused(self.me(signed({**self.claims, "exp": int(time.time()) - 120})), 401, "token_expired", "refresh token")

    def test_that_is_not_valid_yet_from_another_issuer_or_for_another_audience_is_refused(self):
        for change, word in (({"nbf": int(time.time()) + 600}, "yet"), ({"iss": "somebody"}, "issuer"), ({"aud": "product"}, "audience")):
            self.refused(self.me(signed({**self.claims, **change})), 401, "token_invalid", word)

    def test_that_is_forged_or_malformed_is_refused(self):
        head, body, signature = self.person["token"].split(".")
        for token in (f"{head}.{text_of({**self.claims, 'roles': ['owner']})}.{signature}", f"{head}.{body}.{'A' * len(signature)}",
                      f"{text_of({'alg': 'none'})}.{body}.", "x.y.z", "x", "a" * 5000):
            reply = self.me(token)
            self.refused(reply, 401, "token_invalid")
            self.assertIn("Bearer", reply.headers["WWW-Authenticate"])

    def test_of_a_customer_does_not_do_for_staff(self):
        self.refused(api("POST", "/products/" + product() + "/stock", {"delta": 1, "reason": "x"}, self.person["token"]), 403, "forbidden",
                     "stock:write")


class ACard(Case):
    def refused_card(self, field, **change):
        problem = self.refused(api("POST", "/payment-methods", {"card": {**CARD, **change}}), 422, "card_invalid", field)
        self.assertIn(field, problem["errors"][0]["path"])

    def test_that_is_mistyped_expired_or_short_is_told_in_which_field(self):
        self.refused_card("number", number="4242424242424241")
        self.refused_card("number", number="42")
        self.refused_card("number", number="4242x42424242424")
        self.refused_card("exp", exp_year=2020)
        self.refused_card("exp_month", exp_month=13)
        self.refused_card("cvc", cvc="12")


class ACheckout(Case):
    def test_without_a_key_says_which_header_to_send(self):
        made = cart()
        self.refused(api("POST", f"/carts/{made['id']}/checkout", purchase(made, card())), 400, "idempotency_key_required", "Idempotency-Key")

    def test_of_an_incomplete_or_empty_cart_says_what_is_missing(self):
        empty = must(201, "POST", "/carts", {}, key=new_key())
        self.refused(api("POST", f"/carts/{empty['id']}/checkout", purchase(empty, str(uuid.uuid4())), key=new_key()), 409, "cart_empty")
        must(200, "POST", f"/carts/{empty['id']}/lines", {"sku": product(), "quantity": 1}, key=new_key())
        part = must(200, "GET", "/carts/" + empty["id"])
        self.refused(api("POST", f"/carts/{empty['id']}/checkout", purchase(part, str(uuid.uuid4())), key=new_key()), 422, "cart_incomplete",
                     "email", "shipping_address", "shipping_method")

    def test_with_a_card_that_is_not_there_says_so(self):
        made = cart()
        reply = api("POST", f"/carts/{made['id']}/checkout", purchase(made, str(uuid.uuid4())), key=new_key())
        self.assertIn((reply.status, reply.code), ((404, "payment_method_not_found"), (402, "payment_declined")), reply)


def log_text():
    texts = []
    for path in glob.glob(VAR + "/log/*.log*"):
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read())
    return "\n".join(texts)


class Logs(Case):
    def test_have_nothing_of_the_secrets_in_bad_requests(self):
        mark = uuid.uuid4().hex
        number, password, token = "4000056655665556", "secret-" + mark, "forged." + mark + ".token"
        replies = [
            api("POST", "/auth/tokens", {"email": new_email(), "password": password}),
            api("POST", "/auth/tokens", f'{{"email": "x", "password": "{password}'),
            api("POST", "/auth/tokens", {"refresh_token": password}),
            api("POST", "/users", {"email": "not one", "password": password, "name": "x"}),
            api("GET", "/users/me", token=token),
            api("GET", "/users/me?token=" + password),
            api("POST", "/payment-methods", {"card": {**CARD, "number": number + "7", "cvc": "8642"}}),
            api("POST", "/payment-methods", f'{{"card": {{"number": "{number}", "cvc": "8642", "cvc": "8642"}}}}'),
            api("GET", "/payment-methods", headers={"Cookie": "fastr_token=" + password}),
        ]
        self.assertEqual([reply for reply in replies if reply.status >= 500], [])
        for reply in replies:
            self.assertNotIn(number, reply.text)
            self.assertNotIn(mark, reply.text)
        last = replies[0].headers["X-Request-Id"]
        until(10, "the access log", lambda: last in log_text())
        text = log_text()
        for secret in (mark, number, PASSWORD, os.environ["ADMIN_PASSWORD"]):
            self.assertNotIn(secret, text)


def fives(offset):
    """The lines of NGINX's log from there on that tell of a 500."""
    with open(VAR + "/log/access.log", encoding="utf-8") as file:
        file.seek(offset)
        return [line for line in file if json.loads(line)["status"] == 500]


_began = os.path.getsize(VAR + "/log/access.log")


class Nothing(Case):
    def test_was_answered_500(self):
        mark = uuid.uuid4().hex
        ask("GET", "/nothing", headers={"X-Request-Id": mark})
        until(10, "the access log", lambda: mark in log_text())
        self.assertEqual(fives(_began), [])


if __name__ == "__main__":
    main()
