#include "node/static_pods.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/time.h"
#include "node/pod_private.h"
#include "node/static_manifest.h"

#define FILE_MAX (1024 * 1024)
#define FILES_MAX 1000
#define RETRY_FIRST (1 * NSEC_PER_SEC)
#define RETRY_LAST (60 * NSEC_PER_SEC)

typedef struct StaticPod { // by its name in the API
    ListLink link;
    StaticPods *owner;
    Str namespace_, name;     // owned
    StaticManifest *runs;     // a worker has it
    StaticManifest *wanted;   // the file has it; NULL: there is no such file any more
    bool terminating;         // the worker was told to end
    Str mirror_uid, mirrored; // owned; of the mirror pod there is, and the hash that it shows
    ClientCall *call;
    bool deleting; // what the call does
    LoopTimer retry;
    int64_t delay;
} StaticPod;

struct StaticPods {
    NodeAgent *agent;
    const char *directory; // NULL: none
    List pods;
    int notify;
    LoopFd *watch;
};

static void step(StaticPod *pod);

static void on_retry(void *user) {
    step(user);
}

static StaticPod *find(StaticPods *pods, Str namespace_, Str name) {
    StaticPod *pod;
    list_for_each(pod, &pods->pods, link) if (str_eq(pod->namespace_, namespace_) &&
                                              str_eq(pod->name, name)) return pod;
    return NULL;
}

static StaticPod *find_or_add(StaticPods *pods, Str namespace_, Str name) {
    StaticPod *pod = find(pods, namespace_, name);
    if (pod)
        return pod;
    pod = memory_new(StaticPod);
    pod->owner = pods;
    pod->delay = RETRY_FIRST;
    owned_set(&pod->namespace_, namespace_);
    owned_set(&pod->name, name);
    loop_timer_init(&pod->retry, pods->agent->loop, on_retry, pod);
    list_append(&pods->pods, &pod->link);
    return pod;
}

static void free_pod(StaticPod *pod) {
    list_remove(&pod->link);
    loop_timer_stop(&pod->retry);
    if (pod->call)
        client_cancel(pod->call);
    static_manifest_free(pod->runs);
    static_manifest_free(pod->wanted);
    Str *owned[] = {&pod->namespace_, &pod->name, &pod->mirror_uid, &pod->mirrored};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        owned_set(owned[i], STR_NONE);
    free(pod);
}

static PodWorker *worker_of(const StaticPod *pod) {
    return pod->runs ? map_get(pod->owner->agent->workers, pod->runs->uid) : NULL;
}

// The mirror pod
// -----------------------------------------------------------------------------------------------

static void on_called(void *user, const ClientResult *result) {
    StaticPod *pod = user;
    bool deleted = pod->deleting;
    pod->call = NULL;
    pod->deleting = false;
    // What is there already, or gone already, the watch tells, before or after this.
    if (!result->error || result->code == 409 || result->code == 404) {
        pod->delay = RETRY_FIRST;
        if (deleted != (pod->mirror_uid.len > 0))
            step(pod);
        return;
    }
    log_warn("node", "mirror pod not written", "pod=%.*s/%.*s code=%d message=\"%.*s\"",
             STR_ARG(pod->namespace_), STR_ARG(pod->name), result->code,
             STR_ARG(result->status ? result->status->message : STR("no answer")));
    loop_timer_start(&pod->retry, pod->delay);
    pod->delay = pod->delay * 2 < RETRY_LAST ? pod->delay * 2 : RETRY_LAST;
}

static ClientTarget target_of(const StaticPod *pod) {
    return (ClientTarget){.resource = kinds_resource_core_v1_pods(),
                          .namespace_ = pod->namespace_,
                          .name = pod->name};
}

static void create_mirror(StaticPod *pod) {
    NodeAgent *agent = pod->owner->agent;
    _arena_free_ Arena *arena = arena_new();
    ClientTarget target = target_of(pod);
    target.name = STR_NONE;
    Str body = static_manifest_mirror(arena, pod->runs, agent->config.name, agent->node_uid);
    pod->call = client_create(agent->client, &target, body, on_called, pod);
}

