// Defaults of pods and of what pods are made of: pkg/apis/core/v1/defaults.go, and what the
// conversion between v1 and the internal version does upstream.

#include "base/quantity.h"
#include "kinds/pod.h"
#include "kinds/rules.h"

// ---- containers

static void default_image(Arena *arena, Value *holder, Str image, Str policy) {
    if (!tree_string(value_get(holder, policy)).len)
        value_set_str(arena, holder, policy,
                      image_is_latest(image) ? STR("Always") : STR("IfNotPresent"));
}

void container_default(Arena *arena, Value *container) {
    default_image(arena, container, tree_string(value_get(container, STR("image"))),
                  STR("imagePullPolicy"));
}

// Finer than thousandths is rounded up. Only quantities that end so need to be looked at.
static void round_list(Arena *arena, Value *list) {
    for (uint32_t i = 0; list && list->kind == VALUE_OBJECT && i < list->n; i++) {
        Str text = tree_string(list->members[i].value);
        Quantity quantity;
        if (!text.len || (text.ptr[text.len - 1] != 'n' && text.ptr[text.len - 1] != 'u' &&
                          str_find(text, 'e') < 0))
            continue;
        if (quantity_parse(text, &quantity) == 0)
            list->members[i].value =
                value_new_string(arena, quantity_format(arena, quantity_round_milli(quantity)));
    }
}

void resources_default(Arena *arena, Value *resources) {
    round_list(arena, value_get(resources, STR("limits")));
    round_list(arena, value_get(resources, STR("requests")));
}

// ---- volumes

static void default_volume(Arena *arena, Value *volume) {
    bool only_name = true;
    for (uint32_t i = 0; i < volume->n; i++)
        only_name = only_name && str_eq(volume->members[i].key, STR("name"));
    if (only_name)
        value_set(arena, volume, STR("emptyDir"), value_new_object(arena));
    Value *image = value_get(volume, STR("image"));
    if (image)
        default_image(arena, image, tree_string(value_get(image, STR("reference"))),
                      STR("pullPolicy"));
}
const TypeRules volume_rules = {.default_fn = default_volume};

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

void pod_spec_default(Arena *arena, Value *spec) {
    pod_mirror_service_account(arena, spec);
    round_list(arena, value_get(spec, STR("overhead")));
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

// podIP and podIPs[0] are one thing; the older field wins.
static void default_status(Arena *arena, Value *status) {
    Str ip = tree_string(value_get(status, STR("podIP")));
    Str first = value_string_at(tree_item(status, "podIPs", 0), "ip");
    if (ip.len && !str_eq(ip, first)) {
        Value *ips = value_new_array(arena), *item = value_new_object(arena);
        value_set_str(arena, item, STR("ip"), ip);
        value_push(arena, ips, item);
        value_set(arena, status, STR("podIPs"), ips);
    } else if (!ip.len && first.len) {
        value_set_str(arena, status, STR("podIP"), first);
    }
}
const TypeRules pod_status_rules = {.default_fn = default_status};
