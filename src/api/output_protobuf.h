#pragma once
// Answers in Kubernetes' Protobuf form, for clients that accept nothing else. Nothing is kept
// encoded for them: each answer is made from its tree.

#include "api/request.h"

// The object in its envelope. NULL when it has no such form; the caller owns the reference.
Bytes *output_protobuf(const ApiRequest *request, Arena *arena, const Value *object);
// A list from its items' own messages, which output_protobuf_item() has appended to `items`.
// Returns 0 or negative errno.
int output_protobuf_item(const ApiRequest *request, Arena *arena, const Value *object, Buf *items)
    __attribute__((warn_unused_result));
Bytes *output_protobuf_list(const ApiRequest *request, Arena *arena, const Value *metadata,
                            Str items);
// One frame of a watch: the length in four bytes, most significant first, and a meta.v1.WatchEvent.
Bytes *output_protobuf_event(const ApiRequest *request, Arena *arena, const char *event,
                             const Value *object);
