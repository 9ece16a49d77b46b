#pragma once
// What runs sandboxes and containers: crun under conmon (crun.c), or nothing real (fake.c, for tests and simulation).
// Everything that takes time ends in a callback on the loop, never from inside the call. Ids are ours:
// 64 hex digits. The state of the world is on disk and in the kernel, so it survives our process: after a restart
// runtime_recover() finds again what runs.

#include "base/arena.h"
#include "base/loop.h"
#include "base/stream.h"

typedef struct Runtime Runtime;

typedef struct RuntimePair { Str name, value; } RuntimePair;

typedef struct SandboxSpec {
    Str pod_uid, pod_name, pod_namespace;
    Str hostname;             // of the UTS namespace
    Str cgroup;               // path of the pod's cgroup below each hierarchy, made by the caller ("/seapod/.../podUID")
    Str log_directory;        // /var/log/pods/NAMESPACE_NAME_UID
    bool host_network, host_pid, host_ipc;
    const RuntimePair *sysctls; size_t n_sysctls;
} SandboxSpec;

typedef struct Sandbox {
    Str id;
    Str pod_uid, pod_name, pod_namespace;
    pid_t pid;            // of the infra process; 0 when it is gone
    bool ready;           // the infra process lives
    Str network_namespace; // bind-mounted path, "" with host_network
    int64_t created_at;   // Unix ns
} Sandbox;

typedef struct ContainerMount {
    Str source, target;   // absolute host path, absolute path in the container
    bool read_only, recursive_read_only;
    enum { PROPAGATION_PRIVATE, PROPAGATION_HOST_TO_CONTAINER, PROPAGATION_BIDIRECTIONAL } propagation;
} ContainerMount;

typedef struct ContainerResources { // 0: not set
    uint64_t cpu_shares;
    int64_t cpu_quota, cpu_period; // microseconds
    int64_t memory_limit;          // bytes
    int64_t pids_limit;
    int oom_score_adj; bool oom_score_adj_set;
} ContainerResources;

typedef struct ContainerSpec {
    Str sandbox_id;
    Str name;             // the container's name in the pod
    uint32_t attempt;     // restart count: names log N.log
    const Str *layers; size_t n_layers; // directories of the image, lowest first (read-only, shared)
    const Str *argv; size_t n_argv;
    const RuntimePair *env; size_t n_env;
    Str working_directory;
    int64_t uid, gid;     // resolved by the caller or by `user` against the image's /etc/passwd
    Str user;             // "name", "uid", "name:group"; used when uid < 0
    const int64_t *supplemental_groups; size_t n_supplemental_groups;
    const ContainerMount *mounts; size_t n_mounts;
    ContainerResources resources;
    Str log_path;         // absolute; CRI format, written by conmon
    bool tty, stdin_open, stdin_once;
    bool privileged, read_only_root, no_new_privileges;
    const Str *capabilities_add, *capabilities_drop; size_t n_capabilities_add, n_capabilities_drop;
    Str seccomp;          // "", "RuntimeDefault", "Unconfined" or "Localhost/PATH"
    const Str *masked_paths, *read_only_paths; // NULL: the defaults
    size_t n_masked_paths, n_read_only_paths;
    bool share_process_namespace; // join the sandbox's pid namespace
    Str target_container_id;      // ephemeral containers: join that one's pid namespace
    Str termination_message_host_path, termination_message_path; // bind-mounted file
} ContainerSpec;

typedef enum ContainerState { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED } ContainerState;

typedef struct Container {
    Str id, sandbox_id, pod_uid, name;
    uint32_t attempt;
    ContainerState state;
    pid_t pid;
    int exit_code;       // 128 + signal when killed
    bool oom_killed;
    int64_t created_at, started_at, finished_at; // Unix ns, 0: not yet
    Str log_path;
} Container;

// error: 0 or negative errno; `message` is for events and conditions, as the program below put it.
typedef void (*RuntimeDone)(void *user, int error, Str message);

typedef struct RuntimeEvents {
    void (*on_container_exit)(void *user, const Container *container);
    void (*on_sandbox_exit)(void *user, const Sandbox *sandbox); // the infra process died
} RuntimeEvents;

