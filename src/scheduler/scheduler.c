#include "scheduler/scheduler.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/time.h"
#include "client/event.h"
#include "client/informer.h"
#include "rules/pod_status.h"
#include "scheduler/cycle.h"
#include "scheduler/queue.h"
#include "schema/value.h"

#define SCHEDULER_ERROR STR("SchedulerError") // a reason

struct Scheduler {
    Loop *loop;
    Client *client;
    Str name; // owned
    Informer *pods, *nodes;
    EventRecorder *events;
    Snapshot *snapshot;
    SchedulingQueue *queue;
    LoopTask run; // schedules one pod
    Arena *cycle; // of the cycle at hand
    List requests;
    int waiting; // informers that have not synced yet
};

typedef struct Request { // a write under way, about one pod
    ListLink link;
    Scheduler *scheduler;
    ClientCall *call;
    Arena *arena; // holds the request, too
    Str key, namespace_, name, uid, resource_version;
    Str node; // of a binding
} Request;

static void on_ready(void *user) {
    Scheduler *scheduler = user;
    if (!scheduler->waiting)
        loop_post(scheduler->loop, &scheduler->run);
}

// Writes -----------------------------------------------------------------------------------------

static Request *request_new(Scheduler *scheduler, const Pod *pod, Str key) {
    Arena *arena = arena_new();
    Request *request = arena_new_of(arena, Request);
    request->scheduler = scheduler;
    request->arena = arena;
    request->key = arena_str(arena, key);
    request->namespace_ = arena_str(arena, pod->metadata.namespace);
    request->name = arena_str(arena, pod->metadata.name);
    request->uid = arena_str(arena, pod->metadata.uid);
    request->resource_version = arena_str(arena, pod->metadata.resource_version);
    list_append(&scheduler->requests, &request->link);
    return request;
}

static void request_free(Request *request) {
    list_remove(&request->link);
    arena_free(request->arena);
}

static Str reason_of(const ClientResult *result) {
    return result->status ? result->status->message : str_from(strerror(-result->error));
}

static EventTarget target_of(const Request *request) {
    return (EventTarget){
        .api_version = STR("v1"),
        .kind = STR("Pod"),
        .namespace_ = request->namespace_,
        .name = request->name,
        .uid = request->uid,
        .resource_version = request->resource_version,
    };
}

static void on_reported(void *user, const ClientResult *result) {
    Request *request = user;
    if (result->error && result->code != 404 && result->code != 409)
        log_warn("scheduler", "could not update the pod's status", "pod=%.*s message=\"%.*s\"",
                 STR_ARG(request->key), STR_ARG(reason_of(result)));
    request_free(request);
}

static Value *condition_value(Arena *arena, const PodCondition *condition) {
    Value *value = value_new_object(arena);
    value_set_str(arena, value, STR("type"), condition->type);
    value_set_str(arena, value, STR("status"), condition->status);
    if (condition->observed_generation)
        value_set_int(arena, value, STR("observedGeneration"), condition->observed_generation);
    value_set(arena, value, STR("lastProbeTime"), value_new_null(arena));
    value_set_str(arena, value, STR("lastTransitionTime"),
                  time_format(arena, condition->last_transition_time));
    value_set_str(arena, value, STR("reason"), condition->reason);
    value_set_str(arena, value, STR("message"), condition->message);
    return value;
}

