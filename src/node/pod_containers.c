// The containers of one pod: which is started, started again, waited for.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "node/pod_private.h"

#define ERROR_RETRY (10 * NSEC_PER_SEC) // after a container that could not be configured or created

void owned_set(Str *slot, Str value) {
    char *old = (char *)slot->ptr, *copy = NULL;
    if (value.len) {
        copy = malloc(value.len + 1);
        assert(copy);
        memcpy(copy, value.ptr, value.len);
        copy[value.len] = '\0';
    }
    *slot = copy ? str_of(copy, value.len) : STR_NONE;
    free(old);
}

EventTarget pod_event_target(PodWorker *worker, Arena *arena, const Slot *slot) {
    static const char *const lists[] = {[SLOT_INIT] = "initContainers",
                                        [SLOT_SIDECAR] = "initContainers",
                                        [SLOT_MAIN] = "containers",
                                        [SLOT_EPHEMERAL] = "ephemeralContainers"};
    EventTarget target = {.api_version = STR("v1"),
                          .kind = STR("Pod"),
                          .namespace_ = worker->namespace_,
                          .name = worker->name,
                          .uid = worker->uid,
                          .resource_version = worker->pod->metadata.resource_version};
    if (slot)
        target.field_path =
            arena_printf(arena, "spec.%s{%.*s}", lists[slot->kind], STR_ARG(slot->name));
    return target;
}

static void __attribute__((format(printf, 4, 5)))
slot_event(Slot *slot, const char *type, const char *reason, const char *format, ...) {
    _arena_free_ Arena *arena = arena_new();
    va_list args;
    va_start(args, format);
    Str message = arena_vprintf(arena, format, args);
    va_end(args);
    EventTarget target = pod_event_target(slot->worker, arena, slot);
    event_record(slot->worker->agent->events, &target, type, reason, "%.*s", STR_ARG(message));
}

Str slot_log_path(Arena *arena, const Slot *slot, uint32_t attempt) {
    const PodWorker *worker = slot->worker;
    return arena_printf(arena, "%.*s/%.*s_%.*s_%.*s/%.*s/%u.log",
                        STR_ARG(worker->agent->config.log_directory), STR_ARG(worker->namespace_),
                        STR_ARG(worker->name), STR_ARG(worker->uid), STR_ARG(slot->name), attempt);
}

// What log collectors follow: /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log -> the log.
static Str log_link(Arena *arena, const Slot *slot, const char *id) {
    const PodWorker *worker = slot->worker;
    return arena_printf(arena, "%.*s/../containers/%.*s_%.*s_%.*s-%s.log",
                        STR_ARG(worker->agent->config.log_directory), STR_ARG(worker->name),
                        STR_ARG(worker->namespace_), STR_ARG(slot->name), id);
}

static void set_waiting(Slot *slot, Str reason, Str message) {
    owned_set(&slot->waiting_reason, reason);
    owned_set(&slot->waiting_message, message);
}

// Attempts
// -----------------------------------------------------------------------------------------

static void attempt_clear(Attempt *attempt) {
    owned_set(&attempt->message, STR_NONE);
    owned_set(&attempt->log_path, STR_NONE);
    *attempt = (Attempt){0};
}

static void attempt_update(Attempt *attempt, const RuntimeContainer *container) {
    attempt->exists = true;
    snprintf(attempt->id, sizeof attempt->id, "%.*s", STR_ARG(container->id));
    attempt->number = container->attempt;
    attempt->state = container->state;
    attempt->exit_code = container->exit_code;
    attempt->oom_killed = container->oom_killed;
    attempt->created_at = container->created_at;
    attempt->started_at = container->started_at;
    attempt->finished_at = container->finished_at;
    owned_set(&attempt->log_path, container->log_path);
}

static void ignore_done(void *user, int error, Str message) {}

