/* router.c: from a method and a path to a route; see router.h.
 *
 * A tree by segments. Children of a node are its literals, in a list sorted by length and bytes, and at most one name:
 *
 *   / -- products -- {} -- stock        GET /products/{sku}, POST /products/{sku}/stock
 *    \-- carts ----- {} -- lines -- {}
 *
 * A look-up goes down the literal first and comes back for the name if that led nowhere. A node is reached by one way
 * only, so each is visited at most once. Names belong to routes, not to nodes: two methods may name a segment
 * differently. */
#include "runtime/router.h"

#include <stdlib.h>
#include <string.h>

enum { SEGMENTS = 64 }; /* in a path looked up; no pattern comes near */

struct route {
    char *method;
    size_t method_length;
    int index;
    int count;
    char *names[FASTR_ROUTE_PARAMS];
    struct route *next;
};

struct node {
    char *literal; /* NULL in a name's node */
    size_t length;
    struct node **literals; /* sorted */
    size_t literal_count;
    struct node *name;
    struct route *routes;
    char *allow; /* "GET, HEAD, POST"; NULL while no route ends here */
};

struct fastr_router {
    struct node root;
};

struct segment {
    const char *text;
    size_t length;
};

/* ---- characters ------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Length of the UTF-8 sequence at `p`, 0 if it is none (RFC 3629: no overlong ones, no surrogates, up to U+10FFFF). */
static size_t utf8_length(const unsigned char *p, const unsigned char *end)
{
    size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length > (size_t)(end - p)) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)) return 0;
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) return 0;
    return length;
}

static bool is_utf8(const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + length;
    while (p < end) {
        size_t step = utf8_length(p, end);
        if (step == 0) return false;
        p += step;
    }
    return true;
}

ptrdiff_t fastr_url_decode(const char *text, size_t length, bool plus, char *out)
{
    size_t n = 0;
    bool ascii = true;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1, low = high < 0 ? -1 : hex_digit(text[i + 2]);
            if (low < 0) return -1;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0') return -1;
        ascii &= (unsigned char)c < 0x80;
        out[n++] = c;
    }
    out[n] = '\0';
    return ascii || is_utf8(out, n) ? (ptrdiff_t)n : -1;
}

/* ---- the tree --------------------------------------------------------------------------------------------------- */

static void node_clear(struct node *node)
{
    for (size_t i = 0; i < node->literal_count; i++) {
        node_clear(node->literals[i]);
        free(node->literals[i]);
    }
    if (node->name) node_clear(node->name);
    for (struct route *route = node->routes, *next; route; route = next) {
        next = route->next;
        for (int i = 0; i < route->count; i++) free(route->names[i]);
        free(route->method);
        free(route);
    }
    free(node->name);
    free(node->literals);
    free(node->literal);
    free(node->allow);
}

struct fastr_router *fastr_router_new(void)
{
    return fastr_zalloc(sizeof(struct fastr_router));
}

void fastr_router_free(struct fastr_router *router)
{
    if (!router) return;
    node_clear(&router->root);
    free(router);
}

static int compare(const struct node *node, struct segment segment)
{
    if (node->length != segment.length) return node->length < segment.length ? -1 : 1;
    return memcmp(node->literal, segment.text, segment.length);
}

/* Where `segment` is among the node's literals, or belongs. */
static size_t find_literal(const struct node *node, struct segment segment, bool *found)
{
    size_t low = 0, high = node->literal_count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = (low + high) / 2;
        int order = compare(node->literals[middle], segment);
        *found = order == 0;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return *found ? high : low;
}

static struct node *child_for(struct node *node, struct segment segment, bool is_name)
{
    if (is_name) return node->name ? node->name : (node->name = fastr_zalloc(sizeof *node));
    bool found;
    size_t at = find_literal(node, segment, &found);
    if (found) return node->literals[at];
    node->literals = fastr_realloc(node->literals, (node->literal_count + 1) * sizeof *node->literals);
    memmove(node->literals + at + 1, node->literals + at, (node->literal_count - at) * sizeof *node->literals);
    node->literal_count++;
    struct node *child = node->literals[at] = fastr_zalloc(sizeof *child);
    child->literal = fastr_strndup(segment.text, segment.length);
    child->length = segment.length;
    return child;
}

