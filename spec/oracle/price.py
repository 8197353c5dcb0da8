"""An independent reading of what price.cart means, in exact rationals; written from the pricing rules, not from the Lua.

price(facts) -> the decision's amounts, as a dict. Supports all action types, conditions, taxes and gift cards.
"""
from fractions import Fraction as F
from datetime import datetime


def rnd(x):
    """Half up, away from zero."""
    x = F(x)
    n = (abs(x) + F(1, 2)).__floor__()
    return n if x >= 0 else -n


def pct(p):
    return F(str(p)) / 100


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def allocate(amount, weights):
    total = sum(weights)
    if total == 0:
        weights, total = [1] * len(weights), len(weights)
    exact = [F(amount) * w / total for w in weights]
    parts = [e.__floor__() for e in exact]
    order = sorted(range(len(weights)), key=lambda i: (-(exact[i] - parts[i]), i))
    for i in order[: amount - sum(parts)]:
        parts[i] += 1
    return parts


class Line:
    def __init__(self, row):
        self.row = row
        self.q = row["quantity"]
        self.list = self.unit = row["unit_price"]
        self.floor = row.get("floor_price") or 0
        self.off = [0] * self.q  # what each unit has been reduced by, below the unit price
        self.item = self.order = 0

    def left(self, i):
        return max(0, self.unit - self.off[i] - min(self.floor, self.unit))

    def room(self):
        return sum(self.left(i) for i in range(self.q))

    def total(self, units=None):
        return sum(self.unit - o for o in self.off[: self.q if units is None else units])

    def take(self, i, amount):
        amount = min(amount, self.left(i))
        self.off[i] += amount
        return amount

    def spread(self, amount):
        """Over the units: equally, the first ones one more; what one cannot take goes on to the others."""
        while amount > 0:
            open_ = [i for i in range(self.q) if self.left(i) > 0]
            if not open_:
                return
            each, more = divmod(amount, len(open_))
            for k, i in enumerate(open_):
                amount -= self.take(i, each + (k < more))

    def percent(self, p):
        return self.unit - rnd(self.unit * (1 - pct(p)))


def within(category, wanted):
    return category == wanted or category.startswith(wanted + "/")


def matching(lines, filters):
    f = filters or {}
    out = []
    for line in lines:
        row = line.row
        if f.get("skus_any") is not None and row["sku"] not in f["skus_any"]:
            continue
        if f.get("categories_any") is not None and not any(
            within(c, w) for c in row.get("categories") or [] for w in f["categories_any"]
        ):
            continue
        if not (f.get("min_unit_price") or 0) <= line.unit <= f.get("max_unit_price", 10**16):
            continue
        out.append(line)
    return out


class Cart:
    def __init__(self, facts, blocked):
        self.facts, self.blocked = facts, blocked
        self.lines = [Line(row) for row in facts["lines"]]
        self.ships = [dict(s, left=s["fee"]) for s in facts.get("shipping") or []]
        self.spent = {}

    def items(self, lines=None):
        return sum(line.total() for line in (self.lines if lines is None else lines))

    def quantity(self, lines):
        return sum(line.q for line in lines)

    def holds(self, promo):
        c, cust = promo.get("conditions") or {}, self.facts.get("customer") or {}
        total, group = self.items(), lambda k: matching(self.lines, {"categories_any": [c[k]["category"]]})
        tests = {
            "min_items_total": lambda v: total >= v,
            "max_items_total": lambda v: total <= v,
            "min_quantity": lambda v: self.quantity(self.lines) >= v,
            "min_line_quantity": lambda v: max([l.q for l in self.lines] or [0]) >= v,
            "contains_skus_any": lambda v: bool(matching(self.lines, {"skus_any": v})),
            "contains_categories_any": lambda v: bool(matching(self.lines, {"categories_any": v})),
            "sku_quantity": lambda v: self.quantity(matching(self.lines, {"skus_any": v["skus"]})) >= v["min"],
            "category_quantity": lambda v: self.quantity(group("category_quantity")) >= v["min"],
            "category_items_total": lambda v: self.items(group("category_items_total")) >= v["min"],
            "customer_group": lambda v: cust.get("group") in v,
            "nth_order": lambda v: cust.get("orders_placed") is not None and cust["orders_placed"] + 1 == v,
        }
        return all(tests[k](v) for k, v in c.items() if v is not None)

    def live(self, promo):
        f, now = self.facts, at(self.facts["now"])
        usage, budget = promo.get("usage") or {}, promo.get("budget") or {}
        if promo.get("enabled") is False or id(promo) in self.blocked:
            return False
        if promo.get("coupon") and promo["coupon"] not in (f.get("coupons") or []):
            return False
        if promo.get("starts_at") and now < at(promo["starts_at"]):
            return False
        if promo.get("ends_at") and now > at(promo["ends_at"]):
            return False
        if usage.get("limit") is not None and usage.get("used", 0) >= usage["limit"]:
            return False
        if usage.get("limit_per_customer") is not None and usage.get("used_by_customer", 0) >= usage["limit_per_customer"]:
            return False
        return not (budget.get("type") == "usage" and budget.get("used", 0) >= budget["limit"])


