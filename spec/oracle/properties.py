#!/usr/bin/env python3
"""What holds of every price, whatever the promotions: asked of `fastr rules decide` on random carts, without the oracle.

properties.py [CASES [SEED]]      exit 1 with the smallest facts found of which one does not hold

A property looks at the decision of the facts and at those of the facts changed: its `change` makes them (or None where it
does not apply), its `holds` compares. As many processes as there are cores share the carts; each takes 2,500 at a time,
with a seed of their own: the one that is printed makes the same carts again. That each property can fail is shown by
mutants.py.
"""
import gc
import json
import multiprocessing
import os
import random
import sys

import compare
from carts import facts
from shrink import small

AT_ONCE = 2500  # carts with one seed, the first of which is the run's
SUMS = ("item_discount", "order_discount", "total", "tax", "tax_included", "subtotal", "unit_price", "fee", "discount")
ITEM_KINDS = {"item_percent", "item_fixed", "line_fixed"}  # not buy_x_get_y: which units it picks is a matter of all lines
CATALOG_KINDS = {"catalog_percent", "catalog_fixed"}


def kinds(case):
    return {action.get("type") for promotion in case["promotions"] for action in promotion.get("actions", [])}


def of(rows, name):
    return sum(row[name] for row in rows)


# ---- of one decision

def parts_sum(_, decision, __):
    lines, shipping = decision["lines"], decision["shipping"]
    for line in lines:
        reduced = line["item_discount"] + line["order_discount"]
        if line["subtotal"] != line["unit_price"] * line["quantity"] or line["total"] != line["subtotal"] - reduced:
            return False
        if len(line["unit_discounts"]) != line["quantity"] or (sum(line["unit_discounts"]) - reduced) % line["quantity"]:
            return False
    total = decision["items_total"] - decision["discount_total"] + decision["shipping_total"] \
        - decision["shipping_discount_total"] + decision["tax_total"]
    return total == decision["total"] == decision["due"] + decision["gift_card_total"] \
        and total == of(lines, "total") + of(lines, "tax") + of(shipping, "total") + of(shipping, "tax") \
        and decision["tax_included_total"] == of(lines, "tax_included") + of(shipping, "tax_included") \
        and decision["tax_included_total"] == of([tax for tax in decision["taxes"] if tax["included"]], "tax") \
        and decision["tax_total"] == of([tax for tax in decision["taxes"] if not tax["included"]], "tax") \
        and decision["tax_included_total"] == of((tax for tax in decision["taxes"] if tax["included"]), "tax") \
        and decision["tax_total"] == of((tax for tax in decision["taxes"] if not tax["included"]), "tax") \
        and decision["discount_total"] == of(lines, "item_discount") + of(lines, "order_discount") \
        and all(one["total"] == one["fee"] - one["discount"] for one in shipping)


def nothing_below_zero(_, decision, __):
    for row in decision["lines"] + decision["shipping"]:
        if any(row.get(name, 0) < 0 for name in SUMS) or min(row.get("unit_discounts", [0])) < 0:
            return False
    return all(value >= 0 for value in decision.values() if isinstance(value, int))


# ---- of two decisions

def again(case):
    return [case]


def same(_, decision, others):
    return decision == others[0]


def taxes_included(case):
    return [{**case, "tax_rates": [{**rate, "included": True} for rate in case["tax_rates"]]}]


def total_stays(_, decision, others):
    """What is added aside, the total is that of the same rates included."""
    return decision["total"] - decision["tax_total"] == others[0]["total"] and others[0]["tax_total"] == 0


def backwards(case):
    """Declared for what looks at each line by itself: catalogue and item promotions, taxes by line and unit."""
    by_total = case.get("settings", {}).get("tax_rounding") == "total"
    if by_total or not kinds(case) <= ITEM_KINDS | CATALOG_KINDS:
        return None
    return [{**case, "lines": case["lines"][::-1]}]


