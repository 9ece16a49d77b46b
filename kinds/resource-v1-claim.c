// Claims for devices and their templates: pkg/apis/resource/v1/defaults.go,
// pkg/apis/resource/validation and the registry's strategies upstream.

#include "kinds/address.h"
#include "kinds/pod.h"
#include "kinds/resource-v1.h"
#include "kinds/rules.h"

#define MAX_REQUESTS 32 // and as many constraints, configurations and results
#define MAX_ALTERNATIVES 8
#define MAX_CONSUMERS 256
#define MAX_CONDITIONS 8
#define MAX_DATA_BYTES (10 * 1024)
#define MAX_ADDRESSES 16

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

// ---- defaults

static void default_request(Arena *arena, Value *request) {
    if (!GET_STR(request, "allocationMode").len)
        value_set_str(arena, request, STR("allocationMode"), STR("ExactCount"));
    if (tree_is(request, "allocationMode", "ExactCount") && !value_int_at(request, "count", 0))
        value_set_int(arena, request, STR("count"), 1);
}
const TypeRules device_request_rules = {.default_fn = default_request};

// ---- requests

static void check_request(FieldErrors *errors, const Value *request, const Path *path) {
    static const Str modes[] = {{"All", 3}, {"ExactCount", 10}};
    Str mode = GET_STR(request, "allocationMode");
    int64_t count = value_int_at(request, "count", 0);
    device_class_name_validate(errors, GET_STR(request, "deviceClassName"),
                               AT(path, "deviceClassName"));
    device_selectors_validate(errors, GET(request, "selectors"), AT(path, "selectors"));
    if (str_eq(mode, modes[0])) {
        if (count)
            field_invalid_int(errors, AT(path, "count"), count,
                              "must not be specified when allocationMode is 'All'");
    } else if (!str_eq(mode, modes[1])) {
        field_not_supported(errors, AT(path, "allocationMode"), mode, modes, 2);
    } else if (count <= 0) {
        field_invalid_int(errors, AT(path, "count"), count, "must be greater than zero");
    }
}

// Names of requests, and REQUEST/ALTERNATIVE.
static void gather_names(Arena *arena, const Value *claim, NameSet *names) {
    const Value *requests = GET(claim, "requests");
    for (uint32_t i = 0; i < list_count(requests); i++) {
        Str name = GET_STR(requests->items[i], "name");
        const Value *parts = GET(requests->items[i], "firstAvailable");
        name_set_add(names, name, requests);
        for (uint32_t k = 0; k < list_count(parts); k++)
            name_set_add(
                names,
                arena_concat(arena, (Str[]){name, GET_STR(parts->items[k], "name")}, 2, STR("/")),
                requests);
    }
}

static void check_alternatives(FieldErrors *errors, const Value *list, const Path *path) {
    _name_set_deinit_ NameSet names = {.n = 0};
    if (list_count(list) > MAX_ALTERNATIVES)
        field_too_many(errors, path, list->n, MAX_ALTERNATIVES);
    for (uint32_t i = 0; i < list_count(list); i++) {
        const Path *at = PATH_INDEX(path, i);
        Str name = GET_STR(list->items[i], "name");
        device_label_validate(errors, name, AT(at, "name"));
        check_request(errors, list->items[i], at);
        if (name_set_add(&names, name, list))
            field_duplicate(errors, AT(at, "name"), name);
    }
}

static void check_requests(FieldErrors *errors, const Value *requests, const Path *path) {
    static const char *const
        one = "exactly one of `exactly` or `firstAvailable` is required",
        *many =
            "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
    _name_set_deinit_ NameSet names = {.n = 0};
    if (list_count(requests) > MAX_REQUESTS)
        field_too_many(errors, path, requests->n, MAX_REQUESTS);
    for (uint32_t i = 0; i < list_count(requests); i++) {
        const Path *at = PATH_INDEX(path, i);
        const Value *exactly = GET(requests->items[i], "exactly"),
                    *first = GET(requests->items[i], "firstAvailable");
        Str name = GET_STR(requests->items[i], "name");
        device_label_validate(errors, name, AT(at, "name"));
        if (exactly && list_count(first))
            field_invalid_value(errors, at, NULL, many);
        else if (exactly)
            check_request(errors, exactly, AT(at, "exactly"));
        else if (list_count(first))
            check_alternatives(errors, first, AT(at, "firstAvailable"));
        else
            field_required(errors, at, one);
        if (name_set_add(&names, name, requests))
            field_duplicate(errors, AT(at, "name"), name);
    }
}

