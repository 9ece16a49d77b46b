// From a CustomResourceDefinition to the tables that kinds/ gives of built-in kinds.

#include <errno.h>
#include <stdlib.h>

#include "api/custom_kinds.h"
#include "kinds/kinds.h"
#include "schema/json_path.h"
#include "schema/structural.h"

#define MAX_SELECTABLE 64 // all versions' together

typedef struct Maker {
    Arena *arena;          // of the tables
    const Value *spec;     // of the definition, short-lived
    const Value *names;    // status.acceptedNames
    const Str *definition; // its JSON, for those who want more of it later
    const Str *fields;     // selectable, of all versions
    size_t n_fields;
} Maker;

static Str keep(Maker *m, const Value *object, const char *path) {
    Str text = value_string_at(object, path);
    return text.ptr ? arena_str(m->arena, text) : STR("");
}

static uint32_t count(const Value *list) {
    return list && list->kind == VALUE_ARRAY ? list->n : 0;
}

static const Str *keep_strings(Maker *m, const Value *list, uint8_t *ret_n) {
    uint32_t n = count(list) < 100 ? count(list) : 100;
    Str *kept = arena_array_of(m->arena, Str, n + 1);
    *ret_n = (uint8_t)n;
    for (uint32_t i = 0; i < n; i++)
        kept[i] = arena_str(m->arena, list->items[i]->string);
    return kept;
}

// ---- the type

// "com.example.stable.v1.CronTab" of stable.example.com/v1 CronTab, as upstream names definitions.
static Str openapi_name(Maker *m, Str group, Str version, Str kind) {
    Str reversed = STR("");
    while (group.ptr) {
        Str part = str_cut(&group, '.');
        reversed = reversed.len
                       ? arena_printf(m->arena, "%.*s.%.*s", STR_ARG(part), STR_ARG(reversed))
                       : part;
    }
    return arena_printf(m->arena, "%.*s.%.*s.%.*s", STR_ARG(reversed), STR_ARG(version),
                        STR_ARG(kind));
}

// FNV-1a: the same in every process of one build.
static uint64_t hash_of(const Value *value) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    value_write_json(value, &buf);
    Str text = buf_view(&buf);
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
    buf_deinit(&buf);
    return hash;
}

static const Field *meta_fields(Maker *m) {
    Field *fields = arena_array_of(m->arena, Field, 2);
    fields[0] = (Field){.doc = "", .kind = FIELD_OBJECT, .flags = FIELD_INLINE};
    fields[0].type = kinds_type_TypeMeta();
    fields[1] = (Field){.name = STR("metadata"),
                        .doc = "Name, labels and other data about the object.",
                        .kind = FIELD_OBJECT,
                        .flags = FIELD_ALWAYS};
    fields[1].type = kinds_type_ObjectMeta();
    for (size_t i = 0; i < 2; i++) {
        fields[i].minimum = INT64_MIN;
        fields[i].maximum = INT64_MAX;
    }
    return fields;
}

static const Type *make_type(Maker *m, const Value *version, Str name, Str kind, int *ret_error) {
    static const Schema anything = {.type = SCHEMA_OBJECT, .flags = SCHEMA_PRESERVE};
    CustomType *custom = arena_new_of(m->arena, CustomType);
    const Value *source = value_at(version, "schema.openAPIV3Schema");
    custom->schema = &anything;
    if (source)
        *ret_error = structural_build(m->arena, source, &custom->schema);
    custom->metadata = kinds_type_ObjectMeta();
    custom->definition = m->definition;
    custom->version = name;
    custom->hash = hash_of(version);
    Type *type = arena_new_of(m->arena, Type);
    *type = (Type){.name = kind,
                   .openapi_name = openapi_name(m, value_string_at(m->spec, "group"), name, kind),
                   .doc = "",
                   .fields = meta_fields(m),
                   .n_fields = 2,
                   .custom = custom};
    return type;
}

// ---- columns

static ColumnKind column_kind(Str type) {
    return str_eq(type, STR("integer"))   ? COLUMN_INTEGER
           : str_eq(type, STR("number"))  ? COLUMN_NUMBER
           : str_eq(type, STR("boolean")) ? COLUMN_BOOLEAN
           : str_eq(type, STR("date"))    ? COLUMN_DATE
                                          : COLUMN_STRING;
}

