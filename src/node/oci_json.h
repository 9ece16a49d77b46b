#pragma once
// Writes JSON into a Buf, piece by piece, with the commas where they belong. For documents of ours
// (OCI configurations, records); what comes from the API goes through schema.

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

typedef struct OciJson {
    Buf *buf;
    bool comma; // something stands before in this object or array
} OciJson;

// `key` is NULL inside arrays (and for the outermost value).
void oci_json_object(OciJson *json, const char *key);
void oci_json_array(OciJson *json, const char *key);
void oci_json_end(OciJson *json, char bracket); // '}' or ']'
void oci_json_string(OciJson *json, const char *key, Str value);
void oci_json_int(OciJson *json, const char *key, int64_t value);
void oci_json_bool(OciJson *json, const char *key, bool value);
void oci_json_raw(OciJson *json, const char *key, Str text); // already JSON
void oci_json_strings(OciJson *json, const char *key, const Str *values, size_t n);
