// A request body in Kubernetes' Protobuf form: whatever is accepted and fits its type must survive
// being written and read again.

#include <assert.h>
#include <errno.h>

#include "kinds/kinds.h"
#include "schema/check.h"
#include "schema/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const Type *type_of(const ProtobufEnvelope *envelope) {
    const Type *type;
    for (size_t i = 0; (type = kinds_type_at(i)); i++)
        if (str_eq(type->name, envelope->kind))
            return type;
    return kinds_type_Pod();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    _arena_free_ Arena *arena = arena_new();
    ProtobufEnvelope envelope;
    Value *value, *again;
    Str message = STR("");
    if (protobuf_open(arena, str_of(data, size), &envelope, &message)) {
        assert(message.len);
        return 0;
    }
    const Type *type = type_of(&envelope);
    if (protobuf_decode(arena, type, envelope.raw, &value, &message)) {
        assert(message.len);
        return 0;
    }
    ValuePaths unknown = {0};
    if (schema_normalize(arena, type, value, &unknown, &message)) {
        assert(message.len); // a quantity that is none
        return 0;
    }
    assert(!unknown.n);
    _buf_deinit_ Buf buf = BUF_INIT(256 << 20);
    int r = protobuf_encode_message(type, value, &buf);
    assert(r == 0);
    r = protobuf_decode(arena, type, buf_view(&buf), &again, &message);
    assert(r == 0);
    r = schema_normalize(arena, type, again, NULL, &message);
    assert(r == 0 && value_equal(value, again));
    return 0;
}
