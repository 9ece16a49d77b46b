// What may be written to the status of a pod: ValidatePodStatusUpdate upstream. What phases and QoS
// classes there are is in the table.

#include "kinds/address.h"
#include "kinds/kinds.h"
#include "kinds/pod.h"
#include "kinds/rules.h"

#define MAX_CONDITIONS 1000 // of which generations are kept

static const Path status_path = {.name = {"status", 6}, .index = -1};

// podIP and podIPs[0] are one thing; the older field wins.
static void default_status(Arena *arena, Value *status) {
    Str ip = GET_STR(status, "podIP");
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

// ---- what the writer may leave out

static void keep_generation(Arena *arena, Value *now, const Value *before) {
    const Value *generation = GET(before, "observedGeneration");
    if (now && generation && !GET(now, "observedGeneration"))
        value_set(arena, now, STR("observedGeneration"), (Value *)generation);
}

static const Value *condition_of(const Value *conditions, Str type) {
    for (uint32_t i = 0; i < list_count(conditions); i++)
        if (str_eq(GET_STR(conditions->items[i], "type"), type))
            return conditions->items[i];
    return NULL;
}

void pod_prepare_status(Arena *arena, Value *pod, const Value *old) {
    Value *status = GET(pod, "status");
    const Value *before = GET(old, "status");
    if (!status || status->kind != VALUE_OBJECT)
        return;
    if (!GET_STR(status, "qosClass").len && GET(before, "qosClass"))
        value_set(arena, status, STR("qosClass"), GET(before, "qosClass"));
    keep_generation(arena, status, before);
    const Value *conditions = GET(status, "conditions");
    for (uint32_t i = 0; i < list_count(conditions) && i < MAX_CONDITIONS; i++)
        keep_generation(
            arena, conditions->items[i],
            condition_of(GET(before, "conditions"), GET_STR(conditions->items[i], "type")));
}

// ---- conditions

static void check_conditions(FieldErrors *errors, const Value *conditions) {
    static const Str system[] = {{"PodScheduled", 12}, {"Ready", 5}, {"Initialized", 11}};
    const Path *path = AT(PATH(NULL, STR("metadata")), "conditions"); // sic
    for (uint32_t i = 0; i < list_count(conditions); i++) {
        Str type = GET_STR(conditions->items[i], "type");
        if (!str_eq(type, system[0]) && !str_eq(type, system[1]) && !str_eq(type, system[2]))
            schema_check_format(errors, AT(PATH_INDEX(path, i), "Type"), FORMAT_LABEL_KEY, type);
    }
}

// ---- containers that have ended stay so where nothing restarts them

static const Value *find(const Value *list, Str name, uint32_t hint) {
    if (hint < list_count(list) && str_eq(GET_STR(list->items[hint], "name"), name))
        return list->items[hint];
    for (uint32_t i = 0; i < list_count(list); i++)
        if (str_eq(GET_STR(list->items[i], "name"), name))
            return list->items[i];
    return NULL;
}

static bool rule_matches(const Value *rule, int64_t exit_code) {
    const Value *codes = value_at(rule, "exitCodes.values");
    bool found = false;
    for (uint32_t i = 0; i < list_count(codes) && !found; i++)
        found = codes->items[i]->kind == VALUE_INT && codes->items[i]->integer == exit_code;
    return found == tree_is(rule, "exitCodes.operator", "In");
}

// By its own rules, its own policy or the pod's.
static bool may_restart(const Value *container, Str pod_policy, int64_t exit_code) {
    const Value *rules = GET(container, "restartPolicyRules");
    Str policy = GET_STR(container, "restartPolicy");
    for (uint32_t i = 0; i < list_count(rules); i++)
        if (rule_matches(rules->items[i], exit_code))
            return true;
    if (!policy.len)
        policy = pod_policy;
    return str_eq(policy, STR("Always")) || (str_eq(policy, STR("OnFailure")) && exit_code != 0);
}

#define MAX_STATUSES 1000 // more than any pod has containers

static void check_transitions(FieldErrors *errors, const Value *pod, const Value *old, Str field,
                              Str containers, Str policy) {
    const Value *before = value_get(GET(old, "status"), field);
    const Value *after = value_get(GET(pod, "status"), field);
    const Value *list = containers.len ? value_get(GET(old, "spec"), containers) : NULL;
    if (list_count(after) > MAX_STATUSES) {
        field_too_many(errors, PATH(&status_path, field), list_count(after), MAX_STATUSES);
        return;
    }
    for (uint32_t i = 0; i < list_count(before); i++) {
        const Value *ended = value_at(before->items[i], "state.terminated");
        Str name = GET_STR(before->items[i], "name");
        if (!ended)
            continue;
        const Value *now = find(after, name, i);
        if (!now || value_at(now, "state.terminated") ||
            may_restart(find(list, name, i), policy, value_int_at(ended, "exitCode", 0)))
            continue;
        field_forbidden(errors, AT(PATH_INDEX(PATH(&status_path, field), i), "state"),
                        "may not be transitioned to non-terminated state");
    }
}

// ---- claims

static void check_claims(FieldErrors *errors, const Value *pod) {
    const Value *statuses = value_at(pod, "status.resourceClaimStatuses");
    const Value *claims = value_at(pod, "spec.resourceClaims");
    _name_set_deinit_ NameSet names = {.n = 0};
    for (uint32_t i = 0; statuses && i < list_count(claims); i++)
        name_set_add(&names, GET_STR(claims->items[i], "name"), claims);
    for (uint32_t i = 0; i < list_count(statuses); i++) {
        const Path *path = AT(PATH_INDEX(AT(&status_path, "resourceClaimStatuses"), i), "name");
        Str name = GET_STR(statuses->items[i], "name");
        const Value *claim = GET(statuses->items[i], "resourceClaimName");
        if (!name_set_get(&names, name))
            field_invalid(errors, path, name,
                          "must match the name of an entry in `spec.resourceClaims`");
        if (claim)
            schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, tree_string(claim));
    }
}

