#include "fake_api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "node/volumes.h"

#define BASE "pods/uid-1/volumes/"
#define TMPFS 0x01021994

typedef struct Fixture {
    FakeApi *api;
    Arena *arena;
    Pod *pod;
    PodVolumes *volumes;
    int changed, gone;
} Fixture;

static void on_changed(void *user) {
    ((Fixture *)user)->changed++;
}

static void on_gone(void *user) {
    ((Fixture *)user)->gone++;
}

static void begin(Fixture *f, const char *yaml) {
    f->pod = fake_pod(f->arena, yaml);
    f->volumes = pod_volumes_new(&f->api->agent, f->pod, on_changed, f);
    fake_api_run(f->api, 100 * NSEC_PER_MSEC);
}

static Fixture *fixture(const char *yaml) {
    Fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->api = fake_api_new();
    f->arena = arena_new();
    if (yaml)
        begin(f, yaml);
    return f;
}

static const char *path(Fixture *f, const char *name) {
    return arena_printf(f->arena, "%s/%s", f->api->directory, name).ptr;
}

static void finish(Fixture *f) {
    if (f->volumes)
        pod_volumes_free(f->volumes, on_gone, f);
    fake_api_run(f->api, NSEC_PER_SEC);
    assert_int_equal(access(path(f, "pods/uid-1/volumes"), F_OK), -1);
    fake_api_free(f->api);
    arena_free(f->arena);
    free(f);
}

static bool is_ready(Fixture *f) {
    Str message;
    return pod_volumes_ready(f->volumes, &message);
}

static void assert_content(Fixture *f, const char *name, const char *expected) {
    char text[4096] = "";
    FILE *file = fopen(path(f, name), "r");
    if (!file)
        fail_msg("%s: %s", name, strerror(errno));
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    assert_string_equal(text, expected);
}

static mode_t mode_of(Fixture *f, const char *name) {
    struct stat status;
    assert_int_equal(stat(path(f, name), &status), 0);
    return status.st_mode & 07777;
}

static bool exists(Fixture *f, const char *name) {
    struct stat status;
    return lstat(path(f, name), &status) == 0;
}

static void need_root(void) {
    if (geteuid() != 0)
        skip();
}

// ------------------------------------------------------------------------------------------------

static void test_config_map(void **state) {
    Fixture *f = fixture(NULL);
    fake_api_put(f->api, "configmaps", "default", "one",
                 "\"data\":{\"a\":\"1\",\"b\":\"2\"},\"binaryData\":{\"c\":\"AAE=\"}");
    begin(f, "spec: {volumes: [{name: v, configMap: {name: one, defaultMode: 0400}}, "
             "{name: w, configMap: {name: one, items: [{key: a, path: x/deep, mode: 0640}]}}]}");
    assert_true(is_ready(f));
    assert_true(f->changed > 0);
    assert_content(f, BASE "kubernetes.io~configmap/v/a", "1");
    assert_content(f, BASE "kubernetes.io~configmap/v/b", "2");
    assert_int_equal(mode_of(f, BASE "kubernetes.io~configmap/v/a"), 0400);
    struct stat status;
    assert_int_equal(stat(path(f, BASE "kubernetes.io~configmap/v/c"), &status), 0);
    assert_int_equal(status.st_size, 2);
    assert_content(f, BASE "kubernetes.io~configmap/w/x/deep", "1");
    assert_int_equal(mode_of(f, BASE "kubernetes.io~configmap/w/x/deep"), 0640);
    assert_false(exists(f, BASE "kubernetes.io~configmap/w/a"));

    // A change is there at once.
    fake_api_put(f->api, "configmaps", "default", "one", "\"data\":{\"a\":\"one\",\"d\":\"4\"}");
    fake_api_run(f->api, 200 * NSEC_PER_MSEC);
    assert_content(f, BASE "kubernetes.io~configmap/v/a", "one");
    assert_content(f, BASE "kubernetes.io~configmap/v/d", "4");
    assert_false(exists(f, BASE "kubernetes.io~configmap/v/b"));
    assert_content(f, BASE "kubernetes.io~configmap/w/x/deep", "one");

    // What is deleted stays as it was, and the pod hears of it.
    fake_api_delete(f->api, "configmaps", "default", "one");
    fake_api_run(f->api, NSEC_PER_SEC);
    assert_true(is_ready(f));
    assert_content(f, BASE "kubernetes.io~configmap/v/a", "one");
    assert_true(fake_api_event(f->api, "FailedMount MountVolume.SetUp failed for volume \"v\" : "
                                       "configmap \"one\" not found\n"));
    pod_volumes_free(f->volumes, on_gone, f);
    f->volumes = NULL;
    assert_int_equal(f->gone, 0); // later
    fake_api_run(f->api, NSEC_PER_SEC);
    assert_int_equal(f->gone, 1);
    finish(f);
}

