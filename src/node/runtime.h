#pragma once
// What runs sandboxes and containers: crun under conmon (crun.c), or nothing real (fake.c, for
// tests and simulation). Everything that takes time ends in a callback on the loop, never from
// inside the call. Ids are ours: 64 hex digits. The state of the world is on disk and in the
// kernel, so it survives our process: after a restart recover() finds again what runs.
//
// Every Str and struct that a callback gets is valid during the callback only.

#include <sys/types.h>

#include "base/arena.h"
#include "base/loop.h"
#include "base/stream.h"

typedef struct Runtime Runtime;

typedef struct RuntimePair {
    Str name, value;
} RuntimePair;

typedef struct SandboxSpec {
    Str pod_uid, pod_name, pod_namespace;
    uint32_t attempt; // how many sandboxes this pod had before
    Str hostname;     // of the UTS namespace; ignored with host_network
    Str cgroup;       // path of the pod's group below each hierarchy, made by the caller (cgroup.h)
    Str log_directory; // /var/log/pods/NAMESPACE_NAME_UID
    bool host_network, host_pid, host_ipc;
    const RuntimePair *sysctls; // of the network and IPC namespaces
    size_t n_sysctls;
} SandboxSpec;

typedef struct Sandbox {
    Str id;
    Str pod_uid, pod_name, pod_namespace;
    uint32_t attempt;
    pid_t pid;             // of the infra process; 0 when it is gone
    bool ready;            // the infra process lives
    Str network_namespace; // bind-mounted path, "" with host_network
    Str cgroup;            // the pod's
    Str log_directory;
    int64_t created_at; // Unix ns
} Sandbox;

typedef enum MountPropagation {
    PROPAGATION_PRIVATE,
    PROPAGATION_HOST_TO_CONTAINER,
    PROPAGATION_BIDIRECTIONAL,
} MountPropagation;

// /proc, /dev, /dev/pts, /dev/shm, /dev/mqueue, /sys and /sys/fs/cgroup come by themselves; a mount
// on one of these targets replaces it. /etc/hosts, /etc/hostname and /etc/resolv.conf are the
// caller's.
typedef struct ContainerMount {
    Str source, target; // absolute host path, absolute path in the container
    bool read_only, recursive_read_only, no_exec;
    MountPropagation propagation;
} ContainerMount;

typedef struct ContainerResources { // 0: not set
    uint64_t cpu_shares;
    int64_t cpu_quota, cpu_period; // microseconds
    int64_t memory_limit;          // bytes
    int64_t pids_limit;
    int oom_score_adj; // not set below what our own process has when we may not lower it
    bool oom_score_adj_set;
} ContainerResources;

typedef struct ContainerSpec {
    Str sandbox_id;
    Str name;          // the container's name in the pod
    uint32_t attempt;  // restart count: names log N.log
    const Str *layers; // directories of the image, lowest first (read-only, shared)
    size_t n_layers;
    const Str *argv;
    size_t n_argv;
    const RuntimePair *env; // PATH and HOME are added when absent
    size_t n_env;
    Str working_directory; // made when absent, as every runtime does; "" is "/"
    // uid and gid < 0: not given. Then `user` ("name", "uid", "name:group", ...; "" is root) is
    // looked up in the image's /etc/passwd and /etc/group; gid without a number there is 0.
    int64_t uid, gid;
    Str user;
    const int64_t *supplemental_groups; // beside those that the image's /etc/group gives
    size_t n_supplemental_groups;
    bool strict_supplemental_groups; // none from /etc/group (supplementalGroupsPolicy: Strict)
    const ContainerMount *mounts;
    size_t n_mounts;
    ContainerResources resources;
    Str log_path;    // absolute; CRI format, written by conmon
    int stop_signal; // 0: SIGTERM
    bool tty, stdin_open, stdin_once;
    bool privileged, read_only_root, no_new_privileges;
    const Str *capabilities_add, *capabilities_drop; // with or without "CAP_"; "ALL"
    size_t n_capabilities_add, n_capabilities_drop;
    Str seccomp; // "", "RuntimeDefault", "Unconfined" or "Localhost/PATH"
    const Str *masked_paths, *read_only_paths; // NULL: the defaults
    size_t n_masked_paths, n_read_only_paths;  // 0 with a pointer: none (procMount: Unmasked)
    bool share_process_namespace;              // join the sandbox's pid namespace
    Str target_container_id;                   // ephemeral containers: join that one's
    Str termination_message_host_path;         // bind-mounted file, made by the caller
    Str termination_message_path;              // in the container
} ContainerSpec;

typedef enum RuntimeContainerState {
    CONTAINER_CREATED,
    CONTAINER_RUNNING,
    CONTAINER_EXITED,
} RuntimeContainerState;

typedef struct RuntimeContainer {
    Str id, sandbox_id, pod_uid, name;
    uint32_t attempt;
    RuntimeContainerState state;
    pid_t pid;     // 0 once it has exited
    int exit_code; // 128 + signal when killed; 137 when nobody saw it end
    bool oom_killed;
    int64_t created_at, started_at, finished_at; // Unix ns, 0: not yet
    Str log_path;
    Str cgroup; // its own, below the pod's
} RuntimeContainer;

// error: 0 or negative errno (-ENOENT: no such container or sandbox); `message` is for events and
// conditions, as the program below put it.
typedef void (*RuntimeDone)(void *user, int error, Str message);
typedef void (*SandboxDone)(void *user, int error, Str message, const Sandbox *sandbox);
typedef void (*ContainerDone)(void *user, int error, Str message,
                              const RuntimeContainer *container);