static const JsonPath *json_path(Maker *m, Str text) {
    Str message;
    const JsonPath *path = json_path_new(m->arena, text, &message);
    return path; // upstream, too, prints nothing for one that it can't read
}

static Column make_column(Maker *m, const Value *source) {
    Str path = value_string_at(source, "jsonPath");
    Str doc = value_string_at(source, "description");
    if (!doc.len)
        doc = arena_printf(m->arena, "Custom resource definition column (in JSONPath format): %.*s",
                           STR_ARG(path));
    return (Column){.name = arena_cstr(m->arena, value_string_at(source, "name")),
                    .doc = arena_cstr(m->arena, doc),
                    .format = arena_cstr(m->arena, keep(m, source, "format")),
                    .kind = column_kind(value_string_at(source, "type")),
                    .priority = (int)value_int_at(source, "priority", 0),
                    .json_path = json_path(m, path)};
}

static const Column *make_columns(Maker *m, const Value *version, uint8_t *ret_n) {
    static const char age_doc[] =
        "CreationTimestamp is a timestamp representing the server time when this object was "
        "created.";
    const Value *sources = value_get(version, STR("additionalPrinterColumns"));
    uint32_t n = count(sources) < 100 ? count(sources) : 100;
    Column *columns = arena_array_of(m->arena, Column, n + 2);
    columns[0] = (Column){.name = "Name",
                          .doc = "Name of the object, unique in its namespace.",
                          .format = "name",
                          .path = "metadata.name"};
    uint8_t made = 1;
    for (uint32_t i = 0; i < n; i++)
        columns[made++] = make_column(m, sources->items[i]);
    if (!n)
        columns[made++] = (Column){.name = "Age",
                                   .doc = age_doc,
                                   .format = "",
                                   .kind = COLUMN_DATE,
                                   .json_path = json_path(m, STR(".metadata.creationTimestamp"))};
    *ret_n = made;
    return columns;
}

// ---- subresources

static Str dotted(Maker *m, const Value *scale, const char *name) {
    Str text = value_string_at(scale, name);
    return text.len > 1 ? arena_str(m->arena, str_slice(text, 1, text.len)) : STR("");
}

static Subresource scale_of(Maker *m, const Value *scale) {
    ScalePaths *paths = arena_new_of(m->arena, ScalePaths);
    *paths = (ScalePaths){.spec_replicas = dotted(m, scale, "specReplicasPath"),
                          .status_replicas = dotted(m, scale, "statusReplicasPath"),
                          .selector = dotted(m, scale, "labelSelectorPath")};
    return (Subresource){.name = STR("scale"),
                         .kind = STR("Scale"),
                         .group = STR("autoscaling"),
                         .version = STR("v1"),
                         .type = kinds_type(STR("io.k8s.api.autoscaling.v1.Scale")),
                         .verbs = VERB_GET | VERB_UPDATE | VERB_PATCH,
                         .scale = paths};
}

static void add_subresources(Maker *m, const Value *version, Resource *resource) {
    const Value *given = value_get(version, STR("subresources"));
    const Value *scale = value_get(given, STR("scale"));
    Subresource *made = arena_array_of(m->arena, Subresource, 2);
    if (value_get(given, STR("status"))) {
        made[resource->n_subresources++] =
            (Subresource){.name = STR("status"),
                          .kind = resource->kind,
                          .group = STR(""),
                          .version = STR(""),
                          .type = resource->type,
                          .verbs = VERB_GET | VERB_UPDATE | VERB_PATCH};
        resource->status_split = true;
    }
    if (scale)
        made[resource->n_subresources++] = scale_of(m, scale);
    resource->subresources = made;
}

// ---- the resource

static void collect_fields(Maker *m) {
    Str *fields = arena_array_of(m->arena, Str, MAX_SELECTABLE);
    const Value *versions = value_get(m->spec, STR("versions"));
    for (uint32_t i = 0; i < count(versions); i++) {
        const Value *list = value_get(versions->items[i], STR("selectableFields"));
        for (uint32_t j = 0; j < count(list) && m->n_fields < MAX_SELECTABLE; j++) {
            Str path = value_string_at(list->items[j], "jsonPath");
            bool seen = path.len < 2;
            path = seen ? path : str_slice(path, 1, path.len);
            for (size_t k = 0; k < m->n_fields && !seen; k++)
                seen = str_eq(fields[k], path);
            if (!seen)
                fields[m->n_fields++] = arena_str(m->arena, path);
        }
    }
    m->fields = fields;
}

