#pragma once
// Reading JSON tokens from bytes, for the tree parser (json.c) and the struct decoder
// (typed_json.c). Errors are worded as Go's encoding/json words them.

#include "schema/value.h"

typedef struct JsonScan {
    const char *start, *p, *end;
    Arena *arena;      // of unescaped strings and messages
    ParseError *error; // where the first error goes
    int status;        // 0, -EBADMSG or -E2BIG
} JsonScan;

// Each returns 0 or a negative errno that is in `scan->status` too.
int json_fail_at(JsonScan *scan, const char *where, const char *context);
int json_fail(JsonScan *scan, int status, Str message);
// Skips white space; the next byte, or -1 at the end.
static inline int json_peek(JsonScan *scan) {
    const char *p = scan->p;
    while (p < scan->end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    scan->p = p;
    return p < scan->end ? (unsigned char)*p : -1;
}
// At an opening quote. Points into the text unless something had to be unescaped; invalid UTF-8
// becomes U+FFFD as in Go.
int json_string(JsonScan *scan, Str *ret);
// The same repair for text from elsewhere: `s` itself when it is valid UTF-8, else a copy.
Str json_valid_utf8(Arena *arena, Str s);
// At '-' or a digit. Sets kind (VALUE_INT or VALUE_DOUBLE) and the number.
int json_number(JsonScan *scan, Value *ret);
// At 't', 'f' or 'n'. Sets kind and boolean.
int json_literal(JsonScan *scan, Value *ret);
// Passes over one value of any kind, checking its syntax.
int json_skip(JsonScan *scan, int depth);
// The separator after a member or an item: 1 when another one follows (`scan->p` stands after the
// comma), 0 when the container is closed, or negative errno.
int json_next(JsonScan *scan, char close);
// At the opening quote of a member's name: reads it and the colon.
int json_key(JsonScan *scan, Str *ret);

// Writing.
void json_write_string(Buf *buf, Str s); // with quotes
void json_write_int(Buf *buf, int64_t integer);
void json_write_double(Buf *buf,
                       double number); // as Go writes a float64; null for NaN and infinity
