// CSI drivers and what nodes have of them: pkg/apis/storage/validation upstream.

#include "kinds/pod.h"
#include "kinds/rules.h"

#define MAX_NODE_ID_BYTES 192
#define MIN_UPDATE_SECONDS 10

// ---- drivers

static void check_tokens(FieldErrors *errors, const Value *tokens, const Path *path) {
    _name_set_deinit_ NameSet audiences = {.n = 0};
    for (uint32_t i = 0; i < list_count(tokens); i++) {
        const Path *at = PATH_INDEX(path, i);
        const Value *seconds = GET(tokens->items[i], "expirationSeconds");
        Str audience = GET_STR(tokens->items[i], "audience");
        if (name_set_add(&audiences, audience, tokens))
            field_duplicate(errors, AT(at, "audience"), audience);
        if (seconds && seconds->integer < 600)
            field_invalid_int(errors, AT(at, "expirationSeconds"), seconds->integer,
                              "may not specify a duration less than 10 minutes");
        if (seconds && seconds->integer > (int64_t)1 << 32)
            field_invalid_int(errors, AT(at, "expirationSeconds"), seconds->integer,
                              "may not specify a duration larger than 2^32 seconds");
    }
}

static void validate_driver(FieldErrors *errors, const Value *object) {
    static const Str modes[] = {{"Ephemeral", 9}, {"Persistent", 10}};
    static const Str policies[] = {{"ReadWriteOnceWithFSType", 23}, {"File", 4}, {"None", 4}};
    const Path *path = AT(NULL, "spec");
    const Value *spec = GET(object, "spec"), *given = GET(spec, "volumeLifecycleModes"),
                *period = GET(spec, "nodeAllocatableUpdatePeriodSeconds");
    Str policy = GET_STR(spec, "fsGroupPolicy");
    if (!str_eq(policy, policies[0]) && !str_eq(policy, policies[1]) &&
        !str_eq(policy, policies[2]))
        field_not_supported(errors, AT(path, "fsGroupPolicy"), policy, policies, 3);
    check_tokens(errors, GET(spec, "tokenRequests"), AT(path, "tokenRequests"));
    for (uint32_t i = 0; i < list_count(given); i++) {
        Str mode = tree_string(given->items[i]);
        if (!str_eq(mode, modes[0]) && !str_eq(mode, modes[1]))
            field_not_supported(errors, AT(path, "volumeLifecycleModes"), mode, modes, 2);
    }
    if (period && period->integer < MIN_UPDATE_SECONDS)
        field_invalid_int(errors, AT(path, "nodeAllocatableUpdatePeriodSeconds"), period->integer,
                          "must be greater than or equal to 10 seconds");
}

static void keep(FieldErrors *errors, const Value *object, const Value *old, Str field,
                 const Path *path) {
    const Value *now = value_get(GET(object, "spec"), field),
                *before = value_get(GET(old, "spec"), field);
    if (now && before && !value_equal(now, before))
        field_invalid_value(errors, path, now, "field is immutable");
}

static void validate_driver_update(FieldErrors *errors, const Value *object, const Value *old) {
    keep(errors, object, old, STR("attachRequired"),
         AT(AT(NULL, "spec"), "attachedRequired")); // upstream's path
    keep(errors, object, old, STR("volumeLifecycleModes"),
         AT(AT(NULL, "spec"), "volumeLifecycleModes"));
}

const ResourceRules csi_driver_rules = {
    .validate = validate_driver,
    .validate_update = validate_driver_update,
};

// ---- nodes

static void check_topology_keys(FieldErrors *errors, const Value *keys, const Path *path) {
    _name_set_deinit_ NameSet seen = {.n = 0};
    for (uint32_t i = 0; i < list_count(keys); i++) {
        Str key = tree_string(keys->items[i]);
        if (name_set_add(&seen, key, keys))
            field_duplicate(errors, path, key);
        if (key.len)
            schema_check_format(errors, path, FORMAT_LABEL_KEY, key);
        else
            field_required(errors, path, "");
    }
}

static void validate_node(FieldErrors *errors, const Value *object) {
    const Value *drivers = value_at(object, "spec.drivers");
    for (uint32_t i = 0; i < list_count(drivers); i++) {
        const Value *driver = drivers->items[i], *count = value_at(driver, "allocatable.count");
        const Path *at = PATH_INDEX(AT(AT(NULL, "spec"), "drivers"), i);
        Str name = GET_STR(driver, "name"), id = GET_STR(driver, "nodeID");
        if (!name.len)
            field_required(errors, AT(at, "name"), "");
        csi_driver_validate(errors, name, AT(at, "name"));
        if (!id.len)
            field_required(errors, AT(at, "nodeID"), "");
        if (id.len > MAX_NODE_ID_BYTES)
            field_invalid(errors, AT(at, "nodeID"), id, "must be 192 characters or less");
        if (count && count->integer < 0)
            field_invalid_int(errors, AT(AT(at, "allocatable"), "count"), count->integer,
                              "must be greater than or equal to 0");
        check_topology_keys(errors, GET(driver, "topologyKeys"), AT(at, "topologyKeys"));
    }
}

static bool is_same_driver(Arena *arena, const Value *a, const Value *b) {
    Value *x = value_copy(arena, a), *y = value_copy(arena, b);
    value_unset(x, STR("allocatable"));
    value_unset(y, STR("allocatable"));
    return value_equal(x, y);
}

// A driver may come, go and hold another number of volumes.
static void validate_node_update(FieldErrors *errors, const Value *object, const Value *old) {
    const Value *drivers = value_at(object, "spec.drivers"),
                *before = value_at(old, "spec.drivers");
    _name_set_deinit_ NameSet known = {.n = 0};
    for (uint32_t i = 0; i < list_count(before); i++)
        name_set_add(&known, GET_STR(before->items[i], "name"), before->items[i]);
    for (uint32_t i = 0; i < list_count(drivers); i++) {
        const Value *was = name_set_get(&known, GET_STR(drivers->items[i], "name"));
        if (was && !is_same_driver(errors->arena, drivers->items[i], was))
            field_invalid_value(errors, AT(NULL, "CSINodeDriver"), drivers->items[i],
                                "field is immutable");
    }
}

const ResourceRules csi_node_rules = {.validate = validate_node,
                                      .validate_update = validate_node_update};
