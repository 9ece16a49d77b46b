// Kubernetes' strategic merge patch: what apimachinery's pkg/util/strategicpatch does on the
// server. Works on copies, which it changes in place; a member whose value is NULL is one that is
// gone.

#include <assert.h>
#include <stdlib.h>

#include "schema/list_index.h"
#include "schema/patch.h"
#include "schema/value_index.h"

#define DIRECTIVE STR("$patch")
#define RETAIN_KEYS STR("$retainKeys")
#define DELETE_FROM STR("$deleteFromPrimitiveList")
#define ELEMENT_ORDER STR("$setElementOrder")

typedef struct Merger {
    Arena *arena;
    Str *message;
} Merger;

typedef struct Meta { // what is known of a value
    const Type *type; // of the object, or of a map's or list's items; NULL: free form
    bool is_map;      // an object whose members' values are of `type`
    bool merge_list;  // patchStrategy: merge
    bool replace;     // patchStrategy: replace: the patch has the whole object
    Str key;          // patchMergeKey
} Meta;

static int merge_map(Merger *merger, Meta meta, Value *original, Value *patch, Value **ret);

static int fail(Merger *merger, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(Merger *merger, int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    *merger->message = arena_vprintf(merger->arena, format, args);
    va_end(args);
    return status;
}

static Str shown(Merger *merger, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(4096);
    value_write_json(value, &buf);
    return arena_str(merger->arena, buf_view(&buf));
}

static Meta meta_of(Meta parent, Str name) {
    if (!parent.type)
        return (Meta){0};
    if (parent.is_map)
        return (Meta){.type = parent.type};
    const Field *field = type_field(parent.type, name);
    if (!field)
        return (Meta){0};
    return (Meta){.type = field->type,
                  .is_map = field->shape == SHAPE_MAP,
                  .merge_list =
                      field->shape == SHAPE_LIST && (field->flags & FIELD_PATCH_MERGE) != 0,
                  .replace = (field->flags & FIELD_PATCH_REPLACE) != 0,
                  .key = field->patch_key};
}

static Value *live(const Member *member) {
    return member ? member->value : NULL;
}

static void sweep_members(Value *object) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < object->n; i++)
        if (object->members[i].value)
            object->members[kept++] = object->members[i];
    object->n = kept;
}

// Nulls of a value that is taken over whole mean nothing.
static void discard_nulls(Value *value) {
    if (value->kind == VALUE_ARRAY) {
        for (uint32_t i = 0; i < value->n; i++)
            discard_nulls(value->items[i]);
    } else if (value->kind == VALUE_OBJECT) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < value->n; i++)
            if (value->members[i].value && value->members[i].value->kind != VALUE_NULL) {
                discard_nulls(value->members[i].value);
                value->members[kept++] = value->members[i];
            }
        value->n = kept;
    }
}

// Takes out what carries a $patch directive, deep down too. False: `value` itself is such.
static bool remove_directives(Value *value) {
    uint32_t kept = 0;
    if (value->kind == VALUE_OBJECT) {
        if (value_get(value, DIRECTIVE))
            return false;
        for (uint32_t i = 0; i < value->n; i++)
            if (value->members[i].value && remove_directives(value->members[i].value))
                value->members[kept++] = value->members[i];
        value->n = kept;
    } else if (value->kind == VALUE_ARRAY) {
        for (uint32_t i = 0; i < value->n; i++)
            if (remove_directives(value->items[i]))
                value->items[kept++] = value->items[i];
        value->n = kept;
    }
    return true;
}

static bool has_objects(const Value *list) {
    return list && list->n && list->items[0]->kind == VALUE_OBJECT;
}

// Lists that are merged hold scalars only or objects only.
static int check_items(Merger *merger, const Value *list, bool objects) {
    for (uint32_t i = 0; list && i < list->n; i++) {
        if (list->items[i]->kind == VALUE_ARRAY)
            return fail(merger, SCHEMA_E_PATCH, "lists of lists are not supported");
        if ((list->items[i]->kind == VALUE_OBJECT) != objects)
            return fail(merger, SCHEMA_E_PATCH, "list element types are not identical");
    }
    return 0;
}

