/* ledger.h: the account of one price, as the files of the ledger share it; private to bindings/ledger*.c.
 *
 *   ledger.c        what rules see: it is opened, reduced, taxed and finished; the only place where an amount changes
 *   ledger_write.c  the decision that came of it, as a table or as JSON
 */
#ifndef FASTR_LEDGER_H
#define FASTR_LEDGER_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/fastr.h"

struct text {
    const char *data;
    size_t length;
};

struct rate {
    struct text category, zone; /* no zone: of all zones */
    int64_t percent;            /* in ten-thousandths of a percent */
    bool included;
    int64_t base, tax; /* of what was taxed by it, without the tax */
};

struct run {
    int64_t count, taken; /* units, and what each of them has been reduced by (below the unit price) */
};

struct line {
    struct text sku, tax_category;
    struct text *categories;
    int category_count;
    int64_t list, unit, floor, quantity;
    int64_t total; /* running: quantity x unit less all discounts */
    int64_t item_discount, order_discount;
    struct run *runs, first;
    int run_count, run_room;
    int hint_run;    /* where the last reduction of units ended: run and the position of its first unit */
    int64_t hint_at;
    int64_t pool;   /* units that take() has not touched in this round */
    int64_t part;   /* of the open rule */
    int64_t tax;
    struct rate *rate; /* NULL: no tax */
    bool included, touched;
};

struct shipment {
    struct text method, tax_category;
    int64_t fee, discount, part, tax;
    bool included, touched;
};

/* The lines of a selection in the order in which units are taken; those before `at` have none left in this round. */
struct queue {
    int *lines;
    int at, round;
};

struct selection {
    int *lines;
    int count;
    struct queue dearest, cheapest;
};

struct entry {
    const char *rule, *stage, *outcome, *condition, *other, *unit, *of, *says;
    struct text actual_text, wanted_text;
    double actual, wanted;
    int64_t amount;
    int *places;
    int64_t *amounts;
    int count;
    bool shipping;
};

struct coupon {
    const char *code, *reason;
    bool accepted;
};

/* Units of a line: `count` from position `from`, and again every `step` units, `times` times in all. */
struct take {
    int line;
    int64_t from, count, step, times;
};

struct ledger {
    int magic;
    struct fastr_arena *arena;
    size_t held; /* of the arena, as far as it was counted towards the rules' memory */
    char currency[4];
    bool explain, full, closed;
    struct line *lines;
    int line_count;
    struct shipment *shipments;
    int shipment_count, shipment_room;
    struct selection *selections;
    int selection_count, selection_room;
    struct selection all;
    int64_t list_total, running_total, reduced; /* running = list - reduced, or the decision is refused */
    /* the open rule */
    const char *rule, *stage;
    int64_t given;
    /* what take() picked: for the round'th time all units were untouched */
    int round;
    struct take *takes;
    int take_count, take_room;
    /* outcome */
    struct entry *entries;
    int entry_count, entry_room, entries_lost;
    struct coupon *coupons;
    int coupon_count, coupon_room;
    struct rate *rates;
    int rate_count, rate_room;
    int64_t items_total, discount_total, shipping_total, shipping_discount_total;
    int64_t tax_total, tax_included_total, total, gift_card_total;
};

/* The decision, pushed on `to` as a table or, if `out` is not NULL, appended to it as JSON without its last brace; the ledger
 * (`block`) is closed by it. See fastr_sandbox_export. Returns the number of values. */
int64_t ledger_write(lua_State *to, struct fastr_buffer *out, void *block);

#endif
