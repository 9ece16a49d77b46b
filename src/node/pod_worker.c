#include "node/pod_worker.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/pod_private.h"
#include "node/pressure.h"

#define SANDBOX_RETRY_FIRST (1 * NSEC_PER_SEC)
#define SANDBOX_RETRY_LAST (30 * NSEC_PER_SEC)

static void __attribute__((format(printf, 4, 5)))
pod_event(PodWorker *worker, const char *type, const char *reason, const char *format, ...) {
    _arena_free_ Arena *arena = arena_new();
    va_list args;
    va_start(args, format);
    Str message = arena_vprintf(arena, format, args);
    va_end(args);
    EventTarget target = pod_event_target(worker, arena, NULL);
    event_record(worker->agent->events, &target, type, reason, "%.*s", STR_ARG(message));
}

// It fails for good, for the node's own reasons.
static void end_pod(PodWorker *worker, const char *reason, Str message) {
    pod_event(worker, "Warning", reason, "%.*s", STR_ARG(message));
    owned_set(&worker->end_reason, str_from(reason));
    owned_set(&worker->end_message, message);
    worker->ended = true;
    pod_sync(worker);
}

void pod_sync(PodWorker *worker) {
    if (!worker->detached)
        loop_post(worker->agent->loop, &worker->sync);
}

Str pod_worker_uid(const PodWorker *worker) {
    return worker->uid;
}
const Pod *pod_worker_pod(const PodWorker *worker) {
    return worker->pod;
}
Str pod_worker_network_namespace(const PodWorker *worker) {
    return worker->network_namespace;
}

Str pod_worker_ip(const PodWorker *worker) {
    return worker->pod->spec.host_network && worker->had_sandbox ? worker->agent->config.address
                                                                 : worker->ip;
}

// Sandbox
// ------------------------------------------------------------------------------------------

static void on_sandbox_retry(void *user) {
    pod_sync(user);
}

static void sandbox_failed(PodWorker *worker, Str message) {
    pod_event(worker, "Warning", "FailedCreatePodSandBox", "Failed to create pod sandbox: %.*s",
              STR_ARG(message));
    loop_timer_start(&worker->sandbox_retry, worker->sandbox_delay);
    worker->sandbox_delay = worker->sandbox_delay * 2 < SANDBOX_RETRY_LAST
                                ? worker->sandbox_delay * 2
                                : SANDBOX_RETRY_LAST;
    // What was made of it goes first; without an id there is nothing.
    worker->sandbox = worker->sandbox_id[0] ? SANDBOX_DEAD : SANDBOX_NONE;
    pod_sync(worker);
}

static void on_attached(void *user, int error, Str message, Str ip) {
    PodWorker *worker = user;
    if (pod_job_ended(worker))
        return;
    if (error) {
        sandbox_failed(worker, message);
        return;
    }
    owned_set(&worker->ip, ip);
    worker->sandbox = SANDBOX_READY;
    worker->sandbox_delay = SANDBOX_RETRY_FIRST;
    pod_sync(worker);
}

static void attach_network(PodWorker *worker) {
    NodeNetwork *network = worker->agent->network;
    NetworkAttachment attachment = {.sandbox_id = str_from(worker->sandbox_id),
                                    .network_namespace = worker->network_namespace,
                                    .pod_uid = worker->uid,
                                    .pod_name = worker->name,
                                    .pod_namespace = worker->namespace_};
    worker->jobs++;
    network->ops->attach(network, &attachment, on_attached, worker);
}

static void adopt_sandbox(PodWorker *worker, const Sandbox *sandbox) {
    snprintf(worker->sandbox_id, sizeof worker->sandbox_id, "%.*s", STR_ARG(sandbox->id));
    owned_set(&worker->network_namespace, sandbox->network_namespace);
    worker->had_sandbox = true;
}