static const Value *key_of(Str key, const Value *item) {
    return key.len ? value_get(item, key) : item;
}

static int missing_key(Merger *merger, const Value *item, Str key) {
    Str text = shown(merger, item);
    return fail(merger, SCHEMA_E_PATCH, "map: %.*s does not contain declared merge key: %.*s",
                STR_ARG(text), STR_ARG(key));
}

typedef struct Placed {
    Value *item;
    ptrdiff_t wanted;   // place in the list that sets the order
    ptrdiff_t original; // place in the live list, -1: not there
} Placed;

static int compare_placed(const void *a, const void *b) {
    const Placed *left = a, *right = b;
    return left->wanted < right->wanted ? -1 : left->wanted > right->wanted;
}

// The order of the result: items that `order` names stand as it says; the others keep the order of
// the live list and stand before the first named item that they preceded there.
static void put_in_order(Merger *merger, Value *merged, const Value *order, const Value *original,
                         Str key) {
    _list_index_deinit_ ListIndex by_order = list_index(order, key);
    _list_index_deinit_ ListIndex by_original = list_index(original, key);
    Placed *named = arena_array_of(merger->arena, Placed, merged->n);
    Placed *others = arena_array_of(merger->arena, Placed, merged->n);
    size_t n_named = 0, n_others = 0;
    for (uint32_t i = 0; i < merged->n; i++) {
        const Value *value = key_of(key, merged->items[i]);
        Placed placed = {merged->items[i], list_index_find(&by_order, value),
                         list_index_find(&by_original, value)};
        if (placed.wanted >= 0) {
            named[n_named++] = placed;
        } else {
            placed.wanted = placed.original;
            others[n_others++] = placed;
        }
    }
    qsort(named, n_named, sizeof *named, compare_placed);
    qsort(others, n_others, sizeof *others, compare_placed);
    for (size_t i = 0, left = 0, right = 0; i < merged->n; i++) {
        bool take_other = left < n_others && right == n_named;
        if (left < n_others && right < n_named)
            take_other = others[left].original >= 0 && named[right].original >= 0 &&
                         others[left].original < named[right].original;
        merged->items[i] = take_other ? others[left++].item : named[right++].item;
    }
}

// A scalar list: what is not there yet is added.
static void add_scalars(Merger *merger, Value *merged, const Value *list) {
    _list_index_deinit_ ListIndex index = list_index(merged, STR_NONE);
    for (uint32_t i = 0; list && i < list->n; i++)
        if (list_index_find(&index, list->items[i]) < 0) {
            value_push(merger->arena, merged, list->items[i]);
            list_index_added(&index);
        }
}

static void delete_scalars(Value *list, const Value *unwanted) {
    _list_index_deinit_ ListIndex index = list_index(unwanted, STR_NONE);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->n; i++)
        if (list_index_find(&index, list->items[i]) < 0)
            list->items[kept++] = list->items[i];
    list->n = kept;
}

static int unknown_directive(Merger *merger, const Value *directive, const Value *object) {
    Str kind = directive->kind == VALUE_STRING ? directive->string : shown(merger, directive);
    Str text = shown(merger, object);
    return fail(merger, SCHEMA_E_PATCH, "unknown patch type: %.*s in map: %.*s", STR_ARG(kind),
                STR_ARG(text));
}

static bool is_word(const Value *value, Str word) {
    return value->kind == VALUE_STRING && str_eq(value->string, word);
}

