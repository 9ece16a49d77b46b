// Config maps and secrets.

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "road.h"

static const char *config_map(Arena *arena, const char *json) {
    return road_create(arena, kinds_resource_core_v1_configmaps(), json, NULL);
}
static const char *secret(Arena *arena, const char *json) {
    return road_create(arena, kinds_resource_core_v1_secrets(), json, NULL);
}

static void test_keys(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(config_map(arena, "{'data':{'a.b-c_D':''},'binaryData':{'x':'AA=='}}"), "");
    assert_string_equal(
        config_map(arena, "{'data':{'a/b':'','..':''}}"),
        "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric "
        "characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used "
        "for validation is '[-._a-zA-Z0-9]+')\n"
        "data[..]: Invalid value: \"..\": must not be '..'\n");
    assert_string_equal(config_map(arena, "{'data':{'a':'1'},'binaryData':{'a':'AA=='}}"),
                        "data[a]: Invalid value: \"a\": duplicate of key present in binaryData\n");
}

static const char *with_size(Arena *arena, const char *field, size_t size) {
    char *text = arena_alloc(arena, size + 1);
    memset(text, 'A', size);
    text[size] = '\0';
    return arena_printf(arena, "{'%s':{'a':'%s'}}", field, text).ptr;
}

static void test_size(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const size_t most = 1024 * 1024;
    assert_string_equal(config_map(arena, with_size(arena, "data", most)), "");
    assert_string_equal(config_map(arena, with_size(arena, "data", most + 1)),
                        "[]: Too long: may not be more than 1048576 bytes\n");
    // Base64 counts for what it decodes to.
    assert_string_equal(secret(arena, with_size(arena, "data", most / 3 * 4)), "");
    assert_string_equal(secret(arena, with_size(arena, "data", most / 3 * 4 + 8)),
                        "data: Too long: may not be more than 1048576 bytes\n");
}

static void test_immutable(void **state) {
    _arena_free_ Arena *arena = arena_new();
    const Resource *maps = kinds_resource_core_v1_configmaps();
    assert_string_equal(road_update(arena, maps, "{'immutable':true,'data':{'a':'1'}}",
                                    "{'immutable':true,'data':{'a':'1'},'metadata':{'labels':{"
                                    "'x':'y'}}}",
                                    NULL),
                        "");
    assert_string_equal(road_update(arena, maps, "{'immutable':true,'data':{'a':'1'}}",
                                    "{'data':{'a':'2'},'binaryData':{'b':'AA=='}}", NULL),
                        "immutable: Forbidden: field is immutable when `immutable` is set\n"
                        "data: Forbidden: field is immutable when `immutable` is set\n"
                        "binaryData: Forbidden: field is immutable when `immutable` is set\n");
    const Resource *secrets = kinds_resource_core_v1_secrets();
    assert_string_equal(road_update(arena, secrets, "{'immutable':true,'data':{'a':'AA=='}}",
                                    "{'immutable':true,'stringData':{'a':'x'}}", NULL),
                        "data: Forbidden: field is immutable when `immutable` is set\n");
    assert_string_equal(road_update(arena, secrets, "{}", "{'type':'x'}", NULL),
                        "type: Invalid value: \"x\": field is immutable\n");
}

static void test_string_data_goes_over_data(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Value *object;
    const char *json = "{'data':{'a':'AA==','b':'AA=='},'stringData':{'b':'hi','c':''}}";
    assert_string_equal(road_create(arena, kinds_resource_core_v1_secrets(), json, &object), "");
    road_assert_json(arena, value_get(object, STR("data")), "{'a':'AA==','b':'aGk=','c':''}");
    assert_null(value_get(object, STR("stringData")));
    assert_true(str_eq(value_string_at(object, "type"), STR("Opaque")));
}

static void test_types_of_secrets(void **state) {
    _arena_free_ Arena *arena = arena_new();
    assert_string_equal(
        secret(arena, "{'type':'kubernetes.io/service-account-token'}"),
        "metadata.annotations[kubernetes.io/service-account.name]: Required value\n");
    assert_string_equal(secret(arena, "{'type':'kubernetes.io/tls','stringData':{'tls.crt':''}}"),
                        "data[tls.key]: Required value\n");
    assert_string_equal(secret(arena, "{'type':'kubernetes.io/basic-auth'}"),
                        "data[username]: Required value\ndata[password]: Required value\n");
    assert_string_equal(secret(arena, "{'type':'kubernetes.io/basic-auth','data':{'password':''}}"),
                        "");
    assert_string_equal(secret(arena, "{'type':'kubernetes.io/ssh-auth'}"),
                        "data[ssh-privatekey]: Required value\n");
    assert_string_equal(secret(arena, "{'type':'kubernetes.io/dockerconfigjson'}"),
                        "data[.dockerconfigjson]: Required value\n");
    assert_string_equal(secret(arena, "{'type':'kubernetes.io/dockerconfigjson','stringData':"
                                      "{'.dockerconfigjson':'{}'}}"),
                        "");
    assert_string_equal(secret(arena, "{'type':'kubernetes.io/dockercfg','stringData':"
                                      "{'.dockercfg':'[]'}}"),
                        "data[.dockercfg]: Invalid value: \"<secret contents redacted>\": json: "
                        "cannot unmarshal array into Go value of type map[string]interface {}\n");
    assert_string_equal(secret(arena, "{'type':'kubernetes.io/dockercfg','stringData':"
                                      "{'.dockercfg':''}}"),
                        "data[.dockercfg]: Invalid value: \"<secret contents redacted>\": "
                        "unexpected end of JSON input\n");
    assert_string_equal(secret(arena, "{'type':'example.com/mine'}"), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_immutable),
        cmocka_unit_test(test_string_data_goes_over_data),
        cmocka_unit_test(test_types_of_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
