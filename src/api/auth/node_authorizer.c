// What a node may read of secrets, config maps and claims: those that a pod on it refers to, one at
// a time. https://kubernetes.io/docs/reference/access-authn-authz/node/

#include "api/auth/node_authorizer.h"
#include "api/server.h"

static bool names(const Value *reference, const char *path, Str name) {
    return str_eq(value_string_at(reference, path), name);
}

static bool volume_refers(const Value *volume, Str resource, Str name) {
    if (str_eq(resource, STR("persistentvolumeclaims")))
        return names(volume, "persistentVolumeClaim.claimName", name);
    bool secret = str_eq(resource, STR("secrets"));
    if (names(volume, secret ? "secret.secretName" : "configMap.name", name))
        return true;
    const Value *sources = value_at(volume, "projected.sources");
    for (uint32_t i = 0; sources && sources->kind == VALUE_ARRAY && i < sources->n; i++) {
        if (names(sources->items[i], secret ? "secret.name" : "configMap.name", name))
            return true;
    }
    // Drivers that authenticate: the secret stands under different names.
    static const char *const drivers[] = {
        "csi.nodePublishSecretRef.name", "cephfs.secretRef.name",     "rbd.secretRef.name",
        "iscsi.secretRef.name",          "flexVolume.secretRef.name", "azureFile.secretName"};
    for (size_t i = 0; secret && i < sizeof drivers / sizeof *drivers; i++) {
        if (names(volume, drivers[i], name))
            return true;
    }
    return false;
}

static bool container_refers(const Value *container, bool secret, Str name) {
    const Value *env = value_get(container, STR("env")),
                *from = value_get(container, STR("envFrom"));
    for (uint32_t i = 0; env && env->kind == VALUE_ARRAY && i < env->n; i++) {
        if (names(env->items[i],
                  secret ? "valueFrom.secretKeyRef.name" : "valueFrom.configMapKeyRef.name", name))
            return true;
    }
    for (uint32_t i = 0; from && from->kind == VALUE_ARRAY && i < from->n; i++) {
        if (names(from->items[i], secret ? "secretRef.name" : "configMapRef.name", name))
            return true;
    }
    return false;
}

static bool pod_refers(const Value *pod, Str resource, Str name) {
    static const char *const lists[] = {"spec.containers", "spec.initContainers",
                                        "spec.ephemeralContainers"};
    bool secret = str_eq(resource, STR("secrets"));
    const Value *volumes = value_at(pod, "spec.volumes");
    for (uint32_t i = 0; volumes && i < volumes->n; i++) {
        if (volume_refers(volumes->items[i], resource, name))
            return true;
    }
    const Value *pull = value_at(pod, "spec.imagePullSecrets");
    for (uint32_t i = 0; secret && pull && i < pull->n; i++) {
        if (names(pull->items[i], "name", name))
            return true;
    }
    for (size_t list = 0; list < sizeof lists / sizeof *lists; list++) {
        const Value *containers = value_at(pod, lists[list]);
        for (uint32_t i = 0; containers && i < containers->n; i++) {
            if (container_refers(containers->items[i], secret, name))
                return true;
        }
    }
    return false;
}

static bool is_on(const Resource *pods, const CachedObject *pod, Str node) {
    for (size_t i = 0; i < pods->n_selectable; i++) {
        if (str_eq(pods->fields[i], STR("spec.nodeName")))
            return str_eq(pod->fields[i], node);
    }
    return false;
}

bool node_may_read(struct Api *api, const Attributes *attributes, Str *ret_reason) {
    Str prefix = STR("system:node:");
    Str node = str_slice(attributes->user->name, prefix.len, attributes->user->name.len);
    *ret_reason = STR("No Object name found");
    if (!attributes->name.len || !attributes->namespace_.len)
        return false;
    const Cache *cache = registry_cache(api->registry, STR("core/pods"));
    const Snapshot *root = cache_root(cache);
    _arena_free_ Arena *arena = arena_new();
    size_t at, end;
    snapshot_prefix(root, arena_printf(arena, "%.*s/", STR_ARG(attributes->namespace_)), &at, &end);
    for (; at < end; at++) {
        CachedObject *pod = snapshot_at(root, at);
        if (!is_on(cache_served(cache)->storage, pod, node))
            continue;
        arena_reset(arena);
        if (pod_refers(object_decode(arena, pod), attributes->resource, attributes->name))
            return true;
    }
    *ret_reason = STR("no relationship found between node and this object");
    return false;
}

bool node_must_refer(const Attributes *attributes) {
    if (!user_in_group(attributes->user, STR("system:nodes")) ||
        !str_starts_with(attributes->user->name, STR("system:node:")) || !attributes->is_resource ||
        attributes->group.len)
        return false;
    return str_eq(attributes->resource, STR("secrets")) ||
           str_eq(attributes->resource, STR("configmaps")) ||
           (str_eq(attributes->resource, STR("persistentvolumeclaims")) &&
            !attributes->subresource.len);
}
