// Nodes: SetDefaults_NodeStatus, the v1 conversion (podCIDR) and ValidateNode upstream.

#include "kinds/address.h"
#include "kinds/resource_list.h"
#include "kinds/rules.h"
#include "kinds/tree.h"

static const Path spec_path = {.name = {"spec", 4}, .index = -1};

// ---- defaults

// podCIDR and podCIDRs[0] are one thing; the older field wins.
static void default_spec(Arena *arena, Value *spec) {
    Str range = value_string_at(spec, "podCIDR");
    Str first = tree_string(tree_item(spec, "podCIDRs", 0));
    if (range.len && !str_eq(range, first)) {
        Value *ranges = value_new_array(arena);
        value_push(arena, ranges, value_new_string(arena, range));
        value_set(arena, spec, STR("podCIDRs"), ranges);
    } else if (!range.len && first.len) {
        value_set_str(arena, spec, STR("podCIDR"), first);
    }
}
const TypeRules node_spec_rules = {.default_fn = default_spec};

static void default_status(Arena *arena, Value *status) {
    const Value *capacity = value_get(status, STR("capacity"));
    if (capacity && !value_get(status, STR("allocatable")))
        value_set(arena, status, STR("allocatable"), value_copy(arena, capacity));
}
const TypeRules node_status_rules = {.default_fn = default_status};

// ---- validation

// As upstream shows its internal Taint.
static Value *shown_taint(Arena *arena, const Value *taint) {
    Value *shown = value_new_object(arena);
    Value *added = value_get(taint, STR("timeAdded"));
    value_set_str(arena, shown, STR("Key"), tree_string(value_get(taint, STR("key"))));
    value_set_str(arena, shown, STR("Value"), tree_string(value_get(taint, STR("value"))));
    value_set_str(arena, shown, STR("Effect"), tree_string(value_get(taint, STR("effect"))));
    value_set(arena, shown, STR("TimeAdded"), added ? added : value_new_null(arena));
    return shown;
}

static bool same(const Value *a, const Value *b, const char *field) {
    return str_eq(value_string_at(a, field), value_string_at(b, field));
}

static void report_duplicate_taint(FieldErrors *errors, const Value *taint, const Path *path) {
    size_t before = errors->n;
    field_duplicate_value(errors, path, shown_taint(errors->arena, taint));
    if (errors->n == before) // there are too many errors already
        return;
    FieldError *error = &errors->items[before];
    error->message =
        arena_printf(errors->arena, "%.*s: taints must be unique by key and effect pair",
                     STR_ARG(error->message));
}

#define MAX_TAINTS 1000 // upstream has no limit; this one keeps the check short

static void validate_taints(FieldErrors *errors, const Value *node) {
    const Value *taints = value_at(node, "spec.taints");
    const Path *path = PATH(&spec_path, STR("taints"));
    uint32_t n = tree_count(node, "spec.taints");
    if (n > MAX_TAINTS) {
        field_too_many(errors, path, n, MAX_TAINTS);
        return;
    }
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = 0; j < i; j++) {
            if (!same(taints->items[i], taints->items[j], "key") ||
                !same(taints->items[i], taints->items[j], "effect"))
                continue;
            report_duplicate_taint(errors, taints->items[i], PATH_INDEX(path, i));
            break;
        }
}

static void validate_resources(FieldErrors *errors, const Value *node, const char *where,
                               Str name) {
    const Value *resources = value_at(node, where);
    const Path *path = PATH(PATH(NULL, STR("status")), name);
    for (uint32_t i = 0; resources && resources->kind == VALUE_OBJECT && i < resources->n; i++) {
        Str resource = resources->members[i].key;
        Str text = tree_string(resources->members[i].value);
        Quantity quantity;
        if (quantity_parse(text, &quantity) < 0)
            continue; // refused when it was read
        if (quantity.nano < 0)
            field_invalid(errors, PATH(path, resource), text, "must be greater than or equal to 0");
        if (resource_is_whole(errors->arena, resource) && quantity_milli_value(quantity) % 1000)
            field_invalid(errors, PATH(path, resource), text, "must be an integer");
    }
}

static void validate_ranges(FieldErrors *errors, const Value *node) {
    const Value *ranges = value_at(node, "spec.podCIDRs");
    uint32_t n = tree_count(node, "spec.podCIDRs");
    const Path *path = PATH(&spec_path, STR("podCIDRs"));
    unsigned v6 = 0;
    for (uint32_t i = 0; i < n; i++) {
        Str range = tree_string(ranges->items[i]);
        address_check_range(errors, PATH_INDEX(path, i), range);
        v6 += str_find(range, ':') >= 0;
    }
    if (n > 1 && (n > 2 || v6 != 1))
        field_invalid_value(errors, path, ranges,
                            "may specify no more than one CIDR for each IP family");
    if (n == 2 && str_eq(tree_string(ranges->items[0]), tree_string(ranges->items[1])))
        field_duplicate(errors, PATH_INDEX(path, 1), tree_string(ranges->items[1]));
}

static void validate(FieldErrors *errors, const Value *node) {
    validate_taints(errors, node);
    validate_resources(errors, node, "status.capacity", STR("capacity"));
    validate_resources(errors, node, "status.allocatable", STR("allocatable"));
    validate_ranges(errors, node);
}

static void check_addresses(FieldErrors *errors, const Value *node) {
    const Value *addresses = value_at(node, "status.addresses");
    uint32_t n = tree_count(node, "status.addresses");
    const Path *path = PATH(PATH(NULL, STR("status")), STR("addresses"));
    for (uint32_t i = 1; i < n && i < MAX_TAINTS; i++)
        for (uint32_t j = 0; j < i; j++) {
            const Value *address = addresses->items[i];
            if (!same(address, addresses->items[j], "type") ||
                !same(address, addresses->items[j], "address"))
                continue;
            Value *shown = value_new_object(errors->arena);
            value_set_str(errors->arena, shown, STR("Type"),
                          tree_string(value_get(address, STR("type"))));
            value_set_str(errors->arena, shown, STR("Address"),
                          tree_string(value_get(address, STR("address"))));
            field_duplicate_value(errors, PATH_INDEX(path, i), shown);
            break;
        }
}

static void check_unchanged_ranges(FieldErrors *errors, const Value *node, const Value *old) {
    const Value *before = value_at(old, "spec.podCIDRs");
    uint32_t n = tree_count(old, "spec.podCIDRs");
    const Path *path = PATH(&spec_path, STR("podCIDRs"));
    const char *detail = "node updates may not change podCIDR except from \"\" to valid";
    if (n && n != tree_count(node, "spec.podCIDRs"))
        field_forbidden(errors, path, detail);
    else
        for (uint32_t i = 0; i < n; i++)
            if (!value_equal(before->items[i], tree_item(node, "spec.podCIDRs", i)))
                field_forbidden(errors, path, detail);
}

static void validate_update(FieldErrors *errors, const Value *node, const Value *old) {
    const Value *old_spec = value_get(old, STR("spec")), *spec = value_get(node, STR("spec"));
    check_addresses(errors, node);
    check_unchanged_ranges(errors, node, old);
    if (tree_has_string(old_spec, "providerID") && !same(old_spec, spec, "providerID"))
        field_forbidden(errors, PATH(&spec_path, STR("providerID")),
                        "node updates may not change providerID except from \"\" to valid");
    if (!same(old_spec, spec, "externalID"))
        field_forbidden(errors, PATH(&spec_path, STR("externalID")), "may not be updated");
}

const ResourceRules node_rules = {
    .validate = validate,
    .validate_update = validate_update,
    .validate_status_update = validate_update,
};
