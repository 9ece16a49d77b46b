#include "fake_api.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/environment.h"
#include "node/pod_files.h"
#include "node/termination.h"

static void assert_text(Str text, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(arena_cstr(arena, text), expected);
}

#define LOCAL                                                                                      \
    "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"                                     \
    "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n" \
    "fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"

static void test_hosts(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const char *ip = "10.42.0.9", *domain = "cluster.local";
    Pod *pod = fake_pod(arena, "spec: {}");
    assert_text(pod_hosts_text(arena, pod, str_from(ip), str_from(domain), STR("host")),
                LOCAL "10.42.0.9\tp\n");
    pod = fake_pod(arena, "spec: {hostname: web, subdomain: sub, hostAliases: [{ip: 1.2.3.4, "
                          "hostnames: [a.b, c]}, {ip: 5.6.7.8, hostnames: [d]}]}");
    assert_text(pod_hosts_text(arena, pod, str_from(ip), str_from(domain), STR("host")),
                LOCAL "10.42.0.9\tweb.sub.default.svc.cluster.local\tweb\n"
                      "\n# Entries added by HostAliases.\n1.2.3.4\ta.b\tc\n5.6.7.8\td\n");
    pod = fake_pod(arena, "spec: {hostNetwork: true}");
    assert_text(pod_hosts_text(arena, pod, str_from(ip), str_from(domain), STR("127.0.0.1 here\n")),
                "# Kubernetes-managed hosts file (host network).\n127.0.0.1 here\n");
}

static void test_names(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str name, domain;
    Pod *pod = fake_pod(
        arena, "metadata: {name: "
               "a123456789b123456789c123456789d123456789e123456789f123456789g-.h}\nspec: {}");
    pod_host_name(arena, pod, STR("cluster.local"), &name, &domain);
    assert_text(name, "a123456789b123456789c123456789d123456789e123456789f123456789g");
    assert_text(domain, "");
    NodeAgent agent = {.config = {.cluster_domain = STR("cluster.local")}};
    SandboxSpec spec = {0};
    Str message;
    pod = fake_pod(arena, "spec: {hostname: web, subdomain: sub, setHostnameAsFQDN: true}");
    assert_int_equal(sandbox_spec_build(&agent, arena, pod, &spec, &message), 0);
    assert_text(spec.hostname, "web.sub.default.svc.cluster.local");
    pod = fake_pod(arena,
                   "spec: {hostname: a123456789b123456789c123456789d, subdomain: sub, "
                   "setHostnameAsFQDN: true}\nmetadata: {namespace: namespace-of-some-length}");
    assert_true(sandbox_spec_build(&agent, arena, pod, &spec, &message) < 0);
    assert_text(message, "failed to construct FQDN from pod hostname and cluster domain, FQDN "
                         "a123456789b123456789c123456789d.sub.namespace-of-some-length.svc."
                         "cluster.local is too long (64 characters is the max, 78 characters "
                         "requested)");
}

static void resolv(const char *yaml, const char *dns, const char *host, const char *expected,
                   const char *expected_warning) {
    _arena_free_ Arena *arena = arena_new();
    Str warning;
    Str text = pod_resolv_text(arena, fake_pod(arena, yaml), str_from(dns), STR("cluster.local"),
                               str_from(host), &warning);
    assert_text(text, expected);
    assert_text(warning, expected_warning);
}

#define HOST                                                                                       \
    "# x\nsearch old\nnameserver 9.9.9.9\n  nameserver\t8.8.8.8 \nsearch corp.example. "           \
    "b\noptions rotate\n"

