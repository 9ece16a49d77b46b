#pragma once
// The OCI configuration of a container, as a CRI runtime would write it for the same pod.
// https://github.com/opencontainers/runtime-spec (config.md, config-linux.md)

#include "base/buf.h"
#include "node/image_user.h"
#include "node/runtime.h"

// What this machine allows; gathered once.
typedef struct OciHost {
    int cgroup_version;
    uint64_t capabilities;   // our own bounding set
    int oom_score_adj_floor; // -1000, or our own value when we may not lower it
} OciHost;
void oci_host_init(OciHost *host, int cgroup_version);

typedef struct OciInput {
    const OciHost *host;
    const ContainerSpec *spec;
    const ImageUser *user;
    Str root;     // the mounted root file system
    Str hostname; // for $HOSTNAME
    Str cgroup;   // the container's own
    Str shm;      // what becomes /dev/shm
    // Namespaces to join; "" is the host's. `pid_namespace` STR_NONE makes a new one.
    Str network_namespace, ipc_namespace, uts_namespace, pid_namespace;
    Str seccomp; // a profile in OCI form for "Localhost/...", else ignored
} OciInput;

// config.json. Returns 0, or -EINVAL with *ret_message (an unknown capability, ...).
int oci_spec_write(Arena *arena, const OciInput *input, Buf *buf, Str *ret_message)
    __attribute__((warn_unused_result));
// The members of "process" that an exec shares with the container's first process, without braces.
int oci_process_write(Arena *arena, const OciInput *input, Buf *buf, Str *ret_message)
    __attribute__((warn_unused_result));

// The capabilities a container gets, bit N for capability N: containerd's default set changed by
// add and drop, within `allowed`. Returns 0, or -EINVAL with *ret_message.
int oci_capabilities(Arena *arena, const ContainerSpec *spec, uint64_t allowed, uint64_t *ret,
                     Str *ret_message) __attribute__((warn_unused_result));

// The RuntimeDefault profile as the value of linux.seccomp.
void oci_seccomp_default(Buf *buf, uint64_t capabilities);
