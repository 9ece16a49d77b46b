#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/time.h"
#include "node/logs.h"

static const char *text = "2026-11-23T12:00:00.000000001Z stdout F one\n"
                          "2026-11-23T12:00:01.000000000Z stderr F two\n"
                          "2026-11-23T12:00:02.000000000Z stdout P thr\n"
                          "2026-11-23T12:00:02.000000001Z stdout F ee\n"
                          "2026-11-23T12:00:03.000000000Z stdout F \n"
                          "2026-11-23T12:00:04.000000000Z stdout F five six\n";

static void check_format(LogFormat format, const char *expected) {
    Buf out = BUF_INIT(65536);
    assert_int_equal(log_format(&format, str_from(text), &out), strlen(text));
    assert_true(str_eq(buf_view(&out), str_from(expected)));
    buf_deinit(&out);
}

static void test_format(void **state) {
    check_format((LogFormat){0}, "one\ntwo\nthree\n\nfive six\n");
    check_format((LogFormat){.timestamps = true},
                 "2026-11-23T12:00:00.000000001Z one\n2026-11-23T12:00:01.000000000Z "
                 "two\n2026-11-23T12:00:02.000000000Z three\n"
                 "2026-11-23T12:00:03.000000000Z \n2026-11-23T12:00:04.000000000Z five six\n");
    int64_t since;
    assert_int_equal(time_parse(STR("2026-11-23T12:00:03Z"), &since), 0);
    check_format((LogFormat){.since = since}, "\nfive six\n");
}

// Only whole lines are taken; the rest waits.
static void test_format_in_pieces(void **state) {
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        LogFormat format = {0};
        Buf out = BUF_INIT(65536);
        size_t taken = log_format(&format, str_of(text, cut), &out);
        assert_true(taken <= cut);
        taken += log_format(&format, str_of(text + taken, strlen(text) - taken), &out);
        assert_int_equal(taken, strlen(text));
        assert_true(str_eq(buf_view(&out), STR("one\ntwo\nthree\n\nfive six\n")));
        buf_deinit(&out);
    }
}

static void test_not_cri(void **state) {
    LogFormat format = {0};
    Buf out = BUF_INIT(65536);
    Str garbage = STR("\n \n  \nhello\na b\n\xff\xfe x y z\n");
    assert_int_equal(log_format(&format, garbage, &out), garbage.len);
    assert_true(str_eq(buf_view(&out), STR("z\n")));
    buf_deinit(&out);
}

static void test_tail(void **state) {
    FILE *file = tmpfile();
    fputs(text, file);
    fflush(file);
    int fd = fileno(file);
    static const struct {
        int64_t lines;
        const char *first; // what the tail begins with
    } cases[] = {{0, ""},
                 {1, "2026-11-23T12:00:04"},
                 {2, "2026-11-23T12:00:03"},
                 {3, "2026-11-23T12:00:02.000000000Z stdout P"},
                 {4, "2026-11-23T12:00:01"},
                 {5, "2026-11-23T12:00:00"},
                 {6, "2026-11-23T12:00:00"},
                 {1000, "2026-11-23T12:00:00"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t offset;
        assert_int_equal(log_tail_offset(fd, (int64_t)strlen(text), cases[i].lines, &offset), 0);
        if (strncmp(text + offset, cases[i].first, strlen(cases[i].first)) != 0 ||
            (!*cases[i].first && text[offset]))
            fail_msg("tail %d begins with %.40s", (int)cases[i].lines, text + offset);
    }
    fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_in_pieces),
        cmocka_unit_test(test_not_cri),
        cmocka_unit_test(test_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
