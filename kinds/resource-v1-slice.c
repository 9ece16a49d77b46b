// Device classes and slices: pkg/apis/resource/validation and the registry's strategies upstream.

#include "kinds/pod.h"
#include "kinds/resource-v1.h"
#include "kinds/rules.h"

#define MAX_DEVICES 128
#define MAX_PROPERTIES 32
#define MAX_VALUE_BYTES 64
#define MAX_CONFIGURATIONS 32

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

// ---- classes

static void prepare_class(Arena *arena, Value *class, const Value *old) {
    static const Str off[] = {{"extendedResourceName", 20}};
    device_drop(GET(class, "spec"), off, 1);
}

static void validate_class(FieldErrors *errors, const Value *class) {
    const Value *spec = GET(class, "spec"), *config = GET(spec, "config");
    const Path *path = AT(&spec_path, "config");
    device_selectors_validate(errors, GET(spec, "selectors"), AT(&spec_path, "selectors"));
    if (list_count(config) > MAX_CONFIGURATIONS)
        field_too_many(errors, path, config->n, MAX_CONFIGURATIONS);
    for (uint32_t i = 0; i < list_count(config); i++)
        device_configuration_validate(errors, config->items[i], PATH_INDEX(path, i));
}

const ResourceRules device_class_rules = {.prepare = prepare_class, .validate = validate_class};

// ---- devices

static bool is_number(Str text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return text.len > 0;
}

// Dot-separated words of letters, digits and '-'; numbers without a leading zero where `strict`.
static bool are_identifiers(Str text, bool strict) {
    while (text.ptr) {
        Str word = str_cut(&text, '.');
        for (size_t i = 0; i < word.len; i++) {
            char c = word.ptr[i];
            if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-'))
                return false;
        }
        if (!word.len || (strict && is_number(word) && word.len > 1 && word.ptr[0] == '0'))
            return false;
    }
    return true;
}

// semver.org 2.0.0: MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]
static bool is_semantic_version(Str text) {
    Str build = text;
    Str rest = str_cut(&build, '+'), pre = rest;
    Str core = str_cut(&pre, '-');
    unsigned n = 0;
    if ((build.ptr && !are_identifiers(build, false)) || (pre.ptr && !are_identifiers(pre, true)))
        return false;
    for (; core.ptr; n++) {
        Str number = str_cut(&core, '.');
        if (!is_number(number) || (number.len > 1 && number.ptr[0] == '0'))
            return false;
    }
    return n == 3;
}

static void check_attribute(FieldErrors *errors, const Value *attribute, const Path *path) {
    const Value *version = GET(attribute, "version");
    if (GET_STR(attribute, "string").len > MAX_VALUE_BYTES)
        field_too_long(errors, AT(path, "string"), MAX_VALUE_BYTES);
    if (version && !is_semantic_version(tree_string(version)))
        field_invalid(errors, AT(path, "version"), tree_string(version),
                      "must be a string compatible with semver.org spec 2.0.0");
    if (tree_string(version).len > MAX_VALUE_BYTES)
        field_too_long(errors, AT(path, "version"), MAX_VALUE_BYTES);
    if (!map_count_of(attribute))
        field_required(errors, path, "exactly one value must be specified");
    else if (attribute->n > 1)
        field_invalid_value(errors, path, attribute, "exactly one value must be specified");
}

static void check_device(FieldErrors *errors, const Value *device, const Path *path) {
    const Value *attributes = GET(device, "attributes"), *capacity = GET(device, "capacity");
    uint32_t n = map_count_of(attributes) + map_count_of(capacity);
    device_label_validate(errors, GET_STR(device, "name"), AT(path, "name"));
    if (n > MAX_PROPERTIES) {
        field_invalid_int(errors, path, n,
                          "the total number of attributes and capacities must not exceed 32");
        return;
    }
    for (uint32_t i = 0; i < map_count_of(attributes); i++) {
        const Path *at = PATH_KEY(AT(path, "attributes"), attributes->members[i].key);
        device_attribute_name_validate(errors, attributes->members[i].key, false, at);
        check_attribute(errors, attributes->members[i].value, at);
    }
    for (uint32_t i = 0; i < map_count_of(capacity); i++)
        device_attribute_name_validate(errors, capacity->members[i].key, false,
                                       PATH_KEY(AT(path, "capacity"), capacity->members[i].key));
}

// ---- slices

