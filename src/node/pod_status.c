// What the API is told of a pod: phase, conditions, container statuses. The phase follows
// upstream's pkg/kubelet getPhase.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/pod_private.h"
#include "schema/typed.h"

#define RETRY_FIRST (200 * NSEC_PER_MSEC)
#define RETRY_LAST (10 * NSEC_PER_SEC)

// Phase
// --------------------------------------------------------------------------------------------

static bool is_terminated(const Slot *slot) {
    return slot->current.exists && slot->current.state == CONTAINER_EXITED;
}

// Waiting for its next attempt: CrashLoopBackOff and the like.
static bool is_waiting(const Slot *slot) {
    if (!slot->current.exists)
        return true;
    if (is_terminated(slot))
        return slot->waiting_reason.len > 0;
    return slot->current.state == CONTAINER_CREATED;
}

Str pod_phase(const PodWorker *worker) {
    if (worker->end_reason.len)
        return STR("Failed");
    bool never = str_eq(worker->pod->spec.restart_policy, STR("Never"));
    bool always = str_eq(worker->pod->spec.restart_policy, STR("Always"));
    size_t pending_init = 0, failed_init = 0, waiting = 0, running = 0, stopped = 0, succeeded = 0,
           mains = 0;
    for (size_t i = 0; i < worker->n_slots; i++) {
        const Slot *slot = worker->slots[i];
        if (slot->kind == SLOT_EPHEMERAL)
            continue; // says nothing about the pod
        if (slot->kind == SLOT_SIDECAR) {
            if (!slot->started)
                pending_init++;
        } else if (slot->kind == SLOT_INIT) {
            if (!is_terminated(slot))
                pending_init++;
            else if (slot->current.exit_code != 0)
                failed_init++;
        } else {
            mains++;
            if (is_terminated(slot)) {
                stopped++;
                succeeded += slot->current.exit_code == 0 && !slot->waiting_reason.len;
            } else if (is_waiting(slot))
                waiting++;
            else
                running++;
        }
    }
    if (failed_init && never)
        return STR("Failed");
    bool any_main = running + stopped > 0;
    if ((pending_init || failed_init) && !any_main)
        return STR("Pending");
    if (waiting)
        return worker->ended && never ? STR("Failed") : STR("Pending");
    if (running)
        return STR("Running");
    if (!stopped)
        return STR("Pending");
    if (always && !pod_is_stopping(worker))
        return STR("Running");
    if (stopped == succeeded && !always)
        return STR("Succeeded");
    return never || (pod_is_stopping(worker) && worker->ended) ? STR("Failed") : STR("Running");
}

// Container statuses
// -------------------------------------------------------------------------------

static Str terminated_reason(const Attempt *attempt) {
    return attempt->oom_killed       ? STR("OOMKilled")
           : attempt->exit_code == 0 ? STR("Completed")
                                     : STR("Error");
}

static Str container_url(Arena *arena, const PodWorker *worker, const Attempt *attempt) {
    Runtime *runtime = worker->agent->runtime;
    return arena_printf(arena, "%.*s://%s", STR_ARG(runtime->ops->name(runtime)), attempt->id);
}

static ContainerStateTerminated *terminated(Arena *arena, const PodWorker *worker,
                                            const Attempt *attempt) {
    ContainerStateTerminated *state = arena_new_of(arena, ContainerStateTerminated);
    state->exit_code = attempt->exit_code;
    state->reason = terminated_reason(attempt);
    state->message = attempt->message;
    state->started_at = attempt->started_at;
    state->finished_at = attempt->finished_at;
    state->container_id = container_url(arena, worker, attempt);
    return state;
}

static bool has_init(const PodWorker *worker) {
    return worker->pod->spec.init_containers.len > 0;
}

static void set_waiting(Arena *arena, ContainerState *state, Str reason, Str message) {
    state->waiting = arena_new_of(arena, ContainerStateWaiting);
    state->waiting->reason = reason;
    state->waiting->message = message;
}

