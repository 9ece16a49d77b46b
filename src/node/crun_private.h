#pragma once
// Shared by the files of the crun runtime. What is on disk:
//
//   RUN/boot                     the boot id: after a reboot everything below is garbage
//   RUN/records/sandboxes/ID     what we know of a sandbox, RUN/records/containers/ID of a
//   container RUN/ns/SANDBOX/{net,ipc,uts,pid}, process   the infra process's namespaces and its id
//   RUN/shm/SANDBOX              the sandbox's /dev/shm
//   RUN/rootfs/CONTAINER         the mounted root
//   RUN/bundle/CONTAINER         config.json, process.json (for exec), conmon's socket and fifos
//   RUN/exits/CONTAINER          the exit code, written by conmon
//   RUN/crun                     crun's own state
//   STATE/CONTAINER/{upper,work} the writable layer

#include "base/list.h"
#include "base/map.h"
#include "base/spawn.h"
#include "node/cgroup.h"
#include "node/oci_spec.h"
#include "node/process.h"
#include "node/record.h"
#include "node/runtime.h"

typedef struct CrunRuntime {
    Runtime base;
    Arena *arena;
    const char *state_directory, *run_directory;
    const char *crun, *conmon, *pause; // absolute paths
    char version[64];
    CgroupHost *cgroups;
    OciHost host;
    Map *sandboxes, *containers;
    List execs, attaches;
    size_t busy; // jobs and children that will call back
    int64_t create_timeout;
    bool freed, observe;
} CrunRuntime;

typedef struct CrunSandbox {
    CrunRuntime *runtime;
    Arena *arena;
    Sandbox view;
    Str hostname; // of its UTS namespace, or the host's
    bool host_network, host_pid, host_ipc;
    ProcessId process;
    ProcessWatch *watch;
    bool stopping, removing;
    List stop_waiters, remove_waiters;
    struct SandboxLaunch *launch; // while it is being started
} CrunSandbox;

typedef struct CrunContainer {
    CrunRuntime *runtime;
    Arena *arena;
    RuntimeContainer view;
    int stop_signal;
    bool tty, stdin_open, stdin_once;
    ProcessId process, conmon;
    Child *child;        // conmon while it is our child,
    ProcessWatch *watch; // or when it was adopted
    bool creating, starting, conmon_gone, collecting, removing, started;
    struct ContainerCreation *creation; // while creating
    RuntimeDone on_start;               // while starting
    void *start_user;
    LoopTimer stop_timer; // SIGKILL when it comes
    List exit_waiters, remove_waiters;
} CrunContainer;

// ---- crun.c

// Paths below RUN, and STATE/ID.
Str crun_path(const CrunRuntime *runtime, Arena *arena, const char *kind, Str id);
Str crun_layer_path(const CrunRuntime *runtime, Arena *arena, Str id);
void crun_new_id(char id[65]);

// Work on a pool thread, then `done` on the loop; both see the job, which lives in its own arena.
// `done` is left out when the runtime has been freed meanwhile.
typedef struct CrunJob CrunJob;
struct CrunJob {
    CrunRuntime *runtime;
    Arena *arena;
    void (*work)(CrunJob *job);
    void (*done)(CrunJob *job);
    int error;
    Str message; // in the arena
};
void *crun_job_new(CrunRuntime *runtime, size_t size); // CrunJob first; cleared
void crun_job_start(CrunJob *job);
// Sets the job's error with "CONTEXT: what errno means".
void crun_job_fail(CrunJob *job, int error, const char *context);

// `done` on the next turn of the loop.
void crun_reply(CrunRuntime *runtime, RuntimeDone done, void *user, int error, Str message);
void crun_busy(CrunRuntime *runtime);
bool crun_idle(CrunRuntime *runtime); // undoes it; false when the runtime is gone: touch nothing

// Callers that wait for the same thing.
void crun_wait(List *waiters, RuntimeDone done, void *user);
void crun_tell(List *waiters, int error, Str message);
void crun_forget(List *waiters);

// Arguments of crun up to the verb. NULL-terminated, room for `more` behind; *ret_n is where.
const char **crun_arguments(const CrunRuntime *runtime, Arena *arena, const char *verb, size_t more,
                            size_t *ret_n);

// ---- sandbox.c

void crun_run_sandbox(Runtime *runtime, const SandboxSpec *spec, SandboxDone done, void *user);
void crun_stop_sandbox(Runtime *runtime, Str id, RuntimeDone done, void *user);
void crun_remove_sandbox(Runtime *runtime, Str id, RuntimeDone done, void *user);
CrunSandbox *crun_sandbox_new(CrunRuntime *runtime);
void crun_sandbox_free(CrunSandbox *sandbox);
void crun_sandbox_save(const CrunSandbox *sandbox);
void crun_sandbox_load(CrunSandbox *sandbox, const Record *record); // strings go to its arena
// Watches the infra process; tells at once when it is gone.
void crun_sandbox_watch(CrunSandbox *sandbox);
// Blocking: unmounts and removes what belongs to a sandbox, its record last.
int crun_sandbox_clean(const CrunRuntime *runtime, Arena *arena, Str id, Str pod_cgroup);
Str crun_namespace(const CrunSandbox *sandbox, Arena *arena, const char *kind);

// ---- sysctl.c

// "/proc/sys/KEY=VALUE" for a namespaced sysctl. -EINVAL with *ret_message for any other.
int sysctl_argument(Arena *arena, const RuntimePair *sysctl, bool host_network, bool host_ipc,
                    Str *ret, Str *ret_message) __attribute__((warn_unused_result));

// ---- crun_create.c, crun_container.c

void crun_create_container(Runtime *runtime, const ContainerSpec *spec, ContainerDone done,
                           void *user);
void crun_creation_free(struct ContainerCreation *creation);
// conmon has ended (from its exit, from recovery).
void crun_container_gone(CrunContainer *container);
void crun_start_container(Runtime *runtime, Str id, RuntimeDone done, void *user);
// Whether one in state created runs its program in fact, and we died before we noted it.
bool crun_container_was_started(const CrunContainer *container);
void crun_stop_container(Runtime *runtime, Str id, int signal, int64_t grace_ns, RuntimeDone done,
                         void *user);
void crun_remove_container(Runtime *runtime, Str id, RuntimeDone done, void *user);
CrunContainer *crun_container_new(CrunRuntime *runtime);
void crun_container_free(CrunContainer *container);
void crun_container_save(const CrunContainer *container);
void crun_container_load(CrunContainer *container, const Record *record);
int crun_container_clean(const CrunRuntime *runtime, Arena *arena, Str id, Str cgroup);

// ---- crun_exec.c, crun_attach.c

RuntimeExec *crun_exec(Runtime *runtime, const ExecSpec *spec, ExecDone done, void *user);
void crun_exec_resize(RuntimeExec *exec, uint16_t width, uint16_t height);
void crun_exec_cancel(RuntimeExec *exec);
void crun_exec_sync(Runtime *runtime, Str container_id, const Str *argv, size_t n_argv,
                    int64_t timeout_ns, size_t max_output, ExecSyncDone done, void *user);
void crun_execs_free(CrunRuntime *runtime);
void crun_attach(Runtime *runtime, Str id, Stream *stdin_stream, Stream *stdout_stream,
                 Stream *stderr_stream, RuntimeDone done, void *user);
void crun_attach_resize(Runtime *runtime, Str id, uint16_t width, uint16_t height);
void crun_reopen_log(Runtime *runtime, Str id);
void crun_attaches_free(CrunRuntime *runtime);

// ---- crun_recover.c

void crun_recover(Runtime *runtime, RuntimeDone done, void *user);