STAGE = {
    "catalog_percent": "catalog", "catalog_fixed": "catalog", "item_percent": "item", "item_fixed": "item",
    "line_fixed": "item", "buy_x_get_y": "item", "order_percent": "order", "order_fixed": "order", "order_price": "order",
    "shipping_percent": "shipping", "shipping_fixed": "shipping", "free_shipping": "shipping",
}


def apply_catalog(lines, action):
    given = 0
    for line in lines:
        new = rnd(line.unit * (1 - pct(action["value"]))) if action["type"] == "catalog_percent" else line.unit - action["value"]
        new = min(line.unit, max(new, min(line.floor, line.unit)))
        given += (line.unit - new) * line.q
        line.unit = new
    return given


def apply_item(cart, lines, action):
    kind, given = action["type"], 0
    if kind == "line_fixed":
        for line in lines:
            amount = min(action["value"], line.room())
            line.spread(amount)
            line.item += amount
            given += amount
    elif kind == "buy_x_get_y":
        given = apply_buy(cart, lines, action)
    else:
        for line in lines:
            each = line.percent(action["value"]) if kind == "item_percent" else action["value"]
            units = line.q if action.get("max_quantity") is None else min(line.q, action["max_quantity"])
            taken = sum(line.take(i, each) for i in range(units))
            line.item += taken
            given += taken
    return given


def apply_buy(cart, lines, action):
    bought = matching(cart.lines, action.get("buy_filters"))
    free = {id(line): 0 for line in cart.lines}  # next untouched unit

    def reserve(among, count, cheapest):
        order = sorted(among, key=lambda l: (l.unit if cheapest else -l.unit, -cart.lines.index(l)))
        picked = []
        for line in order:
            while free[id(line)] < line.q and len(picked) < count:
                picked.append((line, free[id(line)]))
                free[id(line)] += 1
        return picked if len(picked) == count else None

    given, done, times = 0, 0, action.get("times", 1)
    while times is None or done < times:
        if reserve(bought, action["buy_quantity"], False) is None:
            break
        got = reserve(lines, action["get_quantity"], action.get("pick") == "cheapest")
        if got is None:
            break
        for line, i in got:
            taken = line.take(i, line.percent(action["value"]))
            line.item += taken
            given += taken
        done += 1
    return given


def apply_order(lines, action):
    units = action.get("max_quantity")
    weights = [line.total(units) for line in lines]
    base = sum(weights)
    kind, v = action["type"], action["value"]
    amount = rnd(base * pct(v)) if kind == "order_percent" else min(v, base) if kind == "order_fixed" else max(0, base - v)
    given = 0
    while amount > 0 and lines:
        parts, rest, kept = allocate(amount, weights), 0, []
        for k, line in enumerate(lines):
            taken = min(parts[k], line.room())
            line.spread(taken)
            line.order += taken
            given += taken
            rest += parts[k] - taken
            if taken == parts[k] and line.room() > 0:
                kept.append(k)
        lines, weights, amount = [lines[k] for k in kept], [weights[k] for k in kept], rest
    return given


def apply_shipping(cart, action):
    methods = (action.get("filters") or {}).get("methods_any")
    ships = [s for s in cart.ships if methods is None or s["method"] in methods]
    if action["type"] == "shipping_fixed" and action.get("allocation") == "across":
        total = sum(s["left"] for s in ships)
        cuts = allocate(min(action["value"], total), [s["left"] for s in ships]) if total else []
    elif action["type"] == "shipping_fixed":
        cuts = [min(action["value"], s["left"]) for s in ships]
    elif action["type"] == "free_shipping":
        cuts = [s["left"] for s in ships]
    else:
        cuts = [rnd(s["left"] * pct(action["value"])) for s in ships]
    for ship, cut in zip(ships, cuts):
        ship["left"] -= cut
    return sum(cuts)


def run_stage(cart, promo, stage, lines_of=None):
    given = 0
    for action in promo["actions"]:
        if STAGE[action["type"]] != stage:
            continue
        lines = lines_of(action) if lines_of else matching(cart.lines, action.get("filters"))
        if promo.get("applies_to_discounted") is False:
            lines = [l for l in lines if l.unit == l.list and l.item == 0]
        if stage == "catalog":
            given += apply_catalog(lines, action)
        elif stage == "item":
            given += apply_item(cart, lines, action)
        elif stage == "order":
            given += apply_order(lines, action)
        else:
            given += apply_shipping(cart, action)
    spent = cart.spent[id(promo)] = cart.spent.get(id(promo), 0) + given
    budget = promo.get("budget")
    if budget and budget.get("type", "spend") == "spend" and given and budget.get("used", 0) + spent > budget["limit"]:
        cart.blocked.add(id(promo))
        return False
    return True


