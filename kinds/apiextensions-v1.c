// CustomResourceDefinition: defaults (pkg/apis/apiextensions/v1/defaults.go), strategy and
// validation. Whether its names are free, and serving it, is the API server's business.

#include "kinds/custom_resource.h"
#include "kinds/rules.h"
#include "kinds/tree.h"
#include "schema/json_path.h"
#include "schema/quote.h"
#include "schema/structural.h"

#define MAX_SELECTABLE_FIELDS 8
#define MAX_VERSIONS 64
#define MAX_COLUMNS 100
#define APPROVAL STR("api-approved.kubernetes.io")
#define AT(name) PATH(path, str_from(name))

// ---- defaults and what the server sets

static void default_definition(Arena *arena, Value *object) {
    Value *spec = value_get(object, STR("spec"));
    Value *names = value_get(spec, STR("names"));
    if (!names || names->kind != VALUE_OBJECT)
        return;
    Str kind = value_string_at(names, "kind");
    if (!tree_has_string(names, "singular") && kind.len) {
        char *lower = arena_cstr(arena, kind);
        for (char *c = lower; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c |= 0x20;
        value_set_str(arena, names, STR("singular"), str_of(lower, kind.len));
    }
    if (!tree_has_string(names, "listKind") && kind.len)
        value_set_str(arena, names, STR("listKind"),
                      arena_printf(arena, "%.*sList", STR_ARG(kind)));
    if (!value_get(spec, STR("conversion")))
        value_set_str(arena, value_at_make(arena, spec, "conversion"), STR("strategy"),
                      STR("None"));
}

static bool lists(const Value *list, Str name) {
    for (uint32_t i = 0; list && list->kind == VALUE_ARRAY && i < list->n; i++)
        if (str_eq(tree_string(list->items[i]), name))
            return true;
    return false;
}

static void add_stored_version(Arena *arena, Value *object) {
    Value *status = value_at_make(arena, object, "status");
    Value *stored = value_get(status, STR("storedVersions"));
    for (uint32_t i = 0; i < tree_count(object, "spec.versions"); i++) {
        const Value *version = tree_item(object, "spec.versions", i);
        Str name = value_string_at(version, "name");
        if (!value_bool_at(version, "storage", false) || !name.len)
            continue;
        if (lists(stored, name))
            return;
        Value *more = stored ? value_copy(arena, stored) : value_new_array(arena);
        value_push(arena, more, value_new_string(arena, name));
        value_set(arena, status, STR("storedVersions"), more);
        return;
    }
}

static void prepare(Arena *arena, Value *object, const Value *old) {
    if (!old)
        value_unset(object, STR("status"));
    else if (value_get(object, STR("status"))) // the old one's, which stays as it is
        value_set(arena, object, STR("status"),
                  value_copy(arena, value_get(object, STR("status"))));
    add_stored_version(arena, object);
    if (!value_at(object, "status.acceptedNames")) {
        Value *names = value_at_make(arena, object, "status.acceptedNames");
        value_set_str(arena, names, STR("plural"), STR(""));
        value_set_str(arena, names, STR("kind"), STR(""));
    }
}

// ---- columns, subresources, selectable fields

static void check_column(FieldErrors *errors, const Value *column, const Path *path) {
    static const char types[] = "boolean,date,integer,number,string";
    static const char formats[] = "byte,date,date-time,double,float,int32,int64,password";
    Str type = value_string_at(column, "type"), format = value_string_at(column, "format");
    Str json_path = value_string_at(column, "jsonPath");
    if (!tree_has_string(column, "name"))
        field_required(errors, AT("name"), "");
    const char *one_of = arena_printf(errors->arena, "must be one of %s", types).ptr;
    Str rest = str_from(types), last = STR_NONE;
    while (rest.ptr && !str_eq(last, type))
        last = str_cut(&rest, ',');
    if (!type.len)
        field_required(errors, AT("type"), one_of);
    else if (!str_eq(last, type))
        field_invalid(errors, AT("type"), type, one_of);
    rest = str_from(formats), last = STR_NONE;
    while (rest.ptr && !str_eq(last, format))
        last = str_cut(&rest, ',');
    if (format.len && !str_eq(last, format))
        field_invalid(errors, AT("format"), format,
                      arena_printf(errors->arena, "must be one of %s", formats).ptr);
    if (!json_path.len)
        field_required(errors, AT("JSONPath"), "");
    else if (json_path.ptr[0] != '.')
        field_invalid(errors, AT("JSONPath"), json_path,
                      "must be a simple json path starting with .");
    else if (json_path.len > JSON_PATH_MAX_BYTES)
        field_too_long(errors, AT("JSONPath"), JSON_PATH_MAX_BYTES);
}

static void check_replicas_path(FieldErrors *errors, const Value *scale, const char *name,
                                const char *below, const char *or_below, const char *detail,
                                const Path *path) {
    Str text = value_string_at(scale, name);
    const Path *at = PATH(path, arena_printf(errors->arena, "scale.%s", name));
    if (!text.len) {
        if (!or_below)
            field_required(errors, at, "");
    } else if (text.ptr[0] != '.') {
        field_invalid(errors, at, text, "must be a simple json path starting with .");
    } else if (!str_starts_with(text, str_from(below)) &&
               !(or_below && str_starts_with(text, str_from(or_below)))) {
        field_invalid(errors, at, text, detail);
    }
}

static void check_subresources(FieldErrors *errors, const Value *subresources, const Path *path) {
    const Value *scale = value_get(subresources, STR("scale"));
    if (!scale)
        return;
    check_replicas_path(errors, scale, "specReplicasPath", ".spec.", NULL,
                        "should be a json path under .spec", path);
    check_replicas_path(errors, scale, "statusReplicasPath", ".status.", NULL,
                        "should be a json path under .status", path);
    check_replicas_path(errors, scale, "labelSelectorPath", ".spec.", ".status.",
                        "should be a json path under either .spec or .status", path);
}

// The schema that a path of plain names leads to; NULL with what is wrong (k8s'
// cel.ValidFieldPath).
static const Value *schema_at(FieldErrors *errors, const Value *schema, Str text,
                              const char **ret_wrong) {
    Str rest = text;
    *ret_wrong = NULL;
    if (rest.len && rest.ptr[0] != '.')
        *ret_wrong = arena_printf(errors->arena, "expected [ or . but got: %.*s",
                                  STR_ARG(str_cut(&rest, '.')))
                         .ptr;
    else if (memchr(text.ptr, '[', text.len))
        *ret_wrong = "array notation is not allowed";
    if (*ret_wrong)
        return NULL;
    rest = str_slice(rest, 1, rest.len);
    while (schema && rest.ptr) {
        Str step = str_cut(&rest, '.');
        const Value *additional = value_get(schema, STR("additionalProperties"));
        const Value *properties = value_get(schema, STR("properties"));
        schema = properties ? value_get(properties, step) : additional;
    }
    if (!schema || schema->kind != VALUE_OBJECT)
        *ret_wrong = "does not refer to a valid field";
    return *ret_wrong ? NULL : schema;
}

static void check_selectable(FieldErrors *errors, const Value *version, const Value *schema,
                             const Path *path) {
    uint32_t n = tree_count(version, "selectableFields"), different = 0;
    if (n && !schema) {
        field_invalid(errors, path, STR(""),
                      "may only be set when `version.schema.openAPIV3Schema` is not included");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        Str text = value_string_at(tree_item(version, "selectableFields", i), "jsonPath");
        const Path *at = PATH(PATH_INDEX(path, i), STR("jsonPath"));
        const char *wrong;
        if (!text.len) {
            field_required(errors, at, "");
            continue;
        }
        const Value *found = schema_at(errors, schema, text, &wrong);
        if (wrong) {
            field_invalid(errors, at, text,
                          arena_printf(errors->arena, "is an invalid path: %s", wrong).ptr);
            continue;
        }
        if (str_starts_with(text, STR(".metadata.")) || str_eq(text, STR(".metadata")))
            field_invalid(errors, at, text, "must not point to fields in metadata");
        Str type = value_string_at(found, "type");
        if (!str_eq(type, STR("string")) && !str_eq(type, STR("boolean")) &&
            !str_eq(type, STR("integer")))
            field_invalid(errors, at, text,
                          "must point to a field of type string, boolean or integer. Enum string "
                          "fields and strings with formats are allowed.");
        bool seen = false;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = str_eq(value_string_at(tree_item(version, "selectableFields", j), "jsonPath"),
                          text);
        different += !seen;
        if (seen)
            field_duplicate(errors, at, text);
    }
    if (different > MAX_SELECTABLE_FIELDS)
        field_too_many(errors, path, different, MAX_SELECTABLE_FIELDS);
}

// ---- versions

static void check_root(FieldErrors *errors, const Value *schema, bool status, const Path *path) {
    static const char *const allowed[] = {"description",
                                          "type",
                                          "format",
                                          "title",
                                          "maximum",
                                          "minimum",
                                          "maxLength",
                                          "minLength",
                                          "exclusiveMaximum",
                                          "pattern",
                                          "maxItems",
                                          "exclusiveMinimum",
                                          "minItems",
                                          "uniqueItems",
                                          "multipleOf",
                                          "required",
                                          "items",
                                          "properties",
                                          "externalDocs",
                                          "example",
                                          "x-kubernetes-validations",
                                          "x-kubernetes-preserve-unknown-fields"};
    static const char names[] =
        "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum "
        "MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items "
        "Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed "
        "at the root of the schema if the status subresource is enabled";
    Str type = value_string_at(schema, "type");
    if (status && type.len && !str_eq(type, STR("object")))
        field_invalid(errors, AT("type"), type,
                      "only \"object\" is allowed as the type at the root of the schema if the "
                      "status subresource is enabled");
    for (uint32_t i = 0; status && i < schema->n; i++) {
        bool fine = false;
        for (size_t j = 0; j < sizeof allowed / sizeof *allowed && !fine; j++)
            fine = str_eq(schema->members[i].key, str_from(allowed[j]));
        if (fine)
            continue;
        field_invalid_value(errors, path, schema, names);
        break;
    }
    if (value_bool_at(schema, "nullable", false))
        field_forbidden(errors, AT("nullable"), "nullable cannot be true at the root");
}

static void check_validation(FieldErrors *errors, const Value *version, const Path *path) {
    const Value *schema = value_at(version, "schema.openAPIV3Schema");
    const Path *at = PATH(AT("schema"), STR("openAPIV3Schema"));
    if (!schema)
        return;
    bool status = value_at(version, "subresources.status") != NULL;
    size_t before = errors->n;
    check_root(errors, schema, status, at);
    crd_check_structural(errors, schema, at);
    if (errors->n == before) // the tables want a structural schema
        crd_check_defaults(errors, schema, at);
    crd_check_schema(errors, schema, at);
}

static void check_deprecation(FieldErrors *errors, const Value *version, const Path *path) {
    const Value *warning = value_get(version, STR("deprecationWarning"));
    const Path *at = AT("deprecationWarning");
    if (!warning)
        return;
    Str text = tree_string(warning);
    if (!value_bool_at(version, "deprecated", false)) {
        field_invalid(errors, at, text, "can only be set for deprecated versions");
        return;
    }
    if (text.len > 256)
        field_invalid(errors, at, text, "must be <= 256 characters long");
    if (!text.len)
        field_invalid(errors, at, text, "must not be an empty string");
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= ' ' && text.ptr[i] != 0x7f)
            continue;
        field_invalid(errors, at, text,
                      arena_printf(errors->arena,
                                   "must only contain printable UTF-8 characters; non-printable "
                                   "character found at index %zu",
                                   i)
                          .ptr);
        break;
    }
}

