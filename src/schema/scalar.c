#include "schema/scalar.h"

#include <errno.h>

#include "base/quantity.h"
#include "base/time.h"
#include "schema/json_scan.h"
#include "schema/quote.h"

static const char *json_kind(const Value *value) {
    static const char *const names[] = {"null",   "bool",  "number", "number",
                                        "string", "array", "object"};
    return names[value->kind];
}

// What Go says when a string was expected by a type that decodes itself.
static bool want_string(Arena *arena, const Value *value, Str *ret_message) {
    if (value->kind == VALUE_STRING)
        return true;
    *ret_message = arena_printf(arena, "json: cannot unmarshal %s into Go value of type string",
                                json_kind(value));
    return false;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Which of ParseQuantity's three errors it is.
static Str quantity_problem(Str text) {
    size_t i = 0, dots = 0, digits = 0;
    if (i < text.len && (text.ptr[i] == '+' || text.ptr[i] == '-'))
        i++;
    for (; i < text.len && (is_digit(text.ptr[i]) || text.ptr[i] == '.'); i++) {
        dots += text.ptr[i] == '.';
        digits += text.ptr[i] != '.';
    }
    while (i < text.len && memchr("eEinumkKMGTP", text.ptr[i], 12))
        i++;
    if (i < text.len && (text.ptr[i] == '+' || text.ptr[i] == '-'))
        i++;
    while (i < text.len && is_digit(text.ptr[i]))
        i++;
    if (i < text.len || (!digits && !dots))
        return STR("quantities must match the regular expression "
                   "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    if (dots > 1 || !digits)
        return STR("unable to parse numeric part of quantity");
    return STR("unable to parse quantity's suffix");
}

bool scalar_canonical_quantity(Arena *arena, Value *value, Str *ret_message) {
    Str text = STR("x"); // no quantity
    if (value->kind == VALUE_STRING) {
        text = value->string;
    } else if (value->kind == VALUE_INT || value->kind == VALUE_DOUBLE) {
        _buf_deinit_ Buf buf = BUF_INIT(512);
        value_write_json(value, &buf);
        text = arena_str(arena, buf_view(&buf));
    }
    Quantity quantity;
    if (quantity_parse(text, &quantity)) {
        *ret_message = quantity_problem(text);
        return false;
    }
    *value = (Value){.kind = VALUE_STRING, .string = quantity_format(arena, quantity)};
    return true;
}

// Walks Go's RFC 3339 layout to say where the text leaves it.
static Str time_problem(Arena *arena, Str text) {
    static const struct {
        const char *layout;
        size_t digits; // 0: literal
        int maximum;
        const char *what;
    } parts[] = {
        {"2006", 4, 9999, "year"}, {"-", 0, 0, NULL}, {"01", 2, 12, "month"},  {"-", 0, 0, NULL},
        {"02", 2, 31, "day"},      {"T", 0, 0, NULL}, {"15", 2, 23, "hour"},   {":", 0, 0, NULL},
        {"04", 2, 59, "minute"},   {":", 0, 0, NULL}, {"05", 2, 59, "second"},
    };
    Str whole = quote_str(arena, text);
    size_t at = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t need = parts[i].digits ? parts[i].digits : 1, number = 0, j = 0;
        for (; j < need && at + j < text.len; j++) {
            char c = text.ptr[at + j];
            if (parts[i].digits ? !is_digit(c) : c != parts[i].layout[0])
                break;
            number = number * 10 + (size_t)(c - '0');
        }
        if (j < need) {
            Str rest = quote_str(arena, str_slice(text, at, text.len));
            return arena_printf(
                arena,
                "parsing time %.*s as \"2006-01-02T15:04:05Z07:00\": cannot parse %.*s as \"%s\"",
                STR_ARG(whole), STR_ARG(rest), parts[i].layout);
        }
        if (parts[i].what && (int)number > parts[i].maximum)
            return arena_printf(arena, "parsing time %.*s: %s out of range", STR_ARG(whole),
                                parts[i].what);
        at += need;
    }
    Str rest = quote_str(arena, str_slice(text, at, text.len));
    return arena_printf(
        arena,
        "parsing time %.*s as \"2006-01-02T15:04:05Z07:00\": cannot parse %.*s as \"Z07:00\"",
        STR_ARG(whole), STR_ARG(rest));
}

bool scalar_canonical_time(Arena *arena, Value *value, bool micro, Str *ret_message) {
    if (!want_string(arena, value, ret_message))
        return false;
    int64_t ns;
    if (time_parse(value->string, &ns)) {
        *ret_message = time_problem(arena, value->string);
        return false;
    }
    value->string = micro ? time_format_micro(arena, ns) : time_format(arena, ns);
    return true;
}

static int64_t unit_of(Str unit) {
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
                 {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (str_eq(unit, str_from(units[i].name)))
            return units[i].ns;
    return 0;
}

// One "1.5h"; returns 0, or -EINVAL with *ret_message (STR_NONE when the whole text is at fault).
static int duration_part(Arena *arena, Str *rest, __int128 *sum, Str whole, Str *ret_message) {
    size_t i = 0, digits = 0;
    __int128 number = 0, scale = 1;
    for (; i < rest->len && is_digit(rest->ptr[i]); i++, digits++)
        if ((number = number * 10 + (rest->ptr[i] - '0')) > INT64_MAX)
            return -EINVAL;
    if (i < rest->len && rest->ptr[i] == '.')
        for (i++; i < rest->len && is_digit(rest->ptr[i]); i++, digits++)
            if (scale < 1000000000) { // finer than a nanosecond is dropped
                number = number * 10 + (rest->ptr[i] - '0');
                scale *= 10;
            }
    if (!digits)
        return -EINVAL;
    size_t start = i;
    while (i < rest->len && !is_digit(rest->ptr[i]) && rest->ptr[i] != '.')
        i++;
    Str unit = str_slice(*rest, start, i);
    int64_t ns = unit_of(unit);
    if (!ns) {
        Str quoted = quote_str(arena, unit);
        *ret_message =
            unit.len ? arena_printf(arena, "time: unknown unit %.*s in duration %.*s",
                                    STR_ARG(quoted), STR_ARG(whole))
                     : arena_printf(arena, "time: missing unit in duration %.*s", STR_ARG(whole));
        return -EINVAL;
    }
    *sum += number * ns / scale;
    *rest = str_slice(*rest, i, rest->len);
    return *sum > INT64_MAX ? -EINVAL : 0;
}

int scalar_parse_duration(Arena *arena, Str text, int64_t *ret_ns, Str *ret_message) {
    Str rest = text, whole = quote_str(arena, text);
    *ret_message = arena_printf(arena, "time: invalid duration %.*s", STR_ARG(whole));
    bool negative = rest.len && rest.ptr[0] == '-';
    if (rest.len && (rest.ptr[0] == '-' || rest.ptr[0] == '+'))
        rest = str_slice(rest, 1, rest.len);
    if (str_eq(rest, STR("0"))) {
        *ret_ns = 0;
        return 0;
    }
    if (!rest.len)
        return -EINVAL;
    __int128 sum = 0;
    while (rest.len)
        if (duration_part(arena, &rest, &sum, whole, ret_message))
            return -EINVAL;
    *ret_ns = negative ? -(int64_t)sum : (int64_t)sum;
    return 0;
}

bool scalar_canonical_duration(Arena *arena, Value *value, Str *ret_message) {
    int64_t ns;
    if (!want_string(arena, value, ret_message) ||
        scalar_parse_duration(arena, value->string, &ns, ret_message))
        return false;
    value->string = time_go_duration(arena, ns);
    return true;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (is_digit(c))
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

Str scalar_decode_base64(Arena *arena, Str text, size_t *ret_bad) {
    char *start = arena_alloc(arena, text.len / 4 * 3 + 4), *out = start;
    uint32_t bits = 0;
    size_t have = 0, i = 0;
    for (; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\n' || c == '\r')
            continue;
        int digit = base64_digit(c);
        if (digit < 0)
            break;
        bits = bits << 6 | (uint32_t)digit;
        if (++have == 4) {
            *out++ = (char)(bits >> 16);
            *out++ = (char)(bits >> 8);
            *out++ = (char)bits;
            have = 0;
        }
    }
    size_t padding = 0, first_padding = i;
    for (; i < text.len && (text.ptr[i] == '=' || text.ptr[i] == '\n' || text.ptr[i] == '\r'); i++)
        padding += text.ptr[i] == '=';
    *ret_bad = i < text.len ? i : first_padding;
    if (i < text.len || have == 1 || (have ? have + padding != 4 : padding))
        return STR_NONE;
    if (have >= 2)
        *out++ = (char)(have == 2 ? bits >> 4 : bits >> 10);
    if (have == 3)
        *out++ = (char)(bits >> 2);
    return str_of(start, (size_t)(out - start));
}

Str scalar_encode_base64(Arena *arena, Str bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *start = arena_alloc(arena, (bytes.len + 2) / 3 * 4 + 1), *out = start;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t bits = (uint32_t)(unsigned char)bytes.ptr[i] << 16;
        if (left > 1)
            bits |= (uint32_t)(unsigned char)bytes.ptr[i + 1] << 8;
        if (left > 2)
            bits |= (unsigned char)bytes.ptr[i + 2];
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[bits & 63] : '=';
    }
    *out = '\0';
    return str_of(start, (size_t)(out - start));
}

bool scalar_canonical_bytes(Arena *arena, Value *value, Str *ret_message) {
    size_t bad;
    Str decoded = scalar_decode_base64(arena, value->string, &bad);
    if (!decoded.ptr) {
        *ret_message = arena_printf(arena, "illegal base64 data at input byte %zu", bad);
        return false;
    }
    if (value->string.len != (decoded.len + 2) / 3 * 4) // line breaks in it
        value->string = scalar_encode_base64(arena, decoded);
    return true;
}
