/* trial_test.c: a trial's word, its counters and its guard, also when several processes count at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/trial.h"

static struct fastr_trial *trial;

static int make_trial(void **state) {
    trial = mmap(NULL, sizeof *trial, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return trial == MAP_FAILED ? -1 : 0;
}

static int free_trial(void **state) {
    return munmap(trial, sizeof *trial);
}

static uint64_t begin(int drift, int errors, int after) {
    struct fastr_trial_plan plan = {.mode = FASTR_TRIAL_CANARY, .share = 500, .hash = "b0", .by = "me", .against = 7,
                                    .limits = {drift, errors, after}};
    return fastr_trial_begin(trial, &plan);
}

static bool compared(uint64_t word, const char *key, int64_t live, int64_t candidate) {
    struct fastr_trial_pair pair = {key, "GBP", live, candidate, "A x 2", "vip"};
    return fastr_trial_compared(trial, word, &pair);
}

static const char *described(uint64_t live) {
    static struct fastr_buffer out;
    out.length = 0;
    fastr_trial_describe(trial, live, &out);
    return out.data;
}

static void a_line_without_a_trial_has_none(void **state) {
    struct fastr_trial_plan plan;
    assert_int_equal(0, fastr_trial_read(trial, &plan));
    assert_string_equal("null", described(7));
    assert_true(fastr_trial_is_sound(trial));
    assert_false(fastr_trial_end(trial, 0, "nothing", false));
}

static void a_word_tells_mode_and_share_and_never_comes_twice(void **state) {
    uint64_t first = begin(200, 1, 20);
    assert_int_equal(FASTR_TRIAL_CANARY, fastr_trial_mode(first));
    assert_int_equal(500, fastr_trial_share(first));
    assert_true(fastr_trial_runs(trial, first));
    assert_true(fastr_trial_end(trial, first, "enough", false));
    assert_false(fastr_trial_runs(trial, first));
    assert_false(fastr_trial_end(trial, first, "again", false));
    assert_string_equal("enough", trial->reason);
    assert_true(begin(200, 1, 20) != first);
}

static void a_trial_is_over_when_another_version_is_live(void **state) {
    begin(200, 1, 20);
    assert_non_null(strstr(described(7), "\"running\":true"));
    assert_non_null(strstr(described(8), "\"running\":false"));
}

static void keys_fall_evenly_and_stay_where_they_fell(void **state) {
    int in = 0;
    char key[32];
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof key, "cart-%d", i);
        int bucket = fastr_trial_bucket("b0", key);
        assert_in_range(bucket, 0, 9999);
        assert_int_equal(bucket, fastr_trial_bucket("b0", key));
        in += bucket < 500;
    }
    assert_in_range(in, 430, 570); /* 500 +- 3.2 standard deviations */
}

static void drift_within_the_limit_goes_on(void **state) {
    uint64_t word = begin(200, 1, 20);
    for (int i = 0; i < 100; i++)
        assert_false(compared(word, "cart", 1000, i % 2 ? 1020 : 1010));
    assert_true(fastr_trial_runs(trial, word));
    assert_int_equal(100, trial->compared);
    assert_int_equal(100 * 1000, trial->money[0].base);
    assert_int_equal(50 * 20 + 50 * 10, trial->money[0].dearer);
}

static void dearer_than_the_limit_ends_it_once_enough_was_seen(void **state) {
    uint64_t word = begin(200, 1, 20);
    for (int i = 0; i < 19; i++)
        assert_false(compared(word, "cart", 1000, 1100));
    assert_true(compared(word, "cart", 1000, 1100));
    assert_false(fastr_trial_runs(trial, word));
    assert_true(trial->is_breach);
    assert_string_equal("dearer by 2000 minor units of GBP in 20 decisions, 10.00 % of the live sum; the limit is 2.00 %",
                        trial->reason);
    assert_false(compared(word, "cart", 1000, 1100));
    assert_int_equal(20, trial->compared);
}

static void cheaper_and_dearer_do_not_cancel_out(void **state) {
    uint64_t word = begin(200, 1, 4);
    assert_false(compared(word, "a", 1000, 1100));
    assert_false(compared(word, "b", 1000, 900));
    assert_false(compared(word, "c", 1000, 1100));
    assert_true(compared(word, "d", 1000, 900));
    assert_non_null(strstr(described(7), "\"dearer\":200,\"cheaper\":200,\"difference\":0"));
}

static void a_base_of_nothing_allows_nothing(void **state) {
    uint64_t word = begin(200, 1, 2);
    assert_false(compared(word, "a", 0, 0));
    assert_true(compared(word, "b", 0, 1));
}

static void currencies_are_counted_apart_and_too_many_are_dropped(void **state) {
    static const char *const currencies[] = {"GBP", "EUR", "USD", "JPY", "CHF"};
    uint64_t word = begin(200, 1, 20);
    for (int i = 0; i < 5; i++) {
        struct fastr_trial_pair pair = {"k", currencies[i], 1000, 1001 + i, "", ""};
        assert_false(fastr_trial_compared(trial, word, &pair));
    }
    assert_int_equal(4, trial->compared);
    assert_int_equal(1, trial->dropped);
    assert_int_equal(4, trial->money[3].dearer);
}

