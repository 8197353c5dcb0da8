"""POST /pricing/quote answers what the oracle computes and what `fastr rules decide` decides, to the penny and word for
word, for anybody who asks; and what cannot be priced is refused with the same path and reason by both."""
import json
import os
import random
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "spec", "oracle"))

from carts import facts  # noqa: E402
from compare import wrong  # noqa: E402
from support.door import api  # noqa: E402
from support.stack import main  # noqa: E402

CARTS = 150
LINE = {"sku": "A", "quantity": 1, "unit_price": 100}
REFUSED = [
    {"lines": [{**LINE, "discount": 1}]},
    {"lines": [{**LINE, "quantity": -1}]},
    {"lines": [{**LINE, "unit_price": 1.5}]},
    {"lines": [{**LINE, "unit_price": 2 ** 53 - 1, "quantity": 2}]},
    {"promotions": [{"actions": [{"type": "percent_off", "value": 1}]}]},
    {"promotions": [{"actions": [{"type": "order_percent", "value": "10.12345"}]}]},
    {"promotions": [{"actions": [{"type": "order_percent", "value": 101}]}]},
    {"tax_rates": [{"percent": 20}]},
    {"currency": "XXX"},
    {"now": "now"},
]


def decide(cases):
    """What the command answers to each."""
    done = subprocess.run(["bin/fastr", "rules", "decide", "price.cart", "--lines"], cwd=ROOT, capture_output=True, text=True,
                          input="".join(json.dumps(case) + "\n" for case in cases), check=True, timeout=120)
    return [json.loads(reply) for reply in done.stdout.splitlines()]


class AQuote(unittest.TestCase):
    def test_is_what_the_oracle_and_the_command_say(self):
        rng = random.Random(20261123)
        cases = [facts(rng) for _ in range(CARTS)]
        for case, decided in zip(cases, decide(cases)):
            reply = api("POST", "/pricing/quote", case)
            self.assertEqual(reply.status, 200, reply)
            quoted = reply.json()
            self.assertIsNone(wrong(case, quoted), case)
            quoted.pop("pack"), decided.pop("pack")  # the command reads the checkout's rules, not the live ones
            self.assertEqual(quoted, decided, case)

    def test_refuses_what_the_command_refuses_with_the_same_path_and_reason(self):
        good = {"currency": "GBP", "now": "2026-11-23T10:00:00Z", "lines": [LINE], "promotions": [], "tax_rates": []}
        cases = [{**good, **fault} for fault in REFUSED]
        for case, decided in zip(cases, decide(cases)):
            reply = api("POST", "/pricing/quote", case)
            self.assertEqual((reply.status, reply.code), (422, "facts_invalid"), reply)
            told = reply.json()["errors"][0]
            self.assertEqual(told["path"] + ": " + told["problem"], decided["error"])
            self.assertEqual(reply.json()["detail"], decided["error"])


if __name__ == "__main__":
    main()
