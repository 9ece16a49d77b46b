// Every pod runs as a service account that exists, and has its token mounted unless it does not
// want it.
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller

#include "api/admission/admission.h"
#include "api/server.h"
#include "base/rand.h"

#define MOUNT_PATH "/var/run/secrets/kubernetes.io/serviceaccount"
#define VOLUME_PREFIX "kube-api-access-"
// Upstream's odd number lets the server tell these from tokens that somebody asked for.
#define TOKEN_SECONDS 3607

static bool is_new_pod(const Admission *admission) {
    return admission->operation == ADMISSION_CREATE &&
           admission_is(admission, STR(""), STR("pods"), STR(""));
}

static ApiStatus *check_mirror_pod(Admission *admission) {
    if (value_string_at(admission->object, "spec.serviceAccountName").len)
        return admission_forbidden(admission,
                                   STR("a mirror pod may not reference service accounts"));
    const Value *volumes = value_at(admission->object, "spec.volumes");
    for (uint32_t i = 0; volumes && i < volumes->n; i++) {
        const Value *sources = value_at(volumes->items[i], "projected.sources");
        if (value_get(volumes->items[i], STR("secret")))
            return admission_forbidden(admission, STR("a mirror pod may not reference secrets"));
        for (uint32_t j = 0; sources && j < sources->n; j++) {
            if (value_get(sources->items[j], STR("serviceAccountToken")))
                return admission_forbidden(
                    admission,
                    STR("a mirror pod may not use ServiceAccountToken volume projections"));
        }
    }
    return NULL;
}

static bool is_mirror_pod(const Value *pod) {
    return value_get(value_at(pod, "metadata.annotations"), STR("kubernetes.io/config.mirror")) !=
           NULL;
}

static Value *find_account(const Admission *admission, Str name) {
    Cache *accounts =
        registry_cache(admission->request->api->registry, STR("core/serviceaccounts"));
    CachedObject *account = cache_get(accounts, admission->namespace_, name);
    return account ? object_decode(admission->request->arena, account) : NULL;
}

static ApiStatus *missing_account(Admission *admission, Str name) {
    // A new namespace's default account comes a moment after the namespace.
    admission->wait = str_eq(name, STR("default"));
    return admission_forbidden(
        admission,
        arena_printf(
            admission->request->arena,
            "error looking up service account %.*s/%.*s: serviceaccount \"%.*s\" not found",
            STR_ARG(admission->namespace_), STR_ARG(name), STR_ARG(name)));
}

static bool wants_token(const Value *account, const Value *pod) {
    return value_bool_at(pod, "spec.automountServiceAccountToken",
                         value_bool_at(account, "automountServiceAccountToken", true));
}

static bool has_mount(const Value *container) {
    const Value *mounts = value_get(container, STR("volumeMounts"));
    for (uint32_t i = 0; mounts && mounts->kind == VALUE_ARRAY && i < mounts->n; i++) {
        if (str_eq(value_string_at(mounts->items[i], "mountPath"), STR(MOUNT_PATH)))
            return true;
    }
    return false;
}

static bool mount(Arena *arena, Value *containers, Str volume) {
    bool needed = false;
    for (uint32_t i = 0; containers && containers->kind == VALUE_ARRAY && i < containers->n; i++) {
        Value *container = containers->items[i];
        if (has_mount(container))
            continue;
        Value *mounts = value_get(container, STR("volumeMounts"));
        if (!mounts) {
            mounts = value_new_array(arena);
            value_set(arena, container, STR("volumeMounts"), mounts);
        }
        Value *entry = value_new_object(arena);
        value_set_str(arena, entry, STR("name"), volume);
        value_set_bool(arena, entry, STR("readOnly"), true);
        value_set_str(arena, entry, STR("mountPath"), STR(MOUNT_PATH));
        value_push(arena, mounts, entry);
        needed = true;
    }
    return needed;
}