static void fill_status(Arena *arena, const Slot *slot, ContainerStatus *status) {
    const PodWorker *worker = slot->worker;
    const Attempt *current = &slot->current;
    status->name = slot->name;
    status->image = slot->image_reference.len ? slot->image_reference : slot_container(slot)->image;
    status->image_id = slot->image_id.len ? slot->image_id : STR("");
    status->container_id = current->exists ? container_url(arena, worker, current) : STR_NONE;
    status->restart_count = (int32_t)current->number;
    bool running = current->exists && current->state == CONTAINER_RUNNING;
    if (slot->kind != SLOT_EPHEMERAL) {
        status->started = arena_new_of(arena, bool);
        *(bool *)status->started = running && slot->started;
    }
    if (slot->kind == SLOT_EPHEMERAL)
        status->ready = false; // nothing asks it
    else if (slot->kind == SLOT_INIT)
        status->ready = is_terminated(slot) && current->exit_code == 0;
    else
        status->ready = running && slot->started && slot->ready;
    Str default_reason = has_init(worker) && slot->kind == SLOT_MAIN ? STR("PodInitializing")
                                                                     : STR("ContainerCreating");
    if (running) {
        status->state.running = arena_new_of(arena, ContainerStateRunning);
        status->state.running->started_at = current->started_at;
    } else if (is_terminated(slot) && !slot->waiting_reason.len)
        status->state.terminated = terminated(arena, worker, current);
    else if (slot->waiting_reason.len)
        set_waiting(arena, &status->state, slot->waiting_reason, slot->waiting_message);
    else
        set_waiting(arena, &status->state, default_reason, STR_NONE);
    if (is_terminated(slot) && slot->waiting_reason.len)
        status->last_state.terminated = terminated(arena, worker, current);
    else if (slot->last.exists)
        status->last_state.terminated = terminated(arena, worker, &slot->last);
}

// Conditions
// ---------------------------------------------------------------------------------------

static Str unready_names(Arena *arena, const PodWorker *worker, bool init) {
    Str *names = arena_array_of(arena, Str, worker->n_slots + 1);
    size_t n = 0;
    for (size_t i = 0; i < worker->n_slots; i++) {
        const Slot *slot = worker->slots[i];
        if (slot->kind == SLOT_EPHEMERAL ||
            (init ? slot->kind == SLOT_MAIN : slot->kind == SLOT_INIT))
            continue;
        bool good;
        if (init)
            good = slot->kind == SLOT_SIDECAR ? slot->started
                                              : is_terminated(slot) && slot->current.exit_code == 0;
        else
            good = slot->current.exists && slot->current.state == CONTAINER_RUNNING &&
                   slot->started && slot->ready;
        if (!good)
            names[n++] = slot->name;
    }
    return n ? arena_concat(arena, names, n, STR(" ")) : STR_NONE;
}

static const PodCondition *known(const PodWorker *worker, Str type) {
    for (size_t i = 0; i < worker->previous.conditions.len; i++)
        if (str_eq(worker->previous.conditions.items[i].type, type))
            return &worker->previous.conditions.items[i];
    return NULL;
}

static void add_condition(const PodWorker *worker, PodStatus *status, Str type, bool good,
                          Str reason, Str message, int64_t now) {
    PodCondition *condition = &status->conditions.items[status->conditions.len++];
    condition->type = type;
    condition->status = good ? STR("True") : STR("False");
    condition->reason = reason;
    condition->message = message;
    condition->observed_generation = worker->pod->metadata.generation;
    const PodCondition *before = known(worker, type);
    condition->last_transition_time =
        before && str_eq(before->status, condition->status) ? before->last_transition_time : now;
}

// Ready also needs the conditions that spec.readinessGates names, which others set.
static bool gates_pass(Arena *arena, const PodWorker *worker, Str *ret_message) {
    const PodSpec *spec = &worker->pod->spec;
    for (size_t i = 0; i < spec->readiness_gates.len; i++) {
        Str type = spec->readiness_gates.items[i].condition_type;
        bool found = false, good = false;
        for (size_t j = 0; j < worker->pod->status.conditions.len; j++)
            if (str_eq(worker->pod->status.conditions.items[j].type, type)) {
                found = true;
                good = str_eq(worker->pod->status.conditions.items[j].status, STR("True"));
            }
        if (!good) {
            *ret_message = arena_printf(
                arena,
                found ? "the status of pod readiness gate \"%.*s\" is not \"True\", but False"
                      : "corresponding condition of pod readiness gate \"%.*s\" does not exist.",
                STR_ARG(type));
            return false;
        }
    }
    return true;
}