static void delete_mirror(StaticPod *pod) {
    _arena_free_ Arena *arena = arena_new();
    ClientTarget target = target_of(pod);
    Str options = arena_printf(arena,
                               "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
                               "\"gracePeriodSeconds\":0,\"preconditions\":{\"uid\":\"%.*s\"}}",
                               STR_ARG(pod->mirror_uid));
    pod->deleting = true;
    pod->call = client_delete(pod->owner->agent->client, &target, options, on_called, pod);
}

static bool mirror_is_right(const StaticPod *pod) {
    return pod->runs && !pod->terminating && str_eq(pod->mirrored, pod->runs->uid);
}

static void mirror_step(StaticPod *pod) {
    NodeAgent *agent = pod->owner->agent;
    if (pod->call || loop_timer_is_running(&pod->retry))
        return;
    if (pod->mirror_uid.len && !mirror_is_right(pod)) {
        if (!pod->terminating) // until then it shows how the pod ends
            delete_mirror(pod);
    } else if (!pod->mirror_uid.len && pod->runs && !pod->terminating && agent->node_uid.len &&
               agent->pods && informer_is_synced(agent->pods))
        create_mirror(pod);
}

// The pod
// -----------------------------------------------------------------------------------------------

static void start(StaticPod *pod) {
    NodeAgent *agent = pod->owner->agent;
    pod->runs = pod->wanted;
    pod->wanted = NULL;
    _bytes_unref_ Bytes *bytes = bytes_new(pod->runs->json.ptr, pod->runs->json.len);
    InformerObject *object =
        informer_object_new(pod->namespace_, pod->name, pod->runs->uid, 0, bytes);
    PodWorker *worker = pod_worker_new(agent, object, true);
    informer_object_unref(object);
    if (worker)
        map_put(agent->workers, pod_worker_uid(worker), worker);
}

static void step(StaticPod *pod) {
    bool same = pod->runs && pod->wanted && str_eq(pod->runs->uid, pod->wanted->uid);
    if (pod->runs && !same && !pod->terminating && worker_of(pod)) {
        pod->terminating = true;
        pod_worker_terminate(worker_of(pod));
    }
    if (!pod->runs && pod->wanted) {
        // Kept as what is wanted, too: the file is still there.
        StaticManifest *copy = static_manifest_copy(pod->wanted);
        start(pod);
        pod->wanted = copy;
    }
    mirror_step(pod);
    if (!pod->runs && !pod->wanted && !pod->mirror_uid.len && !pod->call)
        free_pod(pod);
}

void static_pods_reconcile(StaticPods *pods) {
    StaticPod *pod;
    if (pods)
        list_for_each(pod, &pods->pods, link) step(pod);
}

void static_pods_forgotten(StaticPods *pods, Str uid) {
    StaticPod *pod;
    list_for_each(pod, &pods->pods, link) {
        if (!pod->runs || !str_eq(pod->runs->uid, uid))
            continue;
        static_manifest_free(pod->runs);
        pod->runs = NULL;
        pod->terminating = false;
        loop_timer_start(&pod->retry, 0); // not from inside the worker
        return;
    }
}

PodWorker *static_pods_find(StaticPods *pods, Str namespace_, Str name) {
    const StaticPod *pod = pods ? find(pods, namespace_, name) : NULL;
    return pod ? worker_of(pod) : NULL;
}

bool static_pods_on_pod(NodeAgent *agent, const InformerObject *old, const InformerObject *now) {
    const InformerObject *object = now ? now : old;
    _arena_free_ Arena *arena = arena_new();
    Str hash = static_manifest_hash_of_mirror(arena, bytes_str(object->bytes));
    if (!hash.ptr)
        return false;
    StaticPod *pod = find_or_add(agent->static_pods, object->namespace_, object->name);
    bool again = !now || !str_eq(pod->mirror_uid, now->uid);
    owned_set(&pod->mirror_uid, now ? now->uid : STR_NONE);
    owned_set(&pod->mirrored, now ? hash : STR_NONE);
    if (again && worker_of(pod))
        pod_worker_set_mirror(worker_of(pod), mirror_is_right(pod) ? now : NULL);
    step(pod);
    return true;
}

