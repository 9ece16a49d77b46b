// Two JSON documents with a newline between them: an object and a patch, applied in all ways; then
// the second as an update of the first, and as an applied configuration.

#include <assert.h>
#include <errno.h>

#include "kinds/kinds.h"
#include "schema/apply.h"
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

static void check_apply(Arena *arena, const Value *object, const Value *patch) {
    ApplyRequest request = {.resource = kinds_resource_core_v1_pods(),
                            .api_version = STR("v1"),
                            .manager = STR("kubectl"),
                            .subresource = STR("")};
    Value *live = value_copy(arena, object), *next = value_copy(arena, patch), *result = NULL;
    ApiStatus *status = NULL;
    apply_track_update(arena, &request, NULL, live);
    apply_track_update(arena, &request, live, next);
    value_set_str(arena, next, STR("apiVersion"), STR("v1"));
    int r = apply_merge(arena, &request, live, next, &result, &status);
    check_result(r, result, r ? status->message : STR_NONE);
    request.force = true;
    r = apply_merge(arena, &request, live, patch, &result, &status);
    check_result(r, result, r ? status->message : STR_NONE);
    if (r)
        return;
    Value *again = NULL; // applied once more, nothing changes
    r = apply_merge(arena, &request, result, patch, &again, &status);
    assert(r == 0 && value_equal(result, again));
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
    if (object->kind == VALUE_OBJECT && patch->kind == VALUE_OBJECT)
        check_apply(arena, object, patch);
    assert(value_equal(object, object_before) && value_equal(patch, patch_before));
    return 0;
}
