// ledger: the account of one price, as fastr's: lines as runs of units that were reduced alike, shipments, and the trace.
'use strict';

const { PERCENT_ALL, PERCENT_ONE, allocate, ratio, refuse } = require('./money');

const ALL_UNITS = Infinity;

// Counts the tax of a line or shipment of this total, and what its rate has taxed.
function book(out, taxed, category, rate, total, tax) {
  if (rate.included) out.tax_included_total += tax; else out.tax_total += tax;
  let sum = taxed.get(category);
  if (!sum) {
    sum = { category, percent: rate.percent / PERCENT_ONE, included: rate.included, zone: rate.zone, base: 0, tax: 0 };
    taxed.set(category, sum);
    out.taxes.push(sum);
  }
  sum.base += rate.included ? total - tax : total;
  sum.tax += tax;
}

class Line {
  constructor(facts) {
    this.sku = facts.sku;
    this.quantity = facts.quantity;
    this.categories = facts.categories || [];
    this.taxCategory = facts.tax_category;
    this.list = this.unit = facts.unit_price;
    this.floor = facts.floor_price || 0;
    this.total = this.list * this.quantity;
    this.itemDiscount = this.orderDiscount = this.part = this.tax = this.pool = 0;
    this.included = this.touched = false;
    this.runs = [{ count: this.quantity, taken: 0 }];
  }

  most() { return this.unit - Math.min(this.floor, this.unit); }
  room() { return this.total - Math.min(this.floor, this.unit) * this.quantity; }

  totalOf(units) {
    if (units >= this.quantity) return this.total;
    let total = 0;
    for (let i = 0; units > 0; i++) {
      const count = Math.min(units, this.runs[i].count);
      total += count * (this.unit - this.runs[i].taken);
      units -= count;
    }
    return total;
  }

  split(index, count) {
    const run = this.runs[index];
    this.runs.splice(index, 0, { count, taken: run.taken });
    run.count -= count;
  }

  // Takes up to `each` from every one of `count` units from position `from`; returns what was taken.
  reduce(from, count, each) {
    const most = this.most();
    let at = 0, taken = 0;
    for (let i = 0; i < this.runs.length && count > 0; i++) {
      if (at < from && at + this.runs[i].count > from) this.split(i, from - at);
      if (at >= from) {
        if (this.runs[i].count > count) this.split(i, count);
        const run = this.runs[i], less = Math.max(0, Math.min(each, most - run.taken));
        run.taken += less;
        taken += less * run.count;
        count -= run.count;
      }
      at += this.runs[i].count;
    }
    return taken;
  }

  // Spreads what the line takes over its units: equally, the first units one more.
  spread(amount) {
    const most = this.most();
    while (amount > 0) {
      let units = 0;
      for (const run of this.runs) if (run.taken < most) units += run.count;
      if (units === 0) return;
      const each = Math.floor(amount / units);
      let extra = amount % units;
      amount = 0;
      for (let i = 0; i < this.runs.length; i++) {
        if (this.runs[i].taken >= most) continue;
        if (extra > 0 && this.runs[i].count > extra) this.split(i, extra);
        const run = this.runs[i], share = each + (extra > 0 ? 1 : 0), less = Math.min(share, most - run.taken);
        if (extra > 0) extra -= run.count;
        run.taken += less;
        amount += (share - less) * run.count;
      }
    }
  }

  percent(percent) { return this.unit - ratio(this.unit, PERCENT_ALL - percent, PERCENT_ALL); }
}

// "home/lighting" is in "home"
function within(category, wanted) {
  return category.startsWith(wanted) && (category.length === wanted.length || category[wanted.length] === '/');
}

function inCategories(line, wanted) {
  for (const category of line.categories) for (const name of wanted) if (within(category, name)) return true;
  return false;
}

function taxOn(rate, base) {
  if (!rate.included) return ratio(base, rate.percent, PERCENT_ALL);
  return base - ratio(base, PERCENT_ALL, PERCENT_ALL + rate.percent);
}

