// Nothing is made in a namespace that does not exist or is being deleted, and some namespaces are
// never deleted.

#include "api/admission/admission.h"
#include "api/server.h"

static bool is_immortal(Str name) {
    return str_eq(name, STR("default")) || str_eq(name, STR("kube-system")) ||
           str_eq(name, STR("kube-public"));
}

static ApiStatus *terminating(Admission *admission) {
    Arena *arena = admission->request->arena;
    ApiStatus *status = admission_forbidden(
        admission,
        arena_printf(
            arena, "unable to create new content in namespace %.*s because it is being terminated",
            STR_ARG(admission->namespace_)));
    ApiStatusCause *cause = arena_new_of(arena, ApiStatusCause);
    *cause = (ApiStatusCause){
        .type = STR("NamespaceTerminating"),
        .message = arena_printf(arena, "namespace %.*s is being terminated",
                                STR_ARG(admission->namespace_)),
        .field = STR("metadata.namespace"),
    };
    status->causes = cause;
    status->n_causes = 1;
    return status;
}

ApiStatus *admission_namespace_lifecycle(Admission *admission) {
    if (admission_is(admission, STR(""), STR("namespaces"), STR(""))) {
        if (admission->operation == ADMISSION_DELETE && is_immortal(admission->name))
            return admission_forbidden(admission, STR("this namespace may not be deleted"));
        return NULL;
    }
    if (admission->operation != ADMISSION_CREATE || !admission->served->resource->namespaced ||
        admission_is(admission, STR("authorization.k8s.io"), STR("localsubjectaccessreviews"),
                     STR("")))
        return NULL;
    Cache *namespaces = registry_cache(admission->request->api->registry, STR("core/namespaces"));
    CachedObject *namespace_ = cache_get(namespaces, STR(""), admission->namespace_);
    if (!namespace_)
        return status_not_found(admission->request->arena, STR(""), STR("namespaces"),
                                admission->namespace_);
    Value *object = object_decode(admission->request->arena, namespace_);
    return str_eq(value_string_at(object, "status.phase"), STR("Terminating"))
               ? terminating(admission)
               : NULL;
}
