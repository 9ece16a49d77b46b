// Volumes of pods: ValidateVolumes and validateVolumeSource upstream. Required fields are the
// table's to check.

#include "base/quantity.h"
#include "kinds/pod.h"
#include "kinds/rules.h"

static void default_volume(Arena *arena, Value *volume) {
    bool only_name = true;
    for (uint32_t i = 0; i < volume->n; i++)
        only_name = only_name && str_eq(volume->members[i].key, STR("name"));
    if (only_name)
        value_set(arena, volume, STR("emptyDir"), value_new_object(arena));
    Value *image = GET(volume, "image");
    if (image && !GET_STR(image, "pullPolicy").len)
        value_set_str(arena, image, STR("pullPolicy"),
                      image_is_latest(GET_STR(image, "reference")) ? STR("Always")
                                                                   : STR("IfNotPresent"));
}
const TypeRules volume_rules = {.default_fn = default_volume};

// ---- files

static void check_mode(FieldErrors *errors, const Value *source, Str name, const Path *path) {
    const Value *mode = value_get(source, name);
    if (mode && (mode->integer < 0 || mode->integer > 0777))
        field_invalid_int(errors, PATH(path, name), mode->integer,
                          "must be a number between 0 and 0777 (octal), both inclusive");
}

// `paths` gathers what a projected volume writes, NULL for others.
static void check_items(FieldErrors *errors, const Value *items, NameSet *paths, Str source,
                        const Path *path, const Path *projected) {
    for (uint32_t i = 0; i < list_count(items); i++) {
        const Path *at = PATH_INDEX(path, i);
        Str file = GET_STR(items->items[i], "path");
        pod_validate_file_path(errors, file, AT(at, "path"));
        check_mode(errors, items->items[i], STR("mode"), at);
        if (paths && file.len && name_set_add(paths, file, items))
            field_invalid(errors, projected, source, "conflicting duplicate paths");
    }
}

// Reported at the source and not at the file, as upstream does.
static void check_downward_files(FieldErrors *errors, const Value *items, NameSet *paths,
                                 const Path *path, const Path *projected) {
    for (uint32_t i = 0; i < list_count(items); i++) {
        const Value *file = items->items[i];
        const Value *field = GET(file, "fieldRef"), *resource = GET(file, "resourceFieldRef");
        Str name = GET_STR(file, "path");
        if (!name.len)
            field_required(errors, AT(path, "path"), "");
        pod_validate_file_path(errors, name, AT(path, "path"));
        if (field)
            pod_validate_field_ref(errors, field, AT(path, "fieldRef"), true);
        if (field && resource)
            field_invalid(errors, path, STR("resource"),
                          "fieldRef and resourceFieldRef can not be specified simultaneously");
        else if (resource)
            pod_validate_resource_field_ref(errors, resource, AT(path, "resourceFieldRef"), true);
        else if (!field)
            field_required(errors, path, "one of fieldRef and resourceFieldRef is required");
        check_mode(errors, file, STR("mode"), path);
        if (paths && name.len && name_set_add(paths, name, items))
            field_invalid(errors, projected, name, "conflicting duplicate paths");
    }
}

// ---- kinds of sources

typedef struct Source {
    FieldErrors *errors;
    const Value *source;
    const Path *path;
} Source;

static void check_host_path(const Source *s) {
    static const Str types[] = {{"", 0},
                                {"BlockDevice", 11},
                                {"CharDevice", 10},
                                {"Directory", 9},
                                {"DirectoryOrCreate", 17},
                                {"File", 4},
                                {"FileOrCreate", 12},
                                {"Socket", 6}};
    Str path = GET_STR(s->source, "path"), type = GET_STR(s->source, "type");
    if (!path.len)
        return;
    if (pod_path_has_backstep(path))
        field_invalid(s->errors, AT(s->path, "path"), path, "must not contain '..'");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (str_eq(type, types[i]))
            return;
    field_not_supported(s->errors, AT(s->path, "type"), type, types, sizeof types / sizeof *types);
}

