// Namespaces: pkg/registry/core/namespace/strategy.go and ValidateNamespace upstream.

#include "kinds/rules.h"
#include "kinds/tree.h"

static bool has_finalizer(const Value *finalizers, Str name) {
    for (uint32_t i = 0; finalizers && finalizers->kind == VALUE_ARRAY && i < finalizers->n; i++)
        if (str_eq(tree_string(finalizers->items[i]), name))
            return true;
    return false;
}

// Every namespace carries its own name as a label, so that selectors of namespaces can name one.
static void default_label(Arena *arena, Value *namespace_) {
    Str name = value_string_at(namespace_, "metadata.name");
    if (name.len)
        value_set_str(arena, value_at_make(arena, namespace_, "metadata.labels"),
                      STR("kubernetes.io/metadata.name"), name);
}

// On create the namespace is active and the finalizer `kubernetes` keeps it until it is empty.
// Later only the finalize subresource changes finalizers.
static void prepare(Arena *arena, Value *namespace_, const Value *old) {
    default_label(arena, namespace_); // again, for a name that was generated meanwhile
    Value *spec = value_at_make(arena, namespace_, "spec");
    if (old) {
        Value *finalizers = value_at(old, "spec.finalizers");
        if (finalizers)
            value_set(arena, spec, STR("finalizers"), value_copy(arena, finalizers));
        else
            value_unset(spec, STR("finalizers"));
        return;
    }
    Value *finalizers = value_get(spec, STR("finalizers"));
    if (!finalizers) {
        finalizers = value_new_array(arena);
        value_set(arena, spec, STR("finalizers"), finalizers);
    }
    if (!has_finalizer(finalizers, STR("kubernetes")))
        value_push(arena, finalizers, value_new_string(arena, STR("kubernetes")));
    Value *status = value_new_object(arena);
    value_set_str(arena, status, STR("phase"), STR("Active"));
    value_set(arena, namespace_, STR("status"), status);
}

static void validate(FieldErrors *errors, const Value *namespace_) {
    const Path *path = PATH(PATH(NULL, STR("spec")), STR("finalizers"));
    uint32_t n = tree_count(namespace_, "spec.finalizers");
    for (uint32_t i = 0; i < n; i++) {
        Str name = tree_string(tree_item(namespace_, "spec.finalizers", i));
        schema_check_format(errors, path, FORMAT_LABEL_KEY, name);
        if (str_find(name, '/') < 0 && !str_eq(name, STR("kubernetes")) &&
            !str_eq(name, STR("orphan")) && !str_eq(name, STR("foregroundDeletion")))
            field_invalid(errors, path, name,
                          "name is neither a standard finalizer name nor is it fully qualified");
    }
}

static void validate_status_update(FieldErrors *errors, const Value *namespace_, const Value *old) {
    bool deleted = value_at(namespace_, "metadata.deletionTimestamp") != NULL;
    Str phase = value_string_at(namespace_, "status.phase");
    const Path *path = PATH(PATH(NULL, STR("status")), STR("Phase"));
    if (!phase.ptr)
        phase = STR("");
    if (!deleted && !str_eq(phase, STR("Active")))
        field_invalid(errors, path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
    if (deleted && !str_eq(phase, STR("Terminating")))
        field_invalid(errors, path, phase,
                      "may only be 'Terminating' if `deletionTimestamp` is not empty");
}

const ResourceRules namespace_rules = {
    .default_fn = default_label,
    .prepare = prepare,
    .validate = validate,
    .validate_status_update = validate_status_update,
    .name_format = FORMAT_DNS_LABEL,
};
