/* ledger.c: money.ledger, the account of one price. Rules give adjustments with reasons; only the ledger changes amounts.
 *
 * It holds the lines, each as runs of units that have been reduced by the same amount, and the shipments. Every reduction
 * belongs to the rule that is open, is capped by what the unit, line or shipment has left above its floor, and is summed;
 * when a rule is closed the sum of all reductions must be the difference between list prices and the running total, else
 * the decision is refused. So a rule cannot assign a price, raise one, or go below zero. It knows amounts and which lines
 * are meant; which promotion does what is written in the pack.
 *
 *   runs of a line of 5 at 100 after "2 free of 5" and 10 off each:   [3 x 10] [2 x 100]
 */
#include "bindings/ledger.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/amount.h"
#include "bindings/money.h"
#include "runtime/sandbox.h"

enum { MAGIC = 0x4c454447, LINES_MAX = 10000, UNITS_MAX = 2000000, TRACE_MAX = 256 };

/* ---- helpers --------------------------------------------------------------------------------------------------- */

/* Counts what the arena has grown by. */
static void hold(lua_State *L, struct ledger *ledger) {
    size_t size = fastr_arena_size(ledger->arena), more = size - ledger->held;
    ledger->held = size;
    if (more)
        fastr_sandbox_hold(L, more);
}

static struct ledger *check_ledger(lua_State *L) {
    struct ledger *ledger = lua_type(L, 1) == LUA_TUSERDATA ? lua_touserdata(L, 1) : NULL;
    if (!ledger || lua_objlen(L, 1) != sizeof *ledger || ledger->magic != MAGIC)
        luaL_error(L, "a ledger is expected (a call with ':')");
    if (ledger->closed)
        luaL_error(L, "the ledger is closed: its price has been decided");
    hold(L, ledger);
    return ledger;
}

static int64_t sum(lua_State *L, int64_t a, int64_t b) {
    int64_t total = 0;
    if (!amount_add(a, b, &total))
        luaL_error(L, "the amount goes past 2^53 - 1");
    return total;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Room for one more element in an arena array that doubles. */
static void *grow(struct fastr_arena *arena, void *old, int count, int *room, size_t size) {
    if (count < *room)
        return old;
    *room = *room ? *room * 2 : 8;
    void *fresh = fastr_arena_alloc(arena, (size_t)*room * size);
    if (count)
        memcpy(fresh, old, (size_t)count * size);
    return fresh;
}

static const char *keep(struct ledger *ledger, const char *data, size_t length) {
    char *copy = fastr_arena_alloc(ledger->arena, length + 1);
    memcpy(copy, data, length);
    copy[length] = '\0';
    return copy;
}

static struct text keep_text(lua_State *L, struct ledger *ledger, int index) {
    struct text text = {NULL, 0};
    const char *data = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &text.length) : NULL;
    text.data = data ? keep(ledger, data, text.length) : NULL;
    return text;
}

static bool same(struct text a, struct text b) {
    return a.length == b.length && a.data && memcmp(a.data, b.data, a.length) == 0;
}

