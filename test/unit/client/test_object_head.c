// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "client/object_head.h"

static void check_stripped(const char *from, const char *want) {
    _bytes_unref_ Bytes *object = bytes_new(from, strlen(from));
    _bytes_unref_ Bytes *rest = object_without_managers(object);
    assert_int_equal(rest->len, strlen(want));
    assert_memory_equal(rest->data, want, rest->len);
}

static void test_without_managers(void **state) {
    check_stripped("{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"managedFields\":[{\"f:x\":{}}]"
                   "},\"spec\":{}}",
                   "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"},\"spec\":{}}");
    check_stripped("{\"metadata\":{\"managedFields\":[1,2],\"name\":\"a\"}}",
                   "{\"metadata\":{\"name\":\"a\"}}");
    check_stripped("{\"metadata\":{\"a\":1, \"managedFields\" : [], \"b\":2}}",
                   "{\"metadata\":{\"a\":1,  \"b\":2}}");
    check_stripped("{\"metadata\":{\"managedFields\":[]}}", "{\"metadata\":{}}");
    // Only there.
    static const char *const kept[] = {
        "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"managedFields\":[1]}}",
        "{\"managedFields\":[1],\"metadata\":{\"annotations\":{\"managedFields\":\"x\"}}}",
        "{\"spec\":{\"metadata\":{\"managedFields\":[1]}}}",
        "{\"metadata\":[\"managedFields\"]}",
        "{\"metadata\":{\"managedFields\":[1",
        "{}",
        "[]",
        "",
    };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        check_stripped(kept[i], kept[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_without_managers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