static void fill_conditions(Arena *arena, const PodWorker *worker, PodStatus *status, int64_t now) {
    status->conditions.items = arena_array_of(arena, PodCondition, 6);
    bool succeeded = str_eq(status->phase, STR("Succeeded")),
         failed = str_eq(status->phase, STR("Failed"));
    Str ended = succeeded ? STR("PodCompleted") : failed ? STR("PodFailed") : STR_NONE;
    Str incomplete = unready_names(arena, worker, true),
        unready = unready_names(arena, worker, false);
    add_condition(worker, status, STR("PodReadyToStartContainers"),
                  worker->sandbox == SANDBOX_READY, STR_NONE, STR_NONE, now);
    if (!incomplete.len || succeeded)
        add_condition(worker, status, STR("Initialized"), true, succeeded ? ended : STR_NONE,
                      STR_NONE, now);
    else
        add_condition(
            worker, status, STR("Initialized"), false, STR("ContainersNotInitialized"),
            arena_printf(arena, "containers with incomplete status: [%.*s]", STR_ARG(incomplete)),
            now);
    Str message = unready.len ? arena_printf(arena, "containers with unready status: [%.*s]",
                                             STR_ARG(unready))
                              : STR_NONE;
    Str reason = ended.len ? ended : unready.len ? STR("ContainersNotReady") : STR_NONE;
    bool good = !reason.len;
    if (ended.len)
        message = STR_NONE;
    Str gate;
    if (good && !gates_pass(arena, worker, &gate))
        add_condition(worker, status, STR("Ready"), false, STR("ReadinessGatesNotReady"), gate,
                      now);
    else
        add_condition(worker, status, STR("Ready"), good, reason, message, now);
    add_condition(worker, status, STR("ContainersReady"), good, reason, message, now);
    add_condition(worker, status, STR("PodScheduled"), true, STR_NONE, STR_NONE, now);
    if (worker->evicted)
        add_condition(worker, status, STR("DisruptionTarget"), true, STR("TerminationByKubelet"),
                      worker->end_message, now);
}

static void fill_statuses(Arena *arena, const PodWorker *worker, PodStatus *status) {
    const PodSpec *spec = &worker->pod->spec;
    size_t inits = spec->init_containers.len, mains = spec->containers.len,
           ephemerals = spec->ephemeral_containers.len;
    status->init_container_statuses.items = arena_array_of(arena, ContainerStatus, inits);
    status->init_container_statuses.len = inits;
    status->container_statuses.items = arena_array_of(arena, ContainerStatus, mains);
    status->container_statuses.len = mains;
    status->ephemeral_container_statuses.items = arena_array_of(arena, ContainerStatus, ephemerals);
    status->ephemeral_container_statuses.len = ephemerals;
    for (size_t i = 0; i < worker->n_slots; i++) {
        const Slot *slot = worker->slots[i];
        ContainerStatus *items = slot->kind == SLOT_MAIN ? status->container_statuses.items
                                 : slot->kind == SLOT_EPHEMERAL
                                     ? status->ephemeral_container_statuses.items
                                     : status->init_container_statuses.items;
        fill_status(arena, slot, &items[slot->index]);
    }
}

static void compute(Arena *arena, PodWorker *worker, PodStatus *status) {
    int64_t now = loop_wall(worker->agent->loop) / NSEC_PER_SEC * NSEC_PER_SEC;
    status->observed_generation = worker->pod->metadata.generation;
    status->phase = pod_phase(worker);
    status->reason = worker->end_reason;
    status->message = worker->end_message;
    status->host_ip = worker->agent->config.address;
    status->host_ips.items = arena_new_of(arena, HostIP);
    status->host_ips.items[0].ip = status->host_ip;
    status->host_ips.len = 1;
    Str ip = pod_worker_ip(worker);
    if (ip.len) {
        status->pod_ip = ip;
        status->pod_ips.items = arena_new_of(arena, PodIP);
        status->pod_ips.items[0].ip = ip;
        status->pod_ips.len = 1;
    }
    status->start_time = worker->start_time;
    status->qos_class = worker->pod->status.qos_class;
    fill_statuses(arena, worker, status);
    fill_conditions(arena, worker, status, now);
}

// Writing
// ------------------------------------------------------------------------------------------

static void remember(PodWorker *worker, Str json) {
    Arena *arena = arena_new_small();
    PodStatus status;
    if (typed_from_json(arena, kinds_type_PodStatus(), arena_str(arena, json), &status) == 0) {
        arena_free(worker->previous_arena);
        worker->previous = status;
        worker->previous_arena = arena;
    } else
        arena_free(arena);
}