static void test_missing(void **state) {
    Fixture *f = fixture("spec: {volumes: [{name: v, configMap: {name: one}}, "
                         "{name: o, configMap: {name: two, optional: true}}, "
                         "{name: k, configMap: {name: three, items: [{key: a, path: a}]}}]}");
    Str message;
    assert_false(pod_volumes_ready(f->volumes, &message));
    assert_string_equal(arena_cstr(f->arena, message), "configmap \"one\" not found");
    assert_int_equal(f->changed, 1); // `o`
    assert_true(exists(f, BASE "kubernetes.io~configmap/o"));
    fake_api_put(f->api, "configmaps", "default", "three", "\"data\":{\"b\":\"\"}");
    fake_api_run(f->api, 200 * NSEC_PER_MSEC);
    assert_true(fake_api_event(f->api, "volume \"k\" : references non-existent config key: a\n"));
    fake_api_put(f->api, "configmaps", "default", "three", "\"data\":{\"a\":\"\"}");
    fake_api_put(f->api, "configmaps", "default", "one", "\"data\":{}");
    fake_api_run(f->api, 200 * NSEC_PER_MSEC); // at once, not at the next try
    assert_true(is_ready(f));
    finish(f);
}

static void test_unsupported(void **state) {
    Fixture *f = fixture("spec: {volumes: ["
                         "{name: w, nfs: {server: s, path: /}}]}");
    assert_false(is_ready(f));
    assert_true(fake_api_event(f->api, "volume \"w\" : no volume plugin matched\n"));
    finish(f);
}

static void test_secret_and_downward(void **state) {
    need_root();
    Fixture *f = fixture(NULL);
    fake_api_put(f->api, "secrets", "default", "s", "\"data\":{\"key\":\"dmFsdWU=\"}");
    begin(f,
          "metadata: {labels: {b: two, a: one}}\n"
          "spec: {securityContext: {fsGroup: 4321}, containers: [{name: c, resources: "
          "{limits: {memory: 1Gi}}}], volumes: [{name: s, secret: {secretName: s, defaultMode: "
          "0400}}, "
          "{name: d, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, "
          "{path: mem, resourceFieldRef: {containerName: c, resource: limits.memory, divisor: "
          "1Mi}}]}}]}");
    assert_true(is_ready(f));
    assert_content(f, BASE "kubernetes.io~secret/s/key", "value");
    struct statfs fs;
    assert_int_equal(statfs(path(f, BASE "kubernetes.io~secret/s"), &fs), 0);
    assert_int_equal(fs.f_type, TMPFS);
    struct stat status;
    assert_int_equal(stat(path(f, BASE "kubernetes.io~secret/s/key"), &status), 0);
    assert_int_equal(status.st_gid, 4321);
    assert_int_equal(status.st_mode & 0777, 0440);
    assert_int_equal(mode_of(f, BASE "kubernetes.io~secret/s") & S_ISGID, S_ISGID);
    assert_content(f, BASE "kubernetes.io~downward-api/d/labels", "a=\"one\"\nb=\"two\"");
    assert_content(f, BASE "kubernetes.io~downward-api/d/mem", "1024");

    Pod *changed = fake_pod(f->arena, "metadata: {labels: {a: three}}\n"
                                      "spec: {volumes: [{name: s}, {name: d}]}");
    changed->spec = f->pod->spec;
    pod_volumes_update(f->volumes, changed);
    fake_api_run(f->api, 10 * NSEC_PER_MSEC);
    assert_content(f, BASE "kubernetes.io~downward-api/d/labels", "a=\"three\"");
    finish(f);
}

