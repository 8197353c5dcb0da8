/* money.c: fastr.money, exact arithmetic on amounts in minor units of a currency. Pure: rules have it too.
 *
 * Bare amounts are integers (rules price one currency at a time); money.of(amount, currency) makes a checked value whose
 * operators refuse another currency. A float, a NaN, a sum past 2^53 - 1, an unknown currency raise with the place. */
#include "bindings/money.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bindings/amount.h"
#include "runtime/fastr.h"
#include "runtime/sandbox.h"

#define VALUE "fastr.money"

struct value {
    int64_t amount;
    char currency[4];
};

/* ---- currencies ------------------------------------------------------------------------------------------------ */

/* ISO 4217: all that are in use, and those that went in the last years: orders may hold them. One table for all of fastr. */
static const char *const exponents[] = {
    /* 0 */ " BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF ",
    /* 1 */ " ",
    /* 2 */
    " AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF "
    "CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK "
    "MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE "
    "SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR "
    "ZMW ZWG ZWL ",
    /* 3 */ " BHD IQD JOD KWD LYD OMR TND ",
    /* 4 */ " CLF UYW ",
};

int fastr_currency_exponent(const char *code) {
    char word[6];
    if (strlen(code) != 3 || strchr(code, ' '))
        return -1;
    snprintf(word, sizeof word, " %s ", code);
    for (int places = 0; places < (int)(sizeof exponents / sizeof *exponents); places++)
        if (strstr(exponents[places], word))
            return places;
    return -1;
}

static int check_currency(lua_State *L, int index, const char **code) {
    *code = luaL_checkstring(L, index);
    int places = fastr_currency_exponent(*code);
    if (places < 0)
        luaL_error(L, "'%s' is not a currency of ISO 4217 with a minor unit (such as \"GBP\")", *code);
    return places;
}

/* ---- arguments ------------------------------------------------------------------------------------------------- */

int64_t fastr_check_amount(lua_State *L, int index) {
    if (lua_type(L, index) != LUA_TNUMBER)
        luaL_error(L, "an amount is an integer in minor units, not a %s (argument %d)", luaL_typename(L, index), index);
    double number = lua_tonumber(L, index);
    if (!(fabs(number) <= (double)AMOUNT_MAX))
        luaL_error(L, "an amount is within 2^53 - 1, not %f (argument %d)", number, index);
    if (number != floor(number))
        luaL_error(L, "an amount is an integer in minor units, not %f (argument %d)", number, index);
    return (int64_t)number;
}

/* The decimal at `index`, a number or text; false if it is none, or has more than 4 places. */
static bool read_percent(lua_State *L, int index, int64_t *percent) {
    size_t length = 0;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &length) : NULL;
    if (text)
        return percent_parse(text, length, percent);
    return lua_type(L, index) == LUA_TNUMBER && percent_from_number(lua_tonumber(L, index), percent);
}

int64_t fastr_check_percent(lua_State *L, int index, int64_t most) {
    int64_t percent = 0;
    if (!read_percent(L, index, &percent))
        luaL_error(L, "a percentage is a decimal with up to 4 places, not '%s' (argument %d)",
                   lua_type(L, index) == LUA_TSTRING   ? lua_tostring(L, index)
                   : lua_type(L, index) == LUA_TNUMBER ? lua_pushfstring(L, "%f", lua_tonumber(L, index))
                                                       : luaL_typename(L, index), index);
    if (percent < 0 || percent > most)
        luaL_error(L, "a percentage is from 0 to %d here (argument %d)", (int)(most / PERCENT_ONE), index);
    return percent;
}

static int push_amount(lua_State *L, bool good, int64_t amount) {
    if (!good)
        return luaL_error(L, "the amount goes past 2^53 - 1");
    lua_pushnumber(L, (double)amount);
    return 1;
}

/* ---- bare amounts ---------------------------------------------------------------------------------------------- */

/* money.check(amount) -> amount; raises unless it is one. */
static int l_check(lua_State *L) {
    return push_amount(L, true, fastr_check_amount(L, 1));
}

/* money.is_amount(value) -> whether it is an integer within 2^53 - 1 */
static int l_is_amount(lua_State *L) {
    double number = lua_type(L, 1) == LUA_TNUMBER ? lua_tonumber(L, 1) : HUGE_VAL;
    lua_pushboolean(L, fabs(number) <= (double)AMOUNT_MAX && number == floor(number));
    return 1;
}

