#pragma once
// The controllers: each its own file and its own reconcile, all over one set of shared informers.
// They write as service accounts of their own where the API server runs in this process, else as
// the one identity of their kubeconfig.

#include "client/client.h"

typedef struct Controllers Controllers;
typedef struct ControllersConfig {
    Loop *loop;
    // A client for controller NAME ("namespace-controller"), as
    // system:serviceaccount:kube-system:NAME; an empty
    // name: as system:kube-controller-manager, for the shared informers. The caller frees them.
    Client *(*client)(void *user, Str name);
    void *user;
    Str selection;  // "*", "*,-job": which run; empty: all
    Str cluster_ca; // PEM, published as kube-root-ca.crt
    // PEM keys; where one is empty, the controllers that need it do nothing.
    Str cluster_ca_key;      // signs certificates
    Str service_account_key; // signs the tokens that are kept in Secrets
} ControllersConfig;
// Returns NULL with *ret_message (static text or malloc'ed) when the selection names a controller
// that does not exist.
Controllers *controllers_new(const ControllersConfig *config, char **ret_message);
// Requests may still be under way: free the clients next, before the loop runs again.
void controllers_free(Controllers *controllers);
