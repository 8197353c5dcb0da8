/* ledger_write.c: see ledger.h. */
#include "bindings/ledger.h"

#include <math.h>
#include <string.h>

#include "runtime/json.h"

/* Where the decision is written to: a table in a Lua state, or JSON. A value is added to the object or the list that is
 * open, by name or (NULL) at its end. */
struct sink {
    lua_State *to;
    struct fastr_buffer *out;
    int64_t values;
};

enum { NUMBER_BYTES = 24 };

static char *put_bytes(char *at, const char *bytes, size_t length) {
    memcpy(at, bytes, length);
    return at + length;
}

static char *put_digits(char *at, int64_t value) {
    char digits[NUMBER_BYTES], *end = digits + sizeof digits, *p = end;
    uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
    if (value < 0)
        *at++ = '-';
    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    return put_bytes(at, p, (size_t)(end - p));
}

/* `"name":` with the comma before it where one is due; what follows, `more` bytes at most, has room at what is returned and
 * is counted by end_value. Names are plain words. */
static char *begin_value(struct sink *sink, const char *name, size_t more) {
    size_t length = name ? strlen(name) : 0;
    char *at = fastr_buffer_reserve(sink->out, length + 5 + more);
    if (at[-1] != '{' && at[-1] != '[')
        *at++ = ',';
    if (name) {
        *at++ = '"';
        at = put_bytes(at, name, length);
        at = put_bytes(at, "\":", 2);
    }
    return at;
}

static void end_value(struct sink *sink, char *at) {
    sink->out->length = (size_t)(at - sink->out->data);
}

static void put_name(struct sink *sink, const char *name, size_t more) {
    end_value(sink, begin_value(sink, name, more));
}

/* What was pushed becomes a member; a list's place is counted by the caller. */
static void set(struct sink *sink, const char *name, int at) {
    if (name)
        lua_setfield(sink->to, -2, name);
    else
        lua_rawseti(sink->to, -2, at);
}

static void put_at(struct sink *sink, const char *name, int at, int64_t amount) {
    sink->values++;
    if (sink->out) {
        end_value(sink, put_digits(begin_value(sink, name, NUMBER_BYTES), amount));
        return;
    }
    lua_pushnumber(sink->to, (double)amount);
    set(sink, name, at);
}

static void put(struct sink *sink, const char *name, int64_t amount) {
    put_at(sink, name, 0, amount);
}

static void put_bytes_as(struct sink *sink, const char *name, struct text text) {
    if (!text.data)
        return;
    sink->values++;
    if (sink->out) {
        put_name(sink, name, text.length + 2);
        fastr_json_string(sink->out, text.data, text.length);
        return;
    }
    lua_pushlstring(sink->to, text.data, text.length);
    set(sink, name, 0);
}

static void put_text(struct sink *sink, const char *name, const char *text) {
    put_bytes_as(sink, name, (struct text){text, text ? strlen(text) : 0});
}

static void put_boolean(struct sink *sink, const char *name, bool value) {
    sink->values++;
    if (sink->out) {
        put_name(sink, name, 5);
        fastr_buffer_text(sink->out, value ? "true" : "false");
        return;
    }
    lua_pushboolean(sink->to, value);
    set(sink, name, 0);
}

static void open_list(struct sink *sink, const char *name, int64_t count) {
    sink->values++;
    if (sink->out) {
        put_name(sink, name, 1);
        fastr_buffer_add(sink->out, "[", 1);
        return;
    }
    lua_createtable(sink->to, (int)count, 0);
    fastr_json_mark_array(sink->to);
}

static void close_list(struct sink *sink, const char *name) {
    if (sink->out)
        fastr_buffer_add(sink->out, "]", 1);
    else
        lua_setfield(sink->to, -2, name);
}

/* An object within a list. */
static void open_object(struct sink *sink, int room) {
    sink->values++;
    if (!sink->out) {
        lua_createtable(sink->to, 0, room);
        return;
    }
    put_name(sink, NULL, 1);
    fastr_buffer_add(sink->out, "{", 1);
}

static void close_object(struct sink *sink, int at) {
    if (sink->out)
        fastr_buffer_add(sink->out, "}", 1);
    else
        lua_rawseti(sink->to, -2, at);
}

/* The same amount `count` times at the end of the open list of JSON. */
static void repeat(struct sink *sink, int64_t amount, int64_t count) {
    char text[NUMBER_BYTES + 1] = ",";
    size_t length = (size_t)(put_digits(text + 1, amount) - text);
    char *begin = fastr_buffer_reserve(sink->out, length * (size_t)count), *at = begin;
    for (int64_t n = 0; n < count; n++) {
        bool first = at[-1] == '[';
        at = put_bytes(at, text + first, length - first);
    }
    end_value(sink, at);
    sink->values += count;
}

static void put_units(struct sink *sink, const struct line *line) {
    int at = 0;
    open_list(sink, "unit_discounts", line->quantity);
    for (int i = 0; i < line->run_count; i++) {
        int64_t amount = line->list - line->unit + line->runs[i].taken;
        if (sink->out)
            repeat(sink, amount, line->runs[i].count);
        for (int64_t n = 0; !sink->out && n < line->runs[i].count; n++)
            put_at(sink, NULL, ++at, amount);
    }
    close_list(sink, "unit_discounts");
}

static void put_line(struct sink *sink, const struct line *line) {
    put_bytes_as(sink, "sku", line->sku);
    put(sink, "quantity", line->quantity);
    put(sink, "unit_price", line->unit);
    put(sink, "subtotal", line->unit * line->quantity);
    put(sink, "item_discount", line->item_discount);
    put(sink, "order_discount", line->order_discount);
    put(sink, "total", line->total);
    put(sink, "tax", line->included ? 0 : line->tax);
    put(sink, "tax_included", line->included ? line->tax : 0);
    put_units(sink, line);
}