static void on_written(void *user, const ClientResult *result) {
    PodWorker *worker = user;
    worker->status_call = NULL;
    if (result->error && result->code != 404) {
        log_warn("node", "status not written", "pod=%.*s/%.*s code=%d message=\"%.*s\"",
                 STR_ARG(worker->namespace_), STR_ARG(worker->name), result->code,
                 STR_ARG(result->status ? result->status->message : STR("no answer")));
        owned_set(&worker->status_sent, STR_NONE);
        loop_timer_start(&worker->status_retry, worker->status_delay);
        worker->status_delay =
            worker->status_delay * 2 < RETRY_LAST ? worker->status_delay * 2 : RETRY_LAST;
        return;
    }
    worker->status_delay = RETRY_FIRST;
    pod_sync(
        worker); // what changed meanwhile is compared again; a deleted pod may go on to its end
}

static void on_retry(void *user) {
    pod_sync(user);
}

// A strategic merge: conditions merge by type (others own some), everything else of ours is
// replaced. What is absent now and may have been there is set to null.
static Str patch_of(Arena *arena, const PodWorker *worker, Value *status) {
    static const char *const optional[] = {"reason",
                                           "message",
                                           "podIP",
                                           "podIPs",
                                           "initContainerStatuses",
                                           "ephemeralContainerStatuses"};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++)
        if (!value_get(status, str_from(optional[i])))
            value_set(arena, status, str_from(optional[i]), value_new_null(arena));
    Value *conditions = value_get(status, STR("conditions"));
    for (uint32_t i = 0; conditions && i < conditions->n; i++) {
        static const char *const texts[] = {"reason", "message"};
        for (size_t j = 0; j < 2; j++)
            if (!value_get(conditions->items[i], str_from(texts[j])))
                value_set(arena, conditions->items[i], str_from(texts[j]), value_new_null(arena));
    }
    Value *object = value_new_object(arena), *metadata = value_new_object(arena);
    value_set_str(arena, metadata, STR("uid"),
                  worker->is_static ? worker->mirror_uid : worker->uid);
    value_set(arena, object, STR("metadata"), metadata);
    value_set(arena, object, STR("status"), status);
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    value_write_json(object, &buf);
    Str text = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    return text;
}

void pod_status_write(PodWorker *worker) {
    if (worker->gone || worker->status_call || worker->detached ||
        (worker->is_static && !worker->mirror_uid.len) ||
        loop_timer_is_running(&worker->status_retry))
        return;
    _arena_free_ Arena *arena = arena_new();
    PodStatus status = {0};
    compute(arena, worker, &status);
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    typed_write_json(kinds_type_PodStatus(), &status, &buf);
    Str json = arena_str(arena, buf_view(&buf));
    buf_deinit(&buf);
    if (str_eq(json, worker->status_sent))
        return;
    owned_set(&worker->status_sent, json);
    remember(worker, json);
    Str patch = patch_of(arena, worker, typed_to_value(arena, kinds_type_PodStatus(), &status));
    ClientTarget target = {.resource = kinds_resource_core_v1_pods(),
                           .namespace_ = worker->namespace_,
                           .name = worker->name,
                           .subresource = STR("status")};
    worker->status_call =
        client_patch(worker->agent->client, &target, PATCH_STRATEGIC, patch, on_written, worker);
}

void pod_status_seed(PodWorker *worker) {
    worker->status_delay = RETRY_FIRST;
    loop_timer_init(&worker->status_retry, worker->agent->loop, on_retry, worker);
    const PodStatus *status = &worker->pod->status;
    worker->start_time = status->start_time;
    if (!worker->start_time)
        worker->start_time = loop_wall(worker->agent->loop) / NSEC_PER_SEC * NSEC_PER_SEC;
    Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    typed_write_json(kinds_type_PodStatus(), status, &buf);
    remember(worker, buf_view(&buf));
    buf_deinit(&buf);
}

void pod_status_free(PodWorker *worker) {
    if (worker->status_call)
        client_cancel(worker->status_call);
    loop_timer_stop(&worker->status_retry);
    owned_set(&worker->status_sent, STR_NONE);
    arena_free(worker->previous_arena);
}

bool pod_worker_is_writing(const PodWorker *worker) {
    return worker->status_call || loop_timer_is_running(&worker->status_retry);
}
