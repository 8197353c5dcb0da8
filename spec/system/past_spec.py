"""The past is proved: real orders cost what they did, bit for bit, in other processes, after the catalogue's prices and
categories, the promotions, taxes and shipping fees have all become others; and one byte of what is stored is missed.

With FASTR_LONG=1 (bin/test --long) these are all invoices of the retailer, else a few."""
import contextlib
import csv
import json
import os
import re
import subprocess
import unittest

from support.door import api, must, new_key
from support.shop import order, owner
from support.stack import PRIMARY, ROOT, VAR, all_ready, copied, edit, fastr, main, psql

LIMIT = [] if os.environ.get("FASTR_LONG") == "1" else ["--limit", "25"]
CHANGED = 20  # products


def buy_invoices():
    done = subprocess.run([ROOT + "/bin/replay-orders", *LIMIT], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise AssertionError(done.stdout[-3000:] + done.stderr[-1000:])


# ---- what changes ------------------------------------------------------------------------------------------------------

def bought_skus():
    with open(ROOT + "/data/retail-orders.csv", encoding="utf-8") as file:
        skus = dict.fromkeys(row["sku"] for row in csv.DictReader(file))
    known = (sku for sku in skus if re.fullmatch(r"\d+[A-Z]?", sku) and api("GET", "/products/" + sku).status == 200)
    return [sku for sku, _ in zip(known, range(CHANGED))]


def put(product, price, categories, tax_category):
    body = {"name": product["name"], "description": product["description"], "categories": categories,
            "price": {"amount": price, "currency": "GBP"}, "tax_category": tax_category}
    must(200, "PUT", "/products/" + product["sku"], body, owner(), new_key())


@contextlib.contextmanager
def another_catalogue():
    """Products that the invoices have, at another price, in another category, taxed otherwise."""
    before = [must(200, "GET", "/products/" + sku) for sku in bought_skus()]
    try:
        for product in before:
            put(product, product["list_price"]["amount"] + 17, ["another/category"], "reduced")
        yield
    finally:
        for product in before:
            put(product, product["list_price"]["amount"], product["categories"], product["tax_category"])


@contextlib.contextmanager
def other_rules():
    """Another promotion, tax rate and fee, live on this host."""
    with copied("scripts/rules") as draft:
        edit(draft + "/definitions/promotions.lua", 'type = "order_percent", value = 10', 'type = "order_percent", value = 25')
        edit(draft + "/definitions/tax_rates.lua", 'category = "standard", percent = 20', 'category = "standard", percent = 17.5')
        for file in "definitions/shipping.lua", "shipping/options.lua":
            edit(draft + "/" + file, "fee = 395", "fee = 495")
        rules("activate", draft)
        try:
            yield
        finally:
            rules("activate", "scripts/rules")


@contextlib.contextmanager
def moved(path):
    """A file that is away for a while."""
    os.rename(path, path + ".away")
    try:
        yield
    finally:
        os.replace(path + ".away", path)


# ---- what is asked ------------------------------------------------------------------------------------------------------

def rules(*arguments, code=0):
    """What `fastr rules ...` prints; it must end with this code."""
    ended, text = fastr("rules", *arguments)
    if ended != code:
        raise AssertionError(f"fastr rules {' '.join(arguments)} ended with {ended}: {text}")
    return text


def stored(number, column):
    return psql(PRIMARY, f"""select {column} from "order".orders where number = {number}""")


def store(number, column, text):
    psql(PRIMARY, f"""update "order".orders set {column} = $text${text}$text$ where number = {number}""")


def another(character):
    """A character of the same kind, so that the text stays what it is in form."""
    return "7" if character == "8" else "8" if character.isdigit() else "y" if character == "x" else "x"


def flipped(text, before):
    """The text with one other byte: the one after the first place where `before` (a pattern) ends."""
    at = re.search(before, text).end()
    return text[:at] + another(text[at]) + text[at + 1:]


class ThePast(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        all_ready()
        cls.first = order()
        cls.since = cls.first["placed_at"]  # other specs put orders there that no rule has decided
        buy_invoices()
        cls.live = rules("status").split()[1]

    def proof(self, *more, code=0):
        return json.loads(rules("replay", "--since", self.since, "--json", *more, code=code))

    def test_is_what_it_was_when_all_that_made_it_has_changed(self):
        before = self.proof()
        self.assertTrue(before["ok"])
        with another_catalogue(), other_rules():
            after_all = order()
            self.assertNotEqual(self.first["rules"]["pack"], after_all["rules"]["pack"])
            for jobs in "1", "3":
                proof = self.proof("--jobs", jobs)
                self.assertEqual((True, [], before["orders"] + 1, len(before["packs"]) + 1),
                                 (proof["ok"], proof["wrong"], proof["orders"], len(proof["packs"])))
            self.assertRegex(rules("impact", self.live, "--since", self.since),
                             rf"^[\d,]+ orders were priced by {self.live}; by \w+:\n[\d,]+ real orders: [\d,]+ change, [-+]")

    def test_is_proved_where_the_packs_are_gone_and_the_rules_service_has_them(self):
        kept = os.path.join(VAR, "packs", self.first["rules"]["pack"].removeprefix("sha256:"))
        with open(kept, encoding="utf-8") as file:
            body = {"bundle": file.read(), "message": "What the past was priced by"}
        self.assertIn(api("POST", "/rules/packs", body, owner(), new_key()).status, (200, 201))
        with moved(kept):
            self.assertTrue(self.proof("--jobs", "2")["ok"])
            with open(kept, encoding="utf-8") as file:
                self.assertEqual(body["bundle"], file.read())

    def assert_missed(self, column, pattern, expected):
        number, text = self.first["number"], stored(self.first["number"], column)
        store(number, column, flipped(text, pattern))
        try:
            said = rules("replay", "--since", self.since, code=1)
            self.assertRegex(said, rf"^order {number} \(.*\): {expected}")
            self.assertIn(f"order {number} ", rules("replay", "--since", self.since, "--jobs", "2", code=1))
        finally:
            store(number, column, text)
        self.assertTrue(self.proof()["ok"])

    def test_misses_a_digit_of_its_facts(self):
        self.assert_missed("facts", '"unit_price":', r"lines\[1\]\.")

    def test_misses_a_letter_of_its_facts_that_decides_nothing(self):
        self.assert_missed("facts", r'"categories":\["', "its facts or its decision are not those that were stored")

    def test_misses_a_digit_of_its_decision(self):
        self.assert_missed("decision", '"tax_included":', r"lines\[1\]\.tax_included: \d+, now \d+")

    def test_misses_a_digit_of_what_was_charged(self):
        self.assert_missed("total", "^", r"total: \d+, now \d+")

    def test_asks_for_arithmetic_that_is_there(self):
        self.assert_missed("abi", "^", "it was priced with version 8 of the arithmetic; this fastr has 1 to 1")


if __name__ == "__main__":
    main()
