#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static char captured[8192];

// What `write_logs` puts on stderr.
static const char *capture(void (*write_logs)(void)) {
    int ends[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    write_logs();
    dup2(saved, STDERR_FILENO);
    close(saved);
    size_t len = 0;
    ssize_t n;
    while ((n = read(ends[0], captured + len, sizeof captured - 1 - len)) > 0)
        len += (size_t)n;
    close(ends[0]);
    captured[len] = '\0';
    return captured;
}

static void write_two(void) {
    log_info("node", "container started", "pod=%s container=%s", "a/b", "c");
    log_debug("node", "not shown");
    log_warn("node", "bare");
}

static void test_lines(void **state) {
    const char *text = capture(write_two);
    const char *second = strchr(text, '\n');
    assert_non_null(second);
    assert_non_null(strstr(text, "Z INFO node: container started pod=a/b container=c\n"));
    assert_non_null(strstr(second, "Z WARN node: bare\n"));
    assert_null(strstr(text, "not shown"));
}

static void write_hostile(void) {
    log_error("api", "bad", "name=\"%s\"", "x\n2026 ERROR\033[2J");
}

static void test_control_characters_cannot_forge_lines(void **state) {
    const char *text = capture(write_hostile);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_null(strchr(text, '\033'));
}

static void write_long(void) {
    log_info("api", "long", "value=%5000d", 1);
}

static void test_long_lines_are_cut(void **state) {
    const char *text = capture(write_long);
    assert_int_equal(strlen(text), 4096);
    assert_string_equal(text + 4092, "...\n");
}

static void write_debug(void) {
    log_debug("api", "now shown");
}

static void test_level(void **state) {
    log_set_level(LOG_DEBUG);
    assert_int_equal(log_level(), LOG_DEBUG);
    assert_non_null(strstr(capture(write_debug), "DEBUG api: now shown"));
    log_set_level(LOG_ERROR);
    assert_string_equal(capture(write_debug), "");
    log_set_level(LOG_INFO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_control_characters_cannot_forge_lines),
        cmocka_unit_test(test_long_lines_are_cut),
        cmocka_unit_test(test_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