static void check_version(FieldErrors *errors, const Value *version, const Path *path) {
    uint32_t columns = tree_count(version, "additionalPrinterColumns");
    check_deprecation(errors, version, path);
    check_validation(errors, version, path);
    check_subresources(errors, value_get(version, STR("subresources")), AT("subresources"));
    if (columns > MAX_COLUMNS)
        field_too_many(errors, AT("additionalPrinterColumns"), columns, MAX_COLUMNS);
    for (uint32_t i = 0; i < columns && i < MAX_COLUMNS; i++)
        check_column(errors, tree_item(version, "additionalPrinterColumns", i),
                     PATH_INDEX(AT("additionalPrinterColumns"), i));
    check_selectable(errors, version, value_at(version, "schema.openAPIV3Schema"),
                     AT("selectableFields"));
}

static void check_versions(FieldErrors *errors, const Value *spec, const Path *path) {
    const Value *versions = value_get(spec, STR("versions"));
    uint32_t n = tree_count(spec, "versions"), storage = 0;
    bool unique = true;
    if (n > MAX_VERSIONS) {
        field_too_many(errors, path, n, MAX_VERSIONS);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        if (!value_at(tree_item(spec, "versions", i), "schema.openAPIV3Schema"))
            field_required(
                errors, PATH(PATH(PATH_INDEX(path, i), STR("schema")), STR("openAPIV3Schema")), "");
    for (uint32_t i = 0; i < n; i++) {
        const Value *version = tree_item(spec, "versions", i);
        Str name = value_string_at(version, "name");
        storage += value_bool_at(version, "storage", false);
        for (uint32_t j = 0; j < i; j++)
            unique =
                unique && !str_eq(value_string_at(tree_item(spec, "versions", j), "name"), name);
        Str problems = crd_problems(errors->arena, FORMAT_DNS_LABEL_1035, name);
        if (problems.len)
            field_invalid(errors, PATH(PATH_INDEX(path, i), STR("name")), name,
                          arena_cstr(errors->arena, problems));
        check_version(errors, version, PATH_INDEX(path, i));
    }
    if (!unique)
        field_invalid_value(errors, path, versions, "must contain unique version names");
    if (storage != 1)
        field_invalid_value(errors, path, versions,
                            "must have exactly one version marked as storage version");
}

// ---- the spec

static void check_group(FieldErrors *errors, Str group, const Path *path) {
    if (!group.len) {
        field_required(errors, path, "");
        return;
    }
    Str problems = crd_problems(errors->arena, FORMAT_DNS_SUBDOMAIN, group);
    if (problems.len)
        field_invalid(errors, path, group, arena_cstr(errors->arena, problems));
    else if (str_find(group, '.') < 0)
        field_invalid(errors, path, group, "should be a domain with at least one dot");
}

static void check_choice(FieldErrors *errors, Str value, const Str *choices, size_t n,
                         const Path *path) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(value, choices[i]))
            return;
    if (value.len)
        field_not_supported(errors, path, value, choices, n);
    else
        field_required(errors, path, "");
}

