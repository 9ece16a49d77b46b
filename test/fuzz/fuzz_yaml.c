// YAML documents. What was accepted is JSON that reads back the same.

#include <assert.h>
#include <errno.h>

#include "schema/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf buf = BUF_INIT(64 << 20);
    Value *value, *again;
    ParseError error = {0};
    ValuePaths duplicates = {0};
    if (value_parse_yaml(arena, str_of(data, size), &duplicates, &value, &error)) {
        assert(error.message.len);
        return 0;
    }
    value_write_json(value, &buf);
    assert(!buf.failed);
    int r = value_parse_json(arena, buf_view(&buf), NULL, &again, &error);
    assert(r == 0 || r == -E2BIG);
    assert(r || value_equal(value, again));
    return 0;
}
