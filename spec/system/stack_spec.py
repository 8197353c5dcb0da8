"""The stack as bin/up starts it, seen from outside: the public door, the inbox, the replicas.

Reads the addresses from the environment (var/shop.env, FASTR_VAR). Uses nothing of ours.
"""
import json
import smtplib
import unittest
import urllib.parse
import uuid

from support.door import INBOX, ask, until
from support.stack import PRIMARY, REPLICAS, environment, main, psql


class PublicDoor(unittest.TestCase):
    def test_an_unknown_path_is_a_problem_document(self):
        status, headers, body = ask("GET", "/nothing/here")
        self.assertEqual((status, headers["Content-Type"]), (404, "application/problem+json"))
        self.assertEqual(json.loads(body)["code"], "not_found")

    def test_a_body_that_is_too_large_is_a_problem_document(self):
        status, headers, body = ask("POST", "/api/v1/carts", "x" * 1_100_000)
        self.assertEqual((status, headers["Content-Type"]), (413, "application/problem+json"))
        self.assertEqual(json.loads(body)["code"], "body_too_large")

    def test_calls_between_services_are_not_for_the_public(self):
        self.assertEqual(ask("POST", "/internal/product/reserve", "{}").status, 404)

    def test_a_usable_request_id_is_kept_and_another_replaced(self):
        self.assertEqual(ask("GET", "/nothing", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"], "abc-1")
        self.assertRegex(ask("GET", "/nothing", headers={"X-Request-Id": "a b"}).headers["X-Request-Id"], "^[0-9a-f]{32}$")

    def test_the_api_is_described(self):
        document = ask("GET", "/openapi.json").json()
        self.assertTrue(document["openapi"].startswith("3.1"))
        self.assertIn("/api/v1/carts", document["paths"])
        self.assertEqual(ask("GET", "/docs").status, 200)


class Inbox(unittest.TestCase):
    def test_a_mail_is_there_as_maildev_would_show_it(self):
        door = urllib.parse.urlsplit(environment()["FASTR_SMTP_URL"])
        to = f"{uuid.uuid4()}@spec.example"
        with smtplib.SMTP(door.hostname, door.port, timeout=10) as smtp:
            smtp.sendmail("shop@spec.example", [to], f"From: Shop <shop@spec.example>\r\nTo: {to}\r\nSubject: =?utf-8?q?5_=C2=A3?=\r\n"
                          "Message-ID: <1@spec.example>\r\n\r\nhello\r\n")
        mails = ask("GET", "/email?to.address=" + to, door=INBOX).json()
        self.assertEqual(len(mails), 1)
        self.assertEqual((mails[0]["subject"], mails[0]["from"][0]["name"], mails[0]["text"].strip(), mails[0]["messageId"]),
                         ("5 £", "Shop", "hello", "1@spec.example"))
        self.assertEqual(ask("DELETE", "/email/" + mails[0]["id"], door=INBOX).status, 200)
        self.assertEqual(ask("GET", "/email?to.address=" + to, door=INBOX).json(), [])


class Replicas(unittest.TestCase):
    def test_what_the_primary_has_both_replicas_have(self):
        status, headers, body = ask("POST", "/api/v1/carts", "{}")
        self.assertEqual(status, 201)
        cart = json.loads(body)["id"]
        for url in [PRIMARY, *REPLICAS]:
            until(10, "the cart's row", lambda: psql(url, f"select count(*) from cart.carts where id = '{cart}'") == "1")

    def test_commits_wait_for_one_of_two_replicas(self):
        states = psql(PRIMARY, "select application_name, sync_state from pg_stat_replication order by 1")
        self.assertEqual(states.split("\n"), ["r1|quorum", "r2|quorum"])


if __name__ == "__main__":
    main()
