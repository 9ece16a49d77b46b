#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/oci_spec.h"
#include "node/rootfs.h"
#include "schema/value.h"

#define ALL ((1ULL << 41) - 1)

static Value *write_spec(Arena *arena, const ContainerSpec *spec, const OciHost *host) {
    static const ImageUser root;
    OciInput input = {.host = host,
                      .spec = spec,
                      .user = &root,
                      .root = STR("/rootfs"),
                      .hostname = STR("pod-\"1\""),
                      .cgroup = STR("/seapod/pod1/c1"),
                      .shm = STR("/shm"),
                      .network_namespace = STR("/ns/net"),
                      .ipc_namespace = STR(""),
                      .uts_namespace = STR("/ns/uts"),
                      .pid_namespace = STR_NONE};
    Buf buf = BUF_INIT(1 << 20);
    Str message = STR("");
    assert_int_equal(oci_spec_write(arena, &input, &buf, &message), 0);
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    Value *value;
    ParseError error;
    assert_int_equal(value_parse_json(arena, text, NULL, &value, &error), 0);
    return value;
}

static Value *mount_at(const Value *spec, const char *target, size_t *ret_index) {
    Value *mounts = value_get(spec, STR("mounts"));
    for (size_t i = 0; i < mounts->n; i++) {
        if (!str_eq(value_get(mounts->items[i], STR("destination"))->string, str_from(target)))
            continue;
        if (ret_index)
            *ret_index = i;
        return mounts->items[i];
    }
    return NULL;
}

static bool lists(const Value *array, const char *text) {
    for (size_t i = 0; array && i < array->n; i++)
        if (str_eq(array->items[i]->string, str_from(text)))
            return true;
    return false;
}

static Value *namespace_of(const Value *spec, const char *type) {
    Value *list = value_at(spec, "linux.namespaces");
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(value_get(list->items[i], STR("type"))->string, str_from(type)))
            return list->items[i];
    return NULL;
}

static const Str argv[] = {STR("/bin/x"), STR("a \"b\"\n\1\\")};

