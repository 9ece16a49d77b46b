#include "schema/granule.h"

#include <assert.h>

#include "base/map.h"
#include "schema/structural.h"
#include "schema/value_index.h"

static Granule of_item(const Field *field, bool atomic) {
    if (field->kind == FIELD_OBJECT)
        return (Granule){.kind = GRANULE_STRUCT,
                         .type = field->type,
                         .atomic = atomic || field->type->map_atomic};
    return (Granule){.kind = field->kind == FIELD_RAW ? GRANULE_DEDUCED : GRANULE_SCALAR};
}

// apiextensions' schemas as structured-merge-diff sees them: what has no parts by declaration but
// may hold anything has those that it happens to have.
static Granule of_schema(const Schema *schema) {
    static const Granule deduced = {.kind = GRANULE_DEDUCED};
    bool atomic = schema && (schema->flags & SCHEMA_MAP_ATOMIC);
    if (!schema)
        return deduced;
    if (schema->flags & SCHEMA_INT_OR_STRING)
        return (Granule){.kind = GRANULE_SCALAR};
    switch ((SchemaType)schema->type) {
    case SCHEMA_ARRAY:
        return (Granule){
            .kind = GRANULE_LIST, .schema = schema, .atomic = schema->list_type == LIST_ATOMIC};
    case SCHEMA_OBJECT:
        if (schema->n_properties)
            return (Granule){.kind = GRANULE_STRUCT, .schema = schema, .atomic = atomic};
        if (schema->flags & SCHEMA_ADDITIONAL)
            return (Granule){.kind = GRANULE_MAP, .schema = schema, .atomic = atomic};
        return (Granule){.kind = GRANULE_DEDUCED, .atomic = atomic};
    case SCHEMA_ANY:
        return deduced;
    default:
        return (Granule){.kind = GRANULE_SCALAR};
    }
}

Granule granule_of_type(const Type *type) {
    return (Granule){.kind = GRANULE_STRUCT,
                     .type = type,
                     .atomic = type->map_atomic,
                     .schema = type->custom ? type->custom->schema : NULL};
}

Granule granule_of_item(Granule list) {
    if (list.schema)
        return of_schema(list.kind == GRANULE_LIST ? list.schema->items : list.schema->additional);
    return list.field ? of_item(list.field, false) : (Granule){.kind = GRANULE_DEDUCED};
}

Granule granule_of_member(Granule owner, Str key) {
    if (owner.kind == GRANULE_MAP)
        return granule_of_item(owner);
    const Field *field =
        owner.kind == GRANULE_STRUCT && owner.type ? type_field(owner.type, key) : NULL;
    if (!field && owner.schema)
        return of_schema(schema_property(owner.schema, key));
    if (!field)
        return (Granule){.kind = GRANULE_DEDUCED};
    bool atomic = (field->flags & FIELD_MAP_ATOMIC) != 0;
    if (field->shape == SHAPE_LIST)
        return (Granule){
            .kind = GRANULE_LIST, .field = field, .atomic = field->list_type == LIST_ATOMIC};
    if (field->shape == SHAPE_MAP)
        return (Granule){.kind = GRANULE_MAP, .field = field, .atomic = atomic};
    return of_item(field, atomic);
}

bool granule_names(Granule owner, Str key) {
    return owner.kind == GRANULE_STRUCT && ((owner.type && type_field(owner.type, key)) ||
                                            (owner.schema && schema_property(owner.schema, key)));
}

bool granule_has_members(Granule granule, const Value *value) {
    return !granule.atomic && value && value->kind == VALUE_OBJECT &&
           (granule.kind == GRANULE_STRUCT || granule.kind == GRANULE_MAP ||
            granule.kind == GRANULE_DEDUCED);
}

bool granule_has_items(Granule granule, const Value *value) {
    return !granule.atomic && granule.kind == GRANULE_LIST && value && value->kind == VALUE_ARRAY;
}

// The identity of a list's items, wherever it is declared.
typedef struct Identity {
    const Str *keys;
    size_t n_keys;
    bool set;
    const Type *type; // of the items, for defaults of keys; one of both or neither
    const Schema *schema;
} Identity;