static void check_empty_dir(const Source *s) {
    const Value *limit = GET(s->source, "sizeLimit");
    Quantity quantity;
    if (limit && quantity_parse(tree_string(limit), &quantity) == 0 && quantity.nano < 0)
        field_forbidden(s->errors, AT(s->path, "sizeLimit"),
                        "SizeLimit field must be a valid resource quantity");
}

static void check_git(const Source *s) {
    pod_validate_local_path(s->errors, GET_STR(s->source, "directory"), AT(s->path, "directory"));
}

static void check_secret(const Source *s) {
    check_mode(s->errors, s->source, STR("defaultMode"), s->path);
    check_items(s->errors, GET(s->source, "items"), NULL, STR(""), AT(s->path, "items"), NULL);
}

static void check_config_map(const Source *s) {
    if (!GET_STR(s->source, "name").len)
        field_required(s->errors, AT(s->path, "name"), "");
    check_secret(s);
}

static void check_nfs(const Source *s) {
    Str path = GET_STR(s->source, "path");
    if (!path.len || path.ptr[0] != '/')
        field_invalid(s->errors, AT(s->path, "path"), path, "must be an absolute path");
}

static void check_downward(const Source *s) {
    check_mode(s->errors, s->source, STR("defaultMode"), s->path);
    check_downward_files(s->errors, GET(s->source, "items"), NULL, s->path, NULL);
}

void csi_driver_validate(FieldErrors *errors, Str driver, const Path *path) {
    char *lower = arena_cstr(errors->arena, driver);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c |= 0x20;
    if (driver.len > 63)
        field_too_long(errors, path, 63);
    if (driver.len)
        schema_check_format(errors, path, FORMAT_DNS_SUBDOMAIN, str_of(lower, driver.len));
}

static void check_csi(const Source *s) {
    const Value *secret = GET(s->source, "nodePublishSecretRef");
    csi_driver_validate(s->errors, GET_STR(s->source, "driver"), AT(s->path, "driver"));
    if (secret && !GET_STR(secret, "name").len)
        field_required(s->errors, AT(AT(s->path, "nodePublishSecretRef"), "name"), "");
    else if (secret)
        schema_check_format(s->errors, AT(s->path, "name"), FORMAT_DNS_SUBDOMAIN,
                            GET_STR(secret, "name"));
}

static void check_iscsi(const Source *s) {
    int64_t unit = value_int_at(s->source, "lun", 0);
    bool chap = value_bool_at(s->source, "chapAuthDiscovery", false) ||
                value_bool_at(s->source, "chapAuthSession", false);
    if (unit < 0 || unit > 255)
        field_invalid_int(s->errors, AT(s->path, "lun"), unit,
                          "must be between 0 and 255, inclusive");
    if (chap && !GET(s->source, "secretRef"))
        field_required(s->errors, AT(s->path, "secretRef"), "");
}

static void check_fc(const Source *s) {
    const Value *names = GET(s->source, "targetWWNs"), *unit = GET(s->source, "lun");
    bool ids = GET(s->source, "wwids") != NULL;
    if (!names && !ids)
        field_required(s->errors, AT(s->path, "targetWWNs"),
                       "must specify either targetWWNs or wwids, but not both");
    if (names && ids)
        field_invalid_value(s->errors, AT(s->path, "targetWWNs"), names,
                            "targetWWNs and wwids can not be specified simultaneously");
    if (names && !unit)
        field_required(s->errors, AT(s->path, "lun"), "lun is required if targetWWNs is specified");
    else if (names && (unit->integer < 0 || unit->integer > 255))
        field_invalid_int(s->errors, AT(s->path, "lun"), unit->integer,
                          "must be between 0 and 255, inclusive");
}

// ---- claims that are made for the pod (ValidatePersistentVolumeClaimTemplate)

