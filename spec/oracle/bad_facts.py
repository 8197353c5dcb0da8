#!/usr/bin/env python3
"""Facts that cannot be priced are refused with the path of what is wrong; facts that are only odd have their price.

bad_facts.py [CASES [SEED]]      exit 1 with the first facts that were answered otherwise

FAULTS, ODD and TEXTS are known kinds; then come random facts with random faults, of which each is priced or refused with a
path, and nothing else ever happens. spec/system/quote_spec.py asks a running shop the same.
"""
import copy
import json
import random
import re
import subprocess
import sys

from carts import facts
from compare import command, decide, wrong

MOST = 2 ** 53 - 1
LINE = {"sku": "A", "quantity": 1, "unit_price": 100, "tax_category": "s"}
GOOD = {"currency": "GBP", "now": "2026-11-23T10:00:00Z", "lines": [LINE], "promotions": [], "tax_rates": [], "shipping": []}
EARLY, LATE = "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"


def line(**more):
    return {"lines": [{**LINE, **more}]}


def rows(*list_of_rows):
    return {"lines": [{"sku": "A", "quantity": 5, "prices": [{"currency": "GBP", "amount": 1, **row} for row in list_of_rows]}]}


def action(kind, value=None, **more):
    return {"promotions": [{"actions": [{"type": kind, **({} if value is None else {"value": value}), **more}]}]}


def promotion(**more):
    return {"promotions": [{"actions": [{"type": "order_percent", "value": 10}], **more}]}


def rate(**more):
    return {"tax_rates": [{"category": "s", "percent": 20, **more}]}


ACTION, ROW = "promotions[1].actions[1].", "lines[1].prices[1]."
NO_PERCENTS = [101, 100.0001, -1, 10.12345, "10.12345", "100.0001", 1e-5, True, "", "ten", "NaN", "nan", "inf", "Infinity",
               "-Infinity", "1e1", "0x10", " 5", "5 ", "5%", "+5", "1,5", ".5", "5.", "-1", "\u0663"]
NO_AMOUNTS = [-1, 0.5, 1.5, 1e300, "100", "1.00", "NaN", "Infinity", True, [], {}]
NO_CURRENCIES = ["XAU", "XXX", "XTS", "XDR", "ABC", "gbp", "GB", "GBPX", "", "G P", 826, None]
NO_TIMES = ["now", "", "2026-11-23", "2026-02-30T00:00:00Z", "2026-11-23T25:00:00Z", "2026-11-23T10:00:00", 0, []]