static void check_conversion(FieldErrors *errors, const Value *spec, const Path *path) {
    static const Str strategies[] = {{"None", 4}, {"Webhook", 7}};
    Str strategy = value_string_at(spec, "conversion.strategy");
    const Value *webhook = value_at(spec, "conversion.webhook");
    check_choice(errors, strategy, strategies, 2, AT("strategy"));
    if (str_eq(strategy, strategies[1]))
        field_forbidden(errors, AT("strategy"),
                        "conversion webhooks are not supported by this server: use None");
    else if (webhook && value_get(webhook, STR("clientConfig")))
        field_forbidden(errors, AT("webhookClientConfig"),
                        "should not be set when strategy is not set to Webhook");
    if (!str_eq(strategy, strategies[1]) && tree_count(webhook, "conversionReviewVersions"))
        field_forbidden(errors, AT("conversionReviewVersions"),
                        "should not be set when strategy is not set to Webhook");
}

static void check_spec(FieldErrors *errors, const Value *spec, const Path *path) {
    static const Str scopes[] = {{"Cluster", 7}, {"Namespaced", 10}};
    check_group(errors, value_string_at(spec, "group"), AT("group"));
    check_choice(errors, value_string_at(spec, "scope"), scopes, 2, AT("scope"));
    check_versions(errors, spec, AT("versions"));
    crd_check_names(errors, value_get(spec, STR("names")), AT("names"), true);
    check_conversion(errors, spec, AT("conversion"));
}

