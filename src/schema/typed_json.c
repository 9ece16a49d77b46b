// JSON text straight into a C struct: no tree but for raw fields.

#include <assert.h>
#include <errno.h>

#include "schema/check.h"
#include "schema/json_scan.h"
#include "schema/type_find.h"
#include "schema/typed_slot.h"

static int decode_object(JsonScan *scan, const Type *type, char *object, int depth);

// The scalar at hand; containers give SCHEMA_E_TYPE.
static int read_scalar(JsonScan *scan, Value *ret) {
    int c = json_peek(scan);
    *ret = (Value){.kind = VALUE_STRING};
    if (c == '"')
        return json_string(scan, &ret->string);
    if (c == '-' || (c >= '0' && c <= '9'))
        return json_number(scan, ret);
    if (c == '{' || c == '[')
        return SCHEMA_E_TYPE;
    return c < 0 ? json_fail_at(scan, scan->p, "") : json_literal(scan, ret);
}

static int decode_raw(JsonScan *scan, const Value **slot, int depth) {
    json_peek(scan);
    const char *start = scan->p;
    Value *value = NULL;
    int r = json_skip(scan, depth);
    if (!r)
        r = value_parse_json(scan->arena, str_of(start, (size_t)(scan->p - start)), NULL, &value,
                             scan->error);
    *slot = value;
    return r;
}

static int decode_item(JsonScan *scan, const Field *field, void *slot, int depth) {
    if (field->kind == FIELD_OBJECT)
        return decode_object(scan, field->type, slot, depth);
    if (field->kind == FIELD_RAW)
        return decode_raw(scan, slot, depth);
    Value value;
    int r = read_scalar(scan, &value);
    return r ? r : slot_store(scan->arena, field, &value, slot);
}

// Opens a container; *ret_more says whether it has members (otherwise it is closed again).
static int enter(JsonScan *scan, char open, int depth, bool *ret_more) {
    if (json_peek(scan) != open)
        return scan->p < scan->end ? SCHEMA_E_TYPE : json_fail_at(scan, scan->p, "");
    if (depth >= VALUE_MAX_DEPTH)
        return json_fail(scan, -E2BIG, STR("exceeded max depth"));
    scan->p++;
    *ret_more = json_peek(scan) != (open == '{' ? '}' : ']');
    scan->p += !*ret_more;
    return 0;
}

static int next(JsonScan *scan, char close, bool *ret_more) {
    int r = json_next(scan, close);
    *ret_more = r == 1;
    return r < 0 ? r : 0;
}

static bool at_null(JsonScan *scan) {
    return json_peek(scan) == 'n';
}

// Room for item number `n`; new room is zero. The capacity is 4, 8, 16, ..., and of large items
// 1, 2, 4, ...: most pods have one container, and its struct has 1.5 KiB.
static void *grow(Arena *arena, void *items, size_t n, size_t size) {
    size_t first = size > 256 ? 1 : 4;
    if (n < first ? n != 0 : (n & (n - 1)) != 0)
        return items;
    size_t capacity = n ? n * 2 : first;
    items = arena_grow(arena, items, n * size, capacity * size);
    memset((char *)items + n * size, 0, (capacity - n) * size);
    return items;
}

static int decode_list(JsonScan *scan, const Field *field, SlotList *list, int depth) {
    size_t size = slot_item_size(field);
    bool more;
    *list = (SlotList){0};
    int r = enter(scan, '[', depth, &more);
    while (!r && more) {
        list->items = grow(scan->arena, list->items, list->len, size);
        r = at_null(scan)
                ? json_skip(scan, depth)
                : decode_item(scan, field, (char *)list->items + list->len * size, depth + 1);
        list->len++;
        if (!r)
            r = next(scan, ']', &more);
    }
    return r;
}

static int decode_map(JsonScan *scan, const Field *field, SlotMap *map, int depth) {
    size_t size = slot_item_size(field);
    bool more;
    *map = (SlotMap){0};
    int r = enter(scan, '{', depth, &more);
    while (!r && more) {
        map->keys = grow(scan->arena, map->keys, map->len, sizeof(Str));
        map->items = grow(scan->arena, map->items, map->len, size);
        r = json_key(scan, &map->keys[map->len]);
        if (!r)
            r = at_null(scan)
                    ? json_skip(scan, depth)
                    : decode_item(scan, field, (char *)map->items + map->len * size, depth + 1);
        map->len++;
        if (!r)
            r = next(scan, '}', &more);
    }
    return r;
}

static int decode_field(JsonScan *scan, const Field *field, void *slot, int depth) {
    if (at_null(scan))
        return json_skip(scan, depth);
    switch ((FieldShape)field->shape) {
    case SHAPE_ONE:
        return decode_item(scan, field, slot_target(scan->arena, field, slot), depth);
    case SHAPE_LIST:
        return decode_list(scan, field, slot, depth);
    case SHAPE_MAP:
        return decode_map(scan, field, slot, depth);
    }
    return 0;
}

static int decode_object(JsonScan *scan, const Type *type, char *object, int depth) {
    uint16_t cursor = 0;
    bool more;
    int r = enter(scan, '{', depth, &more);
    while (!r && more) {
        Str key;
        uint32_t rank;
        r = json_key(scan, &key);
        if (r)
            return r;
        const Field *field = type_find(type, key, &cursor, &rank);
        r = field ? decode_field(scan, field, object + type_offset(type, field), depth + 1)
                  : json_skip(scan, depth + 1);
        if (!r)
            r = next(scan, '}', &more);
    }
    return r;
}

int typed_from_json(Arena *arena, const Type *type, Str json, void *ret) {
    ParseError error;
    JsonScan scan = {.start = json.ptr,
                     .p = json.ptr,
                     .end = json.ptr + json.len,
                     .arena = arena,
                     .error = &error};
    assert(type->struct_size);
    memset(ret, 0, type->struct_size);
    int r = decode_object(&scan, type, ret, 0);
    if (!r && json_peek(&scan) >= 0)
        r = json_fail_at(&scan, scan.p, "after top-level value");
    return r;
}
