// A request body's whole way: JSON, normal form, defaults, validation, structs. What was accepted
// must come out of the writer unchanged, and the two struct decoders must agree.

#include <assert.h>
#include <errno.h>

#include "kinds/kinds.h"
#include "schema/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static Str write(Buf *buf, const Value *value) {
    buf_clear(buf);
    value_write_json(value, buf);
    assert(!buf->failed);
    return buf_view(buf);
}

static void check_round_trip(Arena *arena, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(64 << 20);
    Value *again;
    ParseError error;
    Str text = write(&buf, value);
    int r = value_parse_json(arena, text, NULL, &again, &error);
    assert(r == 0 || (r == -E2BIG && text.len > VALUE_MAX_BYTES));
    assert(r || value_equal(value, again));
}

static void check_object(Arena *arena, Str text, Value *object) {
    Pod from_value, from_json;
    FieldErrors errors = {.arena = arena};
    ValuePaths unknown = {0};
    Str message;
    int a = typed_from_value(arena, kinds_type_Pod(), object, &from_value);
    int b = typed_from_json(arena, kinds_type_Pod(), text, &from_json);
    assert(a >= 0 && b >= 0);
    if (schema_normalize(arena, kinds_type_Pod(), object, &unknown, &message)) {
        assert(message.len);
        return;
    }
    schema_default(arena, kinds_resource_core_v1_pods(), object);
    schema_validate(&errors, kinds_resource_core_v1_pods(), object, NULL);
    a = typed_from_value(arena, kinds_type_Pod(), object, &from_value);
    assert(a == 0);
    Value *back = typed_to_value(arena, kinds_type_Pod(), &from_value);
    check_round_trip(arena, back);
    // normal form is a fixed point
    Value *copy = value_copy(arena, object);
    a = schema_normalize(arena, kinds_type_Pod(), copy, NULL, &message);
    assert(a == 0 && value_equal(copy, object));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Value *value;
    ParseError error = {0};
    ValuePaths duplicates = {0};
    Str text = str_of(data, size);
    int r = value_parse_json(arena, text, &duplicates, &value, &error);
    if (r) {
        assert(error.message.len);
        return 0;
    }
    check_round_trip(arena, value);
    if (value->kind == VALUE_OBJECT && !duplicates.n)
        check_object(arena, text, value);
    return 0;
}