static Identity identity_of(Granule list) {
    if (list.schema)
        return (Identity){.keys = list.schema->keys,
                          .n_keys = list.schema->n_keys,
                          .set = list.schema->list_type == LIST_SET,
                          .schema = list.schema->items};
    return (Identity){.keys = list.field->keys,
                      .n_keys = list.field->n_keys,
                      .set = list.field->list_type == LIST_SET,
                      .type = list.field->type};
}

static const Value *key_value(Arena *arena, const Identity *identity, Str key, const Value *item) {
    const Value *value = value_get(item, key);
    if (value && value->kind != VALUE_NULL)
        return value;
    const Schema *schema = identity->schema ? schema_property(identity->schema, key) : NULL;
    if (schema)
        return schema->default_value;
    const Field *field = identity->type ? type_field(identity->type, key) : NULL;
    Value *parsed;
    ParseError error;
    if (!field || !field->default_json.ptr ||
        value_parse_json(arena, field->default_json, NULL, &parsed, &error))
        return NULL;
    return parsed;
}

// {"name":"a"}, keys in alphabetical order, those left out by their defaults.
static bool write_keys(Arena *arena, const Identity *identity, const Value *item, Buf *buf) {
    Str before = STR_NONE;
    buf_char(buf, '{');
    for (size_t i = 0; i < identity->n_keys; i++) {
        Str next = STR_NONE;
        for (size_t j = 0; j < identity->n_keys; j++)
            if ((!before.ptr || str_cmp(identity->keys[j], before) > 0) &&
                (!next.ptr || str_cmp(identity->keys[j], next) < 0))
                next = identity->keys[j];
        if (!next.ptr)
            break; // a key that is named twice
        before = next;
        const Value *value = key_value(arena, identity, next, item);
        if (!value)
            continue;
        if (buf->len > 1)
            buf_char(buf, ',');
        Value name = {.kind = VALUE_STRING, .string = next};
        value_write_json(&name, buf);
        buf_char(buf, ':');
        value_write_json(value, buf);
    }
    buf_char(buf, '}');
    return buf->len > 2;
}

Str granule_item_element(Arena *arena, Granule list, const Value *item) {
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES * 2);
    const Identity identity = identity_of(list);
    if (identity.set) {
        if (item->kind == VALUE_NULL)
            return STR_NONE;
        value_write_json(item, &buf);
        return arena_printf(arena, "v:%.*s", STR_ARG(buf_view(&buf)));
    }
    if (item->kind != VALUE_OBJECT || !write_keys(arena, &identity, item, &buf))
        return STR_NONE;
    return arena_printf(arena, "k:%.*s", STR_ARG(buf_view(&buf)));
}

static bool is_hollow(const Value *value) {
    return value->kind == VALUE_NULL || (value->kind == VALUE_OBJECT && !value->n);
}

// Fills `set` with what stands below `value`; true when the value itself is a leaf.
static bool collect(Arena *arena, Granule granule, const Value *value, FieldSet *set) {
    if (granule_has_items(granule, value)) {
        Granule inner = granule_of_item(granule);
        for (uint32_t i = 0; i < value->n; i++) {
            Str element = granule_item_element(arena, granule, value->items[i]);
            if (!element.ptr)
                continue;
            FieldNode *node = field_set_make(arena, set, element);
            node->member = true;
            collect(arena, inner, value->items[i], &node->children);
        }
        return false;
    }
    if (granule_has_members(granule, value)) {
        for (uint32_t i = 0; i < value->n; i++) {
            const Member *member = &value->members[i];
            FieldNode *node =
                field_set_make(arena, set, granule_member_element(arena, member->key));
            bool leaf = collect(arena, granule_of_member(granule, member->key), member->value,
                                &node->children);
            node->member = leaf || is_hollow(member->value) || !granule_names(granule, member->key);
        }
        return false;
    }
    // null for a struct or a list with parts is nobody's leaf; its owner decides
    return value->kind != VALUE_NULL || granule.kind == GRANULE_SCALAR || granule.atomic;
}

// Nodes that hold no member are not part of a set.
static void drop_empty_nodes(FieldSet *set) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        drop_empty_nodes(&set->nodes[i].children);
        if (set->nodes[i].member || set->nodes[i].children.n)
            set->nodes[kept++] = set->nodes[i];
    }
    set->n = kept;
}

