#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/conmon.h"
#include "node/crun_private.h"
#include "node/record.h"

static void test_record_round_trip(void **state) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf buf = BUF_INIT(RECORD_MAX);
    Record record;
    record_put(&buf, "path", STR("/a\\n=b\nc"));
    record_put(&buf, "empty", STR(""));
    record_put_int(&buf, "number", -42);
    assert_int_equal(record_parse(arena, buf_view(&buf), &record), 0);
    assert_string_equal(record_get(&record, "path").ptr, "/a\\n=b\nc");
    assert_int_equal(record_get(&record, "empty").len, 0);
    assert_int_equal(record_int(&record, "number"), -42);
    assert_int_equal(record_int(&record, "path"), 0);
    assert_int_equal(record_get(&record, "none").len, 0);

    char path[] = "/tmp/record-test-XXXXXX";
    close(mkstemp(path));
    assert_int_equal(record_save(path, &buf), 0);
    assert_int_equal(record_load(arena, path, &record), 0);
    assert_int_equal(record_int(&record, "number"), -42);
    unlink(path);
    assert_int_equal(record_load(arena, path, &record), -ENOENT);
    assert_int_equal(record_save("/tmp/no/such/dir", &buf), -ENOENT);
    buf.failed = true;
    assert_int_equal(record_save(path, &buf), -E2BIG);
}

static void test_bad_records(void **state) {
    _arena_free_ Arena *arena = arena_new();
    static const char *const bad[] = {"",
                                      "\n",
                                      "format=1",
                                      "x=1\n",
                                      "format=0\n",
                                      "format=1\nx\n",
                                      "format=1\n=v\n",
                                      "format=1\nA-B=v\n",
                                      "format=one\n"};
    Record record;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(record_parse(arena, str_from(bad[i]), &record), -EBADMSG);
    assert_int_equal(record_parse(arena, STR("format=2\n"), &record), -EPROTONOSUPPORT);
}

