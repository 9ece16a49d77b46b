#pragma once
// The volumes of pods: made before the pod's containers, kept up to date while it runs, removed
// after it. Under DATA_DIR/pods/UID/volumes/KIND/NAME, as a kubelet lays them out. Content that can
// change (configMap, secret, downwardAPI, projected, service account tokens) is replaced whole by a
// symlink swap (..data), so that a container never sees half of it.

#include "kinds/kinds.h"
#include "node/agent.h"
#include "node/runtime.h"

typedef struct PodVolumes PodVolumes;

// Begins to set up every volume of the pod. `changed(user)` comes, later, whenever
// pod_volumes_ready() may answer differently. A failure is tried again by itself (with backoff, or
// when the missing object appears) and told as event FailedMount in upstream's words
// (`MountVolume.SetUp failed for volume "x" : configmap "y" not found`). `pod` is read during the
// call only.
PodVolumes *pod_volumes_new(NodeAgent *agent, const Pod *pod, void (*changed)(void *user),
                            void *user);
// The pod's metadata changed: downward API files follow.
void pod_volumes_update(PodVolumes *volumes, const Pod *pod);
// True once every volume is there. Else *ret_message says what is missing.
bool pod_volumes_ready(const PodVolumes *volumes, Str *ret_message);
// One volumeMount of a container as a bind mount: subPath and subPathExpr resolved (safely: no link
// leads outside the volume), made when missing. `env` is for subPathExpr. A source with a subPath
// is mounted until `arena` is freed: the container must have been created by then. Returns 0 or
// negative errno with *ret_message for a CreateContainerConfigError.
int pod_volumes_mount(PodVolumes *volumes, Arena *arena, Str container, const VolumeMount *mount,
                      const RuntimePair *env, size_t n_env, ContainerMount *ret, Str *ret_message)
    __attribute__((warn_unused_result));
// Stops following changes and removes everything of the pod's volumes from the host (what is
// mounted is unmounted first; a hostPath's content is not touched). Frees `volumes` at once; `done`
// (may be NULL) when the host is clean. The removal itself goes on, off the loop, whatever becomes
// of the caller.
void pod_volumes_free(PodVolumes *volumes, void (*done)(void *user), void *user);
// Stops following changes and leaves the host as it is: our process ends, the pod goes on.
void pod_volumes_detach(PodVolumes *volumes);
// Removes directories and control groups of pods that `agent->pods` does not know, with what is
// mounted in them: they were deleted while no agent ran. Once, after the pods were listed; returns
// at once.
void pod_volumes_sweep(NodeAgent *agent);
