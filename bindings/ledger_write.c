/* ledger_write.c: see ledger.h.
 *
 * A decision is made of objects of a few kinds, whose fields are always written in the order of their kind: as JSON at once;
 * for a Lua state as values on its stack, of which the kind's constructor makes the table. That is a Lua function compiled
 * once a state, and takes a third of the time of setting ten fields by their names. */
#include "bindings/ledger.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bindings/amount.h"
#include "runtime/json.h"

enum { FIELDS_MAX = 16, NUMBER_BYTES = 24 };

/* ---- the kinds of objects -------------------------------------------------------------------------------------- */

enum { NAME_BYTES = 32 };

/* As it begins in JSON, where another field stands before it: `,"sku":`; in a fixed size, so that copying it is no call. */
struct field {
    char begin[NAME_BYTES];
    size_t length; /* 0 after the last of a kind */
};

#define FIELD(name) {",\"" name "\":", sizeof(",\"" name "\":") - 1}

typedef const struct field fields[FIELDS_MAX];

static fields decision = {FIELD("currency"), FIELD("lines"), FIELD("shipping"), FIELD("items_total"),
                          FIELD("discount_total"), FIELD("shipping_total"), FIELD("shipping_discount_total"), FIELD("tax_total"),
                          FIELD("tax_included_total"), FIELD("taxes"), FIELD("total"), FIELD("gift_card_total"),
                          FIELD("due"), FIELD("coupons"), FIELD("trace")};
static fields of_line = {FIELD("sku"), FIELD("quantity"), FIELD("unit_price"), FIELD("subtotal"), FIELD("item_discount"),
                         FIELD("order_discount"), FIELD("total"), FIELD("tax"), FIELD("tax_included"),
                         FIELD("unit_discounts")};
static fields of_shipment = {FIELD("method"), FIELD("fee"), FIELD("discount"), FIELD("total"), FIELD("tax"),
                             FIELD("tax_included")};
static fields of_tax = {FIELD("category"), FIELD("percent"), FIELD("included"), FIELD("zone"), FIELD("base"), FIELD("tax")};
static fields of_coupon = {FIELD("code"), FIELD("accepted"), FIELD("reason")};
static fields applied_to_lines = {FIELD("rule"), FIELD("stage"), FIELD("outcome"), FIELD("amount"), FIELD("says"),
                                  FIELD("lines"), FIELD("amounts")};
static fields applied_to_fees = {FIELD("rule"), FIELD("stage"), FIELD("outcome"), FIELD("amount"), FIELD("says"),
                                 FIELD("shipments"), FIELD("amounts")};
static fields passed = {FIELD("rule"), FIELD("stage"), FIELD("outcome"), FIELD("condition"), FIELD("to"), FIELD("unit"),
                        FIELD("of"), FIELD("says"), FIELD("actual"), FIELD("wanted")};
static fields truncated = {FIELD("outcome"), FIELD("count")};

/* ---- constructors in Lua --------------------------------------------------------------------------------------- */

static const struct field *const kinds[] = {decision,  of_line,          of_shipment,     of_tax,
                                            of_coupon, applied_to_lines, applied_to_fees, passed, truncated};
enum { KINDS = sizeof kinds / sizeof *kinds, ARRAY = KINDS + 1 };

/* return function(a1, a2) return {sku=a1,quantity=a2} end */
static void add_constructor(struct fastr_buffer *out, const struct field *kind) {
    fastr_buffer_text(out, "return function(");
    for (int i = 0; kind[i].length; i++)
        fastr_buffer_format(out, "%sa%d", i ? "," : "", i);
    fastr_buffer_text(out, ") return {");
    for (int i = 0; kind[i].length; i++)
        fastr_buffer_format(out, "%.*s=a%d,", (int)kind[i].length - 4, kind[i].begin + 2, i);
    fastr_buffer_text(out, "} end");
}

/* The table of what a state needs: its constructors by number, and the metatable of lists. */
static void make_constructors(lua_State *to) {
    lua_createtable(to, ARRAY, 0);
    for (int i = 0; i < KINDS; i++) {
        struct fastr_buffer source = {0};
        add_constructor(&source, kinds[i]);
        int status = luaL_loadbuffer(to, source.data, source.length, "=decision");
        fastr_buffer_free(&source);
        if (status != 0)
            lua_error(to);
        lua_call(to, 0, 1);
        lua_rawseti(to, -2, i + 1);
    }
    luaL_getmetatable(to, FASTR_JSON_ARRAY);
    lua_rawseti(to, -2, ARRAY);
}

