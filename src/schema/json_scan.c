#include "schema/json_scan.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int json_fail(JsonScan *scan, int status, Str message) {
    if (!scan->status) {
        scan->status = status;
        if (scan->error)
            *scan->error =
                (ParseError){.offset = (size_t)(scan->p - scan->start), .message = message};
    }
    return scan->status;
}

// A byte as Go's quoteChar() shows it: a rune of Latin-1 in single quotes.
static Str quote_char(Arena *arena, unsigned char c) {
    switch (c) {
    case '\'':
        return STR("'\\''");
    case '\a':
        return STR("'\\a'");
    case '\b':
        return STR("'\\b'");
    case '\f':
        return STR("'\\f'");
    case '\n':
        return STR("'\\n'");
    case '\r':
        return STR("'\\r'");
    case '\t':
        return STR("'\\t'");
    case '\v':
        return STR("'\\v'");
    case '\\':
        return STR("'\\\\'");
    }
    if (c < 0x20 || c == 0x7f)
        return arena_printf(arena, "'\\x%02x'", c);
    if (c < 0x80)
        return arena_printf(arena, "'%c'", c);
    if (c < 0xa1 || c == 0xad)
        return arena_printf(arena, "'\\u%04x'", c);
    return arena_printf(arena, "'%c%c'", 0xc0 | (c >> 6), 0x80 | (c & 0x3f));
}

int json_fail_at(JsonScan *scan, const char *where, const char *context) {
    if (scan->status)
        return scan->status;
    if (where >= scan->end) {
        scan->p = scan->end;
        return json_fail(scan, -EBADMSG, STR("unexpected end of JSON input"));
    }
    scan->p = where;
    Str quoted = quote_char(scan->arena, (unsigned char)*where);
    return json_fail(
        scan, -EBADMSG,
        arena_printf(scan->arena, "invalid character %.*s %s", STR_ARG(quoted), context));
}

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

// The first byte from `p` on that is a quote, a backslash, a control character or not ASCII.
static inline const char *find_special(const char *p, const char *end) {
    while (end - p >= 8) {
        uint64_t x;
        memcpy(&x, p, 8);
        uint64_t quote = x ^ (ONES * '"'), slash = x ^ (ONES * '\\');
        uint64_t hit =
            (((x - ONES * 0x20) & ~x) | ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | x) &
            HIGHS;
        if (hit) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            return p + (__builtin_ctzll(hit) >> 3);
#else
            break; // a borrow may have marked a byte too early: look byte by byte
#endif
        }
        p += 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return p;
}

// Length of the valid UTF-8 sequence at `p`, 0 when there is none.
static size_t utf8_length(const unsigned char *p, const unsigned char *end) {
    if (p[0] < 0x80)
        return 1;
    size_t need = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                  : p[0] >= 0xe0 && p[0] <= 0xef ? 3
                  : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                 : 0;
    if (!need || (size_t)(end - p) < need)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return need;
}

static bool utf8_is_valid(Str s) {
    const unsigned char *p = (const unsigned char *)s.ptr, *end = p + s.len;
    while (p < end) {
        size_t length = utf8_length(p, end);
        if (!length)
            return false;
        p += length;
    }
    return true;
}

