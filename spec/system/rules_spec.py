"""What a rule developer asks of the running shop: why an order cost what it did, and what an edit would have changed."""
import unittest

from support.shop import cart, order
from support.stack import copied, fastr, main

PENNY = """return rule { doc = "A penny off everything.", stage = "order", when = { at_least(1) },
  apply = function(cart) cart:order_amount_off { amount = 1 } end,
  examples = { { "a penny", cart = { A = { 1, 100 } }, total = 99 } } }
"""


def said(code, *arguments):
    """What `fastr rules ...` prints; it must end with this code."""
    ended, text = fastr("rules", *arguments)
    if ended != code:
        raise AssertionError(f"fastr rules {' '.join(arguments)} ended with {ended}: {text}")
    return text


class PlacedOrders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.order = order()

    def test_an_order_is_explained_by_its_number(self):
        total = self.order["totals"]["total"]["amount"]
        text = said(0, "explain", self.order["number"])
        self.assertIn(f"order {self.order['number']}", text)
        self.assertIn(f": {total // 100}.{total % 100:02d} GBP by rules", text)
        self.assertRegex(text, r"ten_off_over_150 +not applied: min_items_total: has \d+\.\d\d, needs 150\.00")
        said(1, "explain", "99999999")
        self.assertEqual([], self.order["discounts"])

    def test_a_running_cart_is_explained_by_its_id(self):
        made = cart()["id"]
        self.assertIn("ten_off_over_150", said(0, "explain", made))
        self.assertRegex(said(0, "explain", made, "--for", "customer"), r"\nTotal \d+\.\d\d GBP\n$")

    def test_all_of_them_still_cost_what_they_did(self):
        # Since ours: other specs put orders there that no rule has decided.
        self.assertRegex(said(0, "replay", "--since", self.order["placed_at"]), r"^[\d,]+ orders? by \d+ packs?: every one as it was, bit for bit")

    def test_an_edit_is_told_in_money_before_it_is_live(self):
        with copied("scripts/rules") as draft:
            with open(draft + "/promotions/penny.lua", "w", encoding="utf-8") as file:
                file.write(PENNY)
            text = said(0, "replay", "--with", draft, "--since", self.order["placed_at"])
        self.assertRegex(text, r"^[\d,]+ real orders?: [\d,]+ changes?, -\d+\.\d\d GBP")
        self.assertRegex(text, rf"{self.order['number']}  -0\.01 .*penny: takes no part; now applied -0\.01")

    def test_a_cart_is_tried_by_the_draft_beside_what_is_live(self):
        with copied("scripts/rules") as draft:
            with open(draft + "/promotions/penny.lua", "w", encoding="utf-8") as file:
                file.write(PENNY)
            text = said(0, "try", "84077*6", "85123A", "--at", "2026-11-27T12:00Z", "--with", draft)
            again = said(0, "try", "--order", self.order["number"], "--at", "2026-11-27T12:00Z", "--with", draft)
        self.assertRegex(text, r"^ +draft \w{7} +live \w{7}\n")
        self.assertRegex(text, r"\n  penny +applied -0\.01 +takes no part   <-\n")
        self.assertRegex(text, r"\ntotal GBP +8\.63 +8\.64   <-\n$")
        total = self.order["totals"]["total"]["amount"]
        self.assertIn(f"{total // 100}.{total % 100:02d}   <-", again)
        self.assertIn("draft and live are the same", said(0, "try", "84077", "--with", self.order["rules"]["pack"]))

    def test_the_orders_of_a_version_are_found(self):
        live = said(0, "status").split()[1]
        self.assertRegex(said(0, "impact", live, "--since", self.order["placed_at"]), rf"^[\d,]+ orders? (was|were) priced by {live}; by {live}:\n[\d,]+ real orders?: none changes")


if __name__ == "__main__":
    main()
