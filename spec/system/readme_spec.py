"""The README's commands, exactly as they are printed: a purchase by curl, and a rule that is edited live.

Only the places differ: this instance's folder for var/, and a copy for scripts/rules, so that no file is edited.
"""
import re
import unittest

from support.door import until
from support.shell import Shell
from support.stack import ROOT, copied, fastr, main


def blocks(heading):
    """The commands under a heading, one text for each block."""
    with open(ROOT + "/README.md", encoding="utf-8") as file:
        section = file.read().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^```\n(.*?)^```$", section, re.S | re.M)


class Readme(unittest.TestCase):
    def test_every_command_does_what_the_text_around_it_says(self):
        buy, look = blocks("A purchase by curl")
        with copied("scripts/rules") as rules, Shell(rules) as shell:
            self.assertIn('"status": "paid"', shell.run(buy))
            self.looks(shell, look)
            self.edits_a_rule(shell)

    def looks(self, shell, look):
        seen = until(30, "two mails", lambda: (text := shell.run(look)) and "\nPayment received for order" in text and text)
        self.assertIn('{"type":"order.placed.v1","sequence":1}\n{"type":"order.paid.v1","sequence":2}\n', seen)
        self.assertRegex(seen, r"\n *\d+ \| paid +\| +\d+\n")
        self.assertIn("\nThank you for your order.\n", seen)

    def edits_a_rule(self, shell):
        price, refuse, live, buy, undo = blocks("A rule, edited live")
        before = total(shell.run(price))
        refused = shell.run(refuse)
        self.assertIn("three_for_two_candles.lua", refused)
        self.assertIn("total is 300, expected 400\n", refused)
        try:
            told = shell.run(live)
            self.assertLess(total(told), before)
            self.assertIn('"rule":"three_for_two_candles"', told)
            self.assertIn('"status": "paid"', shell.run(buy))
        finally:
            self.assertIn("rolled back", shell.run(undo))

    def test_a_pack_is_checked_without_a_server(self):
        self.assertEqual(fastr("rules", "check")[0], 0)


def total(printed):
    """The total's amount in what was printed of a cart's totals."""
    return int(re.search(r'"total":{[^}]*?"amount":(\d+)', printed).group(1))


if __name__ == "__main__":
    main()