FieldSet granule_fields(Arena *arena, Granule granule, const Value *value) {
    FieldSet set = {0};
    collect(arena, granule, value, &set);
    drop_empty_nodes(&set);
    return set;
}

FieldSet granule_ensure_named(Arena *arena, Granule granule, const FieldSet *set) {
    FieldSet out = {0};
    for (uint32_t i = 0; i < set->n; i++) {
        const FieldNode *node = &set->nodes[i];
        Granule inner = {.kind = GRANULE_DEDUCED};
        bool named = false;
        if (str_starts_with(node->element, STR("f:"))) {
            Str key = str_slice(node->element, 2, node->element.len);
            inner = granule_of_member(granule, key);
            named = node->children.n && granule_names(granule, key);
        } else if (granule.kind == GRANULE_LIST) {
            inner = granule_of_item(granule);
        }
        FieldNode *copy = field_set_make(arena, &out, node->element);
        copy->member = node->member || named;
        copy->children = granule_ensure_named(arena, inner, &node->children);
    }
    return out;
}

// --- comparison ---

typedef struct Comparer {
    Arena *arena;
    GranuleChanges *changes;
    Str path[2 * VALUE_MAX_DEPTH + 8];
    size_t depth;
} Comparer;

static void note(Comparer *comparer, FieldSet *set) {
    FieldNode *node = NULL;
    for (size_t i = 0; i < comparer->depth; i++) {
        node = field_set_make(comparer->arena, set, comparer->path[i]);
        set = &node->children;
    }
    if (node)
        node->member = true;
}

static void compare(Comparer *comparer, Granule granule, const Value *before, const Value *after);

static void step(Comparer *comparer, Str element, Granule granule, const Value *before,
                 const Value *after) {
    assert(comparer->depth < sizeof comparer->path / sizeof comparer->path[0]);
    comparer->path[comparer->depth++] = element;
    compare(comparer, granule, before, after);
    comparer->depth--;
}

static void compare_leaf(Comparer *comparer, const Value *before, const Value *after) {
    if (!before)
        note(comparer, &comparer->changes->added);
    else if (!after)
        note(comparer, &comparer->changes->removed);
    else if (!value_equal(before, after))
        note(comparer, &comparer->changes->modified);
}

static void compare_members(Comparer *comparer, Granule granule, const Value *before,
                            const Value *after) {
    _value_index_deinit_ ValueIndex in_before = value_index(before);
    _value_index_deinit_ ValueIndex in_after = value_index(after);
    for (uint32_t i = 0; before && i < before->n; i++) {
        const Member *member = &before->members[i];
        const Member *other = value_index_find(&in_after, member->key);
        step(comparer, granule_member_element(comparer->arena, member->key),
             granule_of_member(granule, member->key), member->value, other ? other->value : NULL);
    }
    for (uint32_t i = 0; after && i < after->n; i++) {
        const Member *member = &after->members[i];
        if (!value_index_find(&in_before, member->key))
            step(comparer, granule_member_element(comparer->arena, member->key),
                 granule_of_member(granule, member->key), NULL, member->value);
    }
}

typedef struct ItemIndex { // items by path element
    Str *elements;         // one an item; STR_NONE: no identity
    Map *first;            // element -> 1 + position
    uint32_t *next;        // 1 + position of the next item with the same element, 0: none
} ItemIndex;

static ItemIndex index_items(Arena *arena, Granule granule, const Value *list) {
    uint32_t n = list ? list->n : 0;
    uint32_t *last = arena_array_of(arena, uint32_t, n); // of a first item: the last like it
    ItemIndex index = {.elements = arena_array_of(arena, Str, n),
                       .next = arena_array_of(arena, uint32_t, n),
                       .first = map_new()};
    for (uint32_t i = 0; i < n; i++) {
        Str element = index.elements[i] = granule_item_element(arena, granule, list->items[i]);
        if (!element.ptr)
            continue;
        uintptr_t first = (uintptr_t)map_get(index.first, element);
        if (first)
            index.next[last[first - 1]] = i + 1;
        else
            map_put(index.first, element, (void *)(uintptr_t)(i + 1));
        last[first ? first - 1 : i] = i;
    }
    return index;
}

