"""pricing: what a cart costs by the shop's standing rules, computed here and not by the shop.

The definitions are data, and are read as such (luajit turns them into JSON). A rule file is code; those that are known
here have an independent reading in terms of the oracle (spec/oracle/price.py), whose arithmetic is exact and its own.
A pack with a rule file that has no reading cannot be recomputed: Unreadable says which.
"""
import datetime
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "spec", "oracle"))
from price import price  # noqa: E402

RULES = os.path.join(ROOT, "scripts", "rules")

# Prints what a file of data returns as JSON: tables with a first entry are lists.
TO_JSON = r"""
local function text(s) return '"' .. s:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"' end
local function json(v)
  if type(v) == "string" then return text(v) end
  if type(v) ~= "table" then return tostring(v) end
  local out = {}
  if v[1] ~= nil then
    for i, one in ipairs(v) do out[i] = json(one) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  for name, one in pairs(v) do out[#out + 1] = text(name) .. ":" .. json(one) end
  return "{" .. table.concat(out, ",") .. "}"
end
io.write(json(setfenv(assert(loadfile(arg[1])), {})()))
"""


class Unreadable(Exception):
    """A rule of the pack that nobody has read independently."""


def definitions(name):
    done = subprocess.run(["luajit", "-", os.path.join(RULES, "definitions", name + ".lua")], input=TO_JSON,
                          capture_output=True, text=True, timeout=10)
    if done.returncode != 0:
        raise Unreadable(f"definitions/{name}.lua: {done.stderr.strip()}")
    return json.loads(done.stdout)


def number_in(text, pattern):
    found = re.search(pattern, text)
    if not found:
        raise Unreadable("three_for_two_candles.lua has another form")
    return found.group(1)


def every_nth_is_free(text):
    """Of every so many units of a category the cheapest is free, dearest units first."""
    of = {"categories_any": [number_in(text, r'of = category "([^"]+)"')]}
    every = int(number_in(text, r"every = (\d+)"))
    return {"starts_at": number_in(text, r'from\s*= "([^"]+)"'), "ends_at": number_in(text, r'to\s*= "([^"]+)"'),
            "actions": [{"type": "buy_x_get_y", "value": 100, "buy_quantity": every - 1, "get_quantity": 1,
                         "buy_filters": of, "filters": of, "times": None, "pick": "cheapest"}]}


READINGS = {"three_for_two_candles.lua": every_nth_is_free}


def rule_files():
    folder = os.path.join(RULES, "promotions")
    for name in sorted(os.listdir(folder)):
        if name not in READINGS:
            raise Unreadable(f"promotions/{name} has no reading in bin/lib/pricing.py")
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            yield READINGS[name](file.read())


class Standing:
    """The rules of this checkout, and what they make of the cart of a customer ({group}), or of a guest: None."""

    def __init__(self, customer=None):
        self.customer = customer
        self.promotions = definitions("promotions") + list(rule_files())
        self.rates, self.methods = definitions("tax_rates"), definitions("shipping")

    def _facts(self, lines, zone, shipping):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        promotions = [p for p in self.promotions if p.get("currency", "GBP") == "GBP"]
        return {"currency": "GBP", "now": now, "zone": zone, "lines": lines, "shipping": shipping, "coupons": [],
                "customer": self.customer,
                "promotions": promotions, "tax_rates": self.rates, "settings": {"default_zone": "GB"}}

    def shipping(self, lines, zone):
        """{method: {method, fee, tax_category}}: those of the zone, else those that go everywhere else."""
        goods = price(self._facts(lines, zone, []))
        worth = goods["items_total"] - goods["discount_total"]
        named = any(zone in m.get("zones", ()) for m in self.methods)
        fits = [m for m in self.methods if (zone in m.get("zones", ()) if named else "zones" not in m)]
        return {m["method"]: {"method": m["method"], "tax_category": m.get("tax_category"),
                              "fee": 0 if worth >= m.get("free_from", float("inf")) else m["fee"]} for m in fits}

    def price(self, lines, zone, method):
        """The oracle's answer for lines [{sku, quantity, unit_price, prices, categories, tax_category}], sent by `method`."""
        return price(self._facts(lines, zone, [self.shipping(lines, zone)[method]]))
