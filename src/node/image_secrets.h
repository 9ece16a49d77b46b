#pragma once
// What a pod's imagePullSecrets hold: credentials for registries, in the forms
// kubernetes.io/dockerconfigjson and kubernetes.io/dockercfg.
// https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/

#include "kinds/kinds.h"
#include "node/agent.h"

typedef struct ImageSecrets ImageSecrets;

// Fetches them; `done` comes later, once. A missing secret, or one of another form, is no error:
// the pull is tried without it. `pod` is read during the call only.
ImageSecrets *image_secrets_new(NodeAgent *agent, const Pod *pod, void (*done)(void *user),
                                void *user);
void image_secrets_free(ImageSecrets *secrets); // no callback any more; NULL is fine
// After `done`; all live as long as `secrets`. A text is a file as `seapod-image --creds-file`
// takes it.
size_t image_secrets_texts(const ImageSecrets *secrets, const Str **ret);
Str image_secrets_missing(
    const ImageSecrets *secrets); // names of what could not be used, "a, b"; empty: none
bool image_secrets_equal(const ImageSecrets *a, const ImageSecrets *b); // NULL stands for none
