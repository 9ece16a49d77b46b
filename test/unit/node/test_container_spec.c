#include "fake_api.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "node/environment.h"
#include "node/resources.h"

static void assert_text(Str text, const char *expected) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(arena_cstr(arena, text), expected);
}

// Resources --------------------------------------------------------------------------------------

#define GIB (1LL << 30)

static ContainerResources resources(const char *spec, bool init) {
    _arena_free_ Arena *arena = arena_new();
    Pod *pod = fake_pod(arena, spec);
    return resources_of_container(
        pod, init ? &pod->spec.init_containers.items[0] : &pod->spec.containers.items[0], 4 * GIB);
}

static int score(const char *spec, bool init) {
    ContainerResources all = resources(spec, init);
    assert_true(all.oom_score_adj_set);
    return all.oom_score_adj;
}

static void test_oom_scores(void **state) {
    assert_int_equal(score("spec: {containers: [{name: a}]}", false), 1000);
    assert_int_equal(score("spec: {containers: [{name: a, resources: {limits: {cpu: 1, memory: "
                           "1Gi}, requests: {cpu: 1, memory: 1Gi}}}]}",
                           false),
                     -997);
    assert_int_equal(
        score("spec: {containers: [{name: a, resources: {requests: {memory: 1Gi}}}]}", false), 750);
    assert_int_equal(
        score("spec: {containers: [{name: a, resources: {requests: {memory: 1}}}]}", false), 999);
    assert_int_equal(
        score("spec: {containers: [{name: a, resources: {requests: {memory: 4Gi}}}]}", false), 3);
    assert_int_equal(
        score("spec: {containers: [{name: a, resources: {requests: {cpu: 1}}}]}", false), 999);
    // What serves others is not killed before them.
    assert_int_equal(score("spec: {initContainers: [{name: s, restartPolicy: Always}], containers: "
                           "[{name: a, resources: {requests: {memory: 2Gi}}}]}",
                           true),
                     500);
    assert_int_equal(score("spec: {priorityClassName: system-node-critical, priority: 2000001000, "
                           "containers: [{name: a}]}",
                           false),
                     -997);
    assert_int_equal(score("status: {qosClass: BestEffort}\nspec: {containers: [{name: a, "
                           "resources: {requests: {memory: 4Gi}}}]}",
                           false),
                     1000);
}

static void test_shares(void **state) {
    ContainerResources r = resources("spec: {containers: [{name: a}]}", false);
    assert_int_equal(r.cpu_shares, 2);
    assert_int_equal(r.cpu_quota, 0);
    assert_int_equal(r.memory_limit, 0);
    r = resources("spec: {containers: [{name: a, resources: {limits: {cpu: 500m, memory: 128Mi}, "
                  "requests: {cpu: 250m}}}]}",
                  false);
    assert_int_equal(r.cpu_shares, 256);
    assert_int_equal(r.cpu_quota, 50000);
    assert_int_equal(r.cpu_period, 100000);
    assert_int_equal(r.memory_limit, 128 << 20);
    r = resources("spec: {containers: [{name: a, resources: {limits: {cpu: 5m}}}]}", false);
    assert_int_equal(r.cpu_shares, 5); // the limit stands for the request
    assert_int_equal(r.cpu_quota, 1000);
    r = resources("spec: {containers: [{name: a, resources: {limits: {cpu: 1e6}}}]}", false);
    assert_int_equal(r.cpu_shares, 262144);
    r = resources("spec: {resources: {limits: {memory: 1Gi}}, containers: [{name: a}]}", false);
    assert_int_equal(r.memory_limit, GIB);
}

static CgroupLimits pod_limits_of(const char *yaml) {
    _arena_free_ Arena *arena = arena_new();
    return resources_of_pod(fake_pod(arena, yaml));
}

static void test_pod_group(void **state) {
    CgroupLimits limits = pod_limits_of("spec: {containers: [{name: a}]}");
    assert_int_equal(limits.cpu_shares, 2);
    assert_int_equal(limits.memory, 0);
    limits = pod_limits_of(
        "spec: {containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: "
        "500m, memory: 1Gi}}}, {name: b, resources: {limits: {memory: 1Gi}, requests: {cpu: "
        "500m}}}]}");
    assert_int_equal(limits.cpu_shares, 1024);
    assert_int_equal(limits.cpu_quota, 0); // `b` has none
    assert_int_equal(limits.memory, 2 * GIB);
    limits = pod_limits_of("spec: {containers: [{name: a, resources: {limits: {cpu: 1, memory: "
                           "1Gi}, requests: {cpu: 1, memory: 1Gi}}}]}");
    assert_int_equal(limits.cpu_quota, 100000);
    assert_int_equal(limits.memory, GIB);
    limits = pod_limits_of(
        "spec: {initContainers: [{name: i, resources: {limits: {cpu: 3, memory: 4Gi}, requests: "
        "{cpu: 3, memory: 1Gi}}}], containers: [{name: a, resources: {limits: {cpu: 1, memory: "
        "1Gi}, requests: {cpu: 1, memory: 1Gi}}}]}");
    assert_int_equal(limits.cpu_shares, 3072);
    assert_int_equal(limits.memory, 4 * GIB);
}

