#include "http/h1_parse.h"

#include <assert.h>
#include <http_parser.h>
#include <pthread.h>
#include <stdlib.h>

static void set_limits(void) {
    http_parser_set_max_header_size(HTTP_MAX_HEAD + HTTP_MAX_TARGET);
}

void h1_parser_init(H1Parser *parser, bool response, const H1Events *events, void *user) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_limits);
    *parser = (H1Parser){.events = events, .user = user, .response = response};
}

static void drop_state(H1Parser *parser) {
    buf_deinit(&parser->head);
    free(parser->marks);
    parser->marks = NULL;
    parser->n_marks = parser->marks_capacity = 0;
}

void h1_parser_deinit(H1Parser *parser) {
    drop_state(parser);
    free(parser->parser);
    parser->parser = NULL;
}

void h1_parser_begin(H1Parser *parser, Arena *arena, bool skip_body) {
    if (!parser->parser)
        parser->parser = calloc(1, sizeof(http_parser));
    if (!parser->parser)
        abort();
    http_parser *p = parser->parser;
    http_parser_init(p, parser->response ? HTTP_RESPONSE : HTTP_REQUEST);
    p->data = parser;
    drop_state(parser);
    parser->head = BUF_INIT(HTTP_MAX_HEAD + HTTP_MAX_TARGET);
    parser->arena = arena;
    parser->skip_body = skip_body;
    parser->head_done = parser->in_value = parser->pausing = false;
    parser->result = H1_MORE;
}

static void mark(H1Parser *parser) {
    if (parser->n_marks == parser->marks_capacity) {
        parser->marks_capacity = parser->marks_capacity ? parser->marks_capacity * 2 : 32;
        parser->marks = realloc(parser->marks, parser->marks_capacity * sizeof *parser->marks);
        if (!parser->marks)
            abort();
    }
    parser->marks[parser->n_marks++] = (uint32_t)parser->head.len;
}

static int refuse(H1Parser *parser, H1Result result) {
    parser->result = result;
    return 1;
}

static int on_url(http_parser *p, const char *at, size_t len) {
    H1Parser *parser = p->data;
    buf_append(&parser->head, at, len);
    return parser->head.len > HTTP_MAX_TARGET ? refuse(parser, H1_TOO_LONG_TARGET) : 0;
}

static int on_field(http_parser *p, const char *at, size_t len) {
    H1Parser *parser = p->data;
    if (parser->head_done) // a trailer: read and forgotten
        return 0;
    if (parser->n_marks == 0 || parser->in_value) {
        mark(parser); // where the target or the value before ends
        parser->in_value = false;
        if (parser->n_marks > 2 * HTTP_MAX_HEADERS)
            return refuse(parser, H1_TOO_LARGE_HEADERS);
    }
    buf_append(&parser->head, at, len);
    return parser->head.failed ? refuse(parser, H1_TOO_LARGE_HEADERS) : 0;
}

static int on_value(http_parser *p, const char *at, size_t len) {
    H1Parser *parser = p->data;
    if (parser->head_done)
        return 0;
    if (!parser->in_value) {
        mark(parser); // where the name ends
        parser->in_value = true;
    }
    buf_append(&parser->head, at, len);
    return parser->head.failed ? refuse(parser, H1_TOO_LARGE_HEADERS) : 0;
}

// RFC 9110 section 5.6.2. The library takes names with spaces, which is how requests are smuggled.
static bool is_token(Str s) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alphanumeric =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alphanumeric && (c == '\0' || !strchr(others, c)))
            return false;
    }
    return s.len > 0;
}

// Copies the head into the arena. Returns false when it is not one.
static bool collect(H1Parser *parser, H1Head *head) {
    mark(parser); // where the target or the last value ends
    Str text = arena_str(parser->arena, buf_view(&parser->head));
    head->target = str_slice(text, 0, parser->marks[0]);
    size_t n = (parser->n_marks - 1) / 2;
    HttpHeader *headers = arena_array_of(parser->arena, HttpHeader, n + 1);
    for (size_t i = 0; i < n; i++) {
        const uint32_t *m = parser->marks + 2 * i;
        headers[i].name = str_slice(text, m[0], m[1]);
        headers[i].value = str_trim(str_slice(text, m[1], m[2]));
        if (!is_token(headers[i].name))
            return false;
    }
    head->headers = headers;
    head->n_headers = n;
    drop_state(parser);
    return true;
}

static int on_headers_complete(http_parser *p) {
    H1Parser *parser = p->data;
    H1Head head = {
        .status = parser->response ? (int)p->status_code : 0,
        .minor = p->http_minor,
        .content_length = p->flags & F_CONTENTLENGTH ? (int64_t)p->content_length : -1,
        .chunked = p->flags & F_CHUNKED,
        .keep_alive = http_should_keep_alive(p),
        .upgrade = p->upgrade,
    };
    if (!parser->response)
        head.method = str_from(http_method_str((enum http_method)p->method));
    bool good = collect(parser, &head) && p->http_major == 1 &&
                (!parser->response || p->status_code >= 100);
    parser->head_done = true;
    if (!good) {
        parser->result = H1_BAD;
        return -1;
    }
    if (!parser->events->on_head(parser->user, &head)) {
        parser->result = H1_STOPPED;
        return -1;
    }
    bool interim = parser->response && p->status_code < 200 && p->status_code != 101;
    return parser->skip_body || interim ? 1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t len) {
    H1Parser *parser = p->data;
    parser->events->on_body(parser->user, str_of(at, len));
    if (parser->pausing)
        http_parser_pause(p, 1);
    return 0;
}

static int on_message_complete(http_parser *p) {
    H1Parser *parser = p->data;
    parser->result = H1_DONE;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static H1Result execute(H1Parser *parser, Str data, size_t *ret_used) {
    http_parser *p = parser->parser;
    assert(p && parser->result == H1_MORE);
    if (HTTP_PARSER_ERRNO(p) == HPE_PAUSED)
        http_parser_pause(p, 0);
    parser->pausing = false;
    size_t used = http_parser_execute(p, &settings, data.ptr, data.len);
    *ret_used = used < data.len ? used : data.len;
    if (parser->result != H1_MORE)
        return parser->result;
    switch (HTTP_PARSER_ERRNO(p)) {
    case HPE_OK:
        return H1_MORE;
    case HPE_PAUSED:
        return H1_PAUSED;
    case HPE_HEADER_OVERFLOW:
        return parser->result = H1_TOO_LARGE_HEADERS;
    default:
        return parser->result = H1_BAD;
    }
}

H1Result h1_parser_read(H1Parser *parser, Str data, size_t *ret_used) {
    *ret_used = 0;
    if (data.len == 0) // zero bytes mean the end to the library
        return H1_MORE;
    return execute(parser, data, ret_used);
}

H1Result h1_parser_end(H1Parser *parser) {
    size_t used;
    if (!parser->head_done)
        return parser->result = H1_BAD;
    H1Result result = execute(parser, STR(""), &used);
    return result == H1_DONE ? H1_DONE : H1_BAD;
}

void h1_parser_pause(H1Parser *parser) {
    parser->pausing = true;
}
