#include "schema/value.h"

#include <assert.h>
#include <stdlib.h>

#include "schema/value_index.h"

static Value *new_value(Arena *arena, ValueKind kind) {
    Value *value = arena_alloc(arena, sizeof *value);
    *value = (Value){.kind = kind};
    return value;
}

Value *value_new_null(Arena *arena) {
    return new_value(arena, VALUE_NULL);
}

Value *value_new_bool(Arena *arena, bool boolean) {
    Value *value = new_value(arena, VALUE_BOOL);
    value->boolean = boolean;
    return value;
}

Value *value_new_int(Arena *arena, int64_t integer) {
    Value *value = new_value(arena, VALUE_INT);
    value->integer = integer;
    return value;
}

Value *value_new_double(Arena *arena, double number) {
    Value *value = new_value(arena, VALUE_DOUBLE);
    value->number = number;
    return value;
}

Value *value_new_string(Arena *arena, Str string) {
    Value *value = new_value(arena, VALUE_STRING);
    value->string = string.ptr ? string : STR("");
    return value;
}

Value *value_new_array(Arena *arena) {
    return new_value(arena, VALUE_ARRAY);
}
Value *value_new_object(Arena *arena) {
    return new_value(arena, VALUE_OBJECT);
}

Value *value_copy(Arena *arena, const Value *value) {
    Value *copy = arena_alloc(arena, sizeof *copy);
    *copy = *value;
    copy->capacity = copy->n;
    if (value->kind == VALUE_ARRAY) {
        copy->items = arena_alloc(arena, value->n * sizeof(Value *));
        for (uint32_t i = 0; i < value->n; i++)
            copy->items[i] = value_copy(arena, value->items[i]);
    } else if (value->kind == VALUE_OBJECT) {
        copy->members = arena_alloc(arena, value->n * sizeof(Member));
        for (uint32_t i = 0; i < value->n; i++)
            copy->members[i] =
                (Member){value->members[i].key, value_copy(arena, value->members[i].value)};
    }
    return copy;
}

static bool objects_equal(const Value *a, const Value *b) {
    if (a->n != b->n)
        return false;
    _value_index_deinit_ ValueIndex index = {.object = b};
    bool indexed = false;
    for (uint32_t i = 0; i < a->n; i++) {
        const Member *member = &a->members[i];
        const Member *other = &b->members[i]; // mostly both have the same order
        if (!str_eq(other->key, member->key)) {
            if (!indexed)
                index = value_index(b);
            indexed = true;
            other = value_index_find(&index, member->key);
        }
        if (!other || !value_equal(member->value, other->value))
            return false;
    }
    return true;
}

bool value_equal(const Value *a, const Value *b) {
    if (a == b)
        return true;
    if (!a || !b)
        return false;
    if (a->kind != b->kind) {
        if (a->kind == VALUE_INT && b->kind == VALUE_DOUBLE)
            return (double)a->integer == b->number;
        if (a->kind == VALUE_DOUBLE && b->kind == VALUE_INT)
            return a->number == (double)b->integer;
        return false;
    }
    switch (a->kind) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return a->boolean == b->boolean;
    case VALUE_INT:
        return a->integer == b->integer;
    case VALUE_DOUBLE:
        return a->number == b->number;
    case VALUE_STRING:
        return str_eq(a->string, b->string);
    case VALUE_ARRAY:
        if (a->n != b->n)
            return false;
        for (uint32_t i = 0; i < a->n; i++)
            if (!value_equal(a->items[i], b->items[i]))
                return false;
        return true;
    case VALUE_OBJECT:
        return objects_equal(a, b);
    }
    return false;
}

static Member *find(const Value *object, Str key) {
    if (!object || object->kind != VALUE_OBJECT)
        return NULL;
    for (uint32_t i = 0; i < object->n; i++) {
        Member *member = &object->members[i];
        if (str_eq(member->key, key))
            return member;
    }
    return NULL;
}

Value *value_get(const Value *object, Str key) {
    Member *member = find(object, key);
    return member ? member->value : NULL;
}

static void append(Arena *arena, Value *object, Str key, Value *value) {
    assert(object->kind == VALUE_OBJECT);
    if (object->n == object->capacity) {
        uint32_t capacity = object->capacity < 4 ? 4 : object->capacity * 2;
        object->members = arena_grow(arena, object->members, object->capacity * sizeof(Member),
                                     capacity * sizeof(Member));
        object->capacity = capacity;
    }
    object->members[object->n++] = (Member){key, value};
}

void value_set(Arena *arena, Value *object, Str key, Value *value) {
    Member *member = find(object, key);
    if (member)
        member->value = value;
    else
        append(arena, object, key, value);
}

