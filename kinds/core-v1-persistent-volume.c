// PersistentVolumes: ValidatePersistentVolume and the registry's strategy upstream.

#include "kinds/pod.h"
#include "kinds/resource_list.h"
#include "kinds/rules.h"
#include "kinds/storage.h"

// ---- parts that claims have too

void access_modes_validate(FieldErrors *errors, const Value *modes, const Path *path) {
    static const Str known[] = {{"ReadOnlyMany", 12},
                                {"ReadWriteMany", 13},
                                {"ReadWriteOnce", 13},
                                {"ReadWriteOncePod", 16}};
    bool one_pod = false, others = false;
    for (uint32_t i = 0; i < list_count(modes); i++) {
        Str mode = tree_string(modes->items[i]);
        size_t k = 0;
        while (k < 4 && !str_eq(mode, known[k]))
            k++;
        if (k == 4)
            field_not_supported(errors, path, mode, known, 4);
        one_pod = one_pod || k == 3;
        others = others || k < 3;
    }
    if (one_pod && others)
        field_forbidden(errors, path, "may not use ReadWriteOncePod with other access modes");
}

void positive_quantity_validate(FieldErrors *errors, const Value *value, const Path *path) {
    Quantity quantity;
    if (quantity_parse(tree_string(value), &quantity) == 0 && quantity.nano <= 0)
        field_invalid(errors, path, tree_string(value), "must be greater than zero");
}

// ---- sources

// In the order in which upstream looks at them.
static const Str sources[] = {
    {"hostPath", 8},
    {"gcePersistentDisk", 17},
    {"awsElasticBlockStore", 20},
    {"glusterfs", 9},
    {"flocker", 7},
    {"nfs", 3},
    {"rbd", 3},
    {"quobyte", 7},
    {"cephfs", 6},
    {"iscsi", 5},
    {"cinder", 6},
    {"fc", 2},
    {"flexVolume", 10},
    {"azureFile", 9},
    {"vsphereVolume", 13},
    {"photonPersistentDisk", 20},
    {"portworxVolume", 14},
    {"azureDisk", 9},
    {"scaleIO", 7},
    {"local", 5},
    {"storageos", 9},
    {"csi", 3},
};

static void check_secret_refs(FieldErrors *errors, const Value *csi, const Path *path) {
    static const Str refs[] = {{"controllerPublishSecretRef", 26},
                               {"controllerExpandSecretRef", 25},
                               {"nodePublishSecretRef", 20},
                               {"nodeExpandSecretRef", 19}};
    for (size_t i = 0; i < sizeof refs / sizeof *refs; i++) {
        const Value *ref = value_get(csi, refs[i]);
        if (ref && !tree_has_string(ref, "name"))
            field_required(errors, AT(PATH(path, refs[i]), "name"), "");
        if (ref && !tree_has_string(ref, "namespace"))
            field_required(errors, AT(PATH(path, refs[i]), "namespace"), "");
    }
}

static void check_source(FieldErrors *errors, Str name, const Value *source, const Path *path) {
    if (str_eq(name, STR("csi"))) {
        csi_driver_validate(errors, GET_STR(source, "driver"), AT(path, "driver"));
        check_secret_refs(errors, source, path);
    } else if (str_eq(name, STR("local"))) {
        if (pod_path_has_backstep(GET_STR(source, "path")))
            field_invalid(errors, AT(path, "path"), GET_STR(source, "path"),
                          "must not contain '..'");
    } else {
        volume_source_validate(errors, name, source, path);
    }
}

static void check_sources(FieldErrors *errors, const Value *spec, const Path *path) {
    unsigned n = 0;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const Value *source = value_get(spec, sources[i]);
        if (!source)
            continue;
        if (n++)
            field_forbidden(errors, PATH(path, sources[i]),
                            "may not specify more than 1 volume type");
        else
            check_source(errors, sources[i], source, PATH(path, sources[i]));
    }
    if (!n)
        field_required(errors, path, "must specify a volume type");
}

// ---- the spec

static void check_capacity(FieldErrors *errors, const Value *capacity, const Path *path) {
    static const Str storage = {"storage", 7};
    if (!map_count_of(capacity)) {
        field_required(errors, path, "");
        return;
    }
    if (!value_get(capacity, storage) || capacity->n > 1)
        field_not_supported_value(errors, path, capacity, &storage, 1);
    for (uint32_t i = 0; i < capacity->n; i++)
        positive_quantity_validate(errors, capacity->members[i].value,
                                   PATH_KEY(path, capacity->members[i].key));
}

