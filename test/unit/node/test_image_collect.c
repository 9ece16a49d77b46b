// Which images go when the disk is full: pkg/kubelet/images/image_gc_manager.go.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/images_private.h"

#define MINUTE (60 * NSEC_PER_SEC)
#define NOW (1000 * MINUTE)

static void test_choice(void **state) {
    const Image images[] = {{.size = 10}, {.size = 20}, {.size = 40}, {.size = 80}, {.size = 160}};
    const ImageUse uses[] = {
        {.found = NOW - 50 * MINUTE, .used = NOW - 3 * MINUTE},
        {.found = NOW - 50 * MINUTE, .used = NOW - 9 * MINUTE},
        {.found = NOW - 50 * MINUTE}, // by nobody since the start: first
        {.found = NOW - 1 * MINUTE},  // too young
        {.found = NOW - 60 * MINUTE}, // pinned
    };
    const bool pinned[] = {false, false, false, false, true};
    bool chosen[5];
    assert_int_equal(image_choose(images, 5, uses, pinned, NOW, 2 * MINUTE, 0, chosen), 0);
    assert_int_equal(image_choose(images, 5, uses, pinned, NOW, 2 * MINUTE, 1, chosen), 40);
    assert_true(chosen[2] && !chosen[0] && !chosen[1] && !chosen[3] && !chosen[4]);
    assert_int_equal(image_choose(images, 5, uses, pinned, NOW, 2 * MINUTE, 41, chosen), 60);
    assert_true(chosen[2] && chosen[1] && !chosen[0]);
    // No more than there is.
    assert_int_equal(image_choose(images, 5, uses, pinned, NOW, 2 * MINUTE, 1000, chosen), 70);
    assert_false(chosen[3] || chosen[4]);
    assert_int_equal(image_choose(images, 5, uses, pinned, NOW, 0, 1000, chosen), 150);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests_name("image_collect", tests, NULL, NULL);
}
