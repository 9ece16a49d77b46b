// Two plugins about nodes: TaintNodesByCondition and NodeRestriction, which keeps a node to its own
// objects.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction

#include "api/admission/admission.h"
#include "api/meta.h"
#include "api/server.h"

#define NOT_READY "node.kubernetes.io/not-ready"

ApiStatus *admission_taint_nodes(Admission *admission) {
    if (admission->operation != ADMISSION_CREATE ||
        !admission_is(admission, STR(""), STR("nodes"), STR("")))
        return NULL;
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, admission->object, "spec");
    Value *taints = value_get(spec, STR("taints"));
    for (uint32_t i = 0; taints && taints->kind == VALUE_ARRAY && i < taints->n; i++) {
        if (str_eq(value_string_at(taints->items[i], "key"), STR(NOT_READY)) &&
            str_eq(value_string_at(taints->items[i], "effect"), STR("NoSchedule")))
            return NULL;
    }
    if (!taints) {
        taints = value_new_array(arena);
        value_set(arena, spec, STR("taints"), taints);
    }
    Value *taint = value_new_object(arena);
    value_set_str(arena, taint, STR("key"), STR(NOT_READY));
    value_set_str(arena, taint, STR("effect"), STR("NoSchedule"));
    value_push(arena, taints, taint);
    return NULL;
}

// ---- NodeRestriction

static ApiStatus *forbid(Admission *admission, const char *format, Str a, Str b)
    __attribute__((nonnull));

// Both arguments of the format are "%.*s"; formats are this file's own.
static ApiStatus *forbid(Admission *admission, const char *format, Str a, Str b) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    Str why = arena_printf(admission->request->arena, format, STR_ARG(a), STR_ARG(b));
#pragma GCC diagnostic pop
    return admission_forbidden(admission, why);
}

static ApiStatus *restrict_eviction(Admission *admission, Str node) {
    Cache *pods = registry_cache(admission->request->api->registry, STR("core/pods"));
    CachedObject *pod = cache_get(pods, admission->namespace_, admission->name);
    if (!pod)
        return status_not_found(admission->request->arena, STR(""), STR("pods"), admission->name);
    const Value *object = object_decode(admission->request->arena, pod);
    return str_eq(value_string_at(object, "spec.nodeName"), node)
               ? NULL
               : forbid(admission,
                        "node \"%.*s\" can only evict pods with spec.nodeName set to itself%.*s",
                        node, STR(""));
}

static ApiStatus *restrict_pod(Admission *admission, Str node) {
    bool status = str_eq(admission->subresource, STR("status"));
    if (admission->operation == ADMISSION_CREATE && !admission->subresource.len) {
        if (!value_get(value_at(admission->object, "metadata.annotations"),
                       STR("kubernetes.io/config.mirror")))
            return forbid(admission,
                          "pod does not have \"kubernetes.io/config.mirror\" annotation, node "
                          "\"%.*s\" can only create "
                          "mirror pods%.*s",
                          node, STR(""));
        if (!str_eq(value_string_at(admission->object, "spec.nodeName"), node))
            return forbid(admission,
                          "node \"%.*s\" can only create pods with spec.nodeName set to itself%.*s",
                          node, STR(""));
        return NULL;
    }
    Str at = value_string_at(admission->old, "spec.nodeName");
    if (admission->operation == ADMISSION_DELETE)
        return str_eq(at, node)
                   ? NULL
                   : forbid(
                         admission,
                         "node \"%.*s\" can only delete pods with spec.nodeName set to itself%.*s",
                         node, STR(""));
    if (admission->operation == ADMISSION_UPDATE && status) {
        if (!str_eq(at, node))
            return forbid(admission,
                          "node \"%.*s\" can only update pod status for pods with spec.nodeName "
                          "set to itself%.*s",
                          node, STR(""));
        const Value *labels = value_at(admission->object, "metadata.labels");
        const Value *old = value_at(admission->old, "metadata.labels");
        if (labels && old ? !value_equal(labels, old) : (labels && labels->n) || (old && old->n))
            return forbid(admission, "node \"%.*s\" cannot update labels through pod status%.*s",
                          node, STR(""));
        return NULL;
    }
    if (admission->operation == ADMISSION_CREATE &&
        str_eq(admission->subresource, STR("eviction")))
        return restrict_eviction(admission, node);
    return forbid(admission,
                  "unexpected operation, node \"%.*s\" can only create and delete mirror pods%.*s",
                  node, STR(""));
}