static void check_reclaim_policy(FieldErrors *errors, const Value *spec, const Path *path) {
    Str policy = GET_STR(spec, "persistentVolumeReclaimPolicy"),
        host = tree_string(value_at(spec, "hostPath.path"));
    bool root = host.len > 0;
    for (size_t i = 0; i < host.len; i++)
        root = root && host.ptr[i] == '/';
    if (root && str_eq(policy, STR("Recycle")))
        field_forbidden(errors, AT(path, "persistentVolumeReclaimPolicy"),
                        "may not be 'recycle' for a hostPath mount of '/'");
}

static void check_node_affinity(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *affinity = GET(spec, "nodeAffinity"), *required = GET(affinity, "required");
    const Path *at = AT(path, "nodeAffinity");
    if (affinity && !required)
        field_required(errors, AT(at, "required"), "must specify required node constraints");
    else if (affinity)
        node_selector_validate(errors, required, AT(at, "required"));
    if (GET(spec, "local") && !affinity)
        field_required(errors, at, "Local volume requires node affinity");
}

static void check_attributes_class(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *name = GET(spec, "volumeAttributesClassName");
    const Path *at = AT(path, "volumeAttributesClassName");
    if (!name)
        return;
    if (!tree_string(name).len)
        field_required(errors, at, "an empty string is disallowed");
    else
        schema_check_format(errors, at, FORMAT_DNS_SUBDOMAIN, tree_string(name));
    if (!GET(spec, "csi"))
        field_required(errors, AT(path, "csi"),
                       "has to be specified when using volumeAttributesClassName");
}

// Of a volume of a VolumeAttachment: a CSI volume, and nothing that is about claims.
static void check_inline(FieldErrors *errors, const Value *spec, const Path *path) {
    static const char *const detail = "may not be specified in the context of inline volumes";
    Str policy = GET_STR(spec, "persistentVolumeReclaimPolicy"), mode = GET_STR(spec, "volumeMode");
    if (GET(spec, "claimRef"))
        field_forbidden(errors, AT(path, "claimRef"), detail);
    if (map_count_of(GET(spec, "capacity")))
        field_forbidden(errors, AT(path, "capacity"), detail);
    if (!GET(spec, "csi"))
        field_required(errors, AT(path, "csi"),
                       "has to be specified in the context of inline volumes");
    if (policy.len && !str_eq(policy, STR("Retain")))
        field_forbidden(errors, AT(path, "persistentVolumeReclaimPolicy"),
                        "may only be Retain in the context of inline volumes");
    if (tree_has_string(spec, "storageClassName"))
        field_forbidden(errors, AT(path, "storageClassName"), detail);
    if (mode.len && !str_eq(mode, STR("Filesystem")))
        field_forbidden(
            errors, AT(path, "volumeMode"),
            "may not specify volumeMode other than Filesystem in the context of inline volumes");
}

void persistent_volume_spec_validate(FieldErrors *errors, const Value *spec, bool inline_spec,
                                     const Path *path) {
    Str storage_class = GET_STR(spec, "storageClassName");
    if (inline_spec)
        check_inline(errors, spec, path);
    else
        check_capacity(errors, GET(spec, "capacity"), AT(path, "capacity"));
    if (!list_count(GET(spec, "accessModes")))
        field_required(errors, AT(path, "accessModes"), "");
    access_modes_validate(errors, GET(spec, "accessModes"), AT(path, "accessModes"));
    check_node_affinity(errors, spec, path);
    check_sources(errors, spec, path);
    check_reclaim_policy(errors, spec, path);
    if (storage_class.len && !inline_spec)
        schema_check_format(errors, AT(path, "storageClassName"), FORMAT_DNS_SUBDOMAIN,
                            storage_class);
    check_attributes_class(errors, spec, path);
}

static void validate(FieldErrors *errors, const Value *volume) {
    persistent_volume_spec_validate(errors, GET(volume, "spec"), false, PATH(NULL, STR("spec")));
}

// ---- updates

