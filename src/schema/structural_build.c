// From an openAPIV3Schema to tables: apiextensions-apiserver's pkg/apiserver/schema/convert.go.

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "schema/structural.h"

typedef struct Builder {
    Arena *arena;
    size_t nodes;
    int depth;
    int error;
} Builder;

static const Schema *build(Builder *b, const Value *source);

static const Value *member(const Value *source, const char *name) {
    return value_get(source, str_from(name));
}

static bool flag(const Value *source, const char *name) {
    const Value *value = member(source, name);
    return value && value->kind == VALUE_BOOL && value->boolean;
}

static Str text(const Value *source, const char *name) {
    const Value *value = member(source, name);
    return value && value->kind == VALUE_STRING ? value->string : STR("");
}

static int64_t count(const Value *source, const char *name, bool *ret_any) {
    const Value *value = member(source, name);
    if (!value || value->kind != VALUE_INT)
        return -1;
    *ret_any = true;
    return value->integer;
}

static SchemaLimit limit(const Value *source, const char *name, const char *exclusive,
                         bool *ret_any) {
    const Value *value = member(source, name);
    if (!value || (value->kind != VALUE_INT && value->kind != VALUE_DOUBLE))
        return (SchemaLimit){0};
    *ret_any = true;
    return (SchemaLimit){.value = value->kind == VALUE_INT ? (double)value->integer : value->number,
                         .given = true,
                         .exclusive = exclusive && flag(source, exclusive)};
}

// A tree of its own: what it is made of does not live as long as the tables.
static const Value *keep_value(Builder *b, const Value *value) {
    Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    value_write_json(value, &buf);
    Str json = arena_str(b->arena, buf_view(&buf));
    buf_deinit(&buf);
    Value *kept;
    ParseError error;
    int r = value_parse_json(b->arena, json, NULL, &kept, &error);
    if (!r)
        return kept;
    b->error = -E2BIG;
    return NULL;
}

static const Str *strings(Builder *b, const Value *source, const char *name, size_t *ret_n) {
    const Value *list = member(source, name);
    *ret_n = 0;
    if (!list || list->kind != VALUE_ARRAY || !list->n)
        return NULL;
    Str *kept = arena_array_of(b->arena, Str, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        if (list->items[i]->kind == VALUE_STRING)
            kept[(*ret_n)++] = arena_str(b->arena, list->items[i]->string);
    }
    return kept;
}

static SchemaList schemas(Builder *b, const Value *source, const char *name, bool *ret_any) {
    const Value *list = member(source, name);
    if (!list || list->kind != VALUE_ARRAY || !list->n)
        return (SchemaList){0};
    *ret_any = true;
    const Schema **items = arena_array_of(b->arena, const Schema *, list->n);
    for (uint32_t i = 0; i < list->n; i++)
        items[i] = build(b, list->items[i]);
    return (SchemaList){items, list->n};
}

static Str keep_format(Builder *b, Str type, Str format) {
    if (!format.len || !schema_format_is_known(type, format))
        return STR("");
    char *kept = arena_cstr(b->arena, format);
    size_t n = 0;
    for (size_t i = 0; i < format.len; i++)
        if (format.ptr[i] != '-')
            kept[n++] = format.ptr[i];
    return str_of(kept, n);
}

static const Pattern *keep_pattern(Builder *b, Str pattern) {
    Str message;
    if (!pattern.len)
        return NULL;
    const Pattern *kept = pattern_new(b->arena, pattern, &message);
    if (!kept)
        b->error = -EINVAL;
    return kept;
}

static const SchemaRules *build_rules(Builder *b, const Value *source) {
    bool any = false;
    SchemaRules rules = {
        .minimum = limit(source, "minimum", "exclusiveMinimum", &any),
        .maximum = limit(source, "maximum", "exclusiveMaximum", &any),
        .multiple_of = limit(source, "multipleOf", NULL, &any),
        .min_length = count(source, "minLength", &any),
        .max_length = count(source, "maxLength", &any),
        .min_items = count(source, "minItems", &any),
        .max_items = count(source, "maxItems", &any),
        .min_properties = count(source, "minProperties", &any),
        .max_properties = count(source, "maxProperties", &any),
        .format = keep_format(b, text(source, "type"), text(source, "format")),
        .pattern = keep_pattern(b, text(source, "pattern")),
        .unique_items = flag(source, "uniqueItems"),
        .all_of = schemas(b, source, "allOf", &any),
        .any_of = schemas(b, source, "anyOf", &any),
        .one_of = schemas(b, source, "oneOf", &any),
    };
    rules.required = strings(b, source, "required", &rules.n_required);
    const Value *values = member(source, "enum"), *not = member(source, "not");
    if (values && values->kind == VALUE_ARRAY && values->n)
        rules.enum_values = keep_value(b, values);
    if (not &&not ->kind == VALUE_OBJECT)
        rules.not = build(b, not );
    any = any || rules.format.len || rules.pattern || rules.unique_items || rules.n_required ||
          rules.enum_values || rules.not ;
    if (!any)
        return NULL;
    SchemaRules *kept = arena_new_of(b->arena, SchemaRules);
    *kept = rules;
    return kept;
}