static void check_reference(FieldErrors *errors, Str name, const NameSet *names, const Path *path) {
    static const char *const detail = "must be the name of a request in the claim or the name of a "
                                      "request and a subrequest separated by '/'";
    Str rest = name;
    Str first = str_cut(&rest, '/');
    if (rest.ptr && str_find(rest, '/') >= 0) {
        field_invalid(errors, path, name, detail);
        return;
    }
    device_label_validate(errors, first, path);
    if (rest.ptr)
        device_label_validate(errors, rest, path);
    if (!name_set_get(names, name))
        field_invalid(errors, path, name, detail);
}

// `requests` of constraints and configurations.
static void check_references(FieldErrors *errors, const Value *holder, const NameSet *names,
                             const Path *path) {
    const Value *list = GET(holder, "requests");
    const Path *at = AT(path, "requests");
    _name_set_deinit_ NameSet seen = {.n = 0};
    if (list_count(list) > MAX_REQUESTS)
        field_too_many(errors, at, list->n, MAX_REQUESTS);
    for (uint32_t i = 0; i < list_count(list); i++) {
        check_reference(errors, tree_string(list->items[i]), names, PATH_INDEX(at, i));
        if (name_set_add(&seen, tree_string(list->items[i]), list))
            field_duplicate(errors, PATH_INDEX(at, i), tree_string(list->items[i]));
    }
}

// ---- the spec

static void check_claim(FieldErrors *errors, const Value *claim, const Path *path) {
    const Value *constraints = GET(claim, "constraints"), *config = GET(claim, "config");
    _name_set_deinit_ NameSet names = {.n = 0};
    gather_names(errors->arena, claim, &names);
    check_requests(errors, GET(claim, "requests"), AT(path, "requests"));
    if (list_count(constraints) > MAX_REQUESTS)
        field_too_many(errors, AT(path, "constraints"), constraints->n, MAX_REQUESTS);
    for (uint32_t i = 0; i < list_count(constraints); i++) {
        const Path *at = PATH_INDEX(AT(path, "constraints"), i);
        const Value *attribute = GET(constraints->items[i], "matchAttribute");
        check_references(errors, constraints->items[i], &names, at);
        if (attribute)
            device_attribute_name_validate(errors, tree_string(attribute), true,
                                           AT(at, "matchAttribute"));
        else
            field_required(errors, AT(at, "matchAttribute"), "");
    }
    if (list_count(config) > MAX_REQUESTS)
        field_too_many(errors, AT(path, "config"), config->n, MAX_REQUESTS);
    for (uint32_t i = 0; i < list_count(config); i++) {
        check_references(errors, config->items[i], &names, PATH_INDEX(AT(path, "config"), i));
        device_configuration_validate(errors, config->items[i], PATH_INDEX(AT(path, "config"), i));
    }
}

static void drop_from_request(Value *request) {
    static const Str off[] = {{"tolerations", 11}, {"capacity", 8}};
    device_drop(request, off, 2);
}

// Taints and sharing are alpha features that are off.
static void drop_from_claim(Value *claim) {
    static const Str off[] = {{"distinctAttribute", 17}};
    Value *requests = GET(claim, "requests"), *constraints = GET(claim, "constraints");
    for (uint32_t i = 0; i < list_count(requests); i++) {
        Value *first = GET(requests->items[i], "firstAvailable");
        drop_from_request(GET(requests->items[i], "exactly"));
        for (uint32_t k = 0; k < list_count(first); k++)
            drop_from_request(first->items[k]);
    }
    for (uint32_t i = 0; i < list_count(constraints); i++)
        device_drop(constraints->items[i], off, 1);
}

static void keep_spec(FieldErrors *errors, const Value *object, const Value *old) {
    if (!value_equal(GET(object, "spec"), GET(old, "spec")))
        field_invalid_value(errors, &spec_path, GET(object, "spec"), "field is immutable");
}

static void prepare(Arena *arena, Value *claim, const Value *old) {
    drop_from_claim(value_at(claim, "spec.devices"));
}

static void validate(FieldErrors *errors, const Value *claim) {
    check_claim(errors, value_at(claim, "spec.devices"), AT(&spec_path, "devices"));
}

// ---- the status

