#pragma once
// Objects for the tests, written as JSON with ' for ".

#include <stdlib.h>

#include "kinds/kinds.h"

static inline void from_json(Arena *arena, const Type *type, const char *text, void *ret) {
    char *json = arena_cstr(arena, str_from(text));
    for (char *c = json; *c; c++) {
        if (*c == '\'')
            *c = '"';
    }
    if (typed_from_json(arena, type, str_from(json), ret) != 0)
        abort();
}
