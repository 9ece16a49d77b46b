// Object metadata: apimachinery's pkg/api/validation/objectmeta.go.

#include "base/map.h"
#include "schema/check.h"
#include "schema/format.h"

#define MAX_ANNOTATIONS (256 * 1024) // bytes, keys and values together
#define MAX_FIELD_MANAGER 128
#define MAX_SUBRESOURCE 256

static void check_name(FieldErrors *errors, const Resource *resource, const Value *metadata,
                       const Path *path) {
    FieldFormat format = FORMAT_DNS_SUBDOMAIN;
    if (resource->rules && resource->rules->name_format)
        format = resource->rules->name_format;
    Str generate = value_string_at(metadata, "generateName");
    if (generate.len) { // a dash at its end is not the name's end
        Str masked = generate;
        if (generate.len > 1 && generate.ptr[generate.len - 1] == '-') {
            char *copy = arena_cstr(errors->arena, generate);
            copy[generate.len - 2] = 'a';
            masked = str_of(copy, generate.len - 1);
        }
        FormatProblems problems = format_check(errors->arena, format, masked);
        for (size_t i = 0; i < problems.n; i++)
            field_invalid(errors, PATH(path, STR("generateName")), generate,
                          problems.messages[i].ptr);
    }
    Str name = value_string_at(metadata, "name");
    if (!name.len)
        field_required(errors, PATH(path, STR("name")), "name or generateName is required");
    else
        schema_check_format(errors, PATH(path, STR("name")), format, name);
}

static void check_namespace(FieldErrors *errors, const Resource *resource, const Value *metadata,
                            const Path *path) {
    Str name = value_string_at(metadata, "namespace");
    const Path *at = PATH(path, STR("namespace"));
    if (!resource->namespaced) {
        if (name.len)
            field_forbidden(errors, at, "not allowed on this type");
    } else if (!name.len) {
        field_required(errors, at, "");
    } else {
        schema_check_format(errors, at, FORMAT_DNS_LABEL, name);
    }
}

static void check_generation(FieldErrors *errors, const Value *metadata, const Path *path) {
    int64_t generation = value_int_at(metadata, "generation", 0);
    if (generation < 0)
        field_invalid_int(errors, PATH(path, STR("generation")), generation,
                          "must be greater than or equal to 0");
}

static const Value *object_at(const Value *metadata, Str key) {
    const Value *value = value_get(metadata, key);
    return value && value->kind == VALUE_OBJECT ? value : NULL;
}

static const Value *array_at(const Value *metadata, Str key) {
    const Value *value = value_get(metadata, key);
    return value && value->kind == VALUE_ARRAY ? value : NULL;
}

void schema_validate_labels(FieldErrors *errors, const Value *labels, const Path *path) {
    if (!labels || labels->kind != VALUE_OBJECT)
        return;
    for (uint32_t i = 0; i < labels->n; i++) {
        const Member *member = &labels->members[i];
        schema_check_format(errors, path, FORMAT_LABEL_KEY, member->key);
        if (member->value->kind == VALUE_STRING)
            schema_check_format(errors, path, FORMAT_LABEL_VALUE, member->value->string);
    }
}

