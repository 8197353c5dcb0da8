// price: the decision price.cart with inline promotions, as fastr's rules make it: the same checks, conditions, stages,
// order and trace. Left out, and refused by the schema: price tables, and tax rounded over the whole cart.
'use strict';

const { Ledger } = require('./ledger');
const { PERCENT_ALL, allocate, percentOf, ratio, refuse } = require('./money');

const CART_STAGES = ['item', 'order', 'shipping'];

// ---- conditions: (cart, wanted) -> holds; cart.actual and cart.wanted keep the operands -----------------------------------

function atLeast(cart, actual, wanted) {
  cart.actual = actual;
  cart.wanted = wanted;
  return actual >= wanted;
}

function units(lines) {
  let sum = 0;
  for (const line of lines) sum += line.quantity;
  return sum;
}

const CONDITIONS = [
  ['customer_group', (cart, wanted) => {
    const group = cart.facts.customer && cart.facts.customer.group;
    cart.actual = group || 'none';
    cart.wanted = wanted.join('|');
    return Boolean(group) && wanted.includes(group);
  }],
  ['nth_order', (cart, wanted) => {
    const placed = cart.facts.customer ? cart.facts.customer.orders_placed : undefined;
    cart.actual = placed === undefined ? 0 : placed + 1;
    cart.wanted = wanted;
    return placed !== undefined && placed + 1 === wanted;
  }],
  ['min_items_total', (cart, wanted) => atLeast(cart, cart.ledger.running, wanted)],
  ['max_items_total', (cart, wanted) => {
    cart.actual = cart.ledger.running;
    cart.wanted = wanted;
    return cart.actual <= wanted;
  }],
  ['min_quantity', (cart, wanted) => atLeast(cart, units(cart.ledger.lines), wanted)],
  ['min_line_quantity', (cart, wanted) => atLeast(cart, cart.ledger.lines.reduce((m, l) => Math.max(m, l.quantity), 0), wanted)],
  ['contains_skus_any', (cart, wanted) => atLeast(cart, cart.ledger.select({ skus_any: wanted }).length, 1)],
  ['contains_categories_any', (cart, wanted) => atLeast(cart, cart.ledger.select({ categories_any: wanted }).length, 1)],
  ['sku_quantity', (cart, wanted) => atLeast(cart, units(cart.ledger.select({ skus_any: wanted.skus })), wanted.min)],
  ['category_quantity', (cart, wanted) =>
    atLeast(cart, units(cart.ledger.select({ categories_any: [wanted.category] })), wanted.min)],
  ['category_items_total', (cart, wanted) =>
    atLeast(cart, cart.ledger.total(cart.ledger.select({ categories_any: [wanted.category] })), wanted.min)],
];

function compileConditions(conditions) {
  const list = [];
  if (conditions) {
    for (const [name, test] of CONDITIONS) {
      if (conditions[name] !== undefined && conditions[name] !== null) list.push({ name, test, wanted: conditions[name] });
    }
  }
  return list;
}

// ---- actions -----------------------------------------------------------------------------------------------------------

function cap(action) { return action.max_quantity === undefined ? Infinity : action.max_quantity; }

function acrossShipments(cart, amount, shipments) {
  const left = shipments.map((s) => s.fee - s.discount);
  const total = left.reduce((a, b) => a + b, 0);
  if (total === 0) return;
  allocate(Math.min(amount, total), left).forEach((part, k) => cart.ledger.feeOff(shipments[k], part));
}

