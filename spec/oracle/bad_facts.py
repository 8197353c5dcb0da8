#!/usr/bin/env python3
"""Random facts with random faults: each is priced, or refused with the path of what is wrong; nothing else ever happens.

bad_facts.py [CASES [SEED]]      exit 1 with the first facts that were answered otherwise
"""
import copy
import json
import random
import re
import sys

from carts import facts
from compare import decide

VALUES = [None, True, False, 0, -1, 1, 1.5, 2 ** 53 - 1, 1e308, "", "x", "GB", "10.5", "101", "é" * 300, [], {}, [None], [[]],
          [{}], {"a": 1}, ["x"], [1, 2], "2026-11-23T10:00:00Z", {"min": 1}, {"skus": [], "min": 0}, 10000, 9999,
          {"type": "order_percent"}]
NAMES = ["surprise", "value", "min", "filters", "type", "prices"]
REFUSAL = re.compile(r"^[a-z_]+(\[\d+\]|\.\w+)*: \S")
DECISION = {"currency", "lines", "shipping", "items_total", "discount_total", "shipping_total", "shipping_discount_total",
            "tax_total", "tax_included_total", "taxes", "total", "gift_card_total", "due", "coupons", "trace", "pack"}


def places(value, path=()):
    """The paths of all that is within."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield path + (key,)
        yield from places(each, path + (key,))


def spoil(rng, case):
    """One fault: another value, a field that is gone, or one too many."""
    *path, last = rng.choice(list(places(case)))
    at = case
    for key in path:
        at = at[key]
    chance = rng.random()
    if chance < 0.75:
        at[last] = copy.deepcopy(rng.choice(VALUES))
    elif chance < 0.85:
        del at[last]
    elif isinstance(at, dict):
        at[rng.choice(NAMES)] = copy.deepcopy(rng.choice(VALUES))
    else:
        at.append(copy.deepcopy(rng.choice(VALUES)))


def answered(decision):
    if "error" in decision:
        return REFUSAL.match(decision["error"]) is not None and ".lua" not in decision["error"]
    return DECISION <= set(decision) and decision["total"] >= 0


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    rng = random.Random(seed)
    cases = [facts(rng) for _ in range(count)]
    for case in cases:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            spoil(rng, case)
    for case, decision in zip(cases, decide(cases)):
        if not answered(decision):
            print("seed %d: %s\n%s" % (seed, decision.get("error", "a decision without a part"), json.dumps(case)))
            return 1
    print("%d faulty facts are priced or refused with a path (seed %d)" % (count, seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