static void drop_attempt(Slot *slot, Attempt *attempt) {
    if (!attempt->exists)
        return;
    _arena_free_ Arena *arena = arena_new();
    Runtime *runtime = slot->worker->agent->runtime;
    runtime->ops->remove_container(runtime, str_from(attempt->id), ignore_done, NULL);
    images_unpin(slot->worker->agent->images, str_from(attempt->id));
    unlink(log_link(arena, slot, attempt->id).ptr);
    if (attempt->log_path.len)
        unlink(attempt->log_path.ptr);
    attempt_clear(attempt);
}

static void read_message(Slot *slot, Attempt *attempt) {
    _arena_free_ Arena *arena = arena_new();
    Str directory = agent_pod_directory(slot->worker->agent, arena, slot->worker->uid);
    owned_set(&attempt->message,
              termination_message(arena, slot_container(slot), directory, str_from(attempt->id),
                                  attempt->log_path, attempt->exit_code));
}

static void stop_probes(Slot *slot) {
    for (size_t i = 0; i < 3; i++) {
        prober_free(slot->probers[i]);
        slot->probers[i] = NULL;
    }
    slot->probed = false;
}

void slot_exited(Slot *slot, const RuntimeContainer *container) {
    if (!slot->current.exists || !str_eq(str_from(slot->current.id), container->id))
        return;
    if (slot->current.state != CONTAINER_EXITED) { // else its start failed, which says more
        attempt_update(&slot->current, container);
        read_message(slot, &slot->current);
    }
    stop_probes(slot);
    slot->ready = slot->started = false;
    slot->post_start_done = false;
    if (slot->hook) {
        hook_cancel(slot->hook);
        slot->hook = NULL;
    }
    if (slot->step == STEP_POST_START || slot->step == STEP_PRE_STOP)
        slot->step = STEP_NONE;
    slot->killed = slot->kill = false;
    pod_sync(slot->worker);
}

bool slot_is_running(const Slot *slot) {
    return slot->current.exists && slot->current.state != CONTAINER_EXITED;
}

// Probes
// -------------------------------------------------------------------------------------------

static const Probe *probe_of(const Container *container, ProbeKind kind) {
    return kind == PROBE_STARTUP    ? container->startup_probe
           : kind == PROBE_LIVENESS ? container->liveness_probe
                                    : container->readiness_probe;
}

static void start_probes(Slot *slot);

static void on_probe_result(void *user, ProbeKind kind, bool success) {
    Slot *slot = user;
    if (kind == PROBE_READINESS)
        slot->ready = success;
    else if (kind == PROBE_STARTUP && success) {
        slot->started = true;
        start_probes(slot);
    } else if (!success && !slot->kill) {
        const Probe *probe = probe_of(slot_container(slot), kind);
        slot->kill = true;
        slot->probe_grace = probe && probe->termination_grace_period_seconds
                                ? *probe->termination_grace_period_seconds
                                : -1;
        owned_set(&slot->waiting_message, kind == PROBE_LIVENESS ? STR("failed liveness probe")
                                                                 : STR("failed startup probe"));
    }
    pod_sync(slot->worker);
}

static void on_probe_failure(void *user, ProbeKind kind, Str message) {
    slot_event(user, "Warning", "Unhealthy", "%.*s", STR_ARG(message));
}

static void start_prober(Slot *slot, ProbeKind kind) {
    if (slot->probers[kind] || !probe_of(slot_container(slot), kind))
        return;
    slot->probers[kind] = prober_new(&(ProberConfig){.agent = slot->worker->agent,
                                                     .kind = kind,
                                                     .pod = slot->worker->pod,
                                                     .container = slot_container(slot),
                                                     .container_id = str_from(slot->current.id),
                                                     .pod_ip = pod_worker_ip(slot->worker),
                                                     .started_at = slot->current.started_at,
                                                     .on_result = on_probe_result,
                                                     .on_failure = on_probe_failure,
                                                     .user = slot});
}