static void push_constructors(lua_State *to) {
    static const char key;
    lua_pushlightuserdata(to, (void *)&key);
    lua_rawget(to, LUA_REGISTRYINDEX);
    if (!lua_isnil(to, -1))
        return;
    lua_pop(to, 1);
    lua_pushlightuserdata(to, (void *)&key);
    make_constructors(to);
    lua_pushvalue(to, -1);
    lua_insert(to, -3);
    lua_rawset(to, LUA_REGISTRYINDEX);
}

/* ---- where the decision is written to -------------------------------------------------------------------------- */

struct sink {
    lua_State *to; /* or */
    struct fastr_buffer *out;
    int constructors; /* stack index of their table in `to` */
    const struct field *field; /* the next of the open object; NULL within a list */
    int64_t values;
};

/* Room for `more` bytes at the end of the text. */
static inline char *room(struct fastr_buffer *out, size_t more) {
    return out->length + more < out->capacity ? out->data + out->length : fastr_buffer_reserve(out, more);
}

/* Writes NUMBER_BYTES bytes, of which the number is the first. */
static inline char *put_digits(char *at, int64_t value) {
    char digits[2 * NUMBER_BYTES], *end = digits + NUMBER_BYTES, *p = end;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        *--p = '-';
    memcpy(at, p, NUMBER_BYTES);
    return at + (end - p);
}

/* The next field's name, or the comma before a member of a list; what follows, `more` bytes at most, has room at what is
 * returned and is counted by end_value. */
static char *begin_value(struct sink *sink, size_t more) {
    const struct field *field = sink->field;
    char *at = room(sink->out, NAME_BYTES + more);
    bool first = at[-1] == '{' || at[-1] == '[';
    if (!field) {
        *at = ',';
        return at + !first;
    }
    sink->field++;
    memcpy(at, field->begin + first, NAME_BYTES - 1);
    return at + field->length - first;
}

static void end_value(struct sink *sink, char *at) {
    sink->out->length = (size_t)(at - sink->out->data);
}

static void put(struct sink *sink, int64_t amount) {
    sink->values++;
    if (sink->out)
        end_value(sink, put_digits(begin_value(sink, NUMBER_BYTES), amount));
    else
        lua_pushnumber(sink->to, (double)amount);
}

/* A field that is absent. */
static void skip(struct sink *sink) {
    if (sink->out)
        sink->field++;
    else
        lua_pushnil(sink->to);
}

static void put_string(struct sink *sink, struct text text) {
    if (!text.data) {
        skip(sink);
        return;
    }
    sink->values++;
    if (sink->out) {
        end_value(sink, begin_value(sink, text.length + 2));
        fastr_json_string(sink->out, text.data, text.length);
        return;
    }
    lua_pushlstring(sink->to, text.data, text.length);
}

static void put_text(struct sink *sink, const char *text) {
    put_string(sink, (struct text){text, text ? strlen(text) : 0});
}

static void put_boolean(struct sink *sink, bool value) {
    sink->values++;
    if (!sink->out) {
        lua_pushboolean(sink->to, value);
        return;
    }
    end_value(sink, begin_value(sink, 0));
    fastr_buffer_text(sink->out, value ? "true" : "false");
}

/* A list of `count` members; returns what close_list wants back. */
static const struct field *open_list(struct sink *sink, int64_t count) {
    sink->values++;
    if (sink->out) {
        char *at = begin_value(sink, 1);
        *at = '[';
        end_value(sink, at + 1);
    } else {
        lua_createtable(sink->to, (int)count, 0);
        lua_rawgeti(sink->to, sink->constructors, ARRAY);
        lua_setmetatable(sink->to, -2);
    }
    const struct field *outer = sink->field;
    sink->field = NULL;
    return outer;
}

static void close_list(struct sink *sink, const struct field *outer) {
    if (sink->out)
        fastr_buffer_add(sink->out, "]", 1);
    sink->field = outer;
}

/* What was put last becomes a list's member at this place, from 1. */
static void keep_member(struct sink *sink, int at) {
    if (!sink->out)
        lua_rawseti(sink->to, -2, at);
}

static void open_object(struct sink *sink, const struct field *kind) {
    int number = 0;
    sink->values++;
    if (sink->out) {
        char *at = begin_value(sink, 1);
        *at = '{';
        end_value(sink, at + 1);
    } else {
        while (kinds[number] != kind)
            number++;
        lua_rawgeti(sink->to, sink->constructors, number + 1);
    }
    sink->field = kind;
}

