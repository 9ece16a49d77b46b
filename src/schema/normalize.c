// A decoded tree brought to the form that its types give it: what Go's decoding into structs and
// encoding back would leave, with Go's words for what does not fit.

#include <assert.h>
#include <stdlib.h>

#include "schema/json_scan.h"
#include "schema/path.h"
#include "schema/scalar.h"
#include "schema/structural.h"
#include "schema/type_find.h"

typedef struct Normalizer {
    Arena *arena;
    ValuePaths *unknown;
    Str *message;
    bool keep_shape; // check types and scalars alone
} Normalizer;

static int normalize_object(Normalizer *n, const Type *type, Value *object, const Path *path);

// The path without indices and map keys, as Go's decoder names a field.
static void write_field_path(Buf *buf, const Path *path) {
    if (!path)
        return;
    write_field_path(buf, path->parent);
    if (path->index >= 0 || path->keyed)
        return;
    if (buf->len)
        buf_char(buf, '.');
    buf_str(buf, path->name);
}

// "v1.PodSpec" of "io.k8s.api.core.v1.PodSpec".
static Str go_type_name(const Type *type) {
    Str name = type->openapi_name.len ? type->openapi_name : type->name;
    ptrdiff_t dot = str_find_last(name, '.');
    if (dot < 0)
        return name;
    ptrdiff_t before = str_find_last(str_slice(name, 0, (size_t)dot), '.');
    return str_slice(name, (size_t)(before + 1), name.len);
}

static const char *const go_scalars[] = {
    [FIELD_STRING] = "string",
    [FIELD_BOOL] = "bool",
    [FIELD_INT32] = "int32",
    [FIELD_INT64] = "int64",
    [FIELD_DOUBLE] = "float64",
    [FIELD_BYTES] = "[]uint8",
    [FIELD_QUANTITY] = "resource.Quantity",
    [FIELD_INT_OR_STRING] = "intstr.IntOrString",
    [FIELD_TIME] = "v1.Time",
    [FIELD_MICRO_TIME] = "v1.MicroTime",
    [FIELD_DURATION] = "v1.Duration",
    [FIELD_OBJECT] = "",
    [FIELD_RAW] = "runtime.RawExtension",
};

static Str go_type(Arena *arena, const Field *field, bool whole) {
    Str item =
        field->kind == FIELD_OBJECT ? go_type_name(field->type) : str_from(go_scalars[field->kind]);
    if (!whole || field->shape == SHAPE_ONE)
        return item;
    if (field->shape == SHAPE_MAP && field->kind == FIELD_QUANTITY)
        return STR("v1.ResourceList");
    return arena_printf(arena, "%s%.*s", field->shape == SHAPE_LIST ? "[]" : "map[string]",
                        STR_ARG(item));
}

static const char *json_kind(const Value *value) {
    static const char *const names[] = {"null",   "bool",  "number", "number",
                                        "string", "array", "object"};
    return names[value->kind];
}

static int wrong_type(Normalizer *n, const Type *owner, const Path *path, Str found, Str wanted) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 16);
    write_field_path(&buf, path);
    if (owner && buf.len)
        *n->message = arena_printf(
            n->arena, "json: cannot unmarshal %.*s into Go struct field %.*s.%.*s of type %.*s",
            STR_ARG(found), STR_ARG(owner->name), STR_ARG(buf_view(&buf)), STR_ARG(wanted));
    else
        *n->message =
            arena_printf(n->arena, "json: cannot unmarshal %.*s into Go value of type %.*s",
                         STR_ARG(found), STR_ARG(wanted));
    return SCHEMA_E_TYPE;
}

