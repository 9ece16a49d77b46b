// Two JSON documents with a newline between them: an object and a patch, applied in all three ways.

#include <assert.h>
#include <errno.h>

#include "kinds/kinds.h"
#include "schema/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_result(int r, const Value *value, Str message) {
    _buf_deinit_ Buf buf = BUF_INIT(64 << 20);
    if (r) {
        assert(message.len);
        return;
    }
    value_write_json(value, &buf);
    assert(!buf.failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Value *object, *patch, *result = NULL;
    ParseError error;
    Str rest = str_of(data, size), first = str_cut(&rest, '\n'), message = STR_NONE;
    if (!rest.ptr || value_parse_json(arena, first, NULL, &object, &error) ||
        value_parse_json(arena, rest, NULL, &patch, &error))
        return 0;
    const Value *object_before = value_copy(arena, object);
    const Value *patch_before = value_copy(arena, patch);
    int r = patch_json(arena, object, patch, &result, &message);
    check_result(r, result, message);
    r = patch_merge(arena, object, patch, &result);
    check_result(r, result, message);
    if (object->kind == VALUE_OBJECT) {
        message = STR_NONE;
        r = patch_strategic(arena, kinds_type_Pod(), object, patch, &result, &message);
        check_result(r, result, message);
    }
    assert(value_equal(object, object_before) && value_equal(patch, patch_before));
    return 0;
}