// Obeys the $patch items of a list patch and takes them out of it.
static int obey_item_directives(Merger *merger, Meta meta, Value **original, Value *patch) {
    Value *unwanted = value_new_array(merger->arena);
    bool replace = false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < patch->n; i++) {
        Value *item = patch->items[i];
        const Value *directive = value_get(item, DIRECTIVE);
        if (!directive) {
            patch->items[kept++] = item;
        } else if (is_word(directive, STR("delete"))) {
            Value *key = value_get(item, meta.key);
            if (!key)
                return missing_key(merger, item, meta.key);
            value_push(merger->arena, unwanted, key);
        } else if (is_word(directive, STR("replace"))) {
            replace = true;
        } else if (is_word(directive, STR("merge"))) {
            return fail(merger, SCHEMA_E_PATCH,
                        "merging lists cannot yet be specified in the patch");
        } else {
            return unknown_directive(merger, directive, item);
        }
    }
    patch->n = kept;
    if (replace) {
        *original = value_copy(merger->arena, patch);
        patch->n = 0;
        return 0;
    }
    _list_index_deinit_ ListIndex index = list_index(unwanted, STR_NONE);
    uint32_t left = 0;
    for (uint32_t i = 0; i < (*original)->n; i++)
        if (list_index_find(&index, value_get((*original)->items[i], meta.key)) < 0)
            (*original)->items[left++] = (*original)->items[i];
    (*original)->n = left;
    return 0;
}

static int merge_objects(Merger *merger, Meta meta, Value *merged, const Value *patch) {
    _list_index_deinit_ ListIndex index = list_index(merged, meta.key);
    for (uint32_t i = 0; i < patch->n; i++) {
        Value *item = patch->items[i];
        const Value *key = value_get(item, meta.key);
        if (!key)
            return missing_key(merger, item, meta.key);
        ptrdiff_t at = list_index_find(&index, key);
        if (at < 0) {
            value_push(merger->arena, merged, item);
            list_index_added(&index);
            continue;
        }
        int r = merge_map(merger, (Meta){.type = meta.type}, merged->items[at], item,
                          &merged->items[at]);
        if (r)
            return r;
    }
    for (uint32_t i = 0; i < merged->n; i++)
        if (!value_get(merged->items[i], meta.key))
            return missing_key(merger, merged->items[i], meta.key);
    return 0;
}

// A shallow copy: the order of items survives what is done to the list.
static Value *copy_order(Arena *arena, const Value *list) {
    Value *copy = value_new_array(arena);
    for (uint32_t i = 0; i < list->n; i++)
        value_push(arena, copy, list->items[i]);
    return copy;
}

// Both are arrays.
static int merge_list(Merger *merger, Meta meta, Value *original, Value *patch, bool is_delete,
                      Value **ret) {
    if (!meta.merge_list && !is_delete) {
        *ret = patch;
        return 0;
    }
    *ret = original;
    if (!original->n && !patch->n)
        return 0;
    bool objects = has_objects(original->n ? original : patch);
    int r = check_items(merger, original, objects);
    if (!r)
        r = check_items(merger, patch, objects);
    if (r)
        return r;
    if (!objects) {
        if (is_delete) {
            delete_scalars(original, patch);
            return 0;
        }
        Value *order = copy_order(merger->arena, original);
        Value *merged = value_new_array(merger->arena);
        add_scalars(merger, merged, original);
        add_scalars(merger, merged, patch);
        put_in_order(merger, merged, patch, order, STR_NONE);
        *ret = merged;
        return 0;
    }
    if (!meta.key.len)
        return fail(merger, SCHEMA_E_PATCH, "cannot merge lists without merge key for %.*s",
                    meta.type ? (int)meta.type->name.len : 0, meta.type ? meta.type->name.ptr : "");
    r = obey_item_directives(merger, meta, &original, patch);
    if (r)
        return r;
    Value *order = copy_order(merger->arena, original);
    r = merge_objects(merger, meta, original, patch);
    if (r)
        return r;
    put_in_order(merger, original, patch, order, meta.key);
    *ret = original;
    return 0;
}