def same_lines(_, decision, others):
    return decision["lines"] == others[0]["lines"][::-1] and decision["total"] == others[0]["total"]


def harmless(promotion):
    """Grows with the cart: no bound that a smaller cart is within, no budget that it does not exceed."""
    return set(promotion) <= {"id", "actions", "conditions", "priority", "coupon", "starts_at", "ends_at", "usage"} \
        and "max_items_total" not in promotion.get("conditions", {})


def halves(case):
    if len(case["lines"]) < 2 or not kinds(case) <= ITEM_KINDS or not all(harmless(p) for p in case["promotions"]):
        return None
    bare = {name: case[name] for name in case if name not in ("shipping", "gift_cards", "tax_rates")}
    bare.update(tax_rates=[], shipping=[])
    lines, middle = case["lines"], len(case["lines"]) // 2
    return [{**bare, "lines": lines[:middle]}, {**bare, "lines": lines[middle:]}, bare]


def no_less(_, __, others):
    return others[0]["total"] + others[1]["total"] >= others[2]["total"]


PROPERTIES = [
    ("the sum of the parts is the total", None, parts_sum),
    ("nothing is below zero", None, nothing_below_zero),
    ("the same facts give the same price", again, same),
    ("an included tax does not change the total", taxes_included, total_stays),
    ("the order of lines is irrelevant to item promotions", backwards, same_lines),
    ("a cart split in two costs no less", halves, no_less),
]


def item_only(rng):
    """Facts with item promotions alone, for the properties that hold of these."""
    case = facts(rng)
    for promotion in case["promotions"]:
        promotion["actions"] = [action for action in promotion["actions"] if action["type"] in ITEM_KINDS]
        for name in ("level", "exclusive", "budget", "applies_to_discounted", "enabled"):
            promotion.pop(name, None)
        promotion.get("conditions", {}).pop("max_items_total", None)
    case["promotions"] = [promotion for promotion in case["promotions"] if promotion["actions"]]
    return case


def failing(cases, properties, decide=compare.decide):
    """[(property, case, why it was refused or None)] of those that do not hold; refused facts count too."""
    asked, plan = [], []
    for case in cases:
        at = len(asked)
        asked.append(case)
        for one in properties:
            others = one[1](case) if one[1] else []
            if others is not None:
                plan.append((one, case, at, len(asked), len(asked) + len(others)))
                asked.extend(others)
    decisions = decide(asked, "none")
    for one, case, at, start, end in plan:
        found = [decisions[at]] + decisions[start:end]
        wrong = next((d["error"] for d in found if "error" in d), None)
        if wrong or not one[2](case, found[0], found[1:]):
            yield one, case, wrong


def smallest(one, case, decide=compare.decide):
    """The smallest facts found that have a price of which the property does not hold either."""
    def fails(cases):
        able = [c for c in cases if all(name in c for name in compare.NEEDED)]
        bad = {id(c) for _, c, refused in failing(able, [one], decide) if not refused}
        return [id(c) in bad for c in cases]
    return small(case, fails, 40)


def made(count, seed):
    rng = random.Random(seed)
    return [item_only(rng) if i % 3 == 0 else facts(rng) for i in range(count)]


def check(count, seed):
    """What does not hold of so many carts, in words, or None."""
    gc.disable()  # nothing here is a cycle
    one, case, wrong = next(failing(made(count, seed), PROPERTIES), (None, None, None))
    if one is None:
        return None
    least = case if wrong else smallest(one, case)
    return "seed %d\n%s: does not hold (%s)\n%s" % (seed, one[0], wrong or "decided", json.dumps(least))


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    shares = [(min(AT_ONCE, count - done), seed + done // AT_ONCE) for done in range(0, count, AT_ONCE)]
    with multiprocessing.Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        for asked in [pool.apply_async(check, share) for share in shares]:
            if asked.get():
                print(asked.get())
                return 1
    print("%d properties hold of %d carts (seed %d)" % (len(PROPERTIES), count, seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