/* Takes the next segment of a path that begins with '/'. False at its end. */
static bool next_segment(const char **at, const char *end, struct segment *segment)
{
    if (*at >= end) return false;
    const char *from = *at + 1, *slash = memchr(from, '/', (size_t)(end - from));
    *segment = (struct segment){from, (size_t)((slash ? slash : end) - from)};
    *at = slash ? slash : end;
    return true;
}

/* ---- adding ----------------------------------------------------------------------------------------------------- */

static int bad_pattern(struct fastr_err *err, const char *pattern, const char *what)
{
    return fastr_fail(err, "invalid", "route \"%s\": %s", pattern, what);
}

static bool is_identifier(struct segment name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) return false;
    }
    return name.length > 0;
}

static bool uses_name(const struct route *route, struct segment name)
{
    for (int i = 0; i < route->count; i++)
        if (strlen(route->names[i]) == name.length && memcmp(route->names[i], name.text, name.length) == 0) return true;
    return false;
}

/* A segment of a pattern: {name}, which goes to the route, or a literal without braces, escapes and dot segments. */
static int read_segment(struct route *route, struct segment *segment, bool *is_name, const char *pattern,
                        struct fastr_err *err)
{
    *is_name = segment->length >= 2 && *segment->text == '{' && segment->text[segment->length - 1] == '}';
    if (!*is_name) {
        for (size_t i = 0; i < segment->length; i++)
            if (strchr("{}%?# \\", segment->text[i])) return bad_pattern(err, pattern, "a segment is text or {name}");
        return 0;
    }
    *segment = (struct segment){segment->text + 1, segment->length - 2};
    if (!is_identifier(*segment)) return bad_pattern(err, pattern, "a name is letters, digits and \"_\"");
    if (uses_name(route, *segment)) return bad_pattern(err, pattern, "a name is used twice");
    if (route->count == FASTR_ROUTE_PARAMS) return bad_pattern(err, pattern, "it has more than 16 names");
    route->names[route->count++] = fastr_strndup(segment->text, segment->length);
    return 0;
}

static const struct route *find_route(const struct node *node, const char *method, size_t length)
{
    for (const struct route *route = node->routes; route; route = route->next)
        if (route->method_length == length && memcmp(route->method, method, length) == 0) return route;
    return NULL;
}

/* HEAD is named beside GET, which serves it. */
static void write_allow(struct node *node)
{
    struct fastr_buffer text = {0};
    for (const struct route *route = node->routes; route; route = route->next) {
        fastr_buffer_format(&text, "%s%s", text.length ? ", " : "", route->method);
        if (strcmp(route->method, "GET") == 0 && !find_route(node, "HEAD", 4)) fastr_buffer_text(&text, ", HEAD");
    }
    free(node->allow);
    node->allow = text.data;
}

static void hang(struct node *node, struct route *route)
{
    struct route **at = &node->routes;
    while (*at && strcmp((*at)->method, route->method) < 0) at = &(*at)->next;
    route->next = *at;
    *at = route;
    write_allow(node);
}

static bool is_method(const char *method)
{
    size_t letters = strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return letters > 0 && method[letters] == '\0' && letters <= 32;
}

/* Walks the pattern, growing the tree; the node it ends at, or NULL with err filled. */
static struct node *grow(struct node *node, struct route *route, const char *pattern, struct fastr_err *err)
{
    const char *at = pattern, *end = pattern + strlen(pattern);
    struct segment segment;
    for (int depth = 0; next_segment(&at, end, &segment); depth++) {
        bool is_name;
        if (depth == SEGMENTS) return bad_pattern(err, pattern, "it has more than 64 segments"), NULL;
        if (read_segment(route, &segment, &is_name, pattern, err)) return NULL;
        node = child_for(node, segment, is_name);
    }
    return node;
}

