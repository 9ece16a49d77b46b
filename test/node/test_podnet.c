// The pod network with real links, routes and rules, in a network namespace of the test's own.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "net/podnet.h"

#define SECOND NSEC_PER_SEC

static struct {
    char root[64], allocations[96];
    PodnetConfig config;
    Loop *loop;
    Podnet *podnet;
    char *before;
    bool done;
    int error;
    char message[256], ip[32];
} world;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static char *shell(const char *command) {
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char *text = calloc(1, 1 << 18);
    size_t n = fread(text, 1, (1 << 18) - 1, pipe);
    text[n] = 0;
    pclose(pipe);
    return text;
}

static int run(const char *format, ...) {
    char command[512];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

static void assert_shell(const char *command, const char *want) {
    char *got = shell(command);
    assert_string_equal(got, want);
    free(got);
}

static char *inventory(void) {
    return shell("ip -br link | cut -d'<' -f1 | sed 's/@if[0-9]*//' | awk '{print $1}'; ip -br -4 "
                 "addr; ip route; nft list ruleset");
}

static void finish(int error, Str message) {
    world.error = error;
    snprintf(world.message, sizeof world.message, "%.*s", STR_ARG(message));
    world.done = true;
    loop_stop(world.loop);
}

static void on_attached(void *user, int error, Str message, Str ip) {
    snprintf(world.ip, sizeof world.ip, "%.*s", STR_ARG(ip));
    finish(error, message);
}

static void on_detached(void *user, int error, Str message) {
    finish(error, message);
}

static void on_deadline(void *user) {
    fprintf(stderr, "nothing happened for 20 seconds\n");
    abort();
}

static void await(void) {
    LoopTimer deadline = {0};
    loop_timer_init(&deadline, world.loop, on_deadline, NULL);
    loop_timer_start(&deadline, 20 * SECOND);
    while (!world.done)
        assert_int_equal(loop_run(world.loop), 0);
    loop_timer_stop(&deadline);
    world.done = false;
}

static void on_time(void *user) {
    loop_stop(world.loop);
}

static void pass_time(int64_t ns) {
    LoopTimer timer = {0};
    loop_timer_init(&timer, world.loop, on_time, NULL);
    loop_timer_start(&timer, ns);
    while (loop_timer_is_running(&timer))
        assert_int_equal(loop_run(world.loop), 0);
}

static const char *id_of(int pod) {
    static char id[65];
    snprintf(id, sizeof id, "%012x%052x", pod, 0);
    return id;
}

// A namespace, held by an infra process, at ROOT/N/net.
static void new_pod(int pod) {
    assert_int_equal(run("mkdir -p %s/%d && %s --launch %s/%d n pod >%s/%d.pid", world.root, pod,
                         getenv("SEAPOD_PAUSE"), world.root, pod, world.root, pod),
                     0);
}

static void delete_pod(int pod) {
    run("kill -9 $(cat %s/%d.pid); umount %s/%d/net; rm -r %s/%d %s/%d.pid", world.root, pod,
        world.root, pod, world.root, pod, world.root, pod);
}

static int in_pod(int pod, const char *command) {
    return run("nsenter --net=%s/%d/net %s >/dev/null 2>&1", world.root, pod, command);
}

static void attach(int pod) {
    char netns[96];
    snprintf(netns, sizeof netns, "%s/%d/net", world.root, pod);
    podnet_attach(world.podnet, str_from(id_of(pod)), str_from(netns), on_attached, NULL);
    await();
    if (world.error)
        fprintf(stderr, "    (%s)\n", world.message);
}

static void detach(int pod) {
    podnet_detach(world.podnet, str_from(id_of(pod)), on_detached, NULL);
    await();
    assert_int_equal(world.error, 0);
}

static void open_podnet(void) {
    char *message;
    int error = podnet_new(&world.config, &world.podnet, &message);
    if (error)
        fprintf(stderr, "%s\n", message);
    assert_int_equal(error, 0);
}

static int setup(void **state) {
    snprintf(world.root, sizeof world.root, "/tmp/seapod-net-test-%d", getpid());
    snprintf(world.allocations, sizeof world.allocations, "%s/ips", world.root);
    assert_int_equal(mkdir(world.root, 0755), 0);
    // Mounts of ours vanish with the test, and nobody else's network is touched.
    assert_int_equal(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
    assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("sysfs", "/sys", "sysfs", 0, NULL), 0); // this namespace's links
    run("ip link set lo up");
    world.before = inventory();
    world.loop = loop_new();
    world.config = (PodnetConfig){.loop = world.loop,
                                  .bridge = "spt0",
                                  .table = "seapod-test",
                                  .pod_range = "10.99.0.0/29",
                                  .cluster_range = "10.99.0.0/16",
                                  .directory = world.allocations};
    open_podnet();
    return 0;
}

static int teardown(void **state) {
    loop_free(world.loop);
    free(world.before);
    return run("rm -rf %s", world.root);
}

static void test_attach(void **state) {
    new_pod(1);
    new_pod(2);
    double t0 = now_ms();
    attach(1);
    double t1 = now_ms();
    assert_int_equal(world.error, 0);
    assert_string_equal(world.ip, "10.99.0.2");
    assert_true(str_eq(podnet_address(world.podnet, str_from(id_of(1))), STR("10.99.0.2")));
    assert_true(str_eq(podnet_gateway(world.podnet), STR("10.99.0.1")));
    attach(2);
    assert_string_equal(world.ip, "10.99.0.3");
    char command[256];
    snprintf(command, sizeof command,
             "nsenter --net=%s/1/net sh -c 'ip -br -4 addr; ip route; ip "
             "link show eth0 | sed -n \"s/.*ether \\([^ ]*\\).*/\\1/p\"' | tr -s ' ' | sed "
             "'s/@if[0-9]*//; s/ *$//'",
             world.root);
    assert_shell(command, "lo UNKNOWN 127.0.0.1/8\neth0 UP 10.99.0.2/29\n"
                          "default via 10.99.0.1 dev eth0\n"
                          "10.99.0.0/29 dev eth0 proto kernel scope link src 10.99.0.2\n"
                          "0a:58:0a:63:00:02\n");
    assert_int_equal(in_pod(1, "busybox ping -c1 -W2 127.0.0.1"), 0);
    assert_int_equal(in_pod(1, "busybox ping -c1 -W2 10.99.0.1"), 0);
    assert_int_equal(in_pod(1, "busybox ping -c1 -W2 10.99.0.3"), 0);
    assert_int_equal(run("busybox ping -c1 -W2 10.99.0.3 >/dev/null"), 0);
    assert_shell("cat /sys/class/net/spt0/brif/*/hairpin_mode", "1\n1\n");
    assert_shell("cat /proc/sys/net/ipv4/ip_forward", "1\n");
    printf("    attach took %.1f ms\n", t1 - t0);
}

static void test_repair(void **state) {
    assert_int_equal(in_pod(1, "ip addr flush dev eth0"), 0);
    assert_int_not_equal(in_pod(1, "busybox ping -c1 -W1 10.99.0.3"), 0);
    attach(1);
    assert_string_equal(world.ip, "10.99.0.2");
    assert_int_equal(in_pod(1, "busybox ping -c1 -W2 10.99.0.3"), 0);
    // The bridge goes, and its ports with it: the next attach brings it back.
    run("ip link del spt0");
    attach(1);
    assert_int_equal(world.error, 0);
    // A namespace that does not exist gives its address back.
    podnet_attach(world.podnet, STR("ffffffffffff"), STR("/no/where"), on_attached, NULL);
    await();
    assert_int_equal(world.error, -ENOENT);
    assert_string_equal(world.message,
                        "cannot open the pod's network namespace: No such file or directory");
    assert_null(podnet_address(world.podnet, STR("ffffffffffff")).ptr);
}

static void test_outside(void **state) {
    // A host beyond our own, which knows no way to the pods.
    new_pod(9);
    assert_int_equal(
        run("ip link add out0 type veth peer name eth0 netns $(cat %s/9.pid) && ip addr "
            "add 192.0.2.1/24 dev out0 && ip link set out0 up",
            world.root),
        0);
    assert_int_equal(in_pod(9, "sh -c 'ip addr add 192.0.2.9/24 dev eth0; ip link set eth0 up'"),
                     0);
    assert_int_equal(in_pod(1, "busybox ping -c1 -W3 192.0.2.9"), 0); // masqueraded
    // Docker comes: what it does to the FORWARD chain.
    assert_int_equal(
        run("nft 'table ip filter { chain DOCKER-USER { counter return; }; chain FORWARD "
            "{ type filter hook forward priority 0; policy drop; jump DOCKER-USER; }; }'"),
        0);
    assert_int_not_equal(in_pod(1, "busybox ping -c1 -W1 192.0.2.9"), 0);
    pass_time(SECOND / 2);
    assert_shell("nft list chain ip filter DOCKER-USER | grep -c spt0", "2\n");
    assert_int_equal(in_pod(1, "busybox ping -c1 -W3 192.0.2.9"), 0);
    // Again, with what is there already; and without Docker's own chain.
    run("nft delete table ip filter");
    assert_int_equal(run("nft 'table ip filter { chain FORWARD { type filter hook forward priority "
                         "0; policy drop; }; }'"),
                     0);
    pass_time(SECOND / 2);
    run("nft add chain ip filter another");
    pass_time(SECOND / 2);
    assert_shell("nft list chain ip filter FORWARD | grep -c 'name \"spt0\" counter .* accept'",
                 "2\n");
    assert_int_equal(in_pod(1, "busybox ping -c1 -W3 192.0.2.9"), 0);
    if (system("command -v iptables-nft >/dev/null") == 0)
        assert_shell("iptables-nft -S FORWARD 2>&1 | grep spt0",
                     "-A FORWARD -i spt0 -j ACCEPT\n-A FORWARD -o spt0 -j ACCEPT\n");
    run("ip link del out0");
    delete_pod(9);
}

static void test_exhaustion_and_restart(void **state) {
    for (int pod = 3; pod <= 5; pod++) {
        new_pod(pod);
        attach(pod);
        assert_int_equal(world.error, 0);
    }
    assert_string_equal(world.ip, "10.99.0.4"); // the failed attempt's: it went round
    new_pod(6);
    attach(6);
    assert_int_equal(world.error, -ENOSPC);
    assert_string_equal(world.message, "no free address in 10.99.0.0/29");
    detach(4);
    detach(4);
    assert_shell("ls /sys/class/net/spt0/brif | wc -l", "3\n"); // 2 lost its port with the bridge
    attach(6);
    assert_string_equal(world.ip, "10.99.0.6");

    podnet_free(world.podnet);
    open_podnet();
    assert_true(str_eq(podnet_address(world.podnet, str_from(id_of(3))), STR("10.99.0.5")));
    assert_int_equal(in_pod(3, "busybox ping -c1 -W2 10.99.0.6"), 0);
    // 5 is gone without having been detached; 1 and 2 were given up.
    char ids[2][65];
    snprintf(ids[0], sizeof ids[0], "%s", id_of(3));
    snprintf(ids[1], sizeof ids[1], "%s", id_of(6));
    Str keep[] = {str_from(ids[0]), str_from(ids[1])};
    podnet_retain(world.podnet, keep, 2);
    pass_time(SECOND / 10);
    podnet_retain(world.podnet, keep, 2);
    attach(4); // waits for the sweep, and is not swept
    assert_int_equal(world.error, 0);
    assert_null(podnet_address(world.podnet, str_from(id_of(5))).ptr);
    assert_shell("ls /sys/class/net/spt0/brif | wc -l", "3\n");
    assert_int_equal(in_pod(4, "busybox ping -c1 -W2 10.99.0.5"), 0);
}

static void test_conflicts(void **state) {
    PodnetConfig config = world.config;
    char *message;
    Podnet *podnet;
    config.bridge = "spt1";
    config.table = "seapod-test1";
    config.directory = world.root;
    assert_int_equal(podnet_new(&config, &podnet, &message), -EADDRINUSE);
    assert_string_equal(message, "the pod network's 10.99.0.1/29 is in use on spt0");
    free(message);
    config.pod_range = "10.99.0.1/29";
    assert_int_equal(podnet_new(&config, &podnet, &message), -EINVAL);
    assert_string_equal(message, "10.99.0.1/29 is no range for pods");
    free(message);
    config.pod_range = "10.98.0.0/24";
    config.bridge = "lo";
    assert_int_equal(podnet_new(&config, &podnet, &message), -EEXIST);
    free(message);
}

static void test_nothing_left(void **state) {
    podnet_free(world.podnet);
    char *message;
    assert_int_equal(podnet_cleanup(&world.config, &message), 0);
    run("nft list table ip filter | grep -c spt0 >/dev/null && echo left over");
    assert_shell("nft list table ip filter | grep -c spt0", "0\n");
    run("nft delete table ip filter");
    char *after = inventory();
    assert_string_equal(after, world.before);
    free(after);
    assert_int_equal(access(world.allocations, F_OK), -1);
    assert_int_equal(podnet_cleanup(&world.config, &message), 0); // again is fine
    for (int pod = 1; pod <= 6; pod++)
        delete_pod(pod);
}

int main(void) {
    if (geteuid() != 0 || system("command -v nft ip nsenter busybox >/dev/null") != 0) {
        printf("needs root, nft, ip, nsenter and busybox\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attach),    cmocka_unit_test(test_repair),
        cmocka_unit_test(test_outside),   cmocka_unit_test(test_exhaustion_and_restart),
        cmocka_unit_test(test_conflicts), cmocka_unit_test(test_nothing_left),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