static void test_plain(void **state) {
    _arena_free_ Arena *arena = arena_new();
    OciHost host = {.cgroup_version = 1, .capabilities = ALL, .oom_score_adj_floor = 0};
    ContainerSpec spec = {.argv = argv, .n_argv = 2};
    spec.resources = (ContainerResources){.cpu_shares = 2,
                                          .memory_limit = 1 << 20,
                                          .pids_limit = 9,
                                          .oom_score_adj = -998,
                                          .oom_score_adj_set = true};
    Value *value = write_spec(arena, &spec, &host);
    assert_true(str_eq(value_at(value, "process.args")->items[1]->string, argv[1]));
    assert_true(lists(value_at(value, "process.env"), "HOSTNAME=pod-\"1\""));
    assert_true(lists(value_at(value, "process.env"),
                      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    assert_false(lists(value_at(value, "process.env"), "TERM=xterm"));
    assert_int_equal(value_at(value, "process.oomScoreAdj")->integer, 0); // may not go lower
    assert_int_equal(value_at(value, "process.capabilities.bounding")->n, 14);
    assert_int_equal(value_at(value, "linux.resources.memory.limit")->integer, 1 << 20);
    assert_int_equal(value_at(value, "linux.resources.memory.swap")->integer, 1 << 20);
    assert_int_equal(value_at(value, "linux.resources.pids.limit")->integer, 9);
    assert_true(lists(value_at(value, "linux.maskedPaths"), "/proc/kcore"));
    assert_true(lists(value_at(value, "linux.readonlyPaths"), "/proc/sys"));
    assert_null(value_at(value, "linux.seccomp"));
    assert_null(namespace_of(value, "ipc")); // the host's
    assert_null(namespace_of(value, "cgroup"));
    assert_non_null(namespace_of(value, "pid"));
    assert_null(value_get(namespace_of(value, "pid"), STR("path")));
    assert_true(
        str_eq(value_get(namespace_of(value, "network"), STR("path"))->string, STR("/ns/net")));
    assert_true(lists(value_get(mount_at(value, "/sys", NULL), STR("options")), "ro"));
    assert_true(
        str_eq(value_get(mount_at(value, "/dev/shm", NULL), STR("source"))->string, STR("/shm")));
    host.cgroup_version = 2;
    assert_non_null(namespace_of(write_spec(arena, &spec, &host), "cgroup"));
}

static void test_mounts(void **state) {
    _arena_free_ Arena *arena = arena_new();
    OciHost host = {.cgroup_version = 1, .capabilities = ALL};
    ContainerMount mounts[] = {
        {STR("/h/1"), STR("/a/b/c"), .read_only = true},
        {STR("/h/2"), STR("/a"), .propagation = PROPAGATION_HOST_TO_CONTAINER},
        {.source = STR("/h/3"), .target = STR("/dev/shm/")},
        {STR("/h/4"), STR("/a/b"), .recursive_read_only = true},
    };
    ContainerSpec spec = {.argv = argv, .n_argv = 2, .mounts = mounts, .n_mounts = 4};
    spec.termination_message_host_path = STR("/h/t");
    spec.termination_message_path = STR("/dev/termination-log");
    Value *value = write_spec(arena, &spec, &host);
    size_t first, second, third;
    assert_true(lists(value_get(mount_at(value, "/a", &first), STR("options")), "rslave"));
    assert_true(lists(value_get(mount_at(value, "/a/b", &second), STR("options")), "rro"));
    assert_true(lists(value_get(mount_at(value, "/a/b/c", &third), STR("options")), "ro"));
    assert_true(first < second && second < third);
    assert_null(mount_at(value, "/dev/shm", NULL)); // replaced
    assert_non_null(mount_at(value, "/dev/shm/", NULL));
    assert_non_null(mount_at(value, "/dev/termination-log", NULL));
    assert_true(str_eq(value_at(value, "linux.rootfsPropagation")->string, STR("rslave")));
}

static void test_privileged(void **state) {
    _arena_free_ Arena *arena = arena_new();
    OciHost host = {.cgroup_version = 2, .capabilities = ALL & ~(1ULL << 24)};
    ContainerSpec spec = {.argv = argv, .n_argv = 2, .privileged = true, .tty = true};
    spec.seccomp = STR("RuntimeDefault");
    Value *value = write_spec(arena, &spec, &host);
    assert_int_equal(value_at(value, "process.capabilities.effective")->n, 40);
    assert_null(value_at(value, "linux.maskedPaths"));
    assert_null(value_at(value, "linux.seccomp"));
    assert_true(value_at(value, "linux.devices")->n > 3);
    assert_true(lists(value_at(value, "process.env"), "TERM=xterm"));
    assert_false(lists(value_get(mount_at(value, "/sys", NULL), STR("options")), "ro"));
}

static void test_seccomp(void **state) {
    _arena_free_ Arena *arena = arena_new();
    OciHost host = {.cgroup_version = 1, .capabilities = ALL};
    ContainerSpec spec = {.argv = argv, .n_argv = 2, .seccomp = STR("RuntimeDefault")};
    Value *rules = value_at(write_spec(arena, &spec, &host), "linux.seccomp.syscalls");
    assert_true(lists(value_get(rules->items[0], STR("names")), "openat"));
    assert_false(lists(value_get(rules->items[0], STR("names")), "mount"));
    Str add[] = {STR("SYS_ADMIN")};
    spec.capabilities_add = add;
    spec.n_capabilities_add = 1;
    Value *more = value_at(write_spec(arena, &spec, &host), "linux.seccomp.syscalls");
    bool found = false;
    for (size_t i = 1; i < more->n; i++)
        found |= lists(value_get(more->items[i], STR("names")), "mount");
    assert_true(found);
    ContainerSpec unconfined = {.argv = argv, .n_argv = 2, .seccomp = STR("Unconfined")};
    assert_null(value_at(write_spec(arena, &unconfined, &host), "linux.seccomp"));
}

static uint64_t capabilities(const char *add_a, const char *add_b, const char *drop_a, int want) {
    _arena_free_ Arena *arena = arena_new();
    Str adds[] = {str_from(add_a), str_from(add_b)}, drops[] = {str_from(drop_a)};
    ContainerSpec spec = {.capabilities_add = adds,
                          .n_capabilities_add = (add_a != NULL) + (add_b != NULL),
                          .capabilities_drop = drops,
                          .n_capabilities_drop = drop_a != NULL};
    uint64_t set = 0;
    Str message;
    assert_int_equal(oci_capabilities(arena, &spec, ALL, &set, &message), want);
    return set;
}

static void test_capabilities(void **state) {
    assert_int_equal(__builtin_popcountll(capabilities(NULL, NULL, NULL, 0)), 14);
    assert_int_equal(capabilities(NULL, NULL, "ALL", 0), 0);
    assert_int_equal(capabilities("NET_ADMIN", NULL, "ALL", 0), 1ULL << 12);
    assert_int_equal(capabilities("cap_net_admin", "CAP_NET_RAW", "ALL", 0),
                     1ULL << 12 | 1ULL << 13);
    assert_int_equal(capabilities("ALL", NULL, NULL, 0), ALL);
    assert_int_equal(capabilities("ALL", NULL, "CHOWN", 0), ALL & ~1ULL);
    assert_int_equal(capabilities(NULL, NULL, "CHOWN", 0) & 1, 0);
    capabilities("NONSENSE", NULL, NULL, -EINVAL);
    capabilities(NULL, NULL, "CAP_", -EINVAL);
}

static void test_inside_a_root(void **state) {
    _arena_free_ Arena *arena = arena_new();
    char root[] = "/tmp/rootfs-test-XXXXXX", command[512];
    assert_non_null(mkdtemp(root));
    snprintf(command, sizeof command,
             "cd %s && mkdir etc run && echo inside >etc/real && ln -s /etc/real etc/link && "
             "ln -s ../../../../../../etc/passwd etc/out && ln -s loop etc/loop && "
             "ln -s /run var_run && mkfifo etc/fifo && echo 12345678901 >etc/big",
             root);
    assert_int_equal(system(command), 0);
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    Str text;
    assert_int_equal(rootfs_read_file(arena, fd, "etc/link", 10, &text), 0);
    assert_true(str_eq(text, STR("inside\n")));
    assert_int_equal(rootfs_read_file(arena, fd, "/etc/real", 10, &text), 0);
    assert_int_equal(rootfs_read_file(arena, fd, "etc/out", 10, &text), -ENOENT);
    assert_int_equal(rootfs_read_file(arena, fd, "../../../../etc/passwd", 10, &text), -ENOENT);
    assert_int_equal(rootfs_read_file(arena, fd, "etc/loop", 10, &text), -ELOOP);
    assert_int_equal(rootfs_read_file(arena, fd, "etc/fifo", 10, &text), -EINVAL);
    assert_int_equal(rootfs_read_file(arena, fd, "etc", 10, &text), -EINVAL);
    assert_int_equal(rootfs_read_file(arena, fd, "etc/big", 10, &text), -EFBIG);

    assert_int_equal(rootfs_make_directory(fd, STR("/var_run/x/y")), 0);
    assert_int_equal(rootfs_make_directory(fd, STR("/var_run/x/y")), 0);
    struct stat info;
    assert_int_equal(fstatat(fd, "run/x/y", &info, 0), 0);
    assert_int_equal(rootfs_make_directory(fd, STR("/")), 0);
    assert_int_equal(rootfs_make_directory(fd, STR("/etc/real/z")), -ENOTDIR);
    assert_int_equal(rootfs_make_directory(fd, STR("/etc/real")), -ENOTDIR);
    assert_int_equal(rootfs_make_directory(fd, STR("/a/../../b")), -EINVAL);
    close(fd);
    assert_int_equal(remove_tree(root), 0);
    assert_int_equal(remove_tree(root), 0);
    assert_int_equal(access(root, F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),        cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_privileged),   cmocka_unit_test(test_seccomp),
        cmocka_unit_test(test_capabilities), cmocka_unit_test(test_inside_a_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
