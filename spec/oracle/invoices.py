#!/usr/bin/env python3
"""The retailer's real invoices (data/), priced by `fastr rules decide` and by the oracle, compared to the penny.

invoices.py      exit 1 with the first difference; FASTR names the binary (default build/fastr)

Each invoice is priced as a retail and as a wholesale order, under each rounding of taxes: three for two on candles as often
as it fits, a tenth off from 150.00, UK VAT included, and a wholesale list whose tiers are those that the invoices show.
"""
import csv
import json
import sys
from collections import defaultdict

from compare import decide, wrong

NOW = "2026-11-28T12:00:00Z"
CANDLES = {"categories_any": ["home/candles"]}
PROMOTIONS = [
    {"id": "three_for_two", "actions": [{"type": "buy_x_get_y", "value": 100, "buy_quantity": 2, "get_quantity": 1,
                                         "buy_filters": CANDLES, "filters": CANDLES, "times": None, "pick": "cheapest"}]},
    {"id": "ten_off_over_150", "conditions": {"min_items_total": 15000}, "priority": 1,
     "actions": [{"type": "order_percent", "value": 10}]},
    {"id": "heavy", "conditions": {"min_line_quantity": 48}, "actions": [{"type": "order_fixed", "value": 333}]},
    {"id": "free_over_50", "conditions": {"min_items_total": 5000}, "actions": [{"type": "free_shipping"}]},
]
RATES = [{"category": "standard", "percent": 20, "included": True, "zone": "GB"},
         {"category": "standard", "percent": 19, "included": False, "zone": "DE"}]
ZONES = {"United Kingdom": "GB", "Germany": "DE"}


def read(name):
    with open("data/" + name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def invoices(products):
    """Invoice -> its lines of known products that were sold."""
    found = defaultdict(list)
    for row in read("retail-orders.csv"):
        quantity = int(row["quantity"])
        if row["sku"] in products and 0 < quantity <= 9999:
            found[row["invoice"]].append({**row, "quantity": quantity, "paid": int(row["unit_price_minor"])})
    return found


def wholesale_tiers(sold):
    """{sku: [(least quantity, price)]}: each price that was paid, from the least quantity on at which it was; who takes more
    never pays more. `sold`: (sku, quantity, price) of each line."""
    least = defaultdict(dict)
    for sku, quantity, paid in sold:
        if paid > 0:
            least[sku][paid] = min(quantity, least[sku].get(paid, quantity))
    return {sku: falling(prices) for sku, prices in least.items()}


def falling(prices):
    """{price: least quantity} as tiers, the first of them from one unit on."""
    tiers = []
    for paid in sorted(prices, reverse=True):
        while tiers and tiers[-1][0] >= prices[paid]:
            tiers.pop()
        tiers.append((prices[paid], paid))
    return [(1, tiers[0][1])] + tiers[1:]


def wholesale_rows(tiers):
    """The tiers of a product as rows of its price table."""
    return [{"currency": "GBP", "amount": paid, "min_quantity": quantity, "rules": {"customer_group": "wholesale"}}
            for quantity, paid in tiers]


def price_tables(products, orders):
    """The retail row of each product, and its wholesale tiers."""
    sold = [(line["sku"], line["quantity"], line["paid"]) for lines in orders.values() for line in lines]
    tiers = wholesale_tiers(sold)
    return {sku: [{"currency": "GBP", "amount": product["price"]}] + wholesale_rows(tiers.get(sku, []))
            for sku, product in products.items()}


def facts(lines, products, tables, group, rounding):
    made = [{"sku": line["sku"], "quantity": line["quantity"], "prices": tables[line["sku"]], "tax_category": "standard",
             "categories": ["home/candles" if "CANDLE" in products[line["sku"]]["name"] else "home"]} for line in lines]
    return {"currency": "GBP", "now": NOW, "zone": ZONES.get(lines[0]["country"], "US"), "lines": made,
            "customer": {"id": lines[0]["customer"] or "guest", "group": group}, "promotions": PROMOTIONS,
            "tax_rates": RATES, "shipping": [{"method": "post", "fee": 350, "tax_category": "standard"}],
            "settings": {"tax_rounding": rounding}}


def main():
    products = {row["sku"]: {"name": row["name"], "price": int(row["price_minor"])} for row in
                read("retail-products.csv")}
    orders = invoices(products)
    tables = price_tables(products, orders)
    cases = [facts(lines, products, tables, group, rounding) for lines in orders.values()
             for group in ("retail", "wholesale") for rounding in ("line", "unit", "total")]
    totals = [0, 0]
    for case, decision in zip(cases, decide(cases, "applied")):
        found = wrong(case, decision)
        if found:
            print("%s\n%s" % (found, json.dumps(case)))
            return 1
        totals[case["customer"]["group"] == "wholesale"] += decision["total"]
    if totals[0] == totals[1]:
        print("wholesale costs what retail does: %s" % totals)
        return 1
    print("%d invoices agree, retail and wholesale, by line, by unit and in total" % len(orders))
    return 0


if __name__ == "__main__":
    sys.exit(main())