static void test_resolv_conf(void **state) {
    const char *cluster = "search default.svc.cluster.local svc.cluster.local cluster.local "
                          "corp.example b\nnameserver 10.43.0.10\noptions ndots:5\n";
    const char *node =
        "search corp.example b\nnameserver 9.9.9.9\nnameserver 8.8.8.8\noptions rotate\n";
    resolv("spec: {dnsPolicy: ClusterFirst}", "10.43.0.10", HOST, cluster, "");
    resolv("spec: {dnsPolicy: ClusterFirst}", "", HOST, node, ""); // no cluster DNS yet
    resolv("spec: {dnsPolicy: Default}", "10.43.0.10", HOST, node, "");
    resolv("spec: {dnsPolicy: ClusterFirst, hostNetwork: true}", "10.43.0.10", HOST, node, "");
    resolv("spec: {dnsPolicy: ClusterFirstWithHostNet, hostNetwork: true}", "10.43.0.10", HOST,
           cluster, "");
    resolv("spec: {dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1], searches: [x.y], options: "
           "[{name: ndots, value: '2'}, {name: edns0}]}}",
           "10.43.0.10", HOST, "search x.y\nnameserver 1.1.1.1\noptions ndots:2 edns0\n", "");
    resolv("spec: {dnsPolicy: ClusterFirst, dnsConfig: {nameservers: [1.1.1.1, 10.43.0.10], "
           "searches: [b, c], options: [{name: ndots, value: '1'}, {name: edns0}]}}",
           "10.43.0.10", HOST,
           "search default.svc.cluster.local svc.cluster.local cluster.local corp.example b c\n"
           "nameserver 10.43.0.10\nnameserver 1.1.1.1\noptions ndots:1 edns0\n",
           "");
    resolv("spec: {dnsPolicy: Default}", "",
           "nameserver 1\nnameserver 2\nnameserver 3\nnameserver 4\n",
           "nameserver 1\nnameserver 2\nnameserver 3\n",
           "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
           "nameserver line is: 1 2 3");
    resolv("spec: {dnsPolicy: Default}", "", "", "", "");
}

static void test_search_limits(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Buf line = BUF_INIT(10000);
    buf_str(&line, STR("search"));
    for (int i = 0; i < 40; i++)
        buf_printf(&line, " d%d", i);
    Str warning, text = pod_resolv_text(arena, fake_pod(arena, "spec: {dnsPolicy: Default}"),
                                        STR_NONE, STR_NONE, buf_view(&line), &warning);
    assert_true(str_ends_with(text, STR(" d30 d31\n"))); // 32 of them
    assert_true(
        str_starts_with(warning, STR("Search Line limits were exceeded, some search paths "
                                     "have been omitted, the applied search line is: d0 ")));
    buf_clear(&line);
    buf_str(&line, STR("search"));
    for (int i = 0; i < 12; i++)
        buf_printf(&line, " %0200d", i);
    text = pod_resolv_text(arena, fake_pod(arena, "spec: {dnsPolicy: Default}"), STR_NONE, STR_NONE,
                           buf_view(&line), &warning);
    assert_int_equal(text.len, 7 + 10 * 201); // 2,048 characters at most
    assert_true(warning.len > 0);
    buf_deinit(&line);
}

