#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "kinds/kinds.h"
#include "schema/check.h"
#include "schema_test.h"

static const char pod_json[] =
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"creationTimestamp\":"
    "\"2024-01-02T03:04:05Z\",\"labels\":{\"app\":\"x\",\"tier\":\"\"}},\"spec\":{\"volumes\":[{"
    "\"name\":"
    "\"v\",\"hostPath\":{\"path\":\"/"
    "x\\ty\"}}],\"containers\":[{\"name\":\"a\",\"args\":[\"one\",\"two\"],"
    "\"ports\":[{\"containerPort\":80}],\"resources\":{\"limits\":{\"cpu\":\"500m\"}},"
    "\"livenessProbe\":"
    "{\"httpGet\":{\"port\":\"http\"}},\"readinessProbe\":{\"httpGet\":{\"port\":8080}}},{\"name\":"
    "\"b\","
    "\"resources\":{},\"tty\":true}],\"terminationGracePeriodSeconds\":0,\"nodeName\":\"n\","
    "\"enableServiceLinks\":false},\"status\":{}}";

static void check_pod(const Pod *pod) {
    _arena_free_ Arena *arena = arena_new();
    assert_str(arena, pod->kind, "Pod");
    assert_str(arena, pod->metadata.name, "p");
    assert_null(pod->metadata.namespace.ptr);
    assert_int_equal(pod->metadata.creation_timestamp, 1704164645LL * 1000000000);
    assert_str(arena, str_map_get(&pod->metadata.labels, STR("app")), "x");
    assert_non_null(str_map_get(&pod->metadata.labels, STR("tier")).ptr);
    assert_null(str_map_get(&pod->metadata.labels, STR("none")).ptr);
    assert_int_equal(pod->spec.volumes.len, 1);
    assert_str(arena, pod->spec.volumes.items[0].host_path->path, "/x\ty");
    assert_null(pod->spec.volumes.items[0].empty_dir);
    assert_int_equal(pod->spec.containers.len, 2);
    const Container *a = &pod->spec.containers.items[0], *b = &pod->spec.containers.items[1];
    assert_int_equal(a->args.len, 2);
    assert_str(arena, a->args.items[1], "two");
    assert_int_equal(a->ports.items[0].container_port, 80);
    assert_str(arena, str_map_get(&a->resources.limits, STR("cpu")), "500m");
    assert_true(a->liveness_probe->http_get->port.is_string);
    assert_str(arena, a->liveness_probe->http_get->port.string, "http");
    assert_int_equal(a->readiness_probe->http_get->port.integer, 8080);
    assert_true(b->tty);
    assert_int_equal(*pod->spec.termination_grace_period_seconds, 0);
    assert_null(pod->spec.active_deadline_seconds);
    assert_false(*pod->spec.enable_service_links);
}

static void test_from_value_and_from_json(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Pod pod;
    memset(&pod, 0xff, sizeof pod);
    assert_int_equal(typed_from_value(arena, kinds_type_Pod(), parse(arena, pod_json), &pod), 0);
    check_pod(&pod);
    memset(&pod, 0xff, sizeof pod);
    assert_int_equal(typed_from_json(arena, kinds_type_Pod(), str_from(pod_json), &pod), 0);
    check_pod(&pod);
}

static void test_back(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Pod pod;
    assert_int_equal(typed_from_json(arena, kinds_type_Pod(), str_from(pod_json), &pod), 0);
    assert_json(arena, typed_to_value(arena, kinds_type_Pod(), &pod), pod_json);
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    typed_write_json(kinds_type_Pod(), &pod, &buf);
    buf_char(&buf, '\0');
    assert_string_equal(buf.data, pod_json);
}

static void test_what_is_written_of_an_empty_struct(void **state) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    Pod pod = {.spec.containers.len = 0};
    const char *expected = "{\"metadata\":{},\"spec\":{\"containers\":[]},\"status\":{}}";
    assert_json(arena, typed_to_value(arena, kinds_type_Pod(), &pod), expected);
    typed_write_json(kinds_type_Pod(), &pod, &buf);
    buf_char(&buf, '\0');
    assert_string_equal(buf.data, expected);
}

