/* shape.c: see shape.h. One recursive walk over the facts, in a Lua state or on the tape of a JSON text, does checking and
 * copying. */
#include "runtime/shape.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/fastr.h"
#include "runtime/json.h"
#include "runtime/sandbox.h"

enum kind { ANY, BOOLEAN, NUMBER, INTEGER, TEXT, LIST, MAP, OBJECT };
static const char *const kind_names[] = {"any", "boolean", "number", "integer", "text", "list", "map", "object", NULL};

enum { FIELDS_MAX = 64, DEPTH_MAX = 16, STACK_SLOTS = 4 * (DEPTH_MAX + 2) + 8, SHAPES_MAX = 20000, CHECK_STEP = 256 };

struct field {
    char *name;
    size_t length;
    int key; /* the name as a text of the rules state: a reference in its registry */
    struct shape *shape;
};

struct shape {
    struct shape *next; /* of the same declaration */
    enum kind kind;
    bool optional, has_null;
    double least, most, null_as;
    char **values; /* of a text; NULL: any */
    int value_count;
    struct shape *of;
    struct field *fields;
    int field_count;
    uint64_t required;
    signed char slots[2 * FIELDS_MAX]; /* field index by hash, -1 for none */
};

struct named {
    char *name;
    struct shape *shape, *all; /* the outermost, and the list of all */
};

struct fastr_shapes {
    struct named *list;
    int count, shapes;
    struct shape *making; /* of the declaration that is being compiled, or that was refused */
};

/* ---- compiling ------------------------------------------------------------------------------------------------- */

static struct shape *compile(struct fastr_shapes *shapes, lua_State *L, int depth);

static void free_shape(struct shape *shape) {
    for (int i = 0; i < shape->field_count; i++)
        free(shape->fields[i].name);
    for (int i = 0; i < shape->value_count; i++)
        free(shape->values[i]);
    free(shape->fields);
    free(shape->values);
    free(shape);
}

static void free_all(struct fastr_shapes *shapes, struct shape *shape) {
    for (struct shape *next; shape; shape = next) {
        next = shape->next;
        free_shape(shape);
        shapes->shapes--;
    }
}

/* A declaration that uses one table many times over, on many levels, would be a tree without end. */
static struct shape *new_shape(struct fastr_shapes *shapes, lua_State *L) {
    if (shapes->shapes == SHAPES_MAX)
        luaL_error(L, "a pack's shapes are at most %d, all fields counted", SHAPES_MAX);
    struct shape *shape = fastr_zalloc(sizeof *shape);
    shape->next = shapes->making;
    shapes->making = shape;
    shapes->shapes++;
    memset(shape->slots, -1, sizeof shape->slots);
    shape->least = -HUGE_VAL;
    shape->most = HUGE_VAL;
    return shape;
}

static double number_field(lua_State *L, const char *name, double otherwise) {
    lua_getfield(L, -1, name);
    double value = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : otherwise;
    lua_pop(L, 1);
    return value;
}

static unsigned slot_of(const char *name, size_t length) {
    unsigned middle = length > 4 ? (unsigned char)name[4] : 0;
    return ((unsigned)length * 31 + (unsigned char)name[0] * 7 + (unsigned char)name[length - 1] + middle * 3) %
           (2 * FIELDS_MAX);
}

static void index_field(struct shape *shape, int field) {
    unsigned slot = slot_of(shape->fields[field].name, shape->fields[field].length);
    while (shape->slots[slot] >= 0)
        slot = (slot + 1) % (2 * FIELDS_MAX);
    shape->slots[slot] = (signed char)field;
}

static void add_field(struct fastr_shapes *shapes, lua_State *L, struct shape *shape, int depth) {
    size_t length;
    if (lua_type(L, -2) != LUA_TSTRING || lua_objlen(L, -2) == 0 || shape->field_count == FIELDS_MAX)
        luaL_error(L, "a shape's fields are at most %d, by name", FIELDS_MAX);
    const char *name = lua_tolstring(L, -2, &length);
    struct shape *of = compile(shapes, L, depth + 1);
    lua_pushvalue(L, -2);
    shape->fields[shape->field_count++] =
        (struct field){fastr_strndup(name, length), length, luaL_ref(L, LUA_REGISTRYINDEX), of};
}

static int by_name(const void *left, const void *right) {
    return strcmp(((const struct field *)left)->name, ((const struct field *)right)->name);
}

