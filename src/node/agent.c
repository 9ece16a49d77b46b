#include "node/agent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "node/check.h"
#include "node/endpoint.h"
#include "node/images.h"
#include "node/logs.h"
#include "node/node_reporter.h"
#include "node/pod_worker.h"
#include "node/pressure.h"
#include "node/references.h"
#include "node/static_pods.h"
#include "node/volumes.h"

static Str *copy_strings(Arena *arena, const Str *items, size_t n) {
    Str *copy = arena_array_of(arena, Str, n + 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = arena_str(arena, items[i]);
    return copy;
}

static void copy_config(NodeAgent *agent, const NodeConfig *config) {
    Arena *arena = agent->arena;
    agent->config = *config;
    Str *strings[] = {
        &agent->config.name,           &agent->config.address,       &agent->config.data_directory,
        &agent->config.log_directory,  &agent->config.cgroup_parent, &agent->config.cluster_dns,
        &agent->config.cluster_domain, &agent->config.image_program, &agent->config.registry_config,
        &agent->config.manifests,      &agent->config.eviction_hard};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        *strings[i] = arena_str(arena, *strings[i]);
    agent->config.labels = copy_strings(arena, config->labels, config->n_labels);
    agent->config.taints = copy_strings(arena, config->taints, config->n_taints);
    agent->config.registry_mirrors =
        copy_strings(arena, config->registry_mirrors, config->n_registry_mirrors);
}

// Pods
// ---------------------------------------------------------------------------------------------

static void on_pod(void *user, const InformerObject *old, const InformerObject *now) {
    NodeAgent *agent = user;
    const InformerObject *object = now ? now : old;
    if (static_pods_on_pod(agent, old, now))
        return;
    PodWorker *worker = map_get(agent->workers, object->uid);
    if (now && worker)
        pod_worker_update(worker, now);
    else if (now) {
        worker = pod_worker_new(agent, now, false);
        if (worker)
            map_put(agent->workers, now->uid, worker);
    } else if (worker)
        pod_worker_gone(worker);
}

void agent_forget(NodeAgent *agent, PodWorker *worker) {
    map_remove(agent->workers, pod_worker_uid(worker));
    static_pods_forgotten(agent->static_pods, pod_worker_uid(worker));
}

PodWorker *agent_find_pod(NodeAgent *agent, Str namespace_, Str name, Str uid) {
    if (uid.len)
        return map_get(agent->workers, uid);
    PodWorker *worker = static_pods_find(agent->static_pods, namespace_, name);
    if (worker)
        return worker;
    const InformerObject *object = informer_get(agent->pods, namespace_, name);
    return object ? map_get(agent->workers, object->uid) : NULL;
}

Str agent_pod_directory(NodeAgent *agent, Arena *arena, Str uid) {
    return arena_printf(arena, "%.*s/pods/%.*s", STR_ARG(agent->config.data_directory),
                        STR_ARG(uid));
}

// Sandboxes of pods that were deleted while no agent ran
// ----------------------------------------------

typedef struct Orphans {
    NodeAgent *agent;
    Arena *arena;
    Str *known; // ids that have a pod
    size_t n_known, capacity;
} Orphans;

static void log_removed(void *user, int error, Str message) {
    if (error)
        log_warn("node", "orphaned sandbox not removed", "message=\"%.*s\"", STR_ARG(message));
}

static void sort_sandbox(void *user, const Sandbox *sandbox) {
    Orphans *orphans = user;
    if (orphans->n_known == orphans->capacity) {
        size_t more = orphans->capacity ? orphans->capacity * 2 : 64;
        orphans->known = arena_grow(orphans->arena, orphans->known, orphans->capacity * sizeof(Str),
                                    more * sizeof(Str));
        orphans->capacity = more;
    }
    if (map_get(orphans->agent->workers, sandbox->pod_uid))
        orphans->known[orphans->n_known++] = arena_str(orphans->arena, sandbox->id);
}

static void count_orphan(void *user, const Sandbox *sandbox) {
    Orphans *orphans = user;
    for (size_t i = 0; i < orphans->n_known; i++)
        if (str_eq(orphans->known[i], sandbox->id))
            return;
    if (orphans->capacity == 0)
        return;
    log_info("node", "removing an orphaned sandbox", "pod=%.*s/%.*s uid=%.*s",
             STR_ARG(sandbox->pod_namespace), STR_ARG(sandbox->pod_name),
             STR_ARG(sandbox->pod_uid));
    Runtime *runtime = orphans->agent->runtime;
    runtime->ops->remove_sandbox(runtime, arena_str(orphans->arena, sandbox->id), log_removed,
                                 NULL);
}

typedef struct Search {
    Str id;
    bool found;
} Search;

static void compare_id(void *user, const RuntimeContainer *container) {
    Search *search = user;
    search->found |= str_eq(container->id, search->id);
}

static bool is_known_pin(void *user, Str container_id) {
    NodeAgent *agent = user;
    Str rest = container_id;
    if (str_starts_with(rest, STR(IMAGE_PIN_PREFIX))) {
        rest = str_slice(rest, sizeof IMAGE_PIN_PREFIX - 1, rest.len);
        return map_get(agent->workers, str_cut(&rest, '.'));
    }
    Search search = {.id = container_id};
    agent->runtime->ops->each_container(agent->runtime, compare_id, &search);
    return search.found;
}

static void on_synced(void *user) {
    NodeAgent *agent = user;
    _arena_free_ Arena *arena = arena_new();
    Orphans orphans = {.agent = agent, .arena = arena};
    agent->runtime->ops->each_sandbox(agent->runtime, sort_sandbox, &orphans);
    agent->runtime->ops->each_sandbox(agent->runtime, count_orphan, &orphans);
    agent->network->ops->retain(agent->network, orphans.known, orphans.n_known);
    pod_volumes_sweep(agent);
    images_retain(agent->images, is_known_pin, agent);
    static_pods_reconcile(agent->static_pods);
    log_info("node", "pods adopted", "pods=%zu", map_count(agent->workers));
}

// Life
// ---------------------------------------------------------------------------------------------

static void on_registered(void *user, int error) {
    NodeAgent *agent = user;
    if (agent->on_ready)
        agent->on_ready(agent->ready_user, error);
    agent->on_ready = NULL;
}

static void on_recovered(void *user, int error, Str message) {
    static const InformerHandler handler = {.on_change = on_pod, .on_synced = on_synced};
    NodeAgent *agent = user;
    if (agent->stopping)
        return;
    if (error) {
        log_error("node", "container runtime not usable", "message=\"%.*s\"", STR_ARG(message));
        on_registered(agent, error);
        return;
    }
    agent->recovered = true;
    static_pods_new(agent);
    _arena_free_ Arena *arena = arena_new();
    Str selector = arena_printf(arena, "spec.nodeName=%.*s", STR_ARG(agent->config.name));
    agent->pods =
        informer_new(agent->client, kinds_resource_core_v1_pods(), STR_NONE, STR_NONE, selector);
    informer_add_handler(agent->pods, &handler, agent);
    agent->status = node_reporter_new(agent, on_registered, agent);
}

static void on_container_exit(void *user, const RuntimeContainer *container) {
    NodeAgent *agent = user;
    PodWorker *worker = map_get(agent->workers, container->pod_uid);
    if (worker)
        pod_worker_container_exited(worker, container);
    log_container_ended(agent, container->id);
}

static void on_sandbox_exit(void *user, const Sandbox *sandbox) {
    NodeAgent *agent = user;
    PodWorker *worker = map_get(agent->workers, sandbox->pod_uid);
    if (worker)
        pod_worker_sandbox_exited(worker, sandbox->id);
}

static int make_directory(Arena *arena, Str base, const char *name, mode_t mode) {
    return mkdir(arena_printf(arena, "%.*s%s", STR_ARG(base), name).ptr, mode) == 0 ||
                   errno == EEXIST
               ? 0
               : -errno;
}

int node_new(const NodeConfig *config, void (*ready)(void *user, int error), void *user,
             NodeAgent **ret) {
    static const RuntimeEvents events = {.on_container_exit = on_container_exit,
                                         .on_sandbox_exit = on_sandbox_exit};
    NodeAgent *agent = calloc(1, sizeof *agent);
    assert(agent);
    agent->arena = arena_new();
    copy_config(agent, config);
    agent->loop = config->loop;
    agent->client = config->client;
    agent->runtime = config->runtime;
    agent->network = config->network;
    agent->on_ready = ready;
    agent->ready_user = user;
    int error = cgroup_host_new(&agent->cgroups);
    if (!error)
        error = make_directory(agent->arena, agent->config.data_directory, "/pods", 0750);
    if (!error)
        error = make_directory(agent->arena, agent->config.log_directory, "", 0755);
    if (!error)
        error = make_directory(agent->arena, agent->config.log_directory, "/../containers", 0755);
    if (error) {
        cgroup_host_free(agent->cgroups);
        arena_free(agent->arena);
        free(agent);
        return error;
    }
    agent->workers = map_new();
    list_init(&agent->log_readers);
    list_init(&agent->cancelled_checks);
    agent->events = event_recorder_new(agent->client, STR("kubelet"), agent->config.name);
    agent->images = images_new(agent);
    images_import_directory(agent->images);
    agent->references = references_new(agent);
    agent->stats = stats_new(agent);
    agent->pressure = pressure_new(agent);
    agent->runtime->events = &events;
    agent->runtime->events_user = agent;
    agent->runtime->ops->recover(agent->runtime, on_recovered, agent);
    *ret = agent;
    return 0;
}

void node_handle(void *node, HttpRequest *request) {
    endpoint_handle(node, request);
}

typedef struct Stop {
    NodeAgent *agent;
    void (*stopped)(void *user);
    void *user;
} Stop;

static void finish_stop(void *user) {
    Stop *stop = user;
    NodeAgent *agent = stop->agent;
    MapIter iter = {0};
    while (map_next(agent->workers, &iter))
        pod_worker_detach(iter.value);
    map_free(agent->workers);
    static_pods_free(agent->static_pods);
    node_reporter_free(agent->status);
    informer_free(agent->pods);
    informer_free(agent->services);
    images_free(agent->images);
    references_free(agent->references);
    pressure_free(agent->pressure);
    stats_free(agent->stats);
    event_recorder_free(agent->events);
    agent->runtime->ops->free(agent->runtime);
    checks_drop(agent); // nobody calls them back any more
    cgroup_host_free(agent->cgroups);
    arena_free(agent->arena);
    free(agent);
    void (*stopped)(void *) = stop->stopped;
    void *stopped_user = stop->user;
    free(stop);
    stopped(stopped_user);
}

void node_stop(NodeAgent *agent, void (*stopped)(void *user), void *user) {
    agent->stopping = true;
    Stop *stop = calloc(1, sizeof *stop);
    assert(stop);
    *stop = (Stop){agent, stopped, user};
    loop_call(agent->loop, finish_stop, stop);
}
