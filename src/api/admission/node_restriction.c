// NodeRestriction keeps a node to its own objects (plugin/pkg/admission/noderestriction).
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction

#include <stdarg.h>
#include <stdlib.h>

#include "api/admission/admission.h"
#include "api/meta.h"
#include "api/server.h"
#include "kinds/tree.h"

static ApiStatus *forbid(const Admission *admission, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static ApiStatus *forbid(const Admission *admission, const char *format, ...) {
    va_list args;
    va_start(args, format);
    Str why = arena_vprintf(admission->request->arena, format, args);
    va_end(args);
    return admission_forbidden(admission, why);
}

static ApiStatus *unexpected_operation(const Admission *admission) {
    Str operation = admission_operation_name(admission->operation);
    return forbid(admission, "unexpected operation \"%.*s\"", STR_ARG(operation));
}

static bool same(const Value *a, const Value *b) {
    return a && b ? value_equal(a, b) : (!a || !a->n) && (!b || !b->n);
}

static const Value *find(const Admission *admission, Str cache, Str namespace_, Str name) {
    CachedObject *object =
        cache_get(registry_cache(admission->request->api->registry, cache), namespace_, name);
    return object ? object_decode(admission->request->arena, object) : NULL;
}

// ---- pods

static ApiStatus *check_owner(Admission *admission, Str node) {
    const Value *pod = admission->object;
    uint32_t n = tree_count(pod, "metadata.ownerReferences");
    const Value *owner = tree_item(pod, "metadata.ownerReferences", 0);
    if (n > 1)
        return forbid(admission,
                      "node \"%.*s\" can only create pods with a single owner reference set to "
                      "itself",
                      STR_ARG(node));
    if (!n || !tree_is(owner, "apiVersion", "v1") || !tree_is(owner, "kind", "Node") ||
        !str_eq(value_string_at(owner, "name"), node))
        return forbid(admission,
                      "node \"%.*s\" can only create pods with an owner reference set to itself",
                      STR_ARG(node));
    if (!value_bool_at(owner, "controller", false))
        return forbid(admission,
                      "node \"%.*s\" can only create pods with a controller owner reference set to "
                      "itself",
                      STR_ARG(node));
    if (value_bool_at(owner, "blockOwnerDeletion", false))
        return forbid(admission,
                      "node \"%.*s\" must not set blockOwnerDeletion on an owner reference",
                      STR_ARG(node));
    const Value *object = find(admission, STR("core/nodes"), STR(""), node);
    if (!object)
        return status_not_found(admission->request->arena, STR(""), STR("nodes"), node);
    Str uid = value_string_at(owner, "uid"), own = meta_uid(object);
    return str_eq(uid, own) ? NULL
                            : forbid(admission, "node %.*s UID mismatch: expected %.*s got %.*s",
                                     STR_ARG(node), STR_ARG(uid), STR_ARG(own));
}

// What a mirror pod may not refer to, where a pod can: a member anywhere below `value`.
static bool has_member(const Value *value, const char *const *names, size_t n) {
    if (value->kind != VALUE_OBJECT && value->kind != VALUE_ARRAY)
        return false;
    for (uint32_t i = 0; i < value->n; i++) {
        bool object = value->kind == VALUE_OBJECT;
        for (size_t j = 0; object && j < n; j++) {
            if (str_eq(value->members[i].key, str_from(names[j])))
                return true;
        }
        if (has_member(object ? value->members[i].value : value->items[i], names, n))
            return true;
    }
    return false;
}

static ApiStatus *check_references(Admission *admission, Str node) {
    static const struct {
        const char *what;
        const char *members[5];
    } forbidden[] = {
        {"secrets", {"secret", "secretRef", "secretKeyRef", "imagePullSecrets"}},
        {"configmaps", {"configMap", "configMapRef", "configMapKeyRef"}},
        {"clustertrustbundles", {"clusterTrustBundle"}},
        {"persistentvolumeclaims", {"persistentVolumeClaim"}},
    };
    const Value *spec = value_get(admission->object, STR("spec"));
    if (tree_has_string(spec, "serviceAccountName"))
        return forbid(admission,
                      "node \"%.*s\" can not create pods that reference a service account",
                      STR_ARG(node));
    for (size_t i = 0; spec && i < sizeof forbidden / sizeof *forbidden; i++) {
        size_t n = 0;
        while (forbidden[i].members[n])
            n++;
        if (has_member(spec, forbidden[i].members, n))
            return forbid(admission, "node \"%.*s\" can not create pods that reference %s",
                          STR_ARG(node), forbidden[i].what);
    }
    return NULL;
}

static ApiStatus *create_pod(Admission *admission, Str node) {
    if (!value_get(value_at(admission->object, "metadata.annotations"),
                   STR("kubernetes.io/config.mirror")))
        return forbid(admission,
                      "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"%.*s\" "
                      "can only create mirror pods",
                      STR_ARG(node));
    if (!str_eq(value_string_at(admission->object, "spec.nodeName"), node))
        return forbid(admission,
                      "node \"%.*s\" can only create pods with spec.nodeName set to itself",
                      STR_ARG(node));
    ApiStatus *refusal = check_owner(admission, node);
    return refusal ? refusal : check_references(admission, node);
}

static ApiStatus *restrict_pod(Admission *admission, Str node) {
    if (admission->operation == ADMISSION_CREATE)
        return create_pod(admission, node);
    if (admission->operation != ADMISSION_DELETE)
        return forbid(admission,
                      "unexpected operation \"%.*s\", node \"%.*s\" can only create and delete "
                      "mirror pods",
                      STR_ARG(admission_operation_name(admission->operation)), STR_ARG(node));
    if (str_eq(value_string_at(admission->old, "spec.nodeName"), node))
        return NULL;
    return forbid(admission, "node \"%.*s\" can only delete pods with spec.nodeName set to itself",
                  STR_ARG(node));
}

static ApiStatus *restrict_pod_status(Admission *admission, Str node) {
    if (admission->operation != ADMISSION_UPDATE)
        return unexpected_operation(admission);
    if (!str_eq(value_string_at(admission->old, "spec.nodeName"), node))
        return forbid(admission,
                      "node \"%.*s\" can only update pod status for pods with spec.nodeName set to "
                      "itself",
                      STR_ARG(node));
    if (!same(value_at(admission->object, "metadata.labels"),
              value_at(admission->old, "metadata.labels")))
        return forbid(admission, "node \"%.*s\" cannot update labels through pod status",
                      STR_ARG(node));
    if (!same(value_at(admission->object, "status.resourceClaimStatuses"),
              value_at(admission->old, "status.resourceClaimStatuses")))
        return forbid(admission, "node \"%.*s\" cannot update resource claim statues",
                      STR_ARG(node)); // upstream's spelling
    return NULL;
}

static ApiStatus *restrict_eviction(Admission *admission, Str node) {
    if (admission->operation != ADMISSION_CREATE)
        return unexpected_operation(admission);
    const Value *pod =
        find(admission, STR("core/pods"), admission->namespace_, admission->name);
    if (!pod)
        return status_not_found(admission->request->arena, STR(""), STR("pods"), admission->name);
    if (str_eq(value_string_at(pod, "spec.nodeName"), node))
        return NULL;
    return forbid(admission, "node %.*s can only evict pods with spec.nodeName set to itself",
                  STR_ARG(node));
}

static ApiStatus *restrict_pods(Admission *admission, Str node) {
    if (!admission->subresource.len)
        return restrict_pod(admission, node);
    if (str_eq(admission->subresource, STR("status")))
        return restrict_pod_status(admission, node);
    if (str_eq(admission->subresource, STR("eviction")))
        return restrict_eviction(admission, node);
    return forbid(admission,
                  "unexpected pod subresource \"%.*s\", only 'status' and 'eviction' are allowed",
                  STR_ARG(admission->subresource));
}

// ---- nodes

static bool ends_in(Str namespace_, const char *domain) {
    Str whole = str_from(domain);
    return str_eq(namespace_, whole) ||
           (str_ends_with(namespace_, whole) &&
            namespace_.ptr[namespace_.len - whole.len - 1] == '.');
}

// Labels of Kubernetes' own that a kubelet may set (kubelet/pkg/apis/well_known_labels.go).
static bool is_kubelet_label(Str label, Str namespace_) {
    static const char *const labels[] = {"kubernetes.io/hostname",
                                         "topology.kubernetes.io/zone",
                                         "topology.kubernetes.io/region",
                                         "failure-domain.beta.kubernetes.io/zone",
                                         "failure-domain.beta.kubernetes.io/region",
                                         "beta.kubernetes.io/instance-type",
                                         "node.kubernetes.io/instance-type",
                                         "beta.kubernetes.io/os",
                                         "kubernetes.io/os",
                                         "beta.kubernetes.io/arch",
                                         "kubernetes.io/arch"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        if (str_eq(label, str_from(labels[i])))
            return true;
    }
    return ends_in(namespace_, "kubelet.kubernetes.io") || ends_in(namespace_, "node.kubernetes.io");
}

static bool is_forbidden_label(Str label) {
    ptrdiff_t slash = str_find(label, '/');
    Str namespace_ = slash < 0 ? STR("") : str_slice(label, 0, (size_t)slash);
    if (ends_in(namespace_, "node-restriction.kubernetes.io"))
        return true;
    return (ends_in(namespace_, "kubernetes.io") || ends_in(namespace_, "k8s.io")) &&
           !is_kubelet_label(label, namespace_);
}

static size_t add_changed(const Value *from, const Value *to, Str *labels, size_t n) {
    for (uint32_t i = 0; from && from->kind == VALUE_OBJECT && i < from->n; i++) {
        Str label = from->members[i].key;
        const Value *other = value_get(to, label);
        bool seen = false;
        for (size_t j = 0; j < n; j++)
            seen |= str_eq(labels[j], label);
        if (!seen && !(other && value_equal(other, from->members[i].value)) &&
            is_forbidden_label(label))
            labels[n++] = label;
    }
    return n;
}

static int by_text(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

// Labels that change and must not, sorted; "" when there are none.
static Str forbidden_labels(const Admission *admission) {
    Arena *arena = admission->request->arena;
    const Value *now = value_at(admission->object, "metadata.labels");
    const Value *old = value_at(admission->old, "metadata.labels");
    Str *labels = arena_array_of(arena, Str, (now ? now->n : 0) + (old ? old->n : 0) + 1);
    size_t n = add_changed(now, old, labels, 0);
    n = add_changed(old, now, labels, n);
    qsort(labels, n, sizeof *labels, by_text);
    return arena_concat(arena, labels, n, STR(", "));
}

static ApiStatus *restrict_node(Admission *admission, Str node) {
    Str name = admission->name.len ? admission->name : meta_name(admission->object);
    if (!str_eq(name, node))
        return forbid(admission, "node \"%.*s\" is not allowed to modify node \"%.*s\"",
                      STR_ARG(node), STR_ARG(name));
    bool create = admission->operation == ADMISSION_CREATE;
    if (!create && admission->operation != ADMISSION_UPDATE)
        return NULL;
    const Value *source = value_at(admission->object, "spec.configSource");
    const Value *before = value_at(admission->old, "spec.configSource");
    if (source && create)
        return forbid(admission,
                      "node \"%.*s\" is not allowed to create pods with a non-nil configSource",
                      STR_ARG(node));
    if (source && !same(source, before))
        return forbid(admission,
                      "node \"%.*s\" is not allowed to update configSource to a new non-nil "
                      "configSource",
                      STR_ARG(node));
    if (!create && !same(value_at(admission->object, "spec.taints"),
                         value_at(admission->old, "spec.taints")))
        return forbid(admission, "node \"%.*s\" is not allowed to modify taints", STR_ARG(node));
    Str labels = forbidden_labels(admission);
    if (labels.len && create)
        return forbid(admission,
                      "node \"%.*s\" is not allowed to set the following labels: %.*s",
                      STR_ARG(node), STR_ARG(labels));
    return labels.len ? forbid(admission, "is not allowed to modify labels: %.*s", STR_ARG(labels))
                      : NULL;
}

// ---- the rest

static ApiStatus *restrict_lease(Admission *admission, Str node) {
    Str name = admission->name.len ? admission->name : meta_name(admission->object);
    if (!str_eq(admission->namespace_, STR("kube-node-lease")))
        return forbid(admission,
                      "can only access leases in the \"kube-node-lease\" system namespace");
    return str_eq(name, node)
               ? NULL
               : forbid(admission, "can only access node lease with the same name as the "
                                   "requesting node");
}

static ApiStatus *restrict_csi_node(Admission *admission, Str node) {
    Str name = admission->name.len ? admission->name : meta_name(admission->object);
    return str_eq(name, node)
               ? NULL
               : forbid(admission,
                        "can only access CSINode with the same name as the requesting node");
}

static ApiStatus *restrict_token(Admission *admission, Str node) {
    const Value *bound = value_at(admission->object, "spec.boundObjectRef");
    Str name = value_string_at(bound, "name"), uid = value_string_at(bound, "uid");
    if (admission->operation != ADMISSION_CREATE ||
        !str_eq(admission->subresource, STR("token")))
        return NULL;
    if (!bound || !tree_is(bound, "apiVersion", "v1") || !tree_is(bound, "kind", "Pod") ||
        !name.len)
        return forbid(admission, "node requested token not bound to a pod");
    if (!uid.len)
        return forbid(admission, "node requested token with a pod binding without a uid");
    const Value *pod = find(admission, STR("core/pods"), admission->namespace_, name);
    if (!pod)
        return status_not_found(admission->request->arena, STR(""), STR("pods"), name);
    if (!str_eq(uid, meta_uid(pod)))
        return forbid(admission,
                      "the UID in the bound object reference (%.*s) does not match the UID in "
                      "record. The object might have been deleted and then recreated",
                      STR_ARG(uid));
    if (!str_eq(value_string_at(pod, "spec.nodeName"), node))
        return forbid(admission,
                      "node requested token bound to a pod scheduled on a different node");
    return NULL;
}

// Capacity, conditions and what resizing has given; nothing else.
static ApiStatus *restrict_claim(Admission *admission, Str node) {
    static const char *const free_members[] = {"capacity", "conditions", "allocatedResourceStatuses",
                                               "allocatedResources"};
    Arena *arena = admission->request->arena;
    if (!str_eq(admission->subresource, STR("status")))
        return forbid(admission, "may only update PVC status");
    if (admission->operation != ADMISSION_UPDATE)
        return unexpected_operation(admission);
    Value *trees[] = {value_copy(arena, admission->object), value_copy(arena, admission->old)};
    for (size_t i = 0; i < 2; i++) {
        Value *metadata = value_at_make(arena, trees[i], "metadata");
        Value *status = value_at_make(arena, trees[i], "status");
        value_unset(metadata, STR("resourceVersion"));
        value_unset(metadata, STR("managedFields"));
        for (size_t j = 0; j < 4; j++)
            value_unset(status, str_from(free_members[j]));
    }
    return value_equal(trees[0], trees[1])
               ? NULL
               : forbid(admission,
                        "node \"%.*s\" is not allowed to update fields other than status.capacity "
                        "and status.conditions",
                        STR_ARG(node));
}

ApiStatus *admission_node_restriction(Admission *admission) {
    static const struct {
        const char *group, *plural;
        ApiStatus *(*check)(Admission *admission, Str node);
    } checks[] = {
        {"", "pods", restrict_pods},
        {"", "nodes", restrict_node},
        {"", "persistentvolumeclaims", restrict_claim},
        {"", "serviceaccounts", restrict_token},
        {"coordination.k8s.io", "leases", restrict_lease},
        {"storage.k8s.io", "csinodes", restrict_csi_node},
    };
    const User *user = admission->request->user;
    Str prefix = STR("system:node:");
    if (!user_in_group(user, STR("system:nodes")) || !str_starts_with(user->name, prefix))
        return NULL;
    Str node = str_slice(user->name, prefix.len, user->name.len);
    if (!node.len)
        return forbid(admission, "could not determine node from user \"%.*s\"",
                      STR_ARG(user->name));
    const Resource *resource = admission->served->resource;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (str_eq(resource->group, str_from(checks[i].group)) &&
            str_eq(resource->plural, str_from(checks[i].plural)))
            return checks[i].check(admission, node);
    }
    return NULL;
}
