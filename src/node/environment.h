#pragma once
// What a container gets told: its environment, its command line with $(VAR) expanded, and the rest
// of its ContainerSpec.

#include "image/store.h"
#include "kinds/kinds.h"
#include "node/agent.h"
#include "node/runtime.h"
#include "node/volumes.h"

typedef struct EnvironmentRequest EnvironmentRequest;
// env and envFrom in upstream's order and precedence, service variables included (services of the
// pod's namespace and kubernetes in default; enableServiceLinks), after the objects they refer to
// have been fetched. `done` comes later, once; `error` is 0 or negative errno, `message` then is
// what CreateContainerConfigError shows (`configmap "x" not found`, `couldn't find key k in
// ConfigMap default/x`). The pairs live in the request's arena until environment_free(). `pod` and
// `container` must stay until `done`.
EnvironmentRequest *
environment_new(NodeAgent *agent, const Pod *pod, const Container *container, Str pod_ip,
                void (*done)(void *user, int error, Str message, const RuntimePair *env, size_t n),
                void *user);
// After an error: `changed`, each time an object that the container refers to has changed.
void environment_watch(EnvironmentRequest *request, void (*changed)(void *user), void *user);
void environment_free(EnvironmentRequest *request); // cancels when not done

// "$(VAR)" and "$$" as Kubernetes expands them (third_party/forked/golang/expansion): unknown
// references stay as they are.
Str environment_expand(Arena *arena, Str text, const RuntimePair *env, size_t n);
// The same with any source of values; STR_NONE means unknown.
Str environment_expand_with(Arena *arena, Str text, Str (*value)(void *user, Str name), void *user);

// Everything else of a ContainerSpec that follows from pod, container and image: argv (command and
// args against the image's entry point and cmd), working directory, user and groups (runAsNonRoot
// is checked here), capabilities, seccomp, privileged, resources (CPU shares and quota, memory, oom
// score by QoS), tty and stdin, /etc/hosts, /etc/hostname, /etc/resolv.conf and the termination log
// as mounts. `files_directory`: DATA_DIR/pods/UID, for the files it writes. Mounts of volumes are
// appended by it through pod_volumes_mount(). Returns 0 or negative errno; *ret_reason
// ("CreateContainerConfigError", "CreateContainerError") and *ret_message then say why.
typedef struct ContainerInputs {
    const Pod *pod;
    const Container *container;
    const Image *image;
    const RuntimePair *env;
    size_t n_env;
    PodVolumes *volumes;
    Str sandbox_id, pod_ip, files_directory, log_path;
    uint32_t attempt;
} ContainerInputs;
int container_spec_build(NodeAgent *agent, Arena *arena, const ContainerInputs *inputs,
                         ContainerSpec *ret, Str *ret_reason, Str *ret_message)
    __attribute__((warn_unused_result));
// What the pod's sandbox needs besides its names: host namespaces, hostname (hostname, subdomain,
// setHostnameAsFQDN), sysctls.
int sandbox_spec_build(NodeAgent *agent, Arena *arena, const Pod *pod, SandboxSpec *ret,
                       Str *ret_message) __attribute__((warn_unused_result));
// The container's termination message (terminationMessagePath and policy, at most 4096 bytes),
// after it ended.
Str termination_message(Arena *arena, const Container *container, Str files_directory,
                        Str container_id, Str log_path, int exit_code);
