// Server-side apply through the API
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/). What the merge itself does
// is in test/unit/schema/test_apply.c; here are requests and answers. Messages: apimachinery's
// pkg/util/managedfields/internal/{conflict,fieldmanager}.go and apiserver's
// pkg/endpoints/handlers/{patch,rest}.go.
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "harness.h"

#define MAPS "/api/v1/namespaces/default/configmaps"
#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"
#define NODES "/api/v1/nodes"

static int setup(void **state) {
    *state = harness_new();
    return 0;
}

static int teardown(void **state) {
    harness_free(*state);
    return 0;
}

// `body` is written with ' for ".
static const char *json(Harness *h, const char *body) {
    char *text = arena_cstr(h->arena, str_from(body));
    for (char *c = text; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    return text;
}

static Answer *apply(Harness *h, const char *target, const char *manager, const char *body) {
    Str url = arena_printf(h->arena, "%s%cfieldManager=%s", target, strchr(target, '?') ? '&' : '?',
                           manager);
    return call_with(h, h->admin, "PATCH", arena_cstr(h->arena, url), json(h, body),
                     (const char *const[]){"Content-Type", "application/apply-patch+yaml", NULL});
}

#define MAP "'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a'}"

// The fields of one manager's entry, "" when it has none.
static const char *fields_of(Harness *h, const Answer *a, const char *manager,
                             const char *operation, const char *subresource) {
    const Value *managed = value_at(a->json, "metadata.managedFields");
    for (uint32_t i = 0; managed && i < managed->n; i++) {
        const Value *entry = managed->items[i];
        if (!str_eq(value_string_at(entry, "manager"), str_from(manager)) ||
            !str_eq(value_string_at(entry, "operation"), str_from(operation)) ||
            !str_eq(value_string_at(entry, "subresource"), str_from(subresource)))
            continue;
        Buf buf = BUF_INIT(1 << 20);
        value_write_json(value_at(entry, "fieldsV1"), &buf);
        const char *text = arena_cstr(h->arena, buf_view(&buf));
        buf_deinit(&buf);
        return text;
    }
    return "";
}

static void test_create_and_no_op(void **state) {
    Harness *h = *state;
    const char *deployment =
        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d'},'spec':{'replicas':2,"
        "'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{"
        "'containers':[{'name':'c','image':'i'}]}}}}";
    Answer *made = apply(h, DEPLOYMENTS "/d", "m", deployment);
    assert_status(made, 201);
    assert_int_equal(number_at(made, "metadata.generation"), 1);
    Answer *same = apply(h, DEPLOYMENTS "/d", "m", deployment);
    assert_status(same, 200);
    assert_int_equal(number_at(same, "metadata.generation"), 1);
    assert_string_equal(text_at(same, "metadata.resourceVersion"),
                        text_at(made, "metadata.resourceVersion"));
    // An apply in YAML is the same.
    Answer *yaml =
        call_with(h, h->admin, "PATCH", MAPS "/m?fieldManager=m",
                  "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {k: 'yes'}\n",
                  (const char *const[]){"Content-Type", "application/apply-patch+yaml", NULL});
    assert_status(yaml, 201);
    assert_string_equal(text_at(yaml, "data.k"), "yes");
}

static void test_conflict_and_force(void **state) {
    Harness *h = *state;
    assert_status(apply(h, MAPS "/a", "one", "{" MAP ",'data':{'k':'1','l':'1'}}"), 201);
    assert_status(apply(h, MAPS "/a", "two", "{" MAP ",'data':{'m':'2'}}"), 200);
    Answer *a = apply(h, MAPS "/a", "two", "{" MAP ",'data':{'k':'2','l':'2','m':'2'}}");
    assert_refused(a, 409,
                   "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.k\n- .data.l");
    assert_string_equal(text_at(a, "reason"), "Conflict");
    const Value *causes = value_at(a->json, "details.causes");
    assert_int_equal(causes->n, 2);
    assert_true(str_eq(value_string_at(causes->items[0], "reason"), STR("FieldManagerConflict")));
    assert_true(str_eq(value_string_at(causes->items[0], "message"), STR("conflict with \"one\"")));
    assert_true(str_eq(value_string_at(causes->items[0], "field"), STR(".data.k")));
    // The same value is no conflict: both own it then.
    assert_status(apply(h, MAPS "/a", "two", "{" MAP ",'data':{'k':'1'}}"), 200);
    a = apply(h, MAPS "/a?force=true", "two", "{" MAP ",'data':{'k':'2'}}");
    assert_status(a, 200);
    assert_string_equal(text_at(a, "data.k"), "2");
    assert_string_equal(fields_of(h, a, "one", "Apply", ""), "{\"f:data\":{\"f:l\":{}}}");
    assert_string_equal(fields_of(h, a, "two", "Apply", ""), "{\"f:data\":{\"f:k\":{}}}");
    assert_null(value_at(a->json, "data.m")); // two said nothing of it any more
    // Who changes a field by another verb takes it.
    assert_status(call_patch(h, "merge", MAPS "/a?fieldManager=edit", "{\"data\":{\"k\":\"3\"}}"),
                  200);
    a = apply(h, MAPS "/a", "two", "{" MAP ",'data':{'k':'2'}}");
    assert_status(a, 409);
    assert_string_equal(text_at(a, "message"),
                        "Apply failed with 1 conflict: conflict with \"edit\" using v1: .data.k");
}

static void test_removed_fields(void **state) {
    Harness *h = *state;
    assert_status(apply(h, MAPS "/a", "one", "{" MAP ",'data':{'k':'1','l':'1'}}"), 201);
    assert_status(apply(h, MAPS "/a", "two", "{" MAP ",'data':{'l':'1'}}"), 200);
    Answer *a = apply(h, MAPS "/a", "one", "{" MAP "}");
    assert_status(a, 200);
    assert_null(value_at(a->json, "data.k"));
    assert_string_equal(text_at(a, "data.l"), "1"); // the other still wants it
    assert_string_equal(fields_of(h, a, "one", "Apply", ""), "");
}

#define SERVICE "/api/v1/namespaces/default/services/s"
#define SVC "'apiVersion':'v1','kind':'Service','metadata':{'name':'s'}"

static void test_lists(void **state) {
    Harness *h = *state;
    Answer *a = apply(h, SERVICE, "one", "{" SVC ",'spec':{'ports':[{'name':'a','port':80}]}}");
    assert_status(a, 201);
    a = apply(h, SERVICE, "two", "{" SVC ",'spec':{'ports':[{'name':'b','port':81}]}}");
    assert_status(a, 200);
    assert_int_equal(value_at(a->json, "spec.ports")->n, 2); // by port and protocol
    a = apply(h, SERVICE, "one", "{" SVC ",'spec':{'externalIPs':['192.0.2.7']}}");
    assert_status(a, 200);
    assert_int_equal(value_at(a->json, "spec.ports")->n, 1);
    // An atomic list has one owner.
    a = apply(h, SERVICE, "two",
              "{" SVC ",'spec':{'externalIPs':['192.0.2.8'],'ports':[{'name':'b','port':81}]}}");
    assert_refused(a, 409,
                   "Apply failed with 1 conflict: conflict with \"one\": .spec.externalIPs");
    // Duplicate keys cannot be merged.
    a = apply(h, SERVICE, "two",
              "{" SVC ",'spec':{'ports':[{'name':'b','port':81},{'name':'c','port':81}]}}");
    assert_refused(a, 500,
                   "failed to create typed patch object (/s; /v1, Kind=Service): "
                   ".spec.ports: duplicate entries for key [port=81,protocol=\"TCP\"]");
}

static void test_status(void **state) {
    Harness *h = *state;
    assert_status(apply(h, NODES "/n", "one",
                        "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n'},'spec':{'"
                        "unschedulable':true}}"),
                  201);
    // What the sub-resource does not write is not said by the manager either.
    Answer *a = apply(
        h, NODES "/n/status", "one",
        "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n'},'status':{'phase':'Running'},"
        "'spec':{'unschedulable':false}}");
    assert_status(a, 200);
    assert_true(value_bool_at(a->json, "spec.unschedulable", false));
    assert_string_equal(text_at(a, "status.phase"), "Running");
    assert_string_equal(fields_of(h, a, "one", "Apply", "status"),
                        "{\"f:status\":{\"f:phase\":{}}}");
    assert_string_equal(fields_of(h, a, "one", "Apply", ""),
                        "{\"f:spec\":{\"f:unschedulable\":{}}}");
    a = apply(h, NODES "/none/status", "one",
              "{'apiVersion':'v1','kind':'Node','metadata':{'name':'none'}}");
    assert_refused(a, 404, "nodes \"none\" not found");
}

// Lists are checked at any depth, whether the object is there or not (structured-merge-diff's
// typed/validate.go).
static void test_bad_lists(void **state) {
    Harness *h = *state;
    const char *pattern =
        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d','namespace':'default'},"
        "'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},"
        "'spec':{'containers':[{'name':'c','image':'i','env':[{'name':'A','value':'1'},%s]}]}}}}";
    Str twice = arena_printf(h->arena, pattern, "{'name':'A','value':'2'}");
    Str unnamed = arena_printf(h->arena, pattern, "{'value':'2'}");
#define IN_ENV                                                                                     \
    "failed to create typed patch object (default/d; apps/v1, Kind=Deployment): "                  \
    ".spec.template.spec.containers[name=\"c\"].env: "
    assert_refused(apply(h, DEPLOYMENTS "/d", "m", twice.ptr), 500,
                   IN_ENV "duplicate entries for key [name=\"A\"]");
    assert_refused(apply(h, DEPLOYMENTS "/d", "m", unnamed.ptr), 500,
                   IN_ENV "element 1: associative list with keys has an element that omits key "
                          "field \"name\" (and doesn't have default value)");
}

// kubectl: csaupgrade makes the entry kubectl-client-side-apply (Update) to kubectl (Apply), by a
// JSON patch with a test of the resourceVersion; the server just has to take it.
static void test_hand_over_from_client_side(void **state) {
    Harness *h = *state;
    Answer *a = call(h, "POST", MAPS "?fieldManager=kubectl-client-side-apply",
                     json(h, "{'metadata':{'name':'a','annotations':{'kubectl.kubernetes.io/"
                             "last-applied-configuration':'{}'}},'data':{'k':'1','l':'1'}}"));
    assert_status(a, 201);
    // Until then both are managers, and a field left out stays.
    a = apply(h, MAPS "/a", "kubectl", "{" MAP ",'data':{'k':'2'}}");
    assert_refused(a, 409,
                   "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" "
                   "using v1: .data.k");
    a = call(h, "GET", MAPS "/a", NULL);
    Str patch = arena_printf(
        h->arena,
        "[{\"op\":\"replace\",\"path\":\"/metadata/managedFields\",\"value\":[{\"manager\":"
        "\"kubectl\",\"operation\":\"Apply\",\"apiVersion\":\"v1\",\"time\":"
        "\"2026-01-01T00:00:00Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":%s}]},"
        "{\"op\":\"replace\",\"path\":\"/metadata/resourceVersion\",\"value\":\"%s\"}]",
        fields_of(h, a, "kubectl-client-side-apply", "Update", ""),
        text_at(a, "metadata.resourceVersion"));
    a = call_patch(h, "json", MAPS "/a", arena_cstr(h->arena, patch));
    assert_status(a, 200);
    a = apply(h, MAPS "/a", "kubectl", "{" MAP ",'data':{'k':'2'}}");
    assert_status(a, 200);
    assert_string_equal(text_at(a, "data.k"), "2");
    assert_null(value_at(a->json, "data.l"));
}