static int bad_element_order(Merger *merger) {
    return fail(merger, SCHEMA_E_PATCH_FORMAT, "invalid patch format of setElementOrder list");
}

// Every item of the patch must be named by the order list, and in that order.
static int check_element_order(Merger *merger, Meta meta, const Value *patch, const Value *order) {
    if (!patch || !patch->n || !order->n)
        return 0;
    uint32_t at = 0;
    for (uint32_t i = 0; i < patch->n; i++) {
        const Value *item = patch->items[i];
        if (value_get(item, DIRECTIVE))
            continue;
        const Value *key = key_of(meta.key, item);
        if (!key)
            return missing_key(merger, item, meta.key);
        while (at < order->n && !value_equal(key_of(meta.key, order->items[at]), key))
            at++;
        if (at++ >= order->n) {
            Str patch_text = shown(merger, patch), order_text = shown(merger, order);
            return fail(merger, SCHEMA_E_PATCH,
                        "The order in patch list:\n%.*s\n doesn't match $setElementOrder "
                        "list:\n%.*s\n",
                        STR_ARG(patch_text), STR_ARG(order_text));
        }
    }
    return 0;
}

// One $setElementOrder/NAME together with the list patch NAME, which it takes out of the patch.
static int apply_element_order(Merger *merger, Meta parent, Value *original, ValueIndex *index,
                               Value *patch, Str name, Value *order) {
    Meta meta = meta_of(parent, name);
    Member *member = value_index_find(index, name);
    Value *old = live(member), *list = NULL, *merged = old;
    Member *patch_member = NULL;
    for (uint32_t i = 0; i < patch->n && !patch_member; i++)
        if (patch->members[i].value && str_eq(patch->members[i].key, name))
            patch_member = &patch->members[i];
    list = live(patch_member);
    if (order->kind != VALUE_ARRAY || (list && list->kind != VALUE_ARRAY) ||
        (old && old->kind != VALUE_ARRAY))
        return bad_element_order(merger);
    int r = check_element_order(merger, meta, list, order);
    if (r)
        return r;
    if (!old && !list)
        return 0;
    Value *before = old ? copy_order(merger->arena, old) : NULL;
    if (list && !old) {
        remove_directives(list);
        merged = list;
    } else if (list) {
        r = merge_list(merger, meta, old, list, false, &merged);
        if (r)
            return r;
    }
    for (uint32_t i = 0; meta.key.len && i < merged->n; i++)
        if (!value_get(merged->items[i], meta.key))
            return missing_key(merger, merged->items[i], meta.key);
    put_in_order(merger, merged, order, before, meta.key);
    value_index_set(merger->arena, index, original, name, merged);
    if (patch_member)
        patch_member->value = NULL;
    return 0;
}

// The part after the slash of "$directive/name"; STR_NONE when there is none.
static Str directive_target(Str key) {
    str_cut(&key, '/');
    return key;
}

static int apply_element_orders(Merger *merger, Meta meta, Value *original, ValueIndex *index,
                                Value *patch) {
    for (uint32_t i = 0; i < patch->n; i++) {
        Member *member = &patch->members[i];
        if (!member->value || !str_starts_with(member->key, ELEMENT_ORDER))
            continue;
        Value *order = member->value;
        Str name = directive_target(member->key);
        if (!name.ptr || member->key.len != ELEMENT_ORDER.len + 1 + name.len)
            return bad_element_order(merger);
        member->value = NULL;
        int r = apply_element_order(merger, meta, original, index, patch, name, order);
        if (r)
            return r;
    }
    return 0;
}

