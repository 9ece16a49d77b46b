#include "base/quantity.h"

#include <errno.h>
#include <stdio.h>

// Upstream: apimachinery pkg/api/resource. The grammar is taken as it is read there, odd corners
// included (".", "+" and "Ki" are zero, "1.G" is a billion).

#define NANO ((__int128)1000000000)
#define BINARY_MAX ((__int128)INT64_MAX * NANO)

typedef unsigned __int128 Wide;

typedef struct Suffix {
    char text[3];
    short base, exponent;
} Suffix;

static const Suffix suffixes[] = {
    {"", 10, 0},   {"m", 10, -3}, {"k", 10, 3},  {"M", 10, 6},  {"G", 10, 9},  {"T", 10, 12},
    {"P", 10, 15}, {"E", 10, 18}, {"n", 10, -9}, {"u", 10, -6}, {"Ki", 2, 10}, {"Mi", 2, 20},
    {"Gi", 2, 30}, {"Ti", 2, 40}, {"Pi", 2, 50}, {"Ei", 2, 60},
};

static __int128 power_of_ten(int exponent) {
    __int128 value = 1;
    while (exponent-- > 0)
        value *= 10;
    return value;
}

// The largest magnitude there is: 1e29 units.
static __int128 largest(void) {
    return power_of_ten(38);
}

static Quantity clamp(Quantity q) {
    if (q.nano > largest())
        q.nano = largest();
    else if (q.nano < -largest())
        q.nano = -largest();
    return q;
}

// What a text falls into before it is weighed.
typedef struct Parts {
    bool negative;
    Str whole, fraction; // digits; leading zeros of `whole` are gone
    bool digits;         // there was a digit at all
    Str suffix;
} Parts;

static size_t count_digits(Str s) {
    size_t n = 0;
    while (n < s.len && s.ptr[n] >= '0' && s.ptr[n] <= '9')
        n++;
    return n;
}

static Str take_digits(Str *rest) {
    size_t n = count_digits(*rest);
    Str digits = str_slice(*rest, 0, n);
    *rest = str_slice(*rest, n, rest->len);
    return digits;
}

static bool split(Str text, Parts *ret) {
    *ret = (Parts){0};
    if (!text.len)
        return false;
    Str rest = text;
    if (rest.ptr[0] == '-' || rest.ptr[0] == '+') {
        ret->negative = rest.ptr[0] == '-';
        rest = str_slice(rest, 1, rest.len);
    }
    ret->whole = take_digits(&rest);
    ret->digits = ret->whole.len > 0;
    while (ret->whole.len && ret->whole.ptr[0] == '0')
        ret->whole = str_slice(ret->whole, 1, ret->whole.len);
    if (rest.len && rest.ptr[0] == '.') {
        rest = str_slice(rest, 1, rest.len);
        ret->fraction = take_digits(&rest);
        ret->digits |= ret->fraction.len > 0;
    }
    ret->suffix = rest;
    return true;
}

// Exponents beyond this change nothing any more: the value is zero, one nano, or the cap.
#define EXPONENT_LIMIT 1000000

static bool read_suffix(Str text, int *ret_base, int *ret_exponent, QuantityFormat *ret_format) {
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (str_eq(text, str_from(suffixes[i].text))) {
            *ret_base = suffixes[i].base;
            *ret_exponent = suffixes[i].exponent;
            *ret_format = suffixes[i].base == 2 ? QUANTITY_BINARY_SI : QUANTITY_DECIMAL_SI;
            return true;
        }
    }
    int64_t exponent;
    if (text.len < 2 || (text.ptr[0] != 'e' && text.ptr[0] != 'E') ||
        str_to_i64(str_slice(text, 1, text.len), &exponent) < 0)
        return false;
    *ret_base = 10;
    *ret_format = QUANTITY_DECIMAL_EXPONENT;
    *ret_exponent = (int)(exponent > EXPONENT_LIMIT    ? EXPONENT_LIMIT
                          : exponent < -EXPONENT_LIMIT ? -EXPONENT_LIMIT
                                                       : exponent);
    return true;
}

// The digits of whole and fraction as one number times 10^shift, rounded up to an integer, capped.
static Wide weigh_decimal(const Parts *parts, int64_t shift) {
    Wide value = 0, cap = (Wide)largest();
    bool rest = false;
    int64_t left = (int64_t)(parts->whole.len + parts->fraction.len) + shift; // integer digits
    for (size_t i = 0; i < parts->whole.len + parts->fraction.len; i++, left--) {
        char c =
            i < parts->whole.len ? parts->whole.ptr[i] : parts->fraction.ptr[i - parts->whole.len];
        if (left <= 0)
            rest |= c != '0';
        else if (value < cap)
            value = value * 10 + (Wide)(c - '0');
    }
    for (; left > 0 && value && value < cap; left--)
        value *= 10;
    value += rest;
    return value < cap ? value : cap;
}

