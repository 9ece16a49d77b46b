#include "schema/protobuf_wire.h"

#include <errno.h>

static int fail(Str *ret_message, Str message) {
    *ret_message = message;
    return -EBADMSG;
}

static int truncated(Str *ret_message) {
    return fail(ret_message, STR("unexpected EOF"));
}

int wire_varint(Str *rest, uint64_t *ret, Str *ret_message) {
    uint64_t value = 0;
    for (size_t i = 0; i < rest->len && i < 10; i++) {
        uint64_t byte = (unsigned char)rest->ptr[i];
        value |= (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *rest = str_slice(*rest, i + 1, rest->len);
            *ret = value;
            return 0;
        }
    }
    return rest->len < 10 ? truncated(ret_message)
                          : fail(ret_message, STR("proto: integer overflow"));
}

static int fixed(Str *rest, size_t size, uint64_t *ret, Str *ret_message) {
    if (rest->len < size)
        return truncated(ret_message);
    uint64_t value = 0;
    for (size_t i = size; i-- > 0;)
        value = value << 8 | (unsigned char)rest->ptr[i];
    *rest = str_slice(*rest, size, rest->len);
    *ret = value;
    return 0;
}

int wire_fixed64(Str *rest, uint64_t *ret, Str *ret_message) {
    return fixed(rest, 8, ret, ret_message);
}

static int take_bytes(Str *rest, Str *ret, Str *ret_message) {
    uint64_t length;
    int r = wire_varint(rest, &length, ret_message);
    if (r)
        return r;
    if (length > INT64_MAX)
        return fail(ret_message, STR("proto: negative length found during unmarshaling"));
    if (length > rest->len)
        return truncated(ret_message);
    *ret = str_slice(*rest, 0, (size_t)length);
    *rest = str_slice(*rest, (size_t)length, rest->len);
    return 0;
}

int wire_next(Arena *arena, Str name, Str *rest, WireElement *ret, Str *ret_message) {
    uint64_t tag;
    int r = wire_varint(rest, &tag, ret_message);
    if (r)
        return r;
    *ret = (WireElement){.number = (uint32_t)(tag >> 3), .wire = (WireType)(tag & 7)};
    if (ret->wire == WIRE_END_GROUP)
        return fail(
            ret_message,
            arena_printf(arena, "proto: %.*s: wiretype end group for non-group", STR_ARG(name)));
    if ((int32_t)ret->number <= 0)
        return fail(ret_message,
                    arena_printf(arena, "proto: %.*s: illegal tag %d (wire type %llu)",
                                 STR_ARG(name), (int)ret->number, (unsigned long long)tag));
    switch (ret->wire) {
    case WIRE_VARINT:
        return wire_varint(rest, &ret->integer, ret_message);
    case WIRE_FIXED64:
        return fixed(rest, 8, &ret->integer, ret_message);
    case WIRE_FIXED32:
        return fixed(rest, 4, &ret->integer, ret_message);
    case WIRE_BYTES:
        return take_bytes(rest, &ret->bytes, ret_message);
    case WIRE_START_GROUP:
        return fail(ret_message,
                    arena_printf(arena, "proto: %.*s: groups are not accepted", STR_ARG(name)));
    case WIRE_END_GROUP:
        break;
    }
    return fail(ret_message, arena_printf(arena, "proto: illegal wireType %d", (int)ret->wire));
}

int wire_mismatch(Arena *arena, WireType found, Str field, Str *ret_message) {
    Str name = arena_str(arena, field);
    if (name.len && name.ptr[0] >= 'a' && name.ptr[0] <= 'z') // Go's field begins with a capital
        ((char *)name.ptr)[0] -= 'a' - 'A';
    return fail(ret_message, arena_printf(arena, "proto: wrong wireType = %d for field %.*s",
                                          (int)found, STR_ARG(name)));
}

int wire_small(Arena *arena, Str name, Str message, const WireType *wires, size_t n, WireSmall *ret,
               Str *ret_message) {
    *ret = (WireSmall){.strings = {STR(""), STR(""), STR("")}};
    while (message.len) {
        WireElement element;
        int r = wire_next(arena, name, &message, &element, ret_message);
        if (r)
            return r;
        if (element.number > n)
            continue;
        size_t i = element.number - 1;
        if (element.wire != wires[i])
            return wire_mismatch(arena, element.wire, name, ret_message);
        ret->has[i] = true;
        ret->integers[i] = element.integer;
        if (element.wire == WIRE_BYTES)
            ret->strings[i] = element.bytes;
    }
    return 0;
}
