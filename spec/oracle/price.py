"""The price of a cart, computed from the pricing page and from nothing of the shop's own code.

price(facts) takes the facts of the decision price.cart and returns the decision without `trace` and `pack`. Amounts are
Python's integers, so exact at any size; percentages are integers in ten-thousandths of a percent; there are no floats.
The numbers in the comments are those of the page's rules. Facts that the shop refuses are not understood here: refusals
have a table of their own (refusals.py).
"""
from datetime import datetime
from decimal import Decimal

WHOLE = 1000000  # 100 percent, in ten-thousandths of a percent
KIND = {"item_percent": 1, "item_fixed": 1, "line_fixed": 1, "buy_x_get_y": 1,
        "order_percent": 2, "order_fixed": 2, "order_price": 2,
        "shipping_percent": 3, "shipping_fixed": 3, "free_shipping": 3}


# ---- numbers ----------------------------------------------------------------------------------------------------------

def rounded(numerator, denominator):
    """Rule 2: half up, away from zero. The denominator is positive."""
    half = (2 * abs(numerator) + denominator) // (2 * denominator)
    return -half if numerator < 0 else half


def parts(percent):
    """A percentage as ten-thousandths of a percent."""
    return int(Decimal(str(percent)) * 10000)


def percent_off(amount, percent):
    """Rule 13: what p percent takes off one unit; the price that is left is the rounded figure."""
    return amount - rounded(amount * (WHOLE - percent), WHOLE)