static const char api_access[] =
    "spec: {serviceAccountName: sa, containers: [{name: c}], volumes: [{name: kube-api-access-x, "
    "projected: {defaultMode: 0644, sources: ["
    "{serviceAccountToken: {expirationSeconds: 3600, path: token}}, "
    "{configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}}, "
    "{downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}}]}}]}";
#define ACCESS BASE "kubernetes.io~projected/kube-api-access-x/"

static void test_api_access(void **state) {
    need_root();
    Fixture *f = fixture(NULL);
    fake_api_put(f->api, "configmaps", "default", "kube-root-ca.crt",
                 "\"data\":{\"ca.crt\":\"CA\"}");
    begin(f, api_access);
    assert_true(is_ready(f));
    assert_content(f, ACCESS "token", "token-1");
    assert_content(f, ACCESS "ca.crt", "CA");
    assert_content(f, ACCESS "namespace", "default");
    const char *request = f->api->token_request.ptr;
    assert_non_null(strstr(request, "/api/v1/namespaces/default/serviceaccounts/sa/token {"));
    assert_non_null(strstr(request, "\"expirationSeconds\":3600"));
    assert_non_null(strstr(request, "\"boundObjectRef\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\","
                                    "\"name\":\"p\",\"uid\":\"uid-1\"}"));
    ContainerMount mount;
    Str message;
    VolumeMount wanted = {.name = STR("kube-api-access-x"),
                          .mount_path = STR("/var/run/secrets/kubernetes.io/serviceaccount")};
    assert_int_equal(
        pod_volumes_mount(f->volumes, f->arena, STR("c"), &wanted, NULL, 0, &mount, &message), 0);
    assert_true(mount.read_only);

    // Renewed at 80 % of its life.
    fake_api_run(f->api, 2860 * NSEC_PER_SEC);
    assert_content(f, ACCESS "token", "token-1");
    fake_api_run(f->api, 30 * NSEC_PER_SEC);
    assert_content(f, ACCESS "token", "token-2");

    // Without an answer the old token stays while it is good.
    f->api->token_error = "no more";
    fake_api_run(f->api, 2890 * NSEC_PER_SEC);
    assert_content(f, ACCESS "token", "token-2");
    assert_true(f->api->tokens > 2);
    f->api->token_error = NULL;
    fake_api_run(f->api, 60 * NSEC_PER_SEC);
    char expected[32];
    snprintf(expected, sizeof expected, "token-%u", f->api->tokens);
    assert_content(f, ACCESS "token", expected);
    finish(f);
}

static void test_token_refused(void **state) {
    need_root();
    Fixture *f = fixture(NULL);
    f->api->token_error = "token is forbidden";
    begin(f, api_access);
    assert_false(is_ready(f));
    assert_true(fake_api_event(f->api, "FailedMount MountVolume.SetUp failed for volume "
                                       "\"kube-api-access-x\" : [failed to fetch token: "
                                       "token is forbidden, configmap "
                                       "\"kube-root-ca.crt\" not found]\n"));
    fake_api_put(f->api, "configmaps", "default", "kube-root-ca.crt",
                 "\"data\":{\"ca.crt\":\"CA\"}");
    fake_api_run(f->api, 3 * NSEC_PER_SEC);
    assert_false(is_ready(f));
    assert_true(fake_api_event(f->api, "failed to fetch token: token is forbidden"));
    f->api->token_error = NULL;
    fake_api_run(f->api, 10 * NSEC_PER_SEC);
    assert_true(is_ready(f));
    finish(f);
}

