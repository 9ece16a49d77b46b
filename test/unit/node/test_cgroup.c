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

#include "node/cgroup.h"

static const char hybrid[] =
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "30 27 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:4 - cgroup cgroup rw,cpu,cpuacct\n"
    "32 30 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "33 30 0:30 /kid /mnt/part rw - cgroup cgroup rw,pids\n"
    "34 30 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup "
    "rw,xattr,release_agent=/x,name=systemd\n"
    "35 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
    "36 30 0:29 / /mnt/memory rw - cgroup cgroup rw,memory";

static void test_hybrid(void **state) {
    CgroupHost *host;
    assert_int_equal(cgroup_host_parse(str_from(hybrid), &host), 0);
    assert_int_equal(cgroup_version(host), 1);
    assert_int_equal(cgroup_hierarchies(host), 4); // not the part, not the second memory
    assert_true(cgroup_has_controller(host, STR("cpuacct")));
    assert_false(cgroup_has_controller(host, STR("pids")));
    _arena_free_ Arena *arena = arena_new();
    Str file = cgroup_file(arena, host, 1, STR("/a/b"), "cgroup.procs");
    assert_string_equal(file.ptr, "/sys/fs/cgroup/memory/a/b/cgroup.procs");
    cgroup_host_free(host);
    assert_int_equal(cgroup_host_parse(STR("27 1 254:0 / / rw - ext4 /dev/vda rw\n"), &host),
                     -ENOENT);
    assert_int_equal(cgroup_host_parse(STR("\n \n- cgroup2\n\n"), &host), -ENOENT);
}

static void test_pod_paths(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str parent = STR("/seapod"), uid = STR("0ab");
    assert_string_equal(cgroup_pod_path(arena, parent, QOS_GUARANTEED, uid).ptr, "/seapod/pod0ab");
    assert_string_equal(cgroup_pod_path(arena, parent, QOS_BURSTABLE, uid).ptr,
                        "/seapod/burstable/pod0ab");
    assert_string_equal(cgroup_pod_path(arena, parent, QOS_BEST_EFFORT, uid).ptr,
                        "/seapod/besteffort/pod0ab");
}

static void test_weight(void **state) {
    assert_int_equal(cgroup_weight_of_shares(0), 1);
    assert_int_equal(cgroup_weight_of_shares(2), 1);
    assert_int_equal(cgroup_weight_of_shares(1024), 39);
    assert_int_equal(cgroup_weight_of_shares(262144), 10000);
    assert_int_equal(cgroup_weight_of_shares(UINT64_MAX), 10000);
}

// A directory that plays a version 2 hierarchy: the files are made by hand.
static void put(const char *root, const char *file, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_file(const char *root, const char *file, const char *want) {
    char path[256], text[256] = "";
    snprintf(path, sizeof path, "%s/%s", root, file);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    assert_string_equal(text, want);
}

static void test_limits_and_usage(void **state) {
    char root[] = "/tmp/cgroup-test-XXXXXX", line[256], command[128];
    assert_non_null(mkdtemp(root));
    snprintf(line, sizeof line, "35 30 0:32 / %s rw - cgroup2 cgroup2 rw", root);
    CgroupHost *host;
    assert_int_equal(cgroup_host_parse(str_from(line), &host), 0);
    assert_int_equal(cgroup_version(host), 2);
    put(root, "cgroup.controllers", "cpu memory pids\n");
    put(root, "cgroup.subtree_control", "");
    assert_true(cgroup_has_controller(host, STR("memory")));
    assert_false(cgroup_has_controller(host, STR("io")));

    assert_int_equal(cgroup_create(host, STR("/p/pod1")), 0);
    assert_int_equal(cgroup_create(host, STR("/p/pod1")), 0);
    assert_file(root, "cgroup.subtree_control", "+hugetlb"); // the last of the writes
    put(root, "p/pod1/cpu.weight", "");
    put(root, "p/pod1/cpu.max", "");
    put(root, "p/pod1/memory.max", "");
    CgroupLimits limits = {.cpu_shares = 1024, .cpu_quota = 50000, .memory = -1};
    assert_int_equal(cgroup_set(host, STR("/p/pod1"), &limits), 0);
    assert_file(root, "p/pod1/cpu.weight", "39");
    assert_file(root, "p/pod1/cpu.max", "50000 100000");
    assert_file(root, "p/pod1/memory.max", "max");
    limits = (CgroupLimits){.pids = 5};
    assert_int_equal(cgroup_set(host, STR("/p/pod1"), &limits), -ENOENT);

    put(root, "p/pod1/cpu.stat", "usage_usec 17\nuser_usec 1\n");
    put(root, "p/pod1/memory.current", "4096\n");
    put(root, "p/pod1/memory.stat", "anon 1000\nfile 3\ninactive_file 96\npgfault 7\n");
    put(root, "p/pod1/memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n");
    put(root, "p/pod1/pids.current", "3\n");
    CgroupUsage usage;
    assert_int_equal(cgroup_usage(host, STR("/p/pod1"), &usage), 0);
    assert_int_equal(usage.cpu_ns, 17000);
    assert_int_equal(usage.memory_working_set, 4000);
    assert_int_equal(usage.memory_rss, 1000);
    assert_int_equal(usage.pids, 3);
    assert_int_equal(cgroup_oom_kills(host, STR("/p/pod1")), 2);
    assert_int_equal(cgroup_oom_kills(host, STR("/p/none")), -ENOENT);
    assert_int_equal(cgroup_usage(host, STR("/p/none"), &usage), -ENOENT);
    assert_int_equal(cgroup_kill(host, STR("/p/none")), 0);
    assert_int_equal(cgroup_remove(host, STR("/p/none")), 0);
    snprintf(command, sizeof command, "rm -rf %s", root);
    assert_int_equal(system(command), 0);
    cgroup_host_free(host);
}

static void test_bad_paths(void **state) {
    static const char *const bad[] = {"", "/", "a", "/a/", "/a//b", "/a/../b", "/..", "/./a"};
    CgroupHost *host;
    assert_int_equal(cgroup_host_parse(str_from(hybrid), &host), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cgroup_create(host, str_from(bad[i])), -EINVAL);
        assert_int_equal(cgroup_remove(host, str_from(bad[i])), -EINVAL);
        assert_int_equal(cgroup_kill(host, str_from(bad[i])), -EINVAL);
        assert_int_equal(cgroup_join(host, str_from(bad[i]), 1), -EINVAL);
    }
    cgroup_host_free(host);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hybrid),    cmocka_unit_test(test_pod_paths),
        cmocka_unit_test(test_weight),    cmocka_unit_test(test_limits_and_usage),
        cmocka_unit_test(test_bad_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
