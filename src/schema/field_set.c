#include "schema/field_set.h"

#include <stdlib.h>

// Where `element` stands or would stand.
static uint32_t position(const FieldSet *set, Str element, bool *ret_found) {
    uint32_t low = 0, high = set->n;
    *ret_found = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = str_cmp(set->nodes[middle].element, element);
        if (!order) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

FieldNode *field_set_find(const FieldSet *set, Str element) {
    bool found;
    uint32_t at = position(set, element, &found);
    return found ? &set->nodes[at] : NULL;
}

static FieldNode *insert_at(Arena *arena, FieldSet *set, uint32_t at, Str element) {
    if (set->n == set->capacity) {
        uint32_t capacity = set->capacity ? set->capacity * 2 : 4;
        set->nodes =
            arena_grow(arena, set->nodes, set->n * sizeof(FieldNode), capacity * sizeof(FieldNode));
        set->capacity = capacity;
    }
    memmove(set->nodes + at + 1, set->nodes + at, (set->n - at) * sizeof(FieldNode));
    set->n++;
    set->nodes[at] = (FieldNode){.element = element};
    return &set->nodes[at];
}

FieldNode *field_set_make(Arena *arena, FieldSet *set, Str element) {
    if (set->n && str_cmp(set->nodes[set->n - 1].element, element) < 0)
        return insert_at(arena, set, set->n, element); // mostly they come in order
    bool found;
    uint32_t at = position(set, element, &found);
    return found ? &set->nodes[at] : insert_at(arena, set, at, element);
}

bool field_set_is_empty(const FieldSet *set) {
    for (uint32_t i = 0; i < set->n; i++)
        if (set->nodes[i].member || !field_set_is_empty(&set->nodes[i].children))
            return false;
    return true;
}

typedef enum Operation { UNION, INTERSECTION, DIFFERENCE } Operation;

static bool keeps(Operation operation, bool a, bool b) {
    switch (operation) {
    case UNION:
        return a || b;
    case INTERSECTION:
        return a && b;
    case DIFFERENCE:
        return a && !b;
    }
    return false;
}

// Walks both in order; nodes that end up without a member are left out.
static FieldSet combine(Arena *arena, Operation operation, const FieldSet *a, const FieldSet *b) {
    static const FieldNode none;
    FieldSet out = {0};
    for (uint32_t i = 0, j = 0; i < a->n || j < b->n;) {
        int order = i == a->n   ? 1
                    : j == b->n ? -1
                                : str_cmp(a->nodes[i].element, b->nodes[j].element);
        const FieldNode *left = order <= 0 ? &a->nodes[i++] : &none;
        const FieldNode *right = order >= 0 ? &b->nodes[j++] : &none;
        if ((order > 0 && operation != UNION) || (order < 0 && operation == INTERSECTION))
            continue;
        bool member = keeps(operation, left->member, right->member);
        FieldSet children = combine(arena, operation, &left->children, &right->children);
        if (!member && !children.n)
            continue;
        FieldNode *node =
            insert_at(arena, &out, out.n, order <= 0 ? left->element : right->element);
        node->member = member;
        node->children = children;
    }
    return out;
}

FieldSet field_set_union(Arena *arena, const FieldSet *a, const FieldSet *b) {
    return combine(arena, UNION, a, b);
}

FieldSet field_set_intersection(Arena *arena, const FieldSet *a, const FieldSet *b) {
    return combine(arena, INTERSECTION, a, b);
}

FieldSet field_set_difference(Arena *arena, const FieldSet *a, const FieldSet *b) {
    return combine(arena, DIFFERENCE, a, b);
}

bool field_set_equal(const FieldSet *a, const FieldSet *b) {
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        if (!str_eq(a->nodes[i].element, b->nodes[i].element) ||
            a->nodes[i].member != b->nodes[i].member ||
            !field_set_equal(&a->nodes[i].children, &b->nodes[i].children))
            return false;
    return true;
}

FieldSet field_set_from_value(Arena *arena, const Value *fields) {
    FieldSet set = {0};
    if (!fields || fields->kind != VALUE_OBJECT)
        return set;
    for (uint32_t i = 0; i < fields->n; i++) {
        const Member *member = &fields->members[i];
        if (str_eq(member->key, STR(".")))
            continue; // it is about the parent, who looks for it itself
        FieldNode *node = field_set_make(arena, &set, member->key);
        node->children = field_set_from_value(arena, member->value);
        node->member = !node->children.n || value_get(member->value, STR("."));
    }
    return set;
}

static Value *node_to_value(Arena *arena, const FieldSet *set, bool member) {
    Value *object = value_new_object(arena);
    if (member && set->n)
        value_set(arena, object, STR("."), value_new_object(arena));
    for (uint32_t i = 0; i < set->n; i++) {
        const FieldNode *node = &set->nodes[i];
        Value *value = node_to_value(arena, &node->children, node->member);
        if (object->n == object->capacity || !object->n) { // elements differ: no look-up needed
            value_set(arena, object, node->element, value);
        } else {
            object->members[object->n++] = (Member){node->element, value};
        }
    }
    return object;
}

Value *field_set_to_value(Arena *arena, const FieldSet *set) {
    return node_to_value(arena, set, false);
}

// "k:{"name":"a"}" as [name="a"].
static Str readable_key(Arena *arena, Str json) {
    Value *keys;
    ParseError error;
    _buf_deinit_ Buf buf = BUF_INIT(VALUE_MAX_BYTES);
    if (value_parse_json(arena, json, NULL, &keys, &error) || keys->kind != VALUE_OBJECT)
        return arena_printf(arena, "[%.*s]", STR_ARG(json));
    buf_char(&buf, '[');
    for (uint32_t i = 0; i < keys->n; i++) {
        if (i)
            buf_char(&buf, ',');
        buf_str(&buf, keys->members[i].key);
        buf_char(&buf, '=');
        value_write_json(keys->members[i].value, &buf);
    }
    buf_char(&buf, ']');
    return arena_str(arena, buf_view(&buf));
}

Str field_set_readable(Arena *arena, Str element) {
    if (element.len < 2)
        return element;
    Str rest = str_slice(element, 2, element.len);
    switch (element.ptr[0]) {
    case 'f':
        return arena_printf(arena, ".%.*s", STR_ARG(rest));
    case 'k':
        return readable_key(arena, rest);
    case 'v':
        return arena_printf(arena, "[=%.*s]", STR_ARG(rest));
    default:
        return arena_printf(arena, "[%.*s]", STR_ARG(rest));
    }
}

static void each(Arena *arena, const FieldSet *set, Str prefix, void (*fn)(void *user, Str path),
                 void *user) {
    for (uint32_t i = 0; i < set->n; i++) {
        Str text = field_set_readable(arena, set->nodes[i].element);
        Str path = arena_printf(arena, "%.*s%.*s", STR_ARG(prefix), STR_ARG(text));
        if (set->nodes[i].member)
            fn(user, path);
        each(arena, &set->nodes[i].children, path, fn, user);
    }
}

void field_set_each(Arena *arena, const FieldSet *set, void (*fn)(void *user, Str path),
                    void *user) {
    each(arena, set, STR(""), fn, user);
}
