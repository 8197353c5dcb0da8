"""POST /pricing/quote answers what the oracle computes and what `fastr rules decide` decides, to the penny and word for
word, for anybody who asks; and what cannot be priced is refused with the same path and reason by both."""
import os
import random
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "spec", "oracle"))

import bad_facts  # noqa: E402
from carts import facts  # noqa: E402
from compare import decide, wrong  # noqa: E402
from support.door import api  # noqa: E402
from support.stack import main  # noqa: E402

CARTS = 150


class AQuote(unittest.TestCase):
    def setUp(self):
        os.chdir(ROOT)

    def is_priced_alike(self, case, decided, quoted):
        self.assertIsNone(wrong(case, quoted), case)
        quoted.pop("pack"), decided.pop("pack")  # the command reads the checkout's rules, not the live ones
        self.assertEqual(quoted, decided, case)

    def is_refused_alike(self, case, decided, reply):
        self.assertEqual((reply.status, reply.code), (422, "facts_invalid"), reply)
        told = reply.json()["errors"][0]
        self.assertEqual(told["path"] + ": " + told["problem"], decided["error"], case)
        self.assertEqual(reply.json()["detail"], decided["error"])

    def test_is_what_the_oracle_and_the_command_say(self):
        rng = random.Random(20261123)
        cases = [facts(rng) for _ in range(CARTS)] + [{**bad_facts.GOOD, **odd} for odd in bad_facts.ODD]
        for case, decided in zip(cases, decide(cases)):
            reply = api("POST", "/pricing/quote", case)
            self.assertEqual(reply.status, 200, reply)
            self.is_priced_alike(case, decided, reply.json())

    def test_refuses_what_the_command_refuses_with_the_same_path_and_reason(self):
        cases = [{**bad_facts.GOOD, **fault} for _, fault in bad_facts.FAULTS]
        for case, decided in zip(cases, decide(cases)):
            self.is_refused_alike(case, decided, api("POST", "/pricing/quote", case))

    def test_answers_facts_with_random_faults_as_the_command_does(self):
        cases = bad_facts.spoiled(random.Random(20261123), CARTS)
        for case, decided in zip(cases, decide(cases)):
            reply = api("POST", "/pricing/quote", case)
            if "error" in decided:
                self.is_refused_alike(case, decided, reply)
            else:
                quoted = reply.json()
                quoted.pop("pack"), decided.pop("pack")
                self.assertEqual((reply.status, quoted), (200, decided), case)

    def test_refuses_what_is_no_json_for_the_same_reason(self):
        for text, decided in zip(bad_facts.TEXTS, bad_facts.decide_texts(bad_facts.TEXTS)):
            reply = api("POST", "/pricing/quote", text)
            self.assertEqual((reply.status, reply.code), (400, "body_not_json"), reply)
            self.assertEqual(reply.json()["detail"], decided["error"], text)


if __name__ == "__main__":
    main()