static void check_claim_storage(FieldErrors *errors, const Value *claim, const Path *path) {
    const Value *size = value_at(claim, "resources.requests.storage");
    const Path *at = PATH_KEY(AT(path, "resources"), STR("storage"));
    Quantity quantity;
    if (!size)
        field_required(errors, at, "");
    else if (quantity_parse(tree_string(size), &quantity) == 0 && quantity.nano <= 0)
        field_invalid(errors, at, tree_string(size), "must be greater than zero");
}

static void check_access_modes(FieldErrors *errors, const Value *modes, const Path *path) {
    bool one_pod = false, others = false;
    if (!list_count(modes))
        field_required(errors, path, "at least 1 access mode is required");
    for (uint32_t i = 0; i < list_count(modes); i++) {
        bool is_one = str_eq(tree_string(modes->items[i]), STR("ReadWriteOncePod"));
        one_pod = one_pod || is_one;
        others = others || !is_one;
    }
    if (one_pod && others)
        field_forbidden(errors, path, "may not use ReadWriteOncePod with other access modes");
}

static void check_ephemeral(const Source *s) {
    const Value *template = GET(s->source, "volumeClaimTemplate");
    const Path *at = AT(s->path, "volumeClaimTemplate");
    if (!template) {
        field_required(s->errors, at, "");
        return;
    }
    const Value *metadata = GET(template, "metadata"), *claim = GET(template, "spec");
    const Path *meta = AT(at, "metadata"), *spec = AT(at, "spec");
    schema_validate_annotations(s->errors, GET(metadata, "annotations"), AT(meta, "annotations"));
    schema_validate_labels(s->errors, GET(metadata, "labels"), AT(meta, "labels"));
    for (uint32_t i = 0; i < map_count_of(metadata); i++) {
        Str name = metadata->members[i].key;
        if (!str_eq(name, STR("annotations")) && !str_eq(name, STR("labels")) &&
            metadata->members[i].value->kind != VALUE_NULL)
            field_forbidden(s->errors, PATH(meta, name), "cannot be set");
    }
    check_access_modes(s->errors, GET(claim, "accessModes"), AT(spec, "accessModes"));
    check_claim_storage(s->errors, claim, spec);
    Str storage_class = GET_STR(claim, "storageClassName");
    if (storage_class.len)
        schema_check_format(s->errors, AT(spec, "storageClassName"), FORMAT_DNS_SUBDOMAIN,
                            storage_class);
}

// ---- projected volumes

static void check_token(FieldErrors *errors, const Value *token, const Path *path,
                        const Path *projected) {
    int64_t seconds = value_int_at(token, "expirationSeconds", 0);
    Str file = GET_STR(token, "path");
    const Path *at = AT(path, "expirationSeconds");
    if (seconds < 600)
        field_invalid_int(errors, at, seconds, "may not specify a duration less than 10 minutes");
    if (seconds > (int64_t)1 << 32)
        field_invalid_int(errors, at, seconds,
                          "may not specify a duration larger than 2^32 seconds");
    if (file.len)
        pod_validate_file_path(errors, file, AT(projected, "path"));
    else
        field_required(errors, AT(projected, "path"), "");
}

static void check_named(FieldErrors *errors, const Value *source, NameSet *paths, const Path *path,
                        const Path *projected) {
    Str name = GET_STR(source, "name");
    if (!name.len)
        field_required(errors, AT(path, "name"), "");
    check_items(errors, GET(source, "items"), paths, name, AT(path, "items"), projected);
}

static void check_projection(FieldErrors *errors, const Value *projection, NameSet *paths,
                             const Path *path, const Path *projected) {
    const Value *source;
    if ((source = GET(projection, "secret")))
        check_named(errors, source, paths, AT(path, "secret"), projected);
    if ((source = GET(projection, "configMap")))
        check_named(errors, source, paths, AT(path, "configMap"), projected);
    if ((source = GET(projection, "downwardAPI")))
        check_downward_files(errors, GET(source, "items"), paths, AT(path, "downwardAPI"),
                             projected);
    if ((source = GET(projection, "serviceAccountToken")))
        check_token(errors, source, AT(path, "serviceAccountToken"), projected);
    if (projection->n > 1)
        field_forbidden(errors, path, "may not specify more than 1 volume type per source");
}

