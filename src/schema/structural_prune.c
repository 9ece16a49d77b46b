// Pruning and defaulting by a structural schema: apiextensions-apiserver's pkg/apiserver/schema,
// pruning/algorithm.go, objectmeta/coerce.go and defaulting/.

#include "schema/path.h"
#include "schema/structural.h"

typedef struct Pruner {
    Arena *arena;
    const CustomType *custom;
    bool keep;
    ValuePaths *unknown;
    Str *message;
} Pruner;

static bool is_meta(Str key) {
    return str_eq(key, STR("apiVersion")) || str_eq(key, STR("kind")) ||
           str_eq(key, STR("metadata"));
}

static int prune(Pruner *p, Value *value, const Schema *schema, const Path *path, bool at_root);

// apiVersion, kind and metadata of an embedded resource have their own types.
static int prune_meta(Pruner *p, const Member *member, const Path *path, bool at_root) {
    Value *value = member->value;
    if (at_root)
        return 0; // the object's own, which the table has
    if (!str_eq(member->key, STR("metadata")))
        return 0; // validation says what is wrong with it
    if (value->kind != VALUE_OBJECT)
        return 0;
    return schema_normalize_part(p->arena, p->custom->metadata, value, path, p->keep, p->unknown,
                                 p->message);
}

// What becomes of a member: its schema, or none. False: it goes.
static bool schema_of_member(const Schema *schema, Str key, bool preserve, const Schema **ret) {
    *ret = NULL;
    if (!schema)
        return preserve;
    *ret = schema_property(schema, key);
    if (*ret)
        return true;
    if (schema->flags & SCHEMA_ADDITIONAL) {
        *ret = schema->additional;
        return true;
    }
    return preserve;
}

static int prune_members(Pruner *p, Value *object, const Schema *schema, const Path *path,
                         bool preserve, bool at_root) {
    bool embedded = at_root || (schema && (schema->flags & SCHEMA_EMBEDDED));
    uint32_t kept = 0, total = object->n;
    int r = 0;
    for (uint32_t i = 0; i < total; i++) {
        Member member = object->members[i];
        Path step = {.parent = path, .name = member.key, .index = -1};
        const Schema *inner;
        bool known = schema_of_member(schema, member.key, preserve, &inner);
        if (embedded && is_meta(member.key)) {
            r = r ? r : prune_meta(p, &member, &step, at_root);
        } else if (!known) {
            value_paths_add(p->arena, p->unknown, &step);
            if (!p->keep)
                continue;
        } else {
            bool declared = schema && (schema_property(schema, member.key) ||
                                       (schema->flags & SCHEMA_ADDITIONAL));
            // What is only preserved is kept whole, however deep.
            if (declared)
                r = r ? r : prune(p, member.value, inner, &step, false);
        }
        object->members[kept++] = member;
    }
    object->n = kept;
    return r;
}

static int prune_items(Pruner *p, Value *list, const Schema *schema, const Path *path,
                       bool preserve) {
    int r = 0;
    if (preserve && !(schema && schema->items))
        return 0;
    for (uint32_t i = 0; i < list->n && !r; i++) {
        const Schema *items = schema ? schema->items : NULL;
        Path step = {.parent = path, .index = i};
        // Below a list that preserves, its items do as well unless they say what they are made of.
        if (preserve && list->items[i]->kind == VALUE_OBJECT)
            r = prune_members(p, list->items[i], items, &step, true, false);
        else if (preserve && list->items[i]->kind == VALUE_ARRAY)
            r = prune_items(p, list->items[i], items, &step, true);
        else
            r = prune(p, list->items[i], items, &step, false);
    }
    return r;
}

static int prune(Pruner *p, Value *value, const Schema *schema, const Path *path, bool at_root) {
    bool preserve = schema && (schema->flags & SCHEMA_PRESERVE);
    if (value->kind == VALUE_OBJECT)
        return prune_members(p, value, schema, path, preserve, at_root);
    if (value->kind == VALUE_ARRAY)
        return prune_items(p, value, schema, path, preserve);
    return 0;
}

int structural_prune(Arena *arena, const CustomType *custom, Value *object, const Path *path,
                     bool keep, ValuePaths *unknown, Str *ret_message) {
    Pruner pruner = {
        .arena = arena, .custom = custom, .keep = keep, .unknown = unknown, .message = ret_message};
    return prune(&pruner, object, custom->schema, path, true);
}

int structural_prune_value(Arena *arena, const CustomType *custom, Value *value, const Path *path,
                           Str *ret_message) {
    Pruner pruner = {.arena = arena, .custom = custom, .message = ret_message};
    return prune(&pruner, value, custom->schema, path, false);
}

// ---- defaults

static bool is_null_to_fill(const Value *value, const Schema *schema) {
    return value->kind == VALUE_NULL && schema && !(schema->flags & SCHEMA_NULLABLE);
}

static const Schema *schema_below(const Schema *schema, Str key) {
    const Schema *inner = schema ? schema_property(schema, key) : NULL;
    return inner || !schema ? inner : schema->additional;
}

static bool drop_nulls(Value *value, const Schema *schema) {
    bool changed = false;
    if (value->kind == VALUE_ARRAY) {
        for (uint32_t i = 0; i < value->n; i++)
            changed = drop_nulls(value->items[i], schema ? schema->items : NULL) || changed;
        return changed;
    }
    if (value->kind != VALUE_OBJECT)
        return false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < value->n; i++) {
        Member member = value->members[i];
        const Schema *inner = schema_below(schema, member.key);
        if (is_null_to_fill(member.value, inner) && !inner->default_value)
            continue;
        changed = drop_nulls(member.value, inner) || changed;
        value->members[kept++] = member;
    }
    changed = changed || kept != value->n;
    value->n = kept;
    return changed;
}

static bool fill(Arena *arena, const Schema *schema, Value *value);

static bool fill_slot(Arena *arena, const Schema *schema, Value **slot) {
    bool changed = false;
    if (is_null_to_fill(*slot, schema) && schema->default_value) {
        *slot = value_copy(arena, schema->default_value);
        changed = true;
    }
    return fill(arena, schema, *slot) || changed;
}

static bool fill(Arena *arena, const Schema *schema, Value *value) {
    bool changed = false;
    if (!schema)
        return false;
    if (value->kind == VALUE_ARRAY && schema->items) {
        for (uint32_t i = 0; i < value->n; i++)
            changed = fill_slot(arena, schema->items, &value->items[i]) || changed;
    }
    if (value->kind != VALUE_OBJECT)
        return changed;
    for (uint32_t i = 0; i < schema->n_properties; i++) {
        const SchemaProperty *property = &schema->properties[i];
        if (!property->schema->default_value || value_get(value, property->name))
            continue;
        value_set(arena, value, property->name, value_copy(arena, property->schema->default_value));
        changed = true;
    }
    for (uint32_t i = 0; i < value->n; i++) {
        const Schema *inner = schema_below(schema, value->members[i].key);
        changed = fill_slot(arena, inner, &value->members[i].value) || changed;
    }
    return changed;
}

bool structural_conform(Arena *arena, const CustomType *custom, Value *object) {
    ValuePaths dropped = {0};
    Str message;
    // What does not fit is left for validation to say, at the next write.
    int r = structural_prune(arena, custom, object, NULL, false, &dropped, &message);
    bool defaulted = structural_default(arena, custom->schema, object);
    return defaulted || r || dropped.n;
}

bool structural_default(Arena *arena, const Schema *schema, Value *value) {
    bool dropped = drop_nulls(value, schema);
    return fill(arena, schema, value) || dropped;
}