static void on_sandbox(void *user, int error, Str message, const Sandbox *sandbox) {
    PodWorker *worker = user;
    if (error) {
        worker->sandbox_id[0] = '\0';
        sandbox_failed(worker, message);
        return;
    }
    adopt_sandbox(worker, sandbox);
    if (worker->pod->spec.host_network) {
        worker->sandbox = SANDBOX_READY;
        pod_sync(worker);
    } else
        attach_network(worker);
}

static void on_cgroup(PodWorker *worker, int error, Str path) {
    _arena_free_ Arena *arena = arena_new();
    SandboxSpec spec = {.pod_uid = worker->uid,
                        .pod_name = worker->name,
                        .pod_namespace = worker->namespace_,
                        .cgroup = path};
    Str message = STR_NONE;
    if (error)
        message = arena_printf(arena, "control group: %s", strerror(-error));
    else if ((error = sandbox_spec_build(worker->agent, arena, worker->pod, &spec, &message)) ==
             -EPERM) {
        worker->sandbox = SANDBOX_NONE;
        end_pod(worker, "SysctlForbidden", message);
        return;
    }
    if (error) {
        sandbox_failed(worker, message);
        return;
    }
    spec.log_directory =
        arena_printf(arena, "%.*s/%.*s_%.*s_%.*s", STR_ARG(worker->agent->config.log_directory),
                     STR_ARG(worker->namespace_), STR_ARG(worker->name), STR_ARG(worker->uid));
    Runtime *runtime = worker->agent->runtime;
    runtime->ops->run_sandbox(runtime, &spec, on_sandbox, worker);
}

static void start_sandbox(PodWorker *worker) {
    worker->sandbox_id[0] = '\0';
    worker->sandbox = SANDBOX_STARTING;
    worker->cgroup_made = true;
    pod_cgroup_make(worker, on_cgroup);
}

static bool any_created(const PodWorker *worker) {
    for (size_t i = 0; i < worker->n_slots; i++)
        if (worker->slots[i]->current.exists)
            return true;
    return false;
}

static void on_old_removed(void *user, int error, Str message) {
    PodWorker *worker = user;
    worker->sandbox = SANDBOX_NONE;
    worker->sandbox_id[0] = '\0';
    pod_sync(worker);
}

static void on_old_detached(void *user, int error, Str message) {
    PodWorker *worker = user;
    if (pod_job_ended(worker))
        return;
    Runtime *runtime = worker->agent->runtime;
    owned_set(&worker->ip, STR_NONE);
    owned_set(&worker->network_namespace, STR_NONE);
    runtime->ops->remove_sandbox(runtime, str_from(worker->sandbox_id), on_old_removed, worker);
}

// The infra process is dead, or making it failed half-way: what runs in it is stopped, it is
// removed, and a new one is made. A pod that never restarts ends instead, if it ever ran.
static void replace_sandbox(PodWorker *worker) {
    bool busy = false;
    const int64_t *seconds = worker->pod->spec.termination_grace_period_seconds;
    for (size_t i = 0; i < worker->n_slots; i++) {
        Slot *slot = worker->slots[i];
        slot_cancel_start(slot);
        if (slot_is_running(slot) && slot->step == STEP_NONE)
            slot_stop(slot, (seconds ? *seconds : 30) * NSEC_PER_SEC, "Stopping container %.*s");
        busy |= slot_is_running(slot) || slot->step != STEP_NONE;
    }
    if (busy)
        return;
    if (str_eq(worker->pod->spec.restart_policy, STR("Never")) && any_created(worker)) {
        worker->ended = true;
        pod_sync(worker);
        return;
    }
    NodeNetwork *network = worker->agent->network;
    worker->sandbox = SANDBOX_REMOVING;
    worker->jobs++;
    network->ops->detach(network, str_from(worker->sandbox_id), on_old_detached, worker);
}

// Steps
// --------------------------------------------------------------------------------------------

static void on_deadline(void *user) {
    pod_sync(user);
}