// The startup probe comes alone; the others once it has succeeded.
static void start_probes(Slot *slot) {
    const Container *container = slot_container(slot);
    slot->probed = true;
    if (!slot->started && container->startup_probe) {
        start_prober(slot, PROBE_STARTUP);
        return;
    }
    slot->started = true;
    if (!container->readiness_probe)
        slot->ready = true;
    start_prober(slot, PROBE_READINESS);
    start_prober(slot, PROBE_LIVENESS);
}

// Starting
// -----------------------------------------------------------------------------------------

static void end_start(Slot *slot) {
    if (slot->image_request)
        images_release(slot->image_request);
    if (slot->environment)
        environment_free(slot->environment);
    slot->image_request = NULL;
    slot->environment = NULL;
    arena_free(slot->start_arena);
    slot->start_arena = NULL;
    slot->step = STEP_NONE;
    pod_sync(slot->worker);
}

static void on_retry(void *user) {
    Slot *slot = user;
    slot->in_backoff = false;
    pod_sync(slot->worker);
}

static void retry_after(Slot *slot, int64_t delay) {
    slot->in_backoff = true;
    loop_timer_start(&slot->retry, delay);
}

static void fail_start(Slot *slot, const char *reason, Str message, bool event) {
    set_waiting(slot, str_from(reason), message);
    if (event)
        slot_event(slot, "Warning", "Failed", "Error: %.*s", STR_ARG(message));
    retry_after(slot, ERROR_RETRY);
    end_start(slot);
}

static void on_post_start(void *user, int error, Str message) {
    Slot *slot = user;
    slot->hook = NULL;
    slot->step = STEP_NONE;
    slot->post_start_done = true;
    if (error) {
        slot_event(slot, "Warning", "FailedPostStartHook", "PostStartHook failed");
        slot->kill = true;
        slot->probe_grace = -1;
        owned_set(&slot->waiting_message, STR("FailedPostStartHook"));
    } else
        start_probes(slot);
    pod_sync(slot->worker);
}

static void after_start(Slot *slot) {
    const Container *container = slot_container(slot);
    const LifecycleHandler *handler =
        container->lifecycle ? container->lifecycle->post_start : NULL;
    if (!handler) {
        slot->post_start_done = true;
        start_probes(slot);
        return;
    }
    slot->step = STEP_POST_START;
    slot->hook =
        hook_run(slot->worker->agent, slot->worker->pod, container, handler,
                 str_from(slot->current.id), pod_worker_ip(slot->worker), on_post_start, slot);
}

static void on_started(void *user, int error, Str message) {
    Slot *slot = user;
    if (error) {
        set_waiting(slot, STR("RunContainerError"), message);
        slot_event(slot, "Warning", "Failed", "Error: %.*s", STR_ARG(message));
        end_start(slot);
        return;
    }
    slot_event(slot, "Normal", "Started", "Container started");
    set_waiting(slot, STR_NONE, STR_NONE);
    if (slot->current.state == CONTAINER_CREATED) { // it may have ended already
        slot->current.state = CONTAINER_RUNNING;
        if (!slot->current.started_at)
            slot->current.started_at = loop_wall(slot->worker->agent->loop);
    }
    end_start(slot);
    if (slot->current.state == CONTAINER_RUNNING)
        after_start(slot);
}

static void on_created(void *user, int error, Str message, const RuntimeContainer *container) {
    Slot *slot = user;
    PodWorker *worker = slot->worker;
    if (error) {
        fail_start(slot, "CreateContainerError", message, true);
        return;
    }
    drop_attempt(slot, &slot->last);
    slot->last = slot->current;
    slot->current = (Attempt){0};
    attempt_update(&slot->current, container);
    slot->killed = slot->kill = false;
    if (images_pin(worker->agent->images, container->id, slot->found_image) != 0)
        log_warn("node", "image not pinned", "pod=%.*s/%.*s container=%.*s",
                 STR_ARG(worker->namespace_), STR_ARG(worker->name), STR_ARG(slot->name));
    _arena_free_ Arena *arena = arena_new();
    if (symlink(slot->current.log_path.ptr, log_link(arena, slot, slot->current.id).ptr) != 0)
        log_debug("node", "log link not made", "path=%s",
                  log_link(arena, slot, slot->current.id).ptr);
    slot_event(slot, "Normal", "Created", "Container created");
    slot->step = STEP_START;
    Runtime *runtime = worker->agent->runtime;
    runtime->ops->start_container(runtime, container->id, on_started, slot);
}

