/* money.h: what fastr.money shares with the ledger that is opened through it. */
#ifndef FASTR_MONEY_H
#define FASTR_MONEY_H

#include <lua.h>
#include <stdint.h>

/* The number of decimals of an ISO 4217 currency, 0 to 4; -1 for a code that has no minor unit or is unknown. */
int fastr_currency_exponent(const char *code);
/* The argument as an amount: an integral number within +-(2^53 - 1); else raises with the place. */
int64_t fastr_check_amount(lua_State *L, int index);
/* The argument as a percentage from 0 to `most` (in ten-thousandths of a percent): a number or a text such as "10.5". */
int64_t fastr_check_percent(lua_State *L, int index, int64_t most);
/* Adds `ledger` to the table on the top. */
void fastr_ledger_open(lua_State *L);

#endif