// whole.fraction * 2^exponent in nano, rounded up, capped. The fraction is worked out digit by
// digit from the right, so that no length of it is too much: f = (digit + f) / 10.
static Wide weigh_binary(const Parts *parts, int exponent) {
    const Wide cap = (Wide)BINARY_MAX;
    Wide unit = ((Wide)1 << exponent) * (Wide)NANO; // 2^60 * 1e9 < 2^90
    Wide whole = 0;
    for (size_t i = 0; i < parts->whole.len && whole <= (Wide)INT64_MAX; i++)
        whole = whole * 10 + (Wide)(parts->whole.ptr[i] - '0');
    if (whole > (Wide)INT64_MAX >> exponent)
        return cap;
    // Rounding up once at each digit is rounding up once at the end: ceil((d + ceil(x)) / 10) is
    // ceil((d + x) / 10) for an integer d.
    Wide fraction = 0;
    for (size_t i = parts->fraction.len; i > 0; i--)
        fraction = ((Wide)(parts->fraction.ptr[i - 1] - '0') * unit + fraction + 9) / 10;
    Wide value = whole * unit + fraction;
    return value < cap ? value : cap;
}

int quantity_parse(Str text, Quantity *ret) {
    Parts parts;
    int base, exponent;
    Quantity q;
    if (!split(text, &parts) || !read_suffix(parts.suffix, &base, &exponent, &q.format))
        return -EINVAL;
    // Upstream's slow road for what its 64 bits cannot hold wants a digit, its fast one does not.
    bool slow = base == 2 ? exponent >= 50 : exponent < -9;
    if (!parts.digits && slow)
        return -EINVAL;
    if (base == 2)
        q.nano = (__int128)weigh_binary(&parts, exponent);
    else
        q.nano = (__int128)weigh_decimal(&parts, exponent + 9 - (int64_t)parts.fraction.len);
    if (q.format == QUANTITY_BINARY_SI && q.nano > 0 && q.nano < NANO)
        q.format = QUANTITY_DECIMAL_SI;
    if (parts.negative)
        q.nano = -q.nano;
    *ret = q;
    return 0;
}

static Str print(Arena *arena, bool negative, Wide value, const char *suffix) {
    char digits[48];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value);
    return arena_printf(arena, "%s%.*s%s", negative ? "-" : "", (int)(sizeof digits - at),
                        digits + at, suffix);
}

static const char *find_suffix(int base, int exponent) {
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        if (suffixes[i].base == base && suffixes[i].exponent == exponent)
            return suffixes[i].text;
    }
    return "";
}

static Str format_binary(Arena *arena, bool negative, Wide units) {
    int exponent = 0;
    while (exponent < 60 && units % 1024 == 0) {
        units /= 1024;
        exponent += 10;
    }
    return print(arena, negative, units, exponent ? find_suffix(2, exponent) : "");
}

Str quantity_format(Arena *arena, Quantity q) {
    if (q.nano == 0)
        return STR("0");
    bool negative = q.nano < 0;
    Wide value = negative ? -(Wide)q.nano : (Wide)q.nano;
    // Small or fractional binary quantities are shown as decimal ones, so that nothing is lost.
    if (q.format == QUANTITY_BINARY_SI && value >= 1024 * (Wide)NANO && value % (Wide)NANO == 0)
        return format_binary(arena, negative, value / (Wide)NANO);
    bool scientific = q.format == QUANTITY_DECIMAL_EXPONENT;
    int exponent = -9;
    while (value % 1000 == 0 && (scientific || exponent < 18)) {
        value /= 1000;
        exponent += 3;
    }
    if (!scientific)
        return print(arena, negative, value, find_suffix(10, exponent));
    char suffix[16] = "";
    if (exponent)
        snprintf(suffix, sizeof suffix, "e%d", exponent);
    return print(arena, negative, value, suffix);
}

int quantity_cmp(Quantity a, Quantity b) {
    return (a.nano > b.nano) - (a.nano < b.nano);
}

Quantity quantity_add(Quantity a, Quantity b) {
    __int128 sum;
    if (__builtin_add_overflow(a.nano, b.nano, &sum))
        sum = a.nano < 0 ? -largest() : largest();
    return clamp((Quantity){sum, a.nano == 0 ? b.format : a.format});
}

Quantity quantity_sub(Quantity a, Quantity b) {
    __int128 difference;
    if (__builtin_sub_overflow(a.nano, b.nano, &difference))
        difference = a.nano < 0 ? -largest() : largest();
    return clamp((Quantity){difference, a.nano == 0 ? b.format : a.format});
}

// nano / unit, away from zero.
static __int128 divide(__int128 nano, __int128 unit) {
    return nano / unit + (nano % unit > 0) - (nano % unit < 0);
}

static int64_t saturate(__int128 value) {
    return value > INT64_MAX ? INT64_MAX : value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

int64_t quantity_value(Quantity q) {
    return saturate(divide(q.nano, NANO));
}

int64_t quantity_milli_value(Quantity q) {
    return saturate(divide(q.nano, NANO / 1000));
}

Quantity quantity_round_milli(Quantity q) {
    const __int128 unit = NANO / 1000;
    return clamp((Quantity){divide(q.nano, unit) * unit, q.format});
}

Quantity quantity_from_int(int64_t value, QuantityFormat format) {
    return (Quantity){(__int128)value * NANO, format};
}
