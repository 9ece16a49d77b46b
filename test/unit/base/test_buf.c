#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"

static void assert_view(const Buf *buf, const char *text) {
    assert_true(str_eq(buf_view(buf), str_from(text)));
}

static void test_append(void **state) {
    _buf_deinit_ Buf buf = BUF_INIT(1000);
    assert_view(&buf, "");
    assert_non_null(buf_view(&buf).ptr);
    buf_str(&buf, STR("one"));
    buf_char(&buf, ' ');
    buf_printf(&buf, "%d", 2);
    assert_view(&buf, "one 2");
    buf_append(&buf, NULL, 0);
    _bytes_unref_ Bytes *copy = buf_bytes(&buf);
    buf_clear(&buf);
    assert_view(&buf, "");
    assert_true(str_eq(bytes_str(copy), STR("one 2")));
    assert_string_equal(copy->data, "one 2"); // NUL-terminated
}

static void test_limit(void **state) {
    _buf_deinit_ Buf buf = BUF_INIT(5);
    buf_str(&buf, STR("12345"));
    assert_false(buf.failed);
    buf_char(&buf, '6');
    assert_true(buf.failed);
    assert_view(&buf, "12345");
    buf_consume(&buf, 2);
    buf_str(&buf, STR("x")); // would fit, but a failed buffer stays as it is
    assert_view(&buf, "345");
    buf_clear(&buf);
    buf_printf(&buf, "%d", 54321);
    assert_false(buf.failed);
    assert_view(&buf, "54321");
    buf_printf(&buf, "%d", 6);
    assert_true(buf.failed);
    buf_clear(&buf);
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.failed);
    Buf none = BUF_INIT(0);
    buf_char(&none, 'x');
    assert_true(none.failed);
    buf_deinit(&none);
}

static void test_long_printf_meets_the_limit_exactly(void **state) {
    _buf_deinit_ Buf buf = BUF_INIT(600);
    buf_printf(&buf, "%600d", 1);
    assert_false(buf.failed);
    assert_int_equal(buf.len, 600);
    buf_clear(&buf);
    buf_printf(&buf, "%601d", 1);
    assert_true(buf.failed);
    assert_int_equal(buf.len, 0);
}

static void test_reserve_and_consume(void **state) {
    _buf_deinit_ Buf buf = BUF_INIT(4096);
    unsigned next_in = 0, next_out = 0;
    for (int round = 0; round < 2000; round++) {
        size_t n = (size_t)(round * 31 % 97);
        char *room = buf_reserve(&buf, n);
        assert_non_null(room);
        for (size_t i = 0; i < n; i++)
            room[i] = (char)next_in++;
        buf_commit(&buf, n);
        size_t take = buf.len > 500 ? 400 : buf.len / 3;
        for (size_t i = 0; i < take; i++)
            assert_int_equal((unsigned char)buf.data[i], (unsigned char)next_out++);
        buf_consume(&buf, take);
    }
    assert_int_equal(buf.len, next_in - next_out);
}

static void test_shared_bytes(void **state) {
    Bytes *bytes = bytes_new("abc", 3);
    assert_ptr_equal(bytes_ref(bytes), bytes);
    bytes_unref(bytes);
    assert_true(str_eq(bytes_str(bytes), STR("abc")));
    bytes_unref(bytes);
    bytes_unref(NULL);
    assert_null(bytes_ref(NULL));
    assert_null(bytes_str(NULL).ptr);
    Bytes *empty = bytes_new(NULL, 0);
    assert_non_null(bytes_str(empty).ptr);
    bytes_unref(empty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_long_printf_meets_the_limit_exactly),
        cmocka_unit_test(test_reserve_and_consume),
        cmocka_unit_test(test_shared_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
