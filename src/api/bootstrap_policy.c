// The default roles and bindings as data. Rules of API groups that Seapod does not serve yet are
// there, too: they cost a few bytes, and a role that grew with a release would have to be
// reconciled with what people made of it.

#include "api/bootstrap.h"

#define R "get,list,watch"
#define W "create,delete,deletecollection,patch,update"
#define RW "create,delete,deletecollection,get,list,patch,update,watch"
#define RULES(list) .rules = list, .n_rules = sizeof list / sizeof *list
#define RES(verbs_, groups_, resources_)                                                           \
    { .verbs = verbs_, .groups = groups_, .resources = resources_ }
#define NAMED(verbs_, groups_, resources_, names_)                                                 \
    { .verbs = verbs_, .groups = groups_, .resources = resources_, .names = names_ }
#define URLS(urls_)                                                                                \
    { .verbs = "get", .urls = urls_ }
#define EVENTS RES("create,patch,update", ",events.k8s.io", "events")

static const BootstrapRule cluster_admin[] = {RES("*", "*", "*"), {.verbs = "*", .urls = "*"}};
static const BootstrapRule aggregate_to_admin[] = {
    RES("create", "authorization.k8s.io", "localsubjectaccessreviews"),
    RES(RW, "rbac.authorization.k8s.io", "rolebindings,roles"),
};
static const BootstrapRule aggregate_to_edit[] = {
    RES(R, "", "pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy"),
    RES("impersonate", "", "serviceaccounts"),
    RES(W, "", "pods,pods/attach,pods/exec,pods/portforward,pods/proxy"),
    RES("create", "", "pods/eviction"),
    RES(W, "",
        "configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/"
        "scale,secrets,"
        "serviceaccounts,services,services/proxy"),
    RES("create", "", "serviceaccounts/token"),
    RES(W, "apps",
        "daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/"
        "scale,statefulsets,"
        "statefulsets/scale"),
    RES(W, "autoscaling", "horizontalpodautoscalers"),
    RES(W, "batch", "cronjobs,jobs"),
    RES(W, "policy", "poddisruptionbudgets"),
    RES(W, "networking.k8s.io", "ingresses,networkpolicies"),
    RES(RW, "coordination.k8s.io", "leases"),
    RES(W, "resource.k8s.io", "resourceclaims,resourceclaimtemplates"),
    RES(RW, "settings.k8s.io", "podpresets"),
};
static const BootstrapRule aggregate_to_view[] = {
    RES(R, "",
        "configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/"
        "status,pods,replicationcontrollers,"
        "replicationcontrollers/scale,serviceaccounts,services,services/status"),
    RES(R, "",
        "bindings,events,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/"
        "status,"
        "resourcequotas,resourcequotas/status"),
    RES(R, "", "namespaces"),
    RES(R, "discovery.k8s.io", "endpointslices"),
    RES(R, "apps",
        "controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/"
        "scale,deployments/status,"
        "replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/"
        "scale,statefulsets/status"),
    RES(R, "autoscaling", "horizontalpodautoscalers,horizontalpodautoscalers/status"),
    RES(R, "batch", "cronjobs,cronjobs/status,jobs,jobs/status"),
    RES(R, "policy", "poddisruptionbudgets,poddisruptionbudgets/status"),
    RES(R, "networking.k8s.io", "ingresses,ingresses/status,networkpolicies"),
    RES(R, "resource.k8s.io", "resourceclaims,resourceclaims/status,resourceclaimtemplates"),
    RES(R, "settings.k8s.io", "podpresets"),
};
static const BootstrapRule discovery[] = {URLS(
    "/api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/")};
static const BootstrapRule basic_user[] = {
    RES("create", "authorization.k8s.io", "selfsubjectaccessreviews,selfsubjectrulesreviews"),
    RES("create", "authentication.k8s.io", "selfsubjectreviews"),
};
static const BootstrapRule public_info[] = {URLS("/healthz,/livez,/readyz,/version,/version/")};
static const BootstrapRule monitoring[] = {
    URLS("/healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*")};