typedef void (*ExecDone)(void *user, int error, Str message, int exit_code);
// error -ETIMEDOUT: killed, with the output so far.
typedef void (*ExecSyncDone)(void *user, int error, int exit_code, Str output);

typedef struct RuntimeEvents {
    void (*on_container_exit)(void *user, const RuntimeContainer *container);
    void (*on_sandbox_exit)(void *user, const Sandbox *sandbox); // the infra process died
} RuntimeEvents;

typedef struct ExecSpec {
    Str container_id;
    const Str *argv;
    size_t n_argv;
    bool tty;
    // Ends to copy from and to; NULL: /dev/null. With a tty only stdin and stdout are used. Taken
    // over, and closed before `done` comes.
    Stream *stdin_stream, *stdout_stream, *stderr_stream;
} ExecSpec;
typedef struct RuntimeExec RuntimeExec; // one running exec, valid until `done`

typedef struct RuntimeOps {
    void (*run_sandbox)(Runtime *runtime, const SandboxSpec *spec, SandboxDone done, void *user);
    // Kills the infra process and what is left in the sandbox; no on_sandbox_exit for that.
    void (*stop_sandbox)(Runtime *runtime, Str id, RuntimeDone done, void *user);
    void (*remove_sandbox)(Runtime *runtime, Str id, RuntimeDone done,
                           void *user); // and containers
    void (*create_container)(Runtime *runtime, const ContainerSpec *spec, ContainerDone done,
                             void *user);
    void (*start_container)(Runtime *runtime, Str id, RuntimeDone done, void *user);
    // Sends `signal` (0: the spec's), SIGKILL after `grace_ns` (0: at once); done when it has
    // exited, after on_container_exit. Fine when it has already exited. A second call with a
    // shorter grace takes over.
    void (*stop_container)(Runtime *runtime, Str id, int signal, int64_t grace_ns, RuntimeDone done,
                           void *user);
    void (*remove_container)(Runtime *runtime, Str id, RuntimeDone done, void *user);
    // Copies stdio until the process ends; `done` with its exit code, or error when it could not be
    // started.
    RuntimeExec *(*exec)(Runtime *runtime, const ExecSpec *spec, ExecDone done, void *user);
    void (*exec_resize)(RuntimeExec *exec, uint16_t width, uint16_t height);
    void (*exec_cancel)(RuntimeExec *exec); // SIGKILL, no callback
    // For probes and hooks: output (both streams mixed, at most `max_output`) collected; killed
    // after `timeout_ns` (0: never).
    void (*exec_sync)(Runtime *runtime, Str container_id, const Str *argv, size_t n_argv,
                      int64_t timeout_ns, size_t max_output, ExecSyncDone done, void *user);
    // The container's own stdio. Streams are taken over; `done` when the container ended or the
    // client left.
    void (*attach)(Runtime *runtime, Str id, Stream *stdin_stream, Stream *stdout_stream,
                   Stream *stderr_stream, RuntimeDone done, void *user);
    void (*attach_resize)(Runtime *runtime, Str id, uint16_t width, uint16_t height);
    void (*reopen_log)(Runtime *runtime, Str id); // after rotation
    // Rebuilds the picture after a start. With `done` the visitors below are complete, and what
    // ended while we were away is told (before `done`). Call once, before anything else.
    void (*recover)(Runtime *runtime, RuntimeDone done, void *user);
    void (*each_sandbox)(Runtime *runtime, void (*visit)(void *user, const Sandbox *sandbox),
                         void *visit_user);
    void (*each_container)(Runtime *runtime,
                           void (*visit)(void *user, const RuntimeContainer *container),
                           void *visit_user);
    Str (*name)(Runtime *runtime);    // "crun"
    Str (*version)(Runtime *runtime); // "1.8.1", known after recover()
    void (*free)(Runtime *runtime);   // containers go on; pending callbacks are dropped
} RuntimeOps;

struct Runtime { // first member of every implementation
    const RuntimeOps *ops;
    Loop *loop;
    const RuntimeEvents *events; // may be NULL
    void *events_user;
};

typedef struct CrunConfig {
    Loop *loop;
    // DATA_DIR/run: records and writable layers (after a reboot garbage that recover() removes).
    const char *state_directory;
    // /run/seapod/INSTANCE: namespaces, bundles, sockets, overlay mounts.
    const char *run_directory;
    const char *crun, *conmon, *pause; // programs; NULL: found in PATH / beside our own binary
    int64_t create_timeout_ns; // how long crun may take to create a container; 0: two minutes
    bool observe; // recover() only reads: for `seapod ps` beside a running server
} CrunConfig;
// Returns 0 or negative errno with *ret_message ("crun not found: apt install crun"), malloc'ed.
int runtime_crun_new(const CrunConfig *config, Runtime **ret, char **ret_message)
    __attribute__((warn_unused_result));
// Kills and removes every sandbox and container that the records or mounts below these directories
// tell of, unmounts, removes both directories and every group below `cgroup_parent` ("/seapod";
// NULL: only the groups that records name). For `seapod cleanup`: blocks, needs no loop and no
// crun. Returns 0 or the first negative errno with *ret_message (malloc'ed); goes on after errors.
int runtime_crun_cleanup(const CrunConfig *config, const char *cgroup_parent, char **ret_message)
    __attribute__((warn_unused_result));
// Containers run until told otherwise; see fake.h for the controls.
Runtime *runtime_fake_new(Loop *loop);