// Tells why the pod has no node: an event each time, the condition when it changed. After a failed
// binding nobody knows whether it took place; then the condition is written only if nothing else
// was written since.
static void report(Scheduler *scheduler, const Pod *pod, Str key, Str reason, Str message) {
    Request *request = request_new(scheduler, pod, key);
    Arena *arena = request->arena;
    EventTarget target = target_of(request);
    event_record(scheduler->events, &target, "Warning", "FailedScheduling", "%.*s",
                 STR_ARG(message));
    PodCondition condition = {
        .type = STR("PodScheduled"),
        .status = STR("False"),
        .reason = reason,
        .message = message,
        .observed_generation = pod->metadata.generation,
    };
    PodStatus status = pod->status;
    if (!pod_condition_set(arena, &status, condition, loop_wall(scheduler->loop))) {
        request_free(request);
        return;
    }
    Value *patch = value_new_object(arena), *conditions = value_new_array(arena);
    Value *metadata = value_at_make(arena, patch, "metadata");
    value_set_str(arena, metadata, STR("uid"), request->uid);
    if (str_eq(reason, SCHEDULER_ERROR))
        value_set_str(arena, metadata, STR("resourceVersion"), request->resource_version);
    value_set(arena, value_at_make(arena, patch, "status"), STR("conditions"), conditions);
    value_push(arena, conditions, condition_value(arena, pod_condition(&status, condition.type)));
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(patch, &body);
    ClientTarget where = {.resource = kinds_resource_core_v1_pods(),
                          .namespace_ = request->namespace_,
                          .name = request->name,
                          .subresource = STR("status")};
    request->call = client_patch(scheduler->client, &where, PATCH_STRATEGIC, buf_view(&body),
                                 on_reported, request);
}

static const Pod *parse_pod(Arena *arena, const InformerObject *object) {
    Pod *pod = arena_new_of(arena, Pod);
    if (typed_from_json(arena, kinds_type_Pod(), bytes_str(object->bytes), pod) == 0)
        return pod;
    log_warn("scheduler", "pod not understood", "pod=%.*s/%.*s", STR_ARG(object->namespace_),
             STR_ARG(object->name));
    return NULL;
}

static void unassume(Scheduler *scheduler, const Request *request) {
    const AssignedPod *assigned = snapshot_pod(scheduler->snapshot, request->key);
    if (!assigned || !assigned->assumed || !str_eq(assigned->uid, request->uid))
        return;
    snapshot_remove_pod(scheduler->snapshot, request->key);
    queue_wake(scheduler->queue, EVENT_POD_REMOVED);
}

static void bind_failed(Scheduler *scheduler, const Request *request, const ClientResult *result) {
    unassume(scheduler, request);
    QueuedPod *queued = queue_get(scheduler->queue, request->key);
    if (!queued || !str_eq(queued->uid, request->uid))
        return; // it is gone, or has got its node after all
    queue_put_back_failed(scheduler->queue, queued);
    const InformerObject *object =
        informer_get(scheduler->pods, request->namespace_, request->name);
    const Pod *pod = object ? parse_pod(request->arena, object) : NULL;
    if (!pod || result->code == 404)
        return; // it has gone: the informer will say so
    Str message = arena_printf(request->arena, "running Bind plugin \"DefaultBinder\": %.*s",
                               STR_ARG(reason_of(result)));
    report(scheduler, pod, request->key, SCHEDULER_ERROR, message);
}

static void on_bound(void *user, const ClientResult *result) {
    Request *request = user;
    Scheduler *scheduler = request->scheduler;
    request->call = NULL;
    if (result->error) {
        bind_failed(scheduler, request, result);
        request_free(request);
        return;
    }
    QueuedPod *queued = queue_get(scheduler->queue, request->key);
    if (queued && str_eq(queued->uid, request->uid))
        queue_remove(scheduler->queue, request->key);
    EventTarget target = target_of(request);
    event_record(scheduler->events, &target, "Normal", "Scheduled",
                 "Successfully assigned %.*s to %.*s", STR_ARG(request->key),
                 STR_ARG(request->node));
    log_debug("scheduler", "pod bound", "pod=%.*s node=%.*s", STR_ARG(request->key),
              STR_ARG(request->node));
    request_free(request);
}