static void check_results(FieldErrors *errors, const Value *allocation, const NameSet *names,
                          const Path *path) {
    static const Str sources[] = {{"FromClaim", 9}, {"FromClass", 9}};
    const Value *results = value_at(allocation, "devices.results"),
                *config = value_at(allocation, "devices.config");
    const Path *devices = AT(path, "devices");
    if (list_count(results) > MAX_REQUESTS)
        field_too_many(errors, AT(devices, "results"), results->n, MAX_REQUESTS);
    for (uint32_t i = 0; i < list_count(results); i++) {
        const Value *result = results->items[i];
        const Path *at = PATH_INDEX(AT(devices, "results"), i);
        check_reference(errors, GET_STR(result, "request"), names, AT(at, "request"));
        device_driver_validate(errors, GET_STR(result, "driver"), AT(at, "driver"));
        device_pool_validate(errors, GET_STR(result, "pool"), AT(at, "pool"));
        device_label_validate(errors, GET_STR(result, "device"), AT(at, "device"));
    }
    if (list_count(config) > 2 * MAX_REQUESTS)
        field_too_many(errors, AT(devices, "config"), config->n, 2 * MAX_REQUESTS);
    for (uint32_t i = 0; i < list_count(config); i++) {
        const Path *at = PATH_INDEX(AT(devices, "config"), i);
        Str source = GET_STR(config->items[i], "source");
        if (!source.len)
            field_required(errors, AT(at, "source"), "");
        else if (!str_eq(source, sources[0]) && !str_eq(source, sources[1]))
            field_not_supported(errors, AT(at, "source"), source, sources, 2);
        check_references(errors, config->items[i], names, at);
        device_configuration_validate(errors, config->items[i], at);
    }
    if (GET(allocation, "nodeSelector"))
        node_selector_validate(errors, GET(allocation, "nodeSelector"), AT(path, "nodeSelector"));
}

static void check_consumers(FieldErrors *errors, const Value *claim, const Value *old,
                            const Path *path) {
    static const Str fields[] = {{"resource", 8}, {"name", 4}, {"uid", 3}};
    const Value *list = value_at(claim, "status.reservedFor"),
                *before = value_at(old, "status.reservedFor");
    bool going = value_at(claim, "metadata.deletionTimestamp"), added = false;
    _name_set_deinit_ NameSet known = {.n = 0};
    if (list_count(list) > MAX_CONSUMERS) {
        field_too_many(errors, path, list->n, MAX_CONSUMERS);
        return;
    }
    for (uint32_t i = 0; i < list_count(before); i++)
        name_set_add(&known, GET_STR(before->items[i], "uid"), before);
    for (uint32_t i = 0; i < list_count(list); i++) {
        for (size_t k = 0; k < 3; k++)
            if (!tree_string(value_get(list->items[i], fields[k])).len)
                field_required(errors, PATH(PATH_INDEX(path, i), fields[k]), "");
        added = added || !name_set_get(&known, GET_STR(list->items[i], "uid"));
    }
    if (list_count(list) && !value_at(claim, "status.allocation"))
        field_forbidden(errors, path, "may not be specified when `allocated` is not set");
    else if (going && added)
        field_forbidden(errors, path,
                        "new entries may not be added while `deallocationRequested` or "
                        "`deletionTimestamp` are set");
}

static void check_network(FieldErrors *errors, const Value *data, const Path *path) {
    const Value *ips = GET(data, "ips");
    if (GET_STR(data, "interfaceName").len > 256)
        field_too_long(errors, AT(path, "interfaceName"), 256);
    if (GET_STR(data, "hardwareAddress").len > 128)
        field_too_long(errors, AT(path, "hardwareAddress"), 128);
    if (list_count(ips) > MAX_ADDRESSES) {
        field_too_many(errors, AT(path, "ips"), ips->n, MAX_ADDRESSES);
        return;
    }
    for (uint32_t i = 0; i < list_count(ips); i++) {
        address_check_range(errors, PATH_INDEX(AT(path, "ips"), i), tree_string(ips->items[i]));
        for (uint32_t k = 0; k < i; k++)
            if (value_equal(ips->items[i], ips->items[k]))
                field_duplicate_value(errors, PATH_INDEX(AT(path, "ips"), i), ips->items[i]);
    }
}