static const BootstrapRule issuer_discovery[] = {
    URLS("/.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/"
         "openid/v1/jwks/")};
static const BootstrapRule auth_delegator[] = {
    RES("create", "authentication.k8s.io", "tokenreviews"),
    RES("create", "authorization.k8s.io", "subjectaccessreviews"),
};
static const BootstrapRule kube_controller_manager[] = {
    EVENTS,
    RES("create", "coordination.k8s.io", "leases"),
    NAMED("get,update", "coordination.k8s.io", "leases", "kube-controller-manager"),
    RES("create", "", "secrets,serviceaccounts"),
    RES("delete", "", "secrets"),
    RES("get", "", "configmaps,namespaces,secrets,serviceaccounts"),
    RES("update", "", "secrets,serviceaccounts"),
    RES("create", "authentication.k8s.io", "tokenreviews"),
    RES("create", "authorization.k8s.io", "subjectaccessreviews"),
    RES("list,watch", "*", "*"),
    RES("create", "", "serviceaccounts/token"),
};
static const BootstrapRule kube_dns[] = {RES("list,watch", "", "endpoints,services")};
static const BootstrapRule kube_scheduler[] = {
    EVENTS,
    RES("create", "coordination.k8s.io", "leases"),
    NAMED("get,list,update,watch", "coordination.k8s.io", "leases", "kube-scheduler"),
    RES(R, "", "nodes"),
    RES("delete,get,list,watch", "", "pods"),
    RES("create", "", "bindings,pods/binding"),
    RES("patch,update", "", "pods/status"),
    RES(R, "", "replicationcontrollers,services"),
    RES(R, "apps,extensions", "replicasets"),
    RES(R, "apps", "statefulsets"),
    RES(R, "policy", "poddisruptionbudgets"),
    RES(R, "", "persistentvolumeclaims,persistentvolumes"),
    RES("create", "authentication.k8s.io", "tokenreviews"),
    RES("create", "authorization.k8s.io", "subjectaccessreviews"),
    RES(R, "storage.k8s.io", "csidrivers,csinodes,csistoragecapacities,volumeattachments"),
    RES(R, "", "namespaces"),
};
static const BootstrapRule kubelet_api_admin[] = {
    RES(R, "", "nodes"),
    RES("proxy", "", "nodes"),
    RES("*", "",
        "nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods,nodes/proxy,nodes/stats"),
};
static const BootstrapRule node[] = {
    RES("create", "authentication.k8s.io", "tokenreviews"),
    RES("create", "authorization.k8s.io", "localsubjectaccessreviews,subjectaccessreviews"),
    RES(R, "", "services"),
    RES("create,get,list,watch", "", "nodes"),
    RES("patch,update", "", "nodes/status"),
    RES("patch,update", "", "nodes"),
    EVENTS,
    RES(R, "", "pods"),
    RES("create,delete", "", "pods"),
    RES("patch,update", "", "pods/status"),
    RES("create", "", "pods/eviction"),
    RES(R, "", "configmaps,secrets"),
    RES("get", "", "persistentvolumeclaims,persistentvolumes"),
    RES("get", "", "endpoints"),
    RES("create,get,list,watch", "certificates.k8s.io", "certificatesigningrequests"),
    RES("create,delete,get,patch,update", "coordination.k8s.io", "leases"),
    RES("get", "storage.k8s.io", "volumeattachments"),
    RES("create", "", "serviceaccounts/token"),
    RES("get,patch,update", "", "persistentvolumeclaims/status"),
    RES(R, "storage.k8s.io", "csidrivers"),
    RES("create,delete,get,patch,update", "storage.k8s.io", "csinodes"),
    RES(R, "node.k8s.io", "runtimeclasses"),
    RES("get", "", "serviceaccounts"),
};
static const BootstrapRule node_bootstrapper[] = {
    RES("create,get,list,watch", "certificates.k8s.io", "certificatesigningrequests")};
