// The formats that schemas of custom kinds may ask of strings: apiextensions-apiserver's
// pkg/apiserver/validation/formats.go, kube-openapi's pkg/validation/strfmt.

#include <arpa/inet.h>

#include "base/time.h"
#include "schema/format.h"
#include "schema/scalar.h"
#include "schema/structural.h"

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// '#' a digit, 'x' a hexadecimal one, everything else itself.
static bool fits(Str text, const char *shape) {
    size_t n = strlen(shape);
    if (text.len != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = text.ptr[i];
        if (shape[i] == '#' ? !is_digit(c) : shape[i] == 'x' ? !is_hex(c) : c != shape[i])
            return false;
    }
    return true;
}

static bool any(Str text) {
    return true;
}

static bool is_object_id(Str text) {
    return fits(text, "xxxxxxxxxxxxxxxxxxxxxxxx");
}

// url.ParseRequestURI: an absolute URI or an absolute path.
static bool is_uri(Str text) {
    if (!text.len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7f || c == ' ')
            return false;
        if (c == '%' && (i + 2 >= text.len || !is_hex(text.ptr[i + 1]) || !is_hex(text.ptr[i + 2])))
            return false;
    }
    if (text.ptr[0] == '/')
        return true;
    ptrdiff_t colon = str_find(text, ':');
    for (ptrdiff_t i = 0; i < colon; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (i == 0 || !(is_digit(c) || c == '+' || c == '-' || c == '.')))
            return false;
    }
    return colon > 0;
}

static bool is_hostname_part(Str part) {
    if (!part.len || part.len > 63)
        return false;
    for (size_t i = 0; i < part.len; i++) {
        unsigned char c = (unsigned char)part.ptr[i];
        bool plain = is_digit((char)c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '_' || c >= 0x80;
        if (!plain && (c != '-' || i == 0 || i + 1 == part.len))
            return false;
    }
    return true;
}

static bool is_hostname(Str text) {
    if (!text.len || text.len > 255)
        return false;
    Str rest = text;
    if (text.ptr[text.len - 1] == '.')
        rest.len--;
    while (rest.ptr)
        if (!is_hostname_part(str_cut(&rest, '.')))
            return false;
    return true;
}

static bool is_email(Str text) { // an address alone; display names are rare and allowed as well
    ptrdiff_t open = str_find_last(text, '<');
    if (open >= 0 && text.len && text.ptr[text.len - 1] == '>')
        text = str_slice(text, (size_t)open + 1, text.len - 1);
    ptrdiff_t at = str_find_last(text, '@');
    if (at <= 0 || (size_t)at + 1 == text.len)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= ' ')
            return false;
    Str local = str_slice(text, 0, (size_t)at);
    if (str_find(local, '@') >= 0 || local.ptr[0] == '.' || local.ptr[local.len - 1] == '.')
        return false;
    return is_hostname(str_slice(text, (size_t)at + 1, text.len));
}

static bool is_address(Str text, int family) {
    char buffer[INET6_ADDRSTRLEN + 1];
    struct in6_addr address;
    if (text.len >= sizeof buffer || memchr(text.ptr, 0, text.len))
        return false;
    memcpy(buffer, text.ptr, text.len);
    buffer[text.len] = 0;
    return inet_pton(family, buffer, &address) == 1;
}

static bool is_ipv4(Str text) {
    return is_address(text, AF_INET);
}

static bool is_ipv6(Str text) {
    return is_address(text, AF_INET6);
}

static bool is_cidr(Str text) {
    ptrdiff_t slash = str_find_last(text, '/');
    uint64_t bits;
    if (slash < 0 || str_to_u64(str_slice(text, (size_t)slash + 1, text.len), &bits) != 0)
        return false;
    Str address = str_slice(text, 0, (size_t)slash);
    return (is_ipv4(address) && bits <= 32) || (is_ipv6(address) && bits <= 128);
}