static void put_lines(struct sink *sink, const struct ledger *ledger) {
    open_list(sink, "lines", ledger->line_count);
    for (int i = 0; i < ledger->line_count; i++) {
        open_object(sink, 11);
        put_line(sink, &ledger->lines[i]);
        close_object(sink, i + 1);
    }
    close_list(sink, "lines");
}

static void put_shipments(struct sink *sink, const struct ledger *ledger) {
    open_list(sink, "shipping", ledger->shipment_count);
    for (int i = 0; i < ledger->shipment_count; i++) {
        const struct shipment *shipment = &ledger->shipments[i];
        open_object(sink, 6);
        put_bytes_as(sink, "method", shipment->method);
        put(sink, "fee", shipment->fee);
        put(sink, "discount", shipment->discount);
        put(sink, "total", shipment->fee - shipment->discount);
        put(sink, "tax", shipment->included ? 0 : shipment->tax);
        put(sink, "tax_included", shipment->included ? shipment->tax : 0);
        close_object(sink, i + 1);
    }
    close_list(sink, "shipping");
}

static void put_coupons(struct sink *sink, const struct ledger *ledger) {
    open_list(sink, "coupons", ledger->coupon_count);
    for (int i = 0; i < ledger->coupon_count; i++) {
        open_object(sink, 3);
        put_text(sink, "code", ledger->coupons[i].code);
        put_boolean(sink, "accepted", ledger->coupons[i].accepted);
        put_text(sink, "reason", ledger->coupons[i].reason);
        close_object(sink, i + 1);
    }
    close_list(sink, "coupons");
}

static void put_operand(struct sink *sink, const char *name, double number, struct text text) {
    put_bytes_as(sink, name, text);
    if (text.data || !(number >= 0 && number < HUGE_VAL))
        return;
    sink->values++;
    if (sink->out) {
        put_name(sink, name, NUMBER_BYTES);
        fastr_json_double(sink->out, number);
        return;
    }
    lua_pushnumber(sink->to, number);
    set(sink, name, 0);
}

static void put_parts(struct sink *sink, const struct entry *entry) {
    const char *name = entry->shipping ? "shipments" : "lines";
    open_list(sink, name, entry->count);
    for (int i = 0; i < entry->count; i++)
        put_at(sink, NULL, i + 1, entry->places[i] + 1);
    close_list(sink, name);
    open_list(sink, "amounts", entry->count);
    for (int i = 0; i < entry->count; i++)
        put_at(sink, NULL, i + 1, entry->amounts[i]);
    close_list(sink, "amounts");
}

static void put_entry(struct sink *sink, const struct entry *entry) {
    put_text(sink, "rule", entry->rule);
    put_text(sink, "stage", entry->stage);
    put_text(sink, "outcome", entry->outcome);
    if (strcmp(entry->outcome, "applied") == 0) {
        put(sink, "amount", entry->amount);
        put_text(sink, "says", entry->says);
        put_parts(sink, entry);
        return;
    }
    put_text(sink, "condition", entry->condition);
    put_text(sink, "to", entry->other);
    put_text(sink, "unit", entry->unit);
    put_text(sink, "of", entry->of);
    put_text(sink, "says", entry->says);
    put_operand(sink, "actual", entry->actual, entry->actual_text);
    put_operand(sink, "wanted", entry->wanted, entry->wanted_text);
}

static void put_trace(struct sink *sink, const struct ledger *ledger) {
    open_list(sink, "trace", ledger->entry_count);
    for (int i = 0; i < ledger->entry_count; i++) {
        open_object(sink, 10);
        put_entry(sink, &ledger->entries[i]);
        close_object(sink, i + 1);
    }
    if (ledger->entries_lost) {
        open_object(sink, 2);
        put_text(sink, "outcome", "truncated");
        put(sink, "count", ledger->entries_lost);
        close_object(sink, ledger->entry_count + 1);
    }
    close_list(sink, "trace");
}

static void put_totals(struct sink *sink, const struct ledger *ledger) {
    put(sink, "items_total", ledger->items_total);
    put(sink, "discount_total", ledger->discount_total);
    put(sink, "shipping_total", ledger->shipping_total);
    put(sink, "shipping_discount_total", ledger->shipping_discount_total);
    put(sink, "tax_total", ledger->tax_total);
    put(sink, "tax_included_total", ledger->tax_included_total);
    put(sink, "total", ledger->total);
    put(sink, "gift_card_total", ledger->gift_card_total);
    put(sink, "due", ledger->total - ledger->gift_card_total);
}

int64_t ledger_write(lua_State *to, struct fastr_buffer *out, void *block) {
    struct ledger *ledger = block;
    struct sink sink = {to, out, 0};
    if (out)
        fastr_buffer_add(out, "{", 1);
    if (ledger->closed || (to && !lua_checkstack(to, 10))) {
        if (to)
            lua_pushnil(to);
        return 1;
    }
    if (to)
        lua_createtable(to, 0, 20);
    put_text(&sink, "currency", ledger->currency);
    put_lines(&sink, ledger);
    put_shipments(&sink, ledger);
    put_totals(&sink, ledger);
    put_coupons(&sink, ledger);
    put_trace(&sink, ledger);
    fastr_arena_free(ledger->arena);
    ledger->arena = NULL;
    ledger->closed = true;
    return sink.values;
}
