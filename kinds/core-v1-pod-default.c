// Defaults of pods and of what pods are made of: pkg/apis/core/v1/defaults.go, and what the
// conversion between v1 and the internal version does upstream.

#include "kinds/pod.h"

// ---- the spec, in pods and templates

// serviceAccount is the old name of serviceAccountName, which wins.
void pod_mirror_service_account(Arena *arena, Value *spec) {
    Str name = tree_string(value_get(spec, STR("serviceAccountName")));
    if (!name.len)
        name = tree_string(value_get(spec, STR("serviceAccount")));
    if (!name.len)
        return;
    value_set_str(arena, spec, STR("serviceAccountName"), name);
    value_set_str(arena, spec, STR("serviceAccount"), name);
}

// ---- pods alone

static void default_requests(Arena *arena, Value *container) {
    Value *resources = value_get(container, STR("resources"));
    const Value *limits = value_get(resources, STR("limits"));
    for (uint32_t i = 0; limits && limits->kind == VALUE_OBJECT && i < limits->n; i++) {
        Value *requests = value_at_make(arena, resources, "requests");
        if (!value_get(requests, limits->members[i].key))
            value_set(arena, requests, limits->members[i].key, limits->members[i].value);
    }
}

static void default_host_ports(Arena *arena, Value *container) {
    Value *ports = value_get(container, STR("ports"));
    for (uint32_t i = 0; ports && ports->kind == VALUE_ARRAY && i < ports->n; i++)
        if (!value_int_at(ports->items[i], "hostPort", 0))
            value_set_int(arena, ports->items[i], STR("hostPort"),
                          value_int_at(ports->items[i], "containerPort", 0));
}

static void default_containers(Arena *arena, Value *spec, Str which) {
    Value *containers = value_get(spec, which);
    bool host_network = value_bool_at(spec, "hostNetwork", false);
    for (uint32_t i = 0; containers && containers->kind == VALUE_ARRAY && i < containers->n; i++) {
        default_requests(arena, containers->items[i]);
        if (host_network)
            default_host_ports(arena, containers->items[i]);
    }
}

void pod_default(Arena *arena, Value *pod) {
    Value *spec = value_get(pod, STR("spec"));
    if (!spec || spec->kind != VALUE_OBJECT)
        return;
    default_containers(arena, spec, STR("containers"));
    default_containers(arena, spec, STR("initContainers"));
    pod_default_resources(arena, spec);
    if (!value_get(spec, STR("enableServiceLinks")))
        value_set_bool(arena, spec, STR("enableServiceLinks"), true);
}