static void item_index_deinit(ItemIndex *index) {
    map_free(index->first);
}
#define _item_index_deinit_ __attribute__((cleanup(item_index_deinit)))

static Value *indexed_item(const ItemIndex *index, const Value *list, Str element) {
    uintptr_t position = (uintptr_t)map_get(index->first, element);
    return position ? list->items[position - 1] : NULL;
}

static bool is_repeated(const ItemIndex *index, Str element) {
    uintptr_t position = (uintptr_t)map_get(index->first, element);
    return position && index->next[position - 1];
}

// All items of one identity, as a list; NULL when there are none.
static Value *items_of(Arena *arena, const ItemIndex *index, const Value *list, Str element) {
    uintptr_t position = (uintptr_t)map_get(index->first, element);
    Value *found = position ? value_new_array(arena) : NULL;
    for (; position; position = index->next[position - 1])
        value_push(arena, found, list->items[position - 1]);
    return found;
}

static void compare_item(Comparer *comparer, Granule granule, Str element, const Value *before,
                         const ItemIndex *in_before, const Value *after,
                         const ItemIndex *in_after) {
    if (!is_repeated(in_before, element) && !is_repeated(in_after, element)) {
        step(comparer, element, granule_of_item(granule), indexed_item(in_before, before, element),
             indexed_item(in_after, after, element));
        return;
    }
    assert(comparer->depth < sizeof comparer->path / sizeof comparer->path[0]);
    comparer->path[comparer->depth++] = element; // repeated items are one piece
    compare_leaf(comparer, items_of(comparer->arena, in_before, before, element),
                 items_of(comparer->arena, in_after, after, element));
    comparer->depth--;
}

static void compare_items(Comparer *comparer, Granule granule, const Value *before,
                          const Value *after) {
    _item_index_deinit_ ItemIndex in_before = index_items(comparer->arena, granule, before);
    _item_index_deinit_ ItemIndex in_after = index_items(comparer->arena, granule, after);
    for (uint32_t i = 0; before && i < before->n; i++)
        if (in_before.elements[i].ptr &&
            indexed_item(&in_before, before, in_before.elements[i]) == before->items[i])
            compare_item(comparer, granule, in_before.elements[i], before, &in_before, after,
                         &in_after);
    for (uint32_t i = 0; after && i < after->n; i++)
        if (in_after.elements[i].ptr && !map_get(in_before.first, in_after.elements[i]) &&
            indexed_item(&in_after, after, in_after.elements[i]) == after->items[i])
            compare_item(comparer, granule, in_after.elements[i], before, &in_before, after,
                         &in_after);
}

// One side may be missing. Two values that differ in kind are compared as one piece.
static void compare(Comparer *comparer, Granule granule, const Value *before, const Value *after) {
    const Value *any = before && before->kind != VALUE_NULL ? before : after;
    bool left_fits = !before || before->kind == VALUE_NULL || before->kind == any->kind;
    bool right_fits = !after || after->kind == VALUE_NULL || after->kind == any->kind;
    bool hollow = (!before || before->kind == VALUE_NULL || !before->n) &&
                  (!after || after->kind == VALUE_NULL || !after->n);
    bool members = granule_has_members(granule, any), items = granule_has_items(granule, any);
    if (!left_fits || !right_fits || (!members && !items) || hollow) {
        compare_leaf(comparer, before, after);
        return;
    }
    const Value *left = before && before->kind != VALUE_NULL ? before : NULL;
    const Value *right = after && after->kind != VALUE_NULL ? after : NULL;
    if (members)
        compare_members(comparer, granule, left, right);
    else
        compare_items(comparer, granule, left, right);
    if (!before)
        note(comparer, &comparer->changes->added);
    else if (!after)
        note(comparer, &comparer->changes->removed);
}

GranuleChanges granule_compare(Arena *arena, Granule granule, const Value *before,
                               const Value *after) {
    GranuleChanges changes = {0};
    Comparer comparer = {.arena = arena, .changes = &changes};
    compare(&comparer, granule, before, after);
    return changes;
}

// --- merging ---

