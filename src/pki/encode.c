// Text forms of bytes: hex, base64, base64url (RFC 4648).

#include <errno.h>

#include "pki/openssl.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

Str pki_sha256_hex(Arena *arena, Str data) {
    unsigned char digest[32];
    openssl_sha256(data, digest);
    char *hex = arena_alloc(arena, 65);
    for (int i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = 0;
    return str_of(hex, 64);
}

static Str encode(Arena *arena, Str data, const char *letters, bool pad) {
    const unsigned char *in = (const unsigned char *)data.ptr;
    char *text = arena_alloc(arena, (data.len + 2) / 3 * 4 + 1), *out = text;
    size_t i = 0;
    for (; data.len - i >= 3; i += 3) {
        uint32_t bits = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | in[i + 2];
        *out++ = letters[bits >> 18];
        *out++ = letters[bits >> 12 & 63];
        *out++ = letters[bits >> 6 & 63];
        *out++ = letters[bits & 63];
    }
    if (i < data.len) {
        bool two = data.len - i == 2;
        uint32_t bits = (uint32_t)in[i] << 16 | (two ? (uint32_t)in[i + 1] << 8 : 0);
        *out++ = letters[bits >> 18];
        *out++ = letters[bits >> 12 & 63];
        if (two)
            *out++ = letters[bits >> 6 & 63];
        for (int k = two; pad && k < 2; k++)
            *out++ = '=';
    }
    *out = 0;
    return str_of(text, (size_t)(out - text));
}

static int letter_value(char c, const char *letters) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == letters[62] ? 62 : c == letters[63] ? 63 : -1;
}

// `text` without its padding. Bits that belong to no byte must be zero, so that every value has one
// text only.
static int decode(Arena *arena, Str text, const char *letters, Str *ret) {
    if (text.len % 4 == 1)
        return -EINVAL;
    char *data = arena_alloc(arena, text.len / 4 * 3 + 3);
    size_t len = 0;
    uint32_t bits = 0;
    int n_bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        int value = letter_value(text.ptr[i], letters);
        if (value < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            data[len++] = (char)(bits >> n_bits);
            bits &= (1u << n_bits) - 1;
        }
    }
    if (bits)
        return -EINVAL;
    data[len] = 0;
    *ret = str_of(data, len);
    return 0;
}

Str pki_base64(Arena *arena, Str data) {
    return encode(arena, data, alphabet, true);
}
Str pki_base64url(Arena *arena, Str data) {
    return encode(arena, data, alphabet_url, false);
}

int pki_base64_decode(Arena *arena, Str text, Str *ret) {
    if (text.len % 4)
        return -EINVAL;
    for (int i = 0; i < 2 && text.len && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    return decode(arena, text, alphabet, ret);
}

int pki_base64url_decode(Arena *arena, Str text, Str *ret) {
    return decode(arena, text, alphabet_url, ret);
}