// Specs ------------------------------------------------------------------------------------------

typedef struct Fixture {
    FakeApi *api;
    Arena *arena;
    Pod *pod;
    PodVolumes *volumes;
    Image image;
    ContainerInputs inputs;
    ContainerSpec spec;
    Str reason, message;
} Fixture;

static void on_changed(void *user) {}

static int build(Fixture *f, const char *yaml) {
    static const RuntimePair env[] = {{{"NAME", 4}, {"value", 5}}, {{"PATH", 4}, {"/mine", 5}}};
    if (f->volumes)
        pod_volumes_free(f->volumes, NULL, NULL);
    f->pod = fake_pod(f->arena, yaml);
    f->volumes = pod_volumes_new(&f->api->agent, f->pod, on_changed, NULL);
    fake_api_run(f->api, NSEC_PER_SEC);
    f->inputs = (ContainerInputs){
        .pod = f->pod,
        .container = &f->pod->spec.containers.items[0],
        .image = &f->image,
        .env = env,
        .n_env = 2,
        .volumes = f->volumes,
        .sandbox_id = STR("sandbox"),
        .pod_ip = STR("10.42.0.3"),
        .files_directory = agent_pod_directory(&f->api->agent, f->arena, STR("uid-1")),
        .log_path = STR("/var/log/pods/default_p_uid-1/c/2.log"),
        .attempt = 2,
    };
    f->reason = f->message = STR_NONE;
    return container_spec_build(&f->api->agent, f->arena, &f->inputs, &f->spec, &f->reason,
                                &f->message);
}

static ImageStrings strings(Fixture *f, const char *const *items) {
    ImageStrings list = {0};
    while (items[list.n])
        list.n++;
    list.items = arena_array_of(f->arena, Str, list.n);
    for (size_t i = 0; i < list.n; i++)
        list.items[i] = str_from(items[i]);
    return list;
}

static void begin(Fixture *f) {
    *f = (Fixture){.api = fake_api_new(), .arena = arena_new()};
    f->image = (Image){
        .entrypoint = strings(f, (const char *[]){"/entry", "$(NAME)", NULL}),
        .cmd = strings(f, (const char *[]){"default", NULL}),
        .env = strings(f, (const char *[]){"PATH=/image", "LANG=C", "EMPTY=", NULL}),
        .working_dir = STR("/work"),
        .stop_signal = STR("SIGQUIT"),
    };
}

static void finish(Fixture *f) {
    pod_volumes_free(f->volumes, NULL, NULL);
    fake_api_run(f->api, NSEC_PER_SEC);
    fake_api_free(f->api);
    arena_free(f->arena);
}

static void assert_argv(Fixture *f, const char *expected) {
    assert_text(arena_concat(f->arena, f->spec.argv, f->spec.n_argv, STR("|")), expected);
}

static void test_process(void **state) {
    Fixture f;
    begin(&f);
    assert_int_equal(build(&f, "spec: {containers: [{name: c}]}"), 0);
    assert_argv(&f, "/entry|$(NAME)|default"); // the image's own words are not expanded
    assert_int_equal(f.spec.n_env, 4);
    assert_text(f.spec.env[0].name, "LANG");
    assert_text(f.spec.env[1].value, "");
    assert_text(f.spec.env[3].value, "/mine");
    assert_text(f.spec.working_directory, "/work");
    assert_int_equal(f.spec.stop_signal, SIGQUIT);
    assert_int_equal(f.spec.uid, -1);
    assert_text(f.spec.name, "c");
    assert_int_equal(f.spec.attempt, 2);

    assert_int_equal(build(&f, "spec: {containers: [{name: c, args: ['$(NAME)', '$$(NAME)']}]}"),
                     0);
    assert_argv(&f, "/entry|$(NAME)|value|$(NAME)");
    assert_int_equal(build(&f, "spec: {shareProcessNamespace: true, containers: [{name: c, tty: "
                               "true, stdin: true, stdinOnce: true, workingDir: /x, command: [run, "
                               "'$(NAME)'], lifecycle: {stopSignal: SIGUSR1}}]}"),
                     0);
    assert_argv(&f, "run|value"); // without the image's cmd
    assert_text(f.spec.working_directory, "/x");
    assert_int_equal(f.spec.stop_signal, SIGUSR1);
    assert_true(f.spec.tty && f.spec.stdin_open && f.spec.stdin_once &&
                f.spec.share_process_namespace);

    f.image.entrypoint.n = f.image.cmd.n = 0;
    assert_true(build(&f, "spec: {containers: [{name: c}]}") < 0);
    assert_text(f.reason, "CreateContainerError");
    assert_text(f.message, "no command specified");
    finish(&f);
}

