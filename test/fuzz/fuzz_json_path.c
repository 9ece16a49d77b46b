// The JSONPath of printer columns: a path in the first line, a document behind it.

#include <assert.h>

#include "schema/json_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Str rest = str_of(data, size), message = STR_NONE;
    JsonPath *path = json_path_new(arena, str_cut(&rest, '\n'), &message);
    Value *root;
    ParseError error;
    assert(path || message.len);
    if (path && rest.len && value_parse_json(arena, rest, NULL, &root, &error) == 0)
        json_path_first(path, root);
    return 0;
}
