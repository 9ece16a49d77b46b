// Containers of all three kinds: validateContainers, validateInitContainers and
// validateEphemeralContainers upstream. Required fields, enums, ranges and names that repeat within
// a list are the table's to check.

#include "kinds/pod.h"
#include "kinds/rules.h"

static void default_container(Arena *arena, Value *container) {
    if (!GET_STR(container, "imagePullPolicy").len)
        value_set_str(arena, container, STR("imagePullPolicy"),
                      image_is_latest(GET_STR(container, "image")) ? STR("Always")
                                                                   : STR("IfNotPresent"));
}
const TypeRules container_rules = {.default_fn = default_container};

// ---- what all have in common

static void check_port_names(FieldErrors *errors, const Value *ports, const Path *path) {
    _name_set_deinit_ NameSet names = {.n = 0};
    for (uint32_t i = 0; i < list_count(ports); i++) {
        Str name = GET_STR(ports->items[i], "name");
        if (name.len && name_set_add(&names, name, ports))
            field_duplicate(errors, AT(PATH_INDEX(path, i), "name"), name);
    }
}

static void check_host_ports(FieldErrors *errors, NameSet *taken, const Value *container,
                             const Path *path) {
    const Value *ports = GET(container, "ports");
    for (uint32_t i = 0; i < list_count(ports); i++) {
        const Value *port = ports->items[i];
        int64_t number = value_int_at(port, "hostPort", 0);
        if (!number)
            continue;
        Str key = arena_printf(errors->arena, "%.*s/%.*s/%lld", STR_ARG(GET_STR(port, "protocol")),
                               STR_ARG(GET_STR(port, "hostIP")), (long long)number);
        if (name_set_add(taken, key, port))
            field_duplicate(errors, AT(PATH_INDEX(AT(path, "ports"), i), "hostPort"), key);
    }
}

