#!/usr/bin/env python3
"""Random carts priced by `fastr rules decide` and by the oracle, compared to the penny.

compare.py [CASES [SEED]]      exit 1 with the first differing facts; FASTR names the binary (default build/fastr)
"""
import json
import os
import random
import subprocess
import sys

from price import price

CATEGORIES = ["home", "home/candles", "home/lighting", "kitchen", "kitchen/mugs", "toys"]
SKUS = ["A", "B", "C", "D", "E", "F"]


def some(rng, of):
    return rng.sample(of, rng.randint(1, min(3, len(of))))


def filters(rng):
    out = {}
    if rng.random() < 0.3:
        out["skus_any"] = some(rng, SKUS)
    if rng.random() < 0.3:
        out["categories_any"] = some(rng, CATEGORIES)
    if rng.random() < 0.15:
        out["min_unit_price"] = rng.randint(0, 1500)
    if rng.random() < 0.15:
        out["max_unit_price"] = rng.randint(500, 5000)
    return out


def percent(rng):
    return rng.choice([5, 10, 10.5, 25, 33.3333, 50, 100, "12.5", rng.randint(1, 99)])


def action(rng, kind):
    out = {"type": kind}
    if kind.endswith("percent") or kind == "buy_x_get_y":
        out["value"] = percent(rng)
    elif kind != "free_shipping":
        out["value"] = rng.randint(0, 3000)
    if "shipping" in kind:
        if rng.random() < 0.3:
            out["filters"] = {"methods_any": some(rng, ["post", "express"])}
        if kind == "shipping_fixed":
            out["allocation"] = rng.choice(["each", "across"])
        return out
    if rng.random() < 0.5:
        out["filters"] = filters(rng)
    if kind == "buy_x_get_y":
        out.update(buy_quantity=rng.randint(0, 4), get_quantity=rng.randint(1, 3), buy_filters=filters(rng))
        if rng.random() < 0.7:
            out["times"] = rng.choice([None, 1, 2, 3])
        if rng.random() < 0.5:
            out["pick"] = rng.choice(["dearest", "cheapest"])
    elif kind in ("item_percent", "item_fixed", "order_percent") and rng.random() < 0.3:
        out["max_quantity"] = rng.randint(0, 4)
    return out


def conditions(rng):
    made = {
        "min_items_total": rng.randint(0, 20000), "max_items_total": rng.randint(0, 40000), "min_quantity": rng.randint(1, 20),
        "min_line_quantity": rng.randint(1, 8), "contains_skus_any": some(rng, SKUS),
        "contains_categories_any": some(rng, CATEGORIES), "sku_quantity": {"skus": some(rng, SKUS), "min": rng.randint(1, 6)},
        "category_quantity": {"category": rng.choice(CATEGORIES), "min": rng.randint(1, 6)},
        "category_items_total": {"category": rng.choice(CATEGORIES), "min": rng.randint(1, 9000)},
        "customer_group": some(rng, ["wholesale", "staff"]), "nth_order": rng.randint(1, 3),
    }
    return {k: made[k] for k in rng.sample(sorted(made), rng.choice([0, 0, 0, 1, 1, 2]))}


KINDS = ["order_percent", "order_fixed", "order_price", "item_percent", "item_fixed", "line_fixed", "shipping_percent",
         "shipping_fixed", "free_shipping", "buy_x_get_y"]


def promotion(rng, i):
    catalog = rng.random() < 0.2
    kinds = ["catalog_percent", "catalog_fixed"] if catalog else KINDS
    out = {"id": "p%d" % i, "actions": [action(rng, rng.choice(kinds)) for _ in range(rng.choice([1, 1, 1, 2]))],
           "conditions": conditions(rng), "priority": rng.randint(0, 3), "exclusive": rng.random() < 0.1}
    if catalog:
        out["level"] = "catalog"
    if rng.random() < 0.2:
        out["coupon"] = rng.choice(["X", "Y"])
    if rng.random() < 0.15:
        out["budget"] = {"type": "spend", "limit": rng.randint(0, 5000), "used": rng.randint(0, 1000)}
    if rng.random() < 0.1:
        out["usage"] = {"limit": 2, "used": rng.randint(1, 2)}
    if rng.random() < 0.1:
        out["applies_to_discounted"] = False
    if rng.random() < 0.1:
        out["ends_at"] = rng.choice(["2026-11-23T10:00:00Z", "2026-11-23T09:59:59Z"])
    return out


def facts(rng):
    lines = [{"sku": rng.choice(SKUS), "quantity": rng.randint(1, 9), "unit_price": rng.choice([0, 1, 99, rng.randint(1, 5000)]),
              "categories": some(rng, CATEGORIES), "tax_category": rng.choice(["standard", "reduced", "books", None]),
              "floor_price": rng.choice([0, 0, 0, rng.randint(0, 800)])} for _ in range(rng.randint(0, 8))]
    return {
        "currency": "GBP", "now": "2026-11-23T10:00:00Z", "zone": rng.choice(["GB", "FR", None]), "lines": lines,
        "customer": rng.choice([None, {"id": "c", "group": rng.choice(["wholesale", None]), "orders_placed": rng.randint(0, 2)}]),
        "coupons": rng.choice([[], ["X"], ["X", "Y", "Z"]]), "promotions": [promotion(rng, i) for i in range(rng.randint(0, 5))],
        "tax_rates": [{"category": "standard", "percent": 20, "included": True, "zone": "GB"},
                      {"category": "standard", "percent": 19.6, "included": False, "zone": "FR"},
                      {"category": "reduced", "percent": "5.5", "included": False},
                      {"category": "books", "percent": 7, "included": True, "to": "2026-11-01T00:00:00Z"}],
        "shipping": [{"method": rng.choice(["post", "express"]), "fee": rng.randint(0, 1500), "tax_category": "standard"}
                     for _ in range(rng.choice([0, 1, 1, 3]))],
        "gift_cards": rng.choice([[], [{"code": "G", "balance": rng.randint(0, 9000)}]]),
        "settings": {"tax_rounding": rng.choice(["line", "unit", "total"]), "default_zone": "GB"},
    }


def differs(expected, actual, path="decision"):
    if isinstance(expected, dict):
        return next((d for k, v in expected.items() if (d := differs(v, actual.get(k), path + "." + k))), None)
    if isinstance(expected, list):
        if len(expected) != len(actual or []):
            return "%s has %d entries, expected %d" % (path, len(actual or []), len(expected))
        return next((d for i, v in enumerate(expected) if (d := differs(v, actual[i], "%s[%d]" % (path, i)))), None)
    return None if expected == actual else "%s is %s, expected %s" % (path, actual, expected)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    rng = random.Random(seed)
    cases = [facts(rng) for _ in range(count)]
    command = [os.environ.get("FASTR", "build/fastr"), "rules", "decide", "price.cart", "--lines"]
    text = "".join(json.dumps(case) + "\n" for case in cases)
    replies = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.splitlines()
    for i, (case, reply) in enumerate(zip(cases, replies)):
        decision = json.loads(reply)
        found = decision.get("error") or differs(price(case), decision)
        if found:
            print("case %d of seed %d: %s\n%s\n%s" % (i, seed, found, json.dumps(case), reply))
            return 1
    print("%d carts agree (seed %d)" % (len(replies), seed))
    return 0 if len(replies) == count else 1


if __name__ == "__main__":
    sys.exit(main())
