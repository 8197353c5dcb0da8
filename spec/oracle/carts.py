"""Random facts of price.cart: every action type, filter and condition, price tables, dated and zoned taxes of both kinds,
several currencies and shipments, coupons that fail in every way. facts(rng) depends on nothing but the generator."""
NOW = "2026-11-23T10:00:00Z"
BEFORE, AFTER = "2026-11-23T09:59:59.999Z", "2026-11-23T10:00:00.001Z"
SAME = "2026-11-23T11:00:00+01:00"  # as NOW, by other clocks
CURRENCIES = ["GBP", "GBP", "EUR", "JPY", "KWD"]
ZONES = ["GB", "FR", None]
GROUPS = ["wholesale", "staff"]
CATEGORIES = ["home", "home/candles", "home/lighting", "homeware", "kitchen", "kitchen/mugs"]
SKUS = ["A", "B", "C", "D", "E", "F"]
PERCENTS = [0, 5, 10, 10.5, 25, 33.3333, 50, 100, "12.5", "0.0001", "99.9999"]
KINDS = ["order_percent", "order_fixed", "order_price", "item_percent", "item_fixed", "line_fixed", "shipping_percent",
         "shipping_fixed", "free_shipping", "buy_x_get_y"]


class Cases:
    def __init__(self, rng):
        self.random, self.choice, self.sample = rng.random, rng.choice, rng.sample

    def upto(self, least, most):
        return least + int(self.random() * (most - least + 1))

    def chance(self, share):
        return self.random() < share

    def some(self, of):
        return self.sample(of, self.upto(1, min(3, len(of))))

    def percent(self):
        return self.choice(PERCENTS) if self.chance(0.7) else self.upto(1, 99)

    def window(self, made, start, end):
        """Both ends belong to a window, so that most of these hold by a hair or fail by one."""
        if self.chance(0.1):
            made[start] = self.choice([BEFORE, NOW, SAME, NOW, AFTER])
        elif self.chance(0.1):
            made[end] = self.choice([AFTER, NOW, SAME, NOW, BEFORE])

    # ---- lines

    def prices(self, currency):
        """Rows that differ in the amount at least; one without conditions, so that there is a price."""
        rows = [{"currency": currency, "amount": self.upto(0, 3000)}]
        for i in range(self.upto(0, 4)):
            row = {"currency": self.choice([currency, currency, currency, "USD"]), "amount": 3001 + 100 * i + self.upto(0, 99)}
            if self.chance(0.5):
                row["min_quantity"] = self.upto(1, 6)
            if self.chance(0.3):
                row["max_quantity"] = self.upto(row.get("min_quantity", 1), 9)
            if self.chance(0.5):
                row["rules"] = self.row_rules()
            rows.append(row)
        return rows

    def row_rules(self):
        rules = {}
        if self.chance(0.4):
            rules["customer_group"] = self.choice(GROUPS + [GROUPS])
        if self.chance(0.4):
            rules["zone"] = self.choice(["GB", "FR", ["GB", "DE"]])
        self.window(rules, "from", "to")
        return rules

    def line(self, currency):
        made = {"sku": self.choice(SKUS), "quantity": self.upto(1, 9), "categories": self.some(CATEGORIES),
                "tax_category": self.choice(["standard", "reduced", "books", None])}
        if self.chance(0.1):
            made["quantity"] = self.upto(10, 400)
        if self.chance(0.25):
            made["floor_price"] = self.upto(0, 800)
        if self.chance(0.15):
            made["prices"] = self.prices(currency)
        else:
            made["unit_price"] = self.choice([0, 1, 2, 99, self.upto(1, 5000), self.upto(1, 5000)])
            if self.chance(0.02):
                made["unit_price"] = self.upto(10 ** 9, 10 ** 12)  # a cart of these is near what can be held
        return made

    # ---- promotions

    def filters(self):
        made = {}
        if self.chance(0.3):
            made["skus_any"] = self.some(SKUS)
        if self.chance(0.3):
            made["categories_any"] = self.some(CATEGORIES)
        if self.chance(0.15):
            made["min_unit_price"] = self.choice([99, self.upto(0, 1500)])
        if self.chance(0.15):
            made["max_unit_price"] = max(made.get("min_unit_price", 0), self.choice([99, self.upto(500, 5000)]))
        return made

    def action(self, kind):
        made = {"type": kind}
        if kind.endswith("percent") or kind == "buy_x_get_y":
            made["value"] = self.percent()
        elif kind != "free_shipping":
            made["value"] = self.choice([self.upto(0, 300), self.upto(0, 3000)])
        if "shipping" in kind:
            if self.chance(0.3):
                made["filters"] = {"methods_any": self.some(["post", "express"])}
            if kind == "shipping_fixed" and self.chance(0.7):
                made["allocation"] = self.choice(["each", "across"])
            return made
        if self.chance(0.5):
            made["filters"] = self.filters()
        if kind == "buy_x_get_y":
            self.buy(made)
        elif kind in ("item_percent", "item_fixed", "order_percent", "order_fixed") and self.chance(0.25):
            made["max_quantity"] = self.upto(0, 4)
        return made

    def buy(self, made):
        made["buy_quantity"], made["get_quantity"] = self.upto(0, 4), self.upto(1, 3)
        if self.chance(0.6):
            made["buy_filters"] = self.filters()
        if self.chance(0.7):
            made["times"] = self.choice([None, 1, 2, 3])
        if self.chance(0.5):
            made["pick"] = self.choice(["dearest", "cheapest"])

    def conditions(self):
        made = {name: self.condition(name) for name in self.sample(CONDITIONS, self.choice([1, 1, 2]))}
        if made.get("min_items_total", 0) > made.get("max_items_total", 30000):
            del made["min_items_total"]
        return made

    def condition(self, name):
        if name in ("min_items_total", "max_items_total"):
            return self.choice([self.upto(0, 3000), self.upto(0, 30000)])
        if name in ("min_quantity", "min_line_quantity", "nth_order"):
            return self.upto(1, {"min_quantity": 20, "min_line_quantity": 8, "nth_order": 3}[name])
        if name.startswith("contains"):
            return self.some(SKUS if "skus" in name else CATEGORIES)
        if name == "customer_group":
            return self.some(GROUPS)
        if name == "sku_quantity":
            return {"skus": self.some(SKUS), "min": self.upto(1, 6)}
        return {"category": self.choice(CATEGORIES), "min": self.upto(1, 6 if name == "category_quantity" else 9000)}

    def promotion(self, i):
        catalog = self.chance(0.25)
        kinds = ["catalog_percent", "catalog_fixed"] if catalog else KINDS
        made = {"id": "p%d" % i, "actions": [self.action(self.choice(kinds)) for _ in range(self.choice([1, 1, 1, 2]))]}
        if catalog:
            made["level"] = "catalog"
        if self.chance(0.3):
            made["conditions"] = self.conditions()
        if self.chance(0.6):
            made["priority"] = self.upto(-1, 2)
        if self.chance(0.1):
            made["exclusive"] = True
        if self.chance(0.25):
            made["coupon"] = self.choice(["X", "X", "Y"])
        if self.chance(0.12):
            made["budget"] = {"type": "spend", "limit": self.upto(0, 5000), "used": self.upto(0, 1000)}
            if self.chance(0.2):
                made["budget"] = {"type": "usage", "limit": 2, "used": self.upto(0, 2)}
        if self.chance(0.1):
            made["usage"] = self.choice([{"limit": 2, "used": self.upto(1, 2)},
                                         {"limit_per_customer": 1, "used_by_customer": self.upto(0, 1)}])
        if self.chance(0.1):
            made["applies_to_discounted"] = self.chance(0.2)
        if self.chance(0.04):
            made["enabled"] = False
        self.window(made, "starts_at", "ends_at")
        return made

    # ---- the rest

    def rates(self):
        made = [{"category": "standard", "percent": 20, "included": True, "zone": "GB"},
                {"category": "standard", "percent": 19.6, "included": False, "zone": "FR"},
                {"category": "reduced", "percent": self.choice(["5.5", 0, 100, 0.0001, self.upto(1, 99)]),
                 "included": self.chance(0.5)},
                {"category": "reduced", "percent": 20, "included": True, "zone": "GB", "from": NOW},
                {"category": "reduced", "percent": 17.5, "included": True, "zone": "GB", "to": NOW},
                {"category": "books", "percent": 7, "included": True, "to": self.choice([BEFORE, NOW])},
                {"category": "books", "percent": 0, "zone": "FR", "from": self.choice([AFTER, SAME])}]
        return self.sample(made, self.upto(3, len(made)))

    def facts(self):
        currency = self.choice(CURRENCIES)
        made = {"currency": currency, "now": self.choice([NOW, NOW, SAME]),
                "lines": [self.line(currency) for _ in range(self.choice([0, 1, 2, 2, 3, 4, 6, 8]))],
                "promotions": [self.promotion(i) for i in range(self.choice([0, 1, 2, 2, 3, 4, 6, 8]))],
                "tax_rates": self.rates(),
                "shipping": [{"method": self.choice(["post", "express"]), "fee": self.upto(0, 1500),
                              "tax_category": self.choice(["standard", "reduced", None])}
                             for _ in range(self.choice([0, 1, 1, 3]))]}
        if self.chance(0.7):
            made["zone"] = self.choice(ZONES)
        if self.chance(0.7):
            made["customer"] = self.choice([None, {"id": "c"}, {"group": "staff"}, {
                "id": "c", "group": self.choice(GROUPS), "orders_placed": self.upto(0, 2)}])
        if self.chance(0.6):
            made["coupons"] = self.choice([[], ["X"], ["Y", "X"], ["X", "x", "X"]])
        if self.chance(0.1):
            made["coupons"] = self.choice([["X-1", "X-2"], ["X-2", "Y", "X-2", "X"], ["Y", "x", "X-1"]])
            made["issued"] = self.choice([{"X-1": "X", "X-2": "X"}, {"X-1": "Y", "Y": "X", "x": "none"}])
        if self.chance(0.2):
            made["usage"] = {"p%d" % self.upto(0, 3): {"used": self.upto(0, 2)},
                             "p%d" % self.upto(0, 3): {"used_by_customer": self.upto(0, 1), "spent": self.upto(0, 5000)}}
        if self.chance(0.3):
            made["gift_cards"] = [{"code": c, "balance": self.upto(0, 5000)} for c in "GH"[:self.upto(1, 2)]]
        if self.chance(0.8):
            made["settings"] = {"tax_rounding": self.choice(["line", "unit", "total"]),
                                "default_zone": self.choice(["GB", "FR"])}
        return made


CONDITIONS = ["min_items_total", "max_items_total", "min_quantity", "min_line_quantity", "contains_skus_any",
              "contains_categories_any", "sku_quantity", "category_quantity", "category_items_total", "customer_group",
              "nth_order"]


def facts(rng):
    return Cases(rng).facts()
