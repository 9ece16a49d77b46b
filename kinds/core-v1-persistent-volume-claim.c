// PersistentVolumeClaims: ValidatePersistentVolumeClaim, pkg/api/persistentvolumeclaim and the
// registry's strategy upstream.

#include "kinds/pod.h"
#include "kinds/resource_list.h"
#include "kinds/rules.h"
#include "kinds/storage.h"

#define OLD_CLASS STR("volume.beta.kubernetes.io/storage-class")

// ---- where the content comes from

static bool is_claim_or_snapshot(const Value *source) {
    Str group = GET_STR(source, "apiGroup");
    return group.len ? str_eq(group, STR("snapshot.storage.k8s.io")) &&
                           tree_is(source, "kind", "VolumeSnapshot")
                     : tree_is(source, "kind", "PersistentVolumeClaim");
}

// dataSource is the old field: other kinds than it knew are dropped, and the two say the same.
// Sources in other namespaces are an alpha feature that is off.
static void prepare_source(Arena *arena, Value *spec, const Value *old) {
    if (tree_has_string(spec, "dataSourceRef.namespace") &&
        !value_at(old, "spec.dataSourceRef.namespace"))
        value_unset(spec, STR("dataSourceRef"));
    const Value *source = GET(spec, "dataSource"), *ref = GET(spec, "dataSourceRef");
    if (source && !is_claim_or_snapshot(source) && !value_at(old, "spec.dataSource")) {
        value_unset(spec, STR("dataSource"));
        source = NULL;
    }
    if (source && !ref)
        value_set(arena, spec, STR("dataSourceRef"), value_copy(arena, source));
    else if (!source && ref && !tree_has_string(ref, "namespace") && is_claim_or_snapshot(ref))
        value_set(arena, spec, STR("dataSource"), value_copy(arena, ref));
}

