#pragma once
// A request's body as an object in normal form, with the field validation that the client asked
// for.

#include "api/request.h"

// Which kind of object the body must be.
typedef struct DecodeTarget {
    Str group, version, kind;
    const Type *type;
} DecodeTarget;
DecodeTarget decode_target(const Resource *resource);

// The body as a tree of that type, not in normal form yet. Returns 0, or with *ret_message
// -EBADMSG, -E2BIG, or DECODE_E_OBJECT when the kind was understood and the rest was not
// (Protobuf).
#define DECODE_E_OBJECT 1
int decode_parse(ApiRequest *request, InputFormat format, const Type *type, ValuePaths *duplicates,
                 Value **ret, Str *ret_message) __attribute__((warn_unused_result));
// The body (JSON, YAML or Protobuf by its Content-Type), checked to be of that kind; kind and
// apiVersion are filled in where missing. Unknown and repeated fields are refused or become
// warnings. NULL with *ret, or why not.
ApiStatus *decode_body(ApiRequest *request, const DecodeTarget *target, Value **ret)
    __attribute__((warn_unused_result));
// The second half, for trees made otherwise (patches): normal form. `duplicates` may be NULL; its
// paths and the unknown fields are appended to *ret_strict as upstream words them ("unknown field
// \"spec.x\""). Returns false with *ret_message when a type does not fit.
bool decode_normalize(Arena *arena, const Type *type, Value *tree, const ValuePaths *duplicates,
                      ValuePaths *ret_strict, Str *ret_message) __attribute__((warn_unused_result));
// "strict decoding error: unknown field \"a\", unknown field \"b\""
Str decode_strict_message(Arena *arena, const ValuePaths *strict);