void schema_validate_annotations(FieldErrors *errors, const Value *annotations, const Path *path) {
    size_t size = 0;
    if (!annotations || annotations->kind != VALUE_OBJECT)
        return;
    for (uint32_t i = 0; i < annotations->n; i++) {
        const Member *member = &annotations->members[i];
        char *lower = arena_cstr(errors->arena, member->key); // its case does not matter
        for (char *c = lower; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c |= 0x20;
        FormatProblems problems =
            format_check(errors->arena, FORMAT_LABEL_KEY, str_of(lower, member->key.len));
        for (size_t j = 0; j < problems.n; j++)
            field_invalid(errors, path, member->key, problems.messages[j].ptr);
        size += member->key.len;
        if (member->value->kind == VALUE_STRING)
            size += member->value->string.len;
    }
    if (size > MAX_ANNOTATIONS)
        field_too_long(errors, path, MAX_ANNOTATIONS);
}

// <group>/<version> or <version>; false when it is neither.
static bool is_api_version(Str text) {
    ptrdiff_t slash = str_find(text, '/');
    if (slash < 0)
        return text.len > 0;
    Str version = str_slice(text, (size_t)slash + 1, text.len);
    return version.len && str_find(version, '/') < 0;
}

static void check_owner(FieldErrors *errors, const Value *owner, const Path *path) {
    static const Str required[] = {{"kind", 4}, {"name", 4}, {"uid", 3}};
    Str version = value_string_at(owner, "apiVersion");
    if (!version.len)
        field_required(errors, PATH(path, STR("apiVersion")), "must not be empty");
    else if (!is_api_version(version))
        field_invalid(errors, PATH(path, STR("apiVersion")), version,
                      "must be <group>/<version> or <version>");
    for (size_t i = 0; i < 3; i++) {
        const Value *value = value_get(owner, required[i]);
        if (!value || value->kind != VALUE_STRING || !value->string.len)
            field_required(errors, PATH(path, required[i]), "must not be empty");
    }
    if (str_eq(version, STR("v1")) && str_eq(value_string_at(owner, "kind"), STR("Event")))
        field_invalid_value(errors, path, owner,
                            "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(FieldErrors *errors, const Value *metadata, const Path *path) {
    const Value *owners = array_at(metadata, STR("ownerReferences"));
    const Path *at = PATH(path, STR("ownerReferences"));
    const Value *first = NULL;
    for (uint32_t i = 0; owners && i < owners->n; i++) {
        const Value *owner = owners->items[i];
        check_owner(errors, owner, PATH_INDEX(at, i));
        if (!value_bool_at(owner, "controller", false))
            continue;
        if (first) {
            Str detail = arena_printf(
                errors->arena,
                "Only one reference can have Controller set to true. Found \"true\" in references "
                "for %.*s/%.*s and %.*s/%.*s",
                STR_ARG(value_string_at(first, "kind")), STR_ARG(value_string_at(first, "name")),
                STR_ARG(value_string_at(owner, "kind")), STR_ARG(value_string_at(owner, "name")));
            field_invalid_value(errors, at, owners, detail.ptr);
            return;
        }
        first = owner;
    }
}

static void check_finalizers(FieldErrors *errors, const Value *metadata, const Path *path) {
    const Value *finalizers = array_at(metadata, STR("finalizers"));
    const Path *at = PATH(path, STR("finalizers"));
    bool orphan = false, foreground = false;
    for (uint32_t i = 0; finalizers && i < finalizers->n; i++) {
        if (finalizers->items[i]->kind != VALUE_STRING)
            continue;
        Str name = finalizers->items[i]->string;
        schema_check_format(errors, at, FORMAT_LABEL_KEY, name);
        orphan = orphan || str_eq(name, STR("orphan"));
        foreground = foreground || str_eq(name, STR("foregroundDeletion"));
    }
    if (orphan && foreground)
        field_invalid_value(errors, at, finalizers,
                            "finalizer orphan and foregroundDeletion cannot be both set");
}

static void check_managed_fields(FieldErrors *errors, const Value *metadata, const Path *path) {
    static const Str operations[] = {{"Apply", 5}, {"Update", 6}};
    const Value *entries = array_at(metadata, STR("managedFields"));
    for (uint32_t i = 0; entries && i < entries->n; i++) {
        const Value *entry = entries->items[i];
        const Path *at = PATH_INDEX(PATH(path, STR("managedFields")), i);
        Str operation = value_string_at(entry, "operation");
        Str fields_type = value_string_at(entry, "fieldsType");
        if (!operation.len)
            field_required(errors, PATH(at, STR("operation")), "must not be empty");
        else if (!str_eq(operation, operations[0]) && !str_eq(operation, operations[1]))
            field_not_supported(errors, PATH(at, STR("operation")), operation, operations, 2);
        if (fields_type.len && !str_eq(fields_type, STR("FieldsV1")))
            field_invalid(errors, PATH(at, STR("fieldsType")), fields_type, "must be `FieldsV1`");
        if (value_string_at(entry, "manager").len > MAX_FIELD_MANAGER)
            field_too_long(errors, PATH(at, STR("manager")), MAX_FIELD_MANAGER);
        if (value_string_at(entry, "subresource").len > MAX_SUBRESOURCE)
            field_too_long(errors, PATH(at, STR("subresource")), MAX_SUBRESOURCE);
    }
}

// An object that is being deleted gets no new finalizers.
static void check_new_finalizers(FieldErrors *errors, const Value *metadata, const Value *old,
                                 const Path *path) {
    const Value *finalizers = array_at(metadata, STR("finalizers"));
    const Value *before = array_at(old, STR("finalizers"));
    if (!value_get(old, STR("deletionTimestamp")) || !finalizers)
        return;
    _map_free_ Map *known = map_new();
    for (uint32_t i = 0; before && i < before->n; i++)
        if (before->items[i]->kind == VALUE_STRING)
            map_put(known, before->items[i]->string, known);
    _buf_deinit_ Buf list = BUF_INIT(VALUE_MAX_BYTES);
    for (uint32_t i = 0; i < finalizers->n; i++) {
        if (finalizers->items[i]->kind != VALUE_STRING ||
            map_get(known, finalizers->items[i]->string))
            continue;
        buf_printf(&list, "%s\"%.*s\"", list.len ? ", " : "",
                   STR_ARG(finalizers->items[i]->string));
    }
    if (!list.len)
        return;
    Str detail = arena_printf(errors->arena,
                              "no new finalizers can be added if the object is being deleted, "
                              "found new finalizers []string{%.*s}",
                              STR_ARG(buf_view(&list)));
    field_forbidden(errors, PATH(path, STR("finalizers")), detail.ptr);
}

static void check_unchanged(FieldErrors *errors, const Value *metadata, const Value *old, Str key,
                            const Path *path) {
    const Value *now = value_get(metadata, key), *before = value_get(old, key);
    Value empty = {.kind = VALUE_STRING, .string = STR("")};
    bool is_string = !str_eq(key, STR("deletionGracePeriodSeconds"));
    if (!now && is_string)
        now = before && !str_eq(key, STR("deletionTimestamp")) ? &empty : NULL;
    bool same = now == &empty ? before->kind == VALUE_STRING && !before->string.len
                              : value_equal(now, before);
    if (!same)
        field_invalid_value(errors, PATH(path, key), now, "field is immutable");
}

static void check_update(FieldErrors *errors, const Value *metadata, const Value *old,
                         const Path *path) {
    static const Str unchanged[] = {{"name", 4},
                                    {"namespace", 9},
                                    {"uid", 3},
                                    {"creationTimestamp", 17},
                                    {"deletionTimestamp", 17},
                                    {"deletionGracePeriodSeconds", 26}};
    check_new_finalizers(errors, metadata, old, path);
    if (!value_string_at(metadata, "resourceVersion").len)
        field_invalid(errors, PATH(path, STR("resourceVersion")), STR(""),
                      "must be specified for an update");
    check_generation(errors, metadata, path);
    int64_t generation = value_int_at(metadata, "generation", 0);
    if (generation < value_int_at(old, "generation", 0))
        field_invalid_int(errors, PATH(path, STR("generation")), generation,
                          "must not be decremented");
    for (size_t i = 0; i < sizeof unchanged / sizeof unchanged[0]; i++)
        check_unchanged(errors, metadata, old, unchanged[i], path);
}

void schema_validate_metadata(FieldErrors *errors, const Resource *resource, const Value *object,
                              const Value *old) {
    const Value *metadata = value_get(object, STR("metadata"));
    const Path *path = PATH(NULL, STR("metadata"));
    if (old) {
        check_update(errors, metadata, value_get(old, STR("metadata")), path);
    } else {
        check_name(errors, resource, metadata, path);
        check_namespace(errors, resource, metadata, path);
        check_generation(errors, metadata, path);
    }
    schema_validate_labels(errors, object_at(metadata, STR("labels")), PATH(path, STR("labels")));
    schema_validate_annotations(errors, object_at(metadata, STR("annotations")),
                                PATH(path, STR("annotations")));
    check_owners(errors, metadata, path);
    if (!old)
        check_finalizers(errors, metadata, path);
    check_managed_fields(errors, metadata, path);
}
