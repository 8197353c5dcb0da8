/* amount.c: see amount.h. Leans on nothing but the compiler's 128-bit integers. */
#include "bindings/amount.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/fastr.h"

typedef __int128 wide;

static bool fits(wide value, int64_t *out) {
    if (value > AMOUNT_MAX || value < -(wide)AMOUNT_MAX)
        return false;
    *out = (int64_t)value;
    return true;
}

static wide divide_half_up(wide value, wide divisor) {
    return value < 0 ? -((-value * 2 + divisor) / (divisor * 2)) : (value * 2 + divisor) / (divisor * 2);
}

/* round(value * times / divisor), divisor > 0. */
static bool ratio(int64_t value, int64_t times, int64_t divisor, int64_t *out) {
    return fits(divide_half_up((wide)value * times, divisor), out);
}

bool amount_add(int64_t a, int64_t b, int64_t *out) {
    return fits((wide)a + b, out);
}

bool amount_multiply(int64_t a, int64_t b, int64_t *out) {
    return fits((wide)a * b, out);
}

bool amount_percent(int64_t value, int64_t percent, int64_t *out) {
    return ratio(value, percent, PERCENT_ALL, out);
}

bool amount_after_percent(int64_t value, int64_t percent, int64_t *out) {
    return ratio(value, PERCENT_ALL - percent, PERCENT_ALL, out);
}

bool amount_net(int64_t gross, int64_t percent, int64_t *out) {
    return ratio(gross, PERCENT_ALL, PERCENT_ALL + percent, out);
}

struct remainder {
    wide rest;
    size_t index;
};

static int larger_first(const void *left, const void *right) {
    const struct remainder *a = left, *b = right;
    if (a->rest != b->rest)
        return a->rest > b->rest ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Gives the `left` units over, one each, to the largest remainders. left < count. */
static void give_rest(struct remainder *rests, size_t count, int64_t left, int64_t *parts) {
    if (left == 0)
        return;
    qsort(rests, count, sizeof *rests, larger_first);
    for (int64_t i = 0; i < left; i++)
        parts[rests[i].index]++;
}

bool amount_allocate(int64_t amount, const int64_t *weights, size_t count, int64_t *parts) {
    wide sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += weights[i];
    if (sum > INT64_MAX)
        return false;
    bool equal = sum == 0, negative = amount < 0;
    if (equal)
        sum = (wide)count;
    struct remainder small[64], *rests = count <= 64 ? small : fastr_alloc(count * sizeof *rests);
    int64_t size = negative ? -amount : amount, left = size;
    for (size_t i = 0; i < count; i++) {
        wide product = (wide)size * (equal ? 1 : weights[i]);
        parts[i] = (int64_t)(product / sum);
        rests[i] = (struct remainder){product % sum, i};
        left -= parts[i];
    }
    give_rest(rests, count, left, parts);
    for (size_t i = 0; negative && i < count; i++)
        parts[i] = -parts[i];
    if (rests != small)
        free(rests);
    return true;
}

bool percent_parse(const char *text, size_t length, int64_t *out) {
    size_t i = 0;
    bool negative = length > 0 && text[0] == '-';
    int64_t value = 0;
    int digits = 0, places = -1;
    for (i = negative; i < length; i++) {
        if (text[i] == '.' && places < 0 && digits > 0) {
            places = 0;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || digits == 12 || places == 4)
            return false;
        value = value * 10 + (text[i] - '0');
        digits++;
        places += places >= 0;
    }
    if (digits == 0 || places == 0)
        return false;
    for (int place = places < 0 ? 0 : places; place < 4; place++)
        value *= 10;
    *out = negative ? -value : value;
    return true;
}

bool percent_from_number(double number, int64_t *out) {
    double scaled = number * (double)PERCENT_ONE, whole = nearbyint(scaled);
    if (!(fabs(whole) <= 1e12) || whole / (double)PERCENT_ONE != number)
        return false;
    *out = (int64_t)whole;
    return true;
}
