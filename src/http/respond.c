// Whole answers, compressed when that is worth while.

#include <stdlib.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/memory.h"
#include "http/message.h"

#define GZIP_THRESHOLD (128 * 1024) // apiserver: defaultGzipThresholdBytes
#define GZIP_LEVEL 1                // apiserver: defaultGzipContentEncodingLevel
#define GZIP_INLINE                                                                                \
    (512 * 1024) // larger ones would hold the loop up: a thread of the pool does them

static Bytes *gzip(Str data) {
    z_stream z = {0};
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    Bytes *out = NULL;
    size_t bound = deflateBound(&z, data.len);
    _buf_deinit_ Buf buf = BUF_INIT(bound);
    char *room = buf_reserve(&buf, bound);
    z.next_in = (Bytef *)(uintptr_t)data.ptr;
    z.avail_in = (uInt)data.len;
    z.next_out = (Bytef *)room;
    z.avail_out = (uInt)bound;
    if (room && deflate(&z, Z_FINISH) == Z_STREAM_END) {
        buf_commit(&buf, z.total_out);
        out = buf_bytes(&buf);
    }
    deflateEnd(&z);
    return out;
}

// "gzip" among Accept-Encoding, unless the client gives it the quality 0.
static bool accepts_gzip(const HttpRequest *request) {
    Str rest = http_header(request, STR("Accept-Encoding"));
    while (rest.ptr) {
        Str parameters = str_cut(&rest, ',');
        if (!str_eq_nocase(str_trim(str_cut(&parameters, ';')), STR("gzip")))
            continue;
        Str quality = str_trim(parameters);
        return !(str_eq(quality, STR("q=0")) || str_eq(quality, STR("q=0.0")));
    }
    return false;
}

static bool headers_have(const HttpHeader *headers, size_t n, Str name) {
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(headers[i].name, name))
            return true;
    return false;
}

static void answer(HttpRequest *request, int status, HttpHeader *headers, size_t n, Bytes *body,
                   Bytes *packed) {
    if (packed) {
        headers[n++] = (HttpHeader){STR("Content-Encoding"), STR("gzip")};
        headers[n++] = (HttpHeader){STR("Vary"), STR("Accept-Encoding")};
        body = packed;
    }
    bool bodyless = status == 204 || status == 304 || status < 200;
    if (!bodyless && !headers_have(headers, n, STR("Content-Length"))) {
        Str length = arena_printf(request->arena, "%zu", body ? body->len : 0);
        headers[n++] = (HttpHeader){STR("Content-Length"), length};
    }
    request->ops->head(request, status, headers, n);
    if (body && body->len && !bodyless)
        request->ops->data(request, body);
    request->ops->end(request);
}

// An answer that is being compressed elsewhere. The request may go away meanwhile.
typedef struct Job {
    HttpRequest *request; // NULL once it is gone
    int status;
    HttpHeader *headers; // in the request's arena, as are their strings
    size_t n_headers;
    Bytes *body, *packed;
    bool done;
} Job;

static void job_release(Job *job) {
    if (job->request || !job->done)
        return;
    bytes_unref(job->body);
    bytes_unref(job->packed);
    free(job);
}

static void on_request_gone(void *user) {
    Job *job = user;
    job->request = NULL;
    job_release(job);
}

static void job_work(void *user) {
    Job *job = user;
    job->packed = gzip(bytes_str(job->body));
}

static void job_done(void *user) {
    Job *job = user;
    job->done = true;
    if (job->request)
        answer(job->request, job->status, job->headers, job->n_headers, job->body, job->packed);
    else
        job_release(job);
}

static void answer_later(HttpRequest *request, int status, HttpHeader *headers, size_t n,
                         Bytes *body) {
    for (size_t i = 0; i < n; i++) {
        headers[i].name = arena_str(request->arena, headers[i].name);
        headers[i].value = arena_str(request->arena, headers[i].value);
    }
    Job *job = memory_new(Job);
    *job = (Job){
        .request = request,
        .status = status,
        .headers = headers,
        .n_headers = n,
        .body = bytes_ref(body),
    };
    arena_defer(request->arena, on_request_gone, job);
    loop_work(request->loop, job_work, job_done, job);
}

void http_respond_with(HttpRequest *request, int status, const HttpHeader *headers, size_t n,
                       Bytes *body) {
    HttpHeader *all = arena_array_of(request->arena, HttpHeader, n + 3);
    if (n)
        memcpy(all, headers, n * sizeof *headers);
    bool pack = body && body->len > GZIP_THRESHOLD && body->len < UINT32_MAX &&
                request->version != 0 && accepts_gzip(request) &&
                !headers_have(headers, n, STR("Content-Encoding"));
    if (pack && body->len > GZIP_INLINE) {
        answer_later(request, status, all, n, body);
        return;
    }
    _bytes_unref_ Bytes *packed = pack ? gzip(bytes_str(body)) : NULL;
    answer(request, status, all, n, body, packed);
}

void http_respond(HttpRequest *request, int status, Str content_type, Bytes *body) {
    HttpHeader header = {STR("Content-Type"), content_type};
    http_respond_with(request, status, &header, content_type.ptr ? 1 : 0, body);
}