/* Ends an object of a list, all of whose fields were written. */
static void close_object(struct sink *sink, const struct field *kind, int at) {
    int count = 0;
    sink->field = NULL;
    if (sink->out) {
        fastr_buffer_add(sink->out, "}", 1);
        return;
    }
    while (kind[count].length)
        count++;
    lua_call(sink->to, count, 1);
    keep_member(sink, at);
}

/* ---- its parts ------------------------------------------------------------------------------------------------- */

/* The same amount `count` times at the end of the open list of JSON. */
static void repeat(struct sink *sink, int64_t amount, int64_t count) {
    char text[2 * NUMBER_BYTES] = ",";
    size_t length = (size_t)(put_digits(text + 1, amount) - text);
    char *at = room(sink->out, length * (size_t)count + NUMBER_BYTES);
    for (int64_t n = 0; n < count; n++) {
        bool first = at[-1] == '[';
        memcpy(at, text + first, NUMBER_BYTES);
        at += length - first;
    }
    end_value(sink, at);
}

static void put_units(struct sink *sink, const struct line *line) {
    const struct field *outer = open_list(sink, line->quantity);
    int at = 0;
    for (int i = 0; i < line->run_count; i++) {
        int64_t amount = line->list - line->unit + line->runs[i].taken;
        if (sink->out)
            repeat(sink, amount, line->runs[i].count);
        for (int64_t n = 0; !sink->out && n < line->runs[i].count; n++) {
            lua_pushnumber(sink->to, (double)amount);
            lua_rawseti(sink->to, -2, ++at);
        }
    }
    sink->values += line->quantity;
    close_list(sink, outer);
}

static void put_line(struct sink *sink, const struct line *line) {
    put_string(sink, line->sku);
    put(sink, line->quantity);
    put(sink, line->unit);
    put(sink, line->unit * line->quantity);
    put(sink, line->item_discount);
    put(sink, line->order_discount);
    put(sink, line->total);
    put(sink, line->included ? 0 : line->tax);
    put(sink, line->included ? line->tax : 0);
    put_units(sink, line);
}

static void put_lines(struct sink *sink, const struct ledger *ledger) {
    const struct field *outer = open_list(sink, ledger->line_count);
    for (int i = 0; i < ledger->line_count; i++) {
        open_object(sink, of_line);
        put_line(sink, &ledger->lines[i]);
        close_object(sink, of_line, i + 1);
    }
    close_list(sink, outer);
}

static void put_shipments(struct sink *sink, const struct ledger *ledger) {
    const struct field *outer = open_list(sink, ledger->shipment_count);
    for (int i = 0; i < ledger->shipment_count; i++) {
        const struct shipment *shipment = &ledger->shipments[i];
        open_object(sink, of_shipment);
        put_string(sink, shipment->method);
        put(sink, shipment->fee);
        put(sink, shipment->discount);
        put(sink, shipment->fee - shipment->discount);
        put(sink, shipment->included ? 0 : shipment->tax);
        put(sink, shipment->included ? shipment->tax : 0);
        close_object(sink, of_shipment, i + 1);
    }
    close_list(sink, outer);
}

static void put_coupons(struct sink *sink, const struct ledger *ledger) {
    const struct field *outer = open_list(sink, ledger->coupon_count);
    for (int i = 0; i < ledger->coupon_count; i++) {
        open_object(sink, of_coupon);
        put_text(sink, ledger->coupons[i].code);
        put_boolean(sink, ledger->coupons[i].accepted);
        put_text(sink, ledger->coupons[i].reason);
        close_object(sink, of_coupon, i + 1);
    }
    close_list(sink, outer);
}

/* A number that may have a fraction. */
static void put_number(struct sink *sink, double number) {
    sink->values++;
    if (!sink->out) {
        lua_pushnumber(sink->to, number);
        return;
    }
    end_value(sink, begin_value(sink, NUMBER_BYTES));
    fastr_json_double(sink->out, number);
}

/* By rate, in the order in which lines and shipments name them: what was taxed (without the tax), and the tax. */
static void put_taxes(struct sink *sink, const struct ledger *ledger) {
    const struct field *outer = open_list(sink, ledger->rate_count);
    for (int i = 0; i < ledger->rate_count; i++) {
        const struct rate *rate = &ledger->rates[i];
        open_object(sink, of_tax);
        put_string(sink, rate->category);
        put_number(sink, (double)rate->percent / PERCENT_ONE);
        put_boolean(sink, rate->included);
        put_string(sink, rate->zone);
        put(sink, rate->base);
        put(sink, rate->tax);
        close_object(sink, of_tax, i + 1);
    }
    close_list(sink, outer);
}