static SchemaType type_of(Str name) {
    static const char *const names[] = {"",        "object", "array",  "string",
                                        "integer", "number", "boolean"};
    for (size_t i = 1; i < sizeof names / sizeof *names; i++)
        if (str_eq(name, str_from(names[i])))
            return (SchemaType)i;
    return SCHEMA_ANY;
}

static uint8_t flags_of(const Value *source) {
    return (uint8_t)((flag(source, "nullable") ? SCHEMA_NULLABLE : 0) |
                     (flag(source, "x-kubernetes-preserve-unknown-fields") ? SCHEMA_PRESERVE : 0) |
                     (flag(source, "x-kubernetes-embedded-resource") ? SCHEMA_EMBEDDED : 0) |
                     (flag(source, "x-kubernetes-int-or-string") ? SCHEMA_INT_OR_STRING : 0) |
                     (str_eq(text(source, "x-kubernetes-map-type"), STR("atomic"))
                          ? SCHEMA_MAP_ATOMIC
                          : 0));
}

static int by_name(const void *a, const void *b) {
    return str_cmp(((const SchemaProperty *)a)->name, ((const SchemaProperty *)b)->name);
}

static void build_properties(Builder *b, const Value *source, Schema *schema) {
    const Value *properties = member(source, "properties");
    const Value *additional = member(source, "additionalProperties");
    if (properties && properties->kind == VALUE_OBJECT && properties->n) {
        SchemaProperty *kept = arena_array_of(b->arena, SchemaProperty, properties->n);
        for (uint32_t i = 0; i < properties->n; i++)
            kept[i] = (SchemaProperty){arena_str(b->arena, properties->members[i].key),
                                       build(b, properties->members[i].value)};
        qsort(kept, properties->n, sizeof *kept, by_name);
        schema->properties = kept;
        schema->n_properties = properties->n;
    }
    if (!additional || additional->kind == VALUE_NULL)
        return;
    schema->flags |= SCHEMA_ADDITIONAL;
    if (additional->kind == VALUE_OBJECT)
        schema->additional = build(b, additional);
    else if (additional->kind == VALUE_BOOL && !additional->boolean)
        schema->flags |= SCHEMA_CLOSED;
}

static void build_list(Builder *b, const Value *source, Schema *schema) {
    const Value *items = member(source, "items");
    Str list_type = text(source, "x-kubernetes-list-type");
    size_t n;
    if (items && items->kind == VALUE_OBJECT)
        schema->items = build(b, items);
    schema->list_type = str_eq(list_type, STR("set"))   ? LIST_SET
                        : str_eq(list_type, STR("map")) ? LIST_MAP
                                                        : LIST_ATOMIC;
    schema->keys = strings(b, source, "x-kubernetes-list-map-keys", &n);
    schema->n_keys = (uint8_t)(n < UINT8_MAX ? n : UINT8_MAX);
}

static const Schema *build(Builder *b, const Value *source) {
    static const Schema nothing;
    if (!b->error && source->kind != VALUE_OBJECT)
        b->error = -EINVAL;
    if (!b->error && (++b->nodes > SCHEMA_MAX_NODES || b->depth >= SCHEMA_MAX_DEPTH))
        b->error = -E2BIG;
    if (b->error)
        return &nothing;
    b->depth++;
    Schema *schema = arena_new_of(b->arena, Schema);
    schema->type = type_of(text(source, "type"));
    schema->flags = flags_of(source);
    build_properties(b, source, schema);
    build_list(b, source, schema);
    const Value *given = member(source, "default");
    if (given && given->kind != VALUE_NULL)
        schema->default_value = keep_value(b, given);
    schema->rules = build_rules(b, source);
    b->depth--;
    return schema;
}

int structural_build(Arena *arena, const Value *source, const Schema **ret) {
    Builder builder = {.arena = arena};
    *ret = build(&builder, source);
    return builder.error;
}

const Schema *schema_property(const Schema *schema, Str name) {
    size_t low = 0, high = schema->n_properties;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(schema->properties[middle].name, name);
        if (!order)
            return schema->properties[middle].schema;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