static Str deprecation(Maker *m, const Value *version, Str name, Str kind) {
    if (!value_bool_at(version, "deprecated", false))
        return STR("");
    Str text = value_string_at(version, "deprecationWarning");
    return text.len ? arena_str(m->arena, text)
                    : arena_printf(m->arena, "%.*s/%.*s %.*s is deprecated",
                                   STR_ARG(value_string_at(m->spec, "group")), STR_ARG(name),
                                   STR_ARG(kind));
}

static Resource make_resource(Maker *m, const Value *version, int *ret_error) {
    Str name = keep(m, version, "name"), kind = keep(m, m->names, "kind");
    Resource resource = {
        .group = keep(m, m->spec, "group"),
        .version = name,
        .plural = keep(m, m->names, "plural"),
        .singular = keep(m, m->names, "singular"),
        .kind = kind,
        .list_kind = keep(m, m->names, "listKind"),
        .type = make_type(m, version, name, kind, ret_error),
        .fields = m->fields,
        .n_selectable = (uint8_t)m->n_fields,
        .verbs = VERB_ALL,
        .namespaced = str_eq(value_string_at(m->spec, "scope"), STR("Namespaced")),
        .stored = true,
        .generation = true,
        .storage_group = STR(""),
        .storage_version = STR(""),
        .deprecation_warning = deprecation(m, version, name, kind),
    };
    resource.short_names =
        keep_strings(m, value_get(m->names, STR("shortNames")), &resource.n_short);
    resource.categories =
        keep_strings(m, value_get(m->names, STR("categories")), &resource.n_categories);
    resource.columns = make_columns(m, version, &resource.n_columns);
    add_subresources(m, version, &resource);
    return resource;
}

static int by_preference(const void *a, const void *b) {
    return version_compare(((const Resource *)a)->version, ((const Resource *)b)->version);
}

// Served versions by preference, then the one at rest if it is not among them.
static const Resource *make_resources(Maker *m, size_t *ret_served, const Resource **ret_storage,
                                      int *ret_error) {
    const Value *versions = value_get(m->spec, STR("versions"));
    Resource *made = arena_array_of(m->arena, Resource, count(versions) + 1);
    size_t n = 0;
    Str storage = STR("");
    const Value *at_rest = NULL;
    for (uint32_t i = 0; i < count(versions); i++) {
        const Value *version = versions->items[i];
        if (value_bool_at(version, "storage", false)) {
            storage = value_string_at(version, "name");
            at_rest = version;
        }
        if (value_bool_at(version, "served", false))
            made[n++] = make_resource(m, version, ret_error);
    }
    qsort(made, n, sizeof *made, by_preference);
    *ret_served = n;
    for (size_t i = 0; i < n; i++)
        if (str_eq(made[i].version, storage))
            *ret_storage = &made[i];
    if (!*ret_storage && at_rest) {
        made[n] = make_resource(m, at_rest, ret_error);
        *ret_storage = &made[n];
    }
    return made;
}

ServedKind *custom_tables_build(Str definition, const Str *current, Str *ret_message) {
    _arena_free_ Arena *scratch = arena_new();
    Value *tree;
    ParseError error;
    if (value_parse_json(scratch, definition, NULL, &tree, &error) != 0) {
        *ret_message = STR("it is no JSON");
        return NULL;
    }
    Maker maker = {.arena = arena_new(),
                   .spec = value_get(tree, STR("spec")),
                   .names = value_at(tree, "status.acceptedNames"),
                   .definition = current};
    collect_fields(&maker);
    size_t served = 0;
    int r = 0;
    const Resource *storage = NULL;
    const Resource *resources = make_resources(&maker, &served, &storage, &r);
    if (!storage || r) {
        *ret_message = !storage      ? STR("no version is stored")
                       : r == -E2BIG ? STR("a schema is too large")
                                     : STR("a schema can't be read");
        arena_free(maker.arena);
        return NULL;
    }
    return served_kind_new(maker.arena, resources, served, storage);
}