// Files
// -----------------------------------------------------------------------------------------------

static int read_file(Arena *arena, const char *path, Str *ret) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0)
        return -errno;
    int error = fstat(fd, &status) != 0     ? -errno
                : !S_ISREG(status.st_mode)  ? -EINVAL
                : status.st_size > FILE_MAX ? -EFBIG
                                            : 0;
    char *data = arena_alloc(arena, FILE_MAX + 1);
    ssize_t n = error ? 0 : read(fd, data, FILE_MAX);
    if (n < 0)
        error = -errno;
    close(fd);
    *ret = str_of(data, n > 0 ? (size_t)n : 0);
    return error;
}

static void take_file(StaticPods *pods, const char *name) {
    _arena_free_ Arena *arena = arena_new();
    Str path = arena_printf(arena, "%s/%s", pods->directory, name), text, message;
    int error = read_file(arena, path.ptr, &text);
    StaticManifest *manifest = NULL;
    if (error == -EINVAL)
        return; // a directory
    if (error)
        message = str_from(strerror(-error));
    else
        manifest = static_manifest_parse(text, path, pods->agent->config.name, &message, arena);
    if (!manifest) {
        log_warn("node", "manifest of a static pod not used", "file=%s message=\"%.*s\"", path.ptr,
                 STR_ARG(message));
        return;
    }
    StaticPod *pod = find_or_add(pods, manifest->namespace_, manifest->name);
    if (pod->wanted)
        log_warn("node", "two static pods have one name", "file=%s", path.ptr);
    static_manifest_free(pod->wanted);
    pod->wanted = manifest;
}

static int is_manifest(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

void static_pods_scan(StaticPods *pods) {
    struct dirent **entries;
    StaticPod *pod;
    int n = pods->directory ? scandir(pods->directory, &entries, is_manifest, alphasort) : -1;
    if (pods->directory && n < 0 && errno != ENOENT)
        return; // it can't be read now: nothing is stopped for that
    list_for_each(pod, &pods->pods, link) {
        static_manifest_free(pod->wanted);
        pod->wanted = NULL;
    }
    for (int i = 0; i < n; i++) {
        if (i < FILES_MAX)
            take_file(pods, entries[i]->d_name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    static_pods_reconcile(pods);
}

static void on_notify(void *user, int events) {
    StaticPods *pods = user;
    char changes[4096] __attribute__((aligned(8)));
    while (read(pods->notify, changes, sizeof changes) > 0)
        ;
    static_pods_scan(pods);
}

static void watch(StaticPods *pods) {
    pods->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (pods->notify < 0 ||
        inotify_add_watch(pods->notify, pods->directory,
                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE) < 0) {
        log_warn("node", "directory of static pods not watched", "path=%s error=\"%s\"",
                 pods->directory, strerror(errno));
        return;
    }
    pods->watch = loop_fd_new(pods->agent->loop, pods->notify, on_notify, pods);
    if (pods->watch)
        loop_fd_want(pods->watch, LOOP_READ);
}

StaticPods *static_pods_new(NodeAgent *agent) {
    StaticPods *pods = memory_new(StaticPods);
    pods->agent = agent;
    pods->notify = -1;
    list_init(&pods->pods);
    agent->static_pods = pods;
    if (agent->config.manifests.len) {
        pods->directory = arena_cstr(agent->arena, agent->config.manifests);
        watch(pods);
    }
    static_pods_scan(pods);
    return pods;
}

void static_pods_free(StaticPods *pods) {
    if (!pods)
        return;
    StaticPod *pod;
    list_for_each(pod, &pods->pods, link) free_pod(pod);
    if (pods->watch)
        loop_fd_free(pods->watch);
    if (pods->notify >= 0)
        close(pods->notify);
    free(pods);
}