const ACTIONS = {
  catalog_percent: { stage: 'catalog', value: 'percent', apply: ({ ledger }, part, lines) => {
    for (const line of lines) ledger.setUnit(line, ratio(line.unit, PERCENT_ALL - part.value, PERCENT_ALL));
  } },
  catalog_fixed: { stage: 'catalog', value: 'amount', apply: ({ ledger }, part, lines) => {
    for (const line of lines) ledger.setUnit(line, line.unit - part.value);
  } },
  item_percent: { stage: 'item', value: 'percent', apply: ({ ledger }, part, lines) => {
    for (const line of lines) ledger.giveUnits(line, 0, Math.min(cap(part.action), line.quantity), line.percent(part.value));
  } },
  item_fixed: { stage: 'item', value: 'amount', apply: ({ ledger }, part, lines) => {
    for (const line of lines) ledger.giveUnits(line, 0, Math.min(cap(part.action), line.quantity), part.value);
  } },
  line_fixed: { stage: 'item', value: 'amount', apply: ({ ledger }, part, lines) => {
    for (const line of lines) ledger.giveLine(line, part.value);
  } },
  buy_x_get_y: { stage: 'item', value: 'percent', apply: ({ ledger }, part, lines) => {
    const { action } = part, bought = ledger.select(action.buy_filters), times = action.times === undefined ? 1 : action.times;
    ledger.pool();
    for (let done = 0; times === null || done < times; done++) {
      if (action.buy_quantity > 0 && !ledger.take(bought, action.buy_quantity, 'dearest')) return;
      if (!ledger.take(lines, action.get_quantity, action.pick || 'dearest')) return;
      ledger.givePercent(part.value);
    }
  } },
  order_percent: { stage: 'order', value: 'percent', apply: ({ ledger }, part, lines) => {
    const base = ledger.total(lines, cap(part.action));
    ledger.order(lines, ratio(base, part.value, PERCENT_ALL), cap(part.action));
  } },
  order_fixed: { stage: 'order', value: 'amount', apply: ({ ledger }, part, lines) => {
    ledger.order(lines, Math.min(part.value, ledger.total(lines, cap(part.action))), cap(part.action));
  } },
  order_price: { stage: 'order', value: 'amount', apply: ({ ledger }, part, lines) => {
    ledger.order(lines, Math.max(0, ledger.total(lines, cap(part.action)) - part.value), cap(part.action));
  } },
  free_shipping: { stage: 'shipping', value: 'none', apply: ({ ledger }, part, shipments) => {
    for (const s of shipments) ledger.feeOff(s, s.fee - s.discount);
  } },
  shipping_percent: { stage: 'shipping', value: 'percent', apply: ({ ledger }, part, shipments) => {
    for (const s of shipments) ledger.feeOff(s, ratio(s.fee - s.discount, part.value, PERCENT_ALL));
  } },
  shipping_fixed: { stage: 'shipping', value: 'amount', apply: (cart, part, shipments) => {
    if (part.action.allocation === 'across') return acrossShipments(cart, part.value, shipments);
    for (const s of shipments) cart.ledger.feeOff(s, part.value);
  } },
};

function compileAction(definition, action, path) {
  const kind = ACTIONS[action.type];
  if (!kind) refuse(`${path}.type: there is no action type '${action.type}'`);
  if (definition.level && (definition.level === 'catalog') !== (kind.stage === 'catalog')) {
    refuse(`${path}.type: '${action.type}' does not belong to level '${definition.level}'`);
  }
  if (action.type === 'buy_x_get_y' && (action.buy_quantity === undefined || action.get_quantity === undefined)) {
    refuse(path + ': buy_quantity and get_quantity are needed');
  }
  let value = 0;
  if (kind.value === 'percent') value = percentOf(action.value, path + '.value');
  if (kind.value === 'amount') {
    value = action.value;
    if (!Number.isSafeInteger(value) || value < 0) refuse(path + '.value: an amount in minor units from 0 is expected');
  }
  return { kind, action, value };
}

// ---- promotions --------------------------------------------------------------------------------------------------------

function time(text, path) {
  if (text === undefined || text === null) return undefined;
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) refuse(path + ': is not a time of RFC 3339');
  return ms;
}