bool value_unset(Value *object, Str key) {
    Member *member = find(object, key);
    if (!member)
        return false;
    size_t after = (size_t)(object->members + object->n - (member + 1));
    memmove(member, member + 1, after * sizeof(Member));
    object->n--;
    return true;
}

void value_push(Arena *arena, Value *array, Value *item) {
    assert(array->kind == VALUE_ARRAY);
    if (array->n == array->capacity) {
        uint32_t capacity = array->capacity < 4 ? 4 : array->capacity * 2;
        array->items = arena_grow(arena, array->items, array->capacity * sizeof(Value *),
                                  capacity * sizeof(Value *));
        array->capacity = capacity;
    }
    array->items[array->n++] = item;
}

void value_remove_item(Value *array, size_t index) {
    assert(array->kind == VALUE_ARRAY && index < array->n);
    memmove(array->items + index, array->items + index + 1,
            (array->n - index - 1) * sizeof(Value *));
    array->n--;
}

Value *value_at(const Value *value, const char *dotted_path) {
    Str rest = str_from(dotted_path);
    const Value *at = value;
    while (at && rest.ptr)
        at = value_get(at, str_cut(&rest, '.'));
    return (Value *)at;
}

Value *value_at_make(Arena *arena, Value *value, const char *dotted_path) {
    Str rest = str_from(dotted_path);
    while (rest.ptr) {
        Str key = str_cut(&rest, '.');
        Value *next = value_get(value, key);
        if (!next || next->kind != VALUE_OBJECT) {
            next = value_new_object(arena);
            value_set(arena, value, key, next);
        }
        value = next;
    }
    return value;
}

Str value_string_at(const Value *value, const char *dotted_path) {
    const Value *found = value_at(value, dotted_path);
    return found && found->kind == VALUE_STRING ? found->string : STR_NONE;
}

int64_t value_int_at(const Value *value, const char *dotted_path, int64_t otherwise) {
    const Value *found = value_at(value, dotted_path);
    return found && found->kind == VALUE_INT ? found->integer : otherwise;
}

bool value_bool_at(const Value *value, const char *dotted_path, bool otherwise) {
    const Value *found = value_at(value, dotted_path);
    return found && found->kind == VALUE_BOOL ? found->boolean : otherwise;
}

void value_set_str(Arena *arena, Value *object, Str key, Str string) {
    value_set(arena, object, key, value_new_string(arena, string));
}

void value_set_int(Arena *arena, Value *object, Str key, int64_t integer) {
    value_set(arena, object, key, value_new_int(arena, integer));
}

void value_set_bool(Arena *arena, Value *object, Str key, bool boolean) {
    value_set(arena, object, key, value_new_bool(arena, boolean));
}

#define SMALL 16

static void index_insert(ValueIndex *index, uint32_t position) {
    Str key = index->object->members[position].key;
    size_t slot = str_hash(key) & (index->size - 1);
    while (index->table[slot])
        slot = (slot + 1) & (index->size - 1);
    index->table[slot] = position + 1;
}

static void index_build(ValueIndex *index) {
    free(index->table);
    index->size = 64;
    while (index->size < (size_t)index->object->n * 3)
        index->size *= 2;
    index->table = calloc(index->size, sizeof *index->table);
    if (!index->table)
        abort();
    for (uint32_t i = 0; i < index->object->n; i++)
        index_insert(index, i);
}

ValueIndex value_index(const Value *object) {
    ValueIndex index = {.object = object && object->kind == VALUE_OBJECT ? object : NULL};
    if (index.object && object->n > SMALL)
        index_build(&index);
    return index;
}

void value_index_deinit(ValueIndex *index) {
    free(index->table);
    index->table = NULL;
}

Member *value_index_find(const ValueIndex *index, Str key) {
    if (!index->object)
        return NULL;
    if (!index->table)
        return find(index->object, key);
    size_t slot = str_hash(key) & (index->size - 1);
    for (; index->table[slot]; slot = (slot + 1) & (index->size - 1)) {
        Member *member = &index->object->members[index->table[slot] - 1];
        if (str_eq(member->key, key))
            return member;
    }
    return NULL;
}

void value_index_set(Arena *arena, ValueIndex *index, Value *object, Str key, Value *value) {
    assert(index->object == object);
    Member *member = value_index_find(index, key);
    if (member) {
        member->value = value;
        return;
    }
    append(arena, object, key, value);
    if (!index->table ? object->n > SMALL : (size_t)object->n * 2 > index->size)
        index_build(index);
    else if (index->table)
        index_insert(index, object->n - 1);
}