// A number that an integer cannot hold is named in full, other misfits by their kind.
static int wrong_scalar(Normalizer *n, const Type *owner, const Field *field, const Value *value,
                        const Path *path) {
    Str found = str_from(json_kind(value));
    bool integral = field->kind == FIELD_INT32 || field->kind == FIELD_INT64;
    if (integral && (value->kind == VALUE_INT || value->kind == VALUE_DOUBLE)) {
        _buf_deinit_ Buf buf = BUF_INIT(512);
        value_write_json(value, &buf);
        found = arena_printf(n->arena, "number %.*s", STR_ARG(buf_view(&buf)));
    }
    return wrong_type(n, owner, path, found, go_type(n->arena, field, false));
}

static int normalize_int_or_string(Normalizer *n, const Value *value) {
    if (value->kind == VALUE_STRING ||
        (value->kind == VALUE_INT && value->integer >= INT32_MIN && value->integer <= INT32_MAX))
        return 0;
    _buf_deinit_ Buf buf = BUF_INIT(512);
    if (value->kind == VALUE_INT || value->kind == VALUE_DOUBLE) {
        buf_char(&buf, ' ');
        value_write_json(value, &buf);
    }
    *n->message =
        arena_printf(n->arena, "json: cannot unmarshal %s%.*s into Go value of type int32",
                     json_kind(value), STR_ARG(buf_view(&buf)));
    return SCHEMA_E_TYPE;
}

// Where an object has a type and other values have none (JSONSchemaPropsOrArray).
static int normalize_raw(Normalizer *n, const Field *field, Value *value, const Path *path) {
    int r = 0;
    if (value->kind == VALUE_OBJECT)
        return normalize_object(n, field->type, value, path);
    for (uint32_t i = 0; value->kind == VALUE_ARRAY && i < value->n && !r; i++)
        if (value->items[i]->kind == VALUE_OBJECT)
            r = normalize_object(n, field->type, value->items[i], PATH_INDEX(path, i));
    return r;
}

// One value of the field's kind (an item, when the field is a list or a map). Not null.
static int normalize_one(Normalizer *n, const Type *owner, const Field *field, Value *value,
                         const Path *path) {
    bool fits = true;
    switch ((FieldKind)field->kind) {
    case FIELD_STRING:
        fits = value->kind == VALUE_STRING;
        break;
    case FIELD_BOOL:
        fits = value->kind == VALUE_BOOL;
        break;
    case FIELD_INT32:
        fits =
            value->kind == VALUE_INT && value->integer >= INT32_MIN && value->integer <= INT32_MAX;
        break;
    case FIELD_INT64:
        fits = value->kind == VALUE_INT;
        break;
    case FIELD_DOUBLE:
        fits = value->kind == VALUE_INT || value->kind == VALUE_DOUBLE;
        break;
    case FIELD_BYTES:
        if (value->kind == VALUE_STRING)
            return scalar_canonical_bytes(n->arena, value, n->message) ? 0 : SCHEMA_E_TYPE;
        fits = false;
        break;
    case FIELD_QUANTITY:
        return scalar_canonical_quantity(n->arena, value, n->message) ? 0 : SCHEMA_E_TYPE;
    case FIELD_INT_OR_STRING:
        return normalize_int_or_string(n, value);
    case FIELD_TIME:
    case FIELD_MICRO_TIME:
        return scalar_canonical_time(n->arena, value, field->kind == FIELD_MICRO_TIME, n->message)
                   ? 0
                   : SCHEMA_E_TYPE;
    case FIELD_DURATION:
        return scalar_canonical_duration(n->arena, value, n->message) ? 0 : SCHEMA_E_TYPE;
    case FIELD_OBJECT:
        if (value->kind == VALUE_OBJECT)
            return normalize_object(n, field->type, value, path);
        fits = false;
        break;
    case FIELD_RAW:
        return field->type ? normalize_raw(n, field, value, path) : 0;
    }
    return fits ? 0 : wrong_scalar(n, owner, field, value, path);
}