static void test_empty_dir(void **state) {
    need_root();
    Fixture *f =
        fixture("spec: {securityContext: {fsGroup: 77}, volumes: [{name: d, emptyDir: {}}, "
                "{name: m, emptyDir: {medium: Memory, sizeLimit: 1Mi}}, "
                "{name: h, emptyDir: {medium: HugePages}}]}");
    assert_false(is_ready(f)); // `h`
    assert_int_equal(mode_of(f, BASE "kubernetes.io~empty-dir/d"), 02777);
    struct stat status;
    assert_int_equal(stat(path(f, BASE "kubernetes.io~empty-dir/d"), &status), 0);
    assert_int_equal(status.st_gid, 77);
    struct statfs fs;
    assert_int_equal(statfs(path(f, BASE "kubernetes.io~empty-dir/m"), &fs), 0);
    assert_int_equal(fs.f_type, TMPFS);
    assert_int_equal(fs.f_blocks * (uint64_t)fs.f_bsize, 1024 * 1024);
    // Kept over a restart of ours.
    close(open(path(f, BASE "kubernetes.io~empty-dir/m/kept"), O_CREAT | O_WRONLY, 0600));
    pod_volumes_detach(f->volumes);
    f->volumes = pod_volumes_new(&f->api->agent, f->pod, on_changed, f);
    fake_api_run(f->api, NSEC_PER_SEC);
    assert_true(exists(f, BASE "kubernetes.io~empty-dir/m/kept"));
    // A mount of a container's in the volume goes with it.
    const char *inner = path(f, BASE "kubernetes.io~empty-dir/d/a b");
    assert_int_equal(mkdir(inner, 0755), 0);
    assert_int_equal(mount("tmpfs", inner, "tmpfs", 0, NULL), 0);
    finish(f);
}

