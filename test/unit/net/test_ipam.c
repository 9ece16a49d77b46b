#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/ipam.h"

typedef struct Fixture {
    char directory[64];
    Ipam *ipam;
    Ipv4Range range;
} Fixture;

static Fixture fixture;

static void open_ipam(void) {
    assert_int_equal(ipam_new(fixture.range, fixture.directory, &fixture.ipam), 0);
}

static int setup(void **state) {
    snprintf(fixture.directory, sizeof fixture.directory, "/tmp/ipam-test-XXXXXX");
    assert_non_null(mkdtemp(fixture.directory));
    assert_int_equal(ipv4_range_parse(STR("10.42.0.0/29"), &fixture.range), 0);
    open_ipam();
    return 0;
}

static int teardown(void **state) {
    ipam_clear(fixture.ipam);
    ipam_free(fixture.ipam);
    return rmdir(fixture.directory); // nothing else was left there
}

static const char *allocate(const char *owner) {
    static char text[IPAM_TEXT];
    uint32_t address;
    int error = ipam_allocate(fixture.ipam, str_from(owner), &address);
    if (error == IPAM_E_EXHAUSTED)
        return "exhausted";
    assert_int_equal(error, 0);
    ipv4_format(address, text);
    return text;
}

static void release(const char *owner) {
    assert_int_equal(ipam_release(fixture.ipam, str_from(owner)), 0);
}

static void reopen(void) {
    ipam_free(fixture.ipam);
    open_ipam();
}

static void test_parse(void **state) {
    static const char *const bad[] = {"",           "10.42.0.0",    "10.42.0.1/24", "10.42.0.0/33",
                                      "10.42.0/24", "10.42.0.0/-1", "x/24",         "10.42.0.0/24 ",
                                      "fd00::/64",  "/24",          "10.42.0.0/"};
    Ipv4Range range, other;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(ipv4_range_parse(str_from(bad[i]), &range), -EINVAL);
    assert_int_equal(ipv4_range_parse(STR("0.0.0.0/0"), &range), 0);
    assert_true(ipv4_range_has(range, 0xffffffff));
    assert_int_equal(ipv4_range_parse(STR("10.42.0.0/16"), &range), 0);
    assert_true(ipv4_range_has(range, 0x0a2affff));
    assert_false(ipv4_range_has(range, 0x0a2b0000));
    assert_int_equal(ipv4_range_parse(STR("10.42.7.0/24"), &other), 0);
    assert_true(ipv4_ranges_overlap(range, other) && ipv4_ranges_overlap(other, range));
    assert_int_equal(ipv4_range_parse(STR("10.43.0.0/16"), &other), 0);
    assert_false(ipv4_ranges_overlap(range, other));
    uint32_t address;
    assert_int_equal(ipv4_parse(str_of("10.0.0.1\0x", 10), &address), -EINVAL);
}

static void test_allocation(void **state) {
    assert_string_equal(allocate("a"), "10.42.0.2"); // .0 and .1 are never handed out
    assert_string_equal(allocate("a"), "10.42.0.2");
    assert_string_equal(allocate("b"), "10.42.0.3");
    release("a");
    release("a");
    assert_string_equal(allocate("c"), "10.42.0.4"); // not the one that was just given back
    assert_string_equal(allocate("d"), "10.42.0.5");
    assert_string_equal(allocate("e"), "10.42.0.6");
    assert_string_equal(allocate("f"), "10.42.0.2"); // .7 is the broadcast address
    assert_string_equal(allocate("g"), "exhausted");
    assert_int_equal(ipam_count(fixture.ipam), 5);
    release("d");
    assert_string_equal(allocate("g"), "10.42.0.5");
    uint32_t address;
    assert_false(ipam_find(fixture.ipam, STR("d"), &address));
    assert_int_equal(ipam_allocate(fixture.ipam, STR(""), &address), -EINVAL);
}

static void test_restart(void **state) {
    assert_string_equal(allocate("a"), "10.42.0.2");
    assert_string_equal(allocate("b"), "10.42.0.3");
    release("b");
    reopen();
    assert_int_equal(ipam_count(fixture.ipam), 1);
    assert_string_equal(allocate("a"), "10.42.0.2");
    assert_string_equal(allocate("c"), "10.42.0.4"); // .3 rests, also over the restart
    reopen();
    assert_string_equal(allocate("c"), "10.42.0.4");
}

static void put(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fixture.directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_foreign_files(void **state) {
    put("10.42.0.2.new", "half");
    put("10.42.0.3", "");         // torn
    put("10.9.0.3", "old-range"); // of another range
    put("10.42.0.1", "gateway");
    put("10.42.0.4", "x");
    put("10.42.0.5", "x"); // the same owner twice: one of them goes
    put("last", "garbage");
    put("notes.txt", "not ours");
    reopen();
    assert_int_equal(ipam_count(fixture.ipam), 1);
    release("x");
    assert_string_equal(allocate("a"), "10.42.0.2");
    char path[128];
    snprintf(path, sizeof path, "%s/notes.txt", fixture.directory);
    assert_int_equal(unlink(path), 0);
}

static void test_full_disk(void **state) {
    uint32_t address;
    char moved[80];
    snprintf(moved, sizeof moved, "%s.away", fixture.directory);
    assert_int_equal(rename(fixture.directory, moved), 0);
    assert_int_equal(ipam_allocate(fixture.ipam, STR("a"), &address), -ENOENT);
    assert_int_equal(rename(moved, fixture.directory), 0);
    assert_int_equal(ipam_count(fixture.ipam), 0);
    assert_string_equal(allocate("a"), "10.42.0.2");
}

static void test_sizes(void **state) {
    Ipv4Range range;
    Ipam *ipam;
    assert_int_equal(ipv4_range_parse(STR("10.0.0.0/15"), &range), 0);
    assert_int_equal(ipam_new(range, fixture.directory, &ipam), -EINVAL);
    assert_int_equal(ipv4_range_parse(STR("10.0.0.0/31"), &range), 0);
    assert_int_equal(ipam_new(range, fixture.directory, &ipam), -EINVAL);
    assert_int_equal(ipam_new(fixture.range, "/no/such/place", &ipam), -ENOENT);
    assert_int_equal(ipam_gateway(fixture.ipam), 0x0a2a0001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_allocation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
