#include "agent_world.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/cgroup.h"

#define DIGEST "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

void world_put_file(const Fixture *f, const char *path, const char *text) {
    _arena_free_ Arena *arena = arena_new();
    char *full = arena_cstr(arena, arena_printf(arena, "%s/%s", f->directory, path));
    for (char *p = full + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        assert_true(mkdir(full, 0755) == 0 || errno == EEXIST);
        *p = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void put_image(const Fixture *f) {
    world_put_file(f, "images-store/format", "seapod-image-store 1\n");
    world_put_file(f, "images-store/layers/" DIGEST "/fs/bin/sh", "");
    world_put_file(f, "images-store/summaries/" DIGEST,
                   "{\"id\":\"sha256:" DIGEST "\",\"manifest\":\"sha256:" DIGEST "\",\"size\":1,"
                   "\"cmd\":[\"sh\"],\"layers\":[\"" DIGEST "\"]}");
    world_put_file(f, "images-store/images/docker.io/library/busybox/:latest",
                   "sha256:" DIGEST "\nsha256:" DIGEST "\n");
}

static void on_ready(void *user, int error) {
    assert_int_equal(error, 0);
    ((Fixture *)user)->ready = true;
}

static void on_stopped(void *user) {
    ((Fixture *)user)->stopped = true;
}

static void measure(void *user, HostUsage *ret) {
    *ret = ((Fixture *)user)->host;
}

void world_start_agent(Fixture *f) {
    Loop *loop = f->api->loop;
    static const Str groups[] = {{"system:nodes", 12}};
    HttpPeer peer = {.address = STR("@"),
                     .local = true,
                     .user = STR("system:node:n1"),
                     .groups = groups,
                     .n_groups = 1};
    f->client = client_new(loop, http_client_new_local(loop, loop, api_handle, f->api->api, &peer),
                           STR("kubelet"));
    f->runtime = runtime_fake_new(loop);
    f->network = network_fake_new(loop);
    NodeConfig config = {.loop = loop,
                         .client = f->client,
                         .runtime = f->runtime,
                         .network = f->network,
                         .name = STR("n1"),
                         .address = STR("192.0.2.7"),
                         .port = 10250,
                         .data_directory = str_from(f->directory),
                         .log_directory = arena_printf(f->api->arena, "%s/log", f->directory),
                         .cgroup_parent = str_from(f->cgroup),
                         .manifests = arena_printf(f->api->arena, "%s/manifests", f->directory),
                         .measure = measure,
                         .measure_user = f,
                         .cluster_domain = STR("cluster.local")};
    assert_int_equal(node_new(&config, on_ready, f, &f->agent), 0);
    harness_run(f->api, NSEC_PER_SEC);
    assert_true(f->ready);
}

void world_stop_agent(Fixture *f) {
    f->ready = f->stopped = false;
    node_stop(f->agent, on_stopped, f);
    harness_run(f->api, NSEC_PER_SEC);
    assert_true(f->stopped);
    client_free(f->client);
    network_fake_free(f->network);
    f->agent = NULL;
}

int world_setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    *state = f;
    CgroupHost *cgroups;
    if (geteuid() != 0 || cgroup_host_new(&cgroups) != 0)
        return 0; // each test skips itself
    cgroup_host_free(cgroups);
    snprintf(f->directory, sizeof f->directory, "/tmp/seapod-agent-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->cgroup, sizeof f->cgroup, "/seapod-agent-%d", getpid());
    put_image(f);
    world_put_file(f, "manifests/.keep", "");
    f->host = (HostUsage){.memory_capacity = 8LL << 30,
                          .memory_available = 4LL << 30,
                          .disk_capacity = 100LL << 30,
                          .disk_available = 50LL << 30,
                          .inodes = 1000000,
                          .inodes_free = 900000,
                          .pids_max = 32768,
                          .pids = 100};
    f->api = harness_new();
    assert_status(call(f->api, "POST", "/api/v1/namespaces/default/serviceaccounts",
                       "{\"metadata\":{\"name\":\"default\"}}"),
                  201);
    assert_status(
        call(f->api, "POST", "/api/v1/namespaces/default/configmaps",
             "{\"metadata\":{\"name\":\"kube-root-ca.crt\"},\"data\":{\"ca.crt\":\"CA\"}}"),
        201);
    world_start_agent(f);
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    return remove(path);
}

int world_teardown(void **state) {
    Fixture *f = *state;
    if (f->api) {
        call(f->api, "DELETE", PODS, NULL);
        harness_run(f->api, 60 * NSEC_PER_SEC);
        if (f->agent)
            world_stop_agent(f);
        harness_free(f->api);
        CgroupHost *cgroups;
        assert_int_equal(cgroup_host_new(&cgroups), 0);
        assert_int_equal(cgroup_remove(cgroups, str_from(f->cgroup)), 0);
        cgroup_host_free(cgroups);
        // Nothing of a pod is left, no mount either.
        assert_int_equal(nftw(f->directory, remove_entry, 32, FTW_DEPTH | FTW_PHYS), 0);
    }
    free(f);
    return 0;
}

Fixture *world_of(void **state) {
    Fixture *f = *state;
    if (!f->api)
        skip();
    return f;
}

Answer *world_create(Fixture *f, const char *name, const char *spec) {
    const char *body = arena_printf(f->api->arena,
                                    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":\"n1\","
                                    "\"containers\":[{\"name\":\"c\",\"image\":\"busybox\","
                                    "\"imagePullPolicy\":\"IfNotPresent\"%s",
                                    name, spec)
                           .ptr;
    Answer *answer = call(f->api, "POST", PODS, body);
    assert_status(answer, 201);
    return answer;
}

Answer *world_get(Fixture *f, const char *name) {
    return call(f->api, "GET", arena_printf(f->api->arena, PODS "/%s", name).ptr, NULL);
}

// STATE of the one container: "running", "waiting" or "terminated", and a member of it.
const char *world_state(Fixture *f, const char *name, const char *state, const char *member) {
    Answer *answer = world_get(f, name);
    const Value *statuses = value_at(answer->json, "status.containerStatuses");
    if (!statuses || statuses->kind != VALUE_ARRAY || statuses->n != 1)
        return "";
    const Value *found = value_at(value_get(statuses->items[0], STR("state")), state);
    if (!found)
        return "";
    Str text = member ? value_string_at(found, member) : STR("yes");
    return arena_cstr(f->api->arena, text);
}

bool world_has_event(Fixture *f, const char *text) {
    Answer *answer = call(f->api, "GET", "/api/v1/namespaces/default/events", NULL);
    return memmem(answer->body.ptr, answer->body.len, text, strlen(text));
}

const char *world_pod_path(Fixture *f, const char *name, const char *path) {
    return arena_printf(f->api->arena, "%s/pods/%s/%s", f->directory,
                        text_at(world_get(f, name), "metadata.uid"), path)
        .ptr;
}