static const BootstrapRule node_proxier[] = {
    RES("list,watch", "", "endpoints,services"),
    RES(R, "", "nodes"),
    EVENTS,
    RES("list,watch", "networking.k8s.io", "servicecidrs"),
    RES("list,watch", "discovery.k8s.io", "endpointslices"),
};
static const BootstrapRule client_certificates[] = {
    RES("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")};
static const BootstrapRule own_client_certificates[] = {
    RES("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")};

// Controllers, each under a service account of its own.
static const BootstrapRule namespace_controller[] = {
    RES("delete,get,list,watch", "", "namespaces"),
    RES("update", "", "namespaces/finalize,namespaces/status"),
    RES("delete,deletecollection,get,list,watch", "*", "*"),
};
static const BootstrapRule service_account_controller[] = {RES("create", "", "serviceaccounts"),
                                                           EVENTS};
static const BootstrapRule root_ca_publisher[] = {RES("create,patch,update", "", "configmaps"),
                                                  EVENTS};
static const BootstrapRule node_controller[] = {
    RES("delete,get,list,patch,update", "", "nodes"),
    RES("patch,update", "", "nodes/status"),
    RES("patch,update", "", "pods/status"),
    RES("delete,list", "", "pods"),
    EVENTS,
    RES("get", "", "pods"),
};
static const BootstrapRule aggregation_controller[] = {
    RES("escalate,get,list,patch,update,watch", "rbac.authorization.k8s.io", "clusterroles"),
    EVENTS};
static const BootstrapRule pod_garbage_collector[] = {
    RES("delete,list,watch", "", "pods"),
    RES("get,list", "", "nodes"),
    RES("patch", "", "pods/status"),
};
static const BootstrapRule generic_garbage_collector[] = {
    RES("delete,get,list,patch,update,watch", "*", "*"), EVENTS};
static const BootstrapRule endpoint_controller[] = {
    RES(R, "", "pods,services"),
    RES("create,delete,get,list,update", "", "endpoints"),
    RES("create", "", "endpoints/restricted"),
    EVENTS,
};
static const BootstrapRule leader_reader[] = {
    NAMED("get,update", "", "configmaps", "kube-scheduler,kube-controller-manager"),
    RES(R, "", "configmaps")};
static const BootstrapRule authentication_reader[] = {
    NAMED(R, "", "configmaps", "extension-apiserver-authentication")};

static const BootstrapRole roles[] = {
    {.name = "cluster-admin", RULES(cluster_admin)},
    {.name = "admin", .collects = "admin"},
    {.name = "edit", .collects = "edit", .feeds = "admin"},
    {.name = "view", .collects = "view", .feeds = "edit"},
    {.name = "system:aggregate-to-admin", .feeds = "admin", RULES(aggregate_to_admin)},
    {.name = "system:aggregate-to-edit", .feeds = "edit", RULES(aggregate_to_edit)},
    {.name = "system:aggregate-to-view", .feeds = "view", RULES(aggregate_to_view)},
    {.name = "system:discovery", RULES(discovery)},
    {.name = "system:basic-user", RULES(basic_user)},
    {.name = "system:public-info-viewer", RULES(public_info)},
    {.name = "system:monitoring", RULES(monitoring)},
    {.name = "system:service-account-issuer-discovery", RULES(issuer_discovery)},
    {.name = "system:auth-delegator", RULES(auth_delegator)},
    {.name = "system:kube-controller-manager", RULES(kube_controller_manager)},
    {.name = "system:kube-dns", RULES(kube_dns)},
    {.name = "system:kube-scheduler", RULES(kube_scheduler)},
    {.name = "system:kubelet-api-admin", RULES(kubelet_api_admin)},
    {.name = "system:node", RULES(node)},
    {.name = "system:node-bootstrapper", RULES(node_bootstrapper)},
    {.name = "system:node-proxier", RULES(node_proxier)},
    {.name = "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
     RULES(client_certificates)},
    {.name = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
     RULES(own_client_certificates)},
    {.name = "system:controller:namespace-controller", RULES(namespace_controller)},
    {.name = "system:controller:service-account-controller", RULES(service_account_controller)},
    {.name = "system:controller:root-ca-cert-publisher", RULES(root_ca_publisher)},
    {.name = "system:controller:node-controller", RULES(node_controller)},
    {.name = "system:controller:clusterrole-aggregation-controller", RULES(aggregation_controller)},
    {.name = "system:controller:pod-garbage-collector", RULES(pod_garbage_collector)},
    {.name = "system:controller:generic-garbage-collector", RULES(generic_garbage_collector)},
    {.name = "system:controller:endpoint-controller", RULES(endpoint_controller)},
    {.name = "extension-apiserver-authentication-reader",
     .namespace_ = "kube-system",
     RULES(authentication_reader)},
    {.name = "system::leader-locking", .namespace_ = "kube-system", RULES(leader_reader)},
};

