#include "http/message.h"

#include <errno.h>

#include "http/connection.h"

Str http_header(const HttpRequest *request, Str name) {
    for (size_t i = 0; i < request->n_headers; i++)
        if (str_eq_nocase(request->headers[i].name, name))
            return request->headers[i].value;
    return STR_NONE;
}

bool http_header_has_token(const HttpRequest *request, Str name, Str token) {
    for (size_t i = 0; i < request->n_headers; i++) {
        if (!str_eq_nocase(request->headers[i].name, name))
            continue;
        Str rest = request->headers[i].value;
        while (rest.ptr)
            if (str_eq_nocase(str_trim(str_cut(&rest, ',')), token))
                return true;
    }
    return false;
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

static int percent_decode(Arena *arena, Str text, bool plus_is_space, Str *ret) {
    char *out = arena_alloc(arena, text.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            if (i + 2 >= text.len)
                return -EINVAL;
            int high = hex_digit(text.ptr[i + 1]), low = hex_digit(text.ptr[i + 2]);
            if (high < 0 || low < 0)
                return -EINVAL;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    *ret = str_of(out, n);
    return 0;
}

int http_percent_decode(Arena *arena, Str text, Str *ret) {
    return percent_decode(arena, text, false, ret);
}

Str http_percent_encode(Arena *arena, Str text) {
    static const char digits[] = "0123456789ABCDEF";
    char *out = arena_alloc(arena, text.len * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (unreserved) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    out[n] = '\0';
    return str_of(out, n);
}

// Decodes one half of a query pair; what needs no decoding is not copied.
static int query_decode(Arena *arena, Str text, Str *ret) {
    if (text.len == 0) {
        *ret = STR("");
        return 0;
    }
    if (!memchr(text.ptr, '%', text.len) && !memchr(text.ptr, '+', text.len)) {
        *ret = text;
        return 0;
    }
    return percent_decode(arena, text, true, ret);
}

// The next pair of a query. Pairs that Go's url.ParseQuery refuses (bad escapes, semicolons) are
// passed over, as the API server does.
static bool query_next(Arena *arena, Str *rest, Str *ret_name, Str *ret_value) {
    while (rest->ptr) {
        Str pair = str_cut(rest, '&');
        if (pair.len == 0 || memchr(pair.ptr, ';', pair.len))
            continue;
        Str name = str_cut(&pair, '=');
        if (query_decode(arena, name, ret_name) == 0 && query_decode(arena, pair, ret_value) == 0)
            return true;
    }
    return false;
}

Str http_query(const HttpRequest *request, Str name) {
    Str rest = request->query, key, value;
    while (query_next(request->arena, &rest, &key, &value))
        if (str_eq(key, name))
            return value;
    return STR_NONE;
}

size_t http_query_all(const HttpRequest *request, Str name, const Str **ret_values) {
    Str *values = NULL;
    size_t n = 0, capacity = 0;
    Str rest = request->query, key, value;
    while (query_next(request->arena, &rest, &key, &value)) {
        if (!str_eq(key, name))
            continue;
        if (n == capacity) {
            size_t grown = capacity ? capacity * 2 : 4;
            values =
                arena_grow(request->arena, values, capacity * sizeof(Str), grown * sizeof(Str));
            capacity = grown;
        }
        values[n++] = value;
    }
    *ret_values = values;
    return n;
}

Str http_header_value(Arena *arena, Str value) {
    size_t i = 0;
    while (i < value.len && ((unsigned char)value.ptr[i] >= 0x20 || value.ptr[i] == '\t'))
        i++;
    if (i == value.len)
        return value.ptr ? value : STR("");
    char *copy = arena_cstr(arena, value);
    for (; i < value.len; i++)
        if ((unsigned char)copy[i] < 0x20)
            copy[i] = ' ';
    return str_of(copy, value.len);
}

const char *http_reason(int status) {
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Request Entity Too Large"},
        {414, "Request URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Requested Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Entity"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}