static void check_source(FieldErrors *errors, const Value *source, const Path *path) {
    Str group = GET_STR(source, "apiGroup"), kind = GET_STR(source, "kind");
    if (!source)
        return;
    if (!tree_has_string(source, "name"))
        field_required(errors, AT(path, "name"), "");
    if (!kind.len)
        field_required(errors, AT(path, "kind"), "");
    if (!group.len && !str_eq(kind, STR("PersistentVolumeClaim")))
        field_invalid(errors, path, kind,
                      "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    if (group.len)
        schema_check_format(errors, AT(path, "apiGroup"), FORMAT_DNS_SUBDOMAIN, group);
}

static bool is_same_source(const Value *a, const Value *b) {
    return str_eq(GET_STR(a, "apiGroup"), GET_STR(b, "apiGroup")) &&
           str_eq(GET_STR(a, "kind"), GET_STR(b, "kind")) &&
           str_eq(GET_STR(a, "name"), GET_STR(b, "name"));
}

// ---- the spec

static void check_class(FieldErrors *errors, const Value *spec, Str field, const Path *path) {
    Str name = tree_string(value_get(spec, field));
    if (name.len)
        schema_check_format(errors, PATH(path, field), FORMAT_DNS_SUBDOMAIN, name);
}

static void validate(FieldErrors *errors, const Value *claim) {
    const Path *path = PATH(NULL, STR("spec")),
               *size_path = PATH_KEY(AT(path, "resources"), STR("storage"));
    const Value *spec = GET(claim, "spec"), *size = value_at(spec, "resources.requests.storage");
    const Value *source = GET(spec, "dataSource"), *ref = GET(spec, "dataSourceRef");
    if (!list_count(GET(spec, "accessModes")))
        field_required(errors, AT(path, "accessModes"), "at least 1 access mode is required");
    access_modes_validate(errors, GET(spec, "accessModes"), AT(path, "accessModes"));
    if (size)
        positive_quantity_validate(errors, size, size_path);
    else
        field_required(errors, size_path, "");
    check_class(errors, spec, STR("storageClassName"), path);
    check_class(errors, spec, STR("volumeAttributesClassName"), path);
    check_source(errors, source, AT(path, "dataSource"));
    check_source(errors, ref, AT(path, "dataSourceRef"));
    if (source && ref && !tree_has_string(ref, "namespace") && !is_same_source(source, ref))
        field_invalid(errors, path, path_str(errors->arena, AT(path, "dataSource")),
                      "must match dataSourceRef");
}

// ---- updates

static Str old_class(const Value *claim) {
    return tree_string(value_get(value_at(claim, "metadata.annotations"), OLD_CLASS));
}

// The spec without what may be changed: the volume once, the class while there is none, size and
// attributes of a bound claim.
static Value *fixed_spec(Arena *arena, const Value *claim, const Value *now, const Value *old) {
    Value *spec = value_copy(arena, GET(claim, "spec"));
    const Value *was = value_at(old, "spec.storageClassName");
    if (!tree_has_string(old, "spec.volumeName"))
        value_unset(spec, STR("volumeName"));
    bool from_annotation =
        old_class(old).len &&
        str_eq(old_class(old), tree_string(value_at(now, "spec.storageClassName")));
    if ((!was && !old_class(old).len && !tree_has_string(old, "spec.volumeName")) ||
        (!was && from_annotation))
        value_unset(spec, STR("storageClassName"));
    if (tree_is(now, "status.phase", "Bound")) {
        Value *requests = value_at(spec, "resources.requests");
        if (requests)
            value_unset(requests, STR("storage"));
        value_unset(spec, STR("volumeAttributesClassName"));
    }
    return spec;
}

static void check_size(FieldErrors *errors, const Value *claim, const Value *old) {
    Quantity size, before, holds = {.nano = 0};
    if (quantity_parse(tree_string(value_at(claim, "spec.resources.requests.storage")), &size) ||
        quantity_parse(tree_string(value_at(old, "spec.resources.requests.storage")), &before) ||
        quantity_cmp(size, before) >= 0)
        return;
    if (quantity_parse(tree_string(value_at(old, "status.capacity.storage")), &holds))
        holds = (Quantity){.nano = 0};
    if (quantity_cmp(size, holds) <= 0)
        field_forbidden(errors, AT(AT(AT(AT(NULL, "spec"), "resources"), "requests"), "storage"),
                        "field can not be less than status.capacity");
}

static void check_attributes(FieldErrors *errors, const Value *claim, const Value *old) {
    const Value *name = value_at(claim, "spec.volumeAttributesClassName");
    if (!tree_has_string(old, "spec.volumeAttributesClassName"))
        return;
    if (!name)
        field_forbidden(errors, AT(AT(NULL, "spec"), "volumeAttributesClassName"),
                        "update from non-nil value to nil is forbidden");
    else if (!tree_string(name).len)
        field_forbidden(errors, AT(AT(NULL, "spec"), "volumeAttributesClassName"),
                        "update from non-nil value to an empty string is forbidden");
}

static void validate_update(FieldErrors *errors, const Value *claim, const Value *old) {
    Arena *arena = errors->arena;
    const Value *spec = fixed_spec(arena, claim, claim, old),
                *before = fixed_spec(arena, old, claim, old);
    const Value *mode = value_at(claim, "spec.volumeMode"),
                *old_mode = value_at(old, "spec.volumeMode");
    if (!value_equal(spec, before))
        field_forbidden(
            errors, AT(NULL, "spec"),
            arena_printf(arena,
                         "spec is immutable after creation except resources.requests and "
                         "volumeAttributesClassName for bound claims\n%.*s",
                         STR_ARG(pod_difference(arena, before, spec)))
                .ptr);
    if (!str_eq(old_class(claim), old_class(old)))
        field_invalid(errors, PATH(AT(AT(NULL, "metadata"), "annotations"), OLD_CLASS),
                      old_class(claim), "field is immutable");
    check_size(errors, claim, old);
    if (mode && old_mode && !value_equal(mode, old_mode)) // the path is upstream's
        field_invalid_value(errors, AT(NULL, "volumeMode"), mode, "field is immutable");
    check_attributes(errors, claim, old);
}

// ---- the kind

static void prepare(Arena *arena, Value *claim, const Value *old) {
    prepare_source(arena, value_at_make(arena, claim, "spec"), old);
    if (!old)
        value_set_str(arena, value_at_make(arena, claim, "status"), STR("phase"), STR("Pending"));
}

static void default_lists(Arena *arena, Value *claim) {
    resource_round_list(arena, value_at(claim, "spec.resources.limits"));
    resource_round_list(arena, value_at(claim, "spec.resources.requests"));
    resource_round_list(arena, value_at(claim, "status.capacity"));
}

const ResourceRules persistent_volume_claim_rules = {
    .default_fn = default_lists,
    .prepare = prepare,
    .validate = validate,
    .validate_update = validate_update,
};