// Partitions, taints, conditions for binding and sharing are alpha features that are off.
static void prepare_slice(Arena *arena, Value *slice, const Value *old) {
    static const Str off[] = {{"perDeviceNodeSelection", 22}, {"sharedCounters", 14}};
    static const Str device_off[] = {
        {"consumesCounters", 16},
        {"nodeName", 8},
        {"nodeSelector", 12},
        {"allNodes", 8},
        {"taints", 6},
        {"bindsToNode", 11},
        {"bindingConditions", 17},
        {"bindingFailureConditions", 24},
        {"allowMultipleAllocations", 24},
    };
    static const Str capacity_off[] = {{"requestPolicy", 13}};
    Value *spec = GET(slice, "spec"), *devices = GET(spec, "devices");
    device_drop(spec, off, 2);
    for (uint32_t i = 0; i < list_count(devices); i++) {
        Value *capacity = GET(devices->items[i], "capacity");
        device_drop(devices->items[i], device_off, sizeof device_off / sizeof *device_off);
        for (uint32_t k = 0; k < map_count_of(capacity); k++)
            device_drop(capacity->members[k].value, capacity_off, 1);
    }
}

static void check_nodes(FieldErrors *errors, const Value *spec) {
    const Value *selector = GET(spec, "nodeSelector"), *terms = GET(selector, "nodeSelectorTerms");
    const Path *path = AT(&spec_path, "nodeSelector");
    Str node = GET_STR(spec, "nodeName");
    Str set[3];
    size_t n = 0;
    if (node.len) {
        set[n++] = STR("`nodeName`");
        schema_check_format(errors, AT(&spec_path, "nodeName"), FORMAT_DNS_SUBDOMAIN, node);
    }
    if (selector) {
        set[n++] = STR("`nodeSelector`");
        node_selector_validate(errors, selector, path);
        if (list_count(terms) != 1)
            field_invalid_value(errors, AT(path, "nodeSelectorTerms"), terms,
                                "must have exactly one node selector term");
    }
    if (value_bool_at(spec, "allNodes", false))
        set[n++] = STR("`allNodes`");
    if (!n)
        field_required(errors, &spec_path,
                       "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required");
    else if (n > 1)
        field_invalid(errors, &spec_path,
                      arena_printf(errors->arena, "{%.*s}",
                                   STR_ARG(arena_concat(errors->arena, set, n, STR(", ")))),
                      "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required, but "
                      "multiple fields are set");
}

static void check_pool(FieldErrors *errors, const Value *pool, const Path *path) {
    int64_t n = value_int_at(pool, "resourceSliceCount", 0),
            generation = value_int_at(pool, "generation", 0);
    device_pool_validate(errors, GET_STR(pool, "name"), AT(path, "name"));
    if (n <= 0)
        field_invalid_int(errors, AT(path, "resourceSliceCount"), n, "must be greater than zero");
    if (generation < 0)
        field_invalid_int(errors, AT(path, "generation"), generation,
                          "must be greater than or equal to zero");
}

static void validate_slice(FieldErrors *errors, const Value *slice) {
    const Value *spec = GET(slice, "spec"), *devices = GET(spec, "devices");
    const Path *path = AT(&spec_path, "devices");
    _name_set_deinit_ NameSet names = {.n = 0};
    device_driver_validate(errors, GET_STR(spec, "driver"), AT(&spec_path, "driver"));
    check_pool(errors, GET(spec, "pool"), AT(&spec_path, "pool"));
    check_nodes(errors, spec);
    if (list_count(devices) > MAX_DEVICES) {
        field_too_many(errors, path, devices->n, MAX_DEVICES);
        return;
    }
    for (uint32_t i = 0; i < list_count(devices); i++) {
        Str name = GET_STR(devices->items[i], "name");
        check_device(errors, devices->items[i], PATH_INDEX(path, i));
        if (name_set_add(&names, name, devices))
            field_duplicate(errors, AT(PATH_INDEX(path, i), "name"), name);
    }
}

static void keep(FieldErrors *errors, const Value *now, const Value *before, const Path *path) {
    if (now == before || (now && before && value_equal(now, before)))
        return;
    field_invalid_value(errors, path, now, "field is immutable");
}

static void validate_slice_update(FieldErrors *errors, const Value *slice, const Value *old) {
    keep(errors, value_at(slice, "spec.pool.name"), value_at(old, "spec.pool.name"),
         AT(AT(&spec_path, "pool"), "name"));
    keep(errors, value_at(slice, "spec.driver"), value_at(old, "spec.driver"),
         AT(&spec_path, "driver"));
    keep(errors, value_at(slice, "spec.nodeName"), value_at(old, "spec.nodeName"),
         AT(&spec_path, "nodeName"));
}

const ResourceRules resource_slice_rules = {
    .prepare = prepare_slice,
    .validate = validate_slice,
    .validate_update = validate_slice_update,
};