// What Go's zero value of the kind looks like; NULL where that would be null.
static Value *zero_value(Arena *arena, FieldKind kind) {
    switch (kind) {
    case FIELD_STRING:
    case FIELD_BYTES:
        return value_new_string(arena, STR(""));
    case FIELD_BOOL:
        return value_new_bool(arena, false);
    case FIELD_INT32:
    case FIELD_INT64:
    case FIELD_DOUBLE:
    case FIELD_INT_OR_STRING:
        return value_new_int(arena, 0);
    case FIELD_QUANTITY:
        return value_new_string(arena, STR("0"));
    case FIELD_DURATION:
        return value_new_string(arena, STR("0s"));
    case FIELD_OBJECT:
        return value_new_object(arena);
    case FIELD_RAW:
        return value_new_null(arena);
    case FIELD_TIME:
    case FIELD_MICRO_TIME:
        return NULL;
    }
    return NULL;
}

static int normalize_item(Normalizer *n, const Type *owner, const Field *field, Value **item,
                          const Path *path) {
    if ((*item)->kind == VALUE_NULL) {
        if (n->keep_shape)
            return 0;
        Value *zero = zero_value(n->arena, field->kind);
        if (!zero)
            return 0;
        *item = zero;
    }
    return normalize_one(n, owner, field, *item, path);
}

static int normalize_list(Normalizer *n, const Type *owner, const Field *field, Value *list,
                          const Path *path) {
    if (list->kind != VALUE_ARRAY)
        return wrong_type(n, owner, path, str_from(json_kind(list)),
                          go_type(n->arena, field, true));
    for (uint32_t i = 0; i < list->n; i++) {
        int r = normalize_item(n, owner, field, &list->items[i], PATH_INDEX(path, i));
        if (r)
            return r;
    }
    return 0;
}

static int normalize_map(Normalizer *n, const Type *owner, const Field *field, Value *map,
                         const Path *path) {
    if (map->kind != VALUE_OBJECT)
        return wrong_type(n, owner, path, str_from(json_kind(map)), go_type(n->arena, field, true));
    for (uint32_t i = 0; i < map->n; i++) {
        int r = normalize_item(n, owner, field, &map->members[i].value,
                               PATH_KEY(path, map->members[i].key));
        if (r)
            return r;
    }
    return 0;
}

// Go's omitempty: empty lists and maps, "", 0 and false of plain (not pointer) fields.
static bool is_omitted(const Field *field, const Value *value) {
    if (value->kind == VALUE_NULL)
        return field->kind != FIELD_RAW || !(field->flags & FIELD_ALWAYS);
    if (field->flags & (FIELD_POINTER | FIELD_ALWAYS))
        return false;
    if (field->shape != SHAPE_ONE)
        return value->n == 0;
    switch ((FieldKind)field->kind) {
    case FIELD_STRING:
    case FIELD_BYTES:
        return !value->string.len;
    case FIELD_BOOL:
        return !value->boolean;
    case FIELD_INT32:
    case FIELD_INT64:
        return !value->integer;
    case FIELD_DOUBLE:
        return value->kind == VALUE_INT ? !value->integer : value->number == 0;
    default:
        return false;
    }
}

static int normalize_field(Normalizer *n, const Type *owner, const Field *field, Value *value,
                           const Path *path) {
    if (value->kind == VALUE_NULL)
        return 0;
    switch ((FieldShape)field->shape) {
    case SHAPE_ONE:
        return normalize_one(n, owner, field, value, path);
    case SHAPE_LIST:
        return normalize_list(n, owner, field, value, path);
    case SHAPE_MAP:
        return normalize_map(n, owner, field, value, path);
    }
    return 0;
}