// spec.activeDeadlineSeconds: the pod fails, whatever its containers do.
static void check_deadline(PodWorker *worker) {
    const int64_t *seconds = worker->pod->spec.active_deadline_seconds;
    if (!seconds || worker->ended)
        return;
    int64_t left = worker->start_time + *seconds * NSEC_PER_SEC - loop_wall(worker->agent->loop);
    if (left > 0) {
        worker->deadline.fn = on_deadline;
        loop_timer_start(&worker->deadline, left);
        return;
    }
    pod_event(worker, "Normal", "DeadlineExceeded",
              "Pod was active on the node longer than the specified deadline");
    owned_set(&worker->end_reason, STR("DeadlineExceeded"));
    owned_set(&worker->end_message,
              STR("Pod was active on the node longer than the specified deadline"));
    worker->ended = true;
}

static void on_volumes(void *user) {
    pod_sync(user);
}

// Before anything of it is made. False when it was rejected.
static bool admit(PodWorker *worker) {
    _arena_free_ Arena *arena = arena_new();
    Str message;
    if (worker->had_sandbox || worker->volumes ||
        pressure_admits(worker->agent->pressure, arena, worker->pod, &message))
        return true;
    end_pod(worker, "Evicted", message);
    return false;
}

static void run_step(PodWorker *worker) {
    if (!admit(worker))
        return;
    if (!worker->volumes)
        worker->volumes = pod_volumes_new(worker->agent, worker->pod, on_volumes, worker);
    Str message;
    switch (worker->sandbox) {
    case SANDBOX_NONE:
        if (!loop_timer_is_running(
                &worker->sandbox_retry)) // beside the volumes: containers need both
            start_sandbox(worker);
        return;
    case SANDBOX_DEAD:
        replace_sandbox(worker);
        return;
    case SANDBOX_READY:
        if (pod_volumes_ready(worker->volumes, &message))
            slots_step(worker);
        return;
    case SANDBOX_STOPPED: // ended by an agent before this one, but the pod is to run
        worker->sandbox = SANDBOX_DEAD;
        pod_sync(worker);
        return;
    case SANDBOX_STARTING:
    case SANDBOX_STOPPING:
    case SANDBOX_REMOVING:
        return;
    }
}

static bool is_terminal(Str phase) {
    return str_eq(phase, STR("Succeeded")) || str_eq(phase, STR("Failed"));
}

static void free_worker(PodWorker *worker) {
    loop_task_cancel(worker->agent->loop, &worker->sync);
    loop_timer_stop(&worker->sandbox_retry);
    loop_timer_stop(&worker->deadline);
    pod_status_free(worker);
    slots_free(worker);
    Str *owned[] = {&worker->uid,        &worker->namespace_,
                    &worker->name,       &worker->sandbox_message,
                    &worker->ip,         &worker->network_namespace,
                    &worker->end_reason, &worker->end_message,
                    &worker->mirror_uid};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        owned_set(owned[i], STR_NONE);
    arena_free(worker->arena);
    worker->arena = NULL;
    if (!worker->jobs)
        free(worker);
}

bool pod_job_ended(PodWorker *worker) {
    assert(worker->jobs);
    worker->jobs--;
    if (!worker->detached)
        return false;
    if (!worker->jobs)
        free(worker);
    return true;
}

static void sync_now(void *user) {
    PodWorker *worker = user;
    if (!worker->ended && is_terminal(pod_phase(worker)))
        worker->ended = true;
    check_deadline(worker);
    if (pod_is_stopping(worker))
        pod_stop_step(worker);
    else
        run_step(worker);
    if (worker->gone && worker->clean) {
        agent_forget(worker->agent, worker);
        free_worker(worker);
        return;
    }
    if (!worker->deleting)
        pod_status_write(worker);
}

// Life
// ---------------------------------------------------------------------------------------------

static void free_arena(void *arena) {
    arena_free(arena);
}

static bool is_starting(const PodWorker *worker) {
    for (size_t i = 0; i < worker->n_slots; i++)
        if (worker->slots[i]->start_arena || worker->slots[i]->hook)
            return true;
    return false;
}

