// The end of a pod: its containers stop (sidecars last, in reverse), then its sandbox, its volumes,
// its control group; then, if the Pod is being deleted, its object. Each step may be begun again
// after a crash at any instant.
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "node/pod_private.h"

#define DEFAULT_GRACE 30
#define EVICTION_GRACE (1 * NSEC_PER_SEC) // a kubelet's immediateEvictionGracePeriodSeconds
#define CGROUP_RETRY (100 * NSEC_PER_MSEC)

bool pod_is_stopping(const PodWorker *worker) {
    return worker->gone || worker->pod->metadata.deletion_timestamp || worker->ended;
}

static int64_t grace_of(const PodWorker *worker) {
    const Pod *pod = worker->pod;
    if (worker->gone)
        return 0;
    if (worker->evicted)
        return EVICTION_GRACE;
    if (pod->metadata.deletion_timestamp && pod->metadata.deletion_grace_period_seconds)
        return *pod->metadata.deletion_grace_period_seconds * NSEC_PER_SEC;
    const int64_t *seconds = pod->spec.termination_grace_period_seconds;
    return (seconds ? *seconds : DEFAULT_GRACE) * NSEC_PER_SEC;
}

// Containers
// ---------------------------------------------------------------------------------------

static void stop_slot(Slot *slot, int64_t grace) {
    slot_cancel_start(slot);
    if (slot_is_running(slot) && slot->step != STEP_CREATE && slot->step != STEP_START)
        slot_stop(slot, grace, "Stopping container %.*s");
}

// True when nothing runs and nothing is under way. Main and init containers go together, sidecars
// one by one after them.
static bool containers_stopped(PodWorker *worker) {
    int64_t grace = grace_of(worker);
    bool busy = false;
    for (size_t i = 0; i < worker->n_slots; i++) {
        Slot *slot = worker->slots[i];
        if (slot->kind == SLOT_SIDECAR)
            continue;
        stop_slot(slot, grace);
        busy |= slot_is_running(slot) || slot->step != STEP_NONE;
    }
    for (size_t i = worker->n_slots; i-- > 0;) {
        Slot *slot = worker->slots[i];
        if (slot->kind != SLOT_SIDECAR)
            continue;
        if (busy)
            slot_cancel_start(slot);
        else
            stop_slot(slot, grace);
        busy |= slot_is_running(slot) || slot->step != STEP_NONE;
    }
    return !busy;
}

// Sandbox
// ------------------------------------------------------------------------------------------

static void on_removed(void *user, int error, Str message) {
    PodWorker *worker = user;
    if (error)
        log_warn("node", "sandbox not removed", "pod=%.*s/%.*s message=\"%.*s\"",
                 STR_ARG(worker->namespace_), STR_ARG(worker->name), STR_ARG(message));
    worker->sandbox = SANDBOX_NONE;
    pod_sync(worker);
}

static void on_stopped(void *user, int error, Str message) {
    PodWorker *worker = user;
    if (error)
        log_warn("node", "sandbox not stopped", "pod=%.*s/%.*s message=\"%.*s\"",
                 STR_ARG(worker->namespace_), STR_ARG(worker->name), STR_ARG(message));
    worker->sandbox = SANDBOX_STOPPED;
    owned_set(&worker->network_namespace, STR_NONE);
    pod_sync(worker);
}

static void on_detached(void *user, int error, Str message) {
    PodWorker *worker = user;
    if (pod_job_ended(worker))
        return;
    Runtime *runtime = worker->agent->runtime;
    if (error)
        log_warn("node", "network not detached", "pod=%.*s/%.*s message=\"%.*s\"",
                 STR_ARG(worker->namespace_), STR_ARG(worker->name), STR_ARG(message));
    runtime->ops->stop_sandbox(runtime, str_from(worker->sandbox_id), on_stopped, worker);
}

static void stop_sandbox(PodWorker *worker) {
    NodeNetwork *network = worker->agent->network;
    worker->sandbox = SANDBOX_STOPPING;
    worker->jobs++;
    network->ops->detach(network, str_from(worker->sandbox_id), on_detached, worker);
}

// Files
// --------------------------------------------------------------------------------------------

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where) {
    return remove(path) != 0;
}

typedef struct Removal {
    Arena *arena;
    char *directory, *logs;
    PodWorker *worker;
} Removal;

