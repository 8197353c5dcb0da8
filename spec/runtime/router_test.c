/* router_test.c: which route a path finds, with what parameters, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/router.h"

static const struct {
    const char *method, *pattern;
} ROUTES[] = {
    {"GET", "/"},                              /* 0 */
    {"GET", "/products"},                      /* 1 */
    {"GET", "/products/{sku}"},                /* 2 */
    {"PUT", "/products/{id}"},                 /* 3 */
    {"POST", "/products/{sku}/stock"},         /* 4 */
    {"GET", "/products/new"},                  /* 5 */
    {"GET", "/products/new/{day}/report"},     /* 6 */
    {"GET", "/products/{sku}/{a}/{b}"},        /* 7 */
    {"GET", "/users/me"},                      /* 8 */
    {"HEAD", "/users/me"},                     /* 9 */
    {"DELETE", "/carts/{id}/lines/{sku}"},     /* 10 */
    {"GET", "/dir/"},                          /* 11 */
};

static struct fastr_router *build(void)
{
    struct fastr_router *router = fastr_router_new();
    struct fastr_err err;
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++)
        if (fastr_router_add(router, ROUTES[i].method, ROUTES[i].pattern, (int)i, &err)) fail_msg("%s", err.text);
    return router;
}

/* "200 #2 sku=x", "405 GET, HEAD", "404", "400 reason". */
static void describe(struct fastr_router *router, const char *method, const char *path, struct fastr_buffer *out)
{
    char *decoded = fastr_alloc(strlen(path) + 1);
    struct fastr_route_match match;
    int status = fastr_router_find(router, method, strlen(method), path, strlen(path), decoded, &match);
    out->length = 0;
    fastr_buffer_format(out, "%d", status);
    if (status == 200) fastr_buffer_format(out, " #%d", match.index);
    if (status == 405) fastr_buffer_format(out, " %s", match.allow);
    if (status == 400) fastr_buffer_format(out, " %s", match.reason);
    for (int i = 0; i < match.count; i++)
        fastr_buffer_format(out, " %s=%.*s", match.params[i].name, (int)match.params[i].length, match.params[i].value);
    free(decoded);
}

static void finds_and_refuses(void **state)
{
    static const char *const examples[][3] = {
        {"GET", "/", "200 #0"},
        {"GET", "/products", "200 #1"},
        {"HEAD", "/products", "200 #1"},
        {"HEAD", "/users/me", "200 #9"},
        {"GET", "/products/84077", "200 #2 sku=84077"},
        {"PUT", "/products/84077", "200 #3 id=84077"},
        {"POST", "/products/84077/stock", "200 #4 sku=84077"},
        {"GET", "/products/new", "200 #5"},
        {"GET", "/products/newer", "200 #2 sku=newer"},
        {"GET", "/products/new/today/report", "200 #6 day=today"},
        {"GET", "/products/new/today/other", "200 #7 sku=new a=today b=other"}, /* back from the literal */
        {"DELETE", "/carts/1/lines/a%20b", "200 #10 id=1 sku=a b"},
        {"DELETE", "/carts/1/lines/a%2fb", "200 #10 id=1 sku=a/b"},
        {"DELETE", "/carts/1/lines/caf%C3%A9", "200 #10 id=1 sku=caf\xc3\xa9"},
        {"DELETE", "/carts/1/lines/a+b", "200 #10 id=1 sku=a+b"},
        {"DELETE", "/carts/1/lines/...", "200 #10 id=1 sku=..."},
        {"GET", "/%70roducts", "200 #1"},
        {"GET", "/dir/", "200 #11"},
        {"GET", "/dir", "404"},
        {"GET", "/products/", "404"},
        {"GET", "//products", "404"},
        {"GET", "/products//stock", "404"},
        {"GET", "/Products", "404"},
        {"GET", "/users", "404"},
        {"GET", "/users/me/x", "404"},
        {"GET", "*", "404"},
        {"POST", "/products", "405 GET, HEAD"},
        {"POST", "/products/1", "405 GET, HEAD, PUT"},
        {"PUT", "/products/new", "405 GET, HEAD"}, /* the path alone chooses the place */
        {"OPTIONS", "/users/me", "405 GET, HEAD"},
        {"get", "/products", "405 GET, HEAD"},
        {"GET", "/products/%", "400 a bad percent escape, or bytes that are not UTF-8"},
        {"GET", "/products/%4", "400 a bad percent escape, or bytes that are not UTF-8"},
        {"GET", "/products/%4g", "400 a bad percent escape, or bytes that are not UTF-8"},
        {"GET", "/products/%00", "400 a bad percent escape, or bytes that are not UTF-8"},
        {"GET", "/products/%ff", "400 a bad percent escape, or bytes that are not UTF-8"},
        {"GET", "/products/%c0%af", "400 a bad percent escape, or bytes that are not UTF-8"},
        {"GET", "/products/%ed%a0%80", "400 a bad percent escape, or bytes that are not UTF-8"},
        {"GET", "/products/%0a", "400 a control character"},
        {"GET", "/products/..", "400 a dot segment"},
        {"GET", "/products/%2e%2E/x", "400 a dot segment"},
        {"GET", "/./products", "400 a dot segment"},
    };
    struct fastr_router *router = build();
    struct fastr_buffer got = {0};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        describe(router, examples[i][0], examples[i][1], &got);
        if (strcmp(got.data, examples[i][2]) != 0)
            fail_msg("%s %s: expected %s, got %s", examples[i][0], examples[i][1], examples[i][2], got.data);
    }
    fastr_buffer_free(&got);
    fastr_router_free(router);
}

