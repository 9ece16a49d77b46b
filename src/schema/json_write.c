// A tree to compact JSON.

#include "schema/json_scan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char hex[] = "0123456789abcdef";

// 0: as it stands; 'u': \u00XX; anything else: a backslash and that letter.
static char escape_letter(unsigned char c) {
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

static inline bool needs_escape(unsigned char c) {
    return c < 0x20 || c == '"' || c == '\\';
}

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

// Copies up to the first byte that needs escaping; returns how many were copied.
static inline size_t copy_plain(char *out, const char *p, size_t len) {
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t x;
        memcpy(&x, p + i, 8);
        uint64_t quote = x ^ (ONES * '"'), slash = x ^ (ONES * '\\');
        if ((((x - ONES * 0x20) & ~x) | ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash)) &
            HIGHS)
            break;
        memcpy(out + i, &x, 8);
    }
    for (; i < len && !needs_escape((unsigned char)p[i]); i++)
        out[i] = p[i];
    return i;
}

static void write_escaped(Buf *buf, Str s) {
    size_t plain = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char letter = escape_letter(c);
        if (!letter)
            continue;
        buf_append(buf, s.ptr + plain, i - plain);
        plain = i + 1;
        if (letter == 'u')
            buf_append(buf, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        else
            buf_append(buf, (char[]){'\\', letter}, 2);
    }
    buf_append(buf, s.ptr + plain, s.len - plain);
}

void json_write_string(Buf *buf, Str s) {
    char *out = buf_reserve(buf, s.len + 2);
    if (!out)
        return;
    *out = '"';
    size_t copied = copy_plain(out + 1, s.ptr, s.len);
    if (copied == s.len) {
        out[1 + s.len] = '"';
        buf_commit(buf, s.len + 2);
        return;
    }
    buf_commit(buf, copied + 1);
    write_escaped(buf, str_slice(s, copied, s.len));
    buf_char(buf, '"');
}

void json_write_int(Buf *buf, int64_t integer) {
    char digits[24];
    size_t at = sizeof digits;
    uint64_t rest = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (integer < 0)
        digits[--at] = '-';
    buf_append(buf, digits + at, sizeof digits - at);
}

// "e-09" becomes "e-9", as Go cleans it up.
static void write_exponent_form(Buf *buf, const char *text) {
    const char *e = strchr(text, 'e');
    buf_append(buf, text, (size_t)(e - text) + 2);
    e += 2;
    while (*e == '0' && e[1])
        e++;
    buf_append(buf, e, strlen(e));
}

void json_write_double(Buf *buf, double number) {
    if (!isfinite(number)) {
        buf_append(buf, "null", 4);
        return;
    }
    char text[400];
    int precision = 1; // significant digits: the fewest that read back the same
    for (; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, number);
        if (strtod(text, NULL) == number)
            break;
    }
    snprintf(text, sizeof text, "%.*e", precision - 1, number);
    int exponent = atoi(strchr(text, 'e') + 1);
    double size = fabs(number);
    if (size != 0 && (size < 1e-6 || size >= 1e21)) {
        write_exponent_form(buf, text);
        return;
    }
    int decimals = precision - 1 - exponent;
    snprintf(text, sizeof text, "%.*f", decimals > 0 ? decimals : 0, number);
    buf_append(buf, text, strlen(text));
}

void value_write_json(const Value *value, Buf *buf) {
    switch (value->kind) {
    case VALUE_NULL:
        buf_append(buf, "null", 4);
        break;
    case VALUE_BOOL:
        buf_append(buf, value->boolean ? "true" : "false", value->boolean ? 4 : 5);
        break;
    case VALUE_INT:
        json_write_int(buf, value->integer);
        break;
    case VALUE_DOUBLE:
        json_write_double(buf, value->number);
        break;
    case VALUE_STRING:
        json_write_string(buf, value->string);
        break;
    case VALUE_ARRAY:
        buf_char(buf, '[');
        for (uint32_t i = 0; i < value->n && !buf->failed; i++) {
            if (i)
                buf_char(buf, ',');
            value_write_json(value->items[i], buf);
        }
        buf_char(buf, ']');
        break;
    case VALUE_OBJECT:
        buf_char(buf, '{');
        for (uint32_t i = 0; i < value->n && !buf->failed; i++) {
            if (i)
                buf_char(buf, ',');
            json_write_string(buf, value->members[i].key);
            buf_char(buf, ':');
            value_write_json(value->members[i].value, buf);
        }
        buf_char(buf, '}');
        break;
    }
}