static bool decode(PodWorker *worker, const InformerObject *object) {
    Arena *arena = arena_new();
    Pod *pod = arena_new_of(arena, Pod);
    if (typed_from_json(arena, kinds_type_Pod(), arena_str(arena, bytes_str(object->bytes)), pod) !=
        0) {
        arena_free(arena);
        return false;
    }
    if (is_starting(worker)) // a request under way still reads the old version
        arena_defer(arena, free_arena, worker->arena);
    else
        arena_free(worker->arena);
    worker->arena = arena;
    worker->pod = pod;
    return true;
}

static void find_sandbox(void *user, const Sandbox *sandbox) {
    PodWorker *worker = user;
    if (!str_eq(sandbox->pod_uid, worker->uid) || worker->sandbox == SANDBOX_READY)
        return;
    adopt_sandbox(worker, sandbox);
    NodeNetwork *network = worker->agent->network;
    Str address = network->ops->address(network, sandbox->id);
    owned_set(&worker->ip, address);
    if (!sandbox->ready)
        worker->sandbox = SANDBOX_DEAD;
    else if (worker->pod->spec.host_network || address.len)
        worker->sandbox = SANDBOX_READY;
    else {
        worker->sandbox = SANDBOX_STARTING; // killed between sandbox and network
        attach_network(worker);
    }
}

PodWorker *pod_worker_new(NodeAgent *agent, const InformerObject *object, bool is_static) {
    PodWorker *worker = calloc(1, sizeof *worker);
    assert(worker);
    worker->agent = agent;
    worker->is_static = is_static;
    if (!decode(worker, object)) {
        log_error("node", "pod not understood", "pod=%.*s/%.*s", STR_ARG(object->namespace_),
                  STR_ARG(object->name));
        free(worker);
        return NULL;
    }
    owned_set(&worker->uid, object->uid);
    owned_set(&worker->namespace_, object->namespace_);
    owned_set(&worker->name, object->name);
    worker->sandbox_delay = SANDBOX_RETRY_FIRST;
    worker->volumes_gone = true;
    worker->sync = (LoopTask){.fn = sync_now, .user = worker};
    loop_timer_init(&worker->sandbox_retry, agent->loop, on_sandbox_retry, worker);
    loop_timer_init(&worker->deadline, agent->loop, on_deadline, worker);
    pod_status_seed(worker);
    agent->runtime->ops->each_sandbox(agent->runtime, find_sandbox, worker);
    worker->cgroup_made = worker->had_sandbox;
    slots_init(worker);
    // A phase that the API knows as terminal stays: nothing is started again.
    worker->ended = is_terminal(worker->pod->status.phase);
    if (worker->ended && str_eq(worker->pod->status.phase, STR("Failed"))) {
        owned_set(&worker->end_reason, worker->pod->status.reason);
        owned_set(&worker->end_message, worker->pod->status.message);
    }
    if (worker->ended && worker->sandbox == SANDBOX_DEAD)
        worker->sandbox = SANDBOX_STOPPED;
    if (worker->ended && !worker->ip.len) // its address is given back, but stays in the status
        owned_set(&worker->ip, worker->pod->status.pod_ip);
    if (worker->had_sandbox || worker->ended)
        worker->volumes = pod_volumes_new(agent, worker->pod, on_volumes, worker);
    pod_sync(worker);
    return worker;
}

void pod_worker_update(PodWorker *worker, const InformerObject *object) {
    if (!decode(worker, object))
        return;
    slots_update(worker);
    if (worker->volumes)
        pod_volumes_update(worker->volumes, worker->pod);
    pod_sync(worker);
}

void pod_worker_gone(PodWorker *worker) {
    worker->gone = true;
    if (worker->status_call && !worker->deleting) {
        client_cancel(worker->status_call);
        worker->status_call = NULL;
    }
    pod_sync(worker);
}

void pod_worker_evict(PodWorker *worker, Str message) {
    worker->evicted = true;
    end_pod(worker, "Evicted", message);
}