static void test_host_path(void **state) {
    Fixture *f = fixture(NULL);
    const char *directory = path(f, "dir"), *file = path(f, "file");
    assert_int_equal(mkdir(directory, 0755), 0);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    const struct {
        const char *type, *name, *message; // NULL: fine
    } cases[] = {
        {"", "dir", NULL},
        {"", "file", NULL},
        {"", "made", NULL},
        {"Directory", "dir", NULL},
        {"Directory", "file", "is not a directory"},
        {"Directory", "none", "is not a directory"},
        {"DirectoryOrCreate", "new/deep", NULL},
        {"DirectoryOrCreate", "file", "is not a directory"},
        {"File", "file", NULL},
        {"File", "dir", "is not a file"},
        {"FileOrCreate", "new-file", NULL},
        {"FileOrCreate", "none/file", "No such file or directory"},
        {"Socket", "file", "is not a socket file"},
        {"CharDevice", "file", "is not a character device"},
        {"CharDevice", "../../dev/null", NULL},
        {"BlockDevice", "none", "is not a block device"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(f, arena_printf(
                     f->arena,
                     "spec: {volumes: [{name: v, hostPath: {path: \"%s/%s\", type: \"%s\"}}]}",
                     f->api->directory, cases[i].name, cases[i].type)
                     .ptr);
        Str message = STR("");
        bool ready = pod_volumes_ready(f->volumes, &message);
        if (ready != !cases[i].message)
            fail_msg("%s %s: %.*s", cases[i].type, cases[i].name, STR_ARG(message));
        if (cases[i].message && !strstr(arena_cstr(f->arena, message), cases[i].message))
            fail_msg("%s %s: %.*s", cases[i].type, cases[i].name, STR_ARG(message));
        pod_volumes_free(f->volumes, NULL, NULL);
    }
    f->volumes = NULL;
    assert_int_equal(mode_of(f, "new/deep"), 0755);
    assert_int_equal(mode_of(f, "new-file"), 0644);
    assert_int_equal(mode_of(f, "made"), 0755);
    fake_api_run(f->api, NSEC_PER_SEC);
    assert_true(exists(f, "dir")); // the host's own
    assert_true(exists(f, "file"));
    finish(f);
}

static int mount_of(Fixture *f, Arena *arena, const char *sub_path, const char *expression,
                    ContainerMount *ret, Str *ret_message) {
    static const RuntimePair env[] = {{{"POD", 3}, {"p-0", 3}}, {{"EMPTY", 5}, {"", 0}}};
    VolumeMount mount = {.name = STR("v"),
                         .mount_path = STR("data"),
                         .sub_path = str_from(sub_path),
                         .sub_path_expr = str_from(expression)};
    *ret_message = STR("");
    return pod_volumes_mount(f->volumes, arena, STR("c"), &mount, env, 2, ret, ret_message);
}

static void test_mounts(void **state) {
    need_root();
    Fixture *f = fixture("spec: {volumes: [{name: v, emptyDir: {}}]}");
    ContainerMount mount;
    Str message;
    assert_int_equal(mount_of(f, f->arena, NULL, NULL, &mount, &message), 0);
    assert_string_equal(arena_cstr(f->arena, mount.source),
                        path(f, BASE "kubernetes.io~empty-dir/v"));
    assert_string_equal(arena_cstr(f->arena, mount.target), "/data");
    assert_false(mount.read_only);

    Arena *arena = arena_new();
    assert_int_equal(mount_of(f, arena, NULL, "logs/$(POD)", &mount, &message), 0);
    assert_int_equal(mode_of(f, BASE "kubernetes.io~empty-dir/v/logs/p-0"), 0777);
    struct stat by_fd, by_name;
    assert_int_equal(stat(arena_cstr(arena, mount.source), &by_fd), 0);
    assert_int_equal(stat(path(f, BASE "kubernetes.io~empty-dir/v/logs/p-0"), &by_name), 0);
    assert_int_equal(by_fd.st_ino, by_name.st_ino);
    const char *source = arena_cstr(f->arena, mount.source);
    arena_free(arena);
    assert_int_equal(stat(source, &by_fd), -1); // no mount is left behind

    assert_int_equal(mount_of(f, f->arena, NULL, "$(NOT)/$(EMPTY)", &mount, &message), -EINVAL);
    assert_string_equal(arena_cstr(f->arena, message), "missing value for NOT, EMPTY");
    assert_int_equal(mount_of(f, f->arena, "/etc", NULL, &mount, &message), -EINVAL);
    assert_string_equal(arena_cstr(f->arena, message),
                        "error SubPath `/etc` must not be an absolute path");
    assert_int_equal(mount_of(f, f->arena, "a/../b", NULL, &mount, &message), -EINVAL);
    assert_string_equal(arena_cstr(f->arena, message),
                        "unable to provision SubPath `a/../b`: must not contain '..'");
    assert_int_equal(symlink("/etc", path(f, BASE "kubernetes.io~empty-dir/v/out")), 0);
    assert_int_equal(mount_of(f, f->arena, "out", NULL, &mount, &message), -EXDEV);
    assert_string_equal(arena_cstr(f->arena, message),
                        "failed to prepare subPath for volumeMount \"v\" of container \"c\"");
    VolumeMount other = {.name = STR("w"), .mount_path = STR("/w")};
    assert_int_equal(
        pod_volumes_mount(f->volumes, f->arena, STR("c"), &other, NULL, 0, &mount, &message),
        -ENOENT);
    assert_string_equal(arena_cstr(f->arena, message),
                        "cannot find volume \"w\" to mount into container \"c\"");
    finish(f);
}

static void test_freed_at_once(void **state) { // before anything was set up
    Fixture *f = fixture(NULL);
    f->pod = fake_pod(
        f->arena, "spec: {volumes: [{name: v, configMap: {name: one}}, {name: e, emptyDir: {}}]}");
    f->volumes = pod_volumes_new(&f->api->agent, f->pod, on_changed, f);
    pod_volumes_free(f->volumes, on_gone, f);
    f->volumes = NULL;
    fake_api_run(f->api, NSEC_PER_SEC);
    assert_int_equal(f->changed, 0);
    assert_int_equal(f->gone, 1);
    finish(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_map),  cmocka_unit_test(test_missing),
        cmocka_unit_test(test_unsupported), cmocka_unit_test(test_secret_and_downward),
        cmocka_unit_test(test_api_access),  cmocka_unit_test(test_token_refused),
        cmocka_unit_test(test_empty_dir),   cmocka_unit_test(test_host_path),
        cmocka_unit_test(test_mounts),      cmocka_unit_test(test_freed_at_once),
    };
    return cmocka_run_group_tests_name("volumes", tests, NULL, NULL);
}