// ---- the whole

static bool is_protected(Str group) {
    return str_eq(group, STR("k8s.io")) || str_ends_with(group, STR(".k8s.io")) ||
           str_eq(group, STR("kubernetes.io")) || str_ends_with(group, STR(".kubernetes.io"));
}

// apihelpers.GetAPIApprovalState
CrdApproval crd_approval(Arena *arena, const Value *object, Str *ret_message) {
    Str text = tree_string(value_get(value_at(object, "metadata.annotations"), APPROVAL));
    ptrdiff_t colon = str_find(text, ':');
    *ret_message = STR("");
    if (!is_protected(value_string_at(object, "spec.group")))
        return CRD_APPROVAL_UNNEEDED;
    if (!text.len) {
        *ret_message = STR("protected groups must have approval annotation "
                           "\"api-approved.kubernetes.io\", see "
                           "https://github.com/kubernetes/enhancements/pull/1111");
        return CRD_APPROVAL_MISSING;
    }
    if (str_starts_with(text, STR("unapproved"))) {
        *ret_message = arena_printf(arena, "not approved: %.*s", STR_ARG(quote_str(arena, text)));
        return CRD_APPROVAL_BYPASSED;
    }
    bool url = colon > 0 && schema_format_matches(STR("uri"), text) &&
               str_starts_with(str_slice(text, (size_t)colon, text.len), STR("://")) &&
               text.len > (size_t)colon + 3;
    *ret_message = url ? arena_printf(arena, "approved in %.*s", STR_ARG(text))
                       : STR("protected groups must have approval annotation "
                             "\"api-approved.kubernetes.io\" with either a URL or a reason "
                             "starting with \"unapproved\", see "
                             "https://github.com/kubernetes/enhancements/pull/1111");
    return url ? CRD_APPROVAL_GIVEN : CRD_APPROVAL_INVALID;
}