// Whose processes an ephemeral container sees. False when that one was never there.
static bool find_target(const Slot *slot, ContainerSpec *spec) {
    const PodWorker *worker = slot->worker;
    Str target =
        slot->kind == SLOT_EPHEMERAL
            ? worker->pod->spec.ephemeral_containers.items[slot->index].target_container_name
            : STR_NONE;
    for (size_t i = 0; target.len && i < worker->n_slots; i++)
        if (str_eq(worker->slots[i]->name, target) && worker->slots[i]->current.exists)
            spec->target_container_id = str_from(worker->slots[i]->current.id);
    return !target.len || spec->target_container_id.len;
}

static void create(Slot *slot, const RuntimePair *env, size_t n_env) {
    PodWorker *worker = slot->worker;
    Arena *arena = slot->start_arena;
    uint32_t attempt = slot->current.exists || slot->current.number ? slot->current.number + 1 : 0;
    ContainerInputs inputs = {.pod = worker->pod,
                              .container = slot_container(slot),
                              .image = slot->found_image,
                              .env = env,
                              .n_env = n_env,
                              .volumes = worker->volumes,
                              .sandbox_id = str_from(worker->sandbox_id),
                              .pod_ip = pod_worker_ip(worker),
                              .files_directory =
                                  agent_pod_directory(worker->agent, arena, worker->uid),
                              .log_path = slot_log_path(arena, slot, attempt),
                              .attempt = attempt};
    ContainerSpec *spec = arena_new_of(arena, ContainerSpec);
    Str reason, message;
    if (container_spec_build(worker->agent, arena, &inputs, spec, &reason, &message) != 0) {
        fail_start(slot, arena_cstr(arena, reason), message, true);
        return;
    }
    if (!find_target(slot, spec)) {
        message = arena_printf(
            arena, "unable to find target container %.*s",
            STR_ARG(
                worker->pod->spec.ephemeral_containers.items[slot->index].target_container_name));
        fail_start(slot, "CreateContainerConfigError", message, true);
        return;
    }
    slot->step = STEP_CREATE;
    Runtime *runtime = worker->agent->runtime;
    runtime->ops->create_container(runtime, spec, on_created, slot);
}

static void forget_missing(Slot *slot) {
    if (slot->missing)
        environment_free(slot->missing);
    slot->missing = NULL;
}

// What a container lacked has come, or changed: no need to wait for the next try.
static void on_missing_changed(void *user) {
    Slot *slot = user;
    if (slot->in_backoff)
        loop_timer_start(&slot->retry, 0);
}

static void on_environment(void *user, int error, Str message, const RuntimePair *env, size_t n) {
    Slot *slot = user;
    if (!error) {
        create(slot, env, n);
        return;
    }
    slot->missing = slot->environment;
    slot->environment = NULL;
    environment_watch(slot->missing, on_missing_changed, slot);
    fail_start(slot, "CreateContainerConfigError", message, true);
}

static void on_image(void *user, const ImageResult *result) {
    Slot *slot = user;
    PodWorker *worker = slot->worker;
    if (!result->ok) {
        set_waiting(slot, result->reason, result->message);
        if (result->retry_after)
            retry_after(slot, result->retry_after);
        else
            retry_after(slot, ERROR_RETRY);
        slot_event(slot, "Warning", "Failed", "Error: %.*s", STR_ARG(result->reason));
        end_start(slot);
        return;
    }
    owned_set(&slot->image_reference, result->reference);
    owned_set(&slot->image_id, result->image->repo_digests.n ? result->image->repo_digests.items[0]
                                                             : result->image->id);
    slot->found_image = result->image;
    slot->step = STEP_ENVIRONMENT;
    slot->environment = environment_new(worker->agent, worker->pod, slot_container(slot),
                                        pod_worker_ip(worker), on_environment, slot);
}