class Ledger {
  constructor(facts) {
    this.currency = facts.currency;
    this.lines = facts.lines.map((line) => new Line(line));
    this.shipments = (facts.shipping || []).map((s) => (
      { method: s.method, fee: s.fee, taxCategory: s.tax_category, discount: 0, part: 0, tax: 0, included: false, touched: false }));
    this.running = 0;
    for (const line of this.lines) this.running += line.total;
    if (this.running > Number.MAX_SAFE_INTEGER) refuse('the amount goes past 2^53 - 1');
    this.listTotal = this.running;
    this.reduced = this.given = 0;
    this.trace = [];
    this.coupons = [];
    this.byPrice = null;
    this.takes = [];
  }

  select(filters) {
    if (!filters) return this.lines;
    const { skus_any: skus, categories_any: categories, min_unit_price: least = 0, max_unit_price: most = Infinity } = filters;
    return this.lines.filter((line) => line.unit >= least && line.unit <= most && (!skus || skus.includes(line.sku)) &&
      (!categories || inCategories(line, categories)));
  }

  total(lines, units = ALL_UNITS) {
    let total = 0;
    for (const line of lines) total += line.totalOf(units);
    return total;
  }

  open(rule, stage) {
    this.rule = rule;
    this.stage = stage;
    this.given = 0;
  }

  note(line, amount) {
    line.part += amount;
    line.touched = line.touched || amount !== 0;
    line.total -= amount;
    this.running -= amount;
    this.given += amount;
  }

  // What rules have taken is what the lines have lost, else the price is refused.
  verify() {
    let running = 0;
    for (const line of this.lines) running += line.total;
    if (running !== this.running || this.listTotal - this.reduced !== running || running < 0) {
      throw new Error(`rule '${this.rule}': the adjustments do not add up to the total`);
    }
  }

  close() {
    const shipping = this.stage === 'shipping', places = [], amounts = [], given = this.given;
    if (!shipping) this.reduced += given;
    this.verify();
    const touched = shipping ? this.shipments : this.lines;
    for (let i = 0; i < touched.length; i++) {
      if (touched[i].touched) {
        places.push(i + 1);
        amounts.push(touched[i].part);
      }
      touched[i].part = 0;
      touched[i].touched = false;
    }
    if (given > 0) {
      const entry = { rule: this.rule, stage: this.stage, outcome: 'applied', amount: given, amounts };
      entry[shipping ? 'shipments' : 'lines'] = places;
      this.trace.push(entry);
    } else {
      this.trace.push({ rule: this.rule, stage: this.stage, outcome: 'not_applied', condition: 'something_to_reduce' });
    }
    return given;
  }

  passed(rule, stage, outcome, condition, actual, wanted, to) {
    this.trace.push({ rule, stage, outcome, condition, actual, wanted, to });
  }

  setUnit(line, fresh) {
    const less = line.unit - Math.min(Math.max(fresh, Math.min(line.floor, line.unit)), line.unit);
    line.unit -= less;
    this.note(line, less * line.quantity);
  }

  giveUnits(line, from, count, each) {
    const taken = line.reduce(from, count, each);
    line.itemDiscount += taken;
    this.note(line, taken);
  }

  giveLine(line, amount) {
    const taken = Math.min(amount, line.room());
    line.spread(taken);
    line.itemDiscount += taken;
    this.note(line, taken);
  }

  pool() {
    this.byPrice = this.lines.map((_, i) => i);
    this.byPrice.sort((a, b) => this.lines[b].unit - this.lines[a].unit || b - a);
    this.cheapest = this.lines.map((_, i) => i);
    this.cheapest.sort((a, b) => this.lines[a].unit - this.lines[b].unit || b - a);
    for (const line of this.lines) line.pool = line.quantity;
  }