typedef struct Merging {
    Arena *arena;
} Merging;

static Value *merge(Merging *merging, Granule granule, const Value *live, const Value *config);

static Value *merge_members(Merging *merging, Granule granule, const Value *live,
                            const Value *config) {
    _value_index_deinit_ ValueIndex in_live = value_index(live);
    _value_index_deinit_ ValueIndex in_config = value_index(config);
    Value *out = value_new_object(merging->arena);
    _value_index_deinit_ ValueIndex in_out = value_index(out);
    for (uint32_t i = 0; live && i < live->n; i++) {
        const Member *member = &live->members[i];
        const Member *other = value_index_find(&in_config, member->key);
        value_index_set(merging->arena, &in_out, out, member->key,
                        merge(merging, granule_of_member(granule, member->key), member->value,
                              other ? other->value : NULL));
    }
    for (uint32_t i = 0; config && i < config->n; i++) {
        const Member *member = &config->members[i];
        if (!value_index_find(&in_live, member->key))
            value_index_set(
                merging->arena, &in_out, out, member->key,
                merge(merging, granule_of_member(granule, member->key), NULL, member->value));
    }
    return out;
}

// An item that both sides have, once: what live has alone stays as it is.
static Value *merge_item(Merging *merging, Granule granule, const Value *live,
                         const ItemIndex *in_live, const Value *config, const ItemIndex *in_config,
                         Str element) {
    const Value *left = indexed_item(in_live, live, element);
    if (is_repeated(in_live, element))
        left = NULL; // repeated items are replaced as one
    return merge(merging, granule_of_item(granule), left, indexed_item(in_config, config, element));
}

// The order of `config`, with items that are in `live` alone where they stand in relation to those
// that both have (structured-merge-diff's merge.go).
static Value *merge_items(Merging *merging, Granule granule, const Value *live,
                          const Value *config) {
    Arena *arena = merging->arena;
    _item_index_deinit_ ItemIndex in_live = index_items(arena, granule, live);
    _item_index_deinit_ ItemIndex in_config = index_items(arena, granule, config);
    _map_free_ Map *done = map_new();
    uint32_t left = 0, right = 0, n_left = live ? live->n : 0, n_right = config ? config->n : 0;
    uint32_t shared = 0; // the next item of `config` that is in `live` too, not merged yet
    Value *out = value_new_array(arena);
#define SKIP_UNSHARED()                                                                            \
    while (shared < n_right && !map_get(in_live.first, in_config.elements[shared]))                \
    shared++
    SKIP_UNSHARED();
    while (left < n_left || right < n_right) {
        Str element = left < n_left ? in_live.elements[left] : STR_NONE;
        if (left < n_left && right < n_right && element.ptr) {
            if (str_eq(element, in_config.elements[right])) {
                value_push(
                    arena, out,
                    merge_item(merging, granule, live, &in_live, config, &in_config, element));
                map_put(done, element, out);
                left++;
                right++;
                shared++;
                SKIP_UNSHARED();
                continue;
            }
            if (map_get(in_config.first, element) && shared < n_right &&
                !str_eq(in_config.elements[shared], element)) {
                left++; // shared, but not the one that comes next
                continue;
            }
        }
        if (left < n_left) {
            if (!element.ptr || !map_get(in_config.first, element)) {
                value_push(arena, out, value_copy(arena, live->items[left]));
                left++;
                continue;
            }
            if (map_get(done, element)) {
                left++;
                if (right >= n_right)
                    continue;
            }
        }
        if (right < n_right) {
            element = in_config.elements[right];
            value_push(arena, out,
                       merge_item(merging, granule, live, &in_live, config, &in_config, element));
            map_put(done, element, out);
            if (shared == right) {
                shared++;
                SKIP_UNSHARED();
            }
            right++;
        }
    }
#undef SKIP_UNSHARED
    return out;
}

static Value *merge(Merging *merging, Granule granule, const Value *live, const Value *config) {
    if (!config)
        return value_copy(merging->arena, live);
    if (!live || live->kind != config->kind)
        return value_copy(merging->arena, config);
    if (granule_has_members(granule, config))
        return merge_members(merging, granule, live, config);
    if (granule_has_items(granule, config))
        return merge_items(merging, granule, live, config);
    return value_copy(merging->arena, config);
}