static void start(Slot *slot) {
    PodWorker *worker = slot->worker;
    forget_missing(slot);
    slot->start_arena = arena_new();
    slot->step = STEP_IMAGE;
    owned_set(&slot->image, slot_container(slot)->image);
    Str field_path = pod_event_target(worker, slot->start_arena, slot).field_path;
    slot->image_request = images_ensure(worker->agent->images, worker->pod,
                                        slot_container(slot)->image,
                                        slot_container(slot)->image_pull_policy, field_path,
                                        on_image, slot);
}

void slot_cancel_start(Slot *slot) {
    if (slot->step == STEP_IMAGE || slot->step == STEP_ENVIRONMENT)
        end_start(slot);
    loop_timer_stop(&slot->retry);
    slot->in_backoff = false;
    forget_missing(slot);
}

// Stopping
// -----------------------------------------------------------------------------------------

static void on_stopped(void *user, int error, Str message) {
    Slot *slot = user;
    slot->step = STEP_NONE;
    if (error)
        slot_event(slot, "Warning", "FailedKillPod", "error killing pod: %.*s", STR_ARG(message));
    pod_sync(slot->worker);
}

static void stop_now(Slot *slot) {
    Runtime *runtime = slot->worker->agent->runtime;
    int64_t left = slot->kill_deadline - loop_now(slot->worker->agent->loop);
    slot->step = STEP_STOP;
    runtime->ops->stop_container(runtime, str_from(slot->current.id), 0, left > 0 ? left : 0,
                                 on_stopped, slot);
}

static void on_pre_stop(void *user, int error, Str message) {
    Slot *slot = user;
    slot->hook = NULL;
    if (error)
        slot_event(slot, "Warning", "FailedPreStopHook", "PreStopHook failed");
    // The process gets at least two seconds after its hook, as a kubelet gives.
    int64_t least = loop_now(slot->worker->agent->loop) + 2 * NSEC_PER_SEC;
    if (slot->kill_deadline < least)
        slot->kill_deadline = least;
    stop_now(slot);
}

void slot_stop(Slot *slot, int64_t grace_ns, const char *event) {
    int64_t deadline = loop_now(slot->worker->agent->loop) + grace_ns;
    if (slot->killed) {
        if (deadline >= slot->kill_deadline)
            return;
        slot->kill_deadline = deadline; // a shorter grace period: once more
        if (slot->hook) {
            hook_cancel(slot->hook);
            slot->hook = NULL;
        }
        stop_now(slot);
        return;
    }
    slot->killed = true;
    slot->kill_deadline = deadline;
    stop_probes(slot);
    if (slot->hook) {
        hook_cancel(slot->hook);
        slot->hook = NULL;
    }
    if (event)
        slot_event(slot, "Normal", "Killing", event, STR_ARG(slot->name));
    const Container *container = slot_container(slot);
    const LifecycleHandler *handler = container->lifecycle ? container->lifecycle->pre_stop : NULL;
    if (!handler || grace_ns <= 0) {
        stop_now(slot);
        return;
    }
    slot->step = STEP_PRE_STOP;
    slot->hook =
        hook_run(slot->worker->agent, slot->worker->pod, container, handler,
                 str_from(slot->current.id), pod_worker_ip(slot->worker), on_pre_stop, slot);
}

// What to do
// -----------------------------------------------------------------------------------------

bool slot_will_restart(const Slot *slot) {
    Str policy = slot->worker->pod->spec.restart_policy;
    if (slot->kind == SLOT_SIDECAR || slot->kind == SLOT_EPHEMERAL)
        return slot->kind == SLOT_SIDECAR;
    if (slot->kind == SLOT_INIT) // runs until it succeeds; Never means once
        return slot->current.exit_code != 0 && !str_eq(policy, STR("Never"));
    return str_eq(policy, STR("Always")) ||
           (str_eq(policy, STR("OnFailure")) && slot->current.exit_code != 0);
}