  // Takes units of the selected lines from the pool; false and none if fewer are untouched.
  take(lines, wanted, pick) {
    let there = 0;
    this.takes = [];
    for (const line of lines) there += line.pool;
    if (there < wanted) return false;
    for (const i of pick === 'cheapest' ? this.cheapest : this.byPrice) {
      const line = this.lines[i], count = Math.min(line.pool, wanted);
      if (count === 0 || !lines.includes(line)) continue;
      this.takes.push({ line, from: line.quantity - line.pool, count });
      line.pool -= count;
      wanted -= count;
    }
    return true;
  }

  givePercent(percent) {
    for (const { line, from, count } of this.takes) this.giveUnits(line, from, count, line.percent(percent));
  }

  order(lines, amount, units = ALL_UNITS) {
    let weights = lines.map((line) => line.totalOf(units));
    while (amount > 0 && lines.length > 0) {
      const parts = allocate(amount, weights), kept = [], left = [];
      amount = 0;
      for (let i = 0; i < lines.length; i++) {
        const line = lines[i], taken = Math.min(parts[i], line.room());
        line.spread(taken);
        line.orderDiscount += taken;
        this.note(line, taken);
        amount += parts[i] - taken;
        if (taken === parts[i] && line.room() > 0) {
          kept.push(line);
          left.push(weights[i]);
        }
      }
      lines = kept;
      weights = left;
    }
  }

  feeOff(shipment, amount) {
    const taken = Math.min(amount, shipment.fee - shipment.discount);
    shipment.discount += taken;
    shipment.part += taken;
    shipment.touched = shipment.touched || taken !== 0;
    this.given += taken;
  }

  finish(rates, rounding, balance) {
    const out = { currency: this.currency, lines: [], shipping: [], items_total: 0, discount_total: 0, shipping_total: 0,
      shipping_discount_total: 0, tax_total: 0, tax_included_total: 0, taxes: [], total: 0, gift_card_total: 0, due: 0,
      coupons: this.coupons, trace: this.trace, pack: null };
    const taxed = new Map();
    for (const line of this.lines) {
      const rate = line.taxCategory && rates.get(line.taxCategory);
      if (rate && rounding === 'unit') {
        for (const run of line.runs) line.tax += run.count * taxOn(rate, line.unit - run.taken);
      } else if (rate) {
        line.tax = taxOn(rate, line.total);
      }
      const included = Boolean(rate && rate.included), off = line.list - line.unit, discounts = [];
      for (const run of line.runs) for (let n = 0; n < run.count; n++) discounts.push(off + run.taken);
      const subtotal = line.unit * line.quantity;
      out.lines.push({ sku: line.sku, quantity: line.quantity, unit_price: line.unit, subtotal,
        item_discount: line.itemDiscount, order_discount: line.orderDiscount, total: line.total,
        tax: included ? 0 : line.tax, tax_included: included ? line.tax : 0, unit_discounts: discounts });
      out.items_total += subtotal;
      out.discount_total += line.itemDiscount + line.orderDiscount;
      if (rate) book(out, taxed, line.taxCategory, rate, line.total, line.tax);
    }
    for (const s of this.shipments) {
      const rate = s.taxCategory && rates.get(s.taxCategory), total = s.fee - s.discount;
      const tax = rate ? taxOn(rate, total) : 0, included = Boolean(rate && rate.included);
      out.shipping.push({ method: s.method, fee: s.fee, discount: s.discount, total, tax: included ? 0 : tax,
        tax_included: included ? tax : 0 });
      out.shipping_total += s.fee;
      out.shipping_discount_total += s.discount;
      if (rate) book(out, taxed, s.taxCategory, rate, total, tax);
    }
    out.total = out.items_total - out.discount_total + out.tax_total + out.shipping_total - out.shipping_discount_total;
    if (out.total > Number.MAX_SAFE_INTEGER) refuse('the amount goes past 2^53 - 1');
    out.gift_card_total = Math.min(balance, out.total);
    out.due = out.total - out.gift_card_total;
    return out;
  }
}

module.exports = { Ledger };
