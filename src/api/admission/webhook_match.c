// Whether a webhook is to be asked about a request (apiserver's admission/plugin/webhook/generic and
// predicates).

#include "api/admission/webhook.h"
#include "api/server.h"

static const char *const operations[] = {
    [ADMISSION_CREATE] = "CREATE",
    [ADMISSION_UPDATE] = "UPDATE",
    [ADMISSION_DELETE] = "DELETE",
    [ADMISSION_CONNECT] = "CONNECT",
};

Str admission_operation_name(AdmissionOperation operation) {
    return str_from(operations[operation]);
}

static bool contains(const Value *list, Str wanted) {
    for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++) {
        Str item = list->items[i]->string;
        if (str_eq(item, STR("*")) || str_eq(item, wanted))
            return true;
    }
    return false;
}

static bool fits(Str pattern, Str text) {
    return str_eq(pattern, STR("*")) || str_eq(pattern, text);
}

static bool resource_matches(const Value *resources, Str resource, Str subresource) {
    for (uint32_t i = 0; resources && resources->kind == VALUE_ARRAY && i < resources->n; i++) {
        Str sub = resources->items[i]->string, main = str_cut(&sub, '/');
        if (fits(main, resource) && fits(sub.ptr ? sub : STR(""), subresource))
            return true;
    }
    return false;
}

static bool is_namespaces(const Resource *resource) {
    return !resource->group.len && str_eq(resource->plural, STR("namespaces"));
}

static bool scope_matches(const WebhookRule *rule, const Admission *admission) {
    if (!rule->scope.len || str_eq(rule->scope, STR("*")))
        return true;
    bool cluster = is_namespaces(admission->served->resource) || !admission->namespace_.len;
    return str_eq(rule->scope, STR("Cluster")) == cluster;
}

static bool rule_matches(const WebhookRule *rule, const Admission *admission,
                         const Resource *resource) {
    return scope_matches(rule, admission) &&
           contains(rule->operations, admission_operation_name(admission->operation)) &&
           contains(rule->groups, resource->group) && contains(rule->versions, resource->version) &&
           resource_matches(rule->resources, resource->plural, admission->subresource);
}

// Another version (or group) of the same objects that has the subresource, too.
static bool is_equivalent(const ServedResource *other, const Admission *admission) {
    const ServedResource *own = admission->served;
    return other != own && own->cache && other->cache == own->cache &&
           (!admission->subresource.len ||
            resource_subresource(other->resource, admission->subresource));
}

static const ServedResource *rules_match(const Webhook *webhook, const Admission *admission) {
    for (size_t i = 0; i < webhook->n_rules; i++) {
        if (rule_matches(&webhook->rules[i], admission, admission->served->resource))
            return admission->served;
    }
    const Registry *registry = admission->request->api->registry;
    const ServedResource *other;
    for (size_t i = 0; webhook->equivalent && i < webhook->n_rules; i++) {
        for (size_t j = 0; (other = registry_at(registry, j)); j++) {
            if (is_equivalent(other, admission) &&
                rule_matches(&webhook->rules[i], admission, other->resource))
                return other;
        }
    }
    return NULL;
}

static bool object_matches(const Webhook *webhook, const Admission *admission) {
    if (!webhook->objects || selector_is_everything(webhook->objects))
        return true;
    return (admission->object &&
            selector_matches(webhook->objects, value_at(admission->object, "metadata.labels"))) ||
           (admission->old &&
            selector_matches(webhook->objects, value_at(admission->old, "metadata.labels")));
}

// A Namespace is judged by the labels that it is about to have; what lives in one by the labels that
// this has; everything else is meant.
static bool namespace_matches(const Webhook *webhook, const Admission *admission,
                              const ApiStatus **ret_refusal) {
    const ApiRequest *request = admission->request;
    bool self = is_namespaces(admission->served->resource);
    if ((!admission->namespace_.len && !self) || !webhook->namespaces ||
        selector_is_everything(webhook->namespaces))
        return true;
    if (self && !admission->subresource.len && admission->object)
        return selector_matches(webhook->namespaces,
                                value_at(admission->object, "metadata.labels"));
    const CachedObject *namespace_ =
        cache_get(registry_cache(request->api->registry, STR("core/namespaces")), STR(""),
                  admission->namespace_);
    if (namespace_)
        return selector_matches(webhook->namespaces, namespace_->labels);
    *ret_refusal =
        status_not_found(request->arena, STR(""), STR("namespaces"), admission->namespace_);
    return false;
}

bool webhook_matches(const Webhook *webhook, const Admission *admission,
                     const ServedResource **ret_as, const ApiStatus **ret_refusal) {
    *ret_as = rules_match(webhook, admission);
    return *ret_as && object_matches(webhook, admission) &&
           namespace_matches(webhook, admission, ret_refusal);
}
