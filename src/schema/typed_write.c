// A C struct to JSON and to a tree, as Go would write it: empty fields are left out unless the
// table says ALWAYS.

#include <assert.h>
#include <stdio.h>

#include "base/time.h"
#include "schema/json_scan.h"
#include "schema/scalar.h"
#include "schema/typed_slot.h"

static bool is_absent_scalar(const Field *field, const void *slot) {
    bool always = (field->flags & FIELD_ALWAYS) != 0;
    switch ((FieldKind)field->kind) {
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_QUANTITY:
    case FIELD_DURATION: {
        const Str *s = slot;
        return field->flags & FIELD_POINTER ? !s->ptr : !s->len && !always;
    }
    case FIELD_BOOL:
        return !*(const bool *)slot && !always;
    case FIELD_INT32:
        return !*(const int32_t *)slot && !always;
    case FIELD_INT64:
        return !*(const int64_t *)slot && !always;
    case FIELD_DOUBLE:
        return *(const double *)slot == 0 && !always;
    case FIELD_INT_OR_STRING:
        return !((const IntOrString *)slot)->is_set && (!always || (field->flags & FIELD_POINTER));
    case FIELD_TIME:
    case FIELD_MICRO_TIME:
        return !*(const int64_t *)slot;
    case FIELD_RAW:
        return !*(const Value *const *)slot;
    case FIELD_OBJECT:
        return false;
    }
    return true;
}

// Whether the field is left out; otherwise *ret_target is where its value lies.
static bool is_absent(const Field *field, const void *slot, const void **ret_target) {
    bool always = (field->flags & (FIELD_ALWAYS | FIELD_POINTER)) == FIELD_ALWAYS;
    *ret_target = slot;
    if (field->shape == SHAPE_LIST)
        return !((const SlotList *)slot)->len && !always;
    if (field->shape == SHAPE_MAP)
        return !((const SlotMap *)slot)->len && !always;
    if (slot_is_pointer(field)) {
        memcpy(ret_target, slot, sizeof *ret_target);
        return !*ret_target;
    }
    return is_absent_scalar(field, slot);
}

// An embedded struct that is written only when something is in it (Go's omitzero).
static bool is_optional_object(const Field *field) {
    return field->kind == FIELD_OBJECT && field->shape == SHAPE_ONE &&
           !(field->flags & (FIELD_ALWAYS | FIELD_POINTER));
}

// Strings, quantities and what else is text in JSON. Times need an arena; bytes too.
static Str scalar_text(Arena *arena, const Field *field, const void *slot) {
    switch ((FieldKind)field->kind) {
    case FIELD_TIME:
        return time_format(arena, *(const int64_t *)slot);
    case FIELD_MICRO_TIME:
        return time_format_micro(arena, *(const int64_t *)slot);
    case FIELD_BYTES:
        return scalar_encode_base64(arena, *(const Str *)slot);
    case FIELD_QUANTITY:
        return ((const Str *)slot)->len ? *(const Str *)slot : STR("0");
    case FIELD_DURATION:
        return ((const Str *)slot)->len ? *(const Str *)slot : STR("0s");
    default:
        return ((const Str *)slot)->ptr ? *(const Str *)slot : STR("");
    }
}

static Value *object_to_value(Arena *arena, const Type *type, const char *object);

static Value *item_to_value(Arena *arena, const Field *field, const void *slot) {
    switch ((FieldKind)field->kind) {
    case FIELD_BOOL:
        return value_new_bool(arena, *(const bool *)slot);
    case FIELD_INT32:
        return value_new_int(arena, *(const int32_t *)slot);
    case FIELD_INT64:
        return value_new_int(arena, *(const int64_t *)slot);
    case FIELD_DOUBLE:
        return value_new_double(arena, *(const double *)slot);
    case FIELD_INT_OR_STRING: {
        const IntOrString *either = slot;
        return either->is_string ? value_new_string(arena, either->string)
                                 : value_new_int(arena, either->integer);
    }
    case FIELD_OBJECT:
        return object_to_value(arena, field->type, slot);
    case FIELD_RAW: {
        const Value *raw = *(const Value *const *)slot;
        return raw ? value_copy(arena, raw) : value_new_null(arena);
    }
    default:
        return value_new_string(arena, scalar_text(arena, field, slot));
    }
}

static Value *field_to_value(Arena *arena, const Field *field, const void *slot) {
    size_t size = slot_item_size(field);
    if (field->shape == SHAPE_LIST) {
        const SlotList *list = slot;
        Value *array = value_new_array(arena);
        for (size_t i = 0; i < list->len; i++)
            value_push(arena, array,
                       item_to_value(arena, field, (const char *)list->items + i * size));
        return array;
    }
    if (field->shape == SHAPE_MAP) {
        const SlotMap *map = slot;
        Value *object = value_new_object(arena);
        for (size_t i = 0; i < map->len; i++)
            value_set(arena, object, map->keys[i],
                      item_to_value(arena, field, (const char *)map->items + i * size));
        return object;
    }
    return item_to_value(arena, field, slot);
}

