#!/usr/bin/env python3
"""Can each property of properties.py fail? For each there is a fault that breaks it and is found, and made small.

mutants.py      exit 1 if a fault is not found, or the facts that show it are not small

A fault is in a rule's file, in a copy of the pack, where a rule can make it. Where the ledger, in C, keeps any rule from it,
the decision is spoiled on its way.
"""
import json
import os
import shutil
import sys
import tempfile

import compare
from properties import PROPERTIES, failing, made, smallest
from shrink import size

CARTS, SEED = 300, 20261123
SMALL = 40  # entries and fields of facts, nested ones too: a cart of two lines with a promotion or two
RULES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "rules")
ITEM_FIXED = "cart.ledger:item_fixed(lines, action.value, action.max_quantity)"


def penny_lost(decision):
    decision["total"] -= decision["shipping_discount_total"] > 0


def more_off_than_there_is(decision):
    for line in decision["lines"]:
        line["total"] -= line["total"] == 0 and line["item_discount"] > 0


# property -> (what is wrong, the spoiler of a decision) or (what is wrong, file, its text, the text instead)
MUTANTS = {
    "the sum of the parts is the total": ("a discounted fee is a penny off the total, too", penny_lost),
    "nothing is below zero": ("a line that cost nothing costs less", more_off_than_there_is),
    "the same facts give the same price": (
        "a rule counts its calls", "price/actions/item_fixed.lua", "return {", "local calls = 0\nreturn {",
        ITEM_FIXED, "calls = calls + 1\n    if calls % 2 == 0 then " + ITEM_FIXED + " end"),
    "an included tax does not change the total": (
        "every tax is added", "price/tax.lua", "rate.included or false", "false"),
    "the order of lines is irrelevant to item promotions": (
        "the first line is a penny cheaper", "price/actions/item_fixed.lua", ITEM_FIXED, "cart.ledger:line_off(1, 1)"),
    "a cart split in two costs no less": (
        "it is for carts of one line", "price/actions/item_fixed.lua", ITEM_FIXED,
        "if cart.count == 1 then " + ITEM_FIXED + " end"),
}


def broken_pack(folder, file, *texts):
    """A copy of the rules below `folder`, with texts of a file replaced in pairs."""
    copy = os.path.join(folder, "rules")
    shutil.copytree(RULES, copy)
    path = os.path.join(copy, file)
    with open(path, encoding="utf-8") as source:
        text = source.read()
    for old, new in zip(texts[::2], texts[1::2]):
        if old not in text:
            sys.exit("mutants: %s has no %r" % (file, old))
        text = text.replace(old, new)
    with open(path, "w", encoding="utf-8") as target:
        target.write(text)
    return copy


def decider(folder, fault):
    """compare.decide, with the fault in it."""
    if len(fault) > 1:
        pack = broken_pack(folder, *fault)
        return lambda cases, explain: compare.decide(cases, explain, "--pack", pack)

    def spoiled(cases, explain):
        decisions = compare.decide(cases, explain)
        for decision in decisions:
            if "error" not in decision:
                fault[0](decision)
        return decisions
    return spoiled


def caught(one, fault):
    """The smallest facts that show the fault, or None."""
    with tempfile.TemporaryDirectory(prefix="fastr-mutant-") as folder:
        decide = decider(folder, fault)
        found = next((case for _, case, refused in failing(made(CARTS, SEED), [one], decide) if not refused), None)
        return found and smallest(one, found, decide)


def main():
    bad = 0
    for one in PROPERTIES:
        what, *fault = MUTANTS[one[0]]
        least = caught(one, fault)
        good = least is not None and size(least) <= SMALL and not list(failing([least], [one]))
        bad += not good
        print("%s  %s: %s\n    %s" % ("ok " if good else "BAD", one[0], what, json.dumps(least)))
    print("%d of %d properties fail when they should, and are shown why (seed %d)" % (len(PROPERTIES) - bad,
          len(PROPERTIES), SEED))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