// What the volume is; secrets for growing it may be named later.
static Value *source_of(Arena *arena, const Value *volume, const Value *old) {
    static const Str later[] = {{"controllerExpandSecretRef", 25}, {"nodeExpandSecretRef", 19}};
    Value *kept = value_new_object(arena);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const Value *source = value_get(value_get(volume, STR("spec")), sources[i]);
        if (source)
            value_set(arena, kept, sources[i], value_copy(arena, source));
    }
    for (size_t i = 0; i < 2; i++)
        if (!value_get(value_at(old, "spec.csi"), later[i]) && value_get(kept, STR("csi")))
            value_unset(value_get(kept, STR("csi")), later[i]);
    return kept;
}

static void validate_update(FieldErrors *errors, const Value *volume, const Value *old) {
    Arena *arena = errors->arena;
    const Value *source = source_of(arena, volume, old), *before = source_of(arena, old, old);
    const Value *affinity = value_at(volume, "spec.nodeAffinity"),
                *old_affinity = value_at(old, "spec.nodeAffinity");
    const Value *mode = value_at(volume, "spec.volumeMode"),
                *old_mode = value_at(old, "spec.volumeMode");
    if (!value_equal(source, before))
        field_forbidden(
            errors, PATH(PATH(NULL, STR("spec")), STR("persistentvolumesource")),
            arena_printf(arena, "spec.persistentvolumesource is immutable after creation\n%.*s",
                         STR_ARG(pod_difference(arena, before, source)))
                .ptr);
    if (mode && old_mode && !value_equal(mode, old_mode)) // the path is upstream's
        field_invalid_value(errors, PATH(NULL, STR("volumeMode")), mode, "field is immutable");
    if (old_affinity && !(affinity && value_equal(affinity, old_affinity)))
        field_invalid_value(errors, PATH(NULL, STR("nodeAffinity")), affinity,
                            "field is immutable");
    if (value_at(old, "spec.volumeAttributesClassName") &&
        !value_at(volume, "spec.volumeAttributesClassName"))
        field_forbidden(errors, AT(PATH(NULL, STR("spec")), "volumeAttributesClassName"),
                        "update from non-nil value to nil is forbidden");
}

static void prepare(Arena *arena, Value *volume, const Value *old) {
    if (old)
        return;
    Value *status = value_new_object(arena);
    value_set_str(arena, status, STR("phase"), STR("Pending"));
    value_set_str(arena, status, STR("lastPhaseTransitionTime"),
                  value_string_at(volume, "metadata.creationTimestamp"));
    value_set(arena, volume, STR("status"), status);
}

static void default_lists(Arena *arena, Value *volume) {
    resource_round_list(arena, value_at(volume, "spec.capacity"));
}

// warningsForPersistentVolumeSpec (pkg/api/persistentvolume/util.go)
static void warn(Arena *arena, const Value *volume, ValuePaths *warnings) {
    static const struct {
        Str source, text;
    } gone[] = {
        {{"photonPersistentDisk", 20}, STR("deprecated in v1.11, non-functional in v1.16+")},
        {{"scaleIO", 7}, STR("deprecated in v1.16, non-functional in v1.22+")},
        {{"storageos", 9}, STR("deprecated in v1.22, non-functional in v1.25+")},
        {{"glusterfs", 9}, STR("deprecated in v1.25, non-functional in v1.26+")},
        {{"rbd", 3}, STR("deprecated in v1.28, non-functional in v1.31+")},
        {{"cephfs", 6}, STR("deprecated in v1.28, non-functional in v1.31+")},
    };
    const Path *path = PATH(NULL, STR("spec"));
    const Value *spec = GET(volume, "spec");
    if (tree_is(spec, "persistentVolumeReclaimPolicy", "Recycle"))
        warning_add(arena, warnings, AT(path, "persistentVolumeReclaimPolicy"),
                    STR("The Recycle reclaim policy is deprecated. Instead, the recommended "
                        "approach is to use dynamic "
                        "provisioning."));
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (value_get(spec, gone[i].source))
            warning_add(arena, warnings, PATH(path, gone[i].source), gone[i].text);
}

const ResourceRules persistent_volume_rules = {
    .default_fn = default_lists,
    .prepare = prepare,
    .validate = validate,
    .validate_update = validate_update,
    .warn = warn,
};