/* money.is_percent(value) -> whether it is a percentage from 0 to 100, a number or text with up to 4 places */
static int l_is_percent(lua_State *L) {
    int64_t percent;
    lua_pushboolean(L, read_percent(L, 1, &percent) && percent >= 0 && percent <= PERCENT_ALL);
    return 1;
}

/* The sum of two amounts, the second with this sign. */
static int push_sum(lua_State *L, int sign) {
    int64_t sum = 0;
    bool good = amount_add(fastr_check_amount(L, 1), sign * fastr_check_amount(L, 2), &sum);
    return push_amount(L, good, sum);
}

/* money.add(a, b) -> a + b. Raises past 2^53 - 1, as all here. */
static int l_add(lua_State *L) {
    return push_sum(L, 1);
}

/* money.subtract(a, b) -> a - b */
static int l_subtract(lua_State *L) {
    return push_sum(L, -1);
}

/* money.multiply(amount, times) -> amount x times, times an integer */
static int l_multiply(lua_State *L) {
    int64_t product = 0;
    bool good = amount_multiply(fastr_check_amount(L, 1), fastr_check_amount(L, 2), &product);
    return push_amount(L, good, product);
}

/* What `of` makes of an amount and a percentage from 0 to `most`. */
static int push_percentage(lua_State *L, bool (*of)(int64_t value, int64_t percent, int64_t *out), int64_t most) {
    int64_t result = 0;
    bool good = of(fastr_check_amount(L, 1), fastr_check_percent(L, 2, most), &result);
    return push_amount(L, good, result);
}

/* money.percent(amount, percent) -> round(amount x percent / 100); percent from 0 to 1000, a number or text */
static int l_percent(lua_State *L) {
    return push_percentage(L, amount_percent, 10 * PERCENT_ALL);
}

/* money.less_percent(amount, percent) -> round(amount x (100 - percent) / 100); percent from 0 to 100 */
static int l_less_percent(lua_State *L) {
    return push_percentage(L, amount_after_percent, PERCENT_ALL);
}

/* money.net(gross, percent) -> round(gross / (1 + percent / 100)): a price without the tax it contains */
static int l_net(lua_State *L) {
    return push_percentage(L, amount_net, 10 * PERCENT_ALL);
}

