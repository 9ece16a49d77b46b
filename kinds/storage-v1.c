// Storage classes, attributes classes, attachments and capacities: pkg/apis/storage/validation
// upstream.

#include "base/quantity.h"
#include "kinds/pod.h"
#include "kinds/rules.h"
#include "kinds/storage.h"

#define MAX_PARAMETERS 512
#define MAX_PARAMETER_BYTES (256 * 1024)
#define MAX_ERROR_BYTES 1024
#define MAX_TERMS 1000 // upstream has no limit; this one keeps the comparisons short

// ---- what classes have in common

// A qualified name in any case.
static void check_provisioner(FieldErrors *errors, const Value *object, Str field) {
    const Path *path = PATH(NULL, field);
    Str name = tree_string(value_get(object, field));
    if (!name.len) {
        field_required(errors, path, "");
        return;
    }
    char *lower = arena_cstr(errors->arena, name);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c |= 0x20;
    schema_check_format(errors, path, FORMAT_LABEL_KEY, str_of(lower, name.len));
}

static void check_parameters(FieldErrors *errors, const Value *parameters, bool required) {
    const Path *path = AT(NULL, "parameters");
    size_t size = 0;
    if (required && !map_count_of(parameters))
        field_required(errors, path, "must contain at least one key/value pair");
    if (map_count_of(parameters) > MAX_PARAMETERS) {
        field_too_long(errors, path, MAX_PARAMETERS);
        return;
    }
    for (uint32_t i = 0; i < map_count_of(parameters); i++) {
        const Member *member = &parameters->members[i];
        if (!member->key.len)
            field_invalid(errors, path, member->key, "field can not be empty.");
        size += member->key.len + tree_string(member->value).len;
    }
    if (size > MAX_PARAMETER_BYTES)
        field_too_long(errors, path, MAX_PARAMETER_BYTES);
}

static void forbid_change(FieldErrors *errors, const Value *object, const Value *old, Str field) {
    const Value *now = value_get(object, field), *before = value_get(old, field);
    if (now == before || (now && before && value_equal(now, before)))
        return;
    field_forbidden(
        errors, PATH(NULL, field),
        arena_printf(errors->arena, "updates to %.*s are forbidden.", STR_ARG(field)).ptr);
}

// ---- storage classes

static void check_topology_term(FieldErrors *errors, const Value *term, const Path *path) {
    const Value *labels = GET(term, "matchLabelExpressions");
    _name_set_deinit_ NameSet keys = {.n = 0};
    for (uint32_t i = 0; i < list_count(labels); i++) {
        const Path *at = PATH_INDEX(AT(path, "matchLabelExpressions"), i);
        const Value *values = GET(labels->items[i], "values");
        Str key = GET_STR(labels->items[i], "key");
        _name_set_deinit_ NameSet seen = {.n = 0};
        schema_check_format(errors, AT(at, "key"), FORMAT_LABEL_KEY, key);
        if (!list_count(values))
            field_required(errors, AT(at, "values"), "");
        for (uint32_t k = 0; k < list_count(values); k++)
            if (name_set_add(&seen, tree_string(values->items[k]), values))
                field_duplicate(errors, PATH_INDEX(AT(at, "values"), k),
                                tree_string(values->items[k]));
        if (name_set_add(&keys, key, labels))
            field_duplicate(errors, AT(at, "key"), key);
    }
}

static void check_topologies(FieldErrors *errors, const Value *terms, const Path *path) {
    if (list_count(terms) > MAX_TERMS) {
        field_too_many(errors, path, terms->n, MAX_TERMS);
        return;
    }
    for (uint32_t i = 0; i < list_count(terms); i++) {
        check_topology_term(errors, terms->items[i], PATH_INDEX(path, i));
        for (uint32_t k = 0; k < i; k++)
            if (value_equal(terms->items[i], terms->items[k])) {
                field_duplicate(errors, AT(PATH_INDEX(path, i), "matchLabelExpressions"), STR(""));
                break;
            }
    }
}

static void validate_class(FieldErrors *errors, const Value *object) {
    check_provisioner(errors, object, STR("provisioner"));
    check_parameters(errors, GET(object, "parameters"), false);
    check_topologies(errors, GET(object, "allowedTopologies"), AT(NULL, "allowedTopologies"));
}