static Value *token_volume(Arena *arena, Str name) {
    Value *token = value_new_object(arena);
    Value *projection = value_at_make(arena, token, "serviceAccountToken");
    value_set_int(arena, projection, STR("expirationSeconds"), TOKEN_SECONDS);
    value_set_str(arena, projection, STR("path"), STR("token"));

    Value *ca_item = value_new_object(arena), *ca_items = value_new_array(arena);
    value_set_str(arena, ca_item, STR("key"), STR("ca.crt"));
    value_set_str(arena, ca_item, STR("path"), STR("ca.crt"));
    value_push(arena, ca_items, ca_item);
    Value *ca = value_new_object(arena);
    Value *config_map = value_at_make(arena, ca, "configMap");
    value_set_str(arena, config_map, STR("name"), STR("kube-root-ca.crt"));
    value_set(arena, config_map, STR("items"), ca_items);

    Value *namespace_item = value_new_object(arena), *namespace_items = value_new_array(arena);
    value_set_str(arena, namespace_item, STR("path"), STR("namespace"));
    Value *reference = value_at_make(arena, namespace_item, "fieldRef");
    value_set_str(arena, reference, STR("apiVersion"), STR("v1"));
    value_set_str(arena, reference, STR("fieldPath"), STR("metadata.namespace"));
    value_push(arena, namespace_items, namespace_item);
    Value *downward = value_new_object(arena);
    value_set(arena, value_at_make(arena, downward, "downwardAPI"), STR("items"), namespace_items);

    Value *sources = value_new_array(arena);
    value_push(arena, sources, token);
    value_push(arena, sources, ca);
    value_push(arena, sources, downward);
    Value *volume = value_new_object(arena);
    value_set_str(arena, volume, STR("name"), name);
    Value *projected = value_at_make(arena, volume, "projected");
    value_set(arena, projected, STR("sources"), sources);
    value_set_int(arena, projected, STR("defaultMode"), 0644);
    return volume;
}

static Str existing_volume(const Value *volumes) {
    for (uint32_t i = 0; volumes && volumes->kind == VALUE_ARRAY && i < volumes->n; i++) {
        Str name = value_string_at(volumes->items[i], "name");
        if (str_starts_with(name, STR(VOLUME_PREFIX)))
            return name;
    }
    return STR_NONE;
}

static void mount_token(Admission *admission) {
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, admission->object, "spec");
    Value *volumes = value_get(spec, STR("volumes"));
    Str name = existing_volume(volumes);
    bool there = name.ptr != NULL;
    if (!there) {
        Str suffix = rand_suffix(arena, loop_random(admission->request->api->loop), 5);
        name = arena_printf(arena, VOLUME_PREFIX "%.*s", STR_ARG(suffix));
    }
    bool needed = mount(arena, value_get(spec, STR("initContainers")), name);
    needed |= mount(arena, value_get(spec, STR("containers")), name);
    if (!needed || there)
        return;
    if (!volumes) {
        volumes = value_new_array(arena);
        value_set(arena, spec, STR("volumes"), volumes);
    }
    value_push(arena, volumes, token_volume(arena, name));
}

ApiStatus *admission_service_account_mutate(Admission *admission) {
    if (!is_new_pod(admission))
        return NULL;
    Value *pod = admission->object;
    if (is_mirror_pod(pod))
        return check_mirror_pod(admission);
    Arena *arena = admission->request->arena;
    Value *spec = value_at_make(arena, pod, "spec");
    Str name = value_string_at(spec, "serviceAccountName");
    if (!name.len)
        name = value_string_at(spec, "serviceAccount"); // the old name of the field
    if (!name.len)
        name = STR("default");
    const Value *account = find_account(admission, name);
    if (!account)
        return missing_account(admission, name);
    value_set_str(arena, spec, STR("serviceAccountName"), name);
    value_set_str(arena, spec, STR("serviceAccount"), name);
    if (wants_token(account, pod))
        mount_token(admission);
    Value *secrets = value_get(account, STR("imagePullSecrets"));
    const Value *own = value_get(spec, STR("imagePullSecrets"));
    if (secrets && (!own || !own->n))
        value_set(arena, spec, STR("imagePullSecrets"), secrets);
    return NULL;
}

ApiStatus *admission_service_account_validate(Admission *admission) {
    if (!is_new_pod(admission) || is_mirror_pod(admission->object))
        return NULL;
    Str name = value_string_at(admission->object, "spec.serviceAccountName");
    if (!name.len)
        return admission_forbidden(admission, STR("no service account specified for pod"));
    return find_account(admission, name) ? NULL : missing_account(admission, name);
}