static ApiStatus *restrict_node(Admission *admission, Str node) {
    Str name = admission->name.len ? admission->name : meta_name(admission->object);
    if (!str_eq(name, node))
        return forbid(admission, "node \"%.*s\" is not allowed to modify node \"%.*s\"", node,
                      name);
    if (admission->operation != ADMISSION_UPDATE || admission->subresource.len)
        return NULL;
    const Value *taints = value_at(admission->object, "spec.taints"),
                *old = value_at(admission->old, "spec.taints");
    if (taints && old ? !value_equal(taints, old) : (taints && taints->n) || (old && old->n))
        return forbid(admission, "node \"%.*s\" is not allowed to modify taints%.*s", node,
                      STR(""));
    return NULL;
}

static ApiStatus *restrict_lease(Admission *admission, Str node) {
    if (!str_eq(admission->namespace_, STR("kube-node-lease")))
        return forbid(admission,
                      "can only access leases in the \"kube-node-lease\" system namespace%.*s%.*s",
                      STR(""), STR(""));
    Str name = admission->name.len ? admission->name : meta_name(admission->object);
    if (!str_eq(name, node))
        return forbid(
            admission,
            "can only access node lease with the same name as the requesting node%.*s%.*s", STR(""),
            STR(""));
    return NULL;
}

static ApiStatus *restrict_token(Admission *admission, Str node) {
    const Value *bound = value_at(admission->object, "spec.boundObjectRef");
    if (!bound || !str_eq(value_string_at(bound, "kind"), STR("Pod")))
        return forbid(admission, "node requested token not bound to a pod%.*s%.*s", STR(""),
                      STR(""));
    if (!value_string_at(bound, "uid").len)
        return forbid(admission, "node requested token with a pod binding without a uid%.*s%.*s",
                      STR(""), STR(""));
    Cache *pods = registry_cache(admission->request->api->registry, STR("core/pods"));
    CachedObject *pod = cache_get(pods, admission->namespace_, value_string_at(bound, "name"));
    if (!pod)
        return status_not_found(admission->request->arena, STR(""), STR("pods"),
                                value_string_at(bound, "name"));
    const Value *object = object_decode(admission->request->arena, pod);
    if (!str_eq(value_string_at(object, "spec.nodeName"), node))
        return forbid(admission,
                      "node requested token bound to a pod scheduled on a different node%.*s%.*s",
                      STR(""), STR(""));
    return NULL;
}

ApiStatus *admission_node_restriction(Admission *admission) {
    const User *user = admission->request->user;
    Str prefix = STR("system:node:");
    if (!user_in_group(user, STR("system:nodes")) || !str_starts_with(user->name, prefix))
        return NULL;
    Str node = str_slice(user->name, prefix.len, user->name.len);
    const Resource *resource = admission->served->resource;
    if (str_eq(resource->group, STR("coordination.k8s.io")) &&
        str_eq(resource->plural, STR("leases")))
        return restrict_lease(admission, node);
    if (resource->group.len)
        return NULL;
    if (str_eq(resource->plural, STR("pods")))
        return restrict_pod(admission, node);
    if (str_eq(resource->plural, STR("nodes")))
        return restrict_node(admission, node);
    if (str_eq(resource->plural, STR("serviceaccounts")) &&
        str_eq(admission->subresource, STR("token")))
        return restrict_token(admission, node);
    return NULL;
}
