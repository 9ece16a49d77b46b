// Protobuf messages to trees, by the tables.

#include "schema/protobuf.h"

#include <errno.h>
#include <math.h>

#include "base/time.h"
#include "schema/json_scan.h"
#include "schema/protobuf_wire.h"
#include "schema/scalar.h"
#include "schema/value_index.h"

typedef struct Decoder {
    Arena *arena;
    Str *message;
    Value **maps; // whose repeated keys are folded at the end
    size_t n_maps, maps_capacity;
} Decoder;

#define ZERO_TIME_SECONDS (-62135596800) // Go's time.Time{}: the first of January of year 1

static int decode_message(Decoder *d, const Type *type, Str message, int depth, Value *object);

static int fail(Decoder *d, Str message) {
    *d->message = message;
    return -EBADMSG;
}

static int too_deep(Decoder *d) {
    *d->message = STR("exceeded max depth");
    return -E2BIG;
}

// ---- one value

static WireType wire_of(FieldKind kind) {
    switch (kind) {
    case FIELD_BOOL:
    case FIELD_INT32:
    case FIELD_INT64:
        return WIRE_VARINT;
    case FIELD_DOUBLE:
        return WIRE_FIXED64;
    default:
        return WIRE_BYTES;
    }
}

static int decode_number(Decoder *d, FieldKind kind, uint64_t bits, Value *value) {
    switch (kind) {
    case FIELD_BOOL:
        *value = (Value){.kind = VALUE_BOOL, .boolean = bits != 0};
        return 0;
    case FIELD_INT32: // as Go does it: the low half
        *value = (Value){.kind = VALUE_INT, .integer = (int32_t)(uint32_t)bits};
        return 0;
    case FIELD_INT64:
        *value = (Value){.kind = VALUE_INT, .integer = (int64_t)bits};
        return 0;
    default:
        *value = (Value){.kind = VALUE_DOUBLE};
        memcpy(&value->number, &bits, sizeof bits);
        return isfinite(value->number) ? 0 : fail(d, STR("json: unsupported value: not finite"));
    }
}

static void set_string(Value *value, Str string) {
    *value = (Value){.kind = VALUE_STRING, .string = string.ptr ? string : STR("")};
}