static void test_sync_line(void **state) {
    _arena_free_ Arena *arena = arena_new();
    int64_t pid;
    Str message;
    assert_int_equal(conmon_parse_sync(arena, STR("{\"data\": 4711}"), &pid, &message), 0);
    assert_int_equal(pid, 4711);
    assert_int_equal(message.len, 0);
    Str line = STR("{\"data\": -1, \"message\": \"error: open `\\/x`: \\u0041 is missing\\n\"}");
    assert_int_equal(conmon_parse_sync(arena, line, &pid, &message), 0);
    assert_int_equal(pid, -1);
    assert_string_equal(message.ptr, "open `/x`: A is missing");
    line = STR("{\"data\":-1,\"message\":\"2026-11-23T18:00:00.000000Z: it broke\"}");
    assert_int_equal(conmon_parse_sync(arena, line, &pid, &message), 0);
    assert_string_equal(message.ptr, "it broke");
    static const char *const bad[] = {"",           "{}", "[]", "{\"data\":\"1\"}", "{\"pid\":1}",
                                      "{\"data\":1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(conmon_parse_sync(arena, str_from(bad[i]), &pid, &message), -EBADMSG);
}

static void test_packets(void **state) {
    int stream;
    Str data;
    assert_true(conmon_parse_packet(STR("\2hello"), &stream, &data));
    assert_int_equal(stream, 1);
    assert_true(str_eq(data, STR("hello")));
    assert_true(conmon_parse_packet(STR("\3"), &stream, &data));
    assert_int_equal(stream, 2);
    assert_int_equal(data.len, 0);
    assert_false(conmon_parse_packet(STR(""), &stream, &data));
    assert_false(conmon_parse_packet(STR("\1x"), &stream, &data));
    assert_false(conmon_parse_packet(STR("\377x"), &stream, &data));
}

static bool has(const char *const *argv, const char *word) {
    for (; *argv; argv++)
        if (strcmp(*argv, word) == 0)
            return true;
    return false;
}

static void test_arguments(void **state) {
    _arena_free_ Arena *arena = arena_new();
    ConmonSpec spec = {.conmon = "/c",
                       .crun = "/r",
                       .crun_root = "/run/crun",
                       .id = "id",
                       .bundle = "/b",
                       .log_path = "/l",
                       .exit_directory = "/e"};
    const char *const *argv = conmon_arguments(arena, &spec);
    assert_string_equal(argv[0], "/c");
    assert_true(has(argv, "--root=/run/crun") && has(argv, "k8s-file:/l") && has(argv, "--sync"));
    assert_false(has(argv, "--stdin") || has(argv, "--terminal") ||
                 has(argv, "--leave-stdin-open"));
    spec.stdin_open = spec.tty = true;
    argv = conmon_arguments(arena, &spec);
    assert_true(has(argv, "--stdin") && has(argv, "--terminal") && has(argv, "--leave-stdin-open"));
    spec.stdin_once = true;
    assert_false(has(conmon_arguments(arena, &spec), "--leave-stdin-open"));
}

static void test_sysctls(void **state) {
    static const struct {
        const char *name, *want; // NULL: refused
    } cases[] = {
        {"net.ipv4.ip_local_port_range", "/proc/sys/net/ipv4/ip_local_port_range=1"},
        {"net/ipv4/conf/eth0.1/rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter=1"},
        {"net.ipv4.conf.eth0/1.rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter=1"},
        {"kernel.shm_rmid_forced", "/proc/sys/kernel/shm_rmid_forced=1"},
        {"kernel.sem", "/proc/sys/kernel/sem=1"},
        {"fs.mqueue.msg_max", "/proc/sys/fs/mqueue/msg_max=1"},
        {"kernel.core_pattern", NULL},
        {"vm.swappiness", NULL},
        {"net/../kernel/core_pattern", NULL},
        {"net..ipv4", NULL},
        {"/net/x", NULL},
        {"net.ipv4.x\ny", NULL},
        {"net", NULL},
        {"", NULL},
    };
    _arena_free_ Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        RuntimePair pair = {str_from(cases[i].name), STR("1")};
        Str got, message;
        int error = sysctl_argument(arena, &pair, false, false, &got, &message);
        assert_int_equal(error, cases[i].want ? 0 : -EINVAL);
        if (cases[i].want)
            assert_string_equal(got.ptr, cases[i].want);
    }
    Str got, message;
    RuntimePair network = {STR("net.core.somaxconn"), STR("1")};
    RuntimePair ipc = {STR("kernel.msgmax"), STR("1")};
    assert_int_equal(sysctl_argument(arena, &network, true, false, &got, &message), -EINVAL);
    assert_int_equal(sysctl_argument(arena, &ipc, true, false, &got, &message), 0);
    assert_int_equal(sysctl_argument(arena, &ipc, false, true, &got, &message), -EINVAL);
}

static void test_processes(void **state) {
    ProcessId self, other;
    assert_int_equal(process_identify(getpid(), &self), 0);
    assert_true(process_lives(self));
    assert_int_equal(process_signal(self, 0), 0);
    assert_int_equal(process_parent(getpid()), getppid());
    other = self;
    other.start_time++; // the same number, another process
    assert_false(process_lives(other));
    assert_int_equal(process_signal(other, 0), -ESRCH);
    assert_int_equal(process_identify(0, &other), -ESRCH);
    assert_int_equal(process_signal((ProcessId){0}, 0), -ESRCH);
}

static void test_missing_programs(void **state) {
    CrunConfig config = {.state_directory = "/tmp/no-such-dir/s",
                         .run_directory = "/tmp/no-such-dir/r"};
    Runtime *runtime;
    char *message;
    config.crun = "/no/such/crun";
    assert_int_equal(runtime_crun_new(&config, &runtime, &message), -ENOENT);
    assert_string_equal(message, "crun not found: apt install crun");
    free(message);
    config.crun = config.conmon = "/bin/sh";
    config.pause = "/no/such/pause";
    assert_int_equal(runtime_crun_new(&config, &runtime, &message), -ENOENT);
    assert_string_equal(message, "seapod-pause not found beside seapod");
    free(message);
    assert_int_equal(access("/tmp/no-such-dir", F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_round_trip), cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_sync_line),         cmocka_unit_test(test_packets),
        cmocka_unit_test(test_arguments),         cmocka_unit_test(test_sysctls),
        cmocka_unit_test(test_processes),         cmocka_unit_test(test_missing_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