// A container that ended and is to run again: at once the first time, then after its backoff.
static void restart(Slot *slot) {
    int64_t now = loop_wall(slot->worker->agent->loop);
    int64_t wait = backoff_remaining(&slot->backoff, slot->current.finished_at, now);
    if (wait > 0) {
        _arena_free_ Arena *arena = arena_new();
        PodWorker *worker = slot->worker;
        Str message = arena_printf(
            arena, "back-off %.*s restarting failed container=%.*s pod=%.*s_%.*s(%.*s)",
            STR_ARG(time_go_duration(arena, slot->backoff.delay_ns)), STR_ARG(slot->name),
            STR_ARG(worker->name), STR_ARG(worker->namespace_), STR_ARG(worker->uid));
        if (!str_eq(slot->waiting_reason, STR("CrashLoopBackOff")) ||
            !str_eq(slot->waiting_message, message))
            slot_event(slot, "Warning", "BackOff",
                       "Back-off restarting failed container %.*s in pod %.*s_%.*s(%.*s)",
                       STR_ARG(slot->name), STR_ARG(worker->name), STR_ARG(worker->namespace_),
                       STR_ARG(worker->uid));
        set_waiting(slot, STR("CrashLoopBackOff"), message);
        retry_after(slot, wait);
        return;
    }
    backoff_next(&slot->backoff, slot->current.finished_at, now);
    start(slot);
}

static void check_running(Slot *slot) {
    const PodSpec *spec = &slot->worker->pod->spec;
    if (!slot->kill && slot->image.len && !str_eq(slot->image, slot_container(slot)->image)) {
        slot->kill = true;
        slot->probe_grace = -1;
        owned_set(&slot->waiting_message, STR("definition changed"));
    }
    if (!slot->kill || slot->killed)
        return;
    int64_t grace = slot->probe_grace >= 0 ? slot->probe_grace
                    : spec->termination_grace_period_seconds
                        ? *spec->termination_grace_period_seconds
                        : 30;
    bool never = str_eq(spec->restart_policy, STR("Never")) && slot->kind != SLOT_SIDECAR;
    char event[160];
    if (str_eq(slot->waiting_message, STR("FailedPostStartHook")))
        snprintf(event, sizeof event, "FailedPostStartHook");
    else
        snprintf(event, sizeof event, "Container %%.*s %.*s%s", STR_ARG(slot->waiting_message),
                 never ? "" : ", will be restarted");
    owned_set(&slot->waiting_message, STR_NONE);
    slot_stop(slot, grace * NSEC_PER_SEC, event);
}

// One container towards running.
static void slot_step(Slot *slot) {
    if (slot->step != STEP_NONE && slot->step != STEP_POST_START)
        return;
    if (!slot->current.exists) {
        if (!slot->in_backoff)
            start(slot);
    } else if (slot->current.state == CONTAINER_CREATED) {
        // Created by an agent that was killed then, or its start failed.
        if (slot->in_backoff)
            return;
        slot->current.state = CONTAINER_EXITED;
        slot->current.exit_code = 128;
        slot->current.finished_at = loop_wall(slot->worker->agent->loop);
        Runtime *runtime = slot->worker->agent->runtime;
        runtime->ops->stop_container(runtime, str_from(slot->current.id), SIGKILL, 0, ignore_done,
                                     NULL);
        if (slot->kind != SLOT_EPHEMERAL)
            restart(slot);
    } else if (slot->current.state == CONTAINER_RUNNING) {
        if (slot->step == STEP_NONE && slot->post_start_done && !slot->probed)
            start_probes(slot);
        check_running(slot);
    } else if (slot_will_restart(slot) && !slot->in_backoff)
        restart(slot);
}

// Whether the containers after this one may start.
static bool is_passed(const Slot *slot) {
    if (slot->kind == SLOT_INIT)
        return slot->current.exists && slot->current.state == CONTAINER_EXITED &&
               slot->current.exit_code == 0;
    return slot->kind == SLOT_MAIN || (slot_is_running(slot) && slot->started);
}