static void test_before_first_apply(void **state) {
    Harness *h = *state;
    Answer *a = call(h, "POST", MAPS, json(h, "{'metadata':{'name':'a'},'data':{'k':'1'}}"));
    assert_status(a, 201);
    // [{}] takes the tracking away (the documentation's "Clearing managedFields"), [] does too.
    a = call_patch(h, "merge", MAPS "/a", "{\"metadata\":{\"managedFields\":[{}]}}");
    assert_status(a, 200);
    assert_null(value_at(a->json, "metadata.managedFields"));
    a = apply(h, MAPS "/a", "m", "{" MAP ",'data':{'k':'2'}}");
    assert_refused(a, 409,
                   "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: "
                   ".data.k");
    a = apply(h, MAPS "/a?force=true", "m", "{" MAP ",'data':{'k':'2'}}");
    assert_status(a, 200);
    a = call_patch(h, "merge", MAPS "/a", "{\"metadata\":{\"managedFields\":[]}}");
    assert_status(a, 200);
    assert_null(value_at(a->json, "metadata.managedFields"));
}

static void test_dry_run(void **state) {
    Harness *h = *state;
    Answer *a = apply(h, MAPS "/a?dryRun=All", "m", "{" MAP ",'data':{'k':'1'}}");
    assert_status(a, 201);
    assert_status(call(h, "GET", MAPS "/a", NULL), 404);
    assert_status(apply(h, MAPS "/a", "m", "{" MAP ",'data':{'k':'1'}}"), 201);
    a = apply(h, MAPS "/a?dryRun=All", "m", "{" MAP ",'data':{'k':'2'}}");
    assert_status(a, 200);
    assert_string_equal(text_at(a, "data.k"), "2");
    assert_string_equal(text_at(call(h, "GET", MAPS "/a", NULL), "data.k"), "1");
}

