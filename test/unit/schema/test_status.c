#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/status.h"
#include "schema_test.h"

static void test_wording(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Str none = STR("");
    assert_json(arena, status_to_value(arena, status_not_found(arena, none, STR("pods"), STR("x"))),
                "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
                "\"message\":\"pods \\\"x\\\" not found\",\"reason\":\"NotFound\",\"details\":{"
                "\"name\":\"x\",\"kind\":\"pods\"},\"code\":404}");
    assert_str(arena, status_not_found(arena, STR("apps"), STR("deployments"), STR("x"))->message,
               "deployments.apps \"x\" not found");
    assert_str(arena, status_already_exists(arena, none, STR("pods"), STR("x"))->message,
               "pods \"x\" already exists");
    assert_str(arena,
               status_conflict(arena, none, STR("pods"), STR("x"),
                               STR("the object has been modified; please apply your changes to the "
                                   "latest version and try again"))
                   ->message,
               "Operation cannot be fulfilled on pods \"x\": the object has been modified; please "
               "apply your changes to the latest version and try again");
    assert_str(arena, status_forbidden(arena, none, STR("pods"), none, STR("User cannot"))->message,
               "pods is forbidden: User cannot");
    assert_str(arena, status_forbidden(arena, none, STR("pods"), STR("x"), STR("no"))->message,
               "pods \"x\" is forbidden: no");
    assert_str(arena, status_forbidden(arena, none, none, none, STR("no"))->message,
               "forbidden: no");
    assert_str(arena, status_method_not_allowed(arena, STR("g"), STR("xs"), STR("patch"))->message,
               "patch is not supported on resources of kind \"xs.g\"");
    assert_json(arena, status_to_value(arena, status_internal(arena, STR("boom"))),
                "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
                "\"message\":\"Internal error occurred: boom\",\"reason\":\"InternalError\","
                "\"details\":{\"causes\":[{\"message\":\"boom\"}]},\"code\":500}");
    assert_json(arena, status_to_value(arena, status_too_many_requests(arena, STR("later"), 2)),
                "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
                "\"message\":\"later\",\"reason\":\"TooManyRequests\",\"details\":{"
                "\"retryAfterSeconds\":2},\"code\":429}");
}

static void test_invalid(void **state) {
    _arena_free_ Arena *arena = arena_new();
    FieldErrors errors = {.arena = arena};
    field_required(&errors, PATH(PATH(NULL, STR("spec")), STR("containers")), "");
    ApiStatus *one = status_invalid(arena, STR(""), STR("Pod"), STR("p"), &errors);
    assert_str(arena, one->message, "Pod \"p\" is invalid: spec.containers: Required value");
    field_forbidden(&errors, PATH(NULL, STR("x")), "no");
    field_forbidden(&errors, PATH(NULL, STR("x")), "no");
    ApiStatus *two = status_invalid(arena, STR("apps"), STR("Deployment"), STR("p"), &errors);
    assert_str(arena, two->message,
               "Deployment.apps \"p\" is invalid: [spec.containers: Required value, x: Forbidden: "
               "no]");
    assert_int_equal(two->n_causes, 3);
    assert_str(arena, two->causes[0].type, "FieldValueRequired");
    assert_str(arena, two->causes[0].field, "spec.containers");
    assert_str(arena, two->causes[1].message, "Forbidden: no");
}

static void test_from_body(void **state) {
    _arena_free_ Arena *arena = arena_new();
    FieldErrors errors = {.arena = arena};
    field_required(&errors, PATH(NULL, STR("x")), "");
    ApiStatus *status = status_invalid(arena, STR("g"), STR("K"), STR("n"), &errors);
    const char *body = text_of(arena, status_to_value(arena, status));
    ApiStatus *back = status_from_body(arena, 500, str_from(body));
    assert_int_equal(back->code, 422);
    assert_json(arena, status_to_value(arena, back), body);

    assert_str(arena, status_from_body(arena, 404, STR("404 page not found"))->message,
               "the server could not find the requested resource");
    assert_str(arena, status_from_body(arena, 502, STR("bad <gateway>"))->message,
               "an error on the server (\"bad <gateway>\") has prevented the request from "
               "succeeding");
    assert_str(arena, status_from_body(arena, 503, STR_NONE)->reason, "ServiceUnavailable");
    assert_int_equal(status_from_body(arena, 409, STR("{\"kind\":\"Pod\"}"))->code, 409);
    assert_int_equal(
        status_from_body(arena, 500, STR("{\"kind\":\"Status\",\"details\":[]}"))->code, 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wording),
        cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_from_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