static void gives_the_decoded_path(void **state)
{
    struct fastr_router *router = build();
    const char *path = "/carts/1/lines/a%2Fb%20c";
    char decoded[64];
    struct fastr_route_match match;
    fastr_router_find(router, "DELETE", 6, path, strlen(path), decoded, &match);
    assert_string_equal(match.path, "/carts/1/lines/a/b c");
    assert_int_equal(match.path_length, strlen(match.path));
    fastr_router_free(router);
}

static void refuses_bad_patterns(void **state)
{
    static const char *const examples[][2] = {
        {"GET", "products"},  {"GET", ""},           {"GET", "/{a}/{a}"},     {"GET", "/{}"},
        {"GET", "/{a-b}"},    {"GET", "/{1}"},       {"GET", "/a{b}"},        {"GET", "/{b}a"},
        {"GET", "/a%20"},     {"GET", "/a?b"},       {"get", "/a"},           {"", "/a"},
        {"GET", "/products"}, {"GET", "/products/{other}"},
        {"GET", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}"},
    };
    struct fastr_router *router = build();
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        struct fastr_err err = {.text = ""};
        assert_int_equal(fastr_router_add(router, examples[i][0], examples[i][1], 99, &err), -1);
        assert_string_equal(err.code, "invalid");
        assert_non_null(strstr(err.text, examples[i][1]));
    }
    fastr_router_free(router);
}

/* Patterns made to send a look-up back and forth: its work must stay near the number of nodes. */
static void stays_linear(void **state)
{
    struct fastr_router *router = fastr_router_new();
    struct fastr_buffer path = {0}, decoded = {0};
    for (int bits = 0; bits < 1 << 10; bits++) { /* every mix of /a and /{name}, 10 deep, ending in /end */
        struct fastr_buffer pattern = {0};
        for (int i = 0; i < 10; i++)
            if (bits >> i & 1) fastr_buffer_format(&pattern, "/{n%d}", i);
            else fastr_buffer_text(&pattern, "/a");
        fastr_buffer_text(&pattern, "/end");
        assert_int_equal(fastr_router_add(router, "GET", pattern.data, bits, NULL), 0);
        fastr_buffer_free(&pattern);
    }
    for (int i = 0; i < 10; i++) fastr_buffer_text(&path, "/a");
    fastr_buffer_text(&path, "/none");
    uint64_t started = fastr_clock_us();
    struct fastr_route_match match;
    for (int i = 0; i < 100; i++)
        assert_int_equal(fastr_router_find(router, "GET", 3, path.data, path.length,
                                           fastr_buffer_reserve(&decoded, path.length + 1), &match), 404);
    assert_true(fastr_clock_us() - started < 2000000); /* 2,047 nodes x 100; a second is ages */
    fastr_buffer_free(&path);
    fastr_buffer_free(&decoded);
    fastr_router_free(router);
}

static void decodes_queries(void **state)
{
    char out[64];
    assert_int_equal(fastr_url_decode("a+b%2B%20", 9, true, out), 5);
    assert_string_equal(out, "a b+ ");
    assert_int_equal(fastr_url_decode("a+b", 3, false, out), 3);
    assert_string_equal(out, "a+b");
    assert_int_equal(fastr_url_decode("%e2%82%ac", 9, true, out), 3);
    assert_int_equal(fastr_url_decode("%e2%82", 6, true, out), -1);
    assert_int_equal(fastr_url_decode("%00", 3, true, out), -1);
    assert_int_equal(fastr_url_decode("%2", 2, true, out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_and_refuses),   cmocka_unit_test(gives_the_decoded_path),
        cmocka_unit_test(refuses_bad_patterns), cmocka_unit_test(stays_linear),
        cmocka_unit_test(decodes_queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