function compile(definition, index) {
  const path = `promotions[${index + 1}]`, stages = { catalog: null, item: null, order: null, shipping: null };
  definition.actions.forEach((action, i) => {
    const part = compileAction(definition, action, `${path}.actions[${i + 1}]`);
    (stages[part.kind.stage] = stages[part.kind.stage] || []).push(part);
  });
  return {
    id: definition.id || 'promotion ' + (index + 1), index, priority: definition.priority || 0, definition, stages,
    exclusive: definition.exclusive === true, usage: definition.usage || {}, budget: definition.budget,
    conditions: compileConditions(definition.conditions), from: time(definition.starts_at, path + '.starts_at'),
    to: time(definition.ends_at, path + '.ends_at'),
  };
}

function barredBecause(cart, promotion) {
  const { definition, usage, budget } = promotion;
  if (definition.enabled === false) return ['not_eligible', 'enabled', 'false', 'true'];
  if (definition.currency && definition.currency !== cart.facts.currency) {
    return ['not_eligible', 'currency', cart.facts.currency, definition.currency];
  }
  if (definition.coupon && !cart.codes.includes(definition.coupon)) return ['no_coupon', 'coupon', 'none', 'entered'];
  if (promotion.from !== undefined && cart.now < promotion.from) return ['not_started', 'period', 'not_started', 'running'];
  if (promotion.to !== undefined && cart.now > promotion.to) return ['expired', 'period', 'expired', 'running'];
  if (usage.limit !== undefined && (usage.used || 0) >= usage.limit) return ['used_up', 'usage', usage.used, usage.limit];
  if (usage.limit_per_customer !== undefined && (usage.used_by_customer || 0) >= usage.limit_per_customer) {
    return ['used_up_for_customer', 'usage_by_customer', usage.used_by_customer, usage.limit_per_customer];
  }
  if (budget && budget.type === 'usage' && (budget.used || 0) >= budget.limit) {
    return ['budget_spent', 'budget', budget.used, budget.limit];
  }
  const blocked = cart.blocked.get(promotion);
  return blocked === undefined ? null : ['budget_spent', 'budget', blocked, budget.limit];
}

function holds(cart, promotion, stage) {
  for (const condition of promotion.conditions) {
    if (!condition.test(cart, condition.wanted)) {
      if (stage) cart.ledger.passed(promotion.id, stage, 'not_applied', condition.name, cart.actual, cart.wanted);
      return false;
    }
  }
  return true;
}

function targets(cart, promotion, part, stage) {
  if (stage === 'shipping') {
    const any = part.action.filters && part.action.filters.methods_any;
    return any ? cart.ledger.shipments.filter((s) => any.includes(s.method)) : cart.ledger.shipments;
  }
  const lines = cart.ledger.select(part.action.filters);
  if (promotion.definition.applies_to_discounted !== false) return lines;
  return lines.filter((line) => line.unit === line.list);
}

// True if the promotion went past its budget: the cart is priced anew without it.
function runStage(cart, promotion, stage, free) {
  cart.ledger.open(promotion.id, stage);
  for (const part of promotion.stages[stage]) {
    let on = targets(cart, promotion, part, stage);
    if (free) on = free(part, on);
    part.kind.apply(cart, part, on);
  }
  cart.held.add(promotion);
  const given = cart.ledger.close(), spent = (cart.spent.get(promotion) || 0) + given, { budget } = promotion;
  cart.spent.set(promotion, spent);
  if (!budget || budget.type === 'usage' || given === 0 || (budget.used || 0) + spent <= budget.limit) return false;
  cart.blocked.set(promotion, (budget.used || 0) + spent);
  return true;
}

function catalogue(cart, live) {
  const rules = live.filter((p) => p.stages.catalog), owned = new Set();
  for (const exclusive of [true, false]) {
    for (const promotion of rules) {
      if (promotion.exclusive !== exclusive || !holds(cart, promotion, 'catalog')) continue;
      const seen = new Map(), taken = [];
      const free = (part, on) => {
        const key = part.action.type + ' ' + part.action.value, same = seen.get(key) || new Set();
        const lines = on.filter((line) => !owned.has(line) && !same.has(line));
        for (const line of lines) same.add(line);
        seen.set(key, same);
        taken.push(...lines);
        return lines;
      };
      if (runStage(cart, promotion, 'catalog', free)) return true;
      if (exclusive) for (const line of taken) owned.add(line);
    }
  }
  return false;
}