void slots_step(PodWorker *worker) {
    bool mains_ran = false; // init containers are not run again once a main one has been started
    for (size_t i = 0; i < worker->n_slots; i++) {
        mains_ran |= worker->slots[i]->kind == SLOT_MAIN && worker->slots[i]->current.exists;
        if (worker->slots[i]->kind == SLOT_EPHEMERAL) // also beside an init container that fails
            slot_step(worker->slots[i]);
    }
    for (size_t i = 0; i < worker->n_slots; i++) {
        Slot *slot = worker->slots[i];
        if (slot->kind == SLOT_EPHEMERAL || (slot->kind == SLOT_INIT && mains_ran))
            continue;
        slot_step(slot);
        if (!is_passed(slot) && !mains_ran)
            return; // init containers and sidecars start one after the other
    }
}

// Life
// ---------------------------------------------------------------------------------------------

const Container *slot_container(const Slot *slot) {
    static_assert(offsetof(EphemeralContainer, target_container_name) >=
                          offsetof(Container, tty) + sizeof(bool) &&
                      offsetof(EphemeralContainer, tty) == offsetof(Container, tty),
                  "an EphemeralContainer begins with the members of a Container");
    const PodSpec *spec = &slot->worker->pod->spec;
    if (slot->kind == SLOT_EPHEMERAL)
        return (const Container *)&spec->ephemeral_containers.items[slot->index];
    return slot->kind == SLOT_MAIN ? &spec->containers.items[slot->index]
                                   : &spec->init_containers.items[slot->index];
}

static Slot *slot_new(PodWorker *worker, SlotKind kind, size_t index, Str name) {
    Slot *slot = calloc(1, sizeof *slot);
    assert(slot);
    slot->worker = worker;
    slot->kind = kind;
    slot->index = index;
    slot->probe_grace = -1;
    owned_set(&slot->name, name);
    backoff_init(&slot->backoff);
    loop_timer_init(&slot->retry, worker->agent->loop, on_retry, slot);
    return slot;
}

static void adopt(void *user, const RuntimeContainer *container) {
    PodWorker *worker = user;
    if (!str_eq(container->pod_uid, worker->uid))
        return;
    for (size_t i = 0; i < worker->n_slots; i++) {
        Slot *slot = worker->slots[i];
        if (!str_eq(slot->name, container->name))
            continue;
        Attempt *into = &slot->current;
        if (slot->current.exists && slot->current.number > container->attempt)
            into = &slot->last;
        else if (slot->current.exists) {
            attempt_clear(&slot->last);
            slot->last = slot->current;
            slot->current = (Attempt){0};
        }
        if (into->exists && into->number > container->attempt)
            continue;
        attempt_update(into, container);
        if (into->state == CONTAINER_EXITED)
            read_message(slot, into);
    }
}

// Image names, readiness and restart counts that the runtime's records don't hold come from the
// status in the API.
static void adopt_status(Slot *slot, const ContainerStatus *status) {
    owned_set(&slot->image_reference, status->image);
    owned_set(&slot->image_id, status->image_id);
    owned_set(&slot->image, slot_container(slot)->image);
    if (slot->current.exists && slot->current.state == CONTAINER_RUNNING) {
        slot->post_start_done = true;
        slot->ready = status->ready;
        slot->started = status->started && *status->started;
    }
    if (!slot->current.exists && status->restart_count > 0)
        slot->current.number = (uint32_t)status->restart_count;
    const ContainerStateTerminated *ended = status->last_state.terminated;
    if (!slot->last.exists && ended && slot->current.number > 0) {
        slot->last = (Attempt){.exists = true,
                               .number = slot->current.number - 1,
                               .state = CONTAINER_EXITED,
                               .exit_code = ended->exit_code,
                               .oom_killed = str_eq(ended->reason, STR("OOMKilled")),
                               .started_at = ended->started_at,
                               .finished_at = ended->finished_at};
        ptrdiff_t slash = str_find_last(ended->container_id, '/');
        snprintf(
            slot->last.id, sizeof slot->last.id, "%.*s",
            STR_ARG(str_slice(ended->container_id, (size_t)(slash + 1), ended->container_id.len)));
        owned_set(&slot->last.message, ended->message);
        _arena_free_ Arena *arena = arena_new();
        owned_set(&slot->last.log_path, slot_log_path(arena, slot, slot->last.number));
    }
}