static void as_many_errors_as_allowed_end_it(void **state) {
    uint64_t word = begin(200, 2, 20);
    assert_false(fastr_trial_failed(trial, word, true, "price.cart: a.lua:3: too long"));
    assert_true(fastr_trial_failed(trial, word, false, "price.cart: a.lua:4: raised"));
    assert_string_equal("the candidate failed: price.cart: a.lua:4: raised", trial->reason);
    assert_int_equal(2, trial->errors);
    assert_int_equal(1, trial->kills);
}

static void one_worker_stuck_ends_it_whatever_the_limits(void **state) {
    uint64_t word = begin(200, 100, 20);
    assert_true(fastr_trial_stuck(trial, word, "price.cart"));
    assert_true(trial->is_breach);
    assert_string_equal("the candidate got a worker stuck in price.cart", trial->reason);
    assert_int_equal(1, trial->errors);
    assert_int_equal(1, trial->kills);
    assert_false(fastr_trial_stuck(trial, word, "price.cart")); /* the next one: it is over */
    assert_int_equal(1, trial->kills);
}

static void other_answers_than_the_live_ones_end_it(void **state) {
    uint64_t word = begin(200, 1, 20);
    for (int i = 0; i < 50; i++)
        assert_false(fastr_trial_judged(trial, word, i != 7, "order.accept"));
    assert_true(fastr_trial_judged(trial, word, false, "cart.accept"));
    assert_string_equal("other answers than the live ones in 2 of 51 decisions, the last cart.accept; the limit is 2.00 %",
                        trial->reason);
    assert_int_equal(0, trial->compared);
}

static void the_ten_worst_are_kept_each_once(void **state) {
    char key[8];
    uint64_t word = begin(100000, 1, 1000);
    for (int i = 1; i <= 40; i++) {
        snprintf(key, sizeof key, "c%d", i);
        compared(word, key, 1000, 1000 + i * (i % 2 ? 1 : -1));
        compared(word, key, 1000, 1000 + i * (i % 2 ? 1 : -1));
    }
    const char *text = described(7);
    assert_non_null(strstr(text, "\"worst\":[{\"key\":\"c40\",\"delta\":-40,\"currency\":\"GBP\",\"line\":\"A x 2\",\"rule\":\"vip\"}"));
    assert_non_null(strstr(text, "\"key\":\"c31\",\"delta\":31"));
    assert_null(strstr(text, "\"key\":\"c30\""));
}

/* A process that was killed while it wrote the worst does not stop the others. */
static void a_dead_holder_is_passed_by(void **state) {
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(pid, waitpid(pid, &status, 0));
    uint64_t word = begin(100000, 1, 1000);
    trial->worst_holder = pid;
    compared(word, "c", 1000, 1001);
    assert_non_null(strstr(described(7), "\"key\":\"c\""));
}

static void nothing_is_lost_when_many_processes_count(void **state) {
    uint64_t word = begin(1000000, 1000000, 1000000);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            for (int k = 0; k < 5000; k++)
                compared(word, "c", 1000, 1001 + k % 7);
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    assert_int_equal(20000, trial->compared);
    assert_int_equal(20000 * 1000, trial->money[0].base);
    int64_t sum = 0;
    for (int k = 0; k < 5000; k++)
        sum += 1 + k % 7;
    assert_int_equal(4 * sum, trial->money[0].dearer);
}

static void one_of_many_processes_ends_it(void **state) {
    uint64_t word = begin(200, 1, 20);
    int ended = 0;
    for (int i = 0; i < 4; i++)
        if (fork() == 0) {
            int mine = 0;
            for (int k = 0; k < 5000; k++)
                mine += compared(word, "c", 1000, 1100);
            _exit(mine);
        }
    for (int i = 0, status; i < 4; i++) {
        assert_true(wait(&status) > 0);
        ended += WEXITSTATUS(status);
    }
    assert_int_equal(1, ended);
    assert_in_range(trial->compared, 20, 24); /* each of the others was at most at one when the word went */
}

static void noise_is_not_sound(void **state) {
    begin(200, 1, 20);
    assert_true(fastr_trial_is_sound(trial));
    atomic_fetch_add(&trial->word, 1);
    assert_false(fastr_trial_is_sound(trial));
    begin(200, 1, 20);
    trial->size++; /* another build's */
    assert_false(fastr_trial_is_sound(trial));
    memset(trial, 0xA5, sizeof *trial);
    assert_false(fastr_trial_is_sound(trial));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_trial, free_trial)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_line_without_a_trial_has_none),
        TEST(a_word_tells_mode_and_share_and_never_comes_twice),
        TEST(a_trial_is_over_when_another_version_is_live),
        TEST(keys_fall_evenly_and_stay_where_they_fell),
        TEST(drift_within_the_limit_goes_on),
        TEST(dearer_than_the_limit_ends_it_once_enough_was_seen),
        TEST(cheaper_and_dearer_do_not_cancel_out),
        TEST(a_base_of_nothing_allows_nothing),
        TEST(currencies_are_counted_apart_and_too_many_are_dropped),
        TEST(as_many_errors_as_allowed_end_it),
        TEST(one_worker_stuck_ends_it_whatever_the_limits),
        TEST(other_answers_than_the_live_ones_end_it),
        TEST(the_ten_worst_are_kept_each_once),
        TEST(a_dead_holder_is_passed_by),
        TEST(nothing_is_lost_when_many_processes_count),
        TEST(one_of_many_processes_ends_it),
        TEST(noise_is_not_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