static bool is_mac(Str text) {
    static const char *const shapes[] = {"xx:xx:xx:xx:xx:xx",       "xx-xx-xx-xx-xx-xx",
                                         "xxxx.xxxx.xxxx",          "xx:xx:xx:xx:xx:xx:xx:xx",
                                         "xx-xx-xx-xx-xx-xx-xx-xx", "xxxx.xxxx.xxxx.xxxx"};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (fits(text, shapes[i]))
            return true;
    return false;
}

static bool is_uuid_of(Str text, char version) {
    char bare[33];
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool may_dash = n == 8 || n == 12 || n == 16 || n == 20;
        if (text.ptr[i] == '-' && may_dash && text.ptr[i - 1] != '-')
            continue;
        if (n == 32 || !is_hex(text.ptr[i]))
            return false;
        bare[n++] = text.ptr[i];
    }
    if (n != 32 || (version && bare[12] != version))
        return false;
    char variant = bare[16];
    return version < '4' || (variant >= '8' && variant <= '9') || (variant | 0x20) == 'a' ||
           (variant | 0x20) == 'b';
}

static bool is_uuid(Str text) {
    return is_uuid_of(text, 0);
}
static bool is_uuid3(Str text) {
    return is_uuid_of(text, '3');
}
static bool is_uuid4(Str text) {
    return is_uuid_of(text, '4');
}
static bool is_uuid5(Str text) {
    return is_uuid_of(text, '5');
}

// Digits with spaces and dashes between them; returns how many, up to `max`.
static size_t digits_of(Str text, char *digits, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == ' ' || c == '-')
            continue;
        if (n == max || (!is_digit(c) && !((c == 'X' || c == 'x') && n == 9)))
            return 0;
        digits[n++] = c;
    }
    return n;
}

static bool is_isbn10(Str text) {
    char d[10];
    if (digits_of(text, d, 10) != 10)
        return false;
    int sum = 0;
    for (int i = 0; i < 9; i++)
        sum += (i + 1) * (d[i] - '0');
    sum += d[9] == 'X' || d[9] == 'x' ? 100 : 10 * (d[9] - '0');
    return sum % 11 == 0;
}

static bool is_isbn13(Str text) {
    char d[13];
    if (digits_of(text, d, 13) != 13 || !is_digit(d[9]))
        return false;
    int sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (i % 2 ? 3 : 1) * (d[i] - '0');
    return (d[12] - '0') - (10 - sum % 10) % 10 == 0;
}

static bool is_isbn(Str text) {
    return is_isbn10(text) || is_isbn13(text);
}

static bool is_credit_card(Str text) {
    int sum = 0, n = 0;
    for (size_t i = text.len; i-- > 0;) {
        if (!is_digit(text.ptr[i]))
            continue;
        int digit = text.ptr[i] - '0';
        if (n++ % 2)
            digit = digit > 4 ? 2 * digit - 9 : 2 * digit;
        sum += digit;
    }
    return n >= 13 && n <= 16 && sum % 10 == 0;
}

static bool is_ssn(Str text) {
    return fits(text, "###-##-####") || fits(text, "### ## ####") || fits(text, "#########") ||
           fits(text, "###-## ####") || fits(text, "### ##-####");
}

static bool is_hex_color(Str text) {
    if (text.len && text.ptr[0] == '#')
        text = str_slice(text, 1, text.len);
    return fits(text, "xxx") || fits(text, "xxxxxx");
}

static bool is_rgb_color(Str text) {
    text = str_trim(text);
    if (!str_starts_with(text, STR("rgb(")) || !str_ends_with(text, STR(")")))
        return false;
    Str rest = str_slice(text, 4, text.len - 1);
    int n = 0;
    for (; rest.ptr && n < 4; n++) {
        uint64_t number;
        Str part = str_trim(str_cut(&rest, ','));
        if (part.len > 3 || str_to_u64(part, &number) != 0 || number > 255)
            return false;
    }
    return n == 3;
}

