"""Rules that are tried on real carts beside the live ones: from a cart's first view to its order, and until they stop themselves."""
import json
import time
import unittest

from support.door import api, must, new_key
from support.shop import card, cart, product, purchase
from support.stack import copied, edit, fastr, main

QUANTITY = 20  # x 10.00: above the threshold of the promotion that is edited


def said(code, *arguments, **variables):
    """What `fastr rules ...` prints; it must end with this code."""
    ended, text = fastr("rules", *arguments, **variables)
    if ended != code:
        raise AssertionError(f"fastr rules {' '.join(arguments)} ended with {ended}: {text}")
    return text


def trial():
    return json.loads(said(0, "status", "--json"))["trial"]


def total_of(shopping):
    return shopping["totals"]["total"]["amount"]


class ACanary(unittest.TestCase):
    def setUp(self):
        code, output = fastr("reload", "rules")
        self.assertEqual(code, 0, output)

    def tearDown(self):
        fastr("rules", "stop", "--reason", "the spec is over")

    def try_discount(self, percent, *options):
        """Tries the rules of the checkout with another discount on orders; returns the candidate as decisions name it."""
        with copied("scripts/rules") as rules:
            edit(rules + "/definitions/promotions.lua", 'type = "order_percent", value = 10', f'type = "order_percent", value = {percent}')
            said(0, "activate", rules, *options)
        return "sha256:" + trial()["hash"]

    def test_prices_a_cart_from_its_first_view_to_its_order(self):
        before = cart(QUANTITY)
        candidate = self.try_discount(20, "--canary", "100%", "--drift", "1000%")
        shopping = cart(QUANTITY)
        self.assertEqual(candidate, shopping["rules"]["pack"])
        self.assertEqual(total_of(before) - 2000, total_of(shopping))
        order = must(201, "POST", f"/carts/{shopping['id']}/checkout", purchase(shopping, card()), None, new_key())
        self.assertEqual((candidate, total_of(shopping)), (order["rules"]["pack"], total_of(order)))
        # Whoever saw the live version's price is told that other rules decide now, not charged another one.
        refused = api("POST", f"/carts/{before['id']}/checkout", purchase(before, card()), None, new_key())
        self.assertEqual((409, "price_changed"), (refused.status, refused.json()["code"]))
        self.assertIn("rules_version", [reason["code"] for reason in refused.json()["reasons"]])
        said(0, "stop", "--reason", "seen enough")
        self.assertEqual(total_of(before), total_of(must(200, "GET", f"/carts/{before['id']}")))
        must(201, "POST", f"/carts/{before['id']}/checkout", purchase(before, card()), None, new_key())
        self.assertRegex(trial()["reason"], "^stopped by .*: seen enough$")
        self.assertGreater(trial()["by_candidate"], 0)
        # The order was decided by rules that were never live: they are kept all the same, and prove it.
        self.assertRegex(said(0, "replay", "--since", order["placed_at"]), "bit for bit")

    def test_is_refused_at_once_while_another_runs_and_written_down_nowhere(self):
        first = self.try_discount(20, "--canary", "5%")
        with copied("scripts/rules") as rules:
            edit(rules + "/definitions/promotions.lua", 'type = "order_percent", value = 10', 'type = "order_percent", value = 30')
            refused = said(1, "activate", rules, "--canary", "5%")
        self.assertIn(f"a trial of {first[7:14]} runs", refused)
        self.assertIn("is what is live", said(1, "activate", "scripts/rules", "--canary", "5%"))
        said(0, "stop", "--reason", "seen enough")
        self.assertEqual((first[7:], False), (trial()["hash"], trial()["running"]))

    def test_that_overcharges_stops_itself_and_nobody_is_refused(self):
        sku, live = product(), total_of(cart(QUANTITY))
        self.try_discount(5, "--canary", "50%")
        carts, breach = [], None
        for _ in range(40):
            made = must(201, "POST", "/carts", {}, None, new_key())
            shown = must(200, "POST", f"/carts/{made['id']}/lines", {"sku": sku, "quantity": QUANTITY}, None, new_key())
            carts.append((made["id"], total_of(shown)))
            now = trial()
            breach = breach or now["compared"] >= 20 and time.monotonic()
            if not now["running"]:
                break
        self.assertLess(time.monotonic() - breach, 1)
        self.assertEqual((False, True), (now["running"], now["breach"]))
        self.assertRegex(now["reason"], r"^dearer by \d+ minor units of GBP in 20 decisions, 5\.56 % of the live sum; the limit is 2\.00 %$")
        self.assertEqual({live, live + 1000}, {total for _, total in carts}, "both versions have answered")
        self.assertEqual({live}, {total_of(must(200, "GET", "/carts/" + made)) for made, _ in carts})
        worst = now["worst"][0]
        self.assertEqual((f"{sku} x {QUANTITY}"[:47], "ten_off_over_150", 1000), (worst["line"], worst["rule"], worst["delta"]))
        self.assertRegex(said(0, "status"), r"stopped itself: dearer by \d+\.\d\d GBP in 20 decisions")
        self.assertIn("stopped itself: dearer by", fastr("status")[1])


if __name__ == "__main__":
    main()