static void test_bad_requests(void **state) {
    Harness *h = *state;
    const char *const type[] = {"Content-Type", "application/apply-patch+yaml", NULL};
    // apimachinery's pkg/apis/meta/v1/validation: ValidatePatchOptions
    assert_refused(call_with(h, h->admin, "PATCH", MAPS "/a", json(h, "{" MAP "}"), type), 422,
                   "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is "
                   "required for apply patch");
    assert_refused(call_patch(h, "merge", MAPS "/a?force=true", "{}"), 422,
                   "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be "
                   "specified for non-apply patch");
    char manager[160];
    memset(manager, 'm', 129);
    manager[129] = 0;
    assert_refused(apply(h, MAPS "/a", manager, "{" MAP "}"), 422,
                   "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be "
                   "more than 128 bytes");
    assert_status(apply(h, MAPS "/a", "%07", "{" MAP "}"), 422);
    assert_refused(
        apply(h, MAPS "/a", "m", "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'b'}}"),
        400, "the name of the object (b) does not match the name on the URL (a)");
    assert_refused(
        apply(
            h, MAPS "/a", "m",
            "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','managedFields':[{}]}}"),
        400, "metadata.managedFields must be nil");
    // managedfields/internal/versioncheck.go
    assert_refused(
        apply(h, MAPS "/a", "m", "{'apiVersion':'v1','kind':'Secret','metadata':{'name':'a'}}"),
        400, "invalid object type: /v1, Kind=Secret");
    assert_refused(apply(h, MAPS "/a", "m",
                         "{'apiVersion':'apps/v2','kind':'ConfigMap','metadata':{'name':'a'}}"),
                   400, "invalid object type: apps/v2, Kind=ConfigMap");
    assert_refused(apply(h, MAPS "/a", "m", "{'data':{}}"), 400, "invalid object type: /, Kind=");
    assert_refused(
        apply(h, MAPS "/a", "m",
              "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','uid':'u'}}"),
        409,
        "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided "
        "object specified uid u, and no existing object was found");
    Answer *a = apply(h, MAPS "/a", "m", "{" MAP ",'dat':{}}");
    assert_refused(a, 500,
                   "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .dat: "
                   "field not declared in schema");
    // Duplicates in what is applied are refused by name when asked for (handlers/patch.go).
    a = apply(h, MAPS "/a?fieldValidation=Strict", "m", "{" MAP ",'data':{'k':'1','k':'2'}}");
    assert_status(a, 400);
    assert_non_null(strstr(text_at(a, "message"), "error strict decoding patch: "));
    a = apply(h, MAPS "/a?fieldValidation=Warn", "m", "{" MAP ",'data':{'k':'1','k':'2'}}");
    assert_status(a, 201);
    assert_true(a->warnings.len > 0);
    // Of a version: the object must still be there as it was.
    a = apply(h, MAPS "/a", "m",
              "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','resourceVersion':'1'},"
              "'data':{'k':'9'}}");
    assert_status(a, 409);
    assert_non_null(strstr(text_at(a, "message"), "the object has been modified"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_create_and_no_op),
        T(test_conflict_and_force),
        T(test_removed_fields),
        T(test_lists),
        T(test_bad_lists),
        T(test_status),
        T(test_hand_over_from_client_side),
        T(test_before_first_apply),
        T(test_dry_run),
        T(test_bad_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