int fastr_router_add(struct fastr_router *router, const char *method, const char *pattern, int index,
                     struct fastr_err *err)
{
    if (*pattern != '/') return bad_pattern(err, pattern, "it does not begin with \"/\"");
    if (!is_method(method)) return bad_pattern(err, pattern, "its method is not upper-case letters");
    struct node scratch = {.routes = fastr_zalloc(sizeof(struct route))}; /* owns the route until it hangs */
    struct route *route = scratch.routes;
    route->method = fastr_strdup(method);
    route->method_length = strlen(method);
    route->index = index;
    struct node *node = grow(&router->root, route, pattern, err);
    bool taken = node && find_route(node, method, route->method_length);
    if (taken) fastr_fail(err, "invalid", "route \"%s %s\" is declared twice", method, pattern);
    if (!node || taken) return node_clear(&scratch), -1;
    hang(node, route);
    return 0;
}

/* ---- looking up ------------------------------------------------------------------------------------------------- */

static bool is_dots(struct segment segment)
{
    return (segment.length == 1 && segment.text[0] == '.') ||
           (segment.length == 2 && segment.text[0] == '.' && segment.text[1] == '.');
}

static bool has_control(struct segment segment)
{
    for (size_t i = 0; i < segment.length; i++)
        if ((unsigned char)segment.text[i] < 0x20 || segment.text[i] == 0x7f) return true;
    return false;
}

/* Decodes the path into `decoded`, segment by segment, so that an encoded '/' splits none. Returns how many segments
 * there are, or -1 with the reason set. */
static int split(const char *path, size_t length, char *decoded, struct segment *segments,
                 struct fastr_route_match *match)
{
    const char *at = path, *end = path + length;
    char *out = decoded;
    struct segment raw;
    int count = 0;
    while (next_segment(&at, end, &raw)) {
        *out++ = '/';
        ptrdiff_t size = fastr_url_decode(raw.text, raw.length, false, out);
        struct segment segment = {out, size < 0 ? 0 : (size_t)size};
        if (size < 0) return match->reason = "a bad percent escape, or bytes that are not UTF-8", -1;
        if (has_control(segment)) return match->reason = "a control character", -1;
        if (is_dots(segment)) return match->reason = "a dot segment", -1;
        if (count < SEGMENTS) segments[count] = segment;
        count++;
        out += size;
    }
    *out = '\0';
    match->path = decoded;
    match->path_length = (size_t)(out - decoded);
    return count;
}

struct walk {
    const struct segment *segments;
    int count;
    int params[FASTR_ROUTE_PARAMS]; /* which segments the names took */
};

/* The node with routes for the segments from `depth` on; literals before names. `names` were taken so far. */
static const struct node *walk_down(const struct node *node, struct walk *walk, int depth, int names)
{
    if (depth == walk->count) return node->routes ? node : NULL;
    struct segment segment = walk->segments[depth];
    bool found;
    size_t at = find_literal(node, segment, &found);
    const struct node *end = found ? walk_down(node->literals[at], walk, depth + 1, names) : NULL;
    if (end || !node->name || segment.length == 0) return end;
    walk->params[names] = depth; /* a tree has no node below 16 names: no pattern has more */
    return walk_down(node->name, walk, depth + 1, names + 1);
}

static void fill_params(const struct route *route, const struct walk *walk, struct fastr_route_match *match)
{
    match->index = route->index;
    match->count = route->count;
    for (int i = 0; i < route->count; i++) {
        struct segment segment = walk->segments[walk->params[i]];
        match->params[i] = (struct fastr_route_param){route->names[i], segment.text, segment.length};
    }
}

int fastr_router_find(const struct fastr_router *router, const char *method, size_t method_length, const char *path,
                      size_t length, char *decoded, struct fastr_route_match *match)
{
    struct segment segments[SEGMENTS];
    match->index = -1;
    match->count = 0;
    match->allow = match->reason = match->path = NULL;
    struct walk walk = {.segments = segments, .count = split(path, length, decoded, segments, match)};
    if (walk.count < 0) return 400;
    if (walk.count > SEGMENTS || length == 0 || *path != '/') return 404;
    const struct node *node = walk_down(&router->root, &walk, 0, 0);
    if (!node) return 404;
    match->allow = node->allow;
    const struct route *route = find_route(node, method, method_length);
    if (!route && method_length == 4 && memcmp(method, "HEAD", 4) == 0) route = find_route(node, "GET", 3);
    if (!route) return 405;
    fill_params(route, &walk, match);
    return 200;
}
