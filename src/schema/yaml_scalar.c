#include "schema/yaml_scalar.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *words; // separated by spaces
    Value value;
} named[] = {
    {"y Y yes Yes YES true True TRUE on On ON", {.kind = VALUE_BOOL, .boolean = true}},
    {"n N no No NO false False FALSE off Off OFF", {.kind = VALUE_BOOL, .boolean = false}},
    {"~ null Null NULL", {.kind = VALUE_NULL}},
    {".nan .NaN .NAN", {.kind = VALUE_DOUBLE, .number = NAN}},
    {".inf .Inf .INF +.inf +.Inf +.INF", {.kind = VALUE_DOUBLE, .number = INFINITY}},
    {"-.inf -.Inf -.INF", {.kind = VALUE_DOUBLE, .number = -INFINITY}},
};

static bool resolve_named(Str text, Value *ret) {
    if (!text.len) {
        *ret = (Value){.kind = VALUE_NULL};
        return true;
    }
    if (text.len > 5)
        return false;
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++) {
        Str rest = str_from(named[i].words);
        while (rest.ptr)
            if (str_eq(str_cut(&rest, ' '), text)) {
                *ret = named[i].value;
                return true;
            }
    }
    return false;
}

static int digit_of(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

// Go's ParseInt(s, 0, 64): 0x, 0o, 0b and a bare leading 0 choose the base. What does not fit an
// int64 becomes a double. False when `s` is no integer.
static bool resolve_integer(Str s, Value *ret) {
    size_t i = 0;
    bool negative = s.len && s.ptr[0] == '-', fits = true;
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        i++;
    int base = 10;
    if (s.len - i > 1 && s.ptr[i] == '0') {
        char prefix = s.ptr[i + 1] | 0x20;
        base = prefix == 'x' ? 16 : prefix == 'b' ? 2 : 8;
        i += base == 8 && prefix != 'o' ? 1 : 2;
    }
    if (i >= s.len)
        return false;
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX, sum = 0;
    double wide = 0;
    for (; i < s.len; i++) {
        int digit = digit_of(s.ptr[i]);
        if (digit >= base)
            return false;
        wide = wide * base + digit;
        fits = fits && sum <= (limit - (uint64_t)digit) / (uint64_t)base;
        if (fits)
            sum = sum * (uint64_t)base + (uint64_t)digit;
    }
    if (fits)
        *ret = (Value){.kind = VALUE_INT, .integer = negative ? (int64_t)(0 - sum) : (int64_t)sum};
    else
        *ret = (Value){.kind = VALUE_DOUBLE, .number = negative ? -wide : wide};
    return true;
}

// ^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$
static bool looks_like_float(Str s) {
    size_t i = 0, whole = 0, fraction = 0;
    if (i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+'))
        i++;
    for (; i < s.len && digit_of(s.ptr[i]) < 10; i++)
        whole++;
    if (i < s.len && s.ptr[i] == '.')
        for (i++; i < s.len && digit_of(s.ptr[i]) < 10; i++)
            fraction++;
    if (!whole && !fraction)
        return false;
    if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
        i++;
        if (i < s.len && (s.ptr[i] == '-' || s.ptr[i] == '+'))
            i++;
        size_t digits = i;
        for (; i < s.len && digit_of(s.ptr[i]) < 10; i++)
            ;
        if (i == digits)
            return false;
    }
    return i == s.len;
}

static bool resolve_number(Arena *arena, Str text, Value *ret) {
    char *plain = arena_alloc(arena, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_')
            plain[n++] = text.ptr[i];
    plain[n] = '\0';
    Str s = str_of(plain, n);
    if (resolve_integer(s, ret)) {
        if (ret->kind == VALUE_DOUBLE && looks_like_float(s))
            ret->number = strtod(plain, NULL); // correctly rounded
        return true;
    }
    if (!looks_like_float(s))
        return false;
    double number = strtod(plain, NULL);
    if (!isfinite(number))
        return false; // Go's ParseFloat fails, so it stays a string
    *ret = (Value){.kind = VALUE_DOUBLE, .number = number};
    return true;
}

static void resolve_plain(Arena *arena, Str text, Value *ret) {
    if (resolve_named(text, ret))
        return;
    char c = text.ptr[0];
    if ((c == '+' || c == '-' || c == '.' || (c >= '0' && c <= '9')) &&
        resolve_number(arena, text, ret))
        return;
    *ret = (Value){.kind = VALUE_STRING, .string = text};
}

static const char *tag_of(const Value *value) {
    static const char *const names[] = {"!!null", "!!bool", "!!int", "!!float", "!!str"};
    return names[value->kind];
}

int yaml_resolve_scalar(Arena *arena, Str tag, Str text, Value *ret, Str *ret_message) {
    Str prefix = STR("tag:yaml.org,2002:");
    Str want = STR_NONE;
    *ret = (Value){.kind = VALUE_STRING, .string = text};
    if (tag.ptr) {
        if (!str_starts_with(tag, prefix))
            return 0; // a tag of the author's own means nothing to us
        want = arena_printf(arena, "!!%.*s", (int)(tag.len - prefix.len), tag.ptr + prefix.len);
        static const char *const resolvable[] = {"!!bool", "!!int", "!!float", "!!null"};
        bool known = false;
        for (size_t i = 0; i < sizeof resolvable / sizeof resolvable[0]; i++)
            known = known || str_eq(want, str_from(resolvable[i]));
        if (!known)
            return 0;
    }
    resolve_plain(arena, text, ret);
    if (want.ptr && str_eq(want, STR("!!float")) && ret->kind == VALUE_INT)
        *ret = (Value){.kind = VALUE_DOUBLE, .number = (double)ret->integer};
    if (want.ptr && !str_eq(want, str_from(tag_of(ret)))) {
        *ret_message = arena_printf(arena, "yaml: cannot decode %s `%.*s` as a %.*s", tag_of(ret),
                                    STR_ARG(text), STR_ARG(want));
        return -EBADMSG;
    }
    if (ret->kind == VALUE_DOUBLE && !isfinite(ret->number)) {
        *ret_message = arena_printf(arena, "json: unsupported value: %s",
                                    isnan(ret->number) ? "NaN"
                                    : ret->number > 0  ? "+Inf"
                                                       : "-Inf");
        return -EBADMSG;
    }
    return 0;
}

Str yaml_float_text(Arena *arena, double number) {
    char text[64];
    for (int precision = 1; precision <= 9; precision++) {
        snprintf(text, sizeof text, "%.*g", precision, (double)(float)number);
        if (strtof(text, NULL) == (float)number)
            break;
    }
    return arena_str(arena, str_from(text));
}
