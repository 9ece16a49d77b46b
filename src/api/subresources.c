#include "api/subresources.h"

#include "api/verbs.h"

static void not_implemented(ApiRequest *request) {
    request_status(request,
                   status_new(request->arena, 501, STR("NotImplemented"),
                              arena_printf(request->arena, "%.*s/%.*s is not implemented yet",
                                           STR_ARG(request->info.resource),
                                           STR_ARG(request->info.subresource))));
}

#define AUTHENTICATION "authentication.k8s.io"
#define AUTHORIZATION "authorization.k8s.io"
#define WRITES (VERB_CREATE | VERB_UPDATE | VERB_PATCH)

static const struct {
    const char *group, *resource, *subresource;
    unsigned verbs;
    VerbHandler handler;
} handlers[] = {
    {"", "bindings", "", VERB_CREATE, pod_binding_create},
    {"", "componentstatuses", "", VERB_GET, component_status_get},
    {"", "componentstatuses", "", VERB_LIST, component_status_list},
    {"", "pods", "binding", VERB_CREATE, pod_binding_create},
    {"", "pods", "eviction", VERB_CREATE, pod_eviction_create},
    {"", "pods", "log", VERB_GET, pod_log_get},
    {"", "pods", "exec", VERB_ALL, pod_stream},
    {"", "pods", "attach", VERB_ALL, pod_stream},
    {"", "pods", "portforward", VERB_ALL, pod_stream},
    {"", "pods", "proxy", VERB_ALL, pod_proxy},
    {"", "pods", "resize", WRITES, not_implemented},
    {"", "services", "proxy", VERB_ALL, service_proxy},
    {"", "nodes", "proxy", VERB_ALL, node_proxy},
    {"", "serviceaccounts", "token", VERB_CREATE, token_request_create},
    {"metrics.k8s.io", "nodes", "", VERB_GET | VERB_LIST, metrics_get},
    {"metrics.k8s.io", "pods", "", VERB_GET | VERB_LIST, metrics_get},
    {AUTHENTICATION, "tokenreviews", "", VERB_CREATE, token_review_create},
    {AUTHENTICATION, "selfsubjectreviews", "", VERB_CREATE, self_subject_review_create},
    {AUTHORIZATION, "subjectaccessreviews", "", VERB_CREATE, access_review_create},
    {AUTHORIZATION, "selfsubjectaccessreviews", "", VERB_CREATE, access_review_create},
    {AUTHORIZATION, "localsubjectaccessreviews", "", VERB_CREATE, access_review_create},
    {AUTHORIZATION, "selfsubjectrulesreviews", "", VERB_CREATE, rules_review_create},
};

VerbHandler subresource_handler(Str group, Str resource, Str subresource, unsigned verb) {
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++) {
        if ((handlers[i].verbs & verb) && str_eq(group, str_from(handlers[i].group)) &&
            str_eq(resource, str_from(handlers[i].resource)) &&
            str_eq(subresource, str_from(handlers[i].subresource)))
            return handlers[i].handler;
    }
    return NULL;
}
