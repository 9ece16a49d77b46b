#include "harness.h"

#include <errno.h>

#include "http/message.h"

typedef struct Fake { // what a handler answered
    HttpRequest request;
    int status;
    Buf headers, body;
    bool ended;
} Fake;

static void fake_head(HttpRequest *request, int status, const HttpHeader *headers, size_t n) {
    Fake *fake = (Fake *)request;
    fake->status = status;
    for (size_t i = 0; i < n; i++)
        buf_printf(&fake->headers, "%.*s=%.*s;", STR_ARG(headers[i].name),
                   STR_ARG(headers[i].value));
}
static void fake_data(HttpRequest *request, Bytes *data) {
    buf_str(&((Fake *)request)->body, bytes_str(data));
}
static void fake_end(HttpRequest *request) {
    ((Fake *)request)->ended = true;
}
static const HttpRequestOps fake_ops = {.head = fake_head, .data = fake_data, .end = fake_end};

static int setup(void **state) {
    Fake *fake = calloc(1, sizeof *fake);
    fake->request.arena = arena_new();
    fake->request.ops = &fake_ops;
    fake->request.version = 1;
    fake->headers = fake->body = BUF_INIT(1 << 24);
    *state = fake;
    return 0;
}

static int teardown(void **state) {
    Fake *fake = *state;
    arena_free(fake->request.arena);
    buf_deinit(&fake->headers);
    buf_deinit(&fake->body);
    free(fake);
    return 0;
}

static void header_is_found_without_case(void **state) {
    HttpRequest *request = *state;
    HttpHeader headers[] = {{STR("Accept"), STR("a")}, {STR("ACCEPT"), STR("b")}};
    request->headers = headers;
    request->n_headers = 2;
    assert_str(http_header(request, STR("accept")), "a");
    assert_null(http_header(request, STR("Accep")).ptr);
}

static void header_token_is_found_in_lists(void **state) {
    HttpRequest *request = *state;
    HttpHeader headers[] = {{STR("Connection"), STR("keep-alive, Upgrade")},
                            {STR("connection"), STR("x")}};
    request->headers = headers;
    request->n_headers = 2;
    assert_true(http_header_has_token(request, STR("Connection"), STR("upgrade")));
    assert_true(http_header_has_token(request, STR("Connection"), STR("X")));
    assert_false(http_header_has_token(request, STR("Connection"), STR("keep")));
    assert_false(http_header_has_token(request, STR("Upgrade"), STR("x")));
}

static void query_is_decoded(void **state) {
    HttpRequest *request = *state;
    request->query =
        STR("labelSelector=app%3Dweb%2Ctier+in+(a)&watch&limit=&x=1&x=2&bad=%zz&a;b=c");
    assert_str(http_query(request, STR("labelSelector")), "app=web,tier in (a)");
    assert_str(http_query(request, STR("watch")), "");
    assert_str(http_query(request, STR("limit")), "");
    assert_null(http_query(request, STR("missing")).ptr);
    assert_null(http_query(request, STR("bad")).ptr);
    assert_str(http_query(request, STR("x")), "1");
    request->query = STR_NONE;
    assert_null(http_query(request, STR("x")).ptr);
}

static void query_values_are_all_found(void **state) {
    HttpRequest *request = *state;
    request->query =
        STR("command=sh&stdin=1&command=-c&command=echo%20hi&command=a&command=b&command=c");
    const Str *values;
    assert_int_equal(http_query_all(request, STR("command"), &values), 6);
    assert_str(values[0], "sh");
    assert_str(values[2], "echo hi");
    assert_str(values[5], "c");
    assert_int_equal(http_query_all(request, STR("none"), &values), 0);
}

static void percent_decoding_refuses_broken_escapes(void **state) {
    Arena *arena = ((HttpRequest *)*state)->arena;
    Str out;
    assert_int_equal(http_percent_decode(arena, STR("a%2Fb+c"), &out), 0);
    assert_str(out, "a/b+c");
    assert_int_equal(http_percent_decode(arena, STR("%"), &out), -EINVAL);
    assert_int_equal(http_percent_decode(arena, STR("%2"), &out), -EINVAL);
    assert_int_equal(http_percent_decode(arena, STR("%2x"), &out), -EINVAL);
    assert_int_equal(http_percent_decode(arena, STR("%41"), &out), 0);
    assert_str(out, "A");
}

static void percent_encoding_keeps_unreserved_characters(void **state) {
    Arena *arena = ((HttpRequest *)*state)->arena;
    assert_str(http_percent_encode(arena, STR("aZ0-._~/ =\xc3\xa4")), "aZ0-._~%2F%20%3D%C3%A4");
}

static void answer_has_type_and_length(void **state) {
    Fake *fake = *state;
    _bytes_unref_ Bytes *body = bytes_new("hello", 5);
    http_respond(&fake->request, 201, STR("text/plain"), body);
    assert_int_equal(fake->status, 201);
    assert_str(buf_view(&fake->headers), "Content-Type=text/plain;Content-Length=5;");
    assert_str(buf_view(&fake->body), "hello");
    assert_true(fake->ended);
}

static void answer_without_body_has_no_type(void **state) {
    Fake *fake = *state;
    http_respond(&fake->request, 404, STR_NONE, NULL);
    assert_str(buf_view(&fake->headers), "Content-Length=0;");
}

static void no_content_has_no_length(void **state) {
    Fake *fake = *state;
    http_respond(&fake->request, 204, STR_NONE, NULL);
    assert_int_equal(fake->headers.len, 0);
    assert_true(fake->ended);
}

static void respond_large(Fake *fake, Str accept_encoding) {
    HttpHeader header = {STR("Accept-Encoding"), accept_encoding};
    fake->request.headers = &header;
    fake->request.n_headers = accept_encoding.ptr ? 1 : 0;
    _bytes_unref_ Bytes *body = bytes_alloc(128 * 1024 + 1);
    memset(body->data, 'a', body->len);
    http_respond(&fake->request, 200, STR("text/plain"), body);
}

static void large_answer_is_gzipped_when_accepted(void **state) {
    Fake *fake = *state;
    respond_large(fake, STR("deflate, gzip;q=0.5"));
    assert_true(fake->body.len < 4096);
    assert_memory_equal(fake->body.data, "\x1f\x8b", 2);
    assert_non_null(memmem(fake->headers.data, fake->headers.len, "Content-Encoding=gzip;", 22));
    assert_non_null(memmem(fake->headers.data, fake->headers.len, "Vary=Accept-Encoding;", 21));
}

static void large_answer_stays_plain_when_not_accepted(void **state) {
    Fake *fake = *state;
    respond_large(fake, STR_NONE);
    assert_int_equal(fake->body.len, 128 * 1024 + 1);
    buf_clear(&fake->body);
    respond_large(fake, STR("gzip;q=0"));
    assert_int_equal(fake->body.len, 128 * 1024 + 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(header_is_found_without_case),
        TEST(header_token_is_found_in_lists),
        TEST(query_is_decoded),
        TEST(query_values_are_all_found),
        TEST(percent_decoding_refuses_broken_escapes),
        TEST(percent_encoding_keeps_unreserved_characters),
        TEST(answer_has_type_and_length),
        TEST(answer_without_body_has_no_type),
        TEST(no_content_has_no_length),
        TEST(large_answer_is_gzipped_when_accepted),
        TEST(large_answer_stays_plain_when_not_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
