#include "http/spdy_header.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"

// clang-format off
// What both sides' compressors know from the start (SPDY/3 draft, section 2.6.10.1): words with their lengths in front.
static const char dictionary[] =
    "\0\0\0\7" "options" "\0\0\0\4" "head" "\0\0\0\4" "post" "\0\0\0\3" "put" "\0\0\0\6" "delete"
    "\0\0\0\5" "trace" "\0\0\0\6" "accept" "\0\0\0\16" "accept-charset"
    "\0\0\0\17" "accept-encoding" "\0\0\0\17" "accept-language" "\0\0\0\15" "accept-ranges"
    "\0\0\0\3" "age" "\0\0\0\5" "allow" "\0\0\0\15" "authorization" "\0\0\0\15" "cache-control"
    "\0\0\0\12" "connection" "\0\0\0\14" "content-base" "\0\0\0\20" "content-encoding"
    "\0\0\0\20" "content-language" "\0\0\0\16" "content-length" "\0\0\0\20" "content-location"
    "\0\0\0\13" "content-md5" "\0\0\0\15" "content-range" "\0\0\0\14" "content-type"
    "\0\0\0\4" "date" "\0\0\0\4" "etag" "\0\0\0\6" "expect" "\0\0\0\7" "expires" "\0\0\0\4" "from"
    "\0\0\0\4" "host" "\0\0\0\10" "if-match" "\0\0\0\21" "if-modified-since"
    "\0\0\0\15" "if-none-match" "\0\0\0\10" "if-range" "\0\0\0\23" "if-unmodified-since"
    "\0\0\0\15" "last-modified" "\0\0\0\10" "location" "\0\0\0\14" "max-forwards"
    "\0\0\0\6" "pragma" "\0\0\0\22" "proxy-authenticate" "\0\0\0\23" "proxy-authorization"
    "\0\0\0\5" "range" "\0\0\0\7" "referer" "\0\0\0\13" "retry-after" "\0\0\0\6" "server"
    "\0\0\0\2" "te" "\0\0\0\7" "trailer" "\0\0\0\21" "transfer-encoding" "\0\0\0\7" "upgrade"
    "\0\0\0\12" "user-agent" "\0\0\0\4" "vary" "\0\0\0\3" "via" "\0\0\0\7" "warning"
    "\0\0\0\20" "www-authenticate" "\0\0\0\6" "method" "\0\0\0\3" "get" "\0\0\0\6" "status"
    "\0\0\0\6" "200 OK" "\0\0\0\7" "version" "\0\0\0\10" "HTTP/1.1" "\0\0\0\3" "url"
    "\0\0\0\6" "public" "\0\0\0\12" "set-cookie" "\0\0\0\12" "keep-alive" "\0\0\0\6" "origin"
    "1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045"
    "05203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401"
    " Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 S"
    "ervice UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, We"
    "d, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xm"
    "l,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdc"
    "hcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
// clang-format on

#define MAX_BLOCK (64 * 1024) // decompressed
#define MAX_HEADERS 100
#define WINDOW_BITS 11 // enough for the dictionary; zlib's default would cost 256 KiB a connection
#define MEMORY_LEVEL 1

int spdy_header_init(SpdyHeader *codec) {
    *codec = (SpdyHeader){0};
    if (deflateInit2(&codec->deflate, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK ||
        deflateSetDictionary(&codec->deflate, (const Bytef *)dictionary, sizeof dictionary - 1) !=
            Z_OK ||
        inflateInit(&codec->inflate) != Z_OK)
        return -ENOMEM;
    return 0;
}

void spdy_header_deinit(SpdyHeader *codec) {
    deflateEnd(&codec->deflate);
    inflateEnd(&codec->inflate);
}

// ---- writing ----

static void put_u32(Buf *out, uint32_t value) {
    unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                              (unsigned char)(value >> 8), (unsigned char)value};
    buf_append(out, bytes, sizeof bytes);
}

static void put_name(Buf *out, Str name) { // always in lower case
    put_u32(out, (uint32_t)name.len);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        buf_char(out, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
}

void spdy_header_encode(SpdyHeader *codec, const HttpHeader *headers, size_t n, Buf *out) {
    _buf_deinit_ Buf block = BUF_INIT(MAX_BLOCK);
    put_u32(&block, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        put_name(&block, headers[i].name);
        put_u32(&block, (uint32_t)headers[i].value.len);
        buf_str(&block, headers[i].value);
    }
    if (block.failed)
        abort(); // ours to keep short
    z_stream *z = &codec->deflate;
    z->next_in = (Bytef *)block.data;
    z->avail_in = (uInt)block.len;
    do {
        char *room = buf_reserve(out, 512);
        if (!room)
            abort();
        z->next_out = (Bytef *)room;
        z->avail_out = 512;
        if (deflate(z, Z_SYNC_FLUSH) == Z_STREAM_ERROR)
            abort();
        buf_commit(out, 512 - z->avail_out);
    } while (z->avail_out == 0);
}

// ---- reading ----

static int inflate_block(z_stream *z, Str data, Buf *out) {
    z->next_in = (Bytef *)(uintptr_t)data.ptr;
    z->avail_in = (uInt)data.len;
    for (;;) {
        char *room = buf_reserve(out, 4096);
        if (!room)
            return -E2BIG;
        z->next_out = (Bytef *)room;
        z->avail_out = 4096;
        int r = inflate(z, Z_SYNC_FLUSH);
        if (r == Z_NEED_DICT) {
            if (inflateSetDictionary(z, (const Bytef *)dictionary, sizeof dictionary - 1) != Z_OK)
                return -EPROTO;
            continue;
        }
        buf_commit(out, 4096 - z->avail_out);
        if (r != Z_OK && r != Z_BUF_ERROR)
            return -EPROTO; // also Z_STREAM_END: the stream lasts as long as the connection
        if (z->avail_out > 0)
            return z->avail_in == 0 ? 0 : -EPROTO;
    }
}

static bool take_u32(Str *rest, uint32_t *ret) {
    if (rest->len < 4)
        return false;
    const unsigned char *p = (const unsigned char *)rest->ptr;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *rest = str_slice(*rest, 4, rest->len);
    return true;
}

static bool take_str(Str *rest, Str *ret) {
    uint32_t len;
    if (!take_u32(rest, &len) || len > rest->len)
        return false;
    *ret = str_slice(*rest, 0, len);
    *rest = str_slice(*rest, len, rest->len);
    return true;
}

int spdy_header_decode(SpdyHeader *codec, Arena *arena, Str data, const HttpHeader **ret,
                       size_t *ret_n) {
    _buf_deinit_ Buf block = BUF_INIT(MAX_BLOCK);
    int r = inflate_block(&codec->inflate, data, &block);
    if (r < 0)
        return r;
    Str rest = arena_str(arena, buf_view(&block));
    uint32_t n;
    if (!take_u32(&rest, &n) || n > MAX_HEADERS)
        return -EPROTO;
    HttpHeader *headers = arena_array_of(arena, HttpHeader, n + 1);
    for (uint32_t i = 0; i < n; i++)
        if (!take_str(&rest, &headers[i].name) || !take_str(&rest, &headers[i].value))
            return -EPROTO;
    *ret = headers;
    *ret_n = n;
    return 0;
}
