/* version_test.c: what a process makes of files that a crash or a full disk has damaged: the activation file and stored
 * bundles. Each look at the former is a process of its own, as it is mapped for good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/bundle.h"
#include "runtime/version.h"

/* The places of the file that the tests damage: see struct file in version.c. */
enum { MAGIC = 16, NAME = 64, LIVE = MAGIC + NAME, SLOT = 144, SEQUENCE = 72 + 48 + 8 };
enum { WITHOUT_TRIALS = MAGIC + 128 * (NAME + 8 + 8 * SLOT) }; /* what a build that knows no trials has written */

static char var[64], path[96];

static int make_folder(void **state) {
    strcpy(var, "/tmp/fastr-version-XXXXXX");
    if (!mkdtemp(var))
        return -1;
    snprintf(path, sizeof path, "%s/run/active", var);
    return 0;
}

static int remove_folder(void **state) {
    char command[160];
    snprintf(command, sizeof command, "rm -r %s", var);
    return system(command);
}

static const struct fastr_builder builder = {.line = "rules"};

/* Opens the file, and a line of this name in it, in another process: "" or why not. */
static const char *opened_for(const char *name) {
    static char text[sizeof((struct fastr_err *)0)->text];
    struct fastr_err err = {{0}, {0}};
    int ends[2], status;
    assert_int_equal(0, pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        if (fastr_versions_open(var, &err) == 0)
            fastr_line_open(name, &builder, &err);
        _exit(write(ends[1], err.text, sizeof err.text) < 0);
    }
    close(ends[1]);
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(sizeof text, read(ends[0], text, sizeof text));
    close(ends[0]);
    return text;
}

static const char *opened(void) {
    return opened_for("rules");
}

static void damage(off_t at, const void *bytes, size_t length) {
    int fd = open(path, O_WRONLY);
    assert_int_equal(length, pwrite(fd, bytes, length, at));
    close(fd);
}

static void a_missing_or_empty_file_begins_anew(void **state) {
    assert_string_equal("", opened());
    assert_int_equal(0, truncate(path, 0));
    assert_string_equal("", opened());
    assert_string_equal("", opened());
}

static void a_cut_file_is_filled_up(void **state) {
    assert_string_equal("", opened());
    assert_int_equal(0, truncate(path, 300));
    assert_string_equal("", opened());
}

static void a_name_too_long_is_refused_and_takes_no_place(void **state) {
    char name[NAME + 1];
    memset(name, 'n', NAME);
    name[NAME] = '\0';
    assert_non_null(strstr(opened_for(name), "is longer than 63 bytes"));
    assert_string_equal("", opened());
    assert_string_equal("", opened_for(name + 1));
}

static void a_foreign_file_is_refused(void **state) {
    assert_string_equal("", opened());
    assert_int_equal(0, truncate(path, 7));
    assert_non_null(strstr(opened(), "is not an activation file"));
}

static void a_live_word_that_leads_nowhere_is_refused(void **state) {
    assert_string_equal("", opened());
    for (uint64_t slot = 0; slot < 256; slot += 51) {
        uint64_t live = 7 << 8 | slot;
        damage(LIVE, &live, sizeof live);
        assert_non_null(strstr(opened(), "is damaged"));
    }
}

static void texts_without_an_end_are_refused(void **state) {
    char noise[8192];
    memset(noise, 0xA5, sizeof noise);
    assert_string_equal("", opened());
    damage(MAGIC, noise, NAME);
    assert_non_null(strstr(opened(), "is damaged"));
    damage(MAGIC, noise, sizeof noise);
    assert_non_null(strstr(opened(), "is damaged"));
}

/* Opens the file in another process, and exits with the first letter of what is live; 0: nothing is, 1: a trial runs, or it was refused. */
static int live(void) {
    struct fastr_err err;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        char hash[65] = "";
        struct fastr_line *line = fastr_versions_open(var, &err) ? NULL : fastr_line_open("rules", &builder, &err);
        if (line)
            fastr_line_live(line, hash);
        _exit(line && !fastr_line_trial(line)->word ? hash[0] : 1);
    }
    assert_int_equal(pid, waitpid(pid, &status, 0));
    return WEXITSTATUS(status);
}

static void what_is_live_outlives_a_file_without_trials_and_damaged_ones(void **state) {
    uint64_t word = 7 << 8, sequence = 7;
    char noise[8192];
    memset(noise, 0xA5, sizeof noise);
    assert_string_equal("", opened());
    damage(LIVE + 8, "live", 5);
    damage(LIVE + 8 + SEQUENCE, &sequence, sizeof sequence);
    damage(LIVE, &word, sizeof word);
    assert_int_equal('l', live());
    assert_int_equal(0, truncate(path, WITHOUT_TRIALS));
    assert_int_equal('l', live());
    damage(WITHOUT_TRIALS, noise, sizeof noise);
    assert_int_equal('l', live());
}

/* Every cut of a stored bundle, at the end of its buffer, so that a sanitizer sees a byte too far. */
static void a_cut_bundle_is_refused(void **state) {
    static const char whole[] = "fastr bundle 1\na.lua 5\nabcde\nb.lua 12\nxxxxxxxxxxxx\n";
    struct fastr_err err;
    char file[96];
    snprintf(file, sizeof file, "%s/bundle", var);
    for (size_t length = 0; length < sizeof whole - 1; length++) {
        FILE *out = fopen(file, "w");
        fwrite(whole, 1, length, out);
        fclose(out);
        struct fastr_bundle *bundle = fastr_bundle_load(file, "0", &err);
        assert_null(bundle);
    }
}

static void a_size_past_the_end_is_refused(void **state) {
    static const char *const texts[] = {"fastr bundle 1\na.lua 99999999\n", "fastr bundle 1\na.lua -1\n",
                                        "fastr bundle 1\na.lua 18446744073709551615\nabc\n", "fastr bundle 1\na.lua \n"};
    struct fastr_err err;
    char file[96];
    snprintf(file, sizeof file, "%s/bundle", var);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        FILE *out = fopen(file, "w");
        fputs(texts[i], out);
        fclose(out);
        assert_null(fastr_bundle_load(file, NULL, &err));
        assert_non_null(strstr(err.text, "a broken bundle"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_missing_or_empty_file_begins_anew, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_cut_file_is_filled_up, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_name_too_long_is_refused_and_takes_no_place, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_foreign_file_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_live_word_that_leads_nowhere_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(texts_without_an_end_are_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_is_live_outlives_a_file_without_trials_and_damaged_ones, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_cut_bundle_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_size_past_the_end_is_refused, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
