// The bytes of gRPC's health check, and what is said of an answer.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/grpc_health.h"

#define assert_bytes(bytes, literal)                                                               \
    do {                                                                                           \
        Bytes *_b = (bytes);                                                                       \
        assert_int_equal(_b->len, sizeof literal - 1);                                             \
        assert_memory_equal(_b->data, literal, sizeof literal - 1);                                \
        bytes_unref(_b);                                                                           \
    } while (0)

static void test_request(void **state) {
    assert_bytes(grpc_health_request(STR("")), "\0\0\0\0\0");
    assert_bytes(grpc_health_request(STR("db")), "\0\0\0\0\4\x0a\2db");
    char name[200];
    memset(name, 'x', sizeof name);
    _bytes_unref_ Bytes *longer = grpc_health_request(str_of(name, sizeof name));
    assert_int_equal(longer->len, 5 + 3 + sizeof name);
    assert_memory_equal(longer->data, "\0\0\0\0\xcb\x0a\xc8\x01x", 9);
}

static const char *judge(Arena *arena, int grpc, int http, Str body, bool good) {
    GrpcAnswer answer = {.status = grpc, .message = STR("why")};
    Str message;
    assert_int_equal(grpc_health_judge(arena, &answer, http, body, &message), good);
    return arena_cstr(arena, message);
}

#define BODY(literal) str_of(literal, sizeof literal - 1)

// The texts are those of pkg/probe/grpc/grpc.go.
static void test_answers(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const struct {
        int grpc, http;
        Str body;
        const char *text;
    } bad[] = {
        {0, 200, BODY("\0\0\0\0\2\x08\2"), "service unhealthy (responded with \"NOT_SERVING\")"},
        {0, 200, BODY("\0\0\0\0\0"), "service unhealthy (responded with \"UNKNOWN\")"},
        {0, 200, BODY("\0\0\0\0\2\x08\7"), "service unhealthy (responded with \"7\")"},
        {12, 200, STR(""),
         "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
         "why"},
        {5, 200, STR(""),
         "error: health rpc probe failed: rpc error: code = NotFound desc = why"},
        {-1, 404, STR(""),
         "error: health rpc probe failed: rpc error: code = Unknown desc = unexpected HTTP status "
         "code received from server: 404"},
        {-1, 200, BODY("\0\0\0\0\2\x08\1"),
         "error: health rpc probe failed: rpc error: code = Internal desc = server closed the "
         "stream without sending trailers"},
        {0, 200, BODY("\0\0"),
         "error: health rpc probe failed: rpc error: code = Internal desc = the answer is no "
         "HealthCheckResponse"},
        {0, 200, BODY("\0\0\0\0\2\x0a\xff"),
         "error: health rpc probe failed: rpc error: code = Internal desc = the answer is no "
         "HealthCheckResponse"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(judge(arena, bad[i].grpc, bad[i].http, bad[i].body, false),
                            bad[i].text);
    assert_string_equal(judge(arena, 0, 200, BODY("\0\0\0\0\2\x08\1"), true), "service healthy");
    // Fields of a later version are passed over.
    assert_string_equal(judge(arena, 0, 200, BODY("\0\0\0\0\x0a\x12\2ab\x1d\0\0\0\0\x08\1"), true),
                        "service healthy");
}

static void test_status(void **state) {
    _arena_free_ Arena *arena = arena_new();
    GrpcAnswer answer = {.status = -1};
    const HttpHeader headers[] = {{STR("Content-Type"), STR("application/grpc")},
                                  {STR("grpc-status"), STR("5")},
                                  {STR("grpc-message"), STR("no%20such service")}};
    grpc_answer_read(&answer, arena, headers, 1);
    assert_int_equal(answer.status, -1);
    grpc_answer_read(&answer, arena, headers, 3);
    assert_int_equal(answer.status, 5);
    assert_true(str_eq(answer.message, STR("no such service")));
    const HttpHeader odd[] = {{STR("grpc-status"), STR("x")}, {STR("grpc-message"), STR("%zz")}};
    grpc_answer_read(&answer, arena, odd, 2);
    assert_int_equal(answer.status, 2);
    assert_true(str_eq(answer.message, STR("%zz")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_status),
    };
    return cmocka_run_group_tests_name("grpc_health", tests, NULL, NULL);
}
