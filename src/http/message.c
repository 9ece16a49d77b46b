#include "http/message.h"

#include <errno.h>
#include <stdio.h>
#include <zlib.h>

#include "base/buf.h"

#define GZIP_THRESHOLD (128 * 1024) // apiserver: defaultGzipThresholdBytes
#define GZIP_LEVEL 1                // apiserver: defaultGzipContentEncodingLevel

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

static Bytes *gzip(Str data) {
    z_stream z = {0};
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    Bytes *out = NULL;
    size_t bound = deflateBound(&z, data.len);
    _buf_deinit_ Buf buf = BUF_INIT(bound);
    char *room = buf_reserve(&buf, bound);
    z.next_in = (Bytef *)(uintptr_t)data.ptr;
    z.avail_in = (uInt)data.len;
    z.next_out = (Bytef *)room;
    z.avail_out = (uInt)bound;
    if (room && deflate(&z, Z_FINISH) == Z_STREAM_END) {
        buf_commit(&buf, z.total_out);
        out = buf_bytes(&buf);
    }
    deflateEnd(&z);
    return out;
}

// "gzip" among Accept-Encoding, unless the client gives it the quality 0.
static bool accepts_gzip(const HttpRequest *request) {
    Str rest = http_header(request, STR("Accept-Encoding"));
    while (rest.ptr) {
        Str parameters = str_cut(&rest, ',');
        if (!str_eq_nocase(str_trim(str_cut(&parameters, ';')), STR("gzip")))
            continue;
        Str quality = str_trim(parameters);
        return !(str_eq(quality, STR("q=0")) || str_eq(quality, STR("q=0.0")));
    }
    return false;
}

static bool headers_have(const HttpHeader *headers, size_t n, Str name) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(headers[i].name, name))
            return true;
    return false;
}

void http_respond_with(HttpRequest *request, int status, const HttpHeader *headers, size_t n,
                       Bytes *body) {
    HttpHeader *all = arena_array_of(request->arena, HttpHeader, n + 3);
    if (n)
        memcpy(all, headers, n * sizeof *headers);
    Bytes *packed = NULL;
    if (body && body->len > GZIP_THRESHOLD && body->len < UINT32_MAX && request->version != 0 &&
        accepts_gzip(request) && !headers_have(headers, n, STR("Content-Encoding")))
        packed = gzip(bytes_str(body));
    if (packed) {
        all[n++] = (HttpHeader){STR("Content-Encoding"), STR("gzip")};
        all[n++] = (HttpHeader){STR("Vary"), STR("Accept-Encoding")};
        body = packed;
    }
    bool bodyless = status == 204 || status == 304 || status < 200;
    if (!bodyless && !headers_have(all, n, STR("Content-Length"))) {
        Str length = arena_printf(request->arena, "%zu", body ? body->len : 0);
        all[n++] = (HttpHeader){STR("Content-Length"), length};
    }
    request->ops->head(request, status, all, n);
    if (body && body->len && !bodyless)
        request->ops->data(request, body);
    request->ops->end(request);
    bytes_unref(packed);
}

void http_respond(HttpRequest *request, int status, Str content_type, Bytes *body) {
    HttpHeader header = {STR("Content-Type"), content_type};
    http_respond_with(request, status, &header, content_type.ptr ? 1 : 0, body);
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