static void check_projected(const Source *s) {
    const Value *sources = GET(s->source, "sources");
    _name_set_deinit_ NameSet paths = {.n = 0};
    check_mode(s->errors, s->source, STR("defaultMode"), s->path);
    for (uint32_t i = 0; i < list_count(sources); i++)
        check_projection(s->errors, sources->items[i], &paths,
                         PATH_INDEX(AT(s->path, "sources"), i), s->path);
}

// ---- one volume

typedef void Check(const Source *source);
static const struct {
    Str name;
    Check *check;
} sources[] = {
    // in the order in which upstream looks at them
    {{"emptyDir", 8}, check_empty_dir},
    {{"hostPath", 8}, check_host_path},
    {{"gitRepo", 7}, check_git},
    {{"gcePersistentDisk", 17}, NULL},
    {{"awsElasticBlockStore", 20}, NULL},
    {{"secret", 6}, check_secret},
    {{"nfs", 3}, check_nfs},
    {{"iscsi", 5}, check_iscsi},
    {{"glusterfs", 9}, NULL},
    {{"flocker", 7}, NULL},
    {{"persistentVolumeClaim", 21}, NULL},
    {{"rbd", 3}, NULL},
    {{"cinder", 6}, NULL},
    {{"cephfs", 6}, NULL},
    {{"quobyte", 7}, NULL},
    {{"downwardAPI", 11}, check_downward},
    {{"fc", 2}, check_fc},
    {{"flexVolume", 10}, NULL},
    {{"configMap", 9}, check_config_map},
    {{"azureFile", 9}, NULL},
    {{"vsphereVolume", 13}, NULL},
    {{"photonPersistentDisk", 20}, NULL},
    {{"portworxVolume", 14}, NULL},
    {{"azureDisk", 9}, NULL},
    {{"storageos", 9}, NULL},
    {{"projected", 9}, check_projected},
    {{"scaleIO", 7}, NULL},
    {{"csi", 3}, check_csi},
    {{"ephemeral", 9}, check_ephemeral},
    {{"image", 5}, NULL},
};

void volume_source_validate(FieldErrors *errors, Str name, const Value *source, const Path *path) {
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        if (str_eq(sources[i].name, name) && sources[i].check)
            sources[i].check(&(Source){.errors = errors, .source = source, .path = path});
}

static void check_volume(FieldErrors *errors, const Value *volume, const Path *path) {
    unsigned n = 0;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const Value *source = value_get(volume, sources[i].name);
        if (!source)
            continue;
        if (n++)
            field_forbidden(errors, PATH(path, sources[i].name),
                            "may not specify more than 1 volume type");
        else if (sources[i].check)
            sources[i].check(
                &(Source){.errors = errors, .source = source, .path = PATH(path, sources[i].name)});
    }
    if (!n)
        field_required(errors, path, "must specify a volume type");
}

// Whether an error was reported about the volume; containers then don't find it.
static bool is_at_fault(const FieldErrors *errors, const Path *path) {
    if (!errors->n)
        return false;
    Str prefix = path_str(errors->arena, path);
    for (size_t i = 0; i < errors->n; i++) {
        Str at = errors->items[i].path;
        if (str_starts_with(at, prefix) && (at.len == prefix.len || at.ptr[prefix.len] == '.'))
            return true;
    }
    return false;
}

void pod_validate_volumes(FieldErrors *errors, PodScope *scope) {
    const Value *volumes = GET(scope->spec, "volumes");
    for (uint32_t i = 0; i < list_count(volumes); i++) {
        const Path *path = PATH_INDEX(AT(scope->path, "volumes"), i);
        check_volume(errors, volumes->items[i], path);
        if (!is_at_fault(errors, path))
            name_set_add(&scope->volumes, GET_STR(volumes->items[i], "name"), volumes->items[i]);
    }
}
