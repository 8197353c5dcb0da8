"""docs/rules.md followed word by word on the running shop, as a new rule developer would: from the first rule to a canary.

Commands are typed as they are printed, files are those of the page, and what is shown on the page must be what is said:
the same lines in the same order, whatever the amounts, hashes and times are here. "..." stands for any lines.
"""
import os
import re
import subprocess
import unittest

from support.door import until
from support.shell import Shell
from support.stack import ROOT, copied, edit, fastr, main

LIVE = re.compile(r"^live +([0-9a-f]{7}) ", re.M)


def section(first, last):
    with open(ROOT + "/docs/rules.md", encoding="utf-8") as file:
        return file.read().split(f"\n{first}\n", 1)[1].split(f"\n{last}\n", 1)[0]


def blocks(text):
    """(kind, text) of each block of code: "sh" is typed, "lua" is a file, "" is what is shown."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)


def form(line):
    """A line without what differs from shop to shop."""
    line = re.sub(r"(real orders): .*", r"\1", line)  # here there may be none, and none may change
    line = re.sub(r", [\d,]+ instructions an order \(.*?\)", "", line)
    line = re.sub(r"   why: .*?(?=   undo)", "", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", line)
    line = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{7}\b", "HASH", line)
    line = re.sub(r"by \S+(?: \(\w+\))?,? since", "by SOMEBODY since", line)
    line = re.sub(r"(?<![\w-])[-+]?\d[\d,.]*", "0", line)
    return re.sub(r"\s+", " ", line).strip()


class Page(unittest.TestCase):
    def shows(self, shown, said):
        """Each shown line is said, in this order."""
        lines, at = [form(line) for line in said.splitlines()], 0
        for line in shown.splitlines():
            if line.strip() == "...":
                continue
            self.assertIn(form(line), lines[at:], f"not said, or not here: {line}\n{said}")
            at = lines.index(form(line), at) + 1

    def test_from_the_first_rule_to_a_canary_and_back(self):
        before = LIVE.search(fastr("rules", "status")[1]).group(1)
        with copied("scripts/rules") as rules, Shell(rules) as shell:
            try:
                self.follows(shell, rules, section("## Your first rule", "### While you write"))
                self.assertEqual(before, LIVE.search(fastr("rules", "status")[1]).group(1))
                self.watches(rules, section("### While you write", "## Asking"))
            finally:
                os.path.exists("three-mugs.json") and os.remove("three-mugs.json")
                fastr("rules", "stop", "--reason", "the spec is over")
                if LIVE.search(fastr("rules", "status")[1]).group(1) != before:
                    fastr("rules", "activate", ROOT + "/scripts/rules")

    def follows(self, shell, rules, text):
        said = ""
        for kind, block in blocks(text):
            if kind == "sh":
                said = shell.run(block)
                self.assertNotIn("FAIL", said)
            elif kind == "lua":
                with open(rules + "/promotions/mugs.lua", "w", encoding="utf-8") as file:
                    file.write(block)
            else:
                self.shows(block, said)

    def watches(self, rules, text):
        saved, mistaken = (block for _, block in blocks(text))
        log = rules + ".log"
        with open(log, "w", encoding="utf-8") as out:
            watch = subprocess.Popen([ROOT + "/bin/fastr", "rules", "watch"], stdout=out, stderr=out,
                                     env={**os.environ, "FASTR_RULES_DIR": rules})
        try:
            self.until_said(log, "^live as .*")  # what is on disk is not what was live
            edit(rules + "/definitions/promotions.lua", "value = 10", "value = 12")
            self.shows(saved, self.until_said(log, "^saved definitions/promotions.lua   (.*\n)*live as .*"))
            edit(rules + "/promotions/mugs.lua", "at_least(4, category", "at_least(4, categry")
            said = self.until_said(log, r"^\S+/mugs.lua:\d+:\d+: (.*\n)*not live; .*")
            self.shows(mistaken.replace("scripts/rules", rules), said)
            self.assertIn(mistaken.split("\n", 1)[1].rsplit("\nnot live", 1)[0], said)
        finally:
            watch.terminate()
            watch.wait(timeout=10)

    @staticmethod
    def until_said(log, pattern):
        def found():
            with open(log, encoding="utf-8") as file:
                match = re.search(pattern, file.read(), re.M)
            return match and match.group(0)
        return until(30, pattern, found)


if __name__ == "__main__":
    main()