Value *granule_merge(Arena *arena, Granule granule, const Value *live, const Value *config) {
    Merging merging = {.arena = arena};
    return merge(&merging, granule, live, config);
}

// --- what is applied names each item once (structured-merge-diff's typed/validate.go) ---

typedef struct Step { // on the way from the root
    const struct Step *before;
    Str element;
} Step;

static Str write_step(Arena *arena, const Step *step) {
    if (!step)
        return STR("");
    Str before = write_step(arena, step->before), own = field_set_readable(arena, step->element);
    return arena_printf(arena, "%.*s%.*s", STR_ARG(before), STR_ARG(own));
}

static Str missing_key(Arena *arena, Granule list, const Value *item) {
    Identity identity = identity_of(list);
    for (size_t i = 0; i < identity.n_keys; i++)
        if (!key_value(arena, &identity, identity.keys[i], item))
            return identity.keys[i];
    return STR("");
}

static bool check(Arena *arena, Granule granule, const Value *value, const Step *here,
                  Str *ret_message);

static bool check_items(Arena *arena, Granule granule, const Value *list, const Step *here,
                        Str *ret_message) {
    _item_index_deinit_ ItemIndex index = index_items(arena, granule, list);
    for (uint32_t i = 0; i < list->n; i++) {
        Str element = index.elements[i];
        if (!element.ptr) {
            Str path = write_step(arena, here), key = missing_key(arena, granule, list->items[i]);
            *ret_message = arena_printf(
                arena,
                "%.*s: element %u: associative list with keys has an element that omits key field "
                "\"%.*s\" (and doesn't have default value)",
                STR_ARG(path), i, STR_ARG(key));
            return false;
        }
        if (indexed_item(&index, list, element) != list->items[i]) {
            Str path = write_step(arena, here), text = field_set_readable(arena, element);
            *ret_message = arena_printf(arena, "%.*s: duplicate entries for key %.*s",
                                        STR_ARG(path), STR_ARG(text));
            return false;
        }
        Step next = {.before = here, .element = element};
        if (!check(arena, granule_of_item(granule), list->items[i], &next, ret_message))
            return false;
    }
    return true;
}

static bool check(Arena *arena, Granule granule, const Value *value, const Step *here,
                  Str *ret_message) {
    if (granule_has_items(granule, value))
        return check_items(arena, granule, value, here, ret_message);
    for (uint32_t i = 0; granule_has_members(granule, value) && i < value->n; i++) {
        const Member *member = &value->members[i];
        if (!member->value->n) // what has parts alone can be wrong
            continue;
        Step next = {.before = here, .element = granule_member_element(arena, member->key)};
        if (!check(arena, granule_of_member(granule, member->key), member->value, &next,
                   ret_message))
            return false;
    }
    return true;
}

bool granule_check(Arena *arena, Granule granule, const Value *config, Str *ret_message) {
    return check(arena, granule, config, NULL, ret_message);
}

// --- removal ---

Value *granule_remove(Arena *arena, Granule granule, Value *value, const FieldSet *set) {
    uint32_t kept = 0;
    if (!set->n || !value->n)
        return value;
    if (granule_has_members(granule, value)) {
        for (uint32_t i = 0; i < value->n; i++) {
            Member member = value->members[i];
            const FieldNode *node = field_set_find(set, granule_member_element(arena, member.key));
            if (node && node->member)
                continue;
            if (node)
                member.value = granule_remove(arena, granule_of_member(granule, member.key),
                                              member.value, &node->children);
            if (member.value)
                value->members[kept++] = member;
        }
    } else if (granule_has_items(granule, value)) {
        for (uint32_t i = 0; i < value->n; i++) {
            Value *item = value->items[i];
            Str element = granule_item_element(arena, granule, item);
            const FieldNode *node = element.ptr ? field_set_find(set, element) : NULL;
            if (node && node->member)
                continue;
            if (node)
                item = granule_remove(arena, granule_of_item(granule), item, &node->children);
            if (item)
                value->items[kept++] = item;
        }
    } else {
        return value;
    }
    value->n = kept;
    return kept ? value : NULL;
}
