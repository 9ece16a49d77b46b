#pragma once
// What every cluster has: the namespaces, RBAC's default roles and bindings, priority classes,
// the `kubernetes` service. Made through the same road as every other request, as system:apiserver;
// only what is missing or incomplete is written.

#include "api/server.h"

void bootstrap_start(Api *api, void (*done)(Api *api, int error));
void bootstrap_stop(Api *api);

// The default policy, as data (kube-apiserver's plugin/pkg/auth/authorizer/rbac/bootstrappolicy).
// Lists are separated by commas; "" is the core group.
typedef struct BootstrapRule {
    const char *verbs, *groups, *resources, *names, *urls; // NULL: none
    // Of an entry that begins a role instead of being a rule of one:
    const char *role;
    const char *namespace_; // NULL: a ClusterRole
    const char *feeds;      // "view": labelled aggregate-to-view
    const char *collects;   // "view": aggregates what is labelled aggregate-to-view
} BootstrapRule;
typedef struct BootstrapRole {
    const char *name, *namespace_, *feeds, *collects;
    const BootstrapRule *rules;
    size_t n_rules;
} BootstrapRole;
bool bootstrap_role_next(BootstrapRole *role); // begins with zeros; false past the last

typedef struct BootstrapBinding {
    const char *name, *role;
    const char *namespace_; // of a RoleBinding to a Role there; NULL: a ClusterRoleBinding
    const char *subjects;   // "KIND/NAME,..."; service accounts are those of kube-system
} BootstrapBinding;
const BootstrapBinding *bootstrap_binding_at(size_t index); // NULL past the end

// Other cluster-wide objects; the name is set on what the JSON says.
typedef struct WellKnownObject {
    const char *cache, *path; // "scheduling.k8s.io/priorityclasses" and the collection's URL
    const char *name, *json;
} WellKnownObject;
const WellKnownObject *bootstrap_well_known_at(size_t index); // NULL past the end
const WellKnownObject *bootstrap_flow_at(size_t index);       // the last of these
