#pragma once
// What the tests of the schema room share. Include after cmocka.h.

#include <stdio.h>

#include "schema/value.h"

static inline Value *parse(Arena *arena, const char *json) {
    Value *value;
    ParseError error = {0};
    int r = value_parse_json(arena, str_from(json), NULL, &value, &error);
    if (r)
        fail_msg("%s: %.*s", json, STR_ARG(error.message));
    return value;
}

static inline const char *text_of(Arena *arena, const Value *value) {
    _buf_deinit_ Buf buf = BUF_INIT(1 << 24);
    value_write_json(value, &buf);
    assert_false(buf.failed);
    return arena_cstr(arena, buf_view(&buf));
}

#define assert_json(arena, value, expected) assert_string_equal(text_of(arena, value), expected)
#define assert_str(arena, s, expected) assert_string_equal(arena_cstr(arena, s), expected)