// Groups of the Kubernetes project itself: https://github.com/kubernetes/enhancements/pull/1111
static void check_approval(FieldErrors *errors, const Value *object, const Value *old) {
    Str message, before;
    CrdApproval state = crd_approval(errors->arena, object, &message);
    const Path *path = PATH_KEY(PATH(PATH(NULL, STR("metadata")), STR("annotations")), APPROVAL);
    if (old && crd_approval(errors->arena, old, &before) == state)
        return;
    if (state == CRD_APPROVAL_MISSING)
        field_required(errors, path, arena_cstr(errors->arena, message));
    else if (state == CRD_APPROVAL_INVALID)
        field_invalid(errors, path,
                      tree_string(value_get(value_at(object, "metadata.annotations"), APPROVAL)),
                      arena_cstr(errors->arena, message));
}

static void check_stored_versions(FieldErrors *errors, const Value *object) {
    const Value *stored = value_at(object, "status.storedVersions");
    const Path *path = PATH(PATH(NULL, STR("status")), STR("storedVersions"));
    uint32_t n = tree_count(object, "spec.versions");
    if (!stored || !stored->n) {
        field_invalid_value(errors, path, stored, "must have at least one stored version");
        return;
    }
    for (uint32_t i = 0; i < stored->n; i++) {
        Str name = tree_string(stored->items[i]);
        bool found = false;
        for (uint32_t j = 0; j < n && !found; j++)
            found = str_eq(value_string_at(tree_item(object, "spec.versions", j), "name"), name);
        if (found)
            continue;
        field_invalid(
            errors, PATH_INDEX(path, i), name,
            arena_printf(errors->arena,
                         "missing from spec.versions; %.*s was previously a storage version, and "
                         "must remain in spec.versions until a storage migration ensures no data "
                         "remains persisted in %.*s and removes %.*s from status.storedVersions",
                         STR_ARG(name), STR_ARG(name), STR_ARG(name))
                .ptr);
    }
}

static void validate(FieldErrors *errors, const Value *object) {
    const Path *spec = PATH(NULL, STR("spec"));
    check_spec(errors, value_get(object, STR("spec")), spec);
    crd_check_names(errors, value_at(object, "status.acceptedNames"),
                    PATH(PATH(NULL, STR("status")), STR("acceptedNames")), false);
    check_stored_versions(errors, object);
    if (value_bool_at(object, "spec.preserveUnknownFields", false))
        field_invalid_value(errors, PATH(spec, STR("preserveUnknownFields")),
                            value_at(object, "spec.preserveUnknownFields"),
                            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true "
                            "in spec.versions[*].schema instead");
}

