// money: exact arithmetic in minor units. Doubles hold integers to 2^53 - 1; products beyond go through BigInt.
'use strict';

const PERCENT_ONE = 10000; // percentages have up to four places
const PERCENT_ALL = 100 * PERCENT_ONE;
const MAX = Number.MAX_SAFE_INTEGER;

function refuse(text) {
  throw Object.assign(new Error(text), { code: 'facts_invalid' });
}

// round(value * times / divisor), half up; nothing here is negative
function ratio(value, times, divisor) {
  const twice = 2 * value * times + divisor;
  if (twice <= MAX) return Math.floor(twice / (2 * divisor));
  const exact = (2n * BigInt(value) * BigInt(times) + BigInt(divisor)) / (2n * BigInt(divisor));
  if (exact > BigInt(MAX)) refuse('the amount goes past 2^53 - 1');
  return Number(exact);
}

function percentOf(number, path) {
  const whole = typeof number === 'number' ? Math.round(number * PERCENT_ONE) : NaN;
  if (!(whole >= 0 && whole <= PERCENT_ALL) || whole / PERCENT_ONE !== number) {
    refuse(path + ': a percentage from 0 to 100 with up to 4 places is expected');
  }
  return whole;
}

// Shares of `amount` in proportion to `weights`: the largest remainders get the rest, the earlier one on ties.
function allocate(amount, weights) {
  const count = weights.length, parts = new Array(count), rests = new Array(count);
  let sum = 0, left = amount;
  for (let i = 0; i < count; i++) sum += weights[i];
  const equal = sum === 0;
  if (equal) sum = count;
  for (let i = 0; i < count; i++) {
    const product = amount * (equal ? 1 : weights[i]);
    if (product <= MAX) {
      parts[i] = Math.floor(product / sum);
      rests[i] = product % sum;
    } else {
      const exact = BigInt(amount) * BigInt(equal ? 1 : weights[i]);
      parts[i] = Number(exact / BigInt(sum));
      rests[i] = Number(exact % BigInt(sum));
    }
    left -= parts[i];
  }
  if (left > 0) {
    const order = new Array(count);
    for (let i = 0; i < count; i++) order[i] = i;
    order.sort((a, b) => rests[b] - rests[a] || a - b);
    for (let i = 0; i < left; i++) parts[order[i]]++;
  }
  return parts;
}

module.exports = { PERCENT_ALL, PERCENT_ONE, allocate, percentOf, ratio, refuse };