static int push_parts(lua_State *L, int64_t amount, const int64_t *weights, size_t count) {
    int64_t *parts = lua_newuserdata(L, count * sizeof *parts);
    if (!amount_allocate(amount, weights, count, parts))
        return luaL_error(L, "the weights go past 2^63 in sum");
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushnumber(L, (double)parts[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

/* money.allocate(amount, weights) -> list of parts, one per weight, whose sum is the amount: largest remainder, earlier
 * first on ties; weights are not negative; all zero: equal parts. Raises for no weights. */
static int l_allocate(lua_State *L) {
    int64_t amount = fastr_check_amount(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t count = lua_objlen(L, 2);
    if (count == 0 || count > 1000000)
        return luaL_error(L, "an amount is allocated over 1 to 1,000,000 weights, not %d", (int)count);
    int64_t *weights = lua_newuserdata(L, count * sizeof *weights);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, 2, (int)i + 1);
        weights[i] = fastr_check_amount(L, -1);
        if (weights[i] < 0)
            return luaL_error(L, "weight %d is negative", (int)i + 1);
        lua_pop(L, 1);
    }
    return push_parts(L, amount, weights, count);
}

/* money.split(amount, n) -> list of n parts as equal as can be, the larger first; n from 1 to 1,000,000 */
static int l_split(lua_State *L) {
    int64_t amount = fastr_check_amount(L, 1), count = fastr_check_amount(L, 2);
    if (count < 1 || count > 1000000)
        return luaL_error(L, "an amount is split into 1 to 1,000,000 parts");
    int64_t *weights = lua_newuserdata(L, (size_t)count * sizeof *weights);
    memset(weights, 0, (size_t)count * sizeof *weights);
    return push_parts(L, amount, weights, (size_t)count);
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* money.exponent(currency) -> its number of decimals; raises for an unknown currency */
static int l_exponent(lua_State *L) {
    const char *code;
    lua_pushinteger(L, check_currency(L, 1, &code));
    return 1;
}

/* Decimal text with any number of places as an amount with `places`, rounded half up. False: malformed or too large. */
static bool parse_decimal(const char *text, int places, int64_t *out) {
    bool negative = *text == '-', up = false;
    int seen = -1, digits = 0;
    int64_t value = 0;
    for (text += negative; *text; text++) {
        if (*text == '.' && seen < 0 && digits > 0) {
            seen = 0;
            continue;
        }
        if (*text < '0' || *text > '9')
            return false;
        digits++;
        seen += seen >= 0;
        if (seen > places + 1)
            continue;
        if (seen == places + 1)
            up = *text >= '5';
        else if (!amount_multiply(value, 10, &value) || !amount_add(value, *text - '0', &value))
            return false;
    }
    if (digits == 0 || seen == 0)
        return false;
    for (int place = seen < 0 ? 0 : seen; place < places; place++)
        if (!amount_multiply(value, 10, &value))
            return false;
    if (up && !amount_add(value, 1, &value))
        return false;
    *out = negative ? -value : value;
    return true;
}

/* money.parse(text, currency) -> amount; too many places are rounded half up ("9.999", "USD" -> 1000).
 * Returns nil, message, "invalid" for text that is no decimal number or too large; raises for an unknown currency. */
static int l_parse(lua_State *L) {
    const char *text = luaL_checkstring(L, 1), *code;
    int places = check_currency(L, 2, &code);
    int64_t amount = 0;
    fastr_sandbox_charge(L, (int64_t)lua_objlen(L, 1) / 64);
    if (strlen(text) != lua_objlen(L, 1) || !parse_decimal(text, places, &amount))
        return fastr_push_error(L, "invalid", "'%.100s' is not an amount of %s (such as \"12.34\")", text, code);
    return push_amount(L, true, amount);
}

static void push_decimal(lua_State *L, int64_t amount, int places) {
    char digits[32], text[40];
    int length = snprintf(digits, sizeof digits, "%0*lld", places + 1, (long long)(amount < 0 ? -amount : amount));
    snprintf(text, sizeof text, "%s%.*s%s%s", amount < 0 ? "-" : "", length - places, digits, places ? "." : "",
             digits + length - places);
    lua_pushstring(L, text);
}

/* money.format(amount, currency) -> "12.34": a point, no grouping, the currency's decimals */
static int l_format(lua_State *L) {
    const char *code;
    int places = check_currency(L, 2, &code);
    push_decimal(L, fastr_check_amount(L, 1), places);
    return 1;
}

/* ---- checked values -------------------------------------------------------------------------------------------- */

static int push_value(lua_State *L, bool good, int64_t amount, const char *currency) {
    if (!good)
        return luaL_error(L, "the amount goes past 2^53 - 1");
    struct value *value = lua_newuserdata(L, sizeof *value);
    value->amount = amount;
    snprintf(value->currency, sizeof value->currency, "%s", currency);
    luaL_getmetatable(L, VALUE);
    lua_setmetatable(L, -2);
    return 1;
}

/* Is the value at `index` one that money.of made? Without luaL_checkudata, whose message would speak of userdata. */
static struct value *check_value(lua_State *L, int index) {
    struct value *value = luaL_testudata(L, index, VALUE);
    if (!value)
        luaL_error(L, "money goes with money here, not with a %s", luaL_typename(L, index));
    return value;
}

static void check_pair(lua_State *L, struct value **a, struct value **b) {
    *a = check_value(L, 1);
    *b = check_value(L, 2);
    if (strcmp((*a)->currency, (*b)->currency) != 0)
        luaL_error(L, "%s does not mix with %s", (*a)->currency, (*b)->currency);
}

/* money.of(amount, currency) -> value with .amount, .currency; + - with its like, * with an integer, == < <=, unary -,
 * :percent(p), :allocate(weights). Another currency, a float and an overflow raise. */
static int l_of(lua_State *L) {
    const char *code;
    check_currency(L, 2, &code);
    return push_value(L, true, fastr_check_amount(L, 1), code);
}

static int push_value_sum(lua_State *L, int sign) {
    struct value *a, *b;
    int64_t sum = 0;
    check_pair(L, &a, &b);
    bool good = amount_add(a->amount, sign * b->amount, &sum);
    return push_value(L, good, sum, a->currency);
}

static int value_add(lua_State *L) {
    return push_value_sum(L, 1);
}

static int value_subtract(lua_State *L) {
    return push_value_sum(L, -1);
}

static int value_multiply(lua_State *L) {
    int at = lua_type(L, 1) == LUA_TUSERDATA ? 1 : 2;
    struct value *value = check_value(L, at);
    int64_t product = 0;
    bool good = amount_multiply(value->amount, fastr_check_amount(L, 3 - at), &product);
    return push_value(L, good, product, value->currency);
}

/* A quotient would lose pennies. */
static int value_divide(lua_State *L) {
    return luaL_error(L, "an amount is divided by :allocate(weights), so that no penny is lost");
}

static int value_negate(lua_State *L) {
    struct value *value = check_value(L, 1);
    return push_value(L, true, -value->amount, value->currency);
}

static int value_equal(lua_State *L) {
    struct value *a = check_value(L, 1), *b = check_value(L, 2);
    lua_pushboolean(L, a->amount == b->amount && strcmp(a->currency, b->currency) == 0);
    return 1;
}

static int value_less(lua_State *L) {
    struct value *a, *b;
    check_pair(L, &a, &b);
    lua_pushboolean(L, a->amount < b->amount);
    return 1;
}

static int value_at_most(lua_State *L) {
    struct value *a, *b;
    check_pair(L, &a, &b);
    lua_pushboolean(L, a->amount <= b->amount);
    return 1;
}

static int value_text(lua_State *L) {
    struct value *value = check_value(L, 1);
    push_decimal(L, value->amount, fastr_currency_exponent(value->currency));
    lua_pushfstring(L, "%s %s", lua_tostring(L, -1), value->currency);
    return 1;
}

static int value_percent(lua_State *L) {
    struct value *value = check_value(L, 1);
    int64_t part = 0;
    bool good = amount_percent(value->amount, fastr_check_percent(L, 2, 10 * PERCENT_ALL), &part);
    return push_value(L, good, part, value->currency);
}

static int value_allocate(lua_State *L) {
    struct value *value = check_value(L, 1);
    char currency[4];
    snprintf(currency, sizeof currency, "%s", value->currency);
    lua_pushnumber(L, (double)value->amount);
    lua_replace(L, 1);
    l_allocate(L);
    for (int i = 1, count = (int)lua_objlen(L, -1); i <= count; i++) {
        lua_rawgeti(L, -1, i);
        push_value(L, true, (int64_t)lua_tonumber(L, -1), currency);
        lua_rawseti(L, -3, i);
        lua_pop(L, 1);
    }
    return 1;
}

static const luaL_Reg value_methods[] = {{"percent", value_percent}, {"allocate", value_allocate}, {NULL, NULL}};

static int value_index(lua_State *L) {
    struct value *value = check_value(L, 1);
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "amount") == 0)
        lua_pushnumber(L, (double)value->amount);
    else if (strcmp(key, "currency") == 0)
        lua_pushstring(L, value->currency);
    else
        lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static const luaL_Reg value_operators[] = {
    {"__add", value_add}, {"__sub", value_subtract}, {"__mul", value_multiply}, {"__unm", value_negate},
    {"__eq", value_equal}, {"__lt", value_less},     {"__le", value_at_most},   {"__tostring", value_text},
    {"__div", value_divide}, {"__mod", value_divide}, {NULL, NULL},
};

static void make_value_type(lua_State *L) {
    if (luaL_newmetatable(L, VALUE)) {
        luaL_register(L, NULL, value_operators);
        lua_newtable(L);
        luaL_register(L, NULL, value_methods);
        lua_pushcclosure(L, value_index, 1);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
}

static const luaL_Reg functions[] = {
    {"check", l_check},       {"add", l_add},           {"subtract", l_subtract}, {"multiply", l_multiply},
    {"percent", l_percent},   {"net", l_net},           {"split", l_split},       {"less_percent", l_less_percent},
    {"allocate", l_allocate}, {"exponent", l_exponent}, {"parse", l_parse},       {"format", l_format},
    {"of", l_of},             {"is_amount", l_is_amount}, {"is_percent", l_is_percent}, {NULL, NULL},
};

static int open_money(lua_State *L) {
    make_value_type(L);
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_pushnumber(L, (double)AMOUNT_MAX);
    lua_setfield(L, -2, "max");
    fastr_ledger_open(L);
    return 1;
}

const struct fastr_binding fastr_binding_money = {.name = "money", .open = open_money, .pure = true};
