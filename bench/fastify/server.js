// server: the routes of bin/bench in fastify, written for speed: schemas compiled both ways, no logger, a prepared statement,
// pipelined Redis. Settings come from the environment: PORT, REDIS_URL, PG_URL (as libpq's), PG_CONNECTIONS, PACK, SQL.
'use strict';

const fs = require('node:fs');
const fastify = require('fastify');
const Redis = require('ioredis');
const pg = require('pg');
const { price } = require('./price');
const schemas = require('./schemas');

const { PORT, REDIS_URL, PG_URL, PG_CONNECTIONS, PACK, SQL } = process.env;

const app = fastify({
  logger: false,
  ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allowUnionTypes: true } },
});
const redis = new Redis(REDIS_URL, { enableAutoPipelining: true });
const database = new pg.Pool({ connectionString: PG_URL, max: Number(PG_CONNECTIONS) });
const statement = fs.readFileSync(SQL, 'utf8');

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

function problem(code, status, detail) {
  return Object.assign(new Error(detail), { code, statusCode: status });
}

function show(row) {
  return { sku: row.sku, name: row.name, description: row.description, categories: row.categories,
    tax_category: row.tax_category, price: { amount: row.price, currency: row.currency }, available: row.available,
    version: row.version };
}

app.get('/api/v1/bench/hello', { schema: { response: { 200: schemas.hello } } }, (request, reply) => {
  reply.send({ message: 'Hello, World!' });
});

app.get('/api/v1/bench/cached/:sku', { schema: { params: schemas.params, response: { 200: schemas.product } } },
  async (request) => {
    const text = await redis.get('bench:' + request.params.sku);
    if (text === null) throw problem('product_not_found', 404, 'There is no product ' + request.params.sku);
    return show(JSON.parse(text));
  });

app.get('/api/v1/bench/products/:sku', { schema: { params: schemas.params, response: { 200: schemas.product } } },
  async (request) => {
    const values = ['GBP', new Date().toISOString(), request.params.sku];
    const { rows } = await database.query({ name: 'product', text: statement, values });
    if (rows.length === 0) throw problem('product_not_found', 404, 'There is no product ' + request.params.sku);
    return show(rows[0]);
  });

app.post('/api/v1/pricing/quote', { schema: { body: schemas.facts, response: { 200: schemas.decision } } },
  (request, reply) => {
    let decision;
    try {
      decision = price(request.body);
    } catch (wrong) {
      throw wrong.code === 'facts_invalid' ? problem(wrong.code, 422, wrong.message) : wrong;
    }
    decision.pack = PACK;
    reply.send(decision);
  });

app.listen({ host: '127.0.0.1', port: Number(PORT) }).catch((wrong) => {
  console.error(wrong.message);
  process.exit(1);
});