typedef struct ExecSpec {
    Str container_id;
    const Str *argv; size_t n_argv;
    bool tty;
    // Ends to copy from and to; NULL: /dev/null. With a tty only stdin and stdout are used. Taken over.
    Stream *stdin_stream, *stdout_stream, *stderr_stream;
} ExecSpec;
typedef struct RuntimeExec RuntimeExec; // one running exec

typedef struct RuntimeOps {
    void (*run_sandbox)(Runtime *runtime, const SandboxSpec *spec,
                        void (*done)(void *user, int error, Str message, const Sandbox *sandbox), void *user);
    void (*stop_sandbox)(Runtime *runtime, Str id, RuntimeDone done, void *user);   // kills what is left in it
    void (*remove_sandbox)(Runtime *runtime, Str id, RuntimeDone done, void *user); // and its containers
    void (*create_container)(Runtime *runtime, const ContainerSpec *spec,
                             void (*done)(void *user, int error, Str message, const Container *container), void *user);
    void (*start_container)(Runtime *runtime, Str id, RuntimeDone done, void *user);
    // Sends the image's or spec's stop signal (0: SIGTERM), SIGKILL after `grace_ns`; done when it has exited.
    void (*stop_container)(Runtime *runtime, Str id, int signal, int64_t grace_ns, RuntimeDone done, void *user);
    void (*remove_container)(Runtime *runtime, Str id, RuntimeDone done, void *user);
    // Copies stdio until the process ends; `done` with its exit code, or error when it could not be started.
    RuntimeExec *(*exec)(Runtime *runtime, const ExecSpec *spec,
                         void (*done)(void *user, int error, Str message, int exit_code), void *user);
    void (*exec_resize)(RuntimeExec *exec, uint16_t width, uint16_t height);
    void (*exec_cancel)(RuntimeExec *exec); // SIGKILL, no callback
    // For probes and hooks: output (both streams mixed, at most `max_output`) collected; -ETIMEDOUT kills it.
    void (*exec_sync)(Runtime *runtime, Str container_id, const Str *argv, size_t n_argv, int64_t timeout_ns, size_t max_output,
                      void (*done)(void *user, int error, int exit_code, Str output), void *user);
    // The container's own stdio. Streams are taken over; `done` when the container ended or the client left.
    void (*attach)(Runtime *runtime, Str id, Stream *stdin_stream, Stream *stdout_stream, Stream *stderr_stream,
                   RuntimeDone done, void *user);
    void (*attach_resize)(Runtime *runtime, Str id, uint16_t width, uint16_t height);
    void (*reopen_log)(Runtime *runtime, Str id); // after rotation
    // Rebuilds the picture after a start; then the visitors below are complete, and exits that happened meanwhile are told.
    void (*recover)(Runtime *runtime, RuntimeDone done, void *user);
    void (*each_sandbox)(Runtime *runtime, void (*visit)(void *user, const Sandbox *sandbox), void *visit_user);
    void (*each_container)(Runtime *runtime, void (*visit)(void *user, const Container *container), void *visit_user);
    Str (*name)(Runtime *runtime);    // "crun"
    Str (*version)(Runtime *runtime); // "1.8.1"
    void (*free)(Runtime *runtime);   // containers go on
} RuntimeOps;

struct Runtime { // first member of every implementation
    const RuntimeOps *ops;
    Loop *loop;
    const RuntimeEvents *events;
    void *events_user;
};

typedef struct CrunConfig {
    Loop *loop;
    const char *state_directory; // DATA_DIR/run: bundles, records (survive a reboot as garbage that recover() removes)
    const char *run_directory;   // /run/seapod/INSTANCE: namespaces, sockets, overlay mounts
    const char *crun, *conmon, *pause; // programs; NULL: found in PATH / beside our own binary
} CrunConfig;
// Returns 0 or negative errno with *ret_message ("crun not found: apt install crun"), malloc'ed.
int runtime_crun_new(const CrunConfig *config, Runtime **ret, char **ret_message) __attribute__((warn_unused_result));
Runtime *runtime_fake_new(Loop *loop); // containers run until told otherwise; see fake.h for the controls
