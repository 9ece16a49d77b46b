#include "schema/typed_slot.h"

#include "base/time.h"
#include "schema/check.h"
#include "schema/scalar.h"

size_t slot_item_size(const Field *field) {
    switch ((FieldKind)field->kind) {
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_QUANTITY:
    case FIELD_DURATION:
        return sizeof(Str);
    case FIELD_BOOL:
        return sizeof(bool);
    case FIELD_INT32:
        return sizeof(int32_t);
    case FIELD_INT64:
    case FIELD_TIME:
    case FIELD_MICRO_TIME:
        return sizeof(int64_t);
    case FIELD_DOUBLE:
        return sizeof(double);
    case FIELD_INT_OR_STRING:
        return sizeof(IntOrString);
    case FIELD_OBJECT:
        return field->type->struct_size;
    case FIELD_RAW:
        return sizeof(Value *);
    }
    return 0;
}

bool slot_is_pointer(const Field *field) {
    if (!(field->flags & FIELD_POINTER))
        return false;
    switch ((FieldKind)field->kind) {
    case FIELD_BOOL:
    case FIELD_INT32:
    case FIELD_INT64:
    case FIELD_DOUBLE:
    case FIELD_OBJECT:
        return true;
    default:
        return false; // they show absence themselves
    }
}

bool slot_is_str_map(const Field *field) {
    return field->kind == FIELD_STRING || field->kind == FIELD_QUANTITY ||
           field->kind == FIELD_BYTES || field->kind == FIELD_DURATION;
}

void *slot_target(Arena *arena, const Field *field, void *slot) {
    if (!slot_is_pointer(field))
        return slot;
    void *target = arena_zalloc(arena, slot_item_size(field));
    memcpy(slot, &target, sizeof target);
    return target;
}

static int store_string(Arena *arena, const Field *field, const Value *value, Str *slot) {
    if (field->kind == FIELD_QUANTITY && value->kind != VALUE_STRING) {
        Value number = *value;
        Str message;
        if (!scalar_canonical_quantity(arena, &number, &message))
            return SCHEMA_E_TYPE;
        *slot = number.string;
        return 0;
    }
    if (value->kind != VALUE_STRING)
        return SCHEMA_E_TYPE;
    *slot = value->string;
    if (field->kind == FIELD_BYTES) {
        size_t bad;
        *slot = scalar_decode_base64(arena, value->string, &bad);
        if (!slot->ptr)
            return SCHEMA_E_TYPE;
    }
    return 0;
}

static int store_int_or_string(const Value *value, IntOrString *slot) {
    if (value->kind == VALUE_STRING)
        *slot = (IntOrString){.is_string = true, .is_set = true, .string = value->string};
    else if (value->kind == VALUE_INT && value->integer >= INT32_MIN && value->integer <= INT32_MAX)
        *slot = (IntOrString){.is_set = true, .integer = (int32_t)value->integer};
    else
        return SCHEMA_E_TYPE;
    return 0;
}

int slot_store(Arena *arena, const Field *field, const Value *value, void *slot) {
    if (value->kind == VALUE_NULL)
        return 0;
    switch ((FieldKind)field->kind) {
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_QUANTITY:
    case FIELD_DURATION:
        return store_string(arena, field, value, slot);
    case FIELD_BOOL:
        if (value->kind != VALUE_BOOL)
            return SCHEMA_E_TYPE;
        *(bool *)slot = value->boolean;
        return 0;
    case FIELD_INT32:
        if (value->kind != VALUE_INT || value->integer < INT32_MIN || value->integer > INT32_MAX)
            return SCHEMA_E_TYPE;
        *(int32_t *)slot = (int32_t)value->integer;
        return 0;
    case FIELD_INT64:
        if (value->kind != VALUE_INT)
            return SCHEMA_E_TYPE;
        *(int64_t *)slot = value->integer;
        return 0;
    case FIELD_DOUBLE:
        if (value->kind != VALUE_INT && value->kind != VALUE_DOUBLE)
            return SCHEMA_E_TYPE;
        *(double *)slot = value->kind == VALUE_INT ? (double)value->integer : value->number;
        return 0;
    case FIELD_INT_OR_STRING:
        return store_int_or_string(value, slot);
    case FIELD_TIME:
    case FIELD_MICRO_TIME:
        return value->kind == VALUE_STRING && !time_parse(value->string, slot) ? 0 : SCHEMA_E_TYPE;
    case FIELD_OBJECT:
    case FIELD_RAW:
        break;
    }
    return SCHEMA_E_TYPE;
}
