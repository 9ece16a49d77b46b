// Label and field selectors.

#include <assert.h>

#include "schema/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    Str text = str_of(data, size), message = STR_NONE;
    Selector *selector;
    FieldSelector fields;
    if (selector_parse(arena, text, &selector, &message))
        assert(message.len);
    else
        selector_matches(selector, NULL);
    message = STR_NONE;
    if (field_selector_parse(arena, text, &fields, &message))
        assert(message.len);
    for (size_t i = 0; i < fields.n; i++)
        assert(fields.terms[i].path.ptr && fields.terms[i].value.ptr);
    return 0;
}