static void validate_create(FieldErrors *errors, const Value *object) {
    Str name = value_string_at(object, "metadata.name");
    Str wanted = arena_printf(errors->arena, "%.*s.%.*s",
                              STR_ARG(value_string_at(object, "spec.names.plural")),
                              STR_ARG(value_string_at(object, "spec.group")));
    if (name.len && !str_eq(name, wanted))
        field_invalid(errors, PATH(PATH(NULL, STR("metadata")), STR("name")), name,
                      "must be spec.names.plural+\".\"+spec.group");
    check_approval(errors, object, NULL);
}

static void check_unchanged(FieldErrors *errors, const Value *object, const Value *old,
                            const char *dotted) {
    const Value *value = value_at(object, dotted);
    if (!value_equal(value, value_at(old, dotted)))
        field_invalid_value(errors, PATH(NULL, str_from(dotted)), value, "field is immutable");
}

static bool is_established(const Value *object) {
    for (uint32_t i = 0; i < tree_count(object, "status.conditions"); i++) {
        const Value *condition = tree_item(object, "status.conditions", i);
        if (tree_is(condition, "type", "Established"))
            return tree_is(condition, "status", "True");
    }
    return false;
}

static void validate_update(FieldErrors *errors, const Value *object, const Value *old) {
    if (is_established(old)) {
        check_unchanged(errors, object, old, "spec.scope");
        check_unchanged(errors, object, old, "spec.names.kind");
    }
    check_unchanged(errors, object, old, "spec.group");
    check_unchanged(errors, object, old, "spec.names.plural");
    check_approval(errors, object, old);
}

static void validate_status_update(FieldErrors *errors, const Value *object, const Value *old) {
    crd_check_names(errors, value_at(object, "status.acceptedNames"),
                    PATH(PATH(NULL, STR("status")), STR("acceptedNames")), false);
}

// ---- warnings

typedef struct Warnings {
    Arena *arena;
    ValuePaths *list;
    bool rules;
} Warnings;

static void add_warning(Warnings *warnings, Str text) {
    for (size_t i = 0; i < warnings->list->n; i++)
        if (str_eq(warnings->list->paths[i], text))
            return;
    if (warnings->list->n >= 20)
        return;
    warnings->list->paths =
        arena_grow(warnings->arena, warnings->list->paths, warnings->list->n * sizeof(Str),
                   (warnings->list->n + 1) * sizeof(Str));
    warnings->list->paths[warnings->list->n++] = text;
}

static void warn_of_schema(void *user, const Value *schema) {
    Warnings *warnings = user;
    Str format = value_string_at(schema, "format");
    if (format.len && !schema_format_is_known(value_string_at(schema, "type"), format))
        add_warning(warnings, arena_printf(warnings->arena, "unrecognized format %.*s",
                                           STR_ARG(quote_str(warnings->arena, format))));
    const Value *items = value_get(schema, STR("items"));
    Str type = value_string_at(items, "type");
    if (tree_is(schema, "x-kubernetes-list-type", "set") &&
        (str_eq(type, STR("object")) || str_eq(type, STR("array"))))
        add_warning(warnings,
                    arena_printf(warnings->arena,
                                 "x-kubernetes-list-type: set for items of type \"%.*s\" is not "
                                 "supported by server-side apply or CEL validation rules",
                                 STR_ARG(type)));
    warnings->rules = warnings->rules || tree_count(schema, "x-kubernetes-validations");
}

static void warn(Arena *arena, const Value *object, ValuePaths *list) {
    Warnings warnings = {.arena = arena, .list = list};
    for (uint32_t i = 0; i < tree_count(object, "spec.versions"); i++) {
        const Value *version = tree_item(object, "spec.versions", i);
        warnings.rules = false;
        crd_each_schema(value_at(version, "schema.openAPIV3Schema"), warn_of_schema, &warnings);
        if (warnings.rules)
            add_warning(&warnings,
                        arena_printf(arena,
                                     "spec.versions[%u].schema: x-kubernetes-validations rules "
                                     "are kept, but this server does not enforce them",
                                     i));
    }
}

const ResourceRules custom_resource_definition_rules = {
    .default_fn = default_definition,
    .prepare = prepare,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .validate_status_update = validate_status_update,
    .warn = warn,
};
