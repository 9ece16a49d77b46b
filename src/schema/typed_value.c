// A tree into a C struct.

#include <assert.h>

#include "schema/check.h"
#include "schema/type_find.h"
#include "schema/typed_slot.h"

static int decode_object(Arena *arena, const Type *type, const Value *value, char *object);

static int decode_item(Arena *arena, const Field *field, const Value *value, void *slot) {
    if (value->kind == VALUE_NULL)
        return 0;
    if (field->kind == FIELD_OBJECT)
        return decode_object(arena, field->type, value, slot);
    if (field->kind == FIELD_RAW) {
        *(const Value **)slot = value;
        return 0;
    }
    return slot_store(arena, field, value, slot);
}

static int decode_list(Arena *arena, const Field *field, const Value *value, SlotList *list) {
    size_t size = slot_item_size(field);
    if (value->kind != VALUE_ARRAY)
        return SCHEMA_E_TYPE;
    list->items = arena_zalloc(arena, size * value->n);
    list->len = value->n;
    for (uint32_t i = 0; i < value->n; i++) {
        int r = decode_item(arena, field, value->items[i], (char *)list->items + i * size);
        if (r)
            return r;
    }
    return 0;
}

static int decode_map(Arena *arena, const Field *field, const Value *value, SlotMap *map) {
    size_t size = slot_item_size(field);
    if (value->kind != VALUE_OBJECT)
        return SCHEMA_E_TYPE;
    map->keys = arena_alloc(arena, sizeof(Str) * value->n);
    map->items = arena_zalloc(arena, size * value->n);
    map->len = value->n;
    for (uint32_t i = 0; i < value->n; i++) {
        map->keys[i] = value->members[i].key;
        int r = decode_item(arena, field, value->members[i].value, (char *)map->items + i * size);
        if (r)
            return r;
    }
    return 0;
}

static int decode_field(Arena *arena, const Field *field, const Value *value, void *slot) {
    if (value->kind == VALUE_NULL)
        return 0;
    switch ((FieldShape)field->shape) {
    case SHAPE_ONE:
        return decode_item(arena, field, value, slot_target(arena, field, slot));
    case SHAPE_LIST:
        return decode_list(arena, field, value, slot);
    case SHAPE_MAP:
        return decode_map(arena, field, value, slot);
    }
    return 0;
}

static int decode_object(Arena *arena, const Type *type, const Value *value, char *object) {
    uint16_t cursor = 0;
    if (value->kind != VALUE_OBJECT)
        return SCHEMA_E_TYPE;
    for (uint32_t i = 0; i < value->n; i++) {
        uint32_t rank;
        const Field *field = type_find(type, value->members[i].key, &cursor, &rank);
        if (!field)
            continue;
        int r =
            decode_field(arena, field, value->members[i].value, object + type_offset(type, field));
        if (r)
            return r;
    }
    return 0;
}

int typed_from_value(Arena *arena, const Type *type, const Value *value, void *ret) {
    assert(type->struct_size);
    memset(ret, 0, type->struct_size);
    return decode_object(arena, type, value, ret);
}

Str str_map_get(const StrMap *map, Str key) {
    for (size_t i = 0; i < map->len; i++)
        if (str_eq(map->keys[i], key))
            return map->values[i];
    return STR_NONE;
}