def allocate(amount, weights):
    """Rule 18: floors, then one each to the largest remainders, the earlier first."""
    total = sum(weights)
    if total == 0:
        weights, total = [1] * len(weights), len(weights)
    shares = [amount * weight // total for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: -(amount * weights[i] % total))
    for i in order[:amount - sum(shares)]:
        shares[i] += 1
    return shares


def fill(amount, rooms, share):
    """Rule 19: each takes its share as far as it has room, and the rest is shared again over those that have some.

    share(amount, indexes) says how much each of these would get. Returns what each one took.
    """
    taken, left = [0] * len(rooms), range(len(rooms))
    while amount > 0 and left:
        for i, wanted in zip(left, share(amount, left)):
            got = min(wanted, rooms[i] - taken[i])
            taken[i] += got
            amount -= got
        left = [i for i in left if taken[i] < rooms[i]]
    return taken


def evenly(amount, indexes):
    """Rule 20: the first ones get one more."""
    q, r = divmod(amount, len(indexes))
    return [q + (i < r) for i in range(len(indexes))]


# ---- time -------------------------------------------------------------------------------------------------------------

MOMENTS = {}


def moment(text):
    if text not in MOMENTS:
        MOMENTS[text] = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return MOMENTS[text]


def holds_at(now, start, end):
    """Rule 11: both ends belong to a window. -1 before it, 1 after it, 0 in it."""
    if start is not None and moment(now) < moment(start):
        return -1
    return 1 if end is not None and moment(now) > moment(end) else 0


# ---- lines ------------------------------------------------------------------------------------------------------------

def listed(value):
    return value if isinstance(value, list) else [value]


def list_price(line, facts):
    """Rule 4."""
    if line.get("prices") is None:
        return line["unit_price"]
    customer, best = facts.get("customer") or {}, None
    for row in line["prices"]:
        rules, low = row.get("rules") or {}, row.get("min_quantity")
        high = row.get("max_quantity")
        if row["currency"] != facts["currency"] or line["quantity"] < (low or 0):
            continue
        if high is not None and line["quantity"] > high:
            continue
        if "customer_group" in rules and customer.get("group") not in listed(rules["customer_group"]):
            continue
        if "zone" in rules and zone_of(facts) not in listed(rules["zone"]):
            continue
        if holds_at(facts["now"], rules.get("from"), rules.get("to")):
            continue
        rank = (-len(rules), -(low or 0), row["amount"])
        best = min(best or rank, rank)
    return best[2] if best else line["unit_price"]


class Line:
    def __init__(self, given, facts):
        self.sku, self.quantity = given["sku"], given["quantity"]
        self.categories = given.get("categories") or []
        self.tax_category = given.get("tax_category")
        self.list = self.unit = list_price(given, facts)
        self.floor = given.get("floor_price") or 0
        self.taken = [0] * self.quantity  # of each unit, by item and order promotions
        self.item = self.order = 0

    @property
    def total(self):
        return self.unit * self.quantity - self.item - self.order

    def room(self, i):
        """Rules 13 and 17: what may still be taken off unit i."""
        return max(0, self.unit - self.taken[i] - self.floor)

    def total_of(self, units):
        """What the first units cost now."""
        return sum(self.unit - taken for taken in self.taken[:units])

    def rooms(self, units=None):
        most = self.unit - self.floor
        return [max(0, most - taken) for taken in self.taken[:units]]

    def take(self, i, amount, kind):
        amount = min(amount, self.room(i))
        self.taken[i] += amount
        return self.count(amount, kind)

    def spread(self, amount, kind, units=None):
        """Rule 20, within what each unit (or each of the first) has left."""
        rooms = self.rooms(units)
        takers = [i for i, room in enumerate(rooms) if room > 0]
        for i, got in zip(takers, fill(amount, [rooms[i] for i in takers], evenly)):
            self.taken[i] += got
            self.count(got, kind)

    def count(self, amount, kind):
        if kind == 1:
            self.item += amount
        else:
            self.order += amount
        return amount

    def is_in(self, category):
        return any(c == category or c.startswith(category + "/") for c in self.categories)

    def matches(self, filters):
        """Rule 11."""
        if not filters:
            return True
        if "skus_any" in filters and self.sku not in filters["skus_any"]:
            return False
        if "categories_any" in filters and not any(self.is_in(c) for c in filters["categories_any"]):
            return False
        if self.unit < filters.get("min_unit_price", self.unit):
            return False
        return self.unit <= filters.get("max_unit_price", self.unit)


class Shipment:
    def __init__(self, given):
        self.method, self.fee, self.discount = given["method"], given["fee"], 0
        self.tax_category = given.get("tax_category")

    def matches(self, filters):
        return not filters or "methods_any" not in filters or self.method in filters["methods_any"]

    @property
    def left(self):
        return self.fee - self.discount

    def take(self, amount):
        amount = min(amount, self.left)
        self.discount += amount
        return amount


class Cart:
    def __init__(self, facts):
        self.facts = facts
        self.customer = facts.get("customer")
        self.lines = [Line(line, facts) for line in facts["lines"]]
        self.shipping = [Shipment(one) for one in facts.get("shipping") or []]

    @property
    def total(self):
        return sum(line.total for line in self.lines)

    def units(self, which):
        return sum(line.quantity for line in self.lines if which(line))


# ---- conditions -------------------------------------------------------------------------------------------------------

CONDITIONS = {  # rules 10 and 12
    "min_items_total": lambda cart, v: cart.total >= v,
    "max_items_total": lambda cart, v: cart.total <= v,
    "min_quantity": lambda cart, v: cart.units(lambda line: True) >= v,
    "min_line_quantity": lambda cart, v: any(line.quantity >= v for line in cart.lines),
    "contains_skus_any": lambda cart, v: any(line.sku in v for line in cart.lines),
    "contains_categories_any": lambda cart, v: any(line.is_in(c) for line in cart.lines for c in v),
    "sku_quantity": lambda cart, v: cart.units(lambda line: line.sku in v["skus"]) >= v["min"],
    "category_quantity": lambda cart, v: cart.units(lambda line: line.is_in(v["category"])) >= v["min"],
    "category_items_total": lambda cart, v:
        sum(line.total for line in cart.lines if line.is_in(v["category"])) >= v["min"],
    "customer_group": lambda cart, v: cart.customer is not None and cart.customer.get("group") in v,
    "nth_order": lambda cart, v: cart.customer is not None and cart.customer.get("orders_placed") == v - 1,
}


def conditions_hold(cart, promotion):
    return all(CONDITIONS[name](cart, value) for name, value in (promotion.get("conditions") or {}).items())


def with_state(facts):
    """The promotions of the facts with the state that the facts give them by their ids."""
    made = []
    for promotion in facts.get("promotions") or []:
        known = (facts.get("usage") or {}).get(promotion.get("id")) or {}
        now = dict(promotion)
        if promotion.get("usage"):
            now["usage"] = {**promotion["usage"], **{name: known[name] for name in known if name != "spent"}}
        budget = promotion.get("budget")
        counted = "used" if budget and budget.get("type") == "usage" else "spent"
        if budget and counted in known:
            now["budget"] = {**budget, "used": known[counted]}
        made.append(now)
    return made


def state(promotion, facts):
    """Rule 25: why a promotion takes no part whatever is in the cart, or None if it may."""
    if promotion.get("enabled") is False:
        return "not_eligible"
    at = holds_at(facts["now"], promotion.get("starts_at"), promotion.get("ends_at"))
    if at:
        return "not_started" if at < 0 else "expired"
    usage = promotion.get("usage") or {}
    if usage.get("limit") is not None and usage.get("used", 0) >= usage["limit"]:
        return "used_up"
    if usage.get("limit_per_customer") is not None \
            and usage.get("used_by_customer", 0) >= usage["limit_per_customer"]:
        return "used_up_for_customer"
    budget = promotion.get("budget") or {}
    if budget and budget.get("used", 0) >= budget["limit"]:
        return "budget_spent"
    return None


# ---- actions ----------------------------------------------------------------------------------------------------------
# Each takes what it gives off the cart and returns how much that was.

def catalog(line, promotion):
    """Rule 5, for one line. The same action twice, with other filters, is one rule that is matched in two ways."""
    given, done = 0, []
    if promotion.get("applies_to_discounted") is False and line.unit < line.list:
        return 0
    for action in promotion["actions"]:
        same = (action["type"], str(action["value"]))
        if same in done or not line.matches(action.get("filters")):
            continue
        done.append(same)
        if action["type"] == "catalog_percent":
            new = rounded(line.unit * (WHOLE - parts(action["value"])), WHOLE)
        else:
            new = line.unit - action["value"]
        new = min(line.unit, max(new, line.floor))
        given += (line.unit - new) * line.quantity
        line.unit = new
    return given


def item(cart, lines, action):
    """Rule 13."""
    given = 0
    for line in lines:
        if action["type"] == "line_fixed":
            before = line.item
            line.spread(action["value"], 1)
            given += line.item - before
            continue
        off = action["value"] if action["type"] == "item_fixed" else percent_off(line.unit, parts(action["value"]))
        most = action.get("max_quantity")
        for i in range(line.quantity if most is None else min(most, line.quantity)):
            given += line.take(i, off, 1)
    return given


def buy_x_get_y(cart, lines, action):
    """Rule 16. A unit is (line, number within it)."""
    buyable = [i for i, line in enumerate(cart.lines) if line.matches(action.get("buy_filters"))]
    gettable = [i for i, line in enumerate(cart.lines) if line in lines]
    used = [0] * len(cart.lines)
    dearest = sorted(range(len(cart.lines)), key=lambda i: (-cart.lines[i].unit, -i))
    cheapest = action.get("pick") == "cheapest"
    getting = sorted(dearest, key=lambda i: cart.lines[i].unit) if cheapest else dearest

    def reserve(wanted, order, among):
        found = []
        for i in order:
            while i in among and len(found) < wanted and used[i] < cart.lines[i].quantity:
                found.append((i, used[i]))
                used[i] += 1
        return found if len(found) == wanted else None

    times, given, percent = action.get("times", 1), 0, parts(action["value"])
    while times is None or times > 0:
        if reserve(action["buy_quantity"], dearest, buyable) is None:
            break
        free = reserve(action["get_quantity"], getting, gettable)
        if free is None:
            break
        for i, unit in free:
            given += cart.lines[i].take(unit, percent_off(cart.lines[i].unit, percent), 1)
        times = None if times is None else times - 1
    return given


def order(cart, lines, action):
    """Rules 14, 18 and 19."""
    most = action.get("max_quantity")
    weights = [line.total if most is None else line.total_of(most) for line in lines]
    running = sum(weights)
    if action["type"] == "order_percent":
        amount = rounded(running * parts(action["value"]), WHOLE)
    elif action["type"] == "order_fixed":
        amount = min(action["value"], running)
    else:
        amount = max(0, running - action["value"])
    takes = fill(amount, [sum(line.rooms(most)) for line in lines],
                 lambda rest, left: allocate(rest, [weights[i] for i in left]))
    for line, got in zip(lines, takes):
        line.spread(got, 2, most)
    return sum(takes)


def shipping(cart, action):
    """Rule 15."""
    matching = [one for one in cart.shipping if one.matches(action.get("filters"))]
    if action["type"] == "shipping_percent":
        return sum(one.take(rounded(one.left * parts(action["value"]), WHOLE)) for one in matching)
    if action["type"] == "free_shipping":
        return sum(one.take(one.left) for one in matching)
    if action.get("allocation") == "across":
        amount = min(action["value"], sum(one.left for one in matching))
        shares = allocate(amount, [one.left for one in matching]) if matching else []
        return sum(one.take(share) for one, share in zip(matching, shares))
    return sum(one.take(action["value"]) for one in matching)


def act(cart, action, lines):
    """One action on those of the lines that it filters."""
    kind = KIND[action["type"]]
    if kind == 3:
        return shipping(cart, action)
    lines = [line for line in lines if line.matches(action.get("filters"))]
    if action["type"] == "buy_x_get_y":
        return buy_x_get_y(cart, lines, action)
    return (item if kind == 1 else order)(cart, lines, action)


def give(cart, promotion, actions):
    """All actions of one kind. What is discounted is what the catalogue has reduced."""
    lines = cart.lines
    if promotion.get("applies_to_discounted") is False:
        lines = [line for line in lines if line.unit == line.list]
    return sum(act(cart, action, lines) for action in actions)


# ---- promotions -------------------------------------------------------------------------------------------------------

def by_priority(promotions):
    return sorted(promotions, key=lambda p: -p.get("priority", 0))


def run_catalog(cart, promotions, given):
    """Rule 5. An exclusive rule has its lines to itself: those of a higher priority first, the others after them.

    Returns the promotion that went past its budget, or None.
    """
    owned = set()
    for p in [p for p in promotions if p.get("exclusive")] + [p for p in promotions if not p.get("exclusive")]:
        if not conditions_hold(cart, p):
            continue
        free = [line for line in cart.lines if id(line) not in owned]
        matched = {id(line) for line in free if any(line.matches(a.get("filters")) for a in p["actions"])}
        given[id(p)] = sum(catalog(line, p) for line in free)
        if p.get("exclusive"):
            owned |= matched
        if over_budget(p, given[id(p)]):
            return p
    return None


def level(promotion):
    return "catalog" if promotion["actions"][0]["type"].startswith("catalog") else "cart"


def over_budget(promotion, given):
    """Rule 26, of a budget of money that was not spent before anything was given, see state()."""
    budget = promotion.get("budget")
    if budget is None or budget.get("type") == "usage":
        return False
    return given > 0 and budget.get("used", 0) + given > budget["limit"]


def run(facts, promotions, blocked):
    """One evaluation without those blocked. Returns the cart, what ran, who was alone, and who broke a budget."""
    cart = Cart(facts)
    ready = [p for p in promotions if id(p) not in blocked]
    given = {}
    broke = run_catalog(cart, by_priority(p for p in ready if level(p) == "catalog"), given)
    if broke:
        return cart, None, None, broke
    carted = by_priority(p for p in ready if level(p) == "cart")
    alone = [p for p in carted if p.get("exclusive") and conditions_hold(cart, p)][:1]  # rule 9
    for kind in (1, 2, 3):  # rules 6, 7, 8
        for p in alone or carted:
            actions = [a for a in p["actions"] if KIND[a["type"]] == kind]
            if not actions or not conditions_hold(cart, p):
                continue
            given[id(p)] = given.get(id(p), 0) + give(cart, p, actions)
            if over_budget(p, given[id(p)]):
                return cart, None, None, p
    return cart, set(given), alone, None


def evaluate(facts):
    """Rules 5 to 20 and 26. Returns the cart and the coupons' answers."""
    issued, all_of = facts.get("issued") or {}, with_state(facts)
    entered = list(dict.fromkeys(facts.get("coupons") or []))
    codes = [issued.get(code, code) for code in entered]
    live = [p for p in all_of if state(p, facts) is None and p.get("coupon") in [None] + codes]
    blocked = set()
    while True:
        cart, ran, alone, broke = run(facts, live, blocked)
        if broke is None:
            break
        blocked.add(id(broke))
    answers = []
    for i, code in enumerate(codes):
        answer = {**coupon(code, facts, all_of, ran, alone, blocked), "code": entered[i]}
        if answer["accepted"] and code in codes[:i]:  # another that stands for the same was entered first
            answer = {"code": entered[i], "accepted": False, "reason": "already_applied"}
        answers.append(answer)
    return cart, answers


REASONS = ["unknown", "not_started", "expired", "used_up", "used_up_for_customer", "not_eligible", "budget_spent",
           "replaced_by_exclusive"]


def coupon(code, facts, promotions, ran, alone, blocked):
    """Rule 25. Of several promotions with the code, one that ran is enough; else the one that came furthest speaks."""
    furthest = "unknown"
    for p in promotions:
        if p.get("coupon") != code:
            continue
        if id(p) in ran:
            return {"code": code, "accepted": True}
        reason = state(p, facts)
        if reason is None and id(p) in blocked:
            reason = "budget_spent"
        elif reason is None:
            reason = "replaced_by_exclusive" if alone and level(p) == "cart" else "not_eligible"
        furthest = max(furthest, reason, key=REASONS.index)
    return {"code": code, "accepted": False, "reason": furthest}


# ---- tax --------------------------------------------------------------------------------------------------------------

def zone_of(facts):
    """Rule 21: where it is sent, else the default zone, else none."""
    return facts.get("zone") or (facts.get("settings") or {}).get("default_zone")


def rate_of(category, facts):
    """Rule 21. A rate of the zone goes before one of all zones, and the one that began later before the other."""
    best = None
    for rate in facts.get("tax_rates") or [] if category is not None else []:
        if rate["category"] != category or rate.get("zone") not in (None, zone_of(facts)) \
                or holds_at(facts["now"], rate.get("from"), rate.get("to")):
            continue
        began = moment(rate["from"]).timestamp() if rate.get("from") else float("-inf")
        rank = (rate.get("zone") is not None, began)
        if best is None or rank > best[0]:
            best = rank, rate
    return best and best[1]


def tax_of(base, rate):
    """Rule 22, for one amount: what is added to it, or what it contains."""
    percent = parts(rate["percent"])
    if rate.get("included"):
        return base - rounded(base * WHOLE, WHOLE + percent)
    return rounded(base * percent, WHOLE)


def unit_totals(line):
    return [line.unit - taken for taken in line.taken]


def line_taxes(cart, facts):
    """[(added, contained)] for each line, by settings.tax_rounding."""
    how = (facts.get("settings") or {}).get("tax_rounding", "line")
    rates = [rate_of(line.tax_category, facts) for line in cart.lines]
    taxes = [0] * len(rates)
    for i, (line, rate) in enumerate(zip(cart.lines, rates)):
        if rate is not None and how == "unit":
            taxes[i] = sum(tax_of(unit, rate) for unit in unit_totals(line))
        elif rate is not None and how == "line":
            taxes[i] = tax_of(line.total, rate)
    if how == "total":
        groups = {}
        for i, rate in enumerate(rates):
            if rate is not None:
                groups.setdefault((parts(rate["percent"]), bool(rate.get("included"))), []).append(i)
        for among in groups.values():
            bases = [cart.lines[i].total for i in among]
            for i, share in zip(among, allocate(tax_of(sum(bases), rates[among[0]]), bases)):
                taxes[i] = share
    return [(0, tax) if rate and rate.get("included") else (tax, 0) for tax, rate in zip(taxes, rates)]


# ---- the answer -------------------------------------------------------------------------------------------------------

def line_answer(line, taxes):
    return {"sku": line.sku, "quantity": line.quantity, "unit_price": line.unit,
            "subtotal": line.unit * line.quantity, "item_discount": line.item, "order_discount": line.order,
            "total": line.total, "tax": taxes[0], "tax_included": taxes[1],
            "unit_discounts": [line.list - line.unit + taken for taken in line.taken]}


def shipment_answer(one, facts):
    rate = rate_of(one.tax_category, facts)  # rule 23
    tax = tax_of(one.left, rate) if rate else 0
    included = bool(rate and rate.get("included"))
    return {"method": one.method, "fee": one.fee, "discount": one.discount, "total": one.left,
            "tax": 0 if included else tax, "tax_included": tax if included else 0}


def taxes_by_rate(facts, named):
    """What was taxed by each rate, net, and its tax; `named`: (category, answer) of lines and shipments, in their order."""
    found = {}
    for category, row in named:
        rate = rate_of(category, facts)
        if rate:
            entry = found.setdefault(category, {
                "category": category, "percent": float(rate["percent"]), "included": bool(rate.get("included")),
                **({"zone": rate["zone"]} if rate.get("zone") else {}), "base": 0, "tax": 0})
            entry["base"] += row["total"] - row["tax_included"]
            entry["tax"] += row["tax"] + row["tax_included"]
    return list(found.values())


def taxes_answer(facts, cart, lines, sent):
    """Of each rate in the order in which it is met: what is taxed by it, without the tax, and the tax."""
    found = {}
    for category, row in zip([each.tax_category for each in cart.lines + cart.shipping], lines + sent):
        rate = rate_of(category, facts)
        if rate:
            entry = found.setdefault(category, {"category": category, "percent": parts(rate["percent"]) / (WHOLE // 100),
                                                "included": bool(rate.get("included")), "zone": rate.get("zone"), "base": 0,
                                                "tax": 0})
            entry["base"] += row["total"] - row["tax_included"]
            entry["tax"] += row["tax"] + row["tax_included"]
    return list(found.values())


def price(facts):
    cart, coupons = evaluate(facts)
    lines = [line_answer(line, taxes) for line, taxes in zip(cart.lines, line_taxes(cart, facts))]
    sent = [shipment_answer(one, facts) for one in cart.shipping]

    def of(rows, *names):
        return sum(row[name] for row in rows for name in names)

    total = of(lines, "total", "tax") + of(sent, "total", "tax")  # rule 24
    named = [(one.tax_category, row) for one, row in zip(cart.lines + cart.shipping, lines + sent)]
    paid = min(total, of(facts.get("gift_cards") or [], "balance"))
    return {"currency": facts["currency"], "lines": lines, "shipping": sent, "items_total": of(lines, "subtotal"),
            "discount_total": of(lines, "item_discount", "order_discount"),
            "shipping_total": of(sent, "fee"), "shipping_discount_total": of(sent, "discount"),
            "tax_total": of(lines, "tax") + of(sent, "tax"),
            "tax_included_total": of(lines, "tax_included") + of(sent, "tax_included"),
            "taxes": taxes_answer(facts, cart, lines, sent),
            "taxes": taxes_by_rate(facts, named), "total": total, "gift_card_total": paid, "due": total - paid, "coupons": coupons}