static void validate_class_update(FieldErrors *errors, const Value *object, const Value *old) {
    forbid_change(errors, object, old, STR("parameters"));
    forbid_change(errors, object, old, STR("provisioner"));
    forbid_change(errors, object, old, STR("reclaimPolicy"));
}

const ResourceRules storage_class_rules = {.validate = validate_class,
                                           .validate_update = validate_class_update};

// ---- attributes classes

static void validate_attributes(FieldErrors *errors, const Value *object) {
    check_provisioner(errors, object, STR("driverName"));
    check_parameters(errors, GET(object, "parameters"), true);
}

static void validate_attributes_update(FieldErrors *errors, const Value *object, const Value *old) {
    forbid_change(errors, object, old, STR("driverName"));
    forbid_change(errors, object, old, STR("parameters"));
}

const ResourceRules volume_attributes_class_rules = {
    .validate = validate_attributes,
    .validate_update = validate_attributes_update,
};

// ---- attachments

static void validate_attachment(FieldErrors *errors, const Value *object) {
    const Path *path = AT(NULL, "spec"), *source_path = AT(path, "source");
    const Value *name = value_at(object, "spec.source.persistentVolumeName"),
                *spec = value_at(object, "spec.source.inlineVolumeSpec");
    Str attacher = tree_string(value_at(object, "spec.attacher")),
        node = tree_string(value_at(object, "spec.nodeName"));
    if (!attacher.len)
        field_required(errors, AT(path, "attacher"), "");
    csi_driver_validate(errors, attacher, AT(path, "attacher"));
    if (!name && !spec)
        field_required(errors, source_path,
                       "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    else if (name && spec)
        field_forbidden(errors, source_path,
                        "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    else if (name && !tree_string(name).len)
        field_required(errors, AT(source_path, "persistentVolumeName"),
                       "must specify non empty persistentVolumeName");
    else if (spec)
        persistent_volume_spec_validate(errors, spec, true, AT(source_path, "inlineVolumeSpec"));
    schema_check_format(errors, AT(path, "nodeName"), FORMAT_DNS_SUBDOMAIN, node);
}

static void check_error(FieldErrors *errors, const Value *object, Str field) {
    const Value *error = value_get(GET(object, "status"), field);
    if (GET_STR(error, "message").len > MAX_ERROR_BYTES)
        field_too_long(errors, AT(PATH(AT(NULL, "status"), field), "message"), MAX_ERROR_BYTES);
}

static void validate_attachment_status(FieldErrors *errors, const Value *object, const Value *old) {
    const Value *metadata = value_at(object, "status.attachmentMetadata");
    size_t size = 0;
    for (uint32_t i = 0; i < map_count_of(metadata); i++)
        size += metadata->members[i].key.len + tree_string(metadata->members[i].value).len;
    if (size > MAX_PARAMETER_BYTES)
        field_too_long(errors, AT(AT(NULL, "status"), "attachmentMetadata"), MAX_PARAMETER_BYTES);
    check_error(errors, object, STR("attachError"));
    check_error(errors, object, STR("detachError"));
}

const ResourceRules volume_attachment_rules = {
    .validate = validate_attachment,
    .validate_status_update = validate_attachment_status,
};

// ---- capacities

static void check_not_negative(FieldErrors *errors, const Value *object, Str field) {
    Str text = tree_string(value_get(object, field));
    Quantity quantity;
    if (text.len && quantity_parse(text, &quantity) == 0 && quantity.nano < 0)
        field_invalid(errors, PATH(NULL, field), text, "must be greater than or equal to 0");
}

static void validate_capacity(FieldErrors *errors, const Value *object) {
    schema_check_format(errors, AT(NULL, "storageClassName"), FORMAT_DNS_SUBDOMAIN,
                        GET_STR(object, "storageClassName"));
    check_not_negative(errors, object, STR("capacity"));
    check_not_negative(errors, object, STR("maximumVolumeSize"));
}

const ResourceRules csi_storage_capacity_rules = {.validate = validate_capacity};