static void bind_pod(Scheduler *scheduler, const Cycle *cycle, Str key, Str node) {
    Request *request = request_new(scheduler, cycle->pod, key);
    request->node = arena_str(request->arena, node);
    snapshot_set_pod(scheduler->snapshot, key, request->uid, node, &cycle->demand, true);
    Binding binding = {
        .kind = STR("Binding"),
        .api_version = STR("v1"),
        .metadata = {.name = request->name, .namespace = request->namespace_, .uid = request->uid},
        .target = {.kind = STR("Node"), .name = request->node},
    };
    _buf_deinit_ Buf body = BUF_INIT(VALUE_MAX_BYTES);
    typed_write_json(kinds_type_Binding(), &binding, &body);
    ClientTarget target = {.resource = kinds_resource_core_v1_pods(),
                           .namespace_ = request->namespace_,
                           .name = request->name,
                           .subresource = STR("binding")};
    request->call = client_create(scheduler->client, &target, buf_view(&body), on_bound, request);
}

// One pod ----------------------------------------------------------------------------------------

static void schedule(Scheduler *scheduler, QueuedPod *queued) {
    Arena *arena = scheduler->cycle;
    const InformerObject *object = informer_get(scheduler->pods, queued->namespace_, queued->name);
    const Pod *pod = object ? parse_pod(arena, object) : NULL;
    if (!pod) {
        queue_remove(scheduler->queue, queued->key);
        return;
    }
    Cycle cycle = {.arena = arena,
                   .loop = scheduler->loop,
                   .snapshot = scheduler->snapshot,
                   .pod = pod,
                   .demand = demand_of(arena, pod)};
    CycleResult result = cycle_run(&cycle);
    if (result.node) {
        bind_pod(scheduler, &cycle, queued->key, result.node->name);
        return;
    }
    log_debug("scheduler", "no node fits", "pod=%.*s message=\"%.*s\"", STR_ARG(queued->key),
              STR_ARG(result.message));
    queue_put_back(scheduler->queue, queued, result.wake_on);
    report(scheduler, pod, queued->key, STR("Unschedulable"), result.message);
}

// A pod an iteration, so that a burst of pods does not hold up the loop.
static void run(void *user) {
    Scheduler *scheduler = user;
    QueuedPod *queued = queue_pop(scheduler->queue);
    if (!queued)
        return;
    schedule(scheduler, queued);
    arena_reset(scheduler->cycle);
    loop_post(scheduler->loop, &scheduler->run);
}

// What the informers say -------------------------------------------------------------------------

static bool is_ours(const Scheduler *scheduler, const Pod *pod) {
    return str_eq(pod->spec.scheduler_name, scheduler->name) && !pod->metadata.deletion_timestamp &&
           !pod->spec.scheduling_gates.len && !pod_is_terminal(pod);
}

static void pod_waits(Scheduler *scheduler, const Pod *pod, Str key) {
    QueuedPod *queued = queue_get(scheduler->queue, key);
    const AssignedPod *assigned = snapshot_pod(scheduler->snapshot, key);
    if (assigned && !queued && str_eq(assigned->uid, pod->metadata.uid))
        return; // bound already: this is older news
    if (queued && (!is_ours(scheduler, pod) || !str_eq(queued->uid, pod->metadata.uid))) {
        queue_remove(scheduler->queue, key);
        queued = NULL;
    }
    if (!is_ours(scheduler, pod))
        return;
    if (!queued) {
        queued = queue_add(scheduler->queue, pod->metadata.namespace, pod->metadata.name,
                           pod->metadata.uid, pod->spec.priority ? *pod->spec.priority : 0);
        queued->generation = pod->metadata.generation;
    } else if (queued->generation != pod->metadata.generation) { // its spec changed
        queued->generation = pod->metadata.generation;
        queue_wake_pod(scheduler->queue, queued);
    }
}

static void pod_gone(Scheduler *scheduler, Str key, Str uid) {
    const AssignedPod *assigned = snapshot_pod(scheduler->snapshot, key);
    QueuedPod *queued = queue_get(scheduler->queue, key);
    if (queued && str_eq(queued->uid, uid))
        queue_remove(scheduler->queue, key);
    if (!assigned || !str_eq(assigned->uid, uid))
        return;
    snapshot_remove_pod(scheduler->snapshot, key);
    queue_wake(scheduler->queue, EVENT_POD_REMOVED);
}

