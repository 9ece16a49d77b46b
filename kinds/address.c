#include "kinds/address.h"

#include <arpa/inet.h>

bool address_parse(Str text, Address *ret) {
    char copy[INET6_ADDRSTRLEN + 1];
    if (!text.len || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *ret = (Address){.v6 = str_find(text, ':') >= 0};
    return inet_pton(ret->v6 ? AF_INET6 : AF_INET, copy, ret->bytes) == 1;
}

Str address_format(Arena *arena, const Address *address) {
    char text[INET6_ADDRSTRLEN];
    inet_ntop(address->v6 ? AF_INET6 : AF_INET, address->bytes, text, sizeof text);
    return arena_str(arena, str_from(text));
}

bool address_is_v6(Str text) {
    Address address;
    return address_parse(text, &address) && address.v6;
}

bool address_check(FieldErrors *errors, const Path *path, Str text) {
    return schema_check_format(errors, path, FORMAT_IP, text);
}

bool address_check_range(FieldErrors *errors, const Path *path, Str text) {
    Str length = text;
    Str ip = str_cut(&length, '/');
    Address address;
    uint64_t bits;
    if (length.ptr && length.len <= 3 && address_parse(ip, &address) &&
        !str_to_u64(length, &bits) && bits <= (address.v6 ? 128 : 32))
        return true;
    field_invalid(errors, path, text,
                  "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    return false;
}

// An IPv4 address mapped into IPv6 counts as the IPv4 address, as in Go.
static void unmap(Address *address) {
    static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};
    if (address->v6 && !memcmp(address->bytes, prefix, sizeof prefix)) {
        memmove(address->bytes, address->bytes + 12, 4);
        address->v6 = false;
    }
}

static bool is_zero_until(const Address *address, size_t len, unsigned char last) {
    for (size_t i = 0; i + 1 < len; i++)
        if (address->bytes[i])
            return false;
    return address->bytes[len - 1] == last;
}

bool address_check_not_special(FieldErrors *errors, const Path *path, Str text) {
    Address address;
    const char *problem = NULL;
    if (!address_parse(text, &address)) {
        field_invalid(errors, path, text, "must be a valid IP address");
        return false;
    }
    unmap(&address);
    const unsigned char *b = address.bytes;
    if (is_zero_until(&address, address.v6 ? 16 : 4, 0))
        problem = arena_printf(errors->arena, "may not be unspecified (%.*s)", STR_ARG(text)).ptr;
    else if (address.v6 ? is_zero_until(&address, 16, 1) : b[0] == 127)
        problem = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
    else if (address.v6 ? b[0] == 0xfe && (b[1] & 0xc0) == 0x80 : b[0] == 169 && b[1] == 254)
        problem = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
    else if (address.v6 ? b[0] == 0xff && (b[1] & 0x0f) == 2 : b[0] == 224 && !b[1] && !b[2])
        problem = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
    if (problem)
        field_invalid(errors, path, text, problem);
    return !problem;
}