/* In the order of their names, so that of several missing ones every process names the same. */
static void order_fields(struct shape *shape) {
    qsort(shape->fields, (size_t)shape->field_count, sizeof *shape->fields, by_name);
    for (int i = 0; i < shape->field_count; i++) {
        shape->required |= shape->fields[i].shape->optional ? 0 : UINT64_C(1) << i;
        index_field(shape, i);
    }
}

static void compile_fields(struct fastr_shapes *shapes, lua_State *L, struct shape *shape, int depth) {
    shape->fields = fastr_alloc(FIELDS_MAX * sizeof *shape->fields);
    lua_getfield(L, -1, "fields");
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        add_field(shapes, L, shape, depth);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    order_fields(shape);
}

static void compile_values(lua_State *L, struct shape *shape) {
    lua_getfield(L, -1, "values");
    if (lua_istable(L, -1)) {
        int count = (int)lua_objlen(L, -1);
        shape->values = fastr_alloc(((size_t)count + 1) * sizeof *shape->values);
        for (int i = 1; i <= count; i++) {
            lua_rawgeti(L, -1, i);
            shape->values[shape->value_count++] = fastr_strdup(luaL_checkstring(L, -1));
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
}

static void compile_of(struct fastr_shapes *shapes, lua_State *L, struct shape *shape, int depth) {
    lua_getfield(L, -1, "of");
    shape->of = compile(shapes, L, depth + 1);
    lua_pop(L, 1);
}

/* The declaration on the top. What a raise leaves half-made is freed with the next one or the pack. */
static struct shape *compile(struct fastr_shapes *shapes, lua_State *L, int depth) {
    struct shape *shape = new_shape(shapes, L);
    if (lua_isnil(L, -1))
        return shape;
    luaL_checktype(L, -1, LUA_TTABLE);
    if (depth > DEPTH_MAX)
        luaL_error(L, "shapes nest at most %d deep", DEPTH_MAX);
    lua_getfield(L, -1, "kind");
    shape->kind = (enum kind)luaL_checkoption(L, lua_gettop(L), NULL, kind_names);
    lua_pop(L, 1);
    lua_getfield(L, -1, "optional");
    shape->optional = lua_toboolean(L, -1);
    lua_pop(L, 1);
    shape->least = number_field(L, "min", -HUGE_VAL);
    shape->most = number_field(L, "max", HUGE_VAL);
    shape->null_as = number_field(L, "null_as", HUGE_VAL);
    shape->has_null = shape->null_as != HUGE_VAL;
    if (shape->kind == OBJECT)
        compile_fields(shapes, L, shape, depth);
    if (shape->kind == TEXT)
        compile_values(L, shape);
    if (shape->kind == LIST || shape->kind == MAP)
        compile_of(shapes, L, shape, depth);
    return shape;
}

struct fastr_shapes *fastr_shapes_new(void) {
    return fastr_zalloc(sizeof(struct fastr_shapes));
}

void fastr_shapes_free(struct fastr_shapes *shapes) {
    for (int i = 0; shapes && i < shapes->count; i++) {
        free(shapes->list[i].name);
        free_all(shapes, shapes->list[i].all);
    }
    if (shapes) {
        free_all(shapes, shapes->making);
        free(shapes->list);
    }
    free(shapes);
}

static struct named *find(const struct fastr_shapes *shapes, const char *name) {
    for (int i = 0; i < shapes->count; i++)
        if (strcmp(shapes->list[i].name, name) == 0)
            return &shapes->list[i];
    return NULL;
}

void fastr_shape_compile(struct fastr_shapes *shapes, lua_State *L, const char *name) {
    free_all(shapes, shapes->making);
    shapes->making = NULL;
    struct shape *shape = compile(shapes, L, 0);
    struct named *named = find(shapes, name);
    if (named) {
        free_all(shapes, named->all);
    } else {
        shapes->list = fastr_realloc(shapes->list, ((size_t)shapes->count + 1) * sizeof *shapes->list);
        named = &shapes->list[shapes->count++];
        named->name = fastr_strdup(name);
    }
    named->shape = shape;
    named->all = shapes->making;
    shapes->making = NULL;
}

/* ---- walking --------------------------------------------------------------------------------------------------- */

/* Where the walk is: a chain on the C stack, written out only when something is refused. */
struct place {
    const struct place *up;
    const char *name; /* NULL: `index` of a list */
    int index;
};

/* The source is a Lua state, or the tape of a JSON text. */
struct walk {
    lua_State *from, *to;
    const struct fastr_json_token *at; /* the next token; NULL: from Lua */
    bool copy;
    int64_t values;
    const char *about; /* what the places are within, for messages; NULL: the facts */
};

/* A value as either source has it: Lua's type, and for a table on the tape the number of its members. */
struct value {
    int type, index; /* a table's place on the stack */
    bool truth, list;
    double number;
    const char *text;
    size_t length;
};

static void write_place(struct fastr_buffer *out, const struct place *place) {
    if (!place->up)
        return;
    write_place(out, place->up);
    if (place->name)
        fastr_buffer_format(out, "%s%.80s", out->length ? "." : "", place->name);
    else
        fastr_buffer_format(out, "[%d]", place->index);
}

static int refuse(const struct walk *walk, const struct place *place, const char *format, ...) {
    struct fastr_buffer text = {0};
    va_list arguments;
    char what[256];
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    fastr_buffer_format(&text, "%s", walk->about ? walk->about : "");
    write_place(&text, place);
    lua_pushstring(walk->to, text.length ? text.data : walk->about ? "the whole" : "facts");
    fastr_buffer_free(&text);
    lua_pushfstring(walk->to, "%s: %s", lua_tostring(walk->to, -1), what);
    return lua_error(walk->to);
}

static void visit(struct walk *walk, const struct shape *shape, const struct value *value, const struct place *place,
                  int depth);

static struct value lua_value(lua_State *L, int index) {
    struct value value = {.type = lua_type(L, index)};
    switch (value.type) {
    case LUA_TBOOLEAN: value.truth = lua_toboolean(L, index); break;
    case LUA_TNUMBER: value.number = lua_tonumber(L, index); break;
    case LUA_TSTRING: value.text = lua_tolstring(L, index, &value.length); break;
    case LUA_TLIGHTUSERDATA: value.type = lua_touserdata(L, index) ? LUA_TLIGHTUSERDATA : LUA_TNIL; break;
    case LUA_TTABLE: value.index = index < 0 ? lua_gettop(L) + index + 1 : index; break;
    }
    return value;
}

/* Takes the next token; a container's members follow. */
static struct value tape_value(struct walk *walk) {
    const struct fastr_json_token *token = walk->at++;
    switch ((enum fastr_json_kind)token->kind) {
    case FASTR_JSON_FALSE: return (struct value){.type = LUA_TBOOLEAN};
    case FASTR_JSON_TRUE: return (struct value){.type = LUA_TBOOLEAN, .truth = true};
    case FASTR_JSON_NUMBER: return (struct value){.type = LUA_TNUMBER, .number = token->number};
    case FASTR_JSON_STRING: return (struct value){.type = LUA_TSTRING, .text = token->text, .length = token->count};
    case FASTR_JSON_LIST: return (struct value){.type = LUA_TTABLE, .list = true, .length = token->count};
    case FASTR_JSON_OBJECT: return (struct value){.type = LUA_TTABLE, .length = token->count};
    default: return (struct value){.type = LUA_TNIL};
    }
}

/* The members of a table, one after the other: their keys (a text, or a number in a list) and values. */
struct members {
    size_t left; /* on the tape */
    int type;    /* of the key, which is `number`, or `name` of `length` bytes */
    double number;
    const char *name;
    size_t length;
    struct value value;
};

/* How many members a list has: in Lua its border. */
static size_t length_of(const struct walk *walk, const struct value *table) {
    return walk->at ? table->length : lua_objlen(walk->from, table->index);
}

static struct members members_of(struct walk *walk, const struct value *table) {
    if (!walk->at)
        lua_pushnil(walk->from);
    return (struct members){.left = table->length};
}

static bool next_in_lua(lua_State *from, int table, struct members *members) {
    if (!lua_next(from, table))
        return false;
    members->type = lua_type(from, -2);
    if (members->type == LUA_TSTRING)
        members->name = lua_tolstring(from, -2, &members->length);
    else
        members->number = members->type == LUA_TNUMBER ? lua_tonumber(from, -2) : 0;
    members->value = lua_value(from, -1);
    return true;
}

static bool next_on_tape(struct walk *walk, bool list, struct members *members) {
    if (members->left-- == 0)
        return false;
    if (list) {
        members->type = LUA_TNUMBER;
        members->number++;
    } else {
        members->type = LUA_TSTRING;
        members->name = walk->at->text;
        members->length = walk->at++->count;
    }
    members->value = tape_value(walk);
    return true;
}

static bool next_member(struct walk *walk, const struct value *table, struct members *members) {
    return walk->at ? next_on_tape(walk, table->list, members) : next_in_lua(walk->from, table->index, members);
}

/* After each member: lua_next wants the key on the top. */
static void leave_member(const struct walk *walk) {
    if (!walk->at)
        lua_pop(walk->from, 1);
}

static const char *type_of(const struct value *value) {
    return value->type == LUA_TNIL ? "null" : lua_typename(NULL, value->type);
}

static void visit_number(struct walk *walk, const struct shape *shape, const struct value *value,
                         const struct place *place) {
    if (value->type != LUA_TNUMBER)
        refuse(walk, place, "%s is expected, not a %s", shape->kind == INTEGER ? "an integer" : "a number",
               type_of(value));
    double number = value->number;
    if (!(fabs(number) <= 9007199254740991.0))
        refuse(walk, place, "a number within 2^53 - 1 is expected");
    if (shape->kind == INTEGER && number != (double)(int64_t)number)
        refuse(walk, place, "an integer is expected, not %.17g", number);
    if (number < shape->least)
        refuse(walk, place, "at least %.17g is expected, not %.17g", shape->least, number);
    if (number > shape->most)
        refuse(walk, place, "at most %.17g is expected, not %.17g", shape->most, number);
    if (walk->copy)
        lua_pushnumber(walk->to, number);
}

static void check_values(struct walk *walk, const struct shape *shape, const struct value *value,
                         const struct place *place) {
    struct fastr_buffer list = {0};
    char words[200];
    for (int i = 0; i < shape->value_count; i++)
        if (strlen(shape->values[i]) == value->length && memcmp(shape->values[i], value->text, value->length) == 0)
            return;
    for (int i = 0; i < shape->value_count; i++)
        fastr_buffer_format(&list, "%s%s", i ? ", " : "", shape->values[i]);
    snprintf(words, sizeof words, "%s", list.data ? list.data : "");
    fastr_buffer_free(&list);
    refuse(walk, place, "'%.*s' is not one of %s", value->length < 60 ? (int)value->length : 60, value->text, words);
}

static void visit_text(struct walk *walk, const struct shape *shape, const struct value *value,
                       const struct place *place) {
    size_t length = value->length;
    if (value->type != LUA_TSTRING)
        refuse(walk, place, "a text is expected, not a %s", type_of(value));
    if ((double)length < shape->least)
        refuse(walk, place, "a text of at least %d bytes is expected", (int)shape->least);
    if (length > 65536 || (double)length > shape->most)
        refuse(walk, place, "a text of at most %d bytes is expected", shape->most < 65536 ? (int)shape->most : 65536);
    if (shape->values)
        check_values(walk, shape, value, place);
    if (walk->copy)
        lua_pushlstring(walk->to, value->text, length);
}

static void enter(struct walk *walk, const struct value *value, const struct place *place, int depth,
                  const char *what) {
    if (value->type != LUA_TTABLE)
        refuse(walk, place, "%s is expected, not a %s", what, type_of(value));
    if (depth > DEPTH_MAX)
        refuse(walk, place, "nested more than %d deep", DEPTH_MAX);
}

static void visit_list(struct walk *walk, const struct shape *shape, const struct value *value,
                       const struct place *place, int depth) {
    enter(walk, value, place, depth, "a list");
    if (walk->at && !value->list && value->length)
        refuse(walk, place, "a list is expected, not an object");
    int length = (int)length_of(walk, value), seen = 0;
    if ((double)length > shape->most)
        refuse(walk, place, "a list of at most %d is expected, not %d", (int)shape->most, length);
    if ((double)length < shape->least)
        refuse(walk, place, "a list of at least %d is expected, not %d", (int)shape->least, length);
    if (walk->copy)
        lua_createtable(walk->to, length, 0);
    struct members members = members_of(walk, value);
    while (next_member(walk, value, &members)) {
        if (members.type != LUA_TNUMBER)
            refuse(walk, place, "a list is expected, not an object");
        struct place here = {place, NULL, (int)members.number};
        seen++;
        visit(walk, shape->of, &members.value, &here, depth + 1);
        if (walk->copy)
            lua_rawseti(walk->to, -2, here.index);
        leave_member(walk);
    }
    if (seen != length)
        refuse(walk, place, "a list without holes is expected");
}

static int field_of(const struct shape *shape, const char *name, size_t length) {
    if (length == 0)
        return -1;
    for (unsigned slot = slot_of(name, length); shape->slots[slot] >= 0; slot = (slot + 1) % (2 * FIELDS_MAX)) {
        const struct field *field = &shape->fields[(int)shape->slots[slot]];
        if (field->length == length && memcmp(field->name, name, length) == 0)
            return shape->slots[slot];
    }
    return -1;
}

int fastr_edit_distance(const char *a, const char *b) {
    int row[64], la = (int)strlen(a), lb = (int)strlen(b);
    if (la > 60 || lb > 60)
        return 99;
    for (int j = 0; j <= lb; j++)
        row[j] = j;
    for (int i = 1; i <= la; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int change = corner + (a[i - 1] != b[j - 1]), least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            corner = row[j];
            row[j] = change < least ? change : least;
        }
    }
    return row[lb];
}

static int unknown_field(struct walk *walk, const struct shape *shape, const struct members *key,
                         const struct place *place) {
    char name[128];
    snprintf(name, sizeof name, "%.*s", key->length < 120 ? (int)key->length : 120, key->name);
    const char *best = NULL;
    int least = 2 + (int)strlen(name) / 2;
    for (int i = 0; i < shape->field_count; i++) {
        int far = fastr_edit_distance(name, shape->fields[i].name);
        if (far < least || (far == least && best && strcmp(shape->fields[i].name, best) < 0)) {
            least = far;
            best = shape->fields[i].name;
        }
    }
    struct place here = {place, name, 0};
    if (best)
        return refuse(walk, &here, "unknown field (did you mean '%s'?)", best);
    return refuse(walk, &here, "unknown field");
}

static void visit_missing(struct walk *walk, const struct shape *shape, uint64_t seen, const struct place *place) {
    for (int i = 0; i < shape->field_count; i++) {
        struct place here = {place, shape->fields[i].name, 0};
        if ((shape->required & ~seen) >> i & 1)
            refuse(walk, &here, "is missing");
    }
}

static void visit_field(struct walk *walk, const struct shape *shape, int at, uint64_t *seen, const struct value *value,
                        const struct place *place, int depth) {
    const struct field *field = &shape->fields[at];
    struct place here = {place, field->name, 0};
    if (field->shape->optional && value->type == LUA_TNIL) {
        walk->values++;
        if (!walk->copy || !field->shape->has_null)
            return;
        lua_rawgeti(walk->to, LUA_REGISTRYINDEX, field->key);
        lua_pushnumber(walk->to, field->shape->null_as);
        lua_rawset(walk->to, -3);
        return;
    }
    *seen |= UINT64_C(1) << at;
    if (walk->copy)
        lua_rawgeti(walk->to, LUA_REGISTRYINDEX, field->key);
    visit(walk, field->shape, value, &here, depth + 1);
    if (walk->copy)
        lua_rawset(walk->to, -3);
}

static void visit_object(struct walk *walk, const struct shape *shape, const struct value *value,
                         const struct place *place, int depth) {
    uint64_t seen = 0;
    enter(walk, value, place, depth, "an object");
    int room = walk->at ? (int)value->length : 16;
    if (walk->copy)
        lua_createtable(walk->to, 0, shape->field_count < room ? shape->field_count : room);
    struct members members = members_of(walk, value);
    while (next_member(walk, value, &members)) {
        if (members.type != LUA_TSTRING)
            refuse(walk, place, "an object is expected, not a list");
        int at = field_of(shape, members.name, members.length);
        if (at < 0)
            unknown_field(walk, shape, &members, place);
        visit_field(walk, shape, at, &seen, &members.value, place, depth);
        leave_member(walk);
    }
    if (shape->required & ~seen)
        visit_missing(walk, shape, seen, place);
}

static void push_key(struct walk *walk, const struct members *key) {
    if (key->type == LUA_TSTRING)
        lua_pushlstring(walk->to, key->name, key->length);
    else
        lua_pushnumber(walk->to, key->number);
}

/* The key as a place's name, cut where it is long; on the tape it has no NUL of its own. */
static struct place member_place(const struct members *key, char name[96], const struct place *up) {
    if (key->type != LUA_TSTRING)
        return (struct place){up, NULL, (int)key->number};
    size_t length = key->length < 95 ? key->length : 95;
    memcpy(name, key->name, length);
    name[length] = '\0';
    return (struct place){up, name, 0};
}

/* A map by text, or with `any` whatever plain table. */
static void visit_map(struct walk *walk, const struct shape *of, const struct value *value, const struct place *place,
                      int depth) {
    enter(walk, value, place, depth, "an object");
    bool list = !walk->at || value->list;
    int length = walk->copy ? (int)length_of(walk, value) : 0;
    if (walk->copy)
        lua_createtable(walk->to, list ? length : 0, list ? 0 : length);
    struct members members = members_of(walk, value);
    while (next_member(walk, value, &members)) {
        char name[96];
        struct place here = member_place(&members, name, place);
        if (members.type != LUA_TSTRING && (of || members.type != LUA_TNUMBER))
            refuse(walk, place, "keys are texts");
        bool null = !of && members.value.type == LUA_TNIL;
        if (walk->copy && !null)
            push_key(walk, &members);
        if (!null)
            visit(walk, of, &members.value, &here, depth + 1);
        if (walk->copy && !null)
            lua_rawset(walk->to, -3);
        leave_member(walk);
    }
}

static const struct shape any_boolean = {.kind = BOOLEAN};
static const struct shape any_number = {.kind = NUMBER, .least = -HUGE_VAL, .most = HUGE_VAL};
static const struct shape any_text = {.kind = TEXT, .least = -HUGE_VAL, .most = HUGE_VAL};

static void visit_any(struct walk *walk, const struct value *value, const struct place *place, int depth) {
    switch (value->type) {
    case LUA_TBOOLEAN: visit(walk, &any_boolean, value, place, depth); break;
    case LUA_TNUMBER: visit(walk, &any_number, value, place, depth); break;
    case LUA_TSTRING: visit(walk, &any_text, value, place, depth); break;
    case LUA_TTABLE: visit_map(walk, NULL, value, place, depth); break;
    default: refuse(walk, place, "a plain value is expected, not a %s", type_of(value));
    }
}

static void visit(struct walk *walk, const struct shape *shape, const struct value *value, const struct place *place,
                  int depth) {
    if (++walk->values % CHECK_STEP == 0 && !walk->copy)
        fastr_sandbox_charge(walk->to, CHECK_STEP); /* one table in many places of a value makes it endless */
    switch (shape ? shape->kind : ANY) {
    case ANY: visit_any(walk, value, place, depth); break;
    case NUMBER:
    case INTEGER: visit_number(walk, shape, value, place); break;
    case TEXT: visit_text(walk, shape, value, place); break;
    case LIST: visit_list(walk, shape, value, place, depth); break;
    case OBJECT: visit_object(walk, shape, value, place, depth); break;
    case MAP: visit_map(walk, shape->of, value, place, depth); break;
    case BOOLEAN:
        if (value->type != LUA_TBOOLEAN)
            refuse(walk, place, "true or false is expected, not a %s", type_of(value));
        if (walk->copy)
            lua_pushboolean(walk->to, value->truth);
        break;
    }
}

static const struct shape *shape_of(const struct fastr_shapes *shapes, lua_State *L, const char *name) {
    const struct named *named = find(shapes, name);
    if (!named)
        luaL_error(L, "'%s' was added after its pack was loaded: it has no shape", name);
    return named->shape;
}

/* Walks over a value for `name`; there is room on the stacks for all levels at once. */
static int64_t begin(struct walk *walk, const struct fastr_shapes *shapes, const char *name, const struct value *value) {
    struct place root = {NULL, NULL, 0};
    if (!lua_checkstack(walk->from, STACK_SLOTS) || !lua_checkstack(walk->to, STACK_SLOTS))
        luaL_error(walk->to, "no room on the stack");
    visit(walk, shape_of(shapes, walk->to, name), value, &root, 0);
    return walk->values;
}

int64_t fastr_shape_copy(const struct fastr_shapes *shapes, const char *name, lua_State *from, int index, lua_State *to) {
    struct walk walk = {.from = from, .to = to, .copy = true};
    struct value value = lua_value(from, index);
    return begin(&walk, shapes, name, &value);
}

void fastr_shape_check(const struct fastr_shapes *shapes, const char *name, const char *about, lua_State *L, int index) {
    struct walk walk = {.from = L, .to = L, .about = about};
    struct value value = lua_value(L, index);
    begin(&walk, shapes, name, &value);
}

int64_t fastr_shape_read(const struct fastr_shapes *shapes, const char *name, const struct fastr_json_token *tape,
                         lua_State *to) {
    struct walk walk = {.from = to, .to = to, .at = tape, .copy = true};
    struct value value = tape_value(&walk);
    return begin(&walk, shapes, name, &value);
}