static void on_pod(void *user, const InformerObject *old, const InformerObject *now) {
    Scheduler *scheduler = user;
    const InformerObject *object = now ? now : old;
    _arena_free_ Arena *arena = arena_new();
    Str parts[] = {object->namespace_, object->name};
    Str key = arena_concat(arena, parts, 2, STR("/"));
    if (!now) {
        pod_gone(scheduler, key, object->uid);
        return;
    }
    const AssignedPod *assigned = snapshot_pod(scheduler->snapshot, key);
    if (assigned && !assigned->assumed && str_eq(assigned->uid, now->uid))
        return; // its node and its requests never change; when it ends, the selector drops it
    const Pod *pod = parse_pod(arena, now);
    if (!pod)
        return;
    if (!pod->spec.node_name.len) {
        pod_waits(scheduler, pod, key);
        return;
    }
    queue_remove(scheduler->queue, key);
    Demand demand = demand_of(arena, pod);
    snapshot_set_pod(scheduler->snapshot, key, now->uid, pod->spec.node_name, &demand, false);
}

static void on_node(void *user, const InformerObject *old, const InformerObject *now) {
    Scheduler *scheduler = user;
    if (!now) {
        snapshot_remove_node(scheduler->snapshot, old->name);
        return;
    }
    unsigned events = snapshot_set_node(scheduler->snapshot, now);
    if (events)
        queue_wake(scheduler->queue, events);
}

// Nothing is decided before all nodes and pods are known.
static void on_synced(void *user) {
    Scheduler *scheduler = user;
    scheduler->waiting--;
    on_ready(scheduler);
}

Scheduler *scheduler_new(const SchedulerConfig *config) {
    static const InformerHandler pod_handler = {.on_change = on_pod, .on_synced = on_synced};
    static const InformerHandler node_handler = {.on_change = on_node, .on_synced = on_synced};
    Scheduler *scheduler = memory_new(Scheduler);
    Str name = config->scheduler_name.len ? config->scheduler_name : STR("default-scheduler");
    char *copy = memory_alloc(name.len);
    memcpy(copy, name.ptr, name.len);
    scheduler->name = str_of(copy, name.len);
    scheduler->loop = config->loop;
    scheduler->client = config->client;
    scheduler->snapshot = snapshot_new();
    scheduler->queue = queue_new(config->loop, on_ready, scheduler);
    scheduler->run = (LoopTask){.fn = run, .user = scheduler};
    scheduler->cycle = arena_new();
    list_init(&scheduler->requests);
    scheduler->events = event_recorder_new(config->client, scheduler->name, STR_NONE);
    scheduler->waiting = 2;
    scheduler->nodes =
        informer_new(config->client, kinds_resource_core_v1_nodes(), STR_NONE, STR_NONE, STR_NONE);
    informer_add_handler(scheduler->nodes, &node_handler, scheduler);
    scheduler->pods = informer_new(config->client, kinds_resource_core_v1_pods(), STR_NONE,
                                   STR_NONE, STR("status.phase!=Succeeded,status.phase!=Failed"));
    informer_add_handler(scheduler->pods, &pod_handler, scheduler);
    return scheduler;
}

void scheduler_free(Scheduler *scheduler) {
    if (!scheduler)
        return;
    loop_task_cancel(scheduler->loop, &scheduler->run);
    Request *request;
    list_for_each(request, &scheduler->requests, link) {
        client_cancel(request->call);
        request_free(request);
    }
    informer_free(scheduler->pods);
    informer_free(scheduler->nodes);
    event_recorder_free(scheduler->events);
    queue_free(scheduler->queue);
    snapshot_free(scheduler->snapshot);
    arena_free(scheduler->cycle);
    free((char *)scheduler->name.ptr);
    free(scheduler);
}
