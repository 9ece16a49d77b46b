// Field selectors: apimachinery's pkg/fields/selector.go.

#include <errno.h>

#include "schema/selector.h"

static int fail(Arena *arena, Str *ret_message, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(Arena *arena, Str *ret_message, const char *format, ...) {
    va_list args;
    va_start(args, format);
    *ret_message = arena_vprintf(arena, format, args);
    va_end(args);
    return -EINVAL;
}

// Takes the backslashes out of a value; only \\ \, and \= are escapes.
static int unescape(Arena *arena, Str text, Str *ret, Str *ret_message) {
    char *start = arena_alloc(arena, text.len + 1), *out = start;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == ',' || c == '=')
            return fail(arena, ret_message,
                        "invalid field selector: unescaped character in value: %d", c);
        if (c != '\\') {
            *out++ = c;
            continue;
        }
        if (++i == text.len)
            return fail(arena, ret_message, "invalid field selector: invalid escape sequence: \\");
        c = text.ptr[i];
        if (c != '\\' && c != ',' && c != '=')
            return fail(arena, ret_message, "invalid field selector: invalid escape sequence: \\%c",
                        c);
        *out++ = c;
    }
    *out = '\0';
    *ret = str_of(start, (size_t)(out - start));
    return 0;
}

static int parse_term(Arena *arena, Str whole, Str part, FieldTerm *ret, Str *ret_message) {
    size_t at = 0, length = 0;
    for (; at < part.len; at++) {
        Str rest = str_slice(part, at, part.len);
        length = str_starts_with(rest, STR("!=")) || str_starts_with(rest, STR("==")) ? 2
                 : rest.ptr[0] == '='                                                 ? 1
                                                                                      : 0;
        if (length)
            break;
    }
    if (!length)
        return fail(arena, ret_message, "invalid selector: '%.*s'; can't understand '%.*s'",
                    STR_ARG(whole), STR_ARG(part));
    ret->equal = part.ptr[at] != '!';
    ret->path = arena_str(arena, str_slice(part, 0, at));
    return unescape(arena, str_slice(part, at + length, part.len), &ret->value, ret_message);
}

int field_selector_parse(Arena *arena, Str text, FieldSelector *ret, Str *ret_message) {
    *ret = (FieldSelector){0};
    size_t start = 0, terms = 1;
    for (size_t i = 0; i < text.len; i++)
        terms += text.ptr[i] == ',';
    ret->terms = arena_array_of(arena, FieldTerm, terms);
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] == '\\') {
            i += i + 1 < text.len; // the next byte is data
            continue;
        }
        if (i < text.len && text.ptr[i] != ',')
            continue;
        Str part = str_slice(text, start, i);
        start = i + 1;
        if (!part.len)
            continue;
        int r = parse_term(arena, text, part, &ret->terms[ret->n], ret_message);
        if (r)
            return r;
        ret->n++;
    }
    return 0;
}