/* What a unit of the line may cost at least. */
static int64_t floor_of(const struct line *line) {
    return least(line->floor, line->unit);
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

/* Names of a line's fields: upvalues of money.ledger after its metatable, so that they are not looked up for each line. */
enum field { SKU = 2, TAX_CATEGORY, UNIT_PRICE, FLOOR_PRICE, QUANTITY, CATEGORIES };
static const char *const field_names[] = {"sku", "tax_category", "unit_price", "floor_price", "quantity", "categories", NULL};

/* Pushes a field of the line on the top. */
static void push_field(lua_State *L, enum field field) {
    lua_pushvalue(L, lua_upvalueindex((int)field));
    lua_rawget(L, -2);
}

static int64_t field_amount(lua_State *L, enum field field, int64_t otherwise) {
    push_field(L, field);
    int64_t amount = lua_isnil(L, -1) ? otherwise : fastr_check_amount(L, -1);
    lua_pop(L, 1);
    return amount;
}

static struct text field_text(lua_State *L, struct ledger *ledger, enum field field) {
    push_field(L, field);
    struct text text = keep_text(L, ledger, -1);
    lua_pop(L, 1);
    return text;
}

static void read_categories(lua_State *L, struct ledger *ledger, struct line *line) {
    push_field(L, CATEGORIES);
    int count = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
    line->categories = count ? fastr_arena_alloc(ledger->arena, (size_t)count * sizeof *line->categories) : NULL;
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        line->categories[line->category_count++] = keep_text(L, ledger, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_line(lua_State *L, struct ledger *ledger, struct line *line) {
    line->sku = field_text(L, ledger, SKU);
    line->tax_category = field_text(L, ledger, TAX_CATEGORY);
    line->list = line->unit = field_amount(L, UNIT_PRICE, -1);
    line->floor = field_amount(L, FLOOR_PRICE, 0);
    line->quantity = field_amount(L, QUANTITY, 0);
    if (!line->sku.data || line->list < 0 || line->floor < 0 || line->quantity < 1 || line->quantity > UNITS_MAX)
        luaL_error(L, "line of '%s': sku, quantity from 1, unit_price and floor_price from 0 are needed",
                   line->sku.data ? line->sku.data : "?");
    line->first = (struct run){line->quantity, 0};
    line->runs = &line->first;
    line->run_count = line->run_room = 1;
    read_categories(L, ledger, line);
}

static void read_lines(lua_State *L, struct ledger *ledger) {
    int64_t units = 0;
    ledger->line_count = (int)lua_objlen(L, 2);
    if (ledger->line_count > LINES_MAX)
        luaL_error(L, "lines: a cart has at most %d lines", LINES_MAX);
    ledger->lines = fastr_arena_alloc(ledger->arena, ((size_t)ledger->line_count + 1) * sizeof *ledger->lines);
    memset(ledger->lines, 0, ((size_t)ledger->line_count + 1) * sizeof *ledger->lines);
    for (int i = 0; i < ledger->line_count; i++) {
        lua_rawgeti(L, 2, i + 1);
        luaL_checktype(L, -1, LUA_TTABLE);
        struct line *line = &ledger->lines[i];
        read_line(L, ledger, line);
        lua_pop(L, 1);
        units += line->quantity;
        if (!amount_multiply(line->list, line->quantity, &line->total) ||
            !amount_add(ledger->list_total, line->total, &ledger->list_total))
            luaL_error(L, "lines[%d].unit_price: times the quantity, the cart goes past 2^53 - 1", i + 1);
    }
    if (units > UNITS_MAX)
        luaL_error(L, "lines: a cart has at most %d units", UNITS_MAX);
    ledger->running_total = ledger->list_total;
    ledger->all.count = ledger->line_count;
}

static int l_gc(lua_State *L) {
    struct ledger *ledger = lua_touserdata(L, 1);
    if (ledger->arena)
        fastr_arena_free(ledger->arena);
    ledger->arena = NULL;
    ledger->closed = true;
    return 0;
}

/* money.ledger(currency, lines, explain) -> ledger. Lines: list of { sku, quantity, unit_price, floor_price,
 * tax_category, categories }; explain "none", "applied" or "full" says what the trace keeps. */
static int l_ledger(lua_State *L) {
    static const char *const levels[] = {"none", "applied", "full", NULL};
    const char *currency = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    int level = luaL_checkoption(L, 3, "none", levels);
    if (fastr_currency_exponent(currency) < 0)
        return luaL_error(L, "currency: '%s' is not a currency of ISO 4217 with a minor unit", currency);
    struct ledger *ledger = lua_newuserdata(L, sizeof *ledger);
    memset(ledger, 0, sizeof *ledger);
    ledger->magic = MAGIC;
    ledger->explain = level > 0;
    ledger->full = level > 1;
    ledger->arena = fastr_arena_new();
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_setmetatable(L, -2);
    snprintf(ledger->currency, sizeof ledger->currency, "%s", currency);
    hold(L, ledger);
    fastr_sandbox_charge(L, 10 + 10 * (int64_t)lua_objlen(L, 2));
    read_lines(L, ledger);
    return 1;
}

/* ---- selections ------------------------------------------------------------------------------------------------ */

struct wanted {
    struct text *skus, *categories;
    int sku_count, category_count;
    int64_t least, most;
};

static struct text *read_texts(lua_State *L, struct ledger *ledger, int index, int *count) {
    if (lua_isnoneornil(L, index))
        return NULL;
    luaL_checktype(L, index, LUA_TTABLE);
    *count = (int)lua_objlen(L, index);
    struct text *list = fastr_arena_alloc(ledger->arena, ((size_t)*count + 1) * sizeof *list);
    for (int i = 0; i < *count; i++) {
        lua_rawgeti(L, index, i + 1);
        if (lua_type(L, -1) != LUA_TSTRING)
            luaL_error(L, "a list of texts is expected");
        list[i].data = lua_tolstring(L, -1, &list[i].length); /* the list keeps it alive for this call */
        lua_pop(L, 1);
    }
    return list;
}

/* "home/lighting" is in "home". */
static bool within(struct text category, struct text wanted) {
    return category.length >= wanted.length && memcmp(category.data, wanted.data, wanted.length) == 0 &&
           (category.length == wanted.length || category.data[wanted.length] == '/');
}

static bool in_categories(const struct line *line, const struct wanted *wanted) {
    for (int i = 0; i < line->category_count; i++)
        for (int j = 0; j < wanted->category_count; j++)
            if (within(line->categories[i], wanted->categories[j]))
                return true;
    return false;
}

static bool in_skus(const struct line *line, const struct wanted *wanted) {
    for (int i = 0; i < wanted->sku_count; i++)
        if (same(line->sku, wanted->skus[i]))
            return true;
    return false;
}

static bool matches(const struct line *line, const struct wanted *wanted) {
    return line->unit >= wanted->least && line->unit <= wanted->most &&
           (!wanted->skus || in_skus(line, wanted)) && (!wanted->categories || in_categories(line, wanted));
}

static int push_selection(lua_State *L, struct ledger *ledger, struct selection selection) {
    ledger->selections = grow(ledger->arena, ledger->selections, ledger->selection_count, &ledger->selection_room,
                              sizeof *ledger->selections);
    ledger->selections[ledger->selection_count++] = selection;
    lua_pushinteger(L, ledger->selection_count);
    lua_pushinteger(L, selection.count);
    return 2;
}

/* ledger:select(skus, categories, least unit price, most) -> selection, number of lines. Each may be nil (any); a line is
 * in a category or in one below it; bounds are inclusive and of the running unit price. Selection 0 is all lines. */
static int l_select(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct wanted wanted = {0};
    struct selection selection = {0};
    wanted.skus = read_texts(L, ledger, 2, &wanted.sku_count);
    wanted.categories = read_texts(L, ledger, 3, &wanted.category_count);
    wanted.least = lua_isnoneornil(L, 4) ? 0 : fastr_check_amount(L, 4);
    wanted.most = lua_isnoneornil(L, 5) ? AMOUNT_MAX : fastr_check_amount(L, 5);
    fastr_sandbox_charge(L, 2 + (int64_t)ledger->line_count * (1 + wanted.sku_count + wanted.category_count));
    selection.lines = fastr_arena_alloc(ledger->arena, ((size_t)ledger->line_count + 1) * sizeof(int));
    for (int i = 0; i < ledger->line_count; i++)
        if (matches(&ledger->lines[i], &wanted))
            selection.lines[selection.count++] = i;
    return push_selection(L, ledger, selection);
}

/* Selections by number, 0 being all lines. Valid until the next one is made. */
static struct selection *find_selection(lua_State *L, struct ledger *ledger, int index) {
    int number = (int)luaL_optinteger(L, index, 0);
    if (number < 0 || number > ledger->selection_count)
        luaL_error(L, "there is no selection %d", number);
    return number ? &ledger->selections[number - 1] : &ledger->all;
}

static struct selection check_selection(lua_State *L, struct ledger *ledger, int index) {
    return *find_selection(L, ledger, index);
}

static struct line *line_of(const struct ledger *ledger, const struct selection *selection, int i) {
    return &ledger->lines[selection->lines ? selection->lines[i] : i];
}

/* ledger:undiscounted(selection) -> the lines of it that nothing has been taken off yet; what ledger:select returns */
static int l_undiscounted(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection of = check_selection(L, ledger, 2), kept = {0};
    kept.lines = fastr_arena_alloc(ledger->arena, ((size_t)of.count + 1) * sizeof(int));
    for (int i = 0; i < of.count; i++) {
        struct line *line = line_of(ledger, &of, i);
        if (line->unit == line->list && line->item_discount == 0)
            kept.lines[kept.count++] = (int)(line - ledger->lines);
    }
    return push_selection(L, ledger, kept);
}

/* ledger:without(selection, other) -> the lines of the first that are not in the other */
static int l_without(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection of = check_selection(L, ledger, 2), other = check_selection(L, ledger, 3), kept = {0};
    kept.lines = fastr_arena_alloc(ledger->arena, ((size_t)of.count + 1) * sizeof(int));
    for (int i = 0, j = 0; i < of.count; i++) {
        int at = of.lines ? of.lines[i] : i;
        while (j < other.count && (other.lines ? other.lines[j] : j) < at)
            j++;
        if (j == other.count || (other.lines ? other.lines[j] : j) != at)
            kept.lines[kept.count++] = at;
    }
    return push_selection(L, ledger, kept);
}

/* ledger:quantity(selection) -> units, units of its largest line */
static int l_quantity(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection selection = check_selection(L, ledger, 2);
    int64_t units = 0, most = 0;
    for (int i = 0; i < selection.count; i++) {
        struct line *line = line_of(ledger, &selection, i);
        units += line->quantity;
        most = line->quantity > most ? line->quantity : most;
    }
    lua_pushnumber(L, (double)units);
    lua_pushnumber(L, (double)most);
    return 2;
}

/* What the first `units` units of the line cost now. */
static int64_t total_of(const struct line *line, int64_t units) {
    int64_t total = 0;
    if (units >= line->quantity)
        return line->total;
    for (int i = 0; units > 0; i++) {
        int64_t count = least(units, line->runs[i].count);
        total += count * (line->unit - line->runs[i].taken);
        units -= count;
    }
    return total;
}

/* What can still be taken off the first `units` units of the line. */
static int64_t room_in(const struct line *line, int64_t units) {
    return total_of(line, units) - least(units, line->quantity) * floor_of(line);
}

static int64_t check_units(lua_State *L, int index) {
    int64_t units = lua_isnoneornil(L, index) ? UNITS_MAX : fastr_check_amount(L, index);
    if (units < 0)
        luaL_error(L, "a number of units is not negative");
    return least(units, UNITS_MAX);
}

/* ledger:total(selection, units) -> running total of its lines (of the first `units` units of each) */
static int l_total(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection selection = check_selection(L, ledger, 2);
    int64_t units = check_units(L, 3), total = 0;
    for (int i = 0; i < selection.count; i++)
        total += total_of(line_of(ledger, &selection, i), units);
    lua_pushnumber(L, (double)total);
    return 1;
}

/* ---- the open rule --------------------------------------------------------------------------------------------- */

static void check_open(lua_State *L, const struct ledger *ledger) {
    if (!ledger->rule)
        luaL_error(L, "an adjustment is given by a rule: none is open");
}

/* Counts a reduction of a line for the open rule. */
static void note(struct ledger *ledger, struct line *line, int64_t amount) {
    line->part += amount;
    line->touched |= amount != 0;
    line->total -= amount;
    ledger->running_total -= amount;
    ledger->given += amount;
}

/* ledger:open(rule, stage): adjustments from now on are this rule's */
static int l_open(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    size_t rule, stage;
    const char *name = luaL_checklstring(L, 2, &rule), *kind = luaL_checklstring(L, 3, &stage);
    if (ledger->rule)
        return luaL_error(L, "rule '%s' is still open", ledger->rule);
    ledger->rule = keep(ledger, name, rule);
    ledger->stage = keep(ledger, kind, stage);
    ledger->given = 0;
    fastr_sandbox_charge(L, 4);
    return 0;
}

/* NULL once the trace is full. */
static struct entry *add_entry(struct ledger *ledger, const char *rule, const char *stage, const char *outcome) {
    if (ledger->entry_count >= TRACE_MAX) {
        ledger->entries_lost++;
        return NULL;
    }
    ledger->entries =
        grow(ledger->arena, ledger->entries, ledger->entry_count, &ledger->entry_room, sizeof *ledger->entries);
    struct entry *entry = &ledger->entries[ledger->entry_count++];
    *entry = (struct entry){.rule = rule, .stage = stage, .outcome = outcome};
    return entry;
}

static void add_part(struct ledger *ledger, struct entry *entry, int place, int64_t amount, int room) {
    if (!entry->places) {
        entry->places = fastr_arena_alloc(ledger->arena, (size_t)room * sizeof *entry->places);
        entry->amounts = fastr_arena_alloc(ledger->arena, (size_t)room * sizeof *entry->amounts);
    }
    entry->places[entry->count] = place;
    entry->amounts[entry->count++] = amount;
}

static void collect_lines(struct ledger *ledger, struct entry *entry) {
    for (int i = 0; i < ledger->line_count; i++) {
        struct line *line = &ledger->lines[i];
        if (line->touched && entry)
            add_part(ledger, entry, i, line->part, ledger->line_count);
        line->part = 0;
        line->touched = false;
    }
}

static void collect_shipments(struct ledger *ledger, struct entry *entry) {
    for (int i = 0; i < ledger->shipment_count; i++) {
        struct shipment *shipment = &ledger->shipments[i];
        if (shipment->touched && entry) {
            entry->shipping = true;
            add_part(ledger, entry, i, shipment->part, ledger->shipment_count);
        }
        shipment->part = 0;
        shipment->touched = false;
    }
}

/* The invariant: what rules have taken is what the lines have lost. */
static void verify(lua_State *L, struct ledger *ledger) {
    int64_t running = 0;
    for (int i = 0; i < ledger->line_count; i++)
        running += ledger->lines[i].total;
    if (running != ledger->running_total || ledger->list_total - ledger->reduced != running || running < 0)
        luaL_error(L, "rule '%s': the adjustments do not add up to the total", ledger->rule);
}

static const char *keep_optional(lua_State *L, struct ledger *ledger, int index) {
    return lua_type(L, index) == LUA_TSTRING ? keep(ledger, lua_tostring(L, index), lua_objlen(L, index)) : NULL;
}

/* ledger:close(says) -> amount the open rule gave in this stage; `says`: what a customer reads of it, or nil. Raises if the trace does not add up to the total. */
static int l_close(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    check_open(L, ledger);
    bool shipping = strcmp(ledger->stage, "shipping") == 0;
    int64_t given = ledger->given;
    struct entry *entry = NULL;
    if (!shipping)
        ledger->reduced = sum(L, ledger->reduced, given);
    verify(L, ledger);
    if (ledger->explain && given > 0 && (entry = add_entry(ledger, ledger->rule, ledger->stage, "applied"))) {
        entry->amount = given;
        entry->says = keep_optional(L, ledger, 2);
    }
    if (shipping)
        collect_shipments(ledger, entry);
    else
        collect_lines(ledger, entry);
    if (ledger->full && given == 0 && (entry = add_entry(ledger, ledger->rule, ledger->stage, "not_applied")))
        entry->condition = "something_to_reduce";
    ledger->rule = NULL;
    lua_pushnumber(L, (double)given);
    return 1;
}

static void note_operand(lua_State *L, struct ledger *ledger, int index, double *number, struct text *text) {
    if (lua_type(L, index) == LUA_TNUMBER)
        *number = lua_tonumber(L, index);
    else
        *text = keep_text(L, ledger, index);
}

/* ledger:passed(rule, stage, outcome, condition, actual, wanted, other, unit, of, says): a rule that did not apply, for
 * the full trace: outcome "not_applied" (with the condition that failed and both operands, numbers or texts, what they count
 * and of what; `says`, for a customer, where reaching `wanted` is all that is missing) or "lost" (to the rule `other`) */
static int l_passed(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    luaL_checktype(L, 4, LUA_TSTRING);
    fastr_sandbox_charge(L, 4);
    if (!ledger->full)
        return 0;
    struct entry *entry = add_entry(ledger, NULL, NULL, NULL); /* first: what has no place is not kept */
    if (!entry)
        return 0;
    entry->rule = keep_optional(L, ledger, 2);
    entry->stage = keep_optional(L, ledger, 3);
    entry->outcome = keep_optional(L, ledger, 4);
    entry->condition = keep_optional(L, ledger, 5);
    entry->actual = entry->wanted = -1;
    note_operand(L, ledger, 6, &entry->actual, &entry->actual_text);
    note_operand(L, ledger, 7, &entry->wanted, &entry->wanted_text);
    entry->other = keep_optional(L, ledger, 8);
    entry->unit = keep_optional(L, ledger, 9);
    entry->of = keep_optional(L, ledger, 10);
    entry->says = keep_optional(L, ledger, 11);
    return 0;
}

/* ---- catalogue: the unit price --------------------------------------------------------------------------------- */

/* Every unit of the line costs `fresh` from now on, not below its floor and not above what it cost. */
static void set_unit(lua_State *L, struct ledger *ledger, struct line *line, int64_t fresh) {
    int64_t bound = fresh < floor_of(line) ? floor_of(line) : fresh;
    if (line->run_count != 1 || line->runs[0].taken != 0)
        luaL_error(L, "the unit price is settled before discounts are given");
    int64_t less = line->unit - least(bound, line->unit);
    line->unit -= less;
    note(ledger, line, less * line->quantity);
}

/* ledger:unit_percent(selection, percent): unit price = round(unit x (100 - percent) / 100) */
static int l_unit_percent(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection selection = check_selection(L, ledger, 2);
    int64_t percent = fastr_check_percent(L, 3, PERCENT_ALL), fresh = 0;
    check_open(L, ledger);
    for (int i = 0; i < selection.count; i++) {
        struct line *line = line_of(ledger, &selection, i);
        amount_after_percent(line->unit, percent, &fresh);
        set_unit(L, ledger, line, fresh);
    }
    return 0;
}

static int64_t check_reduction(lua_State *L, int index) {
    int64_t amount = fastr_check_amount(L, index);
    if (amount < 0)
        luaL_error(L, "a reduction is not negative (%f)", (double)amount);
    return amount;
}

/* ledger:unit_fixed(selection, amount): unit price less the amount */
static int l_unit_fixed(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection selection = check_selection(L, ledger, 2);
    int64_t amount = check_reduction(L, 3);
    check_open(L, ledger);
    for (int i = 0; i < selection.count; i++) {
        struct line *line = line_of(ledger, &selection, i);
        set_unit(L, ledger, line, line->unit - amount);
    }
    return 0;
}

/* ---- items: units and lines ------------------------------------------------------------------------------------ */

/* Room for so many more runs of the line. */
static void reserve_runs(struct ledger *ledger, struct line *line, int64_t more) {
    int64_t room = line->run_count + more, twice = 2 * (int64_t)line->run_room;
    if (room <= line->run_room)
        return;
    line->run_room = (int)least(room > twice ? room : twice, line->quantity);
    struct run *fresh = fastr_arena_alloc(ledger->arena, (size_t)line->run_room * sizeof *fresh);
    memcpy(fresh, line->runs, (size_t)line->run_count * sizeof *fresh);
    line->runs = fresh;
}

/* Splits the run at `index` so that it holds `count` units; 0 < count < its count. */
static void split_run(struct ledger *ledger, struct line *line, int index, int64_t count) {
    if (line->run_count == line->run_room)
        reserve_runs(ledger, line, line->run_count + 2);
    memmove(&line->runs[index + 1], &line->runs[index], (size_t)(line->run_count - index) * sizeof *line->runs);
    line->run_count++;
    line->runs[index].count = count;
    line->runs[index + 1].count -= count;
}

/* Takes up to `each` from every one of `count` units from position `from`; returns what was taken. */
static int64_t reduce_units(struct ledger *ledger, struct line *line, int64_t from, int64_t count, int64_t each) {
    bool onward = line->hint_at <= from;
    int64_t at = onward ? line->hint_at : 0, taken = 0, most = line->unit - floor_of(line);
    for (int i = onward ? line->hint_run : 0; i < line->run_count && count > 0; i++) {
        line->hint_run = i;
        line->hint_at = at;
        if (at < from && at + line->runs[i].count > from)
            split_run(ledger, line, i, from - at);
        if (at >= from) {
            if (line->runs[i].count > count)
                split_run(ledger, line, i, count);
            int64_t less = least(each, most - line->runs[i].taken);
            less = less > 0 ? less : 0;
            line->runs[i].taken += less;
            taken += less * line->runs[i].count;
            count -= line->runs[i].count;
        }
        at += line->runs[i].count;
    }
    return taken;
}

static void give_units(struct ledger *ledger, struct line *line, int64_t from, int64_t count, int64_t each) {
    int64_t taken = reduce_units(ledger, line, from, count, each);
    line->item_discount += taken;
    note(ledger, line, taken);
}

/* What a percentage takes off a unit: by the price after the catalogue rules, whatever other promotions took. */
static int64_t percent_of_unit(const struct line *line, int64_t percent) {
    int64_t rest = 0;
    amount_after_percent(line->unit, percent, &rest);
    return line->unit - rest;
}

/* ledger:item_percent(selection, percent, units): off each unit (of the first `units` of each line) */
static int l_item_percent(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection selection = check_selection(L, ledger, 2);
    int64_t percent = fastr_check_percent(L, 3, PERCENT_ALL), units = check_units(L, 4);
    check_open(L, ledger);
    fastr_sandbox_charge(L, 2 * selection.count);
    for (int i = 0; i < selection.count; i++) {
        struct line *line = line_of(ledger, &selection, i);
        give_units(ledger, line, 0, least(units, line->quantity), percent_of_unit(line, percent));
    }
    return 0;
}

/* ledger:item_fixed(selection, amount, units): off each unit */
static int l_item_fixed(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection selection = check_selection(L, ledger, 2);
    int64_t amount = check_reduction(L, 3), units = check_units(L, 4);
    check_open(L, ledger);
    fastr_sandbox_charge(L, 2 * selection.count);
    for (int i = 0; i < selection.count; i++) {
        struct line *line = line_of(ledger, &selection, i);
        give_units(ledger, line, 0, least(units, line->quantity), amount);
    }
    return 0;
}

/* Makes a run end after the first `units` units; returns how many runs those are. */
static int runs_of(struct ledger *ledger, struct line *line, int64_t units) {
    int i = 0;
    for (; i < line->run_count && units > 0; i++) {
        if (line->runs[i].count > units)
            split_run(ledger, line, i, units);
        units -= line->runs[i].count;
    }
    return i;
}

static int64_t units_with_room(const struct line *line, int runs) {
    int64_t units = 0, most = line->unit - floor_of(line);
    for (int i = 0; i < runs; i++)
        units += line->runs[i].taken < most ? line->runs[i].count : 0;
    return units;
}

/* One round over the units with room, of the first `units`: `each` and one more for the first `extra`. Returns what they
 * could not take. */
static int64_t spread_round(struct ledger *ledger, struct line *line, int64_t units, int64_t each, int64_t extra) {
    int64_t most = line->unit - floor_of(line), left = 0;
    for (int i = 0; i < line->run_count && units > 0; i++) {
        struct run *run = &line->runs[i];
        if (run->taken >= most) {
            units -= run->count;
            continue;
        }
        if (extra > 0 && run->count > extra) {
            split_run(ledger, line, i, extra);
            run = &line->runs[i];
        }
        int64_t share = each + (extra > 0), less = least(share, most - run->taken);
        extra -= extra > 0 ? run->count : 0;
        run->taken += less;
        left += (share - less) * run->count;
        units -= run->count;
    }
    return left;
}

/* Spreads what a line takes over its first `units` units: equally, the first ones one more; what a unit cannot take goes
 * on to the others. `amount` is within their room. */
static void spread(struct ledger *ledger, struct line *line, int64_t amount, int64_t units) {
    line->hint_run = 0;
    line->hint_at = 0;
    while (amount > 0) {
        int64_t takers = units_with_room(line, runs_of(ledger, line, units));
        if (takers == 0)
            return;
        amount = spread_round(ledger, line, units, amount / takers, amount % takers);
    }
}

/* Takes up to the amount off the first `units` units of the line, for one of its discounts; returns what was taken. */
static int64_t give_line(struct ledger *ledger, struct line *line, int64_t amount, int64_t units, int64_t *discount) {
    int64_t taken = least(amount, room_in(line, units));
    spread(ledger, line, taken, units);
    *discount += taken;
    note(ledger, line, taken);
    return taken;
}

/* ledger:line_fixed(selection, amount): once off each line */
static int l_line_fixed(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection selection = check_selection(L, ledger, 2);
    int64_t amount = check_reduction(L, 3);
    check_open(L, ledger);
    fastr_sandbox_charge(L, 4 * selection.count);
    for (int i = 0; i < selection.count; i++) {
        struct line *line = line_of(ledger, &selection, i);
        give_line(ledger, line, amount, UNITS_MAX, &line->item_discount);
    }
    return 0;
}

/* ---- items: a pool of units ------------------------------------------------------------------------------------ */

static const struct line *sort_lines; /* qsort has no argument for it; used within one call */

/* Dearest first, the later line first on ties. */
static int dearer(const void *left, const void *right) {
    int a = *(const int *)left, b = *(const int *)right;
    if (sort_lines[a].unit != sort_lines[b].unit)
        return sort_lines[a].unit > sort_lines[b].unit ? -1 : 1;
    return b - a;
}

/* Cheapest first, the later line first on ties. */
static int cheaper(const void *left, const void *right) {
    int a = *(const int *)left, b = *(const int *)right;
    return sort_lines[a].unit == sort_lines[b].unit ? b - a : -dearer(left, right);
}

/* The order of this round's takes from the selection, past the lines of which nothing is left: so that all takes of a round
 * together cost no more than the lines and the takes. */
static struct queue *queue_of(lua_State *L, struct ledger *ledger, struct selection *selection, bool cheapest) {
    struct queue *queue = cheapest ? &selection->cheapest : &selection->dearest;
    if (queue->round != ledger->round) {
        if (!queue->lines)
            queue->lines = fastr_arena_alloc(ledger->arena, ((size_t)selection->count + 1) * sizeof(int));
        for (int i = 0; i < selection->count; i++)
            queue->lines[i] = selection->lines ? selection->lines[i] : i;
        sort_lines = ledger->lines;
        qsort(queue->lines, (size_t)selection->count, sizeof(int), cheapest ? cheaper : dearer);
        queue->at = 0;
        queue->round = ledger->round;
        fastr_sandbox_charge(L, 8 * selection->count);
    }
    while (queue->at < selection->count && ledger->lines[queue->lines[queue->at]].pool == 0)
        queue->at++;
    return queue;
}

/* Do `count` units at `from` go on with the last ones of the line? Then they join them. */
static bool joins(struct take *last, int64_t from, int64_t count) {
    if (last->times == 1 && from == last->from + last->count) {
        last->count += count;
        return true;
    }
    int64_t step = last->times == 1 ? from - last->from : last->step;
    if (count != last->count || from != last->from + last->times * step)
        return false;
    last->step = step;
    last->times++;
    return true;
}

/* Units of a line that are given. */
static void add_take(struct ledger *ledger, int line, int64_t from, int64_t count) {
    struct take *last = ledger->take_count ? &ledger->takes[ledger->take_count - 1] : NULL;
    if (last && last->line == line && joins(last, from, count))
        return;
    ledger->takes = grow(ledger->arena, ledger->takes, ledger->take_count, &ledger->take_room, sizeof *ledger->takes);
    ledger->takes[ledger->take_count++] = (struct take){line, from, count, 0, 1};
}

/* What is picked for a set: units of a selection in an order, and whether they are given or only set aside. */
struct pick {
    struct selection *selection;
    int64_t units;
    bool cheapest, given;
};

/* Picks the units, or none and answers false if fewer are untouched. */
static bool pick_units(lua_State *L, struct ledger *ledger, const struct pick *pick) {
    struct queue *queue = queue_of(L, ledger, pick->selection, pick->cheapest);
    int64_t there = 0, wanted = pick->units;
    for (int i = queue->at; i < pick->selection->count && there < wanted; i++)
        there += ledger->lines[queue->lines[i]].pool;
    for (int i = queue->at; there >= pick->units && wanted > 0; i++) {
        struct line *line = &ledger->lines[queue->lines[i]];
        int64_t count = least(line->pool, wanted);
        if (pick->given && count > 0)
            add_take(ledger, queue->lines[i], line->quantity - line->pool, count);
        line->pool -= count;
        wanted -= count;
    }
    return wanted == 0;
}

static bool check_cheapest(lua_State *L, int index) {
    static const char *const orders[] = {"dearest", "cheapest", NULL};
    return luaL_checkoption(L, index, "dearest", orders) == 1;
}

/* All units are untouched again. */
static void begin_round(struct ledger *ledger) {
    for (int i = 0; i < ledger->line_count; i++)
        ledger->lines[i].pool = ledger->lines[i].quantity;
    ledger->round++;
    ledger->take_count = 0;
}

/* ledger:pool() begins a round for packs of before, whose take(selection, units, "dearest" | "cheapest") picks so many
 * untouched units, or none and is false. They stay callable: such a pack may be live, and its orders are to be proved. */
static int l_pool(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    begin_round(ledger);
    fastr_sandbox_charge(L, ledger->line_count);
    return 0;
}

static int take_of_before(lua_State *L, struct ledger *ledger) {
    struct pick pick = {find_selection(L, ledger, 2), check_units(L, 3), check_cheapest(L, 4), true};
    if (ledger->round == 0)
        return luaL_error(L, "the pool is not open: call ledger:pool() first");
    ledger->take_count = 0;
    fastr_sandbox_charge(L, 3);
    lua_pushboolean(L, pick_units(L, ledger, &pick));
    return 1;
}

/* ledger:take(bought, buy, given, get, "dearest" | "cheapest", times) -> how many sets were picked, at most `times` (0: as
 * often as it fits): for each the `buy` dearest untouched units of a selection are set aside, then `get` others of another
 * are picked, which ledger:give_percent reduces; a set that is not whole gives nothing. All units are untouched before. */
static int l_take(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    if (lua_type(L, 4) == LUA_TSTRING)
        return take_of_before(L, ledger);
    struct pick buy = {find_selection(L, ledger, 2), check_units(L, 3), false, false};
    struct pick get = {find_selection(L, ledger, 4), check_units(L, 5), check_cheapest(L, 6), true};
    int64_t times = lua_isnoneornil(L, 7) ? 0 : fastr_check_amount(L, 7), sets = 0;
    if (get.units == 0)
        return luaL_error(L, "a set gives one unit or more");
    begin_round(ledger);
    while ((times == 0 || sets < times) && pick_units(L, ledger, &buy) && pick_units(L, ledger, &get))
        sets++;
    fastr_sandbox_charge(L, ledger->line_count + sets);
    lua_pushnumber(L, (double)sets);
    return 1;
}

/* ledger:give_percent(percent): off each unit that the last take picked */
static int l_give_percent(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    int64_t percent = fastr_check_percent(L, 2, PERCENT_ALL);
    check_open(L, ledger);
    for (int i = 0; i < ledger->take_count; i++) {
        struct take *take = &ledger->takes[i];
        struct line *line = &ledger->lines[take->line];
        reserve_runs(ledger, line, 2 * take->times);
        for (int64_t k = 0; k < take->times; k++)
            give_units(ledger, line, take->from + k * take->step, take->count, percent_of_unit(line, percent));
    }
    return 0;
}

/* ---- order ----------------------------------------------------------------------------------------------------- */

struct shares {
    struct line **lines;
    int64_t *weights, *parts, *rooms, *taken;
    size_t count;
};

static struct shares make_shares(struct ledger *ledger, const struct selection *selection, int64_t units) {
    struct shares shares = {.count = (size_t)selection->count};
    size_t size = (shares.count + 1) * sizeof(int64_t);
    shares.lines = fastr_arena_alloc(ledger->arena, (shares.count + 1) * sizeof *shares.lines);
    shares.weights = fastr_arena_alloc(ledger->arena, size);
    shares.parts = fastr_arena_alloc(ledger->arena, size);
    shares.rooms = fastr_arena_alloc(ledger->arena, size);
    shares.taken = fastr_arena_alloc(ledger->arena, size);
    for (size_t i = 0; i < shares.count; i++) {
        shares.lines[i] = line_of(ledger, selection, (int)i);
        shares.weights[i] = total_of(shares.lines[i], units);
        shares.rooms[i] = room_in(shares.lines[i], units);
        shares.taken[i] = 0;
    }
    return shares;
}

static void give_order(struct ledger *ledger, const struct shares *shares, size_t i, int64_t units) {
    give_line(ledger, shares->lines[i], shares->taken[i], units, &shares->lines[i]->order_discount);
}

/* Counts for each line its part as far as it has room; a line that is full is given what it took, the others are kept for
 * another round, so that what a line takes is spread over its units once. Returns the rest. */
static int64_t settle(struct ledger *ledger, struct shares *shares, int64_t units) {
    int64_t rest = 0;
    size_t kept = 0;
    for (size_t i = 0; i < shares->count; i++) {
        int64_t part = least(shares->parts[i], shares->rooms[i] - shares->taken[i]);
        rest += shares->parts[i] - part;
        shares->taken[i] += part;
        if (shares->taken[i] == shares->rooms[i]) {
            give_order(ledger, shares, i, units);
            continue;
        }
        shares->lines[kept] = shares->lines[i];
        shares->weights[kept] = shares->weights[i];
        shares->rooms[kept] = shares->rooms[i];
        shares->taken[kept++] = shares->taken[i];
    }
    shares->count = kept;
    return rest;
}

/* ledger:order(selection, amount, units): takes the amount off the lines in proportion to their running totals (of the
 * first `units` units of each, which alone are touched), largest remainder; what a line cannot take goes to the others,
 * what nobody can is dropped */
static int l_order(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct selection selection = check_selection(L, ledger, 2);
    int64_t amount = check_reduction(L, 3), units = check_units(L, 4);
    struct shares shares = make_shares(ledger, &selection, units);
    check_open(L, ledger);
    fastr_sandbox_charge(L, 4 + 8 * selection.count);
    while (amount > 0 && shares.count > 0) {
        if (!amount_allocate(amount, shares.weights, shares.count, shares.parts))
            return luaL_error(L, "the amount goes past 2^53 - 1");
        amount = settle(ledger, &shares, units);
    }
    for (size_t i = 0; i < shares.count; i++)
        give_order(ledger, &shares, i, units);
    return 0;
}

/* ledger:line_off(line, amount): off the line with this number */
static int l_line_off(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    int64_t at = fastr_check_amount(L, 2), amount = check_reduction(L, 3);
    check_open(L, ledger);
    if (at < 1 || at > ledger->line_count)
        return luaL_error(L, "there is no line %f", (double)at);
    struct line *line = &ledger->lines[at - 1];
    give_line(ledger, line, amount, UNITS_MAX, &line->item_discount);
    return 0;
}

/* ---- shipping -------------------------------------------------------------------------------------------------- */

/* ledger:shipment(method, fee, tax category): one more shipment */
static int l_shipment(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    int64_t fee = check_reduction(L, 3); /* raises before there is anything half-made */
    ledger->shipments = grow(ledger->arena, ledger->shipments, ledger->shipment_count, &ledger->shipment_room,
                             sizeof *ledger->shipments);
    struct shipment *shipment = &ledger->shipments[ledger->shipment_count++];
    *shipment = (struct shipment){.method = keep_text(L, ledger, 2), .fee = fee,
                                  .tax_category = keep_text(L, ledger, 4)};
    ledger->shipping_total = sum(L, ledger->shipping_total, shipment->fee);
    return 0;
}

static struct shipment *check_shipment(lua_State *L, struct ledger *ledger) {
    int64_t at = fastr_check_amount(L, 2);
    if (at < 1 || at > ledger->shipment_count)
        luaL_error(L, "there is no shipment %f", (double)at);
    return &ledger->shipments[at - 1];
}

/* ledger:fee_left(shipment) -> fee after the discounts so far */
static int l_fee_left(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct shipment *shipment = check_shipment(L, ledger);
    lua_pushnumber(L, (double)(shipment->fee - shipment->discount));
    return 1;
}

/* ledger:fee_off(shipment, amount): takes up to the amount off its fee */
static int l_fee_off(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    struct shipment *shipment = check_shipment(L, ledger);
    int64_t taken = least(check_reduction(L, 3), shipment->fee - shipment->discount);
    check_open(L, ledger);
    shipment->discount += taken;
    shipment->part += taken;
    shipment->touched |= taken != 0;
    ledger->given += taken;
    ledger->shipping_discount_total += taken;
    return 0;
}

/* ---- taxes and the end ----------------------------------------------------------------------------------------- */

/* ledger:rate(tax category, percent, included, zone or nil): what applies to lines and shipments of the category */
static int l_rate(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    int64_t percent = fastr_check_percent(L, 3, 10 * PERCENT_ALL);
    ledger->rates = grow(ledger->arena, ledger->rates, ledger->rate_count, &ledger->rate_room, sizeof *ledger->rates);
    struct rate *rate = &ledger->rates[ledger->rate_count++];
    rate->category = keep_text(L, ledger, 2);
    rate->percent = percent;
    rate->included = lua_toboolean(L, 4);
    rate->zone = keep_text(L, ledger, 5);
    rate->base = rate->tax = 0;
    return 0;
}

static struct rate *rate_of(const struct ledger *ledger, struct text category) {
    for (int i = 0; category.data && i < ledger->rate_count; i++)
        if (same(category, ledger->rates[i].category))
            return &ledger->rates[i];
    return NULL;
}

static int64_t tax_on(const struct rate *rate, int64_t base) {
    int64_t tax = 0;
    if (!rate->included) {
        amount_percent(base, rate->percent, &tax);
        return tax;
    }
    amount_net(base, rate->percent, &tax);
    return base - tax;
}

static int64_t tax_by_unit(const struct rate *rate, const struct line *line) {
    int64_t tax = 0;
    for (int i = 0; i < line->run_count; i++)
        tax += line->runs[i].count * tax_on(rate, line->unit - line->runs[i].taken);
    return tax;
}

/* One rounding over all lines under rates of this percentage and kind; the tax is allocated to them by their totals. */
static void tax_by_total(struct ledger *ledger, const struct rate *rate) {
    struct shares shares = {.count = 0};
    size_t size = ((size_t)ledger->line_count + 1) * sizeof(int64_t);
    int64_t base = 0;
    shares.lines = fastr_arena_alloc(ledger->arena, size);
    shares.weights = fastr_arena_alloc(ledger->arena, size);
    shares.parts = fastr_arena_alloc(ledger->arena, size);
    for (int i = 0; i < ledger->line_count; i++) {
        const struct rate *own = ledger->lines[i].rate;
        if (!own || own->percent != rate->percent || own->included != rate->included)
            continue;
        shares.lines[shares.count] = &ledger->lines[i];
        shares.weights[shares.count++] = ledger->lines[i].total;
        base += ledger->lines[i].total;
    }
    if (shares.count == 0 || base == 0 || !amount_allocate(tax_on(rate, base), shares.weights, shares.count, shares.parts))
        return;
    for (size_t i = 0; i < shares.count; i++)
        shares.lines[i]->tax = shares.parts[i];
}

enum rounding { BY_LINE, BY_UNIT, BY_TOTAL };

static void tax_lines(struct ledger *ledger, enum rounding rounding) {
    for (int i = 0; i < ledger->line_count; i++) {
        struct line *line = &ledger->lines[i];
        struct rate *rate = line->rate = rate_of(ledger, line->tax_category);
        line->included = rate && rate->included;
        if (rate && rounding != BY_TOTAL)
            line->tax = rounding == BY_UNIT ? tax_by_unit(rate, line) : tax_on(rate, line->total);
    }
    for (int i = 0; rounding == BY_TOTAL && i < ledger->rate_count; i++)
        tax_by_total(ledger, &ledger->rates[i]);
}

/* Counts the tax of a line or shipment of this total, and what its rate has taxed. */
static void add_tax(lua_State *L, struct ledger *ledger, struct rate *rate, int64_t total, int64_t tax) {
    if (!rate)
        return;
    int64_t *all = rate->included ? &ledger->tax_included_total : &ledger->tax_total;
    *all = sum(L, *all, tax);
    rate->tax += tax;
    rate->base = sum(L, rate->base, rate->included ? total - tax : total);
}

static void sum_lines(lua_State *L, struct ledger *ledger) {
    for (int i = 0; i < ledger->line_count; i++) {
        struct line *line = &ledger->lines[i];
        ledger->items_total = sum(L, ledger->items_total, line->unit * line->quantity);
        ledger->discount_total = sum(L, ledger->discount_total, line->item_discount + line->order_discount);
        add_tax(L, ledger, line->rate, line->total, line->tax);
    }
}

static void sum_shipments(lua_State *L, struct ledger *ledger) {
    for (int i = 0; i < ledger->shipment_count; i++) {
        struct shipment *shipment = &ledger->shipments[i];
        struct rate *rate = rate_of(ledger, shipment->tax_category);
        int64_t total = shipment->fee - shipment->discount;
        shipment->included = rate && rate->included;
        shipment->tax = rate ? tax_on(rate, total) : 0;
        add_tax(L, ledger, rate, total, shipment->tax);
    }
}

/* ledger:finish("line" | "unit" | "total", gift cards' balance): taxes and totals; the ledger is then the decision, which
 * the state hands to whoever asked */
static int l_finish(lua_State *L) {
    static const char *const roundings[] = {"line", "unit", "total", NULL};
    struct ledger *ledger = check_ledger(L);
    enum rounding rounding = (enum rounding)luaL_checkoption(L, 2, "line", roundings);
    int64_t balance = lua_isnoneornil(L, 3) ? 0 : check_reduction(L, 3);
    if (ledger->rule)
        return luaL_error(L, "rule '%s' is still open", ledger->rule);
    tax_lines(ledger, rounding);
    sum_lines(L, ledger);
    sum_shipments(L, ledger);
    ledger->total = sum(L, ledger->items_total - ledger->discount_total + ledger->tax_total,
                        ledger->shipping_total - ledger->shipping_discount_total);
    ledger->gift_card_total = least(balance, ledger->total);
    fastr_sandbox_charge(L, 10 + 10 * ledger->line_count);
    lua_settop(L, 1);
    return 1;
}

/* ledger:coupon(code, accepted, reason) */
static int l_coupon(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    ledger->coupons =
        grow(ledger->arena, ledger->coupons, ledger->coupon_count, &ledger->coupon_room, sizeof *ledger->coupons);
    ledger->coupons[ledger->coupon_count++] =
        (struct coupon){keep_optional(L, ledger, 2), keep_optional(L, ledger, 4), lua_toboolean(L, 3)};
    return 0;
}

/* ledger:line(i) -> a copy of the line as it stands: { sku, quantity, list_price, unit_price, total, categories } */
static int l_line(lua_State *L) {
    struct ledger *ledger = check_ledger(L);
    int64_t at = fastr_check_amount(L, 2);
    if (at < 1 || at > ledger->line_count)
        return 0;
    struct line *line = &ledger->lines[at - 1];
    lua_createtable(L, 0, 8);
    lua_pushlstring(L, line->sku.data, line->sku.length), lua_setfield(L, -2, "sku");
    lua_pushnumber(L, (double)at), lua_setfield(L, -2, "number");
    lua_pushnumber(L, (double)line->quantity), lua_setfield(L, -2, "quantity");
    lua_pushnumber(L, (double)line->list), lua_setfield(L, -2, "list_price");
    lua_pushnumber(L, (double)line->unit), lua_setfield(L, -2, "unit_price");
    lua_pushnumber(L, (double)line->total), lua_setfield(L, -2, "total");
    lua_createtable(L, line->category_count, 0);
    for (int i = 0; i < line->category_count; i++) {
        lua_pushlstring(L, line->categories[i].data, line->categories[i].length);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "categories");
    fastr_sandbox_charge(L, 10);
    return 1;
}

static const luaL_Reg methods[] = {
    {"select", l_select},             {"undiscounted", l_undiscounted},
    {"without", l_without},           {"quantity", l_quantity},
    {"total", l_total},               {"open", l_open},
    {"close", l_close},               {"passed", l_passed},
    {"unit_percent", l_unit_percent}, {"unit_fixed", l_unit_fixed},
    {"item_percent", l_item_percent}, {"item_fixed", l_item_fixed},
    {"line_fixed", l_line_fixed},     {"line_off", l_line_off},
    {"pool", l_pool},                 {"take", l_take},
    {"give_percent", l_give_percent}, {"order", l_order},
    {"shipment", l_shipment},         {"fee_left", l_fee_left},
    {"fee_off", l_fee_off},           {"rate", l_rate},
    {"finish", l_finish},             {"coupon", l_coupon},
    {"line", l_line},                 {NULL, NULL},
};

void fastr_ledger_open(lua_State *L) {
    fastr_sandbox_export export = ledger_write;
    void *pointer;
    memcpy(&pointer, &export, sizeof pointer);
    lua_newtable(L);
    lua_newtable(L);
    luaL_register(L, NULL, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushlightuserdata(L, (void *)&fastr_sandbox_export_key);
    lua_pushlightuserdata(L, pointer);
    lua_rawset(L, -3);
    for (int i = 0; field_names[i]; i++)
        lua_pushstring(L, field_names[i]);
    lua_pushcclosure(L, l_ledger, CATEGORIES);
    lua_setfield(L, -2, "ledger");
}
