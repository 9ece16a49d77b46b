#include "api/auth/node_authorizer.h"

typedef struct Question {
    const NodeGraph *graph;
    const Api *api;
    Arena *arena;
    const Attributes *attributes;
    Str node;
    Str *ret_reason;
} Question;

static bool no(const Question *question, Str reason) {
    *question->ret_reason = reason;
    return false;
}

static bool is_verb(const Question *question, const char *verbs) { // "get,list"
    Str rest = str_from(verbs);
    while (rest.ptr) {
        if (str_eq(str_cut(&rest, ','), question->attributes->verb))
            return true;
    }
    return false;
}

static bool no_relationship(const Question *question) {
    return no(question, arena_printf(question->arena,
                                     "no relationship found between node '%.*s' and this object",
                                     STR_ARG(question->node)));
}

// One object at a time, and only if a pod on the node refers to it.
static bool refers(const Question *question, NodeReference kind) {
    const Attributes *of = question->attributes;
    if (!of->name.len)
        return no(question, STR("No Object name found"));
    return node_graph_refers(question->graph, question->node, kind, of->namespace_, of->name) ||
           no_relationship(question);
}

static bool secrets(const Question *question) {
    return refers(question, NODE_SECRET);
}
static bool config_maps(const Question *question) {
    return refers(question, NODE_CONFIG_MAP);
}
static bool claims(const Question *question) {
    return refers(question, NODE_CLAIM);
}
static bool service_accounts(const Question *question) {
    return refers(question, NODE_SERVICE_ACCOUNT);
}
static bool resource_claims(const Question *question) {
    return refers(question, NODE_RESOURCE_CLAIM);
}

static bool volumes(const Question *question) {
    return node_graph_has_volume(question->graph, question->node, question->attributes->name) ||
           no_relationship(question);
}

// The value that a field selector asks for; NULL when it does not.
static const Str *selected(const Question *question, const char *path) {
    const FieldSelector *fields = question->attributes->fields;
    for (size_t i = 0; fields && i < fields->n; i++) {
        if (fields->terms[i].equal && str_eq(fields->terms[i].path, str_from(path)))
            return &fields->terms[i].value;
    }
    return NULL;
}

static bool selects_itself(const Question *question, const char *path) {
    const Str *value = selected(question, path);
    return value && str_eq(*value, question->node);
}

static bool is_on_node(const Question *question, const char *stored_name, Str namespace_) {
    Cache *cache = registry_cache(question->api->registry, str_from(stored_name));
    CachedObject *object =
        cache ? cache_get(cache, namespace_, question->attributes->name) : NULL;
    if (!object)
        return false;
    _arena_free_ Arena *arena = arena_new();
    return str_eq(value_string_at(object_decode(arena, object), "spec.nodeName"), question->node);
}

static bool attachments(const Question *question) {
    return is_on_node(question, "storage.k8s.io/volumeattachments", STR("")) ||
           no_relationship(question);
}

// KEP-4601: reads of pods are limited to those of the node.
static bool pods(const Question *question) {
    const Attributes *of = question->attributes;
    if (is_verb(question, "get") && !of->subresource.len)
        return is_on_node(question, "core/pods", of->namespace_) || no_relationship(question);
    if (is_verb(question, "list,watch") && !selects_itself(question, "spec.nodeName"))
        return no(question, STR("can only list/watch pods with spec.nodeName field selector"));
    return true; // writes are NodeRestriction's business
}

static bool nodes(const Question *question) {
    const Attributes *of = question->attributes;
    if (!is_verb(question, "get,list,watch") || of->subresource.len)
        return true;
    if (of->name.len && str_eq(of->name, question->node))
        return true;
    Arena *arena = question->arena;
    return no(question, of->name.len
                            ? arena_printf(arena,
                                           "node '%.*s' cannot read '%.*s', only its own Node "
                                           "object",
                                           STR_ARG(question->node), STR_ARG(of->name))
                            : arena_printf(arena,
                                           "node '%.*s' cannot read all nodes, only its own Node "
                                           "object",
                                           STR_ARG(question->node)));
}

static bool leases(const Question *question) {
    const Attributes *of = question->attributes;
    if (!str_eq(of->namespace_, STR("kube-node-lease")))
        return no(question, STR("can only access leases in the \"kube-node-lease\" system "
                                "namespace"));
    if (!is_verb(question, "create") && !str_eq(of->name, question->node))
        return no(question, STR("can only access node lease with the same name as the requesting "
                                "node"));
    return true;
}

static bool csi_nodes(const Question *question) {
    const Attributes *of = question->attributes;
    if (of->subresource.len)
        return no(question, STR("cannot authorize CSINode subresources"));
    if (!is_verb(question, "create") && !str_eq(of->name, question->node))
        return no(question, STR("can only access CSINode with the same name as the requesting "
                                "node"));
    return true;
}

static bool resource_slices(const Question *question) {
    if (question->attributes->subresource.len)
        return no(question, STR("cannot authorize ResourceSlice subresources"));
    if (is_verb(question, "create"))
        return true; // NodeRestriction looks at what it says
    if (is_verb(question, "get,update,patch,delete"))
        return is_on_node(question, "resource.k8s.io/resourceslices", STR("")) ||
               no_relationship(question);
    return selects_itself(question, "spec.nodeName") ||
           no(question, STR("can only list/watch/deletecollection resourceslices with nodeName "
                            "field selector"));
}

static const struct {
    const char *group, *resource;
    bool (*ask)(const Question *question);
} rules[] = {
    {"", "secrets", secrets},
    {"", "configmaps", config_maps},
    {"", "persistentvolumeclaims", claims},
    {"", "persistentvolumes", volumes},
    {"", "serviceaccounts", service_accounts},
    {"", "pods", pods},
    {"", "nodes", nodes},
    {"coordination.k8s.io", "leases", leases},
    {"storage.k8s.io", "volumeattachments", attachments},
    {"storage.k8s.io", "csinodes", csi_nodes},
    {"resource.k8s.io", "resourceclaims", resource_claims},
    {"resource.k8s.io", "resourceslices", resource_slices},
};

bool node_beyond_role(const Attributes *attributes) {
    return attributes->is_resource && str_eq(attributes->group, STR("resource.k8s.io")) &&
           str_eq(attributes->resource, STR("resourceslices"));
}

bool node_authorize(const Api *api, const NodeGraph *graph, Arena *arena,
                    const Attributes *attributes, Str *ret_reason) {
    Str prefix = STR("system:node:");
    Question question = {
        .graph = graph,
        .api = api,
        .arena = arena,
        .attributes = attributes,
        .node = str_slice(attributes->user->name, prefix.len, attributes->user->name.len),
        .ret_reason = ret_reason,
    };
    if (!question.node.len)
        return no(&question, STR("unknown node for user"));
    for (size_t i = 0; attributes->is_resource && i < sizeof rules / sizeof *rules; i++) {
        if (str_eq(attributes->group, str_from(rules[i].group)) &&
            str_eq(attributes->resource, str_from(rules[i].resource)))
            return rules[i].ask(&question);
    }
    return true;
}
