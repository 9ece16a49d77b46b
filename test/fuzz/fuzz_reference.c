// Image names come from pod specs and annotations of archives.
#include <assert.h>
#include <stdint.h>

#include "image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    ImageReference reference, again;
    Str message;
    if (reference_parse(arena, str_of(data, size), &reference, &message) != 0) {
        assert(message.len > 0);
        return 0;
    }
    // A name becomes a path in the store and in a URL.
    Str whole = reference_format(arena, &reference);
    assert(str_find(whole, '\0') < 0 && whole.ptr[0] != '/' && whole.ptr[0] != '.');
    for (size_t i = 0; i + 1 < whole.len; i++)
        assert(!(whole.ptr[i] == '/' && (whole.ptr[i + 1] == '.' || whole.ptr[i + 1] == '/')));
    assert(reference_parse(arena, whole, &again, &message) == 0);
    assert(str_eq(whole, reference_format(arena, &again)));
    return 0;
}
