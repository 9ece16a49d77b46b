#include "image/inflate.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/memory.h"

#define CHUNK (128u << 10)
// The largest window that zstd makes unless told otherwise (--ultra -22): 128 MiB of memory.
#define ZSTD_WINDOW_LOG_MAX 27

Compression compression_of(Str head) {
    if (str_starts_with(head, STR("\x1f\x8b")))
        return COMPRESSION_GZIP;
    if (str_starts_with(head, STR("\x28\xb5\x2f\xfd")))
        return COMPRESSION_ZSTD;
    // A skippable frame may come first (0x184D2A50 to 5F).
    if (head.len >= 4 && ((unsigned char)head.ptr[0] & 0xf0) == 0x50 &&
        memcmp(head.ptr + 1, "\x2a\x4d\x18", 3) == 0)
        return COMPRESSION_ZSTD;
    return COMPRESSION_NONE;
}

typedef struct Inflate {
    int input, output;
    Failure *failure;
    unsigned char in[CHUNK], out[CHUNK];
    size_t in_len;
} Inflate;

// Reads more; in_len is 0 at the end.
static int fill(Inflate *work) {
    ssize_t n;
    do
        n = read(work->input, work->in, CHUNK);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return failure_errno(work->failure, -errno, "cannot read the blob");
    work->in_len = (size_t)n;
    return 0;
}

static int flush(Inflate *work, const unsigned char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(work->output, data, len);
        if (n < 0 && errno != EINTR)
            return failure_errno(work->failure, -errno, "cannot pass on the blob");
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int damaged(Inflate *work, const char *what) {
    return failure_set(work->failure, IMAGE_E_BAD_DATA, "damaged compressed data: %s", what);
}

static int copy(Inflate *work) {
    int code = 0;
    while (!code && work->in_len > 0) {
        code = flush(work, work->in, work->in_len);
        if (!code)
            code = fill(work);
    }
    return code;
}

// Decompresses what lies in `in`; `*in_member` is false between two members.
static int gunzip_chunk(Inflate *work, z_stream *stream, bool *in_member) {
    stream->next_in = work->in;
    stream->avail_in = (uInt)work->in_len;
    do {
        if (!*in_member) {
            // Padding behind the last member is common; nothing else may follow.
            while (stream->avail_in > 0 && *stream->next_in == 0)
                stream->next_in++, stream->avail_in--;
            if (stream->avail_in == 0)
                return 0;
            if (inflateReset(stream) != Z_OK)
                return damaged(work, "gzip");
            *in_member = true;
        }
        stream->next_out = work->out;
        stream->avail_out = CHUNK;
        int status = inflate(stream, Z_NO_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
            return damaged(work, stream->msg ? stream->msg : "gzip");
        int code = flush(work, work->out, CHUNK - stream->avail_out);
        if (code)
            return code;
        if (status == Z_STREAM_END)
            *in_member = false;
    } while (stream->avail_in > 0 || stream->avail_out == 0);
    return 0;
}

static int gunzip(Inflate *work) {
    z_stream stream = {0};
    if (inflateInit2(&stream, 15 + 16) != Z_OK)
        return failure_set(work->failure, IMAGE_E_OTHER, "cannot set up zlib");
    bool in_member = true;
    int code = 0;
    while (!code && work->in_len > 0) {
        code = gunzip_chunk(work, &stream, &in_member);
        if (!code)
            code = fill(work);
    }
    if (!code && in_member)
        code = damaged(work, "gzip data ends too early");
    inflateEnd(&stream);
    return code;
}

static int unzstd(Inflate *work) {
    ZSTD_DStream *stream = ZSTD_createDStream();
    assert(stream);
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
    int code = 0;
    size_t missing = 1; // 0 at the end of a frame
    while (!code && work->in_len > 0) {
        ZSTD_inBuffer in = {work->in, work->in_len, 0};
        ZSTD_outBuffer out;
        do {
            out = (ZSTD_outBuffer){work->out, CHUNK, 0};
            missing = ZSTD_decompressStream(stream, &out, &in);
            if (ZSTD_isError(missing))
                code = damaged(work, ZSTD_getErrorName(missing));
            else
                code = flush(work, work->out, out.pos);
        } while (!code && (in.pos < in.size || (out.pos == out.size && missing != 0)));
        if (!code)
            code = fill(work);
    }
    if (!code && missing != 0)
        code = damaged(work, "zstd data ends too early");
    ZSTD_freeDStream(stream);
    return code;
}

int inflate_stream(int input, int output, Failure *failure) {
    Inflate *work = memory_new(Inflate);
    work->input = input;
    work->output = output;
    work->failure = failure;
    int code = fill(work);
    if (!code) {
        // A pipe may give less at first than the magic takes.
        while (work->in_len < COMPRESSION_MAGIC) {
            ssize_t n = read(input, work->in + work->in_len, CHUNK - work->in_len);
            if (n <= 0)
                break;
            work->in_len += (size_t)n;
        }
        switch (compression_of(str_of(work->in, work->in_len))) {
        case COMPRESSION_GZIP:
            code = gunzip(work);
            break;
        case COMPRESSION_ZSTD:
            code = unzstd(work);
            break;
        case COMPRESSION_NONE:
            code = copy(work);
            break;
        }
    }
    free(work);
    return code;
}