#define ALL_USERS "system:authenticated,system:unauthenticated"
#define CONTROLLER(account)                                                                        \
    {                                                                                              \
        .name = "system:controller:" account, .role = "system:controller:" account,                \
        .kind = "ServiceAccount", .subjects = account                                              \
    }
static const BootstrapBinding bindings[] = {
    {.name = "cluster-admin",
     .role = "cluster-admin",
     .kind = "Group",
     .subjects = "system:masters"},
    {.name = "system:monitoring",
     .role = "system:monitoring",
     .kind = "Group",
     .subjects = "system:monitoring"},
    {.name = "system:discovery",
     .role = "system:discovery",
     .kind = "Group",
     .subjects = "system:authenticated"},
    {.name = "system:basic-user",
     .role = "system:basic-user",
     .kind = "Group",
     .subjects = "system:authenticated"},
    {.name = "system:public-info-viewer",
     .role = "system:public-info-viewer",
     .kind = "Group",
     .subjects = ALL_USERS},
    {.name = "system:service-account-issuer-discovery",
     .role = "system:service-account-issuer-discovery",
     .kind = "Group",
     .subjects = "system:serviceaccounts"},
    {.name = "system:kube-controller-manager",
     .role = "system:kube-controller-manager",
     .kind = "User",
     .subjects = "system:kube-controller-manager"},
    {.name = "system:kube-dns",
     .role = "system:kube-dns",
     .kind = "ServiceAccount",
     .subjects = "kube-dns"},
    {.name = "system:kube-scheduler",
     .role = "system:kube-scheduler",
     .kind = "User",
     .subjects = "system:kube-scheduler"},
    // Without subjects, as upstream: nodes hold the role by being nodes.
    {.name = "system:node", .role = "system:node"},
    {.name = "system:node-proxier",
     .role = "system:node-proxier",
     .kind = "User",
     .subjects = "system:kube-proxy"},
    CONTROLLER("namespace-controller"),
    CONTROLLER("service-account-controller"),
    CONTROLLER("root-ca-cert-publisher"),
    CONTROLLER("node-controller"),
    CONTROLLER("clusterrole-aggregation-controller"),
    CONTROLLER("pod-garbage-collector"),
    CONTROLLER("generic-garbage-collector"),
    CONTROLLER("endpoint-controller"),
    {.name = "system::extension-apiserver-authentication-reader",
     .namespace_ = "kube-system",
     .role_kind = "Role",
     .role = "extension-apiserver-authentication-reader",
     .kind = "User",
     .subjects = "system:kube-controller-manager,system:kube-scheduler"},
};

const BootstrapRole *bootstrap_role_at(size_t index) {
    return index < sizeof roles / sizeof *roles ? &roles[index] : NULL;
}

const BootstrapBinding *bootstrap_binding_at(size_t index) {
    return index < sizeof bindings / sizeof *bindings ? &bindings[index] : NULL;
}