static void test_signals(void **state) {
    Fixture f;
    begin(&f);
    const struct {
        const char *name;
        int number;
    } cases[] = {{"15", 15},         {"TERM", 15},     {"sigint", 2}, {"SIGRTMIN+3", 37},
                 {"SIGRTMAX-2", 62}, {"SIGRTMIN", 34}, {"SIGX", 0},   {"SIGRTMIN-1", 0},
                 {"0", 0},           {"65", 0},        {"SIG", 0},    {"SIGRTMIN+99", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.image.stop_signal = str_from(cases[i].name);
        assert_int_equal(build(&f, "spec: {containers: [{name: c}]}"), 0);
        assert_int_equal(f.spec.stop_signal, cases[i].number);
    }
    finish(&f);
}

static void test_security(void **state) {
    Fixture f;
    begin(&f);
    f.image.user = STR("app:web");
    f.api->agent.config.data_directory = str_from(f.api->directory);
    assert_int_equal(
        build(&f,
              "spec: {securityContext: {runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000, "
              "supplementalGroups: [4, 5], supplementalGroupsPolicy: Strict, seccompProfile: "
              "{type: RuntimeDefault}}, containers: [{name: c, securityContext: {runAsUser: 7, "
              "privileged: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, "
              "procMount: Unmasked, capabilities: {add: [NET_ADMIN], drop: [ALL, CHOWN]}}}]}"),
        0);
    assert_int_equal(f.spec.uid, 7);
    assert_int_equal(f.spec.gid, 2000);
    assert_int_equal(f.spec.n_supplemental_groups, 3);
    assert_int_equal(f.spec.supplemental_groups[0], 3000);
    assert_int_equal(f.spec.supplemental_groups[2], 5);
    assert_true(f.spec.strict_supplemental_groups);
    assert_text(f.spec.seccomp, "RuntimeDefault");
    assert_true(f.spec.privileged && f.spec.read_only_root && f.spec.no_new_privileges);
    assert_int_equal(f.spec.n_capabilities_add, 1);
    assert_int_equal(f.spec.n_capabilities_drop, 2);
    assert_non_null(f.spec.masked_paths);
    assert_int_equal(f.spec.n_masked_paths, 0);

    assert_int_equal(build(&f, "spec: {containers: [{name: c, securityContext: {seccompProfile: "
                               "{type: Localhost, localhostProfile: a/b.json}}}]}"),
                     0);
    assert_text(f.spec.user, "app:web");
    assert_null(f.spec.masked_paths);
    assert_text(f.spec.seccomp,
                arena_printf(f.arena, "Localhost/%s/seccomp/a/b.json", f.api->directory).ptr);
    finish(&f);
}

static void test_non_root(void **state) {
    Fixture f;
    begin(&f);
    const struct {
        const char *image_user, *context, *message;
    } cases[] = {
        {"", "",
         "container has runAsNonRoot and image will run as root (pod: "
         "\"p_default(uid-1)\", container: c)"},
        {"0:5", "",
         "container has runAsNonRoot and image will run as root (pod: "
         "\"p_default(uid-1)\", container: c)"},
        {"1001", "", NULL},
        {"app", "",
         "container has runAsNonRoot and image has non-numeric user (app), cannot verify "
         "user is non-root (pod: \"p_default(uid-1)\", container: c)"},
        {"app", "runAsUser: 5", NULL},
        {"1001", "runAsUser: 0",
         "container's runAsUser breaks non-root policy (pod: "
         "\"p_default(uid-1)\", container: c)"},
        {"", "runAsNonRoot: false", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.image.user = str_from(cases[i].image_user);
        int error = build(&f, arena_printf(f.arena,
                                           "spec: {securityContext: {runAsNonRoot: true}, "
                                           "containers: [{name: c, securityContext: {%s}}]}",
                                           cases[i].context)
                                  .ptr);
        assert_int_equal(error != 0, cases[i].message != NULL);
        assert_text(f.message, cases[i].message ? cases[i].message : "");
        if (error)
            assert_text(f.reason, "CreateContainerConfigError");
    }
    finish(&f);
}

static const ContainerMount *mount_at(Fixture *f, const char *target) {
    const ContainerMount *found = NULL;
    for (size_t i = 0; i < f->spec.n_mounts; i++)
        if (str_eq(f->spec.mounts[i].target, str_from(target))) {
            assert_null(found); // once each
            found = &f->spec.mounts[i];
        }
    return found;
}

static void test_mounts(void **state) {
    if (geteuid() != 0)
        skip();
    Fixture f;
    begin(&f);
    assert_int_equal(
        build(&f, "spec: {volumes: [{name: v, emptyDir: {}}], containers: [{name: c, "
                  "terminationMessagePath: /dev/termination-log, volumeMounts: [{name: v, "
                  "mountPath: /data, readOnly: true, recursiveReadOnly: IfPossible}, {name: v, "
                  "mountPath: /shared, mountPropagation: Bidirectional}, {name: v, mountPath: "
                  "/etc/hosts, subPath: h}], securityContext: {readOnlyRootFilesystem: true}}]}"),
        0);
    assert_true(mount_at(&f, "/data")->read_only);
    assert_true(mount_at(&f, "/data")->recursive_read_only);
    assert_int_equal(mount_at(&f, "/shared")->propagation, PROPAGATION_BIDIRECTIONAL);
    assert_true(
        str_starts_with(mount_at(&f, "/etc/hosts")->source,
                        arena_printf(f.arena, "%s/pods/uid-1/volume-subpaths/", f.api->directory)));
    assert_true(mount_at(&f, "/etc/hostname")->read_only);
    assert_true(mount_at(&f, "/etc/resolv.conf")->read_only);
    assert_text(f.spec.termination_message_path, "/dev/termination-log");
    assert_true(
        str_ends_with(f.spec.termination_message_host_path, STR("/pods/uid-1/containers/c/2")));

    assert_int_equal(build(&f, "spec: {containers: [{name: c}]}"), 0);
    assert_true(str_ends_with(mount_at(&f, "/etc/hosts")->source, STR("/pods/uid-1/etc-hosts")));
    assert_false(mount_at(&f, "/etc/hosts")->read_only);

    assert_true(
        build(&f, "spec: {containers: [{name: c, volumeMounts: [{name: x, mountPath: /x}]}]}") < 0);
    assert_text(f.reason, "CreateContainerConfigError");
    assert_text(f.message, "cannot find volume \"x\" to mount into container \"c\"");
    finish(&f);
}

static void test_sandbox(void **state) {
    _arena_free_ Arena *arena = arena_new();
    NodeAgent agent = {.config = {.cluster_domain = STR("cluster.local")}};
    SandboxSpec spec = {0};
    Str message;
    Pod *pod =
        fake_pod(arena, "spec: {hostNetwork: true, hostPID: true, securityContext: {sysctls: "
                        "[{name: net.ipv4.tcp_syncookies, value: '1'}, {name: "
                        "net/ipv4/tcp_rmem, value: 1 2 3}]}}");
    assert_int_equal(sandbox_spec_build(&agent, arena, pod, &spec, &message), 0);
    assert_true(spec.host_network && spec.host_pid && !spec.host_ipc);
    assert_text(spec.hostname, "p");
    assert_int_equal(spec.n_sysctls, 2);
    assert_text(spec.sysctls[1].name, "net.ipv4.tcp_rmem");
    const struct {
        const char *yaml, *message;
    } refused[] = {
        {"spec: {securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}}",
         "forbidden sysctl: \"kernel.msgmax\" not allowlisted"},
        {"spec: {runtimeClassName: kata}", "RuntimeHandler \"kata\" not supported"},
        {"spec: {hostUsers: false}",
         "user namespaces (hostUsers: false) are not supported by this node"},
    };
    for (size_t i = 0; i < 3; i++) {
        pod = fake_pod(arena, refused[i].yaml);
        assert_true(sandbox_spec_build(&agent, arena, pod, &spec, &message) < 0);
        assert_text(message, refused[i].message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oom_scores), cmocka_unit_test(test_shares),
        cmocka_unit_test(test_pod_group),  cmocka_unit_test(test_process),
        cmocka_unit_test(test_signals),    cmocka_unit_test(test_security),
        cmocka_unit_test(test_non_root),   cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_sandbox),
    };
    return cmocka_run_group_tests_name("container_spec", tests, NULL, NULL);
}