def has(promo, stage):
    return any(STAGE[a["type"]] == stage for a in promo["actions"])


def evaluate(cart, promos):
    """False if a promotion went past its budget: price anew without it."""
    live = [p for p in promos if cart.live(p)]
    owned = []
    for exclusive in (True, False):
        for promo in live:
            if not has(promo, "catalog") or bool(promo.get("exclusive")) != exclusive or not cart.holds(promo):
                continue
            mine, seen = [], {}

            def lines_of(action):
                key = (action["type"], str(action["value"]))
                lines = [l for l in matching(cart.lines, action.get("filters"))
                         if all(l is not o for o in owned) and all(l is not o for o in seen.get(key, []))]
                seen.setdefault(key, []).extend(lines)
                mine.extend(lines)
                return lines

            if not run_stage(cart, promo, "catalog", lines_of):
                return False
            if exclusive:
                owned.extend(mine)
    ordinary = [p for p in live if any(has(p, s) for s in ("item", "order", "shipping"))]
    alone = [p for p in ordinary if p.get("exclusive") and cart.holds(p)]
    chosen = alone[:1] or ordinary
    for stage in ("item", "order", "shipping"):
        for promo in chosen:
            if has(promo, stage) and cart.holds(promo) and not run_stage(cart, promo, stage):
                return False
    return True


def rate_for(facts, category):
    zone = facts.get("zone") or (facts.get("settings") or {}).get("default_zone")
    now = at(facts["now"])
    fits = [r for r in facts.get("tax_rates") or [] if r["category"] == category and r.get("zone") in (None, zone)
            and not (r.get("from") and now < at(r["from"])) and not (r.get("to") and now > at(r["to"]))]
    return max(fits, key=lambda r: r.get("from") or "") if fits else None


def tax_on(rate, base):
    r = pct(rate["percent"])
    return base - rnd(F(base) / (1 + r)) if rate.get("included") else rnd(base * r)


def taxes(cart, facts):
    """Per line: (added, included)."""
    mode = (facts.get("settings") or {}).get("tax_rounding") or "line"
    rates = [rate_for(facts, l.row.get("tax_category")) if l.row.get("tax_category") else None for l in cart.lines]
    out = [0] * len(rates)
    for i, (line, rate) in enumerate(zip(cart.lines, rates)):
        if rate and mode == "line":
            out[i] = tax_on(rate, line.total())
        elif rate and mode == "unit":
            out[i] = sum(tax_on(rate, line.unit - o) for o in line.off)
    if mode == "total":
        for key in {(F(str(r["percent"])), bool(r.get("included"))) for r in rates if r}:
            mine = [i for i, r in enumerate(rates) if r and (F(str(r["percent"])), bool(r.get("included"))) == key]
            base = sum(cart.lines[i].total() for i in mine)
            if base:
                for i, part in zip(mine, allocate(tax_on(rates[mine[0]], base), [cart.lines[i].total() for i in mine])):
                    out[i] = part
    return [(0, t) if r and r.get("included") else (t, 0) for t, r in zip(out, rates)]


def price(facts):
    promos = sorted(facts.get("promotions") or [], key=lambda p: -(p.get("priority") or 0))
    blocked = set()
    while True:
        cart = Cart(facts, blocked)
        if evaluate(cart, promos):
            break
    line_taxes = taxes(cart, facts)
    ship_taxes = []
    for ship in cart.ships:
        rate = rate_for(facts, ship["tax_category"]) if ship.get("tax_category") else None
        tax = tax_on(rate, ship["left"]) if rate else 0
        ship_taxes.append((0, tax) if rate and rate.get("included") else (tax, 0))
    items = sum(l.unit * l.q for l in cart.lines)
    discount = sum(l.item + l.order for l in cart.lines)
    fees, left = sum(s["fee"] for s in cart.ships), sum(s["left"] for s in cart.ships)
    added = sum(t[0] for t in line_taxes + ship_taxes)
    total = items - discount + left + added
    cards = min(total, sum(g["balance"] for g in facts.get("gift_cards") or []))
    return {
        "lines": [{"unit_price": l.unit, "item_discount": l.item, "order_discount": l.order, "total": l.total(), "tax": t[0],
                   "tax_included": t[1], "unit_discounts": [l.list - l.unit + o for o in l.off]}
                  for l, t in zip(cart.lines, line_taxes)],
        "shipping": [{"total": s["left"], "tax": t[0], "tax_included": t[1]} for s, t in zip(cart.ships, ship_taxes)],
        "items_total": items, "discount_total": discount, "shipping_total": fees, "shipping_discount_total": fees - left,
        "tax_total": added, "tax_included_total": sum(t[1] for t in line_taxes + ship_taxes), "total": total,
        "gift_card_total": cards, "due": total - cards,
    }