// $retainKeys: what it does not list goes.
static int apply_retain_keys(Merger *merger, Value *original, Value *patch) {
    Value *keys = NULL;
    for (uint32_t i = 0; i < patch->n; i++)
        if (str_eq(patch->members[i].key, RETAIN_KEYS)) {
            keys = patch->members[i].value;
            patch->members[i].value = NULL;
        }
    if (!keys)
        return 0;
    if (keys->kind != VALUE_ARRAY)
        return fail(merger, SCHEMA_E_PATCH_FORMAT, "invalid patch format of retainKeys");
    _list_index_deinit_ ListIndex index = list_index(keys, STR_NONE);
    for (uint32_t i = 0; i < patch->n; i++) {
        const Member *member = &patch->members[i];
        Value key = {.kind = VALUE_STRING, .string = member->key};
        if (member->value && member->value->kind != VALUE_NULL &&
            !str_starts_with(member->key, DELETE_FROM) &&
            !str_starts_with(member->key, ELEMENT_ORDER) && list_index_find(&index, &key) < 0)
            return fail(merger, SCHEMA_E_PATCH_FORMAT, "invalid patch format of retainKeys");
    }
    for (uint32_t i = 0; i < original->n; i++) {
        Value key = {.kind = VALUE_STRING, .string = original->members[i].key};
        if (list_index_find(&index, &key) < 0)
            original->members[i].value = NULL;
    }
    return 0;
}

static int merge_member(Merger *merger, Meta meta, Value *original, ValueIndex *index,
                        const Member *change) {
    Str name = change->key;
    bool is_delete = str_starts_with(name, DELETE_FROM);
    if (is_delete) {
        name = directive_target(change->key);
        if (!name.ptr || change->key.len != DELETE_FROM.len + 1 + name.len)
            return fail(merger, SCHEMA_E_PATCH_FORMAT, "invalid patch format of primitive list");
    }
    Member *member = value_index_find(index, name);
    Value *old = live(member), *patch = change->value;
    if (patch->kind == VALUE_NULL) {
        if (member)
            member->value = NULL;
        return 0;
    }
    bool both_objects = old && old->kind == VALUE_OBJECT && patch->kind == VALUE_OBJECT;
    bool both_lists = old && old->kind == VALUE_ARRAY && patch->kind == VALUE_ARRAY;
    Meta inner = meta_of(meta, name);
    if (both_objects && !is_delete && !inner.replace)
        return merge_map(merger, inner, old, patch, &member->value);
    if (both_lists)
        return merge_list(merger, inner, old, patch, is_delete, &member->value);
    if (is_delete)
        return 0;
    discard_nulls(patch);
    if (remove_directives(patch))
        value_index_set(merger->arena, index, original, name, patch);
    else if (member)
        member->value = NULL;
    return 0;
}

static int merge_map(Merger *merger, Meta meta, Value *original, Value *patch, Value **ret) {
    const Value *directive = value_get(patch, DIRECTIVE);
    if (directive) {
        value_unset(patch, DIRECTIVE);
        *ret = is_word(directive, STR("delete")) ? value_new_object(merger->arena) : patch;
        if (!is_word(directive, STR("delete")) && !is_word(directive, STR("replace")))
            return unknown_directive(merger, directive, patch);
        return 0;
    }
    int r = apply_retain_keys(merger, original, patch);
    if (r)
        return r;
    sweep_members(original);
    _value_index_deinit_ ValueIndex index = value_index(original);
    r = apply_element_orders(merger, meta, original, &index, patch);
    for (uint32_t i = 0; !r && i < patch->n; i++)
        if (patch->members[i].value)
            r = merge_member(merger, meta, original, &index, &patch->members[i]);
    sweep_members(original);
    *ret = original;
    return r;
}

int patch_strategic(Arena *arena, const Type *type, const Value *object, const Value *patch,
                    Value **ret, Str *ret_message) {
    Merger merger = {.arena = arena, .message = ret_message};
    assert(object->kind == VALUE_OBJECT);
    if (patch->kind != VALUE_OBJECT)
        return fail(&merger, SCHEMA_E_PATCH_FORMAT, "invalid JSON document");
    return merge_map(&merger, (Meta){.type = type}, value_copy(arena, object),
                     value_copy(arena, patch), ret);
}