static void test_bytes_and_raw(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Secret secret;
    const char *json = "{\"metadata\":{},\"data\":{\"k\":\"aGVsbG8=\",\"e\":\"\"}}";
    assert_int_equal(typed_from_json(arena, kinds_type_Secret(), str_from(json), &secret), 0);
    assert_str(arena, str_map_get(&secret.data, STR("k")), "hello");
    assert_int_equal(str_map_get(&secret.data, STR("e")).len, 0);
    assert_json(arena, typed_to_value(arena, kinds_type_Secret(), &secret), json);

    ManagedFieldsEntry entry;
    json = "{\"manager\":\"m\",\"fieldsV1\":{\"f:a\":{\".\":{}}}}";
    assert_int_equal(
        typed_from_json(arena, kinds_type_ManagedFieldsEntry(), str_from(json), &entry), 0);
    assert_json(arena, entry.fields_v1, "{\"f:a\":{\".\":{}}}");
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    typed_write_json(kinds_type_ManagedFieldsEntry(), &entry, &buf);
    buf_char(&buf, '\0');
    assert_string_equal(buf.data, json);
}

static void test_nulls_and_unknown_fields(void **state) {
    _arena_free_ Arena *arena = arena_new();
    Pod pod;
    const char *json =
        " { \"new\" : [ { \"x\" : [ ] } ], \"metadata\" : null , \"spec\" : { \"containers\" : "
        "[ null , { \"name\" : null } ] , \"nodeSelector\" : { \"a\" : null } } } ";
    assert_int_equal(typed_from_json(arena, kinds_type_Pod(), str_from(json), &pod), 0);
    assert_int_equal(pod.spec.containers.len, 2);
    assert_null(pod.spec.containers.items[1].name.ptr);
    assert_int_equal(pod.spec.node_selector.len, 1);
    assert_int_equal(typed_from_value(arena, kinds_type_Pod(), parse(arena, json), &pod), 0);
    assert_int_equal(pod.spec.containers.len, 2);
}

static void test_errors(void **state) {
    static const struct {
        const char *json;
        int status;
    } cases[] = {
        {"{\"spec\":{\"containers\":{}}}", SCHEMA_E_TYPE},
        {"{\"spec\":{\"containers\":[1]}}", SCHEMA_E_TYPE},
        {"{\"spec\":[]}", SCHEMA_E_TYPE},
        {"{\"spec\":{\"nodeName\":{}}}", SCHEMA_E_TYPE},
        {"{\"spec\":{\"priority\":\"1\"}}", SCHEMA_E_TYPE},
        {"{\"spec\":{\"priority\":3000000000}}", SCHEMA_E_TYPE},
        {"{\"spec\":{\"hostNetwork\":1}}", SCHEMA_E_TYPE},
        {"{\"metadata\":{\"creationTimestamp\":\"x\"}}", SCHEMA_E_TYPE},
        {"{\"metadata\":{\"labels\":[]}}", SCHEMA_E_TYPE},
        {"[]", SCHEMA_E_TYPE},
        {"", -EBADMSG},
        {"{", -EBADMSG},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}", -EBADMSG},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},]}}", SCHEMA_E_TYPE},
        {"{\"unknown\":tru}", -EBADMSG},
        {"{} x", -EBADMSG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        _arena_free_ Arena *arena = arena_new();
        Pod pod;
        size_t len = strlen(cases[i].json);
        char *copy = malloc(len ? len : 1); // no byte after it may be read
        memcpy(copy, cases[i].json, len);
        if (typed_from_json(arena, kinds_type_Pod(), str_of(copy, len), &pod) != cases[i].status)
            fail_msg("%s", cases[i].json);
        free(copy);
        if (cases[i].status == SCHEMA_E_TYPE && !strstr(cases[i].json, ",]"))
            assert_int_equal(
                typed_from_value(arena, kinds_type_Pod(), parse(arena, cases[i].json), &pod),
                SCHEMA_E_TYPE);
    }
}

// Many items: the list grows while its items allocate.
static void test_long_lists(void **state) {
    _arena_free_ Arena *arena = arena_new();
    _buf_deinit_ Buf buf = BUF_INIT(1 << 20);
    buf_printf(&buf, "{\"containers\":[");
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%s{\"name\":\"c\\u0030%d\",\"args\":[\"%d\"]}", i ? "," : "", i, i);
    buf_printf(&buf, "]}");
    PodSpec spec;
    assert_int_equal(typed_from_json(arena, kinds_type_PodSpec(), buf_view(&buf), &spec), 0);
    assert_int_equal(spec.containers.len, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_str(arena, spec.containers.items[i].name, arena_printf(arena, "c0%d", i).ptr);
        assert_str(arena, spec.containers.items[i].args.items[0], arena_printf(arena, "%d", i).ptr);
        assert_null(spec.containers.items[i].image.ptr);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_value_and_from_json),
        cmocka_unit_test(test_back),
        cmocka_unit_test(test_what_is_written_of_an_empty_struct),
        cmocka_unit_test(test_bytes_and_raw),
        cmocka_unit_test(test_nulls_and_unknown_fields),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_long_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