static void assert_file(Str path, const char *expected) {
    char text[4096] = "";
    FILE *file = fopen(path.ptr, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static void test_files(void **state) {
    FakeApi *api = fake_api_new();
    _arena_free_ Arena *arena = arena_new();
    Pod *pod = fake_pod(arena, "spec: {dnsPolicy: ClusterFirst}");
    api->agent.config.cluster_dns = STR("10.43.0.10");
    Str directory = arena_printf(arena, "%s/pod", api->directory);
    PodFiles files;
    assert_int_equal(pod_files_write(&api->agent, arena, pod, STR(""), directory, &files), 0);
    assert_int_equal(files.hosts.len, 0); // no address, no hosts file
    assert_file(files.hostname, "p\n");
    assert_int_equal(pod_files_write(&api->agent, arena, pod, STR("10.42.0.9"), directory, &files),
                     0);
    assert_file(files.hosts, LOCAL "10.42.0.9\tp\n");
    struct stat before, after;
    assert_int_equal(stat(files.hosts.ptr, &before), 0);
    assert_int_equal(before.st_mode & 07777, 0644);
    // Running containers have the file mounted: it is the same one after a change.
    assert_int_equal(pod_files_write(&api->agent, arena, pod, STR("10.42.0.10"), directory, &files),
                     0);
    assert_file(files.hosts, LOCAL "10.42.0.10\tp\n");
    assert_int_equal(stat(files.hosts.ptr, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    fake_api_free(api);
}

// Termination messages ---------------------------------------------------------------------------

static void write_text(Str path, const char *text, size_t len) {
    FILE *file = fopen(path.ptr, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
}

static void test_termination(void **state) {
    FakeApi *api = fake_api_new();
    _arena_free_ Arena *arena = arena_new();
    Container container = {.name = STR("c"),
                           .termination_message_path = STR("/dev/termination-log"),
                           .termination_message_policy = STR("File")};
    Str files = arena_printf(arena, "%s/pod", api->directory);
    Str log = arena_printf(arena, "%s/3.log", api->directory), path;
    const char logged[] = "2026-01-01T00:00:00.000000001Z stdout F first\n"
                          "2026-01-01T00:00:00.000000002Z stderr P sec\n"
                          "2026-01-01T00:00:00.000000003Z stderr F ond line\n";
    write_text(log, logged, sizeof logged - 1);
    assert_int_equal(termination_file_make(arena, files, container.name, log, 3, &path), 0);
    struct stat status;
    assert_int_equal(stat(path.ptr, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0666);

#define MESSAGE(exit_code) termination_message(arena, &container, files, STR("id"), log, exit_code)
    assert_text(MESSAGE(1), "");
    container.termination_message_policy = STR("FallbackToLogsOnError");
    assert_text(MESSAGE(0), "");
    assert_text(MESSAGE(1), "first\nsecond line\n");
    write_text(path, "bad \xff\xc3\xa9 end", 11);
    assert_text(MESSAGE(1), "bad \xef\xbf\xbd\xc3\xa9 end");
    char large[5000];
    memset(large, 'a', sizeof large);
    memcpy(large + sizeof large - 3, "end", 3);
    write_text(path, large, sizeof large);
    Str message = MESSAGE(0);
    assert_int_equal(message.len, 4096);
    assert_true(str_ends_with(message, STR("aend")));
    // A link that somebody put there is not followed.
    unlink(path.ptr);
    assert_int_equal(symlink("/etc/passwd", path.ptr), 0);
    message = MESSAGE(0);
    assert_true(str_starts_with(message, STR("Error on reading termination log ")));
    unlink(path.ptr);
    assert_text(MESSAGE(1), "first\nsecond line\n");
    // The attempt before the last is forgotten.
    Str later = arena_printf(arena, "%s/5.log", api->directory);
    write_text(path, "x", 1);
    assert_int_equal(termination_file_make(arena, files, container.name, later, 5, &later), 0);
    assert_int_equal(access(path.ptr, F_OK), -1);
    fake_api_free(api);
}

static void test_log_tail(void **state) {
    FakeApi *api = fake_api_new();
    _arena_free_ Arena *arena = arena_new();
    Container container = {.name = STR("c"),
                           .termination_message_path = STR("/dev/termination-log"),
                           .termination_message_policy = STR("FallbackToLogsOnError")};
    Str files = arena_printf(arena, "%s/pod", api->directory);
    Str log = arena_printf(arena, "%s/0.log", api->directory);
    Buf buf = BUF_INIT(1 << 20);
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "2026-01-01T00:00:00.000000001Z stdout F line %d\n", i);
    write_text(log, buf.data, buf.len);
    Str message = MESSAGE(1); // 80 lines
    assert_true(str_starts_with(message, STR("line 920\n")));
    assert_true(str_ends_with(message, STR("line 999\n")));
    buf_clear(&buf);
    for (int i = 0; i < 50; i++)
        buf_printf(&buf, "2026-01-01T00:00:00.000000001Z stdout F %0999d\n", i);
    write_text(log, buf.data, buf.len);
    message = MESSAGE(1); // 2,048 bytes
    assert_int_equal(message.len, 2048);
    assert_true(str_ends_with(message, STR("00049\n")));
    write_text(log, "no log at all", 13);
    assert_text(MESSAGE(1), "all\n");
    unlink(log.ptr);
    assert_text(MESSAGE(1), "Error on reading termination message from logs: No such file or "
                            "directory");
    buf_deinit(&buf);
    fake_api_free(api);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_resolv_conf), cmocka_unit_test(test_search_limits),
        cmocka_unit_test(test_files),       cmocka_unit_test(test_termination),
        cmocka_unit_test(test_log_tail),
    };
    return cmocka_run_group_tests_name("pod_files", tests, NULL, NULL);
}
