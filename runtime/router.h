/* router.h: from a method and a path to a route.
 *
 * Leans on fastr.h only. A tree by path segments; a segment is literal or {name}, and a literal wins over a name. The
 * path alone chooses the place, then the method the route in it. A look-up is linear in the path and, at worst, in the
 * number of patterns; it allocates nothing. */
#ifndef FASTR_ROUTER_H
#define FASTR_ROUTER_H

#include "runtime/fastr.h"

struct fastr_router;

enum { FASTR_ROUTE_PARAMS = 16 }; /* at most, per pattern */

struct fastr_route_param {
    const char *name;  /* lives as long as the router */
    const char *value; /* decoded, not NUL-terminated, inside the caller's `decoded` */
    size_t length;
};

struct fastr_route_match {
    int index;          /* as added; -1 unless the status is 200 */
    const char *allow;  /* the place's methods, "GET, HEAD, POST", for 405 and OPTIONS; NULL for 404 and 400 */
    const char *reason; /* for 400: what is wrong with the path */
    const char *path;   /* the decoded path, NUL-terminated: `decoded` itself. An encoded '/' is a plain one here, but
                           never splits a parameter. Set but for 400 */
    size_t path_length;
    int count;
    struct fastr_route_param params[FASTR_ROUTE_PARAMS];
};

/* Never NULL. The caller frees (NULL is fine). */
struct fastr_router *fastr_router_new(void);
void fastr_router_free(struct fastr_router *router);

/* Adds a route. `pattern` begins with '/'; "/products/{sku}/stock". `index` is what a look-up gives back. Copies all.
 * -1 with `err` ("invalid") for a pattern that does not parse, more than 16 names, a name used twice, a method that is
 * no upper-case token, and for a second route of the same method and place (whatever its names). */
int fastr_router_add(struct fastr_router *router, const char *method, const char *pattern, int index,
                     struct fastr_err *err);

/* Looks up. `path` is percent-encoded, without query (RFC 3986 §3.3); `decoded` is the caller's, with room for
 * length + 1 bytes, and must live as long as the match is used. Fills *match and returns
 *   200  found (HEAD is served by GET where it has no route of its own)
 *   404  no such path; an empty segment matches no name, and a trailing '/' is another path
 *   405  the path exists, not with this method: `allow` says which
 *   400  a bad percent escape, an encoded NUL or control character, bytes that are not UTF-8 once decoded, or a "." or
 *        ".." segment, encoded or not (a client resolves these; here they only serve to get past a proxy's rules). */
int fastr_router_find(const struct fastr_router *router, const char *method, size_t method_length, const char *path,
                      size_t length, char *decoded, struct fastr_route_match *match);

/* Decodes percent escapes of `text` into `out` (room for length + 1; may be `text` itself) and ends it with a NUL;
 * `plus` also turns '+' into a space, as forms and queries do. Returns the new length, or -1 for a bad escape, a NUL,
 * or what is not UTF-8 once decoded. For queries and forms. */
ptrdiff_t fastr_url_decode(const char *text, size_t length, bool plus, char *out);

#endif