// Members that Go writes whether or not they were given.
static int add_missing(Normalizer *n, const Type *type, Value *object, const Path *path,
                       bool *added) {
    for (uint16_t i = 0; i < type->n_fields; i++) {
        const Field *field = &type->fields[i];
        if (field->flags & FIELD_INLINE) {
            int r = add_missing(n, field->type, object, path, added);
            if (r)
                return r;
            continue;
        }
        if ((field->flags & (FIELD_ALWAYS | FIELD_POINTER)) != FIELD_ALWAYS ||
            value_get(object, field->name))
            continue;
        Value *value = field->shape == SHAPE_LIST  ? value_new_array(n->arena)
                       : field->shape == SHAPE_MAP ? value_new_object(n->arena)
                                                   : zero_value(n->arena, field->kind);
        if (!value)
            continue;
        if (field->shape == SHAPE_ONE && field->kind == FIELD_OBJECT) {
            int r = normalize_object(n, field->type, value, PATH(path, field->name));
            if (r)
                return r;
        }
        value_set(n->arena, object, field->name, value);
        *added = true;
    }
    return 0;
}

// Members in the order of the declaration, so that whoever reads them finds each where it looks
// first.
static void sort_members(const Type *type, Value *object) {
    uint32_t small[64], *ranks = small;
    if (object->n > 64) // only with unknown members, which are kept for custom kinds
        return;
    uint16_t cursor = 0;
    for (uint32_t i = 0; i < object->n; i++) {
        Member member = object->members[i];
        uint32_t rank;
        if (!type_find(type, member.key, &cursor, &rank))
            rank = UINT32_MAX;
        uint32_t at = i;
        for (; at > 0 && ranks[at - 1] > rank; at--) {
            ranks[at] = ranks[at - 1];
            object->members[at] = object->members[at - 1];
        }
        ranks[at] = rank;
        object->members[at] = member;
    }
}

static int normalize_object(Normalizer *n, const Type *type, Value *object, const Path *path) {
    uint32_t kept = 0, last = 0, total = object->n;
    uint16_t cursor = 0;
    bool unsorted = false;
    for (uint32_t i = 0; i < total; i++) {
        Member member = object->members[i];
        uint32_t rank;
        Path step = {.parent = path, .name = member.key, .index = -1};
        const Field *field = type_find(type, member.key, &cursor, &rank);
        if (!field && type->custom) { // structural_prune() looks at it
            object->members[kept++] = member;
            continue;
        }
        if (!field) {
            if (type->preserve_unknown || n->keep_shape)
                object->members[kept++] = member;
            if (!type->preserve_unknown)
                value_paths_add(n->arena, n->unknown, &step);
            continue;
        }
        int r = normalize_field(n, type, field, member.value, &step);
        if (r)
            return r;
        if (!n->keep_shape && is_omitted(field, member.value))
            continue;
        unsorted = unsorted || rank < last;
        last = rank;
        object->members[kept++] = member;
    }
    object->n = kept;
    if (type->custom) {
        int r = structural_prune(n->arena, type->custom, object, path, n->keep_shape, n->unknown,
                                 n->message);
        if (r)
            return r;
    }
    if (n->keep_shape)
        return 0;
    int r = add_missing(n, type, object, path, &unsorted);
    if (!r && unsorted)
        sort_members(type, object);
    return r;
}

static int normalize_root(Normalizer n, const Type *type, Value *object) {
    if (object->kind != VALUE_OBJECT)
        return wrong_type(&n, NULL, NULL, str_from(json_kind(object)), go_type_name(type));
    return normalize_object(&n, type, object, NULL);
}

int schema_normalize(Arena *arena, const Type *type, Value *object, ValuePaths *unknown,
                     Str *ret_message) {
    return normalize_root((Normalizer){.arena = arena, .unknown = unknown, .message = ret_message},
                          type, object);
}

int schema_normalize_part(Arena *arena, const Type *type, Value *object, const Path *path,
                          bool keep_shape, ValuePaths *unknown, Str *ret_message) {
    Normalizer n = {
        .arena = arena, .unknown = unknown, .message = ret_message, .keep_shape = keep_shape};
    return normalize_object(&n, type, object, path);
}

int schema_normalize_scalars(Arena *arena, const Type *type, Value *object, ValuePaths *unknown,
                             Str *ret_message) {
    return normalize_root(
        (Normalizer){
            .arena = arena, .unknown = unknown, .message = ret_message, .keep_shape = true},
        type, object);
}
