// schemas: what the routes take and answer, compiled both ways (ajv for bodies, fast-json-stringify for replies). The facts
// are those of fastr's scripts/rules/price/facts.lua.
'use strict';

const text = { type: 'string', minLength: 1, maxLength: 500 };
const texts = { type: 'array', maxItems: 10000, items: text };
const amount = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
const time = { type: 'string', minLength: 1, maxLength: 40 };
const percent = { type: 'number' };

const maybe = (schema) => ({ ...schema, nullable: true });
const object = (properties, ...required) => ({ type: 'object', additionalProperties: false, properties, required });
const list = (items, maxItems, minItems = 0) => ({ type: 'array', items, maxItems, minItems });

const filters = object({ skus_any: texts, categories_any: texts, methods_any: texts, min_unit_price: amount, max_unit_price: amount });

const conditions = object({
  min_items_total: amount, max_items_total: amount, min_quantity: amount, min_line_quantity: amount, contains_skus_any: texts,
  contains_categories_any: texts, sku_quantity: object({ skus: texts, min: amount }, 'skus', 'min'),
  category_quantity: object({ category: text, min: amount }, 'category', 'min'),
  category_items_total: object({ category: text, min: amount }, 'category', 'min'),
  customer_group: texts, nth_order: { ...amount, minimum: 1 },
});

const action = object({
  type: text, value: percent, filters, buy_filters: filters, max_quantity: amount, buy_quantity: amount,
  get_quantity: { ...amount, minimum: 1 }, times: maybe(amount), pick: { enum: ['dearest', 'cheapest'] },
  allocation: { enum: ['each', 'across'] },
}, 'type');

const promotion = object({
  id: text, doc: text, level: { enum: ['cart', 'catalog'] }, actions: list(action, 50, 1), conditions,
  priority: { type: 'integer' }, exclusive: { type: 'boolean' }, coupon: text, currency: text,
  usage: object({ limit: amount, used: amount, limit_per_customer: amount, used_by_customer: amount }),
  budget: object({ type: { enum: ['spend', 'usage'] }, limit: amount, used: amount }, 'limit'),
  starts_at: maybe(time), ends_at: maybe(time), enabled: { type: 'boolean' }, applies_to_discounted: { type: 'boolean' },
}, 'actions');

const rate = object({ category: text, percent, included: { type: 'boolean' }, zone: text, from: maybe(time), to: maybe(time) },
  'category', 'percent');

const line = object({
  sku: text, quantity: { type: 'integer', minimum: 1, maximum: 9999 }, unit_price: amount, categories: texts,
  tax_category: text, floor_price: amount,
}, 'sku', 'quantity');

const facts = object({
  currency: { ...text, minLength: 3, maxLength: 3 }, now: time, zone: text,
  customer: maybe(object({ id: text, group: text, orders_placed: amount })), coupons: texts, lines: list(line, 1000),
  promotions: list(promotion, 2000), tax_rates: list(rate, 2000),
  shipping: list(object({ method: text, fee: amount, tax_category: text }, 'method', 'fee'), 100),
  gift_cards: list(object({ code: text, balance: amount }, 'code', 'balance'), 100),
  settings: object({ tax_rounding: { enum: ['line', 'unit'] }, default_zone: text }),
}, 'currency', 'now', 'lines', 'promotions');

const integer = { type: 'integer' };
const string = { type: 'string' };
const integers = { type: 'array', items: integer };
const reply = (properties) => ({ type: 'object', properties });
const operand = { type: ['integer', 'string'] };

const decision = reply({
  currency: string,
  lines: { type: 'array', items: reply({
    sku: string, quantity: integer, unit_price: integer, subtotal: integer, item_discount: integer, order_discount: integer,
    total: integer, tax: integer, tax_included: integer, unit_discounts: integers }) },
  shipping: { type: 'array', items: reply({
    method: string, fee: integer, discount: integer, total: integer, tax: integer, tax_included: integer }) },
  items_total: integer, discount_total: integer, shipping_total: integer, shipping_discount_total: integer, tax_total: integer,
  tax_included_total: integer, taxes: { type: 'array', items: reply({
    category: string, percent: { type: 'number' }, included: { type: 'boolean' }, zone: string, base: integer, tax: integer }) },
  total: integer, gift_card_total: integer, due: integer,
  coupons: { type: 'array', items: reply({ code: string, accepted: { type: 'boolean' }, reason: string }) },
  trace: { type: 'array', items: reply({
    rule: string, stage: string, outcome: string, amount: integer, lines: integers, shipments: integers, amounts: integers,
    condition: string, actual: operand, wanted: operand, to: string }) },
  pack: string,
});

const product = reply({
  sku: string, name: string, description: string, categories: { type: 'array', items: string }, tax_category: string,
  price: reply({ amount: integer, currency: string }), available: integer, version: integer,
});

const params = object({ sku: { type: 'string', minLength: 1, maxLength: 64 } }, 'sku');

module.exports = { decision, facts, hello: reply({ message: string }), params, product };
