#pragma once
// The wire format itself (https://protobuf.dev/programming-guides/encoding/), read element by
// element. Errors are worded as the decoders that Kubernetes generates word them.

#include "base/arena.h"

typedef enum WireType {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_START_GROUP = 3,
    WIRE_END_GROUP = 4,
    WIRE_FIXED32 = 5,
} WireType;

typedef struct WireElement {
    uint32_t number;
    WireType wire;
    uint64_t integer; // varint and fixed
    Str bytes;        // WIRE_BYTES; points into the message
} WireElement;

// Takes one element off `*rest`, which must not be empty. `name` is the message's, for errors.
// Returns 0, or -EBADMSG with *ret_message.
int wire_next(Arena *arena, Str name, Str *rest, WireElement *ret, Str *ret_message)
    __attribute__((warn_unused_result));
// Takes a bare varint (of a packed list).
int wire_varint(Str *rest, uint64_t *ret, Str *ret_message) __attribute__((warn_unused_result));
int wire_fixed64(Str *rest, uint64_t *ret, Str *ret_message) __attribute__((warn_unused_result));
// -EBADMSG, for an element whose wire type is not the field's.
int wire_mismatch(Arena *arena, WireType found, Str field, Str *ret_message);

// A message of at most three known fields, last one wins, others are passed over. `wires[i]` is the
// wire type of number i + 1; lists of strings are not for this.
#define WIRE_SMALL 3
typedef struct WireSmall {
    bool has[WIRE_SMALL];
    uint64_t integers[WIRE_SMALL];
    Str strings[WIRE_SMALL]; // "" when absent
} WireSmall;
int wire_small(Arena *arena, Str name, Str message, const WireType *wires, size_t n, WireSmall *ret,
               Str *ret_message) __attribute__((warn_unused_result));
