#pragma once
// Kubeconfig files: written for the administrator and for components that run as processes of their
// own, read by these.

#include "client/client.h"
#include "pki/pki.h"

// YAML of one cluster, one user with a client certificate, one context.
// https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
Str kubeconfig_write(Arena *arena, Str server, Str cluster_ca, const PkiPair *user, Str user_name);

// A client from a kubeconfig's current context (certificate or token, inline or in files). Returns
// 0 or negative errno with *ret_message, in the arena. `ret_ca` (may be NULL): the cluster's CA in
// PEM.
int kubeconfig_client(Arena *arena, Loop *loop, const char *path, Str user_agent, Client **ret,
                      Str *ret_ca, Str *ret_message) __attribute__((warn_unused_result));