# (the path that the refusal names, what replaces fields of GOOD)
FAULTS = [
    # unknown fields
    ("discount", {"discount": 1}), ("lines[1].colour", line(colour="red")), ("promotions[1].name", promotion(name="x")),
    ("promotions[1].conditions.min_total", promotion(conditions={"min_total": 1})), (ROW + "discount", rows({"discount": 1})),
    (ROW + "rules.country", rows({"rules": {"country": "GB"}})), (ACTION + "amount", action("order_fixed", 1, amount=1)),
    (ACTION + "filters.sku", action("item_percent", 1, filters={"sku": ["A"]})), ("tax_rates[1].name", rate(name="VAT")),
    ("promotions[1].usage.max", promotion(usage={"max": 1})), ("settings.rounding", {"settings": {"rounding": "up"}}),
    ("promotions[1].budget.spent", promotion(budget={"limit": 1, "spent": 1})), ("customer.email", {"customer": {"email": "a"}}),
    ("shipping[1].weight", {"shipping": [{"method": "a", "fee": 1, "weight": 1}]}),
    ("gift_cards[1].pin", {"gift_cards": [{"code": "a", "balance": 1, "pin": 1}]}),
    # unknown types, and what a type does not heed
    (ACTION + "type", action("percent_off", 1)), (ACTION + "type", action("", 1)), (ACTION + "type", action(5, 1)),
    ("promotions[1].level", promotion(level="shop")), (ACTION + "type", promotion(level="catalog")),
    ("promotions[1].budget.type", promotion(budget={"type": "money", "limit": 1})),
    ("settings.tax_rounding", {"settings": {"tax_rounding": "shipment"}}),
    (ACTION + "pick", action("buy_x_get_y", 1, buy_quantity=1, get_quantity=1, pick="first")),
    (ACTION + "allocation", action("shipping_fixed", 1, allocation="all")),
    (ACTION + "times", action("order_percent", 1, times=2)), (ACTION + "max_quantity", action("line_fixed", 1, max_quantity=1)),
    (ACTION + "filters.skus_any", action("free_shipping", filters={"skus_any": ["A"]})),
    # percentages, amounts
    *[(ACTION + "value", action("item_percent", value)) for value in NO_PERCENTS],
    *[("tax_rates[1].percent", rate(percent=value)) for value in NO_PERCENTS],
    *[(ACTION + "value", action("order_fixed", value)) for value in NO_AMOUNTS],
    *[("lines[1].unit_price", line(unit_price=value)) for value in NO_AMOUNTS],
    *[("lines[1].floor_price", line(floor_price=value)) for value in NO_AMOUNTS],
    *[(ROW + "amount", rows({"amount": value})) for value in NO_AMOUNTS],
    *[("shipping[1].fee", {"shipping": [{"method": "a", "fee": value}]}) for value in NO_AMOUNTS],
    *[("gift_cards[1].balance", {"gift_cards": [{"code": "a", "balance": value}]}) for value in NO_AMOUNTS],
    *[("promotions[1].budget.limit", promotion(budget={"limit": value})) for value in NO_AMOUNTS],
    *[("promotions[1].conditions.min_items_total", promotion(conditions={"min_items_total": value})) for value in NO_AMOUNTS],
    (ACTION + "value", action("order_percent")), (ACTION + "value", action("order_fixed")),
    # a rate for no category, or two of which nobody can tell which
    ("tax_rates[1].category", {"tax_rates": [{"percent": 20}]}), ("tax_rates[1].category", rate(category=None)),
    ("tax_rates[1].category", rate(category="")), ("tax_rates[1].category", rate(category=["s"])),
    ("tax_rates[2]", {"tax_rates": [{"category": "s", "percent": 20}, {"category": "s", "percent": 5}]}),
    # two price rows that tie, and no price at all
    ("lines[1].prices[2]", rows({}, {})), ("lines[1].prices[3]", rows({}, {"min_quantity": 2}, {"min_quantity": 2})),
    ("lines[1].prices[2]", rows({"rules": {"zone": "GB"}}, {"rules": {"zone": "GB"}})),
    ("lines[1].unit_price", rows()), ("lines[1].unit_price", rows({"currency": "EUR"})),
    ("lines[1].unit_price", rows({"min_quantity": 6})), ("lines[1].unit_price", {"lines": [{"sku": "A", "quantity": 1}]}),
    # times, and ends before their starts
    *[("now", {"now": value}) for value in NO_TIMES + [None]],
    *[("promotions[1].starts_at", promotion(starts_at=value)) for value in NO_TIMES],
    *[("tax_rates[1].to", rate(to=value)) for value in NO_TIMES],
    ("promotions[1].ends_at", promotion(starts_at=LATE, ends_at=EARLY)), ("tax_rates[1].to", rate(**{"from": LATE, "to": EARLY})),
    (ROW + "rules.to", rows({"rules": {"from": LATE, "to": EARLY}})), (ROW + "max_quantity", rows({"min_quantity": 3,
                                                                                                   "max_quantity": 2})),
    (ACTION + "filters.max_unit_price", action("item_fixed", 1, filters={"min_unit_price": 2, "max_unit_price": 1})),
    ("promotions[1].conditions.max_items_total", promotion(conditions={"min_items_total": 2, "max_items_total": 1})),
    # currencies without an exponent
    *[("currency", {"currency": value}) for value in NO_CURRENCIES],
    *[("promotions[1].currency", promotion(currency=value)) for value in NO_CURRENCIES if value is not None],
    *[(ROW + "currency", rows({"currency": value}, {"amount": 2})) for value in NO_CURRENCIES],
    # past 2^53 - 1
    ("lines[1].unit_price", line(unit_price=MOST, quantity=2)), ("lines[2].unit_price", {"lines": [{**LINE, "unit_price": MOST}] * 2}),
    ("lines", {**line(unit_price=MOST), **rate()}), ("lines", {**line(unit_price=MOST), "shipping": [{"method": "a", "fee": 1}]}),
    ("shipping[2].fee", {"shipping": [{"method": "a", "fee": MOST}, {"method": "b", "fee": 1}]}),
    ("gift_cards[2].balance", {"gift_cards": [{"code": "a", "balance": MOST}, {"code": "b", "balance": 1}]}),
    ("gift_cards[2].code", {"gift_cards": [{"code": "a", "balance": 1}, {"code": "a", "balance": 1}]}),
    # quantities and counts
    *[("lines[1].quantity", line(quantity=value)) for value in [-1, 0, 0.5, 1.5, 10000, MOST, 1e300, "6", "NaN", None, True, []]],
    (ACTION + "times", action("buy_x_get_y", 1, buy_quantity=1, get_quantity=1, times=0)),
    (ACTION + "get_quantity", action("buy_x_get_y", 1, buy_quantity=1, get_quantity=0)),
    (ACTION + "get_quantity", action("buy_x_get_y", 1, buy_quantity=1)),
    ("promotions[1].conditions.nth_order", promotion(conditions={"nth_order": 0})),
    ("customer.orders_placed", {"customer": {"orders_placed": -1}}),
    # lists and objects
    ("lines", {"lines": [LINE] * 10000}), ("lines", {"lines": [{**LINE, "quantity": 9999}] * 201}), ("lines", {"lines": None}), ("lines", {"lines": "A"}), ("lines[1]", {"lines": [None]}),
    ("lines[1].quantity", {"lines": [{}]}), ("lines[1].sku", line(sku="")), ("lines[1].sku", line(sku=5)),
    ("promotions[1].actions", {"promotions": [{}]}), ("promotions[1].actions", {"promotions": [{"actions": []}]}),
    ("coupons", {"coupons": "X"}), ("coupons[1]", {"coupons": [""]}), ("zone", {"zone": 5}), ("customer", {"customer": "c"}),
    ("promotions[1].enabled", promotion(enabled="yes")), ("promotions[1].exclusive", promotion(exclusive=1)),
    ("promotions[1].conditions.sku_quantity.min", promotion(conditions={"sku_quantity": {"skus": ["A"]}})),
]