// Reported at the list, as upstream does.
static void check_resize_policy(FieldErrors *errors, const PodScope *scope, const Value *container,
                                const Path *path) {
    static const Str resources[] = {{"cpu", 3}, {"memory", 6}};
    static const Str policies[] = {{"NotRequired", 11}, {"RestartContainer", 16}};
    const Value *list = GET(container, "resizePolicy");
    const Path *at = AT(path, "resizePolicy");
    _name_set_deinit_ NameSet seen = {.n = 0};
    for (uint32_t i = 0; i < list_count(list); i++) {
        Str resource = GET_STR(list->items[i], "resourceName");
        Str policy = GET_STR(list->items[i], "restartPolicy");
        if (name_set_add(&seen, resource, list))
            field_duplicate(errors, PATH_INDEX(at, i), resource);
        if (!resource.len)
            field_required(errors, at, "");
        else if (!str_eq(resource, resources[0]) && !str_eq(resource, resources[1]))
            field_not_supported(errors, at, resource, resources, 2);
        if (!policy.len)
            field_required(errors, at, "");
        else if (!str_eq(policy, policies[0]) && !str_eq(policy, policies[1]))
            field_not_supported(errors, at, policy, policies, 2);
        if (scope->never_restarts && !str_eq(policy, policies[0]))
            field_invalid(errors, at, policy,
                          "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
}

static void check_common(FieldErrors *errors, const PodScope *scope, const Value *container,
                         const Path *path) {
    check_port_names(errors, GET(container, "ports"), AT(path, "ports"));
    container_validate_env(errors, scope, container, path);
    container_validate_mounts(errors, scope, container, path);
    container_validate_resources(errors, scope, container, path);
    if (GET(container, "resizePolicy"))
        check_resize_policy(errors, scope, container, path);
    if (GET(container, "securityContext"))
        container_validate_security(errors, scope, container, path);
}

// ---- restart policies of regular and init containers

#define MAX_RESTART_RULES 20
#define MAX_EXIT_CODES 255

static void check_exit_codes(FieldErrors *errors, const Value *codes, const Path *path) {
    static const Str operators[] = {{"In", 2}, {"NotIn", 5}};
    Str relation = GET_STR(codes, "operator");
    uint32_t n = list_count(GET(codes, "values"));
    if (!str_eq(relation, operators[0]) && !str_eq(relation, operators[1]))
        field_not_supported(errors, AT(path, "operator"), relation, operators, 2);
    if (n > MAX_EXIT_CODES)
        field_too_many(errors, AT(path, "values"), n, MAX_EXIT_CODES);
}

static void check_restart_rules(FieldErrors *errors, const Value *rules, const Path *path) {
    static const Str action = {"Restart", 7};
    uint32_t n = list_count(rules);
    if (n > MAX_RESTART_RULES) {
        field_too_many(errors, path, n, MAX_RESTART_RULES);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        const Value *codes = GET(rules->items[i], "exitCodes");
        const Path *at = PATH_INDEX(path, i);
        Str given = GET_STR(rules->items[i], "action");
        if (!str_eq(given, action))
            field_not_supported(errors, AT(at, "action"), given, &action, 1);
        if (codes)
            check_exit_codes(errors, codes, AT(at, "exitCodes"));
        else
            field_required(errors, AT(at, "exitCodes"), "must be specified");
    }
}

static void check_restart(FieldErrors *errors, const Value *container, const Path *path) {
    static const Str policies[] = {{"Always", 6}, {"Never", 5}, {"OnFailure", 9}};
    const Value *value = GET(container, "restartPolicy");
    const Value *rules = GET(container, "restartPolicyRules");
    Str policy = tree_string(value);
    if (!value && list_count(rules))
        field_required(errors, AT(path, "restartPolicy"),
                       "must specify restartPolicy when restart rules are used");
    if (value && !str_eq(policy, policies[0]) && !str_eq(policy, policies[1]) &&
        !str_eq(policy, policies[2]))
        field_not_supported(errors, AT(path, "restartPolicy"), policy, policies, 3);
    check_restart_rules(errors, rules, AT(path, "restartPolicyRules"));
}

// ---- the three lists

static void check_regular(FieldErrors *errors, const PodScope *scope, const Value *containers,
                          const Path *path) {
    _name_set_deinit_ NameSet host_ports = {.n = 0};
    for (uint32_t i = 0; i < list_count(containers); i++) {
        const Value *container = containers->items[i];
        const Path *at = PATH_INDEX(path, i);
        check_common(errors, scope, container, at);
        container_validate_lifecycle(errors, scope, container, at);
        check_restart(errors, container, at);
        check_host_ports(errors, &host_ports, container, at);
    }
}

static void refuse(FieldErrors *errors, const Value *container, const Path *path, const Str *fields,
                   size_t n, const char *detail) {
    for (size_t i = 0; i < n; i++) {
        const Value *value = value_get(container, fields[i]);
        bool empty = value && value->kind == VALUE_OBJECT && !value->n; // resources
        if (value && !(empty && str_eq(fields[i], STR("resources"))))
            field_forbidden(errors, PATH(path, fields[i]), detail);
    }
}

static void check_init(FieldErrors *errors, const PodScope *scope, const Value *containers,
                       const NameSet *regular, const Path *path) {
    static const Str sidecar_only[] = {
        {"lifecycle", 9}, {"livenessProbe", 13}, {"readinessProbe", 14}, {"startupProbe", 12}};
    for (uint32_t i = 0; i < list_count(containers); i++) {
        const Value *container = containers->items[i];
        const Path *at = PATH_INDEX(path, i);
        Str name = GET_STR(container, "name");
        check_common(errors, scope, container, at);
        check_restart(errors, container, at);
        if (name.len && name_set_get(regular, name))
            field_duplicate(errors, AT(at, "name"), name);
        // They run one by one, so that each has the ports to itself; upstream counts it as the
        // first.
        _name_set_deinit_ NameSet host_ports = {.n = 0};
        check_host_ports(errors, &host_ports, container, PATH_INDEX(path, 0));
        if (container_is_sidecar(container))
            container_validate_lifecycle(errors, scope, container, at);
        else
            refuse(errors, container, at, sidecar_only, 4,
                   "may not be set for init containers without restartPolicy=Always");
    }
}

static void refuse_sub_paths(FieldErrors *errors, const Value *container, const Path *path) {
    static const Str fields[] = {{"subPath", 7}, {"subPathExpr", 11}};
    const Value *mounts = GET(container, "volumeMounts");
    for (uint32_t i = 0; i < list_count(mounts); i++)
        refuse(errors, mounts->items[i], PATH_INDEX(AT(path, "volumeMounts"), i), fields, 2,
               "cannot be set for an Ephemeral Container");
}

static void check_ephemeral(FieldErrors *errors, const PodScope *scope, const Value *containers,
                            const NameSet *others, const Path *path) {
    static const Str unwanted[] = {
        {"ports", 5},           {"resources", 9},           {"resizePolicy", 12},
        {"restartPolicy", 13},  {"restartPolicyRules", 18}, {"livenessProbe", 13},
        {"readinessProbe", 14}, {"startupProbe", 12},       {"lifecycle", 9}};
    for (uint32_t i = 0; i < list_count(containers); i++) {
        const Value *container = containers->items[i];
        const Path *at = PATH_INDEX(path, i);
        Str name = GET_STR(container, "name"), target = GET_STR(container, "targetContainerName");
        check_common(errors, scope, container, at);
        if (name.len && name_set_get(others, name))
            field_duplicate(errors, AT(at, "name"), name);
        if (target.len && !name_set_get(others, target))
            field_not_found(errors, AT(at, "targetContainerName"), target);
        refuse(errors, container, at, unwanted, sizeof unwanted / sizeof *unwanted,
               "cannot be set for an Ephemeral Container");
        refuse_sub_paths(errors, container, at);
    }
}

static void collect_names(NameSet *names, const Value *containers) {
    for (uint32_t i = 0; i < list_count(containers); i++)
        name_set_add(names, GET_STR(containers->items[i], "name"), containers);
}

void pod_validate_containers(FieldErrors *errors, const PodScope *scope) {
    const Value *regular = GET(scope->spec, "containers");
    const Value *init = GET(scope->spec, "initContainers");
    const Value *ephemeral = GET(scope->spec, "ephemeralContainers");
    _name_set_deinit_ NameSet names = {.n = 0};
    check_regular(errors, scope, regular, AT(scope->path, "containers"));
    if (init || ephemeral)
        collect_names(&names, regular);
    if (init)
        check_init(errors, scope, init, &names, AT(scope->path, "initContainers"));
    if (!ephemeral)
        return;
    collect_names(&names, init);
    check_ephemeral(errors, scope, ephemeral, &names, AT(scope->path, "ephemeralContainers"));
}