function ofCart(promotion) { return promotion.stages.item || promotion.stages.order || promotion.stages.shipping; }

function settleExclusive(cart, live) {
  const winner = live.find((p) => p.exclusive && ofCart(p) && holds(cart, p, null));
  if (!winner) return live;
  for (const promotion of live) {
    if (promotion === winner || !ofCart(promotion)) continue;
    cart.lost.add(promotion);
    cart.ledger.passed(promotion.id, undefined, 'lost', 'exclusive', undefined, undefined, winner.id);
  }
  return [winner];
}

function apply(cart, list) {
  const live = [];
  for (const promotion of list) {
    const why = barredBecause(cart, promotion);
    if (why) {
      cart.barred.set(promotion, why[0]);
      cart.ledger.passed(promotion.id, undefined, 'not_applied', why[1], why[2], why[3]);
    } else {
      live.push(promotion);
    }
  }
  if (catalogue(cart, live)) return true;
  const running = settleExclusive(cart, live);
  for (const stage of CART_STAGES) {
    for (const promotion of running) {
      if (promotion.stages[stage] && holds(cart, promotion, stage) && runStage(cart, promotion, stage)) return true;
    }
  }
  return false;
}

function verdict(cart, promotion) {
  if (cart.barred.has(promotion)) return cart.barred.get(promotion);
  if (cart.lost.has(promotion)) return 'replaced_by_exclusive';
  return cart.held.has(promotion) ? null : 'not_eligible';
}

function reportCoupons(cart, list) {
  for (const code of new Set(cart.codes)) {
    let reason = 'unknown', accepted = false;
    for (const promotion of list) {
      if (promotion.definition.coupon !== code || accepted) continue;
      reason = verdict(cart, promotion);
      accepted = reason === null;
    }
    cart.ledger.coupons.push(accepted ? { code, accepted } : { code, accepted, reason });
  }
}

// ---- taxes -------------------------------------------------------------------------------------------------------------

function ratesOf(facts, now) {
  const zone = facts.zone || (facts.settings && facts.settings.default_zone), best = new Map();
  (facts.tax_rates || []).forEach((rate, i) => {
    const path = `tax_rates[${i + 1}]`, percent = percentOf(rate.percent, path + '.percent');
    const from = time(rate.from, path + '.from'), to = time(rate.to, path + '.to');
    if (rate.zone && rate.zone !== zone) return;
    if ((from !== undefined && now < from) || (to !== undefined && now > to)) return;
    const since = from === undefined ? -Infinity : from, old = best.get(rate.category);
    if (!old || since > old.since) best.set(rate.category, { percent, included: rate.included === true, zone: rate.zone, since });
  });
  return best;
}

// The decision for checked facts; throws an error with code "facts_invalid" for what the schema cannot see.
function price(facts) {
  const now = time(facts.now, 'now'), blocked = new Map();
  facts.lines.forEach((line, i) => {
    if (line.unit_price === undefined) refuse(`lines[${i + 1}].unit_price: there is no price of '${line.sku}'`);
  });
  const list = facts.promotions.map(compile);
  list.sort((a, b) => b.priority - a.priority || a.index - b.index);
  let cart;
  do {
    cart = { facts, now, blocked, ledger: new Ledger(facts), codes: facts.coupons || [], barred: new Map(), lost: new Set(),
      held: new Set(), spent: new Map(), actual: undefined, wanted: undefined };
  } while (apply(cart, list));
  reportCoupons(cart, list);
  let balance = 0;
  for (const card of facts.gift_cards || []) balance += card.balance;
  return cart.ledger.finish(ratesOf(facts, now), (facts.settings && facts.settings.tax_rounding) || 'line', balance);
}

module.exports = { price };