static char *utf8_put(char *out, uint32_t rune) {
    if (rune < 0x80) {
        *out++ = (char)rune;
    } else if (rune < 0x800) {
        *out++ = (char)(0xc0 | rune >> 6);
        *out++ = (char)(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
        *out++ = (char)(0xe0 | rune >> 12);
        *out++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *out++ = (char)(0x80 | (rune & 0x3f));
    } else {
        *out++ = (char)(0xf0 | rune >> 18);
        *out++ = (char)(0x80 | (rune >> 12 & 0x3f));
        *out++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *out++ = (char)(0x80 | (rune & 0x3f));
    }
    return out;
}

Str json_valid_utf8(Arena *arena, Str s) {
    if (utf8_is_valid(s))
        return s;
    const char *p = s.ptr, *end = s.ptr + s.len;
    char *start = arena_alloc(arena, s.len * 3), *out = start; // a bad byte grows to U+FFFD
    while (p < end) {
        size_t length = utf8_length((const unsigned char *)p, (const unsigned char *)end);
        if (!length) {
            out = utf8_put(out, 0xfffd);
            p++;
            continue;
        }
        memcpy(out, p, length);
        out += length;
        p += length;
    }
    return str_of(start, (size_t)(out - start));
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static uint32_t hex4(const char *p) {
    return (uint32_t)(hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 | hex_digit(p[2]) << 4 |
                      hex_digit(p[3]));
}

// `*p` stands after "\u"; consumes a second escape when both make one surrogate pair.
static uint32_t unescape_rune(const char **p, const char *end) {
    uint32_t rune = hex4(*p);
    *p += 4;
    if (rune < 0xd800 || rune > 0xdfff)
        return rune;
    if (rune < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        uint32_t low = hex4(*p + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *p += 6;
            return 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return 0xfffd;
}

// `raw` is the inside of a string whose escapes have been checked.
static Str unescape(Arena *arena, Str raw) {
    const char *p = raw.ptr, *end = raw.ptr + raw.len;
    size_t size = raw.len;
    for (const char *q = p; q < end; q++)
        size += (unsigned char)*q >= 0x80 ? 2 : 0; // a bad byte grows to U+FFFD
    char *start = arena_alloc(arena, size + 1), *out = start;
    static const char plain[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    while (p < end) {
        if (*p == '\\') {
            p++;
            if (*p == 'u') {
                p++;
                out = utf8_put(out, unescape_rune(&p, end));
                continue;
            }
            for (const char *pair = plain; *pair; pair += 2)
                if (*pair == *p)
                    *out++ = pair[1];
            p++;
            continue;
        }
        size_t length = utf8_length((const unsigned char *)p, (const unsigned char *)end);
        if (!length) {
            out = utf8_put(out, 0xfffd);
            p++;
            continue;
        }
        memcpy(out, p, length);
        out += length;
        p += length;
    }
    *out = '\0';
    return str_of(start, (size_t)(out - start));
}

// At a backslash: checks the escape and passes over it. NULL after json_fail_at().
static const char *check_escape(JsonScan *scan, const char *p) {
    p++;
    if (p >= scan->end || !memchr("\"\\/bfnrtu", *p, 9)) {
        json_fail_at(scan, p, "in string escape code");
        return NULL;
    }
    if (*p++ != 'u')
        return p;
    for (int i = 0; i < 4; i++, p++)
        if (p >= scan->end || hex_digit(*p) < 0) {
            json_fail_at(scan, p, "in \\u hexadecimal character escape");
            return NULL;
        }
    return p;
}

int json_string(JsonScan *scan, Str *ret) {
    const char *begin = scan->p + 1, *p = begin;
    bool escaped = false, high = false;
    for (;;) {
        p = find_special(p, scan->end);
        if (p >= scan->end)
            return json_fail_at(scan, p, "");
        if (*p == '"')
            break;
        if (*p == '\\') {
            escaped = true;
            p = check_escape(scan, p);
            if (!p)
                return scan->status;
        } else if ((unsigned char)*p >= 0x80) {
            high = true;
            while (p < scan->end && (unsigned char)*p >= 0x80)
                p++;
        } else {
            return json_fail_at(scan, p, "in string literal");
        }
    }
    *ret = str_of(begin, (size_t)(p - begin));
    if (escaped || (high && !utf8_is_valid(*ret)))
        *ret = unescape(scan->arena, *ret);
    scan->p = p + 1;
    return 0;
}

// Passes over a number's text; sets *ret_integral. NULL after json_fail_at().
static const char *number_end(JsonScan *scan, bool *ret_integral) {
    const char *p = scan->p, *end = scan->end;
#define DIGIT(p) ((p) < end && *(p) >= '0' && *(p) <= '9')
    *ret_integral = true;
    if (*p == '-')
        p++;
    if (!DIGIT(p)) {
        json_fail_at(scan, p, "in numeric literal");
        return NULL;
    }
    if (*p == '0')
        p++;
    else
        while (DIGIT(p))
            p++;
    if (p < end && *p == '.') {
        *ret_integral = false;
        p++;
        if (!DIGIT(p)) {
            json_fail_at(scan, p, "after decimal point in numeric literal");
            return NULL;
        }
        while (DIGIT(p))
            p++;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        *ret_integral = false;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (!DIGIT(p)) {
            json_fail_at(scan, p, "in exponent of numeric literal");
            return NULL;
        }
        while (DIGIT(p))
            p++;
    }
#undef DIGIT
    return p;
}

static bool parse_integer(Str text, int64_t *ret) {
    bool negative = text.ptr[0] == '-';
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX, sum = 0;
    for (size_t i = negative; i < text.len; i++) {
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        if (sum > (limit - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *ret = negative ? (int64_t)(0 - sum) : (int64_t)sum;
    return true;
}

int json_number(JsonScan *scan, Value *ret) {
    bool integral;
    const char *end = number_end(scan, &integral);
    if (!end)
        return scan->status;
    Str text = str_of(scan->p, (size_t)(end - scan->p));
    if (integral && parse_integer(text, &ret->integer)) {
        ret->kind = VALUE_INT;
        scan->p = end;
        return 0;
    }
    char small[64];
    char *copy = small;
    if (text.len >= sizeof small)
        copy = arena_alloc(scan->arena, text.len + 1);
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    double number = strtod(copy, NULL);
    if (!isfinite(number))
        return json_fail(
            scan, -EBADMSG,
            arena_printf(scan->arena,
                         "json: cannot unmarshal number %.*s into Go value of type float64",
                         STR_ARG(text)));
    ret->kind = VALUE_DOUBLE;
    ret->number = number;
    scan->p = end;
    return 0;
}

static int expect_word(JsonScan *scan, const char *word) {
    const char *p = scan->p;
    for (const char *w = word; *w; w++, p++) {
        if (p < scan->end && *p == *w)
            continue;
        char context[64];
        snprintf(context, sizeof context, "in literal %s (expecting '%c')", word, *w);
        return json_fail_at(scan, p, context);
    }
    scan->p = p;
    return 0;
}

int json_literal(JsonScan *scan, Value *ret) {
    switch (*scan->p) {
    case 't':
        *ret = (Value){.kind = VALUE_BOOL, .boolean = true};
        return expect_word(scan, "true");
    case 'f':
        *ret = (Value){.kind = VALUE_BOOL};
        return expect_word(scan, "false");
    case 'n':
        *ret = (Value){.kind = VALUE_NULL};
        return expect_word(scan, "null");
    default:
        return json_fail_at(scan, scan->p, "looking for beginning of value");
    }
}

int json_key(JsonScan *scan, Str *ret) {
    if (json_peek(scan) != '"')
        return json_fail_at(scan, scan->p, "looking for beginning of object key string");
    if (json_string(scan, ret))
        return scan->status;
    if (json_peek(scan) != ':')
        return json_fail_at(scan, scan->p, "after object key");
    scan->p++;
    return 0;
}

int json_next(JsonScan *scan, char close) {
    int c = json_peek(scan);
    if (c == ',') {
        scan->p++;
        return 1;
    }
    if (c == close) {
        scan->p++;
        return 0;
    }
    return json_fail_at(scan, scan->p,
                        close == '}' ? "after object key:value pair" : "after array element");
}

int json_skip(JsonScan *scan, int depth) {
    Value scratch;
    Str text;
    int c = json_peek(scan), more = 1;
    if (c == '"')
        return json_string(scan, &text);
    if (c == '-' || (c >= '0' && c <= '9'))
        return json_number(scan, &scratch);
    if (c != '{' && c != '[')
        return c < 0 ? json_fail_at(scan, scan->p, "") : json_literal(scan, &scratch);
    if (depth >= VALUE_MAX_DEPTH)
        return json_fail(scan, -E2BIG, STR("exceeded max depth"));
    char close = c == '{' ? '}' : ']';
    scan->p++;
    if (json_peek(scan) == close) {
        scan->p++;
        return 0;
    }
    while (more == 1) {
        if (c == '{' && json_key(scan, &text))
            return scan->status;
        if (json_skip(scan, depth + 1))
            return scan->status;
        more = json_next(scan, close);
    }
    return more;
}