static Slot *find_slot(const PodWorker *worker, Str name) {
    for (size_t i = 0; i < worker->n_slots; i++)
        if (str_eq(worker->slots[i]->name, name))
            return worker->slots[i];
    return NULL;
}

// They are only ever added, but a patch may bring them in any order.
void slots_update(PodWorker *worker) {
    const PodSpec *spec = &worker->pod->spec;
    size_t most = spec->init_containers.len + spec->containers.len + spec->ephemeral_containers.len;
    if (most > worker->n_slots) {
        worker->slots = realloc(worker->slots, most * sizeof *worker->slots);
        assert(worker->slots);
    }
    for (size_t i = 0; i < spec->ephemeral_containers.len; i++) {
        Str name = spec->ephemeral_containers.items[i].name;
        Slot *slot = find_slot(worker, name);
        if (slot && slot->kind == SLOT_EPHEMERAL)
            slot->index = i;
        else if (!slot)
            worker->slots[worker->n_slots++] = slot_new(worker, SLOT_EPHEMERAL, i, name);
    }
}

static void adopt_statuses(PodWorker *worker, const ContainerStatus *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Slot *slot = find_slot(worker, items[i].name);
        if (slot)
            adopt_status(slot, &items[i]);
    }
}

void slots_adopt(PodWorker *worker, const PodStatus *status) {
    adopt_statuses(worker, status->init_container_statuses.items,
                   status->init_container_statuses.len);
    adopt_statuses(worker, status->container_statuses.items, status->container_statuses.len);
    adopt_statuses(worker, status->ephemeral_container_statuses.items,
                   status->ephemeral_container_statuses.len);
}

void slots_init(PodWorker *worker) {
    const PodSpec *spec = &worker->pod->spec;
    worker->slots = calloc(spec->init_containers.len + spec->containers.len, sizeof *worker->slots);
    assert(worker->slots);
    for (size_t i = 0; i < spec->init_containers.len; i++) {
        const Container *container = &spec->init_containers.items[i];
        bool sidecar = str_eq(container->restart_policy, STR("Always"));
        worker->slots[worker->n_slots++] =
            slot_new(worker, sidecar ? SLOT_SIDECAR : SLOT_INIT, i, container->name);
    }
    for (size_t i = 0; i < spec->containers.len; i++)
        worker->slots[worker->n_slots++] =
            slot_new(worker, SLOT_MAIN, i, spec->containers.items[i].name);
    slots_update(worker);
    Runtime *runtime = worker->agent->runtime;
    runtime->ops->each_container(runtime, adopt, worker);
    slots_adopt(worker, &worker->pod->status);
}

void slots_free(PodWorker *worker) {
    for (size_t i = 0; i < worker->n_slots; i++) {
        Slot *slot = worker->slots[i];
        stop_probes(slot);
        if (slot->hook)
            hook_cancel(slot->hook);
        if (slot->image_request)
            images_release(slot->image_request);
        if (slot->environment)
            environment_free(slot->environment);
        forget_missing(slot);
        arena_free(slot->start_arena);
        loop_timer_stop(&slot->retry);
        attempt_clear(&slot->current);
        attempt_clear(&slot->last);
        Str *owned[] = {&slot->name,  &slot->waiting_reason,  &slot->waiting_message,
                        &slot->image, &slot->image_reference, &slot->image_id};
        for (size_t j = 0; j < sizeof owned / sizeof *owned; j++)
            owned_set(owned[j], STR_NONE);
        free(slot);
    }
    free(worker->slots);
}