static void remove_files(void *user) {
    Removal *removal = user;
    nftw(removal->directory, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    nftw(removal->logs, remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void on_files_removed(void *user) {
    Removal *removal = user;
    PodWorker *worker = removal->worker;
    arena_free(removal->arena);
    if (pod_job_ended(worker))
        return;
    worker->clean = true;
    pod_sync(worker);
}

static void on_volumes_gone(void *user) {
    PodWorker *worker = user;
    if (pod_job_ended(worker))
        return;
    worker->volumes_gone = true;
    pod_sync(worker);
}

static void free_pins(PodWorker *worker) {
    for (size_t i = 0; i < worker->n_slots; i++) {
        Slot *slot = worker->slots[i];
        Attempt *attempts[] = {&slot->current, &slot->last};
        for (size_t j = 0; j < 2; j++) {
            if (!attempts[j]->exists)
                continue;
            images_unpin(worker->agent->images, str_from(attempts[j]->id));
            _arena_free_ Arena *arena = arena_new();
            unlink(arena_printf(arena, "%.*s/../containers/%.*s_%.*s_%.*s-%s.log",
                                STR_ARG(worker->agent->config.log_directory), STR_ARG(worker->name),
                                STR_ARG(worker->namespace_), STR_ARG(slot->name), attempts[j]->id)
                       .ptr);
        }
    }
}

static void clean_files(PodWorker *worker) {
    worker->cleaning = true;
    free_pins(worker);
    Arena *arena = arena_new();
    Removal *removal = arena_new_of(arena, Removal);
    removal->arena = arena;
    removal->worker = worker;
    removal->directory = arena_cstr(arena, agent_pod_directory(worker->agent, arena, worker->uid));
    removal->logs = arena_cstr(arena, arena_printf(arena, "%.*s/%.*s_%.*s_%.*s",
                                                   STR_ARG(worker->agent->config.log_directory),
                                                   STR_ARG(worker->namespace_),
                                                   STR_ARG(worker->name), STR_ARG(worker->uid)));
    worker->jobs++;
    loop_work(worker->agent->loop, remove_files, on_files_removed, removal);
}

static void on_cgroup_retry(void *user) {
    pod_sync(user);
}

static void on_cgroup_gone(PodWorker *worker, int error, Str path) {
    worker->cgroup_going = false;
    if (error) {
        worker->deadline.fn = on_cgroup_retry;
        loop_timer_start(&worker->deadline, CGROUP_RETRY);
        return;
    }
    worker->cgroup_made = false;
    pod_sync(worker);
}

// True once it is gone.
static bool remove_cgroup(PodWorker *worker) {
    if (worker->cgroup_made && !worker->cgroup_going) {
        worker->cgroup_going = true;
        pod_cgroup_remove(worker, on_cgroup_gone);
    }
    return !worker->cgroup_made;
}

// The object
// ---------------------------------------------------------------------------------------

static void on_deleted(void *user, const ClientResult *result) {
    PodWorker *worker = user;
    worker->status_call = NULL;
    if (result->error && result->code != 404 && result->code != 409) {
        worker->deleting = false;
        loop_timer_start(&worker->status_retry, NSEC_PER_SEC);
    }
}

static void delete_object(PodWorker *worker) {
    worker->deleting = true;
    _arena_free_ Arena *arena = arena_new();
    Str options = arena_printf(arena,
                               "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
                               "\"gracePeriodSeconds\":0,\"preconditions\":"
                               "{\"uid\":\"%.*s\"}}",
                               STR_ARG(worker->uid));
    ClientTarget target = {.resource = kinds_resource_core_v1_pods(),
                           .namespace_ = worker->namespace_,
                           .name = worker->name};
    worker->status_call =
        client_delete(worker->agent->client, &target, options, on_deleted, worker);
}

void pod_stop_step(PodWorker *worker) {
    loop_timer_stop(&worker->sandbox_retry);
    if (!containers_stopped(worker))
        return;
    switch (worker->sandbox) {
    case SANDBOX_STARTING: // its end brings us back
    case SANDBOX_STOPPING:
    case SANDBOX_REMOVING:
        return;
    case SANDBOX_READY:
    case SANDBOX_DEAD:
        stop_sandbox(worker);
        return;
    case SANDBOX_STOPPED:
    case SANDBOX_NONE:
        break;
    }
    if (worker->volumes) {
        worker->jobs++;
        pod_volumes_free(worker->volumes, on_volumes_gone, worker);
        worker->volumes = NULL;
        worker->volumes_gone = false;
        return;
    }
    if (!worker->volumes_gone || !remove_cgroup(worker))
        return;
    if (!worker->gone && !worker->pod->metadata.deletion_timestamp)
        return; // ended, but kept: its logs can be read until the object goes
    if (worker->sandbox == SANDBOX_STOPPED) {
        Runtime *runtime = worker->agent->runtime;
        worker->sandbox = SANDBOX_REMOVING;
        runtime->ops->remove_sandbox(runtime, str_from(worker->sandbox_id), on_removed, worker);
        return;
    }
    if (!worker->cleaning)
        clean_files(worker);
    if (!worker->clean)
        return;
    if (worker->is_static) // its mirror is static_pods.c's
        worker->gone = true;
    if (!worker->gone && !worker->deleting && !worker->status_call)
        delete_object(worker);
}
