#!/usr/bin/env python3
"""Random carts priced by `fastr rules decide` and by the oracle, compared to the penny.

compare.py [CASES [SEED]]      exit 1 with the smallest facts found that differ; FASTR names the binary (build/fastr)
compare.py FILE                the same of carts that are given, their facts a line each

A case that differs is made small before it is shown. The seed that is printed makes the same carts again.
"""
import json
import os
import random
import subprocess
import sys

from carts import facts
from price import price
from shrink import small

AT_ONCE = 20000
NEEDED = ("currency", "now", "lines", "promotions", "tax_rates", "shipping")  # without these the pack's own take part


def command(*more):
    return [os.environ.get("FASTR", "build/fastr"), "rules", "decide", "price.cart", "--lines", *more]


def encoded(cases):
    write = json.JSONEncoder(separators=(",", ":")).encode
    return "".join(write(case) + "\n" for case in cases)


def decide(cases, explain="full", *more):
    """The shop's answers: decisions, or {"error": why}; `more`: further words of the command."""
    replies = subprocess.run(command("--explain", explain, *more), input=encoded(cases), capture_output=True, text=True,
                             check=True).stdout.splitlines()
    return [json.loads(reply) for reply in replies]


def differs(expected, actual, path="decision"):
    """The first difference, in words, or None."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return "%s is %s, expected %s" % (path, actual, expected)
        for name, value in expected.items():
            found = value != actual.get(name) and differs(value, actual.get(name), path + "." + name)
            if found:
                return found
        return None
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return "%s has %d entries, expected %d" % (path, len(actual), len(expected))
        pairs = ((e, a, i) for i, (e, a) in enumerate(zip(expected, actual)) if e != a)
        return next((d for e, a, i in pairs if (d := differs(e, a, "%s[%d]" % (path, i)))), None)
    return None if expected == actual else "%s is %s, expected %s" % (path, actual, expected)


def untold(decision):
    """The trace must account for every penny that the total is below the list prices and fees."""
    told = sum(entry.get("amount", 0) for entry in decision["trace"] if entry["outcome"] == "applied")
    lists = sum(sum(line["unit_discounts"]) for line in decision["lines"]) + decision["shipping_discount_total"]
    return None if told == lists else "the trace tells of %d, the decision of %d" % (told, lists)


def wrong(case, decision, told=True):
    """What is wrong with a decision, or None; `told`: its trace was asked for."""
    if "error" in decision:
        return "refused: " + decision["error"]
    return differs(price(case), decision) or (untold(decision) if told else None)


def fail(case, seed, number):
    def fails(cases):
        able = [c for c in cases if all(name in c for name in NEEDED)]
        found = {id(c): wrong_quietly(c, d) for c, d in zip(able, decide(able))}
        return [bool(found.get(id(c))) for c in cases]
    least = small(case, fails)
    decision = decide([least])[0]
    print("case %d of seed %d: %s\n%s\n%s" % (number, seed, wrong(least, decision), json.dumps(least), json.dumps(decision)))
    return 1


def wrong_quietly(case, decision):
    """As wrong, but facts that have become senseless while they were made small do not count."""
    try:
        return None if "error" in decision else wrong(case, decision)
    except (KeyError, TypeError, ValueError):
        return None


def compare(rng, count, seed, done):
    """Decides and computes at the same time; answers 0, or 1 after the first difference was shown."""
    cases = [facts(rng) for _ in range(count)]
    given = os.path.join(os.environ.get("TMPDIR", "/tmp"), "fastr-carts-%d.jsonl" % os.getpid())
    with open(given, "w", encoding="utf-8") as file:
        file.write(encoded(cases))
    explain = "full" if done == 0 else "none"
    with open(given, encoding="utf-8") as file:
        os.unlink(given)
        shop = subprocess.Popen(command("--explain", explain), stdin=file, stdout=subprocess.PIPE, text=True)
    answered = 0
    for case, reply in zip(cases, shop.stdout):
        decision = json.loads(reply)
        if wrong(case, decision, done == 0):
            shop.terminate()
            return "error" in decision and refused(case, decision) or fail(case, seed, done + answered)
        answered += 1
    shop.wait()
    if answered < count:
        print("only %d of %d carts were answered" % (answered, count))
    return 0 if answered == count else 1


def refused(case, decision):
    print("%s\n%s" % (decision["error"], json.dumps(case)))
    return 1


def compare_given(path):
    """The carts of a file, their facts a line each. Answers 0, or 1 after those that differ were shown."""
    with open(path, encoding="utf-8") as file:
        cases = [json.loads(line) for line in file]
    found = [(wrong(case, decision), case) for case, decision in zip(cases, decide(cases))]
    for what, case in found:
        if what:
            print("%s\n%s" % (what, json.dumps(case)))
    if any(what for what, _ in found):
        return 1
    print("%d carts agree" % len(cases))
    return 0


def main():
    if len(sys.argv) > 1 and not sys.argv[1].isdigit():
        return compare_given(sys.argv[1])
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    rng = random.Random(seed)
    for done in range(0, count, AT_ONCE):
        if compare(rng, min(AT_ONCE, count - done), seed, done):
            return 1
    print("%d carts agree (seed %d)" % (count, seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