static bool is_base64(Str text) {
    _arena_free_ Arena *arena = arena_new();
    size_t bad;
    return scalar_decode_base64(arena, text, &bad).ptr != NULL;
}

static bool is_date(Str text) {
    char whole[32] = "";
    int64_t time;
    if (!fits(text, "####-##-##"))
        return false;
    memcpy(whole, text.ptr, 10);
    memcpy(whole + 10, "T00:00:00Z", 10);
    return time_parse(str_of(whole, 20), &time) == 0;
}

static bool is_date_time(Str text) {
    int64_t time;
    return time_parse(text, &time) == 0;
}

static bool is_duration(Str text) {
    _arena_free_ Arena *arena = arena_new();
    int64_t duration;
    Str message;
    if (scalar_parse_duration(arena, text, &duration, &message) == 0)
        return true;
    // "22 ns", "3 days": a number and a unit in words
    static const char *const units[] = {"ns",   "nano",  "nanos",  "nanosecond",  "nanoseconds",
                                        "us",   "micro", "micros", "microsecond", "microseconds",
                                        "ms",   "milli", "millis", "millisecond", "milliseconds",
                                        "s",    "sec",   "secs",   "second",      "seconds",
                                        "m",    "min",   "mins",   "minute",      "minutes",
                                        "h",    "hr",    "hour",   "hours",       "d",
                                        "day",  "days",  "w",      "wk",          "week",
                                        "weeks"};
    size_t n = 0;
    while (n < text.len && is_digit(text.ptr[n]))
        n++;
    Str unit = str_trim(str_slice(text, n, text.len));
    for (size_t i = 0; n && i < sizeof units / sizeof *units; i++)
        if (str_eq(unit, str_from(units[i])))
            return true;
    return false;
}

static bool fits_format(Str text, FieldFormat format) {
    _arena_free_ Arena *arena = arena_new();
    return format_check(arena, format, text).n == 0;
}

static bool is_short_name(Str text) {
    return fits_format(text, FORMAT_DNS_LABEL);
}
static bool is_long_name(Str text) {
    return fits_format(text, FORMAT_DNS_SUBDOMAIN);
}

static const struct {
    const char *name; // without dashes
    bool (*matches)(Str text);
} formats[] = {
    {"bsonobjectid", is_object_id},
    {"uri", is_uri},
    {"email", is_email},
    {"hostname", is_hostname},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"cidr", is_cidr},
    {"mac", is_mac},
    {"uuid", is_uuid},
    {"uuid3", is_uuid3},
    {"uuid4", is_uuid4},
    {"uuid5", is_uuid5},
    {"isbn", is_isbn},
    {"isbn10", is_isbn10},
    {"isbn13", is_isbn13},
    {"creditcard", is_credit_card},
    {"ssn", is_ssn},
    {"hexcolor", is_hex_color},
    {"rgbcolor", is_rgb_color},
    {"byte", is_base64},
    {"password", any},
    {"date", is_date},
    {"duration", is_duration},
    {"datetime", is_date_time},
    {"k8sshortname", is_short_name},
    {"k8slongname", is_long_name},
};

static bool same_format(Str format, const char *name) {
    for (size_t i = 0; i < format.len; i++) {
        if (format.ptr[i] == '-')
            continue;
        if (format.ptr[i] != *name++)
            return false;
    }
    return !*name;
}

bool schema_format_is_known(Str type, Str format) {
    if (str_eq(type, STR("integer")))
        return str_eq(format, STR("int32")) || str_eq(format, STR("int64"));
    if (str_eq(type, STR("number")))
        return str_eq(format, STR("float")) || str_eq(format, STR("double"));
    if (type.len && !str_eq(type, STR("string")))
        return false;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (same_format(format, formats[i].name))
            return true;
    return false;
}

bool schema_format_matches(Str format, Str text) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (same_format(format, formats[i].name))
            return formats[i].matches(text);
    return true;
}