static void members_to_value(Arena *arena, const Type *type, const char *object, Value *value) {
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        const void *target;
        if (field->flags & FIELD_INLINE) {
            members_to_value(arena, field->type, object + field->offset, value);
            continue;
        }
        if (is_absent(field, object + field->offset, &target))
            continue;
        Value *member = field_to_value(arena, field, target);
        if (!is_optional_object(field) || member->n)
            value_set(arena, value, field->name, member);
    }
}

static Value *object_to_value(Arena *arena, const Type *type, const char *object) {
    Value *value = value_new_object(arena);
    members_to_value(arena, type, object, value);
    return value;
}

Value *typed_to_value(Arena *arena, const Type *type, const void *object) {
    assert(type->struct_size);
    return object_to_value(arena, type, object);
}

typedef struct Writer {
    Buf *buf;
    Arena *scratch; // of times and base64, made when first needed
} Writer;

static void write_object(Writer *writer, const Type *type, const char *object);

static void write_text(Writer *writer, const Field *field, const void *slot) {
    bool needs_scratch =
        field->kind == FIELD_TIME || field->kind == FIELD_MICRO_TIME || field->kind == FIELD_BYTES;
    if (needs_scratch && !writer->scratch)
        writer->scratch = arena_new();
    json_write_string(writer->buf, scalar_text(writer->scratch, field, slot));
    if (needs_scratch)
        arena_reset(writer->scratch);
}

static void write_item(Writer *writer, const Field *field, const void *slot) {
    Buf *buf = writer->buf;
    switch ((FieldKind)field->kind) {
    case FIELD_BOOL:
        buf_str(buf, *(const bool *)slot ? STR("true") : STR("false"));
        break;
    case FIELD_INT32:
        json_write_int(buf, *(const int32_t *)slot);
        break;
    case FIELD_INT64:
        json_write_int(buf, *(const int64_t *)slot);
        break;
    case FIELD_DOUBLE:
        json_write_double(buf, *(const double *)slot);
        break;
    case FIELD_INT_OR_STRING: {
        const IntOrString *either = slot;
        if (either->is_string)
            json_write_string(buf, either->string);
        else
            json_write_int(buf, either->integer);
        break;
    }
    case FIELD_OBJECT:
        write_object(writer, field->type, slot);
        break;
    case FIELD_RAW: {
        const Value *raw = *(const Value *const *)slot;
        if (raw)
            value_write_json(raw, buf);
        else
            buf_str(buf, STR("null"));
        break;
    }
    default:
        write_text(writer, field, slot);
        break;
    }
}

static void write_field(Writer *writer, const Field *field, const void *slot) {
    size_t size = slot_item_size(field);
    if (field->shape == SHAPE_LIST) {
        const SlotList *list = slot;
        buf_char(writer->buf, '[');
        for (size_t i = 0; i < list->len && !writer->buf->failed; i++) {
            if (i)
                buf_char(writer->buf, ',');
            write_item(writer, field, (const char *)list->items + i * size);
        }
        buf_char(writer->buf, ']');
    } else if (field->shape == SHAPE_MAP) {
        const SlotMap *map = slot;
        buf_char(writer->buf, '{');
        for (size_t i = 0; i < map->len && !writer->buf->failed; i++) {
            if (i)
                buf_char(writer->buf, ',');
            json_write_string(writer->buf, map->keys[i]);
            buf_char(writer->buf, ':');
            write_item(writer, field, (const char *)map->items + i * size);
        }
        buf_char(writer->buf, '}');
    } else {
        write_item(writer, field, slot);
    }
}

static void write_members(Writer *writer, const Type *type, const char *object, bool *first) {
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        const void *target;
        if (field->flags & FIELD_INLINE) {
            write_members(writer, field->type, object + field->offset, first);
            continue;
        }
        if (is_absent(field, object + field->offset, &target))
            continue;
        Buf *buf = writer->buf;
        size_t before = buf->len;
        if (!*first)
            buf_char(buf, ',');
        json_write_string(buf, field->name);
        buf_char(buf, ':');
        size_t start = buf->len;
        write_field(writer, field, target);
        if (is_optional_object(field) && buf->len == start + 2)
            buf->len = before; // it came out as {}
        else
            *first = false;
    }
}

static void write_object(Writer *writer, const Type *type, const char *object) {
    bool first = true;
    buf_char(writer->buf, '{');
    write_members(writer, type, object, &first);
    buf_char(writer->buf, '}');
}

void typed_write_json(const Type *type, const void *object, Buf *buf) {
    Writer writer = {.buf = buf};
    assert(type->struct_size);
    write_object(&writer, type, object);
    arena_free(writer.scratch);
}