# What has a price, though one may not expect it: the oracle's.
ODD = [
    {"lines": []}, {"lines": [], "shipping": [{"method": "a", "fee": 350}]}, line(quantity=9999),
    {"lines": [LINE, {**LINE, "quantity": 2}, LINE], **promotion(conditions={"min_line_quantity": 2})},
    {"lines": [LINE] * 3, **action("buy_x_get_y", 100, buy_quantity=2, get_quantity=1)}, {"lines": [LINE] * 1000},
    {**line(quantity=999), **action("buy_x_get_y", 50, buy_quantity=2, get_quantity=1, times=None)},
    line(unit_price=0), line(unit_price=MOST), rate(percent="0.0001"), rate(category="nobody's"), promotion(coupon="x"),
    action("order_percent", 100), action("order_percent", "100.0000"), action("order_fixed", MOST), action("item_fixed", 0),
    rows({"amount": 9}, {"amount": 8}), promotion(starts_at=EARLY, ends_at=EARLY), {"coupons": ["X", "X"]},
]

GOOD_TEXT = json.dumps(GOOD)
# What is no JSON, or none that keeps its numbers.
TEXTS = [GOOD_TEXT.replace(": 100", ": " + number) for number in (
    "NaN", "Infinity", "-Infinity", "0x64", "01", "1.", ".5", "+1", "1e", "9007199254740992", "-9007199254740992", "1" * 400,
    "1e999")] + [GOOD_TEXT[:-1], GOOD_TEXT + ",", GOOD_TEXT.replace("{", '{"currency": "EUR", ', 1), "[", "nil"]

VALUES = [None, True, False, 0, -1, 1, 1.5, MOST, 1e308, "", "x", "GB", "10.5", "101", "é" * 300, [], {}, [None], [[]],
          [{}], {"a": 1}, ["x"], [1, 2], "2026-11-23T10:00:00Z", {"min": 1}, {"skus": [], "min": 0}, 10000, 9999,
          {"type": "order_percent"}]
NAMES = ["surprise", "value", "min", "filters", "type", "prices"]
REFUSAL = re.compile(r"^[a-z_]+(\[\d+\]|\.[\w-]+)*: \S")
DECISION = {"currency", "lines", "shipping", "items_total", "discount_total", "shipping_total", "shipping_discount_total",
            "tax_total", "tax_included_total", "total", "gift_card_total", "due", "coupons", "trace", "pack"}


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


def spoiled(rng, count):
    """Random facts with a fault, or some."""
    cases = [facts(rng) for _ in range(count)]
    for case in cases:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            spoil(rng, case)
    return cases


def answered(decision):
    if "error" in decision:
        return REFUSAL.match(decision["error"]) is not None and ".lua" not in decision["error"]
    return DECISION <= set(decision) and decision["total"] >= 0


def decide_texts(texts):
    """As compare.decide, of texts; each on a line of its own."""
    replies = subprocess.run(command(), input="".join(text + "\n" for text in texts), capture_output=True, text=True,
                             check=True).stdout.splitlines()
    return [json.loads(reply) for reply in replies]


def known():
    """(facts, what came instead) of each known kind that is not answered as it should be."""
    for (path, _), case, decision in zip(FAULTS, *both([fault for _, fault in FAULTS])):
        if not decision.get("error", "").startswith(path + ": "):
            yield case, decision.get("error", "a price") + " instead of " + path
    for case, decision in zip(*both(ODD)):
        if wrong(case, decision):
            yield case, wrong(case, decision)
    for text, decision in zip(TEXTS, decide_texts(TEXTS)):
        if "error" not in decision:
            yield text, "a price"


def both(changes):
    """The facts, and what is decided on them."""
    cases = [{**GOOD, **change} for change in changes]
    return cases, decide(cases)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261123
    for case, found in known():
        print("%s\n%s" % (found, json.dumps(case)[:2000]))
        return 1
    cases = spoiled(random.Random(seed), count)
    for case, decision in zip(cases, decide(cases)):
        if not answered(decision):
            print("seed %d: %s\n%s" % (seed, decision.get("error", "a decision without a part"), json.dumps(case)))
            return 1
    print("%d known faults, and %d faulty facts, are priced or refused with a path (seed %d)" % (
        len(FAULTS) + len(TEXTS), count, seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
