#include "node/oci_json.h"

#include <inttypes.h>

static void quote(Buf *buf, Str text) {
    buf_char(buf, '"');
    size_t from = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_append(buf, text.ptr + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            buf_printf(buf, "\\%c", c);
        else
            buf_printf(buf, "\\u%04x", c);
    }
    if (text.len)
        buf_append(buf, text.ptr + from, text.len - from);
    buf_char(buf, '"');
}

static void begin(OciJson *json, const char *key) {
    if (json->comma)
        buf_char(json->buf, ',');
    json->comma = true;
    if (key) {
        quote(json->buf, str_from(key));
        buf_char(json->buf, ':');
    }
}

void oci_json_object(OciJson *json, const char *key) {
    begin(json, key);
    buf_char(json->buf, '{');
    json->comma = false;
}

void oci_json_array(OciJson *json, const char *key) {
    begin(json, key);
    buf_char(json->buf, '[');
    json->comma = false;
}

void oci_json_end(OciJson *json, char bracket) {
    buf_char(json->buf, bracket);
    json->comma = true;
}

void oci_json_string(OciJson *json, const char *key, Str value) {
    begin(json, key);
    quote(json->buf, value);
}

void oci_json_int(OciJson *json, const char *key, int64_t value) {
    begin(json, key);
    buf_printf(json->buf, "%" PRId64, value);
}

void oci_json_bool(OciJson *json, const char *key, bool value) {
    begin(json, key);
    buf_str(json->buf, value ? STR("true") : STR("false"));
}

void oci_json_raw(OciJson *json, const char *key, Str text) {
    begin(json, key);
    buf_str(json->buf, text);
}

void oci_json_strings(OciJson *json, const char *key, const Str *values, size_t n) {
    oci_json_array(json, key);
    for (size_t i = 0; i < n; i++)
        oci_json_string(json, NULL, values[i]);
    oci_json_end(json, ']');
}
