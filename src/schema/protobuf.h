#pragma once
// Kubernetes' Protobuf form of objects (application/vnd.kubernetes.protobuf), by the same tables as
// JSON: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding. The numbers
// are those of the generated.proto files. Trees are the ones that JSON gives, so that everything
// after (normal form, defaults, validation) is the same road.

#include "schema/type.h"
#include "schema/value.h"

// What stands around every object: "k8s\0" and a runtime.Unknown message. Points into the bytes.
typedef struct ProtobufEnvelope {
    Str api_version, kind; // "" when not given
    Str raw;               // the object's own message
} ProtobufEnvelope;

// Returns 0, or -EBADMSG with *ret_message as Go's decoder words it.
int protobuf_open(Arena *arena, Str bytes, ProtobufEnvelope *ret, Str *ret_message)
    __attribute__((warn_unused_result));
// A message as a tree, without kind and apiVersion (they stand in the envelope). Unknown fields are
// passed over, as Go passes them over; groups are refused. Zero values that Go's encoder always
// writes are in the tree: schema_normalize() drops them. Strings point into `message`, which must
// outlive the tree; what is no UTF-8 becomes U+FFFD. Returns 0, -EBADMSG or -E2BIG (nested too
// deeply), with *ret_message.
int protobuf_decode(Arena *arena, const Type *type, Str message, Value **ret, Str *ret_message)
    __attribute__((warn_unused_result));

// Whether the type has numbers, without which it has no Protobuf form (custom kinds).
bool protobuf_has_form(const Type *type);
// Appends the envelope with `object` in it. The bytes are those that Go's encoder writes for the
// same object: fields by number, zero values of what is no pointer included, map keys sorted.
// `object` must be in normal form for `type`. Returns 0, -EINVAL when it is not, or -E2BIG.
int protobuf_encode(const Type *type, const Value *object, Buf *buf)
    __attribute__((warn_unused_result));
// The message alone, without an envelope.
int protobuf_encode_message(const Type *type, const Value *object, Buf *buf)
    __attribute__((warn_unused_result));

// For messages that are made piece by piece, first to last: one field that holds bytes, text or a
// message; and an envelope around a message that lies in two parts.
void protobuf_put_bytes(Buf *buf, uint32_t number, Str bytes);
void protobuf_put_envelope(Buf *buf, Str api_version, Str kind, Str head, Str rest);