static void put_operand(struct sink *sink, double number, struct text text) {
    if (text.data || !(number >= 0 && number < HUGE_VAL))
        put_string(sink, text);
    else
        put_number(sink, number);
}

static void put_parts(struct sink *sink, const struct entry *entry) {
    const struct field *outer = open_list(sink, entry->count);
    for (int i = 0; i < entry->count; i++) {
        put(sink, entry->places[i] + 1);
        keep_member(sink, i + 1);
    }
    close_list(sink, outer);
    outer = open_list(sink, entry->count);
    for (int i = 0; i < entry->count; i++) {
        put(sink, entry->amounts[i]);
        keep_member(sink, i + 1);
    }
    close_list(sink, outer);
}

static void put_applied(struct sink *sink, const struct entry *entry, int at) {
    const struct field *kind = entry->shipping ? applied_to_fees : applied_to_lines;
    open_object(sink, kind);
    put_text(sink, entry->rule);
    put_text(sink, entry->stage);
    put_text(sink, entry->outcome);
    put(sink, entry->amount);
    put_text(sink, entry->says);
    put_parts(sink, entry);
    close_object(sink, kind, at);
}

static void put_passed(struct sink *sink, const struct entry *entry, int at) {
    open_object(sink, passed);
    put_text(sink, entry->rule);
    put_text(sink, entry->stage);
    put_text(sink, entry->outcome);
    put_text(sink, entry->condition);
    put_text(sink, entry->other);
    put_text(sink, entry->unit);
    put_text(sink, entry->of);
    put_text(sink, entry->says);
    put_operand(sink, entry->actual, entry->actual_text);
    put_operand(sink, entry->wanted, entry->wanted_text);
    close_object(sink, passed, at);
}

static void put_trace(struct sink *sink, const struct ledger *ledger) {
    const struct field *outer = open_list(sink, ledger->entry_count);
    for (int i = 0; i < ledger->entry_count; i++) {
        const struct entry *entry = &ledger->entries[i];
        if (strcmp(entry->outcome, "applied") == 0)
            put_applied(sink, entry, i + 1);
        else
            put_passed(sink, entry, i + 1);
    }
    if (ledger->entries_lost) {
        open_object(sink, truncated);
        put_text(sink, "truncated");
        put(sink, ledger->entries_lost);
        close_object(sink, truncated, ledger->entry_count + 1);
    }
    close_list(sink, outer);
}

static void put_totals(struct sink *sink, const struct ledger *ledger) {
    put(sink, ledger->items_total);
    put(sink, ledger->discount_total);
    put(sink, ledger->shipping_total);
    put(sink, ledger->shipping_discount_total);
    put(sink, ledger->tax_total);
    put(sink, ledger->tax_included_total);
    put_taxes(sink, ledger);
    put(sink, ledger->total);
    put(sink, ledger->gift_card_total);
    put(sink, ledger->total - ledger->gift_card_total);
}

/* ---- the whole ------------------------------------------------------------------------------------------------- */

static void put_decision(struct sink *sink, const struct ledger *ledger) {
    sink->field = decision;
    put_text(sink, ledger->currency);
    put_lines(sink, ledger);
    put_shipments(sink, ledger);
    put_totals(sink, ledger);
    put_coupons(sink, ledger);
    put_trace(sink, ledger);
}

static void push_decision(struct sink *sink, const struct ledger *ledger) {
    lua_State *to = sink->to;
    push_constructors(to);
    sink->constructors = lua_gettop(to);
    lua_rawgeti(to, sink->constructors, 1);
    put_decision(sink, ledger);
    lua_call(to, lua_gettop(to) - sink->constructors - 1, 1);
    lua_remove(to, sink->constructors);
}

int64_t ledger_write(lua_State *to, struct fastr_buffer *out, void *block) {
    struct ledger *ledger = block;
    struct sink sink = {.to = to, .out = out};
    if (out)
        fastr_buffer_add(out, "{", 1);
    if (ledger->closed || (to && !lua_checkstack(to, 2 * FIELDS_MAX + 8))) {
        if (to)
            lua_pushnil(to);
        return 1;
    }
    if (out)
        put_decision(&sink, ledger);
    else
        push_decision(&sink, ledger);
    fastr_arena_free(ledger->arena);
    ledger->arena = NULL;
    ledger->closed = true;
    return sink.values;
}