// ---- addresses

static void check_families(FieldErrors *errors, const Value *list, const Type *type,
                           const Path *path) {
    uint32_t n = list_count(list);
    unsigned v6 = 0;
    for (uint32_t i = 0; i < n; i++)
        v6 += address_is_v6(GET_STR(list->items[i], "ip"));
    if (n > 1 && (n > 2 || v6 != 1))
        field_invalid_value(errors, path, pod_internal_shapes(errors->arena, type, list),
                            "may specify no more than one IP for each IP family");
}

static void check_addresses(FieldErrors *errors, const Value *list, const Type *type,
                            const Path *path) {
    _name_set_deinit_ NameSet seen = {.n = 0};
    for (uint32_t i = 0; i < list_count(list); i++)
        address_check(errors, PATH_INDEX(path, i), GET_STR(list->items[i], "ip"));
    check_families(errors, list, type, path);
    for (uint32_t i = 0; i < list_count(list); i++)
        if (name_set_add(&seen, GET_STR(list->items[i], "ip"), list))
            field_duplicate_value(errors, PATH_INDEX(path, i),
                                  pod_internal_shape(errors->arena, type, list->items[i]));
}

static void check_ips(FieldErrors *errors, const Value *status) {
    const Value *host = GET(status, "hostIPs");
    const Path *host_path = AT(&status_path, "hostIPs");
    check_addresses(errors, GET(status, "podIPs"), kinds_type_PodIP(), AT(&status_path, "podIPs"));
    Str first = list_count(host) ? GET_STR(host->items[0], "ip") : STR("");
    if (list_count(host) && !str_eq(first, GET_STR(status, "hostIP")))
        field_invalid(errors, AT(PATH_INDEX(host_path, 0), "ip"), first,
                      "must be equal to `hostIP`");
    check_addresses(errors, host, kinds_type_HostIP(), host_path);
}

// ---- users

static void check_users(FieldErrors *errors, const Value *pod, Str field) {
    const Value *statuses = value_get(GET(pod, "status"), field);
    bool windows = tree_is(pod, "spec.os.name", "windows");
    for (uint32_t i = 0; i < list_count(statuses); i++) {
        const Value *user = value_at(statuses->items[i], "user.linux");
        const Path *path = AT(PATH_INDEX(PATH(&status_path, field), i), "linux");
        if (!user)
            continue;
        if (windows) {
            field_forbidden(errors, path, "cannot be set for a windows pod");
            continue;
        }
        const Value *groups = GET(user, "supplementalGroups");
        pod_validate_user_id(errors, GET(user, "uid"), AT(path, "uid"));
        pod_validate_user_id(errors, GET(user, "gid"), AT(path, "gid"));
        for (uint32_t k = 0; k < list_count(groups); k++)
            pod_validate_user_id(errors, groups->items[k],
                                 PATH_INDEX(AT(path, "supplementalGroups"), k));
    }
}

void pod_validate_status_update(FieldErrors *errors, const Value *pod, const Value *old) {
    static const Str lists[] = {{"containerStatuses", 17},
                                {"initContainerStatuses", 21},
                                {"ephemeralContainerStatuses", 26}};
    const Value *status = GET(pod, "status");
    Str policy = value_string_at(old, "spec.restartPolicy");
    Str node = GET_STR(status, "nominatedNodeName");
    pod_validate_annotation_update(errors, pod, old);
    check_conditions(errors, GET(status, "conditions"));
    if (!str_eq(value_string_at(pod, "spec.nodeName"), value_string_at(old, "spec.nodeName")))
        field_forbidden(errors, AT(&status_path, "nodeName"), "may not be changed directly");
    if (node.len && !str_eq(node, value_string_at(old, "status.nominatedNodeName")))
        schema_check_format(errors, AT(&status_path, "nominatedNodeName"), FORMAT_DNS_SUBDOMAIN,
                            node);
    const Value *qos = GET(status, "qosClass");
    if (!value_equal(qos, value_at(old, "status.qosClass"))) {
        Value none = {.kind = VALUE_STRING, .string = STR("")};
        field_invalid_value(errors, AT(&status_path, "qosClass"), qos ? qos : &none,
                            "field is immutable");
    }
    check_transitions(errors, pod, old, lists[0], STR("containers"), policy);
    check_transitions(errors, pod, old, lists[1], STR("initContainers"), policy);
    check_transitions(errors, pod, old, lists[2], STR(""), STR("Never"));
    check_claims(errors, pod);
    check_ips(errors, status);
    for (size_t i = 0; i < 3; i++)
        check_users(errors, pod, lists[i]);
}
