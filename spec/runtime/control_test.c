/* control_test.c: why a master refused, as who asked it reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "runtime/control.h"

static void reads(const char *reply, const char *expected)
{
    char *reason = fastr_control_reason(reply);
    assert_string_equal(expected, reason);
    free(reason);
}

static void a_refusal_is_its_text(void **state)
{
    reads("{\"ok\":false,\"error\":\"init.lua:3: unknown name 'x'\"}", "init.lua:3: unknown name 'x'");
    reads("{\"ok\":false,\"error\":\"\"}", "");
}

static void escapes_are_what_they_stand_for(void **state)
{
    reads("{\"ok\":false,\"error\":\"say \\\"x\\\"\\n\\tat C:\\\\lib \\u00e9\"}", "say \"x\"\n\tat C:\\lib \xc3\xa9");
}

static void a_reply_without_a_reason_is_shown_whole(void **state)
{
    static const char *const replies[] = {"", "{}", "[1]", "no JSON", "{\"ok\":false}", "{\"ok\":false,\"error\":7}",
                                          "{\"lines\":[{\"error\":\"x\"}],\"ok\":true}", NULL};
    for (int i = 0; replies[i]; i++)
        reads(replies[i], replies[i]);
}

static void a_text_of_a_reply_is_found_by_its_name(void **state)
{
    char *hash = fastr_control_text("{\"ok\":true,\"hash\":\"7c1e\",\"us\":12}", "hash");
    assert_string_equal("7c1e", hash);
    free(hash);
    assert_null(fastr_control_text("{\"ok\":true}", "hash"));
    assert_null(fastr_control_text("{\"hash\":7}", "hash"));
    assert_null(fastr_control_text("no JSON", "hash"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_is_its_text),
        cmocka_unit_test(a_text_of_a_reply_is_found_by_its_name),
        cmocka_unit_test(escapes_are_what_they_stand_for),
        cmocka_unit_test(a_reply_without_a_reason_is_shown_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
