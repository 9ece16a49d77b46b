#pragma once
// What pod_worker.c (the pod), pod_containers.c (its containers), pod_stop.c (its end) and
// pod_status.c (what is reported) share.

#include "node/environment.h"
#include "node/images.h"
#include "node/pod_worker.h"
#include "node/probe.h"
#include "node/volumes.h"
#include "rules/backoff.h"

typedef enum SlotKind { SLOT_INIT, SLOT_SIDECAR, SLOT_MAIN, SLOT_EPHEMERAL } SlotKind;

typedef enum SlotStep { // what is under way for a container; its end calls pod_sync()
    STEP_NONE,
    STEP_IMAGE,
    STEP_ENVIRONMENT,
    STEP_CREATE,
    STEP_START,
    STEP_POST_START,
    STEP_PRE_STOP,
    STEP_STOP,
} SlotStep;

typedef struct Attempt { // one container of the runtime's
    bool exists;
    char id[65];
    uint32_t number;
    RuntimeContainerState state;
    int exit_code;
    bool oom_killed;
    int64_t created_at, started_at, finished_at; // Unix ns
    Str message;                                 // termination message; owned
    Str log_path;                                // owned
} Attempt;

typedef struct Slot { // one container of the spec
    PodWorker *worker;
    Str name;
    SlotKind kind;
    size_t index; // in the list of the spec that its kind says
    Attempt current, last;
    SlotStep step;
    Str waiting_reason, waiting_message; // owned; why it is not created or started
    Str image, image_reference,
        image_id; // owned: as the spec named it when it was started; full name; digest
    Backoff backoff;
    LoopTimer retry;
    bool in_backoff;     // CrashLoopBackOff, or waiting after an error, until `retry`
    bool started, ready; // what the probes say; without probes: running
    bool probed;         // its probes go, if it has any
    bool post_start_done;
    bool kill;             // a probe or a changed spec wants it stopped and started anew
    bool killed;           // stopping has begun
    int64_t kill_deadline; // monotonic; when SIGKILL is due
    int64_t probe_grace;   // seconds from the failed probe, -1: the pod's
    // The start under way.
    Arena *start_arena;
    ImageRequest *image_request;
    const Image *found_image; // of image_request
    EnvironmentRequest *environment;
    EnvironmentRequest *missing; // the last one, which failed: what it lacked may come
    HookRun *hook;
    Prober *probers[3];
} Slot;

typedef enum SandboxState {
    SANDBOX_NONE,
    SANDBOX_STARTING, // runtime, then network
    SANDBOX_READY,
    SANDBOX_DEAD,     // the infra process ended
    SANDBOX_STOPPING, // network, then runtime
    SANDBOX_STOPPED,  // the record stays for the containers' logs
    SANDBOX_REMOVING,
} SandboxState;

struct PodWorker {
    NodeAgent *agent;
    Arena *arena; // of `pod`
    Pod *pod;
    Str uid, namespace_, name; // owned
    Slot **slots;
    size_t n_slots;
    SandboxState sandbox;
    char sandbox_id[65];
    Str sandbox_message, ip, network_namespace; // owned
    bool had_sandbox;                           // this is not the pod's first
    int64_t sandbox_delay;                      // before the next try after a failure
    LoopTimer sandbox_retry, deadline;
    PodVolumes *volumes;
    bool cgroup_made, cgroup_going, volumes_gone, cleaning, clean;
    bool gone;     // not in the API any more
    bool deleting; // our final DELETE is under way or done
    bool ended;    // a terminal phase is decided: nothing is started any more
    bool detached;
    bool is_static, mirror_adopted;
    bool evicted; // by the node, which is short of something
    Str mirror_uid; // owned; of a static pod's mirror, empty while there is none
    unsigned jobs;               // calls of others' that come back even after pod_worker_detach()
    Str end_reason, end_message; // owned; DeadlineExceeded, ...
    LoopTask sync;
    // pod_status.c
    ClientCall *status_call;
    Str status_sent; // owned: the status as last written
    LoopTimer status_retry;
    int64_t status_delay;
    PodStatus previous; // conditions with their transition times; in previous_arena
    Arena *previous_arena;
    int64_t start_time;
};

void pod_sync(PodWorker *worker); // soon, once, from the loop
// A call that nobody can cancel (the network's, work off the loop) has come back. True when our
// process ends: the worker may be gone then, and nothing is to be done.
bool pod_job_ended(PodWorker *worker);

// pod_containers.c
// As the spec has it now; an ephemeral container as what it has in common with others.
const Container *slot_container(const Slot *slot);
void slots_init(PodWorker *worker);   // one Slot per container; adopts what the runtime has
// Takes over what the runtime's records don't hold of what runs.
void slots_adopt(PodWorker *worker, const PodStatus *status);
void slots_update(PodWorker *worker); // the spec changed: ephemeral containers may have been added
void slots_free(PodWorker *worker);
void slots_step(PodWorker *worker); // starts and restarts what should run; the sandbox is ready
void slot_exited(Slot *slot, const RuntimeContainer *container);
void slot_stop(Slot *slot, int64_t grace_ns,
               const char *event);  // begins to stop it; `event`: text after the name, NULL: none
void slot_cancel_start(Slot *slot); // image and environment requests; not what the runtime does
bool slot_is_running(const Slot *slot); // created or running in the runtime
bool slot_will_restart(const Slot *slot);
Str slot_log_path(Arena *arena, const Slot *slot, uint32_t attempt);
EventTarget pod_event_target(PodWorker *worker, Arena *arena,
                             const Slot *slot); // slot NULL: the pod

// pod_cgroup.c
// The pod's control group with the limits that follow from its containers (shares, quota and memory
// where every container has a limit), made when missing; `path` for SandboxSpec.cgroup.
void pod_cgroup_make(PodWorker *worker, void (*done)(PodWorker *worker, int error, Str path));
// -EBUSY: processes were left in it and have been killed; again, in a moment.
void pod_cgroup_remove(PodWorker *worker, void (*done)(PodWorker *worker, int error, Str path));

// pod_stop.c
void pod_stop_step(PodWorker *worker); // towards: nothing runs, then nothing is left
bool pod_is_stopping(const PodWorker *worker);

// pod_status.c
Str pod_phase(const PodWorker *worker);
void pod_status_write(PodWorker *worker); // computes, and sends when it changed
void pod_status_free(PodWorker *worker);
void pod_status_seed(PodWorker *worker); // at adoption: what the API knows

void owned_set(Str *slot, Str value); // replaces a malloc'ed string