static Str device_id(Arena *arena, const Value *device) {
    return arena_printf(arena, "%.*s/%.*s/%.*s", STR_ARG(GET_STR(device, "driver")),
                        STR_ARG(GET_STR(device, "pool")), STR_ARG(GET_STR(device, "device")));
}

static void check_devices(FieldErrors *errors, const Value *claim, const Path *path) {
    const Value *list = value_at(claim, "status.devices"),
                *results = value_at(claim, "status.allocation.devices.results");
    _name_set_deinit_ NameSet given = {.n = 0};
    for (uint32_t i = 0; i < list_count(results); i++)
        name_set_add(&given, device_id(errors->arena, results->items[i]), results);
    for (uint32_t i = 0; i < list_count(list); i++) {
        const Value *device = list->items[i], *data = GET(device, "data"),
                    *conditions = GET(device, "conditions");
        const Path *at = PATH_INDEX(path, i);
        Str id = device_id(errors->arena, device);
        device_driver_validate(errors, GET_STR(device, "driver"), AT(at, "driver"));
        device_pool_validate(errors, GET_STR(device, "pool"), AT(at, "pool"));
        device_label_validate(errors, GET_STR(device, "device"), AT(at, "device"));
        if (!name_set_get(&given, id))
            field_invalid(errors, at, id, "must be an allocated device in the claim");
        if (list_count(conditions) > MAX_CONDITIONS)
            field_too_many(errors, AT(at, "conditions"), conditions->n, MAX_CONDITIONS);
        if (data)
            device_raw_validate(errors, data, MAX_DATA_BYTES, AT(at, "data"));
        check_network(errors, GET(device, "networkData"), AT(at, "networkData"));
    }
}

static void validate_status(FieldErrors *errors, const Value *claim, const Value *old) {
    const Value *allocation = value_at(claim, "status.allocation"),
                *was = value_at(old, "status.allocation");
    const Path *path = AT(NULL, "status");
    check_consumers(errors, claim, old, AT(path, "reservedFor"));
    check_devices(errors, claim, AT(path, "devices"));
    if (allocation && was) {
        if (!value_equal(allocation, was))
            field_invalid_value(errors, AT(path, "allocation"), allocation, "field is immutable");
    } else if (allocation) {
        _name_set_deinit_ NameSet names = {.n = 0};
        gather_names(errors->arena, value_at(claim, "spec.devices"), &names);
        check_results(errors, allocation, &names, AT(path, "allocation"));
    }
}

// Devices that a claim no longer holds are not reported on, and what belongs to features that are
// off is dropped.
static void prepare_status(Arena *arena, Value *claim, const Value *old) {
    static const Str off[] = {{"tolerations", 11},
                              {"bindingConditions", 17},
                              {"bindingFailureConditions", 24},
                              {"shareID", 7},
                              {"consumedCapacity", 16}};
    Value *status = GET(claim, "status"), *allocation = GET(status, "allocation");
    Value *results = value_at(allocation, "devices.results"), *devices = GET(status, "devices");
    if (allocation)
        value_unset(allocation, STR("allocationTimestamp"));
    for (uint32_t i = 0; i < list_count(results); i++)
        device_drop(results->items[i], off, sizeof off / sizeof *off);
    for (uint32_t i = 0; i < list_count(devices); i++)
        value_unset(devices->items[i], STR("shareID"));
    if (!allocation && status && value_at(old, "status.allocation"))
        value_unset(status, STR("devices"));
}

const ResourceRules resource_claim_rules = {
    .prepare = prepare,
    .prepare_status = prepare_status,
    .validate = validate,
    .validate_update = keep_spec,
    .validate_status_update = validate_status,
};

// ---- templates

static void prepare_template(Arena *arena, Value *template, const Value *old) {
    drop_from_claim(value_at(template, "spec.spec.devices"));
}

static void validate_template(FieldErrors *errors, const Value *template) {
    const Value *metadata = value_at(template, "spec.metadata");
    const Path *path = AT(&spec_path, "metadata");
    schema_validate_annotations(errors, GET(metadata, "annotations"), AT(path, "annotations"));
    schema_validate_labels(errors, GET(metadata, "labels"), AT(path, "labels"));
    check_claim(errors, value_at(template, "spec.spec.devices"),
                AT(AT(&spec_path, "spec"), "devices"));
}

const ResourceRules resource_claim_template_rules = {
    .prepare = prepare_template,
    .validate = validate_template,
    .validate_update = keep_spec,
};