bool pod_worker_is_ending(const PodWorker *worker) {
    return pod_is_stopping(worker);
}

bool pod_worker_is_evicting(const PodWorker *worker) {
    return worker->evicted && worker->sandbox != SANDBOX_STOPPED && worker->sandbox != SANDBOX_NONE;
}

void pod_worker_terminate(PodWorker *worker) {
    const int64_t *grace = worker->pod->spec.termination_grace_period_seconds;
    int64_t *seconds = arena_new_of(worker->arena, int64_t);
    *seconds = grace ? *grace : 30;
    worker->pod->metadata.deletion_timestamp = loop_wall(worker->agent->loop);
    worker->pod->metadata.deletion_grace_period_seconds = seconds;
    pod_sync(worker);
}

static void adopt_mirror(PodWorker *worker, const InformerObject *mirror) {
    _arena_free_ Arena *arena = arena_new();
    Pod pod;
    if (typed_from_json(arena, kinds_type_Pod(), bytes_str(mirror->bytes), &pod) == 0)
        slots_adopt(worker, &pod.status);
    worker->mirror_adopted = true;
}

void pod_worker_set_mirror(PodWorker *worker, const InformerObject *mirror) {
    if (mirror && worker->had_sandbox && !worker->mirror_adopted)
        adopt_mirror(worker, mirror);
    worker->mirror_adopted = true;
    owned_set(&worker->mirror_uid, mirror ? mirror->uid : STR_NONE);
    owned_set(&worker->status_sent, STR_NONE); // another object: all of it is news
    if (worker->status_call)
        client_cancel(worker->status_call);
    worker->status_call = NULL;
    pod_sync(worker);
}

void pod_worker_container_exited(PodWorker *worker, const RuntimeContainer *container) {
    for (size_t i = 0; i < worker->n_slots; i++)
        if (str_eq(worker->slots[i]->name, container->name))
            slot_exited(worker->slots[i], container);
}

void pod_worker_sandbox_exited(PodWorker *worker, Str sandbox_id) {
    if (!str_eq(sandbox_id, str_from(worker->sandbox_id)) ||
        (worker->sandbox != SANDBOX_READY && worker->sandbox != SANDBOX_STARTING))
        return;
    if (!pod_is_stopping(worker))
        pod_event(worker, "Normal", "SandboxChanged",
                  "Pod sandbox changed, it will be killed and re-created.");
    if (worker->sandbox == SANDBOX_READY)
        worker->sandbox = SANDBOX_DEAD;
    pod_sync(worker);
}

void pod_worker_detach(PodWorker *worker) {
    worker->detached = true;
    if (worker->volumes)
        pod_volumes_detach(worker->volumes);
    free_worker(worker);
}

static const Slot *find_slot(const PodWorker *worker, Str name) {
    for (size_t i = 0; i < worker->n_slots; i++)
        if (str_eq(worker->slots[i]->name, name))
            return worker->slots[i];
    return NULL;
}

bool pod_worker_container(const PodWorker *worker, Arena *arena, Str name, bool previous,
                          PodContainer *ret) {
    *ret = (PodContainer){0};
    const Slot *slot = find_slot(worker, name);
    if (!slot)
        return false;
    const Attempt *attempt = previous ? &slot->last : &slot->current;
    // A container in backoff: its newest attempt has ended and is what "previous" means to nobody
    // yet.
    ret->waiting_reason = slot->waiting_reason.len ? arena_str(arena, slot->waiting_reason)
                                                   : STR("ContainerCreating");
    ret->waiting_message = arena_str(arena, slot->waiting_message);
    if (!attempt->exists)
        return true;
    ret->id = arena_str(arena, str_from(attempt->id));
    ret->log_path = arena_str(arena, attempt->log_path);
    ret->running = attempt->state == CONTAINER_RUNNING;
    ret->terminated = attempt->state == CONTAINER_EXITED;
    ret->tty = slot_container(slot)->tty;
    ret->stdin_open = slot_container(slot)->stdin;
    return true;
}
