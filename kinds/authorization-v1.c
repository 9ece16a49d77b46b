// Access reviews: pkg/apis/authorization/validation upstream.

#include "kinds/rules.h"
#include "kinds/tree.h"

static void validate_attributes(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *resource = value_get(spec, STR("resourceAttributes"));
    const Value *other = value_get(spec, STR("nonResourceAttributes"));
    if (resource && other)
        field_invalid_value(errors, PATH(path, STR("nonResourceAttributes")), other,
                            "cannot be specified in combination with resourceAttributes");
    if (!resource && !other)
        field_invalid_value(errors, PATH(path, STR("resourceAttributes")), NULL,
                            "exactly one of nonResourceAttributes or resourceAttributes must be "
                            "specified");
}
const TypeRules self_subject_access_review_spec_rules = {.validate = validate_attributes};

static void validate_subject(FieldErrors *errors, const Value *spec, const Path *path) {
    validate_attributes(errors, spec, path);
    if (!tree_has_string(spec, "user") && !tree_count(spec, "groups"))
        field_invalid(errors, PATH(path, STR("user")), STR(""),
                      "at least one of user or group must be specified");
}
const TypeRules subject_access_review_spec_rules = {.validate = validate_subject};

static void check_metadata(FieldErrors *errors, const Value *review, bool namespaced) {
    const Value *metadata = value_get(review, STR("metadata"));
    for (uint32_t i = 0; metadata && metadata->kind == VALUE_OBJECT && i < metadata->n; i++) {
        Str key = metadata->members[i].key;
        if (str_eq(key, STR("managedFields")) || (namespaced && str_eq(key, STR("namespace"))))
            continue;
        field_invalid_value(errors, PATH(NULL, STR("metadata")), metadata,
                            namespaced ? "must be empty except for namespace" : "must be empty");
        return;
    }
}

static void validate(FieldErrors *errors, const Value *review) {
    check_metadata(errors, review, false);
}
const ResourceRules access_review_rules = {.validate = validate};

static void validate_local(FieldErrors *errors, const Value *review) {
    check_metadata(errors, review, true);
    const Value *resource = value_at(review, "spec.resourceAttributes");
    const Value *other = value_at(review, "spec.nonResourceAttributes");
    Str namespace_ = tree_string(value_get(resource, STR("namespace")));
    if (resource && !str_eq(namespace_, tree_string(value_at(review, "metadata.namespace"))))
        field_invalid(errors, PATH(NULL, STR("spec.resourceAttributes.namespace")), namespace_,
                      "must match metadata.namespace");
    if (other)
        field_invalid_value(errors, PATH(NULL, STR("spec.nonResourceAttributes")), other,
                            "disallowed on this kind of request");
}
const ResourceRules local_access_review_rules = {.validate = validate_local};