static int64_t clamped_ns(int64_t seconds, int64_t nanos) {
    int64_t ns;
    if (__builtin_mul_overflow(seconds, (int64_t)1000000000, &ns) ||
        __builtin_add_overflow(ns, nanos, &ns))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

// metav1.Time drops fractions, MicroTime what is below a microsecond. The zero time is null.
static int decode_time(Decoder *d, Str name, Str bytes, bool micro, Value *value) {
    WireSmall parts;
    int r = wire_small(d->arena, name, bytes, (WireType[]){WIRE_VARINT, WIRE_VARINT}, 2, &parts,
                       d->message);
    if (r)
        return r;
    int64_t seconds = (int64_t)parts.integers[0];
    int32_t nanos = (int32_t)(uint32_t)parts.integers[1];
    if (!bytes.len || seconds == ZERO_TIME_SECONDS) {
        *value = (Value){.kind = VALUE_NULL};
        return 0;
    }
    int64_t ns = clamped_ns(seconds, micro ? nanos / 1000 * 1000 : 0);
    set_string(value, micro ? time_format_micro(d->arena, ns) : time_format(d->arena, ns));
    return 0;
}

static int decode_int_or_string(Decoder *d, Str name, Str bytes, Value *value) {
    WireSmall parts;
    int r = wire_small(d->arena, name, bytes, (WireType[]){WIRE_VARINT, WIRE_VARINT, WIRE_BYTES}, 3,
                       &parts, d->message);
    if (r)
        return r;
    if (parts.integers[0])
        set_string(value, json_valid_utf8(d->arena, parts.strings[2]));
    else
        *value = (Value){.kind = VALUE_INT, .integer = (int32_t)(uint32_t)parts.integers[1]};
    return 0;
}

static int tree_depth(const Value *value) {
    int deepest = 0;
    for (uint32_t i = 0; i < value->n; i++) {
        int depth = value->kind == VALUE_ARRAY    ? tree_depth(value->items[i])
                    : value->kind == VALUE_OBJECT ? tree_depth(value->members[i].value)
                                                  : 0;
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + (value->kind == VALUE_ARRAY || value->kind == VALUE_OBJECT);
}

// RawExtension and FieldsV1 hold JSON as bytes.
static int decode_raw(Decoder *d, Str name, Str bytes, int depth, Value *value) {
    WireSmall parts;
    int r = wire_small(d->arena, name, bytes, (WireType[]){WIRE_BYTES}, 1, &parts, d->message);
    if (r)
        return r;
    *value = (Value){.kind = VALUE_NULL};
    if (!parts.strings[0].len)
        return 0;
    Value *tree;
    ParseError error = {0};
    r = value_parse_json(d->arena, parts.strings[0], NULL, &tree, &error);
    if (r) {
        *d->message = error.message;
        return r;
    }
    *value = *tree;
    return depth + tree_depth(value) > VALUE_MAX_DEPTH ? too_deep(d) : 0;
}

static int decode_branch(Decoder *d, const Field *field, Str bytes, int depth, Value *object) {
    if (object->kind != VALUE_OBJECT)
        *object = (Value){.kind = VALUE_OBJECT};
    return decode_message(d, field->type, bytes, depth, object);
}

// JSONSchemaPropsOrBool {allows, schema} and JSONSchemaPropsOrArray {schema, schemas}.
static int decode_union(Decoder *d, const Field *field, Str bytes, int depth, Value *value) {
    bool or_bool = field->flags & FIELD_OR_BOOL;
    *value = (Value){.kind = VALUE_NULL};
    while (bytes.len) {
        WireElement element;
        int r = wire_next(d->arena, field->name, &bytes, &element, d->message);
        bool flag = or_bool && element.number == 1, other = element.number > 2;
        if (!r && !other && element.wire != (flag ? WIRE_VARINT : WIRE_BYTES))
            r = wire_mismatch(d->arena, element.wire, field->name, d->message);
        if (r)
            return r;
        if (other)
            continue;
        if (flag) {
            if (value->kind != VALUE_OBJECT)
                *value = (Value){.kind = VALUE_BOOL, .boolean = element.integer != 0};
        } else if (!or_bool && element.number == 2) {
            Value *item = value_new_object(d->arena);
            r = decode_branch(d, field, element.bytes, depth + 1, item);
            if (value->kind != VALUE_ARRAY)
                *value = (Value){.kind = VALUE_ARRAY};
            value_push(d->arena, value, item);
        } else {
            r = decode_branch(d, field, element.bytes, depth, value);
        }
        if (r)
            return r;
    }
    if (value->kind == VALUE_NULL && or_bool)
        *value = (Value){.kind = VALUE_BOOL};
    return 0;
}

// The values of `extra` maps: ExtraValue, a list of strings.
static int decode_strings(Decoder *d, Str name, Str bytes, Value *value) {
    *value = (Value){.kind = VALUE_ARRAY};
    while (bytes.len) {
        WireElement element;
        int r = wire_next(d->arena, name, &bytes, &element, d->message);
        if (!r && element.number == 1 && element.wire != WIRE_BYTES)
            r = wire_mismatch(d->arena, element.wire, STR("items"), d->message);
        if (r)
            return r;
        if (element.number == 1)
            value_push(d->arena, value,
                       value_new_string(d->arena, json_valid_utf8(d->arena, element.bytes)));
    }
    return 0;
}

// A value of WIRE_BYTES. Objects are merged into what `value` holds already, as Go's decoder does.
static int decode_bytes(Decoder *d, const Field *field, Str bytes, int depth, Value *value) {
    Arena *arena = d->arena;
    WireSmall parts;
    int r = 0;
    switch ((FieldKind)field->kind) {
    case FIELD_STRING:
        set_string(value, json_valid_utf8(arena, bytes));
        return 0;
    case FIELD_BYTES:
        set_string(value, scalar_encode_base64(arena, bytes));
        return 0;
    case FIELD_QUANTITY:
        r = wire_small(arena, field->name, bytes, (WireType[]){WIRE_BYTES}, 1, &parts, d->message);
        if (!r)
            set_string(value, parts.has[0] ? json_valid_utf8(arena, parts.strings[0]) : STR("0"));
        return r;
    case FIELD_DURATION:
        r = wire_small(arena, field->name, bytes, (WireType[]){WIRE_VARINT}, 1, &parts, d->message);
        if (!r)
            set_string(value, time_go_duration(arena, (int64_t)parts.integers[0]));
        return r;
    case FIELD_TIME:
    case FIELD_MICRO_TIME:
        return decode_time(d, field->name, bytes, field->kind == FIELD_MICRO_TIME, value);
    case FIELD_INT_OR_STRING:
        return decode_int_or_string(d, field->name, bytes, value);
    case FIELD_RAW:
        if (field->flags & (FIELD_OR_BOOL | FIELD_OR_LIST))
            return decode_union(d, field, bytes, depth, value);
        return field->shape == SHAPE_MAP ? decode_strings(d, field->name, bytes, value)
                                         : decode_raw(d, field->name, bytes, depth, value);
    case FIELD_OBJECT:
        if (value->kind != VALUE_OBJECT)
            *value = (Value){.kind = VALUE_OBJECT};
        return decode_message(d, field->type, bytes, depth, value);
    default:
        return fail(d, STR("proto: unreachable"));
    }
}

static int decode_one(Decoder *d, const Field *field, const WireElement *element, int depth,
                      Value *value) {
    if (element->wire != wire_of(field->kind))
        return wire_mismatch(d->arena, element->wire, field->name, d->message);
    if (element->wire == WIRE_BYTES)
        return decode_bytes(d, field, element->bytes, depth, value);
    return decode_number(d, field->kind, element->integer, value);
}

// ---- lists and maps

// What a non-pointer of that kind holds when its bytes are missing, in a map entry.
static int decode_nothing(Decoder *d, const Field *field, int depth, Value *value) {
    if (wire_of(field->kind) == WIRE_BYTES)
        return decode_bytes(d, field, STR(""), depth, value);
    return decode_number(d, field->kind, 0, value);
}

static int decode_packed(Decoder *d, const Field *field, Str rest, Value *list) {
    while (rest.len) {
        uint64_t bits;
        int r = field->kind == FIELD_DOUBLE ? wire_fixed64(&rest, &bits, d->message)
                                            : wire_varint(&rest, &bits, d->message);
        Value *item = value_new_null(d->arena);
        if (!r)
            r = decode_number(d, field->kind, bits, item);
        if (r)
            return r;
        value_push(d->arena, list, item);
    }
    return 0;
}

static int decode_item(Decoder *d, const Field *field, const WireElement *element, int depth,
                       Value *list) {
    if (element->wire == WIRE_BYTES && wire_of(field->kind) != WIRE_BYTES)
        return decode_packed(d, field, element->bytes, list);
    Value *item = value_new_null(d->arena);
    int r = decode_one(d, field, element, depth, item);
    if (!r)
        value_push(d->arena, list, item);
    return r;
}

static void append_member(Arena *arena, Value *object, Str key, Value *value) {
    if (object->n == object->capacity) {
        uint32_t capacity = object->capacity < 4 ? 4 : object->capacity * 2;
        object->members = arena_grow(arena, object->members, object->capacity * sizeof(Member),
                                     capacity * sizeof(Member));
        object->capacity = capacity;
    }
    object->members[object->n++] = (Member){key, value};
}

// Entries are only appended here: looking each key up would let a hostile body cost us quadratic
// work.
static int decode_entry(Decoder *d, const Field *field, const WireElement *element, int depth,
                        Value *map) {
    if (element->wire != WIRE_BYTES)
        return wire_mismatch(d->arena, element->wire, field->name, d->message);
    Str rest = element->bytes, key = STR("");
    Value *value = value_new_null(d->arena);
    bool has_value = false;
    while (rest.len) {
        WireElement part;
        int r = wire_next(d->arena, field->name, &rest, &part, d->message);
        if (!r && part.number == 1) {
            if (part.wire != WIRE_BYTES)
                r = wire_mismatch(d->arena, part.wire, field->name, d->message);
            else
                key = json_valid_utf8(d->arena, part.bytes);
        } else if (!r && part.number == 2) {
            *value = (Value){.kind = VALUE_NULL};
            r = decode_one(d, field, &part, depth, value);
            has_value = true;
        }
        if (r)
            return r;
    }
    int r = has_value ? 0 : decode_nothing(d, field, depth, value);
    if (!r)
        append_member(d->arena, map, key, value);
    return r;
}

static void remember_map(Decoder *d, Value *map) {
    if (d->n_maps == d->maps_capacity) {
        size_t capacity = d->maps_capacity ? d->maps_capacity * 2 : 16;
        d->maps = arena_grow(d->arena, d->maps, d->maps_capacity * sizeof(Value *),
                             capacity * sizeof(Value *));
        d->maps_capacity = capacity;
    }
    d->maps[d->n_maps++] = map;
}

// The last value of a key wins.
static void fold_map(Arena *arena, Value *map) {
    if (map->n < 2)
        return;
    Value folded = {.kind = VALUE_OBJECT};
    _value_index_deinit_ ValueIndex index = value_index(&folded);
    for (uint32_t i = 0; i < map->n; i++)
        value_index_set(arena, &index, &folded, map->members[i].key, map->members[i].value);
    *map = folded;
}

// ---- messages

// Messages come in the order of numbers, mostly that of the table, so the search goes on where the
// last one ended.
static const Field *find_field(const Type *type, uint32_t number, uint16_t *cursor) {
    for (uint16_t n = 0, i = *cursor; n < type->n_fields; n++, i++) {
        if (i >= type->n_fields)
            i = 0;
        if (type->fields[i].number == number) {
            *cursor = i;
            return &type->fields[i];
        }
    }
    return NULL;
}

static ValueKind container_of_shape(const Field *field) {
    return field->shape == SHAPE_LIST ? VALUE_ARRAY : VALUE_OBJECT;
}

static int decode_field(Decoder *d, const Field *field, const WireElement *element, int depth,
                        Value *object) {
    Value *value = value_get(object, field->name);
    if (!value) {
        value = value_new_null(d->arena);
        append_member(d->arena, object, field->name, value);
    }
    if (field->shape == SHAPE_ONE)
        return decode_one(d, field, element, depth, value);
    if (depth >= VALUE_MAX_DEPTH)
        return too_deep(d);
    if (value->kind == VALUE_NULL) {
        *value = (Value){.kind = container_of_shape(field)};
        if (field->shape == SHAPE_MAP)
            remember_map(d, value);
    }
    return field->shape == SHAPE_LIST ? decode_item(d, field, element, depth + 1, value)
                                      : decode_entry(d, field, element, depth + 1, value);
}

static int decode_message(Decoder *d, const Type *type, Str message, int depth, Value *object) {
    if (depth >= VALUE_MAX_DEPTH)
        return too_deep(d);
    uint16_t cursor = 0;
    while (message.len) {
        WireElement element;
        int r = wire_next(d->arena, type->name, &message, &element, d->message);
        if (r)
            return r;
        const Field *field = find_field(type, element.number, &cursor);
        if (!field)
            continue;
        if (!(field->flags & FIELD_INLINE))
            r = decode_field(d, field, &element, depth + 1, object);
        else if (element.wire == WIRE_BYTES) // a message of its own here, but not in JSON
            r = decode_message(d, field->type, element.bytes, depth, object);
        else
            r = wire_mismatch(d->arena, element.wire, field->type->name, d->message);
        if (r)
            return r;
    }
    return 0;
}

int protobuf_decode(Arena *arena, const Type *type, Str message, Value **ret, Str *ret_message) {
    Decoder d = {.arena = arena, .message = ret_message};
    *ret = value_new_object(arena);
    int r = decode_message(&d, type, message, 0, *ret);
    for (size_t i = 0; !r && i < d.n_maps; i++)
        fold_map(arena, d.maps[i]);
    return r;
}

// ---- the envelope

#define PREFIX STR("k8s\0")

static int read_type_meta(Arena *arena, Str bytes, ProtobufEnvelope *envelope, Str *ret_message) {
    WireSmall parts;
    int r = wire_small(arena, STR("TypeMeta"), bytes, (WireType[]){WIRE_BYTES, WIRE_BYTES}, 2,
                       &parts, ret_message);
    if (r)
        return r;
    envelope->api_version = json_valid_utf8(arena, parts.strings[0]);
    envelope->kind = json_valid_utf8(arena, parts.strings[1]);
    return 0;
}

int protobuf_open(Arena *arena, Str bytes, ProtobufEnvelope *ret, Str *ret_message) {
    *ret = (ProtobufEnvelope){STR(""), STR(""), STR("")};
    *ret_message = !bytes.len                        ? STR("empty data")
                   : !str_starts_with(bytes, PREFIX) ? STR("provided data does not appear to be a "
                                                           "protobuf message, expected prefix "
                                                           "[107 56 115 0]")
                   : bytes.len == PREFIX.len         ? STR("empty body")
                                                     : STR_NONE;
    if (ret_message->ptr)
        return -EBADMSG;
    Str rest = str_slice(bytes, PREFIX.len, bytes.len);
    while (rest.len) {
        WireElement element;
        int r = wire_next(arena, STR("Unknown"), &rest, &element, ret_message);
        if (!r && element.number <= 4 && element.wire != WIRE_BYTES)
            r = wire_mismatch(arena, element.wire,
                              (Str[]){STR("typeMeta"), STR("raw"), STR("contentEncoding"),
                                      STR("contentType")}[element.number - 1],
                              ret_message);
        if (!r && element.number == 1)
            r = read_type_meta(arena, element.bytes, ret, ret_message);
        if (r)
            return r;
        if (element.number == 2)
            ret->raw = element.bytes;
    }
    return 0;
}
