#include "schema/quote.h"

#define MAX_MESSAGE (16 * 1024 * 1024)

// Decodes one rune; returns its length, 0 when the bytes are no UTF-8.
static size_t decode(const unsigned char *p, size_t left, uint32_t *ret) {
    size_t need = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : *p >= 0xc2 ? 2 : 0;
    if (!need || *p > 0xf4 || left < need)
        return 0;
    uint32_t rune = *p & (0xffu >> (need + 1));
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        rune = rune << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (rune < least[need] || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        return 0;
    *ret = rune;
    return need;
}

// unicode.IsPrint to a good approximation: no controls, format characters, odd spaces or private
// use.
static bool is_printable(uint32_t rune) {
    return !(rune < 0xa1 || rune == 0xad || (rune >= 0x2000 && rune <= 0x200f) ||
             (rune >= 0x2028 && rune <= 0x202f) || (rune >= 0x205f && rune <= 0x206f) ||
             rune == 0x3000 || rune == 0xfeff || (rune >= 0xe000 && rune <= 0xf8ff) ||
             (rune >= 0xfff0 && rune <= 0xfffb) || rune >= 0xe0000);
}

static bool write_short_escape(Buf *buf, unsigned char c) {
    static const char pairs[] = "\"\"\\\\\aa\bb\ff\nn\rr\tt\vv";
    for (const char *pair = pairs; *pair; pair += 2)
        if ((unsigned char)*pair == c) {
            buf_append(buf, (char[]){'\\', pair[1]}, 2);
            return true;
        }
    return false;
}

void quote_write(Buf *buf, Str s) {
    buf_char(buf, '"');
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.ptr[i];
        uint32_t rune;
        size_t length;
        if (c < 0x80) {
            i++;
            if (write_short_escape(buf, c))
                continue;
            if (c < 0x20 || c == 0x7f)
                buf_printf(buf, "\\x%02x", c);
            else
                buf_char(buf, (char)c);
        } else if (!(length = decode((const unsigned char *)s.ptr + i, s.len - i, &rune))) {
            buf_printf(buf, "\\x%02x", c);
            i++;
        } else {
            if (is_printable(rune))
                buf_append(buf, s.ptr + i, length);
            else
                buf_printf(buf, rune > 0xffff ? "\\U%08x" : "\\u%04x", rune);
            i += length;
        }
    }
    buf_char(buf, '"');
}

Str quote_str(Arena *arena, Str s) {
    _buf_deinit_ Buf buf = BUF_INIT(MAX_MESSAGE);
    quote_write(&buf, s);
    return arena_str(arena, buf_view(&buf));
}
