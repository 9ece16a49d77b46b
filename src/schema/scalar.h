#pragma once
// The scalar kinds that are strings (or numbers) in JSON but have a form of their own: quantities,
// times, durations, bytes. Parsing errors are worded as the Go types' UnmarshalJSON words them.

#include "schema/type.h"
#include "schema/value.h"

// Each brings `value` to canonical form in place. Returns false with *ret_message.
bool scalar_canonical_quantity(Arena *arena, Value *value, Str *ret_message);
bool scalar_canonical_time(Arena *arena, Value *value, bool micro, Str *ret_message);
bool scalar_canonical_duration(Arena *arena, Value *value, Str *ret_message);
bool scalar_canonical_bytes(Arena *arena, Value *value, Str *ret_message);

// Go's time.ParseDuration; nanoseconds.
int scalar_parse_duration(Arena *arena, Str text, int64_t *ret_ns, Str *ret_message);
// Standard base64 with padding; line breaks are passed over. Returns the decoded bytes, or STR_NONE
// with the offset of the bad byte.
Str scalar_decode_base64(Arena *arena, Str text, size_t *ret_bad);
Str scalar_encode_base64(Arena *arena, Str bytes);
