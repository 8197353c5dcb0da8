/* amount.h: exact arithmetic on amounts of money, shared by fastr.money and the ledger of a price.
 *
 * An amount is an integer in minor units within +-(2^53 - 1). Products are taken in 128 bits. The one rounding is half
 * up, away from zero. A percentage is a number of ten-thousandths of a percent: 10.5 % is 105000. Functions that can
 * leave the range return false and leave `out` alone. */
#ifndef FASTR_AMOUNT_H
#define FASTR_AMOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMOUNT_MAX INT64_C(9007199254740991)
#define PERCENT_ONE INT64_C(10000)           /* one percent */
#define PERCENT_ALL (100 * PERCENT_ONE)      /* a hundred percent */

bool amount_add(int64_t a, int64_t b, int64_t *out);
bool amount_multiply(int64_t a, int64_t b, int64_t *out);
/* round(value * percent / 100) */
bool amount_percent(int64_t value, int64_t percent, int64_t *out);
/* round(value * (100 - percent) / 100): what is left after the percentage */
bool amount_after_percent(int64_t value, int64_t percent, int64_t *out);
/* round(gross / (1 + percent / 100)) */
bool amount_net(int64_t gross, int64_t percent, int64_t *out);
/* Parts of `amount` in proportion to `weights` (none negative): floors, then one more to the largest remainders, earlier
 * first on ties. All weights zero: equal parts. Mirrors for a negative amount. count > 0. False: the weights overflow. */
bool amount_allocate(int64_t amount, const int64_t *weights, size_t count, int64_t *parts);
/* "10", "10.5", "-3.1250" as a percentage; false if malformed or with more than 4 places. */
bool percent_parse(const char *text, size_t length, int64_t *out);
/* A double as a percentage: exact to 4 places or refused. */
bool percent_from_number(double number, int64_t *out);

#endif
